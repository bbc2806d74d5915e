/* SPDX-License-Identifier: Apache-2.0 */
#include "gtm/etcdc/watch_parse.h"

#include "gtm/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct etcdc__watch_message *parse(const char *text)
{
    int code = -1;
    struct etcdc__watch_message *m = etcdc__watch_parse(text, strlen(text), &code);
    assert_int_equal(m ? 0 : ETCDC_E_PROTOCOL, code);
    return m;
}

static void what_is_left_out_is_zero(void **state)
{
    struct etcdc__watch_message *m = parse(
        "{\"result\":{\"header\":{\"cluster_id\":\"14841639068965178418\",\"member_id\":"
        "\"10276657743932975437\",\"revision\":\"7\",\"raft_term\":\"2\"},\"events\":[{\"kv\":"
        "{\"key\":\"YQ==\",\"create_revision\":\"7\",\"mod_revision\":\"7\",\"version\":\"1\","
        "\"value\":\"MQ==\",\"lease\":\"7587862094606113290\"}},{\"type\":\"DELETE\",\"kv\":"
        "{\"key\":\"Yg==\",\"mod_revision\":\"7\"}}]}}");
    assert_int_equal(m->events_count, 2);
    assert_true(m->header.cluster_id == UINT64_C(14841639068965178418));
    assert_false(m->created || m->canceled || m->fragment);
    assert_int_equal(m->watch_id, 0);
    assert_false(m->events[0].deleted);
    assert_true(m->events[0].kv.lease == INT64_C(7587862094606113290));
    assert_memory_equal(m->events[0].kv.value.p, "1", 1);
    assert_true(m->events[1].deleted);
    assert_int_equal(m->events[1].kv.value.n, 0);
    etcdc__watch_message_free(m);
    /* Numbers as numbers, the type as a number. */
    m = parse("{\"result\":{\"header\":{\"revision\":9},\"fragment\":true,\"events\":[{\"type\":1,"
              "\"kv\":{\"key\":\"YQ==\",\"mod_revision\":9}}]}}");
    assert_true(m->fragment && m->events[0].deleted);
    assert_int_equal(m->events[0].kv.mod_revision, 9);
    etcdc__watch_message_free(m);
}

static void a_compaction_has_no_reason_and_no_revision(void **state)
{
    struct etcdc__watch_message *m = parse("{\"result\":{\"header\":{\"cluster_id\":\"1\"},"
                                           "\"canceled\":true,\"compact_revision\":\"3\"}}");
    assert_int_equal(m->code, ETCDC_E_COMPACTED);
    assert_int_equal(m->compact_revision, 3);
    etcdc__watch_message_free(m);
}

static void a_cancel_has_a_code(void **state)
{
    static const struct {
        const char *reason;
        int code;
    } cases[] = {
        {"rpc error: code = PermissionDenied desc = etcdserver: permission denied", ETCDC_E_DENIED},
        {"etcdserver: no leader", ETCDC_E_NO_LEADER},
        {"rpc error: code = Unauthenticated desc = etcdserver: invalid auth token", ETCDC_E_AUTH},
        {"etcdserver: duplicate watch ID provided on the WatchStream", ETCDC_E_UNAVAILABLE},
        {"", ETCDC_E_UNAVAILABLE},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *text = gtm_asprintf("{\"result\":{\"header\":{},\"watch_id\":\"-1\",\"created\":true,"
                                  "\"canceled\":true,\"cancel_reason\":\"%s\"}}",
                                  cases[i].reason);
        struct etcdc__watch_message *m = parse(text);
        assert_int_equal(m->code, cases[i].code);
        assert_int_equal(m->watch_id, -1);
        assert_true(m->text[0] != '\0');
        etcdc__watch_message_free(m);
        gtm_free(text);
    }
}

/* 3.4 and 3.5, 3.6, and what came before them for whole answers. */
static void three_dialects_of_errors(void **state)
{
    static const char *const texts[] = {
        "{\"error\":{\"grpc_code\":14,\"http_code\":503,\"message\":\"etcdserver: no leader\"}}",
        "{\"error\":{\"code\":14,\"message\":\"etcdserver: no leader\",\"details\":[]}}",
        "{\"error\":\"etcdserver: no leader\",\"message\":\"etcdserver: no leader\",\"code\":14}",
    };
    for (size_t i = 0; i < 3; i++) {
        struct etcdc__watch_message *m = parse(texts[i]);
        assert_int_equal(m->code, ETCDC_E_NO_LEADER);
        assert_non_null(strstr(m->text, "no leader"));
        etcdc__watch_message_free(m);
    }
}

static void what_is_no_answer_is_refused(void **state)
{
    static const char *const bad[] = {
        "{}",
        "{\"result\":7}",
        "{\"result\":{\"header\":{\"revision\":\"x\"}}}",
        "{\"result\":{\"header\":{\"revision\":\"-1\"}}}",
        "{\"result\":{\"header\":{\"revision\":\"99999999999999999999\"}}}",
        "{\"result\":{\"header\":{\"revision\":\"9223372036854775807\"}}}", /* none comes next */
        ("{\"result\":{\"events\":[{\"kv\":{\"key\":\"YQ==\","
         "\"mod_revision\":\"9223372036854775807\"}}]}}"),
        "{\"result\":{\"events\":[{}]}}",
        "{\"result\":{\"events\":[{\"kv\":{\"key\":\"YQ==\"}}]}}",
        "{\"result\":{\"events\":[{\"kv\":{\"key\":\"\",\"mod_revision\":\"7\"}}]}}",
        "{\"result\":{\"events\":[{\"kv\":{\"key\":\"Y\",\"mod_revision\":\"7\"}}]}}",
        "{\"result\":{\"events\":[{\"kv\":{\"key\":\"YQ\",\"mod_revision\":\"7\"}}]}}",
        "{\"result\":{\"events\":[{\"type\":\"MOVE\",\"kv\":{\"key\":\"YQ==\"}}]}}",
        "{\"result\":{\"events\":[{\"type\":2,\"kv\":{\"key\":\"YQ==\",\"mod_revision\":7}}]}}",
        "{\"result\":{\"compact_revision\":\"-3\"}}",
        "{\"result\":{\"events\":",
        "[]",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_null(parse(bad[i]));
}

static void memory_may_fail(void **state)
{
    static const char text[] = "{\"result\":{\"header\":{\"revision\":\"9\"},\"events\":[{\"kv\":{"
                               "\"key\":\"YQ==\",\"mod_revision\":\"9\"}}]}}";
    for (uint64_t n = 1; n < 100; n++) {
        int code = 0;
        gtm_mem_fail_at(n, 0);
        struct etcdc__watch_message *m = etcdc__watch_parse(text, sizeof(text) - 1, &code);
        gtm_mem_fail_at(0, 0);
        assert_int_equal(m ? 0 : ETCDC_E_NOMEM, code);
        etcdc__watch_message_free(m);
        if (m)
            return;
    }
    fail_msg("never parsed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_out_is_zero),
        cmocka_unit_test(a_compaction_has_no_reason_and_no_revision),
        cmocka_unit_test(a_cancel_has_a_code),
        cmocka_unit_test(three_dialects_of_errors),
        cmocka_unit_test(what_is_no_answer_is_refused),
        cmocka_unit_test(memory_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
