/* SPDX-License-Identifier: Apache-2.0
 *
 * The standalone store when the disk, the memory, the file or the process fails.
 */
#include "tests/unit/gtm/coord/store_fixture.h"

static void every_disk_step_may_fail(void **state)
{
    must_put("k", "old");
    for (unsigned n = 1;; n++) {
        gtm_fs_fail_at(n, ENOSPC);
        struct gtm_store_change changes[] = {put("k", "new", GTM_STORE_ANY),
                                             put("fresh", "1", GTM_STORE_ANY)};
        struct outcome o = commit(changes, 2);
        gtm_fs_fail_at(0, 0);
        struct gtm_store_status status;
        gtm_store_status(store, &status);
        if (o.code == 0) {
            assert_true(status.ok);
            assert_int_equal(n, 5);
            break;
        }
        assert_int_equal(o.code, GTM_ENOSPACE);
        assert_non_null(strstr(o.text, "No space left"));
        assert_false(status.ok);
        assert_int_equal(status.error.code, GTM_ENOSPACE);
        assert_int_equal(status.revision, 1);
        assert_int_equal(status.keys, 1);
        assert_value("k", "old", 1);
        assert_value("fresh", NULL, 0);
        assert_int_equal(files_matching("." GTM_STORE_FILE_NAME, NULL), 0);
    }
    reopen();
    assert_list("", "fresh=1;k=new;");
}

static void every_allocation_may_fail(void **state)
{
    must_put("k", "old");
    unsigned failures = 0;
    for (unsigned n = 1;; n++) {
        struct outcome o = {.stop = true};
        struct gtm_store_change changes[] = {put("k", "new", GTM_STORE_ANY),
                                             put("fresh", "1", GTM_STORE_ANY)};
        gtm_mem_fail_at(n, 0);
        int rc = gtm_store_commit(store, changes, 2, done, &o);
        if (rc == 0)
            assert_int_equal(gtm_loop_run(loop), 0);
        gtm_mem_fail_at(0, 0);
        if (rc == 0 && o.code == 0)
            break;
        assert_int_equal(rc ? rc : o.code, GTM_ENOMEM);
        assert_list("", "k=old;");
        failures++;
    }
    assert_true(failures > 8);
    assert_list("", "fresh=1;k=new;");
    close_store();
    for (unsigned n = 1;; n++) { /* opening */
        struct gtm_error err = {0};
        gtm_mem_fail_at(n, 0);
        int rc = gtm_store_file_open(loop, dir, &store, &damage, &err);
        gtm_mem_fail_at(0, 0);
        assert_int_equal(damage.code, 0); /* no memory is not damage */
        if (rc == 0)
            break;
        store = NULL;
        assert_int_equal(rc, GTM_ENOMEM);
    }
    assert_list("", "fresh=1;k=new;");
}

static void damaged_files_are_moved_aside(void **state)
{
    must_put("a", "1");
    must_put("b", "2");
    close_store();
    char *good, name[400];
    size_t len;
    struct gtm_error err = {0};
    assert_int_equal(gtm_fs_read(file, 1 << 20, &good, &len, &err), 0);
    /* Every cut and every flipped byte is noticed. */
    for (size_t i = 0; i < len * 2; i++) {
        char *bad = gtm_memdup(good, len);
        size_t bad_len = i < len ? i : len;
        if (i >= len)
            bad[i - len] ^= 0x01;
        assert_int_equal(gtm_fs_write_atomic(file, bad, bad_len, 0600, &err), 0);
        int rc = open_store();
        if (rc == GTM_EUNSUPPORTED) { /* the digit of the format itself became higher */
            assert_int_equal(bad[strlen("{\"format\":")] > '1', 1);
        } else {
            assert_int_equal(rc, 0);
            assert_int_equal(damage.code, GTM_ECORRUPT);
            assert_non_null(strstr(damage.text, "moved aside to"));
            assert_list("", "");
            assert_int_equal(files_matching(".damaged-", name), 1);
            char *kept;
            size_t kept_len;
            assert_int_equal(gtm_fs_read(name, 1 << 20, &kept, &kept_len, &err), 0);
            assert_int_equal(kept_len, bad_len);
            assert_memory_equal(kept, bad, bad_len);
            gtm_free(kept);
            unlink(name);
            close_store();
        }
        gtm_free(bad);
    }
    gtm_free(good);
    unlink(file);
    assert_int_equal(open_store(), 0);
}

static void damaged_files_never_replace_each_other(void **state)
{
    close_store();
    struct gtm_error err = {0};
    for (int i = 0; i < 5; i++) { /* within one second */
        assert_int_equal(gtm_fs_write_atomic(file, "junk", 4, 0600, &err), 0);
        assert_int_equal(open_store(), 0);
        assert_int_equal(damage.code, GTM_ECORRUPT);
        close_store();
    }
    assert_int_equal(files_matching(".damaged-", NULL), 5);
    assert_int_equal(open_store(), 0);
    must_put("k", "1"); /* and the empty store works */
    reopen();
    assert_list("", "k=1;");
}

static void a_newer_format_is_left_alone(void **state)
{
    close_store();
    static const char text[] = "{\"format\":2,\"whatever\":[]}\nx";
    struct gtm_error err = {0};
    assert_int_equal(gtm_fs_write_atomic(file, text, sizeof(text) - 1, 0600, &err), 0);
    assert_int_equal(open_store(), GTM_EUNSUPPORTED);
    assert_int_equal(damage.code, 0);
    assert_int_equal(files_matching("damaged", NULL), 0);
    assert_int_equal(access(file, F_OK), 0);
    unlink(file);
    assert_int_equal(mkdir(file, 0700), 0); /* not readable as a file: an error, not damage */
    assert_int_equal(open_store(), GTM_EINVAL);
    rmdir(file);
}

static void one_process_at_a_time(void **state)
{
    struct gtm_store *second = NULL;
    struct gtm_error err = {0}, harm;
    assert_int_equal(gtm_store_file_open(loop, dir, &second, &harm, &err), GTM_ESTATE);
    char want[80];
    snprintf(want, sizeof(want), "locked by another process (pid %ld)", (long)getpid());
    assert_string_equal(err.text, want);
    assert_null(second);
    must_put("k", "1"); /* the first one is not disturbed */
    close_store();
    assert_int_equal(open_store(), 0);
}

static void left_overs_of_a_crash_are_removed(void **state)
{
    char mine[100], other[100];
    struct gtm_error err = {0};
    must_put("k", "1");
    snprintf(mine, sizeof(mine), "%s/." GTM_STORE_FILE_NAME ".aB3xYz", dir);
    snprintf(other, sizeof(other), "%s/." GTM_STORE_FILE_NAME ".backup-of-mine", dir);
    assert_int_equal(gtm_fs_write_atomic(mine, "half", 4, 0600, &err), 0);
    assert_int_equal(gtm_fs_write_atomic(other, "x", 1, 0600, &err), 0);
    reopen();
    assert_int_equal(access(mine, F_OK), -1);
    assert_int_equal(access(other, F_OK), 0);
    assert_list("", "k=1;");
}

/* The writer is killed at an arbitrary moment: everything that it was told is durable is there, and
 * nothing is torn. */
static void a_killed_writer_loses_nothing_acknowledged(void **state)
{
    close_store();
    gtm_loop_free(loop);
    loop = NULL;
    for (int round = 0; round < 8; round++) {
        int acks[2];
        assert_int_equal(pipe(acks), 0);
        pid_t pid = fork();
        if (pid == 0) {
            loop = gtm_loop_new();
            if (open_store() != 0)
                _exit(9);
            char a[32];
            for (int i = 0;; i++) {
                snprintf(a, sizeof(a), "%d-%d", round, i);
                struct gtm_store_change pair[] = {put("a", a, GTM_STORE_ANY),
                                                  put("b", a, GTM_STORE_ANY)};
                struct outcome o = commit(pair, 2);
                if (write(acks[1], &o.revision, sizeof(o.revision)) < 0)
                    _exit(8);
            }
        }
        close(acks[1]);
        int64_t acked = 0, next;
        for (int i = 0; i < 5 + round; i++)
            assert_int_equal(read(acks[0], &acked, sizeof(acked)), sizeof(acked));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        while (read(acks[0], &next, sizeof(next)) == sizeof(next))
            acked = next;
        close(acks[0]);
        loop = gtm_loop_new();
        assert_int_equal(open_store(), 0);
        assert_int_equal(damage.code, 0);
        struct gtm_store_entry a, b;
        assert_int_equal(gtm_store_get(store, "a", &a), 0);
        assert_int_equal(gtm_store_get(store, "b", &b), 0);
        assert_string_equal(a.value, b.value);
        assert_true(a.revision == b.revision && a.revision >= acked);
        assert_int_equal(files_matching("." GTM_STORE_FILE_NAME, NULL),
                         0); /* left-overs are removed */
        close_store();
        gtm_loop_free(loop);
        loop = NULL;
    }
    loop = gtm_loop_new();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(every_disk_step_may_fail),
        STORE_TEST(every_allocation_may_fail),
        STORE_TEST(damaged_files_are_moved_aside),
        STORE_TEST(damaged_files_never_replace_each_other),
        STORE_TEST(a_newer_format_is_left_alone),
        STORE_TEST(one_process_at_a_time),
        STORE_TEST(left_overs_of_a_crash_are_removed),
        STORE_TEST(a_killed_writer_loses_nothing_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
