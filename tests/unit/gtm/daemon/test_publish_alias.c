/* SPDX-License-Identifier: Apache-2.0
 *
 * Aliases: addresses taken from other names, across zones and at the top; they follow health and
 * reloads; what cannot be followed is refused with the reason.
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

#define assert_dig_has(f, name, type, ecs, want)            \
    do {                                                    \
        const char *got_ = publish_dig(f, name, type, ecs); \
        if (strstr(got_, want) == NULL)                     \
            fail_msg("no '%s' in '%s'", want, got_);        \
    } while (0)

static const char two_text[] = "$ORIGIN two.test.\n$TTL 300\n@ SOA ns1 admin 1 3600 600 86400 60\n"
                               "@ NS ns1\nns1 A 192.0.2.54\n"
                               "six 120 AAAA 2001:db8::66\n"
                               "both 120 A 192.0.2.1\nboth 120 A 192.0.2.2\n"
                               "both 90 AAAA 2001:db8::1\n"
                               "hop 40 CNAME both\nover CNAME near.example.com.\n"
                               "text TXT \"no address\"\nloop CNAME loop2\nloop2 CNAME loop\n"
                               "out CNAME www.example.org.\nsub NS ns.example.net.\n"
                               "d DNAME example.com.\n*.w A 192.0.2.9\n";

static char two_path[80];

static bool install(struct fixture *f)
{
    struct gtm_error err = {0};
    struct gtm_compiled *c = publish_compile(f, f->compiled);
    if (!c)
        return false;
    gtm_compiled_unref(f->compiled);
    f->compiled = c;
    gtm_states_free(f->states);
    f->states = gtm_states_new(f->in);
    assert_int_equal(gtm_publisher_install(f->pub, c, f->states, &err), 0);
    return true;
}

static int setup(void **state)
{
    assert_int_equal(publish_setup(state), 0);
    struct fixture *f = *state;
    snprintf(two_path, sizeof(two_path), "%s.two", f->zone_path);
    publish_write_file(two_path, two_text);
    build_zone(f->in, "two.test", two_path);
    return 0;
}

static int teardown(void **state)
{
    unlink(two_path);
    return publish_teardown(state);
}

static void an_alias_of_a_dynamic_name_is_that_name(void **state)
{
    struct fixture *f = *state;
    build_alias(f->in, 1, "@", 3, "near.example.com.");
    build_alias(f->in, 1, "cross", 3, "over");      /* through a CNAME to the other zone */
    build_alias(f->in, 0, "again", 3, "two.test."); /* of an alias */
    build_alias(f->in, 0, "wild2", 1, "x.y.wild");  /* of what a wildcard covers */
    struct gtm_dynamic_name *own = build_alias(f->in, 1, "own", 3, "near.example.com.");
    own->has_ttl = true;
    own->ttl_s = 7;
    build_alias(f->in, 0, "again2", 1, "own.two.test.");
    assert_true(install(f));
    assert_dig_has(f, "two.test", A, "10.2.2.0/24", "two.test. 30 A 192.0.0.2 |");
    assert_dig_has(f, "two.test", A, "10.2.2.0/24", "scope=16");
    assert_dig_has(f, "two.test", AAAA, "10.2.2.0/24", " AAAA 2001:db8::2 |");
    assert_dig_has(f, "two.test", 6, NULL, "two.test. 300 SOA");
    assert_dig_has(f, "cross.two.test", A, "10.3.2.0/24", "cross.two.test. 30 A 192.0.0.3 |");
    assert_dig_has(f, "again.example.com", A, "10.3.2.0/24", "again.example.com. 30 A 192.0.0.3");
    assert_dig_has(f, "wild2.example.com", A, "10.3.2.0/24", "wild2.example.com. 30 A 192.0.0.3");
    assert_dig_has(f, "own.two.test", A, "10.2.2.0/24", "own.two.test. 7 A 192.0.0.2 |");
    assert_dig_has(f, "again2.example.com", A, "10.2.2.0/24", " 7 A 192.0.0.2 |");
    publish_set(f, 0, EU, GTM_HEALTH_DOWN);
    publish_flip(f);
    assert_dig_has(f, "two.test", A, "10.2.2.0/24", "two.test. 30 A 192.0.0.1 |");
    assert_dig_has(f, "own.two.test", A, "10.2.2.0/24", " 7 A 192.0.0.1 |");
    assert_dig_has(f, "again.example.com", A, "10.2.2.0/24", " A 192.0.0.1 |");
    /* the very table, not one like it */
    const struct gtm_compiled *c = f->compiled;
    assert_int_equal(c->zones[1].tables[0], c->zones[0].tables[0]);
    assert_int_equal(c->info.tables, 10 + 1); /* and one with a TTL of 7 */
}

static void an_alias_of_static_records_has_a_copy(void **state)
{
    struct fixture *f = *state;
    build_alias(f->in, 0, "@", 3, "both.two.test.");
    build_alias(f->in, 1, "viahop", 0, "hop"); /* no types given: both */
    build_alias(f->in, 1, "six6", 3, "six");
    build_alias(f->in, 1, "covered", 1, "any.w");
    struct gtm_dynamic_name *own = build_alias(f->in, 1, "own", 1, "both");
    own->has_ttl = true;
    own->ttl_s = 600;
    assert_true(install(f));
    assert_dig_has(f, "example.com", A, NULL,
                   "example.com. 120 A 192.0.2.1; example.com. 120 A 192.0.2.2 |");
    assert_dig_has(f, "example.com", AAAA, NULL, "example.com. 90 AAAA 2001:db8::1 |");
    assert_dig_has(f, "example.com", A, "10.2.2.0/24", "scope=0");
    assert_dig_has(f, "viahop.two.test", A, NULL, "viahop.two.test. 40 A 192.0.2.1;"); /* least */
    assert_dig_has(f, "viahop.two.test", AAAA, NULL, " 40 AAAA 2001:db8::1 |");
    assert_dig_has(f, "six6.two.test", AAAA, NULL, " 120 AAAA 2001:db8::66 |");
    assert_dig_has(f, "six6.two.test", A, NULL, "NOERROR aa | | two.test. 60 SOA");
    assert_dig_has(f, "covered.two.test", A, NULL, " 300 A 192.0.2.9 |");
    assert_dig_has(f, "own.two.test", A, NULL, " 600 A 192.0.2.1;");
}

/* The alias' own zone does not change, its target's does. */
static void an_alias_follows_a_reload_of_its_target(void **state)
{
    struct fixture *f = *state;
    char text[1200];
    struct gtm_compiled_info info;
    build_alias(f->in, 0, "shop", 3, "both.two.test.");
    assert_true(install(f));
    assert_dig_has(f, "shop.example.com", A, NULL, " A 192.0.2.1; ");
    snprintf(text, sizeof(text), "%sboth A 192.0.2.3\n", two_text);
    publish_write_file(two_path, text);
    assert_true(install(f));
    gtm_compiled_info(f->compiled, &info);
    assert_int_equal(info.zones_reused, 1);
    assert_dig_has(f, "shop.example.com", A, NULL, " A 192.0.2.3 |");
    /* the static target becomes a dynamic one */
    publish_write_file(two_path, "$ORIGIN two.test.\n$TTL 300\n@ SOA a b 1 3600 600 86400 60\n"
                                 "@ NS ns1\nboth CNAME near.example.com.\n");
    assert_true(install(f));
    gtm_compiled_info(f->compiled, &info);
    assert_int_equal(info.zones_reused, 1);
    assert_dig_has(f, "shop.example.com", A, "10.2.2.0/24", " 30 A 192.0.0.2 |");
    assert_true(gtm_compiled_linked(f->compiled));
}

static void refuses(struct fixture *f, unsigned zone, const char *name, const char *target,
                    const char *why)
{
    struct gtm_diags diags = {0};
    bool found = false;
    struct gtm_dynamic_name *n = build_alias(f->in, zone, name, 3, target);
    n->pos.line = 77;
    struct gtm_compiled *c = gtm_compile(f->in, f->db, NULL, &diags);
    assert_null(c);
    assert_int_equal(diags.errors, 1); /* not once for each family */
    for (size_t i = 0; i < diags.count; i++)
        found |= strstr(diags.items[i].text, why) != NULL && diags.items[i].line == 77;
    if (!found) {
        gtm_diags_print(&diags, stderr);
        fail_msg("nobody says '%s'", why);
    }
    gtm_diags_fini(&diags);
    struct gtm_zone_conf *z = &f->in->zones[zone]; /* and away with it */
    n = &z->names[--z->names_count];
    gtm_free(n->name);
    gtm_free(n->types);
    gtm_free(n->alias);
}

static void what_cannot_be_followed_is_refused(void **state)
{
    static const uint16_t cname[] = {GTM_TYPE_CNAME};
    struct fixture *f = *state;
    build_typed(f->in, 0, "cn", 1, cname, NEAR);
    refuses(f, 1, "a", "nothing", "there is no nothing.two.test in zone two.test");
    refuses(f, 1, "a", "near.example.com",
            "with a final dot, 'near.example.com.', it would be the one in zone example.com");
    refuses(f, 1, "a", "www.example.org.", "www.example.org is in no zone served here");
    refuses(f, 1, "a", "out", "www.example.org is in no zone served here");
    refuses(f, 1, "a", "a", "a.two.test leads back to itself");
    refuses(f, 1, "a", "loop", "leads back to itself");
    refuses(f, 1, "a", "text", "text.two.test has neither A nor AAAA");
    refuses(f, 1, "a", "x.sub", "x.sub.two.test is delegated");
    refuses(f, 1, "a", "near.d", "near.d.two.test lies below a DNAME");
    refuses(f, 1, "a", "cn.example.com.", "cn.example.com is a dynamic CNAME");
    refuses(f, 1, "a", "a..b", "a..b");
    build_alias(f->in, 0, "ring", 3, "ring2.two.test.");
    build_alias(f->in, 1, "ring2", 3, "ring.example.com.");
    struct gtm_diags diags = {0};
    assert_null(gtm_compile(f->in, f->db, NULL, &diags));
    assert_int_equal(diags.errors, 2); /* both */
    gtm_diags_fini(&diags);
}

static void too_long_a_way_is_refused(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 1; i <= 15; i++) {
        char name[16], target[16];
        snprintf(name, sizeof(name), "n%u", i);
        snprintf(target, sizeof(target), i == 15 ? "near" : "n%u", i + 1);
        build_alias(f->in, 0, name, 1, target);
    }
    assert_true(install(f));
    assert_dig_has(f, "n1.example.com", A, "10.2.2.0/24", " A 192.0.0.2 |");
    build_alias(f->in, 0, "n0", 1, "n1");
    struct gtm_diags diags = {0};
    struct gtm_compiled *c = gtm_compile(f->in, f->db, NULL, &diags);
    assert_non_null(c); /* sixteen */
    gtm_compiled_unref(c);
    build_alias(f->in, 0, "n00", 1, "n0");
    assert_null(gtm_compile(f->in, f->db, NULL, &diags));
    assert_int_equal(diags.errors, 1);
    gtm_diags_fini(&diags);
}

/* A target in a copy that has not come yet, or has not come with it: no reason not to start. */
static void a_target_that_is_to_be_transferred_may_come_later(void **state)
{
    struct fixture *f = *state;
    struct gtm_diags diags = {0};
    struct gtm_error err = {0};
    f->in->zones[1].primaries = gtm_calloc(1, sizeof(*f->in->zones[1].primaries));
    f->in->zones[1].primaries_count = 1;
    build_alias(f->in, 0, "later", 3, "notyet.two.test.");
    struct gtm_compiled *c = gtm_compile(f->in, f->db, NULL, &diags);
    assert_non_null(c);
    assert_int_equal(diags.errors, 0);
    assert_int_equal(diags.warnings, 1 + 2); /* and two of the zone: its CNAMEs that loop */
    gtm_diags_fini(&diags);
    gtm_states_free(f->states);
    f->states = gtm_states_new(f->in);
    assert_int_equal(gtm_publisher_install(f->pub, c, f->states, &err), 0);
    assert_dig_has(f, "later.example.com", A, "10.2.2.0/24",
                   "SERVFAIL | | | | opt scope=0 ede=0 the alias' target has not been transferred");
    gtm_compiled_unref(c);
    gtm_free(f->in->zones[1].primaries);
}

static void explain_names_the_target(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *name, *has;
    } rows[] = {
        {"two.test", "two.test. is an alias: its A records are those of near.example.com."},
        {"two.test", "\"alias\":\"near.example.com.\""},
        {"two.test", "\"policy\":\"near\""},
        {"fix.two.test", "its A records are those of both"},
        {"fix.two.test", "2 records, from a zone file, TTL 120 s"},
    };
    build_alias(f->in, 1, "@", 3, "near.example.com.");
    build_alias(f->in, 1, "fix", 3, "both");
    assert_true(install(f));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct gtm_error err = {0};
        struct gtm_explain_query q = {
            .name = rows[i].name, .type = A, .family = 4, .addr = {10, 2, 2, 77}, .prefix_len = 24};
        struct gtm_json *said = gtm_explain(f->pub, f->states, &q, &err);
        char *text = said ? gtm_json_print(said, false) : NULL;
        assert_non_null(text);
        if (!strstr(text, rows[i].has))
            fail_msg("%s: no %s in %s", rows[i].name, rows[i].has, text);
        gtm_json_free(said);
        gtm_free(text);
    }
}

static void compiling_aliases_without_memory_fails_cleanly(void **state)
{
    struct fixture *f = *state;
    bool done = false;
    build_alias(f->in, 1, "@", 3, "near.example.com.");
    struct gtm_dynamic_name *own = build_alias(f->in, 1, "fix", 3, "both");
    own->has_ttl = true;
    own->ttl_s = 9;
    for (unsigned n = 1; !done; n += 1 + n / 32) {
        struct gtm_diags diags = {0};
        gtm_mem_fail_at(n, 0);
        struct gtm_compiled *c = gtm_compile(f->in, f->db, NULL, &diags);
        gtm_mem_fail_at(0, 0);
        done = c != NULL;
        assert_true(done || diags.errors > 0);
        gtm_compiled_unref(c);
        gtm_diags_fini(&diags);
    }
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_alias_of_a_dynamic_name_is_that_name),
        T(an_alias_of_static_records_has_a_copy),
        T(an_alias_follows_a_reload_of_its_target),
        T(what_cannot_be_followed_is_refused),
        T(too_long_a_way_is_refused),
        T(a_target_that_is_to_be_transferred_may_come_later),
        T(explain_names_the_target),
        T(compiling_aliases_without_memory_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
