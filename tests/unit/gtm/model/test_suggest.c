/* SPDX-License-Identifier: Apache-2.0
 *
 * Edit distance and what is near enough to be meant.
 */
#include "gtm/model/suggest.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <string.h>

static void test_distance(void **state)
{
    char longest[GTM_SUGGEST_MAX + 2];
    memset(longest, 'a', sizeof(longest));
    longest[GTM_SUGGEST_MAX] = '\0';
    assert_int_equal(gtm_suggest_distance("weight", "weight"), 0);
    assert_int_equal(gtm_suggest_distance("wieght", "weight"), 1); /* neighbours swapped */
    assert_int_equal(gtm_suggest_distance("weigh", "weight"), 1);
    assert_int_equal(gtm_suggest_distance("weights", "weight"), 1);
    assert_int_equal(gtm_suggest_distance("waight", "weight"), 1);
    assert_int_equal(gtm_suggest_distance("wait", "weight"), 3);
    assert_int_equal(gtm_suggest_distance("abcd", "bacx"), 2);
    assert_int_equal(gtm_suggest_distance("", "ab"), 2);
    assert_int_equal(gtm_suggest_distance("", "abc"), 3);
    assert_int_equal(gtm_suggest_distance(longest, longest), 0);
    longest[GTM_SUGGEST_MAX] = 'a';
    longest[GTM_SUGGEST_MAX + 1] = '\0';
    assert_int_equal(gtm_suggest_distance(longest, longest), 3);
}

static const char *best_of(const char *word)
{
    static const char *const candidates[] = {"port", "path", "pool", "a", "ap-south"};
    const char *best = NULL;
    unsigned distance = 0;
    for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++)
        gtm_suggest_try(word, candidates[i], &best, &distance);
    return best;
}

static void test_near_enough(void **state)
{
    assert_string_equal(best_of("prot"), "port");
    assert_string_equal(best_of("pth"), "path");
    assert_string_equal(best_of("ap-suoht"), "ap-south");
    assert_null(best_of("b"));  /* one of one letters is not near */
    assert_null(best_of("po")); /* half of "pool" is missing */
    assert_null(best_of("colour"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_near_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
