/* SPDX-License-Identifier: Apache-2.0
 *
 * The interner: keys in one growing block, an open-addressed index over them. See
 * publish_intern.h.
 */
#include "gtm/daemon/publish_intern.h"

#include "gtm/base/mem.h"

#include <string.h>

#define MIN_SLOTS 64

uint64_t gtm__hash_bytes(uint64_t h, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t word = 0;
    h = gtm__hash_word(h, len);
    for (; len >= 8; len -= 8, p += 8) {
        memcpy(&word, p, 8);
        h = gtm__hash_word(h, word);
    }
    word = 0;
    if (len > 0)
        memcpy(&word, p, len);
    h = gtm__hash_word(h, word);
    return gtm__hash_word(h, h >> 32);
}

static int rehash(struct gtm__intern *in)
{
    size_t want = in->slots_count ? in->slots_count * 2 : MIN_SLOTS;
    uint32_t *slots = gtm_calloc(want, sizeof(*slots));
    if (!slots)
        return GTM_ENOMEM;
    for (size_t i = 0; i < in->count; i++) {
        size_t at = in->items[i].hash & (want - 1);
        while (slots[at])
            at = (at + 1) & (want - 1);
        slots[at] = (uint32_t)i + 1;
    }
    gtm_free(in->slots);
    in->slots = slots;
    in->slots_count = want;
    return GTM_OK;
}

static int64_t find(const struct gtm__intern *in, uint64_t hash, const void *key, size_t len)
{
    if (in->slots_count == 0)
        return -1;
    for (size_t at = hash & (in->slots_count - 1); in->slots[at];
         at = (at + 1) & (in->slots_count - 1)) {
        const struct gtm__intern_item *item = &in->items[in->slots[at] - 1];
        if (item->hash == hash && item->len == len &&
            (len == 0 || memcmp(in->bytes + item->offset, key, len) == 0))
            return (int64_t)in->slots[at] - 1;
    }
    return -1;
}

int64_t gtm__intern_find(const struct gtm__intern *in, const void *key, size_t len)
{
    return find(in, gtm__hash_bytes(0, key, len), key, len);
}

int gtm__intern_add(struct gtm__intern *in, const void *key, size_t len, uint32_t *ret_number,
                    bool *ret_new)
{
    uint64_t hash = gtm__hash_bytes(0, key, len);
    int64_t known = find(in, hash, key, len);
    if (ret_new)
        *ret_new = known < 0;
    if (known >= 0) {
        *ret_number = (uint32_t)known;
        return GTM_OK;
    }
    if (in->count >= UINT32_MAX / 2)
        return GTM_ENOMEM;
    if ((in->count + 1) * 2 > in->slots_count && rehash(in) != GTM_OK)
        return GTM_ENOMEM;
    void *items = in->items, *bytes = in->bytes;
    int rc = gtm_grow(&items, &in->cap, in->count + 1, sizeof(*in->items));
    in->items = items;
    if (rc != GTM_OK)
        return rc;
    rc = gtm_grow(&bytes, &in->bytes_cap, in->bytes_len + len, 1);
    in->bytes = bytes;
    if (rc != GTM_OK)
        return rc;
    if (len > 0)
        memcpy(in->bytes + in->bytes_len, key, len);
    in->items[in->count] = (struct gtm__intern_item){hash, in->bytes_len, len};
    in->bytes_len += len;
    size_t at = hash & (in->slots_count - 1);
    while (in->slots[at])
        at = (at + 1) & (in->slots_count - 1);
    in->slots[at] = (uint32_t)in->count + 1;
    *ret_number = (uint32_t)in->count++;
    return GTM_OK;
}

const void *gtm__intern_key(const struct gtm__intern *in, uint32_t number, size_t *ret_len)
{
    const struct gtm__intern_item *item = &in->items[number];
    if (ret_len)
        *ret_len = item->len;
    return in->bytes + item->offset;
}

void gtm__intern_fini(struct gtm__intern *in)
{
    gtm_free(in->slots);
    gtm_free(in->items);
    gtm_free(in->bytes);
    *in = (struct gtm__intern){0};
}
