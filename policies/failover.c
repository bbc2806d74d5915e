/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers from the first region of an order that can answer: `failover` itself, and the second half
 * of `nearest`, `geo` and `latency`. When that region sheds, a part of its users goes to the next,
 * and when that one sheds too, a part of these to the one after: what each of them hands on changes
 * as slowly as its own shed does. Pure; see policy.h.
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
        if (!(list->region[i] & POLICY_TARGET_BIT) && policy_regionset_has(set, list->region[i]))
            return list->region[i];
    for (size_t i = 0; i < policy->order_count; i++)
        if (policy_regionset_has(set, policy->order[i]))
            return (int)policy->order[i];
    for (size_t w = 0; w < sizeof(set->bits) / sizeof(set->bits[0]); w++)
        if (set->bits[w])
            return (int)(w * 64) + __builtin_ctzll(set->bits[w]);
    return -1;
}

void policy_path(const struct gtm_intent *intent, unsigned part, const struct policy_regions *list,
                 const struct policy_part_look *look, struct policy_path *ret)
{
    struct policy_regionset left;
    *ret = (struct policy_path){.count = 0};
    if (list && list->count > 0 && (list->region[0] & POLICY_TARGET_BIT)) {
        unsigned n = list->region[0] & ~POLICY_TARGET_BIT;
        if (n < POLICY_TARGETS_MAX && ((look->targets[n / 64] >> (n % 64)) & 1)) {
            ret->step[ret->count++] = list->region[0];
            return;
        }
    }
    int region = policy_first(intent, part, list, &look->usable);
    if (region < 0)
        return;
    ret->step[ret->count++] = (uint16_t)region;
    if (!policy_regionset_has(&look->shedding, (unsigned)region))
        return;
    left = look->usable;
    do {
        left.bits[region / 64] &= ~(UINT64_C(1) << (region % 64));
        region = policy_first(intent, part, list, &left);
        if (region >= 0)
            ret->step[ret->count++] = (uint16_t)region;
    } while (region >= 0 && ret->count < POLICY_PATH_MAX &&
             policy_regionset_has(&look->shedding, (unsigned)region));
}

void policy__look_part(const struct policy_env *env, unsigned part, enum policy__level level,
                       struct policy_part_look *ret, struct policy_usable *ret_usable)
{
    unsigned pool = env->intent->policies[part].pool;
    *ret = (struct policy_part_look){.targets = {0}};
    policy__pool_usable(env, pool, level, ret_usable);
    bool sheds = level == POLICY_LEVEL_SERVING && gtm_states_sheds(env->states, pool) > 0;
    for (size_t e = 0; e < ret_usable->count; e++) {
        unsigned r = env->intent->pools[pool].endpoints[ret_usable->endpoints[e]].region;
        uint64_t bit = UINT64_C(1) << (r % 64);
        if (ret->usable.bits[r / 64] & bit)
            continue;
        ret->usable.bits[r / 64] |= bit;
        if (sheds && gtm_states_shed(env->states, pool, r) > 0)
            ret->shedding.bits[r / 64] |= bit;
    }
    unsigned targets[POLICY_TARGETS_MAX];
    bool more;
    unsigned count = policy__route_targets(&env->intent->policies[part], targets, &more);
    for (unsigned n = 0; n < count; n++)
        if (policy__any(env, targets[n], level))
            ret->targets[n / 64] |= UINT64_C(1) << (n % 64);
}

/* Says which regions of the list could not answer before `chosen`. */
static void say_regions(const struct policy__walk *walk, unsigned policy,
                        const struct policy_regions *list, int chosen)
{
    const struct gtm_intent *intent = walk->env->intent;
    for (unsigned i = 0; list && i < list->count && list->region[i] != chosen; i++) {
        if (list->region[i] & POLICY_TARGET_BIT) {
            int target = policy_route_target(intent, policy, list->region[i] & ~POLICY_TARGET_BIT);
            policy__say(walk->env, "the route's policy %s has nothing usable: the default holds",
                        target < 0 ? "?" : intent->policies[target].name);
        } else {
            policy__say(walk->env, "region %s is preferred but has no usable endpoint",
                        intent->regions[list->region[i]].name);
        }
    }
}

/* One option for each region of the path. */
static void from_path(struct policy__walk *walk, unsigned policy, const struct policy_path *path,
                      const struct policy_usable *u, double share)
{
    const struct gtm_intent *intent = walk->env->intent;
    const struct gtm_policy *p = &intent->policies[policy];
    const struct gtm_pool *pool = &intent->pools[p->pool];
    for (unsigned k = 0; k < path->count; k++) {
        unsigned region = path->step[k];
        unsigned shed =
            k + 1u < path->count ? gtm_states_shed(walk->env->states, p->pool, region) : 0;
        double stay = share * (GTM_SHARE_FULL - shed) / GTM_SHARE_FULL;
        share -= stay;
        if (shed > 0)
            policy__say(walk->env, "region %s of pool %s sheds %.4g %% of its users to %s",
                        intent->regions[region].name, pool->name, shed / 10.0,
                        intent->regions[path->step[k + 1]].name);
        if (stay <= 0)
            continue;
        policy__say(walk->env, "region %s answers for pool %s", intent->regions[region].name,
                    pool->name);
        policy__option(walk, stay, p->answers);
        for (size_t i = 0; i < u->count; i++)
            if (pool->endpoints[u->endpoints[i]].region == region)
                policy__member(walk, policy, p->pool, u->endpoints[i], u->standby);
    }
}

/* Nothing of the pool and of the client's route: the backup, then any policy that a route leads to.
 */
static void from_elsewhere(struct policy__walk *walk, unsigned policy,
                           const struct policy_part_look *look, double share)
{
    const struct gtm_intent *intent = walk->env->intent;
    const struct gtm_policy *p = &intent->policies[policy];
    char text[POLICY_TARGET_TEXT_BYTES];
    if (p->has_backup && p->all_down == GTM_ALL_DOWN_BACKUP &&
        walk->level == POLICY_LEVEL_SERVING &&
        policy__target_any(walk->env, &p->backup, walk->level)) {
        policy__say(walk->env, "pool %s has nothing usable: the backup %s answers",
                    intent->pools[p->pool].name, policy__target_text(intent, &p->backup, text));
        policy__from_target(walk, &p->backup, p->answers, share);
        return;
    }
    for (unsigned n = 0; n < POLICY_TARGETS_MAX; n++) {
        if (!((look->targets[n / 64] >> (n % 64)) & 1))
            continue;
        unsigned target = (unsigned)policy_route_target(intent, policy, n);
        policy__say(walk->env, "pool %s has nothing usable: policy %s of another route answers",
                    intent->pools[p->pool].name, intent->policies[target].name);
        policy__resolve(walk, target, share);
        return;
    }
}

void policy__from_region(struct policy__walk *walk, unsigned policy,
                         const struct policy_regions *list, double share)
{
    const struct gtm_intent *intent = walk->env->intent;
    const struct gtm_policy *p = &intent->policies[policy];
    struct policy_regions order = {.count = 0};
    struct policy_part_look look;
    struct policy_path path;
    struct policy_usable usable;
    policy__look_part(walk->env, policy, walk->level, &look, &usable);
    if (!list) {
        struct policy_regionset here;
        policy__pool_regions(&intent->pools[p->pool], &here);
        policy__append_default(intent, p, &here, &order);
        list = &order;
    }
    policy_path(intent, policy, list, &look, &path);
    if (path.count > 0 && (path.step[0] & POLICY_TARGET_BIT)) {
        int target = policy_route_target(intent, policy, path.step[0] & ~POLICY_TARGET_BIT);
        policy__say(walk->env, "the route leads to policy %s", intent->policies[target].name);
        policy__resolve(walk, (unsigned)target, share);
        return;
    }
    policy__say_skipped(walk->env, p->pool, walk->level);
    say_regions(walk, policy, list, path.count > 0 ? path.step[0] : -1);
    if (path.count > 0)
        from_path(walk, policy, &path, &usable, share);
    else
        from_elsewhere(walk, policy, &look, share);
}
