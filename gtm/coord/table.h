/* SPDX-License-Identifier: Apache-2.0
 *
 * The standalone store's table: key → current state, plus the states staged by the batch in flight.
 * Reads see the current ones only. Pure memory; no disk, no callbacks. Only store_file.c includes
 * it.
 *
 * One batch: begin, stage…, (print, possibly on another thread while nothing else changes the
 * table), settle, changed…, sweep.
 */
#ifndef GTM_COORD_TABLE_H
#define GTM_COORD_TABLE_H

#include "gtm/base/buf.h"
#include "gtm/coord/snapshot.h"
#include "gtm/coord/store.h"

struct coord__item;

struct coord__table {
    struct gtm_map *items; /* key → struct coord__item */
    int64_t revision, next_revision;
    size_t keys, next_keys;
    size_t bytes, next_bytes;
    struct coord__item *touched; /* by the batch */
};

int coord__table_init(struct coord__table *table) GTM_MUST_CHECK; /* GTM_ENOMEM */
void coord__table_fini(struct coord__table *table);

/* As gtm_store_get and gtm_store_list. */
int coord__table_get(const struct coord__table *table, const char *key,
                     struct gtm_store_entry *ret_entry) GTM_MUST_CHECK;
int coord__table_list(const struct coord__table *table, const char *prefix,
                      gtm_store_visit_fn *visit, void *arg) GTM_MUST_CHECK;

void coord__table_begin(struct coord__table *table);

/* Stages all changes of a commit or none, as table->next_revision + 1; guards see what was staged
 * before. On success takes values[i] (the text of changes[i], which are on the heap) and clears
 * them. GTM_ECONFLICT, GTM_ELIMIT, GTM_ENOMEM. */
int coord__table_stage(struct coord__table *table, const struct gtm_store_change *changes,
                       char **values, size_t count, struct gtm_error *err) GTM_MUST_CHECK;

/* Appends "current plus staged" to a snapshot's body; returns the number of keys. */
size_t coord__table_print(const struct coord__table *table, struct gtm_buf *body);

/* Moves what was staged into place (written), or drops it. Cannot fail. */
void coord__table_settle(struct coord__table *table, bool written);

/* Whether the commit of that revision left its mark on key (no later one of the batch replaced it,
 * and something was there before or is now); fills the entry for a watch. */
bool coord__table_changed(const struct coord__table *table, const char *key, int64_t revision,
                          struct gtm_store_entry *ret_entry);

/* Ends the batch: forgets keys that are absent now. */
void coord__table_sweep(struct coord__table *table);

/* Adds a record of a snapshot. GTM_ECORRUPT for a key seen twice or more than the store's limits.
 */
int coord__table_load(struct coord__table *table,
                      const struct coord__record *record) GTM_MUST_CHECK;

#endif
