/* SPDX-License-Identifier: Apache-2.0
 *
 * Which endpoints may get users, and how desperate a policy is: the levels from "serves" down to
 * "everything, whatever was ordered". A whole policy tree is on one level. Pure; see policy.h.
 */
#include "policies/policy_int.h"

static bool is_out(enum gtm_admin admin)
{
    return admin == GTM_ADMIN_DOWN || admin == GTM_ADMIN_DRAIN;
}

bool policy__endpoint_at(const struct policy_env *env, unsigned pool, unsigned endpoint,
                         enum policy__level level)
{
    const struct gtm_endpoint *ep = &env->intent->pools[pool].endpoints[endpoint];
    if (!gtm_endpoint_has(ep, env->family))
        return false;
    if (level == POLICY_LEVEL_SERVING)
        return gtm_states_serves(env->states, pool, endpoint, env->family);
    struct gtm_endpoint_state state =
        gtm_states_effective(env->states, pool, endpoint, env->family);
    switch (level) {
    case POLICY_LEVEL_HELD:
        return gtm_endpoint_serves(state);
    case POLICY_LEVEL_LAST_GOOD:
        return gtm_states_last_good(env->states, pool, endpoint, env->family) &&
               !is_out(state.admin);
    case POLICY_LEVEL_OPEN:
        return !is_out(state.admin);
    case POLICY_LEVEL_DRAINED:
        return state.admin == GTM_ADMIN_DRAIN;
    default:
        return true;
    }
}

bool policy__pool_any(const struct policy_env *env, unsigned pool, enum policy__level level)
{
    for (unsigned e = 0; e < env->intent->pools[pool].endpoints_count; e++)
        if (policy__endpoint_at(env, pool, e, level))
            return true;
    return false;
}

void policy__pool_usable(const struct policy_env *env, unsigned pool, enum policy__level level,
                         struct policy_usable *ret)
{
    const struct gtm_pool *p = &env->intent->pools[pool];
    ret->count = 0;
    ret->standby = true;
    for (unsigned e = 0; e < p->endpoints_count && e < GTM_POOL_ENDPOINTS_MAX; e++) {
        bool standby = p->endpoints[e].weight == 0;
        if ((standby && !ret->standby) || !policy__endpoint_at(env, pool, e, level))
            continue;
        if (ret->standby && !standby)
            ret->count = 0; /* the first with a weight puts all standbys aside */
        ret->standby = standby;
        ret->endpoints[ret->count++] = (uint16_t)e;
    }
    if (ret->count == 0)
        ret->standby = false;
}

bool policy__target_any(const struct policy_env *env, const struct gtm_target *target,
                        enum policy__level level)
{
    switch (target->kind) {
    case GTM_TARGET_POOL:
        return policy__pool_any(env, target->index, level);
    case GTM_TARGET_ENDPOINT:
        return policy__endpoint_at(env, target->index, target->endpoint, level);
    default:
        return policy__any(env, target->index, level);
    }
}

bool policy__routes_any(const struct policy_env *env, unsigned policy, enum policy__level level)
{
    unsigned targets[POLICY_TARGETS_MAX];
    bool more;
    unsigned count = policy__route_targets(&env->intent->policies[policy], targets, &more);
    for (unsigned n = 0; n < count; n++)
        if (policy__any(env, targets[n], level))
            return true;
    return false;
}

bool policy__own_any(const struct policy_env *env, unsigned policy, enum policy__level level)
{
    const struct gtm_policy *p = &env->intent->policies[policy];
    if (p->has_pool && policy__pool_any(env, p->pool, level))
        return true;
    if (p->steer != GTM_STEER_WEIGHTED)
        return policy__routes_any(env, policy, level);
    for (size_t i = 0; i < p->to_count; i++)
        if (policy__target_any(env, &p->to[i], level))
            return true;
    return false;
}

bool policy__any(const struct policy_env *env, unsigned policy, enum policy__level level)
{
    const struct gtm_policy *p = &env->intent->policies[policy];
    if (policy__own_any(env, policy, level))
        return true;
    /* A family that the policy never had is not down: no reason for its backup. */
    return level == POLICY_LEVEL_SERVING && p->all_down == GTM_ALL_DOWN_BACKUP && p->has_backup &&
           policy_has_family(env->intent, policy, env->family) &&
           policy__target_any(env, &p->backup, level);
}

static bool target_has_family(const struct gtm_intent *intent, const struct gtm_target *target,
                              enum gtm_family family)
{
    const struct gtm_pool *pool = &intent->pools[target->index];
    if (target->kind == GTM_TARGET_POLICY)
        return policy_has_family(intent, target->index, family);
    if (target->kind == GTM_TARGET_ENDPOINT)
        return gtm_endpoint_has(&pool->endpoints[target->endpoint], family);
    for (size_t e = 0; e < pool->endpoints_count; e++)
        if (gtm_endpoint_has(&pool->endpoints[e], family))
            return true;
    return false;
}

bool policy_has_family(const struct gtm_intent *intent, unsigned policy, enum gtm_family family)
{
    const struct gtm_policy *p = &intent->policies[policy];
    struct gtm_target own = {.kind = GTM_TARGET_POOL, .index = p->pool};
    if (p->has_pool && target_has_family(intent, &own, family))
        return true;
    if (p->steer != GTM_STEER_WEIGHTED) {
        unsigned targets[POLICY_TARGETS_MAX];
        bool more;
        unsigned count = policy__route_targets(p, targets, &more);
        for (unsigned n = 0; n < count; n++)
            if (policy_has_family(intent, targets[n], family))
                return true;
        return false;
    }
    for (size_t i = 0; i < p->to_count; i++)
        if (target_has_family(intent, &p->to[i], family))
            return true;
    return false;
}

enum policy__level policy__decide(const struct policy_env *env, unsigned policy,
                                  enum policy_mode *ret_mode)
{
    const struct gtm_policy *p = &env->intent->policies[policy];
    *ret_mode = POLICY_NODATA;
    if (!policy_has_family(env->intent, policy, env->family))
        return POLICY_LEVEL_SERVING;
    *ret_mode = POLICY_NORMAL;
    if (policy__own_any(env, policy, POLICY_LEVEL_SERVING))
        return POLICY_LEVEL_SERVING;
    *ret_mode = POLICY_BACKUP;
    if (policy__any(env, policy, POLICY_LEVEL_SERVING))
        return POLICY_LEVEL_SERVING;
    *ret_mode = POLICY_FAIL_CLOSED;
    if (p->all_down == GTM_ALL_DOWN_FAIL_CLOSED)
        return POLICY_LEVEL_SERVING;
    *ret_mode = POLICY_HELD;
    if (policy__own_any(env, policy, POLICY_LEVEL_HELD))
        return POLICY_LEVEL_HELD;
    *ret_mode = POLICY_LAST_GOOD;
    if (p->all_down == GTM_ALL_DOWN_LAST_GOOD &&
        policy__own_any(env, policy, POLICY_LEVEL_LAST_GOOD))
        return POLICY_LEVEL_LAST_GOOD;
    *ret_mode = POLICY_FAIL_OPEN;
    for (enum policy__level level = POLICY_LEVEL_OPEN; level < POLICY_LEVEL_COUNT; level++)
        if (policy__own_any(env, policy, level))
            return level;
    *ret_mode = POLICY_NODATA; /* cannot happen: it has an endpoint of the family */
    return POLICY_LEVEL_SERVING;
}

void policy_usable(const struct policy_env *env, unsigned policy, struct policy_usable *ret)
{
    const struct gtm_policy *p = &env->intent->policies[policy];
    enum policy__level level = policy__decide(env, policy, &ret->mode);
    ret->count = 0;
    ret->standby = false;
    if (p->has_pool && ret->mode <= POLICY_FAIL_OPEN && ret->mode != POLICY_BACKUP)
        policy__pool_usable(env, p->pool, level, ret);
}
