/* SPDX-License-Identifier: Apache-2.0
 *
 * Which files an intent is made of: the zone files, tables of latencies and price lists that
 * cluster.yaml names, and what zone files include. Only what is relative to the file's folder and
 * stays below it can travel; absolute paths are each node's own. Secrets and certificates are never
 * among them. Pure; one thread.
 */
#ifndef GTM_MODEL_INTENT_FILES_H
#define GTM_MODEL_INTENT_FILES_H

#include "gtm/base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* Names without repetition, as they are written but for a leading "./". Zero-initialise, then
 * gtm_file_names_fini. */
struct gtm_file_names {
    char **names;
    bool *zone; /* by index: a zone file, which may include others */
    size_t count, cap;
    size_t zone_cap;
    size_t local; /* absolute paths seen: files that stay where they are */
    struct gtm_map *seen;
};
void gtm_file_names_fini(struct gtm_file_names *names);

/* Adds what the text of cluster.yaml names. A text that is no YAML names nothing: its errors come
 * when it is loaded. GTM_EINVAL: a name leads out of the folder; GTM_ENOMEM. */
int gtm_file_names_main(struct gtm_file_names *names, const char *text, size_t len,
                        struct gtm_error *err) GTM_MUST_CHECK;
/* Adds what a zone file includes ($INCLUDE, RFC 1035 5.1), relative to that file. Errors as above.
 */
int gtm_file_names_zone(struct gtm_file_names *names, const char *name, const char *text,
                        size_t len, struct gtm_error *err) GTM_MUST_CHECK;

/* A file with its text, as it is handed around when an intent is compared or applied. */
struct gtm_intent_text {
    const char *name; /* "cluster.yaml" is the first */
    const char *text;
    size_t len;
};

#endif
