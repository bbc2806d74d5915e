/* SPDX-License-Identifier: Apache-2.0
 *
 * Strict JSON (RFC 8259) over cJSON, which alone is too lax: trailing text, duplicate keys, \u0000,
 * bad UTF-8, depth over GTM_JSON_MAX_DEPTH and numbers that are no finite double are refused; keys
 * are case-sensitive; integers beyond 2^53 keep their digits (get them with gtm_json_i64 or as
 * text). Nobody else includes cJSON (lint). A value belongs to one thread; children belong to their
 * parent.
 */
#ifndef GTM_BASE_JSON_H
#define GTM_BASE_JSON_H

#include "gtm/base/buf.h"
#include "gtm/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GTM_JSON_MAX_DEPTH 64
#define GTM_JSON_MAX_BYTES (64u << 20)

struct gtm_json; /* any value */

/* Parses one value that fills text[0..len); err gets line and column. NULL on failure. Texts over
 * GTM_JSON_MAX_BYTES and numbers of more than 63 characters are refused. */
struct gtm_json *gtm_json_parse(const char *text, size_t len, struct gtm_error *err);
void gtm_json_free(struct gtm_json *value); /* only of roots; NULL is fine */

enum gtm_json_type {
    GTM_JSON_NULL = 0,
    GTM_JSON_BOOL,
    GTM_JSON_NUMBER,
    GTM_JSON_STRING,
    GTM_JSON_ARRAY,
    GTM_JSON_OBJECT
};
enum gtm_json_type gtm_json_type(const struct gtm_json *value); /* NULL counts as GTM_JSON_NULL */

/* Getters accept NULL objects and give the default on absence or another type. */
struct gtm_json *gtm_json_get(const struct gtm_json *object, const char *key);
const char *gtm_json_str(const struct gtm_json *object, const char *key, const char *fallback);
double gtm_json_num(const struct gtm_json *object, const char *key, double fallback);
int64_t gtm_json_i64(const struct gtm_json *object, const char *key, int64_t fallback);
bool gtm_json_bool(const struct gtm_json *object, const char *key, bool fallback);
const char *gtm_json_as_str(const struct gtm_json *value); /* NULL when it is no string */
double gtm_json_as_num(const struct gtm_json *value, double fallback);
/* The fallback also for fractions and for what does not fit. */
int64_t gtm_json_as_i64(const struct gtm_json *value, int64_t fallback);
bool gtm_json_as_bool(const struct gtm_json *value, bool fallback);
/* Elements of an array or members of an object, by walking: first child, then next. */
size_t gtm_json_count(const struct gtm_json *value);
struct gtm_json *gtm_json_first(const struct gtm_json *value);
struct gtm_json *gtm_json_next(const struct gtm_json *value);
const char *gtm_json_key(const struct gtm_json *member); /* NULL in arrays */
/* RFC 6901 pointer ("/a/0/b"); NULL when absent or malformed. */
struct gtm_json *gtm_json_pointer(const struct gtm_json *root, const char *pointer);

/* Builders: a NULL parent or a failed allocation is ignored and makes the root incomplete: the root
 * then prints as NULL. Adding takes ownership of child. Strings that are not UTF-8 are repaired
 * with U+FFFD. */
struct gtm_json *gtm_json_object(void);
struct gtm_json *gtm_json_array(void);
void gtm_json_add(struct gtm_json *object, const char *key, struct gtm_json *child);
void gtm_json_append(struct gtm_json *array, struct gtm_json *child);
struct gtm_json *gtm_json_add_object(struct gtm_json *object, const char *key);
struct gtm_json *gtm_json_add_array(struct gtm_json *object, const char *key);
struct gtm_json *gtm_json_append_object(struct gtm_json *array);
void gtm_json_add_str(struct gtm_json *object, const char *key, const char *s); /* NULL → null */
void gtm_json_add_i64(struct gtm_json *object, const char *key, int64_t v);
void gtm_json_add_num(struct gtm_json *object, const char *key, double v);
void gtm_json_add_bool(struct gtm_json *object, const char *key, bool v);
void gtm_json_add_null(struct gtm_json *object, const char *key);
void gtm_json_append_str(struct gtm_json *array, const char *s);
void gtm_json_append_i64(struct gtm_json *array, int64_t v);
/* A deep copy, or NULL. */
struct gtm_json *gtm_json_copy(const struct gtm_json *value);
/* A new string (gtm_free); pretty = two-space indent. NULL when out of memory or incomplete. */
char *gtm_json_print(const struct gtm_json *value, bool pretty);
/* Appends s as a quoted, escaped JSON string. */
void gtm_json_quote(struct gtm_buf *buf, const char *s, size_t len);

#endif
