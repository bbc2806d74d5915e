/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests as JSON. The gateway ignores members that it does not know: a wrong letter in
 * "range_end" would read one key and say nothing, so names are written here and nowhere else.
 */
#include "gtm/etcdc/call_int.h"

#include <inttypes.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void etcdc__base64(struct gtm_buf *out, struct etcdc_buf value)
{
    const uint8_t *p = value.p;
    char piece[256]; /* whole quadruples */
    size_t used = 0;
    for (size_t i = 0; i < value.n; i += 3) {
        size_t left = value.n - i;
        uint32_t v = (uint32_t)p[i] << 16;
        v |= left > 1 ? (uint32_t)p[i + 1] << 8 : 0;
        v |= left > 2 ? p[i + 2] : 0;
        piece[used++] = alphabet[v >> 18];
        piece[used++] = alphabet[(v >> 12) & 63];
        piece[used++] = left > 1 ? alphabet[(v >> 6) & 63] : '=';
        piece[used++] = left > 2 ? alphabet[v & 63] : '=';
        if (used == sizeof(piece)) {
            gtm_buf_add(out, piece, used);
            used = 0;
        }
    }
    gtm_buf_add(out, piece, used);
}

void etcdc__put_name(struct gtm_buf *out, const char *name)
{
    char last = out->len ? out->data[out->len - 1] : '{';
    if (last != '{' && last != '[')
        gtm_buf_addc(out, ',');
    gtm_buf_addf(out, "\"%s\":", name);
}

void etcdc__put_bytes(struct gtm_buf *out, const char *name, struct etcdc_buf value)
{
    if (!value.n)
        return;
    etcdc__put_name(out, name);
    gtm_buf_addc(out, '"');
    etcdc__base64(out, value);
    gtm_buf_addc(out, '"');
}

void etcdc__put_i64(struct gtm_buf *out, const char *name, int64_t value)
{
    if (!value)
        return;
    etcdc__put_name(out, name);
    gtm_buf_addf(out, "\"%" PRId64 "\"", value);
}

void etcdc__put_bool(struct gtm_buf *out, const char *name, bool value)
{
    if (!value)
        return;
    etcdc__put_name(out, name);
    gtm_buf_adds(out, "true");
}

void etcdc__put_word(struct gtm_buf *out, const char *name, const char *word)
{
    etcdc__put_name(out, name);
    gtm_buf_addf(out, "\"%s\"", word);
}

void etcdc__write_range(struct gtm_buf *out, struct etcdc_buf key, struct etcdc_buf end,
                        int64_t limit, int64_t revision, unsigned flags)
{
    gtm_buf_addc(out, '{');
    etcdc__put_bytes(out, "key", key);
    etcdc__put_bytes(out, "range_end", end);
    etcdc__put_i64(out, "limit", limit);
    etcdc__put_i64(out, "revision", revision);
    etcdc__put_bool(out, "serializable", flags & ETCDC_SERIALIZABLE);
    etcdc__put_bool(out, "keys_only", flags & ETCDC_KEYS_ONLY);
    etcdc__put_bool(out, "count_only", flags & ETCDC_COUNT_ONLY);
    gtm_buf_addc(out, '}');
}

void etcdc__write_put(struct gtm_buf *out, struct etcdc_buf key, struct etcdc_buf value,
                      int64_t lease, unsigned flags)
{
    gtm_buf_addc(out, '{');
    etcdc__put_bytes(out, "key", key);
    etcdc__put_bytes(out, "value", value);
    etcdc__put_i64(out, "lease", lease);
    etcdc__put_bool(out, "prev_kv", flags & ETCDC_PREV);
    etcdc__put_bool(out, "ignore_lease", flags & ETCDC_KEEP_LEASE);
    gtm_buf_addc(out, '}');
}

void etcdc__write_delete(struct gtm_buf *out, struct etcdc_buf key, struct etcdc_buf end,
                         unsigned flags)
{
    gtm_buf_addc(out, '{');
    etcdc__put_bytes(out, "key", key);
    etcdc__put_bytes(out, "range_end", end);
    etcdc__put_bool(out, "prev_kv", flags & ETCDC_PREV);
    gtm_buf_addc(out, '}');
}

bool etcdc__key_good(struct etcdc_buf key)
{
    return key.n > 0 && key.n <= ETCDC_KEY_MAX && key.p;
}

bool etcdc__end_good(struct etcdc_buf end)
{
    return end.n <= ETCDC_KEY_MAX && (!end.n || end.p);
}

struct etcdc_buf etcdc_prefix_end(struct etcdc_buf prefix, uint8_t *out)
{
    const uint8_t *p = prefix.p;
    size_t n = prefix.n;
    while (n > 0 && p[n - 1] == 0xff)
        n--;
    if (n == 0) { /* etcd's word for "no end" */
        out[0] = 0;
        return etcdc_bytes(out, 1);
    }
    memmove(out, p, n);
    out[n - 1]++;
    return etcdc_bytes(out, n);
}
