/* SPDX-License-Identifier: Apache-2.0
 *
 * Echo packets. See icmp_packet.h.
 */
#include "health/icmp_packet.h"

#include <string.h>
#include <sys/socket.h>

#define ECHO_HEADER   8
#define IPV4_HEADER   20
#define IPV6_HEADER   40
#define PROTOCOL_ICMP 1
#define NEXT_ICMPV6   58

enum { V4_REPLY = 0, V4_UNREACHABLE = 3, V4_REQUEST = 8, V4_TIME_EXCEEDED = 11 };
enum { V6_UNREACHABLE = 1, V6_TIME_EXCEEDED = 3, V6_REQUEST = 128, V6_REPLY = 129 };

static const uint8_t mark[8] = "gtm-echo";

/* RFC 1071, over an even number of octets. */
static uint16_t checksum(const uint8_t *p, size_t len)
{
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < len; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

void health_echo_write(int family, const struct health_echo *echo, uint8_t out[HEALTH_ECHO_BYTES])
{
    memset(out, 0, HEALTH_ECHO_BYTES);
    out[0] = family == AF_INET ? V4_REQUEST : V6_REQUEST;
    out[4] = (uint8_t)(echo->id >> 8);
    out[5] = (uint8_t)echo->id;
    out[6] = (uint8_t)(echo->seq >> 8);
    out[7] = (uint8_t)echo->seq;
    memcpy(out + 8, mark, sizeof(mark));
    memcpy(out + 16, &echo->index, sizeof(echo->index));
    memcpy(out + 20, echo->nonce, sizeof(echo->nonce));
    if (family == AF_INET) {
        uint16_t sum = checksum(out, HEALTH_ECHO_BYTES);
        out[2] = (uint8_t)(sum >> 8);
        out[3] = (uint8_t)sum;
    }
}

/* An echo, from its header on; false unless all of it is there and it is one of ours. */
static bool read_echo(const uint8_t *p, size_t len, struct health_echo *echo)
{
    if (len < HEALTH_ECHO_BYTES || memcmp(p + ECHO_HEADER, mark, sizeof(mark)) != 0)
        return false;
    echo->id = (uint16_t)(p[4] << 8 | p[5]);
    echo->seq = (uint16_t)(p[6] << 8 | p[7]);
    memcpy(&echo->index, p + 16, sizeof(echo->index));
    memcpy(echo->nonce, p + 20, sizeof(echo->nonce));
    return true;
}

/* The octets of an IPv4 header, or 0. */
static size_t ipv4_header(const uint8_t *p, size_t len)
{
    size_t n = len >= IPV4_HEADER && p[0] >> 4 == 4 ? (size_t)(p[0] & 15) * 4 : 0;
    return n >= IPV4_HEADER && n <= len && p[9] == PROTOCOL_ICMP ? n : 0;
}

/* Where the request stands in the packet that an error quotes; len when it does not. */
static size_t quoted(int family, const uint8_t *p, size_t len)
{
    size_t n = 0;
    if (family == AF_INET)
        n = ipv4_header(p, len);
    else if (len >= IPV6_HEADER && p[0] >> 4 == 6 && p[6] == NEXT_ICMPV6)
        n = IPV6_HEADER;
    uint8_t request = family == AF_INET ? V4_REQUEST : V6_REQUEST;
    return n > 0 && n < len && p[n] == request ? n : len;
}

bool health_echo_read_request(int family, const uint8_t *p, size_t len, struct health_echo *echo)
{
    return len > 0 && p[0] == (family == AF_INET ? V4_REQUEST : V6_REQUEST) &&
           read_echo(p, len, echo);
}

enum health_echo_kind health_echo_read(int family, bool header, const uint8_t *p, size_t len,
                                       struct health_echo *echo)
{
    bool v4 = family == AF_INET;
    if (header) {
        size_t n = ipv4_header(p, len);
        if (n == 0)
            return HEALTH_ECHO_OTHER;
        p += n;
        len -= n;
    }
    if (len < ECHO_HEADER)
        return HEALTH_ECHO_OTHER;
    if (p[0] == (v4 ? V4_REPLY : V6_REPLY))
        return p[1] == 0 && read_echo(p, len, echo) ? HEALTH_ECHO_REPLY : HEALTH_ECHO_OTHER;
    bool error = v4 ? p[0] == V4_UNREACHABLE || p[0] == V4_TIME_EXCEEDED
                    : p[0] == V6_UNREACHABLE || p[0] == V6_TIME_EXCEEDED;
    if (!error)
        return HEALTH_ECHO_OTHER;
    p += ECHO_HEADER;
    len -= ECHO_HEADER;
    size_t at = quoted(family, p, len);
    return read_echo(p + at, len - at, echo) ? HEALTH_ECHO_UNREACHABLE : HEALTH_ECHO_OTHER;
}
