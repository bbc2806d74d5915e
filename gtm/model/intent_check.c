/* SPDX-License-Identifier: Apache-2.0
 *
 * Checks of regions, pools and zones that need the whole file, after all names are known: what is
 * defined twice, what nobody can reach, and how DNS names add up. See intent_tables.h.
 */
#include "gtm/base/fs.h"
#include "gtm/base/map.h"
#include "gtm/base/mem.h"
#include "gtm/model/config_file.h"
#include "gtm/model/intent_tables.h"

#include <string.h>

#define DNS_NAME_MAX 253

static void lower(char *text)
{
    for (; *text; text++) {
        if (*text >= 'A' && *text <= 'Z')
            *text = (char)(*text - 'A' + 'a');
    }
}

/* --- regions and vantages --- */

static void fill_vantages(struct gtm_parse *p, struct gtm_intent *intent)
{
    if (intent->vantages_count > 0 || intent->regions_count == 0)
        return;
    intent->vantages = gtm_calloc(intent->regions_count, sizeof(*intent->vantages));
    if (!intent->vantages) {
        p->nomem = true;
        return;
    }
    intent->vantages_count = intent->regions_count;
    for (size_t i = 0; i < intent->regions_count; i++)
        intent->vantages[i] = (unsigned)i;
}

/* A region that is named as a vantage is a witness. */
static void warn_empty_regions(struct gtm_parse *p, const struct gtm_intent *intent)
{
    bool used[GTM_REGIONS_MAX] = {false};
    for (size_t i = 0; i < intent->vantages_count; i++) {
        if (intent->vantages[i] < GTM_REGIONS_MAX)
            used[intent->vantages[i]] = true;
    }
    for (size_t i = 0; i < intent->pools_count; i++) {
        const struct gtm_pool *pool = &intent->pools[i];
        for (size_t e = 0; e < pool->endpoints_count; e++) {
            if (pool->endpoints[e].region < GTM_REGIONS_MAX)
                used[pool->endpoints[e].region] = true;
        }
    }
    for (size_t i = 0; i < intent->regions_count; i++) {
        const struct gtm_region *region = &intent->regions[i];
        if (!used[i] && region->name && intent->pools_count > 0)
            gtm_parse_warn_at(p, region->pos, "region '%s' has no endpoint", region->name);
    }
}

/* --- pools --- */

static void warn_same_address(struct gtm_parse *p, const struct gtm_pool *pool)
{
    struct gtm_map *seen = gtm_map_new();
    for (size_t i = 0; seen && i < pool->endpoints_count; i++) {
        const struct gtm_endpoint *e = &pool->endpoints[i];
        char key[40] = "";
        for (unsigned b = 0; e->name && b < 4 && e->has_v4; b++)
            snprintf(key + b * 2, 3, "%02x", ((const uint8_t *)&e->v4)[b]);
        for (unsigned b = 0; e->name && b < 16 && e->has_v6 && !e->has_v4; b++)
            snprintf(key + b * 2, 3, "%02x", e->v6.s6_addr[b]);
        const char *first = key[0] ? gtm_map_get(seen, key) : NULL;
        if (first)
            gtm_parse_warn_at(p, e->pos, "endpoints '%s' and '%s' of pool '%s' share an address",
                              first, e->name, pool->name);
        else if (key[0] && gtm_map_put(seen, key, e->name, NULL) != GTM_OK)
            p->nomem = true;
    }
    p->nomem |= seen == NULL;
    gtm_map_free(seen, NULL);
}

/* Not a warning: the file is right, only this build is behind it. */
static void note_unwatched(struct gtm_parse *p, const struct gtm_intent *intent,
                           const struct gtm_pool *pool)
{
    for (size_t i = 0; i < pool->monitors_count; i++) {
        unsigned m = pool->monitors[i];
        if (m >= intent->monitors_count || gtm_monitor_kind_active(intent->monitors[m].kind))
            return;
    }
    gtm_diags_add(p->diags, GTM_SEV_NOTE, p->file, pool->pos.line, pool->pos.col,
                  "pool '%s': none of its monitors is of a kind that is active yet, so its "
                  "endpoints are never seen down",
                  pool->name);
}

/* Utilisation is what the load says, or requests a second by what an endpoint can serve. */
static void warn_spillover(struct gtm_parse *p, const struct gtm_intent *intent,
                           const struct gtm_pool *pool)
{
    bool capacities = true;
    for (size_t i = 0; i < pool->endpoints_count; i++)
        capacities &= pool->endpoints[i].capacity_requests_per_s > 0;
    if (gtm_pool_reports(intent, pool, GTM_LOAD_LOAD) ||
        (capacities && gtm_pool_reports(intent, pool, GTM_LOAD_REQUESTS_PER_S)))
        return;
    gtm_parse_warn_at(p, pool->pos,
                      "pool '%s' never spills over: no monitor of it has 'load: {load: …}', or "
                      "'load: {requests_per_s: …}' with the capacity of every endpoint",
                      pool->name);
}

static void warn_unchecked(struct gtm_parse *p, const struct gtm_pool *pool)
{
    for (size_t i = 0; i < pool->endpoints_count; i++) {
        const struct gtm_endpoint *e = &pool->endpoints[i];
        if (e->host && e->name && !e->has_v4 && !e->has_v6) {
            gtm_parse_warn_at(p, e->pos,
                              "endpoint '%s' of pool '%s' has no addresses: it is never seen down",
                              e->name, pool->name);
            return; /* once for the pool is enough */
        }
    }
}

static void check_pool(struct gtm_parse *p, const struct gtm_intent *intent,
                       const struct gtm_pool *pool)
{
    uint64_t weight = 0;
    for (size_t i = 0; i < pool->endpoints_count; i++)
        weight += pool->endpoints[i].weight;
    if (!pool->name || pool->endpoints_count == 0)
        return;
    if (pool->monitors_count == 0)
        gtm_parse_warn_at(p, pool->pos,
                          "pool '%s' has no monitors: its endpoints are never seen down",
                          pool->name);
    else
        note_unwatched(p, intent, pool);
    if (pool->monitors_count > 0)
        warn_unchecked(p, pool);
    if (pool->spill_high > 0)
        warn_spillover(p, intent, pool);
    if (weight == 0)
        gtm_parse_warn_at(p, pool->pos, "pool '%s': all weights are 0", pool->name);
    if (pool->endpoints_count > 1)
        warn_same_address(p, pool);
}

/* --- zones --- */

static void check_names(struct gtm_parse *p, const struct gtm_zone_conf *zone)
{
    struct gtm_map *seen = gtm_map_new();
    for (size_t i = 0; seen && i < zone->names_count && !p->nomem; i++) {
        struct gtm_dynamic_name *name = &zone->names[i];
        if (!name->name)
            continue;
        lower(name->name);
        if (name->alias)
            lower(name->alias);
        const struct gtm_dynamic_name *first = gtm_map_get(seen, name->name);
        if (first)
            gtm_parse_error_at(p, name->pos,
                               "the name '%s' is in zone '%s' twice (first at line %u)", name->name,
                               zone->name, first->pos.line);
        else if (gtm_map_put(seen, name->name, name, NULL) != GTM_OK)
            p->nomem = true;
        if (strcmp(name->name, "@") != 0 &&
            strlen(name->name) + 1 + strlen(zone->name) > DNS_NAME_MAX)
            gtm_parse_error_at(p, name->pos,
                               "the name '%.40s…' in zone '%s' has more than %d characters",
                               name->name, zone->name, DNS_NAME_MAX);
    }
    p->nomem |= seen == NULL;
    gtm_map_free(seen, NULL);
}

static bool register_zone(struct gtm_parse *p, struct gtm_registry *zones,
                          const struct gtm_intent *intent, size_t i)
{
    const struct gtm_zone_conf *zone = &intent->zones[i];
    int first = gtm_registry_find(zones, zone->name);
    if (first >= 0)
        gtm_parse_error_at(p, zone->pos, "zone '%s' is defined twice (first at line %u)",
                           zone->name, intent->zones[first].pos.line);
    return first >= 0 ||
           gtm_map_put(zones->index, zone->name, (void *)(uintptr_t)(i + 1), NULL) == GTM_OK;
}

static void check_zones(struct gtm_parse *p, struct gtm_intent *intent)
{
    struct gtm_registry *zones = &p->registries[GTM_REF_ZONE];
    zones->index = gtm_map_new();
    p->nomem |= !zones->index;
    for (size_t i = 0; i < intent->zones_count && !p->nomem; i++) {
        struct gtm_zone_conf *zone = &intent->zones[i];
        if (!zone->name)
            continue;
        lower(zone->name);
        gtm_drop_final_dot(zone->name);
        p->nomem |= !register_zone(p, zones, intent, i);
        if (!p->nomem)
            check_names(p, zone);
    }
}

/* --- the whole --- */

void gtm_intent_resolve_paths(struct gtm_parse *p, struct gtm_intent *intent)
{
    char *dir = gtm_fs_dirname(p->file);
    const char *local = p->local_dir ? p->local_dir : dir;
    p->nomem |= dir == NULL;
    for (size_t i = 0; i < intent->keys_count && !p->nomem; i++)
        gtm_config_resolve(p, local, &intent->keys[i].secret_file);
    for (size_t i = 0; i < intent->monitors_count && !p->nomem; i++) {
        struct gtm_monitor *m = &intent->monitors[i];
        gtm_config_resolve(p, local, &m->tls_ca);
        gtm_config_resolve(p, local, &m->tls_cert);
        gtm_config_resolve(p, local, &m->tls_key);
        gtm_config_resolve(p, local, &m->push_token);
    }
    for (size_t i = 0; i < intent->policies_count && !p->nomem; i++)
        gtm_config_resolve(p, dir, &intent->policies[i].latency_file);
    for (size_t i = 0; i < intent->zones_count && !p->nomem; i++)
        gtm_config_resolve(p, dir, &intent->zones[i].file);
    gtm_free(dir);
}

void gtm_check_intent(struct gtm_parse *p, struct gtm_intent *intent)
{
    warn_empty_regions(p, intent); /* before the default makes vantages of all */
    fill_vantages(p, intent);
    for (size_t i = 0; i < intent->pools_count && !p->nomem; i++)
        check_pool(p, intent, &intent->pools[i]);
    check_zones(p, intent);
    if (!p->nomem)
        gtm_check_aliases(p, intent);
}
