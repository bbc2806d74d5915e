/* SPDX-License-Identifier: Apache-2.0
 *
 * From votes to what is agreed on: only targets that are due. See quorum_table.h.
 */
#include "gtm/base/loop.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/quorum_table_int.h"

#include <string.h>

/* --- targets --- */

struct gtm_quorum_target quorum__target(const struct gtm_quorum_table *table, size_t pool,
                                        size_t target)
{
    size_t monitors = table->pools[pool].monitors;
    return (struct gtm_quorum_target){.pool = pool,
                                      .endpoint = target / monitors / 2,
                                      .monitor =
                                          table->intent->pools[pool].monitors[target % monitors],
                                      .family = (enum gtm_family)(target / monitors % 2)};
}

size_t quorum__index(const struct gtm_quorum_table *table, const struct gtm_quorum_target *target)
{
    if (!table->intent || target->pool >= table->intent->pools_count ||
        target->family >= GTM_FAMILY_COUNT)
        return SIZE_MAX;
    const struct gtm_pool *pool = &table->intent->pools[target->pool];
    if (target->endpoint >= pool->endpoints_count)
        return SIZE_MAX;
    for (size_t m = 0; m < pool->monitors_count; m++)
        if (pool->monitors[m] == target->monitor)
            return (target->endpoint * 2 + target->family) * pool->monitors_count + m;
    return SIZE_MAX;
}

static size_t words(size_t count)
{
    return count / 64 + 1;
}

int quorum__pools_new(const struct gtm_intent *intent, struct quorum__pool **ret)
{
    struct quorum__pool *pools = gtm_calloc(intent->pools_count + 1, sizeof(*pools));
    for (size_t p = 0; pools && p < intent->pools_count; p++) {
        struct quorum__pool *to = &pools[p];
        to->monitors = intent->pools[p].monitors_count;
        to->count = intent->pools[p].endpoints_count * 2 * to->monitors;
        to->results = gtm_calloc(to->count + 1, sizeof(*to->results));
        to->since_ms = gtm_calloc(to->count + 1, sizeof(*to->since_ms));
        to->due = gtm_calloc(words(to->count), sizeof(*to->due));
        to->changed = gtm_calloc(words(to->count), sizeof(*to->changed));
        if (!to->results || !to->since_ms || !to->due || !to->changed) {
            quorum__pools_free(pools, intent->pools_count);
            return GTM_ENOMEM;
        }
    }
    *ret = pools;
    return pools ? 0 : GTM_ENOMEM;
}

void quorum__pools_free(struct quorum__pool *pools, size_t count)
{
    for (size_t p = 0; pools && p < count; p++) {
        gtm_free(pools[p].results);
        gtm_free(pools[p].since_ms);
        gtm_free(pools[p].due);
        gtm_free(pools[p].changed);
    }
    gtm_free(pools);
}

/* --- over another intent --- */

static int old_monitor(const struct gtm_intent *from, const struct gtm_pool *pool, const char *name)
{
    for (size_t m = 0; m < pool->monitors_count; m++)
        if (!strcmp(from->monitors[pool->monitors[m]].name, name))
            return (int)m;
    return -1;
}

static void carry_pool(const struct gtm_quorum_table *table, size_t old,
                       const struct gtm_intent *intent, size_t pool, struct quorum__pool *to)
{
    const struct gtm_pool *p = &intent->pools[pool], *was = &table->intent->pools[old];
    const struct quorum__pool *from = &table->pools[old];
    for (size_t e = 0; e < p->endpoints_count; e++) {
        const char *name = p->endpoints[e].name;
        int o = e < was->endpoints_count && !strcmp(was->endpoints[e].name, name)
                    ? (int)e
                    : gtm_pool_endpoint(was, name);
        for (size_t m = 0; o >= 0 && m < p->monitors_count; m++) {
            int n = old_monitor(table->intent, was, intent->monitors[p->monitors[m]].name);
            for (size_t f = 0; n >= 0 && f < 2; f++) {
                size_t at = (e * 2 + f) * to->monitors + m;
                size_t then = ((size_t)o * 2 + f) * from->monitors + (size_t)n;
                to->results[at] = from->results[then];
                to->since_ms[at] = from->since_ms[then];
            }
        }
    }
}

void quorum__carry(const struct gtm_quorum_table *table, const struct gtm_intent *intent,
                   struct quorum__pool *pools)
{
    for (size_t p = 0; table->intent && p < intent->pools_count; p++) {
        int old = gtm_intent_pool(table->intent, intent->pools[p].name);
        if (old >= 0)
            carry_pool(table, (size_t)old, intent, p, &pools[p]);
    }
}

/* --- what is due --- */

static void list_pool(struct gtm_quorum_table *table, size_t pool)
{
    if (!table->pools[pool].is_due)
        table->due[table->due_count++] = (uint32_t)pool;
    table->pools[pool].is_due = true;
    if (table->due_count == 1)
        gtm_timer_start(table->timer, 0);
}

void quorum__mark(struct gtm_quorum_table *table, size_t pool, size_t target)
{
    table->pools[pool].due[target / 64] |= UINT64_C(1) << target % 64;
    list_pool(table, pool);
}

void quorum__mark_vantage(struct gtm_quorum_table *table, const struct quorum__vantage *vantage)
{
    for (size_t p = 0; table->intent && p < table->intent->pools_count; p++) {
        const uint8_t *votes = vantage->pools[p].votes;
        for (size_t t = 0; votes && t < table->pools[p].count; t++)
            if (votes[t])
                quorum__mark(table, p, t);
    }
}

void quorum__mark_all(struct gtm_quorum_table *table)
{
    for (size_t p = 0; p < table->intent->pools_count; p++) {
        struct quorum__pool *pool = &table->pools[p];
        for (size_t t = 0; t < pool->count; t++) {
            bool any = (pool->results[t] & QUORUM__HEALTH) != GTM_HEALTH_UNKNOWN;
            for (size_t v = 0; !any && v < table->vantages_count; v++)
                any = table->vantages[v]->pools[p].votes && table->vantages[v]->pools[p].votes[t];
            if (any)
                quorum__mark(table, p, t);
        }
    }
}

/* --- merging --- */

static const struct quorum__down *down_of(const struct quorum__seen *seen, size_t target)
{
    size_t low = 0, high = seen->downs_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (seen->downs[middle].target < target)
            low = middle + 1;
        else
            high = middle;
    }
    return low < seen->downs_count && seen->downs[low].target == target ? &seen->downs[low] : NULL;
}

/* Fills `votes` (room for one of each vantage) and returns how many; *ret_since_ms: the earliest
 * that one of them says it is down, 0 = none. */
static size_t votes_on(const struct gtm_quorum_table *table, size_t pool, size_t target,
                       bool with_texts, int64_t *ret_since_ms)
{
    size_t n = 0;
    *ret_since_ms = 0;
    for (size_t v = 0; v < table->vantages_count; v++) {
        const struct quorum__vantage *vantage = table->vantages[v];
        const struct quorum__seen *seen = &vantage->pools[pool];
        uint8_t vote = seen->votes ? seen->votes[target] : 0;
        if (!vantage->here || vantage->region < 0)
            continue;
        table->votes[n] = (struct policy_vote){.region = (uint16_t)vantage->region,
                                               .fit = vantage->fit,
                                               .health = vote & QUORUM__HEALTH,
                                               .content = vote & QUORUM__CONTENT,
                                               .vantage = vantage->name};
        bool down = (vote & QUORUM__HEALTH) == GTM_HEALTH_DOWN;
        const struct quorum__down *why = down ? down_of(seen, target) : NULL;
        if (why && vantage->fit && (!*ret_since_ms || why->since_ms < *ret_since_ms))
            *ret_since_ms = why->since_ms;
        if (why && with_texts)
            table->votes[n].evidence = why->text;
        n++;
    }
    return n;
}

static struct policy_quorum decide(const struct gtm_quorum_table *table, size_t votes,
                                   enum gtm_health before)
{
    return policy_quorum(table->votes, votes, (unsigned)table->intent->vantages_count,
                         table->intent->quorum, before);
}

static void merge_target(struct gtm_quorum_table *table, size_t pool, size_t target)
{
    struct quorum__pool *to = &table->pools[pool];
    uint8_t before = to->results[target];
    int64_t since_ms = 0;
    size_t votes = votes_on(table, pool, target, false, &since_ms);
    struct policy_quorum q = decide(table, votes, (enum gtm_health)(before & QUORUM__HEALTH));
    bool known = q.health != GTM_HEALTH_UNKNOWN || q.up + q.down > 0;
    /* What stays by lack of agreement stays for the same reason. */
    bool content = q.state == POLICY_AGREED ? q.content : before & QUORUM__CONTENT;
    bool down = q.health == GTM_HEALTH_DOWN;
    uint8_t now = (uint8_t)((unsigned)q.health | (down && content ? QUORUM__CONTENT : 0) |
                            (known ? QUORUM__KNOWN : 0) | (unsigned)q.state << QUORUM__STATE);
    if (!known)
        now = 0; /* nobody speaks of it */
    table->merged++;
    if (now == before)
        return;
    if ((now & QUORUM__HEALTH) != (before & QUORUM__HEALTH))
        to->since_ms[target] = down && since_ms ? since_ms : gtm_wall_ms(table->clock);
    to->results[target] = now;
    to->changed[target / 64] |= UINT64_C(1) << target % 64;
    if (!to->is_changed)
        table->changed[table->changed_count++] = (uint32_t)pool;
    to->is_changed = true;
}

/* Visits the bits that are set, and clears them. */
static void each_bit(struct gtm_quorum_table *table, size_t pool, uint64_t *bits,
                     void (*visit)(struct gtm_quorum_table *table, size_t pool, size_t target))
{
    for (size_t w = 0; w < words(table->pools[pool].count); w++) {
        uint64_t left = bits[w];
        bits[w] = 0;
        for (; left; left &= left - 1)
            visit(table, pool, w * 64 + (size_t)__builtin_ctzll(left));
    }
}

void quorum__merge_due(struct gtm_quorum_table *table)
{
    size_t count = table->due_count;
    table->due_count = 0;
    for (size_t i = 0; i < count; i++) {
        size_t pool = table->due[i];
        table->pools[pool].is_due = false;
        each_bit(table, pool, table->pools[pool].due, merge_target);
    }
    /* The timer goes on: whoever looked in between has not told the others of it. */
}

/* --- results --- */

static struct gtm_quorum_view view_of(const struct gtm_quorum_table *table, size_t pool,
                                      size_t target)
{
    uint8_t result = table->pools[pool].results[target];
    return (struct gtm_quorum_view){
        .result = {.health = (enum gtm_health)(result & QUORUM__HEALTH),
                   .content = result & QUORUM__CONTENT,
                   .state = (enum policy_quorum_state)(result >> QUORUM__STATE & 3)},
        .since_ms = table->pools[pool].since_ms[target],
        .known = result & QUORUM__KNOWN};
}

void gtm_quorum_table_each_changed(struct gtm_quorum_table *table, gtm_quorum_visit_fn *visit,
                                   void *ctx)
{
    quorum__merge_due(table);
    size_t count = table->changed_count;
    table->changed_count = 0;
    for (size_t i = 0; i < count; i++) {
        size_t pool = table->changed[i];
        struct quorum__pool *p = &table->pools[pool];
        p->is_changed = false;
        for (size_t w = 0; w < words(p->count); w++) {
            uint64_t left = p->changed[w];
            p->changed[w] = 0;
            for (; left; left &= left - 1) {
                size_t target = w * 64 + (size_t)__builtin_ctzll(left);
                struct gtm_quorum_target at = quorum__target(table, pool, target);
                struct gtm_quorum_view view = view_of(table, pool, target);
                visit(ctx, &at, &view);
            }
        }
    }
}

void gtm_quorum_table_each(struct gtm_quorum_table *table, size_t pool, gtm_quorum_visit_fn *visit,
                           void *ctx)
{
    quorum__merge_due(table);
    for (size_t t = 0;
         table->intent && pool < table->intent->pools_count && t < table->pools[pool].count; t++) {
        struct gtm_quorum_view view = view_of(table, pool, t);
        struct gtm_quorum_target at = quorum__target(table, pool, t);
        if (view.known)
            visit(ctx, &at, &view);
    }
}

void gtm_quorum_table_before(struct gtm_quorum_table *table, const struct gtm_quorum_target *target,
                             enum gtm_health health)
{
    size_t t = quorum__index(table, target);
    if (t == SIZE_MAX || health == GTM_HEALTH_UNKNOWN)
        return;
    struct quorum__pool *pool = &table->pools[target->pool];
    uint8_t state = (uint8_t)(pool->results[t] >> QUORUM__STATE & 3);
    bool agreed = pool->results[t] & QUORUM__KNOWN && state == POLICY_AGREED;
    if (agreed || (pool->results[t] & QUORUM__HEALTH) == (uint8_t)health)
        return;
    pool->results[t] = (uint8_t)(health | QUORUM__KNOWN | (unsigned)state << QUORUM__STATE);
    quorum__mark(table, target->pool, t);
}

const char *gtm_quorum_table_text(const struct gtm_quorum_table *table,
                                  const struct gtm_quorum_target *target,
                                  char out[POLICY_QUORUM_TEXT])
{
    size_t t = quorum__index(table, target);
    out[0] = '\0';
    if (t == SIZE_MAX)
        return out;
    int64_t since_ms = 0;
    const char *names[POLICY_VANTAGE_REGIONS_MAX] = {NULL};
    for (size_t r = 0; r < table->intent->vantages_count && r < POLICY_VANTAGE_REGIONS_MAX; r++)
        names[r] = table->intent->regions[table->intent->vantages[r]].name;
    size_t votes = votes_on(table, target->pool, t, true, &since_ms);
    uint8_t now = table->pools[target->pool].results[t];
    struct policy_quorum q = decide(table, votes, (enum gtm_health)(now & QUORUM__HEALTH));
    return policy_quorum_text(&q, table->votes, votes, names, out);
}

void gtm_quorum_table_votes(const struct gtm_quorum_table *table,
                            const struct gtm_quorum_target *target,
                            void (*visit)(void *ctx, const struct gtm_quorum_vote *vote), void *ctx)
{
    size_t t = quorum__index(table, target);
    for (size_t v = 0; t != SIZE_MAX && v < table->vantages_count; v++) {
        const struct quorum__vantage *vantage = table->vantages[v];
        const struct quorum__seen *seen = &vantage->pools[target->pool];
        uint8_t vote = seen->votes ? seen->votes[t] : 0;
        const struct quorum__down *why = vote ? down_of(seen, t) : NULL;
        if (vantage->here && vantage->region >= 0)
            visit(ctx, &(struct gtm_quorum_vote){.vantage = vantage->name,
                                                 .region = vantage->region_name,
                                                 .fit = vantage->fit,
                                                 .unfit_why = vantage->fit ? "" : vantage->why,
                                                 .health = (enum gtm_health)(vote & QUORUM__HEALTH),
                                                 .content = vote & QUORUM__CONTENT,
                                                 .since_ms = why ? why->since_ms : 0,
                                                 .at_ms = seen->at_ms,
                                                 .evidence = why ? why->text : ""});
    }
}
