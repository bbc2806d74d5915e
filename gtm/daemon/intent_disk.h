/* SPDX-License-Identifier: Apache-2.0
 *
 * What a node of a cluster keeps of the intent in its data_dir:
 *
 *     intent/blobs/<sha256>       chunks, checked whenever they are read
 *     intent/rev-0000000007/      the files of a revision, and manifest.json
 *     intent/try-…/               a proposal while it is checked
 *     intent/current              → the revision in force last (a symbolic link)
 *
 * A revision's folder appears whole (written beside, synced, renamed). A chunk that does not have
 * the hash it is named by is removed and counts as missing. Thread-safe as long as two threads do
 * not write one revision; blocks for the disk: worker threads.
 */
#ifndef GTM_DAEMON_INTENT_DISK_H
#define GTM_DAEMON_INTENT_DISK_H

#include "gtm/base/err.h"
#include "gtm/model/manifest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GTM_INTENT_KEPT 2 /* revisions on disk, the one in force among them */

/* Chunks. Has: by name and length only. Put checks the hash: GTM_ECORRUPT. Read: *ret_text is new
 * and NUL-terminated; GTM_ENOTFOUND also for a damaged one. */
bool gtm_intent_disk_has(const char *data_dir, const struct gtm_blob_ref *blob);
int gtm_intent_disk_put(const char *data_dir, const struct gtm_blob_ref *blob, const char *text,
                        struct gtm_error *err) GTM_MUST_CHECK;
int gtm_intent_disk_read(const char *data_dir, const struct gtm_blob_ref *blob, char **ret_text,
                         struct gtm_error *err) GTM_MUST_CHECK;

/* The whole text of a file from its chunks, new; checks the file's own hash too (GTM_ECORRUPT). */
int gtm_intent_disk_file(const char *data_dir, const struct gtm_manifest_file *file,
                         char **ret_text, struct gtm_error *err) GTM_MUST_CHECK;

/* The folder of a revision, new; NULL: out of memory. */
char *gtm_intent_disk_folder(const char *data_dir, int64_t rev);
/* Writes the folder of the manifest's revision unless it is there (with just this manifest), or
 * (try) a new folder for a proposal. *ret_folder is new. */
int gtm_intent_disk_write(const char *data_dir, const struct gtm_manifest *manifest, bool try,
                          char **ret_folder, struct gtm_error *err) GTM_MUST_CHECK;
/* Removes a proposal's folder, with all in it; other folders are left alone. NULL is fine. */
void gtm_intent_disk_drop(const char *folder);

/* The folder in force last and its revision (ret_rev may be NULL), new; NULL: none. */
char *gtm_intent_disk_current(const char *data_dir, int64_t *ret_rev);
/* Makes rev the one in force, and removes what is older than GTM_INTENT_KEPT, and chunks that no
 * kept revision has. */
int gtm_intent_disk_set_current(const char *data_dir, int64_t rev,
                                struct gtm_error *err) GTM_MUST_CHECK;
/* Removes proposals that a process left behind; before the first of this one. */
void gtm_intent_disk_clean(const char *data_dir);

#endif
