/* SPDX-License-Identifier: Apache-2.0
 *
 * The other nodes, asked directly: every node that has an entry node/<name> with an "api" in the
 * store is asked GET /api/v1/peer over mutual TLS about every two seconds, over a connection that
 * is kept. The answering certificate must name that node. So nodes know of each other also while
 * etcd is away; an entry that goes is asked on for five minutes.
 *
 * Control thread. Nothing is decided here: those who use it look at what was answered, and when.
 */
#ifndef GTM_DAEMON_PEERS_H
#define GTM_DAEMON_PEERS_H

#include "gtm/base/clock.h"
#include "gtm/base/err.h"
#include "gtm/base/json.h"
#include "gtm/base/metrics.h"
#include "gtm/coord/store.h"
#include "gtm/model/intent.h"

#include <stdbool.h>
#include <stdint.h>

#define GTM_PEERS_MAX        128 /* asked; more nodes are left out, and that is a log line */
#define GTM_PEERS_EVERY_MS   2000u
#define GTM_PEERS_TIMEOUT_MS 1500u
#define GTM_PEERS_KEEP_MS    300000u /* after its entry went */

struct gtm_loop;
struct gtm_peers;

struct gtm_peers_opts {
    struct gtm_loop *loop; /* borrowed, as all here */
    const struct gtm_clock *clock;
    struct gtm_store *store;
    const char *name;            /* this node: not asked */
    const char *ca, *cert, *key; /* api.tls */
    unsigned every_ms;           /* 0 = GTM_PEERS_EVERY_MS */
    uint64_t seed;               /* of jitter */
};

/* What is known of another node. */
struct gtm_peer {
    char name[GTM_NAME_MAX + 1], region[GTM_NAME_MAX + 1];
    char api[256];               /* HOST:PORT as its entry says */
    bool listed;                 /* its entry is there */
    bool up;                     /* it answered the last time it was asked */
    int64_t answered_ms;         /* monotonic, its last answer; 0 = never */
    uint64_t latency_us;         /* of the last answer */
    unsigned failures;           /* since the last answer */
    char error[160];             /* why it did not answer; "" when up, or not asked yet */
    char mode[16];               /* the last answer: policies/role.h's word, or "standalone" */
    int64_t view, intent;        /* … the revisions that it serves */
    bool serving;                /* … whether it answers DNS */
    bool has_clock;              /* … it said its time of day: */
    int64_t clock_ms;            /* … less this node's monotonic time, then */
    const struct gtm_json *sees; /* … names of the nodes that it sees up; borrowed, NULL = none */
};

/* NULL: out of memory. Starts to ask. */
struct gtm_peers *gtm_peers_new(const struct gtm_peers_opts *opts);
void gtm_peers_free(struct gtm_peers *peers); /* NULL is fine */
/* The files of opts may be others (after a reload): new connections from here on. */
void gtm_peers_renew(struct gtm_peers *peers, const char *ca, const char *cert, const char *key);

/* In order of names. Borrowed for the call. peers NULL: nobody. */
void gtm_peers_each(const struct gtm_peers *peers,
                    void (*visit)(void *arg, const struct gtm_peer *peer), void *arg);
/* NULL = not known. Valid until control returns to the loop. */
const struct gtm_peer *gtm_peers_get(const struct gtm_peers *peers, const char *name);
/* Who sees the node up, as an array of names: this node among them, when it does. */
struct gtm_json *gtm_peers_seen_by(const struct gtm_peers *peers, const char *name);
/* Who says that it does not, of those that the store lists; and whose word this node does not have.
 * Nobody has a word on himself. */
struct gtm_json *gtm_peers_unseen_by(const struct gtm_peers *peers, const char *name);
struct gtm_json *gtm_peers_unheard(const struct gtm_peers *peers, const char *name);
/* By how much the time of day of most nodes is ahead of this node's (< 0: behind), of those that
 * are up and say it: policies/clocks.h. Nothing that decides who leads or what is down looks at the
 * time of day; ends of orders do. */
int64_t gtm_peers_clock_off_ms(const struct gtm_peers *peers);
/* By how much the time of day of one that has_clock is ahead of this node's, as it is now. */
int64_t gtm_peer_ahead_ms(const struct gtm_peer *peer, const struct gtm_clock *clock);
/* gtm_peer_up, gtm_peer_latency_seconds, gtm_peer_clock_ahead_seconds. */
void gtm_peers_metrics(const struct gtm_peers *peers, struct gtm_metrics *m);

#endif
