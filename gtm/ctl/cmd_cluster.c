/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl node (list, drain, undrain), leader and snapshot.
 */
#include "gtm/base/clock.h"
#include "gtm/base/mem.h"
#include "gtm/ctl/client.h"
#include "gtm/ctl/commands.h"
#include "gtm/ctl/order.h"
#include "gtm/ctl/say.h"
#include "gtm/ctl/show.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define COUNT(columns) (sizeof(columns) / sizeof((columns)[0]))
#define SETTLE_MS      10000
#define LOOK_MS        200

/* ---- nodes ---- */

static const struct ctl_column node_columns[] = {
    {"NODE", "name", CTL_COL_TEXT, false, false},
    {"REGION", "region", CTL_COL_TEXT, false, false},
    {"STATE", "state", CTL_COL_WORD, false, false},
    {"MODE", "mode", CTL_COL_TEXT, false, false},
    {"VOTES", "vantage", CTL_COL_TEXT, false, false},
    {"VIEW", "view", CTL_COL_TEXT, false, true},
    {"INTENT", "intent", CTL_COL_TEXT, false, true},
    {"UP", "started", CTL_COL_AGE, false, true},
    {"SEEN BY", "seen_by", CTL_COL_SEEN, true, false},
    {"BUILD", "build", CTL_COL_TEXT, true, false},
    {"API", "api", CTL_COL_TEXT, true, false},
    {"WHY", "vantage_why", CTL_COL_TEXT, true, false},
    {"OWNER", "/admin/owner", CTL_COL_TEXT, true, false},
    {"REASON", "/admin/reason", CTL_COL_TEXT, true, false},
};

int ctl_node_list(struct ctl *ctl)
{
    return ctl_get_and_show(ctl, ctl_path("/api/v1/nodes"), node_columns, COUNT(node_columns));
}

static int order_node(struct ctl *ctl, const char *node, const char *state)
{
    char what[CTL_NAME_BYTES + 8];
    char *path = ctl_path("/api/v1/nodes/%s/admin", node);

    snprintf(what, sizeof(what), "node/%s", node);
    int rc = ctl_order_send(ctl, &(struct ctl_order){.what = what, .path = path},
                            ctl_order_body(ctl, state));
    gtm_free(path);
    return rc;
}

static bool has_text(const struct gtm_json *list, const char *text)
{
    for (const struct gtm_json *one = gtm_json_first(list); one != NULL; one = gtm_json_next(one))
        if (strcmp(gtm_json_as_str(one) != NULL ? gtm_json_as_str(one) : "", text) == 0)
            return true;
    return false;
}

/* Why the nodes that are left are not enough; "" when they are. They must serve the same view, and
 * a majority of the vantage regions must have one that votes. */
static void judge(const struct gtm_json *nodes, const struct gtm_json *vantages, char why[256])
{
    struct gtm_json *voting = gtm_json_array();
    int64_t view = -1;
    size_t serving = 0, wanted = 0, have = 0;

    why[0] = 0;
    for (const struct gtm_json *n = gtm_json_first(nodes); n != NULL; n = gtm_json_next(n)) {
        const char *region = gtm_json_str(n, "region", "");
        if (strcmp(gtm_json_str(n, "state", ""), "serving") != 0)
            continue;
        int64_t own = gtm_json_i64(n, "view", 0);
        if (serving++ > 0 && own != view)
            snprintf(why, 256, "nodes serve different views (%" PRId64 " and %" PRId64 ")", view,
                     own);
        view = own;
        if (gtm_json_bool(n, "vantage", false) && !has_text(voting, region))
            gtm_json_append_str(voting, region);
    }
    for (const struct gtm_json *v = gtm_json_first(vantages); v != NULL; v = gtm_json_next(v)) {
        wanted++;
        have += has_text(voting, gtm_json_as_str(v));
    }
    if (serving == 0)
        snprintf(why, 256, "no node is left that serves");
    else if (have * 2 <= wanted)
        snprintf(why, 256, "only %zu of %zu vantage regions would have a node that votes", have,
                 wanted);
    gtm_json_free(voting);
}

/* Are those drained, as the others see it? */
static bool drained(const struct gtm_json *nodes, const char *const *names, int count)
{
    for (const struct gtm_json *n = gtm_json_first(nodes); n != NULL; n = gtm_json_next(n))
        for (int i = 0; i < count; i++)
            if (strcmp(gtm_json_str(n, "name", ""), names[i]) == 0 &&
                strcmp(gtm_json_str(n, "state", ""), "serving") == 0)
                return false;
    return true;
}

/* Waits until what is left after a batch is sound. An exit code; why says what is not. */
static int settle(struct ctl *ctl, const char *const *names, int count, char why[256])
{
    struct gtm_json *config = NULL;
    int rc = ctl_get(ctl, ctl_path("/api/v1/config"), &config);
    uint64_t end = gtm_mono_ms(gtm_clock_system()) + SETTLE_MS;

    for (bool sound = false; rc == CTL_OK && !sound;) {
        struct gtm_json *nodes = NULL;
        rc = ctl_get(ctl, ctl_path("/api/v1/nodes"), &nodes);
        if (rc == CTL_OK && !drained(gtm_json_get(nodes, "items"), names, count))
            snprintf(why, 256, "a node of the batch does not see the order");
        else if (rc == CTL_OK)
            judge(gtm_json_get(nodes, "items"),
                  gtm_json_pointer(config, "/item/intent/health/vantages"), why);
        gtm_json_free(nodes);
        sound = why[0] == 0;
        if (!sound && gtm_mono_ms(gtm_clock_system()) > end)
            rc = CTL_FAILED;
        else if (!sound)
            nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000L}, NULL);
    }
    gtm_json_free(config);
    return rc;
}

int ctl_node_drain(struct ctl *ctl)
{
    int batch = ctl->batch > 0 && ctl->batch < CTL_ARGS_MAX ? (int)ctl->batch : 1;
    char why[256] = "";
    int rc = ctl->dry_run ? CTL_OK : ctl_confirm(ctl);

    for (int at = 0; rc == CTL_OK && at < ctl->argc; at += batch) {
        int count = ctl->argc - at < batch ? ctl->argc - at : batch, given = 0;
        while (rc == CTL_OK && given < count)
            rc = order_node(ctl, ctl->argv[at + given++], "drain");
        if (rc == CTL_OK && !ctl->dry_run)
            rc = settle(ctl, &ctl->argv[at], count, why);
        if (rc == CTL_OK || ctl->dry_run)
            continue;
        if (why[0] != 0)
            ctl_error("stopped: %s; the last batch is taken back", why);
        for (int i = 0; i < given; i++)
            (void)order_node(ctl, ctl->argv[at + i], "auto"); /* it says so itself when it fails */
    }
    return rc;
}

int ctl_node_undrain(struct ctl *ctl)
{
    int rc = CTL_OK;

    for (int i = 0; rc == CTL_OK && i < ctl->argc; i++)
        rc = order_node(ctl, ctl->argv[i], "auto");
    return rc;
}

/* ---- the leader ---- */

int ctl_leader_show(struct ctl *ctl)
{
    return ctl_get_and_show(ctl, ctl_path("/api/v1/leader"), NULL, 0);
}

static int post_and_show(struct ctl *ctl, char *path, const char *body)
{
    struct gtm_json *root = NULL;
    int rc = ctl_request(ctl, "POST", path, body, &root);

    if (rc == CTL_OK)
        rc = ctl_show(ctl, root, NULL, 0);
    gtm_json_free(root);
    return rc;
}

int ctl_leader_resign(struct ctl *ctl)
{
    struct gtm_json *root = NULL;
    int rc = ctl->dry_run ? CTL_OK : ctl_confirm(ctl);

    if (rc == CTL_OK)
        rc = ctl_request(
            ctl, "POST",
            ctl_path("/api/v1/leader/resign?dryRun=%s", ctl->dry_run ? "true" : "false"), "{}",
            &root);
    if (rc == CTL_OK)
        rc = ctl_show(ctl, root, NULL, 0);
    const struct gtm_json *item = gtm_json_get(root, "item");
    const char *was = gtm_json_str(item, "resigned", NULL);
    if (rc == CTL_OK && was != NULL && strcmp(was, gtm_json_str(item, "node", "")) == 0)
        ctl_hint("Nobody else stood for election: %s leads again.", was);
    gtm_json_free(root);
    return rc;
}

/* ---- snapshots ---- */

int ctl_snapshot(struct ctl *ctl)
{
    bool save = strcmp(ctl->command->verb, "save") == 0;
    struct gtm_json *body = gtm_json_object();
    int rc = ctl->dry_run || save ? CTL_OK : ctl_confirm(ctl);

    if (ctl->argc > 0)
        gtm_json_add_str(body, "path", ctl->argv[0]);
    gtm_json_add_str(body, "reason", ctl->reason);
    char *text = gtm_json_print(body, false);
    if (rc == CTL_OK)
        rc = post_and_show(ctl,
                           ctl_path("/api/v1/snapshots/%s?dryRun=%s", ctl->command->verb,
                                    ctl->dry_run ? "true" : "false"),
                           text);
    gtm_free(text);
    gtm_json_free(body);
    return rc;
}
