/* SPDX-License-Identifier: Apache-2.0
 *
 * Addresses of both families as one 128-bit number with the first bit of the address on top, so
 * that networks of IPv4 and IPv6 are handled by the same code. An IPv4 range covers the lower 96
 * bits too: its last address ends in ones. Pure; private to dns/.
 */
#ifndef DNS_KEY128_H
#define DNS_KEY128_H

#include <stdint.h>

__extension__ typedef unsigned __int128 dns__key;

#define DNS__KEY_MAX (~(dns__key)0)

static inline dns__key dns__key_from(uint64_t hi, uint64_t lo)
{
    return (dns__key)hi << 64 | lo;
}

static inline uint64_t dns__key_hi(dns__key key)
{
    return (uint64_t)(key >> 64);
}

static inline uint64_t dns__key_lo(dns__key key)
{
    return (uint64_t)key;
}

static inline dns__key dns__key_from4(uint32_t addr)
{
    return dns__key_from((uint64_t)addr << 32, 0);
}

/* From bytes in network order; family 4 or 6. */
static inline dns__key dns__key_bytes(int family, const uint8_t *addr)
{
    dns__key key = 0;
    unsigned bytes = family == 4 ? 4 : 16;
    for (unsigned i = 0; i < bytes; i++)
        key = key << 8 | addr[i];
    return family == 4 ? key << 96 : key;
}

/* Ones after the first prefix_len bits (0..128). */
static inline dns__key dns__key_tail(unsigned prefix_len)
{
    return prefix_len >= 128 ? 0 : DNS__KEY_MAX >> prefix_len;
}

/* Leading zero bits, 128 for zero. */
static inline unsigned dns__key_clz(dns__key key)
{
    uint64_t hi = dns__key_hi(key), lo = dns__key_lo(key);
    if (hi)
        return (unsigned)__builtin_clzll(hi);
    return lo ? 64 + (unsigned)__builtin_clzll(lo) : 128;
}

/* The length of the largest aligned network that holds `key` and lies inside [first, last]. It must
 * share neither the address before nor the one after the range, hence be longer than what `key` has
 * in common with each of them. */
static inline unsigned dns__key_fit(dns__key key, dns__key first, dns__key last)
{
    unsigned low = first == 0 ? 0 : dns__key_clz(key ^ (first - 1)) + 1;
    unsigned high = last == DNS__KEY_MAX ? 0 : dns__key_clz(key ^ (last + 1)) + 1;
    return low > high ? low : high;
}

#endif
