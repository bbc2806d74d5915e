/* SPDX-License-Identifier: Apache-2.0
 *
 * What the keys of policies, checks and the DNS server become: data/intent_good/everything.yaml
 * holds each of them once. Their wrong uses are in data/intent_bad.
 */
#include "gtm/model/intent.h"

#include "gtm/base/mem.h"
#include "gtm/model/schema_forms.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct gtm_intent *whole;

/* A file of the data folder; NULL when it is not there. */
static char *slurp(const char *name)
{
    char path[512];
    const char *source = getenv("GTM_SOURCE");
    snprintf(path, sizeof(path), "%s/tests/unit/gtm/model/data/intent_good/%s",
             source ? source : ".", name);
    FILE *f = fopen(path, "rb");
    char *text = f ? calloc(1, 65536) : NULL;
    if (text && fread(text, 1, 65535, f) == 0)
        text[0] = '\0';
    if (f)
        fclose(f);
    return text;
}

static int load(void **state)
{
    struct gtm_diags diags = {0};
    char *text = slurp("everything.yaml");
    (void)state;
    if (!text)
        return -1;
    whole = gtm_intent_parse("/etc/gtm/cluster.yaml", text, strlen(text), &diags);
    if (!whole)
        gtm_diags_print(&diags, stderr);
    free(text);
    gtm_diags_fini(&diags);
    return whole ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    gtm_intent_unref(whole);
    return 0;
}

static const struct gtm_monitor *monitor(const char *name)
{
    int i = gtm_intent_monitor(whole, name);
    assert_true(i >= 0);
    return &whole->monitors[i];
}

static const struct gtm_pool *pool(const char *name)
{
    int i = gtm_intent_pool(whole, name);
    assert_true(i >= 0);
    return &whole->pools[i];
}

static const struct gtm_policy *policy(const char *name)
{
    int i = gtm_intent_policy(whole, name);
    assert_true(i >= 0);
    return &whole->policies[i];
}

static const struct gtm_dynamic_name *name_of(const char *name)
{
    const struct gtm_zone_conf *zone = &whole->zones[0];
    for (size_t i = 0; i < zone->names_count; i++) {
        if (strcmp(zone->names[i].name, name) == 0)
            return &zone->names[i];
    }
    fail_msg("no name %s", name);
    return NULL;
}

static void test_keys(void **state)
{
    (void)state;
    assert_int_equal(whole->keys_count, 2);
    assert_string_equal(whole->keys[0].name, "k.example");
    assert_int_equal(whole->keys[0].algorithm, GTM_TSIG_SHA256);
    assert_string_equal(whole->keys[0].secret_file, "/etc/gtm/k");
    assert_int_equal(whole->keys[1].algorithm, GTM_TSIG_SHA512);
    assert_string_equal(whole->keys[1].secret_file, "/k2");
    assert_string_equal(gtm_tsig_words[GTM_TSIG_SHA224], "hmac-sha224");
}

static void test_tls(void **state)
{
    const struct gtm_monitor *m = monitor("m0");
    (void)state;
    assert_true(m->tls && !m->tls_insecure);
    assert_string_equal(m->tls_ca, "/etc/gtm/ca.pem");
    assert_string_equal(m->tls_name, "x.example");
    assert_string_equal(m->tls_cert, "/etc/gtm/c");
    assert_string_equal(m->tls_key, "/etc/gtm/k");
    assert_true(m->tls_expiry_ms == 7 * 86400000ull);
    assert_int_equal(m->http_version, GTM_HTTP_2);
    assert_int_equal(monitor("m1")->http_version, GTM_HTTP_1_1);
    assert_false(monitor("m1")->tls);
    m = monitor("m2");
    assert_true(m->tls && m->tls_insecure);
    assert_null(m->tls_ca);
    assert_true(m->tls_expiry_ms == 0);
    assert_string_equal(m->send, "x");
    m = monitor("m5");
    assert_true(m->tls);
    assert_string_equal(m->grpc_service, "s");
}

static void test_checks(void **state)
{
    const struct gtm_monitor *m = monitor("m3");
    (void)state;
    assert_string_equal(m->query_name, "a.example");
    assert_int_equal(m->query_type, 16);
    assert_true(m->query_tcp);
    assert_int_equal(m->expect_rcode, 3);
    assert_string_equal(m->expect_answer, "hey");
    m = monitor("m4");
    assert_null(m->query_name);
    assert_int_equal(m->query_type, 2);
    assert_false(m->query_tcp);
    assert_int_equal(m->expect_rcode, 0);
    assert_int_equal(m->port, 53);
    m = monitor("m6");
    assert_string_equal(m->program, "p");
    assert_int_equal(m->args_count, 2);
    assert_string_equal(m->args[1], "{address}");
    assert_int_equal(m->port, 7);
    m = monitor("m7");
    assert_string_equal(m->push_token, "/etc/gtm/t");
    assert_int_equal(m->interval_ms, 5000);
    assert_int_equal(m->fall, 2);
    for (int i = 0; i < GTM_LOAD_COUNT; i++)
        assert_string_equal(m->load_pointer[i] + 1, gtm_load_words[i]);
    assert_string_equal(monitor("m0")->load_pointer[GTM_LOAD_CONNECTIONS], "/c");
    assert_null(monitor("m0")->load_pointer[GTM_LOAD_LATENCY_MS]);
    assert_int_equal(monitor("m8")->kind, GTM_MONITOR_ICMP);
}

static void test_kinds_are_active(void **state)
{
    (void)state;
    assert_int_equal(whole->inactive_count, 0);
    for (int kind = 0; kind < GTM_MONITOR_KIND_COUNT; kind++)
        assert_int_equal(gtm_monitor_kind_active((enum gtm_monitor_kind)kind),
                         kind != GTM_MONITOR_POSTGRESQL && kind != GTM_MONITOR_REDIS &&
                             kind != GTM_MONITOR_PROMETHEUS);
    for (int steer = 0; steer < GTM_STEER_COUNT; steer++)
        assert_true(gtm_steer_active((enum gtm_steer)steer));
}

static void test_pools(void **state)
{
    const struct gtm_pool *p = pool("p"), *q = pool("q");
    (void)state;
    assert_int_equal(p->monitors_needed, 1);
    assert_true(p->degraded_weight == 0.2);
    assert_int_equal(p->flap_half_life_ms, 0);
    assert_true(p->flap_suppress == 3);
    assert_int_equal(p->flap_hold_ms, 300000);
    assert_true(p->spill_low == 0.7 && p->spill_high == 0.9);
    assert_string_equal(p->endpoints[0].host, "e.example");
    assert_false(p->endpoints[0].has_v4 || p->endpoints[0].has_v6);
    assert_true(p->endpoints[1].has_v4);
    assert_int_equal(q->monitors_needed, 2);
    assert_true(q->degraded_weight == 0.1);
    assert_int_equal(q->flap_half_life_ms, 90000);
    assert_true(q->flap_suppress == 2.5);
    assert_int_equal(q->flap_hold_ms, 3600000);
    assert_true(q->spill_low < 0 && q->spill_high < 0);
    assert_null(q->endpoints[0].host);
}

static void test_policies(void **state)
{
    const struct gtm_policy *g = policy("g");
    (void)state;
    assert_string_equal(policy("l")->latency_file, "/etc/gtm/t.csv");
    assert_null(policy("s")->latency_file);
    assert_int_equal(policy("e")->steer, GTM_STEER_EWMA);
    assert_int_equal(g->routes_count, 2);
    assert_true(g->routes[0].has_policy);
    assert_string_equal(whole->policies[g->routes[0].policy].name, "l");
    assert_int_equal(g->routes[0].regions_count, 0);
    assert_false(g->routes[1].has_policy);
    assert_int_equal(g->routes[1].regions_count, 1);
}

static void test_names(void **state)
{
    const struct gtm_dynamic_name *s = name_of("s");
    (void)state;
    assert_int_equal(s->types_count, 3);
    assert_int_equal(s->types[0], GTM_TYPE_SRV);
    assert_int_equal(s->types[1], GTM_TYPE_HTTPS);
    assert_int_equal(s->service_port, 443);
    assert_int_equal(s->service_priority, 2);
    assert_int_equal(s->alpn_count, 2);
    assert_string_equal(s->alpn[1], "h3");
    assert_int_equal(name_of("b")->service_priority, 1);
    assert_int_equal(name_of("b")->service_port, 0);
    assert_string_equal(name_of("@")->alias, "www");
    assert_false(name_of("@")->has_policy || name_of("@")->has_group);
    assert_int_equal(name_of("@")->types_count, 2);
    assert_string_equal(name_of("abs")->alias, "www.example.net.");
    assert_int_equal(name_of("abs")->types_count, 1);
    assert_null(name_of("c")->alias);
}

static void test_servers(void **state)
{
    const struct gtm_zone_conf *zone = &whole->zones[0], *copy = &whole->zones[1];
    char text[64];
    (void)state;
    assert_string_equal(zone->file, "/etc/gtm/z");
    assert_int_equal(zone->primaries_count, 0);
    assert_int_equal(zone->secondaries_count, 1);
    assert_int_equal(zone->secondaries[0].port, 53);
    assert_true(zone->secondaries[0].has_key);
    assert_int_equal(zone->secondaries[0].key, 1);
    assert_int_equal(zone->transfer_count, 3);
    assert_int_equal(zone->transfer[0].networks_count, 1);
    assert_false(zone->transfer[0].has_key);
    assert_int_equal(zone->transfer[1].networks_count, 0);
    assert_true(zone->transfer[1].has_key && zone->transfer[1].key == 0);
    assert_int_equal(zone->transfer[2].networks_count, 2);
    assert_null(copy->file);
    assert_int_equal(copy->primaries_count, 1);
    assert_int_equal(copy->primaries[0].port, 54);
    assert_string_equal(gtm_network_format(&copy->primaries[0].address, text), "2001:db8::1");
}

/* Nothing is left out of what is shown: everything.json was read by a person. */
static void test_shown(void **state)
{
    struct gtm_json *json = gtm_intent_to_json(whole);
    char *text = gtm_json_print(json, true), *expected = slurp("everything.json");
    (void)state;
    assert_non_null(text);
    assert_non_null(expected);
    assert_true(strlen(expected) > 0);
    expected[strlen(expected) - 1] = '\0'; /* the final newline */
    assert_string_equal(text, expected);
    free(expected);
    gtm_free(text);
    gtm_json_free(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),   cmocka_unit_test(test_tls),
        cmocka_unit_test(test_checks), cmocka_unit_test(test_kinds_are_active),
        cmocka_unit_test(test_pools),  cmocka_unit_test(test_policies),
        cmocka_unit_test(test_names),  cmocka_unit_test(test_servers),
        cmocka_unit_test(test_shown),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
