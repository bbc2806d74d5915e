/* SPDX-License-Identifier: Apache-2.0
 *
 * Checks of policies against the whole intent: what their steering needs of regions, pools and
 * monitors. The graph that policies form is checked in intent_check_graph.c. See intent_tables.h.
 */
#include "gtm/base/mem.h"
#include "gtm/model/intent_tables.h"

#include <string.h>

/* --- steering --- */

/* Regions of the policy's pool in order of their first endpoint; returns how many. */
static size_t pool_regions(const struct gtm_intent *intent, const struct gtm_policy *policy,
                           unsigned *ret_regions, bool seen[GTM_REGIONS_MAX])
{
    size_t count = 0;
    if (!policy->has_pool || policy->pool >= intent->pools_count)
        return 0;
    const struct gtm_pool *pool = &intent->pools[policy->pool];
    for (size_t i = 0; i < pool->endpoints_count; i++) {
        unsigned r = pool->endpoints[i].region;
        if (r < intent->regions_count && r < GTM_REGIONS_MAX && !seen[r]) {
            seen[r] = true;
            ret_regions[count++] = r;
        }
    }
    return count;
}

static void check_order(struct gtm_parse *p, const struct gtm_intent *intent,
                        const struct gtm_policy *policy, const bool *in_pool)
{
    for (size_t i = 0; i < policy->order_count; i++) {
        unsigned r = policy->order[i];
        if (r < intent->regions_count && !in_pool[r])
            gtm_parse_warn_at(p, policy->pos,
                              "policy '%s': region '%s' has no endpoint in pool '%s'", policy->name,
                              intent->regions[r].name, intent->pools[policy->pool].name);
    }
}

static void check_regions(struct gtm_parse *p, struct gtm_intent *intent, struct gtm_policy *policy)
{
    bool in_pool[GTM_REGIONS_MAX] = {false};
    unsigned regions[GTM_REGIONS_MAX];
    size_t count = pool_regions(intent, policy, regions, in_pool);
    for (size_t i = 0; i < count; i++) {
        const struct gtm_region *region = &intent->regions[regions[i]];
        if (region->has_location || !region->name)
            continue;
        if (policy->steer == GTM_STEER_LATENCY)
            gtm_parse_warn_at(p, policy->pos,
                              "policy '%s' steers clients that were not measured to the nearest "
                              "region, but region '%s' of pool '%s' has no location",
                              policy->name, region->name, intent->pools[policy->pool].name);
        if (policy->steer == GTM_STEER_NEAREST)
            gtm_parse_error_at(p, policy->pos,
                               "policy '%s' steers to the nearest region, but region '%s' of pool "
                               "'%s' has no location",
                               policy->name, region->name, intent->pools[policy->pool].name);
    }
    if (count == 0)
        return;
    if (policy->order_count > 0) {
        check_order(p, intent, policy, in_pool);
        return;
    }
    policy->order = gtm_memdup(regions, count * sizeof(*regions));
    policy->order_count = policy->order ? count : 0;
    p->nomem |= policy->order == NULL;
}

static void check_weights(struct gtm_parse *p, const struct gtm_policy *policy)
{
    uint64_t weight = 0;
    for (size_t i = 0; i < policy->to_count; i++)
        weight += policy->to[i].weight;
    if (policy->to_count > 0 && weight == 0)
        gtm_parse_warn_at(p, policy->pos, "policy '%s': all weights are 0", policy->name);
}

/* --- load reports --- */

bool gtm_pool_reports(const struct gtm_intent *intent, const struct gtm_pool *pool,
                      enum gtm_load load)
{
    for (size_t i = 0; i < pool->monitors_count; i++) {
        unsigned m = pool->monitors[i];
        if (m < intent->monitors_count && intent->monitors[m].load_pointer[load])
            return true;
    }
    return false;
}

/* response_time and ewma can use how long the checks themselves take; connections nobody else
 * counts. */
static void check_loads(struct gtm_parse *p, const struct gtm_intent *intent,
                        const struct gtm_policy *policy)
{
    if (policy->steer != GTM_STEER_LEAST_CONNECTIONS || !policy->has_pool ||
        policy->pool >= intent->pools_count)
        return;
    const struct gtm_pool *pool = &intent->pools[policy->pool];
    if (!gtm_pool_reports(intent, pool, GTM_LOAD_CONNECTIONS))
        gtm_parse_warn_at(p, policy->pos,
                          "policy '%s' steers by connections, but no monitor of pool '%s' has "
                          "'load: {connections: …}': the configured weights hold",
                          policy->name, pool->name);
}

void gtm_check_policies(struct gtm_parse *p, struct gtm_intent *intent)
{
    size_t count = intent->policies_count;
    for (size_t i = 0; i < count; i++) {
        if (!intent->policies[i].name) /* could not be read: reported already */
            return;
    }
    for (size_t i = 0; i < count && !p->nomem; i++) {
        if (intent->policies[i].answers == 0) /* has faults of its own, see gtm_check_policy */
            continue;
        check_regions(p, intent, &intent->policies[i]);
        check_weights(p, &intent->policies[i]);
        check_loads(p, intent, &intent->policies[i]);
    }
    if (!p->nomem)
        gtm_check_graph(p, intent);
}
