/* SPDX-License-Identifier: Apache-2.0
 *
 * PROXY headers, whole and cut, right and wrong.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "dns/proxy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIG "\r\n\r\n\0\r\nQUIT\n"

/* A header with a block of `block` octets, in memory of exactly `len` octets. */
static uint8_t *header(uint8_t command, uint8_t family, size_t block, const void *data,
                       size_t data_len, size_t len)
{
    uint8_t whole[1024] = {0};
    memcpy(whole, SIG, 12);
    whole[12] = command;
    whole[13] = family;
    whole[14] = (uint8_t)(block >> 8);
    whole[15] = (uint8_t)block;
    memcpy(whole + 16, data, data_len);
    uint8_t *exact = malloc(len ? len : 1);
    memcpy(exact, whole, len);
    return exact;
}

struct row {
    uint8_t command, family;
    size_t block;
    enum dns_proxy_result want;
    uint8_t want_family, want_first; /* of the address */
};

static const uint8_t v4[] = {192, 0, 2, 7, 127, 0, 0, 1, 0x12, 0x34, 0, 53};
static const uint8_t v6[36] = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7};
static const uint8_t mapped[36] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 9};

static enum dns_proxy_result run(const struct row *r, const uint8_t *data, size_t data_len,
                                 size_t len, bool datagram, struct dns_client *client, size_t *used)
{
    uint8_t *h = header(r->command, r->family, r->block, data, data_len, len);
    *client = (struct dns_client){.family = 9, .addr = {99}};
    *used = 0;
    enum dns_proxy_result got = dns_proxy_read(h, len, datagram, client, used);
    free(h);
    return got;
}

static void test_forms(void **state)
{
    static const struct row rows[] = {
        {0x21, 0x12, 12, DNS_PROXY_CLIENT, 4, 192},   {0x21, 0x11, 12, DNS_PROXY_CLIENT, 4, 192},
        {0x21, 0x10, 12, DNS_PROXY_CLIENT, 4, 192},   {0x21, 0x12, 60, DNS_PROXY_CLIENT, 4, 192},
        {0x21, 0x12, 520, DNS_PROXY_CLIENT, 4, 192},  {0x21, 0x12, 521, DNS_PROXY_BAD, 9, 99},
        {0x21, 0x12, 11, DNS_PROXY_BAD, 9, 99},       {0x21, 0x12, 0, DNS_PROXY_BAD, 9, 99},
        {0x21, 0x22, 36, DNS_PROXY_CLIENT, 6, 0x20},  {0x21, 0x22, 35, DNS_PROXY_BAD, 9, 99},
        {0x21, 0x21, 200, DNS_PROXY_CLIENT, 6, 0x20}, {0x20, 0x00, 0, DNS_PROXY_LOCAL, 9, 99},
        {0x20, 0x12, 12, DNS_PROXY_LOCAL, 9, 99},     {0x20, 0x12, 3, DNS_PROXY_LOCAL, 9, 99},
        {0x21, 0x00, 0, DNS_PROXY_LOCAL, 9, 99},      {0x21, 0x00, 40, DNS_PROXY_LOCAL, 9, 99},
        {0x21, 0x31, 216, DNS_PROXY_LOCAL, 9, 99},    {0x21, 0x31, 215, DNS_PROXY_BAD, 9, 99},
        {0x22, 0x12, 12, DNS_PROXY_BAD, 9, 99},       {0x11, 0x12, 12, DNS_PROXY_BAD, 9, 99},
        {0x31, 0x12, 12, DNS_PROXY_BAD, 9, 99},       {0x21, 0x13, 12, DNS_PROXY_BAD, 9, 99},
        {0x21, 0x42, 36, DNS_PROXY_BAD, 9, 99},       {0x21, 0xf2, 36, DNS_PROXY_BAD, 9, 99},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *r = &rows[i];
        bool six = r->family >> 4 == 2;
        struct dns_client client;
        size_t used, len = 16 + r->block;
        for (int datagram = 0; datagram < 2; datagram++) {
            enum dns_proxy_result got =
                run(r, six ? v6 : v4, six ? sizeof(v6) : sizeof(v4), len, datagram, &client, &used);
            if (got != r->want)
                fail_msg("row %zu: %d, not %d", i, got, r->want);
            assert_int_equal(client.family, r->want_family);
            assert_int_equal(client.addr[0], r->want_first);
            if (got == DNS_PROXY_CLIENT || got == DNS_PROXY_LOCAL)
                assert_int_equal(used, len);
        }
        /* cut anywhere: of a stream, more is awaited or it is bad already; of a datagram, bad */
        for (size_t cut = 0; cut < len && r->want != DNS_PROXY_BAD; cut++) {
            assert_int_equal(run(r, v6, 36, cut, false, &client, &used), DNS_PROXY_MORE);
            assert_int_equal(run(r, v6, 36, cut, true, &client, &used), DNS_PROXY_BAD);
            assert_int_equal(client.family, 9);
        }
    }
}

static void test_mapped(void **state)
{
    static const struct row r = {0x21, 0x22, 36, DNS_PROXY_CLIENT, 4, 192};
    struct dns_client client;
    size_t used;
    assert_int_equal(run(&r, mapped, 36, 52, true, &client, &used), DNS_PROXY_CLIENT);
    assert_int_equal(client.family, 4);
    assert_memory_equal(client.addr, "\xc0\0\2\11", 4);
}

static void test_signature(void **state)
{
    static const struct row r = {0x21, 0x12, 12, DNS_PROXY_CLIENT, 4, 192};
    struct dns_client client;
    size_t used;
    for (unsigned i = 0; i < 12; i++) {
        uint8_t *h = header(r.command, r.family, r.block, v4, 12, 28);
        h[i] ^= 1;
        assert_int_equal(dns_proxy_read(h, 28, false, &client, &used), DNS_PROXY_BAD);
        assert_int_equal(dns_proxy_read(h, i + 1, false, &client, &used), DNS_PROXY_BAD);
        free(h);
    }
    assert_int_equal(
        dns_proxy_read((const uint8_t *)"PROXY TCP4 1.2.3.4", 18, false, &client, &used),
        DNS_PROXY_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_forms), cmocka_unit_test(test_mapped),
                                       cmocka_unit_test(test_signature)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
