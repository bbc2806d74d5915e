/* SPDX-License-Identifier: Apache-2.0
 *
 * etcd as its documentation promises it: one history of revisions, transactions that compare,
 * leases that live longer across elections and are sometimes revoked early, watches from members
 * that may be behind. Who cannot reach a member that sees a majority gets no answer; what was done
 * and not answered stays done. See sim.h.
 */
#include "tests/sim/sim.h"

#include "gtm/base/mem.h"
#include "gtm/model/obs.h"
#include "gtm/model/verdict_doc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- values --- */

struct sim_value *sim_value_new(char *text)
{
    struct sim_value *value = gtm_calloc(1, sizeof(*value));
    if (!value || !text)
        abort();
    value->refs = 1;
    value->text = text;
    return value;
}

struct sim_value *sim_value_ref(struct sim_value *value)
{
    if (value)
        value->refs++;
    return value;
}

void sim_value_unref(struct sim_value *value)
{
    if (value && --value->refs == 0) {
        gtm_free(value->text);
        gtm_free(value);
    }
}

void sim_kv_set(struct sim_kv *kv, const struct sim_kv *from)
{
    struct sim_value *old = kv->value;
    *kv = *from;
    sim_value_ref(kv->value);
    sim_value_unref(old);
}

/* --- members --- */

static bool works(int member)
{
    return member >= 0 && sim.etcd.members[member].running;
}

bool sim_etcd_quorum(int member)
{
    unsigned seen = 0;
    for (unsigned m = 0; works(member) && m < sim.regions; m++)
        seen += works((int)m) && sim_both(member, (int)m);
    return seen >= sim.regions / 2 + 1;
}

static void catch_up(void)
{
    struct sim_etcd *etcd = &sim.etcd;
    for (unsigned m = 0; m < sim.regions; m++) {
        if (works((int)m) && etcd->leader >= 0 && sim_both((int)m, etcd->leader))
            etcd->members[m].applied = etcd->rev;
    }
}

/* Sees who leads; after an election every lease lives from its start again. */
static void elect(void)
{
    struct sim_etcd *etcd = &sim.etcd;
    if (sim_etcd_quorum(etcd->leader)) {
        etcd->elect_ms = 0;
        return;
    }
    etcd->leader = -1;
    if (etcd->elect_ms == 0)
        etcd->elect_ms = sim.now + ELECTION_MS + sim_below(ELECTION_MS);
    if (sim.now < etcd->elect_ms)
        return;
    int first = (int)sim_below(sim.regions);
    for (unsigned i = 0; i < sim.regions && etcd->leader < 0; i++) {
        int m = (first + (int)i) % (int)sim.regions;
        if (sim_etcd_quorum(m))
            etcd->leader = m;
    }
    if (etcd->leader < 0)
        return;
    sim.elections++;
    sim_trace("etcd: member %d leads", etcd->leader);
    for (size_t i = 0; i < etcd->leases_count; i++)
        etcd->leases[i].ends_ms = sim.now + TTL_MS;
}

/* --- the history --- */

static void note(int key)
{
    struct sim_etcd *etcd = &sim.etcd;
    void *items = etcd->log;
    if (gtm_grow(&items, &etcd->log_cap, etcd->log_count + 1, sizeof(*etcd->log)) != 0)
        abort();
    etcd->log = items;
    struct sim_log *entry = &etcd->log[etcd->log_count++];
    *entry = (struct sim_log){.rev = etcd->rev, .key = key};
    sim_kv_set(&entry->kv, &etcd->kv[key]);
}

static void put(int key, struct sim_value *value, int64_t lease)
{
    struct sim_etcd *etcd = &sim.etcd;
    struct sim_kv now = {.value = value,
                         .create = etcd->kv[key].value ? etcd->kv[key].create : etcd->rev,
                         .mod = etcd->rev,
                         .lease = lease};
    sim_kv_set(&etcd->kv[key], &now);
    note(key);
}

static void tell_all(int region)
{
    for (unsigned n = 0; n < sim.nodes_count; n++) {
        const struct sim_node *node = &sim.nodes[n];
        unsigned way = sim_delay(region, node->member) + sim_delay(node->member, node->region);
        sim_at(sim.now + way, sim_node_watch, (int)n, 0, NULL);
    }
}

void sim_etcd_revoke(int64_t lease)
{
    struct sim_etcd *etcd = &sim.etcd;
    if (lease < 1 || (size_t)lease > etcd->leases_count || !etcd->leases[lease - 1].alive)
        return;
    etcd->leases[lease - 1].alive = false;
    sim_trace("etcd: lease %lld ends", (long long)lease);
    etcd->rev++;
    for (int key = 0; key < KEYS; key++) {
        if (etcd->kv[key].value && etcd->kv[key].lease == lease)
            put(key, NULL, 0);
    }
    catch_up();
    tell_all(etcd->leader < 0 ? 0 : etcd->leader);
}

void sim_etcd_compact(void)
{
    struct sim_etcd *etcd = &sim.etcd;
    sim_trace("etcd: compacted at %lld", (long long)etcd->rev);
    for (size_t i = 0; i < etcd->log_count; i++)
        sim_value_unref(etcd->log[i].kv.value);
    etcd->log_count = 0;
    etcd->compacted = etcd->rev;
}

void sim_etcd_begin(void)
{
    sim.etcd.rev = 1;
    sim.etcd.leader = (int)sim_below(sim.regions);
    for (unsigned m = 0; m < sim.regions; m++)
        sim.etcd.members[m] = (struct sim_member){.running = true, .applied = 1};
    sim_at(TICK_MS, sim_etcd_tick, 0, 0, NULL);
}

void sim_etcd_end(void)
{
    sim_etcd_compact();
    for (int key = 0; key < KEYS; key++)
        sim_value_unref(sim.etcd.kv[key].value);
    gtm_free(sim.etcd.log);
    gtm_free(sim.etcd.leases);
}

void sim_etcd_tick(int a, int64_t b, void *p)
{
    elect();
    catch_up();
    for (size_t i = 0; sim.etcd.leader >= 0 && i < sim.etcd.leases_count; i++) {
        if (sim.etcd.leases[i].alive && sim.etcd.leases[i].ends_ms <= sim.now)
            sim_etcd_revoke((int64_t)i + 1);
    }
    sim_at(sim.now + TICK_MS, sim_etcd_tick, a, b, p);
}

/* --- requests --- */

struct sim_request *sim_request_new(int node, enum sim_want want,
                                    void (*done)(int node, struct sim_request *request,
                                                 bool answered))
{
    struct sim_request *request = gtm_calloc(1, sizeof(*request));
    if (!request)
        abort();
    *request = (struct sim_request){.want = want,
                                    .node = node,
                                    .member = sim.nodes[node].member,
                                    .epoch = sim.nodes[node].epoch,
                                    .sent_ms = sim.now,
                                    .guard_key = {-1, -1},
                                    .done = done};
    return request;
}

void sim_request_drop(struct sim_request *request)
{
    if (!request || --request->refs > 0)
        return;
    for (unsigned i = 0; i < request->puts_count; i++)
        sim_value_unref(request->puts[i].value);
    gtm_free(request);
}

/* To the node, once, unless its process is another by now. A stopped one hears when it goes on. */
static void finish(int answered, int64_t b, void *p)
{
    struct sim_request *request = p;
    const struct sim_node *node = &sim.nodes[request->node];
    bool lost = answered && !sim_path(request->member, node->region);
    if (request->finished || lost || !node->running || node->epoch != request->epoch) {
        sim_request_drop(request);
        return;
    }
    if (!sim_node_awake(request->node)) {
        sim_at(node->stopped_until, finish, answered, b, p);
        return;
    }
    request->finished = true;
    request->done(request->node, request, answered);
    sim_request_drop(request);
}

static bool guards_hold(const struct sim_request *request)
{
    for (int i = 0; i < 2; i++) {
        int key = request->guard_key[i];
        const struct sim_kv *kv = key >= 0 ? &sim.etcd.kv[key] : NULL;
        int64_t create = kv && kv->value ? kv->create : 0, mod = kv && kv->value ? kv->mod : 0;
        if (kv && ((request->guard_create[i] >= 0 && request->guard_create[i] != create) ||
                   (request->guard_mod[i] >= 0 && request->guard_mod[i] != mod)))
            return false;
    }
    return true;
}

static void apply_txn(struct sim_request *request)
{
    struct sim_etcd *etcd = &sim.etcd;
    bool leased = false;
    for (unsigned i = 0; i < request->puts_count; i++)
        leased |= request->puts[i].leased;
    request->ok = guards_hold(request);
    if (leased && (request->lease < 1 || !etcd->leases[request->lease - 1].alive))
        request->ok = false;
    if (!request->ok)
        return;
    etcd->rev++;
    for (unsigned i = 0; i < request->puts_count; i++) {
        const struct sim_put *p = &request->puts[i];
        if (p->key == KEY_VIEW)
            sim_check_view(p->value->rev, p->value->fence);
        put(p->key, p->value, p->leased ? request->lease : 0);
    }
    catch_up();
    tell_all(etcd->leader);
}

static void apply(struct sim_request *request)
{
    struct sim_etcd *etcd = &sim.etcd;
    void *items = etcd->leases;
    struct sim_lease *lease = NULL;
    switch (request->want) {
    case SIM_WANT_GRANT:
        if (gtm_grow(&items, &etcd->leases_cap, etcd->leases_count + 1, sizeof(*lease)) != 0)
            abort();
        etcd->leases = items;
        etcd->leases[etcd->leases_count++] =
            (struct sim_lease){.ends_ms = sim.now + TTL_MS, .alive = true};
        request->lease = (int64_t)etcd->leases_count;
        request->ok = true;
        break;
    case SIM_WANT_KEEP:
        lease = &etcd->leases[request->lease - 1];
        request->ok = lease->alive;
        if (lease->alive)
            lease->ends_ms = sim.now + TTL_MS;
        break;
    case SIM_WANT_TXN:
        apply_txn(request);
        break;
    default:
        request->ok = true;
    }
    request->rev = etcd->rev;
}

/* Until a majority has it: a round trip to the farthest of the nearest that make one. */
static unsigned replicate(int leader)
{
    unsigned way[REGIONS_MAX], count = 0;
    for (unsigned m = 0; m < sim.regions; m++) {
        if ((int)m == leader || !works((int)m) || !sim_both((int)m, leader))
            continue;
        unsigned trip = sim_delay(leader, (int)m) + sim_delay((int)m, leader), at = count++;
        for (; at > 0 && way[at - 1] > trip; at--)
            way[at] = way[at - 1];
        way[at] = trip;
    }
    return count > 0 ? way[sim.regions / 2 - 1] : 0;
}

/* It reaches etcd's leader, when it can. */
static void arrive(int a, int64_t b, void *p)
{
    struct sim_request *request = p;
    int leader = sim.etcd.leader, member = request->member;
    bool there = works(member) && sim_path(sim.nodes[request->node].region, member) &&
                 leader >= 0 && sim_etcd_quorum(leader) && sim_both(member, leader);
    (void)a;
    (void)b;
    if (there) {
        apply(request);
        request->refs++;
        unsigned way = replicate(leader) + sim_delay(leader, member) +
                       sim_delay(member, sim.nodes[request->node].region);
        sim_at(sim.now + way, finish, 1, 0, request);
    }
    sim_request_drop(request);
}

void sim_request_send(struct sim_request *request)
{
    const struct sim_node *node = &sim.nodes[request->node];
    int leader = sim.etcd.leader < 0 ? request->member : sim.etcd.leader;
    request->refs = 2;
    sim_at(sim.now + sim_delay(node->region, request->member) + sim_delay(request->member, leader),
           arrive, 0, 0, request);
    sim_at(sim.now + REQUEST_MS, finish, 0, 0, request);
}
