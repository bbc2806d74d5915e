/* SPDX-License-Identifier: Apache-2.0
 *
 * See role.h. Pure.
 */
#include "policies/role.h"

static const char *const words[POLICY_ROLE_COUNT] = {"start", "follow",   "lead",
                                                     "merge", "isolated", "held"};

const char *policy_role_word(enum policy_role_mode mode)
{
    return (unsigned)mode < POLICY_ROLE_COUNT ? words[mode] : "start";
}

/* Has it been so since `since` for POLICY_LEADERLESS_MS? If not, the role is to be looked at again
 * when it will have been. */
static bool lasted(uint64_t since_ms, uint64_t now_ms, struct policy_role *role)
{
    if (now_ms >= since_ms && now_ms - since_ms >= POLICY_LEADERLESS_MS)
        return true;
    role->look_again_ms = since_ms + POLICY_LEADERLESS_MS;
    return false;
}

static struct policy_role away(enum policy_role_mode before, const struct policy_role_input *in)
{
    struct policy_role role = {.mode = POLICY_ROLE_START,
                               .why = "the store has not answered since the start"};
    if (before == POLICY_ROLE_START && !lasted(in->away_since_ms, in->now_ms, &role))
        return role;
    role.mode = POLICY_ROLE_ISOLATED;
    role.why = "the store cannot be reached: the last verdicts stand, own checks may only remove";
    return role;
}

static struct policy_role leaderless(enum policy_role_mode before,
                                     const struct policy_role_input *in)
{
    struct policy_role role = {
        .mode = POLICY_ROLE_FOLLOW,
        .why = "nobody leads for the moment: the last verdicts stand until it lasts"};
    /* who merges already does not go back to old verdicts because a leader came and went */
    if (before != POLICY_ROLE_MERGE && !lasted(in->leader_gone_ms, in->now_ms, &role))
        return role;
    role.mode = POLICY_ROLE_MERGE;
    role.why = "nobody leads: this node merges all observations by itself";
    return role;
}

static struct policy_role led(enum policy_role_mode before, const struct policy_role_input *in)
{
    struct policy_role role = {.mode = POLICY_ROLE_FOLLOW,
                               .why = "the leader's verdicts are in "
                                      "force"};
    if (in->unanswered_ms == 0)
        return role;
    if (before == POLICY_ROLE_MERGE && in->leader_silent) {
        role.mode = POLICY_ROLE_MERGE;
        role.why = "the new leader has written nothing yet: this node goes on merging";
    } else if (lasted(in->unanswered_ms, in->now_ms, &role)) {
        role.mode = POLICY_ROLE_MERGE;
        role.why = "the leader does not act on what is observed: this node merges by itself";
    }
    return role;
}

struct policy_role policy_role(enum policy_role_mode before, const struct policy_role_input *input)
{
    if (input->refused)
        return (struct policy_role){
            .mode = POLICY_ROLE_HELD,
            .why = "the store is refused as not ours: the last verdicts stand"};
    if (!input->fresh)
        return away(before, input);
    if (input->full)
        return (struct policy_role){
            .mode = POLICY_ROLE_ISOLATED,
            .why = "etcd's space quota is used up, it takes no observations: the last verdicts "
                   "stand, own checks may only remove"};
    if (input->lead)
        return (struct policy_role){.mode = POLICY_ROLE_LEAD,
                                    .why = "this node leads: it writes the verdicts"};
    return input->leader_stands ? led(before, input) : leaderless(before, input);
}
