/* SPDX-License-Identifier: Apache-2.0
 *
 * What goes wrong and when: all from the seed. After HEAL_MS everything works again, but for
 * endpoints that stay dead. See sim.h.
 */
#include "tests/sim/sim.h"

static unsigned any_region(void)
{
    return sim_below(sim.regions);
}

/* The node that leads half of the time, else any. */
static int some_node(void)
{
    int leader = sim_leader_of(sim.etcd.kv);
    return leader >= 0 && sim_chance(50) ? leader : (int)sim_below(sim.nodes_count);
}

static unsigned some_member(void)
{
    return sim.etcd.leader >= 0 && sim_chance(50) ? (unsigned)sim.etcd.leader : any_region();
}

static void resume(int n, int64_t b, void *p)
{
    (void)b;
    (void)p;
    sim_trace("node %d: goes on", n);
    sim.calm_ms = sim.now;
}

static void stop_node(void)
{
    int n = some_node();
    if (!sim_node_awake(n))
        return;
    sim.nodes[n].stopped_until = sim.now + 500 + sim_below(9000);
    sim_trace("node %d: stopped", n);
    sim_at(sim.nodes[n].stopped_until, resume, n, 0, NULL);
}

static void cut(unsigned a, unsigned b, bool one_way)
{
    if (a == b)
        return;
    sim_trace("cut %u %s %u", a, one_way ? "->" : "<->", b);
    sim.down_link[a][b] = true;
    sim.down_link[b][a] |= !one_way;
}

static void isolate(unsigned region)
{
    bool one_way = sim_chance(25);
    for (unsigned r = 0; r < sim.regions; r++)
        cut(region, r, one_way);
}

static void slow(unsigned a, unsigned b)
{
    sim_trace("slow %u - %u", a, b);
    sim.delay[a][b] = 200 + sim_below(1500);
    sim.delay[b][a] = sim_chance(50) ? sim.delay[a][b] : sim.delay[b][a];
}

static void mend_links(void)
{
    sim_trace("links are mended");
    for (unsigned a = 0; a < sim.regions; a++) {
        for (unsigned b = 0; b < sim.regions; b++) {
            sim.down_link[a][b] = false;
            if (sim.delay[a][b] >= 200)
                sim.delay[a][b] = sim.delay[b][a] = 20;
        }
    }
}

static void kill_region(unsigned r)
{
    sim_trace("region %u is lost", r);
    sim.region_dead[r] = true;
    sim.etcd.members[r].running = false;
    if (r < sim.places)
        sim.alive[r] = false;
    for (unsigned n = 0; n < sim.nodes_count; n++) {
        if (sim.nodes[n].region == (int)r && sim.nodes[n].running)
            sim_node_kill((int)n);
    }
}

/* Everything that is dead comes back; endpoints only sometimes. */
static void revive(bool endpoints)
{
    sim_trace("the dead come back");
    for (unsigned r = 0; r < sim.regions; r++) {
        sim.region_dead[r] = false;
        sim.etcd.members[r].running = true;
        if (r < sim.places && endpoints)
            sim.alive[r] = true;
    }
    for (unsigned n = 0; n < sim.nodes_count; n++) {
        sim.nodes[n].broken = false;
        if (!sim.nodes[n].running)
            sim_node_start((int)n);
    }
}

static void break_vantages(unsigned region)
{
    sim_trace("vantages of region %u are broken", region);
    for (unsigned n = 0; n < sim.nodes_count; n++)
        sim.nodes[n].broken |= sim.nodes[n].region == (int)region;
}

/* Its session ends early while it is hard to reach: it goes on believing that it leads. */
static void depose(int n)
{
    int region = sim.nodes[n].region;
    sim_trace("the lease of node %d is revoked early", n);
    for (unsigned r = 0; sim_chance(60) && r < sim.regions; r++) {
        if ((int)r != region)
            slow((unsigned)region, r);
    }
    sim_etcd_revoke(sim.nodes[n].lease);
}

static void back_again(int region, int64_t place, void *p)
{
    (void)p;
    sim.calm_ms = sim.now;
    sim.alive[place] = !sim.region_dead[place];
    for (unsigned r = 0; r < sim.regions; r++)
        sim.delay[region][r] = sim.delay[r][region];
}

/* What a region writes about an endpoint travels so long that newer words overtake it. */
static void overtake(unsigned region, unsigned e)
{
    sim_trace("region %u is heard late, and e%u flaps", region, e);
    sim.alive[e] = false;
    for (unsigned r = 0; r < sim.regions; r++) {
        if (r != region && sim.delay[r][region] < SIM_SLOW_MS)
            sim.delay[region][r] = 3500 + sim_below(1500);
    }
    sim_at(sim.now + REQUEST_MS + sim_below(800), back_again, (int)region, e, NULL);
}

/* A leader goes just when it is needed. */
static void worst_moment(unsigned e)
{
    int n = sim_leader_of(sim.etcd.kv);
    sim_trace("e%u dies with the leader", e);
    sim.alive[e] = false;
    if (n >= 0 && sim_chance(50))
        kill_region((unsigned)sim.nodes[n].region);
    else if (n >= 0 && sim.nodes[n].running)
        sim_node_kill(n);
}

/* The ones that the bar must bear: nothing but deaths. */
static void death(void)
{
    unsigned r = any_region(), e = sim_below(sim.places);
    int n = some_node();
    switch (sim_below(7)) {
    case 4:
        sim_trace("etcd loses its majority");
        for (unsigned m = 0; m <= sim.regions / 2; m++)
            sim.etcd.members[(r + m) % sim.regions].running = false;
        return;
    case 3:
        worst_moment(e);
        return;
    case 0:
        kill_region(sim.etcd.leader >= 0 && sim_chance(50) ? (unsigned)sim.etcd.leader : r);
        return;
    case 1:
        sim.etcd.members[some_member()].running = false;
        sim_trace("a member dies");
        return;
    case 2:
        if (sim.nodes[n].running)
            sim_node_kill(n);
        return;
    default:
        sim.alive[e] = false;
        sim_trace("e%u dies", e);
    }
}

static void disturbance(void)
{
    unsigned a = any_region(), b = any_region();
    int n = some_node();
    sim.calm_ms = sim.now;
    switch (sim_below(12)) {
    case 0:
        cut(a, b, sim_chance(50));
        return;
    case 1:
        isolate(a);
        return;
    case 2:
        slow(a, b);
        return;
    case 3:
        stop_node();
        return;
    case 4:
        sim_trace("node %d: its wall clock steps", n);
        sim.nodes[n].wall_step_ms += (int64_t)sim_below(60000) - 30000;
        return;
    case 5:
        sim_etcd_compact();
        return;
    case 6:
        depose(n);
        return;
    case 7:
        break_vantages(a);
        return;
    case 8:
        sim_trace("e%u comes back", b % sim.places);
        sim.alive[b % sim.places] = !sim.region_dead[b % sim.places];
        return;
    case 10:
        overtake(a, b % sim.places);
        return;
    case 9:
        revive(sim_chance(70));
        return;
    default:
        mend_links();
    }
}

static void next(int a, int64_t b, void *p)
{
    if (sim.now >= HEAL_MS)
        return;
    if (sim_chance(45))
        death();
    else
        disturbance();
    /* at once upon another, or time enough to see what the bar says */
    unsigned wait = sim_chance(60) ? 50 + sim_below(1500) : 4000 + sim_below(6000);
    sim_at(sim.now + wait, next, a, b, p);
}

static void heal(int a, int64_t b, void *p)
{
    (void)a;
    (void)b;
    (void)p;
    sim.healed = true;
    sim.calm_ms = sim.now;
    for (unsigned n = 0; n < sim.nodes_count; n++) {
        if (sim.nodes[n].stopped_until > sim.now)
            sim_node_kill((int)n); /* its events lie beyond */
        sim.nodes[n].stopped_until = 0;
    }
    mend_links();
    revive(sim_chance(60));
}

void sim_fault_begin(void)
{
    sim_at(FAULTS_FROM, next, 0, 0, NULL);
    sim_at(HEAL_MS, heal, 0, 0, NULL);
}
