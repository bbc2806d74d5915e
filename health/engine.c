/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine's life, its thread and its commands. See health.h and engine.h.
 *
 * Happy path: a command is queued under the lock → the loop is woken → the commands are carried out
 * in order. The tick runs the items whose time has come, and is armed for the next one.
 * Failure modes: see health.h. A tick that comes late means that this process did not run: the
 * engine's time stands still for that long, so that answers which waited in the kernel are read
 * before any deadline passes.
 */
#include "health/engine.h"

#include "gtm/base/mem.h"
#include "health/exec.h"
#include "health/probe_http.h"
#include "health/shard.h"

#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_MS      1000000u
#define STALL_MIN_NS   (50u * NS_PER_MS)  /* a tick later than this is a stall */
#define TICK_MIN_NS    (1u * NS_PER_MS)   /* many targets: their starts share a wake-up */
#define TICK_MAX_NS    (100u * NS_PER_MS) /* between ticks while probes run: finds stalls */
#define LAG_WINDOW     16ull              /* ticks that the average of their lateness spans */
#define ITEMS_PER_TICK 256                /* then sockets get their turn */

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_rc;

static void init_curl(void)
{
    curl_rc = curl_global_init(CURL_GLOBAL_DEFAULT);
}

uint64_t health__now_ns(const struct health_engine *engine)
{
    return gtm_mono_ns(engine->clock) - engine->stalled_ns;
}

/* --- time --- */

static void arm(struct health_engine *engine)
{
    const struct health_queue_node *top = health_queue_top(&engine->queue);
    if (!top)
        return;
    uint64_t mono_ns = gtm_mono_ns(engine->clock);
    uint64_t at_ns = top->at_ns < HEALTH_NEVER - engine->stalled_ns
                         ? top->at_ns + engine->stalled_ns
                         : HEALTH_NEVER;
    if (engine->in_flight > 0 && at_ns > mono_ns + TICK_MAX_NS)
        at_ns = mono_ns + TICK_MAX_NS;
    if (at_ns < engine->ticked_ns + TICK_MIN_NS)
        at_ns = engine->ticked_ns + TICK_MIN_NS;
    if (at_ns < mono_ns)
        at_ns = mono_ns;
    if (at_ns >= engine->armed_ns)
        return; /* the earlier tick looks again */
    engine->armed_ns = at_ns;
    gtm_timer_start_us(engine->tick, (at_ns - mono_ns + 999u) / 1000u);
}

/* What the tick's own lateness says: a little is slack, much is a stall. */
static void note_lag(struct health_engine *engine)
{
    uint64_t mono_ns = gtm_mono_ns(engine->clock);
    uint64_t late_ns = mono_ns > engine->armed_ns ? mono_ns - engine->armed_ns : 0;
    uint64_t capped_us = (late_ns < STALL_MIN_NS ? late_ns : STALL_MIN_NS) / 1000u;
    engine->lag_us = (uint32_t)((engine->lag_us * (LAG_WINDOW - 1) + capped_us) / LAG_WINDOW);
    if (late_ns < STALL_MIN_NS)
        return;
    pthread_mutex_lock(&engine->lock);
    engine->stalled_ns += late_ns;
    pthread_mutex_unlock(&engine->lock);
}

static void on_tick(void *ctx)
{
    struct health_engine *engine = ctx;
    note_lag(engine);
    engine->armed_ns = HEALTH_NEVER;
    engine->ticked_ns = gtm_mono_ns(engine->clock);
    /* Results that are known already come before deadlines. */
    health__io_settle(&engine->io);
    uint64_t now_ns = health__now_ns(engine);
    const struct health_queue_node *top;
    for (unsigned i = 0; i < ITEMS_PER_TICK; i++) {
        top = health_queue_top(&engine->queue);
        if (!top || top->at_ns > now_ns)
            break;
        health__item_run((struct health_item *)((char *)top - offsetof(struct health_item, node)),
                         now_ns);
    }
    arm(engine);
}

static void on_done(void *ctx, struct health_probe *probe)
{
    struct health_engine *engine = ctx;
    health__item_done(engine, probe);
    arm(engine);
}

/* --- commands --- */

static void command_free(struct health_command *command)
{
    if (!command)
        return;
    for (size_t i = 0; command->specs && i < command->count; i++)
        health_spec_free(command->specs[i]);
    gtm_free(command->specs);
    gtm_free(command->key);
    gtm_free(command);
}

static void carry_out(struct health_engine *engine, struct health_command *command)
{
    if (!command->key) {
        health__targets_apply(engine, command);
        return;
    }
    const struct health_member *member = gtm_map_get(engine->by_key, command->key);
    if (!member)
        return; /* removed meanwhile */
    struct health_item *item = member->item;
    uint64_t now_ns = health__now_ns(engine);
    bool push = item->spec->kind == GTM_MONITOR_PUSH; /* may have changed since the call */
    if (command->beat && push) {
        health__push_beat(item, command, now_ns);
    } else if (!command->beat && !push) {
        health_schedule_check_now(&item->schedule, now_ns);
        health__item_run(item, now_ns);
    }
}

static void run_commands(void *ctx)
{
    struct health_engine *engine = ctx;
    for (;;) {
        pthread_mutex_lock(&engine->lock);
        struct health_command *command = engine->commands;
        if (command) {
            engine->commands = command->next;
            if (!engine->commands)
                engine->commands_end = &engine->commands;
        }
        pthread_mutex_unlock(&engine->lock);
        if (!command)
            break;
        carry_out(engine, command);
        command_free(command);
    }
    arm(engine);
}

/* Takes the command in any case. */
static int submit(struct health_engine *engine, struct health_command *command)
{
    command->next = NULL;
    pthread_mutex_lock(&engine->lock);
    struct health_command **end = engine->commands_end;
    *end = command;
    engine->commands_end = &command->next;
    int rc = gtm_loop_post(engine->loop, run_commands, engine);
    if (rc != GTM_OK) {
        *end = NULL;
        engine->commands_end = end;
    }
    pthread_mutex_unlock(&engine->lock);
    if (rc != GTM_OK)
        command_free(command);
    return rc;
}

static int check_unique(const struct health_target *targets, size_t count, struct gtm_error *err)
{
    struct gtm_map *seen = gtm_map_new();
    void *old = NULL;
    int rc = seen ? GTM_OK : gtm_error_set(err, GTM_ENOMEM, "out of memory");
    for (size_t i = 0; rc == GTM_OK && i < count; i++) {
        if (gtm_map_put(seen, targets[i].key, seen, &old) != GTM_OK)
            rc = gtm_error_set(err, GTM_ENOMEM, "out of memory");
        else if (old)
            rc = gtm_error_set(err, GTM_EEXIST, "%s: the target is there twice", targets[i].key);
    }
    gtm_map_free(seen, NULL);
    return rc;
}

int health_engine_apply(struct health_engine *engine, const struct health_target *targets,
                        size_t count, struct gtm_error *err)
{
    struct gtm_error local = {0};
    err = err ? err : &local;
    if (count > HEALTH_TARGETS_MAX)
        return gtm_error_set(err, GTM_ELIMIT, "%zu targets, at most %d can be checked", count,
                             HEALTH_TARGETS_MAX);
    struct health_command *command = gtm_calloc(1, sizeof(*command));
    if (command)
        command->specs = gtm_calloc(count, sizeof(struct health_spec *));
    if (!command || !command->specs) {
        command_free(command);
        return gtm_error_set(err, GTM_ENOMEM, "out of memory");
    }
    command->count = count;
    int rc = GTM_OK;
    for (size_t i = 0; rc == GTM_OK && i < count; i++) {
        command->specs[i] = health_spec_new(&targets[i], err);
        rc = command->specs[i] ? GTM_OK : err->code;
    }
    if (rc == GTM_OK)
        rc = check_unique(targets, count, err);
    if (rc != GTM_OK) {
        command_free(command);
        return rc;
    }
    rc = submit(engine, command);
    return rc == GTM_OK ? rc : gtm_error_set(err, rc, "the targets cannot be handed over");
}

/* A command for one target. GTM_ENOTFOUND, GTM_EINVAL (not of the kind that the command is for),
 * GTM_ENOMEM. */
static int command_for(struct health_engine *engine, const char *key, bool beat,
                       struct health_command **ret_command)
{
    pthread_mutex_lock(&engine->lock);
    const struct health_member *member = gtm_map_get(engine->by_key, key);
    bool push = member && member->item->spec->kind == GTM_MONITOR_PUSH;
    pthread_mutex_unlock(&engine->lock);
    if (!member)
        return GTM_ENOTFOUND;
    if (push != beat)
        return GTM_EINVAL;
    struct health_command *command = gtm_calloc(1, sizeof(*command));
    if (command)
        command->key = gtm_strdup(key);
    if (!command || !command->key) {
        command_free(command);
        return GTM_ENOMEM;
    }
    command->beat = beat;
    *ret_command = command;
    return GTM_OK;
}

int health_engine_check_now(struct health_engine *engine, const char *key)
{
    struct health_command *command = NULL;
    int rc = command_for(engine, key, false, &command);
    return rc == GTM_OK ? submit(engine, command) : rc;
}

int health_engine_push(struct health_engine *engine, const char *key, bool well, const char *text,
                       const struct health_load *load)
{
    struct health_command *command = NULL;
    int rc = command_for(engine, key, true, &command);
    if (rc != GTM_OK)
        return rc;
    command->well = well;
    if (text)
        snprintf(command->text, sizeof(command->text), "%s", text);
    if (load) {
        command->load = *load;
        command->load.wall_ms = gtm_wall_ms(engine->clock);
    }
    return submit(engine, command);
}

/* --- life --- */

static void *thread_main(void *ctx)
{
    struct health_engine *engine = ctx;
    pthread_setname_np(pthread_self(), "gtm-health");
    if (gtm_loop_run(engine->loop) != GTM_OK)
        gtm_log0(GTM_LOG_ERROR, "health", "the event loop failed: checking has stopped");
    return NULL;
}

/* Signals belong to the main thread. */
static int start_thread(struct health_engine *engine)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&engine->thread, NULL, thread_main, engine);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    engine->started = rc == 0;
    return rc == 0 ? GTM_OK : gtm_err_from_errno(rc);
}

static int open_engine(struct health_engine *engine)
{
    engine->loop = gtm_loop_new();
    engine->by_key = gtm_map_new();
    engine->by_probe = gtm_map_new();
    engine->stats = gtm_map_new();
    if (!engine->loop || !engine->by_key || !engine->by_probe || !engine->stats)
        return GTM_ENOMEM;
    if (engine->opts.exec_dir && !(engine->exec_dir = gtm_strdup(engine->opts.exec_dir)))
        return GTM_ENOMEM;
    engine->io.exec_dir = engine->exec_dir;
    engine->io.on_done = on_done;
    engine->io.on_begun = health__item_begun;
    engine->io.ctx = engine;
    if (health__io_init(&engine->io, gtm_loop_base(engine->loop), engine->clock) != GTM_OK)
        return GTM_ENOMEM;
    engine->io.shards = health__shards_new(&engine->io, health__http_on_end);
    engine->tick = gtm_timer_new(engine->loop, on_tick, engine);
    if (!engine->io.shards || !engine->tick)
        return GTM_ENOMEM;
    return start_thread(engine);
}

struct health_engine *health_engine_new(const struct health_engine_opts *opts,
                                        struct gtm_error *err)
{
    pthread_once(&curl_once, init_curl);
    struct health_engine *engine = curl_rc == CURLE_OK ? gtm_calloc(1, sizeof(*engine)) : NULL;
    if (!engine) {
        gtm_error_set(err, GTM_ENOMEM, "health checking cannot start: out of memory");
        return NULL;
    }
    engine->opts = *opts;
    engine->clock = opts->clock ? opts->clock : gtm_clock_system();
    engine->armed_ns = HEALTH_NEVER;
    engine->commands_end = &engine->commands;
    pthread_mutex_init(&engine->lock, NULL);
    if (opts->seed)
        gtm_rand_seed(&engine->rand, opts->seed);
    else
        gtm_rand_seed_os(&engine->rand);
    int rc = open_engine(engine);
    if (rc != GTM_OK) {
        gtm_error_set(err, rc, "health checking cannot start: %s", gtm_err_text(rc));
        health_engine_free(engine);
        return NULL;
    }
    return engine;
}

void health_engine_free(struct health_engine *engine)
{
    if (!engine)
        return;
    if (engine->started) {
        gtm_loop_stop(engine->loop);
        pthread_join(engine->thread, NULL);
    }
    health__targets_free(engine);
    gtm_map_free(engine->stats, NULL); /* the items gave theirs back */
    while (engine->commands) {
        struct health_command *command = engine->commands;
        engine->commands = command->next;
        command_free(command);
    }
    health_queue_fini(&engine->queue);
    health__shards_free(engine->io.shards);
    health__exec_free(engine->io.exec);
    gtm_timer_free(engine->tick);
    health__io_fini(&engine->io);
    gtm_loop_free(engine->loop);
    pthread_mutex_destroy(&engine->lock);
    gtm_free(engine->exec_dir);
    gtm_free(engine);
}
