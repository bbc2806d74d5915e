/* SPDX-License-Identifier: Apache-2.0
 *
 * What others see of the engine: reports and metrics, copied under its lock. See health.h; any
 * thread.
 */
#include "gtm/base/mem.h"
#include "health/engine.h"

#include <stdio.h>
#include <string.h>

static const uint64_t bounds_us[HEALTH_BUCKETS] = {1000,    2500,    5000,    10000,  25000,
                                                   50000,   100000,  250000,  500000, 1000000,
                                                   2500000, 5000000, 10000000};

void health__histogram_add(struct health_histogram *histogram, uint64_t us)
{
    unsigned i = 0;
    while (i < HEALTH_BUCKETS && us > bounds_us[i])
        i++;
    histogram->buckets[i]++;
    histogram->count++;
    histogram->sum_us += us;
}

void health__report_fill(const struct health_member *member, struct health_report *r)
{
    const struct health_item *item = member->item;
    const struct health_public *pub = &item->pub;
    memset(r, 0, sizeof(*r));
    snprintf(r->key, sizeof(r->key), "%s", member->key);
    snprintf(r->monitor, sizeof(r->monitor), "%s", item->spec->monitor);
    r->health = member->health;
    r->since_wall_ms = member->since_wall_ms;
    r->passes = pub->passes;
    r->fails = pub->fails;
    r->last = pub->last.result;
    health_outcome_text(&pub->last, item->spec, r->evidence);
    r->last_latency_us = pub->last.latency_us;
    r->average_latency_us = pub->average_us;
    r->last_wall_ms = pub->last_wall_ms;
    r->probes_total = pub->probes_total;
    r->probes_failed = pub->probes_failed;
    r->probes_local = pub->probes_local;
    r->cert_expires_wall_ms = pub->cert_expires_wall_ms;
    r->load = pub->load;
    if (pub->load_error)
        snprintf(r->load_error, sizeof(r->load_error), "%s", pub->load_error);
    r->shared = item->members_count > 0 ? item->members_count - 1 : 0;
}

int health_engine_snapshot(struct health_engine *engine, struct health_report **ret_reports,
                           size_t *ret_count)
{
    struct health_report *reports = NULL;
    pthread_mutex_lock(&engine->lock);
    size_t count = engine->count;
    if (count > 0)
        reports = gtm_malloc(count * sizeof(*reports));
    for (size_t i = 0; reports && i < count; i++)
        health__report_fill(engine->members[i], &reports[i]);
    pthread_mutex_unlock(&engine->lock);
    if (count > 0 && !reports)
        return GTM_ENOMEM;
    *ret_reports = reports;
    *ret_count = count;
    return GTM_OK;
}

static bool notable(const struct health_member *member, int64_t cert_before_wall_ms)
{
    const struct health_public *pub = &member->item->pub;
    return (pub->cert_expires_wall_ms != 0 && pub->cert_expires_wall_ms <= cert_before_wall_ms) ||
           pub->last.result == HEALTH_RESULT_LOCAL;
}

int health_engine_notable(struct health_engine *engine, int64_t cert_before_wall_ms, size_t max,
                          struct health_report **ret_reports, size_t *ret_count)
{
    struct health_report *reports = NULL;
    size_t count = 0, filled = 0;
    pthread_mutex_lock(&engine->lock);
    for (size_t i = 0; i < engine->count && count < max; i++)
        count += notable(engine->members[i], cert_before_wall_ms);
    if (count > 0)
        reports = gtm_malloc(count * sizeof(*reports));
    for (size_t i = 0; reports && filled < count; i++)
        if (notable(engine->members[i], cert_before_wall_ms))
            health__report_fill(engine->members[i], &reports[filled++]);
    pthread_mutex_unlock(&engine->lock);
    if (count > 0 && !reports)
        return GTM_ENOMEM;
    *ret_reports = reports;
    *ret_count = count;
    return GTM_OK;
}

int health_engine_report(struct health_engine *engine, const char *key,
                         struct health_report *ret_report)
{
    pthread_mutex_lock(&engine->lock);
    const struct health_member *member = gtm_map_get(engine->by_key, key);
    if (member)
        health__report_fill(member, ret_report);
    pthread_mutex_unlock(&engine->lock);
    return member ? GTM_OK : GTM_ENOTFOUND;
}

/* `monitor` may be NULL: no label. */
static void write_histogram(struct gtm_metrics *m, const struct health_histogram *h,
                            const char *monitor)
{
    uint64_t sum = 0;
    char le[32];
    for (unsigned i = 0; i <= HEALTH_BUCKETS; i++) {
        sum += h->buckets[i];
        if (i < HEALTH_BUCKETS)
            snprintf(le, sizeof(le), "%g", (double)bounds_us[i] / 1e6);
        else
            snprintf(le, sizeof(le), "+Inf");
        gtm_metrics_sample_suffix(m, "_bucket", (double)sum, "le", le, monitor ? "monitor" : NULL,
                                  monitor, NULL);
    }
    const char *label = monitor ? "monitor" : NULL;
    gtm_metrics_sample_suffix(m, "_sum", (double)h->sum_us / 1e6, label, monitor, NULL);
    gtm_metrics_sample_suffix(m, "_count", (double)h->count, label, monitor, NULL);
}

/* What the metrics show, copied so that the lock is not held while they are written. */
struct copy {
    struct health_stats *stats; /* .monitor is owned */
    size_t count;
    struct health_histogram jitter;
    uint64_t by_health[GTM_HEALTH_COUNT];
    size_t probes;
    uint64_t stalled_ns;
};

/* Under the lock. What does not fit into memory is left out. */
static void copy_stats(const struct health_engine *engine, struct copy *copy)
{
    void *value;
    copy->stats = gtm_calloc(gtm_map_count(engine->stats), sizeof(*copy->stats));
    for (size_t it = 0; copy->stats && gtm_map_next(engine->stats, &it, NULL, &value);) {
        struct health_stats *to = &copy->stats[copy->count];
        *to = *(const struct health_stats *)value;
        to->monitor = gtm_strdup(to->monitor);
        copy->count += to->monitor != NULL;
    }
    copy->jitter = engine->jitter;
    for (size_t i = 0; i < engine->count; i++)
        copy->by_health[engine->members[i]->health]++;
    copy->probes = engine->items_count;
    copy->stalled_ns = engine->stalled_ns;
}

static void write_monitors(const struct copy *copy, struct gtm_metrics *m)
{
    gtm_metrics_family(m, "gtm_health_checks_total", "counter", "Checks that ended, by result.");
    for (size_t i = 0; i < copy->count; i++)
        for (int r = HEALTH_RESULT_OK; r < HEALTH_RESULT_COUNT; r++)
            gtm_metrics_sample(m, (double)copy->stats[i].results[r], "monitor",
                               copy->stats[i].monitor, "result",
                               health_result_word((enum health_result)r), NULL);
    gtm_metrics_family(m, "gtm_health_check_duration_seconds", "histogram",
                       "Time from a check's start to its result.");
    for (size_t i = 0; i < copy->count; i++)
        write_histogram(m, &copy->stats[i].duration, copy->stats[i].monitor);
    gtm_metrics_family(m, "gtm_health_load_reports_total", "counter",
                       "Load reports that were read, by monitor.");
    for (size_t i = 0; i < copy->count; i++)
        gtm_metrics_sample(m, (double)copy->stats[i].load_reports, "monitor",
                           copy->stats[i].monitor, NULL);
    gtm_metrics_family(m, "gtm_health_load_errors_total", "counter",
                       "Load reports that were missing or could not be read in full, by monitor.");
    for (size_t i = 0; i < copy->count; i++)
        gtm_metrics_sample(m, (double)copy->stats[i].load_errors, "monitor", copy->stats[i].monitor,
                           NULL);
}

static void write_exec(const struct health_engine *engine, struct gtm_metrics *m)
{
    gtm_metrics_family(m, "gtm_health_exec_running", "gauge", "Programs of exec checks that run.");
    gtm_metrics_sample(m, atomic_load(&engine->io.exec_running), NULL);
    gtm_metrics_family(m, "gtm_health_exec_waiting", "gauge",
                       "Exec checks that wait for a place to run.");
    gtm_metrics_sample(m, atomic_load(&engine->io.exec_waiting), NULL);
}

void health_engine_metrics(struct health_engine *engine, struct gtm_metrics *m)
{
    struct copy copy = {0};
    pthread_mutex_lock(&engine->lock);
    copy_stats(engine, &copy);
    pthread_mutex_unlock(&engine->lock);

    write_monitors(&copy, m);
    gtm_metrics_family(m, "gtm_health_start_jitter_seconds", "histogram",
                       "How much later than due regular checks started.");
    write_histogram(m, &copy.jitter, NULL);
    gtm_metrics_family(m, "gtm_health_targets", "gauge", "Targets by health.");
    for (int h = 0; h < GTM_HEALTH_COUNT; h++)
        gtm_metrics_sample(m, (double)copy.by_health[h], "health",
                           gtm_health_word((enum gtm_health)h), NULL);
    gtm_metrics_family(m, "gtm_health_probes", "gauge",
                       "Distinct probes; targets that are probed alike share one.");
    gtm_metrics_sample(m, (double)copy.probes, NULL);
    write_exec(engine, m);
    gtm_metrics_family(m, "gtm_health_stalled_seconds_total", "counter",
                       "Time during which the checking thread should have run and did not.");
    gtm_metrics_sample(m, (double)copy.stalled_ns / 1e9, NULL);
    for (size_t i = 0; i < copy.count; i++)
        gtm_free(copy.stats[i].monitor);
    gtm_free(copy.stats);
}
