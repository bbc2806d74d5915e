/* SPDX-License-Identifier: Apache-2.0
 *
 * What came of one probe, in few bytes, and the sentence that says it to an operator. Pure.
 */
#ifndef GTM_HEALTH_OUTCOME_H
#define GTM_HEALTH_OUTCOME_H

#include "health/health.h"

struct health_spec;

/* How far a probe got. */
enum health_phase {
    HEALTH_PHASE_CONNECT = 0, /* no connection yet */
    HEALTH_PHASE_TLS,         /* connected, the handshake is not complete */
    HEALTH_PHASE_ANSWER,      /* connected, nothing received */
    HEALTH_PHASE_HEADERS,     /* some of the headers */
    HEALTH_PHASE_BODY         /* some of the body, or of what the server says by itself */
};

enum health_flaw { /* what kind of garbage */
                   HEALTH_FLAW_NONE = 0,
                   HEALTH_FLAW_NOT_HTTP,
                   HEALTH_FLAW_HEADERS, /* too many or too long */
                   HEALTH_FLAW_ENDLESS, /* a body of unknown length that does not end */
                   HEALTH_FLAW_ENCODING /* chunks or lengths that contradict themselves */
};

struct health_outcome {
    enum health_result result;
    enum health_phase phase;
    enum health_flaw flaw;
    int os_error;    /* errno, or 0 */
    unsigned status; /* HTTP, or 0 */
    uint32_t latency_us;
    /* What only some kinds have. Both texts are gtm_alloc'ed and belong to whoever holds the
     * outcome: to the engine once the kind has told it. */
    char *text;                   /* evidence in the kind's own words, or NULL: see _text */
    char *body;                   /* what the load pointers look into, or NULL */
    uint32_t body_len;            /* at most HEALTH_BODY_MAX */
    int64_t cert_expires_wall_ms; /* of the certificate seen; 0 = none */
};
#define HEALTH_BODY_MAX 65536

/* Frees text and body. */
void health_outcome_clear(struct health_outcome *outcome);

/* Sets result (refused, reset, timeout, unreachable, local) from the errno of a socket call. */
void health_outcome_from_errno(struct health_outcome *outcome, int os_error);

/* Writes the evidence: "HTTP 503, wanted 200..299", "connection refused", "no answer in 800 ms",
 * or outcome->text when there is one, printable. Returns out; "" for none. */
const char *health_outcome_text(const struct health_outcome *outcome,
                                const struct health_spec *spec, char out[HEALTH_EVIDENCE_BYTES]);

#endif
