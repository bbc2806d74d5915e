/* SPDX-License-Identifier: Apache-2.0
 *
 * The inner half of a node: what vantages agree on, its role, what a leader writes, what is in
 * force, and what it would answer. See sim.h.
 */
#include "tests/sim/sim.h"

#include "gtm/base/mem.h"
#include "gtm/model/states.h"
#include "gtm/model/verdict_doc.h"
#include "policies/quorum.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEED_MS 300u /* a leader must surely hold for so long to begin a write */

/* --- votes --- */

/* The mutant that forgets silent regions: places among those that report, and their number. */
static unsigned reporting(struct policy_vote *votes, size_t count)
{
    unsigned place[REGIONS_MAX], regions = 0;
    bool known[REGIONS_MAX] = {false};
    for (size_t i = 0; i < count; i++) {
        unsigned r = votes[i].region;
        if (!known[r])
            place[r] = regions++;
        known[r] = true;
        votes[i].region = (uint16_t)place[r];
    }
    return regions;
}

void sim_votes_of(const struct sim_kv *kv, const uint8_t before[PLACES_MAX],
                  uint8_t ret[PLACES_MAX])
{
    for (unsigned e = 0; e < sim.places; e++) {
        struct policy_vote votes[NODES_MAX];
        size_t count = 0;
        for (unsigned n = 0; n < sim.nodes_count; n++) {
            const struct sim_value *obs = kv[KEY_OBS + n].value, *self = kv[KEY_NODE + n].value;
            if (obs && self)
                votes[count++] =
                    (struct policy_vote){.region = (uint16_t)sim.nodes[n].region,
                                         .fit = self->fit || sim.mutant == SIM_FITNESS_IGNORED,
                                         .health = obs->health[e]};
        }
        unsigned regions =
            sim.mutant == SIM_MINORITY_COUNTS ? reporting(votes, count) : sim.regions;
        ret[e] = (uint8_t)policy_quorum(votes, count, regions, GTM_QUORUM_MAJORITY,
                                        (enum gtm_health)before[e])
                     .health;
    }
}

static bool same(const uint8_t a[PLACES_MAX], const uint8_t b[PLACES_MAX])
{
    return memcmp(a, b, sim.places) == 0;
}

static const uint8_t *stored(const struct sim_node *node)
{
    static const uint8_t unknown[PLACES_MAX];
    const struct sim_value *verdict = node->copy[KEY_VERDICT].value;
    return verdict ? verdict->health : unknown;
}

/* --- the role --- */

static void contradict(struct sim_node *node)
{
    uint8_t merged[PLACES_MAX] = {0};
    sim_votes_of(node->copy, stored(node), merged);
    if (!node->fresh || same(merged, stored(node)))
        node->unanswered_ms = 0;
    else if (node->unanswered_ms == 0 || node->unanswered_view != node->copy[KEY_VIEW].mod)
        node->unanswered_ms = sim.now;
    node->unanswered_view = node->copy[KEY_VIEW].mod;
}

static void take_role(struct sim_node *node, int n)
{
    int leader = sim_leader_of(node->copy);
    const struct sim_kv *key = leader >= 0 ? &node->copy[KEY_LEADER + leader] : NULL;
    const struct sim_value *view = node->copy[KEY_VIEW].value;
    if (leader >= 0)
        node->leader_gone_ms = 0;
    else if (node->leader_gone_ms == 0)
        node->leader_gone_ms = sim.now;
    contradict(node);
    struct policy_role_input in = {
        .now_ms = sim.now,
        .fresh = node->fresh,
        .away_since_ms = node->away_ms,
        .lead =
            key && leader == n && key->lease == node->lease && node->valid_ms > sim.now + NEED_MS,
        .leader_stands = leader >= 0,
        .leader_silent = key && (!view || view->fence < key->create),
        .leader_gone_ms = node->leader_gone_ms,
        .unanswered_ms = node->unanswered_ms,
    };
    if (sim.mutant == SIM_SILENCE_IGNORED)
        in.leader_silent = false;
    enum policy_role_mode mode = policy_role(node->mode, &in).mode;
    if (mode == POLICY_ROLE_MERGE && sim.mutant == SIM_WAITS_FOR_LEADER)
        mode = POLICY_ROLE_FOLLOW;
    if (mode == node->mode)
        return;
    sim_trace("node %d: %s", n, policy_role_word(mode));
    sim.merges += mode == POLICY_ROLE_MERGE;
    sim.isolations += mode == POLICY_ROLE_ISOLATED;
    node->mode = mode;
}

/* --- the leader --- */

static struct sim_value *document(const struct sim_node *node, int n, int64_t rev, int64_t fence,
                                  const uint8_t health[PLACES_MAX])
{
    static const char *const names[PLACES_MAX] = {"e0", "e1", "e2", "e3", "e4"};
    struct gtm_verdict_address addresses[PLACES_MAX];
    struct gtm_verdict_doc doc = {
        .rev = rev, .fence = fence, .addresses = addresses, .count = sim.places};
    struct gtm_verdict_doc again;
    struct gtm_buf buf = {0};
    struct gtm_error err;
    doc.at_ms = 1000000000 + (int64_t)sim.now + node->wall_step_ms;
    snprintf(doc.by, sizeof(doc.by), "n%d", n);
    for (unsigned e = 0; e < sim.places; e++)
        addresses[e] = (struct gtm_verdict_address){.endpoint = names[e],
                                                    .health = health[e],
                                                    .share = GTM_SHARE_FULL,
                                                    .since_ms = doc.at_ms,
                                                    .cause = "a quorum says so"};
    if (gtm_verdict_doc_print(&doc, &buf) != GTM_OK)
        abort();
    struct sim_value *value = sim_value_new(gtm_buf_take(&buf));
    if (gtm_verdict_doc_parse(value->text, strlen(value->text), &again, &err) != GTM_OK)
        abort();
    for (size_t i = 0; i < again.count; i++)
        value->health[again.addresses[i].endpoint[1] - '0'] = again.addresses[i].health;
    value->rev = again.rev;
    value->fence = again.fence;
    gtm_verdict_doc_fini(&again);
    return value;
}

static void on_written(int n, struct sim_request *request, bool answered)
{
    struct sim_node *node = &sim.nodes[n];
    node->deciding = false;
    if (answered)
        node->wait_rev = request->rev;
    if (answered && request->ok)
        node->began_fence = request->puts[0].value->fence;
}

static void conduct(struct sim_node *node, int n)
{
    uint8_t health[PLACES_MAX] = {0};
    int64_t fence = node->copy[KEY_LEADER + n].create;
    const struct sim_value *view = node->copy[KEY_VIEW].value;
    if (node->deciding || node->copy_rev < node->wait_rev)
        return;
    /* from what is in force: what was merged with a quorum stays, though the quorum is gone */
    sim_votes_of(node->copy, sim.mutant == SIM_MERGE_FORGOTTEN ? stored(node) : node->verdict,
                 health);
    if (node->began_fence == fence && same(health, stored(node)))
        return;
    sim_check_decision(n, node->verdict, health);
    struct sim_request *request = sim_request_new(n, SIM_WANT_TXN, on_written);
    int64_t rev = (view ? view->rev : 0) + 1;
    struct sim_value *next = sim_value_new(gtm_strdup("{}"));
    next->rev = rev;
    next->fence = fence;
    request->puts[0] = (struct sim_put){.key = KEY_VIEW, .value = next};
    request->puts[1] =
        (struct sim_put){.key = KEY_VERDICT, .value = document(node, n, rev, fence, health)};
    request->puts_count = 2;
    if (sim.mutant != SIM_NO_GUARD) {
        request->guard_key[0] = KEY_LEADER + n;
        request->guard_create[0] = fence;
        request->guard_mod[0] = -1;
        request->guard_key[1] = KEY_VIEW;
        request->guard_create[1] = -1;
        request->guard_mod[1] = view ? node->copy[KEY_VIEW].mod : 0;
    }
    node->deciding = true;
    sim_request_send(request);
}

/* --- in force --- */

/* Who merged goes on until a view that is newer comes, though somebody leads already: users never
 * go back to verdicts that they left. */
static bool still_merges(const struct sim_node *node)
{
    const struct sim_value *verdict = node->copy[KEY_VERDICT].value;
    bool stands = node->mode == POLICY_ROLE_FOLLOW || node->mode == POLICY_ROLE_LEAD;
    return node->mode == POLICY_ROLE_MERGE ||
           (node->merging && stands && sim.mutant != SIM_SILENCE_IGNORED &&
            (!verdict || verdict->rev <= node->merge_rev));
}

static void put_in_force(struct sim_node *node)
{
    const struct sim_value *verdict = node->copy[KEY_VERDICT].value;
    uint8_t merged[PLACES_MAX] = {0};
    if (node->mode == POLICY_ROLE_ISOLATED || node->mode == POLICY_ROLE_HELD)
        return; /* what is in force stays */
    bool was = node->merging;
    node->merging = still_merges(node);
    if (node->merging && !was)
        node->merge_rev = verdict ? verdict->rev : 0;
    if (node->merging) {
        sim_votes_of(node->copy, node->verdict, merged);
        sim_check_decision((int)(node - sim.nodes), node->verdict, merged);
        memcpy(node->verdict, merged, sizeof(merged));
    } else if (verdict && (verdict->rev >= node->view || sim.mutant == SIM_OLDER_VIEW)) {
        memcpy(node->verdict, verdict->health, sizeof(node->verdict));
        node->view = verdict->rev;
    }
}

void sim_decide(int n)
{
    struct sim_node *node = &sim.nodes[n];
    take_role(node, n);
    put_in_force(node);
    if (node->mode == POLICY_ROLE_LEAD)
        conduct(node, n);
    sim_check_node(n);
}

unsigned sim_answer(int n)
{
    const struct sim_node *node = &sim.nodes[n];
    unsigned up = 0, left = 0;
    for (unsigned e = 0; e < sim.places; e++)
        up |= (unsigned)(node->verdict[e] != GTM_HEALTH_DOWN) << e;
    if (up == 0 && sim.mutant != SIM_EMPTY_ANSWER)
        up = (1u << sim.places) - 1;
    if (node->mode != POLICY_ROLE_ISOLATED || !node->fit || sim.mutant == SIM_NO_LOCAL_REMOVAL)
        return up;
    for (unsigned e = 0; e < sim.places; e++)
        left |= (unsigned)(node->seen[e] != GTM_HEALTH_DOWN) << e;
    left &= up;
    return left || sim.mutant == SIM_LAST_REMOVED ? left : up;
}
