/* SPDX-License-Identifier: Apache-2.0
 *
 * Deleting chunks that no revision names. See chunks.h.
 *
 *     manifests copied → parsed by a helper thread → all chunks listed, page by page → deletes,
 * some at a time, each transaction with: this node leads, intent/cur is what it was, the chunk was
 * not written again, and head/chunks moves.
 */
#include "gtm/daemon/chunks.h"

#include "gtm/base/log.h"
#include "gtm/base/loop.h"
#include "gtm/base/map.h"
#include "gtm/base/mem.h"
#include "gtm/model/manifest.h"

#include <stdio.h>
#include <string.h>

#define BATCH 100 /* chunks in one transaction */

struct text {
    char *text;
    size_t len;
};
struct doomed {
    char key[GTM_BLOB_KEY_BYTES];
    int64_t revision;
};

/* Lives until what it waits for has come, also when the collector is gone. */
struct pass {
    struct gtm_chunks_collector *collector; /* NULL: nobody waits any more */
    struct text *manifests;
    size_t manifests_count, manifests_cap;
    int64_t cur_rev, cur_revision; /* revision of the intent; of the key in the store */
    struct gtm_map *named;         /* chunks of all manifests */
    uint64_t named_bytes;
    int code;
    struct gtm_error err;
    char from[GTM_STORE_KEY_MAX + 2];
    int64_t revision; /* of the first page */
    uint64_t total;
    struct doomed *doomed;
    size_t doomed_count, doomed_cap, doomed_at, batch;
};

struct gtm_chunks_collector {
    struct gtm_chunks_collector_opts opts;
    struct pass *pass;
    uint64_t next_ms; /* monotonic, as all here */
    int64_t mark;     /* revision of a listing at mark_ms; 0 = none yet */
    uint64_t mark_ms;
    int64_t safe; /* what was written up to here is old enough */
    bool listed;
    uint64_t total, named_bytes, deleted;
    char told[GTM_ERROR_TEXT_BYTES]; /* why nothing was deleted, said once */
};

/* --- the end --- */

static void pass_free(struct pass *p)
{
    for (size_t i = 0; i < p->manifests_count; i++)
        gtm_free(p->manifests[i].text);
    gtm_free(p->manifests);
    gtm_map_free(p->named, NULL);
    gtm_free(p->doomed);
    gtm_free(p);
}

static void pass_ends(struct pass *p)
{
    struct gtm_chunks_collector *c = p->collector;
    if (c) {
        c->pass = NULL;
        if (p->code && p->code != GTM_ECONFLICT && strcmp(c->told, p->err.text) != 0)
            gtm_log(GTM_LOG_WARN, "chunks", "chunks that no revision names stay for now",
                    gtm_kv_str("why", p->err.text));
        snprintf(c->told, sizeof(c->told), "%s", p->code ? p->err.text : "");
    }
    pass_free(p);
}

static void pass_fails(struct pass *p, int code, const struct gtm_error *err)
{
    p->code = gtm_error_set(&p->err, code, "%.400s",
                            err && err->text[0] ? err->text : gtm_err_text(code));
    pass_ends(p);
}

/* --- deleting --- */

static void delete_next(struct pass *p);

static void on_deleted(void *arg, const struct gtm_store_result *result)
{
    struct pass *p = arg;
    if (result->code || !p->collector) { /* what stays is found by the next pass */
        pass_fails(p, result->code, result->err);
        return;
    }
    p->collector->deleted += p->batch;
    p->collector->total -= p->batch;
    p->doomed_at += p->batch;
    delete_next(p);
}

static void delete_next(struct pass *p)
{
    const struct gtm_chunks_collector_opts *opts = &p->collector->opts;
    struct gtm_store_change changes[BATCH + 3];
    size_t left = p->doomed_count - p->doomed_at, n = 0;
    if (left == 0 || opts->guard(opts->ctx, &changes[n++])) {
        pass_ends(p);
        return;
    }
    changes[n++] = (struct gtm_store_change){
        .kind = GTM_STORE_CHECK, .key = GTM_INTENT_CUR_KEY, .expect = p->cur_revision};
    changes[n++] = (struct gtm_store_change){.kind = GTM_STORE_PUT,
                                             .key = GTM_CHUNKS_HEAD_KEY,
                                             .value = "{\"v\":1}",
                                             .value_len = 7,
                                             .expect = GTM_STORE_ANY};
    p->batch = left < BATCH ? left : BATCH;
    for (size_t i = 0; i < p->batch; i++)
        changes[n++] = (struct gtm_store_change){.kind = GTM_STORE_DELETE,
                                                 .key = p->doomed[p->doomed_at + i].key,
                                                 .expect = p->doomed[p->doomed_at + i].revision};
    int rc = gtm_store_commit(opts->store, changes, n, on_deleted, p);
    if (rc)
        pass_fails(p, rc, NULL);
}

/* --- listing --- */

/* The listing was of a time: what was written before one of long ago is old. */
static void move_mark(struct gtm_chunks_collector *c, int64_t revision)
{
    uint64_t now_ms = gtm_mono_ms(c->opts.clock);
    if (revision < c->mark) /* another store, or a restored one */
        c->mark = c->safe = 0;
    if (c->mark && now_ms - c->mark_ms < GTM_CHUNKS_SAFE_MS)
        return;
    c->safe = c->mark;
    c->mark = revision;
    c->mark_ms = now_ms;
}

static void list_next(struct pass *p);

static int take_entry(struct pass *p, const struct gtm_store_entry *entry)
{
    const char *sha256 = entry->key + strlen(GTM_BLOB_PREFIX);
    p->total++;
    snprintf(p->from, sizeof(p->from), "%s ", entry->key); /* the next key in order, or before it */
    bool ours = strlen(sha256) == GTM_SHA256_HEX_BYTES - 1;
    if (!ours || gtm_map_get(p->named, sha256) || entry->revision > p->collector->safe ||
        p->doomed_count == GTM_CHUNKS_PASS_MAX)
        return GTM_OK;
    void *items = p->doomed;
    int rc = gtm_grow(&items, &p->doomed_cap, p->doomed_count + 1, sizeof(*p->doomed));
    p->doomed = items;
    if (rc)
        return rc;
    struct doomed *one = &p->doomed[p->doomed_count++];
    snprintf(one->key, sizeof(one->key), "%s", entry->key);
    one->revision = entry->revision;
    return GTM_OK;
}

static void on_listed(void *arg, const struct gtm_store_fetched *fetched)
{
    struct pass *p = arg;
    struct gtm_chunks_collector *c = p->collector;
    if (fetched->code || !c) {
        pass_fails(p, fetched->code, fetched->err);
        return;
    }
    if (!p->revision) {
        p->revision = fetched->revision;
        move_mark(c, fetched->revision);
    }
    int rc = GTM_OK;
    for (size_t i = 0; i < fetched->count && rc == GTM_OK; i++)
        rc = take_entry(p, &fetched->entries[i]);
    if (rc) {
        pass_fails(p, rc, NULL);
        return;
    }
    if (fetched->more && fetched->count) {
        list_next(p);
        return;
    }
    c->listed = true;
    c->total = p->total;
    c->named_bytes = p->named_bytes;
    if (p->doomed_count)
        gtm_log(GTM_LOG_INFO, "chunks", "chunks that no revision names are deleted",
                gtm_kv_int("count", (int64_t)p->doomed_count));
    delete_next(p);
}

static void list_next(struct pass *p)
{
    int rc = gtm_store_fetch_keys(p->collector->opts.store, p->from, "blob0", GTM_STORE_FETCH_MAX,
                                  on_listed, p);
    if (rc)
        pass_fails(p, rc, NULL);
}

/* --- manifests --- */

/* Helper thread. */
static void work_parse(void *arg)
{
    struct pass *p = arg;
    bool found = p->cur_rev == 0; /* nothing was applied yet */
    for (size_t i = 0; i < p->manifests_count && !p->code; i++) {
        struct gtm_manifest *m = NULL;
        p->code = gtm_manifest_parse(p->manifests[i].text, p->manifests[i].len, &m, &p->err);
        found = found || (m && m->rev == p->cur_rev);
        for (size_t f = 0; m && f < m->files_count; f++)
            for (size_t k = 0; k < m->files[f].blobs_count && !p->code; k++) {
                const struct gtm_blob_ref *blob = &m->files[f].blobs[k];
                if (!gtm_map_get(p->named, blob->sha256))
                    p->named_bytes += blob->bytes;
                p->code = gtm_map_put(p->named, blob->sha256, p, NULL);
            }
        gtm_manifest_free(m);
    }
    if (!p->code && !found)
        p->code = gtm_error_set(&p->err, GTM_ENOTFOUND, "the manifest of revision %lld is missing",
                                (long long)p->cur_rev);
}

static void parsed(void *arg)
{
    struct pass *p = arg;
    if (p->code || !p->collector)
        pass_ends(p);
    else
        list_next(p);
}

static int copy_manifest(void *arg, const struct gtm_store_entry *entry)
{
    struct pass *p = arg;
    void *items = p->manifests;
    int rc = gtm_grow(&items, &p->manifests_cap, p->manifests_count + 1, sizeof(*p->manifests));
    p->manifests = items;
    if (rc)
        return rc;
    struct text *one = &p->manifests[p->manifests_count++];
    *one = (struct text){gtm_strndup(entry->value, entry->value_len), entry->value_len};
    return one->text ? GTM_OK : GTM_ENOMEM;
}

static int read_manifests(struct pass *p, const struct gtm_store *store)
{
    struct gtm_store_entry entry;
    char sha256[GTM_SHA256_HEX_BYTES];
    p->cur_revision = GTM_STORE_ABSENT;
    if (gtm_store_get(store, GTM_INTENT_CUR_KEY, &entry) == GTM_OK) {
        p->cur_revision = entry.revision;
        int rc = gtm_intent_cur_parse(entry.value, entry.value_len, &p->cur_rev, sha256, &p->err);
        if (rc)
            return rc;
    }
    int rc = gtm_store_list(store, GTM_INTENT_REV_PREFIX, copy_manifest, p);
    return rc ? gtm_error_set(&p->err, rc, "%s", gtm_err_text(rc)) : GTM_OK;
}

void gtm_chunks_collector_second(struct gtm_chunks_collector *collector)
{
    struct gtm_chunks_collector *c = collector;
    uint64_t now_ms = gtm_mono_ms(c->opts.clock);
    if (c->pass || now_ms < c->next_ms || !c->opts.whole(c->opts.ctx))
        return;
    c->next_ms = now_ms + GTM_CHUNKS_PASS_MS;
    struct pass *p = gtm_calloc(1, sizeof(*p));
    if (!p)
        return;
    *p = (struct pass){.collector = c, .named = gtm_map_new(), .from = GTM_BLOB_PREFIX};
    c->pass = p;
    p->code = p->named ? read_manifests(p, c->opts.store) : GTM_ENOMEM;
    if (p->code)
        pass_ends(p);
    else if (gtm_loop_work(c->opts.loop, work_parse, parsed, p))
        pass_fails(p, GTM_ELIMIT, NULL);
}

/* --- life --- */

struct gtm_chunks_collector *gtm_chunks_collector_new(const struct gtm_chunks_collector_opts *opts)
{
    struct gtm_chunks_collector *c = gtm_calloc(1, sizeof(*c));
    if (c)
        c->opts = *opts;
    return c;
}

void gtm_chunks_collector_free(struct gtm_chunks_collector *collector)
{
    if (collector && collector->pass)
        collector->pass->collector = NULL;
    gtm_free(collector);
}

void gtm_chunks_collector_metrics(const struct gtm_chunks_collector *collector,
                                  struct gtm_metrics *m)
{
    if (!collector || !collector->listed)
        return;
    gtm_metrics_family(m, "gtm_intent_chunks", "gauge",
                       "Chunks of intents in the store, as the leader counted last.");
    gtm_metrics_sample(m, (double)collector->total, NULL);
    gtm_metrics_family(m, "gtm_intent_chunk_bytes", "gauge",
                       "Bytes of those that a revision names.");
    gtm_metrics_sample(m, (double)collector->named_bytes, NULL);
    gtm_metrics_family(m, "gtm_intent_chunks_deleted_total", "counter",
                       "Chunks that no revision named, and that are gone.");
    gtm_metrics_sample(m, (double)collector->deleted, NULL);
}
