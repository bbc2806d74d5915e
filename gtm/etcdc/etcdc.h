/* SPDX-License-Identifier: Apache-2.0
 *
 * etcdc: a client library for etcd v3 (3.4 to 3.6) in C, over the servers' JSON gateway. It needs
 * gtm/base (loop, HTTP, JSON, memory) and nothing else of gtm. Asynchronous: everything belongs to
 * the thread of the loop that the client was made with; callbacks come from the loop, never from
 * inside a call, and may call everything but the free or close of what is calling. The exceptions
 * say so.
 *
 * What it takes off its user's hands, each a pitfall met in the field (tests/unit/gtm/etcdc/ has a
 * test for each): zero values left out of answers, 64-bit numbers as text, three dialects of
 * errors, base64 that must be padded, failures that come as HTTP 200, answers to writes that may or
 * may not have happened, servers without quorum that go on answering, members whose term is old,
 * compaction under a watch, events twice, late or split, leases that end early or late, keys that
 * lose their lease by a plain put, elections won by who has lost its session, endless lines.
 *
 * Measured against three members of 3.4.23 on the loopback of a busy two-core machine
 * (tests/bench/bench_etcdc.c): from a put to the event of a watch on another member p50 1.6 ms, p99
 * 8 to 11 ms, 140 us of CPU; a keep-alive p50 0.6 ms, 100 us of CPU; an idle watch keeps 32 KiB. A
 * member that hangs under a watch is left after about stale_ms; STALE comes stale_ms + 0.3 s after
 * the quorum went, FRESH 0.3 to 2.4 s after it came back (tests/unit/gtm/etcdc/test_watch.c).
 *
 * Sources: etcd api/v3 (rpc.proto, rpctypes/error.go); the gateway's documentation.
 */
#ifndef GTM_ETCDC_ETCDC_H
#define GTM_ETCDC_ETCDC_H

#include "gtm/base/clock.h"
#include "gtm/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ETCDC_ENDPOINTS_MAX 32
#define ETCDC_KEY_MAX       4096u
#define ETCDC_VALUE_MAX     (1u << 20)
#define ETCDC_TXN_OPS_MAX   128u
#define ETCDC_TXN_BYTES_MAX (1400u << 10) /* etcd takes 1.5 MiB with everything */

struct gtm_loop;
struct etcdc;
struct etcdc_watch;
struct etcdc_session;
struct etcdc_election;
struct etcdc_txn;

/* --- errors --- */

/* Negative results of calls and `code` of answers; 0 is success. */
enum etcdc_code {
    ETCDC_OK = 0,
    ETCDC_E_ARG = -1, /* the caller's: bad key, size, number of operations */
    ETCDC_E_NOMEM = -2,
    ETCDC_E_CLOSED = -3,    /* the client is being freed */
    ETCDC_E_TIMEOUT = -4,   /* a read did not end in time */
    ETCDC_E_CONNECT = -5,   /* nothing was sent to anybody */
    ETCDC_E_AMBIGUOUS = -6, /* a write was sent and no clear answer came: it may have happened */
    ETCDC_E_NO_LEADER = -7, /* the members asked have no quorum */
    ETCDC_E_UNAVAILABLE = -8,
    ETCDC_E_TOO_MANY = -9,   /* the server is overloaded */
    ETCDC_E_COMPACTED = -10, /* the revision asked for is gone */
    ETCDC_E_FUTURE_REV = -11,
    ETCDC_E_LEASE_NOT_FOUND = -12,
    ETCDC_E_LEASE_EXISTS = -13,
    ETCDC_E_TOO_LARGE = -14, /* for the server: request or number of operations */
    ETCDC_E_NO_SPACE = -15,  /* the server's quota: reads and deletes only */
    ETCDC_E_AUTH = -16,      /* user, password or token */
    ETCDC_E_DENIED = -17,    /* known, but not allowed; also TLS */
    ETCDC_E_CORRUPT = -18,
    ETCDC_E_STALE_MEMBER = -19,    /* its raft term is older than one already seen */
    ETCDC_E_CLUSTER_CHANGED = -20, /* another cluster answers at this address */
    ETCDC_E_PROTOCOL = -21,        /* not etcd, a proxy, or the gateway is off */
    ETCDC_E_VERSION = -22,         /* older than 3.4 */
    ETCDC_E_SESSION_LOST = -23,
    ETCDC_E_OVERFLOW = -24 /* more events than the bound */
};
enum etcdc_class {
    ETCDC_RETRY_SAFE = 0, /* nothing happened, or it was a read: try again */
    ETCDC_AMBIGUOUS,      /* look what is there before trying again */
    ETCDC_PERMANENT       /* trying again gives the same */
};
enum etcdc_class etcdc_class(int code);
/* "no leader"; never NULL. And the stable word for metrics: "no_leader". */
const char *etcdc_text(int code);
const char *etcdc_word(int code);

/* --- the client --- */

struct etcdc_opts {
    struct gtm_loop *loop;         /* borrowed until etcdc_free */
    const struct gtm_clock *clock; /* NULL = the system's */
    const char *const *endpoints;  /* "https://10.0.1.5:2379"; in order of preference; copied */
    size_t endpoints_count;        /* 1..ETCDC_ENDPOINTS_MAX */
    const char *ca, *cert, *key; /* PEM files; NULL = none. Copied, read anew for new connections */
    const char *user, *password_file; /* NULL = no authentication. The file is read when needed */
    unsigned connect_ms;              /* 0 = 1,000 */
    unsigned call_ms;    /* deadline of a call; 0 = 2,000; the server is told a little less */
    uint64_t seed;       /* of jitter; 0 = from the operating system */
    uint64_t cluster_id; /* the cluster expected; 0 = whichever answers first */
};

/* NULL with err. Connects to nobody yet. */
struct etcdc *etcdc_new(const struct etcdc_opts *opts, struct gtm_error *err);
/* Calls that wait are dropped (no callbacks); watches, sessions and elections must be closed
 * before. Revokes nothing. NULL is fine. */
void etcdc_free(struct etcdc *client);

/* From here on this cluster is the one expected (an operator said so). 0 = whichever answers. */
void etcdc_expect_cluster(struct etcdc *client, uint64_t cluster_id);

/* Where a client stands with each endpoint; for people and metrics. */
struct etcdc_endpoint_info {
    const char *url;
    bool chosen;         /* the one that calls go to now */
    uint64_t ejected_ms; /* how much longer it is left out; 0 = it is not */
    uint64_t latency_us; /* moving average; 0 = unknown */
    uint64_t member_id, raft_term;
    char version[24]; /* "3.4.23"; "" = not asked yet */
    char error[160];  /* the last failure; "" = none */
};
size_t etcdc_endpoints(const struct etcdc *client, struct etcdc_endpoint_info *ret,
                       size_t max); /* returns how many there are */
struct etcdc_counters {
    uint64_t calls, failures[32]; /* index: -code */
    uint64_t events, watches_restarted, bytes_in;
};
void etcdc_counters(const struct etcdc *client, struct etcdc_counters *ret);

/* --- calls --- */

struct etcdc_buf {
    const void *p; /* any octets */
    size_t n;
};
static inline struct etcdc_buf etcdc_bytes(const void *p, size_t n)
{
    return (struct etcdc_buf){p, n};
}
struct etcdc_buf etcdc_str(const char *s); /* without the NUL */
/* The end of the range "all that start with prefix", into out (prefix.n octets, at least one).
 * Where nothing is above (empty, or all 0xff) it is "\0", etcd's word for "to the end of all keys":
 * an empty end would be the key alone. */
struct etcdc_buf etcdc_prefix_end(struct etcdc_buf prefix, uint8_t *out);

struct etcdc_header {
    uint64_t cluster_id, member_id, raft_term;
    int64_t revision;
};
struct etcdc_kv {
    struct etcdc_buf key, value;
    int64_t create_revision, mod_revision, version, lease;
};
/* An answer to one operation. */
struct etcdc_part {
    struct etcdc_kv *kvs; /* range; put and delete with prev */
    size_t kvs_count;
    int64_t count; /* range: keys in the whole range; delete: keys deleted */
    bool more;
};
struct etcdc_answer {
    int code; /* enum etcdc_code */
    struct etcdc_header header;
    bool succeeded;           /* txn: the comparisons held */
    struct etcdc_part *parts; /* txn: one for each operation of the branch taken; others: one */
    size_t parts_count;
    int64_t lease, ttl_s; /* grant, keep-alive, time-to-live (ttl_s -1: there is no such lease) */
    int64_t compact_revision; /* with ETCDC_E_COMPACTED; 0 = unknown */
    const char *endpoint;     /* that answered, or failed last */
    const char *text;         /* of the error, for people: what, where; "" when none */
};
/* Borrowed for the call. */
typedef void etcdc_done_fn(void *arg, const struct etcdc_answer *answer);

enum etcdc_flag {
    ETCDC_SERIALIZABLE =
        1, /* reads: from one member's copy, perhaps old. Only to show or to boot */
    ETCDC_KEYS_ONLY = 2,
    ETCDC_COUNT_ONLY = 4,
    ETCDC_PREV = 8,        /* put, delete: also what was there */
    ETCDC_IDEMPOTENT = 16, /* a write that may be sent twice: ambiguous failures are tried again */
    ETCDC_KEEP_LEASE = 32, /* put: the key keeps the lease it has (which must exist) */
    ETCDC_NO_LEADER_CHECK = 64 /* do not ask the server to refuse when it has no quorum */
};

/* Each starts a call that ends with exactly one `done`, within the deadline (opts.call_ms, over all
 * endpoints tried). Returns ETCDC_OK or, without a callback later, ETCDC_E_ARG, ETCDC_E_NOMEM,
 * ETCDC_E_TOO_MANY (over 4,096 wait). Keys and values are copied. Reads try other endpoints by
 * themselves; writes only when nothing can have happened, or with ETCDC_IDEMPOTENT. */

/* Whoever waits goes away: ends all calls that were started with this arg, without their callbacks.
 * What was sent may still happen. */
void etcdc_cancel(struct etcdc *client, const void *arg);

/* [key, end); end.n == 0: just key. At most limit keys (0 = all: use etcdc_list for many).
 * revision 0 = now. */
int etcdc_range(struct etcdc *client, struct etcdc_buf key, struct etcdc_buf end, int64_t limit,
                int64_t revision, unsigned flags, etcdc_done_fn *done, void *arg) GTM_MUST_CHECK;
/* lease 0: the key has no lease afterwards, whatever it had: ETCDC_KEEP_LEASE keeps it. */
int etcdc_put(struct etcdc *client, struct etcdc_buf key, struct etcdc_buf value, int64_t lease,
              unsigned flags, etcdc_done_fn *done, void *arg) GTM_MUST_CHECK;
int etcdc_delete(struct etcdc *client, struct etcdc_buf key, struct etcdc_buf end, unsigned flags,
                 etcdc_done_fn *done, void *arg) GTM_MUST_CHECK;

/* A whole range at one revision, in pages: `page` for every page, then `done` once (header.revision
 * is the revision read; no kvs). A compaction between pages starts over: `page` gets restart =
 * true, and what came before is void. */
typedef void etcdc_page_fn(void *arg, const struct etcdc_kv *kvs, size_t count, bool restart);
int etcdc_list(struct etcdc *client, struct etcdc_buf key, struct etcdc_buf end, unsigned flags,
               etcdc_page_fn *page, etcdc_done_fn *done, void *arg) GTM_MUST_CHECK;

/* Transactions: built, then committed (which frees them) or freed. A failed add is remembered and
 * reported by commit. */
enum etcdc_target { ETCDC_CREATE_REVISION = 0, ETCDC_MOD_REVISION, ETCDC_VERSION, ETCDC_LEASE };
enum etcdc_compare { ETCDC_EQUAL = 0, ETCDC_GREATER, ETCDC_LESS, ETCDC_NOT_EQUAL };
struct etcdc_txn *etcdc_txn_new(void); /* NULL: out of memory */
void etcdc_txn_free(struct etcdc_txn *txn);
void etcdc_txn_if(struct etcdc_txn *txn, struct etcdc_buf key, enum etcdc_target target,
                  enum etcdc_compare compare, int64_t value);
void etcdc_txn_if_value(struct etcdc_txn *txn, struct etcdc_buf key, struct etcdc_buf value);
/* `otherwise`: into the branch taken when the comparisons do not hold. */
void etcdc_txn_put(struct etcdc_txn *txn, bool otherwise, struct etcdc_buf key,
                   struct etcdc_buf value, int64_t lease, unsigned flags);
void etcdc_txn_delete(struct etcdc_txn *txn, bool otherwise, struct etcdc_buf key,
                      struct etcdc_buf end);
void etcdc_txn_range(struct etcdc_txn *txn, bool otherwise, struct etcdc_buf key,
                     struct etcdc_buf end, int64_t limit);
/* Takes txn, also on failure. ETCDC_E_ARG: over ETCDC_TXN_OPS_MAX or ETCDC_TXN_BYTES_MAX, a key put
 * twice. */
int etcdc_commit(struct etcdc *client, struct etcdc_txn *txn, unsigned flags, etcdc_done_fn *done,
                 void *arg) GTM_MUST_CHECK;

int etcdc_lease_grant(struct etcdc *client, int64_t ttl_s, etcdc_done_fn *done,
                      void *arg) GTM_MUST_CHECK;
int etcdc_lease_revoke(struct etcdc *client, int64_t lease, etcdc_done_fn *done,
                       void *arg) GTM_MUST_CHECK;
int etcdc_lease_keep_alive(struct etcdc *client, int64_t lease, etcdc_done_fn *done,
                           void *arg) GTM_MUST_CHECK; /* one beat; ETCDC_E_LEASE_NOT_FOUND */
int etcdc_compact(struct etcdc *client, int64_t revision, etcdc_done_fn *done,
                  void *arg) GTM_MUST_CHECK;

/* One member's word on itself and its cluster. */
struct etcdc_status {
    int code;
    const char *text;
    struct etcdc_header header;
    uint64_t leader; /* 0 = none */
    char version[24];
    int64_t db_bytes;
    bool learner;
    const char *alarms; /* "NOSPACE", "" */
};
typedef void etcdc_status_fn(void *arg, const struct etcdc_status *status);
int etcdc_status(struct etcdc *client, size_t endpoint, etcdc_status_fn *done,
                 void *arg) GTM_MUST_CHECK;

/* --- watches --- */

enum etcdc_event_type {
    ETCDC_SNAPSHOT =
        0,          /* a listing begins at `revision`; `kv` is NULL. What is not in it is gone */
    ETCDC_PUT,      /* also the keys of a listing (revision: the listing's) */
    ETCDC_DELETE,   /* kv: key and mod_revision only */
    ETCDC_REVISION, /* all events up to and with `revision` have been given: a whole transaction is
                       seen or none of it. Ends a listing too; also when nothing changed (progress)
                     */
    ETCDC_STALE,    /* nothing was heard from a member with quorum for opts.stale_ms */
    ETCDC_FRESH,    /* heard again; everything up to `revision` is known */
    ETCDC_FAILED    /* permanent (code): denied, another cluster. Tried again every few seconds;
                       FRESH says that it is over */
};
struct etcdc_event {
    enum etcdc_event_type type;
    const struct etcdc_kv *kv;
    int64_t revision;
    int code;
    const char *text;
    struct etcdc_header header;
};
typedef void etcdc_watch_fn(void *arg, const struct etcdc_event *event);
struct etcdc_watch_opts {
    struct etcdc_buf key, end; /* a range; copied */
    int64_t after;             /* > 0: everything up to this revision is known to the caller: no
                                  listing while it is not compacted. 0 = begin with a listing */
    unsigned stale_ms;         /* 0 = 3,000 */
    struct etcdc_buf tick; /* a key inside the range whose changes are expected every tick_ms and
                              count as life; empty: the watch asks the member for progress, or its
                              status, itself */
    unsigned relist_ms;    /* a full listing now and then, against servers that lose events (etcd
                              issues 18089, 19179); what it finds comes as PUT and DELETE. 0 =
                              300,000, jittered by a fifth */
    size_t queue_bytes;    /* of one transaction; 0 = 64 MiB; more → listing */
};
/* Lists, then follows, for ever: through compactions, restarts, members without quorum, members
 * that lag or lost their cluster. Never goes back: revisions of events given only rise. It tells
 * what is, not all that was: after a listing in between, what changed twice comes once. SNAPSHOT
 * comes at the beginning, and later only when the watch does not know all that it gave (after > 0,
 * or more than 512 MiB of keys); other listings come as the difference. The first FRESH follows the
 * first listing. NULL: ENOMEM or bad opts. */
struct etcdc_watch *etcdc_watch(struct etcdc *client, const struct etcdc_watch_opts *opts,
                                etcdc_watch_fn *cb, void *arg);
void etcdc_watch_close(struct etcdc_watch *watch); /* also from its callback; NULL is fine */
/* Milliseconds since a member with quorum was heard on it; UINT64_MAX = never. */
uint64_t etcdc_watch_age_ms(const struct etcdc_watch *watch);

/* --- sessions: a lease that is kept alive, and a clock that says how long it surely holds --- */

enum etcdc_session_state {
    ETCDC_SESSION_OPENING = 0,
    ETCDC_SESSION_HELD,
    ETCDC_SESSION_AT_RISK, /* two thirds of its time are gone without a beat */
    ETCDC_SESSION_LOST     /* for good: close it and open another */
};
typedef void etcdc_session_fn(void *arg, enum etcdc_session_state state);
/* Beats come from a thread of the session's own, with connections of its own, so that a busy loop
 * loses no lease; cb comes on the client's loop. ttl_s: asked for; the server may grant more, and
 * what it grants counts. NULL: out of memory, no thread. */
struct etcdc_session *etcdc_session_open(struct etcdc *client, int64_t ttl_s, etcdc_session_fn *cb,
                                         void *arg);
/* Stops the beats; `revoke`: and the lease, if that is quick (at most half a second, without
 * waiting for it here). No callback comes afterwards. NULL is fine. */
void etcdc_session_close(struct etcdc_session *session, bool revoke);
int64_t etcdc_session_lease(const struct etcdc_session *session); /* 0 = not yet, or lost */
int64_t etcdc_session_ttl_s(const struct etcdc_session *session); /* granted */
enum etcdc_session_state etcdc_session_state(const struct etcdc_session *session);
/* Will the lease surely hold for another need_ms? By CLOCK_BOOTTIME, counted from before the last
 * good beat was sent, less max(500 ms, a tenth). Any thread, no lock, no waiting. */
bool etcdc_session_valid(const struct etcdc_session *session, uint32_t need_ms);

/* --- elections --- */

enum etcdc_election_state {
    ETCDC_WAITING = 0,
    ETCDC_ELECTED, /* own key read back by a quorum, session valid */
    ETCDC_ENDED    /* the session or the key is gone: free it, open a new session, stand again */
};
typedef void etcdc_election_fn(void *arg, enum etcdc_election_state state);
/* Stands for election under prefix with the session's lease: key = prefix + lease in hex. The
 * lowest create revision leads. Copies. One watch over the prefix tells of those before and of the
 * own key, which is also read once a term. cb comes when the state changes; intermediate ones may
 * be left out. NULL: out of memory, no lease yet, an empty or endless prefix. */
struct etcdc_election *etcdc_elect(struct etcdc *client, struct etcdc_session *session,
                                   const char *prefix, struct etcdc_buf value,
                                   etcdc_election_fn *cb, void *arg);
enum etcdc_election_state etcdc_election_state(const struct etcdc_election *election);
/* Elected and the session holds for need_ms more. The election's loop only. */
bool etcdc_leads(const struct etcdc_election *election, uint32_t need_ms);
/* Its own key and that key's create revision: the fencing token. */
const char *etcdc_election_key(const struct etcdc_election *election);
int64_t etcdc_election_fence(const struct etcdc_election *election); /* 0 = not elected */
/* Adds "the leader is still me" to a transaction. ETCDC_E_SESSION_LOST when not elected. */
int etcdc_guard(const struct etcdc_election *election, struct etcdc_txn *txn) GTM_MUST_CHECK;
/* Deletes its key (guarded, tried until it is gone or the lease has surely ended) and frees; also
 * while waiting. cb never comes again. NULL is fine. */
void etcdc_resign(struct etcdc_election *election);

#endif
