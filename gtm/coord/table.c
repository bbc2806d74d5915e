/* SPDX-License-Identifier: Apache-2.0
 *
 * The standalone store's keys in memory, each with its current state and, while a batch is in
 * flight, the state that was staged for it. See table.h; one thread changes, and during a batch
 * another may read by coord__table_print.
 */
#include "gtm/coord/table.h"

#include "gtm/base/map.h"
#include "gtm/base/mem.h"
#include "gtm/coord/store_file.h"

#include <stdlib.h>
#include <string.h>

/* A key. revision 0 = absent: it is here only because something is or was staged. */
struct coord__item {
    char *key;
    char *value, *next_value; /* owned */
    size_t value_len, next_len;
    int64_t revision, next_revision;
    int64_t staged_at; /* the commit's revision, also when it deletes */
    bool staged, was_there;
    struct coord__item *next_touched;
};

static void fill_entry(const struct coord__item *item, struct gtm_store_entry *out)
{
    *out = (struct gtm_store_entry){.key = item->key,
                                    .value = item->value,
                                    .value_len = item->value_len,
                                    .revision = item->revision};
}

static void free_item(void *value)
{
    struct coord__item *item = value;
    if (!item)
        return;
    gtm_free(item->key);
    gtm_free(item->value);
    gtm_free(item->next_value);
    gtm_free(item);
}

int coord__table_init(struct coord__table *table)
{
    *table = (struct coord__table){.items = gtm_map_new()};
    return table->items ? GTM_OK : GTM_ENOMEM;
}

void coord__table_fini(struct coord__table *table)
{
    gtm_map_free(table->items, free_item);
    *table = (struct coord__table){0};
}

int coord__table_get(const struct coord__table *table, const char *key,
                     struct gtm_store_entry *ret_entry)
{
    const struct coord__item *item = gtm_map_get(table->items, key);
    if (!item || item->revision == 0)
        return GTM_ENOTFOUND;
    fill_entry(item, ret_entry);
    return GTM_OK;
}

static int by_key(const void *a, const void *b)
{
    const struct coord__item *const *x = a, *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

int coord__table_list(const struct coord__table *table, const char *prefix,
                      gtm_store_visit_fn *visit, void *arg)
{
    size_t n = 0, it = 0, prefix_len = strlen(prefix);
    struct coord__item **found =
        gtm_malloc(gtm_map_count(table->items) * sizeof(struct coord__item *));
    if (!found)
        return GTM_ENOMEM;
    void *value;
    while (gtm_map_next(table->items, &it, NULL, &value)) {
        struct coord__item *item = value;
        if (item->revision != 0 && strncmp(item->key, prefix, prefix_len) == 0)
            found[n++] = item;
    }
    if (n > 1)
        qsort(found, n, sizeof(struct coord__item *), by_key);
    int rc = GTM_OK;
    for (size_t i = 0; i < n && rc == GTM_OK; i++) {
        struct gtm_store_entry entry;
        fill_entry(found[i], &entry);
        rc = visit(arg, &entry);
    }
    gtm_free(found);
    return rc;
}

static int64_t seen_revision(const struct coord__item *item)
{
    return item->staged ? item->next_revision : item->revision;
}

static size_t seen_len(const struct coord__item *item)
{
    return item->staged ? item->next_len : item->value_len;
}

/* The item of key, made (absent) when it is not there; NULL when out of memory. */
static struct coord__item *touch(struct coord__table *table, const char *key)
{
    struct coord__item *item = gtm_map_get(table->items, key);
    if (item)
        return item;
    item = gtm_calloc(1, sizeof(*item));
    if (!item)
        return NULL;
    item->key = gtm_strdup(key);
    if (!item->key || gtm_map_put(table->items, key, item, NULL) != GTM_OK) {
        free_item(item);
        return NULL;
    }
    item->next_touched = table->touched;
    table->touched = item;
    return item;
}

static void stage(struct coord__table *table, struct coord__item *item, char *value, size_t len,
                  bool put)
{
    if (!item->staged && item->revision != 0) { /* new items are on the list already */
        item->next_touched = table->touched;
        table->touched = item;
    }
    gtm_free(item->next_value);
    item->next_value = value;
    item->next_len = len;
    item->staged_at = table->next_revision;
    item->next_revision = put ? table->next_revision : 0;
    item->staged = true;
}

static int check_guards(struct coord__table *table, const struct gtm_store_change *changes,
                        size_t count, struct gtm_error *err)
{
    size_t keys = table->next_keys, bytes = table->next_bytes;
    for (size_t i = 0; i < count; i++) {
        const struct gtm_store_change *ch = &changes[i];
        const struct coord__item *item = touch(table, ch->key);
        if (!item)
            return gtm_error_set(err, GTM_ENOMEM, "%s", gtm_err_text(GTM_ENOMEM));
        int64_t now = seen_revision(item);
        if (ch->expect != GTM_STORE_ANY && ch->expect != now)
            return gtm_error_set(err, GTM_ECONFLICT, "%.200s is at revision %lld, expected %lld",
                                 ch->key, (long long)now, (long long)ch->expect);
        if (ch->kind == GTM_STORE_CHECK)
            continue;
        size_t key_len = strlen(ch->key);
        if (now != 0) {
            keys--;
            bytes -= key_len + seen_len(item);
        }
        if (ch->kind == GTM_STORE_PUT) {
            keys++;
            bytes += key_len + ch->value_len;
        }
    }
    /* What shrinks is always let through. */
    if ((keys > GTM_STORE_FILE_KEYS_MAX && keys > table->next_keys) ||
        (bytes > GTM_STORE_FILE_BYTES_MAX && bytes > table->next_bytes))
        return gtm_error_set(err, GTM_ELIMIT, "the store is full: %u keys or %u bytes",
                             GTM_STORE_FILE_KEYS_MAX, GTM_STORE_FILE_BYTES_MAX);
    table->next_keys = keys;
    table->next_bytes = bytes;
    return GTM_OK;
}

void coord__table_begin(struct coord__table *table)
{
    table->next_revision = table->revision;
    table->next_keys = table->keys;
    table->next_bytes = table->bytes;
}

int coord__table_stage(struct coord__table *table, const struct gtm_store_change *changes,
                       char **values, size_t count, struct gtm_error *err)
{
    int rc = check_guards(table, changes, count, err);
    if (rc != GTM_OK)
        return rc;
    table->next_revision++;
    for (size_t i = 0; i < count; i++) {
        const struct gtm_store_change *ch = &changes[i];
        if (ch->kind == GTM_STORE_CHECK)
            continue;
        bool put = ch->kind == GTM_STORE_PUT;
        stage(table, gtm_map_get(table->items, ch->key), values[i], put ? ch->value_len : 0, put);
        values[i] = NULL;
    }
    return GTM_OK;
}

size_t coord__table_print(const struct coord__table *table, struct gtm_buf *body)
{
    size_t it = 0, keys = 0;
    void *value;
    while (gtm_map_next(table->items, &it, NULL, &value)) {
        const struct coord__item *item = value;
        if (seen_revision(item) == 0)
            continue;
        coord__snapshot_add(
            body, &(struct coord__record){.key = item->key,
                                          .value = item->staged ? item->next_value : item->value,
                                          .value_len = seen_len(item),
                                          .revision = seen_revision(item)});
        keys++;
    }
    return keys;
}

void coord__table_settle(struct coord__table *table, bool written)
{
    for (struct coord__item *item = table->touched; item; item = item->next_touched) {
        if (!item->staged)
            continue;
        item->was_there = item->revision != 0;
        if (written) {
            gtm_free(item->value);
            item->value = item->next_value;
            item->value_len = item->next_len;
            item->revision = item->next_revision;
        } else {
            gtm_free(item->next_value);
        }
        item->next_value = NULL;
        item->next_len = 0;
        item->staged = false;
    }
    if (!written)
        return;
    table->revision = table->next_revision;
    table->keys = table->next_keys;
    table->bytes = table->next_bytes;
}

void coord__table_sweep(struct coord__table *table)
{
    while (table->touched) {
        struct coord__item *item = table->touched;
        table->touched = item->next_touched;
        item->next_touched = NULL;
        if (item->revision == 0)
            free_item(gtm_map_remove(table->items, item->key));
    }
}

bool coord__table_changed(const struct coord__table *table, const char *key, int64_t revision,
                          struct gtm_store_entry *ret_entry)
{
    const struct coord__item *item = gtm_map_get(table->items, key);
    if (!item || item->staged_at != revision || (item->revision == 0 && !item->was_there))
        return false;
    fill_entry(item, ret_entry);
    ret_entry->revision = revision;
    return true;
}

int coord__table_load(struct coord__table *table, const struct coord__record *record)
{
    size_t bytes = table->bytes + strlen(record->key) + record->value_len;
    if (gtm_map_get(table->items, record->key) || table->keys >= GTM_STORE_FILE_KEYS_MAX ||
        bytes > GTM_STORE_FILE_BYTES_MAX)
        return GTM_ECORRUPT;
    struct coord__item *item = touch(table, record->key);
    table->touched = NULL; /* loaded, not staged */
    char *value = item ? gtm_memdup(record->value, record->value_len + 1) : NULL;
    if (!value)
        return GTM_ENOMEM;
    item->value = value;
    item->value_len = record->value_len;
    item->revision = record->revision;
    table->keys++;
    table->bytes = bytes;
    return GTM_OK;
}
