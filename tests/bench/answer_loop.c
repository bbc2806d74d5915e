/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers one question many times, in process, without sockets: what check_instructions.py counts
 * the instructions of. Only what runs inside answer_loop() is meant to be counted.
 *
 *     answer_loop static|geo|geo-ecs|nxdomain COUNT
 *
 * Exit 1 when an answer is not what it must be.
 */
#include "dns/answer.h"
#include "dns/rr.h"
#include "dns/steer.h"
#include "dns/zone.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLASSES 3

static const char zone_text[] = "$TTL 60\n@ SOA ns1 admin 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.53\n"
                                "plain A 198.51.100.1\n";

struct question {
    const char *kind, *label;
    bool ecs;
    uint8_t rcode, last; /* of the answer, and the last octet of its address */
};
static const struct question questions[] = {{"static", "plain", false, 0, 1},
                                            {"geo", "www", false, 0, 2},
                                            {"geo-ecs", "www", true, 0, 3},
                                            {"nxdomain", "nothing", false, 3, 0}};

static void need(const void *p, const char *what)
{
    if (p == NULL) {
        fprintf(stderr, "answer_loop: no %s\n", what);
        exit(1);
    }
}

static uint32_t classify(void *ctx, const struct gtm_location *loc, const uint32_t *labels,
                         size_t count)
{
    (void)ctx;
    (void)loc;
    return count > 0 ? labels[count - 1] : 0;
}

static struct dns_choice *make_choice(uint16_t type, unsigned class_id)
{
    uint8_t address[4] = {192, 0, 2, (uint8_t)(class_id + 1)};
    struct gtm_error err = {0};
    struct dns_option_spec option = {.weight = 1, .answers = 1, .rdata = address, .count = 1};
    struct dns_choice_spec spec = {.type = type,
                                   .ttl_s = 30,
                                   .outcome =
                                       type == DNS_TYPE_A ? DNS_OUTCOME_ANSWER : DNS_OUTCOME_NODATA,
                                   .options = &option,
                                   .options_count = type == DNS_TYPE_A ? 1 : 0};
    struct dns_choice *choice = dns_choice_new(&spec, &err);
    need(choice, err.text);
    return choice;
}

/* Each class has one address, 192.0.2.(class + 1): what `nearest` makes of three regions. */
static struct dns_steer *make_steer(void)
{
    static const struct dns_labeled_network nets[] = {{4, 8, {10}, 1}, {4, 16, {172, 16}, 2}};
    static const uint16_t slots[CLASSES] = {0, 1, 2};
    struct gtm_error err = {0};
    struct dns_choice *choices[CLASSES], *nodata[CLASSES];
    struct dns_classmap *map = dns_classmap_build(NULL, nets, 2, classify, NULL, &err);
    struct dns_picks *picks = dns_picks_new(slots, CLASSES, &err);

    struct dns_choice *none = make_choice(DNS_TYPE_AAAA, 0);
    for (unsigned i = 0; i < CLASSES; i++) {
        choices[i] = make_choice(DNS_TYPE_A, i);
        nodata[i] = none;
    }
    struct dns_steer_kind kinds[DNS_KINDS] = {{picks, choices, CLASSES}, {picks, nodata, CLASSES}};
    struct dns_steer *steer = dns_steer_new(map, kinds, &err);
    need(steer, err.text);
    for (unsigned i = 0; i < CLASSES; i++)
        dns_choice_unref(choices[i]);
    dns_choice_unref(none);
    dns_picks_unref(picks);
    dns_classmap_unref(map);
    return steer;
}

static struct dns_view *make_view(void)
{
    static const uint16_t types[] = {DNS_TYPE_A};
    static const struct dns_zone_dynamic www = {"www", types, 1, 0, NULL, 0, 0};
    struct dns_zone_spec spec = {.origin = "example.com",
                                 .path = "zone",
                                 .dynamics = &www,
                                 .dynamics_count = 1,
                                 .slot_count = 1};
    struct gtm_diags diags = {0};
    struct gtm_error err = {0};
    struct dns_zone *zone = dns_zone_load_text(&spec, zone_text, strlen(zone_text), &diags);
    gtm_diags_print(&diags, stderr);
    gtm_diags_fini(&diags);
    need(zone, "zone");
    struct dns_steer *steer = make_steer();
    struct dns_view_zone vz = {.zone = zone, .slots = &steer};
    struct dns_view *view = dns_view_new(&vz, 1, NULL, 1, &err);
    need(view, err.text);
    dns_zone_unref(zone);
    dns_steer_unref(steer);
    return view;
}

static size_t make_query(const struct question *q, uint8_t *out)
{
    /* a client of 172.16.5.0/24 */
    static const uint8_t opt[] = {0, 0, 41, 4, 0xd0, 0, 0,  0, 0,   0,  11,
                                  0, 8, 0,  7, 0,    1, 24, 0, 172, 16, 5};
    static const uint8_t rest[] = "\7example\3com\0\0\1\0\1"; /* and its NUL, which is not sent */
    uint8_t header[12] = {0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, q->ecs ? 1 : 0};
    size_t len = sizeof(header), label = strlen(q->label);

    memcpy(out, header, sizeof(header));
    out[len++] = (uint8_t)label;
    memcpy(out + len, q->label, label);
    len += label;
    memcpy(out + len, rest, sizeof(rest) - 1);
    len += sizeof(rest) - 1;
    if (q->ecs) {
        memcpy(out + len, opt, sizeof(opt));
        len += sizeof(opt);
    }
    return len;
}

size_t answer_loop(struct dns_answerer *a, const struct dns_view *view, const uint8_t *query,
                   size_t len, uint8_t *out, unsigned long count);

/* What is counted: noinline, so that a profiler can tell it from the rest. */
__attribute__((noinline)) size_t answer_loop(struct dns_answerer *a, const struct dns_view *view,
                                             const uint8_t *query, size_t len, uint8_t *out,
                                             unsigned long count)
{
    static const struct dns_client client = {.family = 4, .addr = {10, 1, 2, 3}};
    size_t n = 0;

    for (unsigned long i = 0; i < count; i++)
        n = dns_answer(a, view, &client, query, len, out, DNS_UDP_PAYLOAD_MAX);
    return n;
}

static bool right(const struct question *q, const uint8_t *out, size_t len, size_t query_len)
{
    size_t question_end = query_len - (q->ecs ? 22 : 0);

    if (len < question_end + 16 || (out[3] & 15) != q->rcode)
        return false;
    return q->rcode != 0 || (out[7] == 1 && out[question_end + 15] == q->last);
}

int main(int argc, char **argv)
{
    uint8_t query[128], out[DNS_UDP_PAYLOAD_MAX];
    struct dns_answerer answerer;
    const struct question *q = NULL;

    for (size_t i = 0; argc == 3 && i < sizeof(questions) / sizeof(questions[0]); i++)
        if (strcmp(argv[1], questions[i].kind) == 0)
            q = &questions[i];
    if (q == NULL) {
        fprintf(stderr, "usage: answer_loop static|geo|geo-ecs|nxdomain COUNT\n");
        return 2;
    }
    struct dns_view *view = make_view();
    dns_answerer_init(&answerer, 1);
    size_t query_len = make_query(q, query);
    size_t len = answer_loop(&answerer, view, query, query_len, out, strtoul(argv[2], NULL, 10));
    dns_view_unref(view);
    if (right(q, out, len, query_len))
        return 0;
    fprintf(stderr, "answer_loop: the answer to %s is wrong (%zu octets)\n", q->kind, len);
    return 1;
}
