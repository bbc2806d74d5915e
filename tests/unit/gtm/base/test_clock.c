/* SPDX-License-Identifier: Apache-2.0 */
#include "gtm/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void the_system_clock_goes_on(void **state)
{
    const struct gtm_clock *clock = gtm_clock_system();
    uint64_t before = gtm_mono_ns(clock);
    for (int i = 0; i < 1000; i++) {
        uint64_t now = gtm_mono_ns(clock);
        assert_true(now >= before);
        before = now;
    }
    assert_true(gtm_wall_ms(clock) > 1700000000000); /* 2023 */
}

static void the_test_offset_steps_only_the_calendar(void **state)
{
    const struct gtm_clock *clock = gtm_clock_system();
    uint64_t mono = gtm_mono_ms(clock);
    int64_t wall = gtm_wall_ms(clock);
    gtm_clock_set_test_offset_ms(-86400000);
    assert_true(gtm_wall_ms(clock) < wall - 80000000);
    assert_true(gtm_mono_ms(clock) - mono < 10000);
    gtm_clock_set_test_offset_ms(0);
    assert_true(gtm_wall_ms(clock) >= wall);
}

static void the_fake_clock_is_set_by_hand(void **state)
{
    struct gtm_clock_fake fake;
    gtm_clock_fake_init(&fake);
    fake.mono_ns = 5000000;
    fake.wall_ms = 77;
    assert_int_equal(gtm_mono_ms(&fake.clock), 5);
    assert_int_equal(gtm_wall_ms(&fake.clock), 77);
}

static void times_as_text(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1, "1970-01-01T00:00:00.001Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {1795194000123, "2026-11-20T17:00:00.123Z"},
        {951782400000, "2000-02-29T00:00:00.000Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z"},
        {253402300800000, "out-of-range"},
        {-62167219200000, "0000-01-01T00:00:00.000Z"},
        {-62167219200001, "out-of-range"},
        {INT64_MAX, "out-of-range"},
        {INT64_MIN, "out-of-range"},
    };
    char out[GTM_TIME_TEXT_BYTES];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(gtm_time_format(cases[i].ms, out), cases[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_system_clock_goes_on),
        cmocka_unit_test(the_test_offset_steps_only_the_calendar),
        cmocka_unit_test(the_fake_clock_is_set_by_hand),
        cmocka_unit_test(times_as_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
