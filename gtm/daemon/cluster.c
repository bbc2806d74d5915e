/* SPDX-License-Identifier: Apache-2.0
 *
 * See cluster.h: the parts of a node among others, and what it does with what it knows
 * (policies/role.h).
 */
#include "gtm/daemon/cluster.h"

#include "gtm/base/log.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/cluster_int.h"
#include "gtm/daemon/daemon.h"

#include <stdio.h>
#include <string.h>

#define LEAD_NEED_MS 500u /* of its session's time, to act as the leader */
#define LOOK_MS      1000u
#define CALL_MS      1000u /* a proposal that its leader took along into death is never answered */

/* --- the mode --- */

static struct policy_role_input look_around(struct gtm_cluster *c)
{
    uint64_t now_ms = gtm_mono_ms(c->d->clock);
    struct gtm_store_etcd_info store;
    struct gtm_leader_info leader;
    gtm_store_etcd_info(c->d->store, &store);
    gtm_leader_info(c->d->store, &leader);
    bool fresh = store.link == GTM_STORE_FRESH;
    if (fresh)
        c->away_since_ms = 0;
    else if (!c->away_since_ms)
        c->away_since_ms = now_ms;
    if (leader.node[0])
        c->leader_gone_ms = 0;
    else if (!c->leader_gone_ms)
        c->leader_gone_ms = now_ms;
    return (struct policy_role_input){
        .now_ms = now_ms,
        .fresh = fresh,
        .refused = store.link == GTM_STORE_REFUSED,
        .full = c->observer && gtm_observer_full(c->observer),
        .away_since_ms = c->away_since_ms,
        .lead = gtm_leader_valid(c->leader, LEAD_NEED_MS),
        .leader_stands = leader.node[0] != 0,
        .leader_silent = gtm_cluster__view_fence(c) < leader.fence,
        .leader_gone_ms = c->leader_gone_ms,
        .unanswered_ms = gtm_cluster__unanswered_ms(c),
    };
}

static void enter(struct gtm_cluster *c, const struct policy_role *role)
{
    enum policy_role_mode before = c->mode;
    c->mode = role->mode;
    c->why = role->why;
    c->mode_since_ms = gtm_wall_ms(c->d->clock);
    bool worse = role->mode == POLICY_ROLE_ISOLATED || role->mode == POLICY_ROLE_HELD ||
                 role->mode == POLICY_ROLE_MERGE;
    gtm_events_add(c->d->events, &(struct gtm_event){.type = GTM_EVENT_MODE_CHANGED,
                                                     .level = worse ? GTM_LOG_WARN : GTM_LOG_INFO,
                                                     .subject = "node",
                                                     .from = policy_role_word(before),
                                                     .to = policy_role_word(role->mode),
                                                     .cause = role->why});
    gtm_cluster__mode_changed(c);
    gtm_registry_poke(c->registry);
}

static void on_look(void *arg)
{
    struct gtm_cluster *c = arg;
    struct policy_role_input input = look_around(c);
    struct policy_role role = policy_role(c->mode, &input);
    if (role.mode != c->mode)
        enter(c, &role);
    else
        c->why = role.why;
    if (c->rejoin_ms)
        gtm_cluster__isolation(c); /* what of its own is up may differ by now */
    uint64_t wait_ms = LOOK_MS;
    if (c->rejoin_ms && c->rejoin_ms - input.now_ms < wait_ms)
        wait_ms = c->rejoin_ms - input.now_ms;
    if (role.look_again_ms > input.now_ms && role.look_again_ms - input.now_ms < wait_ms)
        wait_ms = role.look_again_ms - input.now_ms;
    gtm_timer_start(c->look, wait_ms);
    if (gtm_cluster_intent(c) != c->intent_told)
        gtm_cluster_intent_changed(c);
    gtm_registry_poke(c->registry);
}

void gtm_cluster_poke(struct gtm_cluster *cluster)
{
    if (cluster->look)
        gtm_timer_start(cluster->look, 0);
}

/* --- what it hears --- */

static bool candidate(const struct gtm_cluster *c)
{
    return (c->d->node->roles & GTM_ROLE_CONTROLLER) && !c->drained &&
           gtm_registry_name(c->registry) != GTM_NAME_TAKEN;
}

static void on_link(void *arg, enum gtm_store_link link)
{
    struct gtm_cluster *c = arg;
    struct gtm_store_etcd_info info;
    gtm_store_etcd_info(c->d->store, &info);
    if (link == GTM_STORE_AWAY || link == GTM_STORE_REFUSED)
        gtm_log(GTM_LOG_WARN, "cluster",
                link == GTM_STORE_AWAY ? "etcd is away; the last answers stay"
                                       : "this is not our etcd; the last answers stay",
                gtm_kv_str("why", info.why));
    gtm_cluster_poke(c);
}

static void on_leader_change(void *arg)
{
    struct gtm_cluster *c = arg;
    int64_t lease = gtm_leader_lease(c->leader);
    if (lease != c->lease) {
        c->lease = lease;
        gtm_registry_session(c->registry);
        gtm_cluster__session_changed(c);
    }
    gtm_cluster_poke(c);
}

void gtm_cluster_name_changed(struct gtm_cluster *cluster)
{
    if (cluster->leader)
        gtm_leader_stand(cluster->leader, candidate(cluster));
    gtm_cluster__session_changed(cluster);
}

static void on_leader_key(void *arg, const struct gtm_store_entry *entry)
{
    (void)entry;
    gtm_cluster_poke(arg);
}

static void on_node_order(void *arg, const struct gtm_store_entry *entry)
{
    struct gtm_cluster *c = arg;
    bool drained = gtm_cluster_drained(c);
    (void)entry;
    if (drained == c->drained)
        return;
    c->drained = drained;
    gtm_log0(GTM_LOG_INFO, "cluster",
             drained ? "this node is drained: it answers, but has no vote and does not lead"
                     : "this node is no longer drained");
    if (c->leader)
        gtm_leader_stand(c->leader, candidate(c));
    gtm_cluster__session_changed(c);
    gtm_registry_poke(c->registry);
}

static void on_canaries(void *arg)
{
    struct gtm_cluster *c = arg;
    const char *why = "";
    bool fit = gtm_canaries_fit(c->canaries, &why);
    gtm_log(fit ? GTM_LOG_INFO : GTM_LOG_WARN, "cluster",
            fit ? "the canaries answer: this vantage has its vote again"
                : "the canaries do not answer: this vantage has no vote",
            gtm_kv_str("why", why));
    gtm_cluster__isolation(c);
    gtm_registry_poke(c->registry);
}

/* --- life --- */

int gtm_cluster_open(struct gtmd *d, int lock_fd)
{
    struct gtm_error damage = {0}, err = {0};
    const struct gtm_node_etcd *etcd = &d->node->etcd;
    struct gtm_cluster *c = gtm_calloc(1, sizeof(*c));
    if (!c)
        return gtmd__say(GTMD_FAILED, "out of memory");
    d->cluster = c;
    c->d = d;
    c->why = "starting";
    c->mode_since_ms = d->started_ms;
    c->client = etcdc_new(&(struct etcdc_opts){.loop = d->loop,
                                               .clock = d->clock,
                                               .endpoints = (const char *const *)etcd->endpoints,
                                               .endpoints_count = etcd->endpoints_count,
                                               .ca = etcd->ca,
                                               .cert = etcd->cert,
                                               .key = etcd->key,
                                               .call_ms = CALL_MS,
                                               .user = etcd->user,
                                               .password_file = etcd->password_file},
                          &err);
    int rc = c->client
                 ? gtm_store_etcd_open(&(struct gtm_store_etcd_opts){.loop = d->loop,
                                                                     .clock = d->clock,
                                                                     .client = c->client,
                                                                     .data_dir = d->node->data_dir,
                                                                     .node = d->node->name,
                                                                     .on_link = on_link,
                                                                     .arg = c},
                                       lock_fd, &d->store, &damage, &err)
                 : err.code;
    if (rc)
        return gtmd__say_error(GTMD_FAILED, &err);
    if (damage.code)
        gtm_log_error(GTM_LOG_ERROR, "state",
                      "the saved copy of the store is damaged: waiting for etcd", &damage);
    return GTMD_OK;
}

int gtm_cluster_start(struct gtmd *d)
{
    struct gtm_cluster *c = d->cluster;
    c->registry = gtm_registry_new(d);
    c->canaries = gtm_canaries_new(d->loop, on_canaries, c);
    c->look = gtm_timer_new(d->loop, on_look, c);
    c->leaders = gtm_store_watch(d->store, "leader/", on_leader_key, c);
    c->orders = gtm_store_watch(d->store, "override/node/", on_node_order, c);
    c->drained = gtm_cluster_drained(c);
    if (!c->registry || !c->canaries || !c->look || !c->leaders || !c->orders ||
        gtm_cluster__make_parts(c))
        return gtmd__say(GTMD_FAILED, "out of memory");
    gtm_cluster_intent_changed(c);
    c->leader = gtm_leader_new(&(struct gtm_leader_opts){.loop = d->loop,
                                                         .clock = d->clock,
                                                         .client = c->client,
                                                         .store = d->store,
                                                         .node = d->node->name,
                                                         .region = d->node->region,
                                                         .candidate = candidate(c),
                                                         .ttl_s = d->node->etcd.session_ttl_s,
                                                         .on_change = on_leader_change,
                                                         .arg = c});
    if (!c->leader)
        return gtmd__say(GTMD_FAILED, "out of memory");
    gtm_timer_start(c->look, 0);
    return GTMD_OK;
}

void gtm_cluster_stop(struct gtm_cluster *cluster)
{
    if (!cluster)
        return;
    gtm_timer_free(cluster->look);
    cluster->look = NULL;
    gtm_cluster__free_parts(cluster);
    gtm_registry_free(cluster->registry);
    gtm_canaries_free(cluster->canaries);
    gtm_store_unwatch(cluster->d->store, cluster->leaders);
    gtm_store_unwatch(cluster->d->store, cluster->orders);
    gtm_leader_free(cluster->leader);
    cluster->registry = NULL;
    cluster->canaries = NULL;
    cluster->leaders = cluster->orders = NULL;
    cluster->leader = NULL;
}

void gtm_cluster_free(struct gtm_cluster *cluster)
{
    if (!cluster)
        return;
    etcdc_free(cluster->client);
    gtm_free(cluster);
}

/* --- what others ask --- */

enum policy_role_mode gtm_cluster_mode(const struct gtm_cluster *cluster)
{
    return cluster->mode;
}

const char *gtm_cluster_why(const struct gtm_cluster *cluster)
{
    return cluster->why;
}

int64_t gtm_cluster_mode_since_ms(const struct gtm_cluster *cluster)
{
    return cluster->mode_since_ms;
}

struct gtm_leader *gtm_cluster_leader(struct gtm_cluster *cluster)
{
    return cluster->leader;
}

struct etcdc *gtm_cluster_client(struct gtm_cluster *cluster)
{
    return cluster->client;
}

bool gtm_cluster_fit(const struct gtm_cluster *cluster, const char **ret_why)
{
    if (gtm_cluster_drained(cluster)) {
        if (ret_why)
            *ret_why = "drained";
        return false;
    }
    if (gtm_registry_name(cluster->registry) == GTM_NAME_TAKEN) {
        if (ret_why)
            *ret_why = "another gtmd has this node's name";
        return false;
    }
    return gtm_canaries_fit(cluster->canaries, ret_why);
}
