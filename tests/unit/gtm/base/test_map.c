/* SPDX-License-Identifier: Apache-2.0 */
#include "gtm/base/map.h"

#include "gtm/base/mem.h"
#include "gtm/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void *num(uintptr_t n)
{
    return (void *)n;
}

static void put_get_replace_remove(void **state)
{
    struct gtm_map *map = gtm_map_new();
    void *old = num(99);
    assert_null(gtm_map_get(map, "a"));
    assert_null(gtm_map_remove(map, "a"));
    assert_int_equal(gtm_map_put(map, "a", num(1), &old), 0);
    assert_null(old);
    assert_int_equal(gtm_map_put(map, "", num(7), NULL), 0);
    assert_int_equal(gtm_map_put(map, "a", num(2), &old), 0);
    assert_ptr_equal(old, num(1));
    assert_ptr_equal(gtm_map_get(map, "a"), num(2));
    assert_ptr_equal(gtm_map_get(map, ""), num(7));
    assert_int_equal(gtm_map_count(map), 2);
    assert_ptr_equal(gtm_map_remove(map, "a"), num(2));
    assert_null(gtm_map_get(map, "a"));
    assert_int_equal(gtm_map_count(map), 1);
    gtm_map_free(map, NULL);
    gtm_map_free(NULL, NULL);
}

static void walk_is_in_order_of_insertion(void **state)
{
    struct gtm_map *map = gtm_map_new();
    char key[16];
    for (unsigned i = 0; i < 500; i++) {
        snprintf(key, sizeof(key), "k%u", i * 7919 % 500);
        assert_int_equal(gtm_map_put(map, key, num(i + 1), NULL), 0);
    }
    size_t it = 0;
    uintptr_t want = 1;
    const char *got_key;
    void *value;
    while (gtm_map_next(map, &it, &got_key, &value)) {
        assert_ptr_equal(value, num(want));
        assert_ptr_equal(gtm_map_remove(map, got_key), value); /* allowed during a walk */
        want++;
    }
    assert_int_equal(want, 501);
    assert_int_equal(gtm_map_count(map), 0);
    assert_int_equal(gtm_map_put(map, "again", num(5), NULL), 0);
    it = 0;
    assert_int_equal(gtm_map_next(map, &it, &got_key, NULL), 1);
    assert_string_equal(got_key, "again");
    assert_int_equal(gtm_map_next(map, &it, NULL, NULL), 0);
    gtm_map_free(map, NULL);
}

/* Against the plainest model: an array over a small key space, so that holes and reuse are common.
 */
static void behaves_like_an_array(void **state)
{
    enum { KEYS = 300 };
    uintptr_t model[KEYS] = {0};
    size_t live = 0;
    struct gtm_map *map = gtm_map_new();
    struct gtm_rand r;
    gtm_rand_seed(&r, 1);
    char key[16];
    for (unsigned step = 1; step < 100000; step++) {
        unsigned k = gtm_rand_below(&r, KEYS);
        snprintf(key, sizeof(key), "%u", k);
        if (gtm_rand_below(&r, 2)) {
            void *old;
            assert_int_equal(gtm_map_put(map, key, num(step), &old), 0);
            assert_ptr_equal(old, num(model[k]));
            live += model[k] == 0;
            model[k] = step;
        } else {
            assert_ptr_equal(gtm_map_remove(map, key), num(model[k]));
            live -= model[k] != 0;
            model[k] = 0;
        }
        assert_int_equal(gtm_map_count(map), live);
    }
    for (unsigned k = 0; k < KEYS; k++) {
        snprintf(key, sizeof(key), "%u", k);
        assert_ptr_equal(gtm_map_get(map, key), num(model[k]));
    }
    gtm_map_free(map, NULL);
}

static unsigned freed;
static void count_free(void *value)
{
    freed += (unsigned)(uintptr_t)value;
}

static void values_are_freed_once(void **state)
{
    struct gtm_map *map = gtm_map_new();
    assert_int_equal(gtm_map_put(map, "a", num(1), NULL), 0);
    assert_int_equal(gtm_map_put(map, "b", num(10), NULL), 0);
    assert_int_equal(gtm_map_put(map, "c", num(100), NULL), 0);
    gtm_map_remove(map, "b");
    freed = 0;
    gtm_map_free(map, count_free);
    assert_int_equal(freed, 101);
}

static void every_allocation_may_fail(void **state)
{
    for (unsigned n = 1;; n++) {
        unsigned put = 0;
        int rc = 0;
        char key[16];
        gtm_mem_fail_at(n, 0);
        struct gtm_map *map = gtm_map_new();
        while (map && put < 50 && rc == 0) {
            snprintf(key, sizeof(key), "key%u", put);
            rc = gtm_map_put(map, key, num(put + 1), NULL);
            put += rc == 0;
        }
        gtm_mem_fail_at(0, 0);
        if (map) {
            assert_int_equal(gtm_map_count(map), put);
            for (unsigned i = 0; i < put; i++) {
                snprintf(key, sizeof(key), "key%u", i);
                assert_ptr_equal(gtm_map_get(map, key), num(i + 1));
            }
            assert_int_equal(gtm_map_put(map, "later", num(9), NULL), 0); /* still usable */
        }
        bool done = map && rc == 0;
        gtm_map_free(map, NULL);
        if (done) {
            assert_true(n > 50);
            break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put_get_replace_remove),
        cmocka_unit_test(walk_is_in_order_of_insertion),
        cmocka_unit_test(behaves_like_an_array),
        cmocka_unit_test(values_are_freed_once),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
