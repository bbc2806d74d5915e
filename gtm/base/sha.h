/* SPDX-License-Identifier: Apache-2.0
 *
 * SHA-256 as lower-case hex. Pure, any thread.
 */
#ifndef GTM_BASE_SHA_H
#define GTM_BASE_SHA_H

#include "gtm/base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define GTM_SHA256_HEX_BYTES 65 /* with the NUL */

/* Of len octets. False: OpenSSL has no memory. */
bool gtm_sha256_hex(const void *data, size_t len,
                    char ret_hex[GTM_SHA256_HEX_BYTES]) GTM_MUST_CHECK;
/* Of a, then b (either may be empty). */
bool gtm_sha256_hex2(const void *a, size_t a_len, const void *b, size_t b_len,
                     char ret_hex[GTM_SHA256_HEX_BYTES]) GTM_MUST_CHECK;
/* 64 lower-case hex digits? */
bool gtm_sha256_ok(const char *hex);

#endif
