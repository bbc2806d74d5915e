/* SPDX-License-Identifier: Apache-2.0
 *
 * What must always hold, told without the code that is tested: DESIGN section 6's rules of conduct,
 * and how long users may be sent to what is dead. See sim.h.
 */
#include "tests/sim/sim.h"

#include <string.h>

#define LEADERLESS_BAR_MS (DETECT_MS + POLICY_LEADERLESS_MS + 1000u)
#define STORE_BAR_MS      3000u /* more, after etcd itself had no leader or lost a member */

static struct {
    int64_t view_rev, view_fence; /* the last written */
    int64_t in_force[NODES_MAX];  /* by process */
    enum policy_role_mode mode[NODES_MAX];
    unsigned answer[NODES_MAX];
    uint64_t dead_ms[PLACES_MAX];             /* since when it is; 0 = it lives */
    uint64_t since_ms[NODES_MAX][PLACES_MAX]; /* users are sent there, and should not be */
    bool joined[NODES_MAX][PLACES_MAX];       /* was it then? Another rule holds for who is not */
    uint64_t store_ms;                        /* when etcd was last without a leader */
    bool members[REGIONS_MAX];
} seen;

void sim_check_begin(void)
{
    memset(&seen, 0, sizeof(seen));
}

void sim_check_start(int n)
{
    const struct sim_value *saved = sim.nodes[n].saved[KEY_VERDICT].value;
    seen.in_force[n] = saved ? saved->rev : 0;
    seen.mode[n] = POLICY_ROLE_START;
    seen.answer[n] = 0;
}

/* --- what one node does --- */

void sim_check_node(int n)
{
    const struct sim_node *node = &sim.nodes[n];
    unsigned answer = sim_answer(n), back = answer & ~seen.answer[n];
    bool all = answer == (1u << sim.places) - 1;
    if (answer == 0)
        sim_fail("node %d answers with nothing", n);
    if (node->view < seen.in_force[n] && node->view > 0)
        sim_fail("node %d goes back from view %lld to %lld", n, (long long)seen.in_force[n],
                 (long long)node->view);
    if (node->view > seen.in_force[n])
        seen.in_force[n] = node->view;
    for (unsigned e = 0; e < sim.places && !all; e++) {
        /* what a slow leader decided before may still be on its way: not counted against anybody */
        bool dead = seen.dead_ms[e] > 0 && seen.dead_ms[e] + DETECT_MS < sim.now &&
                    sim.calm_ms + SIM_LATE_MS < sim.now;
        if (back >> e & 1 && dead && seen.mode[n] == POLICY_ROLE_MERGE &&
            (node->mode == POLICY_ROLE_FOLLOW || node->mode == POLICY_ROLE_LEAD) &&
            node->seen[e] == GTM_HEALTH_DOWN)
            sim_fail("node %d stops merging and sends users back to e%u, which is dead", n, e);
    }
    if (answer != seen.answer[n])
        sim_trace("node %d: answers %u (view %lld)", n, answer, (long long)node->view);
    seen.answer[n] = answer;
    seen.mode[n] = node->mode;
}

/* --- what is written --- */

/* In how many regions do most of the fit vantages that know say so? */
static unsigned regions_saying(const struct sim_node *node, unsigned e, uint8_t health)
{
    unsigned count = 0;
    for (unsigned r = 0; r < sim.regions; r++) {
        int balance = 0;
        for (unsigned n = 0; n < sim.nodes_count; n++) {
            const struct sim_value *obs = node->copy[KEY_OBS + n].value;
            const struct sim_value *self = node->copy[KEY_NODE + n].value;
            if (sim.nodes[n].region != (int)r || !obs || !self || !self->fit ||
                obs->health[e] == GTM_HEALTH_UNKNOWN)
                continue;
            balance += obs->health[e] == health ? 1 : -1;
        }
        count += balance > 0;
    }
    return count;
}

void sim_check_decision(int n, const uint8_t before[PLACES_MAX], const uint8_t health[PLACES_MAX])
{
    for (unsigned e = 0; e < sim.places; e++) {
        unsigned say = regions_saying(&sim.nodes[n], e, health[e]);
        if (health[e] != before[e] && say * 2 <= sim.regions)
            sim_fail("node %d decides that e%u is %s, as %u of %u regions say", n, e,
                     gtm_health_word((enum gtm_health)health[e]), say, sim.regions);
    }
}

void sim_check_view(int64_t rev, int64_t fence)
{
    sim.views++;
    if (fence < seen.view_fence)
        sim_fail("fence %lld writes after fence %lld", (long long)fence,
                 (long long)seen.view_fence);
    if (rev != seen.view_rev + 1)
        sim_fail("view %lld is written after view %lld", (long long)rev, (long long)seen.view_rev);
    seen.view_fence = fence;
    seen.view_rev = rev;
    sim_trace("etcd: view %lld of fence %lld", (long long)rev, (long long)fence);
}

/* --- users and the dead --- */

/* Both ways, and fast enough for probes and requests. */
static bool quick(int a, int b)
{
    return a == b ||
           (sim_both(a, b) && sim.delay[a][b] < SIM_SLOW_MS && sim.delay[b][a] < SIM_SLOW_MS);
}

/* Fast enough with a majority of members. */
static bool leads_well(int m)
{
    unsigned with = 0;
    for (unsigned o = 0; sim.etcd.members[m].running && o < sim.regions; o++)
        with += sim.etcd.members[o].running && quick(m, (int)o);
    return with * 2 > sim.regions;
}

/* Reaches etcd's leader through a member; while none leads: a member that could. */
static bool connected(int region)
{
    int leader = sim.etcd.leader;
    for (unsigned m = 0; m < sim.regions; m++) {
        bool works =
            leader < 0 ? leads_well((int)m)
                       : leads_well(leader) && sim.etcd.members[m].running && quick((int)m, leader);
        if (works && quick(region, (int)m))
            return true;
    }
    return false;
}

/* Not even slowly. */
static bool apart(int region)
{
    for (unsigned m = 0; m < sim.regions; m++) {
        if (sim_both(region, (int)m) && sim_etcd_quorum((int)m))
            return false;
    }
    return true;
}

static bool broken_or_cut(const struct sim_node *node)
{
    unsigned reached = 0;
    for (unsigned r = 0; r < sim.regions; r++)
        reached += (int)r != node->region && quick(node->region, (int)r);
    return node->broken || reached * 2 < sim.regions - 1;
}

/* Does all that the store has of this region come from nodes that live and see? Observations of
 * the dead stand until their lease ends; that is not counted against anybody. */
static bool votes(int region)
{
    unsigned voters = 0;
    for (unsigned n = 0; n < sim.nodes_count; n++) {
        const struct sim_node *node = &sim.nodes[n];
        if (node->region != region || (!sim.etcd.kv[KEY_OBS + n].value && !node->running))
            continue;
        if (!sim_node_awake((int)n) || broken_or_cut(node))
            return false;
        voters++;
    }
    return voters > 0 && connected(region);
}

/* Should this node, after some time, know that e is dead, and have others to name? */
static bool fair(int n, unsigned e)
{
    const struct sim_node *node = &sim.nodes[n];
    bool joined = connected(node->region);
    unsigned voting = 0, others = 0;
    for (unsigned r = 0; r < sim.regions; r++)
        voting += votes((int)r);
    for (unsigned p = 0; p < sim.places; p++)
        others += sim.alive[p] && node->verdict[p] != GTM_HEALTH_DOWN &&
                  (joined || quick(node->region, (int)p));
    if (!sim_node_awake(n) || sim.alive[e] || others == 0)
        return false;
    return joined ? voting * 2 > sim.regions : apart(node->region) && !broken_or_cut(node);
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void check_bar(int n, unsigned e)
{
    uint64_t *since = &seen.since_ms[n][e];
    bool joined = connected(sim.nodes[n].region);
    if (!sim_node_awake(n) || !fair(n, e) || !(sim_answer(n) >> e & 1)) {
        *since = 0;
        return;
    }
    if (*since == 0 || joined != seen.joined[n][e])
        *since = sim.now;
    seen.joined[n][e] = joined;
    /* after a cut a client tries all members in turn */
    uint64_t from = later(*since, sim.calm_ms + (uint64_t)REQUEST_MS * sim.regions);
    if (from > seen.store_ms + STORE_BAR_MS && joined && sim.now > from &&
        sim.now - from > sim.worst_ms)
        sim.worst_ms = sim.now - from;
    uint64_t end = from + STALE_MS; /* by itself, once it knows that it is alone */
    if (joined)
        end = later(from, seen.store_ms ? seen.store_ms + STORE_BAR_MS : 0);
    if (sim.now > end + LEADERLESS_BAR_MS)
        sim_fail("node %d (%s) sends users to e%u, dead for %llu ms", n,
                 policy_role_word(sim.nodes[n].mode), e,
                 (unsigned long long)(sim.now - seen.dead_ms[e]));
}

static void watch_store(void)
{
    bool lost = sim.etcd.leader < 0 || !sim_etcd_quorum(sim.etcd.leader);
    for (unsigned m = 0; m < sim.regions; m++) {
        lost |= seen.members[m] != sim.etcd.members[m].running;
        seen.members[m] = sim.etcd.members[m].running;
    }
    if (lost)
        seen.store_ms = sim.now;
}

/* --- after healing --- */

static void check_agreement(void)
{
    for (unsigned n = 1; n < sim.nodes_count; n++) {
        if (sim_answer((int)n) != sim_answer(0))
            sim_fail("%u ms after healing node %u answers %u and node 0 answers %u", AGREE_MS, n,
                     sim_answer((int)n), sim_answer(0));
    }
}

/* At the end: the truth, one view, somebody who leads. */
static void check_end(void)
{
    unsigned truth = 0;
    for (unsigned e = 0; e < sim.places; e++)
        truth |= (unsigned)sim.alive[e] << e;
    if (truth == 0)
        truth = (1u << sim.places) - 1;
    for (unsigned n = 0; n < sim.nodes_count; n++) {
        const struct sim_node *node = &sim.nodes[n];
        if (sim_answer((int)n) != truth)
            sim_fail("in the end node %u answers %u, not %u", n, sim_answer((int)n), truth);
        if (node->view != seen.view_rev)
            sim_fail("in the end node %u serves view %lld of %lld", n, (long long)node->view,
                     (long long)seen.view_rev);
        const struct sim_value *obs = sim.etcd.kv[KEY_OBS + n].value;
        if (!obs || memcmp(obs->health, node->seen, sim.places) != 0)
            sim_fail("in the end the store does not have what node %u sees", n);
        if (node->mode != POLICY_ROLE_FOLLOW && node->mode != POLICY_ROLE_LEAD)
            sim_fail("in the end node %u is in mode %s", n, policy_role_word(node->mode));
    }
}

void sim_check_tick(void)
{
    watch_store();
    for (unsigned e = 0; e < sim.places; e++) {
        if (sim.alive[e])
            seen.dead_ms[e] = 0;
        else if (seen.dead_ms[e] == 0)
            seen.dead_ms[e] = sim.now;
        for (unsigned n = 0; n < sim.nodes_count; n++)
            check_bar((int)n, e);
    }
    if (sim.now >= HEAL_MS + AGREE_MS && sim.now < HEAL_MS + AGREE_MS + TICK_MS)
        check_agreement();
    if (sim.now + TICK_MS >= END_MS)
        check_end();
}
