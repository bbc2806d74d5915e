/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmd as a whole: the parts of a standalone node and their life cycle. Every field belongs to the
 * control thread (the loop's); API handlers read it there.
 *
 * Start: files → sockets → health checks → (worker) geography and compile → answers → READY.
 * Stop: no more answers → probes end → what is known is saved → sockets close; below a second.
 */
#ifndef GTM_DAEMON_DAEMON_H
#define GTM_DAEMON_DAEMON_H

#include "gtm/base/clock.h"
#include "gtm/base/diag.h"
#include "gtm/base/loop.h"
#include "gtm/base/metrics.h"
#include "gtm/coord/store.h"
#include "gtm/daemon/api.h"
#include "gtm/daemon/cluster.h"
#include "gtm/daemon/events.h"
#include "gtm/daemon/geo.h"
#include "gtm/daemon/handover.h"
#include "gtm/daemon/notifier.h"
#include "gtm/daemon/peers.h"
#include "gtm/daemon/publish.h"
#include "gtm/daemon/push.h"
#include "gtm/daemon/reload.h"
#include "gtm/daemon/secondary.h"
#include "gtm/daemon/settings.h"
#include "gtm/daemon/shared_cookie.h"
#include "gtm/daemon/state.h"
#include "gtm/model/intent.h"
#include "gtm/model/node.h"
#include "health/health.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dns_server;

/* Exit codes of the program. */
enum { GTMD_OK = 0, GTMD_FAILED = 1, GTMD_USAGE = 2 };

enum gtmd_phase {
    GTMD_STARTING = 0,
    GTMD_SERVING,
    GTMD_STOPPING,
    GTMD_FROZEN /* another process is taking over: answers go on, nothing is written */
};

#define GTMD_QPS_SECONDS 10

struct gtmd {
    const struct gtm_clock *clock;
    /* Its time of day is that of most nodes when this one's is off (gtm_peers_clock_off_ms): by
     * this one orders begin and end, and what the leader hands to the next one is timed. */
    struct gtm_clock common;
    struct gtm_loop *loop;
    struct gtm_node *node;
    char *node_path;
    struct gtm_intent *intent; /* in force; a reference */
    int64_t intent_loaded_ms;  /* Unix time */
    struct gtm_store *store;
    struct gtm_events *events;
    struct gtm_state *state;
    struct gtm_publisher *publisher;
    struct gtm_compiled *compiled; /* in force; NULL while starting */
    struct gtm_geo *geo;           /* the last good one; NULL = none yet */
    struct gtm_settings *settings; /* in force; NULL while starting */
    struct gtm_reload *reload;
    struct gtm_intent_sync *intent_sync; /* NULL: standalone */
    unsigned intent_applies;             /* under way */
    struct gtm_secondary *secondary;     /* zones that are transferred from elsewhere */
    struct gtm_notifier *notifier;       /* tells secondaries */
    struct gtm_handover *handover;       /* NULL: nobody can take over */
    struct gtm_takeover *takeover;       /* while starting in the place of another process */
    struct health_engine *health;        /* NULL without the role */
    struct gtm_push *push;               /* NULL without push.listen or the role */
    struct dns_server *dns;              /* NULL without the role */
    struct gtm_api *api;
    struct gtm_cluster *cluster;      /* NULL: standalone */
    struct gtm_shared_cookie *cookie; /* NULL without secret_key, or with a secret of its own */
    struct gtm_peers *peers;          /* NULL without api.listen */

    enum gtmd_phase phase;
    int exit_code;
    int64_t started_ms; /* Unix time */
    uint64_t started_mono_ms;
    struct gtm_timer *second, *watchdog;
    uint64_t watchdog_ms;
    uint64_t queries[GTMD_QPS_SECONDS + 1]; /* totals of the last seconds, a ring */
    uint64_t limited[GTMD_QPS_SECONDS + 1]; /* answers over the rate limit, the same ring */
    unsigned queries_at, queries_filled;
};

/* Runs a node until it is told to stop; returns the exit code. Prints findings and errors of the
 * start to standard error. replace: takes over from the process that runs on the same data_dir. */
int gtmd_run(const char *node_path, bool replace);
/* Reads and compiles everything without serving: 0 or GTMD_USAGE / GTMD_FAILED, findings printed.
 */
int gtmd_check(const char *node_path);

/* On standard error, while starting; returns exit_code. */
/* daemon_cookie.c: with secret_key, in a cluster. GTMD_OK or an exit code. */
int gtmd__share_cookie(struct gtmd *d);
int gtmd__say(int exit_code, const char *text);
int gtmd__say_error(int exit_code, const struct gtm_error *err);
/* Ends the loop; code is the program's exit code. */
void gtmd_stop(struct gtmd *d, int code);
/* The first compile is in force: serve. Called by reload. */
void gtmd_serve(struct gtmd *d);
/* Makes the targets of the present state those that are probed. */
void gtmd_probe(struct gtmd *d);
/* Zones may have changed: tells secondaries, and follows primaries. */
void gtmd_zones(struct gtmd *d);
/* A hand-over, old side: saves and writes no more, closes the API; returns the lock of data_dir. */
int gtmd_freeze(struct gtmd *d);
/* It failed: as before. False: the sockets of the API or of heartbeats are not free yet; call
 * again. */
bool gtmd_thaw(struct gtmd *d);
/* The revision of the answers: of the view published last; 0 = none yet. */
uint64_t gtmd_revision(const struct gtmd *d);
/* Queries a second over the last ten seconds. */
double gtmd_qps(const struct gtmd *d);
/* Answers a second that the rate limit held back, over the same time. */
double gtmd_limited_per_s(const struct gtmd *d);

#endif
