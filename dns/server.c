/* SPDX-License-Identifier: Apache-2.0
 *
 * The facade: binds sockets, starts workers, swaps views. Old views are dropped by a helper thread
 * after a grace period, so that publishing never waits.
 */
#include "dns/server.h"

#include "dns/socket.h"
#include "dns/stream.h"
#include "dns/udp.h"
#include "gtm/base/mem.h"
#include "gtm/base/rcu.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define THREADS_MAX 256

struct retired {
    struct retired *next;
    struct dns_view *view;
};

struct dns_server {
    struct dns_view *view; /* published; read through RCU */
    pthread_mutex_t lock;  /* view's writers and readers that want a reference; the list */
    pthread_cond_t wake;
    struct retired *retired;
    bool closing, reclaiming;
    pthread_t reclaimer;

    uint16_t *ports;
    size_t listen_count;
    struct dns_udp_worker **udp;
    size_t udp_count;
    struct dns_stream *stream;
};

/* ---- old views ---- */

static void *reclaim(void *arg)
{
    struct dns_server *s = arg;

    pthread_mutex_lock(&s->lock);
    while (!s->closing || s->retired != NULL) {
        struct retired *list = s->retired;
        if (list == NULL) {
            pthread_cond_wait(&s->wake, &s->lock);
            continue;
        }
        s->retired = NULL;
        pthread_mutex_unlock(&s->lock);
        gtm_rcu_synchronize();
        while (list != NULL) {
            struct retired *next = list->next;
            dns_view_unref(list->view);
            gtm_free(list);
            list = next;
        }
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

void dns_server_publish(struct dns_server *server, struct dns_view *view)
{
    struct retired *r = gtm_malloc(sizeof(*r));

    pthread_mutex_lock(&server->lock);
    struct dns_view *old = server->view;
    gtm_rcu_publish(&server->view, view);
    if (old != NULL && r != NULL) {
        *r = (struct retired){server->retired, old};
        server->retired = r;
        r = NULL;
        pthread_cond_signal(&server->wake);
        old = NULL;
    }
    pthread_mutex_unlock(&server->lock);
    if (old != NULL) { /* no memory for a note: wait here instead of leaking or freeing too early */
        gtm_rcu_synchronize();
        dns_view_unref(old);
    }
    gtm_free(r);
}

struct dns_view *dns_server_view(struct dns_server *server)
{
    pthread_mutex_lock(&server->lock);
    struct dns_view *view = server->view != NULL ? dns_view_ref(server->view) : NULL;
    pthread_mutex_unlock(&server->lock);
    return view;
}

/* ---- set-up ---- */

/* The n-th core this process may use, -1 when that cannot be known. */
static int nth_cpu(unsigned n)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return -1;
    n %= (unsigned)CPU_COUNT(&set);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET((unsigned)cpu, &set) && n-- == 0)
            return cpu;
    return -1;
}

static unsigned core_count(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return 1;
    return (unsigned)CPU_COUNT(&set);
}

static int open_udp(struct dns_server *s, const struct dns_listen *listen, unsigned threads,
                    struct gtm_error *err)
{
    for (unsigned t = 0; t < threads; t++) {
        struct dns_udp_opts opts = {.cpu = nth_cpu(t), .view = &s->view};
        int rc = dns__socket_udp(listen, &opts.fd, &opts.wildcard, err);
        if (rc != 0)
            return rc;
        struct dns_udp_worker *w = dns_udp_worker_new(&opts, err);
        if (w == NULL)
            return err->code;
        s->udp[s->udp_count++] = w;
    }
    return 0;
}

/* Port 0: TCP chooses a free one and UDP follows; when UDP's is taken, another is tried. */
static int open_pair(struct dns_server *s, struct dns_listen *listen, unsigned threads,
                     int *ret_tcp, struct gtm_error *err)
{
    bool any = dns__socket_port(listen) == 0;
    int rc = GTM_EEXIST;

    for (int tries = 0; rc == GTM_EEXIST && tries < (any ? 32 : 1); tries++) {
        size_t before = s->udp_count;
        if (any)
            dns__socket_set_port(listen, 0);
        rc = dns__socket_tcp(listen, ret_tcp, err);
        if (rc != 0)
            return rc;
        rc = open_udp(s, listen, threads, err);
        if (rc == 0)
            break;
        close(*ret_tcp);
        *ret_tcp = -1;
        while (s->udp_count > before)
            dns_udp_worker_free(s->udp[--s->udp_count]);
    }
    return rc;
}

static int open_all(struct dns_server *s, const struct dns_server_opts *opts, struct gtm_error *err)
{
    unsigned threads = opts->threads > 0 ? opts->threads : core_count();
    if (threads > THREADS_MAX)
        threads = THREADS_MAX;
    s->udp = gtm_calloc(opts->listen_count * threads, sizeof(struct dns_udp_worker *));
    s->ports = gtm_calloc(opts->listen_count, sizeof(*s->ports));
    int *tcp = gtm_malloc(opts->listen_count * sizeof(*tcp));
    int rc = 0;
    size_t n = 0;

    if (s->udp == NULL || s->ports == NULL || tcp == NULL) {
        gtm_error_set(err, GTM_ENOMEM, "no memory for sockets");
        rc = GTM_ENOMEM;
    }
    for (; rc == 0 && n < opts->listen_count; n++) {
        struct dns_listen listen = opts->listen[n];
        if (n > 0 && dns__socket_port(&listen) == 0)
            dns__socket_set_port(&listen, s->ports[0]);
        rc = open_pair(s, &listen, threads, &tcp[n], err);
        if (rc != 0)
            break;
        s->ports[n] = dns__socket_port(&listen);
    }
    s->listen_count = n;
    struct dns_stream_opts stream = {.fds = tcp,
                                     .fds_count = n,
                                     .max_clients =
                                         opts->tcp_max_clients ? opts->tcp_max_clients : 1000,
                                     .idle_ms = opts->tcp_idle_ms ? opts->tcp_idle_ms : 10000,
                                     .view = &s->view};
    if (rc == 0) {
        s->stream = dns_stream_new(&stream, err);
        rc = s->stream == NULL ? err->code : 0;
    } else {
        while (n > 0)
            close(tcp[--n]);
    }
    gtm_free(tcp);
    return rc;
}

struct dns_server *dns_server_new(const struct dns_server_opts *opts, struct gtm_error *err)
{
    struct gtm_error local = {0};
    struct dns_server *s = gtm_calloc(1, sizeof(*s));

    if (err == NULL)
        err = &local;
    if (s == NULL || opts->listen_count == 0) {
        gtm_error_set(err, s == NULL ? GTM_ENOMEM : GTM_EINVAL, "no %s",
                      s == NULL ? "memory for a server" : "address to listen on");
        gtm_free(s);
        return NULL;
    }
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wake, NULL);
    if (open_all(s, opts, err) != 0) {
        dns_server_free(s);
        return NULL;
    }
    return s;
}

int dns_server_start(struct dns_server *server, struct gtm_error *err)
{
    int rc = pthread_create(&server->reclaimer, NULL, reclaim, server);

    if (rc != 0)
        return gtm_error_set(err, gtm_err_from_errno(rc), "helper thread: %s", strerror(rc));
    server->reclaiming = true;
    for (size_t i = 0; i < server->udp_count; i++)
        if ((rc = dns_udp_worker_start(server->udp[i], err)) != 0)
            return rc;
    return dns_stream_start(server->stream, err);
}

/* ---- what it is doing ---- */

static void add_counters(struct dns_counters *sum, const struct dns_counters *one)
{
    for (unsigned i = 0; i < DNS_CNT_COUNT; i++)
        sum->n[i] += __atomic_load_n(&one->n[i], __ATOMIC_RELAXED);
}

void dns_server_counters(const struct dns_server *server, struct dns_counters *ret)
{
    memset(ret, 0, sizeof(*ret));
    for (size_t i = 0; i < server->udp_count; i++)
        add_counters(ret, dns_udp_worker_counters(server->udp[i]));
    add_counters(ret, dns_stream_counters(server->stream));
}

unsigned dns_server_tcp_clients(const struct dns_server *server)
{
    return dns_stream_clients(server->stream);
}

uint16_t dns_server_port(const struct dns_server *server, size_t i)
{
    return i < server->listen_count ? server->ports[i] : 0;
}

/* ---- the end ---- */

void dns_server_stop(struct dns_server *server)
{
    if (server == NULL)
        return;
    for (size_t i = 0; i < server->udp_count; i++)
        dns_udp_worker_stop(server->udp[i]);
    if (server->stream != NULL)
        dns_stream_stop(server->stream);
    if (server->reclaiming) {
        pthread_mutex_lock(&server->lock);
        server->closing = true;
        pthread_cond_signal(&server->wake);
        pthread_mutex_unlock(&server->lock);
        pthread_join(server->reclaimer, NULL);
        server->reclaiming = false;
    }
}

void dns_server_free(struct dns_server *server)
{
    if (server == NULL)
        return;
    dns_server_stop(server);
    for (size_t i = 0; i < server->udp_count; i++)
        dns_udp_worker_free(server->udp[i]);
    if (server->stream != NULL)
        dns_stream_free(server->stream);
    while (server->retired != NULL) { /* published without ever being started */
        struct retired *next = server->retired->next;
        dns_view_unref(server->retired->view);
        gtm_free(server->retired);
        server->retired = next;
    }
    dns_view_unref(server->view);
    gtm_free(server->udp);
    gtm_free(server->ports);
    pthread_cond_destroy(&server->wake);
    pthread_mutex_destroy(&server->lock);
    gtm_free(server);
}
