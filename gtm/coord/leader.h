/* SPDX-License-Identifier: Apache-2.0
 *
 * This node's session with etcd and its standing in the election: opened again whenever they are
 * lost, for as long as the node runs. Who leads writes with a guard; a guard of a lost leadership
 * fails in etcd, whatever the clocks say. Loop's thread.
 */
#ifndef GTM_COORD_LEADER_H
#define GTM_COORD_LEADER_H

#include "gtm/coord/store_etcd.h"

struct gtm_leader;

enum gtm_leader_role {
    GTM_LEADER_NONE = 0, /* no session yet, or not a candidate */
    GTM_LEADER_FOLLOWS,  /* waits in the election */
    GTM_LEADER_LEADS
};
struct gtm_leader_opts {
    struct gtm_loop *loop;
    const struct gtm_clock *clock;
    struct etcdc *client;
    struct gtm_store *store; /* gets the session's lease (gtm_store_etcd_lease) */
    const char *node, *region;
    bool candidate; /* roles: [controller] and not drained */
    int64_t ttl_s;  /* 0 = 5 */
    /* Something below changed. */
    void (*on_change)(void *arg);
    void *arg;
};
/* NULL: out of memory. */
struct gtm_leader *gtm_leader_new(const struct gtm_leader_opts *opts);
/* Resigns and revokes, without waiting. NULL is fine. Before gtm_store_close. */
void gtm_leader_free(struct gtm_leader *leader);

enum gtm_leader_role gtm_leader_role(const struct gtm_leader *leader);
int64_t gtm_leader_lease(const struct gtm_leader *leader); /* 0 = no session */
/* Leads, and surely for another need_ms. To be asked before every act. */
bool gtm_leader_valid(const struct gtm_leader *leader, uint32_t need_ms);
int64_t gtm_leader_fence(const struct gtm_leader *leader); /* 0 = does not lead */
/* The change that makes a commit fail unless this node still leads. GTM_ESTATE when it does not. */
int gtm_leader_guard(const struct gtm_leader *leader,
                     struct gtm_store_change *ret_change) GTM_MUST_CHECK;
/* Gives leadership up and stands again after pause_ms (so that somebody else gets it). */
void gtm_leader_resign(struct gtm_leader *leader, uint64_t pause_ms);
void gtm_leader_stand(struct gtm_leader *leader, bool candidate);

/* Who leads as the store's copy has it: the key under "leader/" with the lowest create revision.
 * Empty name: nobody. */
struct gtm_leader_info {
    char node[64], region[64], key[64];
    int64_t fence, since_ms;
};
void gtm_leader_info(const struct gtm_store *store, struct gtm_leader_info *ret_info);

#endif
