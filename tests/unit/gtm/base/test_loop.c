/* SPDX-License-Identifier: Apache-2.0 */
#include "gtm/base/loop.h"

#include "gtm/base/clock.h"
#include "gtm/base/mem.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct gtm_loop *loop;
static struct gtm_timer *guard;
static bool timed_out;

static void give_up(void *arg)
{
    timed_out = true;
    gtm_loop_stop(loop);
}

static int setup(void **state)
{
    loop = gtm_loop_new();
    guard = loop ? gtm_timer_new(loop, give_up, NULL) : NULL;
    timed_out = false;
    return guard ? 0 : -1;
}

static int teardown(void **state)
{
    gtm_mem_fail_at(0, 0);
    gtm_timer_free(guard);
    gtm_loop_free(loop);
    return 0;
}

static void run(void)
{
    gtm_timer_start(guard, 30000);
    assert_int_equal(gtm_loop_run(loop), 0);
    assert_false(timed_out);
}

static void stop_now(void *arg)
{
    gtm_loop_stop(loop);
}

static void a_stop_before_the_run_counts(void **state)
{
    gtm_loop_stop(loop);
    run();
    assert_int_equal(gtm_loop_post(loop, stop_now, NULL), 0);
    run(); /* and only once */
}

#define POSTERS 4
#define POSTS   3000
static unsigned next_of[POSTERS], posted_total;
static bool out_of_order;

static void received(void *arg)
{
    unsigned v = (unsigned)(uintptr_t)arg, who = v / 100000, i = v % 100000;
    out_of_order |= next_of[who] != i;
    next_of[who] = i + 1;
    if (++posted_total == POSTERS * POSTS)
        gtm_loop_stop(loop);
}

static void *poster(void *arg)
{
    uintptr_t who = (uintptr_t)arg;
    for (uintptr_t i = 0; i < POSTS; i++)
        while (gtm_loop_post(loop, received, (void *)(who * 100000 + i)) != 0)
            sched_yield();
    return NULL;
}

static void posts_of_many_threads_arrive_in_order(void **state)
{
    pthread_t threads[POSTERS];
    for (uintptr_t i = 0; i < POSTERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, poster, (void *)i), 0);
    run();
    for (int i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(posted_total, POSTERS * POSTS);
    assert_false(out_of_order);
}

static unsigned nested;
static void post_again(void *arg)
{
    if (++nested == 100)
        gtm_loop_stop(loop);
    else
        assert_int_equal(gtm_loop_post(loop, post_again, NULL), 0);
}

static void a_post_may_post(void **state)
{
    assert_int_equal(gtm_loop_post(loop, post_again, NULL), 0);
    run();
    assert_int_equal(nested, 100);
}

static unsigned seen;
static void count(void *arg)
{
    if (++seen == 65536)
        gtm_loop_stop(loop);
}

static void posts_are_bounded(void **state)
{
    unsigned n = 0;
    int rc;
    while ((rc = gtm_loop_post(loop, count, NULL)) == 0)
        n++;
    assert_int_equal(rc, GTM_ELIMIT);
    assert_int_equal(n, 65536);
    run();
    assert_int_equal(seen, 65536);
    gtm_mem_fail_at(1, 0);
    assert_int_equal(gtm_loop_post(loop, count, NULL), GTM_ENOMEM);
    assert_int_equal(gtm_loop_post(loop, count, NULL), 0);
}

struct ticker {
    struct gtm_timer *timer;
    unsigned left;
    uint64_t started_ns, earliest_ns;
};

static void tick(void *arg)
{
    struct ticker *t = arg;
    uint64_t now = gtm_mono_ns(gtm_clock_system());
    if (now - t->started_ns < t->earliest_ns)
        t->earliest_ns = now - t->started_ns;
    if (--t->left > 0) {
        /* A slow callback: the new delay must count from here, not from the start of the round. */
        nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
        t->started_ns = gtm_mono_ns(gtm_clock_system());
        gtm_timer_start_us(t->timer, 2000);
        return;
    }
    gtm_timer_free(t->timer); /* allowed in its own callback */
    t->timer = NULL;
    gtm_loop_stop(loop);
}

static void timers_are_rearmed_and_never_early(void **state)
{
    struct ticker t = {.left = 5, .earliest_ns = UINT64_MAX};
    t.timer = gtm_timer_new(loop, tick, &t);
    t.started_ns = gtm_mono_ns(gtm_clock_system());
    gtm_timer_start(t.timer, 2);
    run();
    assert_null(t.timer);
    assert_true(t.earliest_ns >= 1990000);
}

static unsigned fired;
static void fire(void *arg)
{
    fired += (unsigned)(uintptr_t)arg;
}

static void timers_stop_and_order(void **state)
{
    struct gtm_timer *a = gtm_timer_new(loop, fire, (void *)1),
                     *b = gtm_timer_new(loop, fire, (void *)10),
                     *c = gtm_timer_new(loop, fire, (void *)100),
                     *end = gtm_timer_new(loop, stop_now, NULL);
    gtm_timer_start(a, 1);
    gtm_timer_start(b, 1);
    gtm_timer_stop(b);
    gtm_timer_start(c, 1);
    gtm_timer_start(c, UINT64_MAX); /* re-armed: centuries away, clamped */
    gtm_timer_start(end, 20);
    run();
    assert_int_equal(fired, 1);
    gtm_timer_free(a);
    gtm_timer_free(b);
    gtm_timer_free(c);
    gtm_timer_free(end);
    gtm_timer_free(NULL);
}

static int got_signal;
static void on_signal(void *arg, int signum)
{
    got_signal = signum;
    gtm_loop_stop(loop);
}

static void signals_arrive(void **state)
{
    assert_int_equal(gtm_loop_signal(loop, SIGUSR1, on_signal, NULL), 0);
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    run();
    assert_int_equal(got_signal, SIGUSR1);
}

static pthread_t loop_thread;
static atomic_uint worked;
static unsigned done_count;
static bool wrong_thread;

static void work(void *arg)
{
    if (pthread_equal(pthread_self(), loop_thread))
        wrong_thread = true;
    atomic_fetch_add(&worked, 1);
}

static void done(void *arg)
{
    if (!pthread_equal(pthread_self(), loop_thread))
        wrong_thread = true;
    if (++done_count == 500)
        gtm_loop_stop(loop);
}

static void work_runs_elsewhere_and_is_done_here(void **state)
{
    loop_thread = pthread_self();
    atomic_store(&worked, 0);
    done_count = 0;
    for (int i = 0; i < 500; i++)
        assert_int_equal(gtm_loop_work(loop, work, done, NULL), 0);
    run();
    assert_int_equal(atomic_load(&worked), 500);
    assert_int_equal(done_count, 500);
    assert_false(wrong_thread);
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static void wait_at_gate(void *arg)
{
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    atomic_fetch_add(&worked, 1);
}

static void queued_work_is_bounded_and_finished_on_free(void **state)
{
    atomic_store(&worked, 0);
    done_count = 0;
    pthread_mutex_lock(&gate);
    unsigned n = 0;
    while (gtm_loop_work(loop, wait_at_gate, done, NULL) == 0)
        n++;
    assert_in_range(n, 1024, 1026); /* the two helpers may have taken one each */
    pthread_mutex_unlock(&gate);
    gtm_timer_free(guard);
    guard = NULL;
    gtm_loop_free(loop);
    loop = NULL;
    assert_int_equal(atomic_load(&worked), n);
    assert_int_equal(done_count, 0); /* undelivered, and not leaked */
}

/* What a job holds is let go of also when the loop ends before its turn. */
static void sure_work_is_done_on_free(void **state)
{
    loop_thread = pthread_self();
    atomic_store(&worked, 0);
    done_count = 0;
    for (int i = 0; i < 20; i++)
        assert_int_equal(gtm_loop_work_sure(loop, work, done, NULL), 0);
    assert_int_equal(gtm_loop_work(loop, work, done, NULL), 0);
    gtm_timer_free(guard);
    guard = NULL;
    gtm_loop_free(loop);
    loop = NULL;
    assert_int_equal(atomic_load(&worked), 21);
    assert_int_equal(done_count, 20);
    assert_false(wrong_thread);
}

int main(void)
{
#define LOOP_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        LOOP_TEST(a_stop_before_the_run_counts),
        LOOP_TEST(posts_of_many_threads_arrive_in_order),
        LOOP_TEST(a_post_may_post),
        LOOP_TEST(posts_are_bounded),
        LOOP_TEST(timers_are_rearmed_and_never_early),
        LOOP_TEST(timers_stop_and_order),
        LOOP_TEST(signals_arrive),
        LOOP_TEST(work_runs_elsewhere_and_is_done_here),
        LOOP_TEST(queued_work_is_bounded_and_finished_on_free),
        LOOP_TEST(sure_work_is_done_on_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
