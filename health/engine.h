/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine's insides, shared by engine.c (life, targets), item.c (one target's probes) and
 * report.c (what others see). Internal to health. Everything belongs to the engine's thread; what
 * is marked [lock] may be read elsewhere under the lock, and is written only by the engine's thread
 * under it.
 */
#ifndef GTM_HEALTH_ENGINE_H
#define GTM_HEALTH_ENGINE_H

#include "gtm/base/log.h"
#include "gtm/base/loop.h"
#include "gtm/base/map.h"
#include "gtm/base/rand.h"
#include "health/health.h"
#include "health/probe.h"
#include "health/queue.h"
#include "health/schedule.h"

#include <pthread.h>
#include <stdbool.h>

#define HEALTH_BUCKETS 13

struct health_histogram {
    uint64_t buckets[HEALTH_BUCKETS + 1]; /* not cumulative; the last one is +Inf */
    uint64_t count, sum_us;
};

/* Counters of one monitor over all its targets. */
struct health_stats {
    char *monitor;
    unsigned users; /* targets */
    uint64_t results[HEALTH_RESULT_COUNT];
    struct health_histogram duration;
};

/* What a report shows, apart from what the spec says. */
struct health_public {
    enum gtm_health health;
    int64_t since_wall_ms, last_wall_ms;
    unsigned passes, fails;
    struct health_outcome last;
    uint32_t average_us;
    uint64_t probes_total, probes_failed, probes_local;
};

/* One target. */
struct health_item {
    struct health_engine *engine;
    struct health_spec *spec; /* [lock] owned, immutable */
    struct health_stats *stats;
    const struct health_probe_ops *ops;
    void *prober;
    struct health_schedule schedule;
    struct health_queue_node node;
    struct health_probe probes[HEALTH_FLIGHTS_MAX];
    struct health_public pub; /* [lock] */
    bool kept;                /* while a new set of targets is made: is part of it */
};

struct health_command {
    struct health_command *next;
    struct health_spec **specs; /* apply; NULL elements were taken over */
    size_t count;
    char *check; /* check_now */
};

struct health_engine {
    struct health_engine_opts opts;
    const struct gtm_clock *clock;
    struct gtm_rand rand;
    struct gtm_loop *loop;
    struct gtm_timer *tick;
    uint64_t armed_ns;   /* when the tick is to fire, by the clock; HEALTH_NEVER = not armed */
    uint64_t ticked_ns;  /* when it fired last, by the clock */
    uint64_t stalled_ns; /* [lock] how long this process did not run when it wanted to */
    uint32_t lag_us;     /* moving average of how late the tick comes */
    unsigned in_flight;
    struct health_io io;
    struct health_queue queue;
    struct gtm_log_limit local_limit;
    pthread_t thread;
    bool started;

    pthread_mutex_t lock;
    struct health_item **items;                      /* [lock] in the order of the last apply */
    size_t count;                                    /* [lock] */
    struct gtm_map *by_key;                          /* [lock] → items */
    struct gtm_map *stats;                           /* [lock] monitor name → stats */
    struct health_histogram jitter;                  /* [lock] of regular starts */
    struct health_command *commands, **commands_end; /* [lock] written by anyone */
};

/* Now, in the engine's time: the clock without the stalls. */
uint64_t health__now_ns(const struct health_engine *engine);

/* A target that takes over spec; `known` is its health so far and `old` (may be NULL) whom it
 * replaces. NULL when out of memory: spec is then still the caller's. Not probed before
 * health__item_run. */
struct health_item *health__item_new(struct health_engine *engine, struct health_spec *spec,
                                     const struct health_item *old, unsigned first_ms);
/* Cancels what runs. NULL is fine. */
void health__item_free(struct health_item *item);
/* Does all that is due and queues the item for the next time. */
void health__item_run(struct health_item *item, uint64_t now_ns);
/* For io.on_done: a probe of an item ended. */
void health__item_done(void *engine, struct health_probe *probe);

/* Fills a report; under the lock. */
void health__report_fill(const struct health_item *item, struct health_report *ret_report);
void health__histogram_add(struct health_histogram *histogram, uint64_t us);

#endif
