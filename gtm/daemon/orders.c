/* SPDX-License-Identifier: Apache-2.0
 *
 * Plans and commits of orders. See orders.h.
 */
#include "gtm/daemon/orders.h"

#include "gtm/base/mem.h"
#include "gtm/coord/audit.h"
#include "gtm/daemon/daemon.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HEAD_KEY       "head/orders"
#define COOL_KEY_BYTES (GTM_NAME_MAX + 8)
#define STAMP_BYTES    96

/* --- the world --- */

/* Where things are heading: gradual drains are over. NULL: out of memory. */
static struct gtm_facts *settled(const struct gtm_facts *facts)
{
    struct gtm_facts *copy = gtm_facts_clone(facts);
    size_t it = 0;
    const char *key;
    void *value;
    while (copy && gtm_map_next(copy->overrides.map, &it, &key, &value)) {
        struct gtm_override *o = value;
        if (!o->draining)
            continue;
        o->draining = false;
        gtm_facts_apply_override(copy, key, NULL);
    }
    return copy;
}

struct sharing {
    struct gtm_facts *facts;
    const struct gtm_clock *clock;
};

static void put_share(void *ctx, size_t pool, size_t endpoint)
{
    const struct sharing *s = ctx;
    for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++)
        if (gtm_endpoint_has(&s->facts->intent->pools[pool].endpoints[endpoint], f))
            gtm_facts_put_share(s->facts, pool, endpoint, (enum gtm_family)f, s->clock, NULL);
}

static int put_order(struct gtm_facts *facts, const struct gtm_order *order,
                     const struct gtm_clock *clock)
{
    struct sharing sharing = {facts, clock};
    int rc = 0;
    if (order->clear)
        gtm_overrides_remove(&facts->overrides, order->key);
    else
        rc = gtm_overrides_put(&facts->overrides, order->key, &order->put);
    gtm_facts_apply_override(facts, order->key, NULL);
    if (strncmp(order->key, "shift/", 6) == 0)
        gtm_facts_each(facts, order->key, put_share, &sharing);
    return rc;
}

/* Requests a second that the pool's users ask for now; -1: an endpoint that serves does not say. */
static double demand_of(const struct gtm_facts *facts, size_t pool, uint64_t now_ms)
{
    const struct gtm_pool *p = &facts->intent->pools[pool];
    uint64_t stale_ms = gtm_state_stale_ms(facts->intent, pool);
    double sum = 0;
    for (size_t e = 0; e < p->endpoints_count; e++) {
        const struct gtm_endpoint_load *load = &facts->loads[facts->base[pool] + e];
        double capacity = p->endpoints[e].capacity_requests_per_s;
        const uint64_t *at = load->mono_ms;
        if (!gtm_facts_endpoint_serves(facts, pool, e))
            continue;
        if (at[GTM_LOAD_REQUESTS_PER_S] && at[GTM_LOAD_REQUESTS_PER_S] + stale_ms >= now_ms)
            sum += load->value[GTM_LOAD_REQUESTS_PER_S];
        else if (capacity >= 0 && at[GTM_LOAD_LOAD] && at[GTM_LOAD_LOAD] + stale_ms >= now_ms)
            sum += load->value[GTM_LOAD_LOAD] * capacity;
        else
            return -1;
    }
    return sum;
}

/* --- cool-downs --- */

static const char *cool_key(const char *region, char out[COOL_KEY_BYTES])
{
    snprintf(out, COOL_KEY_BYTES, "cool/%s", region);
    return out;
}

/* When the users of a region were moved last; 0 = never. */
static int64_t moved_ms(const struct gtmd *d, const char *region)
{
    char key[COOL_KEY_BYTES];
    struct gtm_store_entry entry;
    if (gtm_store_get(d->store, cool_key(region, key), &entry))
        return 0;
    struct gtm_json *root = gtm_json_parse(entry.value, entry.value_len, NULL);
    int64_t at = gtm_json_i64(root, "at_ms", 0);
    gtm_json_free(root);
    return at;
}

static void find_last(const struct gtmd *d, struct policy_order *order)
{
    int64_t last = 0, now = gtm_wall_ms(&d->common);
    order->last_region = POLICY_NO_REGION;
    for (size_t r = 0; order->moves_region && r < d->intent->regions_count; r++) {
        int64_t at = (int)r == order->region ? 0 : moved_ms(d, d->intent->regions[r].name);
        if (at <= last)
            continue;
        last = at;
        order->last_region = (int)r;
        order->last_ago_ms = now > at ? (uint64_t)(now - at) : 0;
    }
}

/* --- what it is about --- */

static int region_of(const struct gtm_facts *facts, const char *key, size_t *ret_pool)
{
    long endpoint = -1;
    int region = gtm_facts_find_region(facts, key);
    *ret_pool = SIZE_MAX;
    if (region >= 0 || !gtm_facts_find(facts, key, ret_pool, &endpoint))
        return region;
    return endpoint < 0 ? POLICY_NO_REGION
                        : (int)facts->intent->pools[*ret_pool].endpoints[endpoint].region;
}

static bool takes_users(const struct gtm_order *order, const struct gtm_override *before)
{
    const struct gtm_override *put = &order->put;
    if (order->clear)
        return false;
    if (put->kind == GTM_ORDER_SHIFT)
        return !put->shift.held &&
               (!before || before->kind != GTM_ORDER_SHIFT ||
                policy_shift_now(&put->shift) != policy_shift_now(&before->shift) ||
                before->shift.held);
    return put->kind == GTM_ORDER_ADMIN &&
           (put->admin == GTM_ADMIN_DOWN || put->admin == GTM_ADMIN_DRAIN);
}

static size_t count_serving(const struct gtm_facts *facts, size_t pool)
{
    size_t n = 0;
    for (size_t p = 0; p < facts->intent->pools_count; p++)
        if (pool == SIZE_MAX || p == pool)
            n += gtm_facts_serving(facts, p);
    return n;
}

/* --- rules --- */

#define SWITCHES_MAX 256

static size_t switches_on(const struct gtm_facts *facts, const char *out[SWITCHES_MAX])
{
    size_t it = 0, n = 0;
    const char *key;
    void *value;
    while (n < SWITCHES_MAX && gtm_map_next(facts->overrides.map, &it, &key, &value)) {
        const struct gtm_override *o = value;
        if (o->kind == GTM_ORDER_SWITCH && o->on == GTM_SWITCH_ON && !strncmp(key, "switch/", 7))
            out[n++] = key + 7;
    }
    return n;
}

/* The names in the list, each of which must be a rule's. */
static int apply_overridden(struct gtm_order_plan *plan, const char *list, struct gtm_error *err)
{
    while (*list) {
        char name[GTM_NAME_MAX + 1];
        size_t n = strcspn(list, ",");
        snprintf(name, sizeof(name), "%.*s", (int)(n > GTM_NAME_MAX ? GTM_NAME_MAX : n), list);
        if (!policy_rules_override(plan->verdicts, plan->verdicts_count, name))
            return gtm_error_set(err, GTM_EINVAL,
                                 "there is no rule '%s' to override: gtmctl rule list", name);
        list += n + (list[n] == ',');
    }
    return GTM_OK;
}

static int judge(struct gtmd *d, const struct gtm_order *order, const struct gtm_facts *before,
                 const struct gtm_facts *after, struct gtm_order_plan *plan)
{
    const struct gtm_intent *intent = before->intent;
    const char *on[SWITCHES_MAX];
    size_t pool;
    double *demand = gtm_calloc(intent->pools_count + 1, sizeof(*demand));
    enum gtm_health *words = gtm_calloc(intent->regions_count + 1, sizeof(*words));
    struct policy_order o = {.before = {before->states, before->shifted},
                             .after = {after->states, after->shifted},
                             .regions = words,
                             .demand = demand,
                             .switches_on = on,
                             .switches_on_count = switches_on(before, on),
                             .region = region_of(before, order->key, &pool)};
    const struct gtm_override *had = plan->had_before ? &plan->before : NULL;
    o.moves = takes_users(order, had);
    o.moves_region = o.moves && gtm_facts_find_region(before, order->key) >= 0 && !had;
    for (size_t p = 0; demand && p < intent->pools_count; p++)
        demand[p] = demand_of(before, p, gtm_mono_ms(d->clock));
    for (size_t r = 0; words && r < intent->regions_count; r++)
        words[r] = before->regions[r].health;
    find_last(d, &o);
    if (demand && words)
        plan->verdicts = policy_rules(intent, &o, &plan->verdicts_count);
    gtm_free(demand);
    gtm_free(words);
    return plan->verdicts ? GTM_OK : GTM_ENOMEM;
}

int gtm_orders_plan(struct gtmd *d, const struct gtm_order *order, struct gtm_order_plan *ret_plan,
                    struct gtm_error *err)
{
    const struct gtm_facts *facts = gtm_state_facts(d->state);
    const struct gtm_override *had = gtm_overrides_get(&facts->overrides, order->key);
    struct gtm_store_entry head;
    size_t pool;
    *ret_plan = (struct gtm_order_plan){.had_before = had != NULL};
    if (had)
        ret_plan->before = *had;
    if (!gtm_store_get(d->store, HEAD_KEY, &head))
        ret_plan->head = head.revision;
    bool shift = order->put.kind == GTM_ORDER_SHIFT && !order->clear;
    if (order->put.kind == GTM_ORDER_SWITCH || order->put.kind == GTM_ORDER_PAUSE ||
        (shift && order->put.shift.held))
        return GTM_OK;
    struct gtm_facts *before = settled(facts);
    struct gtm_facts *after = before ? gtm_facts_clone(before) : NULL;
    int rc = after ? put_order(after, order, d->clock) : GTM_ENOMEM;
    /* A step is judged with those before it: against the world without the shift. */
    struct gtm_order none = {.clear = true};
    memcpy(none.key, order->key, sizeof(none.key));
    if (!rc && shift)
        rc = put_order(before, &none, d->clock);
    if (!rc)
        rc = judge(d, order, before, after, ret_plan);
    if (!rc) {
        region_of(facts, order->key, &pool);
        ret_plan->serving_before = count_serving(facts, pool);
        ret_plan->serving_after = count_serving(after, pool);
        rc = apply_overridden(ret_plan, order->clear ? "" : order->put.rules, err);
    }
    gtm_facts_free(before);
    gtm_facts_free(after);
    if (rc)
        gtm_order_plan_fini(ret_plan);
    return rc;
}

void gtm_order_plan_fini(struct gtm_order_plan *plan)
{
    gtm_free(plan->verdicts);
    plan->verdicts = NULL;
    plan->verdicts_count = 0;
}

bool gtm_order_plan_blocked(const struct gtm_order_plan *plan)
{
    return policy_rules_worst(plan->verdicts, plan->verdicts_count) == POLICY_RULE_BLOCKED;
}

const char *gtm_order_plan_names(const struct gtm_order_plan *plan, enum policy_rule_word word,
                                 char out[GTM_ORDER_RULES_BYTES])
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < plan->verdicts_count && n < GTM_ORDER_RULES_BYTES; i++)
        if (plan->verdicts[i].word == word)
            n += (size_t)snprintf(out + n, GTM_ORDER_RULES_BYTES - n, "%s%s", n ? ", " : "",
                                  plan->verdicts[i].rule->name);
    return out;
}

/* --- commit --- */

static void note(struct gtmd *d, const struct gtm_order *order, const struct gtm_order_plan *plan)
{
    char from[GTM_OVERRIDE_WORD_BYTES] = "auto", to[GTM_OVERRIDE_WORD_BYTES] = "auto";
    char broken[GTM_ORDER_RULES_BYTES];
    char cause[GTM_OVERRIDE_OWNER_BYTES + GTM_OVERRIDE_REASON_BYTES + GTM_ORDER_RULES_BYTES + 40];
    gtm_order_plan_names(plan, POLICY_RULE_OVERRIDDEN, broken);
    if (plan->had_before)
        gtm_override_word(&plan->before, from);
    if (!order->clear)
        gtm_override_word(&order->put, to);
    const char *reason = order->put.reason;
    snprintf(cause, sizeof(cause), "%s%s%s%s%s", order->put.owner, reason[0] ? ": " : "", reason,
             broken[0] ? "; rules overridden: " : "", broken);
    gtm_events_add(d->events, &(struct gtm_event){.type = order->ended ? GTM_EVENT_OVERRIDE_EXPIRED
                                                                       : GTM_EVENT_ADMIN_CHANGED,
                                                  .level = broken[0] ? GTM_LOG_WARN : GTM_LOG_INFO,
                                                  .subject = order->key,
                                                  .from = from,
                                                  .to = to,
                                                  .cause = cause});
}

static struct gtm_store_change stamp(const char *key, char text[STAMP_BYTES], int64_t now,
                                     int64_t expect)
{
    snprintf(text, STAMP_BYTES, "{\"v\":1,\"at_ms\":%" PRId64 "}", now);
    return (struct gtm_store_change){.kind = GTM_STORE_PUT,
                                     .key = key,
                                     .value = text,
                                     .value_len = strlen(text),
                                     .expect = expect};
}

int gtm_orders_commit(struct gtmd *d, const struct gtm_order *order,
                      const struct gtm_order_plan *plan, gtm_state_done_fn done, void *arg)
{
    int64_t now = gtm_wall_ms(&d->common);
    struct gtm_store_change more[3];
    struct gtm_leader *leader = d->cluster ? gtm_cluster_leader(d->cluster) : NULL;
    char text[STAMP_BYTES], key[COOL_KEY_BYTES], broken[GTM_ORDER_RULES_BYTES];
    char why[GTM_OVERRIDE_REASON_BYTES + GTM_ORDER_RULES_BYTES + 32];
    size_t count = 0;
    int region = gtm_facts_find_region(gtm_state_facts(d->state), order->key);
    if (region >= 0)
        more[count++] =
            stamp(cool_key(d->intent->regions[region].name, key), text, now, GTM_STORE_ANY);
    if (d->node->has_etcd)
        more[count++] = stamp(HEAD_KEY, text, now, plan->head);
    if (order->guarded && leader && gtm_leader_guard(leader, &more[count++]))
        return GTM_ESTATE; /* another node leads, and does it */
    gtm_order_plan_names(plan, POLICY_RULE_OVERRIDDEN, broken);
    snprintf(why, sizeof(why), "%s%s%s%s", order->put.reason,
             broken[0] ? " [rules overridden: " : "", broken, broken[0] ? "]" : "");
    struct gtm_audit_entry entry = {.time_ms = now,
                                    .who = order->put.owner,
                                    .role = order->role,
                                    .node = d->node->name,
                                    .verb = order->verb,
                                    .subject = order->key,
                                    .why = why[0] ? why : NULL};
    note(d, order, plan);
    return gtm_state_override_by(d->state, order->key, order->clear ? NULL : &order->put, &entry,
                                 more, count, done, arg);
}
