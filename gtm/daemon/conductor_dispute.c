/* SPDX-License-Identifier: Apache-2.0
 *
 * Does what vantages agree on stand in the verdicts in force? While it does not although somebody
 * leads, that leader may have stopped. See conductor.h.
 */
#include "gtm/base/mem.h"
#include "gtm/daemon/conductor_int.h"
#include "policies/merge.h"

#include <string.h>

struct counting {
    unsigned (*counts)[GTM_HEALTH_COUNT]; /* [endpoint * 2 + family] */
};

/* Failures of content may be held, and what is not agreed on says nothing. */
static void count(void *ctx, const struct gtm_quorum_target *target,
                  const struct gtm_quorum_view *view)
{
    struct counting *counting = ctx;
    bool counts = view->result.state == POLICY_AGREED && !view->result.content;
    counting->counts[target->endpoint * 2 + target->family]
                    [counts ? view->result.health : GTM_HEALTH_UNKNOWN]++;
}

/* What a leader that is there needs to answer. */
#define GRACE_MS 300u

/* *ret_seen_ms: how long this node has seen for itself what the verdicts deny. */
static bool disputed(const struct gtm_conductor *c, size_t pool, uint64_t *ret_seen_ms)
{
    const struct gtm_facts *facts = gtm_state_facts(c->opts.state);
    const struct gtm_pool *p = &c->intent->pools[pool];
    struct counting counting = {gtm_calloc(p->endpoints_count * 2 + 1, sizeof(*counting.counts))};
    bool any = false;
    if (!counting.counts)
        return false;
    gtm_quorum_table_each(c->opts.table, pool, count, &counting);
    *ret_seen_ms = 0;
    for (size_t i = 0; i < p->endpoints_count * 2 && !any; i++) {
        enum gtm_health agreed = policy_merge(counting.counts[i], p->monitors_needed);
        enum gtm_health now =
            gtm_states_get(facts->states, pool, i / 2, (enum gtm_family)(i % 2)).health;
        any = agreed == GTM_HEALTH_DOWN
                  ? now != GTM_HEALTH_DOWN && !facts->panic_held[facts->base[pool] * 2 + i]
                  : agreed == GTM_HEALTH_UP && now == GTM_HEALTH_DOWN &&
                        !gtm_state_taken_out(c->opts.state, pool, i / 2, (enum gtm_family)(i % 2));
        if (any && agreed == GTM_HEALTH_DOWN)
            *ret_seen_ms =
                gtm_state_seen_down_ms(c->opts.state, pool, i / 2, (enum gtm_family)(i % 2));
    }
    gtm_free(counting.counts);
    return any;
}

/* The two seconds that a leader has begin when this node saw it: a store that was away meanwhile is
 * no excuse, since a leader that is there answers as soon as observations arrive. */
static void look(struct gtm_conductor *c, size_t pool)
{
    const struct gtm_facts *facts = gtm_state_facts(c->opts.state);
    uint64_t *since = &c->pools[pool].disputed_ms, seen_ms = 0, now_ms = gtm_mono_ms(c->clock) + 1;
    if (!facts || facts->intent != c->intent)
        return; /* in the middle of a change: gtm_conductor_intent comes */
    if (!disputed(c, pool, &seen_ms)) {
        *since = 0;
    } else if (*since == 0) {
        uint64_t most_ms = POLICY_LEADERLESS_MS - GRACE_MS;
        seen_ms = seen_ms < most_ms ? seen_ms : most_ms;
        *since = seen_ms < now_ms ? now_ms - seen_ms : 1;
    }
}

/* The earliest of all. */
static void sum_up(struct gtm_conductor *c)
{
    uint64_t earliest = 0, before = c->unanswered_ms;
    for (size_t p = 0; p < c->intent->pools_count; p++) {
        uint64_t at = c->pools[p].disputed_ms;
        if (at && (!earliest || at < earliest))
            earliest = at;
    }
    c->unanswered_ms = earliest;
    if ((before != 0) != (earliest != 0) && c->opts.poke)
        c->opts.poke(c->opts.ctx);
}

void conductor__disputes(struct gtm_conductor *c)
{
    for (size_t p = 0; p < c->intent->pools_count; p++) {
        if (c->pools[p].look)
            look(c, p);
        c->pools[p].look = false;
    }
    sum_up(c);
}

void conductor__disputes_again(struct gtm_conductor *c)
{
    for (size_t p = 0; p < c->intent->pools_count; p++)
        if (c->pools[p].disputed_ms)
            look(c, p);
    sum_up(c);
}
