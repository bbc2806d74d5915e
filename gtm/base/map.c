/* SPDX-License-Identifier: Apache-2.0
 *
 * The string map: an array of entries in order of insertion plus an open-addressed index of
 * positions in it. Removed entries stay as holes until the next growth, which is what makes removal
 * during a walk safe. Keys are hashed by SipHash-1-3 (Aumasson & Bernstein 2012) under a key drawn
 * at first use, because they may come from outside. See map.h; not thread-safe.
 */
#include "gtm/base/map.h"

#include "gtm/base/mem.h"
#include "gtm/base/rand.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define SLOT_EMPTY 0u
#define SLOT_GONE  1u
#define SLOT_BASE  2u /* slot value = position + SLOT_BASE */
#define MIN_SLOTS  16u
#define MAX_COUNT  (1u << 30)

struct entry {
    char *key; /* owned; NULL in a hole */
    void *value;
    uint64_t hash;
};

struct gtm_map {
    struct entry *entries;
    size_t used, cap; /* used counts holes too */
    size_t count;     /* live entries */
    uint32_t *slots;
    size_t slot_count;  /* a power of two, or 0 */
    size_t slots_taken; /* not SLOT_EMPTY */
};

static uint64_t hash_key[2];
static pthread_once_t hash_once = PTHREAD_ONCE_INIT;

static void hash_init(void)
{
    struct gtm_rand r;
    gtm_rand_seed_os(&r);
    hash_key[0] = gtm_rand_next(&r);
    hash_key[1] = gtm_rand_next(&r);
}

static uint64_t rotl(uint64_t x, int b)
{
    return (x << b) | (x >> (64 - b));
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

static uint64_t hash_of(const char *key)
{
    size_t len = strlen(key), i = 0;
    uint64_t v[4] = {hash_key[0] ^ 0x736f6d6570736575u, hash_key[1] ^ 0x646f72616e646f6du,
                     hash_key[0] ^ 0x6c7967656e657261u, hash_key[1] ^ 0x7465646279746573u};
    uint64_t word;
    for (; i + 8 <= len; i += 8) {
        memcpy(&word, key + i, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    word = (uint64_t)len << 56;
    for (unsigned shift = 0; i < len; i++, shift += 8)
        word |= (uint64_t)(unsigned char)key[i] << shift;
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct gtm_map *gtm_map_new(void)
{
    pthread_once(&hash_once, hash_init);
    return gtm_calloc(1, sizeof(struct gtm_map));
}

void gtm_map_free(struct gtm_map *map, void (*free_value)(void *))
{
    if (!map)
        return;
    for (size_t i = 0; i < map->used; i++) {
        if (map->entries[i].key && free_value)
            free_value(map->entries[i].value);
        gtm_free(map->entries[i].key);
    }
    gtm_free(map->entries);
    gtm_free(map->slots);
    gtm_free(map);
}

/* The slot of key, or NULL. */
static uint32_t *find_slot(const struct gtm_map *map, const char *key, uint64_t hash)
{
    if (map->slot_count == 0)
        return NULL;
    size_t mask = map->slot_count - 1;
    for (size_t i = (size_t)hash & mask; map->slots[i] != SLOT_EMPTY; i = (i + 1) & mask) {
        if (map->slots[i] == SLOT_GONE)
            continue;
        const struct entry *e = &map->entries[map->slots[i] - SLOT_BASE];
        if (e->hash == hash && strcmp(e->key, key) == 0)
            return &map->slots[i];
    }
    return NULL;
}

static void insert_slot(struct gtm_map *map, uint64_t hash, size_t pos)
{
    size_t mask = map->slot_count - 1, i = (size_t)hash & mask;
    while (map->slots[i] != SLOT_EMPTY)
        i = (i + 1) & mask;
    map->slots[i] = (uint32_t)(pos + SLOT_BASE);
    map->slots_taken++;
}

/* Makes sure that one more entry fits: closes the holes and rebuilds the index when it is 3/4
 * taken. */
static int make_room(struct gtm_map *map)
{
    if (map->count >= MAX_COUNT)
        return GTM_ENOMEM;
    if ((map->slots_taken + 1) * 4 <= map->slot_count * 3) {
        void *entries = map->entries;
        int rc = gtm_grow(&entries, &map->cap, map->used + 1, sizeof(struct entry));
        map->entries = entries;
        return rc;
    }
    size_t want = MIN_SLOTS;
    while (want < (map->count + 1) * 2)
        want *= 2;
    uint32_t *slots = gtm_calloc(want, sizeof(*slots));
    if (!slots)
        return GTM_ENOMEM;
    void *entries = map->entries;
    if (gtm_grow(&entries, &map->cap, map->count + 1, sizeof(struct entry)) != GTM_OK) {
        gtm_free(slots);
        return GTM_ENOMEM;
    }
    map->entries = entries;
    gtm_free(map->slots);
    map->slots = slots;
    map->slot_count = want;
    map->slots_taken = 0;
    size_t live = 0;
    for (size_t i = 0; i < map->used; i++) {
        if (!map->entries[i].key)
            continue;
        map->entries[live] = map->entries[i];
        insert_slot(map, map->entries[live].hash, live);
        live++;
    }
    map->used = live;
    return GTM_OK;
}

int gtm_map_put(struct gtm_map *map, const char *key, void *value, void **ret_old)
{
    uint64_t hash = hash_of(key);
    uint32_t *slot = find_slot(map, key, hash);
    if (slot) {
        struct entry *e = &map->entries[*slot - SLOT_BASE];
        if (ret_old)
            *ret_old = e->value;
        e->value = value;
        return GTM_OK;
    }
    char *copy = gtm_strdup(key);
    if (!copy)
        return GTM_ENOMEM;
    if (make_room(map) != GTM_OK) {
        gtm_free(copy);
        return GTM_ENOMEM;
    }
    map->entries[map->used] = (struct entry){.key = copy, .value = value, .hash = hash};
    insert_slot(map, hash, map->used);
    map->used++;
    map->count++;
    if (ret_old)
        *ret_old = NULL;
    return GTM_OK;
}

void *gtm_map_get(const struct gtm_map *map, const char *key)
{
    const uint32_t *slot = find_slot(map, key, hash_of(key));
    return slot ? map->entries[*slot - SLOT_BASE].value : NULL;
}

void *gtm_map_remove(struct gtm_map *map, const char *key)
{
    uint32_t *slot = find_slot(map, key, hash_of(key));
    if (!slot)
        return NULL;
    struct entry *e = &map->entries[*slot - SLOT_BASE];
    void *value = e->value;
    gtm_free(e->key);
    *e = (struct entry){0};
    *slot = SLOT_GONE;
    map->count--;
    return value;
}

size_t gtm_map_count(const struct gtm_map *map)
{
    return map->count;
}

int gtm_map_next(const struct gtm_map *map, size_t *it, const char **ret_key, void **ret_value)
{
    while (*it < map->used && !map->entries[*it].key)
        (*it)++;
    if (*it >= map->used)
        return 0;
    if (ret_key)
        *ret_key = map->entries[*it].key;
    if (ret_value)
        *ret_value = map->entries[*it].value;
    (*it)++;
    return 1;
}
