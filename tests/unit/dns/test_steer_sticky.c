/* SPDX-License-Identifier: Apache-2.0
 *
 * Sticky answers: the same network's same answer, scopes that never mix networks, shares, and how
 * many networks move when an endpoint leaves.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "tests/support/dns_ask.h"
#include "tests/support/steer_fixture.h"

#include "dns/rr.h"
#include "dns/steer.h"
#include "gtm/base/rand.h"

#include <stdio.h>
#include <string.h>

#define BUCKETS 1024

/* Rendezvous in small: bucket b goes to the record with the highest hash of both. */
static void fill_buckets(uint16_t *buckets, unsigned records, int without)
{
    for (unsigned b = 0; b < BUCKETS; b++) {
        uint64_t best = 0;
        for (unsigned r = 0; r < records; r++) {
            uint64_t h = (b + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ (r + 1) * 0xbf58476d1ce4e5b9u;
            h = (h ^ (h >> 31)) * UINT64_C(0x94d049bb133111eb);
            h ^= h >> 29;
            if ((int)r != without && h >= best) {
                best = h;
                buckets[b] = (uint16_t)r;
            }
        }
    }
}

static struct dns_view *sticky_view(unsigned records, unsigned answers, int without)
{
    static const uint16_t type_a[] = {DNS_TYPE_A};
    static const struct dns_zone_dynamic names[] = {{"www", type_a, 1, 0, NULL, 0, 0}};
    uint8_t rdata[16 * 4];
    uint16_t buckets[BUCKETS];
    for (unsigned i = 0; i < records; i++)
        memcpy(rdata + i * 4, (uint8_t[]){192, 0, 2, (uint8_t)i}, 4);
    fill_buckets(buckets, records, without);
    struct dns_option_spec o = {.weight = 1,
                                .answers = answers,
                                .rdata = rdata,
                                .count = records,
                                .buckets = buckets,
                                .buckets_count = BUCKETS};
    struct dns_choice *choices[DNS_KINDS] = {[DNS_KIND_A] = steer_choice(DNS_TYPE_A, &o, 1)};
    struct dns_steer *steers[] = {steer_of(steer_map(), choices)};
    return steer_view(names, 1, steers, false);
}

/* The last octets of the answers that a client gets, in order; returns how many, *ret_scope that of
 * ECS (with a source of 32 bits) when there is one. */
static unsigned sticky_ask(const struct dns_view *view, uint32_t addr, bool ecs, uint8_t *lasts,
                           unsigned *ret_scope)
{
    static struct dns_answerer a;
    static bool seeded;
    char subnet[32];
    uint8_t query[512], out[1232];
    struct dns_client client = {.family = 4, .proto = DNS_PROTO_UDP};
    struct ask ask = {.name = "www.example.com", .type = DNS_TYPE_A};
    if (!seeded)
        dns_answerer_init(&a, 7);
    seeded = true;
    snprintf(subnet, sizeof(subnet), "%u.%u.%u.%u/32", addr >> 24, addr >> 16 & 255,
             addr >> 8 & 255, addr & 255);
    if (ecs)
        ask.ecs = subnet;
    else
        dns_put32(client.addr, addr);
    size_t len = ask_packet(&ask, query);
    size_t n = dns_answer(&a, view, &client, query, len, out, sizeof(out));
    size_t at = 12 + 17 + 4;
    unsigned records = dns_get16(out + 6);
    for (unsigned r = 0; r < records; r++, at += 16)
        lasts[r] = out[at + 15];
    assert_int_equal(n, at + (ecs ? 11 + 12 : 0));
    if (ecs && ret_scope)
        *ret_scope = out[at + 11 + 7];
    return records;
}

static void a_network_keeps_its_answer(void **state)
{
    struct dns_view *view = sticky_view(5, 1, -1);
    uint8_t one[8], other[8];
    unsigned scope = 0, distinct = 0;
    (void)state;
    for (uint32_t net = 0; net < 2000; net++) {
        uint32_t addr = (10u << 24) + (net << 8);
        assert_int_equal(sticky_ask(view, addr + 1, false, one, NULL), 1);
        for (int again = 0; again < 3; again++) {
            sticky_ask(view, addr + 200, again % 2, other, &scope); /* its own, or its resolver's */
            assert_int_equal(one[0], other[0]);
        }
        assert_int_equal(scope, 24);
        distinct |= 1u << one[0];
    }
    assert_int_equal(distinct, 31);
    dns_view_unref(view);
}

/* All addresses that a resolver may answer from one cached answer get just that answer. */
static void scopes_of_sticky_answers_never_mix_networks(void **state)
{
    struct dns_view *view = sticky_view(5, 1, -1);
    struct gtm_rand rand;
    (void)state;
    gtm_rand_seed(&rand, 11);
    for (int i = 0; i < 4000; i++) {
        /* half of them around the longer leaf */
        uint32_t addr = (uint32_t)gtm_rand_next(&rand);
        if (i % 2)
            addr = 0xcb007100u + (addr & 0xffu);
        uint8_t one[8], other[8];
        unsigned scope = 0, scope_other = 0;
        sticky_ask(view, addr, true, one, &scope);
        assert_true(scope >= 24);
        assert_true((addr & ~255u) != 0xcb007100u || scope >= 25);
        uint32_t neighbour = addr ^ ((uint32_t)gtm_rand_next(&rand) & (UINT32_MAX >> scope));
        sticky_ask(view, neighbour, true, other, &scope_other);
        assert_int_equal(one[0], other[0]);
        assert_int_equal(scope, scope_other);
    }
    dns_view_unref(view);
}

static void sticky_ipv6_and_short_sources(void **state)
{
    struct dns_view *view = sticky_view(5, 1, -1);
    struct ask ask = {.name = "www.example.com", .type = DNS_TYPE_A};
    char first[256];
    (void)state;
    ask.ecs = "2001:db8:1:200::/56";
    snprintf(first, sizeof(first), "%s", ask_view(view, &ask));
    assert_non_null(strstr(first, "scope=56"));
    ask.ecs = "2001:db8:1:2ff:ffff::/128";
    assert_string_equal(ask_view(view, &ask), first); /* the same /56 */
    ask.ecs = "2001:db8::/32";
    assert_non_null(strstr(ask_view(view, &ask), "scope=56"));
    ask.ecs = "10.0.0.0/8"; /* the resolver may ask again with more bits (RFC 7871 7.3.1) */
    assert_non_null(strstr(ask_view(view, &ask), "scope=24"));
    ask.ecs = "0.0.0.0/0"; /* its own address counts */
    assert_non_null(strstr(ask_view(view, &ask), "scope=0"));
    dns_view_unref(view);
}

static double chi_square(const unsigned *counts, const double *shares, unsigned n, unsigned total)
{
    double sum = 0;
    for (unsigned i = 0; i < n; i++) {
        double want = shares[i] * total;
        sum += (counts[i] - want) * (counts[i] - want) / want;
    }
    return sum;
}

/* Networks fall into buckets evenly, also those that differ in a few bits only. */
static void networks_spread_evenly(void **state)
{
    static unsigned counts[BUCKETS];
    static double even[BUCKETS];
    (void)state;
    for (unsigned family = 4; family <= 6; family += 2) {
        memset(counts, 0, sizeof(counts));
        for (uint32_t net = 0; net < 65536; net++) {
            uint8_t addr[16] = {10, (uint8_t)(net >> 8), (uint8_t)net, 1};
            uint8_t addr6[16] = {0x20, 1, 0xd, 0xb8, 0, (uint8_t)(net >> 8), (uint8_t)net, 99};
            counts[dns_network_hash((int)family, family == 4 ? addr : addr6) % BUCKETS]++;
        }
        for (unsigned i = 0; i < BUCKETS; i++)
            even[i] = 1.0 / BUCKETS;
        /* 1,023 degrees of freedom: p = 0.0001 on both sides */
        double chi = chi_square(counts, even, BUCKETS, 65536);
        assert_true(chi > 860 && chi < 1200);
    }
}

/* Nodes of different versions, and tomorrow's, must agree: the values may never change. */
static void the_hash_is_frozen(void **state)
{
    const uint8_t v4[4] = {192, 0, 2, 77}, v4_other[4] = {192, 0, 2, 1};
    const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 1, 2, 3, 4};
    (void)state;
    assert_true(dns_network_hash(4, v4) == UINT64_C(0xc1d2e164a322d032));
    assert_true(dns_network_hash(4, v4_other) == dns_network_hash(4, v4));
    assert_true(dns_network_hash(6, v6) == UINT64_C(0xfc860f327cf38b48));
}

static void when_one_of_n_leaves_only_its_networks_move(void **state)
{
    enum { NETWORKS = 20000 };
    (void)state;
    for (unsigned n = 2; n <= 16; n += 7) {
        struct dns_view *all = sticky_view(n, 1, -1), *rest = sticky_view(n, 1, 0);
        unsigned moved = 0;
        for (uint32_t net = 0; net < NETWORKS; net++) {
            uint8_t before[8], after[8];
            uint32_t addr = (20u << 24) + (net << 8) + 9;
            sticky_ask(all, addr, false, before, NULL);
            sticky_ask(rest, addr, false, after, NULL);
            assert_true(after[0] != 0);
            assert_true(before[0] == 0 || before[0] == after[0]);
            moved += before[0] == 0;
        }
        /* 1/n, and what 1,024 buckets and 20,000 networks leave to chance: 5 sigma of each */
        double share = (double)moved / NETWORKS, want = 1.0 / n;
        assert_true(share < want + 5 * 0.5 / 32 && share > want - 5 * 0.5 / 32);
        dns_view_unref(all);
        dns_view_unref(rest);
    }
}

static void several_sticky_answers_are_distinct_and_stay(void **state)
{
    struct dns_view *view = sticky_view(5, 3, -1), *whole = sticky_view(3, 8, -1);
    uint8_t one[8], other[8];
    (void)state;
    for (uint32_t net = 0; net < 500; net++) {
        uint32_t addr = (30u << 24) + (net << 8);
        assert_int_equal(sticky_ask(view, addr, false, one, NULL), 3);
        assert_int_equal(sticky_ask(view, addr + 7, false, other, NULL), 3);
        assert_memory_equal(one, other, 3);
        assert_true(one[0] != one[1] && one[0] != one[2] && one[1] != one[2]);
        assert_int_equal(sticky_ask(whole, addr, false, one, NULL), 3);
        assert_int_equal(sticky_ask(whole, addr, false, other, NULL), 3);
        assert_memory_equal(one, other, 3); /* all of them, the network's own first */
    }
    dns_view_unref(view);
    dns_view_unref(whole);

    uint16_t lonely[BUCKETS] = {0}; /* the other records have no bucket at all: still three */
    uint8_t rdata[5 * 4];
    for (uint8_t i = 0; i < 5; i++)
        memcpy(rdata + i * 4, (uint8_t[]){192, 0, 2, i}, 4);
    static const uint16_t type_a[] = {DNS_TYPE_A};
    static const struct dns_zone_dynamic names[] = {{"www", type_a, 1, 0, NULL, 0, 0}};
    struct dns_option_spec o = {.weight = 1,
                                .answers = 3,
                                .rdata = rdata,
                                .count = 5,
                                .buckets = lonely,
                                .buckets_count = BUCKETS};
    struct dns_choice *choices[DNS_KINDS] = {[DNS_KIND_A] = steer_choice(DNS_TYPE_A, &o, 1)};
    struct dns_steer *steers[] = {steer_of(steer_map(), choices)};
    view = steer_view(names, 1, steers, false);
    assert_int_equal(sticky_ask(view, 40u << 24, false, one, NULL), 3);
    assert_int_equal(one[0], 0);
    dns_view_unref(view);
}

/* Which option a network gets does not change from question to question, and the shares hold. */
static void options_of_sticky_choices_stick_too(void **state)
{
    static const uint16_t type_a[] = {DNS_TYPE_A};
    static const struct dns_zone_dynamic names[] = {{"www", type_a, 1, 0, NULL, 0, 0}};
    static const uint16_t buckets[2] = {0, 1};
    const uint8_t rdata[] = {192, 0, 2, 0, 192, 0, 2, 1, 192, 0, 2, 2, 192, 0, 2, 3};
    struct dns_option_spec options[2] = {
        {.weight = 80, .answers = 1, .rdata = rdata, .count = 2},
        {.weight = 20, .answers = 1, .rdata = rdata + 8, .count = 2}};
    for (int i = 0; i < 2; i++) {
        options[i].buckets = buckets;
        options[i].buckets_count = 2;
    }
    struct dns_choice *choices[DNS_KINDS] = {[DNS_KIND_A] = steer_choice(DNS_TYPE_A, options, 2)};
    struct dns_steer *steers[] = {steer_of(steer_map(), choices)};
    struct dns_view *view = steer_view(names, 1, steers, false);
    const double shares[4] = {0.4, 0.4, 0.1, 0.1};
    unsigned counts[4] = {0};
    (void)state;
    for (uint32_t net = 0; net < 20000; net++) {
        uint8_t one[8], other[8];
        sticky_ask(view, (50u << 24) + (net << 8), false, one, NULL);
        sticky_ask(view, (50u << 24) + (net << 8) + 3, false, other, NULL);
        assert_int_equal(one[0], other[0]);
        counts[one[0]]++;
    }
    assert_true(chi_square(counts, shares, 4, 20000) < 16.27); /* p = 0.001 */
    dns_view_unref(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_network_keeps_its_answer),
        cmocka_unit_test(scopes_of_sticky_answers_never_mix_networks),
        cmocka_unit_test(sticky_ipv6_and_short_sources),
        cmocka_unit_test(networks_spread_evenly),
        cmocka_unit_test(the_hash_is_frozen),
        cmocka_unit_test(when_one_of_n_leaves_only_its_networks_move),
        cmocka_unit_test(several_sticky_answers_are_distinct_and_stay),
        cmocka_unit_test(options_of_sticky_choices_stick_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
