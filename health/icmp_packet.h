/* SPDX-License-Identifier: Apache-2.0
 *
 * Echo requests of ICMP (RFC 792) and ICMPv6 (RFC 4443), and what comes back. Pure. Internal to
 * health.
 */
#ifndef GTM_HEALTH_ICMP_PACKET_H
#define GTM_HEALTH_ICMP_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEALTH_ECHO_BYTES  40 /* header of 8, mark of 8, index of 4, nonce of 16, 4 of padding */
#define HEALTH_NONCE_BYTES 16

struct health_echo {
    uint16_t id, seq;
    uint32_t index; /* who asked */
    uint8_t nonce[HEALTH_NONCE_BYTES];
};

enum health_echo_kind {
    HEALTH_ECHO_OTHER = 0,  /* none of ours */
    HEALTH_ECHO_REPLY,      /* the answer to the echo */
    HEALTH_ECHO_UNREACHABLE /* a router or the host says that the echo cannot be delivered */
};

/* Writes a request, with the checksum of ICMP; that of ICMPv6 is the kernel's work. */
void health_echo_write(int family, const struct health_echo *echo, uint8_t out[HEALTH_ECHO_BYTES]);

/* Reads a packet of any content. header: an IPv4 header comes first (raw sockets). For UNREACHABLE
 * the echo is the one that the message quotes; one that quotes too little of it is OTHER. */
enum health_echo_kind health_echo_read(int family, bool header, const uint8_t *packet, size_t len,
                                       struct health_echo *ret_echo);
/* The same for a request of ours that the kernel gives back with an error. */
bool health_echo_read_request(int family, const uint8_t *packet, size_t len,
                              struct health_echo *ret_echo);

#endif
