/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables of what answers: pools and policies. See schema.h for what a table drives.
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
/* Stand for 0 and 1 of monitors_needed. */
static const char *const require_words[] = {"all", "any"};

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

static const struct gtm_field flap_fields[] = {
    {.key = "half_life",
     .doc = "every fall counts one, and the count halves in this time; 0s switches it off",
     .type = GTM_T_DURATION,
     GTM_AT(struct gtm_pool, flap_half_life_ms),
     .max = DAY,
     .def = "1m"},
    {.key = "suppress",
     .doc = "from this count on an endpoint that recovers is held",
     .type = GTM_T_NUMBER,
     GTM_AT(struct gtm_pool, flap_suppress),
     .min = 1,
     .max = 1000,
     .def = "3"},
    {.key = "hold",
     .doc = "it is held until the count is half of that, but no longer than this",
     .type = GTM_T_DURATION,
     GTM_AT(struct gtm_pool, flap_hold_ms),
     .max = DAY,
     .def = "5m"},
};
static const struct gtm_table flap_table = {.title = "flap", GTM_FIELDS(flap_fields)};

static const struct gtm_field spillover_fields[] = {
    {.key = "low",
     .doc = "users come back when the utilisation of the region's endpoints is below this",
     .type = GTM_T_RATIO,
     .flags = GTM_F_REQUIRED,
     GTM_AT(struct gtm_pool, spill_low),
     .max = 10},
    {.key = "high",
     .doc = "users go to the next region while it is above this; 1 is full",
     .type = GTM_T_RATIO,
     .flags = GTM_F_REQUIRED,
     GTM_AT(struct gtm_pool, spill_high),
     .max = 10},
};
static const struct gtm_table spillover_table = {.title = "spillover",
                                                 GTM_FIELDS(spillover_fields)};

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
     .flags = GTM_F_SINGLE,
     .item = &address_item,
     .min = 1,
     .max = 2},
    {.key = "host",
     .doc = "its name, for CNAME, SRV, HTTPS and SVCB answers; without addresses only they can use "
            "the endpoint",
     .type = GTM_T_FORM,
     GTM_AT(struct gtm_endpoint, host),
     .form = &gtm_form_zone},
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
     .doc = "how its endpoints are checked",
     .type = GTM_T_LIST,
     .flags = GTM_F_SINGLE | GTM_F_UNIQUE,
     GTM_LIST_AT(struct gtm_pool, monitors, monitors_count),
     .item = &monitor_item,
     .max = GTM_POOL_MONITORS_MAX},
    {.key = "failback",
     .doc = "what happens when an endpoint recovers",
     .type = GTM_T_OBJECT,
     .flags = GTM_F_DEFAULTS,
     GTM_INLINE,
     .table = &failback_table},
    {.key = "require",
     .doc =
         "how many of the monitors must be healthy; with some but not all an endpoint that is up "
         "is degraded",
     .type = GTM_T_UINT,
     GTM_AT(struct gtm_pool, monitors_needed),
     .min = 1,
     .max = GTM_POOL_MONITORS_MAX,
     GTM_WORDS(require_words),
     .def = "all"},
    {.key = "degraded_weight",
     .doc = "the share of its weight that a degraded endpoint keeps",
     .type = GTM_T_RATIO,
     GTM_AT(struct gtm_pool, degraded_weight),
     .max = 1,
     .def = "0.5"},
    {.key = "flap",
     .doc = "how endpoints that fall again and again are held back",
     .type = GTM_T_OBJECT,
     .flags = GTM_F_DEFAULTS,
     GTM_INLINE,
     .table = &flap_table},
    {.key = "spillover",
     .doc = "when a region sheds users to the next one because it is full; needs load reports",
     .type = GTM_T_OBJECT,
     GTM_INLINE,
     .table = &spillover_table},
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
const struct gtm_table gtm_pool_table = {.title = "pool",
                                         GTM_FIELDS(pool_fields),
                                         .pos_offset = offsetof(struct gtm_pool, pos),
                                         .check = gtm_check_pool};

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

static const char *const route_keys[] = {"regions", "policy", NULL};
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
     .flags = GTM_F_SINGLE | GTM_F_UNIQUE,
     GTM_LIST_AT(struct gtm_route, regions, regions_count),
     .item = &region_item,
     .min = 1,
     .max = GTM_REGIONS_MAX},
    {.key = "policy",
     .doc = "instead of regions: answer as this policy does",
     .type = GTM_T_REF,
     GTM_AT(struct gtm_route, policy),
     .has_offset = offsetof(struct gtm_route, has_policy),
     .ref = GTM_REF_POLICY},
};
static const struct gtm_table route_table = {.title = "route",
                                             GTM_FIELDS(route_fields),
                                             .pos_offset = offsetof(struct gtm_route, pos),
                                             .one_of = route_keys,
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

static const struct gtm_field latency_fields[] = {
    {.key = "table",
     .doc = "the file with lines of NETWORK REGION MILLISECONDS, from the folder of this file",
     .type = GTM_T_FORM,
     .flags = GTM_F_REQUIRED,
     GTM_AT(struct gtm_policy, latency_file),
     .form = &gtm_form_path},
};
static const struct gtm_table latency_table = {.title = "latency", GTM_FIELDS(latency_fields)};

static const struct gtm_field policy_fields[] = {
    NAME_OF(struct gtm_policy, "the policy's name"),
    {.key = "pool",
     .doc = "whose endpoints answer; weighted shares users out among them by their weights",
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
    {.key = "latency",
     .doc = "latency: what has been measured; without it only a table that is pushed counts",
     .type = GTM_T_OBJECT,
     GTM_INLINE,
     .table = &latency_table},
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
     .doc = "weighted: the targets and their shares, instead of a pool",
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
