/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl zone: what is served, and checking a zone file without gtmd.
 */
#include "dns/zone.h"
#include "gtm/base/mem.h"
#include "gtm/ctl/client.h"
#include "gtm/ctl/commands.h"
#include "gtm/ctl/offline.h"
#include "gtm/ctl/say.h"
#include "gtm/ctl/show.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define RECORDS_DEFAULT 1000u
#define PAGE_MAX        1000u

static const struct ctl_column zone_columns[] = {
    {"ZONE", "name", CTL_COL_TEXT, false, false},
    {"ROLE", "role", CTL_COL_TEXT, false, false},
    {"STATE", "state", CTL_COL_WORD, false, false},
    {"SERIAL", "serial", CTL_COL_TEXT, false, true},
    {"NAMES", "names", CTL_COL_TEXT, false, true},
    {"RECORDS", "records", CTL_COL_TEXT, false, true},
    {"DYNAMIC", "dynamics", CTL_COL_TEXT, false, true},
    {"MEMORY", "bytes", CTL_COL_BYTES, true, true},
    {"REFRESHED", "refreshed", CTL_COL_AGE, true, true},
    {"NEXT", "next_refresh", CTL_COL_LEFT, true, true},
    {"EXPIRES", "expires", CTL_COL_LEFT, true, true},
    {"TRANSFERS", "transfers", CTL_COL_TEXT, true, true},
    {"FAILURES", "failures", CTL_COL_TEXT, true, true},
    {"FILE", "file", CTL_COL_TEXT, false, false},
    {"ERROR", "last_error", CTL_COL_TEXT, true, false},
};
static const struct ctl_column record_columns[] = {
    {"NAME", "name", CTL_COL_TEXT, false, false}, {"TTL", "ttl_seconds", CTL_COL_TEXT, false, true},
    {"TYPE", "type", CTL_COL_TEXT, false, false}, {"POLICY", "policy", CTL_COL_TEXT, false, false},
    {"DATA", "data", CTL_COL_TEXT, false, false},
};

int ctl_zone_list(struct ctl *ctl)
{
    return ctl_get_and_show(ctl, ctl_path("/api/v1/zones"), zone_columns,
                            sizeof(zone_columns) / sizeof(zone_columns[0]));
}

int ctl_zone_show(struct ctl *ctl)
{
    return ctl_get_and_show(ctl, ctl_path("/api/v1/zones/%s", ctl->argv[0]), NULL, 0);
}

/* ---- transfers now ---- */

static int ask(struct ctl *ctl, char *path, const char *what)
{
    struct gtm_json *root = NULL;
    struct gtm_buf out = {0};
    int rc = ctl_request(ctl, "POST", path, NULL, &root);

    if (rc == CTL_OK && ctl_machine(ctl)) {
        rc = ctl_show_machine(ctl, root);
    } else if (rc == CTL_OK) {
        int64_t asked = gtm_json_i64(gtm_json_get(root, "item"), "asked", 0);
        ctl_addf(
            &out, "%s: %" PRId64 " %s%s %s\n", ctl->argv[0], asked, what, asked == 1 ? "" : "s",
            ctl->dry_run ? "would be asked (dry run)" : "asked; see: gtmctl zone list -o wide");
        rc = ctl_put(&out);
    }
    gtm_json_free(root);
    return rc;
}

int ctl_zone_refresh(struct ctl *ctl)
{
    return ask(ctl,
               ctl_path("/api/v1/zones/%s/refresh?dryRun=%s", ctl->argv[0],
                        ctl->dry_run ? "true" : "false"),
               "primary server");
}

int ctl_zone_notify(struct ctl *ctl)
{
    return ask(ctl,
               ctl_path("/api/v1/zones/%s/notify?dryRun=%s", ctl->argv[0],
                        ctl->dry_run ? "true" : "false"),
               "secondary server");
}

/* ---- records ---- */

static int get_page(struct ctl *ctl, uint64_t limit, int64_t after, struct gtm_json **ret_root)
{
    char limit_text[24], after_text[24];

    snprintf(limit_text, sizeof(limit_text), "%" PRIu64, limit < PAGE_MAX ? limit : PAGE_MAX);
    snprintf(after_text, sizeof(after_text), "%" PRId64, after);
    if (ctl->name == NULL)
        return ctl_get(ctl,
                       ctl_path("/api/v1/zones/%s/records?limit=%s&after=%s", ctl->argv[0],
                                limit_text, after_text),
                       ret_root);
    return ctl_get(ctl,
                   ctl_path("/api/v1/zones/%s/records?limit=%s&after=%s&name=%s", ctl->argv[0],
                            limit_text, after_text, ctl->name),
                   ret_root);
}

/* Page by page into one envelope, whose "next" is the first record left out, or null. */
static int get_records(struct ctl *ctl, struct gtm_json **ret_root)
{
    uint64_t left = ctl->limit > 0 ? ctl->limit : RECORDS_DEFAULT;
    struct gtm_json *root = NULL, *items = NULL;
    int64_t after = 0;

    for (;;) {
        struct gtm_json *page = NULL;
        int rc = get_page(ctl, left, after, &page);
        if (rc != CTL_OK) {
            gtm_json_free(root);
            return rc;
        }
        if (root == NULL) {
            root = ctl_envelope("RecordList", page);
            items = gtm_json_add_array(root, "items");
        }
        const struct gtm_json *list = gtm_json_get(page, "items");
        for (const struct gtm_json *r = gtm_json_first(list); r != NULL; r = gtm_json_next(r))
            gtm_json_append(items, gtm_json_copy(r));
        size_t got = gtm_json_count(list);
        left -= got < left ? got : left;
        bool more = gtm_json_type(gtm_json_get(page, "next")) == GTM_JSON_NUMBER && got > 0;
        after = gtm_json_i64(page, "next", 0);
        gtm_json_free(page);
        if (more && left > 0)
            continue;
        if (more)
            gtm_json_add_i64(root, "next", after);
        else
            gtm_json_add_null(root, "next");
        *ret_root = root;
        return CTL_OK;
    }
}

int ctl_zone_records(struct ctl *ctl)
{
    struct gtm_json *root = NULL;
    int rc = get_records(ctl, &root);

    if (rc == CTL_OK)
        rc =
            ctl_show(ctl, root, record_columns, sizeof(record_columns) / sizeof(record_columns[0]));
    if (rc == CTL_OK && gtm_json_type(gtm_json_get(root, "next")) == GTM_JSON_NUMBER)
        ctl_error("there are more records: --limit N shows more");
    gtm_json_free(root);
    return rc;
}

/* ---- checking a file ---- */

/* db/example.com.zone → example.com */
static void origin_of(const char *path, char out[256])
{
    static const char *const ends[] = {".zone", ".db", ".txt"};
    const char *slash = strrchr(path, '/');

    snprintf(out, 256, "%s", slash != NULL ? slash + 1 : path);
    for (size_t i = 0; i < 3; i++) {
        size_t n = strlen(out), e = strlen(ends[i]);
        if (n > e && strcmp(out + n - e, ends[i]) == 0) {
            out[n - e] = 0;
            return;
        }
    }
}

int ctl_zone_check(struct ctl *ctl)
{
    char origin[256], more[96] = "";
    struct gtm_diags diags = {0};
    struct dns_zone_info info;

    origin_of(ctl->argv[0], origin);
    struct dns_zone_spec spec = {.origin = ctl->origin != NULL ? ctl->origin : origin,
                                 .path = ctl->argv[0]};
    struct dns_zone *zone = dns_zone_load(&spec, &diags);
    struct ctl_verdict verdict = {.kind = "ZoneCheck", .subject = spec.origin, .ok = zone != NULL};
    struct gtm_json *facts = gtm_json_object();
    gtm_json_add_str(facts, "zone", spec.origin);
    gtm_json_add_str(facts, "file", spec.path);
    if (zone != NULL) {
        dns_zone_info(zone, &info);
        gtm_json_add_i64(facts, "serial", info.serial);
        gtm_json_add_i64(facts, "records", (int64_t)info.records);
        gtm_json_add_i64(facts, "names", (int64_t)info.names);
        snprintf(more, sizeof(more), ", serial %" PRIu32 ", %zu records, %zu names", info.serial,
                 info.records, info.names);
    }
    dns_zone_unref(zone);
    verdict.more = more;
    return ctl_conclude(ctl, &verdict, facts, &diags);
}
