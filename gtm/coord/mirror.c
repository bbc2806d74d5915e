/* SPDX-License-Identifier: Apache-2.0
 *
 * The copy of what lies in etcd. See mirror.h.
 */
#include "gtm/coord/mirror.h"

#include "gtm/base/mem.h"

#include <stdlib.h>
#include <string.h>

void coord__item_unref(struct coord__item *item)
{
    if (item && atomic_fetch_sub_explicit(&item->refs, 1, memory_order_acq_rel) == 1)
        gtm_free(item);
}

static struct coord__item *ref(struct coord__item *item)
{
    atomic_fetch_add_explicit(&item->refs, 1, memory_order_relaxed);
    return item;
}

static const char *value_of(const struct coord__item *item)
{
    return item->text + item->key_len + 1;
}

struct gtm_store_entry coord__item_entry(const struct coord__item *item)
{
    bool gone = item->kind == COORD__ITEM_GONE;
    return (struct gtm_store_entry){.key = item->text,
                                    .value = gone ? NULL : value_of(item),
                                    .value_len = gone ? 0 : item->value_len,
                                    .revision = item->revision};
}

static size_t size_of(const struct coord__item *item)
{
    return (size_t)item->key_len + item->value_len;
}

/* The place of key, or where it would be. */
static size_t find(const struct coord__mirror *mirror, const char *key, bool *ret_there)
{
    size_t low = 0, high = mirror->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = strcmp(mirror->items[mid]->text, key);
        if (order == 0) {
            *ret_there = true;
            return mid;
        }
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *ret_there = false;
    return low;
}

int coord__mirror_get(const struct coord__mirror *mirror, const char *key,
                      struct gtm_store_entry *ret_entry)
{
    bool there;
    size_t at = find(mirror, key, &there);
    if (!there)
        return GTM_ENOTFOUND;
    *ret_entry = coord__item_entry(mirror->items[at]);
    return GTM_OK;
}

int coord__mirror_list(const struct coord__mirror *mirror, const char *prefix,
                       gtm_store_visit_fn *visit, void *arg)
{
    bool there;
    size_t len = strlen(prefix);
    int rc = GTM_OK;
    for (size_t i = find(mirror, prefix, &there);
         rc == GTM_OK && i < mirror->count && strncmp(mirror->items[i]->text, prefix, len) == 0;
         i++) {
        struct gtm_store_entry entry = coord__item_entry(mirror->items[i]);
        rc = visit(arg, &entry);
    }
    return rc;
}

void coord__mirror_drop(struct coord__mirror *mirror)
{
    for (size_t i = 0; i < mirror->staged_count; i++)
        coord__item_unref(mirror->staged[i].item);
    mirror->staged_count = mirror->staged_bytes = 0;
    mirror->listing = false;
}

void coord__mirror_begin_listing(struct coord__mirror *mirror)
{
    coord__mirror_drop(mirror);
    mirror->listing = true;
}

void coord__mirror_fini(struct coord__mirror *mirror)
{
    coord__mirror_drop(mirror);
    for (size_t i = 0; i < mirror->count; i++)
        coord__item_unref(mirror->items[i]);
    gtm_free(mirror->items);
    gtm_free(mirror->staged);
    *mirror = (struct coord__mirror){0};
}

struct coord__item *coord__item_new(enum coord__item_kind kind, const char *key, const char *value,
                                    size_t len, int64_t revision)
{
    size_t key_len = strlen(key);
    struct coord__item *item = gtm_malloc(sizeof(*item) + key_len + len + 2);
    if (!item)
        return NULL;
    atomic_init(&item->refs, 1);
    item->kind = kind;
    item->key_len = (uint32_t)key_len;
    item->value_len = (uint32_t)len;
    item->revision = revision;
    memcpy(item->text, key, key_len + 1);
    if (len)
        memcpy(item->text + key_len + 1, value, len);
    item->text[key_len + 1 + len] = '\0';
    return item;
}

int coord__mirror_stage(struct coord__mirror *mirror, enum coord__item_kind kind, const char *key,
                        const char *value, size_t len, int64_t revision)
{
    int rc = gtm_grow((void **)&mirror->staged, &mirror->staged_cap, mirror->staged_count + 1,
                      sizeof(*mirror->staged));
    if (rc != GTM_OK)
        return rc;
    bool there;
    size_t at = find(mirror, key, &there);
    const struct coord__item *old = there ? mirror->items[at] : NULL;
    size_t keys = mirror->staged_count + (mirror->listing ? 0 : mirror->count);
    size_t bytes = mirror->staged_bytes + (mirror->listing ? 0 : mirror->bytes);
    if (kind == COORD__ITEM_PUT &&
        (keys >= COORD__MIRROR_KEYS_MAX || bytes + strlen(key) + len > COORD__MIRROR_BYTES_MAX))
        return GTM_ELIMIT;
    /* What has not changed is not kept twice. */
    bool same = kind == COORD__ITEM_PUT && old && old->revision == revision &&
                old->value_len == len && memcmp(value_of(old), value, len) == 0;
    struct coord__item *item =
        same ? ref(mirror->items[at]) : coord__item_new(kind, key, value, len, revision);
    if (!item)
        return GTM_ENOMEM;
    mirror->staged[mirror->staged_count] = (struct coord__staged){item, mirror->staged_count};
    mirror->staged_count++;
    mirror->staged_bytes += size_of(item);
    return GTM_OK;
}

/* --- putting what is staged into force --- */

static int by_key(const void *a, const void *b)
{
    const struct coord__staged *x = a, *y = b;
    int order = strcmp(x->item->text, y->item->text);
    return order ? order : x->ordinal < y->ordinal ? -1 : 1;
}

static int by_revision(const void *a, const void *b)
{
    const struct coord__item *const *x = a, *const *y = b;
    if ((*x)->revision != (*y)->revision)
        return (*x)->revision < (*y)->revision ? -1 : 1;
    return strcmp((*x)->text, (*y)->text);
}

/* In order of keys, of each key only the last. */
static void sort_staged(struct coord__mirror *mirror)
{
    struct coord__staged *s = mirror->staged;
    size_t n = mirror->staged_count, kept = 0;
    bool sorted = true;
    for (size_t i = 1; i < n && sorted; i++)
        sorted = by_key(&s[i - 1], &s[i]) < 0;
    if (!sorted)
        qsort(s, n, sizeof(*s), by_key);
    for (size_t i = 0; i < n; i++) {
        if (i + 1 < n && strcmp(s[i].item->text, s[i + 1].item->text) == 0)
            coord__item_unref(s[i].item);
        else
            s[kept++] = s[i];
    }
    mirror->staged_count = kept;
}

struct merge {
    struct coord__mirror *mirror;
    struct coord__item **items; /* the new list */
    size_t count, bytes;
    struct coord__changed changed;
};

static void keep(struct merge *m, struct coord__item *item)
{
    m->items[m->count++] = item;
    m->bytes += size_of(item);
}

/* old, new: one of them may be NULL. Takes both. */
static void merge_one(struct merge *m, struct coord__item *old, struct coord__item *new,
                      struct coord__item *tombstone)
{
    bool put = new &&new->kind == COORD__ITEM_PUT;
    bool stays = old && ((new &&new->kind == COORD__ITEM_KEEP) || (!new && !tombstone));
    if (stays || (put && new == old)) {
        keep(m, old);
        coord__item_unref(new);
        return;
    }
    if (put)
        keep(m, new);
    if (put || old)
        m->changed.items[m->changed.count++] = put ? ref(new) : new ? new : tombstone;
    else
        coord__item_unref(new);
    coord__item_unref(old);
}

/* Tombstones for what a listing does not name; all or none. */
static int make_tombstones(const struct coord__mirror *mirror, int64_t revision,
                           struct coord__item ***ret_list)
{
    size_t n = 0, s = 0;
    struct coord__item **list = NULL;
    size_t cap = 0;
    for (size_t i = 0; mirror->listing && i < mirror->count; i++) {
        const char *key = mirror->items[i]->text;
        while (s < mirror->staged_count && strcmp(mirror->staged[s].item->text, key) < 0)
            s++;
        if (s < mirror->staged_count && strcmp(mirror->staged[s].item->text, key) == 0)
            continue;
        struct coord__item *item = coord__item_new(COORD__ITEM_GONE, key, NULL, 0, revision);
        if (!item ||
            gtm_grow((void **)&list, &cap, n + 1, sizeof(struct coord__item *)) != GTM_OK) {
            coord__item_unref(item);
            while (n > 0)
                coord__item_unref(list[--n]);
            gtm_free(list);
            return GTM_ENOMEM;
        }
        list[n++] = item;
    }
    *ret_list = list;
    return GTM_OK;
}

static void merge_all(struct merge *m, struct coord__item **tombstones)
{
    struct coord__mirror *mirror = m->mirror;
    size_t i = 0, s = 0, t = 0;
    while (i < mirror->count || s < mirror->staged_count) {
        struct coord__item *old = i < mirror->count ? mirror->items[i] : NULL;
        struct coord__item *new = s < mirror->staged_count ? mirror->staged[s].item : NULL;
        int order = !old ? 1 : !new ? -1 : strcmp(old->text, new->text);
        bool gone = order < 0 && mirror->listing;
        merge_one(m, order <= 0 ? old : NULL, order >= 0 ? new : NULL,
                  gone && tombstones ? tombstones[t++] : NULL);
        i += order <= 0;
        s += order >= 0;
    }
}

/* The common case without a new list: every staged key is there already and is put. */
static bool replace_in_place(struct coord__mirror *mirror, struct coord__changed *changed)
{
    bool there = !mirror->listing;
    for (size_t i = 0; i < mirror->staged_count && there; i++) {
        const struct coord__item *item = mirror->staged[i].item;
        if (item->kind != COORD__ITEM_PUT)
            return false;
        find(mirror, item->text, &there);
    }
    if (!there)
        return false;
    for (size_t i = 0; i < mirror->staged_count; i++) {
        struct coord__item *item = mirror->staged[i].item;
        size_t at = find(mirror, item->text, &there);
        struct coord__item *old = mirror->items[at];
        mirror->bytes += size_of(item) - size_of(old);
        mirror->items[at] = item;
        if (item != old)
            changed->items[changed->count++] = ref(item);
        coord__item_unref(old);
    }
    return true;
}

int coord__mirror_apply(struct coord__mirror *mirror, int64_t revision,
                        struct coord__changed *ret_changed)
{
    *ret_changed = (struct coord__changed){0};
    if (mirror->staged_count == 0 && !mirror->listing) {
        mirror->revision = revision;
        return GTM_OK;
    }
    sort_staged(mirror);
    size_t most = mirror->staged_count + (mirror->listing ? mirror->count : 0);
    struct merge m = {.mirror = mirror};
    m.changed.items = gtm_malloc((most + 1) * sizeof(struct coord__item *));
    if (!m.changed.items)
        return GTM_ENOMEM;
    if (!replace_in_place(mirror, &m.changed)) {
        size_t cap = mirror->count + mirror->staged_count + 1;
        struct coord__item **tombstones = NULL;
        m.items = gtm_malloc(cap * sizeof(struct coord__item *));
        if (!m.items || make_tombstones(mirror, revision, &tombstones) != GTM_OK) {
            gtm_free(m.items);
            gtm_free(m.changed.items);
            return GTM_ENOMEM;
        }
        merge_all(&m, tombstones);
        gtm_free(tombstones);
        gtm_free(mirror->items);
        mirror->items = m.items;
        mirror->count = m.count;
        mirror->cap = cap;
        mirror->bytes = m.bytes;
    }
    mirror->staged_count = mirror->staged_bytes = 0;
    mirror->listing = false;
    mirror->revision = revision;
    if (m.changed.count > 1)
        qsort(m.changed.items, m.changed.count, sizeof(struct coord__item *), by_revision);
    *ret_changed = m.changed;
    return GTM_OK;
}

void coord__changed_fini(struct coord__changed *changed)
{
    for (size_t i = 0; i < changed->count; i++)
        coord__item_unref(changed->items[i]);
    gtm_free(changed->items);
    *changed = (struct coord__changed){0};
}

struct coord__item **coord__mirror_share(const struct coord__mirror *mirror)
{
    struct coord__item **list = gtm_malloc((mirror->count + 1) * sizeof(struct coord__item *));
    for (size_t i = 0; list && i < mirror->count; i++)
        list[i] = ref(mirror->items[i]);
    return list;
}
