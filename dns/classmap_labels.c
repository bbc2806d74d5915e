/* SPDX-License-Identifier: Apache-2.0
 *
 * Turns the networks that policies name into label sets: for every address the labels of all
 * networks that hold it, each distinct set kept once. See classmap_internal.h.
 */
#include "dns/classmap_internal.h"
#include "dns/geodb_internal.h"
#include "gtm/base/mem.h"

#include <stdlib.h>
#include <string.h>

int dns__spans_add(struct dns__spans *spans, dns__key first, uint32_t value)
{
    if (spans->count > 0 && spans->items[spans->count - 1].value == value)
        return GTM_OK;
    int rc = gtm_grow((void **)&spans->items, &spans->cap, spans->count + 1, sizeof(*spans->items));
    if (rc)
        return rc;
    spans->items[spans->count++] =
        (struct dns__span){.hi = dns__key_hi(first), .lo = dns__key_lo(first), .value = value};
    return GTM_OK;
}

void dns__spans_fini(struct dns__spans *spans)
{
    gtm_free(spans->items);
    memset(spans, 0, sizeof(*spans));
}

void dns__label_sets_fini(struct dns__label_sets *sets)
{
    gtm_free(sets->sets);
    gtm_free(sets->labels);
    dns__hash64_fini(&sets->index);
    memset(sets, 0, sizeof(*sets));
}

/* Interns the set that has just been put behind the others in `labels`. */
static int intern_last(struct dns__label_sets *sets, size_t at, uint32_t *ret_set)
{
    uint32_t count = (uint32_t)(sets->labels_count - at);
    uint64_t key = count;
    for (size_t i = at; i < sets->labels_count; i++)
        key = dns__mix64(key ^ sets->labels[i]) + 1;
    uint32_t *place;
    for (;; key++) {
        int rc = dns__hash64_place(&sets->index, key, &place);
        if (rc)
            return rc;
        if (*place == DNS__HASH_NONE)
            break;
        const struct dns__label_set *have = &sets->sets[*place];
        if (have->count == count &&
            (count == 0 ||
             memcmp(sets->labels + have->at, sets->labels + at, count * sizeof(uint32_t)) == 0)) {
            sets->labels_count = at;
            *ret_set = *place;
            return GTM_OK;
        }
    }
    *place = 0;
    if (sets->labels_count > DNS__LABEL_SETS_MAX)
        return GTM_ELIMIT;
    int rc =
        gtm_grow((void **)&sets->sets, &sets->sets_cap, sets->sets_count + 1, sizeof(*sets->sets));
    if (rc)
        return rc;
    *ret_set = *place = (uint32_t)sets->sets_count;
    sets->sets[sets->sets_count++] = (struct dns__label_set){.at = at, .count = count};
    return GTM_OK;
}

static int add_label(struct dns__label_sets *sets, uint32_t label)
{
    int rc = gtm_grow((void **)&sets->labels, &sets->labels_cap, sets->labels_count + 1,
                      sizeof(*sets->labels));
    if (!rc)
        sets->labels[sets->labels_count++] = label;
    return rc;
}

struct net {
    dns__key first;
    uint32_t label;
    uint8_t prefix_len;
};

static int net_compare(const void *a, const void *b)
{
    const struct net *x = a, *y = b;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    if (x->prefix_len != y->prefix_len)
        return x->prefix_len < y->prefix_len ? -1 : 1;
    return (x->label > y->label) - (x->label < y->label);
}

/* The parent set and the labels of nets[0..count), which are sorted, merged into one set. */
static int union_set(struct dns__label_sets *sets, uint32_t parent, const struct net *nets,
                     size_t count, uint32_t *ret_set)
{
    size_t at = sets->labels_count, from = sets->sets[parent].at;
    size_t end = from + sets->sets[parent].count, i = 0;
    while (from < end || i < count) {
        uint32_t label;
        if (i == count || (from < end && sets->labels[from] <= nets[i].label))
            label = sets->labels[from++];
        else
            label = nets[i++].label;
        if (sets->labels_count > at && sets->labels[sets->labels_count - 1] == label)
            continue;
        int rc = add_label(sets, label);
        if (rc)
            return rc;
    }
    return intern_last(sets, at, ret_set);
}

static int emit_span(void *ctx, dns__key first, dns__key last, uint32_t value)
{
    (void)last; /* the root network leaves no gaps */
    return dns__spans_add(ctx, first, value);
}

static int sweep_nets(const struct net *nets, size_t count, struct dns__label_sets *sets,
                      struct dns__spans *ret_spans)
{
    struct dns__sweep sweep = {.emit = emit_span, .ctx = ret_spans};
    uint32_t set = 0;
    int rc = dns__sweep_open(&sweep, 0, DNS__KEY_MAX, set); /* all without a label */
    for (size_t i = 0, next; !rc && i < count; i = next) {
        for (next = i + 1; next < count && nets[next].first == nets[i].first &&
                           nets[next].prefix_len == nets[i].prefix_len;)
            next++;
        rc = dns__sweep_to(&sweep, nets[i].first);
        if (!rc)
            rc = union_set(sets, sweep.stack[sweep.depth - 1].value, nets + i, next - i, &set);
        if (!rc)
            rc = dns__sweep_open(&sweep, nets[i].first,
                                 nets[i].first | dns__key_tail(nets[i].prefix_len), set);
    }
    return rc ? rc : dns__sweep_end(&sweep);
}

int dns__label_spans(const struct dns_labeled_network *networks, size_t count, int family,
                     struct dns__label_sets *sets, struct dns__spans *ret_spans)
{
    size_t n = 0;
    if (sets->sets_count == 0) {
        uint32_t empty;
        int rc = intern_last(sets, 0, &empty);
        if (rc)
            return rc;
    }
    if (count > DNS__LABEL_NETWORKS_MAX)
        return GTM_ELIMIT;
    struct net *nets = gtm_aligned_alloc(_Alignof(struct net), (count + 1) * sizeof(*nets));
    if (!nets)
        return GTM_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        if (networks[i].prefix_len > (networks[i].family == 4 ? 32 : 128) ||
            (networks[i].family != 4 && networks[i].family != 6)) {
            gtm_free(nets);
            return GTM_EINVAL;
        }
        if (networks[i].family != family)
            continue;
        dns__key key = dns__key_bytes(family, networks[i].addr);
        nets[n++] = (struct net){.first = key & ~dns__key_tail(networks[i].prefix_len),
                                 .label = networks[i].label,
                                 .prefix_len = networks[i].prefix_len};
    }
    if (n > 1)
        qsort(nets, n, sizeof(*nets), net_compare);
    int rc = sweep_nets(nets, n, sets, ret_spans);
    gtm_free(nets);
    return rc;
}
