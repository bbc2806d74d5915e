/* SPDX-License-Identifier: Apache-2.0
 *
 * The TLS server. One thread accepts, each connection has one. See health_tls_server.h.
 */
#include "tests/support/health_tls_server.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
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

#define CONNECTIONS 1024
#define HEAD_BYTES  4096

struct connection {
    struct tls_server *server;
    pthread_t thread;
    atomic_int fd;
};

struct tls_server {
    SSL_CTX *ctx;
    bool mute, reset;
    atomic_bool stop;
    atomic_uint handshakes, resumed;
    int listener;
    uint16_t port;
    pthread_t acceptor;
    pthread_mutex_t lock;
    char name[256];
    struct connection connections[CONNECTIONS];
    unsigned count;
};

static void serve(SSL *ssl)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nall is well";
    char head[HEAD_BYTES];
    size_t len = 0;
    for (;;) {
        int n = SSL_read(ssl, head + len, (int)(sizeof(head) - 1 - len));
        if (n <= 0)
            return;
        len += (size_t)n;
        head[len] = '\0';
        if (!strstr(head, "\r\n\r\n") && len < sizeof(head) - 1)
            continue;
        len = 0;
        if (SSL_write(ssl, ok, sizeof(ok) - 1) <= 0)
            return;
    }
}

static void *connection_main(void *ctx)
{
    struct connection *c = ctx;
    struct tls_server *s = c->server;
    SSL *ssl = SSL_new(s->ctx);
    SSL_set_fd(ssl, c->fd);
    if (s->mute) {
        struct pollfd pfd = {.fd = c->fd, .events = POLLRDHUP};
        while (!s->stop && poll(&pfd, 1, 5) == 0)
            ;
    } else if (SSL_accept(ssl) == 1) {
        const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
        pthread_mutex_lock(&s->lock);
        snprintf(s->name, sizeof(s->name), "%s", name ? name : "");
        pthread_mutex_unlock(&s->lock);
        atomic_fetch_add(&s->resumed, (unsigned)SSL_session_reused(ssl));
        atomic_fetch_add(&s->handshakes, 1);
        if (s->reset)
            setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1},
                       sizeof(struct linger));
        else
            serve(ssl);
    }
    SSL_free(ssl);
    pthread_mutex_lock(&s->lock);
    close(c->fd);
    c->fd = -1;
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static void *acceptor_main(void *ctx)
{
    struct tls_server *s = ctx;
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
        struct connection *c = &s->connections[s->count];
        *c = (struct connection){.server = s, .fd = fd};
        assert_int_equal(pthread_create(&c->thread, NULL, connection_main, c), 0);
        s->count++;
    }
    return NULL;
}

static SSL_CTX *make_ctx(const struct tls_server_want *want)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    assert_non_null(ctx);
    SSL_CTX_set_security_level(ctx, 0); /* weak keys are what some tests are about */
    SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
    SSL_CTX_set_cipher_list(ctx, "ALL:@SECLEVEL=0");
    if (want->max_version)
        SSL_CTX_set_max_proto_version(ctx, want->max_version);
    if (!want->mute) {
        assert_int_equal(SSL_CTX_use_certificate_chain_file(ctx, want->pem), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, want->pem, SSL_FILETYPE_PEM), 1);
    }
    if (want->client_ca) {
        assert_int_equal(SSL_CTX_load_verify_locations(ctx, want->client_ca, NULL), 1);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    return ctx;
}

struct tls_server *tls_server_new(const struct tls_server_want *want)
{
    struct tls_server *s = calloc(1, sizeof(*s));
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t len = sizeof(in);
    assert_non_null(s);
    pthread_mutex_init(&s->lock, NULL);
    s->ctx = make_ctx(want);
    s->mute = want->mute;
    s->reset = want->reset;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(s->listener >= 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(s->listener, 128), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&in, &len), 0);
    s->port = ntohs(in.sin_port);
    assert_int_equal(pthread_create(&s->acceptor, NULL, acceptor_main, s), 0);
    return s;
}

void tls_server_free(struct tls_server *s)
{
    s->stop = true;
    pthread_join(s->acceptor, NULL);
    close(s->listener);
    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < s->count; i++)
        if (s->connections[i].fd >= 0)
            shutdown(s->connections[i].fd, SHUT_RDWR);
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < s->count; i++)
        pthread_join(s->connections[i].thread, NULL);
    SSL_CTX_free(s->ctx);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

uint16_t tls_server_port(const struct tls_server *s)
{
    return s->port;
}

unsigned tls_server_handshakes(struct tls_server *s)
{
    return atomic_load(&s->handshakes);
}

unsigned tls_server_resumed(struct tls_server *s)
{
    return atomic_load(&s->resumed);
}

const char *tls_server_name(struct tls_server *s)
{
    pthread_mutex_lock(&s->lock);
    pthread_mutex_unlock(&s->lock);
    return s->name;
}
