/* SPDX-License-Identifier: Apache-2.0
 *
 * Shows an answer of the API as the options want it.
 */
#include "gtm/base/buf.h"
#include "gtm/base/mem.h"
#include "gtm/ctl/ctl.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define CELL_MAX 1024

size_t ctl_width(const char *text)
{
    size_t n = 0;

    for (const unsigned char *p = (const unsigned char *)text; *p != 0; p++)
        n += (*p & 0xc0) != 0x80;
    return n;
}

static void add_scalar(struct gtm_buf *out, const struct gtm_json *v)
{
    double num;

    switch (gtm_json_type(v)) {
    case GTM_JSON_NULL:
        gtm_buf_addc(out, '-');
        break;
    case GTM_JSON_BOOL:
        gtm_buf_adds(out, gtm_json_as_bool(v, false) ? "yes" : "no");
        break;
    case GTM_JSON_NUMBER:
        num = gtm_json_as_num(v, 0);
        if (fabs(num) < 1e15 && num == floor(num))
            gtm_buf_addf(out, "%" PRId64, (int64_t)num);
        else
            gtm_buf_addf(out, "%.3f", num);
        break;
    case GTM_JSON_STRING:
        gtm_buf_adds(out, gtm_json_as_str(v)[0] != 0 ? gtm_json_as_str(v) : "-");
        break;
    default: {
        char *text = gtm_json_print(v, false);
        gtm_buf_adds(out, text != NULL ? text : "?");
        gtm_free(text);
    }
    }
}

static void add_cell(struct gtm_buf *out, const struct ctl_column *col, const struct gtm_json *item)
{
    const struct gtm_json *v =
        col->key[0] == '/' ? gtm_json_pointer(item, col->key) : gtm_json_get(item, col->key);
    char age[32];

    switch (gtm_json_type(v) == GTM_JSON_NULL ? CTL_COL_TEXT : col->kind) {
    case CTL_COL_AGE:
        gtm_buf_adds(out, ctl_age(gtm_json_as_str(v), age));
        break;
    case CTL_COL_MS:
        gtm_buf_addf(out, "%.1f ms", gtm_json_as_num(v, 0) * 1000);
        break;
    case CTL_COL_BYTES:
        gtm_buf_addf(out, "%.1f MB", gtm_json_as_num(v, 0) / 1e6);
        break;
    case CTL_COL_LIST:
        for (const struct gtm_json *e = gtm_json_first(v); e != NULL; e = gtm_json_next(e)) {
            if (e != gtm_json_first(v))
                gtm_buf_addc(out, ',');
            add_scalar(out, gtm_json_type(e) == GTM_JSON_OBJECT ? gtm_json_get(e, "address") : e);
        }
        if (gtm_json_count(v) == 0)
            gtm_buf_addc(out, '-');
        break;
    default:
        add_scalar(out, v);
    }
}

struct grid {
    char **cells;
    size_t rows, columns;
    const struct ctl_column *shown[64];
};

static int grid_fill(struct grid *g, const struct gtm_json *items, bool one)
{
    size_t row = 0;

    g->rows = one ? 1 : gtm_json_count(items);
    g->cells = gtm_calloc(g->rows * g->columns + 1, sizeof(char *));
    if (g->cells == NULL)
        return GTM_ENOMEM;
    for (const struct gtm_json *item = one ? items : gtm_json_first(items); item != NULL;
         item = one ? NULL : gtm_json_next(item), row++) {
        for (size_t c = 0; c < g->columns; c++) {
            struct gtm_buf cell = {0};
            add_cell(&cell, g->shown[c], item);
            g->cells[row * g->columns + c] = gtm_buf_take(&cell);
        }
    }
    return 0;
}

static void put_padded(const struct ctl *ctl, const struct ctl_column *col, const char *text,
                       size_t width, bool last)
{
    size_t pad = width - ctl_width(text);
    const char *colour = col->kind == CTL_COL_HEALTH ? ctl_colour(ctl, text) : "";

    if (col->right)
        printf("%*s", (int)pad, "");
    printf("%s%s%s", colour, text, colour[0] != 0 ? ctl_colour_end(ctl) : "");
    if (!col->right && !last)
        printf("%*s", (int)pad, "");
    fputs(last ? "\n" : "  ", stdout);
}

static void grid_print(const struct ctl *ctl, const struct grid *g)
{
    size_t widths[64];

    for (size_t c = 0; c < g->columns; c++) {
        widths[c] = ctl->no_headers ? 0 : ctl_width(g->shown[c]->heading);
        for (size_t r = 0; r < g->rows; r++) {
            const char *cell = g->cells[r * g->columns + c];
            if (cell != NULL && ctl_width(cell) > widths[c])
                widths[c] = ctl_width(cell);
        }
    }
    for (size_t c = 0; !ctl->no_headers && c < g->columns; c++) {
        const struct ctl_column head = {.right = g->shown[c]->right};
        put_padded(ctl, &head, g->shown[c]->heading, widths[c], c + 1 == g->columns);
    }
    for (size_t r = 0; r < g->rows; r++)
        for (size_t c = 0; c < g->columns; c++) {
            const char *cell = g->cells[r * g->columns + c];
            put_padded(ctl, g->shown[c], cell != NULL ? cell : "?", widths[c], c + 1 == g->columns);
        }
}

bool ctl_show_machine(const struct ctl *ctl, const struct gtm_json *root)
{
    if (ctl->output == CTL_JSON) {
        char *text = gtm_json_print(root, true);
        puts(text != NULL ? text : "null");
        gtm_free(text);
        return true;
    }
    if (ctl->output == CTL_YAML) {
        struct gtm_buf out = {0};
        ctl_yaml(&out, root, 0);
        fputs(out.data != NULL ? out.data : "", stdout);
        gtm_buf_fini(&out);
        return true;
    }
    return false;
}

int ctl_show(const struct ctl *ctl, const struct gtm_json *root, const struct ctl_column *columns,
             size_t columns_count)
{
    struct grid g = {0};
    const struct gtm_json *items = gtm_json_get(root, "items");
    bool one = items == NULL;

    if (ctl_show_machine(ctl, root))
        return CTL_OK;
    for (size_t i = 0; i < columns_count && g.columns < 64; i++)
        if (!columns[i].wide || ctl->output == CTL_WIDE)
            g.shown[g.columns++] = &columns[i];
    if (grid_fill(&g, one ? gtm_json_get(root, "item") : items, one) != 0) {
        ctl_error("out of memory");
        return CTL_FAILED;
    }
    grid_print(ctl, &g);
    for (size_t i = 0; i < g.rows * g.columns; i++)
        gtm_free(g.cells[i]);
    gtm_free(g.cells);
    return CTL_OK;
}

static void show_nested(const struct ctl *ctl, const struct gtm_json *object, unsigned indent)
{
    size_t width = 0;

    for (const struct gtm_json *m = gtm_json_first(object); m != NULL; m = gtm_json_next(m))
        if (gtm_json_key(m) != NULL && ctl_width(gtm_json_key(m)) > width)
            width = ctl_width(gtm_json_key(m));
    for (const struct gtm_json *m = gtm_json_first(object); m != NULL; m = gtm_json_next(m)) {
        const char *key = gtm_json_key(m) != NULL ? gtm_json_key(m) : "-";
        const struct gtm_json *first = gtm_json_first(m);
        bool nested = gtm_json_type(m) == GTM_JSON_OBJECT ||
                      (first != NULL && gtm_json_type(first) == GTM_JSON_OBJECT);
        if (nested) {
            printf("%*s%s:\n", (int)indent, "", key);
            show_nested(ctl, m, indent + 2);
            continue;
        }
        struct gtm_buf cell = {0};
        if (gtm_json_type(m) == GTM_JSON_ARRAY) {
            for (const struct gtm_json *e = first; e != NULL; e = gtm_json_next(e)) {
                if (e != first)
                    gtm_buf_adds(&cell, ", ");
                add_scalar(&cell, e);
            }
        } else {
            add_scalar(&cell, m);
        }
        const char *text = cell.data != NULL ? cell.data : "-";
        printf("%*s%-*s  %s%s%s\n", (int)indent, "", (int)width, key, ctl_colour(ctl, text), text,
               ctl_colour(ctl, text)[0] != 0 ? ctl_colour_end(ctl) : "");
        gtm_buf_fini(&cell);
    }
}

void ctl_show_object(const struct ctl *ctl, const struct gtm_json *object)
{
    show_nested(ctl, object, 0);
}

int ctl_get_and_show(struct ctl *ctl, char *path, const struct ctl_column *columns,
                     size_t columns_count)
{
    struct gtm_json *root = NULL;
    int rc = ctl_request(ctl, "GET", path, NULL, NULL, &root);

    if (rc == 0) {
        if (columns != NULL)
            rc = ctl_show(ctl, root, columns, columns_count);
        else if (!ctl_show_machine(ctl, root))
            ctl_show_object(ctl, gtm_json_get(root, "item"));
    }
    gtm_json_free(root);
    gtm_free(path);
    return rc;
}
