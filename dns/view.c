/* SPDX-License-Identifier: Apache-2.0
 *
 * Builds views: zones by name and their slots. Control plane only.
 */
#include "dns/view.h"

#include "dns/steer_int.h"
#include "gtm/base/mem.h"

static bool copy_peers(struct dns_peer **to, const struct dns_peer *from, size_t count)
{
    *to = count ? gtm_memdup(from, count * sizeof(*from)) : NULL;
    return !count || *to != NULL;
}

struct dns_zone_peers *dns_zone_peers_new(const struct dns_peer *transfer, size_t transfer_count,
                                          const struct dns_peer *primaries, size_t primaries_count)
{
    struct dns_zone_peers *peers = gtm_calloc(1, sizeof(*peers));

    if (peers == NULL)
        return NULL;
    atomic_init(&peers->refs, 1);
    atomic_init(&peers->notified, false);
    peers->transfer_count = transfer_count;
    peers->primaries_count = primaries_count;
    if (!copy_peers(&peers->transfer, transfer, transfer_count) ||
        !copy_peers(&peers->primaries, primaries, primaries_count)) {
        dns_zone_peers_unref(peers);
        return NULL;
    }
    return peers;
}

struct dns_zone_peers *dns_zone_peers_ref(struct dns_zone_peers *peers)
{
    atomic_fetch_add_explicit(&peers->refs, 1, memory_order_relaxed);
    return peers;
}

void dns_zone_peers_unref(struct dns_zone_peers *peers)
{
    if (peers == NULL || atomic_fetch_sub_explicit(&peers->refs, 1, memory_order_acq_rel) != 1)
        return;
    gtm_free(peers->transfer);
    gtm_free(peers->primaries);
    gtm_free(peers);
}

static uint64_t apex_hash(const struct dns_zone *zone)
{
    uint8_t name[DNS_NAME_MAX + DNS_HASH_PAD] = {0};
    uint8_t offsets[DNS_LABELS_MAX];
    uint64_t hashes[DNS_LABELS_MAX];

    memcpy(name, zone->apex_name, zone->apex_len);
    dns__hash_name(name, offsets, hashes);
    return hashes[0];
}

static int table_add(struct dns_view *view, size_t index, struct gtm_error *err)
{
    const struct dns_zone *zone = view->zones[index].zone;
    char text[DNS_NAME_TEXT_MAX];
    uint64_t at = apex_hash(zone) & view->mask;

    for (; view->table[at] != 0; at = (at + 1) & view->mask) {
        const struct dns_zone *other = view->zones[view->table[at] - 1].zone;
        if (other->apex_len == zone->apex_len &&
            memcmp(other->apex_name, zone->apex_name, zone->apex_len) == 0)
            return gtm_error_set(err, GTM_EEXIST, "zone %s is there twice",
                                 dns_name_text(zone->apex_name, text));
    }
    view->table[at] = (uint32_t)index + 1;
    view->labels[zone->apex_labels >> 6] |= (uint64_t)1 << (zone->apex_labels & 63);
    return 0;
}

static int zone_add(struct dns_view *view, const struct dns_view_zone *from, struct gtm_error *err)
{
    size_t slots = from->zone->info.slot_count;
    struct dns_steer **copy = gtm_malloc((slots + 1) * sizeof(struct dns_steer *));

    if (copy == NULL)
        return gtm_error_set(err, GTM_ENOMEM, "no memory for a view");
    for (size_t i = 0; i < slots; i++)
        copy[i] = dns_steer_ref(from->slots[i]);
    view->zones[view->count] =
        (struct dns_view_zone){.zone = dns_zone_ref(from->zone),
                               .slots = copy,
                               .peers = from->peers ? dns_zone_peers_ref(from->peers) : NULL,
                               .expired = from->expired};
    view->count++;
    return table_add(view, view->count - 1, err);
}

struct dns_view *dns_view_new(const struct dns_view_zone *zones, size_t zones_count,
                              struct dns_settings *settings, uint64_t revision,
                              struct gtm_error *err)
{
    static const struct dns_settings nothing;
    uint64_t size = 8;

    while (size < zones_count * 2 + 1)
        size *= 2;
    struct dns_view *view = gtm_calloc(1, sizeof(*view) + zones_count * sizeof(view->zones[0]));
    uint32_t *table = gtm_calloc(size, sizeof(*table));
    if (view == NULL || table == NULL) {
        gtm_free(view);
        gtm_free(table);
        gtm_error_set(err, GTM_ENOMEM, "no memory for a view");
        return NULL;
    }
    view->settings = settings ? dns_settings_ref(settings) : dns_settings_new(&nothing);
    if (view->settings == NULL) {
        gtm_free(view);
        gtm_free(table);
        gtm_error_set(err, GTM_ENOMEM, "no memory for a view");
        return NULL;
    }
    view->revision = revision;
    view->mask = size - 1;
    view->table = table;
    atomic_init(&view->refs, 1);
    for (size_t i = 0; i < zones_count; i++) {
        if (zone_add(view, &zones[i], err) != 0) {
            dns_view_unref(view);
            return NULL;
        }
    }
    return view;
}

struct dns_view *dns_view_ref(struct dns_view *view)
{
    atomic_fetch_add_explicit(&view->refs, 1, memory_order_relaxed);
    return view;
}

void dns_view_unref(struct dns_view *view)
{
    if (view == NULL || atomic_fetch_sub_explicit(&view->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t z = 0; z < view->count; z++) {
        size_t slots = view->zones[z].zone->info.slot_count;
        for (size_t i = 0; i < slots; i++)
            dns_steer_unref(view->zones[z].slots[i]);
        gtm_free((void *)(uintptr_t)view->zones[z].slots);
        dns_zone_unref(view->zones[z].zone);
        dns_zone_peers_unref(view->zones[z].peers);
    }
    dns_settings_unref(view->settings);
    gtm_free(view->table);
    gtm_free(view);
}

const struct dns_settings *dns_view_settings(const struct dns_view *view)
{
    return view->settings;
}

uint64_t dns_view_revision(const struct dns_view *view)
{
    return view->revision;
}

size_t dns_view_zones(const struct dns_view *view)
{
    return view->count;
}

struct dns_zone *dns_view_zone_at(const struct dns_view *view, size_t i)
{
    return view->zones[i].zone;
}
