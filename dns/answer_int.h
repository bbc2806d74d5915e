/* SPDX-License-Identifier: Apache-2.0
 *
 * An answer while it is composed: shared by answer.c (the algorithm), answer_dynamic.c (choices of
 * dynamic names) and answer_opt.c (OPT, what does not fit, header, counting). Internal to dns/.
 * What each answer passes through is inline here.
 */
#ifndef DNS_ANSWER_INT_H
#define DNS_ANSWER_INT_H

#include "dns/answer.h"
#include "dns/rr.h"
#include "dns/steer_int.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DNS__CHAIN_MAX 16 /* CNAME and DNAME steps inside one answer */

enum { FLAG_QR = 0x8000, FLAG_AA = 0x0400, FLAG_TC = 0x0200, FLAG_RD = 0x0100, FLAG_CD = 0x0010 };
enum { RCODE_YXDOMAIN = 6 };
enum { RCODE_BADCOOKIE = 23 };
enum {
    EDE_OTHER = 0,
    EDE_PROHIBITED = 18,
    EDE_NOT_AUTHORITATIVE = 20,
    EDE_NOT_SUPPORTED = 21,
    EDE_INVALID_DATA = 24
};

/* Counters have one writer; readers may be on other threads. */
#define DNS__COUNT(a, which, by) \
    __atomic_store_n(&(a)->counters.n[which], (a)->counters.n[which] + (by), __ATOMIC_RELAXED)

/* What a chain has passed: names by their hash, DNAMEs by their node. A name twice is a loop; a
 * DNAME stands in the answer once. */
struct dns__trail {
    unsigned count;
    uint64_t passed[2 * DNS__CHAIN_MAX + 2];
};

struct dns__compose {
    struct dns_answerer *a;
    const struct dns_query *q;
    const struct dns_client *client;
    const struct dns_settings *settings;
    uint8_t *out;
    const struct dns_zone *zone; /* set with the zone's answer, like the trail */
    struct dns__trail *trail;
    unsigned len, limit; /* limit leaves room for OPT */
    int ede;             /* -1 = none */
    uint16_t flags;
    uint16_t rcode;
    /* From here on all is zero at first. */
    unsigned counts[3];
    uint8_t scope;
    uint8_t cookie; /* enum dns__cookie; with q->extra */
    bool referral, nodata;
    bool no_options;       /* no room for any but ECS */
    bool synthesized;      /* the name is none of the zone's: of a wildcard, a DNAME, or missing */
    struct dns_tsig *tsig; /* the answer gets a signature record; NULL = none */
    const struct dns_choice *ede_from;
};

enum { SEC_ANSWER = 0, SEC_AUTHORITY, SEC_ADDITIONAL };

/* Takes back all but the question and sets TC. */
void dns__truncate(struct dns__compose *c);

/* Copies an image. owner = pointer for every record's owner, 0 when the image carries its owners.
 */
static inline bool dns__put_image(struct dns__compose *c, const struct dns_image *image,
                                  unsigned section, unsigned owner)
{
    if (c->len + image->len > c->limit)
        return false;
    uint8_t *at = c->out + c->len;
    memcpy(at, image->data, image->len);
    if (image->fixups != 0) {
        const uint8_t *fix = image->data + ((image->len + 1u) & ~1u);
        uint16_t top = (uint16_t)(0xc000u | (12u + c->q->qname_len - c->zone->apex_len));
        for (unsigned i = 0; i < image->fixups; i++) {
            uint16_t place;
            memcpy(&place, fix + i * 2u, 2);
            dns_put16(at + place, top);
        }
    }
    if (owner != 0 && owner != DNS_POINTER_QNAME) {
        for (unsigned i = 0, p = 0; i < image->count; i++) {
            dns_put16(at + p, (uint16_t)owner);
            p += DNS_RR_FIXED + dns_get16(at + p + 10);
        }
    }
    c->len += image->len;
    c->counts[section] += image->count;
    return true;
}

static inline void dns__put_negative(struct dns__compose *c)
{
    const struct dns_image *soa = dns__zone_image(c->zone, c->zone->negative_soa);

    c->nodata = c->rcode == DNS_RCODE_NOERROR;
    if (!dns__put_image(c, soa, SEC_AUTHORITY, 0))
        dns__truncate(c);
}

/* The answer of a dynamic name's set (answer_dynamic.c). True when it has records. */
bool dns__put_dynamic(struct dns__compose *c, const struct dns_set *set, unsigned owner);

/* Octets to leave free for OPT and its options, those that may be left out not among them. */
static inline unsigned dns__opt_bytes(const struct dns_query *q)
{
    if (!q->edns)
        return 0;
    return 11u + (q->ecs ? 8u + (q->ecs_source + 7u) / 8u : 0u);
}
/* Appends OPT when the query had one, writes the header, signs, counts. Returns the answer's
 * octets, 0 = send nothing. room: all there is but for the signature. */
size_t dns__finish(struct dns__compose *c, size_t room);

#endif
