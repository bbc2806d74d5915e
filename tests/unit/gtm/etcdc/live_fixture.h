/* SPDX-License-Identifier: Apache-2.0
 *
 * What tests against real etcd servers share: a loop that is run until something is true, and calls
 * that are waited for.
 */
#ifndef GTM_TESTS_ETCDC_LIVE_FIXTURE_H
#define GTM_TESTS_ETCDC_LIVE_FIXTURE_H

#include "gtm/base/clock.h"
#include "gtm/base/loop.h"
#include "gtm/etcdc/etcdc.h"
#include "tests/support/etcd_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct live {
    struct gtm_loop *loop;
    struct etcdc *client;
};

static inline uint64_t live_ms(void)
{
    return gtm_boot_ns() / 1000000u;
}

/* A client of members first, first + 1, … (all of them, in that order). */
static inline struct etcdc *live_client(struct gtm_loop *loop, const struct etcd_server *server,
                                        unsigned members, unsigned first)
{
    const char *urls[ETCD_MEMBERS_MAX];
    struct gtm_error err = {0};
    for (unsigned i = 0; i < members; i++)
        urls[i] = etcd_server_url(server, (first + i) % members);
    struct etcdc_opts opts = {.loop = loop, .endpoints = urls, .endpoints_count = members};
    struct etcdc *client = etcdc_new(&opts, &err);
    if (!client)
        fail_msg("%s", err.text);
    return client;
}

struct live_wait {
    struct gtm_loop *loop;
    struct gtm_timer *timer;
    bool (*until)(void *arg);
    void *arg;
    uint64_t end_ms;
    bool good;
};

static inline void live_look(void *arg)
{
    struct live_wait *wait = arg;
    wait->good = wait->until && wait->until(wait->arg);
    if (wait->good || live_ms() >= wait->end_ms)
        gtm_loop_stop(wait->loop);
    else
        gtm_timer_start(wait->timer, 2);
}

/* Runs the loop until until(arg), at most ms; until NULL: so long. */
static inline bool live_run(struct gtm_loop *loop, unsigned ms, bool (*until)(void *arg), void *arg)
{
    struct live_wait wait = {.loop = loop, .until = until, .arg = arg, .end_ms = live_ms() + ms};
    wait.timer = gtm_timer_new(loop, live_look, &wait);
    gtm_timer_start(wait.timer, 0);
    gtm_loop_run(loop);
    gtm_timer_free(wait.timer);
    return wait.good;
}

/* --- calls that are waited for --- */

struct live_result {
    bool done;
    int code;
    bool succeeded;
    int64_t revision, lease, ttl_s, count, create_revision, mod_revision;
    char value[64]; /* of the first key */
};

static inline void live_done(void *arg, const struct etcdc_answer *answer)
{
    struct live_result *r = arg;
    *r = (struct live_result){.done = true,
                              .code = answer->code,
                              .succeeded = answer->succeeded,
                              .revision = answer->header.revision,
                              .lease = answer->lease,
                              .ttl_s = answer->ttl_s};
    if (answer->parts_count > 0) {
        const struct etcdc_part *part = &answer->parts[0];
        r->count = part->count;
        if (part->kvs_count > 0) {
            const struct etcdc_kv *kv = &part->kvs[0];
            size_t n = kv->value.n < sizeof(r->value) - 1 ? kv->value.n : sizeof(r->value) - 1;
            memcpy(r->value, kv->value.p, n);
            r->create_revision = kv->create_revision;
            r->mod_revision = kv->mod_revision;
        }
    }
}

static inline bool live_is_done(void *arg)
{
    return ((struct live_result *)arg)->done;
}

static inline struct live_result live_wait_for(struct gtm_loop *loop, struct live_result *r,
                                               int started)
{
    assert_int_equal(started, ETCDC_OK);
    assert_true(live_run(loop, 20000, live_is_done, r));
    return *r;
}

static inline struct live_result live_put(struct live *live, const char *key, const char *value,
                                          int64_t lease)
{
    struct live_result r = {0};
    return live_wait_for(live->loop, &r,
                         etcdc_put(live->client, etcdc_str(key), etcdc_str(value), lease,
                                   ETCDC_IDEMPOTENT, live_done, &r));
}

static inline struct live_result live_get(struct live *live, const char *key)
{
    struct live_result r = {0};
    return live_wait_for(
        live->loop, &r,
        etcdc_range(live->client, etcdc_str(key), etcdc_bytes(NULL, 0), 1, 0, 0, live_done, &r));
}

static inline struct live_result live_delete(struct live *live, const char *key)
{
    struct live_result r = {0};
    return live_wait_for(live->loop, &r,
                         etcdc_delete(live->client, etcdc_str(key), etcdc_bytes(NULL, 0),
                                      ETCDC_IDEMPOTENT, live_done, &r));
}

#endif
