/* SPDX-License-Identifier: Apache-2.0
 *
 * What a node does with what it knows: DESIGN section 6's rules of conduct as one pure state table.
 *
 *     store    leader                          mode      answers follow
 *     fresh    another's key stands            FOLLOW    verdicts in the store
 *     fresh    own, session surely valid       LEAD      verdicts in the store, written by this
 *                                                        node
 *     full     (any)                           ISOLATED  last verdicts; own checks may only remove
 *     fresh    none for POLICY_LEADERLESS_MS   MERGE     its own merge of the observations,
 *                                                        unpublished
 *     away     (unknown)                       ISOLATED  last verdicts; own checks may only remove
 *     refused  (unknown)                       HELD      last verdicts
 *
 * A full store (fresh, but its space quota is used up) takes neither observations nor verdicts:
 * nobody can know what others see, so each goes by its own checks until there is space.
 *
 * A leader that stopped writing though its key stands (its view/rev does not move while
 * observations contradict it for POLICY_LEADERLESS_MS) counts as none: moving traffic never waits
 * for an election. Who merges goes on until a leader acts: it never falls back to verdicts that
 * its users left already, neither when a leader comes and goes nor before a new one has written.
 */
#ifndef POLICIES_ROLE_H
#define POLICIES_ROLE_H

#include <stdbool.h>
#include <stdint.h>

#define POLICY_LEADERLESS_MS 2000u

enum policy_role_mode {
    POLICY_ROLE_START = 0, /* nothing known yet: as FOLLOW */
    POLICY_ROLE_FOLLOW,
    POLICY_ROLE_LEAD,
    POLICY_ROLE_MERGE,
    POLICY_ROLE_ISOLATED,
    POLICY_ROLE_HELD,
    POLICY_ROLE_COUNT
};
const char *policy_role_word(enum policy_role_mode mode); /* "follow", … */

struct policy_role_input {
    uint64_t now_ms;         /* monotonic */
    bool fresh, refused;     /* the store's link */
    bool full;               /* it refused this node's observations for want of space */
    uint64_t away_since_ms;  /* when !fresh */
    bool lead;               /* elected, and the session surely holds for the next act */
    bool leader_stands;      /* a leader key is in the copy (also this node's) */
    bool leader_silent;      /* it has written no view since its election: view/rev has a lower
                                fence than its key; when leader_stands */
    uint64_t leader_gone_ms; /* since when none is; when !leader_stands */
    uint64_t unanswered_ms;  /* since when, with a fresh store, what this node's own merge says
                                differs from the verdicts in it without a new view; 0 = it does
                                not, or the store is not fresh */
};
struct policy_role {
    enum policy_role_mode mode;
    uint64_t look_again_ms; /* monotonic; when time alone may change the mode; 0 = never */
    const char *why;        /* a fixed text for people */
};
/* The only memory is `before`. An away store counts as ISOLATED at once, but for the first
 * POLICY_LEADERLESS_MS after a start. */
struct policy_role policy_role(enum policy_role_mode before, const struct policy_role_input *input);

#endif
