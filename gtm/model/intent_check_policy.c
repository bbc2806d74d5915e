/* SPDX-License-Identifier: Apache-2.0
 *
 * Checks of policies against the whole intent: what their steering needs of regions and pools,
 * loops, depth, and which names would be answered by a policy that is not active yet. See
 * intent_tables.h.
 */
#include "gtm/base/mem.h"
#include "gtm/model/intent_tables.h"

#include <string.h>

/* --- steering --- */

/* Regions of the policy's pool in order of their first endpoint; returns how many. */
static size_t pool_regions(const struct gtm_intent *intent, const struct gtm_policy *policy,
                           unsigned *ret_regions, bool seen[GTM_REGIONS_MAX])
{
    size_t count = 0;
    if (!policy->has_pool || policy->pool >= intent->pools_count)
        return 0;
    const struct gtm_pool *pool = &intent->pools[policy->pool];
    for (size_t i = 0; i < pool->endpoints_count; i++) {
        unsigned r = pool->endpoints[i].region;
        if (r < intent->regions_count && r < GTM_REGIONS_MAX && !seen[r]) {
            seen[r] = true;
            ret_regions[count++] = r;
        }
    }
    return count;
}

static void check_order(struct gtm_parse *p, const struct gtm_intent *intent,
                        const struct gtm_policy *policy, const bool *in_pool)
{
    for (size_t i = 0; i < policy->order_count; i++) {
        unsigned r = policy->order[i];
        if (r < intent->regions_count && !in_pool[r])
            gtm_parse_warn_at(p, policy->pos,
                              "policy '%s': region '%s' has no endpoint in pool '%s'", policy->name,
                              intent->regions[r].name, intent->pools[policy->pool].name);
    }
}

static void check_regions(struct gtm_parse *p, struct gtm_intent *intent, struct gtm_policy *policy)
{
    bool in_pool[GTM_REGIONS_MAX] = {false};
    unsigned regions[GTM_REGIONS_MAX];
    size_t count = pool_regions(intent, policy, regions, in_pool);
    for (size_t i = 0; i < count && policy->steer == GTM_STEER_NEAREST; i++) {
        const struct gtm_region *region = &intent->regions[regions[i]];
        if (!region->has_location && region->name)
            gtm_parse_error_at(p, policy->pos,
                               "policy '%s' steers to the nearest region, but region '%s' of pool "
                               "'%s' has no location",
                               policy->name, region->name, intent->pools[policy->pool].name);
    }
    if (count == 0)
        return;
    if (policy->order_count > 0) {
        check_order(p, intent, policy, in_pool);
        return;
    }
    policy->order = gtm_memdup(regions, count * sizeof(*regions));
    policy->order_count = policy->order ? count : 0;
    p->nomem |= policy->order == NULL;
}

static void check_weights(struct gtm_parse *p, const struct gtm_policy *policy)
{
    uint64_t weight = 0;
    for (size_t i = 0; i < policy->to_count; i++)
        weight += policy->to[i].weight;
    if (policy->to_count > 0 && weight == 0)
        gtm_parse_warn_at(p, policy->pos, "policy '%s': all weights are 0", policy->name);
}

/* --- the graph of policies --- */

enum colour { WHITE = 0, GREY, BLACK };

struct frame {
    unsigned policy;
    size_t next; /* edge to follow: `to` targets, then the backup */
};

struct graph {
    struct gtm_parse *p;
    const struct gtm_intent *intent;
    uint8_t *colour;
    unsigned *depth; /* of what hangs below, itself included */
    unsigned
        *inactive; /* the policy below (or itself) that does not steer yet, or GTM_UNRESOLVED */
    struct frame *stack;
    size_t stack_count;
};

/* The edge-th target of a policy, or NULL when there are no more. */
static const struct gtm_target *edge(const struct gtm_policy *policy, size_t i)
{
    if (i < policy->to_count)
        return &policy->to[i];
    return i == policy->to_count && policy->has_backup ? &policy->backup : NULL;
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

/* What a policy is, once all below it is known. */
static void finish(struct graph *g, unsigned index)
{
    const struct gtm_policy *policy = &g->intent->policies[index];
    const struct gtm_target *target;
    unsigned deepest = 0;
    g->inactive[index] = gtm_steer_active(policy->steer) ? GTM_UNRESOLVED : index;
    for (size_t i = 0; (target = edge(policy, i)); i++) {
        if (target->kind != GTM_TARGET_POLICY || target->index >= g->intent->policies_count)
            continue;
        if (g->depth[target->index] > deepest)
            deepest = g->depth[target->index];
        if (g->inactive[index] == GTM_UNRESOLVED && g->colour[target->index] == BLACK)
            g->inactive[index] = g->inactive[target->index];
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
        const struct gtm_target *target = edge(&g->intent->policies[top->policy], top->next++);
        if (!target) {
            finish(g, top->policy);
            g->stack_count--;
            continue;
        }
        if (target->kind != GTM_TARGET_POLICY || target->index >= g->intent->policies_count)
            continue;
        if (g->colour[target->index] == GREY) {
            report_loop(g, target->index, target);
        } else if (g->colour[target->index] == WHITE) {
            g->colour[target->index] = GREY;
            g->stack[g->stack_count++] = (struct frame){target->index, 0};
        }
    }
}

/* --- names --- */

static const char *active_steers(char out[128])
{
    out[0] = '\0';
    for (int s = 0; s < GTM_STEER_COUNT; s++) {
        size_t used = strlen(out);
        if (gtm_steer_active((enum gtm_steer)s))
            snprintf(out + used, 128 - used, "%s%s", used ? ", " : "", gtm_steer_words[s]);
    }
    return out;
}

static void check_name(struct graph *g, const struct gtm_zone_conf *zone,
                       const struct gtm_dynamic_name *name)
{
    if (!name->has_policy || name->policy >= g->intent->policies_count || !name->name)
        return;
    const struct gtm_policy *policy = &g->intent->policies[name->policy];
    unsigned inactive = g->inactive[name->policy];
    unsigned ttl_s = name->has_ttl ? name->ttl_s : policy->ttl_s;
    char steers[128];
    if (inactive < g->intent->policies_count)
        gtm_parse_error_at(g->p, name->pos,
                           "name '%s' in zone '%s' would be answered by policy '%s', which steers "
                           "%s: that is not active yet (active: %s)",
                           name->name, zone->name, g->intent->policies[inactive].name,
                           gtm_steer_words[g->intent->policies[inactive].steer],
                           active_steers(steers));
    if (ttl_s > GTM_TTL_SLOW_S)
        gtm_parse_warn_at(g->p, name->pos,
                          "name '%s' in zone '%s' has a TTL of %u s: users stay on a dead region "
                          "for that long",
                          name->name, zone->name, ttl_s);
}

static void check_graph(struct graph *g)
{
    const struct gtm_intent *intent = g->intent;
    for (unsigned i = 0; i < intent->policies_count; i++) {
        if (g->colour[i] == WHITE)
            visit(g, i);
    }
    for (size_t z = 0; z < intent->zones_count; z++) {
        for (size_t n = 0; intent->zones[z].name && n < intent->zones[z].names_count; n++)
            check_name(g, &intent->zones[z], &intent->zones[z].names[n]);
    }
}

void gtm_check_policies(struct gtm_parse *p, struct gtm_intent *intent)
{
    size_t count = intent->policies_count;
    for (size_t i = 0; i < count; i++) {
        if (!intent->policies[i].name) /* could not be read: reported already */
            return;
    }
    for (size_t i = 0; i < count && !p->nomem; i++) {
        if (intent->policies[i].answers == 0) /* has faults of its own, see gtm_check_policy */
            continue;
        check_regions(p, intent, &intent->policies[i]);
        check_weights(p, &intent->policies[i]);
    }
    struct graph g = {.p = p, .intent = intent};
    g.colour = gtm_calloc(count + 1, sizeof(*g.colour));
    g.depth = gtm_calloc(count + 1, sizeof(*g.depth));
    g.inactive = gtm_calloc(count + 1, sizeof(*g.inactive));
    g.stack = gtm_calloc(count + 1, sizeof(*g.stack));
    if (g.colour && g.depth && g.inactive && g.stack)
        check_graph(&g);
    else
        p->nomem = true;
    gtm_free(g.colour);
    gtm_free(g.depth);
    gtm_free(g.inactive);
    gtm_free(g.stack);
}
