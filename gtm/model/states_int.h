/* SPDX-License-Identifier: Apache-2.0
 *
 * Internal to states*.c: how states lie in memory. See states.h.
 */
#ifndef GTM_MODEL_STATES_INT_H
#define GTM_MODEL_STATES_INT_H

#include "gtm/model/states.h"

#define GOODS (GTM_FAMILY_COUNT + 1) /* marks: the families, and any for what has only a host */

struct cell {
    uint8_t health[GTM_FAMILY_COUNT];
    uint8_t admin;
    uint8_t good; /* bit per family, and GTM_FAMILY_ANY */
    uint16_t share[GTM_FAMILY_COUNT];
    uint16_t shed; /* of its region, at the pool's first endpoint there */
};

/* What spares a walk over a pool when one of its endpoints changes. */
struct pool_count {
    uint32_t serving[GTM_FAMILY_COUNT];
    bool exact;    /* serving is so, and last-good marks follow it */
    bool has_host; /* an endpoint with nothing but a host */
};

struct gtm_states {
    struct gtm_intent *intent;
    uint32_t *first; /* pools_count + 1 positions in cells */
    struct cell *cells;
    uint8_t *pool_admin, *region_admin;
    struct pool_count *counts; /* by pool */
    uint16_t *sheds;           /* by pool: regions with a shed */
    uint32_t **balance;        /* by policy, NULL = the configured weights */
    size_t balances;           /* policies */
};

/* NULL when there is no such endpoint. */
static inline struct cell *gtm__cell_at(const struct gtm_states *states, size_t pool,
                                        size_t endpoint)
{
    if (pool >= states->intent->pools_count ||
        endpoint >= states->intent->pools[pool].endpoints_count)
        return NULL;
    return &states->cells[states->first[pool] + endpoint];
}

/* The weights that a balancing of the policy has. */
static inline size_t gtm__balance_count(const struct gtm_intent *intent, size_t policy)
{
    const struct gtm_policy *p = &intent->policies[policy];
    return p->has_pool ? intent->pools[p->pool].endpoints_count : 0;
}

#endif
