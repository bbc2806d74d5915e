/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of health/grpc: the request's octets, and answers of every kind.
 */
#include "health/grpc.h"

#include "gtm/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void requests(void **state)
{
    size_t len = 0;
    uint8_t *r = health_grpc_request("", &len);
    assert_int_equal(len, 5);
    assert_memory_equal(r, "\0\0\0\0\0", 5);
    gtm_free(r);
    r = health_grpc_request("shop", &len);
    assert_int_equal(len, 11);
    assert_memory_equal(r, "\0\0\0\0\6\x0a\4shop", 11);
    gtm_free(r);
    char name[301];
    memset(name, 'x', 300);
    name[300] = '\0';
    r = health_grpc_request(name, &len);
    assert_int_equal(len, 5 + 3 + 300);
    assert_memory_equal(r, "\0\0\0\1\x2f\x0a\xac\2xx", 10);
    gtm_free(r);
}

struct row {
    const char *status, *message, *body;
    size_t body_len;
    enum health_result result;
    const char *evidence;
};
#define BODY(text) text, sizeof(text) - 1

static const struct row rows[] = {
    {"grpc-status: 0\r\n", NULL, BODY("\0\0\0\0\2\x08\1"), HEALTH_RESULT_OK, "SERVING"},
    {"Grpc-Status:0\r\n", NULL, BODY("\0\0\0\0\6\x12\2ab\x08\1"), HEALTH_RESULT_OK, "SERVING"},
    {"grpc-status: 0\r\n", NULL, BODY("\0\0\0\0\2\x08\2"), HEALTH_RESULT_ANSWER,
     "NOT_SERVING, wanted SERVING"},
    {"grpc-status: 0\r\n", NULL, BODY("\0\0\0\0\2\x08\3"), HEALTH_RESULT_ANSWER,
     "SERVICE_UNKNOWN, wanted SERVING"},
    {"grpc-status: 0\r\n", NULL, BODY("\0\0\0\0\0"), HEALTH_RESULT_ANSWER,
     "UNKNOWN, wanted SERVING"},
    {"grpc-status: 0\r\n", NULL, BODY("\0\0\0\0\2\x08\x63"), HEALTH_RESULT_ANSWER,
     "health status 99, wanted SERVING"},
    {"grpc-status: 12\r\n", NULL, BODY(""), HEALTH_RESULT_ANSWER,
     "the server has no grpc.health.v1.Health service (UNIMPLEMENTED)"},
    {"grpc-status: 5\r\n", NULL, BODY(""), HEALTH_RESULT_ANSWER,
     "the server does not know the service \"shop\" (NOT_FOUND)"},
    {"grpc-status: 14\r\n", "grpc-message: not%20yet\r\n", BODY(""), HEALTH_RESULT_ANSWER,
     "gRPC status 14, UNAVAILABLE: not yet"},
    {"grpc-status: 99\r\n", NULL, BODY(""), HEALTH_RESULT_ANSWER,
     "gRPC status 99, not a gRPC status"},
    {"grpc-status: 1e9\r\n", NULL, BODY("\0\0\0\0\2\x08\1"), HEALTH_RESULT_ANSWER,
     "the answer has no gRPC status"},
    {NULL, NULL, BODY("\0\0\0\0\2\x08\1"), HEALTH_RESULT_ANSWER, "the answer has no gRPC status"},
    {"grpc-status: 0\r\n", NULL, BODY(""), HEALTH_RESULT_GARBAGE, "malformed gRPC answer"},
    {"grpc-status: 0\r\n", NULL, BODY("\1\0\0\0\2\x08\1"), HEALTH_RESULT_GARBAGE,
     "malformed gRPC answer"},
    {"grpc-status: 0\r\n", NULL, BODY("\0\0\0\0\3\x08\1"), HEALTH_RESULT_GARBAGE,
     "malformed gRPC answer"},
    {"grpc-status: 0\r\n", NULL, BODY("\0\xff\xff\xff\xff\x08\1"), HEALTH_RESULT_GARBAGE,
     "malformed gRPC answer"},
    {"grpc-status: 0\r\n", NULL, BODY("\0\0\0\0\3\x12\x7f\1"), HEALTH_RESULT_GARBAGE,
     "malformed gRPC answer"},
    {"grpc-status: 0\r\n", NULL, BODY("\0\0\0\0\2\x08\x80"), HEALTH_RESULT_GARBAGE,
     "malformed gRPC answer"},
    {"grpc-status: 0\r\n", NULL, BODY("\0\0\0\0\1\x0b"), HEALTH_RESULT_GARBAGE,
     "malformed gRPC answer"},
};

static void answers(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        struct health_grpc g = {0};
        struct health_outcome o = {0};
        health_grpc_header(&g, "grpc-statuses: 3\r\n", 18);
        for (size_t at = 0; at < row->body_len; at++) /* in the smallest pieces */
            health_grpc_body(&g, row->body + at, 1);
        if (row->message)
            health_grpc_header(&g, row->message, strlen(row->message));
        if (row->status)
            health_grpc_header(&g, row->status, strlen(row->status));
        health_grpc_judge(&g, "shop", &o);
        assert_int_equal(o.result, row->result);
        assert_string_equal(o.text, row->evidence);
        health_outcome_clear(&o);
    }
}

static void too_long_an_answer(void **state)
{
    struct health_grpc g = {0};
    struct health_outcome o = {0};
    char block[600] = {0};
    health_grpc_body(&g, block, sizeof(block));
    assert_false(g.too_long);
    health_grpc_body(&g, block, sizeof(block));
    assert_true(g.too_long);
    assert_int_equal(g.len, HEALTH_GRPC_BODY_MAX);
    health_grpc_header(&g, "grpc-status: 0\r\n", 16);
    health_grpc_judge(&g, "", &o);
    assert_int_equal(o.result, HEALTH_RESULT_GARBAGE);
    health_outcome_clear(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests),
        cmocka_unit_test(answers),
        cmocka_unit_test(too_long_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
