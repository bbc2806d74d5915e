/* SPDX-License-Identifier: Apache-2.0
 *
 * See doc_int.h.
 */
#include "gtm/base/utf8.h"
#include "gtm/model/doc_int.h"

#include <inttypes.h>
#include <string.h>

size_t gtm__doc_fit(const char *s, size_t room)
{
    size_t len = 0, all = s ? strlen(s) : 0, step;
    if (all < room)
        return all;
    while ((step = gtm_utf8_len(s + len, all - len)) > 0 && len + step < room)
        len += step;
    return len;
}

void gtm__doc_quote(struct gtm_buf *buf, const char *s, size_t room)
{
    struct gtm_buf whole = {0};
    size_t len = s ? strlen(s) : 0, ok = 0, step;
    while (ok < len && (step = gtm_utf8_len(s + ok, len - ok)) > 0)
        ok += step;
    if (ok < len) {
        gtm_utf8_repair(&whole, s, len);
        buf->failed |= whole.failed;
        s = whole.data;
    }
    gtm_json_quote(buf, s ? s : "", gtm__doc_fit(s, room));
    gtm_buf_fini(&whole);
}

void gtm__doc_add_i64(struct gtm_buf *buf, const char *key, int64_t value)
{
    gtm_buf_addf(buf, ",\"%s\":%" PRId64, key, value);
}

bool gtm__doc_name_ok(const char *name)
{
    size_t len = name ? strlen(name) : 0, at = 0, step;
    if (len == 0 || len > GTM_NAME_MAX)
        return false;
    while (at < len && (step = gtm_utf8_len(name + at, len - at)) > 0)
        at += step;
    return at == len;
}

const char *gtm__doc_family(unsigned family)
{
    return family == GTM_FAMILY_V4 ? "4" : "6";
}

int gtm__doc_family_of(const char *key)
{
    if (strcmp(key, "4") == 0)
        return GTM_FAMILY_V4;
    return strcmp(key, "6") == 0 ? GTM_FAMILY_V6 : -1;
}

int gtm__doc_print(struct gtm_buf *buf, size_t max,
                   void (*print)(struct gtm_buf *buf, const void *arg, bool texts), const void *arg)
{
    size_t start = buf->len;
    for (int texts = 1; texts >= 0; texts--) {
        print(buf, arg, texts);
        if (buf->failed)
            return GTM_ENOMEM;
        if (buf->len - start <= max)
            return GTM_OK;
        buf->len = start;
        buf->data[start] = '\0';
    }
    return GTM_ELIMIT;
}

struct gtm_json *gtm__doc_parse(const char *text, size_t len, size_t max, int64_t format,
                                const char *what, int *ret_rc, struct gtm_error *err)
{
    struct gtm_error inner = {0};
    if (len > max) {
        *ret_rc =
            gtm_error_set(err, GTM_ELIMIT, "%s of %zu bytes: at most %zu are read", what, len, max);
        return NULL;
    }
    struct gtm_json *root = gtm_json_parse(text, len, &inner);
    if (!root) {
        *ret_rc = inner.code == GTM_ENOMEM ? GTM_ENOMEM : GTM_EPARSE;
        *ret_rc =
            gtm_error_at(err, *ret_rc, NULL, inner.line, inner.col, "%s: %s", what, inner.text);
        return NULL;
    }
    int64_t v = gtm_json_i64(root, "v", 0);
    if (v > format)
        *ret_rc = gtm_error_set(err, GTM_EUNSUPPORTED,
                                "%s of format %" PRId64 ": this build reads up to %" PRId64, what,
                                v, format);
    else if (v < 1)
        *ret_rc = gtm_error_set(err, GTM_EPARSE, "%s: \"v\" is no format number", what);
    else
        return root;
    gtm_json_free(root);
    return NULL;
}

const char *gtm__doc_keep(struct gtm__doc_texts *texts, const char *s, size_t room)
{
    size_t len = gtm__doc_fit(s, room);
    char *kept = texts->at;
    if (len >= (size_t)(texts->end - texts->at)) /* never: see the struct */
        return "";
    memcpy(kept, s, len);
    kept[len] = '\0';
    texts->at += len + 1;
    return kept;
}

/* --- members --- */

int gtm__doc_uint(const struct gtm_json *value, const char *name, int64_t max, int64_t *ret,
                  struct gtm_error *err)
{
    int64_t n = gtm_json_as_i64(value, -1);
    if (n < 0 || n > max)
        return gtm_error_set(err, GTM_EPARSE, "\"%s\" must be an integer from 0 to %" PRId64, name,
                             max);
    *ret = n;
    return GTM_OK;
}

int gtm__doc_i64(const struct gtm_json *object, const char *key, int64_t *ret,
                 struct gtm_error *err)
{
    return gtm__doc_uint(gtm_json_get(object, key), key, INT64_MAX, ret, err);
}

int gtm__doc_name(const struct gtm_json *object, const char *key, char *out, size_t out_bytes,
                  struct gtm_error *err)
{
    const char *s = gtm_json_str(object, key, NULL);
    if (!s || !gtm__doc_name_ok(s) || strlen(s) >= out_bytes)
        return gtm_error_set(err, GTM_EPARSE, "\"%s\" must be a name of 1 to %d bytes", key,
                             GTM_NAME_MAX);
    memcpy(out, s, strlen(s) + 1);
    return GTM_OK;
}

int gtm__doc_bool(const struct gtm_json *object, const char *key, bool *ret, struct gtm_error *err)
{
    const struct gtm_json *value = gtm_json_get(object, key);
    if (value && gtm_json_type(value) != GTM_JSON_BOOL)
        return gtm_error_set(err, GTM_EPARSE, "\"%s\" must be true or false", key);
    *ret = gtm_json_as_bool(value, *ret);
    return GTM_OK;
}

int gtm__doc_member(const struct gtm_json *object, const char *key, enum gtm_json_type type,
                    const struct gtm_json **ret, struct gtm_error *err)
{
    *ret = gtm_json_get(object, key);
    if (*ret && gtm_json_type(*ret) != type)
        return gtm_error_set(err, GTM_EPARSE, "\"%s\" must be %s", key,
                             type == GTM_JSON_OBJECT ? "an object" : "an array");
    return GTM_OK;
}
