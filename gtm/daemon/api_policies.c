/* SPDX-License-Identifier: Apache-2.0
 *
 * /policies. See deploy/openapi.yaml.
 */
#include "gtm/base/mem.h"
#include "gtm/daemon/api_handlers.h"
#include "gtm/daemon/daemon.h"

#include <arpa/inet.h>
#include <stdio.h>

#define INLINE_POLICIES 300
#define INLINE_ROUTES   500

static struct gtm_json *target_json(const struct gtm_intent *intent,
                                    const struct gtm_target *target)
{
    static const char *const kinds[] = {"pool", "policy", "endpoint"};
    struct gtm_json *one = gtm_json_object();
    gtm_json_add_str(one, "kind", kinds[target->kind]);
    if (target->kind == GTM_TARGET_POLICY) {
        gtm_json_add_str(one, "name", intent->policies[target->index].name);
    } else if (target->kind == GTM_TARGET_POOL) {
        gtm_json_add_str(one, "name", intent->pools[target->index].name);
    } else {
        const struct gtm_pool *pool = &intent->pools[target->index];
        char name[2 * GTM_NAME_MAX + 2];
        snprintf(name, sizeof(name), "%s/%s", pool->name, pool->endpoints[target->endpoint].name);
        gtm_json_add_str(one, "name", name);
    }
    gtm_json_add_i64(one, "weight", target->weight);
    return one;
}

static void add_regions(struct gtm_json *one, const char *key, const struct gtm_intent *intent,
                        const unsigned *regions, size_t count)
{
    struct gtm_json *list = gtm_json_add_array(one, key);
    for (size_t i = 0; i < count; i++)
        gtm_json_append_str(list, intent->regions[regions[i]].name);
}

static void add_route(struct gtm_json *list, const struct gtm_intent *intent,
                      const struct gtm_route *route)
{
    struct gtm_json *one = gtm_json_append_object(list);
    struct gtm_json *part = gtm_json_add_array(one, "networks");
    for (size_t i = 0; i < route->networks_count; i++) {
        const struct gtm_network *net = &route->networks[i];
        char addr[INET6_ADDRSTRLEN], text[INET6_ADDRSTRLEN + 8];
        if (!inet_ntop(net->family == 4 ? AF_INET : AF_INET6, net->addr, addr, sizeof(addr)))
            addr[0] = 0;
        snprintf(text, sizeof(text), "%s/%u", addr, net->prefix_len);
        gtm_json_append_str(part, text);
    }
    part = gtm_json_add_array(one, "countries");
    for (size_t i = 0; i < route->countries_count; i++)
        gtm_json_append_str(part, route->countries[i]);
    part = gtm_json_add_array(one, "continents");
    for (size_t i = 0; i < route->continents_count; i++)
        gtm_json_append_str(part, route->continents[i]);
    part = gtm_json_add_array(one, "subdivisions");
    for (size_t i = 0; i < route->subdivisions_count; i++)
        gtm_json_append_str(part, route->subdivisions[i]);
    part = gtm_json_add_array(one, "asns");
    for (size_t i = 0; i < route->asns_count; i++)
        gtm_json_append_i64(part, route->asns[i]);
    add_regions(one, "regions", intent, route->regions, route->regions_count);
}

/* What only the control thread knows of one policy. */
struct policy_now {
    char balance_text[POLICY_BALANCE_TEXT];
    uint32_t *weights; /* by endpoint of its pool; NULL = the configured ones */
    bool has_table;
    struct gtm_latency_info table;
};

static bool balances(const struct gtm_policy *policy)
{
    return policy->has_pool &&
           (policy->steer == GTM_STEER_LEAST_CONNECTIONS ||
            policy->steer == GTM_STEER_RESPONSE_TIME || policy->steer == GTM_STEER_EWMA);
}

static void add_now(struct gtm_json *one, const struct gtm_intent *intent,
                    const struct gtm_policy *policy, const struct policy_now *now)
{
    if (balances(policy)) {
        const struct gtm_pool *pool = &intent->pools[policy->pool];
        struct gtm_json *balance = gtm_json_add_object(one, "balance");
        gtm_json_add_str(balance, "state", now->balance_text[0] ? now->balance_text : NULL);
        struct gtm_json *list = gtm_json_add_array(balance, "weights");
        for (size_t e = 0; e < pool->endpoints_count; e++) {
            struct gtm_json *weight = gtm_json_append_object(list);
            gtm_json_add_str(weight, "endpoint", pool->endpoints[e].name);
            gtm_json_add_i64(weight, "configured", pool->endpoints[e].weight);
            gtm_json_add_i64(weight, "balanced",
                             now->weights ? now->weights[e] : pool->endpoints[e].weight);
        }
    }
    if (policy->steer == GTM_STEER_LATENCY) {
        struct gtm_json *table = gtm_json_add_object(one, "latency");
        gtm_json_add_str(table, "file", policy->latency_file);
        gtm_json_add_str(table, "table",
                         !now->has_table     ? "none"
                         : now->table.pushed ? "pushed"
                                             : "file");
        gtm_json_add_i64(table, "networks", (int64_t)now->table.networks);
        gtm_api_add_time(table, "changed", now->has_table ? now->table.changed_ms : 0);
    }
}

static struct gtm_json *policy_json(const struct gtm_intent *intent, size_t index, size_t names,
                                    bool with_routes)
{
    const struct gtm_policy *policy = &intent->policies[index];
    struct gtm_json *one = gtm_json_object();
    gtm_json_add_str(one, "name", policy->name);
    gtm_json_add_str(one, "steer", gtm_steer_words[policy->steer]);
    gtm_json_add_bool(one, "active", gtm_steer_active(policy->steer));
    gtm_json_add_str(one, "pool", policy->has_pool ? intent->pools[policy->pool].name : NULL);
    gtm_json_add_str(one, "all_down", gtm_all_down_words[policy->all_down]);
    if (policy->has_backup)
        gtm_json_add(one, "backup", target_json(intent, &policy->backup));
    else
        gtm_json_add_null(one, "backup");
    gtm_json_add_i64(one, "answers", policy->answers);
    gtm_json_add_i64(one, "ttl_seconds", policy->ttl_s);
    add_regions(one, "order", intent, policy->order, policy->order_count);
    gtm_json_add_i64(one, "routes_count", (int64_t)policy->routes_count);
    struct gtm_json *to = gtm_json_add_array(one, "to");
    for (size_t i = 0; i < policy->to_count; i++)
        gtm_json_append(to, target_json(intent, &policy->to[i]));
    gtm_json_add_i64(one, "names", (int64_t)names);
    if (with_routes) {
        struct gtm_json *routes = gtm_json_add_array(one, "routes");
        for (size_t i = 0; i < policy->routes_count; i++)
            add_route(routes, intent, &policy->routes[i]);
    }
    return one;
}

struct policies_job {
    struct gtm_intent *intent;
    uint64_t revision;
    int policy; /* -1 = all */
    struct policy_now now;
};

static void policies_fini(void *arg)
{
    struct policies_job *job = arg;
    gtm_free(job->now.weights);
    gtm_intent_unref(job->intent);
    gtm_free(job);
}

static struct gtm_json *policies_build(void *arg)
{
    struct policies_job *job = arg;
    const struct gtm_intent *intent = job->intent;
    size_t *names = gtm_calloc(intent->policies_count + 1, sizeof(*names));
    if (!names)
        return NULL;
    for (size_t z = 0; z < intent->zones_count; z++)
        for (size_t n = 0; n < intent->zones[z].names_count; n++)
            if (intent->zones[z].names[n].has_policy)
                names[intent->zones[z].names[n].policy]++;
    struct gtm_json *root;
    if (job->policy >= 0) {
        size_t i = (size_t)job->policy;
        struct gtm_json *item = policy_json(intent, i, names[i], true);
        add_now(item, intent, &intent->policies[i], &job->now);
        root = gtm_api_item_root("Policy", job->revision, item);
    } else {
        struct gtm_json *items = gtm_json_array();
        for (size_t i = 0; i < intent->policies_count; i++)
            gtm_json_append(items, policy_json(intent, i, names[i], false));
        root = gtm_api_list_root("PolicyList", job->revision, items);
    }
    gtm_free(names);
    return root;
}

/* False: out of memory. */
static bool read_now(const struct gtmd *d, size_t p, struct policy_now *now)
{
    const struct gtm_policy *policy = &d->intent->policies[p];
    if (d->compiled)
        now->has_table = gtm_compiled_latency(d->compiled, p, &now->table);
    if (!balances(policy))
        return true;
    gtm_state_balance_text(d->state, p, now->balance_text);
    const uint32_t *weights = gtm_states_balance(gtm_state_facts(d->state)->states, p);
    if (!weights)
        return true;
    size_t count = d->intent->pools[policy->pool].endpoints_count;
    now->weights = gtm_memdup(weights, count * sizeof(*weights));
    return now->weights != NULL;
}

static void build(struct gtm_api_req *req, int policy)
{
    struct gtmd *d = gtm_api_daemon(req);
    struct policies_job *job = gtm_calloc(1, sizeof(*job));
    if (!job) {
        gtm_api_problem(req, 500, "internal", "out of memory");
        return;
    }
    *job = (struct policies_job){
        .intent = gtm_intent_ref(d->intent), .revision = gtmd_revision(d), .policy = policy};
    if (policy >= 0 && !read_now(d, (size_t)policy, &job->now)) {
        policies_fini(job);
        gtm_api_problem(req, 500, "internal", "out of memory");
        return;
    }
    bool big = policy < 0 ? d->intent->policies_count > INLINE_POLICIES
                          : d->intent->policies[policy].routes_count > INLINE_ROUTES;
    for (size_t z = 0; z < d->intent->zones_count; z++) /* they are counted */
        big = big || d->intent->zones[z].names_count > 10000;
    gtm_api_build(req, big, policies_build, policies_fini, job);
}

void gtm_api_get_policies(struct gtm_api_req *req)
{
    build(req, -1);
}

void gtm_api_get_policy(struct gtm_api_req *req)
{
    const char *name = gtm_api_path(req, "policy");
    int policy = gtm_intent_policy(gtm_api_daemon(req)->intent, name);
    if (policy < 0)
        gtm_api_problem(req, 404, "notfound", "there is no policy '%.100s'", name);
    else
        build(req, policy);
}
