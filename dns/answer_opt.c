/* SPDX-License-Identifier: Apache-2.0
 *
 * What surrounds an answer: OPT and its options (RFC 6891), truncation, the header, the signature,
 * the counters.
 */
#include "dns/answer_int.h"
#include "dns/extra.h"

enum { EDNS_OPTION_ECS = 8, EDNS_OPTION_PADDING = 12, EDNS_OPTION_EDE = 15 };
enum { PAD_BLOCK = 468 }; /* octets, RFC 8467 4.1 */

void dns__truncate(struct dns__compose *c)
{
    c->flags |= FLAG_TC;
    c->len = 12u + (c->q->qname_len > 0 ? c->q->qname_len + 4u : 0u);
    memset(c->counts, 0, sizeof(c->counts));
}

/* Padding stands last and counts the signature that follows (RFC 7830 3, 8467 4.1). n: octets of
 * OPT so far. Returns the option's octets. */
static unsigned put_padding(const struct dns__compose *c, unsigned n, size_t room)
{
    size_t tsig = c->tsig != NULL ? dns_tsig_room(c->tsig) : 0;
    size_t least = c->len + n + 4 + tsig;
    size_t want = (least + PAD_BLOCK - 1) / PAD_BLOCK * PAD_BLOCK;
    uint8_t *out = c->out + c->len + n;

    if (c->len + n + 4 > room)
        return 0;
    size_t pad = (want > room + tsig ? room + tsig : want) - least;
    dns_put16(out, EDNS_OPTION_PADDING);
    dns_put16(out + 2, (uint16_t)pad);
    memset(out + 4, 0, pad);
    return 4 + (unsigned)pad;
}

static inline void put_opt(struct dns__compose *c, size_t room)
{
    const struct dns_query *q = c->q;
    uint8_t *opt = c->out + c->len;
    unsigned n = 11;

    opt[0] = 0;
    dns_put16(opt + 1, DNS_TYPE_OPT);
    dns_put16(opt + 3, DNS_UDP_PAYLOAD_MAX);
    opt[5] = (uint8_t)(c->rcode >> 4);
    opt[6] = 0;
    dns_put16(opt + 7, q->dnssec_ok ? 0x8000 : 0);
    if (q->ecs) {
        unsigned octets = (q->ecs_source + 7u) / 8u;
        dns_put16(opt + n, EDNS_OPTION_ECS);
        dns_put16(opt + n + 2, (uint16_t)(4 + octets));
        dns_put16(opt + n + 4, q->ecs_family == 4 ? 1 : 2);
        opt[n + 6] = q->ecs_source;
        opt[n + 7] = c->scope;
        memcpy(opt + n + 8, q->ecs_addr, octets);
        n += 8 + octets;
    }
    if (__builtin_expect(q->extra != 0, 0))
        n += dns__extra_options(c, opt + n);
    if (c->ede < 0 && __builtin_expect(c->rcode >= DNS_RCODE_NOTIMP, 0))
        c->ede = dns__extra_ede(c);
    unsigned text = c->ede_from != NULL ? c->ede_from->ede_len : 0;
    if (c->ede >= 0 && c->len + n + 6u + text <= room) {
        dns_put16(opt + n, EDNS_OPTION_EDE);
        dns_put16(opt + n + 2, (uint16_t)(2 + text));
        dns_put16(opt + n + 4, (uint16_t)c->ede);
        if (text > 0)
            memcpy(opt + n + 6, c->ede_from->ede_text, text);
        n += 6 + text;
    }
    if (__builtin_expect((q->extra & DNS__EXTRA_PADDING) != 0, 0) &&
        c->client->proto == DNS_PROTO_TLS)
        n += put_padding(c, n, room);
    dns_put16(opt + 9, (uint16_t)(n - 11));
    c->len += n;
    c->counts[SEC_ADDITIONAL]++;
}

static inline __attribute__((always_inline)) void count_answer(const struct dns__compose *c)
{
    static const uint8_t by_rcode[16] = {
        [DNS_RCODE_NOERROR] = DNS_CNT_NOERROR,   [DNS_RCODE_FORMERR] = DNS_CNT_FORMERR,
        [DNS_RCODE_SERVFAIL] = DNS_CNT_SERVFAIL, [DNS_RCODE_NXDOMAIN] = DNS_CNT_NXDOMAIN,
        [DNS_RCODE_NOTIMP] = DNS_CNT_NOTIMP,     [DNS_RCODE_REFUSED] = DNS_CNT_REFUSED,
        [RCODE_YXDOMAIN] = DNS_CNT_NOERROR,      [DNS_RCODE_NOTAUTH] = DNS_CNT_NOTAUTH};
    struct dns_answerer *a = c->a;
    const struct dns_query *q = c->q;

    if (c->rcode > 15)
        DNS__COUNT(a, c->rcode == DNS_RCODE_BADVERS ? DNS_CNT_BADVERS : DNS_CNT_BADCOOKIE, 1);
    else if (c->referral)
        DNS__COUNT(a, DNS_CNT_REFERRAL, 1);
    else if (c->nodata)
        DNS__COUNT(a, DNS_CNT_NODATA, 1);
    else
        DNS__COUNT(a, by_rcode[c->rcode & 15], 1);
    if ((c->flags & FLAG_TC) != 0)
        DNS__COUNT(a, DNS_CNT_TRUNCATED, 1);
    if (q->edns)
        DNS__COUNT(a, DNS_CNT_EDNS, 1);
    if (q->ecs)
        DNS__COUNT(a, DNS_CNT_ECS, 1);
    if (q->qname_len > 0) {
        unsigned type = q->qtype == DNS_TYPE_A      ? DNS_CNT_TYPE_A
                        : q->qtype == DNS_TYPE_AAAA ? DNS_CNT_TYPE_AAAA
                                                    : DNS_CNT_TYPE_OTHER;
        DNS__COUNT(a, type, 1);
    }
    DNS__COUNT(a, DNS_CNT_BYTES_OUT, c->len);
}

static __attribute__((noinline)) size_t finish_signed(struct dns__compose *c, size_t room)
{
    if (c->tsig != NULL)
        c->len = (unsigned)dns_tsig_sign_answer(c->tsig, c->out, c->len,
                                                room + dns_tsig_room(c->tsig), dns__wall_s(c->a));
    count_answer(c);
    return c->len;
}

size_t dns__finish(struct dns__compose *c, size_t room)
{
    const struct dns_query *q = c->q;
    uint8_t *out = c->out;

    if (q->edns)
        put_opt(c, room);
    memcpy(out, q->packet, 2);
    dns_put16(out + 2, (uint16_t)(FLAG_QR | c->flags | (c->rcode & 15)));
    dns_put16(out + 4, q->qname_len > 0);
    dns_put16(out + 6, (uint16_t)c->counts[SEC_ANSWER]);
    dns_put16(out + 8, (uint16_t)c->counts[SEC_AUTHORITY]);
    dns_put16(out + 10, (uint16_t)c->counts[SEC_ADDITIONAL]);
    if (__builtin_expect(q->extra != 0, 0))
        return finish_signed(c, room);
    count_answer(c);
    return c->len;
}
