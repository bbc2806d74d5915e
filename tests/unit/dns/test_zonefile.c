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

struct bad {
    const char *text;
    const char *finding; /* "line:col: " and a part of the text of the first */
};

/* clang-format off */
static const struct bad bads[] = {
    /* structure */
    {"a 1 A 1.2.3.4 )\n", "1:15: ')' without '('"},
    {"a 1 A ( 1.2.3.4\nb 1 A 1.2.3.4\n", "1:7: '(' is never closed"},
    {"a 1 TXT \"abc\nb 1 A 1.2.3.4\n", "1:9: quoted string has no end on its line"},
    {"a 1 TXT \"abc", "1:9: quoted string has no end"},
    {"a 1 TXT abc\\\n", "1:12: backslash at the end of the line"},
    {"a 1 TXT abc\\", "1:12: backslash at the end of the line"},
    {"a 1 TXT a\001b\n", "1:10: control character 1 is not allowed"},
    {"a 1 TXT \"a\rb\"\n", "1:11: control character 13"},
    {"\xc3\xa9\xc3\xa9 1 A x\n", "1:8: expected an IPv4 address, not \"x\""},
    {"\n\n  (\n a 1 A\n\tx )", "4:2: line starts with white space"},
    {" A 1.2.3.4\n", "1:2: line starts with white space, but no record before it has an owner"},
    {"\"a\" 1 A 1.2.3.4\n", "1:1: expected a domain name, not a quoted string"},
    {"a\n", "1:2: expected a record type, found the end of the line"},
    {"a 1 IN\n", "1:7: expected a record type"},
    /* owner */
    {"a..b 1 A 1.2.3.4\n", "1:1: expected a domain name, not \"a..b\": name has an empty label"},
    {"a\\300 1 A 1.2.3.4\n", "1:1: expected a domain name, not \"a\\300\": bad escape"},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 1 A 1.2.3.4\n",
     "1:1: expected a domain name, not \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...\": a label has more"},
    /* TTL, class, type */
    {"a A 1.2.3.4\n", "1:1: record has no TTL"},
    {"a 2147483648 A 1.2.3.4\n", "1:3: TTL is larger than 2147483647"},
    {"a 99999999999999999999w A 1.2.3.4\n", "1:3: TTL is larger than 2147483647"},
    {"a 1h30 A 1.2.3.4\n", "1:3: expected a TTL like 3600 or 1h30m, not \"1h30\""},
    {"a 1 2 A 1.2.3.4\n", "1:5: expected a class, a record type, not \"2\""},
    {"a 1 CH A 1.2.3.4\n", "1:5: class CH is not served: expected IN"},
    {"a 1 CLASS3 A 1.2.3.4\n", "1:5: class CLASS3 is not served"},
    {"a 1 IN IN A 1.2.3.4\n", "1:8: expected a record type, not \"IN\""},
    {"a 1 IN AAAAA ::1\n", "1:8: expected a record type, not \"AAAAA\""},
    {"a 1 TYPE0 \\# 0\n", "1:5: expected a class, a record type"},
    {"a 1 TYPE65536 \\# 0\n", "1:5: expected a class, a record type"},
    {"a 1 OPT \\# 0\n", "1:5: expected a class, a record type"},
    {"a 1 AXFR \\# 0\n", "1:5: expected a class, a record type"},
    {"a 1 ANY \\# 0\n", "1:5: expected a class, a record type"},
    {"a 1 TYPE999 abc\n", "1:13: rdata of TYPE999 must be written as \\#"},
    {"a 1 NULL abc\n", "1:10: rdata of TYPE10 must be written as \\#"},
    /* rdata */
    {"a 1 A\n", "1:6: expected an IPv4 address, found the end of the record"},
    {"a 1 A 1.2.3\n", "1:7: expected an IPv4 address, not \"1.2.3\""},
    {"a 1 A 1.2.3.256\n", "1:7: expected an IPv4 address"},
    {"a 1 A 1.2.3.04\n", "1:7: expected an IPv4 address"},
    {"a 1 A 1.2.3.4.5\n", "1:7: expected an IPv4 address"},
    {"a 1 A \"1.2.3.4\"\n", "1:7: expected an IPv4 address, not a quoted string"},
    {"a 1 A 1.2.3.4 x\n", "1:15: expected the end of the record, not \"x\""},
    {"a 1 A 11111111111111111111111111111111111111111111111111111111111111111111111111\n",
     "1:7: expected an IPv4 address"},
    {"a 1 AAAA 2001:db8::1::\n", "1:10: expected an IPv6 address"},
    {"a 1 AAAA 20010000000000000000000000000000000000000000000000000000000000000000000::1\n",
     "1:10: expected an IPv6 address"},
    {"a 1 AAAA fe80::1%eth0\n", "1:10: expected an IPv6 address"},
    {"a 1 MX 65536 x\n", "1:8: expected a number from 0 to 65535, not \"65536\""},
    {"a 1 MX -1 x\n", "1:8: expected a number from 0 to 65535"},
    {"a 1 MX 10\n", "1:10: expected a domain name, found the end of the record"},
    {"a 1 NS x..\n", "1:8: expected a domain name, not \"x..\""},
    {"a 1 TXT\n", "1:8: expected a string"},
    {"a 1 TXT \\25\n", "1:9: bad escape"},
    {"a 1 TXT \"\\256\"\n", "1:9: bad escape"},
    {"a 1 TXT x\"y\"\n", "1:9: quotation mark inside a word"},
    {"a 1 SOA a b 1 2 3 4\n", "1:20: expected a time in seconds"},
    {"a 1 SOA a b 1 2 3 4 5x\n", "1:21: expected a time like 3600"},
    {"a 1 A \\# 3 010203\n", "1:7: rdata does not fit the type"},
    {"a 1 NS \\# 2 c00c\n", "1:8: rdata does not fit the type"},
    {"a 1 NS \\# 4 01610062\n", "1:8: rdata does not fit the type"},
    {"a 1 TXT \\# 0\n", "1:9: rdata does not fit the type"},
    {"a 1 A \\# 4 0102\n", "1:10: length 4 does not fit the 2 octets"},
    {"a 1 A \\# 4 010203zz\n", "1:12: expected hexadecimal digits"},
    {"a 1 A \\# 4 0102030\n", "1:12: odd number of hexadecimal digits"},
    {"a 1 A \\# 65536 00\n", "1:10: expected a length from 0 to 65535"},
    {"a 1 DS 1 8 2 (\nabc\n x )\n", "3:2: expected hexadecimal digits, not \"x\""},
    {"a 1 DS 1 NOSUCH 2 ab\n", "1:10: expected an algorithm, not \"NOSUCH\""},
    {"a 1 DNSKEY 256 3 8 AAAA=\n", "1:20: expected base64"},
    {"a 1 DNSKEY 256 3 8 AA\n", "1:20: base64 is cut off"},
    {"a 1 DNSKEY 256 3 8 AA== AAAA\n", "1:25: base64 goes on behind its '='"},
    {"a 1 NSEC b A NOSUCH\n", "1:14: expected a record type, not \"NOSUCH\""},
    {"a 1 NSEC3 1 0 0 - ab-\n", "1:19: expected a hashed name in base32"},
    {"a 1 RRSIG A 8 2 1 20300231000000 1 1 @ AA==\n", "1:19: expected a time as YYYYMMDDHHmmSS"},
    {"a 1 LOC 91 N 0 E 0\n", "1:9: expected degrees, not \"91\""},
    {"a 1 LOC 90 1 N 0 E 0\n", "1:9: angle is more than 90 degrees"},
    {"a 1 LOC 1 60 N 0 E 0\n", "1:11: expected minutes or a hemisphere"},
    {"a 1 LOC 1 2 3.1234 N 0 E 0\n", "1:13: expected seconds"},
    {"a 1 LOC 1 2 3 E 0 E 0\n", "1:15: expected N or S, not \"E\""},
    {"a 1 LOC 1 N 2 E 42849672.96\n", "1:17: expected an altitude"},
    {"a 1 LOC 1 N 2 E 0 90000000.01m\n", "1:19: expected a size"},
    {"a 1 APL 1:1.2.3.4/33\n", "1:9: expected [!]1:IPV4/PREFIX"},
    {"a 1 APL 3:1.2.3.4/3\n", "1:9: expected [!]1:IPV4/PREFIX"},
    {"a 1 APL !\n", "1:9: expected [!]1:IPV4/PREFIX"},
    {"a 1 WKS 1.2.3.4 tcp nosuch\n", "1:21: expected a well-known service or port"},
    {"a 1 WKS 1.2.3.4 tcp 65536\n", "1:21: expected a well-known service or port"},
    {"a 1 IPSECKEY 1 4 2 . AA==\n", "1:16: expected a gateway type from 0 to 3"},
    {"a 1 IPSECKEY 1 1 2 . AA==\n", "1:20: expected an IPv4 address"},
    {"a 1 HIP 2 2 AA==\n", "1:11: odd number of hexadecimal digits"},
    {"a 1 EUI48 00-00-5e-00-53\n", "1:11: expected 6 groups"},
    {"a 1 EUI48 00-00-5e-00-53-2a-\n", "1:11: expected 6 groups"},
    {"a 1 NID 1 0:1:2:12345\n", "1:11: expected 4 groups"},
    {"a 1 CAA 0 is-sue x\n", "1:11: expected a property"},
    {"a 1 SVCB 1 . port=1 port=2\n", "1:21: parameter is given twice"},
    {"a 1 SVCB 1 . port=65536\n", "1:14: expected a port"},
    {"a 1 SVCB 1 . nosuch=1\n", "1:14: expected a parameter like alpn=h2"},
    {"a 1 SVCB 1 . key65535=1\n", "1:14: expected a parameter like alpn=h2"},
    {"a 1 SVCB 1 . alpn\n", "1:14: alpn needs a value"},
    {"a 1 SVCB 1 . alpn=h2,,h3\n", "1:14: expected protocols of 1 to 255"},
    {"a 1 SVCB 1 . alpn=\"h2\"x\n", "1:14: quotation marks must enclose"},
    {"a 1 SVCB 1 . ipv4hint=1.2.3\n", "1:14: expected IPv4 addresses"},
    {"a 1 SVCB 1 . ipv6hint=::1,\n", "1:14: expected IPv6 addresses"},
    {"a 1 SVCB 1 . ech=AA\n", "1:14: expected base64 in ech"},
    {"a 1 SVCB 1 . mandatory=alpn\n", "1:10: a mandatory parameter is missing"},
    {"a 1 SVCB 1 . mandatory=port,port port=1\n", "1:10: mandatory must name other parameters"},
    {"a 1 SVCB 1 . mandatory=mandatory\n", "1:10: mandatory must name other parameters"},
    {"a 1 SVCB 1 . no-default-alpn\n", "1:10: no-default-alpn needs alpn"},
    {"a 1 SVCB 1 . key3=abc\n", "1:10: port must have two octets"},
    {"a 1 SVCB \\# 7 00010000030001\n", "1:10: parameters are cut off"},
    /* directives */
    {"$FOO 1\n", "1:1: expected $ORIGIN, $TTL, $INCLUDE or $GENERATE, not \"$FOO\""},
    {"$TTL\n", "1:5: expected a TTL, found the end of the line"},
    {"$TTL x\n", "1:6: expected a TTL like 3600"},
    {"$TTL 1 2\n", "1:8: expected the end of the line, not \"2\""},
    {"$ORIGIN a..b\n", "1:9: expected a domain name, not \"a..b\": name has an empty label"},
    {"$INCLUDE /etc/hostname\n", "1:1: $INCLUDE is possible only in files"},
    {"$GENERATE 1-x a$ 1 A 1.2.3.4\n", "1:11: expected a range like 1-10"},
    {"$GENERATE 5-1 a$ 1 A 1.2.3.4\n", "1:11: expected a range like 1-10"},
    {"$GENERATE 1-2/0 a$ 1 A 1.2.3.4\n", "1:11: expected a range like 1-10"},
    {"$GENERATE 0-65536 a$ 1 A 1.2.3.4\n", "1:11: range has more than 65536 steps"},
    {"$GENERATE 1-2 a$ A\n", "1:19: expected an owner, a type and rdata"},
    {"$GENERATE 255-256 a$ 1 A 1.2.3.$\n",
     "1:1: for 256 this gives \"a256 1 A 1.2.3.256\": expected an IPv4 address"},
    {"$GENERATE 1-2 a${0,1,q} 1 A 1.2.3.$\n", "1:1: expected ${OFFSET"},
    {"$GENERATE 1-2 a${-2} 1 A 1.2.3.$\n", "1:1: offset makes the number negative"},
};
/* clang-format on */

static void test_bad(void **state)
{
    for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
        struct gtm_buf records = {0}, findings = {0};
        int rc;
        run(bads[i].text, strlen(bads[i].text), 0, &records, &findings, &rc);
        const char *found = findings.data ? findings.data : "nothing";
        if (rc != GTM_EPARSE || strncmp(found, bads[i].finding, strlen(bads[i].finding)) != 0)
            fail_msg("%s gave %d: %s instead of %s", bads[i].text, rc, found, bads[i].finding);
        gtm_buf_fini(&records);
        gtm_buf_fini(&findings);
    }
}

/* A mistake does not hide the next one, and what is right between them is read. */
static void test_goes_on(void **state)
{
    static const char text[] = "$TTL 5\n"
                               "a A 1.2.3\n"
                               "  AAAA ::1\n"
                               "b..c A 1.2.3.4\n"
                               "  A 1.2.3.5\n" /* belongs to a name that nobody knows */
                               "d TXT ( \"x )\n"
                               "e A 1.2.3.6\n"
                               "f TYPE70000 \\# 0\n";
    struct gtm_buf records = {0}, findings = {0};
    int rc;
    run(text, sizeof(text) - 1, 0, &records, &findings, &rc);
    assert_int_equal(rc, GTM_EPARSE);
    assert_string_equal(findings.data,
                        "2:5: expected an IPv4 address, not \"1.2.3\"\n"
                        "4:1: expected a domain name, not \"b..c\": name has an empty label\n"
                        "6:9: quoted string has no end on its line: expected '\"'\n"
                        "8:3: expected a TTL, a class, a record type, not \"TYPE70000\"\n");
    assert_string_equal(records.data, "a.example.com. 5 28 00000000000000000000000000000001\n"
                                      "e.example.com. 5 1 01020306\n");
    gtm_buf_fini(&records);
    gtm_buf_fini(&findings);
}

static void test_default_ttl(void **state)
{
    struct gtm_buf records = {0}, findings = {0};
    int rc;
    run("a A 1.2.3.4\nb A 1.2.3.4\nc 7 A 1.2.3.4\nd A 1.2.3.4\n", 49, 99, &records, &findings, &rc);
    assert_int_equal(rc, 0);
    assert_string_equal(records.data, "a.example.com. 99 1 01020304\nb.example.com. 99 1 01020304\n"
                                      "c.example.com. 7 1 01020304\nd.example.com. 7 1 01020304\n");
    assert_string_equal(
        findings.data,
        "1:1: warning: record has no TTL and there is no $TTL before it: 99 is used\n");
    gtm_buf_fini(&records);
    gtm_buf_fini(&findings);
}

/* Limits: each just fits, and one more does not. */
static void test_limits(void **state)
{
    struct gtm_buf text = {0}, records = {0}, findings = {0};
    int rc;
    gtm_buf_addf(&text, "a 1 TXT \"%0255d\"\n", 0);
    run(text.data, text.len, 0, &records, &findings, &rc);
    assert_int_equal(rc, 0);
    gtm_buf_clear(&text);
    gtm_buf_addf(&text, "a 1 TXT \"%0256d\"\n", 0);
    run(text.data, text.len, 0, &records, &findings, &rc);
    assert_string_equal(findings.data, "1:9: string has more than 255 octets\n");

    for (unsigned octets = 65535; octets <= 65536; octets++) {
        gtm_buf_clear(&text);
        gtm_buf_clear(&findings);
        gtm_buf_addf(&text, "a 1 TYPE65280 \\# 65535 (\n");
        for (unsigned i = 0; i < octets; i++)
            gtm_buf_adds(&text, "ab\n");
        gtm_buf_adds(&text, ")\n");
        run(text.data, text.len, 0, &records, &findings, &rc);
        assert_int_equal(rc, octets == 65535 ? 0 : GTM_EPARSE);
    }
    assert_string_equal(findings.data, "65537:1: rdata has more than 65535 octets\n");

    gtm_buf_clear(&text);
    gtm_buf_clear(&findings);
    gtm_buf_addf(&text, "a 1 TXT x%065535d\nb 1 A 1.2.3.4\n", 0);
    run(text.data, text.len, 0, &records, &findings, &rc);
    assert_string_equal(findings.data, "1:9: token has more than 65535 characters\n");
    gtm_buf_fini(&text);
    gtm_buf_fini(&records);
    gtm_buf_fini(&findings);
}

static int count_record(void *ctx, const struct dns_record *r)
{
    (*(unsigned *)ctx)++;
    return 0;
}

/* A short file cannot keep the parser busy for ever. */
static void test_generate_bounded(void **state)
{
    struct gtm_buf text = {0};
    struct gtm_diags diags = {0};
    struct dns_zonefile_opts opts = {.origin = origin};
    unsigned seen = 0;
    gtm_buf_adds(&text, "\n$GENERATE 0-65535 a 1 TXT");
    for (int i = 0; i < 16; i++)
        gtm_buf_adds(&text, " \"${0,250}\"");
    assert_int_equal(dns_zonefile_parse(&opts, text.data, text.len, count_record, &seen, &diags),
                     GTM_EPARSE);
    assert_int_equal(diags.errors, 1);
    assert_string_equal(diags.items[0].text,
                        "more than 67108864 bytes of text are generated in all");
    assert_int_equal(diags.items[0].line, 2);
    assert_in_range(seen, 16000, 17000);
    gtm_buf_fini(&text);
    gtm_diags_fini(&diags);
}

static int stop_at_second(void *ctx, const struct dns_record *r)
{
    unsigned *seen = ctx;
    assert_int_equal(r->line, *seen + 1);
    assert_int_equal(r->col, 1 + *seen);
    return ++*seen == 2 ? 42 : 0;
}

static void test_stop(void **state)
{
    static const char text[] = "a 1 A 1.2.3.4\n A 1.2.3.5\nb 1 A 1.2.3.6\n";
    struct gtm_diags diags = {0};
    struct dns_zonefile_opts opts = {.origin = origin};
    unsigned seen = 0;
    assert_int_equal(
        dns_zonefile_parse(&opts, text, sizeof(text) - 1, stop_at_second, &seen, &diags), 42);
    assert_int_equal(seen, 2);
    gtm_diags_fini(&diags);
}

/* A folder of zone files for $INCLUDE. */
static char folder[] = "/tmp/test_zonefile.XXXXXX";

static void put_file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* Parses folder/name; findings with the file's name. */
static int parse_file(const char *name, struct gtm_buf *records, struct gtm_buf *findings)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    struct gtm_diags diags = {0};
    struct dns_zonefile_opts opts = {.path = path, .origin = origin};
    int rc = dns_zonefile_parse(&opts, NULL, 0, print_record, records, &diags);
    for (size_t i = 0; i < diags.count; i++)
        gtm_buf_addf(findings, "%s:%u:%u: %s\n",
                     strrchr(diags.items[i].file, '/') ? strrchr(diags.items[i].file, '/') + 1
                                                       : diags.items[i].file,
                     diags.items[i].line, diags.items[i].col, diags.items[i].text);
    gtm_diags_fini(&diags);
    return rc;
}

static int make_folder(void **state)
{
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[64];
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

static void test_include(void **state)
{
    struct gtm_buf records = {0}, findings = {0};
    char sub[64];
    snprintf(sub, sizeof(sub), "%s/sub", folder);
    assert_int_equal(mkdir(sub, 0700), 0);
    put_file("main", "$TTL 9\na A 1.1.1.1\n$INCLUDE sub/one in.side\n  A 1.1.1.2\n"
                     "$INCLUDE \"sub/\\116wo\"\nz A 1.1.1.3\n");
    put_file("sub/one", "b A 2.2.2.2\n$ORIGIN deeper\n$INCLUDE two\n"); /* beside it, not below */
    put_file("sub/two", "c A 3.3.3.3\n");
    assert_int_equal(parse_file("main", &records, &findings), 0);
    assert_string_equal(records.data, "a.example.com. 9 1 01010101\n"
                                      "b.in.side.example.com. 9 1 02020202\n"
                                      "c.deeper.in.side.example.com. 9 1 03030303\n"
                                      "a.example.com. 9 1 01010102\n"
                                      "c.example.com. 9 1 03030303\n"
                                      "z.example.com. 9 1 01010103\n");
    assert_null(findings.data);
    gtm_buf_fini(&records);
    gtm_buf_fini(&findings);
}

static void test_include_refused(void **state)
{
    struct gtm_buf records = {0}, findings = {0};
    put_file("loop", "$TTL 1\n$INCLUDE loop2\n");
    put_file("loop2", "a A 1.2.3.4\n$INCLUDE ./loop\n");
    assert_int_equal(parse_file("loop", &records, &findings), GTM_EPARSE);
    assert_string_equal(findings.data, "loop2:2:10: file includes itself\n");
    gtm_buf_clear(&findings);

    for (int i = 0; i < 10; i++) {
        char name[16], text[32];
        snprintf(name, sizeof(name), "deep%d", i);
        snprintf(text, sizeof(text), "$INCLUDE deep%d\n", i + 1);
        put_file(name, i < 9 ? text : "");
    }
    assert_int_equal(parse_file("deep1", &records, &findings), 0);
    assert_int_equal(parse_file("deep0", &records, &findings), GTM_EPARSE);
    assert_string_equal(findings.data, "deep8:1:10: $INCLUDE goes deeper than 8 files\n");
    gtm_buf_clear(&findings);

    put_file("inner", "a 1 A 1\n");
    put_file("outer", "$INCLUDE nowhere\n$INCLUDE inner\n$INCLUDE sub\n");
    assert_int_equal(parse_file("outer", &records, &findings), GTM_EPARSE);
    assert_non_null(strstr(findings.data, "outer:1:10: "));
    assert_non_null(strstr(findings.data, "nowhere: "));
    assert_non_null(strstr(findings.data, "inner:1:7: expected an IPv4 address"));
    gtm_buf_clear(&findings);

    assert_int_equal(parse_file("absent", &records, &findings), GTM_ENOTFOUND);
    assert_non_null(strstr(findings.data, "absent:0:0: "));
    gtm_buf_fini(&records);
    gtm_buf_fini(&findings);
}

/* Fails every allocation in turn: GTM_ENOMEM each time, nothing leaked, nothing reported as a
 * mistake of the text. */
static void test_no_memory(void **state)
{
    static const char text[] = "a 1 A 1.2.3.4\nb 1 SVCB 1 . alpn=h2\n"
                               "$GENERATE 1-2 c$ 1 A 1.2.3.$\nd 1 TXT a b c d e f g h i j\n";
    unsigned failures = 0;
    for (unsigned n = 1;; n++) {
        struct gtm_diags diags = {0};
        struct dns_zonefile_opts opts = {.origin = origin};
        unsigned records = 0;
        gtm_mem_fail_at(n, 0);
        int rc = dns_zonefile_parse(&opts, text, sizeof(text) - 1, count_record, &records, &diags);
        gtm_mem_fail_at(0, 0);
        gtm_diags_fini(&diags);
        if (rc == 0)
            break;
        assert_int_equal(rc, GTM_ENOMEM);
        failures++;
    }
    assert_true(failures >= 5);
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
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_goes_on),
        cmocka_unit_test(test_default_ttl),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_generate_bounded),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_include),
        cmocka_unit_test(test_include_refused),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
