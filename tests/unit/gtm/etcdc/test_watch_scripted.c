/* SPDX-License-Identifier: Apache-2.0
 *
 * Watches against gateways that say what a test wants: closing from a callback, and an etcd whose
 * history is not the one that was seen.
 */
#include "gtm/base/loop.h"
#include "gtm/etcdc/etcdc.h"
#include "tests/support/etcd_client.h"
#include "tests/support/fake_gateway.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define HEADER(revision)                                                             \
    "\"header\":{\"cluster_id\":\"77\",\"member_id\":\"1\",\"revision\":\"" revision \
    "\",\"raft_term\":\"5\"}"
#define PUT(key, revision) \
    "{\"kv\":{\"key\":\"" key "\",\"mod_revision\":\"" revision "\",\"value\":\"dg==\"}}"

struct world {
    struct fake_gateway *gateway;
    struct etcd_client c;
    struct etcdc_watch *watch;
    bool closes; /* at the first event */
    unsigned puts, failed, fresh, stale;
    int code;
};

static void on_event(void *arg, const struct etcdc_event *event)
{
    struct world *w = arg;
    w->puts += event->type == ETCDC_PUT;
    w->fresh += event->type == ETCDC_FRESH;
    w->stale += event->type == ETCDC_STALE;
    w->failed += event->type == ETCDC_FAILED;
    if (event->type == ETCDC_FAILED)
        w->code = event->code;
    if (event->type == ETCDC_PUT && w->closes) {
        etcdc_watch_close(w->watch);
        w->watch = NULL;
    }
}

static void begin(struct world *w, int64_t after, const struct fake_script *script)
{
    w->gateway = fake_gateway_new();
    fake_gateway_set(w->gateway, script);
    const char *urls[] = {fake_gateway_url(w->gateway), NULL};
    etcd_client_open(&w->c, urls, NULL);
    struct etcdc_watch_opts opts = {
        .key = etcdc_str("a"), .end = etcdc_str("z"), .after = after, .stale_ms = 2000};
    w->watch = etcdc_watch(w->c.etcdc, &opts, on_event, w);
    assert_non_null(w->watch);
}

static void end(struct world *w)
{
    etcdc_watch_close(w->watch);
    etcd_client_close(&w->c);
    fake_gateway_free(w->gateway);
}

/* Whoever closes a watch from its callback, in the middle of a transaction in fragments, says
 * nothing about the endpoint: it stays in use. */
static void closed_by_its_callback(void **state)
{
    struct world w = {.closes = true};
    const struct fake_script script = {
        .body = "{\"result\":{" HEADER(
            "8") ",\"created\":true}}\n"
                 "{\"result\":{" HEADER("9") ",\"fragment\":true,\"events\":[" PUT(
                     "Yg==", "9") "," PUT("Yw==", "9") "]}}\n"
                                                       "{\"result\":{" HEADER(
                                                           "9") ",\"events\":[" PUT("ZA==",
                                                                                    "9") "]}}\n"};
    struct etcdc_endpoint_info info;
    begin(&w, 8, &script);
    etcd_client_wait(&w.c, &w.puts, 1);
    etcd_client_run(&w.c, 50);
    assert_int_equal(w.puts, 1);
    assert_int_equal(etcdc_endpoints(w.c.etcdc, &info, 1), 1);
    assert_string_equal(info.error, "");
    assert_int_equal(info.ejected_ms, 0);
    end(&w);
}

/* An etcd of the same cluster id and term whose revision is below what has been seen (a restored
 * backup with the same names) takes the watch without a word, and would be silent for long. */
static void history_that_went_back(void **state)
{
    struct world w = {0};
    const struct fake_script script = {
        .body = "{" HEADER("50") ",\"result\":{" HEADER("50") ",\"created\":true}}"};
    begin(&w, 100, &script);
    etcd_client_wait(&w.c, &w.failed, 1);
    assert_int_equal(w.code, ETCDC_E_CLUSTER_CHANGED);
    assert_int_equal(w.fresh, 0);
    end(&w);
}

/* A server that lists, and says "compacted" to every stream, is not asked without pause. */
static void compacted_for_ever(void **state)
{
    struct world w = {0};
    const struct fake_script script = {
        .body = "{" HEADER("50") ",\"result\":{" HEADER(
            "50") ",\"created\":true,\"canceled\":true,\"compact_revision\":\"60\"}}"};
    begin(&w, 0, &script);
    etcd_client_run(&w.c, 1000);
    unsigned asked = fake_gateway_requests(w.gateway);
    assert_in_range(asked, 6, 60);
    end(&w);
}

/* Who was told of a failure is told of its end, also when nothing has changed and ordinary calls
 * went well all the time. */
static void a_failure_has_an_end(void **state)
{
    struct world w = {0};
    const struct fake_script denies = {
        .body = "{" HEADER("8") ",\"result\":{" HEADER(
            "8") ",\"created\":true,\"canceled\":true,\"cancel_reason\":\"permission denied\"}}"};
    const struct fake_script allows = {
        .body = "{" HEADER("8") ",\"result\":{" HEADER("8") ",\"created\":true}}"};
    begin(&w, 8, &allows);
    etcd_client_wait(&w.c, &w.fresh, 1);
    fake_gateway_set(w.gateway, &denies);
    etcd_client_wait(&w.c, &w.failed, 1);
    assert_int_equal(w.code, ETCDC_E_DENIED);
    assert_int_equal(w.fresh, 1);
    fake_gateway_set(w.gateway, &allows);
    etcd_client_wait(&w.c, &w.fresh, 2);
    assert_int_equal(w.stale, 0);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closed_by_its_callback),
        cmocka_unit_test(history_that_went_back),
        cmocka_unit_test(compacted_for_ever),
        cmocka_unit_test(a_failure_has_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
