/* SPDX-License-Identifier: Apache-2.0
 *
 * The steps of an apply on the loop. See intent_apply.h; what takes long is in intent_apply_work.c.
 */
#include "gtm/daemon/intent_apply.h"

#include "gtm/base/fs.h"
#include "gtm/base/log.h"
#include "gtm/base/mem.h"
#include "gtm/coord/audit.h"
#include "gtm/daemon/chunks.h"
#include "gtm/daemon/daemon.h"
#include "gtm/daemon/intent_apply_int.h"
#include "gtm/daemon/intent_sync.h"

#include <stdio.h>
#include <string.h>

#define DROP_REVISIONS_MAX 20 /* with one apply */
#define ROUNDS_MAX         5  /* each but the first means that chunks were deleted meanwhile */

void gtm_intent_proposal_fini(struct gtm_intent_proposal *proposal)
{
    gtm_manifest_free(proposal->files);
    gtm_free(proposal->delete_kind);
    gtm_free(proposal->delete_name);
    gtm_free(proposal->why);
    *proposal = (struct gtm_intent_proposal){0};
}

/* --- the end --- */

static void cleaned(void *arg)
{
    apply__free(arg);
}

static void finish(struct apply *a)
{
    struct gtm_intent_outcome outcome = {.code = a->code,
                                         .text =
                                             a->err.text[0] ? a->err.text : gtm_err_text(a->code),
                                         .base_rev = a->base_rev,
                                         .rev = a->rev,
                                         .changed = a->changed,
                                         .findings = &a->findings,
                                         .diff = a->diff,
                                         .mass = a->mass,
                                         .summary = a->summary};
    a->d->intent_applies--;
    a->done(a->arg, &outcome);
    a->diff = outcome.diff;
    a->mass = outcome.mass;
    a->summary = outcome.summary;
    if (gtm_loop_work(a->d->loop, apply__work_clean, cleaned, a)) {
        apply__work_clean(a); /* late, but there is nobody else to do it */
        apply__free(a);
    }
}

static void fail(struct apply *a, int code, const char *text)
{
    a->code = gtm_error_set(&a->err, code, "%s", text);
    finish(a);
}

static void next_work(struct apply *a, void (*work)(void *arg), void (*done)(void *arg))
{
    if (gtm_loop_work(a->d->loop, work, done, a))
        fail(a, GTM_ELIMIT, "too much work is waiting");
}

/* --- the transaction --- */

static void put_all(struct apply *a);

static bool still_base(const struct apply *a)
{
    struct gtm_store_entry entry;
    bool there = gtm_store_get(a->d->store, GTM_INTENT_CUR_KEY, &entry) == GTM_OK;
    return there ? entry.revision == a->base_revision : a->base_revision == GTM_STORE_ABSENT;
}

static void committed(void *arg, const struct gtm_store_result *result)
{
    struct apply *a = arg;
    if (result->code == GTM_ECONFLICT && still_base(a) && a->rounds < ROUNDS_MAX) {
        put_all(a); /* chunks were deleted meanwhile, perhaps some of these */
        return;
    }
    if (result->code == GTM_ECONFLICT) {
        fail(a, GTM_ECONFLICT,
             still_base(a) ? "chunks were deleted from the store again and again: try again"
                           : "somebody else applied at the same time: look at the differences "
                             "again (gtmctl diff)");
        return;
    }
    if (result->code) {
        fail(a, result->code,
             result->err && result->err->text[0] ? result->err->text : gtm_err_text(result->code));
        return;
    }
    a->rev = a->next->rev;
    gtm_log(GTM_LOG_INFO, "intent", "a revision was applied", gtm_kv_int("rev", a->rev),
            gtm_kv_str("who", a->want.who), gtm_kv_str("why", a->want.why ? a->want.why : ""));
    finish(a);
}

static int commit_audited(struct apply *a, const struct gtm_store_change *changes, size_t count)
{
    char subject[48], before[64];
    snprintf(subject, sizeof(subject), "intent/%lld", (long long)a->next->rev);
    snprintf(before, sizeof(before), "{\"rev\":%lld}", (long long)a->base_rev);
    char *summary = gtm_json_print(a->summary, false);
    char *after = gtm_asprintf("{\"rev\":%lld,\"sha256\":\"%s\",\"objects\":%s}",
                               (long long)a->next->rev, a->sha256, summary ? summary : "{}");
    struct gtm_audit_entry entry = {.time_ms = a->next->time_ms,
                                    .who = a->want.who,
                                    .role = a->want.role,
                                    .node = a->d->node->name,
                                    .verb = a->want.verb,
                                    .subject = subject,
                                    .why = a->want.why,
                                    .before = a->base_rev ? before : NULL,
                                    .after = after};
    int rc = summary && after ? gtm_audit_commit(a->d->store, &entry, changes, count, committed, a)
                              : GTM_ENOMEM;
    gtm_free(summary);
    gtm_free(after);
    return rc;
}

static void commit(struct apply *a)
{
    struct gtm_store_change changes[3 + DROP_REVISIONS_MAX];
    char key[GTM_MANIFEST_KEY_BYTES];
    char *cur = gtm_intent_cur_print(a->next->rev, a->sha256);
    size_t count = 0;
    changes[count++] = (struct gtm_store_change){.kind = GTM_STORE_PUT,
                                                 .key = gtm_manifest_key(a->next->rev, key),
                                                 .value = a->manifest_text,
                                                 .value_len = strlen(a->manifest_text),
                                                 .expect = GTM_STORE_ANY};
    changes[count++] = (struct gtm_store_change){.kind = GTM_STORE_PUT,
                                                 .key = GTM_INTENT_CUR_KEY,
                                                 .value = cur,
                                                 .value_len = cur ? strlen(cur) : 0,
                                                 .expect = a->base_revision};
    changes[count++] = gtm_chunks_check(&a->mark);
    for (size_t i = 0; i < a->history_count && count < 3 + DROP_REVISIONS_MAX; i++)
        if (a->history[i].old)
            changes[count++] = (struct gtm_store_change){
                .kind = GTM_STORE_DELETE, .key = a->history[i].key, .expect = GTM_STORE_ANY};
    int rc = cur ? commit_audited(a, changes, count) : GTM_ENOMEM;
    gtm_free(cur);
    if (rc)
        fail(a, rc,
             rc == GTM_ELIMIT ? "too many commits wait, or the list of files is too long"
                              : gtm_err_text(rc));
}

/* --- chunks into the store --- */

static void put_next(struct apply *a);

static void batch_stored(void *arg, const struct gtm_store_result *result)
{
    struct apply *a = arg;
    struct gtm_chunks *chunks = gtm_intent_sync_chunks(a->d->intent_sync);
    for (size_t i = 0; !result->code && i < a->batch_count; i++)
        gtm_chunks_add(chunks, &a->mark, a->puts[a->puts_at + i].sha256);
    a->puts_at += a->batch_count;
    apply__free_batch(a);
    if (result->code)
        fail(a, result->code,
             result->err && result->err->text[0] ? result->err->text : gtm_err_text(result->code));
    else
        put_next(a);
}

static void batch_read(void *arg)
{
    struct apply *a = arg;
    struct gtm_store_change changes[APPLY__BATCH_MAX];
    char keys[APPLY__BATCH_MAX][GTM_BLOB_KEY_BYTES];
    if (a->code) {
        finish(a);
        return;
    }
    for (size_t i = 0; i < a->batch_count; i++) {
        const struct gtm_blob_ref *blob = &a->puts[a->puts_at + i];
        snprintf(keys[i], sizeof(keys[i]), GTM_BLOB_PREFIX "%s", blob->sha256);
        changes[i] = (struct gtm_store_change){.kind = GTM_STORE_PUT,
                                               .key = keys[i],
                                               .value = a->batch[i],
                                               .value_len = blob->bytes,
                                               .expect = GTM_STORE_ANY};
    }
    int rc = gtm_store_commit(a->d->store, changes, a->batch_count, batch_stored, a);
    if (rc)
        fail(a, rc, gtm_err_text(rc));
}

static void put_next(struct apply *a)
{
    if (a->puts_at < a->puts_count)
        next_work(a, apply__work_batch, batch_read);
    else
        commit(a);
}

/* From the beginning: those first that are not surely in the store, and then no others. */
static void put_all(struct apply *a)
{
    const struct gtm_chunks *chunks = gtm_intent_sync_chunks(a->d->intent_sync);
    a->rounds++;
    a->mark = gtm_chunks_mark_now(a->d->store);
    a->puts_at = a->puts_count = 0;
    for (size_t i = 0; i < a->wants_count; i++) {
        struct gtm_blob_ref blob = a->puts[i];
        if (chunks && gtm_chunks_has(chunks, &a->mark, blob.sha256))
            continue;
        a->puts[i] = a->puts[a->puts_count];
        a->puts[a->puts_count++] = blob;
    }
    put_next(a);
}

/* --- may it be? --- */

/* Safety rules of the intent that look at what an apply takes away are asked here; now there is
 * just one that nobody needs to write down: no mass delete by accident. */
static bool is_allowed(struct apply *a)
{
    if (a->want.allow_mass_delete || gtm_json_count(a->mass) == 0)
        return true;
    gtm_error_set(&a->err, GTM_EBLOCKED,
                  "it removes %s%s: nothing was changed; if that is meant, allow it "
                  "(--allow-mass-delete)",
                  gtm_json_as_str(gtm_json_first(a->mass))
                      ? gtm_json_as_str(gtm_json_first(a->mass))
                      : "very much",
                  gtm_json_count(a->mass) > 1 ? " and more" : "");
    return false;
}

static void compared(void *arg)
{
    struct apply *a = arg;
    if (!a->code && !still_base(a))
        a->code = gtm_error_set(&a->err, GTM_ECONFLICT,
                                "somebody else applied at the same time: look at the differences "
                                "again (gtmctl diff)");
    /* One object that was named is no accident, but a zone has names. */
    if (!a->code && a->want.delete_kind && strcmp(a->want.delete_kind, "zones") != 0) {
        gtm_json_free(a->mass);
        a->mass = gtm_json_array();
    }
    if (!a->code && !is_allowed(a) && !a->want.dry_run)
        a->code = GTM_EBLOCKED;
    if (!a->code && strlen(a->manifest_text) > GTM_STORE_VALUE_MAX)
        a->code = gtm_error_set(&a->err, GTM_ELIMIT,
                                "the list of %zu files does not fit into the store's %u KiB: join "
                                "small zone files, or name those that rarely change by an absolute "
                                "path",
                                a->next->files_count, GTM_STORE_VALUE_MAX >> 10);
    if (a->code || a->want.dry_run || !a->changed) {
        finish(a);
        return;
    }
    a->err = (struct gtm_error){0};
    put_all(a);
}

/* --- checked as a node would load it --- */

/* Findings name files as the operator does, not where they are being tried. */
static void keep_findings(struct apply *a, const struct gtm_diags *diags)
{
    size_t n = strlen(a->next_folder);
    for (size_t i = 0; i < diags->count; i++) {
        const struct gtm_diag *diag = &diags->items[i];
        const char *file = diag->file ? diag->file : "";
        bool ours = strncmp(file, a->next_folder, n) == 0 && file[n] == '/';
        gtm_diags_add(&a->findings, diag->severity, ours ? file + n + 1 : file, diag->line,
                      diag->col, "%s", diag->text ? diag->text : "");
        gtm_diags_set_width(&a->findings, diag->width);
    }
}

static void on_checked(void *arg, const struct gtm_reload_result *result)
{
    struct apply *a = arg;
    keep_findings(a, result->diags);
    if (!result->code) {
        next_work(a, apply__work_compare, compared);
        return;
    }
    a->code = result->code;
    if (result->code == GTM_EPARSE)
        gtm_error_set(&a->err, GTM_EPARSE, "the intent has %zu error%s; nothing was changed",
                      result->diags->errors, result->diags->errors == 1 ? "" : "s");
    finish(a);
}

static void written(void *arg)
{
    struct apply *a = arg;
    char *path = a->code ? NULL : gtm_fs_join(a->next_folder, GTM_MANIFEST_MAIN);
    if (a->code) {
        finish(a);
        return;
    }
    int rc = path ? gtm_reload_intent(a->d->reload, path, true, on_checked, a) : GTM_ENOMEM;
    gtm_free(path);
    if (rc)
        fail(a, rc, gtm_err_text(rc));
}

/* --- what it is based on --- */

static void fetched(void *arg, int code, const struct gtm_error *err)
{
    struct apply *a = arg;
    if (code) {
        a->code = code;
        a->err = *err;
        if (code == GTM_ENOTFOUND)
            gtm_error_wrap(&a->err, "a chunk was not uploaded");
        finish(a);
        return;
    }
    next_work(a, apply__work_write, written);
}

static void parsed(void *arg)
{
    struct apply *a = arg;
    struct gtm_intent_fetch *fetch = a->code
                                         ? NULL
                                         : gtm_intent_fetch_start(&(struct gtm_intent_fetch_opts){
                                               .loop = a->d->loop,
                                               .store = a->d->store,
                                               .data_dir = a->data_dir,
                                               .manifests = {a->next, a->base},
                                               .chunks = NULL, /* the node may stop meanwhile */
                                               .done = fetched,
                                               .arg = a});
    if (a->code)
        finish(a);
    else if (!fetch)
        fail(a, GTM_ENOMEM, "out of memory");
}

static int copy_manifest(void *arg, const struct gtm_store_entry *entry)
{
    struct apply *a = arg;
    void *items = a->history;
    int rc = gtm_grow(&items, &a->history_cap, a->history_count + 1, sizeof(*a->history));
    a->history = items;
    if (rc)
        return rc;
    struct apply__text *h = &a->history[a->history_count++];
    *h = (struct apply__text){.key = gtm_strdup(entry->key),
                              .text = gtm_strndup(entry->value, entry->value_len),
                              .len = entry->value_len};
    return h->key && h->text ? GTM_OK : GTM_ENOMEM;
}

static int read_base(struct apply *a)
{
    struct gtm_store_entry entry;
    char sha256[GTM_SHA256_HEX_BYTES];
    if (gtm_store_get(a->d->store, GTM_INTENT_CUR_KEY, &entry) == GTM_OK) {
        int rc = gtm_intent_cur_parse(entry.value, entry.value_len, &a->base_rev, sha256, &a->err);
        if (rc)
            return rc;
        a->base_revision = entry.revision;
    }
    if (a->want.has_expect && a->want.expect_rev != a->base_rev)
        return gtm_error_set(&a->err, GTM_ECONFLICT,
                             "the intent is at revision %lld, not %lld: look at the differences "
                             "again (gtmctl diff)",
                             (long long)a->base_rev, (long long)a->want.expect_rev);
    if (gtm_store_list(a->d->store, GTM_INTENT_REV_PREFIX, copy_manifest, a))
        return gtm_error_set(&a->err, GTM_ENOMEM, "out of memory");
    return GTM_OK;
}

static void begin(void *arg)
{
    struct apply *a = arg;
    a->code = read_base(a);
    if (a->code)
        finish(a);
    else
        next_work(a, apply__work_parse, parsed);
}

int gtm_intent_apply(struct gtmd *d, struct gtm_intent_proposal *proposal,
                     gtm_intent_outcome_fn *done, void *arg)
{
    struct apply *a = d->intent_applies < GTM_INTENT_APPLIES_MAX ? gtm_calloc(1, sizeof(*a)) : NULL;
    int rc = d->intent_applies < GTM_INTENT_APPLIES_MAX ? GTM_ENOMEM : GTM_ELIMIT;
    if (!a) {
        gtm_intent_proposal_fini(proposal);
        return rc;
    }
    a->d = d;
    a->want = *proposal;
    *proposal = (struct gtm_intent_proposal){0};
    a->done = done;
    a->arg = arg;
    a->data_dir = gtm_strdup(d->node->data_dir);
    rc = a->data_dir ? gtm_loop_post(d->loop, begin, a) : GTM_ENOMEM; /* done comes later, always */
    if (rc)
        apply__free(a);
    else
        d->intent_applies++;
    return rc;
}
