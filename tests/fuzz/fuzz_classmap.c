/* SPDX-License-Identifier: Apache-2.0
 *
 * Class maps from arbitrary networks against brute force. Input: one octet with the family and the
 * number of classes, then 18 octets a network: length, label, address. Networks with label 255 are
 * leaves of the geography when they come in order.
 */
#include "dns/classmap.h"
#include "dns/geodb.h"
#include "dns/key128.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NETS_MAX  24
#define NET_BYTES 18

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    int family;
    unsigned classes;
    struct gtm_location locations[2];
    struct dns_geo_leaf4 v4[NETS_MAX];
    struct dns_geo_leaf6 v6[NETS_MAX];
    struct dns_geodb db;
    dns__key leaf_end; /* all leaves so far end before it */
    bool leaf_full;
    struct dns_labeled_network nets[NETS_MAX];
    size_t nets_count;
    dns__key points[4 * NETS_MAX + 2]; /* where a class may begin */
    uint32_t class_at[4 * NETS_MAX + 2];
    size_t points_count;
};

static uint32_t class_by(const struct gtm_location *loc, const uint32_t *labels, size_t count,
                         unsigned classes)
{
    uint32_t hash = loc->asn + 1;
    for (size_t i = 0; i < count; i++)
        hash = hash * 31 + labels[i];
    return hash % classes;
}

static uint32_t classify(void *ctx, const struct gtm_location *loc, const uint32_t *labels,
                         size_t count)
{
    return class_by(loc, labels, count, ((const struct world *)ctx)->classes);
}

static bool inside(dns__key key, dns__key first, unsigned prefix_len)
{
    return ((key ^ first) & ~dns__key_tail(prefix_len)) == 0;
}

static uint32_t brute_class(const struct world *w, dns__key key)
{
    uint32_t loc = 0, labels[256];
    bool has[256] = {false};
    size_t count = 0;
    for (size_t i = 0; i < w->db.v4_count; i++)
        loc |= inside(key, dns__key_from4(w->v4[i].addr), w->v4[i].prefix_len);
    for (size_t i = 0; i < w->db.v6_count; i++)
        loc |= inside(key, dns__key_from(w->v6[i].hi, w->v6[i].lo), w->v6[i].prefix_len);
    for (size_t i = 0; i < w->nets_count; i++)
        if (inside(key, dns__key_bytes(w->family, w->nets[i].addr), w->nets[i].prefix_len))
            has[w->nets[i].label] = true;
    for (uint32_t label = 0; label < 256; label++)
        if (has[label])
            labels[count++] = label;
    return class_by(&w->locations[loc], labels, count, w->classes);
}

static void add_network(struct world *w, const uint8_t *in)
{
    unsigned width = w->family == 4 ? 32 : 128, len = in[0] % (width + 1);
    dns__key first = dns__key_bytes(w->family, in + 2) & ~dns__key_tail(len);
    dns__key last = first | dns__key_tail(len);
    w->points[w->points_count++] = first;
    w->points[w->points_count++] = last + 1;
    if (in[1] < 255) {
        struct dns_labeled_network *net = &w->nets[w->nets_count++];
        *net = (struct dns_labeled_network){
            .family = (uint8_t)w->family, .prefix_len = (uint8_t)len, .label = in[1]};
        memcpy(net->addr, in + 2, width / 8);
    } else if (!w->leaf_full && first >= w->leaf_end) {
        w->leaf_end = last + 1;
        w->leaf_full = last == DNS__KEY_MAX;
        if (w->family == 4)
            w->v4[w->db.v4_count++] =
                (struct dns_geo_leaf4){(uint32_t)(dns__key_hi(first) >> 32), 1, (uint8_t)len};
        else
            w->v6[w->db.v6_count++] =
                (struct dns_geo_leaf6){dns__key_hi(first), dns__key_lo(first), 1, (uint8_t)len};
    }
}

static bool uniform(const struct world *w, dns__key first, unsigned len, uint32_t class_id)
{
    if (brute_class(w, first) != class_id)
        return false;
    for (size_t i = 0; i < w->points_count; i++)
        if (inside(w->points[i], first, len) && w->class_at[i] != class_id)
            return false;
    return true;
}

static void check(const struct world *w, const struct dns_classmap *map, dns__key key)
{
    if (w->family == 4)
        key &= ~dns__key_tail(32);
    uint32_t leaf = w->family == 4 ? dns_classmap_find4(map, (uint32_t)(dns__key_hi(key) >> 32))
                                   : dns_classmap_find6(map, dns__key_hi(key), dns__key_lo(key));
    unsigned scope = DNS_LEAF_SCOPE(leaf);
    if (DNS_LEAF_CLASS(leaf) != brute_class(w, key) || scope > (w->family == 4 ? 32u : 128u) ||
        !uniform(w, key & ~dns__key_tail(scope), scope, DNS_LEAF_CLASS(leaf)))
        abort();
    if (scope > 0 && uniform(w, key & ~dns__key_tail(scope - 1), scope - 1, DNS_LEAF_CLASS(leaf)))
        abort(); /* a larger network would have done */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w;
    memset(&w, 0, sizeof(w));
    if (size < 1)
        return 0;
    w.family = data[0] & 1 ? 6 : 4;
    w.classes = 1 + (data[0] >> 1);
    w.locations[1].asn = 1;
    w.db =
        (struct dns_geodb){.locations = w.locations, .locations_count = 2, .v4 = w.v4, .v6 = w.v6};
    w.points[w.points_count++] = 0;
    for (size_t i = 0; i < NETS_MAX && 1 + (i + 1) * NET_BYTES <= size; i++)
        add_network(&w, data + 1 + i * NET_BYTES);
    for (size_t i = 0; i < w.points_count; i++)
        w.class_at[i] = brute_class(&w, w.points[i]);
    struct gtm_error err = {0};
    struct dns_classmap *map = dns_classmap_build(&w.db, w.nets, w.nets_count, classify, &w, &err);
    if (!map)
        abort();
    for (size_t i = 0; i < w.points_count; i++) {
        check(&w, map, w.points[i]);
        check(&w, map, w.points[i] - 1);
    }
    dns_classmap_unref(map);
    return 0;
}
