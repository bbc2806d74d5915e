/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl node, version, reload, metrics, help.
 */
#include "gtm/base/mem.h"
#include "gtm/ctl/ctl.h"

#include <stdio.h>
#include <string.h>

int ctl_node_show(struct ctl *ctl)
{
    return ctl_get_and_show(ctl, ctl_path("/api/v1/node"), NULL, 0);
}

int ctl_version(struct ctl *ctl)
{
    struct gtm_json *root = NULL;

    if (ctl->output <= CTL_WIDE)
        printf("gtmctl %s\n", GTM_VERSION);
    int rc = ctl_request(ctl, "GET", "/api/v1/version", NULL, NULL, &root);
    if (rc == 0) {
        gtm_json_add_str(gtm_json_get(root, "item"), "gtmctl", GTM_VERSION);
        if (!ctl_show_machine(ctl, root))
            printf("gtmd   %s\n", gtm_json_str(gtm_json_get(root, "item"), "version", "?"));
    }
    gtm_json_free(root);
    return rc;
}

int ctl_reload(struct ctl *ctl)
{
    struct gtm_json *root = NULL;
    int rc =
        ctl_request(ctl, "POST", ctl->dry_run ? "/api/v1/reload?dryRun=true" : "/api/v1/reload",
                    NULL, NULL, &root);

    if (rc == 0 && !ctl_show_machine(ctl, root)) {
        const struct gtm_json *item = gtm_json_get(root, "item");
        const struct gtm_json *list = gtm_json_get(item, "diagnostics");
        for (const struct gtm_json *d = gtm_json_first(list); d != NULL; d = gtm_json_next(d))
            fprintf(stderr, "%s:%lld:%lld: %s: %s\n", gtm_json_str(d, "file", "?"),
                    (long long)gtm_json_i64(d, "line", 0), (long long)gtm_json_i64(d, "column", 0),
                    gtm_json_str(d, "severity", "?"), gtm_json_str(d, "message", "?"));
        printf("%s, intent %.12s%s\n", ctl->dry_run ? "would be accepted" : "reloaded",
               gtm_json_str(item, "sha256", "?"),
               gtm_json_bool(item, "changed", true) ? "" : " (unchanged)");
    }
    gtm_json_free(root);
    return rc;
}

int ctl_metrics(struct ctl *ctl)
{
    return ctl_get_text(ctl, "/api/v1/metrics");
}

int ctl_help_command(struct ctl *ctl)
{
    for (size_t i = 0; ctl->argc > 0 && i < ctl_commands_count; i++)
        if (strcmp(ctl_commands[i].noun, ctl->argv[0]) == 0) {
            ctl_help(ctl->argv[0], ctl->argc > 1 ? ctl->argv[1] : NULL);
            return CTL_OK;
        }
    if (ctl->argc > 0) {
        ctl_error("there is no command '%s'", ctl->argv[0]);
        return CTL_NOT_FOUND;
    }
    ctl_help(NULL, NULL);
    return CTL_OK;
}
