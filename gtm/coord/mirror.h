/* SPDX-License-Identifier: Apache-2.0
 *
 * The copy in memory of what lies in etcd: entries in order of their keys, each unchangeable once
 * it is there (a change replaces it), so that another thread can save a list of them while the copy
 * goes on. What comes is staged and takes effect as a whole. The store's thread, but for
 * coord__item_unref.
 */
#ifndef GTM_COORD_MIRROR_H
#define GTM_COORD_MIRROR_H

#include "gtm/coord/store.h"

#include <stdatomic.h>

#define COORD__MIRROR_KEYS_MAX  1000000u
#define COORD__MIRROR_BYTES_MAX (512u << 20) /* keys and values together */

enum coord__item_kind { COORD__ITEM_PUT = 0, COORD__ITEM_GONE, COORD__ITEM_KEEP };

struct coord__item {
    atomic_uint refs;
    enum coord__item_kind kind;
    uint32_t key_len, value_len;
    int64_t revision;
    char text[]; /* key, NUL, value, NUL */
};
/* NULL: out of memory. */
struct coord__item *coord__item_new(enum coord__item_kind kind, const char *key, const char *value,
                                    size_t len, int64_t revision);
void coord__item_unref(struct coord__item *item); /* any thread */
struct gtm_store_entry coord__item_entry(const struct coord__item *item);

struct coord__staged {
    struct coord__item *item;
    size_t ordinal;
};
struct coord__mirror {
    struct coord__item **items;
    size_t count, cap, bytes;
    int64_t revision;
    struct coord__staged *staged;
    size_t staged_count, staged_cap, staged_bytes;
    bool listing; /* what is staged is all there is */
};

void coord__mirror_fini(struct coord__mirror *mirror);
/* As gtm_store_get and gtm_store_list. */
int coord__mirror_get(const struct coord__mirror *mirror, const char *key,
                      struct gtm_store_entry *ret_entry) GTM_MUST_CHECK;
int coord__mirror_list(const struct coord__mirror *mirror, const char *prefix,
                       gtm_store_visit_fn *visit, void *arg) GTM_MUST_CHECK;

/* A listing begins: what was staged is forgotten. */
void coord__mirror_begin_listing(struct coord__mirror *mirror);
/* Stages one key's new state. KEEP: whatever the copy has stays (in a listing, where what is not
 * named goes). GTM_ENOMEM; GTM_ELIMIT when the copy is full. */
int coord__mirror_stage(struct coord__mirror *mirror, enum coord__item_kind kind, const char *key,
                        const char *value, size_t len, int64_t revision) GTM_MUST_CHECK;
void coord__mirror_drop(struct coord__mirror *mirror); /* forgets what is staged */

/* What an apply changed, in order of revisions; GONE ones are tombstones. */
struct coord__changed {
    struct coord__item **items;
    size_t count;
};
/* Puts what is staged into force, as of revision. GTM_ENOMEM: nothing has changed, and what was
 * staged is still there. */
int coord__mirror_apply(struct coord__mirror *mirror, int64_t revision,
                        struct coord__changed *ret_changed) GTM_MUST_CHECK;
void coord__changed_fini(struct coord__changed *changed);

/* A reference to every entry, in a new array (coord__item_unref each, gtm_free); NULL when out of
 * memory. */
struct coord__item **coord__mirror_share(const struct coord__mirror *mirror);

#endif
