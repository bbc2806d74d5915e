/* SPDX-License-Identifier: Apache-2.0
 *
 * A store in a folder of its own for each test, commits that are waited for, and what tests
 * compare.
 */
#ifndef GTM_TESTS_UNIT_GTM_COORD_STORE_FIXTURE_H
#define GTM_TESTS_UNIT_GTM_COORD_STORE_FIXTURE_H

#include "gtm/coord/store_file.h"

#include "gtm/base/buf.h"
#include "gtm/base/fs.h"
#include "gtm/base/loop.h"
#include "gtm/base/mem.h"
#include "tests/support/temp_dir.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[TEST_TEMP_DIR_BYTES], file[96];
static struct gtm_loop *loop;
static struct gtm_store *store;
static struct gtm_error damage;

static inline int open_store(void)
{
    struct gtm_error err = {0};
    int rc = gtm_store_file_open(loop, dir, &store, &damage, &err);
    if (rc != 0)
        store = NULL;
    return rc;
}

static inline void close_store(void)
{
    gtm_store_close(store);
    store = NULL;
}

static inline void reopen(void)
{
    close_store();
    assert_int_equal(open_store(), 0);
}

static inline int setup(void **state)
{
    (void)state;
    if (test_temp_dir_make("store", dir) != 0)
        return -1;
    snprintf(file, sizeof(file), "%s/%s", dir, GTM_STORE_FILE_NAME);
    loop = gtm_loop_new();
    return loop ? open_store() : -1;
}

static inline int teardown(void **state)
{
    (void)state;
    gtm_fs_fail_at(0, 0);
    gtm_mem_fail_at(0, 0);
    close_store();
    gtm_loop_free(loop);
    return test_temp_dir_remove(dir);
}

/* --- what a commit came to --- */

struct outcome {
    int code, calls;
    int64_t revision;
    char text[GTM_ERROR_TEXT_BYTES];
    bool stop;
};

static inline void done(void *arg, const struct gtm_store_result *result)
{
    struct outcome *o = arg;
    o->code = result->code;
    o->revision = result->revision;
    o->calls++;
    snprintf(o->text, sizeof(o->text), "%s", result->err->text);
    if (o->stop)
        gtm_loop_stop(loop);
}

static inline struct gtm_store_change put(const char *key, const char *value, int64_t expect)
{
    return (struct gtm_store_change){GTM_STORE_PUT, key, value, strlen(value), expect, false};
}

static inline struct gtm_store_change del(const char *key, int64_t expect)
{
    return (struct gtm_store_change){GTM_STORE_DELETE, key, NULL, 0, expect, false};
}

static inline struct gtm_store_change check(const char *key, int64_t expect)
{
    return (struct gtm_store_change){GTM_STORE_CHECK, key, NULL, 0, expect, false};
}

/* Commits and runs the loop until it is done. */
static inline struct outcome commit(const struct gtm_store_change *changes, size_t n)
{
    struct outcome o = {.stop = true};
    assert_int_equal(gtm_store_commit(store, changes, n, done, &o), 0);
    assert_int_equal(o.calls, 0); /* never from inside */
    assert_int_equal(gtm_loop_run(loop), 0);
    assert_int_equal(o.calls, 1);
    return o;
}

static inline int64_t must_put(const char *key, const char *value)
{
    struct gtm_store_change c = put(key, value, GTM_STORE_ANY);
    struct outcome o = commit(&c, 1);
    assert_int_equal(o.code, 0);
    return o.revision;
}

static inline void assert_value(const char *key, const char *want, int64_t revision)
{
    struct gtm_store_entry e;
    int rc = gtm_store_get(store, key, &e);
    if (!want) {
        assert_int_equal(rc, GTM_ENOTFOUND);
        return;
    }
    assert_int_equal(rc, 0);
    assert_string_equal(e.key, key);
    assert_int_equal(e.value_len, strlen(want));
    assert_string_equal(e.value, want);
    if (revision)
        assert_true(e.revision == revision);
}

static inline int add_key(void *arg, const struct gtm_store_entry *entry)
{
    gtm_buf_addf(arg, "%s=%s;", entry->key, entry->value);
    return 0;
}

static inline void assert_list(const char *prefix, const char *want)
{
    struct gtm_buf buf = {0};
    assert_int_equal(gtm_store_list(store, prefix, add_key, &buf), 0);
    gtm_buf_adds(&buf, "");
    assert_string_equal(buf.data, want);
    gtm_buf_fini(&buf);
}

static inline unsigned files_matching(const char *part, char *ret_name)
{
    unsigned n = 0;
    DIR *d = opendir(dir);
    const struct dirent *e;
    while ((e = readdir(d)) != NULL)
        if (strstr(e->d_name, part)) {
            n++;
            if (ret_name)
                snprintf(ret_name, 400, "%s/%s", dir, e->d_name);
        }
    closedir(d);
    return n;
}

#define STORE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
