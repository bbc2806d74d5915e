/* SPDX-License-Identifier: Apache-2.0 */
#include "gtm/base/json.h"

#include "gtm/base/mem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct gtm_json *parse(const char *text)
{
    struct gtm_error err = {0};
    struct gtm_json *json = gtm_json_parse(text, strlen(text), &err);
    if (!json)
        print_error("%s: %u:%u: %s\n", text, err.line, err.col, err.text);
    assert_non_null(json);
    return json;
}

static void assert_refused(const char *text, size_t len, int code, unsigned line, unsigned col)
{
    struct gtm_error err = {0};
    struct gtm_json *json = gtm_json_parse(text, len, &err);
    if (json || err.code != code || err.line != line || err.col != col)
        print_error("%.60s: %d %u:%u: %s\n", text, err.code, err.line, err.col, err.text);
    assert_null(json);
    assert_int_equal(err.code, code);
    assert_int_equal(err.line, line);
    assert_int_equal(err.col, col);
    assert_string_not_equal(err.text, "");
}

static void assert_prints(const struct gtm_json *json, const char *want)
{
    char *got = gtm_json_print(json, false);
    assert_non_null(got);
    assert_string_equal(got, want);
    gtm_free(got);
}

/* lint: size — one table of cases */
static const struct {
    const char *text;
    unsigned line, col;
} bad_texts[] = {
    {"", 1, 1},
    {"  ", 1, 3},
    {"{}x", 1, 3},
    {"1 2", 1, 3},
    {"[1,]", 1, 4},
    {"[,1]", 1, 2},
    {"[1 2]", 1, 4},
    {"[1", 1, 3},
    {"{\"a\":1,}", 1, 8},
    {"{\"a\" 1}", 1, 6},
    {"{\"a\":}", 1, 6},
    {"{a:1}", 1, 2},
    {"{'a':1}", 1, 2},
    {"{\"a\":1,\n \"a\":2}", 2, 2},
    {"{\"a\":1,\"\\u0061\":2}", 1, 8}, /* the same key, escaped */
    {"{\"x\":{\"k\":1},\"y\":[{\"k\":1,\"k\":1}]}", 1, 26},
    {"\"\\u0000\"", 1, 2},
    {"{\"a\\u0000b\":1}", 1, 4},
    {"\"\xff\"", 1, 2},
    {"\"\xc3\xa9\xed\xa0\x80\"", 1, 3}, /* columns count characters */
    {"\"\\ud800\"", 1, 2},
    {"\"\\ud800\\u0041\"", 1, 2},
    {"\"\\udc00\"", 1, 2},
    {"\"\\x41\"", 1, 2},
    {"\"\\u12g4\"", 1, 2},
    {"\"\\u12", 1, 2},
    {"\"abc", 1, 1},
    {"\"abc\\", 1, 5},
    {"\"a\nb\"", 1, 3},
    {"\"a\tb\"", 1, 3},
    {"01", 1, 2},
    {"-", 1, 2},
    {"+1", 1, 1},
    {".5", 1, 1},
    {"1.", 1, 3},
    {"1.e5", 1, 3},
    {"1e", 1, 3},
    {"1e+", 1, 4},
    {"0x10", 1, 2},
    {"NaN", 1, 1},
    {"Infinity", 1, 1},
    {"nul", 1, 1},
    {"nulL", 1, 1},
    {"True", 1, 1},
    {"truefalse", 1, 5},
    {"[1e400]", 1, 2},
    {"[-1e400]", 1, 2},
    {"\xef\xbb\xbf{}", 1, 1}, /* byte order mark */
    {"// x\n1", 1, 1},
    {"[1]\f", 1, 4},
    {"]", 1, 1},
};

static void what_is_strict_is_refused_with_its_place(void **state)
{
    for (size_t i = 0; i < sizeof(bad_texts) / sizeof(bad_texts[0]); i++)
        assert_refused(bad_texts[i].text, strlen(bad_texts[i].text), GTM_EPARSE, bad_texts[i].line,
                       bad_texts[i].col);
    assert_refused("1\0", 2, GTM_EPARSE, 1, 2);
    assert_refused("\"a\0b\"", 5, GTM_EPARSE, 1, 3);
    assert_refused("[1\0]", 4, GTM_EPARSE, 1, 3);
}

static void the_text_ends_where_len_says(void **state)
{
    struct gtm_error err = {0};
    struct gtm_json *json = gtm_json_parse("12345", 2, &err);
    assert_true(gtm_json_as_num(json, 0) == 12);
    gtm_json_free(json);
    json = gtm_json_parse("[1]garbage", 3, &err);
    assert_non_null(json);
    gtm_json_free(json);
    char exact[3] = {'"', 'x', '"'}; /* no NUL behind it: for AddressSanitizer */
    json = gtm_json_parse(exact, 3, &err);
    assert_string_equal(gtm_json_as_str(json), "x");
    gtm_json_free(json);
}

static void limits(void **state)
{
    char text[300];
    for (unsigned depth = GTM_JSON_MAX_DEPTH; depth <= GTM_JSON_MAX_DEPTH + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        text[(size_t)2 * depth] = '\0';
        if (depth == GTM_JSON_MAX_DEPTH)
            gtm_json_free(parse(text));
        else
            assert_refused(text, strlen(text), GTM_ELIMIT, 1, GTM_JSON_MAX_DEPTH + 1);
    }
    /* A wide tree is not a deep one. */
    gtm_json_free(parse("[[],[],[[]],{\"a\":[]},{\"a\":{}}]"));
    memset(text, '1', 64);
    text[63] = '\0';
    struct gtm_json *json = parse(text);
    assert_int_equal(gtm_json_as_i64(json, -7), -7); /* does not fit */
    assert_prints(json, text);
    gtm_json_free(json);
    text[63] = '1';
    text[64] = '\0';
    assert_refused(text, 64, GTM_EPARSE, 1, 1);
    struct gtm_error err = {0};
    assert_null(gtm_json_parse(text, (size_t)GTM_JSON_MAX_BYTES + 1, &err)); /* before it is read */
    assert_int_equal(err.code, GTM_ELIMIT);
}

static void many_keys_are_checked_too(void **state)
{
    struct gtm_buf buf = {0};
    struct gtm_error err = {0};
    for (unsigned at = 0; at < 100; at += 9) {
        gtm_buf_adds(&buf, "{");
        for (unsigned i = 0; i < 100; i++)
            gtm_buf_addf(&buf, "\"k%u\":%u,", i, i);
        size_t good = buf.len;
        gtm_buf_adds(&buf, "\"last\":1}");
        struct gtm_json *json = gtm_json_parse(buf.data, buf.len, &err);
        assert_int_equal(gtm_json_count(json), 101);
        gtm_json_free(json);
        buf.len = good;
        gtm_buf_addf(&buf, "\"\\u006b%u\":1}", at);
        assert_null(gtm_json_parse(buf.data, buf.len, &err));
        assert_string_equal(err.text, "duplicate key");
        assert_int_equal(err.col, good + 1);
        gtm_buf_clear(&buf);
    }
    gtm_buf_fini(&buf);
}

static void integers_are_exact(void **state)
{
    static const int64_t values[] = {0,
                                     1,
                                     -1,
                                     999999999999999,
                                     1000000000000000,
                                     9007199254740991,
                                     9007199254740992,
                                     9007199254740993,
                                     -9007199254740993,
                                     1234567890123456789,
                                     INT64_MAX,
                                     INT64_MAX - 1,
                                     INT64_MIN,
                                     INT64_MIN + 1};
    char text[200];
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        snprintf(text, sizeof(text), "{\"a\":[0.5,%lld,7],\"b\":{\"v\":%lld}}",
                 (long long)values[i], (long long)values[i]);
        struct gtm_json *json = parse(text), *copy = gtm_json_copy(json);
        gtm_json_free(json);
        assert_true(gtm_json_i64(gtm_json_get(copy, "b"), "v", 5) == values[i]);
        assert_true(gtm_json_as_i64(gtm_json_pointer(copy, "/a/1"), 5) == values[i]);
        assert_true(gtm_json_as_i64(gtm_json_pointer(copy, "/a/2"), 5) == 7);
        assert_true(gtm_json_as_num(gtm_json_pointer(copy, "/a/1"), 5) == (double)values[i]);
        assert_prints(copy, text);
        gtm_json_free(copy);
        struct gtm_json *built = gtm_json_object();
        gtm_json_add_i64(built, "v", values[i]);
        assert_true(gtm_json_i64(built, "v", 5) == values[i]);
        snprintf(text, sizeof(text), "{\"v\":%lld}", (long long)values[i]);
        assert_prints(built, text);
        gtm_json_free(built);
    }
    struct gtm_json *json =
        parse("[9223372036854775808,-9223372036854775809,1.5,1e18,1e19,\"3\",1.0]");
    static const int64_t want[] = {-7, -7, -7, 1000000000000000000, -7, -7, 1};
    for (size_t i = 0; i < 7; i++) {
        snprintf(text, sizeof(text), "/%zu", i);
        assert_true(gtm_json_as_i64(gtm_json_pointer(json, text), -7) == want[i]);
    }
    gtm_json_free(json);
}

static void doubles_survive(void **state)
{
    static const double values[] = {
        0.1,  1e-300, 5e-324,     1.7976931348623157e308, -2.5e10,
        1e15, 1e17,   123456.789, 9007199254740994.0,     0.30000000000000004,
        1e21, -1e-7};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct gtm_json *json = gtm_json_object();
        gtm_json_add_num(json, "v", values[i]);
        char *text = gtm_json_print(json, false);
        struct gtm_json *again = parse(text);
        assert_true(gtm_json_num(again, "v", 0) == values[i]);
        gtm_free(text);
        gtm_json_free(json);
        gtm_json_free(again);
    }
    struct gtm_json *json = gtm_json_object();
    gtm_json_add_num(json, "inf", INFINITY);
    gtm_json_add_num(json, "nan", NAN);
    assert_prints(json, "{\"inf\":null,\"nan\":null}");
    gtm_json_free(json);
    json = parse("-0");
    assert_prints(json, "-0.0");
    gtm_json_free(json);
}

static void keys_are_case_sensitive_and_types_are_kept(void **state)
{
    struct gtm_json *json =
        parse("{\"Key\":1,\"key\":\"two\",\"n\":null,\"t\":true,\"f\":false,\"a\":[1]}");
    assert_true(gtm_json_num(json, "Key", 0) == 1);
    assert_string_equal(gtm_json_str(json, "key", "-"), "two");
    assert_null(gtm_json_get(json, "KEY"));
    assert_string_equal(gtm_json_str(json, "Key", "-"), "-");
    assert_true(gtm_json_num(json, "key", 9) == 9);
    assert_true(gtm_json_bool(json, "t", false));
    assert_false(gtm_json_bool(json, "f", true));
    assert_true(gtm_json_bool(json, "n", true));
    assert_int_equal(gtm_json_type(gtm_json_get(json, "n")), GTM_JSON_NULL);
    assert_int_equal(gtm_json_type(gtm_json_get(json, "t")), GTM_JSON_BOOL);
    assert_int_equal(gtm_json_type(gtm_json_get(json, "a")), GTM_JSON_ARRAY);
    assert_int_equal(gtm_json_type(json), GTM_JSON_OBJECT);
    assert_null(gtm_json_get(gtm_json_get(json, "a"), "x"));
    assert_null(gtm_json_get(NULL, "x"));
    assert_int_equal(gtm_json_count(NULL), 0);
    assert_null(gtm_json_key(NULL));
    assert_null(gtm_json_next(NULL));
    assert_null(gtm_json_key(gtm_json_first(gtm_json_get(json, "a"))));
    assert_string_equal(gtm_json_key(gtm_json_first(json)), "Key");
    gtm_json_free(json);
    gtm_json_free(NULL);
}

static void strings_are_unescaped(void **state)
{
    struct gtm_json *json = parse("\"\\u00e9\\ud83d\\ude00\\n\\\"\\/\\\\\\b\\f\\r\\t\"");
    assert_string_equal(gtm_json_as_str(json), "\xc3\xa9\xf0\x9f\x98\x80\n\"/\\\b\f\r\t");
    assert_prints(json, "\"\xc3\xa9\xf0\x9f\x98\x80\\n\\\"/\\\\\\b\\f\\r\\t\"");
    gtm_json_free(json);
}

static void pointers(void **state)
{
    /* RFC 6901 section 5 */
    struct gtm_json *json =
        parse("{\"foo\":[\"bar\",\"baz\"],\"\":0,\"a/b\":1,\"m~n\":8,\"~1\":9}");
    assert_ptr_equal(gtm_json_pointer(json, ""), json);
    assert_string_equal(gtm_json_as_str(gtm_json_pointer(json, "/foo/0")), "bar");
    assert_string_equal(gtm_json_as_str(gtm_json_pointer(json, "/foo/1")), "baz");
    assert_true(gtm_json_as_num(gtm_json_pointer(json, "/"), -1) == 0);
    assert_true(gtm_json_as_num(gtm_json_pointer(json, "/a~1b"), -1) == 1);
    assert_true(gtm_json_as_num(gtm_json_pointer(json, "/m~0n"), -1) == 8);
    assert_true(gtm_json_as_num(gtm_json_pointer(json, "/~01"), -1) == 9);
    static const char *const absent[] = {
        "foo", "/foo/2", "/foo/-", "/foo/01",         "/foo/",   "/foo/0/x", "/a~2b",
        "/m~", "/nope",  "//",     "/foo/9999999999", "/foo/-1", "/fo",      "/fooo"};
    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
        assert_null(gtm_json_pointer(json, absent[i]));
    gtm_json_free(json);
}

static struct gtm_json *build(void)
{
    struct gtm_json *root = gtm_json_object();
    gtm_json_add_str(root, "s", "a\xff\"");
    gtm_json_add_str(root, "null", NULL);
    gtm_json_add_i64(root, "big", INT64_MAX);
    gtm_json_add_bool(root, "b", true);
    gtm_json_add_null(root, "n");
    struct gtm_json *list = gtm_json_add_array(root, "list");
    gtm_json_append_str(list, "x");
    gtm_json_append_i64(list, 3);
    gtm_json_add_num(gtm_json_append_object(list), "k", 0.5);
    gtm_json_add_object(root, "empty");
    return root;
}

static void builders_print(void **state)
{
    struct gtm_json *root = build();
    assert_prints(
        root, "{\"s\":\"a\xef\xbf\xbd\\\"\",\"null\":null,\"big\":9223372036854775807,\"b\":true,"
              "\"n\":null,\"list\":[\"x\",3,{\"k\":0.5}],\"empty\":{}}");
    char *pretty = gtm_json_print(gtm_json_get(root, "list"), true);
    assert_string_equal(pretty, "[\n  \"x\",\n  3,\n  {\n    \"k\": 0.5\n  }\n]");
    gtm_free(pretty);
    gtm_json_free(root);
}

static void what_is_incomplete_does_not_print(void **state)
{
    assert_null(gtm_json_print(NULL, false));
    struct gtm_json *root = gtm_json_object(), *child = gtm_json_add_object(root, "c");
    gtm_json_add(child, "missing", NULL); /* a value that could not be made */
    assert_null(gtm_json_print(root, false));
    gtm_json_free(root);
    root = gtm_json_array();
    gtm_json_add_i64(root, "k", 1); /* an array has no keys */
    assert_null(gtm_json_print(root, false));
    gtm_json_free(root);
    gtm_json_add(NULL, "k", gtm_json_object()); /* freed, says LeakSanitizer */
    gtm_json_append(NULL, gtm_json_object());
}

/* Each allocation in turn fails: the result is complete or NULL, never a part. */
static void every_allocation_may_fail_while_building(void **state)
{
    struct gtm_json *whole = build();
    char *want = gtm_json_print(whole, true);
    gtm_json_free(whole);
    unsigned failed = 0;
    for (unsigned n = 1;; n++) {
        gtm_mem_fail_at(n, 0);
        struct gtm_json *root = build();
        struct gtm_json *copy = gtm_json_copy(root);
        char *text = gtm_json_print(copy, true);
        gtm_mem_fail_at(0, 0);
        bool done = text != NULL;
        if (text)
            assert_string_equal(text, want);
        failed += text == NULL;
        gtm_free(text);
        gtm_json_free(root);
        gtm_json_free(copy);
        if (done)
            break;
    }
    assert_true(failed > 30);
    gtm_free(want);
}

static void every_allocation_may_fail_while_parsing(void **state)
{
    struct gtm_buf buf = {0};
    gtm_buf_adds(&buf, "{\"big\":[12345678901234567890,1],");
    for (unsigned i = 0; i < 40; i++)
        gtm_buf_addf(&buf, "\"key%u\":\"v\",", i);
    gtm_buf_adds(&buf, "\"end\":{\"a\":true}}");
    unsigned n = 1;
    for (;; n++) {
        struct gtm_error err = {0};
        gtm_mem_fail_at(n, 0);
        struct gtm_json *json = gtm_json_parse(buf.data, buf.len, &err);
        gtm_mem_fail_at(0, 0);
        if (json) {
            assert_prints(json, buf.data);
            gtm_json_free(json);
            break;
        }
        assert_int_equal(err.code, GTM_ENOMEM);
    }
    assert_true(n > 100);
    gtm_buf_fini(&buf);
}

static void quoting(void **state)
{
    struct gtm_buf buf = {0};
    gtm_json_quote(&buf, "a\0b\x1f\x7f\xc3", 6);
    assert_string_equal(buf.data, "\"a\\u0000b\\u001f\\u007f\xef\xbf\xbd\"");
    gtm_buf_fini(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_strict_is_refused_with_its_place),
        cmocka_unit_test(the_text_ends_where_len_says),
        cmocka_unit_test(limits),
        cmocka_unit_test(many_keys_are_checked_too),
        cmocka_unit_test(integers_are_exact),
        cmocka_unit_test(doubles_survive),
        cmocka_unit_test(keys_are_case_sensitive_and_types_are_kept),
        cmocka_unit_test(strings_are_unescaped),
        cmocka_unit_test(pointers),
        cmocka_unit_test(builders_print),
        cmocka_unit_test(what_is_incomplete_does_not_print),
        cmocka_unit_test(every_allocation_may_fail_while_building),
        cmocka_unit_test(every_allocation_may_fail_while_parsing),
        cmocka_unit_test(quoting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
