/* SPDX-License-Identifier: Apache-2.0
 *
 * Checks of one object of the intent that a table cannot express, made while it is parsed: which
 * keys fit together, and defaults that depend on other keys. See intent_tables.h.
 */
#include "gtm/model/intent_tables.h"
#include "gtm/model/schema_forms.h"

#include <arpa/inet.h>
#include <string.h>

/* --- endpoints --- */

const char *gtm_address_unusable(const struct gtm_network *a)
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
    const char *why = gtm_address_unusable(&a);
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
    if (!addresses && !e->host)
        gtm_parse_error_at(p, e->pos, "endpoint '%s' needs 'addresses' or a 'host'", e->name);
    if (addresses && addresses->kind == GTM_YAML_SCALAR)
        take_address(p, e, addresses);
    for (const struct gtm_yaml_node *n = addresses ? addresses->first : NULL; n; n = n->next)
        take_address(p, e, n);
    gtm_drop_final_dot(e->host);
    if (!gtm_yaml_get(gtm_yaml_get(node, "capacity"), "requests_per_s"))
        e->capacity_requests_per_s = -1;
}

/* --- pools --- */

void gtm_check_pool(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj)
{
    struct gtm_pool *pool = obj;
    const struct gtm_yaml_node *spillover = gtm_yaml_get(node, "spillover");
    if (!pool)
        return;
    if (pool->monitors_needed > pool->monitors_count)
        gtm_parse_error(p, gtm_yaml_get(node, "require"),
                        "pool '%s': 'require' needs %u monitors; there are %zu", pool->name,
                        pool->monitors_needed, pool->monitors_count);
    if (!spillover)
        pool->spill_low = pool->spill_high = -1;
    else if (pool->spill_low >= pool->spill_high)
        gtm_parse_error_at(p, (struct gtm_srcpos){spillover->line, spillover->col},
                           "pool '%s': 'low' needs to be less than 'high'", pool->name);
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
    {"routes", STEER(GEO)},      {"default", ~(STEER(FAILOVER) | STEER(WEIGHTED))},
    {"order", STEER(FAILOVER)},  {"to", STEER(WEIGHTED)},
    {"latency", STEER(LATENCY)},
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
