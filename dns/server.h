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
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct dns_listen {
    struct sockaddr_storage addr;
    socklen_t addr_len;
};

enum dns_socket_kind { DNS_SOCKET_UDP = 0, DNS_SOCKET_TCP, DNS_SOCKET_TLS };
/* A bound socket of the server. */
struct dns_socket {
    int fd;
    enum dns_socket_kind kind;
    struct dns_listen at; /* with the port that was bound */
};

struct dns_server_opts {
    const struct dns_listen *listen;
    size_t listen_count;
    const struct dns_listen *tls_listen; /* DNS over TLS (RFC 7858) */
    size_t tls_listen_count;
    const char *tls_cert, *tls_key; /* paths of PEM files, a chain and its key; with tls_listen */
    unsigned threads;               /* UDP workers per address; 0 = one per core */
    unsigned tcp_max_clients;       /* TCP and TLS; 0 = 1,000 */
    unsigned tcp_per_client;        /* of one IPv4 address or IPv6 /56; 0 = 100 */
    unsigned tcp_idle_ms;           /* 0 = 10,000 */
    /* Sockets that another process handed over (dns_server_export_fds there, SCM_RIGHTS): those
     * bound to one of the addresses above are used instead of new ones, every one of the UDP
     * sockets too, even when there are more than `threads`; the others are closed. Taken, also when
     * dns_server_new fails. What they are is asked of the kernel, so a wrong one does no harm. */
    const int *inherited;
    size_t inherited_count;
};

/* What happened to connections, since the start. */
struct dns_stream_events {
    uint64_t evicted;   /* closed in favour of new ones */
    uint64_t timed_out; /* idle, not reading, or slow to say hello */
    uint64_t proxy_refused;
    uint64_t tls_handshakes, tls_resumed, tls_failed; /* resumed: of the handshakes */
    uint64_t transfers, transfers_refused; /* zones out; refused: also answered in one message */
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
void dns_server_stream_events(const struct dns_server *server, struct dns_stream_events *ret);
unsigned dns_server_tcp_clients(const struct dns_server *server); /* TCP and TLS */
/* Would a server take this certificate and key? Errors as dns_server_new's. Reads files. */
int dns_server_check_tls(const char *cert, const char *key, struct gtm_error *err) GTM_MUST_CHECK;
/* Reads certificate and key again (or others) for handshakes from now on; clients keep what they
 * have, and their session tickets stay good. An error leaves the old ones: GTM_EINVAL when they do
 * not belong together, GTM_EPARSE, GTM_ENOTFOUND, GTM_EDENIED; GTM_ESTATE without a TLS address.
 * Any time; control thread. */
int dns_server_set_tls(struct dns_server *server, const char *cert, const char *key,
                       struct gtm_error *err) GTM_MUST_CHECK;
/* The port bound (host order) of listen address i. */
uint16_t dns_server_port(const struct dns_server *server, size_t i);
uint16_t dns_server_tls_port(const struct dns_server *server, size_t i);

/* Hand-over: all bound sockets, at most max of them; returns how many there are. The descriptors
 * stay the server's; duplicate them or send them on (SCM_RIGHTS takes 253 at a time). The process
 * that takes them must read every UDP socket: each has its own queue. */
size_t dns_server_export_fds(const struct dns_server *server, struct dns_socket *ret, size_t max);
/* Begins to end without losing a query, once another process reads the same sockets (or the
 * service ends): workers answer the datagrams they have read and read no more; no connection is
 * accepted; clients that are connected are served until they have been silent for half a second,
 * or for deadline_ms at most. Does not wait; views may still be published. Not to be undone. */
void dns_server_drain(struct dns_server *server, unsigned deadline_ms);
/* Has all that ended? Then dns_server_stop will not wait. */
bool dns_server_drained(const struct dns_server *server);
/* Stops workers and closes sockets; then free. NULL is fine. */
void dns_server_stop(struct dns_server *server);
void dns_server_free(struct dns_server *server);

#endif
