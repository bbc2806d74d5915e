/* SPDX-License-Identifier: Apache-2.0
 *
 * DNS over TCP on one thread. Happy path: accept → a segment comes → each message in it is answered
 * into the output buffer → written. Failure: too short a message, a client that is silent or does
 * not read for idle_ms, memory or descriptors at an end: that client (or the longest idle one) is
 * closed. Half-close: what was asked is still answered. Close: an eventfd wakes the thread, which
 * closes all clients and ends.
 *
 * The thread is an RCU reader only while it answers: it waits inside libevent, offline.
 */
#include "dns/stream.h"

#include "dns/frame.h"
#include "gtm/base/clock.h"
#include "gtm/base/mem.h"
#include "gtm/base/rcu.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define OUT_LIMIT_BYTES   (256u << 10) /* waiting to be sent: above it nothing more is read */
#define OUT_RESUME_BYTES  (64u << 10)
#define OUT_TOTAL_BYTES   (64u << 20) /* of all clients: above it, each gets one answer at a time */
#define SEND_BUFFER_BYTES (64u << 10) /* the kernel's; left alone it grows to 4 MiB a client */
#define IN_LIMIT_BYTES    (64u << 10) /* read and not yet answered */
#define PROGRESS_BYTES    (16u << 10) /* a slow reader takes that much in idle_ms, or all */
#define ACCEPTS           64          /* of one socket before others have their turn */
#define ACCEPT_PAUSE_MS   100         /* after descriptors ran out with no client to close */
#define DRAIN_IDLE_MS     500         /* silence after which a client may go when draining */
#define PAD_BYTES         16          /* dns_query_prepare may read eight octets behind the end */

struct client {
    struct client *prev, *next; /* in order of last_ms, the longest idle first */
    struct dns_stream *stream;
    struct bufferevent *bev;
    struct evbuffer_cb_entry *on_output;
    struct dns_frame frame;
    struct dns_client who;
    uint64_t last_ms;           /* monotonic: last answer, or progress of a slow reader */
    size_t drained, drain_goal; /* octets sent since last_ms; how many are progress */
    bool paused, half_closed;
};

struct dns_stream {
    struct event_base *base;
    struct event **accepts; /* one for each listening socket */
    struct dns_stream_socket *sockets;
    size_t sockets_count;
    struct event *wake_event, *idle_timer, *accept_timer;
    int wake_fd;
    unsigned max_clients, idle_ms;
    struct dns_view **view;
    struct client *oldest, *newest;
    size_t out_total; /* octets waiting to be sent to all clients */
    atomic_uint clients;
    atomic_bool stopping, ended;
    atomic_uint drain_ms; /* asked to drain: how long at most, 0 = not asked */
    uint64_t drain_until_ms;
    bool draining;
    bool running;
    pthread_t thread;
    struct dns_answerer answerer;
    struct dns_query query;
    uint8_t packet[DNS_MESSAGE_MAX + PAD_BYTES];
    uint8_t answer[2 + DNS_MESSAGE_MAX];
};

static uint64_t now_ms(void)
{
    return gtm_mono_ms(gtm_clock_system());
}

/* ---- the list of clients ---- */

static void unlink_client(struct client *c)
{
    struct dns_stream *s = c->stream;
    *(c->prev ? &c->prev->next : &s->oldest) = c->next;
    *(c->next ? &c->next->prev : &s->newest) = c->prev;
    c->prev = c->next = NULL;
}

static void append_client(struct client *c)
{
    struct dns_stream *s = c->stream;
    c->prev = s->newest;
    *(s->newest ? &s->newest->next : &s->oldest) = c;
    s->newest = c;
}

static void touch(struct client *c)
{
    c->last_ms = now_ms();
    c->drained = 0;
    size_t waiting = evbuffer_get_length(bufferevent_get_output(c->bev));
    c->drain_goal = waiting < PROGRESS_BYTES ? waiting : PROGRESS_BYTES;
    unlink_client(c);
    append_client(c);
}

static void close_client(struct client *c)
{
    unlink_client(c);
    atomic_fetch_sub_explicit(&c->stream->clients, 1, memory_order_relaxed);
    c->stream->out_total -= evbuffer_get_length(bufferevent_get_output(c->bev));
    if (c->on_output)
        evbuffer_remove_cb_entry(bufferevent_get_output(c->bev), c->on_output);
    bufferevent_free(c->bev);
    dns_frame_fini(&c->frame);
    gtm_free(c);
}

static void arm_idle_timer(struct dns_stream *s)
{
    if (!s->oldest) {
        event_del(s->idle_timer);
        atomic_store(&s->ended, s->draining);
        return;
    }
    uint64_t now = now_ms(), due = s->oldest->last_ms + s->idle_ms;
    if (s->draining && s->drain_until_ms < due)
        due = s->drain_until_ms;
    uint64_t wait = due > now ? due - now : 1;
    struct timeval tv = {(time_t)(wait / 1000), (suseconds_t)(wait % 1000 * 1000)};
    event_add(s->idle_timer, &tv);
}

static void on_idle_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct dns_stream *s = arg;
    uint64_t now = now_ms();
    bool over = s->draining && now >= s->drain_until_ms;
    while (s->oldest && (over || now - s->oldest->last_ms >= s->idle_ms))
        close_client(s->oldest);
    arm_idle_timer(s);
}

/* ---- answering ---- */

/* Answers one message; GTM_ENOMEM when the client must be closed. */
static int answer(struct client *c, const struct dns_view *view, const uint8_t *msg, size_t len)
{
    struct dns_stream *s = c->stream;
    memcpy(s->packet, msg, len);
    dns_query_prepare(&s->query, view, s->packet, len);
    size_t octets =
        dns_query_answer(&s->answerer, &s->query, view, &c->who, s->answer + 2, DNS_MESSAGE_MAX);
    if (octets == 0)
        return GTM_OK; /* such a message deserves none, and does not keep the client alive */
    s->answer[0] = (uint8_t)(octets >> 8);
    s->answer[1] = (uint8_t)octets;
    if (evbuffer_add(bufferevent_get_output(c->bev), s->answer, 2 + octets) != 0)
        return GTM_ENOMEM;
    touch(c);
    return GTM_OK;
}

static size_t output_waiting(const struct client *c)
{
    return evbuffer_get_length(bufferevent_get_output(c->bev));
}

/* Does so much wait to be sent that nothing more may be read? */
static bool output_full(const struct client *c)
{
    size_t limit = c->stream->out_total > OUT_TOTAL_BYTES ? 0 : OUT_LIMIT_BYTES;
    return output_waiting(c) > limit;
}

/* Answers what lies in the first piece of the input. 0, or why nothing more can be read. */
static int answer_piece(struct client *c, const struct dns_view *view, struct evbuffer *in)
{
    struct evbuffer_iovec piece;
    if (evbuffer_peek(in, -1, NULL, &piece, 1) < 1 || piece.iov_len == 0)
        return GTM_EIO; /* cannot be: the caller saw octets */
    const uint8_t *data = piece.iov_base, *msg;
    size_t left = piece.iov_len, msg_len;
    int rc = 0;
    while (!output_full(c) && (rc = dns_frame_next(&c->frame, &data, &left, &msg, &msg_len)) > 0)
        if ((rc = answer(c, view, msg, msg_len)) != GTM_OK)
            break;
    evbuffer_drain(in, piece.iov_len - left);
    return rc < 0 ? rc : GTM_OK;
}

/* Answers all input, or as much as the output takes; may close the client. */
static void serve(struct client *c)
{
    struct evbuffer *in = bufferevent_get_input(c->bev);
    int rc = GTM_OK;
    gtm_rcu_online();
    const struct dns_view *view = gtm_rcu_read(c->stream->view);
    while (rc == GTM_OK && evbuffer_get_length(in) > 0 && !output_full(c))
        rc = answer_piece(c, view, in);
    gtm_rcu_offline();
    if (rc != GTM_OK) { /* the answers to what was right are still sent, then it is closed */
        evbuffer_drain(in, evbuffer_get_length(in));
        c->half_closed = true;
    }
    c->paused = output_full(c);
    if (c->paused || c->half_closed)
        bufferevent_disable(c->bev, EV_READ);
    else
        bufferevent_enable(c->bev, EV_READ);
    if (c->half_closed && output_waiting(c) == 0)
        close_client(c); /* what is left of the input is no whole message */
}

static void on_read(struct bufferevent *bev, void *arg)
{
    (void)bev;
    struct client *c = arg;
    if (!c->paused)
        serve(c);
}

/* Called whenever at most OUT_RESUME_BYTES are left to be sent. */
static void on_write(struct bufferevent *bev, void *arg)
{
    (void)bev;
    struct client *c = arg;
    if (c->paused || c->half_closed)
        serve(c);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    struct client *c = arg;
    if (what & BEV_EVENT_ERROR) {
        close_client(c);
    } else if (what & BEV_EVENT_EOF) {
        c->half_closed = true; /* it asks no more, and may still read (RFC 7766 6.2.4) */
        if (!c->paused)
            serve(c);
    }
}

/* Sees every octet that comes and leaves, for the bound and for clients that read slowly. */
static void on_output(struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *arg)
{
    (void)buffer;
    struct client *c = arg;
    c->stream->out_total += info->n_added;
    c->stream->out_total -= info->n_deleted;
    c->drained += info->n_deleted;
    if (info->n_deleted > 0 && c->drained >= c->drain_goal)
        touch(c);
}

/* ---- new clients ---- */

static void identify(struct client *c, const struct sockaddr_storage *addr)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    memcpy(&v4, addr, sizeof(v4));
    memcpy(&v6, addr, sizeof(v6));
    c->who.proto = DNS_PROTO_TCP;
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

/* Takes the descriptor. */
static void add_client(struct dns_stream *s, int fd, const struct sockaddr_storage *addr)
{
    if (atomic_load_explicit(&s->clients, memory_order_relaxed) >= s->max_clients)
        close_client(s->oldest);
    struct client *c = gtm_calloc(1, sizeof(*c));
    struct bufferevent *bev = c ? bufferevent_socket_new(s->base, fd, BEV_OPT_CLOSE_ON_FREE) : NULL;
    if (!bev) {
        gtm_free(c);
        close(fd);
        return;
    }
    c->stream = s;
    c->bev = bev;
    c->last_ms = now_ms();
    identify(c, addr);
    append_client(c);
    atomic_fetch_add_explicit(&s->clients, 1, memory_order_relaxed);
    c->on_output = evbuffer_add_cb(bufferevent_get_output(bev), on_output, c);
    bufferevent_setcb(bev, on_read, on_write, on_event, c);
    bufferevent_setwatermark(bev, EV_READ, 0, IN_LIMIT_BYTES);
    bufferevent_setwatermark(bev, EV_WRITE, OUT_RESUME_BYTES, 0);
    if (!c->on_output || bufferevent_enable(bev, EV_READ | EV_WRITE) != 0) {
        close_client(c);
        return;
    }
    if (s->oldest == c)
        arm_idle_timer(s);
}

/* Out of descriptors or memory: the longest idle client makes room, or accepting rests a while
 * (the socket would stay readable, and the thread would spin). */
static bool make_room(struct dns_stream *s)
{
    if (s->oldest) {
        close_client(s->oldest);
        return true;
    }
    for (size_t i = 0; i < s->sockets_count; i++)
        event_del(s->accepts[i]);
    struct timeval tv = {0, ACCEPT_PAUSE_MS * 1000};
    event_add(s->accept_timer, &tv);
    return false;
}

static void on_accept_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct dns_stream *s = arg;
    for (size_t i = 0; i < s->sockets_count; i++)
        event_add(s->accepts[i], NULL);
}

static void on_accept(evutil_socket_t listener, short what, void *arg)
{
    (void)what;
    struct dns_stream *s = arg;
    for (int i = 0; i < ACCEPTS; i++) {
        struct sockaddr_storage addr = {0};
        socklen_t len = sizeof(addr);
        int fd = accept4(listener, (struct sockaddr *)&addr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            add_client(s, fd, &addr);
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            return;
        else if ((errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) &&
                 !make_room(s))
            return;
    }
}

/* ---- life ---- */

static void begin_drain(struct dns_stream *s, unsigned ms)
{
    s->draining = true;
    s->drain_until_ms = now_ms() + ms;
    if (s->idle_ms > DRAIN_IDLE_MS)
        s->idle_ms = DRAIN_IDLE_MS;
    event_del(s->accept_timer);
    for (size_t i = 0; i < s->sockets_count; i++)
        event_del(s->accepts[i]);
    arm_idle_timer(s);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct dns_stream *s = arg;
    uint64_t count;
    (void)!read(fd, &count, sizeof(count));
    unsigned ms = atomic_load(&s->drain_ms);
    if (atomic_load(&s->stopping))
        event_base_loopbreak(s->base);
    else if (ms > 0 && !s->draining)
        begin_drain(s, ms);
}

static void *run(void *arg)
{
    struct dns_stream *s = arg;
    pthread_setname_np(pthread_self(), "gtm-dns-tcp");
    gtm_rcu_register();
    gtm_rcu_offline();
    event_base_dispatch(s->base);
    while (s->oldest)
        close_client(s->oldest);
    gtm_rcu_online();
    gtm_rcu_unregister();
    return NULL;
}

static struct event_base *new_base(void)
{
    struct event_config *config = event_config_new();
    if (!config)
        return NULL;
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK); /* one thread; the wake-up is an fd */
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

static int new_events(struct dns_stream *s)
{
    s->base = new_base();
    s->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    s->accepts = gtm_calloc(s->sockets_count, sizeof(struct event *));
    if (!s->base || s->wake_fd < 0 || !s->accepts)
        return GTM_ENOMEM;
    s->wake_event = event_new(s->base, s->wake_fd, EV_READ, on_wake, s);
    s->idle_timer = event_new(s->base, -1, 0, on_idle_timer, s);
    s->accept_timer = event_new(s->base, -1, 0, on_accept_timer, s);
    if (!s->wake_event || !s->idle_timer || !s->accept_timer || event_add(s->wake_event, NULL) != 0)
        return GTM_ENOMEM;
    for (size_t i = 0; i < s->sockets_count; i++) {
        int one =
            1; /* accepted sockets inherit both: an answer never waits for an acknowledgement */
        int sndbuf = SEND_BUFFER_BYTES;
        (void)setsockopt(s->sockets[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        (void)setsockopt(s->sockets[i].fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf));
        s->accepts[i] = event_new(s->base, s->sockets[i].fd, EV_READ | EV_PERSIST, on_accept, s);
        if (!s->accepts[i] || event_add(s->accepts[i], NULL) != 0)
            return GTM_ENOMEM;
    }
    return GTM_OK;
}

struct dns_stream *dns_stream_new(const struct dns_stream_opts *opts, struct gtm_error *err)
{
    struct dns_stream *s = gtm_calloc(1, sizeof(*s));
    struct dns_stream_socket *sockets =
        s ? gtm_memdup(opts->sockets, opts->sockets_count * sizeof(*sockets)) : NULL;
    if (!sockets) {
        for (size_t i = 0; i < opts->sockets_count; i++)
            close(opts->sockets[i].fd);
        gtm_free(s);
        gtm_error_set(err, GTM_ENOMEM, "%s", gtm_err_text(GTM_ENOMEM));
        return NULL;
    }
    s->sockets = sockets;
    s->sockets_count = opts->sockets_count;
    s->max_clients = opts->max_clients ? opts->max_clients : 1;
    s->idle_ms = opts->idle_ms ? opts->idle_ms : 1;
    s->view = opts->view;
    s->wake_fd = -1;
    uint64_t seed = 0;
    if (new_events(s) != GTM_OK || gtm_rand_secure(&seed, sizeof(seed)) != GTM_OK) {
        gtm_error_set(err, GTM_ENOMEM, "event loop of TCP cannot be made");
        dns_stream_free(s);
        return NULL;
    }
    dns_answerer_init(&s->answerer, seed);
    return s;
}

int dns_stream_start(struct dns_stream *stream, struct gtm_error *err)
{
    sigset_t all, before;
    sigfillset(&all); /* signals are the control thread's, and a broken pipe must not kill us */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&stream->thread, NULL, run, stream);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        return gtm_error_set(err, gtm_err_from_errno(rc), "thread of TCP: %s", strerror(rc));
    stream->running = true;
    return GTM_OK;
}

unsigned dns_stream_clients(const struct dns_stream *stream)
{
    return atomic_load_explicit(&stream->clients, memory_order_relaxed);
}

const struct dns_counters *dns_stream_counters(const struct dns_stream *stream)
{
    return &stream->answerer.counters;
}

static void wake(struct dns_stream *stream)
{
    uint64_t one = 1;
    while (write(stream->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

void dns_stream_drain(struct dns_stream *stream, unsigned deadline_ms)
{
    atomic_store(&stream->drain_ms, deadline_ms ? deadline_ms : 1);
    wake(stream);
}

bool dns_stream_drained(const struct dns_stream *stream)
{
    return !stream->running || atomic_load(&stream->ended);
}

void dns_stream_stop(struct dns_stream *stream)
{
    if (!stream->running)
        return;
    atomic_store(&stream->stopping, true);
    wake(stream);
    pthread_join(stream->thread, NULL);
    stream->running = false;
}

void dns_stream_free(struct dns_stream *stream)
{
    if (!stream)
        return;
    dns_stream_stop(stream);
    for (size_t i = 0; stream->accepts && i < stream->sockets_count; i++)
        if (stream->accepts[i])
            event_free(stream->accepts[i]);
    if (stream->wake_event)
        event_free(stream->wake_event);
    if (stream->idle_timer)
        event_free(stream->idle_timer);
    if (stream->accept_timer)
        event_free(stream->accept_timer);
    if (stream->base)
        event_base_free(stream->base);
    for (size_t i = 0; i < stream->sockets_count; i++)
        close(stream->sockets[i].fd);
    if (stream->wake_fd >= 0)
        close(stream->wake_fd);
    gtm_free(stream->accepts);
    gtm_free(stream->sockets);
    gtm_free(stream);
}
