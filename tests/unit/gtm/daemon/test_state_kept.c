/* SPDX-License-Identifier: Apache-2.0
 *
 * Balanced weights and sheds over a restart and a reload; what is asked to be saved while the disk
 * works.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "gtm/base/log.h"
#include "gtm/base/loop.h"
#include "gtm/base/mem.h"
#include "gtm/coord/store_file.h"
#include "gtm/daemon/state_int.h"
#include "tests/support/temp_dir.h"

#include <stdio.h>
#include <string.h>

static const char intent_text[] =
    "regions: [{name: r1, location: [1, 1]}, {name: r2, location: [2, 2]}]\n"
    "monitors:\n"
    "  - {name: m, kind: http, port: 80, path: /, interval: 1s, load: {connections: /c, load: "
    "/l}}\n"
    "pools:\n"
    "  - name: a\n"
    "    monitors: [m]\n"
    "    failback: {mode: manual}\n"
    "    spillover: {low: 70%, high: 90%}\n"
    "    endpoints:\n"
    "      - {name: a1, region: r1, addresses: [192.0.2.1]}\n"
    "      - {name: a2, region: r2, addresses: [192.0.2.2]}\n"
    "      - {name: a3, region: r2, addresses: [192.0.2.3], weight: 200}\n"
    "policies:\n"
    "  - {name: other, pool: a, steer: nearest}\n"
    "  - {name: least, pool: a, steer: least_connections, ttl: 1s}\n";
#define LEAST 1

struct world {
    char dir[TEST_TEMP_DIR_BYTES];
    struct gtm_clock_fake clock;
    struct gtm_loop *loop;
    struct gtm_store *store;
    struct gtm_events *events;
    struct gtm_state *state;
    struct gtm_intent *intent;
};

static void sink(void *ctx, const char *line)
{
}

static int on_flip(void *ctx, const struct gtm_states *states, const struct gtm_touched *touched)
{
    return 0;
}

static void boot(struct world *w)
{
    struct gtm_error damage, err = {0};
    w->loop = gtm_loop_new();
    assert_int_equal(gtm_store_file_open(w->loop, w->dir, &w->store, &damage, &err), 0);
    w->events = gtm_events_new(&w->clock.clock);
    w->state = gtm_state_new(&(struct gtm_state_opts){.loop = w->loop,
                                                      .clock = &w->clock.clock,
                                                      .store = w->store,
                                                      .events = w->events,
                                                      .flip = on_flip,
                                                      .ctx = w});
    assert_non_null(w->state);
    assert_int_equal(gtm_state_restore(w->state), 0);
    struct gtm_state_next *next = gtm_state_prepare(w->state, w->intent);
    assert_non_null(next);
    gtm_state_commit(w->state, next);
}

static void halt(struct world *w)
{
    gtm_state_flush(w->state);
    gtm_store_close(w->store);
    gtm_state_free(w->state);
    gtm_events_free(w->events);
    gtm_loop_free(w->loop);
}

static void reload(struct world *w, struct gtm_intent *intent)
{
    struct gtm_state_next *next = gtm_state_prepare(w->state, intent);
    assert_non_null(next);
    gtm_state_commit(w->state, next);
}

static int setup(void **state)
{
    struct world *w = gtm_calloc(1, sizeof(*w));
    struct gtm_diags diags = {0};
    *state = w;
    if (test_temp_dir_make("kept", w->dir))
        return -1;
    gtm_clock_fake_init(&w->clock);
    w->clock.mono_ns = 1000u * UINT64_C(1000000000);
    w->clock.wall_ms = 1795194000000;
    w->intent = gtm_intent_parse("c.yaml", intent_text, strlen(intent_text), &diags);
    if (!w->intent)
        gtm_diags_print(&diags, stderr);
    gtm_diags_fini(&diags);
    boot(w);
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    halt(w);
    gtm_intent_unref(w->intent);
    int rc = test_temp_dir_remove(w->dir);
    gtm_free(w);
    return rc;
}

static void stop(void *arg)
{
    gtm_loop_stop(arg);
}

/* Everything posted so far is done when this returns. */
static void turn(struct world *w)
{
    assert_int_equal(gtm_loop_post(w->loop, stop, w->loop), 0);
    assert_int_equal(gtm_loop_run(w->loop), 0);
}

static void advance(struct world *w, unsigned ms)
{
    w->clock.mono_ns += ms * UINT64_C(1000000);
    w->clock.wall_ms += ms;
}

static void load(struct world *w, const char *endpoint, double connections, double utilisation)
{
    struct health_report r = {.health = GTM_HEALTH_UP};
    snprintf(r.key, sizeof(r.key), "a/%s/m/4", endpoint);
    r.load.has = 1u << GTM_LOAD_CONNECTIONS | 1u << GTM_LOAD_LOAD;
    r.load.value[GTM_LOAD_CONNECTIONS] = connections;
    r.load.value[GTM_LOAD_LOAD] = utilisation;
    gtm_state_on_load(w->state, &r);
}

/* The first endpoint, all of region r1, is full and has most of the connections. */
static void step(struct world *w)
{
    load(w, "a1", 900, 0.99);
    load(w, "a2", 100, 0.2);
    load(w, "a3", 100, 0.2);
    turn(w);
    advance(w, 2000);
    gtm_state_balance(w->state, NULL);
}

struct shown {
    uint32_t weight[3];
    unsigned shed[2];
};

static struct shown show(struct world *w)
{
    const struct gtm_states *states = gtm_state_facts(w->state)->states;
    const uint32_t *weights = gtm_states_balance(states, LEAST);
    struct shown s = {.weight = {0}};
    if (weights)
        memcpy(s.weight, weights, sizeof(s.weight));
    for (size_t r = 0; r < 2; r++)
        s.shed[r] = gtm_states_shed(states, 0, r);
    return s;
}

/* Steps until both have moved. */
static struct shown move(struct world *w)
{
    for (int i = 0; i < 10; i++)
        step(w);
    struct shown s = show(w);
    assert_true(s.weight[0] > 0 && s.weight[0] < s.weight[1]);
    assert_in_range(s.shed[0], 50, 999);
    assert_int_equal(s.shed[1], 0);
    return s;
}

static void weights_and_sheds_outlive_the_process(void **state)
{
    struct world *w = *state;
    struct shown before = move(w);
    double users = w->state->now->balances[0].endpoints[0].users;
    double kept = w->state->now->spills[0].regions[0].kept;
    halt(w);
    advance(w, 5000);
    boot(w);
    struct shown after = show(w);
    assert_memory_equal(&before, &after, sizeof(before));
    assert_float_equal(w->state->now->balances[0].endpoints[0].users, users, 1e-4);
    assert_float_equal(w->state->now->spills[0].regions[0].kept, kept, 1e-4);
    /* and goes on from there, in small steps */
    step(w);
    after = show(w);
    assert_in_range(after.shed[0], before.shed[0], before.shed[0] + 50);
    assert_in_range(after.weight[0], before.weight[0] * 8 / 10, before.weight[0]);
}

static void what_is_old_is_forgotten(void **state)
{
    struct world *w = *state;
    static const int minutes[] = {12, -12}; /* the calendar may be set back, too */
    for (size_t i = 0; i < 2; i++) {
        move(w);
        halt(w);
        w->clock.wall_ms += minutes[i] * 60000;
        boot(w);
        struct shown s = show(w), none = {.weight = {0}};
        assert_memory_equal(&s, &none, sizeof(s));
    }
}

/* An endpoint that is new, one whose policy steers otherwise now, and a text that is damaged. */
static void what_does_not_fit_any_more_is_left_out(void **state)
{
    struct world *w = *state;
    struct shown before = move(w);
    halt(w);
    snprintf(w->intent->pools[0].endpoints[2].name, 3, "a9");
    boot(w);
    struct shown after = show(w);
    assert_int_equal(after.weight[0], before.weight[0]);
    double scale = (after.weight[0] + after.weight[1]) / 200.0;
    assert_in_range(after.weight[2], (unsigned)(199 * scale), (unsigned)(201 * scale));
    halt(w);
    snprintf(w->intent->pools[0].endpoints[2].name, 3, "a3");
    w->intent->policies[LEAST].steer = GTM_STEER_EWMA;
    boot(w);
    after = show(w);
    assert_int_equal(after.weight[0], 0);
    assert_int_equal(after.shed[0], before.shed[0]);
    w->intent->policies[LEAST].steer = GTM_STEER_LEAST_CONNECTIONS;
    static const char *const bad[] = {
        "{}",
        "7",
        "[]",
        "[1795194000000]",
        "[1795194000000,7,[],[\"a/r1\"],[1,2,3]]",
        "[1795194000000,[\"a/r1\",\"x\",1,0,0],[\"a/r2\",1001,1,1,1]]",
        "[1795194000000,[\"least/least_connections/a/a1\",-5,1,1,1]]",
        "[1795194000000,[\"least/least_connections/a/a2\",1e300,1,1,1]]",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        halt(w);
        w->clock.wall_ms = 1795194000000;
        struct gtm_error damage, err = {0};
        w->loop = gtm_loop_new();
        assert_int_equal(gtm_store_file_open(w->loop, w->dir, &w->store, &damage, &err), 0);
        struct gtm_store_change put = {.kind = GTM_STORE_PUT,
                                       .key = "balance/0000",
                                       .value = bad[i],
                                       .value_len = strlen(bad[i]),
                                       .expect = GTM_STORE_ANY};
        assert_int_equal(gtm_store_commit(w->store, &put, 1, NULL, NULL), 0);
        gtm_store_close(w->store);
        gtm_loop_free(w->loop);
        boot(w);
        struct shown s = show(w), none = {.weight = {0}};
        assert_memory_equal(&s, &none, sizeof(s));
    }
}

static unsigned spillover_events(struct world *w)
{
    struct gtm_json *list = gtm_events_list(w->events, 0, 1000);
    unsigned n = 0;
    for (struct gtm_json *e = gtm_json_first(list); e; e = gtm_json_next(e))
        n += !strcmp(gtm_json_str(e, "subject", ""), "pool/a/r1");
    gtm_json_free(list);
    return n;
}

static void a_reload_is_no_news(void **state)
{
    struct world *w = *state;
    struct shown before = move(w);
    double kept = w->state->now->spills[0].regions[0].kept;
    assert_int_equal(spillover_events(w), 1);
    reload(w, w->intent);
    struct shown after = show(w);
    assert_memory_equal(&before, &after, sizeof(before));
    assert_float_equal(w->state->now->spills[0].regions[0].kept, kept, 1e-9);
    step(w);
    assert_int_equal(spillover_events(w), 1);
}

/* Runs the loop until the key is there or not. */
static void wait_for_key(struct world *w, const char *key, int code)
{
    struct gtm_timer *guard = gtm_timer_new(w->loop, stop, w->loop);
    struct gtm_store_entry entry;
    for (int i = 0; i < 400 && gtm_store_get(w->store, key, &entry) != code; i++) {
        gtm_timer_start(guard, 25);
        assert_int_equal(gtm_loop_run(w->loop), 0);
    }
    gtm_timer_free(guard);
    assert_int_equal(gtm_store_get(w->store, key, &entry), code);
}

static void a_crash_loses_half_a_minute(void **state)
{
    struct world *w = *state;
    struct gtm_store_entry entry;
    for (int i = 0; i < 5; i++)
        move(w);
    assert_int_equal(gtm_store_get(w->store, "balance/0000", &entry), GTM_ENOTFOUND);
    wait_for_key(w, "balance/0000", GTM_OK);
}

static void report(struct world *w, const char *key, enum gtm_health health)
{
    struct health_report r = {.health = health, .since_wall_ms = w->clock.wall_ms};
    snprintf(r.key, sizeof(r.key), "%s", key);
    gtm_state_on_change(w->state, &r, GTM_HEALTH_UNKNOWN);
    turn(w);
}

static void what_changes_while_the_disk_works_is_saved_next(void **state)
{
    struct world *w = *state;
    report(w, "a/a2/m/4", GTM_HEALTH_UP);
    report(w, "a/a1/m/4", GTM_HEALTH_DOWN);
    report(w, "a/a1/m/4", GTM_HEALTH_UP);
    wait_for_key(w, "recovery/0000", GTM_OK);
    report(w, "a/a3/m/4", GTM_HEALTH_UP);
    gtm_state_flush(w->state);
    assert_int_equal(gtm_state_resume(w->state, 0, 0, "me", false), 0);
    assert_true(w->state->saving);
    wait_for_key(w, "recovery/0000", GTM_ENOTFOUND);
}

static void loads_wait_in_bounds_and_hold_up_no_health(void **state)
{
    struct world *w = *state;
    size_t n = 0;
    for (int i = 0; i < 30000; i++)
        load(w, "a1", i, 0.5);
    struct health_report r = {.health = GTM_HEALTH_UP, .key = "a/a2/m/4"};
    gtm_state_on_change(w->state, &r, GTM_HEALTH_UNKNOWN);
    for (const struct gtm_change *c = w->state->changed; c; c = c->next)
        n++;
    assert_int_equal(n, 20001);
    turn(w);
    const struct gtm_facts *facts = gtm_state_facts(w->state);
    assert_int_equal(gtm_states_get(facts->states, 0, 1, GTM_FAMILY_V4).health, GTM_HEALTH_UP);
    load(w, "a1", 7, 0.5);
    turn(w);
    assert_float_equal(facts->loads[0].value[GTM_LOAD_CONNECTIONS], 7, 0);
}

static void report_content(struct world *w, const char *key)
{
    struct health_report r = {
        .health = GTM_HEALTH_DOWN, .since_wall_ms = w->clock.wall_ms, .last = HEALTH_RESULT_STATUS};
    snprintf(r.key, sizeof(r.key), "%s", key);
    gtm_state_on_change(w->state, &r, GTM_HEALTH_UNKNOWN);
    turn(w);
}

/* One letter for each endpoint: up, unknown, down, held. */
static const char *healths(struct world *w)
{
    static char text[4];
    const struct gtm_facts *facts = gtm_state_facts(w->state);
    for (size_t e = 0; e < 3; e++)
        text[e] =
            facts->panic_held[e * 2]
                ? 'h'
                : gtm_health_word(gtm_states_get(facts->states, 0, e, GTM_FAMILY_V4).health)[0];
    return text;
}

/* Two of three that fell one after the other are believed, also by the next process, whose machine
 * may have been started just now. */
static void what_was_believed_is_no_panic_after_a_restart(void **state)
{
    struct world *w = *state;
    report(w, "a/a3/m/4", GTM_HEALTH_UP);
    report_content(w, "a/a1/m/4");
    advance(w, 600000);
    report_content(w, "a/a2/m/4");
    assert_string_equal(healths(w), "ddu");
    advance(w, 600000);
    halt(w);
    w->clock.mono_ns = 5u * UINT64_C(1000000000);
    boot(w);
    assert_string_equal(healths(w), "ddu");
    assert_false(gtm_state_facts(w->state)->panic[0]);
    report_content(w, "a/a3/m/4");
    assert_string_equal(healths(w), "ddd");
}

static void a_panic_outlives_the_process(void **state)
{
    struct world *w = *state;
    report_content(w, "a/a1/m/4");
    report_content(w, "a/a2/m/4");
    assert_string_equal(healths(w), "hhu");
    advance(w, 600000);
    report_content(w, "a/a3/m/4");
    assert_string_equal(healths(w), "hhh");
    for (int i = 0; i < 2; i++) {
        advance(w, 600000);
        halt(w);
        boot(w);
        assert_string_equal(healths(w), "hhh");
    }
    report(w, "a/a1/m/4", GTM_HEALTH_UP);
    report(w, "a/a2/m/4", GTM_HEALTH_UP);
    assert_string_equal(healths(w), "uud");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    gtm_log_set_sink(sink, NULL);
    const struct CMUnitTest tests[] = {
        TEST(weights_and_sheds_outlive_the_process),
        TEST(what_is_old_is_forgotten),
        TEST(what_does_not_fit_any_more_is_left_out),
        TEST(a_reload_is_no_news),
        TEST(a_crash_loses_half_a_minute),
        TEST(loads_wait_in_bounds_and_hold_up_no_health),
        TEST(what_was_believed_is_no_panic_after_a_restart),
        TEST(a_panic_outlives_the_process),
        TEST(what_changes_while_the_disk_works_is_saved_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
