/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of health/schedule: a target and its probes simulated in virtual time, so that the
 * detection times of thousands of phases are exact.
 */
#include "gtm/base/clock.h"
#include "health/schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MS 1000000ull

/* How the server behaves towards a probe that starts at `at_ns`. */
struct reply {
    uint64_t delay_ns; /* HEALTH_NEVER = no answer at all */
    enum health_outcome_kind outcome;
};

struct world {
    struct health_schedule s;
    struct gtm_clock_fake clock;
    struct reply (*server)(struct world *w, uint64_t at_ns, bool fresh);
    uint64_t broken_ns, whole_ns; /* the server is broken from … to … */
    struct {
        bool running;
        uint64_t end_ns;
        enum health_outcome_kind outcome;
    } io[HEALTH_FLIGHTS_MAX];
    uint64_t starts[4096];
    bool confirms[4096];
    unsigned started, cancelled, expired, counted;
    uint64_t changed_ns; /* of the last change of health */
    unsigned changes;
};

static uint64_t now_of(struct world *w)
{
    return gtm_mono_ns(&w->clock.clock);
}

static void world_init(struct world *w, const struct health_rules *rules, enum gtm_health known,
                       uint64_t seed)
{
    struct gtm_rand rand;
    memset(w, 0, sizeof(*w));
    gtm_clock_fake_init(&w->clock);
    w->clock.mono_ns = 1000 * MS;
    w->broken_ns = HEALTH_NEVER;
    w->whole_ns = HEALTH_NEVER;
    gtm_rand_seed(&rand, seed);
    health_schedule_init(&w->s, rules, known, now_of(w), HEALTH_FIRST_MS, &rand);
}

static void on_start(struct world *w, unsigned slot)
{
    const struct health_flight *f = &w->s.flights[slot];
    assert_false(w->io[slot].running);
    struct reply reply = w->server(w, now_of(w), f->confirm);
    w->io[slot].running = true;
    w->io[slot].outcome = reply.outcome;
    w->io[slot].end_ns = reply.delay_ns == HEALTH_NEVER ? HEALTH_NEVER : now_of(w) + reply.delay_ns;
    assert_true(w->started < 4096);
    w->confirms[w->started] = f->confirm;
    w->starts[w->started++] = now_of(w);
}

static void steps(struct world *w)
{
    unsigned slot = 99;
    bool changed;
    for (unsigned guard = 0;; guard++) {
        assert_true(guard < 1000); /* it must come to rest */
        enum health_step step = health_schedule_step(&w->s, now_of(w), &slot, &changed);
        if (step == HEALTH_STEP_NONE)
            return;
        assert_true(slot < HEALTH_FLIGHTS_MAX);
        if (step == HEALTH_STEP_START) {
            on_start(w, slot);
            continue;
        }
        if (step == HEALTH_STEP_COUNT) {
            assert_false(w->io[slot].running);
            w->counted++;
            w->changed_ns = changed ? now_of(w) : w->changed_ns;
            w->changes += changed;
            continue;
        }
        assert_true(w->io[slot].running);
        w->io[slot].running = false;
        w->expired += step == HEALTH_STEP_EXPIRE;
        w->cancelled += step == HEALTH_STEP_CANCEL;
    }
}

/* Runs until then, or until `changes` changes of health were seen. */
static void run(struct world *w, uint64_t until_ns, unsigned changes)
{
    for (;;) {
        steps(w);
        uint64_t next = health_schedule_wake_ns(&w->s);
        assert_true(next > now_of(w)); /* else it would spin */
        for (unsigned i = 0; i < HEALTH_FLIGHTS_MAX; i++)
            if (w->io[i].running && w->io[i].end_ns < next)
                next = w->io[i].end_ns;
        if (next > until_ns || w->changes >= changes) {
            if (w->changes < changes)
                w->clock.mono_ns = until_ns;
            return;
        }
        w->clock.mono_ns = next;
        for (unsigned i = 0; i < HEALTH_FLIGHTS_MAX; i++) {
            if (!w->io[i].running || w->io[i].end_ns > next)
                continue;
            w->io[i].running = false;
            health_schedule_result(&w->s, i, w->io[i].outcome, 2000);
        }
    }
}

static bool broken(const struct world *w, uint64_t at_ns)
{
    return at_ns >= w->broken_ns && at_ns < w->whole_ns;
}

static struct reply refuses(struct world *w, uint64_t at_ns, bool fresh)
{
    if (broken(w, at_ns))
        return (struct reply){.delay_ns = MS / 5, .outcome = HEALTH_FAIL};
    return (struct reply){.delay_ns = 2 * MS, .outcome = HEALTH_PASS};
}

static struct reply hangs(struct world *w, uint64_t at_ns, bool fresh)
{
    if (broken(w, at_ns))
        return (struct reply){.delay_ns = HEALTH_NEVER};
    return (struct reply){.delay_ns = 2 * MS, .outcome = HEALTH_PASS};
}

/* The first answer of the broken time comes 120 ms late; everything else is well. */
static struct reply late_once(struct world *w, uint64_t at_ns, bool fresh)
{
    if (broken(w, at_ns)) {
        w->whole_ns = at_ns; /* only this one */
        return (struct reply){.delay_ns = 120 * MS, .outcome = HEALTH_PASS};
    }
    return (struct reply){.delay_ns = fresh ? 400 * MS : 2 * MS, .outcome = HEALTH_PASS};
}

static struct reply alternates(struct world *w, uint64_t at_ns, bool fresh)
{
    return (struct reply){.delay_ns = MS, .outcome = w->started % 2 ? HEALTH_PASS : HEALTH_FAIL};
}

static struct reply cannot(struct world *w, uint64_t at_ns, bool fresh)
{
    return (struct reply){.delay_ns = MS, .outcome = HEALTH_VOID};
}

static const struct health_rules half_second = {
    .interval_ms = 500, .timeout_ms = 500, .fall = 2, .rise = 2};

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Median and maximum detection time in ms over many phases. */
static void measure(struct reply (*server)(struct world *, uint64_t, bool), uint64_t *ret_median,
                    uint64_t *ret_max)
{
    enum { RUNS = 2000 };
    static uint64_t took[RUNS];
    for (unsigned i = 0; i < RUNS; i++) {
        struct world w;
        world_init(&w, &half_second, GTM_HEALTH_UNKNOWN, i + 1);
        w.server = server;
        run(&w, now_of(&w) + 3000 * MS, 99);
        assert_int_equal(w.s.damping.health, GTM_HEALTH_UP);
        w.broken_ns = now_of(&w);
        run(&w, now_of(&w) + 5000 * MS, 2);
        assert_int_equal(w.s.damping.health, GTM_HEALTH_DOWN);
        took[i] = (w.changed_ns - w.broken_ns) / MS;
    }
    qsort(took, RUNS, sizeof(took[0]), by_size);
    *ret_median = took[RUNS / 2];
    *ret_max = took[RUNS - 1];
}

static void a_killed_server_is_down_soon(void **state)
{
    uint64_t median, max;
    measure(refuses, &median, &max);
    assert_in_range(median, 200, 300);
    assert_in_range(max, 400, 510);
}

static void a_hung_server_is_down_soon(void **state)
{
    uint64_t median, max;
    measure(hangs, &median, &max);
    assert_in_range(median, 750, 850);
    assert_in_range(max, 1000, 1060);
}

static void the_first_probe_is_soon_and_decides(void **state)
{
    for (uint64_t seed = 1; seed < 500; seed++) {
        struct world w;
        uint64_t begin;
        const struct health_rules slow = {
            .interval_ms = 60000, .timeout_ms = 1000, .fall = 3, .rise = 3};
        world_init(&w, &slow, GTM_HEALTH_UNKNOWN, seed);
        begin = now_of(&w);
        w.server = refuses;
        run(&w, begin + 1000 * MS, 1);
        assert_int_equal(w.s.damping.health, GTM_HEALTH_UP);
        assert_true(w.changed_ns - begin < 320 * MS); /* not after three minutes */
        assert_in_range(w.started, 3, 4);
        run(&w, begin + 60200 * MS, 99);
        assert_in_range(w.started, 4, 5); /* the regular one comes within an interval */
    }
}

static void unknown_and_dead_is_down_soon(void **state)
{
    for (uint64_t seed = 1; seed < 200; seed++) {
        struct world w;
        world_init(&w, &half_second, GTM_HEALTH_UNKNOWN, seed);
        uint64_t begin = now_of(&w);
        w.broken_ns = 0;
        w.server = seed % 2 ? refuses : hangs;
        run(&w, begin + 5000 * MS, 1);
        assert_int_equal(w.s.damping.health, GTM_HEALTH_DOWN);
        assert_true(w.changed_ns - begin < (seed % 2 ? 210 : 840) * MS);
    }
}

static void regular_probes_keep_their_phase(void **state)
{
    struct world w;
    world_init(&w, &half_second, GTM_HEALTH_UP, 7);
    w.server = refuses;
    run(&w, now_of(&w) + 100000 * MS, 99);
    assert_in_range(w.started, 199, 202);
    for (unsigned i = 2; i < w.started; i++)
        assert_int_equal(w.starts[i] - w.starts[i - 1], 500 * MS);
    assert_true(w.starts[1] - w.starts[0] <= 500 * MS);
    assert_int_equal(w.cancelled, 0);
}

static void phases_are_spread(void **state)
{
    unsigned quarter[4] = {0};
    for (uint64_t seed = 1; seed <= 4000; seed++) {
        struct world w;
        world_init(&w, &half_second, GTM_HEALTH_UP, seed);
        quarter[(w.s.phase_ns - 1000 * MS) / (125 * MS)]++;
        assert_true(w.s.due_ns - 1000 * MS < 200 * MS);
    }
    for (unsigned i = 0; i < 4; i++)
        assert_in_range(quarter[i], 850, 1150);
}

static void a_late_probe_that_passes_cancels_its_confirmation(void **state)
{
    struct world w;
    world_init(&w, &half_second, GTM_HEALTH_UP, 3);
    w.server = late_once;
    run(&w, now_of(&w) + 3000 * MS, 99);
    unsigned before = w.started;
    w.broken_ns = now_of(&w);
    run(&w, now_of(&w) + 620 * MS, 99);
    assert_int_equal(w.cancelled, 1);
    assert_true(w.started >= before + 2);
    assert_true(w.confirms[before + 1]);
    assert_int_equal(w.starts[before + 1] - w.starts[before], 50 * MS);
    assert_int_equal(w.s.damping.fails, 0);
    assert_int_equal(w.changes, 0);
}

static void a_busy_owner_confirms_lateness_later(void **state)
{
    struct world w;
    world_init(&w, &half_second, GTM_HEALTH_UP, 3);
    w.server = hangs;
    run(&w, now_of(&w) + 3000 * MS, 99);
    unsigned before = w.started;
    w.broken_ns = now_of(&w);
    w.s.slack_us = 70000;
    run(&w, now_of(&w) + 620 * MS, 99);
    assert_true(w.confirms[before + 1]);
    assert_int_equal(w.starts[before + 1] - w.starts[before], 120 * MS);
}

static void results_count_in_order_of_start(void **state)
{
    /* The regular probe hangs, its confirmation passes at once: one failure, then a pass. */
    struct world w;
    world_init(&w, &half_second, GTM_HEALTH_UP, 5);
    w.server = hangs;
    run(&w, now_of(&w) + 2000 * MS, 99);
    w.broken_ns = now_of(&w);
    while (w.io[0].end_ns != HEALTH_NEVER || !w.io[0].running)
        run(&w, now_of(&w) + MS, 99);
    w.whole_ns = now_of(&w);
    unsigned counted = w.counted;
    run(&w, now_of(&w) + 400 * MS, 99); /* the confirmation has passed, and waits */
    assert_int_equal(w.counted, counted);
    assert_int_equal(w.s.damping.fails, 0);
    run(&w, now_of(&w) + 101 * MS, 99); /* the first one runs out of time: both count */
    assert_true(w.counted >= counted + 2);
    assert_int_equal(w.expired, 1);
    assert_true(w.s.damping.passes >= 1);
    assert_int_equal(w.changes, 0);
}

static void coming_back_is_quick(void **state)
{
    const struct health_rules slow = {.interval_ms = 5000, .timeout_ms = 500, .fall = 2, .rise = 4};
    struct world w;
    world_init(&w, &slow, GTM_HEALTH_DOWN, 9);
    w.server = refuses;
    w.broken_ns = 0;
    run(&w, now_of(&w) + 20000 * MS, 99);
    assert_in_range(w.started, 4, 6); /* down: at the interval, unconfirmed */
    unsigned first = w.started;
    w.whole_ns = now_of(&w);
    run(&w, now_of(&w) + 20000 * MS, 1);
    assert_int_equal(w.s.damping.health, GTM_HEALTH_UP);
    assert_int_equal(w.started, first + 4);
    for (unsigned i = first + 1; i < w.started; i++)
        assert_int_equal(w.starts[i] - w.starts[i - 1], 250 * MS);
}

static void later_confirmations_keep_a_distance(void **state)
{
    const struct health_rules patient = {
        .interval_ms = 1000, .timeout_ms = 500, .fall = 5, .rise = 2};
    struct world w;
    world_init(&w, &patient, GTM_HEALTH_UP, 11);
    w.server = refuses;
    run(&w, now_of(&w) + 3000 * MS, 99);
    unsigned first = w.started;
    w.broken_ns = now_of(&w);
    run(&w, now_of(&w) + 3000 * MS, 1);
    assert_int_equal(w.s.damping.health, GTM_HEALTH_DOWN);
    assert_true(w.starts[first + 1] - w.starts[first] < MS); /* at once … */
    for (unsigned i = first + 2; i < first + 5; i++)         /* … then not in a burst */
        assert_true(w.starts[i] - w.starts[i - 1] >= 50 * MS);
    assert_true(w.changed_ns - w.starts[first] < 200 * MS);
}

static void alternating_results_do_not_flood(void **state)
{
    struct world w;
    world_init(&w, &half_second, GTM_HEALTH_UNKNOWN, 13);
    w.server = alternates;
    run(&w, now_of(&w) + 10000 * MS, 99);
    /* 20 intervals, each at most one regular and fall + rise confirming probes. */
    assert_true(w.started <= 21 * 5);
    assert_int_equal(w.changes, 0);
}

static void what_cannot_be_made_here_changes_nothing(void **state)
{
    struct world w;
    world_init(&w, &half_second, GTM_HEALTH_UP, 17);
    w.server = cannot;
    run(&w, now_of(&w) + 10000 * MS, 99);
    assert_int_equal(w.changes, 0);
    assert_int_equal(w.s.damping.fails + w.s.damping.passes, 0);
    assert_in_range(w.started, 19, 22);
}

static void probes_may_overlap_but_not_without_bound(void **state)
{
    const struct health_rules eager = {
        .interval_ms = 100, .timeout_ms = 2000, .fall = 2, .rise = 1};
    struct world w;
    world_init(&w, &eager, GTM_HEALTH_UP, 19);
    w.server = hangs;
    run(&w, now_of(&w) + 1000 * MS, 99);
    w.broken_ns = now_of(&w);
    unsigned first = w.started;
    run(&w, now_of(&w) + 2300 * MS, 1);
    assert_int_equal(w.s.damping.health, GTM_HEALTH_DOWN);
    assert_true(w.changed_ns - w.broken_ns <= 2200 * MS);
    /* on_start asserts that no slot is used twice; here: no more than the slots in 2 s. */
    assert_true(w.started - first <= HEALTH_FLIGHTS_MAX + 3);
}

static void check_now_probes_at_once(void **state)
{
    const struct health_rules slow = {
        .interval_ms = 60000, .timeout_ms = 500, .fall = 2, .rise = 2};
    struct world w;
    world_init(&w, &slow, GTM_HEALTH_UP, 23);
    w.server = refuses;
    run(&w, now_of(&w) + 90000 * MS, 99);
    unsigned before = w.started;
    uint64_t at = now_of(&w), due = w.s.due_ns;
    health_schedule_check_now(&w.s, at);
    assert_int_equal(health_schedule_wake_ns(&w.s), at);
    run(&w, at + 10 * MS, 99);
    assert_int_equal(w.started, before + 1);
    assert_int_equal(w.starts[before], at);
    assert_int_equal(w.s.due_ns, due); /* the phase stays */
}

static void a_late_wake_skips_what_was_missed(void **state)
{
    struct world w;
    world_init(&w, &half_second, GTM_HEALTH_UP, 29);
    w.server = refuses;
    run(&w, now_of(&w) + 2000 * MS, 99);
    unsigned before = w.started;
    w.clock.mono_ns += 10250 * MS; /* twenty intervals late */
    run(&w, now_of(&w) + 10 * MS, 99);
    assert_int_equal(w.started, before + 1);
    assert_true(w.s.due_ns > now_of(&w));
}

/* A probe that waits for a place is neither late nor over its time until it has begun. */
static void waiting_for_a_place_is_not_held_against_anybody(void **state)
{
    const struct health_rules rules = {
        .interval_ms = 1000, .timeout_ms = 300, .fall = 2, .rise = 2};
    struct health_schedule s;
    struct gtm_rand rand;
    unsigned slot = 9;
    bool changed;
    gtm_rand_seed(&rand, 1);
    health_schedule_init(&s, &rules, GTM_HEALTH_UP, 0, 0, &rand);
    assert_int_equal(health_schedule_step(&s, 0, &slot, &changed), HEALTH_STEP_START);
    health_schedule_hold(&s, slot);
    s.due_ns = HEALTH_NEVER; /* no other probe */
    assert_int_equal(health_schedule_wake_ns(&s), 1000 * MS);
    assert_int_equal(health_schedule_step(&s, 900 * MS, &slot, &changed), HEALTH_STEP_NONE);
    health_schedule_begun(&s, slot, 900 * MS);
    assert_int_equal(health_schedule_step(&s, 940 * MS, &slot, &changed), HEALTH_STEP_NONE);
    unsigned confirm;
    assert_int_equal(health_schedule_step(&s, 1000 * MS, &confirm, &changed), HEALTH_STEP_START);
    health_schedule_hold(&s, confirm);
    assert_int_equal(health_schedule_step(&s, 1200 * MS, &slot, &changed), HEALTH_STEP_EXPIRE);
    assert_int_not_equal(slot, confirm);
    assert_int_equal(health_schedule_step(&s, 1200 * MS, &slot, &changed), HEALTH_STEP_COUNT);
    assert_int_equal(s.damping.fails, 1);
    assert_int_equal(health_schedule_step(&s, 2000 * MS, &slot, &changed), HEALTH_STEP_EXPIRE);
    health_schedule_void(&s, slot); /* it never began */
    assert_int_equal(health_schedule_step(&s, 2000 * MS, &slot, &changed), HEALTH_STEP_COUNT);
    assert_false(changed);
    assert_int_equal(s.damping.fails, 1);
    assert_int_equal(s.damping.health, GTM_HEALTH_UP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_server_is_down_soon),
        cmocka_unit_test(a_hung_server_is_down_soon),
        cmocka_unit_test(the_first_probe_is_soon_and_decides),
        cmocka_unit_test(unknown_and_dead_is_down_soon),
        cmocka_unit_test(regular_probes_keep_their_phase),
        cmocka_unit_test(phases_are_spread),
        cmocka_unit_test(a_late_probe_that_passes_cancels_its_confirmation),
        cmocka_unit_test(a_busy_owner_confirms_lateness_later),
        cmocka_unit_test(results_count_in_order_of_start),
        cmocka_unit_test(coming_back_is_quick),
        cmocka_unit_test(later_confirmations_keep_a_distance),
        cmocka_unit_test(alternating_results_do_not_flood),
        cmocka_unit_test(what_cannot_be_made_here_changes_nothing),
        cmocka_unit_test(probes_may_overlap_but_not_without_bound),
        cmocka_unit_test(check_now_probes_at_once),
        cmocka_unit_test(a_late_wake_skips_what_was_missed),
        cmocka_unit_test(waiting_for_a_place_is_not_held_against_anybody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
