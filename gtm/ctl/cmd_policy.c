/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl policy: list, show, and pushing tables of latencies.
 */
#include "gtm/base/fs.h"
#include "gtm/base/mem.h"
#include "gtm/ctl/client.h"
#include "gtm/ctl/commands.h"
#include "gtm/ctl/offline.h"
#include "gtm/ctl/say.h"
#include "gtm/ctl/show.h"

#include <inttypes.h>
#include <string.h>

#define TABLE_MAX_BYTES (64u << 20) /* as gtmd has it */

static const struct ctl_column columns[] = {
    {"POLICY", "name", CTL_COL_TEXT, false, false},
    {"STEER", "steer", CTL_COL_TEXT, false, false},
    {"POOL", "pool", CTL_COL_TEXT, false, false},
    {"TO", "to", CTL_COL_TEXT, true, false},
    {"ALL_DOWN", "all_down", CTL_COL_TEXT, false, false},
    {"ANSWERS", "answers", CTL_COL_TEXT, false, true},
    {"TTL", "ttl_seconds", CTL_COL_TEXT, false, true},
    {"NAMES", "names", CTL_COL_TEXT, false, true},
    {"ACTIVE", "active", CTL_COL_TEXT, true, false},
    {"ORDER", "order", CTL_COL_TEXT, true, false},
};

int ctl_policy_list(struct ctl *ctl)
{
    return ctl_get_and_show(ctl, ctl_path("/api/v1/policies"), columns,
                            sizeof(columns) / sizeof(columns[0]));
}

int ctl_policy_show(struct ctl *ctl)
{
    return ctl_get_and_show(ctl, ctl_path("/api/v1/policies/%s", ctl->argv[0]), NULL, 0);
}

/* ---- tables of latencies ---- */

/* The table's text, new; NULL after having said why not. */
static char *read_table(const char *path)
{
    struct gtm_error err = {0};
    char *text = NULL;
    size_t len = 0;

    if (strcmp(path, "-") == 0)
        text = ctl_read_stdin(&len);
    else if (gtm_fs_read(path, TABLE_MAX_BYTES, &text, &len, &err) != 0)
        ctl_error("%s: %s", path, err.text);
    if (text != NULL && strlen(text) != len) {
        ctl_error("%s: a NUL byte is in it: it is no table", path);
        gtm_free(text);
        return NULL;
    }
    return text;
}

static int tell_table(struct ctl *ctl, const struct gtm_json *root)
{
    const struct gtm_json *item = gtm_json_get(root, "item");
    struct gtm_buf out = {0};

    ctl_tell_findings(gtm_json_get(item, "diagnostics"));
    if (ctl_machine(ctl))
        return ctl_show_machine(ctl, root);
    if (ctl->clear)
        ctl_addf(&out, "%s: %s\n", ctl->argv[0],
                 ctl->dry_run ? "would go back to its file" : "its file counts again");
    else
        ctl_addf(&out, "%s: %s, %" PRId64 " networks\n", ctl->argv[0],
                 ctl->dry_run ? "the table would be accepted" : "the table is in force",
                 gtm_json_i64(item, "networks", 0));
    return ctl_put(&out);
}

int ctl_policy_latency(struct ctl *ctl)
{
    struct gtm_json *root = NULL;
    char *text = NULL;

    if ((ctl->file != NULL) == ctl->clear) {
        ctl_error("-f FILE pushes a table, --clear forgets it: one of them");
        return CTL_USAGE;
    }
    if (!ctl->clear && (text = read_table(ctl->file)) == NULL)
        return CTL_FAILED;
    int rc = ctl_request(ctl, ctl->clear ? "DELETE" : "PUT",
                         ctl_path("/api/v1/policies/%s/latency?dryRun=%s", ctl->argv[0],
                                  ctl->dry_run ? "true" : "false"),
                         text, &root);
    gtm_free(text);
    if (rc == CTL_OK)
        rc = tell_table(ctl, root);
    gtm_json_free(root);
    return rc;
}
