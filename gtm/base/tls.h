/* SPDX-License-Identifier: Apache-2.0
 *
 * TLS as gtm's own programs speak it: contexts of servers, and who the other end of a connection is
 * by its certificate. That is the one subjectAltName of kind URI that starts with "gtm:" (RFC 5280
 * 4.2.1.6): never a common name, a host name or a header. TLS 1.2 at least, no renegotiation, no
 * resumption (so that whoever is trusted is looked at for every connection), keys of at least 112
 * bits of security (RSA 2048).
 *
 * Functions are thread-safe as far as their objects are not shared.
 */
#ifndef GTM_BASE_TLS_H
#define GTM_BASE_TLS_H

#include "gtm/base/err.h"

#include <openssl/ssl.h>
#include <stdint.h>

#define GTM_TLS_URI_MAX 256 /* bytes of an identity, with the NUL */

/* Paths of PEM files, each with the name of its key in the configuration, for errors. */
struct gtm_tls_files {
    const char *section; /* "api.tls" */
    const char *ca;      /* NULL: clients need no certificate */
    const char *cert, *key;
};

/* A server's context. With a CA every client must show a certificate for clients that chains to it.
 * NULL with err that names key, file and reason. Blocks for the files. SSL_CTX_free. */
SSL_CTX *gtm_tls_server(const struct gtm_tls_files *files, struct gtm_error *err);

/* The first certificate of a PEM file; NULL with err. X509_free. */
X509 *gtm_tls_cert_load(const char *path, struct gtm_error *err);
/* When it ends, Unix time in ms; 0 = it does not say. */
int64_t gtm_tls_cert_expires_ms(const X509 *cert);
/* Its identity. GTM_ENOTFOUND (it has none), GTM_EPARSE (several, or odd characters, NUL among
 * them); err says so. */
int gtm_tls_cert_uri(const X509 *cert, char out[GTM_TLS_URI_MAX],
                     struct gtm_error *err) GTM_MUST_CHECK;

/* Does the client's certificate of this connection still chain to what ctx trusts, and has it not
 * ended meanwhile? For connections that are older than ctx. GTM_EDENIED (err says why). */
int gtm_tls_recheck(SSL_CTX *ctx, const SSL *ssl, struct gtm_error *err) GTM_MUST_CHECK;

/* For clients: the server's certificate must have an identity that `check` takes (0, or a code with
 * err filled) beside a chain that holds. Its host name is not looked at: nodes move, names stay. */
struct gtm_tls_expect {
    int (*check)(void *arg, const char *uri, struct gtm_error *err);
    void *arg;
    struct gtm_error err; /* of the last refusal; code 0 = none */
};
/* Borrows expect until ctx is freed. Also fit for CURLOPT_SSL_CTX_FUNCTION, with
 * CURLOPT_SSL_VERIFYHOST 0. GTM_ENOMEM. */
int gtm_tls_expect(SSL_CTX *ctx, struct gtm_tls_expect *expect) GTM_MUST_CHECK;

#endif
