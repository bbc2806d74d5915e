/* SPDX-License-Identifier: Apache-2.0
 *
 * Tells secondaries that a zone has changed (RFC 1996): by UDP, five times with growing pauses
 * until it is answered, signed when the peer has a key. For a control loop: everything, the
 * callback too, runs on the loop's thread. Bounded: DNS_NOTIFY_MAX messages under way.
 */
#ifndef DNS_NOTIFY_H
#define DNS_NOTIFY_H

#include "dns/tsig.h"
#include "dns/zone.h"
#include "gtm/base/clock.h"
#include "gtm/base/err.h"
#include "gtm/base/loop.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define DNS_NOTIFY_MAX   65536
#define DNS_NOTIFY_TRIES 5

struct dns_notify;

enum dns_notify_outcome {
    DNS_NOTIFY_TAKEN = 0, /* answered NOERROR */
    DNS_NOTIFY_REFUSED,   /* answered with another RCODE */
    DNS_NOTIFY_BADSIG,    /* answered, but never with a good signature */
    DNS_NOTIFY_SILENT     /* never answered, or not to be reached */
};
const char *dns_notify_outcome_text(enum dns_notify_outcome outcome); /* a word */

struct dns_notify_target {
    struct sockaddr_storage addr; /* AF_INET or AF_INET6, with its port */
    socklen_t addr_len;
    const struct dns_tsig_key *key; /* NULL = unsigned; copied */
};

struct dns_notify_result {
    const uint8_t *zone; /* wire, lower case */
    uint32_t serial;
    struct dns_notify_target target; /* key: a copy, until the callback returns */
    enum dns_notify_outcome outcome;
    unsigned rcode; /* of REFUSED */
    unsigned tries;
};

struct dns_notify_opts {
    struct gtm_loop *loop;
    const struct gtm_clock *clock; /* for signatures */
    /* What messages come from (secondaries look at it); family AF_UNSPEC = any address of ours. The
     * port is always a free one. */
    struct sockaddr_storage source4, source6;
    unsigned first_wait_ms; /* doubled after each try; 0 = 1,000, so 31 s in all */
    /* Once for each message that was sent, unless a newer one took its place. May send others, must
     * not free the sender. */
    void (*done)(void *ctx, const struct dns_notify_result *result);
    void *ctx;
};

/* NULL on failure. Sockets are opened when they are first needed. */
struct dns_notify *dns_notify_new(const struct dns_notify_opts *opts, struct gtm_error *err);
/* Tells each target; a message about this zone that is under way to the same target is replaced.
 * The zone is only looked at now. 0, GTM_ENOMEM or GTM_ELIMIT: then some were not told. A peer that
 * cannot be reached is tried again, and reported by the callback. */
int dns_notify_send(struct dns_notify *notify, const struct dns_zone *zone,
                    const struct dns_notify_target *targets, size_t targets_count) GTM_MUST_CHECK;
size_t dns_notify_pending(const struct dns_notify *notify);
void dns_notify_free(struct dns_notify *notify); /* without callbacks; NULL is fine */

#endif
