/* SPDX-License-Identifier: Apache-2.0
 *
 * Orders by the API: bodies, plans, refusals, commits. See api_orders.h and deploy/openapi.yaml.
 */
#include "gtm/daemon/api_orders.h"

#include "gtm/base/mem.h"
#include "gtm/daemon/api_objects.h"
#include "gtm/daemon/daemon.h"
#include "gtm/daemon/orders.h"
#include "gtm/daemon/timetext.h"

#include <stdio.h>
#include <string.h>

#define OVER_MAX_S 86400

/* --- the body --- */

static bool read_reason(struct gtm_api_order *o, const struct gtm_json *body)
{
    const struct gtm_json *reason = gtm_json_get(body, "reason");
    const char *text = gtm_json_as_str(reason);
    if (gtm_json_type(reason) == GTM_JSON_NULL)
        return true;
    if (!text || strlen(text) >= GTM_OVERRIDE_REASON_BYTES) {
        gtm_api_problem(o->req, 400, "badrequest", "reason must be a text of at most %d bytes",
                        GTM_OVERRIDE_REASON_BYTES - 1);
        return false;
    }
    snprintf(o->order.put.reason, sizeof(o->order.put.reason), "%s", text);
    return true;
}

static bool read_until(struct gtm_api_order *o, const struct gtm_json *body)
{
    const struct gtm_json *until = gtm_json_get(body, "until");
    const char *text = gtm_json_as_str(until);
    if (gtm_json_type(until) == GTM_JSON_NULL)
        return true;
    if (!text || gtm_time_parse(text, &o->order.put.until_ms)) {
        gtm_api_problem(o->req, 400, "badrequest",
                        "until must be an RFC 3339 time like 2026-11-20T17:00:00Z");
        return false;
    }
    if (o->order.put.until_ms > o->order.put.since_ms)
        return true;
    char now[GTM_TIME_TEXT_BYTES];
    gtm_api_problem(o->req, 400, "badrequest", "until lies in the past: for this node it is %s",
                    gtm_time_format(o->order.put.since_ms, now));
    return false;
}

/* Names of rules that may be broken: an emergency's right, and never without a reason. */
static bool read_rules(struct gtm_api_order *o, const struct gtm_json *body)
{
    const struct gtm_json *rules = gtm_json_get(body, "override_rules");
    char *out = o->order.put.rules;
    size_t n = 0;
    if (gtm_json_type(rules) == GTM_JSON_NULL ||
        (gtm_json_type(rules) == GTM_JSON_ARRAY && !gtm_json_first(rules)))
        return true;
    for (const struct gtm_json *r = gtm_json_first(rules); r; r = gtm_json_next(r)) {
        const char *name = gtm_json_as_str(r);
        size_t len = name ? strlen(name) : 0;
        if (len == 0 || len > GTM_NAME_MAX || strchr(name, ',') ||
            n + len + 2 > GTM_ORDER_RULES_BYTES) {
            gtm_api_problem(o->req, 400, "badrequest",
                            "override_rules must be a list of a few names of rules");
            return false;
        }
        n += (size_t)snprintf(out + n, GTM_ORDER_RULES_BYTES - n, "%s%s", n ? "," : "", name);
    }
    if (gtm_api_role(o->req) < GTM_API_BREAKGLASS)
        gtm_api_problem(o->req, 403, "denied",
                        "overriding a rule needs the role breakglass; you have %s",
                        gtm_api_role_word(gtm_api_role(o->req)));
    else if (!o->order.put.reason[0])
        gtm_api_problem(o->req, 400, "badrequest", "overriding a rule needs a reason");
    else
        return true;
    return false;
}

struct gtm_api_order *gtm_api_order_new(struct gtm_api_req *req, const char *allowed,
                                        struct gtm_json **ret_body)
{
    bool dry_run = false;
    *ret_body = NULL;
    if (!gtm_api_query_dry_run(req, &dry_run) || !gtm_api_if_match(req))
        return NULL;
    *ret_body = gtm_api_body_object(req, allowed);
    if (!*ret_body)
        return NULL;
    struct gtm_api_order *o = gtm_calloc(1, sizeof(*o));
    if (!o) {
        gtm_api_problem(req, 500, "internal", "out of memory");
    } else {
        o->req = req;
        o->dry_run = dry_run;
        o->order.role = gtm_api_role_word(gtm_api_role(req));
        o->order.put.since_ms = gtm_wall_ms(&gtm_api_daemon(req)->common);
        gtm_api_owner(req, o->order.put.owner);
        if (read_reason(o, *ret_body) && read_until(o, *ret_body) && read_rules(o, *ret_body))
            return o;
        gtm_free(o);
    }
    gtm_json_free(*ret_body);
    *ret_body = NULL;
    return NULL;
}

void gtm_api_order_drop(struct gtm_api_order *o)
{
    gtm_free(o);
}

/* --- the answer --- */

static struct gtm_json *rules_json(const struct gtm_order_plan *plan)
{
    struct gtm_json *list = gtm_json_array();
    for (size_t i = 0; i < plan->verdicts_count; i++) {
        const struct policy_verdict *v = &plan->verdicts[i];
        struct gtm_json *one = gtm_json_append_object(list);
        gtm_json_add_str(one, "name", v->rule->name);
        gtm_json_add_str(one, "kind", gtm_rule_kind_words[v->rule->kind]);
        gtm_json_add_str(one, "state", policy_rule_word(v->word));
        gtm_json_add_str(one, "text", v->text);
    }
    return list;
}

static struct gtm_json *blocked_json(const struct gtm_order_plan *plan)
{
    struct gtm_json *list = gtm_json_array();
    for (size_t i = 0; i < plan->verdicts_count; i++)
        if (plan->verdicts[i].word == POLICY_RULE_BLOCKED)
            gtm_json_append_str(list, plan->verdicts[i].rule->name);
    return list;
}

static struct gtm_json *item_of(const struct gtm_api_order *o, const struct gtm_order_plan *plan)
{
    struct gtm_json *item = gtm_json_object();
    gtm_json_add_str(item, "key", o->order.key);
    gtm_json_add_str(item, "pool", o->pool[0] ? o->pool : NULL);
    gtm_json_add_str(item, "endpoint", o->endpoint[0] ? o->endpoint : NULL);
    gtm_json_add_bool(item, "dry_run", o->dry_run);
    gtm_json_add(item, "before", gtm_api_admin(plan->had_before ? &plan->before : NULL));
    gtm_json_add(item, "after", gtm_api_admin(o->order.clear ? NULL : &o->order.put));
    gtm_json_add_i64(item, "serving_before", (int64_t)plan->serving_before);
    gtm_json_add_i64(item, "serving_after", (int64_t)plan->serving_after);
    gtm_json_add(item, "rules", rules_json(plan));
    gtm_json_add(item, "blocked_by", blocked_json(plan));
    return item;
}

static void answer(struct gtm_api_order *o, const char *warning)
{
    bool emptied = o->pool[0] && gtm_json_i64(o->item, "serving_before", 0) > 0 &&
                   gtm_json_i64(o->item, "serving_after", 0) == 0;
    if (!warning && emptied)
        warning = "no endpoint of the pool serves after this: what its names answer then is up to "
                  "their policies' all_down";
    gtm_json_add_str(o->item, "warning", warning);
    gtm_api_item(o->req, 200, "AdminChange", o->item);
    gtm_free(o);
}

static void fail(struct gtm_api_order *o, int code, const char *text)
{
    gtm_json_free(o->item);
    if (code == GTM_ECONFLICT)
        gtm_api_problem(o->req, 409, "conflict",
                        "another order was given at the same time: look again, then repeat it");
    else if (code == GTM_ELIMIT)
        gtm_api_problem(o->req, 409, "conflict", "more than %d orders are in force",
                        GTM_OVERRIDES_MAX);
    else
        gtm_api_problem(o->req, code == GTM_ENOMEM ? 500 : 503,
                        code == GTM_ENOMEM ? "internal" : "unavailable",
                        "the order is not in force: %s", text);
    gtm_free(o);
}

static void on_stored(void *arg, int code, const struct gtm_error *err)
{
    struct gtm_api_order *o = arg;
    const char *text = err && err->text[0] ? err->text : gtm_err_text(code);
    char warning[GTM_ERROR_TEXT_BYTES + 80] = "";
    if (code && gtm_api_daemon(o->req)->node->has_etcd) {
        fail(o, code, text);
        return;
    }
    if (code)
        snprintf(warning, sizeof(warning),
                 "in force, but not saved: a restart would forget it (%s)", text);
    answer(o, code ? warning : NULL);
}

static void refuse(struct gtm_api_order *o, const struct gtm_order_plan *plan)
{
    struct gtm_json *rules = rules_json(plan), *by = blocked_json(plan);
    char names[GTM_ORDER_RULES_BYTES];
    gtm_order_plan_names(plan, POLICY_RULE_BLOCKED, names);
    gtm_api_problem_blocked(o->req, by, rules, "%s is blocked by %s", o->order.verb, names);
    gtm_json_free(o->item);
    gtm_free(o);
}

void gtm_api_order_go(struct gtm_api_order *o)
{
    struct gtmd *d = gtm_api_daemon(o->req);
    struct gtm_order_plan plan;
    struct gtm_error err = {0};
    int rc = gtm_orders_plan(d, &o->order, &plan, &err);
    if (rc == GTM_EINVAL) {
        gtm_api_problem(o->req, 404, "notfound", "%s", err.text);
        gtm_free(o);
        return;
    }
    if (rc) {
        fail(o, rc, gtm_err_text(rc));
        return;
    }
    o->item = item_of(o, &plan);
    if (o->dry_run) {
        answer(o, NULL);
    } else if (gtm_order_plan_blocked(&plan)) {
        refuse(o, &plan);
    } else {
        rc = gtm_orders_commit(d, &o->order, &plan, on_stored, o);
        if (rc)
            fail(o, rc, gtm_err_text(rc));
    }
    gtm_order_plan_fini(&plan);
}

/* --- admin states --- */

/* How long a drain takes; false: it is wrong, and 400 was answered. */
static bool read_over(struct gtm_api_order *o, const struct gtm_json *body)
{
    const struct gtm_json *over = gtm_json_get(body, "over_s");
    double seconds = gtm_json_as_num(over, -1);
    if (gtm_json_type(over) == GTM_JSON_NULL)
        return true;
    if (!(seconds >= 0 && seconds <= OVER_MAX_S)) {
        gtm_api_problem(o->req, 400, "badrequest", "over_s must be 0 to %d seconds", OVER_MAX_S);
        return false;
    }
    if (seconds > 0 && o->order.put.admin != GTM_ADMIN_DRAIN) {
        gtm_api_problem(o->req, 400, "badrequest", "over_s goes with drain only");
        return false;
    }
    o->order.put.over_ms = (uint64_t)(seconds * 1000);
    return true;
}

static bool read_admin(struct gtm_api_order *o, const struct gtm_json *body, const char *noun)
{
    const char *state = gtm_json_str(body, "state", NULL);
    int admin = state ? gtm_admin_parse(state) : -1;
    if (admin < 0) {
        gtm_api_problem(o->req, 400, "badrequest", "state must be auto, up, down or drain");
        return false;
    }
    if (admin == GTM_ADMIN_AUTO && o->order.put.until_ms) {
        gtm_api_problem(o->req, 400, "badrequest", "auto has no end: until must be null");
        return false;
    }
    o->order.put.admin = (enum gtm_admin)admin;
    o->order.clear = admin == GTM_ADMIN_AUTO;
    snprintf(o->order.verb, sizeof(o->order.verb), "%s %s", noun,
             gtm_admin_word(o->order.put.admin));
    return read_over(o, body);
}

void gtm_api_order_admin(struct gtm_api_req *req, const char *noun, const char *name,
                         const char *endpoint)
{
    struct gtm_json *body = NULL;
    struct gtm_api_order *o =
        gtm_api_order_new(req, "state reason until over_s override_rules", &body);
    if (!o)
        return;
    bool fits = endpoint ? gtm_override_key(name, endpoint, o->order.key)
                         : gtm_override_key_of(noun, name, o->order.key);
    bool pool = endpoint || !strcmp(noun, "pool");
    snprintf(o->pool, sizeof(o->pool), "%s", pool ? name : "");
    snprintf(o->endpoint, sizeof(o->endpoint), "%s", endpoint ? endpoint : "");
    if (!fits) {
        gtm_api_problem(req, 400, "badrequest", "the name is too long");
        gtm_api_order_drop(o);
    } else if (read_admin(o, body, noun)) {
        gtm_api_order_go(o);
    } else {
        gtm_api_order_drop(o);
    }
    gtm_json_free(body);
}
