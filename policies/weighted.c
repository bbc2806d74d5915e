/* SPDX-License-Identifier: Apache-2.0
 *
 * Splits users among targets by weight. A target that has nothing usable hands its share to the
 * others; nested splits are flattened with multiplied shares. Pure; see policy.h. A `weighted`
 * policy with a pool instead of targets splits them among its endpoints: multivalue.c.
 */
#include "policies/policy_int.h"

#include <stdio.h>

const char *policy__target_text(const struct gtm_intent *intent, const struct gtm_target *target,
                                char out[POLICY_TARGET_TEXT_BYTES])
{
    const struct gtm_pool *pool = &intent->pools[target->index];
    if (target->kind == GTM_TARGET_POLICY)
        snprintf(out, POLICY_TARGET_TEXT_BYTES, "policy %s", intent->policies[target->index].name);
    else if (target->kind == GTM_TARGET_POOL)
        snprintf(out, POLICY_TARGET_TEXT_BYTES, "pool %s", pool->name);
    else
        snprintf(out, POLICY_TARGET_TEXT_BYTES, "endpoint %s",
                 pool->endpoints[target->endpoint].name);
    return out;
}

void policy__from_target(struct policy__walk *walk, const struct gtm_target *target,
                         unsigned answers, double share)
{
    switch (target->kind) {
    case GTM_TARGET_POLICY:
        policy__resolve(walk, target->index, share);
        break;
    case GTM_TARGET_POOL:
        policy__from_pool(walk, target->index, answers, share);
        break;
    case GTM_TARGET_ENDPOINT:
        policy__option(walk, share, 1);
        policy__member(walk, POLICY__NO_POLICY, target->index, target->endpoint, false);
        break;
    }
}

/* What a target weighs now: an endpoint that ramps up, drains or is degraded takes less than it is
 * given here. */
static double weight_of(const struct policy__walk *walk, const struct gtm_target *target)
{
    double weight = target->weight;
    if (target->kind == GTM_TARGET_ENDPOINT)
        weight *= policy__factor(walk->env, target->index, target->endpoint);
    return weight;
}

void policy__from_targets(struct policy__walk *walk, unsigned policy, double share)
{
    const struct gtm_intent *intent = walk->env->intent;
    const struct gtm_policy *p = &intent->policies[policy];
    char text[POLICY_TARGET_TEXT_BYTES];
    double total = 0;
    size_t usable = 0;
    for (size_t i = 0; i < p->to_count; i++) {
        if (policy__target_any(walk->env, &p->to[i], walk->level)) {
            total += weight_of(walk, &p->to[i]);
            usable++;
        } else if (walk->env->say) {
            policy__say(walk->env, "%s has nothing usable: its share goes to the others",
                        policy__target_text(intent, &p->to[i], text));
        }
    }
    for (size_t i = 0; i < p->to_count && walk->rc == GTM_OK; i++) {
        const struct gtm_target *target = &p->to[i];
        /* Targets of weight 0 are standbys: equal among themselves once no other is left. */
        double part = total > 0 ? weight_of(walk, target) / total : 1.0 / (double)usable;
        if (!policy__target_any(walk->env, target, walk->level))
            continue;
        if (part <= 0) {
            policy__say(walk->env, "%s has weight 0 and others are usable: no users",
                        policy__target_text(intent, target, text));
            continue;
        }
        if (walk->env->say)
            policy__say(walk->env, "%s gets %.4g %% of all users",
                        policy__target_text(intent, target, text), part * share * 100);
        policy__from_target(walk, target, p->answers, part * share);
    }
}
