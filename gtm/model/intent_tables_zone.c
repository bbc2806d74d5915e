/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables of zones, their dynamic names and the servers they are transferred to and from. See
 * schema.h for what a table drives.
 */
#include "gtm/model/intent_tables.h"
#include "gtm/model/schema_forms.h"

#define SECOND 1000.0
#define DAY    (86400 * SECOND)

static const char *const role_words[] = {"writer", "reader"};

/* --- dynamic names --- */

static const struct gtm_field type_item = {.type = GTM_T_FORM, .form = &gtm_form_type};
static const struct gtm_field alpn_item = {.type = GTM_T_STRING, .max = 63};

static const char *const answer_keys[] = {"policy", "group", "alias", NULL};
static const struct gtm_field dynamic_name_fields[] = {
    {.key = "name",
     .doc = "the name, relative to the zone; '@' is the zone itself, '*.x' a wildcard",
     .type = GTM_T_FORM,
     .flags = GTM_F_REQUIRED,
     GTM_AT(struct gtm_dynamic_name, name),
     .form = &gtm_form_owner},
    {.key = "types",
     .doc = "record types that are answered dynamically; CNAME stands alone; default: A and AAAA",
     .type = GTM_T_LIST,
     .flags = GTM_F_SINGLE | GTM_F_UNIQUE,
     GTM_LIST_AT(struct gtm_dynamic_name, types, types_count),
     .item = &type_item,
     .min = 1,
     .max = GTM_TYPES_MAX},
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
    {.key = "alias",
     .doc = "another name of the zones served here, whose A and AAAA this one has: relative to "
            "this zone, or absolute with a final dot; unlike a CNAME it may stand at '@'",
     .type = GTM_T_FORM,
     GTM_AT(struct gtm_dynamic_name, alias),
     .form = &gtm_form_alias},
    {.key = "port",
     .doc = "SRV, HTTPS, SVCB: the service's port; SRV needs it",
     .type = GTM_T_UINT,
     GTM_AT(struct gtm_dynamic_name, service_port),
     .min = 1,
     .max = 65535},
    {.key = "priority",
     .doc = "SRV, HTTPS, SVCB: the lowest is tried first; default 1",
     .type = GTM_T_UINT,
     GTM_AT(struct gtm_dynamic_name, service_priority),
     .max = 65535},
    {.key = "alpn",
     .doc = "HTTPS, SVCB: the protocols that are spoken, such as h2 and h3",
     .type = GTM_T_LIST,
     .flags = GTM_F_SINGLE | GTM_F_UNIQUE,
     GTM_LIST_AT(struct gtm_dynamic_name, alpn, alpn_count),
     .item = &alpn_item,
     .min = 1,
     .max = 8},
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

/* --- other servers --- */

static const struct gtm_field peer_fields[] = {
    {.key = "address",
     .doc = "the server's address",
     .type = GTM_T_FORM,
     .flags = GTM_F_REQUIRED,
     GTM_AT(struct gtm_zone_peer, address),
     .form = &gtm_form_address},
    {.key = "port",
     .doc = "its port",
     .type = GTM_T_UINT,
     GTM_AT(struct gtm_zone_peer, port),
     .min = 1,
     .max = 65535,
     .def = "53"},
    {.key = "key",
     .doc = "the key that signs what is exchanged with it",
     .type = GTM_T_REF,
     GTM_AT(struct gtm_zone_peer, key),
     .has_offset = offsetof(struct gtm_zone_peer, has_key),
     .ref = GTM_REF_KEY},
};
static const struct gtm_table peer_table = {.title = "server",
                                            GTM_FIELDS(peer_fields),
                                            .pos_offset = offsetof(struct gtm_zone_peer, pos),
                                            .check = gtm_check_zone_peer};
static const struct gtm_field peer_item = {.type = GTM_T_OBJECT, .table = &peer_table};

static const struct gtm_field network_item = {.type = GTM_T_FORM, .form = &gtm_form_network};
static const struct gtm_field transfer_fields[] = {
    {.key = "networks",
     .doc = "who may transfer: from these networks; default: from anywhere",
     .type = GTM_T_LIST,
     .flags = GTM_F_SINGLE | GTM_F_UNIQUE,
     GTM_LIST_AT(struct gtm_transfer_rule, networks, networks_count),
     .item = &network_item,
     .min = 1,
     .max = 1000},
    {.key = "key",
     .doc = "and signed with this key; default: with any key or none",
     .type = GTM_T_REF,
     GTM_AT(struct gtm_transfer_rule, key),
     .has_offset = offsetof(struct gtm_transfer_rule, has_key),
     .ref = GTM_REF_KEY},
};
static const struct gtm_table transfer_table = {.title = "transfer rule",
                                                GTM_FIELDS(transfer_fields),
                                                .pos_offset =
                                                    offsetof(struct gtm_transfer_rule, pos),
                                                .check = gtm_check_transfer_rule};
static const struct gtm_field transfer_item = {.type = GTM_T_OBJECT, .table = &transfer_table};

/* --- zones --- */

static const char *const source_keys[] = {"file", "primaries", NULL};
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
     GTM_AT(struct gtm_zone_conf, file),
     .form = &gtm_form_path},
    {.key = "primaries",
     .doc = "instead of a file: the servers that it is transferred from; the first that answers is "
            "taken",
     .type = GTM_T_LIST,
     .flags = GTM_F_SINGLE,
     GTM_LIST_AT(struct gtm_zone_conf, primaries, primaries_count),
     .item = &peer_item,
     .min = 1,
     .max = GTM_ZONE_PEERS_MAX},
    {.key = "secondaries",
     .doc = "servers that are told of changes and may transfer the zone",
     .type = GTM_T_LIST,
     .flags = GTM_F_SINGLE,
     GTM_LIST_AT(struct gtm_zone_conf, secondaries, secondaries_count),
     .item = &peer_item,
     .max = GTM_ZONE_PEERS_MAX},
    {.key = "transfer",
     .doc = "who else may transfer the zone; default: nobody",
     .type = GTM_T_LIST,
     .flags = GTM_F_SINGLE,
     GTM_LIST_AT(struct gtm_zone_conf, transfer, transfer_count),
     .item = &transfer_item,
     .max = GTM_ZONE_PEERS_MAX},
    {.key = "names",
     .doc = "names that are answered by a policy, a group or as an alias",
     .type = GTM_T_LIST,
     GTM_LIST_AT(struct gtm_zone_conf, names, names_count),
     .item = &dynamic_name_item,
     .max = GTM_NAMES_MAX},
};
const struct gtm_table gtm_zone_table = {.title = "zone",
                                         GTM_FIELDS(zone_fields),
                                         .pos_offset = offsetof(struct gtm_zone_conf, pos),
                                         .one_of = source_keys,
                                         .check = gtm_check_zone};
