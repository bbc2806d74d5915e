/* SPDX-License-Identifier: Apache-2.0
 *
 * Is what lies in etcd our store, and not older than what this node has seen? Pure.
 *
 * | epoch in etcd | cluster and revision                  | judgement                           |
 * |---------------|---------------------------------------|-------------------------------------|
 * | as known      | the known ones (revision: or higher)  | OURS                                |
 * | as known      | another cluster, or a lower revision  | REFUSED                             |
 * | higher        | any                                   | ADOPTED: somebody has decided so    |
 * | lower or none | any                                   | REFUSED: from before that decision  |
 * | "restoring"   | any                                   | REFUSED, until it is done           |
 * A node that knows nothing takes what there is (ADOPTED), unless it is being restored.
 */
#ifndef GTM_COORD_IDENTITY_H
#define GTM_COORD_IDENTITY_H

#include "gtm/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COORD__WHY_BYTES 256

struct coord__identity {
    uint64_t cluster_id; /* 0 = nothing known */
    int64_t epoch;       /* of store/id; 0 = none */
    int64_t revision;
    bool restoring; /* found only */
};
enum coord__judgement { COORD__OURS = 0, COORD__ADOPTED, COORD__REFUSED };
enum coord__judgement coord__identity_judge(const struct coord__identity *known,
                                            const struct coord__identity *found,
                                            char why[COORD__WHY_BYTES]);

/* store/id → epoch and restoring; text NULL: there is none. GTM_ECORRUPT, GTM_EUNSUPPORTED. */
int coord__identity_parse(const char *text, size_t len, struct coord__identity *ret,
                          struct gtm_error *err) GTM_MUST_CHECK;
/* The text of store/id with a random id; owner and reason may be NULL. NULL: out of memory. */
char *coord__identity_print(int64_t epoch, bool restoring, int64_t made_ms, const char *node,
                            const char *owner, const char *reason);

#endif
