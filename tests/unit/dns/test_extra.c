/* SPDX-License-Identifier: Apache-2.0
 *
 * What few queries carry: cookies, NSID, keepalive, padding, CHAOS, rate
 * limits, extended errors; each with the setting on and off.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "tests/support/dns_extra.h"

#include "dns/answer.h"
#include "dns/cookie.h"
#include "dns/rr.h"
#include "dns/rrl.h"

#include <stdio.h>
#include <string.h>

/* ---- cookies ---- */

static void test_cookies(void **state)
{
    struct dns_settings s = {.cookies = true, .cookie_keys_count = 2, .cookie_keys = {{1}, {2}}};
    struct dns_view *view = make_view(&s);
    uint8_t cookie[24] = {1, 2, 3, 4, 5, 6, 7, 8}, old[24];
    size_t n;

    query_cookie(cookie, 8);
    assert_int_equal(ask(view), 0);
    const uint8_t *got = option(10, &n);
    assert_non_null(got);
    assert_int_equal(n, 24);
    assert_memory_equal(got, cookie, 8);
    memcpy(cookie, got, 24);
    assert_int_equal(counted(DNS_CNT_COOKIE_NEW), 1);
    query_cookie(cookie, 24);
    assert_int_equal(ask(view), 0);
    assert_int_equal(counted(DNS_CNT_COOKIE_GOOD), 1);
    /* an old key's is good, and is answered with a new one */
    dns_cookie_make(s.cookie_keys[1], cookie, 4, client.addr, WALL_S - 100, old);
    query_cookie(old, 24);
    assert_int_equal(ask(view), 0);
    assert_int_equal(counted(DNS_CNT_COOKIE_GOOD), 2);
    assert_memory_equal(option(10, &n), cookie, 24);
    /* a forged one is no error */
    cookie[23] ^= 1;
    query_cookie(cookie, 24);
    assert_int_equal(ask(view), 0);
    assert_int_equal(counted(DNS_CNT_COOKIE_GOOD), 2);
    assert_non_null(option(10, &n));
    /* the first of two counts */
    msg_option(&m, 10, "\0\0\0\0\0\0\0\0", 8);
    assert_int_equal(ask(view), 0);
    assert_memory_equal(option(10, &n), cookie, 8);
    dns_view_unref(view);

    s.cookies = false;
    view = make_view(&s);
    query_cookie(cookie, 8);
    assert_int_equal(ask(view), 0);
    assert_null(option(10, &n));
    dns_view_unref(view);
}

static void test_cookie_lengths(void **state)
{
    struct dns_settings s = {.cookies = true, .cookie_keys_count = 1};
    struct dns_view *on = make_view(&s);
    uint8_t cookie[64] = {0};
    for (size_t len = 0; len <= 64; len++) {
        query_cookie(cookie, len);
        assert_int_equal(ask(on), dns_cookie_length_legal(len) ? 0 : DNS_RCODE_FORMERR);
    }
    dns_view_unref(on);
}

/* RFC 7873 5.4: no question, only the cookie */
static void test_cookie_alone(void **state)
{
    struct dns_settings s = {.cookies = true, .cookie_keys_count = 1};
    struct dns_view *on = make_view(&s), *off;
    size_t n;
    msg_begin(&m, 0, NULL, 0);
    assert_int_equal(ask(on), DNS_RCODE_FORMERR);
    msg_opt(&m, 1232);
    assert_int_equal(ask(on), DNS_RCODE_FORMERR);
    msg_option(&m, 10, "12345678", 8);
    assert_int_equal(ask(on), 0);
    assert_int_equal(dns_get16(out + 4), 0);
    assert_non_null(option(10, &n));
    assert_int_equal(out_len, 12 + 11 + 28);
    dns_view_unref(on);
    off = make_view(NULL);
    assert_int_equal(ask(off), DNS_RCODE_FORMERR);
    dns_view_unref(off);
    assert_int_equal(ask(NULL), DNS_RCODE_FORMERR);
}

/* ---- NSID, keepalive, padding ---- */

static void test_nsid(void **state)
{
    struct dns_settings s = {.nsid = "us-east-1a"};
    struct dns_view *view = make_view(&s), *off;
    size_t n;
    msg_begin(&m, 0, "www.example.com", DNS_TYPE_A);
    msg_opt(&m, 1232);
    assert_int_equal(ask(view), 0);
    assert_null(option(3, &n));
    msg_option(&m, 3, NULL, 0);
    assert_int_equal(ask(view), 0);
    assert_non_null(option(3, &n));
    assert_int_equal(n, 10);
    assert_memory_equal(option(3, &n), "us-east-1a", 10);
    dns_view_unref(view);
    off = make_view(NULL);
    assert_int_equal(ask(off), 0);
    assert_null(option(3, &n));
    dns_view_unref(off);
}

static void test_keepalive(void **state)
{
    struct dns_view *view = make_view(NULL);
    size_t n;
    msg_begin(&m, 0, "www.example.com", DNS_TYPE_A);
    msg_opt(&m, 1232);
    msg_option(&m, 11, NULL, 0);
    answerer.keepalive = 100;
    assert_int_equal(ask(view), 0);
    assert_null(option(11, &n)); /* never over UDP (RFC 7828 3.1) */
    client.proto = DNS_PROTO_TCP;
    assert_int_equal(ask(view), 0);
    assert_non_null(option(11, &n));
    assert_int_equal(n, 2);
    assert_int_equal(dns_get16(option(11, &n)), 100);
    answerer.keepalive = 0;
    assert_int_equal(ask(view), 0);
    assert_null(option(11, &n));
    dns_view_unref(view);
}

static void test_padding(void **state)
{
    struct dns_settings s = {.nsid = "x"};
    struct dns_view *view = make_view(&s);
    struct dns_tsig tsig;
    size_t n;
    static const char *const names[] = {"www.example.com", "nope.example.com", "example.com"};
    for (int proto = 0; proto < DNS_PROTO_COUNT; proto++) {
        client.proto = (enum dns_proto)proto;
        for (int i = 0; i < 6; i++) {
            msg_begin(&m, 0, names[i / 2], DNS_TYPE_A);
            msg_opt(&m, 1232);
            msg_option(&m, 3, NULL, 0);
            msg_option(&m, 12, "\0\0\0", 3);
            if (i % 2 == 1)
                m.n = dns_tsig_sign_request(&tsig, &key, m.p, m.n, sizeof(m.p), WALL_S);
            assert_int_equal(ask(view), i / 2 == 1 ? 3 : 0);
            assert_int_equal(option(12, &n) != NULL, proto == DNS_PROTO_TLS);
            assert_true(proto != DNS_PROTO_TLS || out_len % 468 == 0);
        }
        msg_begin(&m, 0, names[0], DNS_TYPE_A);
        msg_opt(&m, 1232);
        ask(view);
        assert_null(option(12, &n)); /* not asked for */
    }
    dns_view_unref(view);
}

/* ---- CHAOS ---- */

static void test_chaos(void **state)
{
    struct dns_settings s = {.chaos_version = "gtm", .chaos_hostname = "node-7"};
    static const struct {
        const char *name;
        unsigned type;
        const char *want;
    } rows[] = {{"version.bind", DNS_TYPE_TXT, "gtm"},
                {"VERSION.Server", DNS_TYPE_TXT, "gtm"},
                {"hostname.bind", DNS_TYPE_TXT, "node-7"},
                {"id.server", DNS_TYPE_ANY, "node-7"},
                {"id.server", DNS_TYPE_A, ""},
                {"authors.bind", DNS_TYPE_TXT, NULL},
                {"www.example.com", DNS_TYPE_A, NULL},
                {".", DNS_TYPE_TXT, NULL}};
    struct dns_view *on = make_view(&s), *off = make_view(NULL);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        msg_begin(&m, 0, rows[i].name, rows[i].type);
        msg_class(&m, DNS_CLASS_CH);
        assert_int_equal(ask(off), DNS_RCODE_REFUSED);
        assert_int_equal(ask(NULL), DNS_RCODE_REFUSED);
        assert_int_equal(ask(on), rows[i].want ? 0 : DNS_RCODE_REFUSED);
        if (rows[i].want == NULL)
            continue;
        size_t n = strlen(rows[i].want);
        assert_int_equal(out[7], n > 0);
        if (n == 0)
            continue;
        assert_int_equal(dns_get16(out + m.n + 2), DNS_TYPE_TXT);
        assert_int_equal(dns_get16(out + m.n + 4), DNS_CLASS_CH);
        assert_int_equal(out_len, m.n + 12 + 1 + n);
        assert_memory_equal(out + m.n + 13, rows[i].want, n);
    }
    /* other classes: refused, the zone of class IN is not shown */
    static const unsigned classes[] = {0, 2, 4, 254, 255, 65535};
    for (size_t i = 0; i < 6; i++) {
        msg_begin(&m, 0, "www.example.com", DNS_TYPE_A);
        msg_class(&m, classes[i]);
        assert_int_equal(ask(on), DNS_RCODE_REFUSED);
        assert_int_equal(out[7], 0);
    }
    dns_view_unref(off);
    dns_view_unref(on);
}

/* ---- rate limits ---- */

static unsigned ask_many(const struct dns_view *view, unsigned times, unsigned *tc, unsigned *bad)
{
    unsigned sent = 0;
    *tc = *bad = 0;
    for (unsigned i = 0; i < times; i++) {
        unsigned rcode = ask(view);
        sent += rcode != 999 && rcode != 23 && (out[2] & 2) == 0;
        *tc += rcode != 999 && (out[2] & 2) != 0;
        *bad += rcode == 23;
        if (rcode != 999 && ((out[2] & 2) != 0 || rcode == 23))
            assert_true(out_len <= m.n + 28 + 6);
    }
    return sent;
}

/* What the settings of test_rates do not limit. */
static void limits_not(const struct dns_view *view)
{
    unsigned tc, bad;
    uint8_t cookie[24] = {7, 7, 7};
    /* a client's cookie: told to come back with ours, and then not limited */
    query_cookie(cookie, 8);
    assert_int_equal(ask_many(view, 100, &tc, &bad), 0);
    assert_int_equal(tc, 0);
    assert_in_range(bad, 25, 75);
    do
        ask(view);
    while (out_len == 0);
    size_t n;
    memcpy(cookie, option(10, &n), 24);
    query_cookie(cookie, 24);
    assert_int_equal(ask_many(view, 100, &tc, &bad), 100);
    assert_true(counted(DNS_CNT_BADCOOKIE) > 0);
    /* TCP, an exempt network, a signature */
    msg_begin(&m, 0, "www.example.com", DNS_TYPE_A);
    client.proto = DNS_PROTO_TCP;
    assert_int_equal(ask_many(view, 100, &tc, &bad), 100);
    client.proto = DNS_PROTO_UDP;
    memcpy(client.addr, "\12\11\1\1", 4);
    assert_int_equal(ask_many(view, 100, &tc, &bad), 100);
    memcpy(client.addr, "\306\63\144\7", 4);
    assert_int_equal(ask_many(view, 100, &tc, &bad), 0);
    struct dns_tsig tsig;
    m.n = dns_tsig_sign_request(&tsig, &key, m.p, m.n, sizeof(m.p), WALL_S);
    assert_int_equal(ask_many(view, 100, &tc, &bad), 100);
}

static void test_rates(void **state)
{
    static const struct dns_network exempt = {4, 16, {10, 9}};
    struct dns_settings s = {.rate_limit = 10,
                             .rate_limit_slip = 2,
                             .rate_limit_exempt = &exempt,
                             .rate_limit_exempt_count = 1,
                             .cookies = true,
                             .cookie_keys_count = 1};
    struct dns_view *view = make_view(&s);
    unsigned tc, bad;
    answerer.rrl = dns_rrl_new(1024);
    msg_begin(&m, 0, "www.example.com", DNS_TYPE_A);
    assert_int_equal(ask_many(view, 1010, &tc, &bad), 10);
    assert_in_range(tc, 400, 600);
    assert_int_equal(counted(DNS_CNT_RRL_SLIPPED), tc);
    assert_int_equal(counted(DNS_CNT_RRL_DROPPED), 1000 - tc);
    msg_begin(&m, 0, "nope.example.com", DNS_TYPE_A); /* each kind, each zone its own */
    assert_int_equal(ask_many(view, 100, &tc, &bad), 10);
    msg_begin(&m, 0, "other.example.com", DNS_TYPE_A);
    assert_int_equal(ask_many(view, 100, &tc, &bad), 0);
    msg_begin(&m, 0, "nope.example.org", DNS_TYPE_A);
    assert_int_equal(ask_many(view, 100, &tc, &bad), 10);
    msg_begin(&m, 0, "ns1.example.com", DNS_TYPE_A); /* and each name that is there */
    assert_int_equal(ask_many(view, 100, &tc, &bad), 10);
    msg_begin(&m, 0, "a.wild.example.com", DNS_TYPE_A); /* not each that is made up */
    assert_int_equal(ask_many(view, 100, &tc, &bad), 10);
    msg_begin(&m, 0, "b.wild.example.com", DNS_TYPE_A);
    assert_int_equal(ask_many(view, 100, &tc, &bad), 0);
    msg_begin(&m, 0, "www.example.com", DNS_TYPE_MX);
    assert_int_equal(ask_many(view, 100, &tc, &bad), 10);
    msg_begin(&m, 0, "x.sub.example.com", DNS_TYPE_A);
    assert_int_equal(ask_many(view, 100, &tc, &bad), 10);
    msg_begin(&m, 0, "www.example.net", DNS_TYPE_A);
    assert_int_equal(ask_many(view, 100, &tc, &bad), 10);
    msg_begin(&m, 3, NULL, 0); /* errors without a question slip too */
    assert_int_equal(ask_many(view, 100, &tc, &bad), 0);
    limits_not(view);
    dns_view_unref(view);
    /* off by default */
    view = make_view(NULL);
    assert_int_equal(ask_many(view, 100, &tc, &bad), 100);
    dns_view_unref(view);
    dns_rrl_free(answerer.rrl);
    answerer.rrl = NULL;
}

static void test_slip(void **state)
{
    unsigned tc, bad;
    answerer.rrl = dns_rrl_new(1024);
    for (unsigned slip = 0; slip < 2; slip++) {
        struct dns_settings s = {.rate_limit = 1, .rate_limit_slip = slip};
        struct dns_view *view = make_view(&s);
        client.addr[0] = (uint8_t)slip;
        msg_begin(&m, 0, "www.example.com", DNS_TYPE_A);
        assert_int_equal(ask_many(view, 101, &tc, &bad), 1);
        assert_int_equal(tc, slip * 100);
        dns_view_unref(view);
    }
    dns_rrl_free(answerer.rrl);
    answerer.rrl = NULL;
}

/* ---- extended errors ---- */

static void test_extended_errors(void **state)
{
    struct dns_view *view = make_view(NULL);
    static const struct {
        const char *name;
        unsigned type, qclass;
        unsigned rcode;
        int ede;
    } rows[] = {{"www.example.net", DNS_TYPE_A, 1, 5, 20}, {"example.com", DNS_TYPE_TKEY, 1, 4, 21},
                {"version.bind", DNS_TYPE_TXT, 3, 5, 18},  {"example.com", DNS_TYPE_A, 4, 5, 20},
                {"www.example.com", DNS_TYPE_A, 1, 0, -1}, {"x.example.com", DNS_TYPE_A, 1, 3, -1}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        msg_begin(&m, 0, rows[i].name, rows[i].type);
        msg_class(&m, rows[i].qclass);
        msg_opt(&m, 1232);
        assert_int_equal(ask(view), rows[i].rcode);
        assert_int_equal(ede(), rows[i].ede);
    }
    dns_view_unref(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_cookies, extra_set_up),
        cmocka_unit_test_setup(test_cookie_lengths, extra_set_up),
        cmocka_unit_test_setup(test_cookie_alone, extra_set_up),
        cmocka_unit_test_setup(test_nsid, extra_set_up),
        cmocka_unit_test_setup(test_keepalive, extra_set_up),
        cmocka_unit_test_setup(test_padding, extra_set_up),
        cmocka_unit_test_setup(test_chaos, extra_set_up),
        cmocka_unit_test_setup(test_rates, extra_set_up),
        cmocka_unit_test_setup(test_slip, extra_set_up),
        cmocka_unit_test_setup(test_extended_errors, extra_set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
