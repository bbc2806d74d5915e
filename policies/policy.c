/* SPDX-License-Identifier: Apache-2.0
 *
 * The facade: limits and parts of a policy tree, and the choice from the level of the tree down to
 * the options. See policy.h; pure.
 */
#include "gtm/base/mem.h"
#include "policies/policy_int.h"
#include "policies/sticky.h"

#include <math.h>
#include <stdio.h>

#define WEIGHT_SCALE 16777216.0 /* 2^24: option weights as whole numbers */

const char *policy_mode_word(enum policy_mode mode)
{
    static const char *const words[POLICY_MODE_COUNT] = {
        "normal", "backup", "held", "last_good", "fail_open", "fail_closed", "nodata", "inactive"};
    return (unsigned)mode < POLICY_MODE_COUNT ? words[mode] : "?";
}

/* Calls fn for every nested policy, depth first, the top included; fn returns false to stop. The
 * model refuses loops; the depth is a bound of its own. */
typedef bool (*visit_fn)(void *ctx, unsigned policy, unsigned depth);
static bool visit(const struct gtm_intent *intent, unsigned policy, unsigned depth, visit_fn fn,
                  void *ctx)
{
    const struct gtm_policy *p = &intent->policies[policy];
    if (!fn(ctx, policy, depth))
        return false;
    if (depth >= POLICY_DEPTH_MAX)
        return true;
    for (size_t i = 0; i < p->to_count; i++)
        if (p->to[i].kind == GTM_TARGET_POLICY &&
            !visit(intent, p->to[i].index, depth + 1, fn, ctx))
            return false;
    unsigned targets[POLICY_TARGETS_MAX];
    bool more;
    unsigned count = policy__route_targets(p, targets, &more);
    for (unsigned n = 0; n < count; n++)
        if (!visit(intent, targets[n], depth + 1, fn, ctx))
            return false;
    return !p->has_backup || p->backup.kind != GTM_TARGET_POLICY ||
           visit(intent, p->backup.index, depth + 1, fn, ctx);
}

struct check {
    const struct gtm_intent *intent;
    struct policy_parts parts;
    size_t ways, parts_seen, buckets;
    bool deep, poolless, fanned;
};

static bool check_one(void *ctx, unsigned policy, unsigned depth)
{
    struct check *c = ctx;
    const struct gtm_policy *p = &c->intent->policies[policy];
    c->deep |= depth >= POLICY_DEPTH_MAX;
    c->poolless |= p->steer != GTM_STEER_WEIGHTED && !p->has_pool;
    c->ways += 1 + p->to_count;
    if (policy__is_geographic(p->steer) || p->steer == GTM_STEER_FAILOVER)
        c->ways += POLICY_PATH_MAX - 1; /* when it sheds */
    if (p->steer == GTM_STEER_STICKY && p->has_pool)
        c->buckets += policy_buckets(c->intent->pools[p->pool].endpoints_count);
    unsigned targets[POLICY_TARGETS_MAX];
    bool more;
    c->ways += policy__route_targets(p, targets, &more);
    c->fanned |= more;
    if (policy__is_geographic(p->steer)) {
        size_t i = 0;
        while (i < c->parts.count && c->parts.policy[i] != policy)
            i++;
        if (i == c->parts.count && i < POLICY_PARTS_MAX)
            c->parts.policy[c->parts.count++] = policy;
        else if (i == POLICY_PARTS_MAX)
            c->parts_seen++;
    }
    return !c->deep && c->ways <= POLICY_OPTIONS_MAX;
}

int policy_check(const struct gtm_intent *intent, unsigned policy, struct gtm_error *err)
{
    struct check c = {.intent = intent};
    const char *name = intent->policies[policy].name;
    visit(intent, policy, 0, check_one, &c);
    if (c.poolless)
        return gtm_error_set(err, GTM_EINVAL, "policy %s leads to a policy without a pool", name);
    if (c.deep)
        return gtm_error_set(err, GTM_ELIMIT, "policy %s nests deeper than %d policies", name,
                             POLICY_DEPTH_MAX);
    if (c.ways > POLICY_OPTIONS_MAX)
        return gtm_error_set(err, GTM_ELIMIT, "policy %s leads to more than %d targets", name,
                             POLICY_OPTIONS_MAX);
    if (c.fanned)
        return gtm_error_set(err, GTM_ELIMIT,
                             "the routes of policy %s lead to more than %d policies", name,
                             POLICY_TARGETS_MAX);
    if (c.buckets > POLICY_BUCKETS_MAX)
        return gtm_error_set(err, GTM_ELIMIT, "policy %s has too many sticky policies below it",
                             name);
    if (c.parts_seen > 0)
        return gtm_error_set(err, GTM_ELIMIT,
                             "policy %s has more than %d nearest, geo or latency policies below it",
                             name, POLICY_PARTS_MAX);
    return GTM_OK;
}

void policy_parts(const struct gtm_intent *intent, unsigned policy, struct policy_parts *ret)
{
    struct check c = {.intent = intent};
    visit(intent, policy, 0, check_one, &c);
    *ret = c.parts;
}

struct pools {
    const struct gtm_intent *intent;
    void (*fn)(void *ctx, unsigned pool);
    void *ctx;
};

static bool pools_one(void *ctx, unsigned policy, unsigned depth)
{
    const struct pools *w = ctx;
    const struct gtm_policy *p = &w->intent->policies[policy];
    (void)depth;
    if (p->has_pool)
        w->fn(w->ctx, p->pool);
    for (size_t i = 0; i < p->to_count; i++)
        if (p->to[i].kind != GTM_TARGET_POLICY)
            w->fn(w->ctx, p->to[i].index);
    if (p->has_backup && p->backup.kind != GTM_TARGET_POLICY)
        w->fn(w->ctx, p->backup.index);
    return true;
}

void policy_pools(const struct gtm_intent *intent, unsigned policy,
                  void (*fn)(void *ctx, unsigned pool), void *ctx)
{
    struct pools w = {.intent = intent, .fn = fn, .ctx = ctx};
    visit(intent, policy, 0, pools_one, &w);
}

void policy_rank(const struct gtm_intent *intent, unsigned part, const struct policy_place *place,
                 struct policy_regions *ret)
{
    const struct gtm_policy *p = &intent->policies[part];
    *ret = (struct policy_regions){.count = 0};
    if (p->steer == GTM_STEER_NEAREST)
        policy__rank_nearest(intent, p, place->loc, ret);
    else if (p->steer == GTM_STEER_LATENCY)
        policy__rank_latency(intent, p, place, ret);
    else
        policy__rank_geo(intent, part, place, ret);
}

void policy_look(const struct policy_env *env, unsigned policy, const struct policy_parts *parts,
                 struct policy_look *ret)
{
    enum policy__level level = policy__decide(env, policy, &ret->mode);
    struct policy_usable usable;
    for (size_t i = 0; i < parts->count; i++) {
        if (ret->mode <= POLICY_FAIL_OPEN)
            policy__look_part(env, parts->policy[i], level, &ret->part[i], &usable);
        else
            ret->part[i] = (struct policy_part_look){.targets = {0}};
    }
}

static const struct policy_regions *list_of(const struct policy__walk *walk, unsigned policy)
{
    const struct policy_parts *parts = walk->class_->parts;
    for (size_t i = 0; i < parts->count; i++)
        if (parts->policy[i] == policy)
            return &walk->class_->lists[i];
    return NULL;
}

/* "policy x steers nearest over pool y; the client prefers a, b, c". */
static void say_policy(const struct policy__walk *walk, unsigned policy)
{
    const struct gtm_intent *intent = walk->env->intent;
    const struct gtm_policy *p = &intent->policies[policy];
    const struct policy_regions *list = list_of(walk, policy);
    char text[POLICY_SENTENCE_BYTES];
    if (!walk->env->say)
        return;
    int at =
        snprintf(text, sizeof(text), "policy %s steers %s%s%s", p->name, gtm_steer_words[p->steer],
                 p->has_pool ? " over pool " : "", p->has_pool ? intent->pools[p->pool].name : "");
    for (unsigned i = 0; list && i < list->count && at < (int)sizeof(text); i++) {
        unsigned r = list->region[i];
        int target = r & POLICY_TARGET_BIT
                         ? policy_route_target(intent, policy, r & ~POLICY_TARGET_BIT)
                         : -1;
        at += snprintf(text + at, sizeof(text) - (size_t)at, "%s%s%s",
                       i == 0 ? "; this client's regions in order: " : ", ",
                       target >= 0 ? "policy " : "",
                       target >= 0 ? intent->policies[target].name
                                   : intent->regions[r & ~POLICY_TARGET_BIT].name);
    }
    policy__say(walk->env, "%s", text);
}

void policy__resolve(struct policy__walk *walk, unsigned policy, double share)
{
    const struct gtm_policy *p = &walk->env->intent->policies[policy];
    char text[POLICY_TARGET_TEXT_BYTES];
    say_policy(walk, policy);
    if (!policy__own_any(walk->env, policy, walk->level)) {
        if (!p->has_backup || !policy__any(walk->env, policy, walk->level))
            return;
        if (p->has_pool)
            policy__say_skipped(walk->env, p->pool, walk->level);
        policy__say(walk->env, "nothing of policy %s serves: its backup %s answers", p->name,
                    policy__target_text(walk->env->intent, &p->backup, text));
        policy__from_target(walk, &p->backup, p->answers, share);
        return;
    }
    switch (p->steer) {
    case GTM_STEER_NEAREST:
    case GTM_STEER_GEO:
    case GTM_STEER_LATENCY:
    case GTM_STEER_FAILOVER:
        policy__from_region(walk, policy, list_of(walk, policy), share);
        break;
    case GTM_STEER_WEIGHTED:
        if (p->has_pool)
            policy__from_all(walk, policy, share);
        else
            policy__from_targets(walk, policy, share);
        break;
    case GTM_STEER_STICKY:
        policy__from_buckets(walk, policy, share);
        break;
    default:
        policy__from_all(walk, policy, share);
        break;
    }
}

static void say_mode(const struct policy_env *env, unsigned policy, enum policy_mode mode)
{
    const struct gtm_policy *p = &env->intent->policies[policy];
    switch (mode) {
    case POLICY_HELD:
        policy__say(env,
                    "nothing of policy %s serves but what is held back after a recovery: that "
                    "answers rather than what is down",
                    p->name);
        break;
    case POLICY_LAST_GOOD:
        policy__say(env, "nothing of policy %s serves; last_good: those that served last answer",
                    p->name);
        break;
    case POLICY_FAIL_OPEN:
        policy__say(env, "nothing of policy %s serves%s; fail_open: all answer rather than none",
                    p->name,
                    p->all_down == GTM_ALL_DOWN_BACKUP      ? ", its backup neither"
                    : p->all_down == GTM_ALL_DOWN_LAST_GOOD ? ", and no last good one may"
                                                            : "");
        break;
    case POLICY_FAIL_CLOSED:
        policy__say(env, "nothing of policy %s serves; fail_closed: SERVFAIL", p->name);
        break;
    case POLICY_NODATA:
        policy__say(env, "no endpoint of policy %s has an %s: NODATA", p->name,
                    policy__family_text(env->family));
        break;
    default:
        break;
    }
}

static void say_all_skipped(const struct policy_env *env, unsigned policy)
{
    const struct gtm_policy *p = &env->intent->policies[policy];
    if (p->has_pool)
        policy__say_skipped(env, p->pool, POLICY_LEVEL_SERVING);
}

/* Whole weights, in full units where shares allow it (so that a choice without any ramp looks the
 * same whatever the scale is); buckets where they are now, as their array no longer grows. */
static void finish_option(struct policy_choice *choice, struct policy_option *o)
{
    struct policy_member *members = &choice->members[o->first];
    double weight = round(o->share * WEIGHT_SCALE);
    bool full = true;
    o->weight = weight < 1 ? 1 : (uint32_t)weight;
    for (size_t i = 0; i < o->count; i++)
        full &= members[i].weight % GTM_SHARE_FULL == 0;
    for (size_t i = 0; full && i < o->count; i++)
        members[i].weight /= GTM_SHARE_FULL;
    if (o->buckets_count > 0)
        o->buckets = &choice->buckets[o->buckets_first];
}

int policy_choose(const struct policy_env *env, unsigned policy, const struct policy_class *class_,
                  struct policy_choice *ret)
{
    struct policy__walk walk = {.env = env, .class_ = class_, .choice = ret};
    ret->options_count = ret->members_count = ret->buckets_count = 0;
    walk.level = policy__decide(env, policy, &ret->mode);
    if (ret->mode >= POLICY_HELD)
        say_mode(env, policy, ret->mode);
    if (ret->mode > POLICY_FAIL_OPEN) {
        if (ret->mode == POLICY_FAIL_CLOSED)
            say_all_skipped(env, policy);
        return GTM_OK;
    }
    policy__resolve(&walk, policy, 1.0);
    if (walk.rc == GTM_OK && ret->options_count == 0)
        walk.rc = GTM_ESTATE; /* cannot happen: the level was decided because something is there */
    if (walk.rc != GTM_OK)
        ret->options_count = ret->members_count = 0;
    for (size_t i = 0; i < ret->options_count; i++)
        finish_option(ret, &ret->options[i]);
    return walk.rc;
}

void policy_choice_fini(struct policy_choice *choice)
{
    gtm_free(choice->options);
    gtm_free(choice->members);
    gtm_free(choice->buckets);
    *choice = (struct policy_choice){.mode = POLICY_NORMAL};
}
