/* SPDX-License-Identifier: Apache-2.0
 *
 * The live state over a real loop and a real store: what is merged, what is published together,
 * what survives a restart and a reload, and what happens when memory or the publisher fails.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "gtm/base/loop.h"
#include "gtm/base/mem.h"
#include "gtm/coord/store_file.h"
#include "gtm/daemon/state_int.h"
#include "tests/support/temp_dir.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static const char intent_text[] =
    "regions:\n"
    "  - {name: r1, location: [1, 1]}\n"
    "  - {name: r2, location: [2, 2]}\n"
    "monitors:\n"
    "  - {name: m1, kind: tcp, port: 80, interval: 1s}\n"
    "  - {name: m2, kind: tcp, port: 81, interval: 1s}\n"
    "pools:\n"
    "  - name: a\n"
    "    monitors: [m1, m2]\n"
    "    endpoints:\n"
    "      - {name: a1, region: r1, addresses: [192.0.2.1, \"2001:db8::1\"]}\n"
    "      - {name: a2, region: r2, addresses: [192.0.2.2]}\n"
    "  - name: b\n"
    "    monitors: [m1]\n"
    "    endpoints:\n"
    "      - {name: b1, region: r1, addresses: [192.0.2.3]}\n";

struct world {
    char dir[TEST_TEMP_DIR_BYTES];
    struct gtm_loop *loop;
    struct gtm_store *store;
    struct gtm_events *events;
    struct gtm_state *state;
    struct gtm_intent *intent;
    unsigned flips, flips_to_fail;
    char touched[128]; /* pools of the last flip, as "0,1," */
};

static void sink(void *ctx, const char *line)
{
}

static int on_flip(void *ctx, const struct gtm_states *states, const struct gtm_touched *touched)
{
    struct world *w = ctx;
    w->flips++;
    size_t n = 0;
    w->touched[0] = 0;
    for (size_t i = 0; i < touched->count; i++)
        n += (size_t)snprintf(w->touched + n, sizeof(w->touched) - n, "%u,", touched->pools[i]);
    if (w->flips_to_fail == 0)
        return 0;
    w->flips_to_fail--;
    return GTM_ENOMEM;
}

static struct gtm_intent *parse(const char *text)
{
    struct gtm_diags diags = {0};
    struct gtm_intent *intent = gtm_intent_parse("c.yaml", text, strlen(text), &diags);
    if (!intent)
        gtm_diags_print(&diags, stderr);
    assert_non_null(intent);
    gtm_diags_fini(&diags);
    return intent;
}

static void boot(struct world *w)
{
    struct gtm_error damage, err = {0};
    w->loop = gtm_loop_new();
    assert_int_equal(gtm_store_file_open(w->loop, w->dir, &w->store, &damage, &err), 0);
    w->events = gtm_events_new(gtm_clock_system());
    w->state = gtm_state_new(&(struct gtm_state_opts){
        .loop = w->loop, .store = w->store, .events = w->events, .flip = on_flip, .ctx = w});
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

static int setup(void **state)
{
    struct world *w = gtm_calloc(1, sizeof(*w));
    *state = w;
    if (test_temp_dir_make("state", w->dir))
        return -1;
    w->intent = parse(intent_text);
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

static void report(struct world *w, const char *key, enum gtm_health health)
{
    struct health_report r = {.health = health, .since_wall_ms = 1795194000000};
    snprintf(r.key, sizeof(r.key), "%s", key);
    snprintf(r.evidence, sizeof(r.evidence), "evidence");
    gtm_state_on_change(w->state, &r, GTM_HEALTH_UNKNOWN);
}

static enum gtm_health health(struct world *w, size_t pool, size_t endpoint, enum gtm_family f)
{
    return gtm_states_get(gtm_state_facts(w->state)->states, pool, endpoint, f).health;
}

static void an_address_is_as_healthy_as_its_worst_monitor(void **state)
{
    struct world *w = *state;
    report(w, "a/a1/m1/4", GTM_HEALTH_UP);
    turn(w);
    assert_int_equal(health(w, 0, 0, GTM_FAMILY_V4), GTM_HEALTH_UP);
    report(w, "a/a1/m2/4", GTM_HEALTH_DOWN);
    turn(w);
    assert_int_equal(health(w, 0, 0, GTM_FAMILY_V4), GTM_HEALTH_DOWN);
    assert_int_equal(health(w, 0, 0, GTM_FAMILY_V6), GTM_HEALTH_UNKNOWN);
    report(w, "a/a1/m1/4", GTM_HEALTH_DOWN);
    report(w, "a/a1/m2/4", GTM_HEALTH_UP);
    turn(w);
    assert_int_equal(health(w, 0, 0, GTM_FAMILY_V4), GTM_HEALTH_DOWN);
    report(w, "a/a1/m1/4", GTM_HEALTH_UP);
    turn(w);
    assert_int_equal(health(w, 0, 0, GTM_FAMILY_V4), GTM_HEALTH_UP);
    assert_int_equal(gtm_facts_endpoint_health(gtm_state_facts(w->state), 0, 0), GTM_HEALTH_UP);
    report(w, "a/a1/m1/6", GTM_HEALTH_DOWN);
    turn(w);
    assert_int_equal(gtm_facts_endpoint_health(gtm_state_facts(w->state), 0, 0),
                     GTM_HEALTH_DEGRADED);
    assert_int_equal(gtm_state_facts(w->state)->since_ms[1], 1795194000000);
}

static void with_require_any_one_monitor_is_enough(void **state)
{
    struct world *w = *state;
    w->intent->pools[0].monitors_needed = 1;
    report(w, "a/a1/m1/4", GTM_HEALTH_UP);
    report(w, "a/a1/m2/4", GTM_HEALTH_DOWN);
    turn(w);
    assert_int_equal(health(w, 0, 0, GTM_FAMILY_V4), GTM_HEALTH_DEGRADED);
    assert_true(gtm_facts_endpoint_serves(gtm_state_facts(w->state), 0, 0));
    report(w, "a/a1/m1/4", GTM_HEALTH_DOWN);
    turn(w);
    assert_int_equal(health(w, 0, 0, GTM_FAMILY_V4), GTM_HEALTH_DOWN);
}

static unsigned share(struct world *w, size_t pool, size_t endpoint)
{
    return gtm_states_share(gtm_state_facts(w->state)->states, pool, endpoint, GTM_FAMILY_V4);
}

/* Hold, then nothing to ramp; over a reload and a restart; needed at once when it is the last. */
static void what_recovers_is_held(void **state)
{
    struct world *w = *state;
    char text[GTM_SHARE_TEXT_BYTES];
    w->intent->pools[0].failback_mode = GTM_FAILBACK_MANUAL;
    report(w, "a/a1/m1/4", GTM_HEALTH_DOWN);
    report(w, "a/a2/m1/4", GTM_HEALTH_UP);
    turn(w);
    report(w, "a/a1/m1/4", GTM_HEALTH_UP);
    turn(w);
    assert_int_equal(health(w, 0, 0, GTM_FAMILY_V4), GTM_HEALTH_UP);
    assert_int_equal(share(w, 0, 0), 0);
    assert_false(gtm_states_serves(gtm_state_facts(w->state)->states, 0, 0, GTM_FAMILY_V4));
    gtm_facts_share_text(gtm_state_facts(w->state), 0, 0, GTM_FAMILY_V4, gtm_clock_system(), text);
    assert_string_equal(text,
                        "recovered, waits for gtmctl endpoint resume (failback.mode: manual)");
    struct gtm_state_next *next = gtm_state_prepare(w->state, w->intent);
    assert_non_null(next);
    gtm_state_commit(w->state, next);
    assert_int_equal(share(w, 0, 0), 0);
    halt(w);
    boot(w);
    assert_int_equal(share(w, 0, 0), 0);
    assert_int_equal(gtm_state_resume(w->state, 0, 0, "me", true), 0);
    assert_int_equal(share(w, 0, 0), 0);
    assert_int_equal(gtm_state_resume(w->state, 0, 0, "me", false), 0);
    assert_int_equal(share(w, 0, 0), GTM_SHARE_FULL);
    assert_int_equal(gtm_state_resume(w->state, 0, 0, "me", false), GTM_ESTATE);
    assert_int_equal(gtm_state_resume(w->state, 9, 0, "me", false), GTM_ENOTFOUND);
    /* again, and now the other one falls */
    report(w, "a/a1/m1/4", GTM_HEALTH_DOWN);
    report(w, "a/a1/m1/4", GTM_HEALTH_UP);
    turn(w);
    assert_int_equal(share(w, 0, 0), 0);
    report(w, "a/a2/m1/4", GTM_HEALTH_DOWN);
    turn(w);
    assert_int_equal(share(w, 0, 0), GTM_SHARE_FULL);
    assert_true(gtm_states_serves(gtm_state_facts(w->state)->states, 0, 0, GTM_FAMILY_V4));
}

static void report_content(struct world *w, const char *key, enum gtm_health health)
{
    struct health_report r = {.health = health,
                              .since_wall_ms = 1795194000000,
                              .last = health == GTM_HEALTH_DOWN ? HEALTH_RESULT_STATUS
                                                                : HEALTH_RESULT_OK};
    snprintf(r.key, sizeof(r.key), "%s", key);
    snprintf(r.evidence, sizeof(r.evidence), "HTTP 500, wanted 200..299");
    gtm_state_on_change(w->state, &r, GTM_HEALTH_UNKNOWN);
}

static void assert_panic(struct world *w, bool on)
{
    const struct gtm_facts *facts = gtm_state_facts(w->state);
    assert_int_equal(facts->panic[0], on);
    for (size_t e = 0; e < 2; e++) {
        assert_int_equal(facts->panic_held[e * 2], on);
        assert_int_equal(health(w, 0, e, GTM_FAMILY_V4), on ? GTM_HEALTH_UNKNOWN : GTM_HEALTH_UP);
        assert_true(gtm_facts_endpoint_serves(facts, 0, e));
    }
}

/* Both endpoints answer 500 within a minute: a bad release, not two bad servers. */
static void bad_content_everywhere_is_not_believed(void **state)
{
    struct world *w = *state;
    report(w, "a/a1/m1/4", GTM_HEALTH_UP);
    report(w, "a/a2/m1/4", GTM_HEALTH_UP);
    turn(w);
    report_content(w, "a/a1/m1/4", GTM_HEALTH_DOWN);
    turn(w);
    assert_int_equal(health(w, 0, 0, GTM_FAMILY_V4), GTM_HEALTH_DOWN);
    report_content(w, "a/a2/m1/4", GTM_HEALTH_DOWN);
    turn(w);
    assert_panic(w, true);
    /* over a reload and a restart */
    struct gtm_state_next *next = gtm_state_prepare(w->state, w->intent);
    assert_non_null(next);
    gtm_state_commit(w->state, next);
    assert_panic(w, true);
    halt(w);
    boot(w);
    assert_panic(w, true);
    /* a refused connection is believed at once, panic or not */
    report(w, "a/a1/m2/4", GTM_HEALTH_DOWN);
    turn(w);
    assert_int_equal(health(w, 0, 0, GTM_FAMILY_V4), GTM_HEALTH_DOWN);
    report(w, "a/a1/m2/4", GTM_HEALTH_UP);
    report_content(w, "a/a1/m1/4", GTM_HEALTH_UP);
    turn(w);
    assert_false(gtm_state_facts(w->state)->panic[0]);
    assert_int_equal(health(w, 0, 1, GTM_FAMILY_V4), GTM_HEALTH_DOWN);
    report_content(w, "a/a2/m1/4", GTM_HEALTH_UP);
    turn(w);
    assert_panic(w, false);
}

static void *from_another_thread(void *arg)
{
    struct world *w = arg;
    report(w, "a/a1/m1/4", GTM_HEALTH_DOWN);
    report(w, "b/b1/m1/4", GTM_HEALTH_DOWN);
    report(w, "a/a2/m1/4", GTM_HEALTH_DOWN);
    return NULL;
}

static void what_comes_together_is_published_together(void **state)
{
    struct world *w = *state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, from_another_thread, w), 0);
    pthread_join(thread, NULL);
    turn(w);
    assert_int_equal(w->flips, 1);
    assert_string_equal(w->touched, "0,1,");
    assert_int_equal(gtm_state_facts(w->state)->pools[1].health, GTM_HEALTH_DOWN);
    assert_int_equal(gtm_state_facts(w->state)->pools[0].health, GTM_HEALTH_DEGRADED);
    assert_int_equal(gtm_state_facts(w->state)->regions[1].health, GTM_HEALTH_DOWN);
    assert_int_equal(gtm_state_changes(w->state), 3);
    struct gtm_json *list = gtm_events_list(w->events, 0, 10);
    assert_int_equal(gtm_json_count(list), 3);
    assert_string_equal(gtm_json_str(gtm_json_first(list), "subject", ""), "endpoint/a/a1");
    assert_string_equal(gtm_json_str(gtm_json_first(list), "cause", ""), "m1 on ipv4: evidence");
    gtm_json_free(list);
}

static void unknown_targets_and_repeats_change_nothing(void **state)
{
    struct world *w = *state;
    report(w, "gone/x/m1/4", GTM_HEALTH_DOWN);
    report(w, "a/a2/m1/6", GTM_HEALTH_DOWN); /* has no IPv6 */
    turn(w);
    assert_int_equal(w->flips, 0);
    report(w, "a/a2/m1/4", GTM_HEALTH_DOWN);
    turn(w);
    report(w, "a/a2/m1/4", GTM_HEALTH_DOWN);
    turn(w);
    assert_int_equal(w->flips, 1);
}

static void on_stored(void *arg, int code, const struct gtm_error *err)
{
    struct world *w = arg;
    assert_int_equal(code, 0);
    gtm_loop_stop(w->loop);
}

static void order(struct world *w, const char *key, enum gtm_admin admin)
{
    struct gtm_override o = {.admin = admin, .since_ms = 5};
    snprintf(o.owner, sizeof(o.owner), "me");
    snprintf(o.reason, sizeof(o.reason), "why \"not\"");
    assert_int_equal(
        gtm_state_override(w->state, key, admin == GTM_ADMIN_AUTO ? NULL : &o, on_stored, w), 0);
}

static void a_gradual_drain_takes_users_away_in_steps(void **state)
{
    struct world *w = *state;
    char text[GTM_SHARE_TEXT_BYTES];
    struct gtm_override o = {
        .admin = GTM_ADMIN_DRAIN, .since_ms = gtm_wall_ms(gtm_clock_system()), .over_ms = 600000};
    snprintf(o.owner, sizeof(o.owner), "me");
    assert_int_equal(gtm_state_override(w->state, "endpoint/a/a1", &o, on_stored, w), 0);
    assert_int_equal(gtm_loop_run(w->loop), 0);
    const struct gtm_facts *facts = gtm_state_facts(w->state);
    assert_in_range(share(w, 0, 0), 900, 960);
    assert_true(gtm_facts_endpoint_serves(facts, 0, 0));
    gtm_facts_share_text(gtm_state_facts(w->state), 0, 0, GTM_FAMILY_V4, gtm_clock_system(), text);
    assert_string_equal(text, "draining: 95 % of its weight left");
    /* withdrawn: all of it at once */
    order(w, "endpoint/a/a1", GTM_ADMIN_AUTO);
    assert_int_equal(gtm_loop_run(w->loop), 0);
    assert_int_equal(share(w, 0, 0), GTM_SHARE_FULL);
    /* half over, for a whole pool, and after a restart */
    o.since_ms -= 300000;
    assert_int_equal(gtm_state_override(w->state, "pool/a", &o, on_stored, w), 0);
    assert_int_equal(gtm_loop_run(w->loop), 0);
    assert_in_range(share(w, 0, 1), 440, 530);
    halt(w);
    boot(w);
    assert_in_range(share(w, 0, 1), 440, 530);
    /* over */
    o.since_ms -= 300000;
    assert_int_equal(gtm_state_override(w->state, "pool/a", &o, on_stored, w), 0);
    assert_int_equal(gtm_loop_run(w->loop), 0);
    assert_false(gtm_facts_endpoint_serves(gtm_state_facts(w->state), 0, 1));
    assert_int_equal(gtm_states_pool_admin(gtm_state_facts(w->state)->states, 0), GTM_ADMIN_DRAIN);
}

static void orders_are_in_force_at_once_and_kept(void **state)
{
    struct world *w = *state;
    order(w, "endpoint/a/a1", GTM_ADMIN_DRAIN);
    /* Before the disk has it: */
    assert_int_equal(w->flips, 1);
    assert_string_equal(w->touched, "0,");
    assert_false(gtm_facts_endpoint_serves(gtm_state_facts(w->state), 0, 0));
    assert_int_equal(gtm_loop_run(w->loop), 0);
    order(w, "pool/b", GTM_ADMIN_DOWN);
    assert_int_equal(gtm_loop_run(w->loop), 0);
    order(w, "endpoint/gone/x", GTM_ADMIN_DOWN); /* of an object that may come back */
    assert_int_equal(gtm_loop_run(w->loop), 0);
    halt(w);
    boot(w);
    const struct gtm_facts *facts = gtm_state_facts(w->state);
    assert_int_equal(gtm_states_get(facts->states, 0, 0, GTM_FAMILY_V4).admin, GTM_ADMIN_DRAIN);
    assert_int_equal(gtm_states_pool_admin(facts->states, 1), GTM_ADMIN_DOWN);
    const struct gtm_override *o = gtm_overrides_get(&facts->overrides, "endpoint/a/a1");
    assert_non_null(o);
    assert_string_equal(o->owner, "me");
    assert_string_equal(o->reason, "why \"not\"");
    assert_int_equal(o->since_ms, 5);
    assert_non_null(gtm_overrides_get(&facts->overrides, "endpoint/gone/x"));
    order(w, "endpoint/a/a1", GTM_ADMIN_AUTO);
    assert_int_equal(gtm_loop_run(w->loop), 0);
    halt(w);
    boot(w);
    facts = gtm_state_facts(w->state);
    assert_null(gtm_overrides_get(&facts->overrides, "endpoint/a/a1"));
    assert_true(gtm_facts_endpoint_serves(facts, 0, 0));
}

static void a_restart_remembers_health_and_last_good(void **state)
{
    struct world *w = *state;
    report(w, "a/a1/m1/4", GTM_HEALTH_DOWN);
    turn(w);
    report(w, "a/a2/m1/4", GTM_HEALTH_DOWN); /* the last of its pool and family */
    report(w, "b/b1/m1/4", GTM_HEALTH_UP);
    turn(w);
    const struct gtm_states *before = gtm_state_facts(w->state)->states;
    assert_false(gtm_states_last_good(before, 0, 0, GTM_FAMILY_V4));
    assert_true(gtm_states_last_good(before, 0, 1, GTM_FAMILY_V4));
    halt(w);
    w->flips = 0;
    boot(w);
    const struct gtm_facts *facts = gtm_state_facts(w->state);
    assert_int_equal(health(w, 0, 0, GTM_FAMILY_V4), GTM_HEALTH_DOWN);
    assert_int_equal(health(w, 0, 1, GTM_FAMILY_V4), GTM_HEALTH_DOWN);
    assert_int_equal(health(w, 1, 0, GTM_FAMILY_V4), GTM_HEALTH_UP);
    assert_int_equal(health(w, 0, 0, GTM_FAMILY_V6), GTM_HEALTH_UNKNOWN);
    assert_false(gtm_states_last_good(facts->states, 0, 0, GTM_FAMILY_V4));
    assert_true(gtm_states_last_good(facts->states, 0, 1, GTM_FAMILY_V4));
    assert_int_equal(facts->since_ms[0], 1795194000000);
    /* And the engine begins where it was. */
    size_t count = 0;
    struct health_target *targets = gtm_state_targets(w->state, &count);
    assert_int_equal(count, 7);
    assert_string_equal(targets[0].key, "a/a1/m1/4");
    assert_int_equal(targets[0].initial, GTM_HEALTH_DOWN);
    assert_int_equal(targets[1].initial, GTM_HEALTH_UNKNOWN);
    gtm_free(targets);
}

static void a_reload_carries_everything_over(void **state)
{
    struct world *w = *state;
    report(w, "a/a1/m1/4", GTM_HEALTH_DOWN);
    report(w, "b/b1/m1/4", GTM_HEALTH_DOWN);
    turn(w);
    order(w, "endpoint/a/a2", GTM_ADMIN_DRAIN);
    assert_int_equal(gtm_loop_run(w->loop), 0);
    order(w, "endpoint/c/c1", GTM_ADMIN_DOWN); /* does not exist yet */
    assert_int_equal(gtm_loop_run(w->loop), 0);
    struct gtm_intent *other =
        parse("regions:\n"
              "  - {name: r2, location: [2, 2]}\n"
              "monitors:\n"
              "  - {name: m1, kind: tcp, port: 80, interval: 1s}\n"
              "pools:\n"
              "  - name: c\n"
              "    monitors: [m1]\n"
              "    endpoints: [{name: c1, region: r2, addresses: [192.0.2.9]}]\n"
              "  - name: a\n"
              "    monitors: [m1]\n"
              "    endpoints:\n"
              "      - {name: a2, region: r2, addresses: [192.0.2.2]}\n"
              "      - {name: a1, region: r2, addresses: [192.0.2.1]}\n");
    struct gtm_state_next *next = gtm_state_prepare(w->state, other);
    assert_non_null(next);
    /* Until the commit, the old one is in force. */
    assert_int_equal(gtm_state_facts(w->state)->intent->pools_count, 2);
    assert_ptr_equal(gtm_states_intent(gtm_state_next_states(next)), other);
    gtm_state_commit(w->state, next);
    const struct gtm_facts *facts = gtm_state_facts(w->state);
    assert_int_equal(health(w, 1, 1, GTM_FAMILY_V4), GTM_HEALTH_DOWN);
    assert_int_equal(facts->since_ms[(facts->base[1] + 1) * 2], 1795194000000);
    assert_int_equal(gtm_states_get(facts->states, 1, 0, GTM_FAMILY_V4).admin, GTM_ADMIN_DRAIN);
    assert_int_equal(gtm_states_get(facts->states, 0, 0, GTM_FAMILY_V4).admin, GTM_ADMIN_DOWN);
    assert_int_equal(facts->pools[1].health, GTM_HEALTH_DOWN);
    /* What belongs to the old intent alone is not heard any more. */
    unsigned flips = w->flips;
    report(w, "b/b1/m1/4", GTM_HEALTH_UP);
    turn(w);
    assert_int_equal(w->flips, flips);
    gtm_intent_unref(other);
}

static void a_failed_flip_is_tried_again(void **state)
{
    struct world *w = *state;
    w->flips_to_fail = 1;
    report(w, "a/a1/m1/4", GTM_HEALTH_DOWN);
    turn(w);
    assert_int_equal(w->flips, 1);
    struct gtm_timer *guard = gtm_timer_new(w->loop, stop, w->loop);
    for (int i = 0; i < 100 && w->flips < 2; i++) {
        gtm_timer_start(guard, 50);
        assert_int_equal(gtm_loop_run(w->loop), 0);
    }
    gtm_timer_free(guard);
    assert_int_equal(w->flips, 2);
}

static void prepare_survives_every_failed_allocation(void **state)
{
    struct world *w = *state;
    report(w, "a/a1/m1/4", GTM_HEALTH_DOWN);
    turn(w);
    struct gtm_state_next *next = NULL;
    unsigned n = 0;
    while (!next) {
        assert_true(++n < 2000);
        gtm_mem_fail_at(n, 0);
        next = gtm_state_prepare(w->state, w->intent);
        gtm_mem_fail_at(0, 0);
        assert_int_equal(health(w, 0, 0, GTM_FAMILY_V4), GTM_HEALTH_DOWN);
    }
    assert_true(n > 20);
    gtm_state_next_free(next);
}

/* Many targets: shards of the saved state, and fewer of them later. */
static void shards_come_and_go(void **state)
{
    struct world *w = *state;
    struct gtm_buf text = {0};
    gtm_buf_adds(&text,
                 "regions: [{name: r1}]\nmonitors: [{name: m1, kind: tcp, port: 80}]\npools:\n");
    for (int p = 0; p < 5; p++) {
        gtm_buf_addf(&text, "  - name: p%d\n    monitors: [m1]\n    endpoints:\n", p);
        for (int e = 0; e < 500; e++)
            gtm_buf_addf(&text, "      - {name: e%d, region: r1, addresses: [10.%d.%d.%d]}\n", e, p,
                         e / 250, e % 250 + 1);
    }
    struct gtm_intent *big = parse(text.data);
    gtm_buf_fini(&text);
    struct gtm_state_next *next = gtm_state_prepare(w->state, big);
    assert_non_null(next);
    gtm_state_commit(w->state, next);
    for (int p = 0; p < 5; p++) {
        for (int e = 0; e < 500; e++) {
            char key[64];
            snprintf(key, sizeof(key), "p%d/e%d/m1/4", p, e);
            report(w, key, e % 2 ? GTM_HEALTH_DOWN : GTM_HEALTH_UP);
        }
    }
    turn(w);
    assert_int_equal(w->flips, 1);
    struct gtm_intent *small = w->intent;
    w->intent = big;
    halt(w);
    boot(w);
    for (size_t p = 0; p < 5; p++)
        for (size_t e = 0; e < 500; e++)
            assert_int_equal(health(w, p, e, GTM_FAMILY_V4),
                             e % 2 ? GTM_HEALTH_DOWN : GTM_HEALTH_UP);
    struct gtm_store_entry entry;
    assert_int_equal(gtm_store_get(w->store, "verdict/0002", &entry), 0);
    w->intent = small;
    next = gtm_state_prepare(w->state, small);
    gtm_state_commit(w->state, next);
    halt(w);
    boot(w);
    assert_int_equal(gtm_store_get(w->store, "verdict/0002", &entry), GTM_ENOTFOUND);
    assert_int_equal(gtm_store_get(w->store, "lastgood/0000", &entry), GTM_ENOTFOUND);
    gtm_intent_unref(big);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    gtm_log_set_sink(sink, NULL);
    const struct CMUnitTest tests[] = {
        TEST(an_address_is_as_healthy_as_its_worst_monitor),
        TEST(with_require_any_one_monitor_is_enough),
        TEST(bad_content_everywhere_is_not_believed),
        TEST(what_recovers_is_held),
        TEST(a_gradual_drain_takes_users_away_in_steps),
        TEST(what_comes_together_is_published_together),
        TEST(unknown_targets_and_repeats_change_nothing),
        TEST(orders_are_in_force_at_once_and_kept),
        TEST(a_restart_remembers_health_and_last_good),
        TEST(a_reload_carries_everything_over),
        TEST(a_failed_flip_is_tried_again),
        TEST(prepare_survives_every_failed_allocation),
        TEST(shards_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
