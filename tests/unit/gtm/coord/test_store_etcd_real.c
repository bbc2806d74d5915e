/* SPDX-License-Identifier: Apache-2.0
 *
 * The store over a real etcd: commits, sessions, the election, the audit chain, snapshots.
 */
#include "etcd_real.h"

#include "gtm/coord/audit.h"

#include <sys/stat.h>

/* --- commits, fetches --- */

static void nodes_see_each_other(void **state)
{
    NEED_ETCD();
    open_all(2);
    int64_t at = must_put(&nodes[0], "d/1", "1");
    assert_true(has(&nodes[0], "d/1", "1")); /* at once */
    WAIT(has(&nodes[1], "d/1", "1"));
    struct gtm_store_change c = put("d/1", "2", at);
    assert_int_equal(commit(&nodes[1], &c, 1).code, 0);
    struct outcome o = commit(&nodes[0], &c, 1);
    assert_int_equal(o.code, GTM_ECONFLICT);
    assert_true(has(&nodes[0], "d/1", "2")); /* the conflict's reason is in the copy */
    /* As much as one commit can be, and one that etcd itself refuses. */
    struct gtm_store_change many[GTM_STORE_CHANGES_MAX];
    static char keys[GTM_STORE_CHANGES_MAX][16];
    for (size_t i = 0; i < GTM_STORE_CHANGES_MAX; i++) {
        snprintf(keys[i], sizeof(keys[i]), "many/%03zu", i);
        many[i] = put(keys[i], "1", GTM_STORE_ABSENT);
    }
    o = commit(&nodes[0], many, GTM_STORE_CHANGES_MAX);
    assert_string_equal(o.text, "");
    assert_int_equal(commit(&nodes[0], many, GTM_STORE_CHANGES_MAX).code, GTM_ECONFLICT);
    char *big = gtm_malloc(GTM_STORE_VALUE_MAX);
    memset(big, '1', GTM_STORE_VALUE_MAX);
    for (size_t i = 0; i < 10; i++)
        many[i] = (struct gtm_store_change){GTM_STORE_PUT,       keys[i],       big,
                                            GTM_STORE_VALUE_MAX, GTM_STORE_ANY, false};
    assert_true(commit(&nodes[0], many, 10).code < 0);
    assert_int_equal(commit(&nodes[0], many, 2).code, 0);
    gtm_free(big);
}

struct got {
    struct gtm_buf keys;
    int code, calls;
    size_t count, value_bytes;
    int64_t revision; /* of the first */
    bool more;
};

static void on_fetch(void *arg, const struct gtm_store_fetched *f)
{
    struct got *g = arg;
    g->code = f->code;
    g->calls++;
    g->count = f->count;
    g->more = f->more;
    gtm_buf_clear(&g->keys);
    g->value_bytes = 0;
    g->revision = f->count ? f->entries[0].revision : 0;
    for (size_t i = 0; i < f->count; i++) {
        gtm_buf_addf(&g->keys, "%s ", f->entries[i].key);
        g->value_bytes += f->entries[i].value_len;
    }
    gtm_buf_adds(&g->keys, "");
}

static struct got fetch(const char *from, const char *to, size_t limit)
{
    struct got g = {0};
    assert_int_equal(gtm_store_fetch(nodes[0].store, from, to, limit, on_fetch, &g), 0);
    WAIT(g.calls);
    assert_int_equal(g.code, 0);
    return g;
}

static void what_is_not_mirrored_is_fetched(void **state)
{
    NEED_ETCD();
    open_all(1);
    struct gtm_store_change many[100];
    static char keys[300][16];
    for (size_t i = 0; i < 300; i++) {
        snprintf(keys[i], sizeof(keys[i]), "blob/%03zu", i);
        many[i % 100] = put(keys[i], "text", GTM_STORE_ANY);
        if (i % 100 == 99)
            assert_int_equal(commit(&nodes[0], many, 100).code, 0);
    }
    assert_null(value_at(&nodes[0], "blob/000"));
    struct got g = fetch("blob/", "blob0", 1000);
    assert_int_equal(g.count, 300);
    assert_false(g.more);
    assert_int_equal(strncmp(g.keys.data, "blob/000 blob/001 ", 18), 0);
    gtm_buf_fini(&g.keys);
    g = fetch("blob/", "blob0", 299);
    assert_int_equal(g.count, 299);
    assert_true(g.more);
    gtm_buf_fini(&g.keys);
    g = fetch("blob/007", NULL, 5);
    assert_string_equal(g.keys.data, "blob/007 ");
    assert_false(g.more);
    gtm_buf_fini(&g.keys);
    char *big = gtm_malloc(GTM_STORE_VALUE_MAX);
    memset(big, 'x', GTM_STORE_VALUE_MAX);
    for (size_t i = 0; i < 40; i++) {
        many[0] = (struct gtm_store_change){GTM_STORE_PUT,       keys[i],       big,
                                            GTM_STORE_VALUE_MAX, GTM_STORE_ANY, false};
        assert_int_equal(commit(&nodes[0], many, 1).code, 0);
    }
    gtm_free(big);
    g = fetch("blob/", "blob0", 1000);
    assert_int_equal(g.count, 31); /* 8 MiB */
    assert_true(g.more);
    gtm_buf_fini(&g.keys);
    /* Keys alone are small, however large their values. */
    struct got k = {0}, first = fetch("blob/000", NULL, 1);
    gtm_buf_fini(&first.keys);
    assert_int_equal(gtm_store_fetch_keys(nodes[0].store, "blob/", "blob0", 1000, on_fetch, &k), 0);
    WAIT(k.calls);
    assert_int_equal(k.code, 0);
    assert_int_equal(k.count, 300);
    assert_int_equal(k.value_bytes, 0);
    assert_int_equal(k.revision, first.revision);
    gtm_buf_fini(&k.keys);
}

/* --- sessions and the election --- */

static unsigned changes;
static void on_change(void *arg)
{
    changes++;
}

static void stand(struct node *node, bool candidate)
{
    node->leader = gtm_leader_new(&(struct gtm_leader_opts){.loop = loop,
                                                            .client = node->client,
                                                            .store = node->store,
                                                            .node = node->name,
                                                            .region = "here",
                                                            .candidate = candidate,
                                                            .ttl_s = 2,
                                                            .on_change = on_change});
    assert_non_null(node->leader);
}

static bool leads(const struct node *node)
{
    return gtm_leader_role(node->leader) == GTM_LEADER_LEADS;
}

static void one_leads_and_guards_hold(void **state)
{
    NEED_ETCD();
    open_all(2);
    changes = 0;
    stand(&nodes[0], true);
    WAIT(leads(&nodes[0]));
    stand(&nodes[1], true);
    WAIT(gtm_leader_role(nodes[1].leader) == GTM_LEADER_FOLLOWS);
    assert_true(changes >= 3);
    assert_true(gtm_leader_valid(nodes[0].leader, 500));
    assert_false(gtm_leader_valid(nodes[1].leader, 0));
    struct gtm_leader_info who;
    WAIT((gtm_leader_info(nodes[1].store, &who), strcmp(who.node, "node-0") == 0));
    assert_string_equal(who.region, "here");
    assert_int_equal(who.fence, gtm_leader_fence(nodes[0].leader));
    assert_true(who.since_ms > 0);

    struct gtm_store_change act[2] = {put("view/rev", "1", GTM_STORE_ANY)}, none;
    assert_int_equal(gtm_leader_guard(nodes[0].leader, &act[1]), 0);
    assert_int_equal(gtm_leader_guard(nodes[1].leader, &none), GTM_ESTATE);
    assert_int_equal(commit(&nodes[0], act, 2).code, 0);
    /* The same guard, kept by somebody who does not know that its time is over. */
    char *old_key = gtm_strdup(act[1].key);
    int64_t old_fence = act[1].expect;
    gtm_leader_resign(nodes[0].leader, 60000);
    assert_false(leads(&nodes[0]));
    WAIT(leads(&nodes[1]));
    assert_true(gtm_leader_fence(nodes[1].leader) > old_fence);
    act[1] =
        (struct gtm_store_change){.kind = GTM_STORE_CHECK, .key = old_key, .expect = old_fence};
    act[0] = put("view/rev", "2", GTM_STORE_ANY);
    assert_int_equal(commit(&nodes[0], act, 2).code, GTM_ECONFLICT);
    gtm_free(old_key);
    assert_true(has(&nodes[1], "view/rev", "1"));
    /* Nobody but who wants to. */
    gtm_leader_stand(nodes[1].leader, false);
    run(300);
    assert_int_equal(gtm_leader_role(nodes[1].leader), GTM_LEADER_NONE);
    gtm_leader_info(nodes[1].store, &who);
    assert_string_equal(who.node, "");
}

static void leased_keys_go_with_their_node(void **state)
{
    NEED_ETCD();
    open_all(2);
    stand(&nodes[0], false);
    WAIT(gtm_leader_lease(nodes[0].leader));
    run(20);
    struct gtm_store_change c = put("obs/node-0/www", "1", GTM_STORE_ANY);
    c.leased = true;
    assert_int_equal(commit(&nodes[0], &c, 1).code, 0);
    must_put(&nodes[0], "d/1", "1");
    WAIT(has(&nodes[1], "obs/node-0/www", "1"));
    gtm_leader_free(nodes[0].leader);
    nodes[0].leader = NULL;
    WAIT(has(&nodes[1], "obs/node-0/www", NULL));
    assert_true(has(&nodes[1], "d/1", "1"));
    assert_int_equal(commit(&nodes[0], &c, 1).code, GTM_ESTATE);
}

/* --- the audit chain between nodes --- */

static int audit_code;
static int64_t audit_last;
static void on_report(void *arg, const struct gtm_audit_report *r)
{
    audit_code = r->code;
    audit_last = r->last;
    if (r->code != 0)
        print_message("%s\n", r->err->text);
}

static void two_nodes_write_one_chain(void **state)
{
    NEED_ETCD();
    open_all(2);
    static struct outcome o[60];
    memset(o, 0, sizeof(o));
    for (int i = 0; i < 60; i++) {
        struct gtm_audit_entry entry = {.time_ms = i, .verb = "v", .subject = "s", .who = "w"};
        char key[16];
        snprintf(key, sizeof(key), "d/%d", i);
        struct gtm_store_change c = put(key, "1", GTM_STORE_ABSENT);
        assert_int_equal(gtm_audit_commit(nodes[i % 2].store, &entry, &c, 1, done, &o[i]), 0);
    }
    for (int i = 0; i < 60; i++) {
        WAIT(o[i].calls);
        assert_string_equal(o[i].text, "");
    }
    audit_code = 1;
    assert_int_equal(gtm_audit_verify_store(nodes[0].store, on_report, NULL), 0);
    WAIT(audit_code != 1);
    assert_int_equal(audit_code, 0);
    assert_int_equal(audit_last, 60);
    struct outcome p = {0};
    assert_int_equal(gtm_audit_prune(nodes[1].store, 20, NULL, done, &p), 0);
    WAIT(p.calls);
    assert_int_equal(p.code, 0);
    audit_code = 1;
    assert_int_equal(gtm_audit_verify_store(nodes[0].store, on_report, NULL), 0);
    WAIT(audit_code != 1);
    assert_int_equal(audit_code, 0);
}

/* --- snapshots --- */

static struct outcome save(struct node *node, const char *path)
{
    struct outcome o = {0};
    assert_int_equal(gtm_store_etcd_save(node->store, path, done, &o), 0);
    WAIT(o.calls);
    return o;
}

static struct outcome restore(struct node *node, const char *path)
{
    struct outcome o = {0};
    assert_int_equal(gtm_store_etcd_restore(node->store, path, "uli", "test", done, &o), 0);
    WAIT(o.calls);
    return o;
}

static void damaged_files_touch_nothing(const char *path, char *text, size_t len)
{
    char bad[160];
    snprintf(bad, sizeof(bad), "%s.bad", path);
    text[len / 2] ^= 1;
    assert_int_equal(gtm_fs_write_atomic(bad, text, len, 0600, NULL), 0);
    assert_int_equal(restore(&nodes[0], bad).code, GTM_ECORRUPT);
    assert_int_equal(restore(&nodes[0], "/nowhere/at/all").code, GTM_ENOTFOUND);
    assert_true(has(&nodes[0], "later/1", "1"));
    assert_int_equal(info_of(&nodes[0]).epoch, 1);
}

static void saved_changed_and_restored(void **state)
{
    NEED_ETCD();
    open_all(2);
    stand(&nodes[1], false);
    WAIT(gtm_leader_lease(nodes[1].leader));
    run(20);
    char path[128], key[32], value[32];
    snprintf(path, sizeof(path), "%s/snapshot", nodes[0].dir);
    struct gtm_store_change many[100];
    static char keys[250][16];
    for (int i = 0; i < 250; i++) {
        snprintf(keys[i], sizeof(keys[i]), "%s/%03d", i % 2 ? "blob" : "d", i);
        many[i % 50] = put(keys[i], "1", GTM_STORE_ANY);
        if (i % 50 == 49)
            assert_int_equal(commit(&nodes[0], many, 50).code, 0);
    }
    struct gtm_store_change leased = put("obs/node-1/www", "1", GTM_STORE_ANY);
    leased.leased = true;
    assert_int_equal(commit(&nodes[1], &leased, 1).code, 0);
    struct outcome o = save(&nodes[0], path);
    assert_string_equal(o.text, "");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    char *text;
    size_t len;
    assert_int_equal(gtm_fs_read(path, 1000000, &text, &len, NULL), 0);
    assert_null(strstr(text, "obs/node-1"));
    assert_null(strstr(text, "acts/"));
    assert_non_null(strstr(text, "blob/001"));

    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof(key), "d/%03d", i * 2);
        snprintf(value, sizeof(value), "%d", i);
        if (i < 50)
            must_put(&nodes[0], key, value);
    }
    must_put(&nodes[0], "later/1", "1");
    struct gtm_store_change gone = {.kind = GTM_STORE_DELETE, .key = "d/000", .expect = -1};
    assert_int_equal(commit(&nodes[0], &gone, 1).code, 0);

    damaged_files_touch_nothing(path, text, len);
    gtm_free(text);

    o = restore(&nodes[0], path);
    assert_string_equal(o.text, "");
    for (int n = 0; n < 2; n++) {
        WAIT(info_of(&nodes[n]).epoch == 2 && info_of(&nodes[n]).link == GTM_STORE_FRESH);
        WAIT(has(&nodes[n], "later/1", NULL));
        for (int i = 0; i < 250; i += 2)
            assert_true(has(&nodes[n], keys[i], "1"));
    }
    WAIT(has(&nodes[0], "obs/node-1/www", "1") || gtm_leader_lease(nodes[1].leader));
    struct got g = fetch("blob/", "blob0", 1000);
    assert_int_equal(g.count, 125);
    gtm_buf_fini(&g.keys);
    must_put(&nodes[1], "d/new", "1"); /* life goes on */
}

static void killed_in_the_middle_holds_all_nodes(void **state)
{
    NEED_ETCD();
    open_all(2);
    char path[128];
    snprintf(path, sizeof(path), "%s/snapshot", nodes[0].dir);
    struct gtm_store_change many[100];
    static char keys[1000][16];
    for (int i = 0; i < 1000; i++) {
        snprintf(keys[i], sizeof(keys[i]), "d/%04d", i);
        many[i % 100] = put(keys[i], "1", GTM_STORE_ANY);
        if (i % 100 == 99)
            assert_int_equal(commit(&nodes[0], many, 100).code, 0);
    }
    assert_int_equal(save(&nodes[0], path).code, 0);
    for (int i = 0; i < 1000; i++) {
        many[i % 100] = put(keys[i], "2", GTM_STORE_ANY);
        if (i % 100 == 99)
            assert_int_equal(commit(&nodes[0], many, 100).code, 0);
    }
    struct outcome o = {0};
    assert_int_equal(gtm_store_etcd_restore(nodes[0].store, path, "uli", "test", done, &o), 0);
    WAIT(info_of(&nodes[1]).link == GTM_STORE_REFUSED);
    close_node(&nodes[0]);
    assert_int_equal(o.calls, 1);
    if (o.code == 0) {
        print_message("it was done before it could be killed\n");
        skip();
    }
    assert_int_equal(o.code, GTM_ESTATE);
    run(1500);
    assert_int_equal(info_of(&nodes[1]).link, GTM_STORE_REFUSED);
    assert_non_null(strstr(info_of(&nodes[1]).why, "restor"));
    for (int i = 0; i < 1000; i++)
        assert_true(has(&nodes[1], keys[i], "2"));
    struct gtm_store_change c = put("d/0000", "3", GTM_STORE_ANY);
    assert_int_equal(commit(&nodes[1], &c, 1).code, GTM_ESTATE);
    /* Somebody restores again. */
    assert_int_equal(restore(&nodes[1], path).code, 0);
    WAIT(info_of(&nodes[1]).link == GTM_STORE_FRESH);
    assert_int_equal(info_of(&nodes[1]).epoch, 3);
    for (int i = 0; i < 1000; i++)
        assert_true(has(&nodes[1], keys[i], "1"));
}

static void another_cluster_waits_for_a_word(void **state)
{
    NEED_ETCD();
    open_all(1);
    must_put(&nodes[0], "d/1", "1");
    close_node(&nodes[0]);
    etcd_server_kill(server, 0);
    etcd_server_wipe(server, 0);
    etcd_server_start(server, 0);
    etcd_server_wait(server, 0);
    open_node(&nodes[0]);
    WAIT(info_of(&nodes[0]).link == GTM_STORE_REFUSED);
    assert_true(has(&nodes[0], "d/1", "1"));
    struct outcome o = {0};
    assert_int_equal(gtm_store_etcd_adopt(nodes[0].store, "uli", "new disks", done, &o), 0);
    WAIT(o.calls);
    assert_string_equal(o.text, "");
    WAIT(info_of(&nodes[0]).link == GTM_STORE_FRESH);
    assert_null(value_at(&nodes[0], "d/1"));
    must_put(&nodes[0], "d/2", "1");
}

/* The members' flags are the same, so the cluster's id is; a node without a copy takes the new
 * store, and its revision passes the old one's. Who knows the old one waits for a word. */
static void an_etcd_made_anew_waits_for_a_word(void **state)
{
    NEED_ETCD();
    open_all(1);
    must_put(&nodes[0], "d/1", "1");
    WAIT(info_of(&nodes[0]).epoch == 1);
    struct gtm_store_etcd_info before = info_of(&nodes[0]);
    close_node(&nodes[0]);
    etcd_server_kill(server, 0);
    etcd_server_forget(server, 0);
    etcd_server_start(server, 0);
    etcd_server_wait(server, 0);
    open_node(&nodes[1]);
    WAIT(info_of(&nodes[1]).epoch == 1);
    for (int i = 0; info_of(&nodes[1]).revision <= before.revision + 5; i++)
        must_put(&nodes[1], "d/2", i % 2 ? "1" : "2");
    open_node(&nodes[0]);
    WAIT(info_of(&nodes[0]).link == GTM_STORE_REFUSED);
    assert_int_equal(info_of(&nodes[1]).cluster_id, before.cluster_id);
    assert_non_null(strstr(info_of(&nodes[0]).why, "another store of the same epoch"));
    must_put(&nodes[1], "d/2", "3");
    run(1200);
    assert_int_equal(info_of(&nodes[0]).link, GTM_STORE_REFUSED);
    assert_true(has(&nodes[0], "d/1", "1"));
    struct outcome o = {0};
    assert_int_equal(gtm_store_etcd_adopt(nodes[0].store, "uli", "new disks", done, &o), 0);
    WAIT(o.calls);
    assert_string_equal(o.text, "");
    for (int n = 0; n < 2; n++) {
        WAIT(info_of(&nodes[n]).link == GTM_STORE_FRESH && info_of(&nodes[n]).epoch == 2);
        assert_true(has(&nodes[n], "d/1", NULL) && has(&nodes[n], "d/2", "3"));
    }
}

#define ONE(f) cmocka_unit_test_setup_teardown(f, setup_one, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ONE(nodes_see_each_other),
        ONE(what_is_not_mirrored_is_fetched),
        ONE(one_leads_and_guards_hold),
        ONE(leased_keys_go_with_their_node),
        ONE(two_nodes_write_one_chain),
        ONE(saved_changed_and_restored),
        ONE(killed_in_the_middle_holds_all_nodes),
        ONE(another_cluster_waits_for_a_word),
        ONE(an_etcd_made_anew_waits_for_a_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
