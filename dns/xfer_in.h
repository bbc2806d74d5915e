/* SPDX-License-Identifier: Apache-2.0
 *
 * A zone transferred from another server: AXFR (RFC 5936) and IXFR (RFC 1995, answered with
 * differences or with the whole zone). Two layers: a state machine over messages that knows no
 * transport and no clock (dns_xfer_in_feed; fuzzed), and a blocking client over UDP and TCP with
 * TSIG (dns_xfer_in_run) for a thread of its own. Nothing that a server sends is believed before
 * the last record: a transfer that is cut off, never ends, is too large, names what is outside the
 * zone, or is not signed as it must be, gives nothing.
 *
 * The result is zone text, loaded like a zone file: whatever a zone may not be is refused there.
 */
#ifndef DNS_XFER_IN_H
#define DNS_XFER_IN_H

#include "dns/tsig.h"
#include "dns/zone.h"
#include "gtm/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define DNS_XFER_IN_BYTES_MAX    (1ull << 30)
#define DNS_XFER_IN_RECORDS_MAX  10000000ull
#define DNS_XFER_IN_MESSAGES_MAX 10000000ull
#define DNS_XFER_IN_TOTAL_MS     600000u
#define DNS_XFER_IN_SILENCE_MS   30000u

/* RFC 1982: is serial a after b? */
static inline bool dns_serial_after(uint32_t a, uint32_t b)
{
    return a != b && a - b < 0x80000000u;
}

/* --- the state machine; one thread --- */

struct dns_xfer_in;

struct dns_xfer_in_opts {
    const uint8_t *zone;         /* wire; copied */
    bool ixfr;                   /* differences are asked for: then `have` is the copy */
    const struct dns_zone *have; /* borrowed */
    /* 0 = those above; max_bytes: of the messages, and of the records without compression */
    uint64_t max_bytes, max_records, max_messages;
};
struct dns_xfer_in *dns_xfer_in_new(const struct dns_xfer_in_opts *opts); /* NULL: out of memory */
void dns_xfer_in_free(struct dns_xfer_in *xfer);                          /* NULL is fine */

enum dns_xfer_in_state {
    DNS_XFER_IN_MORE = 0,
    DNS_XFER_IN_DONE,    /* the zone is whole */
    DNS_XFER_IN_CURRENT, /* ixfr: there is nothing newer */
    DNS_XFER_IN_AXFR     /* ixfr: the server cannot, or its differences do not fit: ask for all */
};
/* The request's octets in out (at least 512); id chosen by the caller. Returns the length. */
size_t dns_xfer_in_request(struct dns_xfer_in *xfer, uint16_t id, uint8_t *out, size_t room);
/* One message of the answer, without its TSIG. An enum dns_xfer_in_state, or negative with err: the
 * transfer is over. Not to be called again after anything but MORE. */
int dns_xfer_in_feed(struct dns_xfer_in *xfer, const uint8_t *msg, size_t len,
                     struct gtm_error *err) GTM_MUST_CHECK;
/* After DONE: the zone as text, SOA first; new, NUL-terminated. GTM_ENOMEM, GTM_ELIMIT (too large
 * for a zone file). */
int dns_xfer_in_text(const struct dns_xfer_in *xfer, char **ret_text, size_t *ret_len,
                     struct gtm_error *err) GTM_MUST_CHECK;
uint32_t dns_xfer_in_serial(const struct dns_xfer_in *xfer); /* after DONE */
size_t dns_xfer_in_records(const struct dns_xfer_in *xfer);
bool dns_xfer_in_differences(const struct dns_xfer_in *xfer); /* it came as differences */

/* --- the client; blocks --- */

struct dns_xfer_in_job {
    const uint8_t *zone;         /* wire */
    const struct dns_zone *have; /* the copy; NULL = none */
    struct sockaddr_storage primary;
    socklen_t primary_len;
    const struct dns_tsig_key *key; /* NULL = none */
    unsigned total_ms, silence_ms;  /* 0 = those above */
    uint64_t max_bytes, max_records;
    int cancel_fd; /* becomes readable: end at once; -1 = never */
};
struct dns_xfer_in_result {
    bool changed; /* false: the copy is current */
    uint32_t serial;
    size_t records;
    bool incremental; /* it came as differences */
    char *text;       /* changed: the caller's (gtm_free) */
    size_t text_len;
};
/* Asks for the SOA (UDP, then TCP), and when it is newer transfers the zone (IXFR when there is a
 * copy, else AXFR). 0, or negative with err: GTM_ETIMEOUT, GTM_EUNREACHABLE, GTM_EDENIED (refused,
 * or signatures do not fit), GTM_EPARSE, GTM_ELIMIT, GTM_ESTATE (cancelled), GTM_ENOMEM. */
int dns_xfer_in_run(const struct dns_xfer_in_job *job, struct dns_xfer_in_result *ret,
                    struct gtm_error *err) GTM_MUST_CHECK;

#endif
