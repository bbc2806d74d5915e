/* SPDX-License-Identifier: Apache-2.0
 *
 * What this process has seen in the store. See chunks.h.
 */
#include "gtm/daemon/chunks.h"

#include "gtm/base/map.h"
#include "gtm/base/mem.h"
#include "gtm/model/manifest.h"

struct gtm_chunks {
    struct gtm_store *store;
    struct gtm_map *seen; /* at `mark`; of another one nothing is kept */
    struct gtm_chunks_mark mark;
};

static bool same(const struct gtm_chunks_mark *a, const struct gtm_chunks_mark *b)
{
    return a->head == b->head && a->cur == b->cur;
}

struct gtm_chunks *gtm_chunks_new(struct gtm_store *store)
{
    struct gtm_chunks *chunks = gtm_calloc(1, sizeof(*chunks));
    if (!chunks)
        return NULL;
    chunks->store = store;
    chunks->seen = gtm_map_new();
    if (chunks->seen)
        return chunks;
    gtm_free(chunks);
    return NULL;
}

void gtm_chunks_free(struct gtm_chunks *chunks)
{
    if (!chunks)
        return;
    gtm_map_free(chunks->seen, NULL);
    gtm_free(chunks);
}

static int64_t revision_of(const struct gtm_store *store, const char *key)
{
    struct gtm_store_entry entry;
    return gtm_store_get(store, key, &entry) == GTM_OK ? entry.revision : GTM_STORE_ABSENT;
}

struct gtm_chunks_mark gtm_chunks_mark_now(const struct gtm_store *store)
{
    return (struct gtm_chunks_mark){revision_of(store, GTM_CHUNKS_HEAD_KEY),
                                    revision_of(store, GTM_INTENT_CUR_KEY)};
}

void gtm_chunks_add(struct gtm_chunks *chunks, const struct gtm_chunks_mark *since,
                    const char *sha256)
{
    if (!chunks)
        return;
    struct gtm_chunks_mark now = gtm_chunks_mark_now(chunks->store);
    if (!same(since, &now))
        return; /* it may have gone since */
    if (!same(&chunks->mark, &now)) {
        struct gtm_map *fresh = gtm_map_new();
        if (!fresh)
            return;
        gtm_map_free(chunks->seen, NULL);
        chunks->seen = fresh;
        chunks->mark = now;
    }
    (void)!gtm_map_put(chunks->seen, sha256, chunks, NULL);
}

bool gtm_chunks_has(const struct gtm_chunks *chunks, const struct gtm_chunks_mark *mark,
                    const char *sha256)
{
    return same(&chunks->mark, mark) && gtm_map_get(chunks->seen, sha256);
}

struct gtm_store_change gtm_chunks_check(const struct gtm_chunks_mark *mark)
{
    return (struct gtm_store_change){
        .kind = GTM_STORE_CHECK, .key = GTM_CHUNKS_HEAD_KEY, .expect = mark->head};
}
