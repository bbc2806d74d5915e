/* SPDX-License-Identifier: Apache-2.0
 *
 * See commands.h.
 */
#include "gtm/ctl/commands.h"

#include <stdio.h>

#define OUT    CTL_OPT_OUTPUT
#define WATCH  (CTL_OPT_OUTPUT | CTL_OPT_WATCH)
#define STATUS (WATCH | CTL_OPT_EXIT_CODE)
#define GIVE   (OUT | CTL_OPT_DRY_RUN | CTL_OPT_YES | CTL_OPT_REASON)
#define ORDER  (GIVE | CTL_OPT_FOR | CTL_OPT_RULE)

#define ORDER_HELP                                                                           \
    "  Shows what it would do and asks first when it takes the last serving endpoint of a\n" \
    "  pool, or of a region in it, out of answers. Without a terminal that needs --yes.\n"   \
    "  The order stays through restarts and reloads until --for is over or auto is given.\n"

#define CHANGE (OUT | CTL_OPT_DRY_RUN | CTL_OPT_YES | CTL_OPT_REASON | CTL_OPT_WAIT | CTL_OPT_MASS)
#define CHANGE_HELP                                                                            \
    "  Shows the differences and asks first when it changes or removes something; without a\n" \
    "  terminal that needs --yes. More than 30 % of a kind, or more than 10, go only with\n"   \
    "  --allow-mass-delete (exit 5). Exit 6: somebody else applied meanwhile. --wait: until\n" \
    "  this node serves it.\n"

#define DRAIN_HELP                                                                            \
    "  With --over its share of users falls to nothing in steps, else at once. Users leave\n" \
    "  as their resolvers' TTLs run out.\n"

#define RULES_HELP                                                                                 \
    "  Safety rules (gtmctl rule list) may refuse it: exit 5, with the reasons. In an emergency\n" \
    "  --override-rule breaks them by name: role breakglass, audited.\n"

const struct ctl_command ctl_commands[] = {
    {"status", NULL, "", 0, 0, STATUS, "regions, pools and problems at a glance", NULL, ctl_status},
    {"problems", NULL, "", 0, 0, STATUS, "what is wrong now, and what to do",
     "  With -o wide each problem has its hint.\n", ctl_problems},
    {"events", NULL, "", 0, 0, OUT | CTL_OPT_FOLLOW | CTL_OPT_LIMIT, "what happened, oldest first",
     "  With -f and -o json: one event a line.\n", ctl_events},
    {"explain", NULL, "NAME [TYPE]", 1, 2, OUT | CTL_OPT_CLIENT,
     "what a client gets, and why, step by step",
     "  TYPE is A when it is left out. Example:\n"
     "    gtmctl explain www.example.com A --client 203.0.113.0/24\n",
     ctl_explain},
    {"validate", NULL, "[FILE]", 0, 1, OUT | CTL_OPT_FILE,
     "check an intent and its zones, without gtmd",
     "  All errors at once, each with file:line:column; exit 1 when there is any.\n", ctl_validate},
    {"apply", NULL, "[FILE]", 0, 1, CHANGE | CTL_OPT_FILE,
     "put an intent in force in the whole cluster: whole or not at all",
     "  The file and the zone files and tables that it names travel; secrets, certificates and\n"
     "  absolute paths stay each node's own. It is checked as a node would load it.\n" CHANGE_HELP
     "  Example:\n"
     "    gtmctl apply -f cluster.yaml --reason \"new region\"\n",
     ctl_apply},
    {"diff", NULL, "[FILE]", 0, 1, OUT | CTL_OPT_FILE,
     "what apply would change; exit 8 when there is anything", NULL, ctl_diff},
    {"rollback", NULL, "", 0, 0, CHANGE | CTL_OPT_TO,
     "put an earlier revision in force again, as a new one", CHANGE_HELP, ctl_rollback},
    {"delete", NULL, "KIND NAME", 2, 2, CHANGE, "take one object out of the intent",
     "  The operator's text stays as it is but for that object; what refers to it has to go\n"
     "  first. A dynamic name is ZONE/NAME. Example:\n"
     "    gtmctl delete name example.com/old\n" CHANGE_HELP,
     ctl_delete},
    {"history", NULL, "", 0, 0, OUT | CTL_OPT_LIMIT, "revisions of the intent, newest first", NULL,
     ctl_history},
    {"export", NULL, "", 0, 0, CTL_OPT_REV | CTL_OPT_DIR | CTL_OPT_YES,
     "the files of a revision, byte for byte",
     "  Without -d just cluster.yaml, on standard output.\n", ctl_export},
    {"get", NULL, "KIND [NAME]", 1, 2, OUT, "objects of the intent in force",
     "  KIND is regions, monitors, pools, policies, zones, names (ZONE/NAME), keys, groups, …\n",
     ctl_get_objects},
    {"describe", NULL, "KIND NAME", 2, 2, OUT, "one object: what is wanted, and how it is", NULL,
     ctl_describe},
    {"health", "list", "", 0, 0, WATCH | CTL_OPT_POOL, "every check with its evidence", NULL,
     ctl_health_list},
    {"health", "show", "POOL/ENDPOINT", 1, 1, WATCH, "the checks of one endpoint", NULL,
     ctl_health_show},
    {"health", "check", "POOL[/ENDPOINT]", 1, 1, OUT | CTL_OPT_DRY_RUN | CTL_OPT_WAIT, "probe now",
     "  With --wait: until every check has a new result, which is then shown; exit 7 when\n"
     "  --timeout is over before.\n",
     ctl_health_check},
    {"health", "push", "POOL/ENDPOINT[/MONITOR]", 1, 1, OUT | CTL_OPT_DRY_RUN | CTL_OPT_BEAT,
     "a heartbeat in the name of an endpoint (monitors of kind push)",
     "  What the endpoint would send itself, without its token: it is well unless --down says\n"
     "  otherwise. It counts as one heartbeat: the monitor's fall and rise hold. Example:\n"
     "    gtmctl health push www/www-eu --load 0.7 --connections 120\n",
     ctl_health_push},
    {"endpoint", "list", "[POOL]", 0, 1, WATCH, "endpoints: health, order, whether they serve",
     NULL, ctl_endpoint_list},
    {"endpoint", "show", "POOL/ENDPOINT", 1, 1, OUT, "one endpoint", NULL, ctl_endpoint_show},
    {"endpoint", "up", "POOL/ENDPOINT", 1, 1, ORDER, "serve, whatever the checks say", ORDER_HELP,
     ctl_endpoint_order},
    {"endpoint", "down", "POOL/ENDPOINT", 1, 1, ORDER, "do not serve, whatever the checks say",
     ORDER_HELP, ctl_endpoint_order},
    {"endpoint", "drain", "POOL/ENDPOINT", 1, 1, ORDER | CTL_OPT_OVER, "no new users; checks go on",
     DRAIN_HELP ORDER_HELP, ctl_endpoint_order},
    {"endpoint", "resume", "POOL/ENDPOINT", 1, 1, OUT | CTL_OPT_DRY_RUN,
     "end the wait of a recovered endpoint (hold, flap penalty, manual failback)",
     "  It ramps up from now, as failback.ramp says.\n", ctl_endpoint_resume},
    {"endpoint", "auto", "POOL/ENDPOINT", 1, 1, ORDER, "follow the checks again", NULL,
     ctl_endpoint_order},
    {"pool", "list", "", 0, 0, WATCH, "pools: health, order, endpoints", NULL, ctl_pool_list},
    {"pool", "show", "POOL", 1, 1, WATCH, "one pool and its endpoints", NULL, ctl_pool_show},
    {"pool", "up", "POOL", 1, 1, ORDER, "all its endpoints serve, whatever the checks say", NULL,
     ctl_pool_order},
    {"pool", "down", "POOL", 1, 1, ORDER, "none of its endpoints serves",
     "  Shows what it would do and asks first; without a terminal it needs --yes.\n",
     ctl_pool_order},
    {"pool", "drain", "POOL", 1, 1, ORDER | CTL_OPT_OVER, "no new users for any of its endpoints",
     DRAIN_HELP "  Shows what it would do and asks first; without a terminal it needs --yes.\n",
     ctl_pool_order},
    {"pool", "auto", "POOL", 1, 1, ORDER, "follow the checks again", NULL, ctl_pool_order},
    {"region", "list", "", 0, 0, WATCH, "regions: health, order, endpoints", NULL, ctl_region_list},
    {"region", "show", "REGION", 1, 1, WATCH, "one region and its endpoints", NULL,
     ctl_region_show},
    {"region", "drain", "REGION", 1, 1, ORDER | CTL_OPT_OVER,
     "no new users for any endpoint of a region",
     DRAIN_HELP
     "  Shows what it would do and asks first; without a terminal it needs --yes.\n" RULES_HELP,
     ctl_region_order},
    {"region", "undrain", "REGION", 1, 1, GIVE, "the region follows the checks again", NULL,
     ctl_region_order},
    {"traffic", "show", "", 0, 0, WATCH, "where users are being moved away", NULL,
     ctl_traffic_show},
    {"traffic", "shift", "[REGION]", 0, 1, ORDER | CTL_OPT_STEPS,
     "move the users of a region away in steps",
     "  The first step is taken at once. It holds by itself when a rule forbids the next step,\n"
     "  or when an endpoint of its pools goes down elsewhere. Example:\n"
     "    gtmctl traffic shift --from eu-west --steps 10,50,100 --pause 1m --reason "
     "INC-4121\n" RULES_HELP,
     ctl_traffic_order},
    {"traffic", "hold", "REGION", 1, 1, GIVE, "no further steps for now", NULL, ctl_traffic_order},
    {"traffic", "resume", "REGION", 1, 1, GIVE | CTL_OPT_RULE, "go on with the steps", NULL,
     ctl_traffic_order},
    {"traffic", "undo", "REGION", 1, 1, GIVE, "bring the users of a region back, all at once", NULL,
     ctl_traffic_order},
    {"override", "list", "", 0, 0, WATCH, "all orders in force: who, why, until when", NULL,
     ctl_override_list},
    {"override", "show", "ORDER", 1, 1, OUT, "one order, by its key", NULL, ctl_override_show},
    {"override", "clear", "ORDER", 1, 1, GIVE, "withdraw an order, by its key",
     "  Example: gtmctl override clear endpoint/www/www-us\n", ctl_override_clear},
    {"rule", "list", "", 0, 0, OUT, "safety rules in force", NULL, ctl_rule_list},
    {"rule", "test", "ORDER STATE", 2, 2, OUT, "what the rules would say of an order",
     "  ORDER is region/REGION, pool/POOL or endpoint/POOL/ENDPOINT. Exit 5 when it would be\n"
     "  blocked. Example: gtmctl rule test region/eu-west drain\n",
     ctl_rule_test},
    {"rule", "switch", "SWITCH on|off", 2, 2, GIVE | CTL_OPT_FOR,
     "set a switch that rules of kind gate look at", NULL, ctl_rule_switch},
    {"automation", "status", "", 0, 0, OUT, "whether anything is decided by itself", NULL,
     ctl_automation_status},
    {"automation", "pause", "", 0, 0, GIVE | CTL_OPT_FOR,
     "hold shifts, ramps, balancing and spillover; health is obeyed as ever",
     "  Ends by itself after an hour unless --for says otherwise (at most 7 days).\n",
     ctl_automation_order},
    {"automation", "resume", "", 0, 0, GIVE, "decide again", NULL, ctl_automation_order},
    {"zone", "list", "", 0, 0, OUT, "zones served", NULL, ctl_zone_list},
    {"zone", "show", "ZONE", 1, 1, OUT, "one zone and its dynamic names", NULL, ctl_zone_show},
    {"zone", "records", "ZONE", 1, 1, OUT | CTL_OPT_NAME | CTL_OPT_LIMIT, "records of a zone",
     "  At most 1000 unless --limit says otherwise.\n", ctl_zone_records},
    {"zone", "refresh", "ZONE", 1, 1, OUT | CTL_OPT_DRY_RUN,
     "ask the primaries of a secondary zone now", NULL, ctl_zone_refresh},
    {"zone", "notify", "ZONE", 1, 1, OUT | CTL_OPT_DRY_RUN,
     "tell the secondaries of a zone now that it may have changed", NULL, ctl_zone_notify},
    {"zone", "check", "FILE", 1, 1, OUT | CTL_OPT_ORIGIN, "check a zone file, without gtmd",
     "  Without --origin the zone's name is taken from the file's: example.com.zone.\n",
     ctl_zone_check},
    {"geo", "status", "", 0, 0, OUT, "geography databases and class maps", NULL, ctl_geo_status},
    {"geo", "lookup", "ADDRESS", 1, 1, OUT, "where the databases place an address", NULL,
     ctl_geo_lookup},
    {"policy", "list", "", 0, 0, OUT, "policies", NULL, ctl_policy_list},
    {"policy", "show", "POLICY", 1, 1, OUT, "one policy with its routes and targets", NULL,
     ctl_policy_show},
    {"policy", "latency", "POLICY", 1, 1, OUT | CTL_OPT_DRY_RUN | CTL_OPT_FILE | CTL_OPT_CLEAR,
     "push the table of a latency policy, instead of its file",
     "  With --dry-run it is only checked; with --clear the file counts again. The table is\n"
     "  kept through restarts. All errors at once, each with its line. Example:\n"
     "    measure | gtmctl policy latency fast -f -\n",
     ctl_policy_latency},
    {"config", "show", "", 0, 0, OUT, "the intent in force, defaults filled in", NULL,
     ctl_config_show},
    {"config", "schema", "[intent|node]", 0, 1, OUT,
     "JSON Schema (2020-12) of a file, without gtmd", NULL, ctl_config_schema},
    {"config", "docs", "[intent|node]", 0, 1, 0, "every key of a file, without gtmd", NULL,
     ctl_config_docs},
    {"config", "check", "[FILE]", 0, 1, OUT | CTL_OPT_FILE, "check a node file, without gtmd",
     "  Without FILE: the file of --config.\n", ctl_config_check},
    {"node", "list", "", 0, 0, WATCH, "who is there, and what each serves",
     "  With -o wide also which of the others see it: \"5 of 5\", else who does not, and whose "
     "word\n"
     "  the node that was asked does not have.\n",
     ctl_node_list},
    {"node", "drain", "NODE…", 1, CTL_ARGS_MAX, GIVE | CTL_OPT_FOR | CTL_OPT_RULE | CTL_OPT_BATCH,
     "take nodes out of votes and elections; their DNS answers on",
     "  They are not ready any more (/readyz), so that anycast or a load balancer moves away.\n"
     "  After each batch the nodes that are left must serve the same view and vote in a majority\n"
     "  of the vantage regions: else the batch is taken back, and it stops with exit 1.\n",
     ctl_node_drain},
    {"node", "undrain", "NODE…", 1, CTL_ARGS_MAX, GIVE, "nodes take part again", NULL,
     ctl_node_undrain},
    {"leader", "show", "", 0, 0, WATCH, "who leads", NULL, ctl_leader_show},
    {"leader", "resign", "", 0, 0, OUT | CTL_OPT_DRY_RUN | CTL_OPT_YES,
     "the leader gives leadership up, whichever node is asked",
     "  Waits until another one leads, and says which. A leader that does not take it in 3 s goes\n"
     "  on (exit 1).\n",
     ctl_leader_resign},
    {"audit", "list", "", 0, 0, OUT | CTL_OPT_LIMIT, "who changed what and why", NULL,
     ctl_audit_list},
    {"audit", "export", "", 0, 0, 0, "the whole audit chain as it stands, on standard output",
     "  A line of JSON for each entry, and at the end the chain's head. Example:\n"
     "    gtmctl audit export > audit.jsonl\n",
     ctl_audit_export},
    {"audit", "verify", "", 0, 0, OUT | CTL_OPT_FILE, "whether the audit chain is whole",
     "  With -f: of an exported file, without gtmd (- is standard input). Exit 1 when an entry "
     "was\n"
     "  changed, removed, moved or put in, or the file was cut off. Keep the hash that it prints\n"
     "  elsewhere: whoever can write everything could make a chain anew, but not with that hash.\n",
     ctl_audit_verify},
    {"snapshot", "save", "PATH", 1, 1, OUT | CTL_OPT_DRY_RUN | CTL_OPT_YES | CTL_OPT_REASON,
     "write everything that etcd has into a file of the node's host", NULL, ctl_snapshot},
    {"snapshot", "restore", "PATH", 1, 1, GIVE, "replace what etcd has by a snapshot's content",
     "  Role breakglass and --reason.\n", ctl_snapshot},
    {"snapshot", "adopt", "", 0, 0, GIVE,
     "take what etcd has now for the truth, though it looks older",
     "  After etcd was restored from a backup. Role breakglass and --reason.\n", ctl_snapshot},
    {"node", "show", "", 0, 0, OUT, "the node file in force", NULL, ctl_node_show},
    {"node", "peers", "", 0, 0, OUT, "the other nodes as this one sees them", NULL, ctl_node_peers},
    {"reload", NULL, "", 0, 0, OUT | CTL_OPT_DRY_RUN,
     "read the intent, zones and databases again: whole or not at all", NULL, ctl_reload},
    {"metrics", NULL, "", 0, 0, 0, "Prometheus metrics", NULL, ctl_metrics},
    {"version", NULL, "", 0, 0, OUT, "versions of gtmctl and gtmd", NULL, ctl_version},
    {"completion", NULL, "bash|zsh|fish", 1, 1, 0, "completion for a shell, on standard output",
     "  Example: gtmctl completion bash > /etc/bash_completion.d/gtmctl\n", ctl_completion},
    {"help", NULL, "[NOUN [VERB]]", 0, 2, 0, "this text, or that of one command", NULL,
     ctl_help_command},
};
const size_t ctl_commands_count = sizeof(ctl_commands) / sizeof(ctl_commands[0]);

const char *ctl_command_text(const struct ctl_command *command, char out[CTL_COMMAND_TEXT_BYTES])
{
    snprintf(out, CTL_COMMAND_TEXT_BYTES, "%s%s%s%s%s", command->noun, command->verb ? " " : "",
             command->verb ? command->verb : "", command->args[0] ? " " : "", command->args);
    return out;
}
