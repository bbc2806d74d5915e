/* SPDX-License-Identifier: Apache-2.0
 *
 * What the units of gtm/daemon/cluster*.c share and nobody else includes.
 */
#ifndef GTM_DAEMON_CLUSTER_INT_H
#define GTM_DAEMON_CLUSTER_INT_H

#include "gtm/daemon/canary.h"
#include "gtm/daemon/chunks.h"
#include "gtm/daemon/cluster.h"
#include "gtm/daemon/conductor.h"
#include "gtm/daemon/follower.h"
#include "gtm/daemon/observer.h"
#include "gtm/daemon/quorum_table.h"
#include "gtm/daemon/registry.h"
#include "gtm/daemon/resign.h"

struct gtm_timer;

struct gtm_cluster {
    struct gtmd *d;
    struct etcdc *client;
    struct gtm_leader *leader;
    struct gtm_resign *resign;
    struct gtm_chunks_collector *collector;
    struct gtm_registry *registry;
    struct gtm_canaries *canaries;
    struct gtm_store_watch *leaders, *orders;
    struct gtm_quorum_table *table;
    struct gtm_observer *observer; /* NULL without the role */
    struct gtm_conductor *conductor;
    struct gtm_follower *follower;
    struct gtm_timer *look;
    enum policy_role_mode mode;
    const char *why; /* a fixed text */
    int64_t mode_since_ms;
    uint64_t away_since_ms, leader_gone_ms; /* monotonic; 0 = it is not */
    uint64_t rejoin_ms; /* until when own checks may remove, though no more isolated; monotonic */
    int64_t lease, intent_told; /* as told to the parts */
    bool drained;
};

/* cluster_parts.c: observer, quorum table, conductor, follower, intent. */
int gtm_cluster__make_parts(struct gtm_cluster *cluster) GTM_MUST_CHECK; /* GTM_ENOMEM */
void gtm_cluster__free_parts(struct gtm_cluster *cluster);
/* cluster->mode is a new one. */
void gtm_cluster__mode_changed(struct gtm_cluster *cluster);
/* Mode or canaries changed: may own checks remove anything? */
void gtm_cluster__isolation(struct gtm_cluster *cluster);
/* Leased keys need another lease. */
void gtm_cluster__session_changed(struct gtm_cluster *cluster);
/* Since when a leader has left unanswered what observations say (policies/role.h); 0 = it has not.
 */
uint64_t gtm_cluster__unanswered_ms(const struct gtm_cluster *cluster);
/* The fence of whoever wrote the newest view/rev in the store; 0 = none. */
int64_t gtm_cluster__view_fence(const struct gtm_cluster *cluster);

#endif
