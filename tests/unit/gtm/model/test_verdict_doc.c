/* SPDX-License-Identifier: Apache-2.0
 *
 * The verdict on a pool as text: what is written is read again, bit for bit where a successor goes
 * on with it; whatever is broken is refused with a reason; everything is bounded.
 */
#include "gtm/model/verdict_doc.h"

#include "gtm/base/mem.h"
#include "gtm/base/rand.h"
#include "gtm/model/states.h"
#include "policies/quorum.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <math.h>
#include <stdio.h>
#include <string.h>

#define SAMPLE                                                                                     \
    "{\"v\":1,\"rev\":9,\"intent\":4,\"at\":1700000000000,\"by\":\"us-1\",\"fence\":77,\"stale\":" \
    "true,\"e\":{\"www-eu\":{\"4\":{\"h\":\"down\",\"s\":5,\"q\":\"split\",\"w\":250,\"held\":"    \
    "true,\"c\":\"down: 2 of 3\",\"r\":[5,0.1,1700000000001]},\"6\":{\"h\":\"up\",\"s\":0}},"      \
    "\"www-us\":{\"4\":{\"h\":\"degraded\",\"s\":1,\"q\":\"stale\"}}},\"shed\":{\"eu\":0,\"us\":"  \
    "1000},\"balance\":{\"near\":{\"www-eu\":1,\"www-us\":65535},\"other\":{\"www-us\":0}},"       \
    "\"panic\":{\"6\":true}}"

static int parse(const char *text, struct gtm_verdict_doc *doc, struct gtm_error *err)
{
    *err = (struct gtm_error){0};
    int rc = gtm_verdict_doc_parse(text, strlen(text), doc, err);
    if (rc != GTM_OK) {
        assert_int_equal(err->code, rc);
        assert_true(strlen(err->text) > 8);
        assert_null(doc->addresses);
        assert_null(doc->weights);
    }
    return rc;
}

static char *print(const struct gtm_verdict_doc *doc)
{
    struct gtm_buf buf = {0};
    assert_int_equal(gtm_verdict_doc_print(doc, &buf), GTM_OK);
    return gtm_buf_take(&buf);
}

static void test_reads_what_is_written(void **state)
{
    struct gtm_verdict_doc doc;
    struct gtm_error err;
    assert_int_equal(parse(SAMPLE, &doc, &err), GTM_OK);
    assert_true(doc.rev == 9 && doc.intent == 4 && doc.at_ms == 1700000000000 && doc.fence == 77);
    assert_string_equal(doc.by, "us-1");
    assert_true(doc.stale && !doc.panic[GTM_FAMILY_V4] && doc.panic[GTM_FAMILY_V6]);
    assert_int_equal(doc.count, 3);
    const struct gtm_verdict_address *a = &doc.addresses[0];
    assert_string_equal(a->endpoint, "www-eu");
    assert_int_equal(a->health, GTM_HEALTH_DOWN);
    assert_int_equal(a->quorum, POLICY_SPLIT);
    assert_true(a->held && a->share == 250 && a->since_ms == 5 && a->recovery_count == 3);
    assert_true(a->recovery[1] == 0.1 && a->recovery[2] == 1700000000001.0);
    assert_string_equal(a->cause, "down: 2 of 3");
    assert_true(a[1].family == GTM_FAMILY_V6 && a[1].share == GTM_SHARE_FULL && !a[1].held);
    assert_string_equal(a[1].cause, "");
    assert_int_equal(a[1].quorum, POLICY_AGREED);
    assert_int_equal(a[2].quorum, POLICY_STALE);
    assert_int_equal(doc.weights_count, 5);
    assert_null(doc.weights[1].policy);
    assert_string_equal(doc.weights[1].name, "us");
    assert_int_equal(doc.weights[1].value, 1000);
    assert_string_equal(doc.weights[3].policy, "near");
    assert_int_equal(doc.weights[3].value, 65535);
    char *text = print(&doc);
    assert_string_equal(text, SAMPLE);
    gtm_free(text);
    gtm_verdict_doc_fini(&doc);
    gtm_verdict_doc_fini(&doc); /* again is fine */
}

#define HEAD       "{\"v\":1,\"rev\":0,\"intent\":0,\"at\":0,\"fence\":0,\"by\":\"n\""
#define ADDRESS(x) HEAD ",\"e\":{\"a\":{\"4\":{" x "}}}}"
static void test_tolerates_newer_writers(void **state)
{
    struct gtm_verdict_doc doc;
    struct gtm_error err;
    assert_int_equal(parse(HEAD ",\"new\":1,\"e\":{\"a\":{\"5\":1,\"4\":{\"h\":\"up\",\"s\":1,"
                                "\"new\":{}}}},\"panic\":{\"5\":1}}",
                           &doc, &err),
                     GTM_OK);
    assert_int_equal(doc.count, 1);
    gtm_verdict_doc_fini(&doc);
    assert_int_equal(parse(HEAD "}", &doc, &err), GTM_OK);
    assert_int_equal(doc.count, 0);
    gtm_verdict_doc_fini(&doc);
}

static void test_refuses(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "verdict"},
        {"7", "\"v\""},
        {"{\"v\":1}", "\"rev\""},
        {"{\"v\":1,\"rev\":-1}", "\"rev\""},
        {"{\"v\":1,\"rev\":1}", "\"intent\""},
        {"{\"v\":1,\"rev\":1,\"intent\":1.5}", "\"intent\""},
        {"{\"v\":1,\"rev\":1,\"intent\":1}", "\"at\""},
        {"{\"v\":1,\"rev\":1,\"intent\":1,\"at\":0}", "\"fence\""},
        {"{\"v\":1,\"rev\":1,\"intent\":1,\"at\":0,\"fence\":0}", "\"by\""},
        {HEAD ",\"stale\":1}", "\"stale\""},
        {HEAD ",\"panic\":[]}", "\"panic\""},
        {HEAD ",\"panic\":{\"4\":0}}", "\"4\""},
        {HEAD ",\"e\":[]}", "\"e\""},
        {HEAD ",\"e\":{\"a\":7}}", "\"e\""},
        {HEAD ",\"e\":{\"\":{}}}", "\"e\""},
        {HEAD ",\"e\":{\"a\":{\"4\":7}}}", "address"},
        {ADDRESS(""), "\"h\""},
        {ADDRESS("\"h\":\"well\""), "\"h\""},
        {ADDRESS("\"h\":1"), "\"h\""},
        {ADDRESS("\"h\":\"up\""), "\"s\""},
        {ADDRESS("\"h\":\"up\",\"s\":1,\"q\":\"maybe\""), "\"q\""},
        {ADDRESS("\"h\":\"up\",\"s\":1,\"q\":null"), "\"q\""},
        {ADDRESS("\"h\":\"up\",\"s\":1,\"w\":1001"), "\"w\""},
        {ADDRESS("\"h\":\"up\",\"s\":1,\"w\":\"1\""), "\"w\""},
        {ADDRESS("\"h\":\"up\",\"s\":1,\"held\":0"), "\"held\""},
        {ADDRESS("\"h\":\"up\",\"s\":1,\"c\":0"), "\"c\""},
        {ADDRESS("\"h\":\"up\",\"s\":1,\"r\":0"), "\"r\""},
        {ADDRESS("\"h\":\"up\",\"s\":1,\"r\":[\"x\"]"), "\"r\""},
        {ADDRESS("\"h\":\"up\",\"s\":1,\"r\":[1,2,3,4,5,6,7,8,9,10,11]"), "\"r\""},
        {HEAD ",\"shed\":[]}", "\"shed\""},
        {HEAD ",\"shed\":{\"us\":1001}}", "\"us\""},
        {HEAD ",\"shed\":{\"\":1}}", "name"},
        {HEAD ",\"balance\":{\"p\":1}}", "\"balance\""},
        {HEAD ",\"balance\":{\"p\":{\"a\":65536}}}", "\"a\""},
        {HEAD ",\"balance\":[{}]}", "\"balance\""},
    };
    struct gtm_verdict_doc doc;
    struct gtm_error err;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int rc = parse(cases[i].text, &doc, &err);
        if (rc != GTM_EPARSE || !strstr(err.text, cases[i].says))
            print_message("%s: %d %s\n", cases[i].text, rc, err.text);
        assert_int_equal(rc, GTM_EPARSE);
        assert_non_null(strstr(err.text, cases[i].says));
    }
    assert_int_equal(parse("{\"v\":2,\"anything\":1}", &doc, &err), GTM_EUNSUPPORTED);
}

/* --- properties --- */

static double some_number(struct gtm_rand *r)
{
    static const double numbers[] = {0, -0.0, 0.1, 1e300, 5e-324, 1700000000123.0, 1.0 / 3};
    uint64_t bits = gtm_rand_next(r);
    double value;
    memcpy(&value, &bits, sizeof(value));
    return isfinite(value) && gtm_rand_below(r, 2) ? value : numbers[gtm_rand_below(r, 7)];
}

static void make_address(struct gtm_rand *r, struct gtm_verdict_address *a, char name[8])
{
    static const char *const causes[] = {"", "x", "tie \"é\"", "\xff"};
    *a = (struct gtm_verdict_address){.endpoint = name,
                                      .health = (uint8_t)gtm_rand_below(r, GTM_HEALTH_COUNT),
                                      .quorum = (uint8_t)gtm_rand_below(r, 3),
                                      .held = gtm_rand_below(r, 2) > 0,
                                      .share = gtm_rand_below(r, 3) ? GTM_SHARE_FULL
                                                                    : gtm_rand_below(r, 1001),
                                      .since_ms = (int64_t)(gtm_rand_next(r) >> 1),
                                      .cause = causes[gtm_rand_below(r, 4)],
                                      .recovery_count = gtm_rand_below(r, GTM_VERDICT_NUMBERS + 1)};
    for (unsigned i = 0; i < a->recovery_count; i++)
        a->recovery[i] = some_number(r);
}

static void swap(void *items, size_t size, size_t i, size_t j)
{
    char *a = (char *)items + i * size, *b = (char *)items + j * size;
    for (size_t n = 0; n < size; n++) {
        char c = a[n];
        a[n] = b[n];
        b[n] = c;
    }
}

enum { ENDPOINTS = 9, WEIGHTS = 12 };

static void make(struct gtm_rand *r, struct gtm_verdict_doc *doc, char names[][8])
{
    static const char *const policies[] = {NULL, "p", "q"};
    for (unsigned e = 0; e < ENDPOINTS; e++) {
        snprintf(names[e], 8, "e%u", e);
        for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++) {
            if (gtm_rand_below(r, 3) == 0)
                continue;
            make_address(r, &doc->addresses[doc->count], names[e]);
            doc->addresses[doc->count++].family = (uint8_t)f;
        }
    }
    for (unsigned w = 0; w < WEIGHTS; w++) {
        if (gtm_rand_below(r, 2))
            doc->weights[doc->weights_count++] = (struct gtm_verdict_weight){
                .policy = policies[w % 3], .name = names[w / 3], .value = gtm_rand_below(r, 1001)};
    }
    doc->rev = (int64_t)(gtm_rand_next(r) >> 1);
    doc->fence = gtm_rand_below(r, 1000);
    snprintf(doc->by, sizeof(doc->by), "node");
    doc->stale = gtm_rand_below(r, 2) > 0;
    doc->panic[0] = gtm_rand_below(r, 3) == 0;
    doc->panic[1] = gtm_rand_below(r, 3) == 0;
}

static void test_a_fixpoint(void **state)
{
    struct gtm_rand r;
    gtm_rand_seed(&r, 12);
    for (int run = 0; run < 3000; run++) {
        struct gtm_verdict_address addresses[ENDPOINTS * 2];
        struct gtm_verdict_weight weights[WEIGHTS];
        char names[ENDPOINTS][8];
        struct gtm_verdict_doc doc = {.addresses = addresses, .weights = weights}, again;
        struct gtm_error err;
        make(&r, &doc, names);
        char *first = print(&doc);
        for (size_t i = doc.count; i > 1; i--)
            swap(addresses, sizeof(addresses[0]), i - 1, gtm_rand_below(&r, (uint32_t)i));
        for (size_t i = doc.weights_count; i > 1; i--)
            swap(weights, sizeof(weights[0]), i - 1, gtm_rand_below(&r, (uint32_t)i));
        char *shuffled = print(&doc);
        assert_string_equal(first, shuffled);
        assert_int_equal(parse(first, &again, &err), GTM_OK);
        char *second = print(&again);
        assert_string_equal(first, second);
        assert_int_equal(again.count, doc.count);
        assert_int_equal(again.weights_count, doc.weights_count);
        gtm_verdict_doc_fini(&again);
        gtm_free(first);
        gtm_free(shuffled);
        gtm_free(second);
    }
}

/* A successor goes on with the very numbers. */
static void test_numbers_to_the_bit(void **state)
{
    struct gtm_rand r;
    gtm_rand_seed(&r, 13);
    for (int run = 0; run < 5000; run++) {
        struct gtm_verdict_address a = {.endpoint = "a", .recovery_count = 10};
        struct gtm_verdict_doc doc = {.by = "n", .addresses = &a, .count = 1}, again;
        struct gtm_error err;
        for (unsigned i = 0; i < 10; i++)
            a.recovery[i] = some_number(&r);
        char *text = print(&doc);
        assert_int_equal(parse(text, &again, &err), GTM_OK);
        for (unsigned i = 0; i < 10; i++)
            assert_true(again.addresses[0].recovery[i] == a.recovery[i]);
        gtm_free(text);
        gtm_verdict_doc_fini(&again);
    }
}

static void survives(const char *text, size_t len)
{
    struct gtm_verdict_doc doc, again;
    struct gtm_error err = {0};
    int rc = gtm_verdict_doc_parse(text, len, &doc, &err);
    if (rc != GTM_OK) {
        assert_true(err.text[0] != '\0');
        return;
    }
    char *first = print(&doc);
    assert_int_equal(gtm_verdict_doc_parse(first, strlen(first), &again, &err), GTM_OK);
    char *second = print(&again);
    assert_string_equal(first, second);
    gtm_free(first);
    gtm_free(second);
    gtm_verdict_doc_fini(&doc);
    gtm_verdict_doc_fini(&again);
}

static void test_every_truncation_and_mutation(void **state)
{
    const size_t len = strlen(SAMPLE);
    struct gtm_verdict_doc doc;
    struct gtm_error err;
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(gtm_verdict_doc_parse(SAMPLE, cut, &doc, &err), GTM_EPARSE);
    for (size_t at = 0; at < len; at++) {
        char text[sizeof(SAMPLE)];
        for (unsigned byte = 0; byte < 256; byte++) {
            memcpy(text, SAMPLE, sizeof(text));
            text[at] = (char)byte;
            survives(text, len);
        }
        memcpy(text, SAMPLE, at);
        memcpy(text + at, &SAMPLE[at + 1], len - at); /* a byte less */
        survives(text, len - 1);
    }
}

/* --- bounds --- */

static void test_causes_are_dropped_first(void **state)
{
    enum { COUNT = 2000 };
    struct gtm_verdict_address *a = gtm_calloc(COUNT, sizeof(*a));
    char(*names)[64] = gtm_calloc(COUNT, sizeof(*names));
    char cause[400];
    memset(cause, 'c', sizeof(cause) - 1);
    cause[sizeof(cause) - 1] = '\0';
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(names[i], 64, "endpoint-%zu", i);
        a[i] = (struct gtm_verdict_address){
            .endpoint = names[i], .cause = cause, .since_ms = 1700000000000, .recovery_count = 5};
    }
    struct gtm_verdict_doc doc = {.by = "n", .addresses = a, .count = 1}, again;
    struct gtm_error err;
    char *text = print(&doc);
    assert_int_equal(parse(text, &again, &err), GTM_OK);
    assert_int_equal(strlen(again.addresses[0].cause), GTM_VERDICT_CAUSE - 1);
    gtm_verdict_doc_fini(&again);
    gtm_free(text);
    doc.count = COUNT;
    text = print(&doc);
    assert_true(strlen(text) <= GTM_VERDICT_BYTES_MAX);
    assert_int_equal(parse(text, &again, &err), GTM_OK);
    assert_int_equal(again.count, COUNT);
    assert_string_equal(again.addresses[0].cause, "");
    gtm_verdict_doc_fini(&again);
    gtm_free(text);
    for (size_t i = 0; i < COUNT; i++) {
        a[i].recovery_count = GTM_VERDICT_NUMBERS;
        for (unsigned n = 0; n < GTM_VERDICT_NUMBERS; n++)
            a[i].recovery[n] = 1.0 / 3;
    }
    struct gtm_buf buf = {0};
    gtm_buf_adds(&buf, "x");
    assert_int_equal(gtm_verdict_doc_print(&doc, &buf), GTM_ELIMIT);
    assert_string_equal(buf.data, "x");
    char *large = gtm_calloc(1, GTM_VERDICT_BYTES_MAX + 1);
    assert_int_equal(gtm_verdict_doc_parse(large, GTM_VERDICT_BYTES_MAX + 1, &again, &err),
                     GTM_ELIMIT);
    gtm_free(large);
    gtm_buf_fini(&buf);
    gtm_free(a);
    gtm_free(names);
}

static int printed(const struct gtm_verdict_doc *doc)
{
    struct gtm_buf buf = {0};
    int rc = gtm_verdict_doc_print(doc, &buf);
    assert_true(rc == GTM_OK || buf.len == 0);
    gtm_buf_fini(&buf);
    return rc;
}

static void test_what_cannot_be_written(void **state)
{
    const struct gtm_verdict_address good = {.endpoint = "a", .recovery_count = 1};
    const struct gtm_verdict_weight fine = {.policy = "p", .name = "a", .value = 65535};
    struct gtm_verdict_address a[2] = {good, good};
    struct gtm_verdict_weight w[2] = {fine, fine};
    struct gtm_verdict_doc doc = {
        .by = "n", .addresses = a, .count = 1, .weights = w, .weights_count = 1};
    assert_int_equal(printed(&doc), GTM_OK);
#define WRONG(what, change)                          \
    do {                                             \
        struct gtm_verdict_doc kept = doc;           \
        change;                                      \
        assert_int_equal(printed(&doc), GTM_EINVAL); \
        doc = kept;                                  \
        a[0] = a[1] = good;                          \
        w[0] = w[1] = fine;                          \
        assert_int_equal(printed(&doc), GTM_OK);     \
    } while (0)
    WRONG("an address twice", doc.count = 2);
    WRONG("a weight twice", doc.weights_count = 2);
    WRONG("no writer", doc.by[0] = '\0');
    WRONG("a revision", doc.rev = -1);
    WRONG("a name", a[0].endpoint = "");
    WRONG("a name", a[0].endpoint = NULL);
    WRONG("a family", a[0].family = 2);
    WRONG("a health", a[0].health = GTM_HEALTH_COUNT);
    WRONG("a quorum", a[0].quorum = 3);
    WRONG("a share", a[0].share = 1001);
    WRONG("a time", a[0].since_ms = -1);
    WRONG("a count", a[0].recovery_count = GTM_VERDICT_NUMBERS + 1);
    WRONG("a number", a[0].recovery[0] = NAN);
    WRONG("a number", a[0].recovery[0] = INFINITY);
    WRONG("a weight", w[0].value = 65536);
    WRONG("a weight's name", w[0].name = "");
    WRONG("a policy", w[0].policy = "");
    w[0] = (struct gtm_verdict_weight){.name = "us", .value = 1001};
    assert_int_equal(printed(&doc), GTM_EINVAL);
#undef WRONG
}

static void test_without_memory(void **state)
{
    struct gtm_verdict_doc doc;
    struct gtm_error err;
    int rc = GTM_ENOMEM;
    for (unsigned n = 1; rc == GTM_ENOMEM; n++) {
        gtm_mem_fail_at(n, 0);
        rc = gtm_verdict_doc_parse(SAMPLE, strlen(SAMPLE), &doc, &err);
        gtm_mem_fail_at(0, 0);
        assert_true(rc == GTM_ENOMEM || (rc == GTM_OK && n > 10));
    }
    rc = GTM_ENOMEM;
    for (unsigned n = 1; rc == GTM_ENOMEM; n++) {
        struct gtm_buf buf = {0};
        gtm_mem_fail_at(n, 0);
        rc = gtm_verdict_doc_print(&doc, &buf);
        gtm_mem_fail_at(0, 0);
        assert_true(rc == GTM_ENOMEM || (rc == GTM_OK && n > 3));
        gtm_buf_fini(&buf);
    }
    gtm_verdict_doc_fini(&doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_what_is_written),
        cmocka_unit_test(test_tolerates_newer_writers),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_a_fixpoint),
        cmocka_unit_test(test_numbers_to_the_bit),
        cmocka_unit_test(test_every_truncation_and_mutation),
        cmocka_unit_test(test_causes_are_dropped_first),
        cmocka_unit_test(test_what_cannot_be_written),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
