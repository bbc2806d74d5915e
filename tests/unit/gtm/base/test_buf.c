/* SPDX-License-Identifier: Apache-2.0 */
#include "gtm/base/buf.h"

#include "gtm/base/mem.h"
#include "gtm/base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void appends_and_terminates(void **state)
{
    struct gtm_buf buf = {0};
    gtm_buf_adds(&buf, "a");
    gtm_buf_addc(&buf, 'b');
    gtm_buf_add(&buf, "\0c", 2);
    gtm_buf_addf(&buf, "%05d", 42);
    assert_int_equal(buf.len, 9);
    assert_memory_equal(buf.data, "ab\0c00042", 10);
    for (int i = 0; i < 1000; i++)
        gtm_buf_addf(&buf, "%d,", i);
    assert_int_equal(buf.data[buf.len], 0);
    assert_string_equal(buf.data + buf.len - 4, "999,");
    gtm_buf_clear(&buf);
    assert_int_equal(buf.len, 0);
    assert_string_equal(buf.data, "");
    gtm_buf_fini(&buf);
}

static void a_long_format_is_whole(void **state)
{
    struct gtm_buf buf = {0};
    char big[5000];
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    gtm_buf_addf(&buf, "<%s>", big);
    assert_int_equal(buf.len, 5001);
    assert_int_equal(buf.data[5000], '>');
    gtm_buf_fini(&buf);
}

static void take_of_nothing_is_an_empty_string(void **state)
{
    struct gtm_buf buf = {0};
    char *s = gtm_buf_take(&buf);
    assert_string_equal(s, "");
    assert_null(buf.data);
    gtm_free(s);
}

static void every_allocation_may_fail(void **state)
{
    for (unsigned n = 1;; n++) {
        struct gtm_buf buf = {0};
        gtm_mem_fail_at(n, 0);
        for (int i = 0; i < 200; i++)
            gtm_buf_addf(&buf, "%d", i);
        gtm_buf_adds(&buf, "end");
        bool failed = buf.failed;
        char *s = gtm_buf_take(&buf);
        gtm_mem_fail_at(0, 0);
        assert_int_equal(failed, s == NULL);
        assert_null(buf.data);
        assert_false(buf.failed);
        gtm_free(s);
        if (!failed) {
            assert_true(n > 3); /* it did fail before */
            break;
        }
    }
}

static void failure_is_sticky_until_cleared(void **state)
{
    struct gtm_buf buf = {0};
    gtm_buf_adds(&buf, "keep");
    gtm_mem_fail_at(1, 0);
    char big[500] = {0};
    gtm_buf_add(&buf, big, sizeof(big));
    gtm_mem_fail_at(0, 0);
    gtm_buf_adds(&buf, "ignored");
    assert_true(buf.failed);
    assert_string_equal(buf.data, "keep");
    gtm_buf_clear(&buf);
    gtm_buf_adds(&buf, "new");
    assert_string_equal(buf.data, "new");
    gtm_buf_add(&buf, "x", SIZE_MAX - 2); /* cannot be had: refused before it is read */
    assert_true(buf.failed);
    gtm_buf_fini(&buf);
}

static void utf8_lengths(void **state)
{
    static const struct {
        const char *bytes;
        size_t n, want;
    } cases[] = {
        {"a", 1, 1},
        {"", 0, 0},
        {"\xc3\xa9", 2, 2},
        {"\xc3", 1, 0},
        {"\xc1\xbf", 2, 0},         /* overlong */
        {"\xe0\x9f\xbf", 3, 0},     /* overlong */
        {"\xe2\x82\xac", 3, 3},     /* € */
        {"\xed\xa0\x80", 3, 0},     /* surrogate */
        {"\xee\x80\x80", 3, 3},     /* U+E000 */
        {"\xf0\x8f\xbf\xbf", 4, 0}, /* overlong */
        {"\xf0\x9f\x98\x80", 4, 4},
        {"\xf0\x9f\x98\x80", 3, 0},
        {"\xf4\x8f\xbf\xbf", 4, 4}, /* U+10FFFF */
        {"\xf4\x90\x80\x80", 4, 0}, /* above */
        {"\xf5\x80\x80\x80", 4, 0},
        {"\x80", 1, 0},
        {"\xe2\x28\xa1", 3, 0},
        {"\xe2\x82\x28", 3, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(gtm_utf8_len(cases[i].bytes, cases[i].n), cases[i].want);
}

static void utf8_is_repaired(void **state)
{
    struct gtm_buf buf = {0};
    gtm_utf8_repair(&buf, "a\xff\xc3\xa9\xe2\x82z", 7);
    assert_string_equal(buf.data, "a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbdz");
    gtm_buf_fini(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_and_terminates),
        cmocka_unit_test(a_long_format_is_whole),
        cmocka_unit_test(take_of_nothing_is_an_empty_string),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(failure_is_sticky_until_cleared),
        cmocka_unit_test(utf8_lengths),
        cmocka_unit_test(utf8_is_repaired),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
