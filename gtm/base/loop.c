/* SPDX-License-Identifier: Apache-2.0
 *
 * The event loop over libevent. Other threads never call libevent: they append to a list under a
 * mutex and write an eventfd that the loop watches. Two traps are closed here: a stop before or
 * between runs is not lost, and timers count from the moment they are started, not from the start
 * of the loop's round. See loop.h.
 *
 * Happy path: post → list → eventfd → run_posts on the loop's thread, in order. Work: queue →
 * helper thread → its own node is posted back, which cannot fail. On free: helpers finish the queue
 * and are joined, then what was posted is dropped.
 */
#include "gtm/base/loop.h"

#include "gtm/base/mem.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAX_POSTS   65536u
#define MAX_WORK    1024u
#define HELPERS     2u
#define MAX_SIGNALS 16u
#define MAX_DELAY_S (10ull * 365 * 86400) /* what libevent's heap of timevals certainly holds */

struct task {
    struct task *next;
    void (*fn)(void *arg); /* a post, or the done of a job */
    void (*work)(void *arg);
    void *arg;
    bool sure; /* fn is called even when the loop is freed */
};

struct queue {
    struct task *first, **last;
    unsigned count;
};

struct signal_slot {
    struct event *ev;
    void (*cb)(void *arg, int signum);
    void *arg;
};

struct gtm_loop {
    struct event_base *base;
    struct event *wake_ev;
    int wake_fd;
    atomic_bool stopping;
    struct signal_slot signals[MAX_SIGNALS];
    unsigned signal_count;

    pthread_mutex_t mutex; /* everything below */
    pthread_cond_t work_ready;
    struct queue posts; /* count: since it was last taken, without finished work */
    struct queue work;
    pthread_t helpers[HELPERS];
    unsigned helper_count;
    bool closing;
};

struct gtm_timer {
    struct event *ev;
    void (*cb)(void *arg);
    void *arg;
};

static void queue_init(struct queue *q)
{
    *q = (struct queue){.last = &q->first};
}

static void queue_push(struct queue *q, struct task *t)
{
    t->next = NULL;
    *q->last = t;
    q->last = &t->next;
}

static struct task *queue_take_all(struct queue *q)
{
    struct task *first = q->first;
    queue_init(q);
    return first;
}

static void wake(struct gtm_loop *loop)
{
    uint64_t one = 1;
    ssize_t n;
    do
        n = write(loop->wake_fd, &one, sizeof(one));
    while (n < 0 && errno == EINTR);
    /* EAGAIN means that the counter is full, so the loop is awake already. */
}

static void run_posts(struct gtm_loop *loop)
{
    pthread_mutex_lock(&loop->mutex);
    struct task *t = queue_take_all(&loop->posts);
    pthread_mutex_unlock(&loop->mutex);
    while (t) {
        struct task *next = t->next;
        void (*fn)(void *) = t->fn;
        void *arg = t->arg;
        gtm_free(t);
        if (fn)
            fn(arg);
        t = next;
    }
}

static void on_wake(evutil_socket_t fd, short what, void *ctx)
{
    (void)what;
    struct gtm_loop *loop = ctx;
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof(count)); /* before the posts: a later one wakes again */
    (void)n;
    run_posts(loop);
    if (atomic_load(&loop->stopping))
        event_base_loopbreak(loop->base);
}

static void enable_locking(void)
{
    evthread_use_pthreads();
}

static struct event_base *new_base(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, enable_locking);
    struct event_config *config = event_config_new();
    if (!config)
        return NULL;
    /* Without the cached time a timer started in a slow callback does not fire early. */
    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER | EVENT_BASE_FLAG_NO_CACHE_TIME);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

struct gtm_loop *gtm_loop_new(void)
{
    struct gtm_loop *loop = gtm_calloc(1, sizeof(*loop));
    if (!loop)
        return NULL;
    queue_init(&loop->posts);
    queue_init(&loop->work);
    pthread_mutex_init(&loop->mutex, NULL);
    pthread_cond_init(&loop->work_ready, NULL);
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop->base = loop->wake_fd >= 0 ? new_base() : NULL;
    if (loop->base)
        loop->wake_ev = event_new(loop->base, loop->wake_fd, EV_READ | EV_PERSIST, on_wake, loop);
    if (!loop->wake_ev || event_add(loop->wake_ev, NULL) != 0) {
        gtm_loop_free(loop);
        return NULL;
    }
    return loop;
}

static void free_tasks(struct task *t)
{
    while (t) {
        struct task *next = t->next;
        if (t->sure)
            t->fn(t->arg);
        gtm_free(t);
        t = next;
    }
}

void gtm_loop_free(struct gtm_loop *loop)
{
    if (!loop)
        return;
    pthread_mutex_lock(&loop->mutex);
    loop->closing = true;
    pthread_cond_broadcast(&loop->work_ready);
    pthread_mutex_unlock(&loop->mutex);
    for (unsigned i = 0; i < loop->helper_count; i++)
        pthread_join(loop->helpers[i], NULL);
    free_tasks(loop->posts.first);
    for (unsigned i = 0; i < loop->signal_count; i++)
        event_free(loop->signals[i].ev);
    if (loop->wake_ev)
        event_free(loop->wake_ev);
    if (loop->base)
        event_base_free(loop->base);
    if (loop->wake_fd >= 0)
        close(loop->wake_fd);
    pthread_cond_destroy(&loop->work_ready);
    pthread_mutex_destroy(&loop->mutex);
    gtm_free(loop);
}

int gtm_loop_run(struct gtm_loop *loop)
{
    int rc = GTM_OK;
    while (!atomic_load(&loop->stopping))
        if (event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY) < 0) {
            rc = GTM_EIO;
            break;
        }
    atomic_store(&loop->stopping, false);
    return rc;
}

void gtm_loop_stop(struct gtm_loop *loop)
{
    atomic_store(&loop->stopping, true);
    wake(loop);
}

struct event_base *gtm_loop_base(struct gtm_loop *loop)
{
    return loop->base;
}

int gtm_loop_post(struct gtm_loop *loop, void (*fn)(void *arg), void *arg)
{
    struct task *t = gtm_malloc(sizeof(*t));
    if (!t)
        return GTM_ENOMEM;
    *t = (struct task){.fn = fn, .arg = arg};
    pthread_mutex_lock(&loop->mutex);
    bool full = loop->posts.count >= MAX_POSTS;
    bool first = loop->posts.first == NULL;
    if (!full) {
        queue_push(&loop->posts, t);
        loop->posts.count++;
    }
    pthread_mutex_unlock(&loop->mutex);
    if (full) {
        gtm_free(t);
        return GTM_ELIMIT;
    }
    if (first) /* else the one that made the list non-empty woke the loop, which has not taken it
                  yet */
        wake(loop);
    return GTM_OK;
}

/* --- timers --- */

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    const struct gtm_timer *timer = ctx;
    timer->cb(timer->arg); /* may free the timer */
}

struct gtm_timer *gtm_timer_new(struct gtm_loop *loop, void (*cb)(void *arg), void *arg)
{
    struct gtm_timer *timer = gtm_malloc(sizeof(*timer));
    if (!timer)
        return NULL;
    *timer = (struct gtm_timer){.cb = cb, .arg = arg};
    timer->ev = evtimer_new(loop->base, on_timer, timer);
    if (!timer->ev) {
        gtm_free(timer);
        return NULL;
    }
    return timer;
}

void gtm_timer_start_us(struct gtm_timer *timer, uint64_t delay_us)
{
    uint64_t seconds = delay_us / 1000000;
    struct timeval tv = {
        .tv_sec = (time_t)(seconds < MAX_DELAY_S ? seconds : MAX_DELAY_S),
        .tv_usec = (suseconds_t)(delay_us % 1000000),
    };
    /* It can fail only when libevent's heap of timers cannot grow; an earlier start then stays in
     * force. */
    evtimer_add(timer->ev, &tv);
}

void gtm_timer_start(struct gtm_timer *timer, uint64_t delay_ms)
{
    gtm_timer_start_us(timer, delay_ms < UINT64_MAX / 1000 ? delay_ms * 1000 : UINT64_MAX);
}

void gtm_timer_stop(struct gtm_timer *timer)
{
    evtimer_del(timer->ev);
}

void gtm_timer_free(struct gtm_timer *timer)
{
    if (!timer)
        return;
    event_free(timer->ev);
    gtm_free(timer);
}

/* --- signals --- */

static void on_signal(evutil_socket_t signum, short what, void *ctx)
{
    (void)what;
    const struct signal_slot *slot = ctx;
    slot->cb(slot->arg, (int)signum);
}

int gtm_loop_signal(struct gtm_loop *loop, int signum, void (*cb)(void *arg, int signum), void *arg)
{
    if (loop->signal_count == MAX_SIGNALS)
        return GTM_ELIMIT;
    struct signal_slot *slot = &loop->signals[loop->signal_count];
    *slot = (struct signal_slot){.cb = cb, .arg = arg};
    slot->ev = evsignal_new(loop->base, signum, on_signal, slot);
    if (!slot->ev)
        return GTM_ENOMEM;
    if (evsignal_add(slot->ev, NULL) != 0) {
        event_free(slot->ev);
        return GTM_EINVAL;
    }
    loop->signal_count++;
    return GTM_OK;
}

/* --- work on helper threads --- */

static void *helper_main(void *ctx)
{
    struct gtm_loop *loop = ctx;
    pthread_mutex_lock(&loop->mutex);
    for (;;) {
        while (!loop->work.first && !loop->closing)
            pthread_cond_wait(&loop->work_ready, &loop->mutex);
        struct task *t = loop->work.first;
        if (!t)
            break; /* closing, and the queue is done */
        loop->work.first = t->next;
        if (!t->next)
            loop->work.last = &loop->work.first;
        loop->work.count--;
        pthread_mutex_unlock(&loop->mutex);
        t->work(t->arg);
        pthread_mutex_lock(&loop->mutex);
        bool first = loop->posts.first == NULL;
        queue_push(&loop->posts, t); /* the job's own node, so this cannot fail */
        if (first)
            wake(loop);
    }
    pthread_mutex_unlock(&loop->mutex);
    return NULL;
}

/* Starts the helpers with all signals blocked, so that signals reach the loop's thread. One is
 * enough to go on. */
static int start_helpers(struct gtm_loop *loop)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (loop->helper_count < HELPERS) {
        if (pthread_create(&loop->helpers[loop->helper_count], NULL, helper_main, loop) != 0)
            break;
        loop->helper_count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return loop->helper_count > 0 ? GTM_OK : GTM_EIO;
}

static int add_work(struct gtm_loop *loop, void (*work)(void *arg), void (*done)(void *arg),
                    void *arg, bool sure)
{
    struct task *t = gtm_malloc(sizeof(*t));
    if (!t)
        return GTM_ENOMEM;
    *t = (struct task){.fn = done, .work = work, .arg = arg, .sure = sure};
    pthread_mutex_lock(&loop->mutex);
    int rc = loop->work.count >= MAX_WORK ? GTM_ELIMIT : GTM_OK;
    if (rc == GTM_OK && loop->helper_count < HELPERS)
        rc = start_helpers(loop);
    if (rc == GTM_OK) {
        queue_push(&loop->work, t);
        loop->work.count++;
        pthread_cond_signal(&loop->work_ready);
    }
    pthread_mutex_unlock(&loop->mutex);
    if (rc != GTM_OK)
        gtm_free(t);
    return rc;
}

int gtm_loop_work(struct gtm_loop *loop, void (*work)(void *arg), void (*done)(void *arg),
                  void *arg)
{
    return add_work(loop, work, done, arg, false);
}

int gtm_loop_work_sure(struct gtm_loop *loop, void (*work)(void *arg), void (*done)(void *arg),
                       void *arg)
{
    return add_work(loop, work, done, arg, true);
}
