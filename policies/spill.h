/* SPDX-License-Identifier: Apache-2.0
 *
 * Spillover: how much of a region's users a pool sheds to the next region of their list because the
 * region is full. Pure: utilisation and time come in, sheds for gtm_states_set_shed come out. One
 * owner for an array of regions.
 *
 *     utilisation     another region         shed
 *     > high          below the middle       rises to what brings it to the middle of the marks
 *     > high          between middle, high   stays: what is on its way will fill it
 *     low .. high     below high             stays
 *     < low           below high             falls, slower, to what is still needed
 *     unknown         below high             stays
 *     any             all above high         falls to 0: nobody can take more. Unknown counts so
 *
 * Users follow late, by about a TTL: the part that a region keeps by now is estimated, and the
 * demand worked out from that, so that a shed on its way is not shed again.
 *
 * A region that sheds hands on the same part of the users that another one shed to it
 * (policy_path): so what flows into a region that fills up changes as slowly as its own shed does,
 * where skipping it would throw all of them at the next one at once.
 */
#ifndef GTM_POLICIES_SPILL_H
#define GTM_POLICIES_SPILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POLICY_SPILL_STEP_MS 10000
#define POLICY_SPILL_RISE    50 /* of 1000 users, in POLICY_SPILL_STEP_MS */
#define POLICY_SPILL_FALL    20

enum policy_spill_state {
    POLICY_SPILL_IDLE = 0, /* nothing to shed */
    POLICY_SPILL_RISING,
    POLICY_SPILL_STEADY, /* sheds, and is between its marks */
    POLICY_SPILL_FALLING,
    POLICY_SPILL_BLOCKED, /* is full, and so are all others: sheds nothing */
    POLICY_SPILL_UNKNOWN  /* no fresh report: stays as it is */
};

/* Zero-initialise; the memory fields are the step's. */
struct policy_spill_region {
    double utilisation; /* of the pool's endpoints there that serve: Σ load / Σ capacity; negative =
                           unknown (a report counts for three intervals) */
    bool serves;        /* has any endpoint that serves; others are left alone, and take nobody */
    unsigned shed;      /* in and out: of 1000 users */
    enum policy_spill_state state; /* out */
    /* memory */
    bool known;  /* `kept` is */
    double kept; /* the part of the users whom it keeps by now */
    double rest; /* of a shed that is not whole yet */
};

struct policy_spill_rules {
    double low, high;    /* utilisation; negative high = no spillover */
    uint64_t elapsed_ms; /* since the last step */
    uint64_t lag_ms;     /* how late users follow: the TTL and a report's interval */
};

/* One step for all regions of a pool. Returns whether any shed changed. */
bool policy_spill_step(struct policy_spill_region *regions, size_t count,
                       const struct policy_spill_rules *rules);

/* "at 93 % (marks 70 and 90 %): sheds 15 % and rising", …; "" when idle. Returns out. */
#define POLICY_SPILL_TEXT 120
const char *policy_spill_say(const struct policy_spill_region *region,
                             const struct policy_spill_rules *rules, char out[POLICY_SPILL_TEXT]);

#endif
