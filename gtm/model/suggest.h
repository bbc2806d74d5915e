/* SPDX-License-Identifier: Apache-2.0
 *
 * "Did you mean …": the nearest of some words. Pure, thread-safe, no allocation.
 */
#ifndef GTM_MODEL_SUGGEST_H
#define GTM_MODEL_SUGGEST_H

#include <stddef.h>

#define GTM_SUGGEST_DISTANCE 2  /* single-character edits */
#define GTM_SUGGEST_MAX      64 /* longer words are never suggested */

/* The number of insertions, deletions, replacements and swaps of neighbours between a and b, or
 * GTM_SUGGEST_DISTANCE + 1 when it is more or a word is too long (optimal string alignment). */
unsigned gtm_suggest_distance(const char *a, const char *b);

/* Keeps the better of *best (NULL at first) and candidate for word; *best_distance goes with it.
 * More than half of the longer word must stay. */
void gtm_suggest_try(const char *word, const char *candidate, const char **best,
                     unsigned *best_distance);

#endif
