/* SPDX-License-Identifier: Apache-2.0
 *
 * A store over an etcd in memory, in a folder of its own for each test.
 */
#ifndef GTM_TESTS_UNIT_GTM_COORD_STORE_ETCD_FIXTURE_H
#define GTM_TESTS_UNIT_GTM_COORD_STORE_ETCD_FIXTURE_H

#include "gtm/coord/store_etcd.h"

#include "gtm/base/buf.h"
#include "gtm/base/fs.h"
#include "gtm/base/loop.h"
#include "gtm/base/mem.h"
#include "tests/support/temp_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "etcdc_fake.h"

static char dir[TEST_TEMP_DIR_BYTES], file[96];
static struct gtm_loop *loop;
static struct gtm_store *store;
static struct gtm_error damage;
static char links[200];
static struct gtm_timer *run_timer;

static inline void on_link(void *arg, enum gtm_store_link link)
{
    static const char letters[] = "CFAR";
    size_t n = strlen(links);
    if (n + 1 < sizeof(links)) {
        links[n] = letters[link];
        links[n + 1] = '\0';
    }
}

static inline int open_store(void)
{
    struct gtm_error err = {0};
    struct gtm_store_etcd_opts opts = {.loop = loop,
                                       .client = (struct etcdc *)&fake,
                                       .data_dir = dir,
                                       .node = "us-1",
                                       .on_link = on_link,
                                       .stale_ms = 300};
    links[0] = '\0';
    int rc = gtm_store_etcd_open(&opts, -1, &store, &damage, &err);
    if (rc != 0)
        store = NULL;
    return rc;
}

static inline struct gtm_store_etcd_info info(void)
{
    struct gtm_store_etcd_info i;
    gtm_store_etcd_info(store, &i);
    return i;
}

static inline void stop(void *arg)
{
    gtm_loop_stop(loop);
}

static inline void run(unsigned ms)
{
    gtm_timer_start(run_timer, ms);
    assert_int_equal(gtm_loop_run(loop), 0);
}

static inline void wait_link(enum gtm_store_link link)
{
    for (int i = 0; i < 800 && info().link != link; i++)
        run(5);
    assert_int_equal(info().link, link);
}

/* The store is ours, and has got its store/id if there was none. */
static inline void wait_ours(void)
{
    wait_link(GTM_STORE_FRESH);
    for (int i = 0; i < 1200 && info().epoch == 0; i++)
        run(5);
    assert_true(info().epoch > 0);
    run(5);
}

static inline void close_store(void)
{
    gtm_store_close(store);
    store = NULL;
}

static inline int setup_closed(void **state)
{
    if (test_temp_dir_make("etcd", dir) != 0)
        return -1;
    snprintf(file, sizeof(file), "%s/%s", dir, GTM_STORE_CACHE_FILE);
    loop = gtm_loop_new();
    run_timer = gtm_timer_new(loop, stop, NULL);
    fake_open(loop);
    return 0;
}

static inline int setup(void **state)
{
    if (setup_closed(state) != 0 || open_store() != 0)
        return -1;
    wait_ours();
    return 0;
}

static inline int teardown(void **state)
{
    gtm_mem_fail_at(0, 0);
    if (store)
        close_store();
    fake_close();
    gtm_timer_free(run_timer);
    gtm_loop_free(loop);
    return test_temp_dir_remove(dir);
}

/* --- commits that are waited for --- */

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

static inline struct gtm_store_change del(const char *key, int64_t expect)
{
    return (struct gtm_store_change){GTM_STORE_DELETE, key, NULL, 0, expect, false};
}

static inline void wait_done(const struct outcome *o)
{
    for (int i = 0; i < 3000 && !o->calls; i++)
        run(5);
    assert_int_equal(o->calls, 1);
}

static inline struct outcome commit(const struct gtm_store_change *changes, size_t n)
{
    struct outcome o = {0};
    assert_int_equal(gtm_store_commit(store, changes, n, done, &o), 0);
    assert_int_equal(o.calls, 0);
    wait_done(&o);
    return o;
}

static inline int64_t must_put(const char *key, const char *value)
{
    struct gtm_store_change c = put(key, value, GTM_STORE_ANY);
    struct outcome o = commit(&c, 1);
    assert_int_equal(o.code, 0);
    return o.revision;
}

static inline void assert_value(const char *key, const char *want)
{
    struct gtm_store_entry e;
    int rc = gtm_store_get(store, key, &e);
    if (!want) {
        assert_int_equal(rc, GTM_ENOTFOUND);
        return;
    }
    assert_int_equal(rc, 0);
    assert_string_equal(e.value, want);
    assert_int_equal(e.value_len, strlen(want));
}

#define OPEN_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
