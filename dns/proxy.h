/* SPDX-License-Identifier: Apache-2.0
 *
 * The PROXY protocol, version 2 (HAProxy's specification, 2020): who the client behind a proxy is.
 * Pure, any thread. Bounded: a header with more than DNS_PROXY_MAX octets is refused.
 */
#ifndef DNS_PROXY_H
#define DNS_PROXY_H

#include "dns/answer.h"

#include <stddef.h>
#include <stdint.h>

#define DNS_PROXY_MAX 536 /* octets of a header, TLVs included */

enum dns_proxy_result {
    DNS_PROXY_MORE = 0, /* what is there may be the beginning of a header */
    DNS_PROXY_CLIENT,   /* client's family and address are set */
    DNS_PROXY_LOCAL, /* the proxy speaks for itself (LOCAL, or AF_UNSPEC): client is left alone */
    DNS_PROXY_BAD    /* no header, another version, or one that contradicts itself */
};
/* Reads a header at the beginning of data; *ret_len is its octets for CLIENT and LOCAL. `datagram`:
 * the transport is UDP, the data is whole (never MORE). */
enum dns_proxy_result dns_proxy_read(const uint8_t *data, size_t len, bool datagram,
                                     struct dns_client *client, size_t *ret_len);

#endif
