/* SPDX-License-Identifier: Apache-2.0
 *
 * The server's sockets: for each address one TCP listener and a UDP socket for each worker, for
 * each TLS address a listener. Those that another process handed over are taken first, the missing
 * ones are opened. Failure: whatever was opened or handed over is closed, err names the address.
 */
#include "dns/server_int.h"

#include "dns/socket.h"
#include "gtm/base/mem.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

#define THREADS_MAX 256

/* What is being put together. */
struct opening {
    struct dns_server *server;
    const struct dns_server_opts *opts;
    struct gtm_error *err;
    unsigned threads;
    int *inherited; /* a copy; -1 = taken */
    struct dns_stream_socket *streams;
    size_t streams_count;
};

/* The n-th core this process may use, -1 when that cannot be known. */
static int nth_cpu(unsigned n)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return -1;
    n %= (unsigned)CPU_COUNT(&set);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET((unsigned)cpu, &set) && n-- == 0)
            return cpu;
    return -1;
}

static unsigned core_count(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return 1;
    return (unsigned)CPU_COUNT(&set);
}

static void note(struct opening *o, int fd, enum dns_socket_kind kind, const struct dns_listen *at)
{
    o->server->sockets[o->server->sockets_count++] =
        (struct dns_socket){.fd = fd, .kind = kind, .at = *at};
}

/* Takes a socket handed over that is bound to the address; port 0 takes any and is filled in. -1
 * when there is none. */
static int take(struct opening *o, int type, struct dns_listen *at)
{
    for (size_t i = 0; i < o->opts->inherited_count; i++) {
        struct dns_listen bound;
        int fd = o->inherited[i];
        if (fd < 0 || !dns__socket_bound(fd, type, &bound) || !dns__socket_same(at, &bound))
            continue;
        o->inherited[i] = -1;
        *at = bound;
        return fd;
    }
    return -1;
}

static int add_worker(struct opening *o, int fd, bool wildcard, unsigned nth,
                      const struct dns_listen *at)
{
    struct dns_server *s = o->server;
    struct dns_udp_opts opts = {
        .fd = fd, .cpu = nth_cpu(nth), .wildcard = wildcard, .view = &s->view, .rrl = s->rrl};
    struct dns_udp_worker *w = dns_udp_worker_new(&opts, o->err);

    if (w == NULL)
        return o->err->code;
    s->udp[s->udp_count++] = w;
    note(o, fd, DNS_SOCKET_UDP, at);
    return 0;
}

/* Every socket handed over gets a worker, however many were asked for: queries wait in its queue,
 * and the kernel goes on choosing it by the client's port. */
static int open_udp(struct opening *o, struct dns_listen *at)
{
    unsigned n = 0;
    int fd, rc = 0;

    for (; rc == 0 && (fd = take(o, SOCK_DGRAM, at)) >= 0; n++)
        rc = add_worker(o, fd, dns__socket_wildcard(at), n, at);
    for (; rc == 0 && n < o->threads; n++) {
        bool wildcard;
        if ((rc = dns__socket_udp(at, &fd, &wildcard, o->err)) == 0)
            rc = add_worker(o, fd, wildcard, n, at);
    }
    return rc;
}

/* Port 0: TCP chooses a free one and UDP follows; when UDP's is taken, another is tried. */
static int open_pair(struct opening *o, struct dns_listen *at)
{
    struct dns_server *s = o->server;
    int tcp = take(o, SOCK_STREAM, at), rc = GTM_EEXIST;
    bool any = dns__socket_port(at) == 0;

    for (int tries = 0; rc == GTM_EEXIST && tries < (any ? 32 : 1); tries++) {
        size_t workers = s->udp_count, sockets = s->sockets_count;
        if (any)
            dns__socket_set_port(at, 0);
        if (tcp < 0 && (rc = dns__socket_tcp(at, &tcp, o->err)) != 0)
            return rc;
        if ((rc = open_udp(o, at)) == 0)
            break;
        close(tcp);
        tcp = -1;
        while (s->udp_count > workers)
            dns_udp_worker_free(s->udp[--s->udp_count]);
        s->sockets_count = sockets;
    }
    if (rc != 0)
        return rc;
    note(o, tcp, DNS_SOCKET_TCP, at);
    o->streams[o->streams_count++] = (struct dns_stream_socket){.fd = tcp};
    return 0;
}

static int open_tls(struct opening *o, struct dns_listen *at)
{
    int fd = take(o, SOCK_STREAM, at);

    if (fd < 0) {
        int rc = dns__socket_tcp(at, &fd, o->err);
        if (rc != 0)
            return rc;
    }
    note(o, fd, DNS_SOCKET_TLS, at);
    o->streams[o->streams_count++] = (struct dns_stream_socket){.fd = fd, .tls = true};
    return 0;
}

static int open_addresses(struct opening *o)
{
    struct dns_server *s = o->server;

    for (; s->listen_count < o->opts->listen_count; s->listen_count++) {
        struct dns_listen at = o->opts->listen[s->listen_count];
        if (s->listen_count > 0 && dns__socket_port(&at) == 0)
            dns__socket_set_port(&at, s->ports[0]);
        int rc = open_pair(o, &at);
        if (rc != 0)
            return rc;
        s->ports[s->listen_count] = dns__socket_port(&at);
    }
    for (; s->tls_count < o->opts->tls_listen_count; s->tls_count++) {
        struct dns_listen at = o->opts->tls_listen[s->tls_count];
        int rc = open_tls(o, &at);
        if (rc != 0)
            return rc;
        s->tls_ports[s->tls_count] = dns__socket_port(&at);
    }
    return 0;
}

/* Hands the listeners on. */
static int make_stream(struct opening *o)
{
    const struct dns_server_opts *opts = o->opts;
    struct ssl_ctx_st *tls = NULL;
    if (opts->tls_listen_count > 0) {
        if (dns_tls_tickets_new(&o->server->tickets) != 0)
            return gtm_error_set(o->err, GTM_EIO, "no random octets for session tickets");
        tls = dns_tls_ctx_new(opts->tls_cert, opts->tls_key, &o->server->tickets, o->err);
        if (tls == NULL)
            return o->err->code;
    }
    struct dns_stream_opts stream = {
        .sockets = o->streams,
        .sockets_count = o->streams_count,
        .max_clients = opts->tcp_max_clients ? opts->tcp_max_clients : 1000,
        .per_client = opts->tcp_per_client ? opts->tcp_per_client : 100,
        .tls = tls,
        .idle_ms = opts->tcp_idle_ms ? opts->tcp_idle_ms : 10000,
        .view = &o->server->view};

    o->streams_count = 0;
    o->server->stream = dns_stream_new(&stream, o->err);
    return o->server->stream == NULL ? o->err->code : 0;
}

static int make_room(struct opening *o)
{
    const struct dns_server_opts *opts = o->opts;
    struct dns_server *s = o->server;
    size_t workers = opts->listen_count * o->threads + opts->inherited_count;
    size_t streams = opts->listen_count + opts->tls_listen_count;

    s->udp = gtm_calloc(workers, sizeof(struct dns_udp_worker *));
    s->sockets = gtm_calloc(workers + streams, sizeof(*s->sockets));
    s->ports = gtm_calloc(opts->listen_count, sizeof(*s->ports));
    s->tls_ports = gtm_calloc(opts->tls_listen_count + 1, sizeof(*s->tls_ports));
    o->streams = gtm_calloc(streams, sizeof(*o->streams));
    if (s->udp == NULL || s->sockets == NULL || s->ports == NULL || s->tls_ports == NULL ||
        o->streams == NULL)
        return gtm_error_set(o->err, GTM_ENOMEM, "no memory for sockets");
    return 0;
}

static void close_inherited(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

int dns__server_open(struct dns_server *server, const struct dns_server_opts *opts,
                     struct gtm_error *err)
{
    struct opening o = {.server = server, .opts = opts, .err = err, .threads = opts->threads};

    if (o.threads == 0)
        o.threads = core_count();
    if (o.threads > THREADS_MAX)
        o.threads = THREADS_MAX;
    o.inherited = gtm_malloc((opts->inherited_count + 1) * sizeof(*o.inherited));
    if (o.inherited == NULL) {
        close_inherited(opts->inherited, opts->inherited_count);
        return gtm_error_set(err, GTM_ENOMEM, "no memory for sockets");
    }
    if (opts->inherited_count > 0)
        memcpy(o.inherited, opts->inherited, opts->inherited_count * sizeof(*o.inherited));
    int rc = make_room(&o);
    if (rc == 0)
        rc = open_addresses(&o);
    if (rc == 0)
        rc = make_stream(&o);
    while (o.streams_count > 0)
        close(o.streams[--o.streams_count].fd);
    close_inherited(o.inherited, opts->inherited_count);
    gtm_free(o.inherited);
    gtm_free(o.streams);
    return rc;
}
