/* SPDX-License-Identifier: Apache-2.0
 *
 * A view: everything that DNS workers read, behind one pointer. A list of zones and, for each, the
 * steering table of every slot. Building one copies pointers only, so a change costs what it
 * touches. Immutable, counted.
 */
#ifndef DNS_VIEW_H
#define DNS_VIEW_H

#include "dns/settings.h"
#include "dns/steer.h"
#include "dns/zone.h"
#include "gtm/base/err.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The other name servers of a zone. Immutable but for `notified`, counted. */
struct dns_zone_peers {
    atomic_int refs;
    atomic_bool notified; /* a NOTIFY of a primary came: set by whoever answers it, spent by the
                             control thread */
    struct dns_peer *transfer; /* who may transfer it */
    size_t transfer_count;
    struct dns_peer *primaries; /* whose NOTIFY is heeded */
    size_t primaries_count;
};
/* Copies both lists; their keys must outlive it (they are the settings'). One reference, or NULL.
 */
struct dns_zone_peers *dns_zone_peers_new(const struct dns_peer *transfer, size_t transfer_count,
                                          const struct dns_peer *primaries, size_t primaries_count);
struct dns_zone_peers *dns_zone_peers_ref(struct dns_zone_peers *peers);
void dns_zone_peers_unref(struct dns_zone_peers *peers); /* NULL is fine */

struct dns_view_zone {
    struct dns_zone *zone;
    struct dns_steer *const *slots; /* dns_zone_info.slot_count entries, none NULL */
    struct dns_zone_peers *peers;   /* NULL = none */
    bool expired; /* a copy that its primaries have not confirmed for too long: SERVFAIL, extended
                     error 24 (Invalid Data) */
};

struct dns_view;
/* Takes references of its own. settings NULL = all off. GTM_EEXIST when two zones have one name.
 * Returns one reference. */
struct dns_view *dns_view_new(const struct dns_view_zone *zones, size_t zones_count,
                              struct dns_settings *settings, uint64_t revision,
                              struct gtm_error *err);
struct dns_view *dns_view_ref(struct dns_view *view);
void dns_view_unref(struct dns_view *view);                                /* NULL is fine */
const struct dns_settings *dns_view_settings(const struct dns_view *view); /* never NULL */
uint64_t dns_view_revision(const struct dns_view *view);
size_t dns_view_zones(const struct dns_view *view);
struct dns_zone *dns_view_zone_at(const struct dns_view *view, size_t i); /* borrowed */

#endif
