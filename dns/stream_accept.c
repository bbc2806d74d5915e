/* SPDX-License-Identifier: Apache-2.0
 *
 * New connections. Happy path: accept → counted → (the PROXY header is read, octet by octet no more
 * than it has) → reading begins. Failure: no room, a wrong header, no memory: somebody is closed.
 */
#include "dns/stream_int.h"

#include "gtm/base/mem.h"
#include "gtm/base/rcu.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#define ACCEPTS         64  /* of one socket before others have their turn */
#define ACCEPT_PAUSE_MS 100 /* after descriptors ran out with no client to close */
#define PROXY_FIXED     16u /* octets of a header before its addresses */

static void identify(struct dns__client *c, const struct sockaddr_storage *addr)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    memcpy(&v4, addr, sizeof(v4));
    memcpy(&v6, addr, sizeof(v6));
    c->who.proto = c->tls ? DNS_PROTO_TLS : DNS_PROTO_TCP;
    if (addr->ss_family == AF_INET) {
        c->who.family = 4;
        memcpy(c->who.addr, &v4.sin_addr, 4);
    } else if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
        c->who.family = 4;
        memcpy(c->who.addr, v6.sin6_addr.s6_addr + 12, 4);
    } else {
        c->who.family = 6;
        memcpy(c->who.addr, v6.sin6_addr.s6_addr, 16);
    }
}

static bool is_proxy(struct dns__client *c)
{
    gtm_rcu_online();
    const struct dns_view *view = gtm_rcu_read(c->stream->view);
    const struct dns_settings *settings = view ? dns_view_settings(view) : NULL;
    bool is = settings &&
              dns_networks_have(settings->proxy, settings->proxy_count, c->who.family, c->who.addr);
    gtm_rcu_offline();
    return is;
}

/* ---- the PROXY header ---- */

/* The header's octets that are still missing, as far as its length is known. */
static size_t missing(const struct dns__hello *h)
{
    if (h->len < PROXY_FIXED)
        return PROXY_FIXED - h->len;
    size_t whole = PROXY_FIXED + ((size_t)h->data[14] << 8 | h->data[15]);
    return whole > sizeof(h->data) || whole < h->len ? 0 : whole - h->len;
}

/* The header is whole or can never be: the client begins, or goes. */
static void end_hello(struct dns__client *c, enum dns_proxy_result result)
{
    struct dns__hello *h = c->hello;
    int fd = h->fd;

    if (result != DNS_PROXY_CLIENT && result != DNS_PROXY_LOCAL) {
        DNS__STREAM_COUNT(c->stream, proxy_refused);
        dns__clients_close(c);
        return;
    }
    c->who.proto = c->tls ? DNS_PROTO_TLS : DNS_PROTO_TCP;
    c->hello = NULL;
    event_free(h->readable);
    gtm_free(h);
    if (!dns__clients_join(c)) {
        close(fd);
        dns__clients_close(c);
    } else if (!dns__stream_io_begin(c, fd)) {
        dns__clients_close(c);
    }
}

static void on_hello(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct dns__client *c = arg;
    struct dns__hello *h = c->hello;
    for (;;) {
        size_t want = missing(h), len = 0;
        enum dns_proxy_result result =
            h->len > 0 ? dns_proxy_read(h->data, h->len, false, &c->who, &len) : DNS_PROXY_MORE;
        if (result != DNS_PROXY_MORE || want == 0) {
            end_hello(c, want == 0 ? result : DNS_PROXY_BAD);
            return;
        }
        ssize_t n = recv(fd, h->data + h->len, want, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n <= 0) { /* cut off */
            end_hello(c, DNS_PROXY_BAD);
            return;
        }
        h->len += (size_t)n;
    }
}

/* Takes the descriptor. */
static bool begin_hello(struct dns__client *c, int fd)
{
    struct dns__hello *h = gtm_calloc(1, sizeof(*h));
    if (!h) {
        close(fd);
        return false;
    }
    h->fd = fd;
    c->hello = h;
    h->readable = event_new(c->stream->base, fd, EV_READ | EV_PERSIST, on_hello, c);
    return h->readable && event_add(h->readable, NULL) == 0;
}

/* ---- connections ---- */

/* Takes the descriptor. */
static void add_client(struct dns__listener *l, int fd, const struct sockaddr_storage *addr)
{
    struct dns_stream *s = l->stream;
    if (atomic_load_explicit(&s->clients, memory_order_relaxed) >= s->max_clients)
        (void)dns__clients_evict(s);
    struct dns__client *c = gtm_calloc(1, sizeof(*c));
    if (!c) {
        close(fd);
        return;
    }
    c->stream = s;
    c->tls = l->tls;
    identify(c, addr);
    dns__clients_add(c);
    bool began;
    if (is_proxy(c)) {
        began = begin_hello(c, fd);
    } else if (dns__clients_join(c)) {
        began = dns__stream_io_begin(c, fd);
    } else {
        close(fd);
        began = false;
    }
    if (!began)
        dns__clients_close(c);
}

/* Out of descriptors or memory: a client makes room, or accepting rests a while (the socket would
 * stay readable, and the thread would spin). */
static void make_room(struct dns_stream *s)
{
    if (dns__clients_evict(s))
        return;
    for (size_t i = 0; i < s->listeners_count; i++)
        event_del(s->accepts[i]);
    struct timeval tv = {0, ACCEPT_PAUSE_MS * 1000};
    event_add(s->accept_timer, &tv);
}

void dns__stream_on_accept_timer(evutil_socket_t fd, short what, void *stream)
{
    (void)fd;
    (void)what;
    struct dns_stream *s = stream;
    for (size_t i = 0; i < s->listeners_count; i++)
        event_add(s->accepts[i], NULL);
}

void dns__stream_on_accept(evutil_socket_t fd, short what, void *listener)
{
    (void)what;
    struct dns__listener *l = listener;
    for (int i = 0; i < ACCEPTS; i++) {
        struct sockaddr_storage addr = {0};
        socklen_t len = sizeof(addr);
        int client = accept4(fd, (struct sockaddr *)&addr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client >= 0)
            add_client(l, client, &addr);
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            return;
        else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            /* libevent closes the descriptor later: to try on now would cost all clients */
            make_room(l->stream);
            return;
        }
    }
}
