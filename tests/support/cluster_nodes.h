/* SPDX-License-Identifier: Apache-2.0
 *
 * A cluster inside one process for tests: nodes with all parts of gtm/daemon/cluster.h around one
 * standalone store, which stands in for etcd (leased keys are plain there), and one fake clock.
 * Whoever leads is said by the test; the guard of a leader that was is stale, as in etcd.
 */
#ifndef GTM_SUPPORT_CLUSTER_NODES_H
#define GTM_SUPPORT_CLUSTER_NODES_H

#include "gtm/daemon/conductor.h"
#include "gtm/daemon/follower.h"
#include "gtm/daemon/observer.h"
#include "gtm/daemon/quorum_table.h"
#include "tests/support/temp_dir.h"

#define CLUSTER_NODES 6

struct cluster;
struct cluster_node {
    struct cluster *w;
    char name[16], region[16];
    struct gtm_events *events;
    struct gtm_state *state;
    struct gtm_observer *observer;
    struct gtm_quorum_table *table;
    struct gtm_conductor *conductor;
    struct gtm_follower *follower;
    int64_t guard; /* revision of the leader's key when it became one; 0 = never */
    bool valid;
    unsigned flips, prompts, pokes;
    char prompted[HEALTH_KEY_BYTES];
    int64_t view;
};
struct cluster {
    char dir[TEST_TEMP_DIR_BYTES];
    struct gtm_clock_fake clock;
    struct gtm_loop *loop;
    struct gtm_store *store;
    struct gtm_intent *intent;
    struct cluster_node nodes[CLUSTER_NODES];
    size_t count;
    unsigned done; /* commits of cluster_put */
};

struct gtm_intent *cluster_parse(const char *text);
/* Regions of the nodes, as "r1 r2 r3"; nodes are named n0, n1, … All are fit vantages. */
void cluster_open(struct cluster *w, const char *intent, const char *regions);
void cluster_close(struct cluster *w);
void cluster_node_start(struct cluster *w, size_t node);
void cluster_node_stop(struct cluster *w, size_t node);
/* Another intent, on every node. */
void cluster_intent(struct cluster *w, const char *text);

/* One turn of the loop, without waiting. */
void cluster_turn(struct cluster *w);
/* Everything that was begun is done: until nothing moves for some turns. */
void cluster_settle(struct cluster *w);
#define CLUSTER_UNTIL(w, condition)                                 \
    do {                                                            \
        for (unsigned cluster_i_ = 0; !(condition); cluster_i_++) { \
            assert_true(cluster_i_ < 20000);                        \
            cluster_turn(w);                                        \
        }                                                           \
    } while (0)

/* text NULL: deletes. Waits for it. */
void cluster_put(struct cluster *w, const char *key, const char *text);
/* What the store has; NULL: nothing. Static storage. */
const char *cluster_get(struct cluster *w, const char *key);
/* A node's probe says this of "pool/endpoint/monitor/4". */
void cluster_see(struct cluster *w, size_t node, const char *key, enum gtm_health health,
                 enum health_result result);
/* The same of all nodes. */
void cluster_see_all(struct cluster *w, const char *key, enum gtm_health health,
                     enum health_result result);
/* This node leads from now on, the others follow. */
void cluster_lead(struct cluster *w, size_t node);
void cluster_mode(struct cluster *w, size_t node, enum policy_role_mode mode);
/* Health and share of "pool/endpoint" (IPv4) as the node serves it. */
enum gtm_health cluster_health(struct cluster *w, size_t node, const char *pool,
                               const char *endpoint);
unsigned cluster_share(struct cluster *w, size_t node, const char *pool, const char *endpoint);
bool cluster_serves(struct cluster *w, size_t node, const char *pool, const char *endpoint);
int64_t cluster_view(struct cluster *w);           /* in the store */
void cluster_pass(struct cluster *w, uint64_t ms); /* time goes by; nothing fires by itself */

#endif
