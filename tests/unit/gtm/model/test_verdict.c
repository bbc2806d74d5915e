/* SPDX-License-Identifier: Apache-2.0
 *
 * Words of health and admin state, and the whole table of who serves.
 */
#include "gtm/model/verdict.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

static void test_words(void **state)
{
    for (int h = 0; h < GTM_HEALTH_COUNT; h++)
        assert_int_equal(gtm_health_parse(gtm_health_word((enum gtm_health)h)), h);
    for (int a = 0; a < GTM_ADMIN_COUNT; a++)
        assert_int_equal(gtm_admin_parse(gtm_admin_word((enum gtm_admin)a)), a);
    assert_int_equal(gtm_health_parse("Up"), -1);
    assert_int_equal(gtm_health_parse(NULL), -1);
    assert_int_equal(gtm_admin_parse(""), -1);
    assert_string_equal(gtm_health_word((enum gtm_health)77), "unknown");
    assert_string_equal(gtm_admin_word((enum gtm_admin)77), "auto");
}

static void test_who_serves(void **state)
{
    static const bool serves[GTM_ADMIN_COUNT][GTM_HEALTH_COUNT] = {
        [GTM_ADMIN_AUTO] = {[GTM_HEALTH_UNKNOWN] = true,
                            [GTM_HEALTH_UP] = true,
                            [GTM_HEALTH_DEGRADED] = true,
                            [GTM_HEALTH_DOWN] = false},
        [GTM_ADMIN_UP] = {true, true, true, true},
    };
    for (int a = 0; a < GTM_ADMIN_COUNT; a++) {
        for (int h = 0; h < GTM_HEALTH_COUNT; h++) {
            struct gtm_endpoint_state s = {(enum gtm_health)h, (enum gtm_admin)a};
            assert_int_equal(gtm_endpoint_serves(s), serves[a][h]);
            assert_non_null(gtm_endpoint_state_reason(s));
        }
    }
}

static void test_reasons(void **state)
{
    struct gtm_endpoint_state s = {GTM_HEALTH_DOWN, GTM_ADMIN_AUTO};
    assert_string_equal(gtm_endpoint_state_reason(s), "down");
    s.admin = GTM_ADMIN_DRAIN;
    assert_string_equal(gtm_endpoint_state_reason(s), "drained by an operator");
    s.admin = GTM_ADMIN_UP;
    assert_string_equal(gtm_endpoint_state_reason(s), "held up by an operator although it is down");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_who_serves),
        cmocka_unit_test(test_reasons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
