/* SPDX-License-Identifier: Apache-2.0
 *
 * What the two halves of the live state share: merging (state.c) and keeping (state_save.c).
 */
#ifndef GTM_DAEMON_STATE_INT_H
#define GTM_DAEMON_STATE_INT_H

#include "gtm/base/map.h"
#include "gtm/daemon/state.h"

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
    int64_t since_ms;
    uint32_t next; /* of the same endpoint and family: index + 1 */
};

/* A health that was saved by an earlier run. */
struct gtm_saved_health {
    enum gtm_health health;
    int64_t since_ms;
};

struct gtm_change {
    struct gtm_change *next;
    char key[HEALTH_KEY_BYTES];
    char evidence[HEALTH_EVIDENCE_BYTES];
    enum gtm_health health;
    int64_t since_ms;
};

struct gtm_state_next {
    struct gtm_facts *facts;
    struct gtm_slot *slots;
    size_t slots_count, slots_cap;
    struct gtm_map *by_key; /* key → slot index + 1 */
    uint32_t *first_slot;   /* [endpoint * 2 + family]: index + 1 */
    struct gtm_touched touched;
};

struct gtm_state {
    struct gtm_state_opts opts;
    const struct gtm_clock *clock;
    struct gtm_state_next *now; /* NULL before the first commit */
    struct gtm_touched none;    /* offered again after a failed flip */
    struct gtm_timer *flip_retry, *save_timer, *end_timer;
    uint64_t changes;

    struct gtm_map *saved;         /* key → struct gtm_saved_health; until the first commit */
    struct gtm_map *not_last_good; /* "pool/endpoint/4" → 1; until the first commit */
    struct gtm_overrides boot;     /* orders read; until the first commit */

    bool dirty[GTM_STATE_SHARDS_MAX], saving, save_scheduled;
    bool all_dirty; /* after a commit: shards moved, some may have to go */
    size_t shards_stored;
    int save_code; /* of the last save; 0 = fine */
    int64_t unsaved_since_ms;
    char save_error[GTM_ERROR_TEXT_BYTES];

    pthread_mutex_t mutex; /* everything below */
    struct gtm_change *changed, **changed_last;
    bool posted, closing;
};

void gtm_state__save_soon(struct gtm_state *state);
void gtm_state__mark(struct gtm_state *state, size_t slot);
/* Timer callbacks. */
void gtm_state__on_save(void *state);
/* Remembers how a commit to the store went. */
void gtm_state__saved(struct gtm_state *state, int code, const struct gtm_error *err);
/* Hands the order under key, or its absence, to the store and remembers how it went; done may be
 * NULL. Negative: nothing was queued. */
int gtm_state__persist(struct gtm_state *state, const char *key, gtm_state_done_fn done,
                       void *arg) GTM_MUST_CHECK;
/* The commit alone. */
int gtm_state__store_override(struct gtm_state *state, const char *key, gtm_store_done_fn *done,
                              void *arg) GTM_MUST_CHECK;

#endif
