/* SPDX-License-Identifier: Apache-2.0
 *
 * Finds a fixed text in a stream that arrives in pieces, without keeping the stream: Knuth, Morris
 * and Pratt (1977). Pure but for the table's allocation; one owner.
 */
#ifndef GTM_HEALTH_MATCH_H
#define GTM_HEALTH_MATCH_H

#include "gtm/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEALTH_NEEDLE_MAX 4096 /* bytes of an expected text */

/* The text and its table, shared by all searches for it; immutable after init. */
struct health_needle {
    const char *text; /* borrowed */
    size_t len;
    uint16_t *fall_back; /* owned: how much still matches after a mismatch at i */
};

/* Borrows text until fini. An empty text matches at once. GTM_ELIMIT, GTM_ENOMEM. */
int health_needle_init(struct health_needle *needle, const char *text, size_t len) GTM_MUST_CHECK;
void health_needle_fini(struct health_needle *needle);

/* One search; zero-initialise. */
struct health_match {
    size_t matched; /* bytes of the needle that match so far */
    bool found;
};

/* Feeds the next piece; true as soon as the text was seen. */
bool health_match_feed(struct health_match *match, const struct health_needle *needle,
                       const void *data, size_t len);

#endif
