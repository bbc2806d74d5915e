/* SPDX-License-Identifier: Apache-2.0
 *
 * See recovery.h. Pure.
 */
#include "policies/recovery.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const words[POLICY_RECOVERY_STATES] = {"serving", "down",    "penalised",
                                                          "held",    "waiting", "ramping"};

const char *policy_recovery_word(enum policy_recovery_state state)
{
    return (unsigned)state < POLICY_RECOVERY_STATES ? words[state] : "?";
}

int policy_recovery_parse(const char *word)
{
    for (int i = 0; i < POLICY_RECOVERY_STATES; i++)
        if (strcmp(words[i], word) == 0)
            return i;
    return -1;
}

/* ---- steps of a ramp or a drain ---- */

static uint64_t step_ms(uint64_t over_ms)
{
    uint64_t step = over_ms / POLICY_RAMP_STEPS;
    return step < POLICY_RAMP_STEP_MS ? POLICY_RAMP_STEP_MS : step;
}

static uint64_t passed_ms(uint64_t since_ms, uint64_t now_ms)
{
    return now_ms > since_ms ? now_ms - since_ms : 0;
}

static uint64_t steps_of(uint64_t over_ms)
{
    return (over_ms + step_ms(over_ms) - 1) / step_ms(over_ms);
}

/* Which step of the ramp it is in: the first from its beginning on. */
static uint64_t step_at(uint64_t since_ms, uint64_t over_ms, uint64_t now_ms)
{
    return passed_ms(since_ms, now_ms) / step_ms(over_ms) + 1;
}

static uint64_t next_step_ms(uint64_t since_ms, uint64_t over_ms, uint64_t now_ms)
{
    return since_ms + step_at(since_ms, over_ms, now_ms) * step_ms(over_ms);
}

static unsigned ramp_share(uint64_t since_ms, uint64_t over_ms, uint64_t now_ms)
{
    uint64_t steps = steps_of(over_ms), at = step_at(since_ms, over_ms, now_ms);
    return at >= steps + 1 ? GTM_SHARE_FULL : (unsigned)(GTM_SHARE_FULL * at / (steps + 1));
}

unsigned policy_drain_share(uint64_t since_ms, uint64_t over_ms, uint64_t now_ms)
{
    return over_ms == 0 ? 0 : GTM_SHARE_FULL - ramp_share(since_ms, over_ms, now_ms);
}

uint64_t policy_drain_wake_ms(uint64_t since_ms, uint64_t over_ms, uint64_t now_ms)
{
    return policy_drain_share(since_ms, over_ms, now_ms) == 0
               ? POLICY_NEVER_MS
               : next_step_ms(since_ms, over_ms, now_ms);
}

/* ---- the machine ---- */

static double penalty_at(const struct policy_recovery *r, const struct gtm_pool *pool,
                         uint64_t now_ms)
{
    if (pool->flap_half_life_ms == 0)
        return 0;
    return r->penalty * exp2(-(double)passed_ms(r->penalty_ms, now_ms) / pool->flap_half_life_ms);
}

static bool penal(const struct gtm_pool *pool)
{
    return pool->flap_half_life_ms > 0 && pool->flap_suppress > 0;
}

/* When the penalty of a PENALISED address has faded. */
static uint64_t penalty_end_ms(const struct policy_recovery *r, const struct gtm_pool *pool)
{
    double ratio = r->penalty / (pool->flap_suppress / 2);
    if (!penal(pool) || ratio <= 1)
        return r->since_ms;
    uint64_t faded = r->penalty_ms + (uint64_t)ceil(log2(ratio) * pool->flap_half_life_ms);
    uint64_t latest = r->since_ms + pool->flap_hold_ms;
    return faded < latest ? faded : latest;
}

static void enter(struct policy_recovery *r, enum policy_recovery_state state, uint64_t now_ms)
{
    r->state = state;
    r->since_ms = now_ms;
}

static void start_serving(struct policy_recovery *r, const struct gtm_pool *pool, uint64_t now_ms)
{
    enter(r, pool->failback_ramp_ms > 0 ? POLICY_RECOVERY_RAMPING : POLICY_RECOVERY_SERVING,
          now_ms);
}

/* After penalty and hold. */
static void come_back(struct policy_recovery *r, const struct gtm_pool *pool, uint64_t now_ms)
{
    if (pool->failback_mode == GTM_FAILBACK_MANUAL)
        enter(r, POLICY_RECOVERY_WAITING, now_ms);
    else
        start_serving(r, pool, now_ms);
}

static void fall(struct policy_recovery *r, const struct gtm_pool *pool, uint64_t now_ms)
{
    double left = penalty_at(r, pool, now_ms);
    r->falls = left < 0.5 ? 1 : r->falls + 1;
    r->penalty = left + 1;
    r->penalty_ms = now_ms;
    enter(r, POLICY_RECOVERY_DOWN, now_ms);
}

static void rise(struct policy_recovery *r, const struct gtm_pool *pool, uint64_t now_ms)
{
    if (penal(pool) && penalty_at(r, pool, now_ms) >= pool->flap_suppress)
        enter(r, POLICY_RECOVERY_PENALISED, now_ms);
    else if (pool->failback_hold_ms > 0)
        enter(r, POLICY_RECOVERY_HELD, now_ms);
    else
        come_back(r, pool, now_ms);
}

void policy_recovery_health(struct policy_recovery *r, const struct gtm_pool *pool,
                            enum gtm_health health, uint64_t now_ms)
{
    if (health == GTM_HEALTH_DOWN) {
        if (r->state != POLICY_RECOVERY_DOWN)
            fall(r, pool, now_ms);
    } else if (health != GTM_HEALTH_UNKNOWN && r->state == POLICY_RECOVERY_DOWN) {
        rise(r, pool, now_ms);
    }
    policy_recovery_step(r, pool, now_ms);
}

void policy_recovery_step(struct policy_recovery *r, const struct gtm_pool *pool, uint64_t now_ms)
{
    /* A hold counts from the recovery, the penalty's time included. */
    if (r->state == POLICY_RECOVERY_PENALISED && now_ms >= penalty_end_ms(r, pool))
        r->state = POLICY_RECOVERY_HELD;
    if (r->state == POLICY_RECOVERY_HELD &&
        passed_ms(r->since_ms, now_ms) >= pool->failback_hold_ms)
        come_back(r, pool, now_ms);
    if (r->state == POLICY_RECOVERY_RAMPING &&
        (pool->failback_ramp_ms == 0 ||
         ramp_share(r->since_ms, pool->failback_ramp_ms, now_ms) == GTM_SHARE_FULL))
        enter(r, POLICY_RECOVERY_SERVING, now_ms);
}

bool policy_recovery_resume(struct policy_recovery *r, const struct gtm_pool *pool, uint64_t now_ms)
{
    if (r->state != POLICY_RECOVERY_PENALISED && r->state != POLICY_RECOVERY_HELD &&
        r->state != POLICY_RECOVERY_WAITING)
        return false;
    r->penalty = 0;
    start_serving(r, pool, now_ms);
    return true;
}

void policy_recovery_forgive(struct policy_recovery *r, uint64_t now_ms)
{
    if (r->state != POLICY_RECOVERY_DOWN)
        return;
    r->penalty = r->penalty > 1 ? r->penalty - 1 : 0;
    r->falls -= r->falls > 0;
    enter(r, POLICY_RECOVERY_SERVING, now_ms);
}

void policy_recovery_release(struct policy_recovery *r, uint64_t now_ms)
{
    if (r->state != POLICY_RECOVERY_DOWN && r->state != POLICY_RECOVERY_SERVING)
        enter(r, POLICY_RECOVERY_SERVING, now_ms);
}

unsigned policy_recovery_share(const struct policy_recovery *r, const struct gtm_pool *pool,
                               uint64_t now_ms)
{
    switch (r->state) {
    case POLICY_RECOVERY_PENALISED:
    case POLICY_RECOVERY_HELD:
    case POLICY_RECOVERY_WAITING:
        return 0;
    case POLICY_RECOVERY_RAMPING:
        return ramp_share(r->since_ms, pool->failback_ramp_ms, now_ms);
    default:
        return GTM_SHARE_FULL;
    }
}

uint64_t policy_recovery_wake_ms(const struct policy_recovery *r, const struct gtm_pool *pool,
                                 uint64_t now_ms)
{
    switch (r->state) {
    case POLICY_RECOVERY_PENALISED:
        return penalty_end_ms(r, pool);
    case POLICY_RECOVERY_HELD:
        return r->since_ms + pool->failback_hold_ms;
    case POLICY_RECOVERY_RAMPING:
        return next_step_ms(r->since_ms, pool->failback_ramp_ms, now_ms);
    default:
        return POLICY_NEVER_MS;
    }
}

const char *policy_recovery_say(const struct policy_recovery *r, const struct gtm_pool *pool,
                                uint64_t now_ms, char out[POLICY_RECOVERY_TEXT])
{
    uint64_t wake = policy_recovery_wake_ms(r, pool, now_ms);
    uint64_t left_s = wake == POLICY_NEVER_MS || wake < now_ms ? 0 : (wake - now_ms + 999) / 1000;

    out[0] = '\0';
    switch (r->state) {
    case POLICY_RECOVERY_PENALISED:
        snprintf(out, POLICY_RECOVERY_TEXT, "held for %llu s more: it fell %u times shortly (flap)",
                 (unsigned long long)left_s, r->falls);
        break;
    case POLICY_RECOVERY_HELD:
        snprintf(out, POLICY_RECOVERY_TEXT, "held for %llu s more (failback.hold)",
                 (unsigned long long)left_s);
        break;
    case POLICY_RECOVERY_WAITING:
        snprintf(out, POLICY_RECOVERY_TEXT,
                 "recovered, waits for gtmctl endpoint resume (failback.mode: manual)");
        break;
    case POLICY_RECOVERY_RAMPING:
        snprintf(out, POLICY_RECOVERY_TEXT, "ramping up: %u %% of its weight (failback.ramp)",
                 policy_recovery_share(r, pool, now_ms) * 100 / GTM_SHARE_FULL);
        break;
    default:
        break;
    }
    return out;
}
