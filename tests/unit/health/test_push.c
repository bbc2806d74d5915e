/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of heartbeats: fall and rise, silence, load.
 */
#include "gtm/base/log.h"
#include "tests/support/health_world.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

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

static void begin(struct world *w, unsigned interval_ms)
{
    world_init(w);
    world_add(w, "a", 0);
    world_monitor(w, "a")->kind = GTM_MONITOR_PUSH;
    world_monitor(w, "a")->interval_ms = interval_ms;
    world_apply(w);
    struct health_report r;
    while (health_engine_report(w->engine, "a", &r) != GTM_OK)
        poll(NULL, 0, 1);
}

static void heartbeats_are_results(void **state)
{
    static struct world w;
    begin(&w, 60000);
    assert_int_equal(world_report(&w, "a").health, GTM_HEALTH_UNKNOWN);
    assert_int_equal(health_engine_push(w.engine, "a", true, NULL, NULL), 0);
    struct health_report r = world_wait_probes(&w, "a", 0);
    assert_int_equal(health_engine_push(w.engine, "a", true, "ready\nto serve", NULL), 0);
    r = world_wait(&w, "a", GTM_HEALTH_UP);
    assert_int_equal(r.passes, 2);
    assert_int_equal(r.last, HEALTH_RESULT_OK);
    assert_string_equal(r.evidence, "ready.to serve");
    assert_int_equal(health_engine_push(w.engine, "a", false, NULL, NULL), 0);
    r = world_wait_probes(&w, "a", 0);
    assert_int_equal(health_engine_push(w.engine, "a", false, "disk full", NULL), 0);
    r = world_wait(&w, "a", GTM_HEALTH_DOWN);
    assert_int_equal(r.last, HEALTH_RESULT_ANSWER);
    assert_string_equal(r.evidence, "disk full");
    assert_int_equal(r.fails, 2);
    assert_int_equal(r.probes_total, 4);
    assert_int_equal(r.probes_failed, 2);
    assert_int_equal(w.changes, 2);
    world_fini(&w);
}

static void silence_takes_it_down_and_heartbeats_bring_it_back(void **state)
{
    static struct world w;
    begin(&w, 100);
    assert_int_equal(health_engine_push(w.engine, "a", true, NULL, NULL), 0);
    assert_int_equal(health_engine_push(w.engine, "a", true, NULL, NULL), 0);
    struct health_report r = world_wait(&w, "a", GTM_HEALTH_UP);
    uint64_t beat = world_now_ms();
    r = world_wait(&w, "a", GTM_HEALTH_DOWN);
    assert_true(world_now_ms() - beat >= 150); /* two intervals, less what waiting took */
    assert_int_equal(r.last, HEALTH_RESULT_SILENT);
    assert_non_null(strstr(r.evidence, "no heartbeat for 2"));
    assert_non_null(strstr(r.evidence, " ms"));
    world_wait_probes(&w, "a", 2); /* it goes on being counted */
    assert_int_equal(health_engine_push(w.engine, "a", true, NULL, NULL), 0);
    assert_int_equal(health_engine_push(w.engine, "a", true, NULL, NULL), 0);
    r = world_wait(&w, "a", GTM_HEALTH_UP);
    assert_string_equal(r.evidence, "heartbeat");
    world_fini(&w);
}

static void one_that_never_came_is_silent_too(void **state)
{
    static struct world w;
    begin(&w, 50);
    struct health_report r = world_wait(&w, "a", GTM_HEALTH_DOWN);
    assert_int_equal(r.last, HEALTH_RESULT_SILENT);
    assert_int_equal(w.changes, 1);
    world_fini(&w);
}

static void load_rides_on_heartbeats_once_an_interval(void **state)
{
    static struct world w;
    struct health_load load = {.has = 1 << GTM_LOAD_LOAD, .value = {[GTM_LOAD_LOAD] = 0.5}};
    begin(&w, 60000);
    for (int i = 0; i < 3; i++) {
        load.value[GTM_LOAD_LOAD] = 0.5 + i;
        assert_int_equal(health_engine_push(w.engine, "a", true, NULL, &load), 0);
    }
    while (world_report(&w, "a").probes_total < 3)
        poll(NULL, 0, 1);
    struct health_report r = world_report(&w, "a");
    while ((r = world_report(&w, "a")).load.value[GTM_LOAD_LOAD] != 2.5)
        poll(NULL, 0, 1);
    assert_int_equal(r.load.has, 1 << GTM_LOAD_LOAD);
    assert_true(r.load.wall_ms > 0);
    assert_int_equal(w.loads, 1);
    world_fini(&w);
}

static void who_is_not_there_or_another_kind_is_refused(void **state)
{
    static struct world w;
    begin(&w, 60000);
    world_add(&w, "web", 9);
    world_apply(&w);
    struct health_report r;
    while (health_engine_report(w.engine, "web", &r) != GTM_OK)
        poll(NULL, 0, 1);
    assert_int_equal(health_engine_push(w.engine, "b", true, NULL, NULL), GTM_ENOTFOUND);
    assert_int_equal(health_engine_push(w.engine, "web", true, NULL, NULL), GTM_EINVAL);
    assert_int_equal(health_engine_check_now(w.engine, "a"), GTM_EINVAL);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heartbeats_are_results),
        cmocka_unit_test(silence_takes_it_down_and_heartbeats_bring_it_back),
        cmocka_unit_test(one_that_never_came_is_silent_too),
        cmocka_unit_test(load_rides_on_heartbeats_once_an_interval),
        cmocka_unit_test(who_is_not_there_or_another_kind_is_refused),
    };
    return cmocka_run_group_tests(tests, quiet, NULL);
}
