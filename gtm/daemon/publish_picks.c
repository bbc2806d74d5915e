/* SPDX-License-Identifier: Apache-2.0
 *
 * Picks: for each class the slot of its answer. Two classes share a slot when each geographic part
 * answers both from the same region (and, while it sheds, hands users on along the same path). That
 * depends on the map and on the regions that each part can use now, not on the policy: so ten
 * thousand policies over the same regions share a few picks.
 * Control thread.
 */
#include "gtm/base/mem.h"
#include "gtm/daemon/publish_int.h"

#include <string.h>

#define UNUSED_MAX 256 /* picks kept although no table uses them: a flapping region comes back */
#define KEY_WORDS  (1 + POLICY_PARTS_MAX * (sizeof(struct policy_part_look) / sizeof(uint64_t)))

static void picks_free(struct gtm__picks *p)
{
    if (!p)
        return;
    dns_picks_unref(p->picks);
    gtm_free(p->class_of_slot);
    gtm_free(p);
}

void gtm__picks_fini(struct gtm__picks_cache *cache)
{
    for (size_t i = 0; i < cache->keys.count; i++)
        picks_free(cache->items[i]);
    gtm__intern_fini(&cache->keys);
    gtm_free(cache->items);
    *cache = (struct gtm__picks_cache){.in_use = 0};
}

/* Drops what no table uses. Without memory for it the cache stays as it is. */
static void purge(struct gtm__picks_cache *cache)
{
    struct gtm__intern keys = {0};
    size_t kept = 0;
    for (size_t i = 0; i < cache->keys.count; i++) {
        size_t len = 0;
        uint32_t number = 0;
        const void *key = gtm__intern_key(&cache->keys, (uint32_t)i, &len);
        if (cache->items[i]->uses > 0 &&
            gtm__intern_add(&keys, key, len, &number, NULL) != GTM_OK) {
            gtm__intern_fini(&keys);
            return;
        }
    }
    for (size_t i = 0; i < cache->keys.count; i++) {
        if (cache->items[i]->uses > 0)
            cache->items[kept++] = cache->items[i];
        else
            picks_free(cache->items[i]);
    }
    gtm__intern_fini(&cache->keys);
    cache->keys = keys;
}

void gtm__picks_put(struct gtm__state *state, struct gtm__picks *picks)
{
    if (picks && --picks->uses == 0)
        state->picks.in_use--;
}

struct sorting {
    const struct gtm_intent *intent;
    const struct gtm__map *map;
    const struct policy_parts *parts;
    const struct policy_look *look;
    struct gtm__intern slots; /* paths of all parts; number = slot */
    uint16_t *slot_of_class;
};

static int sort_classes(struct sorting *s, struct gtm__picks *out)
{
    size_t cap = 0;
    for (size_t c = 0; c < s->map->classes; c++) {
        struct policy_path paths[POLICY_PARTS_MAX];
        const struct policy_regions *lists = gtm__map_class(s->map, c);
        uint32_t slot = 0;
        bool fresh = false;
        for (size_t i = 0; i < s->parts->count; i++)
            policy_path(s->intent, s->parts->policy[i], &lists[i], &s->look->part[i], &paths[i]);
        int rc =
            gtm__intern_add(&s->slots, paths, s->parts->count * sizeof(paths[0]), &slot, &fresh);
        if (rc != GTM_OK)
            return rc;
        s->slot_of_class[c] = (uint16_t)slot;
        if (!fresh)
            continue;
        void *classes = out->class_of_slot;
        rc = gtm_grow(&classes, &cap, slot + 1u, sizeof(*out->class_of_slot));
        out->class_of_slot = classes;
        if (rc != GTM_OK)
            return rc;
        out->class_of_slot[slot] = (uint32_t)c;
    }
    out->slots = s->slots.count;
    return GTM_OK;
}

static struct gtm__picks *picks_build(struct gtm__state *state, const struct gtm__table *table,
                                      const struct policy_parts *parts,
                                      const struct policy_look *look, struct gtm_error *err)
{
    struct sorting s = {.intent = state->compiled->intent,
                        .map = state->compiled->maps[table->map],
                        .parts = parts,
                        .look = look};
    struct gtm__picks *p = gtm_calloc(1, sizeof(*p));
    s.slot_of_class = gtm_calloc(s.map->classes, sizeof(*s.slot_of_class));
    if (!p || !s.slot_of_class || sort_classes(&s, p) != GTM_OK)
        gtm_error_set(err, GTM_ENOMEM, "no memory for picks");
    else
        p->picks = dns_picks_new(s.slot_of_class, s.map->classes, err);
    gtm_free(s.slot_of_class);
    gtm__intern_fini(&s.slots);
    if (p && !p->picks) {
        picks_free(p);
        p = NULL;
    }
    if (p)
        state->info->picks_built++;
    return p;
}

/* The map and what each part can use: sheds and routes to policies only where there are any, so
 * that the usual key stays short. Returns how many words. */
static size_t key_write(uint64_t key[KEY_WORDS], uint32_t map, size_t parts,
                        const struct policy_look *look)
{
    static const struct policy_part_look none;
    size_t words = 1;
    bool sheds = false, targets = false;
    for (size_t i = 0; i < parts; i++) {
        const struct policy_part_look *p = &look->part[i];
        sheds |= memcmp(&p->shedding, &none.shedding, sizeof(p->shedding)) != 0;
        targets |= memcmp(p->targets, none.targets, sizeof(p->targets)) != 0;
    }
    key[0] = map | (uint64_t)sheds << 32 | (uint64_t)targets << 33;
    for (size_t i = 0; i < parts; i++) {
        const struct policy_part_look *p = &look->part[i];
        memcpy(&key[words], &p->usable, sizeof(p->usable));
        words += sizeof(p->usable) / sizeof(*key);
        if (sheds) {
            memcpy(&key[words], &p->shedding, sizeof(p->shedding));
            words += sizeof(p->shedding) / sizeof(*key);
        }
        if (targets) {
            memcpy(&key[words], p->targets, sizeof(p->targets));
            words += sizeof(p->targets) / sizeof(*key);
        }
    }
    return words;
}

struct gtm__picks *gtm__picks_get(struct gtm__state *state, const struct gtm__table *table,
                                  const struct policy_parts *parts, const struct policy_look *look,
                                  struct gtm_error *err)
{
    struct gtm__picks_cache *cache = &state->picks;
    uint64_t key[KEY_WORDS];
    size_t bytes = key_write(key, table->map, parts->count, look) * sizeof(key[0]);
    uint32_t number = 0;
    int64_t known = gtm__intern_find(&cache->keys, key, bytes);
    if (known < 0) {
        if (cache->keys.count >= UNUSED_MAX + cache->in_use)
            purge(cache);
        void *items = cache->items;
        int rc = gtm_grow(&items, &cache->cap, cache->keys.count + 1, sizeof(*cache->items));
        cache->items = items;
        struct gtm__picks *p = rc == GTM_OK ? picks_build(state, table, parts, look, err) : NULL;
        if (p && gtm__intern_add(&cache->keys, key, bytes, &number, NULL) != GTM_OK) {
            picks_free(p);
            p = NULL;
        }
        if (!p) {
            if (!err->code)
                gtm_error_set(err, GTM_ENOMEM, "no memory for picks");
            return NULL;
        }
        cache->items[number] = p;
        known = number;
    }
    if (cache->items[known]->uses++ == 0)
        cache->in_use++;
    return cache->items[known];
}
