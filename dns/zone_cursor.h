/* SPDX-License-Identifier: Apache-2.0
 *
 * A walk over a zone's records that can stop and go on. Internal to dns/; any thread with a
 * reference, no locks.
 */
#ifndef DNS_ZONE_CURSOR_H
#define DNS_ZONE_CURSOR_H

#include "dns/zone.h"

/* Room for one record's rdata without compression: at most two names more than in the image. */
#define DNS_ZONE_CURSOR_RDATA (65535u + 2u * DNS_NAME_MAX)

/* Where the walk is. Zero-initialise; a copy goes on from the same place. */
struct dns_zone_cursor {
    uint64_t slot;
    uint32_t set, record, at;
};

struct dns_zone_rr {
    const uint8_t *owner; /* canonical; the zone's */
    uint8_t owner_len;
    uint16_t type;
    uint32_t ttl_s;
    int64_t dynamic; /* slot; then rdata is NULL. -1 = static */
    const uint8_t *rdata;
    size_t rdlen;
};

/* The next record, names in rdata not compressed; in no particular order, but a set's records, and
 * a name's sets, are together. rdata: room for DNS_ZONE_CURSOR_RDATA octets, filled. False at the
 * end. */
bool dns_zone_cursor_next(const struct dns_zone *zone, struct dns_zone_cursor *cursor,
                          uint8_t *rdata, struct dns_zone_rr *ret);

#endif
