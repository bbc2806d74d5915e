/* SPDX-License-Identifier: Apache-2.0
 *
 * Safety rules over the world before and after an order. Pure; see rules.h.
 */
#include "policies/rules.h"

#include "gtm/base/mem.h"
#include "policies/policy_int.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ALL_USERS 1000u
#define FULL      2 /* without load reports what serves is taken to be half full */
#define NEARLY    1e-9

const char *policy_rule_word(enum policy_rule_word word)
{
    static const char *const words[] = {"ok", "warned", "overridden", "blocked"};
    return words[word < POLICY_RULE_WORD_COUNT ? word : POLICY_RULE_BLOCKED];
}

static void say(struct policy_verdict *v, enum policy_rule_word word, const char *fmt, ...)
    GTM_PRINTF(3, 4);
static void say(struct policy_verdict *v, enum policy_rule_word word, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(v->text, sizeof(v->text), fmt, args);
    va_end(args);
    v->word = word;
}

/* --- answers --- */

/* Which endpoints the answers of one policy can draw on. */
struct reach {
    const struct gtm_intent *intent;
    size_t *base;   /* by pool: index of its first endpoint */
    uint32_t *seen; /* by endpoint: the last mark that reached it */
    uint32_t mark;
    struct policy_env before, after;
    size_t left_before, left_after;
    bool *named; /* by policy: a name answers with it */
};

static void reach_endpoint(struct reach *r, unsigned pool, unsigned endpoint)
{
    uint32_t *seen = &r->seen[r->base[pool] + endpoint];
    if (*seen == r->mark)
        return;
    *seen = r->mark;
    r->left_before += policy__endpoint_at(&r->before, pool, endpoint, POLICY_LEVEL_SERVING);
    r->left_after += policy__endpoint_at(&r->after, pool, endpoint, POLICY_LEVEL_SERVING);
}

static void reach_pool(struct reach *r, unsigned pool)
{
    for (unsigned e = 0; e < r->intent->pools[pool].endpoints_count; e++)
        reach_endpoint(r, pool, e);
}

static void reach_policy(struct reach *r, unsigned policy);

static void reach_target(struct reach *r, const struct gtm_target *target)
{
    if (target->kind == GTM_TARGET_POLICY)
        reach_policy(r, target->index);
    else if (target->kind == GTM_TARGET_POOL)
        reach_pool(r, target->index);
    else
        reach_endpoint(r, target->index, target->endpoint);
}

/* As deep as policies nest, which is bounded. */
static void reach_policy(struct reach *r, unsigned policy)
{
    const struct gtm_policy *p = &r->intent->policies[policy];
    unsigned targets[POLICY_TARGETS_MAX];
    bool more;
    if (p->has_pool)
        reach_pool(r, p->pool);
    unsigned count = policy__route_targets(p, targets, &more);
    for (unsigned n = 0; n < count; n++)
        reach_policy(r, targets[n]);
    for (size_t i = 0; p->steer == GTM_STEER_WEIGHTED && i < p->to_count; i++)
        reach_target(r, &p->to[i]);
    /* A family that a policy never had is not down: no reason for its backup. */
    if (p->all_down == GTM_ALL_DOWN_BACKUP && p->has_backup &&
        policy_has_family(r->intent, policy, r->before.family))
        reach_target(r, &p->backup);
}

static int reach_init(struct reach *r, const struct gtm_intent *intent,
                      const struct policy_order *order)
{
    size_t endpoints = 0;
    *r = (struct reach){.intent = intent,
                        .before = {.intent = intent, .states = order->before.states},
                        .after = {.intent = intent, .states = order->after.states}};
    r->base = gtm_calloc(intent->pools_count + 1, sizeof(*r->base));
    for (size_t p = 0; r->base && p < intent->pools_count; p++) {
        r->base[p] = endpoints;
        endpoints += intent->pools[p].endpoints_count;
    }
    r->seen = r->base ? gtm_calloc(endpoints + 1, sizeof(*r->seen)) : NULL;
    r->named = gtm_calloc(intent->policies_count + 1, sizeof(*r->named));
    for (size_t z = 0; r->named && z < intent->zones_count; z++)
        for (size_t n = 0; n < intent->zones[z].names_count; n++)
            if (intent->zones[z].names[n].has_policy)
                r->named[intent->zones[z].names[n].policy] = true;
    return r->seen && r->named ? GTM_OK : GTM_ENOMEM;
}

static void reach_fini(struct reach *r)
{
    gtm_free(r->named);
    gtm_free(r->seen);
    gtm_free(r->base);
}

static const char *family_text(enum gtm_family family)
{
    return family == GTM_FAMILY_ANY ? "any address" : policy__family_text(family);
}

/* The answer that is left with the fewest, of those that lose any. */
static int answers_left(const struct gtm_intent *intent, const struct policy_order *order,
                        struct policy_verdict *v)
{
    const struct gtm_rule *rule = v->rule;
    struct reach r;
    size_t fewest = SIZE_MAX;
    if (reach_init(&r, intent, order)) {
        reach_fini(&r);
        return GTM_ENOMEM;
    }
    say(v, POLICY_RULE_OK, "no answer loses an endpoint that serves");
    for (unsigned p = 0; p < intent->policies_count; p++) {
        for (unsigned f = 0; f <= GTM_FAMILY_ANY; f++) {
            if (!r.named[p] || !policy_has_family(intent, p, f))
                continue;
            r.mark++;
            r.left_before = r.left_after = 0;
            r.before.family = r.after.family = (enum gtm_family)f;
            reach_policy(&r, p);
            if (r.left_after >= r.left_before || r.left_after >= fewest)
                continue;
            fewest = r.left_after;
            bool bad = (double)r.left_after < rule->min;
            say(v, bad ? POLICY_RULE_BLOCKED : POLICY_RULE_OK,
                "policy %s (%s): serving endpoints %zu → %zu, at least %g must stay%s",
                intent->policies[p].name, family_text((enum gtm_family)f), r.left_before,
                r.left_after, rule->min, bad ? ": bring others back first" : "");
        }
    }
    reach_fini(&r);
    return GTM_OK;
}

/* --- regions --- */

#define REGION_NAMES 160

/* Counts regions that are out and lists their names. One walk over all endpoints. */
static size_t count_out(const struct gtm_intent *intent, const struct policy_world *world,
                        char names[REGION_NAMES])
{
    bool has[GTM_REGIONS_MAX] = {false}, serves[GTM_REGIONS_MAX] = {false};
    size_t out = 0, at = 0;
    for (size_t p = 0; p < intent->pools_count; p++) {
        for (size_t e = 0; e < intent->pools[p].endpoints_count; e++) {
            unsigned r = intent->pools[p].endpoints[e].region;
            has[r] = true;
            serves[r] = serves[r] || gtm_states_serves(world->states, p, e, GTM_FAMILY_ANY);
        }
    }
    names[0] = '\0';
    for (size_t r = 0; r < intent->regions_count; r++) {
        if (!has[r] || (serves[r] && !(world->shifted && world->shifted[r] > 0)))
            continue;
        out++;
        if (at < REGION_NAMES) {
            int n = snprintf(names + at, REGION_NAMES - at, "%s%s", at ? ", " : "",
                             intent->regions[r].name);
            at += n > 0 ? (size_t)n : 0;
        }
    }
    return out;
}

static void regions_out(const struct gtm_intent *intent, const struct policy_order *order,
                        struct policy_verdict *v)
{
    char names[REGION_NAMES];
    size_t before = count_out(intent, &order->before, names);
    size_t after = count_out(intent, &order->after, names);
    bool bad = after > before && (double)after > v->rule->max;
    say(v, bad ? POLICY_RULE_BLOCKED : POLICY_RULE_OK,
        "regions without users %zu → %zu%s%s%s, at most %g%s", before, after, after ? " (" : "",
        names, after ? ")" : "", v->rule->max, bad ? ": bring one back first" : "");
}

/* --- capacity --- */

struct room {
    double endpoints, capacity; /* of what serves, without the part that is shifted away */
    bool known;                 /* the capacity of all of it */
};

static struct room room_of(const struct gtm_intent *intent, const struct policy_world *world,
                           size_t pool)
{
    struct room room = {.known = true};
    const struct gtm_pool *p = &intent->pools[pool];
    for (size_t e = 0; e < p->endpoints_count; e++) {
        if (!gtm_states_serves(world->states, pool, e, GTM_FAMILY_ANY))
            continue;
        unsigned gone = world->shifted ? world->shifted[p->endpoints[e].region] : 0;
        double part = gone < ALL_USERS ? (ALL_USERS - gone) / (double)ALL_USERS : 0;
        room.endpoints += part;
        room.known = room.known && p->endpoints[e].capacity_requests_per_s >= 0;
        if (room.known)
            room.capacity += part * p->endpoints[e].capacity_requests_per_s;
    }
    return room;
}

/* Room for so many times the present users; how it was judged goes into why. */
static double times(const struct room *before, const struct room *after, double demand,
                    const char *unit, char why[POLICY_RULE_TEXT / 2])
{
    if (demand >= 0 && after->known) {
        snprintf(why, POLICY_RULE_TEXT / 2, "%g of capacity for %g %s", after->capacity, demand,
                 unit);
        return demand > 0 ? after->capacity / demand : 1e9;
    }
    if (before->known && after->known && before->capacity > 0) {
        snprintf(why, POLICY_RULE_TEXT / 2,
                 "capacity %g → %g; no load is reported, so what serves now is taken to be half "
                 "full",
                 before->capacity, after->capacity);
        return FULL * after->capacity / before->capacity;
    }
    snprintf(why, POLICY_RULE_TEXT / 2,
             "serving endpoints %g → %g; their capacity or load is not known, so they count alike "
             "and are taken to be half full",
             before->endpoints, after->endpoints);
    return FULL * after->endpoints / before->endpoints;
}

/* The pool with the least room, of those that lose any. */
static void capacity_left(const struct gtm_intent *intent, const struct policy_order *order,
                          struct policy_verdict *v)
{
    double least = 1e9;
    say(v, POLICY_RULE_OK, "no pool loses capacity");
    for (size_t p = 0; p < intent->pools_count; p++) {
        char why[POLICY_RULE_TEXT / 2];
        struct room before = room_of(intent, &order->before, p);
        struct room after = room_of(intent, &order->after, p);
        bool loses = after.endpoints < before.endpoints ||
                     (before.known && after.known && after.capacity < before.capacity);
        if (!loses)
            continue;
        double room =
            times(&before, &after, order->demand ? order->demand[p] : -1, "requests a second", why);
        if (room >= least)
            continue;
        least = room;
        bool bad = room + NEARLY < v->rule->min;
        say(v, bad ? POLICY_RULE_BLOCKED : POLICY_RULE_OK,
            "pool %s: room for %.2f times its users (%s), at least %g%s", intent->pools[p].name,
            room, why, v->rule->min, bad ? ": add capacity, or bring others back first" : "");
    }
}

/* --- gates and cool-downs --- */

static void gate(const struct policy_order *order, struct policy_verdict *v)
{
    const struct gtm_rule *rule = v->rule;
    enum gtm_switch position = GTM_SWITCH_OFF;
    for (size_t i = 0; i < order->switches_on_count; i++)
        if (strcmp(order->switches_on[i], rule->switch_name) == 0)
            position = GTM_SWITCH_ON;
    if (position == rule->allow)
        say(v, POLICY_RULE_OK, "switch %s is %s", rule->switch_name, gtm_switch_words[position]);
    else if (!order->moves)
        say(v, POLICY_RULE_OK, "switch %s is %s, but this takes no users away", rule->switch_name,
            gtm_switch_words[position]);
    else
        say(v, POLICY_RULE_BLOCKED, "switch %s is %s and must be %s: gtmctl rule switch %s %s",
            rule->switch_name, gtm_switch_words[position], gtm_switch_words[rule->allow],
            rule->switch_name, gtm_switch_words[rule->allow]);
}

static void cooldown(const struct gtm_intent *intent, const struct policy_order *order,
                     struct policy_verdict *v)
{
    uint64_t time_ms = v->rule->time_ms, ago = order->last_ago_ms;
    if (!order->moves_region || order->last_region < 0 ||
        (size_t)order->last_region >= intent->regions_count || ago >= time_ms)
        say(v, POLICY_RULE_OK, "the users of no other region were moved within %" PRIu64 " s",
            time_ms / 1000);
    else
        say(v, POLICY_RULE_BLOCKED,
            "users of region %s were moved %" PRIu64 " s ago: wait %" PRIu64
            " s more, until they have settled",
            intent->regions[order->last_region].name, ago / 1000, (time_ms - ago + 999) / 1000);
}

/* --- all of them --- */

static int judge(const struct gtm_intent *intent, const struct policy_order *order,
                 struct policy_verdict *v)
{
    int rc = GTM_OK;
    switch (v->rule->kind) {
    case GTM_RULE_ANSWERS_LEFT:
        rc = answers_left(intent, order, v);
        break;
    case GTM_RULE_REGIONS_OUT:
        regions_out(intent, order, v);
        break;
    case GTM_RULE_CAPACITY_LEFT:
        capacity_left(intent, order, v);
        break;
    case GTM_RULE_GATE:
        gate(order, v);
        break;
    default:
        cooldown(intent, order, v);
        break;
    }
    bool dead =
        order->region >= 0 && order->regions && order->regions[order->region] == GTM_HEALTH_DOWN;
    if (v->word == POLICY_RULE_BLOCKED && v->rule->when == GTM_RULE_PLANNED && dead)
        v->word = POLICY_RULE_WARNED;
    return rc;
}

struct policy_verdict *policy_rules(const struct gtm_intent *intent,
                                    const struct policy_order *order, size_t *ret_count)
{
    const struct gtm_rule *rules = gtm_intent_rules(intent, ret_count);
    struct policy_verdict *verdicts = gtm_calloc(*ret_count + 1, sizeof(*verdicts));
    for (size_t i = 0; verdicts && i < *ret_count; i++) {
        verdicts[i].rule = &rules[i];
        if (judge(intent, order, &verdicts[i])) {
            gtm_free(verdicts);
            return NULL;
        }
    }
    return verdicts;
}

bool policy_rules_override(struct policy_verdict *verdicts, size_t count, const char *name)
{
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(verdicts[i].rule->name, name) != 0)
            continue;
        found = true;
        if (verdicts[i].word == POLICY_RULE_BLOCKED)
            verdicts[i].word = POLICY_RULE_OVERRIDDEN;
    }
    return found;
}

enum policy_rule_word policy_rules_worst(const struct policy_verdict *verdicts, size_t count)
{
    enum policy_rule_word worst = POLICY_RULE_OK;
    for (size_t i = 0; i < count; i++)
        worst = verdicts[i].word > worst ? verdicts[i].word : worst;
    return worst;
}
