/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables of fleets, capacity and alerts: checked in full, kept as JSON (their engines come
 * later). See schema.h.
 */
#include "gtm/model/intent_tables.h"
#include "gtm/model/later_fields.h"
#include "gtm/model/schema_forms.h"

static const struct gtm_field region_item = {.type = GTM_T_REF, .ref = GTM_REF_REGION};
static const struct gtm_field count_item = {.type = GTM_T_UINT, .max = 1e6};
static const struct gtm_field number_item = {.type = GTM_T_NUMBER};

/* --- fleets --- */

static const struct gtm_field type_fields[] = {
    NAMED("the provider's name of the instance type"),
    NUMBER("units", GTM_F_REQUIRED, 0.001, 1e12, "what one instance serves, in the fleet's unit"),
    NUMBER("vcpu", 0, 0, 1e6, "its processors"),
    NUMBER("memory_gib", 0, 0, 1e6, "its memory"),
};
static const struct gtm_table type_table = {.title = "type", GTM_FIELDS(type_fields)};
static const struct gtm_field type_item = OBJECT_ITEM(type_table);

static const struct gtm_field price_fields[] = {
    FORM("file", GTM_F_REQUIRED, gtm_form_path, "the file with prices by region and type"),
};
static const struct gtm_table price_table = {.title = "prices", GTM_FIELDS(price_fields)};

static const struct gtm_field owned_item = {.type = GTM_T_MAP, .item = &count_item, .max = 1000};
static const struct gtm_field mix_fields[] = {
    RATIO("spot_max", 0, 1, "at most this share on spot instances"),
    RATIO("spot_pool_max", 0, 1, "at most this share in one spot pool"),
    RATIO("on_demand_min", 0, 1, "at least this share on demand"),
    {.key = "owned",
     .doc = "instances that are paid already, by region and type",
     .type = GTM_T_MAP,
     .ref = GTM_REF_REGION,
     .item = &owned_item,
     .max = GTM_REGIONS_MAX},
};
static const struct gtm_table mix_table = {.title = "mix", GTM_FIELDS(mix_fields)};

static const char *const bound_keys[] = {"above", "below", NULL};
static const struct gtm_field condition_fields[] = {
    FORM("metric", GTM_F_REQUIRED, gtm_form_name, "what is looked at"),
    NUMBER("above", 0, 0, 0, "holds above this"),
    NUMBER("below", 0, 0, 0, "holds below this"),
    DURATION("for", 0, 0, DAY, NULL, "for so long"),
};
static const struct gtm_table condition_table = {
    .title = "condition", GTM_FIELDS(condition_fields), .one_of = bound_keys};
static const struct gtm_field condition_item = OBJECT_ITEM(condition_table);

static const char *const limit_keys[] = {"percent", "count", NULL};
static const struct gtm_field limit_fields[] = {
    NUMBER("percent", 0, 0, 10000, "so many percent of what runs"),
    UINT("count", 0, 1, 1e6, NULL, "so many instances"),
    DURATION("per", GTM_F_REQUIRED, 1000, DAY, NULL, "in this time"),
};
static const struct gtm_table limit_table = {
    .title = "limit", GTM_FIELDS(limit_fields), .one_of = limit_keys};
static const struct gtm_field limit_item = OBJECT_ITEM(limit_table);

static const char *const any_all_keys[] = {"any", "all", NULL};
static const struct gtm_field direction_fields[] = {
    LIST("any", 0, condition_item, 1, 32, "one of these must hold"),
    LIST("all", 0, condition_item, 1, 32, "all of these must hold"),
    LIST("limit", 0, limit_item, 0, 16, "how fast"),
    DURATION("stabilize", 0, 0, DAY, NULL, "the strongest wish of this time counts"),
};
static const struct gtm_table direction_table = {
    .title = "scaling direction", GTM_FIELDS(direction_fields), .one_of = any_all_keys};

static const struct gtm_field scaling_fields[] = {
    UINT("min", GTM_F_REQUIRED, 0, 1e6, NULL, "never fewer instances"),
    UINT("max", GTM_F_REQUIRED, 0, 1e6, NULL, "never more instances"),
    {.key = "target",
     .doc = "the value of a metric that is aimed at, such as {cpu: 0.7}",
     .type = GTM_T_MAP,
     .item = &number_item,
     .max = 16},
    OBJECT("up", 0, direction_table, "when to grow"),
    OBJECT("down", 0, direction_table, "when to shrink"),
};
static const struct gtm_table scaling_table = {
    .title = "scaling", GTM_FIELDS(scaling_fields), .check = gtm_check_scaling};

static const struct gtm_field schedule_fields[] = {
    FORM("cron", GTM_F_REQUIRED, gtm_form_cron, "when, as five cron fields"),
    {.key = "timezone",
     .doc = "their zone",
     .type = GTM_T_FORM,
     .form = &gtm_form_timezone,
     .def = "UTC"},
    UINT("min", 0, 0, 1e6, NULL, "from then on never fewer"),
    UINT("max", 0, 0, 1e6, NULL, "from then on never more"),
};
static const struct gtm_table schedule_table = {.title = "schedule", GTM_FIELDS(schedule_fields)};
static const struct gtm_field schedule_item = OBJECT_ITEM(schedule_table);

static const struct gtm_field event_fields[] = {
    NAMED("the event's name"),
    FORM("at", GTM_F_REQUIRED, gtm_form_time, "when it begins"),
    DURATION("for", GTM_F_REQUIRED, 1000, 30 * DAY, NULL, "how long it lasts"),
    NUMBER("factor", GTM_F_REQUIRED, 1, 1000, "how many times the usual load"),
    DURATION("lead", 0, 0, 7 * DAY, NULL, "how long before it the room must be there"),
};
static const struct gtm_table event_table = {.title = "event", GTM_FIELDS(event_fields)};
static const struct gtm_field event_item = OBJECT_ITEM(event_table);

static const char *const provider_words[] = {"exec", "webhook", "kubernetes", "aws"};
static const struct gtm_field provider_fields[] = {
    ENUM("kind", GTM_F_REQUIRED, provider_words, NULL, "what carries an allocation out"),
    FORM("url", 0, gtm_form_url, "webhook, kubernetes: its address"),
    FORM("namespace", 0, gtm_form_name, "kubernetes: the namespace"),
    TEXT("object", 0, 256, "kubernetes: as deployments/www; aws: the group or service"),
    {.key = "token", .doc = "the file with the token", .type = GTM_T_SECRET},
    FORM("program", 0, gtm_form_program, "exec: the program in exec_dir"),
};
static const struct gtm_table provider_table = {
    .title = "provider", GTM_FIELDS(provider_fields), .check = gtm_check_provider};

static const struct gtm_field fleet_fields[] = {
    NAMED("the fleet's name"),
    REF("pool", GTM_F_REQUIRED, GTM_REF_POOL, "the pool that its instances serve"),
    LIST("regions", GTM_F_REQUIRED | GTM_F_SINGLE, region_item, 1, GTM_REGIONS_MAX, "where"),
    TEXT("unit", GTM_F_REQUIRED, 64, "what load is counted in, such as requests_per_s"),
    LIST("types", GTM_F_REQUIRED | GTM_F_NAMED, type_item, 1, 1000, "instance types"),
    OBJECT("prices", 0, price_table, "what they cost"),
    OBJECT("mix", 0, mix_table, "how they may be bought"),
    OBJECT("scaling", 0, scaling_table, "how many run"),
    LIST("schedules", 0, schedule_item, 0, 1000, "bounds by the clock"),
    LIST("events", GTM_F_NAMED, event_item, 0, 1000, "announced peaks"),
    OBJECT("provider", 0, provider_table, "who starts and stops them"),
};
const struct gtm_table gtm_fleet_table = {.title = "fleet", GTM_FIELDS(fleet_fields)};

/* --- capacity --- */

static const char *const survive_words[] = {"any_region", "none"};
static const struct gtm_field tier_fields[] = {
    DURATION("warm", 0, 0, DAY, NULL, "how soon warm capacity serves"),
    DURATION("burst", 0, 0, DAY, NULL, "how soon burst capacity serves"),
};
static const struct gtm_table tier_table = {.title = "tiers", GTM_FIELDS(tier_fields)};
static const struct gtm_field capacity_fields[] = {
    RATIO("buffer", 0, 10, "the share kept free above the load"),
    ENUM("survive", 0, survive_words, "none", "whose loss must fit"),
    RATIO("hot_share", 0, 1, "the share of the buffer that runs all the time"),
    OBJECT("tiers", 0, tier_table, "how soon the rest is there"),
    NUMBER("budget_per_month", 0, 0, 1e12, "what may be spent"),
};
const struct gtm_table gtm_capacity_table = {.title = "capacity", GTM_FIELDS(capacity_fields)};

/* --- alerts --- */

static const char *const severity_words[] = {"critical", "warning", "info"};
static const char *const format_words[] = {"json", "pagerduty", "slack", "alertmanager"};
static const struct gtm_field match_fields[] = {
    ENUM("severity", 0, severity_words, NULL, "only alerts of this severity"),
};
static const struct gtm_table match_table = {.title = "match", GTM_FIELDS(match_fields)};
static const struct gtm_field receiver_fields[] = {
    FORM("webhook", GTM_F_REQUIRED, gtm_form_url, "the address that is told"),
    ENUM("format", 0, format_words, "json", "in which shape"),
};
static const struct gtm_table receiver_table = {.title = "receiver", GTM_FIELDS(receiver_fields)};
static const struct gtm_field receiver_item = OBJECT_ITEM(receiver_table);
static const struct gtm_field escalate_item = {.type = GTM_T_DURATION, .min = 1000, .max = 7 * DAY};

static const struct gtm_field alert_fields[] = {
    OBJECT("match", 0, match_table, "which alerts; default: all"),
    LIST("to", GTM_F_REQUIRED, receiver_item, 1, 32, "who is told"),
    LIST("escalate", GTM_F_SINGLE, escalate_item, 0, 16, "told again after these times"),
};
const struct gtm_table gtm_alert_table = {.title = "alert", GTM_FIELDS(alert_fields)};
