/* SPDX-License-Identifier: Apache-2.0
 *
 * Verdicts and orders from the store's copy into the followed state: all verdicts of one revision
 * together, then one publish. At the start it takes what the saved copy has (static stability). A
 * pool never goes back to an older revision of its verdict. Control thread.
 *
 * Failure modes: a document that is damaged or newer keeps the last one in force and is a problem
 * (gtm_follower_bad). While the node is isolated its own checks may only remove, see
 * gtm_state_isolated.
 */
#ifndef GTM_DAEMON_FOLLOWER_H
#define GTM_DAEMON_FOLLOWER_H

#include "gtm/base/clock.h"
#include "gtm/coord/store.h"
#include "gtm/daemon/state_follow.h"
#include "policies/role.h"

struct gtm_conductor;
struct gtm_follower;

struct gtm_follower_opts {
    struct gtm_loop *loop;
    struct gtm_store *store;
    struct gtm_state *state; /* that FOLLOWS */
    /* A new view is in force; may be NULL. */
    void (*on_view)(void *ctx, int64_t rev);
    void *ctx;
};
struct gtm_follower *gtm_follower_new(const struct gtm_follower_opts *opts); /* NULL: no memory */
void gtm_follower_free(struct gtm_follower *follower);                       /* NULL is fine */
/* Told of views and orders, asked whether it merges; NULL: nobody. */
void gtm_follower_conductor(struct gtm_follower *follower, struct gtm_conductor *conductor);

/* After the first commit of the state, and after each later one: takes all verdicts of the copy. */
void gtm_follower_intent(struct gtm_follower *follower);
/* Tells the conductor, which must be there, its mode: when that ends a merge, the store's verdicts
 * are in force again, all of them. */
void gtm_follower_mode(struct gtm_follower *follower, enum policy_role_mode mode);
/* The store is away. canaries_fit as gtm_canaries_fit; with no canary configured (have_canaries
 * false) something of this node's own targets must be up. allowed: dns.when_isolated is `local`. */
void gtm_follower_isolated(struct gtm_follower *follower, bool isolated, bool allowed,
                           bool have_canaries, bool canaries_fit);

int64_t gtm_follower_view(const struct gtm_follower *follower); /* in force; 0 = none yet */
/* Since when own checks may remove nothing although isolated: why; "" otherwise. */
const char *gtm_follower_isolated_why(const struct gtm_follower *follower);
/* Documents that could not be read: how many, one of them with the reason and since when. */
size_t gtm_follower_bad(const struct gtm_follower *follower, char ret_key[160], char ret_why[160],
                        int64_t *ret_since_ms);

#endif
