/* SPDX-License-Identifier: Apache-2.0
 *
 * Look-ups in the country table and distances on the sphere. Not the table itself (countries.c) and
 * not the databases (dns/geodb). Pure; any thread.
 */
#include "gtm/model/location.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EARTH_RADIUS_KM 6371.0

static int country_compare(const void *key, const void *entry)
{
    return strcmp(key, ((const struct gtm_country *)entry)->code);
}

const struct gtm_country *gtm_country_find(const char *code)
{
    return bsearch(code, gtm_countries, gtm_countries_count, sizeof(gtm_countries[0]),
                   country_compare);
}

bool gtm_continent_valid(const char *code)
{
    static const char codes[][3] = {"AF", "AN", "AS", "EU", "NA", "OC", "SA"};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (strcmp(code, codes[i]) == 0)
            return true;
    return false;
}

void gtm_location_complete(struct gtm_location *loc)
{
    const struct gtm_country *country = gtm_country_find(loc->country);
    if (!country)
        return;
    if (loc->continent[0] == '\0')
        memcpy(loc->continent, country->continent, sizeof(loc->continent));
    if (!loc->has_point) {
        loc->has_point = true;
        loc->lat = country->lat;
        loc->lon = country->lon;
    }
}

static double radians(double degrees)
{
    return degrees * (3.14159265358979323846 / 180.0);
}

double gtm_distance_km(double lat1, double lon1, double lat2, double lon2)
{
    double dlat = sin(radians(lat2 - lat1) / 2), dlon = sin(radians(lon2 - lon1) / 2);
    double h = dlat * dlat + cos(radians(lat1)) * cos(radians(lat2)) * dlon * dlon;
    /* Rounding can carry antipodes just past 1, where asin is undefined. */
    return 2 * EARTH_RADIUS_KM * asin(h >= 1 ? 1 : sqrt(h));
}
