/* SPDX-License-Identifier: Apache-2.0
 *
 * Explain against the answers themselves, and its words.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "tests/support/publish_fixture.h"

#include "gtm/base/mem.h"

#include <stdio.h>
#include <string.h>

/* What explain says is what dig gets, for every name, family and place, in several states. */
static void explain_agrees_with_the_answer(struct fixture *f)
{
    static const char *const places[] = {"10.1.2.0", "10.2.2.0", "10.3.2.0", "10.9.2.0"};
    for (unsigned p = NEAR; p <= FAR; p++) {
        for (unsigned i = 0; i < 8; i++) {
            char name[64], ecs[32];
            struct gtm_error err = {0};
            struct gtm_explain_query q = {.type = i & 1 ? AAAA : A, .family = 4, .prefix_len = 24};
            snprintf(name, sizeof(name), "%s.example.com", f->in->policies[p].name);
            snprintf(ecs, sizeof(ecs), "%s/24", places[i / 2]);
            q.name = name;
            memcpy(q.addr, (uint8_t[4]){10, (uint8_t)(places[i / 2][3] - '0'), 2, 77}, 4);
            struct gtm_json *said = gtm_explain(f->pub, f->states, &q, &err);
            assert_non_null(said);
            const char *got = publish_dig(f, name, q.type, ecs);
            const struct gtm_json *answer = gtm_json_get(said, "answer");
            const char *rcode = gtm_json_str(answer, "rcode", "");
            assert_memory_equal(got, rcode, strlen(rcode));
            assert_string_equal(gtm_json_str(said, "policy", ""), f->in->policies[p].name);
            char scope[32];
            snprintf(scope, sizeof(scope), "scope=%d", (int)gtm_json_i64(answer, "scope", -1));
            assert_non_null(strstr(got, scope));
            /* every record of an answer is one of the endpoints that explain names */
            const struct gtm_json *options = gtm_json_get(said, "options");
            const struct gtm_json *r = gtm_json_first(gtm_json_get(answer, "records"));
            assert_int_equal(r != NULL, gtm_json_count(options) > 0);
            for (; r; r = gtm_json_next(r)) {
                size_t possible = 0;
                bool found = false;
                const struct gtm_json *o = gtm_json_first(options);
                for (; o; o = gtm_json_next(o)) {
                    const struct gtm_json *e = gtm_json_first(gtm_json_get(o, "endpoints"));
                    possible += gtm_json_count(gtm_json_get(o, "endpoints"));
                    for (; e; e = gtm_json_next(e))
                        found |= strcmp(gtm_json_str(e, "address", "?"),
                                        gtm_json_str(r, "data", "!")) == 0;
                }
                assert_true(found);
                if (possible == 1)
                    assert_non_null(strstr(got, gtm_json_str(r, "data", "!")));
            }
            gtm_json_free(said);
        }
    }
}

static void explain_says_what_clients_get(void **state)
{
    struct fixture *f = *state;
    explain_agrees_with_the_answer(f);
    publish_set(f, 0, EU, GTM_HEALTH_DOWN);
    publish_flip(f);
    explain_agrees_with_the_answer(f);
    publish_set_pool(f, 0, GTM_HEALTH_DOWN);
    explain_agrees_with_the_answer(f);
    publish_set_pool(f, 1, GTM_HEALTH_DOWN);
    explain_agrees_with_the_answer(f);
}

static char *explain_text(struct fixture *f, const char *name, uint8_t octet)
{
    struct gtm_error err = {0};
    struct gtm_location loc = {
        .country = "IE", .continent = "EU", .has_point = true, .lat = 53, .lon = -8, .asn = 64500};
    struct gtm_explain_query q = {.name = name,
                                  .type = A,
                                  .family = 4,
                                  .addr = {10, octet, 2, 77},
                                  .prefix_len = 24,
                                  .loc = &loc};
    struct gtm_json *said = gtm_explain(f->pub, f->states, &q, &err);
    char *text = said ? gtm_json_print(said, false) : NULL;
    assert_non_null(text);
    gtm_json_free(said);
    return text;
}

static void explain_names_each_step(void **state)
{
    struct fixture *f = *state;
    publish_set(f, 0, EU, GTM_HEALTH_DOWN);
    publish_flip(f);
    static const struct {
        const char *name, *has;
    } rows[] = {
        {"near.example.com", "\"subnet\":\"10.2.2.0/24\""},
        {"near.example.com", "\"country\":\"IE\""},
        {"near.example.com", "\"regions\":[\"eu\",\"us\",\"ap\"]"},
        {"near.example.com", "policy near: distances from 53.0, -8.0 (IE): eu "},
        {"near.example.com", "endpoint p0-eu in eu skipped: down"},
        {"near.example.com", "region eu is preferred but has no usable endpoint"},
        {"near.example.com", "\"data\":\"192.0.0.1\""},
        {"near.example.com", "\"mode\":\"normal\",\"fail_open\":false"},
        {"ALIAS.example.com.", "\"policy\":\"near\""},
        {"a.b.wild.example.com", "\"policy\":\"near\""},
        {"split.example.com", "policy near gets 90 % of all users"},
        {"static.example.com", "static.example.com. is answered from the zone file"},
        {"nothing.example.com", "\"rcode\":\"NXDOMAIN\""},
        {"www.example.net", "www.example.net. is in no zone of this node"},
        {"writer.example.com", "is not active yet: SERVFAIL"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *text = explain_text(f, rows[i].name, 2);
        if (!strstr(text, rows[i].has))
            print_error("%s: no %s in %s\n", rows[i].name, rows[i].has, text);
        assert_non_null(strstr(text, rows[i].has));
        gtm_free(text);
    }
}

static void explain_refuses_what_is_no_question(void **state)
{
    struct fixture *f = *state;
    struct gtm_error err = {0};
    struct gtm_explain_query q = {.name = "a..b", .type = A, .family = 4, .prefix_len = 24};
    assert_null(gtm_explain(f->pub, f->states, &q, &err));
    q = (struct gtm_explain_query){.name = "near.example.com", .family = 4, .prefix_len = 33};
    assert_null(gtm_explain(f->pub, f->states, &q, &err));
    assert_int_equal(err.code, GTM_EINVAL);
    struct gtm_publisher *none = gtm_publisher_new(NULL, NULL);
    q.prefix_len = 24;
    assert_null(gtm_explain(none, f->states, &q, &err));
    assert_int_equal(err.code, GTM_ESTATE);
    gtm_publisher_free(none);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, publish_setup, publish_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(explain_says_what_clients_get),
        T(explain_names_each_step),
        T(explain_refuses_what_is_no_question),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
