/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of targets that share a probe: one request for all, each with its own report, and state
 * that survives when a sharer leaves or joins.
 */
#include "gtm/base/log.h"
#include "gtm/base/mem.h"
#include "tests/support/health_server.h"
#include "tests/support/health_world.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SHARERS 1000

static void ignore_line(void *ctx, const char *line)
{
    (void)ctx;
    (void)line;
}

static int quiet(void **state)
{
    gtm_log_set_sink(ignore_line, NULL);
    return 0;
}

/* Adds a target that is probed by the monitor of another. */
static struct health_target *share(struct world *w, const char *key, const char *with)
{
    struct gtm_monitor *monitor = world_monitor(w, with);
    struct health_target *target = world_add(w, key, monitor->port);
    target->monitor = monitor;
    return target;
}

static void many_pools_cost_one_probe(void **state)
{
    static struct world w;
    static char keys[SHARERS][32];
    static struct health_target targets[SHARERS];
    struct server *s = server_new(SERVER_OK, 0);
    struct gtm_error err = {0};
    world_init(&w);
    world_add(&w, "web", server_port(s));
    for (int i = 0; i < SHARERS; i++) {
        snprintf(keys[i], sizeof(keys[i]), "pool-%d/a/web/4", i);
        targets[i] = w.targets[0];
        targets[i].key = keys[i];
    }
    assert_int_equal(health_engine_apply(w.engine, targets, SHARERS, &err), 0);
    struct health_report first = world_wait(&w, keys[0], GTM_HEALTH_UP);
    assert_int_equal(first.shared, SHARERS - 1);
    world_wait(&w, keys[SHARERS - 1], GTM_HEALTH_UP);
    assert_int_equal(w.changes, SHARERS);
    struct health_report last = world_wait_probes(&w, keys[SHARERS - 1], 5);
    assert_string_equal(last.key, keys[SHARERS - 1]);
    assert_true(server_requests(s) >= 5 && server_requests(s) < 100);
    server_kill(s);
    world_wait(&w, keys[0], GTM_HEALTH_DOWN);
    world_wait(&w, keys[SHARERS - 1], GTM_HEALTH_DOWN);
    assert_int_equal(w.changes, 2 * SHARERS);
    world_fini(&w);
    server_free(s);
}

static void who_joins_hears_what_is_known_and_who_stays_keeps_it(void **state)
{
    static struct world w;
    struct server *s = server_new(SERVER_OK, 0);
    world_init(&w);
    world_add(&w, "a", server_port(s));
    world_monitor(&w, "a")->interval_ms = 60000; /* nothing but the first decision */
    world_monitor(&w, "a")->timeout_ms = 5000;
    world_apply(&w);
    struct health_report a = world_wait(&w, "a", GTM_HEALTH_UP);
    assert_int_equal(a.shared, 0);
    share(&w, "b", "a");
    share(&w, "c", "a")->initial = GTM_HEALTH_DOWN;
    world_apply(&w);
    struct health_report b = world_wait(&w, "b", GTM_HEALTH_UP);
    struct health_report c = world_wait(&w, "c", GTM_HEALTH_UP);
    assert_int_equal(b.shared, 2);
    assert_string_equal(c.key, "c");
    assert_int_equal(c.probes_total, 2);
    assert_int_equal(w.changes, 3);
    assert_int_equal(server_requests(s), 2);
    /* The one that the probe was made for leaves. */
    w.targets[0] = w.targets[2];
    w.count = 2;
    world_apply(&w);
    while (health_engine_report(w.engine, "a", &a) == GTM_OK)
        poll(NULL, 0, 2);
    b = world_report(&w, "b");
    assert_int_equal(b.health, GTM_HEALTH_UP);
    assert_int_equal(b.shared, 1);
    assert_int_equal(b.probes_total, 2);
    assert_int_equal(health_engine_check_now(w.engine, "b"), 0);
    world_wait_total(&w, "c", 3);
    assert_int_equal(server_requests(s), 3);
    world_fini(&w);
    server_free(s);
}

static void sharers_that_knew_different_things_agree_after_probes(void **state)
{
    static struct world w;
    struct server *dead = server_new(SERVER_OK, 0);
    server_kill(dead);
    world_init(&w);
    world_add(&w, "was-up", server_port(dead))->initial = GTM_HEALTH_UP;
    share(&w, "was-down", "was-up")->initial = GTM_HEALTH_DOWN;
    world_apply(&w);
    world_wait(&w, "was-up", GTM_HEALTH_DOWN);
    assert_int_equal(world_report(&w, "was-down").health, GTM_HEALTH_DOWN);
    assert_int_equal(w.changes, 1); /* nothing is told to who knew */
    world_fini(&w);
    server_free(dead);
}

static void a_sharer_that_is_probed_otherwise_leaves_the_probe(void **state)
{
    static struct world w;
    struct server *s = server_new(SERVER_OK, 0);
    world_init(&w);
    world_add(&w, "a", server_port(s));
    share(&w, "b", "a");
    world_apply(&w);
    world_wait(&w, "b", GTM_HEALTH_UP);
    assert_int_equal(world_report(&w, "a").shared, 1);
    w.monitors[1] = w.monitors[0]; /* the same name, another path */
    w.monitors[1].path = (char *)"/other";
    w.targets[1].monitor = &w.monitors[1];
    world_apply(&w);
    struct health_report a;
    while ((a = world_report(&w, "a")).shared != 0)
        poll(NULL, 0, 2);
    world_wait_probes(&w, "b", 2);
    assert_int_equal(world_report(&w, "b").shared, 0);
    assert_int_equal(world_report(&w, "b").health, GTM_HEALTH_UP);
    assert_int_equal(w.changes, 2);
    world_fini(&w);
    server_free(s);
}

static void a_set_that_does_not_fit_into_memory_changes_nothing(void **state)
{
    static struct world w;
    struct server *s = server_new(SERVER_OK, 0);
    world_init(&w);
    world_add(&w, "a", server_port(s));
    world_monitor(&w, "a")->interval_ms = 60000;
    world_apply(&w);
    world_wait(&w, "a", GTM_HEALTH_UP);
    share(&w, "b", "a");
    world_add(&w, "c", server_port(s));
    for (uint64_t n = 1; n < 400; n += 3) {
        struct gtm_error err = {0};
        gtm_mem_fail_at(n, 0);
        int rc = health_engine_apply(w.engine, w.targets, w.count, &err);
        assert_true(rc == GTM_OK || rc == GTM_ENOMEM);
        assert_int_equal(health_engine_check_now(w.engine, "a") & ~GTM_ENOMEM, 0);
        gtm_mem_fail_at(0, 0);
    }
    world_apply(&w);
    world_wait(&w, "c", GTM_HEALTH_UP);
    assert_int_equal(world_report(&w, "b").shared, 1);
    assert_int_equal(world_report(&w, "b").health, GTM_HEALTH_UP);
    world_fini(&w);
    server_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_pools_cost_one_probe),
        cmocka_unit_test(who_joins_hears_what_is_known_and_who_stays_keeps_it),
        cmocka_unit_test(sharers_that_knew_different_things_agree_after_probes),
        cmocka_unit_test(a_sharer_that_is_probed_otherwise_leaves_the_probe),
        cmocka_unit_test(a_set_that_does_not_fit_into_memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, quiet, NULL);
}
