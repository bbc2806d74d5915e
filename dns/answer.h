/* SPDX-License-Identifier: Apache-2.0
 *
 * The answer: a pure function of (view, packet, client, random state). Knows no transport. No
 * allocation, no lock, no system call, no log. RFC 1034 4.3.2, 1035, 2181, 2308, 4592, 6604, 6672,
 * 6891, 7871, 8482, 8906, 8914; around it 1996, 5001, 7830, 7873, 8945, 9018.
 *
 * For batches it comes in steps, so that the memory of a whole batch is fetched while the first is
 * answered: dns_query_prepare for each packet, dns_query_locate for each, dns_query_aim for each,
 * then dns_query_answer for each.
 */
#ifndef DNS_ANSWER_H
#define DNS_ANSWER_H

#include "dns/name.h"
#include "dns/tsig.h"
#include "dns/view.h"
#include "gtm/base/clock.h"
#include "gtm/base/rand.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_UDP_PAYLOAD_MAX \
    1232 /* octets; what we advertise and the most we send over UDP (DNS flag day 2020) */
#define DNS_MESSAGE_MAX 65535 /* octets over streams */

/* The order of the first counters. TLS answers are padded when asked (RFC 7830, 8467). */
enum dns_proto { DNS_PROTO_UDP = 0, DNS_PROTO_TCP, DNS_PROTO_TLS, DNS_PROTO_COUNT };

struct dns_client {
    uint8_t family;   /* 4 or 6; an IPv4-mapped address counts as 4 */
    uint8_t addr[16]; /* network order */
    enum dns_proto proto;
};

/* Counters of one thread; single writer, read by others with relaxed loads. */
enum dns_counter {
    DNS_CNT_UDP = 0,
    DNS_CNT_TCP,
    DNS_CNT_TLS,
    DNS_CNT_DROPPED,
    DNS_CNT_TRUNCATED,
    DNS_CNT_ECS,
    DNS_CNT_EDNS,
    DNS_CNT_DYNAMIC,
    DNS_CNT_NOERROR,
    DNS_CNT_NODATA,
    DNS_CNT_FORMERR,
    DNS_CNT_SERVFAIL,
    DNS_CNT_NXDOMAIN,
    DNS_CNT_NOTIMP,
    DNS_CNT_REFUSED,
    DNS_CNT_BADVERS,
    DNS_CNT_REFERRAL,
    DNS_CNT_TYPE_A,
    DNS_CNT_TYPE_AAAA,
    DNS_CNT_TYPE_OTHER,
    DNS_CNT_BYTES_OUT,
    DNS_CNT_NOTAUTH,
    DNS_CNT_BADCOOKIE,
    DNS_CNT_COOKIE_GOOD, /* queries with a cookie of ours */
    DNS_CNT_COOKIE_NEW,  /* queries with a client's cookie only, or with a stale or forged one */
    DNS_CNT_TSIG_GOOD,
    DNS_CNT_TSIG_BAD,
    DNS_CNT_NOTIFY_HEEDED,
    DNS_CNT_NOTIFY_REFUSED,
    DNS_CNT_CHAOS,         /* questions of class CH that were answered */
    DNS_CNT_PROXY_REFUSED, /* datagrams of a proxy without a header that can be read; dropped too */
    DNS_CNT_RRL_DROPPED,   /* rate-limited: not answered */
    DNS_CNT_RRL_SLIPPED,   /* rate-limited: answered truncated, or BADCOOKIE */
    DNS_CNT_COUNT
};
struct dns_counters {
    uint64_t n[DNS_CNT_COUNT];
};

struct dns_rrl;

/* Per-thread state: dns_answerer_init, then the fields that the owner wants set. */
struct dns_answerer {
    struct gtm_rand rand;
    struct dns_counters counters;
    const struct gtm_clock *clock; /* the machine's; tests set another */
    struct dns_rrl *rrl;           /* shared, borrowed; NULL = rates are never limited */
    uint16_t keepalive;            /* time-out told to clients of a stream that ask (RFC 7828), in
                                      100 ms; 0 = none */
    bool time_known;               /* private: the rest */
    uint64_t wall_s, mono_us;
    struct dns_tsig tsig;
};
void dns_answerer_init(struct dns_answerer *a, uint64_t seed);
/* Time is read at most once between two calls, and only by what needs it: call it before each batch
 * of datagrams. Answers over streams read it anew each. */
static inline void dns_answerer_tick(struct dns_answerer *a)
{
    a->time_known = false;
}

struct dns_zone_node;
struct dns_view_zone;

/* A parsed query; lives between the steps, in the caller's storage. Private fields. */
struct dns_query {
    const uint8_t *packet;
    uint16_t packet_len;
    uint16_t qtype, qclass;
    uint16_t flags;
    uint8_t qname_len; /* 0 = no usable question */
    uint8_t labels;    /* without the root */
    int16_t rcode;     /* of the parse: -1 = drop silently, else the RCODE to send, 0 = answer it */
    bool edns, dnssec_ok, ecs;
    uint8_t extra;      /* bits of enum dns__extra: what only few queries carry */
    uint16_t payload;   /* octets the client takes */
    uint16_t cookie_at; /* offset of the option's data in the packet, with DNS__EXTRA_COOKIE */
    uint8_t cookie_len;
    uint8_t ecs_family, ecs_source;
    uint8_t ecs_addr[16];
    uint8_t
        qname[DNS_NAME_MAX + 9]; /* canonical; padded so that eight octets may be read at the end */
    uint8_t offsets[DNS_LABELS_MAX]; /* of each label in qname */
    uint64_t hashes[DNS_LABELS_MAX]; /* of each suffix */
    const struct dns_view_zone *zone;
    const void *node;
    const struct dns_classmap *aimed; /* where `leaf` was found, or NULL */
    uint32_t leaf;
};

/* Parses, finds the zone, prefetches. Never fails: what is wrong is in rcode. The packet must live
 * until the answer. */
void dns_query_prepare(struct dns_query *q, const struct dns_view *view, const uint8_t *packet,
                       size_t len);
/* Second step, optional: finds where the name's node should be and prefetches it, without waiting
 * for it. */
void dns_query_locate(struct dns_query *q);
/* Third step, optional: looks the client up in the class map of a dynamic name. Such a look-up
 * waits for memory several times; done for a whole batch in a row, they wait together. */
void dns_query_aim(struct dns_query *q, const struct dns_client *client);
/* Writes the answer to out (room for out_bytes ≥ 512; for UDP at most what the client takes is
 * used). Returns its octets, 0 = send nothing. out must not overlap the packet. */
size_t dns_query_answer(struct dns_answerer *a, struct dns_query *q, const struct dns_view *view,
                        const struct dns_client *client, uint8_t *out, size_t out_bytes);
/* All steps. */
size_t dns_answer(struct dns_answerer *a, const struct dns_view *view,
                  const struct dns_client *client, const uint8_t *packet, size_t len, uint8_t *out,
                  size_t out_bytes);

#endif
