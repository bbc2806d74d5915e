/* SPDX-License-Identifier: Apache-2.0
 *
 * Publishing, asked through dns_answer: every all-down form, what a flip touches, what is shared
 * between policies and between compiles, failures of memory, and explain against the answers.
 */
#include "gtm/daemon/publish.h"

#include "dns/geodb.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/publish_int.h"
#include "tests/support/build_intent.h"

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "tests/support/dns_ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define A    GTM_TYPE_A
#define AAAA GTM_TYPE_AAAA

static const char zone_text[] = "$ORIGIN example.com.\n"
                                "$TTL 300\n"
                                "@ SOA ns1 admin 1 3600 600 86400 60\n"
                                "@ NS ns1\n"
                                "ns1 A 192.0.2.53\n"
                                "alias CNAME near\n"
                                "static A 192.0.2.80\n";

enum { US, EU, AP };
enum { NEAR, CLOSED, LAST, BACKED, OPEN2, SPLIT, MULTI, FAR };

struct fixture {
    char zone_path[64];
    struct gtm_intent *in;
    struct gtm_states *states;
    struct gtm_touched touched;
    struct dns_geodb *db;
    struct gtm_compiled *compiled;
    struct gtm_publisher *pub;
    struct dns_view *view; /* as published last */
    unsigned published;
};

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

static void write_file(const char *path, const char *text)
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

static struct gtm_compiled *compile(struct fixture *f, const struct gtm_compiled *previous)
{
    struct gtm_diags diags = {0};
    struct gtm_compiled *c = gtm_compile(f->in, f->db, previous, &diags);
    if (!c)
        gtm_diags_print(&diags, stderr);
    gtm_diags_fini(&diags);
    return c;
}

static int setup(void **state)
{
    struct gtm_error err = {0};
    struct fixture *f = gtm_calloc(1, sizeof(*f));
    snprintf(f->zone_path, sizeof(f->zone_path), "/tmp/gtm-publish-XXXXXX");
    close(mkstemp(f->zone_path));
    write_file(f->zone_path, zone_text);
    f->in = small_intent(f->zone_path);
    f->db = small_geography();
    f->states = gtm_states_new(f->in);
    assert_int_equal(gtm_touched_init(&f->touched, f->in->pools_count), 0);
    f->compiled = compile(f, NULL);
    assert_non_null(f->compiled);
    f->pub = gtm_publisher_new(take_view, f);
    assert_int_equal(gtm_publisher_install(f->pub, f->compiled, f->states, &err), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
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

static void flip(struct fixture *f)
{
    struct gtm_error err = {0};
    assert_int_equal(gtm_publisher_flip(f->pub, f->states, &f->touched, &err), 0);
    gtm_touched_clear(&f->touched);
}

static void set(struct fixture *f, unsigned pool, unsigned endpoint, enum gtm_health health)
{
    for (unsigned family = 0; family < GTM_FAMILY_COUNT; family++)
        gtm_states_set_health(f->states, pool, endpoint, family, health, &f->touched);
}

static void set_pool(struct fixture *f, unsigned pool, enum gtm_health health)
{
    for (unsigned e = US; e <= AP; e++)
        set(f, pool, e, health);
    flip(f);
}

static const char *dig(struct fixture *f, const char *name, uint16_t type, const char *ecs)
{
    struct ask ask = {.name = name, .type = type, .ecs = ecs};
    return ask_view(f->view, &ask);
}

#define SOA                                  "example.com. 60 SOA ns1.example.com. admin.example.com. 1 3600 600 86400 60"
#define assert_dig(f, name, type, ecs, want) assert_string_equal(dig(f, name, type, ecs), want)
/* The answer has this substring. */
#define assert_dig_has(f, name, type, ecs, want) \
    assert_non_null(strstr(dig(f, name, type, ecs), want))

static void clients_go_to_their_nearest_region(void **state)
{
    struct fixture *f = *state;
    assert_dig_has(f, "near.example.com", A, "10.1.2.0/24", "near.example.com. 30 A 192.0.0.1 |");
    assert_dig_has(f, "near.example.com", A, "10.2.2.0/24", "near.example.com. 30 A 192.0.0.2 |");
    assert_dig_has(f, "near.example.com", A, "10.3.2.0/24", "near.example.com. 30 A 192.0.0.3 |");
    assert_dig_has(f, "near.example.com", A, "2001:67c:2::/48", " 30 A 192.0.0.2 |");
    assert_dig_has(f, "near.example.com", AAAA, "10.1.2.0/24", " 30 AAAA 2001:db8::2 |");
    assert_dig_has(f, "x.y.wild.example.com", A, "10.3.2.0/24", " 30 A 192.0.0.3 |");
    assert_dig_has(f, "short.example.com", A, "10.3.2.0/24", " 5 A 192.0.0.3 |");
    assert_dig_has(f, "alias.example.com", A, "10.2.2.0/24", "near.example.com. 30 A 192.0.0.2 |");
    assert_dig_has(f, "near.example.com", A, "10.2.2.0/24", "scope=16");
    assert_dig_has(f, "static.example.com", A, "10.2.2.0/24", " 300 A 192.0.2.80 |");
}

static void a_dead_region_is_left_and_found_again(void **state)
{
    struct fixture *f = *state;
    set(f, 0, EU, GTM_HEALTH_DOWN);
    flip(f);
    assert_dig_has(f, "near.example.com", A, "10.2.2.0/24", " A 192.0.0.1 |");
    assert_dig_has(f, "near.example.com", A, "10.2.2.0/24", "scope=16"); /* as before */
    assert_dig_has(f, "open2.example.com", A, "10.2.2.0/24", " A 192.0.1.2 |");
    set(f, 0, EU, GTM_HEALTH_UP);
    flip(f);
    assert_dig_has(f, "near.example.com", A, "10.2.2.0/24", " A 192.0.0.2 |");
    gtm_states_set_region_admin(f->states, EU, GTM_ADMIN_DRAIN, &f->touched);
    flip(f);
    assert_dig_has(f, "near.example.com", A, "10.2.2.0/24", " A 192.0.0.1 |");
    assert_dig_has(f, "open2.example.com", A, "10.2.2.0/24", " A 192.0.1.1 |");
}

static void families_fail_alone(void **state)
{
    struct fixture *f = *state;
    gtm_states_set_health(f->states, 0, EU, GTM_FAMILY_V6, GTM_HEALTH_DOWN, &f->touched);
    flip(f);
    assert_dig_has(f, "near.example.com", A, "10.2.2.0/24", " A 192.0.0.2 |");
    /* the only IPv6 endpoint is down: fail_open keeps it */
    assert_dig_has(f, "near.example.com", AAAA, "10.2.2.0/24", " AAAA 2001:db8::2 |");
    assert_dig_has(f, "closed.example.com", AAAA, "10.2.2.0/24", "SERVFAIL");
    assert_dig_has(f, "closed.example.com", A, "10.2.2.0/24", "192.0.0.2");
}

static void all_down_answers_as_ordered(void **state)
{
    struct fixture *f = *state;
    struct gtm_publisher_info info;
    set(f, 0, US, GTM_HEALTH_DOWN);
    set(f, 0, EU, GTM_HEALTH_DOWN);
    flip(f);
    gtm_publisher_info(f->pub, &info);
    assert_int_equal(info.fail_closed, 1); /* closed, in IPv6, which only eu has */
    set(f, 0, AP, GTM_HEALTH_DOWN);
    flip(f);
    assert_dig_has(f, "near.example.com", A, "10.2.2.0/24", " A 192.0.0.2 |");
    assert_dig_has(f, "near.example.com", A, "10.3.2.0/24", " A 192.0.0.3 |");
    assert_dig_has(f, "closed.example.com", A, "10.2.2.0/24", "SERVFAIL");
    assert_dig_has(f, "closed.example.com", A, "10.2.2.0/24",
                   "all endpoints of closed are down (fail_closed)");
    assert_dig_has(f, "last.example.com", A, "10.2.2.0/24", " A 192.0.0.3 |"); /* fell last */
    assert_dig_has(f, "multi.example.com", A, "10.2.2.0/24",
                   "A 192.0.0.1; multi.example.com. 30 A 192.0.0.2; multi.example.com. 30 A "
                   "192.0.0.3 |");
    const char *backed = dig(f, "backed.example.com", A, "10.2.2.0/24");
    assert_non_null(strstr(backed, " A 192.0.1."));
    /* the canary alone has something left */
    assert_dig_has(f, "split.example.com", A, "10.2.2.0/24", " A 192.0.1.3 |");
    gtm_publisher_info(f->pub, &info);
    assert_int_equal(info.fail_closed, 1);
    assert_true(info.fail_open >= 4); /* near (twice: two TTLs), last, multi */
    set_pool(f, 1, GTM_HEALTH_DOWN);
    /* the backup is down too: it fails open to its own */
    assert_dig_has(f, "backed.example.com", A, "10.2.2.0/24", " A 192.0.0.2 |");
    set_pool(f, 0, GTM_HEALTH_UP);
    set_pool(f, 1, GTM_HEALTH_UP);
    gtm_publisher_info(f->pub, &info);
    assert_int_equal(info.fail_closed, 0);
    assert_int_equal(info.fail_open, 0);
    assert_dig_has(f, "closed.example.com", A, "10.2.2.0/24", " A 192.0.0.2 |");
}

static void what_is_not_active_says_so(void **state)
{
    struct fixture *f = *state;
    assert_dig_has(f, "far.example.com", A, NULL, "SERVFAIL");
    struct ask ask = {.name = "far.example.com", .type = A, .edns = true};
    assert_non_null(strstr(ask_view(f->view, &ask), "policy far is not active yet"));
    ask.name = "writer.example.com";
    assert_non_null(strstr(ask_view(f->view, &ask), "SERVFAIL"));
    assert_non_null(strstr(ask_view(f->view, &ask), "is not active yet"));
    ask.type = AAAA; /* not asked to answer it: the name exists all the same */
    assert_non_null(strstr(ask_view(f->view, &ask), "NOERROR"));
}

static void no_address_of_a_family_is_nodata(void **state)
{
    struct fixture *f = *state;
    for (unsigned e = US; e <= AP; e++)
        f->in->pools[0].endpoints[e].has_v6 = false;
    struct gtm_compiled *c = compile(f, f->compiled);
    struct gtm_error err = {0};
    assert_int_equal(gtm_publisher_install(f->pub, c, f->states, &err), 0);
    assert_dig_has(f, "near.example.com", AAAA, "10.2.2.0/24", "NOERROR aa | | " SOA);
    gtm_compiled_unref(c);
}

static void a_flip_rebuilds_only_what_uses_the_pool(void **state)
{
    struct fixture *f = *state;
    struct gtm_publisher_info before, after;
    gtm_publisher_info(f->pub, &before);
    assert_int_equal(before.tables, 10); /* 8 policies, one with a second TTL, a group */
    assert_int_equal(before.tables_built, 10);
    set(f, 1, EU, GTM_HEALTH_DOWN);
    flip(f);
    gtm_publisher_info(f->pub, &after);
    /* pool 1: backed, open2, split; but only open2's answers differ */
    assert_int_equal(after.tables_built - before.tables_built, 3);
    assert_int_equal(after.choices_built - before.choices_built, 0); /* us' answer is ready */
    assert_int_equal(after.revision, before.revision + 1);
    assert_int_equal(dns_view_revision(f->view), after.revision);
    /* up with nobody looking: no new view */
    gtm_touched_add(&f->touched, 1);
    flip(f);
    gtm_publisher_info(f->pub, &before);
    assert_int_equal(before.revision, after.revision);
    assert_int_equal(f->published, 2);
}

static void equal_things_are_shared(void **state)
{
    struct fixture *f = *state;
    struct gtm_compiled_info info;
    struct gtm_publisher_info now;
    gtm_compiled_info(f->compiled, &info);
    /* near, closed, backed, open2, split's part: one map; the rest has no geography */
    assert_int_equal(info.maps, 2);
    assert_int_equal(info.tables, 10);
    /* one for each country, and the trivial one; the unknown place is ranked like the US */
    assert_int_equal(info.classes, 3 + 1);
    gtm_publisher_info(f->pub, &now);
    assert_int_equal(now.picks, 3); /* all regions; only eu (IPv6); trivial */
    const struct gtm__state *s = f->pub->state;
    const struct gtm__table *t = s->compiled->tables;
    for (size_t i = 0; i < s->compiled->tables_count; i++)
        if (!t[i].is_group && t[i].index != FAR && s->compiled->maps[t[i].map]->parts > 0)
            assert_ptr_equal(s->tables[i].family[0].picks, s->tables[0].family[0].picks);
}

static void a_compile_takes_over_what_is_unchanged(void **state)
{
    struct fixture *f = *state;
    struct gtm_compiled_info info;
    struct gtm_compiled *same = compile(f, f->compiled);
    gtm_compiled_info(same, &info);
    assert_int_equal(info.zones_reused, 1);
    assert_int_equal(info.maps_reused, 2);
    assert_ptr_equal(gtm_compiled_zone(same, 0), gtm_compiled_zone(f->compiled, 0));
    gtm_compiled_unref(same);

    char text[600];
    snprintf(text, sizeof(text), "%s%s", zone_text, "more A 192.0.2.81\n");
    write_file(f->zone_path, text);
    struct gtm_compiled *edited = compile(f, f->compiled);
    gtm_compiled_info(edited, &info);
    assert_int_equal(info.zones_reused, 0);
    assert_int_equal(info.maps_reused, 2);
    gtm_compiled_unref(edited);

    write_file(f->zone_path, zone_text);
    f->in->regions[AP].lat = 10;
    f->in->zones[0].names[0].policy = MULTI;
    struct gtm_compiled *moved = compile(f, f->compiled);
    gtm_compiled_info(moved, &info);
    assert_int_equal(info.zones_reused, 0); /* a name has another slot */
    assert_int_equal(info.maps_reused, 1);  /* the trivial one */
    gtm_compiled_unref(moved);
    f->in->regions[AP].lat = 1.35;
    f->db = NULL;
    struct gtm_compiled *blind = compile(f, f->compiled);
    gtm_compiled_info(blind, &info);
    assert_int_equal(info.maps_reused, 1);
    assert_false(info.has_geography);
    struct gtm_error err = {0};
    assert_int_equal(gtm_publisher_install(f->pub, blind, f->states, &err), 0);
    assert_dig_has(f, "open2.example.com", A, "10.2.2.0/24", " A 192.0.1.1 |"); /* default order */
    gtm_compiled_unref(blind);
}

static void included_files_are_always_read_again(void **state)
{
    struct fixture *f = *state;
    struct gtm_compiled_info info;
    char part[80], text[600];
    snprintf(part, sizeof(part), "%s.part", f->zone_path);
    snprintf(text, sizeof(text), "%s$INCLUDE %s\n", zone_text, part);
    write_file(f->zone_path, text);
    write_file(part, "one A 192.0.2.81\n");
    struct gtm_compiled *first = compile(f, NULL);
    assert_non_null(first);
    write_file(part, "two A 192.0.2.82\n");
    struct gtm_compiled *second = compile(f, first);
    gtm_compiled_info(second, &info);
    assert_int_equal(info.zones_reused, 0);
    struct gtm_error err = {0};
    assert_int_equal(gtm_publisher_install(f->pub, second, f->states, &err), 0);
    assert_dig_has(f, "two.example.com", A, NULL, " A 192.0.2.82 |");
    gtm_compiled_unref(first);
    gtm_compiled_unref(second);
    unlink(part);
}

static void errors_are_all_told_and_change_nothing(void **state)
{
    struct fixture *f = *state;
    struct gtm_diags diags = {0};
    write_file(f->zone_path, "$ORIGIN example.com.\n$TTL 300\nwww A 192.0.2.300\nwww TYPO x\n");
    build_zone(f->in, "missing.test", "/nonexistent/zone");
    assert_null(gtm_compile(f->in, f->db, f->compiled, &diags));
    assert_true(diags.errors >= 3);
    gtm_diags_fini(&diags);
    assert_dig_has(f, "near.example.com", A, "10.2.2.0/24", " A 192.0.0.2 |");
    struct gtm_error err = {0};
    struct gtm_intent *other = build_intent();
    struct gtm_states *strange = gtm_states_new(other);
    assert_int_equal(gtm_publisher_flip(f->pub, strange, &f->touched, &err), GTM_EINVAL);
    assert_int_equal(gtm_publisher_install(f->pub, f->compiled, strange, &err), GTM_EINVAL);
    gtm_states_free(strange);
    build_free(other);
}

/* Every single allocation of a flip fails once: the old answer or the new, never another; and the
 * next flip catches up although nobody names the pool again. */
static void a_flip_without_memory_is_made_up_for(void **state)
{
    struct fixture *f = *state;
    struct gtm_error err = {0};
    bool done = false;
    for (unsigned n = 1; !done; n++) {
        assert_true(n < 500);
        set(f, 0, EU, n % 2 ? GTM_HEALTH_DOWN : GTM_HEALTH_UP);
        const char *want = n % 2 ? " A 192.0.0.1 |" : " A 192.0.0.2 |";
        const char *old = n % 2 ? " A 192.0.0.2 |" : " A 192.0.0.1 |";
        gtm_mem_fail_at(n, 0);
        int rc = gtm_publisher_flip(f->pub, f->states, &f->touched, &err);
        gtm_mem_fail_at(0, 0);
        gtm_touched_clear(&f->touched);
        done = rc == GTM_OK;
        if (!done) {
            assert_int_equal(rc, GTM_ENOMEM);
            const char *got = dig(f, "near.example.com", A, "10.2.2.0/24");
            assert_true(strstr(got, want) || strstr(got, old));
            flip(f);
        }
        assert_dig_has(f, "near.example.com", A, "10.2.2.0/24", want);
    }
}

static void an_install_or_compile_without_memory_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct gtm_error err = {0};
    unsigned failures = 0;
    bool done = false;
    for (unsigned n = 1; !done; n++) {
        gtm_mem_fail_at(n, 0);
        done = gtm_publisher_install(f->pub, f->compiled, f->states, &err) == GTM_OK;
        gtm_mem_fail_at(0, 0);
        assert_dig_has(f, "near.example.com", A, "10.2.2.0/24", " A 192.0.0.2 |");
        failures += !done;
    }
    assert_true(failures > 20);
    done = false;
    for (unsigned n = 1; !done; n += 1 + n / 16) {
        struct gtm_diags diags = {0};
        gtm_mem_fail_at(n, 1);
        struct gtm_compiled *c = gtm_compile(f->in, f->db, NULL, &diags);
        gtm_mem_fail_at(0, 0);
        done = c != NULL;
        assert_true(done || diags.errors > 0);
        gtm_compiled_unref(c);
        gtm_diags_fini(&diags);
    }
}

/* What explain says is what dig gets, for every name, family and place, in several states. */
static void explain_agrees_with_the_answer(struct fixture *f)
{
    static const char *const places[] = {"10.1.2.0", "10.2.2.0", "10.3.2.0", "10.9.2.0"};
    for (unsigned p = NEAR; p <= FAR; p++) {
        for (unsigned i = 0; i < 8; i++) {
            char name[64], ecs[32];
            struct gtm_error err = {0};
            struct gtm_explain_query q = {.type = i & 1 ? AAAA : A, .family = 4, .prefix_len = 24};
            snprintf(name, sizeof(name), "%s.example.com", f->in->policies[p].name);
            snprintf(ecs, sizeof(ecs), "%s/24", places[i / 2]);
            q.name = name;
            memcpy(q.addr, (uint8_t[4]){10, (uint8_t)(places[i / 2][3] - '0'), 2, 77}, 4);
            struct gtm_json *said = gtm_explain(f->pub, f->states, &q, &err);
            assert_non_null(said);
            const char *got = dig(f, name, q.type, ecs);
            const struct gtm_json *answer = gtm_json_get(said, "answer");
            const char *rcode = gtm_json_str(answer, "rcode", "");
            assert_memory_equal(got, rcode, strlen(rcode));
            assert_string_equal(gtm_json_str(said, "policy", ""), f->in->policies[p].name);
            char scope[32];
            snprintf(scope, sizeof(scope), "scope=%d", (int)gtm_json_i64(answer, "scope", -1));
            assert_non_null(strstr(got, scope));
            /* every record of an answer is one of the endpoints that explain names */
            const struct gtm_json *options = gtm_json_get(said, "options");
            const struct gtm_json *r = gtm_json_first(gtm_json_get(answer, "records"));
            assert_int_equal(r != NULL, gtm_json_count(options) > 0);
            for (; r; r = gtm_json_next(r)) {
                size_t possible = 0;
                bool found = false;
                const struct gtm_json *o = gtm_json_first(options);
                for (; o; o = gtm_json_next(o)) {
                    const struct gtm_json *e = gtm_json_first(gtm_json_get(o, "endpoints"));
                    possible += gtm_json_count(gtm_json_get(o, "endpoints"));
                    for (; e; e = gtm_json_next(e))
                        found |= strcmp(gtm_json_str(e, "address", "?"),
                                        gtm_json_str(r, "data", "!")) == 0;
                }
                assert_true(found);
                if (possible == 1)
                    assert_non_null(strstr(got, gtm_json_str(r, "data", "!")));
            }
            gtm_json_free(said);
        }
    }
}

static void explain_says_what_clients_get(void **state)
{
    struct fixture *f = *state;
    explain_agrees_with_the_answer(f);
    set(f, 0, EU, GTM_HEALTH_DOWN);
    flip(f);
    explain_agrees_with_the_answer(f);
    set_pool(f, 0, GTM_HEALTH_DOWN);
    explain_agrees_with_the_answer(f);
    set_pool(f, 1, GTM_HEALTH_DOWN);
    explain_agrees_with_the_answer(f);
}

static char *explain_text(struct fixture *f, const char *name, uint8_t octet)
{
    struct gtm_error err = {0};
    struct gtm_location loc = {.country = "IE", .continent = "EU", .asn = 64500};
    struct gtm_explain_query q = {.name = name,
                                  .type = A,
                                  .family = 4,
                                  .addr = {10, octet, 2, 77},
                                  .prefix_len = 24,
                                  .loc = &loc};
    struct gtm_json *said = gtm_explain(f->pub, f->states, &q, &err);
    char *text = said ? gtm_json_print(said, false) : NULL;
    assert_non_null(text);
    gtm_json_free(said);
    return text;
}

static void explain_names_each_step(void **state)
{
    struct fixture *f = *state;
    set(f, 0, EU, GTM_HEALTH_DOWN);
    flip(f);
    static const struct {
        const char *name, *has;
    } rows[] = {
        {"near.example.com", "\"subnet\":\"10.2.2.0/24\""},
        {"near.example.com", "\"country\":\"IE\""},
        {"near.example.com", "\"regions\":[\"eu\",\"us\",\"ap\"]"},
        {"near.example.com", "endpoint p0-eu in eu skipped: down"},
        {"near.example.com", "region eu is preferred but has no usable endpoint"},
        {"near.example.com", "\"data\":\"192.0.0.1\""},
        {"near.example.com", "\"mode\":\"normal\",\"fail_open\":false"},
        {"ALIAS.example.com.", "\"policy\":\"near\""},
        {"a.b.wild.example.com", "\"policy\":\"near\""},
        {"split.example.com", "policy near gets 90 % of all users"},
        {"static.example.com", "static.example.com. is answered from the zone file"},
        {"nothing.example.com", "\"rcode\":\"NXDOMAIN\""},
        {"www.example.net", "www.example.net. is in no zone of this node"},
        {"writer.example.com", "is not active yet: SERVFAIL"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *text = explain_text(f, rows[i].name, 2);
        if (!strstr(text, rows[i].has))
            print_error("%s: no %s in %s\n", rows[i].name, rows[i].has, text);
        assert_non_null(strstr(text, rows[i].has));
        gtm_free(text);
    }
}

static void explain_refuses_what_is_no_question(void **state)
{
    struct fixture *f = *state;
    struct gtm_error err = {0};
    struct gtm_explain_query q = {.name = "a..b", .type = A, .family = 4, .prefix_len = 24};
    assert_null(gtm_explain(f->pub, f->states, &q, &err));
    q = (struct gtm_explain_query){.name = "near.example.com", .family = 4, .prefix_len = 33};
    assert_null(gtm_explain(f->pub, f->states, &q, &err));
    assert_int_equal(err.code, GTM_EINVAL);
    struct gtm_publisher *none = gtm_publisher_new(NULL, NULL);
    q.prefix_len = 24;
    assert_null(gtm_explain(none, f->states, &q, &err));
    assert_int_equal(err.code, GTM_ESTATE);
    gtm_publisher_free(none);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(clients_go_to_their_nearest_region),
        T(a_dead_region_is_left_and_found_again),
        T(families_fail_alone),
        T(all_down_answers_as_ordered),
        T(what_is_not_active_says_so),
        T(no_address_of_a_family_is_nodata),
        T(a_flip_rebuilds_only_what_uses_the_pool),
        T(equal_things_are_shared),
        T(a_compile_takes_over_what_is_unchanged),
        T(included_files_are_always_read_again),
        T(errors_are_all_told_and_change_nothing),
        T(a_flip_without_memory_is_made_up_for),
        T(an_install_or_compile_without_memory_changes_nothing),
        T(explain_says_what_clients_get),
        T(explain_names_each_step),
        T(explain_refuses_what_is_no_question),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
