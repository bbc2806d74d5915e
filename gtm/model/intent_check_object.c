/* SPDX-License-Identifier: Apache-2.0
 *
 * Checks of one object of the intent that a table cannot express, made while it is parsed: which
 * keys fit together, and defaults that depend on other keys. See intent_tables.h.
 */
#include "gtm/base/mem.h"
#include "gtm/model/intent_tables.h"
#include "gtm/model/schema_forms.h"

#include <arpa/inet.h>
#include <string.h>

static bool keep_text(struct gtm_parse *p, char **field, const char *text)
{
    if (!*field)
        *field = gtm_strdup(text);
    p->nomem |= *field == NULL;
    return *field != NULL;
}

/* --- monitors --- */

#define KIND(name) (1u << GTM_MONITOR_##name)
#define WEB        (KIND(HTTP) | KIND(HTTPS))

/* Which kinds know which key. */
static const struct {
    const char *key;
    unsigned kinds;
} monitor_keys[] = {
    {"path", WEB},
    {"host", WEB | KIND(TLS) | KIND(DNS) | KIND(GRPC)},
    {"method", WEB},
    {"send", KIND(TCP) | KIND(TLS)},
    {"expect", WEB | KIND(TCP) | KIND(TLS)},
    {"program", KIND(EXEC)},
    {"args", KIND(EXEC)},
    {"url", KIND(PROMETHEUS)},
    {"query", KIND(PROMETHEUS)},
    {"above", KIND(PROMETHEUS)},
    {"below", KIND(PROMETHEUS)},
    {"port", ~(KIND(ICMP) | KIND(EXEC) | KIND(PUSH) | KIND(PROMETHEUS))},
};

static unsigned usual_port(enum gtm_monitor_kind kind)
{
    switch (kind) {
    case GTM_MONITOR_HTTP:
        return 80;
    case GTM_MONITOR_HTTPS:
        return 443;
    case GTM_MONITOR_DNS:
        return 53;
    case GTM_MONITOR_POSTGRESQL:
        return 5432;
    case GTM_MONITOR_REDIS:
        return 6379;
    default:
        return 0;
    }
}

static void check_monitor_keys(struct gtm_parse *p, const struct gtm_yaml_node *node,
                               const struct gtm_monitor *m)
{
    const char *kind = gtm_monitor_kind_words[m->kind];
    for (size_t i = 0; i < sizeof(monitor_keys) / sizeof(monitor_keys[0]); i++) {
        const struct gtm_yaml_node *member = gtm_yaml_get(node, monitor_keys[i].key);
        if (member && !(monitor_keys[i].kinds >> m->kind & 1))
            gtm_parse_key_error(p, member, "monitor '%s': the key '%s' does not fit the kind %s",
                                m->name, member->key, kind);
    }
    const struct gtm_yaml_node *status = gtm_yaml_get(gtm_yaml_get(node, "expect"), "status");
    if (status && !(WEB >> m->kind & 1))
        gtm_parse_key_error(p, status, "monitor '%s': the key 'status' does not fit the kind %s",
                            m->name, kind);
    bool needs_port = (KIND(TCP) | KIND(TLS) | KIND(GRPC)) >> m->kind & 1;
    if (needs_port && m->port == 0)
        gtm_parse_error_at(p, m->pos, "monitor '%s': the kind %s needs a 'port'", m->name, kind);
    if (m->kind == GTM_MONITOR_EXEC && !gtm_yaml_get(node, "program"))
        gtm_parse_error_at(p, m->pos, "monitor '%s': the kind exec needs a 'program'", m->name);
    if (m->kind == GTM_MONITOR_PROMETHEUS &&
        (!gtm_yaml_get(node, "url") || !gtm_yaml_get(node, "query") ||
         (!gtm_yaml_get(node, "above") && !gtm_yaml_get(node, "below"))))
        gtm_parse_error_at(p, m->pos,
                           "monitor '%s': the kind prometheus needs 'url', 'query' and 'above' or "
                           "'below'",
                           m->name);
}

static void check_method(struct gtm_parse *p, const struct gtm_yaml_node *node)
{
    static const char *const methods[] = {"GET", "HEAD", "OPTIONS", "POST"};
    const char *method = gtm_parse_text(node, "method", NULL);
    for (size_t i = 0; method && i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (strcmp(method, methods[i]) == 0)
            return;
    }
    if (method)
        gtm_parse_error(p, gtm_yaml_get(node, "method"),
                        "'method' is GET, HEAD, OPTIONS or POST, not '%s'", method);
}

void gtm_check_monitor(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj)
{
    struct gtm_monitor *m = obj;
    if (!m)
        return;
    check_monitor_keys(p, node, m);
    check_method(p, node);
    if (m->port == 0)
        m->port = (uint16_t)usual_port(m->kind);
    const struct gtm_yaml_node *timeout = gtm_yaml_get(node, "timeout");
    if (m->timeout_ms == 0)
        m->timeout_ms = m->interval_ms < 800 ? m->interval_ms : 800;
    uint64_t longest = (uint64_t)m->interval_ms * m->fall;
    char limit[32];
    if (timeout && m->timeout_ms > longest)
        gtm_parse_error(p, timeout,
                        "monitor '%s': the timeout %s is longer than interval × fall (%s)", m->name,
                        timeout->text, gtm_duration_format(longest, limit));
    if (WEB >> m->kind & 1 && keep_text(p, &m->path, "/"))
        keep_text(p, &m->method, "GET");
}

/* --- endpoints --- */

static const char *unusable(const struct gtm_network *a)
{
    if (a->family == 4) {
        if (a->addr[0] >= 224 && a->addr[0] < 240)
            return "is multicast";
        if (a->addr[0] == 0)
            return "is unspecified";
        return a->addr[0] >= 240 ? "is reserved or broadcast" : NULL;
    }
    struct in6_addr v6;
    memcpy(&v6, a->addr, sizeof(v6));
    if (IN6_IS_ADDR_MULTICAST(&v6))
        return "is multicast";
    if (IN6_IS_ADDR_UNSPECIFIED(&v6))
        return "is unspecified";
    if (IN6_IS_ADDR_LINKLOCAL(&v6))
        return "is link-local, which clients elsewhere cannot reach";
    return IN6_IS_ADDR_V4MAPPED(&v6) ? "is an IPv4 address in IPv6 clothes: write it as IPv4"
                                     : NULL;
}

static void take_address(struct gtm_parse *p, struct gtm_endpoint *e,
                         const struct gtm_yaml_node *node)
{
    struct gtm_network a;
    struct gtm_error err = {0};
    if (gtm_form_address.parse(node->text, &a, &err) != GTM_OK)
        return; /* reported before */
    const char *why = unusable(&a);
    bool second = a.family == 4 ? e->has_v4 : e->has_v6;
    if (why) {
        gtm_parse_error(p, node, "endpoint '%s': the address %s %s", e->name, node->text, why);
    } else if (second) {
        gtm_parse_error(p, node,
                        "endpoint '%s' has two IPv%u addresses: give each an endpoint of its own",
                        e->name, a.family);
    } else if (a.family == 4) {
        e->has_v4 = true;
        memcpy(&e->v4, a.addr, sizeof(e->v4));
    } else {
        e->has_v6 = true;
        memcpy(&e->v6, a.addr, sizeof(e->v6));
    }
}

void gtm_check_endpoint(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj)
{
    struct gtm_endpoint *e = obj;
    if (!e)
        return;
    const struct gtm_yaml_node *addresses = gtm_yaml_get(node, "addresses");
    if (addresses->kind == GTM_YAML_SCALAR)
        take_address(p, e, addresses);
    for (const struct gtm_yaml_node *n = addresses->first; n; n = n->next)
        take_address(p, e, n);
    if (!gtm_yaml_get(gtm_yaml_get(node, "capacity"), "requests_per_s"))
        e->capacity_requests_per_s = -1;
}

/* --- policies --- */

void gtm_check_route(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj)
{
    (void)obj;
    const struct gtm_yaml_node *match = gtm_yaml_get(node, "match");
    if (match->count == 0)
        gtm_parse_error(p, match, "an empty 'match' would take everybody: use 'default' for that");
}

void gtm_check_target(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj)
{
    (void)p;
    struct gtm_target *target = obj;
    if (!target)
        return;
    target->kind = gtm_yaml_get(node, "policy") ? GTM_TARGET_POLICY
                   : gtm_yaml_get(node, "pool") ? GTM_TARGET_POOL
                                                : GTM_TARGET_ENDPOINT;
}

#define STEER(name) (1u << GTM_STEER_##name)

/* Which ways of steering know which key. */
static const struct {
    const char *key;
    unsigned steers;
} policy_keys[] = {
    {"routes", STEER(GEO)},
    {"default", ~(STEER(FAILOVER) | STEER(WEIGHTED))},
    {"order", STEER(FAILOVER)},
    {"to", STEER(WEIGHTED)},
};

static void check_policy_keys(struct gtm_parse *p, const struct gtm_yaml_node *node,
                              const struct gtm_policy *policy)
{
    for (size_t i = 0; i < sizeof(policy_keys) / sizeof(policy_keys[0]); i++) {
        const struct gtm_yaml_node *member = gtm_yaml_get(node, policy_keys[i].key);
        if (member && !(policy_keys[i].steers >> policy->steer & 1))
            gtm_parse_key_error(p, member, "policy '%s': the key '%s' does not fit steer: %s",
                                policy->name, member->key, gtm_steer_words[policy->steer]);
    }
}

static void check_steer(struct gtm_parse *p, const struct gtm_policy *policy)
{
    if (policy->steer == GTM_STEER_WEIGHTED) {
        if (policy->has_pool == (policy->to_count > 0))
            gtm_parse_error_at(p, policy->pos,
                               "policy '%s': weighted needs either 'to' or a 'pool'", policy->name);
        return;
    }
    if (!policy->has_pool)
        gtm_parse_error_at(p, policy->pos, "policy '%s': %s needs a 'pool'", policy->name,
                           gtm_steer_words[policy->steer]);
    if (policy->steer == GTM_STEER_FAILOVER && policy->order_count == 0)
        gtm_parse_error_at(p, policy->pos, "policy '%s': failover needs the 'order' of regions",
                           policy->name);
    if (policy->steer == GTM_STEER_GEO && policy->routes_count == 0 && policy->order_count == 0)
        gtm_parse_error_at(p, policy->pos, "policy '%s': geo needs 'routes' or a 'default'",
                           policy->name);
}

void gtm_check_policy(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj)
{
    struct gtm_policy *policy = obj;
    if (!policy)
        return;
    check_policy_keys(p, node, policy);
    check_steer(p, policy);
    bool backup = policy->all_down == GTM_ALL_DOWN_BACKUP;
    if (backup && !policy->has_backup)
        gtm_parse_error_at(p, policy->pos,
                           "policy '%s': all_down: backup needs 'backup: {pool: …}' or "
                           "'backup: {policy: …}'",
                           policy->name);
    if (!backup && policy->has_backup)
        gtm_parse_key_error(p, gtm_yaml_get(node, "backup"),
                            "policy '%s': 'backup' is only used with all_down: backup",
                            policy->name);
    if (policy->answers == 0)
        policy->answers = policy->steer == GTM_STEER_MULTIVALUE ? 8 : 1;
    size_t networks = 0;
    for (size_t i = 0; i < policy->routes_count; i++)
        networks += policy->routes[i].networks_count;
    if (networks > GTM_ROUTE_NETWORKS_MAX)
        gtm_parse_error_at(p, policy->pos,
                           "policy '%s': its routes have %zu networks; at most %d are allowed",
                           policy->name, networks, GTM_ROUTE_NETWORKS_MAX);
}

/* --- dynamic names --- */

static void default_types(struct gtm_parse *p, struct gtm_dynamic_name *name)
{
    static const uint16_t both[2] = {GTM_TYPE_A, GTM_TYPE_AAAA};
    name->types = gtm_memdup(both, sizeof(both));
    name->types_count = name->types ? 2 : 0;
    p->nomem |= name->types == NULL;
}

void gtm_check_dynamic_name(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj)
{
    struct gtm_dynamic_name *name = obj;
    if (!name)
        return;
    const struct gtm_yaml_node *role = gtm_yaml_get(node, "role");
    const struct gtm_yaml_node *max_lag = gtm_yaml_get(node, "max_lag");
    if (name->has_group && !role)
        gtm_parse_error_at(p, name->pos, "name '%s': a group needs a 'role': writer or reader",
                           name->name);
    if (!name->has_group && role)
        gtm_parse_key_error(p, role, "name '%s': 'role' is only used with a group", name->name);
    if (max_lag && strcmp(gtm_parse_text(node, "role", ""), "reader") != 0)
        gtm_parse_key_error(p, max_lag, "name '%s': 'max_lag' is only used with role: reader",
                            name->name);
    name->reader = strcmp(gtm_parse_text(node, "role", ""), "reader") == 0;
    if (!name->types)
        default_types(p, name);
}
