/* SPDX-License-Identifier: Apache-2.0
 *
 * Whose time of day is right: a table.
 */
#include "policies/clocks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define HERE INT64_C(1760000000000)
#define HOUR 3600000

static void who_is_right(void **state)
{
    static const struct {
        int64_t ahead[6];
        size_t count;
        int64_t off;
    } cases[] = {
        {{0}, 0, 0},
        {{HOUR}, 1, 0},                 /* one against one */
        {{-HOUR, HOUR}, 2, 0},          /* nobody agrees with anybody */
        {{0, HOUR}, 2, 0},              /* the other one is wrong */
        {{-HOUR, 0}, 2, 0},             /* so here */
        {{HOUR, HOUR + 20}, 2, HOUR},   /* two against one */
        {{-HOUR - 9, -HOUR}, 2, -HOUR}, /* … behind */
        {{0, HOUR, HOUR}, 3, 0},        /* two against two */
        {{HOUR, HOUR, HOUR}, 3, HOUR},
        {{0, HOUR, HOUR, HOUR}, 4, HOUR},
        {{0, 0, HOUR, HOUR, HOUR}, 5, 0},
        {{-HOUR, 0, HOUR, HOUR, HOUR}, 5, HOUR},
        {{0, 4999}, 2, 0},
        {{4999, 4999}, 2, 0}, /* near enough */
        {{5000, 5000}, 2, 5000},
        {{HOUR, HOUR + 5000}, 2, 0}, /* those two do not agree */
        {{HOUR, HOUR + 4999}, 2, HOUR},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t clocks[6];
        for (size_t k = 0; k < cases[i].count; k++)
            clocks[k] = HERE + cases[i].ahead[k];
        assert_int_equal(policy_clock_off_ms(clocks, cases[i].count, HERE), cases[i].off);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(who_is_right)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
