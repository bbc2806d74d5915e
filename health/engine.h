/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine's insides, shared by engine.c (life), targets.c (the change from one set of targets to
 * the next), item.c (one probe and its results), push.c (heartbeats) and report.c (what others
 * see). Internal to health. Everything belongs to the engine's thread; what
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
    unsigned users; /* probes */
    uint64_t results[HEALTH_RESULT_COUNT];
    uint64_t load_reports, load_errors;
    struct health_histogram duration;
};

/* What a report shows of a probe, apart from what the spec says. */
struct health_public {
    int64_t last_wall_ms;
    unsigned passes, fails;
    struct health_outcome last; /* owns its text; the body is not kept */
    uint32_t average_us;
    uint64_t probes_total, probes_failed, probes_local;
    int64_t cert_expires_wall_ms;
    struct health_load load;
    char *load_error; /* why the last report could not be read, or NULL */
};

/* One target: a key and what is said of it. Several may share one probe. */
struct health_member {
    char *key;
    struct health_item *item;
    enum gtm_health health;     /* [lock] */
    int64_t since_wall_ms;      /* [lock] */
    struct health_member *next; /* [lock] of the same item */
    bool kept;                  /* while a new set of targets is made: is part of it */
};

/* One probe, for all targets that are probed alike. */
struct health_item {
    struct health_engine *engine;
    struct health_spec *spec; /* owned, immutable; its key is that of the first target it had */
    struct health_stats *stats;
    const struct health_probe_ops *ops; /* NULL: kind push, see push.c */
    void *prober;
    struct health_schedule schedule; /* of kind push: its damping only */
    struct health_queue_node node;
    struct health_probe probes[HEALTH_FLIGHTS_MAX];
    struct health_public pub;      /* [lock] */
    struct health_member *members; /* [lock] */
    unsigned members_count;        /* [lock] */
    uint64_t load_told_ns;         /* when on_load was called last; 0 = never */
    bool load_complained;          /* a report that could not be read was logged */
    uint64_t beat_ns, silent_ns;   /* push: the last heartbeat; when the next silence counts */
    struct health_item *next;      /* of the engine */
    bool joined;                   /* while a new set of targets is made: has new members */
};

struct health_command {
    struct health_command *next;
    struct health_spec **specs; /* apply; NULL elements were taken over */
    size_t count;
    char *key;                        /* check_now and push */
    bool beat, well;                  /* push */
    char text[HEALTH_EVIDENCE_BYTES]; /* push */
    struct health_load load;          /* push; wall_ms = 0: none */
};

struct health_engine {
    struct health_engine_opts opts;
    const struct gtm_clock *clock;
    char *exec_dir; /* or NULL */
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
    struct health_member **members;                  /* [lock] in the order of the last apply */
    size_t count;                                    /* [lock] */
    struct gtm_map *by_key;                          /* [lock] → members */
    struct health_item *items;                       /* [lock] */
    size_t items_count;                              /* [lock] */
    struct gtm_map *by_probe;                        /* what identifies a probe → items */
    struct gtm_map *stats;                           /* [lock] monitor name → stats */
    struct health_histogram jitter;                  /* [lock] of regular starts */
    struct health_command *commands, **commands_end; /* [lock] written by anyone */
};

/* Now, in the engine's time: the clock without the stalls. */
uint64_t health__now_ns(const struct health_engine *engine);

/* --- targets.c --- */

/* Carries out an apply. */
void health__targets_apply(struct health_engine *engine, struct health_command *command);
/* Drops all of them; the thread has ended. */
void health__targets_free(struct health_engine *engine);

/* --- item.c --- */

/* A probe without members that takes over spec. NULL when out of memory: spec is then still the
 * caller's. Not probed before health__item_begin. */
struct health_item *health__item_new(struct health_engine *engine, struct health_spec *spec);
/* Takes over what another probe of the same target counted. */
void health__item_inherit(struct health_item *item, const struct health_item *old);
/* Starts its schedule, from `known`; the first probe comes within first_ms. */
void health__item_begin(struct health_item *item, enum gtm_health known, unsigned first_ms);
/* Cancels what runs. NULL is fine. */
void health__item_free(struct health_item *item);
/* Does all that is due and queues the item for the next time. */
void health__item_run(struct health_item *item, uint64_t now_ns);
/* Makes one result public; takes the outcome's texts. Its effect on the damping has been counted:
 * see health__item_align. */
void health__item_publish(struct health_item *item, struct health_outcome *outcome);
/* Gives every member whose health differs that of the probe, and tells. */
void health__item_align(struct health_item *item);
/* A load report came in. */
void health__item_load(struct health_item *item, const struct health_load *load);
/* For io.on_done and io.on_begun: a probe of an item ended, or began after it had to wait. */
void health__item_done(void *engine, struct health_probe *probe);
void health__item_begun(void *engine, struct health_probe *probe);

/* --- push.c: the engine's thread --- */

void health__push_begin(struct health_item *item, uint64_t now_ns);
/* Counts a silence that is due, and queues the item for the next. */
void health__push_run(struct health_item *item, uint64_t now_ns);
/* A heartbeat. */
void health__push_beat(struct health_item *item, const struct health_command *command,
                       uint64_t now_ns);

/* --- report.c --- */

/* Fills a report; under the lock. */
void health__report_fill(const struct health_member *member, struct health_report *ret_report);
void health__histogram_add(struct health_histogram *histogram, uint64_t us);

#endif
