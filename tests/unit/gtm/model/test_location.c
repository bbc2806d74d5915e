/* SPDX-License-Identifier: Apache-2.0
 *
 * The country table is complete, sorted and sane; distances are those of the sphere.
 */
#include "gtm/model/location.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void assert_near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%.3f is not within %.3f of %.3f", got, tolerance, want);
}

static void test_table_is_sorted_and_sane(void **state)
{
    assert_int_equal(gtm_countries_count, 250); /* ISO 3166-1 has 249, and XK */
    for (unsigned i = 0; i < gtm_countries_count; i++) {
        const struct gtm_country *c = &gtm_countries[i];
        assert_int_equal(strlen(c->code), 2);
        if (i > 0)
            assert_true(strcmp(gtm_countries[i - 1].code, c->code) < 0);
        assert_true(gtm_continent_valid(c->continent));
        assert_true(c->lat >= -90 && c->lat <= 90 && c->lon >= -180 && c->lon <= 180);
        assert_true(c->name[0] != '\0');
        assert_ptr_equal(gtm_country_find(c->code), c);
    }
}

/* The C library's time zone data bring the official list: every code of it must be ours. */
static void test_table_has_every_iso_code(void **state)
{
    FILE *f = fopen("/usr/share/zoneinfo/iso3166.tab", "r");
    if (!f)
        skip();
    char line[256];
    unsigned seen = 0;
    while (fgets(line, sizeof(line), f)) {
        if (line[0] == '#')
            continue;
        line[2] = '\0';
        if (!gtm_country_find(line))
            fail_msg("country %s is missing", line);
        seen++;
    }
    fclose(f);
    assert_int_equal(seen, 249);
    assert_non_null(gtm_country_find("XK"));
}

static void test_special_codes_are_no_countries(void **state)
{
    static const char *const codes[] = {"", "A1", "A2", "A3", "T1", "XD", "EU", "AP", "ZZ", "us"};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        assert_null(gtm_country_find(codes[i]));
    assert_false(gtm_continent_valid(""));
    assert_false(gtm_continent_valid("XX"));
}

static void test_complete_fills_only_what_is_missing(void **state)
{
    struct gtm_location loc = {.country = "DE"};
    gtm_location_complete(&loc);
    assert_string_equal(loc.continent, "EU");
    assert_true(loc.has_point);
    assert_near(loc.lat, 51, 0.01);
    assert_near(loc.lon, 9, 0.01);

    struct gtm_location own = {.country = "DE", .continent = "AS", .has_point = true, .lat = 1};
    gtm_location_complete(&own);
    assert_string_equal(own.continent, "AS");
    assert_near(own.lat, 1, 0);
    assert_near(own.lon, 0, 0);

    struct gtm_location none = {.country = "A1"};
    gtm_location_complete(&none);
    assert_false(none.has_point);
    assert_string_equal(none.continent, "");
}

static void test_distance(void **state)
{
    const double half = 3.14159265358979 * 6371;
    assert_near(gtm_distance_km(0, 0, 0, 0), 0, 0);
    assert_near(gtm_distance_km(90, 0, -90, 0), half, 0.001);
    assert_near(gtm_distance_km(0, 0, 0, 180), half, 0.001);
    assert_near(gtm_distance_km(0, 179.5, 0, -179.5), half / 180, 0.001); /* over the date line */
    assert_near(gtm_distance_km(51.5074, -0.1278, 40.7128, -74.006), 5570,
                5);                                 /* London, New York */
    for (int lon = -18000; lon <= 18000; lon += 37) /* antipodes: never NaN */
        assert_near(gtm_distance_km(33.3, lon / 100.0, -33.3, lon / 100.0 + 180), half, 0.01);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_is_sorted_and_sane),
        cmocka_unit_test(test_table_has_every_iso_code),
        cmocka_unit_test(test_special_codes_are_no_countries),
        cmocka_unit_test(test_complete_fills_only_what_is_missing),
        cmocka_unit_test(test_distance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
