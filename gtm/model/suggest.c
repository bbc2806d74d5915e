/* SPDX-License-Identifier: Apache-2.0
 *
 * Edit distance, cut off early. See suggest.h.
 */
#include "gtm/model/suggest.h"

#include <stdbool.h>
#include <string.h>

#define TOO_FAR (GTM_SUGGEST_DISTANCE + 1u)

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;
    return m < c ? m : c;
}

unsigned gtm_suggest_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    if (n > GTM_SUGGEST_MAX || m > GTM_SUGGEST_MAX ||
        (n > m ? n - m : m - n) > GTM_SUGGEST_DISTANCE)
        return TOO_FAR;
    unsigned rows[3][GTM_SUGGEST_MAX + 1];
    unsigned *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= m; j++)
        last[j] = (unsigned)j;
    for (size_t i = 1; i <= n; i++) {
        unsigned best = now[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            unsigned same = a[i - 1] == b[j - 1] ? 0 : 1;
            now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + same);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < now[j])
                now[j] = before[j - 2] + 1;
            if (now[j] < best)
                best = now[j];
        }
        if (best > GTM_SUGGEST_DISTANCE)
            return TOO_FAR;
        unsigned *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[m] > GTM_SUGGEST_DISTANCE ? TOO_FAR : last[m];
}

void gtm_suggest_try(const char *word, const char *candidate, const char **best,
                     unsigned *best_distance)
{
    unsigned distance = gtm_suggest_distance(word, candidate);
    size_t n = strlen(word), m = strlen(candidate);
    bool alike = distance <= GTM_SUGGEST_DISTANCE && distance * 2 < (n > m ? n : m);
    if (alike && (!*best || distance < *best_distance)) {
        *best = candidate;
        *best_distance = distance;
    }
}
