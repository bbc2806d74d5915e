/* SPDX-License-Identifier: Apache-2.0
 *
 * Saving and loading the copy. See cache.h. Two threads: the store's hands over a list of entries
 * that nobody changes; the saver prints, hashes and writes it.
 */
#include "gtm/coord/cache.h"

#include "gtm/base/fs.h"
#include "gtm/base/json.h"
#include "gtm/base/mem.h"
#include "gtm/coord/snapshot.h"
#include "gtm/coord/store_file_dir.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ABOUT_KEY      "!copy" /* below every key of the copy */
#define FILE_BYTES_MAX (1u << 30)

struct coord__cache {
    char *path;
    pthread_t thread;
    pthread_mutex_t mutex; /* everything below */
    pthread_cond_t changed;
    bool quit, busy;
    struct coord__item **items;
    size_t count;
    struct coord__identity known;
    struct gtm_error why; /* of the last one; code GTM_OK: it went well */
};

static void free_items(struct coord__item **items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        coord__item_unref(items[i]);
    gtm_free(items);
}

static int write_copy(const char *path, struct coord__item *const *items, size_t count,
                      const struct coord__identity *known, struct gtm_error *err)
{
    char about[160];
    int n = snprintf(about, sizeof(about),
                     "{\"cluster\":\"%" PRIx64 "\",\"epoch\":%" PRId64 ",\"id\":\"%s\"}",
                     known->cluster_id, known->epoch, known->id);
    struct gtm_buf body = {0};
    coord__snapshot_add(&body, &(struct coord__record){.key = ABOUT_KEY,
                                                       .value = about,
                                                       .value_len = (size_t)n,
                                                       .revision = known->revision});
    for (size_t i = 0; i < count; i++) {
        struct gtm_store_entry e = coord__item_entry(items[i]);
        coord__snapshot_add(&body,
                            &(struct coord__record){e.key, e.value, e.value_len, e.revision});
    }
    size_t len;
    char *text = coord__snapshot_finish(&body, known->revision, count + 1, &len);
    if (!text)
        return gtm_error_set(err, GTM_ENOMEM, "%s", gtm_err_text(GTM_ENOMEM));
    int rc = len > FILE_BYTES_MAX
                 ? gtm_error_set(err, GTM_ELIMIT, "%s: the copy is too large to be saved", path)
                 : gtm_fs_write_atomic(path, text, len, 0600, err);
    gtm_free(text);
    return rc;
}

static void *saver_main(void *arg)
{
    struct coord__cache *cache = arg;
    pthread_mutex_lock(&cache->mutex);
    for (;;) {
        while (!cache->busy && !cache->quit)
            pthread_cond_wait(&cache->changed, &cache->mutex);
        if (!cache->busy)
            break;
        struct coord__item **items = cache->items;
        size_t count = cache->count;
        struct coord__identity known = cache->known;
        pthread_mutex_unlock(&cache->mutex);
        struct gtm_error err = {0};
        int rc = write_copy(cache->path, items, count, &known, &err);
        err.code = rc;
        free_items(items, count);
        pthread_mutex_lock(&cache->mutex);
        cache->why = err;
        cache->busy = false;
        pthread_cond_broadcast(&cache->changed);
    }
    pthread_mutex_unlock(&cache->mutex);
    return NULL;
}

struct coord__cache *coord__cache_new(const char *path, struct gtm_error *err)
{
    struct coord__cache *cache = gtm_calloc(1, sizeof(*cache));
    char *copy = cache ? gtm_strdup(path) : NULL;
    if (!copy) {
        gtm_free(cache);
        gtm_error_set(err, GTM_ENOMEM, "%s", gtm_err_text(GTM_ENOMEM));
        return NULL;
    }
    cache->path = copy;
    pthread_mutex_init(&cache->mutex, NULL);
    pthread_cond_init(&cache->changed, NULL);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int errnum = pthread_create(&cache->thread, NULL, saver_main, cache);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (errnum == 0)
        return cache;
    gtm_error_set(err, GTM_EIO, "cannot start a thread: %s", strerror(errnum));
    pthread_cond_destroy(&cache->changed);
    pthread_mutex_destroy(&cache->mutex);
    gtm_free(cache->path);
    gtm_free(cache);
    return NULL;
}

bool coord__cache_save(struct coord__cache *cache, struct coord__item **items, size_t count,
                       const struct coord__identity *known)
{
    pthread_mutex_lock(&cache->mutex);
    bool taken = !cache->busy;
    if (taken) {
        cache->items = items;
        cache->count = count;
        cache->known = *known;
        cache->busy = true;
        pthread_cond_broadcast(&cache->changed);
    }
    pthread_mutex_unlock(&cache->mutex);
    if (!taken)
        free_items(items, count);
    return taken;
}

bool coord__cache_busy(struct coord__cache *cache)
{
    pthread_mutex_lock(&cache->mutex);
    bool busy = cache->busy;
    pthread_mutex_unlock(&cache->mutex);
    return busy;
}

bool coord__cache_failed(struct coord__cache *cache, struct gtm_error *ret_why)
{
    pthread_mutex_lock(&cache->mutex);
    *ret_why = cache->why;
    pthread_mutex_unlock(&cache->mutex);
    return ret_why->code != GTM_OK;
}

void coord__cache_wait(struct coord__cache *cache)
{
    pthread_mutex_lock(&cache->mutex);
    while (cache->busy)
        pthread_cond_wait(&cache->changed, &cache->mutex);
    pthread_mutex_unlock(&cache->mutex);
}

void coord__cache_free(struct coord__cache *cache)
{
    if (!cache)
        return;
    coord__cache_wait(cache);
    pthread_mutex_lock(&cache->mutex);
    cache->quit = true;
    pthread_cond_broadcast(&cache->changed);
    pthread_mutex_unlock(&cache->mutex);
    pthread_join(cache->thread, NULL);
    pthread_cond_destroy(&cache->changed);
    pthread_mutex_destroy(&cache->mutex);
    gtm_free(cache->path);
    gtm_free(cache);
}

/* --- loading --- */

struct load {
    struct coord__mirror *mirror;
    struct coord__identity known;
    bool about;
};

static int parse_about(struct load *load, const struct coord__record *record)
{
    struct gtm_json *json = gtm_json_parse(record->value, record->value_len, NULL);
    const char *cluster = gtm_json_str(json, "cluster", "");
    char *end;
    load->known.cluster_id = strtoull(cluster, &end, 16);
    load->known.epoch = gtm_json_i64(json, "epoch", -1);
    /* One saved before there were ids has none: not known. */
    bool id = coord__identity_set_id(&load->known, gtm_json_str(json, "id", ""));
    load->about = load->known.cluster_id != 0 && *end == '\0' && load->known.epoch >= 0 && id;
    gtm_json_free(json);
    return load->about ? GTM_OK : GTM_ECORRUPT;
}

static int add_record(void *ctx, const struct coord__record *record)
{
    struct load *load = ctx;
    if (!load->about)
        return strcmp(record->key, ABOUT_KEY) == 0 ? parse_about(load, record) : GTM_ECORRUPT;
    int rc = coord__mirror_stage(load->mirror, COORD__ITEM_PUT, record->key, record->value,
                                 record->value_len, record->revision);
    return rc == GTM_ELIMIT ? GTM_ECORRUPT : rc;
}

int coord__cache_load(const char *path, struct coord__mirror *mirror,
                      struct coord__identity *ret_known, struct gtm_error *ret_damage,
                      struct gtm_error *err)
{
    char *text;
    size_t len;
    *ret_known = (struct coord__identity){0};
    int rc = gtm_fs_read(path, FILE_BYTES_MAX, &text, &len, err);
    if (rc == GTM_ENOTFOUND)
        return GTM_OK;
    if (rc != GTM_OK)
        return rc;
    struct load load = {.mirror = mirror};
    struct gtm_error why = {0};
    struct coord__changed changed = {0};
    int64_t revision = 0;
    coord__mirror_begin_listing(mirror);
    rc = coord__snapshot_parse(text, len, add_record, &load, &revision, &why);
    gtm_free(text);
    if (rc == GTM_OK && !load.about)
        rc = gtm_error_set(&why, GTM_ECORRUPT, "it does not say of which cluster it is");
    if (rc == GTM_OK)
        rc = coord__mirror_apply(mirror, revision, &changed);
    coord__changed_fini(&changed);
    if (rc == GTM_OK) {
        *ret_known = load.known;
        ret_known->revision = revision;
        return GTM_OK;
    }
    coord__mirror_drop(mirror);
    if (rc == GTM_ECORRUPT)
        return coord__dir_move_aside(path, &why, ret_damage, err);
    return gtm_error_at(err, rc, path, why.line, why.col, "%s",
                        why.text[0] ? why.text : gtm_err_text(rc));
}
