/* SPDX-License-Identifier: Apache-2.0 */
#include "gtm/etcdc/session_clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)
#define T0 (1000000 * MS) /* some time after the boot */

static void a_lease_holds_less_its_margin(void **state)
{
    struct etcdc__term term = etcdc__term(T0, 5); /* half a second is more than a tenth */
    assert_int_equal(etcdc__term_valid_until(&term), T0 + 4500 * MS);
    assert_true(etcdc__term_risk_at(&term) >= T0 + 3333 * MS);
    assert_true(etcdc__term_risk_at(&term) <= T0 + 3334 * MS);
    term = etcdc__term(T0, 60);
    assert_int_equal(etcdc__term_valid_until(&term), T0 + 54000 * MS);
    term = etcdc__term(T0, 2);
    assert_int_equal(etcdc__term_valid_until(&term), T0 + 1500 * MS);
    term = etcdc__term(T0, 1);
    assert_int_equal(etcdc__term_valid_until(&term), T0 + 500 * MS);
}

static void what_was_not_granted_never_holds(void **state)
{
    const int64_t bad[] = {0, -1, INT64_MIN};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct etcdc__term term = etcdc__term(T0, bad[i]);
        assert_int_equal(etcdc__term_valid_until(&term), 0);
    }
}

static void a_giant_term_is_bounded(void **state)
{
    struct etcdc__term term = etcdc__term(T0, INT64_MAX);
    uint64_t until = etcdc__term_valid_until(&term);
    assert_true(until > T0 && until < T0 + UINT64_C(366) * 86400 * 1000 * MS);
}

static void beats_come_every_third_and_again_after_half_a_second(void **state)
{
    struct etcdc__term term = etcdc__term(T0, 6);
    assert_int_equal(etcdc__term_beat_at(&term, 0), T0 + 2000 * MS);
    /* The beat at two seconds failed, then the one after it. */
    assert_int_equal(etcdc__term_beat_at(&term, T0 + 2000 * MS), T0 + 2500 * MS);
    assert_int_equal(etcdc__term_beat_at(&term, T0 + 2500 * MS), T0 + 3000 * MS);
    /* Nothing granted yet: now, then every half second. */
    struct etcdc__term none = {0};
    assert_int_equal(etcdc__term_beat_at(&none, 0), 0);
    assert_int_equal(etcdc__term_beat_at(&none, T0), T0 + 500 * MS);
}

/* Whatever the term: a beat comes before the risk, the risk before the end, the end before the
 * server's. */
static void the_order_holds_for_every_term(void **state)
{
    for (int64_t ttl = 2; ttl < 4000; ttl++) {
        struct etcdc__term term = etcdc__term(T0, ttl);
        assert_true(etcdc__term_beat_at(&term, 0) < etcdc__term_risk_at(&term));
        assert_true(etcdc__term_risk_at(&term) < etcdc__term_valid_until(&term));
        assert_true(etcdc__term_valid_until(&term) <= T0 + (uint64_t)ttl * 1000 * MS - 500 * MS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_holds_less_its_margin),
        cmocka_unit_test(what_was_not_granted_never_holds),
        cmocka_unit_test(a_giant_term_is_bounded),
        cmocka_unit_test(beats_come_every_third_and_again_after_half_a_second),
        cmocka_unit_test(the_order_holds_for_every_term),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
