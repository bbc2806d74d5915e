/* SPDX-License-Identifier: Apache-2.0
 *
 * A commit on its way through etcd, between store_etcd_commit.c and store_etcd_outcome.c.
 *
 * Every commit also moves a key of this node's own, "acts/<node>/<slot>", from the revision that it
 * is known to have to a value that no other commit writes. So when an answer is lost, what is there
 * tells whether the commit happened; and where it has not, moving the key once more makes sure that
 * it never will.
 */
#ifndef GTM_COORD_STORE_ETCD_TXN_H
#define GTM_COORD_STORE_ETCD_TXN_H

#include "gtm/coord/store_etcd_int.h"

enum etcd__stage {
    ETCD__SEND = 0, /* to be sent (again), not before next_ms */
    ETCD__SENT,
    ETCD__LOOK, /* the answer was lost: to be looked at, not before next_ms */
    ETCD__LOOKING,
    ETCD__WAIT, /* the outcome is known; until the copy shows it */
    ETCD__DONE
};

struct etcd__txn {
    struct etcd__txn *next;
    struct etcd__store *store;
    struct coord__commit *commit;
    enum etcd__stage stage;
    unsigned slot, slot_tries;
    uint64_t id;
    uint64_t next_ms, late_ms, give_up_ms, wait_until_ms;
    bool marked;          /* its keys, in store->busy */
    const char *see_key;  /* WAIT: of the commit's; until the copy has this key... */
    int64_t see_revision; /* ...at this revision or a later one; 0 = gone */
};

struct etcdc_buf etcd__slot_key(const struct etcd__store *store, unsigned slot,
                                char out[COORD__KEY_BYTES]);
void etcd__slot_value(const struct etcd__txn *txn, const char *word, char out[64]);
/* The outcome is known (commit->err and ->revision say it): frees the slot and the keys. */
void etcd__settled(struct etcd__txn *txn, enum etcd__stage stage);
/* Ends it with "may have happened". */
void etcd__nobody_knows(struct etcd__txn *txn, const char *why);
/* Looks what became of it. */
void etcd__look(struct etcd__txn *txn);

#endif
