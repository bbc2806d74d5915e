/* SPDX-License-Identifier: Apache-2.0
 *
 * Opens and binds the server's sockets. Internal to dns/.
 */
#ifndef DNS_SOCKET_H
#define DNS_SOCKET_H

#include "dns/server.h"
#include "gtm/base/err.h"

#include <stdbool.h>

/* A bound UDP socket with SO_REUSEPORT (one for each worker), without path-MTU fragments (RFC
 * 8085 3.2; answers are small). *ret_wildcard: bound to no particular address, so packet info is
 * delivered. GTM_EEXIST = in use by somebody else, GTM_EDENIED, GTM_EIO; err names the address. */
int dns__socket_udp(const struct dns_listen *listen, int *ret_fd, bool *ret_wildcard,
                    struct gtm_error *err) GTM_MUST_CHECK;
/* A listening, non-blocking TCP socket; port 0 is replaced in *listen by the one chosen. */
int dns__socket_tcp(struct dns_listen *listen, int *ret_fd, struct gtm_error *err) GTM_MUST_CHECK;
/* Is fd a socket of that type (SOCK_DGRAM, or SOCK_STREAM and listening), bound to an address of
 * IP? Fills *ret. */
bool dns__socket_bound(int fd, int type, struct dns_listen *ret);
/* Is `bound` the address wanted? Port 0 wants any. */
bool dns__socket_same(const struct dns_listen *want, const struct dns_listen *bound);
bool dns__socket_wildcard(const struct dns_listen *listen);
uint16_t dns__socket_port(const struct dns_listen *listen);
void dns__socket_set_port(struct dns_listen *listen, uint16_t port);

#endif
