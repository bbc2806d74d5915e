/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables of what answers: pools, policies, zones. See schema.h for what a table drives.
 */
#include "gtm/model/intent_tables.h"
#include "gtm/model/schema_forms.h"

#define SECOND 1000.0
#define DAY    (86400 * SECOND)

const char *const gtm_steer_words[GTM_STEER_COUNT] = {
    "nearest",           "geo",           "weighted", "failover", "multivalue", "latency",
    "least_connections", "response_time", "ewma",     "sticky",
};
const char *const gtm_all_down_words[GTM_ALL_DOWN_COUNT] = {
    "fail_open",
    "last_good",
    "fail_closed",
    "backup",
};
static const char *const failback_words[] = {"auto", "manual"};
static const char *const role_words[] = {"writer", "reader"};

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
static const struct gtm_field monitor_item = REF_ITEM(GTM_REF_MONITOR);

/* --- pools --- */

static const struct gtm_field failback_fields[] = {
    {.key = "mode",
     .doc = "auto: a recovered endpoint serves again by itself; manual: by an operator's word",
     .type = GTM_T_ENUM,
     GTM_AT(struct gtm_pool, failback_mode),
     GTM_WORDS(failback_words),
     .def = "auto"},
    {.key = "hold",
     .doc = "how long it must stay healthy before it serves again",
     .type = GTM_T_DURATION,
     GTM_AT(struct gtm_pool, failback_hold_ms),
     .max = DAY,
     .def = "0s"},
    {.key = "ramp",
     .doc = "how long its share of users takes to grow back",
     .type = GTM_T_DURATION,
     GTM_AT(struct gtm_pool, failback_ramp_ms),
     .max = DAY,
     .def = "0s"},
};
static const struct gtm_table failback_table = {.title = "failback", GTM_FIELDS(failback_fields)};

static const struct gtm_field endpoint_capacity_fields[] = {
    {.key = "requests_per_s",
     .doc = "requests a second that the endpoint can serve",
     .type = GTM_T_NUMBER,
     GTM_AT(struct gtm_endpoint, capacity_requests_per_s),
     .min = 0,
     .max = 1e12},
};
static const struct gtm_table endpoint_capacity_table = {.title = "capacity",
                                                         GTM_FIELDS(endpoint_capacity_fields)};
static const struct gtm_field address_item = {.type = GTM_T_FORM, .form = &gtm_form_address};

static const struct gtm_field endpoint_fields[] = {
    NAME_OF(struct gtm_endpoint, "the endpoint's name, unique in its pool"),
    {.key = "region",
     .doc = "the region it stands in",
     .type = GTM_T_REF,
     .flags = GTM_F_REQUIRED,
     GTM_AT(struct gtm_endpoint, region),
     .ref = GTM_REF_REGION},
    {.key = "addresses",
     .doc = "at most one IPv4 and one IPv6 address",
     .type = GTM_T_LIST,
     .flags = GTM_F_REQUIRED | GTM_F_SINGLE,
     .item = &address_item,
     .min = 1,
     .max = 2},
    {.key = "weight",
     .doc = "its share among its equals; 0 takes no users unless nothing else is left",
     .type = GTM_T_UINT,
     GTM_AT(struct gtm_endpoint, weight),
     .max = 65535,
     .def = "100"},
    {.key = "capacity",
     .doc = "what it can serve; unset means unknown",
     .type = GTM_T_OBJECT,
     GTM_INLINE,
     .table = &endpoint_capacity_table},
};
static const struct gtm_table endpoint_table = {.title = "endpoint",
                                                GTM_FIELDS(endpoint_fields),
                                                .pos_offset = offsetof(struct gtm_endpoint, pos),
                                                .check = gtm_check_endpoint};
static const struct gtm_field endpoint_item = {.type = GTM_T_OBJECT, .table = &endpoint_table};

static const struct gtm_field pool_fields[] = {
    NAME_OF(struct gtm_pool, "the pool's name"),
    {.key = "monitors",
     .doc = "how its endpoints are checked; all must be healthy",
     .type = GTM_T_LIST,
     .flags = GTM_F_SINGLE | GTM_F_UNIQUE,
     GTM_LIST_AT(struct gtm_pool, monitors, monitors_count),
     .item = &monitor_item,
     .max = 16},
    {.key = "failback",
     .doc = "what happens when an endpoint recovers",
     .type = GTM_T_OBJECT,
     .flags = GTM_F_DEFAULTS,
     GTM_INLINE,
     .table = &failback_table},
    {.key = "panic",
     .doc = "failures of content that would take down more than this share of the pool within "
            "60 s are held and reported; 0 switches it off",
     .type = GTM_T_RATIO,
     GTM_AT(struct gtm_pool, panic),
     .max = 1,
     .def = "0.5"},
    {.key = "endpoints",
     .doc = "the addresses of the service",
     .type = GTM_T_LIST,
     .flags = GTM_F_REQUIRED | GTM_F_NAMED,
     GTM_LIST_AT(struct gtm_pool, endpoints, endpoints_count),
     .item = &endpoint_item,
     .min = 1,
     .max = GTM_POOL_ENDPOINTS_MAX},
};
const struct gtm_table gtm_pool_table = {
    .title = "pool", GTM_FIELDS(pool_fields), .pos_offset = offsetof(struct gtm_pool, pos)};

/* --- policies --- */

static const struct gtm_field network_item = {.type = GTM_T_FORM, .form = &gtm_form_network};
static const struct gtm_field country_item = {.type = GTM_T_FORM, .form = &gtm_form_country};
static const struct gtm_field continent_item = {.type = GTM_T_FORM, .form = &gtm_form_continent};
static const struct gtm_field subdivision_item = {.type = GTM_T_FORM,
                                                  .form = &gtm_form_subdivision};
static const struct gtm_field asn_item = {
    .type = GTM_T_UINT, .size = sizeof(uint32_t), .min = 1, .max = 4294967295.0};

#define CONDITION(name, member, count, maximum, item_field, about)                     \
    {                                                                                  \
        .key = (name), .doc = (about), .type = GTM_T_LIST, .flags = GTM_F_SINGLE,      \
        GTM_LIST_AT(struct gtm_route, member, count), .item = &(item_field), .min = 1, \
        .max = (maximum)                                                               \
    }

static const struct gtm_field match_fields[] = {
    CONDITION("networks", networks, networks_count, GTM_ROUTE_NETWORKS_MAX, network_item,
              "the client's address is in one of these networks"),
    CONDITION("country", countries, countries_count, 300, country_item,
              "the client is in one of these countries (ISO 3166: DE, or EU-DE)"),
    CONDITION("continent", continents, continents_count, 7, continent_item,
              "the client is on one of these continents (AF AN AS EU NA OC SA)"),
    CONDITION("subdivision", subdivisions, subdivisions_count, 4096, subdivision_item,
              "the client is in one of these states or provinces (US-CA)"),
    CONDITION("asn", asns, asns_count, 4096, asn_item,
              "the client's network belongs to one of these autonomous systems"),
};
static const struct gtm_table match_table = {.title = "match", GTM_FIELDS(match_fields)};

static const struct gtm_field route_fields[] = {
    {.key = "match",
     .doc = "who takes this route: all given conditions must hold",
     .type = GTM_T_OBJECT,
     .flags = GTM_F_REQUIRED,
     GTM_INLINE,
     .table = &match_table},
    {.key = "regions",
     .doc = "where they go, in order of preference",
     .type = GTM_T_LIST,
     .flags = GTM_F_REQUIRED | GTM_F_SINGLE | GTM_F_UNIQUE,
     GTM_LIST_AT(struct gtm_route, regions, regions_count),
     .item = &region_item,
     .min = 1,
     .max = GTM_REGIONS_MAX},
};
static const struct gtm_table route_table = {.title = "route",
                                             GTM_FIELDS(route_fields),
                                             .pos_offset = offsetof(struct gtm_route, pos),
                                             .check = gtm_check_route};
static const struct gtm_field route_item = {.type = GTM_T_OBJECT, .table = &route_table};

static const char *const target_keys[] = {"policy", "pool", "endpoint", NULL};
static const struct gtm_field target_fields[] = {
    {.key = "policy",
     .doc = "answer as this policy does",
     .type = GTM_T_REF,
     GTM_AT(struct gtm_target, index),
     .ref = GTM_REF_POLICY},
    {.key = "pool",
     .doc = "answer from this pool",
     .type = GTM_T_REF,
     GTM_AT(struct gtm_target, index),
     .ref = GTM_REF_POOL},
    {.key = "endpoint",
     .doc = "answer with this endpoint, written POOL/ENDPOINT",
     .type = GTM_T_REF,
     GTM_AT(struct gtm_target, index),
     .ref = GTM_REF_ENDPOINT},
    {.key = "weight",
     .doc = "its share of users among the targets",
     .type = GTM_T_UINT,
     GTM_AT(struct gtm_target, weight),
     .max = 65535,
     .def = "100"},
};
static const struct gtm_table target_table = {.title = "target",
                                              GTM_FIELDS(target_fields),
                                              .pos_offset = offsetof(struct gtm_target, pos),
                                              .one_of = target_keys,
                                              .check = gtm_check_target};
static const struct gtm_field target_item = {.type = GTM_T_OBJECT, .table = &target_table};

static const char *const backup_keys[] = {"policy", "pool", NULL};
static const struct gtm_field backup_fields[] = {
    {.key = "policy",
     .doc = "answer as this policy does",
     .type = GTM_T_REF,
     GTM_AT(struct gtm_target, index),
     .ref = GTM_REF_POLICY},
    {.key = "pool",
     .doc = "answer from this pool",
     .type = GTM_T_REF,
     GTM_AT(struct gtm_target, index),
     .ref = GTM_REF_POOL},
};
static const struct gtm_table backup_table = {.title = "backup",
                                              GTM_FIELDS(backup_fields),
                                              .pos_offset = offsetof(struct gtm_target, pos),
                                              .one_of = backup_keys,
                                              .check = gtm_check_target};

static const struct gtm_field policy_fields[] = {
    NAME_OF(struct gtm_policy, "the policy's name"),
    {.key = "pool",
     .doc = "whose endpoints answer",
     .type = GTM_T_REF,
     GTM_AT(struct gtm_policy, pool),
     .has_offset = offsetof(struct gtm_policy, has_pool),
     .ref = GTM_REF_POOL},
    {.key = "steer",
     .doc = "how a client's answer is chosen",
     .type = GTM_T_ENUM,
     .flags = GTM_F_REQUIRED,
     GTM_AT(struct gtm_policy, steer),
     GTM_WORDS(gtm_steer_words)},
    {.key = "all_down",
     .doc = "what to answer when everything is down: all addresses, the last good ones, SERVFAIL, "
            "or the backup",
     .type = GTM_T_ENUM,
     GTM_AT(struct gtm_policy, all_down),
     GTM_WORDS(gtm_all_down_words),
     .def = "fail_open"},
    {.key = "backup",
     .doc = "with all_down: backup, who answers instead",
     .type = GTM_T_OBJECT,
     GTM_AT(struct gtm_policy, backup),
     .has_offset = offsetof(struct gtm_policy, has_backup),
     .table = &backup_table},
    {.key = "answers",
     .doc = "records in an answer; default 1, with multivalue 8",
     .type = GTM_T_UINT,
     GTM_AT(struct gtm_policy, answers),
     .min = 1,
     .max = GTM_ANSWERS_MAX},
    {.key = "ttl",
     .doc = "how long resolvers may keep an answer",
     .type = GTM_T_DURATION,
     .flags = GTM_F_SECONDS,
     GTM_AT(struct gtm_policy, ttl_s),
     .max = GTM_TTL_MAX_S * SECOND,
     .def = "30s"},
    {.key = "routes",
     .doc = "geo: where clients of a place go; the first match wins",
     .type = GTM_T_LIST,
     GTM_LIST_AT(struct gtm_policy, routes, routes_count),
     .item = &route_item,
     .max = GTM_ROUTES_MAX},
    {.key = "default",
     .doc = "regions in order, for clients that no route matches or whose place is unknown",
     .type = GTM_T_LIST,
     .flags = GTM_F_SINGLE | GTM_F_UNIQUE,
     GTM_LIST_AT(struct gtm_policy, order, order_count),
     .item = &region_item,
     .min = 1,
     .max = GTM_REGIONS_MAX},
    {.key = "order",
     .doc = "failover: regions in order; the first healthy one answers",
     .type = GTM_T_LIST,
     .flags = GTM_F_SINGLE | GTM_F_UNIQUE,
     GTM_LIST_AT(struct gtm_policy, order, order_count),
     .item = &region_item,
     .min = 1,
     .max = GTM_REGIONS_MAX},
    {.key = "to",
     .doc = "weighted: the targets and their shares",
     .type = GTM_T_LIST,
     GTM_LIST_AT(struct gtm_policy, to, to_count),
     .item = &target_item,
     .min = 1,
     .max = 1000},
};
const struct gtm_table gtm_policy_table = {.title = "policy",
                                           GTM_FIELDS(policy_fields),
                                           .pos_offset = offsetof(struct gtm_policy, pos),
                                           .check = gtm_check_policy};

/* --- zones --- */

static const struct gtm_field type_item = {.type = GTM_T_FORM, .form = &gtm_form_type};

static const char *const answer_keys[] = {"policy", "group", NULL};
static const struct gtm_field dynamic_name_fields[] = {
    {.key = "name",
     .doc = "the name, relative to the zone; '@' is the zone itself, '*.x' a wildcard",
     .type = GTM_T_FORM,
     .flags = GTM_F_REQUIRED,
     GTM_AT(struct gtm_dynamic_name, name),
     .form = &gtm_form_owner},
    {.key = "types",
     .doc = "record types that are answered dynamically; default: A and AAAA",
     .type = GTM_T_LIST,
     .flags = GTM_F_SINGLE | GTM_F_UNIQUE,
     GTM_LIST_AT(struct gtm_dynamic_name, types, types_count),
     .item = &type_item,
     .min = 1,
     .max = 2},
    {.key = "policy",
     .doc = "the policy that answers",
     .type = GTM_T_REF,
     GTM_AT(struct gtm_dynamic_name, policy),
     .has_offset = offsetof(struct gtm_dynamic_name, has_policy),
     .ref = GTM_REF_POLICY},
    {.key = "group",
     .doc = "the replicated group whose members answer",
     .type = GTM_T_REF,
     GTM_AT(struct gtm_dynamic_name, group),
     .has_offset = offsetof(struct gtm_dynamic_name, has_group),
     .ref = GTM_REF_GROUP},
    {.key = "role",
     .doc = "with group: the member that may write, or those that can be read",
     .type = GTM_T_ENUM,
     GTM_WORDS(role_words)},
    {.key = "max_lag",
     .doc = "with role: reader, members further behind do not answer",
     .type = GTM_T_DURATION,
     GTM_AT(struct gtm_dynamic_name, max_lag_ms),
     .max = DAY},
    {.key = "ttl",
     .doc = "how long resolvers may keep an answer; default: the policy's",
     .type = GTM_T_DURATION,
     .flags = GTM_F_SECONDS,
     GTM_AT(struct gtm_dynamic_name, ttl_s),
     .has_offset = offsetof(struct gtm_dynamic_name, has_ttl),
     .max = GTM_TTL_MAX_S * SECOND},
};
static const struct gtm_table dynamic_name_table = {.title = "name",
                                                    GTM_FIELDS(dynamic_name_fields),
                                                    .pos_offset =
                                                        offsetof(struct gtm_dynamic_name, pos),
                                                    .one_of = answer_keys,
                                                    .check = gtm_check_dynamic_name};
static const struct gtm_field dynamic_name_item = {.type = GTM_T_OBJECT,
                                                   .table = &dynamic_name_table};

static const struct gtm_field zone_fields[] = {
    {.key = "name",
     .doc = "the zone's domain name",
     .type = GTM_T_FORM,
     .flags = GTM_F_REQUIRED,
     GTM_AT(struct gtm_zone_conf, name),
     .form = &gtm_form_zone},
    {.key = "file",
     .doc = "its zone file, from the folder of this file",
     .type = GTM_T_FORM,
     .flags = GTM_F_REQUIRED,
     GTM_AT(struct gtm_zone_conf, file),
     .form = &gtm_form_path},
    {.key = "names",
     .doc = "names that are answered by a policy or a group",
     .type = GTM_T_LIST,
     GTM_LIST_AT(struct gtm_zone_conf, names, names_count),
     .item = &dynamic_name_item,
     .max = GTM_NAMES_MAX},
};
const struct gtm_table gtm_zone_table = {
    .title = "zone", GTM_FIELDS(zone_fields), .pos_offset = offsetof(struct gtm_zone_conf, pos)};
