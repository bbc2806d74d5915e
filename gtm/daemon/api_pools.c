/* SPDX-License-Identifier: Apache-2.0
 *
 * /pools, /regions and orders for endpoints. See deploy/openapi.yaml.
 */
#include "gtm/base/mem.h"
#include "gtm/daemon/api_handlers.h"
#include "gtm/daemon/api_objects.h"
#include "gtm/daemon/daemon.h"
#include "gtm/daemon/timetext.h"

#include <stdio.h>
#include <string.h>

#define OVER_MAX_S 86400

/* --- lists --- */

enum list_what { LIST_POOLS, LIST_POOL, LIST_ENDPOINTS, LIST_REGIONS };

struct list_job {
    struct gtm_facts *facts;
    uint64_t revision;
    enum list_what what;
    size_t pool;
};

static void list_fini(void *arg)
{
    struct list_job *job = arg;
    gtm_facts_free(job->facts);
    gtm_free(job);
}

static struct gtm_json *list_build(void *arg)
{
    struct list_job *job = arg;
    const struct gtm_facts *facts = job->facts;
    if (job->what == LIST_POOL)
        return gtm_api_item_root("Pool", job->revision, gtm_api_pool(facts, job->pool, true));
    if (job->what == LIST_ENDPOINTS)
        return gtm_api_list_root("EndpointList", job->revision,
                                 gtm_api_endpoints(facts, job->pool));
    struct gtm_json *items = gtm_json_array();
    if (job->what == LIST_REGIONS) {
        for (size_t r = 0; r < facts->intent->regions_count; r++)
            gtm_json_append(items, gtm_api_region(facts, r));
        return gtm_api_list_root("RegionList", job->revision, items);
    }
    for (size_t p = 0; p < facts->intent->pools_count; p++)
        gtm_json_append(items, gtm_api_pool(facts, p, false));
    return gtm_api_list_root("PoolList", job->revision, items);
}

static void list(struct gtm_api_req *req, enum list_what what, size_t pool)
{
    struct gtmd *d = gtm_api_daemon(req);
    const struct gtm_facts *facts = gtm_state_facts(d->state);
    struct list_job *job = gtm_calloc(1, sizeof(*job));
    struct gtm_facts *clone = job ? gtm_facts_clone(facts) : NULL;
    if (!clone) {
        gtm_free(job);
        gtm_api_problem(req, 500, "internal", "out of memory");
        return;
    }
    *job = (struct list_job){clone, gtmd_revision(d), what, pool};
    size_t cost = what == LIST_POOL || what == LIST_ENDPOINTS
                      ? facts->intent->pools[pool].endpoints_count
                  : what == LIST_REGIONS ? facts->endpoints / 16 + facts->intent->regions_count
                                         : facts->endpoints / 4 + facts->intent->pools_count;
    gtm_api_build(req, cost > GTM_API_INLINE_ENDPOINTS, list_build, list_fini, job);
}

/* The pool of the path; -1: there is none, and 404 was answered. */
static int find_pool(struct gtm_api_req *req)
{
    const char *name = gtm_api_path(req, "pool");
    int pool = gtm_intent_pool(gtm_api_daemon(req)->intent, name);
    if (pool < 0)
        gtm_api_problem(req, 404, "notfound", "there is no pool '%.100s'", name);
    return pool;
}

static int find_endpoint(struct gtm_api_req *req, int pool)
{
    const char *name = gtm_api_path(req, "endpoint");
    const struct gtm_pool *p = &gtm_api_daemon(req)->intent->pools[pool];
    int endpoint = gtm_pool_endpoint(p, name);
    if (endpoint < 0)
        gtm_api_problem(req, 404, "notfound", "pool '%s' has no endpoint '%.100s'", p->name, name);
    return endpoint;
}

void gtm_api_get_pools(struct gtm_api_req *req)
{
    list(req, LIST_POOLS, 0);
}

void gtm_api_get_pool(struct gtm_api_req *req)
{
    int pool = find_pool(req);
    if (pool >= 0)
        list(req, LIST_POOL, (size_t)pool);
}

void gtm_api_get_endpoints(struct gtm_api_req *req)
{
    int pool = find_pool(req);
    if (pool >= 0)
        list(req, LIST_ENDPOINTS, (size_t)pool);
}

void gtm_api_get_endpoint(struct gtm_api_req *req)
{
    int pool = find_pool(req), endpoint = pool >= 0 ? find_endpoint(req, pool) : -1;
    if (endpoint >= 0)
        gtm_api_item(req, 200, "Endpoint",
                     gtm_api_endpoint(gtm_state_facts(gtm_api_daemon(req)->state), (size_t)pool,
                                      (size_t)endpoint));
}

void gtm_api_get_regions(struct gtm_api_req *req)
{
    list(req, LIST_REGIONS, 0);
}

/* --- orders --- */

struct order {
    struct gtm_api_req *req;
    size_t pool; /* until the order is in force: a reload may come before the answer */
    char pool_name[GTM_NAME_MAX + 1], endpoint_name[GTM_NAME_MAX + 1]; /* "" = the whole pool */
    bool dry_run, had_before;
    char key[GTM_OVERRIDE_KEY_BYTES];
    struct gtm_override before, after; /* after.admin auto = withdrawn */
    size_t serving_before, serving_after;
    char warning[GTM_ERROR_TEXT_BYTES + 80];
};

/* How long a drain takes; false: it is wrong, and 400 was answered. */
static bool read_over(struct order *order, const struct gtm_json *body)
{
    const struct gtm_json *over = gtm_json_get(body, "over_s");
    double seconds = gtm_json_as_num(over, -1);
    if (gtm_json_type(over) == GTM_JSON_NULL)
        return true;
    if (!(seconds >= 0 && seconds <= OVER_MAX_S)) {
        gtm_api_problem(order->req, 400, "badrequest", "over_s must be 0 to %d seconds",
                        OVER_MAX_S);
        return false;
    }
    if (seconds > 0 && order->after.admin != GTM_ADMIN_DRAIN) {
        gtm_api_problem(order->req, 400, "badrequest", "over_s goes with drain only");
        return false;
    }
    order->after.over_ms = (uint64_t)(seconds * 1000);
    return true;
}

/* Fills the order from the body; false: it is wrong, and 400 was answered. */
static bool read_order(struct order *order, const struct gtm_json *body)
{
    struct gtm_api_req *req = order->req;
    const char *state = gtm_json_str(body, "state", NULL);
    const struct gtm_json *reason = gtm_json_get(body, "reason");
    const struct gtm_json *until = gtm_json_get(body, "until");
    int admin = state ? gtm_admin_parse(state) : -1;
    if (admin < 0) {
        gtm_api_problem(req, 400, "badrequest", "state must be auto, up, down or drain");
        return false;
    }
    const char *reason_text = gtm_json_as_str(reason);
    if (gtm_json_type(reason) != GTM_JSON_NULL &&
        (!reason_text || strlen(reason_text) >= GTM_OVERRIDE_REASON_BYTES)) {
        gtm_api_problem(req, 400, "badrequest", "reason must be a text of at most %d bytes",
                        GTM_OVERRIDE_REASON_BYTES - 1);
        return false;
    }
    int64_t now = gtm_wall_ms(gtm_api_daemon(req)->clock);
    order->after = (struct gtm_override){.admin = (enum gtm_admin)admin, .since_ms = now};
    snprintf(order->after.reason, sizeof(order->after.reason), "%s",
             reason_text ? reason_text : "");
    gtm_api_owner(req, order->after.owner);
    if (!read_over(order, body))
        return false;
    if (gtm_json_type(until) == GTM_JSON_NULL)
        return true;
    const char *until_text = gtm_json_as_str(until);
    if (!until_text || gtm_time_parse(until_text, &order->after.until_ms)) {
        gtm_api_problem(req, 400, "badrequest",
                        "until must be an RFC 3339 time like 2026-11-20T17:00:00Z");
        return false;
    }
    if (order->after.until_ms <= now || admin == GTM_ADMIN_AUTO) {
        gtm_api_problem(req, 400, "badrequest",
                        admin == GTM_ADMIN_AUTO ? "auto has no end: until must be null"
                                                : "until lies in the past");
        return false;
    }
    return true;
}

/* How many endpoints of the pool would serve; false: out of memory. */
static bool forecast(struct order *order, const struct gtm_facts *facts)
{
    struct gtm_facts *clone = gtm_facts_clone(facts);
    if (!clone)
        return false;
    int rc = 0;
    if (order->after.admin == GTM_ADMIN_AUTO)
        gtm_overrides_remove(&clone->overrides, order->key);
    else
        rc = gtm_overrides_put(&clone->overrides, order->key, &order->after);
    gtm_facts_apply_override(clone, order->key, NULL);
    order->serving_before = gtm_facts_serving(facts, order->pool);
    order->serving_after = gtm_facts_serving(clone, order->pool);
    gtm_facts_free(clone);
    if (order->serving_before > 0 && order->serving_after == 0)
        snprintf(order->warning, sizeof(order->warning),
                 "no endpoint of the pool serves after this: what its names answer then is up to "
                 "their policies' all_down");
    return rc == 0;
}

static void answer_order(struct order *order)
{
    struct gtm_json *item = gtm_json_object();
    gtm_json_add_str(item, "pool", order->pool_name);
    gtm_json_add_str(item, "endpoint", order->endpoint_name[0] ? order->endpoint_name : NULL);
    gtm_json_add_bool(item, "dry_run", order->dry_run);
    gtm_json_add(item, "before", gtm_api_admin(order->had_before ? &order->before : NULL));
    gtm_json_add(item, "after",
                 gtm_api_admin(order->after.admin == GTM_ADMIN_AUTO ? NULL : &order->after));
    gtm_json_add_i64(item, "serving_before", (int64_t)order->serving_before);
    gtm_json_add_i64(item, "serving_after", (int64_t)order->serving_after);
    gtm_json_add_str(item, "warning", order->warning[0] ? order->warning : NULL);
    gtm_api_item(order->req, 200, "AdminChange", item);
}

static void on_order_stored(void *arg, int code, const struct gtm_error *err)
{
    struct order *order = arg;
    if (code)
        snprintf(order->warning, sizeof(order->warning),
                 "in force, but not saved: a restart would forget it (%s)",
                 err && err->text[0] ? err->text : gtm_err_text(code));
    answer_order(order);
    gtm_free(order);
}

static void note_order(struct gtmd *d, const struct order *order)
{
    char cause[GTM_OVERRIDE_OWNER_BYTES + GTM_OVERRIDE_REASON_BYTES + 8];
    snprintf(cause, sizeof(cause), "%s%s%s", order->after.owner, order->after.reason[0] ? ": " : "",
             order->after.reason);
    gtm_events_add(d->events, &(struct gtm_event){.type = GTM_EVENT_ADMIN_CHANGED,
                                                  .level = GTM_LOG_INFO,
                                                  .subject = order->key,
                                                  .from = gtm_admin_word(order->had_before
                                                                             ? order->before.admin
                                                                             : GTM_ADMIN_AUTO),
                                                  .to = gtm_admin_word(order->after.admin),
                                                  .cause = cause});
}

/* Owns order from here on. */
static void carry_out(struct order *order)
{
    struct gtmd *d = gtm_api_daemon(order->req);
    const struct gtm_facts *facts = gtm_state_facts(d->state);
    const struct gtm_override *before = gtm_overrides_get(&facts->overrides, order->key);
    order->had_before = before != NULL;
    if (before)
        order->before = *before;
    if (!forecast(order, facts)) {
        gtm_api_problem(order->req, 500, "internal", "out of memory");
        gtm_free(order);
        return;
    }
    if (order->dry_run) {
        answer_order(order);
        gtm_free(order);
        return;
    }
    note_order(d, order);
    int rc = gtm_state_override(d->state, order->key,
                                order->after.admin == GTM_ADMIN_AUTO ? NULL : &order->after,
                                on_order_stored, order);
    if (!rc)
        return;
    if (rc == GTM_ELIMIT)
        gtm_api_problem(order->req, 409, "conflict", "more than %d orders are in force",
                        GTM_OVERRIDES_MAX);
    else
        gtm_api_problem(order->req, 500, "internal", "%s", gtm_err_text(rc));
    gtm_free(order);
}

static void put_admin(struct gtm_api_req *req, int pool, int endpoint)
{
    struct gtm_json *body = NULL;
    struct order *order = NULL;
    bool dry_run = false;
    if (!gtm_api_query_dry_run(req, &dry_run) || !gtm_api_if_match(req))
        return;
    body = gtm_api_body_object(req, "state reason until over_s");
    if (!body)
        return;
    const struct gtm_pool *p = &gtm_api_daemon(req)->intent->pools[pool];
    order = gtm_calloc(1, sizeof(*order));
    const char *name = endpoint >= 0 ? p->endpoints[endpoint].name : NULL;
    if (order) {
        *order = (struct order){.req = req, .pool = (size_t)pool, .dry_run = dry_run};
        snprintf(order->pool_name, sizeof(order->pool_name), "%s", p->name);
        snprintf(order->endpoint_name, sizeof(order->endpoint_name), "%s", name ? name : "");
    }
    if (!order || !gtm_override_key(p->name, name, order->key)) {
        gtm_free(order);
        gtm_api_problem(req, 500, "internal", "out of memory");
    } else if (read_order(order, body)) {
        carry_out(order);
    } else {
        gtm_free(order);
    }
    gtm_json_free(body);
}

void gtm_api_put_pool_admin(struct gtm_api_req *req)
{
    int pool = find_pool(req);
    if (pool >= 0)
        put_admin(req, pool, -1);
}

void gtm_api_put_endpoint_admin(struct gtm_api_req *req)
{
    int pool = find_pool(req), endpoint = pool >= 0 ? find_endpoint(req, pool) : -1;
    if (endpoint >= 0)
        put_admin(req, pool, endpoint);
}

void gtm_api_post_endpoint_resume(struct gtm_api_req *req)
{
    int pool = find_pool(req), endpoint = pool >= 0 ? find_endpoint(req, pool) : -1;
    char owner[GTM_OVERRIDE_OWNER_BYTES];
    bool dry_run = false;
    if (endpoint < 0 || !gtm_api_query_dry_run(req, &dry_run) || !gtm_api_if_match(req))
        return;
    struct gtm_state *state = gtm_api_daemon(req)->state;
    gtm_api_owner(req, owner);
    int rc = gtm_state_resume(state, (size_t)pool, (size_t)endpoint, owner, dry_run);
    if (rc)
        gtm_api_problem(req, 409, "conflict",
                        "it waits for nothing: only a recovered endpoint that is held, or waits "
                        "for a word (failback.mode: manual), can be resumed");
    else
        gtm_api_item(req, 200, "Endpoint",
                     gtm_api_endpoint(gtm_state_facts(state), (size_t)pool, (size_t)endpoint));
}
