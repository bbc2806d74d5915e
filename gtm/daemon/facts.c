/* SPDX-License-Identifier: Apache-2.0
 *
 * Facts beside an intent: pure arithmetic over its arrays, no clock, no I/O. See facts.h.
 */
#include "gtm/daemon/facts.h"

#include "gtm/base/mem.h"

#include <stdio.h>
#include <string.h>

struct gtm_facts *gtm_facts_new(const struct gtm_intent *intent)
{
    struct gtm_facts *facts = gtm_calloc(1, sizeof(*facts));
    if (!facts)
        return NULL;
    facts->intent = gtm_intent_ref(intent);
    facts->base = gtm_calloc(intent->pools_count + 1, sizeof(*facts->base));
    if (facts->base) {
        for (size_t p = 0; p < intent->pools_count; p++) {
            facts->base[p] = facts->endpoints;
            facts->endpoints += intent->pools[p].endpoints_count;
        }
    }
    facts->states = gtm_states_new(intent);
    facts->since_ms = gtm_calloc(facts->endpoints * 2 + 1, sizeof(*facts->since_ms));
    facts->panic_held = gtm_calloc(facts->endpoints * 2 + 1, sizeof(*facts->panic_held));
    facts->loads = gtm_calloc(facts->endpoints + 1, sizeof(*facts->loads));
    facts->recovery = gtm_calloc(facts->endpoints * 2 + 1, sizeof(*facts->recovery));
    facts->panic = gtm_calloc(intent->pools_count * 2 + 1, sizeof(*facts->panic));
    facts->pools = gtm_calloc(intent->pools_count + 1, sizeof(*facts->pools));
    facts->regions = gtm_calloc(intent->regions_count + 1, sizeof(*facts->regions));
    facts->shifted = gtm_calloc(intent->regions_count + 1, sizeof(*facts->shifted));
    if (!facts->base || !facts->states || !facts->since_ms || !facts->panic_held || !facts->loads ||
        !facts->recovery || !facts->panic || !facts->pools || !facts->regions || !facts->shifted ||
        gtm_overrides_init(&facts->overrides)) {
        gtm_facts_free(facts);
        return NULL;
    }
    return facts;
}

void gtm_facts_free(struct gtm_facts *facts)
{
    if (!facts)
        return;
    gtm_overrides_fini(&facts->overrides);
    gtm_free(facts->regions);
    gtm_free(facts->shifted);
    gtm_free(facts->pools);
    gtm_free(facts->panic_held);
    gtm_free(facts->recovery);
    gtm_free(facts->loads);
    gtm_free(facts->panic);
    gtm_free(facts->since_ms);
    gtm_states_free(facts->states);
    gtm_free(facts->base);
    gtm_intent_unref((struct gtm_intent *)facts->intent);
    gtm_free(facts);
}

static int copy_overrides(struct gtm_facts *facts, const struct gtm_facts *from)
{
    size_t it = 0;
    const char *key;
    void *value;
    while (gtm_map_next(from->overrides.map, &it, &key, &value)) {
        int rc = gtm_overrides_put(&facts->overrides, key, value);
        if (rc)
            return rc;
    }
    return 0;
}

struct gtm_facts *gtm_facts_clone(const struct gtm_facts *facts)
{
    struct gtm_facts *copy = gtm_facts_new(facts->intent);
    if (!copy)
        return NULL;
    struct gtm_states *states = gtm_states_clone(facts->states);
    if (!states || copy_overrides(copy, facts)) {
        gtm_states_free(states);
        gtm_facts_free(copy);
        return NULL;
    }
    gtm_states_free(copy->states);
    copy->states = states;
    const struct gtm_intent *intent = facts->intent;
    memcpy(copy->since_ms, facts->since_ms, facts->endpoints * 2 * sizeof(*facts->since_ms));
    memcpy(copy->panic_held, facts->panic_held, facts->endpoints * 2 * sizeof(*facts->panic_held));
    memcpy(copy->recovery, facts->recovery, facts->endpoints * 2 * sizeof(*facts->recovery));
    memcpy(copy->loads, facts->loads, facts->endpoints * sizeof(*facts->loads));
    memcpy(copy->panic, facts->panic, intent->pools_count * 2 * sizeof(*facts->panic));
    memcpy(copy->pools, facts->pools, intent->pools_count * sizeof(*facts->pools));
    memcpy(copy->regions, facts->regions, intent->regions_count * sizeof(*facts->regions));
    memcpy(copy->shifted, facts->shifted, intent->regions_count * sizeof(*facts->shifted));
    return copy;
}

static void carry_pool(struct gtm_facts *facts, size_t p, const struct gtm_facts *from, size_t q)
{
    const struct gtm_pool *pool = &facts->intent->pools[p];
    const struct gtm_pool *old = &from->intent->pools[q];
    facts->pools[p] = from->pools[q];
    for (size_t e = 0; e < pool->endpoints_count; e++) {
        const char *name = pool->endpoints[e].name;
        /* Reloads seldom reorder: the same place first, then a search. */
        int o = e < old->endpoints_count && !strcmp(old->endpoints[e].name, name)
                    ? (int)e
                    : gtm_pool_endpoint(old, name);
        if (o < 0)
            continue;
        size_t to = (facts->base[p] + e) * 2, at = (from->base[q] + (size_t)o) * 2;
        facts->since_ms[to] = from->since_ms[at];
        facts->since_ms[to + 1] = from->since_ms[at + 1];
        facts->loads[to / 2] = from->loads[at / 2];
    }
}

/* Names of the old intent's pools or regions → index + 1. */
static struct gtm_map *index_pools(const struct gtm_intent *intent)
{
    struct gtm_map *map = gtm_map_new();
    for (size_t i = 0; map && i < intent->pools_count; i++) {
        if (gtm_map_put(map, intent->pools[i].name, (void *)(uintptr_t)(i + 1), NULL)) {
            gtm_map_free(map, NULL);
            return NULL;
        }
    }
    return map;
}

int gtm_facts_carry(struct gtm_facts *facts, const struct gtm_facts *from)
{
    struct gtm_map *pools = index_pools(from->intent);
    if (!pools)
        return GTM_ENOMEM;
    gtm_states_carry(facts->states, from->states);
    for (size_t p = 0; p < facts->intent->pools_count; p++) {
        uintptr_t q = (uintptr_t)gtm_map_get(pools, facts->intent->pools[p].name);
        if (q)
            carry_pool(facts, p, from, (size_t)q - 1);
    }
    gtm_map_free(pools, NULL);
    for (size_t r = 0; r < facts->intent->regions_count; r++) {
        int q = gtm_intent_region(from->intent, facts->intent->regions[r].name);
        if (q >= 0)
            facts->regions[r] = from->regions[q];
    }
    return copy_overrides(facts, from);
}

/* --- orders in the states --- */

bool gtm_facts_find(const struct gtm_facts *facts, const char *key, size_t *ret_pool,
                    long *ret_endpoint)
{
    char pool_name[GTM_NAME_MAX + 1];
    bool whole = !strncmp(key, "pool/", 5);
    const char *slash = whole || !strncmp(key, "endpoint/", 9) ? strchr(key, '/') : NULL;
    size_t n = slash ? strcspn(slash + 1, "/") : SIZE_MAX;
    if (n > GTM_NAME_MAX)
        return false;
    memcpy(pool_name, slash + 1, n);
    pool_name[n] = 0;
    int pool = gtm_intent_pool(facts->intent, pool_name);
    if (pool < 0)
        return false;
    *ret_pool = (size_t)pool;
    *ret_endpoint = -1;
    if (whole)
        return true;
    const char *name = slash + 1 + n;
    int endpoint = *name == '/' ? gtm_pool_endpoint(&facts->intent->pools[pool], name + 1) : -1;
    *ret_endpoint = endpoint;
    return endpoint >= 0;
}

int gtm_facts_find_region(const struct gtm_facts *facts, const char *key)
{
    if (strncmp(key, "region/", 7) != 0 && strncmp(key, "shift/", 6) != 0)
        return -1;
    return gtm_intent_region(facts->intent, strchr(key, '/') + 1);
}

void gtm_facts_each(const struct gtm_facts *facts, const char *key,
                    void (*fn)(void *ctx, size_t pool, size_t endpoint), void *ctx)
{
    const struct gtm_intent *intent = facts->intent;
    int region = gtm_facts_find_region(facts, key);
    size_t first = 0, end = intent->pools_count;
    long endpoint = -1;
    if (region < 0) {
        if (!gtm_facts_find(facts, key, &first, &endpoint))
            return;
        end = first + 1;
    }
    for (size_t p = first; p < end; p++)
        for (size_t e = 0; e < intent->pools[p].endpoints_count; e++)
            if ((region < 0 || intent->pools[p].endpoints[e].region == (unsigned)region) &&
                (endpoint < 0 || e == (size_t)endpoint))
                fn(ctx, p, e);
}

bool gtm_facts_paused(const struct gtm_facts *facts)
{
    return gtm_overrides_get(&facts->overrides, GTM_AUTOMATION_KEY) != NULL;
}

void gtm_facts_apply_override(struct gtm_facts *facts, const char *key, struct gtm_touched *touched)
{
    const struct gtm_override *override = gtm_overrides_get(&facts->overrides, key);
    enum gtm_admin admin = override && !override->draining ? override->admin : GTM_ADMIN_AUTO;
    size_t pool = 0;
    long endpoint = -1;
    int region = gtm_facts_find_region(facts, key);
    if (region >= 0 && key[0] == 's')
        facts->shifted[region] = override ? policy_shift_now(&override->shift) : 0;
    else if (region >= 0)
        gtm_states_set_region_admin(facts->states, (size_t)region, admin, touched);
    else if (!gtm_facts_find(facts, key, &pool, &endpoint))
        return;
    else if (endpoint < 0)
        gtm_states_set_pool_admin(facts->states, pool, admin, touched);
    else
        gtm_states_set_admin(facts->states, pool, (size_t)endpoint, admin, touched);
}

void gtm_facts_apply_overrides(struct gtm_facts *facts, struct gtm_touched *touched)
{
    size_t it = 0;
    const char *key;
    void *value;
    while (gtm_map_next(facts->overrides.map, &it, &key, &value))
        gtm_facts_apply_override(facts, key, touched);
}

/* --- loads --- */

double gtm_facts_utilisation(const struct gtm_facts *facts, size_t pool, size_t endpoint,
                             uint64_t now_ms, uint64_t stale_ms)
{
    const struct gtm_endpoint_load *load = &facts->loads[facts->base[pool] + endpoint];
    double capacity = facts->intent->pools[pool].endpoints[endpoint].capacity_requests_per_s;
    const uint64_t *at = load->mono_ms;
    if (at[GTM_LOAD_LOAD] && at[GTM_LOAD_LOAD] + stale_ms >= now_ms)
        return load->value[GTM_LOAD_LOAD];
    if (capacity > 0 && at[GTM_LOAD_REQUESTS_PER_S] &&
        at[GTM_LOAD_REQUESTS_PER_S] + stale_ms >= now_ms)
        return load->value[GTM_LOAD_REQUESTS_PER_S] / capacity;
    return -1;
}

/* --- shares, for people --- */

bool gtm_facts_drain(const struct gtm_facts *facts, size_t pool, size_t endpoint, int64_t wall_ms,
                     unsigned *share)
{
    const struct gtm_pool *p = &facts->intent->pools[pool];
    const char *region = facts->intent->regions[p->endpoints[endpoint].region].name;
    bool any = false;
    for (size_t i = 0; i < 3; i++) {
        char key[GTM_OVERRIDE_KEY_BYTES];
        bool fits = i == 2 ? gtm_override_key_of("region", region, key)
                           : gtm_override_key(p->name, i ? NULL : p->endpoints[endpoint].name, key);
        const struct gtm_override *o = fits ? gtm_overrides_get(&facts->overrides, key) : NULL;
        if (!o || !o->draining)
            continue;
        uint64_t since = (uint64_t)o->since_ms;
        uint64_t now = wall_ms > o->since_ms ? (uint64_t)wall_ms : since;
        unsigned left = policy_drain_share(since, o->over_ms, now);
        *share = left < *share ? left : *share;
        any = true;
    }
    return any;
}

static unsigned shifted(const struct gtm_facts *facts, size_t pool, size_t endpoint)
{
    return facts->shifted[facts->intent->pools[pool].endpoints[endpoint].region];
}

void gtm_facts_put_share(struct gtm_facts *facts, size_t pool, size_t endpoint,
                         enum gtm_family family, const struct gtm_clock *clock,
                         struct gtm_touched *touched)
{
    unsigned share =
        policy_recovery_share(&facts->recovery[(facts->base[pool] + endpoint) * 2 + family],
                              &facts->intent->pools[pool], gtm_mono_ms(clock));
    unsigned gone = shifted(facts, pool, endpoint);
    if (gtm_map_count(facts->overrides.map) > 0)
        gtm_facts_drain(facts, pool, endpoint, gtm_wall_ms(clock), &share);
    if (share > 0 && gone > 0 && gone < GTM_SHARE_FULL) {
        share = share * (GTM_SHARE_FULL - gone) / GTM_SHARE_FULL;
        share = share > 0 ? share : 1; /* the last step takes it out, not the one before */
    } else if (gone > 0) {
        share = 0;
    }
    gtm_states_set_share(facts->states, pool, endpoint, family, share, touched);
}

const char *gtm_facts_share_text(const struct gtm_facts *facts, size_t pool, size_t endpoint,
                                 enum gtm_family family, const struct gtm_clock *clock,
                                 char out[GTM_SHARE_TEXT_BYTES])
{
    unsigned share = GTM_SHARE_FULL;
    size_t at = (facts->base[pool] + endpoint) * 2 + family;
    if (gtm_facts_drain(facts, pool, endpoint, gtm_wall_ms(clock), &share)) {
        snprintf(out, GTM_SHARE_TEXT_BYTES, "draining: %u %% of its weight left",
                 share * 100 / GTM_SHARE_FULL);
        return out;
    }
    char text[POLICY_RECOVERY_TEXT];
    policy_recovery_say(&facts->recovery[at], &facts->intent->pools[pool], gtm_mono_ms(clock),
                        text);
    if (!text[0] && shifted(facts, pool, endpoint) > 0)
        snprintf(out, GTM_SHARE_TEXT_BYTES, "traffic shift: %u %% of its region's users moved away",
                 shifted(facts, pool, endpoint) * 100 / GTM_SHARE_FULL);
    else
        snprintf(out, GTM_SHARE_TEXT_BYTES, "%s", text);
    return out;
}

/* --- combined health --- */

/* Counts of words → the word for all of them. */
static enum gtm_health combine(const size_t n[GTM_HEALTH_COUNT])
{
    size_t good = n[GTM_HEALTH_UP], bad = n[GTM_HEALTH_DOWN];
    if (n[GTM_HEALTH_DEGRADED] || (bad && (good || n[GTM_HEALTH_UNKNOWN])))
        return GTM_HEALTH_DEGRADED;
    if (bad)
        return GTM_HEALTH_DOWN;
    return good ? GTM_HEALTH_UP : GTM_HEALTH_UNKNOWN;
}

enum gtm_health gtm_facts_endpoint_health(const struct gtm_facts *facts, size_t pool,
                                          size_t endpoint)
{
    const struct gtm_endpoint *ep = &facts->intent->pools[pool].endpoints[endpoint];
    size_t n[GTM_HEALTH_COUNT] = {0};
    for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++)
        if (gtm_endpoint_has(ep, f))
            n[gtm_states_get(facts->states, pool, endpoint, f).health]++;
    return combine(n);
}

bool gtm_facts_endpoint_serves(const struct gtm_facts *facts, size_t pool, size_t endpoint)
{
    return gtm_states_serves(facts->states, pool, endpoint, GTM_FAMILY_V4) ||
           gtm_states_serves(facts->states, pool, endpoint, GTM_FAMILY_V6);
}

size_t gtm_facts_serving(const struct gtm_facts *facts, size_t pool)
{
    size_t n = 0;
    for (size_t e = 0; e < facts->intent->pools[pool].endpoints_count; e++)
        n += gtm_facts_endpoint_serves(facts, pool, e);
    return n;
}

size_t gtm_facts_serving_family(const struct gtm_facts *facts, size_t pool, enum gtm_family family)
{
    size_t n = 0;
    for (size_t e = 0; e < facts->intent->pools[pool].endpoints_count; e++)
        n += gtm_states_serves(facts->states, pool, e, family);
    return n;
}

static void move(struct gtm_group_health *group, enum gtm_health health, int64_t now_ms)
{
    if (group->health != health || !group->since_ms)
        *group = (struct gtm_group_health){health, now_ms};
}

bool gtm_facts_update_pool(struct gtm_facts *facts, size_t pool, int64_t now_ms)
{
    const struct gtm_pool *p = &facts->intent->pools[pool];
    size_t n[GTM_HEALTH_COUNT] = {0}, serving = 0;
    for (size_t e = 0; e < p->endpoints_count; e++) {
        bool serves = gtm_facts_endpoint_serves(facts, pool, e);
        enum gtm_admin admin = gtm_states_effective(facts->states, pool, e, GTM_FAMILY_V4).admin;
        serving += serves;
        /* What an operator took out says nothing about the pool's health. */
        if (admin != GTM_ADMIN_DOWN && admin != GTM_ADMIN_DRAIN)
            n[gtm_facts_endpoint_health(facts, pool, e)]++;
    }
    enum gtm_health health = p->endpoints_count && !serving ? GTM_HEALTH_DOWN : combine(n);
    if (health == GTM_HEALTH_DOWN && serving)
        health = GTM_HEALTH_DEGRADED; /* users go to what an operator forced up */
    bool changed = facts->pools[pool].health != health;
    move(&facts->pools[pool], health, now_ms);
    return changed;
}

void gtm_facts_update_regions(struct gtm_facts *facts, int64_t now_ms)
{
    const struct gtm_intent *intent = facts->intent;
    /* [0] what may serve, [1] what an operator took out: that counts only when nothing else is
     * there */
    size_t(*n)[2][GTM_HEALTH_COUNT] = gtm_calloc(intent->regions_count + 1, sizeof(*n));
    if (!n)
        return; /* the words stay as they were until the next change */
    for (size_t p = 0; p < intent->pools_count; p++) {
        for (size_t e = 0; e < intent->pools[p].endpoints_count; e++) {
            unsigned region = intent->pools[p].endpoints[e].region;
            enum gtm_admin admin = gtm_states_effective(facts->states, p, e, GTM_FAMILY_V4).admin;
            bool out = admin == GTM_ADMIN_DOWN || admin == GTM_ADMIN_DRAIN;
            n[region][out][gtm_facts_endpoint_health(facts, p, e)]++;
        }
    }
    for (size_t r = 0; r < intent->regions_count; r++) {
        bool out = true;
        for (unsigned h = 0; h < GTM_HEALTH_COUNT; h++)
            out = out && n[r][0][h] == 0;
        move(&facts->regions[r], combine(n[r][out]), now_ms);
    }
    gtm_free(n);
}

size_t gtm_facts_region_endpoints(const struct gtm_facts *facts, size_t region, size_t *ret_serving)
{
    const struct gtm_intent *intent = facts->intent;
    size_t total = 0, serving = 0;
    for (size_t p = 0; p < intent->pools_count; p++) {
        for (size_t e = 0; e < intent->pools[p].endpoints_count; e++) {
            if (intent->pools[p].endpoints[e].region != region)
                continue;
            total++;
            serving += gtm_facts_endpoint_serves(facts, p, e);
        }
    }
    *ret_serving = serving;
    return total;
}
