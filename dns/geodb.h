/* SPDX-License-Identifier: Apache-2.0
 *
 * The geography of the whole internet, merged from one or more databases (libloc's location.db, or
 * .mmdb files of City, Country or ASN kind in both record layouts): a table of distinct locations,
 * and for each family a sorted list of disjoint networks that point into it. It is compiled into
 * class maps and then thrown away. Blocking, up to seconds: worker threads only.
 */
#ifndef DNS_GEODB_H
#define DNS_GEODB_H

#include "gtm/base/err.h"
#include "gtm/model/location.h"

#include <stddef.h>
#include <stdint.h>

/* A network; the lists hold them in address order, disjoint, without gaps being filled (an address
 * in no leaf has location 0). */
struct dns_geo_leaf4 {
    uint32_t addr; /* host order */
    uint32_t loc;  /* index into locations */
    uint8_t prefix_len;
};
struct dns_geo_leaf6 {
    uint64_t hi, lo; /* host order */
    uint32_t loc;
    uint8_t prefix_len;
};

struct dns_geodb {
    struct gtm_location *locations; /* [0] = nothing known; each completed from the country table */
    size_t locations_count;
    struct dns_geo_leaf4 *v4;
    size_t v4_count;
    struct dns_geo_leaf6 *v6;
    size_t v6_count;
};

struct dns_geodb_info {
    char kind[32];   /* "libloc", "mmdb" */
    char type[64];   /* "GeoLite2-City", vendor text */
    int64_t built_s; /* Unix time of the build, 0 = unknown */
    uint64_t networks;
};

/* Loads and layers: for each attribute (country, continent, subdivision, point, ASN) the first
 * database in the list that knows it wins; but continent, subdivision and point are not taken from
 * a database that puts the address into another country, and a code that is no country (EU, AP)
 * gives way to a country. Files are copied before they are parsed, so that a file truncated
 * meanwhile cannot kill us. A missing or broken file, or one that says nothing about places or AS
 * numbers, fails the whole load (err names it): GTM_ENOTFOUND, GTM_EDENIED, GTM_EIO, GTM_EINVAL (a
 * directory, …), GTM_EUNSUPPORTED (kind or format version), GTM_ECORRUPT, GTM_ELIMIT, GTM_ETIMEOUT,
 * GTM_ENOMEM. infos (may be NULL) has room for paths_count. NULL on failure. */
struct dns_geodb *dns_geodb_load(const char *const *paths, size_t paths_count,
                                 struct dns_geodb_info *infos, struct gtm_error *err);
void dns_geodb_free(struct dns_geodb *db); /* NULL is fine */

/* What the loaded lists say of one address (binary search); for tests, `geo lookup` and `explain`.
 * family 4 or 6; network order bytes. *ret_prefix_len = the leaf's, or 0 when the address is in
 * none. Never NULL. */
const struct gtm_location *dns_geodb_find(const struct dns_geodb *db, int family,
                                          const uint8_t *addr, unsigned *ret_prefix_len);

#endif
