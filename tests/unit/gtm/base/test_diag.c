/* SPDX-License-Identifier: Apache-2.0 */
#include "gtm/base/diag.h"

#include "gtm/base/fs.h"
#include "gtm/base/mem.h"
#include "tests/support/temp_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char folder[TEST_TEMP_DIR_BYTES];
static char path[80];

static int setup(void **state)
{
    if (test_temp_dir_make("diag", folder) != 0)
        return -1;
    snprintf(path, sizeof(path), "%s/a.yaml", folder);
    return 0;
}

static int teardown(void **state)
{
    return test_temp_dir_remove(folder);
}

static char *printed(const struct gtm_diags *diags)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    gtm_diags_print(diags, out);
    fclose(out);
    return text;
}

static void prints_the_line_and_a_mark(void **state)
{
    static const char yaml[] = "a: 1\n\tb\xc3\xa9: [x, bad]\r\n";
    struct gtm_error err = {0};
    assert_int_equal(gtm_fs_write_atomic(path, yaml, sizeof(yaml) - 1, 0600, &err), 0);
    struct gtm_diags diags = {0};
    gtm_diags_add(&diags, GTM_SEV_ERROR, path, 2, 10, "unknown word \"%s\"", "bad");
    gtm_diags_set_width(&diags, 3);
    gtm_diags_add(&diags, GTM_SEV_WARNING, path, 9, 1, "beyond the end");
    gtm_diags_add(&diags, GTM_SEV_NOTE, NULL, 0, 0, "no place");
    char want[512], *got = printed(&diags);
    snprintf(want, sizeof(want),
             "%s:2:10: error: unknown word \"bad\"\n"
             "    \tb\xc3\xa9: [x, bad]\n"
             "    \t        ^~~\n"
             "%s:9:1: warning: beyond the end\n"
             "note: no place\n",
             path, path);
    assert_string_equal(got, want);
    free(got);
    gtm_diags_fini(&diags);
}

static void terminal_escapes_and_long_lines_are_tamed(void **state)
{
    char yaml[400];
    memset(yaml, 'x', sizeof(yaml));
    memcpy(yaml + 300, "\x1b[31m\xc2\x9b!\xff", 9);
    struct gtm_error err = {0};
    assert_int_equal(gtm_fs_write_atomic(path, yaml, sizeof(yaml), 0600, &err), 0);
    struct gtm_diags diags = {0};
    gtm_diags_add(&diags, GTM_SEV_ERROR, path, 1, 301, "here");
    gtm_diags_set_width(&diags, 1000);
    char *got = printed(&diags);
    assert_null(strchr(got, '\x1b'));
    assert_null(strstr(got, "\xc2\x9b"));
    assert_null(strchr(got, '\xff'));
    assert_non_null(strstr(got, "?[31m?"));
    assert_true(strlen(got) < 400);
    free(got);
    gtm_diags_fini(&diags);
}

static void the_list_is_bounded(void **state)
{
    struct gtm_diags diags = {0};
    for (unsigned i = 0; i < 1000; i++)
        gtm_diags_add(&diags, GTM_SEV_ERROR, "f", i + 1, 1, "e%u", i);
    gtm_diags_add(&diags, GTM_SEV_WARNING, "f", 1, 1, "w");
    assert_int_equal(diags.count, GTM_DIAG_MAX);
    assert_int_equal(diags.errors, 1000);
    assert_int_equal(diags.warnings, 1);
    char *got = printed(&diags);
    assert_non_null(strstr(got, "(800 more errors and 1 more warnings are not shown)"));
    free(got);
    struct gtm_error err = {0};
    gtm_diags_first(&diags, &err);
    assert_int_equal(err.code, GTM_EPARSE);
    assert_string_equal(err.text, "e0 (and 999 more)");
    gtm_diags_fini(&diags);
}

static void first_skips_warnings(void **state)
{
    struct gtm_diags diags = {0};
    struct gtm_error err = {0};
    gtm_diags_add(&diags, GTM_SEV_WARNING, "f", 1, 1, "w");
    gtm_diags_first(&diags, &err);
    assert_int_equal(err.code, 0);
    gtm_diags_add(&diags, GTM_SEV_ERROR, "f", 3, 4, "e");
    gtm_diags_first(&diags, &err);
    char out[100];
    assert_string_equal(gtm_error_format(&err, out, sizeof(out)), "f:3:4: e");
    gtm_diags_fini(&diags);
}

static void an_error_counts_even_without_memory(void **state)
{
    for (unsigned n = 1; n <= 3; n++) {
        struct gtm_diags diags = {0};
        struct gtm_error err = {0};
        gtm_mem_fail_at(n, 0);
        gtm_diags_add(&diags, GTM_SEV_ERROR, "f", 1, 1, "e");
        gtm_mem_fail_at(0, 0);
        assert_int_equal(diags.errors, 1);
        assert_int_equal(diags.count, 0);
        gtm_diags_first(&diags, &err);
        assert_int_equal(err.code, GTM_EPARSE);
        gtm_diags_fini(&diags);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_the_line_and_a_mark),
        cmocka_unit_test(terminal_escapes_and_long_lines_are_tamed),
        cmocka_unit_test(the_list_is_bounded),
        cmocka_unit_test(first_skips_warnings),
        cmocka_unit_test(an_error_counts_even_without_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
