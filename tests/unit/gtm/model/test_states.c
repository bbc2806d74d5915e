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
    assert_int_equal(failed, 7); /* five arrays of the clone, two of touched */
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
        cmocka_unit_test_setup_teardown(no_memory_is_an_answer, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
