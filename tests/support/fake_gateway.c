/* SPDX-License-Identifier: Apache-2.0
 *
 * See fake_gateway.h. One thread polls the listener and all connections; what is set is behind a
 * lock.
 */
#include "tests/support/fake_gateway.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define CONNECTIONS   64
#define REQUEST_BYTES (256u << 10)

struct connection {
    int fd;
    size_t used;
    char *data;
};

struct fake_gateway {
    int listener;
    char url[64];
    pthread_t thread;
    atomic_bool stop;
    pthread_mutex_t lock; /* all below */
    struct fake_script script;
    uint64_t cluster, term;
    char version[24];
    bool learner;
    unsigned requests, tokens, greetings;
    char last[8192];
    struct connection connections[CONNECTIONS];
    unsigned count;
};

static void nap(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000},
              NULL);
}

static void put(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        data += n;
        len -= (size_t)n;
    }
}

static void answer(int fd, int status, const char *body, const struct fake_script *script)
{
    size_t len = strlen(body), room = len + 256, head;
    char *all = malloc(room);
    if (script && script->mood == FAKE_RAW) {
        head = 0;
        memcpy(all, body, len);
    } else {
        head = (size_t)snprintf(all, room,
                                "HTTP/1.1 %d X\r\nContent-Type: application/json\r\n"
                                "Content-Length: %zu\r\n\r\n",
                                status, len);
        memcpy(all + head, body, len);
    }
    len += head;
    if (script && script->mood == FAKE_HALF)
        len = head + (len - head) / 2;
    size_t first = script && script->split && script->split < len ? script->split : len;
    put(fd, all, first);
    if (first < len) {
        nap(2);
        put(fd, all + first, len - first);
    }
    free(all);
}

static void reset(int fd)
{
    struct linger linger = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

static bool greets(struct fake_gateway *f, int fd, const char *request)
{
    char body[512];
    if (strstr(request, "GET /version ") == request)
        snprintf(body, sizeof(body), "{\"etcdserver\":\"%s\",\"etcdcluster\":\"3.4.0\"}",
                 f->version);
    else if (strstr(request, "POST /v3/maintenance/status ") == request)
        snprintf(body, sizeof(body),
                 "{\"header\":{\"cluster_id\":\"%" PRIu64 "\",\"member_id\":\"1\",\"revision\":"
                 "\"1\",\"raft_term\":\"%" PRIu64 "\"},\"version\":\"%s\",\"leader\":\"1\"%s}",
                 f->cluster, f->term, f->version, f->learner ? ",\"isLearner\":true" : "");
    else if (strstr(request, "POST /v3/auth/authenticate ") == request)
        snprintf(body, sizeof(body), "{\"token\":\"token-%u\"}", ++f->tokens);
    else
        return false;
    f->greetings += !strstr(request, "authenticate");
    answer(fd, 200, body, NULL);
    return true;
}

/* False: the connection is over. */
static bool serve(struct fake_gateway *f, int fd, const char *request)
{
    pthread_mutex_lock(&f->lock);
    if (!f->script.greetings && greets(f, fd, request)) {
        pthread_mutex_unlock(&f->lock);
        return true;
    }
    struct fake_script script = f->script;
    if (f->script.times && --f->script.times == 0 && f->script.then)
        f->script = *script.then;
    f->requests++;
    snprintf(f->last, sizeof(f->last), "%s", request);
    pthread_mutex_unlock(&f->lock);
    if (script.delay_ms)
        nap(script.delay_ms);
    if (script.mood == FAKE_SILENT)
        return true;
    if (script.mood == FAKE_RESETS)
        reset(fd);
    else
        answer(fd, script.status ? script.status : 200, script.body ? script.body : "", &script);
    return script.mood == FAKE_ANSWERS;
}

/* The length of a whole request at the start of what came, or 0. */
static size_t whole(const struct connection *c)
{
    const char *end = strstr(c->data, "\r\n\r\n");
    const char *length = strstr(c->data, "\r\nContent-Length: ");
    if (!end)
        return 0;
    size_t need = (size_t)(end - c->data) + 4;
    if (length && length < end)
        need += strtoul(length + 18, NULL, 10);
    return c->used >= need ? need : 0;
}

static bool reads(struct fake_gateway *f, struct connection *c)
{
    size_t len;
    ssize_t n = recv(c->fd, c->data + c->used, REQUEST_BYTES - 1 - c->used, 0);
    if (n <= 0)
        return false;
    c->used += (size_t)n;
    c->data[c->used] = 0;
    while ((len = whole(c)) > 0) {
        char kept = c->data[len];
        c->data[len] = 0;
        bool more = serve(f, c->fd, c->data);
        c->data[len] = kept;
        if (!more)
            return false;
        memmove(c->data, c->data + len, c->used - len + 1);
        c->used -= len;
    }
    return true;
}

static void accepts(struct fake_gateway *f)
{
    int one = 1, fd = accept(f->listener, NULL, NULL);
    if (fd < 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    pthread_mutex_lock(&f->lock);
    bool refuse = f->script.mood == FAKE_RESETS_BEFORE || f->count == CONNECTIONS;
    pthread_mutex_unlock(&f->lock);
    if (refuse) {
        reset(fd);
        close(fd);
        return;
    }
    f->connections[f->count++] = (struct connection){.fd = fd, .data = calloc(1, REQUEST_BYTES)};
}

static void *run(void *arg)
{
    struct fake_gateway *f = arg;
    while (!f->stop) {
        struct pollfd fds[CONNECTIONS + 1] = {{.fd = f->listener, .events = POLLIN}};
        unsigned count = f->count;
        for (unsigned i = 0; i < count; i++)
            fds[i + 1] = (struct pollfd){.fd = f->connections[i].fd, .events = POLLIN};
        if (poll(fds, count + 1, 20) <= 0)
            continue;
        for (unsigned i = count; i-- > 0;)
            if (fds[i + 1].revents && !reads(f, &f->connections[i])) {
                close(f->connections[i].fd);
                free(f->connections[i].data);
                f->connections[i] = f->connections[--f->count];
            }
        if (fds[0].revents)
            accepts(f);
    }
    return NULL;
}

struct fake_gateway *fake_gateway_new(void)
{
    struct fake_gateway *f = calloc(1, sizeof(*f));
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    assert_non_null(f);
    f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(f->listener, 64), 0);
    assert_int_equal(getsockname(f->listener, (struct sockaddr *)&at, &len), 0);
    snprintf(f->url, sizeof(f->url), "http://127.0.0.1:%u", ntohs(at.sin_port));
    pthread_mutex_init(&f->lock, NULL);
    fake_gateway_is(f, 77, 5, "3.4.23", false);
    assert_int_equal(pthread_create(&f->thread, NULL, run, f), 0);
    return f;
}

void fake_gateway_free(struct fake_gateway *f)
{
    f->stop = true;
    pthread_join(f->thread, NULL);
    for (unsigned i = 0; i < f->count; i++) {
        close(f->connections[i].fd);
        free(f->connections[i].data);
    }
    close(f->listener);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

const char *fake_gateway_url(const struct fake_gateway *f)
{
    return f->url;
}

void fake_gateway_set(struct fake_gateway *f, const struct fake_script *script)
{
    pthread_mutex_lock(&f->lock);
    f->script = *script;
    pthread_mutex_unlock(&f->lock);
}

void fake_gateway_is(struct fake_gateway *f, uint64_t cluster, uint64_t term, const char *version,
                     bool learner)
{
    pthread_mutex_lock(&f->lock);
    f->cluster = cluster;
    f->term = term;
    f->learner = learner;
    snprintf(f->version, sizeof(f->version), "%s", version);
    pthread_mutex_unlock(&f->lock);
}

static unsigned read_count(struct fake_gateway *f, const unsigned *count)
{
    pthread_mutex_lock(&f->lock);
    unsigned n = *count;
    pthread_mutex_unlock(&f->lock);
    return n;
}

unsigned fake_gateway_requests(struct fake_gateway *f)
{
    return read_count(f, &f->requests);
}

unsigned fake_gateway_tokens(struct fake_gateway *f)
{
    return read_count(f, &f->tokens);
}

unsigned fake_gateway_greetings(struct fake_gateway *f)
{
    return read_count(f, &f->greetings);
}

void fake_gateway_last(struct fake_gateway *f, char *out, size_t max)
{
    pthread_mutex_lock(&f->lock);
    snprintf(out, max, "%s", f->last);
    pthread_mutex_unlock(&f->lock);
}
