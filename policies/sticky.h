/* SPDX-License-Identifier: Apache-2.0
 *
 * Orders of preference for `sticky`: weighted rendezvous hashing (highest random weight; Thaler &
 * Ravishankar 1998) on buckets. Clients' networks are hashed to buckets (dns/ does that); every
 * bucket has all endpoints of the pool in an order that depends on nothing but the names of pool
 * and endpoints and their configured weights, so every node, and every restart, agrees. A bucket
 * goes to the first endpoint of its order that may have it: when one of n equal endpoints leaves,
 * exactly its own buckets (1/n of them on average) move, each to its next, and come back when it
 * does.
 *
 * Only the first few of each order are kept: they are all that is looked at while not all of them
 * are away. Pure; an object is immutable once made, any thread.
 */
#ifndef GTM_POLICIES_STICKY_H
#define GTM_POLICIES_STICKY_H

#include "gtm/model/intent.h"

#include <stddef.h>
#include <stdint.h>

#define POLICY_BUCKETS_MIN      1024u
#define POLICY_POOL_BUCKETS_MAX 65536u
#define POLICY_ORDER_KEPT       8u /* endpoints of each bucket's order that are kept */

/* Buckets of a pool: the power of two that is at least 64 × endpoints, 1024..65536. */
size_t policy_buckets(size_t endpoints);

/* The orders of all pools that a sticky policy steers. Takes about 5 ns for each endpoint and
 * bucket: a third of a second for 1,000 endpoints, so a worker thread; one object for an intent,
 * kept as long as its answers are published. NULL when out of memory. */
struct policy_orders;
struct policy_orders *policy_orders_new(const struct gtm_intent *intent);
void policy_orders_free(struct policy_orders *orders); /* NULL is fine */

#endif
