/* SPDX-License-Identifier: Apache-2.0
 *
 * The store over etcd: opening, closing, reading, and the saved copy. See store_etcd.h and
 * store_etcd_int.h.
 */
#include "gtm/coord/store_etcd.h"

#include "gtm/base/fs.h"
#include "gtm/base/log.h"
#include "gtm/base/mem.h"
#include "gtm/base/rand.h"
#include "gtm/coord/store_etcd_int.h"
#include "gtm/coord/store_file_dir.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SAVE_MS 2000

struct etcdc_buf etcd__key(const char *key, char out[COORD__KEY_BYTES])
{
    int n = snprintf(out, COORD__KEY_BYTES, GTM_STORE_PREFIX "%s", key);
    return etcdc_bytes(out, (size_t)n);
}

bool etcd__rel_key(struct etcdc_buf full, char out[GTM_STORE_KEY_MAX + 1])
{
    const size_t skip = sizeof(GTM_STORE_PREFIX) - 1;
    if (full.n <= skip || full.n - skip > GTM_STORE_KEY_MAX ||
        memcmp(full.p, GTM_STORE_PREFIX, skip) != 0)
        return false;
    memcpy(out, (const char *)full.p + skip, full.n - skip);
    out[full.n - skip] = '\0';
    return strlen(out) == full.n - skip && gtm_store_key_ok(out);
}

int etcd__error(int code, const char *text, struct gtm_error *err)
{
    static const struct {
        int etcdc, gtm;
    } map[] = {
        {ETCDC_E_ARG, GTM_EINVAL},          {ETCDC_E_NOMEM, GTM_ENOMEM},
        {ETCDC_E_CLOSED, GTM_ESTATE},       {ETCDC_E_TIMEOUT, GTM_ETIMEOUT},
        {ETCDC_E_AMBIGUOUS, GTM_EIO},       {ETCDC_E_LEASE_NOT_FOUND, GTM_ESTATE},
        {ETCDC_E_TOO_LARGE, GTM_ELIMIT},    {ETCDC_E_NO_SPACE, GTM_ENOSPACE},
        {ETCDC_E_AUTH, GTM_EDENIED},        {ETCDC_E_DENIED, GTM_EDENIED},
        {ETCDC_E_CORRUPT, GTM_ECORRUPT},    {ETCDC_E_CLUSTER_CHANGED, GTM_ESTATE},
        {ETCDC_E_PROTOCOL, GTM_EPARSE},     {ETCDC_E_VERSION, GTM_EUNSUPPORTED},
        {ETCDC_E_SESSION_LOST, GTM_ESTATE}, {ETCDC_E_OVERFLOW, GTM_ELIMIT},
        {ETCDC_E_TOO_MANY, GTM_ELIMIT},     {ETCDC_E_COMPACTED, GTM_ECONFLICT},
    };
    int gtm = GTM_EUNREACHABLE; /* no connection, no leader, not available, a stale member */
    for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
        if (map[i].etcdc == code)
            gtm = map[i].gtm;
    if (text && text[0])
        return gtm_error_set(err, gtm, "etcd: %s (%.300s)", etcdc_text(code), text);
    return gtm_error_set(err, gtm, "etcd: %s", etcdc_text(code));
}

/* --- the saved copy --- */

/* What became of the last save: said once for each trouble, and tried again. */
static void look_at_saved(struct etcd__store *store)
{
    struct gtm_error why;
    if (coord__cache_busy(store->cache))
        return;
    if (!coord__cache_failed(store->cache, &why)) {
        if (store->unsaved[0])
            gtm_log0(GTM_LOG_INFO, "store", "the copy of the cluster's state is saved again");
        store->unsaved[0] = '\0';
        return;
    }
    if (!store->unsaved[0]) {
        store->unsaved_since_ms = gtm_wall_ms(store->clock);
        gtm_log_error(GTM_LOG_ERROR, "store", "cannot save the copy of the cluster's state", &why);
    }
    snprintf(store->unsaved, sizeof(store->unsaved), "%.120s: %.120s", why.file, why.text);
    store->dirty = true;
}

static void save(struct etcd__store *store)
{
    look_at_saved(store);
    if (!store->dirty || store->paused || store->known.revision < 1)
        return;
    struct coord__item **items = coord__mirror_share(&store->mirror);
    if (items && coord__cache_save(store->cache, items, store->mirror.count, &store->known))
        store->dirty = false;
}

static void save_now(struct etcd__store *store)
{
    coord__cache_wait(store->cache);
    save(store);
    coord__cache_wait(store->cache);
    look_at_saved(store);
}

static void on_save(void *arg)
{
    struct etcd__store *store = arg;
    save(store);
    gtm_timer_start(store->save_timer, SAVE_MS);
}

/* --- reading --- */

static int etcd_get(const struct gtm_store *base, const char *key,
                    struct gtm_store_entry *ret_entry)
{
    return coord__mirror_get(&etcd__cof(base)->mirror, key, ret_entry);
}

static int etcd_list(const struct gtm_store *base, const char *prefix, gtm_store_visit_fn *visit,
                     void *arg)
{
    return coord__mirror_list(&etcd__cof(base)->mirror, prefix, visit, arg);
}

static struct gtm_store_watch *etcd_watch(struct gtm_store *base, const char *prefix,
                                          gtm_store_watch_fn *cb, void *arg)
{
    return coord__watches_add(&etcd__of(base)->watches, prefix, cb, arg);
}

static void etcd_unwatch(struct gtm_store *base, struct gtm_store_watch *watch)
{
    coord__watches_remove(&etcd__of(base)->watches, watch);
}

static void etcd_status(const struct gtm_store *base, struct gtm_store_status *ret_status)
{
    const struct etcd__store *store = etcd__cof(base);
    *ret_status = (struct gtm_store_status){.ok = store->link == GTM_STORE_FRESH,
                                            .revision = store->mirror.revision,
                                            .keys = store->mirror.count,
                                            .bytes = store->mirror.bytes};
    if (!ret_status->ok)
        gtm_error_set(&ret_status->error,
                      store->link == GTM_STORE_REFUSED ? GTM_ESTATE : GTM_EUNREACHABLE, "%s",
                      store->why[0] ? store->why : "etcd was not heard yet");
}

void gtm_store_etcd_info(const struct gtm_store *base, struct gtm_store_etcd_info *ret_info)
{
    const struct etcd__store *store = etcd__cof(base);
    *ret_info = (struct gtm_store_etcd_info){
        .link = store->link,
        .since_ms = store->since_ms,
        .age_ms = store->watch ? etcdc_watch_age_ms(store->watch) : UINT64_MAX,
        .saved_copy = !store->seen,
        .cluster_id = store->known.cluster_id,
        .epoch = store->known.epoch,
        .revision = store->mirror.revision,
        .alien = gtm_map_count(store->aliens)};
    snprintf(ret_info->why, sizeof(ret_info->why), "%s", store->why);
    snprintf(ret_info->unwritable, sizeof(ret_info->unwritable), "%s", store->unwritable);
    ret_info->unwritable_since_ms = store->unwritable_since_ms;
    snprintf(ret_info->unsaved, sizeof(ret_info->unsaved), "%s", store->unsaved);
    ret_info->unsaved_since_ms = store->unsaved_since_ms;
    const char *key;
    void *why;
    size_t it = 0;
    if (!gtm_map_next(store->aliens, &it, &key, &why))
        return;
    snprintf(ret_info->alien_key, sizeof(ret_info->alien_key), "%s", key);
    snprintf(ret_info->alien_why, sizeof(ret_info->alien_why), "%s", (const char *)why);
}

void gtm_store_etcd_lease(struct gtm_store *base, int64_t lease)
{
    etcd__of(base)->lease = lease;
}

/* --- opening and closing --- */

static void free_store(struct etcd__store *store)
{
    coord__cache_free(store->cache);
    gtm_timer_free(store->save_timer);
    gtm_timer_free(store->ask_timer);
    gtm_timer_free(store->commit_timer);
    coord__watches_fini(&store->watches);
    coord__mirror_fini(&store->mirror);
    gtm_map_free(store->aliens, NULL);
    gtm_map_free(store->busy, NULL);
    if (store->lock_fd >= 0)
        close(store->lock_fd); /* last: it lets the next one in */
    gtm_free(store->data_dir);
    gtm_free(store->node);
    gtm_free(store);
}

static void etcd_close(struct gtm_store *base)
{
    struct etcd__store *store = etcd__of(base);
    store->closing = true;
    etcd__link_stop(store);
    etcd__commits_stop(store);
    etcd__fetches_stop(store);
    etcd__snapshots_stop(store);
    save_now(store);
    free_store(store);
}

int gtm_store_etcd_pause(struct gtm_store *base)
{
    struct etcd__store *store = etcd__of(base);
    if (!store->paused)
        save_now(store);
    store->paused = true;
    return store->lock_fd;
}

void gtm_store_etcd_resume(struct gtm_store *base)
{
    struct etcd__store *store = etcd__of(base);
    store->paused = false;
    etcd__commits_go_on(store);
}

static const struct gtm_store_ops etcd_ops = {
    .get = etcd_get,
    .list = etcd_list,
    .commit = etcd__commit,
    .watch = etcd_watch,
    .unwatch = etcd_unwatch,
    .fetch = etcd__fetch,
    .status = etcd_status,
    .close = etcd_close,
};

static int no_memory(struct gtm_error *err)
{
    return gtm_error_set(err, GTM_ENOMEM, "%s", gtm_err_text(GTM_ENOMEM));
}

static int open_dir(struct etcd__store *store, int lock_fd, struct gtm_error *ret_damage,
                    struct gtm_error *err)
{
    int rc = lock_fd < 0 ? coord__dir_lock(store->data_dir, &store->lock_fd, err)
                         : coord__dir_take(store->data_dir, lock_fd, err);
    char *path = rc == GTM_OK ? gtm_fs_join(store->data_dir, GTM_STORE_CACHE_FILE) : NULL;
    if (rc != GTM_OK)
        return rc;
    if (!path)
        return no_memory(err);
    rc = coord__cache_load(path, &store->mirror, &store->known, ret_damage, err);
    if (rc == GTM_OK) {
        store->cache = coord__cache_new(path, err);
        rc = store->cache ? GTM_OK : err->code;
    }
    gtm_free(path);
    return rc;
}

static struct etcd__store *make_store(const struct gtm_store_etcd_opts *opts, int lock_fd)
{
    struct etcd__store *store = gtm_calloc(1, sizeof(*store));
    if (!store) {
        if (lock_fd >= 0)
            close(lock_fd);
        return NULL;
    }
    *store = (struct etcd__store){.base.ops = &etcd_ops,
                                  .loop = opts->loop,
                                  .clock = opts->clock ? opts->clock : gtm_clock_system(),
                                  .client = opts->client,
                                  .data_dir = gtm_strdup(opts->data_dir),
                                  .node = gtm_strdup(opts->node ? opts->node : "local"),
                                  .on_link = opts->on_link,
                                  .arg = opts->arg,
                                  .stale_ms = opts->stale_ms ? opts->stale_ms : 3000,
                                  .lock_fd = lock_fd,
                                  .paused = lock_fd >= 0,
                                  .staged_epoch = -1,
                                  .aliens = gtm_map_new(),
                                  .busy = gtm_map_new()};
    store->queue_last = &store->queue;
    store->since_ms = gtm_wall_ms(store->clock);
    store->started_ms = gtm_mono_ms(store->clock);
    store->save_timer = gtm_timer_new(opts->loop, on_save, store);
    bool lucky = gtm_rand_secure(&store->last_id, sizeof(store->last_id)) == 0;
    if (store->data_dir && store->node && store->aliens && store->busy && store->save_timer &&
        lucky)
        return store;
    free_store(store);
    return NULL;
}

int gtm_store_etcd_open(const struct gtm_store_etcd_opts *opts, int lock_fd,
                        struct gtm_store **ret_store, struct gtm_error *ret_damage,
                        struct gtm_error *err)
{
    *ret_damage = (struct gtm_error){0};
    struct etcd__store *store = make_store(opts, lock_fd);
    if (!store)
        return no_memory(err);
    int rc = open_dir(store, lock_fd, ret_damage, err);
    if (rc == GTM_OK && etcd__link_start(store) != GTM_OK)
        rc = no_memory(err);
    if (rc != GTM_OK) {
        free_store(store);
        return rc;
    }
    gtm_timer_start(store->save_timer, SAVE_MS);
    *ret_store = &store->base;
    return GTM_OK;
}
