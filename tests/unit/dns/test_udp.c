/* SPDX-License-Identifier: Apache-2.0
 *
 * What the UDP worker adds to the answer: PROXY headers, the shared table of rates, on a loopback
 * socket.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "tests/support/dns_extra.h"

#include "dns/rr.h"
#include "dns/server.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static struct dns_server *server;
static int fd = -1;

static void start(struct dns_settings *s)
{
    struct gtm_error err = {0};
    struct dns_listen listen = {.addr_len = sizeof(struct sockaddr_in)};
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&listen.addr;
    struct timeval wait = {.tv_sec = 5};
    struct dns_server_opts opts = {.listen = &listen, .listen_count = 1, .threads = 1};

    v4->sin_family = AF_INET;
    v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server = dns_server_new(&opts, &err);
    if (server == NULL)
        fail_msg("%s", err.text);
    dns_server_publish(server, make_view(s));
    assert_int_equal(dns_server_start(server, &err), 0);
    v4->sin_port = htons(dns_server_port(server, 0));
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)v4, sizeof(*v4)), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
}

static int stop(void **state)
{
    close(fd);
    dns_server_free(server);
    server = NULL;
    return 0;
}

static uint64_t count(enum dns_counter c)
{
    struct dns_counters sum;
    dns_server_counters(server, &sum);
    return sum.n[c];
}

/* Sends a header (before the query m) of which the last `cut` octets of the whole are left out. */
static void send_behind(const void *header, size_t len, size_t cut)
{
    uint8_t data[2048];
    memcpy(data, header, len);
    memcpy(data + len, m.p, m.n);
    assert_int_equal(send(fd, data, len + m.n - cut, 0), (ssize_t)(len + m.n - cut));
}

/* The RCODE of the next answer, which must bear this id. */
static int receive(unsigned id)
{
    ssize_t n = recv(fd, out, sizeof(out), 0);
    assert_true(n >= 12);
    assert_int_equal(dns_get16(out), id);
    return out[3] & 15;
}

#define SIG "\r\n\r\n\0\r\nQUIT\n"
static const uint8_t v4_header[] = SIG "\x21\x12\0\x0c\xcb\0\x71\x09\x7f\0\0\1\1\2\0\x35";
static const uint8_t tlv_header[] =
    SIG "\x21\x12\0\x14\xcb\0\x71\x09\x7f\0\0\1\1\2\0\x35\4\0\5hello";
static const uint8_t stranger[] = SIG "\x21\x12\0\x0c\xc6\x33\x64\x01\x7f\0\0\1\1\2\0\x35";
static const uint8_t v6_header[] = SIG "\x21\x22\0\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
                                       "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\1\2\0\x35";
static const uint8_t local[] = SIG "\x20\0\0\0";

static void test_proxied(void **state)
{
    static const struct dns_network proxy = {4, 32, {127, 0, 0, 1}};
    struct dns_settings s = {.proxy = &proxy, .proxy_count = 1};
    struct dns_tsig tsig;
    start(&s);
    /* NOTIFY is heeded from 203.0.113.0/24 only, so it shows who the client is */
    msg_begin(&m, DNS_OPCODE_NOTIFY, "example.com", DNS_TYPE_SOA);
    send_behind(v4_header, sizeof(v4_header) - 1, 0);
    assert_int_equal(receive(0x1234), 0);
    send_behind(tlv_header, sizeof(tlv_header) - 1, 0);
    assert_int_equal(receive(0x1234), 0);
    send_behind(stranger, sizeof(stranger) - 1, 0);
    assert_int_equal(receive(0x1234), DNS_RCODE_REFUSED);
    send_behind(local, sizeof(local) - 1, 0);
    assert_int_equal(receive(0x1234), DNS_RCODE_REFUSED);
    /* none, cut off, or nothing behind it: silence, counted */
    send_behind("", 0, 0);
    send_behind(v4_header, sizeof(v4_header) - 2, m.n);
    send_behind(v4_header, 12, m.n);
    send_behind(v4_header, 7, m.n);
    send_behind(v4_header, sizeof(v4_header) - 1, m.n);
    dns_put16(m.p, 0x4321);
    m.n = dns_tsig_sign_request(&tsig, &key, m.p, m.n, sizeof(m.p),
                                (uint64_t)gtm_wall_ms(gtm_clock_system()) / 1000);
    send_behind(v6_header, sizeof(v6_header) - 1, 0);
    assert_int_equal(receive(0x4321), 0);
    assert_int_equal(count(DNS_CNT_PROXY_REFUSED), 4);
    assert_int_equal(count(DNS_CNT_DROPPED), 5);
    assert_int_equal(count(DNS_CNT_TSIG_GOOD), 1);
}

/* Not from a proxy: a header is just a strange query. */
static void test_not_proxied(void **state)
{
    static const struct dns_network proxy = {4, 32, {127, 0, 0, 2}};
    struct dns_settings s = {.proxy = &proxy, .proxy_count = 1};
    start(&s);
    msg_begin(&m, DNS_OPCODE_NOTIFY, "example.com", DNS_TYPE_SOA);
    send_behind(v4_header, sizeof(v4_header) - 1, 0);
    assert_int_equal(receive(0x0d0a), DNS_RCODE_NOTIMP);
    send_behind("", 0, 0);
    assert_int_equal(receive(0x1234), DNS_RCODE_REFUSED);
    assert_int_equal(count(DNS_CNT_PROXY_REFUSED), 0);
}

static void test_limited(void **state)
{
    struct dns_settings s = {.rate_limit = 5};
    start(&s);
    msg_begin(&m, 0, "www.example.com", DNS_TYPE_A);
    for (int i = 0; i < 200; i++)
        send_behind("", 0, 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(receive(0x1234), 0);
    uint64_t deadline = gtm_mono_ms(gtm_clock_system()) + 5000;
    while (count(DNS_CNT_UDP) < 200 && gtm_mono_ms(gtm_clock_system()) < deadline)
        usleep(1000);
    assert_int_equal(count(DNS_CNT_UDP), 200);
    assert_in_range(count(DNS_CNT_RRL_DROPPED), 150, 195);
    assert_int_equal(count(DNS_CNT_RRL_DROPPED) + count(DNS_CNT_NOERROR), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_proxied, extra_set_up, stop),
        cmocka_unit_test_setup_teardown(test_not_proxied, extra_set_up, stop),
        cmocka_unit_test_setup_teardown(test_limited, extra_set_up, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
