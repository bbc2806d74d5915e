/* SPDX-License-Identifier: Apache-2.0
 *
 * Publishing, asked through dns_answer: every all-down form, what a flip touches, what is shared
 * between policies and between compiles, failures of memory.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "tests/support/publish_fixture.h"

#include "gtm/base/mem.h"
#include "gtm/daemon/publish_int.h"
#include "tests/support/build_intent.h"
#include "tests/support/dns_ask.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SOA "example.com. 60 SOA ns1.example.com. admin.example.com. 1 3600 600 86400 60"
#define assert_dig(f, name, type, ecs, want) \
    assert_string_equal(publish_dig(f, name, type, ecs), want)
/* The answer has this substring. */
#define assert_dig_has(f, name, type, ecs, want) \
    assert_non_null(strstr(publish_dig(f, name, type, ecs), want))

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
    publish_set(f, 0, EU, GTM_HEALTH_DOWN);
    publish_flip(f);
    assert_dig_has(f, "near.example.com", A, "10.2.2.0/24", " A 192.0.0.1 |");
    assert_dig_has(f, "near.example.com", A, "10.2.2.0/24", "scope=16"); /* as before */
    assert_dig_has(f, "open2.example.com", A, "10.2.2.0/24", " A 192.0.1.2 |");
    publish_set(f, 0, EU, GTM_HEALTH_UP);
    publish_flip(f);
    assert_dig_has(f, "near.example.com", A, "10.2.2.0/24", " A 192.0.0.2 |");
    gtm_states_set_region_admin(f->states, EU, GTM_ADMIN_DRAIN, &f->touched);
    publish_flip(f);
    assert_dig_has(f, "near.example.com", A, "10.2.2.0/24", " A 192.0.0.1 |");
    assert_dig_has(f, "open2.example.com", A, "10.2.2.0/24", " A 192.0.1.1 |");
}

static void families_fail_alone(void **state)
{
    struct fixture *f = *state;
    gtm_states_set_health(f->states, 0, EU, GTM_FAMILY_V6, GTM_HEALTH_DOWN, &f->touched);
    publish_flip(f);
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
    publish_set(f, 0, US, GTM_HEALTH_DOWN);
    publish_set(f, 0, EU, GTM_HEALTH_DOWN);
    publish_flip(f);
    gtm_publisher_info(f->pub, &info);
    assert_int_equal(info.fail_closed, 1); /* closed, in IPv6, which only eu has */
    publish_set(f, 0, AP, GTM_HEALTH_DOWN);
    publish_flip(f);
    assert_dig_has(f, "near.example.com", A, "10.2.2.0/24", " A 192.0.0.2 |");
    assert_dig_has(f, "near.example.com", A, "10.3.2.0/24", " A 192.0.0.3 |");
    assert_dig_has(f, "closed.example.com", A, "10.2.2.0/24", "SERVFAIL");
    assert_dig_has(f, "closed.example.com", A, "10.2.2.0/24",
                   "all endpoints of closed are down (fail_closed)");
    assert_dig_has(f, "last.example.com", A, "10.2.2.0/24", " A 192.0.0.3 |"); /* fell last */
    assert_dig_has(f, "multi.example.com", A, "10.2.2.0/24",
                   "A 192.0.0.1; multi.example.com. 30 A 192.0.0.2; multi.example.com. 30 A "
                   "192.0.0.3 |");
    const char *backed = publish_dig(f, "backed.example.com", A, "10.2.2.0/24");
    assert_non_null(strstr(backed, " A 192.0.1."));
    /* the canary alone has something left */
    assert_dig_has(f, "split.example.com", A, "10.2.2.0/24", " A 192.0.1.3 |");
    gtm_publisher_info(f->pub, &info);
    assert_int_equal(info.fail_closed, 1);
    assert_true(info.fail_open >= 4); /* near (twice: two TTLs), last, multi */
    publish_set_pool(f, 1, GTM_HEALTH_DOWN);
    /* the backup is down too: it fails open to its own */
    assert_dig_has(f, "backed.example.com", A, "10.2.2.0/24", " A 192.0.0.2 |");
    publish_set_pool(f, 0, GTM_HEALTH_UP);
    publish_set_pool(f, 1, GTM_HEALTH_UP);
    gtm_publisher_info(f->pub, &info);
    assert_int_equal(info.fail_closed, 0);
    assert_int_equal(info.fail_open, 0);
    assert_dig_has(f, "closed.example.com", A, "10.2.2.0/24", " A 192.0.0.2 |");
}

static void what_is_not_active_says_so(void **state)
{
    struct fixture *f = *state;
    struct ask ask = {.name = "writer.example.com", .type = A, .edns = true};
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
    struct gtm_compiled *c = publish_compile(f, f->compiled);
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
    publish_set(f, 1, EU, GTM_HEALTH_DOWN);
    publish_flip(f);
    gtm_publisher_info(f->pub, &after);
    /* pool 1: backed, open2, split; but only open2's answers differ */
    assert_int_equal(after.tables_built - before.tables_built, 3);
    assert_int_equal(after.choices_built - before.choices_built, 0); /* us' answer is ready */
    assert_int_equal(after.revision, before.revision + 1);
    assert_int_equal(dns_view_revision(f->view), after.revision);
    /* up with nobody looking: no new view */
    gtm_touched_add(&f->touched, 1);
    publish_flip(f);
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
        if (t[i].of == GTM__TABLE_POLICY && t[i].index != FAR &&
            s->compiled->maps[t[i].map]->parts > 0)
            assert_ptr_equal(s->tables[i].kind[0].picks, s->tables[0].kind[0].picks);
}

static void a_compile_takes_over_what_is_unchanged(void **state)
{
    struct fixture *f = *state;
    struct gtm_compiled_info info;
    struct gtm_compiled *same = publish_compile(f, f->compiled);
    gtm_compiled_info(same, &info);
    assert_int_equal(info.zones_reused, 1);
    assert_int_equal(info.maps_reused, 2);
    assert_ptr_equal(gtm_compiled_zone(same, 0), gtm_compiled_zone(f->compiled, 0));
    gtm_compiled_unref(same);

    char text[600];
    snprintf(text, sizeof(text), "%s%s", publish_zone_text, "more A 192.0.2.81\n");
    publish_write_file(f->zone_path, text);
    struct gtm_compiled *edited = publish_compile(f, f->compiled);
    gtm_compiled_info(edited, &info);
    assert_int_equal(info.zones_reused, 0);
    assert_int_equal(info.maps_reused, 2);
    gtm_compiled_unref(edited);

    publish_write_file(f->zone_path, publish_zone_text);
    f->in->regions[AP].lat = 10;
    f->in->zones[0].names[0].policy = MULTI;
    struct gtm_compiled *moved = publish_compile(f, f->compiled);
    gtm_compiled_info(moved, &info);
    assert_int_equal(info.zones_reused, 0); /* a name has another slot */
    assert_int_equal(info.maps_reused, 1);  /* the trivial one */
    gtm_compiled_unref(moved);
    f->in->regions[AP].lat = 1.35;
    f->db = NULL;
    struct gtm_compiled *blind = publish_compile(f, f->compiled);
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
    snprintf(text, sizeof(text), "%s$INCLUDE %s\n", publish_zone_text, part);
    publish_write_file(f->zone_path, text);
    publish_write_file(part, "one A 192.0.2.81\n");
    struct gtm_compiled *first = publish_compile(f, NULL);
    assert_non_null(first);
    publish_write_file(part, "two A 192.0.2.82\n");
    struct gtm_compiled *second = publish_compile(f, first);
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
    publish_write_file(f->zone_path,
                       "$ORIGIN example.com.\n$TTL 300\nwww A 192.0.2.300\nwww TYPO x\n");
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
        publish_set(f, 0, EU, n % 2 ? GTM_HEALTH_DOWN : GTM_HEALTH_UP);
        const char *want = n % 2 ? " A 192.0.0.1 |" : " A 192.0.0.2 |";
        const char *old = n % 2 ? " A 192.0.0.2 |" : " A 192.0.0.1 |";
        gtm_mem_fail_at(n, 0);
        int rc = gtm_publisher_flip(f->pub, f->states, &f->touched, &err);
        gtm_mem_fail_at(0, 0);
        gtm_touched_clear(&f->touched);
        done = rc == GTM_OK;
        if (!done) {
            assert_int_equal(rc, GTM_ENOMEM);
            const char *got = publish_dig(f, "near.example.com", A, "10.2.2.0/24");
            assert_true(strstr(got, want) || strstr(got, old));
            publish_flip(f);
        }
        assert_dig_has(f, "near.example.com", A, "10.2.2.0/24", want);
    }
}

/* Hundreds of flips in a row without any memory: what is owed is remembered once, not piled up. */
static void a_long_shortage_is_survived(void **state)
{
    struct fixture *f = *state;
    struct gtm_error err = {0};
    for (unsigned n = 0; n < 200; n++) {
        publish_set(f, n % 2, EU, n % 4 < 2 ? GTM_HEALTH_DOWN : GTM_HEALTH_UP);
        gtm_mem_fail_at(1, 1);
        assert_int_equal(gtm_publisher_flip(f->pub, f->states, &f->touched, &err), GTM_ENOMEM);
        gtm_mem_fail_at(0, 0);
        gtm_touched_clear(&f->touched);
        assert_dig_has(f, "near.example.com", A, "10.2.2.0/24", " A 192.0.0.2 |");
    }
    publish_set(f, 0, EU, GTM_HEALTH_DOWN);
    gtm_touched_clear(&f->touched);
    publish_flip(f); /* nobody names the pool, but it is owed */
    assert_dig_has(f, "near.example.com", A, "10.2.2.0/24", " A 192.0.0.1 |");
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

#define T(fn) cmocka_unit_test_setup_teardown(fn, publish_setup, publish_teardown)
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
        T(a_long_shortage_is_survived),
        T(an_install_or_compile_without_memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
