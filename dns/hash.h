/* SPDX-License-Identifier: Apache-2.0
 *
 * The hash of a name and, on the way, of each of its suffixes: built from the root label downwards,
 * so that one pass over a query's name gives what finding the zone, the node and the closest
 * encloser need. Internal to dns/. Pure.
 */
#ifndef DNS_HASH_H
#define DNS_HASH_H

#include "dns/name.h"

#include <stdint.h>
#include <string.h>

#define DNS_HASH_ROOT 0x9e3779b97f4a7c15u
#define DNS_HASH_PAD  8 /* readable octets needed behind a name */

/* The hash of label + suffix. `label` points to the length octet of a canonical label with
 * DNS_HASH_PAD readable octets behind it. */
static inline uint64_t dns__hash_label(uint64_t suffix, const uint8_t *label)
{
    unsigned left = label[0] + 1u;
    uint64_t h = suffix, w;

    while (left >= 8) {
        memcpy(&w, label, 8);
        h = (h ^ w) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
        label += 8;
        left -= 8;
    }
    memcpy(&w, label, 8);
    w &= ((uint64_t)1 << (left * 8)) - 1; /* left ≤ 7 */
    h = (h ^ w) * 0xc4ceb9fe1a85ec53u;
    return h ^ (h >> 29);
}

/* Fills offsets[0..labels) and hashes[0..labels]: hashes[i] is that of the suffix that starts at
 * label i, hashes[labels] the root's. `name` is canonical and padded. Returns the number of labels
 * without the root. */
static inline unsigned dns__hash_name(const uint8_t *name, uint8_t offsets[DNS_LABELS_MAX],
                                      uint64_t hashes[DNS_LABELS_MAX])
{
    unsigned labels = 0, off = 0;

    while (name[off] != 0) {
        offsets[labels++] = (uint8_t)off;
        off += name[off] + 1u;
    }
    uint64_t h = DNS_HASH_ROOT;
    hashes[labels] = h;
    for (unsigned i = labels; i-- > 0;) {
        h = dns__hash_label(h, name + offsets[i]);
        hashes[i] = h;
    }
    return labels;
}

#endif
