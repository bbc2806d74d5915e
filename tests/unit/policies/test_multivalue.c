/* SPDX-License-Identifier: Apache-2.0
 *
 * multivalue: all usable endpoints, wherever they are.
 */
#include "policies/policy.h"

#include "gtm/base/mem.h"
#include "tests/support/build_intent.h"
#include "tests/support/policy_show.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void all_usable_endpoints_answer(void **state)
{
    struct gtm_intent *in = build_intent();
    unsigned a = build_region(in, "a", 0, 0), b = build_region(in, "b", 0, 50);
    unsigned pool = build_pool(in, "p");
    build_endpoint(in, pool, "a1", a, "192.0.2.1", NULL, 10);
    build_endpoint(in, pool, "b1", b, "192.0.2.2", "2001:db8::2", 20);
    build_endpoint(in, pool, "b2", b, NULL, "2001:db8::3", 30);
    build_endpoint(in, pool, "spare", b, "192.0.2.4", NULL, 0);
    unsigned policy = build_policy(in, "m", GTM_STEER_MULTIVALUE, (int)pool);
    in->policies[policy].answers = 8;
    struct gtm_states *s = gtm_states_new(in);
    assert_string_equal(policy_show(s, policy, 0, NULL), "normal | 100% 8 of a1:10 b1:20");
    assert_string_equal(policy_show(s, policy, 1, NULL), "normal | 100% 8 of b1:20 b2:30");
    const char *said = policy_said(s, policy, 0, NULL);
    assert_non_null(strstr(said, "endpoint b2 in b skipped: no IPv4 address\n"));
    assert_non_null(strstr(said, "endpoint spare in b skipped: weight 0\n"));
    assert_non_null(strstr(policy_said(s, policy, 1, NULL), "a1 in a skipped: no IPv6 address\n"));
    gtm_states_set_health(s, pool, 0, 0, GTM_HEALTH_DOWN, NULL);
    gtm_states_set_admin(s, pool, 1, GTM_ADMIN_DRAIN, NULL);
    assert_string_equal(policy_show(s, policy, 0, NULL), "normal | 100% 8 of spare:1");
    assert_non_null(strstr(policy_said(s, policy, 0, NULL), "standby of weight 0"));
    gtm_states_free(s);
    build_free(in);
}

static void no_memory_is_an_error_not_an_empty_answer(void **state)
{
    struct gtm_intent *in = build_intent();
    unsigned a = build_region(in, "a", 0, 0), pool = build_pool(in, "p");
    build_endpoint(in, pool, "a1", a, "192.0.2.1", NULL, 10);
    unsigned policy = build_policy(in, "m", GTM_STEER_MULTIVALUE, (int)pool);
    struct gtm_states *s = gtm_states_new(in);
    struct policy_env env = {.intent = in, .states = s};
    struct policy_parts parts = {.count = 0};
    struct policy_class class_ = {.parts = &parts};
    for (unsigned n = 1; n <= 2; n++) {
        struct policy_choice choice = {.mode = POLICY_NORMAL};
        gtm_mem_fail_at(n, 0);
        assert_int_equal(policy_choose(&env, policy, &class_, &choice), GTM_ENOMEM);
        gtm_mem_fail_at(0, 0);
        assert_int_equal(choice.options_count, 0);
        policy_choice_fini(&choice);
    }
    gtm_states_free(s);
    build_free(in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_usable_endpoints_answer),
        cmocka_unit_test(no_memory_is_an_error_not_an_empty_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
