/* SPDX-License-Identifier: Apache-2.0
 *
 * The growable buffer. One byte beyond len is always kept for the final NUL. See buf.h; no thread
 * of its own.
 */
#include "gtm/base/buf.h"

#include "gtm/base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Makes room for `more` bytes and the NUL; false sets the sticky failure. */
static bool reserve(struct gtm_buf *buf, size_t more)
{
    if (buf->failed)
        return false;
    if (more > SIZE_MAX - buf->len - 1) {
        buf->failed = true;
        return false;
    }
    size_t need = buf->len + more + 1;
    if (need <= buf->cap)
        return true;
    if (buf->cap == 0 && need < 64)
        need = 64;
    void *data = buf->data;
    if (gtm_grow(&data, &buf->cap, need, 1) != GTM_OK) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    return true;
}

void gtm_buf_add(struct gtm_buf *buf, const void *data, size_t len)
{
    if (!reserve(buf, len))
        return;
    if (len > 0)
        memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

void gtm_buf_adds(struct gtm_buf *buf, const char *s)
{
    gtm_buf_add(buf, s, strlen(s));
}

void gtm_buf_addc(struct gtm_buf *buf, char c)
{
    gtm_buf_add(buf, &c, 1);
}

void gtm_buf_addf(struct gtm_buf *buf, const char *fmt, ...)
{
    if (!reserve(buf, 0))
        return;
    size_t room = buf->cap - buf->len;
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(buf->data + buf->len, room, fmt, args);
    va_end(args);
    if (len < 0) {
        buf->data[buf->len] = '\0';
        buf->failed = true;
        return;
    }
    if ((size_t)len >= room) {
        if (!reserve(buf, (size_t)len)) {
            buf->data[buf->len] = '\0'; /* no half-written text after a failure */
            return;
        }
        va_start(args, fmt);
        vsnprintf(buf->data + buf->len, (size_t)len + 1, fmt, args);
        va_end(args);
    }
    buf->len += (size_t)len;
}

char *gtm_buf_take(struct gtm_buf *buf)
{
    char *out = NULL;
    if (reserve(buf, 0)) {
        out = buf->data;
        out[buf->len] = '\0';
        buf->data = NULL;
    }
    gtm_buf_fini(buf);
    return out;
}

void gtm_buf_clear(struct gtm_buf *buf)
{
    buf->len = 0;
    buf->failed = false;
    if (buf->data)
        buf->data[0] = '\0';
}

void gtm_buf_fini(struct gtm_buf *buf)
{
    gtm_free(buf->data);
    *buf = (struct gtm_buf){0};
}
