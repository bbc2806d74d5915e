/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls against gateways that misbehave: what is tried again, what is told as ambiguous, who is
 * left out.
 */
#include "gtm/base/fs.h"
#include "gtm/base/loop.h"
#include "gtm/etcdc/etcdc.h"
#include "tests/support/etcd_client.h"
#include "tests/support/fake_gateway.h"
#include "tests/support/temp_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HEADER                                                                                \
    "\"header\":{\"cluster_id\":\"77\",\"member_id\":\"1\",\"revision\":\"9\",\"raft_term\":" \
    "\"5\"}"
#define OK_BODY "{" HEADER "}"

struct world {
    struct fake_gateway *a, *b;
    struct etcd_client c;
};

static void open_world(struct world *w, const struct etcdc_opts *opts)
{
    w->a = fake_gateway_new();
    w->b = fake_gateway_new();
    const struct fake_script ok = {.body = OK_BODY};
    fake_gateway_set(w->a, &ok);
    fake_gateway_set(w->b, &ok);
    const char *urls[] = {fake_gateway_url(w->a), fake_gateway_url(w->b), NULL};
    etcd_client_open(&w->c, urls, opts);
}

static void close_world(struct world *w)
{
    etcd_client_close(&w->c);
    fake_gateway_free(w->a);
    fake_gateway_free(w->b);
}

static struct etcdc_endpoint_info info_of(struct world *w, size_t i)
{
    struct etcdc_endpoint_info info[2];
    assert_int_equal(etcdc_endpoints(w->c.etcdc, info, 2), 2);
    return info[i];
}

static void what_is_sent(void **state)
{
    struct world w;
    char last[8192];
    open_world(&w, NULL);
    assert_int_equal(etcd_client_put(&w.c, "k", "v"), ETCDC_OK);
    fake_gateway_last(w.a, last, sizeof(last));
    assert_true(strstr(last, "POST /v3/kv/put HTTP/1.1\r\n") == last);
    assert_non_null(strstr(last, "\r\nGrpc-Metadata-hasleader: true\r\n"));
    assert_non_null(strstr(last, "\r\nGrpc-Timeout: "));
    unsigned ms = 0;
    assert_int_equal(sscanf(strstr(last, "Grpc-Timeout: "), "Grpc-Timeout: %um", &ms), 1);
    assert_in_range(ms, 1000, 1999); /* less than our 2,000 */
    assert_null(strstr(last, "Authorization"));
    assert_non_null(strstr(last, "{\"key\":\"aw==\",\"value\":\"dg==\"}"));
    assert_int_equal(etcd_client_get(&w.c, "k", ETCDC_SERIALIZABLE), ETCDC_OK);
    fake_gateway_last(w.a, last, sizeof(last));
    assert_null(strstr(last, "hasleader")); /* from one member's copy, whatever it knows */
    assert_non_null(strstr(last, "{\"key\":\"aw==\",\"serializable\":true}"));
    assert_int_equal(fake_gateway_greetings(w.a), 2); /* version and status, once */
    assert_int_equal(fake_gateway_requests(w.b), 0);  /* sticky, in the order given */
    close_world(&w);
}

/* A read goes on to the other endpoint, whatever the first does. */
static void reads_go_on(void **state)
{
    static const struct {
        struct fake_script script;
        int alone; /* the code without another endpoint to go to; by its class of failure */
    } bad[] = {
        {{.mood = FAKE_RESETS}, ETCDC_E_UNAVAILABLE},
        {{.mood = FAKE_RESETS_BEFORE}, ETCDC_E_UNAVAILABLE},
        {{.mood = FAKE_HALF, .body = OK_BODY}, ETCDC_E_UNAVAILABLE},
        {{.mood = FAKE_SILENT}, ETCDC_E_TIMEOUT},
        {{.mood = FAKE_RAW, .body = "not HTTP at all\n"}, ETCDC_E_UNAVAILABLE},
        {{.status = 502, .body = "<html><h1>Bad Gateway</h1></html>"}, ETCDC_E_UNAVAILABLE},
        {{.status = 200, .body = "<html>captive portal</html>"}, ETCDC_E_PROTOCOL},
        {{.status = 404, .body = "Not Found\n"}, ETCDC_E_PROTOCOL},
        {{.status = 200, .body = "{\"header\":{\"cluster_id\":\"99999999999999999999999\"}}"},
         ETCDC_E_PROTOCOL},
        {{.status = 200, .body = "{" HEADER ",\"kvs\":[{\"key\":\"a_-=\"}]}"}, ETCDC_E_PROTOCOL},
        {{.status = 200, .body = "{" HEADER ",\"kvs\":7}"}, ETCDC_E_PROTOCOL},
        {{.status = 503,
          .body = "{\"error\":\"etcdserver: no leader\",\"message\":\"etcdserver: no "
                  "leader\",\"code\":14}"},
         ETCDC_E_NO_LEADER},
        {{.status = 200,
          .body = "{\"header\":{\"cluster_id\":\"78\",\"raft_term\":\"5\",\"revision\":\"1\"}}"},
         ETCDC_E_CLUSTER_CHANGED},
        {{.status = 200,
          .body = "{\"header\":{\"cluster_id\":\"77\",\"raft_term\":\"4\",\"revision\":\"1\"}}"},
         ETCDC_E_STALE_MEMBER},
        {{.greetings = true, .status = 200, .body = "{\"etcdserver\":\"3.3.27\"}"},
         ETCDC_E_VERSION},
        {{.greetings = true, .status = 200, .body = "<html>hello</html>"}, ETCDC_E_PROTOCOL},
        {{.greetings = true, .mood = FAKE_RESETS}, ETCDC_E_UNAVAILABLE},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct world w;
        open_world(&w, &(struct etcdc_opts){.call_ms = 600});
        fake_gateway_set(w.a, &bad[i].script);
        assert_int_equal(etcd_client_get(&w.c, "k", 0), ETCDC_OK);
        assert_string_equal(w.c.endpoint, fake_gateway_url(w.b));
        assert_true(info_of(&w, 0).ejected_ms > 500);
        assert_string_not_equal(info_of(&w, 0).error, "");
        assert_true(info_of(&w, 1).chosen);
        fake_gateway_set(w.b, &bad[i].script); /* now both */
        int code = etcd_client_get(&w.c, "k", 0);
        if (bad[i].script.mood == FAKE_RESETS_BEFORE) /* its kept-alive connection is still good */
            assert_true(code == ETCDC_OK || code == bad[i].alone);
        else if (!bad[i].script.greetings)
            assert_int_equal(code, bad[i].alone);
        close_world(&w);
    }
}

/* A write that may have happened is told so, and sent once; one that surely has not goes on. */
static void writes_are_careful(void **state)
{
    static const struct {
        struct fake_script script;
        bool ambiguous; /* else it goes on to the other */
    } bad[] = {
        {{.mood = FAKE_RESETS}, true},
        {{.mood = FAKE_SILENT}, true},
        {{.mood = FAKE_HALF, .body = OK_BODY}, true},
        {{.status = 200, .body = "<html>captive portal</html>"}, true},
        {{.status = 502, .body = "<html>Bad Gateway</html>"}, true},
        {{.status = 504, .body = "{\"code\":4,\"message\":\"etcdserver: request timed out\"}"},
         true},
        {{.status = 503, .body = "{\"code\":14,\"message\":\"etcdserver: server stopped\"}"}, true},
        {{.status = 500, .body = "{\"code\":2,\"message\":\"context canceled\"}"}, true},
        {{.status = 503, .body = "{\"code\":14,\"message\":\"etcdserver: no leader\"}"}, false},
        {{.status = 503,
          .body = "{\"code\":14,\"message\":\"etcdserver: rpc not supported for learner\"}"},
         false},
        {{.greetings = true, .mood = FAKE_RESETS}, false},
        {{.greetings = true, .mood = FAKE_SILENT}, false},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct world w;
        open_world(&w, &(struct etcdc_opts){.call_ms = 600});
        fake_gateway_set(w.a, &bad[i].script);
        int code = etcd_client_put(&w.c, "k", "v");
        assert_int_equal(code, bad[i].ambiguous ? ETCDC_E_AMBIGUOUS : ETCDC_OK);
        assert_int_equal(fake_gateway_requests(w.b), bad[i].ambiguous ? 0 : 1);
        if (!bad[i].script.greetings)
            assert_int_equal(fake_gateway_requests(w.a), 1);
        if (bad[i].ambiguous) {
            assert_string_not_equal(w.c.text, "");
            assert_string_equal(w.c.endpoint, fake_gateway_url(w.a));
        }
        close_world(&w);

        open_world(&w, &(struct etcdc_opts){.call_ms = 600}); /* and where repeating is allowed */
        fake_gateway_set(w.a, &bad[i].script);
        unsigned before = w.c.done;
        assert_int_equal(etcdc_put(w.c.etcdc, etcdc_str("k"), etcdc_str("v"), 0, ETCDC_IDEMPOTENT,
                                   etcd_client_done, &w.c),
                         ETCDC_OK);
        etcd_client_wait(&w.c, &w.c.done, before + 1);
        assert_int_equal(w.c.answer.code, ETCDC_OK);
        close_world(&w);
    }
}

/* What the server refused for a reason is told, not tried elsewhere; nobody is left out for it. */
static void refusals_are_final(void **state)
{
    static const struct {
        int status;
        const char *body;
        int code;
    } said[] = {
        {400,
         "{\"error\":\"x\",\"message\":\"etcdserver: mvcc: required revision has been compacted\","
         "\"code\":11}",
         ETCDC_E_COMPACTED},
        {400,
         "{\"code\":11,\"message\":\"etcdserver: mvcc: required revision is a future revision\"}",
         ETCDC_E_FUTURE_REV},
        {404,
         "{\"error\":{\"grpc_code\":5,\"http_code\":404,\"message\":\"etcdserver: requested "
         "lease not found\"}}",
         ETCDC_E_LEASE_NOT_FOUND},
        {400, "{\"code\":8,\"message\":\"etcdserver: mvcc: database space exceeded\"}",
         ETCDC_E_NO_SPACE},
        {429, "{\"code\":8,\"message\":\"etcdserver: too many requests\"}", ETCDC_E_TOO_MANY},
        {400, "{\"code\":3,\"message\":\"etcdserver: request is too large\"}", ETCDC_E_TOO_LARGE},
        {403, "{\"code\":7,\"message\":\"etcdserver: permission denied\"}", ETCDC_E_DENIED},
        {401, "{\"code\":16,\"message\":\"etcdserver: invalid auth token\"}", ETCDC_E_AUTH},
        {400, "{\"code\":3,\"message\":\"etcdserver: user name is empty\"}", ETCDC_E_AUTH},
        {400, "{\"code\":3,\"message\":\"etcdserver: duplicate key given in txn request\"}",
         ETCDC_E_ARG},
    };
    for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
        struct world w;
        open_world(&w, NULL);
        const struct fake_script script = {.status = said[i].status, .body = said[i].body};
        fake_gateway_set(w.a, &script);
        assert_int_equal(etcd_client_put(&w.c, "k", "v"), said[i].code);
        assert_int_equal(etcd_client_get(&w.c, "k", 0), said[i].code);
        assert_int_equal(fake_gateway_requests(w.b), 0);
        assert_int_equal(info_of(&w, 0).ejected_ms, 0);
        struct etcdc_counters counters;
        etcdc_counters(w.c.etcdc, &counters);
        assert_int_equal(counters.calls, 2);
        assert_int_equal(counters.failures[-said[i].code], 2);
        close_world(&w);
    }
}

/* A write that an older term or another cluster answered: agreed on is a fact; elsewhere is not. */
static void writes_and_headers(void **state)
{
    struct world w;
    open_world(&w, NULL);
    assert_int_equal(etcd_client_put(&w.c, "k", "v"), ETCDC_OK);
    const struct fake_script old = {
        .body = "{\"header\":{\"cluster_id\":\"77\",\"raft_term\":\"4\",\"revision\":\"1\"}}"};
    fake_gateway_set(w.a, &old);
    assert_int_equal(etcd_client_put(&w.c, "k", "v"), ETCDC_OK);
    assert_true(info_of(&w, 0).ejected_ms > 0);
    const struct fake_script other = {
        .body = "{\"header\":{\"cluster_id\":\"78\",\"raft_term\":\"9\",\"revision\":\"1\"}}"};
    fake_gateway_set(w.b, &other);
    assert_int_equal(etcd_client_put(&w.c, "k", "v"), ETCDC_E_CLUSTER_CHANGED);
    assert_non_null(strstr(w.c.text, "4e")); /* which */
    close_world(&w);
}

/* Another cluster at a known address is found by its greeting: nothing is written into it. */
static void nothing_is_written_elsewhere(void **state)
{
    struct world w;
    open_world(&w, &(struct etcdc_opts){.cluster_id = 77});
    fake_gateway_is(w.a, 78, 50, "3.5.1", false);
    assert_int_equal(etcd_client_put(&w.c, "k", "v"), ETCDC_OK);
    assert_int_equal(fake_gateway_requests(w.a), 0);
    assert_int_equal(fake_gateway_requests(w.b), 1);
    fake_gateway_is(w.b, 77, 5, "3.5.1", true); /* a learner takes no part */
    etcdc_expect_cluster(w.c.etcdc, 78);        /* an operator said so */
    const struct fake_script other = {
        .body = "{\"header\":{\"cluster_id\":\"78\",\"raft_term\":\"50\",\"revision\":\"1\"}}"};
    fake_gateway_set(w.a, &other);
    fake_gateway_set(w.b, &(struct fake_script){.mood = FAKE_RESETS});
    assert_int_equal(etcd_client_get(&w.c, "k", 0), ETCDC_OK);
    assert_string_equal(w.c.endpoint, fake_gateway_url(w.a));
    close_world(&w);
}

static void a_learner_is_left_out(void **state)
{
    struct world w;
    open_world(&w, NULL);
    fake_gateway_is(w.a, 77, 5, "3.4.23", true);
    assert_int_equal(etcd_client_put(&w.c, "k", "v"), ETCDC_OK);
    assert_int_equal(fake_gateway_requests(w.a), 0);
    close_world(&w);
}

/* All are down for a moment: a call waits for the first to come back. */
static void it_waits_for_one(void **state)
{
    struct world w;
    open_world(&w, &(struct etcdc_opts){.call_ms = 4000});
    const struct fake_script ok = {.body = OK_BODY};
    const struct fake_script once = {.status = 503,
                                     .body = "{\"code\":14,\"message\":\"etcdserver: no leader\"}",
                                     .times = 1,
                                     .then = &ok};
    fake_gateway_set(w.a, &once);
    fake_gateway_set(w.b, &once);
    assert_int_equal(etcd_client_put(&w.c, "k", "v"), ETCDC_OK);
    assert_int_equal(fake_gateway_requests(w.a) + fake_gateway_requests(w.b), 3);
    close_world(&w);
}

static void tokens(void **state)
{
    struct world w;
    char dir[TEST_TEMP_DIR_BYTES], path[128], last[8192];
    struct gtm_error err = {0};
    assert_int_equal(test_temp_dir_make("etcdc", dir), 0);
    snprintf(path, sizeof(path), "%s/password", dir);
    assert_int_equal(gtm_fs_write_atomic(path, "s\"cret\n", 7, 0600, &err), 0);
    open_world(&w, &(struct etcdc_opts){.user = "gtm", .password_file = path});
    assert_int_equal(etcd_client_put(&w.c, "k", "v"), ETCDC_OK);
    fake_gateway_last(w.a, last, sizeof(last));
    assert_non_null(strstr(last, "\r\nAuthorization: token-1\r\n"));
    static const char *const unknown[] = {
        "{\"error\":\"x\",\"message\":\"etcdserver: invalid auth token\",\"code\":16}",
        "{\"code\":3,\"message\":\"etcdserver: revision of auth store is old\"}",
        "{\"code\":3,\"message\":\"etcdserver: user name is empty\"}"};
    const struct fake_script ok = {.body = OK_BODY};
    for (unsigned i = 0; i < 3; i++) { /* renewed, and sent again: it was refused before */
        const struct fake_script once = {
            .status = 401, .body = unknown[i], .times = 1, .then = &ok};
        fake_gateway_set(w.a, &once);
        assert_int_equal(etcd_client_put(&w.c, "k", "v"), ETCDC_OK);
        assert_int_equal(fake_gateway_tokens(w.a), i + 2);
    }
    const struct fake_script always = {.status = 401, .body = unknown[0]};
    fake_gateway_set(w.a, &always); /* once only */
    assert_int_equal(etcd_client_put(&w.c, "k", "v"), ETCDC_E_AUTH);
    assert_int_equal(fake_gateway_tokens(w.a), 5);
    close_world(&w);

    open_world(&w, &(struct etcdc_opts){.user = "gtm", .password_file = "/does/not/exist"});
    assert_int_equal(etcd_client_put(&w.c, "k", "v"), ETCDC_E_AUTH);
    assert_non_null(strstr(w.c.text, "/does/not/exist"));
    assert_int_equal(fake_gateway_requests(w.a), 0);
    close_world(&w);
    assert_int_equal(test_temp_dir_remove(dir), 0);
}

/* A password that is wrong is wrong for every call: checking it costs the server much, so it is not
 * asked again for a while, and every call is told why. */
static void a_wrong_password_is_no_storm(void **state)
{
    struct world w;
    const struct fake_script refuses = {
        .greetings = true,
        .status = 400,
        .body = "{\"code\":3,\"message\":\"etcdserver: authentication failed, invalid user ID or "
                "password\"}"};
    const struct fake_script greets = {.greetings = true,
                                       .body = "{\"etcdserver\":\"3.4.23\"," HEADER
                                               ",\"version\":\"3.4.23\"}",
                                       .times = 2, /* version and status */
                                       .then = &refuses};
    open_world(&w, &(struct etcdc_opts){.user = "gtm"});
    fake_gateway_set(w.a, &greets);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(etcd_client_get(&w.c, "k", 0), ETCDC_E_AUTH);
        assert_non_null(strstr(w.c.text, "invalid user ID"));
    }
    assert_int_equal(fake_gateway_requests(w.a), 3);
    close_world(&w);
}

/* An answer cut in two at every offset is the same answer. */
static void split_anywhere(void **state)
{
    static const char body[] =
        "{" HEADER ",\"kvs\":[{\"key\":\"aw==\",\"create_revision\":\"2\",\"mod_revision\":3,"
        "\"version\":\"1\",\"value\":\"/+8=\",\"lease\":\"-1\"}],\"count\":\"1\"}";
    struct world w;
    open_world(&w, NULL);
    for (size_t at = 1; at < sizeof(body) + 90; at += 3) {
        const struct fake_script script = {.body = body, .split = at};
        fake_gateway_set(w.a, &script);
        assert_int_equal(etcd_client_get(&w.c, "k", 0), ETCDC_OK);
        assert_int_equal(w.c.kvs[0][0].mod_revision, 3);
        assert_int_equal(w.c.kvs[0][0].create_revision, 2);
        assert_int_equal(w.c.kvs[0][0].lease, -1);
        assert_memory_equal(w.c.kvs[0][0].value.p, "\xff\xef", 2);
    }
    close_world(&w);
}

static void wrong_options(void **state)
{
    struct gtm_error err = {0};
    struct gtm_loop *loop = gtm_loop_new();
    static const char *const urls[] = {"127.0.0.1:2379", "ftp://a",     "http://", "http://a/b",
                                       "http://u:p@a",   "https://a b", ""};
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct etcdc_opts opts = {.loop = loop, .endpoints = &urls[i], .endpoints_count = 1};
        memset(&err, 0, sizeof(err));
        assert_null(etcdc_new(&opts, &err));
        assert_int_equal(err.code, GTM_EINVAL);
    }
    struct etcdc_opts opts = {.loop = loop};
    assert_null(etcdc_new(&opts, &err));
    const char *good = "http://127.0.0.1:1/";
    opts.endpoints = &good;
    opts.endpoints_count = 1;
    opts.ca = "/does/not/exist";
    assert_null(etcdc_new(&opts, &err));
    gtm_loop_free(loop);
}

/* Cancelled and freed calls give no callback; a list that is cancelled from its page neither. */
static void cancelled(void **state)
{
    struct world w;
    open_world(&w, NULL);
    fake_gateway_set(w.a, &(struct fake_script){.mood = FAKE_SILENT});
    struct etcdc_buf none = etcdc_bytes(NULL, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            etcdc_range(w.c.etcdc, etcdc_str("k"), none, 0, 0, 0, etcd_client_done, &w.c),
            ETCDC_OK);
    etcd_client_run(&w.c, 100);
    etcdc_cancel(w.c.etcdc, &w.c);
    assert_int_equal(etcdc_list(w.c.etcdc, etcdc_str("k"), none, 0, NULL, etcd_client_done, &w.c),
                     ETCDC_OK);
    etcdc_cancel(w.c.etcdc, &w.c);
    assert_int_equal(etcdc_list(w.c.etcdc, etcdc_str("k"), none, 0, NULL, etcd_client_done, &w.c),
                     ETCDC_OK);
    etcd_client_run(&w.c, 50);
    assert_int_equal(w.c.done, 0);
    close_world(&w); /* with one under way */
}

static void too_many(void **state)
{
    struct world w;
    struct etcdc_buf none = etcdc_bytes(NULL, 0);
    open_world(&w, NULL);
    for (int i = 0; i < 4096; i++)
        assert_int_equal(
            etcdc_range(w.c.etcdc, etcdc_str("k"), none, 0, 0, 0, etcd_client_done, &w.c),
            ETCDC_OK);
    assert_int_equal(etcdc_range(w.c.etcdc, etcdc_str("k"), none, 0, 0, 0, etcd_client_done, &w.c),
                     ETCDC_E_TOO_MANY);
    etcd_client_wait(&w.c, &w.c.done, 4096);
    assert_int_equal(fake_gateway_greetings(w.a), 2); /* all waited for the same */
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sent),
        cmocka_unit_test(reads_go_on),
        cmocka_unit_test(writes_are_careful),
        cmocka_unit_test(refusals_are_final),
        cmocka_unit_test(writes_and_headers),
        cmocka_unit_test(nothing_is_written_elsewhere),
        cmocka_unit_test(a_learner_is_left_out),
        cmocka_unit_test(it_waits_for_one),
        cmocka_unit_test(tokens),
        cmocka_unit_test(a_wrong_password_is_no_storm),
        cmocka_unit_test(split_anywhere),
        cmocka_unit_test(wrong_options),
        cmocka_unit_test(cancelled),
        cmocka_unit_test(too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
