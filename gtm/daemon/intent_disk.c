/* SPDX-License-Identifier: Apache-2.0
 *
 * Chunks and folders. See intent_disk.h; what is removed is in intent_disk_prune.c.
 */
#include "gtm/daemon/intent_disk.h"

#include "gtm/base/fs.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/intent_disk_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANIFEST_MAX_BYTES (16u << 20)

static int fail(struct gtm_error *err, const char *what, const char *path)
{
    int errnum = errno;
    return gtm_error_at(err, gtm_err_from_errno(errnum), path, 0, 0, "%s: %s", what,
                        strerror(errnum));
}

static int nomem(struct gtm_error *err)
{
    gtm_error_set(err, GTM_ENOMEM, "out of memory");
    return GTM_ENOMEM;
}

/* --- chunks --- */

static char *blob_path(const char *data_dir, const struct gtm_blob_ref *blob)
{
    return gtm_asprintf("%s/intent/blobs/%s", data_dir, blob->sha256);
}

bool gtm_intent_disk_has(const char *data_dir, const struct gtm_blob_ref *blob)
{
    char *path = blob_path(data_dir, blob);
    struct stat st;
    bool has = path && stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == blob->bytes;
    if (has) /* somebody counts on it: that it is young keeps it from a prune meanwhile */
        (void)utimensat(AT_FDCWD, path, NULL, 0);
    gtm_free(path);
    return has;
}

/* Without a sync: what a crash leaves half written is found by its hash. */
static int write_plain(const char *path, const char *text, size_t len, struct gtm_error *err)
{
    if (!path)
        return gtm_error_set(err, GTM_ENOMEM, "out of memory");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail(err, "cannot write", path);
    while (len > 0) {
        ssize_t put = write(fd, text, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0) {
            int rc = fail(err, "cannot write", path);
            close(fd);
            return rc;
        }
        text += put;
        len -= (size_t)put;
    }
    return close(fd) == 0 ? GTM_OK : fail(err, "cannot write", path);
}

static bool has_hash(const struct gtm_blob_ref *blob, const char *text)
{
    char hex[GTM_SHA256_HEX_BYTES];
    return gtm_sha256_hex(text, blob->bytes, hex) && strcmp(hex, blob->sha256) == 0;
}

int gtm_intent_disk_put(const char *data_dir, const struct gtm_blob_ref *blob, const char *text,
                        struct gtm_error *err)
{
    if (!has_hash(blob, text))
        return gtm_error_set(err, GTM_ECORRUPT,
                             "blob/%s does not have the hash it is named by: it was changed",
                             blob->sha256);
    if (gtm_intent_disk_has(data_dir, blob))
        return GTM_OK;
    char *dir = gtm_asprintf("%s/intent/blobs", data_dir), *path = blob_path(data_dir, blob);
    char *temp = path ? gtm_asprintf("%s.%ld.%p", path, (long)getpid(), (const void *)text) : NULL;
    int rc = dir && temp ? gtm_fs_mkdirs(dir, 0700, err) : nomem(err);
    if (rc == GTM_OK)
        rc = write_plain(temp, text, blob->bytes, err);
    if (rc == GTM_OK && rename(temp, path) != 0)
        rc = fail(err, "cannot rename", temp);
    if (rc != GTM_OK && temp)
        unlink(temp);
    gtm_free(dir);
    gtm_free(path);
    gtm_free(temp);
    return rc;
}

int gtm_intent_disk_read(const char *data_dir, const struct gtm_blob_ref *blob, char **ret_text,
                         struct gtm_error *err)
{
    char *path = blob_path(data_dir, blob), *text = NULL;
    size_t len = 0;
    int rc = path ? gtm_fs_read(path, GTM_BLOB_MAX_BYTES, &text, &len, err) : nomem(err);
    if (rc == GTM_OK && (len != blob->bytes || !has_hash(blob, text))) {
        gtm_free(text);
        text = NULL;
        unlink(path);
        gtm_error_at(err, GTM_ENOTFOUND, path, 0, 0, "it was damaged, and removed");
        rc = GTM_ENOTFOUND;
    }
    gtm_free(path);
    *ret_text = text;
    return rc;
}

int gtm_intent_disk_file(const char *data_dir, const struct gtm_manifest_file *file,
                         char **ret_text, struct gtm_error *err)
{
    char *text = gtm_malloc(file->bytes + 1), hex[GTM_SHA256_HEX_BYTES];
    size_t at = 0;
    int rc = text ? GTM_OK : nomem(err);
    for (size_t i = 0; rc == GTM_OK && i < file->blobs_count; i++) {
        char *part = NULL;
        rc = gtm_intent_disk_read(data_dir, &file->blobs[i], &part, err);
        if (rc == GTM_OK) {
            memcpy(text + at, part, file->blobs[i].bytes); /* the lengths add up */
            at += file->blobs[i].bytes;
        }
        gtm_free(part);
    }
    if (rc == GTM_OK) {
        text[at] = 0;
        if (!gtm_sha256_hex(text, at, hex) || strcmp(hex, file->sha256) != 0)
            rc = gtm_error_set(err, GTM_ECORRUPT,
                               "the chunks of '%s' do not make up the file that has its hash",
                               file->name);
    }
    if (rc == GTM_OK)
        *ret_text = text;
    else
        gtm_free(text);
    return rc;
}

/* --- folders --- */

char *gtm_intent_disk_folder(const char *data_dir, int64_t rev)
{
    return gtm_asprintf("%s/intent/" INTENT__REV "%010lld", data_dir, (long long)rev);
}

static int write_file(const char *data_dir, const char *folder,
                      const struct gtm_manifest_file *file, struct gtm_error *err)
{
    char *path = gtm_asprintf("%s/%s", folder, file->name), *text = NULL;
    char *dir = path && strchr(file->name, '/') ? gtm_fs_dirname(path) : NULL;
    int rc = path && (dir || !strchr(file->name, '/')) ? GTM_OK : nomem(err);
    if (rc == GTM_OK && dir)
        rc = gtm_fs_mkdirs(dir, 0700, err);
    if (rc == GTM_OK)
        rc = gtm_intent_disk_file(data_dir, file, &text, err);
    if (rc == GTM_OK)
        rc = write_plain(path, text, file->bytes, err);
    gtm_free(text);
    gtm_free(dir);
    gtm_free(path);
    return rc;
}

static int write_files(const char *data_dir, const char *folder,
                       const struct gtm_manifest *manifest, struct gtm_error *err)
{
    int rc = GTM_OK;
    for (size_t i = 0; rc == GTM_OK && i < manifest->files_count; i++)
        rc = write_file(data_dir, folder, &manifest->files[i], err);
    char *text = rc == GTM_OK ? gtm_manifest_print(manifest) : NULL;
    char *path = gtm_asprintf("%s/" INTENT__MANIFEST, folder);
    if (rc == GTM_OK)
        rc = text && path ? write_plain(path, text, strlen(text), err) : nomem(err);
    gtm_free(text);
    gtm_free(path);
    if (rc != GTM_OK)
        return rc;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* one sync for thousands of files */
    if (fd < 0 || syncfs(fd) != 0)
        rc = fail(err, "cannot sync", folder);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* The same revision with the same content is there already. */
static bool is_there(const char *folder, const struct gtm_manifest *manifest)
{
    char *path = gtm_asprintf("%s/" INTENT__MANIFEST, folder), *want = gtm_manifest_print(manifest);
    char *text = NULL;
    size_t len = 0;
    struct gtm_error err = {0};
    bool there = path && want && gtm_fs_read(path, MANIFEST_MAX_BYTES, &text, &len, &err) == 0 &&
                 strcmp(text, want) == 0;
    gtm_free(path);
    gtm_free(want);
    gtm_free(text);
    return there;
}

int gtm_intent_disk_write(const char *data_dir, const struct gtm_manifest *manifest, bool try,
                          char **ret_folder, struct gtm_error *err)
{
    char *final = try ? NULL : gtm_intent_disk_folder(data_dir, manifest->rev);
    char *base = gtm_asprintf("%s/intent", data_dir);
    char *temp = gtm_asprintf("%s/intent/" INTENT__TRY "XXXXXX", data_dir);
    int rc = base && temp && (try || final) ? gtm_fs_mkdirs(base, 0700, err) : nomem(err);
    if (rc == GTM_OK && final && is_there(final, manifest)) {
        *ret_folder = final;
        final = NULL;
        goto out;
    }
    if (rc == GTM_OK && !mkdtemp(temp)) {
        rc = fail(err, "cannot make", temp);
    } else if (rc == GTM_OK) {
        rc = write_files(data_dir, temp, manifest, err);
        if (rc == GTM_OK && final) {
            intent__remove_tree(final); /* another content under this number: not ours any more */
            if (rename(temp, final) != 0)
                rc = fail(err, "cannot rename", temp);
        }
        if (rc != GTM_OK)
            intent__remove_tree(temp);
    }
    if (rc == GTM_OK) {
        *ret_folder = final ? final : temp;
        temp = final ? temp : NULL;
        final = NULL;
    }
out:
    gtm_free(final);
    gtm_free(base);
    gtm_free(temp);
    return rc;
}

char *gtm_intent_disk_current(const char *data_dir, int64_t *ret_rev)
{
    char target[64], *link = gtm_asprintf("%s/intent/" INTENT__CURRENT, data_dir);
    ssize_t n = link ? readlink(link, target, sizeof(target) - 1) : -1;
    gtm_free(link);
    if (n <= 0)
        return NULL;
    target[n] = 0;
    int64_t rev = intent__rev_of(target);
    if (rev < 1)
        return NULL;
    if (ret_rev)
        *ret_rev = rev;
    return gtm_intent_disk_folder(data_dir, rev);
}
