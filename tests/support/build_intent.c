/* SPDX-License-Identifier: Apache-2.0
 *
 * See build_intent.h.
 */
#include "tests/support/build_intent.h"

#include "gtm/base/map.h"
#include "gtm/base/mem.h"
#include "gtm/model/intent_later.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One more zeroed element; arrays grow by one, which doubles only at powers of two. */
static void *more(void *array, size_t count, size_t bytes)
{
    if ((count & (count - 1)) == 0) {
        array = gtm_realloc(array, (count ? count * 2 : 1) * bytes);
        if (!array)
            abort();
    }
    memset((char *)array + count * bytes, 0, bytes);
    return array;
}
#define ADD(array, count) ((array) = more((array), (count), sizeof(*(array))), &(array)[(count)++])

static char *copy_of(const char *s)
{
    char *copy = gtm_strdup(s);
    if (!copy)
        abort();
    return copy;
}

/* Makes gtm_intent_find know the name. */
static void remember(struct gtm_intent *intent, enum gtm_ref_kind kind, const char *name,
                     size_t count)
{
    struct gtm_map **map = &intent->later->names[kind];
    if (!*map)
        *map = gtm_map_new();
    if (!*map || gtm_map_put(*map, name, (void *)(uintptr_t)count, NULL) != GTM_OK)
        abort();
}

struct gtm_intent *build_intent(void)
{
    struct gtm_intent *intent = gtm_calloc(1, sizeof(*intent));
    if (!intent || !(intent->later = gtm_calloc(1, sizeof(*intent->later))))
        abort();
    intent->refs = 1;
    intent->path = copy_of("built.yaml");
    return intent;
}

static void free_policy(struct gtm_policy *p)
{
    for (size_t i = 0; i < p->routes_count; i++) {
        gtm_free(p->routes[i].networks);
        gtm_free(p->routes[i].countries);
        gtm_free(p->routes[i].continents);
        gtm_free(p->routes[i].subdivisions);
        gtm_free(p->routes[i].asns);
        gtm_free(p->routes[i].regions);
    }
    gtm_free(p->routes);
    gtm_free(p->order);
    gtm_free(p->to);
    gtm_free(p->latency_file);
    gtm_free(p->name);
}

void build_free(struct gtm_intent *intent)
{
    for (size_t i = 0; i < intent->regions_count; i++)
        gtm_free(intent->regions[i].name);
    for (size_t i = 0; i < intent->pools_count; i++) {
        for (size_t e = 0; e < intent->pools[i].endpoints_count; e++) {
            gtm_free(intent->pools[i].endpoints[e].name);
            gtm_free(intent->pools[i].endpoints[e].host);
        }
        gtm_free(intent->pools[i].endpoints);
        gtm_free(intent->pools[i].monitors);
        gtm_free(intent->pools[i].name);
    }
    for (size_t i = 0; i < intent->policies_count; i++)
        free_policy(&intent->policies[i]);
    for (size_t i = 0; i < intent->zones_count; i++) {
        for (size_t n = 0; n < intent->zones[i].names_count; n++) {
            gtm_free(intent->zones[i].names[n].name);
            gtm_free(intent->zones[i].names[n].types);
            gtm_free(intent->zones[i].names[n].alias);
            for (size_t a = 0; a < intent->zones[i].names[n].alpn_count; a++)
                gtm_free(intent->zones[i].names[n].alpn[a]);
            gtm_free(intent->zones[i].names[n].alpn);
        }
        gtm_free(intent->zones[i].names);
        gtm_free(intent->zones[i].name);
        gtm_free(intent->zones[i].file);
    }
    gtm_free(intent->regions);
    gtm_free(intent->pools);
    gtm_free(intent->policies);
    gtm_free(intent->zones);
    for (unsigned kind = 0; kind < GTM_REF_KIND_COUNT; kind++)
        gtm_map_free(intent->later->names[kind], NULL);
    gtm_free(intent->later);
    gtm_free(intent->path);
    gtm_free(intent);
}

unsigned build_region_nowhere(struct gtm_intent *intent, const char *name)
{
    struct gtm_region *r = ADD(intent->regions, intent->regions_count);
    r->name = copy_of(name);
    r->capacity_requests_per_s = -1;
    remember(intent, GTM_REF_REGION, name, intent->regions_count);
    return (unsigned)intent->regions_count - 1;
}

unsigned build_region(struct gtm_intent *intent, const char *name, double lat, double lon)
{
    unsigned index = build_region_nowhere(intent, name);
    intent->regions[index].has_location = true;
    intent->regions[index].lat = lat;
    intent->regions[index].lon = lon;
    return index;
}

unsigned build_pool(struct gtm_intent *intent, const char *name)
{
    struct gtm_pool *p = ADD(intent->pools, intent->pools_count);
    p->name = copy_of(name);
    p->monitors_count = 1; /* somebody checks it: a carry-over keeps its health */
    p->monitors = gtm_calloc(1, sizeof(*p->monitors));
    remember(intent, GTM_REF_POOL, name, intent->pools_count);
    return (unsigned)intent->pools_count - 1;
}

unsigned build_endpoint(struct gtm_intent *intent, unsigned pool, const char *name, unsigned region,
                        const char *v4, const char *v6, uint32_t weight)
{
    struct gtm_pool *p = &intent->pools[pool];
    struct gtm_endpoint *e = ADD(p->endpoints, p->endpoints_count);
    e->name = copy_of(name);
    e->region = region;
    e->weight = weight;
    e->capacity_requests_per_s = -1;
    e->has_v4 = v4 && inet_pton(AF_INET, v4, &e->v4) == 1;
    e->has_v6 = v6 && inet_pton(AF_INET6, v6, &e->v6) == 1;
    return (unsigned)p->endpoints_count - 1;
}

unsigned build_policy(struct gtm_intent *intent, const char *name, enum gtm_steer steer, int pool)
{
    struct gtm_policy *p = ADD(intent->policies, intent->policies_count);
    p->name = copy_of(name);
    p->steer = steer;
    p->has_pool = pool >= 0;
    p->pool = pool >= 0 ? (unsigned)pool : 0;
    p->answers = 1;
    p->ttl_s = 30;
    remember(intent, GTM_REF_POLICY, name, intent->policies_count);
    return (unsigned)intent->policies_count - 1;
}

void build_order(struct gtm_intent *intent, unsigned policy, size_t count, const unsigned *regions)
{
    for (size_t i = 0; i < count; i++)
        *ADD(intent->policies[policy].order, intent->policies[policy].order_count) = regions[i];
}

void build_target(struct gtm_intent *intent, unsigned policy, enum gtm_target_kind kind,
                  unsigned index, unsigned endpoint, uint32_t weight)
{
    struct gtm_policy *p = &intent->policies[policy];
    *ADD(p->to, p->to_count) =
        (struct gtm_target){.kind = kind, .index = index, .endpoint = endpoint, .weight = weight};
}

void build_backup(struct gtm_intent *intent, unsigned policy, enum gtm_target_kind kind,
                  unsigned index)
{
    struct gtm_policy *p = &intent->policies[policy];
    p->all_down = GTM_ALL_DOWN_BACKUP;
    p->has_backup = true;
    p->backup = (struct gtm_target){.kind = kind, .index = index};
}

struct gtm_route *build_route(struct gtm_intent *intent, unsigned policy, size_t regions_count,
                              const unsigned *regions)
{
    struct gtm_policy *p = &intent->policies[policy];
    struct gtm_route *r = ADD(p->routes, p->routes_count);
    for (size_t i = 0; i < regions_count; i++)
        *ADD(r->regions, r->regions_count) = regions[i];
    return r;
}

void build_route_country(struct gtm_route *route, const char *code)
{
    snprintf(*ADD(route->countries, route->countries_count), sizeof(*route->countries), "%s", code);
}

void build_route_continent(struct gtm_route *route, const char *code)
{
    snprintf(*ADD(route->continents, route->continents_count), sizeof(*route->continents), "%s",
             code);
}

void build_route_subdivision(struct gtm_route *route, const char *code)
{
    snprintf(*ADD(route->subdivisions, route->subdivisions_count), sizeof(*route->subdivisions),
             "%s", code);
}

void build_route_asn(struct gtm_route *route, uint32_t asn)
{
    *ADD(route->asns, route->asns_count) = asn;
}

void build_route_network(struct gtm_route *route, const char *network)
{
    struct gtm_network *n = ADD(route->networks, route->networks_count);
    char text[64];
    snprintf(text, sizeof(text), "%s", network);
    char *slash = strchr(text, '/');
    if (!slash)
        abort();
    *slash = '\0';
    n->family = strchr(text, ':') ? 6 : 4;
    n->prefix_len = (uint8_t)strtoul(slash + 1, NULL, 10);
    if (inet_pton(n->family == 4 ? AF_INET : AF_INET6, text, n->addr) != 1)
        abort();
}

unsigned build_zone(struct gtm_intent *intent, const char *name, const char *file)
{
    struct gtm_zone_conf *z = ADD(intent->zones, intent->zones_count);
    z->name = copy_of(name);
    z->file = copy_of(file);
    remember(intent, GTM_REF_ZONE, name, intent->zones_count);
    return (unsigned)intent->zones_count - 1;
}

void build_name(struct gtm_intent *intent, unsigned zone, const char *name, int types, int policy)
{
    struct gtm_zone_conf *z = &intent->zones[zone];
    struct gtm_dynamic_name *n = ADD(z->names, z->names_count);
    n->name = copy_of(name);
    if (types & 1)
        *ADD(n->types, n->types_count) = GTM_TYPE_A;
    if (types & 2)
        *ADD(n->types, n->types_count) = GTM_TYPE_AAAA;
    n->has_policy = policy >= 0;
    n->has_group = policy < 0;
    n->policy = policy >= 0 ? (unsigned)policy : 0;
}

struct gtm_dynamic_name *build_typed(struct gtm_intent *intent, unsigned zone, const char *name,
                                     size_t types_count, const uint16_t *types, unsigned policy)
{
    struct gtm_zone_conf *z = &intent->zones[zone];
    build_name(intent, zone, name, 0, (int)policy);
    struct gtm_dynamic_name *n = &z->names[z->names_count - 1];
    for (size_t i = 0; i < types_count; i++)
        *ADD(n->types, n->types_count) = types[i];
    n->service_priority = 1;
    return n;
}

void build_alpn(struct gtm_dynamic_name *name, const char *protocol)
{
    *ADD(name->alpn, name->alpn_count) = copy_of(protocol);
}

struct gtm_dynamic_name *build_alias(struct gtm_intent *intent, unsigned zone, const char *name,
                                     int types, const char *target)
{
    struct gtm_zone_conf *z = &intent->zones[zone];
    build_name(intent, zone, name, types, -1);
    struct gtm_dynamic_name *n = &z->names[z->names_count - 1];
    n->has_group = false;
    n->alias = copy_of(target);
    return n;
}

void build_host(struct gtm_intent *intent, unsigned pool, unsigned endpoint, const char *host)
{
    intent->pools[pool].endpoints[endpoint].host = copy_of(host);
}
