/* SPDX-License-Identifier: Apache-2.0
 *
 * What all vantages see, merged: who counts, what a change costs, what is damaged, what another
 * intent keeps.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "gtm/base/log.h"
#include "gtm/base/loop.h"
#include "gtm/base/mem.h"
#include "gtm/coord/store_file.h"
#include "gtm/daemon/quorum_table.h"
#include "tests/support/cluster_nodes.h"

#include <stdio.h>
#include <string.h>

static const char head[] = "regions:\n"
                           "  - {name: r1, location: [1, 1]}\n"
                           "  - {name: r2, location: [2, 2]}\n"
                           "  - {name: r3, location: [3, 3]}\n"
                           "monitors:\n"
                           "  - {name: m, kind: tcp, port: 80, interval: 1s}\n"
                           "  - {name: n, kind: tcp, port: 81, interval: 1s}\n"
                           "pools:\n"
                           "  - name: a\n"
                           "    monitors: [m, n]\n"
                           "    endpoints:\n";
static const char two[] =
    "      - {name: a1, region: r1, addresses: [192.0.2.1, \"2001:db8::1\"]}\n"
    "      - {name: a2, region: r2, addresses: [192.0.2.2]}\n";
static const char more[] = "      - {name: a0, region: r3, addresses: [192.0.2.9]}\n"
                           "      - {name: a1, region: r1, addresses: [192.0.2.1]}\n";

struct world {
    struct cluster w; /* its loop, clock and store; no nodes */
    struct gtm_quorum_table *table;
    unsigned changes;
    char seen[256];    /* "KEY=up " … */
    char changed[512]; /* "a1/m/4=down agreed " … */
};

static void sink(void *ctx, const char *line)
{
}

static void on_change(void *ctx)
{
    struct world *t = ctx;
    t->changes++;
}

static void on_seen(void *ctx, const char *key, enum gtm_health health)
{
    struct world *t = ctx;
    size_t n = strlen(t->seen);
    snprintf(t->seen + n, sizeof(t->seen) - n, "%s=%s ", key, gtm_health_word(health));
}

static void visit(void *ctx, const struct gtm_quorum_target *target,
                  const struct gtm_quorum_view *view)
{
    static const char *const states[] = {"agreed", "split", "stale"};
    struct world *t = ctx;
    size_t n = strlen(t->changed);
    const struct gtm_intent *intent = t->w.intent;
    assert_true(view->known);
    snprintf(t->changed + n, sizeof(t->changed) - n, "%s/%s/%d=%s%s %s ",
             intent->pools[target->pool].endpoints[target->endpoint].name,
             intent->monitors[target->monitor].name, target->family == GTM_FAMILY_V4 ? 4 : 6,
             gtm_health_word(view->result.health), view->result.content ? "!" : "",
             states[view->result.state]);
}

/* What changed since the last call. */
static const char *changed(struct world *t)
{
    t->changed[0] = '\0';
    cluster_settle(&t->w);
    gtm_quorum_table_each_changed(t->table, visit, t);
    return t->changed;
}

static const char *text_of(const char *a, const char *b)
{
    static char text[2048];
    snprintf(text, sizeof(text), "%s%s", a, b);
    return text;
}

static int setup(void **state)
{
    struct world *t = gtm_calloc(1, sizeof(*t));
    *state = t;
    cluster_open(&t->w, text_of(head, two), "");
    t->table = gtm_quorum_table_new(&(struct gtm_quorum_table_opts){.loop = t->w.loop,
                                                                    .clock = &t->w.clock.clock,
                                                                    .store = t->w.store,
                                                                    .node = "n1",
                                                                    .on_change = on_change,
                                                                    .seen = on_seen,
                                                                    .ctx = t});
    assert_non_null(t->table);
    assert_int_equal(gtm_quorum_table_intent(t->table, t->w.intent), 0);
    return 0;
}

static int teardown(void **state)
{
    struct world *t = *state;
    gtm_quorum_table_free(t->table);
    cluster_close(&t->w);
    gtm_free(t);
    return 0;
}

static void node(struct world *t, const char *name, const char *region, bool fit)
{
    char key[64], text[128];
    snprintf(key, sizeof(key), "node/%s", name);
    snprintf(text, sizeof(text),
             "{\"v\":1,\"region\":\"%s\",\"vantage\":{\"fit\":%s,\"why\":\"w\"}}", region,
             fit ? "true" : "false");
    cluster_put(&t->w, key, text);
}

/* up, down: lists of names in JSON for monitor m, IPv4. */
static void obs(struct world *t, const char *name, const char *up, const char *down)
{
    char key[64], text[512];
    snprintf(key, sizeof(key), "obs/%s/a", name);
    snprintf(text, sizeof(text),
             "{\"v\":1,\"region\":\"x\",\"at\":9,\"seq\":1,\"m\":{\"m\":{\"4\":{\"up\":[%s],"
             "\"unknown\":[],\"down\":[%s]}}}}",
             up, down);
    cluster_put(&t->w, key, text);
}

#define A1     "\"a1\""
#define A2     "\"a2\""
#define A1DOWN "[\"a1\",77,\"refused\",\"no\"]"

static void only_fit_vantages_of_the_regions_count(void **state)
{
    struct world *t = *state;
    obs(t, "n1", A1, "");
    obs(t, "n2", A1, "");
    assert_string_equal(changed(t), ""); /* no node keys: nobody said it */
    node(t, "n1", "r1", true);
    assert_string_equal(changed(t), "a1/m/4=unknown stale ");
    node(t, "n2", "r2", true);
    assert_string_equal(changed(t), "a1/m/4=up agreed ");
    node(t, "n4", "r9", true); /* of no vantage region */
    obs(t, "n4", "", A1DOWN);
    assert_string_equal(changed(t), "");
    node(t, "n2", "r2", false);
    assert_string_equal(changed(t), "a1/m/4=up stale "); /* it stays, and says so */
    obs(t, "n1", "", A1DOWN);
    assert_string_equal(changed(t), "");
    node(t, "n3", "r3", true);
    obs(t, "n3", "", "[\"a1\",70,\"status\",\"503\",\"content\"]");
    assert_string_equal(changed(t), "a1/m/4=down agreed ");
    cluster_put(&t->w, "node/n3", NULL);
    assert_string_equal(changed(t), "a1/m/4=down stale ");
    struct gtm_quorum_table_info info;
    gtm_quorum_table_info(t->table, &info);
    assert_int_equal(info.vantages, 2);
    assert_int_equal(info.fit, 1);
    assert_int_equal(info.regions, 3);
    assert_int_equal(info.voting, 1);
    assert_int_equal(info.targets, 1);
}

static void a_change_costs_what_it_touches(void **state)
{
    struct world *t = *state;
    struct gtm_quorum_table_info before, after;
    node(t, "n1", "r1", true);
    node(t, "n2", "r2", true);
    obs(t, "n1", A1 "," A2, "");
    obs(t, "n2", A1 "," A2, "");
    changed(t);
    t->seen[0] = '\0';
    gtm_quorum_table_info(t->table, &before);
    obs(t, "n2", A2, A1DOWN);
    assert_string_equal(changed(t), "a1/m/4=up split ");
    gtm_quorum_table_info(t->table, &after);
    assert_int_equal(after.merged - before.merged, 1);
    assert_string_equal(t->seen, "a/a1/m/4=down ");
    obs(t, "n2", A2, A1DOWN); /* a slow refresh says nothing new */
    assert_string_equal(changed(t), "");
    gtm_quorum_table_info(t->table, &before);
    assert_int_equal(before.merged, after.merged);
    assert_string_equal(t->seen, "a/a1/m/4=down ");
    obs(t, "n1", A2, A1DOWN); /* our own */
    assert_string_equal(changed(t), "a1/m/4=down agreed ");
    assert_string_equal(t->seen, "a/a1/m/4=down ");
    char text[POLICY_QUORUM_TEXT];
    struct gtm_quorum_target a1 = {0, 0, 0, GTM_FAMILY_V4};
    gtm_quorum_table_text(t->table, &a1, text);
    assert_non_null(strstr(text, "2 of 3"));
    assert_non_null(strstr(text, "refused"));
}

static void what_is_damaged_counts_as_before(void **state)
{
    struct world *t = *state;
    struct gtm_quorum_table_info info;
    node(t, "n1", "r1", true);
    node(t, "n2", "r2", true);
    obs(t, "n1", A1, "");
    obs(t, "n2", A1, "");
    assert_string_equal(changed(t), "a1/m/4=up agreed ");
    cluster_put(&t->w, "obs/n2/a", "{\"v\":1");
    cluster_put(&t->w, "node/n1", "[1]");
    assert_string_equal(changed(t), "");
    gtm_quorum_table_info(t->table, &info);
    assert_int_equal(info.bad, 2);
    assert_true(info.bad_key[0] && info.bad_why[0]);
    cluster_put(&t->w, "obs/n2/a", NULL);
    node(t, "n1", "r1", true);
    assert_string_equal(changed(t), "a1/m/4=up stale ");
    gtm_quorum_table_info(t->table, &info);
    assert_int_equal(info.bad, 0);
    /* pools and endpoints that nobody knows, and keys that are none */
    cluster_put(&t->w, "obs/n2/zz", "{}");
    cluster_put(&t->w, "obs/n2", "{}");
    obs(t, "n2", "\"zz\"", "[\"yy\",1,\"x\",\"y\"]");
    assert_string_equal(changed(t), "");
}

static void another_intent_keeps_what_was_agreed_by_name(void **state)
{
    struct world *t = *state;
    node(t, "n1", "r1", true);
    node(t, "n2", "r2", true);
    obs(t, "n1", A2, A1DOWN);
    obs(t, "n2", A2, A1DOWN);
    changed(t);
    node(t, "n2", "r2", false); /* now nobody could decide it anew */
    changed(t);
    struct gtm_intent *old = t->w.intent;
    t->w.intent = cluster_parse(text_of(head, more));
    assert_int_equal(gtm_quorum_table_intent(t->table, t->w.intent), 0);
    t->changed[0] = '\0';
    gtm_quorum_table_each(t->table, 0, visit, t);
    assert_string_equal(t->changed, "a1/m/4=down stale ");
    gtm_intent_unref(old);
    obs(t, "n1", "\"a0\"", A1DOWN);
    node(t, "n2", "r2", true);
    obs(t, "n2", "\"a0\"", A1DOWN);
    assert_non_null(strstr(changed(t), "a0/m/4=up agreed "));
}

static void a_verdict_stands_where_nobody_agrees(void **state)
{
    struct world *t = *state;
    struct gtm_quorum_target a1 = {0, 0, 0, GTM_FAMILY_V4}, a2 = {0, 1, 0, GTM_FAMILY_V4};
    node(t, "n1", "r1", true);
    node(t, "n2", "r2", true);
    obs(t, "n1", A1 "," A2, "");
    obs(t, "n2", A2, "");
    changed(t);
    gtm_quorum_table_before(t->table, &a1, GTM_HEALTH_DOWN);
    gtm_quorum_table_before(t->table, &a2, GTM_HEALTH_DOWN); /* that is agreed on */
    t->changed[0] = '\0';
    gtm_quorum_table_each(t->table, 0, visit, t);
    assert_string_equal(t->changed, "a1/m/4=down stale a2/m/4=up agreed ");
}

static void without_memory_it_stays_as_it_was(void **state)
{
    struct world *t = *state;
    node(t, "n1", "r1", true);
    node(t, "n2", "r2", true);
    obs(t, "n1", "", A1DOWN);
    obs(t, "n2", "", A1DOWN);
    changed(t);
    struct gtm_intent *next = cluster_parse(text_of(head, more));
    for (uint64_t i = 1; i < 12; i++) {
        gtm_mem_fail_at(i, 0);
        int rc = gtm_quorum_table_intent(t->table, next);
        gtm_mem_fail_at(0, 0);
        if (rc == 0)
            break;
        assert_int_equal(rc, GTM_ENOMEM);
        t->changed[0] = '\0';
        gtm_quorum_table_each(t->table, 0, visit, t);
        assert_string_equal(t->changed, "a1/m/4=down agreed ");
    }
    assert_int_equal(gtm_quorum_table_intent(t->table, t->w.intent), 0);
    gtm_intent_unref(next);
}

static void nothing(void *ctx, const struct gtm_quorum_target *target,
                    const struct gtm_quorum_view *view)
{
}

/* Somebody looks between an observation and the end of the turn. */
static void on_obs(void *ctx, const struct gtm_store_entry *entry)
{
    struct world *t = ctx;
    gtm_quorum_table_each(t->table, 0, nothing, t);
}

static void a_look_in_between_takes_no_change_away(void **state)
{
    struct world *t = *state;
    node(t, "n1", "r1", true);
    node(t, "n2", "r2", true);
    obs(t, "n1", A1, "");
    obs(t, "n2", A1, "");
    changed(t);
    unsigned changes = t->changes;
    struct gtm_store_watch *watch = gtm_store_watch(t->w.store, "obs/", on_obs, t);
    assert_non_null(watch);
    obs(t, "n1", "", A1DOWN);
    cluster_settle(&t->w);
    assert_true(t->changes > changes);
    gtm_store_unwatch(t->w.store, watch);
}

/* Nodes of a fleet that is replaced every day: each has a new name. */
static void vantages_that_are_gone_make_room(void **state)
{
    struct world *t = *state;
    struct gtm_quorum_table_info info;
    char name[32], key[64];
    size_t bytes = 0;
    node(t, "n1", "r1", true);
    obs(t, "n1", "", A1DOWN);
    for (unsigned i = 0; i < 1100; i++) {
        snprintf(name, sizeof(name), "pod-%u", i);
        node(t, name, "r2", true);
        obs(t, name, A1, "");
        for (unsigned k = 0; k < 2; k++) { /* in either order */
            bool is_node = k == i % 2;
            snprintf(key, sizeof(key), "%s/%s%s", is_node ? "node" : "obs", name,
                     is_node ? "" : "/a");
            cluster_put(&t->w, key, NULL);
        }
        gtm_quorum_table_info(t->table, &info);
        bytes = i == 0 ? info.bytes : bytes;
        assert_true(info.bytes <= bytes);
    }
    changed(t);
    node(t, "n9", "r2", true);
    obs(t, "n9", "", A1DOWN);
    assert_string_equal(changed(t), "a1/m/4=down agreed ");
    obs(t, "n1", A1, "");
    node(t, "n8", "r3", true);
    obs(t, "n8", A1, "");
    assert_string_equal(changed(t), "a1/m/4=up agreed ");
}

int main(void)
{
    gtm_log_set_sink(sink, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_fit_vantages_of_the_regions_count, setup, teardown),
        cmocka_unit_test_setup_teardown(a_change_costs_what_it_touches, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_damaged_counts_as_before, setup, teardown),
        cmocka_unit_test_setup_teardown(another_intent_keeps_what_was_agreed_by_name, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_verdict_stands_where_nobody_agrees, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_it_stays_as_it_was, setup, teardown),
        cmocka_unit_test_setup_teardown(a_look_in_between_takes_no_change_away, setup, teardown),
        cmocka_unit_test_setup_teardown(vantages_that_are_gone_make_room, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
