/* SPDX-License-Identifier: Apache-2.0
 *
 * Many small curl multi handles on one libevent base: one handle for thousands of targets spends
 * its time walking its own lists, one for at most HEALTH_SHARD_TARGETS does not. A shard also keeps
 * the idle connections of its targets. Internal to health; the engine's thread.
 */
#ifndef GTM_HEALTH_SHARD_H
#define GTM_HEALTH_SHARD_H

#include "gtm/base/err.h"

#include <curl/curl.h>
#include <stdbool.h>

#define HEALTH_SHARD_TARGETS 80

struct health_io;
struct health_shard;
struct health_shards;

/* Borrows io until free. on_end tells that a transfer ended by itself (it has been removed from its
 * shard); called from health__shards_run or an event. NULL when out of memory. */
struct health_shards *health__shards_new(struct health_io *io,
                                         void (*on_end)(CURL *easy, CURLcode code));
/* All targets have been given back. NULL is fine. */
void health__shards_free(struct health_shards *shards);

/* A shard with room for one more target, or NULL. */
struct health_shard *health__shard_take(struct health_shards *shards);
void health__shard_give(struct health_shard *shard);

/* Starts a transfer. GTM_ENOMEM. */
int health__shard_add(struct health_shard *shard, CURL *easy) GTM_MUST_CHECK;
/* Stops one; its connection is closed unless it was idle. */
void health__shard_remove(struct health_shard *shard, CURL *easy);

/* Runs the shards that asked to be run; false when none did. NULL is fine. */
bool health__shards_run(struct health_shards *shards);

#endif
