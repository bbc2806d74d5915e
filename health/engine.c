/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine's life, its thread, and the change from one set of targets to the next. See health.h
 * and engine.h.
 *
 * Happy path: a command is queued under the lock → the loop is woken → the commands are carried out
 * in order. The tick runs the items whose time has come, and is armed for the next one.
 * Failure modes: see health.h. A tick that comes late means that this process did not run: the
 * engine's time stands still for that long, so that answers which waited in the kernel are read
 * before any deadline passes.
 */
#include "health/engine.h"

#include "gtm/base/mem.h"
#include "health/probe_http.h"
#include "health/shard.h"

#include <curl/curl.h>
#include <signal.h>
#include <string.h>

#define NS_PER_MS      1000000u
#define STALL_MIN_NS   (50u * NS_PER_MS)  /* a tick later than this is a stall */
#define TICK_MIN_NS    (1u * NS_PER_MS)   /* many targets: their starts share a wake-up */
#define TICK_MAX_NS    (100u * NS_PER_MS) /* between ticks while probes run: finds stalls */
#define LAG_WINDOW     16ull              /* ticks that the average of their lateness spans */
#define ITEMS_PER_TICK 256                /* then sockets get their turn */
#define SPREAD_US      100                /* first probes of many targets: this far apart */

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
    gtm_free(command->check);
    gtm_free(command);
}

/* A set of targets in the making. */
struct plan {
    struct health_item **items;
    size_t count;
    struct gtm_map *by_key;
};

static void plan_drop(struct health_engine *engine, struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        plan->items[i]->spec = plan->items[i]->kept ? plan->items[i]->spec : NULL;
        if (!plan->items[i]->kept)
            health__item_free(plan->items[i]);
    }
    for (size_t i = 0; i < engine->count; i++)
        engine->items[i]->kept = false;
    gtm_map_free(plan->by_key, NULL);
    gtm_free(plan->items);
}

/* The first probes of many targets are spread, or they would be late by their own number. */
static unsigned first_window_ms(size_t count)
{
    size_t spread_ms = count * SPREAD_US / 1000u;
    return spread_ms > HEALTH_FIRST_MS ? (unsigned)spread_ms : HEALTH_FIRST_MS;
}

/* Adds the target of one spec: the item that has it, or a new one. */
static int plan_add(struct health_engine *engine, struct plan *plan,
                    const struct health_command *command, size_t i)
{
    struct health_spec *spec = command->specs[i];
    struct health_item *old = gtm_map_get(engine->by_key, spec->key);
    struct health_item *item = old;
    if (old && health_spec_equal(old->spec, spec)) {
        old->kept = true;
    } else {
        item = health__item_new(engine, spec, old, first_window_ms(command->count));
        if (!item)
            return GTM_ENOMEM;
    }
    plan->items[plan->count++] = item;
    return gtm_map_put(plan->by_key, spec->key, item, NULL);
}

static int plan_make(struct health_engine *engine, struct plan *plan,
                     const struct health_command *command)
{
    *plan = (struct plan){.by_key = gtm_map_new()};
    plan->items = gtm_calloc(command->count, sizeof(struct health_item *));
    int rc = plan->by_key && plan->items ? GTM_OK : GTM_ENOMEM;
    if (rc == GTM_OK)
        rc = health_queue_reserve(&engine->queue, command->count);
    for (size_t i = 0; rc == GTM_OK && i < command->count; i++)
        rc = plan_add(engine, plan, command, i);
    return rc;
}

static void carry_out_apply(struct health_engine *engine, struct health_command *command)
{
    struct plan plan;
    if (plan_make(engine, &plan, command) != GTM_OK) {
        plan_drop(engine, &plan);
        gtm_log(GTM_LOG_ERROR, "health", "the targets stay as they were: out of memory",
                gtm_kv_int("wanted", (int64_t)command->count));
        return;
    }
    struct health_item **old_items = engine->items;
    size_t old_count = engine->count, added = 0;
    struct gtm_map *old_map = engine->by_key;
    pthread_mutex_lock(&engine->lock);
    engine->items = plan.items;
    engine->count = plan.count;
    engine->by_key = plan.by_key;
    pthread_mutex_unlock(&engine->lock);
    for (size_t i = 0; i < old_count; i++)
        if (!old_items[i]->kept)
            health__item_free(old_items[i]);
    gtm_map_free(old_map, NULL);
    gtm_free(old_items);

    uint64_t now_ns = health__now_ns(engine);
    for (size_t i = 0; i < plan.count; i++) {
        if (plan.items[i]->kept) {
            plan.items[i]->kept = false;
            continue;
        }
        command->specs[i] = NULL; /* the item's now */
        added++;
        health__item_run(plan.items[i], now_ns);
    }
    gtm_log(GTM_LOG_INFO, "health", "targets changed", gtm_kv_int("targets", (int64_t)plan.count),
            gtm_kv_int("new", (int64_t)added));
}

static void carry_out(struct health_engine *engine, struct health_command *command)
{
    if (!command->check) {
        carry_out_apply(engine, command);
        return;
    }
    struct health_item *item = gtm_map_get(engine->by_key, command->check);
    if (!item)
        return; /* removed meanwhile */
    uint64_t now_ns = health__now_ns(engine);
    health_schedule_check_now(&item->schedule, now_ns);
    health__item_run(item, now_ns);
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

int health_engine_check_now(struct health_engine *engine, const char *key)
{
    pthread_mutex_lock(&engine->lock);
    bool known = gtm_map_get(engine->by_key, key) != NULL;
    pthread_mutex_unlock(&engine->lock);
    if (!known)
        return GTM_ENOTFOUND;
    struct health_command *command = gtm_calloc(1, sizeof(*command));
    if (command)
        command->check = gtm_strdup(key);
    if (!command || !command->check) {
        command_free(command);
        return GTM_ENOMEM;
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
    engine->stats = gtm_map_new();
    if (!engine->loop || !engine->by_key || !engine->stats)
        return GTM_ENOMEM;
    engine->io.on_done = on_done;
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
    for (size_t i = 0; i < engine->count; i++)
        health__item_free(engine->items[i]);
    gtm_free(engine->items);
    gtm_map_free(engine->by_key, NULL);
    gtm_map_free(engine->stats, NULL); /* the items gave theirs back */
    while (engine->commands) {
        struct health_command *command = engine->commands;
        engine->commands = command->next;
        command_free(command);
    }
    health_queue_fini(&engine->queue);
    health__shards_free(engine->io.shards);
    gtm_timer_free(engine->tick);
    health__io_fini(&engine->io);
    gtm_loop_free(engine->loop);
    pthread_mutex_destroy(&engine->lock);
    gtm_free(engine);
}
