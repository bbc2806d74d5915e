/* SPDX-License-Identifier: Apache-2.0
 *
 * The machine of schedule.h: four kinds of step, always taken in the order expire, count, cancel,
 * start, so that a start never rests on a result that is known but not counted yet. Pure.
 */
#include "health/schedule.h"

#include <stddef.h>

#define NS_PER_MS 1000000u

static uint64_t ms(uint64_t n)
{
    return n * NS_PER_MS;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The first regular moment after now. */
static uint64_t next_due(const struct health_schedule *s, uint64_t now_ns)
{
    uint64_t interval = ms(s->rules.interval_ms);
    if (now_ns < s->phase_ns)
        return s->phase_ns;
    return s->phase_ns + ((now_ns - s->phase_ns) / interval + 1) * interval;
}

static uint64_t draw_ms(struct gtm_rand *rand, unsigned span_ms)
{
    return (uint64_t)gtm_rand_below(rand, span_ms) * NS_PER_MS + gtm_rand_below(rand, NS_PER_MS);
}

void health_schedule_init(struct health_schedule *s, const struct health_rules *rules,
                          enum gtm_health known, uint64_t now_ns, unsigned first_ms,
                          struct gtm_rand *rand)
{
    *s = (struct health_schedule){.rules = *rules};
    unsigned interval = rules->interval_ms ? rules->interval_ms : 1;
    s->rules.interval_ms = interval;
    if (first_ms > interval)
        first_ms = interval;
    health_damping_init(&s->damping, known);
    s->due_ns = now_ns + (first_ms ? draw_ms(rand, first_ms) : 0);
    s->phase_ns = now_ns + draw_ms(rand, interval);
    s->last_start_ns = now_ns;
}

static struct health_flight *oldest(struct health_schedule *s, unsigned *ret_slot)
{
    struct health_flight *found = NULL;
    for (unsigned i = 0; i < HEALTH_FLIGHTS_MAX; i++) {
        struct health_flight *f = &s->flights[i];
        if (f->state != HEALTH_FLIGHT_FREE && (!found || (int32_t)(f->seq - found->seq) < 0)) {
            found = f;
            *ret_slot = i;
        }
    }
    return found;
}

/* The flight started last of those not counted yet; also counts them. */
static const struct health_flight *newest(const struct health_schedule *s, unsigned *ret_count)
{
    const struct health_flight *found = NULL;
    *ret_count = 0;
    for (unsigned i = 0; i < HEALTH_FLIGHTS_MAX; i++) {
        const struct health_flight *f = &s->flights[i];
        if (f->state == HEALTH_FLIGHT_FREE || f->cancel)
            continue;
        (*ret_count)++;
        if (!found || (int32_t)(f->seq - found->seq) > 0)
            found = f;
    }
    return found;
}

/* A running flight over its deadline becomes a failure. */
static bool expire(struct health_schedule *s, uint64_t now_ns, unsigned *ret_slot)
{
    for (unsigned i = 0; i < HEALTH_FLIGHTS_MAX; i++) {
        struct health_flight *f = &s->flights[i];
        if (f->state != HEALTH_FLIGHT_RUNNING || f->cancel || now_ns < f->deadline_ns)
            continue;
        f->state = HEALTH_FLIGHT_DONE;
        f->outcome = HEALTH_FAIL;
        f->latency_us = (uint32_t)((now_ns - f->start_ns) / 1000u);
        *ret_slot = i;
        return true;
    }
    return false;
}

static void count_pass(struct health_schedule *s, const struct health_flight *f)
{
    uint32_t us = f->latency_us ? f->latency_us : 1;
    if (s->average_us == 0)
        s->average_us = us;
    else
        s->average_us = (uint32_t)(((uint64_t)s->average_us * 7 + us) / 8);
    if (s->average_us == 0)
        s->average_us = 1;
    for (unsigned i = 0; i < HEALTH_FLIGHTS_MAX; i++) {
        struct health_flight *other = &s->flights[i];
        if (other->state == HEALTH_FLIGHT_RUNNING && other->confirm &&
            (int32_t)(other->seq - f->seq) > 0)
            other->cancel = true;
    }
}

/* Counts the oldest flight if it has ended. */
static bool settle(struct health_schedule *s, unsigned *ret_slot, bool *ret_changed)
{
    struct health_flight *f = oldest(s, ret_slot);
    if (!f || f->state != HEALTH_FLIGHT_DONE)
        return false;
    f->state = HEALTH_FLIGHT_FREE;
    if (f->outcome == HEALTH_PASS)
        count_pass(s, f);
    if (f->outcome != HEALTH_VOID)
        *ret_changed = health_damping_count(&s->damping, f->outcome == HEALTH_PASS, s->rules.fall,
                                            s->rules.rise);
    return true;
}

static bool cancel(struct health_schedule *s, unsigned *ret_slot)
{
    for (unsigned i = 0; i < HEALTH_FLIGHTS_MAX; i++) {
        struct health_flight *f = &s->flights[i];
        if (f->state == HEALTH_FLIGHT_FREE || !f->cancel)
            continue;
        f->state = HEALTH_FLIGHT_FREE;
        f->cancel = false;
        *ret_slot = i;
        return true;
    }
    return false;
}

static uint64_t after_gap(const struct health_schedule *s)
{
    return s->confirms == 0 ? s->last_start_ns : s->last_start_ns + ms(HEALTH_CONFIRM_GAP_MS);
}

/* When the next confirming probe is to start. */
static uint64_t confirm_at(const struct health_schedule *s)
{
    const struct health_damping *d = &s->damping;
    unsigned in_flight;
    const struct health_flight *last = newest(s, &in_flight);

    /* The bound on confirms keeps a target whose results alternate from being probed without end.
     */
    if (d->health == GTM_HEALTH_DOWN || s->confirms >= s->rules.fall + s->rules.rise)
        return HEALTH_NEVER;
    if (!last) {
        bool undecided = d->health == GTM_HEALTH_UNKNOWN && d->passes > 0;
        return d->fails > 0 || undecided ? after_gap(s) : HEALTH_NEVER;
    }
    if (d->fails + in_flight >= s->rules.fall || in_flight >= HEALTH_FLIGHTS_MAX)
        return HEALTH_NEVER;
    if (last->state == HEALTH_FLIGHT_RUNNING)
        return last->late_ns == HEALTH_NEVER ? HEALTH_NEVER : last->late_ns + s->slack_us * 1000ull;
    return last->outcome == HEALTH_FAIL ? after_gap(s) : HEALTH_NEVER;
}

static uint64_t regular_at(const struct health_schedule *s)
{
    unsigned in_flight;
    bool coming_back = s->damping.health == GTM_HEALTH_DOWN && s->damping.passes > 0;
    if (coming_back && !newest(s, &in_flight))
        return s->last_start_ns + ms(min_u64(s->rules.interval_ms, HEALTH_RISE_MS));
    return s->due_ns;
}

static uint64_t late_after_ns(const struct health_schedule *s)
{
    uint64_t late_us = (uint64_t)s->average_us * HEALTH_LATE_FACTOR;
    if (s->average_us == 0) /* nothing to compare with yet: a quarter of what is allowed */
        late_us = (uint64_t)s->rules.timeout_ms * 1000u / 4;
    if (late_us < HEALTH_LATE_MIN_MS * 1000u)
        late_us = HEALTH_LATE_MIN_MS * 1000u;
    return late_us * 1000u;
}

static void launch(struct health_schedule *s, unsigned slot, bool confirm, uint64_t now_ns)
{
    struct health_flight *f = &s->flights[slot];
    *f = (struct health_flight){.state = HEALTH_FLIGHT_RUNNING, .confirm = confirm};
    f->seq = s->next_seq++;
    f->start_ns = now_ns;
    f->late_ns = now_ns + late_after_ns(s);
    f->deadline_ns = now_ns + ms(s->rules.timeout_ms);
    s->last_start_ns = now_ns;
}

static bool start(struct health_schedule *s, uint64_t now_ns, unsigned *ret_slot)
{
    uint64_t regular = regular_at(s);
    if (now_ns < regular && now_ns < confirm_at(s))
        return false;

    unsigned slot = 0;
    while (slot < HEALTH_FLIGHTS_MAX && s->flights[slot].state != HEALTH_FLIGHT_FREE)
        slot++;
    if (slot == HEALTH_FLIGHTS_MAX) { /* only a regular one can be due: skip it */
        s->due_ns = next_due(s, now_ns);
        return false;
    }
    bool is_regular = now_ns >= regular;
    s->started_due_ns = is_regular ? regular : now_ns;
    launch(s, slot, !is_regular, now_ns);
    if (is_regular) {
        s->due_ns = next_due(s, now_ns);
        s->confirms = 0;
    } else {
        s->confirms++;
    }
    *ret_slot = slot;
    return true;
}

enum health_step health_schedule_step(struct health_schedule *s, uint64_t now_ns,
                                      unsigned *ret_slot, bool *ret_changed)
{
    *ret_changed = false;
    if (expire(s, now_ns, ret_slot))
        return HEALTH_STEP_EXPIRE;
    if (settle(s, ret_slot, ret_changed))
        return HEALTH_STEP_COUNT;
    if (cancel(s, ret_slot))
        return HEALTH_STEP_CANCEL;
    if (start(s, now_ns, ret_slot))
        return HEALTH_STEP_START;
    return HEALTH_STEP_NONE;
}

void health_schedule_result(struct health_schedule *s, unsigned slot,
                            enum health_outcome_kind outcome, uint32_t latency_us)
{
    struct health_flight *f = &s->flights[slot];
    if (f->state != HEALTH_FLIGHT_RUNNING)
        return;
    f->state = HEALTH_FLIGHT_DONE;
    f->outcome = outcome;
    f->latency_us = latency_us;
}

void health_schedule_hold(struct health_schedule *s, unsigned slot)
{
    struct health_flight *f = &s->flights[slot];
    unsigned most =
        s->rules.timeout_ms > s->rules.interval_ms ? s->rules.timeout_ms : s->rules.interval_ms;
    if (f->state != HEALTH_FLIGHT_RUNNING)
        return;
    f->late_ns = HEALTH_NEVER;
    f->deadline_ns = f->start_ns + ms(most);
}

void health_schedule_begun(struct health_schedule *s, unsigned slot, uint64_t now_ns)
{
    struct health_flight *f = &s->flights[slot];
    if (f->state != HEALTH_FLIGHT_RUNNING)
        return;
    f->start_ns = now_ns;
    f->late_ns = now_ns + late_after_ns(s);
    f->deadline_ns = now_ns + ms(s->rules.timeout_ms);
}

void health_schedule_void(struct health_schedule *s, unsigned slot)
{
    struct health_flight *f = &s->flights[slot];
    if (f->state == HEALTH_FLIGHT_DONE)
        f->outcome = HEALTH_VOID;
}

void health_schedule_check_now(struct health_schedule *s, uint64_t now_ns)
{
    if (s->due_ns > now_ns)
        s->due_ns = now_ns;
}

uint64_t health_schedule_wake_ns(const struct health_schedule *s)
{
    uint64_t wake = min_u64(regular_at(s), confirm_at(s));
    for (unsigned i = 0; i < HEALTH_FLIGHTS_MAX; i++)
        if (s->flights[i].state == HEALTH_FLIGHT_RUNNING)
            wake = min_u64(wake, s->flights[i].deadline_ns);
    return wake;
}
