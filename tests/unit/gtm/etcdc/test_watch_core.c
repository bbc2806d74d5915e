/* SPDX-License-Identifier: Apache-2.0
 *
 * A model of etcd (a history of transactions) feeds listings and messages in every bad way that
 * servers know: in fragments, again, from the past, cut off, compacted, with events lost. Whoever
 * listens must have exactly the server's keys at every ETCDC_REVISION.
 */
#include "gtm/etcdc/watch_core.h"

#include "gtm/base/mem.h"
#include "gtm/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define KEYS      12
#define REVISIONS 400
#define PER_TXN   4

struct change {
    int key;
    bool deleted;
};
struct world {
    struct gtm_rand r;
    int count[REVISIONS + 1]; /* of changes of a revision */
    struct change changes[REVISIONS + 1][PER_TXN];
    int64_t mod[REVISIONS + 1][KEYS]; /* 0 = not there */
    char names[KEYS][8];

    /* The listener. */
    struct etcdc__core core;
    int64_t has[KEYS];
    int64_t revision; /* of the last event */
    int snapshots, revisions, deletes, puts;
    int stop_after; /* events; 0 = never */
    bool lossy;     /* events were lost: only listings make it right */
};

static int key_of(const struct world *w, struct etcdc_buf key)
{
    for (int k = 0; k < KEYS; k++)
        if (strlen(w->names[k]) == key.n && memcmp(w->names[k], key.p, key.n) == 0)
            return k;
    fail_msg("a key from nowhere");
    return -1;
}

static bool on_event(void *arg, const struct etcdc_event *event)
{
    struct world *w = arg;
    assert_true(event->revision >= w->revision);
    w->revision = event->revision;
    switch (event->type) {
    case ETCDC_SNAPSHOT:
        assert_null(event->kv);
        memset(w->has, 0, sizeof(w->has));
        w->snapshots++;
        break;
    case ETCDC_PUT:
        w->has[key_of(w, event->kv->key)] = event->kv->mod_revision;
        w->puts++;
        break;
    case ETCDC_DELETE:
        w->has[key_of(w, event->kv->key)] = 0;
        assert_int_equal(event->kv->value.n, 0);
        w->deletes++;
        break;
    case ETCDC_REVISION:
        w->revisions++;
        if (!w->lossy)
            assert_memory_equal(w->has, w->mod[event->revision], sizeof(w->has));
        break;
    default:
        fail_msg("an event of type %d", (int)event->type);
    }
    return w->stop_after == 0 || --w->stop_after > 0;
}

static void make_history(struct world *w, uint64_t seed)
{
    gtm_rand_seed(&w->r, seed);
    for (int k = 0; k < KEYS; k++)
        snprintf(w->names[k], sizeof(w->names[k]), "k%d", k);
    for (int rev = 2; rev <= REVISIONS; rev++) {
        memcpy(w->mod[rev], w->mod[rev - 1], sizeof(w->mod[rev]));
        if (gtm_rand_below(&w->r, 4) == 0)
            continue; /* a change outside the range */
        int first = (int)gtm_rand_below(&w->r, KEYS);
        int n = 1 + (int)gtm_rand_below(&w->r, PER_TXN);
        for (int i = 0; i < n; i++) {
            int key = (first + i) % KEYS;
            bool deleted = w->mod[rev][key] && gtm_rand_below(&w->r, 3) == 0;
            w->changes[rev][w->count[rev]++] = (struct change){key, deleted};
            w->mod[rev][key] = deleted ? 0 : rev;
        }
    }
}

static void begin(struct world *w, uint64_t seed, int64_t after)
{
    memset(w, 0, sizeof(*w));
    make_history(w, seed);
    w->core.emit = on_event;
    w->core.arg = w;
    w->core.queue_bytes = 1 << 20;
    etcdc__core_init(&w->core, after);
}

/* A listing at rev, in pages, perhaps started over. */
static int list(struct world *w, int64_t rev, bool *ret_changed)
{
    bool changed;
    struct etcdc_header header = {.revision = rev};
    etcdc__core_list_begin(&w->core);
    for (int round = (int)gtm_rand_below(&w->r, 2); round >= 0; round--) {
        int64_t at = round && rev > 2 ? rev - 1 : rev; /* what a compaction made void */
        bool restart = false;
        for (int k = 0; k < KEYS; k++) {
            struct etcdc_kv kv = {.key = etcdc_str(w->names[k]), .mod_revision = w->mod[at][k]};
            if (kv.mod_revision)
                etcdc__core_list_page(&w->core, &kv, 1, restart);
        }
        if (round)
            etcdc__core_list_page(&w->core, NULL, 0, true);
    }
    return etcdc__core_list_end(&w->core, &header, ret_changed ? ret_changed : &changed);
}

static struct etcdc__watch_message *message(int64_t header_revision, size_t events)
{
    struct etcdc__watch_message *m = gtm_calloc(1, sizeof(*m));
    m->header.revision = header_revision;
    m->events = events ? gtm_calloc(events, sizeof(*m->events)) : NULL;
    m->bytes = 100;
    return m;
}

static void add(struct world *w, struct etcdc__watch_message *m, int64_t rev, int i)
{
    const struct change *c = &w->changes[rev][i];
    m->events[m->events_count++] = (struct etcdc__watch_event){
        .deleted = c->deleted,
        .kv = {.key = etcdc_str(w->names[c->key]),
               .value = etcdc_str(c->deleted ? "" : "v"),
               .mod_revision = rev},
    };
}

/* Sends revisions [from, to] as one response, in fragments or not; drop_last: the stream ends
 * before the last fragment. */
static int64_t send(struct world *w, int64_t from, int64_t to, bool drop_last)
{
    size_t per = 1 + gtm_rand_below(&w->r, 5);
    int64_t current = to + gtm_rand_below(&w->r, (uint32_t)(REVISIONS - to) + 1);
    struct etcdc__watch_message *m = message(current, per);
    for (int64_t rev = from; rev <= to; rev++)
        for (int i = 0; i < w->count[rev]; i++) {
            if (m->events_count == per) {
                m->fragment = true;
                assert_int_equal(etcdc__core_message(&w->core, m), ETCDC_OK);
                m = message(current, per);
            }
            add(w, m, rev, i);
        }
    if (drop_last || m->events_count == 0) {
        etcdc__watch_message_free(m);
        etcdc__core_stream_ended(&w->core);
        return to;
    }
    assert_int_equal(etcdc__core_message(&w->core, m), ETCDC_OK);
    return to;
}

static void send_progress(struct world *w, int64_t rev, int64_t watch_id)
{
    struct etcdc__watch_message *m = message(rev, 0);
    m->watch_id = watch_id;
    assert_int_equal(etcdc__core_message(&w->core, m), ETCDC_OK);
}

static void run(uint64_t seed)
{
    static struct world w;
    begin(&w, seed, 0);
    assert_int_equal(list(&w, 2 + gtm_rand_below(&w.r, 20), NULL), ETCDC_OK);
    while (w.core.next <= REVISIONS) {
        int64_t next = w.core.next, room = REVISIONS - next;
        int64_t to = next + gtm_rand_below(&w.r, (uint32_t)(room < 8 ? room + 1 : 8));
        switch (gtm_rand_below(&w.r, 8)) {
        case 0: /* a compaction, or a listing now and then */
            assert_int_equal(list(&w, to, NULL), ETCDC_OK);
            break;
        case 1: /* everything again, and more */
            send(&w, next > 10 ? next - 10 : 2, to, false);
            break;
        case 2: /* from the past only: nothing may come of it */
            send(&w, 2, next - 1, false);
            assert_int_equal(w.core.next, next);
            break;
        case 3: /* the stream ends within a transaction */
            send(&w, next, to, true);
            assert_int_equal(w.core.next, next);
            break;
        case 4: { /* nothing happened in the range: progress of one's own, not of a request */
            int64_t rev = next;
            while (rev <= REVISIONS && w.count[rev] == 0)
                rev++;
            send_progress(&w, rev - 1, -1);
            assert_int_equal(w.core.next, next);
            send_progress(&w, rev - 1, 0);
            assert_int_equal(w.core.next, rev);
            break;
        }
        default:
            send(&w, next, to, false);
        }
    }
    assert_memory_equal(w.has, w.mod[w.core.next - 1], sizeof(w.has));
    assert_int_equal(w.snapshots, 1); /* everything later is told as the difference */
    assert_true(w.revisions > 5);
    etcdc__core_fini(&w.core);
}

static void whoever_listens_has_what_the_server_has(void **state)
{
    for (uint64_t seed = 1; seed <= 400; seed++)
        run(seed);
}

/* Servers up to 3.4.33 forget deletes at a compaction (etcd issue 18089); a listing tells them. */
static void lost_events_come_with_a_listing(void **state)
{
    static struct world w;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        begin(&w, seed, 0);
        assert_int_equal(list(&w, 50, NULL), ETCDC_OK);
        w.lossy = true;
        for (int64_t rev = 51; rev <= 300; rev++)
            if (gtm_rand_below(&w.r, 3))
                send(&w, rev, rev, false);
        w.lossy = false;
        assert_int_equal(list(&w, 301, NULL), ETCDC_OK);
        assert_memory_equal(w.has, w.mod[301], sizeof(w.has));
        bool changed = true;
        assert_int_equal(list(&w, 301, &changed), ETCDC_OK);
        assert_false(changed);
        assert_int_equal(w.snapshots, 1);
        etcdc__core_fini(&w.core);
    }
}

/* What the caller knows from before the start is not known here: a listing comes in full, once. */
static void a_start_in_the_middle_lists_in_full_once(void **state)
{
    static struct world w;
    begin(&w, 7, 20);
    memcpy(w.has, w.mod[20], sizeof(w.has));
    assert_int_equal(w.core.next, 21);
    send(&w, 15, 60, false);
    assert_int_equal(w.snapshots, 0);
    assert_int_equal(list(&w, 80, NULL), ETCDC_OK);
    assert_int_equal(list(&w, 120, NULL), ETCDC_OK);
    assert_int_equal(w.snapshots, 1);
    etcdc__core_fini(&w.core);
}

static void a_listing_from_the_past_is_refused(void **state)
{
    static struct world w;
    begin(&w, 3, 0);
    assert_int_equal(list(&w, 100, NULL), ETCDC_OK);
    assert_int_equal(list(&w, 99, NULL), ETCDC_E_CLUSTER_CHANGED);
    assert_int_equal(w.core.next, 101);
    assert_int_equal(w.revision, 100);
    assert_int_equal(list(&w, 100, NULL), ETCDC_OK);
    etcdc__core_fini(&w.core);
}

static void more_keys_than_the_bound_are_listed_in_full(void **state)
{
    static struct world w;
    begin(&w, 5, 0);
    w.core.keys_bytes = 300; /* about three keys */
    assert_int_equal(list(&w, 100, NULL), ETCDC_OK);
    assert_null(w.core.keys);
    send(&w, 101, 150, false);
    assert_int_equal(list(&w, 200, NULL), ETCDC_OK);
    assert_int_equal(w.snapshots, 2);
    etcdc__core_fini(&w.core);
}

static void the_bound_of_a_transaction_ends_the_stream(void **state)
{
    static struct world w;
    begin(&w, 5, 0);
    w.core.queue_bytes = 250;
    assert_int_equal(list(&w, 100, NULL), ETCDC_OK);
    for (int i = 0; i < 3; i++) {
        struct etcdc__watch_message *m = message(101, 1);
        m->events[m->events_count++] =
            (struct etcdc__watch_event){.kv = {.key = etcdc_str("k0"), .mod_revision = 101}};
        m->fragment = true;
        assert_int_equal(etcdc__core_message(&w.core, m), i < 2 ? ETCDC_OK : ETCDC_E_OVERFLOW);
    }
    assert_int_equal(w.core.next, 101);
    etcdc__core_stream_ended(&w.core);
    assert_int_equal(list(&w, 110, NULL), ETCDC_OK);
    etcdc__core_fini(&w.core);
}

static void ends_of_the_stream_are_told(void **state)
{
    static struct world w;
    begin(&w, 5, 0);
    assert_int_equal(list(&w, 100, NULL), ETCDC_OK);
    const int codes[] = {ETCDC_E_COMPACTED, ETCDC_E_NO_LEADER, ETCDC_E_DENIED};
    for (int i = 0; i < 3; i++) {
        struct etcdc__watch_message *m = message(0, 0);
        m->code = codes[i];
        assert_int_equal(etcdc__core_message(&w.core, m), codes[i]);
    }
    /* The header of a creation is no progress: what is before it has not been sent. */
    struct etcdc__watch_message *m = message(150, 0);
    m->created = true;
    assert_int_equal(etcdc__core_message(&w.core, m), ETCDC_OK);
    assert_int_equal(w.core.next, 101);
    etcdc__core_fini(&w.core);
}

/* Who closes a watch within an event hears nothing more; nothing leaks. */
static void no_event_follows_a_close(void **state)
{
    static struct world w;
    for (int stop = 1; stop < 40; stop++) {
        begin(&w, 9, 0);
        w.lossy = true; /* what was not told is not compared */
        w.stop_after = stop;
        int seen = 0;
        assert_int_equal(list(&w, 100, NULL), ETCDC_OK);
        seen = w.snapshots + w.puts + w.deletes + w.revisions;
        if (w.stop_after > 0) {
            send(&w, 101, 140, false);
            seen = w.snapshots + w.puts + w.deletes + w.revisions;
            assert_int_equal(w.stop_after, 0);
        }
        assert_int_equal(seen, stop);
        etcdc__core_fini(&w.core);
    }
}

static void a_tick_is_noticed(void **state)
{
    static struct world w;
    begin(&w, 5, 0);
    w.core.tick = etcdc_str("k0");
    assert_int_equal(list(&w, 2, NULL), ETCDC_OK);
    bool expected = false;
    for (int64_t rev = 3; rev < 50; rev++) {
        expected = false;
        for (int i = 0; i < w.count[rev]; i++)
            expected |= w.changes[rev][i].key == 0;
        w.core.tick_seen = false;
        send(&w, rev, rev, false);
        assert_int_equal(w.core.tick_seen, expected);
    }
    etcdc__core_fini(&w.core);
}

/* Without memory a listing fails whole or is told in full the next time; keys are never wrong. */
static void memory_may_fail_anywhere(void **state)
{
    static struct world w;
    for (uint64_t n = 1; n < 60; n++) {
        begin(&w, n, 0);
        assert_int_equal(list(&w, 30, NULL), ETCDC_OK);
        w.lossy = true;
        gtm_mem_fail_at(n, 0);
        (void)list(&w, 60, NULL);
        gtm_mem_fail_at(0, 0);
        w.lossy = false;
        assert_int_equal(list(&w, 90, NULL), ETCDC_OK);
        assert_memory_equal(w.has, w.mod[90], sizeof(w.has));
        etcdc__core_fini(&w.core);
    }
}

static void keys_may_be_any_octets(void **state)
{
    struct etcdc__keys *keys = etcdc__keys_new(1 << 20);
    const char octets[] = {0, 1, 2, 'a', 0, 0, 1, 1, (char)0xff, (char)0x80};
    for (size_t n = 0; n <= sizeof(octets); n++)
        for (size_t from = 0; from + n <= sizeof(octets); from++)
            assert_int_equal(etcdc__keys_put(keys, etcdc_bytes(octets + from, n), 5), ETCDC_OK);
    size_t count = etcdc__keys_count(keys), it = 0, taken = 0;
    assert_true(count > 40);
    etcdc__keys_unmark(keys);
    etcdc__keys_mark(keys, etcdc_bytes(octets, 4));
    struct etcdc_buf key;
    int code;
    struct etcdc__keys *back = etcdc__keys_new(1 << 20);
    while (etcdc__keys_take_unmarked(keys, &it, &key, &code)) {
        assert_int_equal(etcdc__keys_get(back, key), 0); /* each comes once, as it was */
        assert_int_equal(etcdc__keys_put(back, key, 1), ETCDC_OK);
        taken++;
    }
    assert_int_equal(taken, count - 1);
    assert_int_equal(etcdc__keys_get(keys, etcdc_bytes(octets, 4)), 5);
    for (size_t n = 0; n <= sizeof(octets); n++)
        if (n != 4)
            assert_int_equal(etcdc__keys_get(back, etcdc_bytes(octets, n)), 1);
    etcdc__keys_free(back);
    etcdc__keys_free(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_listens_has_what_the_server_has),
        cmocka_unit_test(lost_events_come_with_a_listing),
        cmocka_unit_test(a_start_in_the_middle_lists_in_full_once),
        cmocka_unit_test(a_listing_from_the_past_is_refused),
        cmocka_unit_test(more_keys_than_the_bound_are_listed_in_full),
        cmocka_unit_test(the_bound_of_a_transaction_ends_the_stream),
        cmocka_unit_test(ends_of_the_stream_are_told),
        cmocka_unit_test(no_event_follows_a_close),
        cmocka_unit_test(a_tick_is_noticed),
        cmocka_unit_test(memory_may_fail_anywhere),
        cmocka_unit_test(keys_may_be_any_octets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
