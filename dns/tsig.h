/* SPDX-License-Identifier: Apache-2.0
 *
 * Transaction signatures (RFC 8945) over raw messages: requests that came in, answers that go out
 * (single messages and the long streams of transfers), and the same from the client's side. No
 * clock, no allocation, no lock. An exchange belongs to one thread at a time; keys are immutable
 * and may be shared.
 */
#ifndef DNS_TSIG_H
#define DNS_TSIG_H

#include "dns/hmac.h"
#include "dns/name.h"
#include "gtm/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_TSIG_FUDGE_S    300
#define DNS_TSIG_MAC_MAX    DNS_HMAC_MAX
#define DNS_TSIG_SECRET_MAX 128                                                 /* octets */
#define DNS_TSIG_RECORD_MAX (2 * DNS_NAME_MAX + 10 + 16 + DNS_TSIG_MAC_MAX + 6) /* octets */
#define DNS_TSIG_STREAM_GAP 99 /* messages of a stream between two signed ones (5.3.1) */

enum dns_tsig_algorithm { /* the order of enum gtm_tsig_algorithm and of enum dns_hmac_hash */
                          DNS_TSIG_SHA1 = 0,
                          DNS_TSIG_SHA224,
                          DNS_TSIG_SHA256,
                          DNS_TSIG_SHA384,
                          DNS_TSIG_SHA512,
                          DNS_TSIG_ALGORITHMS
};
struct dns_tsig_key {
    uint8_t name[DNS_NAME_MAX]; /* wire, lower case */
    uint8_t name_len;
    uint8_t secret_len;
    uint8_t mac_min; /* octets of a truncated MAC that are enough; 0 = what 5.2.2.1 allows */
    enum dns_tsig_algorithm algorithm;
    uint8_t secret[DNS_TSIG_SECRET_MAX];
};
/* Fills a key from its name as text and its secret in base64 (white space is ignored). GTM_EPARSE
 * with err. Secrets never appear in err. */
int dns_tsig_key_init(struct dns_tsig_key *ret_key, const char *name,
                      enum dns_tsig_algorithm algorithm, const char *base64, size_t base64_len,
                      struct gtm_error *err) GTM_MUST_CHECK;

enum dns_tsig_verdict {
    DNS_TSIG_NONE = 0, /* no TSIG; from dns_tsig_check_answer: one was due */
    DNS_TSIG_GOOD,
    DNS_TSIG_FORMERR, /* not the last record, twice, cut off; answer FORMERR without a TSIG */
    DNS_TSIG_BADKEY,  /* answer NOTAUTH, error 17, unsigned */
    DNS_TSIG_BADSIG,  /* NOTAUTH, error 16, unsigned */
    DNS_TSIG_BADTIME, /* NOTAUTH, error 18, signed, with our time */
    DNS_TSIG_BADTRUNC /* NOTAUTH, error 22, signed */
};

/* One exchange: zero-initialise (dns_tsig_check_request and dns_tsig_sign_request begin a new one
 * whatever was there). */
struct dns_tsig {
    const struct dns_tsig_key *key; /* borrowed; NULL = none (also for BADKEY) */
    uint8_t key_name[DNS_NAME_MAX]; /* as it came, for the answer */
    uint8_t key_name_len;           /* 0 = the request had no TSIG that could be read */
    uint8_t algorithm_name[DNS_NAME_MAX];
    uint8_t algorithm_name_len;
    uint16_t error; /* extended RCODE of the TSIG record that goes out: 0, 16, 17, 18, 22; client:
                       of the one that came in */
    uint16_t original_id;
    uint64_t time_s;               /* of the request */
    uint64_t peer_time_s;          /* client, with BADTIME: the server's clock; 0 = unknown */
    uint8_t mac[DNS_TSIG_MAC_MAX]; /* of the message before */
    uint8_t mac_len;
    unsigned messages;       /* answers so far; from the second on only timers are signed */
    unsigned unsigned_count; /* client: messages since the last signed one */
    struct dns_hmac pending; /* client: the digest over unsigned messages */
};
/* Wipes it. The key is not touched. */
void dns_tsig_fini(struct dns_tsig *tsig);

/* Server: looks for a TSIG at the end of a request and checks it. *ret_len is the message's length
 * without it (the header's count is the caller's to lower); keys: the ones configured. The exchange
 * is then ready for dns_tsig_sign_answer, also after a bad verdict. */
enum dns_tsig_verdict dns_tsig_check_request(struct dns_tsig *tsig,
                                             const struct dns_tsig_key *const *keys,
                                             size_t keys_count, const uint8_t *msg, size_t len,
                                             uint64_t now_s, size_t *ret_len);
/* Server: appends the TSIG record to an answer (len octets, room for `room`), raises its ARCOUNT
 * and returns the new length; 0 when it does not fit. Call for each message of a stream in turn. An
 * exchange whose request had no TSIG: returns len. */
size_t dns_tsig_sign_answer(struct dns_tsig *tsig, uint8_t *msg, size_t len, size_t room,
                            uint64_t now_s);
/* How many octets the record will take, to be left free; 0 without a TSIG. */
size_t dns_tsig_room(const struct dns_tsig *tsig);

/* Client: signs a request; begins the exchange. The new length, 0 when it does not fit. */
size_t dns_tsig_sign_request(struct dns_tsig *tsig, const struct dns_tsig_key *key, uint8_t *msg,
                             size_t len, size_t room, uint64_t now_s);
/* Client: checks one message of the answer; the first must be signed, later ones at least every
 * hundredth, and the last (`last`). GOOD: go on (also for an unsigned message in between: what it
 * says counts only when a later one is GOOD with `last`); anything else: drop what came. *ret_len
 * as above. The error a server reported is in tsig->error. */
enum dns_tsig_verdict dns_tsig_check_answer(struct dns_tsig *tsig, const uint8_t *msg, size_t len,
                                            bool last, uint64_t now_s, size_t *ret_len);

#endif
