/* SPDX-License-Identifier: Apache-2.0
 *
 * What a vantage tells of what it sees, and when it looks because another saw something.
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

static const char head[] = "regions: [{name: r1, location: [1, 1]}, {name: r2, location: [2, 2]}]\n"
                           "monitors: [{name: m, kind: tcp, port: 80, interval: 1s}]\n"
                           "pools:\n";
#define POOLS 250

/* Pools p0 … of one endpoint each, in two families. */
static const char *world(unsigned pools)
{
    static char text[sizeof(head) + POOLS * 200];
    size_t n = (size_t)snprintf(text, sizeof(text), "%s", head);
    for (unsigned i = 0; i < pools; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n,
                              "  - {name: p%u, monitors: [m], endpoints: [{name: e, region: r1, "
                              "addresses: [192.0.2.1, \"2001:db8::1\"]}]}\n",
                              i);
    return text;
}

#define UP      GTM_HEALTH_UP, HEALTH_RESULT_OK
#define REFUSED GTM_HEALTH_DOWN, HEALTH_RESULT_REFUSED

static void sink(void *ctx, const char *line)
{
}

static int setup(void **state)
{
    struct cluster *w = gtm_calloc(1, sizeof(*w));
    cluster_open(w, world(2), "r1 r2");
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    cluster_close(*state);
    gtm_free(*state);
    return 0;
}

static struct gtm_observer_info info(struct cluster *w, size_t node)
{
    struct gtm_observer_info out;
    gtm_observer_info(w->nodes[node].observer, &out);
    return out;
}

static void what_is_known_is_told_and_nothing_else(void **state)
{
    struct cluster *w = *state;
    assert_null(cluster_get(w, "obs/n0/p0")); /* nothing is known yet */
    cluster_see(w, 0, "p0/e/m/4", REFUSED);
    cluster_settle(w);
    const char *text = cluster_get(w, "obs/n0/p0");
    assert_non_null(strstr(text, "\"refused\""));
    assert_non_null(strstr(text, "seen by n0"));
    assert_non_null(strstr(text, "\"region\":\"r1\""));
    assert_null(cluster_get(w, "obs/n0/p1"));
    assert_null(cluster_get(w, "obs/n1/p0"));
    cluster_see(w, 0, "p0/e/m/4", UP);
    cluster_settle(w);
    assert_null(strstr(cluster_get(w, "obs/n0/p0"), "refused"));
}

static void a_turn_of_changes_is_few_commits(void **state)
{
    struct cluster *w = *state;
    cluster_intent(w, world(POOLS));
    struct gtm_observer_info before = info(w, 0);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < POOLS; i++) {
            char key[32];
            snprintf(key, sizeof(key), "p%u/e/m/4", i);
            cluster_see(w, 0, key, round % 2 ? GTM_HEALTH_DOWN : GTM_HEALTH_UP, HEALTH_RESULT_OK);
        }
    }
    cluster_settle(w);
    struct gtm_observer_info after = info(w, 0);
    assert_int_equal(after.objects - before.objects, POOLS); /* the newest state of each */
    assert_int_equal(after.commits - before.commits, 3);     /* at most 100 in each */
    assert_int_equal(after.waiting, 0);
}

static void another_lease_writes_all_again(void **state)
{
    struct cluster *w = *state;
    cluster_see(w, 0, "p0/e/m/4", UP);
    cluster_see(w, 0, "p1/e/m/6", UP);
    cluster_settle(w);
    gtm_observer_session(w->nodes[0].observer, 0);
    cluster_put(w, "obs/n0/p0", NULL);
    cluster_put(w, "obs/n0/p1", NULL);
    cluster_see(w, 0, "p0/e/m/6", UP);
    cluster_settle(w);
    assert_null(cluster_get(w, "obs/n0/p0")); /* without a session nothing can be told */
    assert_true(info(w, 0).waiting > 0);
    gtm_observer_session(w->nodes[0].observer, 2);
    cluster_settle(w);
    assert_non_null(cluster_get(w, "obs/n0/p0"));
    assert_non_null(cluster_get(w, "obs/n0/p1"));
    uint64_t objects = info(w, 0).objects;
    gtm_observer_session(w->nodes[0].observer, 2);
    cluster_settle(w);
    assert_int_equal(info(w, 0).objects, objects);
}

static void pools_that_are_gone_are_removed(void **state)
{
    struct cluster *w = *state;
    cluster_see(w, 0, "p1/e/m/4", UP);
    cluster_settle(w);
    assert_non_null(cluster_get(w, "obs/n0/p1"));
    cluster_put(w, "obs/n0/old", "{}"); /* of an earlier run */
    cluster_put(w, "obs/n1/old", "{}"); /* another's */
    cluster_intent(w, world(1));
    assert_null(cluster_get(w, "obs/n0/p1"));
    assert_null(cluster_get(w, "obs/n0/old"));
    assert_null(cluster_get(w, "obs/n1/old")); /* by its own node, which runs here, too */
}

/* Detection over all vantages takes about as long as the earliest: one that sees a change makes the
 * others look at once, and their answers make the quorum. */
static void another_vantage_prompts_a_look_once(void **state)
{
    struct cluster *w = *state;
    cluster_see_all(w, "p0/e/m/4", UP);
    w->nodes[0].prompts = w->nodes[1].prompts = 0;
    cluster_pass(w, 1000);
    cluster_see(w, 0, "p0/e/m/4", REFUSED);
    cluster_settle(w);
    assert_int_equal(w->nodes[0].prompts, 0); /* its own word */
    assert_int_equal(w->nodes[1].prompts, 1);
    assert_string_equal(w->nodes[1].prompted, "p0/e/m/4");
    /* at most once per half interval */
    cluster_see(w, 0, "p0/e/m/4", UP);
    cluster_settle(w);
    assert_int_equal(w->nodes[1].prompts, 1); /* as it sees it itself */
    cluster_see(w, 0, "p0/e/m/4", REFUSED);
    cluster_settle(w);
    assert_int_equal(w->nodes[1].prompts, 1);
    cluster_pass(w, 500);
    cluster_see(w, 0, "p0/e/m/4", UP);
    cluster_settle(w);
    cluster_see(w, 0, "p0/e/m/4", REFUSED);
    cluster_settle(w);
    assert_int_equal(w->nodes[1].prompts, 2);
    /* one that has no vote is not heeded */
    cluster_put(w, "node/n0", "{\"v\":1,\"region\":\"r1\",\"vantage\":{\"fit\":false}}");
    cluster_pass(w, 5000);
    cluster_see(w, 0, "p0/e/m/4", UP);
    cluster_settle(w);
    cluster_see(w, 0, "p0/e/m/4", REFUSED);
    cluster_settle(w);
    assert_int_equal(w->nodes[1].prompts, 2);
}

static void a_free_in_the_middle_of_a_commit_is_fine(void **state)
{
    struct cluster *w = *state;
    cluster_see(w, 0, "p0/e/m/4", UP);
    CLUSTER_UNTIL(w, info(w, 0).commits > 0);
    cluster_node_stop(w, 0);
    cluster_settle(w);
    assert_non_null(cluster_get(w, "obs/n0/p0"));
}

int main(void)
{
    gtm_log_set_sink(sink, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_known_is_told_and_nothing_else, setup, teardown),
        cmocka_unit_test_setup_teardown(a_turn_of_changes_is_few_commits, setup, teardown),
        cmocka_unit_test_setup_teardown(another_lease_writes_all_again, setup, teardown),
        cmocka_unit_test_setup_teardown(pools_that_are_gone_are_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(another_vantage_prompts_a_look_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_free_in_the_middle_of_a_commit_is_fine, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
