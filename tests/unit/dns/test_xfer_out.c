/* SPDX-License-Identifier: Apache-2.0
 *
 * Transfers out, without a transport: every record of a zone comes over once, decoded by ldns;
 * messages are bounded and signed; who may not have a zone is told so.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "dns/xfer_out.h"

#include "dns/rr.h"
#include "dns/steer_int.h"
#include "gtm/base/buf.h"
#include "gtm/base/mem.h"
#include "tests/support/dns_ask.h"
#include "tests/support/dns_world.h"

#include <ldns/ldns.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1700000000u

static uint8_t out[DNS_MESSAGE_MAX], packet[1024];
static struct dns_query query;
static struct dns_client client; /* 198.51.100.1 by TCP */
static struct dns_tsig_key key, other_key;

/* The view again, with rules: the key of `with` (NULL = none) for the network of `first`.0.0.0/8.
 */
static struct dns_view *with_rule(struct dns_view *view, uint8_t first,
                                  const struct dns_tsig_key *with, bool expired)
{
    const struct dns_tsig_key *keys[] = {&key, &other_key};
    struct dns_settings spec = {.keys = keys, .keys_count = 2};
    struct gtm_error err = {0};
    struct dns_settings *settings = dns_settings_new(&spec);
    struct dns_peer rule = {.network = {.family = 4, .prefix_len = 8, .addr = {first}}};
    if (with)
        rule.key = dns_settings_key(settings, with->name);
    struct dns_view_zone vz = view->zones[0];
    vz.peers = dns_zone_peers_new(&rule, 1, NULL, 0);
    vz.expired = expired;
    struct dns_view *made = dns_view_new(&vz, 1, settings, 2, &err);
    assert_non_null(made);
    dns_zone_peers_unref(vz.peers);
    dns_settings_unref(settings);
    dns_view_unref(view);
    return made;
}

static struct dns_view *open_world(void)
{
    return with_rule(dns_world(), 198, NULL, false);
}

/* A request in `packet`; serial ≥ 0: with an SOA of it in the authority section. */
static size_t request(const char *name, uint16_t type, int64_t serial, bool edns)
{
    struct ask ask = {.name = name, .type = type, .edns = edns};
    uint8_t plain[512];
    size_t len = ask_packet(&ask, plain), opt = edns ? 11 : 0;
    memcpy(packet, plain, len - opt);
    uint8_t *p = packet + len - opt;
    if (serial >= 0) {
        static const uint8_t soa[] = {0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 0, 0, 22, 0, 0};
        memcpy(p, soa, sizeof(soa));
        memset(p + 14, 0, 20);
        dns_put32(p + 14, (uint32_t)serial);
        packet[9] = 1;
        p += 34;
    }
    memcpy(p, plain + len - opt, opt);
    return (size_t)(p - packet) + opt;
}

/* Begins with the request in packet; a refusal's text, or NULL when *ret runs. */
static const char *begin(struct dns_view *view, size_t len, struct dns_xfer_out **ret)
{
    dns_query_prepare(&query, view, packet, len);
    if (!dns_xfer_out_wanted(&query)) {
        *ret = NULL;
        return "not wanted";
    }
    size_t n = dns_xfer_out_begin(&query, view, &client, true, NOW, out, sizeof(out), ret);
    if (*ret) {
        assert_int_equal(n, 0);
        return NULL;
    }
    return ask_show(out, n);
}

/* ---- what came over ---- */

struct list {
    char **lines;
    size_t count, cap;
};

static void list_add(struct list *l, ldns_rr *rr)
{
    void *lines = l->lines;
    assert_int_equal(gtm_grow(&lines, &l->cap, l->count + 1, sizeof(char *)), 0);
    l->lines = lines;
    l->lines[l->count++] = ldns_rr2str(rr);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list_free(struct list *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->lines[i]);
    gtm_free(l->lines);
}

static int add_static(void *ctx, const uint8_t *owner, uint16_t type, uint32_t ttl,
                      const uint8_t *rdata, uint16_t rdlen, int64_t slot)
{
    static uint8_t wire[70000];
    if (slot >= 0)
        return 0;
    size_t n = dns_name_len(owner), pos = 0;
    ldns_rr *rr = NULL;
    memcpy(wire, owner, n);
    dns_put16(wire + n, type);
    dns_put16(wire + n + 2, 1);
    dns_put32(wire + n + 4, ttl);
    dns_put16(wire + n + 8, rdlen);
    memcpy(wire + n + 10, rdata, rdlen);
    assert_int_equal(ldns_wire2rr(&rr, wire, n + 10 + rdlen, &pos, LDNS_SECTION_ANSWER),
                     LDNS_STATUS_OK);
    list_add(ctx, rr);
    ldns_rr_free(rr);
    return 0;
}

/* All records of a transfer; returns its messages. */
static size_t drain(struct dns_xfer_out *x, struct list *ret, struct dns_tsig *check)
{
    size_t messages = 0, n, without;
    int rc = 0;
    while ((n = dns_xfer_out_next(x, out, sizeof(out), NOW + messages, &rc)) > 0) {
        ldns_pkt *pkt = NULL;
        assert_true(n <= DNS_XFER_OUT_MESSAGE || dns_get16(out + 6) == 1);
        assert_int_equal(dns_get16(out), 0x1234);
        assert_int_equal(out[2] & 0x84, 0x84);
        assert_int_equal(dns_get16(out + 4), messages == 0);
        assert_int_equal(ldns_wire2pkt(&pkt, out, n), LDNS_STATUS_OK);
        ldns_rr_list *rrs = ldns_pkt_answer(pkt);
        for (size_t i = 0; i < ldns_rr_list_rr_count(rrs); i++)
            list_add(ret, ldns_rr_list_rr(rrs, i));
        ldns_pkt_free(pkt);
        if (check)
            assert_int_equal(dns_tsig_check_answer(check, out, n, false, NOW + messages, &without),
                             DNS_TSIG_GOOD);
        messages++;
    }
    assert_int_equal(rc, 0);
    dns_xfer_out_free(x);
    return messages;
}

/* The transfer begins and ends with the SOA and has each static record once. Returns how many
 * others there are (dynamic ones). */
static size_t compare(struct list *got, const struct dns_zone *zone)
{
    struct list want = {0};
    size_t others = 0;
    assert_int_equal(dns_zone_walk(zone, add_static, &want), 0);
    assert_true(got->count >= want.count + 1);
    assert_non_null(strstr(got->lines[0], "\tSOA\t"));
    assert_string_equal(got->lines[0], got->lines[got->count - 1]);
    free(got->lines[--got->count]);
    qsort(got->lines, got->count, sizeof(char *), by_text);
    qsort(want.lines, want.count, sizeof(char *), by_text);
    for (size_t g = 0, w = 0; g < got->count; g++) {
        assert_true(g == 0 || strcmp(got->lines[g - 1], got->lines[g]) != 0);
        if (w < want.count && strcmp(got->lines[g], want.lines[w]) == 0)
            w++;
        else
            others++;
        assert_true(g + 1 < got->count || w == want.count);
    }
    list_free(&want);
    return others;
}

static void test_everything_comes_over_once(void **state)
{
    struct dns_view *view = open_world();
    struct dns_zone *zone = dns_zone_ref(view->zones[0].zone);
    struct dns_xfer_out *x;
    struct list got = {0};
    assert_null(begin(view, request("example.com", DNS_TYPE_AXFR, -1, true), &x));
    dns_view_unref(view); /* the transfer holds it */
    drain(x, &got, NULL);
    assert_true(compare(&got, zone) > 0);
    list_free(&got);
    dns_zone_unref(zone);
}

/* Transfers a zone with one dynamic name, *.www, into got; returns its records. */
static size_t transfer_dynamic(const struct dns_option_spec *options, size_t options_count,
                               struct list *got)
{
    static const uint16_t types[] = {DNS_TYPE_A, DNS_TYPE_AAAA};
    static const char text[] = "$TTL 60\n@ SOA ns a 7 2 3 4 5\n@ NS ns.x.net.\n";
    struct dns_choice_spec choice = {
        .type = DNS_TYPE_A, .ttl_s = 30, .options = options, .options_count = options_count};
    struct dns_choice_spec none = {.type = DNS_TYPE_AAAA, .outcome = DNS_OUTCOME_SERVFAIL};
    struct dns_zone_dynamic dynamic = {.name = "*.www", .types = types, .types_count = 2};
    struct dns_zone_spec spec = {.origin = "example.com",
                                 .path = "x",
                                 .dynamics = &dynamic,
                                 .dynamics_count = 1,
                                 .slot_count = 1};
    struct gtm_error err = {0};
    struct gtm_diags diags = {0};
    struct dns_view *world = dns_world();
    struct dns_classmap *map = world->zones[0].slots[0]->map;
    uint16_t slots[64] = {0};
    struct dns_picks *picks = dns_picks_new(slots, 64, &err);
    struct dns_choice *choices[2] = {dns_choice_new(&choice, &err), dns_choice_new(&none, &err)};
    struct dns_steer_kind kinds[DNS_KINDS] = {{picks, &choices[0], 1}, {picks, &choices[1], 1}};
    struct dns_steer *steer = dns_steer_new(map, kinds, &err);
    assert_non_null(steer);
    struct dns_zone *zone = dns_zone_load_text(&spec, text, sizeof(text) - 1, &diags);
    assert_non_null(zone);
    struct dns_view_zone vz = {.zone = zone, .slots = &steer};
    struct dns_view *view = with_rule(dns_view_new(&vz, 1, NULL, 1, &err), 198, NULL, false);
    struct dns_xfer_out *x;
    assert_null(begin(view, request("example.com", DNS_TYPE_AXFR, -1, false), &x));
    drain(x, got, NULL);
    size_t others = compare(got, zone);
    dns_steer_unref(steer);
    dns_choice_unref(choices[0]);
    dns_choice_unref(choices[1]);
    dns_picks_unref(picks);
    dns_zone_unref(zone);
    dns_view_unref(view);
    dns_view_unref(world);
    gtm_diags_fini(&diags);
    return others;
}

/* Option lists with the same address in two of them. */
static void test_dynamic_names_have_all_their_addresses(void **state)
{
    static const uint8_t a[] = {192, 0, 2, 1, 192, 0, 2, 2}, b[] = {192, 0, 2, 2, 192, 0, 2, 3};
    struct dns_option_spec options[] = {{.weight = 1, .answers = 1, .rdata = a, .count = 2},
                                        {.weight = 9, .answers = 1, .rdata = b, .count = 2}};
    struct list got = {0};
    assert_int_equal(transfer_dynamic(options, 2, &got), 3);
    for (int i = 1; i <= 3; i++) {
        char want[80];
        bool found = false;
        snprintf(want, sizeof(want), "*.www.example.com.\t30\tIN\tA\t192.0.2.%d\n", i);
        for (size_t k = 0; k < got.count; k++)
            found |= strcmp(got.lines[k], want) == 0;
        assert_true(found);
    }
    list_free(&got);
}

/* A set that no answer could hold, and that would take for ever to rid of repeats, has a bound. */
static void test_dynamic_names_have_a_bound(void **state)
{
    static uint8_t rdata[5][DNS_STEER_RECORDS_MAX * 4];
    struct dns_option_spec options[5];
    struct list got = {0};
    for (uint32_t i = 0; i < 5 * DNS_STEER_RECORDS_MAX; i++)
        dns_put32(&rdata[0][0] + (size_t)i * 4, 0x0a000000u + i);
    for (size_t i = 0; i < 5; i++)
        options[i] = (struct dns_option_spec){
            .weight = 1, .answers = 1, .rdata = rdata[i], .count = DNS_STEER_RECORDS_MAX};
    assert_int_equal(transfer_dynamic(options, 5, &got), DNS_XFER_OUT_DYNAMIC);
    list_free(&got);
}

/* Names below each other, long TXT records, one of 60,000 octets: many messages, names compressed.
 */
static struct dns_view *large_zone(int names, size_t *ret_text)
{
    struct gtm_buf text = {0};
    gtm_buf_adds(&text, "$TTL 60\n@ SOA ns a 2000000000 2 3 4 5\n@ NS ns.x.net.\nhuge TXT");
    for (int i = 0; i < 240; i++)
        gtm_buf_addf(&text, " \"%0249d\"", i);
    gtm_buf_adds(&text, "\n");
    for (int i = 0; i < names; i++)
        gtm_buf_addf(&text, "a.b.c%d.some-very-long-label-to-be-compressed.%s A 192.0.2.%d\n", i,
                     i % 3 ? "x" : "y", i % 250);
    for (int i = 0; i < 100; i++)
        gtm_buf_addf(&text, "t%d TXT \"%0200d\"\n", i, i);
    struct dns_view *view = ask_zone("example.com", text.data);
    *ret_text = text.len;
    gtm_buf_fini(&text);
    return view;
}

static void test_many_messages(void **state)
{
    size_t text;
    struct dns_view *view = with_rule(large_zone(5000, &text), 198, NULL, false);
    struct dns_zone *zone = dns_zone_ref(view->zones[0].zone);
    struct dns_xfer_out *x;
    struct list got = {0};
    assert_null(begin(view, request("EXAMPLE.com", DNS_TYPE_AXFR, -1, true), &x));
    size_t messages = drain(x, &got, NULL);
    /* without compression the owners alone are 5,000 × 70 octets: 33 messages with the rest */
    assert_in_range(messages, 10, 22);
    assert_int_equal(compare(&got, zone), 0);
    list_free(&got);
    dns_zone_unref(zone);
    dns_view_unref(view);
}

static void test_signed(void **state)
{
    size_t text;
    struct dns_view *view = with_rule(large_zone(2000, &text), 198, &key, false);
    struct dns_tsig mine = {0};
    struct dns_xfer_out *x;
    struct list got = {0};
    size_t len = request("example.com", DNS_TYPE_AXFR, -1, true);
    len = dns_tsig_sign_request(&mine, &key, packet, len, sizeof(packet), NOW);
    assert_true(len > 0);
    assert_null(begin(view, len, &x));
    assert_true(drain(x, &got, &mine) > 3);
    assert_int_equal(compare(&got, view->zones[0].zone), 0);
    list_free(&got);
    dns_tsig_fini(&mine);
    dns_view_unref(view);
}

static void expect_refusal(struct dns_view *view, size_t len, const char *want)
{
    struct dns_xfer_out *x;
    const char *text = begin(view, len, &x);
    assert_non_null(text);
    if (strncmp(text, want, strlen(want)) != 0)
        fail_msg("%s, not %s", text, want);
}

static void test_who_may_not(void **state)
{
    struct dns_tsig mine = {0};
    struct dns_view *view = dns_world(); /* no peers at all */
    expect_refusal(view, request("example.com", DNS_TYPE_AXFR, -1, true),
                   "REFUSED | | | | opt ede=18");
    view = with_rule(view, 10, NULL, false); /* others */
    expect_refusal(view, request("example.com", DNS_TYPE_AXFR, -1, false), "REFUSED | | |");
    view = with_rule(view, 198, &key, false); /* but with the key */
    expect_refusal(view, request("example.com", DNS_TYPE_AXFR, -1, false), "REFUSED | | |");
    size_t len = request("example.com", DNS_TYPE_AXFR, -1, false);
    len = dns_tsig_sign_request(&mine, &other_key, packet, len, sizeof(packet), NOW);
    expect_refusal(view, len, "REFUSED");
    assert_int_equal(out[11], 1); /* signed all the same */
    struct dns_tsig_key wrong = key;
    wrong.secret[0] ^= 1;
    len = request("example.com", DNS_TYPE_AXFR, -1, false);
    len = dns_tsig_sign_request(&mine, &wrong, packet, len, sizeof(packet), NOW);
    expect_refusal(view, len, "NOTAUTH");
    len = request("example.com", DNS_TYPE_AXFR, -1, false);
    len = dns_tsig_sign_request(&mine, &key, packet, len, sizeof(packet), NOW - 3600);
    expect_refusal(view, len, "NOTAUTH");
    view = with_rule(view, 198, NULL, false);
    expect_refusal(view, request("www.example.com", DNS_TYPE_AXFR, -1, true), "NOTAUTH");
    expect_refusal(view, request("example.org", DNS_TYPE_AXFR, -1, true), "NOTAUTH");
    struct dns_xfer_out *x;
    dns_query_prepare(&query, view, packet, request("example.com", DNS_TYPE_AXFR, -1, true));
    size_t n = dns_xfer_out_begin(&query, view, &client, false, NOW, out, sizeof(out), &x);
    assert_null(x); /* too many run */
    assert_memory_equal(ask_show(out, n), "SERVFAIL", 8);
    client.proto = DNS_PROTO_UDP;
    expect_refusal(view, request("example.com", DNS_TYPE_AXFR, -1, true), "FORMERR");
    client.proto = DNS_PROTO_TCP;
    view = with_rule(view, 198, NULL, true);
    expect_refusal(view, request("example.com", DNS_TYPE_AXFR, -1, true),
                   "SERVFAIL | | | | opt ede=24");
    dns_tsig_fini(&mine);
    dns_view_unref(view);
}

static void test_incremental(void **state)
{
    size_t text; /* its serial is 2,000,000,000 */
    struct dns_view *view = with_rule(large_zone(10, &text), 198, NULL, false);
    struct dns_xfer_out *x;
    struct list got = {0};
    static const char soa[] = "NOERROR aa | example.com. 60 SOA ns.example.com. a.example.com. "
                              "2000000000 2 3 4 5 | |";
    expect_refusal(view, request("example.com", DNS_TYPE_IXFR, 2000000000, false), soa);
    expect_refusal(view, request("example.com", DNS_TYPE_IXFR, 2000000001, true), soa);
    expect_refusal(view, request("example.com", DNS_TYPE_IXFR, -1, false), "FORMERR");
    client.proto = DNS_PROTO_UDP;
    expect_refusal(view, request("example.com", DNS_TYPE_IXFR, 5, false), soa);
    client.proto = DNS_PROTO_TCP;
    assert_null(begin(view, request("example.com", DNS_TYPE_IXFR, 1999999999, true), &x));
    drain(x, &got, NULL);
    assert_int_equal(compare(&got, view->zones[0].zone), 0);
    list_free(&got);
    /* RFC 1982: 2^31 - 1 behind in the circle is older, beyond is newer */
    assert_null(begin(view, request("example.com", DNS_TYPE_IXFR, 0xffffffff, true), &x));
    dns_xfer_out_free(x);
    expect_refusal(view, request("example.com", DNS_TYPE_IXFR, 2000000000LL + 0x7fffffff, true),
                   soa);
    dns_view_unref(view);
}

/* By UDP there are no transfers: the answer path itself says the SOA, or no. */
static void test_by_udp(void **state)
{
    size_t text;
    struct dns_view *view = with_rule(large_zone(10, &text), 198, &key, false);
    struct dns_answerer answerer;
    struct dns_client udp = client;
    struct dns_tsig mine = {0};
    udp.proto = DNS_PROTO_UDP;
    dns_answerer_init(&answerer, 1);
    size_t len = request("example.com", DNS_TYPE_AXFR, -1, true);
    size_t n = dns_answer(&answerer, view, &udp, packet, len, out, sizeof(out));
    assert_string_equal(ask_show(out, n), "FORMERR | | | | opt");
    len = request("example.com", DNS_TYPE_IXFR, 5, true);
    n = dns_answer(&answerer, view, &udp, packet, len, out, sizeof(out));
    assert_string_equal(ask_show(out, n), "REFUSED | | | | opt ede=18");
    len = request("example.com", DNS_TYPE_IXFR, 5, false);
    len = dns_tsig_sign_request(&mine, &key, packet, len, sizeof(packet),
                                (uint64_t)gtm_wall_ms(gtm_clock_system()) / 1000);
    n = dns_answer(&answerer, view, &udp, packet, len, out, sizeof(out));
    assert_int_equal(dns_get16(out + 6), 1);
    assert_non_null(strstr(ask_show(out, n), "SOA ns.example.com. a.example.com. 2000000000"));
    dns_tsig_fini(&mine);
    dns_view_unref(view);
}

static void test_out_of_memory(void **state)
{
    struct dns_view *view = open_world();
    struct dns_xfer_out *x;
    size_t len = request("example.com", DNS_TYPE_AXFR, -1, false);
    gtm_mem_fail_at(1, 0);
    const char *text = begin(view, len, &x);
    gtm_mem_fail_at(0, 0);
    assert_memory_equal(text, "SERVFAIL", 8);
    dns_view_unref(view);
}

static int set_up(void **state)
{
    static const char secret[] = "c2VjcmV0LW9mLXRoaXMtdGVzdC1rZXktMzItYnl0ZXM=";
    client = (struct dns_client){.family = 4, .addr = {198, 51, 100, 1}, .proto = DNS_PROTO_TCP};
    if (dns_tsig_key_init(&key, "transfer.example.", DNS_TSIG_SHA256, secret, sizeof(secret) - 1,
                          NULL) != 0)
        return -1;
    return dns_tsig_key_init(&other_key, "other.example.", DNS_TSIG_SHA512, secret,
                             sizeof(secret) - 1, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_comes_over_once),
        cmocka_unit_test(test_dynamic_names_have_all_their_addresses),
        cmocka_unit_test(test_dynamic_names_have_a_bound),
        cmocka_unit_test(test_many_messages),
        cmocka_unit_test(test_signed),
        cmocka_unit_test(test_who_may_not),
        cmocka_unit_test(test_incremental),
        cmocka_unit_test(test_by_udp),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
