/* SPDX-License-Identifier: Apache-2.0
 *
 * How an address that recovered gets its users back, and how a drained one loses them: a pure
 * machine for one address. Health changes and times come in; the share of its weight that it takes
 * and the time of the next change come out. Times are monotonic milliseconds. One owner.
 *
 *     state       what it waits for                             share
 *     SERVING     nothing                                       full
 *     DOWN        its health                                    full (all_down may need it)
 *     PENALISED   its flap penalty to fade (RFC 2439's idea)    0
 *     HELD        failback.hold to pass                         0
 *     WAITING     an operator's word (failback.mode: manual)    0
 *     RAMPING     failback.ramp to pass                         rises in steps
 *
 *     health down                → DOWN, the penalty grows by one
 *     health up or degraded      → PENALISED, else HELD, else WAITING, else RAMPING, else SERVING
 *     PENALISED, HELD time over  → the next of these
 *     resume                     → RAMPING, else SERVING
 *     release                    → SERVING: it is needed at once, nothing else of its pool serves
 *
 * A daemon that starts trusts what it finds: what is up then serves fully.
 */
#ifndef GTM_POLICIES_RECOVERY_H
#define GTM_POLICIES_RECOVERY_H

#include "gtm/model/intent.h"
#include "gtm/model/states.h"
#include "gtm/model/verdict.h"

#include <stdbool.h>
#include <stdint.h>

#define POLICY_RAMP_STEPS    20
#define POLICY_RAMP_STEP_MS  1000 /* the shortest step */
#define POLICY_NEVER_MS      UINT64_MAX
#define POLICY_RECOVERY_TEXT 120 /* octets of a sentence */

enum policy_recovery_state {
    POLICY_RECOVERY_SERVING = 0,
    POLICY_RECOVERY_DOWN,
    POLICY_RECOVERY_PENALISED,
    POLICY_RECOVERY_HELD,
    POLICY_RECOVERY_WAITING,
    POLICY_RECOVERY_RAMPING,
    POLICY_RECOVERY_STATES
};
/* "serving", "down", "penalised", … */
const char *policy_recovery_word(enum policy_recovery_state state);
/* The inverse, or -1. */
int policy_recovery_parse(const char *word);

/* Zero-initialised = SERVING. Fields are for reading and for keeping over a restart. */
struct policy_recovery {
    enum policy_recovery_state state;
    uint64_t since_ms; /* of the state */
    double penalty;    /* at penalty_ms */
    uint64_t penalty_ms;
    unsigned falls; /* since the penalty was last below 0.5, for the sentence */
};

/* The health of the address is now this (again is fine); pool says the rules. */
void policy_recovery_health(struct policy_recovery *r, const struct gtm_pool *pool,
                            enum gtm_health health, uint64_t now_ms);
/* Time passed. */
void policy_recovery_step(struct policy_recovery *r, const struct gtm_pool *pool, uint64_t now_ms);
/* An operator's word: false when it waited for nothing. */
bool policy_recovery_resume(struct policy_recovery *r, const struct gtm_pool *pool,
                            uint64_t now_ms);
/* Its last fall is not believed any more (panic): as if it had not been. */
void policy_recovery_forgive(struct policy_recovery *r, uint64_t now_ms);
/* It is needed at once. */
void policy_recovery_release(struct policy_recovery *r, uint64_t now_ms);

/* 0..GTM_SHARE_FULL, as of the last step. */
unsigned policy_recovery_share(const struct policy_recovery *r, const struct gtm_pool *pool,
                               uint64_t now_ms);
/* When to step again; POLICY_NEVER_MS. */
uint64_t policy_recovery_wake_ms(const struct policy_recovery *r, const struct gtm_pool *pool,
                                 uint64_t now_ms);
/* "held for 12 s more: failback.hold", "ramping up: 40 %", …; "" when serving or down. Returns out.
 */
const char *policy_recovery_say(const struct policy_recovery *r, const struct gtm_pool *pool,
                                uint64_t now_ms, char out[POLICY_RECOVERY_TEXT]);

/* A gradual drain that began at since_ms and takes over_ms: the share left, in as many steps. */
unsigned policy_drain_share(uint64_t since_ms, uint64_t over_ms, uint64_t now_ms);
/* When it changes next; POLICY_NEVER_MS once it is over. */
uint64_t policy_drain_wake_ms(uint64_t since_ms, uint64_t over_ms, uint64_t now_ms);

#endif
