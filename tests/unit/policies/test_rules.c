/* SPDX-License-Identifier: Apache-2.0
 *
 * Safety rules: each kind by its numbers, and against the steering that really answers: over random
 * worlds an order that is accepted never empties an answer, and one is refused only if it would.
 */
#include "policies/rules.h"

#include "gtm/base/mem.h"
#include "gtm/base/rand.h"
#include "policies/policy.h"
#include "tests/support/build_intent.h"
#include "tests/support/policy_show.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct gtm_rand rand_;

static unsigned below(unsigned n)
{
    return gtm_rand_below(&rand_, n);
}

struct world {
    struct gtm_intent *in;
    struct gtm_states *before, *after;
    unsigned shifted[2][8];
    enum gtm_health regions[8];
    double demand[8];
    struct policy_order order;
};

/* One pool with an endpoint in each of `regions` regions, steered by distance. */
static struct world world(unsigned regions)
{
    static char names[8][2];
    struct world w = {.in = build_intent()};
    build_pool(w.in, "www");
    for (unsigned r = 0; r < regions; r++) {
        snprintf(names[r], sizeof(names[r]), "%c", (char)('a' + r));
        build_region(w.in, names[r], 0, 10.0 * r);
        build_endpoint(w.in, 0, names[r], r, "192.0.2.1", NULL, 10);
        w.in->pools[0].endpoints[r].capacity_requests_per_s = -1;
        w.demand[r] = -1;
    }
    build_name(w.in, build_zone(w.in, "example.com", "z"), "www", 3,
               (int)build_policy(w.in, "near", GTM_STEER_NEAREST, 0));
    w.before = gtm_states_new(w.in);
    w.after = gtm_states_new(w.in);
    w.order = (struct policy_order){.region = POLICY_NO_REGION,
                                    .last_region = POLICY_NO_REGION,
                                    .moves = true,
                                    .moves_region = true};
    return w;
}

static void end(struct world *w)
{
    gtm_states_free(w->before);
    gtm_states_free(w->after);
    w->in->rules = NULL;
    w->in->rules_count = 0;
    build_free(w->in);
}

/* "blocked: text" of the rule with that name. Static storage. */
static const char *judged(struct world *w, const char *rule)
{
    static char out[POLICY_RULE_TEXT + 32];
    size_t count = 0;
    w->order.before = (struct policy_world){w->before, w->shifted[0]};
    w->order.after = (struct policy_world){w->after, w->shifted[1]};
    w->order.regions = w->regions;
    w->order.demand = w->demand;
    struct policy_verdict *v = policy_rules(w->in, &w->order, &count);
    assert_non_null(v);
    snprintf(out, sizeof(out), "no such rule");
    for (size_t i = 0; i < count; i++)
        if (strcmp(v[i].rule->name, rule) == 0)
            snprintf(out, sizeof(out), "%s: %s", policy_rule_word(v[i].word), v[i].text);
    gtm_free(v);
    return out;
}

static void drain(struct world *w, unsigned region)
{
    gtm_states_set_region_admin(w->after, region, GTM_ADMIN_DRAIN, NULL);
}

static void an_answer_keeps_an_endpoint(void **state)
{
    struct world w = world(2);
    assert_string_equal(judged(&w, "never-empty"), "ok: no answer loses an endpoint that serves");
    drain(&w, 0);
    assert_string_equal(
        judged(&w, "never-empty"),
        "ok: policy near (IPv4 address): serving endpoints 2 → 1, at least 1 must stay");
    gtm_states_set_health(w.after, 0, 1, GTM_FAMILY_V4, GTM_HEALTH_DOWN, NULL);
    gtm_states_set_health(w.before, 0, 1, GTM_FAMILY_V4, GTM_HEALTH_DOWN, NULL);
    assert_string_equal(judged(&w, "never-empty"),
                        "blocked: policy near (IPv4 address): serving endpoints 1 → 0, at least 1 "
                        "must stay: bring others back first");
    /* what was empty before stays so: nothing is refused for that */
    gtm_states_set_health(w.before, 0, 0, GTM_FAMILY_V4, GTM_HEALTH_DOWN, NULL);
    assert_string_equal(judged(&w, "never-empty"), "ok: no answer loses an endpoint that serves");
    end(&w);
}

/* A policy that no name has answers nobody. */
static void only_answers_count(void **state)
{
    struct world w = world(1);
    w.in->zones[0].names[0].has_policy = false;
    drain(&w, 0);
    assert_memory_equal(judged(&w, "never-empty"), "ok", 2);
    end(&w);
}

static void each_family_counts_for_itself(void **state)
{
    struct world w = world(2);
    build_endpoint(w.in, 0, "six", 1, NULL, "2001:db8::1", 10);
    gtm_states_free(w.before);
    gtm_states_free(w.after);
    w.before = gtm_states_new(w.in);
    w.after = gtm_states_new(w.in);
    gtm_states_set_admin(w.after, 0, 2, GTM_ADMIN_DOWN, NULL);
    assert_string_equal(judged(&w, "never-empty"),
                        "blocked: policy near (IPv6 address): serving endpoints 1 → 0, at least 1 "
                        "must stay: bring others back first");
    end(&w);
}

static void one_region_at_a_time(void **state)
{
    struct world w = world(4);
    drain(&w, 1);
    assert_string_equal(judged(&w, "one-at-a-time"),
                        "ok: regions without users 0 → 1 (b), at most 1");
    drain(&w, 2);
    gtm_states_set_region_admin(w.before, 1, GTM_ADMIN_DRAIN, NULL);
    assert_string_equal(
        judged(&w, "one-at-a-time"),
        "blocked: regions without users 1 → 2 (b, c), at most 1: bring one back first");
    /* one that died counts as well as one that was ordered out */
    gtm_states_set_region_admin(w.before, 1, GTM_ADMIN_AUTO, NULL);
    gtm_states_set_region_admin(w.after, 1, GTM_ADMIN_AUTO, NULL);
    gtm_states_set_health(w.before, 0, 3, GTM_FAMILY_V4, GTM_HEALTH_DOWN, NULL);
    gtm_states_set_health(w.after, 0, 3, GTM_FAMILY_V4, GTM_HEALTH_DOWN, NULL);
    assert_string_equal(
        judged(&w, "one-at-a-time"),
        "blocked: regions without users 1 → 2 (c, d), at most 1: bring one back first");
    /* a region that a shift empties is one, too, from its first step on */
    gtm_states_set_region_admin(w.after, 2, GTM_ADMIN_AUTO, NULL);
    w.shifted[1][0] = 100;
    assert_string_equal(
        judged(&w, "one-at-a-time"),
        "blocked: regions without users 1 → 2 (a, d), at most 1: bring one back first");
    /* taking the dead one out changes nothing, and bringing back always passes */
    w.shifted[1][0] = 0;
    drain(&w, 3);
    assert_memory_equal(judged(&w, "one-at-a-time"), "ok", 2);
    gtm_states_set_region_admin(w.before, 0, GTM_ADMIN_DRAIN, NULL);
    gtm_states_set_region_admin(w.before, 1, GTM_ADMIN_DRAIN, NULL);
    drain(&w, 0);
    assert_string_equal(judged(&w, "one-at-a-time"),
                        "ok: regions without users 3 → 2 (a, d), at most 1");
    end(&w);
}

static void room_is_measured_where_loads_are_known(void **state)
{
    struct world w = world(3);
    for (unsigned r = 0; r < 3; r++)
        w.in->pools[0].endpoints[r].capacity_requests_per_s = 1000;
    w.demand[0] = 1900;
    drain(&w, 0);
    assert_string_equal(judged(&w, "room"), "ok: pool www: room for 1.05 times its users (2000 of "
                                            "capacity for 1900 requests a second), at least 1");
    w.demand[0] = 2100;
    assert_string_equal(judged(&w, "room"),
                        "blocked: pool www: room for 0.95 times its users (2000 of capacity for "
                        "2100 requests a second), at least 1: add capacity, or bring others back "
                        "first");
    /* users in a dead region are not held there */
    w.order.region = 0;
    w.regions[0] = GTM_HEALTH_DOWN;
    assert_memory_equal(judged(&w, "room"), "warned", 6);
    w.regions[0] = GTM_HEALTH_DEGRADED;
    assert_memory_equal(judged(&w, "room"), "blocked", 7);
    /* nobody asks for anything */
    w.demand[0] = 0;
    assert_memory_equal(judged(&w, "room"), "ok", 2);
    /* half of a region's users moved: half of it is left to the others' users */
    gtm_states_set_region_admin(w.after, 0, GTM_ADMIN_AUTO, NULL);
    w.demand[0] = 2600;
    w.shifted[1][0] = 500;
    assert_memory_equal(judged(&w, "room"), "blocked: pool www: room for 0.96", 32);
    end(&w);
}

static void unknown_is_not_zero(void **state)
{
    struct world w = world(3);
    for (unsigned r = 0; r < 3; r++)
        w.in->pools[0].endpoints[r].capacity_requests_per_s = r == 0 ? 4000 : 1000;
    drain(&w, 1);
    assert_string_equal(judged(&w, "room"),
                        "ok: pool www: room for 1.67 times its users (capacity 6000 → 5000; no "
                        "load is reported, so what serves now is taken to be half full), at least "
                        "1");
    gtm_states_set_region_admin(w.after, 1, GTM_ADMIN_AUTO, NULL);
    drain(&w, 0);
    assert_memory_equal(judged(&w, "room"), "blocked: pool www: room for 0.67", 32);
    w.in->pools[0].endpoints[2].capacity_requests_per_s = -1;
    assert_string_equal(judged(&w, "room"),
                        "ok: pool www: room for 1.33 times its users (serving endpoints 3 → 2; "
                        "their capacity or load is not known, so they count alike and are taken to "
                        "be half full), at least 1");
    drain(&w, 1);
    assert_memory_equal(judged(&w, "room"), "blocked: pool www: room for 0.67", 32);
    end(&w);
}

static void gates_hold_what_takes_users_away(void **state)
{
    struct world w = world(2);
    static const char *const on[] = {"x", "change-freeze"};
    assert_string_equal(judged(&w, "freeze"), "ok: switch change-freeze is off");
    w.order.switches_on = on;
    w.order.switches_on_count = 2;
    assert_string_equal(judged(&w, "freeze"), "blocked: switch change-freeze is on and must be "
                                              "off: gtmctl rule switch change-freeze off");
    w.order.moves = false;
    assert_memory_equal(judged(&w, "freeze"), "ok", 2);
    /* one that must be on, and was never set */
    char name[] = "window", open[] = "open";
    struct gtm_rule rule = {
        .name = open, .kind = GTM_RULE_GATE, .switch_name = name, .allow = GTM_SWITCH_ON};
    w.in->rules = &rule;
    w.in->rules_count = 1;
    w.order.moves = true;
    assert_memory_equal(judged(&w, "open"), "blocked: switch window is off", 29);
    assert_string_equal(judged(&w, "freeze"), "no such rule");
    end(&w);
}

static void users_settle_between_two_regions(void **state)
{
    struct world w = world(3);
    assert_memory_equal(judged(&w, "settle"), "ok", 2);
    w.order.region = 0;
    w.order.last_region = 2;
    w.order.last_ago_ms = 59001;
    assert_string_equal(
        judged(&w, "settle"),
        "blocked: users of region c were moved 59 s ago: wait 1 s more, until they have settled");
    w.regions[0] = GTM_HEALTH_DOWN;
    assert_memory_equal(judged(&w, "settle"), "warned", 6);
    w.regions[0] = GTM_HEALTH_UP;
    w.order.last_ago_ms = 60000;
    assert_memory_equal(judged(&w, "settle"), "ok", 2);
    w.order.last_ago_ms = 0;
    w.order.moves_region = false;
    assert_memory_equal(judged(&w, "settle"), "ok", 2);
    end(&w);
}

static void an_override_names_its_rule(void **state)
{
    struct world w = world(1);
    size_t count = 0;
    drain(&w, 0);
    w.order.before.states = w.before;
    w.order.after.states = w.after;
    struct policy_verdict *v = policy_rules(w.in, &w.order, &count);
    assert_int_equal(count, 5);
    assert_int_equal(policy_rules_worst(v, count), POLICY_RULE_BLOCKED);
    assert_true(policy_rules_override(v, count, "never-empty"));
    assert_int_equal(v[0].word, POLICY_RULE_OVERRIDDEN);
    assert_int_equal(policy_rules_worst(v, count), POLICY_RULE_BLOCKED); /* room */
    assert_true(policy_rules_override(v, count, "room"));
    assert_true(policy_rules_override(v, count, "freeze"));
    assert_int_equal(v[3].word, POLICY_RULE_OK); /* what passes is not overridden */
    assert_int_equal(policy_rules_worst(v, count), POLICY_RULE_OVERRIDDEN);
    assert_false(policy_rules_override(v, count, "no"));
    gtm_free(v);
    end(&w);
}

/* --- against the steering --- */

#define POOLS    4
#define REGIONS  5
#define POLICIES 8

static struct gtm_intent *random_intent(void)
{
    static const char *const places[] = {"a", "b", "c", "d", "e"};
    struct gtm_intent *in = build_intent();
    for (unsigned r = 0; r < REGIONS; r++)
        build_region(in, places[r], 10.0 * r, -20.0 * r);
    for (unsigned p = 0; p < POOLS; p++) {
        build_pool(in, places[p]);
        for (unsigned e = 0, n = 1 + below(4); e < n; e++) {
            unsigned has = 1 + below(3);
            build_endpoint(in, p, places[e], below(REGIONS), has & 1 ? "192.0.2.1" : NULL,
                           has & 2 ? "2001:db8::1" : NULL, below(4) * 100);
        }
    }
    unsigned zone = build_zone(in, "example.com", "z");
    for (unsigned i = 0; i < POLICIES; i++) {
        build_name(in, zone, "n", 3, (int)i);
        enum gtm_steer steer = (enum gtm_steer)below(GTM_STEER_COUNT);
        bool split = steer == GTM_STEER_WEIGHTED && below(3);
        unsigned p = build_policy(in, "p", steer, split ? -1 : (int)below(POOLS));
        for (unsigned t = 0, n = 1 + below(3); split && t < n; t++) {
            unsigned pool = below(POOLS);
            enum gtm_target_kind kind = (enum gtm_target_kind)below(3);
            if (kind == GTM_TARGET_POLICY && i == 0)
                kind = GTM_TARGET_POOL;
            build_target(in, p, kind, kind == GTM_TARGET_POLICY ? below(i) : pool,
                         below((unsigned)in->pools[pool].endpoints_count), below(3) * 50);
        }
        if (steer == GTM_STEER_GEO && i > 0 && below(2)) {
            struct gtm_route *route = build_route(in, p, 0, NULL);
            build_route_continent(route, "EU");
            route->has_policy = true;
            route->policy = below(i);
        }
        in->policies[p].all_down = (enum gtm_all_down)below(3);
        if (below(3) == 0)
            build_backup(in, p, i && below(2) ? GTM_TARGET_POLICY : GTM_TARGET_POOL,
                         i ? below(i < POOLS ? i : POOLS) : below(POOLS));
    }
    return in;
}

static void random_states(struct gtm_states *s, const struct gtm_intent *in)
{
    for (size_t p = 0; p < in->pools_count; p++) {
        for (size_t e = 0; e < in->pools[p].endpoints_count; e++) {
            for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++)
                gtm_states_set_health(s, p, e, (enum gtm_family)f,
                                      (enum gtm_health)below(GTM_HEALTH_COUNT), NULL);
            if (below(4) == 0)
                gtm_states_set_admin(s, p, e, (enum gtm_admin)below(4), NULL);
            if (below(6) == 0)
                gtm_states_set_share(s, p, e, GTM_FAMILY_ANY, below(2) * 300, NULL);
        }
    }
}

static void random_order(struct gtm_states *s, const struct gtm_intent *in)
{
    enum gtm_admin admin = below(3) ? GTM_ADMIN_DRAIN : (enum gtm_admin)below(4);
    unsigned pool = below(POOLS);
    switch (below(4)) {
    case 0:
        gtm_states_set_admin(s, pool, below((unsigned)in->pools[pool].endpoints_count), admin,
                             NULL);
        break;
    case 1:
        gtm_states_set_pool_admin(s, pool, admin, NULL);
        break;
    case 2:
        gtm_states_set_region_admin(s, below(REGIONS), admin, NULL);
        break;
    default: /* the last step of a shift */
        for (size_t p = 0, r = below(REGIONS); p < in->pools_count; p++)
            for (size_t e = 0; e < in->pools[p].endpoints_count; e++)
                if (in->pools[p].endpoints[e].region == r)
                    gtm_states_set_share(s, p, e, GTM_FAMILY_ANY, 0, NULL);
        break;
    }
}

/* Does the policy answer from what serves, for clients everywhere? */
static bool answers(const struct gtm_states *s, unsigned policy, enum gtm_family family)
{
    bool all = true;
    for (int at = 0; at < 4; at++) {
        struct gtm_location loc = {.has_point = at > 0, .lat = 20.0 * at, .lon = -40.0 * at};
        if (at == 2)
            memcpy(loc.continent, "EU", 3);
        const char *shown = policy_show(s, policy, family, &loc);
        all = all && (!strncmp(shown, "normal |", 8) || !strncmp(shown, "backup |", 8));
    }
    return all;
}

static void accepted_orders_never_empty_an_answer(void **state)
{
    const char *env = getenv("GTM_TEST_WORLDS");
    int worlds = env ? (int)strtol(env, NULL, 10) : 3000, refused = 0, passed = 0;
    for (int seed = 0; seed < worlds; seed++) {
        gtm_rand_seed(&rand_, (uint64_t)seed);
        struct gtm_intent *in = random_intent();
        struct gtm_states *before = gtm_states_new(in);
        random_states(before, in);
        struct gtm_states *after = gtm_states_clone(before);
        random_order(after, in);
        size_t count = 0;
        struct policy_order order = {.before.states = before,
                                     .after.states = after,
                                     .region = POLICY_NO_REGION,
                                     .last_region = POLICY_NO_REGION};
        struct policy_verdict *v = policy_rules(in, &order, &count);
        bool blocked = v[0].word == POLICY_RULE_BLOCKED, empties = false;
        for (unsigned p = 0; p < POLICIES; p++)
            for (unsigned f = 0; f <= GTM_FAMILY_ANY; f++)
                empties = empties || (answers(before, p, (enum gtm_family)f) &&
                                      !answers(after, p, (enum gtm_family)f));
        if (blocked != empties)
            fail_msg("seed %d: %s, but an answer is %s", seed, v[0].text,
                     empties ? "emptied" : "not emptied");
        refused += blocked;
        passed += !blocked;
        gtm_free(v);
        gtm_states_free(after);
        gtm_states_free(before);
        build_free(in);
    }
    assert_true(refused > worlds / 20 && passed > worlds / 20);
}

/* --- shifts --- */

static void steps_are_read_and_taken_one_by_one(void **state)
{
    struct policy_shift s = {.pause_ms = 30000};
    struct gtm_error err = {0};
    char text[POLICY_SHIFT_TEXT];
    static const char *const bad[] = {"",
                                      "0",
                                      "101",
                                      "10,",
                                      ",10",
                                      "10,5",
                                      "10,10",
                                      "10;50",
                                      "10, 50",
                                      "-1",
                                      "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17",
                                      "4294967297"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(policy_shift_parse(bad[i], &s, &err), GTM_EINVAL);
    assert_int_equal(policy_shift_parse("10,50,100", &s, &err), GTM_OK);
    assert_string_equal(policy_shift_print(&s, text), "10,50,100");
    assert_int_equal(policy_shift_now(&s), 0);
    s.since_ms = 1000;
    assert_int_equal(policy_shift_due_ms(&s), 1000); /* the first at once */
    s.done = 1;
    assert_int_equal(policy_shift_now(&s), 100);
    assert_int_equal(policy_shift_due_ms(&s), 31000);
    s.held = true;
    assert_int_equal(policy_shift_due_ms(&s), 0);
    s.held = false;
    s.done = 3;
    assert_int_equal(policy_shift_now(&s), 1000);
    assert_int_equal(policy_shift_due_ms(&s), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_keeps_an_endpoint),
        cmocka_unit_test(only_answers_count),
        cmocka_unit_test(each_family_counts_for_itself),
        cmocka_unit_test(one_region_at_a_time),
        cmocka_unit_test(room_is_measured_where_loads_are_known),
        cmocka_unit_test(unknown_is_not_zero),
        cmocka_unit_test(gates_hold_what_takes_users_away),
        cmocka_unit_test(users_settle_between_two_regions),
        cmocka_unit_test(an_override_names_its_rule),
        cmocka_unit_test(accepted_orders_never_empty_an_answer),
        cmocka_unit_test(steps_are_read_and_taken_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
