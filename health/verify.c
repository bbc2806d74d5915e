/* SPDX-License-Identifier: Apache-2.0
 *
 * The judgement of certificates and its words. See verify.h.
 */
#include "health/verify.h"

#include "gtm/base/mem.h"
#include "health/spec.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/sslerr.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NAME_BYTES 80 /* of a name in a sentence */
#define TIME_BYTES 32
#define DAY_MS     86400000

/* --- words --- */

/* "CN=www.example.com,O=Example", cut; what is not printable is replaced by the outcome's text. */
static const char *name_of(const X509_NAME *name, char out[NAME_BYTES])
{
    BIO *bio = BIO_new(BIO_s_mem());
    out[0] = '\0';
    if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0) {
        int n = BIO_read(bio, out, NAME_BYTES - 1);
        out[n > 0 ? n : 0] = '\0';
    }
    BIO_free(bio);
    if (!out[0])
        snprintf(out, NAME_BYTES, "without a name");
    return out;
}

static int64_t wall_ms_of(const ASN1_TIME *at)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(at, &tm) != 1)
        return 0;
    return (int64_t)timegm(&tm) * 1000;
}

static const char *time_text(const ASN1_TIME *at, char out[TIME_BYTES])
{
    struct tm tm;
    if (ASN1_TIME_to_tm(at, &tm) != 1 ||
        strftime(out, TIME_BYTES, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
        snprintf(out, TIME_BYTES, "a malformed time");
    return out;
}

/* Appends one alternative name; false when there is no room. */
static bool add_name(const GENERAL_NAME *name, char *out, size_t bytes)
{
    char address[INET6_ADDRSTRLEN];
    size_t at = strlen(out);
    int type, n = 0;
    const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
    int len = type == GEN_DNS || type == GEN_IPADD ? ASN1_STRING_length(value) : 0;
    const unsigned char *data = len ? ASN1_STRING_get0_data(value) : NULL;
    if (type == GEN_DNS && len > 0)
        n = snprintf(out + at, bytes - at, "%s%.*s", at ? ", " : "", len, (const char *)data);
    else if (type == GEN_IPADD && (len == 4 || len == 16) &&
             inet_ntop(len == 4 ? AF_INET : AF_INET6, data, address, sizeof(address)))
        n = snprintf(out + at, bytes - at, "%s%s", at ? ", " : "", address);
    if (n < 0 || (size_t)n < bytes - at)
        return true;
    out[at] = '\0';
    return false;
}

/* The names that a certificate is for: "a.example.com, b.example.com, …"; "" for none. */
static const char *names_of(X509 *cert, char *out, size_t bytes)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    bool all = true;
    out[0] = '\0';
    for (int i = 0; all && i < sk_GENERAL_NAME_num(names); i++)
        all = add_name(sk_GENERAL_NAME_value(names, i), out, bytes - 6);
    if (!all)
        snprintf(out + strlen(out), 6, "%s\xe2\x80\xa6", out[0] ? ", " : "");
    GENERAL_NAMES_free(names);
    return out;
}

static char *weak_key_text(X509 *cert, const char *whose)
{
    const EVP_PKEY *key = X509_get0_pubkey(cert);
    const char *type = key ? EVP_PKEY_get0_type_name(key) : NULL;
    return gtm_asprintf("%s has a weak key: %s of %d bits", whose, type ? type : "unknown",
                        key ? EVP_PKEY_get_bits(key) : 0);
}

static char *weak_signature_text(const X509 *cert, const char *whose)
{
    return gtm_asprintf("%s has a weak signature: %s", whose,
                        OBJ_nid2ln(X509_get_signature_nid(cert)));
}

/* What stopped the chain; `cert` is the certificate that did, at `depth` above the server's. */
static char *chain_text(int error, int depth, X509 *cert)
{
    char name[NAME_BYTES], issuer[NAME_BYTES], at[TIME_BYTES], whose[NAME_BYTES + 32];
    name_of(X509_get_subject_name(cert), name);
    name_of(X509_get_issuer_name(cert), issuer);
    if (depth == 0)
        snprintf(whose, sizeof(whose), "the certificate");
    else
        snprintf(whose, sizeof(whose), "the issuer's certificate (%s)", name);
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return gtm_asprintf("%s has expired: %s", whose, time_text(X509_get0_notAfter(cert), at));
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return gtm_asprintf("%s is not valid before %s", whose,
                            time_text(X509_get0_notBefore(cert), at));
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return gtm_asprintf("the certificate is self-signed and not trusted here");
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        return gtm_asprintf("the chain ends in an authority that is not trusted here: %s", name);
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        return gtm_asprintf("the issuer of %s is neither sent nor trusted here: %s",
                            depth ? name : whose, issuer);
    case X509_V_ERR_INVALID_PURPOSE:
        return depth ? gtm_asprintf("%s may not issue for TLS servers", whose)
                     : gtm_asprintf("the certificate is not for TLS servers");
    case X509_V_ERR_INVALID_CA:
        return gtm_asprintf("%s is no authority's", whose);
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
        return weak_key_text(cert, whose);
    case X509_V_ERR_CA_MD_TOO_WEAK:
        return weak_signature_text(cert, whose);
    default:
        return gtm_asprintf("%s: %s", whose, X509_verify_cert_error_string(error));
    }
}

/* --- judgement --- */

/* Ends the handshake with an alert that fits the error. */
static int refuse(X509_STORE_CTX *ctx, struct health_peer *peer, int error, char *text)
{
    X509_STORE_CTX_set_error(ctx, error);
    gtm_free(peer->text);
    peer->refused = true;
    peer->text = text;
    return 0;
}

static bool name_fits(X509 *cert, const char *name)
{
    unsigned char address[16];
    if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1)
        return X509_check_ip_asc(cert, name, 0) == 1;
    return X509_check_host(cert, name, 0,
                           X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT,
                           NULL) == 1;
}

static int refuse_name(X509_STORE_CTX *ctx, struct health_peer *peer, X509 *cert)
{
    char names[NAME_BYTES];
    char *text;
    if (names_of(cert, names, sizeof(names))[0])
        text = gtm_asprintf("the certificate is for %s, wanted %s", names, peer->spec->tls_name);
    else
        text = gtm_asprintf("the certificate is for no name, wanted %s", peer->spec->tls_name);
    return refuse(ctx, peer, X509_V_ERR_HOSTNAME_MISMATCH, text);
}

static int refuse_chain(X509_STORE_CTX *ctx, struct health_peer *peer)
{
    int error = X509_STORE_CTX_get_error(ctx);
    X509 *cert = X509_STORE_CTX_get_current_cert(ctx);
    int depth = X509_STORE_CTX_get_error_depth(ctx);
    if (!cert)
        cert = X509_STORE_CTX_get0_cert(ctx);
    if (error == X509_V_OK)
        error = X509_V_ERR_UNSPECIFIED;
    return refuse(ctx, peer, error, chain_text(error, depth, cert));
}

static int judge_time_left(X509_STORE_CTX *ctx, struct health_peer *peer, const X509 *cert)
{
    char at[TIME_BYTES];
    uint64_t wanted_ms = peer->spec->tls_expiry_ms;
    int64_t left_ms = peer->expires_wall_ms - gtm_wall_ms(peer->clock);
    if (wanted_ms == 0 || (left_ms > 0 && (uint64_t)left_ms > wanted_ms))
        return 1;
    return refuse(ctx, peer, X509_V_ERR_CERT_HAS_EXPIRED,
                  gtm_asprintf("the certificate ends %s, in %lld days, wanted more than %llu",
                               time_text(X509_get0_notAfter(cert), at),
                               (long long)(left_ms / DAY_MS),
                               (unsigned long long)(wanted_ms / DAY_MS)));
}

int health_verify_certificate(X509_STORE_CTX *ctx, void *arg)
{
    struct health_peer *peer = arg;
    X509 *cert = X509_STORE_CTX_get0_cert(ctx);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    if (!peer) {
        const SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
        peer = SSL_get_app_data(ssl);
    }
    health_peer_reset(peer);
    if (!cert)
        return refuse(ctx, peer, X509_V_ERR_UNSPECIFIED, gtm_asprintf("no certificate"));
    peer->expires_wall_ms = wall_ms_of(X509_get0_notAfter(cert));
    if (peer->spec->tls_insecure)
        return judge_time_left(ctx, peer, cert);
    X509_VERIFY_PARAM_set_time(param, (time_t)(gtm_wall_ms(peer->clock) / 1000));
    /* What the operator names is trusted, also an issuer in the middle or the very certificate. */
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
    if (X509_verify_cert(ctx) != 1)
        return refuse_chain(ctx, peer);
    if (!name_fits(cert, peer->spec->tls_name))
        return refuse_name(ctx, peer, cert);
    return judge_time_left(ctx, peer, cert);
}

void health_peer_reset(struct health_peer *peer)
{
    gtm_free(peer->text);
    peer->text = NULL;
    peer->refused = false;
    peer->expires_wall_ms = 0;
}

/* --- handshakes that fail otherwise --- */

static const char *meaning(int reason)
{
    switch (reason) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
        return "the server does not speak TLS";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
        return "the server speaks no TLS 1.2 or later";
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
        return "the server wants a client certificate";
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
        return "the server does not accept the client certificate";
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
        return "the server refuses the handshake";
    case SSL_R_TLSV1_UNRECOGNIZED_NAME:
        return "the server does not know the name";
    case SSL_R_UNEXPECTED_EOF_WHILE_READING:
        return "the server closes during the TLS handshake";
    default:
        return NULL;
    }
}

void health_verify_failed(struct health_outcome *o, unsigned long code, int os_error)
{
    const char *words = NULL;
    o->result = HEALTH_RESULT_TLS;
    o->os_error = 0;
    if (code != 0 && !ERR_SYSTEM_ERROR(code)) {
        words = meaning(ERR_GET_REASON(code));
        if (!words && ERR_reason_error_string(code)) {
            o->text = gtm_asprintf("TLS: %s", ERR_reason_error_string(code));
            return;
        }
    } else if (os_error == ECONNRESET || os_error == EPIPE) {
        words = "the server resets during the TLS handshake";
    } else {
        words = "the server closes during the TLS handshake";
    }
    o->text = words ? gtm_strdup(words) : NULL;
}
