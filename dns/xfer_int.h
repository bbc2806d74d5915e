/* SPDX-License-Identifier: Apache-2.0
 *
 * A transfer under way, and the parts of its messages: shared by dns/xfer_out.c (the records) and
 * dns/xfer_request.c (who may, and answers of one message). Internal to dns/.
 */
#ifndef DNS_XFER_INT_H
#define DNS_XFER_INT_H

#include "dns/rr.h"
#include "dns/steer_int.h"
#include "dns/tsig.h"
#include "dns/xfer_out.h"
#include "dns/zone_cursor.h"

#define DNS__XFER_NAMES 2048u /* places for owners' suffixes of one message */
#define DNS__XFER_OPT   11u   /* octets of an OPT record without options */

enum dns__xfer_phase { DNS__XFER_FIRST = 0, DNS__XFER_BODY, DNS__XFER_DONE };

struct dns__xfer_name {
    uint16_t tag; /* of the suffix's hash */
    uint16_t at;  /* place in the message, 0 = free */
};

struct dns_xfer_out {
    struct dns_view *view;
    const struct dns_view_zone *zone;
    struct dns_tsig tsig;
    bool edns;
    uint8_t head[4]; /* id and flags of the request */
    uint8_t question[DNS_NAME_MAX + 4];
    unsigned question_len;

    enum dns__xfer_phase phase;
    struct dns_zone_cursor cursor;
    struct dns_zone_rr record; /* the last one taken, */
    bool waiting;              /* which did not fit into the message before */
    struct dns_zone_rr dynamic;
    const struct dns_choice *choice; /* what is given for it, NULL = none */
    uint32_t choice_record, choice_records, choice_given;

    unsigned names_count;
    struct dns__xfer_name names[DNS__XFER_NAMES];
    uint8_t rdata[DNS_ZONE_CURSOR_RDATA];
};

/* May this client, whose request was signed with key (NULL = not), have the zone? Returns the RCODE
 * of the answer, and an extended error or -1; for NOERROR the zone, and whether its SOA alone is
 * the answer (an IXFR by UDP, or of a client that is up to date). Signatures were judged before. */
unsigned dns__xfer_judge(const struct dns_query *q, const struct dns_view *view,
                         const struct dns_client *client, const struct dns_tsig_key *key,
                         const struct dns_view_zone **ret_zone, bool *ret_only_soa, int *ret_ede);
/* A transfer of zone (one of the view's); NULL: out of memory. */
struct dns_xfer_out *dns__xfer_new(const struct dns_query *q, const struct dns_view *view,
                                   const struct dns_view_zone *zone, const struct dns_tsig *tsig);
/* The header of an answer to a request whose first four octets are head, without records. */
void dns__xfer_head(uint8_t *out, const uint8_t head[4], unsigned rcode, bool aa);
/* Puts the question behind the header; returns where it ends. */
size_t dns__xfer_question(uint8_t *out, const uint8_t *question, size_t len);
/* Appends OPT, with an extended error when ede ≥ 0; returns where it ends. */
size_t dns__xfer_opt(uint8_t *out, size_t len, int ede, unsigned rcode);

#endif
