/* SPDX-License-Identifier: Apache-2.0
 *
 * All, any and N of several monitors; panic and its end.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "policies/merge.h"

#define S 1000u

static enum gtm_health merge(unsigned up, unsigned degraded, unsigned down, unsigned unknown,
                             unsigned needed)
{
    unsigned counts[GTM_HEALTH_COUNT] = {0};
    counts[GTM_HEALTH_UP] = up;
    counts[GTM_HEALTH_DEGRADED] = degraded;
    counts[GTM_HEALTH_DOWN] = down;
    counts[GTM_HEALTH_UNKNOWN] = unknown;
    return policy_merge(counts, needed);
}

static void test_all_must_be_up(void **state)
{
    assert_int_equal(merge(2, 0, 0, 0, 0), GTM_HEALTH_UP);
    assert_int_equal(merge(1, 0, 1, 0, 0), GTM_HEALTH_DOWN);
    assert_int_equal(merge(0, 0, 1, 1, 0), GTM_HEALTH_DOWN);
    assert_int_equal(merge(1, 0, 0, 1, 0), GTM_HEALTH_UP);
    assert_int_equal(merge(0, 0, 0, 2, 0), GTM_HEALTH_UNKNOWN);
    assert_int_equal(merge(0, 0, 0, 0, 0), GTM_HEALTH_UNKNOWN);
    assert_int_equal(merge(1, 1, 0, 0, 0), GTM_HEALTH_DEGRADED);
}

static void test_any_is_enough(void **state)
{
    assert_int_equal(merge(2, 0, 0, 0, 1), GTM_HEALTH_UP);
    assert_int_equal(merge(1, 0, 1, 0, 1), GTM_HEALTH_DEGRADED);
    assert_int_equal(merge(0, 0, 2, 0, 1), GTM_HEALTH_DOWN);
    assert_int_equal(merge(0, 0, 1, 1, 1), GTM_HEALTH_UNKNOWN);
    assert_int_equal(merge(1, 0, 1, 1, 1), GTM_HEALTH_DEGRADED);
}

static void test_n_of_several(void **state)
{
    assert_int_equal(merge(2, 0, 1, 0, 2), GTM_HEALTH_DEGRADED);
    assert_int_equal(merge(1, 0, 2, 0, 2), GTM_HEALTH_DOWN);
    assert_int_equal(merge(1, 0, 1, 1, 2), GTM_HEALTH_UNKNOWN);
    assert_int_equal(merge(3, 0, 0, 0, 2), GTM_HEALTH_UP);
    /* more than there are counts as all */
    assert_int_equal(merge(3, 0, 0, 0, 9), GTM_HEALTH_UP);
    assert_int_equal(merge(2, 0, 1, 0, 9), GTM_HEALTH_DOWN);
}

static void test_panic_holds_many_at_once(void **state)
{
    struct policy_panic_address a[4] = {{0}};
    a[0].content_since_ms = 100 * S;
    assert_false(policy_panic(a, 4, 0.5, false, 100 * S));
    a[1].content_since_ms = 101 * S;
    assert_false(policy_panic(a, 4, 0.5, false, 101 * S)); /* half is not more than half */
    assert_false(a[0].held);
    a[2].content_since_ms = 102 * S;
    assert_true(policy_panic(a, 4, 0.5, false, 102 * S));
    assert_true(a[0].held && a[1].held && a[2].held); /* those obeyed at first come back */
    assert_false(a[3].held);
    /* one more while it lasts */
    a[3].content_since_ms = 500 * S;
    assert_true(policy_panic(a, 4, 0.5, true, 500 * S));
    assert_true(a[0].held && a[3].held);
    /* two recover: the rest is obeyed */
    a[0].content_since_ms = a[1].content_since_ms = 0;
    assert_false(policy_panic(a, 4, 0.5, true, 600 * S));
    for (unsigned i = 0; i < 4; i++)
        assert_false(a[i].held);
}

static void test_slow_failures_are_obeyed(void **state)
{
    struct policy_panic_address a[4] = {{0}};
    for (unsigned i = 0; i < 4; i++) {
        uint64_t now = (100 + i * 61) * S;
        a[i].content_since_ms = now;
        assert_false(policy_panic(a, 4, 0.5, false, now));
        assert_false(a[i].held);
    }
}

static void test_old_failures_stay_down_in_a_panic(void **state)
{
    struct policy_panic_address a[4] = {{10 * S, false}, {200 * S, false}, {0}, {0}};
    a[2].content_since_ms = 201 * S;
    a[3].content_since_ms = 202 * S;
    assert_true(policy_panic(a, 4, 0.5, false, 202 * S));
    assert_false(a[0].held);
    assert_true(a[1].held && a[2].held && a[3].held);
}

static void test_panic_can_be_switched_off(void **state)
{
    struct policy_panic_address a[2] = {{10 * S, true}, {10 * S, true}};
    assert_false(policy_panic(a, 2, 0, true, 10 * S));
    assert_false(a[0].held || a[1].held);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_must_be_up),
        cmocka_unit_test(test_any_is_enough),
        cmocka_unit_test(test_n_of_several),
        cmocka_unit_test(test_panic_holds_many_at_once),
        cmocka_unit_test(test_slow_failures_are_obeyed),
        cmocka_unit_test(test_old_failures_stay_down_in_a_panic),
        cmocka_unit_test(test_panic_can_be_switched_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
