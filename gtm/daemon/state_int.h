/* SPDX-License-Identifier: Apache-2.0
 *
 * What the two halves of the live state share: merging (state.c) and keeping (state_save.c).
 */
#ifndef GTM_DAEMON_STATE_INT_H
#define GTM_DAEMON_STATE_INT_H

#include "gtm/base/buf.h"
#include "gtm/base/map.h"
#include "gtm/daemon/state.h"
#include "policies/balance.h"
#include "policies/recovery.h"
#include "policies/spill.h"

#include <pthread.h>

#define GTM_STATE_SHARD_SLOTS 1000 /* × (key + 40 bytes) must stay below GTM_STORE_VALUE_MAX */
#define GTM_STATE_SHARDS_MAX  100  /* HEALTH_TARGETS_MAX / GTM_STATE_SHARD_SLOTS */

struct gtm_timer;

/* One probe's target and what is known of it. */
struct gtm_slot {
    char *key;
    uint32_t pool, endpoint;
    uint8_t family;   /* enum gtm_family */
    unsigned monitor; /* index into the intent's monitors */
    enum gtm_health health;
    bool content;   /* its failure is one of content */
    uint8_t quorum; /* PIPELINE: enum policy_quorum_state */
    uint8_t result; /* enum health_result, of the probe that decided */
    char *evidence; /* why it is down; NULL = it is not, or nothing is known */
    int64_t since_ms;
    uint32_t next; /* of the same endpoint and family: index + 1 */
};

/* One address of one endpoint. */
struct gtm_address {
    uint32_t first;      /* of its slots: index + 1 */
    uint64_t content_ms; /* since when content alone takes it down; 0 = it does not. Monotonic, but
                            later than the machine's by what makes 1 longer ago than any panic */
    bool held;           /* … and that is not believed: panic */
    uint8_t verdict;     /* FOLLOWS: enum gtm_health, as the leader has it */
    bool local;          /* FOLLOWS: taken out by this node's own probes */
    bool listed;         /* in `active` */
};

/* An address that is on its way back. */
struct gtm_active {
    uint32_t pool, endpoint;
    uint8_t family;
};

/* A health that was saved by an earlier run. */
struct gtm_saved_health {
    enum gtm_health health;
    bool content, held;
    int64_t since_ms;
};

/* An order on its way into the store. */
struct gtm_state_order_commit {
    const char *key;
    const struct gtm_override *override; /* NULL = none any more */
    const struct gtm_audit_entry *entry; /* NULL = made up from it */
    const struct gtm_store_change *more; /* changes of the same commit */
    size_t more_count;
};
#define GTM_STATE_ORDER_MORE 4

struct gtm_change {
    struct gtm_change *next;
    char key[HEALTH_KEY_BYTES];
    char evidence[HEALTH_EVIDENCE_BYTES];
    enum gtm_health health;
    bool content;
    uint8_t quorum, result;
    int64_t since_ms;
    bool is_load; /* only the load means something */
    struct health_load load;
};

/* A balancing policy between its steps. */
struct gtm_balance {
    uint32_t policy;
    bool stepped, published;
    struct policy_balance_rules rules;
    struct policy_balance_result last;
    struct policy_balance_endpoint *endpoints; /* of its pool */
};

/* A pool with spillover between its steps. */
struct gtm_spill {
    uint32_t pool;
    size_t count; /* regions that the pool has endpoints in */
    uint16_t *region_of;
    struct policy_spill_region *regions;
    struct policy_spill_rules rules;
    bool *told; /* were said to shed */
};

/* What a balancing policy's endpoint or a shedding region had in an earlier run: see state_kept.c.
 */
struct gtm_kept {
    double value[4];
};

/* Lists for the store, as new texts, each a JSON array. */
struct gtm_marks {
    struct gtm_buf buf;
    size_t in_buf, count;
    char *texts[GTM_STATE_SHARDS_MAX];
};

struct gtm_state_next {
    struct gtm_facts *facts;
    struct gtm_slot *slots;
    size_t slots_count, slots_cap;
    struct gtm_map *by_key;        /* key → slot index + 1 */
    struct gtm_address *addresses; /* [endpoint * 2 + family] */
    struct gtm_active *active;
    size_t active_count, active_cap;
    struct gtm_balance *balances;
    size_t balances_count, balances_cap;
    struct gtm_spill *spills;
    size_t spills_count, spills_cap;
    size_t drains; /* orders that drain gradually just now; FOLLOWS: that ever do */
    struct gtm_touched touched;
};

struct gtm_state {
    struct gtm_state_opts opts;
    const struct gtm_clock *clock;
    struct gtm_state_next *now; /* NULL before the first commit */
    struct gtm_touched none;    /* offered again after a failed flip */
    struct gtm_timer *flip_retry, *save_timer, *end_timer, *share_timer;
    uint64_t balanced_ms;   /* the last step; monotonic */
    uint64_t share_wake_ms; /* when share_timer fires; monotonic, 0 = it does not */
    uint64_t paused_ms;     /* automation: the last time it was seen paused; monotonic, 0 = not */
    uint64_t changes;
    bool isolated; /* FOLLOWS: own probes may take out */
    bool fed;      /* PIPELINE: it knows all that was there before it began */

    struct gtm_map *saved;          /* key → struct gtm_saved_health; until the first commit */
    struct gtm_map *not_last_good;  /* "pool/endpoint/4" → 1; until the first commit */
    struct gtm_map *saved_recovery; /* "pool/endpoint/4" → struct policy_recovery, in Unix time;
                                       until the first commit */
    struct gtm_map *saved_balance;  /* → struct gtm_kept; until the first commit */
    struct gtm_overrides boot;      /* orders read; until the first commit */

    bool dirty[GTM_STATE_SHARDS_MAX], saving, save_scheduled;
    bool save_again;           /* asked for while saving */
    bool balance_due;          /* balances differ from what is stored, or their age does */
    uint64_t balance_saved_ms; /* monotonic */
    bool all_dirty;            /* after a commit: shards moved, some may have to go */
    size_t shards_stored;
    int save_code; /* of the last save; 0 = fine */
    int64_t unsaved_since_ms;
    char save_error[GTM_ERROR_TEXT_BYTES];

    pthread_mutex_t mutex; /* everything below */
    struct gtm_change *changed, **changed_last;
    size_t loads_waiting; /* of these */
    bool posted, closing;
};

/* state_merge.c */
/* A probe's change of a slot of the state in force. */
void gtm_state__merge(struct gtm_state *state, struct gtm_slot *slot,
                      const struct gtm_change *change);
/* Healths of a pool that is being prepared, from its slots. */
void gtm_state__settle_pool(struct gtm_state *state, struct gtm_state_next *next, size_t pool);

/* state_follow.c */
/* FOLLOWS: a slot changed; what own probes may do while isolated. */
void gtm_state__observed(struct gtm_state *state, size_t pool);
/* FOLLOWS: which gradual drains are over, by the shares in force. */
void gtm_state__follow_drains(struct gtm_state *state, struct gtm_state_next *next);
/* PIPELINE, FOLLOWS: from Unix time to the monotonic clock and back. */
uint64_t gtm_state__to_mono(const struct gtm_state *state, uint64_t wall_ms);
/* FOLLOWS: asks the leader, through the store. */
int gtm_state__commit_resume(struct gtm_state *state, size_t pool, size_t endpoint,
                             const char *owner) GTM_MUST_CHECK;
/* FOLLOWS: hands the order to the store. */
int gtm_state__commit_order(struct gtm_state *state, const struct gtm_state_order_commit *order,
                            gtm_state_done_fn done, void *arg) GTM_MUST_CHECK;

/* state_loads.c */
/* A load report of a slot's endpoint. */
void gtm_state__load(struct gtm_state *state, const struct gtm_slot *slot,
                     const struct health_load *load);

/* What the pools shed from a region: by themselves, or, when that is more, by an order. */
void gtm_state__put_sheds(struct gtm_state *state, struct gtm_state_next *next, unsigned region);
int gtm_state__loads_prepared(struct gtm_state *state, struct gtm_state_next *next) GTM_MUST_CHECK;
void gtm_state__loads_free(struct gtm_state_next *next);

/* state_kept.c: balanced weights and sheds over a restart. */
void gtm_state__collect_balances(const struct gtm_state *state, struct gtm_marks *marks);
int gtm_state__read_balances(void *state, const struct gtm_store_entry *entry);
/* What an earlier run left, into what is being prepared for the first commit. */
int gtm_state__recall_balance(const struct gtm_state *state, struct gtm_state_next *next,
                              struct gtm_balance *balance) GTM_MUST_CHECK;
void gtm_state__recall_spill(const struct gtm_state *state, struct gtm_state_next *next,
                             struct gtm_spill *spill);
/* After a step: does the store need to hear of it? */
void gtm_state__keep_balances(struct gtm_state *state, bool changed);

/* state_shares.c */
/* The health of an address is now this: what that means for its share. */
void gtm_state__recover(struct gtm_state *state, struct gtm_state_next *next, size_t pool,
                        size_t endpoint, unsigned family, enum gtm_health health);
/* When nothing of the pool serves, what is held does. */
void gtm_state__release(struct gtm_state *state, struct gtm_state_next *next, size_t pool);
/* Which orders drain gradually now, and what that leaves; after one changed. */
void gtm_state__drains(struct gtm_state *state, struct gtm_state_next *next);
void gtm_state__drain_changed(struct gtm_state *state, const char *key);
/* The state was filled from the one before: shares follow. */
void gtm_state__shares_prepared(struct gtm_state *state, struct gtm_state_next *next);
void gtm_state__on_share(void *state); /* timer */

/* state.c: publishes what was touched. */
void gtm_state__publish(struct gtm_state *state);

/* Ends the text that is being added to. */
void gtm_state__marks_close(struct gtm_marks *marks);
/* Logs it. */
void gtm_state__skip_damaged(const struct gtm_store_entry *entry);
void gtm_state__save_soon(struct gtm_state *state);
void gtm_state__mark(struct gtm_state *state, size_t slot);
/* Timer callbacks. */
void gtm_state__on_save(void *state);
/* Remembers how a commit to the store went. */
void gtm_state__saved(struct gtm_state *state, int code, const struct gtm_error *err);
/* Hands the order to the store and remembers how it went; done may be NULL. Negative: nothing was
 * queued. */
int gtm_state__persist(struct gtm_state *state, const struct gtm_state_order_commit *order,
                       gtm_state_done_fn done, void *arg) GTM_MUST_CHECK;
/* The commit alone. */
int gtm_state__store_override(struct gtm_state *state, const struct gtm_state_order_commit *order,
                              gtm_store_done_fn *done, void *arg) GTM_MUST_CHECK;

#endif
