/* SPDX-License-Identifier: Apache-2.0
 *
 * Verdicts and orders from the store into the live state, and what own probes may do while the
 * store is away. See state_follow.h.
 */
#include "gtm/daemon/state_follow.h"

#include "gtm/base/log.h"
#include "gtm/base/mem.h"
#include "gtm/coord/audit.h"
#include "gtm/daemon/state_int.h"
#include "policies/merge.h"

#include <stdio.h>
#include <string.h>

uint64_t gtm_state__to_mono(const struct gtm_state *state, uint64_t wall_ms)
{
    int64_t ago = gtm_wall_ms(state->clock) - (int64_t)wall_ms;
    uint64_t now = gtm_mono_ms(state->clock);
    /* what was before it began counts from its beginning */
    return ago <= 0 ? now : (uint64_t)ago > now ? 0 : now - (uint64_t)ago;
}

/* --- verdicts --- */

static void tell(struct gtm_state *state, size_t pool, size_t endpoint, enum gtm_health from,
                 enum gtm_health to, const char *cause)
{
    const struct gtm_pool *p = &state->now->facts->intent->pools[pool];
    char subject[160];
    state->changes++;
    snprintf(subject, sizeof(subject), "endpoint/%s/%s", p->name, p->endpoints[endpoint].name);
    gtm_events_add(state->opts.events,
                   &(struct gtm_event){.type = GTM_EVENT_HEALTH_CHANGED,
                                       .level = to == GTM_HEALTH_DOWN ? GTM_LOG_WARN : GTM_LOG_INFO,
                                       .subject = subject,
                                       .from = gtm_health_word(from),
                                       .to = gtm_health_word(to),
                                       .cause = cause});
}

static void put_health(struct gtm_state *state, size_t pool, size_t endpoint, unsigned family,
                       enum gtm_health health, const char *cause)
{
    struct gtm_states *states = state->now->facts->states;
    enum gtm_health old = gtm_states_get(states, pool, endpoint, family).health;
    if (health == old)
        return;
    gtm_states_set_health(states, pool, endpoint, family, health, &state->now->touched);
    gtm_touched_add(&state->now->touched, pool); /* unknown → up moves no answer, but the words */
    tell(state, pool, endpoint, old, health, cause);
}

/* Numbers of a verdict: see gtm_state_verdict. What is not there is as nothing happened. */
static void put_recovery(const struct gtm_state *state, const struct gtm_verdict_address *from,
                         struct policy_recovery *to)
{
    const double *n = from->recovery;
    *to = (struct policy_recovery){0};
    if (from->recovery_count < 5 || n[0] < 0 || n[0] >= POLICY_RECOVERY_STATES)
        return;
    *to = (struct policy_recovery){.state = (enum policy_recovery_state)n[0],
                                   .since_ms = gtm_state__to_mono(state, (uint64_t)n[1]),
                                   .penalty = n[2],
                                   .penalty_ms = gtm_state__to_mono(state, (uint64_t)n[3]),
                                   .falls = (unsigned)n[4]};
}

static void put_address(struct gtm_state *state, size_t pool, size_t endpoint,
                        const struct gtm_verdict_address *from)
{
    struct gtm_facts *facts = state->now->facts;
    size_t at = (facts->base[pool] + endpoint) * 2 + from->family;
    struct gtm_address *address = &state->now->addresses[at];
    address->verdict = from->health;
    if (!address->local)
        put_health(state, pool, endpoint, from->family, (enum gtm_health)from->health, from->cause);
    facts->since_ms[at] = from->since_ms;
    facts->panic_held[at] = from->held;
    put_recovery(state, from, &facts->recovery[at]);
    gtm_states_set_share(facts->states, pool, endpoint, (enum gtm_family)from->family, from->share,
                         &state->now->touched);
}

/* After all healths, which move the marks. */
static void put_last_good(struct gtm_state *state, size_t pool, size_t endpoint,
                          const struct gtm_verdict_address *from)
{
    struct gtm_states *states = state->now->facts->states;
    enum gtm_family family = (enum gtm_family)from->family;
    bool good = from->recovery_count < 6 || from->recovery[5] != 0;
    if (gtm_states_last_good(states, pool, endpoint, family) == good)
        return;
    gtm_states_set_last_good(states, pool, endpoint, family, good);
    gtm_touched_add(&state->now->touched, pool);
}

static void each_address(struct gtm_state *state, size_t pool, const struct gtm_verdict_doc *doc,
                         void (*put)(struct gtm_state *state, size_t pool, size_t endpoint,
                                     const struct gtm_verdict_address *from))
{
    const struct gtm_pool *p = &state->now->facts->intent->pools[pool];
    for (size_t i = 0; i < doc->count; i++) {
        const struct gtm_verdict_address *from = &doc->addresses[i];
        int e = gtm_pool_endpoint(p, from->endpoint);
        if (e >= 0 && from->family < GTM_FAMILY_COUNT && from->health < GTM_HEALTH_COUNT &&
            gtm_endpoint_has(&p->endpoints[e], (enum gtm_family)from->family))
            put(state, pool, (size_t)e, from);
    }
}

static void put_sheds(struct gtm_state *state, size_t pool, const struct gtm_verdict_doc *doc)
{
    const struct gtm_intent *intent = state->now->facts->intent;
    struct gtm_states *states = state->now->facts->states;
    bool any = gtm_states_sheds(states, pool) > 0;
    for (size_t i = 0; i < doc->weights_count && !any; i++)
        any = !doc->weights[i].policy;
    for (size_t r = 0; any && r < intent->regions_count; r++) {
        uint32_t shed = 0;
        for (size_t i = 0; i < doc->weights_count; i++)
            if (!doc->weights[i].policy && !strcmp(doc->weights[i].name, intent->regions[r].name))
                shed = doc->weights[i].value;
        gtm_states_set_shed(states, pool, r, shed, &state->now->touched);
    }
}

/* Balanced weights of one policy; those it does not name have the configured ones. */
static void put_balance(struct gtm_state *state, size_t policy, const struct gtm_verdict_doc *doc)
{
    const struct gtm_intent *intent = state->now->facts->intent;
    struct gtm_states *states = state->now->facts->states;
    const struct gtm_policy *p = &intent->policies[policy];
    const struct gtm_pool *pool = &intent->pools[p->pool];
    uint32_t *weights = NULL;
    for (size_t i = 0; i < doc->weights_count; i++) {
        const struct gtm_verdict_weight *w = &doc->weights[i];
        int e = w->policy && !strcmp(w->policy, p->name) ? gtm_pool_endpoint(pool, w->name) : -1;
        if (e < 0)
            continue;
        if (!weights) {
            weights = gtm_calloc(pool->endpoints_count, sizeof(*weights));
            if (!weights)
                return; /* the old ones stay until the next verdict */
            for (size_t n = 0; n < pool->endpoints_count; n++)
                weights[n] = pool->endpoints[n].weight;
        }
        weights[e] = w->value;
    }
    if ((weights || gtm_states_balance(states, policy)) &&
        gtm_states_set_balance(states, policy, weights, weights ? pool->endpoints_count : 0,
                               &state->now->touched) != GTM_OK)
        gtm_log(GTM_LOG_ERROR, "state", "out of memory: balanced weights stay as they were",
                gtm_kv_str("policy", p->name));
    gtm_free(weights);
}

static void put_panic(struct gtm_state *state, size_t pool, const struct gtm_verdict_doc *doc)
{
    struct gtm_facts *facts = state->now->facts;
    for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++) {
        bool *panic = &facts->panic[pool * 2 + f];
        if (*panic == doc->panic[f])
            continue;
        *panic = doc->panic[f];
        gtm_touched_add(&state->now->touched, pool);
        char subject[GTM_NAME_MAX + 8];
        snprintf(subject, sizeof(subject), "pool/%s", facts->intent->pools[pool].name);
        gtm_events_add(state->opts.events,
                       &(struct gtm_event){.type = GTM_EVENT_PANIC,
                                           .level = *panic ? GTM_LOG_ERROR : GTM_LOG_INFO,
                                           .subject = subject,
                                           .from = *panic ? "off" : "on",
                                           .to = *panic ? "on" : "off",
                                           .cause = *panic ? "failures of content are held"
                                                           : "failures of content are believed"});
    }
}

void gtm_state_follow_verdict(struct gtm_state *state, size_t pool,
                              const struct gtm_verdict_doc *doc)
{
    struct gtm_state_next *now = state->now;
    if (!now || pool >= now->facts->intent->pools_count || state->opts.mode != GTM_STATE_FOLLOWS)
        return;
    each_address(state, pool, doc, put_address);
    put_sheds(state, pool, doc);
    for (size_t i = 0; i < now->facts->intent->policies_count; i++) {
        const struct gtm_policy *policy = &now->facts->intent->policies[i];
        if (policy->has_pool && policy->pool == pool &&
            (policy->steer == GTM_STEER_LEAST_CONNECTIONS ||
             policy->steer == GTM_STEER_RESPONSE_TIME || policy->steer == GTM_STEER_EWMA))
            put_balance(state, i, doc);
    }
    put_panic(state, pool, doc);
    if (now->drains > 0)
        gtm_state__follow_drains(state, now);
    each_address(state, pool, doc, put_last_good);
}

static void weigh_all(struct gtm_state *state);

void gtm_state_followed(struct gtm_state *state)
{
    if (state->isolated) /* what was not the last one may be it by these verdicts */
        weigh_all(state);
    if (state->now)
        gtm_state__publish(state);
}

/* --- orders --- */

struct taking {
    const struct gtm_facts *facts;
    bool any;
};

static void take(void *ctx, size_t pool, size_t endpoint)
{
    struct taking *t = ctx;
    for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++)
        if (gtm_endpoint_has(&t->facts->intent->pools[pool].endpoints[endpoint], f) &&
            gtm_states_share(t->facts->states, pool, endpoint, (enum gtm_family)f) > 0)
            t->any = true;
}

/* Does anything that the order names still take users? */
static bool takes_users(const struct gtm_state_next *next, const char *key)
{
    struct taking t = {.facts = next->facts};
    gtm_facts_each(next->facts, key, take, &t);
    return t.any;
}

void gtm_state__follow_drains(struct gtm_state *state, struct gtm_state_next *next)
{
    size_t it = 0;
    const char *key;
    void *value;
    next->drains = 0;
    while (gtm_map_next(next->facts->overrides.map, &it, &key, &value)) {
        struct gtm_override *o = value;
        if (o->admin != GTM_ADMIN_DRAIN || o->over_ms == 0)
            continue;
        next->drains++;
        bool was = o->draining;
        o->draining = takes_users(next, key);
        if (was != o->draining)
            gtm_facts_apply_override(next->facts, key, next == state->now ? &next->touched : NULL);
    }
}

int gtm_state_order(struct gtm_state *state, const char *key, const char *text, size_t len)
{
    struct gtm_override override;
    if (!state->now)
        return GTM_ESTATE;
    struct gtm_facts *facts = state->now->facts;
    int rc = text ? gtm_override_parse(text, len, &override) : 0;
    if (!rc && text)
        rc = gtm_overrides_put(&facts->overrides, key, &override);
    else if (!rc)
        gtm_overrides_remove(&facts->overrides, key);
    if (rc)
        return rc;
    gtm_state__drain_changed(state, key);
    gtm_facts_apply_override(facts, key, &state->now->touched);
    gtm_state_followed(state);
    return 0;
}

struct order_job {
    gtm_state_done_fn done;
    void *arg;
};

static void on_order(void *arg, const struct gtm_store_result *result)
{
    struct order_job *job = arg;
    if (job->done)
        job->done(job->arg, result->code, result->err);
    gtm_free(job);
}

int gtm_state__commit_order(struct gtm_state *state, const struct gtm_state_order_commit *order,
                            gtm_state_done_fn done, void *arg)
{
    struct order_job *job = gtm_calloc(1, sizeof(*job));
    if (!job)
        return GTM_ENOMEM;
    *job = (struct order_job){done, arg};
    int rc = gtm_state__store_override(state, order, on_order, job);
    if (rc)
        gtm_free(job);
    return rc;
}

/* Trouble is logged by the store; who asked sees whether it serves. */
int gtm_state__commit_resume(struct gtm_state *state, size_t pool, size_t endpoint,
                             const char *owner)
{
    const struct gtm_pool *p = &state->now->facts->intent->pools[pool];
    char key[GTM_OVERRIDE_KEY_BYTES];
    snprintf(key, sizeof(key), "resume/%s/%s", p->name, p->endpoints[endpoint].name);
    struct gtm_json *root = gtm_json_object();
    gtm_json_add_i64(root, "v", 1);
    gtm_json_add_str(root, "owner", owner);
    gtm_json_add_i64(root, "at", gtm_wall_ms(state->clock));
    char *text = gtm_json_print(root, false);
    gtm_json_free(root);
    if (!text)
        return GTM_ENOMEM;
    struct gtm_audit_entry entry = {.time_ms = gtm_wall_ms(state->clock),
                                    .who = owner,
                                    .verb = "endpoint resume",
                                    .subject = key + strlen("resume/")};
    struct gtm_store_change change = {.kind = GTM_STORE_PUT,
                                      .key = key,
                                      .value = text,
                                      .value_len = strlen(text),
                                      .expect = GTM_STORE_ANY};
    int rc = gtm_audit_commit(state->opts.store, &entry, &change, 1, NULL, NULL);
    gtm_free(text);
    return rc;
}

/* --- isolated --- */

/* What this node's own probes say of an address. */
static enum gtm_health own_health(const struct gtm_state_next *now, size_t pool, size_t at)
{
    unsigned counts[GTM_HEALTH_COUNT] = {0};
    for (uint32_t i = now->addresses[at].first; i; i = now->slots[i - 1].next)
        counts[now->slots[i - 1].health]++;
    return policy_merge(counts, now->facts->intent->pools[pool].monitors_needed);
}

/* Of the pool's endpoints in these regions (NULL: in any), how many serve in the family? */
static size_t serving_in(const struct gtm_facts *facts, size_t pool, unsigned family,
                         const unsigned *regions, size_t count)
{
    const struct gtm_pool *p = &facts->intent->pools[pool];
    size_t n = 0;
    for (size_t e = 0; e < p->endpoints_count; e++) {
        bool in = !regions;
        for (size_t r = 0; r < count && !in; r++)
            in = regions[r] == p->endpoints[e].region;
        n += in && gtm_states_serves(facts->states, pool, e, (enum gtm_family)family);
    }
    return n;
}

static bool last_of_list(const struct gtm_facts *facts, size_t pool, size_t endpoint,
                         unsigned family, const unsigned *regions, size_t count, size_t self)
{
    unsigned region = facts->intent->pools[pool].endpoints[endpoint].region;
    for (size_t i = 0; i < count; i++)
        if (regions[i] == region)
            return serving_in(facts, pool, family, regions, count) <= self;
    return false; /* this list does not have it */
}

/* Is it the last that serves of what a policy names one by one? Pools and policies among them have
 * their own last ones. */
static bool last_target(const struct gtm_facts *facts, const struct gtm_policy *policy, size_t pool,
                        size_t endpoint, unsigned family)
{
    bool named = false;
    for (size_t i = 0; i < policy->to_count; i++) {
        const struct gtm_target *to = &policy->to[i];
        if (to->kind == GTM_TARGET_ENDPOINT && to->index == pool && to->endpoint == endpoint)
            named = true;
        else if (to->kind != GTM_TARGET_ENDPOINT ||
                 gtm_states_serves(facts->states, to->index, to->endpoint, (enum gtm_family)family))
            return false;
    }
    return named;
}

/* Would an answer be left with nothing that serves without this address? Of the pool, of the
 * policies' lists of regions, or of what weighted ones name by endpoint. */
static bool last_one(const struct gtm_facts *facts, size_t pool, size_t endpoint, unsigned family)
{
    const struct gtm_intent *intent = facts->intent;
    size_t self = gtm_states_serves(facts->states, pool, endpoint, (enum gtm_family)family);
    if (serving_in(facts, pool, family, NULL, 0) <= self)
        return true;
    for (size_t i = 0; i < intent->policies_count; i++) {
        const struct gtm_policy *policy = &intent->policies[i];
        if (last_target(facts, policy, pool, endpoint, family))
            return true;
        if (!policy->has_pool || policy->pool != pool)
            continue;
        if (last_of_list(facts, pool, endpoint, family, policy->order, policy->order_count, self))
            return true;
        for (size_t r = 0; r < policy->routes_count; r++)
            if (last_of_list(facts, pool, endpoint, family, policy->routes[r].regions,
                             policy->routes[r].regions_count, self))
                return true;
    }
    return false;
}

/* Own probes about one address: out, back, or as it is. */
static void weigh(struct gtm_state *state, size_t pool, size_t endpoint, unsigned family)
{
    struct gtm_state_next *now = state->now;
    size_t at = (now->facts->base[pool] + endpoint) * 2 + family;
    struct gtm_address *address = &now->addresses[at];
    bool down = state->isolated && own_health(now, pool, at) == GTM_HEALTH_DOWN;
    bool last = down && last_one(now->facts, pool, endpoint, family);
    if (address->local && (!down || last)) {
        address->local = false;
        put_health(state, pool, endpoint, family, (enum gtm_health)address->verdict,
                   last              ? "by the verdicts nothing else is left"
                   : state->isolated ? "this node's own checks see it up again"
                                     : "verdicts are followed again");
    } else if (!address->local && down && address->verdict != GTM_HEALTH_DOWN &&
               gtm_states_serves(now->facts->states, pool, endpoint, family) && !last) {
        address->local = true;
        put_health(state, pool, endpoint, family, GTM_HEALTH_DOWN,
                   "the store is away, and this node's own checks see it down");
    }
}

static void weigh_pool(struct gtm_state *state, size_t pool)
{
    const struct gtm_pool *p = &state->now->facts->intent->pools[pool];
    for (size_t e = 0; e < p->endpoints_count; e++)
        for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++)
            if (gtm_endpoint_has(&p->endpoints[e], f))
                weigh(state, pool, e, f);
}

static void weigh_all(struct gtm_state *state)
{
    for (size_t p = 0; state->now && p < state->now->facts->intent->pools_count; p++)
        weigh_pool(state, p);
}

void gtm_state__observed(struct gtm_state *state, size_t pool)
{
    if (state->isolated)
        weigh_pool(state, pool);
    if (state->opts.observed)
        state->opts.observed(state->opts.ctx, pool);
}

void gtm_state_isolated(struct gtm_state *state, bool on)
{
    if (state->opts.mode != GTM_STATE_FOLLOWS || state->isolated == on)
        return;
    state->isolated = on;
    weigh_all(state);
    gtm_state_followed(state);
}

bool gtm_state_taken_out(const struct gtm_state *state, size_t pool, size_t endpoint,
                         enum gtm_family family)
{
    return state->now->addresses[(state->now->facts->base[pool] + endpoint) * 2 + family].local;
}

size_t gtm_state_isolated_out(const struct gtm_state *state)
{
    size_t n = 0;
    for (size_t i = 0; state->now && i < state->now->facts->endpoints * 2; i++)
        n += state->now->addresses[i].local;
    return n;
}
