/* SPDX-License-Identifier: Apache-2.0
 *
 * Weights from load reports, for `least_connections`, `response_time` and `ewma`. Pure: reports and
 * times come in, weights for gtm_states_set_balance come out. One owner for an array of endpoints.
 *
 *     least_connections   equal connections for each unit of capacity (or of configured weight,
 *                         unless all capacities are known)
 *     response_time       users ∝ configured weight / response time
 *     ewma                users ∝ configured weight / score, where score = 0.3 × connections
 *                         (per capacity, relative to the mean) + 0.7 × response time (relative to
 *                         the mean), of reports smoothed 0.9 old + 0.1 new
 *
 * Answers are cached, so users follow weights late, by about a TTL; reports then tell of users whom
 * older weights sent. A loop that forgets this swings. So each endpoint keeps an estimate of where
 * its users are by now, and reports are held against that, not against the present weight.
 *
 *     imbalance ≤ POLICY_BALANCE_IDLE, nobody hot     nothing moves
 *     imbalance above it                              a part of the way with each step
 *     hot: utilisation above the mark                 its surplus moves at once
 *     always                                          ≤ POLICY_BALANCE_MOVE of the users in 10 s
 */
#ifndef GTM_POLICIES_BALANCE_H
#define GTM_POLICIES_BALANCE_H

#include "gtm/model/intent.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POLICY_BALANCE_IDLE    0.20 /* greatest |share / wanted share - 1| that is left alone */
#define POLICY_BALANCE_MOVE    0.05 /* of the users, in POLICY_BALANCE_MOVE_MS */
#define POLICY_BALANCE_MOVE_MS 10000
#define POLICY_BALANCE_STALE   3    /* a report counts for so many of its monitor's intervals */
#define POLICY_BALANCE_HIGH    0.8  /* a mark for pools that have none (spill_high) */
#define POLICY_BALANCE_WEIGHT  4096 /* average weight at the start */

/* Zero-initialise; the memory fields are the step's. */
struct policy_balance_endpoint {
    /* Reports not older than POLICY_BALANCE_STALE intervals; negative = none. Without what its kind
     * of policy needs an endpoint keeps its weight. */
    double connections; /* open now */
    double latency_ms;
    double load;         /* utilisation: 1 = full */
    double capacity;     /* requests/s; negative = unknown */
    uint32_t configured; /* weight; 0 = a standby, which is left alone */
    bool serves;         /* may get users now; whoever does not keeps its weight */
    double factor;       /* of its weight that it takes now: below 1 it ramps up, drains or is
                            degraded, which is not to be undone, so it keeps its weight */
    uint32_t weight;     /* in and out: 1..65535; 0 = none yet */
    /* memory */
    double users;                     /* estimated share of all users by now */
    double mean_connections, mean_ms; /* smoothed; 0 = nothing yet */
};

struct policy_balance_rules {
    enum gtm_steer kind;
    uint64_t elapsed_ms; /* since the last step */
    uint64_t lag_ms;     /* how late users follow: the TTL and a report's interval */
    double high;         /* utilisation above which an endpoint is hot */
};

struct policy_balance_result {
    double imbalance; /* before this step */
    double moved;     /* share of all users whom this step moves */
    size_t reported;  /* endpoints whose weights may move */
    size_t hot;       /* of these */
    bool changed;     /* any weight */
};

/* One step for all endpoints of a pool: call it with every report, or every few seconds. */
void policy_balance_step(struct policy_balance_endpoint *endpoints, size_t count,
                         const struct policy_balance_rules *rules,
                         struct policy_balance_result *ret);

/* "imbalance 35 %: moves 2.1 % of the users", "balanced within 20 % (now 8 %)", …; returns out. */
#define POLICY_BALANCE_TEXT 120
const char *policy_balance_say(const struct policy_balance_result *result,
                               char out[POLICY_BALANCE_TEXT]);

#endif
