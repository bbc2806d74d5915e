/* SPDX-License-Identifier: Apache-2.0
 *
 * What a zone may contain: each finding with its line and column, all of a file at once; and what
 * the compiled zone gives back.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "dns/rr.h"
#include "dns/zone.h"
#include "gtm/base/buf.h"
#include "gtm/base/mem.h"

#include <stdio.h>
#include <string.h>

#define TOP "$TTL 60\n@ SOA ns1 admin 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.1\n"

/* "12:3 error: text\n…" */
static char *findings(const char *text, const struct dns_zone_dynamic *dynamics, size_t n,
                      bool *ret_ok)
{
    struct dns_zone_spec spec = {.origin = "example.com",
                                 .path = "t.zone",
                                 .dynamics = dynamics,
                                 .dynamics_count = n,
                                 .slot_count = 1};
    struct gtm_diags diags = {0};
    struct gtm_buf out = {0};
    struct dns_zone *zone = dns_zone_load_text(&spec, text, strlen(text), &diags);

    *ret_ok = zone != NULL;
    assert_int_equal(zone != NULL, diags.errors == 0);
    for (size_t i = 0; i < diags.count; i++)
        gtm_buf_addf(&out, "%u:%u %s: %s\n", diags.items[i].line, diags.items[i].col,
                     diags.items[i].severity == GTM_SEV_ERROR ? "error" : "warning",
                     diags.items[i].text);
    gtm_diags_fini(&diags);
    dns_zone_unref(zone);
    gtm_buf_adds(&out, "");
    char *s = gtm_buf_take(&out);
    assert_non_null(s);
    return s;
}

static void wrong_zones_say_where(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        const char *want; /* part of the findings; "" = none */
    } cases[] = {
        {TOP, true, ""},
        {"$TTL 60\n@ NS ns.example.net.\n", false, "0:0 error: the zone has no SOA record"},
        {"$TTL 60\n@ SOA a b 1 2 3 4 5\n", false, "error: the zone has no NS record"},
        {TOP "@ SOA a b 2 2 3 4 5\n", false,
         "5:1 error: a second SOA record (the first is at line 2)"},
        {TOP "x SOA a b 2 2 3 4 5\n", false,
         "5:1 error: a SOA record may stand at the zone's top only"},
        {TOP "www.example.org. A 192.0.2.1\n", false,
         "5:1 error: www.example.org. is not inside the zone"},
        {TOP "a CNAME b\na A 192.0.2.1\n", false, "6:1 error: a.example.com. has a CNAME (line 5)"},
        {TOP "a A 192.0.2.1\na CNAME b\n", false, "5:1 error: a.example.com. has a CNAME (line 6)"},
        {TOP "a CNAME b\na CNAME c\n", false, "6:1 error: a.example.com. has a second CNAME"},
        {TOP "@ CNAME c\n", false, "error: a CNAME cannot stand at the zone's top"},
        {TOP "a DNAME b\na DNAME c\n", false, "6:1 error: a.example.com. has a second DNAME"},
        {TOP "a DNAME b\nx.a A 192.0.2.1\n", false,
         "6:1 error: x.a.example.com. lies below a DNAME"},
        {TOP "a 10 A 192.0.2.1\na 5 A 192.0.2.2\n", true,
         "6:1 warning: records of one set have different TTLs: 5 is used"},
        {TOP "a A 192.0.2.1\na A 192.0.2.1\n", true, "6:1 warning: the same record stands at a."},
        {TOP "sub NS ns.sub\n", true,
         "5:1 warning: name server ns.sub.example.com. has no address in this zone: it cannot be "
         "reached"},
        {TOP "sub NS ns.sub\nns.sub A 192.0.2.1\n", true, ""},
        {TOP "sub NS ns.sub\n*.sub A 192.0.2.1\n", true, ""},
        {TOP "sub NS ns.sub\n*.sub A 192.0.2.1\nx.ns.sub A 192.0.2.1\n", true, "has no address"},
        {TOP "*.w NS ns.example.net.\n", true, "5:1 warning: NS at the wildcard *.w.example.com."},
        {TOP "a MX 1 b\na MX 1 B\n", true, "6:1 warning: the same record stands at a."},
        {TOP "a SRV 1 2 3 b\na SRV 1 2 3 B\n", true, "6:1 warning: the same record stands at a."},
        {TOP "a TXT b\na TXT B\n", true, ""},
        {TOP "sub NS c\nc CNAME d\n", true, "5:1 warning: name server c.example.com. is a CNAME"},
        {TOP "l CNAME m\nm CNAME l\n", true,
         "5:1 warning: the CNAME at l.example.com. leads back to itself"},
        {TOP "a A 192.0.2.300\nb CNAME c\nb TXT x\n", false,
         "7:1 error: b.example.com. has a CNAME"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool ok;
        char *got = findings(cases[i].text, NULL, 0, &ok);
        bool right = cases[i].want[0] == '\0' ? got[0] == '\0' : strstr(got, cases[i].want) != NULL;
        if (ok != cases[i].ok || !right)
            fail_msg("%s\n got: %s%s\nwant: %s", cases[i].text, ok ? "accepted " : "refused ", got,
                     cases[i].want);
        gtm_free(got);
    }
}

static void dynamic_names_are_checked_too(void **state)
{
    static const uint16_t types[] = {DNS_TYPE_A};
    static const struct {
        const char *name, *zone, *want;
    } cases[] = {
        {"www", TOP, ""},
        {"www", TOP "www TXT x\nwww AAAA 2001:db8::1\n", ""},
        {"www", TOP "www A 192.0.2.1\n", "is a dynamic name for this type and may have no static"},
        {"www", TOP "www CNAME x\n", "has a CNAME (line 5)"},
        {"sub", TOP "sub NS ns1\n", "9:7 error: dynamic name sub.example.com. lies at or below a"},
        {"x.sub", TOP "sub NS ns1\n",
         "9:7 error: dynamic name x.sub.example.com. lies at or below"},
        {"x.d", TOP "d DNAME e\n", "9:7 error: x.d.example.com. lies below a DNAME"},
        {"bad..name", TOP, "9:7 error: dynamic name 'bad..name'"},
        {"www.example.org.", TOP, "9:7 error: dynamic name 'www.example.org.': is not inside"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dns_zone_dynamic d = {cases[i].name, types, 1, 0, "cluster.yaml", 9, 7};
        bool ok;
        char *got = findings(cases[i].zone, &d, 1, &ok);
        if (ok != (cases[i].want[0] == 0) || strstr(got, cases[i].want) == NULL)
            fail_msg("%s\n got: %s\nwant: %s", cases[i].zone, got, cases[i].want);
        gtm_free(got);
    }
}

static int collect(void *ctx, const uint8_t *owner, uint16_t type, uint32_t ttl,
                   const uint8_t *rdata, uint16_t rdlen, int64_t slot)
{
    struct gtm_buf *out = ctx;
    char text[DNS_NAME_TEXT_MAX];

    gtm_buf_addf(out, "%s %u %u %d", dns_name_text(owner, text), ttl, type, (int)slot);
    for (unsigned i = 0; i < rdlen; i++)
        gtm_buf_addf(out, "%s%02x", i == 0 ? " " : "", rdata[i]);
    gtm_buf_addc(out, '\n');
    return 0;
}

static void walking_gives_records_as_written(void **state)
{
    static const char text[] = TOP "@ MX 10 Mail\nx CNAME example.com.\n";
    static const uint16_t types[] = {DNS_TYPE_AAAA};
    struct dns_zone_dynamic d = {"www", types, 1, 0, NULL, 0, 0};
    struct dns_zone_spec spec = {.origin = "EXAMPLE.com.",
                                 .path = "t",
                                 .dynamics = &d,
                                 .dynamics_count = 1,
                                 .slot_count = 1};
    struct gtm_diags diags = {0};
    struct dns_zone *zone = dns_zone_load_text(&spec, text, sizeof(text) - 1, &diags);
    struct gtm_buf out = {0};

    (void)state;
    assert_non_null(zone);
    assert_int_equal(dns_zone_walk(zone, collect, &out), 0);
    /* compressed names come back whole: 04 'Mail' 07 'example' 03 'com' 00 */
    assert_non_null(
        strstr(out.data, "example.com. 60 15 -1 000a044d61696c076578616d706c6503636f6d00"));
    assert_non_null(strstr(out.data, "x.example.com. 60 5 -1 076578616d706c6503636f6d00"));
    assert_non_null(strstr(out.data, "ns1.example.com. 60 1 -1 c0000201"));
    assert_non_null(strstr(out.data, "www.example.com. 0 28 0\n"));
    struct dns_zone_info info;
    dns_zone_info(zone, &info);
    assert_int_equal(info.serial, 1);
    assert_int_equal(info.records, 5);
    assert_int_equal(info.dynamics, 1);
    assert_int_equal(info.names, 4); /* the top, ns1, x, www */
    gtm_buf_fini(&out);
    gtm_diags_fini(&diags);
    dns_zone_unref(zone);
}

static void memory_running_out_is_an_error_not_a_crash(void **state)
{
    static const char text[] = TOP "a.b.c A 192.0.2.1\nsub NS ns.sub\nns.sub A 192.0.2.4\n";
    struct dns_zone_spec spec = {.origin = "example.com", .path = "t"};
    struct dns_zone *zone = NULL;

    (void)state;
    for (unsigned n = 1; zone == NULL && n < 1000; n++) {
        struct gtm_diags diags = {0};
        gtm_mem_fail_at(n, 0);
        zone = dns_zone_load_text(&spec, text, sizeof(text) - 1, &diags);
        gtm_mem_fail_at(0, 0);
        assert_true(zone != NULL || diags.errors > 0);
        gtm_diags_fini(&diags);
    }
    assert_non_null(zone);
    dns_zone_unref(zone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_zones_say_where),
        cmocka_unit_test(dynamic_names_are_checked_too),
        cmocka_unit_test(walking_gives_records_as_written),
        cmocka_unit_test(memory_running_out_is_an_error_not_a_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
