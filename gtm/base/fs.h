/* SPDX-License-Identifier: Apache-2.0
 *
 * Files, bounded and atomic. Thread-safe. May block: never call from a DNS worker.
 */
#ifndef GTM_BASE_FS_H
#define GTM_BASE_FS_H

#include "gtm/base/err.h"

#include <stddef.h>
#include <sys/types.h>

/* Reads a whole regular file of at most max_bytes into *ret_data (NUL-terminated beyond *ret_len,
 * freed with gtm_free). GTM_ENOTFOUND, GTM_ELIMIT, GTM_EIO, GTM_EDENIED, GTM_ENOMEM. */
int gtm_fs_read(const char *path, size_t max_bytes, char **ret_data, size_t *ret_len,
                struct gtm_error *err) GTM_MUST_CHECK;

/* Writes to a temporary file beside path, fsyncs, renames, fsyncs the folder: the old content or
 * the new, never a mixture, also on a full disk (GTM_ENOSPACE; the temporary file is removed). */
int gtm_fs_write_atomic(const char *path, const void *data, size_t len, mode_t mode,
                        struct gtm_error *err) GTM_MUST_CHECK;

/* mkdir -p with mode for the last component; 0 when it is there already. */
int gtm_fs_mkdirs(const char *path, mode_t mode, struct gtm_error *err) GTM_MUST_CHECK;

/* Joins a folder and a relative path ("a/b"); an absolute path is returned as it is. Returns a new
 * string. */
char *gtm_fs_join(const char *dir, const char *path);
/* The folder of a path ("." when it has none). Returns a new string. */
char *gtm_fs_dirname(const char *path);

/* Tests: the n-th write(2)/fsync(2)/rename(2) from now made by this unit fails with errnum; 0 =
 * off. */
void gtm_fs_fail_at(unsigned n, int errnum);

#endif
