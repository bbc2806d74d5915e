/* SPDX-License-Identifier: Apache-2.0
 *
 * From what monitors say of one address to its health, and the brake for bad news that many
 * addresses of a pool bring at once. Pure: states and times come in, a decision comes out.
 */
#ifndef GTM_POLICIES_MERGE_H
#define GTM_POLICIES_MERGE_H

#include "gtm/model/verdict.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The health of an address by the words of its monitors: counts[h] of them say h. `needed` must be
 * up, 0 = all.
 *
 *     enough can no longer be up         → down
 *     enough are up, none is down        → up
 *     enough are up, some are down       → degraded
 *     nothing decided (still unknown)    → unknown, or up when all that spoke are up
 */
enum gtm_health policy_merge(const unsigned counts[GTM_HEALTH_COUNT], unsigned needed);

#define POLICY_PANIC_WINDOW_MS 60000

/* One address of a pool, in one family. */
struct policy_panic_address {
    /* When failures of content (status, body, certificate) took it down, or would; monotonic, 0 =
     * none do. Failures of transport are never held. */
    uint64_t content_since_ms;
    bool held; /* in: as decided last; out: its health stays as it was before */
};

/* Panic: when failures of content that began within POLICY_PANIC_WINDOW_MS of one another (by
 * now_ms) would take down more than `limit` (0..1; 0 = never) of `count` addresses, a bad check or
 * a bad release is more likely than that many bad servers: those are held. It ends when no more
 * than the limit fail; then what still fails is obeyed. `on` is the last decision; returns the new
 * one. */
bool policy_panic(struct policy_panic_address *addresses, size_t count, double limit, bool on,
                  uint64_t now_ms);

#endif
