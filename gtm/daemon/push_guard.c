/* SPDX-License-Identifier: Apache-2.0
 *
 * A bucket of wrong tokens for each address: ten at once, then one in six seconds. See push_int.h;
 * pure.
 */
#include "gtm/daemon/push_int.h"

#include <netinet/in.h>
#include <string.h>

#define BURST  10.0
#define PER_MS (1.0 / 6000)

static void net_of(const struct sockaddr *from, uint8_t net[8])
{
    memset(net, 0, 8);
    if (from->sa_family == AF_INET) {
        memcpy(net, &((const struct sockaddr_in *)from)->sin_addr, 4);
        net[7] = 4;
    } else if (from->sa_family == AF_INET6) {
        const struct in6_addr *addr = &((const struct sockaddr_in6 *)from)->sin6_addr;
        memcpy(net, addr, 8);
    }
}

static size_t slot_of(const struct gtm_push_guard *guard, const uint8_t net[8])
{
    uint64_t h;
    memcpy(&h, net, sizeof(h));
    h = (h ^ guard->seed) * 0x9e3779b97f4a7c15u;
    h = (h ^ (h >> 29)) * 0xbf58476d1ce4e5b9u;
    return (size_t)((h ^ (h >> 32)) % GTM_PUSH_GUARD_SLOTS);
}

static double left_at(const struct gtm_push_guard *guard, size_t i, uint64_t now_ms)
{
    uint64_t at_ms = guard->slots[i].at_ms;
    double left = guard->slots[i].left + (double)(now_ms > at_ms ? now_ms - at_ms : 0) * PER_MS;
    return left < BURST ? left : BURST;
}

bool gtm_push__guard_allows(const struct gtm_push_guard *guard, const struct sockaddr *from,
                            uint64_t now_ms)
{
    uint8_t net[8];
    net_of(from, net);
    size_t i = slot_of(guard, net);
    return guard->slots[i].at_ms == 0 || memcmp(guard->slots[i].net, net, 8) != 0 ||
           left_at(guard, i, now_ms) >= 1;
}

void gtm_push__guard_failed(struct gtm_push_guard *guard, const struct sockaddr *from,
                            uint64_t now_ms)
{
    uint8_t net[8];
    net_of(from, net);
    size_t i = slot_of(guard, net);
    bool known = guard->slots[i].at_ms != 0 && memcmp(guard->slots[i].net, net, 8) == 0;
    double left = known ? left_at(guard, i, now_ms) : BURST;
    memcpy(guard->slots[i].net, net, 8);
    guard->slots[i].left = left >= 1 ? left - 1 : 0;
    guard->slots[i].at_ms = now_ms ? now_ms : 1;
}
