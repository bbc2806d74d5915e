/* SPDX-License-Identifier: Apache-2.0
 *
 * DNS cookies (RFC 7873) as servers of one service make them alike (RFC 9018: version 1,
 * SipHash-2-4). Pure, any thread; no clock of its own.
 */
#ifndef DNS_COOKIE_H
#define DNS_COOKIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_COOKIE_CLIENT_BYTES 8
#define DNS_COOKIE_BYTES        24 /* the client's part and ours */
#define DNS_COOKIE_PAST_S       3600
#define DNS_COOKIE_FUTURE_S     300

/* Is len an option's legal length: the client's part alone, or with 8 to 32 octets of a server's?
 */
static inline bool dns_cookie_length_legal(size_t len)
{
    return len == 8 || (len >= 16 && len <= 40);
}
/* Writes the cookie for a client: family 4 or 6, addr in network order. */
void dns_cookie_make(const uint8_t key[16], const uint8_t client[DNS_COOKIE_CLIENT_BYTES],
                     uint8_t family, const uint8_t *addr, uint32_t now_s,
                     uint8_t out[DNS_COOKIE_BYTES]);
/* Was this option (len octets, client's part first) made by one of the keys, for this address, not
 * longer ago than an hour, nor more than five minutes ahead? (RFC 9018 4.3) */
bool dns_cookie_good(const uint8_t (*keys)[16], size_t keys_count, const uint8_t *option,
                     size_t len, uint8_t family, const uint8_t *addr, uint32_t now_s);

/* SipHash-2-4 (Aumasson, Bernstein 2012), its 64 bits as they stand in memory. */
void dns_siphash24(const uint8_t key[16], const uint8_t *data, size_t len, uint8_t out[8]);

#endif
