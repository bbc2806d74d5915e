/* SPDX-License-Identifier: Apache-2.0
 *
 * geo: which route matches, and what follows its regions.
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

struct world {
    struct gtm_intent *in;
    unsigned us, eu, ap, policy;
};

static struct world world(void)
{
    struct world w = {.in = build_intent()};
    w.us = build_region(w.in, "us", 38.9, -77.0);
    w.eu = build_region(w.in, "eu", 53.3, -6.3);
    w.ap = build_region(w.in, "ap", 1.35, 103.8);
    unsigned empty = build_region(w.in, "empty", 0, 0);
    unsigned pool = build_pool(w.in, "www");
    build_endpoint(w.in, pool, "u", w.us, "192.0.2.1", NULL, 100);
    build_endpoint(w.in, pool, "e", w.eu, "192.0.2.2", NULL, 100);
    build_endpoint(w.in, pool, "a", w.ap, "192.0.2.3", NULL, 100);
    w.policy = build_policy(w.in, "geo", GTM_STEER_GEO, (int)pool);
    struct gtm_route *r;
    r = build_route(w.in, w.policy, 1, (const unsigned[]){w.us}); /* 0 */
    build_route_network(r, "198.51.100.0/24");
    r = build_route(w.in, w.policy, 3, (const unsigned[]){empty, w.eu, w.us}); /* 1 */
    build_route_country(r, "DE");
    build_route_country(r, "FR");
    r = build_route(w.in, w.policy, 1, (const unsigned[]){w.ap}); /* 2 */
    build_route_continent(r, "AS");
    r = build_route(w.in, w.policy, 1, (const unsigned[]){w.eu}); /* 3 */
    build_route_subdivision(r, "US-CA");
    r = build_route(w.in, w.policy, 1, (const unsigned[]){w.eu}); /* 4 */
    build_route_asn(r, 64500);
    build_route_country(r, "US"); /* both must hold */
    build_order(w.in, w.policy, 2, (const unsigned[]){w.ap, w.us});
    return w;
}

static const char *ranked(const struct world *w, const struct gtm_location *loc, int route)
{
    uint32_t label = (uint32_t)route;
    struct policy_place place = {.loc = loc, .routes = &label, .routes_count = route >= 0};
    return policy_ranked(w->in, w->policy, &place);
}

static void the_first_match_wins_then_default_then_the_rest(void **state)
{
    struct world w = world();
    struct gtm_location de = {.country = "DE", .continent = "EU"};
    struct gtm_location sg = {.country = "SG", .continent = "AS"};
    struct gtm_location br = {.country = "BR", .continent = "SA"};
    struct gtm_location none = {.country = ""};
    assert_string_equal(ranked(&w, &de, -1), "eu us ap"); /* no endpoint in `empty`: left out */
    assert_string_equal(ranked(&w, &de, 0), "us ap eu");  /* the network comes first */
    assert_string_equal(ranked(&w, &sg, -1), "ap us eu");
    assert_string_equal(ranked(&w, &br, -1), "ap us eu");
    assert_string_equal(ranked(&w, &none, -1), "ap us eu");
    build_free(w.in);
}

static void all_conditions_of_a_route_must_hold(void **state)
{
    struct world w = world();
    struct gtm_location ca = {.country = "US", .continent = "NA", .subdivision = "CA"};
    struct gtm_location ny = {.country = "US", .continent = "NA", .subdivision = "NY"};
    struct gtm_location canada_ca = {.country = "CA", .continent = "NA", .subdivision = "CA"};
    struct gtm_location asn = {.country = "US", .continent = "NA", .asn = 64500};
    struct gtm_location abroad = {.country = "CA", .continent = "NA", .asn = 64500};
    assert_string_equal(ranked(&w, &ca, -1), "eu ap us");
    assert_string_equal(ranked(&w, &ny, -1), "ap us eu");
    assert_string_equal(ranked(&w, &canada_ca, -1), "ap us eu");
    assert_string_equal(ranked(&w, &asn, -1), "eu ap us");
    assert_string_equal(ranked(&w, &abroad, -1), "ap us eu");
    build_free(w.in);
}

static void the_route_that_matched_is_named(void **state)
{
    struct world w = world();
    static const uint32_t first = 0;
    struct gtm_location de = {.country = "DE", .continent = "EU"};
    struct gtm_location ca = {.country = "US", .continent = "NA", .subdivision = "CA"};
    struct gtm_location asn = {.country = "US", .continent = "NA", .asn = 64500};
    struct gtm_location br = {.country = "BR", .continent = "SA"};
    struct policy_place place = {.loc = &de};
    assert_int_equal(policy_route(w.in, w.policy, &place), 1);
    assert_string_equal(policy_ranked_why(w.in, w.policy, &place),
                        "policy geo: route 2 matches by country DE\n");
    place.loc = &ca;
    assert_string_equal(policy_ranked_why(w.in, w.policy, &place),
                        "policy geo: route 4 matches by subdivision US-CA\n");
    place.loc = &asn;
    assert_string_equal(policy_ranked_why(w.in, w.policy, &place),
                        "policy geo: route 5 matches by country US AS64500\n");
    place.loc = &br;
    assert_int_equal(policy_route(w.in, w.policy, &place), -1);
    assert_string_equal(policy_ranked_why(w.in, w.policy, &place),
                        "policy geo: no route matches, so the default order holds\n");
    place.routes = &first;
    place.routes_count = 1;
    assert_string_equal(policy_ranked_why(w.in, w.policy, &place),
                        "policy geo: route 1 matches by network\n");
    build_free(w.in);
}

static void another_routes_network_does_not_match(void **state)
{
    struct world w = world();
    struct gtm_location br = {.country = "BR", .continent = "SA"};
    assert_string_equal(ranked(&w, &br, 7), "ap us eu");
    build_free(w.in);
}

static void a_dead_routes_users_go_on(void **state)
{
    struct world w = world();
    struct gtm_states *s = gtm_states_new(w.in);
    struct gtm_location de = {.country = "DE", .continent = "EU"};
    assert_string_equal(policy_show(s, w.policy, 0, &de), "normal | 100% 1 of e:100");
    gtm_states_set_health(s, 0, 1, GTM_FAMILY_V4, GTM_HEALTH_DOWN, NULL);
    assert_string_equal(policy_show(s, w.policy, 0, &de), "normal | 100% 1 of u:100");
    gtm_states_set_health(s, 0, 0, GTM_FAMILY_V4, GTM_HEALTH_DOWN, NULL);
    assert_string_equal(policy_show(s, w.policy, 0, &de), "normal | 100% 1 of a:100");
    gtm_states_free(s);
    build_free(w.in);
}

/* Germans go to a policy of their own, over a pool of its own. */
static void a_route_may_lead_to_a_policy(void **state)
{
    struct world w = world();
    unsigned pool = build_pool(w.in, "de");
    build_endpoint(w.in, pool, "x", w.eu, "192.0.2.9", NULL, 100);
    build_endpoint(w.in, pool, "y", w.eu, "192.0.2.10", NULL, 300);
    unsigned spare = build_pool(w.in, "spare");
    build_endpoint(w.in, spare, "z", w.us, "192.0.2.11", NULL, 100);
    unsigned own = build_policy(w.in, "own", GTM_STEER_MULTIVALUE, (int)pool);
    struct gtm_route *route = &w.in->policies[w.policy].routes[1];
    route->has_policy = true;
    route->policy = own;
    route->regions_count = 0;
    struct gtm_location de = {.country = "DE"}, us = {.country = "US"};
    struct gtm_states *s = gtm_states_new(w.in);
    assert_int_equal(policy_check(w.in, w.policy, NULL), 0);
    assert_int_equal(policy_route_target(w.in, w.policy, 0), own);
    assert_int_equal(policy_route_target(w.in, w.policy, 1), -1);
    assert_string_equal(ranked(&w, &de, -1), "own ap us eu");
    assert_string_equal(policy_show(s, w.policy, 0, &de), "normal | 100% 1 of x:100 y:300");
    assert_string_equal(policy_show(s, w.policy, 0, &us), "normal | 100% 1 of a:100");
    assert_non_null(strstr(policy_said(s, w.policy, 0, &de), "the route leads to policy own"));
    /* nothing of it serves: the default */
    gtm_states_set_health(s, pool, 0, 0, GTM_HEALTH_DOWN, NULL);
    gtm_states_set_health(s, pool, 1, 0, GTM_HEALTH_DOWN, NULL);
    assert_string_equal(policy_show(s, w.policy, 0, &de), "normal | 100% 1 of a:100");
    assert_non_null(strstr(policy_said(s, w.policy, 0, &de), "policy own has nothing usable"));
    /* the pool is down, and the route's policy is not: better than what is down */
    gtm_states_set_health(s, pool, 0, 0, GTM_HEALTH_UP, NULL);
    for (unsigned e = 0; e < 3; e++)
        gtm_states_set_health(s, 0, e, 0, GTM_HEALTH_DOWN, NULL);
    assert_string_equal(policy_show(s, w.policy, 0, &us), "normal | 100% 1 of x:100");
    /* unless there is a backup */
    build_backup(w.in, w.policy, GTM_TARGET_POOL, spare);
    assert_string_equal(policy_show(s, w.policy, 0, &us), "normal | 100% 1 of z:100");
    assert_string_equal(policy_show(s, w.policy, 0, &de), "normal | 100% 1 of x:100");
    gtm_states_free(s);
    build_free(w.in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_match_wins_then_default_then_the_rest),
        cmocka_unit_test(a_route_may_lead_to_a_policy),
        cmocka_unit_test(all_conditions_of_a_route_must_hold),
        cmocka_unit_test(the_route_that_matched_is_named),
        cmocka_unit_test(another_routes_network_does_not_match),
        cmocka_unit_test(a_dead_routes_users_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
