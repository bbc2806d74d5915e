/* SPDX-License-Identifier: Apache-2.0
 *
 * The store of a node with an `etcd:` section: a copy in memory of what lies under "/gtm/v1/" in
 * etcd (from GTM_STORE_MIRROR_FROM on), which a watch keeps up to date, a whole transaction at a
 * time; commits are guarded etcd transactions. The copy is saved in data_dir (checksummed, replaced
 * atomically, by a thread of its own, at most every few seconds), so that a restart without etcd
 * begins with the last one. What cannot be saved is tried again until it can (`unsaved`).
 *
 * What it refuses, with a reason for people (REFUSED; the copy stays as it is, commits fail with
 * GTM_ESTATE): another cluster id than the one known from data_dir; a revision below the one known
 * (a restored backup); no key "store/id", or one with another id, where one is known (etcd was
 * wiped and made anew); unless "store/id" has a higher epoch than the one known, which only
 * gtm_store_etcd_adopt and a restored snapshot write. The first node that finds a store of its own
 * without "store/id" writes it, with epoch 1. Objects that are no JSON, too
 * large or of a newer format ("v" above GTM_STORE_FORMAT) are left out, counted and named; an older
 * copy of the object stays.
 *
 * Loop's thread only, as store.h says.
 */
#ifndef GTM_COORD_STORE_ETCD_H
#define GTM_COORD_STORE_ETCD_H

#include "gtm/coord/store.h"
#include "gtm/etcdc/etcdc.h"

#define GTM_STORE_PREFIX     "/gtm/v1/"
#define GTM_STORE_FORMAT     1
#define GTM_STORE_ID_KEY     "store/id" /* {"v":1,"id":HEX,"epoch":N,"made":…,"by":…,"reason":…} */
#define GTM_STORE_CACHE_FILE "cluster.jsonl" /* in data_dir */

enum gtm_store_link {
    GTM_STORE_CONNECTING = 0, /* nothing heard since the start; reads give the saved copy */
    GTM_STORE_FRESH,          /* the copy is what a quorum has, but for milliseconds */
    GTM_STORE_AWAY,           /* nothing heard for 3 s: the copy may be old */
    GTM_STORE_REFUSED         /* not our store: see `why` */
};

struct gtm_store_etcd_info {
    enum gtm_store_link link;
    int64_t since_ms; /* Unix time of that word */
    uint64_t age_ms;  /* since a quorum was heard last; UINT64_MAX = never in this run */
    bool saved_copy;  /* nothing but what data_dir had was ever seen in this run */
    uint64_t cluster_id;
    int64_t epoch;        /* of store/id; 0 = none */
    int64_t revision;     /* of the copy */
    char why[256];        /* of AWAY and REFUSED */
    char unwritable[256]; /* etcd takes no changes (full, no right to): why; "" = it does */
    int64_t unwritable_since_ms;
    char unsaved[256]; /* the copy cannot be saved in data_dir: why; "" = it can */
    int64_t unsaved_since_ms;
    uint64_t alien;      /* objects left out now */
    char alien_key[128]; /* one of them, with */
    char alien_why[128];
};
typedef void gtm_store_link_fn(void *arg, enum gtm_store_link link);

struct gtm_store_etcd_opts {
    struct gtm_loop *loop;
    const struct gtm_clock *clock;
    struct etcdc *client;       /* borrowed until gtm_store_close */
    const char *data_dir;       /* copied */
    const char *node;           /* its name, for tick and store/id; copied */
    gtm_store_link_fn *on_link; /* may be NULL */
    void *arg;
    uint64_t stale_ms; /* 0 = 3,000 */
};
/* The saved copy (if any) is there at the return; a damaged one is moved aside (ret_damage). Locks
 * data_dir as the standalone store does: GTM_ESTATE. lock_fd >= 0: the lock that another process
 * sent (handover.h); taken, also on failure. */
int gtm_store_etcd_open(const struct gtm_store_etcd_opts *opts, int lock_fd,
                        struct gtm_store **ret_store, struct gtm_error *ret_damage,
                        struct gtm_error *err) GTM_MUST_CHECK;
void gtm_store_etcd_info(const struct gtm_store *store, struct gtm_store_etcd_info *ret_info);
/* The lease of commits with `leased` from now on; 0 = none. */
void gtm_store_etcd_lease(struct gtm_store *store, int64_t lease);
/* What is in etcd now is the truth, though it looks older or another's: an operator's word. Writes
 * store/id with a higher epoch, so that every node follows. done as in gtm_store_commit. */
int gtm_store_etcd_adopt(struct gtm_store *store, const char *owner, const char *reason,
                         gtm_store_done_fn *done, void *arg) GTM_MUST_CHECK;
/* As gtm_store_file_pause and _resume: nothing is written (neither to etcd nor to data_dir)
 * meanwhile. */
int gtm_store_etcd_pause(struct gtm_store *store);
void gtm_store_etcd_resume(struct gtm_store *store);

/* --- snapshots of the whole prefix, blobs and audit too, at one revision --- */

/* Writes a file (mode 0600): a header line with sha256, then a line for each key; secrets stay
 * encrypted. Leased keys are left out. done(arg): code 0, revision = the one saved. */
int gtm_store_etcd_save(struct gtm_store *store, const char *path, gtm_store_done_fn *done,
                        void *arg) GTM_MUST_CHECK;
/* Replaces everything under the prefix that is not leased by the file's content, and gives store/id
 * an epoch above both. Not atomic over etcd's transaction limit: the epoch is written first with
 * "restoring": true (nodes then keep their last view) and last without. GTM_ECORRUPT before
 * anything is touched. */
int gtm_store_etcd_restore(struct gtm_store *store, const char *path, const char *owner,
                           const char *reason, gtm_store_done_fn *done, void *arg) GTM_MUST_CHECK;

#endif
