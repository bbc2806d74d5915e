/* SPDX-License-Identifier: Apache-2.0
 *
 * The copy of etcd against a plain list of keys, random batches and listings; its file, also when
 * the process that writes it is killed; the identity rules as a table.
 */
#include "gtm/coord/cache.h"

#include "gtm/base/fs.h"
#include "gtm/base/mem.h"
#include "gtm/base/rand.h"
#include "tests/support/temp_dir.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define KEYS 60

static struct {
    char value[24];
    int64_t revision; /* 0 = absent */
} model[KEYS];

static void key_of(unsigned k, char out[16])
{
    snprintf(out, 16, "k/%02u", k);
}

static int next_key(void *arg, const struct gtm_store_entry *e)
{
    unsigned *k = arg;
    char key[16];
    while (*k < KEYS && model[*k].revision == 0)
        (*k)++;
    assert_true(*k < KEYS);
    key_of(*k, key);
    assert_string_equal(e->key, key);
    assert_string_equal(e->value, model[*k].value);
    assert_int_equal(e->value_len, strlen(e->value));
    assert_int_equal(e->revision, model[*k].revision);
    (*k)++;
    return 0;
}

static void assert_like_model(const struct coord__mirror *mirror)
{
    unsigned k = 0;
    size_t bytes = 0, count = 0;
    assert_int_equal(coord__mirror_list(mirror, "", next_key, &k), 0);
    while (k < KEYS && model[k].revision == 0)
        k++;
    assert_int_equal(k, KEYS);
    for (k = 0; k < KEYS; k++) {
        char key[16];
        struct gtm_store_entry e;
        key_of(k, key);
        assert_int_equal(coord__mirror_get(mirror, key, &e) == 0, model[k].revision != 0);
        bytes += model[k].revision ? strlen(key) + strlen(model[k].value) : 0;
        count += model[k].revision != 0;
    }
    assert_int_equal(mirror->bytes, bytes);
    assert_int_equal(mirror->count, count);
}

/* One random batch; the model follows unless `lost`. */
static void stage_some(struct coord__mirror *mirror, struct gtm_rand *rand, int64_t revision,
                       bool listing)
{
    unsigned n = gtm_rand_below(rand, 8);
    bool named[KEYS] = {false};
    if (listing)
        coord__mirror_begin_listing(mirror);
    for (unsigned i = 0; i < (listing ? KEYS : n); i++) {
        unsigned k = listing ? i : gtm_rand_below(rand, KEYS), what = gtm_rand_below(rand, 4);
        char key[16], value[24];
        key_of(k, key);
        snprintf(value, sizeof(value), "%u", gtm_rand_below(rand, 100000));
        if (listing && what == 0)
            continue; /* not named: gone */
        named[k] = true;
        if (listing && what == 1) {
            assert_int_equal(coord__mirror_stage(mirror, COORD__ITEM_KEEP, key, "", 0, revision),
                             0);
        } else if (listing && what == 2 && model[k].revision) { /* unchanged */
            assert_int_equal(coord__mirror_stage(mirror, COORD__ITEM_PUT, key, model[k].value,
                                                 strlen(model[k].value), model[k].revision),
                             0);
        } else if (!listing && what == 0) {
            assert_int_equal(coord__mirror_stage(mirror, COORD__ITEM_GONE, key, "", 0, revision),
                             0);
            model[k].revision = 0;
        } else {
            assert_int_equal(
                coord__mirror_stage(mirror, COORD__ITEM_PUT, key, value, strlen(value), revision),
                0);
            model[k].revision = revision;
            snprintf(model[k].value, sizeof(model[k].value), "%s", value);
        }
    }
    for (unsigned k = 0; listing && k < KEYS; k++)
        if (!named[k])
            model[k].revision = 0;
}

static void it_is_like_a_plain_list(void **state)
{
    struct coord__mirror mirror = {0};
    struct gtm_rand rand;
    gtm_rand_seed(&rand, 7);
    memset(model, 0, sizeof(model));
    for (int64_t revision = 1; revision < 3000; revision++) {
        struct coord__changed changed;
        bool listing = gtm_rand_below(&rand, 10) == 0;
        char before[KEYS][24];
        int64_t revisions[KEYS];
        for (unsigned k = 0; k < KEYS; k++) {
            memcpy(before[k], model[k].value, sizeof(before[k]));
            revisions[k] = model[k].revision;
        }
        stage_some(&mirror, &rand, revision, listing);
        assert_int_equal(coord__mirror_apply(&mirror, revision, &changed), 0);
        assert_like_model(&mirror);
        /* Told is exactly what has changed. */
        size_t differ = 0;
        for (unsigned k = 0; k < KEYS; k++)
            differ += revisions[k] != model[k].revision;
        assert_int_equal(changed.count, differ);
        for (size_t i = 1; i < changed.count; i++)
            assert_true(changed.items[i - 1]->revision <= changed.items[i]->revision);
        coord__changed_fini(&changed);
    }
    coord__mirror_fini(&mirror);
}

static void memory_may_fail(void **state)
{
    for (unsigned n = 1; n < 60; n++) {
        struct coord__mirror mirror = {0};
        struct coord__changed changed = {0};
        struct gtm_store_entry e;
        assert_int_equal(coord__mirror_stage(&mirror, COORD__ITEM_PUT, "a", "1", 1, 1), 0);
        assert_int_equal(coord__mirror_stage(&mirror, COORD__ITEM_PUT, "b", "1", 1, 1), 0);
        assert_int_equal(coord__mirror_apply(&mirror, 1, &changed), 0);
        coord__changed_fini(&changed);
        gtm_mem_fail_at(n, 0);
        coord__mirror_begin_listing(&mirror);
        int rc = coord__mirror_stage(&mirror, COORD__ITEM_PUT, "c", "2", 1, 2);
        if (rc == 0)
            rc = coord__mirror_apply(&mirror, 2, &changed);
        gtm_mem_fail_at(0, 0);
        assert_true(rc == 0 || rc == GTM_ENOMEM);
        assert_int_equal(coord__mirror_get(&mirror, "a", &e) == 0, rc != 0);
        assert_int_equal(coord__mirror_get(&mirror, "c", &e) == 0, rc == 0);
        coord__changed_fini(&changed);
        coord__mirror_fini(&mirror);
    }
}

/* --- the file --- */

static void fill(struct coord__mirror *mirror, int64_t revision)
{
    struct coord__changed changed;
    for (unsigned k = 0; k < KEYS; k++) {
        char key[16], value[32];
        key_of(k, key);
        int n = snprintf(value, sizeof(value), "%lld", (long long)revision);
        assert_int_equal(
            coord__mirror_stage(mirror, COORD__ITEM_PUT, key, value, (size_t)n, revision), 0);
    }
    assert_int_equal(coord__mirror_apply(mirror, revision, &changed), 0);
    coord__changed_fini(&changed);
}

static void save_for_ever(const char *path)
{
    struct coord__mirror mirror = {0};
    struct coord__cache *cache = coord__cache_new(path, NULL);
    for (int64_t revision = 1;; revision++) {
        fill(&mirror, revision);
        struct coord__identity known = {
            .cluster_id = 7, .epoch = 2, .revision = revision, .id = "a1"};
        coord__cache_save(cache, coord__mirror_share(&mirror), mirror.count, &known);
        coord__cache_wait(cache);
    }
}

static int same_value(void *arg, const struct gtm_store_entry *e)
{
    const char *want = arg;
    assert_string_equal(e->value, want);
    return 0;
}

static void killed_while_saving(void **state)
{
    char dir[TEST_TEMP_DIR_BYTES], path[96];
    struct gtm_rand rand;
    gtm_rand_seed(&rand, 3);
    assert_int_equal(test_temp_dir_make("cache", dir), 0);
    snprintf(path, sizeof(path), "%s/cluster.jsonl", dir);
    int64_t newest = 0;
    for (int i = 0; i < 30; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            save_for_ever(path);
            _exit(0);
        }
        usleep(3000 + gtm_rand_below(&rand, 20000));
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        struct coord__mirror mirror = {0};
        struct coord__identity known;
        struct gtm_error damage = {0}, err = {0};
        assert_int_equal(coord__cache_load(path, &mirror, &known, &damage, &err), 0);
        assert_int_equal(damage.code, 0);
        if (known.revision) {
            char want[32];
            snprintf(want, sizeof(want), "%lld", (long long)known.revision);
            assert_int_equal(mirror.count, KEYS); /* one revision, whole */
            assert_int_equal(coord__mirror_list(&mirror, "", same_value, want), 0);
            assert_int_equal(known.cluster_id, 7);
            assert_int_equal(known.epoch, 2);
            assert_string_equal(known.id, "a1");
            newest = known.revision;
        }
        coord__mirror_fini(&mirror);
    }
    assert_true(newest > 0);
    assert_int_equal(test_temp_dir_remove(dir), 0);
}

/* Whatever write, fsync or rename fails: it is said, and the older copy is there, whole. */
static void every_step_of_saving_may_fail(void **state)
{
    char dir[TEST_TEMP_DIR_BYTES], path[96];
    struct coord__mirror mirror = {0};
    struct coord__identity known = {.cluster_id = 7, .epoch = 2, .id = "a1"};
    struct gtm_error why = {0};
    bool failed = true;
    unsigned n = 0;
    assert_int_equal(test_temp_dir_make("cache", dir), 0);
    snprintf(path, sizeof(path), "%s/cluster.jsonl", dir);
    struct coord__cache *cache = coord__cache_new(path, NULL);
    assert_non_null(cache);
    for (known.revision = 1; failed; known.revision++) {
        fill(&mirror, known.revision);
        gtm_fs_fail_at(n, ENOSPC); /* 0, the first: none */
        assert_true(coord__cache_save(cache, coord__mirror_share(&mirror), mirror.count, &known));
        coord__cache_wait(cache);
        gtm_fs_fail_at(0, 0);
        failed = coord__cache_failed(cache, &why) || n == 0;
        if (n > 0 && failed) {
            assert_int_equal(why.code, GTM_ENOSPACE);
            assert_string_equal(why.file, path);
        }
        struct coord__mirror loaded = {0};
        struct coord__identity of;
        struct gtm_error damage = {0}, err = {0};
        assert_int_equal(coord__cache_load(path, &loaded, &of, &damage, &err), 0);
        assert_int_equal(damage.code, 0);
        assert_int_equal(loaded.count, KEYS);
        char want[32];
        snprintf(want, sizeof(want), "%lld", (long long)of.revision);
        assert_int_equal(coord__mirror_list(&loaded, "", same_value, want), 0);
        assert_true(failed ? of.revision <= known.revision : of.revision == known.revision);
        coord__mirror_fini(&loaded);
        n++;
    }
    assert_true(n > 4); /* write, fsync, rename, fsync of the folder, and then none */
    assert_int_equal(why.code, 0);
    coord__cache_free(cache);
    coord__mirror_fini(&mirror);
    assert_int_equal(test_temp_dir_remove(dir), 0);
}

/* --- whose store it is --- */

static void the_table_of_identities(void **state)
{
    static const struct {
        struct coord__identity known, found;
        enum coord__judgement word;
    } rows[] = {
        {{0, 0, 0, false, ""}, {5, 0, 9, false, ""}, COORD__ADOPTED},
        {{0, 0, 0, false, ""}, {5, 3, 9, true, ""}, COORD__REFUSED},
        {{5, 0, 9, false, ""}, {5, 0, 9, false, ""}, COORD__OURS},
        {{5, 2, 9, false, ""}, {5, 2, 10, false, ""}, COORD__OURS},
        {{5, 2, 9, false, ""}, {5, 2, 8, false, ""}, COORD__REFUSED},
        {{5, 2, 9, false, ""}, {6, 2, 99, false, ""}, COORD__REFUSED},
        {{5, 2, 9, false, ""}, {6, 3, 1, false, ""}, COORD__ADOPTED},
        {{5, 2, 9, false, ""}, {5, 3, 1, false, ""}, COORD__ADOPTED},
        {{5, 2, 9, false, ""}, {5, 3, 99, true, ""}, COORD__REFUSED},
        {{5, 2, 9, false, ""}, {5, 1, 99, false, ""}, COORD__REFUSED},
        {{5, 2, 9, false, "a"}, {5, 2, 99, false, "a"}, COORD__OURS},
        {{5, 2, 9, false, "a"}, {5, 2, 99, false, "b"}, COORD__REFUSED},
        {{5, 2, 9, false, "a"}, {5, 2, 99, false, ""}, COORD__OURS},
        {{5, 2, 9, false, ""}, {5, 2, 99, false, "b"}, COORD__OURS},
        {{5, 2, 9, false, "a"}, {5, 3, 99, false, "b"}, COORD__ADOPTED},
        {{5, 0, 9, false, ""}, {5, 1, 99, false, "b"}, COORD__ADOPTED},
        {{5, 2, 9, false, ""}, {5, 0, 99, false, ""}, COORD__REFUSED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char why[COORD__WHY_BYTES];
        assert_int_equal(coord__identity_judge(&rows[i].known, &rows[i].found, why), rows[i].word);
        assert_int_equal(why[0] != '\0', rows[i].word == COORD__REFUSED);
    }
}

/* The table of identity.h again, from its words. */
static enum coord__judgement expected(const struct coord__identity *known,
                                      const struct coord__identity *found)
{
    bool two_ids = known->id[0] && found->id[0] && known->id[0] != found->id[0];
    if (found->restoring)
        return COORD__REFUSED;
    if (known->cluster_id == 0 || found->epoch > known->epoch)
        return COORD__ADOPTED;
    return found->epoch < known->epoch || found->cluster_id != known->cluster_id ||
                   found->revision < known->revision || two_ids
               ? COORD__REFUSED
               : COORD__OURS;
}

static struct coord__identity identity_number(unsigned n, bool found)
{
    static const char *const ids[] = {"", "a", "b"};
    struct coord__identity id = {.cluster_id = n % 3,
                                 .epoch = n / 3 % 3,
                                 .revision = 8 + n / 9 % 3,
                                 .restoring = found && n / 81 % 2};
    if (found && id.cluster_id == 0)
        id.cluster_id = 3; /* etcd has one */
    snprintf(id.id, sizeof(id.id), "%s", ids[n / 27 % 3]);
    return id;
}

static void every_identity_with_every_other(void **state)
{
    unsigned words[3] = {0}, made_anew = 0;
    for (unsigned k = 0; k < 81; k++)
        for (unsigned f = 0; f < 162; f++) {
            struct coord__identity known = identity_number(k, false),
                                   found = identity_number(f, true);
            char why[COORD__WHY_BYTES];
            enum coord__judgement word = coord__identity_judge(&known, &found, why);
            if (word != expected(&known, &found))
                fail_msg("known %u, found %u: %d (%s)", k, f, word, why);
            assert_int_equal(why[0] != '\0', word == COORD__REFUSED);
            words[word]++;
            made_anew += strstr(why, "another store of the same epoch") != NULL;
        }
    for (int i = 0; i < 3; i++)
        assert_true(words[i] > 0);
    /* 2 clusters, 3 epochs, 9 pairs of revisions, 2 pairs of two ids; all other things alike. */
    assert_int_equal(made_anew, 2 * 3 * 9 * 2);
}

static void what_is_taken_of_an_identity(void **state)
{
    struct coord__identity known = {.epoch = 1};
    coord__identity_take(&known, 1, "a");
    assert_string_equal(known.id, "a");
    coord__identity_take(&known, 1, ""); /* not known: nothing is forgotten */
    assert_string_equal(known.id, "a");
    coord__identity_take(&known, 2, "");
    assert_string_equal(known.id, "");
    coord__identity_take(&known, 3, "b");
    assert_string_equal(known.id, "b");
    assert_int_equal(known.epoch, 3);
}

static int parse(const char *text, struct coord__identity *ret)
{
    return coord__identity_parse(text, strlen(text), ret, NULL);
}

static void the_text_of_an_identity(void **state)
{
    struct coord__identity id, other;
    char *text = coord__identity_print(4, true, 1, "us-1", "uli", NULL);
    assert_int_equal(parse(text, &id), 0);
    assert_int_equal(id.epoch, 4);
    assert_true(id.restoring);
    assert_int_equal(strlen(id.id), COORD__ID_BYTES - 1);
    for (size_t i = 0; i < strlen(text); i++)
        assert_int_not_equal(coord__identity_parse(text, i, &other, NULL), 0);
    gtm_free(text);
    text = coord__identity_print(4, true, 1, "us-1", "uli", NULL);
    assert_int_equal(parse(text, &other), 0);
    assert_string_not_equal(id.id, other.id);
    gtm_free(text);
    assert_int_equal(parse("{\"v\":1,\"epoch\":0}", &id), GTM_ECORRUPT);
    assert_int_equal(parse("{\"v\":9,\"epoch\":1}", &id), GTM_EUNSUPPORTED);
    assert_int_equal(parse("{\"v\":1,\"epoch\":1}", &id), 0);
    assert_string_equal(id.id, "");
    assert_int_equal(parse("{\"v\":1,\"epoch\":1,\"id\":\"a\\\"b\"}", &id), GTM_ECORRUPT);
    assert_int_equal(
        parse("{\"v\":1,\"epoch\":1,\"id\":\"0123456789abcdef0123456789abcdef0\"}", &id),
        GTM_ECORRUPT);
    assert_int_equal(coord__identity_parse(NULL, 0, &other, NULL), 0);
    assert_int_equal(other.epoch, 0);
    assert_string_equal(other.id, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_like_a_plain_list),
        cmocka_unit_test(memory_may_fail),
        cmocka_unit_test(killed_while_saving),
        cmocka_unit_test(every_step_of_saving_may_fail),
        cmocka_unit_test(the_table_of_identities),
        cmocka_unit_test(every_identity_with_every_other),
        cmocka_unit_test(what_is_taken_of_an_identity),
        cmocka_unit_test(the_text_of_an_identity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
