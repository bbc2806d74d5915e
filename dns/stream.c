/* SPDX-License-Identifier: Apache-2.0
 *
 * The stream thread's life. Happy path: sockets come in → events are made → the thread runs its
 * loop → an eventfd wakes it for orders (another certificate, draining, the end). Failure: whatever
 * was taken is closed. The work is done in dns/stream_accept.c, stream_io.c and stream_clients.c.
 *
 * The thread is an RCU reader only while it answers: it waits inside libevent, offline.
 */
#include "dns/stream_int.h"

#include "dns/tls.h"
#include "gtm/base/mem.h"
#include "gtm/base/rcu.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DRAIN_IDLE_MS 500 /* silence after which a client may go when draining */

/* ---- on the thread ---- */

static void tell_keepalive(struct dns_stream *s, unsigned idle_ms)
{
    unsigned told = idle_ms / 100;
    s->answerer.keepalive = (uint16_t)(told < 1 ? 1 : told > UINT16_MAX ? UINT16_MAX : told);
}

static void begin_drain(struct dns_stream *s, unsigned ms)
{
    s->draining = true;
    s->drain_until_ms = dns__stream_now_ms() + ms;
    s->drain_idle_ms = s->idle_ms < DRAIN_IDLE_MS ? s->idle_ms : DRAIN_IDLE_MS;
    tell_keepalive(s, s->drain_idle_ms);
    event_del(s->accept_timer);
    for (size_t i = 0; i < s->listeners_count; i++)
        event_del(s->accepts[i]);
    dns__clients_arm(s);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct dns_stream *s = arg;
    uint64_t count;
    (void)!read(fd, &count, sizeof(count));
    struct ssl_ctx_st *tls = atomic_exchange(&s->next_tls, NULL);
    if (tls) {
        dns_tls_ctx_free(s->tls);
        s->tls = tls;
    }
    unsigned ms = atomic_load(&s->drain_ms);
    if (atomic_load(&s->stopping))
        event_base_loopbreak(s->base);
    else if (ms > 0 && !s->draining)
        begin_drain(s, ms);
}

static void on_idle_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    dns__clients_idle_over(arg);
}

static void *run(void *arg)
{
    struct dns_stream *s = arg;
    pthread_setname_np(pthread_self(), "gtm-dns-tcp");
    gtm_rcu_register();
    gtm_rcu_offline();
    event_base_dispatch(s->base);
    while (s->oldest)
        dns__clients_close(s->oldest);
    event_base_loop(s->base, EVLOOP_NONBLOCK); /* libevent frees TLS clients by a deferred call */
    gtm_rcu_online();
    gtm_rcu_unregister();
    return NULL;
}

/* ---- set-up ---- */

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

static int new_accepts(struct dns_stream *s)
{
    for (size_t i = 0; i < s->listeners_count; i++) {
        struct dns__listener *l = &s->listeners[i];
        int one = 1; /* accepted sockets inherit both: an answer never waits for an
                        acknowledgement */
        int sndbuf = DNS__STREAM_SNDBUF;
        (void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        (void)setsockopt(l->fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf));
        s->accepts[i] = event_new(s->base, l->fd, EV_READ | EV_PERSIST, dns__stream_on_accept, l);
        if (!s->accepts[i] || event_add(s->accepts[i], NULL) != 0)
            return GTM_ENOMEM;
    }
    return GTM_OK;
}

static int new_events(struct dns_stream *s)
{
    s->base = new_base();
    s->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    s->accepts = gtm_calloc(s->listeners_count, sizeof(struct event *));
    s->by_count = gtm_calloc(s->per_client + 1u, sizeof(struct dns__net *));
    if (!s->base || s->wake_fd < 0 || !s->accepts || !s->by_count)
        return GTM_ENOMEM;
    s->wake_event = event_new(s->base, s->wake_fd, EV_READ | EV_PERSIST, on_wake, s);
    s->idle_timer = event_new(s->base, -1, 0, on_idle_timer, s);
    s->accept_timer = event_new(s->base, -1, 0, dns__stream_on_accept_timer, s);
    if (!s->wake_event || !s->idle_timer || !s->accept_timer || event_add(s->wake_event, NULL) != 0)
        return GTM_ENOMEM;
    return new_accepts(s);
}

struct dns_stream *dns_stream_new(const struct dns_stream_opts *opts, struct gtm_error *err)
{
    struct dns_stream *s = gtm_calloc(1, sizeof(*s));
    struct dns__listener *listeners =
        s ? gtm_calloc(opts->sockets_count, sizeof(*listeners)) : NULL;
    if (!listeners) {
        for (size_t i = 0; i < opts->sockets_count; i++)
            close(opts->sockets[i].fd);
        dns_tls_ctx_free(opts->tls);
        gtm_free(s);
        gtm_error_set(err, GTM_ENOMEM, "%s", gtm_err_text(GTM_ENOMEM));
        return NULL;
    }
    for (size_t i = 0; i < opts->sockets_count; i++)
        listeners[i] = (struct dns__listener){s, opts->sockets[i].fd, opts->sockets[i].tls};
    s->listeners = listeners;
    s->listeners_count = opts->sockets_count;
    s->tls = opts->tls;
    s->max_clients = opts->max_clients ? opts->max_clients : 1;
    s->per_client =
        opts->per_client && opts->per_client < s->max_clients ? opts->per_client : s->max_clients;
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
    tell_keepalive(s, s->idle_ms);
    return s;
}

/* ---- from other threads ---- */

static void wake(struct dns_stream *stream)
{
    uint64_t one = 1;
    while (write(stream->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
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

void dns_stream_events(const struct dns_stream *stream, struct dns_stream_events *ret)
{
    const uint64_t *from = (const uint64_t *)&stream->events;
    uint64_t *to = (uint64_t *)ret;
    for (size_t i = 0; i < sizeof(*ret) / sizeof(*to); i++)
        to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

void dns_stream_set_tls(struct dns_stream *stream, struct ssl_ctx_st *tls)
{
    dns_tls_ctx_free(atomic_exchange(&stream->next_tls, tls));
    wake(stream);
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

static void free_events(struct dns_stream *s)
{
    for (size_t i = 0; s->accepts && i < s->listeners_count; i++)
        if (s->accepts[i])
            event_free(s->accepts[i]);
    if (s->wake_event)
        event_free(s->wake_event);
    if (s->idle_timer)
        event_free(s->idle_timer);
    if (s->accept_timer)
        event_free(s->accept_timer);
    if (s->base)
        event_base_free(s->base);
}

void dns_stream_free(struct dns_stream *stream)
{
    if (!stream)
        return;
    dns_stream_stop(stream);
    free_events(stream);
    for (size_t i = 0; i < stream->listeners_count; i++)
        close(stream->listeners[i].fd);
    if (stream->wake_fd >= 0)
        close(stream->wake_fd);
    dns_tls_ctx_free(stream->tls);
    dns_tls_ctx_free(atomic_load(&stream->next_tls));
    gtm_free(stream->by_count);
    gtm_free(stream->accepts);
    gtm_free(stream->listeners);
    gtm_free(stream);
}
