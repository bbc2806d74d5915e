/* SPDX-License-Identifier: Apache-2.0
 *
 * See intent_objects.h.
 */
#include "gtm/model/intent_objects.h"

#include "gtm/base/mem.h"

#include <stdint.h>
#include <string.h>

const char *gtm__node_name(const struct gtm_yaml_node *node)
{
    const struct gtm_yaml_node *name =
        node->kind == GTM_YAML_MAP ? gtm_yaml_get(node, "name") : NULL;
    return name && name->kind == GTM_YAML_SCALAR ? name->text : NULL;
}

static bool maps_equal(const struct gtm_yaml_node *a, const struct gtm_yaml_node *b)
{
    const struct gtm_yaml_node *other = b->first; /* usually the same order */
    for (const struct gtm_yaml_node *n = a->first; n; n = n->next) {
        if (!other || strcmp(other->key, n->key) != 0)
            other = gtm_yaml_get(b, n->key);
        if (!other || !gtm__node_equal(n, other))
            return false;
        other = other->next;
    }
    return true;
}

bool gtm__node_equal(const struct gtm_yaml_node *a, const struct gtm_yaml_node *b)
{
    if (a->kind != b->kind || a->count != b->count)
        return false;
    if (a->kind == GTM_YAML_SCALAR)
        return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
    if (a->kind == GTM_YAML_MAP)
        return maps_equal(a, b);
    const struct gtm_yaml_node *other = b->first;
    for (const struct gtm_yaml_node *n = a->first; n; n = n->next, other = other->next)
        if (!gtm__node_equal(n, other))
            return false;
    return true;
}

char *gtm__object_key(const struct gtm__object *object, unsigned again)
{
    char number[16] = "";
    if (again)
        snprintf(number, sizeof(number), " %u", again + 1);
    return gtm_asprintf("%s %s%s%s%s", object->kind, object->zone ? object->zone : "",
                        object->zone ? "/" : "", object->name, number);
}

struct gtm__object *gtm__objects_find(const struct gtm__objects *objects, const char *key)
{
    uintptr_t at = objects->map ? (uintptr_t)gtm_map_get(objects->map, key) : 0;
    return at ? &objects->items[at - 1] : NULL;
}

static int add(struct gtm__objects *objects, const struct gtm__object *object)
{
    void *items = objects->items;
    int rc = gtm_grow(&items, &objects->cap, objects->count + 1, sizeof(*objects->items));
    objects->items = items;
    for (unsigned again = 0; rc == GTM_OK; again++) {
        char *key = gtm__object_key(object, again);
        bool there = key && gtm_map_get(objects->map, key);
        if (!key)
            rc = GTM_ENOMEM;
        else if (!there)
            rc = gtm_map_put(objects->map, key, (void *)(uintptr_t)(objects->count + 1), NULL);
        gtm_free(key);
        if (!there)
            break;
    }
    if (rc == GTM_OK)
        objects->items[objects->count++] = *object;
    return rc;
}

static bool all_named(const struct gtm_yaml_node *list)
{
    for (const struct gtm_yaml_node *n = list->first; n; n = n->next)
        if (!gtm__node_name(n))
            return false;
    return list->first != NULL;
}

static int add_names(struct gtm__objects *objects, const struct gtm_yaml_node *zone)
{
    const struct gtm_yaml_node *names = gtm_yaml_get(zone, "names");
    int rc = GTM_OK;
    if (!names || names->kind != GTM_YAML_LIST)
        return rc;
    for (const struct gtm_yaml_node *n = names->first; n && rc == GTM_OK; n = n->next)
        if (gtm__node_name(n))
            rc = add(objects, &(struct gtm__object){.kind = "names",
                                                    .name = gtm__node_name(n),
                                                    .zone = gtm__node_name(zone),
                                                    .node = n,
                                                    .list = names});
    return rc;
}

int gtm__objects_collect(struct gtm__objects *objects, const struct gtm_yaml_node *root)
{
    int rc = GTM_OK;
    objects->map = gtm_map_new();
    if (!objects->map)
        return GTM_ENOMEM;
    const struct gtm_yaml_node *section = root && root->kind == GTM_YAML_MAP ? root->first : NULL;
    for (; section && rc == GTM_OK; section = section->next) {
        if (section->kind == GTM_YAML_LIST && !section->first)
            continue;
        if (section->kind != GTM_YAML_LIST || !all_named(section)) {
            rc = add(objects, &(struct gtm__object){
                                  .kind = section->key, .name = section->key, .node = section});
            continue;
        }
        bool zones = strcmp(section->key, "zones") == 0;
        for (const struct gtm_yaml_node *n = section->first; n && rc == GTM_OK; n = n->next) {
            rc = add(objects, &(struct gtm__object){.kind = section->key,
                                                    .name = gtm__node_name(n),
                                                    .node = n,
                                                    .list = section});
            if (rc == GTM_OK && zones)
                rc = add_names(objects, n);
        }
    }
    return rc;
}

void gtm__objects_fini(struct gtm__objects *objects)
{
    gtm_map_free(objects->map, NULL);
    gtm_free(objects->items);
    *objects = (struct gtm__objects){0};
}
