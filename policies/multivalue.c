/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers with some of all usable endpoints of a pool: `multivalue`, `weighted` over a pool, the
 * balancing policies, and pools that are a target or a backup by themselves. Also where options and
 * members are collected. Pure; see policy.h.
 */
#include "gtm/base/mem.h"
#include "policies/policy_int.h"

void policy__option(struct policy__walk *walk, double share, unsigned answers)
{
    struct policy_choice *c = walk->choice;
    if (walk->rc != GTM_OK)
        return;
    if (c->options_count == POLICY_OPTIONS_MAX) {
        walk->rc = GTM_ELIMIT;
        return;
    }
    void *options = c->options;
    walk->rc = gtm_grow(&options, &c->options_cap, c->options_count + 1, sizeof(*c->options));
    c->options = options;
    if (walk->rc == GTM_OK)
        c->options[c->options_count++] = (struct policy_option){
            .share = share, .answers = answers ? answers : 1, .first = c->members_count};
}

double policy__factor(const struct policy_env *env, unsigned pool, unsigned endpoint)
{
    double full = (double)env->intent->pools[pool].endpoints[endpoint].weight * GTM_SHARE_FULL;
    double now = gtm_states_weight(env->states, POLICY__NO_POLICY, pool, endpoint, env->family);
    return full > 0 ? now / full : 1.0;
}

/* "endpoint x can answer, weight 40 (40 % of its 100: …)". */
static void say_member(const struct policy__walk *walk, size_t policy, unsigned pool,
                       unsigned endpoint, bool standby)
{
    const struct policy_env *env = walk->env;
    const struct gtm_endpoint *ep = &env->intent->pools[pool].endpoints[endpoint];
    double weight = gtm_states_weight(env->states, policy, pool, endpoint, env->family) /
                    (double)GTM_SHARE_FULL;
    double part = policy__factor(env, pool, endpoint);
    bool balanced = policy != POLICY__NO_POLICY && gtm_states_balance(env->states, policy);
    if (standby)
        policy__say(
            env, "endpoint %s can answer, weight 1 (a standby of weight 0: nothing else is left)",
            ep->name);
    else if (part < 1)
        policy__say(env, "endpoint %s can answer, weight %.4g (%.4g %% of its %s weight:%s%s)",
                    ep->name, weight, part * 100, balanced ? "balanced" : "full",
                    gtm_states_share(env->states, pool, endpoint, env->family) < GTM_SHARE_FULL
                        ? " ramping up or draining"
                        : "",
                    gtm_states_effective(env->states, pool, endpoint, env->family).health ==
                            GTM_HEALTH_DEGRADED
                        ? " degraded"
                        : "");
    else
        policy__say(env, "endpoint %s can answer, weight %.4g%s", ep->name, weight,
                    balanced ? " (balanced)" : "");
}

void policy__member(struct policy__walk *walk, size_t policy, unsigned pool, unsigned endpoint,
                    bool standby)
{
    struct policy_choice *c = walk->choice;
    if (walk->rc != GTM_OK)
        return;
    void *members = c->members;
    walk->rc = gtm_grow(&members, &c->members_cap, c->members_count + 1, sizeof(*c->members));
    c->members = members;
    if (walk->rc != GTM_OK)
        return;
    uint32_t weight =
        gtm_states_weight(walk->env->states, policy, pool, endpoint, walk->env->family);
    c->members[c->members_count++] = (struct policy_member){
        .pool = pool, .endpoint = endpoint, .weight = standby || weight == 0 ? 1 : weight};
    c->options[c->options_count - 1].count++;
    if (walk->env->say)
        say_member(walk, policy, pool, endpoint, standby);
}

static void from_pool(struct policy__walk *walk, size_t policy, unsigned pool, unsigned answers,
                      double share)
{
    struct policy_usable u;
    policy__pool_usable(walk->env, pool, walk->level, &u);
    if (u.count == 0)
        return;
    policy__say_skipped(walk->env, pool, walk->level);
    policy__option(walk, share, answers);
    for (size_t i = 0; i < u.count; i++)
        policy__member(walk, policy, pool, u.endpoints[i], u.standby);
}

void policy__from_pool(struct policy__walk *walk, unsigned pool, unsigned answers, double share)
{
    from_pool(walk, POLICY__NO_POLICY, pool, answers, share);
}

void policy__from_all(struct policy__walk *walk, unsigned policy, double share)
{
    const struct gtm_policy *p = &walk->env->intent->policies[policy];
    from_pool(walk, policy, p->pool, p->answers, share);
}
