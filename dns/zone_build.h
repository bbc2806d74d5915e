/* SPDX-License-Identifier: Apache-2.0
 *
 * The zone compiler's working memory, shared by dns/zone_build.c (collect, lay out),
 * dns/zone_image.c (records → wire images) and dns/zone_check.c (what a zone may contain). Lives
 * for one dns_zone_load only; one thread.
 */
#ifndef DNS_ZONE_BUILD_H
#define DNS_ZONE_BUILD_H

#include "dns/zone_int.h"
#include "dns/zonefile.h"
#include "gtm/base/diag.h"

#define DNS__NONE UINT32_MAX

struct dns__rec {
    const uint8_t *rdata; /* NULL: dynamic, `ttl` is the slot */
    const char *file;
    uint32_t next, ttl, line;
    uint16_t type, rdlen, col;
    bool dropped; /* a duplicate */
};

struct dns__bnode {
    const uint8_t *name; /* canonical, padded */
    uint64_t hash;
    uint32_t first, last; /* records, DNS__NONE = none */
    uint32_t parent;      /* DNS__NONE for the top */
    uint32_t cut;         /* topmost delegation at or above, DNS__NONE = none */
    uint32_t place;       /* in the block, once laid out */
    uint16_t flags;
    uint8_t len;
};

struct dns__chunk;

struct dns__build {
    struct gtm_diags *diags;
    const char *path;
    uint8_t origin[DNS_NAME_MAX + DNS_HASH_PAD];
    unsigned origin_len, origin_labels;

    struct dns__bnode *nodes; /* [0] = the top; parents come before children */
    size_t nodes_count, nodes_cap;
    uint32_t *table; /* node + 1, 0 = free */
    uint64_t table_mask;
    struct dns__rec *recs;
    size_t recs_count, recs_cap;
    struct dns__chunk *chunks;
    const char *last_file; /* the interned copy of the last record's file */
    size_t dynamics;
    uint32_t serial;

    uint8_t *block; /* the zone's memory, growing */
    size_t block_len, block_cap;
    int failed; /* GTM_ENOMEM or GTM_ELIMIT, sticky */
};

/* The node of a canonical, padded name of the zone, or DNS__NONE. */
uint32_t dns__build_find(const struct dns__build *b, const uint8_t *name, unsigned len);

/* Whose records are those of such a name: its own node, else the wildcard that covers it (RFC 4592
 * 3.3.1), else DNS__NONE. */
uint32_t dns__build_covering(const struct dns__build *b, const uint8_t *name, unsigned len);

/* Reports about a record. */
void dns__build_say(struct dns__build *b, enum gtm_severity severity, const struct dns__rec *rec,
                    const char *fmt, ...) GTM_PRINTF(4, 5);

/* All checks; marks duplicates as dropped, sets node flags and cuts, evens out TTLs. Errors are in
 * b->diags. */
void dns__zone_check(struct dns__build *b);

/* Appends the image of all records of one type at a node; returns its place (0 = failed, see
 * b->failed). */
uint32_t dns__image_set(struct dns__build *b, const struct dns__bnode *node, uint16_t type);
/* The SOA for negative answers (RFC 2308 3): owner = the zone's top, TTL = min(TTL, MINIMUM). */
uint32_t dns__image_negative_soa(struct dns__build *b);
/* Addresses of a delegation's name servers as far as this zone has them; 0 when there are none. */
uint32_t dns__image_glue(struct dns__build *b, const struct dns__bnode *cut);
/* Appends zeroed room; NULL after a failure. *ret_place is in units of eight octets. */
void *dns__block_add(struct dns__build *b, size_t len, uint32_t *ret_place);

#endif
