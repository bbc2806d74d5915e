/* SPDX-License-Identifier: Apache-2.0
 *
 * What an accepted intent holds: values, defaults, resolved references, kept sections, warnings,
 * references counted.
 */
#include "gtm/model/intent.h"

#include "gtm/base/mem.h"
#include "gtm/model/config_doc.h"
#include "gtm/model/intent_later.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLACES                                                                                  \
    "regions:\n"                                                                                \
    "  - {name: us, location: [38.9, -77.0], failure_domain: east, capacity: {requests_per_s: " \
    "50}}\n"                                                                                    \
    "  - {name: eu, location: [53.3, -6.3]}\n"                                                  \
    "  - {name: ap}\n"
#define POOL                                                                                   \
    "monitors: [{name: web, kind: http}, {name: slow, kind: tcp, port: 1, interval: 500ms}]\n" \
    "pools:\n"                                                                                 \
    "  - name: www\n"                                                                          \
    "    monitors: [slow, web]\n"                                                              \
    "    endpoints:\n"                                                                         \
    "      - {name: e1, region: eu, addresses: [192.0.2.1, \"2001:db8::1\"]}\n"                \
    "      - {name: e2, region: us, addresses: 192.0.2.2, weight: 7, capacity: "               \
    "{requests_per_s: 9.5}}\n"

static struct gtm_intent *accepted(const char *text, size_t warnings)
{
    struct gtm_diags diags = {0};
    struct gtm_intent *intent = gtm_intent_parse("/x/cluster.yaml", text, strlen(text), &diags);
    if (!intent || diags.warnings != warnings)
        gtm_diags_print(&diags, stderr);
    assert_non_null(intent);
    assert_int_equal(diags.warnings, warnings);
    gtm_diags_fini(&diags);
    return intent;
}

static void test_regions_and_pools(void **state)
{
    struct gtm_intent *i = accepted(PLACES POOL, 1); /* ap has no endpoint */
    assert_int_equal(i->regions_count, 3);
    assert_string_equal(i->regions[0].name, "us");
    assert_true(i->regions[0].has_location && !i->regions[2].has_location);
    assert_true(i->regions[0].lat == 38.9 && i->regions[0].lon == -77.0);
    assert_string_equal(i->regions[0].failure_domain, "east");
    assert_true(i->regions[0].capacity_requests_per_s == 50);
    assert_true(i->regions[1].capacity_requests_per_s < 0);
    assert_int_equal(i->regions[1].pos.line, 3);
    assert_int_equal(i->regions[1].pos.col, 5);
    assert_int_equal(i->vantages_count, 3);
    assert_int_equal(i->vantages[2], 2);

    const struct gtm_pool *pool = &i->pools[0];
    assert_int_equal(pool->monitors_count, 2);
    assert_int_equal(pool->monitors[0], 1);
    assert_int_equal(pool->monitors[1], 0);
    assert_int_equal(pool->failback_mode, GTM_FAILBACK_AUTO);
    assert_int_equal(pool->failback_hold_ms, 0);
    assert_true(pool->panic == 0.5);
    assert_int_equal(pool->endpoints[0].region, 1);
    assert_true(pool->endpoints[0].has_v4 && pool->endpoints[0].has_v6);
    assert_int_equal(pool->endpoints[0].v4.s_addr, inet_addr("192.0.2.1"));
    assert_int_equal(pool->endpoints[0].v6.s6_addr[15], 1);
    assert_int_equal(pool->endpoints[0].weight, 100);
    assert_true(pool->endpoints[0].capacity_requests_per_s < 0);
    assert_true(!pool->endpoints[1].has_v6);
    assert_int_equal(pool->endpoints[1].weight, 7);
    assert_true(pool->endpoints[1].capacity_requests_per_s == 9.5);
    assert_int_equal(gtm_pool_endpoint(pool, "e2"), 1);
    assert_int_equal(gtm_pool_endpoint(pool, "e3"), -1);
    assert_int_equal(gtm_intent_region(i, "ap"), 2);
    assert_int_equal(gtm_intent_region(i, "mars"), -1);
    assert_int_equal(gtm_intent_policy(i, "www"), -1);
    assert_int_equal(gtm_intent_monitor(i, "slow"), 1);
    gtm_intent_unref(i);
}

static void test_monitors(void **state)
{
    struct gtm_intent *i = accepted(
        "regions: [{name: a}]\nmonitors:\n"
        "  - {name: m0, kind: http}\n"
        "  - {name: m1, kind: https, path: /h, host: x.example, method: HEAD, expect: {status: "
        "[200, 204], body: \"ok\"}, interval: 10s, timeout: 20s, fall: 3, rise: 1}\n"
        "  - {name: m2, kind: tcp, port: 5, send: \"PING\\r\\n\", interval: 200ms}\n"
        "  - {name: m3, kind: postgresql}\n",
        0);
    const struct gtm_monitor *m = i->monitors;
    assert_int_equal(m[0].port, 80);
    assert_string_equal(m[0].path, "/");
    assert_string_equal(m[0].method, "GET");
    assert_null(m[0].host);
    assert_null(m[0].expect_status);
    assert_int_equal(m[0].interval_ms, 1000);
    assert_int_equal(m[0].timeout_ms, 800);
    assert_int_equal(m[0].fall, 2);
    assert_int_equal(m[0].rise, 3);
    assert_int_equal(m[1].port, 443);
    assert_string_equal(m[1].host, "x.example");
    assert_int_equal(m[1].expect_status_count, 2);
    assert_int_equal(m[1].expect_status[1], 204);
    assert_string_equal(m[1].expect_body, "ok");
    assert_int_equal(m[1].timeout_ms, 20000);
    assert_string_equal(m[2].send, "PING\r\n");
    assert_int_equal(m[2].timeout_ms, 200);
    assert_null(m[2].path);
    assert_int_equal(m[3].port, 5432);
    assert_int_equal(i->inactive_count, 1);
    assert_string_equal(i->inactive[0].kind, "monitor kind postgresql");
    assert_string_equal(i->inactive[0].name, "m3");
    gtm_intent_unref(i);
}

static void test_policies(void **state)
{
    struct gtm_intent *i = accepted(
        PLACES POOL
        "policies:\n"
        "  - {name: later, steer: weighted, to: [{policy: near, weight: 3}, {endpoint: www/e2}]}\n"
        "  - {name: near, pool: www, steer: nearest, ttl: 1m}\n"
        "  - {name: many, pool: www, steer: multivalue, all_down: backup, backup: {policy: near}}\n"
        "  - {name: fo, pool: www, steer: failover, order: [us, eu], all_down: fail_closed}\n"
        "  - name: geo\n    pool: www\n    steer: geo\n    routes:\n"
        "      - {match: {country: [de, EU-FR], asn: 64500}, regions: [eu, us]}\n"
        "      - {match: {networks: [10.0.0.0/8, 2001:db8::/32], subdivision: NA-US-CA, continent: "
        "as}, regions: us}\n",
        1);
    const struct gtm_policy *p = i->policies;
    assert_int_equal(p[0].to_count, 2);
    assert_int_equal(p[0].to[0].kind, GTM_TARGET_POLICY);
    assert_int_equal(p[0].to[0].index, 1);
    assert_int_equal(p[0].to[0].weight, 3);
    assert_int_equal(p[0].to[1].kind, GTM_TARGET_ENDPOINT);
    assert_int_equal(p[0].to[1].index, 0);
    assert_int_equal(p[0].to[1].endpoint, 1);
    assert_int_equal(p[0].to[1].weight, 100);
    assert_int_equal(p[0].order_count, 0);
    assert_int_equal(p[1].ttl_s, 60);
    assert_int_equal(p[1].answers, 1);
    assert_int_equal(p[1].order_count, 2); /* regions of the pool, in its order */
    assert_int_equal(p[1].order[0], 1);
    assert_int_equal(p[1].order[1], 0);
    assert_int_equal(p[2].answers, 8);
    assert_int_equal(p[2].ttl_s, 30);
    assert_true(p[2].has_backup);
    assert_int_equal(p[2].backup.kind, GTM_TARGET_POLICY);
    assert_int_equal(p[2].backup.index, 1);
    assert_int_equal(p[3].all_down, GTM_ALL_DOWN_FAIL_CLOSED);
    assert_int_equal(p[3].order[0], 0);
    const struct gtm_route *r = p[4].routes;
    assert_string_equal(r[0].countries[0], "DE");
    assert_string_equal(r[0].countries[1], "FR");
    assert_int_equal(r[0].asns[0], 64500);
    assert_int_equal(r[0].regions[0], 1);
    assert_int_equal(r[1].networks[0].family, 4);
    assert_int_equal(r[1].networks[0].prefix_len, 8);
    assert_int_equal(r[1].networks[0].addr[0], 10);
    assert_int_equal(r[1].networks[1].family, 6);
    assert_int_equal(r[1].networks[1].prefix_len, 32);
    assert_string_equal(r[1].subdivisions[0], "US-CA");
    assert_string_equal(r[1].continents[0], "AS");
    assert_int_equal(r[1].regions_count, 1);
    gtm_intent_unref(i);
}

static void test_zones(void **state)
{
    struct gtm_intent *i = accepted(
        PLACES POOL "policies: [{name: p, pool: www, steer: multivalue, ttl: 6m}]\n"
                    "groups: [{name: g, driver: redis, mode: asynchronous, members: [{name: m, "
                    "region: us}]}]\n"
                    "zones:\n"
                    "  - name: Example.COM.\n"
                    "    file: zones/example\n"
                    "    names:\n"
                    "      - {name: WWW, policy: p}\n"
                    "      - {name: w, types: AAAA, group: g, role: writer, ttl: 5s}\n"
                    "      - {name: r, types: [A], group: g, role: reader, max_lag: 2s}\n"
                    "      - {name: slow, policy: p, ttl: 300s}\n"
                    "  - {name: other.example, file: /abs}\n",
        2); /* ap has no endpoint; WWW has a TTL of six minutes */
    const struct gtm_zone_conf *z = &i->zones[0];
    assert_string_equal(z->name, "example.com");
    assert_string_equal(z->file, "/x/zones/example");
    assert_string_equal(i->zones[1].file, "/abs");
    assert_int_equal(gtm_intent_zone(i, "other.example"), 1);
    assert_string_equal(z->names[0].name, "www");
    assert_int_equal(z->names[0].types_count, 2);
    assert_int_equal(z->names[0].types[1], GTM_TYPE_AAAA);
    assert_true(z->names[0].has_policy && !z->names[0].has_group && !z->names[0].has_ttl);
    assert_int_equal(z->names[1].types_count, 1);
    assert_int_equal(z->names[1].types[0], GTM_TYPE_AAAA);
    assert_true(z->names[1].has_group && !z->names[1].reader);
    assert_int_equal(z->names[1].group, 0);
    assert_int_equal(z->names[1].ttl_s, 5);
    assert_true(z->names[2].reader);
    assert_int_equal(z->names[2].max_lag_ms, 2000);
    assert_int_equal(i->inactive_count, 3);
    assert_string_equal(i->inactive[2].kind, "groups");
    assert_int_equal(gtm_intent_find(i, GTM_REF_GROUP, "g"), 0);
    gtm_intent_unref(i);
}

static void test_kept_sections(void **state)
{
    struct gtm_intent *i = accepted("regions: [{name: a}]\nhealth: {vantages: [a]}\n"
                                    "capacity: {buffer: 30%, survive: any_region}\n"
                                    "rules: [{name: r, kind: answers_left, min: 1}]\n",
                                    0);
    const struct gtm_json *capacity = gtm_intent_section(i, "capacity");
    assert_true(gtm_json_num(capacity, "buffer", 0) == 0.3);
    const struct gtm_json *rule = gtm_json_first(gtm_intent_section(i, "rules"));
    assert_string_equal(gtm_json_str(rule, "when", ""), "always");
    assert_string_equal(gtm_json_str(gtm_intent_section(i, "health"), "quorum", ""), "majority");
    assert_null(gtm_intent_section(i, "fleets"));
    assert_int_equal(i->inactive_count, 1);
    gtm_intent_unref(i);
}

static void test_rules(void **state)
{
    struct gtm_intent *i = accepted("regions: [{name: a}]\n"
                                    "rules:\n"
                                    "  - {name: r, kind: capacity_left, min: 1.5, when: planned}\n"
                                    "  - {name: g, kind: gate, switch: open, allow: on}\n"
                                    "  - {name: c, kind: cooldown, time: 10m}\n",
                                    0);
    size_t count = 0;
    const struct gtm_rule *rules = gtm_intent_rules(i, &count);
    assert_int_equal(count, 3);
    assert_string_equal(rules[0].name, "r");
    assert_int_equal(rules[0].kind, GTM_RULE_CAPACITY_LEFT);
    assert_true(rules[0].min == 1.5);
    assert_int_equal(rules[0].when, GTM_RULE_PLANNED);
    assert_int_equal(rules[1].when, GTM_RULE_ALWAYS);
    assert_string_equal(rules[1].switch_name, "open");
    assert_int_equal(rules[1].allow, GTM_SWITCH_ON);
    assert_int_equal(rules[2].time_ms, 600000);
    gtm_intent_unref(i);
    i = accepted("regions: [{name: a}]\n", 0); /* none given: those that always hold, shown too */
    rules = gtm_intent_rules(i, &count);
    assert_int_equal(count, 5);
    struct gtm_json *shown = gtm_intent_to_json(i);
    const struct gtm_json *rule = gtm_json_first(gtm_json_get(shown, "rules"));
    for (size_t r = 0; r < count; r++, rule = gtm_json_next(rule)) {
        assert_string_equal(gtm_json_str(rule, "name", ""), rules[r].name);
        assert_string_equal(gtm_json_str(rule, "kind", ""), gtm_rule_kind_words[rules[r].kind]);
    }
    assert_null(rule);
    gtm_json_free(shown);
    gtm_intent_unref(i);
}

static void test_text_and_references(void **state)
{
    struct gtm_intent *i = accepted("regions: [{name: a}]\n", 0);
    /* sha256sum of that line */
    assert_string_equal(i->sha256,
                        "4dcd73c4ea1f14658a2095a42fa4b4ddd55db7dab6d0c60c0646ee23f569be5f");
    assert_string_equal(i->path, "/x/cluster.yaml");
    struct gtm_intent *second = gtm_intent_ref(i);
    assert_ptr_equal(second, i);
    gtm_intent_unref(i);
    assert_string_equal(second->regions[0].name, "a");
    gtm_intent_unref(second);
    gtm_intent_unref(NULL);
}

static void test_load_of_nothing(void **state)
{
    struct gtm_diags diags = {0};
    assert_null(gtm_intent_load("/nonexistent/cluster.yaml", &diags));
    assert_int_equal(diags.errors, 1);
    assert_string_equal(diags.items[0].file, "/nonexistent/cluster.yaml");
    gtm_diags_fini(&diags);
}

/* Every error is counted, only the first ones are kept, and they are in the file's order. */
static void test_many_errors(void **state)
{
    struct gtm_buf text = {0};
    struct gtm_diags diags = {0};
    gtm_buf_adds(&text, "regions: [{name: a}]\nmonitors:\n");
    for (int n = 0; n < 500; n++)
        gtm_buf_addf(&text, "  - {name: m%d, kind: htp}\n", n);
    assert_null(gtm_intent_parse("x", text.data, text.len, &diags));
    assert_int_equal(diags.errors, 500);
    assert_int_equal(diags.count, GTM_DIAG_MAX);
    for (size_t n = 1; n < diags.count; n++)
        assert_true(diags.items[n - 1].line < diags.items[n].line);
    gtm_diags_fini(&diags);
    gtm_buf_fini(&text);
}

static void test_reference_text(void **state)
{
    struct gtm_buf text = {0}, roff = {0};
    gtm_intent_doc(false, &text);
    gtm_node_doc(true, &roff);
    assert_false(text.failed || roff.failed);
    assert_non_null(strstr(text.data, "pools[].failback.hold  (duration, 0s to 1d; default 0s)\n"));
    assert_non_null(strstr(text.data, "policies[].routes[].match.country[]  ("));
    assert_non_null(strstr(roff.data, ".TP\n\\fBdns.threads\\fR (whole number, 1 to 256, or auto"));
    gtm_buf_fini(&text);
    gtm_buf_fini(&roff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_regions_and_pools),
        cmocka_unit_test(test_monitors),
        cmocka_unit_test(test_policies),
        cmocka_unit_test(test_zones),
        cmocka_unit_test(test_kept_sections),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_text_and_references),
        cmocka_unit_test(test_load_of_nothing),
        cmocka_unit_test(test_many_errors),
        cmocka_unit_test(test_reference_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
