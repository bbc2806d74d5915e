/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/gtm/coord/store_fixture.h"

static void what_is_put_is_there_after_a_restart(void **state)
{
    int64_t a = must_put("override/endpoint/www/www-us",
                         "{\"admin\":\"drain\",\"who\":\"\xc3\xa9\\u0001\"}");
    int64_t b = must_put("z", "");
    assert_int_equal(a, 1);
    assert_int_equal(b, 2);
    reopen();
    assert_int_equal(damage.code, 0);
    assert_value("override/endpoint/www/www-us",
                 "{\"admin\":\"drain\",\"who\":\"\xc3\xa9\\u0001\"}", a);
    assert_value("z", "", b);
    assert_value("override", NULL, 0);
    struct gtm_store_change c = del("z", b);
    assert_int_equal(commit(&c, 1).revision, 3);
    reopen();
    assert_value("z", NULL, 0);
    struct gtm_store_status status;
    gtm_store_status(store, &status);
    assert_true(status.ok);
    assert_int_equal(status.revision, 3); /* goes on where it was, though no key has it */
    assert_int_equal(status.keys, 1);
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static void guards(void **state)
{
    int64_t r = must_put("k", "1");
    struct gtm_store_change c = put("k", "2", r + 1);
    struct outcome o = commit(&c, 1);
    assert_int_equal(o.code, GTM_ECONFLICT);
    assert_int_equal(o.revision, 0);
    assert_string_equal(o.text, "k is at revision 1, expected 2");
    c = put("k", "2", GTM_STORE_ABSENT);
    assert_int_equal(commit(&c, 1).code, GTM_ECONFLICT);
    c = del("k", 7);
    assert_int_equal(commit(&c, 1).code, GTM_ECONFLICT);
    assert_value("k", "1", r);
    c = put("k", "2", r);
    o = commit(&c, 1);
    assert_int_equal(o.code, 0);
    assert_value("k", "2", o.revision);
    c = put("new", "1", GTM_STORE_ABSENT);
    assert_int_equal(commit(&c, 1).code, 0);
    c = del("nothing", GTM_STORE_ANY);
    assert_int_equal(commit(&c, 1).code, 0);
    c = del("nothing", GTM_STORE_ABSENT);
    assert_int_equal(commit(&c, 1).code, 0);
    c = del("nothing", 1);
    assert_int_equal(commit(&c, 1).code, GTM_ECONFLICT);
}

static void a_commit_is_all_or_nothing(void **state)
{
    int64_t r = must_put("leader", "a");
    struct gtm_store_change good[] = {check("leader", r), put("verdict/www", "up", GTM_STORE_ANY),
                                      put("view/rev", "1", GTM_STORE_ABSENT)};
    struct outcome o = commit(good, 3);
    assert_int_equal(o.code, 0);
    assert_value("verdict/www", "up", o.revision);
    assert_value("view/rev", "1", o.revision);
    assert_value("leader", "a", r); /* a check writes nothing */
    struct gtm_store_change bad[] = {put("verdict/www", "down", GTM_STORE_ANY),
                                     del("view/rev", GTM_STORE_ANY), put("x", "1", GTM_STORE_ANY),
                                     check("leader", r + 1)};
    assert_int_equal(commit(bad, 4).code, GTM_ECONFLICT);
    assert_value("verdict/www", "up", o.revision);
    assert_value("view/rev", "1", o.revision);
    assert_value("x", NULL, 0);
    reopen();
    assert_list("", "leader=a;verdict/www=up;view/rev=1;");
}

static void bad_arguments_are_refused(void **state)
{
    char key[GTM_STORE_KEY_MAX + 2];
    memset(key, 'k', sizeof(key));
    key[GTM_STORE_KEY_MAX + 1] = '\0';
    static const char *const bad[] = {"", "/a", "a\nb", "a\x7f", "\xff", "a\xc3"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct gtm_store_change c = put(bad[i], "1", GTM_STORE_ANY);
        assert_int_equal(gtm_store_commit(store, &c, 1, NULL, NULL), GTM_EINVAL);
    }
    struct gtm_store_change c = put(key, "1", GTM_STORE_ANY);
    assert_int_equal(gtm_store_commit(store, &c, 1, NULL, NULL), GTM_EINVAL);
    key[GTM_STORE_KEY_MAX] = '\0';
    assert_int_equal(must_put(key, "1"), 1);
    c = put("k", "a\xff", GTM_STORE_ANY);
    assert_int_equal(gtm_store_commit(store, &c, 1, NULL, NULL), GTM_EINVAL);
    c = put("k", "a", GTM_STORE_ANY);
    c.value_len = 2; /* a NUL inside */
    assert_int_equal(gtm_store_commit(store, &c, 1, NULL, NULL), GTM_EINVAL);
    assert_int_equal(gtm_store_commit(store, &c, 0, NULL, NULL), GTM_EINVAL);
    struct gtm_store_change twice[] = {put("k", "1", GTM_STORE_ANY), check("k", 0)};
    assert_int_equal(gtm_store_commit(store, twice, 2, NULL, NULL), GTM_EINVAL);
    char *big = malloc(GTM_STORE_VALUE_MAX + 2);
    memset(big, 'v', GTM_STORE_VALUE_MAX + 1);
    big[GTM_STORE_VALUE_MAX + 1] = '\0';
    c = put("k", big, GTM_STORE_ANY);
    assert_int_equal(gtm_store_commit(store, &c, 1, NULL, NULL), GTM_ELIMIT);
    big[GTM_STORE_VALUE_MAX] = '\0';
    must_put("k", big);
    reopen();
    assert_value("k", big, 2);
    free(big);
    assert_int_equal(gtm_store_get(store, "/k", &(struct gtm_store_entry){0}), GTM_EINVAL);
}

static int stop_at_second(void *arg, const struct gtm_store_entry *entry)
{
    return ++*(int *)arg == 2 ? 42 : 0;
}

static void lists_are_sorted_and_can_be_stopped(void **state)
{
    must_put("b/2", "2");
    must_put("b/10", "10");
    must_put("a", "a");
    must_put("b", "b");
    must_put("c", "c");
    assert_list("b/", "b/10=10;b/2=2;");
    assert_list("b", "b=b;b/10=10;b/2=2;");
    assert_list("", "a=a;b=b;b/10=10;b/2=2;c=c;");
    assert_list("zz", "");
    int n = 0;
    assert_int_equal(gtm_store_list(store, "", stop_at_second, &n), 42);
    assert_int_equal(n, 2);
}

/* --- watches --- */

static struct gtm_buf seen;

static void on_change(void *arg, const struct gtm_store_entry *entry)
{
    gtm_buf_addf(&seen, "%s%s=%s@%lld;", (const char *)arg, entry->key,
                 entry->value ? entry->value : "-", (long long)entry->revision);
}

static struct gtm_store_watch *self_watch;
static void once(void *arg, const struct gtm_store_entry *entry)
{
    gtm_buf_adds(&seen, "once;");
    gtm_store_unwatch(store, self_watch);
}

static void watches_see_changes_in_order(void **state)
{
    struct gtm_store_watch *all = gtm_store_watch(store, "", on_change, (char[]){"all:"});
    struct gtm_store_watch *some = gtm_store_watch(store, "b/", on_change, (char[]){"b:"});
    self_watch = gtm_store_watch(store, "", once, NULL);
    gtm_buf_clear(&seen);
    must_put("b/1", "x");
    assert_string_equal(seen.data, "all:b/1=x@1;b:b/1=x@1;once;");
    gtm_buf_clear(&seen);
    struct gtm_store_change many[] = {put("a", "1", GTM_STORE_ANY), del("b/1", GTM_STORE_ANY),
                                      del("never", GTM_STORE_ANY), check("c", 0)};
    assert_int_equal(commit(many, 4).code, 0);
    assert_string_equal(seen.data, "all:a=1@2;all:b/1=-@2;b:b/1=-@2;");
    gtm_store_unwatch(store, all);
    gtm_store_unwatch(store, NULL);
    gtm_buf_clear(&seen);
    struct gtm_store_change conflict = put("b/1", "y", 99);
    assert_int_equal(commit(&conflict, 1).code, GTM_ECONFLICT);
    assert_int_equal(seen.len, 0);
    must_put("b/1", "y");
    assert_string_equal(seen.data, "b:b/1=y@3;");
    gtm_store_unwatch(store, some);
    must_put("b/1", "z");
    assert_string_equal(seen.data, "b:b/1=y@3;");
    gtm_buf_fini(&seen);
}

/* Many commits at once share a write; each is judged against those before it. */
static void queued_commits_are_judged_in_order(void **state)
{
    enum { N = 200 };
    static struct outcome o[N + 2];
    memset(o, 0, sizeof(o));
    gtm_store_watch(store, "", on_change, (char[]){""});
    char value[16];
    for (int i = 0; i < N; i++) {
        snprintf(value, sizeof(value), "%d", i);
        struct gtm_store_change c =
            put("counter", value, i); /* i = the revision of the one before */
        assert_int_equal(gtm_store_commit(store, &c, 1, done, &o[i]), 0);
    }
    struct gtm_store_change late = put("counter", "late", 5);
    assert_int_equal(gtm_store_commit(store, &late, 1, done, &o[N]), 0);
    o[N + 1].stop = true;
    struct gtm_store_change last = put("last", "1", GTM_STORE_ABSENT);
    assert_int_equal(gtm_store_commit(store, &last, 1, done, &o[N + 1]), 0);
    assert_int_equal(gtm_loop_run(loop), 0);
    for (int i = 0; i < N; i++) {
        assert_int_equal(o[i].code, 0);
        assert_int_equal(o[i].revision, i + 1);
        assert_int_equal(o[i].calls, 1);
    }
    assert_int_equal(o[N].code, GTM_ECONFLICT);
    assert_int_equal(o[N + 1].revision, N + 1);
    assert_value("counter", "199", N);
    assert_non_null(strstr(seen.data, "counter=199@200;last=1@201;"));
    gtm_buf_fini(&seen);
}

static void commits_are_bounded(void **state)
{
    struct gtm_store_change c = put("k", "1", GTM_STORE_ANY);
    int rc = 0;
    unsigned n = 0;
    while ((rc = gtm_store_commit(store, &c, 1, NULL, NULL)) == 0 && n < 5000)
        n++;
    assert_int_equal(rc, GTM_ELIMIT);
    assert_in_range(n, GTM_STORE_PENDING_MAX, GTM_STORE_PENDING_MAX + 1);
    close_store(); /* finishes them all */
    assert_int_equal(open_store(), 0);
    assert_value("k", "1", n);
}

static void the_store_is_bounded(void **state)
{
    struct gtm_store_change changes[GTM_STORE_CHANGES_MAX];
    static char keys[GTM_STORE_CHANGES_MAX][32];
    struct outcome o = {0};
    for (unsigned k = 0; o.code == 0 && k < 20000;) {
        for (unsigned i = 0; i < 100; i++, k++) {
            snprintf(keys[i], sizeof(keys[i]), "key/%05u", k);
            changes[i] = put(keys[i], "v", GTM_STORE_ABSENT);
        }
        o = commit(changes, 100);
    }
    assert_int_equal(o.code, GTM_ELIMIT);
    struct gtm_store_status status;
    gtm_store_status(store, &status);
    assert_int_equal(status.keys, GTM_STORE_FILE_KEYS_MAX);
    assert_int_equal(status.bytes, GTM_STORE_FILE_KEYS_MAX * 10);
    struct gtm_store_change swap[] = {del("key/00000", 1), put("other", "v", GTM_STORE_ABSENT)};
    assert_int_equal(commit(swap, 2).code, 0); /* full, but not fuller */
    reopen();
    gtm_store_status(store, &status);
    assert_int_equal(status.keys, GTM_STORE_FILE_KEYS_MAX);
}

static struct outcome from_callback;
static void commit_again(void *arg, const struct gtm_store_result *result)
{
    struct gtm_store_change c = put("second", "1", GTM_STORE_ANY);
    *(int *)arg = gtm_store_commit(store, &c, 1, done, &from_callback);
}

static void callbacks_may_commit(void **state)
{
    int rc = -1;
    from_callback = (struct outcome){.stop = true};
    struct gtm_store_change c = put("first", "1", GTM_STORE_ANY);
    assert_int_equal(gtm_store_commit(store, &c, 1, commit_again, &rc), 0);
    assert_int_equal(gtm_loop_run(loop), 0);
    assert_int_equal(rc, 0);
    assert_int_equal(from_callback.revision, 2);
    /* but not while closing */
    assert_int_equal(gtm_store_commit(store, &c, 1, commit_again, &rc), 0);
    close_store();
    assert_int_equal(rc, GTM_ESTATE);
    assert_int_equal(open_store(), 0);
    assert_value("first", "1", 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(what_is_put_is_there_after_a_restart),
        STORE_TEST(guards),
        STORE_TEST(a_commit_is_all_or_nothing),
        STORE_TEST(bad_arguments_are_refused),
        STORE_TEST(lists_are_sorted_and_can_be_stopped),
        STORE_TEST(watches_see_changes_in_order),
        STORE_TEST(queued_commits_are_judged_in_order),
        STORE_TEST(commits_are_bounded),
        STORE_TEST(the_store_is_bounded),
        STORE_TEST(callbacks_may_commit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
