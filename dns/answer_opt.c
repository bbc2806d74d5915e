/* SPDX-License-Identifier: Apache-2.0
 *
 * What surrounds an answer: OPT and its options (RFC 6891), truncation, the header, the counters.
 */
#include "dns/answer_int.h"

enum { EDNS_OPTION_ECS = 8, EDNS_OPTION_EDE = 15 };

void dns__truncate(struct dns__compose *c)
{
    c->flags |= FLAG_TC;
    c->len = 12u + c->q->qname_len + 4u;
    memset(c->counts, 0, sizeof(c->counts));
}

unsigned dns__opt_bytes(const struct dns_query *q)
{
    if (!q->edns)
        return 0;
    return 11u + (q->ecs ? 8u + (q->ecs_source + 7u) / 8u : 0u);
}

static void put_opt(struct dns__compose *c, size_t room)
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
    unsigned text = c->ede_from != NULL ? c->ede_from->ede_len : 0;
    if (c->ede >= 0 && c->len + n + 6u + text <= room) {
        dns_put16(opt + n, EDNS_OPTION_EDE);
        dns_put16(opt + n + 2, (uint16_t)(2 + text));
        dns_put16(opt + n + 4, (uint16_t)c->ede);
        if (text > 0)
            memcpy(opt + n + 6, c->ede_from->ede_text, text);
        n += 6 + text;
    }
    dns_put16(opt + 9, (uint16_t)(n - 11));
    c->len += n;
    c->counts[SEC_ADDITIONAL]++;
}

static void count_answer(const struct dns__compose *c)
{
    static const uint8_t by_rcode[16] = {
        [DNS_RCODE_NOERROR] = DNS_CNT_NOERROR,   [DNS_RCODE_FORMERR] = DNS_CNT_FORMERR,
        [DNS_RCODE_SERVFAIL] = DNS_CNT_SERVFAIL, [DNS_RCODE_NXDOMAIN] = DNS_CNT_NXDOMAIN,
        [DNS_RCODE_NOTIMP] = DNS_CNT_NOTIMP,     [DNS_RCODE_REFUSED] = DNS_CNT_REFUSED,
        [RCODE_YXDOMAIN] = DNS_CNT_NOERROR};
    struct dns_answerer *a = c->a;
    const struct dns_query *q = c->q;

    if (c->rcode == DNS_RCODE_BADVERS)
        DNS__COUNT(a, DNS_CNT_BADVERS, 1);
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
    count_answer(c);
    return c->len;
}
