/* SPDX-License-Identifier: Apache-2.0
 *
 * Composes the answer to a parsed query from the view: the algorithm of RFC 1034 4.3.2 over ready
 * images, with wildcards (RFC 4592), DNAME (RFC 6672), chains inside the zone (RFC 6604) and
 * dynamic names.
 */
#include "dns/answer.h"

#include "dns/leaf.h"
#include "dns/rr.h"
#include "dns/steer_int.h"

#define CHAIN_MAX 16 /* CNAME and DNAME steps inside one answer */

enum { FLAG_QR = 0x8000, FLAG_AA = 0x0400, FLAG_TC = 0x0200, FLAG_RD = 0x0100, FLAG_CD = 0x0010 };
enum { RCODE_YXDOMAIN = 6 };
enum { EDNS_OPTION_ECS = 8, EDNS_OPTION_EDE = 15 };
enum { EDE_OTHER = 0, EDE_NOT_AUTHORITATIVE = 20 };

/* Counters have one writer; readers may be on other threads. */
#define COUNT(a, which, by) \
    __atomic_store_n(&(a)->counters.n[which], (a)->counters.n[which] + (by), __ATOMIC_RELAXED)

/* A name that is being looked up, and where it stands in the message. */
struct cursor {
    const uint8_t *name;
    const uint8_t *offsets;
    const uint64_t *hashes;
    unsigned len, labels;
    unsigned place; /* offset in the message */
};

/* What a chain has passed: names by their hash, DNAMEs by their node. A name twice is a loop; a
 * DNAME stands in the answer once. */
struct trail {
    unsigned count;
    uint64_t passed[2 * CHAIN_MAX + 2];
};

struct compose {
    struct dns_answerer *a;
    const struct dns_query *q;
    const struct dns_zone *zone;
    const struct dns_client *client;
    uint8_t *out;
    unsigned len, limit; /* limit leaves room for OPT */
    unsigned counts[3];
    uint16_t flags;
    uint16_t rcode;
    uint8_t scope;
    const struct dns_choice *ede_from;
    struct trail *trail;
    int ede; /* -1 = none */
    bool referral, nodata;
};

enum { SEC_ANSWER = 0, SEC_AUTHORITY, SEC_ADDITIONAL };

void dns_answerer_init(struct dns_answerer *a, uint64_t seed)
{
    memset(&a->counters, 0, sizeof(a->counters));
    gtm_rand_seed(&a->rand, seed);
}

/* ---- writing ---- */

static void truncate_answer(struct compose *c)
{
    c->flags |= FLAG_TC;
    c->len = 12u + c->q->qname_len + 4u;
    memset(c->counts, 0, sizeof(c->counts));
}

/* Copies an image. owner = pointer for every record's owner, 0 when the image carries its owners.
 */
static bool put_image(struct compose *c, const struct dns_image *image, unsigned section,
                      unsigned owner)
{
    if (c->len + image->len > c->limit)
        return false;
    uint8_t *at = c->out + c->len;
    memcpy(at, image->data, image->len);
    if (image->fixups != 0) {
        const uint8_t *fix = image->data + ((image->len + 1u) & ~1u);
        uint16_t top = (uint16_t)(0xc000u | (12u + c->q->qname_len - c->zone->apex_len));
        for (unsigned i = 0; i < image->fixups; i++) {
            uint16_t place;
            memcpy(&place, fix + i * 2u, 2);
            dns_put16(at + place, top);
        }
    }
    if (owner != 0 && owner != DNS_POINTER_QNAME) {
        for (unsigned i = 0, p = 0; i < image->count; i++) {
            dns_put16(at + p, (uint16_t)owner);
            p += DNS_RR_FIXED + dns_get16(at + p + 10);
        }
    }
    c->len += image->len;
    c->counts[section] += image->count;
    return true;
}

static void put_negative(struct compose *c)
{
    const struct dns_image *soa = dns__zone_image(c->zone, c->zone->negative_soa);

    c->nodata = c->rcode == DNS_RCODE_NOERROR;
    if (!put_image(c, soa, SEC_AUTHORITY, 0))
        truncate_answer(c);
}

static void put_referral(struct compose *c, const struct dns_node *cut, const struct cursor *cur)
{
    const struct dns_set *ns = dns__node_set(cut, DNS_TYPE_NS);
    unsigned owner = 0xc000u | (cur->place + cur->len - cut->name_len);

    c->referral = true;
    if (c->counts[SEC_ANSWER] == 0)
        c->flags &= (uint16_t)~FLAG_AA;
    if (ns == NULL || !put_image(c, dns__zone_image(c->zone, ns->value), SEC_AUTHORITY, owner)) {
        truncate_answer(c);
        return;
    }
    /* in-domain glue that does not fit: the resolver must come back by TCP (RFC 9471 3) */
    if (cut->glue != 0 && !put_image(c, dns__zone_image(c->zone, cut->glue), SEC_ADDITIONAL, 0))
        c->flags |= FLAG_TC;
}

/* ---- dynamic names ---- */

static bool put_records(struct compose *c, const struct dns_choice *choice, uint32_t first,
                        uint32_t count, unsigned owner)
{
    unsigned size = choice->record_bytes, bytes = size * count;

    if (c->len + bytes > c->limit)
        return false;
    uint8_t *at = c->out + c->len;
    memcpy(at, choice->records + (size_t)first * size, bytes);
    if (owner != DNS_POINTER_QNAME)
        for (uint32_t i = 0; i < count; i++)
            dns_put16(at + (size_t)i * size, (uint16_t)owner);
    c->len += bytes;
    c->counts[SEC_ANSWER] += count;
    return true;
}

/* `answers` distinct records of n, by weight when there is one (drawing again on a repeat, with a
 * bound), else uniformly (Floyd's algorithm: Bentley & Floyd, CACM 1987). */
static bool put_sample(struct compose *c, const struct dns_choice *choice,
                       const struct dns__option *o, unsigned owner)
{
    uint32_t chosen[64], n = 0, want = o->answers < 64 ? o->answers : 64, tries = 0;

    while (n < want) {
        uint32_t pick, i;
        if (o->weighted && tries++ < 8 * want) {
            pick = dns__alias_draw(choice->record_alias + o->first, o->count, &c->a->rand);
        } else if (o->weighted) {
            pick = tries++ % o->count; /* the rest is nearly weightless: take it in order */
        } else {
            uint32_t top = o->count - want + n;
            pick = gtm_rand_below(&c->a->rand, top + 1);
            for (i = 0; i < n && chosen[i] != pick; i++)
                ;
            if (i < n)
                pick = top;
        }
        for (i = 0; i < n && chosen[i] != pick; i++)
            ;
        if (i < n)
            continue;
        chosen[n++] = pick;
        if (!put_records(c, choice, o->first + pick, 1, owner))
            return false;
    }
    return true;
}

static bool put_option(struct compose *c, const struct dns_choice *choice,
                       const struct dns__option *o, unsigned owner)
{
    if (o->answers < o->count)
        return put_sample(c, choice, o, owner);
    if (o->count == 1)
        return put_records(c, choice, o->first, 1, owner);
    uint32_t turn = gtm_rand_below(&c->a->rand, o->count);
    return put_records(c, choice, o->first + turn, o->count - turn, owner) &&
           (turn == 0 || put_records(c, choice, o->first, turn, owner));
}

static uint32_t find_leaf(const struct compose *c, const struct dns_steer *steer)
{
    /* a guessed node may be another's, and a chain may lead on: the map decides */
    return c->q->aimed == steer->map ? c->q->leaf : dns__leaf_of(steer->map, c->q, c->client);
}

static void put_dynamic(struct compose *c, const struct dns_set *set, unsigned owner)
{
    const struct dns_steer *steer = c->q->zone->slots[set->value];
    const struct dns__steer_family *f = &steer->family[set->type == DNS_TYPE_AAAA];
    uint32_t leaf = find_leaf(c, steer);
    const struct dns_choice *choice = f->choices[f->slots[DNS_LEAF_CLASS(leaf)]];

    COUNT(c->a, DNS_CNT_DYNAMIC, 1);
    if (choice->outcome == DNS_OUTCOME_NODATA) {
        put_negative(c);
        return;
    }
    if (c->q->ecs && c->q->ecs_source > 0)
        c->scope = (uint8_t)DNS_LEAF_SCOPE(leaf);
    if (choice->outcome == DNS_OUTCOME_SERVFAIL) {
        truncate_answer(c);
        c->flags &= (uint16_t) ~(FLAG_TC | FLAG_AA);
        c->rcode = DNS_RCODE_SERVFAIL;
        c->ede = choice->ede_code;
        c->ede_from = choice;
        return;
    }
    const struct dns__option *o = choice->options;
    if (choice->options_count > 1)
        o += dns__alias_draw(choice->option_alias, choice->options_count, &c->a->rand);
    if (!put_option(c, choice, o, owner))
        truncate_answer(c);
}

/* ---- looking up ---- */

/* A node's answer for the type asked. Returns the offset in the message of a CNAME's target when a
 * chain goes on, else 0. */
static unsigned answer_node(struct compose *c, const struct dns_node *node, unsigned owner)
{
    uint16_t qtype = c->q->qtype;
    const struct dns_set *set = dns__node_set(node, qtype);

    if (set == NULL && qtype == DNS_TYPE_ANY && node->sets_count > 0)
        set = &node->sets[0]; /* RFC 8482 4.1: one of them is enough */
    if (set != NULL && set->dynamic) {
        put_dynamic(c, set, owner);
        return 0;
    }
    if (set == NULL && (node->flags & DNS_NODE_CNAME) != 0) {
        set = dns__node_set(node, DNS_TYPE_CNAME);
        unsigned target = c->len + DNS_RR_FIXED;
        if (put_image(c, dns__zone_image(c->zone, set->value), SEC_ANSWER, owner))
            return target;
        truncate_answer(c);
        return 0;
    }
    if (set == NULL)
        put_negative(c);
    else if (!put_image(c, dns__zone_image(c->zone, set->value), SEC_ANSWER, owner))
        truncate_answer(c);
    return 0;
}

/* The longest existing suffix of a name that itself does not exist. Every ancestor of a node is a
 * node, so halving works. */
static const struct dns_node *closest_encloser(const struct compose *c, const struct cursor *cur,
                                               unsigned *ret_label)
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
static bool passed(struct trail *trail, uint64_t what)
{
    for (unsigned i = 0; i < trail->count; i++)
        if (trail->passed[i] == what)
            return true;
    trail->passed[trail->count++] = what;
    return false;
}

/* DNAME at `node`, which owns the suffix that starts at label `label` (RFC 6672 3.1). Returns the
 * target's place or 0. */
static unsigned answer_dname(struct compose *c, const struct dns_node *node,
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
         !put_image(c, image, SEC_ANSWER, 0xc000u | (cur->place + prefix))) ||
        c->len + room > c->limit) {
        truncate_answer(c);
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

static unsigned answer_missing(struct compose *c, const struct cursor *cur)
{
    unsigned label;
    const struct dns_node *encloser = closest_encloser(c, cur, &label);

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
    put_negative(c);
    return 0;
}

/* One name of the chain. Returns the place of the next one's name in the message, 0 when the answer
 * is complete. */
static unsigned answer_name(struct compose *c, const struct cursor *cur,
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
static __attribute__((noinline)) void follow(struct compose *c, unsigned place)
{
    uint8_t name[DNS_NAME_MAX + DNS_HASH_PAD];
    uint8_t offsets[DNS_LABELS_MAX];
    uint64_t hashes[DNS_LABELS_MAX];

    passed(c->trail, c->q->hashes[0]);
    for (unsigned hop = 0; place != 0 && hop < CHAIN_MAX; hop++) {
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

/* ---- header and OPT ---- */

static unsigned opt_bytes(const struct dns_query *q)
{
    if (!q->edns)
        return 0;
    return 11u + (q->ecs ? 8u + (q->ecs_source + 7u) / 8u : 0u);
}

static void put_opt(struct compose *c, size_t room)
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

static void count_answer(const struct compose *c)
{
    static const uint8_t by_rcode[16] = {
        [DNS_RCODE_NOERROR] = DNS_CNT_NOERROR,   [DNS_RCODE_FORMERR] = DNS_CNT_FORMERR,
        [DNS_RCODE_SERVFAIL] = DNS_CNT_SERVFAIL, [DNS_RCODE_NXDOMAIN] = DNS_CNT_NXDOMAIN,
        [DNS_RCODE_NOTIMP] = DNS_CNT_NOTIMP,     [DNS_RCODE_REFUSED] = DNS_CNT_REFUSED,
        [RCODE_YXDOMAIN] = DNS_CNT_NOERROR};
    struct dns_answerer *a = c->a;
    const struct dns_query *q = c->q;

    if (c->rcode == DNS_RCODE_BADVERS)
        COUNT(a, DNS_CNT_BADVERS, 1);
    else if (c->referral)
        COUNT(a, DNS_CNT_REFERRAL, 1);
    else if (c->nodata)
        COUNT(a, DNS_CNT_NODATA, 1);
    else
        COUNT(a, by_rcode[c->rcode & 15], 1);
    if ((c->flags & FLAG_TC) != 0)
        COUNT(a, DNS_CNT_TRUNCATED, 1);
    if (q->edns)
        COUNT(a, DNS_CNT_EDNS, 1);
    if (q->ecs)
        COUNT(a, DNS_CNT_ECS, 1);
    if (q->qname_len > 0) {
        unsigned type = q->qtype == DNS_TYPE_A      ? DNS_CNT_TYPE_A
                        : q->qtype == DNS_TYPE_AAAA ? DNS_CNT_TYPE_AAAA
                                                    : DNS_CNT_TYPE_OTHER;
        COUNT(a, type, 1);
    }
    COUNT(a, DNS_CNT_BYTES_OUT, c->len);
}

static size_t finish(struct compose *c, size_t room)
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

static void answer_question(struct compose *c)
{
    const struct dns_query *q = c->q;

    if (q->zone == NULL) {
        c->rcode = DNS_RCODE_REFUSED;
        c->ede = EDE_NOT_AUTHORITATIVE;
        return;
    }
    c->zone = q->zone->zone;
    c->flags |= FLAG_AA;
    struct trail trail;
    trail.count = 0; /* the rest is not worth clearing for each answer */
    c->trail = &trail;
    struct cursor cur = {q->qname, q->offsets, q->hashes, q->qname_len, q->labels, 12};
    unsigned place = answer_name(c, &cur, q->node);
    if (place != 0)
        follow(c, place);
    c->trail = NULL;
}

size_t dns_query_answer(struct dns_answerer *a, struct dns_query *q, const struct dns_view *view,
                        const struct dns_client *client, uint8_t *out, size_t out_bytes)
{
    size_t room = out_bytes;

    COUNT(a, client->proto == DNS_PROTO_UDP ? DNS_CNT_UDP : DNS_CNT_TCP, 1);
    if (q->rcode < 0 || out_bytes < 512) {
        COUNT(a, DNS_CNT_DROPPED, 1);
        return 0;
    }
    if (client->proto == DNS_PROTO_UDP) {
        unsigned takes = q->payload < 512 ? 512 : q->payload;
        takes = takes > DNS_UDP_PAYLOAD_MAX ? DNS_UDP_PAYLOAD_MAX : takes;
        room = room > takes ? takes : room;
    } else if (room > DNS_MESSAGE_MAX) {
        room = DNS_MESSAGE_MAX;
    }
    struct compose c = {.a = a,
                        .q = q,
                        .client = client,
                        .out = out,
                        .len = 12,
                        .limit = (unsigned)room - opt_bytes(q),
                        .rcode = (uint16_t)q->rcode,
                        .ede = -1};
    c.flags = q->flags & (0xfu << 11);
    if ((q->flags >> 11 & 15) == DNS_OPCODE_QUERY)
        c.flags |= q->flags & (FLAG_RD | FLAG_CD);
    if (q->qname_len > 0) {
        memcpy(out + 12, q->packet + 12, q->qname_len + 4u);
        c.len += q->qname_len + 4u;
    }
    if (q->rcode == DNS_RCODE_NOERROR) {
        if (view == NULL)
            c.rcode = DNS_RCODE_REFUSED;
        else
            answer_question(&c);
    }
    return finish(&c, room);
}

size_t dns_answer(struct dns_answerer *a, const struct dns_view *view,
                  const struct dns_client *client, const uint8_t *packet, size_t len, uint8_t *out,
                  size_t out_bytes)
{
    struct dns_query q;

    dns_query_prepare(&q, view, packet, len);
    dns_query_locate(&q);
    dns_query_aim(&q, client);
    return dns_query_answer(a, &q, view, client, out, out_bytes);
}
