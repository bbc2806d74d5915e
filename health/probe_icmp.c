/* SPDX-License-Identifier: Apache-2.0
 *
 * The icmp probe: an echo request, and its reply. All probes of an engine share one socket for each
 * family: a ping socket (net.ipv4.ping_group_range), which needs no privilege, else a raw one
 * (CAP_NET_RAW). It is opened by the first probe, and tried again by each while it is refused.
 *
 * Happy path: start → a place in the table → the request with its index and a nonce → the reply
 * with both, from that address → complete. Failure modes: replies of others, forged, late or of
 * requests that are gone find no place with their nonce and are dropped; an ICMP error that quotes
 * the request is unreachable; no permission, no descriptors and a full send buffer are failures of
 * this host. The engine's thread. See probe.h.
 */
#include "health/probe.h"

#include "gtm/base/mem.h"
#include "gtm/base/rand.h"
#include "health/icmp_packet.h"
#include "health/probe_icmp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PACKET_MAX    1500
#define READS_MAX     64      /* in a row; then other sockets get their turn */
#define RECEIVE_BYTES 1048576 /* of the socket: replies may come all at once */
#define FAMILIES      2
#define NO_PLACE      UINT32_MAX

struct run {
    struct prober *prober;
    struct health_probe *probe;
    uint32_t index;
    uint16_t seq;
    uint8_t nonce[HEALTH_NONCE_BYTES];
};

struct place { /* of a request that waits */
    struct run *run;
    uint32_t next_free; /* while run is NULL */
};

struct port { /* one family's socket */
    struct health_icmp *icmp;
    int family, fd;
    bool raw;
    uint16_t id; /* raw: ours; a ping socket has the kernel's */
    struct event ev;
};

struct health_icmp {
    struct health_io *io;
    struct port ports[FAMILIES];
    struct place *places;
    size_t places_cap;
    uint32_t places_count, free_place;
    uint16_t seq;
};

struct prober {
    struct health_io *io;
    struct health_icmp *icmp;
    const struct health_spec *spec;
};

/* --- the table --- */

static bool take_place(struct health_icmp *icmp, struct run *run)
{
    uint32_t index = icmp->free_place;
    if (index != NO_PLACE) {
        icmp->free_place = icmp->places[index].next_free;
    } else {
        index = icmp->places_count;
        void *places = icmp->places;
        if (gtm_grow(&places, &icmp->places_cap, (size_t)index + 1, sizeof(struct place)) != GTM_OK)
            return false;
        icmp->places = places;
        icmp->places_count++;
    }
    icmp->places[index] = (struct place){.run = run};
    run->index = index;
    return true;
}

static void release(struct run *run)
{
    struct health_icmp *icmp = run->prober->icmp;
    icmp->places[run->index] = (struct place){.next_free = icmp->free_place};
    icmp->free_place = run->index;
    run->probe->run = NULL;
    gtm_free(run);
}

/* Who asked for this echo, or NULL. */
static struct run *find(const struct port *port, const struct health_echo *echo)
{
    const struct health_icmp *icmp = port->icmp;
    if (echo->index >= icmp->places_count || (port->raw && echo->id != port->id))
        return NULL;
    struct run *run = icmp->places[echo->index].run;
    if (!run || run->seq != echo->seq || memcmp(run->nonce, echo->nonce, sizeof(run->nonce)) != 0 ||
        run->prober->spec->addr.ss_family != port->family)
        return NULL;
    return run;
}

/* --- receiving --- */

static void finish(struct run *run, enum health_result result, int os_error)
{
    struct health_probe *probe = run->probe;
    struct health_outcome o = {.phase = HEALTH_PHASE_ANSWER, .result = result};
    if (result == HEALTH_RESULT_NONE)
        health_outcome_from_errno(&o, os_error);
    else if (result == HEALTH_RESULT_OK)
        o.text = gtm_strdup("echo reply");
    release(run);
    health__probe_complete(probe, &o);
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    if (a->ss_family != b->ss_family)
        return false;
    if (a->ss_family == AF_INET)
        return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
               ((const struct sockaddr_in *)b)->sin_addr.s_addr;
    return memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
                  &((const struct sockaddr_in6 *)b)->sin6_addr, sizeof(struct in6_addr)) == 0;
}

static void take_packet(const struct port *port, const uint8_t *packet, size_t len,
                        const struct sockaddr_storage *from)
{
    struct health_echo echo = {0};
    bool header = port->raw && port->family == AF_INET;
    enum health_echo_kind kind = health_echo_read(port->family, header, packet, len, &echo);
    struct run *run = kind == HEALTH_ECHO_OTHER ? NULL : find(port, &echo);
    if (!run)
        return;
    if (kind == HEALTH_ECHO_UNREACHABLE)
        finish(run, HEALTH_RESULT_NONE, EHOSTUNREACH);
    else if (same_address(from, &run->prober->spec->addr))
        finish(run, HEALTH_RESULT_OK, 0);
}

/* Ping sockets: errors stand in a queue of their own, with the request they are about. False when
 * it is empty. */
static bool take_error(const struct port *port)
{
    uint8_t packet[PACKET_MAX];
    struct iovec iov = {.iov_base = packet, .iov_len = sizeof(packet)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    struct health_echo echo = {0};
    ssize_t n = recvmsg(port->fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT);
    if (n < 0)
        return false;
    if (health_echo_read_request(port->family, packet, (size_t)n, &echo)) {
        struct run *run = find(port, &echo);
        if (run)
            finish(run, HEALTH_RESULT_NONE, EHOSTUNREACH);
    }
    return true;
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
    (void)what;
    const struct port *port = ctx;
    uint8_t packet[PACKET_MAX];
    for (unsigned i = 0; i < READS_MAX; i++) {
        struct sockaddr_storage from = {0};
        socklen_t from_len = sizeof(from);
        ssize_t n =
            recvfrom(fd, packet, sizeof(packet), MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);
        if (n >= 0)
            take_packet(port, packet, (size_t)n, &from);
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            break;
    }
    for (unsigned i = 0; !port->raw && i < READS_MAX && take_error(port); i++)
        ;
}

/* --- the sockets --- */

/* The kernel keeps what is not for us: a raw socket would see all ICMP of this host. */
static void filter(const struct port *port)
{
    int size = RECEIVE_BYTES, one = 1;
    setsockopt(port->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    if (!port->raw) {
        setsockopt(port->fd, port->family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6,
                   port->family == AF_INET ? IP_RECVERR : IPV6_RECVERR, &one, sizeof(one));
    } else if (port->family == AF_INET) {
        struct icmp_filter types = {
            ~(1u << ICMP_ECHOREPLY | 1u << ICMP_DEST_UNREACH | 1u << ICMP_TIME_EXCEEDED)};
        setsockopt(port->fd, SOL_RAW, ICMP_FILTER, &types, sizeof(types));
    } else {
        struct icmp6_filter types;
        ICMP6_FILTER_SETBLOCKALL(&types);
        ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &types);
        ICMP6_FILTER_SETPASS(ICMP6_DST_UNREACH, &types);
        ICMP6_FILTER_SETPASS(ICMP6_TIME_EXCEEDED, &types);
        setsockopt(port->fd, IPPROTO_ICMPV6, ICMP6_FILTER, &types, sizeof(types));
    }
}

/* 0, or errno. */
static int open_port(struct port *port)
{
    int protocol = port->family == AF_INET ? (int)IPPROTO_ICMP : (int)IPPROTO_ICMPV6;
    if (port->fd >= 0)
        return 0;
    int fd = socket(port->family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    bool raw = fd < 0 && (errno == EACCES || errno == EPERM || errno == EPROTONOSUPPORT);
    if (raw)
        fd = socket(port->family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    if (fd < 0)
        return errno;
    port->fd = fd;
    port->raw = raw;
    filter(port);
    event_assign(&port->ev, port->icmp->io->base, fd, EV_READ | EV_PERSIST, on_readable, port);
    if (gtm_rand_secure(&port->id, sizeof(port->id)) == GTM_OK && event_add(&port->ev, NULL) == 0)
        return 0;
    close(fd);
    port->fd = -1;
    return ENOMEM;
}

static struct health_icmp *icmp_of(struct health_io *io)
{
    if (io->icmp)
        return io->icmp;
    struct health_icmp *icmp = gtm_calloc(1, sizeof(*icmp));
    if (!icmp)
        return NULL;
    icmp->io = io;
    icmp->free_place = NO_PLACE;
    icmp->ports[0] = (struct port){.icmp = icmp, .family = AF_INET, .fd = -1};
    icmp->ports[1] = (struct port){.icmp = icmp, .family = AF_INET6, .fd = -1};
    io->icmp = icmp;
    return icmp;
}

void health__icmp_free(struct health_icmp *icmp)
{
    if (!icmp)
        return;
    for (unsigned i = 0; i < FAMILIES; i++)
        if (icmp->ports[i].fd >= 0) {
            event_del(&icmp->ports[i].ev);
            close(icmp->ports[i].fd);
        }
    gtm_free(icmp->places);
    gtm_free(icmp);
}

/* --- probes --- */

static void *icmp_open(struct health_io *io, const struct health_spec *spec)
{
    struct prober *p = gtm_calloc(1, sizeof(*p));
    struct health_icmp *icmp = icmp_of(io);
    if (!p || !icmp) {
        gtm_free(p);
        return NULL;
    }
    *p = (struct prober){.io = io, .icmp = icmp, .spec = spec};
    return p;
}

static void icmp_close(void *ctx)
{
    gtm_free(ctx);
}

/* 0, or errno. A shared socket may tell the error of an earlier request first. */
static int send_echo(const struct port *port, const struct run *run)
{
    struct health_echo echo = {.id = port->id, .seq = run->seq, .index = run->index};
    const struct health_spec *spec = run->prober->spec;
    struct sockaddr_storage to = spec->addr;
    uint8_t packet[HEALTH_ECHO_BYTES];
    memcpy(echo.nonce, run->nonce, sizeof(echo.nonce));
    health_echo_write(port->family, &echo, packet);
    if (port->family == AF_INET)
        ((struct sockaddr_in *)&to)->sin_port = 0;
    else
        ((struct sockaddr_in6 *)&to)->sin6_port = 0;
    for (int i = 0;; i++) {
        if (sendto(port->fd, packet, sizeof(packet), MSG_DONTWAIT | MSG_NOSIGNAL,
                   (struct sockaddr *)&to, spec->addr_len) >= 0)
            return 0;
        if (i > 0)
            return errno == EAGAIN || errno == EWOULDBLOCK ? ENOBUFS : errno;
    }
}

static void fail_here(struct health_probe *probe, int os_error)
{
    struct health_outcome o = {0};
    health_outcome_from_errno(&o, os_error);
    o.result = HEALTH_RESULT_LOCAL;
    if (os_error == EACCES || os_error == EPERM)
        o.text = gtm_strdup("not checked: ICMP needs CAP_NET_RAW, or this process's group in "
                            "net.ipv4.ping_group_range");
    health__probe_complete(probe, &o);
}

static void icmp_start(void *ctx, struct health_probe *probe, bool fresh)
{
    (void)fresh;
    struct prober *p = ctx;
    struct port *port = &p->icmp->ports[p->spec->addr.ss_family == AF_INET ? 0 : 1];
    struct run *run = gtm_calloc(1, sizeof(*run));
    int os_error = run ? open_port(port) : ENOMEM;
    if (os_error == 0 &&
        (gtm_rand_secure(run->nonce, sizeof(run->nonce)) != GTM_OK || !take_place(p->icmp, run)))
        os_error = ENOMEM;
    if (os_error != 0) {
        gtm_free(run);
        fail_here(probe, os_error);
        return;
    }
    run->prober = p;
    run->probe = probe;
    run->seq = ++p->icmp->seq;
    probe->run = run;
    os_error = send_echo(port, run);
    if (os_error != 0)
        finish(run, HEALTH_RESULT_NONE, os_error);
}

static enum health_phase icmp_cancel(void *ctx, struct health_probe *probe)
{
    (void)ctx;
    struct run *run = probe->run;
    release(run);
    return HEALTH_PHASE_ANSWER;
}

const struct health_probe_ops health_probe_icmp = {
    .open = icmp_open, .close = icmp_close, .start = icmp_start, .cancel = icmp_cancel};
