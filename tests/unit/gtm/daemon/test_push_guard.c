/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of the bound on wrong tokens: burst, refill, who is concerned, and a table that is full.
 */
#include "gtm/daemon/push_int.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct sockaddr *from(const char *text)
{
    static struct sockaddr_storage addr;
    memset(&addr, 0, sizeof(addr));
    struct sockaddr_in *v4 = (struct sockaddr_in *)&addr;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&addr;
    addr.ss_family = AF_INET;
    if (inet_pton(AF_INET, text, &v4->sin_addr) != 1) {
        addr.ss_family = AF_INET6;
        assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
    }
    return (const struct sockaddr *)&addr;
}

static void ten_at_once_then_one_in_six_seconds(void **state)
{
    static struct gtm_push_guard guard;
    uint64_t now = 1000;
    for (int i = 0; i < 10; i++) {
        assert_true(gtm_push__guard_allows(&guard, from("192.0.2.1"), now));
        gtm_push__guard_failed(&guard, from("192.0.2.1"), now);
    }
    assert_false(gtm_push__guard_allows(&guard, from("192.0.2.1"), now));
    assert_true(gtm_push__guard_allows(&guard, from("192.0.2.2"), now));
    assert_false(gtm_push__guard_allows(&guard, from("192.0.2.1"), now + 5900));
    assert_true(gtm_push__guard_allows(&guard, from("192.0.2.1"), now + 6100));
    gtm_push__guard_failed(&guard, from("192.0.2.1"), now + 6100);
    assert_false(gtm_push__guard_allows(&guard, from("192.0.2.1"), now + 6200));
    for (int i = 0; i < 10; i++) /* an hour does not save up more than ten */
        gtm_push__guard_failed(&guard, from("192.0.2.1"), now + 3600000);
    assert_false(gtm_push__guard_allows(&guard, from("192.0.2.1"), now + 3600000));
    assert_false(
        gtm_push__guard_allows(&guard, from("192.0.2.1"), 1)); /* no clock goes back, but */
}

static void an_ipv6_network_is_one(void **state)
{
    static struct gtm_push_guard guard = {.seed = 7};
    for (int i = 0; i < 10; i++)
        gtm_push__guard_failed(&guard, from(i % 2 ? "2001:db8:0:1::1" : "2001:db8:0:1:ffff::2"), 5);
    assert_false(gtm_push__guard_allows(&guard, from("2001:db8:0:1::77"), 5));
    assert_true(gtm_push__guard_allows(&guard, from("2001:db8:0:2::77"), 5));
}

static void a_crowd_takes_places_and_no_memory(void **state)
{
    static struct gtm_push_guard guard = {.seed = 3};
    struct sockaddr_in addr = {.sin_family = AF_INET};
    unsigned refused = 0;
    for (uint32_t i = 0; i < 100000; i++) {
        addr.sin_addr.s_addr = htonl(0x0a000000u + i);
        refused += !gtm_push__guard_allows(&guard, (const struct sockaddr *)&addr, 9);
        gtm_push__guard_failed(&guard, (const struct sockaddr *)&addr, 9);
    }
    assert_int_equal(refused, 0); /* nobody pays for another */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_at_once_then_one_in_six_seconds),
        cmocka_unit_test(an_ipv6_network_is_one),
        cmocka_unit_test(a_crowd_takes_places_and_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
