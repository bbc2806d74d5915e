/* SPDX-License-Identifier: Apache-2.0
 *
 * Which endpoints may get users: the four all-down forms, operators' orders, standbys, families.
 */
#include "policies/policy.h"

#include "tests/support/build_intent.h"
#include "tests/support/policy_show.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct gtm_intent *in;
    struct gtm_states *s;
    unsigned policy;
};

/* Pool 0: a, b, and a standby s of weight 0, all in IPv4; pool 1: x, the backup. */
static int setup(void **state)
{
    static struct fixture f;
    f.in = build_intent();
    unsigned r = build_region(f.in, "r", 0, 0);
    build_pool(f.in, "p");
    build_pool(f.in, "sorry");
    build_endpoint(f.in, 0, "a", r, "192.0.2.1", NULL, 10);
    build_endpoint(f.in, 0, "b", r, "192.0.2.2", NULL, 20);
    build_endpoint(f.in, 0, "s", r, "192.0.2.3", NULL, 0);
    build_endpoint(f.in, 1, "x", r, "192.0.2.9", "2001:db8::9", 10);
    f.policy = build_policy(f.in, "m", GTM_STEER_MULTIVALUE, 0);
    f.in->policies[f.policy].answers = 8;
    f.s = gtm_states_new(f.in);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    gtm_states_free(f->s);
    build_free(f->in);
    return 0;
}

static void health(struct fixture *f, const char *words)
{
    for (unsigned e = 0; words[e]; e++)
        gtm_states_set_health(f->s, 0, e, GTM_FAMILY_V4,
                              words[e] == 'd' ? GTM_HEALTH_DOWN : GTM_HEALTH_UP, NULL);
}

static void order(struct fixture *f, const char *words)
{
    for (unsigned e = 0; words[e]; e++)
        gtm_states_set_admin(f->s, 0, e,
                             words[e] == 'd'   ? GTM_ADMIN_DOWN
                             : words[e] == 'n' ? GTM_ADMIN_DRAIN
                             : words[e] == 'u' ? GTM_ADMIN_UP
                                               : GTM_ADMIN_AUTO,
                             NULL);
}

struct row {
    const char *health; /* u up, d down */
    const char *order;  /* a auto, u up, d down, n drain */
    const char *want;
};

static void check(struct fixture *f, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        health(f, "uuu"); /* so that last good does not depend on the row before */
        order(f, "aaa");
        order(f, rows[i].order);
        health(f, rows[i].health);
        const char *got = policy_show(f->s, f->policy, 0, NULL);
        if (strcmp(got, rows[i].want) != 0)
            print_error("row %zu: %s %s\n", i, rows[i].health, rows[i].order);
        assert_string_equal(got, rows[i].want);
    }
}

static void fail_open(void **state)
{
    static const struct row rows[] = {
        {"uuu", "aaa", "normal | 100% 8 of a:10 b:20"},
        {"udu", "aaa", "normal | 100% 8 of a:10"},
        {"ddu", "aaa", "normal | 100% 8 of s:1"},
        {"ddd", "aaa", "fail_open | 100% 8 of a:10 b:20"},
        {"ddd", "uaa", "normal | 100% 8 of a:10"},
        {"uuu", "dna", "normal | 100% 8 of s:1"},
        /* what an operator took out stays out while anything else is there */
        {"ddd", "dan", "fail_open | 100% 8 of b:20"},
        {"udd", "daa", "fail_open | 100% 8 of b:20"},
        {"udd", "dda", "fail_open | 100% 8 of s:1"},
        /* nothing else remains: drained before ordered down */
        {"uuu", "ndd", "fail_open | 100% 8 of a:10"},
        {"ddd", "ddn", "fail_open | 100% 8 of s:1"},
        {"uuu", "ddd", "fail_open | 100% 8 of a:10 b:20"},
    };
    check(*state, rows, sizeof(rows) / sizeof(rows[0]));
}

static void fail_closed(void **state)
{
    struct fixture *f = *state;
    static const struct row rows[] = {
        {"udd", "aaa", "normal | 100% 8 of a:10"},
        {"ddd", "aaa", "fail_closed"},
        {"uuu", "nnn", "fail_closed"},
        {"ddd", "aau", "normal | 100% 8 of s:1"},
    };
    f->in->policies[f->policy].all_down = GTM_ALL_DOWN_FAIL_CLOSED;
    check(f, rows, sizeof(rows) / sizeof(rows[0]));
    health(f, "ddd");
    order(f, "ana");
    assert_string_equal(policy_said(f->s, f->policy, 0, NULL),
                        "nothing of policy m serves; fail_closed: SERVFAIL\n"
                        "endpoint a in r skipped: down\n"
                        "endpoint b in r skipped: drained by an operator\n"
                        "endpoint s in r skipped: down\n");
}

static void last_good(void **state)
{
    struct fixture *f = *state;
    f->in->policies[f->policy].all_down = GTM_ALL_DOWN_LAST_GOOD;
    health(f, "uud");
    health(f, "dud");
    health(f, "ddd");
    assert_string_equal(policy_show(f->s, f->policy, 0, NULL), "last_good | 100% 8 of b:20");
    assert_non_null(strstr(policy_said(f->s, f->policy, 0, NULL),
                           "endpoint a in r skipped: was not among the last that served\n"));
    order(f, "ada"); /* the last good one is taken out: all others rather than none */
    assert_string_equal(policy_show(f->s, f->policy, 0, NULL), "fail_open | 100% 8 of a:10");
}

static void backup(void **state)
{
    struct fixture *f = *state;
    build_backup(f->in, f->policy, GTM_TARGET_POOL, 1);
    static const struct row rows[] = {
        {"udd", "aaa", "normal | 100% 8 of a:10"},
        {"ddu", "aaa", "normal | 100% 8 of s:1"},
        {"ddd", "aaa", "backup | 100% 8 of x:10"},
        {"uuu", "nnn", "backup | 100% 8 of x:10"},
    };
    check(f, rows, sizeof(rows) / sizeof(rows[0]));
    order(f, "aaa");
    health(f, "ddd");
    assert_string_equal(policy_said(f->s, f->policy, 0, NULL),
                        "policy m steers multivalue over pool p\n"
                        "endpoint a in r skipped: down\n"
                        "endpoint b in r skipped: down\n"
                        "endpoint s in r skipped: down\n"
                        "nothing of policy m serves: its backup pool sorry answers\n"
                        "endpoint x can answer, weight 10\n");
    gtm_states_set_health(f->s, 1, 0, GTM_FAMILY_V4, GTM_HEALTH_DOWN, NULL);
    assert_string_equal(policy_show(f->s, f->policy, 0, NULL), "fail_open | 100% 8 of a:10 b:20");
    /* a family that the policy never had is not all down: the backup's IPv6 address stays out */
    assert_string_equal(policy_show(f->s, f->policy, 1, NULL), "nodata");
}

static void a_backup_policy_steers_for_itself(void **state)
{
    struct fixture *f = *state;
    unsigned last = build_policy(f->in, "last", GTM_STEER_FAILOVER, 1);
    unsigned middle = build_policy(f->in, "middle", GTM_STEER_MULTIVALUE, 0);
    build_backup(f->in, middle, GTM_TARGET_POLICY, last);
    build_backup(f->in, f->policy, GTM_TARGET_POLICY, middle);
    f->in->policies[last].all_down = GTM_ALL_DOWN_FAIL_CLOSED;
    health(f, "ddd");
    assert_string_equal(policy_show(f->s, f->policy, 0, NULL), "backup | 100% 1 of x:10");
    gtm_states_set_admin(f->s, 1, 0, GTM_ADMIN_DRAIN, NULL);
    assert_string_equal(policy_show(f->s, f->policy, 0, NULL), "fail_open | 100% 8 of a:10 b:20");
}

static void usable_tells_mode_and_endpoints(void **state)
{
    struct fixture *f = *state;
    struct policy_env env = {.intent = f->in, .states = f->s};
    struct policy_usable u;
    policy_usable(&env, f->policy, &u);
    assert_int_equal(u.mode, POLICY_NORMAL);
    assert_int_equal(u.count, 2);
    assert_false(u.standby);
    health(f, "ddu");
    policy_usable(&env, f->policy, &u);
    assert_int_equal(u.count, 1);
    assert_int_equal(u.endpoints[0], 2);
    assert_true(u.standby);
    build_backup(f->in, f->policy, GTM_TARGET_POOL, 1);
    health(f, "ddd");
    policy_usable(&env, f->policy, &u);
    assert_int_equal(u.mode, POLICY_BACKUP);
    assert_int_equal(u.count, 0);
}

/* Held = healthy, but its share is 0. */
static void what_is_held_answers_before_what_is_down(void **state)
{
    struct fixture *f = *state;
    gtm_states_set_share(f->s, 0, 0, GTM_FAMILY_V4, 0, NULL);
    assert_string_equal(policy_show(f->s, f->policy, 0, NULL), "normal | 100% 8 of b:20");
    gtm_states_set_health(f->s, 0, 1, GTM_FAMILY_V4, GTM_HEALTH_DOWN, NULL);
    assert_string_equal(policy_show(f->s, f->policy, 0, NULL), "normal | 100% 8 of s:1");
    gtm_states_set_health(f->s, 0, 2, GTM_FAMILY_V4, GTM_HEALTH_DOWN, NULL);
    for (unsigned mode = 0; mode < GTM_ALL_DOWN_COUNT; mode++) {
        f->in->policies[f->policy].all_down = (enum gtm_all_down)mode;
        assert_string_equal(policy_show(f->s, f->policy, 0, NULL), mode == GTM_ALL_DOWN_FAIL_CLOSED
                                                                       ? "fail_closed"
                                                                       : "held | 100% 8 of a:10");
    }
    f->in->policies[f->policy].all_down = GTM_ALL_DOWN_FAIL_OPEN;
    gtm_states_set_admin(f->s, 0, 1, GTM_ADMIN_UP, NULL);
    assert_string_equal(policy_show(f->s, f->policy, 0, NULL), "normal | 100% 8 of b:20");
    gtm_states_set_admin(f->s, 0, 1, GTM_ADMIN_AUTO, NULL);
    gtm_states_set_admin(f->s, 0, 0, GTM_ADMIN_DRAIN, NULL);
    assert_string_equal(policy_show(f->s, f->policy, 0, NULL), "fail_open | 100% 8 of b:20");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(fail_open),
        T(fail_closed),
        T(last_good),
        T(backup),
        T(a_backup_policy_steers_for_itself),
        T(usable_tells_mode_and_endpoints),
        T(what_is_held_answers_before_what_is_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
