/* SPDX-License-Identifier: Apache-2.0 */
#include "gtm/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Test vectors of xoshiro256** from state {1, 2, 3, 4}, worked out from the published definition.
 */
static void the_generator_is_xoshiro(void **state)
{
    struct gtm_rand r = {{1, 2, 3, 4}};
    static const uint64_t want[] = {11520u, 0u, 1509978240u, 1215971899390074240u};
    for (size_t i = 0; i < 4; i++)
        assert_true(gtm_rand_next(&r) == want[i]);
}

/* splitmix64 from 0 starts with this well-known value. */
static void seeds_expand_by_splitmix(void **state)
{
    struct gtm_rand r;
    gtm_rand_seed(&r, 0);
    assert_true(r.s[0] == 0xe220a8397b1dcdafu);
    assert_true(r.s[1] == 0x6e789e6aa1b965f4u);
}

static void same_seed_same_sequence(void **state)
{
    struct gtm_rand a, b, c;
    gtm_rand_seed(&a, 42);
    gtm_rand_seed(&b, 42);
    gtm_rand_seed(&c, 43);
    unsigned differ = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t x = gtm_rand_next(&a);
        assert_true(x == gtm_rand_next(&b));
        differ += x != gtm_rand_next(&c);
    }
    assert_int_equal(differ, 100);
}

static void below_is_uniform(void **state)
{
    struct gtm_rand r;
    gtm_rand_seed(&r, 7);
    unsigned counts[10] = {0};
    for (int i = 0; i < 100000; i++) {
        uint32_t n = gtm_rand_below(&r, 10);
        assert_true(n < 10);
        counts[n]++;
    }
    for (int i = 0; i < 10; i++) /* expected 10,000, six deviations are 570 */
        assert_in_range(counts[i], 9430, 10570);
    assert_int_equal(gtm_rand_below(&r, 1), 0);
}

static void the_system_seeds_differ(void **state)
{
    struct gtm_rand a, b;
    gtm_rand_seed_os(&a);
    gtm_rand_seed_os(&b);
    assert_memory_not_equal(a.s, b.s, sizeof(a.s));
    unsigned char x[300] = {0}, y[300] = {0}; /* over 256: getrandom may give less at once */
    assert_int_equal(gtm_rand_secure(x, sizeof(x)), 0);
    assert_int_equal(gtm_rand_secure(y, sizeof(y)), 0);
    assert_memory_not_equal(x, y, sizeof(x));
    assert_memory_not_equal(x + 268, (unsigned char[32]){0}, 32);
    assert_int_equal(gtm_rand_secure(x, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_generator_is_xoshiro), cmocka_unit_test(seeds_expand_by_splitmix),
        cmocka_unit_test(same_seed_same_sequence),  cmocka_unit_test(below_is_uniform),
        cmocka_unit_test(the_system_seeds_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
