/* SPDX-License-Identifier: Apache-2.0
 *
 * Connecting without waiting, for the kinds that bring their own sockets. Internal to health.
 */
#ifndef GTM_HEALTH_CONNECT_H
#define GTM_HEALTH_CONNECT_H

#include "gtm/base/err.h"

struct health_spec;

/* Opens a socket (type SOCK_STREAM or SOCK_DGRAM, close-on-exec, non-blocking, TCP_NODELAY) and
 * begins to connect it to the target. 0 and *ret_fd, also while connecting; else errno. */
int health_connect(const struct health_spec *spec, int type, int *ret_fd) GTM_MUST_CHECK;

/* Once the socket is writable: 0 when it is connected, else errno. A connection to itself, which
 * the kernel makes now and then when nobody listens on a port of the ephemeral range, is
 * ECONNREFUSED. */
int health_connected(int fd) GTM_MUST_CHECK;

#endif
