/* SPDX-License-Identifier: Apache-2.0
 *
 * Health checking: what many checks a second cost, with connections kept and with a new one each
 * time, how late they start, and how long a killed and a hung server take to be found. The servers
 * are one small epoll loop in a child process, reached by many addresses of 127.0.0.0/8. Prints a
 * table with JSON lines (those that begin with a brace) in it. Reports only; never fails because a
 * machine is slow.
 *
 *     bench_health [TARGETS [SECONDS]]     default: 10000 targets, one check a second each, 10 s
 */
#include "gtm/base/log.h"
#include "gtm/base/mem.h"
#include "health/health.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WARM_S         4
#define DETECT_TARGETS 200
#define DETECT_ROUNDS  5

/* --- the servers --- */

static void serve_one(int fd, bool keep)
{
    static const char kept[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    static const char once[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    char request[2048]; /* a check's request fits into one segment */
    ssize_t n = recv(fd, request, sizeof(request), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0 && keep && send(fd, kept, sizeof(kept) - 1, MSG_NOSIGNAL) > 0)
        return;
    if (n > 0 && !keep && send(fd, once, sizeof(once) - 1, MSG_NOSIGNAL) < 0)
        fprintf(stderr, "bench_health: send: %s\n", strerror(errno));
    close(fd);
}

static void serve(int listener, bool keep)
{
    struct epoll_event events[256];
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev);
    for (;;) {
        int n = epoll_wait(ep, events, 256, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd != listener) {
                serve_one(events[i].data.fd, keep);
                continue;
            }
            int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
            ev = (struct epoll_event){.events = EPOLLIN, .data.fd = fd};
            if (fd >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) != 0)
                close(fd);
        }
    }
}

/* A child that serves every 127.x.y.z on *port (0 = any, which is then filled in). */
static pid_t start_server(uint16_t *port, bool keep)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(*port)};
    socklen_t len = sizeof(in);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd < 0 || bind(fd, (struct sockaddr *)&in, len) != 0 || listen(fd, 65535) != 0 ||
        getsockname(fd, (struct sockaddr *)&in, &len) != 0) {
        perror("bench_health: listen");
        exit(1);
    }
    *port = ntohs(in.sin_port);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(fd, keep);
    }
    close(fd);
    return pid;
}

static void stop_server(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* --- the engine --- */

struct bench {
    struct health_engine *engine;
    pthread_mutex_t lock;
    uint64_t broken_ns; /* changes to down after this are measured */
    double took_ms[DETECT_TARGETS * DETECT_ROUNDS];
    size_t took, up;
};

static void on_change(void *ctx, const struct health_report *report, enum gtm_health old)
{
    (void)old;
    struct bench *b = ctx;
    uint64_t now_ns = gtm_mono_ns(gtm_clock_system());
    pthread_mutex_lock(&b->lock);
    if (report->health == GTM_HEALTH_UP)
        b->up++;
    else if (b->broken_ns && b->took < DETECT_TARGETS * DETECT_ROUNDS)
        b->took_ms[b->took++] = (double)(now_ns - b->broken_ns) / 1e6;
    pthread_mutex_unlock(&b->lock);
}

static size_t read_up(struct bench *b)
{
    pthread_mutex_lock(&b->lock);
    size_t up = b->up;
    pthread_mutex_unlock(&b->lock);
    return up;
}

static size_t read_took(struct bench *b)
{
    pthread_mutex_lock(&b->lock);
    size_t took = b->took;
    pthread_mutex_unlock(&b->lock);
    return took;
}

static void apply(struct bench *b, size_t count, const struct gtm_monitor *monitor)
{
    struct gtm_error err = {0};
    struct health_target *targets = calloc(count, sizeof(*targets));
    char(*keys)[24] = calloc(count, sizeof(*keys));
    if (!targets || !keys)
        exit(1);
    for (size_t i = 0; i < count; i++) {
        snprintf(keys[i], sizeof(keys[i]), "t%zu", i);
        targets[i] = (struct health_target){.key = keys[i], .family = AF_INET, .monitor = monitor};
        targets[i].addr.v4.s_addr = htonl(0x7f400000u + (uint32_t)i + 1); /* 127.64.0.1 … */
    }
    if (health_engine_apply(b->engine, targets, count, &err) != GTM_OK) {
        fprintf(stderr, "bench_health: %s\n", err.text);
        exit(1);
    }
    free(targets);
    free(keys);
}

static void start_engine(struct bench *b)
{
    struct gtm_error err = {0};
    struct health_engine_opts opts = {.seed = 1, .on_change = on_change, .ctx = b};
    memset(b, 0, sizeof(*b));
    pthread_mutex_init(&b->lock, NULL);
    b->engine = health_engine_new(&opts, &err);
    if (!b->engine) {
        fprintf(stderr, "bench_health: %s\n", err.text);
        exit(1);
    }
}

/* --- many checks --- */

struct totals {
    double cpu_s, wall_s;
    uint64_t probes, failed;
    uint64_t starts, within[5]; /* starts at most 1, 2.5, 5, 10 and 50 ms late */
};
static const char *const within_le[5] = {"0.001", "0.0025", "0.005", "0.01", "0.05"};

static double clock_s(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static uint64_t metric(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at ? (uint64_t)strtod(at + strlen(name), NULL) : 0;
}

static struct totals read_totals(struct bench *b)
{
    struct totals t = {.cpu_s = clock_s(CLOCK_PROCESS_CPUTIME_ID),
                       .wall_s = clock_s(CLOCK_MONOTONIC)};
    struct health_report *reports = NULL;
    struct gtm_metrics m = {0};
    size_t count = 0;
    if (health_engine_snapshot(b->engine, &reports, &count) != GTM_OK)
        exit(1);
    for (size_t i = 0; i < count; i++) {
        t.probes += reports[i].probes_total;
        t.failed += reports[i].probes_failed + reports[i].probes_local;
    }
    gtm_free(reports);
    health_engine_metrics(b->engine, &m);
    if (!m.out.data)
        exit(1);
    t.starts = metric(m.out.data, "\ngtm_health_start_jitter_seconds_count ");
    for (int i = 0; i < 5; i++) {
        char name[80];
        snprintf(name, sizeof(name), "\ngtm_health_start_jitter_seconds_bucket{le=\"%s\"} ",
                 within_le[i]);
        t.within[i] = metric(m.out.data, name);
    }
    gtm_buf_fini(&m.out);
    return t;
}

static long resident_mib(void)
{
    char line[128] = "", *end = line;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fgets(line, sizeof(line), f))
        strtol(line, &end, 10); /* the whole size; the second number is what is resident */
    if (f)
        fclose(f);
    return strtol(end, NULL, 10) * sysconf(_SC_PAGESIZE) / 1048576;
}

static void many(size_t count, unsigned seconds, bool keep)
{
    static struct bench b;
    uint16_t port = 0;
    pid_t server = start_server(&port, keep);
    struct gtm_monitor monitor = {.name = (char *)"bench",
                                  .kind = GTM_MONITOR_HTTP,
                                  .path = (char *)"/healthz",
                                  .interval_ms = 1000,
                                  .timeout_ms = 1000,
                                  .fall = 2,
                                  .rise = 1};
    monitor.port = port;
    start_engine(&b);
    apply(&b, count, &monitor);
    poll(NULL, 0, WARM_S * 1000);
    struct totals from = read_totals(&b);
    poll(NULL, 0, (int)seconds * 1000);
    struct totals to = read_totals(&b);
    double wall = to.wall_s - from.wall_s, cpu = to.cpu_s - from.cpu_s;
    double rate = (double)(to.probes - from.probes) / wall;
    double starts = (double)(to.starts - from.starts), share[5];
    const char *p99 = "more";
    for (int i = 4; i >= 0; i--) {
        share[i] = starts > 0 ? (double)(to.within[i] - from.within[i]) / starts : 0;
        p99 = share[i] >= 0.99 ? within_le[i] : p99;
    }
    printf("%-10s %6zu targets %8.0f checks/s %6.1f %% of a core %6.1f us/check  start jitter p99 "
           "<= %s s (%.2f %% within 1 ms)  failed %llu  %ld MiB\n",
           keep ? "kept alive" : "fresh", count, rate, 100 * cpu / wall, 1e6 * cpu / (rate * wall),
           p99, 100 * share[0], (unsigned long long)(to.failed - from.failed), resident_mib());
    printf("{\"bench\":\"health\",\"case\":\"%s\",\"targets\":%zu,\"checks_per_s\":%.0f,"
           "\"core_share\":%.4f,\"start_jitter_p99_le_s\":\"%s\",\"failed\":%llu,"
           "\"resident_mib\":%ld}\n",
           keep ? "kept" : "fresh", count, rate, cpu / wall, p99,
           (unsigned long long)(to.failed - from.failed), resident_mib());
    fflush(stdout);
    health_engine_free(b.engine);
    stop_server(server);
}

/* --- detection --- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void wait_count(struct bench *b, size_t (*read)(struct bench *), size_t want)
{
    for (int i = 0; i < 2000 && read(b) < want; i++)
        poll(NULL, 0, 5);
}

/* Breaks one server that all targets share, at a random moment of their phases. */
static void detect(const char *name, int how)
{
    static struct bench b;
    uint16_t port = 0;
    pid_t server = start_server(&port, true);
    struct gtm_monitor monitor = {.name = (char *)"bench",
                                  .kind = GTM_MONITOR_HTTP,
                                  .interval_ms = 500,
                                  .timeout_ms = 500,
                                  .fall = 2,
                                  .rise = 1};
    monitor.port = port;
    start_engine(&b);
    apply(&b, DETECT_TARGETS, &monitor);
    for (size_t round = 1; round <= DETECT_ROUNDS; round++) {
        wait_count(&b, read_up, round * DETECT_TARGETS);
        poll(NULL, 0, 1500 + (int)round * 37);
        kill(server, how);
        pthread_mutex_lock(&b.lock);
        b.broken_ns = gtm_mono_ns(gtm_clock_system());
        pthread_mutex_unlock(&b.lock);
        wait_count(&b, read_took, round * DETECT_TARGETS);
        stop_server(server);
        server = start_server(&port, true);
    }
    pthread_mutex_lock(&b.lock);
    size_t n = b.took;
    qsort(b.took_ms, n, sizeof(b.took_ms[0]), by_size);
    pthread_mutex_unlock(&b.lock);
    if (n > 0) {
        printf("%-10s found after: median %.0f ms, max %.0f ms (%zu times; interval and time-out "
               "500 ms, fall 2)\n",
               name, b.took_ms[n / 2], b.took_ms[n - 1], n);
        printf("{\"bench\":\"health\",\"case\":\"%s\",\"median_ms\":%.1f,\"max_ms\":%.1f,"
               "\"count\":%zu}\n",
               name, b.took_ms[n / 2], b.took_ms[n - 1], n);
    }
    fflush(stdout);
    health_engine_free(b.engine);
    stop_server(server);
}

int main(int argc, char **argv)
{
    long targets = argc > 1 ? strtol(argv[1], NULL, 10) : 10000;
    long seconds = argc > 2 ? strtol(argv[2], NULL, 10) : 10;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    if (targets < 1 || targets > HEALTH_TARGETS_MAX || seconds < 1 || seconds > 3600) {
        fprintf(stderr, "usage: bench_health [TARGETS [SECONDS]]\n");
        return 2;
    }
    gtm_log_set_level(GTM_LOG_ERROR);
    many((size_t)targets, (unsigned)seconds, true);
    many((size_t)targets, (unsigned)seconds, false);
    detect("killed", SIGKILL);
    detect("hung", SIGSTOP);
    return 0;
}
