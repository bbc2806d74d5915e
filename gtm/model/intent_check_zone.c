/* SPDX-License-Identifier: Apache-2.0
 *
 * Checks of one zone, dynamic name or other server that a table cannot express, made while it is
 * parsed. See intent_tables.h.
 */
#include "gtm/base/mem.h"
#include "gtm/model/intent_tables.h"

#include <string.h>

/* --- dynamic names --- */

void gtm_drop_final_dot(char *name)
{
    size_t len = name ? strlen(name) : 0;
    if (len > 1 && name[len - 1] == '.')
        name[len - 1] = '\0';
}

static bool has_type(const struct gtm_dynamic_name *name, uint16_t type)
{
    for (size_t i = 0; i < name->types_count; i++) {
        if (name->types[i] == type)
            return true;
    }
    return false;
}

static void default_types(struct gtm_parse *p, struct gtm_dynamic_name *name)
{
    static const uint16_t both[2] = {GTM_TYPE_A, GTM_TYPE_AAAA};
    name->types = gtm_memdup(both, sizeof(both));
    name->types_count = name->types ? 2 : 0;
    p->nomem |= name->types == NULL;
}

/* Where the list of types stands. */
static struct gtm_srcpos types_place(const struct gtm_yaml_node *node)
{
    const struct gtm_yaml_node *types = gtm_yaml_get(node, "types");
    types = types ? types : node;
    return (struct gtm_srcpos){types->line, types->col};
}

static void check_types(struct gtm_parse *p, const struct gtm_yaml_node *node,
                        const struct gtm_dynamic_name *name)
{
    if (has_type(name, GTM_TYPE_CNAME) && name->types_count > 1)
        gtm_parse_error_at(p, types_place(node),
                           "name '%s': a CNAME needs to be the only type at its name", name->name);
    if (has_type(name, GTM_TYPE_CNAME) && strcmp(name->name, "@") == 0)
        gtm_parse_error_at(
            p, types_place(node),
            "name '@': a CNAME does not fit the top of a zone, which has an SOA: use "
            "'alias'");
    for (size_t i = 0; i < name->types_count; i++) {
        bool address = name->types[i] == GTM_TYPE_A || name->types[i] == GTM_TYPE_AAAA;
        if (!address && !name->has_policy) {
            gtm_parse_error_at(p, types_place(node),
                               "name '%s': only A and AAAA are answered without a policy; other "
                               "types need one",
                               name->name);
            break;
        }
    }
}

static void check_service(struct gtm_parse *p, const struct gtm_yaml_node *node,
                          struct gtm_dynamic_name *name)
{
    bool srv = has_type(name, GTM_TYPE_SRV);
    bool binding = has_type(name, GTM_TYPE_HTTPS) || has_type(name, GTM_TYPE_SVCB);
    const struct gtm_yaml_node *port = gtm_yaml_get(node, "port");
    const struct gtm_yaml_node *priority = gtm_yaml_get(node, "priority");
    const struct gtm_yaml_node *alpn = gtm_yaml_get(node, "alpn");
    if (srv && !port)
        gtm_parse_error_at(p, name->pos, "name '%s': the type SRV needs a 'port'", name->name);
    if (port && !srv && !binding)
        gtm_parse_key_error(p, port, "name '%s': 'port' is only used with SRV, HTTPS and SVCB",
                            name->name);
    if (priority && !srv && !binding)
        gtm_parse_key_error(
            p, priority, "name '%s': 'priority' is only used with SRV, HTTPS and SVCB", name->name);
    if (alpn && !binding)
        gtm_parse_key_error(p, alpn, "name '%s': 'alpn' is only used with HTTPS and SVCB",
                            name->name);
    if (priority && binding && name->service_priority == 0)
        gtm_parse_error(p, priority,
                        "name '%s': HTTPS and SVCB need a 'priority' of at least 1 (0 would be an "
                        "alias, RFC 9460)",
                        name->name);
    if (!priority)
        name->service_priority = 1;
}

void gtm_check_dynamic_name(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj)
{
    struct gtm_dynamic_name *name = obj;
    if (!name)
        return;
    const struct gtm_yaml_node *role = gtm_yaml_get(node, "role");
    const struct gtm_yaml_node *max_lag = gtm_yaml_get(node, "max_lag");
    if (name->has_group && !role)
        gtm_parse_error_at(p, name->pos, "name '%s': a group needs a 'role': writer or reader",
                           name->name);
    if (!name->has_group && role)
        gtm_parse_key_error(p, role, "name '%s': 'role' is only used with a group", name->name);
    if (max_lag && strcmp(gtm_parse_text(node, "role", ""), "reader") != 0)
        gtm_parse_key_error(p, max_lag, "name '%s': 'max_lag' is only used with role: reader",
                            name->name);
    name->reader = strcmp(gtm_parse_text(node, "role", ""), "reader") == 0;
    if (!name->types)
        default_types(p, name);
    check_types(p, node, name);
    check_service(p, node, name);
}

/* --- zones and other servers --- */

void gtm_check_zone_peer(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj)
{
    const struct gtm_zone_peer *peer = obj;
    const struct gtm_yaml_node *address = gtm_yaml_get(node, "address");
    const char *why = peer ? gtm_address_unusable(&peer->address) : NULL;
    if (why)
        gtm_parse_error(p, address, "server: the address %s %s", address->text, why);
}

void gtm_check_transfer_rule(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj)
{
    (void)obj;
    if (node->count == 0)
        gtm_parse_error(p, node,
                        "a transfer rule needs 'networks' or a 'key': an empty one would "
                        "let everybody transfer the zone");
}

void gtm_check_zone(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj)
{
    (void)node;
    const struct gtm_zone_conf *zone = obj;
    for (size_t i = 0; zone && i < zone->secondaries_count; i++) {
        for (size_t k = 0; k < i; k++) {
            const struct gtm_zone_peer *a = &zone->secondaries[i], *b = &zone->secondaries[k];
            if (a->port == b->port && memcmp(&a->address, &b->address, sizeof(a->address)) == 0)
                gtm_parse_error_at(p, a->pos, "zone '%s' names a secondary twice", zone->name);
        }
    }
}
