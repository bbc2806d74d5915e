/* SPDX-License-Identifier: Apache-2.0
 *
 * Sessions against a real etcd. The order that matters (not valid any more, and only then gone in
 * etcd) is looked at from another process.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/gtm/etcdc/live_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TTL_S 2

static struct etcd_server *server;

struct user {
    struct etcdc_session *session;
    enum etcdc_session_state states[32];
    unsigned count;
    bool close_in_callback;
};

static void on_state(void *arg, enum etcdc_session_state state)
{
    struct user *user = arg;
    if (user->count < 32)
        user->states[user->count++] = state;
    if (user->close_in_callback) {
        etcdc_session_close(user->session, true);
        user->session = NULL;
    }
}

static bool is_held(void *arg)
{
    return etcdc_session_state(((struct user *)arg)->session) == ETCDC_SESSION_HELD;
}

static bool was_lost(void *arg)
{
    const struct user *user = arg;
    return user->count > 0 && user->states[user->count - 1] == ETCDC_SESSION_LOST;
}

static void sleep_ms(unsigned ms)
{
    struct timespec ts = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&ts, NULL);
}

static struct live begin(struct user *user)
{
    struct live live = {.loop = gtm_loop_new()};
    live.client = live_client(live.loop, server, 1, 0);
    memset(user, 0, sizeof(*user));
    user->session = etcdc_session_open(live.client, TTL_S, on_state, user);
    assert_non_null(user->session);
    assert_int_equal(etcdc_session_lease(user->session), 0);
    assert_false(etcdc_session_valid(user->session, 0));
    assert_true(live_run(live.loop, 10000, is_held, user));
    assert_true(etcdc_session_ttl_s(user->session) >= TTL_S);
    assert_true(etcdc_session_valid(user->session, 500));
    assert_false(etcdc_session_valid(user->session, 60000));
    return live;
}

static void end(struct live *live)
{
    etcdc_free(live->client);
    gtm_loop_free(live->loop);
}

static void a_busy_loop_loses_no_lease(void **state)
{
    struct user user;
    struct live live = begin(&user);
    int64_t lease = etcdc_session_lease(user.session);
    live_put(&live, "busy", "x", lease);
    for (int i = 0; i < 10; i++) { /* the loop does nothing for two terms */
        sleep_ms(TTL_S * 200);
        assert_true(etcdc_session_valid(user.session, 200));
    }
    assert_int_equal(live_get(&live, "busy").count, 1);
    assert_int_equal(user.count, 1);
    assert_int_equal(user.states[0], ETCDC_SESSION_HELD);
    etcdc_session_close(user.session, true);
    end(&live);
}

static void a_close_revokes_and_says_nothing(void **state)
{
    struct user user;
    struct live live = begin(&user);
    live_put(&live, "revoked", "x", etcdc_session_lease(user.session));
    live_run(live.loop, 50, NULL, NULL);
    unsigned told = user.count;
    etcdc_session_close(user.session, true);
    uint64_t end_ms = live_ms() + 1500;
    while (live_get(&live, "revoked").count == 1)
        assert_true(live_ms() < end_ms);
    live_run(live.loop, 300, NULL, NULL);
    assert_int_equal(user.count, told);
    etcdc_session_close(NULL, true);
    end(&live);
}

static void a_revoked_lease_is_lost(void **state)
{
    struct user user;
    struct live live = begin(&user);
    struct live_result r = {0};
    live_wait_for(
        live.loop, &r,
        etcdc_lease_revoke(live.client, etcdc_session_lease(user.session), live_done, &r));
    assert_true(live_run(live.loop, TTL_S * 1000, was_lost, &user));
    assert_int_equal(user.count, 2); /* by the next beat's answer, not by the clock */
    assert_false(etcdc_session_valid(user.session, 0));
    assert_int_equal(etcdc_session_lease(user.session), 0);
    etcdc_session_close(user.session, true);
    end(&live);
}

static void a_session_without_servers_is_at_risk_then_lost_for_good(void **state)
{
    struct user user;
    struct live live = begin(&user);
    live_run(live.loop, 50, NULL, NULL);
    uint64_t paused_ms = live_ms();
    etcd_server_pause(server, 0);
    bool lost = live_run(live.loop, TTL_S * 1000 + 500, was_lost, &user);
    uint64_t took_ms = live_ms() - paused_ms;
    bool valid = etcdc_session_valid(user.session, 0);
    etcd_server_resume(server, 0);
    assert_true(lost);
    assert_false(valid);
    assert_true(took_ms <= TTL_S * 1000);
    assert_int_equal(user.count, 3);
    assert_int_equal(user.states[1], ETCDC_SESSION_AT_RISK);
    live_run(live.loop, 1500, NULL, NULL);
    assert_int_equal(user.count, 3);
    assert_false(etcdc_session_valid(user.session, 0));
    etcdc_session_close(user.session, false);
    etcd_server_wait(server, 0);
    end(&live);
}

static void a_session_opens_when_the_servers_come_back(void **state)
{
    struct user user = {0};
    struct live live = {.loop = gtm_loop_new()};
    live.client = live_client(live.loop, server, 1, 0);
    etcd_server_pause(server, 0);
    user.session = etcdc_session_open(live.client, TTL_S, on_state, &user);
    live_run(live.loop, 1500, NULL, NULL);
    etcd_server_resume(server, 0);
    assert_int_equal(user.count, 0);
    assert_true(live_run(live.loop, 10000, is_held, &user));
    etcdc_session_close(user.session, true);
    end(&live);
}

static bool was_told(void *arg)
{
    return ((struct user *)arg)->count > 0;
}

static void closing_is_allowed_anywhere(void **state)
{
    struct live live = {.loop = gtm_loop_new()};
    live.client = live_client(live.loop, server, 1, 0);
    struct user user = {.close_in_callback = true};
    user.session = etcdc_session_open(live.client, TTL_S, on_state, &user);
    assert_true(live_run(live.loop, 10000, was_told, &user));
    for (int i = 0; i < 20; i++) { /* at any step of the opening */
        struct user other = {0};
        other.session = etcdc_session_open(live.client, TTL_S, on_state, &other);
        live_run(live.loop, (unsigned)i, NULL, NULL);
        etcdc_session_close(other.session, i % 2);
    }
    struct user left = {0}; /* found by etcdc_free */
    left.session = etcdc_session_open(live.client, TTL_S, on_state, &left);
    live_run(live.loop, 20, NULL, NULL);
    end(&live);
}

/* --- a process that is suspended --- */

struct shared {
    _Atomic int64_t lease;
    _Atomic uint64_t last_valid_ns; /* when it last believed in its session */
    atomic_bool lost;
};

static void child_main(struct shared *shared)
{
    struct user user = {0};
    struct gtm_loop *loop = gtm_loop_new();
    struct etcdc *client = live_client(loop, server, 1, 0);
    user.session = etcdc_session_open(client, TTL_S, on_state, &user);
    for (;;) {
        live_run(loop, 1, NULL, NULL);
        atomic_store(&shared->lease, etcdc_session_lease(user.session));
        if (etcdc_session_valid(user.session, 0))
            atomic_store(&shared->last_valid_ns, gtm_boot_ns());
        else if (was_lost(&user))
            atomic_store(&shared->lost, true);
    }
}

static bool child_has_lease(void *arg)
{
    return atomic_load(&((struct shared *)arg)->lease) != 0;
}

/* The child is stopped for a while; whenever it ran, did it believe in a lease that was gone? */
static void suspend(struct live *live, unsigned stop_ms, bool must_lose)
{
    struct shared *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    pid_t pid = fork();
    if (pid == 0)
        child_main(shared);
    assert_true(pid > 0);
    bool good = live_run(live->loop, 10000, child_has_lease, shared);
    int64_t lease = atomic_load(&shared->lease);
    char key[32];
    snprintf(key, sizeof(key), "suspended%u", stop_ms);
    live_put(live, key, "x", lease);
    kill(pid, SIGSTOP);
    uint64_t stopped_ms = live_ms(), gone_ns = 0;
    while (live_ms() < stopped_ms + stop_ms)
        if (live_get(live, key).count == 0 && !gone_ns)
            gone_ns = gtm_boot_ns();
    kill(pid, SIGCONT);
    sleep_ms(300);
    uint64_t last_valid_ns = atomic_load(&shared->last_valid_ns);
    bool lost = atomic_load(&shared->lost);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    munmap(shared, sizeof(*shared));
    assert_true(good);
    if (gone_ns)
        assert_true(last_valid_ns < gone_ns);
    if (must_lose) {
        assert_true(lost);
        assert_true(last_valid_ns < stopped_ms * 1000000u + TTL_S * UINT64_C(1000000000));
    } else {
        assert_false(lost);
    }
}

static void a_suspended_process_believes_nothing_afterwards(void **state)
{
    struct live live = {.loop = gtm_loop_new()};
    live.client = live_client(live.loop, server, 1, 0);
    suspend(&live, 400, false);
    suspend(&live, TTL_S * 1000 - 300, true); /* the lease is still there, but only just */
    suspend(&live, TTL_S * 1000 + 1500, true);
    end(&live);
}

static int start(void **state)
{
    server = etcd_server_new(NULL);
    return 0;
}

static int stop(void **state)
{
    etcd_server_free(server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_suspended_process_believes_nothing_afterwards),
        cmocka_unit_test(a_busy_loop_loses_no_lease),
        cmocka_unit_test(a_close_revokes_and_says_nothing),
        cmocka_unit_test(a_revoked_lease_is_lost),
        cmocka_unit_test(a_session_without_servers_is_at_risk_then_lost_for_good),
        cmocka_unit_test(a_session_opens_when_the_servers_come_back),
        cmocka_unit_test(closing_is_allowed_anywhere),
    };
    if (!etcd_server_have())
        return 0;
    return cmocka_run_group_tests(tests, start, stop);
}
