/* SPDX-License-Identifier: Apache-2.0
 *
 * See sdnotify.h.
 */
#include "gtm/daemon/sdnotify.h"

#include "gtm/base/clock.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void gtm_sdnotify(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    size_t len = path ? strlen(path) : 0;
    if (len < 2 || len >= sizeof(addr.sun_path) || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(addr.sun_path, path, len);
    if (path[0] == '@')
        addr.sun_path[0] = 0; /* the abstract namespace */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    socklen_t addr_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    (void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&addr, addr_len);
    close(fd);
}

void gtm_sdnotify_reloading(void)
{
    char text[64];
    snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
             (unsigned long long)(gtm_mono_ns(gtm_clock_system()) / 1000));
    gtm_sdnotify(text);
}

static uint64_t number(const char *text)
{
    char *end = NULL;
    errno = 0;
    unsigned long long v = text && *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0;
    return end && !*end && !errno ? v : 0;
}

uint64_t gtm_sdnotify_watchdog_ms(void)
{
    const char *pid = getenv("WATCHDOG_PID");
    if (pid && number(pid) != (uint64_t)getpid())
        return 0;
    return number(getenv("WATCHDOG_USEC")) / 2000;
}
