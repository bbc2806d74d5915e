/* SPDX-License-Identifier: Apache-2.0
 *
 * Internal to node*.c: the parts of the node file's table, and short initialisers for its fields.
 */
#ifndef GTM_MODEL_NODE_TABLES_H
#define GTM_MODEL_NODE_TABLES_H

#include "gtm/model/intent_tables.h"
#include "gtm/model/later_fields.h"
#include "gtm/model/node.h"
#include "gtm/model/schema_forms.h"

#define NODE_TEXT(name, f, member, text_form, initial, about)               \
    {                                                                       \
        .key = name, .doc = about, .type = GTM_T_FORM, .flags = f,          \
        GTM_AT(struct gtm_node, member), .form = &text_form, .def = initial \
    }
#define SECTION(name, f, section_table, about)                                   \
    {                                                                            \
        .key = name, .doc = about, .type = GTM_T_OBJECT, .flags = f, GTM_INLINE, \
        .table = &section_table                                                  \
    }

/* The section `dns`; its object is struct gtm_node. */
extern const struct gtm_table gtm_node_dns_table;
/* The sections `etcd` and `api`; likewise. */
extern const struct gtm_table gtm_node_etcd_table, gtm_node_api_table;

/* Where a section or a key of it stands; the file's start when it does not. key may be NULL. */
struct gtm_srcpos gtm_node_place(const struct gtm_yaml_node *root, const char *section,
                                 const char *key);
/* What is wrong between the keys of `etcd` and `api`. */
void gtm_node_check_cluster(struct gtm_parse *p, const struct gtm_yaml_node *root,
                            const struct gtm_node *node);

#endif
