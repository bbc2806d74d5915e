/* SPDX-License-Identifier: Apache-2.0 */
#include "gtm/base/err.h"

#include "gtm/base/utf8.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void codes_have_texts_and_distinct_words(void **state)
{
    static const int codes[] = {
#define GTM_ERR_CODE(name, value, text) name,
        GTM_ERR_LIST(GTM_ERR_CODE)
#undef GTM_ERR_CODE
    };
    size_t n = sizeof(codes) / sizeof(codes[0]);
    for (size_t i = 0; i < n; i++) {
        assert_string_not_equal(gtm_err_text(codes[i]), "unknown error");
        assert_string_not_equal(gtm_err_word(codes[i]), "unknown");
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(gtm_err_word(codes[i]), gtm_err_word(codes[j]));
    }
    assert_string_equal(gtm_err_text(-5), "unknown error");
    assert_string_equal(gtm_err_word(-5), "unknown");
    assert_string_equal(gtm_err_word(GTM_ENOMEM), "nomem");
    assert_string_equal(gtm_err_word(0), "ok");
}

static void errno_is_mapped(void **state)
{
    assert_int_equal(gtm_err_from_errno(ENOSPC), GTM_ENOSPACE);
    assert_int_equal(gtm_err_from_errno(EDQUOT), GTM_ENOSPACE);
    assert_int_equal(gtm_err_from_errno(ENOENT), GTM_ENOTFOUND);
    assert_int_equal(gtm_err_from_errno(EACCES), GTM_EDENIED);
    assert_int_equal(gtm_err_from_errno(EIO), GTM_EIO);
    assert_int_equal(gtm_err_from_errno(12345), GTM_EIO);
    assert_int_equal(gtm_err_from_errno(0), 0);
}

static void places_are_formatted(void **state)
{
    struct gtm_error err = {0};
    char out[800];
    assert_int_equal(gtm_error_at(&err, GTM_EPARSE, "a.yaml", 3, 7, "bad %s", "key"), GTM_EPARSE);
    assert_string_equal(gtm_error_format(&err, out, sizeof(out)), "a.yaml:3:7: bad key");
    gtm_error_wrap(&err, "zone %d", 5);
    assert_string_equal(gtm_error_format(&err, out, sizeof(out)), "a.yaml:3:7: zone 5: bad key");
    assert_int_equal(err.code, GTM_EPARSE);
    gtm_error_at(&err, GTM_EPARSE, NULL, 3, 7, "x");
    assert_string_equal(gtm_error_format(&err, out, sizeof(out)), "3:7: x");
    gtm_error_at(&err, GTM_EIO, "f", 0, 0, "x");
    assert_string_equal(gtm_error_format(&err, out, sizeof(out)), "f: x");
    gtm_error_set(&err, GTM_EIO, "plain");
    assert_string_equal(gtm_error_format(&err, out, sizeof(out)), "plain");
    err = (struct gtm_error){.code = GTM_ENOMEM};
    assert_string_equal(gtm_error_format(&err, out, sizeof(out)), "out of memory");
    assert_string_equal(gtm_error_format(&err, out, 4), "out");
}

static void null_error_is_fine(void **state)
{
    assert_int_equal(gtm_error_set(NULL, GTM_EIO, "x"), GTM_EIO);
    assert_int_equal(gtm_error_at(NULL, GTM_EIO, "f", 1, 1, "x"), GTM_EIO);
    gtm_error_wrap(NULL, "x");
}

static void long_text_is_cut_between_characters(void **state)
{
    struct gtm_error err = {0};
    char text[1200];
    for (size_t i = 0; i + 2 < sizeof(text); i += 2)
        memcpy(text + i, "é", 2);
    text[1198] = '\0';
    gtm_error_set(&err, GTM_EIO, "%s", text);
    assert_int_equal(strlen(err.text), 510); /* 511 would be half a character */
    gtm_error_set(&err, GTM_EIO, "x%s", text);
    assert_int_equal(strlen(err.text), 511);
    gtm_error_wrap(&err, "%s", text);
    for (size_t i = 0, n = strlen(err.text), step; i < n; i += step) {
        step = gtm_utf8_len(err.text + i, n - i);
        assert_int_not_equal(step, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_have_texts_and_distinct_words),
        cmocka_unit_test(errno_is_mapped),
        cmocka_unit_test(places_are_formatted),
        cmocka_unit_test(null_error_is_fine),
        cmocka_unit_test(long_text_is_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
