/* SPDX-License-Identifier: Apache-2.0
 *
 * What the units of the store over etcd share. Only store_etcd*.c include it; the loop's thread.
 *
 *   store_etcd.c           opening, closing, reads, the saved copy
 *   store_etcd_link.c      whose store it is, the watch, and what is heard
 *   store_etcd_commit.c    commits: their order, their outcome
 *   store_etcd_outcome.c   what became of a commit whose answer was lost
 *   store_etcd_fetch.c     fetches
 *   store_etcd_snapshot.c  saving and restoring everything
 */
#ifndef GTM_COORD_STORE_ETCD_INT_H
#define GTM_COORD_STORE_ETCD_INT_H

#include "gtm/base/clock.h"
#include "gtm/base/loop.h"
#include "gtm/base/map.h"
#include "gtm/coord/cache.h"
#include "gtm/coord/commit.h"
#include "gtm/coord/store_etcd.h"
#include "gtm/coord/watches.h"

#define COORD__KEY_BYTES  (sizeof(GTM_STORE_PREFIX) + GTM_STORE_KEY_MAX)
#define COORD__SLOTS      32u     /* commits under way at a time */
#define COORD__ACTS       "acts/" /* <node>/<slot>: not mirrored, no business of anybody else's */
#define COORD__ALIENS_MAX 10000u

struct etcd__txn;
struct etcd__fetch;
struct etcd__snapshot;

struct etcd__store {
    struct gtm_store base;
    struct gtm_loop *loop;
    const struct gtm_clock *clock;
    struct etcdc *client;
    char *data_dir, *node;
    gtm_store_link_fn *on_link;
    void *arg;
    uint64_t stale_ms;
    int lock_fd;
    bool closing, paused;

    /* link */
    enum gtm_store_link link;
    int64_t since_ms;
    uint64_t started_ms;
    char why[COORD__WHY_BYTES];
    char unwritable[COORD__WHY_BYTES]; /* the last commit was refused for good: why */
    int64_t unwritable_since_ms;
    struct coord__identity known; /* revision: the copy's, from the newest one ever seen */
    bool open;                    /* judged to be ours: the watch runs, commits go */
    bool seen;                    /* a listing was complete in this run */
    bool stale;                   /* the watch's last word: what it brings may be of long ago */
    bool asking;                  /* whose store it is */
    uint64_t stranger;            /* the other cluster that was refused last; 0 = none */
    bool look_for_ours;           /* this question is not for the stranger */
    int64_t asked_revision;       /* known.revision when it was asked */
    int64_t id_mod_revision;      /* of store/id, when last asked */
    int64_t id_epoch;             /* and its epoch, also when it was refused */
    struct etcdc_watch *watch;
    struct gtm_timer *ask_timer;
    int64_t staged_epoch; /* of store/id in what is staged; -1 = it is not there */
    char staged_id[COORD__ID_BYTES];
    bool making_id; /* store/id is being written, for there was none */
    bool staged_restoring, staged_lost;
    struct gtm_map *aliens; /* key → why (static text) */

    /* the copy */
    struct coord__mirror mirror;
    struct coord__watches watches;
    struct coord__cache *cache;
    struct gtm_timer *save_timer;
    bool dirty;
    char unsaved[COORD__WHY_BYTES]; /* the last save failed: why */
    int64_t unsaved_since_ms;

    /* commits */
    int64_t lease;
    uint64_t last_id;
    struct etcd__txn *queue, **queue_last, *flight;
    unsigned queued;
    size_t queued_bytes;
    struct gtm_map *busy; /* key → who reads and writes it (counts) */
    struct gtm_timer *commit_timer;
    struct {
        int64_t revision; /* that its key has, as far as is known */
        bool taken;
    } slots[COORD__SLOTS];

    struct etcd__fetch *fetches;
    struct etcd__snapshot *snapshots;
};

static inline struct etcd__store *etcd__of(struct gtm_store *store)
{
    return (struct etcd__store *)store;
}
static inline const struct etcd__store *etcd__cof(const struct gtm_store *store)
{
    return (const struct etcd__store *)store;
}

/* "/gtm/v1/" + key, into out. */
struct etcdc_buf etcd__key(const char *key, char out[COORD__KEY_BYTES]);
/* The key of a kv without the prefix, into out; false when it cannot be a key of ours. */
bool etcd__rel_key(struct etcdc_buf full, char out[GTM_STORE_KEY_MAX + 1]);
/* Words an etcdc failure; returns the GTM code. text may be NULL. */
int etcd__error(int code, const char *text, struct gtm_error *err);
/* Whether text is a value that this version can have in its copy; *ret_why is a static text. */
bool etcd__value_ok(const char *text, size_t len, const char **ret_why);

void etcd__set_link(struct etcd__store *store, enum gtm_store_link link, const char *why);
int etcd__link_start(struct etcd__store *store) GTM_MUST_CHECK;
void etcd__link_stop(struct etcd__store *store);
/* Asks soon whose store it is. */
void etcd__ask_soon(struct etcd__store *store, uint64_t delay_ms);

int etcd__commit(struct gtm_store *base, const struct gtm_store_change *changes, size_t count,
                 gtm_store_done_fn *done, void *arg);
/* Sends what may be sent; looks at what waits for the copy. */
void etcd__commits_go_on(struct etcd__store *store);
void etcd__commits_stop(struct etcd__store *store);

int etcd__fetch(struct gtm_store *base, const char *from, const char *to, size_t limit,
                bool keys_only, gtm_store_fetch_fn *done, void *arg);
void etcd__fetches_stop(struct etcd__store *store);
void etcd__snapshots_stop(struct etcd__store *store);

#endif
