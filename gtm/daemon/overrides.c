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

char *gtm_override_print(const struct gtm_override *override)
{
    struct gtm_json *root = gtm_json_object();
    gtm_json_add_str(root, "state", gtm_admin_word(override->admin));
    gtm_json_add_str(root, "owner", override->owner);
    gtm_json_add_str(root, "reason", override->reason);
    gtm_json_add_i64(root, "since_ms", override->since_ms);
    gtm_json_add_i64(root, "until_ms", override->until_ms);
    if (override->over_ms)
        gtm_json_add_i64(root, "over_ms", (int64_t) override->over_ms);
    char *text = gtm_json_print(root, false);
    gtm_json_free(root);
    return text;
}

int gtm_override_parse(const char *text, size_t len, struct gtm_override *ret_override)
{
    struct gtm_json *root = gtm_json_parse(text, len, NULL);
    int admin = gtm_admin_parse(gtm_json_str(root, "state", ""));
    if (!root || admin <= GTM_ADMIN_AUTO) {
        gtm_json_free(root);
        return GTM_ECORRUPT;
    }
    *ret_override = (struct gtm_override){.admin = (enum gtm_admin)admin,
                                          .since_ms = gtm_json_i64(root, "since_ms", 0),
                                          .until_ms = gtm_json_i64(root, "until_ms", 0),
                                          .over_ms = (uint64_t)gtm_json_i64(root, "over_ms", 0),
                                          .saved = true};
    snprintf(ret_override->owner, sizeof(ret_override->owner), "%s",
             gtm_json_str(root, "owner", "unknown"));
    snprintf(ret_override->reason, sizeof(ret_override->reason), "%s",
             gtm_json_str(root, "reason", ""));
    gtm_json_free(root);
    return 0;
}

bool gtm_override_key(const char *pool, const char *endpoint, char ret_key[GTM_OVERRIDE_KEY_BYTES])
{
    int n = endpoint ? snprintf(ret_key, GTM_OVERRIDE_KEY_BYTES, "endpoint/%s/%s", pool, endpoint)
                     : snprintf(ret_key, GTM_OVERRIDE_KEY_BYTES, "pool/%s", pool);
    return n > 0 && n < GTM_OVERRIDE_KEY_BYTES;
}
