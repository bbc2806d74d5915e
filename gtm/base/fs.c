/* SPDX-License-Identifier: Apache-2.0
 *
 * Bounded reads and atomic writes of files. The order of an atomic write is what makes it atomic:
 * temporary file, all bytes, fsync of the file, rename, fsync of the folder. See fs.h; any thread
 * that may block.
 */
#include "gtm/base/fs.h"

#include "gtm/base/buf.h"
#include "gtm/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_uint fail_countdown; /* 0 = off, 1 = the next call fails */
static atomic_int fail_errno;

void gtm_fs_fail_at(unsigned n, int errnum)
{
    atomic_store(&fail_errno, errnum);
    atomic_store(&fail_countdown, n);
}

static bool must_fail(void)
{
    unsigned left = atomic_load(&fail_countdown);
    while (left != 0) {
        if (atomic_compare_exchange_weak(&fail_countdown, &left, left - 1)) {
            if (left != 1)
                return false;
            errno = atomic_load(&fail_errno);
            return true;
        }
    }
    return false;
}

static ssize_t seam_write(int fd, const void *data, size_t len)
{
    return must_fail() ? -1 : write(fd, data, len);
}

static int seam_fsync(int fd)
{
    return must_fail() ? -1 : fsync(fd);
}

static int seam_rename(const char *from, const char *to)
{
    return must_fail() ? -1 : rename(from, to);
}

static int fail_path(struct gtm_error *err, int errnum, const char *what, const char *path)
{
    return gtm_error_at(err, gtm_err_from_errno(errnum), path, 0, 0, "%s: %s", what,
                        strerror(errnum));
}

/* Reads until the end or one byte beyond max_bytes: a file may grow while it is read. */
static int read_all(int fd, size_t max_bytes, struct gtm_buf *buf)
{
    char chunk[16384];
    for (;;) {
        ssize_t got = read(fd, chunk, sizeof(chunk));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno;
        if (got == 0)
            return 0;
        if ((size_t)got > max_bytes - buf->len)
            return EFBIG;
        gtm_buf_add(buf, chunk, (size_t)got);
        if (buf->failed)
            return ENOMEM;
    }
}

int gtm_fs_read(const char *path, size_t max_bytes, char **ret_data, size_t *ret_len,
                struct gtm_error *err)
{
    /* O_NONBLOCK: opening a pipe by mistake must not hang. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fail_path(err, errno, "cannot open", path);
    struct stat st;
    struct gtm_buf buf = {0};
    int rc, errnum = fstat(fd, &st) != 0 ? errno : 0;
    if (errnum == 0 && !S_ISREG(st.st_mode)) {
        rc = gtm_error_at(err, GTM_EINVAL, path, 0, 0, "not a regular file");
        goto out;
    }
    if (errnum == 0)
        errnum = st.st_size > 0 && (uint64_t)st.st_size > max_bytes ? EFBIG
                                                                    : read_all(fd, max_bytes, &buf);
    if (errnum == EFBIG)
        rc = gtm_error_at(err, GTM_ELIMIT, path, 0, 0, "larger than %zu bytes", max_bytes);
    else if (errnum != 0)
        rc = fail_path(err, errnum, "cannot read", path);
    else
        rc = GTM_OK;
    if (rc != GTM_OK)
        goto out;
    size_t len = buf.len;
    char *data = gtm_buf_take(&buf);
    if (!data) {
        rc = fail_path(err, ENOMEM, "cannot read", path);
        goto out;
    }
    *ret_data = data;
    *ret_len = len;
out:
    gtm_buf_fini(&buf);
    close(fd);
    return rc;
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t put = seam_write(fd, data, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return errno;
        data += put;
        len -= (size_t)put;
    }
    return 0;
}

static int fsync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int errnum = seam_fsync(fd) != 0 ? errno : 0;
    close(fd);
    /* Some filesystems cannot sync a folder and say so; then there is nothing more to do. */
    return errnum == EINVAL ? 0 : errnum;
}

/* Fills the temporary file behind fd and closes it; an errno value. */
static int fill_temporary(int fd, const void *data, size_t len, mode_t mode)
{
    int errnum = fchmod(fd, mode) != 0 ? errno : 0;
    if (errnum == 0)
        errnum = write_all(fd, data, len);
    if (errnum == 0 && seam_fsync(fd) != 0)
        errnum = errno;
    if (close(fd) != 0 && errnum == 0)
        errnum = errno;
    return errnum;
}

int gtm_fs_write_atomic(const char *path, const void *data, size_t len, mode_t mode,
                        struct gtm_error *err)
{
    char *dir = gtm_fs_dirname(path);
    const char *slash = strrchr(path, '/');
    char *temp = dir ? gtm_asprintf("%s/.%s.XXXXXX", dir, slash ? slash + 1 : path) : NULL;
    int rc = GTM_OK;
    if (!temp) {
        rc = fail_path(err, ENOMEM, "cannot write", path);
        goto out;
    }
    int fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0) {
        rc = fail_path(err, errno, "cannot create a temporary file beside it", path);
        goto out;
    }
    int errnum = fill_temporary(fd, data, len, mode);
    if (errnum == 0 && seam_rename(temp, path) != 0)
        errnum = errno;
    if (errnum != 0) {
        unlink(temp);
        rc = fail_path(err, errnum, "cannot write", path);
        goto out;
    }
    errnum = fsync_dir(dir);
    if (errnum != 0)
        rc = fail_path(err, errnum, "cannot sync its folder", path);
out:
    gtm_free(temp);
    gtm_free(dir);
    return rc;
}

/* mkdir that accepts an existing folder; an errno value. */
static int make_dir(const char *path, mode_t mode)
{
    if (mkdir(path, mode) == 0)
        return 0;
    int errnum = errno;
    struct stat st;
    if (stat(path, &st) == 0)
        return S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
    return errnum;
}

int gtm_fs_mkdirs(const char *path, mode_t mode, struct gtm_error *err)
{
    if (path[0] == '\0')
        return gtm_error_set(err, GTM_EINVAL, "empty folder name");
    char *copy = gtm_strdup(path);
    if (!copy)
        return fail_path(err, ENOMEM, "cannot create the folder", path);
    size_t len = strlen(copy);
    while (len > 1 && copy[len - 1] == '/')
        copy[--len] = '\0';
    int errnum = 0;
    for (char *p = copy + 1; errnum == 0 && *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        errnum = make_dir(copy, 0755);
        *p = '/';
    }
    if (errnum == 0)
        errnum = make_dir(copy, mode);
    gtm_free(copy);
    return errnum ? fail_path(err, errnum, "cannot create the folder", path) : GTM_OK;
}

char *gtm_fs_join(const char *dir, const char *path)
{
    if (path[0] == '/' || dir[0] == '\0')
        return gtm_strdup(path);
    size_t len = strlen(dir);
    return gtm_asprintf("%s%s%s", dir, dir[len - 1] == '/' ? "" : "/", path);
}

char *gtm_fs_dirname(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return gtm_strdup(".");
    while (slash > path && slash[-1] == '/')
        slash--;
    return slash == path ? gtm_strdup("/") : gtm_strndup(path, (size_t)(slash - path));
}
