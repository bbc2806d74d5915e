/* SPDX-License-Identifier: Apache-2.0
 *
 * The preference of `nearest`: regions by great-circle distance; and of `latency`, which prefers
 * measured times and needs distances for what nobody measured. Pure; see policy.h.
 */
#include "policies/latency.h"
#include "policies/policy_int.h"

#include <string.h>

struct near {
    uint16_t region;
    double km;
};

/* Keeps the first POLICY_REGIONS_MAX in order; equal distances stay in the order of the calls. */
static size_t insert(struct near *best, size_t count, struct near one)
{
    size_t at = count;
    while (at > 0 && best[at - 1].km > one.km)
        at--;
    if (at == POLICY_REGIONS_MAX)
        return count;
    if (count < POLICY_REGIONS_MAX)
        count++;
    memmove(&best[at + 1], &best[at], (count - 1 - at) * sizeof(*best));
    best[at] = one;
    return count;
}

void policy__rank_nearest(const struct gtm_intent *intent, const struct gtm_policy *policy,
                          const struct gtm_location *loc, struct policy_regions *ret)
{
    struct policy_regionset here;
    policy__pool_regions(&intent->pools[policy->pool], &here);
    if (loc->has_point) {
        struct near best[POLICY_REGIONS_MAX];
        size_t count = 0;
        for (unsigned r = 0; r < intent->regions_count; r++) {
            const struct gtm_region *region = &intent->regions[r];
            if (!policy_regionset_has(&here, r) || !region->has_location)
                continue;
            double km = gtm_distance_km(loc->lat, loc->lon, region->lat, region->lon);
            count = insert(best, count, (struct near){.region = (uint16_t)r, .km = km});
        }
        for (size_t i = 0; i < count; i++)
            policy__append(ret, &here, best[i].region);
    }
    policy__append_default(intent, policy, &here, ret);
}

void policy__rank_latency(const struct gtm_intent *intent, const struct gtm_policy *policy,
                          const struct policy_place *place, struct policy_regions *ret)
{
    struct policy_regionset here;
    const struct policy_regions *order =
        place->latency && place->routes_count > 0
            ? policy_latency_order(place->latency, place->routes[place->routes_count - 1])
            : NULL; /* the greatest label: the longest network */
    policy__pool_regions(&intent->pools[policy->pool], &here);
    for (unsigned i = 0; order && i < order->count; i++)
        policy__append(ret, &here, order->region[i]);
    policy__rank_nearest(intent, policy, place->loc, ret);
}
