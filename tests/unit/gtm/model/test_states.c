/* SPDX-License-Identifier: Apache-2.0
 *
 * Endpoint states: per family, merged orders, last-good marks, what a setter touches, carry-over.
 */
#include "gtm/model/states.h"

#include "gtm/base/mem.h"
#include "tests/support/build_intent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct fixture {
    struct gtm_intent *intent;
    struct gtm_states *states;
    struct gtm_touched touched;
};

static struct gtm_intent *two_pools(void)
{
    struct gtm_intent *in = build_intent();
    unsigned us = build_region(in, "us", 38, -77), eu = build_region(in, "eu", 53, -6);
    unsigned www = build_pool(in, "www"), api = build_pool(in, "api");
    build_endpoint(in, www, "www-us", us, "192.0.2.1", "2001:db8::1", 100);
    build_endpoint(in, www, "www-eu", eu, "192.0.2.2", NULL, 100);
    build_endpoint(in, api, "api-eu", eu, "192.0.2.3", "2001:db8::3", 100);
    build_policy(in, "even", GTM_STEER_EWMA, (int)www);
    return in;
}

static int setup(void **state)
{
    struct fixture *f = gtm_calloc(1, sizeof(*f));
    f->intent = two_pools();
    f->states = gtm_states_new(f->intent);
    *state = f;
    return f->states && gtm_touched_init(&f->touched, f->intent->pools_count) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    gtm_touched_fini(&f->touched);
    gtm_states_free(f->states);
    build_free(f->intent);
    gtm_free(f);
    return 0;
}

static void unknown_serves_where_there_is_an_address(void **state)
{
    struct fixture *f = *state;
    assert_true(gtm_states_serves(f->states, 0, 0, GTM_FAMILY_V4));
    assert_true(gtm_states_serves(f->states, 0, 0, GTM_FAMILY_V6));
    assert_true(gtm_states_serves(f->states, 0, 1, GTM_FAMILY_V4));
    assert_false(gtm_states_serves(f->states, 0, 1, GTM_FAMILY_V6));
    assert_false(gtm_states_serves(f->states, 0, 2, GTM_FAMILY_V4));
    assert_false(gtm_states_serves(f->states, 9, 0, GTM_FAMILY_V4));
}

static void families_are_independent(void **state)
{
    struct fixture *f = *state;
    assert_true(
        gtm_states_set_health(f->states, 0, 0, GTM_FAMILY_V6, GTM_HEALTH_DOWN, &f->touched));
    assert_false(gtm_states_serves(f->states, 0, 0, GTM_FAMILY_V6));
    assert_true(gtm_states_serves(f->states, 0, 0, GTM_FAMILY_V4));
    assert_int_equal(gtm_states_get(f->states, 0, 0, GTM_FAMILY_V4).health, GTM_HEALTH_UNKNOWN);
}

static void only_what_changes_answers_touches(void **state)
{
    struct fixture *f = *state;
    /* unknown → up: a change, but the same answers */
    assert_true(gtm_states_set_health(f->states, 0, 0, GTM_FAMILY_V4, GTM_HEALTH_UP, &f->touched));
    assert_int_equal(f->touched.count, 0);
    assert_false(gtm_states_set_health(f->states, 0, 0, GTM_FAMILY_V4, GTM_HEALTH_UP, &f->touched));
    assert_true(
        gtm_states_set_health(f->states, 0, 0, GTM_FAMILY_V4, GTM_HEALTH_DOWN, &f->touched));
    assert_int_equal(f->touched.count, 1);
    assert_int_equal(f->touched.pools[0], 0);
    gtm_states_set_health(f->states, 0, 1, GTM_FAMILY_V4, GTM_HEALTH_DOWN, &f->touched);
    assert_int_equal(f->touched.count, 1); /* once each */
    gtm_touched_clear(&f->touched);
    assert_true(gtm_states_set_region_admin(f->states, 1, GTM_ADMIN_DRAIN, &f->touched));
    assert_int_equal(f->touched.count, 2); /* both pools have an endpoint in eu */
    gtm_touched_clear(&f->touched);
    /* the region is drained already: the endpoint's own drain changes nothing */
    assert_true(gtm_states_set_admin(f->states, 1, 0, GTM_ADMIN_DRAIN, &f->touched));
    assert_int_equal(f->touched.count, 0);
    assert_true(gtm_states_set_pool_admin(f->states, 1, GTM_ADMIN_DOWN, &f->touched));
    assert_int_equal(f->touched.count, 1);
    assert_int_equal(f->touched.pools[0], 1);
}

static void indexes_outside_are_ignored(void **state)
{
    struct fixture *f = *state;
    assert_false(gtm_states_set_health(f->states, 0, 2, 0, GTM_HEALTH_DOWN, &f->touched));
    assert_false(gtm_states_set_admin(f->states, 2, 0, GTM_ADMIN_DOWN, &f->touched));
    assert_false(gtm_states_set_pool_admin(f->states, 2, GTM_ADMIN_DOWN, &f->touched));
    assert_false(gtm_states_set_region_admin(f->states, 2, GTM_ADMIN_DOWN, &f->touched));
    gtm_touched_add(&f->touched, 2);
    assert_int_equal(f->touched.count, 0);
}

static void stricter_orders_win(void **state)
{
    struct fixture *f = *state;
    gtm_states_set_admin(f->states, 0, 1, GTM_ADMIN_UP, NULL);
    assert_int_equal(gtm_states_effective(f->states, 0, 1, 0).admin, GTM_ADMIN_UP);
    gtm_states_set_health(f->states, 0, 1, GTM_FAMILY_V4, GTM_HEALTH_DOWN, NULL);
    assert_true(gtm_states_serves(f->states, 0, 1, GTM_FAMILY_V4));
    gtm_states_set_region_admin(f->states, 1, GTM_ADMIN_DRAIN, NULL);
    assert_int_equal(gtm_states_effective(f->states, 0, 1, 0).admin, GTM_ADMIN_DRAIN);
    gtm_states_set_pool_admin(f->states, 0, GTM_ADMIN_DOWN, NULL);
    assert_int_equal(gtm_states_effective(f->states, 0, 1, 0).admin, GTM_ADMIN_DOWN);
    assert_int_equal(gtm_states_get(f->states, 0, 1, 0).admin, GTM_ADMIN_UP);
    assert_int_equal(gtm_states_pool_admin(f->states, 0), GTM_ADMIN_DOWN);
    assert_int_equal(gtm_states_region_admin(f->states, 1), GTM_ADMIN_DRAIN);
}

static void last_good_stays_when_the_last_one_goes(void **state)
{
    struct fixture *f = *state;
    assert_true(gtm_states_last_good(f->states, 0, 0, GTM_FAMILY_V4));
    gtm_states_set_health(f->states, 0, 0, GTM_FAMILY_V4, GTM_HEALTH_DOWN, NULL);
    assert_false(gtm_states_last_good(f->states, 0, 0, GTM_FAMILY_V4));
    gtm_states_set_health(f->states, 0, 1, GTM_FAMILY_V4, GTM_HEALTH_DOWN, NULL);
    assert_true(gtm_states_last_good(f->states, 0, 1, GTM_FAMILY_V4));
    assert_false(gtm_states_last_good(f->states, 0, 0, GTM_FAMILY_V4));
    /* the other family never went */
    assert_true(gtm_states_last_good(f->states, 0, 0, GTM_FAMILY_V6));
    /* it comes back elsewhere: the marks follow */
    gtm_states_set_health(f->states, 0, 0, GTM_FAMILY_V4, GTM_HEALTH_UP, NULL);
    assert_true(gtm_states_last_good(f->states, 0, 0, GTM_FAMILY_V4));
    assert_false(gtm_states_last_good(f->states, 0, 1, GTM_FAMILY_V4));
}

static void a_clone_is_its_own(void **state)
{
    struct fixture *f = *state;
    gtm_states_set_health(f->states, 1, 0, GTM_FAMILY_V4, GTM_HEALTH_DOWN, NULL);
    gtm_states_set_region_admin(f->states, 0, GTM_ADMIN_DRAIN, NULL);
    struct gtm_states *clone = gtm_states_clone(f->states);
    assert_false(gtm_states_serves(clone, 1, 0, GTM_FAMILY_V4));
    assert_int_equal(gtm_states_region_admin(clone, 0), GTM_ADMIN_DRAIN);
    gtm_states_set_health(clone, 1, 0, GTM_FAMILY_V4, GTM_HEALTH_UP, NULL);
    assert_false(gtm_states_serves(f->states, 1, 0, GTM_FAMILY_V4));
    gtm_states_free(clone);
}

/* The regions swap places, the pools too, www-us gets another IPv4 address, api loses its monitor.
 */
static struct gtm_intent *moved(void)
{
    struct gtm_intent *in = build_intent();
    unsigned eu = build_region(in, "eu", 53, -6), us = build_region(in, "us", 38, -77);
    unsigned api = build_pool(in, "api"), www = build_pool(in, "www");
    build_endpoint(in, api, "api-eu", eu, "192.0.2.3", "2001:db8::3", 100);
    build_endpoint(in, www, "www-new", us, "192.0.2.9", NULL, 100);
    build_endpoint(in, www, "www-eu", eu, "192.0.2.2", NULL, 100);
    build_endpoint(in, www, "www-us", us, "192.0.2.77", "2001:db8::1", 100);
    in->pools[api].monitors_count = 0;
    return in;
}

static void a_reload_forgets_nothing(void **state)
{
    struct fixture *f = *state;
    for (unsigned fam = 0; fam < GTM_FAMILY_COUNT; fam++) {
        gtm_states_set_health(f->states, 0, 0, fam, GTM_HEALTH_DOWN, NULL);
        gtm_states_set_health(f->states, 1, 0, fam, GTM_HEALTH_DOWN, NULL);
    }
    gtm_states_set_health(f->states, 0, 1, GTM_FAMILY_V4, GTM_HEALTH_DOWN, NULL);
    gtm_states_set_admin(f->states, 0, 1, GTM_ADMIN_DRAIN, NULL);
    gtm_states_set_pool_admin(f->states, 1, GTM_ADMIN_UP, NULL);
    gtm_states_set_region_admin(f->states, 1, GTM_ADMIN_DOWN, NULL);
    struct gtm_intent *in = moved();
    struct gtm_states *now = gtm_states_new(in);
    gtm_states_carry(now, f->states);
    assert_int_equal(gtm_states_region_admin(now, 0), GTM_ADMIN_DOWN); /* eu */
    assert_int_equal(gtm_states_region_admin(now, 1), GTM_ADMIN_AUTO);
    assert_int_equal(gtm_states_pool_admin(now, 0), GTM_ADMIN_UP);
    assert_int_equal(gtm_states_get(now, 1, 1, 0).admin, GTM_ADMIN_DRAIN);
    assert_int_equal(gtm_states_get(now, 1, 1, GTM_FAMILY_V4).health, GTM_HEALTH_DOWN);
    assert_true(gtm_states_last_good(now, 1, 1, GTM_FAMILY_V4));
    /* a new address was never checked, the old one in the other family was */
    assert_int_equal(gtm_states_get(now, 1, 2, GTM_FAMILY_V4).health, GTM_HEALTH_UNKNOWN);
    assert_int_equal(gtm_states_get(now, 1, 2, GTM_FAMILY_V6).health, GTM_HEALTH_DOWN);
    assert_int_equal(gtm_states_get(now, 1, 0, GTM_FAMILY_V4).health, GTM_HEALTH_UNKNOWN);
    /* nobody checks api any more: an old verdict would stay for ever */
    assert_int_equal(gtm_states_get(now, 0, 0, GTM_FAMILY_V4).health, GTM_HEALTH_UNKNOWN);
    gtm_states_free(now);
    build_free(in);
}

static void saved_marks_are_restored(void **state)
{
    struct fixture *f = *state;
    gtm_states_set_last_good(f->states, 0, 0, GTM_FAMILY_V4, false);
    assert_false(gtm_states_last_good(f->states, 0, 0, GTM_FAMILY_V4));
    assert_true(gtm_states_last_good(f->states, 0, 0, GTM_FAMILY_V6));
    gtm_states_set_last_good(f->states, 0, 0, GTM_FAMILY_V4, true);
    assert_true(gtm_states_last_good(f->states, 0, 0, GTM_FAMILY_V4));
}

static void a_share_weighs_and_zero_holds(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(gtm_states_weight(f->states, SIZE_MAX, 0, 0, GTM_FAMILY_V4), 100 * 1000);
    assert_true(gtm_states_set_share(f->states, 0, 0, GTM_FAMILY_V4, 250, &f->touched));
    assert_int_equal(f->touched.count, 1);
    assert_int_equal(gtm_states_weight(f->states, SIZE_MAX, 0, 0, GTM_FAMILY_V4), 25 * 1000);
    assert_int_equal(gtm_states_weight(f->states, SIZE_MAX, 0, 0, GTM_FAMILY_V6), 100 * 1000);
    assert_false(gtm_states_set_share(f->states, 0, 0, GTM_FAMILY_V4, 250, &f->touched));
    gtm_touched_clear(&f->touched);
    assert_true(gtm_states_set_share(f->states, 0, 0, GTM_FAMILY_V4, 0, &f->touched));
    assert_int_equal(f->touched.count, 1);
    assert_false(gtm_states_serves(f->states, 0, 0, GTM_FAMILY_V4));
    assert_false(gtm_states_last_good(f->states, 0, 0, GTM_FAMILY_V4));
    assert_true(gtm_states_serves(f->states, 0, 0, GTM_FAMILY_ANY)); /* by its IPv6 */
    gtm_states_set_admin(f->states, 0, 0, GTM_ADMIN_UP, NULL);
    assert_true(gtm_states_serves(f->states, 0, 0, GTM_FAMILY_V4));
    gtm_states_set_share(f->states, 0, 0, GTM_FAMILY_V4, 10, NULL);
    assert_int_equal(gtm_states_weight(f->states, SIZE_MAX, 0, 0, GTM_FAMILY_V4), 100 * 1000);
    /* held already by an order: the share changes nothing for users */
    gtm_states_set_admin(f->states, 0, 0, GTM_ADMIN_DOWN, NULL);
    gtm_touched_clear(&f->touched);
    assert_true(gtm_states_set_share(f->states, 0, 0, GTM_FAMILY_V4, 20, &f->touched));
    assert_int_equal(f->touched.count, 0);
    assert_true(gtm_states_set_share(f->states, 0, 0, GTM_FAMILY_ANY, 77777, NULL));
    assert_int_equal(gtm_states_share(f->states, 0, 0, GTM_FAMILY_V4), GTM_SHARE_FULL);
    assert_false(gtm_states_set_share(f->states, 0, 7, GTM_FAMILY_V4, 20, &f->touched));
}

static void degraded_weighs_less(void **state)
{
    struct fixture *f = *state;
    f->intent->pools[0].degraded_weight = 0.5;
    gtm_states_set_health(f->states, 0, 0, GTM_FAMILY_V4, GTM_HEALTH_UP, &f->touched);
    assert_int_equal(f->touched.count, 0);
    gtm_states_set_health(f->states, 0, 0, GTM_FAMILY_V4, GTM_HEALTH_DEGRADED, &f->touched);
    assert_int_equal(f->touched.count, 1);
    assert_int_equal(gtm_states_weight(f->states, SIZE_MAX, 0, 0, GTM_FAMILY_V4), 50 * 1000);
    gtm_states_set_share(f->states, 0, 0, GTM_FAMILY_V4, 100, NULL);
    assert_int_equal(gtm_states_weight(f->states, SIZE_MAX, 0, 0, GTM_FAMILY_V4), 5 * 1000);
    f->intent->pools[0].degraded_weight = 0;
    assert_int_equal(gtm_states_weight(f->states, SIZE_MAX, 0, 0, GTM_FAMILY_V4), 1);
    f->intent->pools[0].endpoints[0].weight = 0;
    assert_int_equal(gtm_states_weight(f->states, SIZE_MAX, 0, 0, GTM_FAMILY_V4), 0);
}

static void any_family_is_the_best_one(void **state)
{
    struct fixture *f = *state;
    char host[] = "cdn.example";
    gtm_states_set_health(f->states, 0, 0, GTM_FAMILY_V4, GTM_HEALTH_DOWN, NULL);
    assert_int_equal(gtm_states_get(f->states, 0, 0, GTM_FAMILY_ANY).health, GTM_HEALTH_UNKNOWN);
    gtm_states_set_health(f->states, 0, 0, GTM_FAMILY_V6, GTM_HEALTH_UP, NULL);
    assert_int_equal(gtm_states_effective(f->states, 0, 0, GTM_FAMILY_ANY).health, GTM_HEALTH_UP);
    gtm_states_set_health(f->states, 0, 1, GTM_FAMILY_V4, GTM_HEALTH_DOWN, NULL);
    assert_false(gtm_states_serves(f->states, 0, 1, GTM_FAMILY_ANY)); /* it has no other */
    /* only a host */
    f->intent->pools[0].endpoints[1].host = host;
    f->intent->pools[0].endpoints[1].has_v4 = false;
    assert_true(gtm_states_serves(f->states, 0, 1, GTM_FAMILY_ANY));
    assert_false(gtm_states_serves(f->states, 0, 1, GTM_FAMILY_V4));
    gtm_states_set_health(f->states, 0, 0, GTM_FAMILY_V6, GTM_HEALTH_DOWN, NULL);
    assert_true(gtm_states_last_good(f->states, 0, 1, GTM_FAMILY_ANY));
    gtm_touched_clear(&f->touched);
    assert_true(gtm_states_set_share(f->states, 0, 1, GTM_FAMILY_ANY, 0, &f->touched));
    assert_int_equal(f->touched.count, 1);
    assert_false(gtm_states_serves(f->states, 0, 1, GTM_FAMILY_ANY));
    f->intent->pools[0].endpoints[1].host = NULL;
}

static void sheds_stand_by_region(void **state)
{
    struct fixture *f = *state;
    assert_true(gtm_states_set_shed(f->states, 0, 1, 300, &f->touched));
    assert_int_equal(f->touched.count, 1);
    assert_false(gtm_states_set_shed(f->states, 0, 1, 300, &f->touched));
    assert_int_equal(gtm_states_shed(f->states, 0, 1), 300);
    assert_int_equal(gtm_states_shed(f->states, 0, 0), 0);
    assert_int_equal(gtm_states_shed(f->states, 1, 1), 0);
    assert_int_equal(gtm_states_sheds(f->states, 0), 1);
    assert_false(gtm_states_set_shed(f->states, 1, 0, 300, &f->touched)); /* api is not in us */
    assert_false(gtm_states_set_shed(f->states, 5, 0, 300, &f->touched));
    assert_true(gtm_states_set_shed(f->states, 0, 1, 0, &f->touched));
    assert_int_equal(gtm_states_sheds(f->states, 0), 0);
}

static void balanced_weights_replace_the_configured(void **state)
{
    struct fixture *f = *state;
    unsigned p = 0;
    struct gtm_states *s = gtm_states_new(f->intent);
    static const uint32_t weights[2] = {300, 0};
    assert_int_equal(gtm_states_set_balance(s, p, weights, 3, NULL), GTM_EINVAL);
    assert_int_equal(gtm_states_set_balance(s, p + 1, weights, 2, NULL), GTM_EINVAL);
    assert_int_equal(gtm_states_set_balance(s, p, weights, 2, &f->touched), 0);
    assert_int_equal(f->touched.count, 1);
    gtm_touched_clear(&f->touched);
    assert_int_equal(gtm_states_set_balance(s, p, weights, 2, &f->touched), 0);
    assert_int_equal(f->touched.count, 0);
    assert_int_equal(gtm_states_weight(s, p, 0, 0, GTM_FAMILY_V4), 300 * 1000);
    assert_int_equal(gtm_states_weight(s, p, 0, 1, GTM_FAMILY_V4), 1000); /* never a standby */
    assert_int_equal(gtm_states_weight(s, p, 1, 0, GTM_FAMILY_V4), 100 * 1000);
    struct gtm_states *clone = gtm_states_clone(s);
    assert_int_equal(gtm_states_set_balance(s, p, NULL, 0, &f->touched), 0);
    assert_int_equal(f->touched.count, 1);
    assert_int_equal(gtm_states_weight(s, p, 0, 0, GTM_FAMILY_V4), 100 * 1000);
    assert_int_equal(gtm_states_weight(clone, p, 0, 0, GTM_FAMILY_V4), 300 * 1000);
    gtm_states_free(clone);
    gtm_states_free(s);
}

static void a_reload_keeps_shares_sheds_and_balance(void **state)
{
    struct fixture *f = *state;
    unsigned p = 0;
    struct gtm_states *was = gtm_states_new(f->intent);
    static const uint32_t weights[2] = {300, 100};
    gtm_states_set_share(was, 0, 0, GTM_FAMILY_V4, 250, NULL);
    gtm_states_set_share(was, 0, 0, GTM_FAMILY_V6, 350, NULL);
    gtm_states_set_shed(was, 0, 1, 300, NULL);
    assert_int_equal(gtm_states_set_balance(was, p, weights, 2, NULL), 0);
    struct gtm_intent *in = moved();
    build_policy(in, "other", GTM_STEER_EWMA, 1);
    p = build_policy(in, "even", GTM_STEER_EWMA, 1);
    struct gtm_states *now = gtm_states_new(in);
    gtm_states_carry(now, was);
    assert_int_equal(gtm_states_share(now, 1, 2, GTM_FAMILY_V4), 1000); /* a new address */
    assert_int_equal(gtm_states_share(now, 1, 2, GTM_FAMILY_V6), 350);
    assert_int_equal(gtm_states_shed(now, 1, 0), 300); /* eu */
    assert_int_equal(gtm_states_shed(now, 1, 1), 0);
    assert_int_equal(gtm_states_shed(now, 0, 0), 0);
    assert_null(gtm_states_balance(now, p - 1));
    const uint32_t *kept = gtm_states_balance(now, p);
    assert_non_null(kept);
    assert_int_equal(kept[2], 300);
    assert_int_equal(kept[1], 100);
    assert_int_equal(kept[0], 200); /* new: 100, in the scale of 400 for 200 */
    in->policies[p].steer = GTM_STEER_NEAREST;
    struct gtm_states *other = gtm_states_new(in);
    gtm_states_carry(other, was);
    assert_null(gtm_states_balance(other, p));
    gtm_states_free(other);
    gtm_states_free(was);
    gtm_states_free(now);
    build_free(in);
}

/* Marks are moved one by one; here they are worked out again from their definition after each of
 * many random changes. */
static void marks_are_those_of_a_walk(void **state)
{
    struct fixture *f = *state;
    const struct gtm_intent *in = gtm_states_intent(f->states);
    static bool marks[8][16][GTM_FAMILY_COUNT];
    uint32_t seed = 7;
    for (size_t p = 0; p < in->pools_count; p++)
        for (size_t e = 0; e < in->pools[p].endpoints_count; e++)
            for (unsigned fam = 0; fam < GTM_FAMILY_COUNT; fam++)
                marks[p][e][fam] = true;
    for (unsigned step = 0; step < 20000; step++) {
        seed = seed * 1664525u + 1013904223u;
        size_t p = (seed >> 8) % in->pools_count;
        size_t e = (seed >> 12) % in->pools[p].endpoints_count;
        enum gtm_family fam = seed >> 16 & 1;
        unsigned what = (seed >> 20) % 40;
        struct gtm_touched touched = {0};
        assert_int_equal(gtm_touched_init(&touched, in->pools_count), 0);
        if (what == 0)
            gtm_states_set_admin(f->states, p, e, (seed >> 26) % GTM_ADMIN_COUNT, &touched);
        else if (what == 1)
            gtm_states_set_pool_admin(f->states, p, (seed >> 26) % 2, &touched);
        else if (what < 20)
            gtm_states_set_share(f->states, p, e, fam, (seed >> 26) % 2 * 1000, &touched);
        else
            gtm_states_set_health(f->states, p, e, fam,
                                  seed >> 26 & 1 ? GTM_HEALTH_UP : GTM_HEALTH_DOWN, &touched);
        for (p = 0; p < in->pools_count && touched.count; p++) {
            for (unsigned g = 0; g < GTM_FAMILY_COUNT; g++) {
                bool any = false;
                for (e = 0; e < in->pools[p].endpoints_count; e++)
                    any = any || gtm_states_serves(f->states, p, e, g);
                for (e = 0; e < in->pools[p].endpoints_count; e++) {
                    if (any && touched.bits[0] >> p & 1)
                        marks[p][e][g] = gtm_states_serves(f->states, p, e, g);
                    assert_int_equal(gtm_states_last_good(f->states, p, e, g),
                                     marks[p][e][g] &&
                                         gtm_endpoint_has(&in->pools[p].endpoints[e], g));
                }
            }
        }
        gtm_touched_fini(&touched);
    }
}

static void no_memory_is_an_answer(void **state)
{
    struct fixture *f = *state;
    unsigned failed = 0;
    for (unsigned n = 1; n < 20; n++) {
        gtm_mem_fail_at(n, 0);
        struct gtm_states *clone = gtm_states_clone(f->states);
        struct gtm_touched touched;
        int rc = gtm_touched_init(&touched, 3);
        gtm_mem_fail_at(0, 0);
        failed += clone == NULL || rc == GTM_ENOMEM;
        if (rc == 0)
            gtm_touched_fini(&touched);
        gtm_states_free(clone);
    }
    assert_int_equal(failed, 10); /* eight arrays of the clone, two of touched */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(unknown_serves_where_there_is_an_address, setup, teardown),
        cmocka_unit_test_setup_teardown(families_are_independent, setup, teardown),
        cmocka_unit_test_setup_teardown(only_what_changes_answers_touches, setup, teardown),
        cmocka_unit_test_setup_teardown(indexes_outside_are_ignored, setup, teardown),
        cmocka_unit_test_setup_teardown(stricter_orders_win, setup, teardown),
        cmocka_unit_test_setup_teardown(last_good_stays_when_the_last_one_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_clone_is_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reload_forgets_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(saved_marks_are_restored, setup, teardown),
        cmocka_unit_test_setup_teardown(a_share_weighs_and_zero_holds, setup, teardown),
        cmocka_unit_test_setup_teardown(degraded_weighs_less, setup, teardown),
        cmocka_unit_test_setup_teardown(any_family_is_the_best_one, setup, teardown),
        cmocka_unit_test_setup_teardown(sheds_stand_by_region, setup, teardown),
        cmocka_unit_test_setup_teardown(balanced_weights_replace_the_configured, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reload_keeps_shares_sheds_and_balance, setup, teardown),
        cmocka_unit_test_setup_teardown(marks_are_those_of_a_walk, setup, teardown),
        cmocka_unit_test_setup_teardown(no_memory_is_an_answer, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
