/* SPDX-License-Identifier: Apache-2.0
 *
 * See observer.h.
 */
#include "gtm/daemon/observer.h"

#include "gtm/base/log.h"
#include "gtm/base/loop.h"
#include "gtm/base/map.h"
#include "gtm/base/mem.h"

#include <stdio.h>
#include <string.h>

#define OBJECTS_MAX    100u
#define BYTES_MAX      (1u << 20) /* of one commit */
#define RETRY_MS       1000
#define COALESCE_MS    2
#define REFRESH_MS     60000
#define KEY_BYTES      (4 + 64 + GTM_NAME_MAX + 2)
#define PROMPT_DEFAULT 1000

/* What is known of one pool's object. */
struct written {
    bool dirty, there; /* there: the store may have it */
    uint64_t seq;
    uint64_t at_ms; /* monotonic, of the last writing */
};

/* The commit under way: outlives an observer that is freed meanwhile. */
struct flight {
    struct gtm_observer *observer; /* NULL: gone */
};

struct gtm_observer {
    struct gtm_observer_opts opts;
    const struct gtm_clock *clock;
    char node[64], region[64];
    int64_t lease;
    struct gtm_map *pools;   /* name → struct written */
    struct gtm_map *prompts; /* key of a target → monotonic time of the last prompt, as a number */
    struct gtm_timer *timer, *refresh;
    struct flight *flight;     /* NULL: none */
    struct gtm_map *in_flight; /* names that the commit under way has */
    bool full;                 /* of the last commit that went through or was refused for it */
    struct gtm_observer_info info;
};

static const struct gtm_intent *intent_of(const struct gtm_observer *observer)
{
    const struct gtm_facts *facts = gtm_state_facts(observer->opts.state);
    return facts ? facts->intent : NULL;
}

static struct written *written_of(struct gtm_observer *observer, const char *pool)
{
    struct written *w = gtm_map_get(observer->pools, pool);
    if (w)
        return w;
    w = gtm_calloc(1, sizeof(*w));
    if (w && gtm_map_put(observer->pools, pool, w, NULL)) {
        gtm_free(w);
        w = NULL;
    }
    return w;
}

static void soon(struct gtm_observer *observer, uint64_t wait_ms)
{
    if (!observer->flight)
        gtm_timer_start(observer->timer, wait_ms);
}

static void mark(struct gtm_observer *observer, const char *pool)
{
    struct written *w = written_of(observer, pool);
    if (!w) {
        gtm_log(GTM_LOG_ERROR, "observer", "out of memory: an observation waits for the next",
                gtm_kv_str("pool", pool));
        return;
    }
    if (!w->dirty)
        observer->info.waiting++;
    w->dirty = true;
}

/* --- writing --- */

struct batch {
    struct gtm_store_change changes[OBJECTS_MAX];
    char keys[OBJECTS_MAX][KEY_BYTES];
    struct gtm_buf texts[OBJECTS_MAX];
    size_t count, bytes;
};

static void batch_free(struct batch *batch)
{
    for (size_t i = 0; batch && i < batch->count; i++)
        gtm_buf_fini(&batch->texts[i]);
    gtm_free(batch);
}

/* The pool's object as it must be now; nothing when nothing is known and nothing was written. */
static int print_pool(struct gtm_observer *observer, const char *name, struct written *w,
                      struct gtm_buf *ret)
{
    const struct gtm_intent *intent = intent_of(observer);
    int pool = intent ? gtm_intent_pool(intent, name) : -1;
    size_t known = 0;
    struct gtm_obs obs = {.at_ms = gtm_wall_ms(observer->clock)};
    if (pool < 0)
        return 0;
    snprintf(obs.region, sizeof(obs.region), "%s", observer->region);
    obs.slots = gtm_state_observations(observer->opts.state, (size_t)pool, &obs.count, &known);
    /* Rises over restarts, too. */
    w->seq = w->seq + 1 > (uint64_t)obs.at_ms ? w->seq + 1 : (uint64_t)obs.at_ms;
    obs.seq = w->seq;
    int rc = obs.slots && (known > 0 || w->there) ? gtm_obs_print(&obs, ret) : 0;
    gtm_free(obs.slots);
    return rc;
}

/* Adds the pool's object, or its end. */
static int batch_add(struct gtm_observer *observer, struct batch *batch, const char *name,
                     struct written *w)
{
    size_t i = batch->count;
    struct gtm_buf text = {0};
    int rc = print_pool(observer, name, w, &text);
    if (rc || (!text.data && !w->there)) {
        gtm_buf_fini(&text);
        return rc;
    }
    if (gtm_map_put(observer->in_flight, name, w, NULL)) {
        gtm_buf_fini(&text);
        return GTM_ENOMEM;
    }
    snprintf(batch->keys[i], KEY_BYTES, "obs/%s/%s", observer->node, name);
    batch->texts[i] = text;
    batch->changes[i] =
        (struct gtm_store_change){.kind = text.data ? GTM_STORE_PUT : GTM_STORE_DELETE,
                                  .key = batch->keys[i],
                                  .value = text.data,
                                  .value_len = text.len,
                                  .expect = GTM_STORE_ANY,
                                  .leased = text.data != NULL};
    batch->bytes += text.len;
    batch->count++;
    return 0;
}

/* The commit did not come to pass: all of it waits again. */
static void put_back(struct gtm_observer *observer)
{
    size_t it = 0;
    const char *name;
    void *value;
    while (gtm_map_next(observer->in_flight, &it, &name, &value)) {
        mark(observer, name);
        gtm_map_remove(observer->in_flight, name);
    }
}

static void settle(struct gtm_observer *observer)
{
    size_t it = 0;
    const char *name;
    void *value;
    const struct gtm_intent *intent = intent_of(observer);
    while (gtm_map_next(observer->in_flight, &it, &name, &value)) {
        struct written *w = value;
        w->there = intent && gtm_intent_pool(intent, name) >= 0;
        w->at_ms = gtm_mono_ms(observer->clock);
        if (!w->there && !w->dirty)
            gtm_free(gtm_map_remove(observer->pools, name));
        gtm_map_remove(observer->in_flight, name);
    }
}

static void on_written(void *arg, const struct gtm_store_result *result)
{
    struct flight *flight = arg;
    struct gtm_observer *observer = flight->observer;
    gtm_free(flight);
    if (!observer)
        return;
    observer->flight = NULL;
    if (result->code == 0)
        observer->full = false;
    else if (result->code == GTM_ENOSPACE)
        observer->full = true;
    if (result->code) {
        observer->info.failures++;
        put_back(observer);
        soon(observer, RETRY_MS);
        return;
    }
    settle(observer);
    if (observer->info.waiting > 0)
        soon(observer, 0);
}

static void collect(struct gtm_observer *observer, struct batch *batch)
{
    size_t it = 0;
    const char *name;
    void *value;
    while (batch->count < OBJECTS_MAX && batch->bytes < BYTES_MAX &&
           gtm_map_next(observer->pools, &it, &name, &value)) {
        struct written *w = value;
        if (!w->dirty)
            continue;
        w->dirty = false;
        observer->info.waiting--;
        int rc = batch_add(observer, batch, name, w);
        if (rc)
            gtm_log(GTM_LOG_ERROR, "observer", "what is seen of a pool cannot be told",
                    gtm_kv_str("pool", name), gtm_kv_str("error", gtm_err_text(rc)));
    }
}

static void on_timer(void *arg)
{
    struct gtm_observer *observer = arg;
    if (observer->flight || observer->info.waiting == 0 || observer->lease == 0)
        return;
    struct batch *batch = gtm_calloc(1, sizeof(*batch));
    struct flight *flight = gtm_calloc(1, sizeof(*flight));
    if (!batch || !flight) {
        gtm_free(batch);
        gtm_free(flight);
        soon(observer, RETRY_MS);
        return;
    }
    collect(observer, batch);
    if (batch->count > 0) {
        flight->observer = observer;
        int rc = gtm_store_commit(observer->opts.store, batch->changes, batch->count, on_written,
                                  flight);
        observer->flight = rc ? NULL : flight;
        observer->info.commits++;
        observer->info.objects += batch->count;
        observer->info.bytes += batch->bytes;
        if (rc) {
            observer->info.failures++;
            put_back(observer);
            soon(observer, RETRY_MS);
        }
    }
    if (!observer->flight)
        gtm_free(flight);
    batch_free(batch);
}

/* --- what others call --- */

void gtm_observer_touched(struct gtm_observer *observer, size_t pool)
{
    const struct gtm_intent *intent = intent_of(observer);
    if (!intent || pool >= intent->pools_count)
        return;
    mark(observer, intent->pools[pool].name);
    soon(observer, COALESCE_MS);
}

static void mark_all(struct gtm_observer *observer)
{
    const struct gtm_intent *intent = intent_of(observer);
    size_t it = 0;
    const char *name;
    void *value;
    for (size_t p = 0; intent && p < intent->pools_count; p++)
        mark(observer, intent->pools[p].name);
    while (gtm_map_next(observer->pools, &it, &name, &value))
        mark(observer, name); /* also those that are gone */
    soon(observer, COALESCE_MS);
}

void gtm_observer_session(struct gtm_observer *observer, int64_t lease)
{
    if (observer->lease == lease)
        return;
    observer->lease = lease;
    if (lease)
        mark_all(observer);
}

/* What an earlier run wrote. */
static int visit_left(void *arg, const struct gtm_store_entry *entry)
{
    struct gtm_observer *observer = arg;
    struct written *w =
        written_of(observer, entry->key + strlen("obs/") + strlen(observer->node) + 1);
    if (w)
        w->there = true;
    return 0;
}

void gtm_observer_intent(struct gtm_observer *observer)
{
    char prefix[KEY_BYTES];
    snprintf(prefix, sizeof(prefix), "obs/%s/", observer->node);
    if (gtm_store_list(observer->opts.store, prefix, visit_left, observer))
        gtm_log0(GTM_LOG_ERROR, "observer", "out of memory: old observations end with their lease");
    mark_all(observer);
}

void gtm_observer_seen(struct gtm_observer *observer, const char *key, enum gtm_health health)
{
    enum gtm_health own = GTM_HEALTH_UNKNOWN;
    unsigned interval_ms = PROMPT_DEFAULT;
    if (!observer->opts.check_now ||
        !gtm_state_observed(observer->opts.state, key, &own, &interval_ms) || own == health)
        return;
    uint64_t now = gtm_mono_ms(observer->clock) + 1;
    uint64_t last = (uint64_t)(uintptr_t)gtm_map_get(observer->prompts, key);
    if (last && now < last + interval_ms / 2)
        return;
    if (gtm_map_put(observer->prompts, key, (void *)(uintptr_t)now, NULL))
        return; /* its own schedule comes, too */
    observer->info.prompts++;
    observer->opts.check_now(observer->opts.ctx, key);
}

/* Prompts so old that they hold nothing back. */
static void forget_prompts(struct gtm_observer *observer, uint64_t now)
{
    size_t it = 0;
    const char *key;
    void *value;
    while (gtm_map_next(observer->prompts, &it, &key, &value))
        if ((uint64_t)(uintptr_t)value + REFRESH_MS < now)
            gtm_map_remove(observer->prompts, key);
}

/* A slow sign of life, spread: what was written a minute ago. */
static void on_refresh(void *arg)
{
    struct gtm_observer *observer = arg;
    uint64_t now = gtm_mono_ms(observer->clock);
    size_t it = 0, most = OBJECTS_MAX;
    const char *name;
    void *value;
    while (most > 0 && gtm_map_next(observer->pools, &it, &name, &value)) {
        const struct written *w = value;
        if (w->dirty || !w->there || w->at_ms + REFRESH_MS > now)
            continue;
        mark(observer, name);
        most--;
    }
    forget_prompts(observer, now);
    if (observer->info.waiting > 0 && observer->lease)
        soon(observer, 0);
    gtm_timer_start(observer->refresh, RETRY_MS);
}

bool gtm_observer_full(const struct gtm_observer *observer)
{
    return observer->full;
}

void gtm_observer_info(const struct gtm_observer *observer, struct gtm_observer_info *ret)
{
    *ret = observer->info;
}

struct gtm_observer *gtm_observer_new(const struct gtm_observer_opts *opts)
{
    struct gtm_observer *observer = gtm_calloc(1, sizeof(*observer));
    if (!observer)
        return NULL;
    observer->opts = *opts;
    observer->clock = opts->clock ? opts->clock : gtm_clock_system();
    snprintf(observer->node, sizeof(observer->node), "%s", opts->node);
    snprintf(observer->region, sizeof(observer->region), "%s", opts->region);
    observer->pools = gtm_map_new();
    observer->prompts = gtm_map_new();
    observer->in_flight = gtm_map_new();
    observer->timer = gtm_timer_new(opts->loop, on_timer, observer);
    observer->refresh = gtm_timer_new(opts->loop, on_refresh, observer);
    if (!observer->pools || !observer->prompts || !observer->in_flight || !observer->timer ||
        !observer->refresh) {
        gtm_observer_free(observer);
        return NULL;
    }
    gtm_timer_start(observer->refresh, RETRY_MS);
    return observer;
}

void gtm_observer_free(struct gtm_observer *observer)
{
    if (!observer)
        return;
    if (observer->flight)
        observer->flight->observer = NULL;
    gtm_timer_free(observer->timer);
    gtm_timer_free(observer->refresh);
    gtm_map_free(observer->pools, gtm_free);
    gtm_map_free(observer->prompts, NULL);
    gtm_map_free(observer->in_flight, NULL);
    gtm_free(observer);
}
