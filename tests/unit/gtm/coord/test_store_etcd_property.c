/* SPDX-License-Identifier: Apache-2.0
 *
 * Two stores on one etcd of three members, random guarded commits from both, while members die and
 * come back and revisions are compacted away. At the end: every commit that was told to have
 * happened has, every one that was told not to has not; both copies, a third node's and etcd's own
 * content are one; revisions only rose; the watches saw every key's last state.
 */
#include "etcd_real.h"

#define KEYS      20
#define COMMITS   400
#define UNDER_WAY 6

/* Every commit adds a word of its own to its key's value, so that the value is its history. */
struct attempt {
    struct outcome outcome;
    int key;
    char value[2048]; /* JSON text: "\"1 7 9\"" */
    unsigned number;
};
static struct attempt attempts[COMMITS];
static char watched[2][KEYS][2048];
static int64_t newest[2];
static unsigned finished;

static void on_done(void *arg, const struct gtm_store_result *result)
{
    finished++;
    done(arg, result);
}

static int key_number(const char *key)
{
    return (int)strtol(key + 2, NULL, 10);
}

static void on_watch(void *arg, const struct gtm_store_entry *e)
{
    int n = (int)(intptr_t)arg;
    assert_true(e->revision >= newest[n]);
    newest[n] = e->revision;
    snprintf(watched[n][key_number(e->key)], sizeof(watched[n][0]), "%s", e->value ? e->value : "");
}

static void begin(struct attempt *a, unsigned number, struct gtm_rand *rand)
{
    struct node *node = &nodes[gtm_rand_below(rand, 2)];
    char key[16];
    struct gtm_store_entry e;
    a->number = number;
    a->key = (int)gtm_rand_below(rand, KEYS);
    snprintf(key, sizeof(key), "d/%02d", a->key);
    bool there = gtm_store_get(node->store, key, &e) == 0;
    size_t n = there ? e.value_len - 1 : 1;
    snprintf(a->value, sizeof(a->value), "%.*s%s%u\"", (int)n, there ? e.value : "\"",
             there ? " " : "", number);
    struct gtm_store_change c = put(key, a->value, there ? e.revision : GTM_STORE_ABSENT);
    assert_int_equal(gtm_store_commit(node->store, &c, 1, on_done, &a->outcome), 0);
}

static void on_compact(void *arg, const struct etcdc_answer *answer)
{
}

static void disturb(unsigned i, struct gtm_rand *rand, int *down)
{
    if (*down >= 0 && i % 40 == 20) {
        etcd_server_start(server, (unsigned)*down);
        *down = -1;
    } else if (*down < 0 && i % 40 == 0) {
        *down = (int)gtm_rand_below(rand, 3);
        etcd_server_kill(server, (unsigned)*down);
    } else if (i % 25 == 10) {
        int64_t at = info_of(&nodes[0]).revision;
        assert_int_equal(etcdc_compact(nodes[0].client, at, on_compact, NULL), 0);
    }
}

static bool contains(const char *value, unsigned number)
{
    char word[16];
    size_t n = (size_t)snprintf(word, sizeof(word), "%u", number);
    for (const char *at = value; (at = strstr(at, word)) != NULL; at += n)
        if ((at[-1] == ' ' || at[-1] == '"') && (at[n] == ' ' || at[n] == '"'))
            return true;
    return false;
}

static void check_attempts(void)
{
    unsigned good = 0, refused = 0, unknown = 0;
    for (unsigned i = 0; i < COMMITS; i++) {
        const struct attempt *a = &attempts[i];
        char key[16];
        snprintf(key, sizeof(key), "d/%02d", a->key);
        const char *value = value_at(&nodes[0], key);
        bool there = value && contains(value, a->number);
        assert_int_equal(a->outcome.calls, 1);
        if (a->outcome.code == 0 && !there)
            fail_msg("commit %u was told to have happened: %s", a->number, value ? value : "-");
        if (a->outcome.code != 0 && a->outcome.code != GTM_EIO && there)
            fail_msg("commit %u was told not to have happened (%s): %s", a->number, a->outcome.text,
                     value);
        good += a->outcome.code == 0;
        refused += a->outcome.code == GTM_ECONFLICT;
        unknown += a->outcome.code == GTM_EIO;
    }
    print_message("%u done, %u conflicts, %u unknown, %u others\n", good, refused, unknown,
                  COMMITS - good - refused - unknown);
    assert_true(good > COMMITS / 8);
}

static void check_copies(struct gtm_store_watch *const *watches)
{
    must_put(&nodes[0], "end", "1");
    WAIT(has(&nodes[1], "end", "1"));
    open_node(&nodes[2]);
    WAIT(info_of(&nodes[2]).link == GTM_STORE_FRESH && has(&nodes[2], "end", "1"));
    for (int k = 0; k < KEYS; k++) {
        char key[16];
        snprintf(key, sizeof(key), "d/%02d", k);
        const char *want = value_at(&nodes[2], key);
        for (int n = 0; n < 2; n++) {
            assert_true(has(&nodes[n], key, want));
            assert_string_equal(watched[n][k], want ? want : "");
            assert_int_equal(info_of(&nodes[n]).alien, 0);
        }
    }
    for (int n = 0; n < 2; n++)
        gtm_store_unwatch(nodes[n].store, watches[n]);
}

static void all_copies_are_one(void **state)
{
    NEED_ETCD();
    const char *text = getenv("GTM_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 10) : 1;
    struct gtm_rand rand;
    gtm_rand_seed(&rand, seed);
    open_all(2);
    memset(attempts, 0, sizeof(attempts));
    memset(watched, 0, sizeof(watched));
    finished = 0;
    struct gtm_store_watch *watches[2];
    for (int n = 0; n < 2; n++) {
        newest[n] = 0;
        watches[n] = gtm_store_watch(nodes[n].store, "d/", on_watch, (void *)(intptr_t)n);
    }
    int down = -1;
    for (unsigned i = 0; i < COMMITS; i++) {
        WAIT(i - finished < UNDER_WAY);
        begin(&attempts[i], i + 1, &rand);
        run(gtm_rand_below(&rand, 20));
        disturb(i, &rand, &down);
    }
    if (down >= 0)
        etcd_server_start(server, (unsigned)down);
    for (unsigned i = 0; i < COMMITS; i++)
        WAIT(attempts[i].outcome.calls);
    for (int n = 0; n < 2; n++)
        WAIT(info_of(&nodes[n]).link == GTM_STORE_FRESH);
    check_copies(watches);
    check_attempts();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_copies_are_one, setup_three, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
