/* SPDX-License-Identifier: Apache-2.0
 *
 * What a question reaches in a zone, for aliases and explain. The answer path has a faster way of
 * its own (dns/query.c); both are held together by tests.
 */
#include "dns/zone.h"

#include "dns/zone_int.h"

#define HIDDEN (DNS_NODE_CUT | DNS_NODE_BELOW)

static void look_at(const struct dns_zone *zone, const struct dns_node *node, uint16_t type,
                    struct dns_zone_found *ret)
{
    const struct dns_set *set = dns__node_set(node, type);
    bool cname = set == NULL && (node->flags & DNS_NODE_CNAME) != 0;

    if ((node->flags & HIDDEN) != 0) {
        ret->what = DNS_ZONE_DELEGATED;
        return;
    }
    if (cname)
        set = dns__node_set(node, DNS_TYPE_CNAME);
    if (set == NULL) {
        ret->what = DNS_ZONE_NODATA;
    } else if (set->dynamic != 0) {
        ret->what = cname ? DNS_ZONE_DYNAMIC_CNAME : DNS_ZONE_DYNAMIC;
        ret->slot = set->value;
    } else {
        const struct dns_image *image = dns__zone_image(zone, set->value);
        ret->what = cname ? DNS_ZONE_CNAME : DNS_ZONE_RECORDS;
        ret->ttl_s = set->ttl_s;
        ret->image = image;
        if (cname)
            dns__zone_expand(zone, image, DNS_RR_FIXED, dns_get16(image->data + 10), ret->target);
    }
}

/* Below the closest encloser only its wildcard can answer. */
static const struct dns_node *wildcard_of(const struct dns_zone *zone, uint64_t hash,
                                          const uint8_t *suffix, size_t suffix_len)
{
    uint8_t wild[DNS_NAME_MAX + DNS_HASH_PAD + 2] = {1, '*'};

    if (suffix_len + 2 > DNS_NAME_MAX)
        return NULL;
    memcpy(wild + 2, suffix, suffix_len);
    return dns__zone_find(zone, dns__hash_label(hash, wild), wild, (unsigned)suffix_len + 2);
}

void dns_zone_look(const struct dns_zone *zone, const uint8_t *name, uint16_t type,
                   struct dns_zone_found *ret)
{
    uint8_t padded[DNS_NAME_MAX + DNS_HASH_PAD] = {0}, offsets[DNS_LABELS_MAX];
    uint64_t hashes[DNS_LABELS_MAX];
    size_t len = dns_name_lower(name, padded);
    unsigned labels = dns__hash_name(padded, offsets, hashes);

    *ret = (struct dns_zone_found){.what = DNS_ZONE_MISSING};
    for (unsigned i = 0; i + zone->apex_labels <= labels; i++) {
        size_t at = i < labels ? offsets[i] : len - 1;
        const struct dns_node *node =
            dns__zone_find(zone, hashes[i], padded + at, (unsigned)(len - at));
        if (node == NULL)
            continue;
        if (i > 0 && (node->flags & HIDDEN) != 0) {
            ret->what = DNS_ZONE_DELEGATED;
            return;
        }
        if (i > 0 && (node->flags & DNS_NODE_DNAME) != 0) {
            ret->what = DNS_ZONE_DNAME;
            return;
        }
        if (i > 0)
            node = (node->flags & DNS_NODE_WILDCARD) != 0
                       ? wildcard_of(zone, hashes[i], padded + at, len - at)
                       : NULL;
        if (node != NULL && (i == 0 || (node->flags & HIDDEN) == 0))
            look_at(zone, node, type, ret);
        return;
    }
}

size_t dns_zone_addresses(const struct dns_zone_found *found, uint8_t *out, size_t room)
{
    const struct dns_image *image = found->image;
    size_t n = 0, at = 0;

    for (unsigned i = 0; i < image->count; i++) {
        uint16_t rdlen = dns_get16(image->data + at + 10);
        if (n + rdlen <= room)
            memcpy(out + n, image->data + at + DNS_RR_FIXED, rdlen);
        n += rdlen;
        at += DNS_RR_FIXED + rdlen;
    }
    return image->count;
}

int64_t dns_zone_slot(const struct dns_zone *zone, const uint8_t *name, uint16_t type)
{
    struct dns_zone_found found;

    dns_zone_look(zone, name, type, &found);
    return found.what == DNS_ZONE_DYNAMIC ? (int64_t)found.slot : -1;
}
