/* SPDX-License-Identifier: Apache-2.0
 *
 * Zone files: what is accepted becomes the right wire form, what is not is refused at the right
 * place. With `--dump FILE ORIGIN` it prints every record as "owner ttl type rdata-in-hex", for the
 * comparison with another parser (tests/e2e/test_zonefile_types.py).
 */
#include "dns/zonefile.h"

#include "dns/rr.h"
#include "gtm/base/buf.h"
#include "gtm/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint8_t origin[] = "\7example\3com";

static int print_record(void *ctx, const struct dns_record *r)
{
    struct gtm_buf *buf = ctx;
    char text[DNS_NAME_TEXT_MAX];
    gtm_buf_addf(buf, "%s %u %u ", dns_name_text(r->owner, text), r->ttl, r->type);
    for (unsigned i = 0; i < r->rdlen; i++)
        gtm_buf_addf(buf, "%02x", r->rdata[i]);
    gtm_buf_addc(buf, '\n');
    return buf->failed;
}

/* The records of a text, one per line; *ret_errors gets "line:col: text" lines. */
static void run(const char *text, size_t len, uint32_t default_ttl, struct gtm_buf *records,
                struct gtm_buf *findings, int *ret_rc)
{
    struct gtm_diags diags = {0};
    struct dns_zonefile_opts opts = {.origin = origin, .default_ttl = default_ttl};
    /* An exact block, so that the sanitizer sees a read behind the end. */
    char *exact = malloc(len ? len : 1);
    memcpy(exact, text, len);
    *ret_rc = dns_zonefile_parse(&opts, exact, len, print_record, records, &diags);
    free(exact);
    for (size_t i = 0; i < diags.count; i++)
        gtm_buf_addf(findings, "%u:%u: %s%s\n", diags.items[i].line, diags.items[i].col,
                     diags.items[i].severity == GTM_SEV_WARNING ? "warning: " : "",
                     diags.items[i].text);
    gtm_diags_fini(&diags);
}

struct good {
    const char *text;
    const char *records;
};

static const struct good goods[] = {
    {"", ""},
    {"\n\n ; only a comment\n\t\n", ""},
    {"\xef\xbb\xbf@ 5 A 1.2.3.4", "example.com. 5 1 01020304\n"},
    {"www 60 IN A 192.0.2.1\n", "www.example.com. 60 1 c0000201\n"},
    {"www IN 60 A 192.0.2.1", "www.example.com. 60 1 c0000201\n"},
    {"www 60 A 192.0.2.1", "www.example.com. 60 1 c0000201\n"},
    {"www 60 class1 a 192.0.2.1\r\n\t  AAAA 2001:db8::1\r\n",
     "www.example.com. 60 1 c0000201\n"
     "www.example.com. 60 28 20010db8000000000000000000000001\n"},
    {"$TTL 1h\na A 1.2.3.4\nb 5 A 1.2.3.4\nc A 1.2.3.4\n$TTL 2d\nd A 1.2.3.4\n",
     "a.example.com. 3600 1 01020304\nb.example.com. 5 1 01020304\n"
     "c.example.com. 3600 1 01020304\nd.example.com. 172800 1 01020304\n"},
    {"a 1w2d3h4m5s A 1.2.3.4\nb A 1.2.3.4\n",
     "a.example.com. 788645 1 01020304\nb.example.com. 788645 1 01020304\n"},
    {"$ORIGIN sub\n@ 1 NS ns\nx 1 NS .\n$ORIGIN org.\ny 1 CNAME @\n",
     "sub.example.com. 1 2 026e7303737562076578616d706c6503636f6d00\n"
     "x.sub.example.com. 1 2 00\ny.org. 1 5 036f726700\n"},
    {"@ 1 SOA ns hostmaster ( 2024010101 ; serial (\n 1h 15m\n 4w 300 )\n",
     "example.com. 1 6 026e73076578616d706c6503636f6d000a686f73746d6173746572076578616d706c650363"
     "6f6d0078a3f17500000e10000003840024ea000000012c\n"},
    {"( a 1 A\n1.2.3.4 )\n ( 2\n  A ) 1.2.3.5 ; x\n",
     "a.example.com. 1 1 01020304\na.example.com. 2 1 01020305\n"},
    {"a 1 MX 10 mail\n", "a.example.com. 1 15 000a046d61696c076578616d706c6503636f6d00\n"},
    {"a 1 TXT foo \"b;a (r\" \"\" \"q\\\"\\065\"\n", "a.example.com. 1 16 03666f6f0662"
                                                     "3b6120287200037122"
                                                     "41\n"},
    {"a 1 TXT x\"y\n", NULL},
    {"a 1 TXT \"a\"\"b\"", "a.example.com. 1 16 01610162\n"},
    {"a\\.b\\032c 1 A 1.2.3.4\n", "a\\.b\\032c.example.com. 1 1 01020304\n"},
    {"a 1 TYPE1 1.2.3.4\nb 1 A \\# 4 01 02 0304\nc 1 TYPE65280 \\# 3 abcDEF\nd 1 TYPE65280 \\# 0\n",
     "a.example.com. 1 1 01020304\nb.example.com. 1 1 01020304\n"
     "c.example.com. 1 65280 abcdef\nd.example.com. 1 65280 \n"},
    {"a 1 SRV 1 2 3 t.\n", "a.example.com. 1 33 000100020003017400\n"},
    {"a 1 CAA 128 issue \"ca.example; x=y\"", "a.example.com. 1 257 800569737375656361"
                                              "2e6578616d706c653b20783d79\n"},
    {"a 1 LOC 42 21 54 N 71 06 18 W -24m 30m\n", "a.example.com. 1 29 003316138917"
                                                 "2dd070be15f000988d20\n"},
    {"a 1 HTTPS 1 . port=8443 alpn=\"h2,h3\" no-default-alpn mandatory=port,alpn\n",
     "a.example.com. 1 65 00010000000004000100030001000602683202683300020000000300022"
     "0fb\n"},
    {"a 1 SVCB 1 . alpn=\"f\\\\\\\\oo\\\\,bar,h2\"\n",
     "a.example.com. 1 64 0001000001000c08665c6f6f2c626172026832\n"},
    {"a 1 AMTRELAY 10 1 3 r.\n", "a.example.com. 1 260 0a83017200\n"},
    {"a 1 NSEC b A TYPE1234 MX\n", "a.example.com. 1 47 0162076578616d706c6503636f6d000002400104"
                                   "1b"
                                   "0000000000000000000000000000000000000000000000000000"
                                   "20\n"},
    {"$GENERATE 1-3 h$ 5 A 10.0.0.$\n",
     "h1.example.com. 5 1 0a000001\nh2.example.com. 5 1 0a000002\nh3.example.com. 5 1 0a000003\n"},
    {"$GENERATE 8-12/4 h${-8,3,x} 5 MX \"$ m$$.\"\n",
     "h000.example.com. 5 15 0008026d2400\nh004.example.com. 5 15 000c026d2400\n"},
    {"$GENERATE 18-18 ${0,7,n} 5 PTR ${0,0,X}.\n", "2.1.0.0.example.com. 5 12 02313200\n"},
};

static void test_good(void **state)
{
    for (size_t i = 0; i < sizeof(goods) / sizeof(goods[0]); i++) {
        struct gtm_buf records = {0}, findings = {0};
        int rc;
        if (!goods[i].records)
            continue;
        run(goods[i].text, strlen(goods[i].text), 0, &records, &findings, &rc);
        if (rc != 0 || strcmp(records.data ? records.data : "", goods[i].records) != 0)
            print_error("text: %s\nfindings: %s\n", goods[i].text,
                        findings.data ? findings.data : "");
        assert_string_equal(records.data ? records.data : "", goods[i].records);
        assert_int_equal(rc, 0);
        assert_null(findings.data);
        gtm_buf_fini(&records);
        gtm_buf_fini(&findings);
    }
}

static int dump(const char *path, const char *origin_text)
{
    uint8_t name[DNS_NAME_MAX];
    size_t len;
    struct gtm_error err = {0};
    struct gtm_diags diags = {0};
    struct gtm_buf buf = {0};
    if (dns_name_parse(origin_text, strlen(origin_text), NULL, name, &len, &err) != 0)
        return 2;
    struct dns_zonefile_opts opts = {.path = path, .origin = name};
    int rc = dns_zonefile_parse(&opts, NULL, 0, print_record, &buf, &diags);
    gtm_diags_print(&diags, stderr);
    if (buf.data)
        fputs(buf.data, stdout);
    gtm_diags_fini(&diags);
    gtm_buf_fini(&buf);
    return rc == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--dump") == 0)
        return dump(argv[2], argv[3]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
