/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl config: the configuration in force, and what may stand in the files.
 */
#include "gtm/ctl/client.h"
#include "gtm/ctl/commands.h"
#include "gtm/ctl/offline.h"
#include "gtm/ctl/say.h"
#include "gtm/ctl/show.h"
#include "gtm/model/config_doc.h"
#include "gtm/model/intent.h"
#include "gtm/model/node.h"

#include <string.h>

int ctl_config_show(struct ctl *ctl)
{
    struct gtm_json *root = NULL;
    struct gtm_buf out = {0};
    int rc = ctl_get(ctl, ctl_path("/api/v1/config"), &root);

    if (rc == CTL_OK && ctl_machine(ctl)) {
        rc = ctl_show_machine(ctl, root);
    } else if (rc == CTL_OK) { /* a file has no table: the file's own form is its table */
        const struct gtm_json *item = gtm_json_get(root, "item");
        ctl_addf(&out, "# %s, sha256 %.12s, loaded %s\n", gtm_json_str(item, "path", "?"),
                 gtm_json_str(item, "sha256", "?"), gtm_json_str(item, "loaded_at", "?"));
        ctl_yaml(&out, gtm_json_get(item, "intent"), 0);
        rc = ctl_put(&out);
    }
    gtm_json_free(root);
    return rc;
}

/* "intent", "node" or nothing, which is intent. False after having said what is wrong. */
static bool read_kind(const struct ctl *ctl, bool *ret_node)
{
    const char *kind = ctl->argc > 0 ? ctl->argv[0] : "intent";

    *ret_node = strcmp(kind, "node") == 0;
    if (*ret_node || strcmp(kind, "intent") == 0)
        return true;
    ctl_error("'%s' is no kind of file; there are intent (cluster.yaml) and node (node.yaml)",
              kind);
    return false;
}

int ctl_config_schema(struct ctl *ctl)
{
    struct ctl as_json = *ctl;
    bool node;

    if (!read_kind(ctl, &node))
        return CTL_USAGE;
    if (!ctl_machine(ctl))
        as_json.output = CTL_JSON;
    struct gtm_json *schema = node ? gtm_node_schema() : gtm_intent_schema();
    int rc = ctl_show_machine(&as_json, schema);
    gtm_json_free(schema);
    return rc;
}

int ctl_config_docs(struct ctl *ctl)
{
    struct gtm_buf out = {0};
    bool node;

    if (!read_kind(ctl, &node))
        return CTL_USAGE;
    if (node)
        gtm_node_doc(false, &out);
    else
        gtm_intent_doc(false, &out);
    return ctl_put(&out);
}

int ctl_config_check(struct ctl *ctl)
{
    const char *path = ctl->argc > 0 ? ctl->argv[0] : ctl->file != NULL ? ctl->file : ctl->config;
    struct gtm_diags diags = {0};
    struct gtm_json *facts = gtm_json_object();

    if (path == NULL || (ctl->argc > 0 && ctl->file != NULL)) {
        gtm_json_free(facts);
        ctl_error("which file? for example: gtmctl config check /etc/gtm/node.yaml");
        return CTL_USAGE;
    }
    struct gtm_node *node = gtm_node_load(path, &diags);
    struct ctl_verdict verdict = {.kind = "NodeCheck", .subject = path, .ok = node != NULL};
    gtm_json_add_str(facts, "file", path);
    gtm_json_add_str(facts, "name", node != NULL ? node->name : NULL);
    gtm_json_add_str(facts, "cluster_file", node != NULL ? node->cluster_file : NULL);
    gtm_node_free(node);
    return ctl_conclude(ctl, &verdict, facts, &diags);
}
