/* SPDX-License-Identifier: Apache-2.0
 *
 * See sticky.h. An endpoint's score in a bucket is -log2(u) / weight, where u in (0, 1) is a hash
 * of both: the lowest score comes first, and each endpoint is first in its weight's share of all
 * buckets. In whole numbers throughout, so that machines cannot differ in the last digit.
 */
#include "policies/sticky.h"

#include "gtm/base/mem.h"
#include "policies/policy_int.h"

#include <math.h>
#include <string.h>

#define LOG_STEPS  1024u
#define LOG_BITS   24 /* binary digits behind the point of a logarithm */
#define LOG_SHIFT  21 /* 31 bits of a mantissa, without the 10 that select a step */
#define NOBODY     UINT16_MAX
#define ACCEPT_ALL GTM_SHARE_FULL

/* What is needed to score one pool. */
struct scorer {
    const uint32_t *log; /* LOG_STEPS + 1: log2(1 + i / LOG_STEPS) */
    const struct gtm_pool *pool;
    uint64_t *hash;    /* by endpoint: of its name and the pool's */
    uint64_t *inverse; /* by endpoint: 2^32 / weight; a standby counts as weight 1 */
};

struct order {
    unsigned depth; /* endpoints kept for each bucket, ≤ POLICY_ORDER_KEPT */
    unsigned all;   /* endpoints that have a weight; depth == all: nothing was left out */
    size_t buckets;
    uint16_t *first; /* buckets × depth */
};

struct policy_orders {
    uint32_t log[LOG_STEPS + 1];
    size_t pools_count;
    struct order *orders; /* by pool; buckets 0 = no sticky policy steers it */
};

size_t policy_buckets(size_t endpoints)
{
    size_t buckets = POLICY_BUCKETS_MIN;
    while (buckets < POLICY_POOL_BUCKETS_MAX && buckets < endpoints * 64)
        buckets *= 2;
    return buckets;
}

/* David Stafford's 13th variant of the 64-bit finaliser. */
static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static uint64_t hash_name(uint64_t hash, const char *name)
{
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3); /* FNV-1a */
    return mix(hash);
}

static void log_fill(uint32_t log[LOG_STEPS + 1])
{
    for (unsigned i = 0; i <= LOG_STEPS; i++)
        log[i] = (uint32_t)lround(log2(1.0 + (double)i / LOG_STEPS) * (1 << LOG_BITS));
}

static int scorer_init(struct scorer *s, const uint32_t *log, const struct gtm_pool *pool)
{
    *s = (struct scorer){.log = log, .pool = pool};
    s->hash = gtm_calloc(pool->endpoints_count, sizeof(*s->hash));
    s->inverse = gtm_calloc(pool->endpoints_count, sizeof(*s->inverse));
    if (!s->hash || !s->inverse)
        return GTM_ENOMEM;
    uint64_t head = hash_name(UINT64_C(0xcbf29ce484222325), pool->name);
    for (size_t e = 0; e < pool->endpoints_count; e++) {
        uint32_t weight = pool->endpoints[e].weight;
        s->hash[e] = hash_name(head, pool->endpoints[e].name);
        s->inverse[e] = (UINT64_C(1) << 32) / (weight ? weight : 1);
    }
    return GTM_OK;
}

static void scorer_fini(struct scorer *s)
{
    gtm_free(s->hash);
    gtm_free(s->inverse);
}

static inline uint64_t pair_hash(const struct scorer *s, uint64_t bucket_hash, size_t endpoint)
{
    return mix(s->hash[endpoint] ^ bucket_hash);
}

static inline uint64_t bucket_hash(size_t bucket)
{
    return mix((bucket + 1) * UINT64_C(0x9e3779b97f4a7c15));
}

static inline uint64_t score(const struct scorer *s, uint64_t hash, size_t endpoint)
{
    uint32_t u = (uint32_t)(hash >> 32) | 1;
    unsigned zeros = (unsigned)__builtin_clz(u);
    uint32_t mantissa = (u << zeros) & 0x7fffffff;
    uint32_t at = mantissa >> LOG_SHIFT, rest = mantissa & ((1u << LOG_SHIFT) - 1);
    uint32_t low = s->log[at];
    uint64_t log = low + (((uint64_t)(s->log[at + 1] - low) * rest) >> LOG_SHIFT);
    uint64_t minus = ((uint64_t)(zeros + 1) << LOG_BITS) - log; /* -log2(u / 2^32) */
    return minus * s->inverse[endpoint];
}

/* A bound below the score that costs less: -log2(u) ≥ 1 - u. It spares nearly all logarithms. */
static inline uint64_t at_least(const struct scorer *s, uint64_t hash, size_t endpoint)
{
    return ((uint64_t)(uint32_t) ~(hash >> 32) >> (32 - LOG_BITS)) * s->inverse[endpoint];
}

/* The best of a bucket while all are looked at; on a tie the name decides, not the position. */
struct best {
    uint64_t score, hash;
    uint16_t endpoint;
};

static inline bool before(const struct best *a, const struct best *b)
{
    return a->score < b->score || (a->score == b->score && a->hash < b->hash);
}

static int order_build(struct order *order, const struct scorer *s, const uint16_t *weighted,
                       unsigned count)
{
    order->all = count;
    order->depth = count < POLICY_ORDER_KEPT ? count : POLICY_ORDER_KEPT;
    order->buckets = policy_buckets(s->pool->endpoints_count);
    order->first = gtm_calloc(order->buckets * order->depth, sizeof(*order->first));
    if (!order->first)
        return GTM_ENOMEM;
    for (size_t b = 0; b < order->buckets; b++) {
        struct best best[POLICY_ORDER_KEPT + 1];
        uint64_t here = bucket_hash(b);
        unsigned kept = 0;
        for (unsigned i = 0; i < count; i++) {
            uint64_t hash = pair_hash(s, here, weighted[i]);
            if (kept == order->depth && at_least(s, hash, weighted[i]) > best[kept - 1].score)
                continue;
            struct best one = {score(s, hash, weighted[i]), hash, weighted[i]};
            if (kept == order->depth && !before(&one, &best[kept - 1]))
                continue;
            unsigned at = kept < order->depth ? kept++ : kept - 1;
            for (; at > 0 && before(&one, &best[at - 1]); at--)
                best[at] = best[at - 1];
            best[at] = one;
        }
        for (unsigned i = 0; i < kept; i++)
            order->first[b * order->depth + i] = best[i].endpoint;
    }
    return GTM_OK;
}

static int order_of_pool(struct policy_orders *o, const struct gtm_intent *intent, unsigned pool)
{
    const struct gtm_pool *p = &intent->pools[pool];
    struct scorer s;
    unsigned count = 0;
    if (o->orders[pool].buckets > 0)
        return GTM_OK;
    uint16_t *weighted = gtm_calloc(p->endpoints_count, sizeof(*weighted));
    int rc = scorer_init(&s, o->log, p);
    for (unsigned e = 0; weighted && e < p->endpoints_count; e++)
        if (p->endpoints[e].weight > 0)
            weighted[count++] = (uint16_t)e;
    rc = weighted && rc == GTM_OK ? order_build(&o->orders[pool], &s, weighted, count) : GTM_ENOMEM;
    scorer_fini(&s);
    gtm_free(weighted);
    return rc;
}

static struct policy_orders *orders_alloc(const struct gtm_intent *intent)
{
    struct policy_orders *o = gtm_calloc(1, sizeof(*o));
    if (!o)
        return NULL;
    log_fill(o->log);
    o->pools_count = intent->pools_count;
    o->orders = gtm_calloc(intent->pools_count, sizeof(*o->orders));
    if (!o->orders) {
        policy_orders_free(o);
        return NULL;
    }
    return o;
}

struct policy_orders *policy_orders_new(const struct gtm_intent *intent)
{
    struct policy_orders *o = orders_alloc(intent);
    for (size_t p = 0; o && p < intent->policies_count; p++) {
        const struct gtm_policy *policy = &intent->policies[p];
        if (policy->steer != GTM_STEER_STICKY || !policy->has_pool)
            continue;
        if (order_of_pool(o, intent, policy->pool) != GTM_OK) {
            policy_orders_free(o);
            return NULL;
        }
    }
    return o;
}

void policy_orders_free(struct policy_orders *orders)
{
    if (!orders)
        return;
    for (size_t p = 0; orders->orders && p < orders->pools_count; p++)
        gtm_free(orders->orders[p].first);
    gtm_free(orders->orders);
    gtm_free(orders);
}

/* ---- a choice ---- */

/* One filling of an option's buckets. */
struct filling {
    struct scorer scorer;
    const struct order *order;
    const struct policy_usable *usable;
    uint16_t *member; /* by endpoint: its index into the option's members, or NOBODY */
    uint16_t *accept; /* by endpoint: of each GTM_SHARE_FULL buckets it takes so many */
};

/* Always the same buckets for the same share, and a greater share only adds to them. */
static inline bool accepts(const struct filling *f, uint64_t here, size_t endpoint)
{
    if (f->accept[endpoint] >= ACCEPT_ALL)
        return true;
    uint64_t second = mix(pair_hash(&f->scorer, here, endpoint) ^ UINT64_C(0x5851f42d4c957f2d));
    return (uint16_t)(((second >> 32) * GTM_SHARE_FULL) >> 32) < f->accept[endpoint];
}

/* By looking at every usable endpoint: the kept ones are all away, or none of them accepts. */
static uint16_t search(const struct filling *f, uint64_t here)
{
    struct best first = {.endpoint = NOBODY}, willing = {.endpoint = NOBODY};
    for (size_t i = 0; i < f->usable->count; i++) {
        uint16_t e = f->usable->endpoints[i];
        uint64_t hash = pair_hash(&f->scorer, here, e);
        struct best one = {score(&f->scorer, hash, e), hash, e};
        if (first.endpoint == NOBODY || before(&one, &first))
            first = one;
        if ((willing.endpoint == NOBODY || before(&one, &willing)) && accepts(f, here, e))
            willing = one;
    }
    return f->member[willing.endpoint == NOBODY ? first.endpoint : willing.endpoint];
}

static uint16_t place(const struct filling *f, size_t bucket)
{
    const uint16_t *kept = &f->order->first[bucket * f->order->depth];
    uint64_t here = bucket_hash(bucket);
    for (unsigned i = 0; i < f->order->depth; i++)
        if (f->member[kept[i]] != NOBODY && accepts(f, here, kept[i]))
            return f->member[kept[i]];
    return search(f, here);
}

static int fill(struct policy__walk *walk, struct filling *f, const struct gtm_pool *pool,
                unsigned index)
{
    struct policy_choice *c = walk->choice;
    struct policy_option *o = &c->options[c->options_count - 1];
    size_t count = f->order->buckets;
    void *buckets = c->buckets;
    int rc = gtm_grow(&buckets, &c->buckets_cap, c->buckets_count + count, sizeof(*c->buckets));
    c->buckets = buckets;
    f->member = gtm_calloc(pool->endpoints_count, sizeof(*f->member));
    f->accept = gtm_calloc(pool->endpoints_count, sizeof(*f->accept));
    if (rc != GTM_OK || !f->member || !f->accept)
        return GTM_ENOMEM;
    for (size_t e = 0; e < pool->endpoints_count; e++)
        f->member[e] = NOBODY;
    for (size_t i = 0; i < f->usable->count; i++) {
        uint16_t e = f->usable->endpoints[i];
        double part = policy__factor(walk->env, index, e);
        f->member[e] = (uint16_t)i;
        f->accept[e] = (uint16_t)ceil(part * ACCEPT_ALL);
    }
    o->buckets_first = c->buckets_count;
    o->buckets_count = count;
    for (size_t b = 0; b < count; b++)
        c->buckets[c->buckets_count++] = place(f, b);
    return GTM_OK;
}

void policy__from_buckets(struct policy__walk *walk, unsigned policy, double share)
{
    const struct gtm_intent *intent = walk->env->intent;
    const struct gtm_policy *p = &intent->policies[policy];
    const struct policy_orders *orders = walk->env->orders;
    struct policy_orders *own = NULL;
    struct policy_usable u;
    policy__pool_usable(walk->env, p->pool, walk->level, &u);
    if (u.count == 0)
        return;
    policy__from_all(walk, policy, share);
    if (walk->rc != GTM_OK)
        return;
    if (!orders || p->pool >= orders->pools_count || orders->orders[p->pool].buckets == 0) {
        own = orders_alloc(intent);
        walk->rc = own ? order_of_pool(own, intent, p->pool) : GTM_ENOMEM;
        orders = own;
    }
    if (walk->rc == GTM_OK) {
        struct filling f = {.order = &orders->orders[p->pool], .usable = &u};
        walk->rc = scorer_init(&f.scorer, orders->log, &intent->pools[p->pool]);
        if (walk->rc == GTM_OK)
            walk->rc = fill(walk, &f, &intent->pools[p->pool], p->pool);
        scorer_fini(&f.scorer);
        gtm_free(f.member);
        gtm_free(f.accept);
    }
    if (walk->rc == GTM_OK && walk->env->say)
        policy__say(walk->env,
                    "the client's network decides among them: %zu buckets, each with an order of "
                    "its own; the first that may answer has it",
                    orders->orders[p->pool].buckets);
    policy_orders_free(own);
}
