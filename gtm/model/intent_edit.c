/* SPDX-License-Identifier: Apache-2.0
 *
 * See intent_edit.h. An element of a block list begins at its dash and ends before the next line
 * that is indented no deeper than the dash; comments at its end that stand no deeper belong to what
 * follows.
 */
#include "gtm/model/intent_edit.h"

#include "gtm/base/buf.h"
#include "gtm/base/mem.h"
#include "gtm/model/intent_diff.h"
#include "gtm/model/intent_objects.h"
#include "gtm/model/manifest.h"

#include <string.h>

struct text {
    const char *data;
    size_t len;
};

/* Where a line (1-based) begins; len when there are fewer. */
static size_t line_start(const struct text *t, unsigned line)
{
    size_t at = 0;
    for (unsigned i = 1; i < line && at < t->len; i++) {
        const char *end = memchr(t->data + at, '\n', t->len - at);
        at = end ? (size_t)(end - t->data) + 1 : t->len;
    }
    return at;
}

static size_t next_line(const struct text *t, size_t at)
{
    const char *end = memchr(t->data + at, '\n', t->len - at);
    return end ? (size_t)(end - t->data) + 1 : t->len;
}

static size_t indent_of(const struct text *t, size_t at)
{
    size_t n = 0;
    while (at + n < t->len && t->data[at + n] == ' ')
        n++;
    return n;
}

static bool is_blank(const struct text *t, size_t at, size_t indent)
{
    char c = at + indent < t->len ? t->data[at + indent] : '\n';
    return c == '\n' || c == '\r' || c == '#';
}

/* The end of what begins at `at` with this indent: before the next line that is no deeper. */
static size_t block_end(const struct text *t, size_t at, size_t indent)
{
    size_t end = next_line(t, at);
    for (size_t line = end; line < t->len; line = next_line(t, line)) {
        size_t n = indent_of(t, line);
        bool deeper = n > indent;
        bool comment = is_blank(t, line, n);
        if (!deeper && !comment)
            break;
        if (deeper && line + n < t->len && t->data[line + n] != '\n' && t->data[line + n] != '\r')
            end = next_line(t, line);
    }
    return end;
}

/* "  - name: x": the dash is the first thing of the line that the node stands on. */
static bool at_dash(const struct text *t, size_t line, const struct gtm_yaml_node *node,
                    size_t *ret_indent)
{
    size_t n = indent_of(t, line);
    if (line + n >= t->len || t->data[line + n] != '-' || node->col < 2)
        return false;
    for (size_t i = line + n + 1; i < t->len && i < line + node->col - 1; i++)
        if (t->data[i] != ' ')
            return false;
    *ret_indent = n;
    return line + node->col - 1 > line + n;
}

/* What is to go: the element, or with it the key of a list that it alone is in. */
static bool find_range(const struct text *t, const struct gtm__object *object, size_t *ret_from,
                       size_t *ret_to)
{
    size_t indent = 0;
    if (object->list && object->list->count > 1) {
        *ret_from = line_start(t, object->node->line);
        if (!at_dash(t, *ret_from, object->node, &indent))
            return false;
        *ret_to = block_end(t, *ret_from, indent);
        return true;
    }
    const struct gtm_yaml_node *section = object->list ? object->list : object->node;
    *ret_from = line_start(t, section->key_line);
    indent = indent_of(t, *ret_from);
    if (indent + 1 != section->key_col) /* "{name: x, names: …": not a line of its own */
        return false;
    *ret_to = block_end(t, *ret_from, indent);
    /* A list may stand no deeper than its key. */
    while (object->list && *ret_to < t->len && indent_of(t, *ret_to) == indent &&
           *ret_to + indent < t->len && t->data[*ret_to + indent] == '-')
        *ret_to = block_end(t, *ret_to, indent);
    return true;
}

/* Just this object is gone; a zone takes its names with it. */
static int check_result(const struct text *before, const struct text *after, const char *kind,
                        const char *name, struct gtm_error *err)
{
    const struct gtm_intent_text then = {GTM_MANIFEST_MAIN, before->data, before->len};
    const struct gtm_intent_text now = {GTM_MANIFEST_MAIN, after->data, after->len};
    const struct gtm_diff_side a = {&then, 1}, b = {&now, 1};
    struct gtm_json *diff = gtm_intent_diff(&a, &b, err);
    bool zone = strcmp(kind, "zones") == 0, found = false;
    size_t prefix = strlen(name);
    int rc = diff ? GTM_OK : err->code;
    for (const struct gtm_json *o = gtm_json_first(gtm_json_get(diff, "objects"));
         o && rc == GTM_OK; o = gtm_json_next(o)) {
        const char *k = gtm_json_str(o, "kind", ""), *n = gtm_json_str(o, "name", "");
        bool gone = strcmp(gtm_json_str(o, "change", ""), "removed") == 0;
        bool self = strcmp(k, kind) == 0 && strcmp(n, name) == 0;
        bool below =
            zone && strcmp(k, "names") == 0 && strncmp(n, name, prefix) == 0 && n[prefix] == '/';
        found = found || (self && gone);
        if (!gone || (!self && !below))
            rc = gtm_error_set(err, GTM_EUNSUPPORTED,
                               "%s '%s' cannot be taken out of the text by itself (it would touch "
                               "%s '%s'): edit the file and apply it",
                               kind, name, k, n);
    }
    if (rc == GTM_OK && !found)
        rc = gtm_error_set(err, GTM_EUNSUPPORTED,
                           "%s '%s' cannot be taken out of the text: edit the file and apply it",
                           kind, name);
    gtm_json_free(diff);
    return rc;
}

static int cut(const struct text *t, const struct gtm__object *object, const char *name,
               char **ret_text, size_t *ret_len, struct gtm_error *err)
{
    size_t from = 0, to = 0;
    if (!find_range(t, object, &from, &to))
        return gtm_error_at(err, GTM_EUNSUPPORTED, GTM_MANIFEST_MAIN, object->node->line,
                            object->node->col,
                            "%s '%s' is not written as a block of its own: edit the file and apply "
                            "it",
                            object->kind, name);
    struct gtm_buf out = {0};
    gtm_buf_add(&out, t->data, from);
    gtm_buf_add(&out, t->data + to, t->len - to);
    struct text after = {out.data ? out.data : "", out.len};
    int rc = out.failed ? gtm_error_set(err, GTM_ENOMEM, "out of memory")
                        : check_result(t, &after, object->kind, name, err);
    *ret_len = out.len;
    *ret_text = rc == GTM_OK ? gtm_buf_take(&out) : NULL;
    gtm_buf_fini(&out);
    if (rc == GTM_OK && !*ret_text)
        rc = gtm_error_set(err, GTM_ENOMEM, "out of memory");
    return rc;
}

int gtm_intent_remove(const char *text, size_t len, const char *kind, const char *name,
                      char **ret_text, size_t *ret_len, struct gtm_error *err)
{
    const struct text t = {text, len};
    const struct gtm_yaml_node *root = NULL;
    struct gtm_diags diags = {0};
    struct gtm__objects objects = {0};
    struct gtm_yaml *yaml = gtm_yaml_parse(GTM_MANIFEST_MAIN, text, len, &diags, &root);
    char *key = gtm_asprintf("%s %s", kind, name);
    int rc = GTM_OK;
    if (!yaml) {
        gtm_diags_first(&diags, err);
        rc = GTM_EPARSE;
    } else if (!key || gtm__objects_collect(&objects, root) != GTM_OK) {
        rc = gtm_error_set(err, GTM_ENOMEM, "out of memory");
    }
    const struct gtm__object *object = rc == GTM_OK ? gtm__objects_find(&objects, key) : NULL;
    if (object)
        rc = cut(&t, object, name, ret_text, ret_len, err);
    else if (rc == GTM_OK)
        rc = gtm_error_set(err, GTM_ENOTFOUND, "the intent has no %.64s '%.200s'", kind, name);
    gtm__objects_fini(&objects);
    gtm_free(key);
    gtm_yaml_free(yaml);
    gtm_diags_fini(&diags);
    return rc;
}
