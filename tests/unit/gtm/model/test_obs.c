/* SPDX-License-Identifier: Apache-2.0
 *
 * The observations of a vantage as text: what is written is read again, the same ones are the same
 * text, whatever is broken is refused with a reason, everything is bounded.
 */
#include "gtm/model/obs.h"

#include "gtm/base/mem.h"
#include "gtm/base/rand.h"
#include "gtm/model/states.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <stdio.h>
#include <string.h>

#define SAMPLE                                                                                    \
    "{\"v\":1,\"region\":\"us-east\",\"at\":1700000000000,\"seq\":7,\"m\":{\"tcp\":{\"6\":{"      \
    "\"unknown\":[\"www-us\"]}},\"web\":{\"4\":{\"up\":[\"www-eu\",\"www-us\"],\"down\":[[\"www-" \
    "ap\",1699999999000,\"refused\",\"connection refused\"],[\"www-sa\",5,\"status\",\"got 503\"" \
    ",\"content\"]]}}}}"

static int parse(const char *text, struct gtm_obs *obs, struct gtm_error *err)
{
    *err = (struct gtm_error){0};
    int rc = gtm_obs_parse(text, strlen(text), obs, err);
    if (rc != GTM_OK) {
        assert_int_equal(err->code, rc);
        assert_true(strlen(err->text) > 8);
        assert_null(obs->slots);
        assert_int_equal(obs->count, 0);
    }
    return rc;
}

static char *print(const struct gtm_obs *obs)
{
    struct gtm_buf buf = {0};
    assert_int_equal(gtm_obs_print(obs, &buf), GTM_OK);
    return gtm_buf_take(&buf);
}

static void test_reads_what_is_written(void **state)
{
    struct gtm_obs obs;
    struct gtm_error err;
    assert_int_equal(parse(SAMPLE, &obs, &err), GTM_OK);
    assert_string_equal(obs.region, "us-east");
    assert_true(obs.at_ms == 1700000000000 && obs.seq == 7);
    assert_int_equal(obs.count, 5);
    assert_string_equal(obs.slots[0].monitor, "tcp");
    assert_int_equal(obs.slots[0].family, GTM_FAMILY_V6);
    assert_int_equal(obs.slots[0].health, GTM_HEALTH_UNKNOWN);
    assert_string_equal(obs.slots[1].endpoint, "www-eu");
    assert_string_equal(obs.slots[1].result, "");
    const struct gtm_obs_slot *down = &obs.slots[3], *bad = &obs.slots[4];
    assert_string_equal(down->endpoint, "www-ap");
    assert_string_equal(down->monitor, "web");
    assert_int_equal(down->family, GTM_FAMILY_V4);
    assert_int_equal(down->health, GTM_HEALTH_DOWN);
    assert_true(down->since_ms == 1699999999000 && !down->content && bad->content);
    assert_string_equal(down->result, "refused");
    assert_string_equal(down->evidence, "connection refused");
    char *text = print(&obs);
    assert_string_equal(text, SAMPLE);
    gtm_free(text);
    gtm_obs_fini(&obs);
    gtm_obs_fini(&obs); /* again is fine */
}

/* The example of the header, empty lists and unknown members among it. */
static void test_tolerates_newer_writers(void **state)
{
    struct gtm_obs obs;
    struct gtm_error err;
    assert_int_equal(
        parse("{\"new\":{},\"seq\":0,\"at\":0,\"v\":1,\"region\":\"r\",\"m\":{\"web\":{\"5\":7,"
              "\"4\":{\"up\":[],\"maybe\":[1],\"down\":[[\"a\",1,\"x\",\"y\",\"other\",3]]}}}}",
              &obs, &err),
        GTM_OK);
    assert_int_equal(obs.count, 1);
    assert_false(obs.slots[0].content);
    gtm_obs_fini(&obs);
    assert_int_equal(parse("{\"v\":1,\"region\":\"r\",\"at\":0,\"seq\":0,\"m\":{}}", &obs, &err),
                     GTM_OK);
    char *text = print(&obs);
    assert_string_equal(text, "{\"v\":1,\"region\":\"r\",\"at\":0,\"seq\":0,\"m\":{}}");
    gtm_free(text);
    gtm_obs_fini(&obs);
}

#define HEAD "{\"v\":1,\"region\":\"r\",\"at\":0,\"seq\":0,\"m\":"
static void test_refuses(void **state)
{
    static const struct {
        int rc;
        const char *text, *says;
    } cases[] = {
        {GTM_EPARSE, "", "observation"},
        {GTM_EPARSE, "[]", "\"v\""},
        {GTM_EPARSE, "{\"v\":0}", "\"v\""},
        {GTM_EPARSE, "{\"v\":1.5}", "\"v\""},
        {GTM_EUNSUPPORTED, "{\"v\":2}", "format 2"},
        {GTM_EPARSE, "{\"v\":1}", "\"region\""},
        {GTM_EPARSE, "{\"v\":1,\"region\":\"\"}", "\"region\""},
        {GTM_EPARSE, "{\"v\":1,\"region\":\"r\"}", "\"at\""},
        {GTM_EPARSE, "{\"v\":1,\"region\":\"r\",\"at\":-1}", "\"at\""},
        {GTM_EPARSE, "{\"v\":1,\"region\":\"r\",\"at\":\"1\"}", "\"at\""},
        {GTM_EPARSE, "{\"v\":1,\"region\":\"r\",\"at\":1}", "\"seq\""},
        {GTM_EPARSE, "{\"v\":1,\"region\":\"r\",\"at\":1,\"seq\":1}", "\"m\""},
        {GTM_EPARSE, HEAD "[]}", "\"m\""},
        {GTM_EPARSE, HEAD "{\"\":{}}}", "\"m\""},
        {GTM_EPARSE, HEAD "{\"web\":[]}}", "\"m\""},
        {GTM_EPARSE, HEAD "{\"web\":{\"4\":[]}}}", "\"4\""},
        {GTM_EPARSE, HEAD "{\"web\":{\"4\":{\"up\":{}}}}}", "\"up\""},
        {GTM_EPARSE, HEAD "{\"web\":{\"4\":{\"up\":[7]}}}}", "no endpoint"},
        {GTM_EPARSE, HEAD "{\"web\":{\"4\":{\"up\":[\"\"]}}}}", "no endpoint"},
        {GTM_EPARSE, HEAD "{\"web\":{\"4\":{\"up\":[[\"a\",1,\"b\",\"c\"]]}}}}", "no endpoint"},
        {GTM_EPARSE, HEAD "{\"web\":{\"4\":{\"down\":[\"a\"]}}}}", "no endpoint"},
        {GTM_EPARSE, HEAD "{\"web\":{\"4\":{\"down\":[[]]}}}}", "no endpoint"},
        {GTM_EPARSE, HEAD "{\"web\":{\"4\":{\"down\":[[\"a\",1,\"b\"]]}}}}", "\"down\""},
        {GTM_EPARSE, HEAD "{\"web\":{\"4\":{\"down\":[[\"a\",-1,\"b\",\"c\"]]}}}}", "\"since\""},
        {GTM_EPARSE, HEAD "{\"web\":{\"4\":{\"down\":[[\"a\",1,\"b\",7]]}}}}", "\"down\""},
        {GTM_EPARSE, HEAD "{\"web\":{\"4\":{\"up\":[\"a\",\"a\"]}}}}", "twice"},
        {GTM_EPARSE, HEAD "{\"web\":{\"4\":{\"up\":[\"a\"],\"unknown\":[\"a\"]}}}}", "twice"},
        {GTM_EPARSE, HEAD "{\"web\":{\"4\":{}},\"web\":{}}}", "duplicate"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct gtm_obs obs;
        struct gtm_error err;
        int rc = parse(cases[i].text, &obs, &err);
        if (rc != cases[i].rc || !strstr(err.text, cases[i].says))
            print_message("%s: %d %s\n", cases[i].text, rc, err.text);
        assert_int_equal(rc, cases[i].rc);
        assert_non_null(strstr(err.text, cases[i].says));
    }
}

/* --- properties --- */

#define LONG                                                                                   \
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567" \
    "éééééééééé"
static const char *const texts[] = {
    "", "x", "quote \" and \\", "tab\t\x7f", "é…𝄞", "\xff\xfe broken", LONG};
enum { TEXTS = sizeof(texts) / sizeof(texts[0]) };

/* A random set, in a random order of slots. */
static void make(struct gtm_rand *r, struct gtm_obs *obs, char names[][8])
{
    static const char *const monitors[] = {"web", "tcp", "a \"b\""};
    obs->count = gtm_rand_below(r, 40);
    snprintf(obs->region, sizeof(obs->region), "region-%u", gtm_rand_below(r, 9));
    obs->at_ms = gtm_rand_below(r, 1000000);
    obs->seq = gtm_rand_next(r) >> 1;
    unsigned taken[3][2][40] = {{{0}}};
    for (size_t i = 0; i < obs->count; i++) {
        unsigned m, f, e;
        do {
            m = gtm_rand_below(r, 3);
            f = gtm_rand_below(r, 2);
            e = gtm_rand_below(r, 40);
        } while (taken[m][f][e]++);
        snprintf(names[e], 8, "e%u", e);
        obs->slots[i] = (struct gtm_obs_slot){.endpoint = names[e],
                                              .monitor = monitors[m],
                                              .family = (uint8_t)f,
                                              .health = (uint8_t)gtm_rand_below(r, 5),
                                              .content = gtm_rand_below(r, 2) > 0,
                                              .since_ms = (int64_t)(gtm_rand_next(r) >> 1),
                                              .result = texts[gtm_rand_below(r, TEXTS)],
                                              .evidence = texts[gtm_rand_below(r, TEXTS)]};
    }
}

static void test_a_fixpoint(void **state)
{
    struct gtm_rand r;
    gtm_rand_seed(&r, 11);
    for (int run = 0; run < 3000; run++) {
        struct gtm_obs_slot slots[40];
        char names[40][8];
        struct gtm_obs obs = {.slots = slots}, again;
        struct gtm_error err;
        make(&r, &obs, names);
        char *first = print(&obs);
        for (size_t i = obs.count; i > 1; i--) {
            size_t j = gtm_rand_below(&r, (uint32_t)i);
            struct gtm_obs_slot swap = slots[i - 1];
            slots[i - 1] = slots[j];
            slots[j] = swap;
        }
        char *shuffled = print(&obs);
        assert_string_equal(first, shuffled);
        assert_int_equal(parse(first, &again, &err), GTM_OK);
        assert_int_equal(again.count, obs.count);
        for (size_t i = 0; i < again.count; i++)
            assert_true(strlen(again.slots[i].evidence) < GTM_OBS_EVIDENCE &&
                        strlen(again.slots[i].result) < GTM_OBS_RESULT);
        char *second = print(&again);
        assert_string_equal(first, second);
        gtm_obs_fini(&again);
        gtm_free(first);
        gtm_free(shuffled);
        gtm_free(second);
    }
}

/* Whatever is done to a text, it is refused with a reason or read as something that can be written
 * and read again. */
static void survives(const char *text, size_t len)
{
    struct gtm_obs obs, again;
    struct gtm_error err = {0};
    int rc = gtm_obs_parse(text, len, &obs, &err);
    if (rc != GTM_OK) {
        assert_true(err.text[0] != '\0');
        return;
    }
    char *first = print(&obs);
    assert_int_equal(gtm_obs_parse(first, strlen(first), &again, &err), GTM_OK);
    char *second = print(&again);
    assert_string_equal(first, second);
    gtm_free(first);
    gtm_free(second);
    gtm_obs_fini(&obs);
    gtm_obs_fini(&again);
}

static void test_every_truncation_and_mutation(void **state)
{
    const size_t len = strlen(SAMPLE);
    struct gtm_obs obs;
    struct gtm_error err;
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(gtm_obs_parse(SAMPLE, cut, &obs, &err), GTM_EPARSE);
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

static void test_evidence_is_dropped_first(void **state)
{
    enum { COUNT = 4000 };
    struct gtm_obs_slot *slots = gtm_calloc(COUNT, sizeof(*slots));
    char(*names)[64] = gtm_calloc(COUNT, sizeof(*names));
    struct gtm_obs obs = {.region = "r", .slots = slots, .count = COUNT}, again;
    struct gtm_buf buf = {0};
    struct gtm_error err = {0};
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(names[i], 64, "endpoint-%zu", i);
        slots[i] = (struct gtm_obs_slot){.endpoint = names[i],
                                         .monitor = "web",
                                         .health = GTM_HEALTH_DOWN,
                                         .result = "timeout",
                                         .evidence = LONG};
    }
    gtm_buf_adds(&buf, "before ");
    assert_int_equal(gtm_obs_print(&obs, &buf), GTM_OK);
    assert_true(buf.len <= GTM_OBS_BYTES_MAX + 7);
    assert_memory_equal(buf.data, "before {", 8);
    assert_int_equal(gtm_obs_parse(buf.data + 7, buf.len - 7, &again, &err), GTM_OK);
    assert_int_equal(again.count, COUNT);
    assert_string_equal(again.slots[0].evidence, "");
    assert_string_equal(again.slots[0].result, "timeout");
    gtm_obs_fini(&again);
    for (size_t i = 0; i < COUNT; i++)
        snprintf(names[i], 64, "%063zu", i);
    buf.len = 7;
    assert_int_equal(gtm_obs_print(&obs, &buf), GTM_ELIMIT);
    assert_int_equal(buf.len, 7);
    assert_string_equal(buf.data, "before ");
    obs.count = GTM_OBS_SLOTS_MAX + 1;
    assert_int_equal(gtm_obs_print(&obs, &buf), GTM_ELIMIT);
    gtm_buf_fini(&buf);
    gtm_free(slots);
    gtm_free(names);
}

static void test_what_cannot_be_written(void **state)
{
    struct gtm_obs_slot slots[2] = {{.endpoint = "a", .monitor = "m"},
                                    {.endpoint = "a", .monitor = "m"}};
    struct gtm_obs obs = {.region = "r", .slots = slots, .count = 1};
    struct gtm_buf buf = {0};
    char long_name[66] = "";
    memset(long_name, 'x', 64);
    gtm_free(print(&obs));
    obs.count = 2; /* the same twice */
    assert_int_equal(gtm_obs_print(&obs, &buf), GTM_EINVAL);
    slots[1].family = GTM_FAMILY_V6;
    gtm_free(print(&obs));
    slots[1].family = GTM_FAMILY_COUNT;
    assert_int_equal(gtm_obs_print(&obs, &buf), GTM_EINVAL);
    obs.count = 1;
    const char *const bad[] = {"", NULL, "\xff", long_name};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        slots[0].endpoint = bad[i];
        assert_int_equal(gtm_obs_print(&obs, &buf), GTM_EINVAL);
        slots[0].endpoint = "a";
        slots[0].monitor = bad[i];
        assert_int_equal(gtm_obs_print(&obs, &buf), GTM_EINVAL);
        slots[0].monitor = "m";
    }
    slots[0].since_ms = -1;
    assert_int_equal(gtm_obs_print(&obs, &buf), GTM_EINVAL);
    slots[0].since_ms = 0;
    obs.region[0] = '\0';
    assert_int_equal(gtm_obs_print(&obs, &buf), GTM_EINVAL);
    assert_int_equal(buf.len, 0);
    gtm_buf_fini(&buf);
}

static void test_too_much_text(void **state)
{
    struct gtm_obs obs;
    struct gtm_error err = {0};
    size_t len = GTM_OBS_BYTES_MAX + 1;
    char *text = gtm_malloc(len);
    memset(text, ' ', len);
    memcpy(text, SAMPLE, strlen(SAMPLE));
    assert_int_equal(gtm_obs_parse(text, len, &obs, &err), GTM_ELIMIT);
    assert_int_equal(gtm_obs_parse(text, len - 1, &obs, &err), GTM_OK);
    gtm_obs_fini(&obs);
    /* as many slots as fit are too many */
    struct gtm_buf many = {0};
    gtm_buf_adds(&many, HEAD "{\"w\":{\"4\":{\"up\":[");
    while (many.len < GTM_OBS_BYTES_MAX - 20)
        gtm_buf_adds(&many, many.data[many.len - 1] == '[' ? "1" : ",1");
    gtm_buf_adds(&many, "]}}}}");
    assert_int_equal(gtm_obs_parse(many.data, many.len, &obs, &err), GTM_ELIMIT);
    gtm_buf_fini(&many);
    gtm_free(text);
}

static void test_without_memory(void **state)
{
    int rc = GTM_ENOMEM;
    for (unsigned n = 1; rc == GTM_ENOMEM; n++) {
        struct gtm_obs obs;
        struct gtm_error err = {0};
        gtm_mem_fail_at(n, 0);
        rc = gtm_obs_parse(SAMPLE, strlen(SAMPLE), &obs, &err);
        gtm_mem_fail_at(0, 0);
        assert_true(rc == GTM_ENOMEM || (rc == GTM_OK && n > 10));
        if (rc == GTM_OK)
            gtm_obs_fini(&obs);
    }
    struct gtm_obs obs;
    struct gtm_error err;
    assert_int_equal(parse(SAMPLE, &obs, &err), GTM_OK);
    rc = GTM_ENOMEM;
    for (unsigned n = 1; rc == GTM_ENOMEM; n++) {
        struct gtm_buf buf = {0};
        gtm_mem_fail_at(n, 0);
        rc = gtm_obs_print(&obs, &buf);
        gtm_mem_fail_at(0, 0);
        assert_true(rc == GTM_ENOMEM || (rc == GTM_OK && n > 2));
        gtm_buf_fini(&buf);
    }
    gtm_obs_fini(&obs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_what_is_written),
        cmocka_unit_test(test_tolerates_newer_writers),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_a_fixpoint),
        cmocka_unit_test(test_every_truncation_and_mutation),
        cmocka_unit_test(test_evidence_is_dropped_first),
        cmocka_unit_test(test_what_cannot_be_written),
        cmocka_unit_test(test_too_much_text),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
