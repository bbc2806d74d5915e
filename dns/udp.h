/* SPDX-License-Identifier: Apache-2.0
 *
 * One UDP worker: a thread that owns one socket, receives and sends in batches and answers from the
 * published view. Two system calls per batch, no allocation, no lock. Internal to dns/; used by
 * dns/server.c.
 */
#ifndef DNS_UDP_H
#define DNS_UDP_H

#include "dns/answer.h"
#include "gtm/base/err.h"

#include <stdbool.h>

struct dns_udp_worker;
struct dns_udp_opts {
    int fd;        /* bound UDP socket; the worker takes it */
    int cpu;       /* core to pin to, -1 = none */
    bool wildcard; /* bound to no particular address: answers leave from where the query came in */
    struct dns_view **view; /* the server's published pointer */
    struct dns_rrl *rrl;    /* the server's; NULL = rates are never limited */
};
/* NULL on failure; then fd is closed. */
struct dns_udp_worker *dns_udp_worker_new(const struct dns_udp_opts *opts, struct gtm_error *err);
int dns_udp_worker_start(struct dns_udp_worker *worker, struct gtm_error *err) GTM_MUST_CHECK;
const struct dns_counters *dns_udp_worker_counters(const struct dns_udp_worker *worker);
/* Reads no more after what it has read is answered; does not wait. */
void dns_udp_worker_drain(struct dns_udp_worker *worker);
bool dns_udp_worker_ended(const struct dns_udp_worker *worker); /* or never started; any thread */
void dns_udp_worker_stop(struct dns_udp_worker *worker); /* joins the thread; at most 100 ms */
void dns_udp_worker_free(struct dns_udp_worker *worker); /* NULL is fine */

#endif
