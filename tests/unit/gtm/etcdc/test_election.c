/* SPDX-License-Identifier: Apache-2.0
 *
 * Elections against real etcd servers. The last test is the one that matters: candidates and
 * members are suspended at random, every candidate writes what it believes to be allowed to, and
 * the history that etcd has of it must be one of leaders that follow each other.
 */
#include "gtm/base/rand.h"
#include "tests/unit/gtm/etcdc/live_fixture.h"

#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define TTL_S      2
#define PREFIX     "e/"
#define CANDIDATES 3
#define REGISTER   "register"

static struct etcd_server *one, *three;

struct candidate {
    struct gtm_loop *loop;
    struct etcdc *client;
    struct etcdc_session *session;
    struct etcdc_election *election;
    enum etcdc_election_state state;
    unsigned told;
    bool resign_at_once;
};

static void on_state(void *arg, enum etcdc_election_state state)
{
    struct candidate *c = arg;
    c->state = state;
    c->told++;
    if (c->resign_at_once) {
        etcdc_resign(c->election);
        c->election = NULL;
    }
}

static bool is_held(void *arg)
{
    return etcdc_session_state(((struct candidate *)arg)->session) == ETCDC_SESSION_HELD;
}

static bool leads(void *arg)
{
    const struct candidate *c = arg;
    return c->state == ETCDC_ELECTED && etcdc_leads(c->election, 0);
}

static bool has_ended(void *arg)
{
    return ((struct candidate *)arg)->state == ETCDC_ENDED;
}

static void stand(struct candidate *c)
{
    c->state = ETCDC_WAITING;
    c->election = etcdc_elect(c->client, c->session, PREFIX, etcdc_str("me"), on_state, c);
    assert_non_null(c->election);
}

static void open_candidate(struct candidate *c, struct gtm_loop *loop)
{
    memset(c, 0, sizeof(*c));
    c->loop = loop;
    c->client = live_client(loop, one, 1, 0);
    c->session = etcdc_session_open(c->client, TTL_S, NULL, NULL);
    assert_true(live_run(loop, 10000, is_held, c));
    stand(c);
}

static void close_candidate(struct candidate *c)
{
    etcdc_resign(c->election);
    etcdc_session_close(c->session, true);
    etcdc_free(c->client);
}

static struct live_result guarded_put(struct candidate *c, const char *key, const char *value,
                                      int *ret_guard)
{
    struct etcdc_txn *txn = etcdc_txn_new();
    struct live_result r = {0};
    *ret_guard = etcdc_guard(c->election, txn);
    etcdc_txn_put(txn, false, etcdc_str(key), etcdc_str(value), 0, 0);
    return live_wait_for(c->loop, &r, etcdc_commit(c->client, txn, 0, live_done, &r));
}

static void the_first_leads_then_the_next(void **state)
{
    struct gtm_loop *loop = gtm_loop_new();
    struct candidate a, b;
    int guard;
    open_candidate(&a, loop);
    assert_int_equal(etcdc_election_fence(a.election), 0);
    assert_true(live_run(loop, 5000, leads, &a));
    int64_t fence = etcdc_election_fence(a.election);
    assert_true(fence > 0);
    open_candidate(&b, loop);
    live_run(loop, 500, NULL, NULL);
    assert_int_equal(b.told, 0);
    assert_false(etcdc_leads(b.election, 0));
    struct live_result r = guarded_put(&a, "fact", "of a", &guard);
    assert_true(guard == ETCDC_OK && r.succeeded);
    guarded_put(&b, "fact", "of b", &guard);
    assert_int_equal(guard, ETCDC_E_SESSION_LOST);
    etcdc_resign(a.election);
    assert_true(live_run(loop, 2000, leads, &b));
    assert_true(etcdc_election_fence(b.election) > fence);
    /* The same session stands again: behind whoever leads, with a new fence. */
    stand(&a);
    live_run(loop, 300, NULL, NULL);
    assert_false(etcdc_leads(a.election, 0));
    etcdc_resign(b.election);
    b.election = NULL;
    assert_true(live_run(loop, 2000, leads, &a));
    assert_true(etcdc_election_fence(a.election) > fence);
    close_candidate(&a);
    close_candidate(&b);
    gtm_loop_free(loop);
}

/* A resignation and the next standing of the same session have the same key. */
static void who_resigns_may_stand_at_once(void **state)
{
    struct gtm_loop *loop = gtm_loop_new();
    struct candidate a;
    open_candidate(&a, loop);
    int64_t fence = 0;
    for (unsigned i = 0; i < 20; i++) {
        if (i % 2) { /* else in the middle of something */
            assert_true(live_run(loop, 5000, leads, &a));
            assert_true(etcdc_election_fence(a.election) > fence);
            fence = etcdc_election_fence(a.election);
        } else {
            live_run(loop, i, NULL, NULL);
        }
        etcdc_resign(a.election);
        stand(&a);
    }
    assert_true(live_run(loop, 5000, leads, &a));
    live_run(loop, TTL_S * 1000 + 500, NULL, NULL); /* nothing of before comes after it */
    assert_true(leads(&a));
    close_candidate(&a);
    gtm_loop_free(loop);
}

static void a_key_that_is_gone_ends_it(void **state)
{
    struct gtm_loop *loop = gtm_loop_new();
    struct candidate a, b;
    open_candidate(&a, loop);
    assert_true(live_run(loop, 5000, leads, &a));
    open_candidate(&b, loop);
    live_run(loop, 300, NULL, NULL);
    struct live live = {loop, a.client};
    live_delete(&live, etcdc_election_key(b.election)); /* also of who waits */
    assert_true(live_run(loop, 2000, has_ended, &b));
    assert_true(leads(&a));
    live_delete(&live, etcdc_election_key(a.election));
    assert_true(live_run(loop, 2000, has_ended, &a));
    assert_false(etcdc_leads(a.election, 0));
    assert_int_equal(etcdc_election_fence(a.election), 0);
    close_candidate(&a);
    close_candidate(&b);
    gtm_loop_free(loop);
}

/* A plain put takes the lease from a key: it would stay for ever, as if its owner lived. */
static void a_key_that_lost_its_lease_ends_it(void **state)
{
    struct gtm_loop *loop = gtm_loop_new();
    struct candidate a;
    open_candidate(&a, loop);
    assert_true(live_run(loop, 5000, leads, &a));
    struct live live = {loop, a.client};
    char key[64];
    snprintf(key, sizeof(key), "%s", etcdc_election_key(a.election));
    live_put(&live, key, "alien", 0);
    assert_true(live_run(loop, TTL_S * 1000 + 1500, has_ended, &a));
    etcdc_resign(a.election);
    a.election = NULL;
    uint64_t end_ms = live_ms() + 3000;
    while (live_get(&live, key).count == 1) /* it takes its key with it */
        assert_true(live_ms() < end_ms);
    close_candidate(&a);
    gtm_loop_free(loop);
}

static void a_lost_session_ends_it(void **state)
{
    struct gtm_loop *loop = gtm_loop_new();
    struct candidate a;
    open_candidate(&a, loop);
    assert_true(live_run(loop, 5000, leads, &a));
    etcd_server_pause(one, 0);
    bool ended = live_run(loop, TTL_S * 1000 + 200, has_ended, &a);
    etcd_server_resume(one, 0);
    assert_true(ended);
    etcd_server_wait(one, 0);
    close_candidate(&a);
    open_candidate(&a, loop);
    assert_true(live_run(loop, 5000, leads, &a));
    etcdc_session_close(a.session, true); /* under the election */
    a.session = NULL;
    assert_true(live_run(loop, 500, has_ended, &a));
    close_candidate(&a);
    gtm_loop_free(loop);
}

static bool was_told(void *arg)
{
    return ((struct candidate *)arg)->told > 0;
}

static void resigning_is_allowed_anywhere(void **state)
{
    struct gtm_loop *loop = gtm_loop_new();
    struct candidate a;
    open_candidate(&a, loop);
    a.resign_at_once = true;
    assert_true(live_run(loop, 5000, was_told, &a));
    for (unsigned ms = 0; ms < 20; ms++) {
        stand(&a);
        live_run(loop, ms, NULL, NULL);
        etcdc_resign(a.election);
    }
    etcdc_resign(NULL);
    stand(&a);
    close_candidate(&a);
    gtm_loop_free(loop);
}

/* --- the register --- */

struct shared {
    _Atomic uint64_t acked[CANDIDATES], refused[CANDIDATES];
};
/* Commits a write, takes txn. False: it may happen later, so nothing may follow it. */
static bool write_register(struct candidate *c, struct etcdc_txn *txn, const char *value,
                           struct shared *shared, unsigned me)
{
    struct live_result r = {0};
    etcdc_txn_put(txn, false, etcdc_str(REGISTER), etcdc_str(value), 0, 0);
    if (etcdc_commit(c->client, txn, 0, live_done, &r) != ETCDC_OK)
        return true;
    live_run(c->loop, 5000, live_is_done, &r);
    if (!r.done)
        etcdc_cancel(c->client, &r);
    if (!r.done || r.code != ETCDC_OK)
        return false;
    atomic_fetch_add(r.succeeded ? &shared->acked[me] : &shared->refused[me], 1);
    return true;
}

/* A candidate's life: stands, writes while it leads, begins anew when it has ended. It never asks
 * the clock, and writes once more after its end, with the guard of before: etcd must refuse. */
static void child_main(struct shared *shared, unsigned me)
{
    struct candidate c = {.loop = gtm_loop_new()};
    char value[64], late_value[64]; /* late: its number is 0, in no order with the others */
    uint64_t n = 0;
    bool clear = true;
    c.client = live_client(c.loop, three, 3, me);
    for (struct etcdc_txn *late = NULL;;) {
        if (!c.session)
            c.session = etcdc_session_open(c.client, TTL_S, NULL, NULL);
        if (!c.election && etcdc_session_lease(c.session)) {
            c.state = ETCDC_WAITING;
            c.election = etcdc_elect(c.client, c.session, PREFIX, etcdc_str("me"), on_state, &c);
        }
        live_run(c.loop, 2, NULL, NULL);
        if (!clear || (c.election && c.state == ETCDC_ENDED) ||
            etcdc_session_state(c.session) == ETCDC_SESSION_LOST) {
            if (late)
                (void)write_register(&c, late, late_value, shared, me);
            late = NULL;
            clear = true;
            etcdc_resign(c.election);
            etcdc_session_close(c.session, true);
            c.election = NULL;
            c.session = NULL;
        } else if (c.election && c.state == ETCDC_ELECTED) {
            struct etcdc_txn *txn = etcdc_txn_new();
            etcdc_txn_free(late);
            late = etcdc_txn_new();
            assert_int_equal(etcdc_guard(c.election, txn), ETCDC_OK);
            assert_int_equal(etcdc_guard(c.election, late), ETCDC_OK);
            int64_t fence = etcdc_election_fence(c.election);
            snprintf(late_value, sizeof(late_value), "%" PRId64 " %u 0", fence, me);
            snprintf(value, sizeof(value), "%" PRId64 " %u %" PRIu64, fence, me, ++n);
            clear = write_register(&c, txn, value, shared, me);
        }
    }
}

struct history {
    int64_t fence, revision, until;
    unsigned who;
    uint64_t writes, leaders, n[CANDIDATES], counted[CANDIDATES];
};

static void on_register(void *arg, const struct etcdc_event *event)
{
    struct history *h = arg;
    if (event->type != ETCDC_PUT)
        return;
    char text[64] = "";
    memcpy(text, event->kv->value.p, event->kv->value.n < 63 ? event->kv->value.n : 63);
    int64_t fence;
    unsigned who;
    uint64_t n;
    assert_int_equal(sscanf(text, "%" SCNd64 " %u %" SCNu64, &fence, &who, &n), 3);
    assert_true(who < CANDIDATES);
    assert_true(fence >= h->fence); /* the fence never goes back */
    assert_true(fence > h->fence || n > h->n[who] || n == 0);
    h->leaders += fence != h->fence;
    h->fence = fence;
    h->who = who;
    if (n > 0)
        h->n[who] = n;
    h->counted[who]++;
    h->writes++;
    h->revision = event->kv->mod_revision;
}

static bool history_is_read(void *arg)
{
    const struct history *h = arg;
    return h->revision >= h->until;
}

/* Suspends candidates, mostly who leads, and with some of them a member. */
static void disturb(struct gtm_loop *loop, struct gtm_rand *r, const pid_t *pids,
                    const struct history *h, unsigned ms)
{
    uint64_t end_ms = live_ms() + ms;
    while (live_ms() < end_ms) {
        unsigned victim = gtm_rand_below(r, 3) ? h->who : gtm_rand_below(r, CANDIDATES);
        int member = gtm_rand_below(r, 3) == 0 ? (int)gtm_rand_below(r, 3) : -1;
        kill(pids[victim], SIGSTOP);
        if (member >= 0)
            etcd_server_pause(three, (unsigned)member);
        live_run(loop, 200 + gtm_rand_below(r, TTL_S * 1000 + 1200), NULL, NULL);
        kill(pids[victim], SIGCONT);
        if (member >= 0)
            etcd_server_resume(three, (unsigned)member);
        live_run(loop, gtm_rand_below(r, 400), NULL, NULL);
    }
}

static bool any_refused(struct shared *shared)
{
    uint64_t refused = 0;
    for (unsigned i = 0; i < CANDIDATES; i++)
        refused += atomic_load(&shared->refused[i]);
    return refused > 0;
}

static void suspended_leaders_write_nothing(void **state)
{
    struct shared *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    pid_t pids[CANDIDATES];
    for (unsigned i = 0; i < CANDIDATES; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0)
            child_main(shared, i);
    }
    struct live live = {.loop = gtm_loop_new()};
    live.client = live_client(live.loop, three, 3, 0);
    struct history h = {0};
    struct gtm_rand r;
    gtm_rand_seed(&r, 20261121);
    struct etcdc_watch_opts opts = {.key = etcdc_str(REGISTER)};
    struct etcdc_watch *watch = etcdc_watch(live.client, &opts, on_register, &h);
    disturb(live.loop, &r, pids, &h, 10000);
    for (int i = 0; i < 6 && (!any_refused(shared) || h.leaders < 3);
         i++) { /* a leader far beyond its term */
        pid_t leader = pids[h.who];
        kill(leader, SIGSTOP);
        live_run(live.loop, TTL_S * 1000 + 2500, NULL, NULL);
        kill(leader, SIGCONT);
        live_run(live.loop, 700, NULL, NULL);
    }
    live_run(live.loop, 1000, NULL, NULL);
    for (unsigned i = 0; i < CANDIDATES; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    for (unsigned i = 0; i < 3; i++)
        etcd_server_wait(three, i);
    etcdc_watch_close(watch);
    /* Again from the beginning: a watch that had to list has not seen every write. */
    struct live_result last = live_get(&live, REGISTER);
    h = (struct history){.until = last.mod_revision};
    opts.after = 1;
    opts.stale_ms = 60000;
    watch = etcdc_watch(live.client, &opts, on_register, &h);
    assert_true(live_run(live.loop, 10000, history_is_read, &h));
    uint64_t acked = 0, refused = 0;
    for (unsigned i = 0; i < CANDIDATES; i++) {
        assert_true(h.counted[i] >= shared->acked[i]); /* what was acknowledged happened */
        acked += shared->acked[i];
        refused += shared->refused[i];
    }
    print_message("%" PRIu64 " writes by %" PRIu64 " leaders, %" PRIu64 " acknowledged, %" PRIu64
                  " refused by the guard\n",
                  h.writes, h.leaders, acked, refused);
    assert_true(h.writes > 100);
    assert_true(h.leaders >= 2);
    assert_true(refused >= 1);
    etcdc_watch_close(watch);
    etcdc_free(live.client);
    gtm_loop_free(live.loop);
    munmap(shared, sizeof(*shared));
}

static int start(void **state)
{
    one = etcd_server_new(NULL);
    struct etcd_server_want want = {.members = 3};
    three = etcd_server_new(&want);
    return 0;
}

static int stop(void **state)
{
    etcd_server_free(one);
    etcd_server_free(three);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(suspended_leaders_write_nothing), /* forks: before anything has threads */
        cmocka_unit_test(the_first_leads_then_the_next),
        cmocka_unit_test(who_resigns_may_stand_at_once),
        cmocka_unit_test(a_key_that_is_gone_ends_it),
        cmocka_unit_test(a_key_that_lost_its_lease_ends_it),
        cmocka_unit_test(a_lost_session_ends_it),
        cmocka_unit_test(resigning_is_allowed_anywhere),
    };
    if (!etcd_server_have())
        return 0;
    return cmocka_run_group_tests(tests, start, stop);
}
