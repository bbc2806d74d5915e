/* SPDX-License-Identifier: Apache-2.0
 *
 * What is in force, and what can go. See intent_disk.h.
 */
#include "gtm/base/fs.h"
#include "gtm/base/map.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/intent_disk.h"
#include "gtm/daemon/intent_disk_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MANIFEST_MAX_BYTES (16u << 20)
#define OPEN_FOLDERS       16
#define YOUNG_S            3600

int64_t intent__rev_of(const char *name)
{
    size_t n = sizeof(INTENT__REV) - 1;
    if (strncmp(name, INTENT__REV, n) != 0)
        return 0;
    size_t digits = strspn(name + n, "0123456789");
    return digits > 0 && digits < 19 && name[n + digits] == 0 ? strtoll(name + n, NULL, 10) : 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    (void)remove(path); /* what stays is found again by the next prune */
    return 0;
}

void intent__remove_tree(const char *path)
{
    nftw(path, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS);
}

void gtm_intent_disk_drop(const char *folder)
{
    const char *slash = folder ? strrchr(folder, '/') : NULL;
    if (slash && strncmp(slash + 1, INTENT__TRY, sizeof(INTENT__TRY) - 1) == 0)
        intent__remove_tree(folder);
}

/* The names of the chunks of a revision on disk; false: they cannot be told. */
static bool note_blobs(const char *data_dir, int64_t rev, struct gtm_map *used)
{
    char *folder = gtm_intent_disk_folder(data_dir, rev), *text = NULL;
    char *path = folder ? gtm_fs_join(folder, INTENT__MANIFEST) : NULL;
    struct gtm_manifest *manifest = NULL;
    struct gtm_error err = {0};
    size_t len = 0;
    bool ok = path && gtm_fs_read(path, MANIFEST_MAX_BYTES, &text, &len, &err) == GTM_OK &&
              gtm_manifest_parse(text, len, &manifest, &err) == GTM_OK;
    for (size_t i = 0; ok && i < manifest->files_count; i++)
        for (size_t k = 0; ok && k < manifest->files[i].blobs_count; k++)
            ok = gtm_map_put(used, manifest->files[i].blobs[k].sha256, used, NULL) == GTM_OK;
    gtm_manifest_free(manifest);
    gtm_free(text);
    gtm_free(path);
    gtm_free(folder);
    return ok;
}

/* Calls fn for each entry of a folder of data_dir/intent. */
static void each(const char *data_dir, const char *below,
                 void (*fn)(void *arg, const char *dir, const char *name), void *arg)
{
    char *path = gtm_asprintf("%s/intent%s", data_dir, below);
    DIR *dir = path ? opendir(path) : NULL;
    for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            fn(arg, path, e->d_name);
    if (dir)
        closedir(dir);
    gtm_free(path);
}

struct keep {
    int64_t current, before; /* the newest below current; 0 = none */
    struct gtm_map *used;
    time_t now_s;
};

static void find_before(void *arg, const char *dir, const char *name)
{
    struct keep *keep = arg;
    (void)dir;
    int64_t rev = intent__rev_of(name);
    if (rev < keep->current && rev > keep->before)
        keep->before = rev;
}

static void drop_folder(void *arg, const char *dir, const char *name)
{
    const struct keep *keep = arg;
    int64_t rev = intent__rev_of(name);
    if (rev == 0 || rev >= keep->current || rev == keep->before)
        return;
    char *path = gtm_fs_join(dir, name);
    if (path)
        intent__remove_tree(path);
    gtm_free(path);
}

static void drop_blob(void *arg, const char *dir, const char *name)
{
    const struct keep *keep = arg;
    if (gtm_map_get(keep->used, name))
        return;
    char *path = gtm_fs_join(dir, name);
    struct stat st;
    /* What an apply under way has put, or found here, is young. */
    if (path && stat(path, &st) == 0 && keep->now_s - st.st_mtime >= YOUNG_S)
        unlink(path);
    gtm_free(path);
}

static void prune(const char *data_dir, int64_t rev)
{
    struct keep keep = {.current = rev, .used = gtm_map_new(), .now_s = time(NULL)};
    each(data_dir, "", find_before, &keep);
    each(data_dir, "", drop_folder, &keep);
    /* Without knowing all that is used, none is removed. */
    if (keep.used && note_blobs(data_dir, rev, keep.used) &&
        (keep.before == 0 || note_blobs(data_dir, keep.before, keep.used)))
        each(data_dir, "/blobs", drop_blob, &keep);
    gtm_map_free(keep.used, NULL);
}

int gtm_intent_disk_set_current(const char *data_dir, int64_t rev, struct gtm_error *err)
{
    char *link = gtm_asprintf("%s/intent/" INTENT__CURRENT, data_dir);
    char *temp = gtm_asprintf("%s/intent/." INTENT__CURRENT ".new", data_dir);
    char *dir = gtm_asprintf("%s/intent", data_dir);
    char target[32];
    int rc = GTM_OK;
    snprintf(target, sizeof(target), INTENT__REV "%010lld", (long long)rev);
    if (!link || !temp || !dir) {
        rc = gtm_error_set(err, GTM_ENOMEM, "out of memory");
    } else {
        unlink(temp);
        if (symlink(target, temp) != 0 || rename(temp, link) != 0)
            rc = gtm_error_at(err, gtm_err_from_errno(errno), link, 0, 0, "cannot be set: %s",
                              strerror(errno));
        int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0) {
            (void)fsync(fd); /* some file systems cannot, and say so */
            close(fd);
        }
    }
    gtm_free(link);
    gtm_free(temp);
    gtm_free(dir);
    if (rc == GTM_OK)
        prune(data_dir, rev);
    return rc;
}

static void drop_try(void *arg, const char *dir, const char *name)
{
    (void)arg;
    char *path = gtm_fs_join(dir, name);
    gtm_intent_disk_drop(path);
    gtm_free(path);
}

void gtm_intent_disk_clean(const char *data_dir)
{
    each(data_dir, "", drop_try, NULL);
}
