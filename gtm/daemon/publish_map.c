/* SPDX-License-Identifier: Apache-2.0
 *
 * Class maps: from the geographic parts of a policy to {class, scope} for every address, with the
 * meaning of each class. Maps are shared between policies whose ranking is the same, and with the
 * previous compile while the geography is the same. Worker thread.
 */
#include "dns/geodb.h"
#include "gtm/base/buf.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/publish_int.h"
#include "policies/latency.h"

#include <stdlib.h>
#include <string.h>

#define MAPS_BYTES_MAX (UINT64_C(1) << 30) /* all class maps of a compile */

uint64_t gtm__geography(const struct dns_geodb *db)
{
    uint64_t h = 1;
    if (!db)
        return 0;
    for (size_t i = 0; i < db->locations_count; i++) {
        const struct gtm_location *l = &db->locations[i];
        char codes[16] = {0};
        uint32_t point[2] = {0, 0};
        memcpy(codes, l->country, 2);
        memcpy(codes + 4, l->continent, 2);
        memcpy(codes + 8, l->subdivision, 3);
        if (l->has_point) {
            memcpy(&point[0], &l->lat, 4);
            memcpy(&point[1], &l->lon, 4);
        }
        h = gtm__hash_bytes(h, codes, sizeof(codes));
        h = gtm__hash_word(h, ((uint64_t)point[0] << 32) | point[1]);
        h = gtm__hash_word(h, ((uint64_t)l->has_point << 32) | l->asn);
    }
    for (size_t i = 0; i < db->v4_count; i++) {
        const struct dns_geo_leaf4 *leaf = &db->v4[i];
        h = gtm__hash_word(h, ((uint64_t)leaf->addr << 32) | leaf->loc);
        h = gtm__hash_word(h, leaf->prefix_len);
    }
    for (size_t i = 0; i < db->v6_count; i++) {
        const struct dns_geo_leaf6 *leaf = &db->v6[i];
        h = gtm__hash_word(h, leaf->hi);
        h = gtm__hash_word(h, leaf->lo);
        h = gtm__hash_word(h, ((uint64_t)leaf->prefix_len << 32) | leaf->loc);
    }
    return h ? h : 1;
}

/* ---- the key: all that the ranking of a policy's parts depends on, and nothing else ---- */

static void key_num(struct gtm_buf *key, uint32_t v)
{
    gtm_buf_add(key, &v, sizeof(v));
}

static void key_route(struct gtm_buf *key, const struct gtm_route *r)
{
    key_num(key, (uint32_t)r->networks_count);
    for (size_t i = 0; i < r->networks_count; i++) {
        uint8_t head[2] = {r->networks[i].family, r->networks[i].prefix_len};
        gtm_buf_add(key, head, sizeof(head));
        gtm_buf_add(key, r->networks[i].addr, head[0] == 4 ? 4 : 16);
    }
    key_num(key, (uint32_t)r->countries_count);
    gtm_buf_add(key, r->countries, r->countries_count * sizeof(*r->countries));
    key_num(key, (uint32_t)r->continents_count);
    gtm_buf_add(key, r->continents, r->continents_count * sizeof(*r->continents));
    key_num(key, (uint32_t)r->subdivisions_count);
    for (size_t i = 0; i < r->subdivisions_count; i++)
        gtm_buf_add(key, r->subdivisions[i], strlen(r->subdivisions[i]) + 1);
    key_num(key, (uint32_t)r->asns_count);
    gtm_buf_add(key, r->asns, r->asns_count * sizeof(*r->asns));
    key_num(key, (uint32_t)r->regions_count);
    gtm_buf_add(key, r->regions, r->regions_count * sizeof(*r->regions));
    key_num(key,
            r->has_policy ? r->policy + 1 : 0); /* which policies are the same, and which not */
}

static const struct policy_latency *table_of(const struct gtm_compiled *c, unsigned policy)
{
    return c->latency ? c->latency->tables[policy] : NULL;
}

static void key_part(struct gtm_buf *key, const struct gtm_compiled *c, unsigned policy)
{
    const struct gtm_intent *intent = c->intent;
    const struct policy_latency *table = table_of(c, policy);
    const struct gtm_policy *p = &intent->policies[policy];
    const struct gtm_pool *pool = &intent->pools[p->pool];
    struct policy_regionset here = {{0}};
    /* without a table times are unknown, so distances rank */
    key_num(key, p->steer == GTM_STEER_LATENCY && !table ? GTM_STEER_NEAREST : p->steer);
    if (table) {
        uint64_t hash = policy_latency_hash(table);
        gtm_buf_add(key, &hash, sizeof(hash));
    }
    for (size_t e = 0; e < pool->endpoints_count; e++) {
        unsigned r = pool->endpoints[e].region;
        here.bits[r / 64] |= UINT64_C(1) << (r % 64);
    }
    for (unsigned r = 0; r < intent->regions_count; r++) {
        const struct gtm_region *region = &intent->regions[r];
        if (!policy_regionset_has(&here, r))
            continue;
        key_num(key, r);
        gtm_buf_addc(key, region->has_location ? 1 : 0);
        if (region->has_location && p->steer != GTM_STEER_GEO) {
            gtm_buf_add(key, &region->lat, sizeof(region->lat));
            gtm_buf_add(key, &region->lon, sizeof(region->lon));
        }
    }
    key_num(key, UINT32_MAX); /* no region: the end */
    key_num(key, (uint32_t)p->order_count);
    gtm_buf_add(key, p->order, p->order_count * sizeof(*p->order));
    if (p->steer != GTM_STEER_GEO)
        return;
    key_num(key, (uint32_t)p->routes_count);
    for (size_t i = 0; i < p->routes_count; i++)
        key_route(key, &p->routes[i]);
}

/* ---- classification ---- */

struct classify {
    const struct gtm_compiled *out;
    const struct gtm_intent *intent;
    struct policy_parts parts;
    uint32_t first_label[POLICY_PARTS_MAX + 1]; /* part i's routes (of a latency part, the labels of
                                                   its table): [first[i], first[i + 1]) */
    bool country, continent, subdivision, point;
    uint32_t *asns; /* named by any route, sorted */
    size_t asns_count;
    struct dns_labeled_network *networks;
    size_t networks_count;
    uint32_t *routes;         /* scratch: one per label */
    struct gtm__intern memo;  /* what matters of a place → index into memo_class */
    struct gtm__intern lists; /* lists of all parts; number = class */
    uint32_t *memo_class;
    size_t memo_cap;
    struct gtm_buf key;
    bool failed;
};

static void classify_fini(struct classify *c)
{
    gtm_free(c->asns);
    gtm_free(c->networks);
    gtm_free(c->routes);
    gtm__intern_fini(&c->memo);
    gtm__intern_fini(&c->lists);
    gtm_free(c->memo_class);
    gtm_buf_fini(&c->key);
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void take_route(struct classify *c, const struct gtm_route *r, uint32_t label)
{
    c->country |= r->countries_count > 0 || r->subdivisions_count > 0;
    c->subdivision |= r->subdivisions_count > 0;
    c->continent |= r->continents_count > 0;
    for (size_t i = 0; i < r->asns_count; i++)
        c->asns[c->asns_count++] = r->asns[i];
    for (size_t i = 0; i < r->networks_count; i++) {
        struct dns_labeled_network *n = &c->networks[c->networks_count++];
        *n = (struct dns_labeled_network){.family = r->networks[i].family,
                                          .prefix_len = r->networks[i].prefix_len,
                                          .label = label};
        memcpy(n->addr, r->networks[i].addr, sizeof(n->addr));
    }
}

static void take_table(struct classify *c, const struct policy_latency *table, uint32_t first)
{
    for (size_t i = 0; i < policy_latency_networks(table); i++) {
        struct dns_labeled_network *n = &c->networks[c->networks_count++];
        struct gtm_network network;
        uint32_t label;
        policy_latency_network(table, i, &network, &label);
        *n = (struct dns_labeled_network){
            .family = network.family, .prefix_len = network.prefix_len, .label = first + label};
        memcpy(n->addr, network.addr, sizeof(n->addr));
    }
}

static int classify_init(struct classify *c, const struct gtm_compiled *out,
                         const struct policy_parts *parts)
{
    const struct gtm_intent *intent = out->intent;
    size_t networks = 0, asns = 0;
    *c = (struct classify){.out = out, .intent = intent, .parts = *parts};
    for (size_t i = 0; i < parts->count; i++) {
        const struct gtm_policy *p = &intent->policies[parts->policy[i]];
        const struct policy_latency *table = table_of(out, parts->policy[i]);
        size_t routes = p->steer == GTM_STEER_GEO ? p->routes_count : 0;
        size_t labels = table ? policy_latency_labels(table) : routes;
        c->first_label[i + 1] = c->first_label[i] + (uint32_t)labels;
        networks += table ? policy_latency_networks(table) : 0;
        for (size_t r = 0; r < routes; r++) {
            networks += p->routes[r].networks_count;
            asns += p->routes[r].asns_count;
        }
    }
    c->networks = gtm_calloc(networks, sizeof(*c->networks));
    c->asns = gtm_calloc(asns, sizeof(*c->asns));
    c->routes = gtm_calloc(c->first_label[parts->count], sizeof(*c->routes));
    if (!c->networks || !c->asns || !c->routes)
        return GTM_ENOMEM;
    for (size_t i = 0; i < parts->count; i++) {
        const struct gtm_policy *p = &intent->policies[parts->policy[i]];
        const struct policy_latency *table = table_of(out, parts->policy[i]);
        c->point |= p->steer != GTM_STEER_GEO;
        if (table)
            take_table(c, table, c->first_label[i]);
        for (uint32_t l = c->first_label[i]; !table && l < c->first_label[i + 1]; l++)
            take_route(c, &p->routes[l - c->first_label[i]], l);
    }
    if (c->asns_count > 1)
        qsort(c->asns, c->asns_count, sizeof(*c->asns), compare_u32);
    return GTM_OK;
}

/* Only what some part looks at, so that places which differ elsewhere are ranked once. */
static void reduce(const struct classify *c, const struct gtm_location *loc,
                   struct gtm_location *ret)
{
    memset(ret, 0, sizeof(*ret)); /* padding too: the bytes become a key */
    if (c->country)
        memcpy(ret->country, loc->country, sizeof(ret->country));
    if (c->continent)
        memcpy(ret->continent, loc->continent, sizeof(ret->continent));
    if (c->subdivision)
        memcpy(ret->subdivision, loc->subdivision, sizeof(ret->subdivision));
    if (c->point && loc->has_point) {
        ret->has_point = true;
        ret->lat = loc->lat;
        ret->lon = loc->lon;
    }
    if (c->asns_count > 0 &&
        bsearch(&loc->asn, c->asns, c->asns_count, sizeof(loc->asn), compare_u32))
        ret->asn = loc->asn;
}

static int rank_all(struct classify *c, const struct gtm_location *loc, const uint32_t *labels,
                    size_t labels_count, uint32_t *ret_class)
{
    struct policy_regions lists[POLICY_PARTS_MAX];
    memset(lists, 0, sizeof(lists));
    for (size_t i = 0, at = 0; i < c->parts.count; i++) {
        struct policy_place place = {
            .loc = loc, .routes = c->routes, .latency = table_of(c->out, c->parts.policy[i])};
        while (at < labels_count && labels[at] < c->first_label[i + 1])
            c->routes[place.routes_count++] = labels[at++] - c->first_label[i];
        policy_rank(c->intent, c->parts.policy[i], &place, &lists[i]);
    }
    return gtm__intern_add(&c->lists, lists, c->parts.count * sizeof(lists[0]), ret_class, NULL);
}

/* dns_classify_fn */
static uint32_t classify(void *ctx, const struct gtm_location *loc, const uint32_t *labels,
                         size_t labels_count)
{
    struct classify *c = ctx;
    struct gtm_location l;
    uint32_t memo = 0;
    bool fresh = false;
    reduce(c, loc, &l);
    gtm_buf_clear(&c->key);
    gtm_buf_add(&c->key, &l, sizeof(l));
    gtm_buf_add(&c->key, labels, labels_count * sizeof(*labels));
    void *classes = c->memo_class;
    int rc = c->key.failed ? GTM_ENOMEM
                           : gtm__intern_add(&c->memo, c->key.data, c->key.len, &memo, &fresh);
    if (rc == GTM_OK && fresh) {
        rc = gtm_grow(&classes, &c->memo_cap, c->memo.count, sizeof(*c->memo_class));
        c->memo_class = classes;
        if (rc == GTM_OK)
            rc = rank_all(c, &l, labels, labels_count, &c->memo_class[memo]);
    }
    c->failed |= rc != GTM_OK;
    return c->failed ? DNS_CLASSES_MAX : c->memo_class[memo]; /* too high: stops the build */
}

/* ---- maps ---- */

void gtm__map_unref(struct gtm__map *map)
{
    if (!map || atomic_fetch_sub_explicit(&map->refs, 1, memory_order_acq_rel) != 1)
        return;
    dns_classmap_unref(map->map);
    gtm_free(map->lists);
    gtm_free(map->key);
    gtm_free(map);
}

static struct gtm__map *map_new(const struct gtm__map_builder *b, const struct gtm_buf *key,
                                size_t parts)
{
    struct gtm__map *m = gtm_calloc(1, sizeof(*m));
    if (!m)
        return NULL;
    atomic_init(&m->refs, 1);
    m->parts = parts;
    m->geography = parts ? b->out->geography : 0;
    m->key_len = key->len;
    m->key = gtm_memdup(key->len ? key->data : "", key->len);
    if (!m->key) {
        gtm__map_unref(m);
        return NULL;
    }
    return m;
}

static struct gtm__map *map_build(const struct gtm__map_builder *b, const struct gtm_buf *key,
                                  const struct policy_parts *parts, struct gtm_error *err)
{
    struct classify c;
    struct gtm__map *m = map_new(b, key, parts->count);
    int rc = classify_init(&c, b->out, parts);
    if (!m || rc != GTM_OK) {
        gtm_error_set(err, GTM_ENOMEM, "no memory for a class map");
        goto fail;
    }
    m->map = parts->count == 0
                 ? dns_classmap_trivial()
                 : dns_classmap_build(b->geodb, c.networks, c.networks_count, classify, &c, err);
    m->classes = parts->count == 0 ? 1 : c.lists.count;
    if (m->map && parts->count > 0) {
        m->lists = gtm_memdup(c.lists.bytes, c.lists.bytes_len);
        if (!m->lists || m->classes == 0 || m->classes < dns_classmap_classes(m->map)) {
            dns_classmap_unref(m->map);
            m->map = NULL;
        }
    }
    if (!m->map) {
        if (!err->code || c.failed)
            gtm_error_set(err, GTM_ENOMEM, "no memory for a class map");
        goto fail;
    }
    classify_fini(&c);
    return m;
fail:
    classify_fini(&c);
    gtm__map_unref(m);
    return NULL;
}

static struct gtm__map *map_reuse(const struct gtm__map_builder *b, const struct gtm_buf *key,
                                  size_t parts)
{
    uint64_t geography = parts ? b->out->geography : 0;
    for (size_t i = 0; b->previous && i < b->previous->maps_count; i++) {
        struct gtm__map *m = b->previous->maps[i];
        if (m->parts == parts && m->geography == geography && m->key_len == key->len &&
            (key->len == 0 || memcmp(m->key, key->data, key->len) == 0)) {
            atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
            return m;
        }
    }
    return NULL;
}

static int map_add(struct gtm__map_builder *b, const struct gtm_buf *key,
                   const struct policy_parts *parts, uint32_t *ret_map, struct gtm_error *err)
{
    bool fresh = false;
    void *maps = b->out->maps;
    int rc = gtm_grow(&maps, &b->out->maps_cap, b->out->maps_count + 1, sizeof(struct gtm__map *));
    b->out->maps = maps;
    if (rc == GTM_OK)
        rc = key->failed ? GTM_ENOMEM
                         : gtm__intern_add(&b->keys, key->data, key->len, ret_map, &fresh);
    if (rc != GTM_OK)
        return gtm_error_set(err, rc, "no memory for a class map");
    if (!fresh)
        return GTM_OK;
    struct gtm_error why = {0};
    struct gtm__map *m = map_reuse(b, key, parts->count);
    if (m)
        b->out->info.maps_reused++;
    else
        m = map_build(b, key, parts, &why);
    if (!m)
        return gtm_error_set(err, why.code ? why.code : GTM_ENOMEM, "%s", why.text);
    b->out->maps[b->out->maps_count++] = m;
    b->out->info.map_bytes += dns_classmap_bytes(m->map);
    b->out->info.classes += m->classes;
    if (b->out->info.map_bytes > MAPS_BYTES_MAX)
        return gtm_error_set(err, GTM_ELIMIT,
                             "%zu class maps take more than 1 GiB; policies share one when their "
                             "pools are in the same regions and their routes are the same",
                             b->out->maps_count);
    return GTM_OK;
}

int gtm__map_trivial(struct gtm__map_builder *b, uint32_t *ret_map, struct gtm_error *err)
{
    struct policy_parts none = {.count = 0};
    struct gtm_buf key = {0};
    return map_add(b, &key, &none, ret_map, err);
}

int gtm__map_for(struct gtm__map_builder *b, unsigned policy, uint32_t *ret_map,
                 struct gtm_error *err)
{
    struct policy_parts parts;
    struct gtm_buf key = {0};
    policy_parts(b->out->intent, policy, &parts);
    for (size_t i = 0; i < parts.count; i++)
        key_part(&key, b->out, parts.policy[i]);
    int rc = map_add(b, &key, &parts, ret_map, err);
    gtm_buf_fini(&key);
    return rc;
}
