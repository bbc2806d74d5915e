/* SPDX-License-Identifier: Apache-2.0
 *
 * Settings are whole copies, or none; networks at every prefix length.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "dns/settings.h"

#include "gtm/base/mem.h"

#include <string.h>

static void test_networks(void **state)
{
    for (unsigned family = 4; family <= 6; family += 2) {
        unsigned bits = family == 4 ? 32 : 128;
        for (unsigned len = 0; len <= bits; len++) {
            struct dns_network n[2] = {{.family = 10 - family}, {.family = (uint8_t)family}};
            uint8_t addr[16];
            n[0].prefix_len = 0; /* the other family matches nothing here */
            n[1].prefix_len = (uint8_t)len;
            for (unsigned i = 0; i < 16; i++)
                addr[i] = (uint8_t)(i * 29 + 0x5a);
            for (unsigned i = 0; i < len; i++)
                n[1].addr[i / 8] |= addr[i / 8] & (0x80 >> i % 8);
            assert_true(dns_networks_have(n, 2, (uint8_t)family, addr));
            assert_false(dns_networks_have(n, 1, (uint8_t)family, addr));
            for (unsigned bit = 0; bit < bits; bit++) {
                addr[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
                assert_int_equal(dns_networks_have(n, 2, (uint8_t)family, addr), bit >= len);
                addr[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
            }
        }
    }
}

static struct dns_settings *copy(struct dns_tsig_key keys[2])
{
    static struct dns_network exempt[3], proxy[1];
    char nsid[] = "nsid", version[] = "version", host[] = "host";
    const struct dns_tsig_key *list[2] = {&keys[0], &keys[1]};
    struct dns_settings spec = {.nsid = nsid,
                                .cookies = true,
                                .cookie_keys_count = 2,
                                .cookie_keys = {{1}, {2}},
                                .chaos_version = version,
                                .chaos_hostname = host,
                                .rate_limit = 7,
                                .rate_limit_exempt = exempt,
                                .rate_limit_exempt_count = 3,
                                .proxy = proxy,
                                .proxy_count = 1,
                                .keys = list,
                                .keys_count = 2};
    exempt[2].prefix_len = 24;
    struct dns_settings *s = dns_settings_new(&spec);
    memset(nsid, 'x', 4); /* what it was made of may go */
    memset(version, 'x', 4);
    memset(exempt, 0, sizeof(exempt));
    memset(keys, 0xff, 2 * sizeof(*keys));
    return s;
}

static void test_copy(void **state)
{
    struct dns_tsig_key keys[2] = {{.name = "\1a", .name_len = 3, .secret_len = 1, .secret = {9}},
                                   {.name = "\1b", .name_len = 3}};
    struct dns_settings *s = copy(keys), *again = dns_settings_ref(s);
    assert_ptr_equal(s, again);
    dns_settings_unref(s);
    assert_string_equal(again->nsid, "nsid");
    assert_string_equal(again->chaos_version, "version");
    assert_string_equal(again->chaos_hostname, "host");
    assert_int_equal(again->rate_limit_exempt[2].prefix_len, 24);
    assert_int_equal(again->rate_limit, 7);
    assert_int_equal(again->cookie_keys[1][0], 2);
    assert_ptr_equal(dns_settings_key(again, (const uint8_t *)"\1A"), again->keys[0]);
    assert_int_equal(again->keys[0]->secret[0], 9);
    assert_ptr_equal(dns_settings_key(again, (const uint8_t *)"\1b"), again->keys[1]);
    assert_null(dns_settings_key(again, (const uint8_t *)"\1c"));
    dns_settings_unref(again);
    dns_settings_unref(NULL);
}

/* Memory that ends at any point: no settings, and none lost. */
static void test_no_memory(void **state)
{
    for (unsigned n = 1;; n++) {
        struct dns_tsig_key keys[2] = {{.name = "\1a", .name_len = 3}, {.name = "\1b"}};
        gtm_mem_fail_at(n, 0);
        struct dns_settings *s = copy(keys);
        gtm_mem_fail_at(0, 0);
        if (s != NULL) {
            assert_true(n > 7);
            dns_settings_unref(s);
            return;
        }
        assert_true(n < 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_networks), cmocka_unit_test(test_copy),
                                       cmocka_unit_test(test_no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
