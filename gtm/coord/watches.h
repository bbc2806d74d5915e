/* SPDX-License-Identifier: Apache-2.0
 *
 * Who watches a store. A watch may be ended from any callback, so its memory goes only when nobody
 * is walking the list. The store's thread.
 */
#ifndef GTM_COORD_WATCHES_H
#define GTM_COORD_WATCHES_H

#include "gtm/coord/store.h"

struct gtm_store_watch {
    struct gtm_store_watch *next;
    char *prefix;
    gtm_store_watch_fn *cb; /* NULL = to be swept */
    void *arg;
};

/* Zero-initialise. */
struct coord__watches {
    struct gtm_store_watch *first;
    bool walking; /* set by the store around its callbacks; then coord__watches_sweep */
};

/* NULL: out of memory. */
struct gtm_store_watch *coord__watches_add(struct coord__watches *watches, const char *prefix,
                                           gtm_store_watch_fn *cb, void *arg);
void coord__watches_remove(struct coord__watches *watches, struct gtm_store_watch *watch);
/* Tells everyone under whose prefix entry->key is. */
void coord__watches_notify(const struct coord__watches *watches,
                           const struct gtm_store_entry *entry);
void coord__watches_sweep(struct coord__watches *watches);
void coord__watches_fini(struct coord__watches *watches);

#endif
