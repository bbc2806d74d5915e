/* SPDX-License-Identifier: Apache-2.0
 *
 * Aliases that lead back to themselves. Whether the name at the end of a chain exists is known only
 * when the zones are loaded. See intent_tables.h.
 */
#include "gtm/base/map.h"
#include "gtm/base/mem.h"
#include "gtm/model/intent_tables.h"

#include <string.h>

#define NAME_BYTES 512 /* two names that may be 255 long */

struct alias {
    const struct gtm_dynamic_name *name;
    const struct gtm_zone_conf *zone;
    unsigned walk; /* that came by first; 0 = none yet */
};

struct aliases {
    struct alias *items;
    size_t count;
    struct gtm_map *index; /* absolute name → position + 1 */
};

/* A name relative to its zone, or with a final dot, as an absolute name without one. */
static const char *absolute(const char *name, const char *zone, char out[NAME_BYTES])
{
    size_t len = strlen(name);
    if (strcmp(name, "@") == 0)
        snprintf(out, NAME_BYTES, "%s", zone);
    else if (len > 0 && name[len - 1] == '.')
        snprintf(out, NAME_BYTES, "%.*s", (int)len - 1, name);
    else
        snprintf(out, NAME_BYTES, "%s.%s", name, zone);
    return out;
}

static size_t count_aliases(const struct gtm_intent *intent)
{
    size_t count = 0;
    for (size_t z = 0; z < intent->zones_count; z++) {
        for (size_t n = 0; n < intent->zones[z].names_count; n++)
            count += intent->zones[z].names[n].alias != NULL;
    }
    return count;
}

static bool collect(struct aliases *all, const struct gtm_zone_conf *zone)
{
    char full[NAME_BYTES];
    for (size_t n = 0; zone->name && n < zone->names_count; n++) {
        const struct gtm_dynamic_name *name = &zone->names[n];
        if (!name->alias || !name->name)
            continue;
        all->items[all->count++] = (struct alias){.name = name, .zone = zone};
        if (gtm_map_put(all->index, absolute(name->name, zone->name, full),
                        (void *)(uintptr_t)all->count, NULL) != GTM_OK)
            return false;
    }
    return true;
}

/* The position of the alias that an alias leads to, or -1 when that is something else. */
static int next_of(const struct aliases *all, const struct alias *alias)
{
    char full[NAME_BYTES];
    absolute(alias->name->alias, alias->zone->name, full);
    return (int)(uintptr_t)gtm_map_get(all->index, full) - 1;
}

static void find_loops(struct gtm_parse *p, const struct aliases *all)
{
    for (unsigned walk = 1; walk <= all->count; walk++) {
        int i = (int)walk - 1;
        while (i >= 0 && all->items[i].walk == 0) {
            all->items[i].walk = walk;
            i = next_of(all, &all->items[i]);
        }
        if (i >= 0 && all->items[i].walk == walk)
            gtm_parse_error_at(p, all->items[i].name->pos,
                               "aliases refer to each other in a loop through '%s' in zone '%s'",
                               all->items[i].name->name, all->items[i].zone->name);
    }
}

void gtm_check_aliases(struct gtm_parse *p, const struct gtm_intent *intent)
{
    size_t count = count_aliases(intent);
    struct aliases all = {0};
    if (count == 0)
        return;
    all.items = gtm_calloc(count, sizeof(*all.items));
    all.index = gtm_map_new();
    bool whole = all.items && all.index;
    for (size_t z = 0; z < intent->zones_count && whole; z++)
        whole = collect(&all, &intent->zones[z]);
    if (whole)
        find_loops(p, &all);
    p->nomem |= !whole;
    gtm_free(all.items);
    gtm_map_free(all.index, NULL);
}
