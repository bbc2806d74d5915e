/* SPDX-License-Identifier: Apache-2.0
 *
 * Spillover: each row of its table, and the loop closed over simulated users who follow 30 s late
 * and reports that are late and noisy: it settles, does not swing, and never moves too fast.
 */
#include "policies/spill.h"

#include "gtm/base/rand.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct policy_spill_rules rules = {
    .low = 0.7, .high = 0.9, .elapsed_ms = 5000, .lag_ms = 35000};

/* Steps a pair once from the start. */
static struct policy_spill_region first(double here, double there, unsigned shed)
{
    struct policy_spill_region r[2] = {{.utilisation = here, .serves = true, .shed = shed},
                                       {.utilisation = there, .serves = true}};
    policy_spill_step(r, 2, &rules);
    return r[0];
}

static void each_row_of_the_table(void **state)
{
    static const struct {
        double here, there;
        unsigned shed, want;
        enum policy_spill_state state;
    } rows[] = {
        {0.5, 0.5, 0, 0, POLICY_SPILL_IDLE},
        {0.85, 0.5, 0, 0, POLICY_SPILL_IDLE},
        {0.95, 0.5, 0, 25, POLICY_SPILL_RISING},
        {0.95, 0.5, 100, 125, POLICY_SPILL_RISING},
        {0.95, 0.85, 100, 100, POLICY_SPILL_STEADY},
        {0.8, 0.5, 100, 100, POLICY_SPILL_STEADY},
        {0.6, 0.5, 100, 90, POLICY_SPILL_FALLING},
        {0.95, 0.95, 100, 90, POLICY_SPILL_BLOCKED},
        {0.95, -1, 100, 90, POLICY_SPILL_BLOCKED},
        {-1, 0.5, 100, 100, POLICY_SPILL_UNKNOWN},
        {0.95, 0.95, 0, 0, POLICY_SPILL_BLOCKED},
        {INFINITY, 0.5, 100, 100, POLICY_SPILL_UNKNOWN},
        {0.6, 0.5, 5, 0, POLICY_SPILL_FALLING},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct policy_spill_region r = first(rows[i].here, rows[i].there, rows[i].shed);
        assert_int_equal(r.shed, rows[i].want);
        assert_int_equal(r.state, rows[i].state);
    }
    /* nobody there, or spillover switched off */
    struct policy_spill_region pair[2] = {{.utilisation = 0.95, .serves = true, .shed = 50},
                                          {.utilisation = 0.1, .serves = false}};
    policy_spill_step(pair, 2, &rules);
    assert_int_equal(pair[0].state, POLICY_SPILL_BLOCKED);
    pair[1].serves = true;
    struct policy_spill_rules off = rules;
    off.high = -1;
    for (unsigned i = 0; i < 20; i++)
        policy_spill_step(pair, 2, &off);
    assert_int_equal(pair[0].shed, 0);
    assert_int_equal(pair[0].state, POLICY_SPILL_IDLE);
}

static void a_small_step_adds_up(void **state)
{
    struct policy_spill_rules fast = rules;
    fast.elapsed_ms = 100;
    struct policy_spill_region r[2] = {{.utilisation = 1.5, .serves = true},
                                       {.utilisation = 0.1, .serves = true}};
    for (unsigned i = 0; i < 100; i++) /* ten seconds */
        policy_spill_step(r, 2, &fast);
    assert_in_range(r[0].shed, 49, 50);
    fast.elapsed_ms = 3600000; /* late: not more than one bound at once */
    unsigned was = r[0].shed;
    policy_spill_step(r, 2, &fast);
    assert_in_range(r[0].shed, was + 49, was + 50);
}

static void it_says_what_it_does(void **state)
{
    char text[POLICY_SPILL_TEXT];
    struct policy_spill_region r = first(0.95, 0.5, 100);
    assert_string_equal(policy_spill_say(&r, &rules, text),
                        "at 95 % (marks 70 and 90 %): sheds 12.5 % and rising");
    r = first(0.95, 0.95, 100);
    assert_non_null(strstr(policy_spill_say(&r, &rules, text), "no other region has room"));
    r = first(-1, 0.5, 100);
    assert_non_null(strstr(policy_spill_say(&r, &rules, text), "no fresh load report"));
    r = first(0.5, 0.5, 0);
    assert_string_equal(policy_spill_say(&r, &rules, text), "");
}

/* ---- the loop ---- */

#define REGIONS 3
#define STEPS   480 /* of 5 s: 40 minutes */

struct loop {
    double demand[REGIONS];  /* of first choices, in capacities */
    double follows[REGIONS]; /* sheds as users see them by now, 0..1 */
    double load[REGIONS];
    struct policy_spill_region r[REGIONS];
    unsigned history[STEPS][REGIONS];
};
static struct gtm_rand rand_;

static double uniform(void)
{
    return gtm_rand_below(&rand_, 1000001) / 1e6;
}

/* Region i's users go to i, i + 1, i + 2: the last one keeps what comes to it. */
static void route(struct loop *l)
{
    memset(l->load, 0, sizeof(l->load));
    for (unsigned i = 0; i < REGIONS; i++) {
        double left = l->demand[i];
        for (unsigned k = 0; k < REGIONS; k++) {
            unsigned at = (i + k) % REGIONS;
            double stays = k + 1 < REGIONS ? left * (1 - l->follows[at]) : left;
            l->load[at] += stays;
            left -= stays;
        }
    }
}

static void run(struct loop *l, unsigned from, unsigned to)
{
    for (unsigned n = from; n < to; n++) {
        double late[REGIONS];
        memcpy(late, l->load, sizeof(late)); /* reports of one step ago */
        for (unsigned i = 0; i < REGIONS; i++)
            l->follows[i] += (1 - exp(-5.0 / 30)) * (l->r[i].shed / 1000.0 - l->follows[i]);
        route(l);
        for (unsigned i = 0; i < REGIONS; i++)
            l->r[i].utilisation = late[i] * (0.97 + 0.06 * uniform());
        policy_spill_step(l->r, REGIONS, &rules);
        for (unsigned i = 0; i < REGIONS; i++) {
            l->history[n][i] = l->r[i].shed;
            if (n >= 2) {
                assert_true((int)l->r[i].shed - (int)l->history[n - 2][i] <= POLICY_SPILL_RISE);
                assert_true((int)l->history[n - 2][i] - (int)l->r[i].shed <= POLICY_SPILL_FALL);
            }
        }
    }
}

static void start(struct loop *l)
{
    memset(l, 0, sizeof(*l));
    for (unsigned i = 0; i < REGIONS; i++)
        l->r[i].serves = true;
}

static void the_loop_settles(void **state)
{
    static struct loop l;
    gtm_rand_seed(&rand_, 4242);
    unsigned shedding = 0;
    double least = 1;
    for (unsigned seed = 0; seed < 300; seed++) {
        start(&l);
        /* one too full, room for it in the others */
        l.demand[0] = 0.9 + 0.7 * uniform();
        l.demand[1] = 0.1 + 0.5 * uniform();
        l.demand[2] = fmax(0.05, fmin(0.6, 2.0 - l.demand[0] - l.demand[1]) * uniform());
        route(&l);
        run(&l, 0, STEPS);
        for (unsigned i = 0; i < REGIONS; i++) {
            unsigned low = 1000, high = 0;
            for (unsigned n = STEPS / 2; n < STEPS; n++) {
                low = l.history[n][i] < low ? l.history[n][i] : low;
                high = l.history[n][i] > high ? l.history[n][i] : high;
            }
            assert_true(high - low <= 60); /* 20 minutes within 6 % */
            assert_true(l.load[i] <= rules.high * 1.04);
            if (l.r[i].shed > 0)
                least = fmin(least, l.load[i]);
        }
        shedding += l.r[0].shed > 0;
        /* the peak is over */
        for (unsigned i = 0; i < REGIONS; i++)
            l.demand[i] = 0.3;
        run(&l, 0, STEPS);
        for (unsigned i = 0; i < REGIONS; i++)
            assert_int_equal(l.r[i].shed, 0);
    }
    assert_true(shedding > 200);
    assert_true(least > 0.75); /* nor far more than it must: what is on its way is known */
}

static void nobody_sheds_when_all_are_full(void **state)
{
    static struct loop l;
    gtm_rand_seed(&rand_, 99);
    for (unsigned seed = 0; seed < 50; seed++) {
        start(&l);
        for (unsigned i = 0; i < REGIONS; i++) {
            l.demand[i] = 1.0 + uniform();
            l.r[i].shed = gtm_rand_below(&rand_, 300);
        }
        route(&l);
        for (unsigned i = 0; i < REGIONS; i++)
            l.history[0][i] = l.history[1][i] = l.r[i].shed;
        run(&l, 2, STEPS);
        for (unsigned i = 0; i < REGIONS; i++) {
            assert_int_equal(l.r[i].shed, 0);
            assert_int_equal(l.r[i].state, POLICY_SPILL_BLOCKED);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_of_the_table),          cmocka_unit_test(a_small_step_adds_up),
        cmocka_unit_test(it_says_what_it_does),           cmocka_unit_test(the_loop_settles),
        cmocka_unit_test(nobody_sheds_when_all_are_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
