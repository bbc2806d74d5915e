/* SPDX-License-Identifier: Apache-2.0
 *
 * The server's side of DNS over TLS (RFC 7858): a counted OpenSSL context with certificate, key,
 * ALPN "dot" and session tickets. Immutable once made, so a reload makes a new one and clients that
 * are connected keep theirs. Internal to dns/; used by dns/server.c and dns/stream*.c.
 */
#ifndef DNS_TLS_H
#define DNS_TLS_H

#include "gtm/base/err.h"

#include <stdint.h>

#define DNS_TLS_TICKET_BYTES 80 /* what OpenSSL wants: name, HMAC key, AES key */

struct ssl_ctx_st;
struct ssl_st;

/* Keys of session tickets. They live as long as the process: a reload of the certificate does not
 * end the sessions of clients. */
struct dns_tls_tickets {
    uint8_t keys[DNS_TLS_TICKET_BYTES];
};
int dns_tls_tickets_new(struct dns_tls_tickets *ret) GTM_MUST_CHECK; /* GTM_EIO: no random octets */

/* Reads a PEM chain and its key. TLS 1.2 and 1.3 only, no renegotiation, no early data. NULL on
 * failure; err names the file and OpenSSL's reason, or says that key and certificate do not belong
 * together (GTM_EINVAL; GTM_ENOTFOUND, GTM_EDENIED, GTM_EPARSE for files). Encrypted keys are
 * refused, never asked for. Reads files: control thread only. Free with dns_tls_ctx_free. */
struct ssl_ctx_st *dns_tls_ctx_new(const char *cert, const char *key,
                                   const struct dns_tls_tickets *tickets, struct gtm_error *err);
void dns_tls_ctx_free(struct ssl_ctx_st *ctx); /* NULL is fine; connections keep it alive */

#endif
