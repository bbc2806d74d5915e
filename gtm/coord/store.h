/* SPDX-License-Identifier: Apache-2.0
 *
 * The store: small JSON texts under keys like "override/endpoint/www/www-us", with revisions,
 * guarded transactions and watches, as DESIGN section 6 uses them. It is an interface; store_file.h
 * is the standalone node's implementation, and one over etcd fits behind the same table.
 *
 * The contract that both keep:
 * - Reads never block and never fail for lack of a connection: they answer from the node's copy in
 * memory.
 * - A commit is atomic and asynchronous. It becomes visible to reads and watches only when it is
 * durable; then its watches are called, then its done callback, always from the loop and never from
 * inside gtm_store_commit.
 * - Every commit that succeeds has a revision above all earlier ones; each key remembers the
 * revision that wrote it last.
 * - A watch sees every key's latest state, in order of revisions, but may skip states that were
 * replaced at once.
 *
 * All functions belong to the thread of the loop that the store was opened with. Callbacks may call
 * everything but gtm_store_close.
 */
#ifndef GTM_COORD_STORE_H
#define GTM_COORD_STORE_H

#include "gtm/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GTM_STORE_KEY_MAX         512u         /* bytes */
#define GTM_STORE_VALUE_MAX       (256u << 10) /* bytes */
#define GTM_STORE_CHANGES_MAX     124u         /* in one commit; etcd itself takes 128 steps */
#define GTM_STORE_PENDING_MAX     1024u        /* commits that wait; fetches that wait */
#define GTM_STORE_FETCH_MAX       1000u        /* entries */
#define GTM_STORE_FETCH_BYTES_MAX (8u << 20)   /* keys and values together */

/* Keys below "c" ("audit/", "blob/", "approval/") may be large or many: a store shared by many
 * nodes does not mirror them; gtm_store_get, _list and _watch do not see them there. (The
 * standalone node's store has all keys in memory, and these functions see them all.) */
#define GTM_STORE_MIRROR_FROM "c"

struct gtm_store;
struct gtm_store_watch;

/* What is stored under a key. Borrowed from the store until control returns to the loop. */
struct gtm_store_entry {
    const char *key;
    const char *value; /* NUL-terminated beyond value_len; NULL (in watches only) when the key was
                          deleted */
    size_t value_len;
    int64_t revision; /* of the commit that wrote, or in watches deleted, it */
};

enum gtm_store_change_kind {
    GTM_STORE_PUT = 0,
    GTM_STORE_DELETE, /* of a key that is not there is fine, unless `expect` forbids it */
    GTM_STORE_CHECK,  /* only compares */
};

#define GTM_STORE_ANY    (-1) /* expect: whatever is there */
#define GTM_STORE_ABSENT 0    /* expect: nothing is there */

/* One step of a commit. */
struct gtm_store_change {
    enum gtm_store_change_kind kind;
    const char *key;
    const char *value; /* PUT: UTF-8 without NUL, by convention one JSON value */
    size_t value_len;
    int64_t expect; /* the revision that the key must have, or GTM_STORE_ANY or GTM_STORE_ABSENT */
    bool leased;    /* PUT: goes when this node has been gone for its session's time. GTM_ESTATE
                       (from the commit's result) while it has no session; the standalone store keeps
                       such keys like any others */
};

struct gtm_store_result {
    int code; /* 0, GTM_ECONFLICT (a guard did not hold), GTM_ELIMIT, GTM_ENOSPACE, GTM_EIO, … */
    int64_t revision; /* of this commit; 0 unless code is 0 */
    const struct gtm_error *err;
};

struct gtm_store_status {
    bool ok;                /* the last attempt to write (or to reach the store) went well */
    int64_t revision;       /* of the newest commit seen; 0 = none ever */
    size_t keys, bytes;     /* held */
    struct gtm_error error; /* the last failure when !ok */
};

typedef void gtm_store_done_fn(void *arg, const struct gtm_store_result *result);
/* What gtm_store_fetch found, sorted by key; borrowed for the call. */
struct gtm_store_fetched {
    int code; /* 0, GTM_EUNREACHABLE, GTM_ETIMEOUT, GTM_ESTATE, … */
    const struct gtm_store_entry *entries;
    size_t count;
    bool more;        /* the limit was reached */
    int64_t revision; /* of the whole answer */
    const struct gtm_error *err;
};
typedef void gtm_store_fetch_fn(void *arg, const struct gtm_store_fetched *fetched);
typedef void gtm_store_watch_fn(void *arg, const struct gtm_store_entry *entry);
/* Returns 0 to go on, anything else to stop. */
typedef int gtm_store_visit_fn(void *arg, const struct gtm_store_entry *entry);

/* Implementations embed struct gtm_store first and get arguments that are checked already. */
struct gtm_store_ops {
    int (*get)(const struct gtm_store *store, const char *key, struct gtm_store_entry *ret_entry);
    int (*list)(const struct gtm_store *store, const char *prefix, gtm_store_visit_fn *visit,
                void *arg);
    int (*commit)(struct gtm_store *store, const struct gtm_store_change *changes, size_t count,
                  gtm_store_done_fn *done, void *arg);
    struct gtm_store_watch *(*watch)(struct gtm_store *store, const char *prefix,
                                     gtm_store_watch_fn *cb, void *arg);
    void (*unwatch)(struct gtm_store *store, struct gtm_store_watch *watch);
    int (*fetch)(struct gtm_store *store, const char *from, const char *to, size_t limit,
                 bool keys_only, gtm_store_fetch_fn *done, void *arg);
    void (*status)(const struct gtm_store *store, struct gtm_store_status *ret_status);
    void (*close)(struct gtm_store *store);
};

struct gtm_store {
    const struct gtm_store_ops *ops;
    struct coord__audit *audits; /* audit.c's: waiting for their turn */
};

/* Finishes what was committed (done callbacks run inside) and frees the store and its watches.
 * Further commits from those callbacks get GTM_ESTATE. NULL is fine. Call it before gtm_loop_free.
 */
void gtm_store_close(struct gtm_store *store);

/* GTM_ENOTFOUND, or GTM_EINVAL for what cannot be a key. */
int gtm_store_get(const struct gtm_store *store, const char *key,
                  struct gtm_store_entry *ret_entry) GTM_MUST_CHECK;

/* Visits the keys that start with prefix ("" = all), in order of bytes. 0, GTM_ENOMEM, or what
 * stopped the visit. */
int gtm_store_list(const struct gtm_store *store, const char *prefix, gtm_store_visit_fn *visit,
                   void *arg) GTM_MUST_CHECK;

/* Applies all changes or none. Copies everything. A negative return means that nothing was queued
 * and done (may be NULL) is never called: GTM_EINVAL (bad key, text or count, a key named twice),
 * GTM_ELIMIT, GTM_ENOMEM, GTM_ESTATE (closing). */
int gtm_store_commit(struct gtm_store *store, const struct gtm_store_change *changes, size_t count,
                     gtm_store_done_fn *done, void *arg) GTM_MUST_CHECK;

/* From now on calls cb for every change under prefix; no replay of what is there (list first).
 * Copies prefix. NULL when out of memory. */
struct gtm_store_watch *gtm_store_watch(struct gtm_store *store, const char *prefix,
                                        gtm_store_watch_fn *cb, void *arg);
/* Also from a callback, its own too. NULL is fine. */
void gtm_store_unwatch(struct gtm_store *store, struct gtm_store_watch *watch);

/* Reads keys from <= key < to (to NULL: just `from`) where they are kept, also those below
 * GTM_STORE_MIRROR_FROM, that a node among others has no copy of in memory. At most limit
 * (1..GTM_STORE_FETCH_MAX) entries and GTM_STORE_FETCH_BYTES_MAX; with `more`, go on from the last
 * key. done comes once, later, from the loop (or from gtm_store_close). Errors as in
 * gtm_store_commit. */
int gtm_store_fetch(struct gtm_store *store, const char *from, const char *to, size_t limit,
                    gtm_store_fetch_fn *done, void *arg) GTM_MUST_CHECK;

/* The same, but values may be left out (empty): for many keys with large ones. */
int gtm_store_fetch_keys(struct gtm_store *store, const char *from, const char *to, size_t limit,
                         gtm_store_fetch_fn *done, void *arg) GTM_MUST_CHECK;

void gtm_store_status(const struct gtm_store *store, struct gtm_store_status *ret_status);

/* Whether s can be a key: 1 to GTM_STORE_KEY_MAX bytes of UTF-8 without control characters or a
 * leading slash. */
bool gtm_store_key_ok(const char *s);
/* Whether it can be a value: UTF-8 without NUL of at most GTM_STORE_VALUE_MAX bytes. */
bool gtm_store_value_ok(const char *value, size_t len);

#endif
