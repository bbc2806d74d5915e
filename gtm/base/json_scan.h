/* SPDX-License-Identifier: Apache-2.0
 *
 * The strict check that runs before cJSON sees a text: RFC 8259 grammar, UTF-8, depth, duplicate
 * keys, U+0000, numbers. It builds nothing but a list of the integers that a double would round.
 * Only json.c and json_print.c include this.
 */
#ifndef GTM_BASE_JSON_SCAN_H
#define GTM_BASE_JSON_SCAN_H

#include "gtm/base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* An integer whose digits must be kept: the ordinal among all numbers of the text, in document
 * order. */
struct base__json_bigint {
    size_t ordinal;
    size_t offset, len;
};

/* Zero-initialise, then base__json_bigints_fini. */
struct base__json_bigints {
    struct base__json_bigint *items;
    size_t count, cap;
};

/* 0, or GTM_EPARSE / GTM_ELIMIT / GTM_ENOMEM with line and column (both 1-based; columns count
 * characters). */
int base__json_scan(const char *text, size_t len, struct base__json_bigints *ret_big,
                    struct gtm_error *err) GTM_MUST_CHECK;
void base__json_bigints_fini(struct base__json_bigints *big);

/* For the printer: the digits of an integer that is kept as text, else NULL; and whether an
 * addition to it failed. */
struct gtm_json;
const char *base__json_raw_digits(const struct gtm_json *value);
bool base__json_is_incomplete(const struct gtm_json *value);

#endif
