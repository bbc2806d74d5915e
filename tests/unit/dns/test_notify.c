/* SPDX-License-Identifier: Apache-2.0
 *
 * NOTIFY out, to peers made of plain sockets: that it is sent, repeated, signed and answered; and
 * that only the right answer counts.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "dns/notify.h"

#include "dns/rr.h"
#include "dns/steer_int.h"
#include "gtm/base/mem.h"
#include "tests/support/dns_ask.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct gtm_loop *loop;
static struct dns_notify *notify;
static struct dns_view *view;
static struct dns_tsig_key key, wrong_key;
static struct dns_notify_result last;
static uint8_t last_zone[DNS_NAME_MAX];
static unsigned done_count;
static uint8_t packet[2048];
static struct sockaddr_storage from;
static socklen_t from_len;

static void done(void *ctx, const struct dns_notify_result *result)
{
    last = *result;
    memcpy(last_zone, result->zone, dns_name_len(result->zone));
    done_count++;
}

static const struct dns_zone *zone(void)
{
    return view->zones[0].zone;
}

static void start(unsigned first_wait_ms)
{
    struct gtm_error err = {0};
    struct dns_notify_opts opts = {
        .loop = loop, .clock = gtm_clock_system(), .first_wait_ms = first_wait_ms, .done = done};
    struct sockaddr_in *source = (struct sockaddr_in *)(void *)&opts.source4;
    *source = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000303)};
    notify = dns_notify_new(&opts, &err);
    assert_non_null(notify);
    done_count = 0;
}

/* A peer's socket and its target. */
static int peer(int family, struct dns_notify_target *ret)
{
    int fd = socket(family, SOCK_DGRAM, 0);
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    *ret = (struct dns_notify_target){.addr_len = sizeof(ret->addr)};
    assert_int_equal(family == AF_INET ? bind(fd, (struct sockaddr *)&v4, sizeof(v4))
                                       : bind(fd, (struct sockaddr *)&v6, sizeof(v6)),
                     0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&ret->addr, &ret->addr_len), 0);
    return fd;
}

/* Runs the loop until a datagram is there for fd, or (fd < 0) something is done; false after ms. */
static bool run_until(int fd, unsigned ms)
{
    unsigned before = done_count;
    for (unsigned i = 0; i < ms; i++) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        event_base_loop(gtm_loop_base(loop), EVLOOP_NONBLOCK);
        if (fd >= 0 ? poll(&p, 1, 0) > 0 : done_count > before)
            return true;
        poll(NULL, 0, 1);
    }
    return false;
}

static size_t receive(int fd)
{
    from_len = sizeof(from);
    if (!run_until(fd, 10000))
        fail_msg("no message");
    ssize_t n = recvfrom(fd, packet, sizeof(packet), 0, (struct sockaddr *)&from, &from_len);
    assert_true(n > 12);
    return (size_t)n;
}

static void reply(int fd, size_t len)
{
    assert_int_equal(sendto(fd, packet, len, 0, (struct sockaddr *)&from, from_len), (ssize_t)len);
}

/* Makes the message in packet its answer; returns the octets (header and question). */
static size_t answer(unsigned rcode)
{
    packet[2] |= 0x80;
    packet[3] = (uint8_t)rcode;
    memset(packet + 6, 0, 6);
    return 12 + 13 + 4; /* example.com. */
}

static void finish(int fd)
{
    close(fd);
    dns_notify_free(notify);
}

static void test_taken(void **state)
{
    static const int families[] = {AF_INET, AF_INET6};
    for (int f = 0; f < 2; f++) {
        struct dns_notify_target target;
        start(1000);
        int fd = peer(families[f], &target);
        assert_int_equal(dns_notify_send(notify, zone(), &target, 1), 0);
        size_t len = receive(fd);
        packet[2] |= 0x80; /* so that the printer takes it */
        const char *text = ask_show(packet, len);
        assert_non_null(strstr(text, "example.com. 60 SOA ns.example.com. a.example.com. 77 2 3"));
        assert_int_equal(packet[2] & 0x7c, 0x24); /* NOTIFY, authoritative */
        if (families[f] == AF_INET)
            assert_int_equal(((struct sockaddr_in *)(void *)&from)->sin_addr.s_addr,
                             htonl(0x7f000303));
        reply(fd, answer(0));
        assert_true(run_until(-1, 10000));
        assert_int_equal(last.outcome, DNS_NOTIFY_TAKEN);
        assert_int_equal(last.serial, 77);
        assert_int_equal(last.tries, 1);
        assert_int_equal(dns_notify_pending(notify), 0);
        finish(fd);
    }
}

static void test_refused(void **state)
{
    struct dns_notify_target target;
    start(1000);
    int fd = peer(AF_INET, &target);
    assert_int_equal(dns_notify_send(notify, zone(), &target, 1), 0);
    receive(fd);
    reply(fd, answer(DNS_RCODE_NOTAUTH));
    assert_true(run_until(-1, 10000));
    assert_int_equal(last.outcome, DNS_NOTIFY_REFUSED);
    assert_int_equal(last.rcode, DNS_RCODE_NOTAUTH);
    assert_string_equal(dns_notify_outcome_text(last.outcome), "refused");
    finish(fd);
}

/* Five tries with growing pauses; wrong answers to each do not count. */
static void test_silent(void **state)
{
    struct dns_notify_target target, other;
    start(10);
    int fd = peer(AF_INET, &target), stranger = peer(AF_INET, &other);
    assert_int_equal(dns_notify_send(notify, zone(), &target, 1), 0);
    for (int i = 0; i < DNS_NOTIFY_TRIES; i++) {
        size_t len = receive(fd);
        assert_int_equal(done_count, 0);
        size_t n = answer(0);
        switch (i) {
        case 0:
            reply(stranger, n); /* from elsewhere */
            break;
        case 1:
            packet[1] ^= 1; /* another id */
            reply(fd, n);
            break;
        case 2:
            packet[2] &= 0x7f; /* a question */
            reply(fd, n);
            packet[2] = 0x84; /* another opcode */
            reply(fd, n);
            break;
        case 3:
            packet[13] ^= 1; /* another zone */
            reply(fd, n);
            break;
        default:
            reply(fd, 12); /* too short */
            reply(fd, len > 20 ? 20 : len);
        }
    }
    assert_true(run_until(-1, 10000));
    assert_int_equal(last.outcome, DNS_NOTIFY_SILENT);
    assert_int_equal(last.tries, DNS_NOTIFY_TRIES);
    close(stranger);
    finish(fd);
}

static void sign_and_reply(int fd, const struct dns_tsig_key *with, uint64_t now, size_t request)
{
    const struct dns_tsig_key *keys[] = {with};
    struct dns_tsig tsig = {0};
    size_t without;
    (void)dns_tsig_check_request(&tsig, keys, 1, packet, request, now, &without);
    size_t n = answer(0);
    n = dns_tsig_sign_answer(&tsig, packet, n, sizeof(packet), now);
    assert_true(n > 0);
    reply(fd, n);
    dns_tsig_fini(&tsig);
}

static void test_signed(void **state)
{
    struct dns_notify_target target;
    uint64_t now = (uint64_t)gtm_wall_ms(gtm_clock_system()) / 1000;
    start(20);
    int fd = peer(AF_INET, &target);
    target.key = &key;
    assert_int_equal(dns_notify_send(notify, zone(), &target, 1), 0);
    size_t len = receive(fd);
    const struct dns_tsig_key *keys[] = {&key};
    struct dns_tsig tsig = {0};
    size_t without;
    assert_int_equal(dns_tsig_check_request(&tsig, keys, 1, packet, len, now, &without),
                     DNS_TSIG_GOOD);
    dns_tsig_fini(&tsig);
    reply(fd, answer(0)); /* unsigned: does not count */
    len = receive(fd);
    sign_and_reply(fd, &key, now, len);
    assert_true(run_until(-1, 10000));
    assert_int_equal(last.outcome, DNS_NOTIFY_TAKEN);
    assert_int_equal(last.tries, 2);
    assert_int_equal(dns_notify_send(notify, zone(), &target, 1), 0);
    for (int i = 0; i < DNS_NOTIFY_TRIES; i++) {
        len = receive(fd);
        sign_and_reply(fd, &wrong_key, now, len);
    }
    assert_true(run_until(-1, 10000));
    assert_int_equal(last.outcome, DNS_NOTIFY_BADSIG);
    finish(fd);
}

/* A newer message takes the place of the older one; others are left alone. */
static void test_replaced(void **state)
{
    struct dns_notify_target targets[2];
    uint8_t first[2];
    start(60000);
    int fd = peer(AF_INET, &targets[0]), second = peer(AF_INET, &targets[1]);
    assert_int_equal(dns_notify_send(notify, zone(), targets, 2), 0);
    receive(second);
    receive(fd);
    memcpy(first, packet, 2);
    assert_int_equal(dns_notify_send(notify, zone(), targets, 1), 0);
    assert_int_equal(dns_notify_pending(notify), 2);
    receive(fd);
    memcpy(packet, first, 2); /* the answer to the first is late */
    reply(fd, answer(0));
    assert_false(run_until(-1, 50));
    finish(fd);
    close(second);
}

static void test_not_to_be_reached(void **state)
{
    struct dns_notify_target target = {.addr_len = sizeof(struct sockaddr_in)};
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&target.addr;
    start(1);
    *v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xf0000001)};
    v4->sin_port = htons(53); /* from a loopback address there is no way to class E */
    assert_int_equal(dns_notify_send(notify, zone(), &target, 1), 0);
    assert_true(run_until(-1, 10000));
    assert_int_equal(last.outcome, DNS_NOTIFY_SILENT);
    dns_notify_free(notify);
}

static void test_out_of_memory(void **state)
{
    struct dns_notify_target target;
    start(1000);
    int fd = peer(AF_INET, &target);
    for (unsigned n = 1; n <= 2; n++) {
        gtm_mem_fail_at(n, 0);
        assert_int_equal(dns_notify_send(notify, zone(), &target, 1), GTM_ENOMEM);
        gtm_mem_fail_at(0, 0);
        assert_int_equal(dns_notify_pending(notify), 0);
    }
    finish(fd);
}

static int set_up(void **state)
{
    static const char secret[] = "c2VjcmV0LW9mLXRoaXMtdGVzdC1rZXktMzItYnl0ZXM=";
    loop = gtm_loop_new();
    view = ask_zone("Example.com", "$TTL 60\n@ SOA ns a 77 2 3 4 5\n@ NS ns.x.net.\n");
    if (!loop || dns_tsig_key_init(&key, "n.example.", DNS_TSIG_SHA256, secret, sizeof(secret) - 1,
                                   NULL) != 0)
        return -1;
    wrong_key = key;
    wrong_key.secret[0] ^= 1;
    return 0;
}

static int tear_down(void **state)
{
    dns_view_unref(view);
    gtm_loop_free(loop);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken),         cmocka_unit_test(test_refused),
        cmocka_unit_test(test_silent),        cmocka_unit_test(test_signed),
        cmocka_unit_test(test_replaced),      cmocka_unit_test(test_not_to_be_reached),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
