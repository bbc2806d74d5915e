/* SPDX-License-Identifier: Apache-2.0
 *
 * A whole range in pages of about PAGE_BYTES, all at the revision of the first: one answer with all
 * would be without bound, and would hold the server up. When that revision is compacted on the way,
 * it starts over.
 */
#include "gtm/etcdc/call_int.h"

#include "gtm/base/mem.h"

#include <string.h>

#define PAGE_BYTES   (1u << 20)
#define PAGE_KEYS    16 /* of the first, and where sizes vary; values may be of 1 MiB */
#define PAGE_MAX     10000
#define RESTARTS_MAX 5u

struct list {
    struct etcdc *client;
    uint8_t *key, *end, *next;
    size_t key_len, end_len, next_len; /* next: room for ETCDC_KEY_MAX + 1 */
    unsigned flags, restarts;
    int64_t revision, limit; /* revision 0 = not known yet */
    bool restart;
    etcdc_page_fn *page;
    etcdc_done_fn *done;
    void *arg;
    struct etcdc__call *call; /* of the page under way */
};

static int ask(struct list *list);

static void list_free(void *arg)
{
    struct list *list = arg;
    gtm_free(list->key);
    gtm_free(list->end);
    gtm_free(list->next);
    gtm_free(list);
}

static void end_list(struct list *list, const struct etcdc_answer *answer, int code)
{
    struct etcdc_answer last = *answer;
    last.code = code;
    last.parts = NULL;
    last.parts_count = 0;
    if (list->revision)
        last.header.revision = list->revision;
    list->done(list->arg, &last);
    list_free(list);
}

static void from_the_start(struct list *list)
{
    memcpy(list->next, list->key, list->key_len);
    list->next_len = list->key_len;
    list->revision = 0;
}

/* Pages of about PAGE_BYTES, judged by this one. */
static void fit_limit(struct list *list, const struct etcdc_part *part)
{
    size_t bytes = 0;
    for (size_t i = 0; i < part->kvs_count; i++)
        bytes += part->kvs[i].key.n + part->kvs[i].value.n + 100;
    if (part->kvs_count == 0)
        return;
    int64_t fits = (int64_t)(PAGE_BYTES / (bytes / part->kvs_count));
    int64_t most = list->limit * 4 < PAGE_MAX ? list->limit * 4 : PAGE_MAX;
    list->limit = fits < 1 ? 1 : fits > most ? most : fits;
}

static bool tried_again(struct list *list, int code)
{
    if (code == ETCDC_E_COMPACTED && list->revision && list->restarts < RESTARTS_MAX) {
        list->restarts++;
        list->restart = true;
        from_the_start(list);
        return ask(list) == ETCDC_OK;
    }
    /* Values of very different size. */
    bool large = code == ETCDC_E_TOO_LARGE || code == ETCDC_E_TIMEOUT;
    if (large && list->limit > PAGE_KEYS) {
        list->limit = PAGE_KEYS;
        return ask(list) == ETCDC_OK;
    }
    if (code == ETCDC_E_TOO_LARGE && list->limit > 1) {
        list->limit = 1;
        return ask(list) == ETCDC_OK;
    }
    return false;
}

static void on_page(void *arg, const struct etcdc_answer *answer)
{
    struct list *list = arg;
    const struct etcdc_part *part = answer->parts;
    if (answer->code != ETCDC_OK) {
        if (!tried_again(list, answer->code))
            end_list(list, answer, answer->code);
        return;
    }
    if (!list->revision)
        list->revision = answer->header.revision;
    bool more = part->more && part->kvs_count > 0;
    const struct etcdc_buf last = more ? part->kvs[part->kvs_count - 1].key : etcdc_bytes("", 0);
    if (more && last.n > ETCDC_KEY_MAX) { /* not ours; cannot be gone on from */
        end_list(list, answer, ETCDC_E_TOO_LARGE);
        return;
    }
    if (part->kvs_count > 0 || list->restart)
        list->page(list->arg, part->kvs, part->kvs_count, list->restart);
    if (list->call->closed) { /* cancelled from page */
        list_free(list);
        return;
    }
    list->restart = false;
    if (!more) {
        end_list(list, answer, ETCDC_OK);
        return;
    }
    fit_limit(list, part);
    memcpy(list->next, last.p, last.n);
    list->next[last.n] = 0; /* the key right after */
    list->next_len = last.n + 1;
    int code = ask(list);
    if (code != ETCDC_OK)
        end_list(list, answer, code);
}

static int ask(struct list *list)
{
    struct gtm_buf body = {0};
    etcdc__write_range(&body, etcdc_bytes(list->next, list->next_len),
                       etcdc_bytes(list->end, list->end_len), list->limit, list->revision,
                       list->flags);
    int code = etcdc__call_start(list->client, ETCDC__RANGE, list->flags, &body, on_page, list,
                                 &list->call);
    if (code != ETCDC_OK)
        return code;
    list->call->user = list->arg;
    list->call->drop = list_free;
    return ETCDC_OK;
}

int etcdc_list(struct etcdc *client, struct etcdc_buf key, struct etcdc_buf end, unsigned flags,
               etcdc_page_fn *page, etcdc_done_fn *done, void *arg)
{
    if (!etcdc__key_good(key) || !etcdc__end_good(end))
        return ETCDC_E_ARG;
    struct list *list = gtm_calloc(1, sizeof(*list));
    if (!list)
        return ETCDC_E_NOMEM;
    *list = (struct list){.client = client,
                          .key = gtm_memdup(key.p, key.n),
                          .end = end.n ? gtm_memdup(end.p, end.n) : NULL,
                          .next = gtm_malloc(ETCDC_KEY_MAX + 1),
                          .key_len = key.n,
                          .end_len = end.n,
                          .flags = flags & ~ETCDC_COUNT_ONLY,
                          .limit = PAGE_KEYS,
                          .page = page,
                          .done = done,
                          .arg = arg};
    if (!list->key || !list->next || (end.n && !list->end)) {
        list_free(list);
        return ETCDC_E_NOMEM;
    }
    from_the_start(list);
    int code = ask(list);
    if (code != ETCDC_OK)
        list_free(list);
    return code;
}
