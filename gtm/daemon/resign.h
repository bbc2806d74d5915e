/* SPDX-License-Identifier: Apache-2.0
 *
 * Giving leadership up by word of any node. The node that is asked checks who asks, and writes a
 * request into the store with an entry in the audit chain, in one transaction that holds only while
 * that leader leads:
 *
 *     resign/leader  {"v":1,"fence":F,"owner":WHO,"at":MS}     leased by the node that was asked
 *
 * The leader whose fence it names deletes it, guarded, and then resigns. So nobody lends rights to
 * anybody: the store is where all orders go. A request that is not taken in time is withdrawn (and
 * goes with its node); one for a leader of the past is no word to the next. Control thread.
 *
 * Failure modes: a leader that does not hear it (GTM_ETIMEOUT: withdrawn, it still leads); nobody
 * who leads after it (GTM_ETIMEOUT as well; err says which).
 */
#ifndef GTM_DAEMON_RESIGN_H
#define GTM_DAEMON_RESIGN_H

#include "gtm/base/clock.h"
#include "gtm/coord/leader.h"

struct gtm_loop;
struct gtm_resign;

#define GTM_RESIGN_KEY      "resign/leader"
#define GTM_RESIGN_PAUSE_MS 5000u  /* before the one that resigned stands again */
#define GTM_RESIGN_TAKE_MS  3000u  /* until the request is withdrawn */
#define GTM_RESIGN_LEAD_MS  12000u /* until nobody waits for the next leader any more */
#define GTM_RESIGN_ASKS_MAX 16u    /* that wait at a time */

struct gtm_resign_opts {
    struct gtm_loop *loop; /* borrowed, as all here but node */
    const struct gtm_clock *clock;
    struct gtm_store *store;
    const char *node; /* for the audit chain; copied */
    /* This node's own leadership: gtm_leader_* in gtmd. */
    int64_t (*fence)(void *ctx);
    int (*guard)(void *ctx, struct gtm_store_change *ret_change);
    void (*resign)(void *ctx, uint64_t pause_ms);
    void *ctx;
};
/* NULL: out of memory. */
struct gtm_resign *gtm_resign_new(const struct gtm_resign_opts *opts);
/* Those who wait get GTM_ESTATE. Before the store is closed. NULL is fine. */
void gtm_resign_free(struct gtm_resign *resign);

/* Borrowed for the callback. */
struct gtm_resign_outcome {
    int code;             /* 0: another leadership stands; GTM_ETIMEOUT, GTM_ECONFLICT (another one
                             leads already), GTM_ESTATE, as gtm_store_commit */
    struct gtm_error err; /* when code is not 0 */
    struct gtm_leader_info before, now; /* now: empty while nobody leads */
};
typedef void gtm_resign_fn(void *arg, const struct gtm_resign_outcome *outcome);

/* Asks the present leader to resign and waits until another leadership stands. For the audit chain:
 * who is copied, role is a constant. done comes once, later; not with GTM_ENOTFOUND (nobody leads),
 * GTM_ELIMIT, GTM_ENOMEM. */
int gtm_resign_ask(struct gtm_resign *resign, const char *who, const char *role,
                   gtm_resign_fn *done, void *arg) GTM_MUST_CHECK;

#endif
