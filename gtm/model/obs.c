/* SPDX-License-Identifier: Apache-2.0
 *
 * See obs.h.
 */
#include "gtm/model/obs.h"

#include "gtm/base/mem.h"
#include "gtm/model/doc_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int same_group(const struct gtm_obs_slot *a, const struct gtm_obs_slot *b)
{
    int by_monitor = strcmp(a->monitor, b->monitor);
    return by_monitor ? by_monitor : (int)a->family - (int)b->family;
}

static int compare(const void *a, const void *b)
{
    const struct gtm_obs_slot *x = *(const struct gtm_obs_slot *const *)a;
    const struct gtm_obs_slot *y = *(const struct gtm_obs_slot *const *)b;
    int group = same_group(x, y);
    return group ? group : strcmp(x->endpoint, y->endpoint);
}

/* The slots sorted by monitor, family and endpoint; NULL: GTM_ENOMEM. */
static const struct gtm_obs_slot **sorted(const struct gtm_obs *obs)
{
    const struct gtm_obs_slot **slots = gtm_calloc(obs->count + 1, sizeof(*slots));
    for (size_t i = 0; slots && i < obs->count; i++)
        slots[i] = &obs->slots[i];
    if (slots && obs->count > 1)
        qsort(slots, obs->count, sizeof(*slots), compare);
    return slots;
}

static const struct gtm_obs_slot *twice(const struct gtm_obs_slot *const *slots, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (compare(&slots[i - 1], &slots[i]) == 0)
            return slots[i];
    }
    return NULL;
}

/* --- printing --- */

static bool printable(const struct gtm_obs *obs)
{
    if (!gtm__doc_name_ok(obs->region) || obs->at_ms < 0 || obs->seq > INT64_MAX)
        return false;
    for (size_t i = 0; i < obs->count; i++) {
        const struct gtm_obs_slot *slot = &obs->slots[i];
        if (!gtm__doc_name_ok(slot->endpoint) || !gtm__doc_name_ok(slot->monitor) ||
            slot->family >= GTM_FAMILY_COUNT || slot->since_ms < 0)
            return false;
    }
    return true;
}

static void print_down(struct gtm_buf *buf, const struct gtm_obs_slot *slot, bool evidence)
{
    gtm_buf_addc(buf, '[');
    gtm__doc_quote(buf, slot->endpoint, SIZE_MAX);
    gtm_buf_addf(buf, ",%" PRId64 ",", slot->since_ms);
    gtm__doc_quote(buf, slot->result, GTM_OBS_RESULT);
    gtm_buf_addc(buf, ',');
    gtm__doc_quote(buf, evidence ? slot->evidence : "", GTM_OBS_EVIDENCE);
    gtm_buf_adds(buf, slot->content ? ",\"content\"]" : "]");
}

static enum gtm_health said(const struct gtm_obs_slot *slot)
{
    if (slot->health == GTM_HEALTH_DOWN)
        return GTM_HEALTH_DOWN;
    return slot->health == GTM_HEALTH_UP || slot->health == GTM_HEALTH_DEGRADED
               ? GTM_HEALTH_UP
               : GTM_HEALTH_UNKNOWN;
}

/* One monitor and family: {"up":[…],"unknown":[…],"down":[…]}, empty lists left out. */
static void print_group(struct gtm_buf *buf, const struct gtm_obs_slot *const *slots, size_t count,
                        bool evidence)
{
    static const enum gtm_health order[] = {GTM_HEALTH_UP, GTM_HEALTH_UNKNOWN, GTM_HEALTH_DOWN};
    gtm_buf_addc(buf, '{');
    for (size_t h = 0, lists = 0; h < sizeof(order) / sizeof(order[0]); h++) {
        size_t printed = 0;
        for (size_t i = 0; i < count; i++) {
            if (said(slots[i]) != order[h])
                continue;
            if (printed++ == 0)
                gtm_buf_addf(buf, "%s\"%s\":[", lists++ ? "," : "", gtm_health_word(order[h]));
            else
                gtm_buf_addc(buf, ',');
            if (order[h] == GTM_HEALTH_DOWN)
                print_down(buf, slots[i], evidence);
            else
                gtm__doc_quote(buf, slots[i]->endpoint, SIZE_MAX);
        }
        if (printed > 0)
            gtm_buf_addc(buf, ']');
    }
    gtm_buf_addc(buf, '}');
}

struct printing {
    const struct gtm_obs *obs;
    const struct gtm_obs_slot **slots;
};

static void print_all(struct gtm_buf *buf, const void *arg, bool evidence)
{
    const struct printing *printing = arg;
    const struct gtm_obs *obs = printing->obs;
    const struct gtm_obs_slot *const *slots = printing->slots;
    gtm_buf_addf(buf, "{\"v\":%d,\"region\":", GTM_OBS_FORMAT);
    gtm__doc_quote(buf, obs->region, SIZE_MAX);
    gtm__doc_add_i64(buf, "at", obs->at_ms);
    gtm__doc_add_i64(buf, "seq", (int64_t)obs->seq);
    gtm_buf_adds(buf, ",\"m\":{");
    for (size_t i = 0, end; i < obs->count; i = end) {
        bool another = i > 0 && strcmp(slots[i - 1]->monitor, slots[i]->monitor) == 0;
        if (i > 0)
            gtm_buf_adds(buf, another ? "," : "},");
        if (!another) {
            gtm__doc_quote(buf, slots[i]->monitor, SIZE_MAX);
            gtm_buf_adds(buf, ":{");
        }
        gtm_buf_addf(buf, "\"%s\":", gtm__doc_family(slots[i]->family));
        for (end = i; end < obs->count && same_group(slots[i], slots[end]) == 0;)
            end++;
        print_group(buf, &slots[i], end - i, evidence);
    }
    gtm_buf_adds(buf, obs->count > 0 ? "}}}" : "}}");
}

int gtm_obs_print(const struct gtm_obs *obs, struct gtm_buf *ret)
{
    if (obs->count > GTM_OBS_SLOTS_MAX)
        return GTM_ELIMIT;
    if (!printable(obs))
        return GTM_EINVAL;
    struct printing printing = {.obs = obs, .slots = sorted(obs)};
    if (!printing.slots)
        return GTM_ENOMEM;
    int rc = twice(printing.slots, obs->count)
                 ? GTM_EINVAL
                 : gtm__doc_print(ret, GTM_OBS_BYTES_MAX, print_all, &printing);
    gtm_free(printing.slots);
    return rc;
}

/* --- parsing --- */

static const char *const lists[] = {"up", "unknown", "down"};
enum { LISTS = 3, DOWN_LIST = 2 };

/* Calls each for every list of names or of findings, with its family and which of them it is. */
struct walk {
    int (*each)(struct walk *walk, const struct gtm_json *list, int family, int which);
    const char *monitor; /* whose lists they are; kept in texts once there is room */
    struct gtm_obs *obs;
    struct gtm__doc_texts texts;
    size_t slots; /* in all lists */
    struct gtm_error *err;
};

static int walk_group(struct walk *walk, const struct gtm_json *group)
{
    int family = gtm__doc_family_of(gtm_json_key(group)), rc = GTM_OK;
    if (family < 0)
        return GTM_OK;
    if (gtm_json_type(group) != GTM_JSON_OBJECT)
        return gtm_error_set(walk->err, GTM_EPARSE, "monitor \"%.63s\": \"%s\" must be an object",
                             walk->monitor, gtm_json_key(group));
    for (int i = 0; i < LISTS && rc == GTM_OK; i++) {
        const struct gtm_json *list = NULL;
        rc = gtm__doc_member(group, lists[i], GTM_JSON_ARRAY, &list, walk->err);
        if (rc == GTM_OK && list)
            rc = walk->each(walk, list, family, i);
    }
    return rc;
}

static int walk_all(struct walk *walk, const struct gtm_json *root)
{
    const struct gtm_json *monitors = NULL;
    int rc = gtm__doc_member(root, "m", GTM_JSON_OBJECT, &monitors, walk->err);
    if (rc == GTM_OK && !monitors)
        return gtm_error_set(walk->err, GTM_EPARSE, "\"m\" must be an object");
    const struct gtm_json *monitor = gtm_json_first(monitors);
    for (; rc == GTM_OK && monitor; monitor = gtm_json_next(monitor)) {
        const char *name = gtm_json_key(monitor);
        if (!gtm__doc_name_ok(name) || gtm_json_type(monitor) != GTM_JSON_OBJECT)
            return gtm_error_set(walk->err, GTM_EPARSE,
                                 "a member of \"m\" must be a monitor's name with an object");
        walk->monitor = walk->texts.at ? gtm__doc_keep(&walk->texts, name, GTM_NAME_MAX + 1) : name;
        const struct gtm_json *group = gtm_json_first(monitor);
        for (; rc == GTM_OK && group; group = gtm_json_next(group))
            rc = walk_group(walk, group);
    }
    return rc;
}

static int count_list(struct walk *walk, const struct gtm_json *list, int family, int which)
{
    (void)family;
    (void)which;
    walk->slots += gtm_json_count(list);
    if (walk->slots > GTM_OBS_SLOTS_MAX)
        return gtm_error_set(walk->err, GTM_ELIMIT, "more than %d observations", GTM_OBS_SLOTS_MAX);
    return GTM_OK;
}

/* [name, since, result, evidence, "content"?] */
static int read_down(struct walk *walk, const struct gtm_json *item, struct gtm_obs_slot *slot)
{
    const struct gtm_json *since = gtm_json_next(gtm_json_first(item));
    const struct gtm_json *result = since ? gtm_json_next(since) : NULL;
    const struct gtm_json *evidence = result ? gtm_json_next(result) : NULL;
    const struct gtm_json *kind = evidence ? gtm_json_next(evidence) : NULL;
    if (!gtm_json_as_str(result) || !gtm_json_as_str(evidence))
        return gtm_error_set(walk->err, GTM_EPARSE,
                             "\"down\" must hold [name, since, result, evidence]");
    slot->result = gtm__doc_keep(&walk->texts, gtm_json_as_str(result), GTM_OBS_RESULT);
    slot->evidence = gtm__doc_keep(&walk->texts, gtm_json_as_str(evidence), GTM_OBS_EVIDENCE);
    const char *word = gtm_json_as_str(kind);
    slot->content = word && strcmp(word, "content") == 0;
    return gtm__doc_uint(since, "since", INT64_MAX, &slot->since_ms, walk->err);
}

static int read_list(struct walk *walk, const struct gtm_json *list, int family, int which)
{
    int rc = GTM_OK;
    const struct gtm_json *item = gtm_json_first(list);
    for (; item && rc == GTM_OK; item = gtm_json_next(item)) {
        bool down = which == DOWN_LIST && gtm_json_type(item) == GTM_JSON_ARRAY;
        const char *name = gtm_json_as_str(down ? gtm_json_first(item) : item);
        if (!gtm__doc_name_ok(name) || down != (which == DOWN_LIST))
            return gtm_error_set(walk->err, GTM_EPARSE,
                                 "monitor \"%.63s\": \"%s\" holds what is no endpoint",
                                 walk->monitor, lists[which]);
        struct gtm_obs_slot *slot = &walk->obs->slots[walk->obs->count++];
        slot->endpoint = gtm__doc_keep(&walk->texts, name, GTM_NAME_MAX + 1);
        slot->monitor = walk->monitor;
        slot->family = (uint8_t)family;
        slot->health = (uint8_t)gtm_health_parse(lists[which]);
        slot->result = slot->evidence = "";
        if (down)
            rc = read_down(walk, item, slot);
    }
    return rc;
}

static int refuse_twice(const struct gtm_obs *obs, struct gtm_error *err)
{
    const struct gtm_obs_slot **slots = sorted(obs);
    if (!slots)
        return gtm_error_set(err, GTM_ENOMEM, "out of memory");
    const struct gtm_obs_slot *slot = twice(slots, obs->count);
    gtm_free(slots);
    return slot ? gtm_error_set(err, GTM_EPARSE, "monitor \"%.63s\" says \"%.63s\" twice",
                                slot->monitor, slot->endpoint)
                : GTM_OK;
}

static int read_slots(struct walk *walk, const struct gtm_json *root, size_t len)
{
    walk->each = count_list;
    int rc = walk_all(walk, root);
    if (rc != GTM_OK)
        return rc;
    struct gtm_obs *obs = walk->obs;
    obs->own = gtm_malloc(len + 1);
    obs->slots = gtm_calloc(walk->slots + 1, sizeof(*obs->slots));
    if (!obs->own || !obs->slots)
        return gtm_error_set(walk->err, GTM_ENOMEM, "out of memory");
    walk->texts = (struct gtm__doc_texts){.at = obs->own, .end = (char *)obs->own + len + 1};
    walk->each = read_list;
    rc = walk_all(walk, root);
    return rc == GTM_OK ? refuse_twice(obs, walk->err) : rc;
}

int gtm_obs_parse(const char *text, size_t len, struct gtm_obs *ret_obs, struct gtm_error *err)
{
    int rc = GTM_OK;
    int64_t seq = 0;
    *ret_obs = (struct gtm_obs){0};
    struct gtm_json *root =
        gtm__doc_parse(text, len, GTM_OBS_BYTES_MAX, GTM_OBS_FORMAT, "an observation", &rc, err);
    if (!root)
        return rc;
    struct walk walk = {.obs = ret_obs, .err = err};
    rc = gtm__doc_name(root, "region", ret_obs->region, sizeof(ret_obs->region), err);
    if (rc == GTM_OK)
        rc = gtm__doc_i64(root, "at", &ret_obs->at_ms, err);
    if (rc == GTM_OK)
        rc = gtm__doc_i64(root, "seq", &seq, err);
    if (rc == GTM_OK)
        rc = read_slots(&walk, root, len);
    ret_obs->seq = (uint64_t)seq;
    gtm_json_free(root);
    if (rc != GTM_OK)
        gtm_obs_fini(ret_obs);
    return rc;
}

void gtm_obs_fini(struct gtm_obs *obs)
{
    gtm_free(obs->slots);
    gtm_free(obs->own);
    *obs = (struct gtm_obs){0};
}
