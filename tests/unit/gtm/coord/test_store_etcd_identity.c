/* SPDX-License-Identifier: Apache-2.0
 *
 * The saved copy of the store over etcd, and whose store it takes etcd to be.
 */
#include "store_etcd_fixture.h"

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
    struct gtm_store_change c = put("d/1", "2", -1);
    struct outcome o = commit(&c, 1);
    assert_int_equal(o.code, GTM_ESTATE);
    assert_string_equal(fake_get("d/1")->value, "\"theirs\"");
    o = (struct outcome){0};
    assert_int_equal(gtm_store_etcd_adopt(store, "uli", "moved", done, &o), 0);
    wait_done(&o);
    assert_int_equal(o.code, 0);
    wait_link(GTM_STORE_FRESH);
    assert_int_equal(info().epoch, 1);
    assert_int_equal(info().cluster_id, 88);
    assert_value("d/1", "\"theirs\"");
    close_store();
    assert_int_equal(open_store(), 0); /* and it is remembered */
    assert_int_equal(damage.code, 0);
    assert_int_equal(info().epoch, 1);
    assert_value("d/1", "\"theirs\"");
    wait_link(GTM_STORE_FRESH);
}

static void a_revision_that_went_back_is_refused(void **state)
{
    for (int i = 0; i < 5; i++)
        must_put("d/1", i % 2 ? "1" : "2");
    must_put("d/2", "1");
    close_store();
    fake_forget();
    fake.revision = 3;
    fake_write("d/1", "\"old\"");
    assert_int_equal(open_store(), 0);
    wait_link(GTM_STORE_REFUSED);
    assert_non_null(strstr(info().why, "went back"));
    assert_value("d/2", "1");
    run(1200); /* and stays so */
    assert_string_equal(links, "R");
    fake_write("store/id", "{\"v\":1,\"id\":\"x\",\"epoch\":1}");
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
    run(600);
    assert_int_equal(info().link, GTM_STORE_REFUSED);
    assert_non_null(strstr(info().why, "newer"));
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
