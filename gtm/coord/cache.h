/* SPDX-License-Identifier: Apache-2.0
 *
 * The saved copy of a mirror: data_dir/cluster.jsonl, a snapshot text whose first record, "!copy",
 * says of which cluster and epoch it is. Written by a thread of its own.
 */
#ifndef GTM_COORD_CACHE_H
#define GTM_COORD_CACHE_H

#include "gtm/coord/identity.h"
#include "gtm/coord/mirror.h"

struct coord__cache;

/* Fills an empty mirror and ret_known. No file: GTM_OK, nothing. A damaged one is moved aside
 * (ret_damage). Blocks for the disk. */
int coord__cache_load(const char *path, struct coord__mirror *mirror,
                      struct coord__identity *ret_known, struct gtm_error *ret_damage,
                      struct gtm_error *err) GTM_MUST_CHECK;

/* Starts the thread. NULL with err. */
struct coord__cache *coord__cache_new(const char *path, struct gtm_error *err);
/* Begins to save; takes items (of coord__mirror_share), also when it returns false: busy, then
 * nothing is saved. */
bool coord__cache_save(struct coord__cache *cache, struct coord__item **items, size_t count,
                       const struct coord__identity *known);
bool coord__cache_busy(struct coord__cache *cache);
/* Whether the last save failed, and why. While it is busy: that of the one before. */
bool coord__cache_failed(struct coord__cache *cache, struct gtm_error *ret_why);
void coord__cache_wait(struct coord__cache *cache); /* until it is not busy */
void coord__cache_free(struct coord__cache *cache); /* waits; NULL is fine */

#endif
