/* SPDX-License-Identifier: Apache-2.0
 *
 * Life and inspection of a compiled zone. The compiler is dns/zone_build.c, its checks
 * dns/zone_check.c.
 */
#include "dns/zone.h"

#include "dns/zone_int.h"
#include "gtm/base/mem.h"

struct dns_zone *dns_zone_ref(struct dns_zone *zone)
{
    atomic_fetch_add_explicit(&zone->refs, 1, memory_order_relaxed);
    return zone;
}

void dns_zone_unref(struct dns_zone *zone)
{
    if (zone == NULL || atomic_fetch_sub_explicit(&zone->refs, 1, memory_order_acq_rel) != 1)
        return;
    gtm_free(zone->slots_memory);
    gtm_free(zone->block_memory);
    gtm_free(zone);
}

void dns_zone_info(const struct dns_zone *zone, struct dns_zone_info *ret_info)
{
    *ret_info = zone->info;
    ret_info->apex = zone->apex_name;
}

/* Rebuilds the uncompressed rdata of the record at rr (its owner is two octets): only the zone's
 * top is ever compressed. */
size_t dns__zone_expand(const struct dns_zone *zone, const struct dns_image *image, size_t rdata_at,
                        uint16_t rdlen, uint8_t *out)
{
    const uint8_t *fix = image->data + ((image->len + 1u) & ~1u);
    size_t n = 0, at = rdata_at, end = rdata_at + rdlen;

    for (unsigned i = 0; i < image->fixups; i++) {
        uint16_t place;
        memcpy(&place, fix + i * 2u, 2);
        if (place < rdata_at || place >= end)
            continue;
        memcpy(out + n, image->data + at, place - at);
        n += place - at;
        memcpy(out + n, zone->apex_name, zone->apex_len);
        n += zone->apex_len;
        at = place + 2u;
    }
    memcpy(out + n, image->data + at, end - at);
    return n + (end - at);
}

static int walk_set(const struct dns_zone *zone, const uint8_t *owner, const struct dns_set *set,
                    dns_zone_walk_fn fn, void *ctx, uint8_t *scratch)
{
    if (set->dynamic)
        return fn(ctx, owner, set->type, set->ttl_s, NULL, 0, (int64_t)set->value);

    const struct dns_image *image = dns__zone_image(zone, set->value);
    size_t at = 0;
    for (unsigned i = 0; i < image->count; i++) {
        uint16_t rdlen = dns_get16(image->data + at + 10);
        size_t n = dns__zone_expand(zone, image, at + DNS_RR_FIXED, rdlen, scratch);
        int rc = fn(ctx, owner, set->type, set->ttl_s, scratch, (uint16_t)n, -1);
        if (rc != 0)
            return rc;
        at += DNS_RR_FIXED + rdlen;
    }
    return 0;
}

int dns_zone_walk(const struct dns_zone *zone, dns_zone_walk_fn fn, void *ctx)
{
    /* rdata grows by at most two names of 255 octets when it is expanded */
    uint8_t *scratch = gtm_malloc(65535 + 2 * DNS_NAME_MAX);
    int rc = 0;

    if (scratch == NULL)
        return GTM_ENOMEM;
    for (uint64_t i = 0; rc == 0 && i <= zone->mask; i++) {
        if (zone->slots[i].node == 0)
            continue;
        const struct dns_node *node = dns__zone_node(zone, zone->slots[i].node);
        for (unsigned s = 0; rc == 0 && s < node->sets_count; s++)
            rc = walk_set(zone, dns__node_name(node), &node->sets[s], fn, ctx, scratch);
    }
    gtm_free(scratch);
    return rc;
}

size_t dns_zone_soa(const struct dns_zone *zone, uint8_t out[DNS_SOA_RDATA_MAX],
                    uint32_t *ret_ttl_s)
{
    /* the compiler refuses a zone without exactly one */
    const struct dns_set *set = dns__node_set(dns__zone_node(zone, zone->apex), DNS_TYPE_SOA);
    const struct dns_image *image = dns__zone_image(zone, set->value);

    *ret_ttl_s = set->ttl_s;
    return dns__zone_expand(zone, image, DNS_RR_FIXED, dns_get16(image->data + 10), out);
}
