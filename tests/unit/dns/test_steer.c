/* SPDX-License-Identifier: Apache-2.0
 *
 * Dynamic names: class → slot → records, client subnets and scopes, shares of weighted options,
 * samples, outcomes.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "tests/support/dns_ask.h"
#include "tests/support/dns_world.h"

#include "dns/rr.h"
#include "dns/steer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char zone_text[] = "$TTL 60\n@ SOA ns admin 1 2 3 4 5\n@ NS ns.example.net.\n"
                                "alias CNAME www\nstatic A 192.0.2.99\n";
#define SOA "example.com. 5 SOA ns.example.com. admin.example.com. 1 2 3 4 5"

/* 203.0.113.0/24 and 2001:db8:2::/48 are class 1, all else class 0 */
static uint32_t classify(void *ctx, const struct gtm_location *loc, const uint32_t *labels,
                         size_t count)
{
    (void)ctx;
    (void)loc;
    return count > 0 ? labels[0] : 0;
}

static struct dns_classmap *two_classes(void)
{
    static const struct dns_labeled_network nets[] = {
        {4, 24, {203, 0, 113}, 1},
        {6, 48, {0x20, 0x01, 0x0d, 0xb8, 0, 2}, 1},
    };
    struct gtm_error err = {0};
    struct dns_classmap *map = dns_classmap_build(NULL, nets, 2, classify, NULL, &err);
    assert_non_null(map);
    return map;
}

static struct dns_choice *choice(uint16_t type, const struct dns_option_spec *options, size_t n)
{
    struct gtm_error err = {0};
    struct dns_choice_spec spec = {
        .type = type, .ttl_s = 30, .options = options, .options_count = n};
    struct dns_choice *c = dns_choice_new(&spec, &err);
    assert_non_null(c);
    return c;
}

static struct dns_choice *outcome(uint16_t type, enum dns_outcome what, const char *text)
{
    struct gtm_error err = {0};
    struct dns_choice_spec spec = {.type = type, .outcome = what, .ede_text = text};
    struct dns_choice *c = dns_choice_new(&spec, &err);
    assert_non_null(c);
    return c;
}

static struct dns_choice *one(uint16_t type, const void *rdata)
{
    struct dns_option_spec o = {.weight = 1, .answers = 1, .rdata = rdata, .count = 1};
    return choice(type, &o, 1);
}

/* Takes the map and the choices. www, *.dyn and the top get slot 0. */
static struct dns_view *make_view(struct dns_classmap *map, struct dns_choice **a,
                                  struct dns_choice **aaaa)
{
    static const uint16_t types[] = {DNS_TYPE_A, DNS_TYPE_AAAA};
    static const struct dns_zone_dynamic names[] = {{"www", types, 2, 0, NULL, 0, 0},
                                                    {"*.dyn", types, 2, 0, NULL, 0, 0},
                                                    {"@", types, 1, 0, NULL, 0, 0}};
    struct dns_zone_spec spec = {.origin = "example.com",
                                 .path = "test.zone",
                                 .dynamics = names,
                                 .dynamics_count = 3,
                                 .slot_count = 1};
    struct gtm_diags diags = {0};
    struct gtm_error err = {0};
    struct dns_zone *zone = dns_zone_load_text(&spec, zone_text, strlen(zone_text), &diags);
    if (zone == NULL)
        gtm_diags_print(&diags, stderr);
    assert_non_null(zone);
    gtm_diags_fini(&diags);

    uint16_t slots[] = {0, 1};
    uint32_t classes = dns_classmap_classes(map);
    struct dns_picks *picks = dns_picks_new(slots, classes, &err);
    struct dns_steer_kind kinds[DNS_KINDS] = {{picks, a, classes}, {picks, aaaa, classes}};
    struct dns_steer *steer = dns_steer_new(map, kinds, &err);
    if (steer == NULL)
        fail_msg("%s", err.text);
    struct dns_view_zone vz = {.zone = zone, .slots = &steer};
    struct dns_view *view = dns_view_new(&vz, 1, NULL, 1, &err);
    assert_non_null(view);
    dns_zone_unref(zone);
    dns_steer_unref(steer);
    dns_picks_unref(picks);
    dns_classmap_unref(map);
    for (uint32_t i = 0; i < classes; i++) {
        dns_choice_unref(a[i]);
        dns_choice_unref(aaaa[i]);
    }
    return view;
}

static struct dns_view *geo_view(void)
{
    uint8_t six[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 6};
    struct dns_choice *a[2] = {one(DNS_TYPE_A, "\xc0\0\2\1"), one(DNS_TYPE_A, "\xc0\0\2\2")};
    struct dns_choice *aaaa[2] = {one(DNS_TYPE_AAAA, six), one(DNS_TYPE_AAAA, six)};
    return make_view(two_classes(), a, aaaa);
}

static void the_class_of_the_client_chooses(void **state)
{
    struct dns_view *view = geo_view();
    struct ask ask = {.name = "www.example.com", .type = DNS_TYPE_A};

    (void)state;
    assert_string_equal(ask_view(view, &ask), "NOERROR aa | www.example.com. 30 A 192.0.2.1 | |");
    ask.client = "203.0.113.77";
    assert_string_equal(ask_view(view, &ask), "NOERROR aa | www.example.com. 30 A 192.0.2.2 | |");
    ask.client = "2001:db8:2::1";
    assert_string_equal(ask_view(view, &ask), "NOERROR aa | www.example.com. 30 A 192.0.2.2 | |");
    ask.name = "x.y.dyn.example.com";
    assert_string_equal(ask_view(view, &ask),
                        "NOERROR aa | x.y.dyn.example.com. 30 A 192.0.2.2 | |");
    ask.name = "alias.example.com";
    assert_string_equal(ask_view(view, &ask),
                        "NOERROR aa | alias.example.com. 60 CNAME www.example.com.; "
                        "www.example.com. 30 A 192.0.2.2 | |");
    ask.name = "example.com";
    assert_string_equal(ask_view(view, &ask), "NOERROR aa | example.com. 30 A 192.0.2.2 | |");
    ask.type = DNS_TYPE_AAAA; /* the top is dynamic for A only */
    assert_string_equal(ask_view(view, &ask), "NOERROR aa | | " SOA " |");
    ask = (struct ask){.name = "www.example.com", .type = DNS_TYPE_TXT};
    assert_string_equal(ask_view(view, &ask), "NOERROR aa | | " SOA " |");
    dns_view_unref(view);
}

static void client_subnet_wins_and_gets_its_scope(void **state)
{
    struct dns_view *view = geo_view();
    struct ask ask = {.name = "www.example.com", .type = DNS_TYPE_A, .client = "203.0.113.77"};

    (void)state;
    ask.ecs = "203.0.113.128/25";
    assert_string_equal(ask_view(view, &ask),
                        "NOERROR aa | www.example.com. 30 A 192.0.2.2 | | | opt scope=24");
    ask.ecs = "203.0.112.0/24"; /* the neighbour: shortest prefix without 203.0.113.0/24 */
    assert_string_equal(ask_view(view, &ask),
                        "NOERROR aa | www.example.com. 30 A 192.0.2.1 | | | opt scope=24");
    ask.ecs = "10.0.0.0/8";
    assert_string_equal(ask_view(view, &ask),
                        "NOERROR aa | www.example.com. 30 A 192.0.2.1 | | | opt scope=1");
    ask.ecs = "2001:db8:2:9::/64";
    assert_string_equal(ask_view(view, &ask),
                        "NOERROR aa | www.example.com. 30 A 192.0.2.2 | | | opt scope=48");
    ask.ecs = "0.0.0.0/0"; /* "do not tell": the resolver's own address decides, nobody else may use
                              it: RFC 7871 7.1.2 */
    assert_string_equal(ask_view(view, &ask),
                        "NOERROR aa | www.example.com. 30 A 192.0.2.2 | | | opt scope=0");
    ask.ecs = "203.0.113.0/24";
    ask.name = "static.example.com";
    assert_string_equal(ask_view(view, &ask),
                        "NOERROR aa | static.example.com. 60 A 192.0.2.99 | | | opt scope=0");
    ask.name = "alias.example.com";
    assert_non_null(strstr(ask_view(view, &ask), "scope=24"));
    dns_view_unref(view);
}

static void outcomes_without_records(void **state)
{
    struct dns_choice *a[1] = {outcome(DNS_TYPE_A, DNS_OUTCOME_SERVFAIL, "all endpoints are down")};
    struct dns_choice *aaaa[1] = {outcome(DNS_TYPE_AAAA, DNS_OUTCOME_NODATA, NULL)};
    struct dns_view *view = make_view(dns_classmap_trivial(), a, aaaa);
    struct ask ask = {.name = "www.example.com", .type = DNS_TYPE_A};

    (void)state;
    assert_string_equal(ask_view(view, &ask), "SERVFAIL | | |");
    ask.edns = true;
    assert_string_equal(ask_view(view, &ask), "SERVFAIL | | | | opt ede=0 all endpoints are down");
    ask.name = "alias.example.com"; /* what stood before the failure goes too */
    assert_string_equal(ask_view(view, &ask), "SERVFAIL | | | | opt ede=0 all endpoints are down");
    ask = (struct ask){.name = "www.example.com", .type = DNS_TYPE_AAAA, .ecs = "10.0.0.0/8"};
    assert_string_equal(ask_view(view, &ask), "NOERROR aa | | " SOA " | | opt scope=0");
    dns_view_unref(view);
}

#define DRAWS 20000

/* Counts which last octets answers carry. */
static void draw(const struct dns_view *view, unsigned counts[256], unsigned *ret_records)
{
    struct ask ask = {.name = "www.example.com", .type = DNS_TYPE_A};
    uint8_t query[512], out[1232];
    struct dns_answerer a;
    struct dns_client client = {.family = 4, .proto = DNS_PROTO_UDP};
    size_t len = ask_packet(&ask, query), question = len;

    memset(counts, 0, 256 * sizeof(counts[0]));
    dns_answerer_init(&a, 42);
    for (int i = 0; i < DRAWS; i++) {
        size_t n = dns_answer(&a, view, &client, query, len, out, sizeof(out));
        unsigned records = dns_get16(out + 6), seen[256] = {0};
        assert_int_equal(n, question + records * 16);
        for (unsigned r = 0; r < records; r++) {
            uint8_t last = out[question + r * 16 + 15];
            assert_int_equal(seen[last]++, 0); /* never the same one twice */
            counts[last]++;
        }
        *ret_records = records;
    }
}

static double chi_square(const unsigned *counts, const double *shares, unsigned n)
{
    double sum = 0;
    for (unsigned i = 0; i < n; i++) {
        double want = shares[i] * DRAWS;
        sum += (counts[i] - want) * (counts[i] - want) / want;
    }
    return sum;
}

static struct dns_view *options_view(const struct dns_option_spec *options, size_t n)
{
    struct dns_choice *a[1] = {choice(DNS_TYPE_A, options, n)};
    struct dns_choice *aaaa[1] = {outcome(DNS_TYPE_AAAA, DNS_OUTCOME_NODATA, NULL)};
    return make_view(dns_classmap_trivial(), a, aaaa);
}

static void options_get_their_share(void **state)
{
    const struct dns_option_spec options[4] = {
        {.weight = 70, .answers = 1, .rdata = (const uint8_t *)"\xc0\0\2\0", .count = 1},
        {.weight = 20, .answers = 1, .rdata = (const uint8_t *)"\xc0\0\2\1", .count = 1},
        {.weight = 9, .answers = 1, .rdata = (const uint8_t *)"\xc0\0\2\2", .count = 1},
        {.weight = 1, .answers = 1, .rdata = (const uint8_t *)"\xc0\0\2\3", .count = 1},
    };
    const double shares[4] = {0.70, 0.20, 0.09, 0.01};
    struct dns_view *view = options_view(options, 4);
    unsigned counts[256], records;

    (void)state;
    draw(view, counts, &records);
    assert_int_equal(records, 1);
    assert_true(chi_square(counts, shares, 4) < 16.27); /* 3 degrees of freedom, p = 0.001 */
    dns_view_unref(view);
}

static void weighted_records_get_their_share_and_zero_gets_none(void **state)
{
    const uint32_t weights[4] = {50, 30, 20, 0};
    const double shares[3] = {0.5, 0.3, 0.2};
    const uint8_t rdata[] = {192, 0, 2, 0, 192, 0, 2, 1, 192, 0, 2, 2, 192, 0, 2, 3};
    struct dns_option_spec o = {
        .weight = 1, .answers = 1, .rdata = rdata, .weights = weights, .count = 4};
    struct dns_view *view = options_view(&o, 1);
    unsigned counts[256], records;

    (void)state;
    draw(view, counts, &records);
    assert_int_equal(counts[3], 0);
    assert_true(chi_square(counts, shares, 3) < 13.82); /* 2 degrees of freedom, p = 0.001 */
    dns_view_unref(view);
}

static void samples_are_fair_and_distinct(void **state)
{
    uint8_t rdata[10 * 4];
    double shares[10];
    struct dns_option_spec o = {.weight = 1, .answers = 3, .rdata = rdata, .count = 10};
    unsigned counts[256], records;

    (void)state;
    for (uint8_t i = 0; i < 10; i++) {
        memcpy(rdata + i * 4, "\xc0\0\2", 3);
        rdata[i * 4 + 3] = i;
        shares[i] = 0.3;
    }
    struct dns_view *view = options_view(&o, 1);
    draw(view, counts, &records);
    assert_int_equal(records, 3);
    assert_true(chi_square(counts, shares, 10) < 27.88); /* 9 degrees of freedom, p = 0.001 */
    dns_view_unref(view);

    const uint32_t lopsided[10] = {1000000, 1, 1, 0, 0, 0, 0, 0, 0, 0};
    o.weights = lopsided; /* still three distinct ones, in bounded time */
    view = options_view(&o, 1);
    draw(view, counts, &records);
    assert_int_equal(records, 3);
    assert_int_equal(counts[0], DRAWS);
    dns_view_unref(view);

    /* nearly all must be found, wherever the heavy one stands */
    const uint32_t heavy_second[4] = {1, UINT32_MAX, 1, 1};
    o.weights = heavy_second;
    o.count = 4;
    view = options_view(&o, 1);
    draw(view, counts, &records);
    assert_int_equal(records, 3);
    assert_int_equal(counts[1], DRAWS);
    dns_view_unref(view);
}

static void whole_sets_turn(void **state)
{
    const uint8_t rdata[] = {192, 0, 2, 0, 192, 0, 2, 1, 192, 0, 2, 2};
    struct dns_option_spec o = {.weight = 1, .answers = 8, .rdata = rdata, .count = 3};
    struct dns_view *view = options_view(&o, 1);
    unsigned counts[256], records;

    (void)state;
    draw(view, counts, &records);
    assert_int_equal(records, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(counts[i], DRAWS);
    dns_view_unref(view);
}

static void bad_tables_are_refused(void **state)
{
    struct gtm_error err = {0};
    struct dns_choice_spec spec = {.type = DNS_TYPE_MX};
    (void)state;
    assert_null(dns_choice_new(&spec, &err));
    assert_int_equal(err.code, GTM_EINVAL);
    spec.type = DNS_TYPE_A;
    assert_null(dns_choice_new(&spec, &err)); /* an answer without options would be empty */
    assert_int_equal(err.code, GTM_ELIMIT);

    struct dns_classmap *map = two_classes();
    uint16_t slots[2] = {0, 1};
    struct dns_picks *picks = dns_picks_new(slots, 2, &err);
    struct dns_choice *a = one(DNS_TYPE_A, "\xc0\0\2\1");
    struct dns_choice *list[2] = {a, NULL}; /* class 1 leads nowhere */
    struct dns_steer_kind kinds[DNS_KINDS] = {{picks, list, 2}, {picks, list, 2}};
    assert_null(dns_steer_new(map, kinds, &err));
    assert_int_equal(err.code, GTM_EINVAL);
    list[1] = a; /* A records in the AAAA family */
    assert_null(dns_steer_new(map, kinds, &err));
    dns_choice_unref(a);
    dns_picks_unref(picks);
    dns_classmap_unref(map);
}

/* The steps that only fetch ahead change nothing, in whatever batch they are taken. */
static void batches_answer_like_single_queries(void **state)
{
    static const char *const names[] = {"www", "mail", "a.dyn", "ns1", "x.wc", "nothing",
                                        "sub", "cn",   "x.cw",  "st",  "none"};
    static const char *const subnets[] = {"10.1.2.0/24", "2001:db8::/56", "0.0.0.0/0", NULL};
    enum { NAMES = sizeof(names) / sizeof(names[0]), COUNT = NAMES * 4 };
    static uint8_t packets[COUNT][512], one[4096], other[4096];
    static struct dns_query alone[COUNT], batch[COUNT];
    struct dns_client client = {.family = 4, .addr = {10, 1, 2, 3}, .proto = DNS_PROTO_UDP};
    struct dns_view *view = dns_world();
    struct dns_answerer a, b;
    size_t aimed = 0;

    (void)state;
    dns_answerer_init(&a, 3);
    dns_answerer_init(&b, 3);
    for (size_t i = 0; i < COUNT; i++) {
        char name[64];
        snprintf(name, sizeof(name), "%s.example.com", names[i % NAMES]);
        struct ask ask = {.name = name, .type = DNS_TYPE_A, .ecs = subnets[i / NAMES]};
        size_t len = ask_packet(&ask, packets[i]);
        dns_query_prepare(&alone[i], view, packets[i], len);
        dns_query_prepare(&batch[i], view, packets[i], len);
    }
    for (size_t i = 0; i < COUNT; i++)
        dns_query_locate(&batch[i]);
    for (size_t i = 0; i < COUNT; i++) {
        dns_query_aim(&batch[i], &client);
        aimed += batch[i].aimed != NULL;
    }
    for (size_t i = 0; i < COUNT; i++) {
        size_t n = dns_query_answer(&a, &alone[i], view, &client, one, sizeof(one));
        assert_true(n > 12);
        assert_int_equal(dns_query_answer(&b, &batch[i], view, &client, other, sizeof(other)), n);
        assert_memory_equal(one, other, n);
    }
    assert_int_equal(aimed, 3 * 4); /* www, mail and st; wildcards are found only when answered */
    dns_view_unref(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_answer_like_single_queries),
        cmocka_unit_test(the_class_of_the_client_chooses),
        cmocka_unit_test(client_subnet_wins_and_gets_its_scope),
        cmocka_unit_test(outcomes_without_records),
        cmocka_unit_test(options_get_their_share),
        cmocka_unit_test(weighted_records_get_their_share_and_zero_gets_none),
        cmocka_unit_test(samples_are_fair_and_distinct),
        cmocka_unit_test(whole_sets_turn),
        cmocka_unit_test(bad_tables_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
