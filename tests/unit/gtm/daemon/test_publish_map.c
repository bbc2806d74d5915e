/* SPDX-License-Identifier: Apache-2.0
 *
 * Class maps against the plain way: for random databases, routes and addresses, the class that the
 * published table finds holds exactly the lists that policy_rank gives for the address's location
 * and the networks around it (of a table of times: the longest one's order); also with several
 * geographic parts in one policy.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "dns/geodb.h"
#include "gtm/base/mem.h"
#include "gtm/base/rand.h"
#include "gtm/daemon/publish_int.h"
#include "policies/latency.h"
#include "tests/support/build_intent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORLDS    40
#define ADDRESSES 3000
#define REGIONS   6
#define LOCATIONS 60
#define LEAVES    200
#define ROUTES    5

static struct gtm_rand rand_;

static unsigned below(unsigned n)
{
    return gtm_rand_below(&rand_, n);
}

static const char *const countries[] = {"US", "DE", "IE", "SG", "BR"};

/* Disjoint /20s of 10.0.0.0/12 and /40s of 2001:db8::/32, each somewhere. */
static void random_geography(struct dns_geodb *db)
{
    db->locations_count = LOCATIONS;
    db->locations = gtm_calloc(LOCATIONS, sizeof(*db->locations));
    db->v4 = gtm_calloc(LEAVES, sizeof(*db->v4));
    db->v6 = gtm_calloc(LEAVES, sizeof(*db->v6));
    for (unsigned i = 1; i < LOCATIONS; i++) {
        struct gtm_location *l = &db->locations[i];
        snprintf(l->country, sizeof(l->country), "%s", countries[below(5)]);
        snprintf(l->continent, sizeof(l->continent), "%s", below(2) ? "EU" : "NA");
        snprintf(l->subdivision, sizeof(l->subdivision), "%s", below(2) ? "CA" : "");
        l->asn = 64500 + below(4);
        l->has_point = below(4) > 0;
        l->lat = (float)below(180) - 90;
        l->lon = (float)below(360) - 180;
    }
    for (unsigned i = 0; i < LEAVES; i++) {
        if (below(3))
            db->v4[db->v4_count++] = (struct dns_geo_leaf4){
                .addr = 0x0a000000u + (i << 12), .loc = below(LOCATIONS), .prefix_len = 20};
        if (below(3))
            db->v6[db->v6_count++] =
                (struct dns_geo_leaf6){.hi = UINT64_C(0x20010db800000000) + ((uint64_t)i << 24),
                                       .loc = below(LOCATIONS),
                                       .prefix_len = 40};
    }
}

static void random_geo_policy(struct gtm_intent *in, const char *name, int pool)
{
    unsigned p = build_policy(in, name, GTM_STEER_GEO, pool);
    char text[64];
    for (unsigned i = 0; i < ROUTES; i++) {
        struct gtm_route *r =
            build_route(in, p, 2, (const unsigned[]){below(REGIONS), below(REGIONS)});
        for (unsigned n = below(4); n > 0; n--) {
            unsigned len = 14 + below(14), v6_len = 34 + below(20);
            uint32_t addr = (0x0a000000u + below(1u << 20)) & ~(UINT32_MAX >> len);
            snprintf(text, sizeof(text), "%u.%u.%u.%u/%u", addr >> 24, addr >> 16 & 255,
                     addr >> 8 & 255, addr & 255, len);
            build_route_network(r, text);
            uint64_t hi = (UINT64_C(0x20010db800000000) + ((uint64_t)below(1u << 16) << 16)) &
                          ~(UINT64_MAX >> v6_len);
            snprintf(text, sizeof(text), "2001:db8:%x:%x::/%u", (unsigned)(hi >> 16 & 0xffff),
                     (unsigned)(hi & 0xffff), v6_len);
            build_route_network(r, text);
        }
        if (below(2) || r->networks_count == 0)
            build_route_country(r, countries[below(5)]);
        if (below(4) == 0)
            build_route_continent(r, "EU");
        if (below(4) == 0)
            build_route_subdivision(r, "US-CA");
        if (below(4) == 0)
            build_route_asn(r, 64500 + below(4));
    }
}

/* Lines with networks of all lengths, also inside one another, in random order. */
static void write_times(const char *path, const struct gtm_intent *in)
{
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    for (unsigned i = 0; i < 60; i++) {
        unsigned len = 12 + below(14), v6_len = 33 + below(20);
        uint32_t addr = (0x0a000000u + below(1u << 20)) & ~(UINT32_MAX >> len);
        uint64_t hi = (UINT64_C(0x20010db800000000) + ((uint64_t)below(1u << 16) << 16)) &
                      ~(UINT64_MAX >> v6_len);
        for (unsigned k = 1 + below(3); k > 0; k--) {
            fprintf(out, "%u.%u.%u.%u/%u,%s,%u\n", addr >> 24, addr >> 16 & 255, addr >> 8 & 255,
                    addr & 255, len, in->regions[below(REGIONS)].name, below(300));
            fprintf(out, "2001:db8:%x:%x::/%u %s %u.5\n", (unsigned)(hi >> 16 & 0xffff),
                    (unsigned)(hi & 0xffff), v6_len, in->regions[below(REGIONS)].name, below(300));
        }
    }
    fclose(out);
}

/* near, two geo policies, a latency one, and a split over all: five tables, one of four parts. */
static struct gtm_intent *random_intent(const char *zone_path, const char *times_path)
{
    struct gtm_intent *in = build_intent();
    char name[16];
    for (unsigned r = 0; r < REGIONS; r++) {
        snprintf(name, sizeof(name), "r%u", r);
        build_region(in, name, (double)below(180) - 90, (double)below(360) - 180);
    }
    int pool = (int)build_pool(in, "p");
    for (unsigned r = 0; r < REGIONS; r++)
        if (r == 0 || below(4))
            build_endpoint(in, (unsigned)pool, in->regions[r].name, r, "192.0.2.1", NULL, 1);
    build_policy(in, "near", GTM_STEER_NEAREST, pool);
    random_geo_policy(in, "geo1", pool);
    random_geo_policy(in, "geo2", pool);
    unsigned fast = build_policy(in, "fast", GTM_STEER_LATENCY, pool);
    in->policies[fast].latency_file = gtm_strdup(times_path);
    write_times(times_path, in);
    unsigned split = build_policy(in, "split", GTM_STEER_WEIGHTED, -1);
    for (unsigned p = 0; p < split; p++)
        build_target(in, split, GTM_TARGET_POLICY, p, 0, 1);
    unsigned zone = build_zone(in, "example.com", zone_path);
    for (unsigned p = 0; p <= split; p++)
        build_name(in, zone, in->policies[p].name, 3, (int)p);
    return in;
}

static bool holds(const struct gtm_network *n, int family, const uint8_t *addr)
{
    if (n->family != family)
        return false;
    for (unsigned bit = 0; bit < n->prefix_len; bit++)
        if (((n->addr[bit / 8] ^ addr[bit / 8]) >> (7 - bit % 8)) & 1)
            return false;
    return true;
}

static void rank_plainly(const struct gtm_compiled *c, unsigned part, const struct dns_geodb *db,
                         const uint8_t *addr, struct policy_regions *ret)
{
    const struct gtm_intent *in = c->intent;
    const struct gtm_policy *p = &in->policies[part];
    int family = addr[0] == 10 ? 4 : 6;
    uint32_t routes[ROUTES];
    struct policy_place place = {.loc = dns_geodb_find(db, family, addr, NULL), .routes = routes};
    for (uint32_t r = 0; r < p->routes_count; r++) {
        bool in_route = false;
        for (size_t n = 0; n < p->routes[r].networks_count; n++)
            in_route |= holds(&p->routes[r].networks[n], family, addr);
        if (in_route)
            routes[place.routes_count++] = r;
    }
    place.latency = c->latency->tables[part];
    int longest = -1;
    for (size_t i = 0; place.latency && i < policy_latency_networks(place.latency); i++) {
        struct gtm_network n;
        uint32_t label;
        policy_latency_network(place.latency, i, &n, &label);
        if (holds(&n, family, addr) && n.prefix_len > longest) {
            longest = n.prefix_len;
            routes[0] = label;
            place.routes_count = 1;
        }
    }
    policy_rank(in, part, &place, ret);
}

static void check_address(const struct gtm_publisher *pub, const struct dns_geodb *db, size_t table)
{
    const struct gtm__state *s = pub->state;
    const struct gtm__table *t = &s->compiled->tables[table];
    const struct gtm__map *map = s->compiled->maps[t->map];
    struct policy_parts parts;
    uint8_t addr[16] = {10, (uint8_t)below(16), (uint8_t)below(256), (uint8_t)below(256)};
    bool v6 = below(2);
    if (v6)
        memcpy(addr,
               ((uint8_t[8]){0x20, 0x01, 0x0d, 0xb8, (uint8_t)below(256), (uint8_t)below(256),
                             (uint8_t)below(256), (uint8_t)below(256)}),
               8);
    struct dns_steer_lookup at;
    dns_steer_find(s->tables[table].steer, GTM_TYPE_A, v6 ? 6 : 4, addr, &at);
    assert_in_range(at.class_id, 0, map->classes - 1);
    policy_parts(s->compiled->intent, t->index, &parts);
    assert_int_equal(parts.count, map->parts);
    for (size_t i = 0; i < parts.count; i++) {
        const struct policy_regions *got = &gtm__map_class(map, at.class_id)[i];
        struct policy_regions want;
        rank_plainly(s->compiled, parts.policy[i], db, addr, &want);
        assert_int_equal(got->count, want.count);
        assert_memory_equal(got->region, want.region, want.count * sizeof(want.region[0]));
    }
}

static void classes_mean_what_policies_rank(void **state)
{
    char path[] = "/tmp/gtm-map-XXXXXX", times[] = "/tmp/gtm-times-XXXXXX";
    static const char text[] = "$TTL 60\n@ SOA ns1 a 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.1\n";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
    close(fd);
    fd = mkstemp(times);
    assert_true(fd >= 0);
    close(fd);
    gtm_rand_seed(&rand_, 77);
    size_t classes = 0;
    for (unsigned w = 0; w < WORLDS; w++) {
        struct dns_geodb db = {.v4_count = 0};
        struct gtm_diags diags = {0};
        struct gtm_error err = {0};
        struct gtm_compiled_info info;
        random_geography(&db);
        struct gtm_intent *in = random_intent(path, times);
        struct gtm_states *states = gtm_states_new(in);
        struct gtm_compiled *c = gtm_compile(in, &db, NULL, &diags);
        struct gtm_publisher *pub = gtm_publisher_new(NULL, NULL);
        if (!c)
            gtm_diags_print(&diags, stderr);
        assert_non_null(c);
        assert_int_equal(gtm_publisher_install(pub, c, states, &err), 0);
        gtm_compiled_info(c, &info);
        assert_int_equal(info.tables, 5);
        assert_int_equal(info.maps, 5);
        classes += info.classes;
        for (unsigned a = 0; a < ADDRESSES; a++)
            check_address(pub, &db, a % info.tables);
        gtm_publisher_free(pub);
        gtm_compiled_unref(c);
        gtm_states_free(states);
        gtm_diags_fini(&diags);
        build_free(in);
        gtm_free(db.locations);
        gtm_free(db.v4);
        gtm_free(db.v6);
    }
    assert_true(classes > WORLDS * 40u); /* rich enough to mean something */
    unlink(path);
    unlink(times);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_mean_what_policies_rank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
