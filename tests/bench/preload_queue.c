/* SPDX-License-Identifier: Apache-2.0
 *
 * A library to preload into name servers that have no setting for the receive queue of their UDP
 * sockets: gives each the size that the other servers of the benchmark have, so that all are
 * measured with the same number of queries waiting. Not part of gtm.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <sys/socket.h>

#define QUEUE_BYTES (1 << 20)

int socket(int domain, int type, int protocol)
{
    static int (*next)(int, int, int);
    int queue = QUEUE_BYTES, fd;

    if (next == NULL)
        next = (int (*)(int, int, int))dlsym(RTLD_NEXT, "socket");
    fd = next(domain, type, protocol);
    if (fd >= 0 && domain == AF_INET) /* streams do not mind */
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &queue, sizeof(queue));
    return fd;
}
