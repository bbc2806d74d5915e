/* SPDX-License-Identifier: Apache-2.0
 *
 * Matching of requests against the table of routes, and the table itself.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "gtm/base/map.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/api.h"

#include <stdio.h>
#include <string.h>

static void nothing(struct gtm_api_req *req)
{
}

static const struct gtm_api_route table[] = {
    {GTM_API_GET, "/v/pools", nothing, GTM_API_VIEWER, "after limit", "pools"},
    {GTM_API_GET, "/v/pools/all", nothing, GTM_API_VIEWER, NULL, "literal first"},
    {GTM_API_GET, "/v/pools/{pool}", nothing, GTM_API_VIEWER, NULL, "pool"},
    {GTM_API_DELETE, "/v/pools/{pool}", nothing, GTM_API_ADMIN, NULL, "remove"},
    {GTM_API_PUT, "/v/pools/{pool}/endpoints/{endpoint}/admin", nothing, GTM_API_OPERATOR, NULL,
     "order"},
};
#define ROWS (sizeof(table) / sizeof(table[0]))

static struct gtm_api_target target;
static struct gtm_api_match match;
static struct gtm_error err;

static int find(enum gtm_api_method method, const char *raw)
{
    memset(&target, 0x5a, sizeof(target));
    err = (struct gtm_error){0};
    return gtm_api_match(table, ROWS, method, raw, &target, &match, &err);
}

static void assert_row(int row)
{
    assert_ptr_equal(match.route, row < 0 ? NULL : &table[row]);
}

static void paths(void **state)
{
    assert_int_equal(find(GTM_API_GET, "/v/pools"), 0);
    assert_row(0);
    assert_int_equal(find(GTM_API_GET, "/v/pools/all"), 0);
    assert_row(1);
    assert_int_equal(find(GTM_API_GET, "/v/pools/www"), 0);
    assert_row(2);
    assert_string_equal(gtm_api_params_get(&target.path, "pool"), "www");
    assert_null(gtm_api_params_get(&target.path, "poo"));
    assert_int_equal(find(GTM_API_PUT, "/v/pools/a/endpoints/b/admin"), 0);
    assert_row(4);
    assert_string_equal(gtm_api_params_get(&target.path, "pool"), "a");
    assert_string_equal(gtm_api_params_get(&target.path, "endpoint"), "b");
}

static void no_such_path(void **state)
{
    static const char *const wrong[] = {"",
                                        "/",
                                        "/v",
                                        "/v/",
                                        "/v/pool",
                                        "/v/poolss",
                                        "/v/pools/",
                                        "v/pools",
                                        "/v/pools/a/",
                                        "/v/pools/a/b",
                                        "//v/pools",
                                        "/V/pools",
                                        "http://x/v/pools",
                                        "*",
                                        "/v/pools/a/endpoints//admin"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(find(GTM_API_GET, wrong[i]), 0);
        assert_row(-1);
        assert_int_equal(match.allowed, 0);
    }
}

static void wrong_method_says_which(void **state)
{
    assert_int_equal(find(GTM_API_POST, "/v/pools/x"), 0);
    assert_row(-1);
    assert_int_equal(match.allowed, 1u << GTM_API_GET | 1u << GTM_API_DELETE);
    assert_int_equal(find(GTM_API_METHOD_COUNT, "/v/pools"), 0);
    assert_row(-1);
    assert_int_equal(match.allowed, 1u << GTM_API_GET);
}

static void decoding(void **state)
{
    assert_int_equal(find(GTM_API_GET, "/v/pools/a%2fb%2E+c?after=1+2%2B&limit="), 0);
    assert_row(2);
    assert_string_equal(gtm_api_params_get(&target.path, "pool"), "a/b.+c");
    assert_string_equal(gtm_api_params_get(&target.query, "after"), "1 2+");
    assert_string_equal(gtm_api_params_get(&target.query, "limit"), "");
    assert_int_equal(find(GTM_API_GET, "/v/pools?a&&b=c=d&"), 0);
    assert_string_equal(gtm_api_params_get(&target.query, "a"), "");
    assert_string_equal(gtm_api_params_get(&target.query, "b"), "c=d");
    assert_int_equal(target.query.count, 2);
}

static void bad_targets(void **state)
{
    static const char *const bad[] = {
        "/v/pools/%",    "/v/pools/%2", "/v/pools/%zz",     "/v/pools/%00",  "/v/pools/a%0ab",
        "/v/pools/\x7f", "/v/pools?=x", "/v/pools?a=1&a=2", "/v/pools?a=%4", "/v/pools?a=1#frag"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(find(GTM_API_GET, bad[i]), GTM_EINVAL);
        assert_true(err.text[0]);
    }
}

static void limits(void **state)
{
    char *raw = gtm_malloc(GTM_API_TARGET_MAX + 2);
    memset(raw, 'a', GTM_API_TARGET_MAX + 1);
    memcpy(raw, "/v/pools/", 9);
    raw[GTM_API_TARGET_MAX + 1] = 0;
    assert_int_equal(find(GTM_API_GET, raw), GTM_ELIMIT);
    raw[GTM_API_TARGET_MAX] = 0;
    assert_int_equal(find(GTM_API_GET, raw), 0);
    assert_int_equal(strlen(gtm_api_params_get(&target.path, "pool")), GTM_API_TARGET_MAX - 9);
    /* As many one-letter parameters as are allowed, and one more. */
    size_t n = 0;
    memcpy(raw, "/v/pools?", 10);
    for (; n < GTM_API_PARAMS_MAX; n++)
        snprintf(raw + 9 + n * 3, 8, "%c=&", (char)('a' + n));
    assert_int_equal(find(GTM_API_GET, raw), 0);
    assert_int_equal(target.query.count, GTM_API_PARAMS_MAX);
    snprintf(raw + 9 + n * 3, 8, "%c=", (char)('a' + n));
    assert_int_equal(find(GTM_API_GET, raw), GTM_ELIMIT);
    gtm_free(raw);
}

static void query_parameters_are_known(void **state)
{
    assert_int_equal(find(GTM_API_GET, "/v/pools?limit=1&after=2"), 0);
    assert_null(gtm_api_query_unknown(match.route, &target.query));
    assert_int_equal(find(GTM_API_GET, "/v/pools?limit=1&dryRun=true"), 0);
    assert_string_equal(gtm_api_query_unknown(match.route, &target.query), "dryRun");
    assert_int_equal(find(GTM_API_DELETE, "/v/pools/x?dryRun=true"), 0);
    assert_null(gtm_api_query_unknown(match.route, &target.query));
    assert_false(gtm_api_list_has("after limit", "lim"));
    assert_false(gtm_api_list_has(NULL, "x"));
    assert_true(gtm_api_list_has("a bb c", "bb"));
}

/* Every row of the real table is found by its own path and by no earlier row. */
static void the_table_is_reachable(void **state)
{
    struct gtm_map *seen = gtm_map_new();
    for (size_t i = 0; i < gtm_api_routes_count; i++) {
        const struct gtm_api_route *row = &gtm_api_routes[i];
        char path[256];
        size_t n = 0;
        for (const char *p = row->path; *p; p++) {
            if (*p == '{') {
                n += (size_t)snprintf(path + n, sizeof(path) - n, "some-name");
                p = strchr(p, '}');
            } else {
                path[n++] = *p;
            }
        }
        path[n] = 0;
        assert_int_equal(gtm_api_match(gtm_api_routes, gtm_api_routes_count, row->method, path,
                                       &target, &match, &err),
                         0);
        assert_ptr_equal(match.route, row);
        assert_non_null(row->handler);
        assert_true(row->summary && row->summary[0]);
        assert_true(row->role < GTM_API_ROLE_COUNT && row->method < GTM_API_METHOD_COUNT);
        assert_true(row->method == GTM_API_GET || row->role != GTM_API_VIEWER ||
                    strstr(row->path, "validate"));
        char key[300];
        snprintf(key, sizeof(key), "%s %s", gtm_api_method_word(row->method), row->path);
        void *old = NULL;
        assert_int_equal(gtm_map_put(seen, key, (void *)row, &old), 0);
        assert_null(old);
    }
    gtm_map_free(seen, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths),
        cmocka_unit_test(no_such_path),
        cmocka_unit_test(wrong_method_says_which),
        cmocka_unit_test(decoding),
        cmocka_unit_test(bad_targets),
        cmocka_unit_test(limits),
        cmocka_unit_test(query_parameters_are_known),
        cmocka_unit_test(the_table_is_reachable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
