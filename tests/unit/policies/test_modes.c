/* SPDX-License-Identifier: Apache-2.0
 *
 * Every kind of steering × every all_down × every family: what answers while all serve, while one
 * does, and when none does. And what the weights of ramps, degraded endpoints and balancing come to
 * in each kind.
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

struct world {
    struct gtm_intent *in;
    struct gtm_states *s;
    unsigned policy;
};

static char host[] = "cdn.example";

/* us: u1 (100) and u2 (300), both families; eu: e4 (IPv4), h (only a host). A backup pool with b.
 */
static struct world world(enum gtm_steer steer, enum gtm_all_down all_down)
{
    struct world w = {.in = build_intent()};
    build_region(w.in, "us", 38, -77);
    build_region(w.in, "eu", 53, -6);
    build_pool(w.in, "www");
    build_endpoint(w.in, 0, "u1", 0, "192.0.2.1", "2001:db8::1", 100);
    build_endpoint(w.in, 0, "u2", 0, "192.0.2.2", "2001:db8::2", 300);
    build_endpoint(w.in, 0, "e4", 1, "192.0.2.3", NULL, 100);
    build_endpoint(w.in, 0, "h", 1, NULL, NULL, 100);
    w.in->pools[0].endpoints[3].host = host;
    w.in->pools[0].degraded_weight = 0.5;
    build_pool(w.in, "spare");
    build_endpoint(w.in, 1, "b", 0, "192.0.2.9", "2001:db8::9", 100);
    bool split = steer == GTM_STEER_WEIGHTED;
    w.policy = build_policy(w.in, "p", steer, split ? -1 : 0);
    if (split)
        build_target(w.in, w.policy, GTM_TARGET_POOL, 0, 0, 1);
    w.in->policies[w.policy].all_down = all_down;
    if (all_down == GTM_ALL_DOWN_BACKUP)
        build_backup(w.in, w.policy, GTM_TARGET_POOL, 1);
    w.s = gtm_states_new(w.in);
    return w;
}

static void end(struct world *w)
{
    gtm_states_free(w->s);
    w->in->pools[0].endpoints[3].host = NULL;
    build_free(w->in);
}

static void set(struct world *w, unsigned endpoint, enum gtm_health health)
{
    for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++)
        gtm_states_set_health(w->s, 0, endpoint, f, health, NULL);
}

static bool by_region(enum gtm_steer steer)
{
    return steer == GTM_STEER_NEAREST || steer == GTM_STEER_GEO || steer == GTM_STEER_FAILOVER ||
           steer == GTM_STEER_LATENCY;
}

/* "normal | 100% 1 of u1:100 u2:300", and with buckets when sticky. */
static void expect(const struct world *w, enum gtm_family family, const char *members)
{
    enum gtm_steer steer = w->in->policies[w->policy].steer;
    bool empty = strchr(members, ':') == NULL;
    char want[128];
    snprintf(want, sizeof(want), "%s%s", members,
             steer == GTM_STEER_STICKY && !empty && !strstr(members, "backup") ? " in 1024" : "");
    assert_string_equal(policy_show(w->s, w->policy, family, NULL), want);
}

static void all_serve(void **state)
{
    for (enum gtm_steer steer = 0; steer < GTM_STEER_COUNT; steer++) {
        for (enum gtm_all_down mode = 0; mode < GTM_ALL_DOWN_COUNT; mode++) {
            struct world w = world(steer, mode);
            const char *two = "normal | 100% 1 of u1:100 u2:300";
            expect(&w, GTM_FAMILY_V4,
                   by_region(steer) ? two : "normal | 100% 1 of u1:100 u2:300 e4:100");
            expect(&w, GTM_FAMILY_V6, two);
            expect(&w, GTM_FAMILY_ANY,
                   by_region(steer) ? two : "normal | 100% 1 of u1:100 u2:300 e4:100 h:100");
            end(&w);
        }
    }
}

static void one_is_left(void **state)
{
    for (enum gtm_steer steer = 0; steer < GTM_STEER_COUNT; steer++) {
        for (enum gtm_all_down mode = 0; mode < GTM_ALL_DOWN_COUNT; mode++) {
            struct world w = world(steer, mode);
            for (unsigned e = 0; e < 3; e++)
                if (e != 1)
                    set(&w, e, GTM_HEALTH_DOWN);
            expect(&w, GTM_FAMILY_V4, "normal | 100% 1 of u2:300");
            expect(&w, GTM_FAMILY_V6, "normal | 100% 1 of u2:300");
            expect(&w, GTM_FAMILY_ANY,
                   by_region(steer) ? "normal | 100% 1 of u2:300"
                                    : "normal | 100% 1 of u2:300 h:100");
            end(&w);
        }
    }
}

/* The last that served was u2. */
static void none_is_left(void **state)
{
    static const char *const other[GTM_ALL_DOWN_COUNT] = {
        [GTM_ALL_DOWN_LAST_GOOD] = "last_good | 100% 1 of u2:300",
        [GTM_ALL_DOWN_FAIL_CLOSED] = "fail_closed",
        [GTM_ALL_DOWN_BACKUP] = "backup | 100% 1 of b:100",
    };
    for (enum gtm_steer steer = 0; steer < GTM_STEER_COUNT; steer++) {
        for (enum gtm_all_down mode = 0; mode < GTM_ALL_DOWN_COUNT; mode++) {
            struct world w = world(steer, mode);
            set(&w, 0, GTM_HEALTH_DOWN);
            set(&w, 2, GTM_HEALTH_DOWN);
            gtm_states_set_admin(w.s, 0, 3, GTM_ADMIN_DOWN, NULL); /* a host has no health */
            set(&w, 1, GTM_HEALTH_DOWN);
            const char *open = "fail_open | 100% 1 of u1:100 u2:300";
            bool wide = !by_region(steer);
            expect(&w, GTM_FAMILY_V4,
                   other[mode] ? other[mode]
                   : wide      ? "fail_open | 100% 1 of u1:100 u2:300 e4:100"
                               : open);
            expect(&w, GTM_FAMILY_V6, other[mode] ? other[mode] : open);
            expect(&w, GTM_FAMILY_ANY,
                   other[mode] ? other[mode]
                   : wide      ? "fail_open | 100% 1 of u1:100 u2:300 e4:100"
                               : open);
            end(&w);
        }
    }
}

static void shares_and_degraded_count_in_every_kind(void **state)
{
    for (enum gtm_steer steer = 0; steer < GTM_STEER_COUNT; steer++) {
        struct world w = world(steer, GTM_ALL_DOWN_FAIL_OPEN);
        gtm_states_set_share(w.s, 0, 0, GTM_FAMILY_V6, 405, NULL);
        set(&w, 1, GTM_HEALTH_DEGRADED);
        /* in thousandths when some share is not whole */
        expect(&w, GTM_FAMILY_V6, "normal | 100% 1 of u1:40500 u2:150000");
        gtm_states_set_share(w.s, 0, 0, GTM_FAMILY_V6, 0, NULL);
        expect(&w, GTM_FAMILY_V6, "normal | 100% 1 of u2:150");
        assert_non_null(strstr(policy_said(w.s, w.policy, GTM_FAMILY_V6, NULL),
                               "endpoint u1 in us skipped: held back"));
        assert_non_null(strstr(policy_said(w.s, w.policy, GTM_FAMILY_V6, NULL),
                               "endpoint u2 can answer, weight 150 (50 % of its full weight: "
                               "degraded)"));
        end(&w);
    }
}

static void balanced_weights_are_the_policys_own(void **state)
{
    static const uint32_t weights[] = {7, 9, 11, 13};
    for (enum gtm_steer steer = 0; steer < GTM_STEER_COUNT; steer++) {
        struct world w = world(steer, GTM_ALL_DOWN_FAIL_OPEN);
        unsigned twin = build_policy(w.in, "twin", GTM_STEER_MULTIVALUE, 0);
        struct gtm_states *s = gtm_states_new(w.in);
        if (steer != GTM_STEER_WEIGHTED) {
            assert_int_equal(gtm_states_set_balance(s, w.policy, weights, 4, NULL), 0);
            gtm_states_free(w.s);
            w.s = s;
            expect(&w, GTM_FAMILY_V6, "normal | 100% 1 of u1:7 u2:9");
            assert_string_equal(policy_show(w.s, twin, GTM_FAMILY_V6, NULL),
                                "normal | 100% 1 of u1:100 u2:300");
        } else {
            gtm_states_free(s);
        }
        end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_serve),
        cmocka_unit_test(one_is_left),
        cmocka_unit_test(none_is_left),
        cmocka_unit_test(shares_and_degraded_count_in_every_kind),
        cmocka_unit_test(balanced_weights_are_the_policys_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
