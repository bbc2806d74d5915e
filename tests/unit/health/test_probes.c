/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of health/probe_http and health/probe_tcp against real servers on loopback, most of them
 * badly behaved.
 */
#include "tests/support/health_server.h"
#include "tests/support/health_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEASURE_MEMORY 0 /* shadow memory says nothing about ours */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MEASURE_MEMORY 0
#else
#define MEASURE_MEMORY 1
#endif
#else
#define MEASURE_MEMORY 1
#endif

static long resident_kib(void)
{
    char line[128], *end = NULL;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof(line), f));
    fclose(f);
    strtol(line, &end, 10); /* the whole size; the second number is what is resident */
    return strtol(end, NULL, 10) * (sysconf(_SC_PAGESIZE) / 1024);
}

struct bad {
    const char *key;
    enum server_mood mood;
    const char *expect_body;
    enum health_result result;
    const char *evidence;
};

static const struct bad bads[] = {
    {"silent", SERVER_SILENT, NULL, HEALTH_RESULT_TIMEOUT, "no answer in 300 ms"},
    {"unavailable", SERVER_UNAVAILABLE, NULL, HEALTH_RESULT_STATUS, "HTTP 503, wanted 200..299"},
    {"garbage", SERVER_GARBAGE, NULL, HEALTH_RESULT_GARBAGE, "the answer is not HTTP"},
    {"headers", SERVER_ENDLESS_HEADERS, NULL, HEALTH_RESULT_GARBAGE, "headers too large"},
    {"line", SERVER_ENDLESS_LINE, NULL, HEALTH_RESULT_GARBAGE, "headers too large"},
    {"continues", SERVER_CONTINUES, NULL, HEALTH_RESULT_GARBAGE, "headers too large"},
    {"endless", SERVER_ENDLESS_BODY, NULL, HEALTH_RESULT_GARBAGE, "the body does not end"},
    {"endless-found", SERVER_ENDLESS_BODY, "well", HEALTH_RESULT_GARBAGE, "the body does not end"},
    {"endless-lacks", SERVER_ENDLESS_BODY, "nowhere", HEALTH_RESULT_BODY, "body lacks \"nowhere\""},
    {"trickles", SERVER_TRICKLES, NULL, HEALTH_RESULT_TIMEOUT, "answer not complete in 300 ms"},
    {"trickles-header", SERVER_TRICKLES_HEADER, NULL, HEALTH_RESULT_TIMEOUT,
     "headers not complete in 300 ms"},
    {"lacks", SERVER_OK, "welll", HEALTH_RESULT_BODY, "body lacks \"welll\""},
    {"large-lacks", SERVER_LARGE_BODY, "nowhere", HEALTH_RESULT_BODY, "body lacks \"nowhere\""},
    {"bad-chunk", SERVER_BAD_CHUNK, NULL, HEALTH_RESULT_GARBAGE, "malformed body encoding"},
    {"truncates", SERVER_TRUNCATES, NULL, HEALTH_RESULT_RESET,
     "connection closed before the answer's end"},
    {"headers-only", SERVER_HEADERS_ONLY, NULL, HEALTH_RESULT_RESET,
     "connection closed before the answer's end"},
    {"closes", SERVER_CLOSES, NULL, HEALTH_RESULT_RESET, "connection closed without an answer"},
    {"resets", SERVER_RESETS, NULL, HEALTH_RESULT_RESET, "connection reset without an answer"},
};
#define BADS (sizeof(bads) / sizeof(bads[0]))

/* All at once, beside a good one that must not notice. */
static void bad_servers_fail_in_time_and_memory(void **state)
{
    static struct world w;
    struct server *servers[BADS], *good = server_new(SERVER_OK, 0);
    world_init(&w);
    world_add(&w, "good", server_port(good));
    for (size_t i = 0; i < BADS; i++) {
        servers[i] = server_new(bads[i].mood, 0);
        world_add(&w, bads[i].key, server_port(servers[i]));
        world_monitor(&w, bads[i].key)->expect_body = (char *)bads[i].expect_body;
    }
    world_monitor(&w, "good")->timeout_ms = 2000; /* the machine may be busy */
    long before = resident_kib();
    world_apply(&w);
    for (size_t i = 0; i < BADS; i++) {
        world_wait(&w, bads[i].key, GTM_HEALTH_DOWN);
        struct health_report r = world_wait_result(&w, bads[i].key, bads[i].result);
        if (strcmp(r.evidence, bads[i].evidence) != 0)
            fail_msg("%s: %s, wanted %s", bads[i].key, r.evidence, bads[i].evidence);
        assert_true(r.probes_failed >= 2);
        assert_int_equal(r.passes, 0);
    }
    struct health_report r = world_wait_probes(&w, "good", 10);
    assert_int_equal(r.health, GTM_HEALTH_UP);
    assert_int_equal(r.probes_failed, 0);
    if (MEASURE_MEMORY)
        assert_true(resident_kib() - before < 32 * 1024);
    world_fini(&w);
    for (size_t i = 0; i < BADS; i++)
        server_free(servers[i]);
    server_free(good);
}

static void redirects_are_content_and_not_followed(void **state)
{
    static uint16_t only_200[] = {200, 204}, also_302[] = {302};
    static struct world w;
    struct server *s = server_new(SERVER_REDIRECTS, 0);
    world_init(&w);
    world_add(&w, "strict", server_port(s));
    world_monitor(&w, "strict")->expect_status = only_200;
    world_monitor(&w, "strict")->expect_status_count = 2;
    world_add(&w, "wants", server_port(s));
    world_monitor(&w, "wants")->expect_status = also_302;
    world_monitor(&w, "wants")->expect_status_count = 1;
    world_add(&w, "default", server_port(s));
    world_apply(&w);
    struct health_report r = world_wait(&w, "strict", GTM_HEALTH_DOWN);
    assert_int_equal(r.last, HEALTH_RESULT_REDIRECT);
    assert_string_equal(r.evidence, "HTTP 302, wanted 200, 204");
    assert_string_equal(health_class_word(health_result_class(r.last)), "content");
    r = world_wait(&w, "wants", GTM_HEALTH_UP);
    assert_string_equal(r.evidence, "HTTP 302");
    r = world_wait(&w, "default", GTM_HEALTH_DOWN);
    assert_string_equal(r.evidence, "HTTP 302, wanted 200..299");
    uint64_t probes = world_report(&w, "strict").probes_total +
                      world_report(&w, "wants").probes_total +
                      world_report(&w, "default").probes_total;
    assert_true(server_requests(s) <= probes + 16); /* followed ones would be 50 times as many */
    world_fini(&w);
    server_free(s);
}

static void a_good_body_is_found(void **state)
{
    static struct world w;
    struct server *split = server_new(SERVER_SPLIT_BODY, 0),
                  *large = server_new(SERVER_LARGE_BODY, 0);
    world_init(&w);
    world_add(&w, "split", server_port(split));
    world_monitor(&w, "split")->expect_body = (char *)"is well";
    world_add(&w, "large", server_port(large));
    world_monitor(&w, "large")->expect_body = (char *)"all is";
    world_add(&w, "head", server_port(split));
    world_monitor(&w, "head")->method = (char *)"HEAD";
    world_monitor(&w, "head")->timeout_ms = 2000;
    world_monitor(&w, "split")->timeout_ms = 2000;
    world_apply(&w);
    world_wait(&w, "split", GTM_HEALTH_UP);
    struct health_report r = world_wait(&w, "large", GTM_HEALTH_UP);
    assert_string_equal(r.evidence, "HTTP 200");
    world_wait(&w, "head", GTM_HEALTH_UP);
    world_fini(&w);
    server_free(split);
    server_free(large);
}

static void the_request_is_what_was_asked_for(void **state)
{
    static struct world w;
    struct server *s = server_new(SERVER_OK, 0), *plain = server_new(SERVER_OK, 0);
    char line[64];
    world_init(&w);
    world_add(&w, "a", server_port(s));
    world_monitor(&w, "a")->path = (char *)"/a/../b?c=%20";
    world_monitor(&w, "a")->host = (char *)"www.example.com";
    world_monitor(&w, "a")->method = (char *)"OPTIONS";
    world_add(&w, "b", server_port(plain));
    world_apply(&w);
    world_wait(&w, "a", GTM_HEALTH_UP);
    world_wait(&w, "b", GTM_HEALTH_UP);
    const char *head = server_first_request(s);
    assert_ptr_equal(strstr(head, "OPTIONS /a/../b?c=%20 HTTP/1.1\r\n"), head);
    assert_non_null(strstr(head, "\r\nHost: www.example.com\r\n"));
    assert_non_null(strstr(head, "\r\nUser-Agent: gtm-health/"));
    head = server_first_request(plain);
    assert_ptr_equal(strstr(head, "GET / HTTP/1.1\r\n"), head);
    snprintf(line, sizeof(line), "\r\nHost: 127.0.0.1:%u\r\n", server_port(plain));
    assert_non_null(strstr(head, line));
    world_fini(&w);
    server_free(s);
    server_free(plain);
}

static void connections_are_kept_and_stale_ones_forgiven(void **state)
{
    static struct world w;
    struct server *s = server_new(SERVER_OK, 0), *moody = server_new(SERVER_CLOSES_REUSED, 0);
    world_init(&w);
    world_add(&w, "kept", server_port(s));
    world_add(&w, "moody", server_port(moody));
    world_monitor(&w, "kept")->timeout_ms = 2000;
    world_monitor(&w, "moody")->timeout_ms = 2000;
    world_apply(&w);
    struct health_report r = world_wait_probes(&w, "kept", 12);
    assert_true(r.probes_total >= 12);
    assert_true(server_accepts(s) <= 4); /* the first, the confirmation, room for a busy machine */
    r = world_wait_probes(&w, "moody", 8);
    assert_int_equal(r.health, GTM_HEALTH_UP);
    assert_int_equal(r.probes_failed, 0);
    assert_true(server_accepts(moody) >= 4);
    world_fini(&w);
    server_free(s);
    server_free(moody);
}

static void tcp_sends_and_expects(void **state)
{
    static struct world w;
    struct server *s = server_new(SERVER_OK, 0), *greets = server_new(SERVER_GREETS, 0),
                  *closes = server_new(SERVER_CLOSES, 0),
                  *endless = server_new(SERVER_ENDLESS_BODY, 0);
    world_init(&w);
    world_add(&w, "plain", server_port(s));
    world_add(&w, "asks", server_port(s));
    world_monitor(&w, "asks")->send = (char *)"GET / HTTP/1.0\r\n\r\n";
    world_monitor(&w, "asks")->expect_body = (char *)"is well";
    world_add(&w, "greets", server_port(greets));
    world_monitor(&w, "greets")->expect_body = (char *)"220 hello";
    world_add(&w, "mute", server_port(s));
    world_monitor(&w, "mute")->expect_body = (char *)"never";
    world_add(&w, "closes", server_port(closes));
    world_monitor(&w, "closes")->send = (char *)"\r\n\r\n";
    world_monitor(&w, "closes")->expect_body = (char *)"x";
    world_add(&w, "endless", server_port(endless));
    world_monitor(&w, "endless")->send = (char *)"\r\n\r\n";
    world_monitor(&w, "endless")->expect_body = (char *)"nowhere";
    for (size_t i = 0; i < w.count; i++)
        w.monitors[i].kind = GTM_MONITOR_TCP;
    world_apply(&w);
    assert_string_equal(world_wait(&w, "plain", GTM_HEALTH_UP).evidence, "connected");
    assert_string_equal(world_wait(&w, "asks", GTM_HEALTH_UP).evidence, "expected text received");
    world_wait(&w, "greets", GTM_HEALTH_UP);
    struct health_report r = world_wait(&w, "mute", GTM_HEALTH_DOWN);
    assert_string_equal(r.evidence, "no answer in 300 ms");
    r = world_wait(&w, "closes", GTM_HEALTH_DOWN);
    assert_int_equal(r.last, HEALTH_RESULT_RESET);
    r = world_wait(&w, "endless", GTM_HEALTH_DOWN);
    assert_int_equal(r.last, HEALTH_RESULT_BODY);
    assert_string_equal(r.evidence, "the answer lacks \"nowhere\"");
    world_fini(&w);
    server_free(s);
    server_free(greets);
    server_free(closes);
    server_free(endless);
}

static void nobody_there(void **state)
{
    static const enum gtm_monitor_kind kinds[] = {GTM_MONITOR_HTTP, GTM_MONITOR_TCP};
    static struct world w;
    struct server *s = server_new(SERVER_OK, 0);
    uint16_t port = server_port(s);
    server_kill(s);
    world_init(&w);
    for (size_t i = 0; i < 2; i++) {
        world_add(&w, i ? "closed/tcp" : "closed/http", port);
        w.monitors[w.count - 1].kind = kinds[i];
        struct health_target *t = world_add(&w, i ? "nowhere/tcp" : "nowhere/http", port);
        t->addr.v4.s_addr = INADDR_BROADCAST; /* TCP has no route there, on any host */
        w.monitors[w.count - 1].kind = kinds[i];
    }
    world_apply(&w);
    for (size_t i = 0; i < 2; i++) {
        struct health_report r = world_wait(&w, i ? "closed/tcp" : "closed/http", GTM_HEALTH_DOWN);
        assert_int_equal(r.last, HEALTH_RESULT_REFUSED);
        assert_string_equal(r.evidence, "connection refused");
        r = world_wait(&w, i ? "nowhere/tcp" : "nowhere/http", GTM_HEALTH_DOWN);
        assert_int_equal(r.last, HEALTH_RESULT_UNREACHABLE);
        assert_string_equal(r.evidence, "network unreachable");
    }
    world_fini(&w);
    server_free(s);
}

static void ipv6_works(void **state)
{
    static struct world w;
    if (access("/proc/net/if_inet6", R_OK) != 0)
        skip();
    struct server *s = server_new(SERVER_OK, 1);
    world_init(&w);
    for (size_t i = 0; i < 2; i++) {
        struct health_target *t = world_add(&w, i ? "tcp/6" : "http/6", server_port(s));
        t->family = AF_INET6;
        t->addr.v6 = in6addr_loopback;
        w.monitors[i].kind = i ? GTM_MONITOR_TCP : GTM_MONITOR_HTTP;
    }
    world_apply(&w);
    world_wait(&w, "http/6", GTM_HEALTH_UP);
    world_wait(&w, "tcp/6", GTM_HEALTH_UP);
    assert_non_null(strstr(server_first_request(s), "\r\nHost: [::1]:"));
    world_fini(&w);
    server_free(s);
}

/* A lack of descriptors here says nothing about the server. */
static void no_descriptors_is_not_the_servers_fault(void **state)
{
    static struct world w;
    struct rlimit limit, low;
    struct server *s = server_new(SERVER_OK, 0);
    world_init(&w);
    world_add(&w, "tcp", server_port(s));
    world_monitor(&w, "tcp")->kind = GTM_MONITOR_TCP;
    world_add(&w, "http", server_port(s));
    world_apply(&w);
    world_wait(&w, "tcp", GTM_HEALTH_UP);
    world_wait(&w, "http", GTM_HEALTH_UP);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    low.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    server_set_mood(s, SERVER_CLOSES); /* so that http needs a new connection */
    world_wait_result(&w, "tcp", HEALTH_RESULT_LOCAL);
    struct health_report r = world_wait_probes(&w, "tcp", 5);
    assert_int_equal(r.health, GTM_HEALTH_UP);
    assert_true(r.probes_local >= 5);
    assert_string_equal(r.evidence, "not checked: too many open files here");
    r = world_wait_result(&w, "http", HEALTH_RESULT_LOCAL);
    assert_string_equal(r.evidence, "not checked: too many open files here");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    server_set_mood(s, SERVER_OK);
    world_wait_result(&w, "tcp", HEALTH_RESULT_OK);
    assert_int_equal(world_report(&w, "tcp").health, GTM_HEALTH_UP);
    world_fini(&w);
    server_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_servers_fail_in_time_and_memory),
        cmocka_unit_test(redirects_are_content_and_not_followed),
        cmocka_unit_test(a_good_body_is_found),
        cmocka_unit_test(the_request_is_what_was_asked_for),
        cmocka_unit_test(connections_are_kept_and_stale_ones_forgiven),
        cmocka_unit_test(tcp_sends_and_expects),
        cmocka_unit_test(nobody_there),
        cmocka_unit_test(ipv6_works),
        cmocka_unit_test(no_descriptors_is_not_the_servers_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
