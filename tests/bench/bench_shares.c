/* SPDX-License-Identifier: Apache-2.0
 *
 * Theory and answers: the shares of a weighted policy by chi-square over a million answers, and for
 * sticky which client networks move when one of n endpoints leaves (only its own, at most 1/n of
 * equal ones) and when it comes back (none but those). Through the published view and dns_answer,
 * as a resolver would see it. Prints a table with JSON lines in it. Reports only.
 *
 *     bench_shares [ANSWERS [NETWORKS]]
 */
#include "dns/answer.h"
#include "dns/rr.h"
#include "gtm/base/buf.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/publish.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENDPOINTS_MAX 1000

struct bench {
    char zone[64];
    struct gtm_intent *intent;
    struct gtm_compiled *compiled;
    struct gtm_states *states;
    struct gtm_touched touched;
    struct gtm_publisher *pub;
    struct dns_view *view;
    struct dns_answerer answerer;
};

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bench_shares: %s\n", what);
    exit(1);
}

static void take_view(void *ctx, struct dns_view *view)
{
    struct bench *b = ctx;
    dns_view_unref(b->view);
    b->view = view;
}

static unsigned weight_of(unsigned endpoint, bool equal)
{
    return equal ? 100 : 20 + endpoint * 37 % 181;
}

static void start(struct bench *b, const char *steer, unsigned n, bool equal)
{
    struct gtm_buf text = {0};
    struct gtm_diags diags = {0};
    struct gtm_error err = {0};
    gtm_buf_addf(&text, "regions:\n  - {name: r, location: [1, 1]}\n"
                        "monitors:\n  - {name: m, kind: tcp, port: 80}\n"
                        "pools:\n  - name: p\n    monitors: [m]\n    endpoints:\n");
    for (unsigned i = 0; i < n; i++)
        gtm_buf_addf(&text, "      - {name: e%u, region: r, addresses: [10.9.%u.%u], weight: %u}\n",
                     i, i >> 8, i & 255, weight_of(i, equal));
    gtm_buf_addf(&text, "policies:\n  - name: it\n    ttl: 5s\n    steer: %s\n", steer);
    if (strcmp(steer, "weighted") == 0) {
        gtm_buf_addf(&text, "    to:\n");
        for (unsigned i = 0; i < n; i++)
            gtm_buf_addf(&text, "      - {endpoint: p/e%u, weight: %u}\n", i, weight_of(i, equal));
    } else {
        gtm_buf_addf(&text, "    pool: p\n");
    }
    gtm_buf_addf(&text,
                 "zones:\n  - name: example.com\n    file: %s\n"
                 "    names: [{name: w, policy: it, types: [A]}]\n",
                 b->zone);
    b->intent = gtm_intent_parse("bench.yaml", text.data, text.len, &diags);
    gtm_buf_fini(&text);
    b->compiled = b->intent ? gtm_compile(b->intent, NULL, NULL, &diags) : NULL;
    if (!b->compiled)
        gtm_diags_print(&diags, stderr);
    must(b->compiled != NULL, "the configuration was refused");
    gtm_diags_fini(&diags);
    b->states = gtm_states_new(b->intent);
    b->pub = gtm_publisher_new(take_view, b);
    must(b->states && b->pub && gtm_touched_init(&b->touched, 1) == GTM_OK, "no memory");
    must(gtm_publisher_install(b->pub, b->compiled, b->states, &err) == GTM_OK, err.text);
}

static void finish(struct bench *b)
{
    gtm_publisher_free(b->pub);
    dns_view_unref(b->view);
    b->view = NULL;
    gtm_compiled_unref(b->compiled);
    gtm_states_free(b->states);
    gtm_touched_fini(&b->touched);
    gtm_intent_unref(b->intent);
}

static void set_health(struct bench *b, unsigned endpoint, enum gtm_health health)
{
    struct gtm_error err = {0};
    gtm_states_set_health(b->states, 0, endpoint, GTM_FAMILY_V4, health, &b->touched);
    must(gtm_publisher_flip(b->pub, b->states, &b->touched, &err) == GTM_OK, err.text);
    gtm_touched_clear(&b->touched);
}

/* The endpoint that a client in network/24 gets. */
static unsigned ask(struct bench *b, uint32_t network)
{
    static const uint8_t query[] = {0, 1,   0,   0,   0,   1,   0,   0,   0,   0,   0,
                                    0, 1,   'w', 7,   'e', 'x', 'a', 'm', 'p', 'l', 'e',
                                    3, 'c', 'o', 'm', 0,   0,   1,   0,   1};
    uint8_t packet[sizeof(query) + 16] = {0}, out[512];
    struct dns_client client = {.family = 4};
    memcpy(packet, query, sizeof(query));
    dns_put32(client.addr, network << 8 | 77);
    size_t len =
        dns_answer(&b->answerer, b->view, &client, packet, sizeof(query), out, sizeof(out));
    must(len == sizeof(query) + 16 && out[7] == 1, "no answer");
    return (unsigned)out[len - 2] << 8 | out[len - 1];
}

/* Below this, chi-square with k degrees of freedom stays in 99.9 % of fair runs (Wilson & Hilferty
 * 1931). */
static double chi2_limit(unsigned k)
{
    double c = 2.0 / (9.0 * k), z = 3.0902;
    return k * pow(1 - c + z * sqrt(c), 3);
}

static void run_weighted(struct bench *b, unsigned n, unsigned answers)
{
    static unsigned seen[ENDPOINTS_MAX];
    double total = 0, chi2 = 0;
    start(b, "weighted", n, false);
    memset(seen, 0, sizeof(seen));
    for (unsigned i = 0; i < answers; i++)
        seen[ask(b, i)]++;
    for (unsigned i = 0; i < n; i++)
        total += weight_of(i, false);
    for (unsigned i = 0; i < n; i++) {
        double want = answers * weight_of(i, false) / total;
        chi2 += (seen[i] - want) * (seen[i] - want) / want;
    }
    printf("weighted %5u endpoints: chi-square %8.1f, limit %8.1f\n", n, chi2, chi2_limit(n - 1));
    printf("{\"bench\":\"shares\",\"case\":\"weighted\",\"n\":%u,\"answers\":%u,\"chi2\":%.2f,"
           "\"limit\":%.2f}\n",
           n, answers, chi2, chi2_limit(n - 1));
    finish(b);
}

static void run_sticky(struct bench *b, unsigned n, bool equal, unsigned networks)
{
    uint16_t *before = gtm_calloc(networks, sizeof(*before));
    unsigned leaves = n / 2, moved = 0, others = 0, wrong = 0, its = 0;
    double total = 0;
    must(before != NULL, "no memory");
    start(b, "sticky", n, equal);
    for (unsigned i = 0; i < networks; i++)
        before[i] = (uint16_t)ask(b, i * 2654435761u >> 8);
    set_health(b, leaves, GTM_HEALTH_DOWN);
    for (unsigned i = 0; i < networks; i++) {
        unsigned now = ask(b, i * 2654435761u >> 8);
        its += before[i] == leaves;
        moved += now != before[i];
        others += now != before[i] && before[i] != leaves;
        wrong += now == leaves;
    }
    must(wrong == 0, "an endpoint that is down still answers");
    set_health(b, leaves, GTM_HEALTH_UP);
    for (unsigned i = 0; i < networks; i++)
        others += ask(b, i * 2654435761u >> 8) != before[i]; /* all come home */
    for (unsigned i = 0; i < n; i++)
        total += weight_of(i, equal);
    double share = weight_of(leaves, equal) / total;
    printf("sticky   %5u endpoints: %.4f moved, its share %.4f, %u others\n", n,
           (double)moved / networks, share, others);
    printf("{\"bench\":\"shares\",\"case\":\"sticky\",\"n\":%u,\"weights\":\"%s\",\"moved\":%.6f,"
           "\"held\":%.6f,\"share\":%.6f,\"others_moved\":%u}\n",
           n, equal ? "equal" : "different", (double)moved / networks, (double)its / networks,
           share, others);
    gtm_free(before);
    finish(b);
}

int main(int argc, char **argv)
{
    static const unsigned sizes[] = {2, 3, 5, 10, 50, 200, 1000};
    unsigned answers = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000000;
    unsigned networks = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 200000;
    struct bench b = {.view = NULL};
    snprintf(b.zone, sizeof(b.zone), "/tmp/gtm-shares-XXXXXX");
    int fd = mkstemp(b.zone);
    static const char zone[] = "$TTL 300\n@ SOA ns1 admin 1 3600 600 86400 60\n@ NS ns1\n"
                               "ns1 A 192.0.2.53\n";
    must(fd >= 0 && write(fd, zone, sizeof(zone) - 1) == (ssize_t)sizeof(zone) - 1, "no zone file");
    close(fd);
    dns_answerer_init(&b.answerer, 20261121);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        run_weighted(&b, sizes[i], answers);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        run_sticky(&b, sizes[i], true, networks);
        run_sticky(&b, sizes[i], false, networks);
    }
    unlink(b.zone);
    return 0;
}
