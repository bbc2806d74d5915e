/* SPDX-License-Identifier: Apache-2.0
 *
 * What the two halves of the quorum table share: reading (quorum_table.c) and merging
 * (quorum_merge.c).
 */
#ifndef GTM_DAEMON_QUORUM_TABLE_INT_H
#define GTM_DAEMON_QUORUM_TABLE_INT_H

#include "gtm/base/map.h"
#include "gtm/daemon/quorum_table.h"

#define QUORUM__HEALTH  3u /* bits of a vote and of a result: enum gtm_health */
#define QUORUM__CONTENT 4u
#define QUORUM__KNOWN   8u
#define QUORUM__STATE   4 /* shift: enum policy_quorum_state, of a result */

struct gtm_timer;

/* Why a vantage sees a target down. */
struct quorum__down {
    uint32_t target;
    int64_t since_ms;
    const char *text; /* in `texts` */
};

/* What a vantage sees of a pool. */
struct quorum__seen {
    uint8_t *votes; /* by target of the pool; NULL = nothing */
    struct quorum__down *downs;
    size_t downs_count;
    char *texts;
    size_t bytes;
    int64_t at_ms;
};

struct quorum__vantage {
    char name[64], region_name[64], why[96];
    int region; /* index into the configured vantage regions; -1 = none of them */
    bool here;  /* its node key is there */
    bool fit;
    struct quorum__seen *pools; /* by pool of the intent */
    size_t spoken;              /* of these, it says something about */
};

/* Targets of a pool are numbered (endpoint × 2 + family) × monitors + monitor. */
struct quorum__pool {
    size_t monitors, count;
    uint8_t *results;
    int64_t *since_ms;
    uint64_t *due, *changed; /* bits */
    bool is_due, is_changed; /* listed */
};

struct gtm_quorum_table {
    struct gtm_quorum_table_opts opts;
    const struct gtm_clock *clock;
    char node[64];
    const struct gtm_intent *intent; /* a reference; NULL before the first */
    struct quorum__pool *pools;
    uint32_t *due, *changed; /* pools that have any */
    size_t due_count, changed_count;
    struct quorum__vantage **vantages;
    size_t vantages_count, vantages_cap;
    struct gtm_map *by_name; /* → vantage */
    struct gtm_map *bad;     /* key of an object → why it could not be read */
    struct policy_vote *votes;
    size_t votes_cap;
    struct gtm_store_watch *watch_obs, *watch_node;
    struct gtm_timer *timer;
    bool again; /* not everything could be read */
    bool quiet; /* all is read again: nobody is told of single observations */
    uint64_t objects, merged;
};

/* quorum_merge.c */
int quorum__pools_new(const struct gtm_intent *intent, struct quorum__pool **ret) GTM_MUST_CHECK;
void quorum__pools_free(struct quorum__pool *pools, size_t count);
/* What was agreed on, by name. */
void quorum__carry(const struct gtm_quorum_table *table, const struct gtm_intent *intent,
                   struct quorum__pool *pools);
void quorum__mark(struct gtm_quorum_table *table, size_t pool, size_t target);
/* All that the vantage speaks of; its vote begins or ends to count. */
void quorum__mark_vantage(struct gtm_quorum_table *table, const struct quorum__vantage *vantage);
void quorum__mark_all(struct gtm_quorum_table *table);
void quorum__merge_due(struct gtm_quorum_table *table);
struct gtm_quorum_target quorum__target(const struct gtm_quorum_table *table, size_t pool,
                                        size_t target);
/* SIZE_MAX: the intent has no such one. */
size_t quorum__index(const struct gtm_quorum_table *table, const struct gtm_quorum_target *target);

#endif
