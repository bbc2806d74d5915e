/* SPDX-License-Identifier: Apache-2.0
 *
 * Class maps against a brute-force oracle: random geographies and nested, repeated and extreme
 * networks; at every place where anything changes the class is the oracle's, the scope's network
 * has one class, and no larger network around it has.
 */
#include "dns/classmap.h"
#include "dns/classmap_lookup.h"
#include "dns/geodb.h"
#include "dns/key128.h"
#include "gtm/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NETS_MAX   400
#define POINTS_MAX (4 * NETS_MAX + 16)

static uint64_t seed = 1;

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed * 0x2545f4914f6cdd1du;
}

/* A geography and routes of one family, and what the oracle needs. */
struct world {
    int family;
    struct dns_geodb db;
    struct gtm_location locations[16];
    struct dns_geo_leaf4 v4[NETS_MAX];
    struct dns_geo_leaf6 v6[NETS_MAX];
    struct dns_labeled_network nets[NETS_MAX];
    size_t nets_count;
    unsigned classes;
    dns__key points[POINTS_MAX]; /* where a class may begin */
    size_t points_count;
};

/* The class is any fixed function of location and label set. */
static uint32_t class_by(uint32_t loc, const uint32_t *labels, size_t count, unsigned classes)
{
    uint32_t hash = loc * 2654435761u;
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ labels[i]) * 16777619u + 1;
    return (hash >> 7) % classes;
}

struct classify_ctx {
    const struct world *world;
    unsigned calls;
};

static uint32_t classify(void *ctx, const struct gtm_location *loc, const uint32_t *labels,
                         size_t count)
{
    struct classify_ctx *c = ctx;
    c->calls++;
    for (size_t i = 1; i < count; i++)
        assert_true(labels[i - 1] < labels[i]); /* sorted, distinct */
    return class_by(loc->asn, labels, count, c->world->classes);
}

static bool net_holds(const struct dns_labeled_network *net, dns__key key)
{
    return ((key ^ dns__key_bytes(net->family, net->addr)) & ~dns__key_tail(net->prefix_len)) == 0;
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t oracle_class(const struct world *w, dns__key key)
{
    uint32_t loc = 0, labels[NETS_MAX];
    size_t count = 0, distinct = 0;
    for (size_t i = 0; i < w->db.v4_count; i++)
        if (((key ^ dns__key_from4(w->v4[i].addr)) & ~dns__key_tail(w->v4[i].prefix_len)) == 0)
            loc = w->v4[i].loc;
    for (size_t i = 0; i < w->db.v6_count; i++)
        if (((key ^ dns__key_from(w->v6[i].hi, w->v6[i].lo)) &
             ~dns__key_tail(w->v6[i].prefix_len)) == 0)
            loc = w->v6[i].loc;
    for (size_t i = 0; i < w->nets_count; i++)
        if (w->nets[i].family == w->family && net_holds(&w->nets[i], key))
            labels[count++] = w->nets[i].label;
    qsort(labels, count, sizeof(*labels), compare_u32);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || labels[i] != labels[i - 1])
            labels[distinct++] = labels[i];
    return class_by(loc, labels, distinct, w->classes);
}

/* All of the network has the class: it is enough to look where something may change. */
static bool oracle_uniform(const struct world *w, const uint32_t *class_at, dns__key first,
                           unsigned prefix_len, uint32_t class_id)
{
    dns__key last = first | dns__key_tail(prefix_len);
    if (oracle_class(w, first) != class_id)
        return false;
    for (size_t i = 0; i < w->points_count; i++)
        if (w->points[i] >= first && w->points[i] <= last && class_at[i] != class_id)
            return false;
    return true;
}

static uint32_t find(const struct dns_classmap *map, int family, dns__key key)
{
    uint32_t leaf = family == 4 ? dns_classmap_find4(map, (uint32_t)(dns__key_hi(key) >> 32))
                                : dns_classmap_find6(map, dns__key_hi(key), dns__key_lo(key));
    uint8_t bytes[16];
    for (unsigned i = 0; i < 16; i++)
        bytes[i] = (uint8_t)(key >> (120 - 8 * i));
    assert_int_equal(dns_classmap_find(map, family, bytes), leaf);
    return leaf;
}

static void check_at(const struct world *w, const uint32_t *class_at,
                     const struct dns_classmap *map, dns__key key)
{
    unsigned width = w->family == 4 ? 32 : 128;
    if (w->family == 4)
        key &= ~dns__key_tail(32);
    uint32_t leaf = find(map, w->family, key), class_id = DNS_LEAF_CLASS(leaf);
    unsigned scope = DNS_LEAF_SCOPE(leaf);
    assert_int_equal(class_id, oracle_class(w, key));
    assert_true(scope <= width);
    dns__key first = key & ~dns__key_tail(scope), last = first | dns__key_tail(scope);
    if (w->family == 4)
        last &= ~dns__key_tail(32);
    assert_true(oracle_uniform(w, class_at, first, scope, class_id));
    if (scope > 0) {
        dns__key wider = key & ~dns__key_tail(scope - 1);
        assert_false(oracle_uniform(w, class_at, wider, scope - 1, class_id));
    }
    assert_int_equal(find(map, w->family, first), leaf);
    assert_int_equal(find(map, w->family, last), leaf);
}

static void add_point(struct world *w, dns__key key)
{
    assert_true(w->points_count < POINTS_MAX);
    w->points[w->points_count++] = key;
}

static void check_world(struct world *w)
{
    struct gtm_error err = {0};
    struct classify_ctx ctx = {.world = w};
    add_point(w, 0);
    for (size_t i = 0; i < w->nets_count; i++) {
        dns__key first = dns__key_bytes(w->nets[i].family, w->nets[i].addr) &
                         ~dns__key_tail(w->nets[i].prefix_len);
        add_point(w, first);
        add_point(w, (first | dns__key_tail(w->nets[i].prefix_len)) + 1);
    }
    for (size_t i = 0; i < w->db.v4_count; i++) {
        add_point(w, dns__key_from4(w->v4[i].addr));
        add_point(w, (dns__key_from4(w->v4[i].addr) | dns__key_tail(w->v4[i].prefix_len)) + 1);
    }
    for (size_t i = 0; i < w->db.v6_count; i++) {
        dns__key first = dns__key_from(w->v6[i].hi, w->v6[i].lo);
        add_point(w, first);
        add_point(w, (first | dns__key_tail(w->v6[i].prefix_len)) + 1);
    }
    uint32_t class_at[POINTS_MAX];
    for (size_t i = 0; i < w->points_count; i++)
        class_at[i] = oracle_class(w, w->points[i]);

    struct dns_classmap *map =
        dns_classmap_build(&w->db, w->nets, w->nets_count, classify, &ctx, &err);
    assert_non_null(map);
    assert_true(dns_classmap_classes(map) <= w->classes);
    for (size_t i = 0; i < w->points_count; i++) {
        check_at(w, class_at, map, w->points[i]);
        check_at(w, class_at, map, w->points[i] - 1);
        check_at(w, class_at, map, w->points[i] + (rnd() & 0xffff));
        check_at(w, class_at, map, dns__key_from(rnd(), rnd()));
    }
    check_at(w, class_at, map, 0);
    check_at(w, class_at, map, DNS__KEY_MAX);
    dns_classmap_unref(map);
}

static void set_net(struct world *w, dns__key key, unsigned prefix_len, uint32_t label)
{
    struct dns_labeled_network *net = &w->nets[w->nets_count++];
    *net = (struct dns_labeled_network){
        .family = (uint8_t)w->family, .prefix_len = (uint8_t)prefix_len, .label = label};
    for (unsigned i = 0; i < (w->family == 4 ? 4u : 16u); i++)
        net->addr[i] = (uint8_t)(key >> (120 - 8 * i));
}

static void init_world(struct world *w, int family, unsigned classes)
{
    memset(w, 0, sizeof(*w));
    w->family = family;
    w->classes = classes;
    w->db.locations = w->locations;
    w->db.locations_count = 16;
    for (uint32_t i = 0; i < 16; i++)
        w->locations[i].asn = i; /* classify sees which one it is */
    w->db.v4 = w->v4;
    w->db.v6 = w->v6;
}

/* Addresses that lie close together in places, and mostly in 2000::/3. */
static dns__key random_key(int family)
{
    dns__key key = dns__key_from(rnd(), rnd());
    if (rnd() % 2)
        key &= ~(dns__key_from(UINT64_MAX, UINT64_MAX) >> (rnd() % 24));
    if (family == 6 && rnd() % 4)
        key = (key & dns__key_tail(3)) | dns__key_from(0x2000000000000000u, 0);
    return family == 4 ? key & ~dns__key_tail(32) : key;
}

static void random_leaves(struct world *w, size_t count)
{
    dns__key pos = 0;
    for (size_t i = 0; i < count; i++) {
        /* Steps of very different sizes, aligned, ascending. */
        unsigned len = 2 + (unsigned)(rnd() % (w->family == 4 ? 31 : 127));
        dns__key first = pos + dns__key_tail(len) * (rnd() % 3);
        if (rnd() % 3 == 0 && w->family == 6 && pos < dns__key_from(0x2000000000000000u, 0))
            first = dns__key_from(0x2000000000000000u, 0);
        first = (first + dns__key_tail(len)) & ~dns__key_tail(len);
        dns__key last = first | dns__key_tail(len);
        if (first < pos || last < first || last == DNS__KEY_MAX)
            return;
        uint32_t loc = (uint32_t)(rnd() % 16);
        if (w->family == 4)
            w->v4[w->db.v4_count++] =
                (struct dns_geo_leaf4){(uint32_t)(dns__key_hi(first) >> 32), loc, (uint8_t)len};
        else
            w->v6[w->db.v6_count++] =
                (struct dns_geo_leaf6){dns__key_hi(first), dns__key_lo(first), loc, (uint8_t)len};
        pos = last + 1;
    }
}

static void random_nets(struct world *w, size_t count)
{
    unsigned width = w->family == 4 ? 32 : 128;
    for (size_t i = 0; i < count; i++) {
        unsigned len = (unsigned)(rnd() % (width + 1));
        dns__key key = random_key(w->family);
        if (w->nets_count > 0 && rnd() % 2) { /* inside, around or equal to another one */
            const struct dns_labeled_network *near = &w->nets[rnd() % w->nets_count];
            key = dns__key_bytes(w->family, near->addr);
            len = rnd() % 4 ? len : near->prefix_len;
        }
        set_net(w, key, len, (uint32_t)(rnd() % 9));
    }
}

static void test_random_worlds(void **state)
{
    static struct world w;
    for (unsigned round = 0; round < 60; round++) {
        seed = round * 7919 + 17;
        init_world(&w, round % 2 ? 4 : 6, round % 5 == 0 ? 1 : 2 + (unsigned)(rnd() % 30));
        random_leaves(&w, rnd() % 120);
        random_nets(&w, rnd() % 90);
        check_world(&w);
    }
}

static void test_extreme_networks(void **state)
{
    static struct world w;
    for (int family = 4; family <= 6; family += 2) {
        dns__key top = family == 4 ? ~dns__key_tail(32) : DNS__KEY_MAX;
        unsigned width = family == 4 ? 32 : 128;
        init_world(&w, family, 1000);
        set_net(&w, 0, 0, 1);
        set_net(&w, 0, width, 2);
        set_net(&w, top, width, 3);
        set_net(&w, top, 1, 4);
        set_net(&w, 0, 1, 5);
        set_net(&w, dns__key_from(0x2000000000000000u, 0), 3, 6);
        set_net(&w, dns__key_from(0x3fffffffffffffffu, UINT64_MAX) & top, width, 7);
        set_net(&w, dns__key_from(0x2000000000000000u, 0), width, 8);
        for (unsigned len = 0; len <= width; len++) /* a chain of every length */
            set_net(&w, dns__key_from(0x2a5a5a5a5a5a5a5au, 0xa5a5a5a5a5a5a5a5u), len, 100 + len);
        check_world(&w);
    }
}

static uint32_t class_of_location(void *ctx, const struct gtm_location *loc, const uint32_t *labels,
                                  size_t count)
{
    (*(unsigned *)ctx)++;
    return loc->asn + (count ? 100 : 0);
}

static void test_scopes_of_a_known_case(void **state)
{
    static struct world w;
    unsigned calls = 0;
    init_world(&w, 4, 8);
    w.v4[0] = (struct dns_geo_leaf4){0x0a000000, 1, 9};  /* 10.0.0.0/9 */
    w.v4[1] = (struct dns_geo_leaf4){0x0a800000, 1, 9};  /* 10.128.0.0/9: joins it to a /8 */
    w.v4[2] = (struct dns_geo_leaf4){0xc0a80000, 2, 24}; /* 192.168.0.0/24 */
    w.db.v4_count = 3;
    set_net(&w, dns__key_from4(0xc0a80080), 25, 5); /* 192.168.0.128/25 */
    struct dns_classmap *map =
        dns_classmap_build(&w.db, w.nets, 1, class_of_location, &calls, NULL);
    assert_non_null(map);
    assert_int_equal(dns_classmap_find4(map, 0x0a7fffff), 1 << 8 | 8);
    assert_int_equal(dns_classmap_find4(map, 0x0a800000), 1 << 8 | 8);
    assert_int_equal(dns_classmap_find4(map, 0x0b000000), 0 << 8 | 8);
    assert_int_equal(dns_classmap_find4(map, 0x0c000000), 0 << 8 | 6);
    assert_int_equal(dns_classmap_find4(map, 0xc0a8007f), 2 << 8 | 25);
    assert_int_equal(dns_classmap_find4(map, 0xc0a80080), 102 << 8 | 25);
    assert_int_equal(dns_classmap_find4(map, 0xffffffff), 0 << 8 | 3);
    assert_int_equal(dns_classmap_classes(map), 103);
    /* Unknown, 1, 2, 2 with the label: each asked once although /9s and gaps repeat. */
    assert_int_equal(calls, 4);
    assert_int_equal(dns_classmap_find6(map, 0, 0), 0);
    assert_int_equal(dns_classmap_leaves(map, 6), 1);
    dns_classmap_unref(map);
}

static void test_trivial_and_counting(void **state)
{
    struct dns_classmap *map = dns_classmap_trivial();
    assert_non_null(map);
    assert_ptr_equal(dns_classmap_ref(map), map);
    dns_classmap_unref(map);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(dns_classmap_find4(map, (uint32_t)rnd()), 0);
        assert_int_equal(dns_classmap_find6(map, rnd(), rnd()), 0);
    }
    assert_int_equal(dns_classmap_classes(map), 1);
    assert_int_equal(dns_classmap_leaves(map, 4), 1);
    assert_int_equal(dns_classmap_leaves(map, 6), 1);
    assert_true(dns_classmap_bytes(map) < 1024);
    dns_classmap_unref(map);
    dns_classmap_unref(NULL);
}

static uint32_t class_too_high(void *ctx, const struct gtm_location *loc, const uint32_t *labels,
                               size_t count)
{
    return count ? *(const uint32_t *)ctx : 0;
}

static void test_limits_and_bad_networks(void **state)
{
    struct gtm_error err = {0};
    struct dns_labeled_network net = {.family = 4, .prefix_len = 8, .addr = {10}, .label = 1};
    uint32_t highest = DNS_CLASSES_MAX - 1, beyond = DNS_CLASSES_MAX;
    struct dns_classmap *map = dns_classmap_build(NULL, &net, 1, class_too_high, &highest, &err);
    assert_non_null(map);
    assert_int_equal(dns_classmap_find4(map, 0x0a000001), highest << 8 | 8);
    assert_int_equal(dns_classmap_classes(map), DNS_CLASSES_MAX);
    dns_classmap_unref(map);
    assert_null(dns_classmap_build(NULL, &net, 1, class_too_high, &beyond, &err));
    assert_int_equal(err.code, GTM_ELIMIT);
    net.prefix_len = 33;
    assert_null(dns_classmap_build(NULL, &net, 1, class_too_high, &highest, &err));
    assert_int_equal(err.code, GTM_EINVAL);
    net.family = 5;
    net.prefix_len = 8;
    assert_null(dns_classmap_build(NULL, &net, 1, class_too_high, &highest, &err));
    assert_int_equal(err.code, GTM_EINVAL);
}

/* Every allocation in turn fails: an error each time, nothing leaks (AddressSanitizer looks). */
static void test_out_of_memory(void **state)
{
    static struct world w;
    struct classify_ctx ctx = {.world = &w};
    seed = 99;
    init_world(&w, 6, 20);
    random_leaves(&w, 60);
    random_nets(&w, 60);
    for (uint64_t n = 1; n < 10000; n++) {
        struct gtm_error err = {0};
        gtm_mem_fail_at(n, 0);
        struct dns_classmap *map =
            dns_classmap_build(&w.db, w.nets, w.nets_count, classify, &ctx, &err);
        gtm_mem_fail_at(0, 0);
        if (map) {
            dns_classmap_unref(map);
            assert_true(n > 10);
            return;
        }
        assert_int_equal(err.code, GTM_ENOMEM);
    }
    fail_msg("never succeeded");
}

static void test_lookup_allocates_nothing(void **state)
{
    struct dns_classmap *map = dns_classmap_trivial();
    assert_non_null(map);
    uint64_t before = gtm_mem_count();
    uint32_t sum = dns__classmap_find4(map, 1) + dns__classmap_find6(map, 1, 2);
    dns_classmap_prefetch4(map, 1);
    dns_classmap_prefetch6(map, UINT64_C(0x2001) << 48);
    assert_int_equal(sum, 0);
    assert_int_equal(gtm_mem_count(), before);
    dns_classmap_unref(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_worlds),
        cmocka_unit_test(test_extreme_networks),
        cmocka_unit_test(test_scopes_of_a_known_case),
        cmocka_unit_test(test_trivial_and_counting),
        cmocka_unit_test(test_limits_and_bad_networks),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_lookup_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
