/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine under test. See health_world.h.
 */
#include "tests/support/health_world.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define WAIT_MS 10000

uint64_t world_now_ms(void)
{
    return gtm_mono_ms(gtm_clock_system());
}

static void on_change(void *ctx, const struct health_report *report, enum gtm_health old)
{
    struct world *world = ctx;
    assert_int_not_equal(report->health, old);
    assert_int_not_equal(report->health, GTM_HEALTH_UNKNOWN);
    atomic_fetch_add(&world->changes, 1);
    int ms = atomic_exchange(&world->block_ms, 0);
    if (ms > 0)
        poll(NULL, 0, ms);
}

static void on_load(void *ctx, const struct health_report *report)
{
    struct world *world = ctx;
    assert_int_not_equal(report->load.has, 0);
    atomic_fetch_add(&world->loads, 1);
}

void world_init(struct world *world)
{
    world_init_opts(world, &(struct health_engine_opts){0});
}

void world_init_opts(struct world *world, const struct health_engine_opts *with)
{
    struct gtm_error err = {0};
    struct health_engine_opts opts = *with;
    memset(world, 0, sizeof(*world));
    opts.seed = 1;
    opts.on_change = on_change;
    opts.on_load = on_load;
    opts.ctx = world;
    world->engine = health_engine_new(&opts, &err);
    assert_non_null(world->engine);
}

void world_fini(struct world *world)
{
    health_engine_free(world->engine);
}

struct health_target *world_add(struct world *world, const char *key, uint16_t port)
{
    assert_true(world->count < WORLD_TARGETS);
    size_t i = world->count++;
    snprintf(world->keys[i], sizeof(world->keys[i]), "%s", key);
    world->monitors[i] = (struct gtm_monitor){
        .name = world->keys[i],
        .kind = GTM_MONITOR_HTTP,
        .port = port,
        .interval_ms = 100,
        .timeout_ms = 300,
        .fall = 2,
        .rise = 2,
    };
    struct health_target *target = &world->targets[i];
    *target = (struct health_target){
        .key = world->keys[i], .family = AF_INET, .monitor = &world->monitors[i]};
    target->addr.v4.s_addr = htonl(INADDR_LOOPBACK);
    return target;
}

struct gtm_monitor *world_monitor(struct world *world, const char *key)
{
    for (size_t i = 0; i < world->count; i++)
        if (strcmp(world->keys[i], key) == 0)
            return &world->monitors[i];
    fail_msg("no monitor %s", key);
    return NULL;
}

void world_apply(struct world *world)
{
    struct gtm_error err = {0};
    if (health_engine_apply(world->engine, world->targets, world->count, &err) != GTM_OK)
        fail_msg("apply: %s", err.text);
}

/* A zero report while an apply has not taken effect. */
static struct health_report try_report(struct world *world, const char *key)
{
    struct health_report report;
    if (health_engine_report(world->engine, key, &report) != GTM_OK)
        memset(&report, 0, sizeof(report));
    return report;
}

struct health_report world_report(struct world *world, const char *key)
{
    struct health_report report;
    assert_int_equal(health_engine_report(world->engine, key, &report), GTM_OK);
    return report;
}

/* Looks again every 2 ms until a deadline; a watched state, never a guess at a duration. */
static struct health_report wait_for(struct world *world, const char *key,
                                     bool (*done)(const struct health_report *, uint64_t),
                                     uint64_t arg)
{
    uint64_t deadline = world_now_ms() + WAIT_MS;
    for (;;) {
        struct health_report report = try_report(world, key);
        if (report.key[0] && done(&report, arg))
            return report;
        if (world_now_ms() > deadline)
            fail_msg("%s: health %s, last %s (%s), %u probes", key, gtm_health_word(report.health),
                     health_result_word(report.last), report.evidence,
                     (unsigned)report.probes_total);
        poll(NULL, 0, 2);
    }
}

static bool has_health(const struct health_report *report, uint64_t health)
{
    return report->health == (enum gtm_health)health;
}

static bool has_probes(const struct health_report *report, uint64_t probes)
{
    return report->probes_total >= probes;
}

static bool has_result(const struct health_report *report, uint64_t result)
{
    return report->last == (enum health_result)result;
}

struct health_report world_wait(struct world *world, const char *key, enum gtm_health health)
{
    return wait_for(world, key, has_health, health);
}

struct health_report world_wait_probes(struct world *world, const char *key, unsigned more)
{
    return wait_for(world, key, has_probes, try_report(world, key).probes_total + more);
}

struct health_report world_wait_total(struct world *world, const char *key, uint64_t total)
{
    return wait_for(world, key, has_probes, total);
}

struct health_report world_wait_result(struct world *world, const char *key,
                                       enum health_result result)
{
    return wait_for(world, key, has_result, result);
}
