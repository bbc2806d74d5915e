/* SPDX-License-Identifier: Apache-2.0
 *
 * What a reload takes over from the states of the intent before, by name. See states.h; one owner.
 */
#include "gtm/base/mem.h"
#include "gtm/model/states_int.h"

#include <string.h>

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
    struct cell *dst = gtm__cell_at(to, at[0], at[1]);
    const struct cell *src = gtm__cell_at(from, at[2], at[3]);
    dst->admin = src->admin;
    if (pool->monitors_count == 0)
        return; /* nobody would ever correct an old verdict */
    for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++) {
        if (!same_address(now, was, f))
            continue;
        dst->health[f] = src->health[f];
        dst->share[f] = src->share[f];
        dst->good = (uint8_t)((dst->good & ~(1u << f)) | (src->good & (1u << f)));
    }
}

static void carry_sheds(struct gtm_states *to, size_t pool, const struct gtm_states *from,
                        size_t was)
{
    const struct gtm_pool *p = &from->intent->pools[was];
    for (size_t e = 0; from->sheds[was] > 0 && e < p->endpoints_count; e++) {
        unsigned shed = from->cells[from->first[was] + e].shed;
        const char *name = from->intent->regions[p->endpoints[e].region].name;
        int region = shed ? gtm_intent_region(to->intent, name) : -1;
        if (region >= 0)
            gtm_states_set_shed(to, pool, (size_t)region, shed, NULL);
    }
}

/* The position of name in pool; `hint` is where it most likely still is. */
static int find_endpoint(const struct gtm_pool *pool, const char *name, size_t hint)
{
    if (hint < pool->endpoints_count && strcmp(pool->endpoints[hint].name, name) == 0)
        return (int)hint;
    return gtm_pool_endpoint(pool, name);
}

/* The old weights by name; what is new gets its configured weight in the scale of the old ones. */
static void carry_balance(struct gtm_states *to, size_t policy, const struct gtm_states *from,
                          size_t was)
{
    const struct gtm_policy *now_p = &to->intent->policies[policy];
    const struct gtm_policy *was_p = &from->intent->policies[was];
    if (!from->balance[was] || !now_p->has_pool || now_p->steer != was_p->steer)
        return;
    const struct gtm_pool *now = &to->intent->pools[now_p->pool];
    const struct gtm_pool *old = &from->intent->pools[was_p->pool];
    if (strcmp(now->name, old->name) != 0)
        return;
    uint32_t *weights = gtm_calloc(now->endpoints_count, sizeof(*weights));
    if (!weights)
        return;
    double balanced = 0, configured = 0;
    for (size_t e = 0; e < old->endpoints_count; e++) {
        int at = find_endpoint(now, old->endpoints[e].name, e);
        if (at < 0)
            continue;
        weights[at] = from->balance[was][e];
        balanced += weights[at];
        configured += old->endpoints[e].weight;
    }
    for (size_t e = 0; configured > 0 && e < now->endpoints_count; e++) {
        double weight = now->endpoints[e].weight * balanced / configured;
        if (weights[e] == 0)
            weights[e] = weight < 1 ? 1 : weight > UINT16_MAX ? UINT16_MAX : (uint32_t)weight;
    }
    int rc = configured > 0
                 ? gtm_states_set_balance(to, policy, weights, now->endpoints_count, NULL)
                 : GTM_OK;
    (void)rc; /* without memory: the configured ones, as the header says */
    gtm_free(weights);
}

void gtm_states_carry(struct gtm_states *states, const struct gtm_states *from)
{
    const struct gtm_intent *now = states->intent, *was = from->intent;
    for (size_t p = 0; p < now->pools_count; p++)
        states->counts[p].exact = false;
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
        carry_sheds(states, (size_t)at, from, p);
        for (size_t e = 0; e < was->pools[p].endpoints_count; e++) {
            int to = find_endpoint(pool, was->pools[p].endpoints[e].name, e);
            if (to >= 0)
                carry_endpoint(states, from, (const size_t[4]){(size_t)at, (size_t)to, p, e});
        }
    }
    for (size_t p = 0; p < from->balances; p++) {
        int at = from->balance[p] ? gtm_intent_policy(now, was->policies[p].name) : -1;
        if (at >= 0)
            carry_balance(states, (size_t)at, from, p);
    }
}
