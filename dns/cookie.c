/* SPDX-License-Identifier: Apache-2.0
 *
 * DNS cookies; see cookie.h. Pure.
 */
#include "dns/cookie.h"

#include "dns/rr.h"

#include <string.h>

/* ---- SipHash ---- */

static uint64_t get64le(const uint8_t *p)
{
    uint64_t v = 0;

    for (unsigned i = 8; i-- > 0;)
        v = v << 8 | p[i];
    return v;
}

static inline uint64_t rotl(uint64_t v, unsigned by)
{
    return v << by | v >> (64 - by);
}

static inline void sip_rounds(uint64_t v[4], unsigned rounds)
{
    while (rounds-- > 0) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotl(v[1], 13) ^ v[0];
        v[3] = rotl(v[3], 16) ^ v[2];
        v[0] = rotl(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotl(v[1], 17) ^ v[2];
        v[3] = rotl(v[3], 21) ^ v[0];
        v[2] = rotl(v[2], 32);
    }
}

static inline void sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_rounds(v, 2);
    v[0] ^= word;
}

void dns_siphash24(const uint8_t key[16], const uint8_t *data, size_t len, uint8_t out[8])
{
    uint64_t k0 = get64le(key), k1 = get64le(key + 8), last = (uint64_t)len << 56;
    uint64_t v[4] = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u,
                     k1 ^ 0x7465646279746573u};
    size_t i = 0;

    for (; i + 8 <= len; i += 8)
        sip_word(v, get64le(data + i));
    for (unsigned k = 0; i + k < len; k++)
        last |= (uint64_t)data[i + k] << (8 * k);
    sip_word(v, last);
    v[2] ^= 0xff;
    sip_rounds(v, 4);
    uint64_t h = v[0] ^ v[1] ^ v[2] ^ v[3];
    for (unsigned k = 0; k < 8; k++)
        out[k] = (uint8_t)(h >> (8 * k));
}

/* ---- cookies ---- */

/* The hash over client cookie, version, reserved octets, time and address (RFC 9018 4.4). */
static void hash_of(const uint8_t key[16], const uint8_t first16[16], uint8_t family,
                    const uint8_t *addr, uint8_t out[8])
{
    uint8_t data[32];
    size_t octets = family == 4 ? 4 : 16;

    memcpy(data, first16, 16);
    memcpy(data + 16, addr, octets);
    dns_siphash24(key, data, 16 + octets, out);
}

void dns_cookie_make(const uint8_t key[16], const uint8_t client[DNS_COOKIE_CLIENT_BYTES],
                     uint8_t family, const uint8_t *addr, uint32_t now_s,
                     uint8_t out[DNS_COOKIE_BYTES])
{
    memcpy(out, client, 8);
    dns_put32(out + 8, 1u << 24); /* version 1, reserved octets zero */
    dns_put32(out + 12, now_s);
    hash_of(key, out, family, addr, out + 16);
}

bool dns_cookie_good(const uint8_t (*keys)[16], size_t keys_count, const uint8_t *option,
                     size_t len, uint8_t family, const uint8_t *addr, uint32_t now_s)
{
    uint8_t want[8];

    if (len != DNS_COOKIE_BYTES || option[8] != 1)
        return false;
    int32_t age = (int32_t)(now_s - dns_get32(option + 12)); /* serial arithmetic (RFC 1982) */
    if (age > DNS_COOKIE_PAST_S || age < -DNS_COOKIE_FUTURE_S)
        return false;
    for (size_t i = 0; i < keys_count; i++) {
        unsigned diff = 0;
        hash_of(keys[i], option, family, addr, want);
        for (unsigned k = 0; k < 8; k++) /* in constant time */
            diff |= (unsigned)(want[k] ^ option[16 + k]);
        if (diff == 0)
            return true;
    }
    return false;
}
