/* SPDX-License-Identifier: Apache-2.0
 *
 * Strict JSON: json_scan.c checks the text, cJSON builds the tree. An integer that a double would
 * round is kept as a cJSON "raw" node with its digits, and counts as a number here. See json.h; a
 * value belongs to one thread.
 */
#include "gtm/base/json.h"

#include "gtm/base/json_scan.h"
#include "gtm/base/mem.h"
#include "gtm/base/utf8.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TYPE_MASK  0xff
#define INCOMPLETE (1 << 20) /* our own bit in cJSON's type; cJSON itself uses the lowest ten */

static pthread_once_t hooks_once = PTHREAD_ONCE_INIT;

static void install_hooks(void)
{
    cJSON_Hooks hooks = {.malloc_fn = gtm_malloc, .free_fn = gtm_free};
    cJSON_InitHooks(&hooks);
}

static void ready(void)
{
    pthread_once(&hooks_once, install_hooks);
}

static cJSON *node(struct gtm_json *value)
{
    return (cJSON *)value;
}

static const cJSON *cnode(const struct gtm_json *value)
{
    return (const cJSON *)value;
}

static struct gtm_json *value_of(cJSON *item)
{
    return (struct gtm_json *)item;
}

/* Walks the tree in document order and gives the big integers their digits back. */
static int restore_bigints(cJSON *item, const char *text, const struct base__json_bigints *big,
                           size_t *number, size_t *next)
{
    if (cJSON_IsNumber(item)) {
        size_t ordinal = (*number)++;
        if (*next >= big->count || big->items[*next].ordinal != ordinal)
            return GTM_OK;
        const struct base__json_bigint *b = &big->items[(*next)++];
        item->valuestring = gtm_strndup(text + b->offset, b->len);
        if (!item->valuestring)
            return GTM_ENOMEM;
        item->type = (item->type & ~TYPE_MASK) | cJSON_Raw;
        return GTM_OK;
    }
    for (cJSON *child = item->child; child && *next < big->count; child = child->next) {
        int rc = restore_bigints(child, text, big, number, next);
        if (rc != GTM_OK)
            return rc;
    }
    return GTM_OK;
}

struct gtm_json *gtm_json_parse(const char *text, size_t len, struct gtm_error *err)
{
    ready();
    struct base__json_bigints big = {0};
    cJSON *root = NULL;
    if (base__json_scan(text, len, &big, err) != GTM_OK)
        goto out;
    root = cJSON_ParseWithLengthOpts(text, len, NULL, 0);
    size_t number = 0, next = 0;
    if (!root || restore_bigints(root, text, &big, &number, &next) != GTM_OK) {
        /* The text was found good, so only memory can be missing. */
        gtm_error_set(err, GTM_ENOMEM, "%s", gtm_err_text(GTM_ENOMEM));
        cJSON_Delete(root);
        root = NULL;
    }
out:
    base__json_bigints_fini(&big);
    return value_of(root);
}

void gtm_json_free(struct gtm_json *value)
{
    cJSON_Delete(node(value));
}

enum gtm_json_type gtm_json_type(const struct gtm_json *value)
{
    if (!value)
        return GTM_JSON_NULL;
    switch (cnode(value)->type & TYPE_MASK) {
    case cJSON_True:
    case cJSON_False:
        return GTM_JSON_BOOL;
    case cJSON_Number:
    case cJSON_Raw:
        return GTM_JSON_NUMBER;
    case cJSON_String:
        return GTM_JSON_STRING;
    case cJSON_Array:
        return GTM_JSON_ARRAY;
    case cJSON_Object:
        return GTM_JSON_OBJECT;
    default:
        return GTM_JSON_NULL;
    }
}

struct gtm_json *gtm_json_get(const struct gtm_json *object, const char *key)
{
    if (gtm_json_type(object) != GTM_JSON_OBJECT)
        return NULL;
    for (cJSON *child = cnode(object)->child; child; child = child->next)
        if (child->string && strcmp(child->string, key) == 0)
            return value_of(child);
    return NULL;
}

const char *gtm_json_as_str(const struct gtm_json *value)
{
    return gtm_json_type(value) == GTM_JSON_STRING ? cnode(value)->valuestring : NULL;
}

double gtm_json_as_num(const struct gtm_json *value, double fallback)
{
    return gtm_json_type(value) == GTM_JSON_NUMBER ? cnode(value)->valuedouble : fallback;
}

int64_t gtm_json_as_i64(const struct gtm_json *value, int64_t fallback)
{
    if (gtm_json_type(value) != GTM_JSON_NUMBER)
        return fallback;
    const cJSON *item = cnode(value);
    if ((item->type & TYPE_MASK) == cJSON_Raw) {
        errno = 0;
        long long v = strtoll(item->valuestring, NULL, 10);
        return errno == ERANGE ? fallback : (int64_t)v;
    }
    double d = item->valuedouble;
    /* 2^63 itself is a double, INT64_MAX is not. */
    if (!(d >= -9223372036854775808.0 && d < 9223372036854775808.0) || d != (double)(int64_t)d)
        return fallback;
    return (int64_t)d;
}

bool gtm_json_as_bool(const struct gtm_json *value, bool fallback)
{
    return gtm_json_type(value) == GTM_JSON_BOOL ? cJSON_IsTrue(cnode(value)) : fallback;
}

const char *gtm_json_str(const struct gtm_json *object, const char *key, const char *fallback)
{
    const char *s = gtm_json_as_str(gtm_json_get(object, key));
    return s ? s : fallback;
}

double gtm_json_num(const struct gtm_json *object, const char *key, double fallback)
{
    return gtm_json_as_num(gtm_json_get(object, key), fallback);
}

int64_t gtm_json_i64(const struct gtm_json *object, const char *key, int64_t fallback)
{
    return gtm_json_as_i64(gtm_json_get(object, key), fallback);
}

bool gtm_json_bool(const struct gtm_json *object, const char *key, bool fallback)
{
    return gtm_json_as_bool(gtm_json_get(object, key), fallback);
}

struct gtm_json *gtm_json_first(const struct gtm_json *value)
{
    return value ? value_of(cnode(value)->child) : NULL;
}

struct gtm_json *gtm_json_next(const struct gtm_json *value)
{
    return value ? value_of(cnode(value)->next) : NULL;
}

const char *gtm_json_key(const struct gtm_json *member)
{
    return member ? cnode(member)->string : NULL;
}

size_t gtm_json_count(const struct gtm_json *value)
{
    size_t n = 0;
    for (const struct gtm_json *child = gtm_json_first(value); child; child = gtm_json_next(child))
        n++;
    return n;
}

/* An RFC 6901 array index: digits without leading zeros; -1 for anything else ("-" too). */
static long pointer_index(const char *token, size_t len)
{
    long index = 0;
    if (len == 0 || len > 9 || (token[0] == '0' && len > 1))
        return -1;
    for (size_t i = 0; i < len; i++) {
        if (token[i] < '0' || token[i] > '9')
            return -1;
        index = index * 10 + (token[i] - '0');
    }
    return index;
}

/* Whether key equals the pointer token with ~0 and ~1 undone; false on a malformed escape. */
static bool token_is(const char *token, size_t len, const char *key)
{
    size_t i = 0;
    for (; i < len && *key; i++, key++) {
        char c = token[i];
        if (c == '~') {
            if (++i == len || (token[i] != '0' && token[i] != '1'))
                return false;
            c = token[i] == '0' ? '~' : '/';
        }
        if (c != *key)
            return false;
    }
    return i == len && !*key;
}

struct gtm_json *gtm_json_pointer(const struct gtm_json *root, const char *pointer)
{
    const struct gtm_json *at = root;
    while (at && *pointer) {
        if (*pointer != '/')
            return NULL;
        const char *token = ++pointer;
        size_t len = strcspn(pointer, "/");
        pointer += len;
        const struct gtm_json *child = gtm_json_first(at);
        if (gtm_json_type(at) == GTM_JSON_ARRAY) {
            long index = pointer_index(token, len);
            while (child && index > 0) {
                child = gtm_json_next(child);
                index--;
            }
            at = index == 0 ? child : NULL;
        } else if (gtm_json_type(at) == GTM_JSON_OBJECT) {
            while (child && !token_is(token, len, gtm_json_key(child)))
                child = gtm_json_next(child);
            at = child;
        } else {
            at = NULL;
        }
    }
    return (struct gtm_json *)(uintptr_t)at;
}

struct gtm_json *gtm_json_copy(const struct gtm_json *value)
{
    ready();
    return value ? value_of(cJSON_Duplicate(cnode(value), 1)) : NULL;
}

/* --- builders --- */

static void spoil(struct gtm_json *container)
{
    if (container)
        node(container)->type |= INCOMPLETE;
}

struct gtm_json *gtm_json_object(void)
{
    ready();
    return value_of(cJSON_CreateObject());
}

struct gtm_json *gtm_json_array(void)
{
    ready();
    return value_of(cJSON_CreateArray());
}

/* A copy of s that is UTF-8, or NULL. */
static char *clean_text(const char *s)
{
    struct gtm_buf buf = {0};
    gtm_utf8_repair(&buf, s, strlen(s));
    return gtm_buf_take(&buf);
}

void gtm_json_add(struct gtm_json *object, const char *key, struct gtm_json *child)
{
    char *clean =
        object && child && gtm_json_type(object) == GTM_JSON_OBJECT ? clean_text(key) : NULL;
    if (!clean || !cJSON_AddItemToObject(node(object), clean, node(child))) {
        gtm_json_free(child);
        spoil(object);
    }
    gtm_free(clean);
}

void gtm_json_append(struct gtm_json *array, struct gtm_json *child)
{
    if (!array || !child || gtm_json_type(array) != GTM_JSON_ARRAY ||
        !cJSON_AddItemToArray(node(array), node(child))) {
        gtm_json_free(child);
        spoil(array);
    }
}

/* NULL when it could not be attached, in which case it is freed. */
static struct gtm_json *attach(struct gtm_json *object, const char *key, struct gtm_json *child)
{
    gtm_json_add(object, key, child);
    return object && child && !(node(object)->type & INCOMPLETE) ? child : NULL;
}

struct gtm_json *gtm_json_add_object(struct gtm_json *object, const char *key)
{
    return attach(object, key, gtm_json_object());
}

struct gtm_json *gtm_json_add_array(struct gtm_json *object, const char *key)
{
    return attach(object, key, gtm_json_array());
}

struct gtm_json *gtm_json_append_object(struct gtm_json *array)
{
    struct gtm_json *child = gtm_json_object();
    gtm_json_append(array, child);
    return array && child && !(node(array)->type & INCOMPLETE) ? child : NULL;
}

static struct gtm_json *new_str(const char *s)
{
    ready();
    if (!s)
        return value_of(cJSON_CreateNull());
    char *clean = clean_text(s);
    cJSON *item = clean ? cJSON_CreateString(clean) : NULL;
    gtm_free(clean);
    return value_of(item);
}

static struct gtm_json *new_i64(int64_t v)
{
    ready();
    if (v >= -(1LL << 53) && v <= 1LL << 53)
        return value_of(cJSON_CreateNumber((double)v));
    char digits[24];
    snprintf(digits, sizeof(digits), "%lld", (long long)v);
    cJSON *item = cJSON_CreateRaw(digits);
    if (item)
        item->valuedouble = (double)v;
    return value_of(item);
}

void gtm_json_add_str(struct gtm_json *object, const char *key, const char *s)
{
    gtm_json_add(object, key, new_str(s));
}

void gtm_json_add_i64(struct gtm_json *object, const char *key, int64_t v)
{
    gtm_json_add(object, key, new_i64(v));
}

void gtm_json_add_num(struct gtm_json *object, const char *key, double v)
{
    ready();
    gtm_json_add(object, key, value_of(cJSON_CreateNumber(v)));
}

void gtm_json_add_bool(struct gtm_json *object, const char *key, bool v)
{
    ready();
    gtm_json_add(object, key, value_of(cJSON_CreateBool(v)));
}

void gtm_json_add_null(struct gtm_json *object, const char *key)
{
    ready();
    gtm_json_add(object, key, value_of(cJSON_CreateNull()));
}

void gtm_json_append_str(struct gtm_json *array, const char *s)
{
    gtm_json_append(array, new_str(s));
}

void gtm_json_append_i64(struct gtm_json *array, int64_t v)
{
    gtm_json_append(array, new_i64(v));
}

bool base__json_is_incomplete(const struct gtm_json *value)
{
    return cnode(value)->type & INCOMPLETE;
}

const char *base__json_raw_digits(const struct gtm_json *value)
{
    return (cnode(value)->type & TYPE_MASK) == cJSON_Raw ? cnode(value)->valuestring : NULL;
}
