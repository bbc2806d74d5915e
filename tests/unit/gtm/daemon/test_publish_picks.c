/* SPDX-License-Identifier: Apache-2.0
 *
 * Picks: how many slots classes come to while regions serve, shed and go; that picks of the same
 * state are the same object; routes to policies and sticky choices as published.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "gtm/base/fs.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/publish_int.h"
#include "tests/support/build_intent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct world {
    char path[32];
    struct gtm_intent *in;
    struct gtm_states *s;
    struct gtm_compiled *compiled;
    struct gtm_publisher *pub;
    struct gtm_touched touched;
};

/* Regions a, b, c; pool www in all, pool de in c. geo: 10/8 → a b, 11/8 → a c, 12/8 → policy own.
 */
static int setup(void **state)
{
    static const char *const names[] = {"a", "b", "c"};
    static const char text[] = "$TTL 60\n@ SOA ns1 a 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.1\n";
    struct world *w = gtm_calloc(1, sizeof(*w));
    struct gtm_diags diags = {0};
    *state = w;
    snprintf(w->path, sizeof(w->path), "/tmp/gtm-picks-XXXXXX");
    int fd = mkstemp(w->path);
    if (fd < 0 || write(fd, text, sizeof(text) - 1) != (ssize_t)sizeof(text) - 1)
        return -1;
    close(fd);
    w->in = build_intent();
    build_pool(w->in, "www");
    build_pool(w->in, "de");
    for (unsigned r = 0; r < 3; r++) {
        build_region(w->in, names[r], 0, 10.0 * r);
        build_endpoint(w->in, 0, names[r], r, "192.0.2.1", NULL, 100);
    }
    build_endpoint(w->in, 1, "own", 2, "192.0.2.9", NULL, 100);
    unsigned geo = build_policy(w->in, "geo", GTM_STEER_GEO, 0);
    unsigned own = build_policy(w->in, "own", GTM_STEER_STICKY, 1);
    build_route_network(build_route(w->in, geo, 2, (const unsigned[]){0, 1}), "10.0.0.0/8");
    build_route_network(build_route(w->in, geo, 2, (const unsigned[]){0, 2}), "11.0.0.0/8");
    struct gtm_route *to = build_route(w->in, geo, 0, NULL);
    build_route_network(to, "12.0.0.0/8");
    to->has_policy = true;
    to->policy = own;
    build_name(w->in, build_zone(w->in, "example.com", w->path), "www", 1, (int)geo);
    w->s = gtm_states_new(w->in);
    w->compiled = gtm_compile(w->in, NULL, NULL, &diags);
    w->pub = gtm_publisher_new(NULL, NULL);
    if (!w->compiled)
        gtm_diags_print(&diags, stderr);
    gtm_diags_fini(&diags);
    return w->compiled && gtm_touched_init(&w->touched, 2) == 0 &&
                   gtm_publisher_install(w->pub, w->compiled, w->s, NULL) == 0
               ? 0
               : -1;
}

static int teardown(void **state)
{
    struct world *w = *state;
    unlink(w->path);
    gtm_touched_fini(&w->touched);
    gtm_publisher_free(w->pub);
    gtm_compiled_unref(w->compiled);
    gtm_states_free(w->s);
    build_free(w->in);
    gtm_free(w);
    return 0;
}

static const struct gtm__picks *flip(struct world *w)
{
    struct gtm_error err = {0};
    assert_int_equal(gtm_publisher_flip(w->pub, w->s, &w->touched, &err), 0);
    gtm_touched_clear(&w->touched);
    return w->pub->state->tables[0].kind[DNS_KIND_A].picks;
}

static unsigned slot(const struct world *w, unsigned first_octet)
{
    uint8_t addr[4] = {(uint8_t)first_octet, 1, 2, 3};
    struct dns_steer_lookup at;
    dns_steer_find(w->pub->state->tables[0].steer, GTM_TYPE_A, 4, addr, &at);
    return at.slot;
}

static void sheds_split_slots_only_while_they_last(void **state)
{
    struct world *w = *state;
    const struct gtm__picks *calm = flip(w);
    assert_int_equal(calm->slots, 2); /* a; own */
    assert_int_equal(slot(w, 10), slot(w, 11));
    assert_int_equal(slot(w, 10), slot(w, 99)); /* in no route: the default begins with a, too */
    assert_int_not_equal(slot(w, 10), slot(w, 12));
    gtm_states_set_shed(w->s, 0, 0, 200, &w->touched);
    const struct gtm__picks *shedding = flip(w);
    assert_int_equal(shedding->slots, 3); /* a b; a c; own */
    assert_int_not_equal(slot(w, 10), slot(w, 11));
    gtm_states_set_shed(w->s, 0, 0, 300, &w->touched);
    assert_ptr_equal(flip(w), shedding); /* how much is a matter of choices */
    gtm_states_set_shed(w->s, 0, 1, 10, &w->touched);
    assert_ptr_not_equal(flip(w), shedding);
    gtm_states_set_shed(w->s, 0, 0, 0, &w->touched);
    gtm_states_set_shed(w->s, 0, 1, 0, &w->touched);
    assert_ptr_equal(flip(w), calm);
}

static void a_routes_policy_that_is_down_gives_way(void **state)
{
    struct world *w = *state;
    const struct gtm__picks *calm = flip(w);
    gtm_states_set_health(w->s, 1, 0, GTM_FAMILY_V4, GTM_HEALTH_DOWN, &w->touched);
    assert_int_equal(w->touched.count, 1);
    assert_int_equal(flip(w)->slots, 1);
    assert_int_equal(slot(w, 12), slot(w, 10));
    gtm_states_set_health(w->s, 1, 0, GTM_FAMILY_V4, GTM_HEALTH_UP, &w->touched);
    assert_ptr_equal(flip(w), calm);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(sheds_split_slots_only_while_they_last),
        T(a_routes_policy_that_is_down_gives_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
