/* SPDX-License-Identifier: Apache-2.0
 *
 * The handlers that the table of routes names: one file per noun. Each answers its request exactly
 * once. The control thread.
 */
#ifndef GTM_DAEMON_API_HANDLERS_H
#define GTM_DAEMON_API_HANDLERS_H

#include "gtm/daemon/api.h"

#include <stdint.h>

/* api_node.c */
void gtm_api_get_routes(struct gtm_api_req *req);
void gtm_api_get_status(struct gtm_api_req *req);
void gtm_api_get_problems(struct gtm_api_req *req);
void gtm_api_get_events(struct gtm_api_req *req);
void gtm_api_get_version(struct gtm_api_req *req);
void gtm_api_get_node(struct gtm_api_req *req);
/* Resident memory of this process; 0 = unknown. */
int64_t gtm_api_rss_bytes(void);
/* api_peers.c */
void gtm_api_get_peer(struct gtm_api_req *req);
void gtm_api_get_peers(struct gtm_api_req *req);
/* api_metrics.c */
void gtm_api_get_metrics(struct gtm_api_req *req);
void gtm_api_get_livez(struct gtm_api_req *req);
void gtm_api_get_readyz(struct gtm_api_req *req);
/* api_pools.c */
void gtm_api_get_pools(struct gtm_api_req *req);
void gtm_api_get_pool(struct gtm_api_req *req);
void gtm_api_get_endpoints(struct gtm_api_req *req);
void gtm_api_get_endpoint(struct gtm_api_req *req);
void gtm_api_put_pool_admin(struct gtm_api_req *req);
void gtm_api_put_endpoint_admin(struct gtm_api_req *req);
void gtm_api_post_endpoint_resume(struct gtm_api_req *req);
void gtm_api_get_regions(struct gtm_api_req *req);
void gtm_api_get_region(struct gtm_api_req *req);
void gtm_api_put_region_admin(struct gtm_api_req *req);
/* api_cluster.c */
void gtm_api_get_nodes(struct gtm_api_req *req);
void gtm_api_put_node_admin(struct gtm_api_req *req);
/* Refuses on a node without etcd: 409 was answered. */
bool gtm_api_has_store(struct gtm_api_req *req);
void gtm_api_get_leader(struct gtm_api_req *req);
void gtm_api_post_leader_resign(struct gtm_api_req *req);
void gtm_api_get_audit(struct gtm_api_req *req);
void gtm_api_get_audit_verify(struct gtm_api_req *req);
void gtm_api_get_audit_export(struct gtm_api_req *req);
void gtm_api_post_snapshot(struct gtm_api_req *req);
/* api_traffic.c */
void gtm_api_get_traffic(struct gtm_api_req *req);
void gtm_api_put_traffic(struct gtm_api_req *req);
void gtm_api_get_overrides(struct gtm_api_req *req);
void gtm_api_post_overrides_clear(struct gtm_api_req *req);
void gtm_api_get_rules(struct gtm_api_req *req);
void gtm_api_put_switch(struct gtm_api_req *req);
void gtm_api_get_automation(struct gtm_api_req *req);
void gtm_api_put_automation(struct gtm_api_req *req);
/* api_health.c */
void gtm_api_get_health(struct gtm_api_req *req);
void gtm_api_post_health_check(struct gtm_api_req *req);
void gtm_api_post_health_push(struct gtm_api_req *req);
/* api_zones.c */
void gtm_api_get_zones(struct gtm_api_req *req);
void gtm_api_get_zone(struct gtm_api_req *req);
void gtm_api_get_records(struct gtm_api_req *req);
void gtm_api_post_zone_refresh(struct gtm_api_req *req);
void gtm_api_post_zone_notify(struct gtm_api_req *req);
/* api_policies.c */
void gtm_api_get_policies(struct gtm_api_req *req);
void gtm_api_get_policy(struct gtm_api_req *req);
/* api_latency.c */
void gtm_api_put_latency(struct gtm_api_req *req);
void gtm_api_delete_latency(struct gtm_api_req *req);
/* api_geo.c */
void gtm_api_get_geo(struct gtm_api_req *req);
void gtm_api_get_geo_lookup(struct gtm_api_req *req);
void gtm_api_get_explain(struct gtm_api_req *req);
/* api_config.c */
void gtm_api_get_config(struct gtm_api_req *req);
void gtm_api_get_config_schema(struct gtm_api_req *req);
void gtm_api_post_config_validate(struct gtm_api_req *req);
void gtm_api_post_reload(struct gtm_api_req *req);
/* api_intent.c */
void gtm_api_get_intent(struct gtm_api_req *req);
void gtm_api_get_intent_history(struct gtm_api_req *req);
void gtm_api_get_intent_revision(struct gtm_api_req *req);
void gtm_api_get_intent_blob(struct gtm_api_req *req);
/* api_apply.c */
void gtm_api_post_intent(struct gtm_api_req *req);
void gtm_api_post_intent_blobs(struct gtm_api_req *req);
void gtm_api_post_intent_rollback(struct gtm_api_req *req);
void gtm_api_delete_intent_object(struct gtm_api_req *req);
/* False in a node that has cluster_file: that was answered. */
bool gtm_api_in_cluster(struct gtm_api_req *req);

#endif
