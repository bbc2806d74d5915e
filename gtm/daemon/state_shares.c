/* SPDX-License-Identifier: Apache-2.0
 *
 * What share of its weight every address takes: runs the machine of policies/recovery.h for each,
 * and gradual drains. Only addresses that are on their way back, and drains under way, cost
 * anything; a timer wakes for the next change of any of them. Control thread.
 */
#include "gtm/base/loop.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/state_int.h"

#include <stdio.h>
#include <string.h>

#define TICK_MIN_MS 50
#define PAUSED_MS   250
#define TICK_MAX_MS 60000 /* the calendar may be set while we wait */

static const struct gtm_pool *pool_of(const struct gtm_state_next *next, size_t pool)
{
    return &next->facts->intent->pools[pool];
}

static size_t place(const struct gtm_state_next *next, size_t pool, size_t endpoint,
                    unsigned family)
{
    return (next->facts->base[pool] + endpoint) * 2 + family;
}

static bool is_active(const struct policy_recovery *r)
{
    return r->state != POLICY_RECOVERY_SERVING && r->state != POLICY_RECOVERY_DOWN;
}

/* ---- shares ---- */

static void put_share(const struct gtm_state *state, struct gtm_state_next *next, size_t pool,
                      size_t endpoint, unsigned family)
{
    gtm_facts_put_share(next->facts, pool, endpoint, (enum gtm_family)family, state->clock,
                        next == state->now ? &next->touched : NULL);
}

/* ---- the list of addresses on their way back ---- */

static void arm(struct gtm_state *state, uint64_t wait_ms)
{
    uint64_t now = gtm_mono_ms(state->clock);
    wait_ms = wait_ms < TICK_MIN_MS ? TICK_MIN_MS : wait_ms > TICK_MAX_MS ? TICK_MAX_MS : wait_ms;
    if (state->share_wake_ms > now && state->share_wake_ms <= now + wait_ms)
        return;
    state->share_wake_ms = now + wait_ms;
    gtm_timer_start(state->share_timer, wait_ms);
}

static void arm_for(struct gtm_state *state, const struct policy_recovery *r,
                    const struct gtm_pool *pool)
{
    uint64_t now = gtm_mono_ms(state->clock), wake = policy_recovery_wake_ms(r, pool, now);
    if (wake != POLICY_NEVER_MS)
        arm(state, wake > now ? wake - now : 0);
}

/* Without memory for the list the address serves at once: late is better than never. */
static void follow(struct gtm_state_next *next, size_t pool, size_t endpoint, unsigned family,
                   uint64_t now_ms)
{
    size_t at = place(next, pool, endpoint, family);
    struct gtm_address *a = &next->addresses[at];
    if (a->listed || !is_active(&next->facts->recovery[at]))
        return;
    void *list = next->active;
    int rc = gtm_grow(&list, &next->active_cap, next->active_count + 1, sizeof(*next->active));
    next->active = list;
    if (rc) {
        policy_recovery_release(&next->facts->recovery[at], now_ms);
        return;
    }
    a->listed = true;
    next->active[next->active_count++] =
        (struct gtm_active){(uint32_t)pool, (uint32_t)endpoint, (uint8_t)family};
}

static void tell(struct gtm_state *state, const struct gtm_state_next *next, size_t pool,
                 size_t endpoint, unsigned family, enum policy_recovery_state from,
                 const char *cause)
{
    const struct gtm_pool *p = pool_of(next, pool);
    const struct policy_recovery *r = &next->facts->recovery[place(next, pool, endpoint, family)];
    char subject[160], text[POLICY_RECOVERY_TEXT + 64];
    if (r->state == from || r->state == POLICY_RECOVERY_DOWN || next != state->now)
        return;
    snprintf(subject, sizeof(subject), "endpoint/%s/%s", p->name, p->endpoints[endpoint].name);
    char said[POLICY_RECOVERY_TEXT];
    policy_recovery_say(r, p, gtm_mono_ms(state->clock), said);
    snprintf(text, sizeof(text), "%s: %s", family == GTM_FAMILY_V4 ? "ipv4" : "ipv6",
             cause     ? cause
             : said[0] ? said
                       : "serves with its full weight");
    gtm_events_add(state->opts.events, &(struct gtm_event){.type = GTM_EVENT_RECOVERY,
                                                           .level = GTM_LOG_INFO,
                                                           .subject = subject,
                                                           .from = policy_recovery_word(from),
                                                           .to = policy_recovery_word(r->state),
                                                           .cause = text});
}

void gtm_state__recover(struct gtm_state *state, struct gtm_state_next *next, size_t pool,
                        size_t endpoint, unsigned family, enum gtm_health health)
{
    struct policy_recovery *r = &next->facts->recovery[place(next, pool, endpoint, family)];
    const struct gtm_pool *p = pool_of(next, pool);
    enum policy_recovery_state from = r->state;
    uint64_t now = gtm_mono_ms(state->clock);
    policy_recovery_health(r, p, health, now);
    follow(next, pool, endpoint, family, now);
    put_share(state, next, pool, endpoint, family);
    if (is_active(r))
        tell(state, next, pool, endpoint, family, from, NULL);
    arm_for(state, r, p);
}

/* Nothing of the pool serves in the family: what is held although it is healthy is needed now. */
static void release(struct gtm_state *state, struct gtm_state_next *next, size_t pool,
                    unsigned family)
{
    const struct gtm_pool *p = pool_of(next, pool);
    for (size_t e = 0; e < p->endpoints_count; e++) {
        struct policy_recovery *r = &next->facts->recovery[place(next, pool, e, family)];
        enum policy_recovery_state from = r->state;
        if (!is_active(r) || !gtm_endpoint_has(&p->endpoints[e], family))
            continue;
        policy_recovery_release(r, gtm_mono_ms(state->clock));
        put_share(state, next, pool, e, family);
        tell(state, next, pool, e, family, from, "needed at once: nothing else of the pool serves");
    }
}

void gtm_state__release(struct gtm_state *state, struct gtm_state_next *next, size_t pool)
{
    if (next->active_count == 0)
        return;
    for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++)
        if (gtm_facts_serving_family(next->facts, pool, f) == 0)
            release(state, next, pool, f);
}

/* Ends the wait of an endpoint's addresses; false when they waited for nothing. */
static bool resume(struct gtm_state *state, size_t pool, size_t endpoint, bool dry_run)
{
    struct gtm_state_next *now = state->now;
    bool any = false;
    for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++) {
        struct policy_recovery *r = &now->facts->recovery[place(now, pool, endpoint, f)];
        struct policy_recovery then = *r;
        enum policy_recovery_state from = r->state;
        if (!gtm_endpoint_has(&pool_of(now, pool)->endpoints[endpoint], f) ||
            !policy_recovery_resume(&then, pool_of(now, pool), gtm_mono_ms(state->clock)))
            continue;
        any = true;
        if (dry_run)
            continue;
        *r = then;
        put_share(state, now, pool, endpoint, f);
        tell(state, now, pool, endpoint, f, from, NULL);
        arm_for(state, r, pool_of(now, pool));
    }
    return any;
}

/* While automation is paused, ways back stand still where they are. */
static void hold_back(struct gtm_state *state, struct policy_recovery *r, uint64_t mono)
{
    if (state->paused_ms && r->since_ms + (mono - state->paused_ms) <= mono)
        r->since_ms += mono - state->paused_ms;
    else if (state->paused_ms)
        r->since_ms = mono;
}

static void step_active(struct gtm_state *state)
{
    struct gtm_state_next *now = state->now;
    uint64_t mono = gtm_mono_ms(state->clock);
    size_t kept = 0;
    for (size_t i = 0; i < now->active_count; i++) {
        struct gtm_active at = now->active[i];
        size_t address = place(now, at.pool, at.endpoint, at.family);
        struct policy_recovery *r = &now->facts->recovery[address];
        const struct gtm_pool *p = pool_of(now, at.pool);
        enum policy_recovery_state from = r->state;
        hold_back(state, r, mono);
        policy_recovery_step(r, p, mono);
        put_share(state, now, at.pool, at.endpoint, at.family);
        tell(state, now, at.pool, at.endpoint, at.family, from, NULL);
        now->addresses[address].listed = is_active(r);
        if (!is_active(r))
            continue;
        now->active[kept++] = at;
        arm_for(state, r, p);
    }
    now->active_count = kept;
    state->paused_ms = gtm_facts_paused(now->facts) ? mono : 0;
    if (state->paused_ms && kept > 0)
        arm(state, PAUSED_MS);
}

/* ---- gradual drains ---- */

struct putting {
    struct gtm_state *state;
    struct gtm_state_next *next;
};

static void put_one(void *ctx, size_t pool, size_t endpoint)
{
    const struct putting *put = ctx;
    for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++)
        if (gtm_endpoint_has(&pool_of(put->next, pool)->endpoints[endpoint], f))
            put_share(put->state, put->next, pool, endpoint, f);
}

/* The endpoints that the key of an order names, and, when it moves users, what their region sheds:
 * shares do it where all endpoints of a pool answer, sheds where the nearest region does. */
static void put_order(struct gtm_state *state, struct gtm_state_next *next, const char *key)
{
    struct putting put = {state, next};
    int region = strncmp(key, "shift/", 6) == 0 ? gtm_facts_find_region(next->facts, key) : -1;
    if (region >= 0) {
        gtm_facts_apply_override(next->facts, key, NULL);
        gtm_state__put_sheds(state, next, (unsigned)region);
    }
    gtm_facts_each(next->facts, key, put_one, &put);
}

/* In a cluster the shares that the leader writes are all of it: they stay 0 when it is over. */
static bool gradual(const struct gtm_state *state, const struct gtm_override *o, int64_t wall)
{
    return o->admin == GTM_ADMIN_DRAIN && o->over_ms > 0 &&
           (state->opts.mode == GTM_STATE_PIPELINE || wall - o->since_ms < (int64_t)o->over_ms);
}

void gtm_state__drains(struct gtm_state *state, struct gtm_state_next *next)
{
    size_t it = 0;
    const char *key;
    void *value;
    int64_t wall = gtm_wall_ms(state->clock);
    if (state->opts.mode == GTM_STATE_FOLLOWS) {
        gtm_state__follow_drains(state, next);
        return;
    }
    next->drains = 0;
    while (gtm_map_next(next->facts->overrides.map, &it, &key, &value)) {
        struct gtm_override *o = value;
        bool was = o->draining;
        o->draining = gradual(state, o, wall);
        next->drains += o->draining;
        uint64_t since = (uint64_t)o->since_ms, at = wall > o->since_ms ? (uint64_t)wall : since;
        uint64_t wake = o->draining ? policy_drain_wake_ms(since, o->over_ms, at) : POLICY_NEVER_MS;
        if (wake != POLICY_NEVER_MS)
            arm(state, wake - at);
        if (was || o->draining) {
            put_order(state, next, key);
            gtm_facts_apply_override(next->facts, key, next == state->now ? &next->touched : NULL);
        }
    }
}

void gtm_state__drain_changed(struct gtm_state *state, const char *key)
{
    if (strcmp(key, GTM_AUTOMATION_KEY) == 0) {
        step_active(state);
        return;
    }
    gtm_state__drains(state, state->now);
    if (state->opts.mode != GTM_STATE_FOLLOWS)
        put_order(state, state->now, key); /* also one that was withdrawn */
}

void gtm_state__on_share(void *arg)
{
    struct gtm_state *state = arg;
    state->share_wake_ms = 0;
    if (!state->now)
        return;
    step_active(state);
    gtm_state__drains(state, state->now);
    gtm_state__publish(state);
    gtm_state__save_soon(state);
}

/* ---- over a reload and a restart ---- */

void gtm_state__shares_prepared(struct gtm_state *state, struct gtm_state_next *next)
{
    bool follows = state->opts.mode == GTM_STATE_FOLLOWS;
    for (size_t p = 0; !follows && p < next->facts->intent->pools_count; p++) {
        for (size_t e = 0; e < pool_of(next, p)->endpoints_count; e++) {
            for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++) {
                if (!gtm_endpoint_has(&pool_of(next, p)->endpoints[e], f))
                    continue;
                struct policy_recovery *r = &next->facts->recovery[place(next, p, e, f)];
                if (gtm_states_get(next->facts->states, p, e, f).health == GTM_HEALTH_DOWN &&
                    r->state == POLICY_RECOVERY_SERVING)
                    r->state = POLICY_RECOVERY_DOWN; /* as an earlier run left it */
                follow(next, p, e, f, gtm_mono_ms(state->clock));
                if (next->addresses[place(next, p, e, f)].listed)
                    put_share(state, next, p, e, f);
            }
        }
        gtm_state__release(state, next, p);
    }
    size_t it = 0;
    const char *key;
    while (!follows && gtm_map_next(next->facts->overrides.map, &it, &key, NULL))
        if (strncmp(key, "shift/", 6) == 0)
            put_order(state, next, key);
    gtm_state__drains(state, next);
}

/* ---- an operator's word ---- */

int gtm_state_resume(struct gtm_state *state, size_t pool, size_t endpoint, const char *owner,
                     bool dry_run)
{
    if (!state->now || pool >= state->now->facts->intent->pools_count ||
        endpoint >= pool_of(state->now, pool)->endpoints_count)
        return GTM_ENOTFOUND;
    bool follows = state->opts.mode == GTM_STATE_FOLLOWS;
    if (!resume(state, pool, endpoint, dry_run || follows))
        return GTM_ESTATE;
    if (dry_run)
        return GTM_OK;
    if (follows)
        return gtm_state__commit_resume(state, pool, endpoint, owner);
    const struct gtm_pool *p = pool_of(state->now, pool);
    char subject[160], cause[GTM_OVERRIDE_OWNER_BYTES + 32];
    snprintf(subject, sizeof(subject), "endpoint/%s/%s", p->name, p->endpoints[endpoint].name);
    snprintf(cause, sizeof(cause), "resumed by %s", owner);
    gtm_events_add(state->opts.events, &(struct gtm_event){.type = GTM_EVENT_ADMIN_CHANGED,
                                                           .level = GTM_LOG_INFO,
                                                           .subject = subject,
                                                           .cause = cause});
    gtm_state__publish(state);
    gtm_state__save_soon(state);
    return GTM_OK;
}
