/* SPDX-License-Identifier: Apache-2.0
 *
 * The facade of health checking: an engine that probes targets (one address of one endpoint by one
 * monitor) on a thread of its own, damps the results by fall and rise, and says when the health of
 * a target changes. It knows no pools, verdicts or quorums; those combine its reports elsewhere.
 * Every function may be called from any thread unless it says otherwise; on_change is called on the
 * engine's thread.
 *
 * Happy path: new → apply → on_change as soon as the first probes decide → apply again on every
 * reload → free.
 * Failure modes: a failure of this host (no descriptors, no ports, no memory) is neither a pass nor
 * a failure of the target: it is counted and logged, and the health stays. Time during which this
 * process did not run is not held against a probe's time-out.
 * On free: probes in flight are dropped without a result; no callback comes after the return.
 */
#ifndef GTM_HEALTH_HEALTH_H
#define GTM_HEALTH_HEALTH_H

#include "gtm/base/clock.h"
#include "gtm/base/err.h"
#include "gtm/base/metrics.h"
#include "gtm/model/intent.h"
#include "gtm/model/verdict.h"

#include <stddef.h>
#include <stdint.h>

#define HEALTH_KEY_BYTES        256 /* with the NUL; "pool/endpoint/monitor/4" needs 3 × 63 + 5 */
#define HEALTH_EVIDENCE_BYTES   160 /* with the NUL; longer texts are cut */
#define HEALTH_LOAD_ERROR_BYTES 96  /* with the NUL; longer texts are cut */
#define HEALTH_TARGETS_MAX      100000 /* targets of one engine */

struct health_engine;

/* Why a probe ended as it did. */
enum health_result {
    HEALTH_RESULT_NONE = 0, /* no probe has ended yet */
    HEALTH_RESULT_OK,
    HEALTH_RESULT_REFUSED,     /* transport: connection refused */
    HEALTH_RESULT_RESET,       /* transport: closed or reset before a whole answer */
    HEALTH_RESULT_TIMEOUT,     /* transport: not finished within the monitor's timeout */
    HEALTH_RESULT_UNREACHABLE, /* transport: no route, host unreachable, not permitted */
    HEALTH_RESULT_STATUS,      /* content: a status that is not expected */
    HEALTH_RESULT_BODY,        /* content: the expected text is missing */
    HEALTH_RESULT_GARBAGE,     /* content: no HTTP, endless or oversized headers or body */
    HEALTH_RESULT_REDIRECT,    /* content: 3xx that is not expected; never followed */
    HEALTH_RESULT_TLS,         /* transport: the TLS handshake failed, the certificate aside */
    HEALTH_RESULT_CERTIFICATE, /* content: chain, name or time of the certificate */
    HEALTH_RESULT_ANSWER,      /* content: dns answer, gRPC status or exit code not as expected */
    HEALTH_RESULT_SILENT,      /* transport: push: no heartbeat in time */
    HEALTH_RESULT_LOCAL,       /* this host could not probe; does not count */
    HEALTH_RESULT_COUNT
};
enum health_result_class {
    HEALTH_CLASS_NONE = 0,
    HEALTH_CLASS_OK,
    HEALTH_CLASS_TRANSPORT,
    HEALTH_CLASS_CONTENT,
    HEALTH_CLASS_LOCAL
};
/* "none", "ok", "refused", …; "none", "ok", "transport", "content", "local". Pure, never NULL. */
const char *health_result_word(enum health_result result);
enum health_result_class health_result_class(enum health_result result);
const char *health_class_word(enum health_result_class class);

/* What to probe. Everything is borrowed for the call only; the engine copies what it needs. */
struct health_target {
    const char *key; /* unique within one apply, stable across applies; not empty */
    int family;      /* AF_INET or AF_INET6 */
    union {
        struct in_addr v4;
        struct in6_addr v6;
    } addr;
    const struct gtm_monitor *monitor; /* of an active kind */
    const char *pool, *endpoint;       /* for exec's arguments; may be NULL */
    enum gtm_health initial;           /* used when the key is new: what was known of it before */
};

/* What an endpoint said of its own load, in the answer to a probe or with a heartbeat. */
struct health_load {
    uint8_t has;                  /* bits 1 << enum gtm_load */
    double value[GTM_LOAD_COUNT]; /* finite, ≥ 0 */
    int64_t wall_ms;              /* when; 0 = never */
};

/* A copy of what the engine knows of one target. */
struct health_report {
    char key[HEALTH_KEY_BYTES];
    char monitor[GTM_NAME_MAX + 1];
    enum gtm_health health;                   /* up, down or unknown */
    int64_t since_wall_ms;                    /* of that health; Unix time */
    unsigned passes, fails;                   /* consecutive; one of them is 0 */
    enum health_result last;                  /* of the probe counted last */
    char evidence[HEALTH_EVIDENCE_BYTES];     /* "HTTP 503, wanted 200..299"; "" */
    uint64_t last_latency_us;                 /* of that probe; 0 = none */
    uint64_t average_latency_us;              /* moving, of passes; 0 = none yet */
    int64_t last_wall_ms;                     /* when it ended; 0 = none yet */
    uint64_t probes_total, probes_failed;     /* since the target was added */
    uint64_t probes_local;                    /* that could not be made here */
    struct health_load load;                  /* its last report */
    char load_error[HEALTH_LOAD_ERROR_BYTES]; /* why the last one could not be read in full; "" */
    int64_t cert_expires_wall_ms;             /* of the certificate seen last; 0 = none */
    unsigned shared;                          /* further targets that the same probe serves */
};

struct health_engine_opts {
    const struct gtm_clock *clock; /* borrowed until free; NULL = the system's */
    uint64_t seed;                 /* of the jitter; 0 = from the operating system */
    /* The health of a target changed from `old`; also the first decision after unknown. Called on
     * the engine's thread, one at a time, without a lock held: it may call the functions below, but
     * not free. report is borrowed for the call. May be NULL. */
    void (*on_change)(void *ctx, const struct health_report *report, enum gtm_health old);
    /* A load report came in. Same rules; at most one per target and interval. May be NULL. */
    void (*on_load)(void *ctx, const struct health_report *report);
    void *ctx;
    const char *exec_dir; /* of kind exec; NULL = such checks cannot be made here. Copied */
};

/* Starts an engine without targets and its thread. NULL on failure (err filled). Copies opts. */
struct health_engine *health_engine_new(const struct health_engine_opts *opts,
                                        struct gtm_error *err);
/* Stops probing, joins the thread, frees everything. Not on the engine's thread. NULL is fine. */
void health_engine_free(struct health_engine *engine);

/* Targets that are probed in the same way (address, port and all of the monitor) share one probe
 * and its result; each has its own report and on_change, and one that joins hears what the probe
 * knows.
 *
 * Makes these the targets, whole or not at all; takes effect soon, in order of the calls. By key:
 * an unchanged target keeps its state, phase and connections; a changed one is probed anew at once
 * but keeps its last health; one that is no longer named is not probed again, and no on_change
 * comes for it once the change took effect.
 * GTM_EINVAL (key, family, monitor kind or numbers), GTM_EEXIST (a key twice), GTM_ELIMIT,
 * GTM_ENOMEM; an error found later (out of memory on the engine's thread) is logged, and the
 * targets stay as they were. */
int health_engine_apply(struct health_engine *engine, const struct health_target *targets,
                        size_t count, struct gtm_error *err) GTM_MUST_CHECK;

/* Starts a probe of one target soon, besides its schedule. GTM_ENOTFOUND, GTM_EINVAL (kind push has
 * nothing to start), GTM_ENOMEM. */
int health_engine_check_now(struct health_engine *engine, const char *key) GTM_MUST_CHECK;

/* A heartbeat for a target of kind push: it says that it is well or not, and what its load is (may
 * be NULL). text (may be NULL) becomes evidence. Any thread. GTM_ENOTFOUND, GTM_EINVAL (another
 * kind), GTM_ENOMEM. */
int health_engine_push(struct health_engine *engine, const char *key, bool well, const char *text,
                       const struct health_load *load) GTM_MUST_CHECK;

/* All targets in the order of the last apply that took effect: a new array (gtm_free), NULL when
 * there are none. GTM_ENOMEM. */
int health_engine_snapshot(struct health_engine *engine, struct health_report **ret_reports,
                           size_t *ret_count) GTM_MUST_CHECK;
/* Only those that deserve a look, at most max: whose certificate expires at or before
 * cert_before_wall_ms, or whose last probe could not be made here. As health_engine_snapshot, but
 * cheap when there are few. */
int health_engine_notable(struct health_engine *engine, int64_t cert_before_wall_ms, size_t max,
                          struct health_report **ret_reports, size_t *ret_count) GTM_MUST_CHECK;
/* One target. GTM_ENOTFOUND. */
int health_engine_report(struct health_engine *engine, const char *key,
                         struct health_report *ret_report) GTM_MUST_CHECK;

/* Writes gtm_health_checks_total{monitor,result}, gtm_health_check_duration_seconds{monitor}
 * (histogram), gtm_health_load_reports_total{monitor}, gtm_health_load_errors_total{monitor},
 * gtm_health_start_jitter_seconds (histogram), gtm_health_targets{health}, gtm_health_probes,
 * gtm_health_exec_running, gtm_health_exec_waiting and gtm_health_stalled_seconds_total. */
void health_engine_metrics(struct health_engine *engine, struct gtm_metrics *metrics);

#endif
