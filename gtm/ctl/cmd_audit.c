/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl audit: the chain shown, exported, and checked, where it is kept or in an exported file.
 */
#include "gtm/base/mem.h"
#include "gtm/ctl/client.h"
#include "gtm/ctl/commands.h"
#include "gtm/ctl/say.h"
#include "gtm/ctl/show.h"
#include "gtm/model/audit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define COUNT(columns) (sizeof(columns) / sizeof((columns)[0]))

static const struct ctl_column audit_columns[] = {
    {"SEQ", "seq", CTL_COL_TEXT, false, true},
    {"AGO", "at", CTL_COL_AGE, false, true},
    {"WHO", "who", CTL_COL_TEXT, false, false},
    {"ROLE", "role", CTL_COL_TEXT, false, false},
    {"NODE", "node", CTL_COL_TEXT, true, false},
    {"WHAT", "verb", CTL_COL_TEXT, false, false},
    {"SUBJECT", "subject", CTL_COL_TEXT, false, false},
    {"WHY", "why", CTL_COL_TEXT, false, false},
};

int ctl_audit_list(struct ctl *ctl)
{
    char limit[32];

    snprintf(limit, sizeof(limit), "%" PRIu64, ctl->limit > 0 ? ctl->limit : 100);
    return ctl_get_and_show(ctl, ctl_path("/api/v1/audit?limit=%s", limit), audit_columns,
                            COUNT(audit_columns));
}

/* ---- export ---- */

/* What the last line of a page is: the number of an entry, or 0 for the head. */
static int64_t last_of(const struct gtm_buf *page)
{
    size_t end = page->len - 1, at = end;

    while (at > 0 && page->data[at - 1] != '\n')
        at--;
    struct gtm_json *line = gtm_json_parse(page->data + at, end - at, NULL);
    bool entry = gtm_json_get(line, "prev") != NULL;
    int64_t seq = entry ? gtm_json_i64(line, "seq", 0) : 0;
    gtm_json_free(line);
    return seq;
}

int ctl_audit_export(struct ctl *ctl)
{
    int64_t after = 0, before;
    int rc;

    do {
        struct gtm_buf page = {0};
        char from[32];
        before = after;
        snprintf(from, sizeof(from), "%" PRId64, after);
        rc = ctl_get_buf(ctl, ctl_path("/api/v1/audit/export?after=%s", from), &page);
        if (rc == CTL_OK && page.len > 0) {
            after = last_of(&page);
            fwrite(page.data, 1, page.len, stdout); /* main checks the stream */
        } else if (rc == CTL_OK && after == 0) {
            ctl_error("there are no entries yet");
            rc = CTL_NOT_FOUND;
        }
        gtm_buf_fini(&page);
    } while (rc == CTL_OK && after > before);
    if (rc == CTL_OK && after != 0) {
        ctl_error("the chain has no end behind entry %" PRId64 " (gtmctl audit verify)", after);
        rc = CTL_FAILED;
    }
    return rc;
}

/* ---- verify ---- */

/* The next line, or as much of it as there is room for; false: there is none. */
static bool read_line(FILE *in, char *line, size_t size, size_t *ret_len, bool *ret_ended)
{
    size_t n = 0;
    int c = EOF;

    while (n < size && (c = getc_unlocked(in)) != EOF && c != '\n')
        line[n++] = (char)c;
    *ret_len = n;
    *ret_ended = c == '\n';
    return n > 0 || c == '\n';
}

static bool is_json(const char *text, size_t len)
{
    struct gtm_json *json = gtm_json_parse(text, len, NULL);
    bool good = json != NULL;

    gtm_json_free(json);
    return good;
}

/* A file's lines, each held only as long as it is looked at. */
static int check_lines(FILE *in, struct gtm_audit_export *export, struct gtm_error *err)
{
    const size_t size = GTM_AUDIT_LINE_MAX + 1;
    char *line = gtm_malloc(size);
    int rc = line != NULL ? GTM_OK : GTM_ENOMEM;
    bool ended = true;
    size_t len;

    while (rc == GTM_OK && read_line(in, line, size, &len, &ended))
        rc = gtm_audit_export_line(export, line, len, err);
    if (rc == GTM_ECORRUPT && !ended && len < size && !is_json(line, len)) {
        unsigned at = err->line;
        gtm_error_set(err, rc, "cut off in the middle of this line");
        err->line = at;
    }
    gtm_free(line);
    if (rc == GTM_OK && ferror(in))
        return gtm_error_set(err, GTM_EIO, "%s", strerror(errno));
    return rc == GTM_OK ? gtm_audit_export_end(export, err) : rc;
}

/* The same item as the API's. */
static int check_file(const char *path, struct gtm_json **ret_root)
{
    bool input = strcmp(path, "-") == 0;
    FILE *in = input ? stdin : fopen(path, "re");
    struct gtm_audit_export export = {0};
    struct gtm_error err = {0};
    char text[GTM_ERROR_TEXT_BYTES + GTM_ERROR_FILE_BYTES + 32];

    if (in == NULL) {
        ctl_error("%s: %s", path, strerror(errno));
        return errno == ENOENT ? CTL_NOT_FOUND : CTL_FAILED;
    }
    int rc = check_lines(in, &export, &err);
    if (!input)
        fclose(in);
    snprintf(err.file, sizeof(err.file), "%s", input ? "standard input" : path);
    if (rc != GTM_OK && rc != GTM_ECORRUPT) { /* says nothing about the chain */
        err.code = rc;
        if (err.text[0] == 0)
            gtm_error_set(&err, rc, "%s", gtm_err_text(rc));
        ctl_error("%s", gtm_error_format(&err, text, sizeof(text)));
        return CTL_FAILED;
    }
    struct gtm_json *item = gtm_json_object();
    gtm_json_add_bool(item, "sound", rc == GTM_OK);
    gtm_json_add_i64(item, "first", export.check.first);
    gtm_json_add_i64(item, "last", export.check.next > 0 ? export.check.next - 1 : 0);
    gtm_json_add_str(item, "hash", export.check.prev[0] != 0 ? export.check.prev : NULL);
    gtm_json_add_str(item, "error",
                     rc == GTM_OK ? NULL : gtm_error_format(&err, text, sizeof(text)));
    *ret_root = ctl_envelope("AuditCheck", NULL);
    gtm_json_add(*ret_root, "item", item);
    return CTL_OK;
}

int ctl_audit_verify(struct ctl *ctl)
{
    struct gtm_json *root = NULL;
    int rc = ctl->file != NULL ? check_file(ctl->file, &root)
                               : ctl_get(ctl, ctl_path("/api/v1/audit/verify"), &root);

    if (rc == CTL_OK)
        rc = ctl_show(ctl, root, NULL, 0);
    if (rc == CTL_OK && !gtm_json_bool(gtm_json_get(root, "item"), "sound", false)) {
        ctl_error("the audit chain is broken");
        rc = CTL_FAILED;
    }
    gtm_json_free(root);
    return rc;
}
