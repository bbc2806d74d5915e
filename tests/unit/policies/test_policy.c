/* SPDX-License-Identifier: Apache-2.0
 *
 * What holds for every policy, over random intents and states: no answer is empty unless somebody
 * ordered that, only endpoints that may answer do, and classes that policy_look cannot tell apart
 * get the same choice. Also the limits of policy_check.
 */
#include "policies/policy.h"

#include "gtm/base/rand.h"
#include "policies/sticky.h"
#include "tests/support/build_intent.h"
#include "tests/support/policy_show.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define WORLDS  200
#define STATES  12
#define PLACES  6
#define REGIONS 11 /* more than a class remembers */

static struct gtm_rand rand_;

static unsigned below(unsigned n)
{
    return gtm_rand_below(&rand_, n);
}

static char host[] = "cdn.example";

static void random_pool(struct gtm_intent *in, unsigned number)
{
    char name[32];
    snprintf(name, sizeof(name), "pool%u", number);
    unsigned pool = build_pool(in, name);
    bool v6 = below(3) > 0, v4 = !v6 || below(4) > 0;
    for (unsigned e = 0, n = 1 + below(12); e < n; e++) {
        snprintf(name, sizeof(name), "e%u-%u", number, e);
        unsigned at =
            build_endpoint(in, pool, name, below(REGIONS), v4 && below(6) ? "192.0.2.1" : NULL,
                           v6 && below(6) ? "2001:db8::1" : NULL, below(4) ? 1 + below(100) : 0);
        if (below(2))
            in->pools[pool].endpoints[at].host = host;
    }
    in->pools[pool].degraded_weight = below(3) / 2.0;
}

static void random_policy(struct gtm_intent *in, unsigned number)
{
    char name[32];
    enum gtm_steer steer = (enum gtm_steer)below(GTM_STEER_COUNT);
    snprintf(name, sizeof(name), "policy%u", number);
    if (number == 0 && steer == GTM_STEER_WEIGHTED)
        steer = GTM_STEER_NEAREST;
    unsigned pool = below((unsigned)in->pools_count);
    unsigned p = build_policy(in, name, steer, steer == GTM_STEER_WEIGHTED ? -1 : (int)pool);
    in->policies[p].answers = 1 + below(4);
    in->policies[p].all_down = (enum gtm_all_down)below(GTM_ALL_DOWN_BACKUP);
    for (unsigned i = 0, n = below(4); i < n; i++)
        build_order(in, p, 1, (const unsigned[]){below(REGIONS)});
    for (unsigned i = 0, n = steer == GTM_STEER_GEO ? below(4) : 0; i < n; i++) {
        struct gtm_route *r = build_route(in, p, 2, (const unsigned[]){below(REGIONS), below(3)});
        build_route_country(r, below(2) ? "DE" : "US");
        r->has_policy = number > 0 && below(2);
        r->policy = r->has_policy ? below(number) : 0;
    }
    for (unsigned i = 0, n = steer == GTM_STEER_WEIGHTED ? 1 + below(4) : 0; i < n; i++) {
        unsigned at = below((unsigned)in->pools_count);
        uint32_t weight = below(5) ? 1 + below(100) : 0;
        if (below(2))
            build_target(in, p, GTM_TARGET_POLICY, below(number), 0, weight);
        else if (below(2))
            build_target(in, p, GTM_TARGET_POOL, at, 0, weight);
        else
            build_target(in, p, GTM_TARGET_ENDPOINT, at,
                         below((unsigned)in->pools[at].endpoints_count), weight);
    }
    if (below(3) == 0 && number > 0)
        build_backup(in, p, GTM_TARGET_POLICY, below(number));
    else if (below(4) == 0)
        build_backup(in, p, GTM_TARGET_POOL, below((unsigned)in->pools_count));
}

/* Six policies, each of which may use those before it. */
static struct gtm_intent *random_intent(void)
{
    struct gtm_intent *in = build_intent();
    char name[16];
    for (unsigned r = 0; r < REGIONS; r++) {
        snprintf(name, sizeof(name), "r%u", r);
        if (below(8))
            build_region(in, name, (double)below(180) - 90, (double)below(360) - 180);
        else
            build_region_nowhere(in, name);
    }
    for (unsigned p = 0; p < 4; p++)
        random_pool(in, p);
    for (unsigned p = 0; p < 6; p++)
        random_policy(in, p);
    return in;
}

static void forget_hosts(struct gtm_intent *in)
{
    for (unsigned p = 0; p < in->pools_count; p++)
        for (unsigned e = 0; e < in->pools[p].endpoints_count; e++)
            in->pools[p].endpoints[e].host = NULL; /* not to be freed */
}

/* Shares, sheds and balanced weights, or all as it starts. */
static void random_shares(struct gtm_states *s)
{
    const struct gtm_intent *in = gtm_states_intent(s);
    unsigned held = below(3);
    uint32_t weights[12];
    for (unsigned p = 0; p < in->pools_count; p++) {
        for (unsigned e = 0; e < in->pools[p].endpoints_count; e++)
            for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++)
                gtm_states_set_share(s, p, e, f,
                                     below(3) < held ? 0
                                     : below(2)      ? GTM_SHARE_FULL
                                                     : below(GTM_SHARE_FULL),
                                     NULL);
        for (unsigned r = 0; r < REGIONS; r++)
            gtm_states_set_shed(s, p, r, below(3) ? 0 : below(GTM_SHARE_FULL + 1), NULL);
    }
    for (unsigned p = 0; p < in->policies_count; p++) {
        for (unsigned e = 0; e < 12; e++)
            weights[e] = below(1000);
        if (in->policies[p].has_pool)
            assert_int_equal(gtm_states_set_balance(s, p, weights,
                                                    in->pools[in->policies[p].pool].endpoints_count,
                                                    NULL),
                             0);
    }
}

/* From mostly up to all down; some orders. */
static void random_states(struct gtm_states *s)
{
    const struct gtm_intent *in = gtm_states_intent(s);
    unsigned down = below(5);
    bool orders = below(2);
    for (unsigned p = 0; p < in->pools_count; p++) {
        for (unsigned e = 0; e < in->pools[p].endpoints_count; e++) {
            for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++)
                gtm_states_set_health(s, p, e, f,
                                      below(4) < down ? GTM_HEALTH_DOWN : (enum gtm_health)below(3),
                                      NULL);
            gtm_states_set_admin(
                s, p, e, orders && below(4) == 0 ? (enum gtm_admin)below(4) : GTM_ADMIN_AUTO, NULL);
        }
    }
    for (unsigned r = 0; r < REGIONS; r++)
        gtm_states_set_region_admin(
            s, r, orders && below(6) == 0 ? GTM_ADMIN_DRAIN : GTM_ADMIN_AUTO, NULL);
    if (below(2))
        random_shares(s);
}

static void random_place(struct gtm_location *loc)
{
    *loc = (struct gtm_location){.asn = 0};
    if (below(5) == 0)
        return;
    snprintf(loc->country, sizeof(loc->country), "%s", below(2) ? "DE" : "US");
    loc->has_point = true;
    loc->lat = (float)below(180) - 90;
    loc->lon = (float)below(360) - 180;
}

/* ---- what must hold of one choice ---- */

static bool is_out(const struct gtm_states *s, const struct policy_member *m, unsigned family)
{
    enum gtm_admin admin = gtm_states_effective(s, m->pool, m->endpoint, family).admin;
    return admin == GTM_ADMIN_DOWN || admin == GTM_ADMIN_DRAIN;
}

static void check_members(const struct policy_env *env, const struct policy_choice *c)
{
    unsigned out = 0;
    for (size_t i = 0; i < c->members_count; i++) {
        const struct policy_member *m = &c->members[i];
        assert_true(
            gtm_endpoint_has(&env->intent->pools[m->pool].endpoints[m->endpoint], env->family));
        assert_true(m->weight > 0);
        if (c->mode <= POLICY_BACKUP)
            assert_true(gtm_states_serves(env->states, m->pool, m->endpoint, env->family));
        if (c->mode == POLICY_HELD)
            assert_true(gtm_endpoint_serves(
                gtm_states_effective(env->states, m->pool, m->endpoint, env->family)));
        if (c->mode == POLICY_LAST_GOOD)
            assert_true(gtm_states_last_good(env->states, m->pool, m->endpoint, env->family));
        out += is_out(env->states, m, env->family);
    }
    /* those that an operator took out answer only when there are no others at all */
    assert_true(out == 0 || (c->mode == POLICY_FAIL_OPEN && out == c->members_count));
}

static void check_choice(const struct policy_env *env, unsigned policy,
                         const struct policy_choice *c)
{
    const struct gtm_policy *p = &env->intent->policies[policy];
    double shares = 0;
    assert_int_equal(c->mode == POLICY_NODATA,
                     !policy_has_family(env->intent, policy, env->family));
    assert_int_not_equal(c->mode, POLICY_INACTIVE);
    if (c->mode == POLICY_FAIL_CLOSED)
        assert_int_equal(p->all_down, GTM_ALL_DOWN_FAIL_CLOSED);
    if (c->mode > POLICY_FAIL_OPEN) {
        assert_int_equal(c->options_count, 0);
        return;
    }
    assert_true(c->options_count > 0);
    for (size_t i = 0; i < c->options_count; i++) {
        assert_true(c->options[i].count > 0);
        assert_true(c->options[i].answers > 0);
        assert_true(c->options[i].weight > 0);
        assert_true(c->options[i].first + c->options[i].count <= c->members_count);
        shares += c->options[i].share;
        for (size_t b = 0; b < c->options[i].buckets_count; b++)
            assert_true(c->options[i].buckets[b] < c->options[i].count);
    }
    assert_true(fabs(shares - 1) < 1e-9);
    check_members(env, c);
}

static bool same_choice(const struct policy_choice *a, const struct policy_choice *b)
{
    if (a->mode != b->mode || a->options_count != b->options_count ||
        a->members_count != b->members_count)
        return false;
    for (size_t i = 0; i < a->options_count; i++)
        if (a->options[i].weight != b->options[i].weight ||
            a->options[i].answers != b->options[i].answers ||
            a->options[i].count != b->options[i].count ||
            a->options[i].buckets_count != b->options[i].buckets_count ||
            (a->options[i].buckets_count > 0 &&
             memcmp(a->options[i].buckets, b->options[i].buckets,
                    a->options[i].buckets_count * sizeof(uint16_t)) != 0))
            return false;
    for (size_t i = 0; i < a->members_count; i++)
        if (a->members[i].pool != b->members[i].pool ||
            a->members[i].endpoint != b->members[i].endpoint ||
            a->members[i].weight != b->members[i].weight)
            return false;
    return true;
}

/* One client's class, what it boils down to, and its choice. */
struct seen {
    struct policy_regions lists[POLICY_PARTS_MAX];
    struct policy_path paths[POLICY_PARTS_MAX];
    struct policy_choice choice;
};

static void check_policy(const struct policy_env *env, unsigned policy, size_t *ret_merged)
{
    struct policy_parts parts;
    struct policy_look look;
    struct seen seen[PLACES];
    memset(seen, 0, sizeof(seen));
    assert_int_equal(policy_check(env->intent, policy, NULL), 0);
    policy_parts(env->intent, policy, &parts);
    policy_look(env, policy, &parts, &look);
    for (unsigned n = 0; n < PLACES; n++) {
        struct gtm_location loc;
        random_place(&loc);
        struct policy_place place = {.loc = &loc};
        for (size_t i = 0; i < parts.count; i++) {
            policy_rank(env->intent, parts.policy[i], &place, &seen[n].lists[i]);
            policy_path(env->intent, parts.policy[i], &seen[n].lists[i], &look.part[i],
                        &seen[n].paths[i]);
        }
        struct policy_class class_ = {.parts = &parts, .lists = seen[n].lists};
        assert_int_equal(policy_choose(env, policy, &class_, &seen[n].choice), 0);
        assert_int_equal(seen[n].choice.mode, look.mode);
        check_choice(env, policy, &seen[n].choice);
        for (unsigned m = 0; m < n; m++) {
            if (memcmp(seen[m].paths, seen[n].paths, sizeof(seen[n].paths)) != 0)
                continue;
            *ret_merged += memcmp(seen[m].lists, seen[n].lists, sizeof(seen[n].lists)) != 0;
            assert_true(same_choice(&seen[m].choice, &seen[n].choice));
        }
    }
    for (unsigned n = 0; n < PLACES; n++)
        policy_choice_fini(&seen[n].choice);
}

static void no_answer_is_empty_unless_ordered(void **state)
{
    size_t merged = 0, modes[POLICY_MODE_COUNT] = {0};
    gtm_rand_seed(&rand_, 20261120);
    for (unsigned w = 0; w < WORLDS; w++) {
        struct gtm_intent *in = random_intent();
        struct gtm_states *s = gtm_states_new(in);
        struct policy_orders *orders = below(8) ? policy_orders_new(in) : NULL;
        for (unsigned n = 0; n < STATES; n++) {
            for (unsigned policy = 0; policy < in->policies_count; policy++) {
                for (unsigned f = 0; f <= GTM_FAMILY_ANY; f++) {
                    struct policy_env env = {
                        .intent = in, .states = s, .family = f, .orders = orders};
                    struct policy_parts none = {.count = 0};
                    struct policy_look look;
                    check_policy(&env, policy, &merged);
                    policy_look(&env, policy, &none, &look);
                    modes[look.mode]++;
                }
            }
            random_states(s);
        }
        gtm_states_free(s);
        policy_orders_free(orders);
        forget_hosts(in);
        build_free(in);
    }
    /* the worlds were rich enough to mean something */
    for (unsigned m = POLICY_NORMAL; m <= POLICY_NODATA; m++)
        assert_true(modes[m] > 500);
    assert_true(merged > 1000); /* different lists that came to the same */
}

static void parts_and_pools_are_found_through_all_levels(void **state)
{
    struct gtm_intent *in = build_intent();
    build_region(in, "r", 0, 0);
    for (unsigned p = 0; p < 4; p++) {
        char name[16];
        snprintf(name, sizeof(name), "p%u", p);
        build_endpoint(in, build_pool(in, name), name, 0, "192.0.2.1", NULL, 1);
    }
    unsigned near = build_policy(in, "near", GTM_STEER_NEAREST, 0);
    unsigned geo = build_policy(in, "geo", GTM_STEER_GEO, 1);
    unsigned fail = build_policy(in, "fail", GTM_STEER_FAILOVER, 2);
    build_backup(in, fail, GTM_TARGET_POLICY, geo);
    unsigned split = build_policy(in, "split", GTM_STEER_WEIGHTED, -1);
    build_target(in, split, GTM_TARGET_POLICY, fail, 0, 1);
    build_target(in, split, GTM_TARGET_POLICY, near, 0, 1);
    build_target(in, split, GTM_TARGET_POLICY, near, 0, 1);
    build_target(in, split, GTM_TARGET_ENDPOINT, 3, 0, 1);
    struct policy_parts parts;
    policy_parts(in, split, &parts);
    assert_int_equal(parts.count, 2);
    assert_int_equal(parts.policy[0], geo);
    assert_int_equal(parts.policy[1], near);
    policy_parts(in, near, &parts);
    assert_int_equal(parts.count, 1);
    policy_parts(in, fail, &parts);
    assert_int_equal(parts.count, 1);
    build_free(in);
}

static void mark_pool(void *ctx, unsigned pool)
{
    ((unsigned *)ctx)[pool]++;
}

static void every_pool_that_matters_is_named(void **state)
{
    struct gtm_intent *in = build_intent();
    unsigned seen[4] = {0};
    build_region(in, "r", 0, 0);
    for (unsigned p = 0; p < 4; p++) {
        char name[16];
        snprintf(name, sizeof(name), "p%u", p);
        build_endpoint(in, build_pool(in, name), name, 0, "192.0.2.1", NULL, 1);
    }
    unsigned fail = build_policy(in, "fail", GTM_STEER_FAILOVER, 2);
    build_backup(in, fail, GTM_TARGET_POOL, 1);
    unsigned split = build_policy(in, "split", GTM_STEER_WEIGHTED, -1);
    build_target(in, split, GTM_TARGET_POLICY, fail, 0, 1);
    build_target(in, split, GTM_TARGET_ENDPOINT, 3, 0, 1);
    policy_pools(in, split, mark_pool, seen);
    assert_memory_equal(seen, ((unsigned[4]){0, 1, 1, 1}), sizeof(seen));
    build_free(in);
}

static void limits_are_refused_by_name(void **state)
{
    struct gtm_intent *in = build_intent();
    struct gtm_error err = {0};
    char name[16];
    build_region(in, "r", 0, 0);
    build_endpoint(in, build_pool(in, "p"), "e", 0, "192.0.2.1", NULL, 1);
    /* a chain of nine */
    unsigned last = build_policy(in, "deep0", GTM_STEER_FAILOVER, 0);
    for (unsigned i = 1; i <= POLICY_DEPTH_MAX; i++) {
        snprintf(name, sizeof(name), "deep%u", i);
        unsigned next = build_policy(in, name, GTM_STEER_WEIGHTED, -1);
        build_target(in, next, GTM_TARGET_POLICY, last, 0, 1);
        last = next;
    }
    assert_int_equal(policy_check(in, last, &err), GTM_ELIMIT);
    assert_string_equal(err.text, "policy deep8 nests deeper than 8 policies");
    assert_int_equal(policy_check(in, last - 1, &err), GTM_OK);
    /* one geographic part too many */
    unsigned wide = build_policy(in, "wide", GTM_STEER_WEIGHTED, -1);
    for (unsigned i = 0; i <= POLICY_PARTS_MAX; i++) {
        assert_int_equal(policy_check(in, wide, &err), GTM_OK);
        snprintf(name, sizeof(name), "near%u", i);
        build_target(in, wide, GTM_TARGET_POLICY, build_policy(in, name, GTM_STEER_NEAREST, 0), 0,
                     1);
    }
    assert_int_equal(policy_check(in, wide, &err), GTM_ELIMIT);
    unsigned many = build_policy(in, "many", GTM_STEER_WEIGHTED, -1);
    for (unsigned i = 0; i < POLICY_OPTIONS_MAX; i++)
        build_target(in, many, GTM_TARGET_POOL, 0, 0, 1);
    assert_int_equal(policy_check(in, many, &err), GTM_ELIMIT);
    /* a geo policy whose routes lead to too many others */
    unsigned fan = build_policy(in, "fan", GTM_STEER_GEO, 0);
    for (unsigned i = 0; i <= POLICY_TARGETS_MAX; i++) {
        assert_int_equal(policy_check(in, fan, &err), GTM_OK);
        snprintf(name, sizeof(name), "to%u", i);
        unsigned to = build_policy(in, name, GTM_STEER_MULTIVALUE, 0);
        struct gtm_route *r = build_route(in, fan, 0, NULL);
        r->has_policy = true;
        r->policy = to;
    }
    assert_int_equal(policy_check(in, fan, &err), GTM_ELIMIT);
    assert_string_equal(err.text, "the routes of policy fan lead to more than 256 policies");
    unsigned sticky = build_policy(in, "sticky", GTM_STEER_STICKY, 0);
    unsigned buckets = build_policy(in, "buckets", GTM_STEER_WEIGHTED, -1);
    for (unsigned i = 0; i <= POLICY_BUCKETS_MAX / POLICY_BUCKETS_MIN; i++) {
        assert_int_equal(policy_check(in, buckets, &err), GTM_OK);
        build_target(in, buckets, GTM_TARGET_POLICY, sticky, 0, 1);
    }
    assert_int_equal(policy_check(in, buckets, &err), GTM_ELIMIT);
    assert_int_equal(policy_check(in, build_policy(in, "bare", GTM_STEER_GEO, -1), &err),
                     GTM_EINVAL);
    build_free(in);
}

static void modes_have_words(void **state)
{
    assert_string_equal(policy_mode_word(POLICY_NORMAL), "normal");
    assert_string_equal(policy_mode_word(POLICY_INACTIVE), "inactive");
    assert_string_equal(policy_mode_word(POLICY_MODE_COUNT), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_answer_is_empty_unless_ordered),
        cmocka_unit_test(parts_and_pools_are_found_through_all_levels),
        cmocka_unit_test(every_pool_that_matters_is_named),
        cmocka_unit_test(limits_are_refused_by_name),
        cmocka_unit_test(modes_have_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
