/* SPDX-License-Identifier: Apache-2.0
 *
 * nearest: the order of regions from a place, with ties, regions nobody placed, unknown clients.
 */
#include "policies/policy.h"

#include "gtm/base/mem.h"
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

static const struct gtm_location dublin = {
    .country = "IE", .has_point = true, .lat = 53, .lon = -8};
static const struct gtm_location tokyo = {
    .country = "JP", .has_point = true, .lat = 36, .lon = 138};
static const struct gtm_location nowhere = {.country = ""};

struct world {
    struct gtm_intent *in;
    unsigned us, eu, ap, lost, pool, policy;
};

static struct world world(void)
{
    struct world w = {.in = build_intent()};
    w.us = build_region(w.in, "us-east", 38.9, -77.0);
    w.eu = build_region(w.in, "eu-west", 53.3, -6.3);
    w.ap = build_region(w.in, "ap-south", 1.35, 103.8);
    w.lost = build_region_nowhere(w.in, "lost");
    build_region(w.in, "empty", 53.3, -6.3); /* no endpoint of the pool is there */
    w.pool = build_pool(w.in, "www");
    build_endpoint(w.in, w.pool, "l", w.lost, "192.0.2.4", NULL, 100);
    build_endpoint(w.in, w.pool, "a", w.ap, "192.0.2.3", NULL, 100);
    build_endpoint(w.in, w.pool, "e", w.eu, "192.0.2.2", NULL, 100);
    build_endpoint(w.in, w.pool, "u", w.us, "192.0.2.1", NULL, 100);
    w.policy = build_policy(w.in, "near", GTM_STEER_NEAREST, (int)w.pool);
    return w;
}

static const char *ranked(const struct world *w, const struct gtm_location *loc)
{
    struct policy_place place = {.loc = loc};
    return policy_ranked(w->in, w->policy, &place);
}

static void orders_by_distance(void **state)
{
    struct world w = world();
    assert_string_equal(ranked(&w, &dublin), "eu-west us-east ap-south lost");
    assert_string_equal(ranked(&w, &tokyo), "ap-south eu-west us-east lost");
    build_free(w.in);
}

static void unknown_clients_get_the_default_order(void **state)
{
    struct world w = world();
    assert_string_equal(ranked(&w, &nowhere), "us-east eu-west ap-south lost");
    build_order(w.in, w.policy, 2, (const unsigned[]){w.ap, w.us});
    assert_string_equal(ranked(&w, &nowhere), "ap-south us-east eu-west lost");
    assert_string_equal(ranked(&w, &dublin), "eu-west us-east ap-south lost");
    build_free(w.in);
}

static void distances_are_said(void **state)
{
    struct world w = world();
    struct policy_place place = {.loc = &dublin};
    char want[200];
    snprintf(want, sizeof(want),
             "policy near: distances from 53.0, -8.0 (IE): eu-west %.0f km, us-east %.0f km, "
             "ap-south %.0f km\n",
             gtm_distance_km(53, -8, 53.3, -6.3), gtm_distance_km(53, -8, 38.9, -77),
             gtm_distance_km(53, -8, 1.35, 103.8));
    assert_string_equal(policy_ranked_why(w.in, w.policy, &place), want);
    place.loc = &nowhere;
    assert_string_equal(policy_ranked_why(w.in, w.policy, &place),
                        "policy near: the client's place is unknown, so the default order holds\n");
    build_free(w.in);
}

static void ties_keep_the_order_of_declaration(void **state)
{
    struct gtm_intent *in = build_intent();
    unsigned pool = build_pool(in, "p");
    static const char *const names[] = {"w", "e", "w2"};
    static const double lon[] = {-10, 10, -10};
    for (unsigned i = 0; i < 3; i++)
        build_endpoint(in, pool, names[i], build_region(in, names[i], 0, lon[i]), "192.0.2.1", NULL,
                       1);
    unsigned policy = build_policy(in, "near", GTM_STEER_NEAREST, (int)pool);
    struct gtm_location middle = {.has_point = true}, west = {.has_point = true, .lon = -5};
    struct policy_place place = {.loc = &middle};
    assert_string_equal(policy_ranked(in, policy, &place), "w e w2");
    place.loc = &west;
    assert_string_equal(policy_ranked(in, policy, &place), "w w2 e");
    build_free(in);
}

/* The first eight of many, against a plain sort by distance. */
static void first_eight_of_many_are_the_nearest(void **state)
{
    struct gtm_intent *in = build_intent();
    struct gtm_rand rand;
    unsigned pool = build_pool(in, "p");
    gtm_rand_seed(&rand, 11);
    for (unsigned i = 0; i < 300; i++) {
        char name[16];
        snprintf(name, sizeof(name), "r%u", i);
        build_endpoint(in, pool, name,
                       build_region(in, name, (double)gtm_rand_below(&rand, 180) - 90,
                                    (double)gtm_rand_below(&rand, 360) - 180),
                       "192.0.2.1", NULL, 1);
    }
    unsigned policy = build_policy(in, "near", GTM_STEER_NEAREST, (int)pool);
    for (unsigned n = 0; n < 500; n++) {
        struct gtm_location at = {.has_point = true,
                                  .lat = (float)gtm_rand_below(&rand, 180) - 90,
                                  .lon = (float)gtm_rand_below(&rand, 360) - 180};
        struct policy_place place = {.loc = &at};
        struct policy_regions list;
        policy_rank(in, policy, &place, &list);
        assert_int_equal(list.count, POLICY_REGIONS_MAX);
        double last = -1;
        unsigned nearer = 0;
        for (unsigned i = 0; i < list.count; i++) {
            const struct gtm_region *r = &in->regions[list.region[i]];
            double km = gtm_distance_km(at.lat, at.lon, r->lat, r->lon);
            assert_true(km >= last);
            last = km;
        }
        for (unsigned r = 0; r < in->regions_count; r++)
            nearer +=
                gtm_distance_km(at.lat, at.lon, in->regions[r].lat, in->regions[r].lon) < last;
        assert_true(nearer < POLICY_REGIONS_MAX);
    }
    build_free(in);
}

static void the_next_region_answers_when_one_is_down(void **state)
{
    struct world w = world();
    struct gtm_states *s = gtm_states_new(w.in);
    assert_string_equal(policy_show(s, w.policy, 0, &dublin), "normal | 100% 1 of e:100");
    gtm_states_set_health(s, w.pool, 2, GTM_FAMILY_V4, GTM_HEALTH_DOWN, NULL);
    assert_string_equal(policy_show(s, w.policy, 0, &dublin), "normal | 100% 1 of u:100");
    assert_non_null(strstr(policy_said(s, w.policy, 0, &dublin),
                           "endpoint e in eu-west skipped: down\n"
                           "region eu-west is preferred but has no usable endpoint\n"
                           "region us-east answers for pool www\n"));
    gtm_states_set_region_admin(s, w.us, GTM_ADMIN_DRAIN, NULL);
    assert_string_equal(policy_show(s, w.policy, 0, &dublin), "normal | 100% 1 of a:100");
    assert_non_null(strstr(policy_said(s, w.policy, 0, &dublin), "drained by an operator"));
    gtm_states_free(s);
    build_free(w.in);
}

/* More regions than a class remembers: the ninth still answers when the eight are down. */
static void beyond_the_list_the_default_order_holds(void **state)
{
    struct gtm_intent *in = build_intent();
    unsigned pool = build_pool(in, "p");
    for (unsigned i = 0; i < 12; i++) {
        char name[16];
        snprintf(name, sizeof(name), "r%u", i);
        build_endpoint(in, pool, name, build_region(in, name, 0, i), "192.0.2.1", NULL, 1);
    }
    unsigned policy = build_policy(in, "near", GTM_STEER_NEAREST, (int)pool);
    struct gtm_location at = {.has_point = true};
    struct gtm_states *s = gtm_states_new(in);
    for (unsigned i = 0; i < 8; i++)
        gtm_states_set_health(s, pool, i, GTM_FAMILY_V4, GTM_HEALTH_DOWN, NULL);
    assert_string_equal(policy_show(s, policy, 0, &at), "normal | 100% 1 of r8:1");
    build_order(in, policy, 2, (const unsigned[]){3, 10});
    assert_string_equal(policy_show(s, policy, 0, &at), "normal | 100% 1 of r10:1");
    gtm_states_free(s);
    build_free(in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orders_by_distance),
        cmocka_unit_test(unknown_clients_get_the_default_order),
        cmocka_unit_test(distances_are_said),
        cmocka_unit_test(ties_keep_the_order_of_declaration),
        cmocka_unit_test(first_eight_of_many_are_the_nearest),
        cmocka_unit_test(the_next_region_answers_when_one_is_down),
        cmocka_unit_test(beyond_the_list_the_default_order_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
