/* SPDX-License-Identifier: Apache-2.0
 *
 * The seam between the engine and the kinds of probe. A kind opens a prober for each target, which
 * runs up to HEALTH_FLIGHTS_MAX probes at a time and keeps what they can share (a connection, a
 * handle). Everything here belongs to the engine's thread; nothing blocks.
 *
 * Happy path: open → start → (I/O) → health_probe_complete → the engine's on_done, later in the
 * same round of the loop, never from inside start → … → close. Failure modes: whatever goes wrong
 * in a probe is an outcome of it. The time-out is the engine's: it cancels. On cancel: nothing is
 * told any more of that probe; the kind has let go of it on return.
 */
#ifndef GTM_HEALTH_PROBE_H
#define GTM_HEALTH_PROBE_H

#include "gtm/base/clock.h"
#include "health/outcome.h"
#include "health/spec.h"

#include <stdatomic.h>
#include <stdbool.h>

struct event;
struct event_base;
struct health_icmp;
struct health_probe;
struct health_shards;

/* What the probes of one engine share. */
struct health_io {
    struct event_base *base;       /* borrowed */
    const struct gtm_clock *clock; /* borrowed */
    struct health_shards *shards;  /* of the http kinds; owned by the engine */
    struct health_icmp *icmp;      /* of the icmp kind; NULL before its first target; owned here */
    struct event *after;           /* runs health__io_after once the round's I/O events are done */
    struct health_probe *done, **done_end; /* ended, not told yet; in order */
    const char *exec_dir;                  /* or NULL; borrowed */
    struct health_exec *exec; /* of the exec kind, made on first use; owned by the engine */
    atomic_uint exec_running, exec_waiting; /* for the metrics */
    void (*on_done)(void *ctx, struct health_probe *probe);
    /* A probe that was `waiting` on return from its start began just now. */
    void (*on_begun)(void *ctx, struct health_probe *probe);
    void *ctx;
};

struct health_probe_ops {
    /* A prober for the target; borrows both until close. NULL when out of memory. */
    void *(*open)(struct health_io *io, const struct health_spec *spec);
    /* All its probes have ended or been cancelled. */
    void (*close)(void *prober);
    /* Starts a probe; `fresh` asks for a new connection that is not kept. */
    void (*start)(void *prober, struct health_probe *probe, bool fresh);
    /* Stops a probe that runs (its `run` is set), and says how far it got. The engine calls
     * health__probe_cancel instead. */
    enum health_phase (*cancel)(void *prober, struct health_probe *probe);
};
extern const struct health_probe_ops health_probe_http, health_probe_tcp, health_probe_tls,
    health_probe_dns, health_probe_icmp, health_probe_exec;
/* The kind's operations, or NULL when this build does not probe it (or it is kind push). */
const struct health_probe_ops *health_probe_ops_of(enum gtm_monitor_kind kind);

/* One probe: storage of the engine, zero-initialised, reused from start to start. */
struct health_probe {
    struct health_io *io;
    void *run;     /* the kind's: non-NULL while it holds something for this probe */
    void *owner;   /* the engine's target */
    unsigned slot; /* … and which of its flights this is */
    bool ended;    /* in io->done */
    bool waiting;  /* the kind's: it has no place to run yet; its time-out does not count */
    uint64_t start_ns;
    struct health_outcome outcome; /* once ended */
    struct health_probe *next;
};

/* Wires the after event. on_done and ctx are set by the caller. GTM_ENOMEM. */
int health__io_init(struct health_io *io, struct event_base *base,
                    const struct gtm_clock *clock) GTM_MUST_CHECK;
void health__io_fini(struct health_io *io);
/* Lets curl go on where it asked to, and tells the engine of every probe that ended, until there is
 * nothing left to do. Not from inside a kind's callback. */
void health__io_settle(struct health_io *io);
/* Makes health__io_settle run after the I/O events of this round. */
void health__io_soon(struct health_io *io);

/* The engine, before a kind's start: marks the beginning. */
void health__probe_begin(struct health_probe *probe);
/* A kind, from anywhere: the probe ended with this outcome (latency is filled here). The kind has
 * let go of it. */
void health__probe_complete(struct health_probe *probe, const struct health_outcome *outcome);
/* The engine: stops a probe that has not been told yet, also one that ended meanwhile, and says how
 * far it got. */
enum health_phase health__probe_cancel(const struct health_probe_ops *ops, void *prober,
                                       struct health_probe *probe);

/* The prober of kinds whose probes share nothing; their open and close. */
struct health_prober {
    struct health_io *io;
    const struct health_spec *spec;
};
void *health__prober_open(struct health_io *io, const struct health_spec *spec);
void health__prober_close(void *prober);

#endif
