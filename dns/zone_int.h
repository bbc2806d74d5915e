/* SPDX-License-Identifier: Apache-2.0
 *
 * The compiled zone's memory, for the answer path (dns/answer*.c) and the compiler (dns/zone_*.c)
 * only.
 *
 * One block holds nodes and images; places in it are numbers of eight octets, so that they fit in
 * 32 bits:
 *
 *     slots[]  {tag, node}        open addressing over the hash of the whole name
 *     node     header, sets[], name      one or two cache lines
 *     image    header, records ready for the wire, fix-ups
 *
 * In an image the owner of every record is a pointer to the question's name (0xC00C), except in
 * glue, which carries its owners. A fix-up is the place of a two-octet pointer to the zone's top,
 * whose offset in the message depends on the question.
 */
#ifndef DNS_ZONE_INT_H
#define DNS_ZONE_INT_H

#include "dns/hash.h"
#include "dns/rr.h"
#include "dns/zone.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DNS_POINTER_QNAME 0xc00cu
#define DNS_RR_FIXED      12u /* owner pointer, type, class, TTL, rdlength */

enum dns_node_flag {
    DNS_NODE_CUT = 1,      /* NS below the top: a delegation */
    DNS_NODE_BELOW = 2,    /* under a delegation: glue or hidden */
    DNS_NODE_WILDCARD = 4, /* has a child "*" */
    DNS_NODE_DNAME = 8,
    DNS_NODE_CNAME = 16
};

struct dns_image {
    uint16_t len;    /* octets of records */
    uint16_t count;  /* records */
    uint16_t fixups; /* behind the records, at an even place */
    uint16_t reserved;
    uint8_t data[];
};

struct dns_set {
    uint16_t type;
    uint16_t dynamic; /* 0: value is the place of an image; else enum dns_kind + 1: a slot */
    uint32_t value;
    uint32_t ttl_s;
    uint32_t signatures; /* place of the signatures' image, 0 = none */
};

struct dns_node {
    uint32_t tag;
    uint16_t flags;
    uint16_t sets_count;
    uint32_t cut;     /* node of the delegation at or above, for CUT and BELOW */
    uint32_t glue;    /* image with a delegation's glue, 0 = none */
    uint8_t name_len; /* octets */
    uint8_t reserved[7];
    struct dns_set sets[]; /* then the canonical name */
};

struct dns_zone_slot {
    uint32_t tag;
    uint32_t node; /* 0 = free */
};

struct dns_zone {
    const struct dns_zone_slot *slots;
    uint64_t mask; /* slots - 1 */
    const uint8_t *block;
    uint32_t apex;         /* node */
    uint32_t negative_soa; /* image: SOA with its negative TTL, owner = top */
    uint8_t apex_len, apex_labels;
    uint8_t apex_name[DNS_NAME_MAX];
    struct dns_zone_info info;
    atomic_int refs;
    void *slots_memory, *block_memory;
};

static inline const struct dns_node *dns__zone_node(const struct dns_zone *zone, uint32_t place)
{
    return (const struct dns_node *)(const void *)(zone->block + (size_t)place * 8);
}

static inline const struct dns_image *dns__zone_image(const struct dns_zone *zone, uint32_t place)
{
    return (const struct dns_image *)(const void *)(zone->block + (size_t)place * 8);
}

static inline const uint8_t *dns__node_name(const struct dns_node *node)
{
    return (const uint8_t *)&node->sets[node->sets_count];
}

static inline uint32_t dns__hash_tag(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

/* The node of the canonical name (len octets) with that hash, or NULL. */
static inline const struct dns_node *dns__zone_find(const struct dns_zone *zone, uint64_t hash,
                                                    const uint8_t *name, unsigned len)
{
    uint32_t tag = dns__hash_tag(hash);

    for (uint64_t i = hash & zone->mask;; i = (i + 1) & zone->mask) {
        const struct dns_zone_slot *slot = &zone->slots[i];
        if (slot->node == 0)
            return NULL;
        if (slot->tag != tag)
            continue;
        const struct dns_node *node = dns__zone_node(zone, slot->node);
        if (node->name_len == len && memcmp(dns__node_name(node), name, len) == 0)
            return node;
    }
}

static inline const struct dns_set *dns__node_set(const struct dns_node *node, uint16_t type)
{
    for (unsigned i = 0; i < node->sets_count; i++)
        if (node->sets[i].type == type)
            return &node->sets[i];
    return NULL;
}

/* The uncompressed rdata of the record whose rdata stands at rdata_at of the image; out: rdlen +
 * two names' room. Returns its octets. */
size_t dns__zone_expand(const struct dns_zone *zone, const struct dns_image *image, size_t rdata_at,
                        uint16_t rdlen, uint8_t *out);

#endif
