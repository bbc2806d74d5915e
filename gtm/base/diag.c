/* SPDX-License-Identifier: Apache-2.0
 *
 * The list of findings about operator input and its rendering with the offending line. See diag.h;
 * one thread.
 */
#include "gtm/base/diag.h"

#include "gtm/base/buf.h"
#include "gtm/base/fs.h"
#include "gtm/base/mem.h"
#include "gtm/base/utf8.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#define SOURCE_MAX_BYTES (16u << 20) /* larger files are not shown, only named */
#define SHOWN_COLUMNS    100u        /* a longer line is shown around the finding */

static bool append(struct gtm_diags *diags, const struct gtm_diag *item)
{
    void *items = diags->items;
    int rc = gtm_grow(&items, &diags->cap, diags->count + 1, sizeof(*item));
    diags->items = items;
    if (rc != GTM_OK)
        return false;
    diags->items[diags->count++] = *item;
    return true;
}

void gtm_diags_add(struct gtm_diags *diags, enum gtm_severity severity, const char *file,
                   unsigned line, unsigned col, const char *fmt, ...)
{
    if (severity == GTM_SEV_ERROR)
        diags->errors++;
    else if (severity == GTM_SEV_WARNING)
        diags->warnings++;
    if (diags->count >= GTM_DIAG_MAX)
        return;
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    struct gtm_diag item = {
        .severity = severity,
        .file = gtm_strdup(file ? file : ""),
        .line = line,
        .col = col,
        .text = gtm_strdup(text),
    };
    if (!item.file || !item.text || !append(diags, &item)) {
        gtm_free(item.file);
        gtm_free(item.text);
    }
}

void gtm_diags_set_width(struct gtm_diags *diags, unsigned width)
{
    if (diags->count > 0)
        diags->items[diags->count - 1].width = width;
}

/* The file of the last finding, kept because findings of one file come together. */
struct source {
    char *name;
    char *data; /* NULL when it cannot be read */
    size_t len;
};

static void source_fini(struct source *src)
{
    gtm_free(src->name);
    gtm_free(src->data);
    *src = (struct source){0};
}

static void source_open(struct source *src, const char *name)
{
    if (src->name && strcmp(src->name, name) == 0)
        return;
    source_fini(src);
    src->name = gtm_strdup(name);
    struct gtm_error ignored = {0};
    if (gtm_fs_read(name, SOURCE_MAX_BYTES, &src->data, &src->len, &ignored) != GTM_OK)
        src->data = NULL; /* showing the line is a courtesy; the finding itself is printed anyway */
}

static const char *source_line(const struct source *src, unsigned line, size_t *ret_len)
{
    const char *p = src->data, *end = src->data + src->len;
    for (unsigned n = 1; n < line; n++) {
        p = memchr(p, '\n', (size_t)(end - p));
        if (!p)
            return NULL;
        p++;
    }
    const char *stop = memchr(p, '\n', (size_t)(end - p));
    size_t len = (size_t)((stop ? stop : end) - p);
    if (len > 0 && p[len - 1] == '\r')
        len--;
    *ret_len = len;
    return p;
}

/* Shows columns [first, first + SHOWN_COLUMNS) of the line and marks; anything that could steer a
 * terminal is replaced. */
static void show_line(FILE *out, const char *line, size_t len, const struct gtm_diag *d)
{
    unsigned col = 1, first = d->col > SHOWN_COLUMNS ? d->col - SHOWN_COLUMNS / 2 : 1;
    struct gtm_buf text = {0}, mark = {0};
    for (size_t i = 0; i < len && col < first + SHOWN_COLUMNS; col++) {
        size_t step = gtm_utf8_len(line + i, len - i);
        unsigned char c = (unsigned char)line[i];
        bool plain = step > 1 ? !(c == 0xc2 && (unsigned char)line[i + 1] < 0xa0)
                              : step == 1 && ((c >= 0x20 && c != 0x7f) || c == '\t');
        if (col >= first) {
            gtm_buf_add(&text, plain ? line + i : "?", plain ? step : 1);
            if (col < d->col)
                gtm_buf_addc(&mark, c == '\t' ? '\t' : ' ');
        }
        i += step ? step : 1;
    }
    for (; col < d->col && col < first + SHOWN_COLUMNS; col++)
        gtm_buf_addc(&mark, ' ');
    gtm_buf_addc(&mark, '^');
    unsigned room = first + SHOWN_COLUMNS - d->col;
    for (unsigned i = 1; i < d->width && i < room; i++)
        gtm_buf_addc(&mark, '~');
    if (!text.failed && !mark.failed)
        fprintf(out, "    %s\n    %s\n", text.data ? text.data : "", mark.data);
    gtm_buf_fini(&text);
    gtm_buf_fini(&mark);
}

static void print_one(FILE *out, const struct gtm_diag *d, struct source *src)
{
    static const char *const words[] = {"error", "warning", "note"};
    const char *word = (unsigned)d->severity < 3 ? words[d->severity] : "error";
    if (d->file[0])
        fprintf(out, "%s:", d->file);
    if (d->line)
        fprintf(out, "%u:", d->line);
    if (d->line && d->col)
        fprintf(out, "%u:", d->col);
    fprintf(out, "%s%s: %s\n", d->file[0] || d->line ? " " : "", word, d->text);
    if (!d->file[0] || !d->line || !d->col)
        return;
    source_open(src, d->file);
    size_t len = 0;
    const char *line = src->data ? source_line(src, d->line, &len) : NULL;
    if (line)
        show_line(out, line, len, d);
}

void gtm_diags_print(const struct gtm_diags *diags, FILE *out)
{
    struct source src = {0};
    size_t shown_errors = 0, shown_warnings = 0;
    for (size_t i = 0; i < diags->count; i++) {
        const struct gtm_diag *d = &diags->items[i];
        print_one(out, d, &src);
        shown_errors += d->severity == GTM_SEV_ERROR;
        shown_warnings += d->severity == GTM_SEV_WARNING;
    }
    source_fini(&src);
    size_t more_errors = diags->errors - shown_errors,
           more_warnings = diags->warnings - shown_warnings;
    if (more_errors + more_warnings > 0)
        fprintf(out, "(%zu more errors and %zu more warnings are not shown)\n", more_errors,
                more_warnings);
}

void gtm_diags_first(const struct gtm_diags *diags, struct gtm_error *err)
{
    if (diags->errors == 0)
        return;
    for (size_t i = 0; i < diags->count; i++) {
        const struct gtm_diag *d = &diags->items[i];
        if (d->severity != GTM_SEV_ERROR)
            continue;
        if (diags->errors > 1)
            gtm_error_at(err, GTM_EPARSE, d->file, d->line, d->col, "%.450s (and %zu more)",
                         d->text, diags->errors - 1);
        else
            gtm_error_at(err, GTM_EPARSE, d->file, d->line, d->col, "%s", d->text);
        return;
    }
    gtm_error_set(err, GTM_EPARSE, "%zu errors, none of which could be kept", diags->errors);
}

void gtm_diags_fini(struct gtm_diags *diags)
{
    for (size_t i = 0; i < diags->count; i++) {
        gtm_free(diags->items[i].file);
        gtm_free(diags->items[i].text);
    }
    gtm_free(diags->items);
    *diags = (struct gtm_diags){0};
}
