/* SPDX-License-Identifier: Apache-2.0
 *
 * Which dynamic name a question reaches, for explain. The answer path has a faster way of its own
 * (dns/query.c); both are held together by tests.
 */
#include "dns/zone.h"

#include "dns/zone_int.h"

#define HIDDEN (DNS_NODE_CUT | DNS_NODE_BELOW)

static int64_t slot_of(const struct dns_node *node, uint16_t type)
{
    const struct dns_set *set = node ? dns__node_set(node, type) : NULL;
    return set && set->dynamic && !(node->flags & HIDDEN) ? (int64_t)set->value : -1;
}

int64_t dns_zone_slot(const struct dns_zone *zone, const uint8_t *name, uint16_t type)
{
    uint8_t padded[DNS_NAME_MAX + DNS_HASH_PAD + 2] = {0}, offsets[DNS_LABELS_MAX];
    uint8_t wild[DNS_NAME_MAX + DNS_HASH_PAD + 2] = {1, '*'};
    uint64_t hashes[DNS_LABELS_MAX];
    size_t len = dns_name_lower(name, padded);
    unsigned labels = dns__hash_name(padded, offsets, hashes);

    for (unsigned i = 0; i + zone->apex_labels <= labels; i++) {
        size_t at = i < labels ? offsets[i] : len - 1;
        const struct dns_node *node =
            dns__zone_find(zone, hashes[i], padded + at, (unsigned)(len - at));
        if (node == NULL)
            continue;
        if (i == 0)
            return slot_of(node, type);
        /* the closest encloser: below it only its wildcard can answer */
        if (!(node->flags & DNS_NODE_WILDCARD) || (node->flags & (HIDDEN | DNS_NODE_DNAME)))
            return -1;
        size_t wild_len = len - at + 2;
        if (wild_len > DNS_NAME_MAX)
            return -1;
        memcpy(wild + 2, padded + at, len - at);
        node = dns__zone_find(zone, dns__hash_label(hashes[i], wild), wild, (unsigned)wild_len);
        return slot_of(node, type);
    }
    return -1;
}
