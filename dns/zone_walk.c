/* SPDX-License-Identifier: Apache-2.0
 *
 * A walk over a zone's records that can stop and go on. See zone_cursor.h.
 */
#include "dns/zone_cursor.h"
#include "dns/zone_int.h"

/* Moves to the next set; false at the end. */
static bool skip_empty(const struct dns_zone *zone, struct dns_zone_cursor *c)
{
    for (; c->slot <= zone->mask; c->slot++, c->set = 0) {
        uint32_t place = zone->slots[c->slot].node;
        if (place != 0 && c->set < dns__zone_node(zone, place)->sets_count)
            return true;
    }
    return false;
}

static void next_set(struct dns_zone_cursor *c)
{
    c->set++;
    c->record = 0;
    c->at = 0;
}

bool dns_zone_cursor_next(const struct dns_zone *zone, struct dns_zone_cursor *cursor,
                          uint8_t *rdata, struct dns_zone_rr *ret)
{
    if (!skip_empty(zone, cursor))
        return false;
    const struct dns_node *node = dns__zone_node(zone, zone->slots[cursor->slot].node);
    const struct dns_set *set = &node->sets[cursor->set];
    *ret = (struct dns_zone_rr){.owner = dns__node_name(node),
                                .owner_len = node->name_len,
                                .type = set->type,
                                .ttl_s = set->ttl_s,
                                .dynamic = set->dynamic ? (int64_t)set->value : -1};
    if (set->dynamic) {
        next_set(cursor);
        return true;
    }
    const struct dns_image *image = dns__zone_image(zone, set->value);
    uint16_t rdlen = dns_get16(image->data + cursor->at + 10);
    ret->rdlen = dns__zone_expand(zone, image, cursor->at + DNS_RR_FIXED, rdlen, rdata);
    ret->rdata = rdata;
    cursor->at += DNS_RR_FIXED + rdlen;
    if (++cursor->record == image->count)
        next_set(cursor);
    return true;
}
