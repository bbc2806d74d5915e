/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading and sharing of certificates and keys. See trust.h.
 *
 * Happy path: the files are looked at (stat) → the object with that identity is found and counted,
 * or its files are read and parsed and it is kept. The list is short: one for each distinct TLS
 * setting of the monitors.
 */
#include "health/trust.h"

#include "gtm/base/fs.h"
#include "gtm/base/mem.h"
#include "health/verify.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SYSTEM_BUNDLE  "/etc/ssl/certs/ca-certificates.crt" /* Debian's ca-certificates */
#define SECURITY_LEVEL 2 /* OpenSSL's: 112 bits; RSA of 2048 bits, no SHA-1 */
#define LAX_LEVEL      0 /* where nothing is verified, old servers may be reached */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct health_trust *all;

/* The bundle of the system's authorities, or what the environment names instead. */
static const char *system_bundle(void)
{
    const char *named = getenv(X509_get_default_cert_file_env());
    return named && named[0] ? named : SYSTEM_BUNDLE;
}

/* A file as it stands; "" for none. */
static char *identity(const char *path)
{
    struct stat st;
    if (!path)
        return gtm_strdup("");
    if (stat(path, &st) != 0)
        return gtm_asprintf("%s?", path);
    return gtm_asprintf("%s %llx:%llx:%llx:%lld.%09ld", path, (unsigned long long)st.st_dev,
                        (unsigned long long)st.st_ino, (unsigned long long)st.st_size,
                        (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static void fail(struct health_trust *trust, const char *what, const char *path, const char *why)
{
    if (!trust->error)
        trust->error = gtm_asprintf("%s %s: %s", what, path, why);
}

/* The file as a memory BIO over *ret_data, which the caller frees after it. NULL on failure. */
static BIO *open_file(struct health_trust *trust, const char *what, const char *path,
                      char **ret_data)
{
    struct gtm_error err = {0};
    size_t len = 0;
    if (gtm_fs_read(path, HEALTH_TRUST_FILE_MAX, ret_data, &len, &err) != GTM_OK) {
        fail(trust, what, path, gtm_err_text(err.code));
        return NULL;
    }
    BIO *bio = BIO_new_mem_buf(*ret_data, (int)len);
    if (!bio) {
        gtm_free(*ret_data);
        fail(trust, what, path, gtm_err_text(GTM_ENOMEM));
    }
    return bio;
}

/* Passphrases are never asked for. */
static int no_passphrase(char *buf, int size, int writing, void *ctx)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)ctx;
    return 0;
}

static void load_store(struct health_trust *trust, const char *path)
{
    char *data = NULL;
    unsigned count = 0;
    BIO *bio = open_file(trust, "tls ca", path, &data);
    if (!bio)
        return;
    trust->store = X509_STORE_new();
    X509 *cert;
    while (trust->store && (cert = PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, NULL))) {
        count += X509_STORE_add_cert(trust->store, cert) == 1;
        X509_free(cert);
    }
    /* Reading ends at the first thing that is no certificate; the end of the file is one. */
    unsigned long last = ERR_peek_last_error();
    if (!trust->store)
        fail(trust, "tls ca", path, gtm_err_text(GTM_ENOMEM));
    else if (count == 0)
        fail(trust, "tls ca", path, "there is no PEM certificate in it");
    else if (ERR_GET_REASON(last) != PEM_R_NO_START_LINE)
        fail(trust, "tls ca", path, "a certificate in it is malformed");
    ERR_clear_error();
    BIO_free(bio);
    gtm_free(data);
}

static void load_cert(struct health_trust *trust, const char *path)
{
    char *data = NULL;
    BIO *bio = open_file(trust, "tls cert", path, &data);
    if (!bio)
        return;
    trust->cert = PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, NULL);
    trust->chain = sk_X509_new_null();
    X509 *next;
    while (trust->cert && trust->chain &&
           (next = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)))
        if (sk_X509_push(trust->chain, next) == 0)
            X509_free(next);
    if (!trust->cert)
        fail(trust, "tls cert", path, "there is no PEM certificate in it");
    ERR_clear_error();
    BIO_free(bio);
    OPENSSL_cleanse(data, strlen(data)); /* the key may be in the same file */
    gtm_free(data);
}

static void load_key(struct health_trust *trust, const char *path)
{
    char *data = NULL;
    BIO *bio = open_file(trust, "tls key", path, &data);
    if (!bio)
        return;
    trust->key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    if (!trust->key)
        fail(trust, "tls key", path, "there is no PEM private key without passphrase in it");
    else if (trust->cert && X509_check_private_key(trust->cert, trust->key) != 1)
        fail(trust, "tls key", path, "it is not the key of the certificate");
    ERR_clear_error();
    BIO_free(bio);
    OPENSSL_cleanse(data, strlen(data));
    gtm_free(data);
}

bool health_trust_apply(const struct health_trust *trust, SSL_CTX *ctx, void *arg)
{
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, health_verify_certificate, arg);
    SSL_CTX_set_security_level(ctx, trust->store ? SECURITY_LEVEL : LAX_LEVEL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1)
        return false;
    if (trust->store)
        SSL_CTX_set1_cert_store(ctx, trust->store);
    if (!trust->cert || !trust->key)
        return true;
    return SSL_CTX_use_certificate(ctx, trust->cert) == 1 &&
           SSL_CTX_use_PrivateKey(ctx, trust->key) == 1 &&
           SSL_CTX_set1_chain(ctx, trust->chain) == 1;
}

static void trust_free(struct health_trust *trust)
{
    if (!trust)
        return;
    SSL_CTX_free(trust->ctx);
    X509_STORE_free(trust->store);
    X509_free(trust->cert);
    sk_X509_pop_free(trust->chain, X509_free);
    EVP_PKEY_free(trust->key);
    gtm_free(trust->id);
    gtm_free(trust->error);
    gtm_free(trust);
}

static struct health_trust *trust_load(const struct gtm_monitor *m)
{
    struct health_trust *trust = gtm_calloc(1, sizeof(*trust));
    if (!trust)
        return NULL;
    ERR_clear_error();
    if (!m->tls_insecure)
        load_store(trust, m->tls_ca ? m->tls_ca : system_bundle());
    if (m->tls_cert && !trust->error)
        load_cert(trust, m->tls_cert);
    if (m->tls_cert && !trust->error) /* a file may hold both */
        load_key(trust, m->tls_key ? m->tls_key : m->tls_cert);
    if (trust->error)
        return trust;
    trust->ctx = SSL_CTX_new(TLS_client_method());
    if (!trust->ctx || !health_trust_apply(trust, trust->ctx, NULL)) {
        unsigned long code = ERR_get_error();
        const char *reason = ERR_reason_error_string(code);
        trust->error = gtm_asprintf("tls cannot be set up: %s", reason ? reason : "out of memory");
        ERR_clear_error();
    }
    return trust;
}

static char *trust_id(const struct gtm_monitor *m)
{
    char *ca = identity(m->tls_insecure ? NULL : m->tls_ca ? m->tls_ca : system_bundle());
    char *cert = identity(m->tls_cert), *key = identity(m->tls_key), *id = NULL;
    if (ca && cert && key)
        id = gtm_asprintf("%s\n%s\n%s\n%s", m->tls_insecure ? "insecure" : "verified", ca, cert,
                          key);
    gtm_free(ca);
    gtm_free(cert);
    gtm_free(key);
    return id;
}

struct health_trust *health_trust_get(const struct gtm_monitor *monitor)
{
    char *id = trust_id(monitor);
    if (!id)
        return NULL;
    pthread_mutex_lock(&lock);
    struct health_trust *trust = all;
    while (trust && strcmp(trust->id, id) != 0)
        trust = trust->next;
    if (!trust && (trust = trust_load(monitor)) != NULL) {
        trust->id = id;
        id = NULL;
        trust->next = all;
        all = trust;
    }
    if (trust)
        trust->refs++;
    pthread_mutex_unlock(&lock);
    gtm_free(id);
    return trust;
}

void health_trust_put(struct health_trust *trust)
{
    if (!trust)
        return;
    pthread_mutex_lock(&lock);
    bool last = --trust->refs == 0;
    for (struct health_trust **at = &all; last && *at; at = &(*at)->next)
        if (*at == trust) {
            *at = trust->next;
            break;
        }
    pthread_mutex_unlock(&lock);
    if (last)
        trust_free(trust);
}
