/* SPDX-License-Identifier: Apache-2.0
 *
 * The whole internet: for a million random addresses of both families, half of them uniform and
 * half inside random known networks, the class map must say what libloc itself says, and the same
 * data written as .mmdb what libmaxminddb itself says; and every sampled address inside a returned
 * scope must have the same answer. Skipped where Debian's libloc-database is not installed.
 */
#include "dns/classmap.h"
#include "dns/geodb.h"
#include "dns/key128.h"
#include "tests/support/mmdb_write.h"

#include <libloc/database.h>
#include <maxminddb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define DATABASE "/usr/share/libloc-location/location.db"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif
#ifdef SANITIZED
#define ADDRESSES 100000
#else
#define ADDRESSES 1000000
#endif
#define COUNTRIES_MAX 600

static uint64_t seed = 20221029;

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed * 0x2545f4914f6cdd1du;
}

struct countries {
    char codes[COUNTRIES_MAX][3];
    uint32_t count;
};

static uint32_t classify(void *ctx, const struct gtm_location *loc, const uint32_t *labels,
                         size_t count)
{
    struct countries *c = ctx;
    for (uint32_t i = 0; i < c->count; i++)
        if (strcmp(c->codes[i], loc->country) == 0)
            return i;
    assert_true(c->count < COUNTRIES_MAX);
    memcpy(c->codes[c->count], loc->country, 3);
    return c->count++;
}

static struct dns_geodb *db; /* the real one */
static struct dns_classmap *map;
static struct countries countries;

static int load(void **state)
{
    const char *path = DATABASE;
    struct gtm_error err = {0};
    if (access(DATABASE, R_OK) != 0)
        return 0;
    db = dns_geodb_load(&path, 1, NULL, &err);
    if (!db)
        return -1;
    map = dns_classmap_build(db, NULL, 0, classify, &countries, &err);
    return map ? 0 : -1;
}

static int unload(void **state)
{
    dns_geodb_free(db);
    dns_classmap_unref(map);
    return 0;
}

struct address {
    int family;
    dns__key key;
    uint8_t bytes[16];
};

static void set_address(struct address *a, int family, dns__key key)
{
    a->family = family;
    a->key = family == 4 ? key & ~dns__key_tail(32) : key;
    for (unsigned i = 0; i < 16; i++)
        a->bytes[i] = (uint8_t)(a->key >> (120 - 8 * i));
}

static void random_address(struct address *a, unsigned i)
{
    dns__key random = dns__key_from(rnd(), rnd());
    int family = i & 1 ? 6 : 4;
    if (i & 2) {
        unsigned len;
        dns__key first;
        if (family == 4) {
            const struct dns_geo_leaf4 *leaf = &db->v4[rnd() % db->v4_count];
            first = dns__key_from4(leaf->addr);
            len = leaf->prefix_len;
        } else {
            const struct dns_geo_leaf6 *leaf = &db->v6[rnd() % db->v6_count];
            first = dns__key_from(leaf->hi, leaf->lo);
            len = leaf->prefix_len;
        }
        random = first | (random & dns__key_tail(len));
    }
    set_address(a, family, random);
}

static void libloc_country(struct loc_database *loc, const struct address *a, char ret[3])
{
    struct in6_addr in6 = {0};
    struct loc_network *network = NULL;
    memset(ret, 0, 3);
    if (a->family == 6) {
        memcpy(&in6, a->bytes, 16);
    } else {
        in6.s6_addr[10] = in6.s6_addr[11] = 0xff;
        memcpy(in6.s6_addr + 12, a->bytes, 4);
    }
    if (loc_database_lookup(loc, &in6, &network) == 0 && network) {
        snprintf(ret, 3, "%s", loc_network_get_country_code(network));
        loc_network_unref(network);
    }
}

static const char *class_country(const struct dns_classmap *m, const struct address *a)
{
    return countries.codes[DNS_LEAF_CLASS(dns_classmap_find(m, a->family, a->bytes))];
}

/* First, last and a random address of the scope get the same leaf. */
static void check_scope(const struct address *a, struct address ret_inside[3])
{
    uint32_t leaf = dns_classmap_find(map, a->family, a->bytes);
    dns__key tail = dns__key_tail(DNS_LEAF_SCOPE(leaf));
    dns__key samples[3] = {a->key & ~tail, a->key | tail,
                           (a->key & ~tail) | (dns__key_from(rnd(), rnd()) & tail)};
    for (int i = 0; i < 3; i++) {
        set_address(&ret_inside[i], a->family, samples[i]);
        assert_int_equal(dns_classmap_find(map, a->family, ret_inside[i].bytes), leaf);
    }
}

static void test_agrees_with_libloc(void **state)
{
    struct loc_ctx *ctx;
    struct loc_database *loc;
    unsigned known = 0;
    if (!map)
        skip();
    FILE *f = fopen(DATABASE, "r");
    assert_non_null(f);
    assert_int_equal(loc_new(&ctx), 0);
    assert_int_equal(loc_database_new(ctx, &loc, f), 0);
    for (unsigned i = 0; i < ADDRESSES; i++) {
        struct address a, inside[3];
        char truth[3];
        random_address(&a, i);
        libloc_country(loc, &a, truth);
        assert_string_equal(class_country(map, &a), truth);
        known += truth[0] != '\0';
        check_scope(&a, inside);
        if (i % 8 < 4) { /* the truth is the same there too */
            libloc_country(loc, &inside[i % 3], truth);
            assert_string_equal(class_country(map, &a), truth);
        }
    }
    assert_true(known > ADDRESSES / 2);
    loc_database_unref(loc);
    loc_unref(ctx);
    fclose(f);
}

static uint32_t put_record(struct mmdb_writer *w, const struct gtm_location *loc)
{
    uint32_t at = (uint32_t)w->data.len;
    mmdb_map(&w->data, 2);
    mmdb_string(&w->data, "country");
    mmdb_map(&w->data, 1);
    mmdb_string(&w->data, "iso_code");
    mmdb_string(&w->data, loc->country);
    mmdb_string(&w->data, "autonomous_system_number");
    mmdb_uint32(&w->data, loc->asn);
    return at;
}

static void write_mmdb(const char *path)
{
    struct mmdb_writer w;
    struct mmdb_bytes bytes;
    mmdb_writer_init(&w, 6, 28, "Test-Country-ASN");
    uint32_t *records = calloc(db->locations_count, sizeof(*records));
    assert_non_null(records);
    for (size_t i = 0; i < db->locations_count; i++)
        records[i] = put_record(&w, &db->locations[i]);
    for (size_t i = 0; i < db->v4_count; i++) {
        struct address a;
        set_address(&a, 4, dns__key_from4(db->v4[i].addr));
        mmdb_writer_add(&w, 4, a.bytes, db->v4[i].prefix_len, records[db->v4[i].loc]);
    }
    for (size_t i = 0; i < db->v6_count; i++) {
        struct address a;
        set_address(&a, 6, dns__key_from(db->v6[i].hi, db->v6[i].lo));
        mmdb_writer_add(&w, 6, a.bytes, db->v6[i].prefix_len, records[db->v6[i].loc]);
    }
    free(records);
    mmdb_writer_finish(&w, &bytes);
    mmdb_save(&bytes, path);
    mmdb_bytes_fini(&bytes);
    mmdb_writer_fini(&w);
}

static void mmdb_country(const MMDB_s *mmdb, const struct address *a, char ret[3])
{
    struct sockaddr_in in4 = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    memcpy(&in4.sin_addr, a->bytes, 4);
    memcpy(&in6.sin6_addr, a->bytes, 16);
    int error;
    MMDB_entry_data_s data;
    MMDB_lookup_result_s found = MMDB_lookup_sockaddr(
        mmdb, a->family == 4 ? (struct sockaddr *)&in4 : (struct sockaddr *)&in6, &error);
    memset(ret, 0, 3);
    assert_int_equal(error, MMDB_SUCCESS);
    if (found.found_entry &&
        MMDB_get_value(&found.entry, &data, "country", "iso_code", NULL) == MMDB_SUCCESS &&
        data.has_data && data.data_size == 2)
        memcpy(ret, data.utf8_string, 2);
}

static void test_agrees_with_libmaxminddb(void **state)
{
    char path[] = "/tmp/gtm-truth-XXXXXX";
    const char *paths[1] = {path};
    struct gtm_error err = {0};
    MMDB_s mmdb;
    if (!map)
        skip();
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    write_mmdb(path);
    struct dns_geodb *written = dns_geodb_load(paths, 1, NULL, &err);
    assert_non_null(written);
    assert_int_equal(MMDB_open(path, MMDB_MODE_MMAP, &mmdb), MMDB_SUCCESS);
    unlink(path);
    struct dns_classmap *other = dns_classmap_build(written, NULL, 0, classify, &countries, &err);
    assert_non_null(other);
    for (unsigned i = 0; i < ADDRESSES; i++) {
        struct address a;
        char truth[3];
        unsigned prefix_len;
        random_address(&a, i);
        mmdb_country(&mmdb, &a, truth);
        assert_string_equal(class_country(other, &a), truth);
        /* The same data by another way: the same class and scope, the same AS number. */
        assert_int_equal(dns_classmap_find(other, a.family, a.bytes),
                         dns_classmap_find(map, a.family, a.bytes));
        assert_int_equal(dns_geodb_find(written, a.family, a.bytes, &prefix_len)->asn,
                         dns_geodb_find(db, a.family, a.bytes, &prefix_len)->asn);
    }
    MMDB_close(&mmdb);
    dns_classmap_unref(other);
    dns_geodb_free(written);
}

/* Sizes are no timings: they must not grow unnoticed. DESIGN section 12: at most 12 MB. */
static void test_size(void **state)
{
    if (!map)
        skip();
    assert_true(dns_classmap_bytes(map) <= 12000000);
    assert_true(dns_classmap_leaves(map, 4) > 100000 && dns_classmap_leaves(map, 6) > 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agrees_with_libloc),
        cmocka_unit_test(test_agrees_with_libmaxminddb),
        cmocka_unit_test(test_size),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
