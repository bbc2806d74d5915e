/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys and revisions, in a map of strings: keys of etcd are any octets, so NUL (and the escape
 * itself) is written in two. See watch_keys.h.
 */
#include "gtm/etcdc/watch_keys.h"

#include "gtm/base/buf.h"
#include "gtm/base/map.h"
#include "gtm/base/mem.h"

#include <string.h>

#define ESCAPE      '\1'
#define ENTRY_BYTES 96u /* of the map, its index and the allocator, for the bound */

struct entry {
    int64_t mod_revision;
    uint64_t mark;
};

struct etcdc__keys {
    struct gtm_map *map;
    struct gtm_buf text; /* a key as the map has it */
    struct gtm_buf key;  /* the last one taken */
    size_t bytes, max_bytes;
    uint64_t mark; /* of what is marked now */
};

struct etcdc__keys *etcdc__keys_new(size_t max_bytes)
{
    struct etcdc__keys *keys = gtm_calloc(1, sizeof(*keys));
    if (!keys)
        return NULL;
    keys->max_bytes = max_bytes;
    keys->map = gtm_map_new();
    if (!keys->map) {
        gtm_free(keys);
        return NULL;
    }
    return keys;
}

void etcdc__keys_free(struct etcdc__keys *keys)
{
    if (!keys)
        return;
    gtm_map_free(keys->map, gtm_free);
    gtm_buf_fini(&keys->text);
    gtm_buf_fini(&keys->key);
    gtm_free(keys);
}

/* NULL: out of memory. */
static const char *as_text(struct etcdc__keys *keys, struct etcdc_buf key)
{
    struct gtm_buf *text = &keys->text;
    const char *p = key.p;
    gtm_buf_clear(text);
    gtm_buf_adds(text, ""); /* so that an empty key has a text */
    for (size_t i = 0; i < key.n; i++) {
        if (p[i] == '\0' || p[i] == ESCAPE) {
            gtm_buf_addc(text, ESCAPE);
            gtm_buf_addc(text, (char)(p[i] + 1));
        } else {
            gtm_buf_addc(text, p[i]);
        }
    }
    return text->failed ? NULL : text->data;
}

static bool as_key(struct etcdc__keys *keys, const char *text)
{
    gtm_buf_clear(&keys->key);
    for (; *text; text++) {
        if (*text == ESCAPE && text[1])
            gtm_buf_addc(&keys->key, (char)(*++text - 1));
        else
            gtm_buf_addc(&keys->key, *text);
    }
    return !keys->key.failed;
}

static struct entry *find(struct etcdc__keys *keys, struct etcdc_buf key)
{
    const char *text = as_text(keys, key);
    return text ? gtm_map_get(keys->map, text) : NULL;
}

int etcdc__keys_put(struct etcdc__keys *keys, struct etcdc_buf key, int64_t mod_revision)
{
    const char *text = as_text(keys, key);
    if (!text)
        return ETCDC_E_NOMEM;
    struct entry *entry = gtm_map_get(keys->map, text);
    if (!entry) {
        size_t more = key.n + ENTRY_BYTES;
        if (keys->bytes + more > keys->max_bytes)
            return ETCDC_E_OVERFLOW;
        entry = gtm_calloc(1, sizeof(*entry));
        if (!entry || gtm_map_put(keys->map, text, entry, NULL)) {
            gtm_free(entry);
            return ETCDC_E_NOMEM;
        }
        keys->bytes += more;
    }
    *entry = (struct entry){mod_revision, keys->mark};
    return ETCDC_OK;
}

int64_t etcdc__keys_get(struct etcdc__keys *keys, struct etcdc_buf key)
{
    const struct entry *entry = find(keys, key);
    return entry ? entry->mod_revision : 0;
}

void etcdc__keys_remove(struct etcdc__keys *keys, struct etcdc_buf key)
{
    const char *text = as_text(keys, key);
    struct entry *entry = text ? gtm_map_remove(keys->map, text) : NULL;
    if (entry)
        keys->bytes -= key.n + ENTRY_BYTES;
    gtm_free(entry);
}

size_t etcdc__keys_count(const struct etcdc__keys *keys)
{
    return gtm_map_count(keys->map);
}

void etcdc__keys_unmark(struct etcdc__keys *keys)
{
    keys->mark++;
}

void etcdc__keys_mark(struct etcdc__keys *keys, struct etcdc_buf key)
{
    struct entry *entry = find(keys, key);
    if (entry)
        entry->mark = keys->mark;
}

bool etcdc__keys_take_unmarked(struct etcdc__keys *keys, size_t *it, struct etcdc_buf *ret_key,
                               int *ret_code)
{
    const char *text;
    void *value;
    *ret_code = ETCDC_OK;
    while (gtm_map_next(keys->map, it, &text, &value)) {
        struct entry *entry = value;
        if (entry->mark == keys->mark)
            continue;
        if (!as_key(keys, text)) {
            *ret_code = ETCDC_E_NOMEM;
            return false;
        }
        gtm_map_remove(keys->map, text);
        gtm_free(entry);
        *ret_key = etcdc_bytes(keys->key.data, keys->key.len);
        keys->bytes -= ret_key->n + ENTRY_BYTES;
        return true;
    }
    return false;
}
