/* SPDX-License-Identifier: Apache-2.0
 *
 * Time and space: a heap of events, links between regions, and the life of a run. See sim.h.
 */
#include "tests/sim/sim.h"

#include "gtm/base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sim_world sim;

struct event {
    uint64_t at, order;
    void (*call)(int a, int64_t b, void *p);
    int a;
    int64_t b;
    void *p;
};
static struct event *heap;
static size_t heap_count, heap_cap;

static bool earlier(const struct event *x, const struct event *y)
{
    return x->at != y->at ? x->at < y->at : x->order < y->order;
}

void sim_at(uint64_t at_ms, void (*call)(int a, int64_t b, void *p), int a, int64_t b, void *p)
{
    void *items = heap;
    if (gtm_grow(&items, &heap_cap, heap_count + 1, sizeof(*heap)) != 0)
        abort();
    heap = items;
    struct event e = {.at = at_ms, .order = sim.events++, .call = call, .a = a, .b = b, .p = p};
    size_t i = heap_count++;
    for (; i > 0 && earlier(&e, &heap[(i - 1) / 2]); i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = e;
}

static struct event take(void)
{
    struct event first = heap[0], last = heap[--heap_count];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < heap_count; i = child) {
        if (child + 1 < heap_count && earlier(&heap[child + 1], &heap[child]))
            child++;
        if (earlier(&last, &heap[child]))
            break;
        heap[i] = heap[child];
    }
    heap[i] = last;
    return first;
}

unsigned sim_below(unsigned n)
{
    return gtm_rand_below(&sim.rand, n);
}

bool sim_chance(unsigned percent)
{
    return sim_below(100) < percent;
}

/* --- links --- */

bool sim_path(int from, int to)
{
    return from == to || !sim.down_link[from][to];
}

bool sim_both(int a, int b)
{
    return sim_path(a, b) && sim_path(b, a);
}

unsigned sim_delay(int from, int to)
{
    unsigned base = from == to ? 1 : sim.delay[from][to];
    return base + sim_below(base / 4 + 2);
}

/* --- words --- */

void sim_trace(const char *fmt, ...)
{
    va_list args;
    if (!sim.trace)
        return;
    printf("%6llu.%03u  ", (unsigned long long)sim.now / 1000, (unsigned)(sim.now % 1000));
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    putchar('\n');
}

void sim_fail(const char *fmt, ...)
{
    va_list args;
    char text[200];
    if (sim.failure[0])
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    snprintf(sim.failure, sizeof(sim.failure), "at %llu ms: %s", (unsigned long long)sim.now, text);
    sim_trace("VIOLATION: %s", text);
}

/* --- a run --- */

static void world_tick(int a, int64_t b, void *p)
{
    sim_check_tick();
    sim_at(sim.now + TICK_MS, world_tick, a, b, p);
}

/* Three regions, two and a witness, or five; one or two nodes in each. */
static void build(void)
{
    unsigned shape = sim_below(10);
    sim.regions = shape < 8 ? 3 : 5;
    sim.places = shape < 3 ? 2 : sim.regions;
    for (unsigned a = 0; a < sim.regions; a++) {
        for (unsigned b = 0; b < a; b++)
            sim.delay[a][b] = sim.delay[b][a] = 2 + sim_below(sim_chance(50) ? 10 : 70);
    }
    for (unsigned r = 0; r < sim.regions; r++) {
        unsigned count = r >= sim.places ? 1 : 1 + sim_below(2);
        for (unsigned n = 0; n < count; n++) {
            struct sim_node *node = &sim.nodes[sim.nodes_count++];
            node->exists = true;
            node->region = (int)r;
            node->witness = r >= sim.places;
        }
    }
    for (unsigned e = 0; e < sim.places; e++)
        sim.alive[e] = true;
}

void sim_begin(uint64_t seed, enum sim_mutant mutant, bool trace)
{
    memset(&sim, 0, sizeof(sim));
    heap_count = 0;
    sim.mutant = mutant;
    sim.trace = trace;
    gtm_rand_seed(&sim.rand, seed);
    build();
    sim_etcd_begin();
    sim_check_begin();
    for (unsigned n = 0; n < sim.nodes_count; n++)
        sim_node_begin((int)n);
    sim_fault_begin();
    sim_at(TICK_MS, world_tick, 0, 0, NULL);
}

void sim_run(void)
{
    while (heap_count > 0 && heap[0].at <= END_MS && !sim.failure[0]) {
        struct event e = take();
        sim.now = e.at;
        e.call(e.a, e.b, e.p);
    }
}

void sim_end(void)
{
    for (size_t i = 0; i < heap_count; i++)
        sim_request_drop(heap[i].p);
    for (unsigned n = 0; n < sim.nodes_count; n++)
        sim_node_end((int)n);
    sim_etcd_end();
    gtm_free(heap);
    heap = NULL;
    heap_count = heap_cap = 0;
}
