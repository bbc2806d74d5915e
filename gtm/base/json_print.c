/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON text from trees: our own printer, because cJSON indents with tabs and rounds. See json.h;
 * any thread.
 */
#include "gtm/base/json.h"
#include "gtm/base/json_scan.h"
#include "gtm/base/mem.h"
#include "gtm/base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRINT_MAX_DEPTH \
    256 /* builders may nest deeper than the parser accepts, but not without end */

void gtm_json_quote(struct gtm_buf *buf, const char *s, size_t len)
{
    static const char short_from[] = "\"\\\b\f\n\r\t", short_to[] = "\"\\bfnrt";
    gtm_buf_addc(buf, '"');
    for (size_t i = 0; i < len;) {
        size_t plain = i, step = 0;
        while (plain < len && (step = gtm_utf8_len(s + plain, len - plain)) > 0 &&
               (unsigned char)s[plain] >= 0x20 && s[plain] != '"' && s[plain] != '\\' &&
               s[plain] != 0x7f)
            plain += step;
        gtm_buf_add(buf, s + i, plain - i);
        i = plain;
        if (i == len)
            break;
        const char *at = s[i] ? strchr(short_from, s[i]) : NULL;
        if (step == 0) {
            gtm_buf_add(buf, "\xef\xbf\xbd", 3);
        } else if (at) {
            gtm_buf_addc(buf, '\\');
            gtm_buf_addc(buf, short_to[at - short_from]);
        } else {
            gtm_buf_addf(buf, "\\u%04x", (unsigned)(unsigned char)s[i]);
        }
        i++;
    }
    gtm_buf_addc(buf, '"');
}

static void print_number(struct gtm_buf *buf, const struct gtm_json *value)
{
    const char *digits = base__json_raw_digits(value);
    double d = gtm_json_as_num(value, 0);
    char text[40];
    if (digits) {
        gtm_buf_adds(buf, digits);
        return;
    }
    if (!isfinite(d)) {
        gtm_buf_adds(buf, "null"); /* JSON has no word for it */
        return;
    }
    if (d == 0 && signbit(d)) {
        gtm_buf_adds(buf, "-0.0");
        return;
    }
    if (fabs(d) <= 9007199254740992.0 && d == floor(d)) {
        gtm_buf_addf(buf, "%lld", (long long)d);
        return;
    }
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(text, sizeof(text), "%.*g", precision, d);
        if (strtod(text, NULL) == d)
            break;
    }
    char *comma = strchr(text, ','); /* a locale's decimal point */
    if (comma)
        *comma = '.';
    gtm_buf_adds(buf, text);
    /* Without a point or exponent it would read back as a long integer with made-up digits. */
    if (!strpbrk(text, ".e"))
        gtm_buf_adds(buf, ".0");
}

static void newline(struct gtm_buf *buf, bool pretty, unsigned depth)
{
    if (pretty)
        gtm_buf_addf(buf, "\n%*s", (int)(depth * 2), "");
}

static bool print_value(struct gtm_buf *buf, const struct gtm_json *value, bool pretty,
                        unsigned depth);

static bool print_items(struct gtm_buf *buf, const struct gtm_json *value, bool pretty,
                        unsigned depth)
{
    for (const struct gtm_json *child = gtm_json_first(value); child;) {
        newline(buf, pretty, depth + 1);
        if (gtm_json_type(value) == GTM_JSON_OBJECT) {
            const char *key = gtm_json_key(child);
            gtm_json_quote(buf, key, strlen(key));
            gtm_buf_adds(buf, pretty ? ": " : ":");
        }
        if (!print_value(buf, child, pretty, depth + 1))
            return false;
        child = gtm_json_next(child);
        if (child)
            gtm_buf_addc(buf, ',');
    }
    return true;
}

static bool print_value(struct gtm_buf *buf, const struct gtm_json *value, bool pretty,
                        unsigned depth)
{
    if (base__json_is_incomplete(value) || depth > PRINT_MAX_DEPTH)
        return false;
    const char *s;
    enum gtm_json_type type = gtm_json_type(value);
    switch (type) {
    case GTM_JSON_BOOL:
        gtm_buf_adds(buf, gtm_json_as_bool(value, false) ? "true" : "false");
        return true;
    case GTM_JSON_NUMBER:
        print_number(buf, value);
        return true;
    case GTM_JSON_STRING:
        s = gtm_json_as_str(value);
        gtm_json_quote(buf, s, strlen(s));
        return true;
    case GTM_JSON_ARRAY:
    case GTM_JSON_OBJECT:
        gtm_buf_addc(buf, type == GTM_JSON_ARRAY ? '[' : '{');
        if (!print_items(buf, value, pretty, depth))
            return false;
        if (gtm_json_first(value))
            newline(buf, pretty, depth);
        gtm_buf_addc(buf, type == GTM_JSON_ARRAY ? ']' : '}');
        return true;
    default:
        gtm_buf_adds(buf, "null");
        return true;
    }
}

char *gtm_json_print(const struct gtm_json *value, bool pretty)
{
    struct gtm_buf buf = {0};
    if (!value || !print_value(&buf, value, pretty, 0))
        buf.failed = true;
    return gtm_buf_take(&buf);
}
