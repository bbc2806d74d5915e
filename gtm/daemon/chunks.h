/* SPDX-License-Identifier: Apache-2.0
 *
 * Chunks of intents in the store (gtm/model/manifest.h): which of them are surely there, and how
 * those go that no revision names any more: of applies that failed half way, and of revisions that
 * nobody can go back to.
 *
 * An apply must never make a revision whose chunk is gone. So whoever deletes chunks moves the key
 * "head/chunks" in the same transaction, and an apply makes its revision only while that key is
 * where it was before the apply looked which chunks it has to put (a gtm_chunks_mark). That holds
 * whatever clocks say; that only old chunks go is so that nobody has to put them twice.
 *
 * Happy path of who applies: gtm_chunks_mark_now → puts all but those of gtm_chunks_has → commits
 * with gtm_chunks_check; a conflict about that means once more from the beginning. Loop's thread.
 */
#ifndef GTM_DAEMON_CHUNKS_H
#define GTM_DAEMON_CHUNKS_H

#include "gtm/base/clock.h"
#include "gtm/base/metrics.h"
#include "gtm/coord/store.h"

#define GTM_CHUNKS_HEAD_KEY "head/chunks"
#define GTM_CHUNKS_SAFE_MS  3600000u /* that an upload and its apply may take */
#define GTM_CHUNKS_PASS_MS  600000u
#define GTM_CHUNKS_PASS_MAX 1000u /* deleted in one pass */

struct gtm_loop;

/* --- what this process has seen in the store --- */

struct gtm_chunks;
/* When it was: the revisions of "head/chunks" and "intent/cur" in the copy. */
struct gtm_chunks_mark {
    int64_t head, cur;
};
struct gtm_chunks *gtm_chunks_new(struct gtm_store *store); /* NULL: out of memory */
void gtm_chunks_free(struct gtm_chunks *chunks);            /* NULL is fine */
struct gtm_chunks_mark gtm_chunks_mark_now(const struct gtm_store *store);
/* It was put, or read, by a call that began at `since`. Without memory it is put once more. chunks
 * NULL is fine: the node stops. */
void gtm_chunks_add(struct gtm_chunks *chunks, const struct gtm_chunks_mark *since,
                    const char *sha256);
/* Surely there, as long as what is committed holds gtm_chunks_check of that mark. */
bool gtm_chunks_has(const struct gtm_chunks *chunks, const struct gtm_chunks_mark *mark,
                    const char *sha256);
struct gtm_store_change gtm_chunks_check(const struct gtm_chunks_mark *mark);

/* --- what goes --- */

struct gtm_chunks_collector;
struct gtm_chunks_collector_opts {
    struct gtm_loop *loop; /* borrowed, as all here */
    const struct gtm_clock *clock;
    struct gtm_store *store;
    int (*guard)(void *ctx, struct gtm_store_change *ret_change); /* gtm_leader_guard */
    bool (*whole)(void *ctx); /* the copy is fresh, and nothing is left out of it */
    void *ctx;
};
/* NULL: out of memory. */
struct gtm_chunks_collector *gtm_chunks_collector_new(const struct gtm_chunks_collector_opts *opts);
/* Before the store is closed. NULL is fine. */
void gtm_chunks_collector_free(struct gtm_chunks_collector *collector);
/* Every second while this node leads: a pass when one is due. It lists all chunks (keys only), and
 * deletes those that no revision in the store names and that were written before a listing at least
 * GTM_CHUNKS_SAFE_MS ago. While a revision cannot be read nothing is deleted. */
void gtm_chunks_collector_second(struct gtm_chunks_collector *collector);
/* Of the last pass: gtm_intent_chunks, gtm_intent_chunk_bytes; gtm_intent_chunks_deleted_total.
 * Nothing before the first. NULL is fine. */
void gtm_chunks_collector_metrics(const struct gtm_chunks_collector *collector,
                                  struct gtm_metrics *m);

#endif
