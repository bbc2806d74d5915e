/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/dns_world.h"

#include "dns/rr.h"
#include "dns/steer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char zone_text[] =
    "$TTL 60\n@ SOA ns1 admin 1 2 3 4 5\n@ NS ns1\n@ NS ns2.example.net.\n@ MX 1 mail\n"
    "ns1 A 192.0.2.53\nalias CNAME www\nloop CNAME loop2\nloop2 CNAME loop\nout CNAME x.org.\n"
    "*.w A 192.0.2.1\n*.w TXT \"x\"\n*.wc CNAME www\nb.a.deep A 192.0.2.3\nsub NS ns.sub\n"
    "ns.sub A 192.0.2.4\nns.sub AAAA 2001:db8::4\nd DNAME e\nx.e A 192.0.2.5\n"
    "self DNAME self2.self3\nlong DNAME "
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb."
    "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc\n"
    "_s._tcp SRV 1 2 3 www\ntxt TXT \"a\" \"b\"\ncaa CAA 0 issue \"ca\"\n";

static uint32_t classify(void *ctx, const struct gtm_location *loc, const uint32_t *labels,
                         size_t count)
{
    (void)ctx;
    (void)loc;
    return count > 0 ? labels[count - 1] : 0;
}

static void need(const void *p, const char *what)
{
    if (p == NULL) {
        fprintf(stderr, "test world: no %s\n", what);
        abort();
    }
}

static struct dns_classmap *world_map(void)
{
    static const struct dns_labeled_network nets[] = {
        {4, 8, {10}, 1},
        {4, 24, {10, 1, 2}, 2},
        {4, 32, {10, 1, 2, 3}, 3},
        {6, 32, {0x20, 0x01, 0x0d, 0xb8}, 1},
        {6, 128, {0x20, 0x01, 0x0d, 0xb8, [15] = 1}, 2}};
    struct gtm_error err = {0};
    struct dns_classmap *map = dns_classmap_build(NULL, nets, 5, classify, NULL, &err);
    need(map, "class map");
    return map;
}

static struct dns_choice *world_choice(uint16_t type, int kind)
{
    static uint8_t rdata[40 * 16];
    static const uint32_t weights[40] = {1, 2, 3, 0, 5};
    struct gtm_error err = {0};
    for (size_t i = 0; i < sizeof(rdata); i++)
        rdata[i] = (uint8_t)(i * 37 + 1);
    struct dns_option_spec options[3] = {
        {.weight = 5, .answers = 1, .rdata = rdata, .count = 1},
        {.weight = 3, .answers = 40, .rdata = rdata, .count = 40},
        {.weight = 2, .answers = 8, .rdata = rdata, .weights = weights, .count = 40}};
    struct dns_choice_spec spec = {.type = type,
                                   .ttl_s = 30,
                                   .outcome = kind == 3 ? DNS_OUTCOME_SERVFAIL : DNS_OUTCOME_ANSWER,
                                   .options = kind == 1 ? options : options + 1,
                                   .options_count = kind == 1 ? 3 : 1,
                                   .ede_text = "all endpoints are down"};
    if (kind == 2 && type == DNS_TYPE_AAAA)
        spec.outcome = DNS_OUTCOME_NODATA;
    struct dns_choice *c = dns_choice_new(&spec, &err);
    need(c, "choice");
    return c;
}

static struct dns_steer *world_steer(void)
{
    static const uint16_t slots[4] = {0, 1, 2, 3};
    struct gtm_error err = {0};
    struct dns_classmap *map = world_map();
    struct dns_picks *picks = dns_picks_new(slots, 4, &err);
    struct dns_choice *choices[2][4];

    for (int f = 0; f < 2; f++)
        for (int k = 0; k < 4; k++)
            choices[f][k] = world_choice(f == 0 ? DNS_TYPE_A : DNS_TYPE_AAAA, k);
    struct dns_steer_kind kinds[DNS_KINDS] = {{picks, choices[0], 4}, {picks, choices[1], 4}};
    struct dns_steer *steer = dns_steer_new(map, kinds, &err);
    need(steer, err.text);
    for (int f = 0; f < 2; f++)
        for (int k = 0; k < 4; k++)
            dns_choice_unref(choices[f][k]);
    dns_picks_unref(picks);
    dns_classmap_unref(map);
    return steer;
}

/* Records of every length: targets in the zone, out of it, and back at another dynamic name. */
static struct dns_choice *odd_choice(enum dns_kind kind, int form)
{
    /* addresses of 4 octets, and targets: before them nothing, SRV's six octets, or a priority */
    static const uint8_t addresses[] = {192, 0, 2, 1, 192, 0, 2, 2, 192, 0, 2, 3};
    static const uint8_t cname[] = "\3www\7example\3com\0\1x\3org\0\2cn\7example\3com";
    static const uint8_t srv[] = "\0\1\0\2\0\3\3www\7example\3com\0\0\1\0\2\0\3\1x\3org\0"
                                 "\0\1\0\2\0\3\2cn\7example\3com";
    static const uint8_t svcb[] = "\0\1\3www\7example\3com\0\0\1\0\0\1\2cn\7example\3com";
    static const uint8_t *const rdatas[DNS_KINDS] = {addresses, NULL, cname, srv, svcb, svcb};
    static const uint16_t rdlens[DNS_KINDS][3] = {{4, 4, 4},    {0},         {17, 7, 16},
                                                  {23, 13, 22}, {19, 3, 18}, {19, 3, 18}};
    static const uint16_t buckets[8] = {0, 1, 2, 2, 1, 0, 0, 1};
    static const uint32_t weights[3] = {1, 0, 7};
    struct gtm_error err = {0};
    struct dns_option_spec options[2] = {
        {.weight = 3, .answers = form == 1 ? 2 : 3, .rdata = rdatas[kind], .count = 3},
        {.weight = 1, .answers = 2, .rdata = rdatas[kind], .weights = weights, .count = 3}};
    for (int i = 0; i < 2; i++) {
        options[i].rdlens = rdlens[kind];
        options[i].buckets = form == 2 ? buckets : NULL;
        options[i].buckets_count = form == 2 ? 8 : 0;
    }
    struct dns_choice_spec spec = {.type = dns_kind_type(kind),
                                   .ttl_s = 20,
                                   .outcome = form == 3 ? DNS_OUTCOME_SERVFAIL : DNS_OUTCOME_ANSWER,
                                   .options = options,
                                   .options_count = 2,
                                   .sticky = form == 3};
    struct dns_choice *c = dns_choice_new(&spec, &err);
    need(c, err.text);
    return c;
}

/* One class by chance, one with several answers, one sticky, one without an answer. */
static struct dns_steer *odd_steer(void)
{
    static const uint16_t slots[4] = {0, 1, 2, 3};
    struct gtm_error err = {0};
    struct dns_classmap *map = world_map();
    struct dns_picks *picks = dns_picks_new(slots, 4, &err);
    struct dns_choice *choices[DNS_KINDS][4];
    struct dns_steer_kind kinds[DNS_KINDS] = {{0}};

    for (int k = 0; k < DNS_KINDS; k++) {
        for (int f = 0; f < 4 && k != DNS_KIND_AAAA; f++)
            choices[k][f] = odd_choice((enum dns_kind)k, f);
        if (k != DNS_KIND_AAAA)
            kinds[k] = (struct dns_steer_kind){picks, choices[k], 4};
    }
    struct dns_steer *steer = dns_steer_new(map, kinds, &err);
    need(steer, err.text);
    for (int k = 0; k < DNS_KINDS; k++)
        for (int f = 0; f < 4 && k != DNS_KIND_AAAA; f++)
            dns_choice_unref(choices[k][f]);
    dns_picks_unref(picks);
    dns_classmap_unref(map);
    return steer;
}

struct dns_view *dns_world(void)
{
    static const uint16_t types[] = {DNS_TYPE_A, DNS_TYPE_AAAA}, cname[] = {DNS_TYPE_CNAME};
    static const uint16_t others[] = {DNS_TYPE_A, DNS_TYPE_SRV, DNS_TYPE_HTTPS, DNS_TYPE_SVCB};
    static const struct dns_zone_dynamic names[] = {
        {"www", types, 2, 0, NULL, 0, 0},     {"*.dyn", types, 2, 0, NULL, 0, 0},
        {"mail", types, 1, 0, NULL, 0, 0},    {"cn", cname, 1, 1, NULL, 0, 0},
        {"*.cw", cname, 1, 1, NULL, 0, 0},    {"st", others, 4, 1, NULL, 0, 0},
        {"none", types + 1, 1, 1, NULL, 0, 0}};
    struct dns_zone_spec spec = {.origin = "example.com",
                                 .path = "world.zone",
                                 .dynamics = names,
                                 .dynamics_count = sizeof(names) / sizeof(names[0]),
                                 .slot_count = 2};
    struct gtm_diags diags = {0};
    struct gtm_error err = {0};
    struct dns_zone *zone = dns_zone_load_text(&spec, zone_text, strlen(zone_text), &diags);
    gtm_diags_print(&diags, stderr);
    gtm_diags_fini(&diags);
    need(zone, "zone");
    struct dns_steer *steers[2] = {world_steer(), odd_steer()};
    struct dns_view_zone vz = {.zone = zone, .slots = steers};
    struct dns_view *view = dns_view_new(&vz, 1, NULL, 1, &err);
    need(view, "view");
    dns_zone_unref(zone);
    dns_steer_unref(steers[0]);
    dns_steer_unref(steers[1]);
    return view;
}

static size_t check_name(const uint8_t *p, size_t at, size_t len)
{
    size_t octets = 0, low = at, end = 0;

    for (;;) {
        if (at >= len)
            return 0;
        if (p[at] == 0)
            return end != 0 ? end : at + 1;
        if ((p[at] & 0xc0) == 0xc0) {
            if (at + 2 > len)
                return 0;
            size_t to = dns_get16(p + at) & 0x3fffu;
            if (end == 0)
                end = at + 2;
            if (to >= low || to < 12)
                return 0;
            low = at = to;
            continue;
        }
        if (p[at] > 63)
            return 0;
        octets += p[at] + 1u;
        if (octets >= DNS_NAME_MAX)
            return 0;
        at += p[at] + 1u;
    }
}

const char *dns_world_check(const uint8_t *query, size_t query_len, const uint8_t *packet,
                            size_t len)
{
    if (len == 0)
        return NULL;
    if (len < 12 || query_len < 12)
        return "an answer to, or as, less than a header";
    if (memcmp(packet, query, 2) != 0 || (packet[2] & 0x80) == 0 || (query[2] & 0x80) != 0)
        return "wrong id or QR";
    size_t at = 12, questions = dns_get16(packet + 4);
    if (questions > 1)
        return "more than one question";
    if (questions == 1) {
        at = check_name(packet, at, len);
        if (at == 0 || at + 4 > len || memcmp(packet + 12, query + 12, at + 4 - 12) != 0)
            return "the question is not echoed";
        at += 4;
    }
    size_t records = (size_t)dns_get16(packet + 6) + dns_get16(packet + 8) + dns_get16(packet + 10);
    for (size_t i = 0; i < records; i++) {
        at = check_name(packet, at, len);
        if (at == 0 || at + 10 > len)
            return "a record's owner is broken";
        unsigned type = dns_get16(packet + at), rdlen = dns_get16(packet + at + 8);
        at += 10;
        if (at + rdlen > len)
            return "a record reaches over the end";
        if ((type == DNS_TYPE_NS || type == DNS_TYPE_CNAME || type == DNS_TYPE_DNAME) &&
            check_name(packet, at, at + rdlen) != at + rdlen)
            return "a name in rdata is broken";
        at += rdlen;
    }
    return at == len ? NULL : "octets behind the last record";
}
