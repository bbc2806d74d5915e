/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl history, export, get and describe: reading the intent.
 */
#include "gtm/base/fs.h"
#include "gtm/base/mem.h"
#include "gtm/ctl/client.h"
#include "gtm/ctl/commands.h"
#include "gtm/ctl/options.h"
#include "gtm/ctl/say.h"
#include "gtm/ctl/show.h"
#include "gtm/model/manifest.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- kinds ---- */

static const char *const kinds[] = {"regions", "monitors", "pools",  "policies",  "zones",
                                    "names",   "keys",     "groups", "rules",     "plans",
                                    "drills",  "signals",  "fleets", "calendars", "alerts",
                                    "health",  "capacity"};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

const char *ctl_kind(const char *word)
{
    if (strcmp(word, "policy") == 0)
        return "policies";
    for (size_t i = 0; i < KINDS; i++) {
        size_t n = strlen(kinds[i]);
        if (strcmp(word, kinds[i]) == 0 || (kinds[i][n - 1] == 's' && strlen(word) == n - 1 &&
                                            strncmp(word, kinds[i], n - 1) == 0))
            return kinds[i];
    }
    const char *near = ctl_nearest(word, kinds, KINDS);
    ctl_error("there is no kind '%s'", word);
    if (near != NULL)
        ctl_hint("Did you mean %s?", near);
    else
        ctl_hint("Kinds: regions, monitors, pools, policies, zones, names, keys, groups, …");
    return NULL;
}

/* ---- history ---- */

int ctl_history(struct ctl *ctl)
{
    static const struct ctl_column columns[] = {
        {"REV", "rev", CTL_COL_TEXT, false, true},
        {"AGE", "time", CTL_COL_AGE, false, true},
        {"WHO", "who", CTL_COL_TEXT, false, false},
        {"FILES", "files_count", CTL_COL_TEXT, true, true},
        {"SIZE", "bytes", CTL_COL_BYTES, false, true},
        {"POOLS", "/summary/pools", CTL_COL_TEXT, false, true},
        {"ZONES", "/summary/zones", CTL_COL_TEXT, false, true},
        {"NAMES", "/summary/names", CTL_COL_TEXT, false, true},
        {"CURRENT", "current", CTL_COL_TEXT, false, false},
        {"SERVED", "served", CTL_COL_TEXT, true, false},
        {"REASON", "reason", CTL_COL_TEXT, false, false},
    };
    char *path = ctl->limit > 0 ? gtm_asprintf("/api/v1/intent/history?limit=%" PRIu64, ctl->limit)
                                : gtm_strdup("/api/v1/intent/history");
    return ctl_get_and_show(ctl, path, columns, sizeof(columns) / sizeof(columns[0]));
}

/* ---- export ---- */

/* The text of a file, from its chunks, each checked. */
static int fetch_file(struct ctl *ctl, const struct gtm_manifest_file *file, struct gtm_buf *out)
{
    int rc = CTL_OK;
    for (size_t i = 0; i < file->blobs_count && rc == CTL_OK; i++) {
        const struct gtm_blob_ref *blob = &file->blobs[i];
        char hex[GTM_SHA256_HEX_BYTES];
        size_t before = out->len;
        rc = ctl_get_buf(ctl, ctl_path("/api/v1/intent/blobs/%s", blob->sha256), out);
        if (rc == CTL_OK && (out->len - before != blob->bytes ||
                             !gtm_sha256_hex(out->data + before, blob->bytes, hex) ||
                             strcmp(hex, blob->sha256) != 0)) {
            ctl_error("%s: chunk %s does not have the hash it is named by: it was changed",
                      file->name, blob->sha256);
            rc = CTL_FAILED;
        }
    }
    return rc;
}

/* Never over a file with another text, but with --yes. */
static int write_file(const struct ctl *ctl, const char *dir, const char *name,
                      const struct gtm_buf *text)
{
    struct gtm_error err = {0};
    char *path = gtm_fs_join(dir, name), *folder = path != NULL ? gtm_fs_dirname(path) : NULL;
    char *there = NULL;
    size_t len = 0;
    int rc = folder != NULL ? gtm_fs_mkdirs(folder, 0777, &err)
                            : gtm_error_set(&err, GTM_ENOMEM, "out of memory");
    if (rc == GTM_OK && !ctl->yes &&
        gtm_fs_read(path, GTM_MANIFEST_FILE_MAX, &there, &len, &err) != GTM_ENOTFOUND &&
        (there == NULL || len != text->len || (len && memcmp(there, text->data, len) != 0)))
        rc = gtm_error_at(&err, GTM_EEXIST, path, 0, 0,
                          "there is another file; --yes writes over it");
    if (rc == GTM_OK)
        rc = gtm_fs_write_atomic(path, text->data != NULL ? text->data : "", text->len, 0644, &err);
    gtm_free(there);
    gtm_free(folder);
    gtm_free(path);
    if (rc == GTM_OK)
        return CTL_OK;
    char why[GTM_ERROR_TEXT_BYTES + GTM_ERROR_FILE_BYTES + 32];
    ctl_error("%s", gtm_error_format(&err, why, sizeof(why)));
    return CTL_FAILED;
}

static int export_files(struct ctl *ctl, const struct gtm_manifest *manifest)
{
    int rc = CTL_OK;
    size_t count = ctl->dir != NULL ? manifest->files_count : 1;
    for (size_t i = 0; i < count && rc == CTL_OK; i++) {
        struct gtm_buf text = {0};
        rc = fetch_file(ctl, &manifest->files[i], &text);
        if (rc == CTL_OK && ctl->dir != NULL)
            rc = write_file(ctl, ctl->dir, manifest->files[i].name, &text);
        else if (rc == CTL_OK && text.len > 0)
            fwrite(text.data, 1, text.len, stdout); /* main checks the stream */
        gtm_buf_fini(&text);
    }
    if (rc == CTL_OK && ctl->dir == NULL && manifest->files_count > 1)
        ctl_hint("and %zu more files: -d DIR writes them all", manifest->files_count - 1);
    return rc;
}

int ctl_export(struct ctl *ctl)
{
    struct gtm_json *root = NULL;
    struct gtm_error err = {0};
    struct gtm_manifest *manifest = gtm_manifest_new();
    char *path = ctl->rev > 0 ? gtm_asprintf("/api/v1/intent/revisions/%" PRIu64, ctl->rev)
                              : gtm_strdup("/api/v1/intent");
    int rc = ctl_get(ctl, path, &root);
    const struct gtm_json *item = gtm_json_get(root, "item");
    const struct gtm_json *files = gtm_json_get(item, "files");
    if (rc == CTL_OK && gtm_json_count(files) == 0) {
        ctl_error("nothing was applied yet");
        rc = CTL_NOT_FOUND;
    } else if (rc == CTL_OK &&
               (manifest == NULL || gtm_manifest_files_parse(manifest, files, &err) != GTM_OK)) {
        ctl_error("revision %" PRId64 ": %s", gtm_json_i64(item, "rev", 0),
                  manifest != NULL ? err.text : "out of memory");
        rc = CTL_FAILED;
    }
    if (rc == CTL_OK)
        rc = export_files(ctl, manifest);
    gtm_manifest_free(manifest);
    gtm_json_free(root);
    return rc;
}

/* ---- get and describe ---- */

/* Appends copies of the kind's objects, or of the one of that name (names: ZONE/NAME). */
static void collect(const struct gtm_json *intent, const char *kind, const char *name,
                    struct gtm_json *items)
{
    bool names = strcmp(kind, "names") == 0;
    const struct gtm_json *list = gtm_json_get(intent, names ? "zones" : kind);
    if (gtm_json_type(list) == GTM_JSON_OBJECT) { /* a section that is one object */
        gtm_json_append(items, gtm_json_copy(list));
        return;
    }
    for (const struct gtm_json *o = gtm_json_first(list); o != NULL; o = gtm_json_next(o)) {
        const char *own = gtm_json_str(o, "name", "");
        if (!names) {
            if (name == NULL || strcmp(own, name) == 0)
                gtm_json_append(items, gtm_json_copy(o));
            continue;
        }
        for (const struct gtm_json *n = gtm_json_first(gtm_json_get(o, "names")); n != NULL;
             n = gtm_json_next(n)) {
            char *whole = gtm_asprintf("%s/%s", own, gtm_json_str(n, "name", ""));
            if (whole != NULL && (name == NULL || strcmp(whole, name) == 0)) {
                struct gtm_json *copy = gtm_json_copy(n);
                gtm_json_add_str(copy, "zone", own);
                gtm_json_append(items, copy);
            }
            gtm_free(whole);
        }
    }
}

/* The intent's objects; *ret_items is new. */
static int get_objects(struct ctl *ctl, const char *kind, struct gtm_json **ret_root,
                       struct gtm_json **ret_items)
{
    const char *name = ctl->argc > 1 ? ctl->argv[1] : NULL;
    int rc = ctl_get(ctl, ctl_path("/api/v1/config"), ret_root);
    if (rc != CTL_OK)
        return rc;
    *ret_items = gtm_json_array();
    collect(gtm_json_get(gtm_json_get(*ret_root, "item"), "intent"), kind, name, *ret_items);
    if (name != NULL && gtm_json_count(*ret_items) == 0) {
        ctl_error("the intent has no %s '%s'", kind, name);
        return CTL_NOT_FOUND;
    }
    return CTL_OK;
}

static int show_objects(struct ctl *ctl, const char *kind, const struct gtm_json *like,
                        struct gtm_json *items)
{
    static const struct ctl_column columns[] = {{"NAME", "name", CTL_COL_TEXT, false, false},
                                                {"ZONE", "zone", CTL_COL_TEXT, false, false},
                                                {"KIND", "kind", CTL_COL_TEXT, false, false},
                                                {"STEER", "steer", CTL_COL_TEXT, false, false},
                                                {"POOL", "pool", CTL_COL_TEXT, false, false},
                                                {"POLICY", "policy", CTL_COL_TEXT, false, false},
                                                {"GROUP", "group", CTL_COL_TEXT, false, false},
                                                {"FILE", "file", CTL_COL_TEXT, false, false}};
    struct ctl_column used[sizeof(columns) / sizeof(columns[0])];
    size_t count = 0;
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        bool any = i == 0;
        for (const struct gtm_json *o = gtm_json_first(items); o != NULL && !any;
             o = gtm_json_next(o))
            any = gtm_json_str(o, columns[i].key, NULL) != NULL;
        if (any)
            used[count++] = columns[i];
    }
    struct gtm_json *root = ctl_envelope("IntentObjects", like);
    gtm_json_add_str(root, "object_kind", kind);
    gtm_json_add(root, "items", gtm_json_copy(items));
    int rc = ctl_show(ctl, root, used, count);
    gtm_json_free(root);
    return rc;
}

int ctl_get_objects(struct ctl *ctl)
{
    struct gtm_json *root = NULL, *items = NULL;
    struct gtm_buf out = {0};
    const char *kind = ctl_kind(ctl->argv[0]);
    int rc = kind != NULL ? get_objects(ctl, kind, &root, &items) : CTL_USAGE;
    if (rc == CTL_OK && ctl->argc > 1 && !ctl_machine(ctl)) {
        ctl_yaml(&out, gtm_json_first(items), 0);
        rc = ctl_put(&out);
    } else if (rc == CTL_OK) {
        rc = show_objects(ctl, kind, root, items);
    }
    gtm_json_free(items);
    gtm_json_free(root);
    return rc;
}

/* What gtmd says of the object now; CTL_OK without any for kinds that have no state. */
static int get_live(struct ctl *ctl, const char *kind, struct gtm_json **ret_root)
{
    static const char *const live[] = {"pools", "zones", "policies"};
    for (size_t i = 0; i < sizeof(live) / sizeof(live[0]); i++)
        if (strcmp(kind, live[i]) == 0)
            return ctl_get(ctl, ctl_path("/api/v1/%s/%s", kind, ctl->argv[1]), ret_root);
    return strcmp(kind, "regions") == 0 ? ctl_get(ctl, ctl_path("/api/v1/regions"), ret_root)
                                        : CTL_OK;
}

static const struct gtm_json *live_item(const struct gtm_json *root, const char *name)
{
    const struct gtm_json *item = gtm_json_get(root, "item");
    for (const struct gtm_json *o = gtm_json_first(gtm_json_get(root, "items")); o != NULL;
         o = gtm_json_next(o))
        if (strcmp(gtm_json_str(o, "name", ""), name) == 0)
            return o;
    return item;
}

int ctl_describe(struct ctl *ctl)
{
    struct gtm_json *root = NULL, *items = NULL, *live = NULL;
    const char *kind = ctl_kind(ctl->argv[0]);
    int rc = kind != NULL ? get_objects(ctl, kind, &root, &items) : CTL_USAGE;
    if (rc == CTL_OK)
        rc = get_live(ctl, kind, &live);
    const struct gtm_json *now = live_item(live, ctl->argv[1]);
    if (rc == CTL_OK) {
        struct gtm_json *both = ctl_envelope("IntentObject", root);
        struct gtm_json *item = gtm_json_add_object(both, "item");
        gtm_json_add(item, "intent", gtm_json_copy(gtm_json_first(items)));
        if (now != NULL)
            gtm_json_add(item, "now", gtm_json_copy(now));
        else
            gtm_json_add_null(item, "now");
        struct gtm_buf out = {0};
        if (ctl_machine(ctl)) {
            rc = ctl_show_machine(ctl, both);
        } else {
            gtm_buf_adds(&out, "intent:\n");
            ctl_yaml(&out, gtm_json_get(item, "intent"), 2);
            gtm_buf_adds(&out, now != NULL ? "now:\n" : "");
            if (now != NULL)
                ctl_fields(ctl, &out, now);
            rc = ctl_put(&out);
        }
        gtm_json_free(both);
    }
    gtm_json_free(live);
    gtm_json_free(items);
    gtm_json_free(root);
    return rc;
}
