/* SPDX-License-Identifier: Apache-2.0
 *
 * Who may have a zone: signature, zone, rule, in this order; what is said instead of a transfer.
 */
#include "dns/xfer_int.h"

#include <string.h>

enum { FLAG_QR = 0x8000, FLAG_AA = 0x0400, FLAG_OPCODE = 0x7800, FLAG_RD = 0x0100 };
enum { EDNS_OPTION_EDE = 15 };
enum { EDE_NONE = -1, EDE_OTHER = 0, EDE_PROHIBITED = 18, EDE_NOT_AUTHORITATIVE = 20 };
enum { EDE_INVALID_DATA = 24 };

/* ---- parts of messages ---- */

void dns__xfer_head(uint8_t *out, const uint8_t head[4], unsigned rcode, bool aa)
{
    unsigned flags = FLAG_QR | (dns_get16(head + 2) & (FLAG_OPCODE | FLAG_RD)) | (rcode & 15u);

    memset(out, 0, 12);
    memcpy(out, head, 2);
    dns_put16(out + 2, (uint16_t)(flags | (aa ? FLAG_AA : 0)));
}

size_t dns__xfer_question(uint8_t *out, const uint8_t *question, size_t len)
{
    memcpy(out + 12, question, len);
    dns_put16(out + 4, 1);
    return 12 + len;
}

size_t dns__xfer_opt(uint8_t *out, size_t len, int ede, unsigned rcode)
{
    uint8_t *opt = out + len;

    memset(opt, 0, DNS__XFER_OPT);
    dns_put16(opt + 1, DNS_TYPE_OPT);
    dns_put16(opt + 3, DNS_UDP_PAYLOAD_MAX);
    opt[5] = (uint8_t)(rcode >> 4);
    dns_put16(out + 10, (uint16_t)(dns_get16(out + 10) + 1));
    if (ede < 0)
        return len + DNS__XFER_OPT;
    dns_put16(opt + 9, 6);
    dns_put16(opt + 11, EDNS_OPTION_EDE);
    dns_put16(opt + 13, 2);
    dns_put16(opt + 15, (uint16_t)ede);
    return len + DNS__XFER_OPT + 6;
}

/* ---- answers of one message ---- */

struct request {
    const struct dns_query *q;
    struct dns_tsig tsig;
    uint64_t now_s;
    uint8_t *out;
    size_t room;
};

static size_t finish(struct request *r, size_t len, int ede)
{
    if (r->q->edns)
        len = dns__xfer_opt(r->out, len, ede, 0);
    len = dns_tsig_sign_answer(&r->tsig, r->out, len, r->room, r->now_s);
    dns_tsig_fini(&r->tsig);
    return len;
}

static size_t refuse(struct request *r, unsigned rcode, int ede)
{
    dns__xfer_head(r->out, r->q->packet, rcode, false);
    return finish(r, dns__xfer_question(r->out, r->q->packet + 12, r->q->qname_len + 4u), ede);
}

/* RFC 1995 2 and 4: up to date, or come back by TCP. */
static size_t only_soa(struct request *r, const struct dns_zone *zone)
{
    uint8_t rdata[DNS_SOA_RDATA_MAX];
    uint32_t ttl_s;
    size_t n = dns_zone_soa(zone, rdata, &ttl_s);

    dns__xfer_head(r->out, r->q->packet, DNS_RCODE_NOERROR, true);
    size_t len = dns__xfer_question(r->out, r->q->packet + 12, r->q->qname_len + 4u);
    if (len + DNS_RR_FIXED + n + DNS__XFER_OPT + dns_tsig_room(&r->tsig) > r->room) {
        r->out[2] |= 0x02; /* TC */
        return finish(r, len, EDE_NONE);
    }
    uint8_t *rr = r->out + len;
    dns_put16(rr, DNS_POINTER_QNAME);
    dns_put16(rr + 2, DNS_TYPE_SOA);
    dns_put16(rr + 4, DNS_CLASS_IN);
    dns_put32(rr + 6, ttl_s);
    dns_put16(rr + 10, (uint16_t)n);
    memcpy(rr + DNS_RR_FIXED, rdata, n);
    dns_put16(r->out + 6, 1);
    return finish(r, len + DNS_RR_FIXED + n, EDE_NONE);
}

/* ---- judging ---- */

/* Skips a name that may be compressed; 0 = cut off. */
static size_t skip_name(const uint8_t *msg, size_t len, size_t at)
{
    while (at < len) {
        if (msg[at] == 0)
            return at + 1;
        if ((msg[at] & 0xc0) == 0xc0)
            return at + 2 <= len ? at + 2 : 0;
        at += msg[at] + 1u;
    }
    return 0;
}

/* The serial that an IXFR's client has: of the SOA in the authority section. */
static bool client_serial(const struct dns_query *q, uint32_t *ret)
{
    const uint8_t *msg = q->packet;
    size_t len = q->packet_len, at = skip_name(msg, len, 12u + q->qname_len + 4u);

    if (dns_get16(msg + 6) != 0 || dns_get16(msg + 8) == 0 || at == 0 || at + 10 > len ||
        dns_get16(msg + at) != DNS_TYPE_SOA)
        return false;
    size_t end = at + 10 + dns_get16(msg + at + 8);
    at = skip_name(msg, len, at + 10);
    at = at ? skip_name(msg, len, at) : 0;
    if (at == 0 || end > len || at + 20 != end)
        return false;
    *ret = dns_get32(msg + at);
    return true;
}

static bool allowed(const struct dns_zone_peers *peers, const struct dns_client *client,
                    const struct dns_tsig_key *key)
{
    for (size_t i = 0; peers != NULL && i < peers->transfer_count; i++) {
        const struct dns_peer *rule = &peers->transfer[i];
        if (!dns_networks_have(&rule->network, 1, client->family, client->addr))
            continue;
        if (rule->key == NULL || (key != NULL && dns_name_equal(rule->key->name, key->name)))
            return true;
    }
    return false;
}

static const struct dns_view_zone *zone_of(const struct dns_view *view, const struct dns_query *q)
{
    if (q->qclass != DNS_CLASS_IN)
        return NULL;
    const struct dns_view_zone *z =
        dns__view_find(view, q->qname, q->qname_len, q->offsets, q->hashes, q->labels, 0);
    return z != NULL && z->zone->apex_len == q->qname_len ? z : NULL;
}

unsigned dns__xfer_judge(const struct dns_query *q, const struct dns_view *view,
                         const struct dns_client *client, const struct dns_tsig_key *key,
                         const struct dns_view_zone **ret_zone, bool *ret_only_soa, int *ret_ede)
{
    bool udp = client->proto == DNS_PROTO_UDP, ixfr = q->qtype == DNS_TYPE_IXFR;
    uint32_t serial = 0;

    *ret_ede = EDE_NONE;
    if ((udp && !ixfr) || (ixfr && !client_serial(q, &serial)))
        return DNS_RCODE_FORMERR;
    const struct dns_view_zone *zone = zone_of(view, q);
    if (zone == NULL) {
        *ret_ede = EDE_NOT_AUTHORITATIVE;
        return DNS_RCODE_NOTAUTH;
    }
    if (!allowed(zone->peers, client, key)) {
        *ret_ede = EDE_PROHIBITED;
        return DNS_RCODE_REFUSED;
    }
    if (zone->expired) {
        *ret_ede = EDE_INVALID_DATA;
        return DNS_RCODE_SERVFAIL;
    }
    *ret_zone = zone;
    /* RFC 1982: not older than ours */
    *ret_only_soa = ixfr && (udp || (int32_t)(serial - zone->zone->info.serial) >= 0);
    return DNS_RCODE_NOERROR;
}

size_t dns_xfer_out_begin(const struct dns_query *q, const struct dns_view *view,
                          const struct dns_client *client, bool may_run, uint64_t now_s,
                          uint8_t *out, size_t room, struct dns_xfer_out **ret_xfer)
{
    struct request r = {.q = q, .now_s = now_s, .out = out, .room = room};
    const struct dns_view_zone *zone = NULL;
    bool soa = false;
    size_t len;
    int ede;

    *ret_xfer = NULL;
    switch (dns_tsig_check_request(&r.tsig, view->settings->keys, view->settings->keys_count,
                                   q->packet, q->packet_len, now_s, &len)) {
    case DNS_TSIG_NONE:
    case DNS_TSIG_GOOD:
        break;
    case DNS_TSIG_FORMERR:
        return refuse(&r, DNS_RCODE_FORMERR, EDE_NONE);
    default:
        return refuse(&r, DNS_RCODE_NOTAUTH, EDE_NONE);
    }
    unsigned rcode = dns__xfer_judge(q, view, client, r.tsig.key, &zone, &soa, &ede);
    if (rcode != DNS_RCODE_NOERROR)
        return refuse(&r, rcode, ede);
    if (soa)
        return only_soa(&r, zone->zone);
    if (!may_run)
        return refuse(&r, DNS_RCODE_SERVFAIL, EDE_OTHER);
    *ret_xfer = dns__xfer_new(q, view, zone, &r.tsig);
    return *ret_xfer == NULL ? refuse(&r, DNS_RCODE_SERVFAIL, EDE_NONE) : 0;
}
