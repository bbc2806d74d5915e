/* SPDX-License-Identifier: Apache-2.0
 *
 * Brings the chunks that manifests name from the store to the node's disk: a few at a time, each
 * checked by its hash on a helper thread. The loop's thread.
 *
 * Failure modes: a chunk that is not there or was changed ends it with its name (GTM_ENOTFOUND,
 * GTM_ECORRUPT); a store that is away with what it says. What came is kept for the next attempt.
 */
#ifndef GTM_DAEMON_INTENT_FETCH_H
#define GTM_DAEMON_INTENT_FETCH_H

#include "gtm/base/loop.h"
#include "gtm/coord/store.h"
#include "gtm/daemon/chunks.h"
#include "gtm/model/manifest.h"

struct gtm_intent_fetch;

struct gtm_intent_fetch_opts {
    struct gtm_loop *loop;
    struct gtm_store *store;
    const char *data_dir;                    /* copied */
    const struct gtm_manifest *manifests[2]; /* NULL = none; read during the call only */
    struct gtm_chunks *chunks; /* is told of those that came; lives until done, or NULL */
    /* Once, later, unless it is let go before. */
    void (*done)(void *arg, int code, const struct gtm_error *err);
    void *arg;
};
/* NULL: out of memory. It is freed by itself when it is over. */
struct gtm_intent_fetch *gtm_intent_fetch_start(const struct gtm_intent_fetch_opts *opts);
/* done is not called any more. NULL is fine. */
void gtm_intent_fetch_let_go(struct gtm_intent_fetch *fetch);

#endif
