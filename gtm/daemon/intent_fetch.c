/* SPDX-License-Identifier: Apache-2.0
 *
 * See intent_fetch.h. Rounds: a helper thread writes what came and looks what is missing; the loop
 * asks for up to WINDOW chunks; when all have come, the next round.
 */
#include "gtm/daemon/intent_fetch.h"

#include "gtm/base/map.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/intent_disk.h"

#include <stdio.h>
#include <string.h>

#define WINDOW 16

struct slot {
    struct gtm_intent_fetch *fetch;
    size_t blob; /* index */
    char *text;  /* NULL: did not come */
    size_t len;
};

struct gtm_intent_fetch {
    struct gtm_intent_fetch_opts opts;
    char *data_dir;
    struct gtm_chunks_mark mark; /* when it began */
    struct gtm_blob_ref *blobs;  /* each once */
    size_t count, next;          /* blobs before next are on disk, or in slots */
    struct slot slots[WINDOW];
    size_t slots_used, waiting;
    int code;
    struct gtm_error err;
};

static void free_texts(struct gtm_intent_fetch *f)
{
    for (size_t i = 0; i < f->slots_used; i++)
        gtm_free(f->slots[i].text);
    f->slots_used = 0;
}

static void finish(struct gtm_intent_fetch *f)
{
    if (f->opts.done)
        f->opts.done(f->opts.arg, f->code, &f->err);
    free_texts(f);
    gtm_free(f->blobs);
    gtm_free(f->data_dir);
    gtm_free(f);
}

static void fail(struct gtm_intent_fetch *f, int code, const char *sha256, const char *why)
{
    if (f->code)
        return;
    f->code = gtm_error_set(&f->err, code, "blob/%s: %s", sha256, why);
}

/* Helper thread. */
static void work(void *arg)
{
    struct gtm_intent_fetch *f = arg;
    for (size_t i = 0; i < f->slots_used && !f->code; i++) {
        const struct gtm_blob_ref *blob = &f->blobs[f->slots[i].blob];
        if (f->slots[i].len != blob->bytes)
            fail(f, GTM_ECORRUPT, blob->sha256, "it has another length: it was changed");
        else
            f->code = gtm_intent_disk_put(f->data_dir, blob, f->slots[i].text, &f->err);
    }
    free_texts(f);
    while (!f->code && f->next < f->count && f->slots_used < WINDOW) {
        if (!gtm_intent_disk_has(f->data_dir, &f->blobs[f->next]))
            f->slots[f->slots_used++] = (struct slot){.fetch = f, .blob = f->next};
        f->next++;
    }
}

static void round_begins(struct gtm_intent_fetch *f);

static void slot_done(struct gtm_intent_fetch *f)
{
    if (--f->waiting == 0)
        round_begins(f);
}

static void on_blob(void *arg, const struct gtm_store_fetched *fetched)
{
    struct slot *slot = arg;
    struct gtm_intent_fetch *f = slot->fetch;
    const char *sha256 = f->blobs[slot->blob].sha256;
    if (fetched->code)
        fail(f, fetched->code, sha256,
             fetched->err && fetched->err->text[0] ? fetched->err->text
                                                   : gtm_err_text(fetched->code));
    else if (fetched->count == 0)
        fail(f, GTM_ENOTFOUND, sha256, "it is not in the store");
    if (!f->code) {
        slot->text = gtm_memdup(fetched->entries[0].value, fetched->entries[0].value_len + 1);
        slot->len = fetched->entries[0].value_len;
        if (!slot->text)
            fail(f, GTM_ENOMEM, sha256, "out of memory");
        else if (f->opts.chunks && f->opts.done)
            gtm_chunks_add(f->opts.chunks, &f->mark, sha256);
    }
    slot_done(f);
}

static void worked(void *arg)
{
    struct gtm_intent_fetch *f = arg;
    if (f->code || !f->opts.done || f->slots_used == 0) {
        finish(f);
        return;
    }
    f->waiting = f->slots_used + 1;
    for (size_t i = 0; i < f->slots_used; i++) {
        char key[GTM_BLOB_KEY_BYTES];
        const char *sha256 = f->blobs[f->slots[i].blob].sha256;
        snprintf(key, sizeof(key), GTM_BLOB_PREFIX "%s", sha256);
        int rc = gtm_store_fetch(f->opts.store, key, NULL, 1, on_blob, &f->slots[i]);
        if (rc) {
            fail(f, rc, sha256, gtm_err_text(rc));
            f->waiting--;
        }
    }
    slot_done(f);
}

static void round_begins(struct gtm_intent_fetch *f)
{
    if (!f->code && f->opts.done && !gtm_loop_work(f->opts.loop, work, worked, f))
        return;
    if (!f->code)
        f->code = gtm_error_set(&f->err, GTM_ELIMIT, "too much work is waiting");
    finish(f);
}

static int take_blobs(struct gtm_intent_fetch *f, const struct gtm_manifest *manifest,
                      struct gtm_map *seen)
{
    for (size_t i = 0; manifest && i < manifest->files_count; i++)
        for (size_t k = 0; k < manifest->files[i].blobs_count; k++) {
            const struct gtm_blob_ref *blob = &manifest->files[i].blobs[k];
            if (gtm_map_get(seen, blob->sha256))
                continue;
            if (gtm_map_put(seen, blob->sha256, f, NULL) != GTM_OK)
                return GTM_ENOMEM;
            f->blobs[f->count++] = *blob;
        }
    return GTM_OK;
}

static size_t count_blobs(const struct gtm_manifest *manifest)
{
    size_t count = 0;
    for (size_t i = 0; manifest && i < manifest->files_count; i++)
        count += manifest->files[i].blobs_count;
    return count;
}

struct gtm_intent_fetch *gtm_intent_fetch_start(const struct gtm_intent_fetch_opts *opts)
{
    struct gtm_intent_fetch *f = gtm_calloc(1, sizeof(*f));
    struct gtm_map *seen = gtm_map_new();
    bool ok = f && seen;
    if (f) {
        f->opts = *opts;
        f->mark = gtm_chunks_mark_now(opts->store);
        f->data_dir = gtm_strdup(opts->data_dir);
        f->blobs = gtm_calloc(count_blobs(opts->manifests[0]) + count_blobs(opts->manifests[1]) + 1,
                              sizeof(*f->blobs));
        ok = ok && f->data_dir && f->blobs && take_blobs(f, opts->manifests[0], seen) == GTM_OK &&
             take_blobs(f, opts->manifests[1], seen) == GTM_OK &&
             gtm_loop_work(opts->loop, work, worked, f) == GTM_OK;
    }
    gtm_map_free(seen, NULL);
    if (ok)
        return f;
    if (f) {
        gtm_free(f->blobs);
        gtm_free(f->data_dir);
        gtm_free(f);
    }
    return NULL;
}

void gtm_intent_fetch_let_go(struct gtm_intent_fetch *fetch)
{
    if (fetch)
        fetch->opts.done = NULL;
}
