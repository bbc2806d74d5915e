/* SPDX-License-Identifier: Apache-2.0
 *
 * Object by object. See intent_diff.h; lines of files are in intent_diff_lines.c, what is made of
 * the result in intent_diff_text.c.
 */
#include "gtm/model/intent_diff.h"

#include "gtm/base/mem.h"
#include "gtm/model/intent_diff_int.h"
#include "gtm/model/intent_objects.h"
#include "gtm/model/manifest.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define PATH_BYTES 512

/* --- values --- */

static void add_value(struct gtm_buf *out, const struct gtm_yaml_node *node)
{
    if (out->len > GTM_DIFF_VALUE_MAX)
        return;
    if (node->kind == GTM_YAML_SCALAR) {
        gtm_buf_add(out, node->text, node->len < 1024 ? node->len : 1024);
        return;
    }
    bool map = node->kind == GTM_YAML_MAP;
    gtm_buf_addc(out, map ? '{' : '[');
    for (const struct gtm_yaml_node *n = node->first; n && out->len <= GTM_DIFF_VALUE_MAX;
         n = n->next) {
        gtm_buf_adds(out, n == node->first ? "" : ", ");
        if (map)
            gtm_buf_addf(out, "%.100s: ", n->key);
        add_value(out, n);
    }
    gtm_buf_addc(out, map ? '}' : ']');
}

/* "…" stands for what is left out; a character is not cut in two. */
static void add_text(struct gtm_json *field, const char *key, const struct gtm_yaml_node *node)
{
    struct gtm_buf text = {0};
    if (!node) {
        gtm_json_add_null(field, key);
        return;
    }
    add_value(&text, node);
    if (text.len > GTM_DIFF_VALUE_MAX && !text.failed) {
        size_t at = GTM_DIFF_VALUE_MAX;
        while (at > 0 && ((unsigned char)text.data[at] & 0xc0) == 0x80)
            at--;
        text.data[at] = 0;
        text.len = at;
        gtm_buf_adds(&text, "…");
    }
    gtm_json_add_str(field, key, text.failed ? NULL : text.data ? text.data : "");
    gtm_buf_fini(&text);
}

/* --- fields of one object --- */

struct fields {
    struct gtm_json *list;
    size_t count;
    const char *skip; /* a member of the top that is not compared, or NULL */
};

static void add_field(struct fields *f, const char *path, const struct gtm_yaml_node *before,
                      const struct gtm_yaml_node *after)
{
    if (f->count++ >= GTM_DIFF_FIELDS_MAX)
        return;
    struct gtm_json *field = gtm_json_append_object(f->list);
    gtm_json_add_str(field, "path", path);
    add_text(field, "before", before);
    add_text(field, "after", after);
}

static const struct gtm_yaml_node *element(const struct gtm_yaml_node *list, const char *name)
{
    for (const struct gtm_yaml_node *n = list->first; n; n = n->next) {
        const char *other = gtm__node_name(n);
        if (other && strcmp(other, name) == 0)
            return n;
    }
    return NULL;
}

/* A list whose elements all have names. */
static bool by_name(const struct gtm_yaml_node *list)
{
    for (const struct gtm_yaml_node *n = list->first; n; n = n->next)
        if (!gtm__node_name(n))
            return false;
    return list->kind == GTM_YAML_LIST && list->first;
}

static void compare(struct fields *f, const char *path, const struct gtm_yaml_node *before,
                    const struct gtm_yaml_node *after);

/* The counterpart in `other` of a member or element. */
static const struct gtm_yaml_node *same(const struct gtm_yaml_node *other,
                                        const struct gtm_yaml_node *n)
{
    return n->key ? gtm_yaml_get(other, n->key) : element(other, gtm__node_name(n));
}

static void compare_children(struct fields *f, const char *path, const struct gtm_yaml_node *before,
                             const struct gtm_yaml_node *after)
{
    char below[PATH_BYTES];
    size_t found = f->count;
    const char *join = path[0] ? "/" : "";
    for (const struct gtm_yaml_node *n = before->first; n; n = n->next) {
        const char *word = n->key ? n->key : gtm__node_name(n);
        if (!path[0] && f->skip && strcmp(word, f->skip) == 0)
            continue;
        snprintf(below, sizeof(below), "%s%s%s", path, join, word);
        compare(f, below, n, same(after, n));
    }
    for (const struct gtm_yaml_node *n = after->first; n; n = n->next) {
        const char *word = n->key ? n->key : gtm__node_name(n);
        if ((!path[0] && f->skip && strcmp(word, f->skip) == 0) || same(before, n))
            continue;
        snprintf(below, sizeof(below), "%s%s%s", path, join, word);
        add_field(f, below, NULL, n);
    }
    if (f->count == found && before->kind == GTM_YAML_LIST) /* the same ones in another order */
        add_field(f, path, before, after);
}

static void compare(struct fields *f, const char *path, const struct gtm_yaml_node *before,
                    const struct gtm_yaml_node *after)
{
    if (after && gtm__node_equal(before, after))
        return;
    if (after && before->kind == GTM_YAML_MAP && after->kind == GTM_YAML_MAP)
        compare_children(f, path, before, after);
    else if (after && by_name(before) && by_name(after) && before->count <= 1000 &&
             after->count <= 1000)
        compare_children(f, path, before, after);
    else
        add_field(f, path, before, after);
}

/* A zone's names are objects of their own. */
static bool equal(const struct gtm__object *a, const struct gtm__object *b)
{
    if (strcmp(a->kind, "zones") != 0 || !a->list)
        return gtm__node_equal(a->node, b->node);
    struct fields f = {.skip = "names"};
    compare_children(&f, "", a->node, b->node); /* without a list nothing is built */
    return f.count == 0;
}

/* --- kinds --- */

struct tally {
    const char *kind;
    int64_t added, changed, removed, before;
};
struct work {
    struct gtm_json *objects;
    struct tally kinds[64];
    size_t kinds_count;
    size_t count, more;
};

static struct tally *tally(struct work *w, const char *kind)
{
    for (size_t i = 0; i < w->kinds_count; i++)
        if (strcmp(w->kinds[i].kind, kind) == 0)
            return &w->kinds[i];
    if (w->kinds_count == sizeof(w->kinds) / sizeof(w->kinds[0]))
        return &w->kinds[w->kinds_count - 1]; /* no such file is ever valid */
    w->kinds[w->kinds_count] = (struct tally){.kind = kind};
    return &w->kinds[w->kinds_count++];
}

static void note(struct work *w, const char *change, const struct gtm__object *before,
                 const struct gtm__object *after)
{
    const struct gtm__object *object = after ? after : before;
    char name[PATH_BYTES];
    if (w->count++ >= GTM_DIFF_OBJECTS_MAX) {
        w->more++;
        return;
    }
    struct gtm_json *one = gtm_json_append_object(w->objects);
    gtm_json_add_str(one, "kind", object->kind);
    snprintf(name, sizeof(name), "%s%s%s", object->zone ? object->zone : "",
             object->zone ? "/" : "", object->name);
    gtm_json_add_str(one, "name", name);
    gtm_json_add_str(one, "change", change);
    if (!before || !after)
        return;
    struct fields f = {.list = gtm_json_add_array(one, "fields")};
    bool zone = strcmp(object->kind, "zones") == 0 && object->list;
    f.skip = zone ? "names" : NULL;
    if (before->node->kind == GTM_YAML_MAP && after->node->kind == GTM_YAML_MAP)
        compare_children(&f, "", before->node, after->node);
    else
        compare(&f, object->kind, before->node, after->node);
    if (f.count > GTM_DIFF_FIELDS_MAX)
        gtm_json_add_i64(one, "fields_more", (int64_t)(f.count - GTM_DIFF_FIELDS_MAX));
}

static int compare_objects(struct work *w, struct gtm__objects *before, struct gtm__objects *after)
{
    size_t it = 0;
    const char *key;
    void *at;
    while (gtm_map_next(after->map, &it, &key, &at)) {
        struct gtm__object *now = &after->items[(uintptr_t)at - 1];
        struct gtm__object *then = gtm__objects_find(before, key);
        if (then)
            then->taken = true;
        if (then && equal(then, now))
            continue;
        if (then)
            tally(w, now->kind)->changed++;
        else
            tally(w, now->kind)->added++;
        note(w, then ? "changed" : "added", then, now);
    }
    for (size_t i = 0; i < before->count; i++) {
        struct tally *t = tally(w, before->items[i].kind);
        t->before++;
        if (before->items[i].taken)
            continue;
        t->removed++;
        note(w, "removed", &before->items[i], NULL);
    }
    return GTM_OK;
}

/* --- the whole --- */

static const struct gtm_intent_text *find(const struct gtm_diff_side *side, const char *name)
{
    for (size_t i = 0; i < side->files_count; i++)
        if (strcmp(side->files[i].name, name) == 0)
            return &side->files[i];
    return NULL;
}

static int parse_side(const struct gtm_diff_side *side, struct gtm_yaml **ret_yaml,
                      struct gtm__objects *objects, struct gtm_error *err)
{
    const struct gtm_intent_text *main = find(side, GTM_MANIFEST_MAIN);
    const struct gtm_yaml_node *root = NULL;
    struct gtm_diags diags = {0};
    int rc = GTM_OK;
    if (main) {
        *ret_yaml = gtm_yaml_parse(GTM_MANIFEST_MAIN, main->text, main->len, &diags, &root);
        if (!*ret_yaml) {
            gtm_diags_first(&diags, err);
            rc = GTM_EPARSE;
        }
    }
    gtm_diags_fini(&diags);
    if (rc == GTM_OK && gtm__objects_collect(objects, root) != GTM_OK)
        rc = gtm_error_set(err, GTM_ENOMEM, "out of memory");
    return rc;
}

static void add_kinds(struct gtm_json *root, const struct work *w)
{
    struct gtm_json *kinds = gtm_json_add_array(root, "kinds");
    for (size_t i = 0; i < w->kinds_count; i++) {
        const struct tally *t = &w->kinds[i];
        if (!t->added && !t->changed && !t->removed)
            continue;
        struct gtm_json *one = gtm_json_append_object(kinds);
        gtm_json_add_str(one, "kind", t->kind);
        gtm_json_add_i64(one, "added", t->added);
        gtm_json_add_i64(one, "changed", t->changed);
        gtm_json_add_i64(one, "removed", t->removed);
        gtm_json_add_i64(one, "before", t->before);
    }
}

static bool texts_differ(const struct gtm_intent_text *a, const struct gtm_intent_text *b)
{
    return !a || !b || a->len != b->len || (a->len && memcmp(a->text, b->text, a->len) != 0);
}

/* Files by both lists; true when any text differs. */
static bool add_files(struct gtm_json *root, const struct gtm_diff_side *before,
                      const struct gtm_diff_side *after)
{
    bool any = texts_differ(find(before, GTM_MANIFEST_MAIN), find(after, GTM_MANIFEST_MAIN));
    struct gtm_json *files = gtm_json_add_array(root, "files");
    for (size_t i = 0; i < after->files_count; i++) {
        const struct gtm_intent_text *now = &after->files[i], *then = find(before, now->name);
        if (strcmp(now->name, GTM_MANIFEST_MAIN) == 0 || !texts_differ(then, now))
            continue;
        any = true;
        gtm__diff_lines(files, now->name, then, now);
    }
    for (size_t i = 0; i < before->files_count; i++) {
        if (strcmp(before->files[i].name, GTM_MANIFEST_MAIN) == 0 ||
            find(after, before->files[i].name))
            continue;
        any = true;
        gtm__diff_lines(files, before->files[i].name, &before->files[i], NULL);
    }
    return any;
}

struct gtm_json *gtm_intent_diff(const struct gtm_diff_side *before,
                                 const struct gtm_diff_side *after, struct gtm_error *err)
{
    struct gtm__objects then = {0}, now = {0};
    struct gtm_yaml *then_yaml = NULL, *now_yaml = NULL;
    struct gtm_json *root = gtm_json_object();
    struct work *w = gtm_calloc(1, sizeof(*w));
    int rc = GTM_ENOMEM;
    if (w && root)
        rc = parse_side(before, &then_yaml, &then, err);
    else
        gtm_error_set(err, rc, "out of memory");
    if (rc == GTM_OK)
        rc = parse_side(after, &now_yaml, &now, err);
    if (rc == GTM_OK && w) {
        w->objects = gtm_json_array();
        rc = compare_objects(w, &then, &now);
        add_kinds(root, w);
        gtm_json_add(root, "objects", w->objects);
        gtm_json_add_i64(root, "objects_more", (int64_t)w->more);
        gtm_json_add_bool(root, "changed", add_files(root, before, after));
    }
    gtm__objects_fini(&then);
    gtm__objects_fini(&now);
    gtm_yaml_free(then_yaml);
    gtm_yaml_free(now_yaml);
    gtm_free(w);
    if (rc == GTM_OK)
        return root;
    gtm_json_free(root);
    return NULL;
}

struct gtm_json *gtm_intent_summary(const char *text, size_t len)
{
    const struct gtm_intent_text file = {GTM_MANIFEST_MAIN, text, len};
    const struct gtm_diff_side none = {0}, one = {&file, 1};
    struct gtm_error err = {0};
    struct gtm_json *diff = gtm_intent_diff(&none, &one, &err);
    struct gtm_json *summary = diff ? gtm_json_object() : NULL;
    for (const struct gtm_json *k = gtm_json_first(gtm_json_get(diff, "kinds")); k;
         k = gtm_json_next(k))
        gtm_json_add_i64(summary, gtm_json_str(k, "kind", "?"), gtm_json_i64(k, "added", 0));
    gtm_json_free(diff);
    return summary;
}
