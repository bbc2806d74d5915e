/* SPDX-License-Identifier: Apache-2.0
 *
 * From what probes say of targets to the health of addresses: the monitors of an address are merged
 * (policies/merge.h), and in a panic failures of content are held. The rest of the live state is in
 * state.c. Control thread.
 */
#include "gtm/base/mem.h"
#include "gtm/daemon/state_int.h"
#include "policies/merge.h"

#include <stdio.h>

/* Where results go: the state in force, or one that is being prepared (then quietly). */
struct settling {
    struct gtm_state *state;
    struct gtm_state_next *next;
    struct gtm_touched *touched; /* NULL: prepared */
    uint64_t now_ms;             /* monotonic */
    int64_t since_ms;            /* Unix time, of what changes */
};

static void tally(const struct gtm_state_next *next, const struct gtm_address *address,
                  bool believe_content, unsigned counts[GTM_HEALTH_COUNT])
{
    for (uint32_t i = address->first; i; i = next->slots[i - 1].next) {
        const struct gtm_slot *slot = &next->slots[i - 1];
        bool pardoned = slot->content && !believe_content && slot->health == GTM_HEALTH_DOWN;
        counts[pardoned ? GTM_HEALTH_UP : slot->health]++;
    }
}

static enum gtm_health merged(const struct gtm_state_next *next, size_t pool,
                              const struct gtm_address *address, bool believe_content)
{
    unsigned counts[GTM_HEALTH_COUNT] = {0};
    tally(next, address, believe_content, counts);
    return policy_merge(counts, next->facts->intent->pools[pool].monitors_needed);
}

/* The time that panics go by. */
static uint64_t panic_now(const struct settling *s)
{
    return s->now_ms + POLICY_PANIC_WINDOW_MS + 2;
}

/* What is heard of now may be old: after a restart, and when a successor begins. */
static bool begins(const struct settling *s)
{
    return !s->state->now || (s->state->opts.mode == GTM_STATE_PIPELINE && !s->state->fed);
}

/* Then: did all failures of content begin before what a panic looks at? */
static bool long_ago(const struct settling *s, const struct gtm_address *address)
{
    int64_t before = gtm_wall_ms(s->state->clock) - POLICY_PANIC_WINDOW_MS;
    for (uint32_t i = address->first; i; i = s->next->slots[i - 1].next) {
        const struct gtm_slot *slot = &s->next->slots[i - 1];
        if (slot->content && slot->health == GTM_HEALTH_DOWN && slot->since_ms >= before)
            return false;
    }
    return true;
}

/* Does content alone take the address down? Returns whether that changed. */
static bool note_content(const struct settling *s, size_t pool, struct gtm_address *address)
{
    bool content = merged(s->next, pool, address, true) == GTM_HEALTH_DOWN &&
                   merged(s->next, pool, address, false) != GTM_HEALTH_DOWN;
    if (content == (address->content_ms != 0))
        return false;
    address->content_ms = !content ? 0 : begins(s) && long_ago(s, address) ? 1 : panic_now(s);
    return true;
}

static void tell(const struct settling *s, size_t pool, size_t endpoint, enum gtm_health from,
                 enum gtm_health to, const char *cause)
{
    const struct gtm_pool *p = &s->next->facts->intent->pools[pool];
    char subject[160];
    if (s->state->opts.mode == GTM_STATE_PIPELINE)
        return; /* who follows its verdict says it */
    s->state->changes++;
    snprintf(subject, sizeof(subject), "endpoint/%s/%s", p->name, p->endpoints[endpoint].name);
    gtm_events_add(s->state->opts.events,
                   &(struct gtm_event){.type = GTM_EVENT_HEALTH_CHANGED,
                                       .level = to == GTM_HEALTH_DOWN ? GTM_LOG_WARN : GTM_LOG_INFO,
                                       .subject = subject,
                                       .from = gtm_health_word(from),
                                       .to = gtm_health_word(to),
                                       .cause = cause});
}

/* Gives an address the health that follows from its monitors. */
static void settle(const struct settling *s, size_t pool, size_t endpoint, enum gtm_family family,
                   const char *cause)
{
    struct gtm_facts *facts = s->next->facts;
    size_t at = (facts->base[pool] + endpoint) * 2 + family;
    const struct gtm_address *address = &s->next->addresses[at];
    enum gtm_health old = gtm_states_get(facts->states, pool, endpoint, family).health;
    unsigned counts[GTM_HEALTH_COUNT] = {0};
    tally(s->next, address, true, counts);
    enum gtm_health health = policy_merge(counts, facts->intent->pools[pool].monitors_needed);
    bool spoke = counts[GTM_HEALTH_UP] + counts[GTM_HEALTH_DEGRADED] + counts[GTM_HEALTH_DOWN] > 0;
    if (address->held)
        health = GTM_HEALTH_UNKNOWN; /* not believed: it serves, as unknown does */
    else if (health == GTM_HEALTH_UNKNOWN && spoke)
        health = old; /* not decided: as before */
    facts->panic_held[at] = address->held;
    if (address->held)
        policy_recovery_forgive(&facts->recovery[at], s->now_ms);
    if (s->touched)
        gtm_state__recover(s->state, s->next, pool, endpoint, family, health);
    if (health == old)
        return;
    facts->since_ms[at] = s->since_ms;
    gtm_states_set_health(facts->states, pool, endpoint, family, health, s->touched);
    if (!s->touched)
        return;
    gtm_touched_add(s->touched, pool); /* unknown → up moves no answer, but the words */
    tell(s, pool, endpoint, old, health, cause);
}

static void tell_panic(const struct settling *s, size_t pool, enum gtm_family family, bool on)
{
    const struct gtm_pool *p = &s->next->facts->intent->pools[pool];
    char subject[GTM_NAME_MAX + 8], cause[160];
    snprintf(subject, sizeof(subject), "pool/%s", p->name);
    snprintf(cause, sizeof(cause),
             on ? "failures of content would take down more than %.0f %% of its %s addresses "
                  "within a minute: held"
                : "no more than %.0f %% of its %s addresses fail: believed again",
             p->panic * 100, family == GTM_FAMILY_V4 ? "IPv4" : "IPv6");
    gtm_events_add(s->state->opts.events,
                   &(struct gtm_event){.type = GTM_EVENT_PANIC,
                                       .level = on ? GTM_LOG_ERROR : GTM_LOG_INFO,
                                       .subject = subject,
                                       .from = on ? "off" : "on",
                                       .to = on ? "on" : "off",
                                       .cause = cause});
}

/* Decides whether the pool's failures of content are believed, and settles those for which that
 * changed. Without memory everything stays as decided. */
static void decide_panic(const struct settling *s, size_t pool, enum gtm_family family)
{
    struct gtm_facts *facts = s->next->facts;
    const struct gtm_pool *p = &facts->intent->pools[pool];
    struct policy_panic_address *list = gtm_calloc(p->endpoints_count, sizeof(*list));
    size_t count = 0;
    if (!list)
        return;
    struct gtm_address *first = &s->next->addresses[facts->base[pool] * 2 + family];
    for (size_t e = 0; e < p->endpoints_count; e++)
        if (gtm_endpoint_has(&p->endpoints[e], family))
            list[count++] =
                (struct policy_panic_address){first[e * 2].content_ms, first[e * 2].held};
    bool was = facts->panic[pool * 2 + family];
    bool on = policy_panic(list, count, p->panic, was, panic_now(s));
    facts->panic[pool * 2 + family] = on;
    if (on != was && s->touched)
        gtm_touched_add(s->touched, pool); /* the words */
    if (on != was && s->touched && s->state->opts.mode != GTM_STATE_PIPELINE)
        tell_panic(s, pool, family, on);
    for (size_t e = 0, i = 0; e < p->endpoints_count; e++) {
        if (!gtm_endpoint_has(&p->endpoints[e], family))
            continue;
        bool held = list[i++].held;
        if (held == first[e * 2].held)
            continue;
        first[e * 2].held = held;
        for (uint32_t n = first[e * 2].first; n; n = s->next->slots[n - 1].next)
            gtm_state__mark(s->state, n - 1);
        settle(s, pool, e, family, held ? "panic: not believed" : "the panic is over");
    }
    gtm_free(list);
}

/* For those who are told by others than the events. Without memory the verdict goes without. */
static void keep_evidence(const struct gtm_state *state, struct gtm_slot *slot, const char *text)
{
    if (state->opts.mode == GTM_STATE_DECIDES)
        return;
    gtm_free(slot->evidence);
    slot->evidence = slot->health == GTM_HEALTH_DOWN && text[0] ? gtm_strdup(text) : NULL;
}

void gtm_state__merge(struct gtm_state *state, struct gtm_slot *slot,
                      const struct gtm_change *change)
{
    struct gtm_state_next *now = state->now;
    const struct gtm_intent *intent = now->facts->intent;
    struct settling s = {state, now, &now->touched, gtm_mono_ms(state->clock), change->since_ms};
    slot->health = change->health;
    slot->content = change->content;
    slot->since_ms = change->since_ms;
    slot->quorum = change->quorum;
    slot->result = change->result;
    keep_evidence(state, slot, change->evidence);
    if (state->opts.mode == GTM_STATE_FOLLOWS) {
        gtm_state__observed(state, slot->pool);
        return;
    }
    gtm_state__mark(state, (size_t)(slot - now->slots));
    size_t at = (now->facts->base[slot->pool] + slot->endpoint) * 2 + slot->family;
    if (note_content(&s, slot->pool, &now->addresses[at]))
        decide_panic(&s, slot->pool, (enum gtm_family)slot->family);
    char cause[256];
    snprintf(cause, sizeof(cause), "%s on %s: %s", intent->monitors[slot->monitor].name,
             slot->family == GTM_FAMILY_V4 ? "ipv4" : "ipv6", change->evidence);
    settle(&s, slot->pool, slot->endpoint, (enum gtm_family)slot->family, cause);
}

/* Since when the address is what it is: of the first of the monitors that say so. */
static int64_t since_of(const struct gtm_state_next *next, const struct gtm_address *address,
                        enum gtm_health health)
{
    int64_t since_ms = 0;
    for (uint32_t i = address->first; i; i = next->slots[i - 1].next) {
        const struct gtm_slot *slot = &next->slots[i - 1];
        if (slot->health == health && (!since_ms || slot->since_ms < since_ms))
            since_ms = slot->since_ms;
    }
    return since_ms;
}

void gtm_state__settle_pool(struct gtm_state *state, struct gtm_state_next *next, size_t pool)
{
    struct gtm_facts *facts = next->facts;
    const struct gtm_pool *p = &facts->intent->pools[pool];
    struct settling s = {state, next, NULL, gtm_mono_ms(state->clock), gtm_wall_ms(state->clock)};
    for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++) {
        bool content = false;
        for (size_t e = 0; e < p->endpoints_count; e++) {
            struct gtm_address *address = &next->addresses[(facts->base[pool] + e) * 2 + f];
            note_content(&s, pool, address);
            content = content || address->content_ms || address->held;
        }
        if (content)
            decide_panic(&s, pool, (enum gtm_family)f);
        for (size_t e = 0; e < p->endpoints_count; e++) {
            size_t at = (facts->base[pool] + e) * 2 + f;
            if (!gtm_endpoint_has(&p->endpoints[e], f))
                continue;
            s.since_ms = state->now ? facts->since_ms[at] : 0;
            settle(&s, pool, e, (enum gtm_family)f, "");
            if (!state->now)
                facts->since_ms[at] =
                    since_of(next, &next->addresses[at],
                             gtm_states_get(facts->states, pool, e, (enum gtm_family)f).health);
        }
    }
}

static void look_at(struct gtm_state *state, struct health_engine *engine,
                    const struct gtm_address *address)
{
    const struct gtm_state_next *now = state->now;
    for (uint32_t i = address->first; i; i = now->slots[i - 1].next) {
        const struct gtm_slot *slot = &now->slots[i - 1];
        struct health_report report;
        if (slot->health == GTM_HEALTH_DOWN && slot->content &&
            health_engine_report(engine, slot->key, &report) == GTM_OK &&
            report.health == GTM_HEALTH_DOWN &&
            health_result_class(report.last) == HEALTH_CLASS_TRANSPORT)
            gtm_state_on_change(state, &report, GTM_HEALTH_DOWN);
    }
}

void gtm_state_look_again(struct gtm_state *state, struct health_engine *engine)
{
    const struct gtm_facts *facts = gtm_state_facts(state);
    for (size_t p = 0; facts && p < facts->intent->pools_count; p++) {
        if (!facts->panic[p * 2] && !facts->panic[p * 2 + 1])
            continue;
        for (size_t i = 0; i < facts->intent->pools[p].endpoints_count * 2; i++)
            if (facts->panic_held[facts->base[p] * 2 + i])
                look_at(state, engine, &state->now->addresses[facts->base[p] * 2 + i]);
    }
}
