/* SPDX-License-Identifier: Apache-2.0
 *
 * A view: everything that DNS workers read, behind one pointer. A list of zones and, for each, the
 * steering table of every slot. Building one copies pointers only, so a change costs what it
 * touches. Immutable, counted.
 */
#ifndef DNS_VIEW_H
#define DNS_VIEW_H

#include "dns/steer.h"
#include "dns/zone.h"
#include "gtm/base/err.h"

#include <stddef.h>
#include <stdint.h>

struct dns_view_zone {
    struct dns_zone *zone;
    struct dns_steer *const *slots; /* dns_zone_info.slot_count entries, none NULL */
};

struct dns_view;
/* Takes references of its own. GTM_EEXIST when two zones have one name. Returns one reference. */
struct dns_view *dns_view_new(const struct dns_view_zone *zones, size_t zones_count,
                              uint64_t revision, struct gtm_error *err);
struct dns_view *dns_view_ref(struct dns_view *view);
void dns_view_unref(struct dns_view *view); /* NULL is fine */
uint64_t dns_view_revision(const struct dns_view *view);
size_t dns_view_zones(const struct dns_view *view);
struct dns_zone *dns_view_zone_at(const struct dns_view *view, size_t i); /* borrowed */

#endif
