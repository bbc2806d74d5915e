/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON values as YAML 1.2 in block style. Any string that YAML might read as something else is
 * quoted the JSON way, which is valid YAML.
 */
#include "gtm/base/buf.h"
#include "gtm/base/mem.h"
#include "gtm/ctl/ctl.h"

#include <ctype.h>
#include <string.h>

static bool plain(const char *s)
{
    static const char *const words[] = {"null", "true", "false", "yes", "no",
                                        "on",   "off",  "y",     "n"};

    if (!isalpha((unsigned char)s[0]) && s[0] != '/')
        return false;
    for (const char *p = s; *p != 0; p++)
        if (!isalnum((unsigned char)*p) && strchr("-_./", *p) == NULL)
            return false;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcasecmp(s, words[i]) == 0)
            return false;
    return true;
}

static void add_text(struct gtm_buf *out, const char *s)
{
    if (plain(s))
        gtm_buf_adds(out, s);
    else
        gtm_json_quote(out, s, strlen(s));
}

static bool is_block(const struct gtm_json *v)
{
    enum gtm_json_type type = gtm_json_type(v);

    return (type == GTM_JSON_OBJECT || type == GTM_JSON_ARRAY) && gtm_json_count(v) > 0;
}

static void add_leaf(struct gtm_buf *out, const struct gtm_json *v)
{
    if (gtm_json_type(v) == GTM_JSON_STRING) {
        add_text(out, gtm_json_as_str(v));
        return;
    }
    char *text =
        gtm_json_print(v, false); /* numbers, true, false, null, [] and {} are the same in YAML */
    gtm_buf_adds(out, text != NULL ? text : "null");
    gtm_free(text);
}

static void add_member(struct gtm_buf *out, const struct gtm_json *v, unsigned indent)
{
    add_text(out, gtm_json_key(v));
    gtm_buf_addc(out, ':');
    if (is_block(v)) {
        gtm_buf_addc(out, '\n');
        ctl_yaml(out, v, indent + 2);
        return;
    }
    gtm_buf_addc(out, ' ');
    add_leaf(out, v);
    gtm_buf_addc(out, '\n');
}

/* The first line of an element stands behind its dash, the others under it. */
static void add_element(struct gtm_buf *out, const struct gtm_json *v, unsigned indent)
{
    gtm_buf_addf(out, "%*s- ", (int)indent, "");
    if (gtm_json_type(v) == GTM_JSON_OBJECT && is_block(v)) {
        for (const struct gtm_json *m = gtm_json_first(v); m != NULL; m = gtm_json_next(m)) {
            if (m != gtm_json_first(v))
                gtm_buf_addf(out, "%*s", (int)indent + 2, "");
            add_member(out, m, indent + 2);
        }
    } else if (is_block(v)) {
        gtm_buf_addc(out, '\n');
        ctl_yaml(out, v, indent + 2);
    } else {
        add_leaf(out, v);
        gtm_buf_addc(out, '\n');
    }
}

void ctl_yaml(struct gtm_buf *out, const struct gtm_json *value, unsigned indent)
{
    if (!is_block(value)) {
        add_leaf(out, value);
        gtm_buf_addc(out, '\n');
        return;
    }
    bool object = gtm_json_type(value) == GTM_JSON_OBJECT;
    for (const struct gtm_json *v = gtm_json_first(value); v != NULL; v = gtm_json_next(v)) {
        if (!object) {
            add_element(out, v, indent);
            continue;
        }
        gtm_buf_addf(out, "%*s", (int)indent, "");
        add_member(out, v, indent);
    }
}
