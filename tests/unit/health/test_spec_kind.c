/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of health/spec_kind: what is refused, what makes two checks different, and what the kinds
 * do without memory. The wrong certificates are in test_verify.
 */
#include "health/probe_http.h"
#include "health/shard.h"
#include "health/spec.h"
#include "health/trust.h"

#include "gtm/base/loop.h"
#include "gtm/base/mem.h"
#include "health/probe.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define TEXT(s) ((char *)(uintptr_t)(s))

static struct gtm_monitor monitor_of(enum gtm_monitor_kind kind)
{
    return (struct gtm_monitor){.name = TEXT("m"),
                                .kind = kind,
                                .port = 443,
                                .interval_ms = 1000,
                                .timeout_ms = 800,
                                .fall = 2,
                                .rise = 2,
                                .tls = kind != GTM_MONITOR_DNS && kind != GTM_MONITOR_ICMP,
                                .tls_insecure = true};
}

static struct health_spec *make(const struct gtm_monitor *m, struct gtm_error *err)
{
    struct health_target t = {.key = "k", .family = AF_INET, .monitor = m};
    t.addr.v4.s_addr = htonl(0xc0000201);
    memset(err, 0, sizeof(*err));
    return health_spec_new(&t, err);
}

static void bad_ones_are_refused(void **state)
{
    static const char *const names[] = {"a b", "a/b", "", "\xc3\xa4.example", "a@b", "x?y=z"};
    struct gtm_error err;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct gtm_monitor m = monitor_of(GTM_MONITOR_HTTPS);
        m.tls_name = TEXT(names[i]);
        struct health_spec *spec = make(&m, &err);
        assert_null(spec);
        assert_int_equal(err.code, GTM_EINVAL);
    }
    static char service[2000];
    memset(service, 'x', sizeof(service) - 1);
    struct gtm_monitor m = monitor_of(GTM_MONITOR_GRPC);
    m.grpc_service = service;
    assert_null(make(&m, &err));
    assert_int_equal(err.code, GTM_ELIMIT);
    m = monitor_of(GTM_MONITOR_DNS);
    m.query_name = TEXT("a..b");
    assert_null(make(&m, &err));
    assert_int_equal(err.code, GTM_EINVAL);
}

static void expect_name(const char *name, const char *host, int family, const char *want, bool sni)
{
    struct gtm_error err;
    struct gtm_monitor m = monitor_of(GTM_MONITOR_HTTPS);
    m.tls_name = TEXT(name);
    m.host = TEXT(host);
    struct health_target t = {.key = "k", .family = family, .monitor = &m};
    inet_pton(family, family == AF_INET ? "192.0.2.1" : "2001:db8::1", &t.addr);
    struct health_spec *spec = health_spec_new(&t, &err);
    assert_non_null(spec);
    assert_string_equal(spec->tls_name, want);
    assert_int_equal(spec->tls_sni, sni);
    health_spec_free(spec);
}

static void the_name_of_the_certificate(void **state)
{
    expect_name("www.example.com", "other.example.com", AF_INET, "www.example.com", true);
    expect_name("www.example.com.", NULL, AF_INET, "www.example.com", true);
    expect_name(NULL, "www.example.com", AF_INET, "www.example.com", true);
    expect_name(NULL, "www.example.com:8443", AF_INET, "www.example.com", true);
    expect_name(NULL, "[2001:db8::9]:443", AF_INET, "2001:db8::9", false);
    expect_name(NULL, "2001:db8::9", AF_INET, "2001:db8::9", false);
    expect_name(NULL, "192.0.2.9:8443", AF_INET, "192.0.2.9", false);
    expect_name(NULL, NULL, AF_INET, "192.0.2.1", false);
    expect_name(NULL, NULL, AF_INET6, "2001:db8::1", false);
    expect_name(NULL, "_$weird", AF_INET, "192.0.2.1", false);
}

/* Each change of one field makes another check. */
static void any_difference_is_seen(void **state)
{
    struct gtm_error err;
    struct gtm_monitor https = monitor_of(GTM_MONITOR_HTTPS), grpc = monitor_of(GTM_MONITOR_GRPC),
                       dns = monitor_of(GTM_MONITOR_DNS);
    struct gtm_monitor pairs[][2] = {{https, https}, {https, https}, {https, https}, {https, https},
                                     {https, https}, {grpc, grpc},   {grpc, grpc},   {dns, dns},
                                     {dns, dns},     {dns, dns},     {dns, dns}};
    pairs[0][1].tls_insecure = false;
    pairs[1][1].tls_name = TEXT("www.example.com");
    pairs[2][1].tls_expiry_ms = 1;
    pairs[3][1].http_version = GTM_HTTP_2;
    pairs[4][1].tls_cert = TEXT("/nowhere.pem");
    pairs[5][1].tls = false;
    pairs[6][1].grpc_service = TEXT("shop");
    pairs[7][1].query_name = TEXT("www.example.com.");
    pairs[8][1].query_type = 28;
    pairs[9][1].query_tcp = true;
    pairs[10][1].expect_rcode = 3;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct health_spec *a = make(&pairs[i][0], &err), *b = make(&pairs[i][1], &err),
                           *c = make(&pairs[i][0], &err);
        assert_true(a && b && c);
        if (health_spec_equal(a, b))
            fail_msg("pair %zu: the difference is not seen", i);
        assert_true(health_spec_equal(a, c));
        health_spec_free(a);
        health_spec_free(b);
        health_spec_free(c);
    }
}

static void no_memory_is_reported(void **state)
{
    static const enum gtm_monitor_kind kinds[] = {GTM_MONITOR_HTTPS, GTM_MONITOR_TLS,
                                                  GTM_MONITOR_DNS, GTM_MONITOR_GRPC};
    struct gtm_error err;
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        struct gtm_monitor m = monitor_of(kinds[k]);
        unsigned refused = 0;
        m.host = TEXT("www.example.com");
        m.query_name = TEXT("www.example.com.");
        m.expect_answer = TEXT("192.0.2.1");
        for (uint64_t n = 1; n < 60; n++) {
            gtm_mem_fail_at(n, 0);
            struct health_spec *spec = make(&m, &err);
            gtm_mem_fail_at(0, 0);
            if (!spec)
                assert_int_equal(err.code, GTM_ENOMEM);
            refused += spec == NULL;
            health_spec_free(spec);
        }
        assert_true(refused >= 8);
    }
}

static void nothing_ends(void *ctx, struct health_probe *probe)
{
    (*(unsigned *)ctx)++;
}

/* Opening and starting without memory: an outcome of this host, or nothing, and no leak. */
static void probers_without_memory(void **state)
{
    static const enum gtm_monitor_kind kinds[] = {
        GTM_MONITOR_HTTPS, GTM_MONITOR_TLS, GTM_MONITOR_DNS, GTM_MONITOR_GRPC, GTM_MONITOR_ICMP};
    struct gtm_loop *loop = gtm_loop_new();
    unsigned ended = 0, starved = 0;
    struct health_io io = {.on_done = nothing_ends, .ctx = &ended};
    assert_int_equal(health__io_init(&io, gtm_loop_base(loop), gtm_clock_system()), GTM_OK);
    io.shards = health__shards_new(&io, health__http_on_end);
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        const struct health_probe_ops *ops = health_probe_ops_of(kinds[k]);
        struct gtm_error err;
        struct gtm_monitor m = monitor_of(kinds[k]);
        struct health_spec *spec = make(&m, &err);
        ((struct sockaddr_in *)&spec->addr)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        for (uint64_t n = 1; n < 30; n++) {
            struct health_probe probe = {.io = &io};
            gtm_mem_fail_at(n, 0);
            void *prober = ops->open(&io, spec);
            if (prober) {
                health__probe_begin(&probe);
                ops->start(prober, &probe, n & 1);
                if (probe.run || probe.ended) {
                    starved += probe.outcome.result == HEALTH_RESULT_LOCAL;
                    health__probe_cancel(ops, prober, &probe);
                }
                health_outcome_clear(&probe.outcome);
                ops->close(prober);
            }
            gtm_mem_fail_at(0, 0);
        }
        health_spec_free(spec);
    }
    assert_true(starved >= 4);
    health__shards_free(io.shards);
    health__io_fini(&io);
    gtm_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_ones_are_refused),   cmocka_unit_test(the_name_of_the_certificate),
        cmocka_unit_test(any_difference_is_seen), cmocka_unit_test(no_memory_is_reported),
        cmocka_unit_test(probers_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
