/* SPDX-License-Identifier: Apache-2.0
 *
 * Geography databases: both record layouts, layering, nested networks of libloc, aliases, clear
 * errors for what is no database, and damaged or hostile files, which must fail and end.
 */
#include "dns/geodb.h"
#include "gtm/base/mem.h"
#include "tests/support/mmdb_write.h"

#include <arpa/inet.h>
#include <libloc/writer.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* What the libraries lose by themselves: libmaxminddb when it refuses metadata, libloc's writer. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libmaxminddb\nleak:loc_country_new\n";
}

static char dir[64], file_a[80], file_b[80];

static int make_dir(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/gtm-geodb-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(file_a, sizeof(file_a), "%s/a", dir);
    snprintf(file_b, sizeof(file_b), "%s/b", dir);
    return 0;
}

static int remove_dir(void **state)
{
    unlink(file_a);
    unlink(file_b);
    return rmdir(dir);
}

static void add(struct mmdb_writer *w, const char *net, unsigned prefix_len, uint32_t record)
{
    uint8_t addr[16];
    int family = strchr(net, ':') ? 6 : 4;
    assert_int_equal(inet_pton(family == 4 ? AF_INET : AF_INET6, net, addr), 1);
    mmdb_writer_add(w, family, addr, prefix_len, record);
}

static void save(struct mmdb_writer *w, const char *path)
{
    struct mmdb_bytes bytes;
    mmdb_writer_finish(w, &bytes);
    mmdb_save(&bytes, path);
    mmdb_bytes_fini(&bytes);
    mmdb_writer_fini(w);
}

static struct dns_geodb *load(const char *a, const char *b)
{
    const char *const paths[2] = {a, b};
    struct gtm_error err = {0};
    struct dns_geodb *db = dns_geodb_load(paths, b ? 2 : 1, NULL, &err);
    if (!db)
        fail_msg("%s: %s", err.file, err.text);
    return db;
}

/* "DE EU BE 52.50,13.40 AS64500 /24" */
static const char *look(const struct dns_geodb *db, const char *addr)
{
    static char text[96];
    uint8_t bytes[16];
    unsigned prefix_len;
    int family = strchr(addr, ':') ? 6 : 4;
    assert_int_equal(inet_pton(family == 4 ? AF_INET : AF_INET6, addr, bytes), 1);
    const struct gtm_location *loc = dns_geodb_find(db, family, bytes, &prefix_len);
    char point[32] = "-";
    if (loc->has_point)
        snprintf(point, sizeof(point), "%.2f,%.2f", (double)loc->lat, (double)loc->lon);
    snprintf(text, sizeof(text), "%s %s %s %s AS%u /%u", *loc->country ? loc->country : "-",
             *loc->continent ? loc->continent : "-", *loc->subdivision ? loc->subdivision : "-",
             point, loc->asn, prefix_len);
    return text;
}

static uint32_t nested_record(struct mmdb_writer *w, const char *country, const char *continent,
                              const char *subdivision, double lat, double lon)
{
    uint32_t at = (uint32_t)w->data.len;
    struct mmdb_bytes *d = &w->data;
    mmdb_map(d, 4);
    mmdb_string(d, "continent");
    mmdb_map(d, 1);
    mmdb_string(d, "code");
    mmdb_string(d, continent);
    mmdb_string(d, "country");
    mmdb_map(d, 2);
    mmdb_string(d, "geoname_id");
    mmdb_uint32(d, 1);
    mmdb_string(d, "iso_code");
    mmdb_string(d, country);
    mmdb_string(d, "location");
    mmdb_map(d, 2);
    mmdb_string(d, "latitude");
    mmdb_double(d, lat);
    mmdb_string(d, "longitude");
    mmdb_double(d, lon);
    mmdb_string(d, "subdivisions");
    mmdb_array(d, 2);
    mmdb_map(d, 1);
    mmdb_string(d, "iso_code");
    mmdb_string(d, subdivision);
    mmdb_map(d, 0);
    return at;
}

static uint32_t text_record(struct mmdb_writer *w, unsigned pairs, ...)
{
    uint32_t at = (uint32_t)w->data.len;
    va_list args;
    va_start(args, pairs);
    mmdb_map(&w->data, pairs);
    for (unsigned i = 0; i < 2 * pairs; i++)
        mmdb_string(&w->data, va_arg(args, const char *));
    va_end(args);
    return at;
}

static uint32_t asn_record(struct mmdb_writer *w, uint32_t asn)
{
    uint32_t at = (uint32_t)w->data.len;
    mmdb_map(&w->data, 2);
    mmdb_string(&w->data, "autonomous_system_number");
    mmdb_uint32(&w->data, asn);
    mmdb_string(&w->data, "autonomous_system_organization");
    mmdb_string(&w->data, "Example");
    return at;
}

static void city(struct mmdb_writer *w, unsigned record_size)
{
    mmdb_writer_init(w, 6, record_size, "Test-City");
    uint32_t berlin = nested_record(w, "DE", "EU", "BE", 52.52, 13.4);
    uint32_t boston = nested_record(w, "US", "NA", "MA", 42.36, -71.06);
    uint32_t by_pointer = (uint32_t)w->data.len;
    mmdb_map(&w->data, 1); /* a record whose parts lie elsewhere, as in real files */
    mmdb_string(&w->data, "country");
    uint32_t country = by_pointer + 1 + 8 + 5;
    mmdb_pointer(&w->data, country);
    mmdb_map(&w->data, 1);
    mmdb_string(&w->data, "iso_code");
    mmdb_string(&w->data, "JP");
    add(w, "192.0.2.0", 24, berlin);
    add(w, "192.0.2.128", 25, boston);
    add(w, "203.0.113.7", 32, by_pointer);
    add(w, "2001:db8::", 32, boston);
    add(w, "2001:db8:8000::", 33, berlin);
    add(w, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", 128, by_pointer);
    static const uint8_t six_to_four[16] = {0x20, 0x02}, teredo[16] = {0x20, 0x01},
                         mapped[16] = {[10] = 0xff, [11] = 0xff};
    mmdb_writer_alias(w, six_to_four, 16, 0);
    mmdb_writer_alias(w, teredo, 32, 0);
    mmdb_writer_alias(w, mapped, 96, 0);
}

static void test_nested_layout(void **state)
{
    static const unsigned sizes[] = {24, 28, 32};
    for (int i = 0; i < 3; i++) {
        struct mmdb_writer w;
        struct dns_geodb_info info;
        const char *path = file_a;
        city(&w, sizes[i]);
        save(&w, file_a);
        struct dns_geodb *db = dns_geodb_load(&path, 1, &info, NULL);
        assert_non_null(db);
        assert_string_equal(info.kind, "mmdb");
        assert_string_equal(info.type, "Test-City");
        assert_int_equal(info.built_s, 1700000000);
        assert_int_equal(info.networks, 2 + 1 + 2 + 127 - 32); /* the /128 cuts the /33 up */
        assert_string_equal(look(db, "192.0.2.1"), "DE EU BE 52.52,13.40 AS0 /25");
        assert_string_equal(look(db, "192.0.2.255"), "US NA MA 42.36,-71.06 AS0 /25");
        assert_string_equal(look(db, "203.0.113.7"), "JP AS - 36.00,138.00 AS0 /32");
        assert_string_equal(look(db, "203.0.113.6"), "- - - - AS0 /0");
        assert_string_equal(look(db, "0.0.0.0"), "- - - - AS0 /0");
        assert_string_equal(look(db, "255.255.255.255"), "- - - - AS0 /0");
        assert_string_equal(look(db, "2001:db8::1"), "US NA MA 42.36,-71.06 AS0 /33");
        assert_string_equal(look(db, "2001:db8:8000::1"), "DE EU BE 52.52,13.40 AS0 /34");
        assert_string_equal(look(db, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
                            "JP AS - 36.00,138.00 AS0 /128");
        /* Aliases of the IPv4 tree are not listed again. */
        assert_string_equal(look(db, "2002:c000:201::"), "- - - - AS0 /0");
        assert_string_equal(look(db, "::ffff:192.0.2.1"), "- - - - AS0 /0");
        assert_int_equal(db->v4_count, 3);
        assert_int_equal(db->locations_count, 4);
        dns_geodb_free(db);
    }
}

static void test_flat_layout(void **state)
{
    struct mmdb_writer w;
    mmdb_writer_init(&w, 4, 24, "vendor flat");
    uint32_t paris =
        text_record(&w, 7, "country_code", "fr", "country", "France", "continent_code", "EU",
                    "region", "FR-IDF", "latitude", "48.85", "longitude", "2.35", "asn", "AS64501");
    uint32_t tokyo = text_record(&w, 3, "country", "JP", "continent", "AS", "asn", "64502");
    uint32_t odd =
        text_record(&w, 6, "country", "Some Long Name Of A Country, Republic Of", "latitude", "91",
                    "longitude", "0", "asn", "AS", "region", "California", "continent", "XX");
    uint32_t numbers = (uint32_t)w.data.len;
    mmdb_map(&w.data, 4);
    mmdb_string(&w.data, "latitude");
    mmdb_float(&w.data, -33.5f);
    mmdb_string(&w.data, "longitude");
    mmdb_double(&w.data, 151.25);
    mmdb_string(&w.data, "asn");
    mmdb_uint32(&w.data, 4200000000);
    mmdb_string(&w.data, "country_code");
    mmdb_string(&w.data, "AU");
    uint32_t nan_point = (uint32_t)w.data.len;
    mmdb_map(&w.data, 3);
    mmdb_string(&w.data, "latitude");
    mmdb_double(&w.data, (double)NAN);
    mmdb_string(&w.data, "longitude");
    mmdb_double(&w.data, 1);
    mmdb_string(&w.data, "asn");
    mmdb_uint32(&w.data, 7);
    add(&w, "10.0.0.0", 8, paris);
    add(&w, "11.0.0.0", 8, tokyo);
    add(&w, "12.0.0.0", 8, odd);
    add(&w, "13.0.0.0", 8, numbers);
    add(&w, "14.0.0.0", 8, nan_point);
    save(&w, file_a);
    struct dns_geodb *db = load(file_a, NULL);
    assert_string_equal(look(db, "10.1.2.3"), "FR EU IDF 48.85,2.35 AS64501 /8");
    assert_string_equal(look(db, "11.1.2.3"), "JP AS - 36.00,138.00 AS64502 /8");
    assert_string_equal(look(db, "12.1.2.3"), "- - - - AS0 /0");
    assert_string_equal(look(db, "13.1.2.3"), "AU OC - -33.50,151.25 AS4200000000 /8");
    assert_string_equal(look(db, "14.1.2.3"), "- - - - AS7 /8");
    dns_geodb_free(db);
}

/* The first database that knows an attribute wins; what belongs to another country is not mixed in.
 */
static void test_layers(void **state)
{
    struct mmdb_writer w;
    mmdb_writer_init(&w, 4, 28, "over");
    uint32_t code_only = text_record(&w, 1, "country_code", "US");
    uint32_t registry = text_record(&w, 1, "country_code", "EU");
    uint32_t as1 = asn_record(&w, 1);
    add(&w, "10.0.0.0", 9, code_only);
    add(&w, "11.0.0.0", 8, registry);
    add(&w, "12.0.0.0", 8, as1);
    add(&w, "255.255.255.255", 32, as1);
    save(&w, file_a);
    mmdb_writer_init(&w, 6, 32, "under");
    uint32_t boston = nested_record(&w, "US", "NA", "MA", 42.36, -71.06);
    uint32_t berlin = nested_record(&w, "DE", "EU", "BE", 52.52, 13.4);
    uint32_t as2 = asn_record(&w, 2);
    add(&w, "10.0.0.0", 10, boston);
    add(&w, "10.64.0.0", 10, berlin);
    add(&w, "10.128.0.0", 9, berlin);
    add(&w, "11.0.0.0", 8, berlin);
    add(&w, "12.0.0.0", 16, as2);
    add(&w, "12.1.0.0", 16, boston);
    add(&w, "2001:db8::", 32, berlin);
    save(&w, file_b);
    struct dns_geodb *db = load(file_a, file_b);
    assert_string_equal(look(db, "10.0.0.1"), "US NA MA 42.36,-71.06 AS0 /10");
    assert_string_equal(look(db, "10.64.0.1"), "US NA - 38.00,-97.00 AS0 /10");
    assert_string_equal(look(db, "10.128.0.1"), "DE EU BE 52.52,13.40 AS0 /9");
    assert_string_equal(look(db, "11.0.0.1"), "DE EU BE 52.52,13.40 AS0 /8");
    assert_string_equal(look(db, "12.0.0.1"), "- - - - AS1 /16");
    assert_string_equal(look(db, "12.1.0.1"), "US NA MA 42.36,-71.06 AS1 /16");
    assert_string_equal(look(db, "255.255.255.255"), "- - - - AS1 /32");
    assert_string_equal(look(db, "255.255.255.254"), "- - - - AS0 /0");
    assert_string_equal(look(db, "2001:db8::"), "DE EU BE 52.52,13.40 AS0 /32");
    dns_geodb_free(db);
    db = load(file_b, file_a); /* the other way round */
    assert_string_equal(look(db, "10.64.0.1"), "DE EU BE 52.52,13.40 AS0 /10");
    assert_string_equal(look(db, "12.0.0.1"), "- - - - AS2 /16");
    dns_geodb_free(db);
}

static void save_loc(const char *path)
{
    static const struct {
        const char *net, *country;
        uint32_t asn;
    } nets[] = {{"10.0.0.0/8", "DE", 1},     {"10.16.0.0/12", "FR", 0},
                {"10.16.0.0/24", "AP", 5},   {"10.255.255.255/32", "JP", 9},
                {"11.0.0.0/8", "EU", 0},     {"2001:db8::/32", "US", 3},
                {"2001:db8::/128", "GB", 4}, {"128.0.0.0/1", "BR", 0}};
    struct loc_ctx *ctx;
    struct loc_writer *writer;
    struct loc_network *network;
    struct loc_country *country;
    assert_int_equal(loc_new(&ctx), 0);
    assert_int_equal(loc_writer_new(ctx, &writer, NULL, NULL), 0);
    loc_writer_set_vendor(writer, "test vendor");
    assert_int_equal(loc_writer_add_country(writer, &country, "EU"), 0);
    loc_country_set_continent_code(country, "EU");
    loc_country_unref(country);
    for (size_t i = 0; i < sizeof(nets) / sizeof(nets[0]); i++) {
        assert_int_equal(loc_writer_add_network(writer, &network, nets[i].net), 0);
        loc_network_set_country_code(network, nets[i].country);
        loc_network_set_asn(network, nets[i].asn);
        loc_network_unref(network);
    }
    FILE *f = fopen(path, "w+");
    assert_non_null(f);
    assert_int_equal(loc_writer_write(writer, f, LOC_DATABASE_VERSION_1), 0);
    assert_int_equal(fclose(f), 0);
    loc_writer_unref(writer);
    loc_unref(ctx);
}

static void test_libloc_nested(void **state)
{
    const char *path = file_a;
    struct dns_geodb_info info;
    save_loc(file_a);
    struct dns_geodb *db = dns_geodb_load(&path, 1, &info, NULL);
    assert_non_null(db);
    assert_string_equal(info.kind, "libloc");
    assert_string_equal(info.type, "test vendor");
    assert_int_equal(info.networks, 8);
    assert_true(info.built_s > 1700000000);
    assert_string_equal(look(db, "10.0.0.0"), "DE EU - 51.00,9.00 AS1 /12");
    assert_string_equal(look(db, "10.16.0.255"), "AP - - - AS5 /24");
    assert_string_equal(look(db, "10.16.1.0"), "FR EU - 46.00,2.00 AS0 /24");
    assert_string_equal(look(db, "10.255.255.254"), "DE EU - 51.00,9.00 AS1 /32");
    assert_string_equal(look(db, "10.255.255.255"), "JP AS - 36.00,138.00 AS9 /32");
    assert_string_equal(look(db, "11.1.1.1"), "EU EU - - AS0 /8");
    assert_string_equal(look(db, "12.0.0.0"), "- - - - AS0 /0");
    assert_string_equal(look(db, "255.255.255.255"), "BR SA - -10.00,-55.00 AS0 /1");
    assert_string_equal(look(db, "2001:db8::"), "GB EU - 54.00,-2.00 AS4 /128");
    assert_string_equal(look(db, "2001:db8::1"), "US NA - 38.00,-97.00 AS3 /128");
    assert_string_equal(look(db, "2001:db8:ffff::"), "US NA - 38.00,-97.00 AS3 /33");
    dns_geodb_free(db);
}

static void expect_error(const char *path, int code, const char *part)
{
    struct gtm_error err = {0};
    assert_null(dns_geodb_load(&path, 1, NULL, &err));
    if (err.code != code || !strstr(err.text, part) || strcmp(err.file, path) != 0)
        fail_msg("%s: code %d, \"%s\"", err.file, err.code, err.text);
}

static void write_file(const char *path, const void *data, size_t len)
{
    struct mmdb_bytes bytes = {.data = (uint8_t *)data, .len = len};
    mmdb_save(&bytes, path);
}

static void test_no_database(void **state)
{
    struct mmdb_writer w;
    struct gtm_error err = {0};
    expect_error("/nonexistent/x.mmdb", GTM_ENOTFOUND, "cannot be opened");
    expect_error("/tmp", GTM_EINVAL, "is a directory");
    expect_error("/dev/null", GTM_EINVAL, "not a regular file");
    unlink(file_b);
    assert_int_equal(mkfifo(file_b, 0600), 0);
    expect_error(file_b, GTM_EINVAL, "not a regular file");
    unlink(file_b);
    write_file(file_a, "", 0);
    expect_error(file_a, GTM_ECORRUPT, "is empty");
    write_file(file_a, "# not a database\n", 17);
    expect_error(file_a, GTM_EUNSUPPORTED, "neither");
    write_file(file_a, "LOCDBXX\x02", 8);
    expect_error(file_a, GTM_EUNSUPPORTED, "format version 2");
    city(&w, 24);
    w.major_version = 3;
    save(&w, file_a);
    expect_error(file_a, GTM_EUNSUPPORTED, "format version");
    mmdb_writer_init(&w, 4, 24, "Domain");
    add(&w, "10.0.0.0", 8, text_record(&w, 1, "domain", "example.com"));
    save(&w, file_a);
    expect_error(file_a, GTM_EINVAL, "\"Domain\"");
    assert_null(dns_geodb_load(NULL, 0, NULL, &err));
    assert_int_equal(err.code, GTM_EINVAL);
    /* A good one does not help a bad one. */
    const char *const both[2] = {file_a, "/nonexistent/x.mmdb"};
    city(&w, 24);
    save(&w, file_a);
    assert_null(dns_geodb_load(both, 2, NULL, &err));
    assert_string_equal(err.file, "/nonexistent/x.mmdb");
}

static void test_hostile_trees(void **state)
{
    static const uint8_t high[16] = {0xff};
    struct mmdb_writer w;
    city(&w, 24);
    mmdb_writer_alias(&w, high, 8, 1); /* leads back to a node near the top */
    save(&w, file_a);
    expect_error(file_a, GTM_ECORRUPT, "damaged");

    /* Nodes that share their children: 2^32 paths through 33 nodes. */
    mmdb_writer_init(&w, 4, 24, "shared");
    uint8_t zero[4] = {0};
    mmdb_writer_add(&w, 4, zero, 32, text_record(&w, 1, "country_code", "DE"));
    for (size_t i = 0; i < w.nodes_count; i++)
        w.nodes[i].child[1] = w.nodes[i].child[0];
    save(&w, file_a);
    expect_error(file_a, GTM_ECORRUPT, "damaged");
}

static void expect_bad_record(const struct mmdb_bytes *record)
{
    struct mmdb_writer w;
    struct gtm_error err = {0};
    const char *path = file_a;
    mmdb_writer_init(&w, 4, 24, "bad record");
    mmdb_raw(&w.data, record->data, record->len);
    add(&w, "10.0.0.0", 8, 0);
    save(&w, file_a);
    assert_null(dns_geodb_load(&path, 1, NULL, &err));
    if (err.code != GTM_ECORRUPT && err.code != GTM_ELIMIT)
        fail_msg("code %d, \"%s\"", err.code, err.text);
}

static void test_hostile_records(void **state)
{
    struct mmdb_bytes r = {0};
    for (int i = 0; i < 200000; i++) /* would overflow a stack that recursed */
        mmdb_map(&r, 1), mmdb_string(&r, "country");
    expect_bad_record(&r);
    r.len = 0;
    for (int i = 0; i < 40; i++) /* deeper than any real record, though complete */
        mmdb_array(&r, 1);
    mmdb_string(&r, "x");
    expect_bad_record(&r);
    r.len = 0;
    mmdb_map(&r, 16000000); /* far more pairs than there are bytes */
    expect_bad_record(&r);
    r.len = 0;
    mmdb_map(&r, 1);
    mmdb_string(&r, "country");
    mmdb_pointer(&r, 0); /* itself */
    expect_bad_record(&r);
    r.len = 0;
    mmdb_pointer(&r, 0x7fffffff); /* outside */
    expect_bad_record(&r);
    r.len = 0;
    for (unsigned level = 0; level < 20; level++) { /* 2^20 values by pointers to pointers' maps */
        uint32_t next = (uint32_t)r.len + 1 + 2 + 5 + 2 + 5;
        mmdb_map(&r, 2);
        mmdb_string(&r, "a");
        mmdb_pointer(&r, next);
        mmdb_string(&r, "b");
        mmdb_pointer(&r, next);
    }
    mmdb_map(&r, 0);
    expect_bad_record(&r);
    mmdb_bytes_fini(&r);
}

static uint8_t *read_all(const char *path, size_t *ret_len)
{
    static uint8_t buf[1 << 16];
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    *ret_len = fread(buf, 1, sizeof(buf), f);
    assert_true(*ret_len > 0 && *ret_len < sizeof(buf));
    fclose(f);
    return buf;
}

/* Whatever is damaged, loading ends and either refuses or gives lists that are sorted and disjoint.
 */
static void load_anything(const char *path)
{
    struct gtm_error err = {0};
    struct dns_geodb *db = dns_geodb_load(&path, 1, NULL, &err);
    if (!db) {
        assert_true(err.code != 0 && err.text[0] != '\0');
        return;
    }
    for (size_t i = 1; i < db->v4_count; i++)
        assert_true(db->v4[i - 1].addr + (UINT64_C(1) << (32 - db->v4[i - 1].prefix_len)) <=
                    db->v4[i].addr);
    for (size_t i = 0; i < db->v6_count; i++)
        assert_true(db->v6[i].loc < db->locations_count);
    dns_geodb_free(db);
}

static void damage(const char *from)
{
    size_t len;
    uint8_t *bytes = read_all(from, &len);
    size_t step = len / 200 + 1;
    for (size_t cut = 1; cut < len; cut += step) {
        write_file(file_b, bytes, cut);
        load_anything(file_b);
    }
    static const uint8_t flips[] = {0x01, 0x80, 0xff};
    for (size_t at = 0; at<len; at += len> 2000 ? 7 : 1) {
        for (size_t i = 0; i < sizeof(flips); i++) {
            bytes[at] ^= flips[i];
            write_file(file_b, bytes, len);
            load_anything(file_b);
            bytes[at] ^= flips[i];
        }
    }
}

static void test_damaged_mmdb(void **state)
{
    struct mmdb_writer w;
    mmdb_writer_init(&w, 4, 24, "small");
    add(&w, "10.0.0.0", 8, nested_record(&w, "DE", "EU", "BE", 52.52, 13.4));
    add(&w, "11.0.0.0", 12, asn_record(&w, 64500));
    save(&w, file_a);
    damage(file_a);
}

static void test_damaged_libloc(void **state)
{
    save_loc(file_a);
    damage(file_a);
}

/* Nodes of the tree lead back to one near the top, which has a parent already, or nowhere. */
static void test_libloc_loops(void **state)
{
    size_t len;
    save_loc(file_a);
    uint8_t *bytes = read_all(file_a, &len);
    uint32_t tree_at, tree_bytes; /* from the header */
    memcpy(&tree_at, bytes + 44, 4);
    memcpy(&tree_bytes, bytes + 48, 4);
    uint8_t *tree = bytes + ntohl(tree_at);
    uint32_t nodes = ntohl(tree_bytes) / 12;
    assert_true(nodes > 128 && tree + 12 * (size_t)nodes <= bytes + len);
    for (uint32_t i = 2; i < nodes; i += 9) {
        uint8_t *side = tree + 12 * (size_t)i + (i & 1 ? 0 : 4), saved[4];
        memcpy(saved, side, 4);
        memcpy(side, "\0\0\0\1", 4);
        write_file(file_b, bytes, len);
        expect_error(file_b, GTM_ECORRUPT, "network tree");
        memcpy(side, "\xff\xff\xff\xff", 4); /* no such node */
        write_file(file_b, bytes, len);
        expect_error(file_b, GTM_ECORRUPT, "network tree");
        memcpy(side, saved, 4);
    }
}

static void test_out_of_memory(void **state)
{
    struct mmdb_writer w;
    const char *const paths[2] = {file_a, file_b};
    city(&w, 24);
    save(&w, file_a);
    save_loc(file_b);
    for (uint64_t n = 1; n < 10000; n++) {
        struct gtm_error err = {0};
        gtm_mem_fail_at(n, 0);
        struct dns_geodb *db = dns_geodb_load(paths, 2, NULL, &err);
        gtm_mem_fail_at(0, 0);
        if (!db) {
            assert_int_equal(err.code, GTM_ENOMEM);
            continue;
        }
        dns_geodb_free(db);
        assert_true(n > 20);
        return;
    }
    fail_msg("never succeeded");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nested_layout),   cmocka_unit_test(test_flat_layout),
        cmocka_unit_test(test_layers),          cmocka_unit_test(test_libloc_nested),
        cmocka_unit_test(test_no_database),     cmocka_unit_test(test_hostile_trees),
        cmocka_unit_test(test_hostile_records), cmocka_unit_test(test_damaged_mmdb),
        cmocka_unit_test(test_damaged_libloc),  cmocka_unit_test(test_libloc_loops),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
