/* SPDX-License-Identifier: Apache-2.0
 *
 * Fetches of a store that has everything in memory: they wait for the loop's next turn, then are
 * answered from the table. The store's thread.
 */
#ifndef GTM_COORD_FETCH_H
#define GTM_COORD_FETCH_H

#include "gtm/coord/table.h"

struct coord__fetch;

/* Appends to *list. GTM_ELIMIT, GTM_ENOMEM. */
int coord__fetch_add(struct coord__fetch **list, const char *from, const char *to, size_t limit,
                     gtm_store_fetch_fn *done, void *arg) GTM_MUST_CHECK;
/* Answers and frees all that wait now; what the answers' receivers add waits for the next time. */
void coord__fetch_run(struct coord__fetch **list, const struct coord__table *table);

#endif
