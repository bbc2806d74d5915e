/* SPDX-License-Identifier: Apache-2.0
 *
 * Cookies against the examples of RFC 9018 (appendix A), SipHash against its authors' vectors.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "dns/cookie.h"

#include <stdio.h>
#include <string.h>

static size_t unhex(const char *hex, uint8_t *out)
{
    size_t n = 0;
    for (; hex[0] != '\0'; hex += 2) {
        unsigned v;
        assert_int_equal(sscanf(hex, "%2x", &v), 1);
        out[n++] = (uint8_t)v;
    }
    return n;
}

static void test_siphash(void **state)
{
    /* key 00..0f; data 00, 01, … of 0, 1, 7, 8, 15 and 63 octets */
    static const struct {
        size_t len;
        const char *want;
    } rows[] = {{0, "310e0edd47db6f72"}, {1, "fd67dc93c539f874"},  {7, "37d1018bf50002ab"},
                {8, "6224939a79f5f593"}, {15, "e545be4961ca29a1"}, {63, "724506eb4c328a95"}};
    uint8_t key[16], data[64], out[8], want[8];
    for (unsigned i = 0; i < 64; i++)
        data[i] = (uint8_t)i;
    memcpy(key, data, 16);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        dns_siphash24(key, data, rows[i].len, out);
        unhex(rows[i].want, want);
        assert_memory_equal(out, want, 8);
    }
}

struct example {
    const char *key, *client, *cookie; /* cookie: client's part and the server's */
    uint8_t family, addr[16];
    uint32_t time_s;
};
static const struct example examples[] = {
    /* A.1 and A.2: learning a cookie, and renewing it */
    {"e5e973e5a6b2a43f48e7dc849e37bfcf",
     "2464c4abcf10c957",
     "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
     4,
     {198, 51, 100, 100},
     1559731985},
    {"e5e973e5a6b2a43f48e7dc849e37bfcf",
     "2464c4abcf10c957",
     "2464c4abcf10c957010000005cf7a871d4a564a1442aca77",
     4,
     {198, 51, 100, 100},
     1559734385},
    /* A.4: IPv6, the new secret */
    {"445536bcd2513298075a5d379663c962",
     "22681ab97d52c298",
     "22681ab97d52c298010000005cf7c609a6bb79d16625507a",
     6,
     {0x20, 0x01, 0x0d, 0xb8, 0x02, 0x20, 0, 1, 0x59, 0xde, 0xd0, 0xf4, 0x87, 0x69, 0x82, 0xb8},
     1559741961},
};

static void test_examples(void **state)
{
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        const struct example *e = &examples[i];
        uint8_t key[1][16], client[8], want[24], got[24];
        unhex(e->key, key[0]);
        unhex(e->client, client);
        unhex(e->cookie, want);
        dns_cookie_make(key[0], client, e->family, e->addr, e->time_s, got);
        assert_memory_equal(got, want, 24);
        assert_true(dns_cookie_good(key, 1, want, 24, e->family, e->addr, e->time_s));
    }
}

/* A.3: reserved octets that are not zero are hashed as they came. A.4: the old secret still counts.
 */
static void test_other_makers(void **state)
{
    uint8_t keys[2][16], cookie[24];
    static const uint8_t v4[] = {203, 0, 113, 203};
    unhex("e5e973e5a6b2a43f48e7dc849e37bfcf", keys[0]);
    unhex("fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", cookie);
    assert_true(dns_cookie_good(keys, 1, cookie, 24, 4, v4, 1559728000));
    unhex("445536bcd2513298075a5d379663c962", keys[0]);
    unhex("dd3bdf9344b678b185a6f5cb60fca715", keys[1]);
    unhex("22681ab97d52c298010000005cf7c57926556bd0934c72f8", cookie);
    assert_true(dns_cookie_good(keys, 2, cookie, 24, 6, examples[2].addr, 1559741961));
    assert_false(dns_cookie_good(keys, 1, cookie, 24, 6, examples[2].addr, 1559741961));
}

static void test_refused(void **state)
{
    const struct example *e = &examples[0];
    uint8_t key[1][16], cookie[40] = {0}, other[4] = {198, 51, 100, 101};
    uint32_t t = e->time_s;
    unhex(e->key, key[0]);
    unhex(e->cookie, cookie);
    assert_true(dns_cookie_good(key, 1, cookie, 24, 4, e->addr, t + 3600));
    assert_false(dns_cookie_good(key, 1, cookie, 24, 4, e->addr, t + 3601));
    assert_true(dns_cookie_good(key, 1, cookie, 24, 4, e->addr, t - 300));
    assert_false(dns_cookie_good(key, 1, cookie, 24, 4, e->addr, t - 301));
    assert_false(dns_cookie_good(key, 1, cookie, 24, 4, other, t));
    assert_false(dns_cookie_good(key, 0, cookie, 24, 4, e->addr, t));
    for (size_t len = 8; len <= 40; len++)
        assert_true(len == 24 || !dns_cookie_good(key, 1, cookie, len, 4, e->addr, t));
    for (unsigned bit = 0; bit < 24 * 8; bit++) {
        cookie[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(dns_cookie_good(key, 1, cookie, 24, 4, e->addr, t));
        cookie[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    /* the clock's 32 bits wrap (2106) */
    dns_cookie_make(key[0], cookie, 4, e->addr, UINT32_MAX - 10, cookie);
    assert_true(dns_cookie_good(key, 1, cookie, 24, 4, e->addr, 100));
}

static void test_lengths(void **state)
{
    for (size_t len = 0; len < 100; len++)
        assert_int_equal(dns_cookie_length_legal(len), len == 8 || (len >= 16 && len <= 40));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_siphash),      cmocka_unit_test(test_examples),
        cmocka_unit_test(test_other_makers), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
