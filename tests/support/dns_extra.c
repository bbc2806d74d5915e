/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "tests/support/dns_extra.h"

#include "dns/rr.h"

#include <string.h>

const char zone_text[] = "$TTL 60\n@ SOA ns1 admin 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.53\n"
                         "www A 192.0.2.1\n*.wild A 192.0.2.7\nsub NS ns.sub\nns.sub A 192.0.2.4\n"
                         "big TXT \"0123456789012345678901234567890123456789\"\n";

struct dns_tsig_key key, other_key;
struct dns_answerer answerer;
struct gtm_clock_fake fake;
struct dns_client client;
struct msg m;
uint8_t out[65535];
size_t out_len;
struct dns_zone_peers *peers;

struct dns_view *make_view(struct dns_settings *spec)
{
    const struct dns_tsig_key *keys[] = {&key, &other_key};
    struct dns_zone_spec zs = {.origin = "example.com", .path = "test.zone"};
    struct dns_zone_spec zs2 = {.origin = "example.org", .path = "test.zone"};
    struct gtm_diags diags = {0};
    struct gtm_error err = {0};
    struct dns_settings *settings = NULL;
    if (spec != NULL) {
        spec->keys = keys;
        spec->keys_count = 2;
        settings = dns_settings_new(spec);
        assert_non_null(settings);
    }
    struct dns_peer primaries[2] = {{{4, 24, {203, 0, 113}}, NULL},
                                    {{6, 32, {0x20, 0x01, 0x0d, 0xb8}}, NULL}};
    if (settings != NULL)
        primaries[1].key = dns_settings_key(settings, key.name);
    peers = dns_zone_peers_new(NULL, 0, primaries, 2);
    struct dns_view_zone zones[2] = {{.peers = peers}, {0}};
    zones[0].zone = dns_zone_load_text(&zs, zone_text, strlen(zone_text), &diags);
    zones[1].zone = dns_zone_load_text(&zs2, zone_text, strlen(zone_text), &diags);
    struct dns_view *view = dns_view_new(zones, 2, settings, 1, &err);
    assert_non_null(view);
    dns_zone_unref(zones[0].zone);
    dns_zone_unref(zones[1].zone);
    dns_settings_unref(settings);
    dns_zone_peers_unref(peers); /* the view has one */
    return view;
}

int extra_set_up(void **state)
{
    struct gtm_error err = {0};
    assert_int_equal(dns_tsig_key_init(&key, "xfer", DNS_TSIG_SHA256, "AQIDBAUGBwg=", 12, &err), 0);
    assert_int_equal(dns_tsig_key_init(&other_key, "other", DNS_TSIG_SHA512, "CQkJ", 4, &err), 0);
    gtm_clock_fake_init(&fake);
    fake.wall_ms = WALL_S * 1000ll;
    fake.mono_ns = 1000000000000;
    dns_answerer_init(&answerer, 1);
    answerer.clock = &fake.clock;
    client = (struct dns_client){.family = 4, .addr = {198, 51, 100, 7}};
    return 0;
}

unsigned ask(const struct dns_view *view)
{
    memset(out, 0xaa, sizeof(out));
    out_len = dns_answer(&answerer, view, &client, m.p, m.n, out, sizeof(out));
    return out_len == 0 ? 999 : msg_rcode(out, out_len);
}

const uint8_t *option(unsigned code, size_t *len)
{
    return msg_find_option(out, out_len, code, len);
}

int ede(void)
{
    size_t n;
    const uint8_t *o = option(15, &n);
    return o ? dns_get16(o) : -1;
}

uint64_t counted(enum dns_counter c)
{
    return answerer.counters.n[c];
}

void query_cookie(const uint8_t *cookie, size_t len)
{
    msg_begin(&m, 0, "www.example.com", DNS_TYPE_A);
    msg_opt(&m, 1232);
    msg_option(&m, 10, cookie, len);
}
