/* SPDX-License-Identifier: Apache-2.0
 *
 * Sockets with the options that a DNS server wants.
 */
#include "dns/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define UDP_RECEIVE_BYTES (4 << 20) /* bursts; the kernel's limit may make it less */
#define TCP_BACKLOG       1024

uint16_t dns__socket_port(const struct dns_listen *listen)
{
    if (listen->addr.ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)(const void *)&listen->addr)->sin_port);
    return ntohs(((const struct sockaddr_in6 *)(const void *)&listen->addr)->sin6_port);
}

void dns__socket_set_port(struct dns_listen *listen, uint16_t port)
{
    if (listen->addr.ss_family == AF_INET)
        ((struct sockaddr_in *)(void *)&listen->addr)->sin_port = htons(port);
    else
        ((struct sockaddr_in6 *)(void *)&listen->addr)->sin6_port = htons(port);
}

static void address_text(const struct dns_listen *listen, char out[80])
{
    char ip[INET6_ADDRSTRLEN] = "?";

    if (listen->addr.ss_family == AF_INET) {
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)&listen->addr)->sin_addr, ip,
                  sizeof(ip));
        snprintf(out, 80, "%s:%u", ip, dns__socket_port(listen));
    } else {
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)&listen->addr)->sin6_addr,
                  ip, sizeof(ip));
        snprintf(out, 80, "[%s]:%u", ip, dns__socket_port(listen));
    }
}

static int fail(int fd, const struct dns_listen *listen, const char *proto, const char *what,
                struct gtm_error *err)
{
    int errnum = errno;
    char text[80];
    const char *hint = "";

    address_text(listen, text);
    if (fd >= 0)
        close(fd);
    if (errnum == EADDRINUSE)
        hint = " (another DNS server? see: ss -lunp)";
    else if (errnum == EACCES || errnum == EPERM)
        hint = " (ports below 1024 need CAP_NET_BIND_SERVICE)";
    else if (errnum == EADDRNOTAVAIL)
        hint = " (this machine has no such address)";
    int code = errnum == EADDRINUSE                  ? GTM_EEXIST
               : errnum == EACCES || errnum == EPERM ? GTM_EDENIED
                                                     : GTM_EIO;
    return gtm_error_set(err, code, "cannot %s %s %s: %s%s", what, proto, text, strerror(errnum),
                         hint);
}

bool dns__socket_wildcard(const struct dns_listen *listen)
{
    if (listen->addr.ss_family == AF_INET)
        return ((const struct sockaddr_in *)(const void *)&listen->addr)->sin_addr.s_addr ==
               htonl(INADDR_ANY);
    return IN6_IS_ADDR_UNSPECIFIED(
        &((const struct sockaddr_in6 *)(const void *)&listen->addr)->sin6_addr);
}

static int set(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value));
}

/* Our workers share an address by SO_REUSEPORT, which would also let a second server of the same
 * user in: the TCP listener, which is opened first and shares nothing, keeps it out. */
int dns__socket_udp(const struct dns_listen *listen, int *ret_fd, bool *ret_wildcard,
                    struct gtm_error *err)
{
    bool v6 = listen->addr.ss_family == AF_INET6;
    int fd = socket(listen->addr.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return fail(fd, listen, "UDP", "open", err);
    *ret_wildcard = dns__socket_wildcard(listen);
    if (set(fd, SOL_SOCKET, SO_REUSEPORT, 1) != 0 ||
        (v6 && set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) != 0) ||
        (*ret_wildcard &&
         set(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, 1) != 0))
        return fail(fd, listen, "UDP", "set up", err);
    (void)set(fd, SOL_SOCKET, SO_RCVBUF, UDP_RECEIVE_BYTES); /* as much as the kernel allows */
    if (v6)
        (void)set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_OMIT);
    else
        (void)set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT);
    if (bind(fd, (const struct sockaddr *)&listen->addr, listen->addr_len) != 0)
        return fail(fd, listen, "UDP", "listen on", err);
    *ret_fd = fd;
    return 0;
}

int dns__socket_tcp(struct dns_listen *at, int *ret_fd, struct gtm_error *err)
{
    bool v6 = at->addr.ss_family == AF_INET6;
    int fd = socket(at->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return fail(fd, at, "TCP", "open", err);
    if (set(fd, SOL_SOCKET, SO_REUSEADDR, 1) != 0 || set(fd, IPPROTO_TCP, TCP_NODELAY, 1) != 0 ||
        (v6 && set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) != 0))
        return fail(fd, at, "TCP", "set up", err);
    if (bind(fd, (const struct sockaddr *)&at->addr, at->addr_len) != 0 ||
        listen(fd, TCP_BACKLOG) != 0)
        return fail(fd, at, "TCP", "listen on", err);
    struct sockaddr_storage bound;
    socklen_t len = sizeof(bound);
    if (getsockname(fd, (struct sockaddr *)&bound, &len) != 0)
        return fail(fd, at, "TCP", "read the address of", err);
    at->addr = bound;
    *ret_fd = fd;
    return 0;
}

bool dns__socket_bound(int fd, int type, struct dns_listen *ret)
{
    int is = 0, listening = 0;
    socklen_t len = sizeof(is);

    *ret = (struct dns_listen){.addr_len = sizeof(ret->addr)};
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &is, &len) != 0 || is != type)
        return false;
    len = sizeof(listening);
    if (type == SOCK_STREAM &&
        (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) != 0 || !listening))
        return false;
    return getsockname(fd, (struct sockaddr *)&ret->addr, &ret->addr_len) == 0 &&
           (ret->addr.ss_family == AF_INET || ret->addr.ss_family == AF_INET6) &&
           dns__socket_port(ret) != 0;
}

bool dns__socket_same(const struct dns_listen *want, const struct dns_listen *bound)
{
    if (want->addr.ss_family != bound->addr.ss_family ||
        (dns__socket_port(want) != 0 && dns__socket_port(want) != dns__socket_port(bound)))
        return false;
    if (want->addr.ss_family == AF_INET) {
        const struct sockaddr_in *a = (const void *)&want->addr, *b = (const void *)&bound->addr;
        return a->sin_addr.s_addr == b->sin_addr.s_addr;
    }
    const struct sockaddr_in6 *a = (const void *)&want->addr, *b = (const void *)&bound->addr;
    return memcmp(&a->sin6_addr, &b->sin6_addr, sizeof(a->sin6_addr)) == 0 &&
           (a->sin6_scope_id == 0 || a->sin6_scope_id == b->sin6_scope_id);
}
