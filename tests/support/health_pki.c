/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificates made by libcrypto. See health_pki.h.
 */
#include "tests/support/health_pki.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define DAY_S 86400L

static void extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(ext);
    assert_int_equal(X509_add_ext(cert, ext, -1), 1);
    X509_EXTENSION_free(ext);
}

static void write_pem(const struct pki_cert *c)
{
    FILE *f = fopen(c->path, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, c->cert), 1);
    assert_int_equal(PEM_write_PrivateKey(f, c->key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(f), 0);
}

void pki_make(struct pki_cert *c, const struct pki_want *want, const char *dir)
{
    static long serial = 1;
    memset(c, 0, sizeof(*c));
    snprintf(c->path, sizeof(c->path), "%s/%s.pem", dir, want->name);
    c->key = want->rsa_bits ? EVP_RSA_gen(want->rsa_bits) : EVP_EC_gen("P-256");
    c->cert = X509_new();
    assert_non_null(c->key);
    assert_non_null(c->cert);
    X509 *issuer = want->issuer ? want->issuer->cert : c->cert;
    X509_NAME *name = X509_get_subject_name(c->cert);
    X509_set_version(c->cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(c->cert), serial++);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)want->name, -1, -1,
                               0);
    X509_set_issuer_name(c->cert, X509_get_subject_name(issuer));
    X509_set_pubkey(c->cert, c->key);
    /* A minute back: this host's clock is the server's. */
    X509_gmtime_adj(X509_getm_notBefore(c->cert), want->from_days * DAY_S - 60);
    X509_gmtime_adj(X509_getm_notAfter(c->cert),
                    (want->until_days ? want->until_days : 30) * DAY_S);
    extend(c->cert, issuer, NID_basic_constraints,
           want->authority ? "critical,CA:TRUE" : "CA:FALSE");
    extend(c->cert, issuer, NID_subject_key_identifier, "hash");
    if (want->issuer)
        extend(c->cert, issuer, NID_authority_key_identifier, "keyid");
    if (!want->authority)
        extend(c->cert, issuer, NID_ext_key_usage, want->usage ? want->usage : "serverAuth");
    if (want->san)
        extend(c->cert, issuer, NID_subject_alt_name, want->san);
    assert_true(X509_sign(c->cert, want->issuer ? want->issuer->key : c->key,
                          want->md ? want->md : EVP_sha256()) > 0);
    write_pem(c);
}

void pki_append(const struct pki_cert *to, const struct pki_cert *more)
{
    FILE *f = fopen(to->path, "a");
    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, more->cert), 1);
    assert_int_equal(fclose(f), 0);
}

void pki_free(struct pki_cert *c)
{
    X509_free(c->cert);
    EVP_PKEY_free(c->key);
    memset(c, 0, sizeof(*c));
}
