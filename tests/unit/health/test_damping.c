/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of health/damping.
 */
#include "health/damping.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void starts_from_what_was_known(void **state)
{
    struct health_damping d;
    health_damping_init(&d, GTM_HEALTH_UNKNOWN);
    assert_int_equal(d.health, GTM_HEALTH_UNKNOWN);
    health_damping_init(&d, GTM_HEALTH_UP);
    assert_int_equal(d.health, GTM_HEALTH_UP);
    health_damping_init(&d, GTM_HEALTH_DEGRADED);
    assert_int_equal(d.health, GTM_HEALTH_UP);
    health_damping_init(&d, GTM_HEALTH_DOWN);
    assert_int_equal(d.health, GTM_HEALTH_DOWN);
    health_damping_init(&d, (enum gtm_health)99);
    assert_int_equal(d.health, GTM_HEALTH_UNKNOWN);
    assert_int_equal(d.passes + d.fails, 0);
}

static void falls_after_consecutive_failures_only(void **state)
{
    struct health_damping d;
    health_damping_init(&d, GTM_HEALTH_UP);
    assert_false(health_damping_count(&d, false, 3, 2));
    assert_false(health_damping_count(&d, false, 3, 2));
    assert_false(health_damping_count(&d, true, 3, 2)); /* breaks the run */
    assert_int_equal(d.fails, 0);
    assert_int_equal(d.passes, 1);
    assert_false(health_damping_count(&d, false, 3, 2));
    assert_false(health_damping_count(&d, false, 3, 2));
    assert_int_equal(d.health, GTM_HEALTH_UP);
    assert_true(health_damping_count(&d, false, 3, 2));
    assert_int_equal(d.health, GTM_HEALTH_DOWN);
    assert_false(health_damping_count(&d, false, 3, 2)); /* told once */
    assert_int_equal(d.fails, 4);
}

static void rises_after_consecutive_passes_only(void **state)
{
    struct health_damping d;
    health_damping_init(&d, GTM_HEALTH_DOWN);
    assert_false(health_damping_count(&d, true, 3, 2));
    assert_false(health_damping_count(&d, false, 3, 2));
    assert_false(health_damping_count(&d, true, 3, 2));
    assert_int_equal(d.health, GTM_HEALTH_DOWN);
    assert_true(health_damping_count(&d, true, 3, 2));
    assert_int_equal(d.health, GTM_HEALTH_UP);
    assert_false(health_damping_count(&d, true, 3, 2));
}

static void unknown_decides_either_way(void **state)
{
    struct health_damping d;
    health_damping_init(&d, GTM_HEALTH_UNKNOWN);
    assert_false(health_damping_count(&d, true, 2, 2));
    assert_true(health_damping_count(&d, true, 2, 2));
    assert_int_equal(d.health, GTM_HEALTH_UP);
    health_damping_init(&d, GTM_HEALTH_UNKNOWN);
    assert_true(health_damping_count(&d, false, 1, 2));
    assert_int_equal(d.health, GTM_HEALTH_DOWN);
    health_damping_init(&d, GTM_HEALTH_UNKNOWN);
    assert_true(health_damping_count(&d, true, 0, 0)); /* 0 counts as 1 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_from_what_was_known),
        cmocka_unit_test(falls_after_consecutive_failures_only),
        cmocka_unit_test(rises_after_consecutive_passes_only),
        cmocka_unit_test(unknown_decides_either_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
