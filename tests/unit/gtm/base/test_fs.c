/* SPDX-License-Identifier: Apache-2.0 */
#include "gtm/base/fs.h"

#include "gtm/base/mem.h"
#include "tests/support/temp_dir.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[TEST_TEMP_DIR_BYTES];
static char file[80];

static int setup(void **state)
{
    if (test_temp_dir_make("fs", folder) != 0)
        return -1;
    snprintf(file, sizeof(file), "%s/f", folder);
    return 0;
}

static int teardown(void **state)
{
    return test_temp_dir_remove(folder);
}

static int off(void **state)
{
    gtm_fs_fail_at(0, 0);
    gtm_mem_fail_at(0, 0);
    return 0;
}

static unsigned files_in(const char *path)
{
    unsigned n = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL)
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(dir);
    return n;
}

static void assert_content(const char *path, const char *want)
{
    char *data = NULL;
    size_t len = 0;
    struct gtm_error err = {0};
    assert_int_equal(gtm_fs_read(path, 1 << 20, &data, &len, &err), 0);
    assert_int_equal(len, strlen(want));
    assert_string_equal(data, want);
    gtm_free(data);
}

static void what_is_written_is_read(void **state)
{
    struct gtm_error err = {0};
    assert_int_equal(gtm_fs_write_atomic(file, "one", 3, 0640, &err), 0);
    assert_content(file, "one");
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(gtm_fs_write_atomic(file, "", 0, 0600, &err), 0);
    assert_content(file, "");
    assert_int_equal(files_in(folder), 1);
}

static void reads_are_bounded(void **state)
{
    struct gtm_error err = {0};
    char *data = NULL;
    size_t len = 77;
    assert_int_equal(gtm_fs_write_atomic(file, "12345678", 8, 0600, &err), 0);
    assert_int_equal(gtm_fs_read(file, 7, &data, &len, &err), GTM_ELIMIT);
    assert_null(data); /* outputs stay as they were */
    assert_int_equal(len, 77);
    assert_int_equal(gtm_fs_read(file, 8, &data, &len, &err), 0);
    gtm_free(data);
    data = NULL;
    /* A file that says 0 bytes and gives more. */
    assert_int_equal(gtm_fs_read("/proc/self/maps", 100, &data, &len, &err), GTM_ELIMIT);
    assert_null(data);
}

static void odd_files_are_refused(void **state)
{
    struct gtm_error err = {0};
    char *data, fifo[80];
    size_t len;
    assert_int_equal(gtm_fs_read("/nonexistent/x", 9, &data, &len, &err), GTM_ENOTFOUND);
    assert_string_equal(err.file, "/nonexistent/x");
    assert_int_equal(gtm_fs_read(folder, 9, &data, &len, &err), GTM_EINVAL);
    assert_int_equal(gtm_fs_read("/dev/zero", 9, &data, &len, &err), GTM_EINVAL);
    snprintf(fifo, sizeof(fifo), "%s/fifo", folder);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(gtm_fs_read(fifo, 9, &data, &len, &err), GTM_EINVAL); /* and does not hang */
    unlink(fifo);
}

/* Every write, fsync and rename in turn fails: the content is the old or the new, and nothing is
 * left over. */
static void every_step_may_fail(void **state)
{
    struct gtm_error err = {0};
    for (unsigned n = 1;; n++) {
        assert_int_equal(gtm_fs_write_atomic(file, "old", 3, 0600, &err), 0);
        gtm_fs_fail_at(n, ENOSPC);
        int rc = gtm_fs_write_atomic(file, "new!", 4, 0600, &err);
        gtm_fs_fail_at(0, 0);
        assert_int_equal(files_in(folder), 1);
        if (rc == 0) {
            assert_content(file, "new!");
            assert_int_equal(n, 5); /* write, fsync, rename, fsync of the folder */
            break;
        }
        assert_int_equal(rc, GTM_ENOSPACE);
        assert_content(file, n < 4 ? "old" : "new!");
        assert_string_equal(err.file, file);
    }
}

static void every_allocation_may_fail(void **state)
{
    struct gtm_error err = {0};
    assert_int_equal(gtm_fs_write_atomic(file, "old", 3, 0600, &err), 0);
    unsigned n = 1;
    int rc = -1;
    for (; rc != 0; n++) {
        char *data = NULL;
        size_t len;
        gtm_mem_fail_at(n, 0);
        rc = gtm_fs_write_atomic(file, "new", 3, 0600, &err);
        if (rc == 0)
            rc = gtm_fs_read(file, 100, &data, &len, &err);
        if (rc == 0)
            rc = gtm_fs_mkdirs(folder, 0700, &err);
        gtm_mem_fail_at(0, 0);
        gtm_free(data);
        assert_true(rc == 0 || rc == GTM_ENOMEM);
        assert_int_equal(files_in(folder), 1);
    }
    assert_true(n > 4);
}

/* In a child with a mount namespace of its own: a real full disk of 64 KiB. 77 = no privilege. */
static int on_a_full_disk(void)
{
    struct gtm_error err = {0};
    char target[100], big[40000];
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return 77;
    snprintf(target, sizeof(target), "%s/small", folder);
    if (mkdir(target, 0700) != 0)
        return 1;
    if (mount("tmpfs", target, "tmpfs", 0, "size=64k") != 0)
        return 77;
    strncat(target, "/f", sizeof(target) - strlen(target) - 1);
    memset(big, 'a', sizeof(big));
    if (gtm_fs_write_atomic(target, big, sizeof(big), 0600, &err) != 0)
        return 2;
    memset(big, 'b', sizeof(big));
    if (gtm_fs_write_atomic(target, big, sizeof(big), 0600, &err) != GTM_ENOSPACE)
        return 3;
    char *data;
    size_t len;
    if (gtm_fs_read(target, 1 << 20, &data, &len, &err) != 0 || len != sizeof(big))
        return 4;
    for (size_t i = 0; i < len; i++)
        if (data[i] != 'a')
            return 5;
    gtm_free(data);
    *strrchr(target, '/') = '\0';
    return files_in(target) == 1 ? 0 : 6;
}

static void a_full_disk_keeps_the_old_file(void **state)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(on_a_full_disk());
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    char small[100];
    snprintf(small, sizeof(small), "%s/small", folder);
    rmdir(small);
    if (WEXITSTATUS(status) == 77)
        skip(); /* needs root */
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void folders_are_made(void **state)
{
    struct gtm_error err = {0};
    char path[100];
    struct stat st;
    snprintf(path, sizeof(path), "%s/a//b/c/", folder);
    assert_int_equal(gtm_fs_mkdirs(path, 0700, &err), 0);
    assert_int_equal(gtm_fs_mkdirs(path, 0700, &err), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    snprintf(path, sizeof(path), "%s/f/x", folder); /* below a file */
    assert_int_equal(gtm_fs_mkdirs(path, 0700, &err), GTM_EINVAL);
    assert_int_equal(gtm_fs_mkdirs("", 0700, &err), GTM_EINVAL);
    snprintf(path, sizeof(path), "%s/a", folder);
    assert_int_equal(test_temp_dir_remove(path), 0);
}

static void paths_are_joined_and_split(void **state)
{
    static const char *const joins[][3] = {{"/a", "b", "/a/b"},
                                           {"/a/", "b", "/a/b"},
                                           {"/a", "/b", "/b"},
                                           {"", "b", "b"},
                                           {".", "b", "./b"}};
    static const char *const dirs[][2] = {{"a", "."},   {"/a", "/"},     {"/a/b", "/a"},
                                          {"a/b", "a"}, {"/a//b", "/a"}, {"//b", "/"}};
    for (size_t i = 0; i < sizeof(joins) / sizeof(joins[0]); i++) {
        char *got = gtm_fs_join(joins[i][0], joins[i][1]);
        assert_string_equal(got, joins[i][2]);
        gtm_free(got);
    }
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
        char *got = gtm_fs_dirname(dirs[i][0]);
        assert_string_equal(got, dirs[i][1]);
        gtm_free(got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(reads_are_bounded),
        cmocka_unit_test(odd_files_are_refused),
        cmocka_unit_test_teardown(every_step_may_fail, off),
        cmocka_unit_test_teardown(every_allocation_may_fail, off),
        cmocka_unit_test(a_full_disk_keeps_the_old_file),
        cmocka_unit_test(folders_are_made),
        cmocka_unit_test(paths_are_joined_and_split),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
