/* SPDX-License-Identifier: Apache-2.0
 *
 * The live state in a cluster (cluster.h has the flow): a state that FOLLOWS takes verdicts and
 * orders from the store and gives its own observations; a PIPELINE takes what vantages agree on
 * and gives verdicts. Control thread; see state.h for the rest of both.
 *
 * Happy path, following: gtm_state_follow_verdict … → gtm_state_followed (one publish).
 * Happy path, deciding: gtm_state_seed … → prepare, commit → gtm_state_feed … → gtm_state_fed →
 * flip(touched) → gtm_state_verdict for each of them.
 */
#ifndef GTM_DAEMON_STATE_FOLLOW_H
#define GTM_DAEMON_STATE_FOLLOW_H

#include "gtm/daemon/state.h"
#include "gtm/model/obs.h"
#include "gtm/model/verdict_doc.h"

/* --- FOLLOWS --- */

/* The verdict on a pool of the present intent becomes what is known of it; what it names and the
 * intent does not is ignored, and what it does not name stays. Nothing is published yet. */
void gtm_state_follow_verdict(struct gtm_state *state, size_t pool,
                              const struct gtm_verdict_doc *doc);
/* Publishes what was followed. */
void gtm_state_followed(struct gtm_state *state);

/* Own probes may (or may no longer) take out addresses that verdicts call healthy, except the last
 * that serves in a pool, or in a list of regions that a policy answers from; what they took out
 * comes back when a verdict or an order makes it the last, when they see it up, or when this ends.
 * Publishes. */
void gtm_state_isolated(struct gtm_state *state, bool on);
/* Addresses that are out because of it. */
size_t gtm_state_isolated_out(const struct gtm_state *state);

/* What this node sees of a pool: a new array (gtm_free) whose texts belong to state and live until
 * the next change. *ret_known: of these, those that are not unknown. NULL: out of memory, or
 * *ret_count is 0. */
struct gtm_obs_slot *gtm_state_observations(const struct gtm_state *state, size_t pool,
                                            size_t *ret_count, size_t *ret_known);
/* What this node sees of one target. False: it is not one of the present intent's. */
bool gtm_state_observed(const struct gtm_state *state, const char *key, enum gtm_health *ret_health,
                        unsigned *ret_interval_ms);

/* How long this node's own probes have seen the address down, by the longest of its monitors; 0 =
 * they do not. After a first commit; indexes of its intent. */
uint64_t gtm_state_seen_down_ms(const struct gtm_state *state, size_t pool, size_t endpoint,
                                enum gtm_family family);

/* Is the address out by this node's own checks alone (gtm_state_isolated)? Indexes as above. */
bool gtm_state_taken_out(const struct gtm_state *state, size_t pool, size_t endpoint,
                         enum gtm_family family);

/* --- FOLLOWS and PIPELINE --- */

/* The store has this order under "override/KEY" now (text NULL: none any more). Publishes.
 * GTM_ECORRUPT (the one before stays in force), GTM_ENOMEM, GTM_ELIMIT, GTM_ESTATE before the first
 * commit. */
int gtm_state_order(struct gtm_state *state, const char *key, const char *text,
                    size_t len) GTM_MUST_CHECK;

/* --- PIPELINE --- */

/* Before the first prepare, for a pool of the intent that will be prepared: begin with what this
 * verdict says (health, panic, recovery, balanced weights, sheds). GTM_ENOMEM. */
int gtm_state_seed(struct gtm_state *state, const struct gtm_intent *intent, size_t pool,
                   const struct gtm_verdict_doc *doc) GTM_MUST_CHECK;

/* What vantages agree on for one target. */
struct gtm_state_fed {
    size_t pool, endpoint;
    unsigned monitor; /* index into the intent's monitors */
    enum gtm_family family;
    enum gtm_health health;
    bool content;
    uint8_t quorum; /* enum policy_quorum_state */
    int64_t since_ms;
    const char *text; /* copied */
};
void gtm_state_feed(struct gtm_state *state, const struct gtm_state_fed *fed);
/* Publishes what was fed. */
void gtm_state_fed(struct gtm_state *state);
/* Load reports that this node's probes brought, from a state of the same intent. */
void gtm_state_take_loads(struct gtm_state *state, const struct gtm_state *from);
/* An operator's word: as gtm_state_resume, for names. */
int gtm_state_resume_named(struct gtm_state *state, const char *pool, const char *endpoint,
                           const char *owner) GTM_MUST_CHECK;

/* The verdict on a pool: addresses, weights and panic of *ret_doc are filled, the rest is the
 * caller's. Texts are borrowed until the next change. Then gtm_state_verdict_free. GTM_ENOMEM. */
int gtm_state_verdict(const struct gtm_state *state, size_t pool,
                      struct gtm_verdict_doc *ret_doc) GTM_MUST_CHECK;
void gtm_state_verdict_free(struct gtm_verdict_doc *doc);

#endif
