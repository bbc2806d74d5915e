/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON values as YAML in block style, for readers of YAML 1.1 and 1.2. Any string that one of them
 * might read as something else is quoted the JSON way. See show.h.
 */
#include "gtm/base/buf.h"
#include "gtm/base/mem.h"
#include "gtm/ctl/show.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

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

/* JSON leaves some characters alone that YAML folds (U+0085, U+2028, U+2029) or forbids (other C1
 * controls, U+FEFF, U+FFFE, U+FFFF), and some turn the reading direction: returns the code of such
 * a one at s, or 0. */
static unsigned to_escape(const char *s)
{
    const unsigned char *p = (const unsigned char *)s;

    if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
        return p[1];
    if (p[0] == 0xe2 && p[1] == 0x80 && p[2] >= 0xa8 && p[2] <= 0xae)
        return 0x2000u + p[2] - 0x80u;
    if (p[0] == 0xe2 && p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9)
        return 0x2040u + p[2] - 0x80u;
    if (p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf)
        return 0xfeff;
    if (p[0] == 0xef && p[1] == 0xbf && p[2] >= 0xbe)
        return 0xffc0u + p[2] - 0x80u;
    return 0;
}

static void add_text(struct gtm_buf *out, const char *s)
{
    struct gtm_buf quoted = {0};

    if (plain(s)) {
        gtm_buf_adds(out, s);
        return;
    }
    gtm_json_quote(&quoted, s, strlen(s));
    for (const char *p = quoted.data; p != NULL && *p != 0; p++) {
        unsigned code = to_escape(p);
        if (code == 0) {
            gtm_buf_addc(out, *p);
            continue;
        }
        gtm_buf_addf(out, "\\u%04x", code);
        p += code < 0x100 ? 1 : 2;
    }
    out->failed |= quoted.failed;
    gtm_buf_fini(&quoted);
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
    if (v == NULL) { /* not there: as it is shown elsewhere */
        gtm_buf_adds(out, "null");
        return;
    }
    /* Numbers, true, false, null, [] and {} are the same in YAML. */
    char *text = gtm_json_print(v, false);
    gtm_buf_adds(out, text != NULL ? text : "");
    out->failed |= text == NULL;
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
    bool inner_list = gtm_json_type(v) == GTM_JSON_ARRAY && is_block(v);

    gtm_buf_addf(out, "%*s-%s", (int)indent, "", inner_list ? "\n" : " ");
    if (gtm_json_type(v) == GTM_JSON_OBJECT && is_block(v)) {
        for (const struct gtm_json *m = gtm_json_first(v); m != NULL; m = gtm_json_next(m)) {
            if (m != gtm_json_first(v))
                gtm_buf_addf(out, "%*s", (int)indent + 2, "");
            add_member(out, m, indent + 2);
        }
    } else if (inner_list) {
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
