/* SPDX-License-Identifier: Apache-2.0
 *
 * The intent as JSON in the file's own shape with all defaults filled in, and the schema and
 * reference of both files. See intent.h, config_doc.h.
 */
#include "gtm/model/config_doc.h"
#include "gtm/model/intent_later.h"
#include "gtm/model/intent_tables.h"
#include "gtm/model/schema_forms.h"

#include <arpa/inet.h>
#include <string.h>

struct gtm_json *gtm_intent_schema(void)
{
    return gtm_schema_export(&gtm_intent_table, "gtm intent (cluster.yaml)");
}

struct gtm_json *gtm_node_schema(void)
{
    return gtm_schema_export(&gtm_node_table, "gtm node file (node.yaml)");
}

void gtm_intent_doc(bool roff, struct gtm_buf *out)
{
    gtm_schema_doc(&gtm_intent_table, roff ? GTM_DOC_ROFF : GTM_DOC_TEXT, out);
}

void gtm_node_doc(bool roff, struct gtm_buf *out)
{
    gtm_schema_doc(&gtm_node_table, roff ? GTM_DOC_ROFF : GTM_DOC_TEXT, out);
}

/* --- small parts --- */

static void add_duration(struct gtm_json *out, const char *key, uint64_t ms)
{
    char text[32];
    gtm_json_add_str(out, key, gtm_duration_format(ms, text));
}

static void add_regions(struct gtm_json *out, const char *key, const struct gtm_intent *intent,
                        const unsigned *regions, size_t count)
{
    struct gtm_json *list = gtm_json_add_array(out, key);
    for (size_t i = 0; i < count; i++)
        gtm_json_append_str(list, intent->regions[regions[i]].name);
}

/* --- pools --- */

static void add_endpoint(struct gtm_json *list, const struct gtm_intent *intent,
                         const struct gtm_endpoint *e)
{
    struct gtm_json *out = gtm_json_append_object(list);
    char text[INET6_ADDRSTRLEN];
    gtm_json_add_str(out, "name", e->name);
    gtm_json_add_str(out, "region", intent->regions[e->region].name);
    struct gtm_json *addresses =
        e->has_v4 || e->has_v6 ? gtm_json_add_array(out, "addresses") : NULL;
    if (e->has_v4)
        gtm_json_append_str(addresses, inet_ntop(AF_INET, &e->v4, text, sizeof(text)));
    if (e->has_v6)
        gtm_json_append_str(addresses, inet_ntop(AF_INET6, &e->v6, text, sizeof(text)));
    if (e->host)
        gtm_json_add_str(out, "host", e->host);
    gtm_json_add_i64(out, "weight", e->weight);
    if (e->capacity_requests_per_s >= 0)
        gtm_json_add_num(gtm_json_add_object(out, "capacity"), "requests_per_s",
                         e->capacity_requests_per_s);
}

static void add_recovery(struct gtm_json *out, const struct gtm_pool *pool)
{
    struct gtm_json *failback = gtm_json_add_object(out, "failback");
    gtm_json_add_str(failback, "mode",
                     pool->failback_mode == GTM_FAILBACK_AUTO ? "auto" : "manual");
    add_duration(failback, "hold", pool->failback_hold_ms);
    add_duration(failback, "ramp", pool->failback_ramp_ms);
    struct gtm_json *flap = gtm_json_add_object(out, "flap");
    add_duration(flap, "half_life", pool->flap_half_life_ms);
    gtm_json_add_num(flap, "suppress", pool->flap_suppress);
    add_duration(flap, "hold", pool->flap_hold_ms);
}

static void add_pool(struct gtm_json *list, const struct gtm_intent *intent,
                     const struct gtm_pool *pool)
{
    struct gtm_json *out = gtm_json_append_object(list);
    gtm_json_add_str(out, "name", pool->name);
    struct gtm_json *monitors = gtm_json_add_array(out, "monitors");
    for (size_t i = 0; i < pool->monitors_count; i++)
        gtm_json_append_str(monitors, intent->monitors[pool->monitors[i]].name);
    if (pool->monitors_needed > 0)
        gtm_json_add_i64(out, "require", pool->monitors_needed);
    else
        gtm_json_add_str(out, "require", "all");
    gtm_json_add_num(out, "degraded_weight", pool->degraded_weight);
    add_recovery(out, pool);
    if (pool->spill_high >= 0) {
        struct gtm_json *spillover = gtm_json_add_object(out, "spillover");
        gtm_json_add_num(spillover, "low", pool->spill_low);
        gtm_json_add_num(spillover, "high", pool->spill_high);
    }
    gtm_json_add_num(out, "panic", pool->panic);
    struct gtm_json *endpoints = gtm_json_add_array(out, "endpoints");
    for (size_t i = 0; i < pool->endpoints_count; i++)
        add_endpoint(endpoints, intent, &pool->endpoints[i]);
}

/* --- policies --- */

static void add_strings(struct gtm_json *out, const char *key, const char *strings, size_t stride,
                        size_t count)
{
    struct gtm_json *list = count > 0 ? gtm_json_add_array(out, key) : NULL;
    for (size_t i = 0; i < count; i++)
        gtm_json_append_str(list, strings + i * stride);
}

static void add_route(struct gtm_json *list, const struct gtm_intent *intent,
                      const struct gtm_route *r)
{
    struct gtm_json *out = gtm_json_append_object(list);
    struct gtm_json *match = gtm_json_add_object(out, "match");
    struct gtm_json *networks =
        r->networks_count > 0 ? gtm_json_add_array(match, "networks") : NULL;
    char text[64];
    for (size_t i = 0; i < r->networks_count; i++)
        gtm_json_append_str(networks, gtm_network_format(&r->networks[i], text));
    add_strings(match, "country", (const char *)r->countries, 3, r->countries_count);
    add_strings(match, "continent", (const char *)r->continents, 3, r->continents_count);
    add_strings(match, "subdivision", (const char *)r->subdivisions, 8, r->subdivisions_count);
    struct gtm_json *asns = r->asns_count > 0 ? gtm_json_add_array(match, "asn") : NULL;
    for (size_t i = 0; i < r->asns_count; i++)
        gtm_json_append_i64(asns, r->asns[i]);
    if (r->has_policy)
        gtm_json_add_str(out, "policy", intent->policies[r->policy].name);
    else
        add_regions(out, "regions", intent, r->regions, r->regions_count);
}

static void add_target(struct gtm_json *out, const struct gtm_intent *intent,
                       const struct gtm_target *target)
{
    char text[2 * GTM_NAME_MAX + 2];
    switch (target->kind) {
    case GTM_TARGET_POLICY:
        gtm_json_add_str(out, "policy", intent->policies[target->index].name);
        break;
    case GTM_TARGET_POOL:
        gtm_json_add_str(out, "pool", intent->pools[target->index].name);
        break;
    case GTM_TARGET_ENDPOINT:
        snprintf(text, sizeof(text), "%s/%s", intent->pools[target->index].name,
                 intent->pools[target->index].endpoints[target->endpoint].name);
        gtm_json_add_str(out, "endpoint", text);
        break;
    }
}

static void add_steering(struct gtm_json *out, const struct gtm_intent *intent,
                         const struct gtm_policy *policy)
{
    if (policy->latency_file)
        gtm_json_add_str(gtm_json_add_object(out, "latency"), "table", policy->latency_file);
    struct gtm_json *routes = policy->routes_count > 0 ? gtm_json_add_array(out, "routes") : NULL;
    for (size_t i = 0; i < policy->routes_count; i++)
        add_route(routes, intent, &policy->routes[i]);
    bool failover = policy->steer == GTM_STEER_FAILOVER;
    if (policy->order_count > 0 && policy->steer != GTM_STEER_WEIGHTED)
        add_regions(out, failover ? "order" : "default", intent, policy->order,
                    policy->order_count);
    struct gtm_json *to = policy->to_count > 0 ? gtm_json_add_array(out, "to") : NULL;
    for (size_t i = 0; i < policy->to_count; i++) {
        struct gtm_json *target = gtm_json_append_object(to);
        add_target(target, intent, &policy->to[i]);
        gtm_json_add_i64(target, "weight", policy->to[i].weight);
    }
}

static void add_policy(struct gtm_json *list, const struct gtm_intent *intent,
                       const struct gtm_policy *policy)
{
    struct gtm_json *out = gtm_json_append_object(list);
    gtm_json_add_str(out, "name", policy->name);
    if (policy->has_pool)
        gtm_json_add_str(out, "pool", intent->pools[policy->pool].name);
    gtm_json_add_str(out, "steer", gtm_steer_words[policy->steer]);
    gtm_json_add_str(out, "all_down", gtm_all_down_words[policy->all_down]);
    if (policy->has_backup)
        add_target(gtm_json_add_object(out, "backup"), intent, &policy->backup);
    gtm_json_add_i64(out, "answers", policy->answers);
    add_duration(out, "ttl", policy->ttl_s * 1000ull);
    add_steering(out, intent, policy);
}

/* --- zones --- */

static void add_service(struct gtm_json *out, const struct gtm_dynamic_name *name)
{
    bool service = false;
    for (size_t i = 0; i < name->types_count; i++)
        service |= name->types[i] == GTM_TYPE_SRV || name->types[i] == GTM_TYPE_HTTPS ||
                   name->types[i] == GTM_TYPE_SVCB;
    if (!service)
        return;
    if (name->service_port > 0)
        gtm_json_add_i64(out, "port", name->service_port);
    gtm_json_add_i64(out, "priority", name->service_priority);
    struct gtm_json *alpn = name->alpn_count > 0 ? gtm_json_add_array(out, "alpn") : NULL;
    for (size_t i = 0; i < name->alpn_count; i++)
        gtm_json_append_str(alpn, name->alpn[i]);
}

static void add_name(struct gtm_json *list, const struct gtm_intent *intent,
                     const struct gtm_dynamic_name *name)
{
    struct gtm_json *out = gtm_json_append_object(list);
    char type[16];
    gtm_json_add_str(out, "name", name->name);
    struct gtm_json *types = gtm_json_add_array(out, "types");
    for (size_t i = 0; i < name->types_count; i++)
        gtm_json_append_str(types, gtm_type_format(name->types[i], type));
    add_service(out, name);
    if (name->alias)
        gtm_json_add_str(out, "alias", name->alias);
    if (name->has_policy)
        gtm_json_add_str(out, "policy", intent->policies[name->policy].name);
    if (name->has_group) {
        const struct gtm_json *group = gtm_json_first(gtm_intent_section(intent, "groups"));
        for (unsigned i = 0; group && i < name->group; i++)
            group = gtm_json_next(group);
        gtm_json_add_str(out, "group", gtm_json_str(group, "name", NULL));
        gtm_json_add_str(out, "role", name->reader ? "reader" : "writer");
        if (name->reader && name->max_lag_ms > 0)
            add_duration(out, "max_lag", name->max_lag_ms);
    }
    if (name->has_ttl)
        add_duration(out, "ttl", name->ttl_s * 1000ull);
}

static void add_peers(struct gtm_json *out, const char *key, const struct gtm_intent *intent,
                      const struct gtm_zone_peer *peers, size_t count)
{
    struct gtm_json *list = count > 0 ? gtm_json_add_array(out, key) : NULL;
    char text[64];
    for (size_t i = 0; i < count; i++) {
        struct gtm_json *peer = gtm_json_append_object(list);
        gtm_json_add_str(peer, "address", gtm_network_format(&peers[i].address, text));
        gtm_json_add_i64(peer, "port", peers[i].port);
        if (peers[i].has_key)
            gtm_json_add_str(peer, "key", intent->keys[peers[i].key].name);
    }
}

static void add_transfer(struct gtm_json *out, const struct gtm_intent *intent,
                         const struct gtm_zone_conf *zone)
{
    struct gtm_json *list = zone->transfer_count > 0 ? gtm_json_add_array(out, "transfer") : NULL;
    char text[64];
    for (size_t i = 0; i < zone->transfer_count; i++) {
        const struct gtm_transfer_rule *rule = &zone->transfer[i];
        struct gtm_json *one = gtm_json_append_object(list);
        struct gtm_json *networks =
            rule->networks_count > 0 ? gtm_json_add_array(one, "networks") : NULL;
        for (size_t n = 0; n < rule->networks_count; n++)
            gtm_json_append_str(networks, gtm_network_format(&rule->networks[n], text));
        if (rule->has_key)
            gtm_json_add_str(one, "key", intent->keys[rule->key].name);
    }
}

static void add_zone(struct gtm_json *list, const struct gtm_intent *intent,
                     const struct gtm_zone_conf *zone)
{
    struct gtm_json *out = gtm_json_append_object(list);
    gtm_json_add_str(out, "name", zone->name);
    if (zone->file)
        gtm_json_add_str(out, "file", zone->file);
    add_peers(out, "primaries", intent, zone->primaries, zone->primaries_count);
    add_peers(out, "secondaries", intent, zone->secondaries, zone->secondaries_count);
    add_transfer(out, intent, zone);
    struct gtm_json *names = gtm_json_add_array(out, "names");
    for (size_t i = 0; i < zone->names_count; i++)
        add_name(names, intent, &zone->names[i]);
}

/* --- the whole --- */

static struct gtm_json *object_of(struct gtm_json *out, const char *key)
{
    struct gtm_json *object = gtm_json_get(out, key);
    return object ? object : gtm_json_add_object(out, key);
}

/* The question and what its answer must be. */
static void complete_dns(struct gtm_json *out, const struct gtm_monitor *m)
{
    struct gtm_json *ask = object_of(out, "ask"), *expect = object_of(out, "expect");
    char type[16];
    if (!gtm_json_get(ask, "name"))
        gtm_json_add_str(ask, "name", m->query_name ? m->query_name : ".");
    if (!gtm_json_get(ask, "type"))
        gtm_json_add_str(ask, "type", gtm_type_format(m->query_type, type));
    if (!gtm_json_get(ask, "transport"))
        gtm_json_add_str(ask, "transport", m->query_tcp ? "tcp" : "udp");
    if (!gtm_json_get(expect, "rcode"))
        gtm_json_add_str(expect, "rcode", gtm_rcode_words[m->expect_rcode]);
}

static void complete_loads(struct gtm_json *out, const struct gtm_monitor *m)
{
    struct gtm_json *load = object_of(out, "load");
    for (int i = 0; i < GTM_LOAD_COUNT; i++) {
        if (m->load_pointer[i] && !gtm_json_get(load, gtm_load_words[i]))
            gtm_json_add_str(load, gtm_load_words[i], m->load_pointer[i]);
    }
}

static void complete_monitor(struct gtm_json *out, const struct gtm_monitor *m)
{
    bool web = m->kind == GTM_MONITOR_HTTP || m->kind == GTM_MONITOR_HTTPS;
    if (!gtm_json_get(out, "port") && m->port > 0)
        gtm_json_add_i64(out, "port", m->port);
    if (!gtm_json_get(out, "interval"))
        add_duration(out, "interval", m->interval_ms);
    if (!gtm_json_get(out, "timeout") && m->kind != GTM_MONITOR_PUSH)
        add_duration(out, "timeout", m->timeout_ms);
    if (!gtm_json_get(out, "path") && m->path)
        gtm_json_add_str(out, "path", m->path);
    if (!gtm_json_get(out, "method") && m->method)
        gtm_json_add_str(out, "method", m->method);
    if (!gtm_json_get(out, "http_version") && web)
        gtm_json_add_str(out, "http_version", gtm_http_version_words[m->http_version]);
    if (m->kind == GTM_MONITOR_DNS)
        complete_dns(out, m);
    if (m->kind == GTM_MONITOR_PUSH)
        complete_loads(out, m);
}

/* Monitors are kept as written; what depends on other keys is filled in here. */
static void complete_monitors(struct gtm_json *monitors, const struct gtm_intent *intent)
{
    struct gtm_json *out = gtm_json_first(monitors);
    for (size_t i = 0; out && i < intent->monitors_count; i++, out = gtm_json_next(out))
        complete_monitor(out, &intent->monitors[i]);
}

/* Those that hold because the file has none. */
static void add_default_rules(struct gtm_json *root, const struct gtm_intent *intent)
{
    size_t count = 0;
    const struct gtm_rule *rules = gtm_intent_rules(intent, &count);
    struct gtm_json *list = gtm_json_add_array(root, "rules");
    for (size_t i = 0; i < count; i++) {
        struct gtm_json *out = gtm_json_append_object(list);
        gtm_json_add_str(out, "name", rules[i].name);
        gtm_json_add_str(out, "kind", gtm_rule_kind_words[rules[i].kind]);
        if (rules[i].kind == GTM_RULE_ANSWERS_LEFT || rules[i].kind == GTM_RULE_CAPACITY_LEFT)
            gtm_json_add_num(out, "min", rules[i].min);
        if (rules[i].kind == GTM_RULE_REGIONS_OUT)
            gtm_json_add_num(out, "max", rules[i].max);
        gtm_json_add_str(out, "when", rules[i].when == GTM_RULE_PLANNED ? "planned" : "always");
        if (rules[i].kind == GTM_RULE_GATE) {
            gtm_json_add_str(out, "switch", rules[i].switch_name);
            gtm_json_add_str(out, "allow", gtm_switch_words[rules[i].allow]);
        }
        if (rules[i].kind == GTM_RULE_COOLDOWN)
            add_duration(out, "time", rules[i].time_ms);
    }
}

static void add_kept(struct gtm_json *root, const struct gtm_intent *intent)
{
    const struct gtm_json *section = gtm_json_first(intent->later->kept);
    for (; section; section = gtm_json_next(section))
        gtm_json_add(root, gtm_json_key(section), gtm_json_copy(section));
    complete_monitors(gtm_json_get(root, "monitors"), intent);
    struct gtm_json *health = gtm_json_get(root, "health");
    if (!gtm_json_get(health, "vantages"))
        add_regions(health, "vantages", intent, intent->vantages, intent->vantages_count);
}

struct gtm_json *gtm_intent_to_json(const struct gtm_intent *intent)
{
    struct gtm_json *root = gtm_json_object();
    if (!root)
        return NULL;
    add_kept(root, intent);
    if (!gtm_json_get(root, "rules"))
        add_default_rules(root, intent);
    struct gtm_json *pools = gtm_json_add_array(root, "pools");
    for (size_t i = 0; i < intent->pools_count; i++)
        add_pool(pools, intent, &intent->pools[i]);
    struct gtm_json *policies = gtm_json_add_array(root, "policies");
    for (size_t i = 0; i < intent->policies_count; i++)
        add_policy(policies, intent, &intent->policies[i]);
    struct gtm_json *zones = gtm_json_add_array(root, "zones");
    for (size_t i = 0; i < intent->zones_count; i++)
        add_zone(zones, intent, &intent->zones[i]);
    return root;
}
