/* SPDX-License-Identifier: Apache-2.0
 *
 * Steering policies as pure functions: intent, states and a place come in, regions, endpoints and
 * shares come out. No I/O, clock, log or random number; the same calls publish answers and explain
 * them. Thread-safe as long as nobody changes the states meanwhile.
 *
 *     policy_rank     where is the client? → an ordered list of regions per geographic part: a
 * class policy_look     which regions can answer now → what classes must be told apart
 * (policy_path) policy_choose   class + states → the options of the answer, with a sentence for
 * each step
 *
 * What changes with time (ramps, drains, sheds, balanced weights) comes in through the states; see
 * recovery.h, spill.h and balance.h for where it is worked out.
 */
#ifndef GTM_POLICIES_POLICY_H
#define GTM_POLICIES_POLICY_H

#include "gtm/base/err.h"
#include "gtm/model/intent.h"
#include "gtm/model/location.h"
#include "gtm/model/states.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POLICY_REGIONS_MAX 8    /* regions a class remembers; after them the default order holds */
#define POLICY_DEPTH_MAX   8    /* policies nested in one another */
#define POLICY_PARTS_MAX   16   /* geographic policies below one policy */
#define POLICY_OPTIONS_MAX 4096 /* options of one choice */
#define POLICY_TARGETS_MAX 256  /* distinct policies that the routes of one geo policy lead to */
#define POLICY_PATH_MAX    4    /* regions among which the users of one are split when it sheds */
#define POLICY_BUCKETS_MAX (1u << 20) /* buckets of all sticky options of one choice */

struct policy_orders;  /* sticky.h */
struct policy_latency; /* latency.h */

/* What all functions that look at states work on. */
struct policy_env {
    const struct gtm_intent *intent;
    const struct gtm_states *states; /* of that intent */
    enum gtm_family family;          /* GTM_FAMILY_ANY for answers that name hosts */
    /* For sticky policies: of that intent; NULL = worked out anew for each choice, which is slow.
     */
    const struct policy_orders *orders;
    /* One sentence for every step and everything skipped, in order; NULL = say nothing. */
    void (*say)(void *ctx, const char *sentence);
    void *say_ctx;
};

/* May the policy be published? Refuses nesting over POLICY_DEPTH_MAX, more than POLICY_PARTS_MAX
 * geographic parts, POLICY_OPTIONS_MAX ways to an answer, POLICY_TARGETS_MAX policies behind one
 * geo policy's routes or POLICY_BUCKETS_MAX buckets (GTM_ELIMIT), and a pool that is missing
 * (GTM_EINVAL); err names the policy. All functions below need a policy that passed. */
int policy_check(const struct gtm_intent *intent, unsigned policy,
                 struct gtm_error *err) GTM_MUST_CHECK;

/* The geographic parts: the policy itself when nearest, geo or latency, and those below it through
 * routes, `to` and `backup`, distinct, in the order they are met. */
struct policy_parts {
    size_t count;
    unsigned policy[POLICY_PARTS_MAX];
};
void policy_parts(const struct gtm_intent *intent, unsigned policy, struct policy_parts *ret);

/* Every pool that can change the policy's answer, through routes, `to` and `backup`; a pool may
 * come more than once. */
void policy_pools(const struct gtm_intent *intent, unsigned policy,
                  void (*fn)(void *ctx, unsigned pool), void *ctx);

/* Where a client is, for ranking. */
struct policy_place {
    const struct gtm_location *loc; /* completed; all-zero = unknown */
    const uint32_t *routes; /* the part's routes with a network that holds the client, sorted; of a
                               latency part the labels of its table */
    size_t routes_count;
    const struct policy_latency *latency; /* the table of a latency part, or NULL */
};
/* An ordered list of regions (indexes into the intent's). In a geo part an entry with
 * POLICY_TARGET_BIT set (only ever the first) stands for a policy instead: the n-th that its routes
 * lead to (policy_route_target). */
#define POLICY_TARGET_BIT 0x8000u
struct policy_regions {
    uint16_t count;
    uint16_t region[POLICY_REGIONS_MAX];
};
/* The preference of a geographic part, health aside; only regions where its pool has endpoints.
 * nearest: by great-circle distance, ties and regions without a location by declaration; from an
 * unknown place the default order (the policy's `order`, then declaration). geo: the regions of the
 * first route that matches, or its policy, then `default`, then the rest. latency: the regions of
 * the longest network of the table that holds the client by measured time, then as nearest. */
void policy_rank(const struct gtm_intent *intent, unsigned part, const struct policy_place *place,
                 struct policy_regions *ret);

/* The first route of a geo part that matches, or -1. */
int policy_route(const struct gtm_intent *intent, unsigned part, const struct policy_place *place);

/* The n-th policy that a geo part's routes lead to, counted as they are first met; -1 = no more. */
int policy_route_target(const struct gtm_intent *intent, unsigned part, unsigned n);

/* How a policy answers now. */
enum policy_mode {
    POLICY_NORMAL = 0,  /* with endpoints that serve, its own or a backup's */
    POLICY_BACKUP,      /* nothing of its own serves: with its backup's */
    POLICY_HELD,        /* nothing serves but what is held back after a recovery: with that */
    POLICY_LAST_GOOD,   /* with those that served last */
    POLICY_FAIL_OPEN,   /* nothing serves: with all, rather than with none */
    POLICY_FAIL_CLOSED, /* nothing serves, and the operator wants silence then: SERVFAIL */
    POLICY_NODATA,      /* no endpoint has an address of the family */
    POLICY_INACTIVE,    /* what this build cannot answer (publishing's word for groups): SERVFAIL */
    POLICY_MODE_COUNT
};
/* "normal", "backup", "last_good", … */
const char *policy_mode_word(enum policy_mode mode);

/* Does the policy have any endpoint of the family (backups aside)? Does not depend on states. */
bool policy_has_family(const struct gtm_intent *intent, unsigned policy, enum gtm_family family);

/* Which endpoints of a policy with a pool may get users now. In modes without endpoints of its own
 * (backup, fail_closed, nodata, inactive) count is 0. Weight 0 only when nothing else is left. */
struct policy_usable {
    enum policy_mode mode;
    bool standby; /* only endpoints of weight 0 are left: they count as equal */
    size_t count;
    uint16_t endpoints[GTM_POOL_ENDPOINTS_MAX]; /* in declaration order */
};
void policy_usable(const struct policy_env *env, unsigned policy, struct policy_usable *ret);

/* A set of regions. */
struct policy_regionset {
    uint64_t bits[(GTM_REGIONS_MAX + 63) / 64];
};
static inline bool policy_regionset_has(const struct policy_regionset *set, unsigned region)
{
    return (set->bits[region / 64] >> (region % 64)) & 1;
}

/* What a part can answer with now. */
struct policy_part_look {
    struct policy_regionset usable;            /* regions */
    struct policy_regionset shedding;          /* of these, those that shed users to others */
    uint64_t targets[POLICY_TARGETS_MAX / 64]; /* bit n: policy_route_target n */
};
struct policy_look {
    enum policy_mode mode;
    struct policy_part_look part[POLICY_PARTS_MAX];
};
/* Fills the first parts->count only. */
void policy_look(const struct policy_env *env, unsigned policy, const struct policy_parts *parts,
                 struct policy_look *ret);
/* The first region of the list that is in the set; beyond the list, of the part's default order
 * (`order`, then declaration); -1 when the set is empty. */
int policy_first(const struct gtm_intent *intent, unsigned part, const struct policy_regions *list,
                 const struct policy_regionset *set);
/* Where a part sends the clients of a list: the first region that is usable and, as long as each
 * sheds, the next ones; or one entry with POLICY_TARGET_BIT. Empty when there is nothing. Two
 * classes whose paths are the same for every part get the same choice. */
struct policy_path {
    uint16_t count;
    uint16_t step[POLICY_PATH_MAX]; /* those beyond count are 0 */
};
void policy_path(const struct gtm_intent *intent, unsigned part, const struct policy_regions *list,
                 const struct policy_part_look *look, struct policy_path *ret);

/* A class: one list per part. */
struct policy_class {
    const struct policy_parts *parts;
    const struct policy_regions *lists; /* parts->count of them */
};

struct policy_member {
    uint32_t pool;
    uint32_t endpoint;
    uint32_t weight; /* against the other members of the option, > 0 */
};
struct policy_option {
    double share;        /* of the users, 0 < share ≤ 1; all options together 1 */
    uint32_t weight;     /* the same as a whole number, > 0 */
    unsigned answers;    /* this many of the members, by weight; all when there are no more */
    size_t first, count; /* into members */
    /* sticky: which member a client's network gets, by its hash: a power of two of indexes into the
     * option's members (0 = the member at `first`). Lives as long as the choice is not used again.
     * Else NULL and 0. */
    const uint16_t *buckets;
    size_t buckets_first, buckets_count; /* first: where in the choice's */
};
/* Zero-initialise, reuse freely, then policy_choice_fini. */
struct policy_choice {
    enum policy_mode mode;
    struct policy_option *options; /* at least one unless mode is fail_closed, nodata or inactive */
    size_t options_count, options_cap;
    struct policy_member *members;
    size_t members_count, members_cap;
    uint16_t *buckets; /* of all options; see policy_option */
    size_t buckets_count, buckets_cap;
};
/* The options for one class. 0, or GTM_ENOMEM / GTM_ELIMIT; ret is then empty. */
int policy_choose(const struct policy_env *env, unsigned policy, const struct policy_class *class_,
                  struct policy_choice *ret) GTM_MUST_CHECK;
/* Says where the order of regions of one part comes from: distances, or the route that matched. */
void policy_say_rank(const struct policy_env *env, unsigned part, const struct policy_place *place);
/* Says which times the table of a latency part has for a client's network, if any. */
void policy_say_times(const struct policy_env *env, unsigned part,
                      const struct policy_latency *table, uint8_t family, const uint8_t addr[16],
                      unsigned prefix_len);
void policy_choice_fini(struct policy_choice *choice);

#endif
