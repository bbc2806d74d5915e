/* SPDX-License-Identifier: Apache-2.0
 *
 * Chunks of intents: those that no revision names go when they are old, those that one names never,
 * whatever happens between the look and the deed; and who makes a revision hears of it when chunks
 * went.
 */
#include "gtm/daemon/chunks.h"

#include "gtm/model/manifest.h"
#include "tests/unit/gtm/coord/store_fixture.h"

static struct gtm_clock_fake now;
static struct gtm_chunks_collector *collector;
static bool leads, whole;
static unsigned looks;
static void (*before_deed)(void); /* between the listing and the transaction */

static int guard(void *ctx, struct gtm_store_change *ret)
{
    (void)ctx;
    looks++;
    if (before_deed)
        before_deed();
    *ret = check("leader/a", GTM_STORE_ANY);
    return leads ? GTM_OK : GTM_ESTATE;
}

static bool is_whole(void *ctx)
{
    (void)ctx;
    return whole;
}

static int open_world(void **state)
{
    if (setup(state))
        return -1;
    gtm_clock_fake_init(&now);
    leads = whole = true;
    before_deed = NULL;
    collector = gtm_chunks_collector_new(&(struct gtm_chunks_collector_opts){
        .loop = loop, .clock = &now.clock, .store = store, .guard = guard, .whole = is_whole});
    return collector ? 0 : -1;
}

static int close_world(void **state)
{
    gtm_chunks_collector_free(collector);
    return teardown(state);
}

static void stop(void *arg)
{
    (void)arg;
    gtm_loop_stop(loop);
}

static void run_ms(unsigned ms)
{
    struct gtm_timer *timer = gtm_timer_new(loop, stop, NULL);
    gtm_timer_start(timer, ms);
    assert_int_equal(gtm_loop_run(loop), 0);
    gtm_timer_free(timer);
}

/* Everything that a pass begins is done within this. */
static void pass_after(uint64_t ms)
{
    now.mono_ns += ms * 1000000;
    gtm_chunks_collector_second(collector);
    run_ms(150);
}

static const char *key_of(const char *text, char out[GTM_BLOB_KEY_BYTES])
{
    char hex[GTM_SHA256_HEX_BYTES];
    assert_true(gtm_sha256_hex(text, strlen(text), hex));
    snprintf(out, GTM_BLOB_KEY_BYTES, GTM_BLOB_PREFIX "%s", hex);
    return out;
}

static void put_chunk(const char *text)
{
    char key[GTM_BLOB_KEY_BYTES];
    must_put(key_of(text, key), text);
}

static bool there(const char *text)
{
    char key[GTM_BLOB_KEY_BYTES];
    struct gtm_store_entry entry;
    return gtm_store_get(store, key_of(text, key), &entry) == GTM_OK;
}

/* A revision of one file with this text, whose chunk is the text itself. */
static void put_revision(int64_t rev, const char *text, bool current)
{
    struct gtm_error err = {0};
    char key[GTM_MANIFEST_KEY_BYTES];
    struct gtm_manifest *m = gtm_manifest_new();
    assert_int_equal(gtm_manifest_add(m, GTM_MANIFEST_MAIN, text, strlen(text), &err), 0);
    m->rev = rev;
    char *printed = gtm_manifest_print(m);
    char *cur = gtm_intent_cur_print(rev, m->files[0].sha256);
    must_put(gtm_manifest_key(rev, key), printed);
    if (current)
        must_put(GTM_INTENT_CUR_KEY, cur);
    gtm_free(cur);
    gtm_free(printed);
    gtm_manifest_free(m);
}

static int64_t head(void)
{
    return gtm_chunks_mark_now(store).head;
}

static void old_chunks_without_a_revision_go(void **state)
{
    (void)state;
    put_chunk("kept before");
    put_chunk("in force");
    put_chunk("left over");
    must_put("blob/junk", "1");
    put_revision(1, "kept before", false);
    put_revision(2, "in force", true);
    pass_after(0); /* the first listing: nothing is known to be old */
    put_chunk("later");
    pass_after(GTM_CHUNKS_PASS_MS);
    assert_true(there("left over"));
    assert_int_equal(head(), 0);
    pass_after(GTM_CHUNKS_SAFE_MS - GTM_CHUNKS_PASS_MS - 1);
    assert_true(there("left over"));
    now.mono_ns += 1000000;
    pass_after(GTM_CHUNKS_PASS_MS); /* the first listing is long ago */
    assert_false(there("left over"));
    assert_true(there("kept before") && there("in force") && there("later"));
    assert_value("blob/junk", "1", 0);
    assert_true(head() > 0);
    pass_after(GTM_CHUNKS_SAFE_MS); /* and now the next one is, which saw "later" */
    assert_false(there("later"));
    assert_true(there("kept before") && there("in force"));
    struct gtm_metrics m = {0};
    gtm_chunks_collector_metrics(collector, &m);
    assert_non_null(strstr(m.out.data, "gtm_intent_chunks 3\n"));
    assert_non_null(strstr(m.out.data, "gtm_intent_chunk_bytes 19\n"));
    assert_non_null(strstr(m.out.data, "gtm_intent_chunks_deleted_total 2\n"));
    gtm_buf_fini(&m.out);
}

/* With a chunk that would go now. */
static void about_to_go(const char *text)
{
    put_chunk("in force");
    put_chunk(text);
    put_revision(1, "in force", true);
    pass_after(0);
    now.mono_ns += (GTM_CHUNKS_SAFE_MS - GTM_CHUNKS_PASS_MS) * 1000000ull;
    looks = 0;
}

static void write_again(void)
{
    char key[GTM_BLOB_KEY_BYTES];
    struct gtm_store_change again = put(key_of("x", key), "x", GTM_STORE_ANY);
    assert_int_equal(gtm_store_commit(store, &again, 1, NULL, NULL), 0);
}

static void a_chunk_that_is_put_again_stays(void **state)
{
    (void)state;
    about_to_go("x");
    before_deed = write_again;
    pass_after(GTM_CHUNKS_PASS_MS);
    assert_int_equal(looks, 1);
    assert_true(there("x"));
    assert_int_equal(head(), 0);
    before_deed = NULL;
    pass_after(GTM_CHUNKS_PASS_MS); /* it is young again */
    assert_true(there("x"));
    pass_after(2 * GTM_CHUNKS_SAFE_MS);
    pass_after(2 * GTM_CHUNKS_SAFE_MS);
    assert_false(there("x"));
}

/* Names the chunk without writing it: an apply that knows that it is there. */
static void make_revision(void)
{
    struct gtm_error err = {0};
    struct gtm_manifest *m = gtm_manifest_new();
    assert_int_equal(gtm_manifest_add(m, GTM_MANIFEST_MAIN, "x", 1, &err), 0);
    m->rev = 2;
    char *printed = gtm_manifest_print(m), *cur = gtm_intent_cur_print(2, m->files[0].sha256);
    char key[GTM_MANIFEST_KEY_BYTES];
    const struct gtm_chunks_mark mark = gtm_chunks_mark_now(store);
    const struct gtm_store_change changes[] = {put(gtm_manifest_key(2, key), printed, -1),
                                               put(GTM_INTENT_CUR_KEY, cur, mark.cur),
                                               gtm_chunks_check(&mark)};
    assert_int_equal(gtm_store_commit(store, changes, 3, NULL, NULL), 0);
    gtm_free(cur);
    gtm_free(printed);
    gtm_manifest_free(m);
}

static void a_chunk_that_a_new_revision_names_stays(void **state)
{
    (void)state;
    about_to_go("x");
    before_deed = make_revision;
    pass_after(GTM_CHUNKS_PASS_MS);
    assert_int_equal(looks, 1);
    before_deed = NULL;
    pass_after(GTM_CHUNKS_PASS_MS);
    pass_after(2 * GTM_CHUNKS_SAFE_MS);
    assert_true(there("x"));
    assert_int_equal(gtm_chunks_mark_now(store).head, 0);
}

static void who_makes_a_revision_hears_that_chunks_went(void **state)
{
    (void)state;
    about_to_go("x");
    const struct gtm_chunks_mark before = gtm_chunks_mark_now(store);
    pass_after(GTM_CHUNKS_PASS_MS);
    assert_false(there("x"));
    const struct gtm_store_change changes[] = {put("intent/rev/2", "{}", GTM_STORE_ANY),
                                               gtm_chunks_check(&before)};
    assert_int_equal(commit(changes, 2).code, GTM_ECONFLICT);
    const struct gtm_chunks_mark after = gtm_chunks_mark_now(store);
    const struct gtm_store_change again[] = {put("intent/rev/2", "{}", GTM_STORE_ANY),
                                             gtm_chunks_check(&after)};
    assert_int_equal(commit(again, 2).code, 0);
}

static void without_certainty_nothing_goes(void **state)
{
    (void)state;
    about_to_go("x");
    char *good = NULL;
    struct gtm_store_entry entry;
    assert_int_equal(gtm_store_get(store, "intent/rev/0000000001", &entry), 0);
    good = gtm_strdup(entry.value);
    must_put("intent/rev/0000000002", "{\"v\":1,\"rev\":2}"); /* its chunks are not known */
    pass_after(GTM_CHUNKS_PASS_MS);
    assert_int_equal(looks, 0);
    struct gtm_store_change gone[] = {del("intent/rev/0000000002", GTM_STORE_ANY),
                                      del("intent/rev/0000000001", GTM_STORE_ANY)};
    assert_int_equal(commit(gone, 2).code, 0); /* what is in force is not there */
    pass_after(GTM_CHUNKS_PASS_MS);
    assert_int_equal(looks, 0);
    must_put("intent/rev/0000000001", good);
    gtm_free(good);
    must_put(GTM_INTENT_CUR_KEY, "nonsense");
    pass_after(GTM_CHUNKS_PASS_MS);
    assert_int_equal(looks, 0);
    assert_true(there("x") && there("in force"));
    put_revision(1, "in force", true);
    whole = false; /* the copy may lack a revision */
    pass_after(GTM_CHUNKS_PASS_MS);
    assert_int_equal(looks, 0);
    whole = true;
    leads = false;
    pass_after(GTM_CHUNKS_PASS_MS);
    assert_true(looks > 0 && there("x"));
    leads = true;
    pass_after(GTM_CHUNKS_PASS_MS);
    assert_true(!there("x") && there("in force"));
}

static size_t count_chunks(void)
{
    struct gtm_buf buf = {0};
    size_t n = 0;
    assert_int_equal(gtm_store_list(store, GTM_BLOB_PREFIX, add_key, &buf), 0);
    for (const char *p = buf.data; p && *p; p++)
        n += *p == ';';
    gtm_buf_fini(&buf);
    return n;
}

static void a_pass_has_a_bound(void **state)
{
    (void)state;
    struct gtm_store_change changes[100];
    char keys[100][GTM_BLOB_KEY_BYTES], text[16];
    put_chunk("in force");
    put_revision(1, "in force", true);
    for (unsigned at = 0; at < GTM_CHUNKS_PASS_MAX + 150; at += 50) {
        for (unsigned i = 0; i < 50; i++) {
            snprintf(text, sizeof(text), "%u", at + i);
            changes[i] = put(key_of(text, keys[i]), "x", GTM_STORE_ANY);
        }
        assert_int_equal(commit(changes, 50).code, 0);
    }
    pass_after(0);
    now.mono_ns += (GTM_CHUNKS_SAFE_MS - GTM_CHUNKS_PASS_MS) * 1000000ull;
    pass_after(GTM_CHUNKS_PASS_MS);
    for (unsigned i = 0; i < 50 && count_chunks() > 151; i++)
        run_ms(20);
    run_ms(100);
    assert_int_equal(count_chunks(), 151);
    pass_after(1000);
    assert_int_equal(count_chunks(), 151); /* none is due */
    pass_after(GTM_CHUNKS_PASS_MS);
    assert_int_equal(count_chunks(), 1);
    assert_true(there("in force"));
}

static void what_was_seen_counts_until_chunks_go(void **state)
{
    (void)state;
    struct gtm_chunks *chunks = gtm_chunks_new(store);
    struct gtm_chunks_mark at = gtm_chunks_mark_now(store);
    assert_false(gtm_chunks_has(chunks, &at, "a"));
    gtm_chunks_add(chunks, &at, "a");
    assert_true(gtm_chunks_has(chunks, &at, "a"));
    assert_false(gtm_chunks_has(chunks, &at, "b"));
    must_put(GTM_CHUNKS_HEAD_KEY, "1");
    struct gtm_chunks_mark next = gtm_chunks_mark_now(store);
    assert_false(gtm_chunks_has(chunks, &next, "a"));
    gtm_chunks_add(chunks, &at, "b"); /* its call began before: it may have gone */
    assert_false(gtm_chunks_has(chunks, &next, "b"));
    gtm_chunks_add(chunks, &next, "c");
    assert_true(gtm_chunks_has(chunks, &next, "c"));
    assert_false(gtm_chunks_has(chunks, &next, "a"));
    must_put(GTM_INTENT_CUR_KEY, "1"); /* also what a restored store brings */
    next = gtm_chunks_mark_now(store);
    assert_false(gtm_chunks_has(chunks, &next, "c"));
    gtm_chunks_free(chunks);
    gtm_chunks_add(NULL, &next, "c");
}

static void a_pass_may_be_let_go(void **state)
{
    (void)state;
    about_to_go("x");
    now.mono_ns += GTM_CHUNKS_PASS_MS * 1000000ull;
    gtm_chunks_collector_second(collector);
    gtm_chunks_collector_free(collector); /* a helper thread is at work */
    collector = NULL;
    run_ms(150);
    assert_true(there("x"));
}

#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(old_chunks_without_a_revision_go),
        WORLD_TEST(a_chunk_that_is_put_again_stays),
        WORLD_TEST(a_chunk_that_a_new_revision_names_stays),
        WORLD_TEST(who_makes_a_revision_hears_that_chunks_went),
        WORLD_TEST(without_certainty_nothing_goes),
        WORLD_TEST(a_pass_has_a_bound),
        WORLD_TEST(what_was_seen_counts_until_chunks_go),
        WORLD_TEST(a_pass_may_be_let_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
