/* SPDX-License-Identifier: Apache-2.0
 *
 * Identities in certificates, good and odd ones; contexts of servers from good and bad files; who
 * is trusted still. Handshakes are in tests/e2e/test_mtls.py.
 */
#include "gtm/base/tls.h"

#include "tests/support/health_pki.h"
#include "tests/support/temp_dir.h"

#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    return test_temp_dir_make("tls", dir);
}

static int drop_dir(void **state)
{
    (void)state;
    (void)test_temp_dir_remove(dir);
    return 0;
}

static int identity_of(const char *san, char out[GTM_TLS_URI_MAX], struct gtm_error *err)
{
    struct pki_cert cert;
    pki_make(&cert, &(struct pki_want){.name = "one", .san = san}, dir);
    memset(err, 0, sizeof(*err));
    int rc = gtm_tls_cert_uri(cert.cert, out, err);
    pki_free(&cert);
    return rc;
}

static void the_one_identity(void **state)
{
    char uri[GTM_TLS_URI_MAX];
    struct gtm_error err;
    assert_int_equal(identity_of("URI:gtm:node/us-east/a", uri, &err), GTM_OK);
    assert_string_equal(uri, "gtm:node/us-east/a");
    assert_int_equal(identity_of("DNS:gtm.example.com,URI:https://x/,URI:spiffe://a/b,"
                                 "URI:gtm:user/admin/x,IP:127.0.0.1",
                                 uri, &err),
                     GTM_OK);
    assert_string_equal(uri, "gtm:user/admin/x");
}

static void no_identity(void **state)
{
    static const char *const none[] = {NULL,
                                       "DNS:gtm",
                                       "URI:https://gtm:node/a/b",
                                       "URI:GTM:x",
                                       "DNS:gtm:user/admin/x",
                                       "email:gtm:user@admin"};
    char uri[GTM_TLS_URI_MAX];
    struct gtm_error err;
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        assert_int_equal(identity_of(none[i], uri, &err), GTM_ENOTFOUND);
        assert_string_equal(uri, "");
        assert_non_null(strstr(err.text, "subjectAltName"));
    }
}

/* A URI of raw bytes; no other form can say NUL. */
static const char *raw_uri(const char *bytes, size_t len, char out[600])
{
    int n = snprintf(out, 600, "DER:30:%02zX:86:%02zX", len + 2, len);
    for (size_t i = 0; i < len; i++)
        n += snprintf(out + n, 600 - (size_t)n, ":%02X", (unsigned char)bytes[i]);
    return out;
}

static void odd_identities(void **state)
{
    char uri[GTM_TLS_URI_MAX], san[600], longest[GTM_TLS_URI_MAX + 16] = "URI:gtm:user/admin/";
    struct gtm_error err;
    assert_int_equal(identity_of("URI:gtm:user/viewer/a,URI:gtm:user/admin/a", uri, &err),
                     GTM_EPARSE);
    assert_non_null(strstr(err.text, "several"));
    static const char nul[] = "gtm:user/admin/a\0b", line[] = "gtm:user/admin/a\nb",
                      blank[] = "gtm:user/admin/a b", high[] = "gtm:user/admin/\xc3\xa4";
    assert_int_equal(identity_of(raw_uri(nul, sizeof(nul) - 1, san), uri, &err), GTM_EPARSE);
    assert_string_equal(uri, "");
    assert_int_equal(identity_of(raw_uri(nul, sizeof(nul), san), uri, &err), GTM_EPARSE);
    assert_int_equal(identity_of(raw_uri(line, sizeof(line) - 1, san), uri, &err), GTM_EPARSE);
    assert_int_equal(identity_of(raw_uri(blank, sizeof(blank) - 1, san), uri, &err), GTM_EPARSE);
    assert_int_equal(identity_of(raw_uri(high, sizeof(high) - 1, san), uri, &err), GTM_EPARSE);
    assert_int_equal(identity_of(raw_uri("gtm:x", 5, san), uri, &err), GTM_OK); /* so raw works */
    memset(longest + strlen(longest), 'a', GTM_TLS_URI_MAX + 3 - strlen(longest));
    assert_int_equal(identity_of(longest, uri, &err), GTM_OK);
    assert_int_equal(strlen(uri), GTM_TLS_URI_MAX - 1);
    longest[strlen(longest)] = 'a';
    assert_int_equal(identity_of(longest, uri, &err), GTM_EPARSE);
}

static void refuses(const char *ca, const char *cert, const char *key, const char *word)
{
    struct gtm_error err = {0};
    const struct gtm_tls_files files = {"api.tls", ca, cert, key};
    assert_null(gtm_tls_server(&files, &err));
    assert_int_equal(err.code, GTM_EIO);
    if (!strstr(err.text, word))
        fail_msg("'%s' does not say '%s'", err.text, word);
}

static void files_of_a_server(void **state)
{
    struct pki_cert ca, one, other, weak;
    struct gtm_error err = {0};
    pki_make(&ca, &(struct pki_want){.name = "ca", .authority = true}, dir);
    pki_make(&one, &(struct pki_want){.name = "one", .issuer = &ca}, dir);
    pki_make(&other, &(struct pki_want){.name = "other", .issuer = &ca}, dir);
    pki_make(&weak, &(struct pki_want){.name = "weak", .issuer = &ca, .rsa_bits = 1024}, dir);
    const struct gtm_tls_files good = {"api.tls", ca.path, one.path, one.path};
    SSL_CTX *ctx = gtm_tls_server(&good, &err);
    assert_non_null(ctx);
    assert_int_equal(SSL_CTX_get_verify_mode(ctx),
                     SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT);
    assert_int_equal(SSL_CTX_get_min_proto_version(ctx), TLS1_2_VERSION);
    assert_true(SSL_CTX_get_options(ctx) & SSL_OP_NO_RENEGOTIATION);
    assert_true(gtm_tls_cert_expires_ms(one.cert) > 0);
    SSL_CTX_free(ctx);
    refuses(ca.path, "/nowhere/c.pem", one.path, "api.tls.cert /nowhere/c.pem: No such file");
    refuses(ca.path, one.path, "/nowhere/k.pem", "api.tls.key /nowhere/k.pem: No such file");
    refuses("/nowhere/ca.pem", one.path, one.path, "api.tls.ca /nowhere/ca.pem: No such file");
    refuses(ca.path, one.path, other.path, "api.tls.key");
    refuses(ca.path, weak.path, weak.path, "too small");
    refuses("/dev/null", one.path, one.path, "api.tls.ca /dev/null");
    pki_free(&weak);
    pki_free(&other);
    pki_free(&one);
    pki_free(&ca);
}

static void a_certificate_of_a_file(void **state)
{
    struct pki_cert one;
    struct gtm_error err = {0};
    pki_make(&one, &(struct pki_want){.name = "one", .until_days = 2}, dir);
    X509 *cert = gtm_tls_cert_load(one.path, &err);
    assert_non_null(cert);
    assert_int_equal(gtm_tls_cert_expires_ms(cert), gtm_tls_cert_expires_ms(one.cert));
    X509_free(cert);
    pki_free(&one);
    assert_null(gtm_tls_cert_load("/nowhere", &err));
    assert_non_null(strstr(err.text, "No such file"));
    assert_null(gtm_tls_cert_load("/dev/null", &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_one_identity),        cmocka_unit_test(no_identity),
        cmocka_unit_test(odd_identities),          cmocka_unit_test(files_of_a_server),
        cmocka_unit_test(a_certificate_of_a_file),
    };
    return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
