/* SPDX-License-Identifier: Apache-2.0
 *
 * A cluster in virtual time: regions with links between them, an etcd of one member a region, and
 * gtmd nodes that run the real policies/quorum, policies/role and the real codecs of observations
 * and verdicts with plain wiring around them. Everything follows from a seed. One thread.
 *
 *   sim_main.c    seeds, mutants, replay        sim_world.c  time, links, events
 *   sim_etcd.c    the store                     sim_fault.c  what goes wrong and when
 *   sim_node.c    the store's copy, session, probes, observer   sim_decide.c  role, conductor,
 *   sim_check.c   what must always hold                         follower, answers
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "gtm/base/rand.h"
#include "gtm/model/verdict.h"
#include "policies/role.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { REGIONS_MAX = 5, NODES_MAX = 10, PLACES_MAX = 5 };
enum { KEY_OBS = 0, KEY_NODE = NODES_MAX, KEY_LEADER = 2 * NODES_MAX, KEY_VERDICT = 3 * NODES_MAX };
enum { KEY_VIEW = KEY_VERDICT + 1, KEYS };
#define PROBE_MS    500u
#define CONFIRM_MS  200u
#define SIM_SLOW_MS 150u  /* one way: a probe's time-out */
#define SIM_LATE_MS 6000u /* nothing is on its way for longer */
#define TTL_MS      5000u
#define STALE_MS    3000u /* as store_etcd.h */
#define TICK_MS     50u
#define REQUEST_MS  1200u /* then a request is given up, though it may have been done */
#define ELECTION_MS 1000u /* of etcd, to twice that */
#define DETECT_MS   1200u /* a probe, its confirmation, and the way into the store */
#define FAULTS_FROM 6000u
#define HEAL_MS     36000u
#define AGREE_MS    5000u
#define END_MS      52000u

/* Breaks the wiring in one place; the checks must see it. */
enum sim_mutant {
    SIM_SOUND = 0,
    SIM_NO_GUARD,         /* the leader writes without comparing its key and the view */
    SIM_FITNESS_IGNORED,  /* unfit vantages vote */
    SIM_MINORITY_COUNTS,  /* the quorum is one of the regions that report */
    SIM_OLDER_VIEW,       /* a repeated event of the watch is taken for new */
    SIM_EMPTY_ANSWER,     /* all down: no answer instead of all */
    SIM_WAITS_FOR_LEADER, /* nobody merges without a leader */
    SIM_NO_LOCAL_REMOVAL, /* an isolated node keeps what it sees is dead */
    SIM_NO_RESYNC,        /* what a compaction took is never listed */
    SIM_SILENCE_IGNORED,  /* a node stops merging before the new leader has written */
    SIM_MERGE_FORGOTTEN,  /* a leader begins with the verdicts in the store, not with its own */
    SIM_LATE_PUT,     /* observations are written without comparing: late ones undo newer ones */
    SIM_LAST_REMOVED, /* an isolated node removes the last one, too */
    SIM_MUTANTS
};
extern const char *const sim_mutant_words[SIM_MUTANTS];

/* A value in the store; shared, counted. */
struct sim_value {
    unsigned refs;
    char *text;
    /* what it says, parsed once by the real codecs */
    uint8_t health[PLACES_MAX];
    int64_t rev, fence; /* of a view or a verdict */
    bool fit;           /* of a node */
};
struct sim_kv {
    struct sim_value *value; /* NULL: absent */
    int64_t create, mod, lease;
};
struct sim_log { /* of one key at one revision */
    int64_t rev;
    int key;
    struct sim_kv kv;
};
struct sim_lease {
    uint64_t ends_ms;
    bool alive;
};
struct sim_member {
    bool running;
    int64_t applied;
};
struct sim_etcd {
    struct sim_kv kv[KEYS];
    int64_t rev, compacted;
    struct sim_log *log;
    size_t log_count, log_cap;
    struct sim_lease *leases;
    size_t leases_count, leases_cap;
    struct sim_member members[REGIONS_MAX]; /* one a region */
    int leader;                             /* -1 = none */
    uint64_t elect_ms;                      /* when a new one is chosen; 0 = none is missed */
};

enum sim_want { SIM_WANT_PING = 0, SIM_WANT_GRANT, SIM_WANT_KEEP, SIM_WANT_TXN };
struct sim_put {
    int key;
    struct sim_value *value; /* NULL = delete */
    bool leased;
};
struct sim_request {
    unsigned refs;
    enum sim_want want;
    int node, member;
    unsigned epoch;
    uint64_t sent_ms;
    int64_t lease; /* keep; grant: the answer */
    struct sim_put puts[4];
    unsigned puts_count;
    int guard_key[2];                      /* -1 = none */
    int64_t guard_create[2], guard_mod[2]; /* -1 = any */
    void (*done)(int node, struct sim_request *request, bool answered);
    /* the answer */
    bool ok, finished;
    int64_t rev;
};

struct sim_node {
    bool exists, running, broken, witness;
    unsigned epoch; /* of the process */
    int region;
    uint64_t stopped_until;
    int64_t wall_step_ms;
    /* what it sees */
    uint8_t seen[PLACES_MAX], streak[PLACES_MAX];
    bool fit;
    /* the store's copy, and the saved one */
    struct sim_kv copy[KEYS], saved[KEYS];
    int64_t copy_rev, saved_rev, head_rev;
    uint64_t heard_ms, behind_ms, away_ms, ping_ms, save_ms;
    bool heard, fresh, pinging;
    int member;
    /* session and observer */
    int64_t lease;
    uint64_t valid_ms, keep_ms;
    bool asking, putting, standing, dirty;
    uint64_t seq;
    /* role */
    enum policy_role_mode mode;
    uint64_t leader_gone_ms, unanswered_ms;
    int64_t unanswered_view;
    bool deciding, merging;
    int64_t merge_rev;   /* of the view in the store when merging began */
    int64_t began_fence; /* its first view as this leader is written */
    int64_t wait_rev;    /* decides again when the copy has this */
    /* in force */
    int64_t view;
    uint8_t verdict[PLACES_MAX];
};

struct sim_world {
    struct gtm_rand rand;
    uint64_t now;
    bool trace;
    enum sim_mutant mutant;
    unsigned regions, nodes_count,
        places; /* endpoints: one in each of the first `places` regions */
    bool down_link[REGIONS_MAX][REGIONS_MAX];
    unsigned delay[REGIONS_MAX][REGIONS_MAX];
    bool alive[PLACES_MAX], region_dead[REGIONS_MAX];
    struct sim_etcd etcd;
    struct sim_node nodes[NODES_MAX];
    uint64_t events;
    bool healed;
    char failure[256]; /* the first thing that must never be */
    uint64_t calm_ms;  /* since when links and processes are as they are, but for deaths */
    uint64_t views, merges, isolations, elections, resyncs; /* that something happened at all */
    uint64_t worst_ms; /* that users were sent to what is dead, while etcd worked */
};
extern struct sim_world sim;

/* --- sim_world.c --- */
void sim_begin(uint64_t seed, enum sim_mutant mutant, bool trace);
void sim_run(void);
void sim_end(void);
void sim_at(uint64_t at_ms, void (*call)(int a, int64_t b, void *p), int a, int64_t b, void *p);
unsigned sim_below(unsigned n);
bool sim_chance(unsigned percent);
bool sim_path(int from, int to);      /* one way */
bool sim_both(int a, int b);          /* both ways */
unsigned sim_delay(int from, int to); /* ms, with jitter */
void sim_trace(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void sim_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* --- sim_etcd.c --- */
struct sim_value *sim_value_new(char *text); /* takes text */
struct sim_value *sim_value_ref(struct sim_value *value);
void sim_value_unref(struct sim_value *value);
void sim_kv_set(struct sim_kv *kv, const struct sim_kv *from);
void sim_etcd_begin(void);
void sim_etcd_end(void);
void sim_etcd_tick(int a, int64_t b, void *p);
bool sim_etcd_quorum(int member); /* is connected both ways with a majority that runs */
void sim_etcd_compact(void);
void sim_etcd_revoke(int64_t lease);
struct sim_request *sim_request_new(int node, enum sim_want want,
                                    void (*done)(int node, struct sim_request *request,
                                                 bool answered));
void sim_request_send(struct sim_request *request);
void sim_request_drop(struct sim_request *request); /* one reference */

/* --- sim_node.c --- */
void sim_node_begin(int node);
void sim_node_end(int node);
void sim_node_start(int node);
void sim_node_kill(int node);
void sim_node_watch(int node, int64_t b, void *p);
bool sim_node_awake(int node);
int sim_leader_of(const struct sim_kv *kv); /* the node, or -1 */

/* --- sim_decide.c --- */
void sim_decide(int node);
void sim_votes_of(const struct sim_kv *kv, const uint8_t before[PLACES_MAX],
                  uint8_t ret[PLACES_MAX]);
/* Bits of the endpoints that it would answer with. */
unsigned sim_answer(int node);

/* --- sim_fault.c --- */
void sim_fault_begin(void);

/* --- sim_check.c --- */
void sim_check_begin(void);
void sim_check_start(int node); /* a new process */
void sim_check_node(int node);
/* What a node that leads or merges is about to decide; `before` is what it has in force. */
void sim_check_decision(int node, const uint8_t before[PLACES_MAX],
                        const uint8_t health[PLACES_MAX]);
/* A transaction with a view is applied. */
void sim_check_view(int64_t rev, int64_t fence);
void sim_check_tick(void);

#endif
