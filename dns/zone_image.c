/* SPDX-License-Identifier: Apache-2.0
 *
 * Records → wire images. Names in rdata are compressed only where RFC 3597 4 allows it (the types
 * of RFC 1035), and only against the zone's top, which every question for the zone ends in.
 */
#include "dns/zone_build.h"

#include "gtm/base/mem.h"

#define IMAGE_MAX  65000u /* octets: with header, question and OPT it still fits into a message */
#define FIXUPS_MAX 4096u

struct writer {
    uint8_t *data;
    uint32_t len;
    uint16_t count, fixups;
    bool overflow;
    uint16_t fix[FIXUPS_MAX];
    uint8_t room[IMAGE_MAX];
};

static void put(struct writer *w, const void *data, size_t len)
{
    if (w->len + len > IMAGE_MAX) {
        w->overflow = true;
        return;
    }
    memcpy(w->room + w->len, data, len);
    w->len += (uint32_t)len;
}

/* A name; its end becomes a pointer to the zone's top where that is worth it. */
static void put_name(const struct dns__build *b, struct writer *w, const uint8_t *name)
{
    size_t len = dns_name_len(name);

    if (b->origin_len < 3 || !dns_name_under(name, b->origin)) {
        put(w, name, len);
        return;
    }
    put(w, name, len - b->origin_len);
    if (w->fixups == FIXUPS_MAX) {
        w->overflow = true;
        return;
    }
    w->fix[w->fixups++] = (uint16_t)w->len;
    put(w, "\xc0\x0c", 2);
}

static void put_rdata(const struct dns__build *b, struct writer *w, const struct dns__rec *rec)
{
    const uint8_t *p = rec->rdata;

    switch (rec->type) {
    case DNS_TYPE_NS:
    case DNS_TYPE_CNAME:
    case DNS_TYPE_PTR:
        put_name(b, w, p);
        break;
    case DNS_TYPE_MX:
        put(w, p, 2);
        put_name(b, w, p + 2);
        break;
    case DNS_TYPE_SOA: {
        size_t mname = dns_name_len(p), rname = dns_name_len(p + mname);
        put_name(b, w, p);
        put_name(b, w, p + mname);
        put(w, p + mname + rname, 20);
        break;
    }
    default:
        put(w, p, rec->rdlen);
    }
}

static void put_rr(const struct dns__build *b, struct writer *w, const struct dns__rec *rec,
                   uint32_t ttl)
{
    uint8_t fixed[10];

    dns_put16(fixed, rec->type);
    dns_put16(fixed + 2, DNS_CLASS_IN);
    dns_put32(fixed + 4, ttl);
    dns_put16(fixed + 8, 0);
    put(w, fixed, sizeof(fixed));
    uint32_t start = w->len;
    put_rdata(b, w, rec);
    if (!w->overflow)
        dns_put16(w->room + start - 2, (uint16_t)(w->len - start));
    w->count++;
}

static uint32_t finish(struct dns__build *b, struct writer *w)
{
    uint32_t place = 0;

    if (b->failed == 0 && !w->overflow) {
        size_t even = (w->len + 1u) & ~1u;
        struct dns_image *image = dns__block_add(b, sizeof(*image) + even + w->fixups * 2u, &place);
        if (image != NULL) {
            image->len = (uint16_t)w->len;
            image->count = w->count;
            image->fixups = w->fixups;
            memcpy(image->data, w->room, w->len);
            memcpy(image->data + even, w->fix, w->fixups * 2u);
        }
    }
    if (w->overflow && b->failed == 0)
        b->failed = GTM_ELIMIT;
    gtm_free(w);
    return place;
}

static struct writer *begin(struct dns__build *b)
{
    struct writer *w = b->failed == 0 ? gtm_malloc(sizeof(*w)) : NULL;

    if (w == NULL) {
        if (b->failed == 0)
            b->failed = GTM_ENOMEM;
        return NULL;
    }
    w->len = 0;
    w->count = w->fixups = 0;
    w->overflow = false;
    return w;
}

uint32_t dns__image_set(struct dns__build *b, const struct dns__bnode *node, uint16_t type)
{
    struct writer *w = begin(b);

    if (w == NULL)
        return 0;
    for (uint32_t r = node->first; r != DNS__NONE; r = b->recs[r].next) {
        const struct dns__rec *rec = &b->recs[r];
        if (rec->type != type || rec->dropped)
            continue;
        put(w, "\xc0\x0c", 2);
        put_rr(b, w, rec, rec->ttl);
    }
    if (w->overflow) {
        const struct dns__rec *rec = &b->recs[node->first];
        dns__build_say(b, GTM_SEV_ERROR, rec, "the records of type %u are larger than a message",
                       type);
    }
    return finish(b, w);
}

uint32_t dns__image_negative_soa(struct dns__build *b)
{
    struct writer *w = begin(b);

    if (w == NULL)
        return 0;
    for (uint32_t r = b->nodes[0].first; r != DNS__NONE; r = b->recs[r].next) {
        const struct dns__rec *rec = &b->recs[r];
        if (rec->type != DNS_TYPE_SOA || rec->dropped)
            continue;
        uint32_t minimum = dns_get32(rec->rdata + rec->rdlen - 4);
        put_name(b, w, b->origin);
        put_rr(b, w, rec, rec->ttl < minimum ? rec->ttl : minimum);
    }
    return finish(b, w);
}

static void put_addresses(struct dns__build *b, struct writer *w, const uint8_t *name,
                          const struct dns__bnode *server)
{
    for (uint32_t r = server->first; r != DNS__NONE; r = b->recs[r].next) {
        const struct dns__rec *rec = &b->recs[r];
        if ((rec->type != DNS_TYPE_A && rec->type != DNS_TYPE_AAAA) || rec->dropped ||
            rec->rdata == NULL)
            continue;
        put_name(b, w, name);
        put_rr(b, w, rec, rec->ttl);
    }
}

uint32_t dns__image_glue(struct dns__build *b, const struct dns__bnode *cut)
{
    struct writer *w = begin(b);

    if (w == NULL)
        return 0;
    for (uint32_t r = cut->first; r != DNS__NONE; r = b->recs[r].next) {
        const struct dns__rec *rec = &b->recs[r];
        if (rec->type != DNS_TYPE_NS || rec->dropped || !dns_name_under(rec->rdata, b->origin))
            continue;
        uint8_t name[DNS_NAME_MAX + DNS_HASH_PAD] = {0};
        unsigned len = (unsigned)dns_name_lower(rec->rdata, name);
        uint32_t server = dns__build_covering(b, name, len);
        if (server != DNS__NONE)
            put_addresses(b, w, name, &b->nodes[server]);
    }
    if (w->count == 0) {
        gtm_free(w);
        return 0;
    }
    return finish(b, w);
}
