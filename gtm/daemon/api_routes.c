/* SPDX-License-Identifier: Apache-2.0
 *
 * The one table of routes. A row with literals stands before one with a parameter in the same
 * place; deploy/openapi.yaml has every row, which a test checks.
 */
#include "gtm/daemon/api_handlers.h"
#include "gtm/daemon/api_server.h"

#define V1 "/api/v1"

const struct gtm_api_route gtm_api_routes[] = {
    {GTM_API_GET, V1 "/routes", gtm_api_get_routes, GTM_API_VIEWER, NULL, "The routes of this API"},
    {GTM_API_GET, V1 "/status", gtm_api_get_status, GTM_API_VIEWER, NULL, "The node at a glance"},
    {GTM_API_GET, V1 "/problems", gtm_api_get_problems, GTM_API_VIEWER, NULL, "What is wrong now"},
    {GTM_API_GET, V1 "/events", gtm_api_get_events, GTM_API_VIEWER, "after limit",
     "What happened, oldest first"},
    {GTM_API_GET, V1 "/version", gtm_api_get_version, GTM_API_VIEWER, NULL,
     "Version of the daemon"},
    {GTM_API_GET, V1 "/node", gtm_api_get_node, GTM_API_VIEWER, NULL,
     "The node file as it is in force"},
    {GTM_API_GET, V1 "/peer", gtm_api_get_peer, GTM_API_VIEWER, NULL,
     "What this node tells the others of itself"},
    {GTM_API_GET, V1 "/peers", gtm_api_get_peers, GTM_API_VIEWER, NULL,
     "The other nodes as this one sees them"},
    {GTM_API_GET, V1 "/metrics", gtm_api_get_metrics, GTM_API_VIEWER, NULL, "Prometheus metrics"},
    {GTM_API_GET, V1 "/pools", gtm_api_get_pools, GTM_API_VIEWER, NULL, "Pools with their health"},
    {GTM_API_GET, V1 "/pools/{pool}", gtm_api_get_pool, GTM_API_VIEWER, NULL,
     "One pool with its endpoints"},
    {GTM_API_PUT, V1 "/pools/{pool}/admin", gtm_api_put_pool_admin, GTM_API_OPERATOR, NULL,
     "Order a state for all endpoints of a pool"},
    {GTM_API_GET, V1 "/pools/{pool}/endpoints", gtm_api_get_endpoints, GTM_API_VIEWER, NULL,
     "The endpoints of a pool"},
    {GTM_API_GET, V1 "/pools/{pool}/endpoints/{endpoint}", gtm_api_get_endpoint, GTM_API_VIEWER,
     NULL, "One endpoint"},
    {GTM_API_PUT, V1 "/pools/{pool}/endpoints/{endpoint}/admin", gtm_api_put_endpoint_admin,
     GTM_API_OPERATOR, NULL, "Order a state for one endpoint"},
    {GTM_API_POST, V1 "/pools/{pool}/endpoints/{endpoint}/resume", gtm_api_post_endpoint_resume,
     GTM_API_OPERATOR, NULL, "End the wait of a recovered endpoint"},
    {GTM_API_GET, V1 "/regions", gtm_api_get_regions, GTM_API_VIEWER, NULL,
     "Regions with their health"},
    {GTM_API_GET, V1 "/regions/{region}", gtm_api_get_region, GTM_API_VIEWER, NULL, "One region"},
    {GTM_API_PUT, V1 "/regions/{region}/admin", gtm_api_put_region_admin, GTM_API_OPERATOR, NULL,
     "Order a state for all endpoints of a region"},
    {GTM_API_GET, V1 "/traffic", gtm_api_get_traffic, GTM_API_VIEWER, NULL,
     "Where users are being moved away"},
    {GTM_API_PUT, V1 "/traffic/{region}", gtm_api_put_traffic, GTM_API_OPERATOR, NULL,
     "Move the users of a region away in steps; hold, resume or undo that"},
    {GTM_API_GET, V1 "/overrides", gtm_api_get_overrides, GTM_API_VIEWER, NULL,
     "All orders in force"},
    {GTM_API_POST, V1 "/overrides/clear", gtm_api_post_overrides_clear, GTM_API_OPERATOR, NULL,
     "Withdraw an order by its key"},
    {GTM_API_GET, V1 "/rules", gtm_api_get_rules, GTM_API_VIEWER, NULL, "Safety rules in force"},
    {GTM_API_PUT, V1 "/switches/{switch}", gtm_api_put_switch, GTM_API_OPERATOR, NULL,
     "Set a switch that rules of kind gate look at"},
    {GTM_API_GET, V1 "/automation", gtm_api_get_automation, GTM_API_VIEWER, NULL,
     "Whether anything is decided by itself"},
    {GTM_API_PUT, V1 "/automation", gtm_api_put_automation, GTM_API_OPERATOR, NULL,
     "Pause what is decided by itself, or let it go on"},
    {GTM_API_GET, V1 "/health", gtm_api_get_health, GTM_API_VIEWER, "pool",
     "Every check with its evidence"},
    {GTM_API_POST, V1 "/health/check", gtm_api_post_health_check, GTM_API_OPERATOR, NULL,
     "Probe now"},
    {GTM_API_POST, V1 "/health/push", gtm_api_post_health_push, GTM_API_OPERATOR, NULL,
     "A heartbeat in the name of an endpoint"},
    {GTM_API_GET, V1 "/zones", gtm_api_get_zones, GTM_API_VIEWER, NULL, "Zones served"},
    {GTM_API_GET, V1 "/zones/{zone}", gtm_api_get_zone, GTM_API_VIEWER, NULL,
     "One zone with its dynamic names"},
    {GTM_API_GET, V1 "/zones/{zone}/records", gtm_api_get_records, GTM_API_VIEWER,
     "name limit after", "Records and dynamic names of a zone, paged"},
    {GTM_API_POST, V1 "/zones/{zone}/refresh", gtm_api_post_zone_refresh, GTM_API_OPERATOR, NULL,
     "Ask the primaries of a secondary zone now"},
    {GTM_API_POST, V1 "/zones/{zone}/notify", gtm_api_post_zone_notify, GTM_API_OPERATOR, NULL,
     "Tell the secondaries of a zone now"},
    {GTM_API_GET, V1 "/policies", gtm_api_get_policies, GTM_API_VIEWER, NULL, "Policies"},
    {GTM_API_GET, V1 "/policies/{policy}", gtm_api_get_policy, GTM_API_VIEWER, NULL,
     "One policy with its routes and targets"},
    {GTM_API_PUT, V1 "/policies/{policy}/latency", gtm_api_put_latency, GTM_API_OPERATOR, NULL,
     "The table of a latency policy, instead of its file"},
    {GTM_API_DELETE, V1 "/policies/{policy}/latency", gtm_api_delete_latency, GTM_API_OPERATOR,
     NULL, "Forget the pushed table: back to the file"},
    {GTM_API_GET, V1 "/geo", gtm_api_get_geo, GTM_API_VIEWER, NULL,
     "Geography databases and class maps"},
    {GTM_API_GET, V1 "/geo/lookup", gtm_api_get_geo_lookup, GTM_API_VIEWER, "address",
     "Where the databases place an address"},
    {GTM_API_GET, V1 "/explain", gtm_api_get_explain, GTM_API_VIEWER, "name type client",
     "What a client gets for a name and why"},
    {GTM_API_GET, V1 "/config", gtm_api_get_config, GTM_API_VIEWER, NULL,
     "The intent in force with its defaults"},
    {GTM_API_GET, V1 "/config/schema", gtm_api_get_config_schema, GTM_API_VIEWER, "kind",
     "JSON Schema of a configuration file"},
    {GTM_API_POST, V1 "/config/validate", gtm_api_post_config_validate, GTM_API_VIEWER, NULL,
     "Check an intent without applying it"},
    {GTM_API_GET, V1 "/intent", gtm_api_get_intent, GTM_API_VIEWER, NULL,
     "The revision of the intent that is wanted, and what is served here"},
    {GTM_API_POST, V1 "/intent", gtm_api_post_intent, GTM_API_ADMIN, NULL,
     "Apply an intent: whole or not at all"},
    {GTM_API_GET, V1 "/intent/history", gtm_api_get_intent_history, GTM_API_VIEWER, "limit",
     "Revisions of the intent, newest first"},
    {GTM_API_GET, V1 "/intent/revisions/{rev}", gtm_api_get_intent_revision, GTM_API_VIEWER, NULL,
     "One revision with its files and their chunks"},
    {GTM_API_POST, V1 "/intent/blobs", gtm_api_post_intent_blobs, GTM_API_ADMIN, NULL,
     "Upload chunks of files before they are applied"},
    {GTM_API_GET, V1 "/intent/blobs/{sha256}", gtm_api_get_intent_blob, GTM_API_VIEWER, NULL,
     "The text of one chunk"},
    {GTM_API_POST, V1 "/intent/rollback", gtm_api_post_intent_rollback, GTM_API_ADMIN, NULL,
     "Apply an earlier revision again"},
    {GTM_API_DELETE, V1 "/intent/objects/{kind}/{name}", gtm_api_delete_intent_object,
     GTM_API_ADMIN, "reason expectRev allowMassDelete", "Take one object out of the intent"},
    {GTM_API_POST, V1 "/reload", gtm_api_post_reload, GTM_API_ADMIN, NULL,
     "Read the configuration again: whole or not at all"},
};
const size_t gtm_api_routes_count = sizeof(gtm_api_routes) / sizeof(gtm_api_routes[0]);

const struct gtm_api_route gtm_api_metrics_routes[] = {
    {GTM_API_GET, "/metrics", gtm_api_get_metrics, GTM_API_VIEWER, NULL, "Prometheus metrics"},
    {GTM_API_GET, "/livez", gtm_api_get_livez, GTM_API_VIEWER, NULL, "The loop turns"},
    {GTM_API_GET, "/readyz", gtm_api_get_readyz, GTM_API_VIEWER, NULL, "Answers are served"},
};
const size_t gtm_api_metrics_routes_count =
    sizeof(gtm_api_metrics_routes) / sizeof(gtm_api_metrics_routes[0]);

size_t gtm_api__body_max(const struct gtm_api_route *route)
{
    if (route->handler == gtm_api_post_intent_blobs)
        return GTM_API_CHUNKS_MAX;
    return route->handler == gtm_api_put_latency || route->handler == gtm_api_post_intent
               ? GTM_API_TABLE_MAX
               : GTM_API_BODY_MAX;
}
