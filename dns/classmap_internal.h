/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of the class map's builder share. Private to dns/classmap*.c; one build, one
 * thread.
 */
#ifndef DNS_CLASSMAP_INTERNAL_H
#define DNS_CLASSMAP_INTERNAL_H

#include "dns/classmap.h"
#include "dns/classmap_lookup.h"
#include "dns/hash64.h"
#include "dns/key128.h"

#define DNS__LABEL_NETWORKS_MAX 10000000u
#define DNS__LABEL_SETS_MAX     16000000u /* labels in all distinct sets together */

/* From `hi:lo` on, until the next one starts, all addresses have this value (a label set, a class).
 */
struct dns__span {
    uint64_t hi, lo;
    uint32_t value;
};

/* Sorted, without two equal neighbours; the first starts at address zero. Zero-initialise, then
 * dns__spans_fini. */
struct dns__spans {
    struct dns__span *items;
    size_t count, cap;
};
int dns__spans_add(struct dns__spans *spans, dns__key first, uint32_t value) GTM_MUST_CHECK;
void dns__spans_fini(struct dns__spans *spans);
static inline dns__key dns__span_first(const struct dns__spans *spans, size_t i)
{
    return dns__key_from(spans->items[i].hi, spans->items[i].lo);
}
static inline dns__key dns__span_last(const struct dns__spans *spans, size_t i)
{
    return i + 1 < spans->count ? dns__span_first(spans, i + 1) - 1 : DNS__KEY_MAX;
}

/* Distinct sets of labels; set 0 is empty. Zero-initialise, then dns__label_sets_fini. */
struct dns__label_sets {
    struct dns__label_set {
        size_t at;
        uint32_t count;
    } * sets;
    size_t sets_count, sets_cap;
    uint32_t *labels; /* of all sets, each sorted and distinct */
    size_t labels_count, labels_cap;
    struct dns__hash64 index;
};
void dns__label_sets_fini(struct dns__label_sets *sets);

/* The label set of every address of a family. GTM_EINVAL (prefix_len), GTM_ELIMIT, GTM_ENOMEM. */
int dns__label_spans(const struct dns_labeled_network *networks, size_t count, int family,
                     struct dns__label_sets *sets, struct dns__spans *ret_spans) GTM_MUST_CHECK;

/* The trie while it is built: both families share nodes and leaves. Zero-initialise, then
 * dns__trie_fini. */
struct dns__trie {
    uint32_t *direct4, *direct6;
    unsigned bits4, bits6; /* bits of the index */
    uint32_t root6;
    uint64_t ignored_slots; /* of a root node: built elsewhere */
    struct dns__node *nodes;
    size_t nodes_count, nodes_cap;
    uint32_t *leaves;
    size_t leaves_count, leaves_cap;
};
int dns__trie_build4(struct dns__trie *trie, const struct dns__spans *classes) GTM_MUST_CHECK;
int dns__trie_build6(struct dns__trie *trie, const struct dns__spans *classes) GTM_MUST_CHECK;
void dns__trie_fini(struct dns__trie *trie);
/* How many maximal networks the spans fall into. */
size_t dns__spans_networks(const struct dns__spans *spans);

#endif
