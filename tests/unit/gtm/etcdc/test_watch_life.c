/* SPDX-License-Identifier: Apache-2.0 */
#include "gtm/etcdc/watch_life.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MS    UINT64_C(1000000)
#define STALE 3000u
#define T0    (1000000 * MS)

static void silence_from_the_start_is_stale(void **state)
{
    struct etcdc__life life;
    etcdc__life_init(&life, STALE, T0);
    assert_false(etcdc__life_turn(&life, T0 + 3000 * MS));
    assert_true(etcdc__life_turn(&life, T0 + 3001 * MS));
    assert_int_equal(life.state, ETCDC__LIFE_STALE);
    assert_false(etcdc__life_turn(&life, T0 + 9000 * MS));
    etcdc__life_listed(&life, T0 + 9000 * MS);
    assert_true(etcdc__life_turn(&life, T0 + 9100 * MS));
    assert_int_equal(life.state, ETCDC__LIFE_FRESH);
}

static void a_check_counts_from_when_it_was_asked(void **state)
{
    struct etcdc__life life;
    etcdc__life_init(&life, STALE, T0);
    etcdc__life_checked(&life, T0, 41, 42);
    assert_true(etcdc__life_turn(&life, T0 + 3001 * MS)); /* an answer as late as that is none */
    assert_int_equal(life.state, ETCDC__LIFE_STALE);
    etcdc__life_checked(&life, T0 + 3000 * MS, 41, 42);
    assert_true(etcdc__life_turn(&life, T0 + 3001 * MS));
    assert_true(etcdc__life_turn(&life, T0 + 6001 * MS));
    assert_int_equal(life.state, ETCDC__LIFE_STALE);
}

static void who_is_behind_lists_unless_the_stream_catches_up(void **state)
{
    struct etcdc__life life;
    etcdc__life_init(&life, STALE, T0);
    etcdc__life_listed(&life, T0);
    etcdc__life_turn(&life, T0);
    assert_int_equal(etcdc__life_act(&life, T0 + 1000 * MS), ETCDC__LIFE_CHECK);
    etcdc__life_checked(&life, T0 + 500 * MS, 42, 42); /* the next revision is not given yet */
    assert_int_equal(life.want, 42);
    etcdc__life_moved(&life, 43);
    assert_int_equal(life.heard_ns, T0 + 500 * MS);
    life.heard_ns = life.proven_ns = T0;
    etcdc__life_checked(&life, T0 + 1000 * MS, 50, 43);
    assert_int_equal(life.heard_ns, T0); /* nothing is proven by it */
    assert_int_equal(etcdc__life_act(&life, T0 + 1100 * MS), ETCDC__LIFE_REST);
    etcdc__life_moved(&life, 50);
    assert_int_equal(life.heard_ns, T0);
    assert_int_equal(etcdc__life_act(&life, T0 + 2000 * MS), ETCDC__LIFE_LIST);
    etcdc__life_moved(&life, 51);
    assert_int_equal(life.heard_ns, T0 + 1000 * MS);
    assert_int_equal(etcdc__life_act(&life, T0 + 2000 * MS), ETCDC__LIFE_CHECK);
    /* Only ever behind: stale. */
    etcdc__life_checked(&life, T0 + 2000 * MS, 60, 51);
    etcdc__life_checked(&life, T0 + 3000 * MS, 70, 51);
    etcdc__life_checked(&life, T0 + 4000 * MS, 80, 51);
    assert_true(etcdc__life_turn(&life, T0 + 4001 * MS));
    assert_int_equal(life.state, ETCDC__LIFE_STALE);
}

static void ticks_prolong_but_do_not_begin(void **state)
{
    struct etcdc__life life;
    etcdc__life_init(&life, STALE, T0);
    etcdc__life_ticked(&life, T0);
    assert_false(etcdc__life_turn(&life, T0 + 100 * MS));
    etcdc__life_listed(&life, T0 + 100 * MS);
    etcdc__life_turn(&life, T0 + 100 * MS);
    unsigned checks = 0;
    for (unsigned t = 1; t <= 60; t++) { /* a minute of ticks: few checks */
        uint64_t now = T0 + t * 1000 * MS;
        etcdc__life_ticked(&life, now);
        assert_false(etcdc__life_turn(&life, now));
        if (etcdc__life_act(&life, now) == ETCDC__LIFE_CHECK) {
            checks++;
            etcdc__life_checked(&life, now, 1, 2);
        }
    }
    assert_int_equal(life.state, ETCDC__LIFE_FRESH);
    assert_true(checks >= 5 && checks <= 8);
    assert_true(etcdc__life_turn(&life, T0 + 64000 * MS));
    etcdc__life_ticked(&life, T0 + 64000 * MS); /* of long ago, perhaps */
    assert_false(etcdc__life_turn(&life, T0 + 64001 * MS));
    assert_int_equal(life.state, ETCDC__LIFE_STALE);
}

static void a_pause_of_our_own_is_not_the_silence_of_the_store(void **state)
{
    struct etcdc__life life;
    etcdc__life_init(&life, STALE, T0);
    etcdc__life_listed(&life, T0);
    etcdc__life_turn(&life, T0);
    etcdc__life_stood_still(&life, T0 + 4000 * MS);
    assert_false(etcdc__life_turn(&life, T0 + 4000 * MS));
    assert_int_equal(life.state, ETCDC__LIFE_FRESH);
    assert_int_equal(etcdc__life_act(&life, T0 + 5000 * MS), ETCDC__LIFE_CHECK); /* the next beat */
    assert_false(etcdc__life_turn(&life, T0 + 5000 * MS));
    assert_true(etcdc__life_turn(&life, T0 + 6001 * MS)); /* nothing was answered */
    assert_int_equal(life.state, ETCDC__LIFE_STALE);
    /* What is stale is not made fresh by a pause. */
    etcdc__life_stood_still(&life, T0 + 7000 * MS);
    assert_false(etcdc__life_turn(&life, T0 + 7000 * MS));
    assert_int_equal(life.state, ETCDC__LIFE_STALE);
}

static void a_long_pause_makes_stale_at_once(void **state)
{
    struct etcdc__life life;
    etcdc__life_init(&life, STALE, T0);
    etcdc__life_listed(&life, T0);
    etcdc__life_turn(&life, T0);
    etcdc__life_stood_still(&life, T0 + 9001 * MS);
    assert_true(etcdc__life_turn(&life, T0 + 9001 * MS));
    assert_int_equal(life.state, ETCDC__LIFE_STALE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silence_from_the_start_is_stale),
        cmocka_unit_test(a_check_counts_from_when_it_was_asked),
        cmocka_unit_test(who_is_behind_lists_unless_the_stream_catches_up),
        cmocka_unit_test(ticks_prolong_but_do_not_begin),
        cmocka_unit_test(a_pause_of_our_own_is_not_the_silence_of_the_store),
        cmocka_unit_test(a_long_pause_makes_stale_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
