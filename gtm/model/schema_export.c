/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON Schema (2020-12) from the tables. It never refuses what the parser takes; what it cannot say
 * (references, loops, sums) only the parser finds. See schema.h.
 */
#include "gtm/model/schema.h"
#include "gtm/model/schema_forms.h"

#include <string.h>

#define DURATION_PATTERN "^[0-9]{1,12}(ms|s|m|h|d)$"
#define PERCENT_PATTERN  "^[0-9.]+%$"
#define PARAM_PATTERN    "^\\$"
#define ENDPOINT_PATTERN "^[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*$"
#define LISTEN_PATTERN   "^.+:[0-9]{1,5}$"

static void export_type(const struct gtm_field *field, struct gtm_json *out);

static void add_type(struct gtm_json *out, const char *type)
{
    gtm_json_add_str(out, "type", type);
}

static void add_text(struct gtm_json *out, const char *pattern)
{
    add_type(out, "string");
    if (pattern)
        gtm_json_add_str(out, "pattern", pattern);
}

static void add_range(struct gtm_json *out, const struct gtm_field *field)
{
    if (field->max <= field->min)
        return;
    gtm_json_add_num(out, "minimum", field->min);
    gtm_json_add_num(out, "maximum", field->max);
}

static void add_words(struct gtm_json *out, const char *const *words, unsigned count)
{
    struct gtm_json *list = gtm_json_add_array(out, "enum");
    for (unsigned i = 0; i < count; i++) {
        struct gtm_json *bare = gtm_json_parse(words[i], strlen(words[i]), NULL);
        gtm_json_append_str(list, words[i]);
        if (bare) /* a word such as 1.1 may stand without quotes, where YAML makes it a number */
            gtm_json_append(list, bare);
    }
}

static void add_one_of(struct gtm_json *out, const char *const *keys)
{
    struct gtm_json *list = gtm_json_add_array(out, "oneOf");
    for (; *keys; keys++) {
        struct gtm_json *required = gtm_json_add_array(gtm_json_append_object(list), "required");
        gtm_json_append_str(required, *keys);
    }
}

static void add_default(const struct gtm_field *field, struct gtm_json *out)
{
    bool number = field->type == GTM_T_UINT || field->type == GTM_T_NUMBER ||
                  field->type == GTM_T_RATIO || field->type == GTM_T_BOOL;
    struct gtm_json *value = number ? gtm_json_parse(field->def, strlen(field->def), NULL) : NULL;
    if (value)
        gtm_json_add(out, "default", value);
    else
        gtm_json_add_str(out, "default", field->def);
}

static void export_table(const struct gtm_table *table, struct gtm_json *out)
{
    add_type(out, "object");
    gtm_json_add_bool(out, "additionalProperties", false);
    struct gtm_json *properties = gtm_json_add_object(out, "properties");
    struct gtm_json *required = NULL;
    for (unsigned i = 0; i < table->fields_count; i++) {
        const struct gtm_field *field = &table->fields[i];
        struct gtm_json *property = gtm_json_add_object(properties, field->key);
        gtm_json_add_str(property, "description", field->doc);
        export_type(field, property);
        if (field->def)
            add_default(field, property);
        if (field->flags & GTM_F_REQUIRED) {
            required = required ? required : gtm_json_add_array(out, "required");
            gtm_json_append_str(required, field->key);
        }
    }
    if (table->one_of)
        add_one_of(out, table->one_of);
}

static void export_list(const struct gtm_field *field, struct gtm_json *out)
{
    struct gtm_json *list = out;
    if (field->flags & GTM_F_SINGLE) {
        struct gtm_json *either = gtm_json_add_array(out, "anyOf");
        export_type(field->item, gtm_json_append_object(either));
        list = gtm_json_append_object(either);
    }
    add_type(list, "array");
    export_type(field->item, gtm_json_add_object(list, "items"));
    if (field->min > 0)
        gtm_json_add_num(list, "minItems", field->min);
    if (field->max > 0)
        gtm_json_add_num(list, "maxItems", field->max);
    if (field->flags & GTM_F_UNIQUE)
        gtm_json_add_bool(list, "uniqueItems", true);
}

static void export_number(const struct gtm_field *field, struct gtm_json *out)
{
    struct gtm_json *number = out;
    if (field->type == GTM_T_RATIO || field->words_count > 0) {
        struct gtm_json *either = gtm_json_add_array(out, "anyOf");
        number = gtm_json_append_object(either);
        if (field->type == GTM_T_RATIO)
            add_text(gtm_json_append_object(either), PERCENT_PATTERN);
        else
            add_words(gtm_json_append_object(either), field->words, field->words_count);
    }
    add_type(number, field->type == GTM_T_UINT ? "integer" : "number");
    add_range(number, field);
}

/* JSON Schema counts characters, as the parser does. */
static void export_string(const struct gtm_field *field, struct gtm_json *out)
{
    add_type(out, "string");
    gtm_json_add_num(out, "minLength", field->min > 0 ? field->min : 1);
    gtm_json_add_num(out, "maxLength", field->max > 0 ? field->max : GTM_SCHEMA_TEXT_MAX);
}

static void export_point(struct gtm_json *out)
{
    add_type(out, "array");
    struct gtm_json *items = gtm_json_add_array(out, "prefixItems");
    for (int i = 0; i < 2; i++) {
        struct gtm_json *axis = gtm_json_append_object(items);
        add_type(axis, "number");
        gtm_json_add_num(axis, "minimum", i == 0 ? -90 : -180);
        gtm_json_add_num(axis, "maximum", i == 0 ? 90 : 180);
    }
    gtm_json_add_num(out, "minItems", 2);
    gtm_json_add_num(out, "maxItems", 2);
}

static void export_listen(struct gtm_json *out)
{
    struct gtm_json *either = gtm_json_add_array(out, "anyOf");
    add_text(gtm_json_append_object(either), LISTEN_PATTERN);
    export_table(&gtm_listen_table, gtm_json_append_object(either));
}

static void export_map(const struct gtm_field *field, struct gtm_json *out)
{
    add_type(out, "object");
    export_type(field->item, gtm_json_add_object(out, "additionalProperties"));
    if (field->max > 0)
        gtm_json_add_num(out, "maxProperties", field->max);
}

static void export_text(const struct gtm_field *field, struct gtm_json *out)
{
    const char *pattern = field->type == GTM_T_FORM        ? field->form->pattern
                          : field->ref == GTM_REF_ENDPOINT ? ENDPOINT_PATTERN
                                                           : gtm_form_name.pattern;
    if (!(field->flags & GTM_F_PARAM)) {
        add_text(out, pattern);
        return;
    }
    struct gtm_json *either = gtm_json_add_array(out, "anyOf");
    add_text(gtm_json_append_object(either), PARAM_PATTERN);
    add_text(gtm_json_append_object(either), pattern);
}

static void export_type(const struct gtm_field *field, struct gtm_json *out)
{
    switch (field->type) {
    case GTM_T_STRING:
        export_string(field, out);
        break;
    case GTM_T_BOOL:
        add_type(out, "boolean");
        break;
    case GTM_T_UINT:
    case GTM_T_NUMBER:
    case GTM_T_RATIO:
        export_number(field, out);
        break;
    case GTM_T_DURATION:
        add_text(out, DURATION_PATTERN);
        break;
    case GTM_T_ENUM:
        add_words(out, field->words, field->words_count);
        break;
    case GTM_T_FORM:
    case GTM_T_REF:
        export_text(field, out);
        break;
    case GTM_T_SECRET:
        export_table(&gtm_secret_table, out);
        break;
    case GTM_T_LISTEN:
        export_listen(out);
        break;
    case GTM_T_POINT:
        export_point(out);
        break;
    case GTM_T_OBJECT:
        export_table(field->table, out);
        break;
    case GTM_T_LIST:
        export_list(field, out);
        break;
    case GTM_T_MAP:
        export_map(field, out);
        break;
    }
}

struct gtm_json *gtm_schema_export(const struct gtm_table *table, const char *title)
{
    struct gtm_json *root = gtm_json_object();
    if (!root)
        return NULL;
    gtm_json_add_str(root, "$schema", "https://json-schema.org/draft/2020-12/schema");
    gtm_json_add_str(root, "title", title);
    export_table(table, root);
    return root;
}
