/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables of measured times: any text is refused with a finding or gives a table whose rows are
 * distinct, found again by their own addresses, ranked ascending, and whose labels grow with the
 * length of their networks.
 */
#include "policies/latency.h"
#include "tests/support/build_intent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void stop(const char *why)
{
    fprintf(stderr, "%s\n", why);
    abort();
}

static struct gtm_intent *world(void)
{
    static const char *const names[] = {"us", "eu", "ap"};
    struct gtm_intent *in = build_intent();
    int pool = (int)build_pool(in, "p");
    for (unsigned r = 0; r < 3; r++) {
        build_region(in, names[r], 0, 10.0 * r);
        build_endpoint(in, (unsigned)pool, names[r], r, "192.0.2.1", NULL, 1);
    }
    build_policy(in, "fast", GTM_STEER_LATENCY, pool);
    return in;
}

static void check_row(const struct policy_latency *t, size_t i)
{
    struct gtm_network net;
    uint32_t label;
    unsigned region, k = 0;
    double ms, last = 0;
    policy_latency_network(t, i, &net, &label);
    if (label >= policy_latency_labels(t))
        stop("a label beyond the last");
    if (policy_latency_find(t, net.family, net.addr, net.prefix_len) != (int64_t)i)
        stop("a row is not found by its own network");
    const struct policy_regions *order = policy_latency_order(t, label);
    for (; policy_latency_time(t, i, k, &region, &ms); k++) {
        if (!(ms >= last && ms <= POLICY_LATENCY_MS_MAX))
            stop("times are not ascending");
        if (k < order->count && order->region[k] != region)
            stop("the order is not that of the times");
        last = ms;
    }
    if (k == 0)
        stop("a row without a time");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct gtm_intent *in;
    struct gtm_diags diags = {0};
    if (!in)
        in = world();
    struct policy_latency *t =
        policy_latency_parse(in, 0, "fuzz", (const char *)data, size, &diags);
    if ((t == NULL) != (diags.errors > 0))
        stop("a table with errors, or none without");
    for (size_t i = 0; t && i < policy_latency_networks(t); i++) {
        struct gtm_network a, b;
        uint32_t x, y;
        check_row(t, i);
        policy_latency_network(t, i, &a, &x);
        policy_latency_network(t, i / 2, &b, &y);
        if (a.prefix_len > b.prefix_len && x <= y)
            stop("a longer network has no greater label");
    }
    policy_latency_free(t);
    gtm_diags_fini(&diags);
    return 0;
}
