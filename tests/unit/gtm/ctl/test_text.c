/* SPDX-License-Identifier: Apache-2.0
 *
 * Widths, cleaning, ages, colours.
 */
#include "gtm/base/mem.h"
#include "gtm/ctl/show.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <string.h>

static void test_width(void **state)
{
    assert_int_equal(ctl_width(""), 0);
    assert_int_equal(ctl_width("plain"), 5);
    assert_int_equal(ctl_width("«ü»"), 3);
    assert_int_equal(ctl_width("e\xcc\x81"), 1); /* a combining accent */
    assert_int_equal(ctl_width("東京"), 4);      /* full width */
    assert_int_equal(ctl_width("\xf0\x9f\x98\x80"), 2);
    assert_int_equal(ctl_width("a\xff\xfe"), 3); /* bytes of no sequence show as one each */
    assert_int_equal(ctl_width("\xe6\x9d"), 2);  /* cut short */
}

static void cleans_to(const char *text, const char *expected)
{
    struct gtm_buf out = {0};

    ctl_clean(&out, text);
    gtm_buf_adds(&out, "");
    assert_string_equal(out.data != NULL ? out.data : "", expected);
    gtm_buf_fini(&out);
}

static void test_clean(void **state)
{
    cleans_to("", "");
    cleans_to("as it is: «ü» 東京", "as it is: «ü» 東京");
    cleans_to("\033[31mred\033[0m", "?[31mred?[0m");
    cleans_to("two\nlines\r\ttab\x7f", "two?lines??tab?");
    cleans_to("\xc2\x9b"
              "31m",
              "?31m"); /* CSI in one character */
    cleans_to("abc\xe2\x80\xae"
              "def",
              "abc?def"); /* right-to-left override */
    cleans_to("\xff\xc3", "??");
    cleans_to("\xef\xbf\xbd", "\xef\xbf\xbd"); /* U+FFFD itself is fine */
}

static void test_addf_keeps_line_ends(void **state)
{
    struct gtm_buf out = {0};

    ctl_addf(&out, "%s\n%d\n", "a\033b", 7);
    assert_string_equal(out.data, "a?b\n7\n");
    gtm_buf_fini(&out);
}

static void test_spans(void **state)
{
    static const struct {
        int64_t seconds;
        const char *text;
    } spans[] = {{-5, "0s"},       {0, "0s"},           {59, "59s"},       {60, "1m0s"},
                 {3599, "59m59s"}, {3600, "1h0m"},      {86399, "23h59m"}, {86400, "1d0h"},
                 {90000, "1d1h"},  {34560000, "400d0h"}};
    char out[CTL_AGE_BYTES];

    for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++)
        assert_string_equal(ctl_span(spans[i].seconds, out), spans[i].text);
}

static void test_ages(void **state)
{
    const int64_t now_ms = 1763654400000; /* 2025-11-20T16:00:00Z */
    char out[CTL_AGE_BYTES];

    assert_string_equal(ctl_age("2025-11-20T15:59:30.250Z", now_ms, out), "30s");
    assert_string_equal(ctl_age("2025-11-19T15:00:00Z", now_ms, out), "1d1h");
    assert_string_equal(ctl_age("2025-11-20T17:00:00Z", now_ms, out), "0s"); /* a clock ahead */
    assert_string_equal(ctl_age(NULL, now_ms, out), "-");
    assert_string_equal(ctl_age("yesterday", now_ms, out), "-");
}

static void test_colours(void **state)
{
    struct ctl on = {.colour = true}, off = {.colour = false};
    struct gtm_buf out = {0};

    ctl_add_word(&off, &out, "down");
    assert_string_equal(out.data, "down");
    gtm_buf_clear(&out);
    ctl_add_word(&on, &out, "down");
    assert_string_equal(out.data, "\033[31mdown\033[0m");
    gtm_buf_clear(&out);
    ctl_add_word(&on, &out, "auto");
    assert_string_equal(out.data, "auto");
    gtm_buf_fini(&out);
    assert_string_not_equal(ctl_colour(&on, "up"), ctl_colour(&on, "degraded"));
    assert_string_equal(ctl_colour(&on, NULL), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_width),
        cmocka_unit_test(test_clean),
        cmocka_unit_test(test_addf_keeps_line_ends),
        cmocka_unit_test(test_spans),
        cmocka_unit_test(test_ages),
        cmocka_unit_test(test_colours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
