/* SPDX-License-Identifier: Apache-2.0
 *
 * The UDP worker. Happy path: recvmmsg (waits for one) → prepare, locate, aim, answer each →
 * sendmmsg. Failure: a send that fails is not repeated, the resolver asks again. Close: the receive
 * time-out wakes the thread, which sees the stop flag.
 */
#include "dns/udp.h"

#include "dns/proxy.h"
#include "gtm/base/mem.h"
#include "gtm/base/rcu.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define BATCH 64
#define RX_BYTES \
    2048 /* no honest query is longer, a proxy's header included; what is cut off is malformed */
#define TX_BYTES   1280 /* ≥ DNS_UDP_PAYLOAD_MAX */
#define CMSG_BYTES 64
#define WAKE_MS    100

struct slot {
    uint8_t tx[TX_BYTES];
    uint8_t rx[RX_BYTES + 16]; /* eight octets may be read behind the end */
    struct sockaddr_in6 peer;
    uint8_t control[CMSG_BYTES] __attribute__((aligned(8)));
};

struct dns_udp_worker {
    struct dns_udp_opts opts;
    pthread_t thread;
    bool started;
    atomic_bool stop, running;
    struct dns_answerer answerer;
    struct mmsghdr in[BATCH], out[BATCH];
    struct iovec in_iov[BATCH], out_iov[BATCH];
    struct dns_query queries[BATCH];
    struct dns_client clients[BATCH];
    struct slot slots[BATCH];
};

static void reset_in(struct dns_udp_worker *w, unsigned i)
{
    struct msghdr *h = &w->in[i].msg_hdr;

    h->msg_namelen = sizeof(w->slots[i].peer);
    if (w->opts.wildcard) {
        h->msg_control = w->slots[i].control;
        h->msg_controllen = CMSG_BYTES;
    }
}

static void set_up(struct dns_udp_worker *w)
{
    for (unsigned i = 0; i < BATCH; i++) {
        w->in_iov[i] = (struct iovec){w->slots[i].rx, RX_BYTES};
        w->in[i].msg_hdr = (struct msghdr){
            .msg_name = &w->slots[i].peer, .msg_iov = &w->in_iov[i], .msg_iovlen = 1};
        w->out[i].msg_hdr = (struct msghdr){.msg_iov = &w->out_iov[i], .msg_iovlen = 1};
        reset_in(w, i);
    }
}

static void client_of(const struct sockaddr_in6 *peer, struct dns_client *ret)
{
    ret->proto = DNS_PROTO_UDP;
    if (peer->sin6_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)peer;
        ret->family = 4;
        memcpy(ret->addr, &v4->sin_addr, 4);
    } else if (IN6_IS_ADDR_V4MAPPED(&peer->sin6_addr)) {
        ret->family = 4;
        memcpy(ret->addr, peer->sin6_addr.s6_addr + 12, 4);
    } else {
        ret->family = 6;
        memcpy(ret->addr, &peer->sin6_addr, 16);
    }
}

/* Fills the next outgoing message for slot i. */
static void queue_out(struct dns_udp_worker *w, unsigned n, unsigned i, size_t len)
{
    struct msghdr *to = &w->out[n].msg_hdr;
    const struct msghdr *from = &w->in[i].msg_hdr;

    w->out_iov[n] = (struct iovec){w->slots[i].tx, len};
    to->msg_name = &w->slots[i].peer;
    to->msg_namelen = from->msg_namelen;
    if (w->opts.wildcard) { /* the packet info that came with the query chooses the source */
        to->msg_control = from->msg_control;
        to->msg_controllen = from->msg_controllen;
    }
}

/* From a proxy: the client is who its header says, and the query stands behind it. A datagram
 * without a header is made one that is dropped. */
static void prepare_proxied(struct dns_udp_worker *w, const struct dns_view *view, unsigned i)
{
    const struct dns_settings *s = dns_view_settings(view);
    struct dns_client *client = &w->clients[i];
    const uint8_t *rx = w->slots[i].rx;
    size_t len = w->in[i].msg_len, header = 0;

    if (dns_networks_have(s->proxy, s->proxy_count, client->family, client->addr)) {
        enum dns_proxy_result r = dns_proxy_read(rx, len, true, client, &header);
        if (r != DNS_PROXY_CLIENT && r != DNS_PROXY_LOCAL) {
            uint64_t *refused = &w->answerer.counters.n[DNS_CNT_PROXY_REFUSED];
            __atomic_store_n(refused, *refused + 1, __ATOMIC_RELAXED);
            header = len;
        }
    }
    dns_query_prepare(&w->queries[i], view, rx + header, len - header);
}

static unsigned answer_batch(struct dns_udp_worker *w, const struct dns_view *view, unsigned count)
{
    unsigned n = 0;
    bool proxied = view != NULL && dns_view_settings(view)->proxy_count > 0;

    dns_answerer_tick(&w->answerer);
    for (unsigned i = 0; i < count; i++)
        client_of(&w->slots[i].peer, &w->clients[i]);
    for (unsigned i = 0; i < count; i++) {
        if (__builtin_expect(proxied, 0))
            prepare_proxied(w, view, i);
        else
            dns_query_prepare(&w->queries[i], view, w->slots[i].rx, w->in[i].msg_len);
    }
    if (count > 1) {
        for (unsigned i = 0; i < count; i++)
            dns_query_locate(&w->queries[i]);
        for (unsigned i = 0; i < count; i++)
            dns_query_aim(&w->queries[i], &w->clients[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        if (w->slots[i].peer.sin6_port == 0)
            continue; /* nobody can receive there */
        size_t len = dns_query_answer(&w->answerer, &w->queries[i], view, &w->clients[i],
                                      w->slots[i].tx, TX_BYTES);
        if (len > 0)
            queue_out(w, n++, i, len);
    }
    return n;
}

static void send_batch(struct dns_udp_worker *w, unsigned count)
{
    unsigned sent = 0;

    while (sent < count) {
        int n = sendmmsg(w->opts.fd, w->out + sent, count - sent, MSG_DONTWAIT);
        if (n > 0)
            sent += (unsigned)n;
        else if (errno == EINTR)
            continue;
        else if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)
            return; /* the socket's buffer is full: dropping is what UDP does */
        else
            sent++; /* this one cannot be sent (unreachable, not permitted); the others can */
    }
}

static void pin(int cpu)
{
    cpu_set_t set;

    if (cpu < 0)
        return;
    CPU_ZERO(&set);
    CPU_SET((unsigned)cpu, &set);
    (void)pthread_setaffinity_np(pthread_self(), sizeof(set), &set); /* a wish, not a need */
}

static void *run(void *arg)
{
    struct dns_udp_worker *w = arg;

    pin(w->opts.cpu);
    gtm_rcu_register();
    while (!atomic_load_explicit(&w->stop, memory_order_relaxed)) {
        gtm_rcu_offline();
        int got = recvmmsg(w->opts.fd, w->in, BATCH, MSG_WAITFORONE, NULL);
        gtm_rcu_online();
        if (got <= 0)
            continue; /* time-out, a signal, or an ICMP error that concerns one peer */
        const struct dns_view *view = gtm_rcu_read(w->opts.view);
        unsigned n = answer_batch(w, view, (unsigned)got);
        gtm_rcu_quiescent();
        send_batch(w, n);
        for (int i = 0; i < got; i++)
            reset_in(w, (unsigned)i);
    }
    gtm_rcu_unregister();
    atomic_store(&w->running, false);
    return NULL;
}

struct dns_udp_worker *dns_udp_worker_new(const struct dns_udp_opts *opts, struct gtm_error *err)
{
    struct dns_udp_worker *w = gtm_aligned_alloc(64, sizeof(*w));
    struct timeval wake = {.tv_usec = WAKE_MS * 1000};
    struct gtm_rand seed;

    if (w == NULL) {
        close(opts->fd);
        gtm_error_set(err, GTM_ENOMEM, "no memory for a UDP worker");
        return NULL;
    }
    memset(w, 0, sizeof(*w));
    w->opts = *opts;
    if (setsockopt(opts->fd, SOL_SOCKET, SO_RCVTIMEO, &wake, sizeof(wake)) != 0) {
        gtm_error_set(err, gtm_err_from_errno(errno), "receive time-out: %s", strerror(errno));
        dns_udp_worker_free(w);
        return NULL;
    }
    gtm_rand_seed_os(&seed);
    dns_answerer_init(&w->answerer, gtm_rand_next(&seed));
    w->answerer.rrl = opts->rrl;
    atomic_init(&w->stop, false);
    atomic_init(&w->running, false);
    set_up(w);
    return w;
}

int dns_udp_worker_start(struct dns_udp_worker *worker, struct gtm_error *err)
{
    atomic_store(&worker->running, true);
    int rc = pthread_create(&worker->thread, NULL, run, worker);

    if (rc != 0) {
        atomic_store(&worker->running, false);
        return gtm_error_set(err, gtm_err_from_errno(rc), "UDP worker: %s", strerror(rc));
    }
    worker->started = true;
    return 0;
}

const struct dns_counters *dns_udp_worker_counters(const struct dns_udp_worker *worker)
{
    return &worker->answerer.counters;
}

void dns_udp_worker_drain(struct dns_udp_worker *worker)
{
    atomic_store(&worker->stop, true);
}

bool dns_udp_worker_ended(const struct dns_udp_worker *worker)
{
    return !atomic_load(&worker->running);
}

void dns_udp_worker_stop(struct dns_udp_worker *worker)
{
    if (!worker->started)
        return;
    atomic_store(&worker->stop, true);
    pthread_join(worker->thread, NULL);
    worker->started = false;
}

void dns_udp_worker_free(struct dns_udp_worker *worker)
{
    if (worker == NULL)
        return;
    dns_udp_worker_stop(worker);
    close(worker->opts.fd);
    gtm_free(worker);
}
