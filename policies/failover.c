/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers from the first region of an order that can answer: `failover` itself, and the second half
 * of `nearest` and `geo`. Pure; see policy.h.
 */
#include "policies/policy_int.h"

void policy__pool_regions(const struct gtm_pool *pool, struct policy_regionset *ret)
{
    *ret = (struct policy_regionset){{0}};
    for (size_t e = 0; e < pool->endpoints_count; e++)
        ret->bits[pool->endpoints[e].region / 64] |= UINT64_C(1)
                                                     << (pool->endpoints[e].region % 64);
}

void policy__append(struct policy_regions *list, const struct policy_regionset *set,
                    unsigned region)
{
    if (list->count == POLICY_REGIONS_MAX || !policy_regionset_has(set, region))
        return;
    for (unsigned i = 0; i < list->count; i++)
        if (list->region[i] == region)
            return;
    list->region[list->count++] = (uint16_t)region;
}

void policy__append_default(const struct gtm_intent *intent, const struct gtm_policy *policy,
                            const struct policy_regionset *set, struct policy_regions *list)
{
    for (size_t i = 0; i < policy->order_count; i++)
        policy__append(list, set, policy->order[i]);
    for (unsigned r = 0; r < intent->regions_count && list->count < POLICY_REGIONS_MAX; r++)
        policy__append(list, set, r);
}

int policy_first(const struct gtm_intent *intent, unsigned part, const struct policy_regions *list,
                 const struct policy_regionset *set)
{
    const struct gtm_policy *policy = &intent->policies[part];
    for (unsigned i = 0; list && i < list->count; i++)
        if (policy_regionset_has(set, list->region[i]))
            return list->region[i];
    for (size_t i = 0; i < policy->order_count; i++)
        if (policy_regionset_has(set, policy->order[i]))
            return (int)policy->order[i];
    for (size_t w = 0; w < sizeof(set->bits) / sizeof(set->bits[0]); w++)
        if (set->bits[w])
            return (int)(w * 64) + __builtin_ctzll(set->bits[w]);
    return -1;
}

/* Says which regions of the list could not answer before `chosen`. */
static void say_regions(const struct policy__walk *walk, const struct policy_regions *list,
                        int chosen)
{
    const struct gtm_region *regions = walk->env->intent->regions;
    for (unsigned i = 0; list && i < list->count && list->region[i] != chosen; i++)
        policy__say(walk->env, "region %s is preferred but has no usable endpoint",
                    regions[list->region[i]].name);
}

void policy__from_region(struct policy__walk *walk, unsigned policy,
                         const struct policy_regions *list, double share)
{
    const struct gtm_intent *intent = walk->env->intent;
    const struct gtm_policy *p = &intent->policies[policy];
    const struct gtm_pool *pool = &intent->pools[p->pool];
    struct policy_regions order = {.count = 0};
    struct policy_regionset usable = {{0}};
    struct policy_usable u;
    policy__pool_usable(walk->env, p->pool, walk->level, &u);
    for (size_t i = 0; i < u.count; i++) {
        unsigned r = pool->endpoints[u.endpoints[i]].region;
        usable.bits[r / 64] |= UINT64_C(1) << (r % 64);
    }
    if (!list) {
        struct policy_regionset here;
        policy__pool_regions(pool, &here);
        policy__append_default(intent, p, &here, &order);
        list = &order;
    }
    int region = policy_first(intent, policy, list, &usable);
    if (region < 0)
        return;
    policy__say_skipped(walk->env, p->pool, walk->level);
    say_regions(walk, list, region);
    policy__say(walk->env, "region %s answers for pool %s", intent->regions[region].name,
                pool->name);
    policy__option(walk, share, p->answers);
    for (size_t i = 0; i < u.count; i++)
        if (pool->endpoints[u.endpoints[i]].region == (unsigned)region)
            policy__member(walk, p->pool, u.endpoints[i], u.standby);
}
