/* SPDX-License-Identifier: Apache-2.0
 *
 * Values of answers: numbers as text or not, octets as base64, what is zero left out. Pure.
 */
#include "gtm/etcdc/etcdc_int.h"

#include "gtm/base/base64.h"
#include "gtm/base/mem.h"

#include <string.h>

int etcdc__arena_init(struct etcdc__arena *arena, size_t bytes)
{
    *arena = (struct etcdc__arena){.data = gtm_malloc(bytes ? bytes : 1), .cap = bytes};
    return arena->data ? ETCDC_OK : ETCDC_E_NOMEM;
}

void etcdc__arena_fini(struct etcdc__arena *arena)
{
    gtm_free(arena->data);
    memset(arena, 0, sizeof(*arena));
}

/* Decimal digits, all of them. */
static bool digits(const char *s, uint64_t max, uint64_t *ret)
{
    uint64_t v = 0;
    if (!*s)
        return false;
    for (; *s; s++) {
        if (*s < '0' || *s > '9')
            return false;
        unsigned d = (unsigned)(*s - '0');
        if (v > (max - d) / 10)
            return false;
        v = v * 10 + d;
    }
    *ret = v;
    return true;
}

static bool text_i64(const char *s, int64_t *ret)
{
    bool minus = *s == '-';
    uint64_t v;
    if (!digits(s + minus, (uint64_t)INT64_MAX + minus, &v))
        return false;
    *ret = minus ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

bool etcdc__get_i64(const struct gtm_json *object, const char *name, int64_t *ret)
{
    const struct gtm_json *value = gtm_json_get(object, name);
    *ret = 0;
    if (!value || gtm_json_type(value) == GTM_JSON_NULL)
        return true;
    if (gtm_json_type(value) == GTM_JSON_STRING)
        return text_i64(gtm_json_as_str(value), ret);
    *ret = gtm_json_as_i64(value, 0);
    return gtm_json_type(value) == GTM_JSON_NUMBER && gtm_json_as_i64(value, 1) == *ret;
}

bool etcdc__get_u64(const struct gtm_json *object, const char *name, uint64_t *ret)
{
    const struct gtm_json *value = gtm_json_get(object, name);
    int64_t v;
    if (value && gtm_json_type(value) == GTM_JSON_STRING)
        return digits(gtm_json_as_str(value), UINT64_MAX, ret);
    bool good = etcdc__get_i64(object, name, &v) && v >= 0;
    *ret = good ? (uint64_t)v : 0;
    return good;
}

/* Octets written to out (room for 3/4 of len), or SIZE_MAX. Padding must be there. */
static size_t unbase64(const char *s, size_t len, uint8_t *out)
{
    size_t n = 0;
    if (len % 4 != 0)
        return SIZE_MAX;
    for (size_t i = 0; i < len; i += 4) {
        unsigned pad = 0;
        uint32_t v = 0;
        for (unsigned j = 0; j < 4; j++) {
            int six = gtm_base64_value(s[i + j]);
            if (six < 0) {
                if (s[i + j] != '=' || j < 2 || i + 4 != len)
                    return SIZE_MAX;
                pad++;
                six = 0;
            } else if (pad) {
                return SIZE_MAX;
            }
            v = v << 6 | (uint32_t)six;
        }
        out[n++] = (uint8_t)(v >> 16);
        if (pad < 2)
            out[n++] = (uint8_t)(v >> 8);
        if (pad < 1)
            out[n++] = (uint8_t)v;
    }
    return n;
}

bool etcdc__get_bytes(const struct gtm_json *object, const char *name, struct etcdc__arena *arena,
                      struct etcdc_buf *ret)
{
    const struct gtm_json *value = gtm_json_get(object, name);
    *ret = etcdc_bytes("", 0);
    if (!value || gtm_json_type(value) == GTM_JSON_NULL)
        return true;
    const char *text = gtm_json_as_str(value);
    if (!text)
        return false;
    size_t len = strlen(text);
    if (len == 0)
        return true;
    if (len / 4 * 3 > arena->cap - arena->used)
        return false;
    uint8_t *out = arena->data + arena->used;
    size_t n = unbase64(text, len, out);
    if (n == SIZE_MAX)
        return false;
    arena->used += n;
    *ret = etcdc_bytes(out, n);
    return true;
}

/* A revision that another can follow. */
static bool get_revision(const struct gtm_json *object, const char *name, int64_t *ret)
{
    return etcdc__get_i64(object, name, ret) && *ret >= 0 && *ret < INT64_MAX;
}

bool etcdc__get_header(const struct gtm_json *answer, struct etcdc_header *ret)
{
    const struct gtm_json *header = gtm_json_get(answer, "header");
    memset(ret, 0, sizeof(*ret));
    return etcdc__get_u64(header, "cluster_id", &ret->cluster_id) &&
           etcdc__get_u64(header, "member_id", &ret->member_id) &&
           etcdc__get_u64(header, "raft_term", &ret->raft_term) &&
           get_revision(header, "revision", &ret->revision);
}

bool etcdc__get_kv(const struct gtm_json *value, struct etcdc__arena *arena, struct etcdc_kv *ret)
{
    memset(ret, 0, sizeof(*ret));
    return gtm_json_type(value) == GTM_JSON_OBJECT &&
           etcdc__get_bytes(value, "key", arena, &ret->key) && ret->key.n > 0 &&
           etcdc__get_bytes(value, "value", arena, &ret->value) &&
           get_revision(value, "create_revision", &ret->create_revision) &&
           get_revision(value, "mod_revision", &ret->mod_revision) &&
           etcdc__get_i64(value, "version", &ret->version) &&
           etcdc__get_i64(value, "lease", &ret->lease);
}
