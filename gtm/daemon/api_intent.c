/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading the cluster's intent: /intent, its history, revisions and chunks. See
 * deploy/openapi.yaml; what changes it is in api_apply.c.
 */
#include "gtm/base/mem.h"
#include "gtm/daemon/api_handlers.h"
#include "gtm/daemon/daemon.h"
#include "gtm/daemon/intent_apply.h"
#include "gtm/daemon/intent_sync.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool gtm_api_in_cluster(struct gtm_api_req *req)
{
    const struct gtmd *d = gtm_api_daemon(req);
    if (d->intent_sync)
        return true;
    gtm_api_problem(req, 422, "standalone",
                    "this node stands alone: cluster_file (%s) is in force; change it and use "
                    "gtmctl reload",
                    d->node->cluster_file ? d->node->cluster_file : "?");
    return false;
}

/* --- manifests as items, made on helper threads --- */

struct read_job {
    uint64_t revision; /* of the answers */
    char **texts;      /* of manifests */
    size_t count, cap;
    uint64_t limit;
    int64_t cur_rev;
    char cur_sha256[GTM_SHA256_HEX_BYTES];
    struct gtm_intent_status status;
    char *problem;
};

static void read_fini(void *arg)
{
    struct read_job *job = arg;
    for (size_t i = 0; i < job->count; i++)
        gtm_free(job->texts[i]);
    gtm_free(job->texts);
    gtm_free(job->problem);
    gtm_free(job);
}

static void fill(struct gtm_json *item, const struct gtm_manifest *m)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < m->files_count; i++)
        bytes += m->files[i].bytes;
    gtm_json_add_i64(item, "rev", m->rev);
    if (m->parent)
        gtm_json_add_i64(item, "parent", m->parent);
    else
        gtm_json_add_null(item, "parent");
    gtm_api_add_time(item, "time", m->time_ms);
    gtm_json_add_str(item, "who", m->who);
    gtm_json_add_str(item, "reason", m->why);
    gtm_json_add_i64(item, "bytes", (int64_t)bytes);
    gtm_json_add_i64(item, "files_count", (int64_t)m->files_count);
    gtm_json_add(item, "summary", m->summary ? gtm_json_copy(m->summary) : gtm_json_object());
}

static void add_status(struct gtm_json *item, const struct read_job *job)
{
    gtm_json_add_i64(item, "served_rev", job->status.served_rev);
    gtm_api_add_time(item, "served_since", job->status.since_ms);
    gtm_json_add_str(item, "problem", job->problem && job->problem[0] ? job->problem : NULL);
    gtm_api_add_time(item, "problem_since", job->status.problem_ms);
}

static struct gtm_json *build_one(void *arg)
{
    struct read_job *job = arg;
    struct gtm_manifest *m = NULL;
    struct gtm_error err = {0};
    struct gtm_json *item = gtm_json_object();
    if (job->count && gtm_manifest_parse(job->texts[0], strlen(job->texts[0]), &m, &err) == 0) {
        fill(item, m);
        gtm_json_add(item, "files", gtm_manifest_files_json(m));
    } else {
        gtm_json_add_i64(item, "rev", job->cur_rev);
        gtm_json_add(item, "files", gtm_json_array());
        gtm_json_add_str(item, "damage", job->count ? err.text : NULL);
    }
    gtm_json_add_i64(item, "current_rev", job->cur_rev);
    add_status(item, job);
    gtm_manifest_free(m);
    return gtm_api_item_root("IntentRevision", job->revision, item);
}

static struct gtm_json *build_list(void *arg)
{
    struct read_job *job = arg;
    struct gtm_json *items = gtm_json_array();
    for (size_t i = job->count; i-- > 0 && job->count - i <= job->limit;) {
        struct gtm_manifest *m = NULL;
        struct gtm_error err = {0};
        if (gtm_manifest_parse(job->texts[i], strlen(job->texts[i]), &m, &err))
            continue;
        struct gtm_json *item = gtm_json_append_object(items);
        fill(item, m);
        gtm_json_add_bool(item, "current", m->rev == job->cur_rev);
        gtm_json_add_bool(item, "served", m->rev == job->status.served_rev);
        gtm_manifest_free(m);
    }
    return gtm_api_list_root("IntentHistory", job->revision, items);
}

static int keep_text(void *arg, const struct gtm_store_entry *entry)
{
    struct read_job *job = arg;
    void *texts = job->texts;
    int rc = gtm_grow(&texts, &job->cap, job->count + 1, sizeof(*job->texts));
    job->texts = texts;
    if (rc)
        return rc;
    job->texts[job->count] = gtm_strndup(entry->value, entry->value_len);
    return job->texts[job->count] ? (job->count++, GTM_OK) : GTM_ENOMEM;
}

/* With what is current and served; NULL: 500 was answered. */
static struct read_job *read_new(struct gtm_api_req *req)
{
    struct gtmd *d = gtm_api_daemon(req);
    struct read_job *job = gtm_calloc(1, sizeof(*job));
    struct gtm_store_entry entry;
    if (job) {
        job->revision = gtmd_revision(d);
        gtm_intent_sync_status(d->intent_sync, &job->status);
        job->problem = gtm_strdup(job->status.problem);
        if (gtm_store_get(d->store, GTM_INTENT_CUR_KEY, &entry) == GTM_OK &&
            gtm_intent_cur_parse(entry.value, entry.value_len, &job->cur_rev, job->cur_sha256,
                                 NULL))
            job->cur_rev = 0;
    }
    if (job && job->problem)
        return job;
    if (job)
        read_fini(job);
    gtm_api_problem(req, 500, "internal", "out of memory");
    return NULL;
}

static void answer_revision(struct gtm_api_req *req, struct read_job *job, int64_t rev)
{
    char key[GTM_MANIFEST_KEY_BYTES];
    struct gtm_store_entry entry;
    int rc = gtm_store_get(gtm_api_daemon(req)->store, gtm_manifest_key(rev, key), &entry);
    if (rc == GTM_OK)
        rc = keep_text(job, &entry);
    if (rc == GTM_OK || rev == 0) {
        gtm_api_build(req, true, build_one, read_fini, job);
        return;
    }
    read_fini(job);
    if (rc == GTM_ENOTFOUND)
        gtm_api_problem(req, 404, "notfound", "there is no revision %lld any more", (long long)rev);
    else
        gtm_api_problem(req, 500, "internal", "out of memory");
}

void gtm_api_get_intent(struct gtm_api_req *req)
{
    struct read_job *job = gtm_api_in_cluster(req) ? read_new(req) : NULL;
    if (job)
        answer_revision(req, job, job->cur_rev);
}

void gtm_api_get_intent_revision(struct gtm_api_req *req)
{
    const char *text = gtm_api_path(req, "rev");
    size_t digits = strspn(text, "0123456789");
    if (!gtm_api_in_cluster(req))
        return;
    if (digits == 0 || digits > 15 || text[digits] || text[0] == '0') {
        gtm_api_problem(req, 400, "badrequest", "a revision is a whole number from 1 up");
        return;
    }
    struct read_job *job = read_new(req);
    if (job)
        answer_revision(req, job, strtoll(text, NULL, 10));
}

void gtm_api_get_intent_history(struct gtm_api_req *req)
{
    uint64_t limit = 0;
    if (!gtm_api_in_cluster(req) ||
        !gtm_api_query_u64(req, "limit", GTM_INTENT_HISTORY_MAX, 1, 10000, &limit))
        return;
    struct read_job *job = read_new(req);
    if (!job)
        return;
    job->limit = limit;
    if (!gtm_store_list(gtm_api_daemon(req)->store, GTM_INTENT_REV_PREFIX, keep_text, job)) {
        gtm_api_build(req, true, build_list, read_fini, job);
        return;
    }
    read_fini(job);
    gtm_api_problem(req, 500, "internal", "out of memory");
}

/* --- chunks --- */

struct blob_wait {
    struct gtm_api_req *req;
    char sha256[GTM_SHA256_HEX_BYTES];
};

static void on_blob(void *arg, const struct gtm_store_fetched *fetched)
{
    struct blob_wait *wait = arg;
    if (fetched->code)
        gtm_api_problem(wait->req, 503, gtm_err_word(fetched->code), "%s",
                        fetched->err && fetched->err->text[0] ? fetched->err->text
                                                              : gtm_err_text(fetched->code));
    else if (fetched->count == 0)
        gtm_api_problem(wait->req, 404, "notfound", "there is no chunk %s", wait->sha256);
    else
        gtm_api_text(wait->req, 200, "text/plain; charset=utf-8",
                     gtm_strndup(fetched->entries[0].value, fetched->entries[0].value_len));
    gtm_free(wait);
}

void gtm_api_get_intent_blob(struct gtm_api_req *req)
{
    const char *sha256 = gtm_api_path(req, "sha256");
    char key[GTM_BLOB_KEY_BYTES];
    if (!gtm_api_in_cluster(req))
        return;
    if (!gtm_sha256_ok(sha256)) {
        gtm_api_problem(req, 400, "badrequest", "a chunk is named by 64 hexadecimal digits");
        return;
    }
    struct blob_wait *wait = gtm_calloc(1, sizeof(*wait));
    int rc = wait ? GTM_OK : GTM_ENOMEM;
    if (wait) {
        wait->req = req;
        memcpy(wait->sha256, sha256, sizeof(wait->sha256));
        snprintf(key, sizeof(key), GTM_BLOB_PREFIX "%s", sha256);
        rc = gtm_store_fetch(gtm_api_daemon(req)->store, key, NULL, 1, on_blob, wait);
    }
    if (!rc)
        return;
    gtm_free(wait);
    gtm_api_problem(req, 503, gtm_err_word(rc), "%s", gtm_err_text(rc));
}
