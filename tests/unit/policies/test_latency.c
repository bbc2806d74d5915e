/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables of measured times: what is accepted and refused, longest networks, ranking with distance
 * behind it, labels.
 */
#include "policies/latency.h"

#include "gtm/base/mem.h"
#include "gtm/base/rand.h"
#include "tests/support/build_intent.h"
#include "tests/support/policy_show.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct world {
    struct gtm_intent *in;
    unsigned policy;
    struct gtm_diags diags;
    struct policy_latency *table;
};

static int setup(void **state)
{
    struct world *w = gtm_calloc(1, sizeof(*w));
    w->in = build_intent();
    build_region(w->in, "us", 38, -77);
    build_region(w->in, "eu", 53, -6);
    build_region(w->in, "ap", 1, 103);
    build_region(w->in, "far", -30, -60); /* without an endpoint */
    int pool = (int)build_pool(w->in, "www");
    build_endpoint(w->in, 0, "a", 0, "192.0.2.1", NULL, 1);
    build_endpoint(w->in, 0, "b", 1, "192.0.2.2", NULL, 1);
    build_endpoint(w->in, 0, "c", 2, "192.0.2.3", NULL, 1);
    w->policy = build_policy(w->in, "fast", GTM_STEER_LATENCY, pool);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    policy_latency_free(w->table);
    gtm_diags_fini(&w->diags);
    build_free(w->in);
    gtm_free(w);
    return 0;
}

static void parse(struct world *w, const char *text)
{
    policy_latency_free(w->table);
    gtm_diags_fini(&w->diags);
    w->diags = (struct gtm_diags){0};
    w->table = policy_latency_parse(w->in, w->policy, "t", text, strlen(text), &w->diags);
}

/* The order for an address, by the labels of all networks around it, as a class map would. */
static const char *ranked(struct world *w, unsigned a, unsigned b, unsigned c, unsigned d,
                          const struct gtm_location *loc)
{
    struct gtm_location unknown = {.asn = 0};
    uint8_t addr[4] = {(uint8_t)a, (uint8_t)b, (uint8_t)c, (uint8_t)d};
    uint32_t labels[64];
    struct policy_place place = {
        .loc = loc ? loc : &unknown, .routes = labels, .latency = w->table};
    for (size_t i = 0; w->table && i < policy_latency_networks(w->table); i++) {
        struct gtm_network n;
        uint32_t label;
        policy_latency_network(w->table, i, &n, &label);
        assert_true(label < policy_latency_labels(w->table));
        bool inside = n.family == 4;
        for (unsigned bit = 0; inside && bit < n.prefix_len; bit++)
            inside = !(((n.addr[bit / 8] ^ addr[bit / 8]) >> (7 - bit % 8)) & 1);
        if (!inside)
            continue;
        size_t at = place.routes_count++;
        for (; at > 0 && labels[at - 1] > label; at--)
            labels[at] = labels[at - 1];
        labels[at] = label;
    }
    return policy_ranked(w->in, w->policy, &place);
}

static void the_longest_network_counts(void **state)
{
    struct world *w = *state;
    parse(w, "network,region,ms\n"
             "# measured last night\n"
             "\n"
             "10.0.0.0/8 ap 10\r\n"
             "10.0.0.0/8\tus\t50\n"
             "10.1.0.0/16,eu,5,\n"
             "10.1.0.0/16,us,5.5   # a little worse\n"
             "2001:db8::/32 ap 1\n"
             "10.1.2.3 us 1");
    assert_non_null(w->table);
    assert_int_equal(w->diags.count, 0);
    assert_int_equal(policy_latency_networks(w->table), 4);
    assert_string_equal(ranked(w, 10, 9, 9, 9, NULL), "ap us eu");
    assert_string_equal(ranked(w, 10, 1, 9, 9, NULL), "eu us ap");
    assert_string_equal(ranked(w, 10, 1, 2, 3, NULL), "us eu ap");
    struct gtm_location singapore = {.has_point = true, .lat = 1, .lon = 103};
    assert_string_equal(ranked(w, 10, 1, 2, 3, &singapore), "us ap eu");
    assert_string_equal(ranked(w, 192, 0, 2, 1, &singapore), "ap eu us"); /* in no row: nearest */
    assert_string_equal(ranked(w, 192, 0, 2, 1, NULL), "us eu ap");
}

static void times_are_found_for_explaining(void **state)
{
    struct world *w = *state;
    unsigned region;
    double ms = 0;
    parse(w, "10.0.0.0/8 ap 10\n10.1.0.0/16 us 7\n10.1.0.0/16 eu 5\n2001:db8::/32 us 3\n");
    static const uint8_t inside[16] = {10, 1, 2, 3}, wide[16] = {10, 200}, out[16] = {11};
    int64_t at = policy_latency_find(w->table, 4, inside, 32);
    assert_true(at >= 0);
    assert_true(policy_latency_time(w->table, (size_t)at, 0, &region, &ms));
    assert_int_equal(region, 1);
    assert_true(ms > 4.9 && ms < 5.1);
    assert_true(policy_latency_time(w->table, (size_t)at, 1, &region, &ms));
    assert_int_equal(region, 0);
    assert_false(policy_latency_time(w->table, (size_t)at, 2, &region, &ms));
    at = policy_latency_find(w->table, 4, inside, 8); /* the client only said so much */
    assert_true(at >= 0);
    assert_true(policy_latency_time(w->table, (size_t)at, 0, &region, &ms));
    assert_int_equal(region, 2);
    assert_true(policy_latency_find(w->table, 4, wide, 32) == at);
    assert_int_equal(policy_latency_find(w->table, 4, out, 32), -1);
    assert_int_equal(policy_latency_find(w->table, 6, inside, 32), -1);
    assert_int_equal(policy_latency_find(w->table, 4, inside, 7), -1);
}

static void bad_lines_are_named(void **state)
{
    static const struct {
        const char *text;
        unsigned line, col;
        const char *says;
    } bad[] = {
        {"10.0.0.0/8 us\n", 1, 1, "a line is"},
        {"\n10.0.0.0/8 us 5 6\n", 2, 17, "a line is"},
        {"10.0.0.0/8 us 5\n10.0.0.1/8 us 5\n", 2, 1, "the network is 10.0.0.0/8"},
        {"10.0.0.0/33 us 5\n", 1, 1, "prefix"},
        {"10.0.0/8 us 5\n", 1, 1, "is no network"},
        {"here us 5\n", 1, 1, "is no network"},
        {"10.0.0.0/8 us -5\n", 1, 15, "is no time"},
        {"10.0.0.0/8 us nan\n", 1, 15, "is no time"},
        {"10.0.0.0/8 us inf\n", 1, 15, "is no time"},
        {"10.0.0.0/8 us 0x10\n", 1, 15, "is no time"},
        {"10.0.0.0/8 us 5ms\n", 1, 15, "is no time"},
        {"10.0.0.0/8 us 60001\n", 1, 15, "is no time"},
        {"10.0.0.0/8 us 1e400\n", 1, 15, "is no time"},
    };
    struct world *w = *state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        parse(w, bad[i].text);
        assert_null(w->table);
        assert_int_equal(w->diags.errors, 1);
        assert_int_equal(w->diags.items[0].line, bad[i].line);
        assert_int_equal(w->diags.items[0].col, bad[i].col);
        assert_non_null(strstr(w->diags.items[0].text, bad[i].says));
    }
    char line[POLICY_LATENCY_LINE_MAX + 20];
    memset(line, ' ', sizeof(line));
    line[sizeof(line) - 1] = '\0';
    parse(w, line);
    assert_null(w->table);
    static const char zero[] = "10.0.0.0/8 us 5\n\0";
    gtm_diags_fini(&w->diags);
    w->diags = (struct gtm_diags){0};
    assert_null(policy_latency_parse(w->in, w->policy, "t", zero, sizeof(zero), &w->diags));
}

static void what_does_not_matter_is_only_said(void **state)
{
    struct world *w = *state;
    parse(w, "10.0.0.0/8 us 50\n10.0.0.0/8 mars 1\n10.0.0.0/8 far 1\n"
             "10.0.0.0/8 eu 60\n10.0.0.0/8 us 70\n");
    assert_non_null(w->table);
    assert_int_equal(w->diags.warnings, 2); /* mars; us again */
    assert_int_equal(w->diags.items[0].line, 2);
    assert_int_equal(w->diags.items[1].line, 5);
    assert_string_equal(ranked(w, 10, 0, 0, 1, NULL), "eu us ap"); /* the later us counts */
    parse(w, "");
    assert_non_null(w->table);
    assert_int_equal(policy_latency_networks(w->table), 0);
}

static void what_ranks_alike_has_one_label(void **state)
{
    struct world *w = *state;
    parse(w, "10.0.0.0/8 us 5\n11.0.0.0/8 us 9\n12.0.0.0/8 eu 9\n12.1.0.0/16 us 9\n");
    assert_int_equal(policy_latency_labels(w->table), 3);
    uint64_t hash = policy_latency_hash(w->table);
    parse(w, "11.0.0.0/8 us 1\n10.0.0.0/8 us 7\n12.0.0.0/8 eu 3\n12.1.0.0/16 us 4\n");
    assert_true(policy_latency_hash(w->table) == hash); /* other times, the same order */
    parse(w, "11.0.0.0/8 us 1\n10.0.0.0/8 us 7\n12.0.0.0/8 eu 3\n12.1.0.0/16 ap 4\n");
    assert_true(policy_latency_hash(w->table) != hash);
}

static void sentences_say_where_the_order_is_from(void **state)
{
    struct world *w = *state;
    parse(w, "10.0.0.0/8 ap 10\n");
    struct gtm_location unknown = {.asn = 0};
    uint32_t label = 0;
    struct policy_place place = {.loc = &unknown, .routes = &label, .latency = w->table};
    assert_non_null(strstr(policy_ranked_why(w->in, w->policy, &place), "no measured times"));
    place.routes_count = 1;
    assert_non_null(strstr(policy_ranked_why(w->in, w->policy, &place), "by the times measured"));
}

static void no_memory_is_an_answer(void **state)
{
    struct world *w = *state;
    unsigned failed = 0;
    for (unsigned n = 1; n < 12; n++) {
        struct gtm_diags diags = {0};
        gtm_mem_fail_at(n, 0);
        struct policy_latency *t = policy_latency_parse(
            w->in, w->policy, "t", "10.0.0.0/8 us 5\n11.0.0.0/8 us 5\n", 32, &diags);
        gtm_mem_fail_at(0, 0);
        failed += t == NULL;
        assert_true(t != NULL || diags.errors > 0);
        policy_latency_free(t);
        gtm_diags_fini(&diags);
    }
    assert_int_equal(failed, 5);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_longest_network_counts),
        T(times_are_found_for_explaining),
        T(bad_lines_are_named),
        T(what_does_not_matter_is_only_said),
        T(what_ranks_alike_has_one_label),
        T(sentences_say_where_the_order_is_from),
        T(no_memory_is_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
