/* SPDX-License-Identifier: Apache-2.0
 *
 * A watch whose listener is slower than what comes, for longer than freshness lasts. What it lacks
 * is on its way: it must not ask for all of it once more, nor leave a member that is not to blame.
 */
#include "tests/unit/gtm/etcdc/live_fixture.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define STALE_MS 900u
#define OBJECTS  24
#define BYTES    (300u << 10)
#define SLOW_US  100000

struct listener {
    int changes;
    bool fresh, slow;
};

static void on_event(void *arg, const struct etcdc_event *event)
{
    struct listener *l = arg;
    if (event->type == ETCDC_PUT) {
        l->changes++;
        if (l->slow)
            usleep(SLOW_US);
    } else if (event->type == ETCDC_FRESH || event->type == ETCDC_STALE) {
        l->fresh = event->type == ETCDC_FRESH;
    }
}

static bool is_fresh(void *arg)
{
    return ((struct listener *)arg)->fresh;
}

static bool has_all(void *arg)
{
    return ((struct listener *)arg)->changes == OBJECTS;
}

/* A process of its own, for the listener blocks its loop. Writes once it has read an octet. */
static pid_t start_writer(const struct etcd_server *server, int go)
{
    static char value[BYTES];
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    struct gtm_loop *loop = gtm_loop_new();
    struct etcdc *client = live_client(loop, server, 1, 0);
    char octet;
    memset(value, 'x', sizeof(value));
    bool good = read(go, &octet, 1) == 1;
    for (int i = 0; good && i < OBJECTS; i++) {
        char key[16];
        struct live_result r = {0};
        snprintf(key, sizeof(key), "b/%d", i);
        live_wait_for(loop, &r,
                      etcdc_put(client, etcdc_str(key), etcdc_bytes(value, BYTES), 0,
                                ETCDC_IDEMPOTENT, live_done, &r));
        good = r.code == ETCDC_OK;
    }
    _exit(good ? 0 : 1);
}

static void who_is_slow_lists_nothing(void **state)
{
    const struct etcd_server *server = *state;
    int go[2], status = -1;
    assert_int_equal(pipe(go), 0);
    pid_t writer = start_writer(server, go[0]);
    assert_true(writer > 0);
    uint8_t end[16];
    struct gtm_loop *loop = gtm_loop_new();
    struct etcdc *client = live_client(loop, server, 1, 0);
    struct etcdc_buf prefix = etcdc_str("b/");
    struct etcdc_watch_opts opts = {
        .key = prefix, .end = etcdc_prefix_end(prefix, end), .stale_ms = STALE_MS};
    struct listener l = {0};
    struct etcdc_watch *watch = etcdc_watch(client, &opts, on_event, &l);
    assert_true(live_run(loop, 5000, is_fresh, &l));
    l.slow = true;
    assert_int_equal(write(go[1], "x", 1), 1);
    assert_true(live_run(loop, 30000, has_all, &l));
    struct etcdc_counters counters;
    etcdc_counters(client, &counters);
    print_message("%" PRIu64 " KiB heard of %u\n", counters.bytes_in >> 10, OBJECTS * BYTES >> 10);
    assert_true(counters.bytes_in < (uint64_t)OBJECTS * BYTES * 3 / 2); /* base64 is a third more */
    l.slow = false;
    assert_true(live_run(loop, 5000, is_fresh, &l));
    assert_int_equal(waitpid(writer, &status, 0), writer);
    assert_int_equal(status, 0);
    etcdc_watch_close(watch);
    etcdc_free(client);
    gtm_loop_free(loop);
    close(go[0]);
    close(go[1]);
}

static int start(void **state)
{
    *state = etcd_server_new(NULL);
    return 0;
}

static int stop(void **state)
{
    etcd_server_free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(who_is_slow_lists_nothing)};
    if (!etcd_server_have())
        return 0;
    return cmocka_run_group_tests(tests, start, stop);
}
