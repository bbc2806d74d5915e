/* SPDX-License-Identifier: Apache-2.0
 *
 * See intent_source.h.
 */
#include "gtm/daemon/intent_source.h"

#include "gtm/base/fs.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/intent_disk.h"
#include "gtm/model/manifest.h"

#include <string.h>

#define EMPTY_PATH "(no intent yet)"

char *gtm_intent_source_path(const struct gtm_node *node)
{
    if (!node->has_etcd)
        return gtm_strdup(node->cluster_file);
    char *folder = gtm_intent_disk_current(node->data_dir, NULL);
    char *path = folder ? gtm_fs_join(folder, GTM_MANIFEST_MAIN) : NULL;
    gtm_free(folder);
    return path;
}

/* The smallest intent that is valid: the node's own region, and nothing to serve. */
static struct gtm_intent *empty(const struct gtm_node *node, struct gtm_diags *diags)
{
    char *text = gtm_asprintf("regions: [{name: \"%s\"}]\n", node->region);
    struct gtm_intent *intent =
        text ? gtm_intent_parse(EMPTY_PATH, text, strlen(text), diags) : NULL;
    if (!text)
        gtm_diags_add(diags, GTM_SEV_ERROR, EMPTY_PATH, 0, 0, "out of memory");
    gtm_free(text);
    return intent;
}

struct gtm_intent *gtm_intent_source_load(const struct gtm_node *node, const char *path,
                                          struct gtm_diags *diags)
{
    char *own = path ? NULL : gtm_intent_source_path(node);
    path = path ? path : own;
    struct gtm_intent *intent = NULL;
    if (!node->has_etcd) {
        intent = gtm_intent_load(path, diags);
    } else if (!path) {
        intent = empty(node, diags);
    } else {
        char *local = gtm_fs_dirname(node->path);
        if (local)
            intent = gtm_intent_load_at(path, local, diags);
        else
            gtm_diags_add(diags, GTM_SEV_ERROR, path, 0, 0, "out of memory");
        gtm_free(local);
    }
    gtm_free(own);
    return intent;
}

bool gtm_intent_source_empty(const struct gtm_intent *intent)
{
    return strcmp(intent->path, EMPTY_PATH) == 0;
}
