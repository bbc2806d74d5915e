/* SPDX-License-Identifier: Apache-2.0
 *
 * Connecting. See connect.h.
 */
#include "health/connect.h"

#include "health/spec.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int health_connect(const struct health_spec *spec, int type, int *ret_fd)
{
    int one = 1;
    int fd = socket(spec->addr.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    if (type == SOCK_STREAM)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, (const struct sockaddr *)&spec->addr, spec->addr_len) != 0 &&
        errno != EINPROGRESS && errno != EINTR) {
        int os_error = errno;
        close(fd);
        return os_error;
    }
    *ret_fd = fd;
    return 0;
}

static bool connected_to_itself(int fd)
{
    struct sockaddr_storage here, there;
    socklen_t here_len = sizeof(here), there_len = sizeof(there);
    memset(&here, 0, sizeof(here));
    memset(&there, 0, sizeof(there));
    if (getsockname(fd, (struct sockaddr *)&here, &here_len) != 0 ||
        getpeername(fd, (struct sockaddr *)&there, &there_len) != 0)
        return false;
    return here_len == there_len && memcmp(&here, &there, here_len) == 0;
}

int health_connected(int fd)
{
    int os_error = 0;
    socklen_t len = sizeof(os_error);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &os_error, &len) != 0)
        os_error = errno;
    return os_error == 0 && connected_to_itself(fd) ? ECONNREFUSED : os_error;
}
