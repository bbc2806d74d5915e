/* SPDX-License-Identifier: Apache-2.0
 *
 * /audit: the audit chain, read, checked, and given away as it stands. See deploy/openapi.yaml.
 */
#include "gtm/base/buf.h"
#include "gtm/base/mem.h"
#include "gtm/coord/audit.h"
#include "gtm/daemon/api_handlers.h"
#include "gtm/daemon/daemon.h"

#include <stdlib.h>
#include <string.h>

#define AUDIT_LIMIT 100
#define AUDIT_MAX   1000
#define END         "audit/:" /* behind all numbers */

static void unavailable(struct gtm_api_req *req, int code, const struct gtm_error *err)
{
    gtm_api_problem(req, 503, "unavailable", "the audit chain cannot be read: %s",
                    err && err->text[0] ? err->text : gtm_err_text(code));
}

static void on_audit(void *arg, const struct gtm_store_fetched *fetched)
{
    struct gtm_api_req *req = arg;
    if (fetched->code) {
        unavailable(req, fetched->code, fetched->err);
        return;
    }
    struct gtm_json *items = gtm_json_array();
    for (size_t i = 0; i < fetched->count; i++) {
        struct gtm_json *one =
            gtm_json_parse(fetched->entries[i].value, fetched->entries[i].value_len, NULL);
        one = one ? one : gtm_json_object();
        gtm_api_add_time(one, "at", gtm_json_i64(one, "time", 0));
        gtm_json_append(items, one);
    }
    gtm_api_list(req, "AuditList", items);
}

void gtm_api_get_audit(struct gtm_api_req *req)
{
    struct gtmd *d = gtm_api_daemon(req);
    uint64_t after = 0, limit = AUDIT_LIMIT;
    struct gtm_store_entry head;
    char from[GTM_AUDIT_KEY_BYTES];
    if (!gtm_api_query_u64(req, "after", 0, 0, INT64_MAX / 2, &after) ||
        !gtm_api_query_u64(req, "limit", AUDIT_LIMIT, 1, AUDIT_MAX, &limit))
        return;
    if (!gtm_api_query(req, "after") && !gtm_store_get(d->store, GTM_AUDIT_HEAD, &head)) {
        struct gtm_json *root = gtm_json_parse(head.value, head.value_len, NULL);
        uint64_t seq = (uint64_t)gtm_json_i64(root, "seq", 0);
        after = seq > limit ? seq - limit : 0; /* the newest */
        gtm_json_free(root);
    }
    gtm_audit_key((int64_t)after + 1, from);
    int rc = gtm_store_fetch(d->store, from, END, (size_t)limit, on_audit, req);
    if (rc)
        gtm_api_problem(req, 503, "unavailable", "%s", gtm_err_text(rc));
}

static void on_verified(void *arg, const struct gtm_audit_report *report)
{
    const char *error = report->code == 0                     ? NULL
                        : report->err && report->err->text[0] ? report->err->text
                                                              : gtm_err_text(report->code);
    if (error && report->code != GTM_ECORRUPT) { /* says nothing about the chain */
        gtm_api_problem(arg, 503, "unavailable", "the audit chain cannot be checked: %s", error);
        return;
    }
    struct gtm_json *item = gtm_json_object();
    gtm_json_add_bool(item, "sound", report->code == 0);
    gtm_json_add_i64(item, "first", report->first);
    gtm_json_add_i64(item, "last", report->last);
    gtm_json_add_str(item, "hash", report->hash[0] ? report->hash : NULL);
    gtm_json_add_str(item, "error", error);
    gtm_api_item(arg, 200, "AuditCheck", item);
}

void gtm_api_get_audit_verify(struct gtm_api_req *req)
{
    int rc = gtm_audit_verify_store(gtm_api_daemon(req)->store, on_verified, req);
    if (rc)
        gtm_api_problem(req, 503, "unavailable", "%s", gtm_err_text(rc));
}

/* --- export --- */

struct page {
    struct gtm_api_req *req;
    struct gtm_buf lines;
    int64_t last; /* seq of the newest entry that the client has with this page */
    bool empty;
};

static void page_fail(struct page *page, int code, const struct gtm_error *err)
{
    unavailable(page->req, code, err);
    gtm_buf_fini(&page->lines);
    gtm_free(page);
}

static void page_send(struct page *page)
{
    gtm_buf_adds(&page->lines, "");
    gtm_api_text(page->req, 200, "application/jsonl", gtm_buf_take(&page->lines));
    gtm_free(page);
}

/* The head ends it, unless entries came meanwhile: those the client asks for next. */
static void on_head(void *arg, const struct gtm_store_fetched *fetched)
{
    struct page *page = arg;
    struct gtm_audit_head head = {0};
    struct gtm_error err = {0};
    if (fetched->code) {
        page_fail(page, fetched->code, fetched->err);
        return;
    }
    const struct gtm_store_entry *e = fetched->count ? fetched->entries : NULL;
    if (e && (gtm_audit_head_parse(e->value, e->value_len, &head, &err) || page->empty ||
              head.seq <= page->last)) {
        gtm_buf_add(&page->lines, e->value, e->value_len);
        gtm_buf_addc(&page->lines, '\n');
    }
    page_send(page);
}

static void on_page(void *arg, const struct gtm_store_fetched *fetched)
{
    struct page *page = arg;
    if (fetched->code) {
        page_fail(page, fetched->code, fetched->err);
        return;
    }
    page->empty = fetched->count == 0;
    for (size_t i = 0; i < fetched->count; i++) {
        const struct gtm_store_entry *e = &fetched->entries[i];
        gtm_buf_add(&page->lines, e->value, e->value_len);
        gtm_buf_addc(&page->lines, '\n');
        page->last = (int64_t)strtoull(e->key + strlen(GTM_AUDIT_PREFIX), NULL, 10);
    }
    int rc = fetched->more ? GTM_OK
                           : gtm_store_fetch(gtm_api_daemon(page->req)->store, GTM_AUDIT_HEAD, NULL,
                                             1, on_head, page);
    if (rc)
        page_fail(page, rc, NULL);
    else if (fetched->more)
        page_send(page);
}

void gtm_api_get_audit_export(struct gtm_api_req *req)
{
    uint64_t after = 0, limit = AUDIT_MAX;
    char from[GTM_AUDIT_KEY_BYTES];
    if (!gtm_api_query_u64(req, "after", 0, 0, INT64_MAX / 2, &after) ||
        !gtm_api_query_u64(req, "limit", AUDIT_MAX, 1, AUDIT_MAX, &limit))
        return;
    struct page *page = gtm_calloc(1, sizeof(*page));
    int rc = GTM_ENOMEM;
    if (page) {
        *page = (struct page){.req = req, .last = (int64_t)after};
        gtm_audit_key((int64_t)after + 1, from);
        rc = gtm_store_fetch(gtm_api_daemon(req)->store, after ? from : GTM_AUDIT_PREFIX, END,
                             (size_t)limit, on_page, page);
    }
    if (!rc)
        return;
    unavailable(req, rc, NULL);
    gtm_free(page);
}
