/* SPDX-License-Identifier: Apache-2.0
 *
 * Balancing: what moves and what does not, and the loop closed over simulated servers and users who
 * follow 30 s late, with late and noisy reports: it converges, does not swing, never moves too
 * fast.
 */
#include "policies/balance.h"

#include "gtm/base/rand.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define MOST 12

static struct gtm_rand rand_;
static double uniform(void)
{
    return gtm_rand_below(&rand_, 1000001) / 1e6;
}

static struct policy_balance_rules rules_of(enum gtm_steer kind)
{
    return (struct policy_balance_rules){
        .kind = kind, .elapsed_ms = 5000, .lag_ms = 35000, .high = 0.8};
}

static void fill(struct policy_balance_endpoint *e, size_t count)
{
    for (size_t i = 0; i < count; i++)
        e[i] = (struct policy_balance_endpoint){.connections = 100,
                                                .latency_ms = 20,
                                                .load = 0.4,
                                                .capacity = -1,
                                                .configured = 100,
                                                .serves = true,
                                                .factor = 1};
}

static struct policy_balance_result step(struct policy_balance_endpoint *e, size_t count,
                                         enum gtm_steer kind)
{
    struct policy_balance_rules rules = rules_of(kind);
    struct policy_balance_result result;
    policy_balance_step(e, count, &rules, &result);
    return result;
}

static double share(const struct policy_balance_endpoint *e, size_t count, size_t at)
{
    double total = 0;
    for (size_t i = 0; i < count; i++)
        total += e[i].weight;
    return e[at].weight / total;
}

static void little_imbalance_is_left_alone(void **state)
{
    static const enum gtm_steer kinds[] = {GTM_STEER_LEAST_CONNECTIONS, GTM_STEER_RESPONSE_TIME,
                                           GTM_STEER_EWMA};
    struct policy_balance_endpoint e[4];
    for (unsigned k = 0; k < 3; k++) {
        fill(e, 4);
        e[0].connections = 115;
        e[0].latency_ms = 23;
        struct policy_balance_result r = step(e, 4, kinds[k]);
        assert_false(r.changed);
        assert_true(r.imbalance > 0.05 && r.imbalance <= POLICY_BALANCE_IDLE);
        e[0].connections = 200;
        e[0].latency_ms = 40;
        e[0].mean_connections = e[0].mean_ms = 0;
        for (unsigned i = 1; i < 4; i++)
            e[i].mean_connections = e[i].mean_ms = 0;
        r = step(e, 4, kinds[k]);
        assert_true(r.changed && r.moved > 0);
        assert_true(share(e, 4, 0) < 0.25);
        assert_true(r.moved <= POLICY_BALANCE_MOVE / 2 + 1e-9); /* half of ten seconds */
    }
}

static void a_hot_one_moves_at_once(void **state)
{
    struct policy_balance_endpoint e[4];
    fill(e, 4);
    e[2].load = 1.2;
    struct policy_balance_result r = step(e, 4, GTM_STEER_LEAST_CONNECTIONS);
    assert_int_equal(r.hot, 1);
    assert_true(fabs(r.moved - POLICY_BALANCE_MOVE / 2) < 1e-9);
    double want = 0.25 * 0.95 * 0.8 / 1.2; /* and no further, though its reports stay as they are */
    for (unsigned n = 0; n < 4; n++)
        step(e, 4, GTM_STEER_LEAST_CONNECTIONS);
    assert_true(share(e, 4, 2) > 0.5 * want);
    fill(e, 4);
    for (unsigned i = 0; i < 4; i++)
        e[i].load = 1.2;
    r = step(e, 4, GTM_STEER_LEAST_CONNECTIONS);
    assert_int_equal(r.hot, 4);
    assert_false(r.changed); /* nobody can help anybody */
}

static void who_does_not_report_keeps_its_weight(void **state)
{
    struct policy_balance_endpoint e[5];
    fill(e, 5);
    step(e, 5, GTM_STEER_RESPONSE_TIME);
    uint32_t was = e[1].weight;
    e[0].latency_ms = 200;
    e[1].latency_ms = -1; /* stale */
    e[2].serves = false;  /* down */
    e[3].factor = 0.3;    /* ramps up */
    struct policy_balance_result r;
    for (unsigned n = 0; n < 50; n++)
        r = step(e, 5, GTM_STEER_RESPONSE_TIME);
    assert_int_equal(r.reported, 2);
    for (unsigned i = 1; i < 4; i++)
        assert_int_equal(e[i].weight, was);
    assert_true(e[0].weight < was && e[4].weight > was);
    /* one alone has nobody to be compared with */
    e[0].latency_ms = NAN;
    uint32_t alone = e[4].weight;
    r = step(e, 5, GTM_STEER_RESPONSE_TIME);
    assert_int_equal(r.reported, 1);
    assert_false(r.changed);
    assert_int_equal(e[4].weight, alone);
}

static void odd_reports_do_no_harm(void **state)
{
    static const double odd[] = {0, -1, 1e-300, 1e300, INFINITY, NAN, 5};
    static const enum gtm_steer kinds[] = {GTM_STEER_LEAST_CONNECTIONS, GTM_STEER_RESPONSE_TIME,
                                           GTM_STEER_EWMA, GTM_STEER_NEAREST};
    gtm_rand_seed(&rand_, 5);
    for (unsigned seed = 0; seed < 5000; seed++) {
        struct policy_balance_endpoint e[MOST];
        size_t count = gtm_rand_below(&rand_, MOST + 1);
        fill(e, count);
        for (unsigned n = 0; n < 4; n++) {
            for (size_t i = 0; i < count; i++) {
                e[i].connections = odd[gtm_rand_below(&rand_, 7)];
                e[i].latency_ms = odd[gtm_rand_below(&rand_, 7)];
                e[i].load = odd[gtm_rand_below(&rand_, 7)];
                e[i].capacity = odd[gtm_rand_below(&rand_, 7)];
                e[i].configured = gtm_rand_below(&rand_, 3) * 32767;
                e[i].serves = gtm_rand_below(&rand_, 8) > 0;
            }
            struct policy_balance_result r = step(e, count, kinds[seed % 4]);
            assert_true(r.moved >= 0 && r.moved <= POLICY_BALANCE_MOVE / 2 + 1e-9);
            assert_false(isnan(r.imbalance));
            for (size_t i = 0; i < count; i++)
                assert_in_range(e[i].weight, 1, 65535);
        }
    }
}

static void it_says_what_it_does(void **state)
{
    struct policy_balance_endpoint e[4];
    char text[POLICY_BALANCE_TEXT];
    fill(e, 4);
    struct policy_balance_result r = step(e, 4, GTM_STEER_RESPONSE_TIME);
    assert_string_equal(policy_balance_say(&r, text), "balanced within 20 % (now 0 %)");
    e[0].latency_ms = 40;
    r = step(e, 4, GTM_STEER_RESPONSE_TIME);
    assert_non_null(strstr(policy_balance_say(&r, text), "imbalance "));
    e[0].load = 2;
    r = step(e, 4, GTM_STEER_RESPONSE_TIME);
    assert_non_null(strstr(policy_balance_say(&r, text), "1 hot: moves"));
    r = step(e, 1, GTM_STEER_RESPONSE_TIME);
    assert_non_null(strstr(policy_balance_say(&r, text), "fewer than two"));
}

/* ---- the loop ---- */

#define STEPS  480 /* of 5 s: 40 minutes */
#define SETTLE 240

struct loop {
    size_t count;
    double service_ms[MOST]; /* without load */
    double slots[MOST];      /* requests/s that it can do */
    double users[MOST];      /* shares as caches have it by now */
    double rate;             /* requests/s of all users */
    double connections[MOST], latency[MOST], load[MOST];
    struct policy_balance_endpoint e[MOST];
    double history[STEPS][MOST];
};

static double noisy(double value)
{
    return value * (0.9 + 0.2 * uniform());
}

/* Queues grow as load nears 1; requests beyond it wait, too. */
static void serve(struct loop *l)
{
    for (size_t i = 0; i < l->count; i++) {
        double rate = l->rate * l->users[i];
        l->load[i] = rate / l->slots[i];
        l->latency[i] = l->service_ms[i] / (1 - fmin(l->load[i], 0.95));
        l->connections[i] = rate * l->latency[i] / 1000;
    }
}

static void start(struct loop *l, bool capacity)
{
    double slots = 0;
    memset(l, 0, sizeof(*l));
    l->count = 3 + gtm_rand_below(&rand_, MOST - 2);
    fill(l->e, l->count);
    for (size_t i = 0; i < l->count; i++) {
        l->service_ms[i] = 10 + 40 * uniform();
        l->slots[i] = 500 + 2500 * uniform();
        l->users[i] = 1.0 / (double)l->count;
        l->e[i].capacity = capacity ? l->slots[i] : -1;
        slots += l->slots[i];
    }
    l->rate = slots * (0.2 + 0.35 * uniform());
    serve(l);
}

static void run(struct loop *l, enum gtm_steer kind)
{
    for (unsigned n = 0; n < STEPS; n++) {
        struct policy_balance_result r;
        struct policy_balance_rules rules = rules_of(kind);
        for (size_t i = 0; i < l->count; i++) { /* reports are of one step ago */
            l->e[i].connections = noisy(l->connections[i]);
            l->e[i].latency_ms = noisy(l->latency[i]);
            l->e[i].load = noisy(l->load[i]);
        }
        for (size_t i = 0; i < l->count; i++)
            l->users[i] += (1 - exp(-5.0 / 30)) * (share(l->e, l->count, i) - l->users[i]);
        if (n == 0)
            for (size_t i = 0; i < l->count; i++)
                l->users[i] = 1.0 / (double)l->count;
        serve(l);
        policy_balance_step(l->e, l->count, &rules, &r);
        double moved = 0;
        for (size_t i = 0; i < l->count; i++) {
            l->history[n][i] = share(l->e, l->count, i);
            moved += n >= 2 ? fabs(l->history[n][i] - l->history[n - 2][i]) / 2 : 0;
        }
        assert_true(moved <= POLICY_BALANCE_MOVE + 0.001); /* ten seconds; whole weights */
    }
}

/* The greatest relative deviation of a share from its own mean after it has settled. */
static double swing(const struct loop *l)
{
    double worst = 0;
    for (size_t i = 0; i < l->count; i++) {
        double sum = 0, squares = 0, n = STEPS - SETTLE;
        for (unsigned t = SETTLE; t < STEPS; t++) {
            sum += l->history[t][i];
            squares += l->history[t][i] * l->history[t][i];
        }
        worst = fmax(worst, sqrt(fmax(squares / n - sum / n * sum / n, 0)) / (sum / n));
    }
    return worst;
}

static void connections_become_equal(void **state)
{
    static struct loop l;
    unsigned compared = 0;
    gtm_rand_seed(&rand_, 31337);
    for (unsigned seed = 0; seed < 200; seed++) {
        start(&l, seed % 2);
        run(&l, GTM_STEER_LEAST_CONNECTIONS);
        double low = INFINITY, high = 0;
        for (size_t i = 0; i < l.count; i++) {
            double crowd = l.connections[i] / (seed % 2 ? l.slots[i] : 1);
            assert_true(l.load[i] < 0.85); /* whatever its connections would allow */
            if (l.load[i] > 0.65)
                continue; /* its load may hold it back */
            low = fmin(low, crowd);
            high = fmax(high, crowd);
            compared++;
        }
        assert_true(high <= low * 1.7 ||
                    high == 0); /* each within 20 % of its want, and noise of 10 % */
        assert_true(swing(&l) < 0.07);
    }
    assert_true(compared > 800);
}

static void fast_servers_get_more(void **state)
{
    static struct loop l;
    gtm_rand_seed(&rand_, 271828);
    for (unsigned seed = 0; seed < 400; seed++) {
        enum gtm_steer kind = seed % 2 ? GTM_STEER_RESPONSE_TIME : GTM_STEER_EWMA;
        start(&l, true);
        run(&l, kind);
        for (size_t i = 0; i < l.count; i++)
            assert_true(l.load[i] < 0.85);
        for (size_t i = 0; kind == GTM_STEER_RESPONSE_TIME && i < l.count; i++)
            for (size_t k = 0; k < l.count;
                 k++) /* users × time is the same for all that are cool */
                if (l.load[i] < 0.65 && l.load[k] < 0.65)
                    assert_true(l.users[i] * l.latency[i] < 1.8 * l.users[k] * l.latency[k]);
        assert_true(swing(&l) < 0.07);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(little_imbalance_is_left_alone),
        cmocka_unit_test(a_hot_one_moves_at_once),
        cmocka_unit_test(who_does_not_report_keeps_its_weight),
        cmocka_unit_test(odd_reports_do_no_harm),
        cmocka_unit_test(it_says_what_it_does),
        cmocka_unit_test(connections_become_equal),
        cmocka_unit_test(fast_servers_get_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
