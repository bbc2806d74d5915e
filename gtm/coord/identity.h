/* SPDX-License-Identifier: Apache-2.0
 *
 * Is what lies in etcd our store, and not older than what this node has seen? Pure.
 *
 * | epoch in etcd | id, cluster and revision              | judgement                           |
 * |---------------|---------------------------------------|-------------------------------------|
 * | as known      | the known ones (revision: or higher)  | OURS                                |
 * | as known      | another cluster, or a lower revision  | REFUSED                             |
 * | as known      | another id, both being known          | REFUSED: made anew                  |
 * | higher        | any                                   | ADOPTED: somebody has decided so    |
 * | lower or none | any                                   | REFUSED: from before, or made anew  |
 * | "restoring"   | any                                   | REFUSED, until it is done           |
 * A node that knows nothing takes what there is (ADOPTED), unless it is being restored.
 *
 * The id is what tells a store from one made anew: an etcd whose data was wiped and whose members
 * were started again with the same flags has the same cluster id, and in time a higher revision.
 */
#ifndef GTM_COORD_IDENTITY_H
#define GTM_COORD_IDENTITY_H

#include "gtm/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COORD__WHY_BYTES 256
#define COORD__ID_BYTES  33

struct coord__identity {
    uint64_t cluster_id; /* 0 = nothing known */
    int64_t epoch;       /* of store/id; 0 = none */
    int64_t revision;
    bool restoring;           /* found only */
    char id[COORD__ID_BYTES]; /* of store/id, letters and digits; "" = not known */
};
enum coord__judgement { COORD__OURS = 0, COORD__ADOPTED, COORD__REFUSED };
enum coord__judgement coord__identity_judge(const struct coord__identity *known,
                                            const struct coord__identity *found,
                                            char why[COORD__WHY_BYTES]);

/* Whether a's and b's ids can be of one store: the same one, or one is not known. */
bool coord__identity_same_id(const char *a, const char *b);
/* Takes the epoch and the id of a store that was not refused; an id that is not known takes no
 * known one of the same epoch away. */
void coord__identity_take(struct coord__identity *known, int64_t epoch, const char *id);
/* Sets the id; false (and ""): no letters and digits, or too many. */
bool coord__identity_set_id(struct coord__identity *identity, const char *id);

/* store/id → epoch, id and restoring; text NULL: there is none. GTM_ECORRUPT, GTM_EUNSUPPORTED. */
int coord__identity_parse(const char *text, size_t len, struct coord__identity *ret,
                          struct gtm_error *err) GTM_MUST_CHECK;
/* The text of store/id with a random id; owner and reason may be NULL. NULL: out of memory. */
char *coord__identity_print(int64_t epoch, bool restoring, int64_t made_ms, const char *node,
                            const char *owner, const char *reason);

#endif
