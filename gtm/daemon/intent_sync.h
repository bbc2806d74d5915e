/* SPDX-License-Identifier: Apache-2.0
 *
 * Keeps what a node of a cluster serves at what intent/cur says: manifest and chunks from the store
 * → files in data_dir/intent/rev-N → reload, whole or not at all → `current`. A node whose store is
 * away, or that cannot take the new revision, keeps the last good one and says why; it tries again
 * by itself. The loop's thread.
 *
 *     watch → manifest checked against intent/cur → chunks (intent_fetch) → folder → reload →
 * served
 */
#ifndef GTM_DAEMON_INTENT_SYNC_H
#define GTM_DAEMON_INTENT_SYNC_H

#include "gtm/base/metrics.h"
#include "gtm/model/manifest.h"

#include <stdint.h>

struct gtmd;
struct gtm_chunks;
struct gtm_intent_sync;

struct gtm_intent_status {
    int64_t wanted_rev;  /* of intent/cur; 0 = none was ever applied */
    int64_t served_rev;  /* in force here; 0 = none */
    int64_t since_ms;    /* Unix time: of served_rev in this run; 0 = from the start */
    int64_t problem_ms;  /* since when it cannot take wanted_rev; 0 = no problem */
    const char *problem; /* why; "" = none */
};

/* d->loop, d->node, d->store and d->reload are there. NULL: out of memory. */
struct gtm_intent_sync *gtm_intent_sync_new(struct gtmd *d);
/* Follows intent/cur from now on, and looks at what is there: when the daemon serves
 * (gtmd_serve). */
void gtm_intent_sync_start(struct gtm_intent_sync *sync);
/* Before the store is closed. NULL is fine. */
void gtm_intent_sync_free(struct gtm_intent_sync *sync);

/* For node/<name>, the status, problems. sync NULL: all zero, with served_rev 0. */
void gtm_intent_sync_status(const struct gtm_intent_sync *sync, struct gtm_intent_status *ret);
/* gtm_intent_revision, gtm_intent_wanted_revision, gtm_intent_sync_failures_total. */
void gtm_intent_sync_metrics(const struct gtm_intent_sync *sync, struct gtm_metrics *m);
/* What this process saw of chunks in the store; NULL when sync is. */
struct gtm_chunks *gtm_intent_sync_chunks(struct gtm_intent_sync *sync);

#endif
