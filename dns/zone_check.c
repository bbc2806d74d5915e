/* SPDX-License-Identifier: Apache-2.0
 *
 * What a zone may contain (RFC 1034 3.6.2, 1035 5.2, 2181 5 and 10, 6672 2.4): all findings at
 * once, each with its place.
 */
#include "dns/zone_build.h"

#include "gtm/base/mem.h"

#include <stdlib.h>

#define SORT_FROM 32 /* records of one name from which duplicates are found by sorting */

static struct dns__rec *next_rec(const struct dns__build *b, const struct dns__rec *rec)
{
    return rec->next == DNS__NONE ? NULL : &b->recs[rec->next];
}

static struct dns__rec *first_rec(const struct dns__build *b, const struct dns__bnode *node)
{
    return node->first == DNS__NONE ? NULL : &b->recs[node->first];
}

static struct dns__rec *find_type(const struct dns__build *b, const struct dns__bnode *node,
                                  uint16_t type)
{
    for (struct dns__rec *r = first_rec(b, node); r != NULL; r = next_rec(b, r))
        if (r->type == type && !r->dropped)
            return r;
    return NULL;
}

static const char *name_of(const struct dns__bnode *node, char text[DNS_NAME_TEXT_MAX])
{
    return dns_name_text(node->name, text);
}

/* ---- duplicates ---- */

static void drop(struct dns__build *b, const struct dns__bnode *node, struct dns__rec *rec)
{
    char text[DNS_NAME_TEXT_MAX];

    if (rec->rdata == NULL) {
        dns__build_say(b, GTM_SEV_ERROR, rec, "dynamic name %s is given twice for one type",
                       name_of(node, text));
        return;
    }
    rec->dropped = true;
    dns__build_say(b, GTM_SEV_WARNING, rec, "the same record stands at %s already: ignored",
                   name_of(node, text));
}

/* Types of rdata whose names have no case (RFC 4034 6.2, RFC 6840 5.1): `before` octets, then
 * names.
 */
static const struct {
    uint16_t type;
    uint8_t before, names;
} caseless[] = {{DNS_TYPE_NS, 0, 1},
                {3, 0, 1}, /* MD */
                {4, 0, 1}, /* MF */
                {DNS_TYPE_CNAME, 0, 1},
                {DNS_TYPE_SOA, 0, 2},
                {7, 0, 1}, /* MB */
                {8, 0, 1}, /* MG */
                {9, 0, 1}, /* MR */
                {DNS_TYPE_PTR, 0, 1},
                {14, 0, 2}, /* MINFO */
                {DNS_TYPE_MX, 2, 1},
                {17, 0, 2}, /* RP */
                {18, 2, 1}, /* AFSDB */
                {21, 2, 1}, /* RT */
                {26, 2, 2}, /* PX */
                {DNS_TYPE_SRV, 6, 1},
                {36, 2, 1}, /* KX */
                {DNS_TYPE_DNAME, 0, 1}};

/* How many names without case the rdata has, from *ret_at on; 0 when it is not well formed. */
static unsigned caseless_names(const struct dns__rec *rec, unsigned *ret_at)
{
    for (unsigned t = 0; t < sizeof(caseless) / sizeof(caseless[0]); t++) {
        if (caseless[t].type != rec->type)
            continue;
        unsigned at = caseless[t].before;
        *ret_at = at;
        for (unsigned i = 0; i < caseless[t].names; i++) {
            size_t n = at < rec->rdlen ? dns_name_check(rec->rdata + at, rec->rdlen - at) : 0;
            if (n == 0)
                return 0;
            at += (unsigned)n;
        }
        return caseless[t].names;
    }
    return 0;
}

/* An order of rdata of one type and length; 0 = the same record. */
static int compare_rdata(const struct dns__rec *a, const struct dns__rec *c)
{
    unsigned at = 0, names = caseless_names(a, &at), names_c = caseless_names(c, &at);

    if (names != names_c)
        return names < names_c ? -1 : 1;
    if (names == 0)
        return memcmp(a->rdata, c->rdata, a->rdlen);
    int diff = memcmp(a->rdata, c->rdata, at);
    for (; names > 0 && diff == 0; names--) {
        diff = dns_name_compare(a->rdata + at, c->rdata + at);
        at += (unsigned)dns_name_len(a->rdata + at);
    }
    return diff != 0 ? diff : memcmp(a->rdata + at, c->rdata + at, a->rdlen - at);
}

static bool same(const struct dns__rec *a, const struct dns__rec *c)
{
    if (a->type != c->type)
        return false;
    if (a->rdata == NULL || c->rdata == NULL)
        return a->rdata == c->rdata;
    return a->rdlen == c->rdlen && compare_rdata(a, c) == 0;
}

static int by_content(const void *pa, const void *pc)
{
    const struct dns__rec *a = *(struct dns__rec *const *)pa, *c = *(struct dns__rec *const *)pc;

    if (a->type != c->type)
        return a->type < c->type ? -1 : 1;
    if ((a->rdata == NULL) != (c->rdata == NULL))
        return a->rdata == NULL ? -1 : 1;
    if (a->rdlen != c->rdlen)
        return a->rdlen < c->rdlen ? -1 : 1;
    int diff = a->rdata == NULL ? 0 : compare_rdata(a, c);
    if (diff != 0)
        return diff;
    return a < c ? -1 : 1; /* keeps the first */
}

static void duplicates_many(struct dns__build *b, const struct dns__bnode *node, size_t count)
{
    struct dns__rec **list = gtm_malloc(count * sizeof(struct dns__rec *));
    size_t n = 0;

    if (list == NULL) {
        b->failed = GTM_ENOMEM;
        return;
    }
    for (struct dns__rec *r = first_rec(b, node); r != NULL; r = next_rec(b, r))
        list[n++] = r;
    qsort(list, n, sizeof(struct dns__rec *), by_content);
    for (size_t i = 1; i < n; i++)
        if (same(list[i - 1], list[i]))
            drop(b, node, list[i]);
    gtm_free(list);
}

static void check_duplicates(struct dns__build *b, const struct dns__bnode *node)
{
    size_t count = 0;

    for (struct dns__rec *r = first_rec(b, node); r != NULL; r = next_rec(b, r))
        count++;
    if (count > SORT_FROM) {
        duplicates_many(b, node, count);
        return;
    }
    for (struct dns__rec *r = first_rec(b, node); r != NULL; r = next_rec(b, r))
        for (struct dns__rec *s = next_rec(b, r); s != NULL; s = next_rec(b, s))
            if (!r->dropped && !s->dropped && same(r, s))
                drop(b, node, s);
}

/* ---- record sets ---- */

static void check_ttls(struct dns__build *b, const struct dns__bnode *node)
{
    for (struct dns__rec *r = first_rec(b, node); r != NULL; r = next_rec(b, r)) {
        if (r->rdata == NULL || r->dropped || find_type(b, node, r->type) != r)
            continue;
        struct dns__rec *odd = NULL;
        uint32_t lowest = r->ttl;
        for (struct dns__rec *s = next_rec(b, r); s != NULL; s = next_rec(b, s)) {
            if (s->type != r->type || s->rdata == NULL)
                continue;
            if (s->ttl != r->ttl)
                odd = s;
            if (s->ttl < lowest)
                lowest = s->ttl;
        }
        if (odd == NULL)
            continue;
        dns__build_say(b, GTM_SEV_WARNING, odd,
                       "records of one set have different TTLs: %u is used (RFC 2181 5.2)", lowest);
        for (struct dns__rec *s = r; s != NULL; s = next_rec(b, s))
            if (s->type == r->type && s->rdata != NULL)
                s->ttl = lowest;
    }
}

static bool beside_cname(uint16_t type)
{
    return type == DNS_TYPE_CNAME || type == DNS_TYPE_RRSIG || type == DNS_TYPE_NSEC;
}

static void check_alone(struct dns__build *b, struct dns__bnode *node)
{
    char text[DNS_NAME_TEXT_MAX];
    const struct dns__rec *cname = find_type(b, node, DNS_TYPE_CNAME);
    const struct dns__rec *dname = find_type(b, node, DNS_TYPE_DNAME);

    if (cname != NULL)
        node->flags |= DNS_NODE_CNAME;
    if (dname != NULL)
        node->flags |= DNS_NODE_DNAME;
    for (struct dns__rec *r = first_rec(b, node); r != NULL; r = next_rec(b, r)) {
        if (r->dropped)
            continue;
        if (cname != NULL && !beside_cname(r->type))
            dns__build_say(b, GTM_SEV_ERROR, r,
                           "%s has a CNAME (line %u) and may have no other data",
                           name_of(node, text), cname->line);
        if (cname != NULL && r->type == DNS_TYPE_CNAME && r != cname)
            dns__build_say(b, GTM_SEV_ERROR, r, "%s has a second CNAME", name_of(node, text));
        if (dname != NULL && r->type == DNS_TYPE_DNAME && r != dname)
            dns__build_say(b, GTM_SEV_ERROR, r, "%s has a second DNAME", name_of(node, text));
        if (r->rdata != NULL)
            continue;
        for (struct dns__rec *s = first_rec(b, node); s != NULL; s = next_rec(b, s))
            if (s->rdata != NULL && s->type == r->type)
                dns__build_say(
                    b, GTM_SEV_ERROR, s,
                    "%s is a dynamic name for this type and may have no static records of it",
                    name_of(node, text));
    }
}

/* ---- the tree ---- */

static void check_top(struct dns__build *b)
{
    const struct dns__rec *soa = find_type(b, &b->nodes[0], DNS_TYPE_SOA);

    if (soa == NULL)
        dns__build_say(b, GTM_SEV_ERROR, NULL, "the zone has no SOA record at its top");
    else
        b->serial = dns_get32(soa->rdata + soa->rdlen - 20);
    if (find_type(b, &b->nodes[0], DNS_TYPE_NS) == NULL)
        dns__build_say(b, GTM_SEV_ERROR, NULL, "the zone has no NS record at its top");
    if (find_type(b, &b->nodes[0], DNS_TYPE_CNAME) != NULL)
        dns__build_say(b, GTM_SEV_ERROR, find_type(b, &b->nodes[0], DNS_TYPE_CNAME),
                       "a CNAME cannot stand at the zone's top");
}

static void check_soas(struct dns__build *b, size_t index)
{
    const struct dns__rec *seen = NULL;

    for (struct dns__rec *r = first_rec(b, &b->nodes[index]); r != NULL; r = next_rec(b, r)) {
        if (r->type != DNS_TYPE_SOA || r->dropped)
            continue;
        if (index != 0)
            dns__build_say(b, GTM_SEV_ERROR, r, "a SOA record may stand at the zone's top only");
        else if (seen != NULL)
            dns__build_say(b, GTM_SEV_ERROR, r, "a second SOA record (the first is at line %u)",
                           seen->line);
        seen = r;
    }
}

/* Parents come before children, so that what lies above is known. */
static void place_in_tree(struct dns__build *b, size_t index)
{
    struct dns__bnode *node = &b->nodes[index];
    char text[DNS_NAME_TEXT_MAX];

    if (index == 0)
        return;
    const struct dns__bnode *parent = &b->nodes[node->parent];
    if (parent->cut != DNS__NONE) {
        node->cut = parent->cut;
        node->flags |= DNS_NODE_BELOW;
        node->flags &= (uint16_t)~DNS_NODE_CUT;
    } else if (find_type(b, node, DNS_TYPE_NS) != NULL) {
        node->cut = (uint32_t)index;
        node->flags |= DNS_NODE_CUT;
        if (node->name[0] == 1 && node->name[1] == '*')
            dns__build_say(b, GTM_SEV_WARNING, find_type(b, node, DNS_TYPE_NS),
                           "NS at the wildcard %s: names that it covers are answered as missing "
                           "(RFC 4592 4.2 leaves it open)",
                           name_of(node, text));
    }
    if ((parent->flags & DNS_NODE_DNAME) != 0)
        dns__build_say(b, GTM_SEV_ERROR, first_rec(b, node),
                       "%s lies below a DNAME, where nothing may stand (RFC 6672 2.4)",
                       name_of(node, text));
    if (node->cut == DNS__NONE)
        return;
    for (struct dns__rec *r = first_rec(b, node); r != NULL; r = next_rec(b, r)) {
        if (r->rdata == NULL)
            dns__build_say(
                b, GTM_SEV_ERROR, r,
                "dynamic name %s lies at or below a delegation, where it cannot be answered",
                name_of(node, text));
    }
}

/* ---- what records point to ---- */

static uint32_t target_node(const struct dns__build *b, const uint8_t *target)
{
    uint8_t name[DNS_NAME_MAX + DNS_HASH_PAD] = {0};

    if (!dns_name_under(target, b->origin))
        return DNS__NONE;
    unsigned len = (unsigned)dns_name_lower(target, name);
    return dns__build_covering(b, name, len);
}

static bool has_address(const struct dns__build *b, const struct dns__bnode *node)
{
    return find_type(b, node, DNS_TYPE_A) != NULL || find_type(b, node, DNS_TYPE_AAAA) != NULL;
}

static void check_servers(struct dns__build *b, const struct dns__bnode *node)
{
    char text[DNS_NAME_TEXT_MAX];

    for (struct dns__rec *r = first_rec(b, node); r != NULL; r = next_rec(b, r)) {
        if (r->type != DNS_TYPE_NS || r->dropped || !dns_name_under(r->rdata, b->origin))
            continue;
        uint32_t server = target_node(b, r->rdata);
        if (server != DNS__NONE && (b->nodes[server].flags & DNS_NODE_CNAME) != 0)
            dns__build_say(b, GTM_SEV_WARNING, r, "name server %s is a CNAME (RFC 2181 10.3)",
                           dns_name_text(r->rdata, text));
        else if (server == DNS__NONE || !has_address(b, &b->nodes[server])) {
            bool needed = dns_name_under(r->rdata, node->name);
            dns__build_say(b, GTM_SEV_WARNING, r, "name server %s has no address in this zone%s",
                           dns_name_text(r->rdata, text),
                           needed ? ": it cannot be reached without glue" : "");
        }
    }
}

static void check_cname_loop(struct dns__build *b, uint32_t start)
{
    uint32_t at = start;
    char text[DNS_NAME_TEXT_MAX];

    for (unsigned hops = 0; hops < 16; hops++) {
        const struct dns__rec *cname = find_type(b, &b->nodes[at], DNS_TYPE_CNAME);
        if (cname == NULL || cname->rdata == NULL) /* a dynamic one leads where health says */
            return;
        at = target_node(b, cname->rdata);
        if (at == DNS__NONE)
            return;
        if (at == start) {
            dns__build_say(b, GTM_SEV_WARNING, find_type(b, &b->nodes[start], DNS_TYPE_CNAME),
                           "the CNAME at %s leads back to itself", name_of(&b->nodes[start], text));
            return;
        }
    }
}

void dns__zone_check(struct dns__build *b)
{
    for (size_t i = 0; i < b->nodes_count && b->failed == 0; i++) {
        check_duplicates(b, &b->nodes[i]);
        check_ttls(b, &b->nodes[i]);
        check_alone(b, &b->nodes[i]);
        check_soas(b, i);
        place_in_tree(b, i);
    }
    check_top(b);
    for (size_t i = 0; i < b->nodes_count && b->failed == 0; i++) {
        if ((b->nodes[i].flags & DNS_NODE_BELOW) != 0)
            continue;
        if ((b->nodes[i].flags & DNS_NODE_CNAME) != 0)
            check_cname_loop(b, (uint32_t)i);
        if (i == 0 || (b->nodes[i].flags & DNS_NODE_CUT) != 0)
            check_servers(b, &b->nodes[i]);
    }
}
