/* SPDX-License-Identifier: Apache-2.0
 *
 * A class map turns an address into {class, scope}: what the steering policies think of the place,
 * and the longest prefix length (ECS scope, RFC 7871 7.2.1) for which that holds. It depends on
 * geography and routes, never on health. Leaves are disjoint and maximal: neighbours of one class
 * are merged, so scopes never overlap. A multibit trie with population counts (poptrie: Asai &
 * Ohara, SIGCOMM 2015). Immutable, counted; any thread reads without locks.
 */
#ifndef DNS_CLASSMAP_H
#define DNS_CLASSMAP_H

#include "gtm/base/err.h"
#include "gtm/model/location.h"

#include <stddef.h>
#include <stdint.h>

struct dns_geodb;
struct dns_classmap;

#define DNS_CLASSES_MAX 65535

/* A network that the policies name, with the caller's label (a route's number). */
struct dns_labeled_network {
    uint8_t family;     /* 4 or 6 */
    uint8_t prefix_len; /* bits */
    uint8_t addr[16];   /* network order, IPv4 in the first four */
    uint32_t label;
};

/* Gives the class of all addresses at `loc` that lie inside exactly the networks labelled `labels`
 * (sorted, distinct). Called once for each distinct combination. Must be < DNS_CLASSES_MAX, else
 * the build fails with GTM_ELIMIT. */
typedef uint32_t (*dns_classify_fn)(void *ctx, const struct gtm_location *loc,
                                    const uint32_t *labels, size_t labels_count);

/* db may be NULL: then every address is at the unknown location. NULL on failure. Returns one
 * reference. */
struct dns_classmap *dns_classmap_build(const struct dns_geodb *db,
                                        const struct dns_labeled_network *networks,
                                        size_t networks_count, dns_classify_fn classify, void *ctx,
                                        struct gtm_error *err);
/* A map with one class 0 and scope 0 everywhere. */
struct dns_classmap *dns_classmap_trivial(void);
struct dns_classmap *dns_classmap_ref(struct dns_classmap *map);
void dns_classmap_unref(struct dns_classmap *map); /* NULL is fine */
size_t dns_classmap_bytes(const struct dns_classmap *map);
/* Highest class + 1. */
uint32_t dns_classmap_classes(const struct dns_classmap *map);
/* Leaves of a family, for reports. */
size_t dns_classmap_leaves(const struct dns_classmap *map, int family);

/* A leaf: class in the upper bits, scope in the lower eight. */
#define DNS_LEAF_CLASS(leaf) ((leaf) >> 8)
#define DNS_LEAF_SCOPE(leaf) ((unsigned)((leaf)&0xff))

/* The hot path; inlined from dns/classmap_lookup.h, which only dns/ includes. */
uint32_t dns_classmap_find4(const struct dns_classmap *map, uint32_t addr_host_order);
uint32_t dns_classmap_find6(const struct dns_classmap *map, uint64_t hi, uint64_t lo);
/* The same by bytes in network order; family 4 or 6. */
uint32_t dns_classmap_find(const struct dns_classmap *map, int family, const uint8_t *addr);

#endif
