/* SPDX-License-Identifier: Apache-2.0
 *
 * The one table of commands: parsing, help, completion and the manual's check come from it. Every
 * handler returns an exit code and has said on standard error why when it is not 0. One thread.
 */
#ifndef GTM_CTL_COMMANDS_H
#define GTM_CTL_COMMANDS_H

#include "gtm/ctl/ctl.h"

/* Bits of the options that only some commands take. */
enum ctl_option {
    CTL_OPT_DRY_RUN = 1,
    CTL_OPT_YES = 2,
    CTL_OPT_REASON = 4,
    CTL_OPT_CLIENT = 8,
    CTL_OPT_FOR = 16,
    CTL_OPT_FILE = 32,
    CTL_OPT_ORIGIN = 64,
    CTL_OPT_POOL = 128,
    CTL_OPT_NAME = 256,
    CTL_OPT_LIMIT = 512,
    CTL_OPT_WATCH = 1024,
    CTL_OPT_FOLLOW = 2048,
    CTL_OPT_EXIT_CODE = 4096,
    CTL_OPT_WAIT = 8192,
    CTL_OPT_OVER = 32768,
    CTL_OPT_CLEAR = 65536,
    CTL_OPT_BEAT = 131072,   /* what a heartbeat says */
    CTL_OPT_RULE = 1 << 18,  /* rules that may be broken */
    CTL_OPT_STEPS = 1 << 19, /* how users are moved away */
    CTL_OPT_BATCH = 1 << 20,
    CTL_OPT_MASS = 1 << 24,
    CTL_OPT_TO = 1 << 25,
    CTL_OPT_REV = 1 << 26,
    CTL_OPT_DIR = 1 << 27,
    CTL_OPT_OUTPUT = 16384 /* -o, --no-headers: all but those that print a text of their own */
};

struct ctl_command {
    const char *noun, *verb; /* verb NULL: the noun alone */
    const char *args;        /* "POOL/ENDPOINT" or "" */
    int min_args, max_args;
    unsigned options;
    const char *summary;
    const char *help; /* more lines, or NULL */
    int (*run)(struct ctl *ctl);
};
extern const struct ctl_command ctl_commands[];
extern const size_t ctl_commands_count;

/* "endpoint down POOL/ENDPOINT"; returns out. */
#define CTL_COMMAND_TEXT_BYTES 96
const char *ctl_command_text(const struct ctl_command *command, char out[CTL_COMMAND_TEXT_BYTES]);

int ctl_status(struct ctl *ctl);
int ctl_apply(struct ctl *ctl);
int ctl_diff(struct ctl *ctl);
int ctl_rollback(struct ctl *ctl);
int ctl_delete(struct ctl *ctl);
int ctl_history(struct ctl *ctl);
int ctl_export(struct ctl *ctl);
int ctl_get_objects(struct ctl *ctl);
int ctl_describe(struct ctl *ctl);
/* Of the intent's objects. */
#define CTL_KINDS                                                                                \
    "regions monitors pools policies zones names keys groups rules plans drills signals fleets " \
    "calendars alerts health capacity"
/* "pools" for "pool" and "pools"; NULL after having said that there is no such kind. */
const char *ctl_kind(const char *word);
int ctl_problems(struct ctl *ctl);
int ctl_events(struct ctl *ctl);
int ctl_explain(struct ctl *ctl);
int ctl_validate(struct ctl *ctl);
int ctl_health_list(struct ctl *ctl);
int ctl_health_show(struct ctl *ctl);
int ctl_health_check(struct ctl *ctl);
int ctl_health_push(struct ctl *ctl);
int ctl_endpoint_list(struct ctl *ctl);
int ctl_endpoint_show(struct ctl *ctl);
int ctl_endpoint_order(struct ctl *ctl); /* up, down, drain, auto */
int ctl_endpoint_resume(struct ctl *ctl);
int ctl_pool_list(struct ctl *ctl);
int ctl_pool_show(struct ctl *ctl);
int ctl_pool_order(struct ctl *ctl);
int ctl_region_list(struct ctl *ctl);
int ctl_region_show(struct ctl *ctl);
int ctl_region_order(struct ctl *ctl); /* drain, undrain */
int ctl_node_list(struct ctl *ctl);
int ctl_node_drain(struct ctl *ctl);
int ctl_node_undrain(struct ctl *ctl);
int ctl_leader_show(struct ctl *ctl);
int ctl_leader_resign(struct ctl *ctl);
int ctl_audit_list(struct ctl *ctl);
int ctl_audit_export(struct ctl *ctl);
int ctl_audit_verify(struct ctl *ctl);
int ctl_snapshot(struct ctl *ctl); /* save, restore, adopt */
int ctl_traffic_show(struct ctl *ctl);
int ctl_traffic_order(struct ctl *ctl); /* shift, hold, resume, undo */
int ctl_override_list(struct ctl *ctl);
int ctl_override_show(struct ctl *ctl);
int ctl_override_clear(struct ctl *ctl);
int ctl_rule_list(struct ctl *ctl);
int ctl_rule_test(struct ctl *ctl);
int ctl_rule_switch(struct ctl *ctl);
int ctl_automation_status(struct ctl *ctl);
int ctl_automation_order(struct ctl *ctl); /* pause, resume */
int ctl_zone_list(struct ctl *ctl);
int ctl_zone_show(struct ctl *ctl);
int ctl_zone_records(struct ctl *ctl);
int ctl_zone_check(struct ctl *ctl);
int ctl_zone_refresh(struct ctl *ctl);
int ctl_zone_notify(struct ctl *ctl);
int ctl_geo_status(struct ctl *ctl);
int ctl_geo_lookup(struct ctl *ctl);
int ctl_policy_list(struct ctl *ctl);
int ctl_policy_show(struct ctl *ctl);
int ctl_policy_latency(struct ctl *ctl);
int ctl_config_show(struct ctl *ctl);
int ctl_config_schema(struct ctl *ctl);
int ctl_config_docs(struct ctl *ctl);
int ctl_config_check(struct ctl *ctl);
int ctl_node_show(struct ctl *ctl);
int ctl_node_peers(struct ctl *ctl);
int ctl_reload(struct ctl *ctl);
int ctl_metrics(struct ctl *ctl);
int ctl_version(struct ctl *ctl);
int ctl_completion(struct ctl *ctl);
int ctl_help_command(struct ctl *ctl);

#endif
