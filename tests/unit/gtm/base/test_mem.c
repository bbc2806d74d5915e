/* SPDX-License-Identifier: Apache-2.0 */
#include "gtm/base/mem.h"

#include "gtm/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static int off(void **state)
{
    gtm_mem_fail_at(0, 0);
    return 0;
}

static void the_nth_fails_once(void **state)
{
    gtm_mem_fail_at(2, 0);
    void *a = gtm_malloc(1), *b = gtm_malloc(1), *c = gtm_malloc(1);
    assert_non_null(a);
    assert_null(b);
    assert_non_null(c);
    gtm_free(a);
    gtm_free(c);
}

static void forever_is_forever(void **state)
{
    gtm_mem_fail_at(1, 1);
    assert_null(gtm_malloc(1));
    assert_null(gtm_calloc(1, 1));
    assert_null(gtm_strdup("x"));
    assert_null(gtm_asprintf("%d", 1));
    assert_null(gtm_aligned_alloc(64, 64));
    gtm_mem_fail_at(0, 0);
    void *p = gtm_malloc(1);
    assert_non_null(p);
    gtm_free(p);
}

static void allocations_are_counted_per_thread(void **state)
{
    uint64_t before = gtm_mem_count();
    gtm_free(gtm_malloc(10));
    gtm_free(gtm_strdup("x"));
    assert_int_equal(gtm_mem_count() - before, 2);
}

static void strings(void **state)
{
    char *a = gtm_strndup("hello", 3), *b = gtm_strndup("hi", 30),
         *c = gtm_asprintf("%s-%d", "x", 7);
    assert_string_equal(a, "hel");
    assert_string_equal(b, "hi");
    assert_string_equal(c, "x-7");
    gtm_free(a);
    gtm_free(b);
    gtm_free(c);
    gtm_free(NULL);
    void *nothing = gtm_malloc(0);
    assert_non_null(nothing);
    gtm_free(nothing);
    void *line = gtm_aligned_alloc(64, 100);
    assert_int_equal((uintptr_t)line % 64, 0);
    gtm_free(line);
}

static void grow_doubles_and_keeps_on_failure(void **state)
{
    int *array = NULL;
    size_t cap = 0;
    assert_int_equal(gtm_grow((void **)&array, &cap, 1, sizeof(int)), 0);
    assert_int_equal(cap, 8);
    array[0] = 42;
    assert_int_equal(gtm_grow((void **)&array, &cap, 100, sizeof(int)), 0);
    assert_int_equal(cap, 128);
    assert_int_equal(array[0], 42);
    int *before = array;
    gtm_mem_fail_at(1, 0);
    assert_int_equal(gtm_grow((void **)&array, &cap, 129, sizeof(int)), GTM_ENOMEM);
    assert_int_equal(gtm_grow((void **)&array, &cap, SIZE_MAX, sizeof(int)), GTM_ENOMEM);
    assert_int_equal(gtm_grow((void **)&array, &cap, SIZE_MAX / 4, 8), GTM_ENOMEM);
    assert_ptr_equal(before, array);
    assert_int_equal(cap, 128);
    gtm_free(array);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_nth_fails_once, off),
        cmocka_unit_test_teardown(forever_is_forever, off),
        cmocka_unit_test(allocations_are_counted_per_thread),
        cmocka_unit_test(strings),
        cmocka_unit_test_teardown(grow_doubles_and_keeps_on_failure, off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
