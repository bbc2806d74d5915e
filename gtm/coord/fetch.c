/* SPDX-License-Identifier: Apache-2.0
 *
 * Fetches from a table. See fetch.h.
 */
#include "gtm/coord/fetch.h"

#include "gtm/base/mem.h"

#include <string.h>

struct coord__fetch {
    struct coord__fetch *next;
    char *from, *to; /* to NULL: just `from` */
    size_t limit;
    gtm_store_fetch_fn *done;
    void *arg;
    struct gtm_store_entry *entries;
    size_t count, cap, bytes;
    bool more;
};

static void free_fetch(struct coord__fetch *f)
{
    gtm_free(f->from);
    gtm_free(f->to);
    gtm_free(f->entries);
    gtm_free(f);
}

int coord__fetch_add(struct coord__fetch **list, const char *from, const char *to, size_t limit,
                     gtm_store_fetch_fn *done, void *arg)
{
    unsigned waiting = 0;
    struct coord__fetch **last = list;
    for (; *last; last = &(*last)->next)
        waiting++;
    if (waiting >= GTM_STORE_PENDING_MAX)
        return GTM_ELIMIT;
    struct coord__fetch *f = gtm_calloc(1, sizeof(*f));
    if (!f)
        return GTM_ENOMEM;
    f->from = gtm_strdup(from);
    f->to = to ? gtm_strdup(to) : NULL;
    if (!f->from || (to && !f->to)) {
        free_fetch(f);
        return GTM_ENOMEM;
    }
    f->limit = limit;
    f->done = done;
    f->arg = arg;
    *last = f;
    return GTM_OK;
}

static int add_entry(void *arg, const struct gtm_store_entry *entry)
{
    struct coord__fetch *f = arg;
    int below = strcmp(entry->key, f->from);
    if (below < 0 || (f->to ? strcmp(entry->key, f->to) >= 0 : below > 0))
        return GTM_OK;
    f->bytes += strlen(entry->key) + entry->value_len;
    if (f->count == f->limit || (f->count > 0 && f->bytes > GTM_STORE_FETCH_BYTES_MAX)) {
        f->more = true;
        return 1;
    }
    int rc = gtm_grow((void **)&f->entries, &f->cap, f->count + 1, sizeof(*f->entries));
    if (rc == GTM_OK)
        f->entries[f->count++] = *entry;
    return rc;
}

void coord__fetch_run(struct coord__fetch **list, const struct coord__table *table)
{
    struct coord__fetch *all = *list;
    *list = NULL;
    while (all) {
        struct coord__fetch *f = all;
        all = f->next;
        struct gtm_error err = {0};
        int rc = coord__table_list(table, "", add_entry, f);
        if (rc < 0)
            gtm_error_set(&err, rc, "%s", gtm_err_text(rc));
        struct gtm_store_fetched fetched = {.code = err.code, .err = &err};
        if (rc >= 0)
            fetched = (struct gtm_store_fetched){.entries = f->entries,
                                                 .count = f->count,
                                                 .more = f->more,
                                                 .revision = table->revision,
                                                 .err = &err};
        f->done(f->arg, &fetched);
        free_fetch(f);
    }
}
