/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables and fields as they come onto the screen.
 */
#include "gtm/base/mem.h"
#include "gtm/ctl/show.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <string.h>

static const struct ctl_column columns[] = {
    {"NAME", "name", CTL_COL_TEXT, false, false},
    {"HEALTH", "health", CTL_COL_WORD, false, false},
    {"N", "n", CTL_COL_TEXT, false, true},
    {"OF", "e", CTL_COL_OF, false, false},
    {"MS", "ms", CTL_COL_MS, true, true},
    {"BYTES", "b", CTL_COL_BYTES, true, true},
    {"OWNER", "/admin/owner", CTL_COL_TEXT, false, false},
};
#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

static struct gtm_json *parse(const char *text)
{
    struct gtm_error err = {0};
    struct gtm_json *value = gtm_json_parse(text, strlen(text), &err);

    assert_non_null(value);
    return value;
}

static const char items[] =
    "[{\"name\":\"東京\",\"health\":\"up\",\"n\":5,\"e_serving\":1,\"e_total\":2,\"ms\":0.0015,"
    "\"b\":2500000,\"admin\":{\"owner\":\"me\"}},"
    "{\"name\":\"x\\u001b[31m\",\"health\":\"down\",\"n\":1234.5,\"e_serving\":0,\"e_total\":0,"
    "\"ms\":null,\"b\":0,\"admin\":{\"owner\":null}}]";

static void table_is(const struct ctl *ctl, const char *text, const char *expected)
{
    struct gtm_buf out = {0};
    struct gtm_json *list = parse(text);

    ctl_table(ctl, &out, list, columns, COLUMNS);
    assert_false(out.failed);
    assert_string_equal(out.data != NULL ? out.data : "", expected);
    gtm_json_free(list);
    gtm_buf_fini(&out);
}

static void test_aligned(void **state)
{
    struct ctl ctl = {.output = CTL_TABLE};

    table_is(&ctl, items,
             "NAME    HEALTH       N  OF   OWNER\n"
             "東京    up           5  1/2  me\n"
             "x?[31m  down    1234.5  0/0  -\n");
}

static void test_wide(void **state)
{
    struct ctl ctl = {.output = CTL_WIDE};

    table_is(&ctl, items,
             "NAME    HEALTH       N  OF       MS   BYTES  OWNER\n"
             "東京    up           5  1/2  1.5 ms  2.5 MB  me\n"
             "x?[31m  down    1234.5  0/0       -  0.0 kB  -\n");
}

static void test_who_sees_whom(void **state)
{
    static const struct ctl_column seen[] = {{"SEEN BY", "seen_by", CTL_COL_SEEN, false, false}};
    struct ctl ctl = {.output = CTL_TABLE, .no_headers = true};
    struct gtm_buf out = {0};
    struct gtm_json *list =
        parse("[{\"seen_by\":[\"a\",\"b\"],\"unseen_by\":[],\"unheard\":[]},"
              "{\"seen_by\":[\"a\"],\"unseen_by\":[\"b\",\"c\\u001b\"],\"unheard\":[]},"
              "{\"seen_by\":[\"a\"],\"unseen_by\":[\"b\"],\"unheard\":[\"c\"]},"
              "{\"seen_by\":[],\"unseen_by\":[],\"unheard\":[]},"
              "{\"seen_by\":null,\"unseen_by\":null,\"unheard\":null},{}]");

    ctl_table(&ctl, &out, list, seen, 1);
    assert_string_equal(out.data, "2 of 2\n1 of 3, not by b,c?\n1 of 3, not by b, unheard c\n"
                                  "0 of 0\n-\n-\n");
    gtm_json_free(list);
    gtm_buf_fini(&out);
}

static void test_without_headers(void **state)
{
    struct ctl ctl = {.output = CTL_TABLE, .no_headers = true};

    table_is(&ctl, "[{\"name\":\"a\",\"health\":\"up\",\"n\":1,\"e_serving\":1,\"e_total\":1}]",
             "a  up  1  1/1  -\n");
    table_is(&ctl, "[]", "");
}

static void test_empty_has_its_headings(void **state)
{
    struct ctl ctl = {.output = CTL_TABLE};

    table_is(&ctl, "[]", "NAME  HEALTH  N  OF  OWNER\n");
}

/* Colour takes no column, and headings have none. */
static void test_colour_keeps_columns(void **state)
{
    struct ctl ctl = {.output = CTL_TABLE, .colour = true};

    table_is(&ctl,
             "[{\"name\":\"up\",\"health\":\"up\",\"n\":1,\"e_serving\":1,\"e_total\":1},"
             "{\"name\":\"b\",\"health\":\"unknown\",\"n\":1,\"e_serving\":1,\"e_total\":1}]",
             "NAME  HEALTH   N  OF   OWNER\n"
             "up    \033[32mup\033[0m       1  1/1  -\n"
             "b     \033[36munknown\033[0m  1  1/1  -\n");
}

static void test_fields(void **state)
{
    struct ctl ctl = {.output = CTL_TABLE};
    struct gtm_buf out = {0};
    struct gtm_json *object =
        parse("{\"name\":\"www\",\"long_key\":null,\"ok\":true,\"list\":[\"a\",\"b\"],\"none\":[],"
              "\"admin\":{\"state\":\"auto\",\"since\":null},"
              "\"endpoints\":[{\"name\":\"e1\",\"weight\":100,\"admin\":{\"state\":\"drain\"},"
              "\"addresses\":[{\"address\":\"192.0.2.1\"},{\"address\":\"2001:db8::1\"}]},"
              "{\"name\":\"e22\",\"weight\":1,\"admin\":{\"state\":\"auto\"},\"addresses\":[]}]}");

    ctl_fields(&ctl, &out, object);
    assert_string_equal(out.data, "name      www\n"
                                  "long_key  -\n"
                                  "ok        yes\n"
                                  "list      a,b\n"
                                  "none      -\n"
                                  "admin\n"
                                  "  state  auto\n"
                                  "  since  -\n"
                                  "endpoints\n"
                                  "  NAME  WEIGHT  ADMIN  ADDRESSES\n"
                                  "  e1       100  drain  192.0.2.1,2001:db8::1\n"
                                  "  e22        1  auto   -\n");
    gtm_json_free(object);
    gtm_buf_fini(&out);
}

/* Each allocation fails once: the table says that it failed, and nothing leaks (sanitizers). */
static void test_out_of_memory(void **state)
{
    struct ctl ctl = {.output = CTL_WIDE};
    struct gtm_json *list = parse(items);
    unsigned n = 0;

    for (bool failed = true; failed; n++) {
        struct gtm_buf out = {0};
        gtm_mem_fail_at(n + 1, 0);
        ctl_table(&ctl, &out, list, columns, COLUMNS);
        gtm_mem_fail_at(0, 0);
        failed = out.failed;
        gtm_buf_fini(&out);
        assert_true(n < 1000);
    }
    assert_true(n > 10);
    gtm_json_free(list);
}

static void test_envelope(void **state)
{
    struct gtm_json *like = parse("{\"revision\":12}");
    struct gtm_json *root = ctl_envelope("Thing", like), *bare = ctl_envelope("Thing", NULL);

    assert_string_equal(gtm_json_str(root, "apiVersion", ""), "gtm/v1");
    assert_string_equal(gtm_json_str(root, "kind", ""), "Thing");
    assert_int_equal(gtm_json_i64(root, "revision", 0), 12);
    assert_null(gtm_json_get(bare, "revision"));
    gtm_json_free(root);
    gtm_json_free(bare);
    gtm_json_free(like);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_aligned),
        cmocka_unit_test(test_wide),
        cmocka_unit_test(test_who_sees_whom),
        cmocka_unit_test(test_without_headers),
        cmocka_unit_test(test_empty_has_its_headings),
        cmocka_unit_test(test_colour_keeps_columns),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_envelope),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
