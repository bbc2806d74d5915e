/* SPDX-License-Identifier: Apache-2.0
 *
 * DNS over TCP with real sockets on loopback: pipelining, segments of any size, half-close, idle
 * clients, clients that do not read, malformed streams.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "dns/stream.h"

#include "dns/rr.h"
#include "gtm/base/buf.h"
#include "gtm/base/clock.h"
#include "gtm/base/mem.h"
#include "tests/support/dns_ask.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEADLINE_MS 20000 /* nothing here takes long; a machine may be busy */

struct world {
    struct dns_view *view;
    struct dns_stream *stream;
    struct sockaddr_in addr;
};

static struct dns_view *small_zone(void)
{
    return ask_zone("example.com", "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.53\n"
                                   "www A 192.0.2.1\n");
}

/* big TXT: about 51,000 octets an answer. */
static struct dns_view *big_zone(void)
{
    struct gtm_buf text = {0};
    gtm_buf_adds(&text, "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.53\n");
    for (int i = 0; i < 200; i++)
        gtm_buf_addf(&text, "big TXT \"%0240d\"\n", i);
    struct dns_view *view = ask_zone("example.com", text.data);
    gtm_buf_fini(&text);
    return view;
}

static void start(struct world *w, struct dns_view *view, unsigned max_clients, unsigned idle_ms)
{
    struct gtm_error err = {0};
    socklen_t len = sizeof(w->addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    w->view = view;
    w->addr =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_return_code(bind(fd, (struct sockaddr *)&w->addr, sizeof(w->addr)), errno);
    assert_return_code(listen(fd, 200), errno);
    assert_return_code(getsockname(fd, (struct sockaddr *)&w->addr, &len), errno);
    struct dns_stream_opts opts = {.fds = &fd,
                                   .fds_count = 1,
                                   .max_clients = max_clients,
                                   .idle_ms = idle_ms,
                                   .view = &w->view};
    w->stream = dns_stream_new(&opts, &err);
    assert_non_null(w->stream);
    assert_int_equal(dns_stream_start(w->stream, &err), 0);
}

static void finish(struct world *w)
{
    dns_stream_stop(w->stream);
    assert_int_equal(dns_stream_clients(w->stream), 0);
    dns_stream_free(w->stream);
    dns_view_unref(w->view);
}

static int dial(const struct world *w, int rcvbuf)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (rcvbuf)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf));
    assert_return_code(connect(fd, (const struct sockaddr *)&w->addr, sizeof(w->addr)), errno);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

/* Appends a query with its length prefix. */
static void add_query(struct gtm_buf *buf, const char *name, uint16_t type, uint16_t id)
{
    uint8_t packet[2 + 512];
    struct ask ask = {.name = name, .type = type};
    size_t len = ask_packet(&ask, packet + 2);
    dns_put16(packet, (uint16_t)len);
    dns_put16(packet + 2, id);
    gtm_buf_add(buf, packet, 2 + len);
}

static void send_buf(int fd, const struct gtm_buf *buf)
{
    assert_int_equal(send(fd, buf->data, buf->len, MSG_NOSIGNAL), (ssize_t)buf->len);
}

/* Reads exactly len octets: 1, or 0 when the peer closed before the first. Fails after the
 * deadline. */
static int read_all(int fd, uint8_t *out, size_t len)
{
    size_t have = 0;
    while (have < len) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, DEADLINE_MS) <= 0)
            fail_msg("no answer in time");
        ssize_t n = recv(fd, out + have, len - have, 0);
        if (n <= 0) {
            assert_true(have == 0);
            return 0;
        }
        have += (size_t)n;
    }
    return 1;
}

static uint8_t message[65535];

/* The next answer: its octets, or 0 at the end of the stream. */
static size_t read_answer(int fd)
{
    uint8_t head[2];
    if (!read_all(fd, head, 2))
        return 0;
    size_t len = dns_get16(head);
    assert_true(len >= 12);
    assert_int_equal(read_all(fd, message, len), 1);
    return len;
}

static void expect_answer(int fd, uint16_t id, unsigned rcode)
{
    assert_true(read_answer(fd) > 0);
    assert_int_equal(dns_get16(message), id);
    assert_int_equal(message[2] & 0x82, 0x80); /* QR, not TC */
    assert_int_equal(message[3] & 15, rcode);
}

static void ask_one(int fd, uint16_t id)
{
    struct gtm_buf buf = {0};
    add_query(&buf, "www.example.com.", DNS_TYPE_A, id);
    send_buf(fd, &buf);
    gtm_buf_fini(&buf);
    expect_answer(fd, id, DNS_RCODE_NOERROR);
}

static void wait_clients(const struct world *w, unsigned want)
{
    uint64_t end = gtm_mono_ms(gtm_clock_system()) + DEADLINE_MS;
    while (dns_stream_clients(w->stream) != want) {
        assert_true(gtm_mono_ms(gtm_clock_system()) < end);
        usleep(1000);
    }
}

static void test_pipelining(void **state)
{
    struct world w;
    struct gtm_buf buf = {0};
    start(&w, small_zone(), 10, DEADLINE_MS);
    int fd = dial(&w, 0);
    for (uint16_t id = 0; id < 500; id++)
        add_query(&buf, id % 2 ? "www.example.com." : "none.example.com.", DNS_TYPE_A, id);
    send_buf(fd, &buf);
    for (uint16_t id = 0; id < 500; id++)
        expect_answer(fd, id, id % 2 ? DNS_RCODE_NOERROR : DNS_RCODE_NXDOMAIN);
    assert_int_equal(dns_stream_clients(w.stream), 1);
    close(fd);
    wait_clients(&w, 0);
    gtm_buf_fini(&buf);
    finish(&w);
}

static void test_small_segments(void **state)
{
    struct world w;
    struct gtm_buf buf = {0};
    start(&w, small_zone(), 10, DEADLINE_MS);
    int fd = dial(&w, 0);
    for (uint16_t id = 1; id <= 3; id++)
        add_query(&buf, "www.example.com.", DNS_TYPE_A, id);
    for (size_t i = 0; i < buf.len; i++)
        assert_int_equal(send(fd, buf.data + i, 1, MSG_NOSIGNAL), 1);
    for (uint16_t id = 1; id <= 3; id++)
        expect_answer(fd, id, DNS_RCODE_NOERROR);
    close(fd);
    gtm_buf_fini(&buf);
    finish(&w);
}

static void test_half_close(void **state)
{
    struct world w;
    struct gtm_buf buf = {0};
    start(&w, big_zone(), 10, DEADLINE_MS);
    int fd = dial(&w, 0);
    for (uint16_t id = 0; id < 30; id++)
        add_query(&buf, "big.example.com.", DNS_TYPE_TXT, id);
    gtm_buf_add(&buf, "\0\x20xx", 4); /* the beginning of a message that never ends */
    send_buf(fd, &buf);
    shutdown(fd, SHUT_WR);
    for (uint16_t id = 0; id < 30; id++)
        expect_answer(fd, id, DNS_RCODE_NOERROR);
    assert_int_equal(read_answer(fd), 0);
    wait_clients(&w, 0);
    close(fd);
    gtm_buf_fini(&buf);
    finish(&w);
}

static void test_malformed(void **state)
{
    struct world w;
    struct gtm_buf buf = {0};
    start(&w, small_zone(), 10, DEADLINE_MS);
    int fd = dial(&w, 0);
    add_query(&buf, "www.example.com.", DNS_TYPE_A, 7);
    gtm_buf_add(&buf, "\0\x0b", 2); /* eleven octets are no message */
    send_buf(fd, &buf);
    expect_answer(fd, 7, DNS_RCODE_NOERROR);
    assert_int_equal(read_answer(fd), 0);
    close(fd);

    fd = dial(&w, 0); /* an answer is not answered; the next query is */
    gtm_buf_clear(&buf);
    add_query(&buf, "www.example.com.", DNS_TYPE_A, 8);
    buf.data[4] = (char)0x80;
    add_query(&buf, "www.example.com.", DNS_TYPE_A, 9);
    send_buf(fd, &buf);
    expect_answer(fd, 9, DNS_RCODE_NOERROR);

    gtm_buf_clear(&buf); /* a header alone: FORMERR, and the connection lives */
    gtm_buf_add(&buf, "\0\x0c\0\x0a\0\0\0\1\0\0\0\0\0\0", 14);
    send_buf(fd, &buf);
    expect_answer(fd, 10, DNS_RCODE_FORMERR);
    ask_one(fd, 11);
    close(fd);
    gtm_buf_fini(&buf);
    finish(&w);
}

static void test_no_view(void **state)
{
    struct world w;
    struct gtm_buf buf = {0};
    start(&w, NULL, 10, DEADLINE_MS);
    int fd = dial(&w, 0);
    add_query(&buf, "www.example.com.", DNS_TYPE_A, 1);
    send_buf(fd, &buf);
    expect_answer(fd, 1, DNS_RCODE_REFUSED);
    close(fd);
    gtm_buf_fini(&buf);
    finish(&w);
}

static void test_idle(void **state)
{
    struct world w;
    start(&w, small_zone(), 10, 150);
    int silent = dial(&w, 0), asks = dial(&w, 0);
    uint64_t begin = gtm_mono_ms(gtm_clock_system());
    ask_one(asks, 1);
    assert_int_equal(read_answer(silent), 0);
    assert_int_equal(read_answer(asks), 0);
    assert_true(gtm_mono_ms(gtm_clock_system()) - begin >= 150);
    close(silent);
    close(asks);

    /* A message that trickles in does not count as life. */
    int fd = dial(&w, 0);
    begin = gtm_mono_ms(gtm_clock_system());
    static const char octets[] = "\xff\xff";
    for (size_t i = 0;; i++) {
        if (send(fd, octets + (i < 1 ? 0 : 1), 1, MSG_NOSIGNAL) < 0)
            break;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 10) > 0)
            break;
        assert_true(gtm_mono_ms(gtm_clock_system()) - begin < DEADLINE_MS);
    }
    wait_clients(&w, 0);
    close(fd);
    finish(&w);
}

static void test_eviction(void **state)
{
    struct world w;
    start(&w, small_zone(), 4, DEADLINE_MS);
    int fds[5];
    for (uint16_t i = 0; i < 4; i++) {
        fds[i] = dial(&w, 0);
        ask_one(fds[i], i);
    }
    ask_one(fds[0], 100); /* now the second is the longest idle one */
    fds[4] = dial(&w, 0);
    ask_one(fds[4], 101);
    assert_int_equal(dns_stream_clients(w.stream), 4);
    assert_int_equal(read_answer(fds[1]), 0);
    ask_one(fds[0], 102);
    ask_one(fds[2], 103);
    ask_one(fds[3], 104);
    for (int i = 0; i < 5; i++)
        close(fds[i]);
    finish(&w);
}

static void test_idle_crowd(void **state)
{
    struct world w;
    int crowd[150];
    start(&w, small_zone(), 50, DEADLINE_MS);
    for (int i = 0; i < 150; i++)
        crowd[i] = dial(&w, 0);
    int fd = dial(&w, 0);
    ask_one(fd, 1);
    assert_int_equal(dns_stream_clients(w.stream), 50);
    for (int i = 0; i < 150; i++)
        close(crowd[i]);
    close(fd);
    finish(&w);
}

/* Sends as many queries as the socket takes; returns how many were whole. */
static unsigned flood(int fd, unsigned count)
{
    struct gtm_buf buf = {0};
    for (unsigned i = 0; i < count; i++)
        add_query(&buf, "big.example.com.", DNS_TYPE_TXT, (uint16_t)i);
    size_t one = buf.len / count;
    ssize_t sent = send(fd, buf.data, buf.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    gtm_buf_fini(&buf);
    assert_true(sent > 0);
    return (unsigned)((size_t)sent / one);
}

static uint64_t answered(const struct world *w)
{
    return __atomic_load_n(&dns_stream_counters(w->stream)->n[DNS_CNT_TCP], __ATOMIC_RELAXED);
}

static void test_slow_reader(void **state)
{
    struct world w;
    start(&w, big_zone(), 10, 400);
    int slow = dial(&w, 4096);
    unsigned asked = flood(slow, 2000);
    assert_true(asked >= 400); /* twenty megabytes of answers, at least */
    wait_clients(&w, 1);
    wait_clients(&w, 0); /* it never reads, so it is dropped */
    assert_in_range(answered(&w), 5, 200);
    close(slow);
    finish(&w);
}

static void test_late_reader(void **state)
{
    struct world w;
    start(&w, big_zone(), 10, DEADLINE_MS);
    int late = dial(&w, 4096);
    unsigned asked = flood(late, 300);
    int other = dial(&w, 0); /* is not kept waiting by it */
    struct gtm_buf buf = {0};
    add_query(&buf, "ns.example.com.", DNS_TYPE_A, 5);
    send_buf(other, &buf);
    expect_answer(other, 5, DNS_RCODE_NOERROR);
    for (unsigned i = 0; i < asked; i++) {
        expect_answer(late, (uint16_t)i, DNS_RCODE_NOERROR);
        assert_int_equal(dns_get16(message + 6), 200);
    }
    gtm_buf_fini(&buf);
    close(late);
    close(other);
    finish(&w);
}

static void test_stop_with_clients(void **state)
{
    struct world w;
    start(&w, small_zone(), 10, DEADLINE_MS);
    int fd = dial(&w, 0);
    ask_one(fd, 1);
    finish(&w);
    assert_int_equal(read_answer(fd), 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pipelining),        cmocka_unit_test(test_small_segments),
        cmocka_unit_test(test_half_close),        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_no_view),           cmocka_unit_test(test_idle),
        cmocka_unit_test(test_eviction),          cmocka_unit_test(test_idle_crowd),
        cmocka_unit_test(test_slow_reader),       cmocka_unit_test(test_late_reader),
        cmocka_unit_test(test_stop_with_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
