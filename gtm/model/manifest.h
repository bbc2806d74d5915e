/* SPDX-License-Identifier: Apache-2.0
 *
 * The intent as a cluster keeps it: the operator's own files, byte for byte, cut into chunks that
 * are named by their hash ("blob/<sha256>"), and a manifest that lists which chunks make up which
 * file ("intent/rev/<n>"). Where a file is cut depends on what stands there, not on how far it is
 * from the start, so that a changed line changes one or two chunks.
 *
 *     {"v":1,"rev":7,"parent":6,"time":MS,"who":…,"why":…,"summary":{…},
 *      "files":[{"name":"cluster.yaml","bytes":…,"sha256":HEX,"blobs":[{"sha256":HEX,"bytes":…}]}]}
 *
 * A file without "blobs" is one chunk, named by the file's own hash. Pure; a manifest belongs to
 * one thread at a time.
 */
#ifndef GTM_MODEL_MANIFEST_H
#define GTM_MODEL_MANIFEST_H

#include "gtm/base/err.h"
#include "gtm/base/json.h"
#include "gtm/base/sha.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GTM_BLOB_MIN_BYTES     (8u << 10) /* but for the last of a file */
#define GTM_BLOB_MAX_BYTES     (256u << 10)
#define GTM_MANIFEST_FORMAT    1
#define GTM_MANIFEST_MAIN      "cluster.yaml" /* the first file; the others are named in it */
#define GTM_MANIFEST_FILES_MAX 20000u
#define GTM_MANIFEST_BLOBS_MAX 20000u
#define GTM_MANIFEST_FILE_MAX  (512u << 20) /* bytes of one file */
#define GTM_MANIFEST_BYTES_MAX (1ull << 30) /* of all files */
#define GTM_MANIFEST_NAME_MAX  255u
#define GTM_MANIFEST_WHO_MAX   128u
#define GTM_MANIFEST_WHY_MAX   1024u
#define GTM_MANIFEST_KEY_BYTES 32
#define GTM_INTENT_CUR_KEY     "intent/cur"
#define GTM_INTENT_REV_PREFIX  "intent/rev/"
#define GTM_BLOB_PREFIX        "blob/"
#define GTM_BLOB_KEY_BYTES     (sizeof(GTM_BLOB_PREFIX) + GTM_SHA256_HEX_BYTES)

struct gtm_blob_ref {
    char sha256[GTM_SHA256_HEX_BYTES];
    uint32_t bytes;
};

struct gtm_manifest_file {
    char *name; /* relative, with "/" between folders, never out of the intent's own */
    uint64_t bytes;
    char sha256[GTM_SHA256_HEX_BYTES];
    struct gtm_blob_ref *blobs; /* in order; none for an empty file */
    size_t blobs_count, blobs_cap;
};

struct gtm_manifest {
    int64_t rev, parent; /* parent 0 = the first */
    int64_t time_ms;     /* Unix time */
    char *who, *why;     /* NULL = unknown, none */
    struct gtm_manifest_file *files;
    size_t files_count, files_cap;
    struct gtm_json *summary; /* objects by kind; NULL = none */
};

/* The length of the next chunk of what is left of a file: GTM_BLOB_MIN_BYTES to GTM_BLOB_MAX_BYTES,
 * less only when that is all; behind a line's end wherever there is one. The text must be UTF-8. */
size_t gtm_blob_cut(const char *text, size_t len);

/* A new empty manifest; NULL when out of memory. gtm_manifest_free takes NULL. */
struct gtm_manifest *gtm_manifest_new(void);
void gtm_manifest_free(struct gtm_manifest *manifest);
/* A copy of files only: for the same content under another revision. NULL when out of memory. */
struct gtm_manifest *gtm_manifest_copy_files(const struct gtm_manifest *manifest);

/* Whether a file may have this name. */
bool gtm_manifest_name_ok(const char *name);
/* Cuts and hashes a text and adds it as a file. GTM_EINVAL (its name; not UTF-8, or NUL; there is
 * one of that name), GTM_ELIMIT, GTM_ENOMEM; err says what and, for text, the line. */
int gtm_manifest_add(struct gtm_manifest *manifest, const char *name, const char *text, size_t len,
                     struct gtm_error *err) GTM_MUST_CHECK;
const struct gtm_manifest_file *gtm_manifest_find(const struct gtm_manifest *manifest,
                                                  const char *name); /* or NULL */

/* Calls fn for each chunk of a text as the file's list has it. Checks lengths and hashes:
 * GTM_ECORRUPT; or what fn returned when not 0. */
typedef int gtm_blob_fn(void *arg, const struct gtm_blob_ref *blob, const char *text);
int gtm_manifest_walk(const struct gtm_manifest_file *file, const char *text, size_t len,
                      gtm_blob_fn *fn, void *arg) GTM_MUST_CHECK;

/* The files' list as JSON, and back: for requests as well as for the stored text. */
struct gtm_json *gtm_manifest_files_json(const struct gtm_manifest *manifest);
/* GTM_EINVAL: no such list; GTM_ELIMIT, GTM_ENOMEM. Lengths add up; hashes look like hashes. */
int gtm_manifest_files_parse(struct gtm_manifest *manifest, const struct gtm_json *files,
                             struct gtm_error *err) GTM_MUST_CHECK;
/* The stored text; NULL when out of memory. And back: GTM_ECORRUPT with what is wrong; a newer
 * format is GTM_EUNSUPPORTED. */
char *gtm_manifest_print(const struct gtm_manifest *manifest);
int gtm_manifest_parse(const char *text, size_t len, struct gtm_manifest **ret_manifest,
                       struct gtm_error *err) GTM_MUST_CHECK;

/* "intent/rev/0000000042"; returns out. */
const char *gtm_manifest_key(int64_t rev, char out[GTM_MANIFEST_KEY_BYTES]);
/* What intent/cur holds. The text is new (NULL: out of memory); sha256 is of the manifest's. */
char *gtm_intent_cur_print(int64_t rev, const char *sha256);
int gtm_intent_cur_parse(const char *text, size_t len, int64_t *ret_rev,
                         char ret_sha256[GTM_SHA256_HEX_BYTES],
                         struct gtm_error *err) GTM_MUST_CHECK;

#endif
