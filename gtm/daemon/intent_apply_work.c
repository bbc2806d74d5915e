/* SPDX-License-Identifier: Apache-2.0
 *
 * What helper threads do for an apply. See intent_apply.h. They touch the job and the disk only.
 */
#include "gtm/base/clock.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/intent_apply_int.h"
#include "gtm/daemon/intent_disk.h"
#include "gtm/model/intent_diff.h"
#include "gtm/model/intent_edit.h"

#include <malloc.h>
#include <string.h>

static int nomem(struct apply *a)
{
    gtm_error_set(&a->err, GTM_ENOMEM, "out of memory");
    return GTM_ENOMEM;
}

void apply__free_batch(struct apply *a)
{
    for (size_t i = 0; i < a->batch_count; i++)
        gtm_free(a->batch[i]);
    gtm_free(a->batch);
    a->batch = NULL;
    a->batch_count = 0;
}

void apply__free(struct apply *a)
{
    apply__free_batch(a);
    for (size_t i = 0; i < a->history_count; i++) {
        gtm_free(a->history[i].key);
        gtm_free(a->history[i].text);
        gtm_manifest_free(a->history[i].manifest);
    }
    gtm_free(a->history);
    gtm_intent_proposal_fini(&a->want);
    gtm_manifest_free(a->next);
    gtm_diags_fini(&a->findings);
    gtm_json_free(a->diff);
    gtm_json_free(a->mass);
    gtm_json_free(a->summary);
    gtm_map_free(a->known, NULL);
    gtm_free(a->puts);
    gtm_free(a->manifest_text);
    gtm_free(a->next_folder);
    gtm_free(a->data_dir);
    gtm_free(a);
}

/* --- manifests --- */

static int note_known(struct apply *a, const struct gtm_manifest *manifest)
{
    for (size_t i = 0; i < manifest->files_count; i++)
        for (size_t k = 0; k < manifest->files[i].blobs_count; k++)
            if (gtm_map_put(a->known, manifest->files[i].blobs[k].sha256, a, NULL) != GTM_OK)
                return nomem(a);
    return GTM_OK;
}

static int parse_history(struct apply *a)
{
    int rc = a->known ? GTM_OK : nomem(a);
    for (size_t i = 0; i < a->history_count && rc == GTM_OK; i++) {
        struct apply__text *h = &a->history[i];
        struct gtm_error err = {0};
        if (gtm_manifest_parse(h->text, h->len, &h->manifest, &err) == GTM_OK)
            rc = note_known(a, h->manifest);
        gtm_free(h->text);
        h->text = NULL;
        if (!h->manifest)
            continue; /* one that cannot be read can only be replaced */
        if (h->manifest->rev == a->base_rev)
            a->base = h->manifest;
        h->old = h->manifest->rev <= a->base_rev + 1 - GTM_INTENT_HISTORY_MAX;
    }
    return rc;
}

static int take_old_files(struct apply *a, int64_t rev)
{
    const struct gtm_manifest *from = NULL;
    for (size_t i = 0; i < a->history_count; i++)
        if (a->history[i].manifest && a->history[i].manifest->rev == rev)
            from = a->history[i].manifest;
    if (!from)
        return gtm_error_set(&a->err, GTM_ENOTFOUND,
                             "there is no revision %lld to take (gtmctl history has those that can "
                             "be)",
                             (long long)rev);
    a->next = gtm_manifest_copy_files(from);
    return a->next ? GTM_OK : nomem(a);
}

void apply__work_parse(void *arg)
{
    struct apply *a = arg;
    a->known = gtm_map_new();
    a->code = parse_history(a);
    if (a->code)
        return;
    if (a->base_rev && !a->base && !a->want.files)
        a->code = gtm_error_set(&a->err, GTM_ECORRUPT,
                                "the manifest of revision %lld cannot be read: apply the files",
                                (long long)a->base_rev);
    else if (a->want.rollback_to)
        a->code = take_old_files(a, a->want.rollback_to);
    else if (a->want.delete_kind && !a->base)
        a->code = gtm_error_set(&a->err, GTM_ENOTFOUND, "nothing was applied yet");
    else if (a->want.delete_kind)
        a->code = take_old_files(a, a->base_rev);
    else {
        a->next = a->want.files;
        a->want.files = NULL;
    }
}

/* --- files and folders --- */

static int put_chunk(void *arg, const struct gtm_blob_ref *blob, const char *text)
{
    struct apply *a = arg;
    return gtm_intent_disk_put(a->data_dir, blob, text, &a->err);
}

/* Takes the object out of cluster.yaml, whose chunks are then on disk. */
static int remove_object(struct apply *a)
{
    struct gtm_manifest *edited = gtm_manifest_new();
    const struct gtm_manifest_file *main = &a->next->files[0];
    char *text = NULL, *less = NULL;
    size_t len = 0;
    if (!edited)
        return nomem(a);
    int rc = gtm_intent_disk_file(a->data_dir, main, &text, &a->err);
    if (rc == GTM_OK)
        rc = gtm_intent_remove(text, main->bytes, a->want.delete_kind, a->want.delete_name, &less,
                               &len, &a->err);
    if (rc == GTM_OK)
        rc = gtm_manifest_add(edited, GTM_MANIFEST_MAIN, less, len, &a->err);
    if (rc == GTM_OK)
        rc = gtm_manifest_walk(&edited->files[0], less, len, put_chunk, a);
    if (rc == GTM_OK) {
        struct gtm_manifest_file was = a->next->files[0];
        a->next->files[0] = edited->files[0];
        edited->files[0] = was;
    }
    gtm_manifest_free(edited);
    gtm_free(text);
    gtm_free(less);
    return rc;
}

/* Adds what the file names or includes. */
static int follow(struct apply *a, const struct gtm_manifest_file *file, bool main,
                  struct gtm_file_names *names)
{
    char *text = NULL;
    int rc = gtm_intent_disk_file(a->data_dir, file, &text, &a->err);
    if (rc == GTM_OK)
        rc = main ? gtm_file_names_main(names, text, file->bytes, &a->err)
                  : gtm_file_names_zone(names, file->name, text, file->bytes, &a->err);
    gtm_free(text);
    return rc;
}

/* cluster.yaml is the first; what nobody names is left out; what is named is there. */
static int settle_files(struct apply *a)
{
    struct gtm_manifest *m = a->next;
    struct gtm_file_names names = {0};
    const struct gtm_manifest_file *main = gtm_manifest_find(m, GTM_MANIFEST_MAIN);
    int rc = main ? follow(a, main, true, &names)
                  : gtm_error_set(&a->err, GTM_EINVAL,
                                  "there is no " GTM_MANIFEST_MAIN " among the files");
    for (size_t i = 0; i < names.count && rc == GTM_OK; i++) {
        const struct gtm_manifest_file *file = gtm_manifest_find(m, names.names[i]);
        if (!file)
            rc = gtm_error_set(&a->err, GTM_EINVAL,
                               "'%s' is named in the intent, but not among the files",
                               names.names[i]);
        else if (names.zone[i])
            rc = follow(a, file, false, &names);
    }
    size_t kept = 0;
    for (size_t i = 0; i < m->files_count && rc == GTM_OK; i++) {
        struct gtm_manifest_file file = m->files[i];
        bool is_main = strcmp(file.name, GTM_MANIFEST_MAIN) == 0;
        if (is_main || (names.seen && gtm_map_get(names.seen, file.name))) {
            m->files[i] = m->files[kept];
            m->files[kept++] = file;
        }
        if (is_main && kept > 1) {
            m->files[kept - 1] = m->files[0];
            m->files[0] = file;
        }
    }
    while (rc == GTM_OK && m->files_count > kept) {
        struct gtm_manifest_file *last = &m->files[--m->files_count];
        gtm_free(last->name);
        gtm_free(last->blobs);
    }
    gtm_file_names_fini(&names);
    return rc;
}

void apply__work_write(void *arg)
{
    struct apply *a = arg;
    if (a->want.delete_kind)
        a->code = remove_object(a);
    if (!a->code)
        a->code = settle_files(a);
    if (!a->code)
        a->code = gtm_intent_disk_write(a->data_dir, a->next, true, &a->next_folder, &a->err);
}

void apply__work_clean(void *arg)
{
    struct apply *a = arg;
    gtm_intent_disk_drop(a->next_folder);
    malloc_trim(0); /* whole texts were here; at rest the process should be small */
}

/* --- comparing --- */

struct side {
    struct gtm_intent_text *files;
    struct gtm_diff_side view;
};

static void free_side(struct side *side)
{
    for (size_t i = 0; i < side->view.files_count; i++)
        gtm_free((void *)(uintptr_t)side->files[i].text);
    gtm_free(side->files);
}

static int read_side(struct apply *a, const struct gtm_manifest *manifest, struct side *ret)
{
    int rc = GTM_OK;
    if (!manifest)
        return rc; /* the first apply: there is nothing before it */
    ret->files = gtm_calloc(manifest->files_count, sizeof(*ret->files));
    ret->view.files = ret->files;
    if (!ret->files)
        return nomem(a);
    for (size_t i = 0; i < manifest->files_count && rc == GTM_OK; i++) {
        const struct gtm_manifest_file *file = &manifest->files[i];
        char *text = NULL;
        rc = gtm_intent_disk_file(a->data_dir, file, &text, &a->err);
        if (rc == GTM_OK)
            ret->files[ret->view.files_count++] =
                (struct gtm_intent_text){file->name, text, file->bytes};
    }
    return rc;
}

static int compare(struct apply *a)
{
    struct side before = {0}, after = {0};
    int rc = read_side(a, a->base, &before);
    if (rc == GTM_OK)
        rc = read_side(a, a->next, &after);
    if (rc == GTM_OK) {
        a->diff = gtm_intent_diff(&before.view, &after.view, &a->err);
        if (a->diff && after.files)
            a->summary = gtm_intent_summary(after.files[0].text, after.files[0].len);
        rc = !a->diff ? a->err.code : !a->summary ? nomem(a) : GTM_OK;
    }
    free_side(&before);
    free_side(&after);
    return rc;
}

static int print_manifest(struct apply *a)
{
    struct gtm_manifest *m = a->next;
    m->rev = a->base_rev + 1;
    m->parent = a->base_rev;
    m->time_ms = gtm_wall_ms(gtm_clock_system());
    m->who = gtm_strdup(a->want.who);
    m->why = a->want.why ? gtm_strdup(a->want.why) : NULL;
    m->summary = gtm_json_copy(a->summary);
    a->manifest_text = gtm_manifest_print(m);
    if (!a->manifest_text || !m->who || (a->want.why && !m->why) ||
        !gtm_sha256_hex(a->manifest_text, strlen(a->manifest_text), a->sha256))
        return nomem(a);
    return GTM_OK;
}

/* Chunks that no manifest in the store has. */
static int list_wants(struct apply *a)
{
    size_t count = 0;
    for (size_t i = 0; i < a->next->files_count; i++)
        count += a->next->files[i].blobs_count;
    a->puts = gtm_calloc(count + 1, sizeof(*a->puts));
    if (!a->puts)
        return nomem(a);
    for (size_t i = 0; i < a->next->files_count; i++)
        for (size_t k = 0; k < a->next->files[i].blobs_count; k++) {
            const struct gtm_blob_ref *blob = &a->next->files[i].blobs[k];
            if (gtm_map_get(a->known, blob->sha256))
                continue;
            if (gtm_map_put(a->known, blob->sha256, a, NULL) != GTM_OK)
                return nomem(a);
            a->puts[a->wants_count++] = *blob;
        }
    return GTM_OK;
}

void apply__work_compare(void *arg)
{
    struct apply *a = arg;
    a->code = compare(a);
    if (a->code)
        return;
    a->changed = gtm_json_bool(a->diff, "changed", true);
    a->mass = gtm_intent_diff_mass(a->diff);
    a->code = a->mass ? print_manifest(a) : nomem(a);
    if (!a->code)
        a->code = list_wants(a);
}

/* --- chunks for the store --- */

void apply__work_batch(void *arg)
{
    struct apply *a = arg;
    size_t bytes = 0;
    a->batch = gtm_calloc(APPLY__BATCH_MAX, sizeof(*a->batch));
    a->code = a->batch ? GTM_OK : nomem(a);
    while (!a->code && a->batch_count < APPLY__BATCH_MAX &&
           a->puts_at + a->batch_count < a->puts_count) {
        const struct gtm_blob_ref *blob = &a->puts[a->puts_at + a->batch_count];
        if (bytes && bytes + blob->bytes > APPLY__BATCH_BYTES)
            break;
        bytes += blob->bytes;
        a->code = gtm_intent_disk_read(a->data_dir, blob, &a->batch[a->batch_count], &a->err);
        if (!a->code)
            a->batch_count++;
    }
}
