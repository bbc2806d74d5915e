/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables of the intent and the steps from text to intent, shared by the intent_*.c units only.
 * Constant tables; a parse belongs to one thread.
 */
#ifndef GTM_MODEL_INTENT_TABLES_H
#define GTM_MODEL_INTENT_TABLES_H

#include "gtm/model/intent.h"
#include "gtm/model/schema.h"

#define GTM_POLICY_DEPTH      8    /* policies may nest so deep; POLICY_DEPTH_MAX of policies/ */
#define GTM_LATER_MAX         1000 /* objects of one kind that is not active yet */
#define GTM_POOL_MONITORS_MAX 16
#define GTM_RCODE_WORDS       11
#define GTM_TTL_SLOW_S        300 /* a longer TTL keeps users on a dead region: warned about */

/* The whole file; its object is struct gtm_intent. */
extern const struct gtm_table gtm_intent_table;
extern const struct gtm_table gtm_node_table;

/* Elements of its sections. */
extern const struct gtm_table gtm_monitor_table, gtm_pool_table, gtm_policy_table, gtm_zone_table;

extern const char *const gtm_http_version_words[GTM_HTTP_VERSION_COUNT];
extern const char *const gtm_rcode_words[GTM_RCODE_WORDS]; /* of the codes 0 to 10 */

/* Sections whose engine comes later. */
extern const struct gtm_table gtm_group_table, gtm_rule_table, gtm_plan_table, gtm_drill_table,
    gtm_signal_table, gtm_calendar_table, gtm_fleet_table, gtm_capacity_table, gtm_alert_table;

/* Checks of one object that a table cannot express; see struct gtm_table. */
void gtm_check_monitor(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj);
void gtm_check_monitor_tls(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj);
void gtm_check_monitor_load(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj);
void gtm_check_pool(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj);
void gtm_check_zone(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj);
void gtm_check_zone_peer(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj);
void gtm_check_transfer_rule(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj);
void gtm_check_endpoint(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj);
void gtm_check_policy(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj);
void gtm_check_route(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj);
void gtm_check_target(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj);
void gtm_check_dynamic_name(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj);
void gtm_check_member(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj);
void gtm_check_canary(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj);
void gtm_check_group(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj);
void gtm_check_rule(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj);
void gtm_check_plan(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj);
void gtm_check_span(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj);
void gtm_check_scaling(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj);
void gtm_check_provider(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj);

/* Why no server can stand at an address ("is multicast"), or NULL. */
const char *gtm_address_unusable(const struct gtm_network *address);
/* "example.com." → "example.com", in place; "." and NULL stay. */
void gtm_drop_final_dot(char *name);

/* After all references are filled in: paths from the file's folder; regions, pools and zones;
 * policies; drills. */
void gtm_intent_resolve_paths(struct gtm_parse *p, struct gtm_intent *intent);
void gtm_check_intent(struct gtm_parse *p, struct gtm_intent *intent);
void gtm_check_policies(struct gtm_parse *p, struct gtm_intent *intent);
void gtm_check_graph(struct gtm_parse *p, const struct gtm_intent *intent);
void gtm_check_aliases(struct gtm_parse *p, const struct gtm_intent *intent);
/* Vantages and failure domains: what the loss of one leaves. */
void gtm_check_placement(struct gtm_parse *p, const struct gtm_intent *intent,
                         const struct gtm_yaml_node *root);
void gtm_check_drills(struct gtm_parse *p, const struct gtm_yaml_node *root);
/* Has any monitor of the pool a pointer to this load? */
bool gtm_pool_reports(const struct gtm_intent *intent, const struct gtm_pool *pool,
                      enum gtm_load load);
/* Fills intent->inactive; false without memory. */
bool gtm_intent_list_inactive(struct gtm_intent *intent, const struct gtm_yaml_node *root);

#endif
