/* SPDX-License-Identifier: Apache-2.0
 *
 * The graph that policies form: loops, depth, and whether what dynamic names ask of the endpoints
 * below their policy is there. One walk over all policies, memory by their number. See
 * intent_tables.h.
 */
#include "gtm/base/mem.h"
#include "gtm/model/intent_tables.h"

/* --- the graph --- */

enum colour { WHITE = 0, GREY, BLACK };

struct frame {
    unsigned policy;
    size_t next; /* edge to follow: `to` targets, then routes, then the backup */
};

/* An endpoint, as pool and index in it. */
struct place {
    unsigned pool, endpoint;
};
static const struct place nowhere = {GTM_UNRESOLVED, GTM_UNRESOLVED};

struct graph {
    struct gtm_parse *p;
    const struct gtm_intent *intent;
    uint8_t *colour;
    unsigned *depth;         /* of what hangs below, itself included */
    unsigned *pool_hostless; /* by pool: its first endpoint without a host, or GTM_UNRESOLVED */
    struct place *hostless;  /* by policy: an endpoint without a host that can be its answer */
    struct frame *stack;
    size_t stack_count;
};

/* The edge-th thing that a policy refers to; false when there are no more. Regions of a route are
 * GTM_TARGET_POOL of the policy's own pool. */
static bool edge(const struct gtm_policy *policy, size_t i, struct gtm_target *ret)
{
    if (i < policy->to_count) {
        *ret = policy->to[i];
        return true;
    }
    i -= policy->to_count;
    if (i < policy->routes_count) {
        const struct gtm_route *route = &policy->routes[i];
        *ret = (struct gtm_target){.kind = route->has_policy ? GTM_TARGET_POLICY : GTM_TARGET_POOL,
                                   .index = route->has_policy ? route->policy : policy->pool,
                                   .pos = route->pos};
        return true;
    }
    *ret = policy->backup;
    return i == policy->routes_count && policy->has_backup;
}

static bool edge_to_policy(const struct graph *g, const struct gtm_target *target)
{
    return target->kind == GTM_TARGET_POLICY && target->index < g->intent->policies_count;
}

static void report_loop(struct graph *g, unsigned again, const struct gtm_target *target)
{
    struct gtm_buf path = {0};
    size_t start = g->stack_count;
    while (start > 0 && g->stack[start - 1].policy != again)
        start--;
    start -= start > 0;
    for (size_t i = start; i < g->stack_count && i < start + 8; i++)
        gtm_buf_addf(&path, "%s → ", g->intent->policies[g->stack[i].policy].name);
    if (g->stack_count > start + 8)
        gtm_buf_adds(&path, "… → ");
    gtm_buf_adds(&path, g->intent->policies[again].name);
    g->p->nomem |= path.failed;
    gtm_parse_error_at(g->p, target->pos, "policies refer to each other in a loop: %s",
                       path.data ? path.data : "");
    gtm_buf_fini(&path);
}

/* --- endpoints without a host --- */

static void find_pools_hostless(struct graph *g)
{
    for (size_t i = 0; i < g->intent->pools_count; i++) {
        const struct gtm_pool *pool = &g->intent->pools[i];
        unsigned e = 0;
        while (e < pool->endpoints_count && pool->endpoints[e].host)
            e++;
        g->pool_hostless[i] = e < pool->endpoints_count ? e : GTM_UNRESOLVED;
    }
}

static struct place hostless_pool(const struct graph *g, unsigned pool)
{
    if (pool >= g->intent->pools_count || g->pool_hostless[pool] == GTM_UNRESOLVED)
        return nowhere;
    return (struct place){pool, g->pool_hostless[pool]};
}

static struct place hostless_target(const struct graph *g, const struct gtm_target *target)
{
    if (target->kind == GTM_TARGET_POOL)
        return hostless_pool(g, target->index);
    if (target->kind == GTM_TARGET_POLICY)
        return edge_to_policy(g, target) && g->colour[target->index] == BLACK
                   ? g->hostless[target->index]
                   : nowhere;
    if (target->index >= g->intent->pools_count ||
        target->endpoint >= g->intent->pools[target->index].endpoints_count ||
        g->intent->pools[target->index].endpoints[target->endpoint].host)
        return nowhere;
    return (struct place){target->index, target->endpoint};
}

/* --- the walk --- */

/* What a policy is, once all below it is known. */
static void finish(struct graph *g, unsigned index)
{
    const struct gtm_policy *policy = &g->intent->policies[index];
    struct gtm_target target;
    unsigned deepest = 0;
    g->hostless[index] = policy->has_pool ? hostless_pool(g, policy->pool) : nowhere;
    for (size_t i = 0; edge(policy, i, &target); i++) {
        if (edge_to_policy(g, &target) && g->depth[target.index] > deepest)
            deepest = g->depth[target.index];
        if (g->hostless[index].pool == GTM_UNRESOLVED)
            g->hostless[index] = hostless_target(g, &target);
    }
    g->depth[index] = deepest + 1;
    g->colour[index] = BLACK;
    if (deepest == GTM_POLICY_DEPTH) /* once, where it crosses the limit */
        gtm_parse_error_at(g->p, policy->pos, "policy '%s' nests deeper than %d levels",
                           policy->name, GTM_POLICY_DEPTH);
}

/* Depth first without recursion, because there may be thousands of policies in a row. */
static void visit(struct graph *g, unsigned root)
{
    g->stack[0] = (struct frame){root, 0};
    g->stack_count = 1;
    g->colour[root] = GREY;
    while (g->stack_count > 0) {
        struct frame *top = &g->stack[g->stack_count - 1];
        struct gtm_target target;
        if (!edge(&g->intent->policies[top->policy], top->next++, &target)) {
            finish(g, top->policy);
            g->stack_count--;
            continue;
        }
        if (!edge_to_policy(g, &target))
            continue;
        if (g->colour[target.index] == GREY) {
            report_loop(g, target.index, &target);
        } else if (g->colour[target.index] == WHITE) {
            g->colour[target.index] = GREY;
            g->stack[g->stack_count++] = (struct frame){target.index, 0};
        }
    }
}

/* --- names --- */

/* The first of a name's types that is answered with hosts, or NULL. */
static const char *host_type(const struct gtm_dynamic_name *name)
{
    for (size_t i = 0; i < name->types_count; i++) {
        if (name->types[i] == GTM_TYPE_CNAME)
            return "CNAME";
        if (name->types[i] == GTM_TYPE_SRV)
            return "SRV";
    }
    return NULL;
}

static void check_name(struct graph *g, const struct gtm_zone_conf *zone,
                       const struct gtm_dynamic_name *name)
{
    if (!name->has_policy || name->policy >= g->intent->policies_count || !name->name)
        return;
    const struct gtm_policy *policy = &g->intent->policies[name->policy];
    struct place hostless = g->hostless[name->policy];
    unsigned ttl_s = name->has_ttl ? name->ttl_s : policy->ttl_s;
    const char *type = host_type(name);
    if (type && hostless.pool < g->intent->pools_count) {
        const struct gtm_pool *pool = &g->intent->pools[hostless.pool];
        const char *endpoint = pool->endpoints[hostless.endpoint].name;
        if (pool->name && endpoint)
            gtm_parse_error_at(g->p, name->pos,
                               "name '%s' in zone '%s' has the type %s, but endpoint '%s' of "
                               "pool '%s', which policy '%s' can choose, needs a 'host' for that",
                               name->name, zone->name, type, endpoint, pool->name, policy->name);
    }
    if (ttl_s > GTM_TTL_SLOW_S)
        gtm_parse_warn_at(g->p, name->pos,
                          "name '%s' in zone '%s' has a TTL of %u s: users stay on a dead region "
                          "for that long",
                          name->name, zone->name, ttl_s);
}

static void check_all(struct graph *g)
{
    const struct gtm_intent *intent = g->intent;
    find_pools_hostless(g);
    for (unsigned i = 0; i < intent->policies_count; i++) {
        if (g->colour[i] == WHITE)
            visit(g, i);
    }
    for (size_t z = 0; z < intent->zones_count; z++) {
        for (size_t n = 0; intent->zones[z].name && n < intent->zones[z].names_count; n++)
            check_name(g, &intent->zones[z], &intent->zones[z].names[n]);
    }
}

void gtm_check_graph(struct gtm_parse *p, const struct gtm_intent *intent)
{
    size_t count = intent->policies_count;
    struct graph g = {.p = p, .intent = intent};
    g.colour = gtm_calloc(count + 1, sizeof(*g.colour));
    g.depth = gtm_calloc(count + 1, sizeof(*g.depth));
    g.hostless = gtm_calloc(count + 1, sizeof(*g.hostless));
    g.pool_hostless = gtm_calloc(intent->pools_count + 1, sizeof(*g.pool_hostless));
    g.stack = gtm_calloc(count + 1, sizeof(*g.stack));
    if (g.colour && g.depth && g.hostless && g.pool_hostless && g.stack)
        check_all(&g);
    else
        p->nomem = true;
    gtm_free(g.colour);
    gtm_free(g.depth);
    gtm_free(g.hostless);
    gtm_free(g.pool_hostless);
    gtm_free(g.stack);
}
