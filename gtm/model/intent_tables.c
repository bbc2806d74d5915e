/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables of what is served and checked (regions, health, monitors) and of the whole file. See
 * schema.h for what a table drives.
 */
#include "gtm/model/intent_tables.h"
#include "gtm/model/schema_forms.h"

#define SECOND 1000.0
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)

const char *const gtm_monitor_kind_words[GTM_MONITOR_KIND_COUNT] = {
    "http", "https",      "tcp",   "tls",  "dns",  "icmp",
    "grpc", "postgresql", "redis", "exec", "push", "prometheus",
};
static const char *const quorum_words[] = {"majority", "any", "all"};

#define NAME_OF(owner, about)                                                     \
    {                                                                             \
        .key = "name", .doc = about, .type = GTM_T_FORM, .flags = GTM_F_REQUIRED, \
        GTM_AT(owner, name), .form = &gtm_form_name                               \
    }
#define REF_ITEM(kind)                                             \
    {                                                              \
        .type = GTM_T_REF, .size = sizeof(unsigned), .ref = (kind) \
    }

static const struct gtm_field region_item = REF_ITEM(GTM_REF_REGION);

/* --- regions --- */

static const struct gtm_field region_capacity_fields[] = {
    {.key = "requests_per_s",
     .doc = "requests a second that all endpoints of the region can serve together",
     .type = GTM_T_NUMBER,
     GTM_AT(struct gtm_region, capacity_requests_per_s),
     .min = 0,
     .max = 1e12},
};
static const struct gtm_table region_capacity_table = {.title = "capacity",
                                                       GTM_FIELDS(region_capacity_fields)};

static const struct gtm_field region_fields[] = {
    NAME_OF(struct gtm_region, "the region's name"),
    {.key = "location",
     .doc = "latitude and longitude in degrees, north and east positive; `nearest` needs it",
     .type = GTM_T_POINT,
     GTM_AT(struct gtm_region, lat),
     .has_offset = offsetof(struct gtm_region, has_location)},
    {.key = "failure_domain",
     .doc = "regions with the same word can fail together; default: each its own",
     .type = GTM_T_FORM,
     GTM_AT(struct gtm_region, failure_domain),
     .form = &gtm_form_name},
    {.key = "capacity",
     .doc = "what the region can serve; unset means unknown",
     .type = GTM_T_OBJECT,
     GTM_INLINE,
     .table = &region_capacity_table},
};
static void region_init(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj)
{
    (void)p;
    struct gtm_region *region = obj;
    if (region && !gtm_yaml_get(gtm_yaml_get(node, "capacity"), "requests_per_s"))
        region->capacity_requests_per_s = -1; /* unset means unknown, never zero */
}
static const struct gtm_table region_table = {.title = "region",
                                              GTM_FIELDS(region_fields),
                                              .pos_offset = offsetof(struct gtm_region, pos),
                                              .check = region_init};

/* --- health --- */

static const struct gtm_field health_fields[] = {
    {.key = "vantages",
     .doc = "regions whose nodes vote on health; default: all regions",
     .type = GTM_T_LIST,
     .flags = GTM_F_UNIQUE,
     GTM_LIST_AT(struct gtm_intent, vantages, vantages_count),
     .item = &region_item,
     .min = 1,
     .max = GTM_REGIONS_MAX},
    {.key = "quorum",
     .doc = "how many of the configured vantages must see a failure",
     .type = GTM_T_ENUM,
     GTM_WORDS(quorum_words),
     .def = "majority"},
};
static const struct gtm_table health_table = {.title = "health", GTM_FIELDS(health_fields)};

/* --- monitors --- */

static const struct gtm_field status_item = {
    .type = GTM_T_UINT, .size = sizeof(uint16_t), .min = 100, .max = 599};
static const struct gtm_field argument_item = {.type = GTM_T_STRING};

static const struct gtm_field expect_fields[] = {
    {.key = "status",
     .doc = "HTTP status codes that count as healthy; default: 200 to 299",
     .type = GTM_T_LIST,
     .flags = GTM_F_SINGLE,
     GTM_LIST_AT(struct gtm_monitor, expect_status, expect_status_count),
     .item = &status_item,
     .min = 1,
     .max = 100},
    {.key = "body",
     .doc = "text that must occur in the first 64 KiB of what comes back",
     .type = GTM_T_STRING,
     GTM_AT(struct gtm_monitor, expect_body)},
};
static const struct gtm_table expect_table = {.title = "expect", GTM_FIELDS(expect_fields)};

static const struct gtm_field monitor_fields[] = {
    NAME_OF(struct gtm_monitor, "the monitor's name"),
    {.key = "kind",
     .doc = "how to check",
     .type = GTM_T_ENUM,
     .flags = GTM_F_REQUIRED,
     GTM_AT(struct gtm_monitor, kind),
     GTM_WORDS(gtm_monitor_kind_words)},
    {.key = "port",
     .doc = "the port to check; http, https, dns, postgresql and redis know their usual one",
     .type = GTM_T_UINT,
     GTM_AT(struct gtm_monitor, port),
     .min = 1,
     .max = 65535},
    {.key = "path",
     .doc = "http, https: what to ask for; default /",
     .type = GTM_T_FORM,
     GTM_AT(struct gtm_monitor, path),
     .form = &gtm_form_http_path},
    {.key = "host",
     .doc = "http, https: the Host header (and the name in the certificate); tls, dns, grpc: the "
            "name to ask for; default: the endpoint's address",
     .type = GTM_T_FORM,
     GTM_AT(struct gtm_monitor, host),
     .form = &gtm_form_host},
    {.key = "method",
     .doc = "http, https: GET, HEAD, OPTIONS or POST; default GET",
     .type = GTM_T_STRING,
     GTM_AT(struct gtm_monitor, method),
     .max = 16},
    {.key = "expect",
     .doc = "what a healthy answer looks like",
     .type = GTM_T_OBJECT,
     GTM_INLINE,
     .table = &expect_table},
    {.key = "send",
     .doc = "tcp, tls: bytes to send first",
     .type = GTM_T_STRING,
     GTM_AT(struct gtm_monitor, send)},
    {.key = "program",
     .doc = "exec: the program in exec_dir",
     .type = GTM_T_FORM,
     .form = &gtm_form_program},
    {.key = "args",
     .doc = "exec: its arguments",
     .type = GTM_T_LIST,
     .item = &argument_item,
     .max = 64},
    {.key = "url",
     .doc = "prometheus: the server's address",
     .type = GTM_T_FORM,
     .form = &gtm_form_url},
    {.key = "query",
     .doc = "prometheus: the query, which gives one number",
     .type = GTM_T_STRING,
     .max = 4096},
    {.key = "above", .doc = "prometheus: down when the number is above this", .type = GTM_T_NUMBER},
    {.key = "below", .doc = "prometheus: down when the number is below this", .type = GTM_T_NUMBER},
    {.key = "interval",
     .doc = "from the start of one check to the next",
     .type = GTM_T_DURATION,
     GTM_AT(struct gtm_monitor, interval_ms),
     .min = 100,
     .max = HOUR,
     .def = "1s"},
    {.key = "timeout",
     .doc = "a check without a result by then has failed; default: the interval, at most 800ms",
     .type = GTM_T_DURATION,
     GTM_AT(struct gtm_monitor, timeout_ms),
     .min = 10,
     .max = MINUTE},
    {.key = "fall",
     .doc = "failed checks in a row that make an endpoint down",
     .type = GTM_T_UINT,
     GTM_AT(struct gtm_monitor, fall),
     .min = 1,
     .max = 100,
     .def = "2"},
    {.key = "rise",
     .doc = "good checks in a row that make it up again",
     .type = GTM_T_UINT,
     GTM_AT(struct gtm_monitor, rise),
     .min = 1,
     .max = 100,
     .def = "3"},
};
static const struct gtm_table monitor_table = {.title = "monitor",
                                               GTM_FIELDS(monitor_fields),
                                               .pos_offset = offsetof(struct gtm_monitor, pos),
                                               .check = gtm_check_monitor};

/* --- the file --- */

static const struct gtm_field region_elem = {.type = GTM_T_OBJECT, .table = &region_table};
static const struct gtm_field monitor_elem = {.type = GTM_T_OBJECT, .table = &monitor_table};
static const struct gtm_field pool_elem = {.type = GTM_T_OBJECT, .table = &gtm_pool_table};
static const struct gtm_field policy_elem = {.type = GTM_T_OBJECT, .table = &gtm_policy_table};
static const struct gtm_field zone_elem = {.type = GTM_T_OBJECT, .table = &gtm_zone_table};
static const struct gtm_field group_elem = {.type = GTM_T_OBJECT, .table = &gtm_group_table};
static const struct gtm_field rule_elem = {.type = GTM_T_OBJECT, .table = &gtm_rule_table};
static const struct gtm_field plan_elem = {.type = GTM_T_OBJECT, .table = &gtm_plan_table};
static const struct gtm_field drill_elem = {.type = GTM_T_OBJECT, .table = &gtm_drill_table};
static const struct gtm_field signal_elem = {.type = GTM_T_OBJECT, .table = &gtm_signal_table};
static const struct gtm_field calendar_elem = {.type = GTM_T_OBJECT, .table = &gtm_calendar_table};
static const struct gtm_field fleet_elem = {.type = GTM_T_OBJECT, .table = &gtm_fleet_table};
static const struct gtm_field alert_elem = {.type = GTM_T_OBJECT, .table = &gtm_alert_table};

#define LATER(name, kind, elem, about)                                                    \
    {                                                                                     \
        .key = (name), .doc = (about), .type = GTM_T_LIST,                                \
        .flags = GTM_F_KEEP | ((kind) != GTM_REF_NONE ? GTM_F_NAMED : 0u), .ref = (kind), \
        .item = &(elem), .max = GTM_LATER_MAX                                             \
    }

static const struct gtm_field intent_fields[] = {
    {.key = "regions",
     .doc = "the places that can serve",
     .type = GTM_T_LIST,
     .flags = GTM_F_REQUIRED | GTM_F_NAMED | GTM_F_KEEP,
     GTM_LIST_AT(struct gtm_intent, regions, regions_count),
     .item = &region_elem,
     .ref = GTM_REF_REGION,
     .min = 1,
     .max = GTM_REGIONS_MAX},
    {.key = "health",
     .doc = "who votes on health",
     .type = GTM_T_OBJECT,
     .flags = GTM_F_KEEP | GTM_F_DEFAULTS,
     GTM_INLINE,
     .table = &health_table},
    {.key = "monitors",
     .doc = "how endpoints are checked",
     .type = GTM_T_LIST,
     .flags = GTM_F_NAMED | GTM_F_KEEP,
     GTM_LIST_AT(struct gtm_intent, monitors, monitors_count),
     .item = &monitor_elem,
     .ref = GTM_REF_MONITOR,
     .max = GTM_MONITORS_MAX},
    {.key = "pools",
     .doc = "endpoints of one service each",
     .type = GTM_T_LIST,
     .flags = GTM_F_NAMED,
     GTM_LIST_AT(struct gtm_intent, pools, pools_count),
     .item = &pool_elem,
     .ref = GTM_REF_POOL,
     .max = GTM_POOLS_MAX},
    {.key = "policies",
     .doc = "how dynamic names pick answers",
     .type = GTM_T_LIST,
     .flags = GTM_F_NAMED,
     GTM_LIST_AT(struct gtm_intent, policies, policies_count),
     .item = &policy_elem,
     .ref = GTM_REF_POLICY,
     .max = GTM_POLICIES_MAX},
    {.key = "zones",
     .doc = "the DNS zones that are served",
     .type = GTM_T_LIST,
     GTM_LIST_AT(struct gtm_intent, zones, zones_count),
     .item = &zone_elem,
     .max = GTM_ZONES_MAX},
    LATER("groups", GTM_REF_GROUP, group_elem, "replicated data sets and who may write"),
    LATER("rules", GTM_REF_RULE, rule_elem, "safety rules that can block an operation"),
    LATER("plans", GTM_REF_PLAN, plan_elem, "ordered steps of a failover or switchover"),
    LATER("drills", GTM_REF_DRILL, drill_elem, "scheduled, measured operations"),
    LATER("signals", GTM_REF_SIGNAL, signal_elem, "numbers from Prometheus that can stop a drill"),
    LATER("calendars", GTM_REF_CALENDAR, calendar_elem, "times when drills are forbidden"),
    LATER("fleets", GTM_REF_FLEET, fleet_elem, "instances of a service and how they scale"),
    {.key = "capacity",
     .doc = "the room that is kept to absorb a lost region",
     .type = GTM_T_OBJECT,
     .flags = GTM_F_KEEP,
     .table = &gtm_capacity_table},
    LATER("alerts", GTM_REF_NONE, alert_elem, "who is told"),
};
const struct gtm_table gtm_intent_table = {.title = "cluster file", GTM_FIELDS(intent_fields)};
