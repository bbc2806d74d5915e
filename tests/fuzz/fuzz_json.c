/* SPDX-License-Identifier: Apache-2.0
 *
 * What the strict JSON reader accepts must print, read back, and print the same; both layouts must
 * mean the same; and what it refuses must have a place and a text. Getters and pointers are run
 * over whatever came out.
 */
#include "gtm/base/json.h"
#include "gtm/base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void must(bool good)
{
    if (!good)
        abort();
}

static void touch(const struct gtm_json *value)
{
    (void)gtm_json_as_num(value, 0);
    (void)gtm_json_as_i64(value, 0);
    (void)gtm_json_as_bool(value, false);
    (void)gtm_json_as_str(value);
    size_t n = 0;
    for (const struct gtm_json *child = gtm_json_first(value); child;
         child = gtm_json_next(child)) {
        if (gtm_json_type(value) == GTM_JSON_OBJECT) /* keys are unique, so each finds itself */
            must(n > 50 || gtm_json_get(value, gtm_json_key(child)) == child);
        touch(child);
        n++;
    }
    must(n == gtm_json_count(value));
}

static struct gtm_json *reparse(const char *text)
{
    struct gtm_error err = {0};
    struct gtm_json *json = gtm_json_parse(text, strlen(text), &err);
    must(json != NULL);
    return json;
}

/* The same values in the same order. */
static bool same(const struct gtm_json *a, const struct gtm_json *b)
{
    if (gtm_json_type(a) != gtm_json_type(b) || gtm_json_as_num(a, 0) != gtm_json_as_num(b, 0) ||
        gtm_json_as_i64(a, 7) != gtm_json_as_i64(b, 7) ||
        gtm_json_as_bool(a, false) != gtm_json_as_bool(b, false))
        return false;
    const char *x = gtm_json_as_str(a), *y = gtm_json_as_str(b);
    if ((x || y) && strcmp(x, y) != 0)
        return false;
    a = gtm_json_first(a);
    b = gtm_json_first(b);
    for (; a && b; a = gtm_json_next(a), b = gtm_json_next(b)) {
        const char *j = gtm_json_key(a), *k = gtm_json_key(b);
        if (((j || k) && strcmp(j, k) != 0) || !same(a, b))
            return false;
    }
    return !a && !b;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gtm_error err = {0};
    char *exact = malloc(size ? size : 1); /* no NUL behind it */
    if (!exact)
        return 0;
    memcpy(exact, data, size);
    struct gtm_json *json = gtm_json_parse(exact, size, &err);
    free(exact);
    if (!json) {
        must(err.code < 0 && err.text[0] && err.line > 0 && err.col > 0);
        return 0;
    }
    must(err.code == 0);
    touch(json);
    char *flat = gtm_json_print(json, false), *pretty = gtm_json_print(json, true);
    must(flat && pretty);
    struct gtm_json *again = reparse(flat), *from_pretty = reparse(pretty);
    must(same(json, again) && same(json, from_pretty));
    char *flat_again = gtm_json_print(again, false),
         *pretty_again = gtm_json_print(from_pretty, true);
    must(flat_again && strcmp(flat, flat_again) == 0);
    must(pretty_again && strcmp(pretty, pretty_again) == 0);
    gtm_free(flat);
    gtm_free(pretty);
    gtm_free(flat_again);
    gtm_free(pretty_again);
    gtm_json_free(json);
    gtm_json_free(again);
    gtm_json_free(from_pretty);
    return 0;
}
