/* SPDX-License-Identifier: Apache-2.0
 *
 * The badly behaved server. One thread accepts, each connection has one; see health_server.h.
 */
#include "tests/support/health_server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define CONNECTIONS 256
#define TRICKLE_MS  20
#define HEAD_BYTES  4096

struct connection {
    struct server *server;
    pthread_t thread;
    atomic_int fd; /* -1 = over */
    bool joined;
};

struct server {
    atomic_int mood;
    atomic_bool stop;
    atomic_uint accepts, requests, open;
    int listener, v6;
    uint16_t port;
    pthread_t acceptor;
    pthread_mutex_t lock;
    struct connection connections[CONNECTIONS];
    unsigned count;
    char first[HEAD_BYTES];
};

/* False when the peer or the test is gone. */
static bool put(struct connection *c, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return !c->server->stop;
}

static bool puts_(struct connection *c, const char *s)
{
    return put(c, s, strlen(s));
}

/* Waits; false when the peer or the test is gone meanwhile. */
static bool wait_ms(struct connection *c, int ms)
{
    struct pollfd pfd = {.fd = c->fd, .events = POLLRDHUP};
    return poll(&pfd, 1, ms) == 0 && !c->server->stop;
}

static void repeat(struct connection *c, const char *head, const char *piece, int pause_ms)
{
    bool going = puts_(c, head);
    while (going)
        going = puts_(c, piece) && (pause_ms == 0 || wait_ms(c, pause_ms));
}

static bool answer_ok(struct connection *c)
{
    return puts_(c, "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nall is well");
}

static void large_body(struct connection *c)
{
    char block[1024];
    memset(block, 'x', sizeof(block));
    bool going = puts_(c, "HTTP/1.1 200 OK\r\nContent-Length: 1048587\r\n\r\nall is well");
    for (int i = 0; going && i < 1024; i++)
        going = put(c, block, sizeof(block));
}

static void split_body(struct connection *c)
{
    const char *text = "all is well";
    char chunk[16];
    bool going = puts_(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (; going && *text; text++) {
        snprintf(chunk, sizeof(chunk), "1\r\n%c\r\n", *text);
        going = puts_(c, chunk) && wait_ms(c, 1);
    }
    if (going)
        puts_(c, "0\r\n\r\n");
}

static void reset(struct connection *c)
{
    struct linger hard = {.l_onoff = 1};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
}

/* Answers one request; false when the connection is over.
 * lint: size — one case a mood, nothing to gain by splitting */
static bool answer(struct connection *c, unsigned nth)
{
    static const char chunked[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    switch ((enum server_mood)atomic_load(&c->server->mood)) {
    case SERVER_OK:
    case SERVER_GREETS:
        return answer_ok(c);
    case SERVER_SLOW:
        return wait_ms(c, 100) && answer_ok(c);
    case SERVER_CLOSES_REUSED:
        return nth == 1 && answer_ok(c);
    case SERVER_SILENT:
        return true;
    case SERVER_UNAVAILABLE:
        return puts_(c, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
    case SERVER_REDIRECTS:
        return puts_(c, "HTTP/1.1 302 Over there\r\nLocation: /\r\nContent-Length: 0\r\n\r\n");
    case SERVER_GARBAGE:
        puts_(c, "\x16\x03\x01 what is this\n\n\n");
        return false;
    case SERVER_ENDLESS_HEADERS:
        repeat(c, "HTTP/1.1 200 OK\r\n", "X-More: there is always more to say\r\n", 0);
        return false;
    case SERVER_ENDLESS_LINE:
        repeat(c, "HTTP/1.1 200 OK\r\nX-More: ", "and on and on and on and on ", 0);
        return false;
    case SERVER_CONTINUES:
        repeat(c, "", "HTTP/1.1 100 Continue\r\n\r\n", 0);
        return false;
    case SERVER_ENDLESS_BODY:
        repeat(c, chunked, "20\r\nall is well all is well all is w\r\n", 0);
        return false;
    case SERVER_TRICKLES:
        repeat(c, chunked, "1\r\nx\r\n", TRICKLE_MS);
        return false;
    case SERVER_TRICKLES_HEADER:
        repeat(c, "HTTP/1.1 200 OK\r\nX-Slow: ", "x", TRICKLE_MS);
        return false;
    case SERVER_SPLIT_BODY:
        split_body(c);
        return true;
    case SERVER_LARGE_BODY:
        large_body(c);
        return true;
    case SERVER_BAD_CHUNK:
        puts_(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n");
        return wait_ms(c, 1000);
    case SERVER_TRUNCATES:
        puts_(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort");
        return false;
    case SERVER_HEADERS_ONLY:
        puts_(c, "HTTP/1.1 200 OK\r\nContent-Le");
        return false;
    case SERVER_RESETS:
        reset(c);
        return false;
    case SERVER_CLOSES:
        break;
    }
    return false;
}

static void keep_first(struct server *server, const char *head)
{
    pthread_mutex_lock(&server->lock);
    if (server->first[0] == '\0')
        snprintf(server->first, sizeof(server->first), "%s", head);
    pthread_mutex_unlock(&server->lock);
}

static void *connection_main(void *ctx)
{
    struct connection *c = ctx;
    char head[HEAD_BYTES];
    size_t len = 0;
    unsigned nth = 0;
    bool going = true;
    if (atomic_load(&c->server->mood) == SERVER_GREETS)
        going = puts_(c, "220 hel") && wait_ms(c, 2) && puts_(c, "lo\r\n");
    while (going) {
        ssize_t n = recv(c->fd, head + len, sizeof(head) - 1 - len, 0);
        if (n <= 0)
            break;
        len += (size_t)n;
        head[len] = '\0';
        if (strstr(head, "\r\n\r\n")) {
            keep_first(c->server, head);
            atomic_fetch_add(&c->server->requests, 1);
            len = 0;
            going = answer(c, ++nth);
        } else if (len == sizeof(head) - 1) {
            break;
        }
    }
    pthread_mutex_lock(&c->server->lock);
    close(c->fd);
    c->fd = -1;
    atomic_fetch_sub(&c->server->open, 1);
    pthread_mutex_unlock(&c->server->lock);
    return NULL;
}

static void *acceptor_main(void *ctx)
{
    struct server *s = ctx;
    struct pollfd pfd = {.fd = s->listener, .events = POLLIN};
    while (!s->stop) {
        if (poll(&pfd, 1, 5) <= 0)
            continue;
        int fd = accept(s->listener, NULL, NULL);
        if (fd < 0)
            continue;
        if (s->count == CONNECTIONS) {
            close(fd);
            continue;
        }
        atomic_fetch_add(&s->accepts, 1);
        atomic_fetch_add(&s->open, 1);
        struct connection *c = &s->connections[s->count];
        *c = (struct connection){.server = s, .fd = fd};
        assert_int_equal(pthread_create(&c->thread, NULL, connection_main, c), 0);
        s->count++;
    }
    return NULL;
}

static void listen_on(struct server *s)
{
    int one = 1;
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(s->port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(s->port)};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in6.sin6_addr = in6addr_loopback;
    struct sockaddr *sa = s->v6 ? (struct sockaddr *)&in6 : (struct sockaddr *)&in;
    socklen_t len = s->v6 ? sizeof(in6) : sizeof(in);
    s->listener = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(s->listener >= 0);
    setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    assert_int_equal(bind(s->listener, sa, len), 0);
    assert_int_equal(listen(s->listener, 128), 0);
    assert_int_equal(getsockname(s->listener, sa, &len), 0);
    s->port = ntohs(s->v6 ? in6.sin6_port : in.sin_port);
    s->stop = false;
    assert_int_equal(pthread_create(&s->acceptor, NULL, acceptor_main, s), 0);
}

struct server *server_new(enum server_mood mood, int v6)
{
    struct server *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    pthread_mutex_init(&s->lock, NULL);
    s->mood = mood;
    s->v6 = v6;
    listen_on(s);
    return s;
}

void server_kill(struct server *s)
{
    if (s->listener < 0)
        return;
    s->stop = true;
    pthread_join(s->acceptor, NULL);
    close(s->listener);
    s->listener = -1;
    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < s->count; i++)
        if (s->connections[i].fd >= 0)
            shutdown(s->connections[i].fd, SHUT_RDWR);
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < s->count; i++)
        pthread_join(s->connections[i].thread, NULL);
    s->count = 0;
}

void server_revive(struct server *s)
{
    listen_on(s);
}

void server_free(struct server *s)
{
    server_kill(s);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void server_set_mood(struct server *s, enum server_mood mood)
{
    atomic_store(&s->mood, mood);
}

uint16_t server_port(const struct server *s)
{
    return s->port;
}

unsigned server_accepts(struct server *s)
{
    return atomic_load(&s->accepts);
}

unsigned server_requests(struct server *s)
{
    return atomic_load(&s->requests);
}

unsigned server_open(struct server *s)
{
    return atomic_load(&s->open);
}

const char *server_first_request(struct server *s)
{
    pthread_mutex_lock(&s->lock);
    pthread_mutex_unlock(&s->lock);
    return s->first;
}
