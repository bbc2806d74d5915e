/* SPDX-License-Identifier: Apache-2.0
 *
 * The live state as a pipeline: from what vantages agree on to verdicts, and from a predecessor's
 * verdicts back to where it was. And what a following state sees with its own probes. See
 * state_follow.h.
 *
 * The numbers of an address's "r" in a verdict: state of its recovery, since (Unix time), penalty,
 * as of (Unix time), falls; then 0 when it is not last good.
 */
#include "gtm/base/mem.h"
#include "gtm/daemon/state_follow.h"
#include "gtm/daemon/state_int.h"
#include "policies/quorum.h"

#include <stdio.h>
#include <string.h>

#define NUMBERS 6

/* --- a predecessor's verdicts --- */

static int remember(struct gtm_map *map, const char *key, const void *value, size_t bytes)
{
    void *copy = gtm_memdup(value, bytes), *old = NULL;
    if (!copy)
        return GTM_ENOMEM;
    int rc = gtm_map_put(map, key, copy, &old);
    gtm_free(rc ? copy : old);
    return rc;
}

/* What the monitors of an address must have said for its verdict: the first `good` of them are up,
 * the others down. */
static int seed_slots(struct gtm_state *state, const struct gtm_intent *intent, size_t pool,
                      size_t endpoint, const struct gtm_verdict_address *from)
{
    const struct gtm_pool *p = &intent->pools[pool];
    bool down = from->held || from->health == GTM_HEALTH_DOWN;
    size_t good = down                                  ? 0
                  : from->health == GTM_HEALTH_DEGRADED ? p->monitors_needed
                                                        : p->monitors_count;
    char key[HEALTH_KEY_BYTES];
    int rc = 0;
    if (from->health == GTM_HEALTH_UNKNOWN && !from->held)
        return 0;
    for (size_t m = 0; m < p->monitors_count && !rc; m++) {
        struct gtm_saved_health saved = {.health = m < good ? GTM_HEALTH_UP : GTM_HEALTH_DOWN,
                                         .content = from->held,
                                         .held = from->held,
                                         .since_ms = from->since_ms};
        if (gtm_target_key(intent, pool, endpoint, p->monitors[m], (enum gtm_family)from->family,
                           key))
            rc = remember(state->saved, key, &saved, sizeof(saved));
    }
    return rc;
}

static int seed_address(struct gtm_state *state, const struct gtm_intent *intent, size_t pool,
                        size_t endpoint, const struct gtm_verdict_address *from)
{
    const double *n = from->recovery;
    char key[GTM_OVERRIDE_KEY_BYTES];
    int rc = seed_slots(state, intent, pool, endpoint, from);
    snprintf(key, sizeof(key), "%s/%s/%d", intent->pools[pool].name, from->endpoint,
             from->family == GTM_FAMILY_V4 ? 4 : 6);
    if (!rc && from->recovery_count >= 5 && n[0] >= 0 && n[0] < POLICY_RECOVERY_STATES) {
        struct policy_recovery r = {.state = (enum policy_recovery_state)n[0],
                                    .since_ms = (uint64_t)n[1],
                                    .penalty = n[2],
                                    .penalty_ms = (uint64_t)n[3],
                                    .falls = (unsigned)n[4]};
        rc = remember(state->saved_recovery, key, &r, sizeof(r));
    }
    if (!rc && from->recovery_count >= NUMBERS && n[5] == 0)
        rc = gtm_map_put(state->not_last_good, key, state, NULL);
    return rc;
}

static int seed_weight(struct gtm_state *state, const struct gtm_intent *intent, size_t pool,
                       const struct gtm_verdict_weight *w)
{
    struct gtm_kept kept = {.value = {w->value}};
    char key[4 * (GTM_NAME_MAX + 1) + 1];
    int n = -1;
    if (!w->policy) {
        kept.value[1] = -1; /* what its users do is not known yet */
        n = snprintf(key, sizeof(key), "%s/%s", intent->pools[pool].name, w->name);
    } else {
        for (size_t i = 0; i < intent->policies_count; i++)
            if (!strcmp(intent->policies[i].name, w->policy))
                n = snprintf(key, sizeof(key), "%s/%s/%s/%s", w->policy,
                             gtm_steer_words[intent->policies[i].steer], intent->pools[pool].name,
                             w->name);
    }
    return n < 0 || n >= (int)sizeof(key)
               ? 0
               : remember(state->saved_balance, key, &kept, sizeof(kept));
}

int gtm_state_seed(struct gtm_state *state, const struct gtm_intent *intent, size_t pool,
                   const struct gtm_verdict_doc *doc)
{
    int rc = state->now ? GTM_ESTATE : 0;
    for (size_t i = 0; i < doc->count && !rc; i++) {
        const struct gtm_verdict_address *from = &doc->addresses[i];
        int e = gtm_pool_endpoint(&intent->pools[pool], from->endpoint);
        if (e >= 0)
            rc = seed_address(state, intent, pool, (size_t)e, from);
    }
    for (size_t i = 0; i < doc->weights_count && !rc; i++)
        rc = seed_weight(state, intent, pool, &doc->weights[i]);
    return rc;
}

/* --- what vantages agree on --- */

static struct gtm_slot *slot_of(const struct gtm_state_next *now, const struct gtm_state_fed *fed)
{
    size_t at = (now->facts->base[fed->pool] + fed->endpoint) * 2 + fed->family;
    for (uint32_t i = now->addresses[at].first; i; i = now->slots[i - 1].next)
        if (now->slots[i - 1].monitor == fed->monitor)
            return &now->slots[i - 1];
    return NULL;
}

void gtm_state_feed(struct gtm_state *state, const struct gtm_state_fed *fed)
{
    const struct gtm_intent *intent = state->now ? state->now->facts->intent : NULL;
    if (!intent || fed->pool >= intent->pools_count || fed->family >= GTM_FAMILY_COUNT ||
        fed->endpoint >= intent->pools[fed->pool].endpoints_count)
        return;
    struct gtm_slot *slot = slot_of(state->now, fed);
    if (!slot)
        return;
    if (slot->quorum != fed->quorum) { /* for people, but also for them it is news */
        slot->quorum = fed->quorum;
        gtm_touched_add(&state->now->touched, fed->pool);
    }
    if (slot->health == fed->health && slot->content == fed->content)
        return;
    struct gtm_change change = {.health = fed->health,
                                .content = fed->content,
                                .quorum = fed->quorum,
                                .since_ms = fed->since_ms};
    snprintf(change.evidence, sizeof(change.evidence), "%s", fed->text ? fed->text : "");
    gtm_state__merge(state, slot, &change);
}

void gtm_state_fed(struct gtm_state *state)
{
    state->fed = true;
    if (state->now)
        gtm_state__publish(state);
}

void gtm_state_take_loads(struct gtm_state *state, const struct gtm_state *from)
{
    if (state->now && from->now && state->now->facts->intent == from->now->facts->intent)
        memcpy(state->now->facts->loads, from->now->facts->loads,
               state->now->facts->endpoints * sizeof(*state->now->facts->loads));
}

int gtm_state_resume_named(struct gtm_state *state, const char *pool, const char *endpoint,
                           const char *owner)
{
    int p = state->now ? gtm_intent_pool(state->now->facts->intent, pool) : -1;
    int e = p >= 0 ? gtm_pool_endpoint(&state->now->facts->intent->pools[p], endpoint) : -1;
    return e < 0 ? GTM_ENOTFOUND : gtm_state_resume(state, (size_t)p, (size_t)e, owner, false);
}

/* --- verdicts --- */

static void describe(const struct gtm_state *state, size_t pool, size_t endpoint, unsigned family,
                     struct gtm_verdict_address *to)
{
    const struct gtm_state_next *now = state->now;
    const struct gtm_facts *facts = now->facts;
    size_t at = (facts->base[pool] + endpoint) * 2 + family;
    const struct policy_recovery *r = &facts->recovery[at];
    int64_t offset = gtm_wall_ms(state->clock) - (int64_t)gtm_mono_ms(state->clock);
    bool good = gtm_states_last_good(facts->states, pool, endpoint, family);
    *to = (struct gtm_verdict_address){
        .endpoint = facts->intent->pools[pool].endpoints[endpoint].name,
        .family = (uint8_t)family,
        .health = (uint8_t)gtm_states_get(facts->states, pool, endpoint, family).health,
        .held = facts->panic_held[at],
        .share = gtm_states_share(facts->states, pool, endpoint, family),
        .since_ms = facts->since_ms[at],
        .cause = facts->panic_held[at] ? "panic: not believed" : ""};
    for (uint32_t i = now->addresses[at].first; i; i = now->slots[i - 1].next) {
        const struct gtm_slot *slot = &now->slots[i - 1];
        to->quorum = slot->quorum > to->quorum ? slot->quorum : to->quorum;
        if (slot->evidence && slot->health == GTM_HEALTH_DOWN && !to->cause[0])
            to->cause = slot->evidence;
    }
    if (r->state == POLICY_RECOVERY_SERVING && r->penalty <= 0 && good)
        return; /* nothing to go on with */
    to->recovery[0] = r->state;
    to->recovery[1] = (double)((int64_t)r->since_ms + offset);
    to->recovery[2] = r->penalty;
    to->recovery[3] = (double)((int64_t)r->penalty_ms + offset);
    to->recovery[4] = r->falls;
    to->recovery[5] = good;
    to->recovery_count = NUMBERS;
}

static size_t balanced(const struct gtm_state *state, size_t pool, struct gtm_verdict_weight *to)
{
    const struct gtm_facts *facts = state->now->facts;
    const struct gtm_pool *p = &facts->intent->pools[pool];
    size_t n = 0;
    for (size_t i = 0; i < state->now->balances_count; i++) {
        size_t policy = state->now->balances[i].policy;
        const uint32_t *weights = gtm_states_balance(facts->states, policy);
        if (facts->intent->policies[policy].pool != pool || !weights)
            continue;
        for (size_t e = 0; e < p->endpoints_count; e++, n++)
            if (to)
                to[n] = (struct gtm_verdict_weight){facts->intent->policies[policy].name,
                                                    p->endpoints[e].name, weights[e]};
    }
    return n;
}

static size_t shed(const struct gtm_state *state, size_t pool, struct gtm_verdict_weight *to)
{
    const struct gtm_facts *facts = state->now->facts;
    size_t n = 0;
    if (gtm_states_sheds(facts->states, pool) == 0)
        return 0;
    for (size_t r = 0; r < facts->intent->regions_count; r++) {
        unsigned value = gtm_states_shed(facts->states, pool, r);
        if (value == 0)
            continue;
        if (to)
            to[n] = (struct gtm_verdict_weight){NULL, facts->intent->regions[r].name, value};
        n++;
    }
    return n;
}

int gtm_state_verdict(const struct gtm_state *state, size_t pool, struct gtm_verdict_doc *ret_doc)
{
    const struct gtm_facts *facts = gtm_state_facts(state);
    if (!facts || pool >= facts->intent->pools_count)
        return GTM_ENOTFOUND;
    const struct gtm_pool *p = &facts->intent->pools[pool];
    size_t weights = balanced(state, pool, NULL) + shed(state, pool, NULL);
    ret_doc->addresses = gtm_calloc(p->endpoints_count * 2 + 1, sizeof(*ret_doc->addresses));
    ret_doc->weights = gtm_calloc(weights + 1, sizeof(*ret_doc->weights));
    if (!ret_doc->addresses || !ret_doc->weights) {
        gtm_state_verdict_free(ret_doc);
        return GTM_ENOMEM;
    }
    ret_doc->count = 0;
    ret_doc->stale = false;
    for (size_t e = 0; e < p->endpoints_count; e++) {
        for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++) {
            if (!gtm_endpoint_has(&p->endpoints[e], f))
                continue;
            struct gtm_verdict_address *to = &ret_doc->addresses[ret_doc->count++];
            describe(state, pool, e, f, to);
            ret_doc->stale = ret_doc->stale || to->quorum == POLICY_STALE;
        }
    }
    size_t n = balanced(state, pool, ret_doc->weights);
    ret_doc->weights_count = n + shed(state, pool, ret_doc->weights + n);
    for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++)
        ret_doc->panic[f] = facts->panic[pool * 2 + f];
    return 0;
}

void gtm_state_verdict_free(struct gtm_verdict_doc *doc)
{
    gtm_free(doc->addresses);
    gtm_free(doc->weights);
    doc->addresses = NULL;
    doc->weights = NULL;
    doc->count = doc->weights_count = 0;
}

/* --- own observations --- */

/* Slots are in the order of pools: the first of the pool. */
static size_t first_slot(const struct gtm_state_next *now, size_t pool)
{
    size_t low = 0, high = now->slots_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (now->slots[middle].pool < pool)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct gtm_obs_slot *gtm_state_observations(const struct gtm_state *state, size_t pool,
                                            size_t *ret_count, size_t *ret_known)
{
    const struct gtm_state_next *now = state->now;
    *ret_count = *ret_known = 0;
    size_t first = now ? first_slot(now, pool) : 0;
    size_t end = now ? first_slot(now, pool + 1) : 0;
    struct gtm_obs_slot *list = end > first ? gtm_calloc(end - first, sizeof(*list)) : NULL;
    for (size_t i = first; list && i < end; i++) {
        const struct gtm_slot *slot = &now->slots[i];
        bool down = slot->health == GTM_HEALTH_DOWN;
        list[(*ret_count)++] = (struct gtm_obs_slot){
            .endpoint = now->facts->intent->pools[pool].endpoints[slot->endpoint].name,
            .monitor = now->facts->intent->monitors[slot->monitor].name,
            .family = slot->family,
            .health = (uint8_t)slot->health,
            .content = down && slot->content,
            .since_ms = down ? slot->since_ms : 0,
            .result = down ? health_result_word((enum health_result)slot->result) : "",
            .evidence = down && slot->evidence ? slot->evidence : ""};
        *ret_known += slot->health != GTM_HEALTH_UNKNOWN;
    }
    return list;
}

bool gtm_state_observed(const struct gtm_state *state, const char *key, enum gtm_health *ret_health,
                        unsigned *ret_interval_ms)
{
    uintptr_t i = state->now ? (uintptr_t)gtm_map_get(state->now->by_key, key) : 0;
    if (!i)
        return false;
    const struct gtm_slot *slot = &state->now->slots[i - 1];
    *ret_health = slot->health;
    *ret_interval_ms = state->now->facts->intent->monitors[slot->monitor].interval_ms;
    return true;
}

uint64_t gtm_state_seen_down_ms(const struct gtm_state *state, size_t pool, size_t endpoint,
                                enum gtm_family family)
{
    const struct gtm_state_next *now = state->now;
    int64_t wall_ms = gtm_wall_ms(state->clock), longest = 0;
    size_t at = (now->facts->base[pool] + endpoint) * 2 + family;
    for (uint32_t i = now->addresses[at].first; i; i = now->slots[i - 1].next) {
        const struct gtm_slot *slot = &now->slots[i - 1];
        if (slot->health == GTM_HEALTH_DOWN && wall_ms - slot->since_ms > longest)
            longest = wall_ms - slot->since_ms;
    }
    return (uint64_t)longest;
}
