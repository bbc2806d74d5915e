/* SPDX-License-Identifier: Apache-2.0
 *
 * Transfers of zones to other servers: AXFR (RFC 5936) as an iterator that fills one message at a
 * time, IXFR (RFC 1995) answered with the whole zone, or with the SOA alone when the client is up
 * to date or asks by UDP. Signed with TSIG (RFC 8945) when the request is. Knows no transport and
 * no clock; a transfer belongs to one thread. Internal to dns/.
 *
 * A transfer holds the view it began with, so a reload does not mix versions. Names that are
 * dynamic here are static in the copy: with every record that a client of unknown place could get
 * at the moment of the transfer, of all options, each once (but one CNAME, and no more than
 * DNS_XFER_OUT_DYNAMIC); with none when that client would get no answer. A copy therefore does not
 * follow health or place: secondaries of zones with dynamic names are a last resort, unless they
 * are gtm nodes themselves.
 */
#ifndef DNS_XFER_OUT_H
#define DNS_XFER_OUT_H

#include "dns/answer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_XFER_OUT_MESSAGE 16384 /* octets of a message, but for a record that needs more */
#define DNS_XFER_OUT_DYNAMIC 1000  /* records given for a dynamic set, whatever its options hold */

struct dns_xfer_out;

/* Is this (prepared) query a request for a transfer, and well-formed? */
static inline bool dns_xfer_out_wanted(const struct dns_query *q)
{
    return (q->qtype == 252 || q->qtype == 251) && q->qname_len > 0 && q->rcode == 5;
}

/* Judges a request that dns_xfer_out_wanted. view: not NULL, a reference of its own is taken when a
 * transfer begins (the caller is an RCU reader or holds one). may_run: there is room for another
 * transfer. room ≥ 512. Either *ret_xfer is the transfer and 0 is returned; or *ret_xfer is NULL
 * and the octets of the only answer, in out, are returned (0: out of memory): an error, or the SOA
 * alone. Errors: NOTAUTH (no such zone here, a bad signature), REFUSED with extended error 18 (no
 * rule of the zone's peers allows it: address and key), FORMERR (AXFR by UDP, IXFR without SOA),
 * SERVFAIL (expired, or no room). */
size_t dns_xfer_out_begin(const struct dns_query *query, const struct dns_view *view,
                          const struct dns_client *client, bool may_run, uint64_t now_s,
                          uint8_t *out, size_t room, struct dns_xfer_out **ret_xfer);
/* The next message. 0: the transfer is complete, or *ret_error says why it cannot go on
 * (GTM_ELIMIT: a record that fits into no message): then the connection must be closed. room:
 * DNS_MESSAGE_MAX. */
size_t dns_xfer_out_next(struct dns_xfer_out *xfer, uint8_t *out, size_t room, uint64_t now_s,
                         int *ret_error);
void dns_xfer_out_free(struct dns_xfer_out *xfer); /* NULL is fine */

#endif
