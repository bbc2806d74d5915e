/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl node, version, metrics, help: the programs themselves.
 */
#include "gtm/ctl/client.h"
#include "gtm/ctl/commands.h"
#include "gtm/ctl/options.h"
#include "gtm/ctl/show.h"

int ctl_node_show(struct ctl *ctl)
{
    return ctl_get_and_show(ctl, ctl_path("/api/v1/node"), NULL, 0);
}

static const struct ctl_column peer_columns[] = {
    {"NODE", "name", CTL_COL_TEXT, false, false},
    {"REGION", "region", CTL_COL_TEXT, false, false},
    {"UP", "up", CTL_COL_TEXT, false, false},
    {"MODE", "mode", CTL_COL_TEXT, false, false},
    {"VIEW", "view", CTL_COL_TEXT, false, true},
    {"SERVING", "serving", CTL_COL_TEXT, false, false},
    {"SEEN BY", "seen_by", CTL_COL_TEXT, false, false},
    {"API", "api", CTL_COL_TEXT, true, false},
    {"LATENCY", "latency_seconds", CTL_COL_MS, true, true},
    {"FAILURES", "failures", CTL_COL_TEXT, true, true},
    {"ERROR", "error", CTL_COL_TEXT, true, false},
};

int ctl_node_peers(struct ctl *ctl)
{
    return ctl_get_and_show(ctl, ctl_path("/api/v1/peers"), peer_columns,
                            sizeof(peer_columns) / sizeof(peer_columns[0]));
}

int ctl_metrics(struct ctl *ctl)
{
    return ctl_get_text(ctl, ctl_path("/api/v1/metrics"));
}

/* gtmctl's own version is told also when gtmd does not answer. */
int ctl_version(struct ctl *ctl)
{
    struct gtm_json *asked = NULL, *item;
    struct gtm_buf out = {0};
    int rc = ctl_get(ctl, ctl_path("/api/v1/version"), &asked), shown;
    const char *gtmd = gtm_json_str(gtm_json_get(asked, "item"), "version", NULL);
    struct gtm_json *root = ctl_envelope("Version", asked);

    if (asked != NULL)
        item = gtm_json_copy(gtm_json_get(asked, "item"));
    else
        item = gtm_json_object();
    gtm_json_add_str(item, "gtmctl", GTM_VERSION);
    if (gtmd == NULL)
        gtm_json_add_null(item, "version");
    gtm_json_add(root, "item", item);
    if (ctl_machine(ctl)) {
        shown = ctl_show_machine(ctl, root);
    } else {
        gtm_buf_adds(&out, "gtmctl " GTM_VERSION "\n");
        if (gtmd != NULL)
            ctl_addf(&out, "gtmd   %s\n", gtmd);
        shown = ctl_put(&out);
    }
    gtm_json_free(root);
    gtm_json_free(asked);
    return rc != CTL_OK ? rc : shown;
}

int ctl_help_command(struct ctl *ctl)
{
    int used;

    if (ctl_help(stdout, ctl->argc > 0 ? ctl->argv[0] : NULL, ctl->argc > 1 ? ctl->argv[1] : NULL))
        return CTL_OK;
    (void)ctl_find_command(ctl->argv, ctl->argc, &used); /* says what is unknown */
    return CTL_USAGE;
}
