/* SPDX-License-Identifier: Apache-2.0
 *
 * The state table of a node: every combination against the table's own words, the times at which it
 * wants to be asked again, and the passages that users would notice.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "policies/role.h"

#include <string.h>

#define NOW 100000u

static enum policy_role_mode mode_of(enum policy_role_mode before, struct policy_role_input in)
{
    in.now_ms = NOW;
    struct policy_role role = policy_role(before, &in);
    assert_non_null(role.why);
    assert_true(strlen(role.why) > 10);
    assert_true(role.look_again_ms == 0 || role.look_again_ms > NOW);
    return role.mode;
}

/* The table, told line by line. */
static enum policy_role_mode told(enum policy_role_mode before, const struct policy_role_input *in)
{
    bool was_merging = before == POLICY_ROLE_MERGE;
    bool long_gone = in->leader_gone_ms + POLICY_LEADERLESS_MS <= NOW;
    bool long_unanswered =
        in->unanswered_ms != 0 && in->unanswered_ms + POLICY_LEADERLESS_MS <= NOW;
    if (in->refused)
        return POLICY_ROLE_HELD;
    if (!in->fresh && before == POLICY_ROLE_START && in->away_since_ms + POLICY_LEADERLESS_MS > NOW)
        return POLICY_ROLE_START;
    if (!in->fresh || in->full)
        return POLICY_ROLE_ISOLATED;
    if (in->lead)
        return POLICY_ROLE_LEAD;
    if (!in->leader_stands)
        return was_merging || long_gone ? POLICY_ROLE_MERGE : POLICY_ROLE_FOLLOW;
    if (was_merging && in->leader_silent && in->unanswered_ms != 0)
        return POLICY_ROLE_MERGE;
    return long_unanswered ? POLICY_ROLE_MERGE : POLICY_ROLE_FOLLOW;
}

static const uint64_t times[] = {0,
                                 1,
                                 NOW - POLICY_LEADERLESS_MS - 1,
                                 NOW - POLICY_LEADERLESS_MS,
                                 NOW - POLICY_LEADERLESS_MS + 1,
                                 NOW,
                                 NOW + 5};
enum { TIMES = sizeof(times) / sizeof(times[0]) };

static void check_one(enum policy_role_mode before, struct policy_role_input in)
{
    enum policy_role_mode mode = mode_of(before, in);
    assert_int_equal(mode, told(before, &in));
    in.now_ms = NOW;
    struct policy_role role = policy_role(before, &in);
    if (role.look_again_ms == 0)
        return;
    /* nothing changes before that time, and something does at it */
    in.now_ms = role.look_again_ms - 1;
    assert_int_equal(policy_role(before, &in).mode, mode);
    in.now_ms = role.look_again_ms;
    /* a time that lies ahead is asked about again */
    assert_true(policy_role(before, &in).mode != mode || policy_role(before, &in).look_again_ms);
}

static void test_every_combination(void **state)
{
    for (unsigned bits = 0; bits < 64; bits++) {
        for (unsigned t = 0; t < TIMES * TIMES * TIMES; t++) {
            struct policy_role_input in = {.fresh = bits & 1,
                                           .refused = bits & 2,
                                           .lead = bits & 4,
                                           .leader_stands = bits & 8,
                                           .leader_silent = bits & 16,
                                           .full = bits & 32,
                                           .away_since_ms = times[t % TIMES],
                                           .leader_gone_ms = times[t / TIMES % TIMES],
                                           .unanswered_ms = times[t / TIMES / TIMES]};
            for (unsigned before = 0; before < POLICY_ROLE_COUNT; before++)
                check_one((enum policy_role_mode)before, in);
        }
    }
}

/* Whatever was before: a node without its store or with a foreign one never leads nor merges. */
static void test_no_deciding_without_the_store(void **state)
{
    for (unsigned before = 0; before < POLICY_ROLE_COUNT; before++) {
        struct policy_role_input in = {.lead = true, .leader_stands = true};
        enum policy_role_mode mode = mode_of((enum policy_role_mode)before, in);
        assert_true(mode != POLICY_ROLE_LEAD && mode != POLICY_ROLE_MERGE);
        in.fresh = in.refused = true;
        assert_int_equal(mode_of((enum policy_role_mode)before, in), POLICY_ROLE_HELD);
    }
}

/* A leader is killed: its key stands for a while, then none does, then a new one stands, then
 * writes. Users that left with the node's own merge stay away all the time. */
static void test_from_dead_leader_to_new(void **state)
{
    struct policy_role_input in = {.fresh = true, .leader_stands = true, .now_ms = NOW};
    enum policy_role_mode mode = policy_role(POLICY_ROLE_START, &in).mode;
    assert_int_equal(mode, POLICY_ROLE_FOLLOW);
    in.unanswered_ms = NOW; /* something fails, nobody writes */
    struct policy_role role = policy_role(mode, &in);
    assert_int_equal(role.mode, POLICY_ROLE_FOLLOW);
    assert_int_equal(role.look_again_ms, NOW + POLICY_LEADERLESS_MS);
    in.now_ms = role.look_again_ms;
    mode = policy_role(mode, &in).mode;
    assert_int_equal(mode, POLICY_ROLE_MERGE);
    in.leader_stands = false; /* its lease ends */
    in.leader_gone_ms = in.now_ms += 1000;
    mode = policy_role(mode, &in).mode;
    assert_int_equal(mode, POLICY_ROLE_MERGE);
    in.leader_stands = in.leader_silent = true;
    in.unanswered_ms = in.now_ms; /* something else fails just now */
    mode = policy_role(mode, &in).mode;
    assert_int_equal(mode, POLICY_ROLE_MERGE);
    in.leader_silent = false; /* it writes, but this node still disagrees for a moment */
    in.unanswered_ms = in.now_ms;
    mode = policy_role(mode, &in).mode;
    assert_int_equal(mode, POLICY_ROLE_FOLLOW);
}

static void test_words(void **state)
{
    assert_string_equal(policy_role_word(POLICY_ROLE_START), "start");
    assert_string_equal(policy_role_word(POLICY_ROLE_FOLLOW), "follow");
    assert_string_equal(policy_role_word(POLICY_ROLE_LEAD), "lead");
    assert_string_equal(policy_role_word(POLICY_ROLE_MERGE), "merge");
    assert_string_equal(policy_role_word(POLICY_ROLE_ISOLATED), "isolated");
    assert_string_equal(policy_role_word(POLICY_ROLE_HELD), "held");
    assert_string_equal(policy_role_word((enum policy_role_mode)99), "start");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_combination),
        cmocka_unit_test(test_no_deciding_without_the_store),
        cmocka_unit_test(test_from_dead_leader_to_new),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
