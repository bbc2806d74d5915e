/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of health/probe_icmp and health/icmp_packet: this host's own echo, without and with the
 * permission for it, and packets of any content.
 */
#include "health/icmp_packet.h"
#include "tests/support/health_world.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void pings(struct world *w, bool v6)
{
    world_init(w);
    for (int i = 0; i < 8; i++) { /* over one socket, told apart */
        char key[16];
        snprintf(key, sizeof(key), "v4/%d", i);
        struct health_target *t = world_add(w, key, 0);
        t->addr.v4.s_addr = htonl(0x7f000001u + (unsigned)i);
    }
    if (v6) {
        struct health_target *t = world_add(w, "v6", 0);
        t->family = AF_INET6;
        t->addr.v6 = in6addr_loopback;
    }
    struct health_target *t = world_add(w, "nowhere", 0);
    t->addr.v4.s_addr = htonl(INADDR_BROADCAST); /* not without SO_BROADCAST */
    for (size_t i = 0; i < w->count; i++) {
        w->monitors[i].kind = GTM_MONITOR_ICMP;
        w->monitors[i].timeout_ms = 3000;
    }
    world_apply(w);
}

static void this_host_answers(void **state)
{
    static struct world w;
    bool v6 = access("/proc/net/if_inet6", R_OK) == 0;
    pings(&w, v6);
    struct health_report r = world_wait_probes(&w, "v4/0", 1);
    if (r.last == HEALTH_RESULT_LOCAL) {
        world_fini(&w);
        skip(); /* see without_permission */
    }
    for (int i = 0; i < 8; i++) {
        char key[16];
        snprintf(key, sizeof(key), "v4/%d", i);
        r = world_wait(&w, key, GTM_HEALTH_UP);
        assert_string_equal(r.evidence, "echo reply");
    }
    if (v6)
        world_wait(&w, "v6", GTM_HEALTH_UP);
    r = world_wait(&w, "nowhere", GTM_HEALTH_DOWN);
    assert_int_equal(r.last, HEALTH_RESULT_UNREACHABLE);
    r = world_wait_probes(&w, "v4/7", 10);
    assert_int_equal(r.probes_failed, 0);
    world_fini(&w);
}

/* Runs a test in a child, where it may give up what it is allowed to. */
static int in_child(void (*test)(void))
{
    int status = 0;
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        test();
        exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

/* A network of its own, with addresses on loopback. False when that is not allowed here. */
static bool own_network(const char *groups)
{
    if (unshare(CLONE_NEWNET) != 0 || system("ip link set lo up") != 0)
        return false;
    int fd = open("/proc/sys/net/ipv4/ping_group_range", O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, groups, strlen(groups)) == (ssize_t)strlen(groups);
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool drop_privileges(void)
{
    return setgroups(0, NULL) == 0 && setresgid(65534, 65534, 65534) == 0 &&
           setresuid(65534, 65534, 65534) == 0;
}

#define CHECK(x, code)   \
    do {                 \
        if (!(x))        \
            _exit(code); \
    } while (0)

static void without_permission_child(void)
{
    static struct world w;
    CHECK(own_network("1 0") && drop_privileges(), 77);
    pings(&w, false);
    struct health_report r = world_wait_result(&w, "v4/0", HEALTH_RESULT_LOCAL);
    CHECK(strcmp(r.evidence, "not checked: ICMP needs CAP_NET_RAW, or this process's group in "
                             "net.ipv4.ping_group_range") == 0,
          1);
    CHECK(r.health == GTM_HEALTH_UNKNOWN, 2);
    world_fini(&w);
}

static void by_ping_sockets_child(void)
{
    static struct world w;
    CHECK(own_network("0 65534") && drop_privileges(), 77);
    pings(&w, false);
    world_wait(&w, "v4/0", GTM_HEALTH_UP);
    world_wait(&w, "v4/7", GTM_HEALTH_UP);
    struct health_report r = world_wait(&w, "nowhere", GTM_HEALTH_DOWN);
    CHECK(r.last == HEALTH_RESULT_UNREACHABLE, 1);
    r = world_wait_probes(&w, "v4/3", 10);
    CHECK(r.probes_failed == 0, 2);
    world_fini(&w);
}

/* A router says that the host is not there: an own network whose gateway is ourselves. */
static void unreachable_child(void)
{
    static struct world w;
    CHECK(own_network("1 0"), 77);
    CHECK(system("ip link add veth-a type veth peer name veth-b && ip addr add 198.51.100.1/24 dev "
                 "veth-a && ip link set veth-a up && ip link set veth-b up") == 0,
          77);
    world_init(&w);
    struct health_target *t = world_add(&w, "gone", 0);
    t->addr.v4.s_addr = inet_addr("198.51.100.9"); /* nobody answers its ARP */
    world_monitor(&w, "gone")->kind = GTM_MONITOR_ICMP;
    world_monitor(&w, "gone")->timeout_ms = 8000; /* ARP takes 3 s to give up */
    world_apply(&w);
    struct health_report r = world_wait_result(&w, "gone", HEALTH_RESULT_UNREACHABLE);
    CHECK(strcmp(r.evidence, "host unreachable") == 0, 1);
    world_fini(&w);
}

static void expect_child(void (*test)(void))
{
    int code = in_child(test);
    if (code == 77)
        skip(); /* only root may make networks */
    assert_int_equal(code, 0);
}

static void without_permission(void **state)
{
    expect_child(without_permission_child);
}
static void by_ping_sockets(void **state)
{
    expect_child(by_ping_sockets_child);
}
static void routers_are_believed(void **state)
{
    expect_child(unreachable_child);
}

static const struct health_echo echo = {
    .id = 0x1234, .seq = 0x5678, .index = 42, .nonce = "0123456789abcde"};

static void same_echo(const struct health_echo *a)
{
    assert_int_equal(a->id, echo.id);
    assert_int_equal(a->seq, echo.seq);
    assert_int_equal(a->index, echo.index);
    assert_memory_equal(a->nonce, echo.nonce, sizeof(echo.nonce));
}

static void packets_are_read(void **state)
{
    static const uint8_t ipv4[20] = {0x45, [9] = 1};
    uint8_t p[128] = {0}, *icmp = p + 20;
    struct health_echo got;
    for (int v6 = 0; v6 < 2; v6++) {
        int family = v6 ? AF_INET6 : AF_INET;
        health_echo_write(family, &echo, icmp);
        assert_true(health_echo_read_request(family, icmp, HEALTH_ECHO_BYTES, &got));
        same_echo(&got);
        assert_int_equal(health_echo_read(family, false, icmp, HEALTH_ECHO_BYTES, &got),
                         HEALTH_ECHO_OTHER); /* our own request is no reply */
        icmp[0] = v6 ? 129 : 0;
        memset(&got, 0, sizeof(got));
        assert_int_equal(health_echo_read(family, false, icmp, HEALTH_ECHO_BYTES, &got),
                         HEALTH_ECHO_REPLY);
        same_echo(&got);
        for (size_t len = 0; len < HEALTH_ECHO_BYTES; len++)
            assert_int_equal(health_echo_read(family, false, icmp, len, &got), HEALTH_ECHO_OTHER);
    }
    health_echo_write(AF_INET, &echo, icmp);
    uint32_t sum = 0;
    for (size_t i = 0; i < HEALTH_ECHO_BYTES; i += 2)
        sum += (uint32_t)icmp[i] << 8 | icmp[i + 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    assert_int_equal(sum, 0xffff);
    icmp[0] = 0;
    memcpy(p, ipv4, 20);
    assert_int_equal(health_echo_read(AF_INET, true, p, 20 + HEALTH_ECHO_BYTES, &got),
                     HEALTH_ECHO_REPLY);
    p[0] = 0x44; /* a header shorter than any */
    assert_int_equal(health_echo_read(AF_INET, true, p, 20 + HEALTH_ECHO_BYTES, &got),
                     HEALTH_ECHO_OTHER);
    p[0] = 0x4f; /* one longer than what is there */
    assert_int_equal(health_echo_read(AF_INET, true, p, 30, &got), HEALTH_ECHO_OTHER);
}

static void errors_quote_the_request(void **state)
{
    uint8_t p[160] = {3, 1}; /* destination unreachable, host */
    struct health_echo got = {0};
    p[8] = 0x45;
    p[8 + 9] = 1;
    health_echo_write(AF_INET, &echo, p + 28);
    size_t len = 28 + HEALTH_ECHO_BYTES;
    assert_int_equal(health_echo_read(AF_INET, false, p, len, &got), HEALTH_ECHO_UNREACHABLE);
    same_echo(&got);
    assert_int_equal(health_echo_read(AF_INET, false, p, len - 1, &got), HEALTH_ECHO_OTHER);
    p[8 + 9] = 17; /* about a UDP packet */
    assert_int_equal(health_echo_read(AF_INET, false, p, len, &got), HEALTH_ECHO_OTHER);
    memset(p, 0, sizeof(p));
    p[0] = 1;
    p[8] = 0x60;
    p[8 + 6] = 58;
    health_echo_write(AF_INET6, &echo, p + 48);
    assert_int_equal(health_echo_read(AF_INET6, false, p, 48 + HEALTH_ECHO_BYTES, &got),
                     HEALTH_ECHO_UNREACHABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_are_read),
        cmocka_unit_test(errors_quote_the_request),
        /* Children before this process has threads. */
        cmocka_unit_test(without_permission),
        cmocka_unit_test(by_ping_sockets),
        cmocka_unit_test(routers_are_believed),
        cmocka_unit_test(this_host_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
