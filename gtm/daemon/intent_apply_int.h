/* SPDX-License-Identifier: Apache-2.0
 *
 * What the units of applying (gtm/daemon/intent_apply*.c) share and nobody else includes.
 */
#ifndef GTM_DAEMON_INTENT_APPLY_INT_H
#define GTM_DAEMON_INTENT_APPLY_INT_H

#include "gtm/base/map.h"
#include "gtm/daemon/chunks.h"
#include "gtm/daemon/intent_apply.h"
#include "gtm/daemon/intent_fetch.h"

struct apply__text {
    char *key, *text; /* of a manifest in the store; text is gone once it was parsed */
    size_t len;
    struct gtm_manifest *manifest;
    bool old; /* goes with this apply */
};

struct apply {
    struct gtmd *d;
    struct gtm_intent_proposal want;
    gtm_intent_outcome_fn *done;
    void *arg;
    char *data_dir;
    /* Copied on the loop: what is in the store. */
    struct apply__text *history;
    size_t history_count, history_cap;
    int64_t base_rev, base_revision;  /* of intent/cur; the latter in the store */
    struct gtm_manifest *base, *next; /* base NULL: the first apply; borrowed from history */
    char *next_folder;
    struct gtm_diags findings; /* their files as the operator names them */
    struct gtm_json *diff, *mass, *summary;
    char *manifest_text;
    char sha256[GTM_SHA256_HEX_BYTES]; /* of manifest_text */
    struct gtm_map *known;             /* chunks of manifests in the store */
    /* Chunks of no manifest in the store; of them to put: the first puts_count. */
    struct gtm_blob_ref *puts;
    size_t wants_count, puts_count, puts_at;
    struct gtm_chunks_mark mark; /* when it was looked which to put */
    unsigned rounds;
    char **batch; /* texts of puts[puts_at…] */
    size_t batch_count;
    int code;
    struct gtm_error err;
    bool changed;
    int64_t rev; /* made */
};

#define APPLY__BATCH_BYTES (768u << 10)
#define APPLY__BATCH_MAX   64u

/* Helper threads (intent_apply_work.c): each sets a->code. */
void apply__work_parse(void *a);   /* manifests of the store; the proposal's files */
void apply__work_write(void *a);   /* which files, folders */
void apply__work_compare(void *a); /* diff, summary, the manifest's text, chunks to put */
void apply__work_batch(void *a);   /* texts of the next chunks */
void apply__work_clean(void *a);   /* folders */
void apply__free_batch(struct apply *a);
void apply__free(struct apply *a);

#endif
