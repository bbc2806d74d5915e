/* SPDX-License-Identifier: Apache-2.0
 *
 * States as flat arrays: one ten-byte cell per endpoint, pools after one another, so that the
 * publisher walks ten thousand pools without a cache miss for each. What a pool sheds from a region
 * stands at its first endpoint there: no table of pools × regions. See states.h; one owner.
 */
#include "gtm/base/mem.h"
#include "gtm/model/states_int.h"

#include <string.h>

int gtm_touched_init(struct gtm_touched *touched, size_t pools_count)
{
    *touched = (struct gtm_touched){.pools_count = pools_count};
    touched->pools = gtm_calloc(pools_count, sizeof(*touched->pools));
    touched->bits = gtm_calloc((pools_count + 63) / 64, sizeof(*touched->bits));
    if (!touched->pools || !touched->bits) {
        gtm_touched_fini(touched);
        return GTM_ENOMEM;
    }
    return GTM_OK;
}

void gtm_touched_add(struct gtm_touched *touched, size_t pool)
{
    if (pool >= touched->pools_count || ((touched->bits[pool / 64] >> (pool % 64)) & 1))
        return;
    touched->bits[pool / 64] |= UINT64_C(1) << (pool % 64);
    touched->pools[touched->count++] = (uint32_t)pool;
}

void gtm_touched_clear(struct gtm_touched *touched)
{
    for (size_t i = 0; i < touched->count; i++)
        touched->bits[touched->pools[i] / 64] = 0;
    touched->count = 0;
}

void gtm_touched_fini(struct gtm_touched *touched)
{
    gtm_free(touched->pools);
    gtm_free(touched->bits);
    *touched = (struct gtm_touched){0};
}

/* The arrays for intent, zeroed but for `first`. */
static struct gtm_states *alloc_states(const struct gtm_intent *intent)
{
    struct gtm_states *s = gtm_calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->intent = gtm_intent_ref(intent);
    size_t total = 0;
    s->first = gtm_calloc(intent->pools_count + 1, sizeof(*s->first));
    for (size_t i = 0; s->first && i < intent->pools_count; i++) {
        s->first[i] = (uint32_t)total;
        total += intent->pools[i].endpoints_count;
    }
    if (s->first)
        s->first[intent->pools_count] = (uint32_t)total;
    s->cells = gtm_calloc(total, sizeof(*s->cells));
    s->pool_admin = gtm_calloc(intent->pools_count, 1);
    s->region_admin = gtm_calloc(intent->regions_count, 1);
    s->sheds = gtm_calloc(intent->pools_count, sizeof(*s->sheds));
    s->counts = gtm_calloc(intent->pools_count, sizeof(*s->counts));
    s->balances = intent->policies_count;
    s->balance = gtm_calloc(s->balances, sizeof(*s->balance));
    if (!s->first || !s->cells || !s->pool_admin || !s->region_admin || !s->sheds || !s->counts ||
        !s->balance) {
        gtm_states_free(s);
        return NULL;
    }
    for (size_t p = 0; p < intent->pools_count; p++)
        for (size_t e = 0; e < intent->pools[p].endpoints_count; e++)
            s->counts[p].has_host |=
                !intent->pools[p].endpoints[e].has_v4 && !intent->pools[p].endpoints[e].has_v6;
    return s;
}

struct gtm_states *gtm_states_new(const struct gtm_intent *intent)
{
    struct gtm_states *s = alloc_states(intent);
    for (size_t i = 0; s && i < s->first[intent->pools_count]; i++) {
        s->cells[i].good = (1u << GOODS) - 1;
        for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++)
            s->cells[i].share[f] = GTM_SHARE_FULL;
    }
    return s;
}

struct gtm_states *gtm_states_clone(const struct gtm_states *states)
{
    const struct gtm_intent *intent = states->intent;
    struct gtm_states *s = alloc_states(intent);
    if (!s)
        return NULL;
    memcpy(s->cells, states->cells, s->first[intent->pools_count] * sizeof(*s->cells));
    memcpy(s->pool_admin, states->pool_admin, intent->pools_count);
    memcpy(s->region_admin, states->region_admin, intent->regions_count);
    memcpy(s->sheds, states->sheds, intent->pools_count * sizeof(*s->sheds));
    memcpy(s->counts, states->counts, intent->pools_count * sizeof(*s->counts));
    for (size_t p = 0; p < states->balances; p++) {
        const uint32_t *weights = states->balance[p];
        if (!weights)
            continue;
        s->balance[p] = gtm_memdup(weights, gtm__balance_count(intent, p) * sizeof(*weights));
        if (!s->balance[p]) {
            gtm_states_free(s);
            return NULL;
        }
    }
    return s;
}

void gtm_states_free(struct gtm_states *states)
{
    if (!states)
        return;
    gtm_free(states->first);
    gtm_free(states->cells);
    gtm_free(states->pool_admin);
    gtm_free(states->region_admin);
    gtm_free(states->sheds);
    gtm_free(states->counts);
    for (size_t p = 0; states->balance && p < states->balances; p++)
        gtm_free(states->balance[p]);
    gtm_free(states->balance);
    gtm_intent_unref(states->intent);
    gtm_free(states);
}

const struct gtm_intent *gtm_states_intent(const struct gtm_states *states)
{
    return states->intent;
}

static enum gtm_admin merge(enum gtm_admin a, enum gtm_admin b)
{
    static const uint8_t rank[GTM_ADMIN_COUNT] = {
        [GTM_ADMIN_AUTO] = 0, [GTM_ADMIN_UP] = 1, [GTM_ADMIN_DRAIN] = 2, [GTM_ADMIN_DOWN] = 3};
    return rank[a] >= rank[b] ? a : b;
}

/* Of a family, or the best of those the endpoint has. */
static enum gtm_health health_of(const struct gtm_states *states, size_t pool, size_t endpoint,
                                 enum gtm_family family)
{
    static const uint8_t rank[GTM_HEALTH_COUNT] = {[GTM_HEALTH_DOWN] = 0,
                                                   [GTM_HEALTH_UNKNOWN] = 1,
                                                   [GTM_HEALTH_DEGRADED] = 2,
                                                   [GTM_HEALTH_UP] = 3};
    const struct cell *c = gtm__cell_at(states, pool, endpoint);
    const struct gtm_endpoint *ep = &states->intent->pools[pool].endpoints[endpoint];
    if (family < GTM_FAMILY_COUNT)
        return c->health[family];
    if (!ep->has_v4 && !ep->has_v6)
        return GTM_HEALTH_UNKNOWN;
    enum gtm_health best = GTM_HEALTH_DOWN;
    for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++)
        if (gtm_endpoint_has(ep, f) && rank[c->health[f]] > rank[best])
            best = c->health[f];
    return best;
}

/* The strongest order that holds for an endpoint. */
static inline enum gtm_admin admin_of(const struct gtm_states *states, size_t pool,
                                      const struct gtm_endpoint *ep, const struct cell *c)
{
    enum gtm_admin around = merge(states->pool_admin[pool], states->region_admin[ep->region]);
    return merge((enum gtm_admin)c->admin, around);
}

struct gtm_endpoint_state gtm_states_effective(const struct gtm_states *states, size_t pool,
                                               size_t endpoint, enum gtm_family family)
{
    const struct cell *c = gtm__cell_at(states, pool, endpoint);
    if (family > GTM_FAMILY_ANY || !c)
        return gtm_states_get(states, pool, endpoint, family);
    enum gtm_health health = family < GTM_FAMILY_COUNT ? (enum gtm_health)c->health[family]
                                                       : health_of(states, pool, endpoint, family);
    return (struct gtm_endpoint_state){
        health, admin_of(states, pool, &states->intent->pools[pool].endpoints[endpoint], c)};
}

struct gtm_endpoint_state gtm_states_get(const struct gtm_states *states, size_t pool,
                                         size_t endpoint, enum gtm_family family)
{
    const struct cell *c = gtm__cell_at(states, pool, endpoint);
    if (!c || family > GTM_FAMILY_ANY)
        return (struct gtm_endpoint_state){GTM_HEALTH_UNKNOWN, GTM_ADMIN_AUTO};
    return (struct gtm_endpoint_state){health_of(states, pool, endpoint, family), c->admin};
}

enum gtm_admin gtm_states_pool_admin(const struct gtm_states *states, size_t pool)
{
    return pool < states->intent->pools_count ? states->pool_admin[pool] : GTM_ADMIN_AUTO;
}

enum gtm_admin gtm_states_region_admin(const struct gtm_states *states, size_t region)
{
    return region < states->intent->regions_count ? states->region_admin[region] : GTM_ADMIN_AUTO;
}

unsigned gtm_states_share(const struct gtm_states *states, size_t pool, size_t endpoint,
                          enum gtm_family family)
{
    const struct cell *c = gtm__cell_at(states, pool, endpoint);
    unsigned best = 0;
    if (!c || family > GTM_FAMILY_ANY)
        return GTM_SHARE_FULL;
    if (family < GTM_FAMILY_COUNT)
        return c->share[family];
    const struct gtm_endpoint *ep = &states->intent->pools[pool].endpoints[endpoint];
    bool host_only = !ep->has_v4 && !ep->has_v6;
    for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++)
        if ((host_only || gtm_endpoint_has(ep, f)) && c->share[f] > best)
            best = c->share[f];
    return best;
}

bool gtm_states_serves(const struct gtm_states *states, size_t pool, size_t endpoint,
                       enum gtm_family family)
{
    const struct cell *c = gtm__cell_at(states, pool, endpoint);
    if (family > GTM_FAMILY_ANY || !c)
        return false;
    const struct gtm_endpoint *ep = &states->intent->pools[pool].endpoints[endpoint];
    if (family < GTM_FAMILY_COUNT) { /* the usual question, asked for every endpoint at a flip */
        if (!gtm_endpoint_has(ep, family))
            return false;
        struct gtm_endpoint_state state = {(enum gtm_health)c->health[family],
                                           admin_of(states, pool, ep, c)};
        return gtm_endpoint_serves(state) && (state.admin == GTM_ADMIN_UP || c->share[family] > 0);
    }
    if (family == GTM_FAMILY_ANY && (ep->has_v4 || ep->has_v6))
        return gtm_states_serves(states, pool, endpoint, GTM_FAMILY_V4) ||
               gtm_states_serves(states, pool, endpoint, GTM_FAMILY_V6);
    struct gtm_endpoint_state state = gtm_states_effective(states, pool, endpoint, family);
    return gtm_endpoint_has(ep, family) && gtm_endpoint_serves(state) &&
           (state.admin == GTM_ADMIN_UP || gtm_states_share(states, pool, endpoint, family) > 0);
}

bool gtm_states_last_good(const struct gtm_states *states, size_t pool, size_t endpoint,
                          enum gtm_family family)
{
    const struct cell *c = gtm__cell_at(states, pool, endpoint);
    if (!c || family > GTM_FAMILY_ANY)
        return false;
    const struct gtm_endpoint *ep = &states->intent->pools[pool].endpoints[endpoint];
    if (family == GTM_FAMILY_ANY && (ep->has_v4 || ep->has_v6))
        return gtm_states_last_good(states, pool, endpoint, GTM_FAMILY_V4) ||
               gtm_states_last_good(states, pool, endpoint, GTM_FAMILY_V6);
    return ((c->good >> family) & 1) && gtm_endpoint_has(ep, family);
}

/* While any endpoint serves, the marks follow; when none does, they stay as the last ones. */
static void mark_good(struct gtm_states *states, size_t pool, enum gtm_family family)
{
    size_t count = states->intent->pools[pool].endpoints_count, e = 0;
    while (e < count && !gtm_states_serves(states, pool, e, family))
        e++;
    if (e == count)
        return;
    struct cell *cells = &states->cells[states->first[pool]];
    for (e = 0; e < count; e++) {
        const struct gtm_endpoint *ep = &states->intent->pools[pool].endpoints[e];
        if (family == GTM_FAMILY_ANY && (ep->has_v4 || ep->has_v6))
            continue; /* its marks are those of its families */
        unsigned bit = gtm_states_serves(states, pool, e, family) ? 1u << family : 0;
        cells[e].good = (uint8_t)((cells[e].good & ~(1u << family)) | bit);
    }
}

/* Anything of the pool may serve or not now. */
static void touch(struct gtm_states *states, size_t pool, struct gtm_touched *touched)
{
    struct pool_count *counts = &states->counts[pool];
    for (unsigned f = 0; f < GOODS; f++)
        mark_good(states, pool, f);
    for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++) {
        counts->serving[f] = 0;
        for (size_t e = 0; e < states->intent->pools[pool].endpoints_count; e++)
            counts->serving[f] += gtm_states_serves(states, pool, e, f);
    }
    counts->exact = true;
    if (touched)
        gtm_touched_add(touched, pool);
}

/* One endpoint serves or does not, in one family: marks as mark_good would make them, without the
 * walk. */
static void move_good(struct gtm_states *states, size_t pool, size_t endpoint, unsigned family,
                      bool serves)
{
    struct pool_count *counts = &states->counts[pool];
    struct cell *cells = &states->cells[states->first[pool]];
    uint8_t bit = (uint8_t)(1u << family);
    counts->serving[family] += serves ? 1u : UINT32_MAX;
    if (serves && counts->serving[family] == 1)
        for (size_t e = 0; e < states->intent->pools[pool].endpoints_count; e++)
            cells[e].good &= (uint8_t)~bit;
    if (serves)
        cells[endpoint].good |= bit;
    else if (counts->serving[family] > 0)
        cells[endpoint].good &= (uint8_t)~bit;
}

/* What answers see of an endpoint. */
struct effect {
    bool serves;
    uint32_t weight;
};

static struct effect effect_of(const struct gtm_states *states, size_t pool, size_t endpoint,
                               enum gtm_family family)
{
    return (struct effect){gtm_states_serves(states, pool, endpoint, family),
                           gtm_states_weight(states, SIZE_MAX, pool, endpoint, family)};
}

static void touch_if(struct gtm_states *states, size_t pool, size_t endpoint,
                     enum gtm_family family, struct effect was, struct gtm_touched *touched)
{
    struct effect now = effect_of(states, pool, endpoint, family);
    if (now.serves == was.serves && (!now.serves || now.weight == was.weight))
        return;
    const struct pool_count *counts = &states->counts[pool];
    if (!counts->exact) {
        touch(states, pool, touched);
        return;
    }
    if (now.serves != was.serves && family < GTM_FAMILY_COUNT)
        move_good(states, pool, endpoint, family, now.serves);
    if (counts->has_host)
        mark_good(states, pool, GTM_FAMILY_ANY);
    if (touched)
        gtm_touched_add(touched, pool);
}

bool gtm_states_set_health(struct gtm_states *states, size_t pool, size_t endpoint,
                           enum gtm_family family, enum gtm_health health,
                           struct gtm_touched *touched)
{
    struct cell *c = gtm__cell_at(states, pool, endpoint);
    if (!c || family >= GTM_FAMILY_COUNT || health >= GTM_HEALTH_COUNT ||
        c->health[family] == health)
        return false;
    struct effect was = effect_of(states, pool, endpoint, family);
    c->health[family] = (uint8_t)health;
    touch_if(states, pool, endpoint, family, was, touched);
    return true;
}

bool gtm_states_set_admin(struct gtm_states *states, size_t pool, size_t endpoint,
                          enum gtm_admin admin, struct gtm_touched *touched)
{
    struct cell *c = gtm__cell_at(states, pool, endpoint);
    if (!c || admin >= GTM_ADMIN_COUNT || c->admin == admin)
        return false;
    enum gtm_admin was = gtm_states_effective(states, pool, endpoint, GTM_FAMILY_V4).admin;
    c->admin = (uint8_t)admin;
    if (gtm_states_effective(states, pool, endpoint, GTM_FAMILY_V4).admin != was)
        touch(states, pool, touched);
    return true;
}

bool gtm_states_set_pool_admin(struct gtm_states *states, size_t pool, enum gtm_admin admin,
                               struct gtm_touched *touched)
{
    if (pool >= states->intent->pools_count || admin >= GTM_ADMIN_COUNT ||
        states->pool_admin[pool] == admin)
        return false;
    states->pool_admin[pool] = (uint8_t)admin;
    touch(states, pool, touched);
    return true;
}

static bool pool_is_in(const struct gtm_pool *pool, size_t region)
{
    for (size_t e = 0; e < pool->endpoints_count; e++)
        if (pool->endpoints[e].region == region)
            return true;
    return false;
}

bool gtm_states_set_region_admin(struct gtm_states *states, size_t region, enum gtm_admin admin,
                                 struct gtm_touched *touched)
{
    if (region >= states->intent->regions_count || admin >= GTM_ADMIN_COUNT ||
        states->region_admin[region] == admin)
        return false;
    states->region_admin[region] = (uint8_t)admin;
    for (size_t p = 0; p < states->intent->pools_count; p++)
        if (pool_is_in(&states->intent->pools[p], region))
            touch(states, p, touched);
    return true;
}

void gtm_states_set_last_good(struct gtm_states *states, size_t pool, size_t endpoint,
                              enum gtm_family family, bool good)
{
    struct cell *c = gtm__cell_at(states, pool, endpoint);
    if (!c || family > GTM_FAMILY_ANY)
        return;
    c->good = (uint8_t)((c->good & ~(1u << family)) | (good ? 1u << family : 0));
    states->counts[pool].exact = false;
}

bool gtm_states_set_share(struct gtm_states *states, size_t pool, size_t endpoint,
                          enum gtm_family family, unsigned share, struct gtm_touched *touched)
{
    struct cell *c = gtm__cell_at(states, pool, endpoint);
    bool changed = false;
    if (share > GTM_SHARE_FULL)
        share = GTM_SHARE_FULL;
    for (unsigned f = 0; c && f < GTM_FAMILY_COUNT; f++) {
        if ((family != GTM_FAMILY_ANY && family != f) || c->share[f] == share)
            continue;
        /* a host alone has no family of its own: its effect shows in any */
        struct effect was = effect_of(states, pool, endpoint, f);
        struct effect any = effect_of(states, pool, endpoint, GTM_FAMILY_ANY);
        c->share[f] = (uint16_t)share;
        touch_if(states, pool, endpoint, f, was, touched);
        touch_if(states, pool, endpoint, GTM_FAMILY_ANY, any, touched);
        changed = true;
    }
    return changed;
}

/* Where the shed of a region stands. */
static struct cell *shed_at(const struct gtm_states *states, size_t pool, size_t region)
{
    const struct gtm_pool *p = &states->intent->pools[pool];
    for (size_t e = 0; e < p->endpoints_count; e++)
        if (p->endpoints[e].region == region)
            return &states->cells[states->first[pool] + e];
    return NULL;
}

bool gtm_states_set_shed(struct gtm_states *states, size_t pool, size_t region, unsigned shed,
                         struct gtm_touched *touched)
{
    struct cell *c = pool < states->intent->pools_count ? shed_at(states, pool, region) : NULL;
    if (shed > GTM_SHARE_FULL)
        shed = GTM_SHARE_FULL;
    if (!c || c->shed == shed)
        return false;
    states->sheds[pool] = (uint16_t)(states->sheds[pool] + (shed > 0) - (c->shed > 0));
    c->shed = (uint16_t)shed;
    if (touched)
        gtm_touched_add(touched, pool);
    return true;
}

unsigned gtm_states_shed(const struct gtm_states *states, size_t pool, size_t region)
{
    if (gtm_states_sheds(states, pool) == 0)
        return 0;
    const struct cell *c = shed_at(states, pool, region);
    return c ? c->shed : 0;
}

unsigned gtm_states_sheds(const struct gtm_states *states, size_t pool)
{
    return pool < states->intent->pools_count ? states->sheds[pool] : 0;
}

int gtm_states_set_balance(struct gtm_states *states, size_t policy, const uint32_t *weights,
                           size_t count, struct gtm_touched *touched)
{
    const struct gtm_intent *intent = states->intent;
    if (policy >= states->balances || !intent->policies[policy].has_pool)
        return GTM_EINVAL;
    if (weights && count != gtm__balance_count(intent, policy))
        return GTM_EINVAL;
    uint32_t *was = states->balance[policy];
    uint32_t *copy = weights ? gtm_calloc(count, sizeof(*copy)) : NULL;
    if (weights && !copy)
        return GTM_ENOMEM;
    for (size_t e = 0; copy && e < count; e++)
        copy[e] = weights[e] == 0 ? 1 : weights[e] > UINT16_MAX ? UINT16_MAX : weights[e];
    bool same = was && copy ? memcmp(was, copy, count * sizeof(*copy)) == 0 : was == copy;
    gtm_free(was);
    states->balance[policy] = copy;
    if (!same && touched)
        gtm_touched_add(touched, intent->policies[policy].pool);
    return GTM_OK;
}

const uint32_t *gtm_states_balance(const struct gtm_states *states, size_t policy)
{
    return policy < states->balances ? states->balance[policy] : NULL;
}

uint32_t gtm_states_weight(const struct gtm_states *states, size_t policy, size_t pool,
                           size_t endpoint, enum gtm_family family)
{
    if (family > GTM_FAMILY_ANY || !gtm__cell_at(states, pool, endpoint))
        return 0;
    const struct gtm_pool *p = &states->intent->pools[pool];
    const uint32_t *balance = gtm_states_balance(states, policy);
    uint32_t weight = p->endpoints[endpoint].weight;
    if (weight == 0)
        return 0;
    if (balance && states->intent->policies[policy].pool == pool)
        weight = balance[endpoint];
    struct gtm_endpoint_state state = gtm_states_effective(states, pool, endpoint, family);
    unsigned share = gtm_states_share(states, pool, endpoint, family);
    uint64_t scaled =
        (uint64_t)weight * (state.admin == GTM_ADMIN_UP || share == 0 ? GTM_SHARE_FULL : share);
    if (state.health == GTM_HEALTH_DEGRADED && p->degraded_weight < 1)
        scaled = (uint64_t)((double)scaled * (p->degraded_weight > 0 ? p->degraded_weight : 0));
    return scaled == 0 ? 1 : (uint32_t)scaled;
}
