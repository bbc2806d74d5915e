/* SPDX-License-Identifier: Apache-2.0
 *
 * Open addressing with linear probing, at most half full. See hash64.h.
 */
#include "dns/hash64.h"

#include "gtm/base/mem.h"

#include <string.h>

#define FIRST_CAP 256

static size_t hash_find(const struct dns__hash64 *hash, uint64_t key)
{
    size_t mask = hash->cap - 1, i = dns__mix64(key) & mask;
    while (hash->values[i] != DNS__HASH_NONE && hash->keys[i] != key)
        i = (i + 1) & mask;
    return i;
}

static int hash_grow(struct dns__hash64 *hash)
{
    struct dns__hash64 grown = {.cap = hash->cap ? hash->cap * 2 : FIRST_CAP, .count = hash->count};
    grown.keys = gtm_malloc(grown.cap * sizeof(*grown.keys));
    grown.values = gtm_malloc(grown.cap * sizeof(*grown.values));
    if (!grown.keys || !grown.values) {
        dns__hash64_fini(&grown);
        return GTM_ENOMEM;
    }
    memset(grown.values, 0xff, grown.cap * sizeof(*grown.values));
    for (size_t i = 0; i < hash->cap; i++) {
        if (hash->values[i] == DNS__HASH_NONE)
            continue;
        size_t at = hash_find(&grown, hash->keys[i]);
        grown.keys[at] = hash->keys[i];
        grown.values[at] = hash->values[i];
    }
    dns__hash64_fini(hash);
    *hash = grown;
    return GTM_OK;
}

int dns__hash64_place(struct dns__hash64 *hash, uint64_t key, uint32_t **ret_value)
{
    if (hash->count * 2 >= hash->cap) {
        int rc = hash_grow(hash);
        if (rc)
            return rc;
    }
    size_t at = hash_find(hash, key);
    if (hash->values[at] == DNS__HASH_NONE) {
        hash->keys[at] = key;
        hash->count++;
    }
    *ret_value = &hash->values[at];
    return GTM_OK;
}

void dns__hash64_fini(struct dns__hash64 *hash)
{
    gtm_free(hash->keys);
    gtm_free(hash->values);
    memset(hash, 0, sizeof(*hash));
}
