/* SPDX-License-Identifier: Apache-2.0
 *
 * failover: the first region of the order that can answer, for all clients alike.
 */
#include "policies/policy.h"

#include "gtm/base/mem.h"
#include "tests/support/build_intent.h"
#include "tests/support/policy_show.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void the_order_decides(void **state)
{
    struct gtm_intent *in = build_intent();
    unsigned a = build_region(in, "a", 0, 0), b = build_region(in, "b", 0, 50);
    unsigned c = build_region(in, "c", 0, 90), pool = build_pool(in, "p");
    build_endpoint(in, pool, "a1", a, "192.0.2.1", NULL, 10);
    build_endpoint(in, pool, "b1", b, "192.0.2.2", NULL, 10);
    build_endpoint(in, pool, "b2", b, "192.0.2.3", NULL, 30);
    build_endpoint(in, pool, "c1", c, "192.0.2.4", NULL, 10);
    unsigned policy = build_policy(in, "f", GTM_STEER_FAILOVER, (int)pool);
    struct gtm_states *s = gtm_states_new(in);
    struct gtm_location here = {.has_point = true, .lat = 0, .lon = 90};
    assert_string_equal(policy_show(s, policy, 0, &here), "normal | 100% 1 of a1:10");
    build_order(in, policy, 2, (const unsigned[]){b, a});
    assert_string_equal(policy_show(s, policy, 0, &here), "normal | 100% 1 of b1:10 b2:30");
    gtm_states_set_health(s, pool, 1, 0, GTM_HEALTH_DOWN, NULL);
    assert_string_equal(policy_show(s, policy, 0, &here), "normal | 100% 1 of b2:30");
    gtm_states_set_health(s, pool, 2, 0, GTM_HEALTH_DOWN, NULL);
    assert_string_equal(policy_show(s, policy, 0, &here), "normal | 100% 1 of a1:10");
    gtm_states_set_health(s, pool, 0, 0, GTM_HEALTH_DOWN, NULL);
    assert_string_equal(policy_show(s, policy, 0, &here), "normal | 100% 1 of c1:10");
    gtm_states_free(s);
    build_free(in);
}

static void first_takes_the_list_then_the_order_then_the_lowest(void **state)
{
    struct gtm_intent *in = build_intent();
    for (unsigned i = 0; i < 200; i++)
        build_region(in, "r", 0, 0);
    unsigned policy = build_policy(in, "f", GTM_STEER_FAILOVER, (int)build_pool(in, "p"));
    build_order(in, policy, 1, (const unsigned[]){150});
    struct policy_regions list = {.count = 2, .region = {7, 130}};
    struct policy_regionset set = {{0}};
    assert_int_equal(policy_first(in, policy, &list, &set), -1);
    set.bits[199 / 64] |= UINT64_C(1) << (199 % 64);
    assert_int_equal(policy_first(in, policy, &list, &set), 199);
    set.bits[150 / 64] |= UINT64_C(1) << (150 % 64);
    assert_int_equal(policy_first(in, policy, &list, &set), 150);
    set.bits[130 / 64] |= UINT64_C(1) << (130 % 64);
    assert_int_equal(policy_first(in, policy, &list, &set), 130);
    assert_int_equal(policy_first(in, policy, NULL, &set), 150);
    build_free(in);
}

/* Regions a, b, c, d, e in this order, one endpoint each. */
static struct gtm_intent *row_of_five(void)
{
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    struct gtm_intent *in = build_intent();
    unsigned pool = build_pool(in, "p");
    for (unsigned r = 0; r < 5; r++) {
        build_region(in, names[r], 0, 10.0 * r);
        build_endpoint(in, pool, names[r], r, "192.0.2.1", NULL, 10);
    }
    build_policy(in, "f", GTM_STEER_FAILOVER, (int)pool);
    return in;
}

static void a_full_region_sheds_to_the_next(void **state)
{
    struct gtm_intent *in = row_of_five();
    struct gtm_states *s = gtm_states_new(in);
    gtm_states_set_shed(s, 0, 0, 200, NULL);
    assert_string_equal(policy_show(s, 0, 0, NULL), "normal | 80% 1 of a:10 | 20% 1 of b:10");
    assert_non_null(
        strstr(policy_said(s, 0, 0, NULL), "region a of pool p sheds 20 % of its users to b"));
    /* what it sheds is shed on by a region that is full, too */
    gtm_states_set_shed(s, 0, 1, 500, NULL);
    assert_string_equal(policy_show(s, 0, 0, NULL),
                        "normal | 80% 1 of a:10 | 10% 1 of b:10 | 10% 1 of c:10");
    gtm_states_set_shed(s, 0, 1, 1000, NULL);
    assert_string_equal(policy_show(s, 0, 0, NULL), "normal | 80% 1 of a:10 | 20% 1 of c:10");
    gtm_states_set_health(s, 0, 1, 0, GTM_HEALTH_DOWN, NULL);
    assert_string_equal(policy_show(s, 0, 0, NULL), "normal | 80% 1 of a:10 | 20% 1 of c:10");
    /* four regions at most: the last keeps what comes to it */
    gtm_states_set_health(s, 0, 1, 0, GTM_HEALTH_UP, NULL);
    for (unsigned r = 0; r < 5; r++)
        gtm_states_set_shed(s, 0, r, 500, NULL);
    assert_string_equal(policy_show(s, 0, 0, NULL),
                        "normal | 50% 1 of a:10 | 25% 1 of b:10 | 12.5% 1 of c:10 | 12.5% 1 of "
                        "d:10");
    /* the only one left keeps all */
    for (unsigned r = 1; r < 5; r++)
        gtm_states_set_health(s, 0, r, 0, GTM_HEALTH_DOWN, NULL);
    assert_string_equal(policy_show(s, 0, 0, NULL), "normal | 100% 1 of a:10");
    /* nor does anybody shed when nothing serves */
    gtm_states_set_health(s, 0, 0, 0, GTM_HEALTH_DOWN, NULL);
    assert_string_equal(policy_show(s, 0, 0, NULL), "fail_open | 100% 1 of a:10");
    gtm_states_free(s);
    build_free(in);
}

static void paths_tell_classes_apart_only_while_it_matters(void **state)
{
    struct gtm_intent *in = row_of_five();
    struct gtm_states *s = gtm_states_new(in);
    struct policy_env env = {.intent = in, .states = s};
    struct policy_parts parts = {.count = 1, .policy = {0}};
    struct policy_regions ab = {.count = 2, .region = {0, 1}}, ac = {.count = 2, .region = {0, 2}};
    struct policy_look look;
    struct policy_path one, two;
    in->policies[0].steer = GTM_STEER_NEAREST;
    policy_look(&env, 0, &parts, &look);
    policy_path(in, 0, &ab, &look.part[0], &one);
    policy_path(in, 0, &ac, &look.part[0], &two);
    assert_int_equal(one.count, 1);
    assert_memory_equal(&one, &two, sizeof(one));
    gtm_states_set_shed(s, 0, 0, 1, NULL);
    policy_look(&env, 0, &parts, &look);
    policy_path(in, 0, &ab, &look.part[0], &one);
    policy_path(in, 0, &ac, &look.part[0], &two);
    assert_int_equal(one.count, 2);
    assert_int_equal(one.step[1], 1);
    assert_int_equal(two.step[1], 2);
    policy_path(in, 0, &ab, &(struct policy_part_look){.targets = {0}}, &one);
    assert_int_equal(one.count, 0);
    gtm_states_free(s);
    build_free(in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_decides),
        cmocka_unit_test(a_full_region_sheds_to_the_next),
        cmocka_unit_test(paths_tell_classes_apart_only_while_it_matters),
        cmocka_unit_test(first_takes_the_list_then_the_order_then_the_lowest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
