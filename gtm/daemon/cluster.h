/* SPDX-License-Identifier: Apache-2.0
 *
 * A node among others: what a node with an `etcd:` section has beside a standalone one. The control
 * thread owns everything here.
 *
 *   probes ─► d->state's slots (what this node sees) ─► observer ─► obs/<node>/<pool>   (leased)
 *                                                                       │ every node's copy
 *                 ┌─────────────────────────────────────────────────────┘
 *                 ▼
 *   quorum table ─► pipeline (a second gtm_state: merge, panic, recovery, balance, spill)
 *                     │ LEAD: conductor writes verdict/<pool> + view/rev, guarded
 *                     │ MERGE (no leader for 2 s): straight into d->state, unpublished
 *                     ▼
 *   verdict/<pool>, override/… in the copy ─► d->state (facts) ─► flip ─► answers
 *
 * d->state of a standalone node decides by itself, as before (GTM_STATE_DECIDES); in a cluster it
 * follows (GTM_STATE_FOLLOWS): its facts come from verdicts, its slots are only this node's own
 * observations. The pipeline exists only while this node leads or merges.
 *
 * The parts, each with its header: observer.h, quorum_table.h, conductor.h, follower.h (verdicts
 * and overrides into d->state), intent_sync.h (manifest and blobs → files in data_dir/intent →
 * reload), registry.h (node/<name>, peers), role via policies/role.h here.
 */
#ifndef GTM_DAEMON_CLUSTER_H
#define GTM_DAEMON_CLUSTER_H

#include "gtm/base/err.h"
#include "gtm/base/json.h"
#include "gtm/base/metrics.h"
#include "gtm/coord/leader.h"
#include "policies/role.h"

#include <stdbool.h>
#include <stdint.h>

struct gtmd;
struct gtm_cluster;
struct gtm_conductor;
struct gtm_follower;
struct gtm_quorum_table;
struct gtm_registry;
struct gtm_resign;

/* After the loop exists: makes the etcd client and opens the store (d->store). lock_fd as in
 * gtm_store_etcd_open. GTMD_OK or an exit code, errors said. */
int gtm_cluster_open(struct gtmd *d, int lock_fd);
/* The rest, once d->state exists: session, election, watches. */
int gtm_cluster_start(struct gtmd *d);
/* Resigns, lets go. Before the store is closed. NULL is fine. */
void gtm_cluster_stop(struct gtm_cluster *cluster);
void gtm_cluster_free(struct gtm_cluster *cluster);

/* Answers are served: follows intent/cur from now on. */
void gtm_cluster_serve(struct gtm_cluster *cluster);
void gtm_cluster_second(struct gtm_cluster *cluster); /* every second */

enum policy_role_mode gtm_cluster_mode(const struct gtm_cluster *cluster);
const char *gtm_cluster_why(const struct gtm_cluster *cluster); /* the mode */
int64_t gtm_cluster_mode_since_ms(const struct gtm_cluster *cluster);
/* The view/rev and the intent revision that are served here; 0 = none yet. */
int64_t gtm_cluster_view(const struct gtm_cluster *cluster);
int64_t gtm_cluster_intent(const struct gtm_cluster *cluster);
/* May this node's observations count? *ret_why: for people, "" when they may. */
bool gtm_cluster_fit(const struct gtm_cluster *cluster, const char **ret_why);
/* An order drains this node: it answers, but is no vantage and no candidate. */
bool gtm_cluster_drained(const struct gtm_cluster *cluster);
/* What a restart without etcd would begin with is on disk. */
bool gtm_cluster_saved(const struct gtm_cluster *cluster);
struct gtm_leader *gtm_cluster_leader(struct gtm_cluster *cluster);
struct etcdc *gtm_cluster_client(struct gtm_cluster *cluster);
struct gtm_quorum_table *gtm_cluster_table(struct gtm_cluster *cluster);
struct gtm_conductor *gtm_cluster_conductor(struct gtm_cluster *cluster);
struct gtm_follower *gtm_cluster_follower(struct gtm_cluster *cluster);
struct gtm_registry *gtm_cluster_registry(struct gtm_cluster *cluster);
struct gtm_resign *gtm_cluster_resign(struct gtm_cluster *cluster);
/* gtm_registry_name is another. */
void gtm_cluster_name_changed(struct gtm_cluster *cluster);
/* What this node sees of the pool has changed (gtm_state_opts.observed). */
void gtm_cluster_observed(struct gtm_cluster *cluster, size_t pool);
/* Another intent is in force: d->intent. */
void gtm_cluster_intent_changed(struct gtm_cluster *cluster);
/* Something that the mode depends on has changed: looks again, soon. */
void gtm_cluster_poke(struct gtm_cluster *cluster);
void gtm_cluster_metrics(const struct gtm_cluster *cluster, struct gtm_metrics *m);
/* For GET /status: adds "cluster": {mode, why, leader, store, view, intent, nodes}. */
void gtm_cluster_status(struct gtm_cluster *cluster, struct gtm_json *item);

#endif
