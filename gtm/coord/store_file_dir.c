/* SPDX-License-Identifier: Apache-2.0
 *
 * The folder of a store. See store_file_dir.h.
 */
#include "gtm/coord/store_file_dir.h"

#include "gtm/base/clock.h"
#include "gtm/base/fs.h"
#include "gtm/base/mem.h"
#include "gtm/coord/store_etcd.h"
#include "gtm/coord/store_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define ASIDE_TRIES 100 /* damaged files within one second */

static int fail_path(struct gtm_error *err, int errnum, const char *path, const char *what)
{
    return gtm_error_at(err, gtm_err_from_errno(errnum), path, 0, 0, "%s: %s", what,
                        strerror(errnum));
}

static int no_memory(struct gtm_error *err)
{
    return gtm_error_set(err, GTM_ENOMEM, "%s", gtm_err_text(GTM_ENOMEM));
}

/* gtm_fs_write_atomic names its temporary file ".<name>.XXXXXX"; under the lock nobody else can be
 * writing one. */
static void remove_leftovers(const char *data_dir)
{
    static const char *const names[] = {"." GTM_STORE_FILE_NAME ".", "." GTM_STORE_CACHE_FILE "."};
    DIR *dir = opendir(data_dir);
    if (!dir)
        return; /* costs only space */
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL)
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
            if (strncmp(entry->d_name, names[i], strlen(names[i])) == 0 &&
                strlen(entry->d_name) == strlen(names[i]) + 6)
                unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
}

/* Whoever finds the folder locked reads from the file who holds it. */
static int lock_refused(int fd, const char *path, struct gtm_error *err)
{
    char pid[24];
    ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);
    pid[n > 0 ? n : 0] = '\0';
    pid[strcspn(pid, "\n")] = '\0';
    if (pid[0] == '\0' || pid[strspn(pid, "0123456789")] != '\0')
        return gtm_error_at(err, GTM_ESTATE, path, 0, 0, "locked by another process");
    return gtm_error_at(err, GTM_ESTATE, path, 0, 0, "locked by another process (pid %s)", pid);
}

/* The lock holds without the number, which is a courtesy to people: a full disk is no reason to
 * refuse. */
static void write_pid(int fd)
{
    char pid[24];
    int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) == 0 && pwrite(fd, pid, (size_t)n, 0) != n)
        (void)!ftruncate(fd, 0);
}

static int take_lock(const char *path, int *ret_fd, struct gtm_error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail_path(err, errno, path, "cannot open the lock file");
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int rc = errno == EWOULDBLOCK ? lock_refused(fd, path, err)
                                      : fail_path(err, errno, path, "cannot lock");
        close(fd);
        return rc;
    }
    write_pid(fd);
    *ret_fd = fd;
    return GTM_OK;
}

int coord__dir_lock(const char *data_dir, int *ret_fd, struct gtm_error *err)
{
    int rc = gtm_fs_mkdirs(data_dir, 0750, err);
    if (rc != GTM_OK)
        return rc;
    char *path = gtm_fs_join(data_dir, GTM_STORE_FILE_LOCK);
    if (!path)
        return no_memory(err);
    rc = take_lock(path, ret_fd, err);
    gtm_free(path);
    if (rc == GTM_OK)
        remove_leftovers(data_dir);
    return rc;
}

int coord__dir_take(const char *data_dir, int fd, struct gtm_error *err)
{
    struct stat here, sent;
    char *path = gtm_fs_join(data_dir, GTM_STORE_FILE_LOCK);
    if (!path)
        return no_memory(err);
    int rc = GTM_OK;
    if (stat(path, &here) || fstat(fd, &sent) || here.st_dev != sent.st_dev ||
        here.st_ino != sent.st_ino || flock(fd, LOCK_EX | LOCK_NB) != 0)
        rc = gtm_error_at(err, GTM_EINVAL, path, 0, 0, "the lock that was sent is another one");
    gtm_free(path);
    if (rc == GTM_OK)
        write_pid(fd);
    return rc;
}

int coord__dir_move_aside(const char *path, const struct gtm_error *why,
                          struct gtm_error *ret_damage, struct gtm_error *err)
{
    char when[GTM_TIME_TEXT_BYTES];
    gtm_time_format(gtm_wall_ms(gtm_clock_system()), when);
    when[strcspn(when, ".")] = '\0';
    for (int i = 0; i < ASIDE_TRIES; i++) {
        char *aside = i == 0 ? gtm_asprintf("%s.damaged-%sZ", path, when)
                             : gtm_asprintf("%s.damaged-%sZ-%d", path, when, i);
        if (!aside)
            return no_memory(err);
        /* link fails where the name is taken; rename would destroy an earlier find. */
        int rc = GTM_OK, errnum = link(path, aside) == 0 ? 0 : errno;
        if (errnum == 0 && unlink(path) != 0)
            errnum = errno;
        if (errnum == 0)
            gtm_error_at(ret_damage, GTM_ECORRUPT, path, why->line, why->col,
                         "%s; moved aside to %s, starting with an empty store", why->text, aside);
        else if (errnum != EEXIST)
            rc = fail_path(err, errnum, path, "damaged, and cannot be moved aside");
        gtm_free(aside);
        if (errnum != EEXIST)
            return rc;
    }
    return gtm_error_at(err, GTM_EEXIST, path, 0, 0, "damaged, and every name aside is taken");
}
