/* SPDX-License-Identifier: Apache-2.0
 *
 * What orders do by themselves: shifts take their steps, and orders end. See orders.h.
 */
#include "gtm/base/log.h"
#include "gtm/daemon/daemon.h"
#include "gtm/daemon/orders.h"

#include <stdio.h>
#include <string.h>

#define ORDERS_A_TICK 32

#define NEED_MS 1000 /* to make a commit in */

/* May this node take steps? */
static bool decides(const struct gtmd *d)
{
    struct gtm_leader *leader = d->cluster ? gtm_cluster_leader(d->cluster) : NULL;
    return d->phase == GTMD_SERVING &&
           (!d->node->has_etcd || (leader && gtm_leader_valid(leader, NEED_MS)));
}

unsigned gtm_orders_unwell(const struct gtm_facts *facts, size_t region)
{
    const struct gtm_intent *intent = facts->intent;
    unsigned unwell = 0;
    for (size_t p = 0; p < intent->pools_count; p++) {
        const struct gtm_pool *pool = &intent->pools[p];
        bool here = false;
        unsigned down = 0;
        for (size_t e = 0; e < pool->endpoints_count; e++) {
            here = here || pool->endpoints[e].region == region;
            down += pool->endpoints[e].region != region &&
                    gtm_facts_endpoint_health(facts, p, e) == GTM_HEALTH_DOWN;
        }
        unwell += here ? down : 0;
    }
    return unwell;
}

static void on_done(void *arg, int code, const struct gtm_error *err)
{
    (void)arg;
    if (code && code != GTM_ECONFLICT)
        gtm_log(GTM_LOG_ERROR, "orders", "a step of an order is not saved",
                gtm_kv_str("error", err && err->text[0] ? err->text : gtm_err_text(code)));
}

static void commit(struct gtmd *d, const struct gtm_order *order, struct gtm_order_plan *plan)
{
    int rc = gtm_orders_commit(d, order, plan, on_done, NULL);
    if (rc)
        on_done(NULL, rc, NULL);
    gtm_order_plan_fini(plan);
}

/* Why the shift must not go on; "" when it may. */
static void why_hold(const struct gtmd *d, const struct gtm_order *next,
                     const struct gtm_order_plan *plan, char out[GTM_SHARE_TEXT_BYTES])
{
    const struct gtm_facts *facts = gtm_state_facts(d->state);
    int region = gtm_facts_find_region(facts, next->key);
    unsigned unwell = region >= 0 ? gtm_orders_unwell(facts, (size_t)region) : 0;
    out[0] = '\0';
    for (size_t i = 0; i < plan->verdicts_count && !out[0]; i++)
        if (plan->verdicts[i].word == POLICY_RULE_BLOCKED)
            snprintf(out, GTM_SHARE_TEXT_BYTES, "rule %.63s: %.80s", plan->verdicts[i].rule->name,
                     plan->verdicts[i].text);
    if (!out[0] && unwell > next->put.shift_unwell)
        snprintf(out, GTM_SHARE_TEXT_BYTES,
                 "endpoints of its pools that are down elsewhere: %u, when it began %u", unwell,
                 next->put.shift_unwell);
}

static void step(struct gtmd *d, const char *key, const struct gtm_override *now)
{
    struct gtm_order next = {.put = *now, .role = "gtmd", .guarded = true};
    struct gtm_order_plan plan;
    struct gtm_error err = {0};
    snprintf(next.key, sizeof(next.key), "%.*s", GTM_OVERRIDE_KEY_BYTES - 1, key);
    snprintf(next.verb, sizeof(next.verb), "traffic step");
    next.put.shift.done++;
    next.put.shift.since_ms = gtm_wall_ms(&d->common);
    int rc = gtm_orders_plan(d, &next, &plan, &err);
    if (rc == GTM_ENOMEM)
        return; /* again in a second */
    if (rc) {   /* a rule that it may break is gone */
        next.put.rules[0] = '\0';
        if (gtm_orders_plan(d, &next, &plan, &err))
            return;
    }
    why_hold(d, &next, &plan, next.put.shift_why);
    if (next.put.shift_why[0]) {
        next.put.shift = now->shift;
        next.put.shift.held = true;
        snprintf(next.verb, sizeof(next.verb), "traffic hold");
        gtm_log(GTM_LOG_WARN, "orders", "a shift holds", gtm_kv_str("key", key),
                gtm_kv_str("why", next.put.shift_why));
    }
    commit(d, &next, &plan);
}

static void end(struct gtmd *d, const char *key, const struct gtm_override *now)
{
    struct gtm_order gone = {.clear = true, .role = "gtmd", .guarded = true, .ended = true};
    struct gtm_order_plan plan;
    struct gtm_error err = {0};
    gone.put.kind = now->kind;
    snprintf(gone.key, sizeof(gone.key), "%.*s", GTM_OVERRIDE_KEY_BYTES - 1, key);
    snprintf(gone.verb, sizeof(gone.verb), "order ended");
    snprintf(gone.put.owner, sizeof(gone.put.owner), "%s", now->owner);
    snprintf(gone.put.reason, sizeof(gone.put.reason), "its time is over");
    if (gtm_orders_plan(d, &gone, &plan, &err) == GTM_OK)
        commit(d, &gone, &plan);
}

void gtm_orders_tick(struct gtmd *d)
{
    const struct gtm_facts *facts = gtm_state_facts(d->state);
    char keys[ORDERS_A_TICK][GTM_OVERRIDE_KEY_BYTES];
    size_t it = 0, count = 0;
    int64_t now = gtm_wall_ms(&d->common);
    const char *key;
    void *value;
    if (!facts || !decides(d))
        return;
    bool paused = gtm_facts_paused(facts);
    while (count < ORDERS_A_TICK && gtm_map_next(facts->overrides.map, &it, &key, &value)) {
        const struct gtm_override *o = value;
        int64_t due = o->kind == GTM_ORDER_SHIFT && !paused ? policy_shift_due_ms(&o->shift) : 0;
        bool over = d->node->has_etcd && o->until_ms && o->until_ms <= now;
        if (over || (due && due <= now))
            snprintf(keys[count++], GTM_OVERRIDE_KEY_BYTES, "%s", key);
    }
    for (size_t i = 0; i < count; i++) { /* a commit may change the map */
        const struct gtm_override *o = gtm_overrides_get(&facts->overrides, keys[i]);
        struct gtm_override copy = o ? *o : (struct gtm_override){.until_ms = 0};
        if (o && copy.until_ms && copy.until_ms <= now)
            end(d, keys[i], &copy);
        else if (o)
            step(d, keys[i], &copy);
    }
}
