/* SPDX-License-Identifier: Apache-2.0
 *
 * Who stands in an election, from the events of a watch over its prefix, and what that means for
 * one candidate: the key with the lowest create revision leads. Keys only ever join with a higher
 * revision than all before, so who was first once is first for as long as its key lives. Pure.
 */
#ifndef GTM_ETCDC_ELECTION_TABLE_H
#define GTM_ETCDC_ELECTION_TABLE_H

#include "gtm/etcdc/etcdc.h"

#define ETCDC__CANDIDATES_MAX 16384u

struct etcdc__candidate {
    char *key; /* key_len octets */
    size_t key_len;
    int64_t create_revision;
};
/* Zero-initialise, then etcdc__table_fini. */
struct etcdc__table {
    struct etcdc__candidate *items; /* by create revision */
    size_t count, cap;
    int64_t revision; /* all up to here is in it; 0 = nothing is known */
};

enum etcdc__place {
    ETCDC__PLACE_UNKNOWN = 0, /* the table does not reach to the candidate's creation yet */
    ETCDC__PLACE_FIRST,
    ETCDC__PLACE_BEHIND, /* somebody before it leads */
    ETCDC__PLACE_GONE    /* its key is not there any more, or is another one */
};

/* SNAPSHOT, PUT, DELETE and REVISION change it. ETCDC_OK, or ETCDC_E_NOMEM, ETCDC_E_OVERFLOW: it
 * is of no use then, until the next snapshot. */
int etcdc__table_event(struct etcdc__table *table, const struct etcdc_event *event) GTM_MUST_CHECK;
/* The place of the candidate with this key, created at this revision. */
enum etcdc__place etcdc__table_place(const struct etcdc__table *table, struct etcdc_buf key,
                                     int64_t create_revision);
void etcdc__table_fini(struct etcdc__table *table);

#endif
