/* SPDX-License-Identifier: Apache-2.0
 *
 * DNS over TLS with OpenSSL as the client: both versions, resumption, half-close, handshakes that
 * break off, certificates that change or are wrong. Real sockets on loopback.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "tests/support/stream_world.h"

#include "dns/rr.h"
#include "gtm/base/clock.h"

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char folder[TEST_TEMP_DIR_BYTES], cert[300], key[300], cert2[300], key2[300];
static struct dns_tls_tickets tickets;

static void start_tls(struct stream_world *w, unsigned max_clients, unsigned per_client,
                      unsigned idle_ms)
{
    struct gtm_error err = {0};
    w->tls = dns_tls_ctx_new(cert, key, &tickets, &err);
    if (!w->tls)
        fail_msg("%s", err.text);
    stream_world_start(w, max_clients, per_client, idle_ms);
}

/* ---- TLS ---- */

static SSL_CTX *client_ctx(int version)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    static const unsigned char dot[] = {3, 'd', 'o', 't'};
    SSL_CTX_set_min_proto_version(ctx, version);
    SSL_CTX_set_max_proto_version(ctx, version);
    SSL_CTX_set_alpn_protos(ctx, dot, sizeof(dot));
    return ctx;
}

/* A handshake from 127.0.x.y; NULL when it is refused. */
static SSL *greet(const struct stream_world *w, SSL_CTX *ctx, SSL_SESSION *session)
{
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, stream_dial(w, 0, 1, 0));
    if (session)
        SSL_set_session(ssl, session);
    if (SSL_connect(ssl) == 1)
        return ssl;
    close(SSL_get_fd(ssl));
    SSL_free(ssl);
    return NULL;
}

static void part(SSL *ssl)
{
    SSL_shutdown(ssl);
    close(SSL_get_fd(ssl));
    SSL_free(ssl);
}

static bool tls_read(SSL *ssl, uint8_t *out, size_t len)
{
    for (size_t have = 0; have < len;) {
        int n = SSL_read(ssl, out + have, (int)(len - have));
        if (n <= 0)
            return false;
        have += (size_t)n;
    }
    return true;
}

static int tls_ask(SSL *ssl, const char *name, uint16_t type)
{
    uint8_t out[600], head[2];
    size_t n = stream_query(out, name, type);
    assert_int_equal(SSL_write(ssl, out, (int)n), n);
    if (!tls_read(ssl, head, 2) || !tls_read(ssl, stream_message, dns_get16(head)))
        return -1;
    return stream_message[3] & 15;
}

static void test_tls_answers_and_resumes(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct stream_world w = {0};
    start_tls(&w, 100, 0, STREAM_DEADLINE_MS);
    for (int v = 0; v < 2; v++) {
        const unsigned char *alpn;
        unsigned alpn_len;
        SSL_CTX *ctx = client_ctx(versions[v]);
        SSL *ssl = greet(&w, ctx, NULL);
        assert_non_null(ssl);
        assert_int_equal(SSL_version(ssl), versions[v]);
        SSL_get0_alpn_selected(ssl, &alpn, &alpn_len);
        assert_int_equal(alpn_len, 3);
        assert_memory_equal(alpn, "dot", 3);
        for (int i = 0; i < 50; i++) /* some answers are larger than all buffers */
            assert_int_equal(
                tls_ask(ssl, i % 2 ? "big.example.com." : "www.example.com.", i % 2 ? 16 : 1), 0);
        SSL_SESSION *session = SSL_get1_session(ssl);
        part(ssl);
        ssl = greet(&w, ctx, session);
        assert_non_null(ssl);
        assert_int_equal(tls_ask(ssl, "www.example.com.", 1), 0);
        assert_int_equal(SSL_session_reused(ssl), 1);
        part(ssl);
        SSL_SESSION_free(session);
        SSL_CTX_free(ctx);
    }
    SSL_CTX *old = client_ctx(TLS1_1_VERSION), *odd = client_ctx(TLS1_3_VERSION);
    assert_null(greet(&w, old, NULL));
    static const unsigned char h2[] = {2, 'h', '2'};
    SSL_CTX_set_alpn_protos(odd, h2, sizeof(h2));
    assert_null(greet(&w, odd, NULL));
    SSL_CTX_free(old);
    SSL_CTX_free(odd);
    assert_int_equal(STREAM_EVENT(&w, tls_handshakes), 4);
    assert_int_equal(STREAM_EVENT(&w, tls_resumed), 2);
    STREAM_WAIT_FOR(STREAM_EVENT(&w, tls_failed) == 2 && dns_stream_clients(w.stream) == 0);
    assert_int_equal(
        __atomic_load_n(&dns_stream_counters(w.stream)->n[DNS_CNT_TLS], __ATOMIC_RELAXED), 102);
    stream_world_finish(&w);
}

/* A query and the end of the TLS stream at once: it is still answered. */
static void test_tls_half_close(void **state)
{
    struct stream_world w = {0};
    uint8_t out[600], head[2];
    start_tls(&w, 100, 0, STREAM_DEADLINE_MS);
    SSL_CTX *ctx = client_ctx(TLS1_3_VERSION);
    SSL *ssl = greet(&w, ctx, NULL);
    size_t n = stream_query(out, "big.example.com.", 16);
    for (int i = 0; i < 20; i++)
        assert_int_equal(SSL_write(ssl, out, (int)n), n);
    SSL_shutdown(ssl);
    for (int i = 0; i < 20; i++) {
        assert_true(tls_read(ssl, head, 2));
        assert_true(tls_read(ssl, stream_message, dns_get16(head)));
    }
    assert_false(tls_read(ssl, head, 2));
    STREAM_WAIT_FOR(dns_stream_clients(w.stream) == 0);
    part(ssl);
    SSL_CTX_free(ctx);
    stream_world_finish(&w);
}

static void test_tls_broken_handshakes(void **state)
{
    struct stream_world w = {0};
    char end;
    start_tls(&w, 100, 0, 300);
    int gone = stream_dial(&w, 0, 1, 0), silent = stream_dial(&w, 0, 1, 0), plain, half;
    close(gone);
    plain = stream_dial(&w, 0, 1, 0);
    assert_int_equal(stream_ask(plain), 0); /* an alert, then the end */
    half = stream_dial(&w, 0, 1, 0);
    assert_int_equal(send(half, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11, 0), 11);
    assert_int_equal(recv(silent, &end, 1, 0), 0);
    assert_true(recv(half, &end, 1, 0) <= 0);
    STREAM_WAIT_FOR(dns_stream_clients(w.stream) == 0);
    assert_int_equal(STREAM_EVENT(&w, tls_handshakes), 0);
    assert_int_equal(STREAM_EVENT(&w, tls_failed), 2);
    assert_int_equal(STREAM_EVENT(&w, timed_out), 2);
    close(silent);
    close(plain);
    close(half);
    stream_world_finish(&w);
}

/* The certificate is exchanged under connections; tickets of before stay good. */
static void test_tls_reload(void **state)
{
    struct stream_world w = {0};
    struct gtm_error err = {0};
    start_tls(&w, 100, 0, STREAM_DEADLINE_MS);
    SSL_CTX *ctx = client_ctx(TLS1_2_VERSION);
    SSL *before = greet(&w, ctx, NULL);
    SSL_SESSION *session = SSL_get1_session(before);
    assert_int_equal(tls_ask(before, "www.example.com.", 1), 0);
    struct ssl_ctx_st *next = dns_tls_ctx_new(cert2, key2, &tickets, &err);
    assert_non_null(next);
    dns_stream_set_tls(w.stream, next);
    bool second = false;
    for (int i = 0; i < 1000 && !second; i++) {
        char name[64];
        SSL *ssl = greet(&w, ctx, NULL);
        X509_NAME_oneline(X509_get_subject_name(SSL_get0_peer_certificate(ssl)), name, 64);
        second = strcmp(name, "/CN=two") == 0;
        part(ssl);
    }
    assert_true(second);
    SSL *resumed = greet(&w, ctx, session);
    assert_int_equal(SSL_session_reused(resumed), 1);
    assert_int_equal(tls_ask(before, "www.example.com.", 1), 0);
    part(resumed);
    part(before);
    SSL_SESSION_free(session);
    SSL_CTX_free(ctx);
    stream_world_finish(&w);
}

static void test_tls_files(void **state)
{
    struct gtm_error err = {0};
    char missing[300];
    snprintf(missing, sizeof(missing), "%s/none.pem", folder);
    assert_null(dns_tls_ctx_new(missing, key, &tickets, &err));
    assert_int_equal(err.code, GTM_ENOTFOUND);
    assert_non_null(strstr(err.text, missing));
    assert_null(dns_tls_ctx_new(cert, key2, &tickets, &err));
    assert_int_equal(err.code, GTM_EINVAL);
    assert_non_null(strstr(err.text, "does not belong to"));
    assert_null(dns_tls_ctx_new(key, key, &tickets, &err));
    assert_int_equal(err.code, GTM_EPARSE);
    assert_null(dns_tls_ctx_new(cert, cert, &tickets, &err));
    assert_int_equal(err.code, GTM_EPARSE);
    assert_null(dns_tls_ctx_new(NULL, key, &tickets, &err));
    assert_int_equal(err.code, GTM_EINVAL);
}

static void test_proxy_before_tls(void **state)
{
    struct stream_world w = {0};
    start_tls(&w, 100, 0, STREAM_DEADLINE_MS);
    SSL_CTX *ctx = client_ctx(TLS1_3_VERSION);
    SSL *ssl = SSL_new(ctx);
    int fd = stream_dial(&w, 9, 1, 0);
    static const uint8_t header[] =
        "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc6\x33\x64\5\xc0\0\x02\x01\x12\x34\0\x35";
    send(fd, header, sizeof(header) - 1, MSG_NOSIGNAL);
    SSL_set_fd(ssl, fd);
    assert_int_equal(SSL_connect(ssl), 1);
    assert_int_equal(tls_ask(ssl, "www.example.com.", 1), 0);
    part(ssl);
    SSL_CTX_free(ctx);
    stream_world_finish(&w);
}

static void make_pair(const char *name, char cert_path[300], char key_path[300])
{
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    snprintf(cert_path, 300, "%s/%s.pem", folder, name);
    snprintf(key_path, 300, "%s/%s.key", folder, name);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, pkey);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    assert_true(X509_sign(x, pkey, EVP_sha256()) > 0);
    FILE *f = fopen(cert_path, "w");
    PEM_write_X509(f, x);
    fclose(f);
    f = fopen(key_path, "w");
    PEM_write_PrivateKey(f, pkey, NULL, NULL, 0, NULL, NULL);
    fclose(f);
    X509_free(x);
    EVP_PKEY_free(pkey);
}

static int set_up(void **state)
{
    if (test_temp_dir_make("tls", folder) != 0 || dns_tls_tickets_new(&tickets) != 0)
        return -1;
    make_pair("one", cert, key);
    make_pair("two", cert2, key2);
    return stream_world_set_up(state);
}

static int tear_down(void **state)
{
    return test_temp_dir_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tls_answers_and_resumes),
        cmocka_unit_test(test_tls_half_close),
        cmocka_unit_test(test_tls_broken_handshakes),
        cmocka_unit_test(test_tls_reload),
        cmocka_unit_test(test_tls_files),
        cmocka_unit_test(test_proxy_before_tls),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
