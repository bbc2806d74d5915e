/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of a class map and its look-up, inlined into the answer path. A poptrie: a directly
 * indexed table for the first bits, then nodes of 64 ways; a node's inner children and its distinct
 * leaves are found by counting bits. Only dns/ includes this. No call allocates, locks or fails.
 */
#ifndef DNS_CLASSMAP_LOOKUP_H
#define DNS_CLASSMAP_LOOKUP_H

#include "dns/classmap.h"

#include <stdatomic.h>

/* An entry of a direct table, a root, or the leaf array: a leaf when this bit is set (class and
 * scope below it), else the number of a node. */
#define DNS__ENTRY_LEAF 0x80000000u

#define DNS__STRIDE 6

/* Almost all of IPv6 in use is 2000::/3: the direct table covers only that, by the bits after the
 * first three; the rest goes through root6, from bit 0. */
#define DNS__V6_UNICAST 1u /* the first three bits */

struct dns__node {
    uint64_t inner;    /* bit i: slot i has a child node */
    uint64_t leaves;   /* bit i: slot i begins a new leaf (meaningless where inner is set) */
    uint32_t inner_at; /* children are nodes[inner_at …] */
    uint32_t leaf_at;  /* leaves are leaves[leaf_at …] */
};

struct dns_classmap {
    const uint32_t *direct4, *direct6;
    const struct dns__node *nodes;
    const uint32_t *leaves;
    unsigned bits4;  /* 0..18: direct4 has 2^bits4 entries */
    unsigned shift6; /* 64 - bits of direct6's index */
    unsigned start6; /* first bit after those of direct6 */
    uint32_t root6;  /* entry for addresses outside 2000::/3 */
    /* --- not for the hot path --- */
    uint32_t classes;
    size_t leaves4_count, leaves6_count, bytes;
    atomic_int refs;
};

static inline unsigned dns__popcount(uint64_t x)
{
#if defined(__x86_64__) && !defined(__POPCNT__)
    /* Without -mpopcnt the compiler calls a library function. dns_classmap_build refuses a CPU
     * older than this instruction (2008). */
    uint64_t n;
    __asm__("popcntq %1, %0" : "=r"(n) : "rm"(x) : "cc");
    return (unsigned)n;
#else
    return (unsigned)__builtin_popcountll(x);
#endif
}

/* Up to and including bit i. */
static inline uint64_t dns__bits_through(unsigned i)
{
    return ~(uint64_t)0 >> (63 - i);
}

/* Both directions out of a node: returns the child's entry or the leaf's. */
static inline uint32_t dns__node_step(const struct dns_classmap *map, uint32_t entry, unsigned slot)
{
    const struct dns__node *node = &map->nodes[entry];
    uint64_t through = dns__bits_through(slot);
    if (node->inner >> slot & 1)
        return node->inner_at + dns__popcount(node->inner & through) - 1;
    return map->leaves[node->leaf_at + dns__popcount(node->leaves & through) - 1];
}

static inline uint32_t dns__classmap_find4(const struct dns_classmap *map, uint32_t addr)
{
    uint32_t entry = map->direct4[(uint64_t)addr >> (32 - map->bits4)];
    uint64_t rest = (uint64_t)addr << 32 << map->bits4;
    while (!(entry & DNS__ENTRY_LEAF)) {
        entry = dns__node_step(map, entry, (unsigned)(rest >> (64 - DNS__STRIDE)));
        rest <<= DNS__STRIDE;
    }
    return entry & ~DNS__ENTRY_LEAF;
}

/* Six bits from `at` (0..127) on; zeros follow the address. */
static inline unsigned dns__slot6(uint64_t hi, uint64_t lo, unsigned at)
{
    if (at <= 64 - DNS__STRIDE)
        return (unsigned)(hi >> (64 - DNS__STRIDE - at)) & 63;
    if (at < 64)
        return (unsigned)(hi << (at - (64 - DNS__STRIDE)) | lo >> (128 - DNS__STRIDE - at)) & 63;
    return (unsigned)(lo << (at - 64) >> (64 - DNS__STRIDE));
}

static inline uint32_t dns__classmap_find6(const struct dns_classmap *map, uint64_t hi, uint64_t lo)
{
    uint32_t entry = map->root6;
    unsigned at = 0;
    if (hi >> 61 == DNS__V6_UNICAST) {
        entry = map->direct6[hi << 3 >> map->shift6];
        at = map->start6;
    }
    for (; !(entry & DNS__ENTRY_LEAF); at += DNS__STRIDE)
        entry = dns__node_step(map, entry, dns__slot6(hi, lo, at));
    return entry & ~DNS__ENTRY_LEAF;
}

/* Starts loading what the look-up touches first; for batches: prefetch all, then find all. */
static inline void dns_classmap_prefetch4(const struct dns_classmap *map, uint32_t addr)
{
    __builtin_prefetch(&map->direct4[(uint64_t)addr >> (32 - map->bits4)]);
}

static inline void dns_classmap_prefetch6(const struct dns_classmap *map, uint64_t hi)
{
    if (hi >> 61 == DNS__V6_UNICAST)
        __builtin_prefetch(&map->direct6[hi << 3 >> map->shift6]);
}

#endif
