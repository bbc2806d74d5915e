/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of the stream thread, shared by dns/stream.c (life), dns/stream_clients.c (who is
 * connected, limits, time-outs), dns/stream_accept.c (new connections) and dns/stream_io.c
 * (reading, answering, writing). Everything but the atomics belongs to the stream's thread.
 */
#ifndef DNS_STREAM_INT_H
#define DNS_STREAM_INT_H

#include "dns/frame.h"
#include "dns/proxy.h"
#include "dns/stream.h"
#include "dns/xfer_out.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#define DNS__STREAM_PAD    16          /* dns_query_prepare may read eight octets behind the end */
#define DNS__STREAM_RESUME (64u << 10) /* octets left to be sent at which reading goes on */
#define DNS__STREAM_SNDBUF (64u << 10) /* the kernel's; left alone it grows to 4 MiB a client */
#define DNS__STREAM_INPUT  (64u << 10) /* read and not yet answered */
#define DNS__NET_BITS      10          /* of the table of networks */

struct bufferevent;
struct ssl_st;

/* The connections of one IPv4 address or IPv6 /56. Exists while there is one. */
struct dns__net {
    struct dns__net *next;                  /* of the same place in the table */
    struct dns__net *peer_prev, *peer_next; /* networks with as many connections */
    struct dns__client *oldest, *newest;
    unsigned count, transfers;
    uint8_t key[9]; /* family, then the prefix */
};

/* A PROXY header that has not come whole. */
struct dns__hello {
    struct event *readable;
    int fd;
    size_t len;
    uint8_t data[DNS_PROXY_MAX];
};

struct dns__client {
    struct dns__client *prev, *next;         /* in order of last_ms, the longest idle first */
    struct dns__client *net_prev, *net_next; /* the same within its network */
    struct dns__net *net;                    /* NULL while its PROXY header has not come */
    struct dns_stream *stream;
    struct dns__hello *hello; /* NULL once it has */
    struct bufferevent *bev;  /* NULL until then */
    struct ssl_st *ssl;       /* the bufferevent's, NULL = plain TCP */
    struct evbuffer_cb_entry *on_output;
    struct dns_frame frame;
    struct dns_client who;
    struct dns_xfer_out *xfer;  /* what runs now; the next query waits */
    uint64_t last_ms;           /* monotonic: last answer, or progress of a slow reader */
    size_t drained, drain_goal; /* octets sent since last_ms; how many are progress */
    bool tls, greeted;          /* greeted: the TLS handshake is over */
    bool paused, half_closed;
};

struct dns_stream {
    struct event_base *base;
    struct event **accepts; /* one for each listening socket */
    struct dns__listener {
        struct dns_stream *stream;
        int fd;
        bool tls;
    } * listeners;
    size_t listeners_count;
    struct event *wake_event, *idle_timer, *accept_timer;
    int wake_fd;
    unsigned max_clients, per_client, idle_ms, drain_idle_ms;
    struct dns_view **view;
    struct ssl_ctx_st *tls; /* NULL = no listener speaks it */
    struct dns__client *oldest, *newest;
    struct dns__net *nets[1u << DNS__NET_BITS];
    struct dns__net **by_count; /* per_client + 1 lists of networks */
    unsigned largest;           /* the greatest count with a network */
    unsigned transfers;
    size_t out_total; /* octets waiting to be sent to all clients */
    atomic_uint clients;
    atomic_bool stopping, ended;
    atomic_uint drain_ms;                  /* asked to drain: how long at most, 0 = not asked */
    _Atomic(struct ssl_ctx_st *) next_tls; /* to be used from now on, NULL = no change */
    uint64_t drain_until_ms;
    bool draining;
    bool running;
    pthread_t thread;
    struct dns_answerer answerer;
    struct dns_stream_events events;
    struct dns_query query;
    uint8_t packet[DNS_MESSAGE_MAX + DNS__STREAM_PAD];
    uint8_t answer[2 + DNS_MESSAGE_MAX];
};

/* One writer; readers may be on other threads. */
#define DNS__STREAM_COUNT(s, which) \
    __atomic_store_n(&(s)->events.which, (s)->events.which + 1, __ATOMIC_RELAXED)

uint64_t dns__stream_now_ms(void);

/* ---- stream_clients.c ---- */

/* Appends a client that has just connected to the idle order. */
void dns__clients_add(struct dns__client *c);
/* Counts it to the network of its address (c->who); the longest idle one of a network that has all
 * it may have is closed. False: no memory. */
bool dns__clients_join(struct dns__client *c);
/* It lives: an answer was given, or it took octets. */
void dns__clients_touch(struct dns__client *c);
void dns__clients_close(struct dns__client *c);
/* One client goes so that another can come: of the network that has the most connections when that
 * is more than its share, else the longest idle of all. False: there is none. */
bool dns__clients_evict(struct dns_stream *s);
void dns__clients_arm(struct dns_stream *s);       /* the idle timer */
void dns__clients_idle_over(struct dns_stream *s); /* closes those whose time is over */

/* ---- stream_accept.c ---- */

void dns__stream_on_accept(evutil_socket_t fd, short what, void *listener);
void dns__stream_on_accept_timer(evutil_socket_t fd, short what, void *stream);

/* ---- stream_io.c ---- */

/* Gives the client its bufferevent; takes the descriptor, also when it fails (false). */
bool dns__stream_io_begin(struct dns__client *c, int fd);
size_t dns__stream_waiting(const struct dns__client *c); /* octets not yet sent */

#endif
