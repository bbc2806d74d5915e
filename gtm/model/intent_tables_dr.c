/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables of groups, plans, drills, signals and calendars: checked in full, kept as JSON
 * (their engines come later), so nothing here has an offset. See schema.h.
 */
#include "gtm/model/intent_tables.h"
#include "gtm/model/later_fields.h"
#include "gtm/model/schema_forms.h"

static const struct gtm_field address_item = {.type = GTM_T_FORM, .form = &gtm_form_address};
static const struct gtm_field name_item = {.type = GTM_T_FORM, .form = &gtm_form_name};
static const struct gtm_field text_item = {.type = GTM_T_STRING};
static const struct gtm_field region_item = {.type = GTM_T_REF, .ref = GTM_REF_REGION};
static const struct gtm_field group_item = {
    .type = GTM_T_REF, .ref = GTM_REF_GROUP, .flags = GTM_F_PARAM};
static const struct gtm_field percent_item = {.type = GTM_T_UINT, .min = 1, .max = 100};

/* --- groups --- */

static const char *const driver_words[] = {"postgresql", "redis", "kv", "exec", "patroni"};
static const char *const sync_words[] = {"synchronous", "asynchronous"};
static const char *const no_voter_words[] = {"block", "continue"};
static const char *const automation_words[] = {"auto", "approve", "manual"};
static const char *const by_hand_words[] = {"manual"};
static const char *const store_loss_words[] = {"promise", "keep", "fence"};

static const struct gtm_field sync_fields[] = {
    UINT("acks", 0, 1, 100, "1", "standbys that must hold a write besides the primary"),
    ENUM("when_no_voter", 0, no_voter_words, "block",
         "without enough standbys: stop writes, or go on and record the lost protection"),
};
static const struct gtm_table sync_table = {.title = "sync", GTM_FIELDS(sync_fields)};

static const struct gtm_field member_fields[] = {
    NAMED("the member's name, unique in its group"),
    REF("region", GTM_F_REQUIRED, GTM_REF_REGION, "the region it stands in"),
    LIST("addresses", GTM_F_SINGLE, address_item, 1, 2, "where clients reach it"),
    TEXT("dsn", 0, 4096, "how to connect, without the password"),
    {.key = "password", .doc = "the file with its password", .type = GTM_T_SECRET},
    {.key = "async",
     .doc = "takes the member out of the voters of a synchronous group",
     .type = GTM_T_BOOL,
     .def = "false"},
};
static const struct gtm_table member_table = {
    .title = "member", GTM_FIELDS(member_fields), .check = gtm_check_member};
static const struct gtm_field member_item = OBJECT_ITEM(member_table);

static const struct gtm_field target_fields[] = {
    DURATION("rpo", 0, 0, 30 * DAY, NULL, "how much written data may be lost"),
    DURATION("rto", 0, 0, 30 * DAY, NULL, "how long writes may be away"),
};
static const struct gtm_table target_table = {.title = "targets", GTM_FIELDS(target_fields)};

static const struct gtm_field pair_item = {
    .type = GTM_T_LIST, .item = &region_item, .min = 2, .max = 2};
static const struct gtm_field failover_fields[] = {
    ENUM("mode", 0, automation_words, "approve", "who decides: the leader, or an operator"),
    DURATION("cooldown", 0, 0, 30 * DAY, "1h", "the time between two automatic failovers"),
    LIST("pairs", 0, pair_item, 0, 1000, "between which regions; default: all"),
};
static const struct gtm_table failover_table = {.title = "failover", GTM_FIELDS(failover_fields)};

static const struct gtm_field group_fields[] = {
    NAMED("the group's name"),
    ENUM("driver", GTM_F_REQUIRED, driver_words, NULL, "what holds the data"),
    ENUM("mode", GTM_F_REQUIRED, sync_words, NULL, "whether a write waits for other members"),
    OBJECT("sync", 0, sync_table, "synchronous groups: who must hold a write"),
    LIST("members", GTM_F_REQUIRED | GTM_F_NAMED, member_item, 1, 100, "who holds the data"),
    OBJECT("targets", 0, target_table, "what a failover is measured against"),
    OBJECT("failover", GTM_F_DEFAULTS, failover_table, "when the writer moves"),
    ENUM("failback", 0, by_hand_words, "manual", "groups go back by an operator's word"),
    ENUM("on_store_loss", 0, store_loss_words, NULL,
         "what the primary does without the store; default: promise for synchronous, else keep"),
};
const struct gtm_table gtm_group_table = {
    .title = "group", GTM_FIELDS(group_fields), .check = gtm_check_group};

/* --- plans --- */

static const char *const class_words[] = {"safe", "query", "once"};
static const char *const method_words[] = {"POST", "PUT", "GET"};

static const struct gtm_field verify_fields[] = {
    LIST("groups", GTM_F_SINGLE, group_item, 1, 1000, "the groups that are looked at"),
    DURATION("max_lag", 0, 0, DAY, NULL, "no standby further behind than this"),
};
static const struct gtm_table verify_table = {.title = "verify", GTM_FIELDS(verify_fields)};
static const struct gtm_field reserve_fields[] = {
    REF("reserve_for", GTM_F_REQUIRED | GTM_F_PARAM, GTM_REF_REGION,
        "the region whose users need room elsewhere"),
};
static const struct gtm_table reserve_table = {.title = "capacity", GTM_FIELDS(reserve_fields)};
static const struct gtm_field switchover_fields[] = {
    REF("group", GTM_F_REQUIRED | GTM_F_PARAM, GTM_REF_GROUP, "the group whose writer moves"),
    REF("to", GTM_F_REQUIRED | GTM_F_PARAM, GTM_REF_REGION, "the region it moves to"),
};
static const struct gtm_table switchover_table = {.title = "switchover",
                                                  GTM_FIELDS(switchover_fields)};
static const struct gtm_field shift_fields[] = {
    REF("from", GTM_F_REQUIRED | GTM_F_PARAM, GTM_REF_REGION, "the region that users leave"),
    REF("to", GTM_F_PARAM, GTM_REF_REGION, "where they go; default: as policies say"),
    LIST("steps", GTM_F_SINGLE, percent_item, 1, 100, "percent of users gone after each step"),
    DURATION("pause", 0, 0, DAY, NULL, "the time between steps"),
};
static const struct gtm_table shift_table = {.title = "shift", GTM_FIELDS(shift_fields)};
static const struct gtm_field http_fields[] = {
    FORM("url", GTM_F_REQUIRED, gtm_form_url, "what is called"),
    ENUM("method", 0, method_words, "POST", "how"),
};
static const struct gtm_table http_table = {.title = "http", GTM_FIELDS(http_fields)};
static const struct gtm_field exec_fields[] = {
    FORM("program", GTM_F_REQUIRED, gtm_form_program, "the program in exec_dir"),
    LIST("args", 0, text_item, 0, 64, "its arguments"),
};
static const struct gtm_table exec_table = {.title = "exec", GTM_FIELDS(exec_fields)};

static const char *const step_keys[] = {"verify", "capacity", "switchover", "shift",
                                        "http",   "exec",     NULL};
static const struct gtm_field step_fields[] = {
    NAMED("the step's name, unique in its plan"),
    LIST("after", GTM_F_SINGLE, name_item, 0, 200, "steps that must be done first"),
    ENUM("class", 0, class_words, NULL,
         "how it may be repeated: at will, after asking for its state, or never"),
    DURATION("timeout", 0, 100, DAY, NULL, "how long it may take"),
    OBJECT("verify", 0, verify_table, "checks replication"),
    OBJECT("capacity", 0, reserve_table, "reserves room"),
    OBJECT("switchover", 0, switchover_table, "moves a group's writer"),
    OBJECT("shift", 0, shift_table, "moves users"),
    OBJECT("http", 0, http_table, "calls an address"),
    OBJECT("exec", 0, exec_table, "runs a program"),
};
static const struct gtm_table step_table = {
    .title = "step", GTM_FIELDS(step_fields), .one_of = step_keys};
static const struct gtm_field step_item = OBJECT_ITEM(step_table);

static const struct gtm_field plan_fields[] = {
    NAMED("the plan's name"),
    LIST("parameters", 0, name_item, 0, 32, "names that stand as $name in its steps"),
    LIST("steps", GTM_F_REQUIRED | GTM_F_NAMED, step_item, 1, 200, "what is done"),
};
const struct gtm_table gtm_plan_table = {
    .title = "plan", GTM_FIELDS(plan_fields), .check = gtm_check_plan};

/* --- drills, signals, calendars --- */

static const char *const level_words[] = {"evaluate", "dry_run",    "isolated",
                                          "drain",    "switchover", "fault"};
static const char *const bound_keys[] = {"above", "below", NULL};
static const struct gtm_field abort_fields[] = {
    REF("signal", GTM_F_REQUIRED, GTM_REF_SIGNAL, "the number that is watched"),
    NUMBER("above", 0, 0, 0, "stop when it is above this"),
    NUMBER("below", 0, 0, 0, "stop when it is below this"),
    DURATION("for", 0, 0, DAY, NULL, "for so long"),
};
static const struct gtm_table abort_table = {
    .title = "abort", GTM_FIELDS(abort_fields), .one_of = bound_keys};
static const struct gtm_field abort_item = OBJECT_ITEM(abort_table);

static const struct gtm_field drill_fields[] = {
    NAMED("the drill's name"),
    REF("plan", GTM_F_REQUIRED, GTM_REF_PLAN, "the plan that is run"),
    {.key = "with",
     .doc = "values of the plan's parameters",
     .type = GTM_T_MAP,
     .item = &text_item,
     .max = 32},
    ENUM("level", GTM_F_REQUIRED, level_words, NULL, "how much is really done"),
    FORM("schedule", GTM_F_REQUIRED, gtm_form_cron, "when, as five cron fields"),
    {.key = "timezone",
     .doc = "the zone of the schedule",
     .type = GTM_T_FORM,
     .form = &gtm_form_timezone,
     .def = "UTC"},
    DURATION("duration", 0, 1000, 7 * DAY, NULL, "how long it lasts before the way back"),
    REF("calendar", 0, GTM_REF_CALENDAR, "when it must not run"),
    LIST("abort", 0, abort_item, 0, 32, "what ends it early"),
};
const struct gtm_table gtm_drill_table = {.title = "drill", GTM_FIELDS(drill_fields)};

static const struct gtm_field signal_fields[] = {
    NAMED("the signal's name"),
    FORM("prometheus", GTM_F_REQUIRED, gtm_form_url, "the Prometheus server"),
    TEXT("query", GTM_F_REQUIRED, 4096, "a query that gives one number"),
};
const struct gtm_table gtm_signal_table = {.title = "signal", GTM_FIELDS(signal_fields)};

static const char *const span_keys[] = {"from", "weekly", NULL};
static const struct gtm_field span_fields[] = {
    FORM("from", 0, gtm_form_date, "the first day"),
    FORM("to", 0, gtm_form_date, "the last day"),
    FORM("weekly", 0, gtm_form_weekly, "a time of the week"),
};
static const struct gtm_table span_table = {
    .title = "span", GTM_FIELDS(span_fields), .one_of = span_keys, .check = gtm_check_span};
static const struct gtm_field span_item = OBJECT_ITEM(span_table);

static const struct gtm_field calendar_fields[] = {
    NAMED("the calendar's name"),
    {.key = "timezone",
     .doc = "the zone of its days and hours",
     .type = GTM_T_FORM,
     .form = &gtm_form_timezone,
     .def = "UTC"},
    LIST("forbid", GTM_F_REQUIRED, span_item, 1, 1000, "when nothing may run"),
};
const struct gtm_table gtm_calendar_table = {.title = "calendar", GTM_FIELDS(calendar_fields)};
