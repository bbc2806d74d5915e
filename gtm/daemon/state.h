/* SPDX-License-Identifier: Apache-2.0
 *
 * The live state of the node: probes' changes are merged into facts and published at once; what
 * arrives in one turn of the loop is published together; operators' orders come, end and are
 * withdrawn; what is known is kept in the store, so that a restart forgets nothing. The control
 * thread calls everything but gtm_state_on_change.
 *
 * That is GTM_STATE_DECIDES, a standalone node. In a cluster (cluster.h) the same facts come from
 * elsewhere: see enum gtm_state_mode and state_follow.h.
 *
 * Happy path: new → restore → prepare(intent), commit → on_change … → flush → free.
 * Failure modes: a store that cannot be written delays nothing: changes take effect, are tried
 * again every five seconds, and gtm_state_unsaved says so. A publish that fails is tried again.
 */
#ifndef GTM_DAEMON_STATE_H
#define GTM_DAEMON_STATE_H

#include "gtm/base/clock.h"
#include "gtm/coord/store.h"
#include "gtm/daemon/events.h"
#include "gtm/daemon/facts.h"
#include "health/health.h"
#include "policies/balance.h"
#include "policies/spill.h"

struct gtm_loop;
struct gtm_state;

enum gtm_state_mode {
    GTM_STATE_DECIDES = 0, /* its own probes are the truth, the store is its memory */
    GTM_STATE_FOLLOWS,     /* facts come from verdicts and orders from the store; its probes are
                              only observations, in the slots */
    GTM_STATE_PIPELINE     /* decides from what it is fed; writes nothing, ends no orders */
};

struct gtm_state_opts {
    struct gtm_loop *loop;         /* borrowed, as all here */
    const struct gtm_clock *clock; /* NULL = the system's */
    struct gtm_store *store;
    struct gtm_events *events;
    enum gtm_state_mode mode;
    /* Publish what touched pools answer now. 0, or the change is offered again within a second
     * (touched then empty). */
    int (*flip)(void *ctx, const struct gtm_states *states, const struct gtm_touched *touched);
    /* FOLLOWS: a slot of the pool changed; may be NULL. */
    void (*observed)(void *ctx, size_t pool);
    void *ctx;
};

/* NULL: out of memory. */
struct gtm_state *gtm_state_new(const struct gtm_state_opts *opts);
/* Pending changes are dropped; on_change must not be called any more. NULL is fine. */
void gtm_state_free(struct gtm_state *state);

/* Reads orders and (DECIDES) last healths from the store; once, before the first prepare. Damaged
 * entries are logged and skipped. GTM_ENOMEM. */
int gtm_state_restore(struct gtm_state *state) GTM_MUST_CHECK;

/* The state for another intent, carrying over by name what is known. NULL: out of memory. Then
 * either commit (takes over) or gtm_state_next_free. */
struct gtm_state_next;
struct gtm_state_next *gtm_state_prepare(struct gtm_state *state, const struct gtm_intent *intent);
const struct gtm_states *gtm_state_next_states(const struct gtm_state_next *next);
void gtm_state_commit(struct gtm_state *state, struct gtm_state_next *next);
void gtm_state_next_free(struct gtm_state_next *next); /* NULL is fine */

/* What to probe for the present intent: a new array (gtm_free) whose keys and monitors belong to
 * state and live until the next commit. NULL: out of memory, or *ret_count is 0. */
struct health_target *gtm_state_targets(const struct gtm_state *state, size_t *ret_count);

/* The key of a target: "POOL/ENDPOINT/MONITOR/4"; false when it does not fit. */
bool gtm_target_key(const struct gtm_intent *intent, size_t pool, size_t endpoint, unsigned monitor,
                    enum gtm_family family, char ret_key[HEALTH_KEY_BYTES]);

/* health_engine_opts.on_change with ctx = the state. Any thread. */
void gtm_state_on_change(void *state, const struct health_report *report, enum gtm_health old);

/* health_engine_opts.on_load with ctx = the state. Any thread. */
void gtm_state_on_load(void *state, const struct health_report *report);
/* Weights of the balancing policies and what full regions shed, from the load reports so far. Every
 * second; `engine` (may be NULL) knows how long probes took. */
void gtm_state_balance(struct gtm_state *state, struct health_engine *engine);

/* How old a load report of the pool's endpoints may be to count. Pure. */
uint64_t gtm_state_stale_ms(const struct gtm_intent *intent, size_t pool);
/* What a balancing policy does: "balanced within 20 % (now 8 %)"; "" when it is none. Returns out.
 */
const char *gtm_state_balance_text(const struct gtm_state *state, size_t policy,
                                   char out[POLICY_BALANCE_TEXT]);
/* What a pool sheds from a region; "" when nothing. *ret_utilisation is -1 when unknown. */
const char *gtm_state_spill_text(const struct gtm_state *state, size_t pool, size_t region,
                                 double *ret_utilisation, char out[POLICY_SPILL_TEXT]);

/* In a panic: are those that are held still failing by content? The engine tells of changes of
 * health only, and down stays down when a server that answered nonsense stops answering. Every
 * second or so. */
void gtm_state_look_again(struct gtm_state *state, struct health_engine *engine);

/* Borrowed until the next change; NULL before the first commit. */
const struct gtm_facts *gtm_state_facts(const struct gtm_state *state);

typedef void (*gtm_state_done_fn)(void *arg, int code, const struct gtm_error *err);
/* Puts an order (NULL = withdraws it) in force at once and keeps it in the store; done(arg) comes
 * later: code 0, or why it is not durable yet (it is in force all the same). A negative return: it
 * is not in force and done is never called (GTM_ENOMEM, GTM_ELIMIT, GTM_ESTATE before the first
 * commit).
 * FOLLOWS: only commits it to the store, with an audit entry; it is in force when it comes back
 * from there (gtm_state_order), so with another code than 0 it is not. */
int gtm_state_override(struct gtm_state *state, const char *key,
                       const struct gtm_override *override, gtm_state_done_fn done,
                       void *arg) GTM_MUST_CHECK;
/* The same with what its entry in the audit chain says (gtm_state_override makes one up from the
 * order), and with further changes in the same commit. Both are copied. */
struct gtm_audit_entry;
int gtm_state_override_by(struct gtm_state *state, const char *key,
                          const struct gtm_override *override, const struct gtm_audit_entry *entry,
                          const struct gtm_store_change *more, size_t more_count,
                          gtm_state_done_fn done, void *arg) GTM_MUST_CHECK;

/* Ends the wait of a recovered endpoint (hold, penalty, manual failback); it ramps up from now
 * (FOLLOWS: as soon as the leader has heard of it, through "resume/POOL/ENDPOINT" in the store).
 * dry_run only looks. GTM_ENOTFOUND no such endpoint, GTM_ESTATE it waits for nothing. */
int gtm_state_resume(struct gtm_state *state, size_t pool, size_t endpoint, const char *owner,
                     bool dry_run) GTM_MUST_CHECK;
/* Writes what is not saved yet into the store now (before it is closed). */
void gtm_state_flush(struct gtm_state *state);
/* NULL: all is saved; else why not, since *ret_since_ms. */
const char *gtm_state_unsaved(const struct gtm_state *state, int64_t *ret_since_ms);
/* Health changes merged since the start. */
uint64_t gtm_state_changes(const struct gtm_state *state);

#endif
