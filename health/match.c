/* SPDX-License-Identifier: Apache-2.0
 *
 * The streaming search. See match.h.
 */
#include "health/match.h"

#include "gtm/base/mem.h"

int health_needle_init(struct health_needle *needle, const char *text, size_t len)
{
    *needle = (struct health_needle){.text = text, .len = len};
    if (len > HEALTH_NEEDLE_MAX)
        return GTM_ELIMIT;
    needle->fall_back = gtm_calloc(len, sizeof(*needle->fall_back));
    if (!needle->fall_back)
        return GTM_ENOMEM;
    size_t k = 0;
    for (size_t i = 1; i < len; i++) {
        while (k > 0 && text[i] != text[k])
            k = needle->fall_back[k - 1];
        if (text[i] == text[k])
            k++;
        needle->fall_back[i] = (uint16_t)k;
    }
    return GTM_OK;
}

void health_needle_fini(struct health_needle *needle)
{
    gtm_free(needle->fall_back);
    *needle = (struct health_needle){0};
}

bool health_match_feed(struct health_match *match, const struct health_needle *needle,
                       const void *data, size_t len)
{
    const char *p = data;
    size_t k = match->matched;

    if (needle->len == 0)
        match->found = true;
    for (size_t i = 0; i < len && !match->found; i++) {
        while (k > 0 && p[i] != needle->text[k])
            k = needle->fall_back[k - 1];
        if (p[i] == needle->text[k])
            k++;
        match->found = k == needle->len;
    }
    match->matched = k;
    return match->found;
}
