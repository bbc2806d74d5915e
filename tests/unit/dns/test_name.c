/* SPDX-License-Identifier: Apache-2.0
 *
 * Domain names: text to wire and back, limits, comparison, order (RFC 4034 6.1's own example).
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "dns/name.h"

#include "gtm/base/rand.h"

#include <stdio.h>
#include <string.h>

#define ORIGIN "\7example\3com"

static void test_parse(void **state)
{
    static const struct {
        const char *text, *origin, *wire;
        size_t len;
    } cases[] = {
        {".", NULL, "", 1},
        {".", ORIGIN, "", 1},
        {"@", ORIGIN, ORIGIN, 13},
        {"@", NULL, "", 1},
        {"\\@", ORIGIN, "\1@\7example\3com", 15},
        {"www", ORIGIN, "\3www\7example\3com", 17},
        {"www", NULL, "\3www", 5},
        {"www.", ORIGIN, "\3www", 5},
        {"WwW.B", ORIGIN, "\3WwW\1B\7example\3com", 19},
        {"a\\.b.", NULL, "\3a.b", 5},
        {"a\\046b.", NULL, "\3a.b", 5},
        {"\\000.", NULL, "\1\0", 3},
        {"a\\.", NULL, "\2a.", 4},
        {"\xc3\xa9.", NULL, "\2\xc3\xa9", 4},
        {"*.x.", NULL, "\1*\1x", 5},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t out[DNS_NAME_MAX];
        size_t len = 0;
        struct gtm_error err = {0};
        int rc = dns_name_parse(cases[i].text, strlen(cases[i].text),
                                (const uint8_t *)cases[i].origin, out, &len, &err);
        if (rc != 0)
            fail_msg("%s: %s", cases[i].text, err.text);
        assert_int_equal(len, cases[i].len);
        assert_memory_equal(out, cases[i].wire, len);
        assert_int_equal(dns_name_check(out, len), len);
        assert_int_equal(dns_name_len(out), len);
    }
}

static void test_parse_refused(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"", "name is empty"},
        {"..", "name has an empty label"},
        {".a", "name has an empty label"},
        {"a..b", "name has an empty label"},
        {"a\\", "bad escape"},
        {"a\\25", "bad escape"},
        {"a\\256", "bad escape"},
        {"a\\2x3", "bad escape"},
        {"a b", "octet 32 in a name must be written as \\032"},
        {"a\tb", "octet 9 in a name must be written as \\009"},
        {"a\x7f", "octet 127"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t out[DNS_NAME_MAX];
        size_t len = 77;
        struct gtm_error err = {0};
        assert_int_equal(
            dns_name_parse(cases[i].text, strlen(cases[i].text), NULL, out, &len, &err),
            GTM_EPARSE);
        if (strncmp(err.text, cases[i].error, strlen(cases[i].error)) != 0)
            fail_msg("%s: %s", cases[i].text, err.text);
        assert_int_equal(len, 77); /* untouched on failure */
    }
}

/* A text of labels with the given octets each, ending in a dot. */
static size_t labels_text(char *out, const unsigned *lengths, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        memset(out + n, 'x', lengths[i]);
        n += lengths[i];
        out[n++] = '.';
    }
    return n;
}

static void test_limits(void **state)
{
    char text[600];
    uint8_t out[DNS_NAME_MAX];
    size_t len, n;
    struct gtm_error err = {0};
    n = labels_text(text, (const unsigned[]){63}, 1);
    assert_int_equal(dns_name_parse(text, n, NULL, out, &len, &err), 0);
    n = labels_text(text, (const unsigned[]){64}, 1);
    assert_int_equal(dns_name_parse(text, n, NULL, out, &len, &err), GTM_EPARSE);
    assert_string_equal(err.text, "a label has more than 63 octets");
    n = labels_text(text, (const unsigned[]){63, 63, 63, 61}, 4); /* 4 × 1 + 250 + 1 = 255 */
    assert_int_equal(dns_name_parse(text, n, NULL, out, &len, &err), 0);
    assert_int_equal(len, 255);
    assert_int_equal(dns_name_check(out, 255), 255);
    assert_int_equal(dns_name_check(out, 254), 0);
    n = labels_text(text, (const unsigned[]){63, 63, 63, 62}, 4);
    assert_int_equal(dns_name_parse(text, n, NULL, out, &len, &err), GTM_EPARSE);
    assert_string_equal(err.text, "name has more than 255 octets");
    unsigned ones[127];
    for (int i = 0; i < 127; i++)
        ones[i] = 1;
    n = labels_text(text, ones, 127);
    assert_int_equal(dns_name_parse(text, n, NULL, out, &len, &err), 0);
    assert_int_equal(len, 255);
    assert_int_equal(dns_name_labels(out), 127);
    assert_int_equal(dns_name_compare(out, out), 0);
    /* relative: 242 octets of labels and 13 of the origin fit, one more does not */
    n = labels_text(text, (const unsigned[]){63, 63, 63, 49}, 4) - 1;
    assert_int_equal(dns_name_parse(text, n, (const uint8_t *)ORIGIN, out, &len, &err), 0);
    assert_int_equal(len, 255);
    n = labels_text(text, (const unsigned[]){63, 63, 63, 50}, 4) - 1;
    assert_int_equal(dns_name_parse(text, n, (const uint8_t *)ORIGIN, out, &len, &err), GTM_EPARSE);
    assert_string_equal(err.text, "name has more than 255 octets with its origin");
}

static void test_check(void **state)
{
    assert_int_equal(dns_name_check((const uint8_t *)"", 1), 1);
    assert_int_equal(dns_name_check((const uint8_t *)"", 0), 0);
    assert_int_equal(dns_name_check((const uint8_t *)"\1a\0rest", 7), 3);
    assert_int_equal(dns_name_check((const uint8_t *)"\1a", 2), 0);
    assert_int_equal(dns_name_check((const uint8_t *)"\5a", 3), 0);
    assert_int_equal(dns_name_check((const uint8_t *)"\1a\xc0\0", 5), 0); /* compressed */
    assert_int_equal(dns_name_check((const uint8_t *)"\x40", 70), 0);     /* a label of 64 */
}

static void test_relations(void **state)
{
    const uint8_t *com = (const uint8_t *)"\3CoM", *example = (const uint8_t *)ORIGIN;
    const uint8_t *www = (const uint8_t *)"\3www\7eXAMPLE\3com", *root = (const uint8_t *)"";
    /* "ample.com" ends like the name's octets, but not at a label */
    const uint8_t *inside = (const uint8_t *)"\5ample\3com";
    assert_true(dns_name_under(www, example));
    assert_true(dns_name_under(example, example));
    assert_true(dns_name_under(www, com));
    assert_true(dns_name_under(www, root));
    assert_false(dns_name_under(com, example));
    assert_false(dns_name_under(example, inside));
    assert_false(dns_name_under(example, www));
    assert_true(dns_name_equal((const uint8_t *)"\7EXAMPLE\3COM", example));
    assert_false(dns_name_equal(com, example));
    assert_false(dns_name_equal(example, com));
    assert_false(dns_name_equal((const uint8_t *)"\1[", (const uint8_t *)"\1{")); /* no letters */
    uint8_t lowered[DNS_NAME_MAX];
    assert_int_equal(dns_name_lower(www, lowered), 17);
    assert_memory_equal(lowered, "\3www\7example\3com", 17);
}

static void test_order(void **state)
{
    static const char *const sorted[] = {
        "example.",         "a.example.",      "yljkjljk.a.example.",
        "Z.a.example.",     "zABC.a.EXAMPLE.", "z.example.",
        "\\001.z.example.", "*.z.example.",    "\\200.z.example."};
    enum { COUNT = sizeof(sorted) / sizeof(sorted[0]) };
    uint8_t names[COUNT][DNS_NAME_MAX];
    size_t len;
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(dns_name_parse(sorted[i], strlen(sorted[i]), NULL, names[i], &len, NULL),
                         0);
    for (int i = 0; i < COUNT; i++)
        for (int j = 0; j < COUNT; j++) {
            int c = dns_name_compare(names[i], names[j]);
            assert_int_equal((c > 0) - (c < 0), (i > j) - (i < j));
        }
}

/* Any valid wire form survives text and back, in at most DNS_NAME_TEXT_MAX bytes. */
static void test_round_trip(void **state)
{
    struct gtm_rand r;
    gtm_rand_seed(&r, 7);
    for (int round = 0; round < 20000; round++) {
        uint8_t name[DNS_NAME_MAX + 1], back[DNS_NAME_MAX];
        size_t n = 0, len = 0;
        bool long_labels = gtm_rand_below(&r, 2);
        while (gtm_rand_below(&r, 8) != 0) {
            unsigned label = 1 + gtm_rand_below(&r, long_labels ? 63 : 8);
            if (n + label + 2 > DNS_NAME_MAX)
                break;
            name[n++] = (uint8_t)label;
            for (unsigned i = 0; i < label; i++)
                name[n++] = (uint8_t)gtm_rand_next(&r);
        }
        name[n++] = 0;
        char text[DNS_NAME_TEXT_MAX];
        dns_name_text(name, text);
        assert_true(strlen(text) < DNS_NAME_TEXT_MAX);
        assert_int_equal(dns_name_parse(text, strlen(text), NULL, back, &len, NULL), 0);
        assert_int_equal(len, n);
        assert_memory_equal(name, back, n);
    }
    char text[DNS_NAME_TEXT_MAX];
    assert_string_equal(dns_name_text((const uint8_t *)"\11a.\\\" ;\0@~\1*", text),
                        "a\\.\\\\\\\"\\032\\;\\000\\@~.*.");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),      cmocka_unit_test(test_parse_refused),
        cmocka_unit_test(test_limits),     cmocka_unit_test(test_check),
        cmocka_unit_test(test_relations),  cmocka_unit_test(test_order),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
