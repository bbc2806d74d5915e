/* SPDX-License-Identifier: Apache-2.0
 *
 * One value by its type: what it must look like, its range, and where it goes. See schema.h.
 */
#include "gtm/base/mem.h"
#include "gtm/model/schema.h"
#include "gtm/model/schema_forms.h"
#include "gtm/model/suggest.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The cut text of a scalar for messages. */
#define SHOW(node) (int)((node)->len < 60 ? (node)->len : 60), (node)->text

const char *gtm_schema_number(double value, char out[32])
{
    if (fabs(value) < 1e15 && value == floor(value)) {
        snprintf(out, 32, "%.0f", value);
        return out;
    }
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(out, 32, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            break;
    }
    return out;
}

/* --- putting values --- */

static void put_text(struct gtm_dest dest, const char *text)
{
    if (!dest.json)
        return;
    if (dest.key)
        gtm_json_add_str(dest.json, dest.key, text);
    else
        gtm_json_append_str(dest.json, text);
}

static void put_number(struct gtm_dest dest, double value)
{
    if (!dest.json)
        return;
    if (dest.key) {
        gtm_json_add_num(dest.json, dest.key, value);
        return;
    }
    char text[32];
    gtm_schema_number(value, text);
    gtm_json_append(dest.json, gtm_json_parse(text, strlen(text), NULL));
}

static void put_unsigned(struct gtm_dest dest, unsigned bytes, uint64_t value)
{
    if (!dest.at)
        return;
    switch (bytes) {
    case 1:
        *(uint8_t *)dest.at = (uint8_t)value;
        break;
    case 2:
        *(uint16_t *)dest.at = (uint16_t)value;
        break;
    case 8:
        *(uint64_t *)dest.at = value;
        break;
    default:
        *(uint32_t *)dest.at = (uint32_t)value;
        break;
    }
}

static void put_string(struct gtm_parse *p, struct gtm_dest dest, const char *text)
{
    put_text(dest, text);
    if (!dest.at)
        return;
    char *copy = gtm_strdup(text);
    p->nomem |= copy == NULL;
    *(char **)dest.at = copy;
}

/* --- numbers --- */

static void report_number(struct gtm_parse *p, const struct gtm_field *field, const char *label,
                          const struct gtm_yaml_node *node, const char *kind)
{
    char range[96] = "", low[32], high[32];
    if (field->max > field->min)
        snprintf(range, sizeof(range), " from %s to %s", gtm_schema_number(field->min, low),
                 gtm_schema_number(field->max, high));
    struct gtm_yaml_node bare = *node;
    bare.quoted = false;
    if (node->quoted && gtm_yaml_is_number(&bare))
        gtm_parse_error(p, node, "'%s' wants %s%s: leave the quotes away", label, kind, range);
    else
        gtm_parse_error(p, node, "'%s' wants %s%s, not '%.*s'", label, kind, range, SHOW(node));
}

static bool in_range(struct gtm_parse *p, const struct gtm_field *field, const char *label,
                     const struct gtm_yaml_node *node, double value)
{
    char low[32], high[32];
    bool bounded = field->max > field->min;
    if (!bounded || (value >= field->min && value <= field->max))
        return true;
    gtm_parse_error(p, node, "'%s' is %.*s, which is not in the range %s to %s", label, SHOW(node),
                    gtm_schema_number(field->min, low), gtm_schema_number(field->max, high));
    return false;
}

/* A finite decimal number. */
static bool read_double(const char *text, size_t len, double *ret)
{
    char *end;
    if (len == 0 || len > 40 || strspn(text, "0123456789+-.eE") < len)
        return false;
    *ret = strtod(text, &end);
    return end == text + len && isfinite(*ret);
}

static void parse_uint(struct gtm_parse *p, const struct gtm_field *field, const char *label,
                       const struct gtm_yaml_node *node, struct gtm_dest dest)
{
    for (unsigned i = 0; i < field->words_count; i++) {
        if (strcmp(node->text, field->words[i]) == 0) {
            put_unsigned(dest, (unsigned)field->size, i);
            put_text(dest, node->text);
            return;
        }
    }
    size_t digits = strspn(node->text, "0123456789");
    bool decimal = gtm_yaml_is_number(node) && strspn(node->text, "+-0123456789") == node->len;
    if (node->quoted || !decimal) {
        report_number(p, field, label, node, "a whole number");
        return;
    }
    if (digits != node->len || digits > 18) { /* a sign, or far too much */
        in_range(p, field, label, node, node->text[0] == '-' ? -1.0 : HUGE_VAL);
        return;
    }
    uint64_t value = strtoull(node->text, NULL, 10);
    if (!in_range(p, field, label, node, (double)value))
        return;
    put_unsigned(dest, (unsigned)field->size, value);
    if (!dest.json)
        return;
    if (dest.key)
        gtm_json_add_i64(dest.json, dest.key, (int64_t)value);
    else
        gtm_json_append_i64(dest.json, (int64_t)value);
}

static void parse_number(struct gtm_parse *p, const struct gtm_field *field, const char *label,
                         const struct gtm_yaml_node *node, struct gtm_dest dest)
{
    double value;
    if (!gtm_yaml_is_number(node) || !read_double(node->text, node->len, &value)) {
        report_number(p, field, label, node, "a number");
        return;
    }
    if (!in_range(p, field, label, node, value))
        return;
    if (dest.at)
        *(double *)dest.at = value;
    put_number(dest, value);
}

static void parse_ratio(struct gtm_parse *p, const struct gtm_field *field, const char *label,
                        const struct gtm_yaml_node *node, struct gtm_dest dest)
{
    double value;
    bool percent = node->len > 1 && node->text[node->len - 1] == '%' &&
                   strspn(node->text, "0123456789.") == node->len - 1;
    bool number = gtm_yaml_is_number(node) || percent;
    if (!number || !read_double(node->text, node->len - percent, &value)) {
        report_number(p, field, label, node, "a share");
        return;
    }
    value = percent ? value / 100 : value;
    if (!in_range(p, field, label, node, value))
        return;
    if (dest.at)
        *(double *)dest.at = value;
    put_number(dest, value);
}

/* --- durations --- */

static const struct {
    const char *suffix;
    uint64_t ms;
} units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

int gtm_duration_parse(const char *text, uint64_t *ret_ms)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 12)
        return GTM_EINVAL;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(text + digits, units[i].suffix) == 0) {
            *ret_ms = strtoull(text, NULL, 10) * units[i].ms;
            return GTM_OK;
        }
    }
    return GTM_EINVAL;
}

const char *gtm_duration_format(uint64_t ms, char out[32])
{
    size_t i = 0;
    while (i + 1 < sizeof(units) / sizeof(units[0]) && ms % units[i].ms != 0)
        i++;
    if (ms == 0)
        i = 3;
    snprintf(out, 32, "%llu%s", (unsigned long long)(ms / units[i].ms), units[i].suffix);
    return out;
}

static void parse_duration(struct gtm_parse *p, const struct gtm_field *field, const char *label,
                           const struct gtm_yaml_node *node, struct gtm_dest dest)
{
    uint64_t ms;
    char low[32], high[32];
    if (gtm_duration_parse(node->text, &ms) != GTM_OK) {
        gtm_parse_error(p, node,
                        "'%s' wants a duration with a unit, such as 800ms, 30s, 5m, 1h or 30d, "
                        "not '%.*s'",
                        label, SHOW(node));
        return;
    }
    if (ms < field->min || ms > field->max) {
        gtm_parse_error(p, node, "'%s' is %.*s, which is not in the range %s to %s", label,
                        SHOW(node), gtm_duration_format((uint64_t)field->min, low),
                        gtm_duration_format((uint64_t)field->max, high));
        return;
    }
    bool seconds = field->flags & GTM_F_SECONDS;
    if (seconds && ms % 1000 != 0) {
        gtm_parse_error(p, node, "'%s' wants whole seconds, not %.*s", label, SHOW(node));
        return;
    }
    put_unsigned(dest, (unsigned)field->size, seconds ? ms / 1000 : ms);
    put_text(dest, node->text);
}

/* --- words and texts --- */

static void parse_enum(struct gtm_parse *p, const struct gtm_field *field, const char *label,
                       const struct gtm_yaml_node *node, struct gtm_dest dest)
{
    const char *best = NULL;
    unsigned distance = 0;
    struct gtm_buf list = {0};
    for (unsigned i = 0; i < field->words_count; i++) {
        if (strcmp(field->words[i], node->text) == 0) {
            gtm_buf_fini(&list);
            put_unsigned(dest, sizeof(int), i);
            put_text(dest, node->text);
            return;
        }
        gtm_suggest_try(node->text, field->words[i], &best, &distance);
        gtm_buf_addf(&list, "%s%s", i == 0 ? "" : ", ", field->words[i]);
    }
    p->nomem |= list.failed;
    if (best)
        gtm_parse_error(p, node, "'%s' cannot be '%.*s' (did you mean '%s'?); it is one of: %s",
                        label, SHOW(node), best, list.data ? list.data : "");
    else
        gtm_parse_error(p, node, "'%s' cannot be '%.*s'; it is one of: %s", label, SHOW(node),
                        list.data ? list.data : "");
    gtm_buf_fini(&list);
}

static void parse_bool(struct gtm_parse *p, const char *label, const struct gtm_yaml_node *node,
                       struct gtm_dest dest)
{
    if (!gtm_yaml_is_bool(node)) {
        gtm_parse_error(p, node, "'%s' wants true or false, not '%.*s'%s", label, SHOW(node),
                        node->quoted ? " in quotes" : "");
        return;
    }
    bool value = node->text[0] == 't' || node->text[0] == 'T';
    if (dest.at)
        *(bool *)dest.at = value;
    if (!dest.json)
        return;
    if (dest.key)
        gtm_json_add_bool(dest.json, dest.key, value);
    else
        gtm_json_append(dest.json, gtm_json_parse(value ? "true" : "false", value ? 4 : 5, NULL));
}

/* YAML readers that type by looks would not see text here, so it must be in quotes. */
static bool is_text(struct gtm_parse *p, const char *label, const struct gtm_yaml_node *node)
{
    if (!gtm_yaml_is_number(node) && !gtm_yaml_is_bool(node))
        return true;
    gtm_parse_error(p, node, "'%s' wants text: write \"%.*s\" in quotes", label, SHOW(node));
    return false;
}

static size_t characters(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void parse_string(struct gtm_parse *p, const struct gtm_field *field, const char *label,
                         const struct gtm_yaml_node *node, struct gtm_dest dest)
{
    double max = field->max > 0 ? field->max : GTM_SCHEMA_TEXT_MAX;
    double min = field->min > 0 ? field->min : 1;
    size_t count = characters(node->text);
    if (!is_text(p, label, node))
        return;
    if (count < min)
        gtm_parse_error(p, node, "'%s' is empty", label);
    else if (count > max)
        gtm_parse_error(p, node, "'%s' has %zu characters; at most %.0f are allowed", label, count,
                        max);
    else
        put_string(p, dest, node->text);
}

static void parse_form(struct gtm_parse *p, const struct gtm_field *field, const char *label,
                       const struct gtm_yaml_node *node, struct gtm_dest dest)
{
    struct gtm_error err = {0};
    if (!is_text(p, label, node))
        return;
    const struct gtm_form *form = field->form;
    int rc = form->parse(node->text, form->heap ? NULL : dest.at, &err);
    if (rc != GTM_OK && err.text[0])
        gtm_parse_error(p, node, "'%s': %s", label, err.text);
    else if (rc != GTM_OK)
        gtm_parse_error(p, node, "'%s' wants %s, not '%.*s'", label, form->what, SHOW(node));
    else if (form->heap)
        put_string(p, dest, node->text);
    else
        put_text(dest, node->text);
}

/* --- shapes of their own --- */

static void parse_secret(struct gtm_parse *p, const char *label, const struct gtm_yaml_node *node,
                         struct gtm_dest dest)
{
    if (node->kind != GTM_YAML_MAP) {
        gtm_parse_error_at(p, (struct gtm_srcpos){node->line, node->col},
                           "'%s' is a secret, which is never written here: use {file: PATH}",
                           label);
        return;
    }
    struct gtm_json *child = NULL;
    if (dest.json && dest.key)
        child = gtm_json_add_object(dest.json, dest.key);
    gtm_schema_parse(p, &gtm_secret_table, node, dest.at, child);
}

static void parse_listen(struct gtm_parse *p, const char *label, const struct gtm_yaml_node *node,
                         struct gtm_dest dest)
{
    struct gtm_listen listen = {0};
    size_t errors = p->diags->errors;
    if (node->kind == GTM_YAML_MAP) {
        struct gtm_listen_raw raw = {0};
        gtm_schema_parse(p, &gtm_listen_table, node, &raw, NULL);
        if (p->diags->errors == errors)
            gtm_listen_make(&raw, &listen);
    } else {
        struct gtm_error err = {0};
        if (node->kind != GTM_YAML_SCALAR || gtm_listen_parse(node->text, &listen, &err) != GTM_OK)
            gtm_parse_error(p, node, "'%s' wants \"ADDRESS:PORT\" or {address: …, port: …}%s%s",
                            label, err.text[0] ? ": " : "", err.text);
    }
    if (p->diags->errors != errors)
        return;
    if (dest.at)
        *(struct gtm_listen *)dest.at = listen;
    put_text(dest, listen.text);
}

static void parse_point(struct gtm_parse *p, const char *label, const struct gtm_yaml_node *node,
                        struct gtm_dest dest)
{
    static const struct gtm_field axes[2] = {
        {.key = "latitude", .type = GTM_T_NUMBER, .min = -90, .max = 90},
        {.key = "longitude", .type = GTM_T_NUMBER, .min = -180, .max = 180},
    };
    if (node->kind != GTM_YAML_LIST || node->count != 2) {
        gtm_parse_error(p, node, "'%s' wants [LATITUDE, LONGITUDE] in degrees", label);
        return;
    }
    struct gtm_json *array = dest.json && dest.key ? gtm_json_add_array(dest.json, dest.key) : NULL;
    const struct gtm_yaml_node *n = node->first;
    for (int i = 0; i < 2; i++, n = n->next) {
        struct gtm_dest axis = {.at = dest.at ? (double *)dest.at + i : NULL, .json = array};
        if (n->kind != GTM_YAML_BAD)
            gtm_schema_scalar(p, &axes[i], axes[i].key, n, axis);
    }
}

static void parse_ref(struct gtm_parse *p, const struct gtm_field *field, const char *label,
                      const struct gtm_yaml_node *node, struct gtm_dest dest)
{
    if (!is_text(p, label, node))
        return;
    gtm_schema_add_ref(p, field->ref, node, false, dest.at);
    put_text(dest, node->text);
}

void gtm_schema_scalar(struct gtm_parse *p, const struct gtm_field *field, const char *label,
                       const struct gtm_yaml_node *node, struct gtm_dest dest)
{
    if (field->type == GTM_T_SECRET) {
        parse_secret(p, label, node, dest);
    } else if (field->type == GTM_T_LISTEN) {
        parse_listen(p, label, node, dest);
    } else if (field->type == GTM_T_POINT) {
        parse_point(p, label, node, dest);
    } else if (node->kind != GTM_YAML_SCALAR) {
        gtm_parse_error(p, node, "'%s' wants one value, not a %s", label,
                        node->kind == GTM_YAML_LIST ? "list" : "mapping");
    } else if (gtm_yaml_is_null(node)) {
        gtm_parse_error(p, node, "'%s' has no value", label);
    } else if (field->flags & GTM_F_PARAM && node->text[0] == '$') {
        put_text(dest, node->text);
    } else {
        static void (*const by_type[])(struct gtm_parse *, const struct gtm_field *, const char *,
                                       const struct gtm_yaml_node *, struct gtm_dest) = {
            [GTM_T_STRING] = parse_string,     [GTM_T_UINT] = parse_uint,
            [GTM_T_NUMBER] = parse_number,     [GTM_T_RATIO] = parse_ratio,
            [GTM_T_DURATION] = parse_duration, [GTM_T_ENUM] = parse_enum,
            [GTM_T_FORM] = parse_form,         [GTM_T_REF] = parse_ref,
        };
        if (field->type == GTM_T_BOOL)
            parse_bool(p, label, node, dest);
        else
            by_type[field->type](p, field, label, node, dest);
    }
}
