/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory of steering tables and views, for the answer path and their builders only.
 */
#ifndef DNS_STEER_INT_H
#define DNS_STEER_INT_H

#include "dns/steer.h"
#include "dns/view.h"
#include "dns/zone_int.h"
#include "gtm/base/rand.h"

#include <stdatomic.h>

/* Walker's alias method as made robust by Vose (1991): entry i is taken when a 32-bit draw is below
 * threshold, else `other`. */
struct dns__alias {
    uint32_t threshold, other;
};

struct dns__option {
    uint32_t first, count;   /* records */
    uint32_t answers;        /* how many of them */
    uint32_t weighted;       /* nonzero: record_alias[first..] is used */
    const uint16_t *buckets; /* NULL = not sticky */
    uint32_t bucket_mask;
};

/* How a choice is answered: all but the first take the slower way round. */
enum dns__form {
    DNS__FORM_PLAIN = 0, /* records of one size, chosen by chance */
    DNS__FORM_NODATA,
    DNS__FORM_SERVFAIL,
    DNS__FORM_OTHER /* records of any size, sticky, or both */
};

struct dns_choice {
    const uint8_t *records; /* each: pointer to the question, type, class, TTL, rdlength, rdata */
    const uint32_t *record_at; /* where each begins, and the end; NULL: all have record_bytes */
    const struct dns__option *options;
    const struct dns__alias *option_alias;
    const struct dns__alias *record_alias;
    uint32_t options_count;
    uint16_t record_bytes;
    uint8_t form; /* enum dns__form */
    uint8_t ede_len;
    uint16_t ede_code;
    bool sticky;
    uint16_t type;
    uint32_t signatures; /* slot: one signature set for each option */
    atomic_int refs;
    char ede_text[DNS_EDE_TEXT_MAX + 1];
};

struct dns_picks {
    size_t classes, used_count;
    const uint16_t
        *used; /* the distinct slots, so that a table is checked without walking classes */
    atomic_int refs;
    uint16_t slots[];
};

struct dns__steer_kind {
    const uint16_t *slots;
    struct dns_choice *const *choices;
    size_t choices_count;
    struct dns_picks *picks;
};

struct dns_steer {
    struct dns_classmap *map;
    struct dns__steer_kind kind[DNS_KINDS]; /* slots NULL = none */
    atomic_int refs;
};

struct dns_view {
    uint64_t revision;
    struct dns_settings *settings;
    uint64_t labels[2]; /* bit n: some zone's name has n labels */
    uint64_t mask;
    uint32_t *table; /* zone + 1, 0 = free */
    size_t count;
    atomic_int refs;
    struct dns_view_zone zones[];
};

/* r: 64 even bits */
static inline uint32_t dns__alias_at(const struct dns__alias *alias, uint32_t n, uint64_t r)
{
    uint32_t i = (uint32_t)(((r >> 32) * n) >> 32);

    return (uint32_t)r < alias[i].threshold ? i : alias[i].other;
}

static inline uint32_t dns__alias_draw(const struct dns__alias *alias, uint32_t n,
                                       struct gtm_rand *rand)
{
    return dns__alias_at(alias, n, gtm_rand_next(rand));
}

/* See dns_network_hash. Frozen: a change moves every sticky client. */
static inline uint64_t dns__network_hash(int family, const uint8_t *addr)
{
    uint64_t h = (uint64_t)family << 56;
    unsigned octets = (family == 4 ? DNS_STICKY_BITS4 : DNS_STICKY_BITS6) / 8;

    for (unsigned i = 0; i < octets; i++)
        h ^= (uint64_t)addr[i] << (48 - 8 * i);
    h += UINT64_C(0x9e3779b97f4a7c15);
    h = (h ^ (h >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    h = (h ^ (h >> 27)) * UINT64_C(0x94d049bb133111eb);
    return h ^ (h >> 31);
}

/* The zone of the longest suffix, starting at label `from`; NULL when none. *ret_label = where its
 * name starts. */
static inline const struct dns_view_zone *
dns__view_find(const struct dns_view *view, const uint8_t *name, unsigned len,
               const uint8_t *offsets, const uint64_t *hashes, unsigned labels, unsigned from)
{
    for (unsigned i = from; i <= labels; i++) {
        unsigned have = labels - i;
        if ((view->labels[have >> 6] >> (have & 63) & 1) == 0)
            continue;
        const uint8_t *suffix = i == labels ? name + len - 1 : name + offsets[i];
        unsigned suffix_len = len - (unsigned)(suffix - name);
        for (uint64_t at = hashes[i] & view->mask; view->table[at] != 0;
             at = (at + 1) & view->mask) {
            const struct dns_view_zone *z = &view->zones[view->table[at] - 1];
            if (z->zone->apex_len == suffix_len &&
                memcmp(z->zone->apex_name, suffix, suffix_len) == 0)
                return z;
        }
    }
    return NULL;
}

#endif
