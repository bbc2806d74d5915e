/* SPDX-License-Identifier: Apache-2.0
 *
 * The sentences of an explanation that are more than a format: why endpoints are skipped, and where
 * a client's order of regions comes from. Pure; see policy.h.
 */
#include "policies/latency.h"
#include "policies/policy_int.h"

#include <stdarg.h>
#include <stdio.h>

void policy__say(const struct policy_env *env, const char *fmt, ...)
{
    if (!env->say)
        return;
    char text[POLICY_SENTENCE_BYTES];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    env->say(env->say_ctx, text);
}

const char *policy__family_text(enum gtm_family family)
{
    return family == GTM_FAMILY_V4   ? "IPv4 address"
           : family == GTM_FAMILY_V6 ? "IPv6 address"
                                     : "address and no host";
}

static const char *skip_reason(const struct policy_env *env, unsigned pool, unsigned e,
                               enum policy__level level)
{
    const struct gtm_endpoint *ep = &env->intent->pools[pool].endpoints[e];
    if (!gtm_endpoint_has(ep, env->family))
        return env->family == GTM_FAMILY_V4   ? "no IPv4 address"
               : env->family == GTM_FAMILY_V6 ? "no IPv6 address"
                                              : "no address and no host";
    if (policy__endpoint_at(env, pool, e, level))
        return ep->weight == 0 ? "weight 0" : NULL;
    struct gtm_endpoint_state s = gtm_states_effective(env->states, pool, e, env->family);
    if (level == POLICY_LEVEL_SERVING && gtm_endpoint_serves(s))
        return "held back: not to be trusted yet after a recovery, or drained";
    if (level == POLICY_LEVEL_LAST_GOOD && s.admin != GTM_ADMIN_DOWN && s.admin != GTM_ADMIN_DRAIN)
        return "was not among the last that served";
    return gtm_endpoint_state_reason(s);
}

void policy__say_skipped(const struct policy_env *env, unsigned pool, enum policy__level level)
{
    if (!env->say)
        return;
    const struct gtm_pool *p = &env->intent->pools[pool];
    struct policy_usable u;
    policy__pool_usable(env, pool, level, &u);
    for (unsigned e = 0, next = 0; e < p->endpoints_count; e++) {
        if (next < u.count && u.endpoints[next] == e) {
            next++;
            continue;
        }
        const char *reason = skip_reason(env, pool, e, level);
        policy__say(env, "endpoint %s in %s skipped: %s", p->endpoints[e].name,
                    env->intent->regions[p->endpoints[e].region].name,
                    reason ? reason : "unusable");
    }
}

/* Appends to a sentence that may be full. */
static void GTM_PRINTF(3, 4) append(char *text, size_t *len, const char *fmt, ...)
{
    va_list args;
    if (*len >= POLICY_SENTENCE_BYTES)
        return;
    va_start(args, fmt);
    int more = vsnprintf(text + *len, POLICY_SENTENCE_BYTES - *len, fmt, args);
    va_end(args);
    *len += more > 0 ? (size_t)more : 0;
}

static void say_nearest(const struct policy_env *env, const struct gtm_policy *p,
                        const struct gtm_location *loc, const struct policy_regions *list)
{
    char text[POLICY_SENTENCE_BYTES];
    size_t len = 0;
    if (!loc->has_point) {
        policy__say(env, "policy %s: the client's place is unknown, so the default order holds",
                    p->name);
        return;
    }
    append(text, &len, "policy %s: distances from %.1f, %.1f (%s)", p->name, (double)loc->lat,
           (double)loc->lon, loc->country[0] ? loc->country : "no country");
    for (unsigned i = 0; i < list->count; i++) {
        const struct gtm_region *r = &env->intent->regions[list->region[i]];
        if (r->has_location)
            append(text, &len, "%s %s %.0f km", i ? "," : ":", r->name,
                   gtm_distance_km(loc->lat, loc->lon, r->lat, r->lon));
    }
    policy__say(env, "%s", text);
}

static void say_geo(const struct policy_env *env, unsigned part, const struct policy_place *place)
{
    const struct gtm_policy *p = &env->intent->policies[part];
    const struct gtm_location *loc = place->loc;
    char text[POLICY_SENTENCE_BYTES];
    size_t len = 0;
    int at = policy_route(env->intent, part, place);
    if (at < 0) {
        policy__say(env, "policy %s: no route matches, so the default order holds", p->name);
        return;
    }
    const struct gtm_route *r = &p->routes[at];
    append(text, &len, "policy %s: route %d matches by", p->name, at + 1);
    if (r->networks_count)
        append(text, &len, " network");
    if (r->countries_count)
        append(text, &len, " country %s", loc->country);
    if (r->continents_count)
        append(text, &len, " continent %s", loc->continent);
    if (r->subdivisions_count)
        append(text, &len, " subdivision %s-%s", loc->country, loc->subdivision);
    if (r->asns_count)
        append(text, &len, " AS%u", loc->asn);
    policy__say(env, "%s", text);
}

/* The times themselves are a matter of the network, not of the class: policy_say_times. */
static void say_latency(const struct policy_env *env, unsigned part,
                        const struct policy_place *place, const struct policy_regions *list)
{
    const struct gtm_policy *p = &env->intent->policies[part];
    if (!place->latency || place->routes_count == 0)
        policy__say(env, "policy %s: no measured times for the client's network, so as nearest",
                    p->name);
    else
        policy__say(env,
                    "policy %s: regions by the times measured for the client's network, then by "
                    "distance",
                    p->name);
    say_nearest(env, p, place->loc, list);
}

void policy_say_times(const struct policy_env *env, unsigned part,
                      const struct policy_latency *table, uint8_t family, const uint8_t addr[16],
                      unsigned prefix_len)
{
    char text[POLICY_SENTENCE_BYTES];
    size_t len = 0;
    struct gtm_network net;
    uint32_t label;
    unsigned region;
    double ms;
    int64_t at = table ? policy_latency_find(table, family, addr, prefix_len) : -1;
    if (!env->say || at < 0)
        return;
    policy_latency_network(table, (size_t)at, &net, &label);
    append(text, &len,
           "policy %s: measured for a network of %u bits:", env->intent->policies[part].name,
           net.prefix_len);
    for (unsigned k = 0; policy_latency_time(table, (size_t)at, k, &region, &ms); k++)
        append(text, &len, "%s %s %.4g ms", k ? "," : "", env->intent->regions[region].name, ms);
    policy__say(env, "%s", text);
}

void policy_say_rank(const struct policy_env *env, unsigned part, const struct policy_place *place)
{
    struct policy_regions list;
    if (!env->say)
        return;
    policy_rank(env->intent, part, place, &list);
    if (env->intent->policies[part].steer == GTM_STEER_LATENCY)
        say_latency(env, part, place, &list);
    else if (env->intent->policies[part].steer == GTM_STEER_NEAREST)
        say_nearest(env, &env->intent->policies[part], place->loc, &list);
    else
        say_geo(env, part, place);
}
