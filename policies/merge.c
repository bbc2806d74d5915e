/* SPDX-License-Identifier: Apache-2.0
 *
 * See merge.h. Pure.
 */
#include "policies/merge.h"

enum gtm_health policy_merge(const unsigned counts[GTM_HEALTH_COUNT], unsigned needed)
{
    unsigned up = counts[GTM_HEALTH_UP] + counts[GTM_HEALTH_DEGRADED];
    unsigned down = counts[GTM_HEALTH_DOWN], unknown = counts[GTM_HEALTH_UNKNOWN];
    unsigned all = up + down + unknown;

    if (all == 0 || unknown == all)
        return GTM_HEALTH_UNKNOWN;
    if (needed == 0 || needed > all)
        needed = all;
    if (up + unknown < needed)
        return GTM_HEALTH_DOWN;
    if (down == 0)
        return counts[GTM_HEALTH_DEGRADED] > 0 ? GTM_HEALTH_DEGRADED : GTM_HEALTH_UP;
    return up >= needed ? GTM_HEALTH_DEGRADED : GTM_HEALTH_UNKNOWN;
}

bool policy_panic(struct policy_panic_address *addresses, size_t count, double limit, bool on,
                  uint64_t now_ms)
{
    size_t failing = 0, recent = 0;

    for (size_t i = 0; i < count; i++) {
        uint64_t since = addresses[i].content_since_ms;
        failing += since != 0;
        recent += since != 0 && since + POLICY_PANIC_WINDOW_MS >= now_ms;
    }
    double most = limit * (double)count;
    on = limit > 0 && (on ? (double)failing > most : (double)recent > most);
    for (size_t i = 0; i < count; i++) {
        uint64_t since = addresses[i].content_since_ms;
        /* what was obeyed before the panic began stays down */
        addresses[i].held =
            on && since != 0 && (addresses[i].held || since + POLICY_PANIC_WINDOW_MS >= now_ms);
    }
    return on;
}
