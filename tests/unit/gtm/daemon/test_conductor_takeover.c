/* SPDX-License-Identifier: Apache-2.0
 *
 * From one who decides to the next: what a leader that fell, stood still or came back leaves, what
 * a successor makes of old failures, and what a restored store and another intent change in that.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "gtm/base/json.h"
#include "gtm/base/log.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/conductor_int.h"
#include "tests/unit/gtm/daemon/conductor_fixture.h"

#include <stdio.h>
#include <string.h>

/* A leader that fell in the middle of its news left a word that nobody else has. */
static void who_merged_and_leads_then_writes_over_half_of_the_news(void **state)
{
    struct cluster *w = *state;
    cluster_lead(w, 0);
    cluster_node_stop(w, 0);
    cluster_mode(w, 1, POLICY_ROLE_MERGE);
    cluster_put(w, "verdict/a",
                "{\"v\":1,\"rev\":50,\"e\":{\"a1\":{\"4\":{\"h\":\"down\",\"s\":1}},"
                "\"a2\":{\"4\":{\"h\":\"up\",\"s\":1}},\"a3\":{\"4\":{\"h\":\"up\",\"s\":1}}}}");
    cluster_put(w, "view/rev", "{\"v\":1,\"rev\":50,\"by\":\"n9\",\"fence\":1,\"more\":true}");
    cluster_settle(w);
    assert_true(gtm_conductor_merging(w->nodes[1].conductor));
    cluster_lead(w, 1);
    assert_int_equal(number(w, "verdict/a", "/rev"), 51);
    everywhere(w, "a", "a1", GTM_HEALTH_UP);
}

/* What an earlier term of the same node wrote is no word of this one. */
static void a_late_answer_does_not_stand_for_the_first_view_of_a_term(void **state)
{
    struct cluster *w = *state;
    struct cluster_node *n = &w->nodes[0];
    struct gtm_store_entry entry;
    cluster_lead(w, 0);
    cluster_mode(w, 0, POLICY_ROLE_FOLLOW);
    cluster_mode(w, 0, POLICY_ROLE_LEAD);
    assert_non_null(n->conductor->flight);
    cluster_mode(w, 0, POLICY_ROLE_FOLLOW);
    n->guard++; /* elected anew */
    n->valid = false;
    cluster_mode(w, 0, POLICY_ROLE_LEAD);
    cluster_put(w, "leader/test", "{\"v\":1,\"node\":\"n0\"}");
    cluster_settle(w);
    assert_int_equal(gtm_store_get(w->store, "leader/test", &entry), 0);
    n->guard = entry.revision;
    n->valid = true;
    gtm_conductor_second(n->conductor, NULL);
    cluster_settle(w);
    assert_int_equal(number(w, "view/rev", "/fence"), n->guard);
}

static void a_dispute_outlives_another_intent(void **state)
{
    struct cluster *w = *state;
    char text[sizeof(intent_text)];
    snprintf(text, sizeof(text), "%s", intent_text);
    memcpy(strstr(text, "ramp: 20s"), "ramp: 30s", 9);
    cluster_lead(w, 0);
    cluster_node_stop(w, 0); /* its key stands */
    cluster_see(w, 1, A1, REFUSED);
    cluster_see(w, 2, A1, REFUSED);
    cluster_settle(w);
    uint64_t since_ms = gtm_conductor_unanswered_ms(w->nodes[1].conductor);
    assert_true(since_ms > 0);
    cluster_pass(w, 1500);
    cluster_intent(w, text);
    cluster_see(w, 1, A3, REFUSED); /* something else is looked at */
    cluster_settle(w);
    assert_int_equal(gtm_conductor_unanswered_ms(w->nodes[1].conductor), since_ms);
    /* in the middle of a change of intents nothing is judged */
    struct gtm_intent *other = cluster_parse(text);
    struct gtm_state_next *next = gtm_state_prepare(w->nodes[1].state, other);
    assert_non_null(next);
    gtm_state_commit(w->nodes[1].state, next);
    cluster_pass(w, 100);
    gtm_conductor_view(w->nodes[1].conductor, cluster_view(w), false);
    assert_int_equal(gtm_conductor_unanswered_ms(w->nodes[1].conductor), since_ms);
    next = gtm_state_prepare(w->nodes[1].state, w->intent);
    assert_non_null(next);
    gtm_state_commit(w->nodes[1].state, next);
    gtm_intent_unref(other);
    cluster_see(w, 1, A1, UP);
    cluster_see(w, 2, A1, UP);
    cluster_settle(w);
    assert_int_equal(gtm_conductor_unanswered_ms(w->nodes[1].conductor), 0);
}

/* Two of three, minutes apart: obeyed then, and obeyed by who comes later. */
static void a_successor_begins_no_panic_over_old_failures(void **state)
{
    struct cluster *w = *state;
    cluster_lead(w, 0);
    cluster_see_all(w, A1, STATUS);
    cluster_pass(w, 120000);
    cluster_see_all(w, A2, STATUS);
    everywhere(w, "a", "a1", GTM_HEALTH_DOWN);
    everywhere(w, "a", "a2", GTM_HEALTH_DOWN);
    cluster_pass(w, 120000);
    cluster_lead(w, 1);
    everywhere(w, "a", "a1", GTM_HEALTH_DOWN);
    everywhere(w, "a", "a2", GTM_HEALTH_DOWN);
    assert_false(gtm_state_facts(w->nodes[2].state)->panic[0]);
    /* what fails from now on counts as ever: two at once are too many */
    cluster_see_all(w, A1, UP);
    cluster_see_all(w, A2, UP);
    cluster_see_all(w, A3, STATUS);
    cluster_see_all(w, A2, STATUS);
    assert_true(gtm_state_facts(w->nodes[2].state)->panic[0]);
}

/* One of two monitors fails, and one is enough: it serves in full, also after a change of leaders.
 */
static void a_successor_leaves_what_is_degraded_alone(void **state)
{
    struct cluster *w = *state;
    char text[sizeof(intent_text) + 256];
    snprintf(text, sizeof(text), "%s", intent_text);
    char *pools = strstr(text, "pools:\n"), rest[sizeof(intent_text)];
    snprintf(rest, sizeof(rest), "%s", pools);
    memcpy(strstr(rest, "monitors: [m]"), "monitors: [M]", 13);
    char *at = strstr(rest, "[M]");
    snprintf(pools, sizeof(text) - (size_t)(pools - text),
             "  - {name: n, kind: tcp, port: 81, interval: 1s}\n%.*s[m, n]\n    require: any%s",
             (int)(at - rest), rest, at + 3);
    cluster_lead(w, 0);
    cluster_intent(w, text);
    cluster_see_all(w, "a/a1/n/4", UP);
    cluster_see_all(w, A1, REFUSED);
    everywhere(w, "a", "a1", GTM_HEALTH_DEGRADED);
    assert_int_equal(cluster_share(w, 2, "a", "a1"), 1000);
    cluster_lead(w, 1);
    everywhere(w, "a", "a1", GTM_HEALTH_DEGRADED);
    assert_int_equal(cluster_share(w, 2, "a", "a1"), 1000);
}

/* Revisions of views begin anew in an older snapshot. */
static void a_merge_ends_with_the_first_view_of_a_restored_store(void **state)
{
    struct cluster *w = *state;
    cluster_put(w, "store/id", "{\"v\":1,\"epoch\":1}");
    cluster_put(w, "view/rev", "{\"v\":1,\"rev\":70,\"by\":\"n0\",\"fence\":1}");
    cluster_settle(w);
    cluster_mode(w, 2, POLICY_ROLE_MERGE);
    cluster_put(w, "view/rev", "{\"v\":1,\"rev\":7,\"by\":\"n0\",\"fence\":1}");
    cluster_put(w, "store/id", "{\"v\":1,\"epoch\":2}");
    w->nodes[0].view = w->nodes[1].view = w->nodes[2].view = 0;
    cluster_settle(w);
    cluster_lead(w, 1);
    assert_false(gtm_conductor_merging(w->nodes[2].conductor));
    assert_int_equal(gtm_follower_view(w->nodes[2].follower), 8);
}

/* A leader that stood still, and woke up when all was as before, has nothing to write: others must
 * not merge for ever. */
static void a_leader_that_stood_still_says_that_it_is_back(void **state)
{
    struct cluster *w = *state;
    cluster_lead(w, 0);
    for (int i = 0; i < 3; i++) {
        cluster_pass(w, 1000);
        gtm_conductor_second(w->nodes[0].conductor, NULL);
    }
    cluster_settle(w);
    int64_t view = cluster_view(w);
    cluster_pass(w, 1500); /* late, but not so late */
    gtm_conductor_second(w->nodes[0].conductor, NULL);
    cluster_settle(w);
    assert_int_equal(cluster_view(w), view);
    cluster_mode(w, 2, POLICY_ROLE_MERGE);
    cluster_pass(w, 2500);
    gtm_conductor_second(w->nodes[0].conductor, NULL);
    cluster_settle(w);
    assert_int_equal(cluster_view(w), view + 1);
    assert_false(gtm_conductor_merging(w->nodes[2].conductor));
}

/* Back after a moment without the store: what it decided by is still true, unless another decided
 * meanwhile, and what it heard meanwhile counts. */
static void a_leader_that_lost_sight_goes_on(void **state)
{
    struct cluster *w = *state;
    struct gtm_conductor *c = w->nodes[0].conductor;
    cluster_lead(w, 0);
    const struct gtm_state *pipe = gtm_conductor_pipeline(c);
    int64_t view = cluster_view(w);
    cluster_mode(w, 0, POLICY_ROLE_ISOLATED);
    cluster_see(w, 0, A1, REFUSED);
    cluster_see(w, 1, A1, REFUSED);
    cluster_settle(w);
    assert_int_equal(cluster_view(w), view); /* nothing is decided meanwhile */
    cluster_mode(w, 0, POLICY_ROLE_LEAD);
    cluster_settle(w);
    assert_ptr_equal(gtm_conductor_pipeline(c), pipe);
    everywhere(w, "a", "a1", GTM_HEALTH_DOWN);
    assert_true(cluster_view(w) > view);
}

static void a_leader_that_lost_sight_begins_anew_after_another(void **state)
{
    struct cluster *w = *state;
    struct gtm_conductor *c = w->nodes[0].conductor;
    cluster_lead(w, 0);
    cluster_mode(w, 0, POLICY_ROLE_ISOLATED);
    assert_non_null(gtm_conductor_pipeline(c));
    cluster_see(w, 1, A1, REFUSED);
    cluster_see(w, 2, A1, REFUSED);
    cluster_settle(w);
    cluster_mode(w, 0, POLICY_ROLE_FOLLOW);
    assert_null(gtm_conductor_pipeline(c));
    assert_true(gtm_conductor_unanswered_ms(c) > 0); /* it was heard by the one that is gone */
    cluster_lead(w, 0);
    everywhere(w, "a", "a1", GTM_HEALTH_DOWN);
    cluster_mode(w, 0, POLICY_ROLE_ISOLATED);
    const struct gtm_state *pipe = gtm_conductor_pipeline(c);
    char text[96];
    snprintf(text, sizeof(text), "{\"v\":1,\"rev\":%lld,\"by\":\"n9\",\"fence\":1}",
             (long long)cluster_view(w) + 7);
    cluster_put(w, "view/rev", text);
    cluster_settle(w);
    uint64_t before = c->generation;
    assert_non_null(pipe);
    cluster_mode(w, 0, POLICY_ROLE_LEAD);
    assert_true(c->generation > before); /* it has read the verdicts again */
    cluster_settle(w);
    everywhere(w, "a", "a1", GTM_HEALTH_DOWN);
}

int main(void)
{
    gtm_log_set_sink(sink, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_merged_and_leads_then_writes_over_half_of_the_news,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_late_answer_does_not_stand_for_the_first_view_of_a_term,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_dispute_outlives_another_intent, setup, teardown),
        cmocka_unit_test_setup_teardown(a_successor_begins_no_panic_over_old_failures, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_successor_leaves_what_is_degraded_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_merge_ends_with_the_first_view_of_a_restored_store, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_leader_that_lost_sight_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(a_leader_that_lost_sight_begins_anew_after_another, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_leader_that_stood_still_says_that_it_is_back, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
