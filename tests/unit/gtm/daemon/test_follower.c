/* SPDX-License-Identifier: Apache-2.0
 *
 * What a node does with verdicts and orders from elsewhere: together, never back, static when the
 * store is away; and what its own checks may do then.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "gtm/base/log.h"
#include "gtm/base/mem.h"
#include "tests/support/cluster_nodes.h"

#include <stdio.h>
#include <string.h>

static const char intent_text[] =
    "regions:\n"
    "  - {name: r1, location: [1, 1]}\n"
    "  - {name: r2, location: [2, 2]}\n"
    "  - {name: r3, location: [3, 3]}\n"
    "monitors:\n"
    "  - {name: m, kind: tcp, port: 80, interval: 1s}\n"
    "pools:\n"
    "  - name: a\n"
    "    monitors: [m]\n"
    "    spillover: {low: 70%, high: 90%}\n"
    "    endpoints:\n"
    "      - {name: a1, region: r1, addresses: [192.0.2.1]}\n"
    "      - {name: a2, region: r2, addresses: [192.0.2.2]}\n"
    "      - {name: a3, region: r3, addresses: [192.0.2.3]}\n"
    "  - name: b\n"
    "    monitors: [m]\n"
    "    endpoints:\n"
    "      - {name: b1, region: r1, addresses: [192.0.2.4]}\n"
    "      - {name: b2, region: r2, addresses: [192.0.2.5]}\n"
    "policies:\n"
    "  - name: g\n"
    "    pool: a\n"
    "    steer: geo\n"
    "    routes: [{match: {country: [DE]}, regions: [r3]}]\n"
    "    default: [r1, r2, r3]\n"
    "  - {name: least, pool: b, steer: least_connections}\n"
    "  - {name: w, steer: weighted, to: [{endpoint: b/b1, weight: 9}, {endpoint: b/b2, weight: "
    "1}]}\n";

#define UP      GTM_HEALTH_UP, HEALTH_RESULT_OK
#define REFUSED GTM_HEALTH_DOWN, HEALTH_RESULT_REFUSED

static void sink(void *ctx, const char *line)
{
}

static int setup(void **state)
{
    struct cluster *w = gtm_calloc(1, sizeof(*w));
    cluster_open(w, intent_text, "r1");
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    cluster_close(*state);
    gtm_free(*state);
    return 0;
}

#define DOC(rev, a1)                                                       \
    "{\"v\":1,\"intent\":1,\"at\":1,\"by\":\"x\",\"fence\":1,\"rev\":" rev \
    ",\"e\":{\"a1\":{\"4\":{\"h\":\"" a1 "\",\"s\":5,\"c\":\"why\"}}}}"
#define VIEW(rev) "{\"v\":1,\"rev\":" rev ",\"by\":\"x\",\"fence\":1}"

/* Several keys in one commit. */
static void put_all(struct cluster *w, const char *const *pairs, size_t count)
{
    struct gtm_store_change changes[8];
    for (size_t i = 0; i < count; i++)
        changes[i] = (struct gtm_store_change){.kind = GTM_STORE_PUT,
                                               .key = pairs[i * 2],
                                               .value = pairs[i * 2 + 1],
                                               .value_len = strlen(pairs[i * 2 + 1]),
                                               .expect = GTM_STORE_ANY};
    assert_int_equal(gtm_store_commit(w->store, changes, count, NULL, NULL), 0);
    cluster_settle(w);
}

static void verdicts_of_a_revision_flip_once(void **state)
{
    struct cluster *w = *state;
    unsigned flips = w->nodes[0].flips;
    const char *const pairs[] = {"verdict/a",
                                 DOC("1", "down"),
                                 "verdict/b",
                                 "{\"v\":1,\"intent\":1,\"at\":1,\"by\":\"x\",\"fence\":1,\"rev\":"
                                 "1,\"e\":{\"b1\":{\"4\":{\"h\":\"down\",\"s\":5}}}}",
                                 "view/rev",
                                 VIEW("1")};
    put_all(w, pairs, 3);
    assert_int_equal(cluster_health(w, 0, "a", "a1"), GTM_HEALTH_DOWN);
    assert_int_equal(cluster_health(w, 0, "b", "b1"), GTM_HEALTH_DOWN);
    assert_int_equal(w->nodes[0].flips, flips + 1);
    assert_int_equal(w->nodes[0].view, 1);
    assert_int_equal(gtm_state_facts(w->nodes[0].state)->since_ms[0], 5);
    /* the same again moves nothing */
    cluster_put(w, "verdict/a", DOC("1", "down"));
    cluster_settle(w);
    assert_int_equal(w->nodes[0].flips, flips + 1);
}

static void it_never_goes_back(void **state)
{
    struct cluster *w = *state;
    char key[160], why[160];
    int64_t since = 0;
    cluster_put(w, "view/rev", VIEW("7"));
    cluster_put(w, "verdict/a", DOC("7", "down"));
    cluster_settle(w);
    cluster_put(w, "verdict/a", DOC("6", "up"));
    cluster_put(w, "view/rev", VIEW("6"));
    cluster_settle(w);
    assert_int_equal(cluster_health(w, 0, "a", "a1"), GTM_HEALTH_DOWN);
    assert_int_equal(gtm_follower_view(w->nodes[0].follower), 7);
    assert_int_equal(gtm_follower_bad(w->nodes[0].follower, key, why, &since), 1);
    assert_string_equal(key, "verdict/a");
    cluster_put(w, "verdict/a", DOC("8", "up"));
    cluster_settle(w);
    assert_int_equal(cluster_health(w, 0, "a", "a1"), GTM_HEALTH_UP);
    assert_int_equal(gtm_follower_bad(w->nodes[0].follower, key, why, &since), 0);
    /* an operator's word: what is there now is the truth */
    w->nodes[0].view = 0;
    cluster_put(w, "store/id", "{\"v\":1,\"id\":\"x\",\"epoch\":1}");
    cluster_settle(w);
    assert_int_equal(gtm_follower_view(w->nodes[0].follower), 6); /* also the first word counts */
    cluster_put(w, "verdict/a", DOC("3", "down"));
    cluster_put(w, "view/rev", VIEW("3"));
    cluster_settle(w);
    assert_int_equal(cluster_health(w, 0, "a", "a1"), GTM_HEALTH_UP);
    w->nodes[0].view = 0;
    cluster_put(w, "store/id", "{\"v\":1,\"id\":\"x\",\"epoch\":2}");
    cluster_settle(w);
    assert_int_equal(cluster_health(w, 0, "a", "a1"), GTM_HEALTH_DOWN);
    assert_int_equal(gtm_follower_view(w->nodes[0].follower), 3);
}

static void a_damaged_verdict_keeps_the_last_and_is_shown(void **state)
{
    struct cluster *w = *state;
    static const char *const bad[] = {"{", "[]", "7", "{\"v\":99,\"rev\":9,\"e\":{}}",
                                      "{\"v\":1,\"rev\":9,\"e\":7}"};
    char key[160], why[160];
    int64_t since = 0;
    cluster_put(w, "verdict/a", DOC("1", "down"));
    cluster_settle(w);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        cluster_put(w, "verdict/a", bad[i]);
        cluster_settle(w);
        assert_int_equal(cluster_health(w, 0, "a", "a1"), GTM_HEALTH_DOWN);
        assert_int_equal(gtm_follower_bad(w->nodes[0].follower, key, why, &since), 1);
        assert_string_equal(key, "verdict/a");
        assert_true(why[0] != 0);
    }
    cluster_put(w, "override/endpoint/a/a2", "{\"state\":\"sideways\"}");
    cluster_settle(w);
    assert_true(cluster_serves(w, 0, "a", "a2"));
    assert_int_equal(gtm_follower_bad(w->nodes[0].follower, key, why, &since), 2);
    char longer[GTM_OVERRIDE_KEY_BYTES + 32];
    snprintf(longer, sizeof(longer), "override/%0*d", GTM_OVERRIDE_KEY_BYTES, 7);
    cluster_put(w, longer, "{}");
    cluster_settle(w);
    assert_int_equal(gtm_follower_bad(w->nodes[0].follower, key, why, &since), 3);
    cluster_put(w, "verdict/a", DOC("2", "up"));
    cluster_put(w, "override/endpoint/a/a2", NULL);
    cluster_put(w, longer, NULL);
    cluster_settle(w);
    assert_int_equal(cluster_health(w, 0, "a", "a1"), GTM_HEALTH_UP);
    assert_int_equal(gtm_follower_bad(w->nodes[0].follower, key, why, &since), 0);
}

static void a_restart_begins_with_what_the_copy_has(void **state)
{
    struct cluster *w = *state;
    cluster_put(w, "verdict/a",
                "{\"v\":1,\"intent\":1,\"at\":1,\"by\":\"x\",\"fence\":1,\"rev\":4,\"e\":{\"a1\":{"
                "\"4\":{\"h\":\"up\",\"s\":5,\"w\":250}},"
                "\"a2\":{\"4\":{\"h\":\"down\",\"s\":6}}},\"shed\":{\"r3\":300}}");
    cluster_put(w, "verdict/b",
                "{\"v\":1,\"intent\":1,\"at\":1,\"by\":\"x\",\"fence\":1,\"rev\":4,\"e\":{\"b1\":{"
                "\"4\":{\"h\":\"up\",\"s\":5}}},\"balance\":"
                "{\"least\":{\"b1\":77}},\"panic\":{\"4\":true}}");
    cluster_put(w, "view/rev", VIEW("4"));
    cluster_put(w, "override/pool/b", "{\"state\":\"up\",\"owner\":\"x\",\"reason\":\"\"}");
    cluster_node_stop(w, 0);
    cluster_node_start(w, 0); /* nothing has been turned since */
    const struct gtm_facts *facts = gtm_state_facts(w->nodes[0].state);
    assert_int_equal(cluster_health(w, 0, "a", "a2"), GTM_HEALTH_DOWN);
    assert_int_equal(cluster_share(w, 0, "a", "a1"), 250);
    assert_int_equal(gtm_states_shed(facts->states, 0, 2), 300);
    assert_int_equal(gtm_states_balance(facts->states, 1)[0], 77);
    assert_int_equal(gtm_states_balance(facts->states, 1)[1], 100);
    assert_true(facts->panic[2]);
    assert_int_equal(gtm_states_pool_admin(facts->states, 1), GTM_ADMIN_UP);
    assert_int_equal(gtm_follower_view(w->nodes[0].follower), 4);
    /* what the next verdict does not say any more is over */
    cluster_put(w, "verdict/a",
                "{\"v\":1,\"intent\":1,\"at\":1,\"by\":\"x\",\"fence\":1,\"rev\":5,\"e\":{\"a1\":{"
                "\"4\":{\"h\":\"up\",\"s\":5}}}}");
    cluster_put(w, "verdict/b",
                "{\"v\":1,\"intent\":1,\"at\":1,\"by\":\"x\",\"fence\":1,\"rev\":5,\"e\":{\"b1\":{"
                "\"4\":{\"h\":\"up\",\"s\":5}}}}");
    cluster_settle(w);
    assert_int_equal(cluster_share(w, 0, "a", "a1"), 1000);
    assert_int_equal(gtm_states_shed(facts->states, 0, 2), 0);
    assert_null(gtm_states_balance(facts->states, 1));
    assert_false(facts->panic[2]);
}

static void isolate(struct cluster *w, bool on, bool allowed, bool canaries, bool fit)
{
    gtm_follower_isolated(w->nodes[0].follower, on, allowed, canaries, fit);
    cluster_settle(w);
}

static void isolated_own_checks_only_remove(void **state)
{
    struct cluster *w = *state;
    struct gtm_state *s = w->nodes[0].state;
    cluster_put(w, "verdict/a",
                "{\"v\":1,\"intent\":1,\"at\":1,\"by\":\"x\",\"fence\":1,\"rev\":1,\"e\":{\"a1\":{"
                "\"4\":{\"h\":\"up\",\"s\":5}},"
                "\"a2\":{\"4\":{\"h\":\"down\",\"s\":5}},\"a3\":{\"4\":{\"h\":\"up\",\"s\":5}}}}");
    cluster_see(w, 0, "a/a1/m/4", REFUSED);
    cluster_see(w, 0, "a/a2/m/4", UP);
    cluster_see(w, 0, "b/b1/m/4", UP);
    cluster_settle(w);
    assert_true(cluster_serves(w, 0, "a", "a1")); /* verdicts decide */
    isolate(w, true, false, false, false);
    assert_true(cluster_serves(w, 0, "a", "a1"));
    assert_string_not_equal(gtm_follower_isolated_why(w->nodes[0].follower), "");
    isolate(w, true, true, true, false); /* its canaries fail: it is this node's network */
    assert_true(cluster_serves(w, 0, "a", "a1"));
    isolate(w, true, true, true, true);
    assert_false(cluster_serves(w, 0, "a", "a1"));
    assert_false(cluster_serves(w, 0, "a", "a2")); /* never adds */
    assert_int_equal(gtm_state_isolated_out(s), 1);
    assert_string_equal(gtm_follower_isolated_why(w->nodes[0].follower), "");

    /* the last one of the pool stays, and the last of a policy's list */
    cluster_see(w, 0, "a/a3/m/4", REFUSED);
    cluster_settle(w);
    assert_true(cluster_serves(w, 0, "a", "a3"));
    /* own checks see it again, and then a3 is not the last of the pool, but of DE's list */
    cluster_see(w, 0, "a/a1/m/4", UP);
    cluster_settle(w);
    assert_true(cluster_serves(w, 0, "a", "a1"));
    assert_true(cluster_serves(w, 0, "a", "a3"));
    /* of two endpoints that a weighted policy names, one stays */
    cluster_see(w, 0, "b/b2/m/4", REFUSED);
    cluster_settle(w);
    assert_false(cluster_serves(w, 0, "b", "b2"));
    cluster_see(w, 0, "b/b1/m/4", REFUSED);
    cluster_settle(w);
    assert_true(cluster_serves(w, 0, "b", "b1"));

    isolate(w, false, true, true, true); /* the store is back */
    assert_int_equal(gtm_state_isolated_out(s), 0);
    assert_true(cluster_serves(w, 0, "b", "b2"));
    assert_false(cluster_serves(w, 0, "a", "a2"));
}

/* Verdicts still come while a node is isolated, or just before it is not any more: what its own
 * checks took out is the last one by them. */
static void isolated_a_verdict_may_leave_the_last_one(void **state)
{
    struct cluster *w = *state;
    cluster_put(w, "verdict/a",
                "{\"v\":1,\"intent\":1,\"at\":1,\"by\":\"x\",\"fence\":1,\"rev\":1,\"e\":{\"a1\":{"
                "\"4\":{\"h\":\"up\",\"s\":5}},"
                "\"a2\":{\"4\":{\"h\":\"up\",\"s\":5}},\"a3\":{\"4\":{\"h\":\"up\",\"s\":5}}}}");
    cluster_see(w, 0, "a/a1/m/4", REFUSED);
    cluster_see(w, 0, "a/a2/m/4", UP);
    cluster_see(w, 0, "a/a3/m/4", UP);
    cluster_settle(w);
    isolate(w, true, true, true, true);
    assert_false(cluster_serves(w, 0, "a", "a1"));
    cluster_put(
        w, "verdict/a",
        "{\"v\":1,\"intent\":1,\"at\":2,\"by\":\"x\",\"fence\":1,\"rev\":2,\"e\":{\"a1\":{"
        "\"4\":{\"h\":\"up\",\"s\":5}},"
        "\"a2\":{\"4\":{\"h\":\"down\",\"s\":5}},\"a3\":{\"4\":{\"h\":\"down\",\"s\":5}}}}");
    cluster_settle(w);
    assert_true(cluster_serves(w, 0, "a", "a1"));
    assert_int_equal(gtm_state_isolated_out(w->nodes[0].state), 0);
}

static void without_canaries_something_of_its_own_must_be_up(void **state)
{
    struct cluster *w = *state;
    cluster_put(w, "verdict/a",
                "{\"v\":1,\"intent\":1,\"at\":1,\"by\":\"x\",\"fence\":1,\"rev\":1,\"e\":{\"a1\":{"
                "\"4\":{\"h\":\"up\",\"s\":5}},"
                "\"a2\":{\"4\":{\"h\":\"up\",\"s\":5}},\"a3\":{\"4\":{\"h\":\"up\",\"s\":5}}}}");
    cluster_see(w, 0, "a/a1/m/4", REFUSED);
    cluster_settle(w);
    isolate(w, true, true, false, true);
    assert_true(cluster_serves(w, 0, "a", "a1"));
    cluster_see(w, 0, "a/a2/m/4", UP);
    cluster_settle(w);
    isolate(w, true, true, false, true);
    assert_false(cluster_serves(w, 0, "a", "a1"));
    /* over a reload it stays out */
    cluster_intent(w, intent_text);
    assert_false(cluster_serves(w, 0, "a", "a1"));
    isolate(w, false, true, false, true);
    assert_true(cluster_serves(w, 0, "a", "a1"));
}

int main(void)
{
    gtm_log_set_sink(sink, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(verdicts_of_a_revision_flip_once, setup, teardown),
        cmocka_unit_test_setup_teardown(it_never_goes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_verdict_keeps_the_last_and_is_shown, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_restart_begins_with_what_the_copy_has, setup, teardown),
        cmocka_unit_test_setup_teardown(isolated_own_checks_only_remove, setup, teardown),
        cmocka_unit_test_setup_teardown(isolated_a_verdict_may_leave_the_last_one, setup, teardown),
        cmocka_unit_test_setup_teardown(without_canaries_something_of_its_own_must_be_up, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
