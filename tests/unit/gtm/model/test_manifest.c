/* SPDX-License-Identifier: Apache-2.0 */
#include "gtm/base/buf.h"
#include "gtm/base/mem.h"
#include "gtm/model/manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t seed = 42;

static unsigned rnd(unsigned below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % below;
}

/* Lines of different lengths; the same for the same seed. */
static char *make_text(size_t bytes, unsigned longest, size_t *ret_len)
{
    struct gtm_buf out = {0};
    while (out.len < bytes) {
        unsigned n = 1 + rnd(longest);
        for (unsigned i = 0; i < n; i++)
            gtm_buf_addc(&out, (char)('a' + rnd(26)));
        gtm_buf_addc(&out, '\n');
    }
    *ret_len = out.len;
    char *text = gtm_buf_take(&out);
    assert_non_null(text);
    return text;
}

static struct gtm_manifest *cut_text(const char *text, size_t len)
{
    struct gtm_error err = {0};
    struct gtm_manifest *m = gtm_manifest_new();
    assert_non_null(m);
    assert_int_equal(gtm_manifest_add(m, GTM_MANIFEST_MAIN, text, len, &err), 0);
    return m;
}

/* --- cutting --- */

static int gather(void *arg, const struct gtm_blob_ref *blob, const char *text)
{
    gtm_buf_add(arg, text, blob->bytes);
    return 0;
}

static void chunks_have_bounds_and_make_up_the_file(void **state)
{
    static const size_t sizes[] = {0, 1, 8191, 8192, 8193, 262144, 262145, 1000000, 3000000};
    static const unsigned longest[] = {1, 40, 5000, 600000};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
        for (size_t l = 0; l < 4; l++) {
            size_t len;
            char *text = make_text(sizes[s] ? sizes[s] : 1, longest[l], &len);
            len = sizes[s] ? len : 0;
            struct gtm_manifest *m = cut_text(text, len);
            const struct gtm_manifest_file *f = &m->files[0];
            size_t at = 0;
            for (size_t i = 0; i < f->blobs_count; i++) {
                size_t n = f->blobs[i].bytes;
                assert_in_range(n, 1, GTM_BLOB_MAX_BYTES);
                if (i + 1 < f->blobs_count) {
                    assert_in_range(n, GTM_BLOB_MIN_BYTES, GTM_BLOB_MAX_BYTES);
                    if (n < GTM_BLOB_MAX_BYTES - 4)
                        assert_int_equal(text[at + n - 1], '\n');
                }
                at += n;
            }
            struct gtm_buf again = {0};
            assert_int_equal(gtm_manifest_walk(f, text, len, gather, &again), 0);
            assert_int_equal(again.len, len);
            if (len)
                assert_memory_equal(again.data, text, len);
            gtm_buf_fini(&again);
            gtm_manifest_free(m);
            gtm_free(text);
        }
}

static void a_character_is_never_cut(void **state)
{
    struct gtm_buf out = {0};
    gtm_buf_addc(&out, 'x'); /* so that the bound falls inside a character */
    while (out.len < 3 * GTM_BLOB_MAX_BYTES)
        gtm_buf_adds(&out, "\xe2\x82\xac");
    struct gtm_manifest *m = cut_text(out.data, out.len);
    assert_in_range(m->files[0].blobs_count, 3, 4);
    assert_int_equal((m->files[0].blobs[0].bytes - 1) % 3, 0);
    gtm_manifest_free(m);
    gtm_buf_fini(&out);
}

static size_t count_new(const struct gtm_manifest *before, const struct gtm_manifest *after)
{
    size_t count = 0;
    for (size_t i = 0; i < after->files[0].blobs_count; i++) {
        bool old = false;
        for (size_t k = 0; k < before->files[0].blobs_count && !old; k++)
            old = !strcmp(before->files[0].blobs[k].sha256, after->files[0].blobs[i].sha256);
        count += !old;
    }
    return count;
}

/* A line changed, put in or taken out anywhere changes few chunks; most lines one. */
static void a_changed_line_changes_few_chunks(void **state)
{
    size_t len, total = 0;
    char *text = make_text(8u << 20, 60, &len);
    struct gtm_manifest *before = cut_text(text, len);
    assert_in_range(before->files[0].blobs_count, 60, 300);
    for (unsigned round = 0; round < 20; round++) {
        struct gtm_buf out = {0};
        size_t at = rnd((unsigned)len - 200);
        at = (size_t)(strchr(text + at, '\n') + 1 - text);
        size_t next = (size_t)(strchr(text + at, '\n') + 1 - text);
        gtm_buf_add(&out, text, at);
        gtm_buf_adds(&out, round % 3 == 2 ? "" : "another line\n");
        gtm_buf_add(&out, text + (round % 3 ? next : at), len - (round % 3 ? next : at));
        struct gtm_manifest *after = cut_text(out.data, out.len);
        size_t fresh = count_new(before, after);
        assert_in_range(fresh, 1, 4);
        total += fresh;
        gtm_manifest_free(after);
        gtm_buf_fini(&out);
    }
    assert_in_range(total, 20, 40);
    gtm_manifest_free(before);
    gtm_free(text);
}

static void a_changed_text_is_found(void **state)
{
    size_t len;
    char *text = make_text(500000, 60, &len);
    struct gtm_manifest *m = cut_text(text, len);
    text[300000] ^= 1;
    assert_int_equal(gtm_manifest_walk(&m->files[0], text, len, NULL, NULL), GTM_ECORRUPT);
    text[300000] ^= 1;
    assert_int_equal(gtm_manifest_walk(&m->files[0], text, len - 1, NULL, NULL), GTM_ECORRUPT);
    assert_int_equal(gtm_manifest_walk(&m->files[0], text, len, NULL, NULL), 0);
    gtm_manifest_free(m);
    gtm_free(text);
}

static void what_is_no_text_is_refused(void **state)
{
    struct gtm_error err = {0};
    struct gtm_manifest *m = gtm_manifest_new();
    assert_int_equal(gtm_manifest_add(m, "a.zone", "x\ny\0z", 5, &err), GTM_EINVAL);
    assert_int_equal(err.line, 2);
    assert_int_equal(gtm_manifest_add(m, "a.zone", "x\n\ny\xff", 5, &err), GTM_EINVAL);
    assert_int_equal(err.line, 3);
    assert_non_null(strstr(err.text, "UTF-8"));
    assert_int_equal(gtm_manifest_add(m, "a.zone", "x", 1, &err), 0);
    assert_int_equal(gtm_manifest_add(m, "a.zone", "x", 1, &err), GTM_EINVAL);
    gtm_manifest_free(m);
}

static void names_stay_in_the_folder(void **state)
{
    static const char *const good[] = {"a", "a/b", "zones/example.com.zone", "..a", "a..", "é"};
    static const char *const bad[] = {"",    "/a",   "a//b",   "a/",   ".",    "..",   "../a",
                                      "a/.", "a/..", "a/../b", "a\nb", "a\\b", "\xff", "a/./b"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(gtm_manifest_name_ok(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (gtm_manifest_name_ok(bad[i]))
            fail_msg("'%s' was taken", bad[i]);
    char longest[GTM_MANIFEST_NAME_MAX + 2];
    memset(longest, 'a', sizeof(longest));
    longest[sizeof(longest) - 1] = 0;
    assert_false(gtm_manifest_name_ok(longest));
    longest[sizeof(longest) - 2] = 0;
    assert_true(gtm_manifest_name_ok(longest));
}

/* --- the stored text --- */

static struct gtm_manifest *example(void)
{
    struct gtm_error err = {0};
    size_t len;
    char *text = make_text(300000, 60, &len);
    struct gtm_manifest *m = cut_text("regions: []\n", 12);
    assert_int_equal(gtm_manifest_add(m, "zones/big.zone", text, len, &err), 0);
    assert_int_equal(gtm_manifest_add(m, "empty.zone", "", 0, &err), 0);
    gtm_free(text);
    m->rev = 7;
    m->parent = 6;
    m->time_ms = 1790000000123;
    m->who = gtm_strdup("ops");
    m->why = gtm_strdup("new \"region\"");
    m->summary = gtm_json_object();
    gtm_json_add_i64(m->summary, "pools", 3);
    return m;
}

static void it_comes_back_as_it_was(void **state)
{
    struct gtm_manifest *m = example(), *again = NULL;
    struct gtm_error err = {0};
    char *text = gtm_manifest_print(m);
    assert_int_equal(gtm_manifest_parse(text, strlen(text), &again, &err), 0);
    assert_int_equal(again->files_count, 3);
    assert_int_equal(again->files[1].blobs_count, m->files[1].blobs_count);
    for (size_t i = 0; i < m->files[1].blobs_count; i++) {
        assert_string_equal(again->files[1].blobs[i].sha256, m->files[1].blobs[i].sha256);
        assert_int_equal(again->files[1].blobs[i].bytes, m->files[1].blobs[i].bytes);
    }
    assert_int_equal(again->files[2].blobs_count, 0);
    assert_string_equal(again->why, "new \"region\"");
    assert_true(again->time_ms == m->time_ms);
    char *twice = gtm_manifest_print(again);
    assert_string_equal(text, twice);
    gtm_free(text);
    gtm_free(twice);
    gtm_manifest_free(m);
    gtm_manifest_free(again);
}

/* Whatever is cut off or changed: refused, or a manifest whose numbers still add up. */
static void damage_is_refused_or_harmless(void **state)
{
    struct gtm_manifest *m = example();
    char *text = gtm_manifest_print(m);
    size_t len = strlen(text);
    for (size_t n = 0; n < len; n += 1 + rnd(7)) {
        struct gtm_manifest *got = NULL;
        struct gtm_error err = {0};
        assert_int_equal(gtm_manifest_parse(text, n, &got, &err), GTM_ECORRUPT);
        assert_null(got);
        assert_true(err.text[0] != 0);
    }
    for (unsigned round = 0; round < 20000; round++) {
        size_t at = rnd((unsigned)len);
        char was = text[at];
        struct gtm_manifest *got = NULL;
        struct gtm_error err = {0};
        text[at] = (char)(1 + rnd(126));
        int rc = gtm_manifest_parse(text, len, &got, &err);
        assert_true(rc == 0 || rc == GTM_ECORRUPT || rc == GTM_EUNSUPPORTED);
        for (size_t i = 0; rc == 0 && i < got->files_count; i++) {
            uint64_t sum = 0;
            assert_true(gtm_manifest_name_ok(got->files[i].name));
            for (size_t k = 0; k < got->files[i].blobs_count; k++) {
                assert_true(gtm_sha256_ok(got->files[i].blobs[k].sha256));
                sum += got->files[i].blobs[k].bytes;
            }
            assert_true(sum == got->files[i].bytes);
        }
        gtm_manifest_free(got);
        text[at] = was;
    }
    gtm_free(text);
    gtm_manifest_free(m);
}

static void refused(const char *text, int code, const char *says)
{
    struct gtm_manifest *got = NULL;
    struct gtm_error err = {0};
    assert_int_equal(gtm_manifest_parse(text, strlen(text), &got, &err), code);
    if (!strstr(err.text, says))
        fail_msg("'%s' does not say '%s'", err.text, says);
}

#define HEX "0000000000000000000000000000000000000000000000000000000000000000"
static void each_rule_is_checked(void **state)
{
    refused("{\"v\":2}", GTM_EUNSUPPORTED, "newer");
    refused("{}", GTM_ECORRUPT, "\"v\"");
    refused("{\"v\":1,\"rev\":0,\"parent\":0}", GTM_ECORRUPT, "revision");
    refused("{\"v\":1,\"rev\":3,\"parent\":3}", GTM_ECORRUPT, "revision");
    refused("{\"v\":1,\"rev\":3,\"parent\":2,\"files\":[]}", GTM_ECORRUPT, "files");
    refused("{\"v\":1,\"rev\":3,\"parent\":2,\"files\":[{\"name\":\"../x\"}]}", GTM_ECORRUPT,
            "below its folder");
    refused("{\"v\":1,\"rev\":3,\"parent\":2,\"files\":[{\"name\":\"x\",\"bytes\":1,\"sha256\":"
            "\"" HEX "\"}]}",
            GTM_ECORRUPT, "first file");
    refused("{\"v\":1,\"rev\":3,\"parent\":2,\"files\":[{\"name\":\"cluster.yaml\",\"bytes\":5,"
            "\"sha256\":\"" HEX "\",\"blobs\":[{\"sha256\":\"" HEX "\",\"bytes\":4}]}]}",
            GTM_ECORRUPT, "4 bytes, not 5");
    refused("{\"v\":1,\"rev\":3,\"parent\":2,\"files\":[{\"name\":\"cluster.yaml\",\"bytes\":"
            "300000,\"sha256\":\"" HEX "\"}]}",
            GTM_ECORRUPT, "chunk");
    refused("{\"v\":1,\"rev\":3,\"parent\":2,\"files\":[{\"name\":\"cluster.yaml\",\"bytes\":0,"
            "\"sha256\":\"" HEX "\"},{\"name\":\"cluster.yaml\",\"bytes\":0,\"sha256\":\"" HEX
            "\"}]}",
            GTM_ECORRUPT, "twice");
}

static void the_current_one(void **state)
{
    char sha256[GTM_SHA256_HEX_BYTES], key[GTM_MANIFEST_KEY_BYTES];
    int64_t rev = 0;
    struct gtm_error err = {0};
    char *text = gtm_intent_cur_print(42, HEX);
    assert_int_equal(gtm_intent_cur_parse(text, strlen(text), &rev, sha256, &err), 0);
    assert_int_equal(rev, 42);
    assert_string_equal(sha256, HEX);
    gtm_free(text);
    assert_int_equal(gtm_intent_cur_parse("{\"v\":1,\"rev\":1}", 15, &rev, sha256, &err),
                     GTM_ECORRUPT);
    assert_string_equal(gtm_manifest_key(42, key), "intent/rev/0000000042");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_have_bounds_and_make_up_the_file),
        cmocka_unit_test(a_character_is_never_cut),
        cmocka_unit_test(a_changed_line_changes_few_chunks),
        cmocka_unit_test(a_changed_text_is_found),
        cmocka_unit_test(what_is_no_text_is_refused),
        cmocka_unit_test(names_stay_in_the_folder),
        cmocka_unit_test(it_comes_back_as_it_was),
        cmocka_unit_test(damage_is_refused_or_harmless),
        cmocka_unit_test(each_rule_is_checked),
        cmocka_unit_test(the_current_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
