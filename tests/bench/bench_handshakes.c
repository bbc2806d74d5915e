/* SPDX-License-Identifier: Apache-2.0
 *
 * DNS over TLS from connecting to closing, over and over: what a handshake costs the server.
 *
 *     bench_handshakes ADDRESS PORT QUERY_HEX SECONDS THREADS new|resume
 *
 * Each thread connects, shakes hands (TLS 1.3 where the server has it), asks one question (whose
 * answer comes after the tickets), closes, and begins again; with `resume` it offers the session of
 * the time before. The certificate is not looked at. Prints one JSON line; exit 1: wrong arguments
 * or no connection at all.
 */
#include "gtm/base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define THREADS_MAX  32
#define QUERY_MAX    512
#define PATIENCE_S   5
#define FAILURES_MAX 100

struct job {
    struct sockaddr_in at;
    SSL_CTX *ctx;
    uint8_t query[QUERY_MAX + 2]; /* with its length before it */
    size_t len;
    double end;
    bool resume;
    /* filled in by the thread */
    size_t done, resumed, failed;
    SSL_SESSION *session;
};

static double now_s(void)
{
    return (double)gtm_mono_ns(gtm_clock_system()) / 1e9;
}

static bool from_hex(const char *hex, struct job *j)
{
    size_t n = strlen(hex) / 2;

    if (n < 17 || n > QUERY_MAX || strlen(hex) % 2 != 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        char two[3] = {hex[2 * i], hex[2 * i + 1], '\0'}, *end;
        j->query[i + 2] = (uint8_t)strtoul(two, &end, 16);
        if (*end != '\0')
            return false;
    }
    j->query[0] = (uint8_t)(n >> 8);
    j->query[1] = (uint8_t)n;
    j->len = n + 2;
    return true;
}

/* TLS 1.3's tickets come as messages of their own: kept for the next time. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct job *j = SSL_get_app_data(ssl);

    SSL_SESSION_free(j->session);
    j->session = session;
    return 1;
}

static bool read_all(SSL *ssl, uint8_t *out, size_t len)
{
    while (len > 0) {
        int n = SSL_read(ssl, out, (int)len);
        if (n <= 0)
            return false;
        out += n;
        len -= (size_t)n;
    }
    return true;
}

static bool ask(SSL *ssl, const struct job *j)
{
    uint8_t reply[UINT16_MAX], head[2];

    return SSL_write(ssl, j->query, (int)j->len) == (int)j->len && read_all(ssl, head, 2) &&
           read_all(ssl, reply, (size_t)head[0] << 8 | head[1]) && (reply[3] & 15) == 0;
}

static int dial(const struct job *j)
{
    struct timeval wait = {.tv_sec = PATIENCE_S};
    struct linger at_once = {.l_onoff = 1}; /* no port waits for its time to pass */
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)) == 0 &&
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
        connect(fd, (const struct sockaddr *)&j->at, sizeof(j->at)) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool once(struct job *j)
{
    SSL_SESSION *offered = j->resume ? j->session : NULL;
    int fd = dial(j);
    SSL *ssl;
    bool ok;

    if (fd < 0)
        return false;
    ssl = SSL_new(j->ctx);
    ok = ssl != NULL && SSL_set_app_data(ssl, j) == 1 && SSL_set_fd(ssl, fd) == 1 &&
         (offered == NULL || SSL_set_session(ssl, offered) == 1) && SSL_connect(ssl) == 1 &&
         ask(ssl, j);
    if (ok)
        j->resumed += SSL_session_reused(ssl) == 1;
    if (ssl != NULL) {
        SSL_set_quiet_shutdown(ssl, 1); /* or the session would count as broken */
        SSL_shutdown(ssl);
        SSL_free(ssl);
    }
    close(fd);
    return ok;
}

static void *work(void *arg)
{
    struct job *j = arg;

    while (now_s() < j->end && j->failed < FAILURES_MAX) {
        if (once(j))
            j->done++;
        else
            j->failed++;
    }
    SSL_SESSION_free(j->session);
    return NULL;
}

static SSL_CTX *make_ctx(void)
{
    static const unsigned char dot[] = "\3dot";
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    if (ctx == NULL || SSL_CTX_set_alpn_protos(ctx, dot, sizeof(dot) - 1) != 0)
        return NULL;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_session);
    return ctx;
}

static int run(const struct job *model, size_t threads)
{
    static struct job jobs[THREADS_MAX];
    pthread_t ids[THREADS_MAX];
    size_t done = 0, resumed = 0, failed = 0, running = 0;
    double start = now_s(), took;

    for (; running < threads; running++) {
        jobs[running] = *model;
        if (pthread_create(&ids[running], NULL, work, &jobs[running]) != 0)
            break;
    }
    for (size_t i = 0; i < running; i++) {
        pthread_join(ids[i], NULL);
        done += jobs[i].done;
        resumed += jobs[i].resumed;
        failed += jobs[i].failed;
    }
    took = now_s() - start;
    printf("{\"done\":%zu,\"resumed\":%zu,\"failed\":%zu,\"seconds\":%.3f,\"per_s\":%.1f}\n", done,
           resumed, failed, took, (double)done / took);
    return done == 0;
}

int main(int argc, char **argv)
{
    static struct job model;
    size_t threads = argc == 7 ? strtoul(argv[5], NULL, 10) : 0;
    double seconds = argc == 7 ? strtod(argv[4], NULL) : 0;

    model.at.sin_family = AF_INET;
    if (threads < 1 || threads > THREADS_MAX || seconds <= 0 || seconds > 600 ||
        inet_pton(AF_INET, argv[1], &model.at.sin_addr) != 1 || !from_hex(argv[3], &model) ||
        (strcmp(argv[6], "new") != 0 && strcmp(argv[6], "resume") != 0)) {
        fprintf(stderr,
                "usage: bench_handshakes ADDRESS PORT QUERY_HEX SECONDS THREADS new|resume\n");
        return 1;
    }
    model.at.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
    model.resume = strcmp(argv[6], "resume") == 0;
    model.ctx = make_ctx();
    if (model.ctx == NULL) {
        fprintf(stderr, "bench_handshakes: no TLS\n");
        return 1;
    }
    model.end = now_s() + seconds;
    int rc = run(&model, threads);
    SSL_CTX_free(model.ctx);
    return rc;
}
