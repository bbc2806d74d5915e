/* SPDX-License-Identifier: Apache-2.0
 *
 * A growable text/byte buffer that stays NUL-terminated. Errors are sticky: after an allocation
 * failure every append is ignored and `failed` is set, so that callers check once at the end. Not
 * thread-safe.
 */
#ifndef GTM_BASE_BUF_H
#define GTM_BASE_BUF_H

#include "gtm/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialise, then gtm_buf_fini. */
struct gtm_buf {
    char *data; /* NULL while empty */
    size_t len, cap;
    bool failed;
};

void gtm_buf_add(struct gtm_buf *buf, const void *data, size_t len);
void gtm_buf_adds(struct gtm_buf *buf, const char *s);
void gtm_buf_addc(struct gtm_buf *buf, char c);
void gtm_buf_addf(struct gtm_buf *buf, const char *fmt, ...) GTM_PRINTF(2, 3);
/* Hands the bytes (never NULL on success) to the caller and empties buf; NULL after a failure. */
char *gtm_buf_take(struct gtm_buf *buf);
/* Empties buf for reuse, keeping its room; forgets a failure. */
void gtm_buf_clear(struct gtm_buf *buf);
void gtm_buf_fini(struct gtm_buf *buf);

#endif
