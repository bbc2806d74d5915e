/* SPDX-License-Identifier: Apache-2.0
 *
 * The state of every endpoint of one intent: its health in each address family (an IPv6 outage must
 * not remove IPv4), what the operator ordered for the endpoint, its pool and its region, and which
 * endpoints served when their pool last had one that did. Flat arrays beside the intent. Since,
 * cause and evidence live with whoever reports health. Not thread-safe: one owner (the control
 * thread); hand clones to others.
 */
#ifndef GTM_MODEL_STATES_H
#define GTM_MODEL_STATES_H

#include "gtm/base/err.h"
#include "gtm/model/intent.h"
#include "gtm/model/verdict.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Address families, as indexes. */
enum gtm_family {
    GTM_FAMILY_V4 = 0,
    GTM_FAMILY_V6,
    GTM_FAMILY_COUNT,
    /* Only for getters and policy_env: either family (answers that name a host). An endpoint is
     * there when it has any address or a host, serves when it serves in any family it has. */
    GTM_FAMILY_ANY = GTM_FAMILY_COUNT
};

/* A set of pools whose answers may have changed: collected by the setters, spent by
 * gtm_publisher_flip. Zero-initialise for "none" and let gtm_touched_init size it. */
struct gtm_touched {
    uint32_t *pools; /* indexes, distinct, in the order they were touched */
    size_t count;
    uint64_t *bits; /* one per pool */
    size_t pools_count;
};
/* For an intent with pools_count pools. 0 or GTM_ENOMEM; afterwards adding cannot fail. */
int gtm_touched_init(struct gtm_touched *touched, size_t pools_count) GTM_MUST_CHECK;
void gtm_touched_add(struct gtm_touched *touched, size_t pool); /* a repeated one is ignored */
void gtm_touched_clear(struct gtm_touched *touched);
void gtm_touched_fini(struct gtm_touched *touched); /* NULL fields are fine */

struct gtm_states;

/* Every health unknown, every admin state auto, every endpoint last good (unknown serves). Takes a
 * reference of its own on the intent. NULL when out of memory. */
struct gtm_states *gtm_states_new(const struct gtm_intent *intent);
struct gtm_states *gtm_states_clone(const struct gtm_states *states); /* NULL when out of memory */
void gtm_states_free(struct gtm_states *states);                      /* NULL is fine */
const struct gtm_intent *gtm_states_intent(const struct gtm_states *states); /* borrowed */

/* Takes over, by name, what `from` knows, so that a reload forgets nothing: admin states of
 * regions, pools and endpoints; health, last-good marks and shares of endpoints whose address of
 * that family is unchanged, in pools that still have a monitor; sheds of pools in regions; balanced
 * weights of policies that still balance the same pool (an endpoint new to it gets its configured
 * weight in their scale; without memory for them the configured ones hold until the next
 * set_balance). What is new starts unknown, full and unshed. */
void gtm_states_carry(struct gtm_states *states, const struct gtm_states *from);

/* Setters. An index outside the intent is ignored (false), and so is GTM_FAMILY_ANY but where it is
 * named. Each returns whether the stored word changed, and adds to `touched` (may be NULL) the
 * pools whose answers may differ because of it: serving, the merged order or a weight changed. */
bool gtm_states_set_health(struct gtm_states *states, size_t pool, size_t endpoint,
                           enum gtm_family family, enum gtm_health health,
                           struct gtm_touched *touched);
bool gtm_states_set_admin(struct gtm_states *states, size_t pool, size_t endpoint,
                          enum gtm_admin admin, struct gtm_touched *touched);
bool gtm_states_set_pool_admin(struct gtm_states *states, size_t pool, enum gtm_admin admin,
                               struct gtm_touched *touched);
bool gtm_states_set_region_admin(struct gtm_states *states, size_t region, enum gtm_admin admin,
                                 struct gtm_touched *touched);
/* Restores a saved mark after a restart; a change of health afterwards works it out again.
 * GTM_FAMILY_ANY: that of an endpoint which has only a host. */
void gtm_states_set_last_good(struct gtm_states *states, size_t pool, size_t endpoint,
                              enum gtm_family family, bool good);

/* What follows is worked out by the control plane (policies/recovery.h, policies/spill.h,
 * policies/balance.h), never by whoever answers.
 *
 * The share of its weight that an endpoint takes just now, 0..GTM_SHARE_FULL (more counts as full):
 * less while it ramps up after a recovery or drains. 0 = held: it does not serve, though it may be
 * healthy. An order `up`, its own or around it, makes it full. Starts full. GTM_FAMILY_ANY sets all
 * families, the way to hold an endpoint that has only a host. */
#define GTM_SHARE_FULL 1000u
bool gtm_states_set_share(struct gtm_states *states, size_t pool, size_t endpoint,
                          enum gtm_family family, unsigned share, struct gtm_touched *touched);
/* As it was set; GTM_FAMILY_ANY: the greatest of the families it has. Outside: full. */
unsigned gtm_states_share(const struct gtm_states *states, size_t pool, size_t endpoint,
                          enum gtm_family family);
/* The share of a region's users, 0..GTM_SHARE_FULL (more counts as full), that a pool sheds to the
 * next region of their list because the region is full. Starts 0; ignored for a region where the
 * pool has no endpoint. */
bool gtm_states_set_shed(struct gtm_states *states, size_t pool, size_t region, unsigned shed,
                         struct gtm_touched *touched);
/* Costs a look at every endpoint of a pool that sheds at all, nothing for others. */
unsigned gtm_states_shed(const struct gtm_states *states, size_t pool, size_t region);
/* Regions from which the pool sheds; 0 = the common case. */
unsigned gtm_states_sheds(const struct gtm_states *states, size_t pool);
/* Weights that a balancing policy (least_connections, response_time, ewma) uses instead of the
 * configured ones: one for each endpoint of its pool, 0..65535 (more counts as that), copied. 0
 * counts as 1: a balanced endpoint is never a standby, and a standby (configured weight 0) stays
 * one. NULL weights = the configured ones. GTM_EINVAL (no such policy, no pool, another count),
 * GTM_ENOMEM; then the old ones stay. */
int gtm_states_set_balance(struct gtm_states *states, size_t policy, const uint32_t *weights,
                           size_t count, struct gtm_touched *touched) GTM_MUST_CHECK;
/* Its weights, one for each endpoint of the policy's pool; NULL = the configured ones. Borrowed,
 * until the next set_balance of the policy. */
const uint32_t *gtm_states_balance(const struct gtm_states *states, size_t policy);
/* Configured or balanced, × share, × the pool's degraded_weight when its health is degraded, in
 * GTM_SHARE_FULL-ths, so 0..65535000; 0 for a standby (configured weight 0), else at least 1. A
 * held endpoint gets its weight as if it were full: its serving is another question. `policy`
 * SIZE_MAX: as its pool has it, without balance. Balanced weights count for endpoints of the
 * policy's own pool only. */
uint32_t gtm_states_weight(const struct gtm_states *states, size_t policy, size_t pool,
                           size_t endpoint, enum gtm_family family);

/* Getters; an index outside gives unknown / auto / false. Health in GTM_FAMILY_ANY is the best of
 * the families that the endpoint has (up, degraded, unknown, down), unknown when it has only a
 * host.
 */
/* Health and the endpoint's own admin word, as they were set. */
struct gtm_endpoint_state gtm_states_get(const struct gtm_states *states, size_t pool,
                                         size_t endpoint, enum gtm_family family);
enum gtm_admin gtm_states_pool_admin(const struct gtm_states *states, size_t pool);
enum gtm_admin gtm_states_region_admin(const struct gtm_states *states, size_t region);
/* Health and the merged order of endpoint, pool and region: down before drain before up before
 * auto, since an order to stay out of a region holds for all that is in it. */
struct gtm_endpoint_state gtm_states_effective(const struct gtm_states *states, size_t pool,
                                               size_t endpoint, enum gtm_family family);
/* gtm_endpoint_serves of the effective state, and a share above 0 (an order `up` overrides a hold);
 * false when the endpoint has no address of the family. GTM_FAMILY_ANY: in any family it has, or,
 * with nothing but a host, by its order and share. */
bool gtm_states_serves(const struct gtm_states *states, size_t pool, size_t endpoint,
                       enum gtm_family family);
/* Did it serve when the pool last had any serving endpoint of the family? */
bool gtm_states_last_good(const struct gtm_states *states, size_t pool, size_t endpoint,
                          enum gtm_family family);

/* Has the endpoint an address of the family? GTM_FAMILY_ANY: any address, or a host. */
static inline bool gtm_endpoint_has(const struct gtm_endpoint *endpoint, enum gtm_family family)
{
    if (family == GTM_FAMILY_ANY)
        return endpoint->has_v4 || endpoint->has_v6 || endpoint->host != NULL;
    return family == GTM_FAMILY_V4 ? endpoint->has_v4 : endpoint->has_v6;
}

#endif
