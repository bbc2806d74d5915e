/* SPDX-License-Identifier: Apache-2.0
 *
 * SHA-256 as lower-case hex. Pure, any thread.
 */
#ifndef GTM_COORD_SHA_H
#define GTM_COORD_SHA_H

#include <stdbool.h>
#include <stddef.h>

#define COORD__SHA_TEXT 65

/* The hash of a, then b (either may be empty). False when OpenSSL has no memory. */
bool coord__sha256(const void *a, size_t a_len, const void *b, size_t b_len,
                   char out[COORD__SHA_TEXT]);

#endif
