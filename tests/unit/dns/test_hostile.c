/* SPDX-License-Identifier: Apache-2.0
 *
 * What broke other servers, class by class (the names are those of the advisories): each packet
 * here must get a well-formed answer with the right RCODE, or rightly none.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "tests/support/dns_extra.h"
#include "tests/support/dns_world.h"

#include "dns/rr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct dns_view *view; /* two zones, all extras on */

static int group_set_up(void **state)
{
    struct dns_settings s = {.cookies = true,
                             .cookie_keys_count = 1,
                             .nsid = "nsid",
                             .chaos_version = "version",
                             .chaos_hostname = "host"};
    extra_set_up(state);
    view = make_view(&s);
    return 0;
}

static int group_tear_down(void **state)
{
    dns_view_unref(view);
    return 0;
}

/* Asks m from memory of its exact size, checks the answer's form and that over UDP it is no longer
 * than 1,232 octets and what the client takes. Returns the RCODE, 999 for silence. */
static unsigned hostile(void)
{
    unsigned rcode = 999;
    for (int proto = 0; proto < DNS_PROTO_COUNT; proto++) {
        uint8_t *exact = malloc(m.n + 8); /* eight octets may be read behind the end */
        memcpy(exact, m.p, m.n);
        memset(exact + m.n, 0xee, 8);
        client.proto = (enum dns_proto)proto;
        out_len = dns_answer(&answerer, view, &client, exact, m.n, out, sizeof(out));
        const char *wrong = dns_world_check(exact, m.n, out, out_len);
        if (wrong != NULL)
            fail_msg("%s", wrong);
        free(exact);
        if (proto == DNS_PROTO_UDP)
            assert_true(out_len <= DNS_UDP_PAYLOAD_MAX);
        unsigned got = out_len == 0 ? 999 : msg_rcode(out, out_len);
        assert_true(proto == 0 || got == rcode);
        rcode = got;
    }
    return rcode;
}

/* Unknown and unloved opcodes: NOTIMP, no flags but QR and the opcode (Knot; PowerDNS 2016-7068).
 * UPDATE: BIND 2009-0696, in other classes PowerDNS 2026-52682. */
static void opcodes(void **state)
{
    for (unsigned opcode = 1; opcode < 16; opcode++) {
        if (opcode == DNS_OPCODE_NOTIFY)
            continue;
        for (unsigned qclass = 0; qclass < 300; qclass += 51) {
            msg_begin(&m, opcode, "example.com", DNS_TYPE_SOA);
            msg_class(&m, qclass);
            m.p[2] |= 0x07; /* AA, TC, RD */
            m.p[3] = 0xff;
            assert_int_equal(hostile(), DNS_RCODE_NOTIMP);
            assert_int_equal(dns_get16(out + 2), 0x8000 | opcode << 11 | DNS_RCODE_NOTIMP);
            assert_int_equal(out_len, 12);
        }
    }
    for (unsigned qclass = 0; qclass < 300; qclass++) {
        msg_begin(&m, DNS_OPCODE_NOTIFY, "example.com", DNS_TYPE_SOA);
        msg_class(&m, qclass);
        assert_int_equal(hostile(), qclass == 1 ? DNS_RCODE_REFUSED : DNS_RCODE_FORMERR);
    }
}

/* Answers are never answered: packet loops (PowerDNS 2012-0206; NOTIFY 2019-10163). */
static void responses(void **state)
{
    for (unsigned opcode = 0; opcode < 16; opcode++)
        for (unsigned flags = 0; flags < 8; flags++) {
            msg_begin(&m, opcode, "www.example.com", DNS_TYPE_A);
            m.p[2] |= (uint8_t)(0x80 | flags);
            m.p[3] = (uint8_t)(flags * 37);
            assert_int_equal(hostile(), 999);
        }
    for (m.n = 0; m.n < 12; m.n++)
        assert_int_equal(hostile(), 999);
}

/* An answer of ours, sent back, ends there. */
static void no_loop(void **state)
{
    static const char *const names[] = {"www.example.com", "x.example.net", "."};
    for (int i = 0; i < 3; i++) {
        msg_begin(&m, 0, names[i], DNS_TYPE_A);
        hostile();
        memcpy(m.p, out, out_len);
        m.n = out_len;
        assert_int_equal(hostile(), 999);
    }
}

/* Every type of question: QTYPE 65535 and 0, meta types, TKEY (BIND 2015-5477, PowerDNS
 * 2021-36754). */
static void question_types(void **state)
{
    static const char *const names[] = {"www.example.com", "nope.example.com", "example.com"};
    for (unsigned type = 0; type < 65536; type += type < 300 || type > 65500 ? 1 : 97)
        for (int i = 0; i < 3; i++) {
            msg_begin(&m, 0, names[i], type);
            client.proto = DNS_PROTO_UDP;
            unsigned rcode = ask(view), want = i == 1 ? DNS_RCODE_NXDOMAIN : 0;
            if (type == 0 || type == DNS_TYPE_OPT || type == DNS_TYPE_TSIG)
                want = DNS_RCODE_FORMERR;
            else if (type == DNS_TYPE_TKEY)
                want = DNS_RCODE_NOTIMP;
            else if (type == DNS_TYPE_AXFR || type == DNS_TYPE_IXFR)
                continue; /* tested with transfers */
            if (rcode != want)
                fail_msg("type %u of %s: %u, not %u", type, names[i], rcode, want);
        }
    /* a TKEY record beside a TKEY question */
    msg_begin(&m, 0, "key.example.com", DNS_TYPE_TKEY);
    msg_record(&m, 3, "key.example.com", DNS_TYPE_TKEY, DNS_CLASS_ANY, "\0\0\0\0\0\0\0", 7);
    assert_int_equal(hostile(), DNS_RCODE_NOTIMP);
}

/* Every class of question (BIND 2026-5946, PowerDNS). */
static void question_classes(void **state)
{
    for (unsigned qclass = 0; qclass < 65536; qclass += qclass < 300 ? 1 : 101) {
        msg_begin(&m, 0, "www.example.com", DNS_TYPE_A);
        msg_class(&m, qclass);
        client.proto = DNS_PROTO_UDP;
        assert_int_equal(ask(view), qclass == 1 ? 0 : DNS_RCODE_REFUSED);
    }
}

/* The root as QNAME, of every type and opcode (Knot). */
static void root_question(void **state)
{
    for (unsigned type = 1; type < 260; type++) {
        msg_begin(&m, 0, ".", type);
        if (type != DNS_TYPE_OPT && type != DNS_TYPE_TSIG && type != DNS_TYPE_TKEY &&
            type != DNS_TYPE_AXFR && type != DNS_TYPE_IXFR)
            assert_int_equal(hostile(), DNS_RCODE_REFUSED);
    }
    msg_begin(&m, DNS_OPCODE_NOTIFY, ".", DNS_TYPE_SOA);
    assert_int_equal(hostile(), DNS_RCODE_NOTAUTH);
}

/* Names that point: at themselves, forward, at the header, in circles (PowerDNS 2015-1868, NSD
 * 2012-2978); labels of reserved kinds. In the question none is legal, elsewhere they end a name.
 */
static void pointers(void **state)
{
    for (unsigned to = 0; to < 64; to++)
        for (unsigned kind = 1; kind < 4; kind++) {
            uint8_t name[2] = {(uint8_t)(kind << 6), (uint8_t)to};
            msg_begin(&m, 0, NULL, 0);
            m.p[5] = 1;
            msg_octets(&m, name, 2);
            msg_octets(&m, "\0\1\0\1", 4);
            assert_int_equal(hostile(), DNS_RCODE_FORMERR);
            /* the owner of an additional record, of a signature too */
            for (unsigned type = 1; type < 300; type += 249) {
                msg_begin(&m, 0, "www.example.com", DNS_TYPE_A);
                m.p[11] = 1;
                msg_octets(&m, name, 2);
                uint8_t rest[10] = {(uint8_t)(type >> 8), (uint8_t)type, 0, 255};
                msg_octets(&m, rest, 10);
                assert_int_equal(hostile(), kind == 3 && type != 250 ? 0 : DNS_RCODE_FORMERR);
            }
        }
}

/* Many records and long names in a query (BIND 2023-4408): refused or skipped, at a bounded price.
 */
static void many_records(void **state)
{
    msg_begin(&m, 0, "www.example.com", DNS_TYPE_A);
    for (int i = 0; m.n < 65000; i++)
        msg_record(&m, 3, "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p", DNS_TYPE_A, 1, "\1\2\3\4", 4);
    assert_int_equal(hostile(), 0);
    dns_put16(m.p + 10, 65535); /* more than there are */
    assert_int_equal(hostile(), DNS_RCODE_FORMERR);
    dns_put16(m.p + 6, 65535);
    dns_put16(m.p + 8, 65535);
    assert_int_equal(hostile(), DNS_RCODE_FORMERR);
    msg_begin(&m, 0, "www.example.com", DNS_TYPE_A);
    msg_record(&m, 1, "www.example.com", DNS_TYPE_A, 1, "\1\2\3\4", 4); /* an answer in a query */
    assert_int_equal(hostile(), DNS_RCODE_FORMERR);
    msg_begin(&m, 0, "www.example.com", DNS_TYPE_A);
    dns_put16(m.p + 4, 2); /* two questions (RFC 9619) */
    msg_octets(&m, "\0\0\1\0\1", 5);
    assert_int_equal(hostile(), DNS_RCODE_FORMERR);
}

/* OPT: huge options, many options, two, in the wrong section, version 1, NSID that is not empty
 * (PowerDNS 2016-5426, Knot). */
static void edns(void **state)
{
    static uint8_t zeros[60000];
    static const unsigned codes[] = {3, 9, 11, 12, 13, 14, 15, 16, 65001};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        msg_begin(&m, 0, "www.example.com", DNS_TYPE_A);
        msg_opt(&m, 65535);
        msg_option(&m, codes[i], zeros, sizeof(zeros));
        assert_int_equal(hostile(), 0);
    }
    msg_begin(&m, 0, "www.example.com", DNS_TYPE_A);
    msg_opt(&m, 65535);
    for (int i = 0; i < 10000; i++)
        msg_option(&m, 3 + 8 * (i & 1), NULL, 0);
    assert_int_equal(hostile(), 0);
    for (int i = 0; i < 1000; i++)
        msg_option(&m, 10, "12345678", 8);
    assert_int_equal(hostile(), 0);
    for (unsigned version = 1; version < 256; version++) {
        msg_begin(&m, 0, "www.example.com", DNS_TYPE_A);
        msg_opt(&m, 1232);
        m.p[m.opt - 3] = (uint8_t)version;
        assert_int_equal(hostile(), DNS_RCODE_BADVERS);
        assert_int_equal(out[6] | out[7], 0);
    }
    for (unsigned section = 1; section < 3; section++) {
        msg_begin(&m, 0, "www.example.com", DNS_TYPE_A);
        msg_record(&m, section, NULL, DNS_TYPE_OPT, 1232, NULL, 0);
        assert_int_equal(hostile(), DNS_RCODE_FORMERR);
    }
    msg_begin(&m, DNS_OPCODE_NOTIFY, "example.com", DNS_TYPE_SOA);
    msg_record(&m, 1, NULL, DNS_TYPE_OPT, 1232, NULL, 0);
    assert_int_equal(hostile(), DNS_RCODE_FORMERR);
}

/* Malformed signatures (BIND 2017-3142, 2020-8617; PowerDNS 2020-24696): cut at every octet, each
 * octet changed in turn. Never data. */
static void signatures(void **state)
{
    struct dns_tsig tsig;
    msg_begin(&m, 0, "www.example.com", DNS_TYPE_A);
    size_t plain = m.n;
    m.n = dns_tsig_sign_request(&tsig, &key, m.p, m.n, sizeof(m.p), WALL_S);
    size_t whole = m.n;
    for (m.n = plain; m.n < whole; m.n++)
        assert_int_equal(hostile(), DNS_RCODE_FORMERR);
    for (size_t at = plain; at < whole; at++)
        for (unsigned flip = 1; flip < 256; flip <<= 1) {
            m.p[at] ^= (uint8_t)flip;
            m.n = whole;
            unsigned rcode = hostile();
            bool is_case = flip == 0x20 && rcode == 0;         /* a letter of a name */
            bool not_tsig = at >= plain + 6 && at < plain + 8; /* another type: just a record */
            assert_true(rcode == DNS_RCODE_FORMERR || rcode == DNS_RCODE_NOTAUTH || is_case ||
                        not_tsig);
            m.p[at] ^= (uint8_t)flip;
        }
    /* BIND 2020-8617: error BADTIME in a request, with and without other data */
    static const uint8_t badtime[] =
        "\x0bhmac-sha256\0\0\0\x65\x53\xf1\0\1\x2c\0\0\x12\x34\0\x12\0\0";
    msg_begin(&m, 0, "www.example.com", DNS_TYPE_A);
    msg_record(&m, 3, "xfer", DNS_TYPE_TSIG, DNS_CLASS_ANY, badtime, sizeof(badtime) - 1);
    assert_int_equal(hostile(), DNS_RCODE_FORMERR); /* no MAC for a known key */
    msg_begin(&m, 0, "www.example.com", DNS_TYPE_A);
    msg_record(&m, 3, "unknown", DNS_TYPE_TSIG, DNS_CLASS_ANY, badtime, sizeof(badtime) - 1);
    assert_int_equal(hostile(), DNS_RCODE_NOTAUTH);
    assert_int_equal(out[7], 0);
}

/* A client gets nothing that another asked for (PowerDNS 2018-14626): the same question in all
 * disguises, then plain again, gives the same octets. */
static void nothing_leaks(void **state)
{
    static uint8_t plain[1500];
    client.proto = DNS_PROTO_UDP;
    for (unsigned i = 0; i < 200; i++) {
        msg_begin(&m, 0, "www.example.com", DNS_TYPE_A);
        size_t n = m.n;
        unsigned what = i % 8;
        if (what != 0)
            msg_opt(&m, what == 1 ? 512 : 4096);
        if (what == 2)
            m.p[m.opt - 2] |= 0x80; /* DO */
        if (what == 3)
            msg_option(&m, 8, "\0\1\x18\0\xcb\0\x71", 7);
        if (what == 4)
            msg_option(&m, 10, "12345678", 8);
        if (what == 5)
            msg_option(&m, 3, NULL, 0);
        if (what == 6)
            m.p[3] |= 0x10; /* CD: comes back (RFC 4035 3.1.6) */
        assert_int_equal(ask(view), 0);
        assert_int_equal(out[3] & 0x10, what == 6 ? 0x10 : 0);
        if (i == 0)
            memcpy(plain, out, out_len);
        if (what == 0)
            assert_int_equal(out_len, n + 16);
        else
            assert_int_equal(out[11], 1);
        assert_memory_equal(out + 12, plain + 12, n + 16 - 12);
    }
}

/* Every octet that goes out was written (PowerDNS 2020-17482): the same answer into memory of two
 * patterns, for many queries. */
static void no_old_memory(void **state)
{
    static const char *const names[] = {"www.example.com",   "nope.example.com", "example.com",
                                        "x.sub.example.com", "version.bind",     "x.org"};
    static uint8_t first[65535];
    for (unsigned i = 0; i < 6 * 128; i++) {
        struct dns_answerer a[2];
        struct dns_tsig tsig;
        unsigned what = i / 6;
        msg_begin(&m, what & 64 ? DNS_OPCODE_NOTIFY : 0, names[i % 6],
                  what & 64 ? DNS_TYPE_SOA
                  : i % 2   ? DNS_TYPE_TXT
                            : DNS_TYPE_A);
        if (i % 6 == 4)
            msg_class(&m, DNS_CLASS_CH);
        if ((what & 31) != 0)
            msg_opt(&m, 1232);
        if (what & 1)
            msg_option(&m, 8, "\0\2\x11\0\x20\1\x80", 7);
        if (what & 2)
            msg_option(&m, 10, "12345678", 8);
        if (what & 4)
            msg_option(&m, 3, NULL, 0);
        if (what & 8)
            msg_option(&m, 12, NULL, 0);
        if (what & 16)
            msg_option(&m, 11, NULL, 0);
        if (what & 32)
            m.n = dns_tsig_sign_request(&tsig, what & 1 ? &key : &other_key, m.p, m.n, sizeof(m.p),
                                        WALL_S);
        client.proto = (enum dns_proto)(i % DNS_PROTO_COUNT);
        for (int k = 0; k < 2; k++) {
            dns_answerer_init(&a[k], 1);
            a[k].clock = &fake.clock;
            a[k].keepalive = 7;
            memset(out, k ? 0xaa : 0x55, 2048);
            out_len = dns_answer(&a[k], view, &client, m.p, m.n, out, sizeof(out));
            assert_true(out_len >= 12 && out_len < 2048);
            assert_null(dns_world_check(m.p, m.n, out, out_len));
            if (k == 0)
                memcpy(first, out, out_len);
        }
        assert_memory_equal(first, out, out_len);
    }
}

/* What a stranger can make of us over UDP: at most 1,232 octets, whatever size the query claims. */
static void amplification(void **state)
{
    struct dns_view *world = dns_world();
    static const char *const names[] = {"example.com",     "www.example.com", "w1.example.com",
                                        "a.w.example.com", "txt.example.com", "a.sub.example.com"};
    static const unsigned types[] = {1, 2, 6, 15, 16, 28, 33, 255, 64, 65};
    client.proto = DNS_PROTO_UDP;
    for (unsigned i = 0; i < 60; i++)
        for (unsigned payload = 0; payload <= 65535; payload += 4095) {
            msg_begin(&m, 0, names[i % 6], types[i / 6]);
            size_t bare = m.n;
            ask(world);
            assert_in_range(out_len, bare, 512);
            msg_opt(&m, payload);
            ask(world);
            assert_in_range(out_len, bare, payload < 512 ? 512 : 1232);
        }
    /* ANY gets one set, not all (RFC 8482) */
    msg_begin(&m, 0, "example.com", DNS_TYPE_ANY);
    msg_opt(&m, 4096);
    assert_int_equal(ask(world), 0);
    size_t at = 12 + 13 + 4 + 2;
    unsigned type = dns_get16(out + at), answers = dns_get16(out + 6);
    assert_true(answers >= 1);
    for (unsigned i = 0; i < answers; i++) {
        assert_int_equal(dns_get16(out + at), type);
        at += 10u + dns_get16(out + at + 8) + 2;
    }
    dns_view_unref(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opcodes),
        cmocka_unit_test(responses),
        cmocka_unit_test(no_loop),
        cmocka_unit_test(question_types),
        cmocka_unit_test(question_classes),
        cmocka_unit_test(root_question),
        cmocka_unit_test(pointers),
        cmocka_unit_test(many_records),
        cmocka_unit_test(edns),
        cmocka_unit_test(signatures),
        cmocka_unit_test(nothing_leaks),
        cmocka_unit_test(no_old_memory),
        cmocka_unit_test(amplification),
    };
    return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
