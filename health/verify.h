/* SPDX-License-Identifier: Apache-2.0
 *
 * Judges the certificate of a server, for every kind that speaks TLS, and says what is wrong with
 * it in a sentence: chain, signatures, times, purpose, strength (RFC 5280), name (RFC 9525, subject
 * alternative names only), and how long it still holds. Internal to health; no I/O.
 *
 * Happy path: the handshake calls health_verify_certificate → the chain is built from what the
 * server sent and what is trusted → name → time left → the handshake goes on.
 * Failure modes: anything wrong ends the handshake; the peer's `text` says why.
 */
#ifndef GTM_HEALTH_VERIFY_H
#define GTM_HEALTH_VERIFY_H

#include "gtm/base/clock.h"
#include "health/outcome.h"

#include <openssl/ssl.h>
#include <stdbool.h>

struct health_spec;

/* One handshake: what is wanted, and what was found. */
struct health_peer {
    const struct health_spec *spec;
    const struct gtm_clock *clock;
    int64_t expires_wall_ms; /* of the server's certificate; 0 = none was seen */
    bool refused;            /* it was not accepted */
    char *text;              /* then: why; gtm_free; NULL when out of memory */
};

/* For SSL_CTX_set_cert_verify_callback; arg is the health_peer, or NULL: then it is the SSL's
 * app_data. */
int health_verify_certificate(X509_STORE_CTX *ctx, void *arg);

/* Forgets what was found before, for the next handshake. */
void health_peer_reset(struct health_peer *peer);

/* When a handshake failed for a reason other than the certificate: what OpenSSL's error code
 * (ERR_peek_error; 0 = none) means, as the outcome's result (tls) and text. */
void health_verify_failed(struct health_outcome *outcome, unsigned long code, int os_error);

#endif
