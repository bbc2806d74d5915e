/* SPDX-License-Identifier: Apache-2.0
 *
 * Vantages, witnesses, canaries and failure domains: what is stored, what is warned about, and
 * which groups may not fail over by themselves.
 */
#include "gtm/model/intent.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <stdio.h>
#include <string.h>

#define POOL                                                \
    "pools:\n"                                              \
    "  - name: www\n"                                       \
    "    monitors: [web]\n"                                 \
    "    endpoints:\n"                                      \
    "      - {name: e1, region: a, addresses: 192.0.2.1}\n" \
    "      - {name: e2, region: b, addresses: 192.0.2.2}\n" \
    "monitors: [{name: web, kind: http}]\n"
#define TWO   "regions: [{name: a}, {name: b}]\n" POOL
#define THREE "regions: [{name: a}, {name: b}, {name: c}]\n" POOL
#define FOUR  "regions: [{name: a}, {name: b}, {name: c}, {name: d}]\n" POOL

/* Parses text and wants these findings, each in a text of its own, in this order. */
static struct gtm_intent *parse(const char *text, const char *const *findings)
{
    struct gtm_diags diags = {0};
    struct gtm_intent *intent = gtm_intent_parse("/x/c.yaml", text, strlen(text), &diags);
    size_t n = 0;
    for (size_t i = 0; i < diags.count; i++) {
        if (!findings[n] || !strstr(diags.items[i].text, findings[n])) {
            gtm_diags_print(&diags, stderr);
            fail_msg("%s: not expected: %s", text, diags.items[i].text);
        }
        n++;
    }
    if (findings[n])
        fail_msg("%s: nothing says '%s'", text, findings[n]);
    assert_true(intent != NULL || diags.errors > 0);
    gtm_diags_fini(&diags);
    return intent;
}

#define FINDS(text, ...) gtm_intent_unref(parse(text, (const char *const[]){__VA_ARGS__, NULL}))
#define FINE(text)       gtm_intent_unref(parse(text, (const char *const[]){NULL}))

static void test_a_witness_is_no_empty_region(void **state)
{
    FINDS(THREE, "region 'c' has no endpoint");
    FINE(THREE "health: {vantages: [a, b, c]}\n");
    FINDS(FOUR "health: {vantages: [a, b, c]}\n", "region 'd' has no endpoint");
}

static void test_canaries_are_stored(void **state)
{
    struct gtm_intent *intent =
        parse(THREE "health:\n"
                    "  vantages: [a, b, c]\n"
                    "  quorum: any\n"
                    "  canaries: [{address: 192.0.2.9, port: 53}, {address: \"2001:db8::9\", port: "
                    "443}]\n",
              (const char *const[]){NULL});
    assert_int_equal(intent->quorum, GTM_QUORUM_ANY);
    assert_int_equal(intent->canaries_count, 2);
    assert_int_equal(intent->canaries[0].address.family, 4);
    assert_int_equal(intent->canaries[0].address.addr[3], 9);
    assert_int_equal(intent->canaries[0].port, 53);
    assert_int_equal(intent->canaries[1].address.family, 6);
    assert_int_equal(intent->canaries[1].port, 443);
    struct gtm_json *json = gtm_intent_to_json(intent);
    const struct gtm_json *shown = gtm_json_pointer(json, "/health/canaries/1");
    assert_string_equal(gtm_json_str(shown, "address", ""), "2001:db8::9");
    gtm_json_free(json);
    gtm_intent_unref(intent);
    intent = parse(TWO, (const char *const[]){NULL});
    assert_int_equal(intent->quorum, GTM_QUORUM_MAJORITY);
    assert_int_equal(intent->canaries_count, 0);
    gtm_intent_unref(intent);
}

#define CANARY(x) TWO "health: {canaries: [" x "]}\n"
static void test_bad_canaries(void **state)
{
    FINDS(CANARY("{address: 224.0.0.1, port: 53}"), "is multicast");
    FINDS(CANARY("{address: 0.0.0.0, port: 53}"), "is unspecified");
    FINDS(CANARY("{address: router.example.com, port: 53}"), "address");
    FINDS(CANARY("{address: 192.0.2.1}"), "'port'");
    FINDS(CANARY("{address: 192.0.2.1, port: 0}"), "'port'");
    FINDS(CANARY("{address: 192.0.2.1, port: 70000}"), "'port'");
#define C4                                                                                \
    "{address: 192.0.2.1, port: 1}, {address: 192.0.2.1, port: 2}, {address: 192.0.2.1, " \
    "port: 3}, {address: 192.0.2.1, port: 4}"
    FINE(CANARY(C4 ", " C4 ", " C4 ", " C4));
    FINDS(CANARY(C4 ", " C4 ", " C4 ", " C4 ", {address: 192.0.2.1, port: 5}"), "canaries");
}

static void test_what_the_loss_of_a_domain_leaves(void **state)
{
    FINE(TWO); /* nobody said that it is a cluster */
    FINDS(TWO "health: {vantages: [a, b]}\n", "when the failure domain 'a' is lost, the vantages "
                                              "left are 1 of 2, no majority");
    FINDS(TWO "health: {vantages: [b]}\n", "'b' is lost, the vantages left are 0 of 1");
    /* three regions in two domains */
    FINDS("regions: [{name: a, failure_domain: east}, {name: b}, {name: c, failure_domain: "
          "east}]\n" POOL "health: {vantages: [a, b, c]}\n",
          "when the failure domain 'east' is lost, the vantages left are 1 of 3");
    FINE("regions: [{name: a, failure_domain: b}, {name: b}, {name: c}]\n" POOL
         "health: {vantages: [a, b, c]}\n"); /* a word is no other region's name */
    FINDS(FOUR "health: {vantages: [a, b, c, d]}\n", "4 vantages: an even number");
    FINDS(THREE "health: {vantages: [a, b, c], quorum: all}\n", "'quorum: all'");
    /* one region serves: it has nobody to fail over to */
    FINE("regions: [{name: a}]\npools: [{name: p, monitors: [m], endpoints: [{name: e, region: a, "
         "addresses: 192.0.2.1}]}]\nmonitors: [{name: m, kind: http}]\nhealth: {vantages: [a]}\n");
}

#define GROUP(mode)                                                                        \
    "groups:\n  - name: g\n    driver: postgresql\n    mode: synchronous\n    members: "   \
    "[{name: m1, region: a, dsn: x, addresses: 192.0.2.1}, {name: m2, region: b, dsn: x, " \
    "addresses: 192.0.2.2}]\n    failover: {mode: " mode "}\n"
static void test_groups_that_fail_over_by_themselves(void **state)
{
    FINDS(TWO GROUP("auto"), "group 'g': failover mode auto needs members and vantages in 3 "
                             "failure domains; a, b make 2: add a witness region");
    FINE(TWO GROUP("approve"));
    FINE(TWO GROUP("manual"));
    FINE(THREE "health: {vantages: [a, b, c]}\n" GROUP("auto"));
    FINDS("regions: [{name: a}, {name: b}, {name: c, failure_domain: x}, {name: d, failure_domain: "
          "x}]\n" POOL "health: {vantages: [c]}\n" GROUP("auto"),
          "region 'd'", "'x' is lost");
    FINDS("regions: [{name: a, failure_domain: x}, {name: b}, {name: c, failure_domain: x}]\n" POOL
          "health: {vantages: [a, b, c]}\n" GROUP("auto"),
          "'x' is lost", "a, b, c make 2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_witness_is_no_empty_region),
        cmocka_unit_test(test_canaries_are_stored),
        cmocka_unit_test(test_bad_canaries),
        cmocka_unit_test(test_what_the_loss_of_a_domain_leaves),
        cmocka_unit_test(test_groups_that_fail_over_by_themselves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
