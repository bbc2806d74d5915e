/* SPDX-License-Identifier: Apache-2.0
 *
 * Stores over a real etcd: several "nodes" in one process, each with a folder and a client of its
 * own.
 */
#ifndef GTM_TESTS_UNIT_GTM_COORD_ETCD_REAL_H
#define GTM_TESTS_UNIT_GTM_COORD_ETCD_REAL_H

#include "gtm/coord/leader.h"
#include "gtm/coord/store_etcd.h"

#include "gtm/base/buf.h"
#include "gtm/base/clock.h"
#include "gtm/base/fs.h"
#include "gtm/base/loop.h"
#include "gtm/base/mem.h"
#include "gtm/base/rand.h"
#include "tests/support/etcd_server.h"
#include "tests/support/temp_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NODES 3

struct node {
    char dir[TEST_TEMP_DIR_BYTES], name[16];
    struct etcdc *client;
    struct gtm_store *store;
    struct gtm_leader *leader;
};

static struct gtm_loop *loop;
static struct gtm_timer *run_timer;
static struct etcd_server *server;
static unsigned members;
static struct node nodes[NODES];

static inline void stop(void *arg)
{
    gtm_loop_stop(loop);
}

static inline void run(unsigned ms)
{
    gtm_timer_start(run_timer, ms);
    assert_int_equal(gtm_loop_run(loop), 0);
}

static inline struct gtm_store_etcd_info info_of(const struct node *node)
{
    struct gtm_store_etcd_info i;
    gtm_store_etcd_info(node->store, &i);
    return i;
}

/* Waits at most 30 s. */
#define WAIT(condition)                                          \
    do {                                                         \
        uint64_t end_ = gtm_mono_ms(gtm_clock_system()) + 30000; \
        while (!(condition)) {                                   \
            run(2);                                              \
            if (gtm_mono_ms(gtm_clock_system()) > end_)          \
                fail_msg("%s", #condition);                      \
        }                                                        \
    } while (0)

static inline void open_node(struct node *node)
{
    struct gtm_error err = {0}, damage = {0};
    const char *urls[ETCD_MEMBERS_MAX];
    for (unsigned i = 0; i < members; i++)
        urls[i] = etcd_server_url(server, i);
    struct etcdc_opts opts = {.loop = loop, .endpoints = urls, .endpoints_count = members};
    node->client = etcdc_new(&opts, &err);
    if (!node->client)
        fail_msg("%s", err.text);
    struct gtm_store_etcd_opts store = {
        .loop = loop, .client = node->client, .data_dir = node->dir, .node = node->name};
    if (gtm_store_etcd_open(&store, -1, &node->store, &damage, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(damage.code, 0);
}

static inline void close_node(struct node *node)
{
    gtm_leader_free(node->leader);
    gtm_store_close(node->store);
    etcdc_free(node->client);
    node->leader = NULL;
    node->store = NULL;
    node->client = NULL;
}

static inline void open_all(unsigned count)
{
    for (unsigned i = 0; i < NODES; i++)
        snprintf(nodes[i].name, sizeof(nodes[i].name), "node-%u", i);
    for (unsigned i = 0; i < count; i++)
        open_node(&nodes[i]);
    for (unsigned i = 0; i < count; i++)
        WAIT(info_of(&nodes[i]).link == GTM_STORE_FRESH);
}

static inline int setup_members(unsigned want)
{
    members = want;
    loop = gtm_loop_new();
    run_timer = gtm_timer_new(loop, stop, NULL);
    memset(nodes, 0, sizeof(nodes));
    for (unsigned i = 0; i < NODES; i++)
        if (test_temp_dir_make("node", nodes[i].dir) != 0)
            return -1;
    server =
        etcd_server_have() ? etcd_server_new(&(struct etcd_server_want){.members = want}) : NULL;
    return 0;
}

static inline int setup_one(void **state)
{
    return setup_members(1);
}

static inline int setup_three(void **state)
{
    return setup_members(3);
}

static inline int teardown(void **state)
{
    for (unsigned i = 0; i < NODES; i++)
        if (nodes[i].store)
            close_node(&nodes[i]);
    etcd_server_free(server);
    gtm_timer_free(run_timer);
    gtm_loop_free(loop);
    int rc = 0;
    for (unsigned i = 0; i < NODES; i++)
        rc |= test_temp_dir_remove(nodes[i].dir);
    return rc;
}

#define NEED_ETCD() \
    if (!server)    \
    skip()

struct outcome {
    int code, calls;
    int64_t revision;
    char text[GTM_ERROR_TEXT_BYTES];
};

static inline void done(void *arg, const struct gtm_store_result *result)
{
    struct outcome *o = arg;
    o->code = result->code;
    o->revision = result->revision;
    o->calls++;
    snprintf(o->text, sizeof(o->text), "%s", result->err->text);
}

static inline struct gtm_store_change put(const char *key, const char *value, int64_t expect)
{
    return (struct gtm_store_change){GTM_STORE_PUT, key, value, strlen(value), expect, false};
}

static inline struct outcome commit(struct node *node, const struct gtm_store_change *changes,
                                    size_t n)
{
    struct outcome o = {0};
    assert_int_equal(gtm_store_commit(node->store, changes, n, done, &o), 0);
    WAIT(o.calls);
    return o;
}

static inline int64_t must_put(struct node *node, const char *key, const char *value)
{
    struct gtm_store_change c = put(key, value, GTM_STORE_ANY);
    struct outcome o = commit(node, &c, 1);
    if (o.code != 0)
        fail_msg("%s: %s", key, o.text);
    return o.revision;
}

/* NULL when it is not there. */
static inline const char *value_at(const struct node *node, const char *key)
{
    struct gtm_store_entry e;
    return gtm_store_get(node->store, key, &e) == 0 ? e.value : NULL;
}

static inline bool has(const struct node *node, const char *key, const char *value)
{
    const char *now = value_at(node, key);
    return value ? now && strcmp(now, value) == 0 : !now;
}

#endif
