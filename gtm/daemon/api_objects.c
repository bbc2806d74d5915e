/* SPDX-License-Identifier: Apache-2.0
 *
 * See api_objects.h.
 */
#include "gtm/daemon/api_objects.h"

#include "gtm/daemon/api.h"
#include "gtm/daemon/state.h"

#include <arpa/inet.h>

const char *gtm_family_word(enum gtm_family family)
{
    return family == GTM_FAMILY_V4 ? "ipv4" : "ipv6";
}

const char *gtm_endpoint_address(const struct gtm_endpoint *endpoint, enum gtm_family family,
                                 char *out, size_t out_bytes)
{
    const void *addr = family == GTM_FAMILY_V4 ? (const void *)&endpoint->v4 : &endpoint->v6;
    const char *text =
        inet_ntop(family == GTM_FAMILY_V4 ? AF_INET : AF_INET6, addr, out, (socklen_t)out_bytes);
    return text ? text : "";
}

static void add_shift(struct gtm_json *one, const struct gtm_override *override)
{
    const struct policy_shift *s = &override->shift;
    int64_t due = policy_shift_due_ms(s);
    gtm_json_add_num(one, "moved", policy_shift_now(s) / 1000.0);
    struct gtm_json *steps = gtm_json_add_array(one, "steps");
    for (unsigned i = 0; i < s->count; i++)
        gtm_json_append_i64(steps, s->steps[i]);
    gtm_json_add_i64(one, "done", s->done);
    gtm_json_add_num(one, "pause_s", (double)s->pause_ms / 1000);
    gtm_json_add_bool(one, "held", s->held);
    gtm_json_add_str(one, "held_why", override->shift_why[0] ? override->shift_why : NULL);
    gtm_api_add_time(one, "next", due);
}

struct gtm_json *gtm_api_admin(const struct gtm_override *override)
{
    struct gtm_json *one = gtm_json_object();
    char word[GTM_OVERRIDE_WORD_BYTES] = "auto";
    gtm_json_add_str(one, "state", override ? gtm_override_word(override, word) : word);
    gtm_json_add_str(one, "owner", override ? override->owner : NULL);
    gtm_json_add_str(one, "reason", override && override->reason[0] ? override->reason : NULL);
    gtm_api_add_time(one, "since", override ? override->since_ms : 0);
    gtm_api_add_time(one, "until", override ? override->until_ms : 0);
    if (override && override->over_ms)
        gtm_json_add_i64(one, "over_s", (int64_t)(override->over_ms / 1000));
    else
        gtm_json_add_null(one, "over_s");
    if (override && override->rules[0])
        gtm_json_add_str(one, "overridden_rules", override->rules);
    if (override && override->kind == GTM_ORDER_SHIFT)
        add_shift(one, override);
    return one;
}

static void add_admin(struct gtm_json *one, const struct gtm_facts *facts, const char *pool,
                      const char *endpoint)
{
    char key[GTM_OVERRIDE_KEY_BYTES];
    const struct gtm_override *override = NULL;
    if (gtm_override_key(pool, endpoint, key))
        override = gtm_overrides_get(&facts->overrides, key);
    gtm_json_add(one, "admin", gtm_api_admin(override));
}

static void add_address(struct gtm_json *list, const struct gtm_facts *facts, size_t p, size_t e,
                        enum gtm_family family)
{
    const struct gtm_endpoint *endpoint = &facts->intent->pools[p].endpoints[e];
    if (!gtm_endpoint_has(endpoint, family))
        return;
    char text[INET6_ADDRSTRLEN];
    struct gtm_endpoint_state state = gtm_states_effective(facts->states, p, e, family);
    struct gtm_json *one = gtm_json_append_object(list);
    gtm_json_add_str(one, "family", gtm_family_word(family));
    gtm_json_add_str(one, "address", gtm_endpoint_address(endpoint, family, text, sizeof(text)));
    gtm_json_add_str(one, "health", gtm_health_word(state.health));
    gtm_json_add_bool(one, "serves", gtm_states_serves(facts->states, p, e, family));
    size_t at = (facts->base[p] + e) * 2 + family;
    char why[GTM_SHARE_TEXT_BYTES];
    gtm_json_add_str(one, "reason",
                     facts->panic_held[at] ? "panic: its failures are not believed"
                                           : gtm_endpoint_state_reason(state));
    gtm_json_add_num(one, "share",
                     gtm_states_share(facts->states, p, e, family) / (double)GTM_SHARE_FULL);
    gtm_facts_share_text(facts, p, e, family, gtm_clock_system(), why);
    gtm_json_add_str(one, "share_reason", why[0] ? why : NULL);
    gtm_api_add_time(one, "since", facts->since_ms[at]);
}

/* What it said of its load, each figure with its age, and how full that is. */
static void add_loads(struct gtm_json *one, const struct gtm_facts *facts, size_t p, size_t e)
{
    const struct gtm_endpoint_load *load = &facts->loads[facts->base[p] + e];
    uint64_t now = gtm_mono_ms(gtm_clock_system());
    struct gtm_json *loads = gtm_json_add_object(one, "loads");
    for (int i = 0; i < GTM_LOAD_COUNT; i++) {
        if (!load->mono_ms[i])
            continue;
        struct gtm_json *figure = gtm_json_add_object(loads, gtm_load_words[i]);
        gtm_json_add_num(figure, "value", load->value[i]);
        gtm_json_add_num(figure, "age_seconds",
                         now > load->mono_ms[i] ? (double)(now - load->mono_ms[i]) / 1000 : 0);
    }
    double used = gtm_facts_utilisation(facts, p, e, now, gtm_state_stale_ms(facts->intent, p));
    if (used >= 0)
        gtm_json_add_num(one, "utilisation", used);
    else
        gtm_json_add_null(one, "utilisation");
}

struct gtm_json *gtm_api_endpoint(const struct gtm_facts *facts, size_t p, size_t e)
{
    const struct gtm_pool *pool = &facts->intent->pools[p];
    const struct gtm_endpoint *endpoint = &pool->endpoints[e];
    struct gtm_json *one = gtm_json_object();
    gtm_json_add_str(one, "pool", pool->name);
    gtm_json_add_str(one, "name", endpoint->name);
    gtm_json_add_str(one, "region", facts->intent->regions[endpoint->region].name);
    gtm_json_add_i64(one, "weight", endpoint->weight);
    if (endpoint->capacity_requests_per_s >= 0)
        gtm_json_add_num(one, "capacity_requests_per_s", endpoint->capacity_requests_per_s);
    else
        gtm_json_add_null(one, "capacity_requests_per_s");
    gtm_json_add_str(one, "health", gtm_health_word(gtm_facts_endpoint_health(facts, p, e)));
    add_admin(one, facts, pool->name, endpoint->name);
    gtm_json_add_str(
        one, "effective_admin",
        gtm_admin_word(gtm_states_effective(facts->states, p, e, GTM_FAMILY_V4).admin));
    gtm_json_add_bool(one, "serves", gtm_facts_endpoint_serves(facts, p, e));
    add_loads(one, facts, p, e);
    struct gtm_json *addresses = gtm_json_add_array(one, "addresses");
    add_address(addresses, facts, p, e, GTM_FAMILY_V4);
    add_address(addresses, facts, p, e, GTM_FAMILY_V6);
    return one;
}

struct gtm_json *gtm_api_endpoints(const struct gtm_facts *facts, size_t pool)
{
    struct gtm_json *list = gtm_json_array();
    for (size_t e = 0; e < facts->intent->pools[pool].endpoints_count; e++)
        gtm_json_append(list, gtm_api_endpoint(facts, pool, e));
    return list;
}

static void add_sheds(struct gtm_json *one, const struct gtm_facts *facts, size_t p)
{
    struct gtm_json *list = gtm_json_add_array(one, "sheds");
    if (gtm_states_sheds(facts->states, p) == 0)
        return;
    for (size_t r = 0; r < facts->intent->regions_count; r++) {
        unsigned shed = gtm_states_shed(facts->states, p, r);
        if (shed == 0)
            continue;
        struct gtm_json *from = gtm_json_append_object(list);
        gtm_json_add_str(from, "region", facts->intent->regions[r].name);
        gtm_json_add_num(from, "share", shed / (double)GTM_SHARE_FULL);
    }
}

struct gtm_json *gtm_api_pool(const struct gtm_facts *facts, size_t p, bool with_endpoints)
{
    const struct gtm_pool *pool = &facts->intent->pools[p];
    struct gtm_json *one = gtm_json_object();
    gtm_json_add_str(one, "name", pool->name);
    gtm_json_add_str(one, "health", gtm_health_word(facts->pools[p].health));
    gtm_api_add_time(one, "since", facts->pools[p].since_ms);
    add_admin(one, facts, pool->name, NULL);
    struct gtm_json *monitors = gtm_json_add_array(one, "monitors");
    for (size_t m = 0; m < pool->monitors_count; m++)
        gtm_json_append_str(monitors, facts->intent->monitors[pool->monitors[m]].name);
    gtm_json_add_i64(one, "endpoints_total", (int64_t)pool->endpoints_count);
    gtm_json_add_i64(one, "endpoints_serving", (int64_t)gtm_facts_serving(facts, p));
    gtm_json_add_i64(one, "serving_ipv4",
                     (int64_t)gtm_facts_serving_family(facts, p, GTM_FAMILY_V4));
    gtm_json_add_i64(one, "serving_ipv6",
                     (int64_t)gtm_facts_serving_family(facts, p, GTM_FAMILY_V6));
    gtm_json_add_bool(one, "panic", facts->panic[p * 2] || facts->panic[p * 2 + 1]);
    add_sheds(one, facts, p);
    if (with_endpoints)
        gtm_json_add(one, "endpoints", gtm_api_endpoints(facts, p));
    return one;
}

/* What its own order and those for its endpoints come to. */
static const char *region_admin(const struct gtm_facts *facts, size_t r)
{
    const struct gtm_intent *intent = facts->intent;
    int admin = -1;
    for (size_t p = 0; p < intent->pools_count; p++) {
        for (size_t e = 0; e < intent->pools[p].endpoints_count; e++) {
            if (intent->pools[p].endpoints[e].region != r)
                continue;
            int one = (int)gtm_states_effective(facts->states, p, e, GTM_FAMILY_V4).admin;
            if (admin >= 0 && one != admin)
                return "mixed";
            admin = one;
        }
    }
    return gtm_admin_word(admin < 0 ? GTM_ADMIN_AUTO : (enum gtm_admin)admin);
}

struct gtm_json *gtm_api_region(const struct gtm_facts *facts, size_t r)
{
    const struct gtm_region *region = &facts->intent->regions[r];
    struct gtm_json *one = gtm_json_object();
    gtm_json_add_str(one, "name", region->name);
    if (region->has_location) {
        gtm_json_add_num(one, "latitude", region->lat);
        gtm_json_add_num(one, "longitude", region->lon);
    } else {
        gtm_json_add_null(one, "latitude");
        gtm_json_add_null(one, "longitude");
    }
    gtm_json_add_str(one, "failure_domain", region->failure_domain);
    gtm_json_add_str(one, "health", gtm_health_word(facts->regions[r].health));
    char key[GTM_OVERRIDE_KEY_BYTES];
    bool fits = gtm_override_key_of("region", region->name, key);
    gtm_json_add(one, "admin",
                 gtm_api_admin(fits ? gtm_overrides_get(&facts->overrides, key) : NULL));
    gtm_json_add_str(one, "effective_admin", region_admin(facts, r));
    gtm_json_add_num(one, "moved", facts->shifted[r] / (double)GTM_SHARE_FULL);
    size_t serving = 0, total = gtm_facts_region_endpoints(facts, r, &serving);
    gtm_json_add_i64(one, "endpoints_total", (int64_t)total);
    gtm_json_add_i64(one, "endpoints_serving", (int64_t)serving);
    return one;
}
