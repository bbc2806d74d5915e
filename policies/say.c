/* SPDX-License-Identifier: Apache-2.0
 *
 * The sentences of an explanation that are more than a format: why endpoints are skipped, and where
 * a client's order of regions comes from. Pure; see policy.h.
 */
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

static const char *skip_reason(const struct policy_env *env, unsigned pool, unsigned e,
                               enum policy__level level)
{
    const struct gtm_endpoint *ep = &env->intent->pools[pool].endpoints[e];
    if (!gtm_endpoint_has(ep, env->family))
        return env->family == GTM_FAMILY_V4 ? "no IPv4 address" : "no IPv6 address";
    if (policy__endpoint_at(env, pool, e, level))
        return ep->weight == 0 ? "weight 0" : NULL;
    struct gtm_endpoint_state s = gtm_states_effective(env->states, pool, e, env->family);
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

void policy_say_rank(const struct policy_env *env, unsigned part, const struct policy_place *place)
{
    struct policy_regions list;
    if (!env->say)
        return;
    policy_rank(env->intent, part, place, &list);
    if (env->intent->policies[part].steer == GTM_STEER_NEAREST)
        say_nearest(env, &env->intent->policies[part], place->loc, &list);
    else
        say_geo(env, part, place);
}
