/* SPDX-License-Identifier: Apache-2.0
 *
 * Hold, ramp, manual resume, flap penalty, gradual drain: every state and the way out of it.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "policies/recovery.h"

#define S 1000ull

static const struct gtm_pool plain = {.failback_mode = GTM_FAILBACK_AUTO};
static const struct gtm_pool slow = {.failback_hold_ms = 30000, .failback_ramp_ms = 300000};

static void at(struct policy_recovery *r, const struct gtm_pool *pool, uint64_t now,
               enum policy_recovery_state state, unsigned share)
{
    policy_recovery_step(r, pool, now);
    assert_string_equal(policy_recovery_word(r->state), policy_recovery_word(state));
    assert_int_equal(policy_recovery_share(r, pool, now), share);
}

static void test_without_rules_it_is_back_at_once(void **state)
{
    struct policy_recovery r = {0};
    at(&r, &plain, 0, POLICY_RECOVERY_SERVING, 1000);
    policy_recovery_health(&r, &plain, GTM_HEALTH_UP, 1 * S);
    at(&r, &plain, 1 * S, POLICY_RECOVERY_SERVING, 1000);
    policy_recovery_health(&r, &plain, GTM_HEALTH_DOWN, 2 * S);
    at(&r, &plain, 2 * S, POLICY_RECOVERY_DOWN, 1000);
    assert_true(policy_recovery_wake_ms(&r, &plain, 2 * S) == POLICY_NEVER_MS);
    policy_recovery_health(&r, &plain, GTM_HEALTH_UNKNOWN, 3 * S);
    at(&r, &plain, 3 * S, POLICY_RECOVERY_DOWN, 1000);
    policy_recovery_health(&r, &plain, GTM_HEALTH_DEGRADED, 4 * S);
    at(&r, &plain, 4 * S, POLICY_RECOVERY_SERVING, 1000);
}

static void test_hold_then_ramp(void **state)
{
    struct policy_recovery r = {0};
    char text[POLICY_RECOVERY_TEXT];
    policy_recovery_health(&r, &slow, GTM_HEALTH_DOWN, 10 * S);
    policy_recovery_health(&r, &slow, GTM_HEALTH_UP, 100 * S);
    at(&r, &slow, 100 * S, POLICY_RECOVERY_HELD, 0);
    assert_int_equal(policy_recovery_wake_ms(&r, &slow, 100 * S), 130 * S);
    assert_string_equal(policy_recovery_say(&r, &slow, 118 * S, text),
                        "held for 12 s more (failback.hold)");
    at(&r, &slow, 129 * S, POLICY_RECOVERY_HELD, 0);
    at(&r, &slow, 130 * S, POLICY_RECOVERY_RAMPING, 47);
    assert_int_equal(policy_recovery_wake_ms(&r, &slow, 130 * S), 145 * S);
    unsigned last = 0, steps = 0;
    for (uint64_t now = 130 * S; r.state == POLICY_RECOVERY_RAMPING;
         now = policy_recovery_wake_ms(&r, &slow, now)) {
        unsigned share = policy_recovery_share(&r, &slow, now);
        assert_true(share > last);
        assert_true(share - last <= 1000 / POLICY_RAMP_STEPS);
        last = share;
        steps++;
        policy_recovery_step(&r, &slow, policy_recovery_wake_ms(&r, &slow, now));
        assert_true(now <= 431 * S);
    }
    assert_int_equal(steps, POLICY_RAMP_STEPS);
    at(&r, &slow, 430 * S, POLICY_RECOVERY_SERVING, 1000);
    assert_string_equal(policy_recovery_say(&r, &slow, 430 * S, text), "");
}

static void test_a_fall_during_hold_or_ramp_starts_again(void **state)
{
    struct policy_recovery r = {0};
    policy_recovery_health(&r, &slow, GTM_HEALTH_DOWN, 10 * S);
    policy_recovery_health(&r, &slow, GTM_HEALTH_UP, 20 * S);
    policy_recovery_health(&r, &slow, GTM_HEALTH_DOWN, 40 * S);
    at(&r, &slow, 60 * S, POLICY_RECOVERY_DOWN, 1000);
    policy_recovery_health(&r, &slow, GTM_HEALTH_UP, 70 * S);
    at(&r, &slow, 99 * S, POLICY_RECOVERY_HELD, 0);
    at(&r, &slow, 100 * S, POLICY_RECOVERY_RAMPING, 47);
    policy_recovery_health(&r, &slow, GTM_HEALTH_DOWN, 200 * S);
    at(&r, &slow, 200 * S, POLICY_RECOVERY_DOWN, 1000);
}

static void test_manual_waits_for_a_word(void **state)
{
    struct gtm_pool pool = slow;
    struct policy_recovery r = {0};
    pool.failback_mode = GTM_FAILBACK_MANUAL;
    assert_false(policy_recovery_resume(&r, &pool, 1 * S));
    policy_recovery_health(&r, &pool, GTM_HEALTH_DOWN, 10 * S);
    assert_false(policy_recovery_resume(&r, &pool, 11 * S));
    policy_recovery_health(&r, &pool, GTM_HEALTH_UP, 20 * S);
    at(&r, &pool, 20 * S, POLICY_RECOVERY_HELD, 0);
    at(&r, &pool, 5000 * S, POLICY_RECOVERY_WAITING, 0);
    assert_true(policy_recovery_wake_ms(&r, &pool, 5000 * S) == POLICY_NEVER_MS);
    assert_true(policy_recovery_resume(&r, &pool, 6000 * S));
    at(&r, &pool, 6000 * S, POLICY_RECOVERY_RAMPING, 47);
    at(&r, &pool, 6300 * S, POLICY_RECOVERY_SERVING, 1000);
}

static void test_a_flapping_address_is_held_longer_and_longer(void **state)
{
    struct gtm_pool pool = {.flap_half_life_ms = 60000, .flap_suppress = 3, .flap_hold_ms = 300000};
    struct policy_recovery r = {0};
    char text[POLICY_RECOVERY_TEXT];
    for (unsigned i = 0; i < 3; i++) {
        policy_recovery_health(&r, &pool, GTM_HEALTH_DOWN, (10 + i * 2) * S);
        policy_recovery_health(&r, &pool, GTM_HEALTH_UP, (11 + i * 2) * S);
        at(&r, &pool, (11 + i * 2) * S, POLICY_RECOVERY_SERVING, 1000); /* faded a little below 3 */
    }
    policy_recovery_health(&r, &pool, GTM_HEALTH_DOWN, 16 * S);
    policy_recovery_health(&r, &pool, GTM_HEALTH_UP, 17 * S);
    at(&r, &pool, 17 * S, POLICY_RECOVERY_PENALISED, 0);
    uint64_t end = policy_recovery_wake_ms(&r, &pool, 17 * S);
    /* 3.86 at 16 s falls to 1.5 in 60 s × log2(2.58) */
    assert_in_range(end, 97 * S, 99 * S);
    policy_recovery_say(&r, &pool, 17 * S, text);
    assert_string_equal(text, "held for 81 s more: it fell 4 times shortly (flap)");
    at(&r, &pool, end - 1, POLICY_RECOVERY_PENALISED, 0);
    at(&r, &pool, end, POLICY_RECOVERY_SERVING, 1000);
    /* much worse: the longest hold bounds it */
    for (unsigned i = 0; i < 1000; i++) {
        policy_recovery_health(&r, &pool, GTM_HEALTH_DOWN, 1000 * S + i * 2);
        policy_recovery_health(&r, &pool, GTM_HEALTH_UP, 1000 * S + i * 2 + 1);
    }
    assert_int_equal(policy_recovery_wake_ms(&r, &pool, 1002 * S), r.since_ms + 300 * S);
}

static void test_the_hold_runs_beside_the_penalty(void **state)
{
    struct gtm_pool pool = {.failback_hold_ms = 10000,
                            .flap_half_life_ms = 60000,
                            .flap_suppress = 1,
                            .flap_hold_ms = 300000};
    struct policy_recovery r = {0};
    policy_recovery_health(&r, &pool, GTM_HEALTH_DOWN, 0);
    policy_recovery_health(&r, &pool, GTM_HEALTH_UP, 0);
    at(&r, &pool, 0, POLICY_RECOVERY_PENALISED, 0);
    at(&r, &pool, 59 * S, POLICY_RECOVERY_PENALISED, 0);
    at(&r, &pool, 60 * S, POLICY_RECOVERY_SERVING, 1000); /* the hold was over long ago */
}

static void test_what_is_needed_at_once_is_released(void **state)
{
    struct policy_recovery r = {0};
    policy_recovery_health(&r, &slow, GTM_HEALTH_DOWN, 10 * S);
    policy_recovery_release(&r, 11 * S);
    at(&r, &slow, 11 * S, POLICY_RECOVERY_DOWN, 1000);
    policy_recovery_health(&r, &slow, GTM_HEALTH_UP, 20 * S);
    policy_recovery_release(&r, 21 * S);
    at(&r, &slow, 21 * S, POLICY_RECOVERY_SERVING, 1000);
}

static void test_a_fall_that_is_not_believed_leaves_nothing(void **state)
{
    struct policy_recovery r = {0};
    policy_recovery_health(&r, &slow, GTM_HEALTH_DOWN, 10 * S);
    policy_recovery_forgive(&r, 11 * S);
    at(&r, &slow, 11 * S, POLICY_RECOVERY_SERVING, 1000);
    assert_true(r.penalty == 0 && r.falls == 0);
    policy_recovery_health(&r, &slow, GTM_HEALTH_UP, 20 * S);
    at(&r, &slow, 20 * S, POLICY_RECOVERY_SERVING, 1000);
}

static void test_a_drain_takes_its_time(void **state)
{
    assert_int_equal(policy_drain_share(100 * S, 0, 100 * S), 0);
    assert_int_equal(policy_drain_share(100 * S, 60 * S, 100 * S), 953);
    assert_int_equal(policy_drain_wake_ms(100 * S, 60 * S, 100 * S), 103 * S);
    unsigned last = 1000;
    uint64_t now = 100 * S;
    for (; now != POLICY_NEVER_MS; now = policy_drain_wake_ms(100 * S, 60 * S, now)) {
        unsigned share = policy_drain_share(100 * S, 60 * S, now);
        assert_true(share < last);
        last = share;
        assert_true(now <= 160 * S);
    }
    assert_int_equal(last, 0);
    assert_int_equal(policy_drain_share(100 * S, 60 * S, 160 * S), 0);
    /* short ones still go in steps of a second */
    assert_int_equal(policy_drain_wake_ms(0, 3 * S, 0), 1 * S);
}

static void test_words(void **state)
{
    for (int i = 0; i < POLICY_RECOVERY_STATES; i++)
        assert_int_equal(policy_recovery_parse(policy_recovery_word((enum policy_recovery_state)i)),
                         i);
    assert_int_equal(policy_recovery_parse("nonsense"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_rules_it_is_back_at_once),
        cmocka_unit_test(test_hold_then_ramp),
        cmocka_unit_test(test_a_fall_during_hold_or_ramp_starts_again),
        cmocka_unit_test(test_manual_waits_for_a_word),
        cmocka_unit_test(test_a_flapping_address_is_held_longer_and_longer),
        cmocka_unit_test(test_the_hold_runs_beside_the_penalty),
        cmocka_unit_test(test_what_is_needed_at_once_is_released),
        cmocka_unit_test(test_a_fall_that_is_not_believed_leaves_nothing),
        cmocka_unit_test(test_a_drain_takes_its_time),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
