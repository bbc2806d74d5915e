/* SPDX-License-Identifier: Apache-2.0
 *
 * See listener.h.
 */
#include "gtm/daemon/listener.h"

#include "gtm/base/log.h"
#include "gtm/base/loop.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/newcomers.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG  1024 /* a full one is an error for who does not block */
#define SWEEP_MS 1000

struct connection {
    struct gtm_listener *listener;
    struct evhttp_connection *evcon;
    struct sockaddr_storage from;
    uint64_t seen_ms; /* its start, or the end of its last request */
    bool busy;        /* a request waits for its answer */
    struct connection *prev, *next;
};

struct gtm_listener {
    struct gtm_listener_opts opts;
    struct evhttp *http;
    struct evconnlistener *ev; /* owned by http */
    SSL_CTX *tls;
    struct gtm_timer *sweep;
    struct connection *connections;
    struct gtm_newcomers newcomers;
    unsigned count;
    bool stopping;
};

/* --- connections --- */

static void listener_switch(struct gtm_listener *listener)
{
    if (!listener->ev)
        return;
    if (!listener->stopping &&
        listener->count + listener->newcomers.count < listener->opts.connections_max)
        evconnlistener_enable(listener->ev);
    else
        evconnlistener_disable(listener->ev);
}

static void on_closed(struct evhttp_connection *evcon, void *arg)
{
    (void)evcon;
    struct connection *con = arg;
    struct gtm_listener *listener = con->listener;
    if (con->prev)
        con->prev->next = con->next;
    else
        listener->connections = con->next;
    if (con->next)
        con->next->prev = con->prev;
    listener->count--;
    gtm_free(con);
    listener_switch(listener);
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    if (a->ss_family != b->ss_family)
        return false;
    if (a->ss_family == AF_INET)
        return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
               ((const struct sockaddr_in *)b)->sin_addr.s_addr;
    return memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
                  &((const struct sockaddr_in6 *)b)->sin6_addr, sizeof(struct in6_addr)) == 0;
}

static bool crowded(const struct gtm_listener *listener, const struct sockaddr_storage *from)
{
    unsigned n = 0;
    if (!listener->opts.per_address_max)
        return false;
    for (const struct connection *con = listener->connections; con; con = con->next)
        n += same_address(&con->from, from);
    return n >= listener->opts.per_address_max;
}

static bool take_address(struct evhttp_connection *evcon, struct sockaddr_storage *ret)
{
    const struct sockaddr *from = evhttp_connection_get_addr(evcon);
    *ret = (struct sockaddr_storage){0};
    if (from && from->sa_family == AF_INET)
        memcpy(ret, from, sizeof(struct sockaddr_in));
    else if (from && from->sa_family == AF_INET6)
        memcpy(ret, from, sizeof(struct sockaddr_in6));
    return ret->ss_family != 0;
}

static void admit(struct gtm_listener *listener, struct evhttp_connection *evcon)
{
    struct connection *con = gtm_calloc(1, sizeof(*con));
    bool known = con && take_address(evcon, &con->from);
    if (!con || (listener->opts.per_address_max && !known) || crowded(listener, &con->from)) {
        if (listener->opts.refused)
            listener->opts.refused(listener->opts.arg);
        gtm_free(con);
        evhttp_connection_free(evcon);
        return;
    }
    con->listener = listener;
    con->evcon = evcon;
    con->seen_ms = gtm_mono_ms(listener->opts.clock);
    con->next = listener->connections;
    if (con->next)
        con->next->prev = con;
    listener->connections = con;
    listener->count++;
    evhttp_connection_set_closecb(evcon, on_closed, con);
}

static void on_made(void *arg, struct evhttp_connection *evcon)
{
    struct gtm_listener *listener = arg;
    if (evcon)
        admit(listener, evcon);
    listener_switch(listener);
}

static struct bufferevent *make_bev(struct gtm_listener *listener, struct event_base *base)
{
    if (!listener->tls)
        return bufferevent_socket_new(base, -1, 0);
    SSL *ssl = SSL_new(listener->tls);
    if (!ssl)
        return NULL;
    struct bufferevent *bev = bufferevent_openssl_socket_new(
        base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
    if (!bev)
        SSL_free(ssl);
    else
        bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    return bev;
}

/* evhttp asks for the bufferevent of a connection that it has accepted. One that cannot be counted
 * is not served: on_request does not find it. */
static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
    struct gtm_listener *listener = arg;
    struct bufferevent *bev = make_bev(listener, base);
    if (bev && gtm_newcomers_add(&listener->newcomers, base, bev) == GTM_OK)
        listener_switch(listener); /* libevent accepts until a callback pauses the listener */
    return bev;
}

static SSL *ssl_of(struct evhttp_connection *evcon)
{
    struct bufferevent *bev = evcon ? evhttp_connection_get_bufferevent(evcon) : NULL;
    return bev ? bufferevent_openssl_get_ssl(bev) : NULL;
}

static bool overdue(const struct connection *con, uint64_t now_ms)
{
    const struct gtm_listener_opts *opts = &con->listener->opts;
    uint64_t idle_ms = now_ms - con->seen_ms;
    SSL *ssl = con->busy ? NULL : ssl_of(con->evcon);
    if (ssl && !SSL_is_init_finished(ssl) && idle_ms >= opts->handshake_ms)
        return true;
    return !con->busy && idle_ms >= opts->idle_ms;
}

/* Also opens the listener again that a lack of descriptors has paused. */
static void on_sweep(void *arg)
{
    struct gtm_listener *listener = arg;
    uint64_t now_ms = gtm_mono_ms(listener->opts.clock);
    for (struct connection *con = listener->connections, *next; con; con = next) {
        next = con->next;
        if (overdue(con, now_ms))
            evhttp_connection_free(con->evcon); /* on_closed follows */
    }
    listener_switch(listener);
    gtm_timer_start(listener->sweep, SWEEP_MS);
}

/* Out of descriptors: without a pause the loop would spin on the waiting connection. */
static void on_accept_error(struct evconnlistener *ev, void *arg)
{
    (void)arg; /* evhttp's: evhttp_bind_listener has put its own */
    gtm_log(GTM_LOG_WARN, "listener", "cannot accept a connection",
            gtm_kv_str("error", strerror(errno)));
    evconnlistener_disable(ev); /* until the next sweep */
}

/* --- requests --- */

static void on_answered(struct evhttp_request *http, void *arg)
{
    (void)http;
    struct connection *con = arg;
    con->busy = false;
    con->seen_ms = gtm_mono_ms(con->listener->opts.clock);
}

static void on_request(struct evhttp_request *http, void *arg)
{
    struct gtm_listener *listener = arg;
    struct evhttp_connection *evcon = evhttp_request_get_connection(http);
    struct connection *con = listener->connections;
    while (con && con->evcon != evcon)
        con = con->next;
    if (!con) { /* not counted: there was no memory for it */
        evhttp_send_error(http, 503, NULL);
        return;
    }
    con->busy = true;
    evhttp_request_set_on_complete_cb(http, on_answered, con);
    listener->opts.request(http, listener->opts.arg);
}

/* --- the socket --- */

int gtm_listener_socket(const struct gtm_listen *at, const char *what, struct gtm_error *err)
{
    int one = 1;
    int fd = socket(at->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        /* Inherited by what is accepted; without it a kept-alive request waits 40 ms for the
         * client's delayed acknowledgement. */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        if (at->addr.ss_family == AF_INET6)
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
        if (bind(fd, (const struct sockaddr *)&at->addr, at->addr_len) == 0 &&
            listen(fd, BACKLOG) == 0)
            return fd;
    }
    int e = errno;
    if (fd >= 0)
        close(fd);
    gtm_error_set(err, e == EADDRINUSE ? GTM_EEXIST : gtm_err_from_errno(e), "%s %s: %s", what,
                  at->text, strerror(e));
    return -1;
}

static void set_up(struct gtm_listener *listener)
{
    const struct gtm_listener_opts *opts = &listener->opts;
    evconnlistener_set_error_cb(listener->ev, on_accept_error);
    evhttp_set_max_headers_size(listener->http, (ev_ssize_t)opts->header_max);
    evhttp_set_max_body_size(listener->http, (ev_ssize_t)opts->body_max);
    evhttp_set_timeout(listener->http, (int)opts->io_timeout_s);
    evhttp_set_default_content_type(listener->http, NULL);
    /* All that evhttp knows, so that a wrong one gets our 405 with Allow. */
    evhttp_set_allowed_methods(listener->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT |
                                                   EVHTTP_REQ_POST | EVHTTP_REQ_DELETE |
                                                   EVHTTP_REQ_PATCH | EVHTTP_REQ_OPTIONS);
    evhttp_set_bevcb(listener->http, on_accept, listener);
    evhttp_set_gencb(listener->http, on_request, listener);
    gtm_timer_start(listener->sweep, SWEEP_MS);
}

struct gtm_listener *gtm_listener_new(const struct gtm_listener_opts *opts, int fd, SSL_CTX *tls,
                                      struct gtm_error *err)
{
    struct event_base *base = gtm_loop_base(opts->loop);
    struct gtm_listener *listener = gtm_calloc(1, sizeof(*listener));
    struct evconnlistener *ev =
        evconnlistener_new(base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (!ev)
        close(fd);
    if (listener) {
        listener->opts = *opts;
        listener->newcomers = (struct gtm_newcomers){.fn = on_made, .ctx = listener};
        listener->http = evhttp_new(base);
        listener->sweep = gtm_timer_new(opts->loop, on_sweep, listener);
        gtm_listener_set_tls(listener, tls);
    }
    if (listener && ev && listener->http && listener->sweep &&
        evhttp_bind_listener(listener->http, ev)) {
        listener->ev = ev;
        set_up(listener);
        return listener;
    }
    if (ev)
        evconnlistener_free(ev);
    gtm_listener_free(listener);
    gtm_error_set(err, GTM_ENOMEM, "out of memory for a listener");
    return NULL;
}

void gtm_listener_free(struct gtm_listener *listener)
{
    if (!listener)
        return;
    listener->stopping = true;
    listener->ev = NULL; /* evhttp_free frees it before the connections, whose end looks at it */
    if (listener->http)
        evhttp_free(listener->http);
    gtm_newcomers_clear(&listener->newcomers);
    gtm_timer_free(listener->sweep);
    SSL_CTX_free(listener->tls);
    gtm_free(listener);
}

void gtm_listener_set_tls(struct gtm_listener *listener, SSL_CTX *tls)
{
    if (tls)
        SSL_CTX_up_ref(tls);
    SSL_CTX_free(listener->tls);
    listener->tls = tls;
}

SSL_CTX *gtm_listener_tls(const struct gtm_listener *listener)
{
    return listener->tls;
}

unsigned gtm_listener_count(const struct gtm_listener *listener)
{
    return listener ? listener->count : 0;
}

uint16_t gtm_listener_port(const struct gtm_listener *listener)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } bound = {0};
    socklen_t len = sizeof(bound);
    if (!listener || getsockname(evconnlistener_get_fd(listener->ev), &bound.any, &len))
        return 0;
    return ntohs(bound.any.sa_family == AF_INET ? bound.v4.sin_port : bound.v6.sin6_port);
}

SSL *gtm_listener_ssl(struct evhttp_request *http)
{
    return ssl_of(evhttp_request_get_connection(http));
}
