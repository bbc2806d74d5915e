/* SPDX-License-Identifier: Apache-2.0
 *
 * What a TLS probe trusts and shows: the authorities' certificates and the client's certificate and
 * key, read once and shared by all targets that name the same files. Immutable, counted; any
 * thread. Identity is that of the files as they stand (path, inode, size, time), so a changed file
 * makes another object when the targets are made anew by a reload.
 *
 * Failure modes: a file that is missing, too large or malformed is no failure of the server. The
 * object is made all the same and says what is wrong in `error`; its probes cannot be made here.
 */
#ifndef GTM_HEALTH_TRUST_H
#define GTM_HEALTH_TRUST_H

#include "gtm/model/intent.h"

#include <openssl/ssl.h>
#include <stdbool.h>

#define HEALTH_TRUST_FILE_MAX 16777216 /* bytes of a file */

struct health_trust {
    char *id;          /* owned: kind of check and files, with what identifies their content */
    char *error;       /* a sentence, or NULL */
    SSL_CTX *ctx;      /* for tls probes; NULL with an error */
    X509_STORE *store; /* NULL with an error or when nothing is verified */
    X509 *cert;        /* the client's, or NULL */
    STACK_OF(X509) * chain;
    EVP_PKEY *key;
    unsigned refs; /* under the unit's lock */
    struct health_trust *next;
};

/* The object for the monitor's tls_ca, tls_cert, tls_key and tls_insecure. Reads files: not on the
 * engine's thread. One reference; NULL when out of memory. */
struct health_trust *health_trust_get(const struct gtm_monitor *monitor);
void health_trust_put(struct health_trust *trust); /* NULL is fine */

/* Gives a context that one connection or many are made of what a check needs: verification by
 * health_verify_certificate with this argument (see there), the client's certificate, TLS 1.2 or
 * later, no renegotiation, no sessions. False when out of memory. */
bool health_trust_apply(const struct health_trust *trust, SSL_CTX *ctx, void *arg);

#endif
