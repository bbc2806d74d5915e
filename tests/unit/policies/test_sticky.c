/* SPDX-License-Identifier: Apache-2.0
 *
 * Sticky: who moves when an endpoint leaves (exactly its own), comes back, ramps up or weighs more;
 * shares against theory; that neither declaration order nor the number of kept preferences shows.
 */
#include "policies/sticky.h"

#include "gtm/base/mem.h"
#include "gtm/base/rand.h"
#include "policies/policy.h"
#include "tests/support/build_intent.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MOST 65536

struct world {
    struct gtm_intent *in;
    struct gtm_states *s;
    struct policy_orders *orders;
    struct policy_choice choice;
    size_t buckets;
    uint16_t at[MOST], was[MOST]; /* endpoint of each bucket */
};

static struct world w;
static struct gtm_rand rand_;

/* n endpoints; weights NULL = 100 each; reversed: the same names in the opposite order. */
static void open_world(unsigned n, const uint32_t *weights, bool reversed)
{
    char name[16];
    w = (struct world){.in = build_intent()};
    build_region(w.in, "r", 0, 0);
    build_pool(w.in, "pool");
    for (unsigned i = 0; i < n; i++) {
        unsigned e = reversed ? n - 1 - i : i;
        snprintf(name, sizeof(name), "e%u", e);
        build_endpoint(w.in, 0, name, 0, "192.0.2.1", NULL, weights ? weights[e] : 100);
    }
    build_policy(w.in, "sticky", GTM_STEER_STICKY, 0);
    w.s = gtm_states_new(w.in);
    w.orders = policy_orders_new(w.in);
    assert_non_null(w.orders);
}

static void close_world(void)
{
    policy_choice_fini(&w.choice);
    policy_orders_free(w.orders);
    gtm_states_free(w.s);
    build_free(w.in);
}

/* Keeps the last assignment in `was`, works out the new one. */
static void assign(void)
{
    struct policy_env env = {.intent = w.in, .states = w.s, .orders = w.orders};
    struct policy_parts none = {.count = 0};
    struct policy_class class_ = {.parts = &none};
    memcpy(w.was, w.at, sizeof(w.at));
    assert_int_equal(policy_choose(&env, 0, &class_, &w.choice), 0);
    assert_int_equal(w.choice.options_count, 1);
    const struct policy_option *o = &w.choice.options[0];
    w.buckets = o->buckets_count;
    assert_int_equal(w.buckets, policy_buckets(w.in->pools[0].endpoints_count));
    for (size_t b = 0; b < w.buckets; b++) {
        assert_true(o->buckets[b] < o->count);
        w.at[b] = (uint16_t)w.choice.members[o->first + o->buckets[b]].endpoint;
    }
}

static void health(unsigned e, enum gtm_health health)
{
    gtm_states_set_health(w.s, 0, e, GTM_FAMILY_V4, health, NULL);
}

static size_t count_of(const uint16_t *at, unsigned e)
{
    size_t count = 0;
    for (size_t b = 0; b < w.buckets; b++)
        count += at[b] == e;
    return count;
}

/* Between `was` and `at` only buckets from or to e moved. */
static size_t moved_only(unsigned e, bool away)
{
    size_t moved = 0;
    for (size_t b = 0; b < w.buckets; b++) {
        if (w.was[b] == w.at[b])
            continue;
        moved++;
        assert_int_equal(away ? w.was[b] : w.at[b], e);
    }
    return moved;
}

static void only_the_lost_ones_networks_move(void **state)
{
    uint32_t weights[50];
    gtm_rand_seed(&rand_, 7);
    for (unsigned n = 2; n <= 50; n++) {
        for (unsigned uneven = 0; uneven < 2; uneven++) {
            double total = 0;
            for (unsigned e = 0; e < n; e++)
                total += weights[e] = uneven ? 1 + gtm_rand_below(&rand_, 200) : 100;
            open_world(n, weights, false);
            assign();
            memcpy(w.was, w.at, sizeof(w.at));
            unsigned gone = gtm_rand_below(&rand_, n);
            size_t had = count_of(w.at, gone);
            double want = (double)w.buckets * weights[gone] / total;
            assert_true(fabs((double)had - want) < 5 * sqrt(want) + 2);
            health(gone, GTM_HEALTH_DOWN);
            assign();
            assert_int_equal(moved_only(gone, true), had);
            health(gone, GTM_HEALTH_UP);
            assign();
            assert_int_equal(moved_only(gone, false), had);
            close_world();
        }
    }
}

/* Down to the last one, far beyond what is kept of each order, and back: the same every time. */
static void one_after_another_leaves(void **state)
{
    static uint16_t start[MOST];
    open_world(30, NULL, false);
    assign();
    memcpy(start, w.at, sizeof(start));
    for (unsigned e = 0; e < 29; e++) {
        health(e, GTM_HEALTH_DOWN);
        assign();
        assert_true(moved_only(e, true) > 0);
    }
    assert_int_equal(count_of(w.at, 29), w.buckets);
    for (unsigned e = 29; e-- > 0;) {
        health(e, GTM_HEALTH_UP);
        assign();
        moved_only(e, false);
    }
    assert_memory_equal(start, w.at, sizeof(start));
    close_world();
}

static void shares_follow_the_weights(void **state)
{
    static const uint32_t weights[] = {1, 10, 25, 50, 100, 100, 200, 500, 1000, 65535};
    static const uint32_t mild[] = {10, 20, 30, 40, 50, 60, 70, 80, 90, 100};
    for (unsigned k = 0; k < 2; k++) {
        uint32_t all[600];
        double total = 0, chi = 0;
        for (unsigned e = 0; e < 600; e++)
            total += all[e] = k ? mild[e % 10] : 100;
        open_world(600, all, false);
        assign();
        for (unsigned e = 0; e < 600; e++) {
            double want = (double)w.buckets * all[e] / total;
            double have = (double)count_of(w.at, e);
            chi += (have - want) * (have - want) / want;
        }
        /* 599 degrees of freedom: mean 599, deviation 34.6; buckets are independent */
        assert_true(chi > 599 - 5 * 34.6 && chi < 599 + 5 * 34.6);
        close_world();
    }
    open_world(10, weights, false);
    assign();
    assert_true(count_of(w.at, 9) > w.buckets * 9 / 10); /* 65535 of 67521 */
    close_world();
}

static void declaration_order_does_not_matter(void **state)
{
    static uint16_t forward[MOST];
    open_world(12, NULL, false);
    assign();
    memcpy(forward, w.at, sizeof(forward));
    close_world();
    open_world(12, NULL, true);
    assign();
    for (size_t b = 0; b < w.buckets; b++)
        assert_int_equal(w.at[b], 11 - forward[b]);
    policy_orders_free(w.orders); /* nor does whether the orders are at hand */
    w.orders = NULL;
    assign();
    assert_memory_equal(w.was, w.at, w.buckets * sizeof(*w.at));
    close_world();
}

static void a_ramp_brings_back_its_own(void **state)
{
    open_world(5, NULL, false);
    assign();
    static uint16_t full[MOST];
    memcpy(full, w.at, sizeof(full));
    health(2, GTM_HEALTH_DOWN);
    assign();
    health(2, GTM_HEALTH_UP);
    gtm_states_set_share(w.s, 0, 2, GTM_FAMILY_V4, 0, NULL);
    size_t last = 0, all = count_of(full, 2);
    for (unsigned share = 0; share <= GTM_SHARE_FULL; share += 50) {
        gtm_states_set_share(w.s, 0, 2, GTM_FAMILY_V4, share, NULL);
        assign();
        moved_only(2, false);
        size_t now = count_of(w.at, 2);
        double want = (double)all * share / GTM_SHARE_FULL;
        assert_true(now >= last && fabs((double)now - want) <= 3 * sqrt(want) + 1);
        last = now;
        for (size_t b = 0; b < w.buckets; b++)
            assert_true(w.at[b] == full[b] || full[b] == 2);
    }
    assert_memory_equal(full, w.at, sizeof(full));
    close_world();
}

static void more_weight_only_attracts(void **state)
{
    uint32_t weights[8] = {100, 100, 100, 100, 100, 100, 100, 100};
    static uint16_t light[MOST];
    open_world(8, weights, false);
    assign();
    memcpy(light, w.at, sizeof(light));
    size_t had = count_of(w.at, 3);
    close_world();
    weights[3] = 300;
    open_world(8, weights, false);
    memcpy(w.at, light, sizeof(light));
    assign();
    size_t moved = moved_only(3, false);
    double want = (double)w.buckets * 300 / 1000;
    assert_true(fabs((double)(had + moved) - want) < 5 * sqrt(want));
    close_world();
}

static void degraded_keeps_a_part_and_standbys_wait(void **state)
{
    static const uint32_t weights[] = {100, 100, 0, 0};
    open_world(4, weights, false);
    w.in->pools[0].degraded_weight = 0.5;
    assign();
    assert_int_equal(count_of(w.at, 2) + count_of(w.at, 3), 0);
    size_t had = count_of(w.at, 0);
    health(0, GTM_HEALTH_DEGRADED);
    assign();
    assert_true(fabs((double)count_of(w.at, 0) - (double)had / 2) < 4 * sqrt((double)had));
    moved_only(0, true);
    /* alone and degraded it has all: there is nobody else to accept */
    health(1, GTM_HEALTH_DOWN);
    assign();
    assert_int_equal(count_of(w.at, 0), w.buckets);
    health(0, GTM_HEALTH_DOWN);
    assign();
    assert_true(count_of(w.at, 2) > w.buckets / 3 && count_of(w.at, 3) > w.buckets / 3);
    assert_int_equal(count_of(w.at, 2) + count_of(w.at, 3), w.buckets);
    close_world();
}

static void sizes(void **state)
{
    assert_int_equal(policy_buckets(1), 1024);
    assert_int_equal(policy_buckets(16), 1024);
    assert_int_equal(policy_buckets(17), 2048);
    assert_int_equal(policy_buckets(1000), 65536);
}

static void no_memory_is_an_answer(void **state)
{
    open_world(3, NULL, false);
    struct policy_env env = {.intent = w.in, .states = w.s};
    struct policy_parts none = {.count = 0};
    struct policy_class class_ = {.parts = &none};
    unsigned failed = 0;
    for (unsigned n = 1; n < 40; n++) {
        struct policy_choice choice = {.mode = POLICY_NORMAL};
        gtm_mem_fail_at(n, 0);
        int rc = policy_choose(&env, 0, &class_, &choice);
        gtm_mem_fail_at(0, 0);
        assert_true(rc == 0 || rc == GTM_ENOMEM);
        assert_int_equal(choice.options_count, rc == 0);
        failed += rc != 0;
        policy_choice_fini(&choice);
        gtm_mem_fail_at(n, 0);
        policy_orders_free(policy_orders_new(w.in));
        gtm_mem_fail_at(0, 0);
    }
    assert_true(failed >= 8);
    close_world();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_lost_ones_networks_move),
        cmocka_unit_test(one_after_another_leaves),
        cmocka_unit_test(shares_follow_the_weights),
        cmocka_unit_test(declaration_order_does_not_matter),
        cmocka_unit_test(a_ramp_brings_back_its_own),
        cmocka_unit_test(more_weight_only_attracts),
        cmocka_unit_test(degraded_keeps_a_part_and_standbys_wait),
        cmocka_unit_test(sizes),
        cmocka_unit_test(no_memory_is_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
