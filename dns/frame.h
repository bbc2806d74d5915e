/* SPDX-License-Identifier: Apache-2.0
 *
 * DNS messages in a byte stream (RFC 1035 4.2.2, RFC 7766 8): two octets of length before each,
 * arriving in segments of any size. Pure but for the memory of a message that came in pieces, which
 * never exceeds twice what has arrived of it. Internal to dns/; one thread at a time.
 */
#ifndef DNS_FRAME_H
#define DNS_FRAME_H

#include "gtm/base/err.h"

#include <stddef.h>
#include <stdint.h>

#define DNS_FRAME_MIN 12 /* octets: a DNS header; nothing shorter can be answered */

/* Zero-initialise, then dns_frame_fini. */
struct dns_frame {
    uint8_t head[2];
    unsigned head_len; /* octets of the length that have come */
    uint8_t *part;     /* the message so far, when it came in pieces */
    size_t part_len, part_cap;
};

/* Takes octets from *data (moving it and *len on) up to the end of one message. 1: a message is at
 * *ret_msg, in the segment itself or in the frame, until the next call. 0: the segment is used up.
 * GTM_EPARSE: the length announced is below DNS_FRAME_MIN; GTM_ENOMEM. After an error the stream
 * cannot be read on. */
int dns_frame_next(struct dns_frame *frame, const uint8_t **data, size_t *len,
                   const uint8_t **ret_msg, size_t *ret_msg_len) GTM_MUST_CHECK;
void dns_frame_fini(struct dns_frame *frame);

#endif
