/* SPDX-License-Identifier: Apache-2.0
 *
 * A strict YAML 1.2 subset as a tree of nodes with their places. It knows syntax only; what keys
 * and values mean is schema.h's business. Scalars stay text (plus "was it quoted"), so `country:
 * NO` stays "NO". Refused, each with a finding: duplicate keys, anchors, aliases, tags, several
 * documents, keys that are not plain words, nesting beyond GTM_YAML_MAX_DEPTH, more than
 * GTM_YAML_MAX_BYTES or GTM_YAML_MAX_NODES, bytes that are not UTF-8. One tree belongs to one
 * thread.
 */
#ifndef GTM_MODEL_YAML_H
#define GTM_MODEL_YAML_H

#include "gtm/base/diag.h"

#include <stdbool.h>
#include <stddef.h>

#define GTM_YAML_MAX_DEPTH 32
#define GTM_YAML_MAX_BYTES (64u << 20)
#define GTM_YAML_MAX_NODES 4000000u /* bounds the tree of a file of tiny values: 320 MB */

enum gtm_yaml_kind {
    GTM_YAML_SCALAR = 0,
    GTM_YAML_LIST,
    GTM_YAML_MAP,
    GTM_YAML_BAD /* was refused and reported; readers skip it without another finding */
};

struct gtm_yaml_node {
    enum gtm_yaml_kind kind;
    bool quoted;        /* scalars: quotes, or a block text; else plain */
    unsigned line, col; /* 1-based; col counts characters */
    const char *text;   /* scalars, NUL-terminated, no NUL inside */
    size_t len;
    const char *key; /* members of a map: the key; NULL in lists */
    unsigned key_line, key_col;
    unsigned index; /* among its siblings, from 0 */
    size_t count;   /* children */
    struct gtm_yaml_node *first, *next;
};

struct gtm_yaml; /* owns all nodes and texts */

/* Parses one document. Findings go to diags under the name `file`. *ret_root is NULL for an empty
 * document. NULL when there is no usable tree at all (a syntax error, size, encoding, memory): then
 * diags has at least one error. A tree with smaller faults is returned so that its other errors can
 * be found too: check diags->errors. */
struct gtm_yaml *gtm_yaml_parse(const char *file, const char *text, size_t len,
                                struct gtm_diags *diags, const struct gtm_yaml_node **ret_root);
void gtm_yaml_free(struct gtm_yaml *yaml); /* NULL is fine */

/* The member of a map, or NULL (also when node is NULL or no map). */
const struct gtm_yaml_node *gtm_yaml_get(const struct gtm_yaml_node *node, const char *key);

/* True when YAML's core schema would read this scalar as null, a boolean or a number, not as text
 * (plain scalars only). */
bool gtm_yaml_is_null(const struct gtm_yaml_node *node);
bool gtm_yaml_is_bool(const struct gtm_yaml_node *node);
bool gtm_yaml_is_number(const struct gtm_yaml_node *node);

#endif
