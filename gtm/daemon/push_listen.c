/* SPDX-License-Identifier: Apache-2.0
 *
 * The socket and the connections of the heartbeat listener over evhttp. See push_int.h.
 *
 * evhttp tells neither a connection's start nor whose it is: each is learnt in the turn of the loop
 * in which it was accepted (evhttp has put its connection as the argument of the bufferevent's
 * callbacks by then), and its end through the close callback. The listener pauses while too many
 * are open; a sweep closes those that bring no whole request, which evhttp's own time-out,
 * restarted by every byte, would not.
 */
#include "gtm/base/mem.h"
#include "gtm/daemon/daemon.h"
#include "gtm/daemon/push_int.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG         1024
#define SWEEP_MS        1000
#define IO_TIMEOUT_S    30
#define BODY_EVHTTP_MAX (4 * GTM_PUSH_BODY_MAX) /* up to here the answer is ours */

/* --- connections --- */

static void listener_switch(struct gtm_push *push)
{
    if (!push->ev)
        return;
    if (!push->stopping && push->count + push->newcomers.count < GTM_PUSH_CONNECTIONS_MAX)
        evconnlistener_enable(push->ev);
    else
        evconnlistener_disable(push->ev);
}

struct gtm_push_connection *gtm_push__connection(struct gtm_push *push,
                                                 struct evhttp_connection *evcon)
{
    struct gtm_push_connection *con = push->connections;
    while (con && con->evcon != evcon)
        con = con->next;
    return con;
}

static void on_closed(struct evhttp_connection *evcon, void *arg)
{
    (void)evcon;
    struct gtm_push_connection *con = arg;
    struct gtm_push *push = con->push;
    if (con->prev)
        con->prev->next = con->next;
    else
        push->connections = con->next;
    if (con->next)
        con->next->prev = con->prev;
    push->count--;
    gtm_free(con);
    listener_switch(push);
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

static unsigned count_from(const struct gtm_push *push, const struct sockaddr_storage *from)
{
    unsigned n = 0;
    for (const struct gtm_push_connection *con = push->connections; con; con = con->next)
        n += same_address(&con->from, from);
    return n;
}

static void admit(struct gtm_push *push, struct evhttp_connection *evcon)
{
    const struct sockaddr *from = evhttp_connection_get_addr(evcon);
    struct gtm_push_connection *con = gtm_calloc(1, sizeof(*con));
    if (con && from)
        memcpy(&con->from, from,
               from->sa_family == AF_INET ? sizeof(struct sockaddr_in)
                                          : sizeof(struct sockaddr_in6));
    if (!con || !from || count_from(push, &con->from) >= GTM_PUSH_PER_ADDRESS_MAX) {
        push->refused[GTM_PUSH_CONNECTIONS]++;
        gtm_free(con);
        evhttp_connection_free(evcon);
        return;
    }
    con->push = push;
    con->evcon = evcon;
    con->seen_ms = gtm_mono_ms(push->d->clock);
    con->next = push->connections;
    if (con->next)
        con->next->prev = con;
    push->connections = con;
    push->count++;
    evhttp_connection_set_closecb(evcon, on_closed, con);
}

static void on_made(void *arg, struct evhttp_connection *evcon)
{
    struct gtm_push *push = arg;
    if (evcon)
        admit(push, evcon);
    listener_switch(push);
}

static struct bufferevent *make_bev(struct gtm_push *push, struct event_base *base)
{
    if (!push->tls)
        return bufferevent_socket_new(base, -1, 0);
    SSL *ssl = SSL_new(push->tls);
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
 * is not served: gtm_push__request does not find it. */
static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
    struct gtm_push *push = arg;
    struct bufferevent *bev = make_bev(push, base);
    if (bev && gtm_newcomers_add(&push->newcomers, base, bev) == GTM_OK)
        listener_switch(push);
    return bev;
}

/* Also opens the listener again that a lack of descriptors has paused. */
static void on_sweep(void *arg)
{
    struct gtm_push *push = arg;
    uint64_t now_ms = gtm_mono_ms(push->d->clock);
    for (struct gtm_push_connection *con = push->connections, *next; con; con = next) {
        next = con->next;
        if (now_ms - con->seen_ms >= GTM_PUSH_IDLE_MS)
            evhttp_connection_free(con->evcon); /* on_closed follows */
    }
    listener_switch(push);
    gtm_timer_start(push->sweep, SWEEP_MS);
}

static void on_accept_error(struct evconnlistener *ev, void *arg)
{
    (void)arg;
    gtm_log(GTM_LOG_WARN, "push", "cannot accept a connection",
            gtm_kv_str("error", strerror(errno)));
    evconnlistener_disable(ev); /* until the next sweep: it would spin */
}

/* --- the socket --- */

static int open_socket(const struct gtm_listen *at, struct gtm_error *err)
{
    int one = 1;
    int fd = socket(at->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
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
    gtm_error_set(err, e == EADDRINUSE ? GTM_EEXIST : gtm_err_from_errno(e), "push.listen %s: %s",
                  at->text, strerror(e));
    return -1;
}

int gtm_push__listen(struct gtm_push *push, struct gtm_error *err)
{
    struct event_base *base = gtm_loop_base(push->d->loop);
    int fd = open_socket(&push->d->node->push.listen, err);
    if (fd < 0)
        return err->code;
    push->newcomers = (struct gtm_newcomers){.fn = on_made, .ctx = push};
    push->http = evhttp_new(base);
    push->sweep = gtm_timer_new(push->d->loop, on_sweep, push);
    push->ev =
        evconnlistener_new(base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (!push->ev)
        close(fd);
    if (!push->http || !push->sweep || !push->ev || !evhttp_bind_listener(push->http, push->ev)) {
        if (push->ev)
            evconnlistener_free(push->ev);
        push->ev = NULL;
        return gtm_error_set(err, GTM_ENOMEM, "out of memory for the heartbeat listener");
    }
    evconnlistener_set_error_cb(push->ev, on_accept_error);
    evhttp_set_max_headers_size(push->http, GTM_PUSH_HEADER_MAX);
    evhttp_set_max_body_size(push->http, BODY_EVHTTP_MAX);
    evhttp_set_timeout(push->http, IO_TIMEOUT_S);
    evhttp_set_default_content_type(push->http, NULL);
    evhttp_set_allowed_methods(push->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT |
                                               EVHTTP_REQ_POST | EVHTTP_REQ_DELETE |
                                               EVHTTP_REQ_PATCH | EVHTTP_REQ_OPTIONS);
    evhttp_set_bevcb(push->http, on_accept, push);
    evhttp_set_gencb(push->http, gtm_push__request, push);
    gtm_timer_start(push->sweep, SWEEP_MS);
    return GTM_OK;
}

void gtm_push__close(struct gtm_push *push)
{
    push->stopping = true;
    push->ev = NULL; /* evhttp_free frees it before the connections, whose end looks at it */
    if (push->http)
        evhttp_free(push->http);
    push->http = NULL;
    gtm_newcomers_clear(&push->newcomers);
    gtm_timer_free(push->sweep);
}
