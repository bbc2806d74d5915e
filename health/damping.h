/* SPDX-License-Identifier: Apache-2.0
 *
 * From single results to health: `fall` consecutive failures take a target down, `rise` consecutive
 * passes bring it up. Pure: no clock, no I/O, no allocation; one owner.
 */
#ifndef GTM_HEALTH_DAMPING_H
#define GTM_HEALTH_DAMPING_H

#include "gtm/model/verdict.h"

#include <stdbool.h>

/* Embedded by its owner; init before use. */
struct health_damping {
    enum gtm_health health; /* up, down or unknown */
    unsigned passes, fails; /* consecutive; at most one of them is above 0 */
};

/* Starts from what was known before; degraded, which no single probe can tell, counts as up. */
void health_damping_init(struct health_damping *damping, enum gtm_health known);

/* Counts one result; fall and rise are at least 1 (0 counts as 1). Returns true when the health
 * changed. */
bool health_damping_count(struct health_damping *damping, bool ok, unsigned fall, unsigned rise);

#endif
