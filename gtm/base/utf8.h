/* SPDX-License-Identifier: Apache-2.0
 *
 * UTF-8 as RFC 3629 has it (no overlong forms, no surrogates, nothing above U+10FFFF), for what
 * writes or checks text from outside. Pure, thread-safe, no allocation.
 */
#ifndef GTM_BASE_UTF8_H
#define GTM_BASE_UTF8_H

#include "gtm/base/buf.h"

#include <stddef.h>

/* The length (1 to 4) of the well-formed sequence at s, or 0 when the first of n bytes starts none;
 * n may be 0. */
size_t gtm_utf8_len(const char *s, size_t n);

/* Appends s with every byte that is in no well-formed sequence replaced by U+FFFD. */
void gtm_utf8_repair(struct gtm_buf *buf, const char *s, size_t n);

#endif
