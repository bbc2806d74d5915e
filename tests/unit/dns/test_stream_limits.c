/* SPDX-License-Identifier: Apache-2.0
 *
 * The stream thread against hosts that ask too much: limits per network, eviction, PROXY headers of
 * every kind, transfers that nobody reads. Real sockets on loopback.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "tests/support/stream_world.h"

#include "dns/rr.h"
#include "gtm/base/clock.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- limits ---- */

/* 150 idle clients of one address: neither it nor anybody else is kept out. */
static void test_a_crowd_of_one_address(void **state)
{
    struct stream_world w = {0};
    int crowd[150];
    stream_world_start(&w, 1000, 100, STREAM_DEADLINE_MS);
    for (int i = 0; i < 150; i++)
        crowd[i] = stream_dial(&w, 0, 1, 0);
    int other = stream_dial(&w, 0, 2, 0), again = stream_dial(&w, 0, 1, 0);
    assert_true(stream_ask(other));
    assert_true(stream_ask(again));
    assert_int_equal(dns_stream_clients(w.stream), 101);
    assert_int_equal(STREAM_EVENT(&w, evicted), 51);
    assert_true(stream_ask(crowd[149]));
    for (int i = 0; i < 150; i++)
        close(crowd[i]);
    close(other);
    close(again);
    stream_world_finish(&w);
}

/* The total is at its bound: the network with the most loses its own, however busy, and the quiet
 * ones stay. */
static void test_the_greedy_lose_their_own(void **state)
{
    struct stream_world w = {0};
    int quiet[20], greedy[80], more[40];
    stream_world_start(&w, 100, 90, STREAM_DEADLINE_MS);
    for (unsigned i = 0; i < 20; i++)
        assert_true(stream_ask(quiet[i] = stream_dial(&w, 1, i + 1, 0)));
    for (int i = 0; i < 80; i++)
        assert_true(stream_ask(greedy[i] = stream_dial(&w, 2, 1, 0)));
    for (unsigned i = 0; i < 40; i++)
        assert_true(stream_ask(more[i] = stream_dial(&w, 3, i + 1, 0)));
    assert_int_equal(dns_stream_clients(w.stream), 100);
    for (int i = 0; i < 20; i++)
        assert_true(stream_ask(quiet[i]));
    assert_int_equal(stream_ask(greedy[39]), 0); /* the longest idle forty have gone */
    assert_int_equal(stream_ask(greedy[40]), 1);
    for (int i = 0; i < 80; i++)
        close(greedy[i]);
    for (int i = 0; i < 40; i++)
        close(more[i]);
    for (int i = 0; i < 20; i++)
        close(quiet[i]);
    STREAM_WAIT_FOR(dns_stream_clients(w.stream) == 0);
    stream_world_finish(&w);
}

/* 10,000 connections that say nothing or half a word, from 250 addresses: bounded, counted, and
 * others are answered all the while. */
static void test_ten_thousand_idle(void **state)
{
    enum { CROWD = 10000, OPEN = 800 };
    static int fds[OPEN];
    struct stream_world w = {0};
    stream_world_start(&w, 500, 100, STREAM_DEADLINE_MS);
    for (int i = 0; i < CROWD; i++) {
        int *fd = &fds[i % OPEN];
        if (i >= OPEN)
            close(*fd);
        *fd = stream_dial(&w, 4, (unsigned)(i % 250) + 1, 0);
        if (i % 2)
            assert_int_equal(send(*fd, "\0\x40half", 6, MSG_NOSIGNAL), 6);
        assert_in_range(dns_stream_clients(w.stream), 0, 500);
        if (i % 500 == 499) {
            int guest = stream_dial(&w, 5, 1, 0);
            assert_true(stream_ask(guest));
            close(guest);
        }
    }
    assert_true(STREAM_EVENT(&w, evicted) > 300);
    for (int i = 0; i < OPEN; i++)
        close(fds[i]);
    STREAM_WAIT_FOR(dns_stream_clients(w.stream) == 0);
    stream_world_finish(&w);
}

/* ---- PROXY ---- */

static const uint8_t signature[12] = "\r\n\r\n\0\r\nQUIT\n";

/* A version 2 header for TCP from 198.51.100.y; returns its octets. */
static size_t proxy_header(uint8_t *out, uint8_t y)
{
    memcpy(out, signature, 12);
    memcpy(out + 12, "\x21\x11\0\x0c\xc6\x33\x64\0\xc0\0\x02\x01\x12\x34\0\x35", 16);
    out[19] = y;
    return 28;
}

static void test_proxy(void **state)
{
    struct stream_world w = {0};
    uint8_t out[700];
    stream_world_start(&w, 100, 3, 1000);
    int fds[6];
    for (unsigned i = 0; i < 6; i++) { /* each is a client of its own, not all the proxy */
        fds[i] = stream_dial(&w, 9, 1, 0);
        size_t n = proxy_header(out, (uint8_t)i);
        for (size_t k = 0; k < n; k += 5)
            send(fds[i], out + k, n - k < 5 ? n - k : 5, MSG_NOSIGNAL);
        assert_true(stream_ask(fds[i]));
    }
    for (int i = 0; i < 6; i++)
        assert_true(stream_ask(fds[i]));
    for (int i = 0; i < 4; i++) { /* but four of one are one too many */
        close(fds[i]);
        fds[i] = stream_dial(&w, 9, 2, 0);
        size_t n = proxy_header(out, 77);
        n += stream_query(out + n, "www.example.com.", DNS_TYPE_A); /* with the query behind it */
        send(fds[i], out, n, MSG_NOSIGNAL);
        assert_true(stream_read(fds[i]) > 0);
    }
    assert_int_equal(stream_read(fds[0]), 0);
    int local = stream_dial(&w, 9, 3, 0);
    memcpy(out, signature, 12);
    memcpy(out + 12, "\x20\0\0\0", 4);
    send(local, out, 16, MSG_NOSIGNAL);
    assert_true(stream_ask(local));
    close(local);
    for (int i = 0; i < 6; i++)
        close(fds[i]);
    stream_world_finish(&w);
}

static void test_proxy_wrong(void **state)
{
    struct stream_world w = {0};
    uint8_t out[700];
    char end;
    stream_world_start(&w, 100, 0, 300);
    int bare = stream_dial(&w, 9, 1, 0), cut = stream_dial(&w, 9, 1, 0),
        huge = stream_dial(&w, 9, 1, 0);
    int slow = stream_dial(&w, 9, 1, 0), stranger = stream_dial(&w, 8, 1, 0);
    assert_int_equal(stream_ask(bare), 0); /* no header */
    size_t n = proxy_header(out, 1);
    send(cut, out, n - 3, MSG_NOSIGNAL);
    shutdown(cut, SHUT_WR);
    assert_int_equal(recv(cut, &end, 1, 0), 0);
    dns_put16(out + 14, 600); /* more than any header needs */
    send(huge, out, 16, MSG_NOSIGNAL);
    assert_true(recv(huge, &end, 1, 0) <= 0);
    assert_int_equal(STREAM_EVENT(&w, proxy_refused), 3);
    proxy_header(out, 1);
    send(slow, out, 20, MSG_NOSIGNAL);
    assert_int_equal(recv(slow, &end, 1, 0), 0); /* its time is over */
    assert_int_equal(STREAM_EVENT(&w, timed_out) >= 1, 1);
    proxy_header(out, 1); /* from elsewhere a header is a malformed stream: 0x0d0a octets to come */
    send(stranger, out, 28, MSG_NOSIGNAL);
    assert_true(recv(stranger, &end, 1, 0) <= 0);
    close(bare);
    close(cut);
    close(huge);
    close(slow);
    close(stranger);
    stream_world_finish(&w);
}

/* ---- transfers ---- */

static void ask_transfer(int fd)
{
    uint8_t out[600];
    size_t n = stream_query(out, "example.com.", DNS_TYPE_AXFR);
    assert_int_equal(send(fd, out, n, MSG_NOSIGNAL), (ssize_t)n);
}

/* Reads one transfer: the records that came. */
static unsigned read_transfer(int fd)
{
    unsigned records = 0, messages = 0;
    while (records < 20205) {
        size_t n = stream_read(fd);
        assert_true(n > 0);
        assert_int_equal(stream_message[3] & 15, 0);
        assert_true(n <= 16384 || dns_get16(stream_message + 6) == 1);
        records += dns_get16(stream_message + 6);
        messages++;
    }
    assert_true(messages > 100);
    return records;
}

static void test_transfer(void **state)
{
    struct stream_world w = {0};
    stream_world_start(&w, 100, 0, STREAM_DEADLINE_MS);
    int fd = stream_dial(&w, 0, 1, 0);
    ask_transfer(fd); /* two in a row, and a query: answered in order */
    ask_transfer(fd);
    uint8_t out[600];
    size_t n = stream_query(out, "www.example.com.", DNS_TYPE_A);
    send(fd, out, n, MSG_NOSIGNAL);
    assert_int_equal(read_transfer(fd), 20205);
    assert_int_equal(read_transfer(fd), 20205);
    assert_true(stream_read(fd) > 0);
    assert_int_equal(dns_get16(stream_message + 6), 1);
    shutdown(fd, SHUT_WR);
    assert_int_equal(stream_read(fd), 0);
    assert_int_equal(STREAM_EVENT(&w, transfers), 2);
    close(fd);
    stream_world_finish(&w);
}

/* Peers that ask and do not read: eight at a time, two of a network, and then their time is over.
 */
static void test_transfers_that_nobody_reads(void **state)
{
    struct stream_world w = {0};
    int fds[12];
    stream_world_start(&w, 100, 0, 1500);
    for (unsigned i = 0; i < 12; i++) {
        fds[i] = stream_dial(&w, 6, i / 3 + 1, 4096);
        ask_transfer(fds[i]);
        if (i % 3 == 2) { /* the third of its network is told to come later */
            assert_true(stream_read(fds[i]) > 0);
            assert_int_equal(stream_message[3] & 15, DNS_RCODE_SERVFAIL);
        }
    }
    int other = stream_dial(&w, 7, 1, 0);
    ask_transfer(other);
    assert_true(stream_read(other) > 0);
    assert_int_equal(stream_message[3] & 15, DNS_RCODE_SERVFAIL);
    assert_int_equal(STREAM_EVENT(&w, transfers), 8);
    assert_int_equal(STREAM_EVENT(&w, transfers_refused), 5);
    STREAM_WAIT_FOR(STREAM_EVENT(&w, timed_out) >= 8);
    other = (close(other), stream_dial(&w, 7, 1, 0));
    ask_transfer(other); /* there is room again */
    assert_int_equal(read_transfer(other), 20205);
    close(other);
    for (int i = 0; i < 12; i++)
        close(fds[i]);
    stream_world_finish(&w);
}

/* A slow but steady reader gets all of it, although it takes longer than idle_ms. */
static void test_transfer_to_a_slow_reader(void **state)
{
    struct stream_world w = {0};
    stream_world_start(&w, 100, 0, 300);
    int fd = stream_dial(&w, 0, 1, 65536);
    uint64_t begin = gtm_mono_ms(gtm_clock_system());
    ask_transfer(fd);
    unsigned records = 0;
    for (unsigned i = 0; records < 20205; i++) {
        assert_true(stream_read(fd) > 0);
        records += dns_get16(stream_message + 6);
        if (i % 20 == 0)
            usleep(50000);
    }
    assert_true(gtm_mono_ms(gtm_clock_system()) - begin > 600);
    close(fd);
    stream_world_finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_crowd_of_one_address),
        cmocka_unit_test(test_the_greedy_lose_their_own),
        cmocka_unit_test(test_ten_thousand_idle),
        cmocka_unit_test(test_proxy),
        cmocka_unit_test(test_proxy_wrong),
        cmocka_unit_test(test_transfer),
        cmocka_unit_test(test_transfers_that_nobody_reads),
        cmocka_unit_test(test_transfer_to_a_slow_reader),
    };
    return cmocka_run_group_tests(tests, stream_world_set_up, NULL);
}
