/* SPDX-License-Identifier: Apache-2.0
 *
 * Names: registering those that are defined, finding those that are meant. See schema.h.
 */
#include "gtm/base/map.h"
#include "gtm/base/mem.h"
#include "gtm/model/schema.h"
#include "gtm/model/suggest.h"

#include <stdint.h>
#include <string.h>

#define FEW_NAMES 16u /* up to here duplicates are found by comparing all, without a map */

static const char *const kind_words[GTM_REF_KIND_COUNT] = {
    "name", "region", "monitor", "pool",     "policy", "zone", "group",    "rule",
    "plan", "drill",  "signal",  "calendar", "fleet",  "key",  "endpoint",
};

/* The text of an element's name, or NULL. */
static const struct gtm_yaml_node *name_of(const struct gtm_yaml_node *element)
{
    const struct gtm_yaml_node *name = gtm_yaml_get(element, "name");
    return name && name->kind == GTM_YAML_SCALAR && name->len > 0 ? name : NULL;
}

static void report_twice(struct gtm_parse *p, const char *title, const struct gtm_yaml_node *name,
                         unsigned first_line)
{
    gtm_parse_error(p, name, "%s '%.*s' is defined twice (first at line %u)", title, GTM_NAME_MAX,
                    name->text, first_line);
}

static void check_few(struct gtm_parse *p, const struct gtm_yaml_node *list, const char *title)
{
    for (const struct gtm_yaml_node *n = list->first; n; n = n->next) {
        const struct gtm_yaml_node *name = name_of(n);
        for (const struct gtm_yaml_node *m = list->first; name && m != n; m = m->next) {
            const struct gtm_yaml_node *other = name_of(m);
            if (other && strcmp(other->text, name->text) == 0) {
                report_twice(p, title, name, other->line);
                break;
            }
        }
    }
}

static bool registry_fill(struct gtm_parse *p, struct gtm_registry *registry,
                          const struct gtm_yaml_node *list, const char *title)
{
    registry->index = gtm_map_new();
    registry->pos = gtm_calloc(list->count ? list->count : 1, sizeof(*registry->pos));
    if (!registry->index || !registry->pos)
        return false;
    registry->count = list->count;
    for (const struct gtm_yaml_node *n = list->first; n; n = n->next) {
        const struct gtm_yaml_node *name = name_of(n);
        if (!name)
            continue;
        int first = gtm_registry_find(registry, name->text);
        registry->pos[n->index] = (struct gtm_srcpos){n->line, n->col};
        if (first >= 0) {
            report_twice(p, title, name, registry->pos[first].line);
            continue;
        }
        void *value = (void *)(uintptr_t)(n->index + 1);
        if (gtm_map_put(registry->index, name->text, value, NULL) != GTM_OK)
            return false;
    }
    return true;
}

static void registry_fini(struct gtm_registry *registry)
{
    gtm_map_free(registry->index, NULL);
    gtm_free(registry->pos);
    *registry = (struct gtm_registry){0};
}

void gtm_schema_register(struct gtm_parse *p, enum gtm_ref_kind kind,
                         const struct gtm_yaml_node *list, const char *title)
{
    if (list->kind != GTM_YAML_LIST)
        return;
    if (kind == GTM_REF_NONE && list->count <= FEW_NAMES) {
        check_few(p, list, title);
        return;
    }
    struct gtm_registry local = {0};
    struct gtm_registry *registry = kind == GTM_REF_NONE ? &local : &p->registries[kind];
    if (!registry_fill(p, registry, list, title))
        p->nomem = true;
    registry_fini(&local);
}

void gtm_schema_check_unique(struct gtm_parse *p, const char *label,
                             const struct gtm_yaml_node *list)
{
    struct gtm_map *seen = list->kind == GTM_YAML_LIST ? gtm_map_new() : NULL;
    for (const struct gtm_yaml_node *n = seen ? list->first : NULL; n; n = n->next) {
        if (n->kind != GTM_YAML_SCALAR)
            continue;
        const struct gtm_yaml_node *first = gtm_map_get(seen, n->text);
        if (first)
            gtm_parse_error(p, n, "'%s' names '%.60s' twice", label, n->text);
        else if (gtm_map_put(seen, n->text, (void *)(uintptr_t)n, NULL) != GTM_OK)
            p->nomem = true;
    }
    p->nomem |= list->kind == GTM_YAML_LIST && !seen;
    gtm_map_free(seen, NULL);
}

int gtm_registry_find(const struct gtm_registry *registry, const char *name)
{
    if (!registry->index)
        return -1;
    return (int)(uintptr_t)gtm_map_get(registry->index, name) - 1;
}

void gtm_schema_add_ref(struct gtm_parse *p, enum gtm_ref_kind kind,
                        const struct gtm_yaml_node *node, bool by_key, unsigned *out)
{
    if (out)
        *out = GTM_UNRESOLVED;
    void *refs = p->refs;
    int rc = gtm_grow(&refs, &p->refs_cap, p->refs_count + 1, sizeof(*p->refs));
    p->refs = refs;
    if (rc != GTM_OK) {
        p->nomem = true;
        return;
    }
    p->refs[p->refs_count++] = (struct gtm_pending_ref){.kind = kind,
                                                        .out = out,
                                                        .by_key = by_key,
                                                        .node = node,
                                                        .holder_title = p->holder_title,
                                                        .holder_name = p->holder_name};
}

/* Searching a near match costs a walk over all names, so it stops when nobody will read it. */
static const char *nearest_name(struct gtm_parse *p, const struct gtm_registry *registry,
                                const char *name)
{
    const char *best = NULL, *candidate;
    unsigned distance = 0;
    size_t it = 0;
    if (!registry->index || p->diags->count >= GTM_DIAG_MAX)
        return NULL;
    while (gtm_map_next(registry->index, &it, &candidate, NULL))
        gtm_suggest_try(name, candidate, &best, &distance);
    return best;
}

static void report_undefined(struct gtm_parse *p, const struct gtm_pending_ref *ref,
                             enum gtm_ref_kind kind, const char *name)
{
    const char *best = nearest_name(p, &p->registries[kind], name);
    char who[160], hint[GTM_NAME_MAX + 32] = "";
    if (ref->holder_name)
        snprintf(who, sizeof(who), "%s '%.*s'", ref->holder_title, GTM_NAME_MAX, ref->holder_name);
    else
        snprintf(who, sizeof(who), "%s", ref->holder_title ? ref->holder_title : "this");
    if (best)
        snprintf(hint, sizeof(hint), " (did you mean '%s'?)", best);
    const char *fmt = "%s refers to %s '%.100s', which is not defined%s";
    if (ref->by_key)
        gtm_parse_key_error(p, ref->node, fmt, who, kind_words[kind], name, hint);
    else
        gtm_parse_error(p, ref->node, fmt, who, kind_words[kind], name, hint);
}

/* The index lies in a struct gtm_target, which takes the endpoint too. */
static void take_endpoint(struct gtm_parse *p, const struct gtm_pending_ref *ref, unsigned index,
                          const char *name)
{
    char *at = (char *)ref->out - offsetof(struct gtm_target, index);
    struct gtm_target *target = (struct gtm_target *)(void *)at;
    const struct gtm_pool *pool = &p->pools[index];
    const char *best = NULL;
    unsigned distance = 0;
    int endpoint = gtm_pool_endpoint(pool, name);
    if (endpoint >= 0) {
        target->index = index;
        target->endpoint = (unsigned)endpoint;
        return;
    }
    for (size_t i = 0; i < pool->endpoints_count; i++) {
        if (pool->endpoints[i].name)
            gtm_suggest_try(name, pool->endpoints[i].name, &best, &distance);
    }
    if (best)
        gtm_parse_error(p, ref->node, "pool '%s' has no endpoint '%.63s' (did you mean '%s'?)",
                        pool->name, name, best);
    else
        gtm_parse_error(p, ref->node, "pool '%s' has no endpoint '%.63s'", pool->name, name);
}

static void resolve_endpoint(struct gtm_parse *p, const struct gtm_pending_ref *ref)
{
    char pool[GTM_NAME_MAX + 1] = "";
    const char *slash = strchr(ref->node->text, '/');
    size_t len = slash ? (size_t)(slash - ref->node->text) : 0;
    if (!slash || len == 0 || len > GTM_NAME_MAX || !slash[1]) {
        gtm_parse_error(p, ref->node, "an endpoint is written POOL/ENDPOINT, as in www/www-us");
        return;
    }
    memcpy(pool, ref->node->text, len);
    int index = gtm_registry_find(&p->registries[GTM_REF_POOL], pool);
    if (index < 0)
        report_undefined(p, ref, GTM_REF_POOL, pool);
    else if (ref->out)
        take_endpoint(p, ref, (unsigned)index, slash + 1);
}

void gtm_schema_resolve(struct gtm_parse *p)
{
    for (size_t i = 0; i < p->refs_count && !p->nomem; i++) {
        const struct gtm_pending_ref *ref = &p->refs[i];
        if (ref->kind == GTM_REF_ENDPOINT) {
            resolve_endpoint(p, ref);
            continue;
        }
        const char *name = ref->by_key ? ref->node->key : ref->node->text;
        int index = gtm_registry_find(&p->registries[ref->kind], name);
        if (index < 0)
            report_undefined(p, ref, ref->kind, name);
        else if (ref->out)
            *ref->out = (unsigned)index;
    }
}

void gtm_parse_fini(struct gtm_parse *p)
{
    for (unsigned i = 0; i < GTM_REF_KIND_COUNT; i++)
        registry_fini(&p->registries[i]);
    gtm_free(p->refs);
    p->refs = NULL;
    p->refs_count = p->refs_cap = 0;
}
