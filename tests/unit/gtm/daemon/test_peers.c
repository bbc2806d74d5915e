/* SPDX-License-Identifier: Apache-2.0
 *
 * Other nodes, asked over real mutual TLS in one loop: who is asked, whose certificate is taken,
 * what is kept of an answer, and that odd entries and answers hurt nobody.
 */
#include "gtm/daemon/peers.h"

#include "gtm/base/loop.h"
#include "gtm/base/mem.h"
#include "gtm/base/tls.h"
#include "gtm/coord/store_file.h"
#include "gtm/daemon/listener.h"
#include "tests/support/health_pki.h"
#include "tests/support/temp_dir.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct world {
    char dir[TEST_TEMP_DIR_BYTES], api[64];
    struct pki_cert ca, a, b;
    struct gtm_loop *loop;
    struct gtm_store *store;
    struct gtm_listener *server; /* node b */
    struct gtm_peers *peers;     /* of node a */
    const char *answer;
    int status;
    unsigned asked;
};

static void on_request(struct evhttp_request *http, void *arg)
{
    struct world *w = arg;
    struct evbuffer *out = evbuffer_new();
    w->asked++;
    assert_string_equal(evhttp_request_get_uri(http), "/api/v1/peer");
    evbuffer_add(out, w->answer, strlen(w->answer));
    evhttp_send_reply(http, w->status, "x", out);
    evbuffer_free(out);
}

#define GOOD                                                                                \
    "{\"kind\":\"Peer\",\"item\":{\"node\":\"b\",\"region\":\"us-east\",\"mode\":\"lead\"," \
    "\"view\":"                                                                             \
    "7,\"intent\":3,\"serving\":true,\"sees\":[\"a\",\"c\",5]}}"

static SSL_CTX *server_tls(struct world *w, const struct pki_cert *cert)
{
    struct gtm_error err = {0};
    SSL_CTX *tls = gtm_tls_server(
        &(struct gtm_tls_files){"api.tls", w->ca.path, cert->path, cert->path}, &err);
    assert_non_null(tls);
    return tls;
}

static int set_up(void **state)
{
    static struct world w;
    struct gtm_error err = {0}, damage = {0};
    memset(&w, 0, sizeof(w));
    *state = &w;
    assert_int_equal(test_temp_dir_make("peers", w.dir), 0);
    pki_make(&w.ca, &(struct pki_want){.name = "ca", .authority = true}, w.dir);
    pki_make(&w.a,
             &(struct pki_want){.name = "a",
                                .san = "URI:gtm:node/us-east/a",
                                .usage = "serverAuth,clientAuth",
                                .issuer = &w.ca},
             w.dir);
    pki_make(&w.b,
             &(struct pki_want){.name = "b",
                                .san = "URI:gtm:node/us-east/b",
                                .usage = "serverAuth,clientAuth",
                                .issuer = &w.ca},
             w.dir);
    w.loop = gtm_loop_new();
    w.answer = GOOD;
    w.status = 200;
    assert_int_equal(gtm_store_file_open(w.loop, w.dir, &w.store, &damage, &err), GTM_OK);
    struct gtm_listen at = {.addr_len = sizeof(struct sockaddr_in), .text = "127.0.0.1:0"};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    memcpy(&at.addr, &v4, sizeof(v4));
    int fd = gtm_listener_socket(&at, "test", &err);
    assert_true(fd >= 0);
    SSL_CTX *tls = server_tls(&w, &w.b);
    w.server = gtm_listener_new(&(struct gtm_listener_opts){.loop = w.loop,
                                                            .clock = gtm_clock_system(),
                                                            .connections_max = 16,
                                                            .handshake_ms = 5000,
                                                            .idle_ms = 5000,
                                                            .io_timeout_s = 5,
                                                            .header_max = 8192,
                                                            .body_max = 8192,
                                                            .request = on_request,
                                                            .arg = &w},
                                fd, tls, &err);
    SSL_CTX_free(tls);
    assert_non_null(w.server);
    snprintf(w.api, sizeof(w.api), "127.0.0.1:%u", gtm_listener_port(w.server));
    w.peers = gtm_peers_new(&(struct gtm_peers_opts){.loop = w.loop,
                                                     .clock = gtm_clock_system(),
                                                     .store = w.store,
                                                     .name = "a",
                                                     .ca = w.ca.path,
                                                     .cert = w.a.path,
                                                     .key = w.a.path,
                                                     .every_ms = 200,
                                                     .seed = 1});
    assert_non_null(w.peers);
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    gtm_peers_free(w->peers);
    gtm_listener_free(w->server);
    /* A connection that ends in the middle of something is given back by the next turn of the loop.
     */
    event_base_loop(gtm_loop_base(w->loop), EVLOOP_NONBLOCK);
    gtm_store_close(w->store);
    gtm_loop_free(w->loop);
    pki_free(&w->a);
    pki_free(&w->b);
    pki_free(&w->ca);
    return test_temp_dir_remove(w->dir);
}

static void put(struct world *w, const char *key, const char *value)
{
    const struct gtm_store_change change = {.kind = value ? GTM_STORE_PUT : GTM_STORE_DELETE,
                                            .key = key,
                                            .value = value,
                                            .value_len = value ? strlen(value) : 0,
                                            .expect = GTM_STORE_ANY};
    assert_int_equal(gtm_store_commit(w->store, &change, 1, NULL, NULL), GTM_OK);
}

static void put_node(struct world *w, const char *name, const char *region, const char *api)
{
    char key[128], value[256];
    snprintf(key, sizeof(key), "node/%s", name);
    snprintf(value, sizeof(value),
             "{\"v\":1,\"node\":\"%s\",\"region\":\"%s\",\"api\":\"%s\",\"roles\":[\"dns\"]}", name,
             region, api);
    put(w, key, value);
}

struct until {
    struct world *w;
    bool (*done)(const struct world *w);
    struct gtm_timer *timer;
    unsigned turns;
};

static void look(void *arg)
{
    struct until *until = arg;
    if (until->done(until->w) || ++until->turns > 1000)
        gtm_loop_stop(until->w->loop);
    else
        gtm_timer_start(until->timer, 10);
}

static void run_until(struct world *w, bool (*done)(const struct world *w), const char *what)
{
    struct until until = {.w = w, .done = done};
    until.timer = gtm_timer_new(w->loop, look, &until);
    gtm_timer_start(until.timer, 1);
    gtm_loop_run(w->loop);
    gtm_timer_free(until.timer);
    if (!done(w)) {
        const struct gtm_peer *b = gtm_peers_get(w->peers, "b");
        fail_msg("not within 10 s: %s; error: %s", what, b ? b->error : "(no peer)");
    }
}

static bool b_up(const struct world *w)
{
    const struct gtm_peer *b = gtm_peers_get(w->peers, "b");
    return b && b->up;
}

static bool b_failed(const struct world *w)
{
    const struct gtm_peer *b = gtm_peers_get(w->peers, "b");
    return b && !b->up && b->failures > 0;
}

static bool b_gone(const struct world *w)
{
    const struct gtm_peer *b = gtm_peers_get(w->peers, "b");
    return b && !b->listed;
}

static void count_one(void *arg, const struct gtm_peer *peer)
{
    (void)peer;
    ++*(unsigned *)arg;
}

static unsigned count(const struct world *w)
{
    unsigned n = 0;
    gtm_peers_each(w->peers, count_one, &n);
    return n;
}

static bool asked_twice(const struct world *w)
{
    return w->asked >= 2;
}

static void is(struct gtm_json *list, const char *want)
{
    char *text = gtm_json_print(list, false);
    assert_string_equal(text, want);
    gtm_free(text);
    gtm_json_free(list);
}

static void an_answer_is_kept(void **state)
{
    struct world *w = *state;
    put_node(w, "b", "us-east", w->api);
    put_node(w, "a", "us-east", w->api); /* this node itself */
    run_until(w, b_up, "b answers");
    const struct gtm_peer *b = gtm_peers_get(w->peers, "b");
    assert_int_equal(count(w), 1);
    assert_string_equal(b->region, "us-east");
    assert_string_equal(b->mode, "lead");
    assert_int_equal(b->view, 7);
    assert_int_equal(b->intent, 3);
    assert_true(b->serving && b->listed);
    assert_true(b->latency_us > 0 && b->answered_ms > 0);
    assert_int_equal(b->failures, 0);
    is(gtm_peers_seen_by(w->peers, "c"), "[\"b\"]");
    is(gtm_peers_seen_by(w->peers, "b"), "[\"a\"]");
    struct gtm_metrics m = {0};
    gtm_peers_metrics(w->peers, &m);
    assert_non_null(strstr(m.out.data, "gtm_peer_up{peer=\"b\"} 1"));
    gtm_buf_fini(&m.out);
}

/* b says its time of day. */
static const struct gtm_peer *when_b_says(struct world *w, int64_t now_ms)
{
    char answer[128];
    snprintf(answer, sizeof(answer), "{\"item\":{\"node\":\"b\",\"sees\":[],\"now\":%lld}}",
             (long long)now_ms);
    w->answer = answer;
    unsigned asked = w->asked;
    while (w->asked < asked + 3) /* the first may have been under way */
        run_until(w, b_up, "b answers");
    w->answer = GOOD;
    return gtm_peers_get(w->peers, "b");
}

static void clocks_are_compared(void **state)
{
    struct world *w = *state;
    const struct gtm_clock *clock = gtm_clock_system();
    const int64_t ahead[] = {3600000, -3600000};
    put_node(w, "b", "us-east", w->api);
    run_until(w, b_up, "b answers");
    assert_false(gtm_peers_get(w->peers, "b")->has_clock); /* it does not say */
    for (size_t i = 0; i < 2; i++) {
        const struct gtm_peer *b = when_b_says(w, gtm_wall_ms(clock) + ahead[i]);
        assert_true(b->has_clock);
        assert_in_range(gtm_peer_ahead_ms(b, clock) - ahead[i] + 30000, 0, 60000);
    }
    gtm_clock_set_test_offset_ms(-7200000); /* this node's steps: known at once */
    int64_t ahead_ms = gtm_peer_ahead_ms(gtm_peers_get(w->peers, "b"), clock);
    gtm_clock_set_test_offset_ms(0);
    assert_in_range(ahead_ms - 3600000 + 30000, 0, 60000);
    assert_int_equal(gtm_peers_clock_off_ms(w->peers), 0); /* one against one */
    assert_false(when_b_says(w, -5)->has_clock);
    assert_false(when_b_says(w, INT64_C(1) << 61)->has_clock);
    assert_int_equal(gtm_peers_clock_off_ms(NULL), 0);
}

static bool c_failed(const struct world *w)
{
    const struct gtm_peer *c = gtm_peers_get(w->peers, "c");
    return b_up(w) && c && c->failures > 0;
}

/* a asks b and c; b sees a and c, and not d; c does not answer a. */
static void who_does_not_see_whom(void **state)
{
    struct world *w = *state;
    put_node(w, "b", "us-east", w->api);
    put_node(w, "c", "us-east", "127.0.0.1:1");
    run_until(w, c_failed, "b answers, and c does not");
    is(gtm_peers_seen_by(w->peers, "a"), "[\"b\"]");
    is(gtm_peers_unseen_by(w->peers, "a"), "[]");
    is(gtm_peers_unheard(w->peers, "a"), "[\"c\"]");
    is(gtm_peers_unseen_by(w->peers, "b"), "[]"); /* nobody has a word on himself */
    is(gtm_peers_unheard(w->peers, "b"), "[\"c\"]");
    is(gtm_peers_seen_by(w->peers, "c"), "[\"b\"]");
    is(gtm_peers_unseen_by(w->peers, "c"), "[\"a\"]");
    is(gtm_peers_unheard(w->peers, "c"), "[]");
    is(gtm_peers_unseen_by(w->peers, "d"), "[\"b\"]");
    w->answer = "{\"item\":{\"node\":\"b\",\"sees\":[]}}";
    w->asked = 0;
    run_until(w, asked_twice, "b sees nobody");
    is(gtm_peers_seen_by(w->peers, "a"), "[]");
    is(gtm_peers_unseen_by(w->peers, "a"), "[\"b\"]");
    put(w, "node/c", NULL);
    put(w, "node/b", NULL);
    run_until(w, b_gone, "their entries went");
    is(gtm_peers_unseen_by(w->peers, "a"), "[]"); /* who left is not missed */
    is(gtm_peers_unheard(w->peers, "a"), "[]");
    is(gtm_peers_unseen_by(NULL, "a"), "[]");
    is(gtm_peers_unheard(NULL, "a"), "[]");
}

static void another_node_answers(void **state)
{
    struct world *w = *state;
    put_node(w, "b", "eu-west", w->api); /* the certificate says us-east */
    run_until(w, b_failed, "b's certificate is refused");
    const struct gtm_peer *b = gtm_peers_get(w->peers, "b");
    assert_int_equal(w->asked, 0);
    assert_non_null(strstr(b->error, "gtm:node/us-east/b"));
    put_node(w, "b", "us-east", w->api);
    run_until(w, b_up, "b answers as itself");
    w->answer = "{\"item\":{\"node\":\"c\"}}";
    run_until(w, b_failed, "b answers as c");
    w->answer = GOOD;
    run_until(w, b_up, "b answers again");
    w->answer = "no json";
    run_until(w, b_failed, "b answers nonsense");
    w->answer = GOOD;
    run_until(w, b_up, "b answers once more");
    w->status = 503;
    run_until(w, b_failed, "b is busy");
}

static void a_certificate_is_replaced(void **state)
{
    struct world *w = *state;
    struct pki_cert other;
    put_node(w, "b", "us-east", w->api);
    run_until(w, b_up, "b answers");
    pki_make(&other, &(struct pki_want){.name = "other", .authority = true}, w->dir);
    gtm_peers_renew(w->peers, other.path, w->a.path, w->a.path);
    run_until(w, b_failed, "b is not of the new CA");
    gtm_peers_renew(w->peers, w->ca.path, w->a.path, w->a.path);
    run_until(w, b_up, "b answers again");
    gtm_peers_renew(w->peers, w->ca.path, "/nowhere", w->a.path);
    run_until(w, b_failed, "no certificate");
    assert_non_null(strstr(gtm_peers_get(w->peers, "b")->error, "/nowhere"));
    pki_free(&other);
}

static void odd_entries(void **state)
{
    struct world *w = *state;
    put(w, "node/x1", "nonsense");
    put(w, "node/x2", "{\"region\":\"us-east\"}");
    put(w, "node/x3", "{\"region\":5,\"api\":{}}");
    put(w, "node/x4", "{\"region\":\"us-east\",\"api\":\"a b:1\"}");
    put(w, "node/x5", "{\"region\":\"../x\",\"api\":\"127.0.0.1:1\"}");
    put(w, "node/X6", "{\"region\":\"us-east\",\"api\":\"127.0.0.1:1\"}");
    put(w, "node/x7/y", "{\"region\":\"us-east\",\"api\":\"127.0.0.1:1\"}");
    put_node(w, "b", "us-east", w->api);
    run_until(w, b_up, "b answers");
    assert_int_equal(count(w), 1);
    put(w, "node/b", NULL);
    run_until(w, b_gone, "b's entry went");
    assert_true(gtm_peers_get(w->peers, "b")->up); /* and is asked on */
}

static bool many_listed(const struct world *w)
{
    return count(w) >= GTM_PEERS_MAX;
}

static void a_bound(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < GTM_PEERS_MAX + 20; i++) {
        char name[16];
        snprintf(name, sizeof(name), "n%u", i);
        put_node(w, name, "us-east", "127.0.0.1:1");
    }
    run_until(w, many_listed, "as many as are asked");
    assert_int_equal(count(w), GTM_PEERS_MAX);
    assert_null(gtm_peers_get(NULL, "b"));
    gtm_peers_each(NULL, count_one, NULL);
    gtm_peers_free(NULL);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_answer_is_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(clocks_are_compared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_does_not_see_whom, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_node_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_certificate_is_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(odd_entries, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_bound, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
