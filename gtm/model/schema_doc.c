/* SPDX-License-Identifier: Apache-2.0
 *
 * The reference of all keys from the tables, as text for a terminal or as the body of a man page's
 * section. See schema.h.
 */
#include "gtm/model/schema.h"
#include "gtm/model/schema_forms.h"

#include <string.h>

#define PATH_MAX_BYTES 256

static void doc_table(const struct gtm_table *table, enum gtm_doc_format format, const char *path,
                      struct gtm_buf *out);

/* A leading dot or quote would be a request, a backslash an escape (groff_char(7)). */
static void add_escaped(struct gtm_buf *out, enum gtm_doc_format format, const char *text)
{
    if (format == GTM_DOC_TEXT) {
        gtm_buf_adds(out, text);
        return;
    }
    if (*text == '.' || *text == '\'')
        gtm_buf_adds(out, "\\&");
    for (; *text; text++) {
        if (*text == '\\')
            gtm_buf_adds(out, "\\e");
        else if (*text == '-')
            gtm_buf_adds(out, "\\-");
        else
            gtm_buf_addc(out, *text);
    }
}

static void add_range(struct gtm_buf *out, const struct gtm_field *field)
{
    char low[32], high[32];
    if (field->max <= field->min)
        return;
    if (field->type == GTM_T_DURATION)
        gtm_buf_addf(out, ", %s to %s", gtm_duration_format((uint64_t)field->min, low),
                     gtm_duration_format((uint64_t)field->max, high));
    else
        gtm_buf_addf(out, ", %s to %s", gtm_schema_number(field->min, low),
                     gtm_schema_number(field->max, high));
}

static void add_enum(struct gtm_buf *out, const struct gtm_field *field)
{
    for (unsigned i = 0; i < field->words_count; i++)
        gtm_buf_addf(out, "%s%s", i ? " | " : "", field->words[i]);
}

static void add_kind(struct gtm_buf *out, const struct gtm_field *field)
{
    static const char *const words[] = {
        [GTM_T_STRING] = "text",
        [GTM_T_BOOL] = "true or false",
        [GTM_T_UINT] = "whole number",
        [GTM_T_NUMBER] = "number",
        [GTM_T_RATIO] = "share",
        [GTM_T_DURATION] = "duration",
        [GTM_T_ENUM] = "",
        [GTM_T_FORM] = "",
        [GTM_T_REF] = "name",
        [GTM_T_SECRET] = "{file: PATH}",
        [GTM_T_LISTEN] = "\"ADDRESS:PORT\" or {address, port}",
        [GTM_T_POINT] = "[latitude, longitude]",
        [GTM_T_OBJECT] = "mapping",
        [GTM_T_LIST] = "list of ",
        [GTM_T_MAP] = "mapping",
    };
    gtm_buf_adds(out, words[field->type]);
    switch (field->type) {
    case GTM_T_ENUM:
        add_enum(out, field);
        break;
    case GTM_T_FORM:
        gtm_buf_adds(out, field->form->what);
        break;
    case GTM_T_LIST:
        add_kind(out, field->item);
        break;
    case GTM_T_UINT:
    case GTM_T_NUMBER:
    case GTM_T_RATIO:
    case GTM_T_DURATION:
        add_range(out, field);
        for (unsigned i = 0; i < field->words_count; i++)
            gtm_buf_addf(out, ", or %s", field->words[i]);
        break;
    default:
        break;
    }
}

static void doc_field(const struct gtm_field *field, enum gtm_doc_format format, const char *path,
                      struct gtm_buf *out)
{
    struct gtm_buf kind = {0};
    add_kind(&kind, field);
    gtm_buf_adds(out, format == GTM_DOC_ROFF ? ".TP\n\\fB" : "");
    add_escaped(out, format, path);
    gtm_buf_adds(out, format == GTM_DOC_ROFF ? "\\fR (" : "  (");
    add_escaped(out, format, kind.data ? kind.data : "");
    if (field->flags & GTM_F_REQUIRED)
        gtm_buf_adds(out, "; required");
    if (field->def) {
        gtm_buf_adds(out, "; default ");
        add_escaped(out, format, field->def);
    }
    gtm_buf_adds(out, format == GTM_DOC_ROFF ? ")\n" : ")\n      ");
    add_escaped(out, format, field->doc);
    gtm_buf_addc(out, '\n');
    out->failed |= kind.failed;
    gtm_buf_fini(&kind);
}

static void doc_table(const struct gtm_table *table, enum gtm_doc_format format, const char *path,
                      struct gtm_buf *out)
{
    for (unsigned i = 0; i < table->fields_count; i++) {
        const struct gtm_field *field = &table->fields[i], *inner = field;
        char key[PATH_MAX_BYTES];
        while (inner->type == GTM_T_LIST)
            inner = inner->item;
        snprintf(key, sizeof(key), "%s%s%s%s", path, path[0] ? "." : "", field->key,
                 field->type == GTM_T_LIST ? "[]" : "");
        doc_field(field, format, key, out);
        if (inner->type == GTM_T_OBJECT)
            doc_table(inner->table, format, key, out);
    }
}

void gtm_schema_doc(const struct gtm_table *table, enum gtm_doc_format format, struct gtm_buf *out)
{
    doc_table(table, format, "", out);
}
