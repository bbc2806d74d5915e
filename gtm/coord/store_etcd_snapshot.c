/* SPDX-License-Identifier: Apache-2.0
 *
 * Saving everything under the prefix, and what saving and restoring share. See store_etcd.h and
 * store_etcd_job.h.
 */
#include "gtm/base/fs.h"
#include "gtm/base/log.h"
#include "gtm/base/mem.h"
#include "gtm/coord/snapshot.h"
#include "gtm/coord/store_etcd_job.h"

#include <string.h>

#define JOBS_MAX       4
#define SAVE_BYTES_MAX (1u << 30)

struct etcd__snapshot *etcd__job_new(struct etcd__store *store, const char *path, const char *owner,
                                     const char *reason, gtm_store_done_fn *done, void *arg)
{
    unsigned count = 0;
    for (const struct etcd__snapshot *j = store->snapshots; j; j = j->next)
        count++;
    struct etcd__snapshot *job = count < JOBS_MAX ? gtm_calloc(1, sizeof(*job)) : NULL;
    if (!job)
        return NULL;
    job->store = store;
    job->path = path ? gtm_strdup(path) : NULL;
    job->owner = owner ? gtm_strdup(owner) : NULL;
    job->reason = reason ? gtm_strdup(reason) : NULL;
    job->done = done;
    job->arg = arg;
    if ((path && !job->path) || (owner && !job->owner) || (reason && !job->reason)) {
        etcd__job_free(job);
        return NULL;
    }
    job->next = store->snapshots;
    store->snapshots = job;
    return job;
}

void etcd__job_free(struct etcd__snapshot *job)
{
    for (struct etcd__snapshot **at = job->store ? &job->store->snapshots : NULL; at && *at;
         at = &(*at)->next)
        if (*at == job) {
            *at = job->next;
            break;
        }
    for (size_t i = 0; i < job->records_count; i++)
        coord__item_unref(job->records[i]);
    for (size_t i = 0; i < job->doomed_count; i++)
        gtm_free(job->doomed[i]);
    gtm_free(job->records);
    gtm_free(job->doomed);
    gtm_map_free(job->leased, NULL);
    gtm_timer_free(job->timer);
    gtm_buf_fini(&job->body);
    gtm_free(job->id_text);
    gtm_free(job->path);
    gtm_free(job->owner);
    gtm_free(job->reason);
    gtm_free(job);
}

static void tell(const struct etcd__snapshot *job, const struct gtm_error *err)
{
    struct gtm_store_result result = {
        .code = err->code, .revision = err->code == GTM_OK ? job->revision : 0, .err = err};
    if (job->done)
        job->done(job->arg, &result);
}

void etcd__job_end(struct etcd__snapshot *job)
{
    if (job->store)
        tell(job, &job->err);
    etcd__job_free(job);
}

void etcd__job_fail(struct etcd__snapshot *job, int code, const char *text)
{
    etcd__error(code, text, &job->err);
    etcd__job_end(job);
}

void etcd__snapshots_stop(struct etcd__store *store)
{
    struct etcd__snapshot *job;
    while ((job = store->snapshots) != NULL) {
        store->snapshots = job->next;
        etcdc_cancel(store->client, job);
        struct gtm_error err = {0}; /* the job's own may be in a helper thread's hands */
        gtm_error_set(&err, GTM_ESTATE, "the store is closed; it was not finished");
        tell(job, &err);
        job->store = NULL;
        if (!job->at_work) /* else the helper thread's end frees it */
            etcd__job_free(job);
    }
}

/* --- saving --- */

static void save_work(void *arg)
{
    struct etcd__snapshot *job = arg;
    size_t len;
    char *text = coord__snapshot_finish(&job->body, job->revision, job->keys, &len);
    if (text)
        job->err.code = gtm_fs_write_atomic(job->path, text, len, 0600, &job->err);
    else
        gtm_error_set(&job->err, GTM_ENOMEM, "%s", gtm_err_text(GTM_ENOMEM));
    gtm_free(text);
}

static void save_done(void *arg)
{
    struct etcd__snapshot *job = arg;
    job->at_work = false;
    if (job->skipped > 0)
        gtm_log(GTM_LOG_WARN, "store", "objects that are not gtm's are not in the snapshot",
                gtm_kv_int("objects", job->skipped));
    etcd__job_end(job);
}

static void save_page(void *arg, const struct etcdc_kv *kvs, size_t count, bool restart)
{
    struct etcd__snapshot *job = arg;
    if (restart) {
        gtm_buf_clear(&job->body);
        job->keys = job->skipped = 0;
    }
    for (size_t i = 0; i < count; i++) {
        const struct etcdc_kv *kv = &kvs[i];
        char key[GTM_STORE_KEY_MAX + 1];
        const char *value = kv->value.n ? kv->value.p : "";
        bool ours = etcd__rel_key(kv->key, key);
        if (kv->lease || (ours && strncmp(key, COORD__ACTS, strlen(COORD__ACTS)) == 0))
            continue;
        if (!ours || !gtm_store_value_ok(value, kv->value.n)) {
            job->skipped++;
            continue;
        }
        if (job->body.len > SAVE_BYTES_MAX)
            job->body.failed = true;
        coord__snapshot_add(&job->body, &(struct coord__record){.key = key,
                                                                .value = value,
                                                                .value_len = kv->value.n,
                                                                .revision = kv->mod_revision});
        job->keys++;
    }
}

static void save_listed(void *arg, const struct etcdc_answer *answer)
{
    struct etcd__snapshot *job = arg;
    if (answer->code != ETCDC_OK) {
        etcd__job_fail(job, answer->code, answer->text);
        return;
    }
    job->revision = answer->header.revision;
    if (job->body.failed) {
        gtm_error_set(&job->err, GTM_ELIMIT, "the store is too large for memory");
        etcd__job_end(job);
        return;
    }
    job->at_work = true; /* from here on the job is the helper thread's */
    if (gtm_loop_work(job->store->loop, save_work, save_done, job) == GTM_OK)
        return;
    job->at_work = false;
    gtm_error_set(&job->err, GTM_ELIMIT, "too much other work");
    etcd__job_end(job);
}

int gtm_store_etcd_save(struct gtm_store *base, const char *path, gtm_store_done_fn *done,
                        void *arg)
{
    struct etcd__store *store = etcd__of(base);
    uint8_t end[sizeof(GTM_STORE_PREFIX)];
    struct etcdc_buf prefix = etcdc_str(GTM_STORE_PREFIX);
    if (store->closing)
        return GTM_ESTATE;
    struct etcd__snapshot *job = etcd__job_new(store, path, NULL, NULL, done, arg);
    if (!job)
        return GTM_ENOMEM;
    int rc = etcdc_list(store->client, prefix, etcdc_prefix_end(prefix, end), 0, save_page,
                        save_listed, job);
    if (rc == ETCDC_OK)
        return GTM_OK;
    etcd__job_free(job);
    return rc == ETCDC_E_NOMEM ? GTM_ENOMEM : GTM_ELIMIT;
}
