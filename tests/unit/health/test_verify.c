/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of health/verify and health/trust through the https and tls probes: a real server with a
 * certificate of every wrong kind, and what is said of it.
 */
#include "health/trust.h"
#include "tests/support/health_pki.h"
#include "tests/support/health_server.h"
#include "tests/support/health_tls_server.h"
#include "tests/support/health_world.h"
#include "tests/support/temp_dir.h"

#include <openssl/ssl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SAN "DNS:www.example.com,IP:127.0.0.1"

static char dir[TEST_TEMP_DIR_BYTES];
static struct pki_cert root, other, middle, good, client;

/* A server, and an https and a tls check of it for www.example.com with our authority. */
static struct tls_server *serve(struct world *w, const char *key,
                                const struct tls_server_want *want)
{
    char name[64];
    struct tls_server *s = tls_server_new(want);
    for (int tls = 0; tls < 2; tls++) {
        snprintf(name, sizeof(name), "%s/%s", key, tls ? "tls" : "https");
        world_add(w, name, tls_server_port(s));
        struct gtm_monitor *m = world_monitor(w, name);
        m->kind = tls ? GTM_MONITOR_TLS : GTM_MONITOR_HTTPS;
        m->tls = true;
        m->tls_ca = root.path;
        m->tls_name = (char *)"www.example.com";
        m->timeout_ms = 5000; /* the machine may be busy */
    }
    return s;
}

static void each(struct world *w, const char *key, void (*change)(struct gtm_monitor *))
{
    char name[64];
    for (int tls = 0; tls < 2; tls++) {
        snprintf(name, sizeof(name), "%s/%s", key, tls ? "tls" : "https");
        change(world_monitor(w, name));
    }
}

/* Both kinds come to that, with evidence that begins so. */
static void expect(struct world *w, const char *key, enum health_result result,
                   const char *evidence)
{
    char name[64];
    for (int tls = 0; tls < 2; tls++) {
        snprintf(name, sizeof(name), "%s/%s", key, tls ? "tls" : "https");
        world_wait(w, name, result == HEALTH_RESULT_OK ? GTM_HEALTH_UP : GTM_HEALTH_DOWN);
        struct health_report r = world_wait_result(w, name, result);
        if (evidence && strncmp(r.evidence, evidence, strlen(evidence)) != 0)
            fail_msg("%s: %s, wanted %s", name, r.evidence, evidence);
    }
}

struct bad {
    struct pki_want want;
    const char *evidence;
};

static void certificates_of_every_wrong_kind(void **state)
{
    static struct world w;
    const struct bad bads[] = {
        {{.name = "expired", .san = SAN, .from_days = -30, .until_days = -1, .issuer = &root},
         "the certificate has expired: 20"},
        {{.name = "future", .san = SAN, .from_days = 3, .issuer = &root},
         "the certificate is not valid before 20"},
        {{.name = "name",
          .san = "DNS:a.example.com,DNS:*.b.example.com,IP:192.0.2.1",
          .issuer = &root},
         "the certificate is for a.example.com, *.b.example.com, 192.0.2.1, wanted "
         "www.example.com"},
        {{.name = "www.example.com", .issuer = &root}, /* only in the subject: RFC 9525 */
         "the certificate is for no name, wanted www.example.com"},
        {{.name = "partial", .san = "DNS:w*.example.com", .issuer = &root},
         "the certificate is for w*.example.com, wanted www.example.com"},
        {{.name = "unknown", .san = SAN, .issuer = &other},
         "the issuer of the certificate is neither sent nor trusted here: CN=other"},
        {{.name = "self", .san = SAN}, "the certificate is self-signed and not trusted here"},
        {{.name = "purpose", .san = SAN, .usage = "clientAuth", .issuer = &root},
         "the certificate is not for TLS servers"},
        {{.name = "rsa1024", .san = SAN, .rsa_bits = 1024, .issuer = &root},
         "the certificate has a weak key: RSA of 1024 bits"},
        {{.name = "rsa512", .san = SAN, .rsa_bits = 512, .issuer = &root}, NULL},
        {{.name = "sha1", .san = SAN, .md = EVP_sha1(), .issuer = &root},
         "the certificate has a weak signature: ecdsa-with-SHA1"},
        {{.name = "incomplete", .san = SAN, .issuer = &middle},
         "the issuer of the certificate is neither sent nor trusted here: CN=middle"},
        {{.name = "not-a-ca", .san = SAN, .issuer = &good}, "the issuer's certificate (CN=good)"},
    };
    enum { BADS = sizeof(bads) / sizeof(bads[0]) };
    struct tls_server *servers[BADS];
    struct pki_cert certs[BADS];
    world_init(&w);
    for (size_t i = 0; i < BADS; i++) {
        pki_make(&certs[i], &bads[i].want, dir);
        if (bads[i].want.issuer == &good)
            pki_append(&certs[i], &good);
        servers[i] = serve(&w, bads[i].want.name, &(struct tls_server_want){.pem = certs[i].path});
    }
    world_apply(&w);
    for (size_t i = 0; i < BADS; i++) /* 512 bits cannot sign a handshake of today */
        expect(&w, bads[i].want.name,
               bads[i].evidence ? HEALTH_RESULT_CERTIFICATE : HEALTH_RESULT_TLS, bads[i].evidence);
    world_fini(&w);
    for (size_t i = 0; i < BADS; i++) {
        tls_server_free(servers[i]);
        pki_free(&certs[i]);
    }
}

static void chains_that_end_elsewhere(void **state)
{
    static struct world w;
    struct pki_cert stranger, old_middle, below;
    pki_make(&stranger, &(struct pki_want){.name = "stranger", .san = SAN, .issuer = &other}, dir);
    pki_append(&stranger, &other);
    pki_make(&old_middle,
             &(struct pki_want){.name = "old-middle",
                                .authority = true,
                                .from_days = -9,
                                .until_days = -2,
                                .issuer = &root},
             dir);
    pki_make(&below, &(struct pki_want){.name = "below", .san = SAN, .issuer = &old_middle}, dir);
    pki_append(&below, &old_middle);
    world_init(&w);
    struct tls_server *a = serve(&w, "a", &(struct tls_server_want){.pem = stranger.path}),
                      *b = serve(&w, "b", &(struct tls_server_want){.pem = below.path});
    world_apply(&w);
    expect(&w, "a", HEALTH_RESULT_CERTIFICATE,
           "the chain ends in an authority that is not trusted here: CN=other");
    expect(&w, "b", HEALTH_RESULT_CERTIFICATE,
           "the issuer's certificate (CN=old-middle) has expired: 20");
    world_fini(&w);
    tls_server_free(a);
    tls_server_free(b);
    pki_free(&stranger);
    pki_free(&old_middle);
    pki_free(&below);
}

static void by_address(struct gtm_monitor *m)
{
    m->tls_name = NULL;
}
static void by_host(struct gtm_monitor *m)
{
    m->tls_name = NULL;
    m->host = (char *)"www.example.com.:8443";
}
static void trust_other(struct gtm_monitor *m)
{
    m->tls_ca = other.path;
}
static void trust_itself(struct gtm_monitor *m)
{
    m->tls_ca = good.path;
}
static void insecure(struct gtm_monitor *m)
{
    m->tls_insecure = true;
    m->tls_name = (char *)"elsewhere.example.net";
}

static void good_ones_pass(void **state)
{
    static struct world w;
    struct pki_cert deep, expired;
    pki_make(&deep, &(struct pki_want){.name = "deep", .san = SAN, .issuer = &middle}, dir);
    pki_append(&deep, &middle);
    pki_make(&expired,
             &(struct pki_want){.name = "old", .san = SAN, .from_days = -9, .until_days = -1}, dir);
    world_init(&w);
    struct tls_server *s[] = {
        serve(&w, "name", &(struct tls_server_want){.pem = good.path}),
        serve(&w, "address", &(struct tls_server_want){.pem = good.path}),
        serve(&w, "host", &(struct tls_server_want){.pem = good.path}),
        serve(&w, "deep", &(struct tls_server_want){.pem = deep.path}),
        serve(&w, "pinned", &(struct tls_server_want){.pem = good.path}),
        serve(&w, "insecure", &(struct tls_server_want){.pem = expired.path}),
        serve(&w, "tls12",
              &(struct tls_server_want){.pem = good.path, .max_version = TLS1_2_VERSION}),
    };
    enum { SERVERS = sizeof(s) / sizeof(s[0]) };
    static const char *const keys[SERVERS] = {"name",   "address",  "host", "deep",
                                              "pinned", "insecure", "tls12"};
    each(&w, "address", by_address);
    each(&w, "host", by_host);
    each(&w, "pinned", trust_itself);
    each(&w, "insecure", insecure);
    world_apply(&w);
    for (size_t i = 0; i < SERVERS; i++)
        expect(&w, keys[i], HEALTH_RESULT_OK, NULL);
    assert_string_equal(world_report(&w, "name/https").evidence, "HTTP 200");
    assert_string_equal(world_report(&w, "name/tls").evidence, "TLSv1.3 handshake");
    assert_string_equal(world_report(&w, "tls12/tls").evidence, "TLSv1.2 handshake");
    for (int tls = 0; tls < 2; tls++) { /* when it ends is told, to the minute */
        struct health_report r = world_report(&w, tls ? "name/tls" : "name/https");
        int64_t left_ms = r.cert_expires_wall_ms - gtm_wall_ms(gtm_clock_system());
        assert_true(left_ms > 30 * 86400000ll - 120000 && left_ms <= 30 * 86400000ll);
    }
    assert_true(world_report(&w, "insecure/tls").cert_expires_wall_ms <
                gtm_wall_ms(gtm_clock_system()));
    assert_string_equal(tls_server_name(s[0]), "www.example.com");
    assert_string_equal(tls_server_name(s[1]), "");
    assert_string_equal(tls_server_name(s[2]), "www.example.com");
    assert_string_equal(tls_server_name(s[5]), "elsewhere.example.net");
    /* A minute of probes: connections are kept, and never taken up by a ticket. */
    world_wait_probes(&w, "name/https", 10);
    for (size_t i = 0; i < SERVERS; i++)
        assert_int_equal(tls_server_resumed(s[i]), 0);
    world_fini(&w);
    for (size_t i = 0; i < SERVERS; i++)
        tls_server_free(s[i]);
    pki_free(&deep);
    pki_free(&expired);
}

static void https_connections_are_kept(void **state)
{
    static struct world w;
    world_init(&w);
    struct tls_server *s = tls_server_new(&(struct tls_server_want){.pem = good.path});
    world_add(&w, "a", tls_server_port(s));
    struct gtm_monitor *m = world_monitor(&w, "a");
    m->kind = GTM_MONITOR_HTTPS;
    m->tls_ca = root.path;
    m->tls_name = (char *)"www.example.com";
    m->timeout_ms = 5000;
    m->expect_body = (char *)"is well";
    world_apply(&w);
    world_wait(&w, "a", GTM_HEALTH_UP);
    world_wait_probes(&w, "a", 12);
    assert_true(tls_server_handshakes(s) <= 6); /* and room for a busy machine's confirmations */
    world_fini(&w);
    tls_server_free(s);
}

/* One connection is never used for another's wishes: here the same server, name and port, once
 * trusted, once not verified at all, once with an authority that it is not of. */
static void trust_is_not_shared_by_accident(void **state)
{
    static struct world w;
    world_init(&w);
    struct tls_server *s = serve(&w, "lax", &(struct tls_server_want){.pem = good.path});
    for (int i = 0; i < 4; i++) {
        char key[32];
        snprintf(key, sizeof(key), "strict%d", i);
        world_add(&w, key, tls_server_port(s));
        *world_monitor(&w, key) = *world_monitor(&w, "lax/https");
        world_monitor(&w, key)->name = w.keys[w.count - 1];
        trust_other(world_monitor(&w, key));
    }
    each(&w, "lax", insecure);
    for (size_t i = 0; i < w.count; i++)
        w.monitors[i].tls_name = (char *)"www.example.com";
    world_apply(&w);
    expect(&w, "lax", HEALTH_RESULT_OK, NULL);
    for (int i = 0; i < 4; i++) {
        char key[32];
        snprintf(key, sizeof(key), "strict%d", i);
        struct health_report r = world_wait_probes(&w, key, 6);
        assert_int_equal(r.last, HEALTH_RESULT_CERTIFICATE);
        assert_int_equal(r.probes_failed, r.probes_total);
    }
    world_fini(&w);
    tls_server_free(s);
}

static void ask_40_days(struct gtm_monitor *m)
{
    m->tls_expiry_ms = 40ull * 86400000u;
}
static void ask_20_days(struct gtm_monitor *m)
{
    m->tls_expiry_ms = 20ull * 86400000u;
}

static void the_end_is_seen_coming(void **state)
{
    static struct world w;
    world_init(&w);
    struct tls_server *a = serve(&w, "soon", &(struct tls_server_want){.pem = good.path}),
                      *b = serve(&w, "far", &(struct tls_server_want){.pem = good.path}),
                      *c = serve(&w, "lax", &(struct tls_server_want){.pem = good.path});
    each(&w, "soon", ask_40_days);
    each(&w, "far", ask_20_days);
    each(&w, "lax", insecure);
    each(&w, "lax", ask_40_days);
    world_apply(&w);
    expect(&w, "soon", HEALTH_RESULT_CERTIFICATE, "the certificate ends 20");
    assert_non_null(
        strstr(world_report(&w, "soon/tls").evidence, " UTC, in 29 days, wanted more than 40"));
    expect(&w, "far", HEALTH_RESULT_OK, NULL);
    expect(&w, "lax", HEALTH_RESULT_CERTIFICATE, "the certificate ends 20");
    world_fini(&w);
    tls_server_free(a);
    tls_server_free(b);
    tls_server_free(c);
}

static void show_cert(struct gtm_monitor *m)
{
    m->tls_cert = client.path; /* with its key */
}
static void show_wrong_cert(struct gtm_monitor *m)
{
    m->tls_cert = other.path;
}
static void talk(struct gtm_monitor *m)
{
    m->send = (char *)"GET / HTTP/1.1\r\n\r\n";
    m->expect_body = (char *)"is well";
}

static void client_certificates(void **state)
{
    static struct world w;
    struct tls_server_want want = {.pem = good.path, .client_ca = root.path};
    world_init(&w);
    struct tls_server *s[3];
    s[0] = serve(&w, "shown", &want);
    s[1] = serve(&w, "none", &want);
    s[2] = serve(&w, "wrong", &want);
    each(&w, "shown", show_cert);
    each(&w, "wrong", show_wrong_cert);
    each(&w, "shown", talk);
    each(&w, "none", talk);
    each(&w, "wrong", talk);
    world_apply(&w);
    expect(&w, "shown", HEALTH_RESULT_OK, NULL);
    assert_string_equal(world_report(&w, "shown/tls").evidence, "expected text received");
    expect(&w, "none", HEALTH_RESULT_TLS, "the server wants a client certificate");
    expect(&w, "wrong", HEALTH_RESULT_TLS, "the server does not accept the client certificate");
    world_fini(&w);
    for (int i = 0; i < 3; i++)
        tls_server_free(s[i]);
}

static void port_of_plain(struct world *w, const char *key, uint16_t port)
{
    char name[64];
    for (int tls = 0; tls < 2; tls++) {
        snprintf(name, sizeof(name), "%s/%s", key, tls ? "tls" : "https");
        world_monitor(w, name)->port = port;
    }
}
static void hurry(struct gtm_monitor *m)
{
    m->timeout_ms = 300;
}

static void handshakes_that_fail(void **state)
{
    static struct world w;
    struct server *plain = server_new(SERVER_OK, 0), *garbage = server_new(SERVER_GREETS, 0),
                  *closes = server_new(SERVER_OK, 0);
    world_init(&w);
    struct tls_server *s[5];
    s[0] = serve(&w, "old",
                 &(struct tls_server_want){.pem = good.path, .max_version = TLS1_1_VERSION});
    s[1] = serve(&w, "mute", &(struct tls_server_want){.mute = 1});
    s[2] = serve(&w, "garbage", &(struct tls_server_want){.mute = 1});
    s[3] = serve(&w, "refused", &(struct tls_server_want){.mute = 1});
    s[4] = serve(&w, "closes", &(struct tls_server_want){.mute = 1});
    port_of_plain(&w, "garbage", server_port(garbage));
    port_of_plain(&w, "refused", server_port(plain));
    server_kill(plain);
    each(&w, "mute", hurry);
    tls_server_free(s[4]); /* nobody there either */
    world_apply(&w);
    expect(&w, "old", HEALTH_RESULT_TLS, "the server speaks no TLS 1.2 or later");
    expect(&w, "mute", HEALTH_RESULT_TIMEOUT, "TLS handshake not complete in 300 ms");
    expect(&w, "garbage", HEALTH_RESULT_TLS, "the server does not speak TLS");
    expect(&w, "refused", HEALTH_RESULT_REFUSED, "connection refused");
    expect(&w, "closes", HEALTH_RESULT_REFUSED, "connection refused");
    world_fini(&w);
    for (int i = 0; i < 4; i++)
        tls_server_free(s[i]);
    server_free(plain);
    server_free(garbage);
    server_free(closes);
}

static void missing(struct gtm_monitor *m)
{
    m->tls_ca = (char *)"/nowhere/ca.pem";
}
static void key_of_another(struct gtm_monitor *m)
{
    m->tls_cert = client.path;
    m->tls_key = other.path;
}

static void files_that_are_wrong_are_this_hosts_fault(void **state)
{
    static struct world w;
    world_init(&w);
    struct tls_server *a = serve(&w, "missing", &(struct tls_server_want){.pem = good.path}),
                      *b = serve(&w, "key", &(struct tls_server_want){.pem = good.path});
    each(&w, "missing", missing);
    each(&w, "key", key_of_another);
    world_apply(&w);
    for (int i = 0; i < 4; i++) {
        static const char *const keys[] = {"missing/https", "missing/tls", "key/https", "key/tls"};
        struct health_report r = world_wait_result(&w, keys[i], HEALTH_RESULT_LOCAL);
        assert_int_equal(r.health, GTM_HEALTH_UNKNOWN);
        assert_non_null(strstr(r.evidence, i < 2 ? "not checked: tls ca /nowhere/ca.pem: not found"
                                                 : "it is not the key of the certificate"));
    }
    world_fini(&w);
    tls_server_free(a);
    tls_server_free(b);
}

/* A changed file makes another object: a reload then checks anew. */
static void a_changed_file_is_another_trust(void **state)
{
    struct pki_cert ca;
    pki_make(&ca, &(struct pki_want){.name = "turning", .authority = true}, dir);
    struct gtm_monitor m = {.tls_ca = ca.path};
    struct health_trust *a = health_trust_get(&m), *b = health_trust_get(&m);
    assert_non_null(a);
    assert_null(a->error);
    assert_ptr_equal(a, b);
    pki_append(&ca, &other);
    struct health_trust *c = health_trust_get(&m);
    assert_ptr_not_equal(a, c);
    FILE *f = fopen(ca.path, "w");
    fputs("-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n", f);
    fclose(f);
    struct health_trust *d = health_trust_get(&m);
    assert_non_null(strstr(d->error, "there is no PEM certificate in it"));
    m = (struct gtm_monitor){.tls_insecure = true};
    struct health_trust *e = health_trust_get(&m);
    assert_null(e->error);
    assert_null(e->store);
    m = (struct gtm_monitor){0};
    setenv("SSL_CERT_FILE", other.path, 1);
    struct health_trust *g = health_trust_get(&m);
    assert_null(g->error);
    unsetenv("SSL_CERT_FILE");
    health_trust_put(a);
    health_trust_put(b);
    health_trust_put(c);
    health_trust_put(d);
    health_trust_put(e);
    health_trust_put(g);
    pki_free(&ca);
}

/* Targets come and go while handshakes are under way. */
static void change_amid_handshakes(void **state)
{
    static struct world w;
    world_init(&w);
    struct tls_server *a = serve(&w, "a", &(struct tls_server_want){.pem = good.path}),
                      *b = serve(&w, "b", &(struct tls_server_want){.mute = 1});
    for (size_t i = 0; i < w.count; i++)
        w.monitors[i].interval_ms = 10;
    size_t all = w.count;
    for (int i = 0; i < 30; i++) {
        w.count = i % 2 ? all : i % all;
        world_apply(&w);
        if (i % 7 == 0 && w.count > 0)
            world_wait_probes(&w, "a/https", 1);
    }
    w.count = all;
    world_apply(&w);
    world_wait(&w, "a/https", GTM_HEALTH_UP);
    world_fini(&w);
    tls_server_free(a);
    tls_server_free(b);
}

static int set_up(void **state)
{
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(test_temp_dir_make("verify", dir), 0);
    pki_make(&root, &(struct pki_want){.name = "root", .authority = true}, dir);
    pki_make(&other, &(struct pki_want){.name = "other", .authority = true}, dir);
    pki_make(&middle, &(struct pki_want){.name = "middle", .authority = true, .issuer = &root},
             dir);
    pki_make(&good, &(struct pki_want){.name = "good", .san = SAN, .issuer = &root}, dir);
    pki_make(&client, &(struct pki_want){.name = "client", .usage = "clientAuth", .issuer = &root},
             dir);
    return 0;
}

static int tear_down(void **state)
{
    pki_free(&root);
    pki_free(&other);
    pki_free(&middle);
    pki_free(&good);
    pki_free(&client);
    return test_temp_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificates_of_every_wrong_kind),
        cmocka_unit_test(chains_that_end_elsewhere),
        cmocka_unit_test(good_ones_pass),
        cmocka_unit_test(https_connections_are_kept),
        cmocka_unit_test(trust_is_not_shared_by_accident),
        cmocka_unit_test(the_end_is_seen_coming),
        cmocka_unit_test(client_certificates),
        cmocka_unit_test(handshakes_that_fail),
        cmocka_unit_test(files_that_are_wrong_are_this_hosts_fault),
        cmocka_unit_test(a_changed_file_is_another_trust),
        cmocka_unit_test(change_amid_handshakes),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
