/* SPDX-License-Identifier: Apache-2.0
 *
 * Restoring a snapshot, and an operator's word whose store this is. See store_etcd.h and
 * store_etcd_job.h.
 *
 * Restore: the file is read and checked as a whole → what etcd has is listed → store/id gets the
 * new epoch and "restoring", guarded by its own revision → deletions and writes, a hundred at a
 * time, each guarded by store/id → store/id without "restoring". All steps may be sent twice. If it
 * ends in the middle, "restoring" stays and every node keeps its last view, until somebody restores
 * again.
 */
#include "gtm/base/fs.h"
#include "gtm/base/mem.h"
#include "gtm/coord/snapshot.h"
#include "gtm/coord/store_etcd_job.h"

#include <string.h>

#define FILE_BYTES_MAX (1u << 30)
#define STEP_OPS       100u
#define STEP_BYTES     (1u << 20)
#define TRIES_MAX      20
#define AGAIN_MS       500
#define SEE_MS         50
#define SEE_TRIES      100

static const struct etcdc_buf none = {"", 0};

/* --- writing store/id --- */

static void put_id(void *arg);

static void again(struct etcd__snapshot *job, int code, const char *text)
{
    if (etcdc_class(code) == ETCDC_PERMANENT || ++job->tries > TRIES_MAX)
        etcd__job_fail(job, code, text);
    else
        gtm_timer_start(job->timer, AGAIN_MS);
}

static void on_put_id(void *arg, const struct etcdc_answer *answer)
{
    struct etcd__snapshot *job = arg;
    if (answer->code != ETCDC_OK) {
        again(job, answer->code, answer->text);
        return;
    }
    const struct etcdc_part *part = answer->parts_count ? &answer->parts[0] : NULL;
    const struct etcdc_kv *kv = part && part->kvs_count ? &part->kvs[0] : NULL;
    bool ours = !answer->succeeded && kv && kv->value.n == strlen(job->id_text) &&
                memcmp(kv->value.p, job->id_text, kv->value.n) == 0;
    if (!answer->succeeded && !ours) {
        gtm_error_set(&job->err, GTM_ECONFLICT,
                      "somebody else has changed store/id meanwhile; look, and try again");
        etcd__job_end(job);
        return;
    }
    job->id_revision = ours ? kv->mod_revision : answer->header.revision;
    job->revision = job->id_revision;
    job->tries = 0;
    job->after_id(job);
}

static void put_id(void *arg)
{
    struct etcd__snapshot *job = arg;
    char key[COORD__KEY_BYTES];
    struct etcdc_buf id = etcd__key(GTM_STORE_ID_KEY, key);
    struct etcdc_txn *txn = etcdc_txn_new();
    int rc = ETCDC_E_NOMEM;
    if (txn) {
        etcdc_txn_if(txn, id, ETCDC_MOD_REVISION, ETCDC_EQUAL, job->id_revision);
        etcdc_txn_put(txn, false, id, etcdc_str(job->id_text), 0, 0);
        etcdc_txn_range(txn, true, id, none, 1);
        rc = etcdc_commit(job->store->client, txn, ETCDC_IDEMPOTENT, on_put_id, job);
    }
    if (rc != ETCDC_OK)
        etcd__job_fail(job, rc, "");
}

/* Begins to write store/id; `after` comes when it is there. */
static void write_id(struct etcd__snapshot *job, bool restoring,
                     void (*after)(struct etcd__snapshot *job))
{
    struct etcd__store *store = job->store;
    gtm_free(job->id_text);
    job->id_text = coord__identity_print(job->epoch, restoring, gtm_wall_ms(store->clock),
                                         store->node, job->owner, job->reason);
    gtm_timer_free(job->timer);
    job->timer = gtm_timer_new(store->loop, put_id, job);
    job->after_id = after;
    job->tries = 0;
    if (job->id_text && job->timer)
        put_id(job);
    else
        etcd__job_fail(job, ETCDC_E_NOMEM, "");
}

/* store/id as it is in etcd now, before it is written: the epoch goes above all that is known. */
static int read_id(struct etcd__snapshot *job, const struct etcdc_answer *answer)
{
    const struct etcdc_part *part = answer->parts_count ? &answer->parts[0] : NULL;
    const struct etcdc_kv *kv = part && part->kvs_count ? &part->kvs[0] : NULL;
    struct coord__identity id = {0};
    struct gtm_error err = {0};
    if (answer->code != ETCDC_OK)
        return answer->code;
    /* One that cannot be read is what the operator replaces. */
    int rc = coord__identity_parse(kv ? kv->value.p : NULL, kv ? kv->value.n : 0, &id, &err);
    int64_t epoch = rc == GTM_OK ? id.epoch : 0;
    epoch = epoch > job->store->known.epoch ? epoch : job->store->known.epoch;
    job->epoch = (epoch > job->file_epoch ? epoch : job->file_epoch) + 1;
    job->id_revision = kv ? kv->mod_revision : 0;
    return ETCDC_OK;
}

/* As with commits: it is done when this node's copy shows it, or after a while. */
static void wait_for_copy(void *arg)
{
    struct etcd__snapshot *job = arg;
    const struct etcd__store *store = job->store;
    bool shown =
        store->open && store->link == GTM_STORE_FRESH && store->mirror.revision >= job->revision;
    if (shown || ++job->tries > SEE_TRIES)
        etcd__job_end(job);
    else
        gtm_timer_start(job->timer, SEE_MS);
}

static void finished(struct etcd__snapshot *job)
{
    struct etcd__store *store = job->store;
    if (!store->open)
        etcd__ask_soon(store, 0);
    gtm_timer_free(job->timer);
    job->timer = gtm_timer_new(store->loop, wait_for_copy, job);
    if (job->timer)
        wait_for_copy(job);
    else
        etcd__job_end(job);
}

/* --- an operator's word --- */

static void on_adopt_id(void *arg, const struct etcdc_answer *answer)
{
    struct etcd__snapshot *job = arg;
    int rc = read_id(job, answer);
    if (rc == ETCDC_OK)
        write_id(job, false, finished);
    else
        etcd__job_fail(job, rc, answer->text);
}

int gtm_store_etcd_adopt(struct gtm_store *base, const char *owner, const char *reason,
                         gtm_store_done_fn *done, void *arg)
{
    struct etcd__store *store = etcd__of(base);
    char key[COORD__KEY_BYTES];
    if (store->closing)
        return GTM_ESTATE;
    struct etcd__snapshot *job = etcd__job_new(store, NULL, owner, reason, done, arg);
    if (!job)
        return GTM_ENOMEM;
    if (!store->open) /* also a stranger is meant */
        etcdc_expect_cluster(store->client, store->stranger);
    int rc = etcdc_range(store->client, etcd__key(GTM_STORE_ID_KEY, key), none, 1, 0, 0,
                         on_adopt_id, job);
    if (rc == ETCDC_OK)
        return GTM_OK;
    etcd__job_free(job);
    return rc == ETCDC_E_NOMEM ? GTM_ENOMEM : GTM_ELIMIT;
}

/* --- restoring: transactions --- */

static void step(void *arg);

static void on_step(void *arg, const struct etcdc_answer *answer)
{
    struct etcd__snapshot *job = arg;
    if (answer->code != ETCDC_OK) {
        again(job, answer->code, answer->text);
        return;
    }
    if (!answer->succeeded) {
        gtm_error_set(&job->err, GTM_ECONFLICT,
                      "somebody else has changed store/id in the middle; every node keeps its last "
                      "view: restore again");
        etcd__job_end(job);
        return;
    }
    job->doomed_at += job->step_doomed;
    job->at += job->step_records;
    job->tries = 0;
    step(job);
}

/* Adds what fits; sets job->step_*. */
static void fill_step(struct etcd__snapshot *job, struct etcdc_txn *txn)
{
    size_t bytes = 0;
    char key[COORD__KEY_BYTES];
    job->step_doomed = job->step_records = 0;
    while (job->doomed_at + job->step_doomed < job->doomed_count && job->step_doomed < STEP_OPS)
        etcdc_txn_delete(txn, false, etcdc_str(job->doomed[job->doomed_at + job->step_doomed++]),
                         none);
    unsigned puts = 0;
    while (job->step_doomed == 0 && job->at + job->step_records < job->records_count &&
           puts < STEP_OPS && bytes < STEP_BYTES) {
        struct gtm_store_entry e = coord__item_entry(job->records[job->at + job->step_records]);
        if (bytes > 0 && bytes + e.value_len > STEP_BYTES)
            break;
        job->step_records++;
        if (gtm_map_get(job->leased, e.key) || strcmp(e.key, GTM_STORE_ID_KEY) == 0)
            continue;
        etcdc_txn_put(txn, false, etcd__key(e.key, key), etcdc_bytes(e.value, e.value_len), 0, 0);
        bytes += strlen(e.key) + e.value_len;
        puts++;
    }
}

static void step(void *arg)
{
    struct etcd__snapshot *job = arg;
    char key[COORD__KEY_BYTES];
    if (job->doomed_at == job->doomed_count && job->at == job->records_count) {
        write_id(job, false, finished);
        return;
    }
    struct etcdc_txn *txn = etcdc_txn_new();
    int rc = ETCDC_E_NOMEM;
    if (txn) {
        etcdc_txn_if(txn, etcd__key(GTM_STORE_ID_KEY, key), ETCDC_MOD_REVISION, ETCDC_EQUAL,
                     job->id_revision);
        fill_step(job, txn);
        rc = etcdc_commit(job->store->client, txn, ETCDC_IDEMPOTENT, on_step, job);
    }
    if (rc != ETCDC_OK)
        etcd__job_fail(job, rc, "");
}

static void begin_steps(struct etcd__snapshot *job)
{
    gtm_timer_free(job->timer);
    job->timer = gtm_timer_new(job->store->loop, step, job);
    if (job->timer)
        step(job);
    else
        etcd__job_fail(job, ETCDC_E_NOMEM, "");
}

/* --- restoring: what is there --- */

static bool in_file(const struct etcd__snapshot *job, const char *key)
{
    size_t low = 0, high = job->records_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = strcmp(job->records[mid]->text, key);
        if (order == 0)
            return true;
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return false;
}

/* Keys that cannot be ours stay: nobody knows whose they are. */
static void look_at(struct etcd__snapshot *job, const struct etcdc_kv *kv)
{
    char key[GTM_STORE_KEY_MAX + 1];
    if (!etcd__rel_key(kv->key, key) || strcmp(key, GTM_STORE_ID_KEY) == 0 ||
        strncmp(key, COORD__ACTS, strlen(COORD__ACTS)) == 0)
        return;
    int rc = GTM_OK;
    if (kv->lease) {
        rc = gtm_map_put(job->leased, key, job, NULL);
    } else if (!in_file(job, key)) {
        rc = gtm_grow((void **)&job->doomed, &job->doomed_cap, job->doomed_count + 1,
                      sizeof(char *));
        char *full = rc == GTM_OK ? gtm_strndup(kv->key.p, kv->key.n) : NULL;
        if (full)
            job->doomed[job->doomed_count++] = full;
        else
            rc = GTM_ENOMEM;
    }
    if (rc != GTM_OK)
        gtm_error_set(&job->err, rc, "%s", gtm_err_text(rc));
}

static void on_restore_page(void *arg, const struct etcdc_kv *kvs, size_t count, bool restart)
{
    struct etcd__snapshot *job = arg;
    if (restart) {
        while (job->doomed_count > 0)
            gtm_free(job->doomed[--job->doomed_count]);
        gtm_map_free(job->leased, NULL);
        job->leased = gtm_map_new();
        if (!job->leased)
            gtm_error_set(&job->err, GTM_ENOMEM, "%s", gtm_err_text(GTM_ENOMEM));
    }
    for (size_t i = 0; i < count && job->err.code == GTM_OK; i++)
        look_at(job, &kvs[i]);
}

static void on_restore_listed(void *arg, const struct etcdc_answer *answer)
{
    struct etcd__snapshot *job = arg;
    if (answer->code != ETCDC_OK)
        etcd__job_fail(job, answer->code, answer->text);
    else if (job->err.code != GTM_OK)
        etcd__job_end(job);
    else
        write_id(job, true, begin_steps);
}

static void on_restore_id(void *arg, const struct etcdc_answer *answer)
{
    struct etcd__snapshot *job = arg;
    uint8_t end[sizeof(GTM_STORE_PREFIX)];
    struct etcdc_buf prefix = etcdc_str(GTM_STORE_PREFIX);
    int rc = read_id(job, answer);
    if (rc == ETCDC_OK)
        rc = etcdc_list(job->store->client, prefix, etcdc_prefix_end(prefix, end), ETCDC_KEYS_ONLY,
                        on_restore_page, on_restore_listed, job);
    if (rc != ETCDC_OK)
        etcd__job_fail(job, rc, answer->text);
}

/* --- restoring: the file --- */

static int add_record(void *ctx, const struct coord__record *record)
{
    struct etcd__snapshot *job = ctx;
    size_t n = job->records_count;
    if (record->key[0] == '!') /* a node's saved copy is no snapshot: it has no blobs */
        return GTM_ECORRUPT;
    /* In order of keys, so none is there twice. */
    if (n > 0 && strcmp(job->records[n - 1]->text, record->key) >= 0)
        return GTM_ECORRUPT;
    int rc =
        gtm_grow((void **)&job->records, &job->records_cap, n + 1, sizeof(struct coord__item *));
    if (rc != GTM_OK)
        return rc;
    job->records[n] = coord__item_new(COORD__ITEM_PUT, record->key, record->value,
                                      record->value_len, record->revision);
    if (!job->records[n])
        return GTM_ENOMEM;
    job->records_count++;
    if (strcmp(record->key, GTM_STORE_ID_KEY) != 0)
        return GTM_OK;
    struct coord__identity id = {0};
    rc = coord__identity_parse(record->value, record->value_len, &id, NULL);
    job->file_epoch = id.epoch;
    return rc;
}

static void read_work(void *arg)
{
    struct etcd__snapshot *job = arg;
    char *text;
    size_t len;
    int64_t revision = 0;
    int rc = gtm_fs_read(job->path, FILE_BYTES_MAX, &text, &len, &job->err);
    if (rc == GTM_OK) {
        struct gtm_error why = {0};
        rc = coord__snapshot_parse(text, len, add_record, job, &revision, &why);
        if (rc != GTM_OK)
            gtm_error_at(&job->err, rc, job->path, why.line, why.col, "%s", why.text);
        gtm_free(text);
    }
    job->err.code = rc;
}

static void read_done(void *arg)
{
    struct etcd__snapshot *job = arg;
    char key[COORD__KEY_BYTES];
    job->at_work = false;
    if (!job->store || job->err.code != GTM_OK) {
        etcd__job_end(job);
        return;
    }
    if (!job->store->open)
        etcdc_expect_cluster(job->store->client, job->store->stranger);
    int rc = etcdc_range(job->store->client, etcd__key(GTM_STORE_ID_KEY, key), none, 1, 0, 0,
                         on_restore_id, job);
    if (rc != ETCDC_OK)
        etcd__job_fail(job, rc, "");
}

int gtm_store_etcd_restore(struct gtm_store *base, const char *path, const char *owner,
                           const char *reason, gtm_store_done_fn *done, void *arg)
{
    struct etcd__store *store = etcd__of(base);
    if (store->closing)
        return GTM_ESTATE;
    struct etcd__snapshot *job = etcd__job_new(store, path, owner, reason, done, arg);
    if (!job)
        return GTM_ENOMEM;
    job->leased = gtm_map_new();
    int rc = job->leased ? gtm_loop_work(store->loop, read_work, read_done, job) : GTM_ENOMEM;
    job->at_work = rc == GTM_OK;
    if (rc != GTM_OK)
        etcd__job_free(job);
    return rc;
}
