/* SPDX-License-Identifier: Apache-2.0
 *
 * Changing the cluster's intent: apply, rollback, delete, and uploading chunks. See
 * deploy/openapi.yaml and intent_apply.h.
 *
 * Small intents come whole: {"files":[{"name":…,"text":…}]}. Large ones are cut by the client as
 * gtm/model/manifest.h does; it uploads the chunks that no revision has, some at a time, and names
 * them: {"files":[{"name":…,"bytes":…,"sha256":…,"blobs":[…]}]}. Both forms may be mixed.
 */
#include "gtm/base/loop.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/api_handlers.h"
#include "gtm/daemon/chunks.h"
#include "gtm/daemon/daemon.h"
#include "gtm/daemon/intent_apply.h"
#include "gtm/daemon/intent_disk.h"
#include "gtm/daemon/intent_sync.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UPLOAD_BLOBS_MAX 100

/* --- the answer --- */

static int status_of(int code)
{
    switch (code) {
    case GTM_ECONFLICT:
        return 409;
    case GTM_ENOTFOUND:
        return 404;
    case GTM_ENOMEM:
    case GTM_ECORRUPT:
        return 500;
    case GTM_EPARSE:
    case GTM_EBLOCKED:
    case GTM_EINVAL:
    case GTM_EUNSUPPORTED:
    case GTM_ELIMIT:
        return 422;
    default:
        return 503;
    }
}

/* The mass delete as findings. */
static void answer_blocked(struct gtm_api_req *req, const struct gtm_intent_outcome *outcome)
{
    struct gtm_diags diags = {0};
    for (const struct gtm_json *m = gtm_json_first(outcome->mass); m; m = gtm_json_next(m))
        gtm_diags_add(&diags, GTM_SEV_ERROR, GTM_MANIFEST_MAIN, 0, 0, "removes %s",
                      gtm_json_as_str(m) ? gtm_json_as_str(m) : "?");
    gtm_api_problem_diags(req, 422, "blocked", outcome->text, &diags);
    gtm_diags_fini(&diags);
}

struct apply_wait {
    struct gtm_api_req *req;
    bool dry_run;
};

static void on_outcome(void *arg, struct gtm_intent_outcome *outcome)
{
    struct apply_wait *wait = arg;
    if (outcome->code == GTM_EBLOCKED) {
        answer_blocked(wait->req, outcome);
    } else if (outcome->code) {
        const char *word = outcome->code == GTM_EPARSE      ? "invalid"
                           : outcome->code == GTM_ECONFLICT ? "conflict"
                                                            : gtm_err_word(outcome->code);
        gtm_api_problem_diags(wait->req, status_of(outcome->code), word, outcome->text,
                              outcome->findings);
    } else {
        struct gtm_json *item = gtm_json_object();
        gtm_json_add_bool(item, "dry_run", wait->dry_run);
        gtm_json_add_bool(item, "changed", outcome->changed);
        gtm_json_add_i64(item, "base_rev", outcome->base_rev);
        if (outcome->rev)
            gtm_json_add_i64(item, "rev", outcome->rev);
        else
            gtm_json_add_null(item, "rev");
        gtm_json_add(item, "diff", outcome->diff);
        gtm_json_add(item, "mass_delete", outcome->mass);
        gtm_json_add(item, "summary", outcome->summary);
        gtm_json_add_i64(item, "warnings", (int64_t)outcome->findings->warnings);
        gtm_json_add(item, "diagnostics", gtm_api_diags(outcome->findings));
        outcome->diff = outcome->mass = outcome->summary = NULL;
        gtm_api_item(wait->req, 200, "IntentChange", item);
    }
    gtm_free(wait);
}

/* Takes the proposal. */
static void propose(struct gtm_api_req *req, struct gtm_intent_proposal *proposal)
{
    struct apply_wait *wait = gtm_calloc(1, sizeof(*wait));
    int rc = GTM_ENOMEM;
    if (wait) {
        *wait = (struct apply_wait){req, proposal->dry_run};
        rc = gtm_intent_apply(gtm_api_daemon(req), proposal, on_outcome, wait);
    } else {
        gtm_intent_proposal_fini(proposal);
    }
    if (!rc)
        return;
    gtm_free(wait);
    if (rc == GTM_ELIMIT)
        gtm_api_problem(req, 503, "busy", "too many intents are being applied: try again");
    else
        gtm_api_problem(req, 500, "internal", "out of memory");
}

/* --- the request, on a helper thread --- */

struct request {
    struct gtm_api_req *req;
    struct gtmd *d;
    char *body, *data_dir;
    size_t len;
    struct gtm_intent_proposal proposal;
    int code;
    struct gtm_error err;
    /* uploads */
    struct gtm_json *root;
    struct gtm_blob_ref *blobs;
    const char **texts; /* of root */
    struct gtm_chunks_mark mark;
    size_t count;
};

static void request_free(struct request *r)
{
    gtm_intent_proposal_fini(&r->proposal);
    gtm_json_free(r->root);
    gtm_free(r->blobs);
    gtm_free(r->texts);
    gtm_free(r->body);
    gtm_free(r->data_dir);
    gtm_free(r);
}

/* A JSON object with no other members than those allowed. */
static struct gtm_json *parse_body(struct request *r, const char *allowed)
{
    struct gtm_json *root = gtm_json_parse(r->body, r->len, &r->err);
    if (!root) {
        char why[GTM_ERROR_TEXT_BYTES];
        snprintf(why, sizeof(why), "%s", r->err.text);
        r->code =
            gtm_error_set(&r->err, GTM_EINVAL, "the body is no JSON: line %u column %u: %.300s",
                          r->err.line, r->err.col, why);
        return NULL;
    }
    if (gtm_json_type(root) != GTM_JSON_OBJECT)
        r->code = gtm_error_set(&r->err, GTM_EINVAL, "the body must be a JSON object");
    for (struct gtm_json *m = gtm_json_first(root); !r->code && m; m = gtm_json_next(m))
        if (!gtm_api_list_has(allowed, gtm_json_key(m)))
            r->code =
                gtm_error_set(&r->err, GTM_EINVAL, "unknown member '%.100s'; the body takes %s",
                              gtm_json_key(m), allowed);
    if (!r->code)
        return root;
    gtm_json_free(root);
    return NULL;
}

static int read_common(struct request *r, const struct gtm_json *root)
{
    const struct gtm_json *expect = gtm_json_get(root, "expect_rev");
    const struct gtm_json *mass = gtm_json_get(root, "allow_mass_delete");
    const struct gtm_json *reason = gtm_json_get(root, "reason");
    const char *why = gtm_json_as_str(reason);
    if (gtm_json_type(expect) != GTM_JSON_NULL) {
        r->proposal.has_expect = true;
        r->proposal.expect_rev = gtm_json_as_i64(expect, -1);
        if (r->proposal.expect_rev < 0)
            return gtm_error_set(&r->err, GTM_EINVAL, "expect_rev must be a whole number");
    }
    if (gtm_json_type(mass) != GTM_JSON_NULL && gtm_json_type(mass) != GTM_JSON_BOOL)
        return gtm_error_set(&r->err, GTM_EINVAL, "allow_mass_delete must be true or false");
    r->proposal.allow_mass_delete = gtm_json_as_bool(mass, false);
    if ((gtm_json_type(reason) != GTM_JSON_NULL && !why) ||
        (why && strlen(why) > GTM_MANIFEST_WHY_MAX))
        return gtm_error_set(&r->err, GTM_EINVAL, "reason must be a text of at most %u bytes",
                             GTM_MANIFEST_WHY_MAX);
    r->proposal.why = why ? gtm_strdup(why) : NULL;
    return why && !r->proposal.why ? gtm_error_set(&r->err, GTM_ENOMEM, "out of memory") : GTM_OK;
}

static int put_chunk(void *arg, const struct gtm_blob_ref *blob, const char *text)
{
    struct request *r = arg;
    return gtm_intent_disk_put(r->data_dir, blob, text, &r->err);
}

/* A file that came as its text: cut here. */
static int add_text(struct request *r, const char *name, const char *text)
{
    struct gtm_manifest *m = r->proposal.files;
    size_t len = strlen(text);
    int rc = gtm_manifest_add(m, name, text, len, &r->err);
    return rc ? rc : gtm_manifest_walk(&m->files[m->files_count - 1], text, len, put_chunk, r);
}

/* Files named by their chunks, as they are, and those with a text, cut. */
static int read_files(struct request *r, const struct gtm_json *files)
{
    struct gtm_json *named = gtm_json_array();
    r->proposal.files = gtm_manifest_new();
    int rc =
        named && r->proposal.files ? GTM_OK : gtm_error_set(&r->err, GTM_ENOMEM, "out of memory");
    if (rc == GTM_OK && (gtm_json_type(files) != GTM_JSON_ARRAY || gtm_json_count(files) == 0 ||
                         gtm_json_count(files) > GTM_MANIFEST_FILES_MAX))
        rc = gtm_error_set(&r->err, GTM_EINVAL, "\"files\" must be a list of 1 to %u files",
                           GTM_MANIFEST_FILES_MAX);
    for (const struct gtm_json *f = gtm_json_first(files); f && rc == GTM_OK; f = gtm_json_next(f))
        if (!gtm_json_get(f, "text"))
            gtm_json_append(named, gtm_json_copy(f));
    if (rc == GTM_OK && gtm_json_count(named))
        rc = gtm_manifest_files_parse(r->proposal.files, named, &r->err);
    for (const struct gtm_json *f = gtm_json_first(files); f && rc == GTM_OK;
         f = gtm_json_next(f)) {
        const char *text = gtm_json_str(f, "text", NULL);
        if (text)
            rc = add_text(r, gtm_json_str(f, "name", NULL), text);
        else if (gtm_json_get(f, "text"))
            rc = gtm_error_set(&r->err, GTM_EINVAL, "\"text\" must be a text");
    }
    gtm_json_free(named);
    return rc;
}

static void work_apply(void *arg)
{
    struct request *r = arg;
    struct gtm_json *root = parse_body(r, "files expect_rev allow_mass_delete reason");
    gtm_free(r->body);
    r->body = NULL;
    if (!root)
        return;
    r->code = read_common(r, root);
    if (!r->code)
        r->code = read_files(r, gtm_json_get(root, "files"));
    gtm_json_free(root);
}

static void work_rollback(void *arg)
{
    struct request *r = arg;
    struct gtm_json *root = parse_body(r, "to expect_rev allow_mass_delete reason");
    if (!root)
        return;
    r->code = read_common(r, root);
    r->proposal.rollback_to = gtm_json_i64(root, "to", 0);
    if (!r->code && r->proposal.rollback_to < 1)
        r->code = gtm_error_set(&r->err, GTM_EINVAL, "\"to\" must be a revision");
    gtm_json_free(root);
}

static void answer_bad(struct request *r)
{
    gtm_api_problem(r->req, r->code == GTM_EINVAL ? 400 : status_of(r->code),
                    r->code == GTM_EINVAL ? "badrequest" : gtm_err_word(r->code), "%s",
                    r->err.text[0] ? r->err.text : gtm_err_text(r->code));
    request_free(r);
}

static void work_done(void *arg)
{
    struct request *r = arg;
    if (r->code) {
        answer_bad(r);
        return;
    }
    propose(r->req, &r->proposal);
    request_free(r);
}

static struct request *request_new(struct gtm_api_req *req, const char *verb)
{
    struct gtmd *d = gtm_api_daemon(req);
    struct request *r = gtm_calloc(1, sizeof(*r));
    size_t len = 0;
    const char *body = gtm_api_body(req, &len);
    if (!r)
        return NULL;
    r->req = req;
    r->d = d;
    r->data_dir = gtm_strdup(d->node->data_dir);
    r->body = gtm_malloc(len + 1);
    if (r->body) {
        if (len)
            memcpy(r->body, body, len);
        r->body[len] = 0;
        r->len = len;
    }
    r->proposal.verb = verb;
    r->proposal.role = gtm_api_role_word(gtm_api_role(req));
    gtm_api_owner(req, r->proposal.who);
    if (r->data_dir && r->body)
        return r;
    request_free(r);
    return NULL;
}

static void post(struct gtm_api_req *req, const char *verb, void (*work)(void *arg),
                 void (*done)(void *arg))
{
    bool dry_run = false;
    if (!gtm_api_in_cluster(req) || !gtm_api_query_dry_run(req, &dry_run))
        return;
    struct request *r = request_new(req, verb);
    if (!r) {
        gtm_api_problem(req, 500, "internal", "out of memory");
        return;
    }
    r->proposal.dry_run = dry_run;
    if (!gtm_loop_work(r->d->loop, work, done, r))
        return;
    request_free(r);
    gtm_api_problem(req, 503, "busy", "too much work is waiting");
}

void gtm_api_post_intent(struct gtm_api_req *req)
{
    post(req, "intent apply", work_apply, work_done);
}

void gtm_api_post_intent_rollback(struct gtm_api_req *req)
{
    post(req, "intent rollback", work_rollback, work_done);
}

void gtm_api_delete_intent_object(struct gtm_api_req *req)
{
    struct gtm_intent_proposal p = {.verb = "intent delete",
                                    .role = gtm_api_role_word(gtm_api_role(req))};
    const char *mass = gtm_api_query(req, "allowMassDelete"), *why = gtm_api_query(req, "reason");
    uint64_t expect = 0;
    if (!gtm_api_in_cluster(req) || !gtm_api_query_dry_run(req, &p.dry_run) ||
        !gtm_api_query_u64(req, "expectRev", 0, 0, INT64_MAX, &expect))
        return;
    if ((mass && strcmp(mass, "true") != 0 && strcmp(mass, "false") != 0) ||
        (why && strlen(why) > GTM_MANIFEST_WHY_MAX)) {
        gtm_api_problem(req, 400, "badrequest",
                        "allowMassDelete must be true or false, reason at most %u bytes",
                        GTM_MANIFEST_WHY_MAX);
        return;
    }
    p.has_expect = gtm_api_query(req, "expectRev") != NULL;
    p.expect_rev = (int64_t)expect;
    p.allow_mass_delete = mass && strcmp(mass, "true") == 0;
    p.delete_kind = gtm_strdup(gtm_api_path(req, "kind"));
    p.delete_name = gtm_strdup(gtm_api_path(req, "name"));
    p.why = why ? gtm_strdup(why) : NULL;
    gtm_api_owner(req, p.who);
    if (p.delete_kind && p.delete_name && (!why || p.why)) {
        propose(req, &p);
        return;
    }
    gtm_intent_proposal_fini(&p);
    gtm_api_problem(req, 500, "internal", "out of memory");
}

/* --- uploads --- */

static int read_chunk(struct request *r, const struct gtm_json *item)
{
    const char *text = gtm_json_as_str(item);
    size_t len = text ? strlen(text) : 0;
    struct gtm_blob_ref *blob = &r->blobs[r->count];
    if (len == 0 || len > GTM_BLOB_MAX_BYTES)
        return gtm_error_set(&r->err, GTM_EINVAL, "a chunk is a text of 1 to %u bytes",
                             GTM_BLOB_MAX_BYTES);
    blob->bytes = (uint32_t)len;
    if (!gtm_sha256_hex(text, len, blob->sha256))
        return gtm_error_set(&r->err, GTM_ENOMEM, "out of memory");
    for (size_t i = 0; i < r->count; i++)
        if (strcmp(r->blobs[i].sha256, blob->sha256) == 0)
            return GTM_OK; /* one key, one change */
    r->texts[r->count++] = text;
    return gtm_intent_disk_put(r->data_dir, blob, text, &r->err);
}

static void work_upload(void *arg)
{
    struct request *r = arg;
    r->root = parse_body(r, "texts");
    const struct gtm_json *texts = gtm_json_get(r->root, "texts");
    size_t count = gtm_json_count(texts);
    if (r->code)
        return;
    if (gtm_json_type(texts) != GTM_JSON_ARRAY || count == 0 || count > UPLOAD_BLOBS_MAX) {
        r->code = gtm_error_set(&r->err, GTM_EINVAL, "\"texts\" must be a list of 1 to %d chunks",
                                UPLOAD_BLOBS_MAX);
        return;
    }
    r->blobs = gtm_calloc(count, sizeof(*r->blobs));
    r->texts = gtm_calloc(count, sizeof(*r->texts));
    if (!r->blobs || !r->texts)
        r->code = gtm_error_set(&r->err, GTM_ENOMEM, "out of memory");
    for (const struct gtm_json *t = gtm_json_first(texts); t && !r->code; t = gtm_json_next(t))
        r->code = read_chunk(r, t);
}

static void on_uploaded(void *arg, const struct gtm_store_result *result)
{
    struct request *r = arg;
    if (result->code) {
        r->code = result->code == GTM_EINVAL ? GTM_EIO : result->code;
        r->err = *result->err;
        answer_bad(r);
        return;
    }
    struct gtm_json *item = gtm_json_object(), *list = gtm_json_add_array(item, "blobs");
    for (size_t i = 0; i < r->count; i++) {
        struct gtm_json *one = gtm_json_append_object(list);
        gtm_json_add_str(one, "sha256", r->blobs[i].sha256);
        gtm_json_add_i64(one, "bytes", r->blobs[i].bytes);
        gtm_chunks_add(gtm_intent_sync_chunks(r->d->intent_sync), &r->mark, r->blobs[i].sha256);
    }
    gtm_api_item(r->req, 200, "IntentBlobs", item);
    request_free(r);
}

static void upload_read(void *arg)
{
    struct request *r = arg;
    struct gtm_store_change changes[UPLOAD_BLOBS_MAX];
    char keys[UPLOAD_BLOBS_MAX][GTM_BLOB_KEY_BYTES];
    size_t bytes = 0;
    for (size_t i = 0; !r->code && i < r->count; i++) {
        snprintf(keys[i], sizeof(keys[i]), GTM_BLOB_PREFIX "%s", r->blobs[i].sha256);
        changes[i] = (struct gtm_store_change){.kind = GTM_STORE_PUT,
                                               .key = keys[i],
                                               .value = r->texts[i],
                                               .value_len = r->blobs[i].bytes,
                                               .expect = GTM_STORE_ANY};
        bytes += r->blobs[i].bytes;
    }
    if (!r->code && bytes > (1u << 20))
        r->code = gtm_error_set(&r->err, GTM_EINVAL, "at most 1 MiB of chunks at a time");
    if (!r->code) {
        r->mark = gtm_chunks_mark_now(r->d->store);
        r->code = gtm_store_commit(r->d->store, changes, r->count, on_uploaded, r);
        if (!r->code)
            return;
        gtm_error_set(&r->err, r->code, "%s", gtm_err_text(r->code));
    }
    answer_bad(r);
}

void gtm_api_post_intent_blobs(struct gtm_api_req *req)
{
    post(req, "intent upload", work_upload, upload_read);
}
