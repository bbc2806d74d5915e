/* SPDX-License-Identifier: Apache-2.0
 *
 * What this vantage sees, for the others: packs the slots of touched pools into obs/<node>/<pool>
 * (gtm/model/obs.h), leased, all that one turn of the loop brings together, at most 100 objects a
 * commit and one commit at a time. And the other way: when another vantage sees a target change,
 * this one looks at once, so that a quorum needs about one detection and not as many. Control
 * thread.
 *
 * Happy path: new → touched … → session(lease) whenever it changes → intent after each commit →
 * free (the objects go with the lease).
 * Failure modes: while the store is away or there is no session, what is touched waits and is tried
 * again every second; only the newest state of a pool is written. A full store: the same, and
 * gtm_observer_full says so.
 */
#ifndef GTM_DAEMON_OBSERVER_H
#define GTM_DAEMON_OBSERVER_H

#include "gtm/base/clock.h"
#include "gtm/coord/store.h"
#include "gtm/daemon/state_follow.h"

struct gtm_observer;

struct gtm_observer_opts {
    struct gtm_loop *loop;
    const struct gtm_clock *clock; /* NULL = the system's */
    struct gtm_store *store;
    const struct gtm_state *state; /* that FOLLOWS */
    const char *node, *region;     /* copied */
    /* health_engine_check_now for this key; may be NULL. */
    void (*check_now)(void *ctx, const char *key);
    void *ctx;
};
struct gtm_observer *gtm_observer_new(const struct gtm_observer_opts *opts); /* NULL: no memory */
void gtm_observer_free(struct gtm_observer *observer);                       /* NULL is fine */

/* A slot of the pool changed: gtm_state_opts.observed. */
void gtm_observer_touched(struct gtm_observer *observer, size_t pool);
/* The session's lease, 0 = none: with another one everything is written again. */
void gtm_observer_session(struct gtm_observer *observer, int64_t lease);
/* Another intent is in force: writes every pool again, removes those that are gone. */
void gtm_observer_intent(struct gtm_observer *observer);
/* Another vantage sees this target so now: a probe of our own if we see it otherwise, at most one
 * per half interval. */
void gtm_observer_seen(struct gtm_observer *observer, const char *key, enum gtm_health health);

/* The store refuses what is seen: its space quota is used up. */
bool gtm_observer_full(const struct gtm_observer *observer);

struct gtm_observer_info {
    uint64_t objects, commits, failures; /* written, tried, failed since the start */
    uint64_t bytes;                      /* of the objects written */
    uint64_t prompts;                    /* probes that another's observation caused */
    size_t waiting;                      /* pools that are not written yet */
};
void gtm_observer_info(const struct gtm_observer *observer, struct gtm_observer_info *ret);

#endif
