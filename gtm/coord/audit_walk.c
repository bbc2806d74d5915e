/* SPDX-License-Identifier: Apache-2.0
 *
 * Checking the chain where it is kept, page by page, while others add to it. See audit.h; the
 * loop's thread.
 *
 * Entries are read first and the head last: a head that is newer than the last entry seen means
 * either that entries came meanwhile (then there are more to read) or that they were cut off.
 */
#include "gtm/coord/audit.h"

#include "gtm/base/mem.h"

#include <string.h>

#define PAGE 1000

struct walk {
    struct gtm_store *store;
    struct gtm_audit_check check;
    int64_t stuck_at; /* check.next when the head was found newer; a second time is damage */
    gtm_audit_report_fn *done;
    void *arg;
};

static void finish(struct walk *w, const struct gtm_error *err)
{
    w->done(w->arg, &(struct gtm_audit_report){.code = err->code,
                                               .first = w->check.first,
                                               .last = w->check.next ? w->check.next - 1 : 0,
                                               .hash = w->check.prev,
                                               .err = err});
    gtm_free(w);
}

static void read_entries(struct walk *w);

static void on_head(void *arg, const struct gtm_store_fetched *fetched)
{
    struct walk *w = arg;
    if (fetched->code != GTM_OK) {
        finish(w, fetched->err);
        return;
    }
    struct gtm_error err = {0};
    struct gtm_audit_head head;
    const struct gtm_store_entry *e = fetched->count ? fetched->entries : NULL;
    int64_t at = w->check.next ? w->check.next : 1;
    if (e && gtm_audit_head_parse(e->value, e->value_len, &head, &err) == GTM_OK &&
        head.seq >= at && w->stuck_at != at) {
        w->stuck_at = at;
        read_entries(w);
        return;
    }
    err = (struct gtm_error){0};
    err.code = gtm_audit_verify_head(&w->check, e ? e->value : NULL, e ? e->value_len : 0, &err);
    finish(w, &err);
}

static void on_entries(void *arg, const struct gtm_store_fetched *fetched)
{
    struct walk *w = arg;
    struct gtm_error err = {0};
    int rc = fetched->code;
    if (rc != GTM_OK)
        err = *fetched->err;
    for (size_t i = 0; rc == GTM_OK && i < fetched->count; i++) {
        const struct gtm_store_entry *e = &fetched->entries[i];
        rc = gtm_audit_verify(&w->check, e->key, e->value, e->value_len, &err);
    }
    if (rc == GTM_OK && fetched->more) {
        read_entries(w);
        return;
    }
    if (rc == GTM_OK) {
        rc = gtm_store_fetch(w->store, GTM_AUDIT_HEAD, NULL, 1, on_head, w);
        if (rc == GTM_OK)
            return;
        gtm_error_set(&err, rc, "%s", gtm_err_text(rc));
    }
    err.code = rc;
    finish(w, &err);
}

static void read_entries(struct walk *w)
{
    char from[GTM_AUDIT_KEY_BYTES];
    gtm_audit_key(w->check.next ? w->check.next : 0, from);
    /* The first time from the prefix on, so that nothing hides below the first number. */
    int rc = gtm_store_fetch(w->store, w->check.next ? from : GTM_AUDIT_PREFIX, "audit0", PAGE,
                             on_entries, w);
    if (rc == GTM_OK)
        return;
    struct gtm_error err = {0};
    gtm_error_set(&err, rc, "%s", gtm_err_text(rc));
    finish(w, &err);
}

int gtm_audit_verify_store(struct gtm_store *store, gtm_audit_report_fn *done, void *arg)
{
    struct walk *w = gtm_calloc(1, sizeof(*w));
    if (!w)
        return GTM_ENOMEM;
    *w = (struct walk){.store = store, .done = done, .arg = arg};
    int rc = gtm_store_fetch(store, GTM_AUDIT_PREFIX, "audit0", PAGE, on_entries, w);
    if (rc != GTM_OK)
        gtm_free(w);
    return rc;
}
