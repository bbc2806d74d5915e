/* SPDX-License-Identifier: Apache-2.0
 *
 * An engine under test with the changes it told, and waits with a deadline. Assert on time-out.
 */
#ifndef GTM_TESTS_SUPPORT_HEALTH_WORLD_H
#define GTM_TESTS_SUPPORT_HEALTH_WORLD_H

#include "health/health.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define WORLD_TARGETS 64

struct world {
    struct health_engine *engine;
    struct gtm_monitor monitors[WORLD_TARGETS];
    char keys[WORLD_TARGETS][64];
    struct health_target targets[WORLD_TARGETS];
    size_t count;
    atomic_uint changes; /* on_change calls */
    atomic_uint loads;   /* on_load calls */
    atomic_int block_ms; /* the next on_change takes this long */
};

/* Starts an engine without targets. */
void world_init(struct world *world);
/* … with exec_dir and the like; its callbacks and seed are the world's. */
void world_init_opts(struct world *world, const struct health_engine_opts *opts);
void world_fini(struct world *world);
/* Adds a target on 127.0.0.1 to the list (interval 100 ms, timeout 300 ms, fall 2, rise 2, kind
 * http): adjust it and its monitor before world_apply. */
struct health_target *world_add(struct world *world, const char *key, uint16_t port);
struct gtm_monitor *world_monitor(struct world *world, const char *key);
void world_apply(struct world *world);

struct health_report world_report(struct world *world, const char *key);
/* Waits at most 10 s until the target has that health; returns the report. */
struct health_report world_wait(struct world *world, const char *key, enum gtm_health health);
/* … until `more` more of its probes were counted. */
struct health_report world_wait_probes(struct world *world, const char *key, unsigned more);
/* Until so many in all: when it was asked for, one may have ended before anybody looked. */
struct health_report world_wait_total(struct world *world, const char *key, uint64_t total);
/* … until its last result is that. */
struct health_report world_wait_result(struct world *world, const char *key,
                                       enum health_result result);
uint64_t world_now_ms(void);

#endif
