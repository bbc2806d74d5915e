/* SPDX-License-Identifier: Apache-2.0
 *
 * How long until the answer changes. Asks one question over and over and reports when the address
 * in the answer is no longer, or again, the one given.
 *
 *     bench_flip api ADDRESS PORT QUERY_HEX GONE_IPV4 SOCKET PATH COUNT
 *         orders the endpoint at PATH down and back COUNT times through the API; from sending the
 *         request on. Asks as fast as it can.
 *     bench_flip signal ADDRESS PORT QUERY_HEX GONE_IPV4 PID SIGNAL DEADLINE_MS
 *         sends a signal to a process, and asks every 0.2 ms from then on.
 *     bench_flip first ADDRESS PORT QUERY_HEX WANTED_IPV4 DEADLINE_MS
 *         until there is an answer at all, and until it is the one wanted; asks every 0.2 ms.
 *
 * Prints one JSON line for each event. Exit 1 when a deadline passes or the API refuses.
 */
#include "gtm/base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define QUERY_MAX    512
#define REPLY_BYTES  4096
#define PAUSE_NS     200000L
#define FLIP_MS      5000.0 /* no flip takes that long */
#define HTTP_BYTES   4096
#define HEADER_BYTES 12

struct asker {
    int fd;
    uint8_t query[QUERY_MAX];
    size_t len;
    size_t question_end;
    uint32_t address; /* network order */
};

static double now_ms(void)
{
    return (double)gtm_mono_ns(gtm_clock_system()) / 1e6;
}

static int die(const char *what)
{
    fprintf(stderr, "bench_flip: %s: %s\n", what, strerror(errno));
    return 1;
}

static bool from_hex(const char *hex, uint8_t *out, size_t room, size_t *ret_len)
{
    size_t n = strlen(hex) / 2;

    if (n < HEADER_BYTES + 5 || n > room || strlen(hex) % 2 != 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        char two[3] = {hex[2 * i], hex[2 * i + 1], '\0'}, *end;
        out[i] = (uint8_t)strtoul(two, &end, 16);
        if (*end != '\0')
            return false;
    }
    *ret_len = n;
    return true;
}

static int asker_open(struct asker *a, char **argv)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    struct timeval wait = {.tv_usec = 100000};

    errno = EINVAL;
    if (inet_pton(AF_INET, argv[0], &at.sin_addr) != 1 ||
        !from_hex(argv[2], a->query, sizeof(a->query), &a->len) ||
        inet_pton(AF_INET, argv[3], &a->address) != 1)
        return die("arguments");
    at.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
    a->question_end = HEADER_BYTES;
    while (a->question_end < a->len && a->query[a->question_end] != 0)
        a->question_end += a->query[a->question_end] + 1u;
    a->question_end += 5;
    a->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (a->fd < 0 || connect(a->fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
        setsockopt(a->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) != 0)
        return die("socket");
    return 0;
}

/* The address of the first A record when the owner is a pointer to the question, as all answers to
 * this question have; 0 = none. */
static uint32_t address_in(const struct asker *a, const uint8_t *reply, size_t len)
{
    const uint8_t *rr = reply + a->question_end;
    uint32_t address;

    if (len < a->question_end + 16 || reply[7] == 0 || rr[0] != 0xc0 || rr[3] != 1 || rr[11] != 4)
        return 0;
    memcpy(&address, rr + 12, sizeof(address));
    return address;
}

/* One question; false without an answer. */
static bool ask(struct asker *a, uint32_t *ret_address)
{
    uint8_t reply[REPLY_BYTES];

    a->query[1]++;
    if (send(a->fd, a->query, a->len, 0) < 0)
        return false; /* refused: nobody is there (yet) */
    for (;;) {
        ssize_t n = recv(a->fd, reply, sizeof(reply), 0);
        if (n < HEADER_BYTES)
            return false;
        if (reply[1] != a->query[1])
            continue; /* late answer to an earlier question */
        *ret_address = address_in(a, reply, (size_t)n);
        return true;
    }
}

static void pause_between(void)
{
    struct timespec t = {.tv_nsec = PAUSE_NS};
    nanosleep(&t, NULL);
}

/* Milliseconds from `start` to the first answer that has (or has not) the address; < 0 = never. */
static double wait_answer(struct asker *a, bool present, double start, double deadline_ms,
                          bool spin)
{
    for (;;) {
        uint32_t address;
        bool got = ask(a, &address);
        double now = now_ms();
        if (got && address != 0 && (address == a->address) == present)
            return now - start;
        if (now - start > deadline_ms)
            return -1;
        if (!spin)
            pause_between();
    }
}

/* ---- by the API ---- */

static int api_connect(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (strlen(path) >= sizeof(at.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(at.sun_path, path, strlen(path) + 1);
    return fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0 ? fd : -1;
}

static bool api_put(int fd, const char *path, const char *body)
{
    char request[HTTP_BYTES];
    int n = snprintf(request, sizeof(request),
                     "PUT /api/v1%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                     "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                     path, strlen(body), body);
    return n > 0 && (size_t)n < sizeof(request) && write(fd, request, (size_t)n) == n;
}

/* Reads the reply to its end; true for 200. */
static bool api_reply(int fd)
{
    char text[HTTP_BYTES];
    size_t len = 0;
    ssize_t n;

    while ((n = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
        len = len + (size_t)n < sizeof(text) - 1 ? len + (size_t)n : len / 2;
    text[len] = '\0';
    if (strncmp(text, "HTTP/1.1 200", 12) == 0)
        return true;
    fprintf(stderr, "bench_flip: the API says %.300s\n", text);
    return false;
}

static double flip(struct asker *a, char **argv, const char *state)
{
    char body[64];
    int fd = api_connect(argv[0]);
    double ms, start;

    snprintf(body, sizeof(body), "{\"state\": \"%s\", \"reason\": \"benchmark\"}", state);
    start = now_ms();
    if (fd < 0 || !api_put(fd, argv[1], body)) {
        die("api");
        return -1;
    }
    ms = wait_answer(a, strcmp(state, "auto") == 0, start, FLIP_MS, true);
    if (!api_reply(fd))
        ms = -1;
    close(fd);
    return ms;
}

static int run_api(struct asker *a, char **argv)
{
    unsigned long count = strtoul(argv[2], NULL, 10);

    for (unsigned long i = 0; i < count; i++) {
        double down = flip(a, argv, "down");
        double up = down < 0 ? -1 : flip(a, argv, "auto");
        if (up < 0) {
            fprintf(stderr, "bench_flip: no new answer to flip %lu\n", i);
            return 1;
        }
        printf("{\"down_ms\":%.4f,\"up_ms\":%.4f}\n", down, up);
    }
    return 0;
}

/* ---- by a signal, and at start ---- */

static int report(const char *what, double ms)
{
    if (ms < 0)
        fprintf(stderr, "bench_flip: the deadline passed\n");
    else
        printf("{\"%s\":%.3f}\n", what, ms);
    return ms < 0 ? 1 : 0;
}

static int run_signal(struct asker *a, char **argv)
{
    double start = now_ms();

    if (kill((pid_t)strtol(argv[0], NULL, 10), (int)strtol(argv[1], NULL, 10)) != 0)
        return die("kill");
    return report("clean_ms", wait_answer(a, false, start, strtod(argv[2], NULL), false));
}

static int run_first(struct asker *a, char **argv)
{
    double start = now_ms(), deadline = strtod(argv[0], NULL);
    uint32_t address;

    while (!ask(a, &address)) {
        if (now_ms() - start > deadline)
            return report("first_ms", -1);
        pause_between();
    }
    int rc = report("first_ms", now_ms() - start);
    return rc != 0 ? rc : report("wanted_ms", wait_answer(a, true, start, deadline, false));
}

int main(int argc, char **argv)
{
    struct asker a = {0};

    if (argc == 9 && strcmp(argv[1], "api") == 0)
        return asker_open(&a, argv + 2) != 0 ? 1 : run_api(&a, argv + 6);
    if (argc == 9 && strcmp(argv[1], "signal") == 0)
        return asker_open(&a, argv + 2) != 0 ? 1 : run_signal(&a, argv + 6);
    if (argc == 7 && strcmp(argv[1], "first") == 0)
        return asker_open(&a, argv + 2) != 0 ? 1 : run_first(&a, argv + 6);
    fprintf(stderr, "usage: see the head of tests/bench/bench_flip.c\n");
    return 2;
}
