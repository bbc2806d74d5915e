/* SPDX-License-Identifier: Apache-2.0
 *
 * Builds class maps: walks the geography's leaves and the label sets side by side, asks for the
 * class of each distinct pair once, joins neighbours of one class, and has the trie laid out. Also
 * counting and the look-ups for callers outside the hot path. See classmap.h.
 */
#include "dns/classmap.h"

#include "dns/classmap_internal.h"
#include "dns/geodb.h"
#include "gtm/base/mem.h"

#include <stdbool.h>
#include <string.h>

#define ARENA_ALIGN 64 /* a cache line */

struct builder {
    const struct dns_geodb *db; /* or NULL */
    dns_classify_fn classify;
    void *ctx;
    struct dns__label_sets sets;
    struct dns__hash64 classes; /* (location, label set) → class */
    uint32_t classes_count;     /* highest + 1 */
    struct dns__spans labels[2], out[2];
    struct dns__trie trie;
};

static int class_of(struct builder *builder, uint32_t loc, uint32_t set, uint32_t *ret_class)
{
    static const struct gtm_location unknown;
    uint32_t *place;
    int rc = dns__hash64_place(&builder->classes, (uint64_t)set << 32 | loc, &place);
    if (rc)
        return rc;
    if (*place == DNS__HASH_NONE) {
        const struct dns__label_set *labels = &builder->sets.sets[set];
        *place = builder->classify(
            builder->ctx, builder->db ? &builder->db->locations[loc] : &unknown,
            labels->count ? builder->sets.labels + labels->at : NULL, labels->count);
        if (*place >= DNS_CLASSES_MAX) {
            *place = 0;
            return GTM_ELIMIT;
        }
        if (*place >= builder->classes_count)
            builder->classes_count = *place + 1;
    }
    *ret_class = *place;
    return GTM_OK;
}

/* Adds the classes of [first, last], all at loc, cut where label sets change. *label_at is the span
 * of `labels` that holds first; it moves on. */
static int add_classes(struct builder *builder, int family, dns__key first, dns__key last,
                       uint32_t loc, size_t *label_at)
{
    const struct dns__spans *labels = &builder->labels[family == 6];
    for (;;) {
        uint32_t class_id;
        while (dns__span_last(labels, *label_at) < first)
            (*label_at)++;
        int rc = class_of(builder, loc, labels->items[*label_at].value, &class_id);
        if (!rc)
            rc = dns__spans_add(&builder->out[family == 6], first, class_id);
        dns__key end = dns__span_last(labels, *label_at);
        if (rc || end >= last)
            return rc;
        first = end + 1;
    }
}

static void leaf_range(const struct dns_geodb *db, int family, size_t i, dns__key *ret_first,
                       dns__key *ret_last, uint32_t *ret_loc)
{
    unsigned prefix_len;
    if (family == 4) {
        *ret_first = dns__key_from4(db->v4[i].addr);
        *ret_loc = db->v4[i].loc;
        prefix_len = db->v4[i].prefix_len;
    } else {
        *ret_first = dns__key_from(db->v6[i].hi, db->v6[i].lo);
        *ret_loc = db->v6[i].loc;
        prefix_len = db->v6[i].prefix_len;
    }
    *ret_last = *ret_first | dns__key_tail(prefix_len);
}

static int classify_family(struct builder *builder, int family)
{
    const struct dns_geodb *db = builder->db;
    size_t count = !db ? 0 : family == 4 ? db->v4_count : db->v6_count, label_at = 0;
    dns__key pos = 0; /* all before it is classified */
    for (size_t i = 0; i < count; i++) {
        dns__key first, last;
        uint32_t loc;
        leaf_range(db, family, i, &first, &last, &loc);
        int rc = GTM_OK;
        if (first > pos)
            rc = add_classes(builder, family, pos, first - 1, 0, &label_at);
        if (!rc)
            rc = add_classes(builder, family, first, last, loc, &label_at);
        if (rc || last == DNS__KEY_MAX)
            return rc;
        pos = last + 1;
    }
    return add_classes(builder, family, pos, DNS__KEY_MAX, 0, &label_at);
}

static size_t aligned(size_t bytes)
{
    return (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
}

static void *arena_put(uint8_t *arena, size_t *at, const void *data, size_t bytes)
{
    uint8_t *to = arena + *at;
    if (bytes > 0)
        memcpy(to, data, bytes);
    *at += aligned(bytes);
    return to;
}

/* One block holds the map and all of its tables. NULL when out of memory. */
static struct dns_classmap *pack(const struct dns__trie *trie)
{
    size_t bytes4 = sizeof(uint32_t) << trie->bits4, bytes6 = sizeof(uint32_t) << trie->bits6;
    size_t node_bytes = trie->nodes_count * sizeof(*trie->nodes);
    size_t leaf_bytes = trie->leaves_count * sizeof(*trie->leaves);
    size_t bytes = aligned(sizeof(struct dns_classmap)) + aligned(bytes4) + aligned(bytes6) +
                   aligned(node_bytes) + aligned(leaf_bytes);
    uint8_t *arena = gtm_aligned_alloc(ARENA_ALIGN, bytes);
    if (!arena)
        return NULL;
    struct dns_classmap *map = (struct dns_classmap *)(void *)arena;
    size_t at = aligned(sizeof(*map));
    memset(map, 0, sizeof(*map));
    map->direct4 = arena_put(arena, &at, trie->direct4, bytes4);
    map->direct6 = arena_put(arena, &at, trie->direct6, bytes6);
    map->nodes = arena_put(arena, &at, trie->nodes, node_bytes);
    map->leaves = arena_put(arena, &at, trie->leaves, leaf_bytes);
    map->bits4 = trie->bits4;
    map->shift6 = 64 - trie->bits6;
    map->start6 = 3 + trie->bits6;
    map->root6 = trie->root6;
    map->bytes = bytes;
    atomic_init(&map->refs, 1);
    return map;
}

static int build(struct builder *builder, const struct dns_labeled_network *networks,
                 size_t networks_count, struct dns_classmap **ret_map)
{
    for (int family = 4; family <= 6; family += 2) {
        int f = family == 6;
        int rc =
            dns__label_spans(networks, networks_count, family, &builder->sets, &builder->labels[f]);
        if (!rc)
            rc = classify_family(builder, family);
        if (rc)
            return rc;
        dns__spans_fini(&builder->labels[f]);
    }
    int rc = dns__trie_build4(&builder->trie, &builder->out[0]);
    if (!rc)
        rc = dns__trie_build6(&builder->trie, &builder->out[1]);
    if (rc)
        return rc;
    struct dns_classmap *map = pack(&builder->trie);
    if (!map)
        return GTM_ENOMEM;
    map->classes = builder->classes_count;
    map->leaves4_count = dns__spans_networks(&builder->out[0]);
    map->leaves6_count = dns__spans_networks(&builder->out[1]);
    *ret_map = map;
    return GTM_OK;
}

static bool cpu_is_able(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("popcnt");
#else
    return true;
#endif
}

struct dns_classmap *dns_classmap_build(const struct dns_geodb *db,
                                        const struct dns_labeled_network *networks,
                                        size_t networks_count, dns_classify_fn classify, void *ctx,
                                        struct gtm_error *err)
{
    struct builder builder = {.db = db, .classify = classify, .ctx = ctx};
    struct dns_classmap *map = NULL;
    if (!cpu_is_able()) {
        gtm_error_set(err, GTM_EUNSUPPORTED, "this CPU has no POPCNT instruction");
        return NULL;
    }
    int rc = build(&builder, networks, networks_count, &map);
    if (rc == GTM_ELIMIT)
        gtm_error_set(err, rc, "class map: more than %d classes, or too many networks in routes",
                      DNS_CLASSES_MAX);
    else if (rc)
        gtm_error_set(err, rc, "class map: %s", gtm_err_text(rc));
    for (int f = 0; f < 2; f++) {
        dns__spans_fini(&builder.labels[f]);
        dns__spans_fini(&builder.out[f]);
    }
    dns__label_sets_fini(&builder.sets);
    dns__hash64_fini(&builder.classes);
    dns__trie_fini(&builder.trie);
    return map;
}

static uint32_t class_zero(void *ctx, const struct gtm_location *loc, const uint32_t *labels,
                           size_t labels_count)
{
    (void)ctx, (void)loc, (void)labels, (void)labels_count;
    return 0;
}

struct dns_classmap *dns_classmap_trivial(void)
{
    return dns_classmap_build(NULL, NULL, 0, class_zero, NULL, NULL);
}

struct dns_classmap *dns_classmap_ref(struct dns_classmap *map)
{
    atomic_fetch_add_explicit(&map->refs, 1, memory_order_relaxed);
    return map;
}

void dns_classmap_unref(struct dns_classmap *map)
{
    if (map && atomic_fetch_sub_explicit(&map->refs, 1, memory_order_acq_rel) == 1)
        gtm_free(map);
}

size_t dns_classmap_bytes(const struct dns_classmap *map)
{
    return map->bytes;
}

uint32_t dns_classmap_classes(const struct dns_classmap *map)
{
    return map->classes;
}

size_t dns_classmap_leaves(const struct dns_classmap *map, int family)
{
    return family == 4 ? map->leaves4_count : map->leaves6_count;
}

uint32_t dns_classmap_find4(const struct dns_classmap *map, uint32_t addr_host_order)
{
    return dns__classmap_find4(map, addr_host_order);
}

uint32_t dns_classmap_find6(const struct dns_classmap *map, uint64_t hi, uint64_t lo)
{
    return dns__classmap_find6(map, hi, lo);
}

uint32_t dns_classmap_find(const struct dns_classmap *map, int family, const uint8_t *addr)
{
    dns__key key = dns__key_bytes(family, addr);
    return family == 4 ? dns__classmap_find4(map, (uint32_t)(dns__key_hi(key) >> 32))
                       : dns__classmap_find6(map, dns__key_hi(key), dns__key_lo(key));
}
