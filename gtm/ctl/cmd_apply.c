/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl apply, diff, rollback and delete: a preview first, then the change, which holds only when
 * nothing came in between.
 */
#include "gtm/base/mem.h"
#include "gtm/ctl/client.h"
#include "gtm/ctl/commands.h"
#include "gtm/ctl/say.h"
#include "gtm/ctl/show.h"
#include "gtm/ctl/upload.h"
#include "gtm/model/intent_diff.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define PATIENCE_MS  600000u /* a million records are checked before the answer */
#define DEFAULT_MS   30000u
#define WAIT_STEP_MS 200

/* One change, asked for in dry first. */
struct change {
    int (*ask)(struct ctl *ctl, struct change *c, bool dry_run, struct gtm_json **ret_root);
    struct ctl_intent_files files;
    struct gtm_json *list; /* of files, kept for the second request */
    int64_t base_rev;      /* of the preview; negative = none was made */
    const char *done;      /* "applied" */
};

/* ---- requests ---- */

static int post(struct ctl *ctl, const char *path, struct gtm_json *body, struct gtm_json **ret)
{
    char *text = gtm_json_print(body, false);
    gtm_json_free(body);
    if (text == NULL) {
        ctl_error("out of memory");
        return CTL_FAILED;
    }
    int rc = ctl_request(ctl, "POST", gtm_strdup(path), text, ret);
    gtm_free(text);
    return rc;
}

static void add_common(const struct ctl *ctl, const struct change *c, struct gtm_json *body)
{
    if (c->base_rev >= 0)
        gtm_json_add_i64(body, "expect_rev", c->base_rev);
    if (ctl->allow_mass_delete)
        gtm_json_add_bool(body, "allow_mass_delete", true);
    if (ctl->reason != NULL)
        gtm_json_add_str(body, "reason", ctl->reason);
}

static int ask_apply(struct ctl *ctl, struct change *c, bool dry_run, struct gtm_json **ret_root)
{
    struct gtm_json *body = gtm_json_object();
    gtm_json_add(body, "files", gtm_json_copy(c->list));
    add_common(ctl, c, body);
    return post(ctl, dry_run ? "/api/v1/intent?dryRun=true" : "/api/v1/intent", body, ret_root);
}

static int ask_rollback(struct ctl *ctl, struct change *c, bool dry_run, struct gtm_json **ret_root)
{
    struct gtm_json *body = gtm_json_object();
    gtm_json_add_i64(body, "to", (int64_t)ctl->to);
    add_common(ctl, c, body);
    return post(ctl, dry_run ? "/api/v1/intent/rollback?dryRun=true" : "/api/v1/intent/rollback",
                body, ret_root);
}

static int ask_delete(struct ctl *ctl, struct change *c, bool dry_run, struct gtm_json **ret_root)
{
    char *path = ctl_path("/api/v1/intent/objects/%s/%s?dryRun=%s", ctl_kind(ctl->argv[0]),
                          ctl->argv[1], dry_run ? "true" : "false");
    char expect[48] = "";
    if (c->base_rev >= 0)
        snprintf(expect, sizeof(expect), "&expectRev=%" PRId64, c->base_rev);
    char *reason = ctl->reason != NULL ? ctl_path("&reason=%s", ctl->reason) : gtm_strdup("");
    char *whole = path != NULL && reason != NULL
                      ? gtm_asprintf("%s%s%s%s", path, expect, reason,
                                     ctl->allow_mass_delete ? "&allowMassDelete=true" : "")
                      : NULL;
    gtm_free(path);
    gtm_free(reason);
    return ctl_request(ctl, "DELETE", whole, NULL, ret_root);
}

/* ---- showing ---- */

static void add_diff(struct gtm_buf *out, const struct gtm_json *item)
{
    struct gtm_buf text = {0};
    gtm_intent_diff_text(gtm_json_get(item, "diff"), &text);
    if (text.data != NULL)
        ctl_addf(out, "%s", text.data);
    out->failed = out->failed || text.failed;
    gtm_buf_fini(&text);
}

/* What would be, on standard error, before the question. */
static void tell_preview(const struct gtm_json *item)
{
    struct gtm_buf out = {0};
    add_diff(&out, item);
    fprintf(stderr, "%s", out.data != NULL ? out.data : "");
    gtm_buf_fini(&out);
}

static int tell_mass(const struct gtm_json *item)
{
    for (const struct gtm_json *m = gtm_json_first(gtm_json_get(item, "mass_delete")); m != NULL;
         m = gtm_json_next(m))
        ctl_error("it removes %s", gtm_json_as_str(m) != NULL ? gtm_json_as_str(m) : "?");
    ctl_hint("Nothing was changed. If that is meant: --allow-mass-delete.");
    return CTL_BLOCKED;
}

static int show(struct ctl *ctl, const struct change *c, const struct gtm_json *root)
{
    const struct gtm_json *item = gtm_json_get(root, "item");
    struct gtm_buf out = {0};
    ctl_tell_findings(gtm_json_get(item, "diagnostics"));
    if (ctl_machine(ctl))
        return ctl_show_machine(ctl, root);
    if (ctl->dry_run)
        add_diff(&out, item);
    else if (gtm_json_i64(item, "rev", 0) > 0)
        ctl_addf(&out, "%s: revision %" PRId64 " (was %" PRId64 ")\n", c->done,
                 gtm_json_i64(item, "rev", 0), gtm_json_i64(item, "base_rev", 0));
    else
        ctl_addf(&out, "nothing to do: revision %" PRId64 " has no differences\n",
                 gtm_json_i64(item, "base_rev", 0));
    return ctl_put(&out);
}

/* Until this node serves the revision; a node that cannot says why. */
static int wait_served(struct ctl *ctl, int64_t rev)
{
    const struct timespec step = {0, WAIT_STEP_MS * 1000000L};
    for (uint64_t waited = 0; waited <= ctl->timeout_ms; waited += WAIT_STEP_MS) {
        struct gtm_json *root = NULL;
        int rc = ctl_get(ctl, ctl_path("/api/v1/intent"), &root);
        const struct gtm_json *item = gtm_json_get(root, "item");
        bool served = gtm_json_i64(item, "served_rev", 0) >= rev;
        const char *problem = gtm_json_str(item, "problem", NULL);
        if (rc == CTL_OK && !served && problem != NULL) {
            ctl_error("revision %" PRId64 " is not in force here: %s", rev, problem);
            rc = CTL_FAILED;
        }
        gtm_json_free(root);
        if (rc != CTL_OK || served)
            return rc;
        nanosleep(&step, NULL);
    }
    ctl_error("revision %" PRId64 " is not in force here yet", rev);
    return CTL_RUNNING;
}

/* ---- the course of a change ---- */

/* CTL_OK: go on. Else the exit code. */
static int preview(struct ctl *ctl, struct change *c)
{
    struct gtm_json *root = NULL;
    int rc = c->ask(ctl, c, true, &root);
    const struct gtm_json *item = gtm_json_get(root, "item");
    bool changed = gtm_json_bool(item, "changed", false);
    if (rc == CTL_OK && !ctl->allow_mass_delete &&
        gtm_json_count(gtm_json_get(item, "mass_delete")) > 0) {
        tell_preview(item);
        rc = tell_mass(item);
    } else if (rc == CTL_OK) {
        c->base_rev = gtm_json_i64(item, "base_rev", 0);
        bool hurts = gtm_intent_diff_hurts(gtm_json_get(item, "diff"));
        if (changed && hurts) {
            tell_preview(item);
            rc = ctl_confirm(ctl);
        }
    }
    gtm_json_free(root);
    return rc;
}

static int carry_out(struct ctl *ctl, struct change *c)
{
    struct gtm_json *root = NULL;
    if (ctl->timeout_ms == DEFAULT_MS)
        ctl->timeout_ms = PATIENCE_MS;
    int rc = ctl->dry_run || ctl->yes ? CTL_OK : preview(ctl, c);
    if (rc == CTL_OK)
        rc = c->ask(ctl, c, ctl->dry_run, &root);
    if (rc == CTL_OK)
        rc = show(ctl, c, root);
    const struct gtm_json *item = gtm_json_get(root, "item");
    if (rc == CTL_OK && ctl->dry_run && !ctl->allow_mass_delete &&
        gtm_json_count(gtm_json_get(item, "mass_delete")) > 0)
        rc = tell_mass(item);
    if (rc == CTL_OK && ctl->wait && gtm_json_i64(item, "rev", 0) > 0)
        rc = wait_served(ctl, gtm_json_i64(item, "rev", 0));
    gtm_json_free(root);
    return rc;
}

/* The file to read; NULL after having said that it is missing. */
static const char *file_of(const struct ctl *ctl)
{
    const char *path = ctl->argc > 0 ? ctl->argv[0] : ctl->file;
    if (path != NULL && (ctl->argc == 0 || ctl->file == NULL))
        return path;
    ctl_error("which file? for example: gtmctl %s -f cluster.yaml", ctl->command->noun);
    return NULL;
}

static int read_and_upload(struct ctl *ctl, struct change *c)
{
    const char *path = file_of(ctl);
    int rc = path != NULL ? ctl_files_read(&c->files, path) : CTL_USAGE;
    if (rc == CTL_OK && c->files.local > 0)
        ctl_note(ctl, "%zu files have absolute paths: they do not travel", c->files.local);
    if (rc == CTL_OK)
        rc = ctl_files_upload(ctl, &c->files, &c->list);
    return rc;
}

int ctl_apply(struct ctl *ctl)
{
    struct change c = {.ask = ask_apply, .base_rev = -1, .done = "applied"};
    int rc = read_and_upload(ctl, &c);
    if (rc == CTL_OK)
        rc = carry_out(ctl, &c);
    ctl_files_fini(&c.files);
    gtm_json_free(c.list);
    return rc;
}

int ctl_diff(struct ctl *ctl)
{
    struct change c = {.ask = ask_apply, .base_rev = -1};
    struct gtm_json *root = NULL;
    if (ctl->timeout_ms == DEFAULT_MS)
        ctl->timeout_ms = PATIENCE_MS;
    ctl->dry_run = true;
    int rc = read_and_upload(ctl, &c);
    if (rc == CTL_OK)
        rc = ask_apply(ctl, &c, true, &root);
    if (rc == CTL_OK)
        rc = show(ctl, &c, root);
    if (rc == CTL_OK && gtm_json_bool(gtm_json_get(root, "item"), "changed", false))
        rc = CTL_DIFFERENCES;
    gtm_json_free(root);
    ctl_files_fini(&c.files);
    gtm_json_free(c.list);
    return rc;
}

int ctl_rollback(struct ctl *ctl)
{
    struct change c = {.ask = ask_rollback, .base_rev = -1, .done = "rolled back"};
    if (ctl->to == 0) {
        ctl_error("to which revision? gtmctl history lists them; for example: gtmctl rollback "
                  "--to 7");
        return CTL_USAGE;
    }
    return carry_out(ctl, &c);
}

int ctl_delete(struct ctl *ctl)
{
    struct change c = {.ask = ask_delete, .base_rev = -1, .done = "deleted"};
    return ctl_kind(ctl->argv[0]) != NULL ? carry_out(ctl, &c) : CTL_USAGE;
}
