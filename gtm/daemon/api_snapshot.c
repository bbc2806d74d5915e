/* SPDX-License-Identifier: Apache-2.0
 *
 * /snapshots: the whole store into a file and back, and an operator's word that what etcd has is
 * the truth. What changes the store is audited when this node's copy shows it. See
 * deploy/openapi.yaml.
 */
#include "gtm/base/mem.h"
#include "gtm/coord/audit.h"
#include "gtm/coord/store_etcd.h"
#include "gtm/daemon/api_handlers.h"
#include "gtm/daemon/api_orders.h"
#include "gtm/daemon/daemon.h"

#include <stdio.h>
#include <string.h>

struct ask {
    struct gtm_api_req *req;
    struct gtm_json *body;
    bool save;
    const char *verb; /* for the audit chain */
    char owner[GTM_OVERRIDE_OWNER_BYTES];
    int64_t revision;
};

static void ask_free(struct ask *ask)
{
    gtm_json_free(ask->body);
    gtm_free(ask);
}

static void refuse(struct ask *ask, const struct gtm_store_result *result, const char *before)
{
    char text[GTM_ERROR_TEXT_BYTES + GTM_ERROR_FILE_BYTES + 32] = "";
    if (result->err && result->err->text[0])
        gtm_error_format(result->err, text, sizeof(text));
    bool invalid = result->code == GTM_ECORRUPT || result->code == GTM_EUNSUPPORTED ||
                   result->code == GTM_ENOTFOUND;
    gtm_api_problem(ask->req, invalid ? 422 : 503, invalid ? "invalid" : "unavailable", "%s%s",
                    before, text[0] ? text : gtm_err_text(result->code));
    ask_free(ask);
}

static void reply(struct ask *ask)
{
    struct gtm_json *item = gtm_json_object();
    gtm_json_add_i64(item, "store_revision", ask->revision);
    gtm_api_item(ask->req, 200, "Snapshot", item);
    ask_free(ask);
}

static void on_audited(void *arg, const struct gtm_store_result *result)
{
    if (result->code)
        refuse(arg, result, "it is done, but could not be written into the audit chain: ");
    else
        reply(arg);
}

static void on_snapshot(void *arg, const struct gtm_store_result *result)
{
    struct ask *ask = arg;
    if (result->code) {
        refuse(ask, result, "");
        return;
    }
    ask->revision = result->revision;
    if (ask->save) {
        reply(ask);
        return;
    }
    const struct gtmd *d = gtm_api_daemon(ask->req);
    struct gtm_audit_entry entry = {.time_ms = gtm_wall_ms(d->clock),
                                    .who = ask->owner,
                                    .role = gtm_api_role_word(gtm_api_role(ask->req)),
                                    .node = d->node->name,
                                    .verb = ask->verb,
                                    .subject = "store",
                                    .why = gtm_json_str(ask->body, "reason", NULL)};
    int rc = gtm_audit_commit(d->store, &entry, NULL, 0, on_audited, ask);
    if (rc)
        on_audited(ask, &(struct gtm_store_result){.code = rc});
}

static void begin(struct gtm_api_req *req, const char *verb, struct gtm_json *body)
{
    struct gtm_store *store = gtm_api_daemon(req)->store;
    const char *path = gtm_json_str(body, "path", ""), *reason = gtm_json_str(body, "reason", "");
    struct ask *ask = gtm_calloc(1, sizeof(*ask));
    int rc = GTM_ENOMEM;
    if (ask) {
        *ask = (struct ask){.req = req, .body = body, .save = !strcmp(verb, "save")};
        gtm_api_owner(req, ask->owner);
        if (ask->save) {
            rc = gtm_store_etcd_save(store, path, on_snapshot, ask);
        } else if (!strcmp(verb, "restore")) {
            ask->verb = "snapshot restore";
            rc = gtm_store_etcd_restore(store, path, ask->owner, reason, on_snapshot, ask);
        } else {
            ask->verb = "snapshot adopt";
            rc = gtm_store_etcd_adopt(store, ask->owner, reason, on_snapshot, ask);
        }
    }
    if (rc == GTM_OK)
        return;
    gtm_api_problem(req, 503, "unavailable", "%s", gtm_err_text(rc));
    gtm_json_free(body);
    gtm_free(ask);
}

void gtm_api_post_snapshot(struct gtm_api_req *req)
{
    const char *verb = gtm_api_path(req, "verb");
    bool save = !strcmp(verb, "save"), restore = !strcmp(verb, "restore"), dry_run = false;
    if (!gtm_api_has_store(req) || !gtm_api_query_dry_run(req, &dry_run) || !gtm_api_if_match(req))
        return;
    struct gtm_json *body = gtm_api_body_object(req, "path reason");
    if (!body)
        return;
    const char *path = gtm_json_str(body, "path", ""), *reason = gtm_json_str(body, "reason", "");
    if (!save && !restore && strcmp(verb, "adopt") != 0)
        gtm_api_problem(req, 404, "notfound", "there are save, restore and adopt");
    else if (!save && gtm_api_role(req) < GTM_API_BREAKGLASS)
        gtm_api_problem(req, 403, "denied", "this needs the role breakglass; you have %s",
                        gtm_api_role_word(gtm_api_role(req)));
    else if ((save || restore) && path[0] != '/')
        gtm_api_problem(req, 400, "badrequest", "path must be absolute, on the node's host");
    else if (!save && !reason[0])
        gtm_api_problem(req, 400, "badrequest", "this needs a reason");
    else if (dry_run)
        gtm_api_item(req, 200, "Snapshot", gtm_json_object());
    else {
        begin(req, verb, body);
        return;
    }
    gtm_json_free(body);
}
