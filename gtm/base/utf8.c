/* SPDX-License-Identifier: Apache-2.0
 *
 * UTF-8 checking by the ranges of RFC 3629 section 4. See utf8.h; pure, any thread.
 */
#include "gtm/base/utf8.h"

size_t gtm_utf8_len(const char *s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s;
    if (n == 0)
        return 0;
    if (p[0] < 0x80)
        return 1;
    size_t len;
    unsigned char low = 0x80, high = 0xbf; /* what the second byte may be */
    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        len = 2;
    } else if (p[0] >= 0xe0 && p[0] <= 0xef) {
        len = 3;
        if (p[0] == 0xe0)
            low = 0xa0;
        else if (p[0] == 0xed)
            high = 0x9f;
    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        len = 4;
        if (p[0] == 0xf0)
            low = 0x90;
        else if (p[0] == 0xf4)
            high = 0x8f;
    } else {
        return 0;
    }
    if (n < len || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

void gtm_utf8_repair(struct gtm_buf *buf, const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t good = i;
        while (good < n) {
            size_t len = gtm_utf8_len(s + good, n - good);
            if (len == 0)
                break;
            good += len;
        }
        gtm_buf_add(buf, s + i, good - i);
        i = good;
        if (i < n) {
            gtm_buf_add(buf, "\xef\xbf\xbd", 3);
            i++;
        }
    }
}
