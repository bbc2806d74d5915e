/* SPDX-License-Identifier: Apache-2.0
 *
 * The YAML tree: values, places, what counts as text, what is refused and where. The findings of
 * wrong files are in test_intent_files.c.
 */
#include "gtm/model/yaml.h"

#include "gtm/base/buf.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct gtm_yaml *parse(const char *text, struct gtm_diags *diags,
                              const struct gtm_yaml_node **ret_root)
{
    return gtm_yaml_parse("f", text, strlen(text), diags, ret_root);
}

static void test_tree(void **state)
{
    struct gtm_diags diags = {0};
    const struct gtm_yaml_node *root;
    struct gtm_yaml *yaml = parse("# comment\n"
                                  "a: 1\n"
                                  "b:\n"
                                  "  - x\n"
                                  "  - {k: \"v\", ü: 'w'}\n"
                                  "c: |\n"
                                  "  two\n"
                                  "  lines\n",
                                  &diags, &root);
    assert_non_null(yaml);
    assert_int_equal(diags.count, 0);
    assert_int_equal(root->kind, GTM_YAML_MAP);
    assert_int_equal(root->count, 3);
    const struct gtm_yaml_node *a = gtm_yaml_get(root, "a"), *b = gtm_yaml_get(root, "b");
    assert_string_equal(a->text, "1");
    assert_false(a->quoted);
    assert_int_equal(a->key_line, 2);
    assert_int_equal(a->key_col, 1);
    assert_int_equal(a->col, 4);
    assert_int_equal(b->kind, GTM_YAML_LIST);
    assert_int_equal(b->count, 2);
    assert_int_equal(b->index, 1);
    assert_string_equal(b->first->text, "x");
    const struct gtm_yaml_node *map = b->first->next;
    assert_int_equal(map->line, 5);
    assert_int_equal(map->col, 5);
    assert_true(gtm_yaml_get(map, "k")->quoted);
    assert_int_equal(gtm_yaml_get(map, "ü")->col, 17); /* characters, not bytes */
    assert_string_equal(gtm_yaml_get(root, "c")->text, "two\nlines\n");
    assert_true(gtm_yaml_get(root, "c")->quoted);
    assert_null(gtm_yaml_get(root, "d"));
    assert_null(gtm_yaml_get(a, "d"));
    assert_null(gtm_yaml_get(NULL, "d"));
    gtm_yaml_free(yaml);
}

static void test_empty(void **state)
{
    static const char *const texts[] = {"", "\n\n", "# only words\n", "---\n...\n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct gtm_diags diags = {0};
        const struct gtm_yaml_node *root;
        struct gtm_yaml *yaml = parse(texts[i], &diags, &root);
        assert_non_null(yaml);
        assert_true(root == NULL || gtm_yaml_is_null(root));
        assert_int_equal(diags.count, 0);
        gtm_yaml_free(yaml);
    }
}

/* YAML 1.2's core schema: these are no text unless they are in quotes. */
static void test_looks(void **state)
{
    static const struct {
        const char *text;
        char kind; /* n number, b boolean, 0 null, t text */
    } cases[] = {
        {"1", 'n'},     {"-1", 'n'},         {"+1.5", 'n'}, {".5", 'n'},    {"1.", 'n'},
        {"1e3", 'n'},   {"1.5E-3", 'n'},     {"0x1F", 'n'}, {"0o17", 'n'},  {".inf", 'n'},
        {"-.Inf", 'n'}, {".nan", 'n'},       {"true", 'b'}, {"False", 'b'}, {"TRUE", 'b'},
        {"~", '0'},     {"null", '0'},       {"Null", '0'}, {"NO", 't'},    {"yes", 't'},
        {"off", 't'},   {"1.2.3.4", 't'},    {"1s", 't'},   {"0x", 't'},    {"1e", 't'},
        {".", 't'},     {"+", 't'},          {"tRue", 't'}, {"1_000", 't'}, {"08:00", 't'},
        {"0o8", 't'},   {"2026-12-20", 't'},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct gtm_diags diags = {0};
        const struct gtm_yaml_node *root;
        char text[64];
        for (int quoted = 0; quoted < 2; quoted++) {
            snprintf(text, sizeof(text), quoted ? "k: \"%s\"" : "k: %s", cases[i].text);
            struct gtm_yaml *yaml = parse(text, &diags, &root);
            assert_non_null(yaml);
            const struct gtm_yaml_node *k = gtm_yaml_get(root, "k");
            char kind = gtm_yaml_is_number(k) ? 'n'
                        : gtm_yaml_is_bool(k) ? 'b'
                        : gtm_yaml_is_null(k) ? '0'
                                              : 't';
            if (kind != (quoted ? 't' : cases[i].kind))
                fail_msg("%s is taken for %c", text, kind);
            gtm_yaml_free(yaml);
        }
    }
}

static void test_depth(void **state)
{
    for (int depth = GTM_YAML_MAX_DEPTH; depth <= GTM_YAML_MAX_DEPTH + 1; depth++) {
        char text[2 * GTM_YAML_MAX_DEPTH + 8];
        struct gtm_diags diags = {0};
        const struct gtm_yaml_node *root;
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        text[2 * depth] = '\0';
        struct gtm_yaml *yaml = parse(text, &diags, &root);
        assert_int_equal(yaml != NULL, depth <= GTM_YAML_MAX_DEPTH);
        gtm_yaml_free(yaml);
        gtm_diags_fini(&diags);
    }
}

/* Few keys are compared, many are sorted: both must find the same. */
static void test_duplicates(void **state)
{
    for (int keys = 3; keys <= 300; keys *= 10) {
        struct gtm_buf text = {0};
        struct gtm_diags diags = {0};
        const struct gtm_yaml_node *root;
        for (int i = 0; i < keys; i++)
            gtm_buf_addf(&text, "k%d: %d\n", i, i);
        gtm_buf_adds(&text, "k1: again\nk1: and again\n");
        struct gtm_yaml *yaml = parse(text.data, &diags, &root);
        assert_non_null(yaml);
        assert_int_equal(diags.errors, 2);
        assert_int_equal(diags.items[0].line, keys + 1);
        assert_int_equal(diags.items[0].width, 2);
        assert_string_equal(diags.items[0].text, "duplicate key 'k1' (first at line 2)");
        assert_string_equal(gtm_yaml_get(root, "k1")->text, "1");
        gtm_yaml_free(yaml);
        gtm_diags_fini(&diags);
        gtm_buf_fini(&text);
    }
}

static void test_size(void **state)
{
    struct gtm_diags diags = {0};
    const struct gtm_yaml_node *root;
    assert_null(gtm_yaml_parse("f", "", (size_t)GTM_YAML_MAX_BYTES + 1, &diags, &root));
    assert_string_equal(diags.items[0].text, "larger than 64 MiB");
    gtm_diags_fini(&diags);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree),       cmocka_unit_test(test_empty),
        cmocka_unit_test(test_looks),      cmocka_unit_test(test_depth),
        cmocka_unit_test(test_duplicates), cmocka_unit_test(test_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
