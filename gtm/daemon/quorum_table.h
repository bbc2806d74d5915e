/* SPDX-License-Identifier: Apache-2.0
 *
 * What all vantages see of all targets, in memory, and what they agree on (policies/quorum.h). It
 * watches obs/ and node/ in the store's copy: an observation counts when its vantage's node key is
 * there, names a vantage region and says that it is fit. A change costs what it touches: an object
 * that changed is compared with what it said before, and only targets that differ are merged again.
 * Every node has one, so that any can lead or merge at once. Control thread.
 *
 * Memory: two octets per target and vantage, plus what is said of those that are down.
 * Failure modes: an object that is damaged or newer counts as it did before, and is counted in
 * gtm_quorum_table_info; one that is too large never gets here (store_etcd.h).
 */
#ifndef GTM_DAEMON_QUORUM_TABLE_H
#define GTM_DAEMON_QUORUM_TABLE_H

#include "gtm/base/clock.h"
#include "gtm/coord/store.h"
#include "gtm/model/intent.h"
#include "gtm/model/states.h"
#include "health/health.h"
#include "policies/quorum.h"

struct gtm_quorum_table;

/* One address by one monitor. */
struct gtm_quorum_target {
    size_t pool, endpoint;
    unsigned monitor; /* index into the intent's monitors */
    enum gtm_family family;
};
struct gtm_quorum_view {
    struct policy_quorum result;
    int64_t since_ms; /* of its health: of the earliest vote that says so, else of when it was
                         merged; Unix time */
    bool known;       /* any vantage says anything of it, or a verdict did */
};

struct gtm_quorum_table_opts {
    struct gtm_loop *loop;
    const struct gtm_clock *clock; /* NULL = the system's */
    struct gtm_store *store;
    const char *node; /* this one's name, for `seen`; copied */
    /* What is agreed on differs for some targets: gtm_quorum_table_each_changed gives them. Once
     * per turn of the loop; may be NULL. */
    void (*on_change)(void *ctx);
    /* Another vantage than this node says something else of the target than before (up or down);
     * may be NULL. */
    void (*seen)(void *ctx, const char *key, enum gtm_health health);
    void *ctx;
};
struct gtm_quorum_table *gtm_quorum_table_new(const struct gtm_quorum_table_opts *opts);
void gtm_quorum_table_free(struct gtm_quorum_table *table); /* NULL is fine */

/* Makes this the intent (takes a reference) and reads everything from the store's copy again; what
 * was agreed on is kept by name where the pool is the same. GTM_ENOMEM: as it was. */
int gtm_quorum_table_intent(struct gtm_quorum_table *table,
                            const struct gtm_intent *intent) GTM_MUST_CHECK;

/* What is believed of a target when vantages do not agree: a leader's verdict. */
void gtm_quorum_table_before(struct gtm_quorum_table *table, const struct gtm_quorum_target *target,
                             enum gtm_health health);

/* Merges what is due and visits the targets whose result changed since the last call. */
typedef void gtm_quorum_visit_fn(void *ctx, const struct gtm_quorum_target *target,
                                 const struct gtm_quorum_view *view);
void gtm_quorum_table_each_changed(struct gtm_quorum_table *table, gtm_quorum_visit_fn *visit,
                                   void *ctx);
/* All known targets of a pool. */
void gtm_quorum_table_each(struct gtm_quorum_table *table, size_t pool, gtm_quorum_visit_fn *visit,
                           void *ctx);
/* "down: 2 of 3 regions (needs 2): …". Returns out. */
const char *gtm_quorum_table_text(const struct gtm_quorum_table *table,
                                  const struct gtm_quorum_target *target,
                                  char out[POLICY_QUORUM_TEXT]);

/* What each vantage says of a target, for people: visited in order of names. */
struct gtm_quorum_vote {
    const char *vantage, *region;
    bool fit;
    const char *unfit_why; /* "" when fit */
    enum gtm_health health;
    bool content;
    int64_t since_ms, at_ms;
    const char *evidence;
};
void gtm_quorum_table_votes(const struct gtm_quorum_table *table,
                            const struct gtm_quorum_target *target,
                            void (*visit)(void *ctx, const struct gtm_quorum_vote *vote),
                            void *ctx);

struct gtm_quorum_table_info {
    size_t vantages, fit;     /* with a node key in a vantage region; of these, fit */
    size_t regions, voting;   /* configured vantage regions; of these, with a fit vantage */
    size_t targets, bytes;    /* known; of memory, about */
    size_t bad;               /* objects that could not be read */
    char bad_key[128];        /* one of them, with */
    char bad_why[160];        /* the reason */
    uint64_t objects, merged; /* read, targets merged since the start */
};
void gtm_quorum_table_info(const struct gtm_quorum_table *table, struct gtm_quorum_table_info *ret);

#endif
