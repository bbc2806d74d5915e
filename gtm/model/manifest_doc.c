/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifests as JSON. See manifest.h. What comes from the store or from a request is checked member
 * by member; nothing of it is believed.
 */
#include "gtm/base/map.h"
#include "gtm/base/mem.h"
#include "gtm/model/manifest.h"

#include <stdio.h>
#include <string.h>

/* --- printing --- */

struct gtm_json *gtm_manifest_files_json(const struct gtm_manifest *manifest)
{
    struct gtm_json *files = gtm_json_array();
    for (size_t i = 0; i < manifest->files_count; i++) {
        const struct gtm_manifest_file *file = &manifest->files[i];
        struct gtm_json *one = gtm_json_append_object(files);
        gtm_json_add_str(one, "name", file->name);
        gtm_json_add_i64(one, "bytes", (int64_t)file->bytes);
        gtm_json_add_str(one, "sha256", file->sha256);
        if (file->blobs_count < 2)
            continue;
        struct gtm_json *blobs = gtm_json_add_array(one, "blobs");
        for (size_t k = 0; k < file->blobs_count; k++) {
            struct gtm_json *blob = gtm_json_append_object(blobs);
            gtm_json_add_str(blob, "sha256", file->blobs[k].sha256);
            gtm_json_add_i64(blob, "bytes", file->blobs[k].bytes);
        }
    }
    return files;
}

char *gtm_manifest_print(const struct gtm_manifest *manifest)
{
    struct gtm_json *root = gtm_json_object();
    gtm_json_add_i64(root, "v", GTM_MANIFEST_FORMAT);
    gtm_json_add_i64(root, "rev", manifest->rev);
    gtm_json_add_i64(root, "parent", manifest->parent);
    gtm_json_add_i64(root, "time", manifest->time_ms);
    gtm_json_add_str(root, "who", manifest->who);
    gtm_json_add_str(root, "why", manifest->why);
    gtm_json_add(root, "files", gtm_manifest_files_json(manifest));
    if (manifest->summary)
        gtm_json_add(root, "summary", gtm_json_copy(manifest->summary));
    char *text = gtm_json_print(root, false);
    gtm_json_free(root);
    return text;
}

const char *gtm_manifest_key(int64_t rev, char out[GTM_MANIFEST_KEY_BYTES])
{
    snprintf(out, GTM_MANIFEST_KEY_BYTES, GTM_INTENT_REV_PREFIX "%010lld", (long long)rev);
    return out;
}

char *gtm_intent_cur_print(int64_t rev, const char *sha256)
{
    return gtm_asprintf("{\"v\":1,\"rev\":%lld,\"sha256\":\"%s\"}", (long long)rev, sha256);
}

/* --- reading --- */

static int read_blob(struct gtm_manifest_file *file, const char *sha256, int64_t bytes,
                     struct gtm_error *err)
{
    if (!gtm_sha256_ok(sha256) || bytes < 1 || bytes > GTM_BLOB_MAX_BYTES)
        return gtm_error_set(err, GTM_EINVAL,
                             "'%s': a chunk needs a sha256 and 1 to %u bytes; longer files have a "
                             "list of chunks in \"blobs\"",
                             file->name, GTM_BLOB_MAX_BYTES);
    struct gtm_blob_ref *blob = &file->blobs[file->blobs_count++];
    blob->bytes = (uint32_t)bytes;
    memcpy(blob->sha256, sha256, sizeof(blob->sha256));
    return GTM_OK;
}

static int read_blobs(struct gtm_manifest_file *file, const struct gtm_json *blobs,
                      struct gtm_error *err)
{
    size_t count = blobs ? gtm_json_count(blobs) : file->bytes > 0;
    uint64_t sum = 0;
    if (count > GTM_MANIFEST_BLOBS_MAX || (blobs && gtm_json_type(blobs) != GTM_JSON_ARRAY))
        return gtm_error_set(err, GTM_EINVAL, "'%s': \"blobs\" must be a list of at most %u",
                             file->name, GTM_MANIFEST_BLOBS_MAX);
    file->blobs = gtm_calloc(count + 1, sizeof(*file->blobs));
    file->blobs_cap = count + 1;
    if (!file->blobs)
        return gtm_error_set(err, GTM_ENOMEM, "out of memory");
    if (!blobs && count)
        return read_blob(file, file->sha256, (int64_t)file->bytes, err);
    for (const struct gtm_json *b = gtm_json_first(blobs); b; b = gtm_json_next(b)) {
        int rc =
            read_blob(file, gtm_json_str(b, "sha256", NULL), gtm_json_i64(b, "bytes", -1), err);
        if (rc != GTM_OK)
            return rc;
        sum += file->blobs[file->blobs_count - 1].bytes;
    }
    if (blobs && sum != file->bytes)
        return gtm_error_set(err, GTM_EINVAL, "'%s': its chunks have %llu bytes, not %llu",
                             file->name, (unsigned long long)sum, (unsigned long long)file->bytes);
    return GTM_OK;
}

static int read_file(struct gtm_manifest_file *file, const struct gtm_json *item,
                     struct gtm_error *err)
{
    const char *name = gtm_json_str(item, "name", NULL);
    const char *sha256 = gtm_json_str(item, "sha256", NULL);
    int64_t bytes = gtm_json_i64(item, "bytes", -1);
    if (!gtm_manifest_name_ok(name))
        return gtm_error_set(err, GTM_EINVAL,
                             "'%.100s' cannot be a file of the intent: names are relative and stay "
                             "below its folder",
                             name ? name : "");
    if (!gtm_sha256_ok(sha256) || bytes < 0 || bytes > GTM_MANIFEST_FILE_MAX)
        return gtm_error_set(err, GTM_EINVAL, "'%s' needs a sha256 and 0 to %u bytes", name,
                             GTM_MANIFEST_FILE_MAX);
    file->bytes = (uint64_t)bytes;
    memcpy(file->sha256, sha256, sizeof(file->sha256));
    file->name = gtm_strdup(name);
    if (!file->name)
        return gtm_error_set(err, GTM_ENOMEM, "out of memory");
    return read_blobs(file, gtm_json_get(item, "blobs"), err);
}

static int check_names(const struct gtm_manifest *manifest, struct gtm_error *err)
{
    struct gtm_map *seen = gtm_map_new();
    int rc = seen ? GTM_OK : gtm_error_set(err, GTM_ENOMEM, "out of memory");
    uint64_t bytes = 0;
    for (size_t i = 0; rc == GTM_OK && i < manifest->files_count; i++) {
        const char *name = manifest->files[i].name;
        bytes += manifest->files[i].bytes;
        if (gtm_map_get(seen, name))
            rc = gtm_error_set(err, GTM_EINVAL, "the file '%s' is there twice", name);
        else if (gtm_map_put(seen, name, manifest->files, NULL) != GTM_OK)
            rc = gtm_error_set(err, GTM_ENOMEM, "out of memory");
    }
    if (rc == GTM_OK && bytes > GTM_MANIFEST_BYTES_MAX)
        rc = gtm_error_set(err, GTM_ELIMIT, "the files have more than %llu MiB together",
                           (unsigned long long)(GTM_MANIFEST_BYTES_MAX >> 20));
    gtm_map_free(seen, NULL);
    return rc;
}

int gtm_manifest_files_parse(struct gtm_manifest *manifest, const struct gtm_json *files,
                             struct gtm_error *err)
{
    size_t count = gtm_json_count(files), blobs = 0;
    int rc = GTM_OK;
    if (gtm_json_type(files) != GTM_JSON_ARRAY || count == 0 || count > GTM_MANIFEST_FILES_MAX)
        return gtm_error_set(err, GTM_EINVAL, "\"files\" must be a list of 1 to %u files",
                             GTM_MANIFEST_FILES_MAX);
    manifest->files = gtm_calloc(count, sizeof(*manifest->files));
    manifest->files_cap = count;
    if (!manifest->files)
        return gtm_error_set(err, GTM_ENOMEM, "out of memory");
    for (const struct gtm_json *f = gtm_json_first(files); rc == GTM_OK && f;
         f = gtm_json_next(f)) {
        rc = read_file(&manifest->files[manifest->files_count++], f, err);
        blobs += manifest->files[manifest->files_count - 1].blobs_count;
        if (rc == GTM_OK && blobs > GTM_MANIFEST_BLOBS_MAX)
            rc = gtm_error_set(err, GTM_ELIMIT, "more than %u chunks", GTM_MANIFEST_BLOBS_MAX);
    }
    return rc == GTM_OK ? check_names(manifest, err) : rc;
}

struct gtm_manifest *gtm_manifest_copy_files(const struct gtm_manifest *manifest)
{
    struct gtm_manifest *copy = gtm_manifest_new();
    struct gtm_json *files = gtm_manifest_files_json(manifest);
    struct gtm_error err = {0};
    if (copy && files && gtm_manifest_files_parse(copy, files, &err) != GTM_OK) {
        gtm_manifest_free(copy);
        copy = NULL;
    }
    gtm_json_free(files);
    return copy;
}

static int read_texts(struct gtm_manifest *manifest, const struct gtm_json *root)
{
    const char *who = gtm_json_str(root, "who", NULL), *why = gtm_json_str(root, "why", NULL);
    const struct gtm_json *summary = gtm_json_get(root, "summary");
    if (gtm_json_type(summary) == GTM_JSON_OBJECT)
        manifest->summary = gtm_json_copy(summary);
    manifest->who = who ? gtm_strndup(who, GTM_MANIFEST_WHO_MAX) : NULL;
    manifest->why = why ? gtm_strndup(why, GTM_MANIFEST_WHY_MAX) : NULL;
    return (who && !manifest->who) || (why && !manifest->why) ? GTM_ENOMEM : GTM_OK;
}

static int read_manifest(struct gtm_manifest *manifest, const struct gtm_json *root,
                         struct gtm_error *err)
{
    manifest->rev = gtm_json_i64(root, "rev", 0);
    manifest->parent = gtm_json_i64(root, "parent", -1);
    manifest->time_ms = gtm_json_i64(root, "time", 0);
    if (manifest->rev < 1 || manifest->parent < 0 || manifest->parent >= manifest->rev)
        return gtm_error_set(err, GTM_ECORRUPT, "no revision above its parent's");
    if (read_texts(manifest, root) != GTM_OK)
        return gtm_error_set(err, GTM_ENOMEM, "out of memory");
    int rc = gtm_manifest_files_parse(manifest, gtm_json_get(root, "files"), err);
    if (rc == GTM_OK && strcmp(manifest->files[0].name, GTM_MANIFEST_MAIN) != 0)
        rc = gtm_error_set(err, GTM_ECORRUPT, "its first file is not " GTM_MANIFEST_MAIN);
    if (rc != GTM_OK && rc != GTM_ENOMEM) {
        err->code = GTM_ECORRUPT;
        rc = GTM_ECORRUPT;
    }
    return rc;
}

/* 0, GTM_ECORRUPT, GTM_EUNSUPPORTED. */
static int check_format(const struct gtm_json *root, struct gtm_error *err)
{
    int64_t v = gtm_json_i64(root, "v", 0);
    if (v == GTM_MANIFEST_FORMAT)
        return GTM_OK;
    if (v > GTM_MANIFEST_FORMAT)
        return gtm_error_set(err, GTM_EUNSUPPORTED, "format %lld is newer than this program",
                             (long long)v);
    return gtm_error_set(err, GTM_ECORRUPT, "it has no \"v\"");
}

int gtm_manifest_parse(const char *text, size_t len, struct gtm_manifest **ret_manifest,
                       struct gtm_error *err)
{
    struct gtm_error own = {0};
    err = err ? err : &own;
    struct gtm_json *root = gtm_json_parse(text, len, err);
    struct gtm_manifest *manifest = gtm_manifest_new();
    int rc = !root       ? err->code == GTM_ENOMEM ? GTM_ENOMEM : GTM_ECORRUPT
             : !manifest ? gtm_error_set(err, GTM_ENOMEM, "out of memory")
                         : check_format(root, err);
    if (rc == GTM_OK && manifest)
        rc = read_manifest(manifest, root, err);
    gtm_json_free(root);
    if (rc == GTM_OK) {
        *ret_manifest = manifest;
        return rc;
    }
    gtm_error_wrap(err, "manifest");
    gtm_manifest_free(manifest);
    return rc;
}

int gtm_intent_cur_parse(const char *text, size_t len, int64_t *ret_rev,
                         char ret_sha256[GTM_SHA256_HEX_BYTES], struct gtm_error *err)
{
    struct gtm_error own = {0};
    err = err ? err : &own;
    struct gtm_json *root = gtm_json_parse(text, len, err);
    const char *sha256 = gtm_json_str(root, "sha256", NULL);
    int rc = root ? check_format(root, err) : GTM_ECORRUPT;
    *ret_rev = gtm_json_i64(root, "rev", 0);
    if (rc == GTM_OK && (*ret_rev < 1 || !gtm_sha256_ok(sha256)))
        rc = gtm_error_set(err, GTM_ECORRUPT, "it names no revision and hash");
    if (rc == GTM_OK)
        memcpy(ret_sha256, sha256, GTM_SHA256_HEX_BYTES);
    else
        gtm_error_wrap(err, GTM_INTENT_CUR_KEY);
    gtm_json_free(root);
    return rc;
}
