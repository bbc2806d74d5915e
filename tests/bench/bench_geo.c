/* SPDX-License-Identifier: Apache-2.0
 *
 * Geography: how long a database takes to load and a class map to compile, how large it is, and
 * what a look-up costs at random addresses inside random networks. Prints a table with JSON lines
 * (those that begin with a brace) in it. Reports only; never fails because a machine is slow.
 *
 *     bench_geo [DATABASE]     default: Debian's libloc-database
 */
#include "dns/classmap_lookup.h"
#include "dns/geodb.h"
#include "gtm/base/clock.h"
#include "gtm/base/mem.h"
#include "gtm/model/location.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESSES     (1u << 20)
#define RUNS          11
#define CITY_NETWORKS 3500000u
#define CITY_PLACES   120000u
#define REGIONS_MAX   31
#define CLASS_REGIONS 8 /* a class is the order of the first eight regions */

struct address6 {
    uint64_t hi, lo;
};

static uint64_t seed = 42;

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed * 0x2545f4914f6cdd1du;
}

static double now_s(void)
{
    return (double)gtm_mono_ns(gtm_clock_system()) / 1e9;
}

static volatile uint32_t sink; /* keeps the look-ups from being optimised away */
static volatile uint32_t zero;

static double run4(const struct dns_classmap *map, const uint32_t *addrs, uint32_t chain)
{
    uint32_t sum = 0, last = 0;
    double start = now_s();
    for (size_t i = 0; i < ADDRESSES; i++) {
        /* chain is 0, which the compiler cannot know: each look-up waits for the one before */
        last = dns__classmap_find4(map, addrs[i] ^ (last & chain));
        sum += last;
    }
    double seconds = now_s() - start;
    sink = sum;
    return seconds * 1e9 / ADDRESSES;
}

static double run4_independent(const struct dns_classmap *map, const uint32_t *addrs)
{
    uint32_t sum = 0;
    double start = now_s();
    for (size_t i = 0; i < ADDRESSES; i++)
        sum += dns__classmap_find4(map, addrs[i]);
    double seconds = now_s() - start;
    sink = sum;
    return seconds * 1e9 / ADDRESSES;
}

static double run6(const struct dns_classmap *map, const struct address6 *addrs, uint32_t chain)
{
    uint32_t sum = 0, last = 0;
    double start = now_s();
    for (size_t i = 0; i < ADDRESSES; i++) {
        last = dns__classmap_find6(map, addrs[i].hi ^ (last & chain), addrs[i].lo);
        sum += last;
    }
    double seconds = now_s() - start;
    sink = sum;
    return seconds * 1e9 / ADDRESSES;
}

static double run6_independent(const struct dns_classmap *map, const struct address6 *addrs)
{
    uint32_t sum = 0;
    double start = now_s();
    for (size_t i = 0; i < ADDRESSES; i++)
        sum += dns__classmap_find6(map, addrs[i].hi, addrs[i].lo);
    double seconds = now_s() - start;
    sink = sum;
    return seconds * 1e9 / ADDRESSES;
}

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare_double);
    return values[count / 2];
}

/* --- classes --- */

struct countries {
    char codes[512][3];
    uint32_t count;
};

static uint32_t class_country(void *ctx, const struct gtm_location *loc, const uint32_t *labels,
                              size_t labels_count)
{
    struct countries *c = ctx;
    (void)labels, (void)labels_count;
    for (uint32_t i = 0; i < c->count; i++)
        if (memcmp(c->codes[i], loc->country, 3) == 0)
            return i;
    if (c->count == 512)
        return DNS_CLASSES_MAX;
    memcpy(c->codes[c->count], loc->country, 3);
    return c->count++;
}

/* Regions of a large cloud, more or less. */
static const float regions[REGIONS_MAX][2] = {
    {38.9f, -77.0f}, {53.3f, -6.3f},  {1.4f, 103.8f},   {45.6f, -122.7f}, {37.4f, -121.9f},
    {50.1f, 8.7f},   {35.7f, 139.7f}, {-23.5f, -46.6f}, {-33.9f, 151.2f}, {19.1f, 72.9f},
    {40.0f, -83.0f}, {45.5f, -73.6f}, {51.0f, -114.1f}, {51.5f, -0.1f},   {48.9f, 2.4f},
    {59.3f, 18.1f},  {45.5f, 9.2f},   {41.6f, -0.9f},   {47.4f, 8.5f},    {25.3f, 51.5f},
    {26.1f, 50.6f},  {32.1f, 34.8f},  {-33.9f, 18.4f},  {17.4f, 78.5f},   {22.3f, 114.2f},
    {34.7f, 135.5f}, {37.6f, 127.0f}, {-6.2f, 106.8f},  {-37.8f, 145.0f}, {39.9f, 116.4f},
    {3.1f, 101.7f}};

struct nearest {
    unsigned regions_count;
    struct {
        uint8_t order[CLASS_REGIONS];
    } classes[DNS_CLASSES_MAX];
    uint32_t count;
    uint32_t index[1u << 18]; /* hash of an order → class + 1 */
};

static uint32_t class_nearest(void *ctx, const struct gtm_location *loc, const uint32_t *labels,
                              size_t labels_count)
{
    struct nearest *n = ctx;
    double km[REGIONS_MAX];
    uint8_t order[CLASS_REGIONS] = {0};
    (void)labels, (void)labels_count;
    for (unsigned r = 0; r < n->regions_count; r++)
        km[r] = loc->has_point ? gtm_distance_km((double)loc->lat, (double)loc->lon,
                                                 (double)regions[r][0], (double)regions[r][1])
                               : r;
    unsigned kept = n->regions_count < CLASS_REGIONS ? n->regions_count : CLASS_REGIONS;
    uint32_t used = 0;
    uint64_t hash = 1469598103934665603u;
    for (unsigned k = 0; k < kept; k++) {
        unsigned best = REGIONS_MAX;
        for (unsigned r = 0; r < n->regions_count; r++)
            if (!(used >> r & 1) && (best == REGIONS_MAX || km[r] < km[best]))
                best = r;
        used |= 1u << best;
        order[k] = (uint8_t)best;
        hash = (hash ^ best) * 1099511628211u;
    }
    for (uint32_t at = (uint32_t)(hash >> 20);; at++) {
        uint32_t *slot = &n->index[at & ((1u << 18) - 1)];
        if (*slot && memcmp(n->classes[*slot - 1].order, order, CLASS_REGIONS) == 0)
            return *slot - 1;
        if (*slot)
            continue;
        if (n->count == DNS_CLASSES_MAX)
            return DNS_CLASSES_MAX;
        memcpy(n->classes[n->count].order, order, CLASS_REGIONS);
        *slot = ++n->count;
        return n->count - 1;
    }
}

/* --- databases --- */

static uint32_t random4(const struct dns_geodb *db)
{
    const struct dns_geo_leaf4 *leaf = &db->v4[rnd() % db->v4_count];
    return leaf->addr | (uint32_t)((rnd() & UINT32_MAX) >> leaf->prefix_len);
}

static struct address6 random6(const struct dns_geodb *db)
{
    const struct dns_geo_leaf6 *leaf = &db->v6[rnd() % db->v6_count];
    struct address6 a = {leaf->hi, leaf->lo};
    unsigned len = leaf->prefix_len;
    if (len < 64)
        a.hi |= rnd() >> len;
    a.lo |= len <= 64 ? rnd() : len == 128 ? 0 : rnd() >> (len - 64);
    return a;
}

/* As large as a commercial City database: every network of the real one is cut into pieces, each at
 * a random place near its country's point. */
static struct dns_geodb *make_city(const struct dns_geodb *real)
{
    struct dns_geodb *db = gtm_calloc(1, sizeof(*db));
    if (!db)
        return NULL;
    db->locations = gtm_calloc(CITY_PLACES, sizeof(*db->locations));
    db->v4 = gtm_malloc(CITY_NETWORKS * sizeof(*db->v4));
    db->v6 = gtm_malloc(real->v6_count * sizeof(*db->v6));
    if (!db->locations || !db->v4 || !db->v6) {
        dns_geodb_free(db);
        return NULL;
    }
    for (uint32_t i = 1; i < CITY_PLACES; i++) {
        struct gtm_location *loc = &db->locations[i];
        *loc = real->locations[rnd() % real->locations_count];
        loc->lat += (float)(rnd() % 1000) / 100 - 5;
        loc->lon += (float)(rnd() % 2000) / 100 - 10;
    }
    db->locations_count = CITY_PLACES;
    for (size_t i = 0; i < real->v6_count; i++) {
        db->v6[i] = real->v6[i];
        db->v6[i].loc = (uint32_t)(rnd() % CITY_PLACES);
    }
    db->v6_count = real->v6_count;
    size_t budget = CITY_NETWORKS - real->v6_count;
    for (size_t i = 0; i < real->v4_count; i++) {
        struct dns_geo_leaf4 leaf = real->v4[i];
        size_t left = real->v4_count - i;
        unsigned cut = 0;
        while (leaf.prefix_len + cut < 29 && cut < 6 && (left << (cut + 1)) < budget * 3 / 2 &&
               db->v4_count + ((size_t)2 << cut) + left < budget)
            cut++;
        uint32_t place = (uint32_t)(rnd() % CITY_PLACES);
        for (uint32_t piece = 0; piece < 1u << cut; piece++) {
            if (rnd() % 4 == 0)
                place = (uint32_t)(rnd() % CITY_PLACES);
            uint8_t len = (uint8_t)(leaf.prefix_len + cut);
            uint32_t addr = leaf.addr | (len ? (uint32_t)((uint64_t)piece << (32 - len)) : 0);
            db->v4[db->v4_count++] = (struct dns_geo_leaf4){addr, place, len};
        }
    }
    return db;
}

/* --- one row --- */

static void bench_map(const char *name, const struct dns_geodb *db, dns_classify_fn classify,
                      void *ctx)
{
    struct gtm_error err = {0};
    double start = now_s();
    struct dns_classmap *map = dns_classmap_build(db, NULL, 0, classify, ctx, &err);
    double build_s = now_s() - start;
    uint32_t *addrs4 = gtm_malloc(ADDRESSES * sizeof(*addrs4));
    struct address6 *addrs6 = gtm_malloc(ADDRESSES * sizeof(*addrs6));
    double ns[4][RUNS];
    if (!map || !addrs4 || !addrs6) {
        fprintf(stderr, "%s: %s\n", name, map ? "out of memory" : err.text);
        goto out;
    }
    for (size_t i = 0; i < ADDRESSES; i++) {
        addrs4[i] = random4(db);
        addrs6[i] = random6(db);
    }
    for (int run = 0; run < RUNS; run++) {
        ns[0][run] = run4_independent(map, addrs4);
        ns[1][run] = run4(map, addrs4, zero);
        ns[2][run] = run6_independent(map, addrs6);
        ns[3][run] = run6(map, addrs6, zero);
    }
    double m[4];
    for (int i = 0; i < 4; i++)
        m[i] = median(ns[i], RUNS);
    double mib = (double)dns_classmap_bytes(map) / 1e6;
    printf("%-22s %7u %9zu %9zu %7.2f %8.2f %8.1f %8.1f %8.1f %8.1f\n", name,
           dns_classmap_classes(map), dns_classmap_leaves(map, 4), dns_classmap_leaves(map, 6), mib,
           build_s, m[0], m[1], m[2], m[3]);
    printf("{\"bench\":\"geo\",\"map\":\"%s\",\"classes\":%u,\"leaves4\":%zu,\"leaves6\":%zu,"
           "\"bytes\":%zu,\"build_s\":%.3f,\"v4_ns\":%.2f,\"v4_dependent_ns\":%.2f,"
           "\"v6_ns\":%.2f,\"v6_dependent_ns\":%.2f}\n",
           name, dns_classmap_classes(map), dns_classmap_leaves(map, 4),
           dns_classmap_leaves(map, 6), dns_classmap_bytes(map), build_s, m[0], m[1], m[2], m[3]);
out:
    gtm_free(addrs4);
    gtm_free(addrs6);
    dns_classmap_unref(map);
}

static void bench_nearest(const char *name, const struct dns_geodb *db, unsigned regions_count)
{
    struct nearest *nearest = gtm_calloc(1, sizeof(*nearest));
    if (!nearest)
        return;
    nearest->regions_count = regions_count;
    bench_map(name, db, class_nearest, nearest);
    gtm_free(nearest);
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "/usr/share/libloc-location/location.db";
    struct gtm_error err = {0};
    struct dns_geodb_info info;
    struct countries countries = {.count = 0};
    double start = now_s();
    struct dns_geodb *db = dns_geodb_load(&path, 1, &info, &err);
    double load_s = now_s() - start;
    if (!db || db->v4_count == 0 || db->v6_count == 0) {
        char text[GTM_ERROR_TEXT_BYTES + GTM_ERROR_FILE_BYTES];
        fprintf(stderr, "%s\n",
                db ? "needs both families" : gtm_error_format(&err, text, sizeof(text)));
        dns_geodb_free(db);
        return 1;
    }
    printf("load %s: %llu networks, %zu + %zu leaves, %zu locations, %.2f s\n", path,
           (unsigned long long)info.networks, db->v4_count, db->v6_count, db->locations_count,
           load_s);
    printf("{\"bench\":\"geo-load\",\"path\":\"%s\",\"networks\":%llu,\"load_s\":%.3f}\n", path,
           (unsigned long long)info.networks, load_s);
    printf("%-22s %7s %9s %9s %7s %8s %8s %8s %8s %8s\n", "map", "classes", "leaves4", "leaves6",
           "MB", "build s", "v4 ns", "v4 dep", "v6 ns", "v6 dep");
    bench_map("country", db, class_country, &countries);
    bench_nearest("nearest of 3", db, 3);
    bench_nearest("nearest of 31", db, REGIONS_MAX);
    start = now_s();
    struct dns_geodb *city = make_city(db);
    dns_geodb_free(db);
    if (city) {
        printf("synthetic city: %zu + %zu networks, %zu places, made in %.2f s\n", city->v4_count,
               city->v6_count, city->locations_count, now_s() - start);
        bench_nearest("city, nearest of 31", city, REGIONS_MAX);
    }
    dns_geodb_free(city);
    return 0;
}
