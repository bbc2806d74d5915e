/* SPDX-License-Identifier: Apache-2.0
 *
 * The objects of an intent's YAML tree, by kind and name, for what compares and edits texts. Only
 * intent_diff.c, intent_edit.c and intent_objects.c include it. Pure; one thread.
 */
#ifndef GTM_MODEL_INTENT_OBJECTS_H
#define GTM_MODEL_INTENT_OBJECTS_H

#include "gtm/base/map.h"
#include "gtm/model/yaml.h"

struct gtm__object {
    const char *kind;                 /* "pools", "names"; of the tree, or constant */
    const char *name;                 /* of the tree */
    const char *zone;                 /* of "names", else NULL */
    const struct gtm_yaml_node *node; /* a map, or the whole section */
    const struct gtm_yaml_node *list; /* it is an element of, or NULL: the section is the object */
    bool taken;                       /* scratch */
};
struct gtm__objects {
    struct gtm__object *items;
    size_t count, cap;
    struct gtm_map *map; /* "kind NAME" → items + index + 1 */
};
/* Collects; root may be NULL. 0 or GTM_ENOMEM. */
int gtm__objects_collect(struct gtm__objects *objects,
                         const struct gtm_yaml_node *root) GTM_MUST_CHECK;
void gtm__objects_fini(struct gtm__objects *objects);
struct gtm__object *gtm__objects_find(const struct gtm__objects *objects, const char *key);
/* "pools www", "names example.com/www"; *again counts equal ones. New; NULL: out of memory. */
char *gtm__object_key(const struct gtm__object *object, unsigned again);
/* The `name` of a map, or NULL. */
const char *gtm__node_name(const struct gtm_yaml_node *node);
/* Same content: texts, keys in any order, elements in order. */
bool gtm__node_equal(const struct gtm_yaml_node *a, const struct gtm_yaml_node *b);

#endif
