/* SPDX-License-Identifier: Apache-2.0
 *
 * DNS over TCP (RFC 7766) and TLS (RFC 7858): one thread with an event loop of its own, pipelining,
 * idle time-outs (RFC 7828), PROXY headers, transfers of zones out, and bounds on clients, on those
 * of one network and on what a slow reader may make us hold. Answers come from dns_answer.
 * Internal to dns/; used by dns/server.c.
 */
#ifndef DNS_STREAM_H
#define DNS_STREAM_H

#include "dns/answer.h"
#include "dns/server.h"
#include "gtm/base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct dns_stream;
struct ssl_ctx_st;
struct dns_stream_socket {
    int fd;   /* bound, listening, non-blocking TCP socket */
    bool tls; /* clients begin with a TLS handshake */
};
struct dns_stream_opts {
    const struct dns_stream_socket *sockets; /* taken, also when dns_stream_new fails */
    size_t sockets_count;
    /* At the bound the longest idle client goes in favour of the new one; when a network has more
     * than a sixteenth of all, the longest idle one of the network that has the most. */
    unsigned max_clients;
    unsigned per_client; /* connections of one IPv4 address or IPv6 /56; 0 = no bound of its own */
    unsigned idle_ms;    /* also for the PROXY header and the handshake together */
    struct ssl_ctx_st *tls; /* taken, also when dns_stream_new fails; needed for TLS sockets */
    struct dns_view **view; /* the server's published pointer, read through gtm_rcu_read on the
                               stream's thread (registered with RCU) */
};
struct dns_stream *dns_stream_new(const struct dns_stream_opts *opts, struct gtm_error *err);
/* Before start: the rate limiter is not for streams, the answerer's other fields may be set. */
int dns_stream_start(struct dns_stream *stream, struct gtm_error *err) GTM_MUST_CHECK;
unsigned dns_stream_clients(const struct dns_stream *stream); /* any thread */
const struct dns_counters *
dns_stream_counters(const struct dns_stream *stream); /* any thread, relaxed */
void dns_stream_events(const struct dns_stream *stream,
                       struct dns_stream_events *ret); /* any thread */
/* Handshakes from now on use this context (taken). Any thread. */
void dns_stream_set_tls(struct dns_stream *stream, struct ssl_ctx_st *tls);
/* Accepts no more, serves clients until they have been silent for half a second or deadline_ms have
 * passed; does not wait. Any thread, once. */
void dns_stream_drain(struct dns_stream *stream, unsigned deadline_ms);
bool dns_stream_drained(const struct dns_stream *stream); /* or never started; any thread */
void dns_stream_stop(struct dns_stream *stream);          /* joins the thread */
void dns_stream_free(struct dns_stream *stream);

#endif
