/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of the engine: life, detection and recovery, changes of the targets, reports, metrics, lack
 * of memory. Times are asserted loosely: exact ones are in test_schedule.
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

static void a_good_server_is_up_soon(void **state)
{
    static struct world w;
    struct server *s = server_new(SERVER_OK, 0);
    world_init(&w);
    world_add(&w, "www/us/web/4", server_port(s));
    world_monitor(&w, "www/us/web/4")->interval_ms = 60000;
    world_monitor(&w, "www/us/web/4")->timeout_ms = 5000;
    int64_t wall = gtm_wall_ms(gtm_clock_system());
    uint64_t begin = world_now_ms();
    world_apply(&w);
    struct health_report r = world_wait(&w, "www/us/web/4", GTM_HEALTH_UP);
    assert_true(world_now_ms() - begin < 2000); /* not after two intervals */
    assert_string_equal(r.key, "www/us/web/4");
    assert_string_equal(r.monitor, "www/us/web/4");
    assert_int_equal(r.passes, 2);
    assert_int_equal(r.fails, 0);
    assert_int_equal(r.last, HEALTH_RESULT_OK);
    assert_string_equal(r.evidence, "HTTP 200");
    assert_int_equal(r.probes_total, 2);
    assert_int_equal(r.probes_failed, 0);
    assert_true(r.last_latency_us > 0 && r.average_latency_us > 0);
    assert_true(r.since_wall_ms >= wall && r.last_wall_ms >= r.since_wall_ms);
    assert_int_equal(w.changes, 1);
    world_fini(&w);
    server_free(s);
}

static void a_killed_server_is_down_soon_and_comes_back(void **state)
{
    static struct world w;
    struct server *s = server_new(SERVER_OK, 0);
    world_init(&w);
    world_add(&w, "a", server_port(s));
    world_monitor(&w, "a")->interval_ms = 500;
    world_monitor(&w, "a")->timeout_ms = 500;
    world_apply(&w);
    world_wait(&w, "a", GTM_HEALTH_UP);
    world_wait_probes(&w, "a", 2);
    server_kill(s);
    uint64_t begin = world_now_ms();
    struct health_report r = world_wait(&w, "a", GTM_HEALTH_DOWN);
    assert_true(world_now_ms() - begin < 2000);
    assert_int_equal(r.last, HEALTH_RESULT_REFUSED);
    assert_string_equal(r.evidence, "connection refused");
    assert_int_equal(r.fails, 2);
    server_revive(s);
    begin = world_now_ms();
    world_wait(&w, "a", GTM_HEALTH_UP);
    assert_true(world_now_ms() - begin < 3000);
    assert_int_equal(w.changes, 3);
    world_fini(&w);
    server_free(s);
}

static void a_hung_server_is_down_soon_and_comes_back(void **state)
{
    static struct world w;
    struct server *s = server_new(SERVER_OK, 0);
    world_init(&w);
    world_add(&w, "a", server_port(s));
    world_monitor(&w, "a")->interval_ms = 500;
    world_monitor(&w, "a")->timeout_ms = 500;
    world_apply(&w);
    world_wait(&w, "a", GTM_HEALTH_UP);
    world_wait_probes(&w, "a", 2);
    server_set_mood(s, SERVER_SILENT);
    uint64_t begin = world_now_ms();
    struct health_report r = world_wait(&w, "a", GTM_HEALTH_DOWN);
    assert_true(world_now_ms() - begin < 3000);
    assert_int_equal(r.last, HEALTH_RESULT_TIMEOUT);
    assert_string_equal(r.evidence, "no answer in 500 ms");
    server_set_mood(s, SERVER_OK);
    world_wait(&w, "a", GTM_HEALTH_UP);
    world_fini(&w);
    server_free(s);
}

static void what_was_known_is_the_start(void **state)
{
    static struct world w;
    struct server *s = server_new(SERVER_OK, 0), *dead = server_new(SERVER_OK, 0);
    server_kill(dead);
    world_init(&w);
    world_add(&w, "was-up", server_port(s))->initial = GTM_HEALTH_UP;
    world_add(&w, "was-down", server_port(dead))->initial = GTM_HEALTH_DOWN;
    world_apply(&w);
    struct health_report r = world_wait_probes(&w, "was-up", 3);
    assert_int_equal(r.health, GTM_HEALTH_UP);
    r = world_wait_probes(&w, "was-down", 3);
    assert_int_equal(r.health, GTM_HEALTH_DOWN);
    assert_int_equal(w.changes, 0);
    world_fini(&w);
    server_free(s);
    server_free(dead);
}

static void apply_changes_only_what_changed(void **state)
{
    static struct world w;
    struct server *stays = server_new(SERVER_OK, 0), *goes = server_new(SERVER_OK, 0),
                  *moves = server_new(SERVER_OK, 0), *next = server_new(SERVER_SILENT, 0);
    world_init(&w);
    world_add(&w, "stays", server_port(stays));
    world_add(&w, "moves", server_port(moves));
    world_add(&w, "goes", server_port(goes));
    for (size_t i = 0; i < w.count; i++)
        w.monitors[i].timeout_ms = 2000;
    world_apply(&w);
    for (size_t i = 0; i < w.count; i++)
        world_wait(&w, w.keys[i], GTM_HEALTH_UP);
    struct health_report before = world_report(&w, "stays");
    int64_t since = world_report(&w, "moves").since_wall_ms;
    unsigned accepts = server_accepts(stays);

    w.count = 2;
    world_monitor(&w, "moves")->port = server_port(next);
    world_apply(&w);
    struct health_report r = world_wait_probes(&w, "stays", 5);
    while (health_engine_report(w.engine, "goes", &r) == GTM_OK)
        poll(NULL, 0, 1);
    unsigned gone = server_requests(goes) + server_accepts(goes),
             left = server_requests(moves) + server_accepts(moves);
    r = world_wait_probes(&w, "stays", 8);
    assert_true(r.passes >= before.passes + 8); /* never started over */
    assert_int_equal(server_accepts(stays), accepts);
    assert_true(server_requests(goes) + server_accepts(goes) <= gone + 1); /* one was in flight */
    assert_true(server_requests(moves) + server_accepts(moves) <= left + 1);
    r = world_report(&w, "moves");
    assert_int_equal(r.health, GTM_HEALTH_UP); /* kept until the new one is known */
    assert_true(r.since_wall_ms == since);
    r = world_wait(&w, "moves", GTM_HEALTH_DOWN);
    assert_true(server_requests(next) >= 2);

    struct health_report *all = NULL;
    size_t count = 0;
    assert_int_equal(health_engine_snapshot(w.engine, &all, &count), GTM_OK);
    assert_int_equal(count, 2);
    assert_string_equal(all[0].key, "stays");
    assert_string_equal(all[1].key, "moves");
    gtm_free(all);
    w.count = 0;
    world_apply(&w);
    while (health_engine_snapshot(w.engine, &all, &count) == GTM_OK && count > 0) {
        gtm_free(all);
        poll(NULL, 0, 1);
    }
    assert_null(all);
    world_fini(&w);
    server_free(stays);
    server_free(goes);
    server_free(moves);
    server_free(next);
}

static void a_removed_targets_connection_is_closed(void **state)
{
    static struct world w;
    struct server *goes = server_new(SERVER_OK, 0), *stays = server_new(SERVER_OK, 0);
    world_init(&w);
    world_add(&w, "stays", server_port(stays));
    world_add(&w, "goes", server_port(goes));
    world_apply(&w);
    world_wait(&w, "stays", GTM_HEALTH_UP);
    world_wait(&w, "goes", GTM_HEALTH_UP);
    assert_true(server_open(goes) >= 1); /* kept alive */
    w.count = 1;
    world_apply(&w);
    uint64_t deadline = world_now_ms() + 5000;
    while (server_open(goes) > 0 && world_now_ms() < deadline)
        poll(NULL, 0, 1);
    assert_int_equal(server_open(goes), 0);
    assert_true(server_open(stays) >= 1);
    world_fini(&w);
    server_free(goes);
    server_free(stays);
}

static int apply_one(struct world *w, struct gtm_error *err)
{
    return health_engine_apply(w->engine, w->targets, w->count, err);
}

static void bad_targets_are_refused_whole(void **state)
{
    static struct world w;
    static char long_text[5000], long_key[HEALTH_KEY_BYTES + 1];
    struct gtm_error err = {0};
    memset(long_text, 'a', sizeof(long_text) - 1);
    memset(long_key, 'k', sizeof(long_key) - 1);
    world_init(&w);
    struct health_target *t = world_add(&w, "a", 80);
    struct gtm_monitor *m = world_monitor(&w, "a"), good = *m;
    struct gtm_monitor bad[] = {good, good, good, good, good, good, good, good, good, good, good};
    bad[0].kind = GTM_MONITOR_PROMETHEUS;
    bad[1].port = 0;
    bad[2].interval_ms = 0;
    bad[3].timeout_ms = 0;
    bad[4].fall = 0;
    bad[5].rise = 0;
    bad[6].path = (char *)"/a b";
    bad[7].host = (char *)"x\r\nX-Evil: 1";
    bad[8].method = (char *)"GET / HTTP/1.1\r\n";
    bad[9].path = (char *)"no-slash";
    bad[10].name = long_text;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        *m = bad[i];
        if (apply_one(&w, &err) != GTM_EINVAL)
            fail_msg("bad monitor %zu was taken", i);
        assert_true(err.text[0] != '\0');
    }
    *m = good;
    m->expect_body = long_text;
    assert_int_equal(apply_one(&w, &err), GTM_ELIMIT);
    *m = good;
    t->family = 77;
    assert_int_equal(apply_one(&w, &err), GTM_EINVAL);
    t->family = AF_INET;
    t->key = "";
    assert_int_equal(apply_one(&w, NULL), GTM_EINVAL);
    t->key = long_key;
    assert_int_equal(apply_one(&w, &err), GTM_EINVAL);
    t->key = "a";
    t->monitor = NULL;
    assert_int_equal(apply_one(&w, &err), GTM_EINVAL);
    t->monitor = m;
    world_add(&w, "a", 81);
    assert_int_equal(apply_one(&w, &err), GTM_EEXIST);
    assert_int_equal(health_engine_apply(w.engine, w.targets, HEALTH_TARGETS_MAX + 1, &err),
                     GTM_ELIMIT);
    struct health_report r;
    assert_int_equal(health_engine_report(w.engine, "a", &r), GTM_ENOTFOUND);
    world_fini(&w);
}

static void check_now_does_not_wait(void **state)
{
    static struct world w;
    struct server *s = server_new(SERVER_OK, 0);
    world_init(&w);
    world_add(&w, "a", server_port(s));
    world_monitor(&w, "a")->interval_ms = 3600000;
    world_monitor(&w, "a")->timeout_ms = 5000;
    world_apply(&w);
    world_wait(&w, "a", GTM_HEALTH_UP);
    uint64_t probes = world_report(&w, "a").probes_total;
    assert_int_equal(health_engine_check_now(w.engine, "a"), GTM_OK);
    assert_int_equal(world_wait_total(&w, "a", probes + 1).probes_total, probes + 1);
    assert_int_equal(health_engine_check_now(w.engine, "b"), GTM_ENOTFOUND);
    world_fini(&w);
    server_free(s);
}

static void metrics_say_what_happened(void **state)
{
    static struct world w;
    struct server *s = server_new(SERVER_OK, 0), *bad = server_new(SERVER_UNAVAILABLE, 0);
    world_init(&w);
    world_add(&w, "good", server_port(s));
    world_add(&w, "bad", server_port(bad));
    world_apply(&w);
    world_wait(&w, "good", GTM_HEALTH_UP);
    world_wait(&w, "bad", GTM_HEALTH_DOWN);
    struct gtm_metrics m = {0};
    health_engine_metrics(w.engine, &m);
    const char *text = m.out.data;
    assert_false(m.out.failed);
    assert_non_null(strstr(text, "# TYPE gtm_health_checks_total counter"));
    const char *ok = strstr(text, "gtm_health_checks_total{monitor=\"good\",result=\"ok\"} ");
    const char *status =
        strstr(text, "gtm_health_checks_total{monitor=\"bad\",result=\"status\"} ");
    assert_non_null(ok);
    assert_non_null(status);
    assert_true(strtod(strchr(ok, '}') + 1, NULL) >= 2);
    assert_true(strtod(strchr(status, '}') + 1, NULL) >= 2);
    assert_non_null(strstr(text, "gtm_health_checks_total{monitor=\"bad\",result=\"ok\"} 0\n"));
    assert_non_null(strstr(text, "# TYPE gtm_health_check_duration_seconds histogram"));
    assert_non_null(strstr(text, "gtm_health_check_duration_seconds_bucket{"));
    assert_non_null(strstr(text, "le=\"+Inf\""));
    assert_non_null(strstr(text, "gtm_health_start_jitter_seconds_count "));
    assert_non_null(strstr(text, "gtm_health_targets{health=\"up\"} 1\n"));
    assert_non_null(strstr(text, "gtm_health_targets{health=\"down\"} 1\n"));
    assert_non_null(strstr(text, "gtm_health_stalled_seconds_total "));
    gtm_buf_fini(&m.out);
    world_fini(&w);
    server_free(s);
    server_free(bad);
}

/* While this process does not run, the servers' time-outs do not either. */
static void our_own_stall_is_not_the_servers_fault(void **state)
{
    static struct world w;
    struct server *s = server_new(SERVER_SLOW, 0), *trigger = server_new(SERVER_OK, 0);
    world_init(&w);
    world_add(&w, "slow", server_port(s));
    world_monitor(&w, "slow")->interval_ms = 150;
    world_monitor(&w, "slow")->timeout_ms = 400;
    world_add(&w, "trigger", server_port(trigger));
    world_apply(&w);
    world_wait(&w, "trigger", GTM_HEALTH_UP);
    world_wait(&w, "slow", GTM_HEALTH_UP);
    uint64_t failed = world_report(&w, "slow").probes_failed;
    w.block_ms = 1500; /* the engine's thread, in the middle of probes of the slow one */
    server_kill(trigger);
    world_wait(&w, "trigger", GTM_HEALTH_DOWN);
    struct health_report r = world_wait_probes(&w, "slow", 10);
    assert_int_equal(r.health, GTM_HEALTH_UP);
    assert_int_equal(r.probes_failed, failed);
    struct gtm_metrics m = {0};
    health_engine_metrics(w.engine, &m);
    const char *stalled = strstr(m.out.data, "\ngtm_health_stalled_seconds_total ");
    assert_non_null(stalled);
    assert_true(strtod(strchr(stalled, ' '), NULL) > 1.0);
    gtm_buf_fini(&m.out);
    world_fini(&w);
    server_free(s);
    server_free(trigger);
}

struct asker {
    struct world *world;
    unsigned nth;
    pthread_t thread;
};

/* Asks in every way; the odd ones also change the targets. */
static void *ask_all(void *ctx)
{
    struct asker *asker = ctx;
    struct health_engine *engine = asker->world->engine;
    for (unsigned i = 0; i < 100; i++) {
        struct health_report *reports = NULL, one;
        struct gtm_metrics m = {0};
        size_t count = 0;
        int rc = health_engine_report(engine, "a", &one);
        assert_true(rc == GTM_OK || rc == GTM_ENOTFOUND);
        assert_int_equal(health_engine_snapshot(engine, &reports, &count), GTM_OK);
        gtm_free(reports);
        health_engine_metrics(engine, &m);
        gtm_buf_fini(&m.out);
        rc = health_engine_check_now(engine, "b");
        assert_true(rc == GTM_OK || rc == GTM_ENOTFOUND);
        if (asker->nth % 2)
            assert_int_equal(health_engine_apply(engine, asker->world->targets, i % 3, NULL),
                             GTM_OK);
        poll(NULL, 0, 1);
    }
    return NULL;
}

static void any_thread_may_ask(void **state)
{
    static struct world w;
    struct server *s = server_new(SERVER_OK, 0);
    struct asker askers[4];
    world_init(&w);
    world_add(&w, "a", server_port(s));
    world_add(&w, "b", server_port(s));
    world_add(&w, "c", server_port(s));
    for (size_t i = 0; i < w.count; i++) {
        w.monitors[i].interval_ms = 10;
        w.monitors[i].timeout_ms = 5000;
    }
    world_monitor(&w, "b")->kind = GTM_MONITOR_TCP;
    world_apply(&w);
    for (unsigned i = 0; i < 4; i++) {
        askers[i] = (struct asker){.world = &w, .nth = i};
        assert_int_equal(pthread_create(&askers[i].thread, NULL, ask_all, &askers[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++)
        pthread_join(askers[i].thread, NULL);
    world_apply(&w);
    for (size_t i = 0; i < w.count; i++)
        world_wait(&w, w.keys[i], GTM_HEALTH_UP);
    world_fini(&w);
    server_free(s);
}

static void free_drops_what_is_in_flight(void **state)
{
    static struct world w;
    struct server *s = server_new(SERVER_SILENT, 0);
    world_init(&w);
    world_add(&w, "http", server_port(s));
    world_add(&w, "tcp", server_port(s));
    world_monitor(&w, "tcp")->kind = GTM_MONITOR_TCP;
    world_monitor(&w, "tcp")->expect_body = (char *)"x";
    world_monitor(&w, "tcp")->timeout_ms = 60000;
    world_monitor(&w, "http")->timeout_ms = 60000;
    world_apply(&w);
    while (server_accepts(s) < 2)
        poll(NULL, 0, 1);
    world_fini(&w);
    world_init(&w); /* and one that never ran anything */
    world_fini(&w);
    health_engine_free(NULL);
    server_free(s);
}

/* Fails the n-th allocation from apply on, on whichever thread: the engine must survive, and be
 * whole again with the next apply. */
static void lack_of_memory_leaves_the_targets(void **state)
{
    static struct world w;
    struct server *s = server_new(SERVER_OK, 0);
    unsigned refused = 0;
    world_init(&w);
    world_add(&w, "a", server_port(s));
    world_monitor(&w, "a")->timeout_ms = 5000;
    world_monitor(&w, "a")->interval_ms = 20;
    world_apply(&w);
    world_wait(&w, "a", GTM_HEALTH_UP);
    for (unsigned n = 1; n <= 60; n++) {
        char key[32];
        struct gtm_error err = {0};
        w.count = 1;
        snprintf(key, sizeof(key), "b%u", n);
        struct health_target *t = world_add(&w, key, server_port(s));
        t->initial = GTM_HEALTH_UP;
        world_monitor(&w, key)->host = (char *)"example.com";
        world_monitor(&w, key)->expect_body = (char *)"well";
        world_monitor(&w, key)->timeout_ms = 5000;
        gtm_mem_fail_at(n, 0);
        int rc = apply_one(&w, &err);
        refused += rc == GTM_ENOMEM;
        assert_true(rc == GTM_OK || rc == GTM_ENOMEM);
        world_wait_probes(&w, "a", 1);
        gtm_mem_fail_at(0, 0);
        struct health_report r = world_report(&w, "a");
        assert_int_equal(r.health, GTM_HEALTH_UP);
        assert_int_equal(r.probes_failed, 0);
    }
    assert_true(refused >= 10);
    world_apply(&w);
    world_wait_probes(&w, w.keys[1], 2);
    world_fini(&w);
    server_free(s);
}

static void new_reports_no_memory(void **state)
{
    struct health_engine_opts opts = {0};
    unsigned failed = 0;
    for (unsigned n = 1; n < 30; n++) {
        struct gtm_error err = {0};
        gtm_mem_fail_at(n, 0);
        struct health_engine *engine = health_engine_new(&opts, &err);
        gtm_mem_fail_at(0, 0);
        failed += engine == NULL;
        if (!engine)
            assert_true(err.code != 0 && err.text[0] != '\0');
        health_engine_free(engine);
    }
    assert_in_range(failed, 5, 28);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_server_is_up_soon),
        cmocka_unit_test(a_killed_server_is_down_soon_and_comes_back),
        cmocka_unit_test(a_hung_server_is_down_soon_and_comes_back),
        cmocka_unit_test(what_was_known_is_the_start),
        cmocka_unit_test(apply_changes_only_what_changed),
        cmocka_unit_test(a_removed_targets_connection_is_closed),
        cmocka_unit_test(bad_targets_are_refused_whole),
        cmocka_unit_test(check_now_does_not_wait),
        cmocka_unit_test(metrics_say_what_happened),
        cmocka_unit_test(our_own_stall_is_not_the_servers_fault),
        cmocka_unit_test(any_thread_may_ask),
        cmocka_unit_test(free_drops_what_is_in_flight),
        cmocka_unit_test(lack_of_memory_leaves_the_targets),
        cmocka_unit_test(new_reports_no_memory),
    };
    return cmocka_run_group_tests(tests, quiet, NULL);
}
