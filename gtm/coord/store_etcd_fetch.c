/* SPDX-License-Identifier: Apache-2.0
 *
 * Fetches of the store over etcd: small pages at one revision, until the limit or the bytes are
 * reached, so that no answer of etcd is large. See store_etcd_int.h.
 */
#include "gtm/coord/store_etcd_int.h"

#include "gtm/base/mem.h"

#include <stdio.h>
#include <string.h>

#define FIRST_PAGE 24  /* of the largest values: 6 MiB */
#define PAGE_MAX   100 /* 25 MiB */
#define KEYS_PAGE  1000

struct etcd__fetch {
    struct etcd__fetch *next;
    struct etcd__store *store;
    char *from; /* full, from_len octets */
    size_t from_len;
    char to[COORD__KEY_BYTES];
    bool single, keys_only;
    size_t limit, page;
    int64_t revision; /* that all pages are read at; 0 = not known yet */
    struct coord__item **items;
    size_t count, cap, bytes;
    bool more;
    gtm_store_fetch_fn *done;
    void *arg;
};

static void on_page(void *arg, const struct etcdc_answer *answer);

static int ask_page(struct etcd__fetch *f)
{
    size_t left = f->limit - f->count;
    f->page = f->keys_only ? KEYS_PAGE : f->count == 0 ? FIRST_PAGE : PAGE_MAX;
    if (f->page > left)
        f->page = left;
    struct etcdc_buf end = f->single ? etcdc_bytes("", 0) : etcdc_str(f->to);
    return etcdc_range(f->store->client, etcdc_bytes(f->from, f->from_len), end, (int64_t)f->page,
                       f->revision, f->keys_only ? ETCDC_KEYS_ONLY : 0, on_page, f);
}

static void free_fetch(struct etcd__fetch *f)
{
    for (size_t i = 0; i < f->count; i++)
        coord__item_unref(f->items[i]);
    gtm_free(f->items);
    gtm_free(f->from);
    gtm_free(f);
}

/* Tells and frees. */
static void finish(struct etcd__fetch *f, const struct gtm_error *err)
{
    for (struct etcd__fetch **at = &f->store->fetches; *at; at = &(*at)->next)
        if (*at == f) {
            *at = f->next;
            break;
        }
    struct gtm_error why = *err;
    struct gtm_store_entry *entries = gtm_malloc((f->count + 1) * sizeof(*entries));
    if (!entries)
        gtm_error_set(&why, GTM_ENOMEM, "%s", gtm_err_text(GTM_ENOMEM));
    for (size_t i = 0; entries && i < f->count; i++)
        entries[i] = coord__item_entry(f->items[i]);
    struct gtm_store_fetched fetched = {.code = why.code, .err = &why};
    if (why.code == GTM_OK)
        fetched = (struct gtm_store_fetched){.entries = entries,
                                             .count = f->count,
                                             .more = f->more,
                                             .revision = f->revision,
                                             .err = &why};
    f->done(f->arg, &fetched);
    gtm_free(entries);
    free_fetch(f);
}

static int add_kv(struct etcd__fetch *f, const struct etcdc_kv *kv)
{
    char key[GTM_STORE_KEY_MAX + 1];
    /* What cannot be ours is not shown (nor would it be in the copy). */
    if (!etcd__rel_key(kv->key, key) || kv->value.n > GTM_STORE_VALUE_MAX ||
        (kv->value.n && memchr(kv->value.p, '\0', kv->value.n)))
        return GTM_OK;
    int rc = gtm_grow((void **)&f->items, &f->cap, f->count + 1, sizeof(struct coord__item *));
    struct coord__item *item = rc == GTM_OK ? coord__item_new(COORD__ITEM_PUT, key, kv->value.p,
                                                              kv->value.n, kv->mod_revision)
                                            : NULL;
    if (!item)
        return GTM_ENOMEM;
    f->items[f->count++] = item;
    f->bytes += strlen(key) + kv->value.n;
    return GTM_OK;
}

/* The next page begins right after the last key: that key and a NUL octet come next in order. */
static int ask_after(struct etcd__fetch *f, struct etcdc_buf last)
{
    char *from = gtm_malloc(last.n + 1);
    if (!from)
        return ETCDC_E_NOMEM;
    memcpy(from, last.p, last.n);
    from[last.n] = '\0';
    gtm_free(f->from);
    f->from = from;
    f->from_len = last.n + 1;
    return ask_page(f);
}

static void on_page(void *arg, const struct etcdc_answer *answer)
{
    struct etcd__fetch *f = arg;
    struct gtm_error err = {0};
    const struct etcdc_part *part = answer->parts_count ? &answer->parts[0] : NULL;
    size_t n = part ? part->kvs_count : 0;
    if (answer->code != ETCDC_OK) {
        etcd__error(answer->code, answer->text, &err);
        finish(f, &err);
        return;
    }
    int rc = GTM_OK;
    bool full = false;
    for (size_t i = 0; rc == GTM_OK && !full && i < n; i++) {
        full = f->count > 0 &&
               f->bytes + part->kvs[i].key.n + part->kvs[i].value.n > GTM_STORE_FETCH_BYTES_MAX;
        if (!full)
            rc = add_kv(f, &part->kvs[i]);
    }
    if (!f->revision)
        f->revision = answer->header.revision;
    f->more = full || (part && part->more);
    if (rc == GTM_OK && !full && f->more && f->count < f->limit && n > 0) {
        int code = ask_after(f, part->kvs[n - 1].key);
        if (code == ETCDC_OK)
            return;
        rc = etcd__error(code, "", &err);
    }
    if (rc == GTM_ENOMEM)
        gtm_error_set(&err, rc, "%s", gtm_err_text(rc));
    err.code = rc;
    finish(f, &err);
}

int etcd__fetch(struct gtm_store *base, const char *from, const char *to, size_t limit,
                bool keys_only, gtm_store_fetch_fn *done, void *arg)
{
    struct etcd__store *store = etcd__of(base);
    unsigned waiting = 0;
    if (store->closing)
        return GTM_ESTATE;
    for (const struct etcd__fetch *f = store->fetches; f; f = f->next)
        waiting++;
    if (waiting >= GTM_STORE_PENDING_MAX)
        return GTM_ELIMIT;
    struct etcd__fetch *f = gtm_calloc(1, sizeof(*f));
    if (!f)
        return GTM_ENOMEM;
    *f = (struct etcd__fetch){.store = store,
                              .single = !to,
                              .limit = limit,
                              .keys_only = keys_only,
                              .done = done,
                              .arg = arg};
    char key[COORD__KEY_BYTES];
    struct etcdc_buf full = etcd__key(from, key);
    f->from = gtm_memdup(full.p, full.n);
    f->from_len = full.n;
    if (to)
        etcd__key(to, f->to);
    int rc = f->from ? ask_page(f) : ETCDC_E_NOMEM;
    if (rc != ETCDC_OK) {
        free_fetch(f);
        return rc == ETCDC_E_NOMEM ? GTM_ENOMEM : GTM_ELIMIT;
    }
    f->next = store->fetches;
    store->fetches = f;
    return GTM_OK;
}

void etcd__fetches_stop(struct etcd__store *store)
{
    struct gtm_error err = {0};
    gtm_error_set(&err, GTM_ESTATE, "the store is closed");
    while (store->fetches) {
        etcdc_cancel(store->client, store->fetches);
        finish(store->fetches, &err);
    }
}
