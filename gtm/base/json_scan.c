/* SPDX-License-Identifier: Apache-2.0
 *
 * A recursive-descent recogniser for strict JSON; its depth is bounded by GTM_JSON_MAX_DEPTH. See
 * json_scan.h; any thread.
 */
#include "gtm/base/json_scan.h"

#include "gtm/base/buf.h"
#include "gtm/base/json.h"
#include "gtm/base/map.h"
#include "gtm/base/mem.h"
#include "gtm/base/utf8.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_MAX   63 /* characters; cJSON reads no longer ones */
#define EXACT_DIGITS 15 /* integers up to here are exact in a double */
#define LINEAR_KEYS  16 /* objects with more keys get a hash map */

struct key {
    size_t offset, len; /* in scan.keys_text, unescaped */
};

struct scan {
    const char *text;
    size_t len, pos;
    unsigned depth;
    size_t numbers;
    struct base__json_bigints *big;
    struct gtm_error *err;
    struct gtm_buf keys_text; /* keys of the objects that are open now */
    struct key *keys;
    size_t key_count, key_cap;
};

/* The keys seen in one open object. */
struct frame {
    size_t first_key, first_text;
    struct gtm_map *map; /* NULL while there are few */
};

static int scan_value(struct scan *s);

static int fail_at(struct scan *s, size_t pos, int code, const char *what)
{
    unsigned line = 1, col = 1;
    for (size_t i = 0; i < pos && i < s->len;) {
        size_t step = gtm_utf8_len(s->text + i, s->len - i);
        if (s->text[i] == '\n') {
            line++;
            col = 1;
        } else {
            col++;
        }
        i += step ? step : 1;
    }
    return gtm_error_at(s->err, code, NULL, line, col, "%s", what);
}

static int fail(struct scan *s, const char *what)
{
    return fail_at(s, s->pos, GTM_EPARSE, s->pos >= s->len ? "unexpected end of the text" : what);
}

static int no_memory(struct scan *s)
{
    return fail_at(s, s->pos, GTM_ENOMEM, gtm_err_text(GTM_ENOMEM));
}

/* The next byte, or -1 at the end. */
static int peek(const struct scan *s)
{
    return s->pos < s->len ? (unsigned char)s->text[s->pos] : -1;
}

static void skip_space(struct scan *s)
{
    while (s->pos < s->len && strchr(" \t\r\n", s->text[s->pos]) && s->text[s->pos] != '\0')
        s->pos++;
}

static int scan_word(struct scan *s, const char *word)
{
    size_t n = strlen(word);
    if (s->len - s->pos < n || memcmp(s->text + s->pos, word, n) != 0)
        return fail_at(s, s->pos, GTM_EPARSE, "expected a value");
    s->pos += n;
    return GTM_OK;
}

static bool skip_digits(struct scan *s)
{
    size_t start = s->pos;
    while (peek(s) >= '0' && peek(s) <= '9')
        s->pos++;
    return s->pos > start;
}

static int note_bigint(struct scan *s, size_t start)
{
    size_t digits = s->pos - start - (s->text[start] == '-');
    if (digits <= EXACT_DIGITS)
        return GTM_OK;
    void *items = s->big->items;
    int rc = gtm_grow(&items, &s->big->cap, s->big->count + 1, sizeof(*s->big->items));
    s->big->items = items;
    if (rc != GTM_OK)
        return no_memory(s);
    s->big->items[s->big->count++] =
        (struct base__json_bigint){.ordinal = s->numbers, .offset = start, .len = s->pos - start};
    return GTM_OK;
}

/* RFC 8259 section 6. */
static int scan_number(struct scan *s)
{
    size_t start = s->pos;
    bool integer = true;
    if (peek(s) == '-')
        s->pos++;
    if (peek(s) == '0')
        s->pos++;
    else if (!skip_digits(s))
        return fail(s, "expected a digit");
    if (peek(s) == '.') {
        integer = false;
        s->pos++;
        if (!skip_digits(s))
            return fail(s, "expected a digit after the decimal point");
    }
    if (peek(s) == 'e' || peek(s) == 'E') {
        integer = false;
        s->pos++;
        if (peek(s) == '+' || peek(s) == '-')
            s->pos++;
        if (!skip_digits(s))
            return fail(s, "expected a digit in the exponent");
    }
    size_t n = s->pos - start;
    if (n > NUMBER_MAX)
        return fail_at(s, start, GTM_EPARSE, "number of more than 63 characters");
    char copy[NUMBER_MAX + 1];
    memcpy(copy, s->text + start, n);
    copy[n] = '\0';
    if (!integer && !isfinite(strtod(copy, NULL)))
        return fail_at(s, start, GTM_EPARSE, "number too large for a double");
    int rc = integer ? note_bigint(s, start) : GTM_OK;
    s->numbers++;
    return rc;
}

/* Four hex digits at pos, or -1. */
static int hex4(const struct scan *s, size_t pos)
{
    int value = 0;
    if (s->len - pos < 4)
        return -1;
    for (size_t i = pos; i < pos + 4; i++) {
        char c = s->text[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static void add_utf8(struct gtm_buf *out, unsigned cp)
{
    if (cp < 0x80) {
        gtm_buf_addc(out, (char)cp);
    } else if (cp < 0x800) {
        gtm_buf_addc(out, (char)(0xc0 | cp >> 6));
        gtm_buf_addc(out, (char)(0x80 | (cp & 0x3f)));
    } else if (cp < 0x10000) {
        gtm_buf_addc(out, (char)(0xe0 | cp >> 12));
        gtm_buf_addc(out, (char)(0x80 | (cp >> 6 & 0x3f)));
        gtm_buf_addc(out, (char)(0x80 | (cp & 0x3f)));
    } else {
        gtm_buf_addc(out, (char)(0xf0 | cp >> 18));
        gtm_buf_addc(out, (char)(0x80 | (cp >> 12 & 0x3f)));
        gtm_buf_addc(out, (char)(0x80 | (cp >> 6 & 0x3f)));
        gtm_buf_addc(out, (char)(0x80 | (cp & 0x3f)));
    }
}

/* \uXXXX, and its second half when it is a surrogate pair. pos is at the 'u'. */
static int scan_unicode_escape(struct scan *s, struct gtm_buf *out)
{
    size_t start = s->pos - 1;
    int high = hex4(s, s->pos + 1);
    if (high < 0)
        return fail_at(s, start, GTM_EPARSE, "\\u needs four hexadecimal digits");
    s->pos += 5;
    unsigned cp = (unsigned)high;
    if (cp == 0)
        return fail_at(s, start, GTM_EPARSE, "\\u0000 is not allowed");
    if (cp >= 0xdc00 && cp <= 0xdfff)
        return fail_at(s, start, GTM_EPARSE, "lone low surrogate");
    if (cp >= 0xd800 && cp <= 0xdbff) {
        int low = -1;
        if (s->len - s->pos >= 6 && s->text[s->pos] == '\\' && s->text[s->pos + 1] == 'u')
            low = hex4(s, s->pos + 2);
        if (low < 0xdc00 || low > 0xdfff)
            return fail_at(s, start, GTM_EPARSE, "lone high surrogate");
        s->pos += 6;
        cp = 0x10000 + ((cp - 0xd800) << 10) + ((unsigned)low - 0xdc00);
    }
    if (out)
        add_utf8(out, cp);
    return GTM_OK;
}

static int scan_escape(struct scan *s, struct gtm_buf *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    size_t start = s->pos++;
    int c = peek(s);
    if (c == 'u')
        return scan_unicode_escape(s, out);
    const char *at = c > 0 ? strchr(from, c) : NULL;
    if (!at)
        return fail_at(s, start, GTM_EPARSE, "unknown escape in a string");
    s->pos++;
    if (out)
        gtm_buf_addc(out, to[at - from]);
    return GTM_OK;
}

/* A string at its opening quote; its unescaped bytes go to out unless that is NULL. */
static int scan_string(struct scan *s, struct gtm_buf *out)
{
    size_t open = s->pos++;
    for (;;) {
        int c = peek(s), rc = GTM_OK;
        if (c < 0)
            return fail_at(s, open, GTM_EPARSE, "string without an end");
        if (c == '"') {
            s->pos++;
            return GTM_OK;
        }
        if (c == '\\') {
            rc = scan_escape(s, out);
            if (rc != GTM_OK)
                return rc;
            continue;
        }
        if (c < 0x20)
            return fail(s, "control character in a string");
        size_t n = gtm_utf8_len(s->text + s->pos, s->len - s->pos);
        if (n == 0)
            return fail(s, "not UTF-8");
        if (out)
            gtm_buf_add(out, s->text + s->pos, n);
        s->pos += n;
    }
}

static int frame_map_put(struct scan *s, struct frame *f, const struct key *k, bool *ret_seen)
{
    void *old = NULL;
    char *word = gtm_strndup(s->keys_text.data + k->offset, k->len);
    int rc = word ? gtm_map_put(f->map, word, s, &old) : GTM_ENOMEM;
    gtm_free(word);
    *ret_seen = old != NULL;
    return rc;
}

/* Whether the newest key was already there; a map replaces the linear search beyond LINEAR_KEYS. */
static int check_duplicate(struct scan *s, struct frame *f, bool *ret_seen)
{
    const struct key *newest = &s->keys[s->key_count - 1];
    *ret_seen = false;
    if (s->key_count - f->first_key <= LINEAR_KEYS) {
        for (size_t i = f->first_key; i + 1 < s->key_count && !*ret_seen; i++)
            *ret_seen = s->keys[i].len == newest->len &&
                        memcmp(s->keys_text.data + s->keys[i].offset,
                               s->keys_text.data + newest->offset, newest->len) == 0;
        return GTM_OK;
    }
    if (f->map)
        return frame_map_put(s, f, newest, ret_seen);
    f->map = gtm_map_new();
    int rc = f->map ? GTM_OK : GTM_ENOMEM;
    for (size_t i = f->first_key; rc == GTM_OK && i < s->key_count; i++)
        rc = frame_map_put(s, f, &s->keys[i], ret_seen);
    return rc;
}

static int scan_key(struct scan *s, struct frame *f)
{
    size_t start = s->pos;
    if (peek(s) != '"')
        return fail(s, "expected a key in double quotes");
    size_t offset = s->keys_text.len;
    int rc = scan_string(s, &s->keys_text);
    if (rc != GTM_OK)
        return rc;
    gtm_buf_adds(&s->keys_text, ""); /* so that data is there for an empty key too */
    void *keys = s->keys;
    if (!s->keys_text.failed)
        rc = gtm_grow(&keys, &s->key_cap, s->key_count + 1, sizeof(*s->keys));
    s->keys = keys;
    if (s->keys_text.failed || rc != GTM_OK)
        return no_memory(s);
    s->keys[s->key_count++] = (struct key){.offset = offset, .len = s->keys_text.len - offset};
    bool seen;
    if (check_duplicate(s, f, &seen) != GTM_OK)
        return no_memory(s);
    if (seen)
        return fail_at(s, start, GTM_EPARSE, "duplicate key");
    skip_space(s);
    if (peek(s) != ':')
        return fail(s, "expected ':' after the key");
    s->pos++;
    return GTM_OK;
}

/* After a member or element: 1 = another follows, 0 = closed, negative = error. */
static int after_item(struct scan *s, char close)
{
    skip_space(s);
    if (peek(s) == close) {
        s->pos++;
        return 0;
    }
    if (peek(s) != ',')
        return fail(s, close == '}' ? "expected ',' or '}'" : "expected ',' or ']'");
    s->pos++;
    skip_space(s);
    if (peek(s) == close)
        return fail(s, "comma before the closing bracket");
    return 1;
}

static int scan_members(struct scan *s, struct frame *f)
{
    int more = 1;
    while (more > 0) {
        int rc = scan_key(s, f);
        if (rc == GTM_OK)
            rc = scan_value(s);
        if (rc != GTM_OK)
            return rc;
        more = after_item(s, '}');
    }
    return more;
}

static int scan_object(struct scan *s)
{
    struct frame f = {.first_key = s->key_count, .first_text = s->keys_text.len};
    s->pos++;
    skip_space(s);
    if (peek(s) == '}') {
        s->pos++;
        return GTM_OK;
    }
    int rc = scan_members(s, &f);
    gtm_map_free(f.map, NULL);
    s->key_count = f.first_key;
    s->keys_text.len = f.first_text;
    return rc;
}

static int scan_array(struct scan *s)
{
    s->pos++;
    skip_space(s);
    if (peek(s) == ']') {
        s->pos++;
        return GTM_OK;
    }
    int more = 1;
    while (more > 0) {
        int rc = scan_value(s);
        if (rc != GTM_OK)
            return rc;
        more = after_item(s, ']');
    }
    return more;
}

static int scan_value(struct scan *s)
{
    skip_space(s);
    int c = peek(s), rc;
    switch (c) {
    case '{':
    case '[':
        if (s->depth == GTM_JSON_MAX_DEPTH)
            return fail_at(s, s->pos, GTM_ELIMIT, "nested too deeply");
        s->depth++;
        rc = c == '{' ? scan_object(s) : scan_array(s);
        s->depth--;
        return rc;
    case '"':
        return scan_string(s, NULL);
    case 't':
        return scan_word(s, "true");
    case 'f':
        return scan_word(s, "false");
    case 'n':
        return scan_word(s, "null");
    default:
        if (c == '-' || (c >= '0' && c <= '9'))
            return scan_number(s);
        return fail(s, "expected a value");
    }
}

int base__json_scan(const char *text, size_t len, struct base__json_bigints *ret_big,
                    struct gtm_error *err)
{
    struct scan s = {.text = text, .len = len, .big = ret_big, .err = err};
    if (len > GTM_JSON_MAX_BYTES)
        return gtm_error_set(err, GTM_ELIMIT, "JSON text of more than %u bytes",
                             (unsigned)GTM_JSON_MAX_BYTES);
    int rc = scan_value(&s);
    if (rc == GTM_OK) {
        skip_space(&s);
        if (s.pos < s.len)
            rc = fail(&s, "text after the value");
    }
    gtm_buf_fini(&s.keys_text);
    gtm_free(s.keys);
    return rc;
}

void base__json_bigints_fini(struct base__json_bigints *big)
{
    gtm_free(big->items);
    *big = (struct base__json_bigints){0};
}
