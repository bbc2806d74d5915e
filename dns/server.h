/* SPDX-License-Identifier: Apache-2.0
 *
 * The facade of dns/: sockets, worker threads and the published view. Lifecycle: new → (publish) →
 * start → publish … → stop → free. The control thread calls everything; the workers are inside.
 */
#ifndef DNS_SERVER_H
#define DNS_SERVER_H

#include "dns/answer.h"
#include "dns/view.h"
#include "gtm/base/err.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct dns_listen {
    struct sockaddr_storage addr;
    socklen_t addr_len;
};

struct dns_server_opts {
    const struct dns_listen *listen;
    size_t listen_count;
    unsigned threads;         /* UDP workers per address; 0 = one per core */
    unsigned tcp_max_clients; /* 0 = 1,000 */
    unsigned tcp_idle_ms;     /* 0 = 10,000 */
};

struct dns_server;
/* Binds all UDP and TCP sockets (SO_REUSEPORT; port 0 in the first address chooses one, the same
 * for both protocols). NULL on failure: err says which address and why (GTM_EEXIST in use,
 * GTM_EDENIED no right). */
struct dns_server *dns_server_new(const struct dns_server_opts *opts, struct gtm_error *err);
/* Starts the workers. Queries before the first publish are answered REFUSED. */
int dns_server_start(struct dns_server *server, struct gtm_error *err) GTM_MUST_CHECK;
/* Swaps the view; takes the caller's reference. The old one is dropped after a grace period, on a
 * helper thread. Never blocks. */
void dns_server_publish(struct dns_server *server, struct dns_view *view);
/* The current view with a reference of its own, or NULL. */
struct dns_view *dns_server_view(struct dns_server *server);
/* Sums over all workers. */
void dns_server_counters(const struct dns_server *server, struct dns_counters *ret);
unsigned dns_server_tcp_clients(const struct dns_server *server);
/* The port bound (host order) of listen address i. */
uint16_t dns_server_port(const struct dns_server *server, size_t i);
/* Stops workers and closes sockets; then free. NULL is fine. */
void dns_server_stop(struct dns_server *server);
void dns_server_free(struct dns_server *server);

#endif
