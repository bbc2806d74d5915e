/* SPDX-License-Identifier: Apache-2.0
 *
 * The parts of a node among others, joined: see the picture in cluster.h.
 */
#include "gtm/base/log.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/cluster_int.h"
#include "gtm/daemon/daemon.h"
#include "gtm/daemon/intent_sync.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* --- what the parts ask each other --- */

static bool lead_valid(void *ctx, uint32_t need_ms)
{
    struct gtm_cluster *c = ctx;
    return c->leader && gtm_leader_valid(c->leader, need_ms);
}

static int64_t lead_fence(void *ctx)
{
    struct gtm_cluster *c = ctx;
    return c->leader ? gtm_leader_fence(c->leader) : 0;
}

static int lead_guard(void *ctx, struct gtm_store_change *ret_change)
{
    struct gtm_cluster *c = ctx;
    return c->leader ? gtm_leader_guard(c->leader, ret_change) : GTM_ESTATE;
}

static void lead_resign(void *ctx, uint64_t pause_ms)
{
    struct gtm_cluster *c = ctx;
    gtm_leader_resign(c->leader, pause_ms); /* a fence was had, so it is there */
}

static bool copy_whole(void *ctx)
{
    const struct gtm_cluster *c = ctx;
    struct gtm_store_etcd_info info;
    gtm_store_etcd_info(c->d->store, &info);
    return info.link == GTM_STORE_FRESH && info.alien == 0;
}

static void on_poke(void *ctx)
{
    gtm_cluster_poke(ctx);
}

static void on_table(void *ctx)
{
    struct gtm_cluster *c = ctx;
    gtm_conductor_changed(c->conductor);
}

static void on_seen(void *ctx, const char *key, enum gtm_health health)
{
    struct gtm_cluster *c = ctx;
    if (c->observer)
        gtm_observer_seen(c->observer, key, health);
}

static void check_now(void *ctx, const char *key)
{
    struct gtm_cluster *c = ctx;
    if (c->d->health)
        (void)!health_engine_check_now(c->d->health, key);
}

static void on_view(void *ctx, int64_t rev)
{
    struct gtm_cluster *c = ctx;
    (void)rev;
    gtm_cluster_poke(c);
}

/* --- canaries --- */

static void set_canary(struct gtm_canary_target *target, const struct gtm_canary *canary)
{
    char text[INET6_ADDRSTRLEN] = "";
    const struct gtm_network *from = &canary->address;
    *target = (struct gtm_canary_target){0};
    if (from->family == 6) {
        struct sockaddr_in6 *at = (struct sockaddr_in6 *)&target->addr;
        *at = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(canary->port)};
        memcpy(&at->sin6_addr, from->addr, sizeof(at->sin6_addr));
        target->addr_len = sizeof(*at);
        inet_ntop(AF_INET6, from->addr, text, sizeof(text));
        snprintf(target->text, sizeof(target->text), "[%s]:%u", text, canary->port);
        return;
    }
    struct sockaddr_in *at = (struct sockaddr_in *)&target->addr;
    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(canary->port)};
    memcpy(&at->sin_addr, from->addr, sizeof(at->sin_addr));
    target->addr_len = sizeof(*at);
    inet_ntop(AF_INET, from->addr, text, sizeof(text));
    snprintf(target->text, sizeof(target->text), "%s:%u", text, canary->port);
}

static void set_canaries(struct gtm_cluster *c)
{
    const struct gtm_intent *intent = c->d->intent;
    struct gtm_canary_target targets[GTM_CANARIES_MAX];
    size_t n = 0;
    for (; n < intent->canaries_count && n < GTM_CANARIES_MAX; n++)
        set_canary(&targets[n], &intent->canaries[n]);
    gtm_canaries_set(c->canaries, targets, n);
}

/* Whoever comes back must tell the others first what it saw, and they decide: until then what its
 * own checks took out stays out, or its users would go back to what died meanwhile. */
#define REJOIN_MS 4000u

void gtm_cluster__isolation(struct gtm_cluster *c)
{
    uint64_t now_ms = gtm_mono_ms(c->d->clock);
    if (c->mode == POLICY_ROLE_ISOLATED)
        c->rejoin_ms = now_ms + REJOIN_MS;
    else if (now_ms >= c->rejoin_ms)
        c->rejoin_ms = 0;
    gtm_follower_isolated(c->follower, c->rejoin_ms > 0,
                          c->d->node->dns.when_isolated == GTM_ISOLATED_LOCAL,
                          gtm_canaries_count(c->canaries) > 0, gtm_canaries_fit(c->canaries, NULL));
}

/* --- life --- */

static struct gtm_conductor *make_conductor(struct gtm_cluster *c)
{
    return gtm_conductor_new(
        &(struct gtm_conductor_opts){.loop = c->d->loop,
                                     .clock = &c->d->common,
                                     .store = c->d->store,
                                     .events = c->d->events,
                                     .table = c->table,
                                     .state = c->d->state,
                                     .node = c->d->node->name,
                                     .lead = {lead_valid, lead_fence, lead_guard},
                                     .poke = on_poke,
                                     .ctx = c});
}

int gtm_cluster__make_parts(struct gtm_cluster *c)
{
    struct gtmd *d = c->d;
    c->table = gtm_quorum_table_new(&(struct gtm_quorum_table_opts){.loop = d->loop,
                                                                    .clock = d->clock,
                                                                    .store = d->store,
                                                                    .node = d->node->name,
                                                                    .on_change = on_table,
                                                                    .seen = on_seen,
                                                                    .ctx = c});
    c->follower = gtm_follower_new(&(struct gtm_follower_opts){
        .loop = d->loop, .store = d->store, .state = d->state, .on_view = on_view, .ctx = c});
    c->conductor = c->table ? make_conductor(c) : NULL;
    if (d->node->roles & GTM_ROLE_HEALTH)
        c->observer = gtm_observer_new(&(struct gtm_observer_opts){.loop = d->loop,
                                                                   .clock = d->clock,
                                                                   .store = d->store,
                                                                   .state = d->state,
                                                                   .node = d->node->name,
                                                                   .region = d->node->region,
                                                                   .check_now = check_now,
                                                                   .ctx = c});
    c->resign = gtm_resign_new(&(struct gtm_resign_opts){.loop = d->loop,
                                                         .clock = d->clock,
                                                         .store = d->store,
                                                         .node = d->node->name,
                                                         .fence = lead_fence,
                                                         .guard = lead_guard,
                                                         .resign = lead_resign,
                                                         .ctx = c});
    c->collector = gtm_chunks_collector_new(&(struct gtm_chunks_collector_opts){.loop = d->loop,
                                                                                .clock = d->clock,
                                                                                .store = d->store,
                                                                                .guard = lead_guard,
                                                                                .whole = copy_whole,
                                                                                .ctx = c});
    d->intent_sync = gtm_intent_sync_new(d);
    if (!c->table || !c->follower || !c->conductor || !c->resign || !c->collector ||
        !d->intent_sync || (!c->observer && (d->node->roles & GTM_ROLE_HEALTH)))
        return GTM_ENOMEM;
    gtm_follower_conductor(c->follower, c->conductor);
    return GTM_OK;
}

void gtm_cluster__free_parts(struct gtm_cluster *c)
{
    gtm_resign_free(c->resign);
    gtm_chunks_collector_free(c->collector);
    gtm_intent_sync_free(c->d->intent_sync);
    gtm_observer_free(c->observer);
    if (c->follower)
        gtm_follower_conductor(c->follower, NULL);
    gtm_conductor_free(c->conductor);
    gtm_follower_free(c->follower);
    gtm_quorum_table_free(c->table);
    c->resign = NULL;
    c->collector = NULL;
    c->d->intent_sync = NULL;
    c->observer = NULL;
    c->conductor = NULL;
    c->follower = NULL;
    c->table = NULL;
}

/* --- what happens --- */

void gtm_cluster__mode_changed(struct gtm_cluster *c)
{
    gtm_follower_mode(c->follower, c->mode);
    gtm_cluster__isolation(c);
    gtm_conductor_look(c->conductor); /* observations that came meanwhile may deny what is back */
}

void gtm_cluster__session_changed(struct gtm_cluster *c)
{
    bool ours = gtm_registry_name(c->registry) == GTM_NAME_OURS; /* else another's are there */
    if (c->observer) /* drained: seen, but without a vote */
        gtm_observer_session(c->observer, ours ? c->lease : 0);
}

void gtm_cluster_observed(struct gtm_cluster *cluster, size_t pool)
{
    if (cluster->observer)
        gtm_observer_touched(cluster->observer, pool);
}

void gtm_cluster_intent_changed(struct gtm_cluster *cluster)
{
    struct gtm_cluster *c = cluster;
    if (!c->table)
        return; /* starting */
    if (gtm_quorum_table_intent(c->table, c->d->intent) != GTM_OK)
        gtm_log0(GTM_LOG_ERROR, "cluster",
                 "out of memory: observations are judged by an old intent");
    c->intent_told = gtm_cluster_intent(c);
    gtm_conductor_intent(c->conductor, c->d->intent, c->intent_told);
    gtm_follower_intent(c->follower);
    if (c->observer)
        gtm_observer_intent(c->observer);
    set_canaries(c);
    gtm_cluster_poke(c);
}

void gtm_cluster_serve(struct gtm_cluster *cluster)
{
    gtm_intent_sync_start(cluster->d->intent_sync);
    gtm_registry_poke(cluster->registry);
}

void gtm_cluster_second(struct gtm_cluster *cluster)
{
    if (cluster->conductor)
        gtm_conductor_second(cluster->conductor, cluster->d->health);
    if (cluster->collector && cluster->mode == POLICY_ROLE_LEAD)
        gtm_chunks_collector_second(cluster->collector);
}

/* --- what others ask --- */

uint64_t gtm_cluster__unanswered_ms(const struct gtm_cluster *c)
{
    return gtm_conductor_unanswered_ms(c->conductor);
}

int64_t gtm_cluster__view_fence(const struct gtm_cluster *c)
{
    struct gtm_store_entry entry;
    if (gtm_store_get(c->d->store, "view/rev", &entry) != GTM_OK)
        return 0;
    struct gtm_json *json = gtm_json_parse(entry.value, entry.value_len, NULL);
    int64_t fence = gtm_json_i64(json, "fence", 0);
    gtm_json_free(json);
    return fence;
}

int64_t gtm_cluster_view(const struct gtm_cluster *cluster)
{
    return cluster->follower ? gtm_follower_view(cluster->follower) : 0;
}

int64_t gtm_cluster_intent(const struct gtm_cluster *cluster)
{
    struct gtm_intent_status status;
    gtm_intent_sync_status(cluster->d->intent_sync, &status);
    return status.served_rev;
}

struct gtm_quorum_table *gtm_cluster_table(struct gtm_cluster *cluster)
{
    return cluster->table;
}

struct gtm_conductor *gtm_cluster_conductor(struct gtm_cluster *cluster)
{
    return cluster->conductor;
}

struct gtm_follower *gtm_cluster_follower(struct gtm_cluster *cluster)
{
    return cluster->follower;
}

struct gtm_registry *gtm_cluster_registry(struct gtm_cluster *cluster)
{
    return cluster->registry;
}

struct gtm_resign *gtm_cluster_resign(struct gtm_cluster *cluster)
{
    return cluster->resign;
}

bool gtm_cluster_drained(const struct gtm_cluster *cluster)
{
    struct gtm_store_entry entry;
    struct gtm_override order;
    char key[96];
    snprintf(key, sizeof(key), "override/node/%s", cluster->d->node->name);
    return gtm_store_get(cluster->d->store, key, &entry) == GTM_OK &&
           gtm_override_parse(entry.value, entry.value_len, &order) == GTM_OK &&
           order.admin == GTM_ADMIN_DRAIN;
}
