/* SPDX-License-Identifier: Apache-2.0 */
#include "gtm/etcdc/splitter.h"

#include "gtm/base/mem.h"
#include "gtm/etcdc/etcdc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct seen {
    char all[512]; /* every object, with a '|' after it */
    unsigned count, stop_after;
};

static bool on_object(void *arg, const char *text, size_t len)
{
    struct seen *seen = arg;
    size_t at = strlen(seen->all);
    snprintf(seen->all + at, sizeof(seen->all) - at, "%.*s|", (int)len, text);
    return ++seen->count != seen->stop_after;
}

/* With braces in strings, escapes at the seams, nesting, blanks between, no newline at the end. */
static const char stream[] =
    "{\"a\":\"}{\\\"\\\\\"}\n\r\n {\"b\":[{\"c\":{}},[]]}{\"d\":\"\\\\\"} \t"
    "{\"e\":\"\\u007d\"}";
static const char objects[] = "{\"a\":\"}{\\\"\\\\\"}|{\"b\":[{\"c\":{}},[]]}|{\"d\":\"\\\\\"}|"
                              "{\"e\":\"\\u007d\"}|";

static void any_two_cuts_give_the_same_objects(void **state)
{
    size_t n = sizeof(stream) - 1;
    for (size_t i = 0; i <= n; i++)
        for (size_t j = i; j <= n; j++) {
            struct etcdc__splitter s = {.max_bytes = 64};
            struct seen seen = {0};
            assert_int_equal(etcdc__splitter_feed(&s, stream, i, on_object, &seen), 0);
            assert_int_equal(etcdc__splitter_feed(&s, stream + i, j - i, on_object, &seen), 0);
            assert_int_equal(etcdc__splitter_feed(&s, stream + j, n - j, on_object, &seen), 0);
            assert_string_equal(seen.all, objects);
            etcdc__splitter_fini(&s);
        }
}

static int feed(size_t max_bytes, const char *text, struct seen *seen)
{
    struct etcdc__splitter s = {.max_bytes = max_bytes};
    int code = ETCDC_OK;
    for (const char *p = text; *p && !code; p++)
        code = etcdc__splitter_feed(&s, p, 1, on_object, seen);
    etcdc__splitter_fini(&s);
    struct etcdc__splitter whole = {.max_bytes = max_bytes};
    struct seen again = {0};
    assert_int_equal(etcdc__splitter_feed(&whole, text, strlen(text), on_object, &again), code);
    etcdc__splitter_fini(&whole);
    return code;
}

static void what_is_no_object_is_refused(void **state)
{
    struct seen seen = {0};
    assert_int_equal(feed(100, "<html>", &seen), ETCDC_E_PROTOCOL);
    assert_int_equal(feed(100, "{} []", &seen), ETCDC_E_PROTOCOL);
    assert_int_equal(feed(100, "{}}", &seen), ETCDC_E_PROTOCOL);
    assert_int_equal(feed(100, "\"{}\"", &seen), ETCDC_E_PROTOCOL);
    assert_int_equal(seen.count, 2);
}

static void the_bound_is_of_one_object(void **state)
{
    struct seen seen = {0};
    assert_int_equal(feed(10, "{\"a\":\"bc\"}\n{\"a\":\"bc\"}", &seen), ETCDC_OK);
    assert_int_equal(feed(9, "{\"a\":\"bc\"}", &seen), ETCDC_E_OVERFLOW);
    assert_int_equal(feed(9, "{\"a\":\"bcdefghijklmnop", &seen), ETCDC_E_OVERFLOW);
    assert_int_equal(seen.count, 2);
}

static void who_takes_an_object_may_stop(void **state)
{
    struct etcdc__splitter s = {.max_bytes = 64};
    struct seen seen = {.stop_after = 2};
    assert_int_equal(etcdc__splitter_feed(&s, "{\"a\"", 4, on_object, &seen), 0);
    assert_int_equal(etcdc__splitter_feed(&s, ":1}{}{}{}", 9, on_object, &seen), 0);
    assert_string_equal(seen.all, "{\"a\":1}|{}|");
    etcdc__splitter_fini(&s);
}

static void memory_may_fail(void **state)
{
    struct etcdc__splitter s = {.max_bytes = 64};
    struct seen seen = {0};
    gtm_mem_fail_at(1, 1);
    assert_int_equal(etcdc__splitter_feed(&s, "{\"a\"", 4, on_object, &seen), ETCDC_E_NOMEM);
    assert_int_equal(etcdc__splitter_feed(&s, ":1}", 3, on_object, &seen), ETCDC_E_NOMEM);
    gtm_mem_fail_at(0, 0);
    etcdc__splitter_fini(&s);
    assert_int_equal(etcdc__splitter_feed(&s, "{}", 2, on_object, &seen), ETCDC_OK);
    assert_string_equal(seen.all, "{}|");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_two_cuts_give_the_same_objects),
        cmocka_unit_test(what_is_no_object_is_refused),
        cmocka_unit_test(the_bound_is_of_one_object),
        cmocka_unit_test(who_takes_an_object_may_stop),
        cmocka_unit_test(memory_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
