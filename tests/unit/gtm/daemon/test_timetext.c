/* SPDX-License-Identifier: Apache-2.0
 *
 * RFC 3339 times: what is read is what was written, and nothing else is read.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "gtm/base/clock.h"
#include "gtm/base/rand.h"
#include "gtm/daemon/timetext.h"

static void known_times(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"1970-01-01T00:00:00Z", 0},
                {"2026-11-20T17:00:00Z", 1795194000000},
                {"2026-11-20t17:00:00.5z", 1795194000500},
                {"2026-11-20 17:00:00.123456789Z", 1795194000123},
                {"2026-11-20T18:30:00+01:30", 1795194000000},
                {"2026-11-20T12:00:00-05:00", 1795194000000},
                {"2024-02-29T00:00:00Z", 1709164800000},
                {"2016-12-31T23:59:60Z", 1483228800000},
                {"9999-12-31T23:59:59.999Z", 253402300799999}};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        int64_t ms = -1;
        assert_int_equal(gtm_time_parse(good[i].text, &ms), 0);
        assert_int_equal(ms, good[i].ms);
    }
}

static void refused(void **state)
{
    static const char *const bad[] = {"",
                                      "now",
                                      "2026-11-20",
                                      "2026-11-20T17:00Z",
                                      "2026-11-20T17:00:00",
                                      "2026-11-20T17:00:00Zx",
                                      "2026-11-20T17:00:00.Z",
                                      "2026-11-20T17:00:00+0100",
                                      "2026-11-20T17:00:00+24:00",
                                      "2026-11-20T17:00:00+01:60",
                                      "2026-13-20T17:00:00Z",
                                      "2026-00-20T17:00:00Z",
                                      "2026-11-31T17:00:00Z",
                                      "2026-11-00T17:00:00Z",
                                      "2023-02-29T17:00:00Z",
                                      "1900-02-29T17:00:00Z",
                                      "1969-12-31T23:59:59Z",
                                      "2026-11-20T24:00:00Z",
                                      "2026-11-20T17:60:00Z",
                                      "2026-11-20T17:00:61Z",
                                      " 2026-11-20T17:00:00Z",
                                      "-026-11-20T17:00:00Z"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int64_t ms = 77;
        assert_int_not_equal(gtm_time_parse(bad[i], &ms), 0);
        assert_int_equal(ms, 77);
    }
}

static void round_trip(void **state)
{
    struct gtm_rand r;
    gtm_rand_seed(&r, 1);
    for (int i = 0; i < 100000; i++) {
        int64_t ms = (int64_t)(gtm_rand_next(&r) % 253402300800000u), back = -1;
        char text[GTM_TIME_TEXT_BYTES];
        assert_int_equal(gtm_time_parse(gtm_time_format(ms, text), &back), 0);
        assert_int_equal(back, ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_times),
        cmocka_unit_test(refused),
        cmocka_unit_test(round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
