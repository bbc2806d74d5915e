/* SPDX-License-Identifier: Apache-2.0
 *
 * A listener of gtmd over evhttp, plain or TLS, with what evhttp lacks: limits of connections in
 * all and by address, and an end for those that bring no handshake or no whole request in time (its
 * own time-out starts again with every byte). The listener pauses while too many are open; more
 * wait in the backlog. Loop's thread only.
 *
 * evhttp tells neither a connection's start nor whose it is: the start is learnt in the turn of the
 * loop in which it was accepted (newcomers.h), the end through the close callback, and that a
 * request was answered through its completion.
 */
#ifndef GTM_DAEMON_LISTENER_H
#define GTM_DAEMON_LISTENER_H

#include "gtm/base/clock.h"
#include "gtm/base/err.h"
#include "gtm/model/node.h"

#include <event2/http.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct gtm_loop;
struct gtm_listener;

struct gtm_listener_opts {
    struct gtm_loop *loop;         /* borrowed, as all here */
    const struct gtm_clock *clock; /* monotonic */
    unsigned connections_max;
    unsigned per_address_max; /* 0 = no limit by address */
    unsigned handshake_ms;    /* TLS: until it is done */
    unsigned idle_ms;         /* without a whole request, and not being answered */
    unsigned io_timeout_s;    /* without a byte */
    size_t header_max, body_max;
    /* Each request of a connection that is counted; it answers now or later, once. */
    void (*request)(struct evhttp_request *http, void *arg);
    /* A connection was refused: too many of its address; or NULL. */
    void (*refused)(void *arg);
    void *arg;
};

/* A TCP socket that listens; -1 with err naming `what` ("push.listen") and the address
 * (GTM_EEXIST: in use). */
int gtm_listener_socket(const struct gtm_listen *at, const char *what, struct gtm_error *err);
/* Serves on fd, a socket that listens, which is taken also on failure. tls (a reference of its own
 * is kept) or NULL. NULL: out of memory, err filled. */
struct gtm_listener *gtm_listener_new(const struct gtm_listener_opts *opts, int fd, SSL_CTX *tls,
                                      struct gtm_error *err);
/* Closes everything. No request may be unanswered. NULL is fine. */
void gtm_listener_free(struct gtm_listener *listener);

/* New connections use it; those that are open keep theirs. */
void gtm_listener_set_tls(struct gtm_listener *listener, SSL_CTX *tls);
SSL_CTX *gtm_listener_tls(const struct gtm_listener *listener); /* NULL = plain */
unsigned gtm_listener_count(const struct gtm_listener *listener);
/* As bound, host order; 0 = none. */
uint16_t gtm_listener_port(const struct gtm_listener *listener);
/* The TLS of a request's connection; NULL = plain. */
SSL *gtm_listener_ssl(struct evhttp_request *http);

#endif
