/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables and fields. See show.h.
 */
#include "gtm/base/clock.h"
#include "gtm/base/mem.h"
#include "gtm/ctl/client.h"
#include "gtm/ctl/show.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- cells ---- */

static void add_value(struct gtm_buf *out, const struct gtm_json *v);

/* "a, b": of objects their address, name or text; the rest of an object is for JSON. */
static void add_list(struct gtm_buf *out, const struct gtm_json *list)
{
    if (gtm_json_count(list) == 0)
        gtm_buf_addc(out, '-');
    for (const struct gtm_json *e = gtm_json_first(list); e != NULL; e = gtm_json_next(e)) {
        const struct gtm_json *shown = e;
        if (e != gtm_json_first(list))
            gtm_buf_addc(out, ',');
        if (gtm_json_type(e) == GTM_JSON_OBJECT) {
            shown = gtm_json_get(e, "address");
            shown = shown != NULL ? shown : gtm_json_get(e, "name");
        }
        add_value(out, shown != NULL ? shown : e);
    }
}

static void add_value(struct gtm_buf *out, const struct gtm_json *v)
{
    double num = gtm_json_as_num(v, 0);
    char *text;

    switch (gtm_json_type(v)) {
    case GTM_JSON_NULL:
        gtm_buf_addc(out, '-');
        break;
    case GTM_JSON_BOOL:
        gtm_buf_adds(out, gtm_json_as_bool(v, false) ? "yes" : "no");
        break;
    case GTM_JSON_NUMBER:
        if (fabs(num) < 1e15 && num == floor(num))
            gtm_buf_addf(out, "%" PRId64, (int64_t)num);
        else
            gtm_buf_addf(out, "%.10g", num);
        break;
    case GTM_JSON_STRING:
        ctl_clean(out, gtm_json_as_str(v)[0] != 0 ? gtm_json_as_str(v) : "-");
        break;
    case GTM_JSON_ARRAY:
        add_list(out, v);
        break;
    default:
        text = gtm_json_print(v, false);
        ctl_clean(out, text != NULL ? text : "?");
        gtm_free(text);
    }
}

static void add_bytes(struct gtm_buf *out, double bytes)
{
    if (bytes < 1e6)
        gtm_buf_addf(out, "%.1f kB", bytes / 1e3);
    else
        gtm_buf_addf(out, "%.1f MB", bytes / 1e6);
}

/* "5 of 5"; "2 of 5, not by a,b, unheard c" */
static void add_seen(struct gtm_buf *out, const struct gtm_json *item)
{
    const struct gtm_json *seen = gtm_json_get(item, "seen_by");
    const struct gtm_json *unseen = gtm_json_get(item, "unseen_by");
    const struct gtm_json *unheard = gtm_json_get(item, "unheard");
    size_t all = gtm_json_count(seen) + gtm_json_count(unseen) + gtm_json_count(unheard);

    if (gtm_json_type(seen) != GTM_JSON_ARRAY) {
        gtm_buf_addc(out, '-');
        return;
    }
    gtm_buf_addf(out, "%zu of %zu", gtm_json_count(seen), all);
    if (gtm_json_count(unseen) > 0) {
        gtm_buf_adds(out, ", not by ");
        add_list(out, unseen);
    }
    if (gtm_json_count(unheard) > 0) {
        gtm_buf_adds(out, ", unheard ");
        add_list(out, unheard);
    }
}

static void add_cell(struct gtm_buf *out, const struct ctl_column *col, const struct gtm_json *item)
{
    const struct gtm_json *v =
        col->key[0] == '/' ? gtm_json_pointer(item, col->key) : gtm_json_get(item, col->key);
    char age[CTL_AGE_BYTES], key[64];

    if (col->kind == CTL_COL_SEEN) {
        add_seen(out, item);
        return;
    }
    if (col->kind == CTL_COL_OF) {
        snprintf(key, sizeof(key), "%s_serving", col->key);
        add_value(out, gtm_json_get(item, key));
        gtm_buf_addc(out, '/');
        snprintf(key, sizeof(key), "%s_total", col->key);
        add_value(out, gtm_json_get(item, key));
        return;
    }
    switch (gtm_json_type(v) == GTM_JSON_NULL ? CTL_COL_TEXT : col->kind) {
    case CTL_COL_AGE:
        gtm_buf_adds(out, ctl_age(gtm_json_as_str(v), gtm_wall_ms(gtm_clock_system()), age));
        break;
    case CTL_COL_LEFT:
        gtm_buf_adds(out, ctl_left(gtm_json_as_str(v), gtm_wall_ms(gtm_clock_system()), age));
        break;
    case CTL_COL_PERCENT:
        gtm_buf_addf(out, "%.0f %%", gtm_json_as_num(v, 0) * 100);
        break;
    case CTL_COL_MS:
        gtm_buf_addf(out, "%.1f ms", gtm_json_as_num(v, 0) * 1000);
        break;
    case CTL_COL_BYTES:
        add_bytes(out, gtm_json_as_num(v, 0));
        break;
    default:
        add_value(out, v);
    }
}

/* ---- the grid ---- */

struct grid {
    char **cells; /* rows × columns; the first row has the headings */
    size_t rows, columns;
    const struct ctl_column *shown[CTL_COLUMNS_MAX];
    size_t widths[CTL_COLUMNS_MAX];
};

static void grid_set(struct grid *g, size_t row, size_t column, struct gtm_buf *cell)
{
    char *text = gtm_buf_take(cell);
    size_t width = text != NULL ? ctl_width(text) : 0;

    g->cells[row * g->columns + column] = text;
    if (width > g->widths[column])
        g->widths[column] = width;
}

static void grid_print(const struct ctl *ctl, struct gtm_buf *out, const struct grid *g,
                       size_t first)
{
    for (size_t r = first; r < g->rows; r++)
        for (size_t c = 0; c < g->columns; c++) {
            const char *text = g->cells[r * g->columns + c];
            bool last = c + 1 == g->columns, right = g->shown[c]->right;
            if (text == NULL) {
                out->failed = true;
                return;
            }
            int pad = (int)(g->widths[c] - ctl_width(text));
            if (right)
                gtm_buf_addf(out, "%*s", pad, "");
            if (r > 0 && g->shown[c]->kind == CTL_COL_WORD)
                ctl_add_word(ctl, out, text);
            else
                gtm_buf_adds(out, text);
            if (!right && !last)
                gtm_buf_addf(out, "%*s", pad, "");
            gtm_buf_adds(out, last ? "\n" : "  ");
        }
}

void ctl_table(const struct ctl *ctl, struct gtm_buf *out, const struct gtm_json *items,
               const struct ctl_column *columns, size_t columns_count)
{
    struct grid g = {.rows = gtm_json_count(items) + 1};
    size_t row = 1;

    for (size_t i = 0; i < columns_count && g.columns < CTL_COLUMNS_MAX; i++)
        if (!columns[i].wide || ctl->output == CTL_WIDE)
            g.shown[g.columns++] = &columns[i];
    g.cells = gtm_calloc(g.rows * g.columns + 1, sizeof(char *));
    if (g.cells == NULL) {
        out->failed = true;
        return;
    }
    for (size_t c = 0; !ctl->no_headers && c < g.columns; c++) {
        struct gtm_buf cell = {0};
        gtm_buf_adds(&cell, g.shown[c]->heading);
        grid_set(&g, 0, c, &cell);
    }
    for (const struct gtm_json *item = gtm_json_first(items); item != NULL;
         item = gtm_json_next(item), row++)
        for (size_t c = 0; c < g.columns; c++) {
            struct gtm_buf cell = {0};
            add_cell(&cell, g.shown[c], item);
            grid_set(&g, row, c, &cell);
        }
    grid_print(ctl, out, &g, ctl->no_headers ? 1 : 0);
    for (size_t i = 0; i < g.rows * g.columns; i++)
        gtm_free(g.cells[i]);
    gtm_free(g.cells);
}

/* ---- fields ---- */

static bool is_objects(const struct gtm_json *v)
{
    return gtm_json_type(v) == GTM_JSON_ARRAY &&
           gtm_json_type(gtm_json_first(v)) == GTM_JSON_OBJECT;
}

struct made_column {
    char heading[64], key[80];
};

/* Columns for objects nobody described: the first one's keys; of inner objects their state. */
static void add_made_table(const struct ctl *ctl, struct gtm_buf *out, const struct gtm_json *list,
                           unsigned indent)
{
    struct made_column made[CTL_COLUMNS_MAX];
    struct ctl_column columns[CTL_COLUMNS_MAX];
    struct gtm_buf table = {0};
    size_t n = 0;

    for (const struct gtm_json *m = gtm_json_first(gtm_json_first(list));
         m != NULL && n < CTL_COLUMNS_MAX; m = gtm_json_next(m)) {
        bool object = gtm_json_type(m) == GTM_JSON_OBJECT;
        const char *key = gtm_json_key(m);
        if (object && gtm_json_str(m, "state", NULL) == NULL)
            continue;
        snprintf(made[n].key, sizeof(made[n].key), object ? "/%s/state" : "%s", key);
        snprintf(made[n].heading, sizeof(made[n].heading), "%s", key);
        for (char *p = made[n].heading; *p != 0; p++)
            *p = *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p;
        bool number = gtm_json_type(m) == GTM_JSON_NUMBER;
        columns[n] = (struct ctl_column){made[n].heading, made[n].key,
                                         number ? CTL_COL_TEXT : CTL_COL_WORD, false, number};
        n++;
    }
    ctl_table(ctl, &table, list, columns, n);
    for (const char *p = table.data; p != NULL && *p != 0;) {
        size_t line = strcspn(p, "\n") + 1;
        gtm_buf_addf(out, "%*s", (int)indent, "");
        gtm_buf_add(out, p, line);
        p += line;
    }
    out->failed |= table.failed;
    gtm_buf_fini(&table);
}

/* Recursion: bounded by GTM_JSON_MAX_DEPTH. */
static void add_fields(const struct ctl *ctl, struct gtm_buf *out, const struct gtm_json *object,
                       unsigned indent)
{
    size_t width = 0;

    for (const struct gtm_json *m = gtm_json_first(object); m != NULL; m = gtm_json_next(m))
        if (!is_objects(m) && gtm_json_type(m) != GTM_JSON_OBJECT &&
            ctl_width(gtm_json_key(m)) > width)
            width = ctl_width(gtm_json_key(m));
    for (const struct gtm_json *m = gtm_json_first(object); m != NULL; m = gtm_json_next(m)) {
        const char *key = gtm_json_key(m);
        gtm_buf_addf(out, "%*s", (int)indent, "");
        ctl_clean(out, key);
        if (is_objects(m) || gtm_json_type(m) == GTM_JSON_OBJECT) {
            gtm_buf_addc(out, '\n');
            if (is_objects(m))
                add_made_table(ctl, out, m, indent + 2);
            else
                add_fields(ctl, out, m, indent + 2);
            continue;
        }
        gtm_buf_addf(out, "%*s  ", (int)(width - ctl_width(key)), "");
        struct gtm_buf value = {0};
        add_value(&value, m);
        ctl_add_word(ctl, out, value.data != NULL ? value.data : "-");
        gtm_buf_addc(out, '\n');
        gtm_buf_fini(&value);
    }
}

void ctl_fields(const struct ctl *ctl, struct gtm_buf *out, const struct gtm_json *object)
{
    add_fields(ctl, out, object, 0);
}

/* ---- envelopes ---- */

int ctl_show_machine(const struct ctl *ctl, const struct gtm_json *root)
{
    struct gtm_buf out = {0};

    if (ctl->output == CTL_YAML) {
        ctl_yaml(&out, root, 0);
        return ctl_put(&out);
    }
    char *text = gtm_json_print(root, true);
    gtm_buf_adds(&out, text != NULL ? text : "");
    gtm_buf_addc(&out, '\n');
    out.failed |= text == NULL;
    gtm_free(text);
    return ctl_put(&out);
}

int ctl_show(const struct ctl *ctl, const struct gtm_json *root, const struct ctl_column *columns,
             size_t columns_count)
{
    struct gtm_buf out = {0};
    const struct gtm_json *items = gtm_json_get(root, "items");

    if (ctl_machine(ctl))
        return ctl_show_machine(ctl, root);
    if (items != NULL && columns != NULL)
        ctl_table(ctl, &out, items, columns, columns_count);
    else
        ctl_fields(ctl, &out, gtm_json_get(root, "item"));
    return ctl_put(&out);
}

int ctl_get_and_show(struct ctl *ctl, char *path, const struct ctl_column *columns,
                     size_t columns_count)
{
    struct gtm_json *root = NULL;
    int rc = ctl_get(ctl, path, &root);

    if (rc == CTL_OK)
        rc = ctl_show(ctl, root, columns, columns_count);
    gtm_json_free(root);
    return rc;
}

struct gtm_json *ctl_envelope(const char *kind, const struct gtm_json *like)
{
    struct gtm_json *root = gtm_json_object();

    gtm_json_add_str(root, "apiVersion", "gtm/v1");
    gtm_json_add_str(root, "kind", kind);
    if (gtm_json_get(like, "revision") != NULL)
        gtm_json_add_i64(root, "revision", gtm_json_i64(like, "revision", 0));
    return root;
}
