/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl reload.
 */
#include "gtm/ctl/client.h"
#include "gtm/ctl/commands.h"
#include "gtm/ctl/say.h"
#include "gtm/ctl/show.h"

int ctl_reload(struct ctl *ctl)
{
    struct gtm_json *root = NULL;
    struct gtm_buf out = {0};
    int rc = ctl_request(ctl, "POST",
                         ctl_path("/api/v1/reload?dryRun=%s", ctl->dry_run ? "true" : "false"),
                         NULL, &root);
    const struct gtm_json *item = gtm_json_get(root, "item");

    if (rc == CTL_OK)
        ctl_tell_findings(gtm_json_get(item, "diagnostics"));
    if (rc == CTL_OK && ctl_machine(ctl)) {
        rc = ctl_show_machine(ctl, root);
    } else if (rc == CTL_OK) {
        ctl_addf(&out, "%s, intent %.12s%s\n", ctl->dry_run ? "would be accepted" : "reloaded",
                 gtm_json_str(item, "sha256", "?"),
                 gtm_json_bool(item, "changed", true) ? "" : " (unchanged)");
        rc = ctl_put(&out);
    }
    gtm_json_free(root);
    return rc;
}
