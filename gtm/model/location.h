/* SPDX-License-Identifier: Apache-2.0
 *
 * Where an address is, as far as the geography databases know; and the table of countries
 * (continent, one point each) that fills what a database leaves out. Pure data, thread-safe.
 */
#ifndef GTM_MODEL_LOCATION_H
#define GTM_MODEL_LOCATION_H

#include <stdbool.h>
#include <stdint.h>

/* All-zero = nothing known. Codes are upper-case ASCII, NUL-terminated. */
struct gtm_location {
    char country[3];     /* ISO 3166-1 alpha-2, "" = unknown */
    char continent[3];   /* AF AN AS EU NA OC SA, "" = unknown */
    char subdivision[4]; /* ISO 3166-2 without the country ("CA" of US-CA), "" = unknown */
    bool has_point;
    float lat, lon; /* degrees, north and east positive */
    uint32_t asn;   /* 0 = unknown */
};

struct gtm_country {
    char code[3];
    char continent[3];
    float lat, lon; /* a representative point, degrees */
    const char *name;
};

/* Sorted by code. The points are the "geographic coordinates" of the CIA World Factbook (public
 * domain). */
extern const struct gtm_country gtm_countries[];
extern const unsigned gtm_countries_count;

/* NULL when the code is not a known country. Upper-case code. */
const struct gtm_country *gtm_country_find(const char *code);

/* True for the seven continent codes. */
bool gtm_continent_valid(const char *code);

/* Fills continent and point from the country table where they are missing. */
void gtm_location_complete(struct gtm_location *loc);

/* Great-circle distance in kilometres (haversine, sphere of 6,371 km). */
double gtm_distance_km(double lat1, double lon1, double lat2, double lon2);

#endif
