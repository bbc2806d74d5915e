/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads a query: header, question, EDNS(0) with client subnet and what else few queries carry.
 * Whatever bytes come, the outcome is an RCODE to send, a query to answer, or silence (RFC
 * 1035 4.1, 1996 3, 6891 6, 7871 6 and 7.1, 7873 5.2, 8906, 9619). A signature is only found here;
 * dns/extra.c checks it.
 */
#include "dns/answer.h"
#include "dns/cookie.h"
#include "dns/extra.h"
#include "dns/leaf.h"
#include "dns/rr.h"
#include "dns/steer_int.h"

#define DROP (-1)

enum {
    EDNS_OPTION_NSID = 3,
    EDNS_OPTION_ECS = 8,
    EDNS_OPTION_COOKIE = 10,
    EDNS_OPTION_KEEPALIVE = 11,
    EDNS_OPTION_PADDING = 12
};

/* Lowers ASCII letters; length octets are below 'A' and stay. (RFC 4343; SWAR) */
static inline uint64_t lower_word(uint64_t w)
{
    uint64_t heptets = w & 0x7f7f7f7f7f7f7f7fu;
    uint64_t above = heptets + 0x3f3f3f3f3f3f3f3fu; /* bit 7: ≥ 'A' */
    uint64_t below = heptets + 0x2525252525252525u; /* bit 7: > 'Z' */

    return w | ((above & ~below & ~w) & 0x8080808080808080u) >> 2;
}

/* Copies a name in lower case, eight octets at a time. Four octets behind it may be read: type and
 * class. Up to seven behind the copy are written. */
static inline void lower_name(uint8_t *to, const uint8_t *from, unsigned len)
{
    uint64_t w;
    uint32_t last;
    unsigned i = 0;

    for (; i + 4 < len; i += 8) {
        memcpy(&w, from + i, 8);
        w = lower_word(w);
        memcpy(to + i, &w, 8);
    }
    if (i < len) {
        memcpy(&last, from + i, 4);
        last = (uint32_t)lower_word(last);
        memcpy(to + i, &last, 4);
    }
}

/* The question at packet + 12. Returns the offset behind it, 0 when it is malformed. */
static inline __attribute__((always_inline)) unsigned
read_question(struct dns_query *q, const uint8_t *packet, unsigned len)
{
    unsigned at = 12, labels = 0, end = len < 12 + DNS_NAME_MAX ? len : 12 + DNS_NAME_MAX;

    for (;;) {
        if (at >= end)
            return 0; /* cut off, or too long */
        uint8_t n = packet[at];
        if (n == 0)
            break;
        if (n > DNS_LABEL_MAX)
            return 0; /* compression pointers have no place in a first name */
        q->offsets[labels++] = (uint8_t)(at - 12);
        at += n + 1u;
    }
    at++;
    if (at + 4 > len)
        return 0;
    q->qname_len = (uint8_t)(at - 12);
    q->labels = (uint8_t)labels;
    lower_name(q->qname, packet + 12, q->qname_len);
    memset(q->qname + q->qname_len, 0, DNS_HASH_PAD);
    uint64_t h = DNS_HASH_ROOT;
    q->hashes[labels] = h;
    for (unsigned i = labels; i-- > 0;) {
        h = dns__hash_label(h, q->qname + q->offsets[i]);
        q->hashes[i] = h;
    }
    q->qtype = dns_get16(packet + at);
    q->qclass = dns_get16(packet + at + 2);
    return at + 4;
}

/* RFC 7871 6: family, source and scope lengths, just as many address octets as the source needs,
 * spare bits zero. */
static bool read_ecs(struct dns_query *q, const uint8_t *data, unsigned len)
{
    if (q->ecs || len < 4)
        return false;
    uint16_t family = dns_get16(data);
    unsigned source = data[2], scope = data[3], octets = (source + 7) / 8;
    if (scope != 0 || (family != 1 && family != 2) || source > (family == 1 ? 32u : 128u) ||
        len != 4 + octets)
        return false;
    if ((source & 7) != 0 && (data[4 + octets - 1] & (0xff >> (source & 7))) != 0)
        return false;
    memset(q->ecs_addr, 0, sizeof(q->ecs_addr));
    memcpy(q->ecs_addr, data + 4, octets);
    q->ecs = true;
    q->ecs_family = family == 1 ? 4 : 6;
    q->ecs_source = (uint8_t)source;
    return true;
}

/* Any other option than ECS; n octets at packet + at. Unknown ones are ignored (RFC 6891 6.1.2).
 * Returns an RCODE. */
static __attribute__((noinline)) int read_option(struct dns_query *q, unsigned code, unsigned at,
                                                 unsigned n)
{
    switch (code) {
    case EDNS_OPTION_NSID:
        q->extra |= DNS__EXTRA_NSID;
        break;
    case EDNS_OPTION_COOKIE:
        if (!dns_cookie_length_legal(n))
            return DNS_RCODE_FORMERR;
        if ((q->extra & DNS__EXTRA_COOKIE) != 0)
            break; /* the first counts */
        q->extra |= DNS__EXTRA_COOKIE;
        q->cookie_at = (uint16_t)at;
        q->cookie_len = (uint8_t)n;
        break;
    case EDNS_OPTION_KEEPALIVE:
        q->extra |= DNS__EXTRA_KEEPALIVE;
        break;
    case EDNS_OPTION_PADDING:
        q->extra |= DNS__EXTRA_PADDING;
        break;
    default:
        break;
    }
    return DNS_RCODE_NOERROR;
}

/* The OPT record whose type stands at packet + at; its owner was the root. Returns an RCODE. */
static int read_opt(struct dns_query *q, const uint8_t *packet, unsigned at, unsigned rdlen)
{
    const uint8_t *opt = packet + at;
    unsigned end = 10 + rdlen;

    if (q->edns)
        return DNS_RCODE_FORMERR; /* more than one: RFC 6891 6.1.1 */
    q->edns = true;
    q->payload = dns_get16(opt + 2);
    q->dnssec_ok = (opt[6] & 0x80) != 0;
    if (opt[5] != 0)
        return DNS_RCODE_BADVERS;
    for (unsigned o = 10; o < end;) {
        if (end - o < 4)
            return DNS_RCODE_FORMERR;
        unsigned code = dns_get16(opt + o), n = dns_get16(opt + o + 2);
        o += 4;
        if (end - o < n)
            return DNS_RCODE_FORMERR;
        if (code == EDNS_OPTION_ECS) {
            if (!read_ecs(q, opt + o, n)) {
                q->ecs = false;
                return DNS_RCODE_FORMERR;
            }
        } else if (read_option(q, code, at + o, n) != DNS_RCODE_NOERROR) {
            return DNS_RCODE_FORMERR;
        }
        o += n;
    }
    return DNS_RCODE_NOERROR;
}

/* Skips an owner name; compression pointers end it. 0 = malformed. */
static unsigned skip_name(const uint8_t *packet, unsigned at, unsigned len)
{
    unsigned octets = 0;

    while (at < len) {
        uint8_t n = packet[at];
        if (n == 0)
            return at + 1;
        if ((n & 0xc0) == 0xc0)
            return at + 2 <= len ? at + 2 : 0;
        octets += n + 1u;
        if (n > DNS_LABEL_MAX || octets >= DNS_NAME_MAX)
            return 0;
        at += n + 1u;
    }
    return 0;
}

/* Walks the records behind the question; only OPT and TSIG in the last section mean something (the
 * hint that a NOTIFY may bring does not). Returns an RCODE. */
static inline __attribute__((always_inline)) int
read_rest(struct dns_query *q, const uint8_t *packet, unsigned at, unsigned len)
{
    unsigned answers = dns_get16(packet + 6), authority = dns_get16(packet + 8);
    unsigned total = answers + authority + dns_get16(packet + 10);
    int rcode = DNS_RCODE_NOERROR;

    if (answers != 0 && (q->extra & DNS__EXTRA_NOTIFY) == 0)
        return DNS_RCODE_FORMERR;
    for (unsigned i = 0; i < total; i++) {
        unsigned owner = at;
        at = skip_name(packet, at, len);
        if (at == 0 || at + 10 > len)
            return DNS_RCODE_FORMERR;
        unsigned type = dns_get16(packet + at), rdlen = dns_get16(packet + at + 8);
        if (at + 10 + rdlen > len)
            return DNS_RCODE_FORMERR;
        if (type == DNS_TYPE_OPT) {
            if (i < answers + authority || packet[owner] != 0)
                return DNS_RCODE_FORMERR;
            int rc = read_opt(q, packet, at, rdlen);
            rcode = rcode == DNS_RCODE_NOERROR || rc == DNS_RCODE_FORMERR ? rc : rcode;
        } else if (type == DNS_TYPE_TSIG) {
            q->extra |= DNS__EXTRA_TSIG;
        }
        at += 10 + rdlen;
    }
    return at == len ? rcode : DNS_RCODE_FORMERR;
}

/* What may be asked, of a message that is well formed. Returns an RCODE. */
static inline int judge_question(struct dns_query *q)
{
    if (q->qtype - 1u < DNS_TYPE_OPT - 1u && q->qclass == DNS_CLASS_IN)
        return DNS_RCODE_NOERROR; /* nearly always */
    switch (q->qtype) {
    case DNS_TYPE_OPT:
    case DNS_TYPE_TSIG:
    case 0:
        return DNS_RCODE_FORMERR; /* meta types that nobody can ask for */
    case DNS_TYPE_TKEY:
        return DNS_RCODE_NOTIMP;
    case DNS_TYPE_AXFR:
    case DNS_TYPE_IXFR:
        return DNS_RCODE_REFUSED;
    default:
        break;
    }
    if (q->qclass == DNS_CLASS_IN)
        return DNS_RCODE_NOERROR;
    if (q->qclass != DNS_CLASS_CH)
        return DNS_RCODE_REFUSED;
    q->extra |= DNS__EXTRA_CHAOS;
    return DNS_RCODE_NOERROR;
}

/* What is no plain query: NOTIFY, a query for a cookie alone (RFC 7873 5.4), other opcodes. Apart,
 * so that plain queries do not pay for it. */
static __attribute__((noinline)) int read_odd(struct dns_query *q, const uint8_t *packet,
                                              unsigned len)
{
    unsigned opcode = packet[2] >> 3 & 15, questions = dns_get16(packet + 4), at = 12;

    if (opcode != DNS_OPCODE_QUERY && opcode != DNS_OPCODE_NOTIFY)
        return DNS_RCODE_NOTIMP;
    q->extra = opcode == DNS_OPCODE_NOTIFY ? DNS__EXTRA_NOTIFY : DNS__EXTRA_BARE;
    if (opcode == DNS_OPCODE_NOTIFY || questions != 0)
        at = questions == 1 ? read_question(q, packet, len) : 0;
    if (at == 0) {
        q->qname_len = 0;
        return DNS_RCODE_FORMERR;
    }
    int rcode = read_rest(q, packet, at, len);
    if (rcode != DNS_RCODE_NOERROR)
        return rcode;
    bool good = opcode == DNS_OPCODE_NOTIFY ? q->qtype == DNS_TYPE_SOA && q->qclass == DNS_CLASS_IN
                                            : (q->extra & DNS__EXTRA_COOKIE) != 0;
    return good ? DNS_RCODE_NOERROR : DNS_RCODE_FORMERR;
}

static int read_packet(struct dns_query *q, const uint8_t *packet, unsigned len)
{
    if (len < 12 || (packet[2] & 0x80) != 0)
        return DROP; /* too short to answer, or itself an answer: loops */
    if ((packet[2] >> 3 & 15) != DNS_OPCODE_QUERY || dns_get16(packet + 4) != 1)
        return read_odd(q, packet, len);
    unsigned at = read_question(q, packet, len);
    if (at == 0) {
        q->qname_len = 0;
        return DNS_RCODE_FORMERR;
    }
    int rcode = read_rest(q, packet, at, len);
    if (rcode != DNS_RCODE_NOERROR)
        return rcode;
    return judge_question(q);
}

static void find_zone(struct dns_query *q, const struct dns_view *view)
{
    q->zone = dns__view_find(view, q->qname, q->qname_len, q->offsets, q->hashes, q->labels, 0);
    if (q->zone == NULL)
        return;
    /* DS belongs to the parent's side of a cut (RFC 4035 3.1.4.1), when we have it */
    if (q->qtype == DNS_TYPE_DS && q->zone->zone->apex_labels == q->labels && q->labels > 0) {
        const struct dns_view_zone *parent =
            dns__view_find(view, q->qname, q->qname_len, q->offsets, q->hashes, q->labels, 1);
        if (parent != NULL)
            q->zone = parent;
    }
    const struct dns_zone *zone = q->zone->zone;
    __builtin_prefetch(&zone->slots[q->hashes[0] & zone->mask]);
}

void dns_query_prepare(struct dns_query *q, const struct dns_view *view, const uint8_t *packet,
                       size_t len)
{
    q->packet = packet;
    q->packet_len = len > UINT16_MAX ? UINT16_MAX : (uint16_t)len;
    q->qname_len = 0;
    q->qtype = 0;
    q->edns = q->dnssec_ok = q->ecs = false;
    q->extra = 0;
    q->payload = 512;
    q->zone = NULL;
    q->node = NULL;
    q->aimed = NULL;
    q->flags = 0;
    q->rcode = (int16_t)read_packet(q, packet, q->packet_len);
    if (q->rcode >= 0)
        q->flags = dns_get16(packet + 2);
    if (q->rcode == DNS_RCODE_NOERROR && view != NULL &&
        (q->extra & (DNS__EXTRA_CHAOS | DNS__EXTRA_BARE)) == 0)
        find_zone(q, view);
}

void dns_query_locate(struct dns_query *q)
{
    if (q->zone == NULL)
        return;
    const struct dns_zone *zone = q->zone->zone;
    uint32_t tag = dns__hash_tag(q->hashes[0]);
    for (uint64_t i = q->hashes[0] & zone->mask; zone->slots[i].node != 0;
         i = (i + 1) & zone->mask) {
        if (zone->slots[i].tag != tag)
            continue;
        const struct dns_node *node = dns__zone_node(zone, zone->slots[i].node);
        __builtin_prefetch(node);
        __builtin_prefetch((const uint8_t *)node + 64);
        q->node = node; /* a guess: the name is compared when it is answered */
        return;
    }
}

void dns_query_aim(struct dns_query *q, const struct dns_client *client)
{
    if (q->node == NULL)
        return;
    const struct dns_set *set = dns__node_set(q->node, q->qtype);
    if (set == NULL || !set->dynamic)
        return;
    q->aimed = q->zone->slots[set->value]->map;
    q->leaf = dns__leaf_of(q->aimed, q, client);
}
