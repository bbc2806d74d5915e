/* SPDX-License-Identifier: Apache-2.0
 *
 * Who decides: runs the pipeline (a gtm_state in mode PIPELINE, fed by the quorum table) while this
 * node leads or merges. Control thread.
 *
 * LEAD: pools whose verdict changed are written as verdict/<pool> together with view/rev
 * ({"v":1,"rev":N,"by":NODE,"fence":F,"at":MS,"more":bool}), guarded by the leader's key and the
 * revision of view/rev: at most 100 pools a transaction, the next one begins when the last is done,
 * and "more" says that it belongs to the same news. A new leader's first transaction is written
 * even when nothing differs: it ends merging everywhere; so does one that stood still. Shares that
 * move (ramps, drains) are written at most once a second per pool; health at once. MERGE: verdicts
 * go straight into the followed state, with the number of the last view, until a leader writes a
 * new one (also when the mode is FOLLOW again already), or the mode is FOLLOW again and what it
 * made is what the verdicts in the store say anyway. Otherwise there is no pipeline. Starting one
 * costs what the verdicts in the store cost to read; so a leader that loses sight of the store
 * keeps its own, idle, and goes on with it if it leads again and nobody else has written.
 *
 * Failure modes: a transaction that fails is tried again while this node still leads, with what is
 * true then; a conflict only after the copy has caught up.
 */
#ifndef GTM_DAEMON_CONDUCTOR_H
#define GTM_DAEMON_CONDUCTOR_H

#include "gtm/base/clock.h"
#include "gtm/coord/store.h"
#include "gtm/daemon/events.h"
#include "gtm/daemon/quorum_table.h"
#include "gtm/daemon/state_follow.h"
#include "policies/role.h"

struct gtm_conductor;

/* The leadership: gtm_leader_* in gtmd. */
struct gtm_conductor_lead {
    bool (*valid)(void *ctx, uint32_t need_ms);
    int64_t (*fence)(void *ctx);
    int (*guard)(void *ctx, struct gtm_store_change *ret_change);
};
struct gtm_conductor_opts {
    struct gtm_loop *loop;
    const struct gtm_clock *clock; /* NULL = the system's */
    struct gtm_store *store;
    struct gtm_events *events;
    struct gtm_quorum_table *table;
    struct gtm_state *state; /* that FOLLOWS: merges go there, loads come from there */
    const char *node;        /* copied */
    struct gtm_conductor_lead lead;
    /* Something that the mode depends on may have changed (gtm_conductor_unanswered_ms); may be
     * NULL. */
    void (*poke)(void *ctx);
    void *ctx;
};
struct gtm_conductor *
gtm_conductor_new(const struct gtm_conductor_opts *opts); /* NULL: no memory */
void gtm_conductor_free(struct gtm_conductor *conductor); /* NULL is fine */

/* policy_role's word, also when it is the same. */
void gtm_conductor_mode(struct gtm_conductor *conductor, enum policy_role_mode mode);
/* Another intent is in force (after the followed state's commit and the table's): its revision. */
void gtm_conductor_intent(struct gtm_conductor *conductor, const struct gtm_intent *intent,
                          int64_t revision);
/* The table's on_change. */
void gtm_conductor_changed(struct gtm_conductor *conductor);
/* What is in force has changed by another way than a view: own checks took something out, or do so
 * no more. */
void gtm_conductor_look(struct gtm_conductor *conductor);
/* A new view was followed: follower.h tells. */
void gtm_conductor_view(struct gtm_conductor *conductor, int64_t rev, bool more);
/* The store was restored: its views are numbered anew. */
void gtm_conductor_restored(struct gtm_conductor *conductor);
/* override/KEY changed (text NULL: it is gone): follower.h tells. */
void gtm_conductor_order(struct gtm_conductor *conductor, const char *key, const char *text,
                         size_t len);
/* Every second: balances, old audit entries. engine may be NULL. */
void gtm_conductor_second(struct gtm_conductor *conductor, struct health_engine *engine);

/* Is the followed state fed by this node's own merge? Then verdicts from the store wait for the
 * next whole view. */
bool gtm_conductor_merging(const struct gtm_conductor *conductor);
/* For struct policy_role_input: since when what vantages agree on differs from the verdicts in
 * force without a new view, or since when this node merges, what it made differs from the verdicts
 * in the store, and no leader has written a whole view; monotonic, 0 = neither. */
uint64_t gtm_conductor_unanswered_ms(const struct gtm_conductor *conductor);
/* The pipeline, for what only it knows (texts of balance and spill); NULL: none. */
const struct gtm_state *gtm_conductor_pipeline(const struct gtm_conductor *conductor);

struct gtm_conductor_info {
    uint64_t writes, conflicts, failures; /* transactions since the start */
    uint64_t objects, bytes;              /* verdicts written */
    uint64_t merged;                      /* pools put in force by merging, unpublished */
    size_t waiting;                       /* pools that are not written yet */
    int64_t rev;                          /* of the last view written; 0 = none */
};
void gtm_conductor_info(const struct gtm_conductor *conductor, struct gtm_conductor_info *ret);

#endif
