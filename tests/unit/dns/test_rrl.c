/* SPDX-License-Identifier: Apache-2.0
 *
 * Token buckets in virtual time.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "dns/answer.h"
#include "dns/rrl.h"

#include <pthread.h>
#include <stdatomic.h>

#define S 1000000u /* microseconds */

static struct dns_client v4(unsigned a, unsigned b, unsigned c, unsigned d)
{
    return (struct dns_client){.family = 4,
                               .addr = {(uint8_t)a, (uint8_t)b, (uint8_t)c, (uint8_t)d}};
}

static unsigned burst(struct dns_rrl *r, const struct dns_client *c, enum dns_rrl_kind kind,
                      uint64_t zone, unsigned rate, uint64_t now, unsigned tries)
{
    unsigned ok = 0;
    for (unsigned i = 0; i < tries; i++)
        ok += dns_rrl_allows(r, c, kind, zone, rate, now);
    return ok;
}

static void test_rate(void **state)
{
    struct dns_rrl *r = dns_rrl_new(1024);
    struct dns_client c = v4(192, 0, 2, 1), d = v4(192, 0, 2, 250), e = v4(192, 0, 3, 1);
    struct dns_client six = {.family = 6, .addr = {0x20, 1, 2, 3, 4, 5, 6, 7}}, other6 = six;
    other6.addr[6] = 8; /* /56 differs */
    six.addr[15] = 1;
    assert_int_equal(burst(r, &c, DNS_RRL_POSITIVE, 7, 10, 5 * S, 100), 10);
    assert_int_equal(burst(r, &d, DNS_RRL_POSITIVE, 7, 10, 5 * S, 100), 0); /* the same /24 */
    assert_int_equal(burst(r, &e, DNS_RRL_POSITIVE, 7, 10, 5 * S, 100), 10);
    assert_int_equal(burst(r, &c, DNS_RRL_NXDOMAIN, 7, 10, 5 * S, 100), 10);
    assert_int_equal(burst(r, &c, DNS_RRL_POSITIVE, 8, 10, 5 * S, 100), 10);
    assert_int_equal(burst(r, &six, DNS_RRL_POSITIVE, 7, 10, 5 * S, 100), 10);
    six.addr[7] = 99; /* inside the /56 */
    assert_int_equal(burst(r, &six, DNS_RRL_POSITIVE, 7, 10, 5 * S, 100), 0);
    assert_int_equal(burst(r, &other6, DNS_RRL_POSITIVE, 7, 10, 5 * S, 100), 10);
    /* refills with the rate, up to one second's worth */
    assert_int_equal(burst(r, &c, DNS_RRL_POSITIVE, 7, 10, 5 * S + S / 10, 100), 1);
    assert_int_equal(burst(r, &c, DNS_RRL_POSITIVE, 7, 10, 6 * S - S / 10, 100), 8);
    assert_int_equal(burst(r, &c, DNS_RRL_POSITIVE, 7, 10, 600 * S, 100), 10);
    dns_rrl_free(r);
}

/* Over ten seconds of twice the rate, half goes out; also for odd rates and for 1. */
static void test_sustained(void **state)
{
    static const unsigned rates[] = {1, 3, 7, 1000, 50000, 2000000};
    for (unsigned k = 0; k < sizeof(rates) / sizeof(rates[0]); k++) {
        struct dns_rrl *r = dns_rrl_new(64);
        struct dns_client c = v4(10, 0, 0, 1);
        uint64_t sent = 0, ok = 0, rate = rates[k] < S ? rates[k] : S;
        for (uint64_t t = 0; t < 10 * S; t += rate >= S ? 1 : S / (2 * rate) ? S / (2 * rate) : 1) {
            ok += dns_rrl_allows(r, &c, 0, 0, rates[k], 77 * S + t);
            sent++;
        }
        assert_in_range(ok, rate * 10 < sent ? rate * 10 * 95 / 100 : sent * 95 / 100,
                        rate * 11 + rate * 11 / 20 + 1);
        dns_rrl_free(r);
    }
}

/* Row words hold 40 bits of time; nobody is limited because of what happened 12 days ago. */
static void test_wrap(void **state)
{
    struct dns_rrl *r = dns_rrl_new(4);
    struct dns_client c = v4(10, 0, 0, 1);
    uint64_t wrap = (uint64_t)1 << 40;
    for (uint64_t at = wrap - 3 * S; at < wrap + 3 * S; at += S)
        assert_int_equal(burst(r, &c, 0, 0, 5, at, 100), 5);
    for (unsigned i = 1; i < 40; i++)
        assert_int_equal(burst(r, &c, 0, 0, 5, wrap + i * (wrap / 8 + 17 * S), 100), 5);
    dns_rrl_free(r);
}

/* Workers read the clock at different moments: the time of one that was held up a while does not
 * refill what others have emptied. */
static void test_late_worker(void **state)
{
    struct dns_rrl *r = dns_rrl_new(64);
    struct dns_client c = v4(10, 0, 0, 1);
    assert_int_equal(burst(r, &c, 0, 0, 1000, 50 * S, 2000), 1000);
    assert_int_equal(burst(r, &c, 0, 0, 1000, 50 * S - 5000, 2000), 0);
    assert_int_equal(burst(r, &c, 0, 0, 1000, 50 * S, 2000), 0);
    dns_rrl_free(r);
}

/* A table that is much too small: a flood of networks does not keep a limited one out of it for
 * ever, and none is refused its first answer. */
static void test_small_table(void **state)
{
    struct dns_rrl *r = dns_rrl_new(1);
    struct dns_client hot = v4(203, 0, 113, 1);
    unsigned hot_ok = 0;
    for (unsigned i = 0; i < 10000; i++) {
        struct dns_client c = v4(10, i >> 8, i, 1);
        assert_true(dns_rrl_allows(r, &c, 0, 0, 100, 9 * S));
        hot_ok += dns_rrl_allows(r, &hot, 0, 0, 100, 9 * S);
    }
    assert_in_range(hot_ok, 100, 110);
    dns_rrl_free(r);
}

static struct dns_rrl *shared;
static atomic_uint total;

static void *hammer(void *arg)
{
    struct dns_client c = v4(198, 51, 100, 7);
    for (unsigned i = 0; i < 20000; i++)
        atomic_fetch_add(&total, dns_rrl_allows(shared, &c, 0, 1, 1000, 3 * S));
    return arg;
}

/* Workers share the table: together they let about one second's worth pass. */
static void test_threads(void **state)
{
    pthread_t threads[4];
    shared = dns_rrl_new(1024);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, NULL), 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_in_range(atomic_load(&total), 1000, 1200);
    dns_rrl_free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rate),        cmocka_unit_test(test_sustained),
        cmocka_unit_test(test_wrap),        cmocka_unit_test(test_late_worker),
        cmocka_unit_test(test_small_table), cmocka_unit_test(test_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
