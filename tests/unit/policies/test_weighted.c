/* SPDX-License-Identifier: Apache-2.0
 *
 * weighted: shares, targets that hand theirs on, nesting, standbys; and that drawing by the weights
 * that come out gives the shares that were asked for.
 */
#include "policies/policy.h"

#include "gtm/base/rand.h"
#include "tests/support/build_intent.h"
#include "tests/support/policy_show.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct gtm_location dublin = {.has_point = true, .lat = 53, .lon = -8};

/* Pool 0: "u" in us, "e" in eu. Pool 1: "c" in eu. Policies: near over pool 0, split. */
enum { NEAR, SPLIT, OUTER };
static struct gtm_intent *world(void)
{
    struct gtm_intent *in = build_intent();
    build_region(in, "us", 38, -77);
    build_region(in, "eu", 53, -6);
    build_pool(in, "www");
    build_pool(in, "canary");
    build_endpoint(in, 0, "u", 0, "192.0.2.1", NULL, 100);
    build_endpoint(in, 0, "e", 1, "192.0.2.2", "2001:db8::2", 100);
    build_endpoint(in, 1, "c", 1, "192.0.2.3", NULL, 100);
    build_policy(in, "near", GTM_STEER_NEAREST, 0);
    build_policy(in, "split", GTM_STEER_WEIGHTED, -1);
    build_policy(in, "outer", GTM_STEER_WEIGHTED, -1);
    return in;
}

static void shares_are_weights_over_their_sum(void **state)
{
    struct gtm_intent *in = world();
    build_target(in, SPLIT, GTM_TARGET_POLICY, NEAR, 0, 90);
    build_target(in, SPLIT, GTM_TARGET_POOL, 1, 0, 9);
    build_target(in, SPLIT, GTM_TARGET_ENDPOINT, 0, 0, 1);
    struct gtm_states *s = gtm_states_new(in);
    assert_string_equal(policy_show(s, SPLIT, 0, &dublin),
                        "normal | 90% 1 of e:100 | 9% 1 of c:100 | 1% 1 of u:100");
    assert_string_equal(policy_show(s, SPLIT, 0, NULL),
                        "normal | 90% 1 of u:100 | 9% 1 of c:100 | 1% 1 of u:100");
    /* only one target has an IPv6 address: it gets all */
    assert_string_equal(policy_show(s, SPLIT, 1, &dublin), "normal | 100% 1 of e:100");
    gtm_states_free(s);
    build_free(in);
}

static void an_endpoint_that_ramps_or_is_degraded_takes_less(void **state)
{
    struct gtm_intent *in = world();
    in->pools[0].degraded_weight = 0.5;
    build_target(in, SPLIT, GTM_TARGET_ENDPOINT, 0, 0, 50);
    build_target(in, SPLIT, GTM_TARGET_ENDPOINT, 0, 1, 50);
    struct gtm_states *s = gtm_states_new(in);
    gtm_states_set_share(s, 0, 0, 0, 250, NULL);
    assert_string_equal(policy_show(s, SPLIT, 0, NULL), "normal | 20% 1 of u:25 | 80% 1 of e:100");
    gtm_states_set_share(s, 0, 0, 0, GTM_SHARE_FULL, NULL);
    gtm_states_set_health(s, 0, 0, 0, GTM_HEALTH_DEGRADED, NULL);
    assert_string_equal(policy_show(s, SPLIT, 0, NULL),
                        "normal | 33.33% 1 of u:50 | 66.67% 1 of e:100");
    gtm_states_set_share(s, 0, 0, 0, 0, NULL); /* held */
    assert_string_equal(policy_show(s, SPLIT, 0, NULL), "normal | 100% 1 of e:100");
    gtm_states_free(s);
    build_free(in);
}

static void a_dead_target_hands_its_share_to_the_others(void **state)
{
    struct gtm_intent *in = world();
    build_target(in, SPLIT, GTM_TARGET_POLICY, NEAR, 0, 90);
    build_target(in, SPLIT, GTM_TARGET_POOL, 1, 0, 10);
    build_target(in, SPLIT, GTM_TARGET_ENDPOINT, 0, 0, 10);
    struct gtm_states *s = gtm_states_new(in);
    gtm_states_set_health(s, 1, 0, 0, GTM_HEALTH_DOWN, NULL);
    assert_string_equal(policy_show(s, SPLIT, 0, &dublin),
                        "normal | 90% 1 of e:100 | 10% 1 of u:100");
    assert_non_null(strstr(policy_said(s, SPLIT, 0, &dublin),
                           "pool canary has nothing usable: its share goes to the others\n"));
    gtm_states_set_health(s, 0, 0, 0, GTM_HEALTH_DOWN, NULL);
    assert_string_equal(policy_show(s, SPLIT, 0, &dublin), "normal | 100% 1 of e:100");
    gtm_states_set_health(s, 0, 1, 0, GTM_HEALTH_DOWN, NULL);
    /* nothing left: fail_open brings all of them back, as they are split */
    assert_string_equal(policy_show(s, SPLIT, 0, &dublin),
                        "fail_open | 81.82% 1 of e:100 | 9.091% 1 of c:100 | 9.091% 1 of u:100");
    in->policies[SPLIT].all_down = GTM_ALL_DOWN_FAIL_CLOSED;
    assert_string_equal(policy_show(s, SPLIT, 0, &dublin), "fail_closed");
    in->policies[SPLIT].all_down = GTM_ALL_DOWN_LAST_GOOD;
    assert_string_equal(policy_show(s, SPLIT, 0, &dublin),
                        "last_good | 90% 1 of e:100 | 10% 1 of c:100");
    gtm_states_free(s);
    build_free(in);
}

static void an_inner_fail_open_waits_for_the_outer(void **state)
{
    struct gtm_intent *in = world();
    build_target(in, SPLIT, GTM_TARGET_POLICY, NEAR, 0, 50); /* near fails open by itself */
    build_target(in, SPLIT, GTM_TARGET_POOL, 1, 0, 50);
    struct gtm_states *s = gtm_states_new(in);
    gtm_states_set_health(s, 0, 0, 0, GTM_HEALTH_DOWN, NULL);
    gtm_states_set_health(s, 0, 1, 0, GTM_HEALTH_DOWN, NULL);
    assert_string_equal(policy_show(s, SPLIT, 0, NULL), "normal | 100% 1 of c:100");
    /* an inner backup that serves counts as usable */
    build_backup(in, NEAR, GTM_TARGET_POOL, 1);
    assert_string_equal(policy_show(s, SPLIT, 0, NULL), "normal | 50% 1 of c:100 | 50% 1 of c:100");
    gtm_states_free(s);
    build_free(in);
}

static void a_family_that_a_target_never_had_is_no_reason_for_its_backup(void **state)
{
    struct gtm_intent *in = world();
    unsigned r = 0, sorry = build_pool(in, "sorry");
    build_endpoint(in, sorry, "x", r, "192.0.2.9", "2001:db8::9", 1);
    unsigned v4_only = build_policy(in, "v4", GTM_STEER_NEAREST, 1);
    build_backup(in, v4_only, GTM_TARGET_POOL, sorry);
    build_target(in, SPLIT, GTM_TARGET_POLICY, v4_only, 0, 90);
    build_target(in, SPLIT, GTM_TARGET_POLICY, NEAR, 0, 10);
    struct gtm_states *s = gtm_states_new(in);
    assert_string_equal(policy_show(s, SPLIT, 1, &dublin), "normal | 100% 1 of e:100");
    gtm_states_set_health(s, 1, 0, 0, GTM_HEALTH_DOWN, NULL);
    assert_string_equal(policy_show(s, SPLIT, 1, &dublin), "normal | 100% 1 of e:100");
    assert_string_equal(policy_show(s, SPLIT, 0, &dublin),
                        "normal | 90% 1 of x:1 | 10% 1 of e:100");
    gtm_states_free(s);
    build_free(in);
}

static void nested_splits_multiply(void **state)
{
    struct gtm_intent *in = world();
    build_target(in, SPLIT, GTM_TARGET_POLICY, NEAR, 0, 1);
    build_target(in, SPLIT, GTM_TARGET_POOL, 1, 0, 3);
    build_target(in, OUTER, GTM_TARGET_POLICY, SPLIT, 0, 1);
    build_target(in, OUTER, GTM_TARGET_ENDPOINT, 0, 0, 1);
    struct gtm_states *s = gtm_states_new(in);
    assert_string_equal(policy_show(s, OUTER, 0, &dublin),
                        "normal | 12.5% 1 of e:100 | 37.5% 1 of c:100 | 50% 1 of u:100");
    gtm_states_free(s);
    build_free(in);
}

static void weight_zero_is_a_standby(void **state)
{
    struct gtm_intent *in = world();
    build_target(in, SPLIT, GTM_TARGET_POOL, 1, 0, 10);
    build_target(in, SPLIT, GTM_TARGET_ENDPOINT, 0, 0, 0);
    build_target(in, SPLIT, GTM_TARGET_ENDPOINT, 0, 1, 0);
    struct gtm_states *s = gtm_states_new(in);
    assert_string_equal(policy_show(s, SPLIT, 0, NULL), "normal | 100% 1 of c:100");
    assert_non_null(strstr(policy_said(s, SPLIT, 0, NULL),
                           "endpoint u has weight 0 and others are usable: no users\n"));
    gtm_states_set_health(s, 1, 0, 0, GTM_HEALTH_DOWN, NULL);
    assert_string_equal(policy_show(s, SPLIT, 0, NULL), "normal | 50% 1 of u:100 | 50% 1 of e:100");
    gtm_states_free(s);
    build_free(in);
}

static void a_pool_instead_of_targets_is_split_by_its_weights(void **state)
{
    struct gtm_intent *in = world();
    unsigned even = build_policy(in, "even", GTM_STEER_WEIGHTED, 0);
    in->pools[0].endpoints[1].weight = 50;
    struct gtm_states *s = gtm_states_new(in);
    struct gtm_error err;
    assert_int_equal(policy_check(in, even, &err), 0);
    assert_string_equal(policy_show(s, even, 0, NULL), "normal | 100% 1 of u:100 e:50");
    assert_string_equal(policy_show(s, even, 1, NULL), "normal | 100% 1 of e:50");
    gtm_states_set_health(s, 0, 0, 0, GTM_HEALTH_DOWN, NULL);
    assert_string_equal(policy_show(s, even, 0, NULL), "normal | 100% 1 of e:50");
    gtm_states_set_health(s, 0, 1, 0, GTM_HEALTH_DOWN, NULL);
    assert_string_equal(policy_show(s, even, 0, NULL), "fail_open | 100% 1 of u:100 e:50");
    build_backup(in, even, GTM_TARGET_POOL, 1);
    assert_string_equal(policy_show(s, even, 0, NULL), "backup | 100% 1 of c:100");
    /* it nests */
    build_target(in, SPLIT, GTM_TARGET_POLICY, even, 0, 1);
    build_target(in, SPLIT, GTM_TARGET_POOL, 1, 0, 1);
    gtm_states_set_health(s, 0, 1, 0, GTM_HEALTH_UP, NULL);
    assert_string_equal(policy_show(s, SPLIT, 0, NULL), "normal | 50% 1 of e:50 | 50% 1 of c:100");
    gtm_states_free(s);
    build_free(in);
}

/* Draws options by their whole-number weights and compares with weight / sum by chi-square. */
static void drawing_by_the_weights_gives_the_shares(void **state)
{
    enum { TARGETS = 12, DRAWS = 200000 };
    struct gtm_intent *in = build_intent();
    struct gtm_rand rand;
    double sum = 0, chi = 0;
    unsigned region = build_region(in, "r", 0, 0), pool = build_pool(in, "p"), hits[TARGETS] = {0};
    gtm_rand_seed(&rand, 5);
    unsigned policy = build_policy(in, "split", GTM_STEER_WEIGHTED, -1);
    for (unsigned i = 0; i < TARGETS; i++) {
        char name[16];
        snprintf(name, sizeof(name), "e%u", i);
        build_endpoint(in, pool, name, region, "192.0.2.1", NULL, 1);
        build_target(in, policy, GTM_TARGET_ENDPOINT, pool, i, 1 + gtm_rand_below(&rand, 100));
        sum += in->policies[policy].to[i].weight;
    }
    struct gtm_states *s = gtm_states_new(in);
    struct policy_env env = {.intent = in, .states = s};
    struct policy_parts parts = {.count = 0};
    struct policy_class class_ = {.parts = &parts};
    struct policy_choice choice = {.mode = POLICY_NORMAL};
    assert_int_equal(policy_choose(&env, policy, &class_, &choice), 0);
    assert_int_equal(choice.options_count, TARGETS);
    uint32_t total = 0;
    for (unsigned i = 0; i < TARGETS; i++)
        total += choice.options[i].weight;
    for (unsigned d = 0; d < DRAWS; d++) {
        uint32_t at = gtm_rand_below(&rand, total), i = 0;
        while (at >= choice.options[i].weight)
            at -= choice.options[i++].weight;
        hits[choice.members[choice.options[i].first].endpoint]++;
    }
    for (unsigned i = 0; i < TARGETS; i++) {
        double want = DRAWS * (in->policies[policy].to[i].weight / sum);
        chi += (hits[i] - want) * (hits[i] - want) / want;
    }
    assert_true(chi < 31.3); /* 11 degrees of freedom, p = 0.001 */
    policy_choice_fini(&choice);
    gtm_states_free(s);
    build_free(in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_are_weights_over_their_sum),
        cmocka_unit_test(an_endpoint_that_ramps_or_is_degraded_takes_less),
        cmocka_unit_test(a_dead_target_hands_its_share_to_the_others),
        cmocka_unit_test(an_inner_fail_open_waits_for_the_outer),
        cmocka_unit_test(a_family_that_a_target_never_had_is_no_reason_for_its_backup),
        cmocka_unit_test(nested_splits_multiply),
        cmocka_unit_test(weight_zero_is_a_standby),
        cmocka_unit_test(a_pool_instead_of_targets_is_split_by_its_weights),
        cmocka_unit_test(drawing_by_the_weights_gives_the_shares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
