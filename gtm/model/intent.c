/* SPDX-License-Identifier: Apache-2.0
 *
 * From text to intent: read, parse by the tables, resolve names, check, count references. See
 * intent.h.
 */
#include "gtm/model/intent.h"

#include "gtm/base/map.h"
#include "gtm/base/mem.h"
#include "gtm/model/config_file.h"
#include "gtm/model/intent_later.h"
#include "gtm/model/intent_tables.h"
#include "gtm/model/manifest.h"

#include <stdlib.h>
#include <string.h>

bool gtm_monitor_kind_active(enum gtm_monitor_kind kind)
{
    return kind < GTM_MONITOR_KIND_COUNT && kind != GTM_MONITOR_POSTGRESQL &&
           kind != GTM_MONITOR_REDIS && kind != GTM_MONITOR_PROMETHEUS;
}

bool gtm_steer_active(enum gtm_steer steer)
{
    return steer < GTM_STEER_COUNT;
}

/* --- references --- */

struct gtm_intent *gtm_intent_ref(const struct gtm_intent *intent)
{
    struct gtm_intent *counted = (struct gtm_intent *)(uintptr_t)intent;
    __atomic_add_fetch(&counted->refs, 1, __ATOMIC_RELAXED);
    return counted;
}

static void later_free(struct gtm_intent_later *later)
{
    if (!later)
        return;
    gtm_json_free(later->kept);
    for (int i = 0; i < GTM_REF_KIND_COUNT; i++)
        gtm_map_free(later->names[i], NULL);
    gtm_free(later);
}

void gtm_intent_unref(struct gtm_intent *intent)
{
    if (!intent || __atomic_sub_fetch(&intent->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (size_t i = 0; i < intent->pools_count; i++)
        gtm_free(intent->pools[i].by_name);
    gtm_schema_fini(&gtm_intent_table, intent);
    for (size_t i = 0; i < intent->inactive_count; i++)
        gtm_free(intent->inactive[i].name);
    gtm_free(intent->inactive);
    gtm_free(intent->path);
    later_free(intent->later);
    gtm_free(intent);
}

/* --- parsing --- */

static struct gtm_intent *new_intent(const char *path, const char *text, size_t len)
{
    struct gtm_intent *intent = gtm_calloc(1, sizeof(*intent));
    if (!intent)
        return NULL;
    intent->refs = 1;
    intent->path = gtm_strdup(path);
    intent->later = gtm_calloc(1, sizeof(*intent->later));
    if (intent->later)
        intent->later->kept = gtm_json_object();
    if (intent->path && intent->later && intent->later->kept &&
        gtm_sha256_hex(text, len, intent->sha256))
        return intent;
    gtm_intent_unref(intent);
    return NULL;
}

static int compare_names(const void *a, const void *b, void *endpoints)
{
    const struct gtm_endpoint *list = endpoints;
    return strcmp(list[*(const uint32_t *)a].name, list[*(const uint32_t *)b].name);
}

/* Endpoints are looked for by name all the time while a cluster works. Without memory they are
 * looked at one by one. */
static void sort_endpoints(struct gtm_pool *pool)
{
    size_t count = pool->endpoints_count;
    pool->by_name = gtm_calloc(count + 1, sizeof(*pool->by_name));
    for (size_t i = 0; pool->by_name && i < count; i++) {
        pool->by_name[i] = (uint32_t)i;
        if (pool->endpoints[i].name)
            continue;
        gtm_free(pool->by_name); /* a wrong file: there are findings */
        pool->by_name = NULL;
    }
    if (pool->by_name)
        qsort_r(pool->by_name, count, sizeof(*pool->by_name), compare_names, pool->endpoints);
}

/* JSON builders remember a failed allocation only by not printing. */
static bool kept_is_whole(const struct gtm_intent *intent)
{
    char *text = gtm_json_print(intent->later->kept, false);
    bool whole = text != NULL;
    gtm_free(text);
    return whole;
}

static void parse_root(struct gtm_parse *p, struct gtm_intent *intent,
                       const struct gtm_yaml_node *root)
{
    p->keep = intent->later->kept;
    gtm_schema_parse(p, &gtm_intent_table, root, intent, NULL);
    p->pools = intent->pools;
    if (!p->nomem)
        gtm_schema_resolve(p);
    if (!p->nomem)
        gtm_intent_resolve_paths(p, intent);
    if (!p->nomem)
        gtm_check_intent(p, intent);
    if (!p->nomem)
        gtm_check_policies(p, intent);
    if (!p->nomem)
        gtm_check_placement(p, intent, root);
    gtm_check_drills(p, root);
    if (!p->nomem && !gtm_intent_list_inactive(intent, root))
        p->nomem = true;
    for (size_t i = 0; i < intent->pools_count; i++)
        sort_endpoints(&intent->pools[i]);
    if (!p->nomem && !kept_is_whole(intent))
        p->nomem = true;
    for (int i = 0; i < GTM_REF_KIND_COUNT; i++) { /* the names outlive the parse */
        intent->later->names[i] = p->registries[i].index;
        p->registries[i].index = NULL;
    }
}

static void *build(struct gtm_parse *p, const struct gtm_config_text *text)
{
    struct gtm_intent *intent = new_intent(p->file, text->text, text->len);
    p->nomem |= intent == NULL;
    if (intent)
        parse_root(p, intent, text->root);
    return intent;
}

static void discard(void *intent)
{
    gtm_intent_unref(intent);
}

static const struct gtm_config_kind file_kind = {GTM_YAML_MAX_BYTES, build, discard, NULL};

struct gtm_intent *gtm_intent_parse(const char *path, const char *text, size_t len,
                                    struct gtm_diags *diags)
{
    return gtm_config_parse(&file_kind, path, text, len, diags);
}

struct gtm_intent *gtm_intent_load(const char *path, struct gtm_diags *diags)
{
    return gtm_config_load(&file_kind, path, diags);
}

struct gtm_intent *gtm_intent_load_at(const char *path, const char *local_dir,
                                      struct gtm_diags *diags)
{
    struct gtm_config_kind kind = file_kind;
    kind.local_dir = local_dir;
    return gtm_config_load(&kind, path, diags);
}

/* --- names --- */

int gtm_intent_find(const struct gtm_intent *intent, enum gtm_ref_kind kind, const char *name)
{
    const struct gtm_map *map = intent->later->names[kind];
    return map ? (int)(uintptr_t)gtm_map_get(map, name) - 1 : -1;
}

int gtm_intent_region(const struct gtm_intent *intent, const char *name)
{
    return gtm_intent_find(intent, GTM_REF_REGION, name);
}

int gtm_intent_pool(const struct gtm_intent *intent, const char *name)
{
    return gtm_intent_find(intent, GTM_REF_POOL, name);
}

int gtm_intent_policy(const struct gtm_intent *intent, const char *name)
{
    return gtm_intent_find(intent, GTM_REF_POLICY, name);
}

int gtm_intent_monitor(const struct gtm_intent *intent, const char *name)
{
    return gtm_intent_find(intent, GTM_REF_MONITOR, name);
}

int gtm_intent_zone(const struct gtm_intent *intent, const char *name)
{
    return gtm_intent_find(intent, GTM_REF_ZONE, name);
}

static int find_endpoint(const struct gtm_pool *pool, const char *name)
{
    size_t low = 0, high = pool->endpoints_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(pool->endpoints[pool->by_name[middle]].name, name);
        if (order == 0)
            return (int)pool->by_name[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

int gtm_pool_endpoint(const struct gtm_pool *pool, const char *name)
{
    if (pool->by_name)
        return find_endpoint(pool, name);
    for (size_t i = 0; i < pool->endpoints_count; i++) {
        const char *other = pool->endpoints[i].name;
        if (other && strcmp(other, name) == 0)
            return (int)i;
    }
    return -1;
}

const struct gtm_json *gtm_intent_section(const struct gtm_intent *intent, const char *key)
{
    return gtm_json_get(intent->later->kept, key);
}

/* --- what is not active yet --- */

struct inactive_list {
    struct gtm_intent *intent;
    size_t cap;
    bool failed;
};

static void add_inactive(struct inactive_list *list, const char *kind, const char *name,
                         struct gtm_srcpos pos)
{
    struct gtm_intent *intent = list->intent;
    void *items = intent->inactive;
    char *copy = gtm_strdup(name);
    int rc =
        copy ? gtm_grow(&items, &list->cap, intent->inactive_count + 1, sizeof(*intent->inactive))
             : GTM_ENOMEM;
    intent->inactive = items;
    if (rc != GTM_OK) {
        gtm_free(copy);
        list->failed = true;
        return;
    }
    intent->inactive[intent->inactive_count++] = (struct gtm_inactive){kind, copy, pos};
}

static void add_sections(struct inactive_list *list, const struct gtm_yaml_node *root)
{
    static const char *const sections[] = {"groups",    "plans",  "drills", "signals",
                                           "calendars", "fleets", "alerts"};
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        const struct gtm_yaml_node *section = gtm_yaml_get(root, sections[i]);
        const struct gtm_yaml_node *n =
            section && section->kind == GTM_YAML_LIST ? section->first : NULL;
        for (; n && n->index < GTM_LATER_MAX; n = n->next) {
            char number[16];
            snprintf(number, sizeof(number), "%u", n->index + 1);
            add_inactive(list, sections[i], gtm_parse_text(n, "name", number),
                         (struct gtm_srcpos){n->line, n->col});
        }
    }
    const struct gtm_yaml_node *capacity = gtm_yaml_get(root, "capacity");
    if (capacity)
        add_inactive(list, "capacity", "capacity",
                     (struct gtm_srcpos){capacity->key_line, capacity->key_col});
}

static void add_groups_names(struct inactive_list *list, const struct gtm_zone_conf *zone)
{
    for (size_t i = 0; i < zone->names_count && !list->failed; i++) {
        const struct gtm_dynamic_name *name = &zone->names[i];
        if (name->has_group && name->name)
            add_inactive(list, "name of a group", name->name, name->pos);
    }
}

bool gtm_intent_list_inactive(struct gtm_intent *intent, const struct gtm_yaml_node *root)
{
    static const char *const monitor_kinds[GTM_MONITOR_KIND_COUNT] = {
        "monitor kind http",  "monitor kind https", "monitor kind tcp",  "monitor kind tls",
        "monitor kind dns",   "monitor kind icmp",  "monitor kind grpc", "monitor kind postgresql",
        "monitor kind redis", "monitor kind exec",  "monitor kind push", "monitor kind prometheus"};
    struct inactive_list list = {.intent = intent};
    for (size_t i = 0; i < intent->monitors_count && !list.failed; i++) {
        const struct gtm_monitor *m = &intent->monitors[i];
        if (!gtm_monitor_kind_active(m->kind) && m->name)
            add_inactive(&list, monitor_kinds[m->kind], m->name, m->pos);
    }
    for (size_t i = 0; i < intent->zones_count && !list.failed; i++)
        add_groups_names(&list, &intent->zones[i]);
    add_sections(&list, root);
    return !list.failed;
}
