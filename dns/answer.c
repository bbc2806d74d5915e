/* SPDX-License-Identifier: Apache-2.0
 *
 * Composes the answer to a parsed query from the view: the algorithm of RFC 1034 4.3.2 over ready
 * images, with wildcards (RFC 4592), DNAME (RFC 6672), chains inside the zone (RFC 6604) and
 * dynamic names.
 */
#include "dns/answer_int.h"

#include "dns/extra.h"
#include "dns/xfer_int.h"

/* A name that is being looked up, and where it stands in the message. */
struct cursor {
    const uint8_t *name;
    const uint8_t *offsets;
    const uint64_t *hashes;
    unsigned len, labels;
    unsigned place; /* offset in the message */
};

void dns_answerer_init(struct dns_answerer *a, uint64_t seed)
{
    memset(a, 0, sizeof(*a));
    a->clock = gtm_clock_system();
    gtm_rand_seed(&a->rand, seed);
}

/* ---- looking up ---- */

static void put_referral(struct dns__compose *c, const struct dns_node *cut,
                         const struct cursor *cur)
{
    const struct dns_set *ns = dns__node_set(cut, DNS_TYPE_NS);
    unsigned owner = 0xc000u | (cur->place + cur->len - cut->name_len);

    c->referral = true;
    if (c->counts[SEC_ANSWER] == 0)
        c->flags &= (uint16_t)~FLAG_AA;
    if (ns == NULL ||
        !dns__put_image(c, dns__zone_image(c->zone, ns->value), SEC_AUTHORITY, owner)) {
        dns__truncate(c);
        return;
    }
    /* in-domain glue that does not fit: the resolver must come back by TCP (RFC 9471 3) */
    if (cut->glue != 0 &&
        !dns__put_image(c, dns__zone_image(c->zone, cut->glue), SEC_ADDITIONAL, 0))
        c->flags |= FLAG_TC;
}

/* A CNAME answers every type. Returns as answer_node. */
static unsigned answer_cname(struct dns__compose *c, const struct dns_node *node, unsigned owner)
{
    const struct dns_set *set = dns__node_set(node, DNS_TYPE_CNAME);
    unsigned target = c->len + DNS_RR_FIXED;

    if (set->dynamic != 0)
        return dns__put_dynamic(c, set, owner) ? target : 0;
    if (dns__put_image(c, dns__zone_image(c->zone, set->value), SEC_ANSWER, owner))
        return target;
    dns__truncate(c);
    return 0;
}

/* A node's answer for the type asked. Returns the offset in the message of a CNAME's target when a
 * chain goes on, else 0. */
static unsigned answer_node(struct dns__compose *c, const struct dns_node *node, unsigned owner)
{
    uint16_t qtype = c->q->qtype;
    const struct dns_set *set = dns__node_set(node, qtype);

    if (set == NULL && qtype == DNS_TYPE_ANY && node->sets_count > 0)
        set = &node->sets[0]; /* RFC 8482 4.1: one of them is enough */
    if (set != NULL && set->dynamic != 0) {
        dns__put_dynamic(c, set, owner);
        return 0;
    }
    if (set == NULL && (node->flags & DNS_NODE_CNAME) != 0)
        return answer_cname(c, node, owner);
    if (set == NULL)
        dns__put_negative(c);
    else if (!dns__put_image(c, dns__zone_image(c->zone, set->value), SEC_ANSWER, owner))
        dns__truncate(c);
    return 0;
}

/* The longest existing suffix of a name that itself does not exist. Every ancestor of a node is a
 * node, so halving works. */
static const struct dns_node *closest_encloser(const struct dns__compose *c,
                                               const struct cursor *cur, unsigned *ret_label)
{
    unsigned low = 1, high = cur->labels - c->zone->apex_labels; /* the top exists */
    const struct dns_node *best = dns__zone_node(c->zone, c->zone->apex);

    *ret_label = high;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        unsigned off = cur->offsets[mid];
        const struct dns_node *node =
            dns__zone_find(c->zone, cur->hashes[mid], cur->name + off, cur->len - off);
        if (node != NULL) {
            best = node;
            *ret_label = mid;
            high = mid;
        } else {
            low = mid + 1;
        }
    }
    return best;
}

/* Where label `label` starts; labels = the root label. */
static unsigned label_offset(const struct cursor *cur, unsigned label)
{
    return label == cur->labels ? cur->len - 1 : cur->offsets[label];
}

/* True when the chain has been there; from now on it has. */
static bool passed(struct dns__trail *trail, uint64_t what)
{
    for (unsigned i = 0; i < trail->count; i++)
        if (trail->passed[i] == what)
            return true;
    trail->passed[trail->count++] = what;
    return false;
}

/* DNAME at `node`, which owns the suffix that starts at label `label` (RFC 6672 3.1). Returns the
 * target's place or 0. */
static unsigned answer_dname(struct dns__compose *c, const struct dns_node *node,
                             const struct cursor *cur, unsigned label)
{
    const struct dns_set *set = dns__node_set(node, DNS_TYPE_DNAME);
    const struct dns_image *image = dns__zone_image(c->zone, set->value);
    unsigned prefix = label_offset(cur, label);
    const uint8_t *target = image->data + DNS_RR_FIXED;
    unsigned target_len = dns_get16(image->data + 10);

    bool too_long = prefix + target_len > DNS_NAME_MAX;
    unsigned room = too_long ? 0 : DNS_RR_FIXED + prefix + target_len;

    if ((!passed(c->trail, (uintptr_t)node) &&
         !dns__put_image(c, image, SEC_ANSWER, 0xc000u | (cur->place + prefix))) ||
        c->len + room > c->limit) {
        dns__truncate(c);
        return 0;
    }
    if (too_long) {
        c->rcode = RCODE_YXDOMAIN;
        return 0;
    }
    uint8_t *rr = c->out + c->len;
    dns_put16(rr, (uint16_t)(0xc000u | cur->place));
    dns_put16(rr + 2, DNS_TYPE_CNAME);
    dns_put16(rr + 4, DNS_CLASS_IN);
    dns_put32(rr + 6, set->ttl_s);
    dns_put16(rr + 10, (uint16_t)(prefix + target_len));
    memcpy(rr + DNS_RR_FIXED, cur->name, prefix);
    memcpy(rr + DNS_RR_FIXED + prefix, target, target_len);
    unsigned place = c->len + DNS_RR_FIXED;
    c->len += DNS_RR_FIXED + prefix + target_len;
    c->counts[SEC_ANSWER]++;
    return c->q->qtype == DNS_TYPE_CNAME ? 0 : place;
}

static unsigned answer_missing(struct dns__compose *c, const struct cursor *cur)
{
    unsigned label;
    const struct dns_node *encloser = closest_encloser(c, cur, &label);

    c->synthesized = true;
    if ((encloser->flags & (DNS_NODE_CUT | DNS_NODE_BELOW)) != 0) {
        put_referral(c, dns__zone_node(c->zone, encloser->cut), cur);
        return 0;
    }
    if ((encloser->flags & DNS_NODE_DNAME) != 0)
        return answer_dname(c, encloser, cur, label);
    if ((encloser->flags & DNS_NODE_WILDCARD) != 0) {
        uint8_t name[DNS_NAME_MAX + DNS_HASH_PAD + 2];
        unsigned off = label_offset(cur, label);
        unsigned len = cur->len - off;
        memcpy(name, "\1*", 2);
        memcpy(name + 2, cur->name + off, len);
        memset(name + 2 + len, 0, DNS_HASH_PAD);
        const struct dns_node *wild =
            dns__zone_find(c->zone, dns__hash_label(cur->hashes[label], name), name, len + 2);
        if (wild != NULL && (wild->flags & (DNS_NODE_CUT | DNS_NODE_BELOW)) == 0)
            return answer_node(c, wild, 0xc000u | cur->place);
    }
    c->rcode = DNS_RCODE_NXDOMAIN;
    dns__put_negative(c);
    return 0;
}

/* One name of the chain. Returns the place of the next one's name in the message, 0 when the answer
 * is complete. */
static unsigned answer_name(struct dns__compose *c, const struct cursor *cur,
                            const struct dns_node *guess)
{
    const struct dns_node *node = guess;

    if (node == NULL || node->name_len != cur->len ||
        memcmp(dns__node_name(node), cur->name, cur->len) != 0)
        node = dns__zone_find(c->zone, cur->hashes[0], cur->name, cur->len);
    if (node == NULL)
        return answer_missing(c, cur);
    if ((node->flags & DNS_NODE_BELOW) != 0 ||
        ((node->flags & DNS_NODE_CUT) != 0 && c->q->qtype != DNS_TYPE_DS)) {
        put_referral(c, dns__zone_node(c->zone, node->cut), cur);
        return 0;
    }
    return answer_node(c, node, 0xc000u | cur->place);
}

/* The rest of a chain: reads each target back from the message. A function of its own, so that
 * plain answers need no room for it. */
static __attribute__((noinline)) void follow(struct dns__compose *c, unsigned place)
{
    uint8_t name[DNS_NAME_MAX + DNS_HASH_PAD];
    uint8_t offsets[DNS_LABELS_MAX];
    uint64_t hashes[DNS_LABELS_MAX];

    passed(c->trail, c->q->hashes[0]);
    for (unsigned hop = 0; place != 0 && hop < DNS__CHAIN_MAX; hop++) {
        unsigned len = 0, at = place;
        while (c->out[at] != 0) {
            if ((c->out[at] & 0xc0) == 0xc0) {
                at = dns_get16(c->out + at) & 0x3fff;
                continue;
            }
            memcpy(name + len, c->out + at, c->out[at] + 1u);
            len += c->out[at] + 1u;
            at += c->out[at] + 1u;
        }
        name[len++] = 0;
        memset(name + len, 0, DNS_HASH_PAD);
        dns_name_lower(name, name);
        if (len < c->zone->apex_len || !dns_name_under(name, c->zone->apex_name))
            return;
        unsigned labels = dns__hash_name(name, offsets, hashes);
        struct cursor cur = {name, offsets, hashes, len, labels, place};
        if (place > 0x3fff)
            return; /* cannot be pointed to; the resolver asks on */
        if (passed(c->trail, hashes[0]))
            return; /* a loop: each of its records stands in the answer once */
        place = answer_name(c, &cur, NULL);
    }
}

/* ---- the whole ---- */

static void answer_question(struct dns__compose *c)
{
    const struct dns_query *q = c->q;

    if (q->zone == NULL) {
        c->rcode = DNS_RCODE_REFUSED;
        c->ede = EDE_NOT_AUTHORITATIVE;
        return;
    }
    if (q->zone->expired) {
        c->rcode = DNS_RCODE_SERVFAIL;
        c->ede = EDE_INVALID_DATA;
        return;
    }
    c->zone = q->zone->zone;
    c->flags |= FLAG_AA;
    struct dns__trail trail;
    trail.count = 0; /* the rest is not worth clearing for each answer */
    c->trail = &trail;
    struct cursor cur = {q->qname, q->offsets, q->hashes, q->qname_len, q->labels, 12};
    unsigned place = answer_name(c, &cur, q->node);
    if (place != 0)
        follow(c, place);
    c->trail = NULL;
}

/* A transfer asked for by UDP (RFC 5936 4.2, RFC 1995 2): the SOA, or no. */
static __attribute__((noinline)) void answer_transfer(struct dns__compose *c,
                                                      const struct dns_view *view)
{
    const struct dns_view_zone *zone = NULL;
    bool only_soa;

    c->rcode = (uint16_t)dns__xfer_judge(c->q, view, c->client, c->tsig ? c->tsig->key : NULL,
                                         &zone, &only_soa, &c->ede);
    if (c->rcode != DNS_RCODE_NOERROR)
        return;
    c->zone = zone->zone;
    c->flags |= FLAG_AA;
    const struct dns_node *apex = dns__zone_node(c->zone, c->zone->apex);
    const struct dns_set *soa = dns__node_set(apex, DNS_TYPE_SOA);
    if (!dns__put_image(c, dns__zone_image(c->zone, soa->value), SEC_ANSWER, DNS_POINTER_QNAME))
        dns__truncate(c);
}

static inline void compose_init(struct dns__compose *c, struct dns_answerer *a,
                                const struct dns_query *q, const struct dns_client *client,
                                uint8_t *out)
{
    /* clearing what is set anyway would cost more than all of this */
    memset(&c->counts, 0, sizeof(*c) - offsetof(struct dns__compose, counts));
    c->a = a;
    c->q = q;
    c->client = client;
    c->out = out;
    c->zone = NULL;
    c->trail = NULL;
    c->len = 12;
    c->ede = -1;
    c->rcode = (uint16_t)q->rcode;
}

/* Repeats the question, eight octets at a time; the last eight may begin in the header, which is
 * written later. */
static inline void put_question(struct dns__compose *c)
{
    unsigned end = 12u + c->q->qname_len + 4u;
    uint64_t w;

    for (unsigned i = 12; i + 8 < end; i += 8) {
        memcpy(&w, c->q->packet + i, 8);
        memcpy(c->out + i, &w, 8);
    }
    memcpy(&w, c->q->packet + end - 8, 8);
    memcpy(c->out + end - 8, &w, 8);
    c->len = end;
}

size_t dns_query_answer(struct dns_answerer *a, struct dns_query *q, const struct dns_view *view,
                        const struct dns_client *client, uint8_t *out, size_t out_bytes)
{
    static const struct dns_settings nothing;
    size_t room = out_bytes;

    DNS__COUNT(a, DNS_CNT_UDP + (unsigned)client->proto, 1);
    if (q->rcode < 0 || out_bytes < 512) {
        DNS__COUNT(a, DNS_CNT_DROPPED, 1);
        return 0;
    }
    if (client->proto == DNS_PROTO_UDP) {
        unsigned takes = q->payload < 512 ? 512 : q->payload;
        takes = takes > DNS_UDP_PAYLOAD_MAX ? DNS_UDP_PAYLOAD_MAX : takes;
        room = room > takes ? takes : room;
    } else {
        dns_answerer_tick(a);
        room = room > DNS_MESSAGE_MAX ? DNS_MESSAGE_MAX : room;
    }
    struct dns__compose c;
    compose_init(&c, a, q, client, out);
    c.limit = (unsigned)room - dns__opt_bytes(q);
    c.settings = view != NULL ? view->settings : &nothing;
    c.flags = q->flags & (0xfu << 11);
    if ((q->flags >> 11 & 15) == DNS_OPCODE_QUERY)
        c.flags |= q->flags & (FLAG_RD | FLAG_CD);
    if (q->qname_len > 0)
        put_question(&c);
    if (__builtin_expect(q->extra != 0, 0))
        dns__extra_begin(&c, &room, out_bytes);
    if (c.rcode == DNS_RCODE_NOERROR) {
        if (__builtin_expect((q->extra & DNS__EXTRA_ODD) != 0, 0))
            dns__extra_answer(&c);
        else if (view == NULL)
            c.rcode = DNS_RCODE_REFUSED;
        else
            answer_question(&c);
    } else if (c.rcode == DNS_RCODE_REFUSED && client->proto == DNS_PROTO_UDP && view != NULL &&
               dns_xfer_out_wanted(q)) {
        answer_transfer(&c, view);
    }
    if (__builtin_expect(c.settings->rate_limit != 0, 0) && !dns__limit_answer(&c))
        return 0;
    return dns__finish(&c, room);
}

size_t dns_answer(struct dns_answerer *a, const struct dns_view *view,
                  const struct dns_client *client, const uint8_t *packet, size_t len, uint8_t *out,
                  size_t out_bytes)
{
    struct dns_query q;

    dns_answerer_tick(a);
    dns_query_prepare(&q, view, packet, len);
    dns_query_locate(&q);
    dns_query_aim(&q, client);
    return dns_query_answer(a, &q, view, client, out, out_bytes);
}
