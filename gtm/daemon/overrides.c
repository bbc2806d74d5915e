/* SPDX-License-Identifier: Apache-2.0
 *
 * Operators' orders: a map by key, and their text in the store. See facts.h.
 */
#include "gtm/base/mem.h"
#include "gtm/daemon/facts.h"

#include <stdio.h>
#include <string.h>

int gtm_overrides_init(struct gtm_overrides *all)
{
    all->map = gtm_map_new();
    return all->map ? 0 : GTM_ENOMEM;
}

void gtm_overrides_fini(struct gtm_overrides *all)
{
    gtm_map_free(all->map, gtm_free);
    all->map = NULL;
}

const struct gtm_override *gtm_overrides_get(const struct gtm_overrides *all, const char *key)
{
    return gtm_map_get(all->map, key);
}

int gtm_overrides_put(struct gtm_overrides *all, const char *key,
                      const struct gtm_override *override)
{
    if (!gtm_map_get(all->map, key) && gtm_map_count(all->map) >= GTM_OVERRIDES_MAX)
        return GTM_ELIMIT;
    void *copy = gtm_memdup(override, sizeof(*override)), *old = NULL;
    if (!copy)
        return GTM_ENOMEM;
    int rc = gtm_map_put(all->map, key, copy, &old);
    gtm_free(rc ? copy : old);
    return rc;
}

void gtm_overrides_remove(struct gtm_overrides *all, const char *key)
{
    gtm_free(gtm_map_remove(all->map, key));
}

int64_t gtm_overrides_next_end(const struct gtm_overrides *all)
{
    int64_t next = 0;
    size_t it = 0;
    void *value;
    while (gtm_map_next(all->map, &it, NULL, &value)) {
        const struct gtm_override *override = value;
        if (override->until_ms && (!next || override->until_ms < next))
            next = override->until_ms;
    }
    return next;
}

bool gtm_overrides_ended(const struct gtm_overrides *all, int64_t now_ms,
                         char ret_key[GTM_OVERRIDE_KEY_BYTES])
{
    size_t it = 0;
    const char *key;
    void *value;
    while (gtm_map_next(all->map, &it, &key, &value)) {
        const struct gtm_override *override = value;
        if (override->until_ms && override->until_ms <= now_ms) {
            snprintf(ret_key, GTM_OVERRIDE_KEY_BYTES, "%s", key);
            return true;
        }
    }
    return false;
}

const char *gtm_override_word(const struct gtm_override *override,
                              char out[GTM_OVERRIDE_WORD_BYTES])
{
    if (override->kind == GTM_ORDER_SHIFT)
        snprintf(out, GTM_OVERRIDE_WORD_BYTES, "shift %u %%",
                 policy_shift_now(&override->shift) / 10);
    else
        snprintf(out, GTM_OVERRIDE_WORD_BYTES, "%s",
                 override->kind == GTM_ORDER_SWITCH  ? gtm_switch_words[override->on]
                 : override->kind == GTM_ORDER_PAUSE ? "paused"
                                                     : gtm_admin_word(override->admin));
    return out;
}

static void print_shift(struct gtm_json *root, const struct gtm_override *override)
{
    const struct policy_shift *shift = &override->shift;
    char steps[POLICY_SHIFT_TEXT];
    gtm_json_add_str(root, "steps", policy_shift_print(shift, steps));
    gtm_json_add_i64(root, "done", shift->done);
    gtm_json_add_i64(root, "pause_ms", (int64_t)shift->pause_ms);
    gtm_json_add_i64(root, "step_ms", shift->since_ms);
    gtm_json_add_bool(root, "held", shift->held);
    gtm_json_add_str(root, "held_why", override->shift_why);
    gtm_json_add_i64(root, "unwell", override->shift_unwell);
}

char *gtm_override_print(const struct gtm_override *override)
{
    struct gtm_json *root = gtm_json_object();
    char word[GTM_OVERRIDE_WORD_BYTES];
    bool shift = override->kind == GTM_ORDER_SHIFT;
    gtm_json_add_str(root, "state", shift ? "shift" : gtm_override_word(override, word));
    gtm_json_add_str(root, "owner", override->owner);
    gtm_json_add_str(root, "reason", override->reason);
    gtm_json_add_i64(root, "since_ms", override->since_ms);
    gtm_json_add_i64(root, "until_ms", override->until_ms);
    if (override->over_ms)
        gtm_json_add_i64(root, "over_ms", (int64_t) override->over_ms);
    if (override->rules[0])
        gtm_json_add_str(root, "rules", override->rules);
    if (shift)
        print_shift(root, override);
    char *text = gtm_json_print(root, false);
    gtm_json_free(root);
    return text;
}

static bool parse_shift(const struct gtm_json *root, struct gtm_override *ret)
{
    struct gtm_error err = {0};
    if (policy_shift_parse(gtm_json_str(root, "steps", ""), &ret->shift, &err))
        return false;
    int64_t done = gtm_json_i64(root, "done", -1), pause_ms = gtm_json_i64(root, "pause_ms", -1);
    if (done < 0 || done > ret->shift.count || pause_ms < 0)
        return false;
    ret->shift.done = (unsigned)done;
    ret->shift.pause_ms = (uint64_t)pause_ms;
    ret->shift.since_ms = gtm_json_i64(root, "step_ms", 0);
    ret->shift.held = gtm_json_bool(root, "held", false);
    ret->shift_unwell = (unsigned)gtm_json_i64(root, "unwell", 0);
    snprintf(ret->shift_why, sizeof(ret->shift_why), "%s", gtm_json_str(root, "held_why", ""));
    return true;
}

/* What the order is, from its word. */
static bool parse_word(const struct gtm_json *root, struct gtm_override *ret)
{
    const char *word = gtm_json_str(root, "state", "");
    int admin = gtm_admin_parse(word);
    *ret = (struct gtm_override){.admin = admin > GTM_ADMIN_AUTO ? (enum gtm_admin)admin
                                                                 : GTM_ADMIN_AUTO};
    if (!strcmp(word, "shift")) {
        ret->kind = GTM_ORDER_SHIFT;
        return parse_shift(root, ret);
    }
    if (!strcmp(word, "paused"))
        ret->kind = GTM_ORDER_PAUSE;
    for (unsigned i = 0; i < 2; i++) {
        if (!strcmp(word, gtm_switch_words[i])) {
            ret->kind = GTM_ORDER_SWITCH;
            ret->on = (enum gtm_switch)i;
        }
    }
    return ret->kind != GTM_ORDER_ADMIN || ret->admin != GTM_ADMIN_AUTO;
}

int gtm_override_parse(const char *text, size_t len, struct gtm_override *ret_override)
{
    struct gtm_json *root = gtm_json_parse(text, len, NULL);
    if (!root || !parse_word(root, ret_override)) {
        gtm_json_free(root);
        return GTM_ECORRUPT;
    }
    ret_override->since_ms = gtm_json_i64(root, "since_ms", 0);
    ret_override->until_ms = gtm_json_i64(root, "until_ms", 0);
    ret_override->over_ms = (uint64_t)gtm_json_i64(root, "over_ms", 0);
    ret_override->saved = true;
    snprintf(ret_override->owner, sizeof(ret_override->owner), "%s",
             gtm_json_str(root, "owner", "unknown"));
    snprintf(ret_override->reason, sizeof(ret_override->reason), "%s",
             gtm_json_str(root, "reason", ""));
    snprintf(ret_override->rules, sizeof(ret_override->rules), "%s",
             gtm_json_str(root, "rules", ""));
    gtm_json_free(root);
    return 0;
}

bool gtm_override_key(const char *pool, const char *endpoint, char ret_key[GTM_OVERRIDE_KEY_BYTES])
{
    int n = endpoint ? snprintf(ret_key, GTM_OVERRIDE_KEY_BYTES, "endpoint/%s/%s", pool, endpoint)
                     : snprintf(ret_key, GTM_OVERRIDE_KEY_BYTES, "pool/%s", pool);
    return n > 0 && n < GTM_OVERRIDE_KEY_BYTES;
}

bool gtm_override_key_of(const char *noun, const char *name, char ret_key[GTM_OVERRIDE_KEY_BYTES])
{
    int n = snprintf(ret_key, GTM_OVERRIDE_KEY_BYTES, "%s/%s", noun, name);
    return n > 0 && n < GTM_OVERRIDE_KEY_BYTES;
}
