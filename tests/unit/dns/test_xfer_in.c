/* SPDX-License-Identifier: Apache-2.0
 *
 * dns/xfer_in: what a transfer may be, message by message.
 */
#include "dns/rr.h"
#include "dns/xfer_in.h"
#include "gtm/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t zone_name[] = "\7example";

struct message {
    uint8_t data[4096];
    size_t len;
};

static void put(struct message *m, const void *data, size_t len)
{
    memcpy(m->data + m->len, data, len);
    m->len += len;
}

static void begin(struct message *m, uint16_t qtype)
{
    uint8_t tail[4] = {(uint8_t)(qtype >> 8), (uint8_t)qtype, 0, 1};
    memset(m, 0, sizeof(*m));
    m->len = 12;
    dns_put16(m->data, 7);
    m->data[2] = 0x84;
    dns_put16(m->data + 4, 1);
    put(m, zone_name, sizeof(zone_name));
    put(m, tail, sizeof(tail));
}

/* A record at LABEL.example, or at the top. */
static void add(struct message *m, const char *label, uint16_t type, const void *rdata, size_t len)
{
    uint8_t head[10] = {(uint8_t)(type >> 8), (uint8_t)type, 0, 1, 0, 0, 0, 60, 0, (uint8_t)len};
    uint8_t n = (uint8_t)strlen(label);
    if (n) {
        put(m, &n, 1);
        put(m, label, n);
    }
    put(m, "\xc0\x0c", 2);
    put(m, head, sizeof(head));
    put(m, rdata, len);
    dns_put16(m->data + 6, (uint16_t)(dns_get16(m->data + 6) + 1));
}

static void add_soa(struct message *m, uint32_t serial)
{
    uint8_t rdata[] = "\2ns\xc0\x0c\1h\xc0\x0c"
                      "....\0\0\0\6\0\0\0\6\0\0\0\6\0\0\0\6";
    dns_put32(rdata + 9, serial);
    add(m, "", DNS_TYPE_SOA, rdata, 29);
}

static struct dns_zone *have(void)
{
    static const char text[] =
        "@ 60 SOA ns h 5 6 6 6 6\n@ 60 NS ns\nns 60 A 1.1.1.1\na 60 A 1.2.3.4\n";
    struct gtm_diags diags = {0};
    struct dns_zone_spec spec = {.origin = "example.", .path = "have"};
    struct dns_zone *zone = dns_zone_load_text(&spec, text, sizeof(text) - 1, &diags);
    assert_non_null(zone);
    gtm_diags_fini(&diags);
    return zone;
}

/* Feeds one message; returns the state, and the zone's text when it is whole. */
static int feed(bool ixfr, const struct message *m, char **ret_text, struct gtm_error *err)
{
    uint8_t request[512];
    struct dns_zone *copy = have();
    struct dns_xfer_in_opts opts = {
        .zone = zone_name, .ixfr = ixfr, .have = copy, .max_records = 10};
    struct dns_xfer_in *x = dns_xfer_in_new(&opts);
    assert_non_null(x);
    assert_true(dns_xfer_in_request(x, 7, request, sizeof(request)) > 12);
    assert_int_equal(dns_get16(request + 8), ixfr);
    int rc = dns_xfer_in_feed(x, m->data, m->len, err);
    size_t len = 0;
    if (rc == DNS_XFER_IN_DONE && ret_text)
        assert_int_equal(dns_xfer_in_text(x, ret_text, &len, err), 0);
    dns_xfer_in_free(x);
    dns_zone_unref(copy);
    return rc;
}

struct seen {
    const uint8_t *target, *alone, *words;
    unsigned found;
};

/* Counts the records of test_odd_labels that are as they were sent. */
static int see(void *ctx, const uint8_t *owner, uint16_t type, uint32_t ttl, const uint8_t *rdata,
               uint16_t rdlen, int64_t slot)
{
    struct seen *s = ctx;
    bool one = type == DNS_TYPE_TXT && rdlen == 6 && memcmp(rdata, s->words, 6) == 0;
    one |= type == DNS_TYPE_NS && rdlen == 13 && memcmp(rdata, s->target, 4) == 0;
    one |= type == DNS_TYPE_MX && rdlen == 13 && memcmp(rdata, s->alone, 4) == 0;
    s->found += one && owner[0] != 0 && ttl == 60 && slot < 0;
    return 0;
}

static void test_whole(void **state)
{
    struct message m;
    struct gtm_error err = {0};
    char *text = NULL;
    begin(&m, DNS_TYPE_AXFR);
    add_soa(&m, 6);
    add(&m, "", DNS_TYPE_NS, "\2ns\xc0\x0c", 5);
    add(&m, "a", DNS_TYPE_A, "\1\2\3\4", 4);
    add(&m, "a", DNS_TYPE_A, "\1\2\3\4", 4);
    add(&m, "o", 65280, "ab", 2);
    add_soa(&m, 6);
    assert_int_equal(feed(false, &m, &text, &err), DNS_XFER_IN_DONE);
    assert_string_equal(text, "example. 60 IN SOA\tns.example. h.example. 6 6 6 6 6\n"
                              "example. 60 IN NS\tns.example.\na.example. 60 IN A\t1.2.3.4\n"
                              "o.example. 60 IN TYPE65280 \\# 2 6162\n");
    gtm_free(text);
}

static void test_differences(void **state)
{
    struct message m;
    struct gtm_error err = {0};
    char *text = NULL;
    begin(&m, DNS_TYPE_IXFR);
    add_soa(&m, 7);
    add_soa(&m, 5);
    add(&m, "a", DNS_TYPE_A, "\1\2\3\4", 4);
    add_soa(&m, 6);
    add(&m, "b", DNS_TYPE_A, "\1\2\3\5", 4);
    add_soa(&m, 6);
    add(&m, "b", DNS_TYPE_A, "\1\2\3\5", 4);
    add_soa(&m, 7);
    add(&m, "c", DNS_TYPE_A, "\1\2\3\6", 4);
    add_soa(&m, 7);
    assert_int_equal(feed(true, &m, &text, &err), DNS_XFER_IN_DONE);
    assert_non_null(strstr(text, "SOA\tns.example. h.example. 7 "));
    assert_non_null(strstr(text, "c.example. 60 IN A\t1.2.3.6"));
    assert_null(strstr(text, "\na.example."));
    assert_null(strstr(text, "\nb.example."));
    gtm_free(text);

    begin(&m, DNS_TYPE_IXFR); /* removes what is not there */
    add_soa(&m, 6);
    add_soa(&m, 5);
    add(&m, "zz", DNS_TYPE_A, "\1\2\3\4", 4);
    assert_int_equal(feed(true, &m, NULL, &err), DNS_XFER_IN_AXFR);
    begin(&m, DNS_TYPE_IXFR);
    add_soa(&m, 5);
    assert_int_equal(feed(true, &m, NULL, &err), DNS_XFER_IN_CURRENT);
    begin(&m, DNS_TYPE_IXFR);
    m.data[3] = DNS_RCODE_NOTIMP;
    assert_int_equal(feed(true, &m, NULL, &err), DNS_XFER_IN_AXFR);
    begin(&m, DNS_TYPE_IXFR);
    add_soa(&m, 6);
    assert_int_equal(feed(true, &m, NULL, &err), DNS_XFER_IN_MORE);
}

static void refused(const struct message *m, const char *says)
{
    struct gtm_error err = {0};
    assert_true(feed(false, m, NULL, &err) < 0);
    if (!strstr(err.text, says))
        fail_msg("'%s' does not say '%s'", err.text, says);
}

static void test_wrong(void **state)
{
    struct message m;
    begin(&m, DNS_TYPE_AXFR);
    add(&m, "a", DNS_TYPE_A, "\1\2\3\4", 4);
    refused(&m, "does not begin with a SOA");
    begin(&m, DNS_TYPE_AXFR);
    add_soa(&m, 6);
    add(&m, "a", DNS_TYPE_A, "\1\2\3\4", 4);
    add_soa(&m, 7);
    refused(&m, "first and last SOA differ");
    begin(&m, DNS_TYPE_AXFR);
    add_soa(&m, 6);
    add(&m, "a", DNS_TYPE_A, "\1\2\3\4", 4);
    add_soa(&m, 6);
    add(&m, "a", DNS_TYPE_A, "\1\2\3\4", 4);
    refused(&m, "follows the last SOA");
    begin(&m, DNS_TYPE_AXFR);
    add_soa(&m, 6);
    put(&m, "\3www\4test\0\0\1\0\1\0\0\0\0\0\4abcd", 24);
    dns_put16(m.data + 6, 2);
    refused(&m, "www.test. is not in the zone");
    begin(&m, DNS_TYPE_AXFR);
    add_soa(&m, 6);
    for (int i = 0; i < 12; i++)
        add(&m, (const char[]){(char)('a' + i), 0}, DNS_TYPE_A, "\1\2\3\4", 4);
    refused(&m, "limit");
    begin(&m, DNS_TYPE_AXFR);
    m.data[0] = 1;
    refused(&m, "answers nothing asked");
    begin(&m, DNS_TYPE_SOA);
    refused(&m, "another question");
    begin(&m, DNS_TYPE_AXFR);
    m.data[3] = DNS_RCODE_REFUSED;
    refused(&m, "REFUSED");
    begin(&m, DNS_TYPE_AXFR);
    add_soa(&m, 6);
    add(&m, "n", DNS_TYPE_NS, "\xc0\xff", 2);
    refused(&m, "malformed");
}

/* A label may hold any octet; the text must be read back as what came. */
static void test_odd_labels(void **state)
{
    static const char odd[] = " \t\n\r\"\\;()@$.*'{}#\x7f\xff";
    for (size_t i = 0; i < sizeof(odd); i++) { /* the last is zero */
        struct gtm_error err = {0};
        struct message m;
        char *text = NULL, one[] = {odd[i] ? odd[i] : 'z', 0};
        const uint8_t target[] = {3, 'a', (uint8_t)odd[i], 'b', 0xc0, 0x0c};
        const uint8_t alone[] = {0, 5, 1, (uint8_t)odd[i], 0xc0, 0x0c};
        const uint8_t words[] = {3, 'a', (uint8_t)odd[i], 'b', 1, (uint8_t)odd[i]};
        begin(&m, DNS_TYPE_AXFR);
        add_soa(&m, 6);
        add(&m, "", DNS_TYPE_NS, target, sizeof(target));
        add(&m, "", DNS_TYPE_MX, alone, sizeof(alone));
        add(&m, one, DNS_TYPE_TXT, words, sizeof(words));
        add_soa(&m, 6);
        assert_int_equal(feed(false, &m, &text, &err), DNS_XFER_IN_DONE);
        struct gtm_diags diags = {0};
        struct dns_zone_spec spec = {.origin = "example.", .path = "came"};
        struct dns_zone *zone = dns_zone_load_text(&spec, text, strlen(text), &diags);
        if (zone == NULL)
            fail_msg("octet %u is not read back: %s", (uint8_t)odd[i], text);
        struct seen seen = {.target = target, .alone = alone, .words = words};
        assert_int_equal(dns_zone_walk(zone, see, &seen), 0);
        if (seen.found != 3)
            fail_msg("octet %u is read back as something else: %s", (uint8_t)odd[i], text);
        dns_zone_unref(zone);
        gtm_diags_fini(&diags);
        gtm_free(text);
    }
}

/* Compression makes much of little: what is kept counts, not only what came. */
static void test_expansion(void **state)
{
    struct message m;
    struct gtm_error err = {0};
    struct dns_xfer_in_opts opts = {.zone = zone_name, .max_bytes = sizeof(m.data)};
    struct dns_xfer_in *x = dns_xfer_in_new(&opts);
    uint8_t request[512], rdata[4] = {0};
    char label[DNS_LABEL_MAX + 1] = {0};
    assert_non_null(x);
    assert_true(dns_xfer_in_request(x, 7, request, sizeof(request)) > 12);
    begin(&m, DNS_TYPE_AXFR);
    add_soa(&m, 6);
    size_t at = m.len;
    memset(label, 'a', DNS_LABEL_MAX);
    add(&m, label, DNS_TYPE_A, rdata, sizeof(rdata));
    while (m.len + 16 <= sizeof(m.data)) {
        rdata[1] = (uint8_t)(m.len >> 8);
        rdata[2] = (uint8_t)m.len;
        dns_put16(m.data + m.len, (uint16_t)(0xc000 | at));
        memcpy(m.data + m.len + 2, "\0\1\0\1\0\0\0\0\0\4", 10);
        memcpy(m.data + m.len + 12, rdata, 4);
        m.len += 16;
        dns_put16(m.data + 6, (uint16_t)(dns_get16(m.data + 6) + 1));
    }
    assert_int_equal(dns_xfer_in_feed(x, m.data, m.len, &err), GTM_ELIMIT);
    dns_xfer_in_free(x);
}

static void test_serials(void **state)
{
    assert_true(dns_serial_after(1, 0));
    assert_true(dns_serial_after(0, UINT32_MAX));
    assert_false(dns_serial_after(0, 1));
    assert_false(dns_serial_after(5, 5));
    assert_false(dns_serial_after(0x80000000u, 0)); /* RFC 1982: not defined */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),     cmocka_unit_test(test_differences),
        cmocka_unit_test(test_wrong),     cmocka_unit_test(test_odd_labels),
        cmocka_unit_test(test_expansion), cmocka_unit_test(test_serials)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
