/* SPDX-License-Identifier: Apache-2.0
 *
 * /traffic, /overrides, /rules, /switches and /automation. See deploy/openapi.yaml.
 */
#include "gtm/base/mem.h"
#include "gtm/daemon/api_handlers.h"
#include "gtm/daemon/api_objects.h"
#include "gtm/daemon/api_orders.h"
#include "gtm/daemon/daemon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAUSE_DEFAULT_MS  30000
#define PAUSE_MAX_S       86400
#define AUTOMATION_MS     3600000 /* a pause that says no end */
#define AUTOMATION_MAX_MS (7 * 24 * INT64_C(3600000))
#define STEPS_DEFAULT     "10,50,100"

static const struct gtm_facts *facts_of(const struct gtm_api_req *req)
{
    return gtm_state_facts(gtm_api_daemon(req)->state);
}

/* --- traffic --- */

static struct gtm_json *traffic_json(const struct gtm_facts *facts, size_t r)
{
    const char *name = facts->intent->regions[r].name;
    char key[GTM_OVERRIDE_KEY_BYTES];
    bool fits = gtm_override_key_of("shift", name, key);
    const struct gtm_override *shift = fits ? gtm_overrides_get(&facts->overrides, key) : NULL;
    struct gtm_json *one = gtm_api_region(facts, r);
    if (shift)
        gtm_json_add(one, "shift", gtm_api_admin(shift));
    else
        gtm_json_add_null(one, "shift");
    return one;
}

void gtm_api_get_traffic(struct gtm_api_req *req)
{
    const struct gtm_facts *facts = facts_of(req);
    struct gtm_json *items = gtm_json_array();
    for (size_t r = 0; r < facts->intent->regions_count; r++)
        gtm_json_append(items, traffic_json(facts, r));
    gtm_api_list(req, "TrafficList", items);
}

/* Steps and pause of a new shift; false: wrong, and 400 was answered. */
static bool read_shift(struct gtm_api_order *o, const struct gtm_json *body)
{
    struct policy_shift *shift = &o->order.put.shift;
    const struct gtm_json *steps = gtm_json_get(body, "steps");
    double pause_s = gtm_json_num(body, "pause_s", PAUSE_DEFAULT_MS / 1000.0);
    char text[POLICY_SHIFT_TEXT] = "";
    size_t n = 0;
    struct gtm_error err = {0};
    for (const struct gtm_json *s = gtm_json_first(steps); s && n < sizeof(text);
         s = gtm_json_next(s))
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%lld", n ? "," : "",
                              (long long)gtm_json_as_i64(s, 0));
    if (gtm_json_type(steps) == GTM_JSON_NULL)
        snprintf(text, sizeof(text), STEPS_DEFAULT);
    if (policy_shift_parse(text, shift, &err)) {
        gtm_api_problem(o->req, 400, "badrequest", "%s", err.text);
        return false;
    }
    if (!(pause_s >= 1 && pause_s <= PAUSE_MAX_S)) {
        gtm_api_problem(o->req, 400, "badrequest", "pause_s must be 1 to %d seconds", PAUSE_MAX_S);
        return false;
    }
    shift->pause_ms = (uint64_t)(pause_s * 1000);
    return true;
}

/* A shift that is under way goes on from where it is; false: there is none, and 409 was answered.
 */
static bool read_present(struct gtm_api_order *o, const char *region, const char *state)
{
    const struct gtm_override *now = gtm_overrides_get(&facts_of(o->req)->overrides, o->order.key);
    struct gtm_override *put = &o->order.put;
    if (!now || now->kind != GTM_ORDER_SHIFT) {
        gtm_api_problem(o->req, 409, "conflict", "no users of region %s are being moved", region);
        return false;
    }
    o->order.clear = !strcmp(state, "undo");
    put->shift = now->shift;
    put->shift_unwell = gtm_orders_unwell(
        facts_of(o->req), (size_t)gtm_facts_find_region(facts_of(o->req), o->order.key));
    put->since_ms = now->since_ms;
    put->until_ms = now->until_ms;
    put->shift.held = !strcmp(state, "hold");
    if (!put->rules[0])
        snprintf(put->rules, sizeof(put->rules), "%s", now->rules);
    if (put->shift.held)
        snprintf(put->shift_why, sizeof(put->shift_why), "held by %.63s", put->owner);
    return true;
}

void gtm_api_put_traffic(struct gtm_api_req *req)
{
    struct gtm_json *body = NULL;
    const char *region = gtm_api_path(req, "region");
    const struct gtm_facts *facts = facts_of(req);
    int r = gtm_intent_region(facts->intent, region);
    if (r < 0) {
        gtm_api_problem(req, 404, "notfound", "there is no region '%.100s'", region);
        return;
    }
    struct gtm_api_order *o =
        gtm_api_order_new(req, "state steps pause_s reason until override_rules", &body);
    if (!o)
        return;
    const char *state = gtm_json_str(body, "state", "");
    bool fresh = !strcmp(state, "shift"), fine = false;
    struct gtm_override *put = &o->order.put;
    put->kind = GTM_ORDER_SHIFT;
    gtm_override_key_of("shift", facts->intent->regions[r].name, o->order.key);
    snprintf(o->order.verb, sizeof(o->order.verb), "traffic %.20s", state);
    if (!fresh && strcmp(state, "hold") != 0 && strcmp(state, "resume") != 0 &&
        strcmp(state, "undo") != 0) {
        gtm_api_problem(req, 400, "badrequest", "state must be shift, hold, resume or undo");
    } else if (fresh && gtm_overrides_get(&facts->overrides, o->order.key)) {
        gtm_api_problem(req, 409, "conflict",
                        "users of region %s are being moved already: hold, resume or undo that",
                        region);
    } else if (fresh) {
        fine = read_shift(o, body);
        put->shift.done = 1; /* the first step at once */
        put->shift.since_ms = put->since_ms;
        put->shift_unwell = gtm_orders_unwell(facts, (size_t)r);
    } else {
        fine = read_present(o, region, state);
    }
    gtm_json_free(body);
    if (fine)
        gtm_api_order_go(o);
    else
        gtm_api_order_drop(o);
}

/* --- overrides --- */

struct named {
    const char *key;
    const struct gtm_override *override;
};

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct named *)a)->key, ((const struct named *)b)->key);
}

void gtm_api_get_overrides(struct gtm_api_req *req)
{
    const struct gtm_facts *facts = facts_of(req);
    size_t count = gtm_map_count(facts->overrides.map), n = 0, it = 0;
    struct named *all = gtm_calloc(count + 1, sizeof(*all));
    struct gtm_json *items = all ? gtm_json_array() : NULL;
    void *value;
    while (all && n < count && gtm_map_next(facts->overrides.map, &it, &all[n].key, &value))
        all[n++].override = value;
    if (all)
        qsort(all, n, sizeof(*all), by_key);
    for (size_t i = 0; i < n; i++) {
        struct gtm_json *one = gtm_api_admin(all[i].override);
        gtm_json_add_str(one, "key", all[i].key);
        gtm_json_append(items, one);
    }
    gtm_free(all);
    gtm_api_list(req, "OverrideList", items);
}

void gtm_api_post_overrides_clear(struct gtm_api_req *req)
{
    struct gtm_json *body = NULL;
    struct gtm_api_order *o = gtm_api_order_new(req, "key reason", &body);
    if (!o)
        return;
    const char *key = gtm_json_str(body, "key", "");
    const struct gtm_override *now = strlen(key) < GTM_OVERRIDE_KEY_BYTES
                                         ? gtm_overrides_get(&facts_of(req)->overrides, key)
                                         : NULL;
    if (now) {
        o->order.clear = true;
        o->order.put.kind = now->kind;
        snprintf(o->order.key, sizeof(o->order.key), "%s", key);
        snprintf(o->order.verb, sizeof(o->order.verb), "override clear");
        gtm_api_order_go(o);
    } else {
        gtm_api_problem(req, 404, "notfound", "there is no order '%.160s'", key);
        gtm_api_order_drop(o);
    }
    gtm_json_free(body);
}

/* --- rules and their switches --- */

static enum gtm_switch position_of(const struct gtm_facts *facts, const char *name)
{
    char key[GTM_OVERRIDE_KEY_BYTES];
    const struct gtm_override *o =
        gtm_override_key_of("switch", name, key) ? gtm_overrides_get(&facts->overrides, key) : NULL;
    return o && o->kind == GTM_ORDER_SWITCH ? o->on : GTM_SWITCH_OFF;
}

static struct gtm_json *rule_json(const struct gtm_facts *facts, const struct gtm_rule *rule)
{
    struct gtm_json *one = gtm_json_object();
    char wants[160];
    gtm_json_add_str(one, "name", rule->name);
    gtm_json_add_str(one, "kind", gtm_rule_kind_words[rule->kind]);
    gtm_json_add_str(one, "when", rule->when == GTM_RULE_PLANNED ? "planned" : "always");
    if (rule->kind == GTM_RULE_GATE)
        snprintf(wants, sizeof(wants), "switch %s %s", rule->switch_name,
                 gtm_switch_words[rule->allow]);
    else if (rule->kind == GTM_RULE_COOLDOWN)
        snprintf(wants, sizeof(wants), "time %llu s", (unsigned long long)rule->time_ms / 1000);
    else
        snprintf(wants, sizeof(wants), "%s %g", rule->kind == GTM_RULE_REGIONS_OUT ? "max" : "min",
                 rule->kind == GTM_RULE_REGIONS_OUT ? rule->max : rule->min);
    gtm_json_add_str(one, "wants", wants);
    gtm_json_add_bool(one, "default", facts->intent->rules_count == 0);
    if (rule->kind == GTM_RULE_GATE) {
        gtm_json_add_str(one, "switch", rule->switch_name);
        gtm_json_add_str(one, "position", gtm_switch_words[position_of(facts, rule->switch_name)]);
    } else {
        gtm_json_add_null(one, "switch");
        gtm_json_add_null(one, "position");
    }
    return one;
}

void gtm_api_get_rules(struct gtm_api_req *req)
{
    const struct gtm_facts *facts = facts_of(req);
    struct gtm_json *items = gtm_json_array();
    size_t count = 0;
    const struct gtm_rule *rules = gtm_intent_rules(facts->intent, &count);
    for (size_t i = 0; i < count; i++)
        gtm_json_append(items, rule_json(facts, &rules[i]));
    gtm_api_list(req, "RuleList", items);
}

static bool has_gate(const struct gtm_intent *intent, const char *name)
{
    size_t count = 0;
    const struct gtm_rule *rules = gtm_intent_rules(intent, &count);
    for (size_t i = 0; i < count; i++)
        if (rules[i].kind == GTM_RULE_GATE && !strcmp(rules[i].switch_name, name))
            return true;
    return false;
}

void gtm_api_put_switch(struct gtm_api_req *req)
{
    struct gtm_json *body = NULL;
    const char *name = gtm_api_path(req, "switch");
    if (!has_gate(facts_of(req)->intent, name)) {
        gtm_api_problem(req, 404, "notfound", "no rule looks at a switch '%.100s'", name);
        return;
    }
    struct gtm_api_order *o = gtm_api_order_new(req, "state reason until", &body);
    if (!o)
        return;
    const char *state = gtm_json_str(body, "state", "");
    o->order.put.kind = GTM_ORDER_SWITCH;
    o->order.put.on = !strcmp(state, "on") ? GTM_SWITCH_ON : GTM_SWITCH_OFF;
    snprintf(o->order.verb, sizeof(o->order.verb), "rule switch");
    if (strcmp(state, gtm_switch_words[o->order.put.on]) != 0 ||
        !gtm_override_key_of("switch", name, o->order.key)) {
        gtm_api_problem(req, 400, "badrequest", "state must be on or off");
        gtm_api_order_drop(o);
    } else {
        gtm_api_order_go(o);
    }
    gtm_json_free(body);
}

/* --- automation --- */

void gtm_api_get_automation(struct gtm_api_req *req)
{
    const struct gtm_facts *facts = facts_of(req);
    const struct gtm_override *o = gtm_overrides_get(&facts->overrides, GTM_AUTOMATION_KEY);
    struct gtm_json *item = gtm_api_admin(o);
    gtm_json_add_str(item, "holds",
                     o ? "steps of shifts, ramps of what recovered, balancing and spillover wait; "
                         "health is obeyed as ever"
                       : NULL);
    gtm_api_item(req, 200, "Automation", item);
}

void gtm_api_put_automation(struct gtm_api_req *req)
{
    struct gtm_json *body = NULL;
    struct gtm_api_order *o = gtm_api_order_new(req, "state reason until", &body);
    if (!o)
        return;
    const char *state = gtm_json_str(body, "state", "");
    struct gtm_override *put = &o->order.put;
    bool paused = !strcmp(state, "paused");
    put->kind = GTM_ORDER_PAUSE;
    o->order.clear = !strcmp(state, "auto");
    if (paused && !put->until_ms)
        put->until_ms = put->since_ms + AUTOMATION_MS;
    snprintf(o->order.key, sizeof(o->order.key), GTM_AUTOMATION_KEY);
    snprintf(o->order.verb, sizeof(o->order.verb), "automation %s", paused ? "pause" : "resume");
    if (!paused && !o->order.clear)
        gtm_api_problem(req, 400, "badrequest", "state must be paused or auto");
    else if (o->order.clear && put->until_ms)
        gtm_api_problem(req, 400, "badrequest", "auto has no end: until must be null");
    else if (put->until_ms > put->since_ms + AUTOMATION_MAX_MS)
        gtm_api_problem(req, 400, "badrequest", "a pause ends within 7 days: say it again then");
    else {
        gtm_api_order_go(o);
        o = NULL;
    }
    gtm_api_order_drop(o);
    gtm_json_free(body);
}
