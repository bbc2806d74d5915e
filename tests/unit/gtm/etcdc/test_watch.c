/* SPDX-License-Identifier: Apache-2.0
 *
 * Watches against real etcd servers that are killed, suspended and compacted under them. Whatever
 * happens, at the end the listener must have what a fresh listing has, and what it was given must
 * never have gone back.
 */
#include "gtm/base/map.h"
#include "gtm/base/mem.h"
#include "gtm/base/rand.h"
#include "tests/unit/gtm/etcdc/live_fixture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PREFIX   "w/"
#define STALE_MS 1500u

static struct etcd_server *one, *three;

/* Who listens: its copy of the keys. */
struct listener {
    struct etcdc_watch *watch;
    struct gtm_map *keys; /* key → value and revision as text */
    int64_t revision, known;
    unsigned snapshots, stales, freshes, fails, changes;
    bool fresh, in_txn;
    uint64_t last_change_ms, fresh_ms;
    int close_at; /* changes; 0 = never */
};

static void forget(struct listener *l)
{
    gtm_map_free(l->keys, gtm_free);
    l->keys = gtm_map_new();
}

static void change(struct listener *l, const struct etcdc_event *event)
{
    char *key = gtm_strndup(event->kv->key.p, event->kv->key.n), *text = NULL;
    void *old = NULL;
    if (event->type == ETCDC_PUT) {
        text =
            gtm_asprintf("%.*s@%" PRId64, (int)(event->kv->value.n < 40 ? event->kv->value.n : 40),
                         (const char *)event->kv->value.p, event->kv->mod_revision);
        assert_int_equal(gtm_map_put(l->keys, key, text, &old), 0);
    } else {
        old = gtm_map_remove(l->keys, key);
    }
    gtm_free(old);
    gtm_free(key);
    l->changes++;
    l->last_change_ms = live_ms();
}

static void on_event(void *arg, const struct etcdc_event *event)
{
    struct listener *l = arg;
    if (event->type <= ETCDC_REVISION) {
        assert_true(event->revision >= l->revision);
        l->revision = event->revision;
        l->in_txn = event->type != ETCDC_REVISION;
    }
    if (event->type == ETCDC_SNAPSHOT) {
        forget(l);
        l->snapshots++;
    } else if (event->type == ETCDC_PUT || event->type == ETCDC_DELETE) {
        change(l, event);
        if (l->close_at && --l->close_at == 0) {
            etcdc_watch_close(l->watch);
            l->watch = NULL;
        }
    } else if (event->type == ETCDC_REVISION) {
        l->known = event->revision;
    } else if (event->type == ETCDC_FAILED) {
        l->fails++;
    } else {
        l->fresh = event->type == ETCDC_FRESH;
        l->stales += !l->fresh;
        l->freshes += l->fresh;
        l->fresh_ms = live_ms();
        assert_false(l->in_txn);
    }
}

static void listen(struct listener *l, struct etcdc *client, const char *tick, int64_t after)
{
    uint8_t end[16];
    struct etcdc_buf prefix = etcdc_str(PREFIX);
    struct etcdc_watch_opts opts = {.key = prefix,
                                    .end = etcdc_prefix_end(prefix, end),
                                    .after = after,
                                    .stale_ms = STALE_MS,
                                    .tick = tick ? etcdc_str(tick) : etcdc_bytes(NULL, 0)};
    memset(l, 0, sizeof(*l));
    forget(l);
    l->watch = etcdc_watch(client, &opts, on_event, l);
    assert_non_null(l->watch);
}

static void unlisten(struct listener *l)
{
    etcdc_watch_close(l->watch);
    gtm_map_free(l->keys, gtm_free);
}

static bool is_fresh(void *arg)
{
    return ((struct listener *)arg)->fresh;
}

static bool is_stale(void *arg)
{
    return !((struct listener *)arg)->fresh;
}

/* --- a fresh listing, to compare with --- */

struct truth {
    struct gtm_map *keys;
    bool done;
    int code;
    int64_t revision;
};

static void on_page(void *arg, const struct etcdc_kv *kvs, size_t count, bool restart)
{
    struct truth *t = arg;
    if (restart) {
        gtm_map_free(t->keys, gtm_free);
        t->keys = gtm_map_new();
    }
    for (size_t i = 0; i < count; i++) {
        char *key = gtm_strndup(kvs[i].key.p, kvs[i].key.n);
        char *text = gtm_asprintf("%.*s@%" PRId64, (int)(kvs[i].value.n < 40 ? kvs[i].value.n : 40),
                                  (const char *)kvs[i].value.p, kvs[i].mod_revision);
        assert_int_equal(gtm_map_put(t->keys, key, text, NULL), 0);
        gtm_free(key);
    }
}

static void on_listed(void *arg, const struct etcdc_answer *answer)
{
    struct truth *t = arg;
    t->done = true;
    t->code = answer->code;
    t->revision = answer->header.revision;
}

static bool truth_done(void *arg)
{
    return ((struct truth *)arg)->done;
}

struct both {
    const struct listener *l;
    const struct truth *t;
};

static bool same(void *arg)
{
    const struct both *b = arg;
    size_t it = 0;
    const char *key;
    void *value;
    if (gtm_map_count(b->l->keys) != gtm_map_count(b->t->keys))
        return false;
    while (gtm_map_next(b->t->keys, &it, &key, &value)) {
        const char *mine = gtm_map_get(b->l->keys, key);
        if (!mine || strcmp(mine, value) != 0)
            return false;
    }
    return true;
}

/* The listener comes to have what a listing has, within ms. */
static void must_agree(struct live *live, const struct listener *l, unsigned ms)
{
    struct truth t = {.keys = gtm_map_new()};
    struct both both = {l, &t};
    uint8_t end[16];
    struct etcdc_buf prefix = etcdc_str(PREFIX);
    for (int i = 0; i < 5 && (i == 0 || t.code); i++) {
        t.done = false;
        assert_int_equal(etcdc_list(live->client, prefix, etcdc_prefix_end(prefix, end), 0, on_page,
                                    on_listed, &t),
                         ETCDC_OK);
        assert_true(live_run(live->loop, 20000, truth_done, &t));
    }
    assert_int_equal(t.code, ETCDC_OK);
    bool good = live_run(live->loop, ms, same, &both);
    if (!good)
        print_message("listener: %zu keys at %" PRId64 ", listing: %zu keys at %" PRId64 "\n",
                      gtm_map_count(l->keys), l->known, gtm_map_count(t.keys), t.revision);
    gtm_map_free(t.keys, gtm_free);
    assert_true(good);
}

/* --- load --- */

struct writer {
    struct live *live;
    struct gtm_rand r;
    struct gtm_timer *timer;
    unsigned waiting, done, every_ms, until;
    int64_t revision;
    bool stopped;
};

static void on_written(void *arg, const struct etcdc_answer *answer)
{
    struct writer *w = arg;
    w->waiting--;
    w->done++;
    if (answer->header.revision > w->revision)
        w->revision = answer->header.revision;
}

static void write_one(struct writer *w)
{
    char key[32], value[64];
    struct etcdc_txn *txn = etcdc_txn_new();
    unsigned n = 1 + gtm_rand_below(&w->r, 4), first = gtm_rand_below(&w->r, 40);
    for (unsigned i = 0; i < n; i++) {
        snprintf(key, sizeof(key), PREFIX "k%u", first + i);
        snprintf(value, sizeof(value), "v%u", w->done);
        if (gtm_rand_below(&w->r, 3) == 0)
            etcdc_txn_delete(txn, false, etcdc_str(key), etcdc_bytes(NULL, 0));
        else
            etcdc_txn_put(txn, false, etcdc_str(key), etcdc_str(value), 0, 0);
    }
    if (gtm_rand_below(&w->r, 3) == 0)
        etcdc_txn_put(txn, false, etcdc_str("elsewhere"), etcdc_str("x"), 0, 0);
    assert_int_equal(etcdc_commit(w->live->client, txn, 0, on_written, w), ETCDC_OK);
    w->waiting++;
}

static void on_time(void *arg)
{
    struct writer *w = arg;
    if (w->stopped)
        return;
    if (w->waiting < 20)
        write_one(w);
    if (gtm_rand_below(&w->r, 60) == 0 && w->revision > 1 &&
        etcdc_compact(w->live->client, w->revision, on_written, w) == ETCDC_OK)
        w->waiting++;
    gtm_timer_start(w->timer, w->every_ms);
}

static void start_writing(struct writer *w, struct live *live, uint64_t seed)
{
    *w = (struct writer){.live = live, .every_ms = 2};
    gtm_rand_seed(&w->r, seed);
    w->timer = gtm_timer_new(live->loop, on_time, w);
    gtm_timer_start(w->timer, 0);
}

static bool writer_done(void *arg)
{
    return ((struct writer *)arg)->waiting == 0;
}

static bool writer_went_on(void *arg)
{
    const struct writer *w = arg;
    return w->done >= w->until;
}

static void stop_writing(struct writer *w)
{
    w->stopped = true;
    assert_true(live_run(w->live->loop, 20000, writer_done, w));
    gtm_timer_free(w->timer);
}

/* --- the tests --- */

static struct live begin(struct etcd_server *server, unsigned members, unsigned first)
{
    struct live live = {.loop = gtm_loop_new()};
    live.client = live_client(live.loop, server, members, first);
    return live;
}

static void end(struct live *live)
{
    etcdc_free(live->client);
    gtm_loop_free(live->loop);
}

static void list_then_follow(void **state)
{
    struct live live = begin(one, 1, 0);
    struct listener l;
    live_put(&live, PREFIX "a", "1", 0);
    listen(&l, live.client, NULL, 0);
    assert_int_equal(etcdc_watch_age_ms(l.watch), UINT64_MAX);
    assert_true(live_run(live.loop, 5000, is_fresh, &l));
    assert_int_equal(l.snapshots, 1);
    const char *a = gtm_map_get(l.keys, PREFIX "a");
    assert_non_null(a);
    assert_memory_equal(a, "1@", 2);
    live_put(&live, PREFIX "b", "2", 0);
    must_agree(&live, &l, 1000);
    live_delete(&live, PREFIX "a");
    must_agree(&live, &l, 1000);
    /* Nothing happens, or only elsewhere: that is not stale. */
    for (unsigned i = 0; i < 20; i++) {
        if (i > 10)
            live_put(&live, "elsewhere", "x", 0);
        live_run(live.loop, STALE_MS / 5, NULL, NULL);
        assert_true(etcdc_watch_age_ms(l.watch) < STALE_MS);
    }
    assert_int_equal(l.stales, 0);
    assert_int_equal(l.snapshots, 1);
    struct etcdc_counters counters;
    etcdc_counters(live.client, &counters);
    assert_int_equal(counters.watches_restarted, 0);
    assert_true(counters.events >= 3);
    /* Who stood still itself does not call the store silent. */
    usleep((STALE_MS + 700) * 1000);
    live_run(live.loop, STALE_MS, NULL, NULL);
    assert_int_equal(l.stales, 0);
    unlisten(&l);
    end(&live);
}

/* Kills, restarts and compactions under load; seeds. */
static void nothing_is_lost_by_kills_and_compactions(void **state)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct live live = begin(one, 1, 0), writer_live = begin(one, 1, 0);
        struct listener l, later;
        struct writer w;
        etcdc_free(writer_live.client);
        gtm_loop_free(writer_live.loop);
        writer_live.loop = live.loop;
        writer_live.client = live_client(live.loop, one, 1, 0);
        listen(&l, live.client, NULL, 0);
        start_writing(&w, &writer_live, seed);
        for (int i = 0; i < 2; i++) {
            live_run(live.loop, 300 + gtm_rand_below(&w.r, 300), NULL, NULL);
            etcd_server_kill(one, 0);
            live_run(live.loop, gtm_rand_below(&w.r, 200), NULL, NULL);
            etcd_server_start(one, 0);
            w.until = w.done + 60;
            assert_true(live_run(live.loop, 20000, writer_went_on, &w));
        }
        listen(&later, live.client, NULL, 0);
        live_run(live.loop, 300, NULL, NULL);
        stop_writing(&w);
        must_agree(&live, &l, 5000);
        must_agree(&live, &later, 5000);
        assert_int_equal(l.snapshots, 1);
        unlisten(&l);
        unlisten(&later);
        etcdc_free(writer_live.client);
        end(&live);
    }
}

static bool stream_moved(void *arg)
{
    struct etcdc_counters counters;
    etcdc_counters(arg, &counters);
    return counters.watches_restarted > 0;
}

/* The member whose stream it is hangs: another takes over. With a tick and without. */
static void a_member_that_hangs_is_left(void **state)
{
    unsigned first = (etcd_server_leader(three) + 1) % 3; /* a follower */
    for (int i = 0; i < 2; i++) {
        struct live live = begin(three, 3, first);
        struct etcdc *other = live_client(live.loop, three, 3, (first + 1) % 3);
        struct live writer_live = {live.loop, other};
        struct writer w;
        struct listener l;
        listen(&l, live.client, i ? PREFIX "k1" : NULL, 0);
        assert_true(live_run(live.loop, 5000, is_fresh, &l));
        start_writing(&w, &writer_live, 5);
        w.every_ms = 20;
        live_run(live.loop, 300, NULL, NULL);
        etcd_server_pause(three, first);
        live_run(live.loop, 50, NULL, NULL); /* what was on its way */
        unsigned before = l.changes;
        uint64_t paused_ms = live_ms();
        while (l.changes == before && live_ms() < paused_ms + STALE_MS + 2000)
            live_run(live.loop, 10, NULL, NULL);
        uint64_t took_ms = live_ms() - paused_ms;
        bool moved = live_run(live.loop, STALE_MS, stream_moved, live.client);
        stop_writing(&w);
        must_agree(&live, &l, 3000);
        etcd_server_resume(three, first);
        assert_true(moved); /* not only listings come from another */
        print_message("left the hanging member after %" PRIu64 " ms\n", took_ms);
        assert_true(took_ms <= STALE_MS + 1000);
        unlisten(&l);
        etcdc_free(other);
        end(&live);
        etcd_server_wait(three, first);
    }
}

/* Listings and the stream under load: neither overtakes the other. */
static void a_listing_beside_the_stream_changes_nothing(void **state)
{
    struct live live = begin(one, 1, 0);
    struct listener l = {0};
    struct writer w;
    uint8_t end_of[16];
    struct etcdc_buf prefix = etcdc_str(PREFIX);
    struct etcdc_watch_opts opts = {.key = prefix,
                                    .end = etcdc_prefix_end(prefix, end_of),
                                    .stale_ms = 150, /* looks every 50 ms */
                                    .relist_ms = 1};
    for (int i = 0; i < 30; i++) { /* a listing of several pages takes its time */
        struct etcdc_txn *txn = etcdc_txn_new();
        struct live_result r = {0};
        for (int k = 0; k < 100; k++) {
            char key[32];
            snprintf(key, sizeof(key), PREFIX "many%d", i * 100 + k);
            etcdc_txn_put(txn, false, etcdc_str(key), etcdc_str("x"), 0, 0);
        }
        live_wait_for(live.loop, &r, etcdc_commit(live.client, txn, 0, live_done, &r));
    }
    forget(&l);
    l.watch = etcdc_watch(live.client, &opts, on_event, &l);
    start_writing(&w, &live, 11);
    w.every_ms = 1;
    live_run(live.loop, 3000, NULL, NULL);
    struct etcdc_counters counters;
    etcdc_counters(live.client, &counters);
    print_message("%" PRIu64 " KiB of listings\n", counters.bytes_in >> 10);
    assert_true(counters.bytes_in > 3u << 20); /* ten listings and more */
    stop_writing(&w);
    must_agree(&live, &l, 2000);
    /* Also when nothing happens: checks do not keep it off. */
    etcdc_counters(live.client, &counters);
    uint64_t before = counters.bytes_in;
    live_run(live.loop, 1000, NULL, NULL);
    etcdc_counters(live.client, &counters);
    assert_true(counters.bytes_in - before > 1u << 20);
    assert_int_equal(l.snapshots, 1);
    assert_int_equal(l.fails, 0);
    unlisten(&l);
    end(&live);
}

static void without_quorum_it_is_stale_and_comes_back(void **state)
{
    struct live live = begin(three, 3, 0);
    struct listener l;
    listen(&l, live.client, NULL, 0);
    assert_true(live_run(live.loop, 5000, is_fresh, &l));
    live_put(&live, PREFIX "before", "1", 0);
    must_agree(&live, &l, 1000);
    etcd_server_pause(three, 1);
    etcd_server_pause(three, 2);
    uint64_t paused_ms = live_ms();
    bool stale = live_run(live.loop, STALE_MS + 2000, is_stale, &l);
    uint64_t took_ms = live_ms() - paused_ms;
    live_run(live.loop, 3000, NULL, NULL);
    bool still = !l.fresh;
    etcd_server_resume(three, 1);
    etcd_server_resume(three, 2);
    uint64_t resumed_ms = live_ms();
    assert_true(stale);
    assert_true(still);
    assert_true(took_ms <= STALE_MS + 700);
    assert_true(live_run(live.loop, 10000, is_fresh, &l));
    print_message("stale after %" PRIu64 " ms, fresh %" PRIu64 " ms after the healing\n", took_ms,
                  live_ms() - resumed_ms);
    live_put(&live, PREFIX "after", "1", 0);
    must_agree(&live, &l, 2000);
    assert_int_equal(l.snapshots, 1);
    unlisten(&l);
    end(&live);
}

/* One transaction of more than what is parsed at once, in pieces on the wire: whole or not at all.
 */
static void a_large_transaction_comes_whole(void **state)
{
    struct live live = begin(one, 1, 0);
    struct listener l;
    char *value = malloc(10001);
    memset(value, 'x', 10000);
    value[10000] = '\0';
    listen(&l, live.client, NULL, 0);
    assert_true(live_run(live.loop, 5000, is_fresh, &l));
    for (int round = 0; round < 3; round++) {
        struct etcdc_txn *txn = etcdc_txn_new();
        struct live_result r = {0};
        value[0] = (char)('a' + round);
        for (int i = 0; i < 100; i++) {
            char key[32];
            snprintf(key, sizeof(key), PREFIX "large%d", i);
            etcdc_txn_put(txn, false, etcdc_str(key), etcdc_str(value), 0, 0);
        }
        live_wait_for(live.loop, &r, etcdc_commit(live.client, txn, 0, live_done, &r));
        assert_int_equal(r.code, ETCDC_OK);
    }
    must_agree(&live, &l, 5000);
    assert_true(l.changes >= 300);
    unlisten(&l);
    free(value);
    end(&live);
}

static void a_close_is_allowed_in_any_event(void **state)
{
    struct live live = begin(one, 1, 0);
    for (int at = 1; at < 12; at++) {
        struct listener l;
        listen(&l, live.client, NULL, 0);
        l.close_at = at;
        for (int i = 0; i < 12 && l.watch; i++) {
            live_put(&live, PREFIX "c", "1", 0);
            live_run(live.loop, 5, NULL, NULL);
        }
        assert_null(l.watch);
        unlisten(&l);
    }
    for (unsigned ms = 0; ms < 20; ms++) { /* at any step of the beginning */
        struct listener l;
        listen(&l, live.client, NULL, 0);
        live_run(live.loop, ms, NULL, NULL);
        unlisten(&l);
    }
    end(&live);
}

/* The caller knows everything up to a revision: no listing, unless that is compacted. */
static void a_start_after_a_revision(void **state)
{
    struct live live = begin(one, 1, 0);
    struct listener l;
    int64_t at = live_put(&live, PREFIX "s0", "1", 0).revision;
    live_put(&live, PREFIX "s1", "1", 0);
    listen(&l, live.client, NULL, at);
    live_run(live.loop, 300, NULL, NULL);
    assert_int_equal(l.snapshots, 0);
    assert_int_equal(l.changes, 1);
    unlisten(&l);
    int64_t now = live_put(&live, PREFIX "s2", "1", 0).revision;
    struct live_result r = {0};
    live_wait_for(live.loop, &r, etcdc_compact(live.client, now, live_done, &r));
    listen(&l, live.client, NULL, at);
    must_agree(&live, &l, 3000);
    struct etcdc_counters counters; /* it lists at once: the same stream is not tried again */
    etcdc_counters(live.client, &counters);
    assert_int_equal(counters.watches_restarted, 1);
    assert_int_equal(l.snapshots, 1);
    unlisten(&l);
    end(&live);
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
        cmocka_unit_test(list_then_follow),
        cmocka_unit_test(a_start_after_a_revision),
        cmocka_unit_test(a_large_transaction_comes_whole),
        cmocka_unit_test(a_close_is_allowed_in_any_event),
        cmocka_unit_test(nothing_is_lost_by_kills_and_compactions),
        cmocka_unit_test(a_listing_beside_the_stream_changes_nothing),
        cmocka_unit_test(a_member_that_hangs_is_left),
        cmocka_unit_test(without_quorum_it_is_stale_and_comes_back),
    };
    if (!etcd_server_have())
        return 0;
    return cmocka_run_group_tests(tests, start, stop);
}
