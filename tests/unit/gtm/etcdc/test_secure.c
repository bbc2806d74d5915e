/* SPDX-License-Identifier: Apache-2.0
 *
 * Users and tokens, and TLS with certificates on both sides, against a real etcd.
 */
#include "gtm/base/fs.h"
#include "gtm/etcdc/etcdc.h"
#include "tests/support/etcd_client.h"
#include "tests/support/etcd_server.h"
#include "tests/support/health_pki.h"
#include "tests/support/temp_dir.h"

#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void auth_call(struct etcd_client *c, const struct etcd_server *server, const char *path,
                      const char *body)
{
    char url[160];
    snprintf(url, sizeof(url), "%s/v3/auth/%s", etcd_server_url(server, 0), path);
    assert_int_equal(etcd_client_post(c, url, body), 200);
}

static void users_and_tokens(void **state)
{
    static const char *const args[] = {"--auth-token-ttl", "1", NULL};
    struct gtm_error err = {0};
    struct etcd_client c, wrong, nobody;
    char dir[TEST_TEMP_DIR_BYTES], good[128], bad[128];
    if (!etcd_server_have())
        skip();
    assert_int_equal(test_temp_dir_make("etcdc", dir), 0);
    snprintf(good, sizeof(good), "%s/good", dir);
    snprintf(bad, sizeof(bad), "%s/bad", dir);
    assert_int_equal(gtm_fs_write_atomic(good, "secret\n", 7, 0600, &err), 0);
    assert_int_equal(gtm_fs_write_atomic(bad, "wrong\n", 6, 0600, &err), 0);
    struct etcd_server *server = etcd_server_new(&(struct etcd_server_want){.args = args});
    const char *urls[] = {etcd_server_url(server, 0), NULL};

    etcd_client_open(&c, urls, &(struct etcdc_opts){.user = "root", .password_file = good});
    assert_int_equal(etcd_client_put(&c, "k", "1"), ETCDC_OK); /* users are off: fine */
    auth_call(&c, server, "user/add", "{\"name\":\"root\",\"password\":\"secret\"}");
    auth_call(&c, server, "role/add", "{\"name\":\"root\"}");
    auth_call(&c, server, "user/grant", "{\"user\":\"root\",\"role\":\"root\"}");
    auth_call(&c, server, "user/add", "{\"name\":\"guest\",\"password\":\"secret\"}");
    auth_call(&c, server, "enable", "{}");
    assert_int_equal(etcd_client_put(&c, "k", "2"), ETCDC_OK); /* on: it gets a token by itself */
    etcd_client_run(&c, 2500);                                 /* which expires */
    assert_int_equal(etcd_client_put(&c, "k", "3"), ETCDC_OK);
    etcd_server_kill(server, 0); /* and is forgotten by a member that restarts */
    etcd_server_start(server, 0);
    etcd_server_wait(server, 0);
    int code = etcd_client_get(&c, "k", 0);
    assert_int_equal(code, ETCDC_OK);
    assert_memory_equal(c.kvs[0][0].value.p, "3", 1);

    etcd_client_open(&wrong, urls, &(struct etcdc_opts){.user = "root", .password_file = bad});
    assert_int_equal(etcd_client_get(&wrong, "k", 0), ETCDC_E_AUTH);
    etcd_client_close(&wrong);
    etcd_client_open(&wrong, urls, &(struct etcdc_opts){.user = "guest", .password_file = good});
    assert_int_equal(etcd_client_get(&wrong, "k", 0), ETCDC_E_DENIED);
    etcd_client_close(&wrong);
    etcd_client_open(&nobody, urls, NULL);
    assert_int_equal(etcd_client_put(&nobody, "k", "4"), ETCDC_E_AUTH);
    etcd_client_close(&nobody);
    etcd_client_close(&c);
    etcd_server_free(server);
    assert_int_equal(test_temp_dir_remove(dir), 0);
}

/* etcd takes everything in the file for a certificate, so without the key. */
static void write_cert(const struct pki_cert *cert, const char *path)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, cert->cert), 1);
    assert_int_equal(fclose(f), 0);
}

static void tls_on_both_sides(void **state)
{
    struct pki_cert ca, other_ca, host, client;
    struct etcd_client c;
    char dir[TEST_TEMP_DIR_BYTES], san[64], ca_path[128];
    if (!etcd_server_have())
        skip();
    assert_int_equal(test_temp_dir_make("etcdc", dir), 0);
    pki_make(&ca, &(struct pki_want){.name = "ca", .authority = true}, dir);
    pki_make(&other_ca, &(struct pki_want){.name = "other", .authority = true}, dir);
    snprintf(ca_path, sizeof(ca_path), "%s/ca-only.pem", dir);
    write_cert(&ca, ca_path);
    unsigned pid = (unsigned)getpid(); /* as etcd_server makes its address */
    snprintf(san, sizeof(san), "IP:127.%u.%u.%u", 128 + (pid >> 16 & 63), pid >> 8 & 255,
             pid & 255);
    pki_make(&host,
             &(struct pki_want){
                 .name = "host", .san = san, .issuer = &ca, .usage = "serverAuth,clientAuth"},
             dir);
    pki_make(&client, &(struct pki_want){.name = "client", .issuer = &ca, .usage = "clientAuth"},
             dir);
    struct etcd_server *server = etcd_server_new(
        &(struct etcd_server_want){.ca = ca_path, .cert = host.path, .key = host.path});
    const char *urls[] = {etcd_server_url(server, 0), NULL};

    etcd_client_open(&c, urls,
                     &(struct etcdc_opts){.ca = ca.path, .cert = client.path, .key = client.path});
    assert_int_equal(etcd_client_put(&c, "k", "1"), ETCDC_OK);
    assert_int_equal(etcd_client_get(&c, "k", 0), ETCDC_OK);
    etcd_client_close(&c);
    etcd_client_open(&c, urls, &(struct etcdc_opts){.ca = ca.path}); /* we show none */
    int code = etcd_client_put(&c, "k", "2"); /* found by the greeting: surely not written */
    assert_true(code == ETCDC_E_DENIED || code == ETCDC_E_UNAVAILABLE); /* alert, or only a reset */
    etcd_client_close(&c);
    etcd_client_open(&c, urls,
                     &(struct etcdc_opts){.ca = other_ca.path,
                                          .cert = client.path,
                                          .key = client.path}); /* not ours */
    assert_int_equal(etcd_client_put(&c, "k", "2"), ETCDC_E_DENIED);
    assert_non_null(strstr(c.text, "certificate"));
    etcd_client_close(&c);

    etcd_server_free(server);
    pki_free(&ca);
    pki_free(&other_ca);
    pki_free(&host);
    pki_free(&client);
    assert_int_equal(test_temp_dir_remove(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(users_and_tokens),
        cmocka_unit_test(tls_on_both_sides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
