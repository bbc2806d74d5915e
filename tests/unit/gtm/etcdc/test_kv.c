/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls, against a real etcd.
 */
#include "gtm/base/mem.h"
#include "gtm/etcdc/etcdc.h"

#include "tests/unit/gtm/etcdc/one_member.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void is(struct etcdc_buf buf, const char *s)
{
    assert_int_equal(buf.n, strlen(s));
    assert_memory_equal(buf.p, s, buf.n);
}

static void put_get_delete(void **state)
{
    struct etcd_client c;
    open_client(&c);
    assert_int_equal(etcd_client_get(&c, "a/none", 0), ETCDC_OK);
    assert_int_equal(c.answer.parts_count, 1);
    assert_int_equal(c.parts[0].count, 0); /* left out of the answer */
    assert_int_equal(c.parts[0].kvs_count, 0);
    assert_true(c.answer.header.cluster_id != 0 && c.answer.header.raft_term >= 2);
    assert_int_equal(etcd_client_put(&c, "a/1", "one"), ETCDC_OK);
    int64_t revision = c.answer.header.revision;
    assert_string_equal(c.endpoint, etcd_server_url(server, 0));
    assert_int_equal(etcd_client_put(&c, "a/1", ""), ETCDC_OK);
    assert_int_equal(c.answer.header.revision, revision + 1);
    assert_int_equal(etcd_client_get(&c, "a/1", 0), ETCDC_OK);
    assert_int_equal(c.parts[0].count, 1);
    is(c.kvs[0][0].key, "a/1");
    is(c.kvs[0][0].value, "");
    assert_int_equal(c.kvs[0][0].create_revision, revision);
    assert_int_equal(c.kvs[0][0].mod_revision, revision + 1);
    assert_int_equal(c.kvs[0][0].version, 2);
    assert_int_equal(c.kvs[0][0].lease, 0);

    unsigned before = c.done; /* as it was before */
    assert_int_equal(etcdc_range(c.etcdc, etcdc_str("a/1"), etcdc_bytes(NULL, 0), 0, revision, 0,
                                 etcd_client_done, &c),
                     ETCDC_OK);
    etcd_client_wait(&c, &c.done, before + 1);
    is(c.kvs[0][0].value, "one");
    assert_int_equal(etcdc_range(c.etcdc, etcdc_str("a/1"), etcdc_bytes(NULL, 0), 0,
                                 revision + 1000, 0, etcd_client_done, &c),
                     ETCDC_OK);
    etcd_client_wait(&c, &c.done, before + 2);
    assert_int_equal(c.answer.code, ETCDC_E_FUTURE_REV);
    assert_string_not_equal(c.text, "");

    assert_int_equal(etcd_client_delete(&c, "a/1"), ETCDC_OK);
    assert_int_equal(c.parts[0].count, 1);
    assert_int_equal(etcd_client_delete(&c, "a/1"), ETCDC_OK);
    assert_int_equal(c.parts[0].count, 0);
    etcd_client_close(&c);
}

static void any_octets(void **state)
{
    struct etcd_client c;
    uint8_t key[258] = "b/", end[258];
    open_client(&c);
    for (unsigned i = 0; i < 256; i++)
        key[2 + i] = (uint8_t)i;
    struct etcdc_buf name = etcdc_bytes(key, sizeof(key));
    assert_int_equal(
        etcdc_put(c.etcdc, name, etcdc_bytes(key, 255), 0, ETCDC_PREV, etcd_client_done, &c),
        ETCDC_OK);
    etcd_client_wait(&c, &c.done, 1);
    assert_int_equal(c.answer.code, ETCDC_OK);
    assert_int_equal(c.parts[0].kvs_count, 0); /* there was nothing before */
    assert_int_equal(
        etcdc_delete(c.etcdc, name, etcdc_prefix_end(name, end), ETCDC_PREV, etcd_client_done, &c),
        ETCDC_OK);
    etcd_client_wait(&c, &c.done, 2);
    assert_int_equal(c.parts[0].kvs_count, 1);
    assert_int_equal(c.kvs[0][0].key.n, sizeof(key));
    assert_memory_equal(c.kvs[0][0].key.p, key, sizeof(key));
    assert_int_equal(c.kvs[0][0].value.n, 255);
    assert_memory_equal(c.kvs[0][0].value.p, key, 255);
    etcd_client_close(&c);
}

static void ranges_and_flags(void **state)
{
    struct etcd_client c;
    uint8_t end[8];
    open_client(&c);
    const char *keys[] = {"c/1", "c/2", "c/3", "d"};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(etcd_client_put(&c, keys[i], "v"), ETCDC_OK);
    struct etcdc_buf key = etcdc_str("c/"), to = etcdc_prefix_end(key, end);
    unsigned n = c.done;
    assert_int_equal(etcdc_range(c.etcdc, key, to, 2, 0, 0, etcd_client_done, &c), ETCDC_OK);
    etcd_client_wait(&c, &c.done, ++n);
    assert_int_equal(c.parts[0].kvs_count, 2);
    assert_int_equal(c.parts[0].count, 3);
    assert_true(c.parts[0].more);
    assert_int_equal(etcdc_range(c.etcdc, key, to, 0, 0, ETCDC_COUNT_ONLY, etcd_client_done, &c),
                     ETCDC_OK);
    etcd_client_wait(&c, &c.done, ++n);
    assert_int_equal(c.parts[0].kvs_count, 0);
    assert_int_equal(c.parts[0].count, 3);
    assert_int_equal(etcdc_range(c.etcdc, key, to, 0, 0, ETCDC_KEYS_ONLY | ETCDC_SERIALIZABLE,
                                 etcd_client_done, &c),
                     ETCDC_OK);
    etcd_client_wait(&c, &c.done, ++n);
    assert_int_equal(c.parts[0].kvs_count, 3);
    assert_int_equal(c.kvs[0][2].value.n, 0);
    assert_int_equal(etcdc_delete(c.etcdc, key, to, 0, etcd_client_done, &c), ETCDC_OK);
    etcd_client_wait(&c, &c.done, ++n);
    assert_int_equal(c.parts[0].count, 3);
    assert_int_equal(etcd_client_get(&c, "d", 0), ETCDC_OK);
    assert_int_equal(c.parts[0].count, 1);
    etcd_client_close(&c);
}

static void transactions(void **state)
{
    struct etcd_client c;
    open_client(&c);
    for (int round = 0; round < 2; round++) { /* made once, then it is there */
        struct etcdc_txn *txn = etcdc_txn_new();
        etcdc_txn_if(txn, etcdc_str("t/a"), ETCDC_CREATE_REVISION, ETCDC_EQUAL, 0);
        etcdc_txn_put(txn, false, etcdc_str("t/a"), etcdc_str("first"), 0, 0);
        etcdc_txn_range(txn, false, etcdc_str("t/a"), etcdc_bytes(NULL, 0), 0);
        etcdc_txn_range(txn, true, etcdc_str("t/a"), etcdc_bytes(NULL, 0), 0);
        assert_int_equal(etcd_client_commit(&c, txn, 0), ETCDC_OK);
        assert_int_equal(c.answer.succeeded, round == 0);
        assert_int_equal(c.answer.parts_count, round == 0 ? 2 : 1);
        is(c.kvs[round == 0 ? 1 : 0][0].value, "first");
    }
    struct etcdc_txn *txn = etcdc_txn_new();
    etcdc_txn_if_value(txn, etcdc_str("t/a"), etcdc_str("first"));
    etcdc_txn_if(txn, etcdc_str("t/a"), ETCDC_VERSION, ETCDC_GREATER, 0);
    etcdc_txn_if(txn, etcdc_str("t/a"), ETCDC_LEASE, ETCDC_EQUAL, 0);
    etcdc_txn_if(txn, etcdc_str("t/a"), ETCDC_MOD_REVISION, ETCDC_NOT_EQUAL, 1);
    etcdc_txn_if(txn, etcdc_str("t/a"), ETCDC_MOD_REVISION, ETCDC_LESS, INT64_MAX);
    etcdc_txn_delete(txn, false, etcdc_str("t/a"), etcdc_bytes(NULL, 0));
    assert_int_equal(etcd_client_commit(&c, txn, 0), ETCDC_OK);
    assert_true(c.answer.succeeded);
    assert_int_equal(c.parts[0].count, 1);
    assert_int_equal(etcd_client_commit(&c, etcdc_txn_new(), 0), ETCDC_OK); /* empty */
    assert_true(c.answer.succeeded);
    assert_int_equal(c.answer.parts_count, 0);
    etcd_client_close(&c);
}

static void limits(void **state)
{
    struct etcd_client c;
    char key[32];
    open_client(&c);
    for (unsigned ops = 128; ops <= 129; ops++) { /* etcd's limit, and ours */
        struct etcdc_txn *txn = etcdc_txn_new();
        for (unsigned i = 0; i < ops; i++) {
            snprintf(key, sizeof(key), "l/%u", i);
            etcdc_txn_put(txn, false, etcdc_str(key), etcdc_str("v"), 0, 0);
        }
        assert_int_equal(etcd_client_commit(&c, txn, 0), ops == 128 ? ETCDC_OK : ETCDC_E_ARG);
    }
    assert_int_equal(c.answer.parts_count, 128);
    struct etcdc_txn *txn = etcdc_txn_new();
    etcdc_txn_put(txn, false, etcdc_str("l/x"), etcdc_str("v"), 0, 0);
    etcdc_txn_put(txn, true, etcdc_str("l/x"), etcdc_str("v"), 0, 0); /* the other branch */
    assert_int_equal(etcd_client_commit(&c, txn, 0), ETCDC_OK);
    txn = etcdc_txn_new();
    etcdc_txn_put(txn, false, etcdc_str("l/x"), etcdc_str("v"), 0, 0);
    etcdc_txn_put(txn, false, etcdc_str("l/x"), etcdc_str("w"), 0, 0);
    assert_int_equal(etcd_client_commit(&c, txn, 0), ETCDC_E_ARG);

    size_t most = ETCDC_VALUE_MAX;
    char *big = gtm_calloc(1, most + 1);
    assert_int_equal(
        etcdc_put(c.etcdc, etcdc_str("l/big"), etcdc_bytes(big, most), 0, 0, etcd_client_done, &c),
        ETCDC_OK);
    etcd_client_wait(&c, &c.done, c.done + 1);
    assert_int_equal(c.answer.code, ETCDC_OK);
    assert_int_equal(etcdc_put(c.etcdc, etcdc_str("l/big"), etcdc_bytes(big, most + 1), 0, 0,
                               etcd_client_done, &c),
                     ETCDC_E_ARG);
    assert_int_equal(etcd_client_get(&c, "l/big", 0), ETCDC_OK);
    assert_int_equal(c.kvs[0][0].value.n, most);
    for (unsigned n = 1; n <= 2; n++) { /* ETCDC_TXN_BYTES_MAX is below what etcd takes */
        txn = etcdc_txn_new();
        etcdc_txn_put(txn, false, etcdc_str("l/b1"), etcdc_bytes(big, 700u << 10), 0, 0);
        etcdc_txn_put(txn, false, etcdc_str("l/b2"), etcdc_bytes(big, n == 1 ? 690u << 10 : most),
                      0, 0);
        assert_int_equal(etcd_client_commit(&c, txn, 0), n == 1 ? ETCDC_OK : ETCDC_E_ARG);
    }
    gtm_free(big);
    struct etcdc_buf none = etcdc_bytes(NULL, 0);
    assert_int_equal(etcdc_range(c.etcdc, none, none, 0, 0, 0, etcd_client_done, &c), ETCDC_E_ARG);
    assert_int_equal(etcdc_range(c.etcdc, etcdc_str("a"), none, -1, 0, 0, etcd_client_done, &c),
                     ETCDC_E_ARG);
    assert_int_equal(etcdc_range(c.etcdc, etcdc_str("a"), none, 0, -1, 0, etcd_client_done, &c),
                     ETCDC_E_ARG); /* etcd took it for a revision, once */
    etcd_client_close(&c);
}

static void leases(void **state)
{
    struct etcd_client c;
    open_client(&c);
    assert_int_equal(etcdc_lease_grant(c.etcdc, 60, etcd_client_done, &c), ETCDC_OK);
    etcd_client_wait(&c, &c.done, 1);
    int64_t lease = c.answer.lease;
    assert_true(lease > 0);
    assert_int_equal(c.answer.ttl_s, 60);
    unsigned n = c.done;
    struct etcdc_buf key = etcdc_str("le/a"), v = etcdc_str("v");
    const struct {
        int64_t put;
        unsigned flags;
        int64_t has;
    } steps[] = {{lease, 0, lease}, {0, ETCDC_KEEP_LEASE, lease}, {0, 0, 0}};
    for (size_t i = 0; i < 3; i++) { /* a put without the lease takes it off the key */
        assert_int_equal(
            etcdc_put(c.etcdc, key, v, steps[i].put, steps[i].flags, etcd_client_done, &c),
            ETCDC_OK);
        etcd_client_wait(&c, &c.done, ++n);
        assert_int_equal(c.answer.code, ETCDC_OK);
        assert_int_equal(etcd_client_get(&c, "le/a", 0), ETCDC_OK);
        n = c.done;
        assert_int_equal(c.kvs[0][0].lease, steps[i].has);
    }
    assert_int_equal(etcdc_put(c.etcdc, key, v, lease, 0, etcd_client_done, &c), ETCDC_OK);
    etcd_client_wait(&c, &c.done, ++n);
    assert_int_equal(etcdc_lease_keep_alive(c.etcdc, lease, etcd_client_done, &c), ETCDC_OK);
    etcd_client_wait(&c, &c.done, ++n);
    assert_int_equal(c.answer.code, ETCDC_OK);
    assert_int_equal(c.answer.ttl_s, 60);
    assert_int_equal(c.answer.lease, lease);
    assert_true(c.answer.header.cluster_id != 0);
    assert_int_equal(etcdc_lease_revoke(c.etcdc, lease, etcd_client_done, &c), ETCDC_OK);
    etcd_client_wait(&c, &c.done, ++n);
    assert_int_equal(c.answer.code, ETCDC_OK);
    assert_int_equal(etcd_client_get(&c, "le/a", 0), ETCDC_OK);
    n = c.done;
    assert_int_equal(c.parts[0].count, 0);
    assert_int_equal(etcdc_lease_keep_alive(c.etcdc, lease, etcd_client_done, &c), ETCDC_OK);
    etcd_client_wait(&c, &c.done, ++n);
    assert_int_equal(c.answer.code, ETCDC_E_LEASE_NOT_FOUND); /* said by 200 */
    assert_int_equal(etcdc_lease_revoke(c.etcdc, lease, etcd_client_done, &c), ETCDC_OK);
    etcd_client_wait(&c, &c.done, ++n);
    assert_int_equal(c.answer.code, ETCDC_E_LEASE_NOT_FOUND);
    assert_int_equal(etcdc_put(c.etcdc, key, v, lease, 0, etcd_client_done, &c), ETCDC_OK);
    etcd_client_wait(&c, &c.done, ++n);
    assert_int_equal(c.answer.code, ETCDC_E_LEASE_NOT_FOUND);
    assert_int_equal(etcdc_lease_grant(c.etcdc, 0, etcd_client_done, &c), ETCDC_E_ARG);
    assert_int_equal(etcdc_lease_grant(c.etcdc, 1, etcd_client_done, &c), ETCDC_OK);
    etcd_client_wait(&c, &c.done, ++n);
    assert_true(c.answer.ttl_s >= 1); /* what is granted counts */
    struct etcdc_endpoint_info info;
    assert_int_equal(etcdc_endpoints(c.etcdc, &info, 1), 1);
    assert_int_equal(info.ejected_ms, 0); /* none of this was the endpoint's fault */
    etcd_client_close(&c);
}

static void compaction(void **state)
{
    struct etcd_client c;
    open_client(&c);
    assert_int_equal(etcd_client_put(&c, "co", "1"), ETCDC_OK);
    int64_t old = c.answer.header.revision;
    assert_int_equal(etcd_client_put(&c, "co", "2"), ETCDC_OK);
    unsigned n = c.done;
    assert_int_equal(etcdc_compact(c.etcdc, old + 1, etcd_client_done, &c), ETCDC_OK);
    etcd_client_wait(&c, &c.done, ++n);
    assert_int_equal(c.answer.code, ETCDC_OK);
    assert_int_equal(etcdc_range(c.etcdc, etcdc_str("co"), etcdc_bytes(NULL, 0), 0, old, 0,
                                 etcd_client_done, &c),
                     ETCDC_OK);
    etcd_client_wait(&c, &c.done, ++n);
    assert_int_equal(c.answer.code, ETCDC_E_COMPACTED);
    etcd_client_close(&c);
}

static void the_status_of_a_member(void **state)
{
    struct etcd_client c;
    open_client(&c);
    assert_int_equal(etcd_client_status(&c, 0), ETCDC_OK);
    assert_true(strncmp(c.status.version, "3.", 2) == 0);
    assert_true(c.status.leader != 0);
    assert_int_equal(c.status.leader, c.status.header.member_id);
    assert_true(c.status.db_bytes > 0);
    assert_false(c.status.learner);
    assert_string_equal(c.alarms, "");
    assert_int_equal(etcd_client_status(&c, 1), ETCDC_E_ARG);
    assert_int_equal(etcd_client_get(&c, "x", 0), ETCDC_OK);
    struct etcdc_endpoint_info info;
    etcdc_endpoints(c.etcdc, &info, 1);
    assert_true(info.chosen && info.latency_us > 0 && info.member_id != 0);
    assert_string_equal(info.version, c.status.version);
    etcd_client_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put_get_delete),   cmocka_unit_test(any_octets),
        cmocka_unit_test(ranges_and_flags), cmocka_unit_test(transactions),
        cmocka_unit_test(limits),           cmocka_unit_test(leases),
        cmocka_unit_test(compaction),       cmocka_unit_test(the_status_of_a_member),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
