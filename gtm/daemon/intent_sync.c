/* SPDX-License-Identifier: Apache-2.0
 *
 * See intent_sync.h. One revision at a time is brought into force; when another came meanwhile, it
 * is next.
 */
#include "gtm/daemon/intent_sync.h"

#include "gtm/base/fs.h"
#include "gtm/base/log.h"
#include "gtm/base/mem.h"
#include "gtm/coord/store_etcd.h"
#include "gtm/daemon/chunks.h"
#include "gtm/daemon/daemon.h"
#include "gtm/daemon/intent_disk.h"
#include "gtm/daemon/intent_fetch.h"
#include "gtm/daemon/intent_source.h"

#include <string.h>

#define RETRY_FIRST_MS 1000
#define NOT_SERVING_MS 50
#define RETRY_LAST_MS  30000

/* Bringing one revision into force. Lives until the last helper thread is done with it, also when
 * the sync is gone. */
struct run {
    struct gtm_intent_sync *sync; /* NULL: nobody waits any more */
    char *data_dir;
    struct gtm_manifest *manifest;
    struct gtm_intent_fetch *fetch;
    char *folder;
    int code;
    struct gtm_error err;
};

struct gtm_intent_sync {
    struct gtmd *d;
    struct gtm_store_watch *watch;
    struct gtm_timer *retry;
    struct run *run;
    struct gtm_chunks *chunks;
    int64_t wanted_rev, served_rev, since_ms, problem_ms;
    char wanted_sha256[GTM_SHA256_HEX_BYTES];
    char served_sha256[GTM_SHA256_HEX_BYTES]; /* "" = from the start: taken as it is */
    char problem[GTM_ERROR_TEXT_BYTES + GTM_ERROR_FILE_BYTES + 64];
    unsigned retry_ms;
    uint64_t failures;
    bool started;
};

static void look(struct gtm_intent_sync *sync);

static void run_free(struct run *run)
{
    if (!run)
        return;
    gtm_manifest_free(run->manifest);
    gtm_free(run->data_dir);
    gtm_free(run->folder);
    gtm_free(run);
}

/* --- how it ended --- */

static void note_problem(struct gtm_intent_sync *sync, const struct gtm_error *err)
{
    char text[GTM_ERROR_TEXT_BYTES + GTM_ERROR_FILE_BYTES + 32];
    gtm_error_format(err, text, sizeof(text));
    if (strcmp(text, sync->problem) != 0)
        gtm_log(GTM_LOG_ERROR, "intent", "a revision is not in force here; the last good one stays",
                gtm_kv_int("rev", sync->wanted_rev), gtm_kv_str("reason", text));
    snprintf(sync->problem, sizeof(sync->problem), "%s", text);
    if (!sync->problem_ms)
        sync->problem_ms = gtm_wall_ms(sync->d->clock);
    sync->failures++;
    sync->retry_ms = sync->retry_ms ? sync->retry_ms * 2 : RETRY_FIRST_MS;
    if (sync->retry_ms > RETRY_LAST_MS)
        sync->retry_ms = RETRY_LAST_MS;
    gtm_timer_start(sync->retry, sync->retry_ms);
}

static void note_served(struct gtm_intent_sync *sync, const struct run *run)
{
    sync->served_rev = run->manifest->rev;
    sync->since_ms = gtm_wall_ms(sync->d->clock);
    sync->problem[0] = 0;
    sync->problem_ms = 0;
    sync->retry_ms = 0;
    gtm_log(GTM_LOG_INFO, "intent", "a revision is in force", gtm_kv_int("rev", sync->served_rev),
            gtm_kv_str("who", run->manifest->who ? run->manifest->who : "unknown"));
}

static void run_ends(struct run *run)
{
    struct gtm_intent_sync *sync = run->sync;
    if (sync) {
        sync->run = NULL;
        if (run->code)
            note_problem(sync, &run->err);
        else
            note_served(sync, run);
    }
    bool again = sync && !run->code && sync->served_rev != sync->wanted_rev;
    run_free(run);
    if (again)
        look(sync);
}

/* --- the steps --- */

/* Helper thread. */
static void work_current(void *arg)
{
    struct run *run = arg;
    run->code = gtm_intent_disk_set_current(run->data_dir, run->manifest->rev, &run->err);
}

static void current_done(void *arg)
{
    run_ends(arg);
}

static void next_work(struct run *run, void (*work)(void *arg), void (*done)(void *arg))
{
    if (!gtm_loop_work(run->sync->d->loop, work, done, run))
        return;
    run->code = gtm_error_set(&run->err, GTM_ELIMIT, "too much work is waiting");
    run_ends(run);
}

static void on_reloaded(void *arg, const struct gtm_reload_result *result)
{
    struct run *run = arg;
    if (result->code) {
        run->code = result->code;
        if (result->diags->errors)
            gtm_diags_first(result->diags, &run->err);
        else
            gtm_error_set(&run->err, result->code, "%s", gtm_err_text(result->code));
    }
    if (run->code || !run->sync)
        run_ends(run);
    else
        next_work(run, work_current, current_done);
}

/* Helper thread. */
static void work_write(void *arg)
{
    struct run *run = arg;
    run->code = gtm_intent_disk_write(run->data_dir, run->manifest, false, &run->folder, &run->err);
}

static void written(void *arg)
{
    struct run *run = arg;
    char *path = !run->code && run->sync ? gtm_fs_join(run->folder, GTM_MANIFEST_MAIN) : NULL;
    if (path) {
        run->code = gtm_reload_intent(run->sync->d->reload, path, false, on_reloaded, run);
        if (run->code)
            gtm_error_set(&run->err, run->code, "%s", gtm_err_text(run->code));
    }
    gtm_free(path);
    if (!path || run->code) {
        if (!run->code)
            run->code = gtm_error_set(&run->err, GTM_ENOMEM, "out of memory");
        run_ends(run);
    }
}

static void on_fetched(void *arg, int code, const struct gtm_error *err)
{
    struct run *run = arg;
    run->fetch = NULL;
    run->code = code;
    run->err = *err;
    if (code)
        run_ends(run);
    else
        next_work(run, work_write, written);
}

/* The manifest that intent/cur names, checked. */
static int read_manifest(struct gtm_intent_sync *sync, struct gtm_manifest **ret,
                         struct gtm_error *err)
{
    char key[GTM_MANIFEST_KEY_BYTES], hex[GTM_SHA256_HEX_BYTES];
    struct gtm_store_entry entry;
    if (gtm_store_get(sync->d->store, gtm_manifest_key(sync->wanted_rev, key), &entry) != GTM_OK)
        return gtm_error_set(err, GTM_ENOTFOUND, "%s is not in the store", key);
    if (!gtm_sha256_hex(entry.value, entry.value_len, hex) || strcmp(hex, sync->wanted_sha256) != 0)
        return gtm_error_set(
            err, GTM_ECORRUPT,
            "%s does not have the hash that " GTM_INTENT_CUR_KEY " gives it: it was changed", key);
    int rc = gtm_manifest_parse(entry.value, entry.value_len, ret, err);
    if (rc == GTM_OK && (*ret)->rev != sync->wanted_rev) {
        gtm_manifest_free(*ret);
        rc = gtm_error_set(err, GTM_ECORRUPT, "%s is of another revision", key);
    }
    return rc;
}

static int run_begins(struct gtm_intent_sync *sync, struct gtm_error *err)
{
    struct gtm_manifest *manifest = NULL;
    int rc = read_manifest(sync, &manifest, err);
    if (rc != GTM_OK)
        return rc;
    struct run *run = gtm_calloc(1, sizeof(*run));
    if (run) {
        run->manifest = manifest;
        run->sync = sync;
        run->data_dir = gtm_strdup(sync->d->node->data_dir);
    } else {
        gtm_manifest_free(manifest);
    }
    if (run && run->data_dir)
        run->fetch =
            gtm_intent_fetch_start(&(struct gtm_intent_fetch_opts){.loop = sync->d->loop,
                                                                   .store = sync->d->store,
                                                                   .data_dir = run->data_dir,
                                                                   .manifests = {run->manifest},
                                                                   .chunks = sync->chunks,
                                                                   .done = on_fetched,
                                                                   .arg = run});
    if (run && run->fetch) {
        sync->run = run;
        return GTM_OK;
    }
    run_free(run);
    return gtm_error_set(err, GTM_ENOMEM, "out of memory");
}

/* A copy that was saved some time before the end of the last run can be behind what is in force
 * already; only a fresh one may have gone back (a restored snapshot). */
static bool is_behind(const struct gtm_intent_sync *sync, int64_t rev)
{
    struct gtm_store_etcd_info info;
    if (rev >= sync->served_rev || !sync->d->node->has_etcd)
        return false;
    gtm_store_etcd_info(sync->d->store, &info);
    return info.link != GTM_STORE_FRESH;
}

/* Goes after intent/cur unless it is served already or being worked at. */
static void look(struct gtm_intent_sync *sync)
{
    struct gtm_store_entry entry;
    struct gtm_error err = {0};
    if (!sync->started || sync->run)
        return;
    if (sync->d->phase != GTMD_SERVING) { /* starting, or frozen for a successor */
        gtm_timer_start(sync->retry, NOT_SERVING_MS);
        return;
    }
    if (gtm_store_get(sync->d->store, GTM_INTENT_CUR_KEY, &entry) != GTM_OK)
        return; /* nothing was applied yet, or nothing is known yet */
    int64_t rev = 0;
    char sha256[GTM_SHA256_HEX_BYTES];
    int rc = gtm_intent_cur_parse(entry.value, entry.value_len, &rev, sha256, &err);
    if (rc == GTM_OK && is_behind(sync, rev)) {
        gtm_timer_start(sync->retry, RETRY_FIRST_MS);
        return;
    }
    if (rc == GTM_OK) {
        sync->wanted_rev = rev;
        memcpy(sync->wanted_sha256, sha256, sizeof(sha256));
    }
    if (rc == GTM_OK && sync->wanted_rev == sync->served_rev && !sync->problem[0] &&
        (!sync->served_sha256[0] || strcmp(sync->served_sha256, sync->wanted_sha256) == 0))
        return;
    if (rc == GTM_OK) {
        snprintf(sync->served_sha256, sizeof(sync->served_sha256), "%s", sync->wanted_sha256);
        rc = run_begins(sync, &err);
    }
    if (rc)
        note_problem(sync, &err);
}

static void on_retry(void *arg)
{
    look(arg);
}

static void on_cur(void *arg, const struct gtm_store_entry *entry)
{
    struct gtm_intent_sync *sync = arg;
    if (strcmp(entry->key, GTM_INTENT_CUR_KEY) != 0 || !entry->value)
        return; /* deleted by hand: the last good one stays */
    sync->retry_ms = 0;
    look(sync);
}

/* --- life --- */

struct gtm_intent_sync *gtm_intent_sync_new(struct gtmd *d)
{
    struct gtm_intent_sync *sync = gtm_calloc(1, sizeof(*sync));
    if (!sync)
        return NULL;
    sync->d = d;
    sync->retry = gtm_timer_new(d->loop, on_retry, sync);
    sync->chunks = gtm_chunks_new(d->store);
    if (!sync->retry || !sync->chunks) {
        gtm_intent_sync_free(sync);
        return NULL;
    }
    gtm_intent_disk_clean(d->node->data_dir);
    char *folder = gtm_intent_disk_current(d->node->data_dir, &sync->served_rev);
    if (!folder || gtm_intent_source_empty(d->intent))
        sync->served_rev = 0;
    gtm_free(folder);
    return sync;
}

void gtm_intent_sync_start(struct gtm_intent_sync *sync)
{
    sync->started = true;
    if (!sync->watch)
        sync->watch = gtm_store_watch(sync->d->store, GTM_INTENT_CUR_KEY, on_cur, sync);
    if (sync->watch) {
        look(sync);
        return;
    }
    struct gtm_error err = {0};
    gtm_error_set(&err, GTM_ENOMEM, "out of memory: new revisions are not seen");
    note_problem(sync, &err);
}

void gtm_intent_sync_free(struct gtm_intent_sync *sync)
{
    if (!sync)
        return;
    if (sync->run) {
        sync->run->sync = NULL;
        if (sync->run->fetch) {
            gtm_intent_fetch_let_go(sync->run->fetch);
            run_free(sync->run);
        }
    }
    if (sync->watch)
        gtm_store_unwatch(sync->d->store, sync->watch);
    gtm_timer_free(sync->retry);
    gtm_chunks_free(sync->chunks);
    gtm_free(sync);
}

void gtm_intent_sync_status(const struct gtm_intent_sync *sync, struct gtm_intent_status *ret)
{
    *ret = (struct gtm_intent_status){.problem = ""};
    if (!sync)
        return;
    int64_t wanted = sync->wanted_rev ? sync->wanted_rev : sync->served_rev;
    *ret = (struct gtm_intent_status){wanted, sync->served_rev, sync->since_ms, sync->problem_ms,
                                      sync->problem};
}

struct gtm_chunks *gtm_intent_sync_chunks(struct gtm_intent_sync *sync)
{
    return sync ? sync->chunks : NULL;
}

void gtm_intent_sync_metrics(const struct gtm_intent_sync *sync, struct gtm_metrics *m)
{
    if (!sync)
        return;
    gtm_metrics_family(m, "gtm_intent_revision", "gauge", "Revision of the intent in force here.");
    gtm_metrics_sample(m, (double)sync->served_rev, NULL);
    gtm_metrics_family(m, "gtm_intent_wanted_revision", "gauge",
                       "Revision of the intent that was applied last.");
    gtm_metrics_sample(m, (double)sync->wanted_rev, NULL);
    gtm_metrics_family(m, "gtm_intent_sync_failures_total", "counter",
                       "Attempts to bring a revision into force that failed.");
    gtm_metrics_sample(m, (double)sync->failures, NULL);
}
