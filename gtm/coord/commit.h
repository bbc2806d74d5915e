/* SPDX-License-Identifier: Apache-2.0
 *
 * A commit that waits: a copy of its changes, and whom to tell. The store's thread.
 */
#ifndef GTM_COORD_COMMIT_H
#define GTM_COORD_COMMIT_H

#include "gtm/coord/store.h"

struct coord__commit {
    struct coord__commit *next;
    struct gtm_store_change *changes; /* keys owned; the values are in `values` */
    char **values;                    /* of PUTs; owned until taken (and cleared) */
    size_t count, bytes;
    gtm_store_done_fn *done;
    void *arg;
    int64_t revision;
    struct gtm_error err; /* code 0 = good so far */
};

/* NULL: out of memory. */
struct coord__commit *coord__commit_copy(const struct gtm_store_change *changes, size_t count,
                                         gtm_store_done_fn *done, void *arg);
void coord__commit_free(struct coord__commit *commit); /* NULL is fine */
/* Tells (err.code, revision) and frees. */
void coord__commit_finish(struct coord__commit *commit);

#endif
