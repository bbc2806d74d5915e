/* SPDX-License-Identifier: Apache-2.0
 *
 * The store's front: checks that hold for every implementation, then its table. See store.h; the
 * loop's thread.
 */
#include "gtm/coord/store.h"

#include "gtm/base/utf8.h"

#include <string.h>

static bool text_ok(const char *s, size_t len, bool allow_control)
{
    for (size_t i = 0; i < len;) {
        size_t step = gtm_utf8_len(s + i, len - i);
        if (step == 0 || s[i] == '\0')
            return false;
        if (!allow_control && ((unsigned char)s[i] < 0x20 || s[i] == 0x7f))
            return false;
        i += step;
    }
    return true;
}

bool gtm_store_key_ok(const char *s)
{
    size_t len = s ? strnlen(s, GTM_STORE_KEY_MAX + 1) : 0;
    return len > 0 && len <= GTM_STORE_KEY_MAX && s[0] != '/' && text_ok(s, len, false);
}

bool gtm_store_value_ok(const char *value, size_t len)
{
    return len <= GTM_STORE_VALUE_MAX && text_ok(value, len, true);
}

static int check_change(const struct gtm_store_change *c)
{
    if (!gtm_store_key_ok(c->key) || c->expect < GTM_STORE_ANY)
        return GTM_EINVAL;
    if (c->kind == GTM_STORE_DELETE || c->kind == GTM_STORE_CHECK)
        return GTM_OK;
    if (c->kind != GTM_STORE_PUT || (!c->value && c->value_len > 0))
        return GTM_EINVAL;
    if (c->value_len > GTM_STORE_VALUE_MAX)
        return GTM_ELIMIT;
    return gtm_store_value_ok(c->value, c->value_len) ? GTM_OK : GTM_EINVAL;
}

void gtm_store_close(struct gtm_store *store)
{
    if (store)
        store->ops->close(store);
}

int gtm_store_get(const struct gtm_store *store, const char *key, struct gtm_store_entry *ret_entry)
{
    return gtm_store_key_ok(key) ? store->ops->get(store, key, ret_entry) : GTM_EINVAL;
}

int gtm_store_list(const struct gtm_store *store, const char *prefix, gtm_store_visit_fn *visit,
                   void *arg)
{
    return store->ops->list(store, prefix, visit, arg);
}

int gtm_store_commit(struct gtm_store *store, const struct gtm_store_change *changes, size_t count,
                     gtm_store_done_fn *done, void *arg)
{
    if (count == 0)
        return GTM_EINVAL;
    if (count > GTM_STORE_CHANGES_MAX)
        return GTM_ELIMIT;
    for (size_t i = 0; i < count; i++) {
        int rc = check_change(&changes[i]);
        if (rc != GTM_OK)
            return rc;
        /* One key, one change: as in etcd, and it keeps "the revision before" unambiguous. */
        for (size_t j = 0; j < i; j++)
            if (strcmp(changes[i].key, changes[j].key) == 0)
                return GTM_EINVAL;
    }
    return store->ops->commit(store, changes, count, done, arg);
}

struct gtm_store_watch *gtm_store_watch(struct gtm_store *store, const char *prefix,
                                        gtm_store_watch_fn *cb, void *arg)
{
    return store->ops->watch(store, prefix, cb, arg);
}

void gtm_store_unwatch(struct gtm_store *store, struct gtm_store_watch *watch)
{
    if (watch)
        store->ops->unwatch(store, watch);
}

static int fetch(struct gtm_store *store, const char *from, const char *to, size_t limit,
                 bool keys_only, gtm_store_fetch_fn *done, void *arg)
{
    if (!gtm_store_key_ok(from) || (to && !gtm_store_key_ok(to)) || limit < 1 ||
        limit > GTM_STORE_FETCH_MAX || !done)
        return GTM_EINVAL;
    return store->ops->fetch(store, from, to, limit, keys_only, done, arg);
}

int gtm_store_fetch(struct gtm_store *store, const char *from, const char *to, size_t limit,
                    gtm_store_fetch_fn *done, void *arg)
{
    return fetch(store, from, to, limit, false, done, arg);
}

int gtm_store_fetch_keys(struct gtm_store *store, const char *from, const char *to, size_t limit,
                         gtm_store_fetch_fn *done, void *arg)
{
    return fetch(store, from, to, limit, true, done, arg);
}

void gtm_store_status(const struct gtm_store *store, struct gtm_store_status *ret_status)
{
    store->ops->status(store, ret_status);
}
