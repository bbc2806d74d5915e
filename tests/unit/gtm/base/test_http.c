/* SPDX-License-Identifier: Apache-2.0 */
#include "gtm/base/http.h"
#include "gtm/base/loop.h"
#include "gtm/base/mem.h"
#include "tests/support/health_pki.h"
#include "tests/support/health_server.h"
#include "tests/support/health_tls_server.h"
#include "tests/support/temp_dir.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct seen {
    struct gtm_loop *loop;
    unsigned done, wanted;
    int code, status;
    enum gtm_http_sent sent;
    char body[64], address[64], text[256];
    size_t body_len, streamed;
    bool stop_reading;
    struct gtm_http *http;
    struct gtm_http_request *cancel_in_data;
};

static void on_done(void *arg, const struct gtm_http_result *result)
{
    struct seen *seen = arg;
    seen->done++;
    seen->code = result->code;
    seen->status = result->status;
    seen->sent = result->sent;
    seen->body_len = result->body_len;
    snprintf(seen->body, sizeof(seen->body), "%s", result->body);
    snprintf(seen->address, sizeof(seen->address), "%s", result->address);
    snprintf(seen->text, sizeof(seen->text), "%.255s", result->err->text);
    if (seen->done >= seen->wanted)
        gtm_loop_stop(seen->loop);
}

static bool on_data(void *arg, const char *data, size_t len)
{
    struct seen *seen = arg;
    seen->streamed += len;
    if (seen->cancel_in_data) {
        gtm_http_cancel(seen->cancel_in_data);
        seen->cancel_in_data = NULL;
        gtm_loop_stop(seen->loop);
    }
    return !seen->stop_reading;
}

static void too_long(void *arg)
{
    (void)arg;
    fail_msg("no end within 10 s");
}

static void run(struct seen *seen)
{
    struct gtm_timer *guard = gtm_timer_new(seen->loop, too_long, NULL);
    gtm_timer_start(guard, 10000);
    gtm_loop_run(seen->loop);
    gtm_timer_free(guard);
}

static void on_stop(void *arg)
{
    gtm_loop_stop(arg);
}

static void run_for(struct seen *seen, unsigned ms)
{
    struct gtm_timer *timer = gtm_timer_new(seen->loop, on_stop, seen->loop);
    gtm_timer_start(timer, ms);
    gtm_loop_run(seen->loop);
    gtm_timer_free(timer);
}

static struct gtm_http *client(struct seen *seen, struct gtm_http_opts opts)
{
    struct gtm_error err = {0};
    memset(seen, 0, sizeof(*seen));
    seen->wanted = 1;
    seen->loop = gtm_loop_new();
    opts.loop = seen->loop;
    seen->http = gtm_http_new(&opts, &err);
    assert_non_null(seen->http);
    return seen->http;
}

static void end(struct seen *seen)
{
    gtm_http_free(seen->http);
    gtm_loop_free(seen->loop);
}

static struct gtm_http_ask ask_for(struct seen *seen, const char *url)
{
    return (struct gtm_http_ask){
        .method = "GET", .url = url, .timeout_ms = 3000, .done = on_done, .arg = seen};
}

static void url_of(char out[64], const struct server *server)
{
    snprintf(out, 64, "http://127.0.0.1:%u/x", server_port(server));
}

static void start(struct seen *seen, const struct gtm_http_ask *ask)
{
    unsigned before = seen->done;
    assert_int_equal(gtm_http_start(seen->http, ask, NULL), GTM_OK);
    assert_int_equal(seen->done, before); /* never from inside */
}

static void an_answer(void **state)
{
    struct seen seen;
    char url[64];
    struct server *server = server_new(SERVER_OK, 0);
    client(&seen, (struct gtm_http_opts){0});
    url_of(url, server);
    struct gtm_http_ask ask = ask_for(&seen, url);
    const char *headers[] = {"X-Mine: 7", NULL};
    ask.method = "POST";
    ask.body = "{}";
    ask.body_len = 2;
    ask.headers = headers;
    start(&seen, &ask);
    run(&seen);
    assert_int_equal(seen.code, GTM_OK);
    assert_int_equal(seen.status, 200);
    assert_string_equal(seen.body, "all is well");
    assert_int_equal(seen.sent, GTM_HTTP_SENT);
    char address[64];
    snprintf(address, sizeof(address), "127.0.0.1:%u", server_port(server));
    assert_string_equal(seen.address, address);
    const char *head = server_first_request(server);
    assert_non_null(strstr(head, "POST /x HTTP/1.1\r\n"));
    assert_non_null(strstr(head, "\r\nX-Mine: 7\r\n"));
    assert_null(strstr(head, "Expect:"));
    server_set_mood(server, SERVER_UNAVAILABLE); /* an answer of any status is an answer */
    start(&seen, &ask);
    run(&seen);
    assert_int_equal(seen.code, GTM_OK);
    assert_int_equal(seen.status, 503);
    server_set_mood(server, SERVER_REDIRECTS); /* not followed */
    start(&seen, &ask);
    run(&seen);
    assert_int_equal(seen.status, 302);
    assert_int_equal(server_accepts(server), 1);
    end(&seen);
    server_free(server);
}

static void how_far_a_failure_got(void **state)
{
    struct seen seen;
    char url[64];
    struct server *server = server_new(SERVER_SILENT, 0);
    client(&seen, (struct gtm_http_opts){0});
    url_of(url, server);
    struct gtm_http_ask ask = ask_for(&seen, url);
    ask.timeout_ms = 100;
    start(&seen, &ask);
    run(&seen);
    assert_int_equal(seen.code, GTM_ETIMEOUT);
    assert_int_equal(seen.sent, GTM_HTTP_SENT);
    server_set_mood(server, SERVER_RESETS);
    start(&seen, &ask);
    run(&seen);
    assert_int_equal(seen.code, GTM_EIO);
    assert_int_equal(seen.sent, GTM_HTTP_SENT);
    server_kill(server);
    start(&seen, &ask);
    run(&seen);
    assert_int_equal(seen.code, GTM_EUNREACHABLE);
    assert_int_equal(seen.sent, GTM_HTTP_NOT_SENT);
    assert_string_not_equal(seen.text, "");
    ask.url = "http://does-not-exist.invalid/";
    ask.timeout_ms = 3000;
    start(&seen, &ask);
    run(&seen);
    assert_int_equal(seen.sent, GTM_HTTP_NOT_SENT);
    assert_int_not_equal(seen.code, GTM_OK);
    end(&seen);
    server_free(server);
}

/* A kept-alive connection that dies under the second request: repeated for who allows it, never for
 * `once`. */
static void once_is_once(void **state)
{
    char url[64];
    for (int once = 0; once <= 1; once++) {
        struct seen seen;
        struct server *server = server_new(SERVER_CLOSES_REUSED, 0);
        client(&seen, (struct gtm_http_opts){0});
        url_of(url, server);
        struct gtm_http_ask ask = ask_for(&seen, url);
        ask.method = "POST";
        ask.body = "{\"a\":1}";
        ask.body_len = 7;
        ask.once = once;
        start(&seen, &ask);
        run(&seen);
        assert_int_equal(seen.status, 200);
        start(&seen, &ask);
        run(&seen);
        assert_int_equal(server_requests(server), once ? 2 : 3);
        assert_int_equal(seen.code, once ? GTM_EIO : GTM_OK);
        assert_int_equal(seen.sent, GTM_HTTP_SENT);
        end(&seen);
        server_free(server);
    }
}

static void a_bound_of_the_body(void **state)
{
    struct seen seen;
    char url[64];
    struct server *server = server_new(SERVER_LARGE_BODY, 0);
    client(&seen, (struct gtm_http_opts){0});
    url_of(url, server);
    struct gtm_http_ask ask = ask_for(&seen, url);
    ask.body_max = 1000;
    start(&seen, &ask);
    run(&seen);
    assert_int_equal(seen.code, GTM_ELIMIT);
    assert_true(seen.body_len <= 1000);
    ask.body_max = 2 << 20;
    start(&seen, &ask);
    run(&seen);
    assert_int_equal(seen.code, GTM_OK);
    assert_true(seen.body_len >= 1 << 20);
    server_set_mood(server, SERVER_TRUNCATES);
    start(&seen, &ask);
    run(&seen);
    assert_int_equal(seen.code, GTM_EIO);
    end(&seen);
    server_free(server);
}

static void a_stream(void **state)
{
    struct seen seen;
    char url[64];
    struct server *server = server_new(SERVER_SPLIT_BODY, 0);
    client(&seen, (struct gtm_http_opts){0});
    url_of(url, server);
    struct gtm_http_ask ask = ask_for(&seen, url);
    ask.on_data = on_data;
    ask.fresh = true;
    ask.timeout_ms = 0;
    start(&seen, &ask);
    run(&seen);
    assert_int_equal(seen.code, GTM_OK);
    assert_int_equal(seen.streamed, strlen("all is well"));
    assert_string_equal(seen.body, ""); /* streamed, not kept */
    start(&seen, &ask);
    run(&seen);
    assert_int_equal(server_accepts(server), 2); /* fresh */

    server_set_mood(server, SERVER_ENDLESS_BODY); /* ended by its reader */
    seen.stop_reading = true;
    start(&seen, &ask);
    run(&seen);
    assert_int_equal(seen.code, GTM_EIO);

    seen.stop_reading = false; /* cancelled from its own data: no end comes */
    unsigned before = seen.done;
    assert_int_equal(gtm_http_start(seen.http, &ask, &seen.cancel_in_data), GTM_OK);
    run(&seen);
    run_for(&seen, 20);
    assert_int_equal(seen.done, before);

    server_set_mood(server, SERVER_SILENT); /* nothing comes */
    ask.idle_ms = 50;
    start(&seen, &ask);
    run(&seen);
    assert_int_equal(seen.code, GTM_ETIMEOUT);
    server_set_mood(server, SERVER_UNAVAILABLE); /* the body of a failure is kept */
    size_t streamed = seen.streamed;
    start(&seen, &ask);
    run(&seen);
    assert_int_equal(seen.status, 503);
    assert_int_equal(seen.streamed, streamed);
    end(&seen);
    server_free(server);
}

static void cancel_and_free(void **state)
{
    struct seen seen;
    char url[64];
    struct server *server = server_new(SERVER_SILENT, 0);
    client(&seen, (struct gtm_http_opts){.connections = 2});
    url_of(url, server);
    struct gtm_http_ask ask = ask_for(&seen, url);
    struct gtm_http_request *requests[5]; /* three of them wait for a connection */
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(gtm_http_start(seen.http, &ask, &requests[i]), GTM_OK);
    run_for(&seen, 50);
    assert_int_equal(server_accepts(server), 2);
    gtm_http_cancel(requests[0]);
    gtm_http_cancel(requests[4]);
    gtm_http_cancel(NULL);
    run_for(&seen, 50);
    assert_int_equal(seen.done, 0);
    assert_int_equal(server_accepts(server), 3); /* the place of the first was taken */
    end(&seen);                                  /* with three under way */
    server_free(server);
}

static void reset_connects_anew(void **state)
{
    struct seen seen;
    char url[64];
    struct server *server = server_new(SERVER_OK, 0);
    client(&seen, (struct gtm_http_opts){0});
    url_of(url, server);
    struct gtm_http_ask ask = ask_for(&seen, url);
    for (int i = 0; i < 3; i++) {
        start(&seen, &ask);
        run(&seen);
    }
    assert_int_equal(server_accepts(server), 1);
    gtm_http_reset(seen.http);
    start(&seen, &ask);
    run(&seen);
    assert_int_equal(server_accepts(server), 2);
    server_set_mood(server, SERVER_SLOW); /* what is under way is not disturbed */
    start(&seen, &ask);
    run_for(&seen, 30);
    gtm_http_reset(seen.http);
    run(&seen);
    assert_int_equal(seen.code, GTM_OK);
    assert_int_equal(seen.status, 200);
    end(&seen);
    server_free(server);
}

static void wrong_asks(void **state)
{
    struct seen seen;
    client(&seen, (struct gtm_http_opts){0});
    struct gtm_http_request *request;
    const char *urls[] = {"", "ftp://127.0.0.1/", "http://", "127.0.0.1", "file:///etc/passwd"};
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct gtm_http_ask ask = ask_for(&seen, urls[i]);
        assert_int_equal(gtm_http_start(seen.http, &ask, &request), GTM_EINVAL);
        assert_null(request);
    }
    struct gtm_http_ask ask = ask_for(&seen, "http://127.0.0.1:1/");
    ask.body_max = GTM_HTTP_BODY_MAX + 1;
    assert_int_equal(gtm_http_start(seen.http, &ask, NULL), GTM_EINVAL);
    ask.body_max = 0;
    for (unsigned i = 0; i < 4096; i++)
        assert_int_equal(gtm_http_start(seen.http, &ask, NULL), GTM_OK);
    assert_int_equal(gtm_http_start(seen.http, &ask, NULL), GTM_ELIMIT);
    end(&seen);
    struct gtm_error err = {0};
    struct gtm_http_opts opts = {.loop = gtm_loop_new(), .tls.ca = "/does/not/exist"};
    assert_null(gtm_http_new(&opts, &err));
    assert_int_equal(err.code, GTM_ENOTFOUND);
    gtm_loop_free(opts.loop);
}

static void without_memory(void **state)
{
    struct seen seen;
    struct server *server = server_new(SERVER_OK, 0);
    char url[64];
    url_of(url, server);
    client(&seen, (struct gtm_http_opts){0});
    struct gtm_http_ask ask = ask_for(&seen, url);
    ask.idle_ms = 1000;
    ask.method = "POST";
    ask.body = "x";
    ask.body_len = 1;
    unsigned failed = 0;
    for (unsigned n = 1; n < 30; n++) {
        gtm_mem_fail_at(n, 0);
        int rc = gtm_http_start(seen.http, &ask, NULL);
        if (rc == GTM_OK)
            run(&seen);
        gtm_mem_fail_at(0, 0);
        failed += rc == GTM_ENOMEM;
        assert_true(rc == GTM_OK || rc == GTM_ENOMEM);
    }
    assert_true(failed >= 3);
    end(&seen);
    server_free(server);
}

/* Nodes are known by what their certificate says, wherever they are. */
static void a_server_by_its_identity(void **state)
{
    (void)state;
    char dir[64], url[64];
    struct pki_cert ca, node;
    struct seen seen;
    assert_int_equal(test_temp_dir_make("tls", dir), 0);
    pki_make(&ca, &(struct pki_want){.name = "ca", .authority = true}, dir);
    pki_make(&node,
             &(struct pki_want){
                 .name = "a", .san = "DNS:elsewhere,URI:gtm:node/us-east/a", .issuer = &ca},
             dir);
    struct tls_server *server = tls_server_new(&(struct tls_server_want){.pem = node.path});
    snprintf(url, sizeof(url), "https://127.0.0.1:%u/", tls_server_port(server));
    static const struct {
        const char *uri;
        int code;
    } cases[] = {{"gtm:node/us-east/a", GTM_OK},
                 {"gtm:node/us-east/b", GTM_EDENIED},
                 {"gtm:node/us-east/a1", GTM_EDENIED},
                 {"gtm:node/us-east/", GTM_EDENIED},
                 {NULL, GTM_EDENIED}}; /* then the host's name counts */
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        client(&seen, (struct gtm_http_opts){.tls = {.ca = ca.path, .uri = cases[i].uri}});
        struct gtm_http_ask ask = ask_for(&seen, url);
        start(&seen, &ask);
        run(&seen);
        assert_int_equal(seen.code, cases[i].code);
        if (cases[i].uri && cases[i].code)
            assert_non_null(strstr(seen.text, "the server is gtm:node/us-east/a, gtm:node"));
        end(&seen);
    }
    /* Without TLS nobody would look at it. */
    client(&seen, (struct gtm_http_opts){.tls = {.uri = "gtm:node/us-east/a"}});
    struct gtm_http_ask plain = ask_for(&seen, "http://127.0.0.1:1/");
    assert_int_equal(gtm_http_start(seen.http, &plain, NULL), GTM_EINVAL);
    end(&seen);
    tls_server_free(server);
    pki_free(&node);
    pki_free(&ca);
    (void)test_temp_dir_remove(dir);
}

/* With TLS 1.3 a refusal of our certificate may be seen as a reset only: then the text names the
 * certificate. */
static void a_reset_after_the_handshake(void **state)
{
    (void)state;
    char dir[64], url[64];
    struct pki_cert ca, node;
    struct seen seen;
    assert_int_equal(test_temp_dir_make("tls", dir), 0);
    pki_make(&ca, &(struct pki_want){.name = "ca", .authority = true}, dir);
    pki_make(&node, &(struct pki_want){.name = "a", .san = "IP:127.0.0.1", .issuer = &ca}, dir);
    struct tls_server *server =
        tls_server_new(&(struct tls_server_want){.pem = node.path, .reset = 1});
    snprintf(url, sizeof(url), "https://127.0.0.1:%u/", tls_server_port(server));
    const char *mine[] = {node.path, NULL}; /* who shows none has none that could be refused */
    for (int i = 0; i < 2; i++) {
        client(&seen,
               (struct gtm_http_opts){.tls = {.ca = ca.path, .cert = mine[i], .key = mine[i]}});
        struct gtm_http_ask ask = ask_for(&seen, url);
        start(&seen, &ask);
        run(&seen);
        assert_int_equal(seen.code, GTM_EIO);
        assert_int_equal(strstr(seen.text, "our certificate may be refused") != NULL, i == 0);
        end(&seen);
    }
    tls_server_free(server);
    pki_free(&node);
    pki_free(&ca);
    (void)test_temp_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer),
        cmocka_unit_test(how_far_a_failure_got),
        cmocka_unit_test(once_is_once),
        cmocka_unit_test(a_bound_of_the_body),
        cmocka_unit_test(a_stream),
        cmocka_unit_test(cancel_and_free),
        cmocka_unit_test(reset_connects_anew),
        cmocka_unit_test(wrong_asks),
        cmocka_unit_test(a_server_by_its_identity),
        cmocka_unit_test(a_reset_after_the_handshake),
        cmocka_unit_test(without_memory),
    };
    signal(SIGPIPE, SIG_IGN); /* a server whose client hangs up in the handshake */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
