/* SPDX-License-Identifier: Apache-2.0
 *
 * Load reports, and what follows from them: the weights of the balancing policies
 * (policies/balance.h) and what full regions shed (policies/spill.h). Every step is bounded there;
 * here are the inputs, the memory between steps, and the states that take the result. Only policies
 * and pools that ask for it cost anything. Control thread.
 */
#include "gtm/base/mem.h"
#include "gtm/daemon/state_int.h"

#include <stdio.h>
#include <string.h>

#define STEP_MS      2000
#define STALE_MIN_MS 3000

void gtm_state__load(struct gtm_state *state, const struct gtm_slot *slot,
                     const struct health_load *load)
{
    struct gtm_facts *facts = state->now->facts;
    struct gtm_endpoint_load *to = &facts->loads[facts->base[slot->pool] + slot->endpoint];
    uint64_t now = gtm_mono_ms(state->clock);
    for (unsigned i = 0; i < GTM_LOAD_COUNT; i++) {
        if (!(load->has >> i & 1))
            continue;
        to->value[i] = load->value[i];
        to->mono_ms[i] = now > 0 ? now : 1;
    }
}

/* ---- what is kept between steps ---- */

static bool balances(const struct gtm_policy *policy)
{
    return policy->has_pool &&
           (policy->steer == GTM_STEER_LEAST_CONNECTIONS ||
            policy->steer == GTM_STEER_RESPONSE_TIME || policy->steer == GTM_STEER_EWMA);
}

void gtm_state__loads_free(struct gtm_state_next *next)
{
    for (size_t i = 0; i < next->balances_count; i++)
        gtm_free(next->balances[i].endpoints);
    for (size_t i = 0; i < next->spills_count; i++) {
        gtm_free(next->spills[i].regions);
        gtm_free(next->spills[i].region_of);
        gtm_free(next->spills[i].told);
    }
    gtm_free(next->balances);
    gtm_free(next->spills);
}

static struct gtm_balance *find_balance(struct gtm_state_next *in, const char *policy)
{
    for (size_t i = 0; in && i < in->balances_count; i++)
        if (!strcmp(in->facts->intent->policies[in->balances[i].policy].name, policy))
            return &in->balances[i];
    return NULL;
}

/* Memory of endpoints that were there before, by name. */
static void carry_balance(const struct gtm_state_next *from, const struct gtm_balance *old,
                          const struct gtm_pool *pool, struct gtm_balance *to)
{
    const struct gtm_intent *intent = from->facts->intent;
    const struct gtm_pool *was = &intent->pools[intent->policies[old->policy].pool];
    if (strcmp(was->name, pool->name) != 0 || intent->policies[old->policy].steer != to->rules.kind)
        return;
    for (size_t e = 0; e < pool->endpoints_count; e++) {
        int o = gtm_pool_endpoint(was, pool->endpoints[e].name);
        if (o >= 0)
            to->endpoints[e] = old->endpoints[o];
    }
}

static int prepare_balance(const struct gtm_state *state, struct gtm_state_next *next, size_t i)
{
    const struct gtm_policy *policy = &next->facts->intent->policies[i];
    const struct gtm_pool *pool = &next->facts->intent->pools[policy->pool];
    void *list = next->balances;
    int rc =
        gtm_grow(&list, &next->balances_cap, next->balances_count + 1, sizeof(*next->balances));
    next->balances = list;
    if (rc)
        return rc;
    struct gtm_balance *b = &next->balances[next->balances_count];
    *b = (struct gtm_balance){.policy = (uint32_t)i, .rules = {.kind = policy->steer}};
    b->endpoints = gtm_calloc(pool->endpoints_count, sizeof(*b->endpoints));
    if (!b->endpoints)
        return GTM_ENOMEM;
    next->balances_count++;
    const struct gtm_balance *old = find_balance(state->now, policy->name);
    if (old)
        carry_balance(state->now, old, pool, b);
    return state->now ? 0 : gtm_state__recall_balance(state, next, b);
}

static struct gtm_spill *find_spill(struct gtm_state_next *in, const char *pool)
{
    for (size_t i = 0; in && i < in->spills_count; i++)
        if (!strcmp(in->facts->intent->pools[in->spills[i].pool].name, pool))
            return &in->spills[i];
    return NULL;
}

/* Memory of regions that were there before, by name. */
static void carry_spill(const struct gtm_state *state, const struct gtm_state_next *next,
                        struct gtm_spill *to)
{
    const struct gtm_intent *intent = next->facts->intent;
    const struct gtm_spill *from = find_spill(state->now, intent->pools[to->pool].name);
    for (size_t r = 0; from && r < to->count; r++) {
        const char *name = intent->regions[to->region_of[r]].name;
        int was = gtm_intent_region(state->now->facts->intent, name);
        for (size_t o = 0; was >= 0 && o < from->count; o++) {
            if (from->region_of[o] != was)
                continue;
            to->regions[r] = from->regions[o];
            to->told[r] = from->told[o];
        }
    }
}

static int prepare_spill(const struct gtm_state *state, struct gtm_state_next *next, size_t p)
{
    const struct gtm_pool *pool = &next->facts->intent->pools[p];
    void *list = next->spills;
    int rc = gtm_grow(&list, &next->spills_cap, next->spills_count + 1, sizeof(*next->spills));
    next->spills = list;
    if (rc)
        return rc;
    struct gtm_spill *s = &next->spills[next->spills_count];
    *s = (struct gtm_spill){.pool = (uint32_t)p};
    s->regions = gtm_calloc(pool->endpoints_count, sizeof(*s->regions));
    s->region_of = gtm_calloc(pool->endpoints_count, sizeof(*s->region_of));
    s->told = gtm_calloc(pool->endpoints_count, sizeof(*s->told));
    next->spills_count++;
    if (!s->regions || !s->region_of || !s->told)
        return GTM_ENOMEM;
    for (size_t e = 0; e < pool->endpoints_count; e++) {
        size_t r = 0;
        while (r < s->count && s->region_of[r] != pool->endpoints[e].region)
            r++;
        if (r < s->count)
            continue;
        s->region_of[s->count++] = (uint16_t)pool->endpoints[e].region;
    }
    if (state->now)
        carry_spill(state, next, s);
    else
        gtm_state__recall_spill(state, next, s);
    return 0;
}

int gtm_state__loads_prepared(struct gtm_state *state, struct gtm_state_next *next)
{
    const struct gtm_intent *intent = next->facts->intent;
    int rc = 0;
    for (size_t i = 0; !rc && i < intent->policies_count; i++)
        if (balances(&intent->policies[i]))
            rc = prepare_balance(state, next, i);
    for (size_t p = 0; !rc && p < intent->pools_count; p++)
        if (intent->pools[p].spill_high >= 0)
            rc = prepare_spill(state, next, p);
    return rc;
}

/* ---- times ---- */

static uint64_t interval_of(const struct gtm_intent *intent, const struct gtm_pool *pool)
{
    uint64_t longest = STALE_MIN_MS / POLICY_BALANCE_STALE;
    for (size_t m = 0; m < pool->monitors_count; m++) {
        uint64_t interval = intent->monitors[pool->monitors[m]].interval_ms;
        longest = interval > longest ? interval : longest;
    }
    return longest;
}

/* The longest TTL of the policies over the pool: so late do users follow at the latest. */
static uint64_t ttl_of(const struct gtm_intent *intent, size_t pool)
{
    uint64_t ttl_ms = 0;
    for (size_t i = 0; i < intent->policies_count; i++)
        if (intent->policies[i].has_pool && intent->policies[i].pool == pool &&
            intent->policies[i].ttl_s * UINT64_C(1000) > ttl_ms)
            ttl_ms = intent->policies[i].ttl_s * UINT64_C(1000);
    return ttl_ms;
}

/* ---- balancing ---- */

static double fresh(const struct gtm_endpoint_load *load, enum gtm_load what, uint64_t now,
                    uint64_t stale_ms)
{
    return load->mono_ms[what] && load->mono_ms[what] + stale_ms >= now ? load->value[what] : -1;
}

/* How long probes of the endpoint take, for those that do not say how long their users wait. */
static double probed_ms(const struct gtm_state_next *now, struct health_engine *engine, size_t pool,
                        size_t endpoint)
{
    double sum = 0;
    unsigned n = 0;
    for (unsigned f = 0; engine && f < GTM_FAMILY_COUNT; f++) {
        const struct gtm_address *a = &now->addresses[(now->facts->base[pool] + endpoint) * 2 + f];
        for (uint32_t i = a->first; i; i = now->slots[i - 1].next) {
            struct health_report report;
            if (health_engine_report(engine, now->slots[i - 1].key, &report) == GTM_OK &&
                report.health == GTM_HEALTH_UP && report.average_latency_us > 0) {
                sum += (double)report.average_latency_us / 1000;
                n++;
            }
        }
    }
    return n ? sum / n : -1;
}

static void fill_endpoint(const struct gtm_state *state, struct health_engine *engine, size_t pool,
                          size_t e, enum gtm_steer kind, struct policy_balance_endpoint *to)
{
    const struct gtm_facts *facts = state->now->facts;
    const struct gtm_pool *p = &facts->intent->pools[pool];
    const struct gtm_endpoint_load *load = &facts->loads[facts->base[pool] + e];
    uint64_t now = gtm_mono_ms(state->clock);
    uint64_t stale_ms = interval_of(facts->intent, p) * POLICY_BALANCE_STALE;
    bool v4 = gtm_states_serves(facts->states, pool, e, GTM_FAMILY_V4);
    enum gtm_family family = v4 ? GTM_FAMILY_V4 : GTM_FAMILY_V6;
    to->connections = fresh(load, GTM_LOAD_CONNECTIONS, now, stale_ms);
    to->latency_ms = fresh(load, GTM_LOAD_LATENCY_MS, now, stale_ms);
    if (to->latency_ms < 0 && kind != GTM_STEER_LEAST_CONNECTIONS)
        to->latency_ms = probed_ms(state->now, engine, pool, e);
    to->load = gtm_facts_utilisation(facts, pool, e, now, stale_ms);
    to->capacity = p->endpoints[e].capacity_requests_per_s;
    to->configured = p->endpoints[e].weight;
    to->serves = gtm_facts_endpoint_serves(facts, pool, e);
    to->factor = gtm_states_share(facts->states, pool, e, family) / (double)GTM_SHARE_FULL;
    if (gtm_states_get(facts->states, pool, e, family).health == GTM_HEALTH_DEGRADED)
        to->factor *= p->degraded_weight;
}

static bool step_balance(struct gtm_state *state, struct health_engine *engine,
                         struct gtm_balance *b, uint64_t elapsed_ms)
{
    struct gtm_facts *facts = state->now->facts;
    const struct gtm_policy *policy = &facts->intent->policies[b->policy];
    const struct gtm_pool *pool = &facts->intent->pools[policy->pool];
    b->rules.elapsed_ms = elapsed_ms;
    b->rules.lag_ms = policy->ttl_s * UINT64_C(1000) + interval_of(facts->intent, pool);
    b->rules.high = pool->spill_high >= 0 ? pool->spill_high : POLICY_BALANCE_HIGH;
    for (size_t e = 0; e < pool->endpoints_count; e++)
        fill_endpoint(state, engine, policy->pool, e, policy->steer, &b->endpoints[e]);
    policy_balance_step(b->endpoints, pool->endpoints_count, &b->rules, &b->last);
    b->stepped = true;
    if (!b->last.changed && b->published)
        return false;
    uint32_t *weights = gtm_calloc(pool->endpoints_count, sizeof(*weights));
    for (size_t e = 0; weights && e < pool->endpoints_count; e++)
        weights[e] = b->endpoints[e].weight ? b->endpoints[e].weight : b->endpoints[e].configured;
    /* without memory the weights stay until the next change */
    b->published =
        weights && gtm_states_set_balance(facts->states, b->policy, weights, pool->endpoints_count,
                                          &state->now->touched) == GTM_OK;
    gtm_free(weights);
    return true;
}

/* ---- spillover ---- */

/* Utilisation of what serves in the region: by capacity where all of it is known, else each
 * endpoint counts alike. */
static void fill_region(const struct gtm_state *state, const struct gtm_spill *s, size_t r,
                        struct policy_spill_region *to)
{
    const struct gtm_facts *facts = state->now->facts;
    const struct gtm_pool *pool = &facts->intent->pools[s->pool];
    uint64_t now = gtm_mono_ms(state->clock);
    uint64_t stale_ms = interval_of(facts->intent, pool) * POLICY_BALANCE_STALE;
    double load = 0, weighted = 0, capacity = 0;
    size_t known = 0;
    bool all = true;
    to->serves = false;
    for (size_t e = 0; e < pool->endpoints_count; e++) {
        if (pool->endpoints[e].region != s->region_of[r] ||
            !gtm_facts_endpoint_serves(facts, s->pool, e))
            continue;
        to->serves = true;
        double used = gtm_facts_utilisation(facts, s->pool, e, now, stale_ms);
        double room = pool->endpoints[e].capacity_requests_per_s;
        if (used < 0)
            continue;
        known++;
        all = all && room > 0;
        load += used;
        weighted += used * room;
        capacity += room;
    }
    to->utilisation = known == 0 ? -1 : all ? weighted / capacity : load / (double)known;
}

static void put_shed(const struct gtm_state *state, struct gtm_state_next *next, size_t pool,
                     unsigned region, unsigned shed)
{
    unsigned shifted = next->facts->shifted[region];
    gtm_states_set_shed(next->facts->states, pool, region, shifted > shed ? shifted : shed,
                        next == state->now ? &next->touched : NULL);
}

void gtm_state__put_sheds(struct gtm_state *state, struct gtm_state_next *next, unsigned region)
{
    size_t i = 0; /* spills are in the order of their pools */
    for (size_t p = 0; p < next->facts->intent->pools_count; p++) {
        const struct gtm_spill *s =
            i < next->spills_count && next->spills[i].pool == p ? &next->spills[i++] : NULL;
        unsigned shed = 0;
        for (size_t r = 0; s && r < s->count; r++)
            if (s->region_of[r] == region)
                shed = s->regions[r].shed;
        put_shed(state, next, p, region, shed);
    }
}

static bool step_spill(struct gtm_state *state, struct gtm_spill *s, uint64_t elapsed_ms)
{
    struct gtm_facts *facts = state->now->facts;
    const struct gtm_pool *pool = &facts->intent->pools[s->pool];
    s->rules = (struct policy_spill_rules){.low = pool->spill_low,
                                           .high = pool->spill_high,
                                           .elapsed_ms = elapsed_ms,
                                           .lag_ms = ttl_of(facts->intent, s->pool) +
                                                     interval_of(facts->intent, pool)};
    for (size_t r = 0; r < s->count; r++)
        fill_region(state, s, r, &s->regions[r]);
    if (!policy_spill_step(s->regions, s->count, &s->rules))
        return false;
    for (size_t r = 0; r < s->count; r++)
        put_shed(state, state->now, s->pool, s->region_of[r], s->regions[r].shed);
    return true;
}

static void tell_spill(struct gtm_state *state, struct gtm_spill *s)
{
    const struct gtm_intent *intent = state->now->facts->intent;
    for (size_t r = 0; r < s->count; r++) {
        bool sheds = s->regions[r].shed > 0;
        char subject[2 * GTM_NAME_MAX + 16], text[POLICY_SPILL_TEXT];
        if (sheds == s->told[r])
            continue;
        s->told[r] = sheds;
        policy_spill_say(&s->regions[r], &s->rules, text);
        snprintf(subject, sizeof(subject), "pool/%s/%s", intent->pools[s->pool].name,
                 intent->regions[s->region_of[r]].name);
        gtm_events_add(state->opts.events,
                       &(struct gtm_event){.type = GTM_EVENT_SPILLOVER,
                                           .level = sheds ? GTM_LOG_WARN : GTM_LOG_INFO,
                                           .subject = subject,
                                           .from = sheds ? "all" : "shed",
                                           .to = sheds ? "shed" : "all",
                                           .cause = text});
    }
}

void gtm_state_balance(struct gtm_state *state, struct health_engine *engine)
{
    struct gtm_state_next *now = state->now;
    uint64_t mono = gtm_mono_ms(state->clock);
    uint64_t elapsed = mono - state->balanced_ms;
    if (state->opts.mode == GTM_STATE_FOLLOWS || !now || gtm_facts_paused(now->facts) ||
        (now->balances_count == 0 && now->spills_count == 0) || elapsed < STEP_MS)
        return;
    state->balanced_ms = mono;
    elapsed = elapsed > 10 * STEP_MS ? STEP_MS : elapsed; /* the first, or after a long pause */
    bool changed = false;
    for (size_t i = 0; i < now->balances_count; i++)
        changed |= step_balance(state, engine, &now->balances[i], elapsed);
    for (size_t i = 0; i < now->spills_count; i++) {
        changed |= step_spill(state, &now->spills[i], elapsed);
        tell_spill(state, &now->spills[i]);
    }
    gtm_state__keep_balances(state, changed);
    gtm_state__publish(state);
}

/* ---- for people ---- */

uint64_t gtm_state_stale_ms(const struct gtm_intent *intent, size_t pool)
{
    return interval_of(intent, &intent->pools[pool]) * POLICY_BALANCE_STALE;
}

const char *gtm_state_balance_text(const struct gtm_state *state, size_t policy,
                                   char out[POLICY_BALANCE_TEXT])
{
    const struct gtm_state_next *now = state->now;
    out[0] = '\0';
    for (size_t i = 0; now && i < now->balances_count; i++)
        if (now->balances[i].policy == policy && now->balances[i].stepped)
            policy_balance_say(&now->balances[i].last, out);
    return out;
}

const char *gtm_state_spill_text(const struct gtm_state *state, size_t pool, size_t region,
                                 double *ret_utilisation, char out[POLICY_SPILL_TEXT])
{
    const struct gtm_state_next *now = state->now;
    out[0] = '\0';
    *ret_utilisation = -1;
    for (size_t i = 0; now && i < now->spills_count; i++) {
        const struct gtm_spill *s = &now->spills[i];
        for (size_t r = 0; s->pool == pool && r < s->count; r++) {
            if (s->region_of[r] != region)
                continue;
            *ret_utilisation = s->regions[r].utilisation;
            policy_spill_say(&s->regions[r], &s->rules, out);
        }
    }
    return out;
}
