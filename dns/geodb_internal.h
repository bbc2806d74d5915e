/* SPDX-License-Identifier: Apache-2.0
 *
 * What the readers of geography databases share: the file image they parse, the builder they feed,
 * and the sweep that makes nested networks disjoint. Private to dns/geodb*.c; one load, one thread.
 */
#ifndef DNS_GEODB_INTERNAL_H
#define DNS_GEODB_INTERNAL_H

#include "dns/geodb.h"
#include "dns/hash64.h"
#include "dns/key128.h"

#include <stdbool.h>

#define DNS__GEO_FILE_MAX_BYTES ((size_t)1 << 30)
#define DNS__GEO_LEAVES_MAX     ((size_t)1 << 25) /* of one family */
#define DNS__GEO_LOCATIONS_MAX  ((size_t)1 << 24)

/* A private copy of a file: an anonymous memory file, mapped. Nobody else can shorten it. */
struct dns__geo_image {
    const char *path; /* as the caller gave it, for messages */
    int fd;
    uint8_t *data;
    size_t size;
};

/* Collects ranges of one database in address order. Zero-initialise, then dns__geo_builder_init.
 */
struct dns__geo_builder {
    struct dns_geodb *db;
    size_t locations_cap, v4_cap, v6_cap;
    struct dns__hash64 index; /* content of a location → its number */
    struct {
        bool open;
        dns__key first, last;
        uint32_t loc;
    } pending[2]; /* the range not written yet, by family: its neighbour may extend it */
};

int dns__geo_builder_init(struct dns__geo_builder *builder) GTM_MUST_CHECK;
/* The number of an equal location, which is added when it is new. GTM_ENOMEM, GTM_ELIMIT. */
int dns__geo_intern(struct dns__geo_builder *builder, const struct gtm_location *loc,
                    uint32_t *ret_number) GTM_MUST_CHECK;
/* Adds [first, last] (network aligned or not); ranges of a family come in ascending order without
 * overlap, else GTM_ECORRUPT. Location 0 adds nothing. */
int dns__geo_add(struct dns__geo_builder *builder, int family, dns__key first, dns__key last,
                 uint32_t loc) GTM_MUST_CHECK;
/* Writes what is pending and hands the database over. NULL when out of memory. */
struct dns_geodb *dns__geo_builder_take(struct dns__geo_builder *builder);
void dns__geo_builder_fini(struct dns__geo_builder *builder);

/* Makes nested networks disjoint: the most specific wins. Networks come sorted by first address,
 * then by length. */
struct dns__sweep {
    int (*emit)(void *ctx, dns__key first, dns__key last, uint32_t value);
    void *ctx;
    struct {
        dns__key last;
        uint32_t value;
    } stack[130]; /* nested aligned networks of distinct lengths: at most 129 */
    unsigned depth;
    dns__key pos; /* all before it has been emitted */
    bool done;    /* … up to the last address */
};

/* Emits all that ends before `first`. 0 or what emit returned. */
int dns__sweep_to(struct dns__sweep *sweep, dns__key first) GTM_MUST_CHECK;
/* After dns__sweep_to(first): opens a network inside what is open. GTM_ECORRUPT when it is not
 * nested in it. */
int dns__sweep_open(struct dns__sweep *sweep, dns__key first, dns__key last,
                    uint32_t value) GTM_MUST_CHECK;
int dns__sweep_end(struct dns__sweep *sweep) GTM_MUST_CHECK;

/* The readers: fill the builder and info (never NULL). On failure err names what is wrong, without
 * the path. */
bool dns__geo_is_loc(const struct dns__geo_image *image);
int dns__geo_read_loc(const struct dns__geo_image *image, struct dns__geo_builder *builder,
                      struct dns_geodb_info *info, struct gtm_error *err) GTM_MUST_CHECK;
bool dns__geo_is_mmdb(const struct dns__geo_image *image);
int dns__geo_read_mmdb(const struct dns__geo_image *image, struct dns__geo_builder *builder,
                       struct dns_geodb_info *info, struct gtm_error *err) GTM_MUST_CHECK;

/* Layers `over` on `under` (neither is changed). NULL on failure. */
struct dns_geodb *dns__geo_merge(const struct dns_geodb *over, const struct dns_geodb *under,
                                 struct gtm_error *err);

/* Checks the value at `offset` of a MaxMind DB data section before the library, which recurses
 * without a limit, may look at it: everything inside data[0..size), depth and number of values
 * bounded. Counts values down in *budget. 0, GTM_ECORRUPT or GTM_ELIMIT. */
int dns__mmdb_check_value(const uint8_t *data, size_t size, size_t offset,
                          uint64_t *budget) GTM_MUST_CHECK;

#endif
