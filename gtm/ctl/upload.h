/* SPDX-License-Identifier: Apache-2.0
 *
 * From the operator's files to the body of POST /intent: cluster.yaml, what it names and what that
 * includes. Small intents travel whole; of large ones only the chunks that the cluster does not
 * have. One thread.
 */
#ifndef GTM_CTL_UPLOAD_H
#define GTM_CTL_UPLOAD_H

#include "gtm/base/json.h"
#include "gtm/ctl/ctl.h"
#include "gtm/model/manifest.h"

struct ctl_intent_files {
    char *dir;                     /* of cluster.yaml */
    struct gtm_manifest *manifest; /* in the order of texts */
    char **texts;
    size_t texts_cap;
    size_t local; /* absolute paths: files that every node has by itself */
};

/* Reads the file ("-": standard input) and all that it names. CTL_OK, or an exit code after having
 * said why. Needs ctl_files_fini in either case. */
int ctl_files_read(struct ctl_intent_files *files, const char *path);
void ctl_files_fini(struct ctl_intent_files *files);
/* Uploads what is missing (saying how far it is on a terminal) and makes the list of files for the
 * request; new. */
int ctl_files_upload(struct ctl *ctl, const struct ctl_intent_files *files,
                     struct gtm_json **ret_list);

#endif
