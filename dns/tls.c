/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenSSL contexts for DNS over TLS. See tls.h.
 */
#include "dns/tls.h"

#include "gtm/base/rand.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509err.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TICKETS_PER_HANDSHAKE 2    /* a resolver that opens two connections can resume both */
#define SESSION_S             7200 /* how long a ticket may be used */

int dns_tls_tickets_new(struct dns_tls_tickets *ret)
{
    return gtm_rand_secure(ret->keys, sizeof(ret->keys));
}

/* OpenSSL's oldest reason; the queue is empty afterwards. */
static const char *reason(char *out, size_t bytes)
{
    unsigned long code = ERR_get_error();
    const char *text = code ? ERR_reason_error_string(code) : NULL;

    snprintf(out, bytes, "%s", text ? text : "unknown reason");
    ERR_clear_error();
    return out;
}

/* OpenSSL's words for a file that cannot be opened are poor: say it before. */
static int readable(const char *path, const char *what, struct gtm_error *err)
{
    if (path == NULL || path[0] == '\0')
        return gtm_error_set(err, GTM_EINVAL, "TLS needs a %s", what);
    if (access(path, R_OK) != 0)
        return gtm_error_set(err, gtm_err_from_errno(errno), "%s %s: %s", what, path,
                             strerror(errno));
    return 0;
}

/* A key behind a passphrase must not ask on some terminal. */
static int no_passphrase(char *buf, int size, int writing, void *arg)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

/* RFC 7858 has no ALPN, later clients say "dot". Who offers other protocols only is told so, or
 * its octets could be taken for another protocol's (RFC 9325 3.7). */
static int choose_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
                       const unsigned char *offered, unsigned len, void *arg)
{
    static const unsigned char ours[] = {3, 'd', 'o', 't'};
    unsigned char *found = NULL;

    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto(&found, ret_len, ours, sizeof(ours), offered, len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *ret = found;
    return SSL_TLSEXT_ERR_OK;
}

static int load_files(SSL_CTX *ctx, const char *cert, const char *key, struct gtm_error *err)
{
    char why[160];
    int rc = readable(cert, "certificate", err);

    if (rc == 0)
        rc = readable(key, "key", err);
    if (rc != 0)
        return rc;
    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
        return gtm_error_set(err, GTM_EPARSE, "certificate %s: %s", cert, reason(why, sizeof(why)));
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
        if (ERR_GET_REASON(ERR_peek_error()) != X509_R_KEY_VALUES_MISMATCH)
            return gtm_error_set(err, GTM_EPARSE, "key %s: %s", key, reason(why, sizeof(why)));
        ERR_clear_error();
        return gtm_error_set(err, GTM_EINVAL, "key %s does not belong to certificate %s", key,
                             cert);
    }
    if (SSL_CTX_check_private_key(ctx) != 1)
        return gtm_error_set(err, GTM_EINVAL, "key %s does not belong to certificate %s: %s", key,
                             cert, reason(why, sizeof(why)));
    return 0;
}

static int set_up(SSL_CTX *ctx, const struct dns_tls_tickets *tickets)
{
    static const unsigned char context[] = "gtm-dns";
    uint8_t keys[DNS_TLS_TICKET_BYTES];

    memcpy(keys, tickets->keys, sizeof(keys));
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets: the client keeps it */
    SSL_CTX_set_timeout(ctx, SESSION_S);
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
    bool ok = SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
              SSL_CTX_set_num_tickets(ctx, TICKETS_PER_HANDSHAKE) == 1 &&
              SSL_CTX_set_session_id_context(ctx, context, sizeof(context) - 1) == 1 &&
              SSL_CTX_set_tlsext_ticket_keys(ctx, keys, sizeof(keys)) == 1;
    OPENSSL_cleanse(keys, sizeof(keys));
    return ok ? 0 : GTM_ENOMEM;
}

struct ssl_ctx_st *dns_tls_ctx_new(const char *cert, const char *key,
                                   const struct dns_tls_tickets *tickets, struct gtm_error *err)
{
    char why[160];
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    if (ctx == NULL || set_up(ctx, tickets) != 0) {
        gtm_error_set(err, GTM_ENOMEM, "TLS cannot be set up: %s", reason(why, sizeof(why)));
        SSL_CTX_free(ctx);
        return NULL;
    }
    if (load_files(ctx, cert, key, err) != 0) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

void dns_tls_ctx_free(struct ssl_ctx_st *ctx)
{
    SSL_CTX_free(ctx);
}
