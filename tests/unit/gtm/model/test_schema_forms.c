/* SPDX-License-Identifier: Apache-2.0
 *
 * Forms of text, one by one: what is taken, what is refused, what is stored.
 */
#include "gtm/model/schema_forms.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <stdio.h>
#include <string.h>

#define SIXTY_THREE "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"

static const struct {
    const struct gtm_form *form;
    const char *good[14], *bad[16];
} cases[] = {
    {&gtm_form_name,
     {"a", "0", "us-east-1a", "a_b.c", SIXTY_THREE},
     {"", "A", "-a", "a-", "a b", "ä", "a/b", "aB", ".a", SIXTY_THREE "g"}},
    {&gtm_form_address,
     {"0.0.0.0", "192.0.2.1", "::", "2001:DB8::1", "::ffff:1.2.3.4"},
     {"", "192.0.2", "192.0.2.1/32", "localhost", "2001::1::2", "fe80::1%eth0", "1"}},
    {&gtm_form_network,
     {"0.0.0.0/0", "10.0.0.0/8", "192.0.2.1", "192.0.2.1/32", "::/0", "2001:db8::/33"},
     {"", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/", "10.0.0.0/08", "10.0.0.0/-1", "::/129",
      "10.0.0.0/8 ", "2001:db8::1/64", "/8"}},
    {&gtm_form_country, {"DE", "de", "EU-DE", "na-us"}, {"", "D", "DEU", "XX", "AS-DE", "EU_DE"}},
    {&gtm_form_continent, {"EU", "af", "AN", "AS", "NA", "OC", "SA"}, {"", "XX", "EUR", "E"}},
    {&gtm_form_subdivision,
     {"US-CA", "us-ny", "NA-US-CA", "GB-ENG", "FR-75"},
     {"", "US", "US-", "USCA", "XX-CA", "EU-US-CA", "US-CALI"}},
    {&gtm_form_zone,
     {"example.com", "Example.COM.", "a", "_x.example", "2.0.192.in-addr.arpa", SIXTY_THREE ".de"},
     {"", ".", "a..b", ".a", "a b", "*.a", SIXTY_THREE "g.de", "a..", "ä.de"}},
    {&gtm_form_owner,
     {"@", "*", "*.a", "www", "a.b", "_sip._tcp", "WWW"},
     {"", "a.", "a.*", "**", ".a", "a..b", "*.", "@.a", "a b"}},
    {&gtm_form_host, {"a", "www.example.com:80", "[::1]:80"}, {"", "a b", "a\r\nb", "a/b"}},
    {&gtm_form_host_port,
     {"a:1", "gtm1.example.com:8443", "10.0.0.1:65535", "[::1]:8443", "[2001:DB8::1]:1"},
     {"", "a", "a:", ":1", "a:0", "a:65536", "a:1x", "a b:1", "a/b:1", "[::1]", "::1:1", "-a:1",
      "[10.0.0.1]:1", "[]:1", "u@a:1", "a:-1"}},
    {&gtm_form_http_path, {"/", "/a?b=c&d=%20"}, {"", "a", "/a b", "/a#b", "/a\nHost: x", "/ä"}},
    {&gtm_form_url,
     {"http://a", "https://10.0.0.1:1/x?y"},
     {"", "http://", "http:///x", "ftp://a", "http://a b", "HTTP://a", "https:/a"}},
    {&gtm_form_cron,
     {"* * * * *", "0 9 * * TUE", "*/5 0-6,22-23 1,15 JAN-mar 1-5", " 0  0 1 1 7 ", "0 0/2 * * *"},
     {"", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *",
      "* * * * 8", "5-1 * * * *", "*/0 * * * *", "a * * * *", "1, * * * *", "* * * * TUES"}},
    {&gtm_form_date,
     {"2026-12-20", "2024-02-29", "2000-02-29"},
     {"", "2026-13-01", "2026-02-29", "1900-02-29", "2026-04-31", "26-01-01", "2026-1-1",
      "2026-01-01 ", "0000-01-01"}},
    {&gtm_form_time,
     {"2026-12-01T18:00:00Z", "2026-12-01t18:00:00.123456+02:00", "2016-12-31T23:59:60Z"},
     {"", "2026-12-01", "2026-12-01 18:00:00Z", "2026-12-01T24:00:00Z", "2026-12-01T18:60:00Z",
      "2026-12-01T18:00:00", "2026-12-01T18:00:00.Z", "2026-12-01T18:00:00+24:00",
      "2026-12-01T18:00:00Zx", "2026-12-01T18:00:61Z"}},
    {&gtm_form_weekly,
     {"FRI 16:00-24:00", "MON-FRI 08:00-18:00", "sat,sun 00:00-24:00"},
     {"", "FRI", "FRI 16:00", "FRI 18:00-16:00", "FRI 24:01-24:02", "5 08:00-09:00",
      "FRI  08:00-09:00", "FRX 08:00-09:00", "* 08:00-09:00", "FRI 08:00-09:00x",
      "FRI 08:00-08:00"}},
    {&gtm_form_timezone,
     {"UTC", "Europe/Dublin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"},
     {"", "/etc/passwd", "../x", "Europe Dublin", "a//b", "a/"}},
    {&gtm_form_type, {"A", "AAAA", "CNAME", "HTTPS"}, {"", "a", "TXT", "TYPE1"}},
    {&gtm_form_query_name,
     {".", "example.com", "Example.COM.", "_dmarc.a"},
     {"", "..", "a..b", "*.a", "a b"}},
    {&gtm_form_query_type,
     {"A", "NS", "TXT", "HTTPS", "TYPE1", "TYPE65535"},
     {"", "a", "TYPE", "TYPE0", "TYPE65536", "TYPE1x", "TYPE-1", "NOPE"}},
    {&gtm_form_alias,
     {"@", "www", "a.b", "www.example.com."},
     {"", "*", "*.a", ".", "a..b", "a..", ".a", "a b"}},
    {&gtm_form_key_name,
     {"k", "transfer.example", "a-b_c"},
     {"", ".", "k.", "K", "a..b", "a b", ".a", SIXTY_THREE "g"}},
    {&gtm_form_pointer,
     {"/", "/load", "/a/0/b", "/a~1b~0c", "/ä b"},
     {"", "load", "/a~", "/a~2", "/a\nb", "#/a"}},
    {&gtm_form_path, {"/a/b c", "a", "ä"}, {"", "a\nb", "\x7f"}},
    {&gtm_form_program, {"check.sh", "a_b-c"}, {"", "/bin/sh", "..", ".x", "a b", "../a"}},
};

static void test_forms(void **state)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t out[8];
        struct gtm_error err = {0};
        assert_non_null(cases[i].form->pattern);
        assert_non_null(cases[i].good[0]);
        for (const char *const *good = cases[i].good; *good; good++) {
            if (cases[i].form->parse(*good, cases[i].form->heap ? NULL : out, &err) != GTM_OK)
                fail_msg("%s: '%s' is refused: %s", cases[i].form->what, *good, err.text);
        }
        for (const char *const *bad = cases[i].bad; *bad; bad++) {
            if (cases[i].form->parse(*bad, NULL, &err) == GTM_OK)
                fail_msg("%s: '%s' is taken", cases[i].form->what, *bad);
        }
    }
}

static int64_t time_of(const char *text)
{
    struct gtm_error err = {0};
    int64_t ms = 0;
    assert_int_equal(gtm_form_time.parse(text, &ms, &err), GTM_OK);
    return ms;
}

static void test_times(void **state)
{
    assert_int_equal(time_of("1970-01-01T00:00:00Z"), 0);
    assert_int_equal(time_of("2026-11-20T17:00:00.123Z"), 1795194000123);
    assert_int_equal(time_of("2026-11-20T19:00:00.1+02:00"), 1795194000100);
    assert_int_equal(time_of("1969-12-31T23:59:59.5-00:00"), -500);
    assert_int_equal(time_of("2000-02-29T12:00:00Z"), 951825600000);
    assert_int_equal(time_of("0001-01-01T00:00:00Z"), -62135596800000);
}

static void test_networks(void **state)
{
    struct gtm_network n;
    struct gtm_error err = {0};
    char text[64];
    assert_int_equal(gtm_form_network.parse("2001:DB8::/33", &n, &err), GTM_OK);
    assert_string_equal(gtm_network_format(&n, text), "2001:db8::/33");
    assert_int_equal(gtm_form_network.parse("192.0.2.1/32", &n, &err), GTM_OK);
    assert_string_equal(gtm_network_format(&n, text), "192.0.2.1");
    assert_int_not_equal(gtm_form_network.parse("203.0.113.255/25", &n, &err), GTM_OK);
    assert_string_equal(
        err.text,
        "203.0.113.255/25 has bits set beyond its prefix: the network is 203.0.113.128/25");
}

static void test_durations(void **state)
{
    static const struct {
        const char *text, *shown;
        uint64_t ms;
    } durations[] = {
        {"800ms", "800ms", 800},
        {"0s", "0s", 0},
        {"1000ms", "1s", 1000},
        {"90s", "90s", 90000},
        {"60s", "1m", 60000},
        {"60m", "1h", 3600000},
        {"30d", "30d", 30 * 86400000ull},
        {"25h", "25h", 90000000},
    };
    static const char *const bad[] = {"",    "1",    "s",     "1.5s", "-1s",
                                      "1 s", "1sec", "1h30m", "1S",   "1234567890123s"};
    char shown[32];
    for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
        uint64_t ms = 0;
        assert_int_equal(gtm_duration_parse(durations[i].text, &ms), GTM_OK);
        assert_int_equal(ms, durations[i].ms);
        assert_string_equal(gtm_duration_format(ms, shown), durations[i].shown);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint64_t ms;
        assert_int_not_equal(gtm_duration_parse(bad[i], &ms), GTM_OK);
    }
}

static void test_numbers(void **state)
{
    char text[32];
    assert_string_equal(gtm_schema_number(80, text), "80");
    assert_string_equal(gtm_schema_number(0.3, text), "0.3");
    assert_string_equal(gtm_schema_number(-6.3, text), "-6.3");
    assert_string_equal(gtm_schema_number(1e12, text), "1000000000000");
    assert_string_equal(gtm_schema_number(38.907192, text), "38.907192");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),    cmocka_unit_test(test_times),
        cmocka_unit_test(test_networks), cmocka_unit_test(test_durations),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
