/* SPDX-License-Identifier: Apache-2.0
 *
 * How a node among others shows itself: GET /status, GET /nodes, metrics. See cluster.h.
 */
#include "gtm/daemon/api_handlers.h"
#include "gtm/daemon/cluster_int.h"
#include "gtm/daemon/daemon.h"

#include <stdio.h>

static const char *const link_words[] = {"connecting", "fresh", "away", "refused"};

static void add_leader(struct gtm_json *item, const struct gtm_store *store)
{
    struct gtm_leader_info leader;
    gtm_leader_info(store, &leader);
    struct gtm_json *one = gtm_json_add_object(item, "leader");
    gtm_json_add_str(one, "node", leader.node[0] ? leader.node : NULL);
    gtm_json_add_str(one, "region", leader.region[0] ? leader.region : NULL);
    gtm_json_add_i64(one, "fence", leader.fence);
    gtm_api_add_time(one, "since", leader.since_ms);
}

static void add_endpoints(struct gtm_json *store, const struct etcdc *client)
{
    struct etcdc_endpoint_info info[ETCDC_ENDPOINTS_MAX];
    size_t n = etcdc_endpoints(client, info, ETCDC_ENDPOINTS_MAX);
    struct gtm_json *list = gtm_json_add_array(store, "endpoints");
    for (size_t i = 0; i < n && i < ETCDC_ENDPOINTS_MAX; i++) {
        struct gtm_json *one = gtm_json_append_object(list);
        gtm_json_add_str(one, "url", info[i].url);
        gtm_json_add_bool(one, "chosen", info[i].chosen);
        gtm_json_add_num(one, "ejected_seconds", (double)info[i].ejected_ms / 1000.0);
        gtm_json_add_num(one, "latency_seconds", (double)info[i].latency_us / 1e6);
        gtm_json_add_str(one, "version", info[i].version);
        gtm_json_add_str(one, "error", info[i].error[0] ? info[i].error : NULL);
    }
}

static void add_store(struct gtm_json *item, const struct gtm_cluster *c)
{
    struct gtm_store_etcd_info info;
    char id[24];
    gtm_store_etcd_info(c->d->store, &info);
    struct gtm_json *one = gtm_json_add_object(item, "store");
    gtm_json_add_str(one, "link", link_words[info.link]);
    gtm_api_add_time(one, "since", info.since_ms);
    gtm_json_add_str(one, "why", info.why[0] ? info.why : NULL);
    if (info.age_ms == UINT64_MAX)
        gtm_json_add_null(one, "age_seconds");
    else
        gtm_json_add_num(one, "age_seconds", (double)info.age_ms / 1000.0);
    gtm_json_add_bool(one, "saved_copy", info.saved_copy);
    snprintf(id, sizeof(id), "%llx", (unsigned long long)info.cluster_id);
    gtm_json_add_str(one, "cluster_id", id);
    gtm_json_add_i64(one, "epoch", info.epoch);
    gtm_json_add_i64(one, "revision", info.revision);
    gtm_json_add_i64(one, "alien_objects", (int64_t)info.alien);
    if (info.alien) {
        gtm_json_add_str(one, "alien_key", info.alien_key);
        gtm_json_add_str(one, "alien_why", info.alien_why);
    }
    add_endpoints(one, c->client);
}

struct tally {
    int64_t nodes, vantages, fit, controllers;
};

static void count_node(void *arg, const struct gtm_node_entry *node)
{
    struct tally *tally = arg;
    tally->nodes++;
    tally->vantages += node->health;
    tally->fit += node->health && node->fit;
    tally->controllers += node->controller;
}

void gtm_cluster_status(struct gtm_cluster *cluster, struct gtm_json *item)
{
    struct gtm_json *one = gtm_json_add_object(item, "cluster");
    struct tally tally = {0};
    const char *why = "";
    bool fit = gtm_cluster_fit(cluster, &why);
    gtm_json_add_str(one, "mode", policy_role_word(cluster->mode));
    gtm_json_add_str(one, "why", cluster->why);
    gtm_api_add_time(one, "mode_since", cluster->mode_since_ms);
    gtm_json_add_i64(one, "view", gtm_cluster_view(cluster));
    gtm_json_add_i64(one, "intent", gtm_cluster_intent(cluster));
    gtm_json_add_bool(one, "drained", gtm_cluster_drained(cluster));
    struct gtm_json *vantage = gtm_json_add_object(one, "vantage");
    gtm_json_add_bool(vantage, "fit", fit);
    gtm_json_add_str(vantage, "why", why);
    add_leader(one, cluster->d->store);
    add_store(one, cluster);
    gtm_nodes_each(cluster->d->store, count_node, &tally);
    struct gtm_json *nodes = gtm_json_add_object(one, "nodes");
    gtm_json_add_i64(nodes, "total", tally.nodes);
    gtm_json_add_i64(nodes, "vantages", tally.vantages);
    gtm_json_add_i64(nodes, "fit", tally.fit);
    gtm_json_add_i64(nodes, "controllers", tally.controllers);
}

bool gtm_cluster_saved(const struct gtm_cluster *cluster)
{
    struct gtm_store_etcd_info info;
    gtm_store_etcd_info(cluster->d->store, &info);
    return !info.unsaved[0];
}

static void one_value(struct gtm_metrics *m, const char *name, const char *help, double value)
{
    gtm_metrics_family(m, name, "gauge", help);
    gtm_metrics_sample(m, value, NULL);
}

void gtm_cluster_metrics(const struct gtm_cluster *cluster, struct gtm_metrics *m)
{
    struct gtm_store_etcd_info info;
    struct etcdc_counters counters;
    struct tally tally = {0};
    gtm_store_etcd_info(cluster->d->store, &info);
    etcdc_counters(cluster->client, &counters);
    gtm_nodes_each(cluster->d->store, count_node, &tally);
    one_value(m, "gtm_etcd_up", "1: a quorum of etcd was heard within three seconds.",
              info.link == GTM_STORE_FRESH);
    one_value(m, "gtm_store_refused", "1: what etcd has is not this cluster's store.",
              info.link == GTM_STORE_REFUSED);
    one_value(m, "gtm_store_unwritable", "1: etcd is full, or this node has no right to write.",
              info.unwritable[0] != 0);
    if (info.age_ms != UINT64_MAX)
        one_value(m, "gtm_store_age_seconds", "Time since a quorum of etcd was heard.",
                  (double)info.age_ms / 1000.0);
    one_value(m, "gtm_store_revision", "Revision of the store's copy here.", (double)info.revision);
    one_value(m, "gtm_store_alien_objects", "Objects of the store that are left out.",
              (double)info.alien);
    one_value(m, "gtm_view_revision", "Revision of the verdicts that are served.",
              (double)gtm_cluster_view(cluster));
    one_value(m, "gtm_leader", "1: this node leads.", cluster->mode == POLICY_ROLE_LEAD);
    gtm_metrics_family(m, "gtm_mode", "gauge", "What this node's answers follow.");
    for (unsigned i = 0; i < POLICY_ROLE_COUNT; i++)
        gtm_metrics_sample(m, i == cluster->mode, "mode", policy_role_word(i), NULL);
    one_value(m, "gtm_vantage_fit", "1: this node's observations count.",
              gtm_cluster_fit(cluster, NULL));
    int64_t since_ms;
    one_value(m, "gtm_node_name_taken", "1: another gtmd has this node's name.",
              gtm_registry_rival(cluster->registry, &since_ms) != NULL);
    one_value(m, "gtm_nodes", "Nodes that are there.", (double)tally.nodes);
    gtm_metrics_family(m, "gtm_etcd_requests_total", "counter", "Calls of etcd by outcome.");
    uint64_t failed = 0;
    for (int code = 1; code < 32; code++) {
        failed += counters.failures[code];
        if (counters.failures[code])
            gtm_metrics_sample(m, (double)counters.failures[code], "code", etcdc_word(-code), NULL);
    }
    gtm_metrics_sample(m, (double)(counters.calls - failed), "code", "ok", NULL);
    gtm_metrics_family(m, "gtm_etcd_events_total", "counter", "Changes heard from etcd.");
    gtm_metrics_sample(m, (double)counters.events, NULL);
    gtm_chunks_collector_metrics(cluster->collector, m);
}
