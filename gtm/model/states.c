/* SPDX-License-Identifier: Apache-2.0
 *
 * States as flat arrays: one four-byte cell per endpoint, pools after one another, so that the
 * publisher walks ten thousand pools without a cache miss for each. See states.h; one owner.
 */
#include "gtm/model/states.h"

#include "gtm/base/mem.h"

#include <string.h>

struct cell {
    uint8_t health[GTM_FAMILY_COUNT];
    uint8_t admin;
    uint8_t good; /* bit per family */
};

struct gtm_states {
    struct gtm_intent *intent;
    uint32_t *first; /* pools_count + 1 positions in cells */
    struct cell *cells;
    uint8_t *pool_admin, *region_admin;
};

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
    if (!s->first || !s->cells || !s->pool_admin || !s->region_admin) {
        gtm_states_free(s);
        return NULL;
    }
    return s;
}

struct gtm_states *gtm_states_new(const struct gtm_intent *intent)
{
    struct gtm_states *s = alloc_states(intent);
    for (size_t i = 0; s && i < s->first[intent->pools_count]; i++)
        s->cells[i].good = (1u << GTM_FAMILY_COUNT) - 1;
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
    gtm_intent_unref(states->intent);
    gtm_free(states);
}

const struct gtm_intent *gtm_states_intent(const struct gtm_states *states)
{
    return states->intent;
}

static struct cell *cell_at(const struct gtm_states *states, size_t pool, size_t endpoint)
{
    if (pool >= states->intent->pools_count ||
        endpoint >= states->intent->pools[pool].endpoints_count)
        return NULL;
    return &states->cells[states->first[pool] + endpoint];
}

static bool same_address(const struct gtm_endpoint *a, const struct gtm_endpoint *b,
                         enum gtm_family family)
{
    if (!gtm_endpoint_has(a, family) || !gtm_endpoint_has(b, family))
        return false;
    return family == GTM_FAMILY_V4 ? memcmp(&a->v4, &b->v4, sizeof(a->v4)) == 0
                                   : memcmp(&a->v6, &b->v6, sizeof(a->v6)) == 0;
}

static void carry_endpoint(struct gtm_states *to, const struct gtm_states *from, const size_t at[4])
{
    const struct gtm_pool *pool = &to->intent->pools[at[0]];
    const struct gtm_endpoint *now = &pool->endpoints[at[1]];
    const struct gtm_endpoint *was = &from->intent->pools[at[2]].endpoints[at[3]];
    struct cell *dst = cell_at(to, at[0], at[1]);
    const struct cell *src = cell_at(from, at[2], at[3]);
    dst->admin = src->admin;
    if (pool->monitors_count == 0)
        return; /* nobody would ever correct an old verdict */
    for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++) {
        if (!same_address(now, was, f))
            continue;
        dst->health[f] = src->health[f];
        dst->good = (uint8_t)((dst->good & ~(1u << f)) | (src->good & (1u << f)));
    }
}

/* The position of name in pool; `hint` is where it most likely still is. */
static int find_endpoint(const struct gtm_pool *pool, const char *name, size_t hint)
{
    if (hint < pool->endpoints_count && strcmp(pool->endpoints[hint].name, name) == 0)
        return (int)hint;
    return gtm_pool_endpoint(pool, name);
}

void gtm_states_carry(struct gtm_states *states, const struct gtm_states *from)
{
    const struct gtm_intent *now = states->intent, *was = from->intent;
    for (size_t r = 0; r < was->regions_count; r++) {
        int at = gtm_intent_region(now, was->regions[r].name);
        if (at >= 0)
            states->region_admin[at] = from->region_admin[r];
    }
    for (size_t p = 0; p < was->pools_count; p++) {
        int at = gtm_intent_pool(now, was->pools[p].name);
        if (at < 0)
            continue;
        const struct gtm_pool *pool = &now->pools[at];
        states->pool_admin[at] = from->pool_admin[p];
        for (size_t e = 0; e < was->pools[p].endpoints_count; e++) {
            int to = find_endpoint(pool, was->pools[p].endpoints[e].name, e);
            if (to >= 0)
                carry_endpoint(states, from, (const size_t[4]){(size_t)at, (size_t)to, p, e});
        }
    }
}

static enum gtm_admin merge(enum gtm_admin a, enum gtm_admin b)
{
    static const uint8_t rank[GTM_ADMIN_COUNT] = {
        [GTM_ADMIN_AUTO] = 0, [GTM_ADMIN_UP] = 1, [GTM_ADMIN_DRAIN] = 2, [GTM_ADMIN_DOWN] = 3};
    return rank[a] >= rank[b] ? a : b;
}

struct gtm_endpoint_state gtm_states_effective(const struct gtm_states *states, size_t pool,
                                               size_t endpoint, enum gtm_family family)
{
    const struct cell *c = cell_at(states, pool, endpoint);
    if (!c || family >= GTM_FAMILY_COUNT)
        return (struct gtm_endpoint_state){GTM_HEALTH_UNKNOWN, GTM_ADMIN_AUTO};
    unsigned region = states->intent->pools[pool].endpoints[endpoint].region;
    enum gtm_admin around =
        merge(states->pool_admin[pool], gtm_states_region_admin(states, region));
    return (struct gtm_endpoint_state){c->health[family], merge(c->admin, around)};
}

struct gtm_endpoint_state gtm_states_get(const struct gtm_states *states, size_t pool,
                                         size_t endpoint, enum gtm_family family)
{
    const struct cell *c = cell_at(states, pool, endpoint);
    if (!c || family >= GTM_FAMILY_COUNT)
        return (struct gtm_endpoint_state){GTM_HEALTH_UNKNOWN, GTM_ADMIN_AUTO};
    return (struct gtm_endpoint_state){c->health[family], c->admin};
}

enum gtm_admin gtm_states_pool_admin(const struct gtm_states *states, size_t pool)
{
    return pool < states->intent->pools_count ? states->pool_admin[pool] : GTM_ADMIN_AUTO;
}

enum gtm_admin gtm_states_region_admin(const struct gtm_states *states, size_t region)
{
    return region < states->intent->regions_count ? states->region_admin[region] : GTM_ADMIN_AUTO;
}

bool gtm_states_serves(const struct gtm_states *states, size_t pool, size_t endpoint,
                       enum gtm_family family)
{
    return family < GTM_FAMILY_COUNT && cell_at(states, pool, endpoint) &&
           gtm_endpoint_has(&states->intent->pools[pool].endpoints[endpoint], family) &&
           gtm_endpoint_serves(gtm_states_effective(states, pool, endpoint, family));
}

bool gtm_states_last_good(const struct gtm_states *states, size_t pool, size_t endpoint,
                          enum gtm_family family)
{
    const struct cell *c = cell_at(states, pool, endpoint);
    return c && family < GTM_FAMILY_COUNT && ((c->good >> family) & 1) &&
           gtm_endpoint_has(&states->intent->pools[pool].endpoints[endpoint], family);
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
        unsigned bit = gtm_states_serves(states, pool, e, family) ? 1u << family : 0;
        cells[e].good = (uint8_t)((cells[e].good & ~(1u << family)) | bit);
    }
}

static void touch(struct gtm_states *states, size_t pool, struct gtm_touched *touched)
{
    for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++)
        mark_good(states, pool, f);
    if (touched)
        gtm_touched_add(touched, pool);
}

bool gtm_states_set_health(struct gtm_states *states, size_t pool, size_t endpoint,
                           enum gtm_family family, enum gtm_health health,
                           struct gtm_touched *touched)
{
    struct cell *c = cell_at(states, pool, endpoint);
    if (!c || family >= GTM_FAMILY_COUNT || health >= GTM_HEALTH_COUNT ||
        c->health[family] == health)
        return false;
    bool served = gtm_states_serves(states, pool, endpoint, family);
    c->health[family] = (uint8_t)health;
    if (gtm_states_serves(states, pool, endpoint, family) != served)
        touch(states, pool, touched);
    return true;
}

bool gtm_states_set_admin(struct gtm_states *states, size_t pool, size_t endpoint,
                          enum gtm_admin admin, struct gtm_touched *touched)
{
    struct cell *c = cell_at(states, pool, endpoint);
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
    struct cell *c = cell_at(states, pool, endpoint);
    if (!c || family >= GTM_FAMILY_COUNT)
        return;
    c->good = (uint8_t)((c->good & ~(1u << family)) | (good ? 1u << family : 0));
}
