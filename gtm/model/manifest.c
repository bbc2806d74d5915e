/* SPDX-License-Identifier: Apache-2.0
 *
 * Chunks and the list of files. See manifest.h; the stored text is in manifest_doc.c.
 */
#include "gtm/model/manifest.h"

#include "gtm/base/mem.h"
#include "gtm/base/utf8.h"

#include <stdio.h>
#include <string.h>

/* One place in so many is where a cut may follow. */
#define CUT_BITS 16

/* --- where to cut --- */

/* A fixed random number for each byte (splitmix64): nodes and tools of any version must cut alike,
 * or nothing would be shared; being wrong costs room only. */
static uint64_t gear(unsigned char byte)
{
    uint64_t z = (byte + 1u) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* The last place at or before `at` where a character begins. */
static size_t character_start(const char *text, size_t at)
{
    for (unsigned i = 0; i < 3 && at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80; i++)
        at--;
    return at;
}

size_t gtm_blob_cut(const char *text, size_t len)
{
    uint64_t table[256];
    uint64_t hash = 0;
    size_t line_end = 0;
    bool due = false;
    if (len <= GTM_BLOB_MIN_BYTES)
        return len;
    for (unsigned i = 0; i < 256; i++)
        table[i] = gear((unsigned char)i);
    size_t end = len < GTM_BLOB_MAX_BYTES ? len : GTM_BLOB_MAX_BYTES;
    /* The hash is of the 64 bytes before a place: it needs no more than those to be right. */
    for (size_t i = GTM_BLOB_MIN_BYTES - 64; i < end; i++) {
        hash = (hash << 1) + table[(unsigned char)text[i]];
        if (i + 1 < GTM_BLOB_MIN_BYTES)
            continue;
        due = due || hash >> (64 - CUT_BITS) == 0;
        if (text[i] != '\n')
            continue;
        line_end = i + 1;
        if (due)
            return line_end;
    }
    if (end == len)
        return len;
    return line_end ? line_end : character_start(text, end);
}

/* --- manifests --- */

struct gtm_manifest *gtm_manifest_new(void)
{
    return gtm_calloc(1, sizeof(struct gtm_manifest));
}

void gtm_manifest_free(struct gtm_manifest *manifest)
{
    if (!manifest)
        return;
    for (size_t i = 0; i < manifest->files_count; i++) {
        gtm_free(manifest->files[i].name);
        gtm_free(manifest->files[i].blobs);
    }
    gtm_free(manifest->files);
    gtm_free(manifest->who);
    gtm_free(manifest->why);
    gtm_json_free(manifest->summary);
    gtm_free(manifest);
}

bool gtm_manifest_name_ok(const char *name)
{
    size_t len = name ? strnlen(name, GTM_MANIFEST_NAME_MAX + 1) : 0;
    if (len == 0 || len > GTM_MANIFEST_NAME_MAX)
        return false;
    for (const char *part = name; part; part = strchr(part, '/')) {
        part += *part == '/' && part != name;
        size_t n = strcspn(part, "/");
        if (n == 0 || (n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.'))
            return false;
    }
    for (size_t i = 0; i < len;) {
        size_t step = gtm_utf8_len(name + i, len - i);
        if (step == 0 || (unsigned char)name[i] < 0x20 || name[i] == 0x7f || name[i] == '\\')
            return false;
        i += step;
    }
    return true;
}

const struct gtm_manifest_file *gtm_manifest_find(const struct gtm_manifest *manifest,
                                                  const char *name)
{
    for (size_t i = 0; i < manifest->files_count; i++)
        if (strcmp(manifest->files[i].name, name) == 0)
            return &manifest->files[i];
    return NULL;
}

static int check_text(const char *name, const char *text, size_t len, struct gtm_error *err)
{
    unsigned line = 1;
    for (size_t i = 0; i < len;) {
        size_t step = gtm_utf8_len(text + i, len - i);
        if (step == 0 || text[i] == 0)
            return gtm_error_at(err, GTM_EINVAL, name, line, 0,
                                step ? "a NUL byte: the file must be text"
                                     : "bytes that are not UTF-8: convert the file");
        line += text[i] == '\n';
        i += step;
    }
    return GTM_OK;
}

static int add_blob(struct gtm_manifest_file *file, const char *text, size_t len)
{
    void *blobs = file->blobs;
    int rc = gtm_grow(&blobs, &file->blobs_cap, file->blobs_count + 1, sizeof(*file->blobs));
    file->blobs = blobs;
    if (rc != GTM_OK)
        return rc;
    struct gtm_blob_ref *blob = &file->blobs[file->blobs_count];
    blob->bytes = (uint32_t)len;
    if (!gtm_sha256_hex(text, len, blob->sha256))
        return GTM_ENOMEM;
    file->blobs_count++;
    return GTM_OK;
}

int gtm_manifest_add(struct gtm_manifest *manifest, const char *name, const char *text, size_t len,
                     struct gtm_error *err)
{
    if (!gtm_manifest_name_ok(name))
        return gtm_error_set(err, GTM_EINVAL,
                             "'%.100s' cannot be a file of the intent: names are relative and stay "
                             "below its folder",
                             name ? name : "");
    if (gtm_manifest_find(manifest, name))
        return gtm_error_set(err, GTM_EINVAL, "the file '%s' is there twice", name);
    if (manifest->files_count >= GTM_MANIFEST_FILES_MAX || len > GTM_MANIFEST_FILE_MAX)
        return gtm_error_set(err, GTM_ELIMIT, "'%s': more than %u files, or more than %u MiB", name,
                             GTM_MANIFEST_FILES_MAX, GTM_MANIFEST_FILE_MAX >> 20);
    int rc = check_text(name, text, len, err);
    if (rc != GTM_OK)
        return rc;
    void *files = manifest->files;
    rc =
        gtm_grow(&files, &manifest->files_cap, manifest->files_count + 1, sizeof(*manifest->files));
    manifest->files = files;
    if (rc != GTM_OK)
        return gtm_error_set(err, rc, "out of memory");
    struct gtm_manifest_file *file = &manifest->files[manifest->files_count];
    *file = (struct gtm_manifest_file){.name = gtm_strdup(name), .bytes = len};
    manifest->files_count++; /* what follows is freed with it */
    if (!file->name || !gtm_sha256_hex(text, len, file->sha256))
        rc = GTM_ENOMEM;
    for (size_t at = 0; rc == GTM_OK && at < len;) {
        size_t n = gtm_blob_cut(text + at, len - at);
        rc = add_blob(file, text + at, n);
        at += n;
    }
    return rc == GTM_OK ? rc : gtm_error_set(err, rc, "out of memory");
}

int gtm_manifest_walk(const struct gtm_manifest_file *file, const char *text, size_t len,
                      gtm_blob_fn *fn, void *arg)
{
    size_t at = 0;
    int rc = GTM_OK;
    for (size_t i = 0; rc == GTM_OK && i < file->blobs_count; i++) {
        const struct gtm_blob_ref *blob = &file->blobs[i];
        char hex[GTM_SHA256_HEX_BYTES];
        if (blob->bytes > len - at || !gtm_sha256_hex(text + at, blob->bytes, hex) ||
            strcmp(hex, blob->sha256) != 0)
            return GTM_ECORRUPT;
        rc = fn ? fn(arg, blob, text + at) : GTM_OK;
        at += blob->bytes;
    }
    return rc == GTM_OK && at != len ? GTM_ECORRUPT : rc;
}
