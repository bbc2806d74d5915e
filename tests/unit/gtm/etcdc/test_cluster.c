/* SPDX-License-Identifier: Apache-2.0
 *
 * Failures of members of a real cluster of three.
 */
#include "gtm/etcdc/etcdc.h"
#include "tests/support/etcd_client.h"
#include "tests/support/etcd_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void open_cluster(struct etcd_server **server, struct etcd_client *c)
{
    if (!etcd_server_have())
        skip();
    *server = etcd_server_new(&(struct etcd_server_want){.members = 3});
    const char *urls[] = {etcd_server_url(*server, 0), etcd_server_url(*server, 1),
                          etcd_server_url(*server, 2), NULL};
    etcd_client_open(c, urls, NULL);
}

static void a_member_that_hangs(void **state)
{
    struct etcd_server *server;
    struct etcd_client c;
    if (!etcd_server_have())
        skip();
    server = etcd_server_new(&(struct etcd_server_want){.members = 3});
    unsigned follower = (etcd_server_leader(server) + 1) % 3; /* so that nobody is elected */
    const char *urls[] = {etcd_server_url(server, follower),
                          etcd_server_url(server, (follower + 1) % 3),
                          etcd_server_url(server, (follower + 2) % 3), NULL};
    etcd_client_open(&c, urls, NULL);
    assert_int_equal(etcd_client_put(&c, "k", "1"), ETCDC_OK);
    assert_string_equal(c.endpoint, urls[0]);
    etcd_server_pause(server, follower);
    assert_int_equal(etcd_client_get(&c, "k", 0), ETCDC_OK); /* within one deadline */
    assert_string_not_equal(c.endpoint, urls[0]);
    struct etcdc_endpoint_info info[3];
    assert_int_equal(etcdc_endpoints(c.etcdc, info, 3), 3);
    assert_true(info[0].ejected_ms > 0 && !info[0].chosen);
    assert_int_equal(etcd_client_put(&c, "k", "2"), ETCDC_OK); /* elsewhere, at once */
    etcd_server_resume(server, follower);
    etcd_client_close(&c);
    etcd_server_free(server);
}

static void without_a_quorum(void **state)
{
    struct etcd_server *server;
    struct etcd_client c;
    open_cluster(&server, &c);
    assert_int_equal(etcd_client_put(&c, "k", "1"), ETCDC_OK);
    etcd_server_kill(server, 1);
    etcd_server_kill(server, 2);
    int code = ETCDC_OK;
    for (int i = 0; i < 10 && code != ETCDC_E_NO_LEADER; i++) /* until the member has noticed */
        code = etcd_client_get(&c, "k", 0);
    assert_int_equal(code, ETCDC_E_NO_LEADER);
    assert_int_equal(etcd_client_put(&c, "k", "2"), ETCDC_E_NO_LEADER);       /* surely not done */
    assert_int_equal(etcd_client_get(&c, "k", ETCDC_SERIALIZABLE), ETCDC_OK); /* to show */
    assert_memory_equal(c.kvs[0][0].value.p, "1", 1);
    etcd_server_start(server, 1);
    etcd_server_wait(server, 0);
    for (int i = 0; i < 10 && code != ETCDC_OK; i++)
        code = etcd_client_get(&c, "k", 0);
    assert_int_equal(code, ETCDC_OK);
    assert_memory_equal(c.kvs[0][0].value.p, "1", 1);
    etcd_client_close(&c);
    etcd_server_free(server);
}

/* kill -9 while writes go on: what was said to be done is there; nothing is done twice. */
static void writes_while_members_die(void **state)
{
    struct etcd_server *server;
    struct etcd_client c;
    char value[16];
    open_cluster(&server, &c);
    int64_t done = 0, maybe = 0, version = 0;
    for (unsigned i = 1; i <= 150; i++) {
        if (i == 50)
            etcd_server_kill(server, 0); /* the one in use */
        if (i == 100) {
            etcd_server_start(server, 0);
            etcd_server_wait(server, 0);
            etcd_server_kill(server, etcd_server_leader(server));
        }
        snprintf(value, sizeof(value), "%u", i);
        int code = etcd_client_put(&c, "k", value);
        if (code == ETCDC_OK)
            done++;
        else if (etcdc_class(code) == ETCDC_AMBIGUOUS)
            maybe++;
        else
            assert_int_equal(etcdc_class(code), ETCDC_RETRY_SAFE);
    }
    int code = ETCDC_E_TIMEOUT;
    for (int i = 0; i < 10 && code != ETCDC_OK; i++)
        code = etcd_client_get(&c, "k", 0);
    assert_int_equal(code, ETCDC_OK);
    version = c.kvs[0][0].version; /* how often it was written */
    assert_true(done > 100);
    assert_in_range(version, done, done + maybe);
    etcd_client_close(&c);
    etcd_server_free(server);
}

/* The data of a member is lost, and it comes up as another cluster at the same address. */
static void another_cluster_comes_up(void **state)
{
    if (!etcd_server_have())
        skip();
    struct etcd_server *server = etcd_server_new(NULL);
    const char *urls[] = {etcd_server_url(server, 0), NULL};
    struct etcd_client c;
    etcd_client_open(&c, urls, NULL);
    assert_int_equal(etcd_client_put(&c, "k", "1"), ETCDC_OK);
    uint64_t first = c.answer.header.cluster_id;
    etcd_server_kill(server, 0);
    int code = etcd_client_get(&c, "k", 0);
    assert_true(code == ETCDC_E_CONNECT || code == ETCDC_E_UNAVAILABLE);
    etcd_server_wipe(server, 0);
    etcd_server_start(server, 0);
    etcd_server_wait(server, 0);
    assert_int_equal(etcd_client_put(&c, "k", "2"), ETCDC_E_CLUSTER_CHANGED);
    struct etcd_client fresh; /* nothing was written */
    etcd_client_open(&fresh, urls, NULL);
    assert_int_equal(etcd_client_get(&fresh, "k", 0), ETCDC_OK);
    assert_int_equal(fresh.parts[0].count, 0);
    assert_true(fresh.answer.header.cluster_id != first);
    etcdc_expect_cluster(c.etcdc, fresh.answer.header.cluster_id);
    assert_int_equal(etcd_client_put(&c, "k", "2"), ETCDC_OK);
    etcd_client_close(&fresh);
    etcd_client_close(&c);
    etcd_server_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_that_hangs),
        cmocka_unit_test(without_a_quorum),
        cmocka_unit_test(writes_while_members_die),
        cmocka_unit_test(another_cluster_comes_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
