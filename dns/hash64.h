/* SPDX-License-Identifier: Apache-2.0
 *
 * A growing hash table from 64-bit keys to 32-bit values, for the interning that geography needs by
 * the million. Nothing is ever removed. Not thread-safe; private to dns/.
 */
#ifndef DNS_HASH64_H
#define DNS_HASH64_H

#include "gtm/base/err.h"

#include <stddef.h>
#include <stdint.h>

#define DNS__HASH_NONE UINT32_MAX /* the value of a key that is not there yet */

/* Zero-initialise, then dns__hash64_fini. */
struct dns__hash64 {
    uint64_t *keys;
    uint32_t *values;
    size_t cap, count; /* cap is a power of two */
};

/* Finds the key or makes a place for it; *ret_value then points to its value (DNS__HASH_NONE when
 * new), valid until the next call. The caller must store another value into a new place at once. 0
 * or GTM_ENOMEM. */
int dns__hash64_place(struct dns__hash64 *hash, uint64_t key, uint32_t **ret_value) GTM_MUST_CHECK;
void dns__hash64_fini(struct dns__hash64 *hash);

/* A finaliser with good avalanche, for building keys. */
static inline uint64_t dns__mix64(uint64_t x)
{
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

#endif
