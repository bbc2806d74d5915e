/* SPDX-License-Identifier: Apache-2.0
 *
 * See cluster_nodes.h.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "tests/support/cluster_nodes.h"

#include "gtm/base/json.h"
#include "gtm/base/loop.h"
#include "gtm/base/mem.h"
#include "gtm/coord/store_file.h"

#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LEADER_KEY "leader/test"

struct gtm_intent *cluster_parse(const char *text)
{
    struct gtm_diags diags = {0};
    struct gtm_intent *intent = gtm_intent_parse("c.yaml", text, strlen(text), &diags);
    if (!intent)
        gtm_diags_print(&diags, stderr);
    assert_non_null(intent);
    gtm_diags_fini(&diags);
    return intent;
}

/* --- the parts' callbacks --- */

static int on_flip(void *ctx, const struct gtm_states *states, const struct gtm_touched *touched)
{
    struct cluster_node *n = ctx;
    (void)states;
    n->flips += touched->count > 0;
    return 0;
}

static void on_observed(void *ctx, size_t pool)
{
    struct cluster_node *n = ctx;
    if (n->observer)
        gtm_observer_touched(n->observer, pool);
}

static void on_check_now(void *ctx, const char *key)
{
    struct cluster_node *n = ctx;
    n->prompts++;
    snprintf(n->prompted, sizeof(n->prompted), "%s", key);
}

static void on_quorum(void *ctx)
{
    struct cluster_node *n = ctx;
    gtm_conductor_changed(n->conductor);
}

static void on_seen(void *ctx, const char *key, enum gtm_health health)
{
    struct cluster_node *n = ctx;
    gtm_observer_seen(n->observer, key, health);
}

static void on_view(void *ctx, int64_t rev)
{
    struct cluster_node *n = ctx;
    assert_true(rev > n->view); /* never back */
    n->view = rev;
}

static void on_poke(void *ctx)
{
    struct cluster_node *n = ctx;
    n->pokes++;
}

static bool valid(void *ctx, uint32_t need_ms)
{
    struct cluster_node *n = ctx;
    (void)need_ms;
    return n->valid;
}

static int64_t fence(void *ctx)
{
    struct cluster_node *n = ctx;
    return n->guard;
}

static int guard(void *ctx, struct gtm_store_change *ret_change)
{
    struct cluster_node *n = ctx;
    *ret_change =
        (struct gtm_store_change){.kind = GTM_STORE_CHECK, .key = LEADER_KEY, .expect = n->guard};
    return n->valid ? 0 : GTM_ESTATE;
}

/* --- life --- */

static void make_parts(struct cluster *w, struct cluster_node *n)
{
    n->observer = gtm_observer_new(&(struct gtm_observer_opts){.loop = w->loop,
                                                               .clock = &w->clock.clock,
                                                               .store = w->store,
                                                               .state = n->state,
                                                               .node = n->name,
                                                               .region = n->region,
                                                               .check_now = on_check_now,
                                                               .ctx = n});
    n->table = gtm_quorum_table_new(&(struct gtm_quorum_table_opts){.loop = w->loop,
                                                                    .clock = &w->clock.clock,
                                                                    .store = w->store,
                                                                    .node = n->name,
                                                                    .on_change = on_quorum,
                                                                    .seen = on_seen,
                                                                    .ctx = n});
    n->conductor = gtm_conductor_new(&(struct gtm_conductor_opts){.loop = w->loop,
                                                                  .clock = &w->clock.clock,
                                                                  .store = w->store,
                                                                  .events = n->events,
                                                                  .table = n->table,
                                                                  .state = n->state,
                                                                  .node = n->name,
                                                                  .lead = {valid, fence, guard},
                                                                  .poke = on_poke,
                                                                  .ctx = n});
    n->follower = gtm_follower_new(&(struct gtm_follower_opts){
        .loop = w->loop, .store = w->store, .state = n->state, .on_view = on_view, .ctx = n});
    assert_true(n->observer && n->table && n->conductor && n->follower);
    gtm_follower_conductor(n->follower, n->conductor);
}

static void use_intent(struct cluster_node *n)
{
    struct gtm_state_next *next = gtm_state_prepare(n->state, n->w->intent);
    assert_non_null(next);
    gtm_state_commit(n->state, next);
    assert_int_equal(gtm_quorum_table_intent(n->table, n->w->intent), 0);
    gtm_conductor_intent(n->conductor, n->w->intent, 1);
    gtm_follower_intent(n->follower);
    gtm_observer_intent(n->observer);
}

void cluster_node_start(struct cluster *w, size_t node)
{
    struct cluster_node *n = &w->nodes[node];
    char key[32], text[96];
    n->w = w;
    n->flips = n->prompts = n->pokes = 0;
    n->view = 0;
    snprintf(n->name, sizeof(n->name), "n%zu", node);
    n->events = gtm_events_new(&w->clock.clock);
    n->state = gtm_state_new(&(struct gtm_state_opts){.loop = w->loop,
                                                      .clock = &w->clock.clock,
                                                      .store = w->store,
                                                      .events = n->events,
                                                      .mode = GTM_STATE_FOLLOWS,
                                                      .flip = on_flip,
                                                      .observed = on_observed,
                                                      .ctx = n});
    assert_non_null(n->state);
    assert_int_equal(gtm_state_restore(n->state), 0);
    make_parts(w, n);
    use_intent(n);
    gtm_observer_session(n->observer, 1);
    snprintf(key, sizeof(key), "node/%s", n->name);
    snprintf(text, sizeof(text), "{\"v\":1,\"region\":\"%s\",\"vantage\":{\"fit\":true}}",
             n->region);
    cluster_put(w, key, text);
}

void cluster_node_stop(struct cluster *w, size_t node)
{
    struct cluster_node *n = &w->nodes[node];
    (void)w;
    gtm_follower_free(n->follower);
    gtm_conductor_free(n->conductor);
    gtm_observer_free(n->observer);
    gtm_quorum_table_free(n->table);
    gtm_state_free(n->state);
    gtm_events_free(n->events);
    n->follower = NULL;
    n->conductor = NULL;
    n->observer = NULL;
    n->table = NULL;
    n->state = NULL;
    n->events = NULL;
    n->valid = false;
}

void cluster_open(struct cluster *w, const char *intent, const char *regions)
{
    struct gtm_error damage, err = {0};
    memset(w, 0, sizeof(*w));
    gtm_clock_fake_init(&w->clock);
    w->clock.wall_ms = 1795194000000;
    w->clock.mono_ns = UINT64_C(1000000000000);
    assert_int_equal(test_temp_dir_make("cluster", w->dir), 0);
    w->loop = gtm_loop_new();
    assert_int_equal(gtm_store_file_open(w->loop, w->dir, &w->store, &damage, &err), 0);
    w->intent = cluster_parse(intent);
    for (const char *at = regions; *at; w->count++) {
        size_t len = strcspn(at, " ");
        assert_true(w->count < CLUSTER_NODES);
        snprintf(w->nodes[w->count].region, sizeof(w->nodes->region), "%.*s", (int)len, at);
        at += len + (at[len] == ' ');
        cluster_node_start(w, w->count);
    }
    cluster_settle(w);
}

void cluster_close(struct cluster *w)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->nodes[i].state)
            cluster_node_stop(w, i);
    gtm_store_close(w->store);
    gtm_loop_free(w->loop);
    gtm_intent_unref(w->intent);
    assert_int_equal(test_temp_dir_remove(w->dir), 0);
}

void cluster_intent(struct cluster *w, const char *text)
{
    struct gtm_intent *old = w->intent;
    w->intent = cluster_parse(text);
    for (size_t i = 0; i < w->count; i++)
        if (w->nodes[i].state)
            use_intent(&w->nodes[i]);
    gtm_intent_unref(old);
    cluster_settle(w);
}

/* --- time --- */

void cluster_turn(struct cluster *w)
{
    event_base_loop(gtm_loop_base(w->loop), EVLOOP_NONBLOCK | EVLOOP_ONCE);
    usleep(200);
}

/* Commits go one after the other: when ours is done, so are those before it. Nothing moves when it
 * was the only one for two rounds. */
void cluster_settle(struct cluster *w)
{
    for (unsigned quiet = 0; quiet < 2; quiet++) {
        struct gtm_store_status before, now;
        gtm_store_status(w->store, &before);
        for (unsigned i = 0; i < 15; i++)
            cluster_turn(w); /* observers wait for 2 ms */
        cluster_put(w, "zz/settle", "{}");
        gtm_store_status(w->store, &now);
        if (now.revision != before.revision + 1)
            quiet = 0;
    }
}

void cluster_pass(struct cluster *w, uint64_t ms)
{
    w->clock.mono_ns += ms * 1000000;
    w->clock.wall_ms += (int64_t)ms;
}

/* --- the store --- */

static void on_put(void *arg, const struct gtm_store_result *result)
{
    struct cluster *w = arg;
    assert_int_equal(result->code, 0);
    w->done++;
}

void cluster_put(struct cluster *w, const char *key, const char *text)
{
    struct gtm_store_change change = {.kind = text ? GTM_STORE_PUT : GTM_STORE_DELETE,
                                      .key = key,
                                      .value = text,
                                      .value_len = text ? strlen(text) : 0,
                                      .expect = GTM_STORE_ANY};
    unsigned done = w->done;
    assert_int_equal(gtm_store_commit(w->store, &change, 1, on_put, w), 0);
    CLUSTER_UNTIL(w, w->done > done);
}

const char *cluster_get(struct cluster *w, const char *key)
{
    static char text[65536];
    struct gtm_store_entry entry;
    if (gtm_store_get(w->store, key, &entry))
        return NULL;
    assert_true(entry.value_len < sizeof(text));
    snprintf(text, sizeof(text), "%s", entry.value);
    return text;
}

int64_t cluster_view(struct cluster *w)
{
    const char *text = cluster_get(w, "view/rev");
    struct gtm_json *root = text ? gtm_json_parse(text, strlen(text), NULL) : NULL;
    int64_t rev = gtm_json_i64(root, "rev", 0);
    gtm_json_free(root);
    return rev;
}

/* --- nodes --- */

void cluster_see(struct cluster *w, size_t node, const char *key, enum gtm_health health,
                 enum health_result result)
{
    struct health_report r = {.health = health, .since_wall_ms = w->clock.wall_ms, .last = result};
    snprintf(r.key, sizeof(r.key), "%s", key);
    snprintf(r.evidence, sizeof(r.evidence), "seen by %s", w->nodes[node].name);
    gtm_state_on_change(w->nodes[node].state, &r, GTM_HEALTH_UNKNOWN);
}

void cluster_see_all(struct cluster *w, const char *key, enum gtm_health health,
                     enum health_result result)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->nodes[i].state)
            cluster_see(w, i, key, health, result);
    cluster_settle(w);
}

void cluster_mode(struct cluster *w, size_t node, enum policy_role_mode mode)
{
    gtm_follower_mode(w->nodes[node].follower, mode);
}

void cluster_lead(struct cluster *w, size_t node)
{
    char text[64];
    struct gtm_store_entry entry;
    snprintf(text, sizeof(text), "{\"v\":1,\"node\":\"n%zu\"}", node);
    cluster_put(w, LEADER_KEY, text);
    assert_int_equal(gtm_store_get(w->store, LEADER_KEY, &entry), 0);
    w->nodes[node].guard = entry.revision;
    for (size_t i = 0; i < w->count; i++) {
        w->nodes[i].valid = i == node;
        if (i != node && w->nodes[i].state)
            cluster_mode(w, i, POLICY_ROLE_FOLLOW);
    }
    cluster_mode(w, node, POLICY_ROLE_LEAD);
    cluster_settle(w);
}

static void find(struct cluster *w, const char *pool, const char *endpoint, size_t *ret_pool,
                 size_t *ret_endpoint)
{
    int p = gtm_intent_pool(w->intent, pool);
    assert_true(p >= 0);
    int e = gtm_pool_endpoint(&w->intent->pools[p], endpoint);
    assert_true(e >= 0);
    *ret_pool = (size_t)p;
    *ret_endpoint = (size_t)e;
}

enum gtm_health cluster_health(struct cluster *w, size_t node, const char *pool,
                               const char *endpoint)
{
    size_t p = 0, e = 0;
    find(w, pool, endpoint, &p, &e);
    return gtm_states_get(gtm_state_facts(w->nodes[node].state)->states, p, e, GTM_FAMILY_V4)
        .health;
}

unsigned cluster_share(struct cluster *w, size_t node, const char *pool, const char *endpoint)
{
    size_t p = 0, e = 0;
    find(w, pool, endpoint, &p, &e);
    return gtm_states_share(gtm_state_facts(w->nodes[node].state)->states, p, e, GTM_FAMILY_V4);
}

bool cluster_serves(struct cluster *w, size_t node, const char *pool, const char *endpoint)
{
    size_t p = 0, e = 0;
    find(w, pool, endpoint, &p, &e);
    return gtm_states_serves(gtm_state_facts(w->nodes[node].state)->states, p, e, GTM_FAMILY_V4);
}
