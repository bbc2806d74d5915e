/* SPDX-License-Identifier: Apache-2.0
 *
 * The server on real loopback sockets: both protocols and families, views swapped under load
 * without a lost or mixed answer, counters, clear errors.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "tests/support/dns_ask.h"

#include "dns/rr.h"
#include "dns/server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static struct dns_listen at(const char *address, uint16_t port)
{
    struct dns_listen l = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&l.addr;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)&l.addr;

    if (strchr(address, ':') == NULL) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        assert_int_equal(inet_pton(AF_INET, address, &v4->sin_addr), 1);
        l.addr_len = sizeof(*v4);
    } else {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        assert_int_equal(inet_pton(AF_INET6, address, &v6->sin6_addr), 1);
        l.addr_len = sizeof(*v6);
    }
    return l;
}

static int dial(const char *address, uint16_t port, int kind)
{
    struct dns_listen l = at(address, port);
    struct timeval wait = {.tv_sec = 5};
    int fd = socket(l.addr.ss_family, kind, 0);

    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    assert_int_equal(connect(fd, (struct sockaddr *)&l.addr, l.addr_len), 0);
    return fd;
}

static const char *exchange(int fd, bool stream)
{
    struct ask ask = {.name = "www.example.com", .type = DNS_TYPE_A};
    uint8_t query[512], out[1500];
    size_t len = ask_packet(&ask, query), got = 0;

    if (stream) {
        uint8_t prefix[2] = {(uint8_t)(len >> 8), (uint8_t)len};
        assert_int_equal(write(fd, prefix, 2), 2);
        assert_int_equal(write(fd, query, len), (ssize_t)len);
        while (got < 2 || got < 2u + dns_get16(out)) {
            ssize_t n = read(fd, out + got, sizeof(out) - got);
            assert_true(n > 0);
            got += (size_t)n;
        }
        return ask_show(out + 2, got - 2);
    }
    assert_int_equal(send(fd, query, len, 0), (ssize_t)len);
    ssize_t n = recv(fd, out, sizeof(out), 0);
    assert_true(n > 0);
    return ask_show(out, (size_t)n);
}

static struct dns_view *numbered(unsigned n)
{
    char text[256];
    snprintf(text, sizeof(text),
             "$TTL 60\n@ SOA ns a 1 2 3 4 5\n@ NS ns.x.net.\nwww A 192.0.2.%u\n", n);
    return ask_zone("example.com", text);
}

static struct dns_server *start(const struct dns_listen *listen, size_t n, unsigned threads)
{
    struct gtm_error err = {0};
    struct dns_server_opts opts = {.listen = listen, .listen_count = n, .threads = threads};
    struct dns_server *s = dns_server_new(&opts, &err);

    if (s == NULL)
        fail_msg("%s", err.text);
    assert_int_equal(dns_server_start(s, &err), 0);
    return s;
}

static void both_protocols_and_families_answer(void **state)
{
    struct dns_listen listen[2] = {at("127.0.0.1", 0), at("::1", 0)};
    static const char *const addresses[2] = {"127.0.0.1", "::1"};
    struct dns_server *s = start(listen, 2, 2);

    (void)state;
    int fd = dial("127.0.0.1", dns_server_port(s, 0), SOCK_DGRAM);
    assert_string_equal(exchange(fd, false), "REFUSED | | |"); /* nothing published yet */
    close(fd);
    dns_server_publish(s, numbered(1));
    for (int f = 0; f < 2; f++)
        for (int stream = 0; stream < 2; stream++) {
            fd = dial(addresses[f], dns_server_port(s, (size_t)f),
                      stream ? SOCK_STREAM : SOCK_DGRAM);
            assert_string_equal(exchange(fd, stream),
                                "NOERROR aa | www.example.com. 60 A 192.0.2.1 | |");
            close(fd);
        }
    struct dns_counters c;
    dns_server_counters(s, &c);
    assert_int_equal(c.n[DNS_CNT_UDP], 3);
    assert_int_equal(c.n[DNS_CNT_TCP], 2);
    assert_int_equal(c.n[DNS_CNT_REFUSED], 1);
    assert_int_equal(c.n[DNS_CNT_NOERROR], 4);
    dns_server_free(s);
}

static void a_wildcard_socket_answers_from_the_address_asked(void **state)
{
    struct dns_listen listen[2] = {at("0.0.0.0", 0), at("::", 0)};
    struct dns_server *s = start(listen, 2, 1);

    (void)state;
    dns_server_publish(s, numbered(2));
    /* a connected socket takes answers from that address only */
    int fd = dial("127.0.0.77", dns_server_port(s, 0), SOCK_DGRAM);
    assert_string_equal(exchange(fd, false), "NOERROR aa | www.example.com. 60 A 192.0.2.2 | |");
    close(fd);
    fd = dial("::1", dns_server_port(s, 1), SOCK_DGRAM);
    assert_string_equal(exchange(fd, false), "NOERROR aa | www.example.com. 60 A 192.0.2.2 | |");
    close(fd);
    dns_server_free(s);
}

static void an_address_in_use_is_named(void **state)
{
    struct dns_listen listen = at("127.0.0.1", 0);
    struct dns_server *s = start(&listen, 1, 1);
    struct gtm_error err = {0};
    struct dns_listen again = at("127.0.0.1", dns_server_port(s, 0));
    struct dns_server_opts opts = {.listen = &again, .listen_count = 1, .threads = 1};
    char want[64];

    (void)state;
    assert_null(dns_server_new(&opts, &err));
    assert_int_equal(err.code, GTM_EEXIST);
    snprintf(want, sizeof(want), "TCP 127.0.0.1:%u", dns_server_port(s, 0));
    assert_non_null(strstr(err.text, want));
    dns_server_free(s);

    again = at("192.0.2.1", 5353); /* not ours: TEST-NET-1 */
    assert_null(dns_server_new(&opts, &err));
    assert_non_null(strstr(err.text, "this machine has no such address"));
}

struct load {
    uint16_t port;
    unsigned back; /* how far answers may go back: 1 while two servers answer */
    atomic_bool stop;
    atomic_uint answers, newest;
};

/* Asks without pause; the last octet of the answers may not go back. */
static void *ask_on(void *arg)
{
    struct load *l = arg;
    struct ask ask = {.name = "www.example.com", .type = DNS_TYPE_A};
    uint8_t query[512], out[1500];
    size_t len = ask_packet(&ask, query);
    int fd = dial("127.0.0.1", l->port, SOCK_DGRAM);
    unsigned last = 0;

    while (!atomic_load(&l->stop)) {
        if (send(fd, query, len, 0) != (ssize_t)len)
            break;
        ssize_t n = recv(fd, out, sizeof(out), 0);
        if (n != (ssize_t)len + 16 || out[n - 1] + l->back < last)
            break;
        last = out[n - 1];
        atomic_store(&l->newest, last);
        atomic_fetch_add(&l->answers, 1);
    }
    close(fd);
    return atomic_load(&l->stop) ? NULL : arg;
}

static void views_change_under_load(void **state)
{
    struct dns_listen listen = at("127.0.0.1", 0);
    struct dns_server *s = start(&listen, 1, 2);
    struct load load = {.port = dns_server_port(s, 0)};
    pthread_t thread;
    void *bad;

    (void)state;
    dns_server_publish(s, numbered(1));
    assert_int_equal(pthread_create(&thread, NULL, ask_on, &load), 0);
    for (unsigned n = 2; n <= 200; n++) {
        dns_server_publish(s, numbered(n));
        unsigned before = atomic_load(&load.answers); /* one may still be under way */
        for (int tries = 0; tries < 5000 && atomic_load(&load.answers) < before + 2; tries++)
            poll(NULL, 0, 1);
        assert_int_equal(atomic_load(&load.newest), n); /* two answers later it is the new one */
    }
    atomic_store(&load.stop, true);
    pthread_join(thread, &bad);
    assert_null(bad);
    struct dns_view *view = dns_server_view(s);
    assert_non_null(view);
    dns_view_unref(view);
    dns_server_free(s);
}

/* A server on duplicates of the old one's sockets, which serves when this returns. */
static struct dns_server *successor(const struct dns_server *old, const struct dns_listen *listen,
                                    unsigned threads, unsigned shows)
{
    struct dns_socket sockets[16];
    int fds[16];
    struct gtm_error err = {0};
    size_t n = dns_server_export_fds(old, sockets, 16);

    assert_in_range(n, 2, 16);
    for (size_t i = 0; i < n; i++)
        fds[i] = dup(sockets[i].fd);
    struct dns_server_opts opts = {.listen = listen,
                                   .listen_count = 1,
                                   .threads = threads,
                                   .inherited = fds,
                                   .inherited_count = n};
    struct dns_server *s = dns_server_new(&opts, &err);
    if (s == NULL)
        fail_msg("%s", err.text);
    assert_int_equal(dns_server_port(s, 0), dns_server_port(old, 0));
    /* every UDP socket is still read, however many threads were wanted */
    assert_int_equal(dns_server_export_fds(s, sockets, 0), 1 + (threads > n - 1 ? threads : n - 1));
    dns_server_publish(s, numbered(shows));
    assert_int_equal(dns_server_start(s, &err), 0);
    return s;
}

static void wait_drained(const struct dns_server *s)
{
    for (int tries = 0; !dns_server_drained(s); tries++) {
        assert_in_range(tries, 0, 10000);
        poll(NULL, 0, 1);
    }
}

static void sockets_are_handed_over_under_load(void **state)
{
    struct dns_listen any = at("127.0.0.1", 0);
    struct dns_server *s = start(&any, 1, 2);
    struct dns_listen listen = at("127.0.0.1", dns_server_port(s, 0));
    struct load load[4];
    pthread_t threads[4];

    (void)state;
    dns_server_publish(s, numbered(1));
    for (int i = 0; i < 4; i++) { /* several ports: all sockets are asked */
        load[i] = (struct load){.port = dns_server_port(s, 0), .back = 1};
        assert_int_equal(pthread_create(&threads[i], NULL, ask_on, &load[i]), 0);
    }
    for (unsigned n = 2; n <= 9; n++) {
        static const unsigned wanted[] = {2, 4, 1, 3};
        struct dns_server *next = successor(s, n % 3 ? &listen : &any, wanted[n % 4], n);
        dns_server_drain(s, 5000);
        wait_drained(s);
        dns_server_free(s);
        s = next;
        for (int i = 0; i < 4; i++)
            for (int tries = 0; tries < 5000 && atomic_load(&load[i].newest) != n; tries++)
                poll(NULL, 0, 1);
    }
    for (int i = 0; i < 4; i++) {
        void *bad;
        assert_int_equal(atomic_load(&load[i].newest), 9);
        atomic_store(&load[i].stop, true);
        pthread_join(threads[i], &bad);
        assert_null(bad);
    }
    dns_server_free(s);
}

static void connected_clients_finish_while_draining(void **state)
{
    struct dns_listen any = at("127.0.0.1", 0);
    struct dns_server *s = start(&any, 1, 1);
    struct dns_listen listen = at("127.0.0.1", dns_server_port(s, 0));
    char end;

    (void)state;
    dns_server_publish(s, numbered(1));
    int fd = dial("127.0.0.1", dns_server_port(s, 0), SOCK_STREAM);
    exchange(fd, true);
    struct dns_server *next = successor(s, &listen, 1, 2);
    dns_server_drain(s, 60000);
    assert_string_equal(exchange(fd, true), "NOERROR aa | www.example.com. 60 A 192.0.2.1 | |");
    assert_int_equal(read(fd, &end, 1), 0); /* half a second of silence */
    close(fd);
    wait_drained(s);
    dns_server_free(s);
    fd = dial("127.0.0.1", dns_server_port(next, 0), SOCK_STREAM);
    assert_string_equal(exchange(fd, true), "NOERROR aa | www.example.com. 60 A 192.0.2.2 | |");
    dns_server_drain(next, 1); /* the deadline counts, silent or not */
    assert_int_equal(read(fd, &end, 1), 0);
    wait_drained(next);
    close(fd);
    dns_server_free(next);
}

static void a_wrong_socket_handed_over_is_closed(void **state)
{
    struct dns_listen listen = at("127.0.0.1", 0);
    int fds[4] = {socket(AF_INET, SOCK_DGRAM, 0), socket(AF_UNIX, SOCK_STREAM, 0), dup(0), 0};
    struct dns_listen other = at("127.0.0.9", 0);
    struct gtm_error err = {0};

    (void)state;
    fds[3] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fds[3], (struct sockaddr *)&other.addr, other.addr_len), 0);
    struct dns_server_opts opts = {
        .listen = &listen, .listen_count = 1, .threads = 1, .inherited = fds, .inherited_count = 4};
    struct dns_server *s = dns_server_new(&opts, &err);
    assert_non_null(s);
    struct dns_socket sockets[8];
    assert_int_equal(dns_server_export_fds(s, sockets, 8), 2); /* its own, new ones */
    dns_server_free(s);
    for (int i = 0; i < 4; i++)
        assert_true(fcntl(fds[i], F_GETFD) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_protocols_and_families_answer),
        cmocka_unit_test(a_wildcard_socket_answers_from_the_address_asked),
        cmocka_unit_test(an_address_in_use_is_named),
        cmocka_unit_test(views_change_under_load),
        cmocka_unit_test(sockets_are_handed_over_under_load),
        cmocka_unit_test(connected_clients_finish_while_draining),
        cmocka_unit_test(a_wrong_socket_handed_over_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
