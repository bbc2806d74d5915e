/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit chain: what is written checks out, and no way of tampering with it does.
 */
#include "store_fixture.h"

#include "gtm/coord/audit.h"

#define CHAIN 6

static struct gtm_audit_entry entry_of(const char *verb)
{
    return (struct gtm_audit_entry){.time_ms = 1795276800123,
                                    .who = "uli",
                                    .role = "operator",
                                    .node = "us-1",
                                    .verb = verb,
                                    .subject = "endpoint/www/www-us",
                                    .why = "a \"reason\"",
                                    .before = "{\"admin\":\"auto\"}",
                                    .after = "{\"admin\":\"drain\"}"};
}

static struct outcome audit(const struct gtm_store_change *changes, size_t n, const char *verb)
{
    struct outcome o = {.stop = true};
    struct gtm_audit_entry entry = entry_of(verb);
    assert_int_equal(gtm_audit_commit(store, &entry, changes, n, done, &o), 0);
    assert_int_equal(o.calls, 0);
    assert_int_equal(gtm_loop_run(loop), 0);
    assert_int_equal(o.calls, 1);
    return o;
}

static int report_code;
static struct gtm_audit_report report;
static char report_text[GTM_ERROR_TEXT_BYTES];

static void on_report(void *arg, const struct gtm_audit_report *r)
{
    report = *r;
    report_code = r->code;
    snprintf(report_text, sizeof(report_text), "%s", r->err->text);
    gtm_loop_stop(loop);
}

static int verify_store(void)
{
    report_code = 12345;
    assert_int_equal(gtm_audit_verify_store(store, on_report, NULL), 0);
    assert_int_equal(gtm_loop_run(loop), 0);
    assert_int_not_equal(report_code, 12345);
    return report_code;
}

static void an_entry_comes_with_its_change(void **state)
{
    struct gtm_store_change c = put("override/x", "1", GTM_STORE_ABSENT);
    struct outcome o = audit(&c, 1, "endpoint drain");
    assert_int_equal(o.code, 0);
    assert_value("override/x", "1", o.revision);
    struct gtm_store_entry e;
    assert_int_equal(gtm_store_get(store, "audit/000000000001", &e), 0);
    assert_true(e.revision == o.revision);
    assert_non_null(strstr(e.value, "\"who\":\"uli\""));
    assert_non_null(strstr(e.value, "\"prev\":\"\""));
    assert_int_equal(verify_store(), 0);
    assert_int_equal(report.first, 1);
    assert_int_equal(report.last, 1);
    assert_int_equal(audit(NULL, 0, "leader resign").code, 0); /* only the entry */
    assert_int_equal(verify_store(), 0);
    assert_int_equal(report.last, 2);
}

static void an_empty_chain_is_fine(void **state)
{
    assert_int_equal(verify_store(), 0);
    assert_int_equal(report.last, 0);
}

static void own_guards_end_it_and_the_head_does_not(void **state)
{
    int64_t at = must_put("override/x", "1");
    struct gtm_store_change bad = put("override/x", "2", at + 1);
    assert_int_equal(audit(&bad, 1, "a").code, GTM_ECONFLICT);
    assert_value("override/x", "1", at);
    assert_value("head/audit", NULL, 0);

    /* Somebody else's entry comes between: here, by a second writer of the head. */
    assert_int_equal(audit(NULL, 0, "b").code, 0);
    struct gtm_store_entry head;
    assert_int_equal(gtm_store_get(store, "head/audit", &head), 0);
    char *text = gtm_strdup(head.value);
    struct outcome first = {0}, second = {.stop = true};
    struct gtm_store_change touch = put("head/audit", text, GTM_STORE_ANY);
    assert_int_equal(gtm_store_commit(store, &touch, 1, done, &first), 0);
    struct gtm_audit_entry entry = entry_of("c");
    struct gtm_store_change good = put("override/x", "3", at);
    assert_int_equal(gtm_audit_commit(store, &entry, &good, 1, done, &second), 0);
    assert_int_equal(gtm_loop_run(loop), 0);
    gtm_free(text);
    assert_int_equal(second.code, 0);
    assert_value("override/x", "3", second.revision);
    assert_int_equal(verify_store(), 0);
    assert_int_equal(report.last, 2);
}

static void many_at_once_keep_their_order(void **state)
{
    struct outcome o[200] = {0};
    for (int i = 0; i < 200; i++) {
        struct gtm_audit_entry entry = entry_of("v");
        char key[32];
        snprintf(key, sizeof(key), "k/%03d", i);
        struct gtm_store_change c = put(key, "1", GTM_STORE_ANY);
        o[i].stop = i == 199;
        assert_int_equal(gtm_audit_commit(store, &entry, &c, 1, done, &o[i]), 0);
    }
    assert_int_equal(gtm_loop_run(loop), 0);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(o[i].code, 0);
        assert_true(i == 0 || o[i].revision > o[i - 1].revision);
    }
    assert_int_equal(verify_store(), 0);
    assert_int_equal(report.last, 200);
}

static void closing_tells_all_that_wait(void **state)
{
    struct outcome o[5] = {0};
    for (int i = 0; i < 5; i++) {
        struct gtm_audit_entry entry = entry_of("v");
        assert_int_equal(gtm_audit_commit(store, &entry, NULL, 0, done, &o[i]), 0);
    }
    close_store();
    for (int i = 0; i < 5; i++) {
        assert_int_equal(o[i].calls, 1);
        assert_int_equal(o[i].code, i == 0 ? 0 : GTM_ESTATE);
    }
}

/* A long chain costs a long time to write: only its head and its two oldest entries are there. */
static void old_entries_go_with_new_ones(void **state)
{
    char head[160];
    snprintf(head, sizeof(head), "{\"v\":1,\"seq\":%u,\"hash\":\"%064d\",\"first\":7}",
             GTM_AUDIT_KEEP_FILE + 6, 0);
    struct gtm_store_change c[] = {put("head/audit", head, -1), put("audit/000000000007", "7", -1),
                                   put("audit/000000000008", "8", -1)};
    assert_int_equal(commit(c, 3).code, 0);
    assert_int_equal(audit(NULL, 0, "a").code, 0);
    assert_value("audit/000000000007", NULL, 0);
    assert_value("audit/000000000008", "8", 0);
    assert_int_equal(audit(NULL, 0, "b").code, 0);
    assert_value("audit/000000000008", NULL, 0);
    struct gtm_store_entry e;
    assert_int_equal(gtm_store_get(store, "head/audit", &e), 0);
    assert_non_null(strstr(e.value, "\"first\":9}"));
}

static void old_entries_go_by_the_leader(void **state)
{
    for (int i = 0; i < 20; i++)
        assert_int_equal(audit(NULL, 0, "v").code, 0);
    struct outcome o = {.stop = true};
    struct gtm_store_change guard = check("leader/x", GTM_STORE_ABSENT);
    assert_int_equal(gtm_audit_prune(store, 15, &guard, done, &o), 0);
    assert_int_equal(gtm_loop_run(loop), 0);
    assert_int_equal(o.code, 0);
    assert_int_equal(verify_store(), 0);
    assert_int_equal(report.first, 6);
    assert_int_equal(report.last, 20);
    assert_int_equal(gtm_audit_prune(store, 15, NULL, done, &o), GTM_ENOTFOUND);
    guard.expect = 7;
    assert_int_equal(gtm_audit_prune(store, 10, &guard, done, &o), 0);
    assert_int_equal(gtm_loop_run(loop), 0);
    assert_int_equal(o.code, GTM_ECONFLICT);
}

static void long_texts_are_cut(void **state)
{
    char *text = gtm_malloc(20001);
    for (int i = 0; i < 10000; i++)
        memcpy(text + (size_t)i * 2, "\xc3\xa9", 2);
    text[20000] = '\0';
    struct gtm_audit_entry entry = entry_of("v");
    entry.before = text + 0;
    entry.who = NULL;
    struct outcome o = {.stop = true};
    assert_int_equal(gtm_audit_commit(store, &entry, NULL, 0, done, &o), 0);
    gtm_free(text);
    assert_int_equal(gtm_loop_run(loop), 0);
    assert_int_equal(o.code, 0);
    struct gtm_store_entry e;
    assert_int_equal(gtm_store_get(store, "audit/000000000001", &e), 0);
    assert_true(e.value_len < 6000);
    assert_non_null(strstr(e.value, "\"before_sha256\":\""));
    assert_non_null(strstr(e.value, "\"who\":\"local\""));
    assert_null(strstr(e.value, "\xef\xbf\xbd")); /* no character was cut in two */
    assert_int_equal(verify_store(), 0);
}

/* --- tampering --- */

struct line {
    char key[32], *text;
};
static struct line chain[CHAIN];
static char *head_text;

static int make_chain(void **state)
{
    if (setup(state) != 0)
        return -1;
    for (int i = 0; i < CHAIN; i++) {
        assert_int_equal(audit(NULL, 0, "verb").code, 0);
        struct gtm_store_entry e;
        snprintf(chain[i].key, sizeof(chain[i].key), "audit/%012d", i + 1);
        assert_int_equal(gtm_store_get(store, chain[i].key, &e), 0);
        chain[i].text = gtm_strdup(e.value);
    }
    struct gtm_store_entry e;
    assert_int_equal(gtm_store_get(store, "head/audit", &e), 0);
    head_text = gtm_strdup(e.value);
    return 0;
}

static int free_chain(void **state)
{
    for (int i = 0; i < CHAIN; i++)
        gtm_free(chain[i].text);
    gtm_free(head_text);
    return teardown(state);
}

/* Over any lines; -1 for an end that the head does not confirm. */
static int check_lines(const struct line *lines, size_t n, const char *head)
{
    struct gtm_audit_check c = {0};
    struct gtm_error err = {0};
    for (size_t i = 0; i < n; i++) {
        int rc = gtm_audit_verify(&c, lines[i].key, lines[i].text, strlen(lines[i].text), &err);
        if (rc != 0) {
            assert_true(err.text[0] != '\0');
            return rc;
        }
    }
    int rc = gtm_audit_verify_head(&c, head, head ? strlen(head) : 0, &err);
    assert_true(rc == 0 || err.text[0] != '\0');
    return rc;
}

static void every_changed_byte_is_seen(void **state)
{
    assert_int_equal(check_lines(chain, CHAIN, head_text), 0);
    for (int i = 0; i < CHAIN; i++)
        for (size_t at = 0; chain[i].text[at]; at++) {
            char flip = (char)(1 << (at + (size_t)i) % 7);
            chain[i].text[at] ^= flip;
            if (chain[i].text[at])
                assert_int_not_equal(check_lines(chain, CHAIN, head_text), 0);
            chain[i].text[at] ^= flip;
        }
    for (size_t at = 0; head_text[at]; at++) {
        head_text[at] ^= 1;
        assert_int_not_equal(check_lines(chain, CHAIN, head_text), 0);
        head_text[at] ^= 1;
    }
    assert_int_equal(check_lines(chain, CHAIN, head_text), 0);
}

static void removed_swapped_and_inserted_entries_are_seen(void **state)
{
    struct line lines[CHAIN + 1];
    for (int i = 0; i < CHAIN; i++) { /* removed: at an end that is a cut, in the middle a gap */
        memcpy(lines, chain, sizeof(*lines) * (size_t)i);
        memcpy(lines + i, chain + i + 1, sizeof(*lines) * (size_t)(CHAIN - i - 1));
        assert_int_equal(check_lines(lines, CHAIN - 1, head_text), GTM_ECORRUPT);
    }
    for (int i = 0; i < CHAIN; i++)
        for (int j = 0; j < i; j++) {
            memcpy(lines, chain, sizeof(chain));
            lines[i] = chain[j];
            lines[j] = chain[i];
            assert_int_equal(check_lines(lines, CHAIN, head_text), GTM_ECORRUPT);
            /* the texts alone, under the right keys */
            memcpy(lines, chain, sizeof(chain));
            lines[i].text = chain[j].text;
            lines[j].text = chain[i].text;
            assert_int_equal(check_lines(lines, CHAIN, head_text), GTM_ECORRUPT);
        }
    for (int i = 0; i <= CHAIN; i++) { /* one put in a second time */
        memcpy(lines, chain, sizeof(*lines) * (size_t)i);
        lines[i] = chain[i < CHAIN ? i : 0];
        memcpy(lines + i + 1, chain + i, sizeof(*lines) * (size_t)(CHAIN - i));
        assert_int_equal(check_lines(lines, CHAIN + 1, head_text), GTM_ECORRUPT);
    }
    assert_int_equal(check_lines(chain, CHAIN, NULL), GTM_ECORRUPT);
    assert_int_equal(check_lines(chain, 0, head_text), GTM_ECORRUPT);
    assert_int_equal(check_lines(chain, 0, NULL), 0);
}

/* An entry made anew with a hash of its own, right in itself: in the middle the next one does not
 * name it, and at the end it is not the head's. */
static void a_forged_entry_is_seen(void **state)
{
    for (int forged = 0; forged < CHAIN; forged++) {
        close_store();
        assert_int_equal(test_temp_dir_remove(dir), 0);
        assert_int_equal(open_store(), 0);
        for (int i = 0; i <= forged; i++)
            assert_int_equal(audit(NULL, 0, i == forged ? "other" : "verb").code, 0);
        struct gtm_store_entry e;
        assert_int_equal(gtm_store_get(store, chain[forged].key, &e), 0);
        struct line lines[CHAIN];
        memcpy(lines, chain, sizeof(chain));
        lines[forged].text = (char *)(uintptr_t)e.value;
        assert_int_equal(check_lines(lines, CHAIN, head_text), GTM_ECORRUPT);
    }
}

static void tampering_in_the_store_is_named(void **state)
{
    struct gtm_store_change c = del("audit/000000000003", GTM_STORE_ANY);
    assert_int_equal(commit(&c, 1).code, 0);
    assert_int_equal(verify_store(), GTM_ECORRUPT);
    assert_non_null(strstr(report_text, "entry 3 was expected here"));
    c = put("audit/000000000003", chain[2].text, GTM_STORE_ANY);
    assert_int_equal(commit(&c, 1).code, 0);
    assert_int_equal(verify_store(), 0);
    c = del("audit/000000000006", GTM_STORE_ANY);
    assert_int_equal(commit(&c, 1).code, 0);
    assert_int_equal(verify_store(), GTM_ECORRUPT);
    assert_non_null(strstr(report_text, "missing at the end"));
    c = put("audit/000000000006", "{\"v\":2}", GTM_STORE_ANY);
    assert_int_equal(commit(&c, 1).code, 0);
    assert_int_equal(verify_store(), GTM_EUNSUPPORTED);
    c = put("audit/000000000006", "hello", GTM_STORE_ANY);
    assert_int_equal(commit(&c, 1).code, 0);
    assert_int_equal(verify_store(), GTM_ECORRUPT);
    /* A head that is no head stops further entries: nothing is built on sand. */
    c = put("head/audit", "{\"v\":1}", GTM_STORE_ANY);
    assert_int_equal(commit(&c, 1).code, 0);
    struct gtm_audit_entry entry = entry_of("v");
    struct outcome o = {0};
    assert_int_equal(gtm_audit_commit(store, &entry, NULL, 0, done, &o), GTM_ECORRUPT);
    assert_int_equal(verify_store(), GTM_ECORRUPT);
}

static void memory_may_fail_anywhere(void **state)
{
    int succeeded = 0;
    for (unsigned n = 1; n < 200; n++) {
        struct outcome o = {.stop = true};
        struct gtm_audit_entry entry = entry_of("v");
        struct gtm_store_change c = put("k", "1", GTM_STORE_ANY);
        gtm_mem_fail_at(n, 0);
        int rc = gtm_audit_commit(store, &entry, &c, 1, done, &o);
        gtm_mem_fail_at(0, 0);
        if (rc == 0) {
            assert_int_equal(gtm_loop_run(loop), 0);
            assert_int_equal(o.calls, 1);
            succeeded += o.code == 0;
        }
    }
    assert_true(succeeded > 100);
    assert_int_equal(verify_store(), 0);
}

#define CHAIN_TEST(f) cmocka_unit_test_setup_teardown(f, make_chain, free_chain)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(an_entry_comes_with_its_change),
        STORE_TEST(an_empty_chain_is_fine),
        STORE_TEST(own_guards_end_it_and_the_head_does_not),
        STORE_TEST(many_at_once_keep_their_order),
        STORE_TEST(closing_tells_all_that_wait),
        STORE_TEST(old_entries_go_with_new_ones),
        STORE_TEST(old_entries_go_by_the_leader),
        STORE_TEST(long_texts_are_cut),
        STORE_TEST(memory_may_fail_anywhere),
        CHAIN_TEST(every_changed_byte_is_seen),
        CHAIN_TEST(removed_swapped_and_inserted_entries_are_seen),
        CHAIN_TEST(a_forged_entry_is_seen),
        CHAIN_TEST(tampering_in_the_store_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
