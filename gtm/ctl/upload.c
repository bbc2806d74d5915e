/* SPDX-License-Identifier: Apache-2.0
 *
 * See upload.h.
 */
#include "gtm/ctl/upload.h"

#include "gtm/base/fs.h"
#include "gtm/base/map.h"
#include "gtm/base/mem.h"
#include "gtm/ctl/client.h"
#include "gtm/ctl/offline.h"
#include "gtm/ctl/say.h"
#include "gtm/model/intent_files.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WHOLE_MAX_BYTES (256u << 10) /* an intent of at most so much travels whole */
#define BATCH_MAX_BYTES (768u << 10)
#define BATCH_MAX       64u

/* ---- reading ---- */

static int no_memory(void)
{
    ctl_error("out of memory");
    return CTL_FAILED;
}

static int tell(const struct gtm_error *err)
{
    char text[GTM_ERROR_TEXT_BYTES + GTM_ERROR_FILE_BYTES + 32];
    ctl_error("%s", gtm_error_format(err, text, sizeof(text)));
    return CTL_FAILED;
}

/* Takes text. */
static int add(struct ctl_intent_files *files, const char *name, char *text, size_t len)
{
    struct gtm_error err = {0};
    void *texts = files->texts;
    int rc = gtm_grow(&texts, &files->texts_cap, files->manifest->files_count + 1,
                      sizeof(*files->texts));
    files->texts = texts;
    if (rc != GTM_OK) {
        gtm_free(text);
        return no_memory();
    }
    size_t at = files->manifest->files_count;
    rc = gtm_manifest_add(files->manifest, name, text, len, &err);
    if (files->manifest->files_count > at)
        files->texts[at] = text;
    else
        gtm_free(text);
    return rc == GTM_OK ? CTL_OK : tell(&err);
}

static int add_named(struct ctl_intent_files *files, const char *name)
{
    struct gtm_error err = {0};
    char *path = gtm_fs_join(files->dir, name), *text = NULL;
    size_t len = 0;
    if (path == NULL)
        return no_memory();
    int rc = gtm_fs_read(path, GTM_MANIFEST_FILE_MAX, &text, &len, &err);
    gtm_free(path);
    return rc == GTM_OK ? add(files, name, text, len) : tell(&err);
}

static int read_main(struct ctl_intent_files *files, const char *path)
{
    struct gtm_error err = {0};
    char *text = NULL;
    size_t len = 0;
    bool input = strcmp(path, "-") == 0;
    files->dir = input ? gtm_strdup(".") : gtm_fs_dirname(path);
    files->manifest = gtm_manifest_new();
    if (files->dir == NULL || files->manifest == NULL)
        return no_memory();
    if (input)
        text = ctl_read_stdin(&len);
    else if (gtm_fs_read(path, GTM_MANIFEST_FILE_MAX, &text, &len, &err) != GTM_OK)
        return tell(&err);
    return text != NULL ? add(files, GTM_MANIFEST_MAIN, text, len) : CTL_FAILED;
}

int ctl_files_read(struct ctl_intent_files *files, const char *path)
{
    struct gtm_file_names names = {0};
    struct gtm_error err = {0};
    *files = (struct ctl_intent_files){0};
    int rc = read_main(files, path);
    if (rc == CTL_OK && gtm_file_names_main(&names, files->texts[0],
                                            files->manifest->files[0].bytes, &err) != GTM_OK)
        rc = tell(&err);
    for (size_t i = 0; i < names.count && rc == CTL_OK; i++) {
        rc = add_named(files, names.names[i]);
        if (rc != CTL_OK || !names.zone[i])
            continue;
        const struct gtm_manifest_file *file = &files->manifest->files[i + 1];
        if (gtm_file_names_zone(&names, file->name, files->texts[i + 1], file->bytes, &err) !=
            GTM_OK)
            rc = tell(&err);
    }
    files->local = names.local;
    gtm_file_names_fini(&names);
    return rc;
}

void ctl_files_fini(struct ctl_intent_files *files)
{
    for (size_t i = 0; files->manifest != NULL && i < files->manifest->files_count; i++)
        gtm_free(files->texts[i]);
    gtm_free(files->texts);
    gtm_manifest_free(files->manifest);
    gtm_free(files->dir);
}

/* ---- sending ---- */

struct upload {
    struct ctl *ctl;
    struct gtm_map *there; /* chunks that the cluster has */
    struct gtm_json *texts;
    size_t count, bytes;
    uint64_t sent, all;
    int rc;
};

static void progress(const struct upload *u, bool end)
{
    if (isatty(STDERR_FILENO) && u->all > 0)
        fprintf(stderr, "\ruploading: %llu of %llu KiB%s", (unsigned long long)(u->sent >> 10),
                (unsigned long long)(u->all >> 10), end ? "\n" : "");
}

static void flush(struct upload *u)
{
    if (u->count == 0 || u->rc != CTL_OK)
        return;
    struct gtm_json *body = gtm_json_object(), *reply = NULL;
    gtm_json_add(body, "texts", u->texts);
    char *text = gtm_json_print(body, false);
    gtm_json_free(body);
    u->texts = gtm_json_array();
    u->rc = text != NULL
                ? ctl_request(u->ctl, "POST", ctl_path("/api/v1/intent/blobs"), text, &reply)
                : no_memory();
    gtm_free(text);
    gtm_json_free(reply);
    u->sent += u->bytes;
    u->count = u->bytes = 0;
    progress(u, false);
}

static int measure(void *arg, const struct gtm_blob_ref *blob, const char *text)
{
    struct upload *u = arg;
    (void)text;
    if (!gtm_map_get(u->there, blob->sha256))
        u->all += blob->bytes;
    return GTM_OK;
}

static int send(void *arg, const struct gtm_blob_ref *blob, const char *text)
{
    struct upload *u = arg;
    if (u->rc != CTL_OK || gtm_map_get(u->there, blob->sha256))
        return GTM_OK;
    if (u->count == BATCH_MAX || u->bytes + blob->bytes > BATCH_MAX_BYTES)
        flush(u);
    char *copy = gtm_strndup(text, blob->bytes);
    gtm_json_append_str(u->texts, copy);
    gtm_free(copy);
    u->count++;
    u->bytes += blob->bytes;
    return gtm_map_put(u->there, blob->sha256, u, NULL);
}

/* What the present revision is made of. */
static int find_there(struct upload *u)
{
    struct gtm_json *root = NULL;
    int rc = ctl_get(u->ctl, ctl_path("/api/v1/intent"), &root);
    const struct gtm_json *files = gtm_json_get(gtm_json_get(root, "item"), "files");
    struct gtm_manifest *manifest = gtm_manifest_new();
    struct gtm_error err = {0};
    if (rc == CTL_OK && manifest != NULL && gtm_json_count(files) > 0 &&
        gtm_manifest_files_parse(manifest, files, &err) == GTM_OK)
        for (size_t i = 0; i < manifest->files_count; i++)
            for (size_t k = 0; k < manifest->files[i].blobs_count; k++)
                if (gtm_map_put(u->there, manifest->files[i].blobs[k].sha256, u, NULL) != GTM_OK)
                    break; /* then it is sent once more */
    gtm_manifest_free(manifest);
    gtm_json_free(root);
    return rc;
}

static int each(const struct ctl_intent_files *files, gtm_blob_fn *fn, struct upload *u)
{
    int rc = GTM_OK;
    for (size_t i = 0; i < files->manifest->files_count && rc == GTM_OK; i++)
        rc = gtm_manifest_walk(&files->manifest->files[i], files->texts[i],
                               files->manifest->files[i].bytes, fn, u);
    return rc == GTM_OK ? u->rc : no_memory();
}

static int send_chunks(struct ctl *ctl, const struct ctl_intent_files *files)
{
    struct upload u = {.ctl = ctl, .there = gtm_map_new(), .texts = gtm_json_array()};
    int rc = u.there != NULL ? find_there(&u) : no_memory();
    if (rc == CTL_OK)
        rc = each(files, measure, &u);
    if (rc == CTL_OK)
        rc = each(files, send, &u);
    if (rc == CTL_OK) {
        flush(&u);
        rc = u.rc;
    }
    if (u.sent > 0)
        progress(&u, true);
    gtm_map_free(u.there, NULL);
    gtm_json_free(u.texts);
    return rc;
}

int ctl_files_upload(struct ctl *ctl, const struct ctl_intent_files *files,
                     struct gtm_json **ret_list)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < files->manifest->files_count; i++)
        bytes += files->manifest->files[i].bytes;
    if (bytes > WHOLE_MAX_BYTES) {
        int rc = send_chunks(ctl, files);
        *ret_list = rc == CTL_OK ? gtm_manifest_files_json(files->manifest) : NULL;
        return rc;
    }
    *ret_list = gtm_json_array();
    for (size_t i = 0; i < files->manifest->files_count; i++) {
        struct gtm_json *one = gtm_json_append_object(*ret_list);
        gtm_json_add_str(one, "name", files->manifest->files[i].name);
        gtm_json_add_str(one, "text", files->texts[i]);
    }
    return CTL_OK;
}
