/* SPDX-License-Identifier: Apache-2.0
 *
 * One probe: carries out the steps of its schedule, and makes public what they come to, for every
 * target that shares it. See engine.h; the engine's thread.
 */
#include "health/engine.h"

#include "gtm/base/mem.h"
#include "health/load.h"

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

struct health_item *health__item_new(struct health_engine *engine, struct health_spec *spec)
{
    struct health_item *item = gtm_calloc(1, sizeof(*item));
    if (!item)
        return NULL;
    item->engine = engine;
    item->stats = stats_take(engine, spec->monitor);
    item->ops = health_probe_ops_of(spec->kind);
    if (item->stats && item->ops)
        item->prober = item->ops->open(&engine->io, spec);
    if (!item->stats || (!item->prober && spec->kind != GTM_MONITOR_PUSH)) {
        health__item_free(item);
        return NULL;
    }
    item->spec = spec;
    for (unsigned i = 0; i < HEALTH_FLIGHTS_MAX; i++) {
        item->probes[i].io = &engine->io;
        item->probes[i].owner = item;
        item->probes[i].slot = i;
    }
    return item;
}

/* Not its evidence, which would be told with the new expectations, nor its latency, which was
 * another server's. */
void health__item_inherit(struct health_item *item, const struct health_item *old)
{
    item->pub.probes_total = old->pub.probes_total;
    item->pub.probes_failed = old->pub.probes_failed;
    item->pub.probes_local = old->pub.probes_local;
    item->pub.last_wall_ms = old->pub.last_wall_ms;
}

void health__item_begin(struct health_item *item, enum gtm_health known, unsigned first_ms)
{
    uint64_t now_ns = health__now_ns(item->engine);
    health_schedule_init(&item->schedule, &item->spec->rules, known, now_ns, first_ms,
                         &item->engine->rand);
    if (!item->ops)
        health__push_begin(item, now_ns);
}

static enum health_phase stop_probe(struct health_item *item, unsigned slot)
{
    struct health_probe *probe = &item->probes[slot];
    item->engine->in_flight--;
    enum health_phase phase = health__probe_cancel(item->ops, item->prober, probe);
    health_outcome_clear(&probe->outcome);
    return phase;
}

void health__item_free(struct health_item *item)
{
    if (!item)
        return;
    if (item->prober) {
        for (unsigned i = 0; i < HEALTH_FLIGHTS_MAX; i++) {
            if (item->probes[i].run || item->probes[i].ended)
                stop_probe(item, i);
            health_outcome_clear(&item->probes[i].outcome);
        }
        item->ops->close(item->prober);
    }
    health_queue_remove(&item->engine->queue, &item->node);
    stats_give(item->engine, item->stats);
    health_outcome_clear(&item->pub.last);
    gtm_free(item->pub.load_error);
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
    if (item->probes[slot].waiting)
        health_schedule_hold(&item->schedule, slot);
}

/* The time-out is the schedule's word; the kind only says how far the probe got. One that was never
 * begun here says nothing about the target. */
static void expire_probe(struct health_item *item, unsigned slot)
{
    struct health_probe *probe = &item->probes[slot];
    bool waited = probe->waiting;
    enum health_phase phase = stop_probe(item, slot);
    probe->outcome = (struct health_outcome){
        .result = waited ? HEALTH_RESULT_LOCAL : HEALTH_RESULT_TIMEOUT,
        .phase = phase,
        .latency_us = item->schedule.flights[slot].latency_us,
    };
    if (!waited)
        return;
    probe->outcome.text = gtm_strdup("not checked: too many programs run here already");
    health_schedule_void(&item->schedule, slot);
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

/* Under the lock. Takes the outcome's text. */
static void publish(struct health_item *item, struct health_outcome *outcome)
{
    struct health_public *pub = &item->pub;
    const struct health_damping *damping = &item->schedule.damping;
    enum health_result_class class = health_result_class(outcome->result);

    item->stats->results[outcome->result]++;
    if (class != HEALTH_CLASS_LOCAL && item->ops)
        health__histogram_add(&item->stats->duration, outcome->latency_us);
    pub->probes_total++;
    pub->probes_failed += class == HEALTH_CLASS_TRANSPORT || class == HEALTH_CLASS_CONTENT;
    pub->probes_local += class == HEALTH_CLASS_LOCAL;
    gtm_free(pub->last.text);
    pub->last = *outcome;
    pub->last.body = NULL;
    outcome->text = NULL;
    pub->last_wall_ms = gtm_wall_ms(item->engine->clock);
    pub->passes = damping->passes;
    pub->fails = damping->fails;
    pub->average_us = item->schedule.average_us;
    if (outcome->cert_expires_wall_ms != 0)
        pub->cert_expires_wall_ms = outcome->cert_expires_wall_ms;
}

/* --- load reports --- */

void health__item_load(struct health_item *item, const struct health_load *load)
{
    struct health_engine *engine = item->engine;
    uint64_t now_ns = health__now_ns(engine);
    uint64_t interval_ns = item->spec->rules.interval_ms * 1000000ull;
    /* Probes that confirm, or heartbeats in a hurry, are not to be told one by one. A little less
     * than an interval, or a probe that starts a little early would be left out. */
    bool tell = item->load_told_ns == 0 || now_ns - item->load_told_ns >= interval_ns * 9 / 10;
    pthread_mutex_lock(&engine->lock);
    item->stats->load_reports++;
    item->pub.load = *load;
    pthread_mutex_unlock(&engine->lock);
    if (!tell || !engine->opts.on_load)
        return;
    item->load_told_ns = now_ns;
    for (const struct health_member *m = item->members; m; m = m->next) {
        struct health_report report;
        pthread_mutex_lock(&engine->lock);
        health__report_fill(m, &report);
        pthread_mutex_unlock(&engine->lock);
        engine->opts.on_load(engine->opts.ctx, &report);
    }
}

/* `why` is NULL when the report could be read in full. */
static void note_load_error(struct health_item *item, const char *why)
{
    struct health_engine *engine = item->engine;
    char *text = why ? gtm_strdup(why) : NULL;
    pthread_mutex_lock(&engine->lock);
    gtm_free(item->pub.load_error);
    item->pub.load_error = text;
    item->stats->load_errors += why != NULL;
    pthread_mutex_unlock(&engine->lock);
    if (why && !item->load_complained)
        gtm_log(GTM_LOG_WARN, "health", "the load report cannot be read",
                gtm_kv_str("target", item->spec->key), gtm_kv_str("error", why));
    item->load_complained = why != NULL;
}

/* A wrong report never fails a check. */
static void read_load(struct health_item *item, const struct health_outcome *outcome)
{
    struct health_load load = {0};
    struct gtm_error err = {0};
    int rc = health_load_parse(outcome->body, outcome->body_len,
                               (const char *const *)item->spec->load_pointer, &load, &err);
    note_load_error(item, rc == GTM_OK ? NULL : err.text);
    load.wall_ms = gtm_wall_ms(item->engine->clock);
    if (load.has != 0)
        health__item_load(item, &load);
}

/* --- results --- */

void health__item_publish(struct health_item *item, struct health_outcome *outcome)
{
    struct health_engine *engine = item->engine;
    bool local = outcome->result == HEALTH_RESULT_LOCAL;
    struct health_report report;

    pthread_mutex_lock(&engine->lock);
    publish(item, outcome);
    if (local)
        health__report_fill(item->members, &report);
    pthread_mutex_unlock(&engine->lock);
    if (local)
        log_local(engine, &report);
    if (outcome->body)
        read_load(item, outcome);
    health_outcome_clear(outcome);
}

static void log_change(const struct health_report *report, enum gtm_health old)
{
    gtm_log(
        GTM_LOG_INFO, "health", "health changed", gtm_kv_str("target", report->key),
        gtm_kv_str("from", gtm_health_word(old)), gtm_kv_str("to", gtm_health_word(report->health)),
        gtm_kv_str("evidence", report->evidence), gtm_kv_int("shared", (int64_t)report->shared));
}

void health__item_align(struct health_item *item)
{
    struct health_engine *engine = item->engine;
    enum gtm_health health = item->schedule.damping.health;
    bool logged = false;
    if (health == GTM_HEALTH_UNKNOWN)
        return;
    for (struct health_member *m = item->members; m; m = m->next) {
        enum gtm_health old = m->health;
        struct health_report report;
        if (old == health)
            continue;
        pthread_mutex_lock(&engine->lock);
        m->health = health;
        m->since_wall_ms = gtm_wall_ms(engine->clock);
        health__report_fill(m, &report);
        pthread_mutex_unlock(&engine->lock);
        if (!logged)
            log_change(&report, old);
        logged = true; /* once for all that share the probe */
        if (engine->opts.on_change)
            engine->opts.on_change(engine->opts.ctx, &report, old);
    }
}

void health__item_run(struct health_item *item, uint64_t now_ns)
{
    unsigned slot = 0;
    bool changed;
    enum health_step step;
    if (!item->ops) {
        health__push_run(item, now_ns);
        return;
    }
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
            health__item_publish(item, &item->probes[slot].outcome);
        if (changed)
            health__item_align(item);
    }
    health_queue_set(&item->engine->queue, &item->node, health_schedule_wake_ns(&item->schedule));
}

void health__item_begun(void *ctx, struct health_probe *probe)
{
    struct health_engine *engine = ctx;
    struct health_item *item = probe->owner;
    uint64_t now_ns = health__now_ns(engine);
    health_schedule_begun(&item->schedule, probe->slot, now_ns);
    health__probe_begin(probe);
    health_queue_set(&engine->queue, &item->node, health_schedule_wake_ns(&item->schedule));
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
