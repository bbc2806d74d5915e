/* SPDX-License-Identifier: Apache-2.0
 *
 * See etcd_server.h. The address is made of this process's number, which no other running test
 * has; the ports of which server and member it is.
 */
#include "tests/support/etcd_server.h"

#include "tests/support/temp_dir.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PROGRAM   "/usr/bin/etcd"
#define ARGS_MAX  64
#define PORT      20000u
#define WAIT_MS   20000
#define URL_BYTES 64

struct member {
    pid_t pid;     /* 0 = not running */
    unsigned port; /* clients; +1 peers; +2 health and metrics */
    char url[URL_BYTES], peer[URL_BYTES], plain[URL_BYTES], dir[128], name[16];
};

struct etcd_server {
    struct etcd_server_want want;
    char ip[INET_ADDRSTRLEN], dir[TEST_TEMP_DIR_BYTES], cluster[512], heartbeat[16], election[16];
    char token[TEST_TEMP_DIR_BYTES + 16]; /* another token, another cluster */
    struct member members[ETCD_MEMBERS_MAX];
};

static unsigned servers; /* made by this process so far */

bool etcd_server_have(void)
{
    if (access(PROGRAM, X_OK) == 0)
        return true;
    fprintf(stderr, "skipped: no %s (deploy/install-deps brings it)\n", PROGRAM);
    return false;
}

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

/* The answer of a plain GET into out; false when there is none. */
static bool get(const struct etcd_server *s, unsigned port, const char *path, char *out, size_t max)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    char request[256];
    size_t used = 0;
    inet_pton(AF_INET, s->ip, &to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    struct timeval tv = {.tv_sec = 1};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\n\r\n", path);
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
        send(fd, request, strlen(request), MSG_NOSIGNAL) > 0)
        for (ssize_t n; used + 1 < max && (n = recv(fd, out + used, max - 1 - used, 0)) > 0;)
            used += (size_t)n;
    out[used] = 0;
    close(fd);
    return used > 0;
}

void etcd_server_wait(struct etcd_server *s, unsigned i)
{
    char answer[1024];
    int64_t until = now_ms() + WAIT_MS;
    while (!get(s, s->members[i].port + 2, "/health", answer, sizeof(answer)) ||
           !strstr(answer, "\"true\"")) {
        if (waitpid(s->members[i].pid, NULL, WNOHANG) != 0)
            fail_msg("etcd ended at once; see %s.log", s->members[i].dir);
        if (now_ms() > until)
            fail_msg("etcd is not healthy within %d ms", WAIT_MS);
        nap();
    }
}

static void run(struct etcd_server *s, struct member *m)
{
    char *argv[ARGS_MAX];
    char log[160];
    unsigned n = 0;
    const char *fixed[] = {PROGRAM,      "--name",
                           m->name,      "--data-dir",
                           m->dir,       "--listen-client-urls",
                           m->url,       "--advertise-client-urls",
                           m->url,       "--listen-peer-urls",
                           m->peer,      "--initial-advertise-peer-urls",
                           m->peer,      "--listen-metrics-urls",
                           m->plain,     "--initial-cluster",
                           s->cluster,   "--initial-cluster-token",
                           s->token,     "--heartbeat-interval",
                           s->heartbeat, "--election-timeout",
                           s->election};
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
        argv[n++] = (char *)fixed[i];
    if (s->want.ca) {
        const char *tls[] = {"--client-cert-auth", "--trusted-ca-file", s->want.ca, "--cert-file",
                             s->want.cert,         "--key-file",        s->want.key};
        for (size_t i = 0; i < sizeof(tls) / sizeof(tls[0]); i++)
            argv[n++] = (char *)tls[i];
    }
    for (size_t i = 0; s->want.args && s->want.args[i] && n + 1 < ARGS_MAX; i++)
        argv[n++] = (char *)s->want.args[i];
    argv[n] = NULL;
    snprintf(log, sizeof(log), "%s.log", m->dir);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0) {
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
    }
    execv(PROGRAM, argv);
    _exit(127);
}

void etcd_server_start(struct etcd_server *s, unsigned i)
{
    struct member *m = &s->members[i];
    assert_int_equal(m->pid, 0);
    m->pid = fork();
    assert_true(m->pid >= 0);
    if (m->pid == 0)
        run(s, m);
}

void etcd_server_kill(struct etcd_server *s, unsigned i)
{
    struct member *m = &s->members[i];
    if (m->pid <= 0)
        return;
    kill(m->pid, SIGKILL);
    while (waitpid(m->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    m->pid = 0;
}

void etcd_server_forget(struct etcd_server *s, unsigned i)
{
    struct member *m = &s->members[i];
    assert_int_equal(m->pid, 0);
    char dir[sizeof(m->dir)], name[sizeof(m->name)];
    memcpy(name, m->name, sizeof(name));
    snprintf(dir, sizeof(dir), "%.*s/%s-%u", (int)sizeof(dir) - 64, s->dir, name, ++servers);
    memcpy(m->dir, dir, sizeof(dir));
}

void etcd_server_wipe(struct etcd_server *s, unsigned i)
{
    const struct member *m = &s->members[i];
    etcd_server_forget(s, i);
    snprintf(s->cluster, sizeof(s->cluster), "%s=%s", m->name, m->peer);
    snprintf(s->token, sizeof(s->token), "%s-%u", s->dir, servers);
}

void etcd_server_pause(struct etcd_server *s, unsigned i)
{
    int status;
    assert_int_equal(kill(s->members[i].pid, SIGSTOP), 0);
    /* It may answer until all its threads have stopped. */
    assert_int_equal(waitpid(s->members[i].pid, &status, WUNTRACED), s->members[i].pid);
    assert_true(WIFSTOPPED(status));
}

void etcd_server_resume(struct etcd_server *s, unsigned i)
{
    assert_int_equal(kill(s->members[i].pid, SIGCONT), 0);
}

const char *etcd_server_url(const struct etcd_server *s, unsigned i)
{
    return s->members[i].url;
}

unsigned etcd_server_leader(struct etcd_server *s)
{
    static char answer[1 << 20];
    int64_t until = now_ms() + WAIT_MS;
    for (unsigned i = 0;; i = (i + 1) % s->want.members) {
        if (s->members[i].pid > 0 &&
            get(s, s->members[i].port + 2, "/metrics", answer, sizeof(answer)) &&
            strstr(answer, "\netcd_server_is_leader 1"))
            return i;
        if (now_ms() > until)
            fail_msg("etcd has no leader");
        nap();
    }
}

static void name_all(struct etcd_server *s)
{
    unsigned number = servers++;
    unsigned pid = (unsigned)getpid();
    size_t used = 0;
    snprintf(s->ip, sizeof(s->ip), "127.%u.%u.%u", 128 + (pid >> 16 & 63), pid >> 8 & 255,
             pid & 255);
    snprintf(s->token, sizeof(s->token), "%s", s->dir);
    unsigned election = s->want.election_ms ? s->want.election_ms : 500;
    snprintf(s->election, sizeof(s->election), "%u", election);
    snprintf(s->heartbeat, sizeof(s->heartbeat), "%u", election / 10);
    for (unsigned i = 0; i < s->want.members; i++) {
        struct member *m = &s->members[i];
        m->port = PORT + number * 32 + i * 4;
        snprintf(m->name, sizeof(m->name), "m%u", i);
        char dir[sizeof(m->dir)];
        snprintf(dir, sizeof(dir), "%.*s/m%u", (int)sizeof(dir) - 64, s->dir, i);
        memcpy(m->dir, dir, sizeof(dir));
        snprintf(m->url, sizeof(m->url), "%s://%s:%u", s->want.ca ? "https" : "http", s->ip,
                 m->port);
        snprintf(m->peer, sizeof(m->peer), "http://%s:%u", s->ip, m->port + 1);
        snprintf(m->plain, sizeof(m->plain), "http://%s:%u", s->ip, m->port + 2);
        used += (size_t)snprintf(s->cluster + used, sizeof(s->cluster) - used, "%s%s=%s",
                                 i ? "," : "", m->name, m->peer);
        assert_true(used < sizeof(s->cluster));
    }
}

struct etcd_server *etcd_server_new(const struct etcd_server_want *want)
{
    struct etcd_server *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    if (want)
        s->want = *want;
    if (!s->want.members)
        s->want.members = 1;
    assert_true(s->want.members <= ETCD_MEMBERS_MAX);
    assert_int_equal(test_temp_dir_make("etcd", s->dir), 0);
    name_all(s);
    for (unsigned i = 0; i < s->want.members; i++)
        etcd_server_start(s, i);
    for (unsigned i = 0; i < s->want.members; i++)
        etcd_server_wait(s, i);
    return s;
}

void etcd_server_free(struct etcd_server *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i < s->want.members; i++)
        etcd_server_kill(s, i);
    assert_int_equal(test_temp_dir_remove(s->dir), 0);
    free(s);
}
