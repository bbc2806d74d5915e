/* SPDX-License-Identifier: Apache-2.0
 *
 * See policy_show.h.
 */
#include "tests/support/policy_show.h"

#include <stdio.h>
#include <string.h>

static char said[8192];

static void say(void *ctx, const char *sentence)
{
    (void)ctx;
    size_t at = strlen(said);
    snprintf(said + at, sizeof(said) - at, "%s\n", sentence);
}

const char *policy_show(const struct gtm_states *states, unsigned policy, enum gtm_family family,
                        const struct gtm_location *loc)
{
    static char out[4096];
    struct gtm_location unknown = {.asn = 0};
    struct policy_env env = {
        .intent = gtm_states_intent(states), .states = states, .family = family, .say = say};
    struct policy_parts parts;
    struct policy_regions lists[POLICY_PARTS_MAX];
    struct policy_choice choice = {.mode = POLICY_NORMAL};
    struct policy_place place = {.loc = loc ? loc : &unknown};
    said[0] = '\0';
    policy_parts(env.intent, policy, &parts);
    for (size_t i = 0; i < parts.count; i++)
        policy_rank(env.intent, parts.policy[i], &place, &lists[i]);
    struct policy_class class_ = {.parts = &parts, .lists = lists};
    int rc = policy_choose(&env, policy, &class_, &choice);
    int at = snprintf(out, sizeof(out), "%s", rc == 0 ? policy_mode_word(choice.mode) : "failed");
    for (size_t i = 0; i < choice.options_count; i++) {
        const struct policy_option *o = &choice.options[i];
        at += snprintf(out + at, sizeof(out) - (size_t)at, " | %.4g%% %u of", o->share * 100,
                       o->answers);
        for (size_t m = 0; m < o->count; m++) {
            const struct policy_member *member = &choice.members[o->first + m];
            at += snprintf(out + at, sizeof(out) - (size_t)at, " %s:%u",
                           env.intent->pools[member->pool].endpoints[member->endpoint].name,
                           member->weight);
        }
        if (o->buckets_count > 0)
            at += snprintf(out + at, sizeof(out) - (size_t)at, " in %zu", o->buckets_count);
    }
    policy_choice_fini(&choice);
    return out;
}

const char *policy_said(const struct gtm_states *states, unsigned policy, enum gtm_family family,
                        const struct gtm_location *loc)
{
    policy_show(states, policy, family, loc);
    return said;
}

const char *policy_ranked(const struct gtm_intent *intent, unsigned part,
                          const struct policy_place *place)
{
    static char out[1024];
    struct policy_regions list;
    int at = 0;
    policy_rank(intent, part, place, &list);
    out[0] = '\0';
    for (unsigned i = 0; i < list.count; i++) {
        unsigned r = list.region[i] & ~POLICY_TARGET_BIT;
        const char *name = list.region[i] & POLICY_TARGET_BIT
                               ? intent->policies[policy_route_target(intent, part, r)].name
                               : intent->regions[r].name;
        at += snprintf(out + at, sizeof(out) - (size_t)at, "%s%s", i ? " " : "", name);
    }
    return out;
}

const char *policy_ranked_why(const struct gtm_intent *intent, unsigned part,
                              const struct policy_place *place)
{
    struct policy_env env = {.intent = intent, .say = say};
    said[0] = '\0';
    policy_say_rank(&env, part, place);
    return said;
}
