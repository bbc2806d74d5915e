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
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
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
    struct dns_stream_socket listener = {.fd = fd};
    struct dns_stream_opts opts = {.sockets = &listener,
                                   .sockets_count = 1,
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

/* The number of answers once it has stood still for 100 ms. */
static uint64_t settled(const struct world *w)
{
    uint64_t last = answered(w), since = gtm_mono_ms(gtm_clock_system()), begin = since;
    for (uint64_t now = since; now - since < 100; now = gtm_mono_ms(gtm_clock_system())) {
        assert_true(now - begin < DEADLINE_MS);
        if (answered(w) != last) {
            last = answered(w);
            since = now;
        }
        usleep(1000);
    }
    return last;
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

/* Many who do not read cannot make us hold 256 KiB for each of them. What the kernel takes is
 * learned from one of them alone. */
static void test_many_slow_readers(void **state)
{
    enum { CROWD = 600 };
    static int fds[CROWD];
    struct world w;
    start(&w, big_zone(), CROWD, DEADLINE_MS);
    uint64_t alone = 0, total;
    for (int i = 0; i < CROWD; i++) {
        fds[i] = dial(&w, 4096);
        flood(fds[i], 50);
        if (i > 0)
            continue;
        alone = settled(&w);
        assert_in_range(alone, 6, 49);
    }
    total = settled(&w);
    /* 64 MiB are 1,300 answers; each client has one or two more, and without the bound all would
     * have as many as one alone. */
    assert_in_range(total, 1300, CROWD * alone * 3 / 4);
    for (int i = 0; i < CROWD; i++)
        close(fds[i]);
    wait_clients(&w, 0);
    int fd = dial(&w, 0); /* and it is given back */
    assert_true(flood(fd, 20) == 20);
    for (uint16_t id = 0; id < 20; id++)
        expect_answer(fd, id, DNS_RCODE_NOERROR);
    close(fd);
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

#define SPARE 8 /* descriptors left for clients */

/* Opens far more connections than the server has descriptors, then asks. In a process of its own:
 * 0 = answered, and no more were closed than had to be. */
static int crowd_then_ask(int pipe_fd)
{
    struct world w = {0};
    struct gtm_buf buf = {0};
    uint8_t head[2];
    struct timeval tv = {.tv_sec = DEADLINE_MS / 1000};
    int fds[100], open = 0;
    if (read(pipe_fd, &w.addr, sizeof(w.addr)) != (ssize_t)sizeof(w.addr))
        return 2;
    for (int i = 0; i < 100; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fds[i], (const struct sockaddr *)&w.addr, sizeof(w.addr)) != 0)
            return 3;
    }
    add_query(&buf, "www.example.com.", DNS_TYPE_A, 1);
    setsockopt(fds[99], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    if (send(fds[99], buf.data, buf.len, MSG_NOSIGNAL) != (ssize_t)buf.len)
        return 4;
    if (recv(fds[99], head, 2, MSG_WAITALL) != 2)
        return 5;
    for (int i = 0; i < 100; i++) /* they were accepted in turn, so all have been */
        open += recv(fds[i], head, 1, MSG_DONTWAIT | MSG_PEEK) != 0;
    return open >= SPARE - 2 ? 0 : 6;
}

static void test_descriptors_run_out(void **state)
{
    struct world w;
    int pipe_fds[2], status = -1;
    struct rlimit limit;
    assert_return_code(pipe(pipe_fds), errno);
    pid_t child = fork(); /* before there is a second thread */
    if (child == 0)
        _exit(crowd_then_ask(pipe_fds[0]));
    start(&w, small_zone(), 1000, DEADLINE_MS);
    assert_return_code(getrlimit(RLIMIT_NOFILE, &limit), errno);
    struct rlimit low = limit;
    int lowest_free = dup(0);
    low.rlim_cur = (rlim_t)lowest_free + SPARE;
    close(lowest_free);
    assert_return_code(setrlimit(RLIMIT_NOFILE, &low), errno);
    assert_int_equal(write(pipe_fds[1], &w.addr, sizeof(w.addr)), sizeof(w.addr));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_return_code(setrlimit(RLIMIT_NOFILE, &limit), errno);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
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
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) { /* both ends of every connection are ours */
        limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pipelining),        cmocka_unit_test(test_small_segments),
        cmocka_unit_test(test_half_close),        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_no_view),           cmocka_unit_test(test_idle),
        cmocka_unit_test(test_eviction),          cmocka_unit_test(test_idle_crowd),
        cmocka_unit_test(test_slow_reader),       cmocka_unit_test(test_many_slow_readers),
        cmocka_unit_test(test_late_reader),       cmocka_unit_test(test_descriptors_run_out),
        cmocka_unit_test(test_stop_with_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
