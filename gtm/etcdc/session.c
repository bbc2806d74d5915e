/* SPDX-License-Identifier: Apache-2.0
 *
 * A session: a thread with a loop and a client of its own keeps a lease alive. See etcdc.h; the
 * arithmetic is session_clock.h.
 *
 * Happy path: etcdc_session_open → thread → grant → on_granted → publish (atomics, an eventfd) →
 * on_wake on the client's loop → the user's callback. Beats follow from on_tick. A lost session
 * stays lost: its lease may be alive in etcd, but whoever saw it end must not see it come back.
 *
 * The end: close tells the thread to stop; it revokes, at most REVOKE_MS, and wakes the client's
 * loop a last time, which joins it and frees. etcdc_free does that for those that are left.
 */
#include "gtm/etcdc/session_int.h"

#include "gtm/base/clock.h"
#include "gtm/base/mem.h"
#include "gtm/etcdc/session_clock.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CALL_MS   1000u /* deadline of a beat */
#define REVOKE_MS 500u
#define TTL_MAX_S 86400

enum stop { RUN = 0, STOP, STOP_AND_REVOKE };

struct etcdc_session {
    struct etcdc__leftover leftover; /* first */

    /* Of the client's loop. */
    etcdc_session_fn *cb;
    void *arg;
    struct event *wake_ev;
    enum etcdc_session_state told;
    struct etcdc__standing *standings;
    bool closed, started;
    unsigned busy;
    pthread_t thread;

    /* Of everybody. */
    int wake_fd;
    _Atomic int64_t lease, ttl_s;
    _Atomic uint64_t valid_until_ns; /* CLOCK_BOOTTIME; 0 = not valid */
    atomic_int state, stop;
    atomic_bool ended; /* the thread has nothing more to do with this */

    /* Of the thread. */
    struct gtm_loop *loop;
    struct etcdc *client;
    struct gtm_timer *tick, *give_up;
    int64_t asked_ttl_s, own_lease; /* own_lease: also after the loss, to be revoked */
    struct etcdc__term term;
    uint64_t sent_ns, failed_sent_ns;
    bool calling, stopping;
};

static void wake(struct etcdc_session *s)
{
    uint64_t one = 1;
    ssize_t n;
    do
        n = write(s->wake_fd, &one, sizeof(one));
    while (n < 0 && errno == EINTR);
}

/* --- the thread --- */

static void set_state(struct etcdc_session *s, enum etcdc_session_state state)
{
    if (atomic_exchange(&s->state, (int)state) != (int)state)
        wake(s);
}

static void publish(struct etcdc_session *s, int64_t ttl_s)
{
    s->term = etcdc__term(s->sent_ns, ttl_s);
    s->failed_sent_ns = 0;
    atomic_store(&s->ttl_s, ttl_s);
    atomic_store(&s->lease, s->own_lease);
    atomic_store(&s->valid_until_ns, etcdc__term_valid_until(&s->term));
    set_state(s, ETCDC_SESSION_HELD);
}

static void lose(struct etcdc_session *s)
{
    atomic_store(&s->valid_until_ns, 0);
    atomic_store(&s->lease, 0);
    gtm_timer_stop(s->tick);
    set_state(s, ETCDC_SESSION_LOST);
}

static bool is_lost(const struct etcdc_session *s)
{
    return atomic_load(&s->state) == ETCDC_SESSION_LOST;
}

static void ended(void *arg, const struct etcdc_answer *answer)
{
    (void)answer;
    struct etcdc_session *s = arg;
    gtm_loop_stop(s->loop);
}

/* The last thing: revokes, then ends the loop. */
static void finish(struct etcdc_session *s)
{
    bool revoke = atomic_load(&s->stop) == STOP_AND_REVOKE && s->own_lease != 0;
    if (!revoke || etcdc_lease_revoke(s->client, s->own_lease, ended, s))
        gtm_loop_stop(s->loop);
}

static void plan(struct etcdc_session *s, uint64_t now)
{
    uint64_t at = etcdc__term_beat_at(&s->term, s->failed_sent_ns);
    if (s->calling && !s->own_lease)
        return; /* on_granted plans */
    if (s->own_lease) {
        uint64_t until = etcdc__term_valid_until(&s->term), risk = etcdc__term_risk_at(&s->term);
        bool at_risk = atomic_load(&s->state) == ETCDC_SESSION_AT_RISK;
        if (s->calling || at > until)
            at = until;
        if (!at_risk && at > risk)
            at = risk;
    }
    gtm_timer_start(s->tick, at > now ? (at - now) / 1000000u + 1 : 1);
}

static void on_granted(void *arg, const struct etcdc_answer *answer)
{
    struct etcdc_session *s = arg;
    s->calling = false;
    if (answer->code == ETCDC_OK && answer->ttl_s > 0 && answer->lease != 0)
        s->own_lease = answer->lease;
    else
        s->failed_sent_ns = s->sent_ns;
    if (s->stopping) {
        finish(s);
        return;
    }
    if (s->own_lease)
        publish(s, answer->ttl_s);
    plan(s, gtm_boot_ns());
}

static void on_kept(void *arg, const struct etcdc_answer *answer)
{
    struct etcdc_session *s = arg;
    s->calling = false;
    if (s->stopping || is_lost(s))
        return;
    uint64_t now = gtm_boot_ns();
    bool late = now >= etcdc__term_valid_until(&s->term);
    if (late || answer->code == ETCDC_E_LEASE_NOT_FOUND ||
        (answer->code == ETCDC_OK && answer->ttl_s <= 0)) {
        lose(s);
        return;
    }
    if (answer->code == ETCDC_OK)
        publish(s, answer->ttl_s);
    else
        s->failed_sent_ns = s->sent_ns;
    plan(s, now);
}

static void call(struct etcdc_session *s, uint64_t now)
{
    s->sent_ns = now;
    int code = s->own_lease ? etcdc_lease_keep_alive(s->client, s->own_lease, on_kept, s)
                            : etcdc_lease_grant(s->client, s->asked_ttl_s, on_granted, s);
    s->calling = code == ETCDC_OK;
    if (code)
        s->failed_sent_ns = now;
}

static void on_tick(void *arg)
{
    struct etcdc_session *s = arg;
    uint64_t now = gtm_boot_ns();
    if (s->own_lease && now >= etcdc__term_valid_until(&s->term)) {
        lose(s);
        return;
    }
    if (s->own_lease && now >= etcdc__term_risk_at(&s->term))
        set_state(s, ETCDC_SESSION_AT_RISK);
    if (!s->calling && now >= etcdc__term_beat_at(&s->term, s->failed_sent_ns))
        call(s, now);
    plan(s, now);
}

static void on_give_up(void *arg)
{
    struct etcdc_session *s = arg;
    gtm_loop_stop(s->loop);
}

/* Posted by whoever closes. */
static void on_stop(void *arg)
{
    struct etcdc_session *s = arg;
    s->stopping = true;
    atomic_store(&s->valid_until_ns, 0);
    gtm_timer_stop(s->tick);
    gtm_timer_start(s->give_up, REVOKE_MS);
    if (!s->calling || s->own_lease) /* a grant under way is waited for: it is to be revoked */
        finish(s);
}

static void *thread_main(void *arg)
{
    struct etcdc_session *s = arg;
    gtm_timer_start(s->tick, 0);
    gtm_loop_run(s->loop);
    etcdc_free(s->client); /* its connections, before who waits goes on */
    s->client = NULL;
    atomic_store(&s->valid_until_ns, 0);
    atomic_store(&s->ended, true);
    wake(s);
    return NULL;
}

/* --- the client's loop --- */

static void session_free(struct etcdc_session *s)
{
    etcdc__leftover_remove(&s->leftover);
    if (s->started)
        pthread_join(s->thread, NULL);
    if (s->wake_ev)
        event_free(s->wake_ev);
    if (s->wake_fd >= 0)
        close(s->wake_fd);
    etcdc_free(s->client); /* of a thread that never was */
    if (s->loop) {
        gtm_timer_free(s->tick);
        gtm_timer_free(s->give_up);
        gtm_loop_free(s->loop);
    }
    gtm_free(s);
}

static void stop(struct etcdc_session *s, bool revoke)
{
    atomic_store(&s->stop, revoke ? STOP_AND_REVOKE : STOP);
    if (gtm_loop_post(s->loop, on_stop, s))
        gtm_loop_stop(s->loop);
}

static void end_standings(struct etcdc_session *s)
{
    while (s->standings) {
        struct etcdc__standing *standing = s->standings;
        etcdc__session_leave(standing);
        standing->lost(standing);
    }
}

static void leave(struct etcdc_session *s)
{
    s->busy--;
    if (s->closed && s->busy == 0 && atomic_load(&s->ended))
        session_free(s);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct etcdc_session *s = arg;
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof(count)); /* before the state: a later one wakes again */
    (void)n;
    s->busy++;
    enum etcdc_session_state state = etcdc_session_state(s);
    if (!s->closed && state != s->told) {
        s->told = state;
        if (state == ETCDC_SESSION_LOST)
            end_standings(s);
        if (s->cb)
            s->cb(s->arg, state);
    }
    leave(s);
}

static void drop(struct etcdc__leftover *leftover)
{
    struct etcdc_session *s = (struct etcdc_session *)leftover;
    end_standings(s);
    if (!s->closed)
        stop(s, false);
    session_free(s);
}

static bool start_thread(struct etcdc_session *s)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the thread that runs the loop */
    s->started = pthread_create(&s->thread, NULL, thread_main, s) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return s->started;
}

static bool set_up(struct etcdc_session *s, struct etcdc *client)
{
    struct gtm_error err = {0};
    s->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    s->loop = gtm_loop_new();
    if (s->wake_fd < 0 || !s->loop)
        return false;
    s->wake_ev =
        event_new(gtm_loop_base(client->loop), s->wake_fd, EV_READ | EV_PERSIST, on_wake, s);
    s->tick = gtm_timer_new(s->loop, on_tick, s);
    s->give_up = gtm_timer_new(s->loop, on_give_up, s);
    s->client = etcdc__clone(client, s->loop, CALL_MS, &err);
    return s->wake_ev && s->tick && s->give_up && s->client && event_add(s->wake_ev, NULL) == 0 &&
           start_thread(s);
}

struct etcdc_session *etcdc_session_open(struct etcdc *client, int64_t ttl_s, etcdc_session_fn *cb,
                                         void *arg)
{
    struct etcdc_session *s = gtm_calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->cb = cb;
    s->arg = arg;
    s->asked_ttl_s = ttl_s < 1 ? 1 : ttl_s > TTL_MAX_S ? TTL_MAX_S : ttl_s;
    s->wake_fd = -1;
    if (!set_up(s, client)) {
        session_free(s);
        return NULL;
    }
    etcdc__leftover_add(client, &s->leftover, drop);
    return s;
}

void etcdc_session_close(struct etcdc_session *session, bool revoke)
{
    if (!session || session->closed)
        return;
    session->busy++;
    session->closed = true;
    end_standings(session);
    atomic_store(&session->valid_until_ns, 0);
    stop(session, revoke);
    leave(session);
}

/* --- any thread --- */

int64_t etcdc_session_lease(const struct etcdc_session *session)
{
    return atomic_load(&session->lease);
}

int64_t etcdc_session_ttl_s(const struct etcdc_session *session)
{
    return atomic_load(&session->ttl_s);
}

enum etcdc_session_state etcdc_session_state(const struct etcdc_session *session)
{
    return (enum etcdc_session_state)atomic_load(&session->state);
}

bool etcdc_session_valid(const struct etcdc_session *session, uint32_t need_ms)
{
    uint64_t until = atomic_load(&session->valid_until_ns);
    return until > 0 && gtm_boot_ns() + (uint64_t)need_ms * 1000000u < until;
}

/* --- for elections --- */

void etcdc__session_join(struct etcdc_session *session, struct etcdc__standing *standing,
                         void (*lost)(struct etcdc__standing *standing))
{
    standing->lost = lost;
    standing->prev = &session->standings;
    standing->next = session->standings;
    if (standing->next)
        standing->next->prev = &standing->next;
    session->standings = standing;
}

void etcdc__session_leave(struct etcdc__standing *standing)
{
    if (!standing->prev)
        return;
    *standing->prev = standing->next;
    if (standing->next)
        standing->next->prev = standing->prev;
    standing->next = NULL;
    standing->prev = NULL;
}

struct etcdc__standing *etcdc__session_standings(const struct etcdc_session *session)
{
    return session->standings;
}
