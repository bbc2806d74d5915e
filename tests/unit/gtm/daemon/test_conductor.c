/* SPDX-License-Identifier: Apache-2.0
 *
 * Nodes that decide together over one store: what a quorum sees is written by the leader and served
 * by all; a minority and a leader that was publish nothing; a successor goes on where it was; while
 * nobody leads every node merges by itself.
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
#include "gtm/daemon/state_int.h"
#include "tests/unit/gtm/daemon/conductor_fixture.h"

#include <stdio.h>
#include <string.h>

/* The pipeline's timer fires, as it would by the real clock. */
static void step(struct cluster *w, size_t node, uint64_t ms)
{
    cluster_pass(w, ms);
    gtm_state__on_share(w->nodes[node].conductor->pipe);
    conductor__write(w->nodes[node].conductor);
    cluster_settle(w);
}

static void a_successor_without_news_writes_the_view_alone(void **state)
{
    struct cluster *w = *state;
    struct gtm_conductor_info info;
    cluster_lead(w, 0);
    int64_t view = cluster_view(w);
    cluster_lead(w, 1);
    gtm_conductor_info(w->nodes[1].conductor, &info);
    assert_int_equal(info.writes, 1);
    assert_int_equal(info.objects, 0);
    assert_int_equal(cluster_view(w), view + 1);
}

static void a_quorum_is_obeyed_everywhere_at_one_revision(void **state)
{
    struct cluster *w = *state;
    cluster_lead(w, 0);
    everywhere(w, "a", "a1", GTM_HEALTH_UP);
    int64_t before = cluster_view(w);
    assert_true(before >= 1);
    unsigned flips = w->nodes[2].flips;

    cluster_see(w, 0, A1, REFUSED);
    cluster_settle(w);
    everywhere(w, "a", "a1", GTM_HEALTH_UP); /* one of three regions */
    assert_int_equal(cluster_view(w), before);

    cluster_see(w, 1, A1, REFUSED);
    cluster_see(w, 1, A2, REFUSED); /* alone */
    cluster_settle(w);
    everywhere(w, "a", "a1", GTM_HEALTH_DOWN);
    everywhere(w, "a", "a2", GTM_HEALTH_UP);
    assert_int_equal(cluster_view(w), before + 1);
    assert_int_equal(number(w, "verdict/a", "/rev"), before + 1);
    assert_int_equal(number(w, "verdict/a", "/fence"), w->nodes[0].guard);
    assert_true(number(w, "verdict/b", "/rev") <= before); /* not touched */
    assert_non_null(strstr(cluster_get(w, "verdict/a"), "2 of 3"));
    assert_int_equal(w->nodes[2].flips, flips + 1);
    assert_int_equal(gtm_follower_view(w->nodes[2].follower), before + 1);
    /* nothing of it is kept in the followers' own shards */
    assert_null(cluster_get(w, "verdict/0000"));
    assert_null(cluster_get(w, "lastgood/0000"));
}

static void a_minority_of_vantages_publishes_nothing(void **state)
{
    struct cluster *w = *state;
    cluster_lead(w, 0);
    cluster_node_stop(w, 1);
    cluster_node_stop(w, 2);
    cluster_put(w, "node/n1", NULL);
    cluster_put(w, "node/n2", NULL);
    cluster_put(w, "obs/n1/a", NULL);
    cluster_put(w, "obs/n2/a", NULL);
    cluster_settle(w);
    cluster_see(w, 0, A1, REFUSED);
    cluster_settle(w);
    assert_int_equal(cluster_health(w, 0, "a", "a1"), GTM_HEALTH_UP);
    assert_non_null(strstr(cluster_get(w, "verdict/a"), "\"stale\":true"));
    /* an observation without its node's key counts as little as none */
    cluster_put(w, "obs/n2/a",
                "{\"v\":1,\"region\":\"r2\",\"at\":1,\"seq\":9,\"m\":{\"m\":{\"4\":{\"up\":[],"
                "\"unknown\":[],\"down\":[[\"a1\",1,\"refused\",\"x\"]]}}}}");
    cluster_settle(w);
    assert_int_equal(cluster_health(w, 0, "a", "a1"), GTM_HEALTH_UP);
    cluster_put(w, "node/n2", "{\"v\":1,\"region\":\"r2\",\"vantage\":{\"fit\":false}}");
    cluster_settle(w);
    assert_int_equal(cluster_health(w, 0, "a", "a1"), GTM_HEALTH_UP);
    cluster_put(w, "node/n2", "{\"v\":1,\"region\":\"r2\",\"vantage\":{\"fit\":true}}");
    cluster_settle(w);
    assert_int_equal(cluster_health(w, 0, "a", "a1"), GTM_HEALTH_DOWN);
}

static void a_leader_that_was_writes_nothing(void **state)
{
    struct cluster *w = *state;
    cluster_lead(w, 0);
    cluster_lead(w, 1);
    int64_t view = cluster_view(w);
    /* it has not noticed: thinks that it leads, with a guard that is stale */
    w->nodes[0].valid = true;
    cluster_mode(w, 0, POLICY_ROLE_LEAD);
    cluster_settle(w);
    struct gtm_conductor_info info;
    gtm_conductor_info(w->nodes[0].conductor, &info);
    assert_true(info.conflicts >= 1);
    assert_int_equal(cluster_view(w), view);
    assert_non_null(strstr(cluster_get(w, "view/rev"), "\"n1\""));
    /* a session that may be over keeps it from even trying */
    w->nodes[0].valid = false;
    cluster_settle(w);
    gtm_conductor_info(w->nodes[0].conductor, &info);
    uint64_t conflicts = info.conflicts;
    cluster_settle(w);
    gtm_conductor_info(w->nodes[0].conductor, &info);
    assert_int_equal(info.conflicts, conflicts);
}

static void a_successor_goes_on_in_the_middle_of_a_ramp(void **state)
{
    struct cluster *w = *state;
    cluster_lead(w, 0);
    cluster_see_all(w, A1, REFUSED);
    everywhere(w, "a", "a1", GTM_HEALTH_DOWN);
    cluster_pass(w, 5000);
    cluster_see_all(w, A1, UP);
    unsigned first = cluster_share(w, 2, "a", "a1");
    assert_true(first < 200);
    step(w, 0, 8000);
    unsigned then = cluster_share(w, 2, "a", "a1");
    assert_in_range(then, 300, 500);

    int64_t view = cluster_view(w);
    cluster_pass(w, 1500);
    cluster_node_stop(w, 0); /* gone without a word */
    cluster_lead(w, 1);
    unsigned now = cluster_share(w, 2, "a", "a1");
    assert_in_range(now, then, 550); /* on, neither back nor to the end */
    assert_int_equal(cluster_view(w), view + 1);
    step(w, 1, 4000);
    assert_in_range(cluster_share(w, 2, "a", "a1"), now + 100, 800);
    step(w, 1, 20000);
    assert_int_equal(cluster_share(w, 2, "a", "a1"), 1000);
}

static void shares_are_written_at_most_once_a_second(void **state)
{
    struct cluster *w = *state;
    struct gtm_conductor_info before, now;
    cluster_lead(w, 0);
    cluster_see_all(w, A1, REFUSED);
    cluster_see_all(w, A1, UP);
    cluster_pass(w, 2000);
    step(w, 0, 0);
    gtm_conductor_info(w->nodes[0].conductor, &before);
    for (int i = 0; i < 9; i++)
        step(w, 0, 110);
    gtm_conductor_info(w->nodes[0].conductor, &now);
    assert_true(now.writes <= before.writes + 1);
    /* but health does not wait for that */
    cluster_see(w, 0, A2, REFUSED);
    cluster_see(w, 1, A2, REFUSED);
    cluster_settle(w);
    everywhere(w, "a", "a2", GTM_HEALTH_DOWN);
}

static void a_successor_ends_what_happened_meanwhile(void **state)
{
    struct cluster *w = *state;
    cluster_lead(w, 0);
    cluster_see_all(w, A1, REFUSED);
    cluster_node_stop(w, 0);
    /* nobody leads: a1 recovers, a2 fails */
    cluster_see(w, 1, A1, UP);
    cluster_see(w, 2, A1, UP);
    cluster_see(w, 1, A2, REFUSED);
    cluster_see(w, 2, A2, REFUSED);
    cluster_settle(w);
    assert_int_equal(cluster_health(w, 1, "a", "a1"), GTM_HEALTH_DOWN);
    cluster_lead(w, 1);
    assert_int_equal(cluster_health(w, 2, "a", "a1"), GTM_HEALTH_UP);
    assert_true(cluster_share(w, 2, "a", "a1") < 200); /* it ramps, and does not jump */
    assert_int_equal(cluster_health(w, 2, "a", "a2"), GTM_HEALTH_DOWN);
}

static void without_a_leader_every_node_merges_until_one_writes(void **state)
{
    struct cluster *w = *state;
    cluster_lead(w, 0);
    int64_t view = cluster_view(w);
    cluster_node_stop(w, 0);
    cluster_mode(w, 1, POLICY_ROLE_MERGE);
    cluster_mode(w, 2, POLICY_ROLE_MERGE);
    assert_true(gtm_conductor_merging(w->nodes[1].conductor));
    cluster_see(w, 1, A1, REFUSED);
    cluster_see(w, 2, A1, REFUSED);
    cluster_settle(w);
    assert_int_equal(cluster_health(w, 1, "a", "a1"), GTM_HEALTH_DOWN);
    assert_int_equal(cluster_health(w, 2, "a", "a1"), GTM_HEALTH_DOWN);
    assert_int_equal(cluster_view(w), view); /* unpublished */
    assert_non_null(strstr(cluster_get(w, "verdict/a"), "\"n0\""));

    /* a leader stands but has written nothing: nobody goes back to its users' dead region */
    cluster_mode(w, 2, POLICY_ROLE_FOLLOW);
    gtm_follower_intent(w->nodes[2].follower);
    cluster_settle(w);
    assert_int_equal(cluster_health(w, 2, "a", "a1"), GTM_HEALTH_DOWN);
    assert_true(gtm_conductor_unanswered_ms(w->nodes[2].conductor) > 0);

    unsigned flips = w->nodes[2].flips;
    cluster_lead(w, 1);
    assert_false(gtm_conductor_merging(w->nodes[1].conductor));
    assert_false(gtm_conductor_merging(w->nodes[2].conductor));
    assert_null(gtm_conductor_pipeline(w->nodes[2].conductor));
    assert_int_equal(cluster_view(w), view + 1);
    assert_int_equal(cluster_health(w, 2, "a", "a1"), GTM_HEALTH_DOWN);
    assert_true(w->nodes[2].flips <= flips + 1);
    assert_int_equal(gtm_conductor_unanswered_ms(w->nodes[2].conductor), 0);
}

static void a_merge_waits_for_the_whole_of_the_news(void **state)
{
    struct cluster *w = *state;
    cluster_lead(w, 0);
    cluster_node_stop(w, 0);
    cluster_mode(w, 2, POLICY_ROLE_MERGE);
    cluster_see(w, 1, A1, REFUSED);
    cluster_see(w, 2, A1, REFUSED);
    cluster_settle(w);
    cluster_put(w, "view/rev", "{\"v\":1,\"rev\":50,\"by\":\"n9\",\"fence\":9,\"more\":true}");
    cluster_settle(w);
    assert_true(gtm_conductor_merging(w->nodes[2].conductor));
    assert_int_equal(cluster_health(w, 2, "a", "a1"), GTM_HEALTH_DOWN);
    cluster_put(w, "view/rev", "{\"v\":1,\"rev\":51,\"by\":\"n9\",\"fence\":9}");
    cluster_settle(w);
    assert_false(gtm_conductor_merging(w->nodes[2].conductor));
    assert_int_equal(cluster_health(w, 2, "a", "a1"), GTM_HEALTH_UP); /* the store's word wins */
}

static void a_merge_that_the_leader_does_not_share_ends(void **state)
{
    struct cluster *w = *state;
    cluster_lead(w, 0);
    /* n2 merges what n0, which leads on, does not hear */
    cluster_mode(w, 2, POLICY_ROLE_MERGE);
    cluster_see(w, 1, A1, REFUSED);
    cluster_see(w, 2, A1, REFUSED);
    cluster_mode(w, 0, POLICY_ROLE_FOLLOW);
    cluster_settle(w);
    assert_int_equal(cluster_health(w, 2, "a", "a1"), GTM_HEALTH_DOWN);
    cluster_see(w, 1, A1, UP);
    cluster_see(w, 2, A1, UP);
    cluster_settle(w);
    cluster_lead(w, 0); /* its verdicts win, in the whole */
    assert_int_equal(cluster_health(w, 2, "a", "a1"), GTM_HEALTH_UP);
    assert_int_equal(cluster_share(w, 2, "a", "a1"), cluster_share(w, 0, "a", "a1"));
    assert_int_equal(cluster_share(w, 2, "a", "a1"), 1000);
}

static void panic_holds_what_a_quorum_sees_fail_by_content(void **state)
{
    struct cluster *w = *state;
    cluster_lead(w, 0);
    cluster_see_all(w, A1, STATUS);
    everywhere(w, "a", "a1", GTM_HEALTH_DOWN); /* one of three: believed */
    cluster_see_all(w, A2, STATUS);
    for (size_t i = 0; i < 3; i++) {
        assert_true(cluster_serves(w, i, "a", "a1"));
        assert_true(cluster_serves(w, i, "a", "a2"));
        assert_true(gtm_state_facts(w->nodes[i].state)->panic[0]);
        assert_true(gtm_state_facts(w->nodes[i].state)->panic_held[0]);
    }
    /* the next leader holds them, too */
    cluster_lead(w, 1);
    assert_true(cluster_serves(w, 2, "a", "a1"));
    assert_true(cluster_serves(w, 2, "a", "a2"));
    /* a failure of transport is obeyed in the middle of it */
    cluster_see_all(w, A3, REFUSED);
    everywhere(w, "a", "a3", GTM_HEALTH_DOWN);
    cluster_see_all(w, A2, UP);
    assert_false(gtm_state_facts(w->nodes[2].state)->panic[0]);
    everywhere(w, "a", "a1", GTM_HEALTH_DOWN);
}

static void on_order(void *arg, int code, const struct gtm_error *err)
{
    *(int *)arg = code + 1;
}

static void an_order_takes_effect_everywhere_and_so_does_its_end(void **state)
{
    struct cluster *w = *state;
    int done = 0;
    struct gtm_override order = {.admin = GTM_ADMIN_DOWN,
                                 .owner = "ann",
                                 .reason = "test",
                                 .since_ms = w->clock.wall_ms,
                                 .until_ms = w->clock.wall_ms + 60000};
    cluster_lead(w, 0);
    assert_int_equal(
        gtm_state_override(w->nodes[2].state, "endpoint/a/a2", &order, on_order, &done), 0);
    assert_true(cluster_serves(w, 2, "a", "a2")); /* when the store has it */
    cluster_settle(w);
    cluster_settle(w);
    assert_int_equal(done, 1);
    for (size_t i = 0; i < 3; i++)
        assert_false(cluster_serves(w, i, "a", "a2"));
    cluster_put(w, "override/endpoint/a/a2", NULL);
    cluster_settle(w);
    for (size_t i = 0; i < 3; i++)
        assert_true(cluster_serves(w, i, "a", "a2"));
    assert_non_null(cluster_get(w, "head/audit"));
}

static void a_drain_over_time_is_the_leaders_shares(void **state)
{
    struct cluster *w = *state;
    struct gtm_override order = {
        .admin = GTM_ADMIN_DRAIN, .owner = "ann", .since_ms = w->clock.wall_ms, .over_ms = 20000};
    int done = 0;
    cluster_lead(w, 0);
    assert_int_equal(
        gtm_state_override(w->nodes[1].state, "endpoint/a/a2", &order, on_order, &done), 0);
    cluster_settle(w);
    cluster_settle(w);
    assert_true(cluster_serves(w, 2, "a", "a2"));
    step(w, 0, 10000);
    assert_in_range(cluster_share(w, 2, "a", "a2"), 400, 600);
    cluster_pass(w, 30000); /* by no clock but the leader's */
    cluster_settle(w);
    assert_true(cluster_serves(w, 2, "a", "a2"));
    step(w, 0, 0);
    for (size_t i = 0; i < 3; i++)
        assert_false(cluster_serves(w, i, "a", "a2"));
    cluster_lead(w, 1); /* it stays so */
    assert_false(cluster_serves(w, 2, "a", "a2"));
    cluster_put(w, "override/endpoint/a/a2", NULL);
    cluster_settle(w);
    step(w, 1, 1100);
    assert_true(cluster_serves(w, 2, "a", "a2"));
    assert_int_equal(cluster_share(w, 2, "a", "a2"), 1000);
}

static void a_pool_that_is_gone_loses_its_verdict(void **state)
{
    struct cluster *w = *state;
    cluster_lead(w, 0);
    assert_non_null(cluster_get(w, "verdict/b"));
    char text[sizeof(intent_text)];
    snprintf(text, sizeof(text), "%s", intent_text);
    *strstr(text, "  - name: b\n") = '\0';
    cluster_see_all(w, A1, REFUSED);
    cluster_intent(w, text);
    assert_null(cluster_get(w, "verdict/b"));
    assert_null(cluster_get(w, "obs/n1/b"));
    everywhere(w, "a", "a1", GTM_HEALTH_DOWN);
    cluster_see_all(w, A1, UP);
    everywhere(w, "a", "a1", GTM_HEALTH_UP);
}

static void a_leader_that_does_not_act_is_noticed(void **state)
{
    struct cluster *w = *state;
    cluster_lead(w, 0);
    cluster_node_stop(w, 0); /* its key stands */
    assert_int_equal(gtm_conductor_unanswered_ms(w->nodes[1].conductor), 0);
    cluster_see(w, 1, A1, REFUSED);
    cluster_see(w, 2, A1, REFUSED);
    cluster_settle(w);
    assert_true(gtm_conductor_unanswered_ms(w->nodes[1].conductor) > 0);
    assert_true(w->nodes[1].pokes > 0);
    cluster_see(w, 1, A1, UP);
    cluster_see(w, 2, A1, UP);
    cluster_settle(w);
    assert_int_equal(gtm_conductor_unanswered_ms(w->nodes[1].conductor), 0);
}

/* While it was isolated its own checks took out what the others see down, too: nothing to dispute.
 * Then the verdict is in force again, and nobody has changed it. */
static void what_isolation_hid_is_disputed(void **state)
{
    struct cluster *w = *state;
    cluster_lead(w, 0);
    cluster_node_stop(w, 0); /* its key stands */
    cluster_see(w, 1, A1, REFUSED);
    gtm_follower_isolated(w->nodes[1].follower, true, true, true, true);
    cluster_settle(w);
    assert_false(cluster_serves(w, 1, "a", "a1"));
    cluster_see(w, 2, A1, REFUSED);
    cluster_settle(w);
    assert_int_equal(gtm_conductor_unanswered_ms(w->nodes[1].conductor), 0);
    gtm_follower_isolated(w->nodes[1].follower, false, true, true, true);
    gtm_conductor_look(w->nodes[1].conductor);
    assert_true(cluster_serves(w, 1, "a", "a1"));
    assert_true(gtm_conductor_unanswered_ms(w->nodes[1].conductor) > 0);
}

/* Its own check is alone, and its own check is what took it out: no leader owes an answer. What the
 * others see as well is no longer disputed when its own check took it out, whoever notices. */
static void what_own_checks_took_out_is_not_disputed(void **state)
{
    struct cluster *w = *state;
    cluster_lead(w, 0);
    cluster_see(w, 1, A1, REFUSED);
    gtm_follower_isolated(w->nodes[1].follower, true, true, true, true);
    cluster_settle(w);
    assert_false(cluster_serves(w, 1, "a", "a1"));
    gtm_conductor_look(w->nodes[1].conductor);
    assert_int_equal(gtm_conductor_unanswered_ms(w->nodes[1].conductor), 0);

    gtm_follower_isolated(w->nodes[1].follower, false, true, true, true);
    cluster_node_stop(w, 0); /* its key stands */
    cluster_see(w, 2, A1, REFUSED);
    cluster_settle(w);
    assert_true(gtm_conductor_unanswered_ms(w->nodes[1].conductor) > 0);
    gtm_follower_isolated(w->nodes[1].follower, true, true, true, true);
    gtm_conductor_second(w->nodes[1].conductor, NULL);
    assert_int_equal(gtm_conductor_unanswered_ms(w->nodes[1].conductor), 0);
}

/* The leader was deaf for a moment; what it missed is over before it hears again, so it writes
 * nothing, and the node that merged around it must not wait for ever. */
static void a_merge_that_says_what_the_store_says_is_over(void **state)
{
    struct cluster *w = *state;
    struct cluster_node *node = &w->nodes[1];
    cluster_lead(w, 0);
    cluster_node_stop(w, 0); /* its key stands */
    cluster_see(w, 1, A1, REFUSED);
    cluster_see(w, 2, A1, REFUSED);
    cluster_settle(w);
    uint64_t since_ms = gtm_conductor_unanswered_ms(node->conductor);
    cluster_pass(w, POLICY_LEADERLESS_MS);
    cluster_mode(w, 1, POLICY_ROLE_MERGE);
    assert_int_equal(cluster_health(w, 1, "a", "a1"), GTM_HEALTH_DOWN);
    assert_int_equal(gtm_conductor_unanswered_ms(node->conductor), since_ms); /* it goes on */

    unsigned pokes = node->pokes;
    cluster_see(w, 1, A1, UP);
    cluster_see(w, 2, A1, UP);
    cluster_settle(w);
    assert_int_equal(cluster_health(w, 1, "a", "a1"), GTM_HEALTH_UP);
    assert_int_equal(gtm_conductor_unanswered_ms(node->conductor), 0);
    assert_true(node->pokes > pokes);
    assert_true(gtm_conductor_merging(node->conductor)); /* until the mode says so */
    cluster_mode(w, 1, POLICY_ROLE_FOLLOW);
    assert_false(gtm_conductor_merging(node->conductor));
    assert_null(gtm_conductor_pipeline(node->conductor));
}

/* Node 1 saw it long before the quorum was there: its leader has what is left of the two seconds,
 * but at least a moment. Node 2 saw it just now. */
static void the_two_seconds_begin_when_it_was_seen(void **state)
{
    struct cluster *w = *state;
    cluster_lead(w, 0);
    cluster_node_stop(w, 0); /* its key stands */
    cluster_see(w, 1, A1, REFUSED);
    cluster_settle(w);
    assert_int_equal(gtm_conductor_unanswered_ms(w->nodes[1].conductor), 0);
    cluster_pass(w, 5000);
    uint64_t now_ms = gtm_mono_ms(&w->clock.clock);
    cluster_see(w, 2, A1, REFUSED);
    cluster_settle(w);
    uint64_t one = gtm_conductor_unanswered_ms(w->nodes[1].conductor);
    uint64_t two = gtm_conductor_unanswered_ms(w->nodes[2].conductor);
    assert_in_range(now_ms - one, POLICY_LEADERLESS_MS - 500, POLICY_LEADERLESS_MS - 250);
    assert_true(two >= now_ms);
}

static void what_is_resumed_anywhere_goes_on_at_the_leader(void **state)
{
    struct cluster *w = *state;
    char text[sizeof(intent_text) + 32];
    snprintf(text, sizeof(text), "%s", intent_text);
    memcpy(strstr(text, "auto, ramp: 20s"), "manual         ", 15);
    cluster_lead(w, 0);
    cluster_intent(w, text);
    cluster_see_all(w, A1, REFUSED);
    cluster_see_all(w, A1, UP);
    assert_false(cluster_serves(w, 2, "a", "a1"));
    assert_int_equal(gtm_state_resume(w->nodes[2].state, 0, 1, "ann", true), GTM_ESTATE);
    assert_int_equal(gtm_state_resume(w->nodes[2].state, 0, 0, "ann", true), 0);
    assert_int_equal(gtm_state_resume(w->nodes[2].state, 0, 0, "ann", false), 0);
    cluster_settle(w);
    assert_null(cluster_get(w, "resume/a/a1"));
    for (size_t i = 0; i < 3; i++)
        assert_true(cluster_serves(w, i, "a", "a1"));
}

int main(void)
{
    gtm_log_set_sink(sink, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_successor_without_news_writes_the_view_alone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_quorum_is_obeyed_everywhere_at_one_revision, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_minority_of_vantages_publishes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_leader_that_was_writes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_successor_goes_on_in_the_middle_of_a_ramp, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(shares_are_written_at_most_once_a_second, setup, teardown),
        cmocka_unit_test_setup_teardown(a_successor_ends_what_happened_meanwhile, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_leader_every_node_merges_until_one_writes, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_merge_waits_for_the_whole_of_the_news, setup, teardown),
        cmocka_unit_test_setup_teardown(a_merge_that_the_leader_does_not_share_ends, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(panic_holds_what_a_quorum_sees_fail_by_content, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_order_takes_effect_everywhere_and_so_does_its_end, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_drain_over_time_is_the_leaders_shares, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pool_that_is_gone_loses_its_verdict, setup, teardown),
        cmocka_unit_test_setup_teardown(a_leader_that_does_not_act_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(what_isolation_hid_is_disputed, setup, teardown),
        cmocka_unit_test_setup_teardown(what_own_checks_took_out_is_not_disputed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_merge_that_says_what_the_store_says_is_over, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_two_seconds_begin_when_it_was_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_resumed_anywhere_goes_on_at_the_leader, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
