/* SPDX-License-Identifier: Apache-2.0
 *
 * /nodes and /leader: what a cluster's operators look at and do to its nodes. See
 * deploy/openapi.yaml.
 */
#include "gtm/base/mem.h"
#include "gtm/coord/store_etcd.h"
#include "gtm/daemon/api_handlers.h"
#include "gtm/daemon/api_objects.h"
#include "gtm/daemon/api_orders.h"
#include "gtm/daemon/daemon.h"
#include "gtm/daemon/peers.h"
#include "gtm/daemon/registry.h"
#include "gtm/daemon/resign.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- nodes --- */

static const struct gtm_override *node_order(const struct gtmd *d, const char *name)
{
    char key[GTM_OVERRIDE_KEY_BYTES];
    return gtm_override_key_of("node", name, key)
               ? gtm_overrides_get(&gtm_state_facts(d->state)->overrides, key)
               : NULL;
}

struct node_list {
    const struct gtmd *d;
    struct gtm_json *items;
    const char *wanted;
    bool found;
};

/* Which of the others see it; null where nobody can ask (no api.listen, here or there). */
static void add_seen(const struct gtmd *d, struct gtm_json *one, const struct gtm_node_entry *node)
{
    const char *name = node->name;
    if (!d->peers || !node->api[0]) {
        gtm_json_add_null(one, "seen_by");
        gtm_json_add_null(one, "unseen_by");
        gtm_json_add_null(one, "unheard");
        return;
    }
    gtm_json_add(one, "seen_by", gtm_peers_seen_by(d->peers, name));
    gtm_json_add(one, "unseen_by", gtm_peers_unseen_by(d->peers, name));
    gtm_json_add(one, "unheard", gtm_peers_unheard(d->peers, name));
}

static void add_node(void *arg, const struct gtm_node_entry *node)
{
    struct node_list *list = arg;
    struct gtm_json *one = gtm_json_append_object(list->items);
    bool votes = false;
    const struct gtm_intent *intent = list->d->intent;
    for (size_t i = 0; i < intent->vantages_count; i++)
        votes = votes || !strcmp(intent->regions[intent->vantages[i]].name, node->region);
    gtm_json_add_str(one, "name", node->name);
    gtm_json_add_str(one, "region", node->region);
    gtm_json_add_str(one, "state", node->state);
    gtm_json_add_str(one, "mode", node->mode);
    gtm_json_add(one, "admin", gtm_api_admin(node_order(list->d, node->name)));
    gtm_json_add_bool(one, "vantage", votes && node->fit && node->health);
    gtm_json_add_str(one, "vantage_why", node->why[0] ? node->why : NULL);
    gtm_json_add_i64(one, "view", node->view);
    gtm_json_add_i64(one, "intent", node->intent);
    gtm_json_add_str(one, "build", node->build);
    gtm_json_add_str(one, "api", node->api[0] ? node->api : NULL);
    gtm_api_add_time(one, "started", node->started_ms);
    add_seen(list->d, one, node);
    list->found = list->found || (list->wanted && !strcmp(list->wanted, node->name));
}

/* A standalone node is all there is. */
static void each_node(struct node_list *list)
{
    const struct gtmd *d = list->d;
    if (d->node->has_etcd) {
        gtm_nodes_each(d->store, add_node, list);
        return;
    }
    struct gtm_node_entry self = {.dns = d->dns != NULL,
                                  .health = d->health != NULL,
                                  .fit = true,
                                  .started_ms = d->started_ms,
                                  .view = (int64_t)gtmd_revision(d)};
    snprintf(self.name, sizeof(self.name), "%s", d->node->name);
    snprintf(self.region, sizeof(self.region), "%s", d->node->region);
    snprintf(self.build, sizeof(self.build), "%s", GTM_VERSION);
    snprintf(self.mode, sizeof(self.mode), "standalone");
    snprintf(self.state, sizeof(self.state), "%s",
             node_order(d, d->node->name) ? "draining" : "serving");
    add_node(list, &self);
}

void gtm_api_get_nodes(struct gtm_api_req *req)
{
    struct node_list list = {.d = gtm_api_daemon(req), .items = gtm_json_array()};
    each_node(&list);
    gtm_api_list(req, "NodeList", list.items);
}

void gtm_api_put_node_admin(struct gtm_api_req *req)
{
    const char *name = gtm_api_path(req, "node");
    struct node_list list = {.d = gtm_api_daemon(req), .items = gtm_json_array(), .wanted = name};
    each_node(&list);
    gtm_json_free(list.items);
    if (list.found || node_order(list.d, name)) /* an order outlives its node */
        gtm_api_order_admin(req, "node", name, NULL);
    else
        gtm_api_problem(req, 404, "notfound", "there is no node '%.100s'", name);
}

/* --- leader --- */

bool gtm_api_has_store(struct gtm_api_req *req)
{
    if (gtm_api_daemon(req)->cluster)
        return true;
    gtm_api_problem(req, 409, "standalone", "this node has no etcd: it stands for itself");
    return false;
}

static struct gtm_json *leader_json(const struct gtmd *d)
{
    struct gtm_leader_info info;
    struct gtm_json *item = gtm_json_object();
    gtm_leader_info(d->store, &info);
    gtm_json_add_str(item, "node", info.node[0] ? info.node : NULL);
    gtm_json_add_str(item, "region", info.region[0] ? info.region : NULL);
    gtm_json_add_i64(item, "fence", info.fence);
    gtm_api_add_time(item, "since", info.since_ms);
    gtm_json_add_str(item, "this_node", d->node->name);
    return item;
}

void gtm_api_get_leader(struct gtm_api_req *req)
{
    if (gtm_api_has_store(req))
        gtm_api_item(req, 200, "Leader", leader_json(gtm_api_daemon(req)));
}

static void on_resigned(void *arg, const struct gtm_resign_outcome *outcome)
{
    struct gtm_api_req *req = arg;
    if (outcome->code) {
        bool conflict = outcome->code == GTM_ECONFLICT;
        gtm_api_problem(req, conflict ? 409 : 503, conflict ? "conflict" : "unavailable", "%s",
                        outcome->err.text[0] ? outcome->err.text : gtm_err_text(outcome->code));
        return;
    }
    struct gtm_json *item = leader_json(gtm_api_daemon(req));
    gtm_json_add_str(item, "resigned", outcome->before.node);
    gtm_api_item(req, 200, "Leader", item);
}

void gtm_api_post_leader_resign(struct gtm_api_req *req)
{
    struct gtmd *d = gtm_api_daemon(req);
    bool dry_run = false;
    char owner[GTM_API_OWNER_MAX];
    if (!gtm_api_has_store(req) || !gtm_api_query_dry_run(req, &dry_run) || !gtm_api_if_match(req))
        return;
    if (dry_run) {
        gtm_api_item(req, 200, "Leader", leader_json(d));
        return;
    }
    gtm_api_owner(req, owner);
    struct gtm_resign *resign = gtm_cluster_resign(d->cluster);
    int rc = resign ? gtm_resign_ask(resign, owner, gtm_api_role_word(gtm_api_role(req)),
                                     on_resigned, req)
                    : GTM_ESTATE;
    if (rc == GTM_ENOTFOUND)
        gtm_api_problem(req, 409, "conflict", "nobody leads now, so nobody can resign");
    else if (rc)
        gtm_api_problem(req, 503, "unavailable", "%s", gtm_err_text(rc));
}
