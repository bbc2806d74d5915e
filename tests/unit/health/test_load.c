/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of load reports: what counts as a number, what is missing, what is no JSON.
 */
#include "health/load.h"
#include "health/outcome.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int parse(const char *body, const char *load, const char *connections,
                 struct health_load *ret_load, struct gtm_error *err)
{
    const char *const pointers[GTM_LOAD_COUNT] = {
        [GTM_LOAD_LOAD] = load, [GTM_LOAD_CONNECTIONS] = connections};
    memset(err, 0, sizeof(*err));
    return health_load_parse(body, strlen(body), pointers, ret_load, err);
}

static void numbers_are_found(void **state)
{
    struct health_load load;
    struct gtm_error err;
    assert_int_equal(parse("{\"a\":{\"l/x\":[7,0.25]},\"c\":12}", "/a/l~1x/1", "/c", &load, &err),
                     0);
    assert_int_equal(load.has, 1 << GTM_LOAD_LOAD | 1 << GTM_LOAD_CONNECTIONS);
    assert_true(load.value[GTM_LOAD_LOAD] == 0.25);
    assert_true(load.value[GTM_LOAD_CONNECTIONS] == 12);
    assert_int_equal(parse("0.5", "", NULL, &load, &err), 0); /* the whole document */
    assert_true(load.value[GTM_LOAD_LOAD] == 0.5);
}

static void strings_that_hold_numbers_count(void **state)
{
    static const char *const bad[] = {"\"\"",    "\" 1\"", "\"1 \"", "\"0x10\"",  "\"inf\"",
                                      "\"nan\"", "\"1e\"", "\"-1\"", "\"1e999\"", "\"1,5\"",
                                      "-0.1",    "true",   "null",   "[]",        "{}"};
    struct health_load load;
    struct gtm_error err;
    assert_int_equal(parse("{\"l\":\"1.5e-1\"}", "/l", NULL, &load, &err), 0);
    assert_true(fabs(load.value[GTM_LOAD_LOAD] - 0.15) < 1e-12);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char body[64];
        snprintf(body, sizeof(body), "{\"l\":%s}", bad[i]);
        if (parse(body, "/l", NULL, &load, &err) != GTM_EPARSE || load.has != 0)
            fail_msg("%s was taken", body);
        assert_string_equal(err.text, "load: /l is not a number ≥ 0");
    }
}

static void what_is_missing_is_named_and_the_rest_kept(void **state)
{
    struct health_load load;
    struct gtm_error err;
    assert_int_equal(parse("{\"c\":3}", "/l", "/c", &load, &err), GTM_EPARSE);
    assert_string_equal(err.text, "load: there is no /l");
    assert_int_equal(load.has, 1 << GTM_LOAD_CONNECTIONS);
    assert_true(load.value[GTM_LOAD_CONNECTIONS] == 3);
}

static void what_is_no_json_is_refused(void **state)
{
    static const char *const bad[] = {"",           "all is well",       "{",
                                      "{\"l\":1}x", "{\"l\":1,\"l\":2}", "\xff"};
    struct health_load load;
    struct gtm_error err;
    const char *const pointers[GTM_LOAD_COUNT] = {"/l"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(parse(bad[i], "/l", NULL, &load, &err), GTM_EPARSE);
        assert_string_equal(err.text, "the answer is not JSON");
        assert_int_equal(load.has, 0);
    }
    char *large = calloc(1, HEALTH_BODY_MAX + 2);
    assert_non_null(large);
    memset(large, ' ', HEALTH_BODY_MAX + 1);
    assert_int_equal(health_load_parse(large, HEALTH_BODY_MAX + 1, pointers, &load, &err),
                     GTM_EPARSE);
    free(large);
}

static void a_heartbeat_need_not_say_all(void **state)
{
    static const char *const pointers[GTM_LOAD_COUNT] = {"/load", "/connections", "/latency_ms",
                                                         "/requests_per_s"};
    const char *text = "{\"status\":\"up\",\"load\":0.4,\"requests_per_s\":\"90\"}";
    struct health_load load;
    struct gtm_error err = {0};
    struct gtm_json *root = gtm_json_parse(text, strlen(text), NULL);
    assert_int_equal(health_load_read(root, pointers, false, &load, &err), 0);
    assert_int_equal(load.has, 1 << GTM_LOAD_LOAD | 1 << GTM_LOAD_REQUESTS_PER_S);
    assert_true(load.value[GTM_LOAD_REQUESTS_PER_S] == 90);
    assert_int_equal(health_load_read(root, pointers, true, &load, &err), GTM_EPARSE);
    gtm_json_free(root);
    root = gtm_json_parse("{\"load\":-1,\"connections\":3}", 27, NULL);
    assert_int_equal(health_load_read(root, pointers, false, &load, &err), GTM_EPARSE);
    assert_string_equal(err.text, "load: /load is not a number ≥ 0");
    assert_int_equal(load.has, 1 << GTM_LOAD_CONNECTIONS);
    gtm_json_free(root);
    assert_int_equal(health_load_read(NULL, pointers, false, &load, &err), 0);
    assert_int_equal(load.has, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_found),
        cmocka_unit_test(strings_that_hold_numbers_count),
        cmocka_unit_test(what_is_missing_is_named_and_the_rest_kept),
        cmocka_unit_test(what_is_no_json_is_refused),
        cmocka_unit_test(a_heartbeat_need_not_say_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
