/* SPDX-License-Identifier: Apache-2.0
 *
 * The outer half of a node: its copy of the store and whether that is fresh, its session, its
 * probes and canaries, and the observations that it writes. See sim.h.
 */
#include "tests/sim/sim.h"

#include "gtm/base/mem.h"
#include "gtm/model/obs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALID_MARGIN_MS 500u

static struct sim_node *of(int node)
{
    return &sim.nodes[node];
}

bool sim_node_awake(int node)
{
    return of(node)->running && of(node)->stopped_until <= sim.now;
}

int sim_leader_of(const struct sim_kv *kv)
{
    int leader = -1;
    for (unsigned n = 0; n < sim.nodes_count; n++) {
        const struct sim_kv *key = &kv[KEY_LEADER + n];
        if (key->value && (leader < 0 || key->create < kv[KEY_LEADER + leader].create))
            leader = (int)n;
    }
    return leader;
}

/* --- the copy --- */

static void resync(struct sim_node *node)
{
    sim.resyncs++;
    for (int key = 0; key < KEYS; key++)
        sim_kv_set(&node->copy[key], &sim.etcd.kv[key]);
    node->copy_rev = sim.etcd.rev;
}

/* What a watch gives twice; not newer than the copy, so left out. */
static void repeat(struct sim_node *node)
{
    const struct sim_etcd *etcd = &sim.etcd;
    size_t at = etcd->log_count > 0 ? sim_below((unsigned)etcd->log_count) : 0;
    for (size_t i = at; i < etcd->log_count && i < at + 3; i++) {
        const struct sim_log *entry = &etcd->log[i];
        if (entry->rev <= node->copy_rev && sim.mutant == SIM_OLDER_VIEW)
            sim_kv_set(&node->copy[entry->key], &entry->kv);
    }
}

static void follow(struct sim_node *node, int64_t upto)
{
    const struct sim_etcd *etcd = &sim.etcd;
    size_t from = etcd->log_count;
    if (sim_chance(3))
        repeat(node);
    while (from > 0 && etcd->log[from - 1].rev > node->copy_rev)
        from--;
    for (size_t i = from; i < etcd->log_count && etcd->log[i].rev <= upto; i++)
        sim_kv_set(&node->copy[etcd->log[i].key], &etcd->log[i].kv);
    if (upto > node->copy_rev)
        node->copy_rev = upto;
}

static void pump(int n)
{
    struct sim_node *node = of(n);
    const struct sim_member *member = &sim.etcd.members[node->member];
    if (!member->running || !sim_both(node->member, node->region))
        return;
    if (node->copy_rev < sim.etcd.compacted) {
        if (sim.mutant == SIM_NO_RESYNC)
            node->copy_rev = sim.etcd.compacted;
        else if (member->applied == sim.etcd.rev)
            resync(node);
        else
            return;
    }
    follow(node, member->applied);
    if (node->copy_rev >= node->head_rev)
        node->behind_ms = 0;
}

void sim_node_watch(int n, int64_t b, void *p)
{
    (void)b;
    (void)p;
    if (!sim_node_awake(n))
        return;
    pump(n);
    sim_decide(n);
}

static void next_member(struct sim_node *node)
{
    node->member = (node->member + 1) % (int)sim.regions;
}

/* Any answer says that a quorum lives; none says that another member may be better. */
static void heard(struct sim_node *node, const struct sim_request *request, bool answered)
{
    if (!answered) {
        if (node->member == request->member)
            next_member(node);
        return;
    }
    node->heard = true;
    if (request->sent_ms > node->heard_ms)
        node->heard_ms = request->sent_ms;
    if (request->rev > node->head_rev)
        node->head_rev = request->rev;
    if (node->copy_rev < node->head_rev && node->behind_ms == 0)
        node->behind_ms = sim.now;
}

static void on_ping(int n, struct sim_request *request, bool answered)
{
    of(n)->pinging = false;
    heard(of(n), request, answered);
}

static void look(struct sim_node *node, int n)
{
    bool was = node->fresh;
    if (!node->pinging && sim.now >= node->ping_ms) {
        node->pinging = true;
        node->ping_ms = sim.now + STALE_MS / 3;
        sim_request_send(sim_request_new(n, SIM_WANT_PING, on_ping));
    }
    if (node->behind_ms > 0 && sim.now - node->behind_ms > STALE_MS / 3 && sim_chance(10))
        next_member(node);
    /* who was away is back only with a copy that has what the quorum has */
    bool caught_up = was ? node->behind_ms == 0 || sim.now - node->behind_ms < STALE_MS
                         : node->copy_rev >= node->head_rev;
    node->fresh = node->heard && sim.now - node->heard_ms < STALE_MS && caught_up;
    if (was && !node->fresh)
        node->away_ms = sim.now;
    if (sim.now < node->save_ms)
        return;
    node->save_ms = sim.now + 2000;
    node->saved_rev = node->copy_rev;
    for (int key = 0; key < KEYS; key++)
        sim_kv_set(&node->saved[key], &node->copy[key]);
}

/* --- the session --- */

static void on_session(int n, struct sim_request *request, bool answered)
{
    struct sim_node *node = of(n);
    node->asking = false;
    heard(node, request, answered);
    if (answered && request->ok) {
        node->dirty |= node->lease != request->lease;
        node->lease = request->lease;
        node->valid_ms = request->sent_ms + TTL_MS - VALID_MARGIN_MS;
        node->keep_ms = sim.now + TTL_MS / 3;
    } else if (answered) {
        sim_trace("node %d: its session is gone", n);
        node->lease = 0;
        node->valid_ms = 0;
    }
}

static void session(struct sim_node *node, int n)
{
    if (node->asking || (node->lease && sim.now < node->keep_ms))
        return;
    struct sim_request *request =
        sim_request_new(n, node->lease ? SIM_WANT_KEEP : SIM_WANT_GRANT, on_session);
    request->lease = node->lease;
    node->asking = true;
    sim_request_send(request);
}

static void on_stand(int n, struct sim_request *request, bool answered)
{
    of(n)->standing = false;
    heard(of(n), request, answered);
}

/* Candidates wait until their own key of an older session is gone. */
static void stand(struct sim_node *node, int n)
{
    if (node->standing || !node->lease || !node->fresh || node->copy[KEY_LEADER + n].value)
        return;
    struct sim_request *request = sim_request_new(n, SIM_WANT_TXN, on_stand);
    request->lease = node->lease;
    request->guard_key[0] = KEY_LEADER + n;
    request->guard_create[0] = 0;
    request->guard_mod[0] = -1;
    request->puts[request->puts_count++] = (struct sim_put){
        .key = KEY_LEADER + n, .value = sim_value_new(gtm_strdup("{}")), .leased = true};
    node->standing = true;
    sim_request_send(request);
}

/* --- probes --- */

static bool answers(const struct sim_node *node, int place)
{
    bool near = node->region == place || (sim.delay[node->region][place] < SIM_SLOW_MS &&
                                          sim.delay[place][node->region] < SIM_SLOW_MS);
    return sim.alive[place] && !node->broken && near && sim_both(node->region, place);
}

/* As health/ damps: fall 2, rise 3. Returns whether a confirmation is wanted. */
static bool probe_one(struct sim_node *node, int place)
{
    bool ok = answers(node, place), down = node->seen[place] == GTM_HEALTH_DOWN;
    uint8_t before = node->seen[place];
    if (before == GTM_HEALTH_UNKNOWN && ok) {
        node->seen[place] = GTM_HEALTH_UP;
    } else if (ok == !down) {
        node->streak[place] = 0;
    } else if (++node->streak[place] >= (down ? 3 : 2)) {
        node->seen[place] = down ? GTM_HEALTH_UP : GTM_HEALTH_DOWN;
        node->streak[place] = 0;
    }
    node->dirty |= node->seen[place] != before;
    return node->streak[place] > 0 && !down;
}

static void see(struct sim_node *node)
{
    unsigned reached = 0;
    for (unsigned r = 0; r < sim.regions; r++)
        reached += (int)r != node->region && sim_both(node->region, (int)r);
    bool fit = !node->broken && reached * 2 >= sim.regions - 1;
    node->dirty |= fit != node->fit;
    node->fit = fit;
}

static void probe(int n, int64_t epoch, void *p);

static void confirm(int n, int64_t epoch, void *p)
{
    struct sim_node *node = of(n);
    (void)p;
    if ((unsigned)epoch != node->epoch || !sim_node_awake(n))
        return;
    see(node);
    for (unsigned e = 0; e < sim.places; e++)
        probe_one(node, (int)e);
}

static void probe(int n, int64_t epoch, void *p)
{
    struct sim_node *node = of(n);
    bool again = false;
    if ((unsigned)epoch != node->epoch || !node->running)
        return;
    if (!sim_node_awake(n)) {
        sim_at(node->stopped_until, probe, n, epoch, p);
        return;
    }
    see(node);
    for (unsigned e = 0; e < sim.places; e++)
        again |= probe_one(node, (int)e);
    if (again)
        sim_at(sim.now + CONFIRM_MS, confirm, n, epoch, p);
    sim_at(sim.now + PROBE_MS - 20 + sim_below(40), probe, n, epoch, p);
}

/* --- observations --- */

static struct sim_value *packed(const struct sim_node *node)
{
    static const char *const names[PLACES_MAX] = {"e0", "e1", "e2", "e3", "e4"};
    struct gtm_obs_slot slots[PLACES_MAX];
    struct gtm_obs obs = {.slots = slots, .count = sim.places, .seq = node->seq}, again;
    struct gtm_buf buf = {0};
    struct gtm_error err;
    obs.at_ms = 1000000000 + (int64_t)sim.now + node->wall_step_ms;
    snprintf(obs.region, sizeof(obs.region), "r%d", node->region);
    for (unsigned e = 0; e < sim.places; e++)
        slots[e] = (struct gtm_obs_slot){.endpoint = names[e],
                                         .monitor = "web",
                                         .health = node->seen[e],
                                         .since_ms = obs.at_ms,
                                         .result = "timeout",
                                         .evidence = "nothing came within 250 ms"};
    if (gtm_obs_print(&obs, &buf) != GTM_OK)
        abort();
    struct sim_value *value = sim_value_new(gtm_buf_take(&buf));
    if (gtm_obs_parse(value->text, strlen(value->text), &again, &err) != GTM_OK)
        abort();
    for (size_t i = 0; i < again.count; i++)
        value->health[again.slots[i].endpoint[1] - '0'] = again.slots[i].health;
    gtm_obs_fini(&again);
    return value;
}

static void on_put(int n, struct sim_request *request, bool answered)
{
    of(n)->putting = false;
    of(n)->dirty |= !answered || !request->ok;
    heard(of(n), request, answered);
}

static void observe(struct sim_node *node, int n)
{
    if (!node->dirty || node->putting || !node->lease)
        return;
    struct sim_request *request = sim_request_new(n, SIM_WANT_TXN, on_put);
    struct sim_value *self = sim_value_new(gtm_strdup("{}"));
    self->fit = node->fit;
    node->seq++;
    request->lease = node->lease;
    request->puts[0] = (struct sim_put){.key = KEY_OBS + n, .value = packed(node), .leased = true};
    request->puts[1] = (struct sim_put){.key = KEY_NODE + n, .value = self, .leased = true};
    request->puts_count = 2;
    if (sim.mutant != SIM_LATE_PUT) { /* one that timed out may still arrive, after newer ones */
        request->guard_key[0] = KEY_OBS + n;
        request->guard_create[0] = -1;
        request->guard_mod[0] = node->copy[KEY_OBS + n].value ? node->copy[KEY_OBS + n].mod : 0;
    }
    node->dirty = false;
    node->putting = true;
    sim_request_send(request);
}

/* --- life --- */

static void tick(int n, int64_t epoch, void *p)
{
    struct sim_node *node = of(n);
    if ((unsigned)epoch != node->epoch || !node->running)
        return;
    if (!sim_node_awake(n)) {
        sim_at(node->stopped_until, tick, n, epoch, p);
        return;
    }
    pump(n);
    look(node, n);
    session(node, n);
    stand(node, n);
    observe(node, n);
    sim_decide(n);
    sim_at(sim.now + TICK_MS, tick, n, epoch, p);
}

static void clear(struct sim_kv kv[KEYS])
{
    const struct sim_kv none = {0};
    for (int key = 0; key < KEYS; key++)
        sim_kv_set(&kv[key], &none);
}

/* A new process begins with the saved copy and nothing else. */
void sim_node_start(int n)
{
    struct sim_node *node = of(n), fresh = {.exists = true};
    fresh.region = fresh.member = node->region;
    fresh.witness = node->witness;
    fresh.broken = node->broken;
    fresh.wall_step_ms = node->wall_step_ms;
    fresh.epoch = node->epoch + 1;
    fresh.running = true;
    fresh.away_ms = sim.now;
    memcpy(fresh.saved, node->saved, sizeof(fresh.saved));
    fresh.saved_rev = fresh.copy_rev = node->saved_rev;
    fresh.save_ms = sim.now + 2000;
    clear(node->copy);
    for (int key = 0; key < KEYS; key++)
        sim_kv_set(&fresh.copy[key], &fresh.saved[key]);
    *node = fresh;
    sim_trace("node %d: starts", n);
    sim_check_start(n);
    sim_at(sim.now + sim_below(PROBE_MS), probe, n, node->epoch, NULL);
    sim_at(sim.now + sim_below(TICK_MS), tick, n, node->epoch, NULL);
}

void sim_node_kill(int n)
{
    sim_trace("node %d: killed", n);
    of(n)->running = false;
    of(n)->epoch++;
}

static void first_start(int n, int64_t b, void *p)
{
    (void)b;
    (void)p;
    sim_node_start(n);
}

void sim_node_begin(int n)
{
    sim_at(1 + sim_below(500), first_start, n, 0, NULL);
}

void sim_node_end(int n)
{
    clear(of(n)->copy);
    clear(of(n)->saved);
}
