/* SPDX-License-Identifier: Apache-2.0
 *
 * The preference of `geo`: the first route whose conditions all hold, then the default, then the
 * rest, so that the list never runs out while anything serves. Pure; see policy.h.
 */
#include "policies/policy_int.h"

#include <string.h>

static bool has_label(const struct policy_place *place, size_t route)
{
    for (size_t i = 0; i < place->routes_count; i++)
        if (place->routes[i] == route)
            return true;
    return false;
}

static bool has_code(char (*codes)[3], size_t count, const char *code)
{
    for (size_t i = 0; i < count; i++)
        if (code[0] && strcmp(codes[i], code) == 0)
            return true;
    return false;
}

/* "US-CA" against a country and a subdivision. */
static bool has_subdivision(const struct gtm_route *route, const struct gtm_location *loc)
{
    for (size_t i = 0; loc->country[0] && loc->subdivision[0] && i < route->subdivisions_count;
         i++) {
        const char *code = route->subdivisions[i];
        if (strncmp(code, loc->country, 2) == 0 && code[2] == '-' &&
            strcmp(code + 3, loc->subdivision) == 0)
            return true;
    }
    return false;
}

static bool has_asn(const struct gtm_route *route, uint32_t asn)
{
    for (size_t i = 0; asn != 0 && i < route->asns_count; i++)
        if (route->asns[i] == asn)
            return true;
    return false;
}

static bool matches(const struct gtm_route *route, size_t index, const struct policy_place *place)
{
    const struct gtm_location *loc = place->loc;
    return (route->networks_count == 0 || has_label(place, index)) &&
           (route->countries_count == 0 ||
            has_code(route->countries, route->countries_count, loc->country)) &&
           (route->continents_count == 0 ||
            has_code(route->continents, route->continents_count, loc->continent)) &&
           (route->subdivisions_count == 0 || has_subdivision(route, loc)) &&
           (route->asns_count == 0 || has_asn(route, loc->asn));
}

int policy_route(const struct gtm_intent *intent, unsigned part, const struct policy_place *place)
{
    const struct gtm_policy *policy = &intent->policies[part];
    for (size_t i = 0; i < policy->routes_count; i++)
        if (matches(&policy->routes[i], i, place))
            return (int)i;
    return -1;
}

unsigned policy__route_targets(const struct gtm_policy *policy, unsigned out[POLICY_TARGETS_MAX],
                               bool *ret_more)
{
    unsigned count = 0;
    *ret_more = false;
    for (size_t i = 0; policy->steer == GTM_STEER_GEO && i < policy->routes_count; i++) {
        unsigned k = 0;
        if (!policy->routes[i].has_policy)
            continue;
        while (k < count && out[k] != policy->routes[i].policy)
            k++;
        if (k < count)
            continue;
        if (count == POLICY_TARGETS_MAX) {
            *ret_more = true;
            break;
        }
        out[count++] = policy->routes[i].policy;
    }
    return count;
}

int policy_route_target(const struct gtm_intent *intent, unsigned part, unsigned n)
{
    unsigned targets[POLICY_TARGETS_MAX];
    bool more;
    return n < policy__route_targets(&intent->policies[part], targets, &more) ? (int)targets[n]
                                                                              : -1;
}

void policy__rank_geo(const struct gtm_intent *intent, unsigned part,
                      const struct policy_place *place, struct policy_regions *ret)
{
    const struct gtm_policy *policy = &intent->policies[part];
    struct policy_regionset here;
    int at = policy_route(intent, part, place);
    policy__pool_regions(&intent->pools[policy->pool], &here);
    if (at >= 0 && policy->routes[at].has_policy) {
        unsigned targets[POLICY_TARGETS_MAX], n = 0;
        bool more;
        unsigned count = policy__route_targets(policy, targets, &more);
        while (n < count && targets[n] != policy->routes[at].policy)
            n++;
        ret->region[ret->count++] = (uint16_t)(POLICY_TARGET_BIT | n);
    }
    for (size_t r = 0; at >= 0 && r < policy->routes[at].regions_count; r++)
        policy__append(ret, &here, policy->routes[at].regions[r]);
    policy__append_default(intent, policy, &here, ret);
}
