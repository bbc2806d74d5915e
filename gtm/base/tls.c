/* SPDX-License-Identifier: Apache-2.0
 *
 * See tls.h.
 */
#include "gtm/base/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#define SECURITY_LEVEL 2 /* 112 bits: RSA 2048, P-224 */
#define CHAIN_MAX      4 /* certificates between a client's and the CA's */
#define IDENTITY       "gtm:"

/* --- contexts --- */

/* The reason of the oldest error of OpenSSL's queue, which is emptied. */
static const char *take_reason(const char *fallback)
{
    unsigned long code = ERR_peek_error();
    const char *reason = !code                    ? NULL
                         : ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code))
                                                  : ERR_reason_error_string(code);
    ERR_clear_error();
    return reason ? reason : fallback;
}

static int use_files(SSL_CTX *ctx, const struct gtm_tls_files *files, const char **ret_key,
                     const char **ret_file)
{
    *ret_key = "cert", *ret_file = files->cert;
    if (SSL_CTX_use_certificate_chain_file(ctx, files->cert) != 1)
        return GTM_EIO;
    *ret_key = "key", *ret_file = files->key;
    if (SSL_CTX_use_PrivateKey_file(ctx, files->key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1)
        return GTM_EIO;
    if (!files->ca)
        return GTM_OK;
    *ret_key = "ca", *ret_file = files->ca;
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(files->ca);
    if (!names || SSL_CTX_load_verify_file(ctx, files->ca) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return GTM_EIO;
    }
    SSL_CTX_set_client_CA_list(ctx, names);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_verify_depth(ctx, CHAIN_MAX);
    return GTM_OK;
}

SSL_CTX *gtm_tls_server(const struct gtm_tls_files *files, struct gtm_error *err)
{
    const char *key = "", *file = "cannot be set up";
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx && SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1) {
        SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
        SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF |
                                     SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
        SSL_CTX_set_num_tickets(ctx, 0);
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
        if (use_files(ctx, files, &key, &file) == GTM_OK)
            return ctx;
    }
    gtm_error_set(err, GTM_EIO, "%s%s%s %s: %s", files->section, *key ? "." : "", key, file,
                  take_reason("not usable"));
    SSL_CTX_free(ctx);
    return NULL;
}

/* --- certificates --- */

X509 *gtm_tls_cert_load(const char *path, struct gtm_error *err)
{
    ERR_clear_error();
    BIO *in = BIO_new_file(path, "r");
    X509 *cert = in ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
    BIO_free(in);
    if (!cert)
        gtm_error_set(err, GTM_EIO, "%s: %s", path, take_reason("no certificate in it"));
    ERR_clear_error();
    return cert;
}

int64_t gtm_tls_cert_expires_ms(const X509 *cert)
{
    struct tm tm = {0};
    return ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) == 1 ? (int64_t)timegm(&tm) * 1000 : 0;
}

static bool printable(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    return true;
}

/* Into out, when the name is an identity; *count says how many there were. */
static int take_name(const GENERAL_NAME *name, char out[GTM_TLS_URI_MAX], unsigned *count)
{
    int type = 0;
    const ASN1_IA5STRING *uri = GENERAL_NAME_get0_value(name, &type);
    if (type != GEN_URI)
        return GTM_OK;
    const char *text = (const char *)ASN1_STRING_get0_data(uri);
    size_t len = (size_t)ASN1_STRING_length(uri);
    if (len < strlen(IDENTITY) || memcmp(text, IDENTITY, strlen(IDENTITY)) != 0)
        return GTM_OK;
    if (len >= GTM_TLS_URI_MAX || !printable(text, len))
        return GTM_EPARSE;
    memcpy(out, text, len);
    out[len] = '\0';
    (*count)++;
    return GTM_OK;
}

int gtm_tls_cert_uri(const X509 *cert, char out[GTM_TLS_URI_MAX], struct gtm_error *err)
{
    int critical = 0, rc = GTM_OK;
    unsigned count = 0;
    out[0] = '\0';
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, &critical, NULL);
    for (int i = 0; rc == GTM_OK && i < sk_GENERAL_NAME_num(names); i++)
        rc = take_name(sk_GENERAL_NAME_value(names, i), out, &count);
    GENERAL_NAMES_free(names);
    ERR_clear_error();
    if (rc == GTM_OK && count == 1)
        return GTM_OK;
    out[0] = '\0';
    if (rc != GTM_OK)
        return gtm_error_set(err, rc, "the certificate's identity has odd characters, or is long");
    if (count > 1)
        return gtm_error_set(err, GTM_EPARSE,
                             "the certificate has several identities " IDENTITY
                             "…: one is allowed");
    return gtm_error_set(err, GTM_ENOTFOUND,
                         "the certificate has no identity: a subjectAltName URI " IDENTITY
                         "node/REGION/NAME or " IDENTITY "user/ROLE/NAME");
}

int gtm_tls_recheck(SSL_CTX *ctx, const SSL *ssl, struct gtm_error *err)
{
    X509 *cert = SSL_get0_peer_certificate(ssl);
    X509_STORE_CTX *store = X509_STORE_CTX_new();
    int why = X509_V_ERR_OUT_OF_MEM;
    bool ok = cert && store &&
              X509_STORE_CTX_init(store, SSL_CTX_get_cert_store(ctx), cert,
                                  SSL_get_peer_cert_chain(ssl)) == 1 &&
              X509_STORE_CTX_set_default(store, "ssl_client") == 1;
    if (ok) {
        X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(store), SECURITY_LEVEL);
        ok = X509_verify_cert(store) == 1;
        why = X509_STORE_CTX_get_error(store);
    }
    X509_STORE_CTX_free(store);
    ERR_clear_error();
    return ok ? GTM_OK
              : gtm_error_set(err, GTM_EDENIED, "the certificate is not trusted any more: %s",
                              X509_verify_cert_error_string(why));
}

/* --- clients --- */

static pthread_once_t index_once = PTHREAD_ONCE_INIT;
static int expect_index = -1;

static void make_index(void)
{
    expect_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

static int on_verify(int ok, X509_STORE_CTX *store)
{
    if (!ok || X509_STORE_CTX_get_error_depth(store) != 0)
        return ok;
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct gtm_tls_expect *expect =
        ssl ? SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), expect_index) : NULL;
    char uri[GTM_TLS_URI_MAX];
    if (!expect)
        return 0;
    expect->err = (struct gtm_error){0};
    if (gtm_tls_cert_uri(X509_STORE_CTX_get_current_cert(store), uri, &expect->err) == GTM_OK &&
        expect->check(expect->arg, uri, &expect->err) == GTM_OK)
        return 1;
    X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
}

int gtm_tls_expect(SSL_CTX *ctx, struct gtm_tls_expect *expect)
{
    (void)pthread_once(&index_once, make_index);
    if (expect_index < 0 || SSL_CTX_set_ex_data(ctx, expect_index, expect) != 1)
        return GTM_ENOMEM;
    SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, on_verify);
    return GTM_OK;
}
