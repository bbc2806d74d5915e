/* SPDX-License-Identifier: Apache-2.0
 *
 * The candidates of an election. See election_table.h.
 */
#include "gtm/etcdc/election_table.h"

#include "gtm/base/mem.h"

#include <string.h>

static bool is_key(const struct etcdc__candidate *c, struct etcdc_buf key)
{
    return c->key_len == key.n && memcmp(c->key, key.p, key.n) == 0;
}

static size_t find(const struct etcdc__table *table, struct etcdc_buf key)
{
    size_t i = 0;
    while (i < table->count && !is_key(&table->items[i], key))
        i++;
    return i;
}

static void take_out(struct etcdc__table *table, size_t i)
{
    if (i >= table->count)
        return;
    gtm_free(table->items[i].key);
    table->count--;
    memmove(&table->items[i], &table->items[i + 1],
            (table->count - i) * sizeof(struct etcdc__candidate));
}

static int put(struct etcdc__table *table, const struct etcdc_kv *kv)
{
    size_t i = find(table, kv->key);
    if (i < table->count && table->items[i].create_revision == kv->create_revision)
        return ETCDC_OK;
    take_out(table, i);
    void *items = table->items;
    if (table->count >= ETCDC__CANDIDATES_MAX)
        return ETCDC_E_OVERFLOW;
    if (gtm_grow(&items, &table->cap, table->count + 1, sizeof(struct etcdc__candidate)))
        return ETCDC_E_NOMEM;
    table->items = items;
    char *key = gtm_memdup(kv->key.p, kv->key.n);
    if (!key)
        return ETCDC_E_NOMEM;
    for (i = table->count; i > 0; i--) {
        if (table->items[i - 1].create_revision <= kv->create_revision)
            break;
        table->items[i] = table->items[i - 1];
    }
    table->items[i] = (struct etcdc__candidate){key, kv->key.n, kv->create_revision};
    table->count++;
    return ETCDC_OK;
}

static void clear(struct etcdc__table *table)
{
    for (size_t i = 0; i < table->count; i++)
        gtm_free(table->items[i].key);
    table->count = 0;
    table->revision = 0;
}

int etcdc__table_event(struct etcdc__table *table, const struct etcdc_event *event)
{
    int code = ETCDC_OK;
    if (event->type == ETCDC_SNAPSHOT)
        clear(table);
    else if (event->type == ETCDC_PUT)
        code = put(table, event->kv);
    else if (event->type == ETCDC_DELETE)
        take_out(table, find(table, event->kv->key));
    else if (event->type == ETCDC_REVISION)
        table->revision = event->revision;
    if (code)
        clear(table);
    return code;
}

enum etcdc__place etcdc__table_place(const struct etcdc__table *table, struct etcdc_buf key,
                                     int64_t create_revision)
{
    if (table->revision < create_revision)
        return ETCDC__PLACE_UNKNOWN;
    size_t i = find(table, key);
    if (i >= table->count || table->items[i].create_revision != create_revision)
        return ETCDC__PLACE_GONE;
    return i == 0 ? ETCDC__PLACE_FIRST : ETCDC__PLACE_BEHIND;
}

void etcdc__table_fini(struct etcdc__table *table)
{
    clear(table);
    gtm_free(table->items);
    *table = (struct etcdc__table){0};
}
