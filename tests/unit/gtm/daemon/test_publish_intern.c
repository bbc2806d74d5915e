/* SPDX-License-Identifier: Apache-2.0
 *
 * The interner: equal bytes, one number; dense numbers; failures of memory leave it usable.
 */
#include "gtm/daemon/publish_intern.h"

#include "gtm/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void numbers_are_dense_and_stable(void **state)
{
    struct gtm__intern in = {0};
    char key[32];
    for (unsigned round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 5000; i++) {
            uint32_t number = 0;
            bool fresh = false;
            int len = snprintf(key, sizeof(key), "key %u", i);
            assert_int_equal(gtm__intern_add(&in, key, (size_t)len, &number, &fresh), 0);
            assert_int_equal(number, i);
            assert_int_equal(fresh, round == 0);
        }
    }
    size_t len = 0;
    assert_memory_equal(gtm__intern_key(&in, 4321, &len), "key 4321", 8);
    assert_int_equal(len, 8);
    assert_int_equal(gtm__intern_find(&in, "key 4321", 8), 4321);
    assert_int_equal(gtm__intern_find(&in, "key 4321", 7), 432); /* a prefix is another key */
    assert_int_equal(gtm__intern_find(&in, "key x", 5), -1);
    gtm__intern_fini(&in);
    assert_int_equal(gtm__intern_find(&in, "key 1", 5), -1);
}

static void the_empty_key_is_a_key(void **state)
{
    struct gtm__intern in = {0};
    uint32_t number = 9;
    assert_int_equal(gtm__intern_find(&in, "", 0), -1);
    assert_int_equal(gtm__intern_add(&in, NULL, 0, &number, NULL), 0);
    assert_int_equal(number, 0);
    assert_int_equal(gtm__intern_add(&in, "\0", 1, &number, NULL), 0);
    assert_int_equal(number, 1);
    assert_int_equal(gtm__intern_find(&in, NULL, 0), 0);
    gtm__intern_fini(&in);
}

static void no_memory_leaves_it_usable(void **state)
{
    struct gtm__intern in = {0};
    uint32_t number = 0, expect = 0;
    for (unsigned i = 0; i < 300; i++) {
        gtm_mem_fail_at(1, 1);
        int rc = gtm__intern_add(&in, &i, sizeof(i), &number, NULL);
        gtm_mem_fail_at(0, 0);
        if (rc != GTM_OK) {
            assert_int_equal(rc, GTM_ENOMEM);
            assert_int_equal(gtm__intern_find(&in, &i, sizeof(i)), -1);
            assert_int_equal(gtm__intern_add(&in, &i, sizeof(i), &number, NULL), 0);
        }
        assert_int_equal(number, expect++);
    }
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(gtm__intern_find(&in, &i, sizeof(i)), i);
    gtm__intern_fini(&in);
}

static void hashes_tell_lengths_and_chains_apart(void **state)
{
    assert_true(gtm__hash_bytes(0, "\0", 1) != gtm__hash_bytes(0, "\0\0", 2));
    assert_true(gtm__hash_bytes(0, "abcdefgh", 8) != gtm__hash_bytes(0, "abcdefgh\0", 9));
    assert_true(gtm__hash_bytes(1, "a", 1) != gtm__hash_bytes(2, "a", 1));
    assert_true(gtm__hash_bytes(0, "a", 1) == gtm__hash_bytes(0, "a", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_dense_and_stable),
        cmocka_unit_test(the_empty_key_is_a_key),
        cmocka_unit_test(no_memory_leaves_it_usable),
        cmocka_unit_test(hashes_tell_lengths_and_chains_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
