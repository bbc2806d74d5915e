/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of health/outcome and health/spec: words, classes, sentences, what is expected, and when
 * two targets are probed alike.
 */
#include "gtm/base/mem.h"
#include "health/outcome.h"
#include "health/spec.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct gtm_monitor monitor_of(void)
{
    return (struct gtm_monitor){.name = (char *)"web",
                                .port = 80,
                                .interval_ms = 1000,
                                .timeout_ms = 800,
                                .fall = 2,
                                .rise = 3};
}

static struct health_spec *spec_of(const struct gtm_monitor *monitor)
{
    struct gtm_error err = {0};
    struct health_target target = {.key = "k", .family = AF_INET, .monitor = monitor};
    target.addr.v4.s_addr = htonl(0xc0000201);
    struct health_spec *spec = health_spec_new(&target, &err);
    if (!spec)
        fail_msg("%s", err.text);
    return spec;
}

static void every_result_has_its_word_and_class(void **state)
{
    static const struct {
        enum health_result result;
        const char *word, *class;
    } rows[] = {
        {HEALTH_RESULT_NONE, "none", "none"},
        {HEALTH_RESULT_OK, "ok", "ok"},
        {HEALTH_RESULT_REFUSED, "refused", "transport"},
        {HEALTH_RESULT_RESET, "reset", "transport"},
        {HEALTH_RESULT_TIMEOUT, "timeout", "transport"},
        {HEALTH_RESULT_UNREACHABLE, "unreachable", "transport"},
        {HEALTH_RESULT_STATUS, "status", "content"},
        {HEALTH_RESULT_BODY, "body", "content"},
        {HEALTH_RESULT_GARBAGE, "garbage", "content"},
        {HEALTH_RESULT_REDIRECT, "redirect", "content"},
        {HEALTH_RESULT_LOCAL, "local", "local"},
        {HEALTH_RESULT_COUNT, "none", "none"},
        {(enum health_result)1000, "none", "none"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_string_equal(health_result_word(rows[i].result), rows[i].word);
        assert_string_equal(health_class_word(health_result_class(rows[i].result)), rows[i].class);
    }
}

static void errno_decides_whose_fault_it_is(void **state)
{
    static const struct {
        int os_error;
        enum health_result result;
    } rows[] = {
        {ECONNREFUSED, HEALTH_RESULT_REFUSED},
        {ECONNRESET, HEALTH_RESULT_RESET},
        {EPIPE, HEALTH_RESULT_RESET},
        {ETIMEDOUT, HEALTH_RESULT_TIMEOUT},
        {EHOSTUNREACH, HEALTH_RESULT_UNREACHABLE},
        {ENETUNREACH, HEALTH_RESULT_UNREACHABLE},
        {EACCES, HEALTH_RESULT_UNREACHABLE},
        {EMFILE, HEALTH_RESULT_LOCAL},
        {ENFILE, HEALTH_RESULT_LOCAL},
        {EADDRNOTAVAIL, HEALTH_RESULT_LOCAL},
        {ENOBUFS, HEALTH_RESULT_LOCAL},
        {EAFNOSUPPORT, HEALTH_RESULT_LOCAL},
    };
    struct gtm_monitor m = monitor_of();
    struct health_spec *spec = spec_of(&m);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[HEALTH_EVIDENCE_BYTES];
        struct health_outcome o = {0};
        health_outcome_from_errno(&o, rows[i].os_error);
        assert_int_equal(o.result, rows[i].result);
        assert_true(health_outcome_text(&o, spec, text)[0] != '\0');
    }
    health_spec_free(spec);
}

static void sentences_say_what_was_wanted(void **state)
{
    static uint16_t few[] = {200, 204};
    static uint16_t many[] = {200, 201, 202, 203, 204, 205, 206, 207, 208, 209};
    char text[HEALTH_EVIDENCE_BYTES];
    struct gtm_monitor m = monitor_of();
    m.expect_body = (char *)"line\nbreak";
    struct health_spec *spec = spec_of(&m);
    struct health_outcome o = {.result = HEALTH_RESULT_STATUS, .status = 503};
    assert_string_equal(health_outcome_text(&o, spec, text), "HTTP 503, wanted 200..299");
    o = (struct health_outcome){.result = HEALTH_RESULT_BODY, .status = 200};
    assert_string_equal(health_outcome_text(&o, spec, text), "body lacks \"line.break\"");
    o = (struct health_outcome){.result = HEALTH_RESULT_TIMEOUT};
    assert_string_equal(health_outcome_text(&o, spec, text), "no connection in 800 ms");
    o.phase = HEALTH_PHASE_HEADERS;
    assert_string_equal(health_outcome_text(&o, spec, text), "headers not complete in 800 ms");
    o = (struct health_outcome){0};
    assert_string_equal(health_outcome_text(&o, spec, text), "");
    health_spec_free(spec);

    m.expect_status = few;
    m.expect_status_count = 2;
    spec = spec_of(&m);
    o = (struct health_outcome){.result = HEALTH_RESULT_STATUS, .status = 503};
    assert_string_equal(health_outcome_text(&o, spec, text), "HTTP 503, wanted 200, 204");
    assert_true(health_spec_expects(spec, 204));
    assert_false(health_spec_expects(spec, 201));
    health_spec_free(spec);

    m.expect_status = many;
    m.expect_status_count = 10;
    spec = spec_of(&m);
    assert_string_equal(health_outcome_text(&o, spec, text),
                        "HTTP 503, wanted 200, 201, 202, 203, 204, 205, 206, 207, …");
    health_spec_free(spec);
}

/* Whatever a server says, evidence is UTF-8 that no terminal obeys. */
static void sentences_are_fit_to_print(void **state)
{
    static const char *const rows[][2] = {
        {"a\nb\x1b[2J\x7f", "a.b.[2J."},
        {"caf\xc3\xa9 \xe2\x82\xac", "caf\xc3\xa9 \xe2\x82\xac"},
        {"\xff\xc3(\xed\xa0\x80\xc0\x80", "..(....."},
        {"\xc2\x9b"
         "2J\xc2\xa0",
         "..2J\xc2\xa0"},
    };
    struct gtm_monitor m = monitor_of();
    struct health_spec *spec = spec_of(&m);
    char out[HEALTH_EVIDENCE_BYTES];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct health_outcome o = {.result = HEALTH_RESULT_ANSWER, .text = (char *)rows[i][0]};
        assert_string_equal(health_outcome_text(&o, spec, out), rows[i][1]);
    }
    char longest[400]; /* the cut falls within a character */
    for (size_t i = 0; i < sizeof(longest) - 1; i++)
        longest[i] = i % 2 ? '\xa9' : '\xc3';
    longest[sizeof(longest) - 1] = '\0';
    struct health_outcome o = {.result = HEALTH_RESULT_ANSWER, .text = longest};
    health_outcome_text(&o, spec, out);
    assert_int_equal(strlen(out), HEALTH_EVIDENCE_BYTES - 1);
    assert_string_equal(out + HEALTH_EVIDENCE_BYTES - 4, "\xc3\xa9.");
    health_spec_free(spec);
}

static void by_default_200_to_299_is_well(void **state)
{
    struct gtm_monitor m = monitor_of();
    struct health_spec *spec = spec_of(&m);
    assert_false(health_spec_expects(spec, 199));
    assert_true(health_spec_expects(spec, 200));
    assert_true(health_spec_expects(spec, 299));
    assert_false(health_spec_expects(spec, 300)); /* a redirect loop must not count as healthy */
    assert_false(health_spec_expects(spec, 0));
    health_spec_free(spec);
}

/* Each change of what is probed must be seen; each is one line here. */
static void any_difference_is_seen(void **state)
{
    static uint16_t few[] = {200}, other[] = {201};
    struct gtm_monitor base = monitor_of(), rows[12];
    base.expect_status = few;
    base.expect_status_count = 1;
    for (size_t i = 0; i < 12; i++)
        rows[i] = base;
    rows[0].name = (char *)"other";
    rows[1].kind = GTM_MONITOR_TCP;
    rows[2].port = 81;
    rows[3].path = (char *)"/x";
    rows[4].host = (char *)"x";
    rows[5].method = (char *)"HEAD";
    rows[6].expect_status = other;
    rows[7].expect_body = (char *)"x";
    rows[8].send = (char *)"x";
    rows[9].interval_ms++;
    rows[10].timeout_ms++;
    rows[11].fall++;
    struct health_spec *a = spec_of(&base), *b = spec_of(&base);
    assert_true(health_spec_equal(a, b));
    health_spec_free(b);
    for (size_t i = 0; i < 12; i++) {
        b = spec_of(&rows[i]);
        if (health_spec_equal(a, b) || health_spec_equal(b, a))
            fail_msg("difference %zu was not seen", i);
        health_spec_free(b);
    }
    base.rise++;
    b = spec_of(&base);
    assert_false(health_spec_equal(a, b));
    health_spec_free(b);
    base.rise--;
    struct health_target target = {.key = "k", .family = AF_INET6, .monitor = &base};
    b = health_spec_new(&target, NULL);
    assert_non_null(b);
    assert_false(health_spec_equal(a, b));
    assert_string_equal(a->authority, "192.0.2.1:80");
    assert_string_equal(b->authority, "[::]:80");
    health_spec_free(a);
    health_spec_free(b);
}

static void no_memory_is_reported(void **state)
{
    static uint16_t few[] = {200};
    struct gtm_monitor m = monitor_of();
    struct health_target target = {.key = "k", .family = AF_INET, .monitor = &m};
    unsigned failed = 0;
    m.expect_status = few;
    m.expect_status_count = 1;
    m.expect_body = (char *)"body";
    m.send = (char *)"send";
    m.host = (char *)"host";
    for (unsigned n = 1; n < 20; n++) {
        struct gtm_error err = {0};
        gtm_mem_fail_at(n, 0);
        struct health_spec *spec = health_spec_new(&target, &err);
        gtm_mem_fail_at(0, 0);
        failed += !spec && err.code == GTM_ENOMEM;
        health_spec_free(spec);
    }
    assert_int_equal(failed, 10); /* the spec, seven texts, the statuses, the needle */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_result_has_its_word_and_class),
        cmocka_unit_test(errno_decides_whose_fault_it_is),
        cmocka_unit_test(sentences_say_what_was_wanted),
        cmocka_unit_test(sentences_are_fit_to_print),
        cmocka_unit_test(by_default_200_to_299_is_well),
        cmocka_unit_test(any_difference_is_seen),
        cmocka_unit_test(no_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
