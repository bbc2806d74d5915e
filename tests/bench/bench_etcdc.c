/* SPDX-License-Identifier: Apache-2.0
 *
 * etcdc against three members on loopback: how long from a put to the event of a watch on another
 * member, what a keep-alive costs, what an idle watch keeps in memory.
 *
 *     ninja bench_etcdc && bench/etcdc
 *
 * Prints JSON lines.
 */
#include "gtm/base/clock.h"
#include "gtm/base/loop.h"
#include "gtm/etcdc/etcdc.h"
#include "tests/support/etcd_server.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define ROUNDS  2000
#define WATCHES 50
#define WAIT_MS 10000

struct bench {
    struct gtm_loop *loop;
    struct gtm_timer *limit;
    struct etcdc *near, *far; /* clients of different members */
    uint64_t event_ns, done_ns;
    unsigned fresh;
    int64_t lease;
};

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "bench_etcdc: %s\n", what);
    exit(1);
}

static void on_limit(void *arg)
{
    (void)arg;
    must(false, "no answer");
}

static void run(struct bench *b)
{
    gtm_timer_start(b->limit, WAIT_MS);
    gtm_loop_run(b->loop);
    gtm_timer_stop(b->limit);
}

static void on_event(void *arg, const struct etcdc_event *event)
{
    struct bench *b = arg;
    if (event->type == ETCDC_FRESH) {
        b->fresh++;
        gtm_loop_stop(b->loop);
    } else if (event->type == ETCDC_PUT) {
        b->event_ns = gtm_boot_ns();
        if (b->done_ns)
            gtm_loop_stop(b->loop);
    }
}

static void on_put(void *arg, const struct etcdc_answer *answer)
{
    struct bench *b = arg;
    must(answer->code == ETCDC_OK, answer->text);
    b->done_ns = gtm_boot_ns();
    if (b->event_ns)
        gtm_loop_stop(b->loop);
}

static void on_lease(void *arg, const struct etcdc_answer *answer)
{
    struct bench *b = arg;
    must(answer->code == ETCDC_OK, answer->text);
    b->lease = answer->lease ? answer->lease : b->lease;
    b->done_ns = gtm_boot_ns();
    gtm_loop_stop(b->loop);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void print(const char *what, uint64_t *ns, double cpu_us)
{
    qsort(ns, ROUNDS, sizeof(*ns), by_size);
    printf("{\"what\":\"%s\",\"rounds\":%d,\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"cpu_us\":%.0f}\n",
           what, ROUNDS, (double)ns[ROUNDS / 2] / 1e6, (double)ns[ROUNDS * 99 / 100] / 1e6,
           cpu_us / ROUNDS);
}

static double cpu_us(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static struct etcdc *client(struct bench *b, const struct etcd_server *server, unsigned member)
{
    const char *url = etcd_server_url(server, member);
    struct gtm_error err = {0};
    struct etcdc_opts opts = {.loop = b->loop, .endpoints = &url, .endpoints_count = 1};
    struct etcdc *made = etcdc_new(&opts, &err);
    must(made != NULL, err.text);
    return made;
}

static struct etcdc_watch *watch(struct bench *b)
{
    struct etcdc_watch_opts opts = {.key = etcdc_str("bench")};
    struct etcdc_watch *made = etcdc_watch(b->near, &opts, on_event, b);
    must(made != NULL, "no watch");
    unsigned fresh = b->fresh;
    while (b->fresh == fresh)
        run(b);
    return made;
}

static void measure_events(struct bench *b)
{
    static uint64_t ns[ROUNDS];
    double before = cpu_us();
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t sent_ns = gtm_boot_ns();
        b->event_ns = b->done_ns = 0;
        must(etcdc_put(b->far, etcdc_str("bench"), etcdc_str("x"), 0, 0, on_put, b) == ETCDC_OK,
             "no put");
        while (!b->event_ns || !b->done_ns)
            run(b);
        ns[i] = b->event_ns - sent_ns;
    }
    print("put_to_event", ns, cpu_us() - before);
}

static void measure_beats(struct bench *b)
{
    static uint64_t ns[ROUNDS];
    must(etcdc_lease_grant(b->near, 60, on_lease, b) == ETCDC_OK, "no lease");
    run(b);
    double before = cpu_us();
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t sent_ns = gtm_boot_ns();
        b->done_ns = 0;
        must(etcdc_lease_keep_alive(b->near, b->lease, on_lease, b) == ETCDC_OK, "no beat");
        while (!b->done_ns)
            run(b);
        ns[i] = b->done_ns - sent_ns;
    }
    print("keep_alive", ns, cpu_us() - before);
}

static void measure_memory(struct bench *b)
{
    struct etcdc_watch *watches[WATCHES];
    struct mallinfo2 before = mallinfo2();
    for (int i = 0; i < WATCHES; i++)
        watches[i] = watch(b);
    struct mallinfo2 after = mallinfo2();
    size_t bytes = after.uordblks + after.hblkhd - before.uordblks - before.hblkhd;
    printf("{\"what\":\"idle_watch\",\"watches\":%d,\"kib\":%.1f}\n", WATCHES,
           (double)bytes / WATCHES / 1024);
    for (int i = 0; i < WATCHES; i++)
        etcdc_watch_close(watches[i]);
}

int main(void)
{
    struct etcd_server_want want = {.members = 3};
    must(etcd_server_have(), "etcd is not installed");
    struct etcd_server *server = etcd_server_new(&want);
    struct bench b = {.loop = gtm_loop_new()};
    b.limit = gtm_timer_new(b.loop, on_limit, &b);
    b.near = client(&b, server, 0);
    b.far = client(&b, server, 1);
    struct etcdc_watch *first = watch(&b);
    measure_events(&b);
    measure_beats(&b);
    measure_memory(&b);
    etcdc_watch_close(first);
    etcdc_free(b.near);
    etcdc_free(b.far);
    gtm_timer_free(b.limit);
    gtm_loop_free(b.loop);
    etcd_server_free(server);
    return 0;
}
