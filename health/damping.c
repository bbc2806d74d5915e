/* SPDX-License-Identifier: Apache-2.0
 *
 * Counting of consecutive results. See damping.h; pure.
 */
#include "health/damping.h"

#include <limits.h>

void health_damping_init(struct health_damping *damping, enum gtm_health known)
{
    *damping = (struct health_damping){.health = GTM_HEALTH_UNKNOWN};
    if (known == GTM_HEALTH_UP || known == GTM_HEALTH_DEGRADED)
        damping->health = GTM_HEALTH_UP;
    else if (known == GTM_HEALTH_DOWN)
        damping->health = GTM_HEALTH_DOWN;
}

bool health_damping_count(struct health_damping *damping, bool ok, unsigned fall, unsigned rise)
{
    unsigned *run = ok ? &damping->passes : &damping->fails;
    enum gtm_health to = ok ? GTM_HEALTH_UP : GTM_HEALTH_DOWN;

    *(ok ? &damping->fails : &damping->passes) = 0;
    if (*run < UINT_MAX)
        (*run)++;
    if (damping->health == to || *run < (ok ? rise : fall))
        return false;
    damping->health = to;
    return true;
}
