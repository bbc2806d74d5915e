/* SPDX-License-Identifier: Apache-2.0
 *
 * Load reports: numbers that an endpoint says of itself, found by JSON pointers (RFC 6901) in what
 * it answers. Pure; any thread.
 */
#ifndef GTM_HEALTH_LOAD_H
#define GTM_HEALTH_LOAD_H

#include "gtm/base/json.h"
#include "health/health.h"

#include <stdbool.h>
#include <stddef.h>

/* Reads the numbers that the pointers name (NULL = not wanted) out of root. Numbers, and strings
 * that hold nothing but one, count when they are finite and ≥ 0. ret_load gets `has` and `value` of
 * those that were found, the rest 0. GTM_OK when all that is wanted was there; GTM_EPARSE with a
 * short text that names the first pointer whose number is missing (which is fine unless `all` is
 * asked for) or wrong. */
int health_load_read(const struct gtm_json *root, const char *const pointers[GTM_LOAD_COUNT],
                     bool all, struct health_load *ret_load, struct gtm_error *err) GTM_MUST_CHECK;

/* All of them out of a text of at most HEALTH_BODY_MAX bytes. GTM_EPARSE also when it is
 * no JSON. */
int health_load_parse(const char *body, size_t len, const char *const pointers[GTM_LOAD_COUNT],
                      struct health_load *ret_load, struct gtm_error *err) GTM_MUST_CHECK;

#endif
