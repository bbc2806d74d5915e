/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON as YAML: the shape, and everything that must be quoted. Read back by gtm's own strict reader
 * (gtm/model/yaml.h) where it has to be the same again.
 */
#include "gtm/base/mem.h"
#include "gtm/ctl/show.h"
#include "gtm/model/yaml.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <stdio.h>
#include <string.h>

static void yaml_is(const char *json, const char *expected)
{
    struct gtm_error err = {0};
    struct gtm_buf out = {0};
    struct gtm_json *value = gtm_json_parse(json, strlen(json), &err);

    assert_non_null(value);
    ctl_yaml(&out, value, 0);
    assert_false(out.failed);
    assert_string_equal(out.data, expected);
    gtm_json_free(value);
    gtm_buf_fini(&out);
}

static void test_shapes(void **state)
{
    yaml_is("null", "null\n");
    yaml_is("[]", "[]\n");
    yaml_is("{}", "{}\n");
    yaml_is("{\"a\":1,\"b\":true,\"c\":null,\"d\":-1.5,\"e\":{},\"f\":[]}",
            "a: 1\nb: true\nc: null\nd: -1.5\ne: {}\nf: []\n");
    yaml_is("{\"a\":{\"b\":{\"c\":1}},\"d\":[1,2]}", "a:\n  b:\n    c: 1\nd:\n  - 1\n  - 2\n");
    yaml_is("[{\"a\":1,\"b\":[{\"c\":2},3]},[4,[5]],{}]",
            "- a: 1\n  b:\n    - c: 2\n    - 3\n-\n  - 4\n  -\n    - 5\n- {}\n");
    yaml_is("{\"big\":12345678901234567890}", "big: 12345678901234567890\n");
}

static void test_plain(void **state)
{
    yaml_is("[\"up\",\"us-east-1\",\"/var/lib/gtm\",\"example.com\",\"a_b\"]",
            "- up\n- us-east-1\n- /var/lib/gtm\n- example.com\n- a_b\n");
}

static void test_quoted(void **state)
{
    yaml_is(
        "[\"\",\"yes\",\"No\",\"ON\",\"null\",\"True\",\"y\",\"1\",\"1e3\",\"0x1\",\"~\",\".5\"]",
        "- \"\"\n- \"yes\"\n- \"No\"\n- \"ON\"\n- \"null\"\n- \"True\"\n- \"y\"\n- \"1\"\n"
        "- \"1e3\"\n- \"0x1\"\n- \"~\"\n- \".5\"\n");
    yaml_is("[\"a: b\",\"a #b\",\"- a\",\"[a\",\"*a\",\"!a\",\"a b\",\" a\",\"12:30\"]",
            "- \"a: b\"\n- \"a #b\"\n- \"- a\"\n- \"[a\"\n- \"*a\"\n- \"!a\"\n- \"a b\"\n"
            "- \" a\"\n- \"12:30\"\n");
    yaml_is("[\"a\\n\\\"b\\\\\\t\\u0001\"]", "- \"a\\n\\\"b\\\\\\t\\u0001\"\n");
    yaml_is("{\"yes\":1,\"a b\":2}", "\"yes\": 1\n\"a b\": 2\n");
}

/* YAML folds or forbids these where JSON does not. */
static void test_escaped(void **state)
{
    yaml_is("[\"a\\u0085b\"]", "- \"a\\u0085b\"\n");
    yaml_is("[\"\\u009b\"]", "- \"\\u009b\"\n");
    yaml_is("[\"\\u2028\\u2029\"]", "- \"\\u2028\\u2029\"\n");
    yaml_is("[\"\\ufeff\\ufffe\\uffff\"]", "- \"\\ufeff\\ufffe\\uffff\"\n");
    yaml_is("[\"\\u202a\\u202e\\u202f\\u2066\\u2069\"]",
            "- \"\\u202a\\u202e\xe2\x80\xaf\\u2066\\u2069\"\n");
    yaml_is("[\"\\u007f\"]", "- \"\\u007f\"\n");
    yaml_is("[\"«ü» \xf0\x9f\x98\x80\xef\xbf\xbd\"]", "- \"«ü» \xf0\x9f\x98\x80\xef\xbf\xbd\"\n");
}

/* What is written is read again as the same text, for every character of the lowest planes' edges.
 */
static void test_read_back(void **state)
{
    static const unsigned codes[] = {1,      9,      10,     13,     0x1f,   0x20,   0x22,
                                     0x27,   0x5c,   0x7e,   0x7f,   0x80,   0x85,   0x9f,
                                     0xa0,   0xff,   0x2027, 0x2028, 0x2029, 0x202a, 0xd7ff,
                                     0xe000, 0xfefe, 0xfeff, 0xff00, 0xfffd, 0xfffe, 0xffff};

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        char json[64];
        struct gtm_error err = {0};
        struct gtm_buf out = {0};
        struct gtm_diags diags = {0};
        snprintf(json, sizeof(json), "{\"k\":\"a\\u%04xb\"}", codes[i]);
        struct gtm_json *value = gtm_json_parse(json, strlen(json), &err);
        assert_non_null(value);
        ctl_yaml(&out, value, 0);
        const struct gtm_yaml_node *root = NULL;
        struct gtm_yaml *doc = gtm_yaml_parse("test", out.data, out.len, &diags, &root);
        if (doc == NULL || diags.errors > 0)
            fail_msg("U+%04X: %s", codes[i], out.data);
        const struct gtm_yaml_node *k = gtm_yaml_get(root, "k");
        assert_non_null(k);
        assert_string_equal(k->text, gtm_json_str(value, "k", NULL));
        gtm_yaml_free(doc);
        gtm_diags_fini(&diags);
        gtm_json_free(value);
        gtm_buf_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),    cmocka_unit_test(test_plain),
        cmocka_unit_test(test_quoted),    cmocka_unit_test(test_escaped),
        cmocka_unit_test(test_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
