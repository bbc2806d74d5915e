/* SPDX-License-Identifier: Apache-2.0
 *
 * When one target is probed, and what its results come to: a pure machine without clock, I/O, log
 * or allocation. Its owner tells it the time and the results, asks for the next step until there is
 * none, and comes back at the time it names. One owner, one thread.
 *
 * - A regular probe starts every interval, at a phase of its own.
 * - While the target is not down, a probe that failed, or is late by max(50 ms, 4 × the moving
 *   average of its latency), is confirmed at once by another one on a fresh connection, overlapping
 *   it, until `fall` failures are counted or possible. From the second confirmation in a row on,
 * starts are at least HEALTH_CONFIRM_GAP_MS apart, so that `fall` keeps its meaning for a restart
 * that takes some milliseconds.
 * - Results count in the order in which their probes started; a late probe that passes after all
 *   cancels the confirmations it caused.
 * - A target of unknown health is decided by probes in a row, not one per interval. A target that
 * is down and passes once is probed every min(interval, HEALTH_RISE_MS) until it is up or fails.
 */
#ifndef GTM_HEALTH_SCHEDULE_H
#define GTM_HEALTH_SCHEDULE_H

#include "gtm/base/rand.h"
#include "health/damping.h"

#include <stdbool.h>
#include <stdint.h>

#define HEALTH_FLIGHTS_MAX    4   /* probes of one target at a time */
#define HEALTH_LATE_MIN_MS    50  /* a probe younger than this is never late */
#define HEALTH_LATE_FACTOR    4   /* × moving average */
#define HEALTH_CONFIRM_GAP_MS 50  /* between starts, from the second confirmation on */
#define HEALTH_RISE_MS        250 /* between probes of a target that is coming back */
#define HEALTH_FIRST_MS       200 /* the first probe starts within this, or within the interval */
#define HEALTH_NEVER          UINT64_MAX

struct health_rules {
    unsigned interval_ms, timeout_ms, fall, rise; /* all at least 1 */
};

enum health_outcome_kind { HEALTH_VOID = 0 /* could not be made here */, HEALTH_PASS, HEALTH_FAIL };

enum health_flight_state { HEALTH_FLIGHT_FREE = 0, HEALTH_FLIGHT_RUNNING, HEALTH_FLIGHT_DONE };

/* One probe, from its start until its result is counted. Times are nanoseconds of the owner's
 * clock. */
struct health_flight {
    enum health_flight_state state;
    enum health_outcome_kind outcome; /* once done */
    bool confirm;                     /* started because of another one's failure or lateness */
    bool cancel;                      /* no longer wanted */
    uint32_t seq;                     /* order of start */
    uint32_t latency_us;              /* once done */
    uint64_t start_ns, late_ns, deadline_ns;
};

/* Embedded by its owner; fields are for reading only, but slack_us. */
struct health_schedule {
    struct health_rules rules;
    struct health_damping damping;
    struct health_flight flights[HEALTH_FLIGHTS_MAX];
    uint64_t phase_ns;       /* regular probes are due at phase + n × interval */
    uint64_t due_ns;         /* the next regular probe */
    uint64_t last_start_ns;  /* of the probe started last */
    uint64_t started_due_ns; /* when the probe started last had been due */
    uint32_t average_us;     /* moving average of passes' latency; 0 = none yet */
    uint32_t next_seq;
    /* How slow the owner itself is just now; set by it, and added to what counts as late, or a busy
     * owner would make itself busier by confirming. */
    uint32_t slack_us;
    unsigned confirms; /* since the last regular start */
};

enum health_step {
    HEALTH_STEP_NONE = 0,
    HEALTH_STEP_START,  /* start a probe for this slot, on a fresh connection when .confirm */
    HEALTH_STEP_EXPIRE, /* this slot's probe is over its time: stop it; it counts as a failure */
    HEALTH_STEP_CANCEL, /* this slot's probe is no longer wanted: stop it; it does not count */
    HEALTH_STEP_COUNT   /* this slot's result was counted just now (damping and average follow) */
};

/* Starts at now_ns from what was known before. The first probe falls within `first_ms` (at most an
 * interval), the phase within the first interval. */
void health_schedule_init(struct health_schedule *schedule, const struct health_rules *rules,
                          enum gtm_health known, uint64_t now_ns, unsigned first_ms,
                          struct gtm_rand *rand);

/* The next thing to do at now_ns; *ret_slot names the flight. Call until it says NONE. After COUNT,
 * *ret_changed tells whether the health changed. */
enum health_step health_schedule_step(struct health_schedule *schedule, uint64_t now_ns,
                                      unsigned *ret_slot, bool *ret_changed);

/* The probe of a running slot ended by itself. Then step. */
void health_schedule_result(struct health_schedule *schedule, unsigned slot,
                            enum health_outcome_kind outcome, uint32_t latency_us);

/* A probe that has to wait for a place here: after its START, holds back its lateness and its
 * time-out until _begun, at most an interval or a time-out long. */
void health_schedule_hold(struct health_schedule *schedule, unsigned slot);
void health_schedule_begun(struct health_schedule *schedule, unsigned slot, uint64_t now_ns);
/* After EXPIRE: this slot's failure is not the target's and does not count. */
void health_schedule_void(struct health_schedule *schedule, unsigned slot);

/* Makes a probe due now, besides the schedule. Then step. */
void health_schedule_check_now(struct health_schedule *schedule, uint64_t now_ns);

/* When to step again if no result comes before. */
uint64_t health_schedule_wake_ns(const struct health_schedule *schedule);

#endif
