/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of health/match: against memmem over random texts cut at random places.
 */
#include "gtm/base/rand.h"
#include "health/match.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void agrees_with_memmem(void **state)
{
    struct gtm_rand rand;
    unsigned hits = 0;
    gtm_rand_seed(&rand, 42);
    for (unsigned round = 0; round < 20000; round++) {
        char hay[64], text[8];
        size_t hay_len = gtm_rand_below(&rand, sizeof(hay)), len = 1 + gtm_rand_below(&rand, 7);
        for (size_t i = 0; i < hay_len; i++)
            hay[i] = (char)('a' + gtm_rand_below(&rand, 2)); /* few letters: many near misses */
        for (size_t i = 0; i < len; i++)
            text[i] = (char)('a' + gtm_rand_below(&rand, 2));
        struct health_needle needle;
        assert_int_equal(health_needle_init(&needle, text, len), GTM_OK);
        struct health_match match = {0};
        bool found = false;
        for (size_t at = 0; at < hay_len;) {
            size_t piece = 1 + gtm_rand_below(&rand, 5);
            piece = piece < hay_len - at ? piece : hay_len - at;
            found = health_match_feed(&match, &needle, hay + at, piece);
            at += piece;
        }
        assert_int_equal(found, memmem(hay, hay_len, text, len) != NULL);
        hits += found;
        health_needle_fini(&needle);
    }
    assert_in_range(hits, 2000, 18000);
}

static void stays_found(void **state)
{
    struct health_needle needle;
    struct health_match match = {0};
    assert_int_equal(health_needle_init(&needle, "ok", 2), GTM_OK);
    assert_false(health_match_feed(&match, &needle, "o", 1));
    assert_true(health_match_feed(&match, &needle, "k", 1));
    assert_true(health_match_feed(&match, &needle, "zzz", 3));
    health_needle_fini(&needle);
}

static void knows_its_limits(void **state)
{
    struct health_needle needle;
    struct health_match match = {0};
    static char big[HEALTH_NEEDLE_MAX + 1];
    assert_int_equal(health_needle_init(&needle, big, sizeof(big)), GTM_ELIMIT);
    health_needle_fini(&needle);
    assert_int_equal(health_needle_init(&needle, big, HEALTH_NEEDLE_MAX), GTM_OK);
    assert_false(health_match_feed(&match, &needle, big, HEALTH_NEEDLE_MAX - 1));
    assert_true(health_match_feed(&match, &needle, big, 1));
    health_needle_fini(&needle);
    match = (struct health_match){0};
    assert_int_equal(health_needle_init(&needle, "", 0), GTM_OK);
    assert_true(health_match_feed(&match, &needle, "", 0));
    health_needle_fini(&needle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_memmem),
        cmocka_unit_test(stays_found),
        cmocka_unit_test(knows_its_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
