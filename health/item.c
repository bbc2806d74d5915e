/* SPDX-License-Identifier: Apache-2.0
 *
 * One target: carries out the steps of its schedule, and makes public what they come to. See
 * engine.h; the engine's thread.
 */
#include "health/engine.h"

#include "gtm/base/mem.h"

#include <string.h>

#define LOCAL_LOGS_PER_MINUTE 6
#define LAG_FACTOR            4 /* a probe meets our own slowness at several of its steps */

static struct health_stats *stats_new(const char *monitor)
{
    struct health_stats *stats = gtm_calloc(1, sizeof(*stats));
    if (stats)
        stats->monitor = gtm_strdup(monitor);
    if (stats && !stats->monitor) {
        gtm_free(stats);
        return NULL;
    }
    return stats;
}

static void stats_free(struct health_stats *stats)
{
    gtm_free(stats->monitor);
    gtm_free(stats);
}

/* The monitor's counters, made on first use. */
static struct health_stats *stats_take(struct health_engine *engine, const char *monitor)
{
    struct health_stats *stats = gtm_map_get(engine->stats, monitor), *made = NULL;
    if (!stats && !(stats = made = stats_new(monitor)))
        return NULL;
    pthread_mutex_lock(&engine->lock);
    bool kept = !made || gtm_map_put(engine->stats, monitor, made, NULL) == GTM_OK;
    stats->users++;
    pthread_mutex_unlock(&engine->lock);
    if (kept)
        return stats;
    stats_free(made);
    return NULL;
}

static void stats_give(struct health_engine *engine, struct health_stats *stats)
{
    if (!stats)
        return;
    pthread_mutex_lock(&engine->lock);
    bool last = --stats->users == 0;
    if (last)
        gtm_map_remove(engine->stats, stats->monitor);
    pthread_mutex_unlock(&engine->lock);
    if (last)
        stats_free(stats);
}

struct health_item *health__item_new(struct health_engine *engine, struct health_spec *spec,
                                     const struct health_item *old, unsigned first_ms)
{
    struct health_item *item = gtm_calloc(1, sizeof(*item));
    if (!item)
        return NULL;
    item->engine = engine;
    item->ops = health_probe_ops_of(spec->kind);
    item->stats = stats_take(engine, spec->monitor);
    item->prober = item->stats && item->ops ? item->ops->open(&engine->io, spec) : NULL;
    if (!item->prober) {
        health__item_free(item);
        return NULL;
    }
    item->spec = spec;
    for (unsigned i = 0; i < HEALTH_FLIGHTS_MAX; i++) {
        item->probes[i].io = &engine->io;
        item->probes[i].owner = item;
        item->probes[i].slot = i;
    }
    if (old)
        item->pub = old->pub;
    else
        item->pub.since_wall_ms = gtm_wall_ms(engine->clock);
    health_schedule_init(&item->schedule, &spec->rules, old ? old->pub.health : spec->initial,
                         health__now_ns(engine), first_ms, &engine->rand);
    item->pub.health = item->schedule.damping.health;
    item->pub.passes = 0;
    item->pub.fails = 0;
    /* Its evidence would be told with the new expectations; its latency was another server's. */
    item->pub.last = (struct health_outcome){0};
    item->pub.average_us = 0;
    return item;
}

static enum health_phase stop_probe(struct health_item *item, unsigned slot)
{
    item->engine->in_flight--;
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a probe that runs has a kind */
    return item->ops->cancel(item->prober, &item->probes[slot]);
}

void health__item_free(struct health_item *item)
{
    if (!item)
        return;
    if (item->ops && item->prober) {
        for (unsigned i = 0; i < HEALTH_FLIGHTS_MAX; i++)
            if (item->probes[i].run || item->probes[i].ended)
                stop_probe(item, i);
        item->ops->close(item->prober);
    }
    health_queue_remove(&item->engine->queue, &item->node);
    stats_give(item->engine, item->stats);
    health_spec_free(item->spec);
    gtm_free(item);
}

static void start_probe(struct health_item *item, unsigned slot)
{
    struct health_engine *engine = item->engine;
    const struct health_schedule *s = &item->schedule;
    const struct health_flight *flight = &s->flights[slot];
    if (!flight->confirm) {
        pthread_mutex_lock(&engine->lock);
        health__histogram_add(&engine->jitter, (flight->start_ns - s->started_due_ns) / 1000u);
        pthread_mutex_unlock(&engine->lock);
    }
    engine->in_flight++;
    health__probe_begin(&item->probes[slot]);
    item->ops->start(item->prober, &item->probes[slot], flight->confirm);
}

/* The time-out is the schedule's word; the kind only says how far the probe got. */
static void expire_probe(struct health_item *item, unsigned slot)
{
    struct health_probe *probe = &item->probes[slot];
    enum health_phase phase = stop_probe(item, slot);
    probe->outcome = (struct health_outcome){
        .result = HEALTH_RESULT_TIMEOUT,
        .phase = phase,
        .latency_us = item->schedule.flights[slot].latency_us,
    };
}

static void log_local(struct health_engine *engine, const struct health_report *report)
{
    uint64_t held_back = 0;
    if (gtm_log_allow(&engine->local_limit, gtm_mono_ms(engine->clock), LOCAL_LOGS_PER_MINUTE,
                      &held_back))
        gtm_log(GTM_LOG_WARN, "health", "a check could not be made here",
                gtm_kv_str("target", report->key), gtm_kv_str("evidence", report->evidence),
                gtm_kv_int("held_back", (int64_t)held_back));
}

static void publish(struct health_item *item, const struct health_outcome *outcome, bool changed)
{
    struct health_public *pub = &item->pub;
    const struct health_damping *damping = &item->schedule.damping;
    enum health_result_class class = health_result_class(outcome->result);
    int64_t wall_ms = gtm_wall_ms(item->engine->clock);

    item->stats->results[outcome->result]++;
    if (class != HEALTH_CLASS_LOCAL)
        health__histogram_add(&item->stats->duration, outcome->latency_us);
    pub->probes_total++;
    pub->probes_failed += class == HEALTH_CLASS_TRANSPORT || class == HEALTH_CLASS_CONTENT;
    pub->probes_local += class == HEALTH_CLASS_LOCAL;
    pub->last = *outcome;
    pub->last_wall_ms = wall_ms;
    pub->passes = damping->passes;
    pub->fails = damping->fails;
    pub->average_us = item->schedule.average_us;
    pub->health = damping->health;
    if (changed)
        pub->since_wall_ms = wall_ms;
}

static void count(struct health_item *item, unsigned slot, bool changed)
{
    struct health_engine *engine = item->engine;
    const struct health_outcome *outcome = &item->probes[slot].outcome;
    enum gtm_health old = item->pub.health;
    bool local = outcome->result == HEALTH_RESULT_LOCAL;
    struct health_report report;

    pthread_mutex_lock(&engine->lock);
    publish(item, outcome, changed);
    if (changed || local)
        health__report_fill(item, &report);
    pthread_mutex_unlock(&engine->lock);
    if (local)
        log_local(engine, &report);
    if (!changed)
        return;
    gtm_log(GTM_LOG_INFO, "health", "health changed", gtm_kv_str("target", report.key),
            gtm_kv_str("from", gtm_health_word(old)),
            gtm_kv_str("to", gtm_health_word(report.health)),
            gtm_kv_str("evidence", report.evidence));
    if (engine->opts.on_change)
        engine->opts.on_change(engine->opts.ctx, &report, old);
}

void health__item_run(struct health_item *item, uint64_t now_ns)
{
    unsigned slot = 0;
    bool changed;
    enum health_step step;
    item->schedule.slack_us = item->engine->lag_us * LAG_FACTOR;
    while ((step = health_schedule_step(&item->schedule, now_ns, &slot, &changed)) !=
           HEALTH_STEP_NONE) {
        if (step == HEALTH_STEP_START)
            start_probe(item, slot);
        else if (step == HEALTH_STEP_EXPIRE)
            expire_probe(item, slot);
        else if (step == HEALTH_STEP_CANCEL)
            stop_probe(item, slot);
        else
            count(item, slot, changed);
    }
    health_queue_set(&item->engine->queue, &item->node, health_schedule_wake_ns(&item->schedule));
}

void health__item_done(void *ctx, struct health_probe *probe)
{
    struct health_engine *engine = ctx;
    struct health_item *item = probe->owner;
    enum health_outcome_kind kind = HEALTH_FAIL;
    if (probe->outcome.result == HEALTH_RESULT_OK)
        kind = HEALTH_PASS;
    else if (probe->outcome.result == HEALTH_RESULT_LOCAL)
        kind = HEALTH_VOID;
    engine->in_flight--;
    health_schedule_result(&item->schedule, probe->slot, kind, probe->outcome.latency_us);
    health__item_run(item, health__now_ns(engine));
}
