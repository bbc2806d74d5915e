/* SPDX-License-Identifier: Apache-2.0
 *
 * Which keys a watch has given out and at which revision, so that a later listing can be told as
 * the difference. Bounded; one thread.
 */
#ifndef GTM_ETCDC_WATCH_KEYS_H
#define GTM_ETCDC_WATCH_KEYS_H

#include "gtm/etcdc/etcdc.h"

struct etcdc__keys;

struct etcdc__keys *etcdc__keys_new(size_t max_bytes); /* NULL: out of memory */
void etcdc__keys_free(struct etcdc__keys *keys);       /* NULL is fine */
/* ETCDC_OK, ETCDC_E_NOMEM or ETCDC_E_OVERFLOW. The key is marked. */
int etcdc__keys_put(struct etcdc__keys *keys, struct etcdc_buf key,
                    int64_t mod_revision) GTM_MUST_CHECK;
/* 0: not there. Does not mark. */
int64_t etcdc__keys_get(struct etcdc__keys *keys, struct etcdc_buf key);
void etcdc__keys_remove(struct etcdc__keys *keys, struct etcdc_buf key);
size_t etcdc__keys_count(const struct etcdc__keys *keys);

/* Unmarks all. */
void etcdc__keys_unmark(struct etcdc__keys *keys);
void etcdc__keys_mark(struct etcdc__keys *keys, struct etcdc_buf key);
/* Walks the keys that are not marked and removes each; *it starts at 0. False at the end, and with
 * *ret_code = ETCDC_E_NOMEM. ret_key is valid until the next call. */
bool etcdc__keys_take_unmarked(struct etcdc__keys *keys, size_t *it, struct etcdc_buf *ret_key,
                               int *ret_code);

#endif
