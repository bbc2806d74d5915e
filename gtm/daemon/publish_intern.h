/* SPDX-License-Identifier: Apache-2.0
 *
 * Gives equal byte strings one small number: how the publisher shares what is the same. Numbers are
 * dense, from 0, in the order of first sight. Keys come from checked configuration. One owner.
 */
#ifndef GTM_DAEMON_PUBLISH_INTERN_H
#define GTM_DAEMON_PUBLISH_INTERN_H

#include "gtm/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gtm__intern_item {
    uint64_t hash;
    size_t offset, len;
};
/* Zero-initialise, then gtm__intern_fini. */
struct gtm__intern {
    uint32_t *slots; /* number + 1, 0 = free */
    size_t slots_count;
    struct gtm__intern_item *items;
    size_t count, cap;
    uint8_t *bytes;
    size_t bytes_len, bytes_cap;
};

/* The key's number; *ret_new (may be NULL) says whether it was met first. 0 or GTM_ENOMEM. */
int gtm__intern_add(struct gtm__intern *in, const void *key, size_t len, uint32_t *ret_number,
                    bool *ret_new) GTM_MUST_CHECK;
/* The key's number, or -1. */
int64_t gtm__intern_find(const struct gtm__intern *in, const void *key, size_t len);
/* The bytes of a number; valid until the next add. */
const void *gtm__intern_key(const struct gtm__intern *in, uint32_t number, size_t *ret_len);
void gtm__intern_fini(struct gtm__intern *in);

/* A 64-bit hash of bytes or of one word, to be chained through h. Not for input from strangers. */
uint64_t gtm__hash_bytes(uint64_t h, const void *data, size_t len);
static inline uint64_t gtm__hash_word(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ (h >> 29);
}

#endif
