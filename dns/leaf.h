/* SPDX-License-Identifier: Apache-2.0
 *
 * Whom a query is answered for: the subnet that it carries (RFC 7871), else the address that it
 * came from; and the leaf of a class map that this falls into. Internal to dns/. Pure.
 */
#ifndef DNS_LEAF_H
#define DNS_LEAF_H

#include "dns/answer.h"
#include "dns/classmap_lookup.h"
#include "dns/rr.h"

#include <stdint.h>

static inline uint32_t dns__leaf_of(const struct dns_classmap *map, const struct dns_query *q,
                                    const struct dns_client *client)
{
    const uint8_t *addr = client->addr;
    int family = client->family;

    if (q->ecs && q->ecs_source > 0) {
        addr = q->ecs_addr;
        family = q->ecs_family;
    }
    if (family == 4)
        return dns__classmap_find4(map, dns_get32(addr));
    uint64_t hi = (uint64_t)dns_get32(addr) << 32 | dns_get32(addr + 4);
    uint64_t lo = (uint64_t)dns_get32(addr + 8) << 32 | dns_get32(addr + 12);
    return dns__classmap_find6(map, hi, lo);
}

#endif
