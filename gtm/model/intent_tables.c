/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables of regions, health and keys, and of the whole file. See schema.h for what a table
 * drives.
 */
#include "gtm/model/intent_tables.h"
#include "gtm/model/schema_forms.h"

const char *const gtm_tsig_words[GTM_TSIG_COUNT] = {
    "hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512",
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

static const struct gtm_field canary_fields[] = {
    {.key = "address",
     .doc = "an address that answers as long as this network works, such as a router or a resolver "
            "outside of it",
     .type = GTM_T_FORM,
     .flags = GTM_F_REQUIRED,
     GTM_AT(struct gtm_canary, address),
     .form = &gtm_form_address},
    {.key = "port",
     .doc = "its TCP port; a refusal counts as an answer",
     .type = GTM_T_UINT,
     .flags = GTM_F_REQUIRED,
     GTM_AT(struct gtm_canary, port),
     .min = 1,
     .max = 65535},
};
static const struct gtm_table canary_table = {.title = "canary",
                                              GTM_FIELDS(canary_fields),
                                              .pos_offset = offsetof(struct gtm_canary, pos),
                                              .check = gtm_check_canary};
static const struct gtm_field canary_item = {.type = GTM_T_OBJECT, .table = &canary_table};

static const struct gtm_field health_fields[] = {
    {.key = "vantages",
     .doc = "regions whose nodes vote on health; default: all regions. One without endpoints is a "
            "witness",
     .type = GTM_T_LIST,
     .flags = GTM_F_UNIQUE,
     GTM_LIST_AT(struct gtm_intent, vantages, vantages_count),
     .item = &region_item,
     .min = 1,
     .max = GTM_REGIONS_MAX},
    {.key = "quorum",
     .doc = "how many of the configured vantages must see a failure",
     .type = GTM_T_ENUM,
     GTM_AT(struct gtm_intent, quorum),
     GTM_WORDS(quorum_words),
     .def = "majority"},
    {.key = "canaries",
     .doc =
         "TCP connects that tell a vantage whether its own network works: without an answer from "
         "half of them it loses its vote, and removes nothing while the store is away",
     .type = GTM_T_LIST,
     GTM_LIST_AT(struct gtm_intent, canaries, canaries_count),
     .item = &canary_item,
     .max = GTM_HEALTH_CANARIES_MAX},
};
static const struct gtm_table health_table = {.title = "health", GTM_FIELDS(health_fields)};

/* --- keys --- */

static const struct gtm_field key_fields[] = {
    {.key = "name",
     .doc = "the key's name, the same on both sides",
     .type = GTM_T_FORM,
     .flags = GTM_F_REQUIRED,
     GTM_AT(struct gtm_tsig_key, name),
     .form = &gtm_form_key_name},
    {.key = "algorithm",
     .doc = "how it signs (RFC 8945)",
     .type = GTM_T_ENUM,
     GTM_AT(struct gtm_tsig_key, algorithm),
     GTM_WORDS(gtm_tsig_words),
     .def = "hmac-sha256"},
    {.key = "secret",
     .doc = "the file with the secret in base64",
     .type = GTM_T_SECRET,
     .flags = GTM_F_REQUIRED,
     GTM_AT(struct gtm_tsig_key, secret_file)},
};
static const struct gtm_table key_table = {
    .title = "key", GTM_FIELDS(key_fields), .pos_offset = offsetof(struct gtm_tsig_key, pos)};

/* --- the file --- */

static const struct gtm_field region_elem = {.type = GTM_T_OBJECT, .table = &region_table};
static const struct gtm_field monitor_elem = {.type = GTM_T_OBJECT, .table = &gtm_monitor_table};
static const struct gtm_field key_elem = {.type = GTM_T_OBJECT, .table = &key_table};
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
    {.key = "keys",
     .doc = "secrets shared with other name servers, which sign transfers",
     .type = GTM_T_LIST,
     .flags = GTM_F_NAMED | GTM_F_KEEP,
     GTM_LIST_AT(struct gtm_intent, keys, keys_count),
     .item = &key_elem,
     .ref = GTM_REF_KEY,
     .max = GTM_KEYS_MAX},
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
    {.key = "rules",
     .doc =
         "what an order must leave behind, else it is refused; without any, those of gtm.yaml(5) "
         "hold",
     .type = GTM_T_LIST,
     .flags = GTM_F_NAMED | GTM_F_KEEP,
     GTM_LIST_AT(struct gtm_intent, rules, rules_count),
     .item = &rule_elem,
     .ref = GTM_REF_RULE,
     .max = GTM_LATER_MAX},
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
