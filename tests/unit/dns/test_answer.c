/* SPDX-License-Identifier: Apache-2.0
 *
 * Static answers: one zone with everything in it, asked like with dig. The order of sections:
 * answer | authority | additional.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "tests/support/dns_ask.h"

#include "dns/rr.h"
#include "gtm/base/mem.h"

#include <stdio.h>
#include <string.h>

#define SOA "example.com. 300 SOA ns1.example.com. admin.example.com. 7 3600 600 86400 300"

static const char zone_text[] = "$ORIGIN example.com.\n"
                                "$TTL 3600\n"
                                "@ SOA ns1 admin 7 3600 600 86400 300\n"
                                "@ NS ns1\n"
                                "@ NS ns.other.net.\n"
                                "@ MX 10 mail\n"
                                "@ A 192.0.2.9\n"
                                "ns1 A 192.0.2.53\n"
                                "www 60 A 192.0.2.1\n"
                                "www 60 A 192.0.2.2\n"
                                "www AAAA 2001:db8::1\n"
                                "mail A 192.0.2.25\n"
                                "txt TXT \"hello world\" \"second\"\n"
                                "a.b.deep A 192.0.2.77\n"
                                "alias CNAME www\n"
                                "alias2 CNAME alias\n"
                                "gone CNAME nowhere\n"
                                "out CNAME www.other.net.\n"
                                "intosub CNAME host.sub\n"
                                "loop CNAME pool\n"
                                "pool CNAME loop\n"
                                "*.wild TXT \"wild\"\n"
                                "*.wild A 192.0.2.200\n"
                                "x.y.wild A 192.0.2.201\n"
                                "*.wcname CNAME www\n"
                                "sub NS ns.sub\n"
                                "sub NS ns.other.net.\n"
                                "sub DS 12345 13 2 "
                                "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"
                                "ns.sub A 192.0.2.60\n"
                                "ns.sub AAAA 2001:db8::60\n"
                                "*.del.sub TXT \"hidden\"\n"
                                "old DNAME new\n"
                                "a.new A 192.0.2.90\n"
                                "far DNAME example.net.\n"
                                "here DNAME there\n"
                                "there DNAME here\n"
                                "twice DNAME e\n"
                                "a.e CNAME b.twice\n"
                                "b.e A 192.0.2.91\n"
                                "*.loopy CNAME x.loopy\n"
                                "wsub NS ns.wsub\n"
                                "*.wsub A 192.0.2.61\n"
                                "dup MX 1 Mail\n"
                                "dup MX 1 mail\n"
                                "_s._tcp SRV 1 2 443 www\n"
                                "WeIrD A 192.0.2.66\n";

static int set_up(void **state)
{
    *state = ask_zone("example.com", zone_text);
    return 0;
}

static int tear_down(void **state)
{
    dns_view_unref(*state);
    return 0;
}

struct row {
    const char *name;
    uint16_t type;
    const char *want;
};

static const struct row rows[] = {
    {"www.example.com", DNS_TYPE_A,
     "NOERROR aa | www.example.com. 60 A 192.0.2.1; www.example.com. 60 A 192.0.2.2 | |"},
    {"www.example.com", DNS_TYPE_AAAA, "NOERROR aa | www.example.com. 3600 AAAA 2001:db8::1 | |"},
    {"WWW.Example.COM", DNS_TYPE_AAAA, "NOERROR aa | WWW.Example.COM. 3600 AAAA 2001:db8::1 | |"},
    {"weird.example.com", DNS_TYPE_A, "NOERROR aa | weird.example.com. 3600 A 192.0.2.66 | |"},
    {"example.com", DNS_TYPE_SOA,
     "NOERROR aa | example.com. 3600 SOA ns1.example.com. admin.example.com. 7 3600 600 86400 300 "
     "| |"},
    {"example.com", DNS_TYPE_NS,
     "NOERROR aa | example.com. 3600 NS ns.other.net.; example.com. 3600 NS ns1.example.com. | |"},
    {"example.com", DNS_TYPE_MX, "NOERROR aa | example.com. 3600 MX 10 mail.example.com. | |"},
    {"txt.example.com", DNS_TYPE_TXT,
     "NOERROR aa | txt.example.com. 3600 TXT \"hello world\" \"second\" | |"},
    {"_s._tcp.example.com", DNS_TYPE_SRV,
     "NOERROR aa | _s._tcp.example.com. 3600 SRV 1 2 443 www.example.com. | |"},
    /* NODATA, empty non-terminal, NXDOMAIN */
    {"www.example.com", DNS_TYPE_MX, "NOERROR aa | | " SOA " |"},
    {"www.example.com", 65280, "NOERROR aa | | " SOA " |"},
    {"b.deep.example.com", DNS_TYPE_A, "NOERROR aa | | " SOA " |"},
    {"deep.example.com", DNS_TYPE_A, "NOERROR aa | | " SOA " |"},
    {"nope.example.com", DNS_TYPE_A, "NXDOMAIN aa | | " SOA " |"},
    {"x.y.z.nope.example.com", DNS_TYPE_A, "NXDOMAIN aa | | " SOA " |"},
    {"x.www.example.com", DNS_TYPE_A, "NXDOMAIN aa | | " SOA " |"},
    /* chains */
    {"alias2.example.com", DNS_TYPE_AAAA,
     "NOERROR aa | alias.example.com. 3600 CNAME www.example.com.; alias2.example.com. 3600 CNAME "
     "alias.example.com.; www.example.com. 3600 AAAA 2001:db8::1 | |"},
    {"alias.example.com", DNS_TYPE_MX,
     "NOERROR aa | alias.example.com. 3600 CNAME www.example.com. | " SOA " |"},
    {"alias.example.com", DNS_TYPE_CNAME,
     "NOERROR aa | alias.example.com. 3600 CNAME www.example.com. | |"},
    {"gone.example.com", DNS_TYPE_A,
     "NXDOMAIN aa | gone.example.com. 3600 CNAME nowhere.example.com. | " SOA " |"},
    /* each record of a loop once, a DNAME that is passed twice once */
    {"loop.example.com", DNS_TYPE_A,
     "NOERROR aa | loop.example.com. 3600 CNAME pool.example.com.; pool.example.com. 3600 CNAME "
     "loop.example.com. | |"},
    {"a.loopy.example.com", DNS_TYPE_A,
     "NOERROR aa | a.loopy.example.com. 3600 CNAME x.loopy.example.com.; x.loopy.example.com. 3600 "
     "CNAME x.loopy.example.com. | |"},
    {"a.here.example.com", DNS_TYPE_A,
     "NOERROR aa | a.here.example.com. 3600 CNAME a.there.example.com.; a.there.example.com. 3600 "
     "CNAME a.here.example.com.; here.example.com. 3600 DNAME there.example.com.; "
     "there.example.com. 3600 DNAME here.example.com. | |"},
    {"a.twice.example.com", DNS_TYPE_A,
     "NOERROR aa | a.e.example.com. 3600 CNAME b.twice.example.com.; a.twice.example.com. 3600 "
     "CNAME a.e.example.com.; b.e.example.com. 3600 A 192.0.2.91; b.twice.example.com. 3600 CNAME "
     "b.e.example.com.; twice.example.com. 3600 DNAME e.example.com. | |"},
    /* records that differ in the case of a name only are one */
    {"dup.example.com", DNS_TYPE_MX,
     "NOERROR aa | dup.example.com. 3600 MX 1 Mail.example.com. | |"},
    /* glue that only a wildcard below the cut has */
    {"x.wsub.example.com", DNS_TYPE_A,
     "NOERROR | | wsub.example.com. 3600 NS ns.wsub.example.com. | ns.wsub.example.com. 3600 A "
     "192.0.2.61"},
    {"out.example.com", DNS_TYPE_A, "NOERROR aa | out.example.com. 3600 CNAME www.other.net. | |"},
    {"intosub.example.com", DNS_TYPE_A,
     "NOERROR aa | intosub.example.com. 3600 CNAME host.sub.example.com. | sub.example.com. 3600 "
     "NS ns.other.net.; sub.example.com. 3600 NS ns.sub.example.com. | ns.sub.example.com. 3600 A "
     "192.0.2.60; ns.sub.example.com. 3600 AAAA 2001:db8::60"},
    /* wildcards: RFC 4592 2.2.1 */
    {"foo.wild.example.com", DNS_TYPE_A,
     "NOERROR aa | foo.wild.example.com. 3600 A 192.0.2.200 | |"},
    {"a.b.c.wild.example.com", DNS_TYPE_TXT,
     "NOERROR aa | a.b.c.wild.example.com. 3600 TXT \"wild\" | |"},
    {"foo.wild.example.com", DNS_TYPE_MX, "NOERROR aa | | " SOA " |"},
    {"*.wild.example.com", DNS_TYPE_A, "NOERROR aa | *.wild.example.com. 3600 A 192.0.2.200 | |"},
    {"wild.example.com", DNS_TYPE_A, "NOERROR aa | | " SOA " |"},
    {"y.wild.example.com", DNS_TYPE_A, "NOERROR aa | | " SOA " |"},
    {"z.y.wild.example.com", DNS_TYPE_A, "NXDOMAIN aa | | " SOA " |"},
    {"k.wcname.example.com", DNS_TYPE_AAAA,
     "NOERROR aa | k.wcname.example.com. 3600 CNAME www.example.com.; www.example.com. 3600 AAAA "
     "2001:db8::1 | |"},
    /* delegations */
    {"sub.example.com", DNS_TYPE_A,
     "NOERROR | | sub.example.com. 3600 NS ns.other.net.; sub.example.com. 3600 NS "
     "ns.sub.example.com. | ns.sub.example.com. 3600 A 192.0.2.60; ns.sub.example.com. 3600 AAAA "
     "2001:db8::60"},
    {"ns.sub.example.com", DNS_TYPE_A,
     "NOERROR | | sub.example.com. 3600 NS ns.other.net.; sub.example.com. 3600 NS "
     "ns.sub.example.com. | ns.sub.example.com. 3600 A 192.0.2.60; ns.sub.example.com. 3600 AAAA "
     "2001:db8::60"},
    {"q.del.sub.example.com", DNS_TYPE_TXT,
     "NOERROR | | sub.example.com. 3600 NS ns.other.net.; sub.example.com. 3600 NS "
     "ns.sub.example.com. | ns.sub.example.com. 3600 A 192.0.2.60; ns.sub.example.com. 3600 AAAA "
     "2001:db8::60"},
    {"sub.example.com", DNS_TYPE_DS,
     "NOERROR aa | sub.example.com. 3600 DS 12345 13 2 "
     "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef | |"},
    {"www.example.com", DNS_TYPE_DS, "NOERROR aa | | " SOA " |"},
    /* DNAME */
    {"a.old.example.com", DNS_TYPE_A,
     "NOERROR aa | a.new.example.com. 3600 A 192.0.2.90; a.old.example.com. 3600 CNAME "
     "a.new.example.com.; old.example.com. 3600 DNAME new.example.com. | |"},
    {"b.old.example.com", DNS_TYPE_A,
     "NXDOMAIN aa | b.old.example.com. 3600 CNAME b.new.example.com.; old.example.com. 3600 DNAME "
     "new.example.com. | " SOA " |"},
    {"old.example.com", DNS_TYPE_A, "NOERROR aa | | " SOA " |"},
    {"x.y.far.example.com", DNS_TYPE_A,
     "NOERROR aa | far.example.com. 3600 DNAME example.net.; x.y.far.example.com. 3600 CNAME "
     "x.y.example.net. | |"},
    /* not ours */
    {"www.example.org", DNS_TYPE_A, "REFUSED | | |"},
    {"com", DNS_TYPE_A, "REFUSED | | |"},
    {".", DNS_TYPE_NS, "REFUSED | | |"},
    {"example.com", DNS_TYPE_AXFR, "FORMERR | | |"}, /* over UDP */
    {"example.com", DNS_TYPE_OPT, "FORMERR | | |"},
};

static void answers_are_those_of_the_rfcs(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ask ask = {.name = rows[i].name, .type = rows[i].type};
        const char *got = ask_view(*state, &ask);
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s %u\n got: %s\nwant: %s", rows[i].name, rows[i].type, got, rows[i].want);
    }
}

static void any_gets_one_set(void **state)
{
    struct ask ask = {.name = "www.example.com", .type = DNS_TYPE_ANY};
    assert_string_equal(ask_view(*state, &ask),
                        "NOERROR aa | www.example.com. 60 A 192.0.2.1; www.example.com. 60 A "
                        "192.0.2.2 | |");
}

/* RFC 6672 2.2: the name that is too long is not in the answer, so it needs no room either. */
static void dname_overflow_fits_where_its_cname_would_not(void **state)
{
    char text[1024], name[300], want[700], l[51] = {0};
    (void)state;
    memset(l, 'l', 50);
    snprintf(text, sizeof(text),
             "$TTL 60\n@ SOA ns admin 1 2 3 4 5\n@ NS ns.example.net.\nd DNAME %s.%s.%s.%s\n", l, l,
             l, l);
    snprintf(name, sizeof(name), "%s.%s.d.example.com", l, l);
    snprintf(want, sizeof(want),
             "YXDOMAIN aa | d.example.com. 60 DNAME %s.%s.%s.%s.example.com. | |", l, l, l, l);
    struct dns_view *view = ask_zone("example.com", text);
    struct ask ask = {.name = name, .type = DNS_TYPE_A};
    assert_string_equal(ask_view(view, &ask), want);
    ask.tcp = true;
    assert_string_equal(ask_view(view, &ask), want);
    dns_view_unref(view);
}

/* RFC 6672 2.3: the DNAME leads below itself; the chain ends at its limit. */
static void dname_below_itself_stands_once(void **state)
{
    struct dns_view *view = ask_zone("example.com", "$TTL 60\n@ SOA ns admin 1 2 3 4 5\n"
                                                    "@ NS ns.example.net.\nd DNAME again.d\n");
    struct ask ask = {.name = "x.d.example.com", .type = DNS_TYPE_A, .tcp = true};
    (void)state;
    const char *got = ask_view(view, &ask);
    const char *dname = strstr(got, " DNAME ");
    assert_non_null(dname);
    assert_null(strstr(dname + 1, " DNAME "));
    assert_non_null(strstr(got, "x.again.again.d.example.com. 60 CNAME"));
    dns_view_unref(view);
}

static void edns_is_echoed(void **state)
{
    struct ask ask = {.name = "ns1.example.com", .type = DNS_TYPE_A, .edns = true};
    assert_string_equal(ask_view(*state, &ask),
                        "NOERROR aa | ns1.example.com. 3600 A 192.0.2.53 | | | opt");
    ask.dnssec_ok = true;
    assert_string_equal(ask_view(*state, &ask),
                        "NOERROR aa | ns1.example.com. 3600 A 192.0.2.53 | | | opt do");
    ask.dnssec_ok = false;
    ask.ecs = "203.0.113.0/24"; /* static data do not depend on the client: scope 0 */
    assert_string_equal(ask_view(*state, &ask),
                        "NOERROR aa | ns1.example.com. 3600 A 192.0.2.53 | | | opt scope=0");
    ask.name = "nope.example.com";
    assert_string_equal(ask_view(*state, &ask), "NXDOMAIN aa | | " SOA " | | opt scope=0");
    ask.name = "www.example.org";
    assert_string_equal(ask_view(*state, &ask), "REFUSED | | | | opt scope=0 ede=20");
}

static void long_answers_are_cut_to_what_the_client_takes(void **state)
{
    char text[32768];
    int n = snprintf(text, sizeof(text),
                     "$TTL 60\n@ SOA ns admin 1 2 3 4 5\n@ NS ns.example.net.\nfew A 192.0.2.1\n");
    for (int i = 0; i < 60; i++)
        n += snprintf(text + n, sizeof(text) - (size_t)n, "many A 192.0.2.%d\n", i);
    struct dns_view *view = ask_zone("example.com", text);
    struct ask ask = {.name = "many.example.com", .type = DNS_TYPE_A};

    (void)state;
    assert_string_equal(ask_view(view, &ask), "NOERROR aa tc | | |");
    ask.edns = true;
    ask.payload = 900;
    assert_string_equal(ask_view(view, &ask), "NOERROR aa tc | | | | opt");
    ask.payload = 4096; /* 60 × 16 + … = 1,016 octets: fits 1,232 */
    assert_null(strstr(ask_view(view, &ask), " tc"));
    ask.edns = false;
    ask.tcp = true;
    const char *got = ask_view(view, &ask);
    assert_null(strstr(got, " tc"));
    for (int i = 0; i < 60; i++) {
        char want[64];
        snprintf(want, sizeof(want), "60 A 192.0.2.%d", i);
        assert_non_null(strstr(got, want));
    }
    dns_view_unref(view);
}

static void glue_that_does_not_fit_sets_tc(void **state)
{
    char text[32768];
    int n =
        snprintf(text, sizeof(text), "$TTL 60\n@ SOA ns admin 1 2 3 4 5\n@ NS ns.example.net.\n");
    for (int i = 0; i < 12; i++)
        n += snprintf(text + n, sizeof(text) - (size_t)n,
                      "sub NS ns%d.sub\nns%d.sub A 192.0.2.%d\nns%d.sub AAAA 2001:db8::%d\n", i, i,
                      i, i, i);
    struct dns_view *view = ask_zone("example.com", text);
    struct ask ask = {.name = "x.sub.example.com", .type = DNS_TYPE_A};
    (void)state;
    const char *got = ask_view(view, &ask);
    assert_memory_equal(got, "NOERROR tc |", 12);
    assert_non_null(strstr(got, "NS ns11.sub.example.com."));
    ask.tcp = true;
    assert_non_null(strstr(ask_view(view, &ask), "ns11.sub.example.com. 60 AAAA 2001:db8::11"));
    dns_view_unref(view);
}

/* ---- odd packets ---- */

static const char *raw(const struct dns_view *view, const uint8_t *packet, size_t len)
{
    static uint8_t out[4096];
    struct dns_answerer a;
    struct dns_client client = {.family = 4, .proto = DNS_PROTO_UDP};
    uint8_t *exact = gtm_malloc(len + 8);

    assert_non_null(exact);
    memcpy(exact, packet, len);
    memset(exact + len, 0x41, 8);
    dns_answerer_init(&a, 1);
    size_t n = dns_answer(&a, view, &client, exact, len, out, sizeof(out));
    gtm_free(exact);
    return ask_show(out, n);
}

static void every_truncation_is_answered_or_silent(void **state)
{
    struct ask ask = {.name = "www.example.com", .type = DNS_TYPE_A, .ecs = "203.0.113.0/24"};
    uint8_t packet[512];
    size_t len = ask_packet(&ask, packet);

    for (size_t n = 0; n < len; n++) {
        const char *got = raw(*state, packet, n);
        if (n < 12)
            assert_string_equal(got, "silence");
        else
            assert_memory_equal(got, "FORMERR", 7);
    }
    assert_memory_equal(raw(*state, packet, len), "NOERROR", 7);
    packet[len] = 0;
    assert_memory_equal(raw(*state, packet, len + 1), "FORMERR", 7); /* trailing octet */
}

static void headers_out_of_order(void **state)
{
    struct ask ask = {.name = "www.example.com", .type = DNS_TYPE_A};
    uint8_t packet[512], p[512];
    size_t len = ask_packet(&ask, packet);
    static const struct {
        unsigned at;
        uint8_t value;
        const char *want;
    } edits[] = {
        {2, 0x80, "silence"},                                    /* QR set: answering would loop */
        {2, 0x81, "silence"},        {2, 0x08, "NOTIMPL | | |"}, /* IQUERY */
        {2, 0x20, "FORMERR | | |"},                              /* NOTIFY of an address */
        {2, 0x28, "NOTIMPL | | |"},                              /* UPDATE */
        {2, 0x78, "NOTIMPL | | |"},                              /* opcode 15 */
        {5, 0, "FORMERR | | |"},                                 /* QDCOUNT 0 */
        {5, 2, "FORMERR | | |"},                                 /* QDCOUNT 2: RFC 9619 */
        {7, 1, "FORMERR | | |"},                                 /* an answer in a query */
        {9, 1, "FORMERR | | |"},                                 /* counted, not there */
        {11, 1, "FORMERR | | |"},    {10, 255, "FORMERR | | |"},
        {12, 0xc0, "FORMERR | | |"}, /* compression in the question */
        {12, 0x40, "FORMERR | | |"}, /* reserved label types */
        {12, 0x80, "FORMERR | | |"},
    };

    for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
        memcpy(p, packet, len);
        p[edits[i].at] = edits[i].value;
        const char *got = raw(*state, p, len);
        if (strcmp(got, edits[i].want) != 0)
            fail_msg("octet %u = %u\n got: %s\nwant: %s", edits[i].at, edits[i].value, got,
                     edits[i].want);
    }
    memcpy(p, packet, len);
    p[len - 1] = DNS_CLASS_CH;
    assert_string_equal(raw(*state, p, len), "REFUSED | | |");
}

/* lint: size — one table of cases */
static void bad_opt_and_ecs_are_formerr(void **state)
{
    static const struct {
        const char *what;
        uint8_t opt[64];
        size_t len;
        const char *want;
    } cases[] = {
        {"version 1", {0, 0, 41, 4, 208, 0, 1, 0, 0, 0, 0}, 11, "BADVERS | | | | opt"},
        {"owner not the root", {1, 'a', 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0}, 13, "FORMERR"},
        {"rdlength too long", {0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 1}, 11, "FORMERR"},
        {"option cut off", {0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 3, 0, 8, 0}, 14, "FORMERR"},
        {"option longer than OPT", {0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 4, 0, 8, 0, 1}, 15, "FORMERR"},
        {"ECS too short", {0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 7, 0, 8, 0, 3, 0, 1, 0}, 18, "FORMERR"},
        {"ECS family 3",
         {0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 9, 0, 8, 0, 5, 0, 3, 8, 0, 10},
         20,
         "FORMERR"},
        {"ECS source 33",
         {0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 13, 0, 8, 0, 9, 0, 1, 33, 0, 1, 2, 3, 4, 0},
         24,
         "FORMERR"},
        {"ECS scope not zero",
         {0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 9, 0, 8, 0, 5, 0, 1, 8, 8, 10},
         20,
         "FORMERR"},
        {"ECS too many octets",
         {0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 10, 0, 8, 0, 6, 0, 1, 8, 0, 10, 0},
         21,
         "FORMERR"},
        {"ECS too few octets",
         {0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 9, 0, 8, 0, 5, 0, 1, 9, 0, 10},
         20,
         "FORMERR"},
        {"ECS bits behind the source",
         {0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 9, 0, 8, 0, 5, 0, 1, 7, 0, 11},
         20,
         "FORMERR"},
        {"unknown option", {0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 5, 253, 232, 0, 1, 7}, 16, "NOERROR"},
        {"unknown flags", {0, 0, 41, 4, 208, 0, 0, 0x7f, 0xff, 0, 0}, 11, "NOERROR"},
        {"payload 0", {0, 0, 41, 0, 0, 0, 0, 0, 0, 0, 0}, 11, "NOERROR"},
    };
    struct ask ask = {.name = "mail.example.com", .type = DNS_TYPE_A};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t packet[512];
        size_t len = ask_packet(&ask, packet);
        packet[11] = 1;
        memcpy(packet + len, cases[i].opt, cases[i].len);
        const char *got = raw(*state, packet, len + cases[i].len);
        if (strncmp(got, cases[i].want, strlen(cases[i].want)) != 0)
            fail_msg("%s\n got: %s\nwant: %s", cases[i].what, got, cases[i].want);
    }
    /* two OPT records: RFC 6891 6.1.1 */
    uint8_t packet[512];
    size_t len = ask_packet(&ask, packet);
    packet[11] = 2;
    memcpy(packet + len, cases[14].opt, 11);
    packet[len + 3] = 4;
    memcpy(packet + len + 11, packet + len, 11);
    assert_memory_equal(raw(*state, packet, len + 22), "FORMERR", 7);
}

static void names_of_255_octets(void **state)
{
    uint8_t packet[512] = {0x12, 0x34, 1, 0, 0, 1};
    size_t len = 12;

    for (int i = 0; i < 3; i++) { /* 3 × 64 + 50 + 13 = 255 */
        packet[len] = 63;
        memset(packet + len + 1, 'x', 63);
        len += 64;
    }
    packet[len] = 49;
    memset(packet + len + 1, 'y', 49);
    len += 50;
    memcpy(packet + len, "\7example\3com", 13);
    len += 13;
    assert_int_equal(len - 12, 255);
    packet[len + 1] = 1;
    packet[len + 3] = 1;
    assert_memory_equal(raw(*state, packet, len + 4), "NXDOMAIN", 8);

    /* one octet more is no name any more */
    memmove(packet + 12 + 192 + 2, packet + 12 + 192 + 1, 512 - 12 - 192 - 2);
    packet[12 + 192] = 50;
    assert_memory_equal(raw(*state, packet, len + 5), "FORMERR", 7);
}

static void many_labels_are_cheap(void **state)
{
    uint8_t packet[512] = {0x12, 0x34, 1, 0, 0, 1};
    size_t len = 12;

    for (int i = 0; i < 120; i++, len += 2)
        memcpy(packet + len, "\1x", 2);
    memcpy(packet + len, "\7example\3com", 13);
    len += 13;
    packet[len + 1] = 1;
    packet[len + 3] = 1;
    assert_memory_equal(raw(*state, packet, len + 4), "NXDOMAIN", 8);
}

static void answering_allocates_nothing(void **state)
{
    uint8_t query[512], out[4096];
    struct dns_answerer a;
    struct dns_client client = {.family = 4, .proto = DNS_PROTO_UDP};

    dns_answerer_init(&a, 3);
    uint64_t before = gtm_mem_count();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ask ask = {.name = rows[i].name, .type = rows[i].type, .ecs = "192.0.2.0/24"};
        size_t len = ask_packet(&ask, query);
        assert_true(dns_answer(&a, *state, &client, query, len, out, sizeof(out)) >= 12);
    }
    assert_int_equal(gtm_mem_count() - before, 0);
    assert_true(a.counters.n[DNS_CNT_NXDOMAIN] >= 5);
    assert_true(a.counters.n[DNS_CNT_REFERRAL] >= 3);
    assert_int_equal(a.counters.n[DNS_CNT_UDP], sizeof(rows) / sizeof(rows[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_those_of_the_rfcs),
        cmocka_unit_test(any_gets_one_set),
        cmocka_unit_test(dname_overflow_fits_where_its_cname_would_not),
        cmocka_unit_test(dname_below_itself_stands_once),
        cmocka_unit_test(edns_is_echoed),
        cmocka_unit_test(long_answers_are_cut_to_what_the_client_takes),
        cmocka_unit_test(glue_that_does_not_fit_sets_tc),
        cmocka_unit_test(every_truncation_is_answered_or_silent),
        cmocka_unit_test(headers_out_of_order),
        cmocka_unit_test(bad_opt_and_ecs_are_formerr),
        cmocka_unit_test(names_of_255_octets),
        cmocka_unit_test(many_labels_are_cheap),
        cmocka_unit_test(answering_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
