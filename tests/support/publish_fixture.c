/* SPDX-License-Identifier: Apache-2.0
 *
 * See publish_fixture.h.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "tests/support/publish_fixture.h"

#include "gtm/base/mem.h"
#include "tests/support/build_intent.h"
#include "tests/support/dns_ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char publish_zone_text[] = "$ORIGIN example.com.\n"
                                 "$TTL 300\n"
                                 "@ SOA ns1 admin 1 3600 600 86400 60\n"
                                 "@ NS ns1\n"
                                 "ns1 A 192.0.2.53\n"
                                 "alias CNAME near\n"
                                 "static A 192.0.2.80\n";

/* Three countries, one network each in both families. */
static struct dns_geodb *small_geography(void)
{
    static struct gtm_location locations[] = {
        {.country = ""},
        {.country = "US", .continent = "NA", .has_point = true, .lat = 38, .lon = -97},
        {.country = "IE", .continent = "EU", .has_point = true, .lat = 53, .lon = -8},
        {.country = "SG", .continent = "AS", .has_point = true, .lat = 1.3f, .lon = 103.8f}};
    static struct dns_geo_leaf4 v4[] = {{.addr = 0x0a010000, .loc = 1, .prefix_len = 16},
                                        {.addr = 0x0a020000, .loc = 2, .prefix_len = 16},
                                        {.addr = 0x0a030000, .loc = 3, .prefix_len = 16}};
    static struct dns_geo_leaf6 v6[] = {
        {.hi = UINT64_C(0x2001067c00010000), .loc = 1, .prefix_len = 48},
        {.hi = UINT64_C(0x2001067c00020000), .loc = 2, .prefix_len = 48}};
    static struct dns_geodb db = {.locations = locations,
                                  .locations_count = 4,
                                  .v4 = v4,
                                  .v4_count = 3,
                                  .v6 = v6,
                                  .v6_count = 2};
    return &db;
}

void publish_write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

static unsigned add_pool(struct gtm_intent *in, unsigned number)
{
    static const char *const regions[] = {"us", "eu", "ap"};
    char name[32], v4[32], v6[32];
    snprintf(name, sizeof(name), "pool%u", number);
    unsigned pool = build_pool(in, name);
    for (unsigned r = US; r <= AP; r++) {
        snprintf(name, sizeof(name), "p%u-%s", number, regions[r]);
        snprintf(v4, sizeof(v4), "192.0.%u.%u", number, r + 1);
        snprintf(v6, sizeof(v6), "2001:db8:%u::%u", number, r + 1);
        build_endpoint(in, pool, name, r, v4, r == EU ? v6 : NULL, 100);
    }
    return pool;
}

/* Pools 0 and 1 over all regions; every policy of the enum above, each with its name. */
static struct gtm_intent *small_intent(const char *zone_path)
{
    struct gtm_intent *in = build_intent();
    build_region(in, "us", 38.9, -77.0);
    build_region(in, "eu", 53.3, -6.3);
    build_region(in, "ap", 1.35, 103.8);
    int p0 = (int)add_pool(in, 0), p1 = (int)add_pool(in, 1);
    build_policy(in, "near", GTM_STEER_NEAREST, p0);
    build_policy(in, "closed", GTM_STEER_NEAREST, p0);
    in->policies[CLOSED].all_down = GTM_ALL_DOWN_FAIL_CLOSED;
    build_policy(in, "last", GTM_STEER_FAILOVER, p0);
    in->policies[LAST].all_down = GTM_ALL_DOWN_LAST_GOOD;
    build_policy(in, "backed", GTM_STEER_NEAREST, p0);
    build_backup(in, BACKED, GTM_TARGET_POOL, (unsigned)p1);
    build_policy(in, "open2", GTM_STEER_NEAREST, p1);
    build_policy(in, "split", GTM_STEER_WEIGHTED, -1);
    build_target(in, SPLIT, GTM_TARGET_POLICY, NEAR, 0, 90);
    build_target(in, SPLIT, GTM_TARGET_ENDPOINT, (unsigned)p1, AP, 10);
    build_policy(in, "multi", GTM_STEER_MULTIVALUE, p0);
    in->policies[MULTI].answers = 8;
    build_policy(in, "far", GTM_STEER_LATENCY, p0);
    unsigned zone = build_zone(in, "example.com", zone_path);
    for (unsigned p = NEAR; p <= FAR; p++)
        build_name(in, zone, in->policies[p].name, 3, (int)p);
    build_name(in, zone, "*.wild", 3, NEAR);
    build_name(in, zone, "writer", 1, -1);
    build_name(in, zone, "short", 1, NEAR);
    in->zones[zone].names[in->zones[zone].names_count - 1].has_ttl = true;
    in->zones[zone].names[in->zones[zone].names_count - 1].ttl_s = 5;
    return in;
}

static void take_view(void *ctx, struct dns_view *view)
{
    struct fixture *f = ctx;
    dns_view_unref(f->view);
    f->view = view;
    f->published++;
}

struct gtm_compiled *publish_compile(struct fixture *f, const struct gtm_compiled *previous)
{
    struct gtm_diags diags = {0};
    struct gtm_compiled *c = gtm_compile(f->in, f->db, previous, &diags);
    if (!c)
        gtm_diags_print(&diags, stderr);
    gtm_diags_fini(&diags);
    return c;
}

int publish_setup(void **state)
{
    struct gtm_error err = {0};
    struct fixture *f = gtm_calloc(1, sizeof(*f));
    snprintf(f->zone_path, sizeof(f->zone_path), "/tmp/gtm-publish-XXXXXX");
    close(mkstemp(f->zone_path));
    publish_write_file(f->zone_path, publish_zone_text);
    f->in = small_intent(f->zone_path);
    f->db = small_geography();
    f->states = gtm_states_new(f->in);
    assert_int_equal(gtm_touched_init(&f->touched, f->in->pools_count), 0);
    f->compiled = publish_compile(f, NULL);
    assert_non_null(f->compiled);
    f->pub = gtm_publisher_new(take_view, f);
    assert_int_equal(gtm_publisher_install(f->pub, f->compiled, f->states, &err), 0);
    *state = f;
    return 0;
}

int publish_teardown(void **state)
{
    struct fixture *f = *state;
    gtm_publisher_free(f->pub);
    gtm_compiled_unref(f->compiled);
    dns_view_unref(f->view);
    gtm_touched_fini(&f->touched);
    gtm_states_free(f->states);
    unlink(f->zone_path);
    build_free(f->in);
    gtm_free(f);
    return 0;
}

void publish_flip(struct fixture *f)
{
    struct gtm_error err = {0};
    assert_int_equal(gtm_publisher_flip(f->pub, f->states, &f->touched, &err), 0);
    gtm_touched_clear(&f->touched);
}

void publish_set(struct fixture *f, unsigned pool, unsigned endpoint, enum gtm_health health)
{
    for (unsigned family = 0; family < GTM_FAMILY_COUNT; family++)
        gtm_states_set_health(f->states, pool, endpoint, family, health, &f->touched);
}

void publish_set_pool(struct fixture *f, unsigned pool, enum gtm_health health)
{
    for (unsigned e = US; e <= AP; e++)
        publish_set(f, pool, e, health);
    publish_flip(f);
}

const char *publish_dig(struct fixture *f, const char *name, uint16_t type, const char *ecs)
{
    struct ask ask = {.name = name, .type = type, .ecs = ecs};
    return ask_view(f->view, &ask);
}
