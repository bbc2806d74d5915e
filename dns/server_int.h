/* SPDX-License-Identifier: Apache-2.0
 *
 * The server's inside, shared by dns/server.c (life and views) and dns/server_open.c (sockets).
 * Internal to dns/.
 */
#ifndef DNS_SERVER_INT_H
#define DNS_SERVER_INT_H

#include "dns/server.h"
#include "dns/stream.h"
#include "dns/tls.h"
#include "dns/udp.h"

#include <pthread.h>
#include <stdbool.h>

struct dns_retired {
    struct dns_retired *next;
    struct dns_view *view;
};

struct dns_server {
    struct dns_view *view; /* published; read through RCU */
    pthread_mutex_t lock;  /* view's writers and readers that want a reference; the list */
    pthread_cond_t wake;
    struct dns_retired *retired;
    bool closing, reclaiming;
    pthread_t reclaimer;

    uint16_t *ports, *tls_ports; /* of each listen address */
    size_t listen_count, tls_count;
    struct dns_socket *sockets; /* all that are bound; workers and stream own them */
    size_t sockets_count;
    struct dns_rrl *rrl; /* all UDP workers' */
    struct dns_udp_worker **udp;
    size_t udp_count;
    struct dns_stream *stream;
    struct dns_tls_tickets tickets;
};

/* Binds (or takes over) every socket of opts and makes the workers that own them. After a failure
 * dns_server_free cleans up. */
int dns__server_open(struct dns_server *server, const struct dns_server_opts *opts,
                     struct gtm_error *err) GTM_MUST_CHECK;

#endif
