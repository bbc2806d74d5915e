/* SPDX-License-Identifier: Apache-2.0
 *
 * What a storm costs the leader: POOLS pools of ENDPOINTS endpoints each, seen by VANTAGES
 * vantages, all go down at once (and come back). The store is a table in memory, so that only the
 * work of the daemon's own parts is counted: reading observations, merging, deciding, printing
 * verdicts, and following them.
 *
 *     bench_quorum POOLS ENDPOINTS VANTAGES
 *
 * Prints JSON lines: {"phase":…,"cpu_ms":…,"objects":…,"bytes":…}; memory as rss_kib at the end.
 */
#include "gtm/base/buf.h"
#include "gtm/base/log.h"
#include "gtm/base/loop.h"
#include "gtm/base/map.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/conductor.h"
#include "gtm/daemon/follower.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* --- a store in memory --- */

struct entry {
    char *value;
    size_t len;
    int64_t revision;
};
struct gtm_store_watch {
    char prefix[32];
    gtm_store_watch_fn *cb;
    void *arg;
};
struct queued {
    gtm_store_done_fn *done;
    void *arg;
    int64_t revision;
};
static struct memory {
    struct gtm_store store;
    struct gtm_map *map;
    struct gtm_store_watch watches[16];
    size_t watches_count;
    struct queued queue[64];
    size_t queue_count;
    int64_t revision;
    uint64_t commits, bytes;
} memory;

static int mem_get(const struct gtm_store *store, const char *key, struct gtm_store_entry *ret)
{
    const struct entry *e = gtm_map_get(memory.map, key);
    (void)store;
    if (!e)
        return GTM_ENOTFOUND;
    *ret = (struct gtm_store_entry){key, e->value, e->len, e->revision};
    return 0;
}

static int mem_list(const struct gtm_store *store, const char *prefix, gtm_store_visit_fn *visit,
                    void *arg)
{
    size_t it = 0;
    const char *key;
    void *value;
    int rc = 0;
    (void)store;
    while (!rc && gtm_map_next(memory.map, &it, &key, &value)) {
        const struct entry *e = value;
        if (!strncmp(key, prefix, strlen(prefix)))
            rc = visit(arg, &(struct gtm_store_entry){key, e->value, e->len, e->revision});
    }
    return rc;
}

static void put(const char *key, const char *value, size_t len)
{
    struct entry *e = gtm_map_get(memory.map, key);
    if (!e) {
        e = gtm_calloc(1, sizeof(*e));
        if (!e || gtm_map_put(memory.map, key, e, NULL))
            abort();
    }
    gtm_free(e->value);
    *e = (struct entry){gtm_strndup(value, len), len, memory.revision};
    for (size_t i = 0; i < memory.watches_count; i++)
        if (!strncmp(key, memory.watches[i].prefix, strlen(memory.watches[i].prefix)))
            memory.watches[i].cb(memory.watches[i].arg,
                                 &(struct gtm_store_entry){key, e->value, len, e->revision});
}

static int mem_commit(struct gtm_store *store, const struct gtm_store_change *changes, size_t count,
                      gtm_store_done_fn *done, void *arg)
{
    (void)store;
    memory.revision++;
    memory.commits++;
    for (size_t i = 0; i < count; i++) {
        memory.bytes += changes[i].value_len;
        if (changes[i].kind == GTM_STORE_PUT)
            put(changes[i].key, changes[i].value, changes[i].value_len);
    }
    if (memory.queue_count == sizeof(memory.queue) / sizeof(*memory.queue))
        abort();
    memory.queue[memory.queue_count++] = (struct queued){done, arg, memory.revision};
    return 0;
}

static struct gtm_store_watch *mem_watch(struct gtm_store *store, const char *prefix,
                                         gtm_store_watch_fn *cb, void *arg)
{
    struct gtm_store_watch *w = &memory.watches[memory.watches_count++];
    (void)store;
    snprintf(w->prefix, sizeof(w->prefix), "%s", prefix);
    w->cb = cb;
    w->arg = arg;
    return w;
}

static void mem_unwatch(struct gtm_store *store, struct gtm_store_watch *watch)
{
    (void)store;
    (void)watch;
}

static const struct gtm_store_ops ops = {.get = mem_get,
                                         .list = mem_list,
                                         .commit = mem_commit,
                                         .watch = mem_watch,
                                         .unwatch = mem_unwatch};

/* --- the world --- */

static struct {
    unsigned pools, endpoints, vantages;
    struct gtm_loop *loop;
    struct gtm_state *state;
    struct gtm_quorum_table *table;
    struct gtm_conductor *conductor;
    struct gtm_follower *follower;
} world;

static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void run(void)
{
    for (unsigned idle = 0; idle < 3; idle++) {
        while (memory.queue_count > 0) {
            struct queued q = memory.queue[--memory.queue_count];
            if (q.done)
                q.done(q.arg, &(struct gtm_store_result){.revision = q.revision});
            idle = 0;
        }
        event_base_loop(gtm_loop_base(world.loop), EVLOOP_NONBLOCK);
    }
}

static int on_flip(void *ctx, const struct gtm_states *states, const struct gtm_touched *touched)
{
    (void)ctx;
    (void)states;
    (void)touched;
    return 0;
}

static void on_table(void *ctx)
{
    (void)ctx;
    gtm_conductor_changed(world.conductor);
}

static bool valid(void *ctx, uint32_t need_ms)
{
    (void)ctx;
    (void)need_ms;
    return true;
}

static int64_t fence(void *ctx)
{
    (void)ctx;
    return 1;
}

static int guard(void *ctx, struct gtm_store_change *ret)
{
    (void)ctx;
    *ret = (struct gtm_store_change){.kind = GTM_STORE_CHECK, .key = "leader/x", .expect = 1};
    return 0;
}

static struct gtm_intent *make_intent(void)
{
    struct gtm_buf text = {0};
    struct gtm_diags diags = {0};
    gtm_buf_adds(&text, "regions:\n");
    for (unsigned r = 0; r < 100; r++)
        gtm_buf_addf(&text, "  - {name: r%u, location: [%u, %u]}\n", r, r % 90, r);
    gtm_buf_adds(&text, "health: {vantages: [");
    for (unsigned v = 0; v < world.vantages; v++)
        gtm_buf_addf(&text, "%sr%u", v ? ", " : "", v);
    gtm_buf_adds(&text, "]}\nmonitors: [{name: web, kind: tcp, port: 80, interval: 1s}]\npools:\n");
    for (unsigned p = 0; p < world.pools; p++) {
        gtm_buf_addf(&text, "  - name: pool-%u\n    monitors: [web]\n    endpoints:\n", p);
        for (unsigned e = 0; e < world.endpoints; e++)
            gtm_buf_addf(&text,
                         "      - {name: endpoint-%u, region: r%u, addresses: [10.%u.%u.%u]}\n", e,
                         e % 100, p % 250, e / 250, e % 250 + 1);
    }
    struct gtm_intent *intent = gtm_intent_parse("c.yaml", text.data, text.len, &diags);
    if (!intent)
        gtm_diags_print(&diags, stderr);
    gtm_buf_fini(&text);
    gtm_diags_fini(&diags);
    return intent;
}

static void observe(unsigned vantage, unsigned pool, bool up)
{
    char key[64], names[32];
    struct gtm_buf text = {0};
    struct gtm_obs obs = {.at_ms = 1795194000000, .seq = 1, .count = world.endpoints};
    struct gtm_obs_slot *slots = gtm_calloc(world.endpoints, sizeof(*slots));
    char *texts = gtm_calloc(world.endpoints, sizeof(names));
    if (!slots || !texts)
        abort();
    snprintf(obs.region, sizeof(obs.region), "r%u", vantage);
    for (unsigned e = 0; e < world.endpoints; e++) {
        char *name = texts + e * sizeof(names);
        snprintf(name, sizeof(names), "endpoint-%u", e);
        slots[e] = (struct gtm_obs_slot){.endpoint = name,
                                         .monitor = "web",
                                         .health = up ? GTM_HEALTH_UP : GTM_HEALTH_DOWN,
                                         .since_ms = up ? 0 : 1795194000000,
                                         .result = up ? "" : "refused",
                                         .evidence = up ? "" : "connection refused"};
    }
    obs.slots = slots;
    if (gtm_obs_print(&obs, &text))
        abort();
    snprintf(key, sizeof(key), "obs/n%u/pool-%u", vantage, pool);
    put(key, text.data, text.len);
    gtm_buf_fini(&text);
    gtm_free(slots);
    gtm_free(texts);
}

/* The cost of printing what the vantages say, which is theirs. */
static double printing_ms(bool up)
{
    size_t watches = memory.watches_count;
    memory.watches_count = 0;
    double begin = cpu_ms();
    for (unsigned v = 0; v < world.vantages; v++)
        for (unsigned p = 0; p < world.pools; p++)
            observe(v, p, up);
    memory.watches_count = watches;
    return cpu_ms() - begin;
}

static void phase(const char *name, bool up)
{
    struct gtm_conductor_info before, after;
    double printing = printing_ms(!up); /* nobody hears it; the texts that differ come next */
    gtm_conductor_info(world.conductor, &before);
    uint64_t commits = memory.commits;
    double begin = cpu_ms(), reading;
    memory.revision++;
    for (unsigned v = 0; v < world.vantages; v++)
        for (unsigned p = 0; p < world.pools; p++)
            observe(v, p, up);
    reading = cpu_ms() - begin - printing;
    run();
    double all = cpu_ms() - begin - printing;
    gtm_conductor_info(world.conductor, &after);
    printf("{\"bench\":\"quorum\",\"phase\":\"%s\",\"targets\":%u,\"vantages\":%u,"
           "\"read_cpu_ms\":%.0f,\"decide_write_follow_cpu_ms\":%.0f,\"transactions\":%llu,"
           "\"objects\":%llu,\"bytes\":%llu}\n",
           name, world.pools * world.endpoints, world.vantages, reading, all - reading,
           (unsigned long long)(memory.commits - commits),
           (unsigned long long)(after.objects - before.objects),
           (unsigned long long)(after.bytes - before.bytes));
}

static long rss_kib(void)
{
    char line[128];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "VmRSS: %ld", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib;
}

static void make_parts(struct gtm_events *events)
{
    struct gtm_store *store = &memory.store;
    world.state = gtm_state_new(&(struct gtm_state_opts){.loop = world.loop,
                                                         .store = store,
                                                         .events = events,
                                                         .mode = GTM_STATE_FOLLOWS,
                                                         .flip = on_flip});
    world.table = gtm_quorum_table_new(&(struct gtm_quorum_table_opts){
        .loop = world.loop, .store = store, .node = "n0", .on_change = on_table});
    world.conductor =
        gtm_conductor_new(&(struct gtm_conductor_opts){.loop = world.loop,
                                                       .store = store,
                                                       .events = events,
                                                       .table = world.table,
                                                       .state = world.state,
                                                       .node = "n0",
                                                       .lead = {valid, fence, guard}});
    world.follower = gtm_follower_new(
        &(struct gtm_follower_opts){.loop = world.loop, .store = store, .state = world.state});
    if (!world.state || !world.table || !world.conductor || !world.follower)
        abort();
    gtm_follower_conductor(world.follower, world.conductor);
}

static void quiet(void *ctx, const char *line)
{
    (void)ctx;
    (void)line;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: bench_quorum POOLS ENDPOINTS VANTAGES\n");
        return 2;
    }
    world.pools = (unsigned)strtoul(argv[1], NULL, 10);
    world.endpoints = (unsigned)strtoul(argv[2], NULL, 10);
    world.vantages = (unsigned)strtoul(argv[3], NULL, 10);
    gtm_log_set_sink(quiet, NULL);
    memory.store.ops = &ops;
    memory.map = gtm_map_new();
    world.loop = gtm_loop_new();
    struct gtm_events *events = gtm_events_new(gtm_clock_system());
    struct gtm_intent *intent = make_intent();
    if (!intent || !events || !world.loop || !memory.map)
        return 1;
    long before = rss_kib();
    make_parts(events);
    struct gtm_state_next *next = gtm_state_prepare(world.state, intent);
    if (!next)
        return 1;
    gtm_state_commit(world.state, next);
    long with_state = rss_kib();
    for (unsigned v = 0; v < world.vantages; v++) {
        char key[32], text[96];
        snprintf(key, sizeof(key), "node/n%u", v);
        snprintf(text, sizeof(text), "{\"region\":\"r%u\",\"vantage\":{\"fit\":true}}", v);
        put(key, text, strlen(text));
    }
    if (gtm_quorum_table_intent(world.table, intent))
        return 1;
    gtm_follower_intent(world.follower);
    gtm_conductor_intent(world.conductor, intent, 1);
    gtm_conductor_mode(world.conductor, POLICY_ROLE_LEAD);
    run();
    phase("first", true);
    phase("down", false);
    phase("up", true);
    phase("down", false);
    struct gtm_quorum_table_info info;
    gtm_quorum_table_info(world.table, &info);
    printf("{\"bench\":\"quorum\",\"table_bytes\":%zu,\"state_rss_kib\":%ld,\"all_rss_kib\":%ld}\n",
           info.bytes, with_state - before, rss_kib() - before);
    return 0;
}
