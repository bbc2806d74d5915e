/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine: walks a YAML map along a table, stores, keeps as JSON and frees. See schema.h;
 * scalars are in schema_value.c, references in schema_refs.c.
 */
#include "gtm/model/schema.h"

#include "gtm/base/mem.h"
#include "gtm/model/suggest.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* --- findings --- */

static void finding(struct gtm_parse *p, enum gtm_severity severity, struct gtm_srcpos pos,
                    const char *fmt, va_list args)
{
    char text[640];
    vsnprintf(text, sizeof(text), fmt, args);
    gtm_diags_add(p->diags, severity, p->file, pos.line, pos.col, "%s", text);
}

void gtm_parse_error(struct gtm_parse *p, const struct gtm_yaml_node *node, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    finding(p, GTM_SEV_ERROR, (struct gtm_srcpos){node->line, node->col}, fmt, args);
    va_end(args);
    if (node->kind == GTM_YAML_SCALAR && node->len > 0 && node->len <= 200)
        gtm_diags_set_width(p->diags, (unsigned)node->len + (node->quoted ? 2 : 0));
}

void gtm_parse_error_at(struct gtm_parse *p, struct gtm_srcpos pos, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    finding(p, GTM_SEV_ERROR, pos, fmt, args);
    va_end(args);
}

void gtm_parse_warn_at(struct gtm_parse *p, struct gtm_srcpos pos, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    finding(p, GTM_SEV_WARNING, pos, fmt, args);
    va_end(args);
}

void gtm_parse_key_error(struct gtm_parse *p, const struct gtm_yaml_node *member, const char *fmt,
                         ...)
{
    va_list args;
    va_start(args, fmt);
    finding(p, GTM_SEV_ERROR, (struct gtm_srcpos){member->key_line, member->key_col}, fmt, args);
    va_end(args);
    gtm_diags_set_width(p->diags, (unsigned)strlen(member->key));
}

const char *gtm_parse_text(const struct gtm_yaml_node *map, const char *key, const char *fallback)
{
    const struct gtm_yaml_node *node = gtm_yaml_get(map, key);
    return node && node->kind == GTM_YAML_SCALAR ? node->text : fallback;
}

static int by_place(const void *a, const void *b)
{
    const struct gtm_diag *x = a, *y = b;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    if (x->col != y->col)
        return x->col < y->col ? -1 : 1;
    return strcmp(x->text ? x->text : "", y->text ? y->text : "");
}

void gtm_parse_sort(struct gtm_diags *diags, size_t first)
{
    if (diags->count > first)
        qsort(diags->items + first, diags->count - first, sizeof(*diags->items), by_place);
}

/* --- objects --- */

static void parse_value(struct gtm_parse *p, const struct gtm_field *field, const char *label,
                        const struct gtm_yaml_node *node, struct gtm_dest dest);

static void *at(void *base, size_t offset)
{
    return base ? (char *)base + offset : NULL;
}

/* "pool 'www'", or "pool" when the object has no name. */
static const char *describe(const struct gtm_table *table, const struct gtm_yaml_node *node,
                            char out[128])
{
    const char *name = gtm_parse_text(node, "name", NULL);
    if (name)
        snprintf(out, 128, "%s '%.*s'", table->title, GTM_NAME_MAX, name);
    else
        snprintf(out, 128, "%s", table->title);
    return out;
}

static void report_unknown_key(struct gtm_parse *p, const struct gtm_table *table,
                               const struct gtm_yaml_node *map, const struct gtm_yaml_node *member)
{
    char who[128];
    const char *best = NULL;
    unsigned distance = 0;
    if (p->diags->count >= GTM_DIAG_MAX) { /* only counted: no search for the best words */
        gtm_parse_key_error(p, member, "unknown key");
        return;
    }
    for (unsigned i = 0; i < table->fields_count; i++)
        gtm_suggest_try(member->key, table->fields[i].key, &best, &distance);
    describe(table, map, who);
    if (best)
        gtm_parse_key_error(p, member, "unknown key '%.100s' in %s (did you mean '%s'?)",
                            member->key, who, best);
    else
        gtm_parse_key_error(p, member, "unknown key '%.100s' in %s", member->key, who);
}

static struct gtm_dest dest_of(struct gtm_parse *p, const struct gtm_field *field, void *base,
                               struct gtm_json *out)
{
    struct gtm_dest dest = {
        .at = field->size ? at(base, field->offset) : NULL,
        .json = field->flags & GTM_F_KEEP ? p->keep : out,
        .key = field->key,
    };
    return dest;
}

/* A field that is absent: its default, its defaults, or an error. */
static void fill_absent(struct gtm_parse *p, const struct gtm_table *table,
                        const struct gtm_field *field, const struct gtm_yaml_node *map, void *base,
                        struct gtm_json *out)
{
    char who[128];
    struct gtm_yaml_node made = {.line = map->line, .col = map->col};
    if (field->flags & GTM_F_REQUIRED) {
        gtm_parse_error_at(p, (struct gtm_srcpos){map->line, map->col}, "%s lacks the key '%s'",
                           describe(table, map, who), field->key);
    } else if (field->type == GTM_T_OBJECT && field->flags & GTM_F_DEFAULTS) {
        made.kind = GTM_YAML_MAP;
        parse_value(p, field, field->key, &made, dest_of(p, field, base, out));
    } else if (field->def && field->type != GTM_T_LIST && field->type != GTM_T_OBJECT) {
        made.text = field->def;
        made.len = strlen(field->def);
        made.quoted = field->type == GTM_T_STRING || field->type == GTM_T_FORM;
        parse_value(p, field, field->key, &made, dest_of(p, field, base, out));
    }
}

static void check_one_of(struct gtm_parse *p, const struct gtm_table *table,
                         const struct gtm_yaml_node *map)
{
    struct gtm_buf list = {0};
    const struct gtm_yaml_node *first = NULL;
    char who[128];
    for (const char *const *key = table->one_of; *key; key++) {
        const struct gtm_yaml_node *member = gtm_yaml_get(map, *key);
        gtm_buf_addf(&list, "%s'%s'", key == table->one_of ? "" : key[1] ? ", " : " or ", *key);
        if (member && first)
            gtm_parse_key_error(p, member, "%s has both '%s' and '%s': give one of them",
                                describe(table, map, who), first->key, member->key);
        first = first ? first : member;
    }
    if (!first)
        gtm_parse_error_at(p, (struct gtm_srcpos){map->line, map->col}, "%s needs one of %s",
                           describe(table, map, who), list.data ? list.data : "");
    p->nomem |= list.failed;
    gtm_buf_fini(&list);
}

static int field_index(const struct gtm_table *table, const char *key)
{
    for (unsigned i = 0; i < table->fields_count; i++) {
        if (strcmp(table->fields[i].key, key) == 0)
            return (int)i;
    }
    return -1;
}

static void parse_members(struct gtm_parse *p, const struct gtm_table *table,
                          const struct gtm_yaml_node *node, void *base, struct gtm_json *out)
{
    uint64_t seen = 0;
    for (const struct gtm_yaml_node *m = node->first; m; m = m->next) {
        int i = field_index(table, m->key);
        if (i < 0) {
            report_unknown_key(p, table, node, m);
            continue;
        }
        const struct gtm_field *field = &table->fields[i];
        if (seen >> i & 1) /* a duplicate, reported by the reader */
            continue;
        seen |= (uint64_t)1 << i;
        if (field->has_offset && base)
            *(bool *)at(base, field->has_offset) = true;
        parse_value(p, field, field->key, m, dest_of(p, field, base, out));
    }
    for (unsigned i = 0; i < table->fields_count; i++) {
        if (!(seen >> i & 1))
            fill_absent(p, table, &table->fields[i], node, base, out);
    }
}

void gtm_schema_parse(struct gtm_parse *p, const struct gtm_table *table,
                      const struct gtm_yaml_node *node, void *base, struct gtm_json *out)
{
    if (node->kind != GTM_YAML_MAP) {
        if (node->kind != GTM_YAML_BAD)
            gtm_parse_error(p, node, "%s wants keys with values (a mapping)", table->title);
        return;
    }
    const char *title = p->holder_title, *name = p->holder_name;
    if (field_index(table, "name") >= 0 || !name) {
        p->holder_title = table->title;
        p->holder_name = gtm_parse_text(node, "name", NULL);
    }
    size_t errors = p->diags->errors, skipped = p->skipped;
    if (table->pos_offset && base)
        *(struct gtm_srcpos *)at(base, table->pos_offset) =
            (struct gtm_srcpos){node->line, node->col};
    parse_members(p, table, node, base, out);
    if (table->one_of)
        check_one_of(p, table, node);
    if (table->check && p->diags->errors == errors && p->skipped == skipped && !p->nomem)
        table->check(p, node, base);
    p->holder_title = title;
    p->holder_name = name;
}

/* --- containers --- */

/* The object that dest is to hold, or NULL. */
static struct gtm_json *put_object(struct gtm_parse *p, struct gtm_dest dest)
{
    if (!dest.json)
        return NULL;
    struct gtm_json *child =
        dest.key ? gtm_json_add_object(dest.json, dest.key) : gtm_json_append_object(dest.json);
    p->nomem |= child == NULL;
    return child;
}

/* The same for an array; without a key it is attached by finish_array, when it is filled. */
static struct gtm_json *put_array(struct gtm_parse *p, struct gtm_dest dest)
{
    if (!dest.json)
        return NULL;
    struct gtm_json *child = dest.key ? gtm_json_add_array(dest.json, dest.key) : gtm_json_array();
    p->nomem |= child == NULL;
    return child;
}

static void finish_array(struct gtm_dest dest, struct gtm_json *array)
{
    if (dest.json && !dest.key && array)
        gtm_json_append(dest.json, array);
}

static bool check_count(struct gtm_parse *p, const struct gtm_field *field, const char *label,
                        const struct gtm_yaml_node *node, size_t count)
{
    if (count < field->min) {
        gtm_parse_error(p, node, "'%s' needs at least %.0f element%s", label, field->min,
                        field->min > 1 ? "s" : "");
        return false;
    }
    if (field->max > 0 && count > field->max) {
        gtm_parse_error(p, node, "'%s' has %zu elements; at most %.0f are allowed", label, count,
                        field->max);
        return false;
    }
    return true;
}

static void parse_list(struct gtm_parse *p, const struct gtm_field *field, const char *label,
                       const struct gtm_yaml_node *node, struct gtm_dest dest)
{
    bool single = node->kind != GTM_YAML_LIST;
    if (single && (!(field->flags & GTM_F_SINGLE) || gtm_yaml_is_null(node))) {
        gtm_parse_error(p, node, "'%s' wants a list", label);
        return;
    }
    size_t count = single ? 1 : node->count;
    if (!check_count(p, field, label, node, count))
        return;
    /* Two keys may share one place (checks refuse them together): the first one keeps it. */
    if (dest.at && *(void **)dest.at)
        dest.at = NULL;
    char *elements = NULL;
    if (dest.at && count > 0) {
        elements = gtm_calloc(count, field->size);
        if (!elements) {
            p->nomem = true;
            return;
        }
        /* The count lies in the struct around the pointer. */
        *(void **)dest.at = elements;
        *(size_t *)(void *)((char *)dest.at - field->offset + field->count_offset) = count;
    }
    if (field->flags & GTM_F_UNIQUE && count > 1)
        gtm_schema_check_unique(p, label, node);
    if (field->flags & GTM_F_NAMED)
        gtm_schema_register(p, field->ref, node, field->item->table->title);
    struct gtm_dest element = {.json = put_array(p, dest)};
    const struct gtm_yaml_node *n = single ? node : node->first;
    for (size_t i = 0; i < count && n; i++, n = n->next) {
        element.at = elements ? elements + i * field->size : NULL;
        parse_value(p, field->item, label, n, element);
    }
    finish_array(dest, element.json);
}

static void parse_map(struct gtm_parse *p, const struct gtm_field *field, const char *label,
                      const struct gtm_yaml_node *node, struct gtm_dest dest)
{
    if (node->kind != GTM_YAML_MAP) {
        gtm_parse_error(p, node, "'%s' wants keys with values (a mapping)", label);
        return;
    }
    if (!check_count(p, field, label, node, node->count))
        return;
    struct gtm_dest member = {.json = put_object(p, dest)};
    for (const struct gtm_yaml_node *m = node->first; m; m = m->next) {
        if (field->ref != GTM_REF_NONE)
            gtm_schema_add_ref(p, field->ref, m, true, NULL);
        member.key = m->key;
        parse_value(p, field->item, m->key, m, member);
    }
}

static void parse_value(struct gtm_parse *p, const struct gtm_field *field, const char *label,
                        const struct gtm_yaml_node *node, struct gtm_dest dest)
{
    p->skipped += node->kind == GTM_YAML_BAD;
    if (node->kind == GTM_YAML_BAD || p->nomem)
        return;
    switch (field->type) {
    case GTM_T_OBJECT:
        gtm_schema_parse(p, field->table, node, dest.at, put_object(p, dest));
        break;
    case GTM_T_LIST:
        parse_list(p, field, label, node, dest);
        break;
    case GTM_T_MAP:
        parse_map(p, field, label, node, dest);
        break;
    default:
        gtm_schema_scalar(p, field, label, node, dest);
        break;
    }
}

/* --- freeing --- */

static void fini_list(const struct gtm_field *field, void *base)
{
    char **elements = at(base, field->offset);
    size_t *count = at(base, field->count_offset);
    const struct gtm_field *item = field->item;
    for (size_t i = 0; *elements && i < *count; i++) {
        char *element = *elements + i * field->size;
        if (item->type == GTM_T_OBJECT)
            gtm_schema_fini(item->table, element);
        else if (item->type == GTM_T_STRING || (item->type == GTM_T_FORM && item->form->heap))
            gtm_free(*(char **)(void *)element);
    }
    gtm_free(*elements);
    *elements = NULL;
    *count = 0;
}

void gtm_schema_fini(const struct gtm_table *table, void *base)
{
    for (unsigned i = 0; i < table->fields_count; i++) {
        const struct gtm_field *field = &table->fields[i];
        if (!field->size)
            continue;
        char **text = at(base, field->offset);
        switch (field->type) {
        case GTM_T_LIST:
            fini_list(field, base);
            break;
        case GTM_T_OBJECT:
            gtm_schema_fini(field->table, text);
            break;
        case GTM_T_FORM:
            if (!field->form->heap)
                break;
            /* fall through */
        case GTM_T_STRING:
        case GTM_T_SECRET:
            gtm_free(*text);
            *text = NULL;
            break;
        default:
            break;
        }
    }
}
