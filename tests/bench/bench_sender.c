/* SPDX-License-Identifier: Apache-2.0
 *
 * Sends one question at a fixed rate and numbers every sending, so that each one that is never
 * answered is known: what a restart costs its users.
 *
 *     bench_sender ADDRESS PORT QUERY_HEX RATE
 *
 * Runs until standard input ends (or all numbers are used), waits WAIT_S for the last answers and
 * prints one JSON line: how many were sent, answered, answered wrongly (not NOERROR, or with
 * nothing in it) and lost, the slowest answers, and the longest time without any answer. Sendings
 * that the kernel refuses (nobody listens) are lost ones. Exit 1: wrong arguments, no memory.
 *
 * A number is a socket and a query's id: number = id * SOCKETS + socket. Many sockets, because a
 * server may share them out among several of its own.
 */
#include "gtm/base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SOCKETS       32
#define IDS           65536
#define NUMBERS       ((size_t)SOCKETS * IDS)
#define QUERY_MAX     512
#define HEADER_BYTES  12
#define RECEIVE_BYTES (1 << 20)
#define PAUSE_NS      200000L
#define WAIT_S        5.0
#define RATE_MAX      200000.0

struct sender {
    int fds[SOCKETS];
    uint8_t query[QUERY_MAX];
    size_t len;
    size_t sent, answered, wrong, refused;
    double *sent_at; /* by number; what is answered is < 0: minus what it took */
    double last_answer, gap;
    struct pollfd polls[SOCKETS];
};

static double now_s(void)
{
    return (double)gtm_mono_ns(gtm_clock_system()) / 1e9;
}

static bool from_hex(const char *hex, struct sender *s)
{
    size_t n = strlen(hex) / 2;

    if (n < HEADER_BYTES + 5 || n > QUERY_MAX || strlen(hex) % 2 != 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        char two[3] = {hex[2 * i], hex[2 * i + 1], '\0'}, *end;
        s->query[i] = (uint8_t)strtoul(two, &end, 16);
        if (*end != '\0')
            return false;
    }
    s->len = n;
    return true;
}

static bool sender_open(struct sender *s, char **argv)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    int room = RECEIVE_BYTES;

    errno = EINVAL;
    if (inet_pton(AF_INET, argv[1], &at.sin_addr) != 1 || !from_hex(argv[3], s))
        return false;
    at.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
    for (int i = 0; i < SOCKETS; i++) {
        s->fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (s->fds[i] < 0 || connect(s->fds[i], (struct sockaddr *)&at, sizeof(at)) != 0 ||
            setsockopt(s->fds[i], SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)) != 0)
            return false;
        s->polls[i] = (struct pollfd){.fd = s->fds[i], .events = POLLIN};
    }
    s->sent_at = calloc(NUMBERS, sizeof(*s->sent_at));
    return s->sent_at != NULL;
}

static void send_next(struct sender *s)
{
    size_t id = s->sent / SOCKETS;
    int fd = s->fds[s->sent % SOCKETS];

    s->query[0] = (uint8_t)(id >> 8);
    s->query[1] = (uint8_t)id;
    s->sent_at[s->sent++] = now_s();
    /* A refusal of an earlier one is reported here, and takes this sending with it: once more. */
    if (send(fd, s->query, s->len, 0) < 0 && errno == ECONNREFUSED) {
        s->refused++;
        (void)!send(fd, s->query, s->len, 0);
    }
}

static void receive(struct sender *s, int at)
{
    uint8_t reply[4096];
    ssize_t n;

    while ((n = recv(s->fds[at], reply, sizeof(reply), 0)) != -1 || errno == ECONNREFUSED) {
        double now = now_s();
        size_t number;

        if (n < HEADER_BYTES)
            continue;
        number = ((size_t)reply[0] << 8 | reply[1]) * SOCKETS + (size_t)at;
        if (number >= s->sent || s->sent_at[number] < 0)
            continue; /* not ours, or twice */
        s->wrong += (reply[3] & 15) != 0 || (reply[6] | reply[7]) == 0;
        s->sent_at[number] -= now;
        if (s->sent_at[number] >= 0)
            s->sent_at[number] = -1e-9; /* the clock stood still */
        if (s->answered++ > 0 && now - s->last_answer > s->gap)
            s->gap = now - s->last_answer;
        s->last_answer = now;
    }
}

/* Waits for answers, at most PAUSE_NS. */
static void receive_all(struct sender *s)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};

    if (ppoll(s->polls, SOCKETS, &pause, NULL) <= 0)
        return;
    for (int i = 0; i < SOCKETS; i++) {
        if (s->polls[i].revents != 0)
            receive(s, i);
    }
}

static bool told_to_end(void)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    char c;

    return poll(&in, 1, 0) > 0 && read(STDIN_FILENO, &c, 1) <= 0;
}

static void run(struct sender *s, double rate)
{
    double start = now_s();

    while (s->sent < NUMBERS && !told_to_end()) {
        size_t due = (size_t)((now_s() - start) * rate);

        while (s->sent < due && s->sent < NUMBERS)
            send_next(s);
        receive_all(s);
    }
    for (double end = now_s() + WAIT_S; s->answered < s->sent && now_s() < end;)
        receive_all(s);
}

static int slower_first(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y); /* answered ones are negative: the slowest is the smallest */
}

static void show(struct sender *s)
{
    double slowest, p999;

    qsort(s->sent_at, s->sent, sizeof(*s->sent_at), slower_first);
    slowest = s->answered > 0 ? -s->sent_at[0] : 0;
    p999 = s->answered > 0 ? -s->sent_at[s->answered / 1000] : 0;
    printf("{\"sent\":%zu,\"answered\":%zu,\"wrong\":%zu,\"lost\":%zu,\"refused\":%zu,"
           "\"slowest_ms\":%.3f,\"p999_ms\":%.3f,\"gap_ms\":%.3f}\n",
           s->sent, s->answered, s->wrong, s->sent - s->answered, s->refused, slowest * 1e3,
           p999 * 1e3, s->gap * 1e3);
}

int main(int argc, char **argv)
{
    static struct sender s;
    double rate = argc == 5 ? strtod(argv[4], NULL) : 0;

    if (rate < 1 || rate > RATE_MAX) {
        fprintf(stderr, "usage: bench_sender ADDRESS PORT QUERY_HEX RATE\n");
        return 1;
    }
    if (!sender_open(&s, argv)) {
        fprintf(stderr, "bench_sender: %s\n", strerror(errno));
        return 1;
    }
    run(&s, rate);
    show(&s);
    free(s.sent_at);
    return 0;
}
