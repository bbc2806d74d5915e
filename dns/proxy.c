/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads PROXY headers; see proxy.h. Happy path: signature, version 2, command PROXY, an address
 * block of the family named, TLVs skipped. Everything else is LOCAL, MORE or BAD. Pure.
 */
#include "dns/proxy.h"

#include "dns/rr.h"

#include <string.h>

enum { HEADER = 16, V4_BLOCK = 12, V6_BLOCK = 36, UNIX_BLOCK = 216 };
enum { COMMAND_LOCAL = 0x20, COMMAND_PROXY = 0x21 };
enum { FAMILY_UNSPEC = 0, FAMILY_INET = 1, FAMILY_INET6 = 2, FAMILY_UNIX = 3 };

static const uint8_t signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                      0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};
static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* The client of a whole address block. */
static enum dns_proxy_result read_addresses(unsigned family, const uint8_t *block, size_t len,
                                            struct dns_client *client)
{
    if (family == FAMILY_UNSPEC || (family == FAMILY_UNIX && len >= UNIX_BLOCK))
        return DNS_PROXY_LOCAL; /* an address that means nothing here */
    if (family == FAMILY_INET && len >= V4_BLOCK) {
        client->family = 4;
        memcpy(client->addr, block, 4);
        return DNS_PROXY_CLIENT;
    }
    if (family != FAMILY_INET6 || len < V6_BLOCK)
        return DNS_PROXY_BAD;
    if (memcmp(block, mapped, sizeof(mapped)) == 0) {
        client->family = 4;
        memcpy(client->addr, block + 12, 4);
    } else {
        client->family = 6;
        memcpy(client->addr, block, 16);
    }
    return DNS_PROXY_CLIENT;
}

enum dns_proxy_result dns_proxy_read(const uint8_t *data, size_t len, bool datagram,
                                     struct dns_client *client, size_t *ret_len)
{
    enum dns_proxy_result more = datagram ? DNS_PROXY_BAD : DNS_PROXY_MORE;
    size_t seen = len < sizeof(signature) ? len : sizeof(signature);

    if (memcmp(data, signature, seen) != 0)
        return DNS_PROXY_BAD;
    if (len > 12 && data[12] != COMMAND_LOCAL && data[12] != COMMAND_PROXY)
        return DNS_PROXY_BAD;
    /* family above transport: unspecified, stream or datagram; a proxy may speak UDP to us for a
     * client of its TCP, so either fits */
    if (len > 13 && (data[13] >> 4 > FAMILY_UNIX || (data[13] & 15) > 2))
        return DNS_PROXY_BAD;
    if (len < HEADER)
        return more;
    size_t block = dns_get16(data + 14);
    if (HEADER + block > DNS_PROXY_MAX)
        return DNS_PROXY_BAD;
    if (len < HEADER + block)
        return more;
    *ret_len = HEADER + block;
    if (data[12] == COMMAND_LOCAL)
        return DNS_PROXY_LOCAL;
    return read_addresses(data[13] >> 4, data + HEADER, block, client);
}
