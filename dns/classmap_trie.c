/* SPDX-License-Identifier: Apache-2.0
 *
 * Lays out the poptrie from the spans of classes. Every leaf carries the length of the longest
 * network around it that has one class, which is the ECS scope; leaves of spans are disjoint, so
 * are the scopes. See classmap_internal.h and classmap_lookup.h.
 */
#include "dns/classmap_internal.h"
#include "gtm/base/mem.h"

#include <string.h>

#define SLOTS          (1u << DNS__STRIDE)
#define NODES_MAX      (DNS__ENTRY_LEAF - 1)
#define UNICAST6_SKIP  3 /* the bits that all of 2000::/3 have in common */
#define UNICAST6_FIRST ((dns__key)DNS__V6_UNICAST << 125)
#define UNICAST6_SLOTS ((uint64_t)0xff << (DNS__V6_UNICAST << (DNS__STRIDE - UNICAST6_SKIP)))

/* Where a walk in address order stands; only moves on. */
struct cursor {
    const struct dns__spans *spans;
    size_t at; /* the span that holds the current address */
};

static void cursor_to(struct cursor *cursor, dns__key address)
{
    while (dns__span_last(cursor->spans, cursor->at) < address)
        cursor->at++;
}

/* The leaf of a block that lies inside the cursor's span. */
static uint32_t leaf_of(const struct cursor *cursor, dns__key first)
{
    unsigned scope = dns__key_fit(first, dns__span_first(cursor->spans, cursor->at),
                                  dns__span_last(cursor->spans, cursor->at));
    return DNS__ENTRY_LEAF | cursor->spans->items[cursor->at].value << 8 | scope;
}

static int reserve_nodes(struct dns__trie *trie, size_t count, uint32_t *ret_at)
{
    if (trie->nodes_count + count > NODES_MAX)
        return GTM_ELIMIT;
    int rc = gtm_grow((void **)&trie->nodes, &trie->nodes_cap, trie->nodes_count + count,
                      sizeof(*trie->nodes));
    if (rc)
        return rc;
    memset(trie->nodes + trie->nodes_count, 0, count * sizeof(*trie->nodes));
    *ret_at = (uint32_t)trie->nodes_count;
    trie->nodes_count += count;
    return GTM_OK;
}

static int add_leaf(struct dns__trie *trie, uint32_t leaf)
{
    if (trie->leaves_count >= UINT32_MAX)
        return GTM_ELIMIT;
    int rc = gtm_grow((void **)&trie->leaves, &trie->leaves_cap, trie->leaves_count + 1,
                      sizeof(*trie->leaves));
    if (!rc)
        trie->leaves[trie->leaves_count++] = leaf;
    return rc;
}

/* The first address of a slot: `depth` bits of base are fixed, the slot's number follows. The last
 * node of an address may have fewer than 64 slots. */
static dns__key slot_first(dns__key base, unsigned depth, unsigned slot)
{
    return base | ((dns__key)slot << (128 - DNS__STRIDE)) >> depth;
}

/* Fills a node's two bit vectors and adds its leaves; the cursor moves to the node's end. */
static int fill_node(struct dns__trie *trie, struct cursor *cursor, dns__key base, unsigned depth,
                     struct dns__node *ret_node)
{
    uint32_t before = 0; /* no leaf has this value: the leaf bit is missing */
    unsigned slots = 128 - depth < DNS__STRIDE ? 1u << (128 - depth) : SLOTS;
    unsigned skip = SLOTS / slots;
    *ret_node = (struct dns__node){.leaf_at = (uint32_t)trie->leaves_count};
    for (unsigned slot = 0; slot < SLOTS; slot += skip) {
        if (depth == 0 && trie->ignored_slots >> slot & 1)
            continue;
        dns__key first = slot_first(base, depth, slot);
        cursor_to(cursor, first);
        if (dns__span_last(cursor->spans, cursor->at) <
            (first | dns__key_tail(depth + DNS__STRIDE))) {
            ret_node->inner |= (uint64_t)1 << slot;
            continue;
        }
        uint32_t leaf = leaf_of(cursor, first);
        if (leaf == before)
            continue;
        ret_node->leaves |= (uint64_t)1 << slot;
        before = leaf;
        int rc = add_leaf(trie, leaf);
        if (rc)
            return rc;
    }
    return GTM_OK;
}

/* Builds the node numbered `at` for the addresses that begin with `depth` bits of base. Recurses at
 * most once for every six bits of an address. */
static int build_node(struct dns__trie *trie, struct cursor cursor, dns__key base, unsigned depth,
                      uint32_t at)
{
    struct dns__node node;
    struct cursor ahead = cursor;
    int rc = fill_node(trie, &ahead, base, depth, &node);
    if (!rc)
        rc = reserve_nodes(trie, dns__popcount(node.inner), &node.inner_at);
    if (rc)
        return rc;
    trie->nodes[at] = node;
    uint32_t child = node.inner_at;
    for (uint64_t inner = node.inner; inner; inner &= inner - 1) {
        dns__key first = slot_first(base, depth, (unsigned)__builtin_ctzll(inner));
        cursor_to(&cursor, first);
        rc = build_node(trie, cursor, first, depth + DNS__STRIDE, child++);
        if (rc)
            return rc;
    }
    return GTM_OK;
}

/* The entry for the addresses that begin with `depth` bits of first. */
static int build_entry(struct dns__trie *trie, struct cursor *cursor, dns__key first,
                       unsigned depth, uint32_t *ret_entry)
{
    cursor_to(cursor, first);
    if (dns__span_last(cursor->spans, cursor->at) >= (first | dns__key_tail(depth))) {
        *ret_entry = leaf_of(cursor, first);
        return GTM_OK;
    }
    int rc = reserve_nodes(trie, 1, ret_entry);
    return rc ? rc : build_node(trie, *cursor, first, depth, *ret_entry);
}

static int build_direct(struct dns__trie *trie, struct cursor *cursor, dns__key base,
                        unsigned skipped_bits, unsigned bits, uint32_t **ret_direct)
{
    uint32_t *direct = gtm_calloc((size_t)1 << bits, sizeof(*direct));
    *ret_direct = direct;
    if (!direct)
        return GTM_ENOMEM;
    unsigned depth = skipped_bits + bits;
    for (size_t i = 0; i < (size_t)1 << bits; i++) {
        dns__key first = base | (bits ? (dns__key)i << (128 - depth) : 0);
        int rc = build_entry(trie, cursor, first, depth, &direct[i]);
        if (rc)
            return rc;
    }
    return GTM_OK;
}

size_t dns__spans_networks(const struct dns__spans *spans)
{
    size_t count = 0;
    for (size_t i = 0; i < spans->count; i++) {
        dns__key first = dns__span_first(spans, i), last = dns__span_last(spans, i);
        for (dns__key at = first;; count++) {
            dns__key end = at | dns__key_tail(dns__key_fit(at, first, last));
            if (end == last)
                break;
            at = end + 1;
        }
        count++;
    }
    return count;
}

/* A direct table must not outweigh what it leads to. The steps keep the usual lengths (/24; /32,
 * /44, /48) at the end of a node. */
static unsigned direct_bits(size_t networks, const unsigned bits[3])
{
    return networks >= 32768 ? bits[2] : networks >= 1024 ? bits[1] : bits[0];
}

int dns__trie_build4(struct dns__trie *trie, const struct dns__spans *classes)
{
    static const unsigned bits[3] = {0, 12, 18};
    struct cursor cursor = {.spans = classes};
    trie->bits4 = direct_bits(classes->count, bits);
    return build_direct(trie, &cursor, 0, 0, trie->bits4, &trie->direct4);
}

int dns__trie_build6(struct dns__trie *trie, const struct dns__spans *classes)
{
    static const unsigned bits[3] = {5, 11, 17};
    struct cursor cursor = {.spans = classes};
    trie->bits6 = direct_bits(classes->count, bits);
    int rc =
        build_direct(trie, &cursor, UNICAST6_FIRST, UNICAST6_SKIP, trie->bits6, &trie->direct6);
    if (rc)
        return rc;
    /* The root leads to all other addresses; nobody goes through it to 2000::/3. */
    trie->ignored_slots = UNICAST6_SLOTS;
    cursor.at = 0;
    rc = build_entry(trie, &cursor, 0, 0, &trie->root6);
    trie->ignored_slots = 0;
    return rc;
}

void dns__trie_fini(struct dns__trie *trie)
{
    gtm_free(trie->direct4);
    gtm_free(trie->direct6);
    gtm_free(trie->nodes);
    gtm_free(trie->leaves);
    memset(trie, 0, sizeof(*trie));
}
