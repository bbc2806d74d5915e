/* SPDX-License-Identifier: Apache-2.0
 *
 * Domain names in wire form (RFC 1035 3.1): length-prefixed labels ending in the root label. Pure,
 * thread-safe, no allocation. "Canonical" means ASCII letters lowered (RFC 4343).
 */
#ifndef DNS_NAME_H
#define DNS_NAME_H

#include "gtm/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_NAME_MAX      255 /* octets, root label included */
#define DNS_LABEL_MAX     63
#define DNS_LABELS_MAX    128  /* root included */
#define DNS_NAME_TEXT_MAX 1009 /* bytes of the longest presentation form with NUL */

/* Text (RFC 1035 5.1 escapes \. and \DDD) → wire. A name without a final dot gets `origin` (wire)
 * appended; origin NULL: it is taken as absolute. "@" alone is the origin. Case is kept. *ret_len =
 * octets. GTM_EPARSE with a text that says what is wrong. */
int dns_name_parse(const char *text, size_t text_len, const uint8_t *origin,
                   uint8_t out[DNS_NAME_MAX], size_t *ret_len,
                   struct gtm_error *err) GTM_MUST_CHECK;

/* Wire → text with a final dot ("." for the root), escaping what needs it. Returns out. The name
 * must be valid. */
const char *dns_name_text(const uint8_t *name, char out[DNS_NAME_TEXT_MAX]);

/* Octets of a valid uncompressed name. */
size_t dns_name_len(const uint8_t *name);
/* Octets of the uncompressed name at data[0..len), or 0 when it is malformed, compressed, cut off
 * or too long. */
size_t dns_name_check(const uint8_t *data, size_t len);
/* Labels without the root. */
unsigned dns_name_labels(const uint8_t *name);
/* Copies with ASCII letters lowered; returns the length. dst may be src. */
size_t dns_name_lower(const uint8_t *src, uint8_t *dst);
/* Case-insensitive equality. */
bool dns_name_equal(const uint8_t *a, const uint8_t *b);
/* Is `name` equal to or below `ancestor`? Case-insensitive. */
bool dns_name_under(const uint8_t *name, const uint8_t *ancestor);
/* Canonical order of RFC 4034 6.1: <0, 0, >0. */
int dns_name_compare(const uint8_t *a, const uint8_t *b);

#endif
