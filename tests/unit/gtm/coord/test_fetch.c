/* SPDX-License-Identifier: Apache-2.0
 *
 * gtm_store_fetch of the standalone store: ranges, limits, and that it ends in every case.
 */
#include "store_fixture.h"

struct got {
    struct gtm_buf text;
    int code, calls;
    size_t count;
    bool more;
    int64_t revision;
};

static void on_fetch(void *arg, const struct gtm_store_fetched *f)
{
    struct got *g = arg;
    g->code = f->code;
    g->calls++;
    g->count = f->count;
    g->more = f->more;
    g->revision = f->revision;
    for (size_t i = 0; i < f->count; i++)
        gtm_buf_addf(&g->text, "%s ", f->entries[i].key);
    gtm_buf_adds(&g->text, "");
    gtm_loop_stop(loop);
}

static void assert_fetch(const char *from, const char *to, size_t limit, const char *want,
                         bool more)
{
    struct got g = {0};
    assert_int_equal(gtm_store_fetch(store, from, to, limit, on_fetch, &g), 0);
    assert_int_equal(g.calls, 0);
    assert_int_equal(gtm_loop_run(loop), 0);
    assert_int_equal(g.calls, 1);
    assert_int_equal(g.code, 0);
    assert_string_equal(g.text.data, want);
    assert_int_equal(g.more, more);
    gtm_buf_fini(&g.text);
}

static void ranges_and_limits(void **state)
{
    assert_fetch("a", "z", 5, "", false);
    for (const char *const *k = (const char *const[]){"a/2", "a/1", "b", "a", "a/3", NULL}; *k; k++)
        must_put(*k, "1");
    assert_fetch("a", NULL, 5, "a ", false);
    assert_fetch("a/9", NULL, 5, "", false);
    assert_fetch("a/", "a0", 1000, "a/1 a/2 a/3 ", false);
    assert_fetch("a/", "a0", 3, "a/1 a/2 a/3 ", false);
    assert_fetch("a/", "a0", 2, "a/1 a/2 ", true);
    assert_fetch("a/2", "b", 9, "a/2 a/3 ", false);
    assert_fetch("a", "z", 9, "a a/1 a/2 a/3 b ", false);
    assert_fetch("z", "a", 9, "", false);
}

static void bytes_are_bounded(void **state)
{
    char *text = gtm_malloc(GTM_STORE_VALUE_MAX);
    memset(text, 'x', GTM_STORE_VALUE_MAX);
    for (int i = 0; i < 40; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k/%02d", i);
        struct gtm_store_change c = {GTM_STORE_PUT,       key,           text,
                                     GTM_STORE_VALUE_MAX, GTM_STORE_ANY, false};
        assert_int_equal(commit(&c, 1).code, 0);
    }
    gtm_free(text);
    struct got g = {0};
    assert_int_equal(gtm_store_fetch(store, "k/", "k0", 1000, on_fetch, &g), 0);
    assert_int_equal(gtm_loop_run(loop), 0);
    assert_int_equal(g.count, 31); /* 8 MiB less the keys */
    assert_true(g.more);
    gtm_buf_fini(&g.text);
}

static void wrong_arguments(void **state)
{
    struct got g = {0};
    assert_int_equal(gtm_store_fetch(store, "", "z", 1, on_fetch, &g), GTM_EINVAL);
    assert_int_equal(gtm_store_fetch(store, "a", "", 1, on_fetch, &g), GTM_EINVAL);
    assert_int_equal(gtm_store_fetch(store, "a", "z", 0, on_fetch, &g), GTM_EINVAL);
    assert_int_equal(gtm_store_fetch(store, "a", "z", GTM_STORE_FETCH_MAX + 1, on_fetch, &g),
                     GTM_EINVAL);
    for (unsigned i = 0; i < GTM_STORE_PENDING_MAX; i++)
        assert_int_equal(gtm_store_fetch(store, "a", "z", 1, on_fetch, &g), 0);
    assert_int_equal(gtm_store_fetch(store, "a", "z", 1, on_fetch, &g), GTM_ELIMIT);
    close_store(); /* all are told */
    assert_int_equal(g.calls, GTM_STORE_PENDING_MAX);
    gtm_buf_fini(&g.text);
}

static void memory_may_fail(void **state)
{
    must_put("a", "1");
    for (unsigned n = 1; n < 10; n++) {
        struct got g = {0};
        gtm_mem_fail_at(n, 0);
        int rc = gtm_store_fetch(store, "a", "b", 1, on_fetch, &g);
        if (rc == 0)
            assert_int_equal(gtm_loop_run(loop), 0);
        gtm_mem_fail_at(0, 0);
        assert_int_equal(g.calls, rc == 0);
        assert_true(rc == 0 || rc == GTM_ENOMEM);
        assert_true(g.code == GTM_ENOMEM || g.count == (rc == 0));
        gtm_buf_fini(&g.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(ranges_and_limits),
        STORE_TEST(bytes_are_bounded),
        STORE_TEST(wrong_arguments),
        STORE_TEST(memory_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
