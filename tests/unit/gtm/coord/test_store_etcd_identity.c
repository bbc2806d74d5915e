/* SPDX-License-Identifier: Apache-2.0
 *
 * The saved copy of the store over etcd, and whose store it takes etcd to be.
 */
#include "store_etcd_fixture.h"

#include "gtm/coord/snapshot.h"

/* --- the saved copy --- */

static void a_restart_without_etcd_has_the_last_copy(void **state)
{
    int64_t at = must_put("d/1", "1");
    close_store();
    fake.code = ETCDC_E_CONNECT;
    assert_int_equal(open_store(), 0);
    assert_int_equal(damage.code, 0);
    assert_value("d/1", "1");
    assert_int_equal(info().revision, at);
    assert_int_equal(info().cluster_id, 77);
    assert_int_equal(info().link, GTM_STORE_CONNECTING);
    wait_link(GTM_STORE_AWAY);
    struct gtm_store_change c = put("d/1", "2", -1);
    struct outcome o = commit(&c, 1);
    assert_int_equal(o.code, GTM_EUNREACHABLE);
    assert_non_null(strstr(o.text, "nothing was changed"));
    fake.code = 0;
    wait_link(GTM_STORE_FRESH);
    assert_string_equal(links, "AF");
    must_put("d/1", "3");
}

static void a_damaged_copy_is_moved_aside(void **state)
{
    must_put("d/1", "1");
    close_store();
    char *text;
    size_t len;
    assert_int_equal(gtm_fs_read(file, 100000, &text, &len, NULL), 0);
    text[len / 2] ^= 1;
    assert_int_equal(gtm_fs_write_atomic(file, text, len, 0600, NULL), 0);
    fake.code = ETCDC_E_CONNECT;
    assert_int_equal(open_store(), 0);
    assert_int_equal(damage.code, GTM_ECORRUPT);
    assert_value("d/1", NULL);
    fake.code = 0;
    wait_link(GTM_STORE_FRESH);
    assert_value("d/1", "1");
    close_store();
    /* The text of a standalone store is not a copy of any cluster. */
    static const char alone[] = "{\"format\":1,\"revision\":0,\"keys\":0,\"sha256\":"
                                "\"\"}\n";
    assert_int_equal(gtm_fs_write_atomic(file, alone, sizeof(alone) - 1, 0600, NULL), 0);
    assert_int_equal(open_store(), 0);
    assert_int_equal(damage.code, GTM_ECORRUPT);
    gtm_free(text);
}

static void it_is_saved_while_it_runs(void **state)
{
    must_put("d/1", "\"saved\"");
    char *text = NULL;
    size_t len;
    for (int i = 0; i < 60 && !text; i++) {
        run(100);
        if (gtm_fs_read(file, 100000, &text, &len, NULL) == 0 && !strstr(text, "saved")) {
            gtm_free(text);
            text = NULL;
        }
    }
    assert_non_null(text);
    gtm_free(text);
}

static void the_folder_is_locked_and_handed_over(void **state)
{
    struct gtm_store *first = store, *second = NULL;
    assert_int_equal(open_store(), GTM_ESTATE);
    store = first;
    int fd = gtm_store_etcd_pause(store);
    assert_true(fd >= 0);
    struct outcome o = {0};
    struct gtm_store_change c = put("d/1", "1", -1);
    assert_int_equal(gtm_store_commit(store, &c, 1, done, &o), 0);
    run(50);
    assert_int_equal(o.calls, 0);
    assert_null(fake_get("d/1"));
    struct gtm_error err = {0};
    struct gtm_store_etcd_opts opts = {
        .loop = loop, .client = (struct etcdc *)&fake, .data_dir = dir, .node = "us-1"};
    assert_int_equal(gtm_store_etcd_open(&opts, dup(fd), &second, &damage, &err), 0);
    gtm_store_close(second);
    fake.watch = NULL; /* the fake has one watch; the first's is gone with the second's */
    gtm_store_etcd_resume(store);
    for (int i = 0; i < 600 && !o.calls; i++)
        run(5);
    assert_int_equal(o.calls, 1);
    assert_non_null(fake_get("d/1"));
}

/* --- whose store it is --- */

static void another_cluster_is_refused_until_adopted(void **state)
{
    must_put("d/1", "1");
    close_store();
    fake_forget();
    fake.cluster = 88;
    fake_write("d/1", "\"theirs\"");
    assert_int_equal(open_store(), 0);
    wait_link(GTM_STORE_REFUSED);
    assert_non_null(strstr(info().why, "another cluster"));
    assert_value("d/1", "1");
    run(600);
    assert_null(fake_get("store/id")); /* nobody marks what is not ours */
    struct gtm_store_change c = put("d/1", "2", -1);
    struct outcome o = commit(&c, 1);
    assert_int_equal(o.code, GTM_ESTATE);
    assert_string_equal(fake_get("d/1")->value, "\"theirs\"");
    o = (struct outcome){0};
    assert_int_equal(gtm_store_etcd_adopt(store, "uli", "moved", done, &o), 0);
    wait_done(&o);
    assert_int_equal(o.code, 0);
    wait_link(GTM_STORE_FRESH);
    assert_int_equal(info().epoch, 2);
    assert_int_equal(info().cluster_id, 88);
    assert_value("d/1", "\"theirs\"");
    close_store();
    assert_int_equal(open_store(), 0); /* and it is remembered */
    assert_int_equal(damage.code, 0);
    assert_int_equal(info().epoch, 2);
    assert_value("d/1", "\"theirs\"");
    wait_link(GTM_STORE_FRESH);
}

static void a_revision_that_went_back_is_refused(void **state)
{
    for (int i = 0; i < 5; i++)
        must_put("d/1", i % 2 ? "1" : "2");
    must_put("d/2", "1");
    close_store();
    char *same = gtm_strdup(fake_get("store/id")->value); /* a backup has it too */
    fake_forget();
    fake.revision = 3;
    fake_write("store/id", same);
    gtm_free(same);
    fake_write("d/1", "\"old\"");
    assert_int_equal(open_store(), 0);
    wait_link(GTM_STORE_REFUSED);
    assert_non_null(strstr(info().why, "went back"));
    assert_value("d/2", "1");
    run(1200); /* and stays so */
    assert_string_equal(links, "R");
    fake_write("store/id", "{\"v\":1,\"id\":\"x\",\"epoch\":2}");
    wait_link(GTM_STORE_FRESH);
    assert_value("d/1", "\"old\"");
    assert_value("d/2", NULL);
    run(100);
    assert_int_equal(info().link, GTM_STORE_FRESH);
    must_put("d/3", "1");
    close_store();
    assert_int_equal(open_store(), 0);
    assert_int_equal(damage.code, 0);
    wait_link(GTM_STORE_FRESH);
}

static void it_is_noticed_while_it_runs(void **state)
{
    for (int i = 0; i < 5; i++)
        must_put("d/1", i % 2 ? "1" : "2");
    fake_forget();
    fake.revision = 2; /* the stream says nothing */
    for (int i = 0; i < 70 && info().link == GTM_STORE_FRESH; i++)
        run(100);
    assert_int_equal(info().link, GTM_STORE_REFUSED);
    assert_value("d/1", "2");
}

static void a_restore_holds_every_node(void **state)
{
    must_put("d/1", "1");
    fake_write("store/id", "{\"v\":1,\"id\":\"x\",\"epoch\":3,\"restoring\":true}");
    fake_write("d/1", "\"half\"");
    wait_link(GTM_STORE_REFUSED);
    assert_value("d/1", "1");
    run(1200);
    assert_int_equal(info().link, GTM_STORE_REFUSED);
    assert_non_null(strstr(info().why, "being restored"));
    fake_write("d/2", "2");
    fake_write("store/id", "{\"v\":1,\"id\":\"x\",\"epoch\":3}");
    wait_link(GTM_STORE_FRESH);
    assert_value("d/1", "\"half\"");
    assert_value("d/2", "2");
    assert_int_equal(info().epoch, 3);
    /* An epoch that falls, or is gone, is a store from before. */
    fake_write("store/id", "{\"v\":1,\"id\":\"x\",\"epoch\":2}");
    wait_link(GTM_STORE_REFUSED);
    assert_non_null(strstr(info().why, "epoch"));
    fake_write("store/id", "{\"v\":1,\"id\":\"x\",\"epoch\":3}");
    wait_link(GTM_STORE_FRESH);
    fake_write("store/id", NULL);
    wait_link(GTM_STORE_REFUSED);
    fake_write("store/id", "{\"v\":2}");
    run(1200);
    assert_int_equal(info().link, GTM_STORE_REFUSED);
    assert_non_null(strstr(info().why, "newer"));
}

/* etcd was wiped and its members started again with the same flags: the cluster is the same, and
 * in time its revision is higher. */
static void wipe(int64_t revision)
{
    fake_forget();
    fake.revision = revision;
    fake_write("d/1", "\"new\"");
}

static void a_store_made_anew_is_refused_until_adopted(void **state)
{
    assert_int_equal(info().epoch, 1);
    assert_non_null(strstr(fake_get("store/id")->value, "us-1"));
    must_put("d/1", "1");
    close_store();
    wipe(1000);
    assert_int_equal(open_store(), 0);
    wait_link(GTM_STORE_REFUSED);
    assert_non_null(strstr(info().why, "store/id"));
    run(600);
    assert_null(fake_get("store/id"));
    fake_write("store/id", "{\"v\":1,\"id\":\"x\",\"epoch\":1}"); /* by a node without a copy */
    run(1200);
    assert_string_equal(links, "R");
    assert_non_null(strstr(info().why, "another store of the same epoch"));
    assert_value("d/1", "1");
    struct gtm_store_change c = put("d/1", "2", -1);
    assert_int_equal(commit(&c, 1).code, GTM_ESTATE);
    struct outcome o = {0};
    assert_int_equal(gtm_store_etcd_adopt(store, "uli", "new disks", done, &o), 0);
    wait_done(&o);
    assert_int_equal(o.code, 0);
    wait_link(GTM_STORE_FRESH);
    assert_int_equal(info().epoch, 2);
    assert_value("d/1", "\"new\"");
}

static void another_id_is_noticed_while_it_runs(void **state)
{
    must_put("d/1", "1");
    char *mine = gtm_strdup(fake_get("store/id")->value);
    fake_write("store/id", "{\"v\":1,\"epoch\":1}"); /* no id says nothing */
    run(50);
    assert_int_equal(info().link, GTM_STORE_FRESH);
    fake_write("store/id", "{\"v\":1,\"id\":\"x\",\"epoch\":1}");
    wait_link(GTM_STORE_REFUSED); /* by the watch */
    run(1200);
    assert_int_equal(info().link, GTM_STORE_REFUSED);
    assert_non_null(strstr(info().why, "another store of the same epoch"));
    fake_write("store/id", mine);
    gtm_free(mine);
    wait_link(GTM_STORE_FRESH);
    /* And where the watch says nothing. */
    wipe(1000);
    fake.watch_held = true;
    fake_write("store/id", "{\"v\":1,\"id\":\"x\",\"epoch\":1}");
    for (int i = 0; i < 70 && info().link == GTM_STORE_FRESH; i++)
        run(100);
    assert_int_equal(info().link, GTM_STORE_REFUSED);
    assert_value("d/1", "1");
}

/* A node of before had no ids: it takes the one that is there, whoever made it, and keeps it. */
static void a_copy_from_before_takes_the_id(void **state)
{
    static const char about[] = "{\"cluster\":\"4d\",\"epoch\":1}";
    int64_t at = must_put("d/1", "1");
    close_store();
    struct gtm_buf body = {0};
    coord__snapshot_add(
        &body, &(struct coord__record){
                   .key = "!copy", .value = about, .value_len = sizeof(about) - 1, .revision = at});
    size_t len;
    char *text = coord__snapshot_finish(&body, at, 1, &len);
    assert_int_equal(gtm_fs_write_atomic(file, text, len, 0600, NULL), 0);
    gtm_free(text);
    assert_int_equal(open_store(), 0);
    assert_int_equal(damage.code, 0);
    assert_int_equal(info().epoch, 1);
    assert_value("d/1", NULL);
    wait_link(GTM_STORE_FRESH);
    assert_value("d/1", "1");
    close_store();
    wipe(1000);
    fake_write("store/id", "{\"v\":1,\"id\":\"x\",\"epoch\":1}");
    assert_int_equal(open_store(), 0);
    wait_link(GTM_STORE_REFUSED);
    assert_non_null(strstr(info().why, "another store of the same epoch"));
}

static void another_writes_first(void *arg, const struct gtm_store_entry *entry)
{
    if (!fake_get("store/id"))
        fake_write("store/id", "{\"v\":1,\"id\":\"x\",\"epoch\":1}");
}

/* Two nodes find a store without an id at once: the first one's is everybody's. */
static void who_comes_second_takes_what_is_there(void **state)
{
    close_store();
    assert_int_equal(unlink(file), 0);
    wipe(1);
    assert_int_equal(open_store(), 0);
    struct gtm_store_watch *watch = gtm_store_watch(store, "d/", another_writes_first, NULL);
    unsigned before = fake.commits;
    wait_ours();
    run(600); /* the next question */
    gtm_store_unwatch(store, watch);
    assert_true(fake.commits > before); /* it was tried */
    must_put("d/2", "1");
    assert_string_equal(links, "F");
    assert_string_equal(fake_get("store/id")->value, "{\"v\":1,\"id\":\"x\",\"epoch\":1}");
}

/* The write fails: the next question tries again. */
static void a_store_gets_its_id_in_the_end(void **state)
{
    close_store();
    fake_forget();
    assert_int_equal(unlink(file), 0);
    fake.loss = FAKE_LOST_BEFORE;
    fake.losses = 2; /* the write, and the question what became of it */
    assert_int_equal(open_store(), 0);
    for (int i = 0; i < 4000 && fake.losses; i++)
        run(1);
    assert_null(fake_get("store/id"));
    wait_ours();
    must_put("d/1", "1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OPEN_TEST(a_restart_without_etcd_has_the_last_copy),
        OPEN_TEST(a_damaged_copy_is_moved_aside),
        OPEN_TEST(it_is_saved_while_it_runs),
        OPEN_TEST(the_folder_is_locked_and_handed_over),
        OPEN_TEST(another_cluster_is_refused_until_adopted),
        OPEN_TEST(a_revision_that_went_back_is_refused),
        OPEN_TEST(it_is_noticed_while_it_runs),
        OPEN_TEST(a_restore_holds_every_node),
        OPEN_TEST(a_store_made_anew_is_refused_until_adopted),
        OPEN_TEST(another_id_is_noticed_while_it_runs),
        OPEN_TEST(a_copy_from_before_takes_the_id),
        OPEN_TEST(who_comes_second_takes_what_is_there),
        OPEN_TEST(a_store_gets_its_id_in_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
