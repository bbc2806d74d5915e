/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers with several of all usable endpoints of a pool: `multivalue`, and pools that are a target
 * or a backup by themselves. Also where options and members are collected. Pure; see policy.h.
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

void policy__member(struct policy__walk *walk, unsigned pool, unsigned endpoint, bool standby)
{
    struct policy_choice *c = walk->choice;
    if (walk->rc != GTM_OK)
        return;
    const struct gtm_endpoint *ep = &walk->env->intent->pools[pool].endpoints[endpoint];
    void *members = c->members;
    walk->rc = gtm_grow(&members, &c->members_cap, c->members_count + 1, sizeof(*c->members));
    c->members = members;
    if (walk->rc != GTM_OK)
        return;
    uint32_t weight = standby || ep->weight == 0 ? 1 : ep->weight;
    c->members[c->members_count++] =
        (struct policy_member){.pool = pool, .endpoint = endpoint, .weight = weight};
    c->options[c->options_count - 1].count++;
    if (walk->env->say)
        policy__say(walk->env, "endpoint %s can answer, weight %u%s", ep->name, weight,
                    standby ? " (a standby of weight 0: nothing else is left)" : "");
}

void policy__from_pool(struct policy__walk *walk, unsigned pool, unsigned answers, double share)
{
    struct policy_usable u;
    policy__pool_usable(walk->env, pool, walk->level, &u);
    if (u.count == 0)
        return;
    policy__say_skipped(walk->env, pool, walk->level);
    policy__option(walk, share, answers);
    for (size_t i = 0; i < u.count; i++)
        policy__member(walk, pool, u.endpoints[i], u.standby);
}

void policy__from_all(struct policy__walk *walk, unsigned policy, double share)
{
    const struct gtm_policy *p = &walk->env->intent->policies[policy];
    policy__from_pool(walk, p->pool, p->answers, share);
}
