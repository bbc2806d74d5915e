/* SPDX-License-Identifier: Apache-2.0
 *
 * The store over etcd, against an etcd in memory that can do what the real one does only seldom:
 * lose an answer, do a thing late, hold events back.
 */
#include "store_etcd_fixture.h"

#include <sys/stat.h>

/* --- the copy and commits --- */

static void reads_watches_and_done_agree(void **state)
{
    assert_string_equal(links, "F");
    int64_t first = must_put("d/1", "1");
    assert_value("d/1", "1");
    struct gtm_store_change two[] = {put("d/1", "2", first),
                                     put("d/2", "{\"v\":1}", GTM_STORE_ABSENT)};
    struct outcome o = commit(two, 2);
    assert_int_equal(o.code, 0);
    assert_true(o.revision > first);
    assert_value("d/2", "{\"v\":1}"); /* at once: done comes after the copy has it */
    o = commit(two, 2);
    assert_int_equal(o.code, GTM_ECONFLICT);
    assert_non_null(strstr(o.text, "d/1 is at revision"));
    struct gtm_store_change gone = del("d/1", GTM_STORE_ANY);
    assert_int_equal(commit(&gone, 1).code, 0);
    assert_value("d/1", NULL);
    assert_int_equal(commit(&gone, 1).code, 0); /* once more is fine */
    gone.expect = 5;
    assert_int_equal(commit(&gone, 1).code, GTM_ECONFLICT);
    /* A key that is not mirrored is written all the same. */
    must_put("audit/1", "1");
    assert_value("audit/1", NULL);
    assert_non_null(fake_get("audit/1"));
}

static struct gtm_buf seen;
static void on_change(void *arg, const struct gtm_store_entry *e)
{
    gtm_buf_addf(&seen, "%s%s%s ", e->key, e->value ? "=" : "-", e->value ? e->value : "");
}

static void watches_see_whole_transactions(void **state)
{
    struct gtm_store_watch *w = gtm_store_watch(store, "d/", on_change, NULL);
    fake.watch_held = true;
    struct gtm_store_change two[] = {put("d/b", "1", -1), put("d/a", "1", -1), put("e", "1", -1)};
    struct outcome o = {0};
    assert_int_equal(gtm_store_commit(store, two, 3, done, &o), 0);
    run(50);
    assert_int_equal(o.calls, 0); /* etcd has it, the copy has not */
    assert_non_null(fake_get("d/a"));
    assert_value("d/a", NULL);
    /* Events without the end of their revision change nothing. */
    struct etcdc_kv kv = {
        .key = etcdc_str("/gtm/v1/d/x"), .value = etcdc_str("9"), .mod_revision = fake.revision};
    fake_give(&fake.watch, ETCDC_PUT, &kv, fake.revision);
    assert_value("d/x", NULL);
    assert_int_equal(seen.len, 0);
    fake.watch_held = false;
    gtm_timer_start(fake.timer, 0);
    wait_done(&o);
    assert_int_equal(o.code, 0);
    assert_string_equal(seen.data, "d/a=1 d/b=1 d/x=9 ");
    gtm_buf_clear(&seen);
    fake_write("d/a", NULL);
    fake_write("d/b", "2");
    run(20);
    assert_string_equal(seen.data, "d/a- d/b=2 ");
    gtm_store_unwatch(store, w);
    gtm_buf_fini(&seen);
}

static void done_does_not_wait_for_ever(void **state)
{
    fake.watch_held = true;
    struct gtm_store_change c = put("d/1", "1", -1);
    struct outcome o = commit(&c, 1);
    assert_int_equal(o.code, 0);
    assert_value("d/1", NULL);
}

static void leased_keys_need_a_session(void **state)
{
    struct gtm_store_change c = put("obs/us-1/www", "1", -1);
    c.leased = true;
    assert_int_equal(commit(&c, 1).code, GTM_ESTATE);
    gtm_store_etcd_lease(store, 4711);
    assert_int_equal(commit(&c, 1).code, 0);
    assert_int_equal(fake_get("obs/us-1/www")->lease, 4711);
    must_put("d/1", "1");
    assert_int_equal(fake_get("d/1")->lease, 0);
}

/* --- answers that are lost --- */

static void a_lost_answer_is_looked_up(void **state)
{
    must_put("d/1", "1");
    fake.loss = FAKE_LOST_AFTER;
    fake.losses = 1;
    struct gtm_store_change c = put("d/1", "2", -1);
    struct outcome o = commit(&c, 1);
    assert_int_equal(o.code, 0); /* it has happened */
    assert_int_equal(o.revision, fake_get("d/1")->mod);
    assert_value("d/1", "2");

    fake.loss = FAKE_LOST_BEFORE;
    fake.losses = 1;
    c = put("d/1", "3", -1);
    o = commit(&c, 1);
    assert_int_equal(o.code, GTM_ETIMEOUT); /* it has not */
    assert_non_null(strstr(o.text, "nothing was changed"));
    assert_value("d/1", "2");

    /* The question itself is lost, twice. */
    fake.loss = FAKE_LOST_AFTER;
    fake.losses = 3;
    c = put("d/1", "4", -1);
    o = commit(&c, 1);
    assert_int_equal(o.code, 0);
    assert_value("d/1", "4");
    fake.loss = FAKE_LOST_BEFORE;
    fake.losses = 3;
    c = put("d/1", "5", -1);
    assert_int_equal(commit(&c, 1).code, GTM_ETIMEOUT);
    must_put("d/1", "6");
    assert_value("d/1", "6");
}

static void what_was_said_not_to_happen_never_does(void **state)
{
    must_put("d/1", "1");
    fake.loss = FAKE_LATE;
    fake.losses = 1;
    struct gtm_store_change c = put("d/1", "late", -1);
    c.value = "\"late\"";
    c.value_len = 6;
    struct outcome o = commit(&c, 1);
    assert_int_equal(o.code, GTM_ETIMEOUT);
    fake_land();
    run(20);
    assert_value("d/1", "1");
}

static void unanswered_questions_end(void **state)
{
    fake.loss = FAKE_LOST_BEFORE;
    fake.losses = 10000;
    struct gtm_store_change c = put("d/1", "1", -1);
    struct outcome o = commit(&c, 1); /* 10 s */
    assert_int_equal(o.code, GTM_EIO);
    assert_non_null(strstr(o.text, "may have happened"));
    fake.losses = 0;
    must_put("d/1", "2");
}

static void order_is_kept_for_a_key(void **state)
{
    struct outcome o[3] = {0};
    struct gtm_store_change a = put("d/1", "1", -1), b = put("d/1", "2", -1),
                            other = put("d/2", "3", -1);
    fake.loss = FAKE_LATE; /* the first hangs until it is settled */
    fake.losses = 1;
    assert_int_equal(gtm_store_commit(store, &other, 1, NULL, NULL), 0);
    fake.losses = 0;
    assert_int_equal(gtm_store_commit(store, &a, 1, done, &o[0]), 0);
    assert_int_equal(gtm_store_commit(store, &b, 1, done, &o[1]), 0);
    wait_done(&o[1]);
    assert_int_equal(o[0].calls, 1);
    assert_true(o[0].revision < o[1].revision);
    assert_value("d/1", "2");
}

static void a_slot_used_before_is_learned(void **state)
{
    must_put("d/1", "1");
    close_store();
    assert_int_equal(open_store(), 0);
    wait_link(GTM_STORE_FRESH);
    unsigned before = fake.commits;
    must_put("d/1", "2");
    assert_int_equal(fake.commits, before + 2); /* refused once, for the slot; then right */
    must_put("d/1", "3");
    assert_int_equal(fake.commits, before + 3);
}

static void failures_are_worded(void **state)
{
    static const struct {
        int etcdc, gtm;
    } cases[] = {{ETCDC_E_NO_SPACE, GTM_ENOSPACE},
                 {ETCDC_E_DENIED, GTM_EDENIED},
                 {ETCDC_E_TOO_LARGE, GTM_ELIMIT},
                 {ETCDC_E_LEASE_NOT_FOUND, GTM_ESTATE},
                 {ETCDC_E_NO_LEADER, GTM_EUNREACHABLE}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fake.code = cases[i].etcdc;
        struct gtm_store_change c = put("d/1", "1", -1);
        struct outcome o = commit(&c, 1);
        assert_int_equal(o.code, cases[i].gtm);
        assert_non_null(strstr(o.text, etcdc_text(cases[i].etcdc)));
    }
    fake.code = 0;
    must_put("d/1", "1");
    char *big = gtm_malloc(GTM_STORE_VALUE_MAX + 1);
    memset(big, '1', GTM_STORE_VALUE_MAX + 1);
    struct gtm_store_change c = {GTM_STORE_PUT, "d/2", big, GTM_STORE_VALUE_MAX + 1, -1, false};
    assert_int_equal(gtm_store_commit(store, &c, 1, NULL, NULL), GTM_ELIMIT);
    gtm_free(big);
}

static void closing_tells_the_truth(void **state)
{
    struct outcome sent = {0}, queued = {0}, shown = {0};
    struct gtm_store_change a = put("d/1", "1", -1), b = put("d/1", "2", -1),
                            c = put("d/2", "1", -1);
    fake.watch_held = true;
    assert_int_equal(gtm_store_commit(store, &c, 1, done, &shown), 0);
    run(30); /* etcd has answered; the copy has not */
    assert_int_equal(gtm_store_commit(store, &a, 1, done, &sent), 0);
    assert_int_equal(gtm_store_commit(store, &b, 1, done, &queued), 0);
    fake.loss = FAKE_LOST_BEFORE;
    fake.losses = 1000;
    run(20);
    close_store();
    assert_int_equal(shown.calls, 1);
    assert_int_equal(shown.code, 0);
    assert_int_equal(sent.calls, 1);
    assert_int_equal(queued.calls, 1);
    assert_int_equal(queued.code, GTM_ESTATE);
    assert_true(sent.code == GTM_EIO);
    assert_non_null(strstr(sent.text, "may have happened"));
}

/* --- objects that are not ours --- */

static void aliens_are_left_out_and_named(void **state)
{
    must_put("d/1", "{\"v\":1}");
    fake_write("d/1", "{\"v\":2}");
    run(20);
    assert_value("d/1", "{\"v\":1}"); /* the older copy stays */
    assert_int_equal(info().alien, 1);
    assert_string_equal(info().alien_key, "d/1");
    assert_string_equal(info().alien_why, "is of a newer format");
    fake_write("d/2", "hello");
    fake_write("d/3", "{\"v\":\"x\"}");
    run(20);
    assert_value("d/2", NULL);
    assert_int_equal(info().alien, 3);
    char *big = gtm_malloc(GTM_STORE_VALUE_MAX + 10);
    memset(big, '1', GTM_STORE_VALUE_MAX + 9);
    big[GTM_STORE_VALUE_MAX + 9] = '\0';
    fake_write("d/4", big);
    gtm_free(big);
    fake_write("d/\x01", "1");
    run(20);
    assert_int_equal(info().alien, 5);
    must_put("e", "1"); /* the rest goes on */
    fake_write("d/1", "{\"v\":1,\"x\":1}");
    fake_write("d/2", NULL);
    fake_write("d/3", "3");
    fake_write("d/4", NULL);
    fake_write("d/\x01", NULL);
    run(20);
    assert_int_equal(info().alien, 0);
    assert_value("d/1", "{\"v\":1,\"x\":1}");
    assert_value("d/3", "3");
}

static void an_alien_in_a_listing_keeps_the_older_copy(void **state)
{
    must_put("d/1", "1");
    must_put("d/2", "1");
    close_store();
    fake_write("d/1", "{\"v\":7}");
    fake_write("d/2", NULL);
    assert_int_equal(open_store(), 0);
    assert_value("d/2", "1"); /* the saved copy */
    assert_true(info().saved_copy);
    wait_link(GTM_STORE_FRESH);
    assert_value("d/1", "1");
    assert_value("d/2", NULL);
    assert_int_equal(info().alien, 1);
    assert_false(info().saved_copy);
}

/* A member that was cut off gives what it still gets; that is no word of a quorum. */
static void what_a_stale_watch_brings_is_no_link(void **state)
{
    must_put("d/1", "1");
    fake_give(&fake.watch, ETCDC_STALE, NULL, 0);
    assert_int_equal(info().link, GTM_STORE_AWAY);
    fake_write("d/1", "2");
    run(50);
    assert_value("d/1", "2");
    assert_int_equal(info().link, GTM_STORE_AWAY);
    fake_give(&fake.watch, ETCDC_FRESH, NULL, 0);
    assert_int_equal(info().link, GTM_STORE_FRESH);
    fake_write("d/1", "3");
    run(50);
    assert_int_equal(info().link, GTM_STORE_FRESH);
}

static void what_cannot_be_saved_is_said_and_tried_again(void **state)
{
    char *text;
    size_t len;
    must_put("d/1", "1");
    (void)!unlink(file);
    assert_int_equal(mkdir(file, 0700), 0); /* nothing can be renamed to it */
    gtm_store_etcd_pause(store);            /* saves first */
    gtm_store_etcd_resume(store);
    assert_non_null(strstr(info().unsaved, GTM_STORE_CACHE_FILE));
    int64_t since_ms = info().unsaved_since_ms;
    assert_true(since_ms > 0);
    run(5);
    gtm_store_etcd_pause(store);
    gtm_store_etcd_resume(store);
    assert_int_equal(info().unsaved_since_ms, since_ms);
    assert_int_equal(rmdir(file), 0);
    gtm_store_etcd_pause(store); /* though nothing has changed */
    gtm_store_etcd_resume(store);
    assert_string_equal(info().unsaved, "");
    assert_int_equal(gtm_fs_read(file, 100000, &text, &len, NULL), 0);
    assert_non_null(strstr(text, "d/1"));
    gtm_free(text);
}

static void memory_may_fail_anywhere(void **state)
{
    int good = 0;
    for (unsigned n = 1; n < 60; n++) {
        struct outcome o = {0};
        struct gtm_store_change c = put(n % 2 ? "d/1" : "d/2", "1", -1);
        gtm_mem_fail_at(n, 0);
        int rc = gtm_store_commit(store, &c, 1, done, &o);
        for (int i = 0; rc == 0 && i < 3000 && !o.calls; i++)
            run(1);
        gtm_mem_fail_at(0, 0);
        if (rc == 0)
            assert_int_equal(o.calls, 1);
        good += rc == 0 && o.code == 0;
    }
    assert_true(good > 20);
    wait_link(GTM_STORE_FRESH);
    must_put("d/3", "1");
    assert_value("d/3", "1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OPEN_TEST(reads_watches_and_done_agree),
        OPEN_TEST(watches_see_whole_transactions),
        OPEN_TEST(done_does_not_wait_for_ever),
        OPEN_TEST(leased_keys_need_a_session),
        OPEN_TEST(a_lost_answer_is_looked_up),
        OPEN_TEST(what_was_said_not_to_happen_never_does),
        OPEN_TEST(unanswered_questions_end),
        OPEN_TEST(order_is_kept_for_a_key),
        OPEN_TEST(a_slot_used_before_is_learned),
        OPEN_TEST(failures_are_worded),
        OPEN_TEST(closing_tells_the_truth),
        OPEN_TEST(aliens_are_left_out_and_named),
        OPEN_TEST(an_alien_in_a_listing_keeps_the_older_copy),
        OPEN_TEST(what_a_stale_watch_brings_is_no_link),
        OPEN_TEST(what_cannot_be_saved_is_said_and_tried_again),
        OPEN_TEST(memory_may_fail_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
