/* SPDX-License-Identifier: Apache-2.0
 *
 * NOTIFY, and queries with signatures through the answer path: verdicts, sizes, counters.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "tests/support/dns_extra.h"

#include "dns/rr.h"

#include <stdio.h>
#include <string.h>

/* ---- NOTIFY ---- */

static bool notified(void)
{
    return atomic_exchange(&peers->notified, false);
}

static void test_notify(void **state)
{
    struct dns_settings s = {0};
    struct dns_view *view = make_view(&s);
    struct dns_tsig tsig;
    size_t without;

    client = (struct dns_client){.family = 4, .addr = {203, 0, 113, 9}};
    msg_begin(&m, DNS_OPCODE_NOTIFY, "example.com", DNS_TYPE_SOA);
    assert_int_equal(ask(view), 0);
    assert_true(notified());
    assert_int_equal(dns_get16(out + 2), 0x8000 | DNS_OPCODE_NOTIFY << 11 | 0x0400);
    assert_int_equal(out_len, m.n); /* the question comes back */
    /* the SOA of the primary may come along */
    msg_record(&m, 1, "example.com", DNS_TYPE_SOA, 1,
               "\0\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5", 22);
    assert_int_equal(ask(view), 0);
    assert_true(notified());
    /* not from there */
    client.addr[2] = 114;
    assert_int_equal(ask(view), DNS_RCODE_REFUSED);
    assert_false(notified());
    client.addr[2] = 113;
    /* no secondary zone, no zone, below the zone, another type, another class */
    msg_begin(&m, DNS_OPCODE_NOTIFY, "example.org", DNS_TYPE_SOA);
    assert_int_equal(ask(view), DNS_RCODE_NOTAUTH);
    msg_begin(&m, DNS_OPCODE_NOTIFY, "example.net", DNS_TYPE_SOA);
    assert_int_equal(ask(view), DNS_RCODE_NOTAUTH);
    msg_begin(&m, DNS_OPCODE_NOTIFY, "www.example.com", DNS_TYPE_SOA);
    assert_int_equal(ask(view), DNS_RCODE_NOTAUTH);
    msg_begin(&m, DNS_OPCODE_NOTIFY, "example.com", DNS_TYPE_A);
    assert_int_equal(ask(view), DNS_RCODE_FORMERR);
    msg_begin(&m, DNS_OPCODE_NOTIFY, "example.com", DNS_TYPE_SOA);
    msg_class(&m, DNS_CLASS_CH);
    assert_int_equal(ask(view), DNS_RCODE_FORMERR);
    msg_begin(&m, DNS_OPCODE_NOTIFY, NULL, 0);
    assert_int_equal(ask(view), DNS_RCODE_FORMERR);
    assert_false(notified());
    /* where a key is asked for */
    client = (struct dns_client){.family = 6, .addr = {0x20, 0x01, 0x0d, 0xb8, 9}};
    msg_begin(&m, DNS_OPCODE_NOTIFY, "example.com", DNS_TYPE_SOA);
    size_t plain = m.n;
    assert_int_equal(ask(view), DNS_RCODE_REFUSED);
    m.n = dns_tsig_sign_request(&tsig, &other_key, m.p, plain, sizeof(m.p), WALL_S);
    assert_int_equal(ask(view), DNS_RCODE_REFUSED);
    assert_false(notified());
    m.p[11] = 0;
    m.n = dns_tsig_sign_request(&tsig, &key, m.p, plain, sizeof(m.p), WALL_S);
    assert_int_equal(ask(view), 0);
    assert_true(notified());
    assert_int_equal(dns_tsig_check_answer(&tsig, out, out_len, true, WALL_S, &without),
                     DNS_TSIG_GOOD);
    assert_int_equal(counted(DNS_CNT_NOTIFY_HEEDED), 3);
    dns_view_unref(view);
}

/* ---- signatures ---- */

static void test_signed(void **state)
{
    struct dns_settings s = {.nsid = "n"};
    struct dns_view *view = make_view(&s), *keyless = make_view(NULL);
    struct dns_tsig tsig;
    size_t without;
    static const struct {
        const char *name;
        unsigned type, rcode;
    } rows[] = {{"www.example.com", DNS_TYPE_A, 0},
                {"nope.example.com", DNS_TYPE_A, 3},
                {"www.example.net", DNS_TYPE_A, 5},
                {"www.example.com", DNS_TYPE_TKEY, 4}};
    for (unsigned i = 0; i < 8; i++) {
        msg_begin(&m, 0, rows[i / 2].name, rows[i / 2].type);
        if (i % 2 == 1) {
            msg_opt(&m, 1232);
            msg_option(&m, 3, NULL, 0);
        }
        m.n = dns_tsig_sign_request(&tsig, &key, m.p, m.n, sizeof(m.p), WALL_S);
        assert_int_equal(ask(view), rows[i / 2].rcode);
        assert_int_equal(dns_tsig_check_answer(&tsig, out, out_len, true, WALL_S, &without),
                         DNS_TSIG_GOOD);
    }
    assert_int_equal(counted(DNS_CNT_TSIG_GOOD), 8);
    /* with no keys at all */
    msg_begin(&m, 0, "www.example.com", DNS_TYPE_A);
    m.n = dns_tsig_sign_request(&tsig, &key, m.p, m.n, sizeof(m.p), WALL_S);
    assert_int_equal(ask(keyless), DNS_RCODE_NOTAUTH);
    assert_int_equal(dns_tsig_check_answer(&tsig, out, out_len, true, WALL_S, &without),
                     DNS_TSIG_BADKEY);
    assert_int_equal(tsig.error, 17);
    assert_int_equal(out[7], 0); /* and no data */
    assert_int_equal(ask(NULL), DNS_RCODE_NOTAUTH);
    /* a bad MAC, a bad time, a bad form */
    m.p[m.n - 8] ^= 1;
    assert_int_equal(ask(view), DNS_RCODE_NOTAUTH);
    assert_int_equal(dns_tsig_check_answer(&tsig, out, out_len, true, WALL_S, &without),
                     DNS_TSIG_BADSIG);
    m.p[m.n - 8] ^= 1;
    fake.wall_ms += 301000;
    assert_int_equal(ask(view), DNS_RCODE_NOTAUTH);
    assert_int_equal(dns_tsig_check_answer(&tsig, out, out_len, true, WALL_S, &without),
                     DNS_TSIG_BADTIME);
    assert_int_equal(tsig.peer_time_s, WALL_S + 301);
    dns_put16(m.p + 10, 2);
    msg_octets(&m, "\0\0\x29\4\xd0\0\0\0\0\0\0", 11); /* something behind it */
    assert_int_equal(ask(view), DNS_RCODE_FORMERR);
    assert_true(counted(DNS_CNT_TSIG_BAD) >= 5);
    dns_view_unref(keyless);
    dns_view_unref(view);
}

/* Signed answers stay within the client's size; those that do not fit say so, signed. */
static void test_signed_sizes(void **state)
{
    char text[4096];
    struct dns_tsig tsig;
    size_t without;
    int at = snprintf(text, sizeof(text), "%s", zone_text);
    for (int i = 0; i < 12; i++)
        at += snprintf(text + at, sizeof(text) - (size_t)at,
                       "many TXT \"%d 012345678901234567890123456789\"\n", i);
    struct dns_zone_spec zs = {.origin = "example.com", .path = "test.zone"};
    struct gtm_diags diags = {0};
    struct gtm_error err = {0};
    const struct dns_tsig_key *keys[] = {&key};
    struct dns_settings *s =
        dns_settings_new(&(struct dns_settings){.keys = keys, .keys_count = 1});
    struct dns_view_zone vz = {.zone = dns_zone_load_text(&zs, text, strlen(text), &diags)};
    struct dns_view *view = dns_view_new(&vz, 1, s, 1, &err);
    assert_non_null(view);
    for (unsigned payload = 512; payload < 1300; payload++) {
        msg_begin(&m, 0, "many.example.com", DNS_TYPE_TXT);
        msg_opt(&m, payload);
        size_t plain = m.n;
        assert_int_equal(ask(view), 0);
        bool fits = (out[2] & 2) == 0;
        size_t bare = out_len;
        m.n = dns_tsig_sign_request(&tsig, &key, m.p, plain, sizeof(m.p), WALL_S);
        assert_int_equal(ask(view), 0);
        assert_true(out_len <= payload && out_len <= 1232);
        assert_int_equal(dns_tsig_check_answer(&tsig, out, out_len, true, WALL_S, &without),
                         DNS_TSIG_GOOD);
        if (fits)
            assert_int_equal((out[2] & 2) == 0, bare + dns_tsig_room(&tsig) <= payload);
    }
    dns_view_unref(view);
    dns_zone_unref(vz.zone);
    dns_settings_unref(s);
}

/* The longest names of key and algorithm, no EDNS: the answer may pass 512 octets, but not the
 * query's size by more than the fixed parts. */
static void test_longest_key_name(void **state)
{
    struct dns_view *view = make_view(NULL);
    char name[256];
    uint8_t rdata[300], wire[256];
    size_t n;
    for (int i = 0; i < 62; i++)
        memcpy(name + 4 * i, "abc.", 4);
    memcpy(name + 248, "abcde", 6);
    assert_int_equal(dns_name_parse(name, strlen(name), NULL, wire, &n, NULL), 0);
    assert_int_equal(n, 255);
    memcpy(rdata, wire, 255);
    memset(rdata + 255, 0, 16);
    msg_begin(&m, 0, name, DNS_TYPE_A);
    msg_record(&m, 3, name, DNS_TYPE_TSIG, DNS_CLASS_ANY, rdata, 255 + 16);
    assert_int_equal(ask(view), DNS_RCODE_NOTAUTH);
    assert_int_equal(out_len, m.n);
    for (size_t room = 512; room < m.n; room++) { /* callers with less room still get an answer */
        size_t len = dns_answer(&answerer, view, &client, m.p, m.n, out, room);
        assert_true(len >= 12 && len <= room);
    }
    dns_view_unref(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_notify, extra_set_up),
        cmocka_unit_test_setup(test_signed, extra_set_up),
        cmocka_unit_test_setup(test_signed_sizes, extra_set_up),
        cmocka_unit_test_setup(test_longest_key_name, extra_set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
