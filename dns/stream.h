/* SPDX-License-Identifier: Apache-2.0
 *
 * DNS over TCP (RFC 7766): one thread with an event loop of its own, pipelining, idle time-outs, a
 * bound on clients and on what a slow reader may make us hold. Answers come from dns_answer.
 * Internal to dns/; used by dns/server.c.
 */
#ifndef DNS_STREAM_H
#define DNS_STREAM_H

#include "dns/answer.h"
#include "gtm/base/err.h"

#include <stddef.h>

struct dns_stream;
struct dns_stream_opts {
    const int *fds; /* bound, listening, non-blocking TCP sockets; taken,
                       also when dns_stream_new fails */
    size_t fds_count;
    unsigned max_clients, idle_ms;
    struct dns_view **view; /* the server's published pointer, read through gtm_rcu_read on the
                               stream's thread (registered with RCU) */
};
struct dns_stream *dns_stream_new(const struct dns_stream_opts *opts, struct gtm_error *err);
int dns_stream_start(struct dns_stream *stream, struct gtm_error *err) GTM_MUST_CHECK;
unsigned dns_stream_clients(const struct dns_stream *stream); /* any thread */
const struct dns_counters *
dns_stream_counters(const struct dns_stream *stream); /* any thread, relaxed */
void dns_stream_stop(struct dns_stream *stream);      /* joins the thread */
void dns_stream_free(struct dns_stream *stream);

#endif
