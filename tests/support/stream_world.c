/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "tests/support/stream_world.h"

#include "dns/rr.h"
#include "gtm/base/buf.h"
#include "tests/support/dns_ask.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static struct dns_view *zone(void)
{
    struct gtm_buf text = {0};
    struct gtm_error err = {0};
    gtm_buf_adds(&text, "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.53\n"
                        "www A 192.0.2.1\n");
    for (int i = 0; i < 200; i++)
        gtm_buf_addf(&text, "big TXT \"%0240d\"\n", i);
    for (int i = 0; i < 20000; i++)
        gtm_buf_addf(&text, "t%d TXT \"%0200d\"\n", i, i);
    struct gtm_diags diags = {0};
    struct dns_zone_spec spec = {.origin = "example.com", .path = "x"};
    struct dns_zone *loaded = dns_zone_load_text(&spec, text.data, text.len, &diags);
    assert_non_null(loaded);
    struct dns_peer all = {.network = {.family = 4}};
    struct dns_network proxies = {.family = 4, .prefix_len = 24, .addr = {127, 0, 9}};
    struct dns_settings *settings =
        dns_settings_new(&(struct dns_settings){.proxy = &proxies, .proxy_count = 1});
    struct dns_view_zone vz = {.zone = loaded, .peers = dns_zone_peers_new(&all, 1, NULL, 0)};
    struct dns_view *view = dns_view_new(&vz, 1, settings, 1, &err);
    assert_non_null(view);
    dns_zone_peers_unref(vz.peers);
    dns_settings_unref(settings);
    dns_zone_unref(loaded);
    gtm_diags_fini(&diags);
    gtm_buf_fini(&text);
    return view;
}

void stream_world_start(struct stream_world *w, unsigned max_clients, unsigned per_client,
                        unsigned idle_ms)
{
    struct gtm_error err = {0};
    socklen_t len = sizeof(w->addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    w->view = zone();
    w->addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    assert_return_code(bind(fd, (struct sockaddr *)&w->addr, sizeof(w->addr)), errno);
    assert_return_code(listen(fd, 1000), errno);
    assert_return_code(getsockname(fd, (struct sockaddr *)&w->addr, &len), errno);
    struct dns_stream_socket listener = {.fd = fd, .tls = w->tls != NULL};
    struct dns_stream_opts opts = {.sockets = &listener,
                                   .sockets_count = 1,
                                   .max_clients = max_clients,
                                   .per_client = per_client,
                                   .idle_ms = idle_ms,
                                   .tls = w->tls,
                                   .view = &w->view};
    w->stream = dns_stream_new(&opts, &err);
    assert_non_null(w->stream);
    assert_int_equal(dns_stream_start(w->stream, &err), 0);
}

void stream_world_finish(struct stream_world *w)
{
    dns_stream_stop(w->stream);
    assert_int_equal(dns_stream_clients(w->stream), 0);
    dns_stream_free(w->stream);
    dns_view_unref(w->view);
}

int stream_dial(const struct stream_world *w, unsigned x, unsigned y, int rcvbuf)
{
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(0x7f000000u + x * 256 + y)};
    struct timeval wait = {.tv_sec = STREAM_DEADLINE_MS / 1000};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (rcvbuf)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf));
    setsockopt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    assert_return_code(bind(fd, (struct sockaddr *)&from, sizeof(from)), errno);
    assert_return_code(connect(fd, (const struct sockaddr *)&w->addr, sizeof(w->addr)), errno);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

size_t stream_query(uint8_t *out, const char *name, uint16_t type)
{
    struct ask ask = {.name = name, .type = type};
    size_t len = ask_packet(&ask, out + 2);
    dns_put16(out, (uint16_t)len);
    return 2 + len;
}

uint8_t stream_message[65535];

static bool read_all(int fd, uint8_t *out, size_t len)
{
    for (size_t have = 0; have < len;) {
        ssize_t n = recv(fd, out + have, len - have, 0);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            fail_msg("no answer in time");
        if (n <= 0)
            return false;
        have += (size_t)n;
    }
    return true;
}

size_t stream_read(int fd)
{
    uint8_t head[2];
    if (!read_all(fd, head, 2) || !read_all(fd, stream_message, dns_get16(head)))
        return 0;
    return dns_get16(head);
}

int stream_ask(int fd)
{
    uint8_t out[600];
    size_t n = stream_query(out, "www.example.com.", DNS_TYPE_A);
    if (send(fd, out, n, MSG_NOSIGNAL) != (ssize_t)n)
        return 0;
    return stream_read(fd) > 12 && (stream_message[3] & 15) == 0;
}

uint64_t stream_event(const struct stream_world *w, size_t offset)
{
    struct dns_stream_events e;
    dns_stream_events(w->stream, &e);
    return *(const uint64_t *)(const void *)((const char *)&e + offset);
}
int stream_world_set_up(void **state)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) { /* both ends of every connection are ours */
        limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    return 0;
}
