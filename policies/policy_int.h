/* SPDX-License-Identifier: Apache-2.0
 *
 * What the units of policies/ share and nobody else includes.
 */
#ifndef GTM_POLICIES_POLICY_INT_H
#define GTM_POLICIES_POLICY_INT_H

#include "policies/policy.h"

/* How desperate a whole policy tree is. Decided once at the top, so that a nested policy never
 * fails open while its neighbour serves. */
enum policy__level {
    POLICY_LEVEL_SERVING = 0, /* endpoints that serve */
    POLICY_LEVEL_HELD,        /* that would, but are held back */
    POLICY_LEVEL_LAST_GOOD,   /* that served last, and no operator took out */
    POLICY_LEVEL_OPEN,        /* all that no operator took out */
    POLICY_LEVEL_DRAINED,     /* drained ones: they most likely still work */
    POLICY_LEVEL_ALL,         /* ordered down, too: nothing else remains */
    POLICY_LEVEL_COUNT
};

/* One way through the tree while options are collected. */
struct policy__walk {
    const struct policy_env *env;
    const struct policy_class *class_;
    struct policy_choice *choice;
    enum policy__level level;
    int rc; /* first failure; sticky */
};

/* usable.c */
enum policy__level policy__decide(const struct policy_env *env, unsigned policy,
                                  enum policy_mode *ret_mode);
/* Own endpoints of the pool at the level; ret->mode is left alone. */
void policy__pool_usable(const struct policy_env *env, unsigned pool, enum policy__level level,
                         struct policy_usable *ret);
bool policy__pool_any(const struct policy_env *env, unsigned pool, enum policy__level level);
bool policy__endpoint_at(const struct policy_env *env, unsigned pool, unsigned endpoint,
                         enum policy__level level);
/* Has the policy's own pool or `to` (not its backup) anything at the level? */
bool policy__own_any(const struct policy_env *env, unsigned policy, enum policy__level level);
/* The same, backup included where the level allows it. */
bool policy__any(const struct policy_env *env, unsigned policy, enum policy__level level);
bool policy__target_any(const struct policy_env *env, const struct gtm_target *target,
                        enum policy__level level);

/* What the part can answer with at the level; its endpoints, too. */
void policy__look_part(const struct policy_env *env, unsigned part, enum policy__level level,
                       struct policy_part_look *ret, struct policy_usable *ret_usable);
/* The distinct policies that the routes of a geo policy lead to, as they are first met (none of
 * another steer); *ret_more when there are more than that. Returns how many. */
unsigned policy__route_targets(const struct gtm_policy *policy, unsigned out[POLICY_TARGETS_MAX],
                               bool *ret_more);
/* Any policy behind the routes of a geo policy at the level? */
bool policy__routes_any(const struct policy_env *env, unsigned policy, enum policy__level level);

/* nearest.c, geo.c, latency_rank.c: appends to ret. */
void policy__rank_nearest(const struct gtm_intent *intent, const struct gtm_policy *policy,
                          const struct gtm_location *loc, struct policy_regions *ret);
void policy__rank_latency(const struct gtm_intent *intent, const struct gtm_policy *policy,
                          const struct policy_place *place, struct policy_regions *ret);
void policy__rank_geo(const struct gtm_intent *intent, unsigned part,
                      const struct policy_place *place, struct policy_regions *ret);

/* failover.c */
void policy__pool_regions(const struct gtm_pool *pool, struct policy_regionset *ret);
/* Appends region unless it is in the list, not in the set, or the list is full. */
void policy__append(struct policy_regions *list, const struct policy_regionset *set,
                    unsigned region);
/* `order`, then declaration. */
void policy__append_default(const struct gtm_intent *intent, const struct gtm_policy *policy,
                            const struct policy_regionset *set, struct policy_regions *list);
/* One option: the usable endpoints of the first region that has any; more when it sheds; or the
 * policy that a route leads to. list NULL = default order. */
void policy__from_region(struct policy__walk *walk, unsigned policy,
                         const struct policy_regions *list, double share);

/* multivalue.c */
/* One option: `answers` of all usable endpoints. */
void policy__from_all(struct policy__walk *walk, unsigned policy, double share);
/* A balanced weight counts for the policy's own pool; POLICY__NO_POLICY = no policy's. */
#define POLICY__NO_POLICY SIZE_MAX
/* One option of a pool that stands by itself (a target or a backup). */
void policy__from_pool(struct policy__walk *walk, unsigned pool, unsigned answers, double share);
/* Opens an option; members follow. */
void policy__option(struct policy__walk *walk, double share, unsigned answers);
void policy__member(struct policy__walk *walk, size_t policy, unsigned pool, unsigned endpoint,
                    bool standby);
/* The part of its full weight that an endpoint takes now, 0 < factor ≤ 1. */
double policy__factor(const struct policy_env *env, unsigned pool, unsigned endpoint);

/* sticky.c */
/* One option: all usable endpoints, with buckets. */
void policy__from_buckets(struct policy__walk *walk, unsigned policy, double share);

/* weighted.c */
void policy__from_targets(struct policy__walk *walk, unsigned policy, double share);
void policy__from_target(struct policy__walk *walk, const struct gtm_target *target,
                         unsigned answers, double share);
/* "policy x", "pool x", "endpoint x" into out; returns out. */
#define POLICY_TARGET_TEXT_BYTES (GTM_NAME_MAX + 16)
const char *policy__target_text(const struct gtm_intent *intent, const struct gtm_target *target,
                                char out[POLICY_TARGET_TEXT_BYTES]);

/* policy.c */
/* nearest, geo or latency: what the answer is depends on the client's place. */
static inline bool policy__is_geographic(enum gtm_steer steer)
{
    return steer == GTM_STEER_NEAREST || steer == GTM_STEER_GEO || steer == GTM_STEER_LATENCY;
}
/* Adds the options of a policy at the walk's level. */
void policy__resolve(struct policy__walk *walk, unsigned policy, double share);

/* say.c */
#define POLICY_SENTENCE_BYTES 400
void policy__say(const struct policy_env *env, const char *fmt, ...) GTM_PRINTF(2, 3);
/* "IPv4 address", … */
const char *policy__family_text(enum gtm_family family);
/* A sentence for every endpoint of the pool that is not used at the level, with its reason. */
void policy__say_skipped(const struct policy_env *env, unsigned pool, enum policy__level level);

#endif
