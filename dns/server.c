/* SPDX-License-Identifier: Apache-2.0
 *
 * The facade: binds sockets, starts workers, swaps views. Old views are dropped by a helper thread
 * after a grace period, so that publishing never waits.
 */
#include "dns/server.h"

#include "dns/rrl.h"
#include "dns/server_int.h"
#include "gtm/base/mem.h"
#include "gtm/base/rcu.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define RRL_ROWS 262144 /* networks and kinds of answer that are told apart; 8 octets each */

/* ---- old views ---- */

static void *reclaim(void *arg)
{
    struct dns_server *s = arg;

    pthread_mutex_lock(&s->lock);
    while (!s->closing || s->retired != NULL) {
        struct dns_retired *list = s->retired;
        if (list == NULL) {
            pthread_cond_wait(&s->wake, &s->lock);
            continue;
        }
        s->retired = NULL;
        pthread_mutex_unlock(&s->lock);
        gtm_rcu_synchronize();
        while (list != NULL) {
            struct dns_retired *next = list->next;
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
    struct dns_retired *r = gtm_malloc(sizeof(*r));

    pthread_mutex_lock(&server->lock);
    struct dns_view *old = server->view;
    gtm_rcu_publish(&server->view, view);
    if (old != NULL && r != NULL) {
        *r = (struct dns_retired){server->retired, old};
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

struct dns_server *dns_server_new(const struct dns_server_opts *opts, struct gtm_error *err)
{
    struct gtm_error local = {0};
    struct dns_server *s = gtm_calloc(1, sizeof(*s));
    struct dns_rrl *rrl = dns_rrl_new(RRL_ROWS);
    bool memory = s != NULL && rrl != NULL;

    if (err == NULL)
        err = &local;
    if (!memory || opts->listen_count == 0) {
        gtm_error_set(err, memory ? GTM_EINVAL : GTM_ENOMEM, "no %s",
                      memory ? "address to listen on" : "memory for a server");
        for (size_t i = 0; i < opts->inherited_count; i++)
            close(opts->inherited[i]);
        dns_rrl_free(rrl);
        gtm_free(s);
        return NULL;
    }
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wake, NULL);
    s->rrl = rrl;
    if (dns__server_open(s, opts, err) != 0) {
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

void dns_server_stream_events(const struct dns_server *server, struct dns_stream_events *ret)
{
    dns_stream_events(server->stream, ret);
}

unsigned dns_server_tcp_clients(const struct dns_server *server)
{
    return dns_stream_clients(server->stream);
}

uint16_t dns_server_port(const struct dns_server *server, size_t i)
{
    return i < server->listen_count ? server->ports[i] : 0;
}

uint16_t dns_server_tls_port(const struct dns_server *server, size_t i)
{
    return i < server->tls_count ? server->tls_ports[i] : 0;
}

size_t dns_server_export_fds(const struct dns_server *server, struct dns_socket *ret, size_t max)
{
    size_t n = server->sockets_count < max ? server->sockets_count : max;

    if (n > 0)
        memcpy(ret, server->sockets, n * sizeof(*ret));
    return server->sockets_count;
}

int dns_server_check_tls(const char *cert, const char *key, struct gtm_error *err)
{
    struct dns_tls_tickets tickets;
    int rc = dns_tls_tickets_new(&tickets);
    if (rc != GTM_OK)
        return gtm_error_set(err, rc, "no random octets");
    struct ssl_ctx_st *tls = dns_tls_ctx_new(cert, key, &tickets, err);
    dns_tls_ctx_free(tls);
    return tls ? GTM_OK : err->code;
}

int dns_server_set_tls(struct dns_server *server, const char *cert, const char *key,
                       struct gtm_error *err)
{
    struct gtm_error local = {0};

    if (err == NULL)
        err = &local;
    if (server->tls_count == 0)
        return gtm_error_set(err, GTM_ESTATE, "this server has no address for DNS over TLS");
    struct ssl_ctx_st *tls = dns_tls_ctx_new(cert, key, &server->tickets, err);
    if (tls == NULL)
        return err->code;
    dns_stream_set_tls(server->stream, tls);
    return 0;
}

/* ---- the end ---- */

void dns_server_drain(struct dns_server *server, unsigned deadline_ms)
{
    for (size_t i = 0; i < server->udp_count; i++)
        dns_udp_worker_drain(server->udp[i]);
    dns_stream_drain(server->stream, deadline_ms);
}

bool dns_server_drained(const struct dns_server *server)
{
    for (size_t i = 0; i < server->udp_count; i++)
        if (!dns_udp_worker_ended(server->udp[i]))
            return false;
    return dns_stream_drained(server->stream);
}

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
        struct dns_retired *next = server->retired->next;
        dns_view_unref(server->retired->view);
        gtm_free(server->retired);
        server->retired = next;
    }
    dns_view_unref(server->view);
    gtm_free(server->udp);
    gtm_free(server->ports);
    gtm_free(server->tls_ports);
    gtm_free(server->sockets);
    dns_rrl_free(server->rrl);
    pthread_cond_destroy(&server->wake);
    pthread_mutex_destroy(&server->lock);
    gtm_free(server);
}
