/* SPDX-License-Identifier: Apache-2.0
 *
 * The list of a store's watches. See watches.h.
 */
#include "gtm/coord/watches.h"

#include "gtm/base/mem.h"

#include <string.h>

struct gtm_store_watch *coord__watches_add(struct coord__watches *watches, const char *prefix,
                                           gtm_store_watch_fn *cb, void *arg)
{
    struct gtm_store_watch *w = gtm_calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    *w = (struct gtm_store_watch){.prefix = gtm_strdup(prefix), .cb = cb, .arg = arg};
    if (!w->prefix) {
        gtm_free(w);
        return NULL;
    }
    struct gtm_store_watch **last = &watches->first;
    while (*last)
        last = &(*last)->next;
    *last = w;
    return w;
}

void coord__watches_remove(struct coord__watches *watches, struct gtm_store_watch *watch)
{
    watch->cb = NULL;
    if (!watches->walking)
        coord__watches_sweep(watches);
}

void coord__watches_notify(const struct coord__watches *watches,
                           const struct gtm_store_entry *entry)
{
    for (struct gtm_store_watch *w = watches->first; w; w = w->next)
        if (w->cb && strncmp(entry->key, w->prefix, strlen(w->prefix)) == 0)
            w->cb(w->arg, entry);
}

void coord__watches_sweep(struct coord__watches *watches)
{
    for (struct gtm_store_watch **at = &watches->first; *at;) {
        struct gtm_store_watch *w = *at;
        if (w->cb) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        gtm_free(w->prefix);
        gtm_free(w);
    }
}

void coord__watches_fini(struct coord__watches *watches)
{
    for (struct gtm_store_watch *w = watches->first; w; w = w->next)
        w->cb = NULL;
    coord__watches_sweep(watches);
}
