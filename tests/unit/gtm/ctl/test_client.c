/* SPDX-License-Identifier: Apache-2.0
 *
 * Paths and exit codes. Talking is tested end to end (tests/e2e/test_gtmctl.py).
 */
#include "gtm/base/mem.h"
#include "gtm/ctl/client.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <string.h>

static void path_is(char *path, const char *expected)
{
    assert_non_null(path);
    assert_string_equal(path, expected);
    gtm_free(path);
}

static void test_paths(void **state)
{
    path_is(ctl_path("/api/v1/pools"), "/api/v1/pools");
    path_is(ctl_path("/p/%s/e/%s", "www", "a-b_c.d~e"), "/p/www/e/a-b_c.d~e");
    path_is(ctl_path("/p/%s?x=%s", "a/b?c#d", "1&y=2 +%"), "/p/a%2Fb%3Fc%23d?x=1%26y%3D2%20%2B%25");
    path_is(ctl_path("/p/%s", "..\r\n\xc3\xbc"), "/p/..%0D%0A%C3%BC");
    path_is(ctl_path("/p/%s/x", ""), "/p//x");
    path_is(ctl_path("100%"), "100%");
}

static void test_exit_codes(void **state)
{
    static const struct {
        long status;
        int code;
    } codes[] = {{400, CTL_USAGE},   {401, CTL_DENIED},   {403, CTL_DENIED},   {404, CTL_NOT_FOUND},
                 {405, CTL_FAILED},  {409, CTL_CONFLICT}, {412, CTL_CONFLICT}, {422, CTL_FAILED},
                 {423, CTL_BLOCKED}, {500, CTL_FAILED},   {503, CTL_FAILED},   {302, CTL_FAILED}};
    struct gtm_json *problem = gtm_json_object();

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        assert_int_equal(ctl_exit_of(codes[i].status, NULL), codes[i].code);
    gtm_json_add_str(problem, "code", "blocked");
    assert_int_equal(ctl_exit_of(409, problem), CTL_BLOCKED);
    gtm_json_free(problem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_paths),
                                       cmocka_unit_test(test_exit_codes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
