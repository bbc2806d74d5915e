/* SPDX-License-Identifier: Apache-2.0
 *
 * The world of the conductor's tests: three regions with a node each, two pools, all of it up.
 */
#ifndef TESTS_UNIT_CONDUCTOR_FIXTURE_H
#define TESTS_UNIT_CONDUCTOR_FIXTURE_H

#include "gtm/base/json.h"
#include "gtm/base/mem.h"
#include "tests/support/cluster_nodes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char intent_text[] = "regions:\n"
                                  "  - {name: r1, location: [1, 1]}\n"
                                  "  - {name: r2, location: [2, 2]}\n"
                                  "  - {name: r3, location: [3, 3]}\n"
                                  "monitors:\n"
                                  "  - {name: m, kind: tcp, port: 80, interval: 1s}\n"
                                  "pools:\n"
                                  "  - name: a\n"
                                  "    monitors: [m]\n"
                                  "    failback: {mode: auto, ramp: 20s}\n"
                                  "    flap: {half_life: 0s}\n"
                                  "    endpoints:\n"
                                  "      - {name: a1, region: r1, addresses: [192.0.2.1]}\n"
                                  "      - {name: a2, region: r2, addresses: [192.0.2.2]}\n"
                                  "      - {name: a3, region: r3, addresses: [192.0.2.3]}\n"
                                  "  - name: b\n"
                                  "    monitors: [m]\n"
                                  "    flap: {half_life: 0s}\n"
                                  "    endpoints:\n"
                                  "      - {name: b2, region: r1, addresses: [192.0.2.4]}\n"
                                  "      - {name: b1, region: r2, addresses: [192.0.2.5]}\n";

#define A1      "a/a1/m/4"
#define A2      "a/a2/m/4"
#define A3      "a/a3/m/4"
#define UP      GTM_HEALTH_UP, HEALTH_RESULT_OK
#define REFUSED GTM_HEALTH_DOWN, HEALTH_RESULT_REFUSED
#define STATUS  GTM_HEALTH_DOWN, HEALTH_RESULT_STATUS

static inline void sink(void *ctx, const char *line)
{
}

static inline void all_up(struct cluster *w)
{
    static const char *const keys[] = {A1, A2, A3, "b/b1/m/4", "b/b2/m/4"};
    for (size_t k = 0; k < sizeof(keys) / sizeof(*keys); k++)
        for (size_t i = 0; i < w->count; i++)
            cluster_see(w, i, keys[k], UP);
    cluster_settle(w);
}

static inline int setup(void **state)
{
    struct cluster *w = gtm_calloc(1, sizeof(*w));
    cluster_open(w, intent_text, "r1 r2 r3");
    all_up(w);
    *state = w;
    return 0;
}

static inline int teardown(void **state)
{
    cluster_close(*state);
    gtm_free(*state);
    return 0;
}

static inline void everywhere(struct cluster *w, const char *pool, const char *endpoint,
                              enum gtm_health health)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->nodes[i].state)
            assert_int_equal(cluster_health(w, i, pool, endpoint), health);
}

static inline int64_t number(struct cluster *w, const char *key, const char *pointer)
{
    const char *text = cluster_get(w, key);
    struct gtm_json *root = gtm_json_parse(text, strlen(text), NULL);
    int64_t value = gtm_json_as_i64(gtm_json_pointer(root, pointer), -1);
    gtm_json_free(root);
    return value;
}

#endif
