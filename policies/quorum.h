/* SPDX-License-Identifier: Apache-2.0
 *
 * From what vantages see of one target (one address by one monitor) to what is believed: vantages
 * of a region make that region's vote; a quorum of the configured vantage regions decides, not of
 * those that happen to report (DESIGN section 9). Pure.
 *
 * A region's vote is the majority of its fit vantages that know; a tie says nothing new: `before`.
 * A vantage that is not fit, or whose observation is gone, has no vote. Fewer voting regions than
 * needed: the verdict stays and is stale. Enough voting regions but neither side reaches the number
 * needed: it stays, split.
 */
#ifndef POLICIES_QUORUM_H
#define POLICIES_QUORUM_H

#include "gtm/model/intent.h"
#include "gtm/model/verdict.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POLICY_VANTAGE_REGIONS_MAX GTM_REGIONS_MAX
#define POLICY_QUORUM_TEXT         200u

/* How many of `regions` configured vantage regions must agree that something is down. `any`: one;
 * for coming up again, and for every other word, the majority always. Never 0. */
unsigned policy_quorum_needed(enum gtm_quorum kind, unsigned regions, enum gtm_health health);

struct policy_vote {
    uint16_t region; /* index into the configured vantage regions, below
                        POLICY_VANTAGE_REGIONS_MAX; others do not count */
    bool fit;
    uint8_t health;       /* enum gtm_health: up, down; unknown says nothing */
    bool content;         /* down by content, not by transport */
    const char *vantage;  /* for the text; may be NULL */
    const char *evidence; /* may be NULL */
};
enum policy_quorum_state { POLICY_AGREED = 0, POLICY_SPLIT, POLICY_STALE };
struct policy_quorum {
    enum gtm_health health;
    bool content; /* most regions that say down say so for content */
    enum policy_quorum_state state;
    unsigned regions, up, down, silent; /* of the configured regions */
    unsigned needed; /* agreed: for `health`; else the votes without which it is stale (`any`: the
                        majority, so that one region alone never calls something up) */
};
/* `regions` above POLICY_VANTAGE_REGIONS_MAX counts as that. When enough say down, down is what is
 * believed, also where (`any`) enough say up. Degraded, in a vote and before, counts as up. */
struct policy_quorum policy_quorum(const struct policy_vote *votes, size_t count, unsigned regions,
                                   enum gtm_quorum kind, enum gtm_health before);
/* "down: 2 of 3 regions (needs 2): eu-west refused (connection refused), ap-south timeout; up:
 * us-east". region_names by index. A vantage is named where its region has several that vote. Well
 * formed UTF-8 when the names and evidences are; cut with "…". Returns out. */
const char *policy_quorum_text(const struct policy_quorum *result, const struct policy_vote *votes,
                               size_t count, const char *const *region_names,
                               char out[POLICY_QUORUM_TEXT]);

#endif
