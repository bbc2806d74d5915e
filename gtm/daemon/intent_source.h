/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a node reads its intent from: cluster_file when it stands alone; in a cluster the revision
 * in data_dir/intent that was in force last, so that it also starts without etcd; before the first
 * one, an empty intent. Worker threads, or the start.
 */
#ifndef GTM_DAEMON_INTENT_SOURCE_H
#define GTM_DAEMON_INTENT_SOURCE_H

#include "gtm/base/diag.h"
#include "gtm/model/intent.h"
#include "gtm/model/node.h"

/* The path of what gtm_intent_source_load would read; NULL: nothing yet, or out of memory. New. */
char *gtm_intent_source_path(const struct gtm_node *node);
/* path NULL: as above. NULL when anything is wrong; diags has all findings. One reference. */
struct gtm_intent *gtm_intent_source_load(const struct gtm_node *node, const char *path,
                                          struct gtm_diags *diags);
/* Is it the empty one of a node that waits for the first `gtmctl apply`? */
bool gtm_intent_source_empty(const struct gtm_intent *intent);

#endif
