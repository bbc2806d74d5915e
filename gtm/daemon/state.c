/* SPDX-License-Identifier: Apache-2.0
 *
 * Merging of probes' changes and operators' orders into facts. See state.h.
 */
#include "gtm/base/log.h"
#include "gtm/base/loop.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/state_int.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define FLIP_RETRY_MS     500
#define END_CHECK_MS      30000 /* the calendar may be set while we wait */
#define LOADS_WAITING_MAX 20000

/* --- publishing --- */

static void flip(struct gtm_state *state, const struct gtm_touched *touched)
{
    if (!state->opts.flip(state->opts.ctx, state->now->facts->states, touched)) {
        gtm_timer_stop(state->flip_retry);
        return;
    }
    gtm_timer_start(state->flip_retry, FLIP_RETRY_MS);
}

static void on_flip_retry(void *arg)
{
    struct gtm_state *state = arg;
    if (state->now)
        flip(state, &state->none);
}

/* After facts changed: pools' and regions' words, then the answers. */
void gtm_state__publish(struct gtm_state *state)
{
    struct gtm_state_next *now = state->now;
    if (!now->touched.count)
        return;
    for (size_t i = 0; i < now->touched.count && state->opts.mode != GTM_STATE_FOLLOWS; i++)
        gtm_state__release(state, now, now->touched.pools[i]);
    /* Answers first; the words are for people. */
    flip(state, &now->touched);
    int64_t wall = gtm_wall_ms(state->clock);
    for (size_t i = 0; i < now->touched.count; i++)
        gtm_facts_update_pool(now->facts, now->touched.pools[i], wall);
    gtm_facts_update_regions(now->facts, wall);
    gtm_touched_clear(&now->touched);
}

/* --- probes' changes --- */

static void drain_changes(void *arg)
{
    struct gtm_state *state = arg;
    pthread_mutex_lock(&state->mutex);
    struct gtm_change *change = state->changed;
    state->changed = NULL;
    state->changed_last = &state->changed;
    state->posted = false;
    state->loads_waiting = 0;
    pthread_mutex_unlock(&state->mutex);
    bool any = false;
    while (change) {
        struct gtm_change *next = change->next;
        /* A target of an intent that is gone says nothing about this one. */
        uintptr_t i = state->now ? (uintptr_t)gtm_map_get(state->now->by_key, change->key) : 0;
        if (i && change->is_load)
            gtm_state__load(state, &state->now->slots[i - 1], &change->load);
        else if (i)
            gtm_state__merge(state, &state->now->slots[i - 1], change);
        any = any || (i && !change->is_load);
        gtm_free(change);
        change = next;
    }
    if (any) {
        gtm_state__publish(state);
        gtm_state__save_soon(state);
    }
}

static void enqueue(struct gtm_state *state, const struct health_report *report, bool is_load)
{
    struct gtm_change *change = gtm_calloc(1, sizeof(*change));
    if (!change) {
        gtm_log(GTM_LOG_ERROR, "state", "out of memory: a change of health is lost until the next",
                gtm_kv_str("target", report->key));
        return;
    }
    memcpy(change->key, report->key, sizeof(change->key));
    memcpy(change->evidence, report->evidence, sizeof(change->evidence));
    change->health = report->health;
    change->content = health_result_class(report->last) == HEALTH_CLASS_CONTENT;
    change->result = (uint8_t)report->last;
    change->since_ms = report->since_wall_ms;
    change->is_load = is_load;
    change->load = report->load;
    pthread_mutex_lock(&state->mutex);
    /* The control thread may be busy: a load is old by then, and its probe brings another. */
    if (is_load && state->loads_waiting >= LOADS_WAITING_MAX) {
        gtm_free(change);
        change = NULL;
    } else {
        state->loads_waiting += is_load;
        *state->changed_last = change;
        state->changed_last = &change->next;
    }
    /* A post that fails leaves `posted` false: the next change tries again with all of them. */
    if (!state->posted && !state->closing)
        state->posted = !gtm_loop_post(state->opts.loop, drain_changes, state);
    pthread_mutex_unlock(&state->mutex);
}

void gtm_state_on_change(void *arg, const struct health_report *report, enum gtm_health old)
{
    (void)old;
    enqueue(arg, report, false);
}

void gtm_state_on_load(void *arg, const struct health_report *report)
{
    enqueue(arg, report, true);
}

/* --- orders --- */

static void arm_end(struct gtm_state *state)
{
    const struct gtm_overrides *all = state->now ? &state->now->facts->overrides : &state->boot;
    int64_t end = gtm_overrides_next_end(all), now = gtm_wall_ms(state->clock);
    if (!end || state->opts.mode != GTM_STATE_DECIDES) {
        gtm_timer_stop(state->end_timer);
        return;
    }
    int64_t wait = end <= now ? 0 : end - now < END_CHECK_MS ? end - now : END_CHECK_MS;
    gtm_timer_start(state->end_timer, (uint64_t)wait);
}

struct store_job {
    struct gtm_state *state;
    gtm_state_done_fn done;
    void *arg;
    char key[GTM_OVERRIDE_KEY_BYTES];
};

static void on_override_stored(void *arg, const struct gtm_store_result *result)
{
    struct store_job *job = arg;
    struct gtm_state *state = job->state;
    gtm_state__saved(state, result->code, result->err);
    if (!result->code && state->now) {
        struct gtm_override *override = gtm_map_get(state->now->facts->overrides.map, job->key);
        if (override)
            override->saved = true;
    }
    if (job->done)
        job->done(job->arg, result->code, result->err);
    gtm_free(job);
}

int gtm_state__persist(struct gtm_state *state, const struct gtm_state_order_commit *order,
                       gtm_state_done_fn done, void *arg)
{
    struct store_job *job = gtm_calloc(1, sizeof(*job));
    if (!job)
        return GTM_ENOMEM;
    *job = (struct store_job){.state = state, .done = done, .arg = arg};
    snprintf(job->key, sizeof(job->key), "%s", order->key);
    int rc = gtm_state__store_override(state, order, on_override_stored, job);
    if (rc)
        gtm_free(job);
    return rc;
}

/* Puts the order in force and hands it to the store. */
static int change_override(struct gtm_state *state, const struct gtm_state_order_commit *order,
                           gtm_state_done_fn done, void *arg)
{
    struct gtm_facts *facts = state->now->facts;
    if (order->override) {
        struct gtm_override copy = *order->override;
        copy.saved = false;
        int rc = gtm_overrides_put(&facts->overrides, order->key, &copy);
        if (rc)
            return rc;
    } else {
        gtm_overrides_remove(&facts->overrides, order->key);
    }
    gtm_state__drain_changed(state, order->key);
    gtm_facts_apply_override(facts, order->key, &state->now->touched);
    gtm_state__publish(state);
    arm_end(state);
    int rc = gtm_state__persist(state, order, done, arg);
    if (rc) { /* in force, but not durable: said at once */
        struct gtm_error err = {0};
        gtm_error_set(&err, rc, "the store takes no more: %s", gtm_err_text(rc));
        gtm_state__saved(state, rc, &err);
        if (done)
            done(arg, rc, &err);
    }
    return 0;
}

int gtm_state_override_by(struct gtm_state *state, const char *key,
                          const struct gtm_override *override, const struct gtm_audit_entry *entry,
                          const struct gtm_store_change *more, size_t more_count,
                          gtm_state_done_fn done, void *arg)
{
    struct gtm_state_order_commit order = {key, override, entry, more, more_count};
    if (more_count > GTM_STATE_ORDER_MORE)
        return GTM_EINVAL;
    if (!state->now || state->opts.mode == GTM_STATE_PIPELINE)
        return GTM_ESTATE;
    if (state->opts.mode == GTM_STATE_FOLLOWS)
        return gtm_state__commit_order(state, &order, done, arg);
    return change_override(state, &order, done, arg);
}

int gtm_state_override(struct gtm_state *state, const char *key,
                       const struct gtm_override *override, gtm_state_done_fn done, void *arg)
{
    return gtm_state_override_by(state, key, override, NULL, NULL, 0, done, arg);
}

static void on_end(void *arg)
{
    struct gtm_state *state = arg;
    char key[GTM_OVERRIDE_KEY_BYTES];
    while (state->now &&
           gtm_overrides_ended(&state->now->facts->overrides, gtm_wall_ms(state->clock), key)) {
        const struct gtm_override *old = gtm_overrides_get(&state->now->facts->overrides, key);
        char from[GTM_OVERRIDE_WORD_BYTES],
            cause[GTM_OVERRIDE_OWNER_BYTES + GTM_OVERRIDE_REASON_BYTES + 64];
        gtm_override_word(old, from);
        const char *to = old->kind == GTM_ORDER_SWITCH ? "off" : "auto";
        snprintf(cause, sizeof(cause), "the order of %s has ended%s%s", old->owner,
                 old->reason[0] ? ": " : "", old->reason);
        struct gtm_state_order_commit gone = {.key = key};
        if (change_override(state, &gone, NULL, NULL)) {
            gtm_timer_start(state->end_timer, FLIP_RETRY_MS);
            return;
        }
        gtm_events_add(state->opts.events, &(struct gtm_event){.type = GTM_EVENT_OVERRIDE_EXPIRED,
                                                               .level = GTM_LOG_INFO,
                                                               .subject = key,
                                                               .from = from,
                                                               .to = to,
                                                               .cause = cause});
    }
    arm_end(state);
}

/* --- intents --- */

void gtm_state_next_free(struct gtm_state_next *next)
{
    if (!next)
        return;
    for (size_t i = 0; i < next->slots_count; i++) {
        gtm_free(next->slots[i].key);
        gtm_free(next->slots[i].evidence);
    }
    gtm_free(next->slots);
    gtm_map_free(next->by_key, NULL);
    gtm_free(next->addresses);
    gtm_free(next->active);
    gtm_state__loads_free(next);
    gtm_touched_fini(&next->touched);
    gtm_facts_free(next->facts);
    gtm_free(next);
}

/* What is already known of a target: by the present run, else by the one before. */
static void recall(const struct gtm_state *state, struct gtm_slot *slot)
{
    if (state->now) {
        uintptr_t i = (uintptr_t)gtm_map_get(state->now->by_key, slot->key);
        if (i) {
            const struct gtm_slot *old = &state->now->slots[i - 1];
            slot->health = old->health;
            slot->since_ms = old->since_ms;
            slot->content = old->content;
            slot->quorum = old->quorum;
            slot->result = old->result;
            slot->evidence = old->evidence ? gtm_strdup(old->evidence) : NULL; /* NULL is fine */
        }
        return;
    }
    const struct gtm_saved_health *saved = gtm_map_get(state->saved, slot->key);
    if (saved) {
        slot->health = saved->health;
        slot->since_ms = saved->since_ms;
        slot->content = saved->content;
    }
}

static void recall_saved(const struct gtm_state *state, const struct gtm_state_next *next,
                         const struct gtm_slot *slot, struct policy_recovery *r)
{
    char key[GTM_OVERRIDE_KEY_BYTES];
    const struct gtm_pool *pool = &next->facts->intent->pools[slot->pool];
    snprintf(key, sizeof(key), "%s/%s/%d", pool->name, pool->endpoints[slot->endpoint].name,
             slot->family == GTM_FAMILY_V4 ? 4 : 6);
    const struct policy_recovery *saved = gtm_map_get(state->saved_recovery, key);
    if (!saved)
        return;
    *r = *saved;
    r->since_ms = gtm_state__to_mono(state, saved->since_ms);
    r->penalty_ms = gtm_state__to_mono(state, saved->penalty_ms);
}

/* A panic and a way back go on over a reload and a restart. */
static void recall_address(const struct gtm_state *state, struct gtm_state_next *next,
                           const struct gtm_slot *slot, struct gtm_address *address)
{
    uintptr_t i = state->now ? (uintptr_t)gtm_map_get(state->now->by_key, slot->key) : 0;
    size_t at = (next->facts->base[slot->pool] + slot->endpoint) * 2 + slot->family;
    if (!state->now) {
        const struct gtm_saved_health *saved = gtm_map_get(state->saved, slot->key);
        recall_saved(state, next, slot, &next->facts->recovery[at]);
        address->held = address->held || (saved && saved->held);
        next->facts->panic[slot->pool * 2 + slot->family] |= address->held;
    }
    if (!i)
        return;
    const struct gtm_slot *old = &state->now->slots[i - 1];
    const struct gtm_facts *facts = state->now->facts;
    const struct gtm_address *from =
        &state->now->addresses[(facts->base[old->pool] + old->endpoint) * 2 + old->family];
    next->facts->recovery[at] =
        facts->recovery[(facts->base[old->pool] + old->endpoint) * 2 + old->family];
    address->content_ms = from->content_ms;
    address->held = from->held;
    address->verdict = from->verdict;
    address->local = from->local;
    next->facts->panic_held[at] =
        facts->panic_held[(facts->base[old->pool] + old->endpoint) * 2 + old->family];
    next->facts->panic[slot->pool * 2 + slot->family] = facts->panic[old->pool * 2 + old->family];
}

bool gtm_target_key(const struct gtm_intent *intent, size_t pool, size_t endpoint, unsigned monitor,
                    enum gtm_family family, char ret_key[HEALTH_KEY_BYTES])
{
    const struct gtm_pool *p = &intent->pools[pool];
    int n = snprintf(ret_key, HEALTH_KEY_BYTES, "%s/%s/%s/%d", p->name, p->endpoints[endpoint].name,
                     intent->monitors[monitor].name, family == GTM_FAMILY_V4 ? 4 : 6);
    return n > 0 && n < HEALTH_KEY_BYTES;
}

static int add_slot(const struct gtm_state *state, struct gtm_state_next *next,
                    struct gtm_slot slot)
{
    char key[HEALTH_KEY_BYTES];
    if (!gtm_target_key(next->facts->intent, slot.pool, slot.endpoint, slot.monitor, slot.family,
                        key))
        return GTM_ELIMIT;
    slot.key = gtm_strdup(key);
    if (!slot.key)
        return GTM_ENOMEM;
    int rc = gtm_grow((void **)&next->slots, &next->slots_cap, next->slots_count + 1,
                      sizeof(*next->slots));
    if (!rc)
        rc = gtm_map_put(next->by_key, slot.key, (void *)(uintptr_t)(next->slots_count + 1), NULL);
    if (rc) {
        gtm_free(slot.key);
        return rc;
    }
    recall(state, &slot);
    struct gtm_address *address =
        &next->addresses[(next->facts->base[slot.pool] + slot.endpoint) * 2 + slot.family];
    recall_address(state, next, &slot, address);
    slot.next = address->first;
    next->slots[next->slots_count++] = slot;
    address->first = (uint32_t)next->slots_count;
    return 0;
}

static int add_endpoint(const struct gtm_state *state, struct gtm_state_next *next, uint32_t p,
                        uint32_t e)
{
    const struct gtm_intent *intent = next->facts->intent;
    const struct gtm_pool *pool = &intent->pools[p];
    for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++) {
        if (!gtm_endpoint_has(&pool->endpoints[e], f))
            continue;
        for (size_t m = 0; m < pool->monitors_count; m++) {
            unsigned monitor = pool->monitors[m];
            if (!gtm_monitor_kind_active(intent->monitors[monitor].kind))
                continue;
            int rc =
                add_slot(state, next,
                         (struct gtm_slot){
                             .pool = p, .endpoint = e, .family = (uint8_t)f, .monitor = monitor});
            if (rc)
                return rc;
        }
    }
    return 0;
}

/* After a restart: the marks of the earlier run instead of those worked out by setting healths one
 * after the other. */
static void recall_last_good(const struct gtm_state *state, struct gtm_state_next *next)
{
    const struct gtm_intent *intent = next->facts->intent;
    char key[GTM_OVERRIDE_KEY_BYTES];
    for (size_t p = 0; p < intent->pools_count; p++) {
        for (size_t e = 0; e < intent->pools[p].endpoints_count; e++) {
            for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++) {
                snprintf(key, sizeof(key), "%s/%s/%d", intent->pools[p].name,
                         intent->pools[p].endpoints[e].name, f == GTM_FAMILY_V4 ? 4 : 6);
                gtm_states_set_last_good(next->facts->states, p, e, f,
                                         !gtm_map_get(state->not_last_good, key));
            }
        }
    }
}

static int copy_orders(struct gtm_overrides *to, const struct gtm_overrides *from)
{
    size_t it = 0;
    const char *key;
    void *value;
    int rc = 0;
    while (!rc && gtm_map_next(from->map, &it, &key, &value))
        rc = gtm_overrides_put(to, key, value);
    return rc;
}

static int fill(struct gtm_state *state, struct gtm_state_next *next)
{
    const struct gtm_intent *intent = next->facts->intent;
    int rc = state->now ? gtm_facts_carry(next->facts, state->now->facts) : 0;
    for (uint32_t p = 0; !rc && p < intent->pools_count; p++)
        for (uint32_t e = 0; !rc && e < intent->pools[p].endpoints_count; e++)
            rc = add_endpoint(state, next, p, e);
    if (rc)
        return rc;
    for (size_t p = 0; p < intent->pools_count && state->opts.mode != GTM_STATE_FOLLOWS; p++)
        gtm_state__settle_pool(state, next, p);
    if (!state->now) {
        rc = copy_orders(&next->facts->overrides, &state->boot);
        recall_last_good(state, next);
    }
    if (!rc)
        rc = gtm_state__loads_prepared(state, next);
    if (rc)
        return rc;
    gtm_state__shares_prepared(state, next);
    gtm_facts_apply_overrides(next->facts, NULL); /* also of names that are new */
    int64_t wall = gtm_wall_ms(state->clock);
    for (size_t p = 0; p < intent->pools_count; p++)
        gtm_facts_update_pool(next->facts, p, wall);
    gtm_facts_update_regions(next->facts, wall);
    return rc;
}

struct gtm_state_next *gtm_state_prepare(struct gtm_state *state, const struct gtm_intent *intent)
{
    struct gtm_state_next *next = gtm_calloc(1, sizeof(*next));
    if (!next)
        return NULL;
    next->facts = gtm_facts_new(intent);
    next->by_key = gtm_map_new();
    if (next->facts)
        next->addresses = gtm_calloc(next->facts->endpoints * 2 + 1, sizeof(*next->addresses));
    if (!next->facts || !next->by_key || !next->addresses ||
        gtm_touched_init(&next->touched, intent->pools_count) || fill(state, next)) {
        gtm_state_next_free(next);
        return NULL;
    }
    return next;
}

const struct gtm_states *gtm_state_next_states(const struct gtm_state_next *next)
{
    return next->facts->states;
}

void gtm_state_commit(struct gtm_state *state, struct gtm_state_next *next)
{
    gtm_state_next_free(state->now);
    state->now = next;
    gtm_state__on_share(state);
    gtm_timer_stop(state->flip_retry);
    gtm_map_free(state->saved, gtm_free);
    gtm_map_free(state->not_last_good, NULL);
    gtm_map_free(state->saved_recovery, gtm_free);
    gtm_map_free(state->saved_balance, gtm_free);
    state->saved = state->not_last_good = state->saved_recovery = state->saved_balance = NULL;
    gtm_overrides_fini(&state->boot);
    state->all_dirty = state->balance_due = true;
    gtm_state__save_soon(state);
    arm_end(state);
}

struct health_target *gtm_state_targets(const struct gtm_state *state, size_t *ret_count)
{
    const struct gtm_state_next *now = state->now;
    *ret_count = now ? now->slots_count : 0;
    struct health_target *targets = *ret_count ? gtm_calloc(*ret_count, sizeof(*targets)) : NULL;
    for (size_t i = 0; targets && i < *ret_count; i++) {
        const struct gtm_slot *slot = &now->slots[i];
        const struct gtm_endpoint *endpoint =
            &now->facts->intent->pools[slot->pool].endpoints[slot->endpoint];
        targets[i] = (struct health_target){.key = slot->key,
                                            .monitor = &now->facts->intent->monitors[slot->monitor],
                                            .pool = now->facts->intent->pools[slot->pool].name,
                                            .endpoint = endpoint->name,
                                            .initial = slot->health};
        if (slot->family == GTM_FAMILY_V4) {
            targets[i].family = AF_INET;
            targets[i].addr.v4 = endpoint->v4;
        } else {
            targets[i].family = AF_INET6;
            targets[i].addr.v6 = endpoint->v6;
        }
    }
    return targets;
}

const struct gtm_facts *gtm_state_facts(const struct gtm_state *state)
{
    return state->now ? state->now->facts : NULL;
}

uint64_t gtm_state_changes(const struct gtm_state *state)
{
    return state->changes;
}

/* --- life --- */

struct gtm_state *gtm_state_new(const struct gtm_state_opts *opts)
{
    struct gtm_state *state = gtm_calloc(1, sizeof(*state));
    if (!state)
        return NULL;
    state->opts = *opts;
    state->clock = opts->clock ? opts->clock : gtm_clock_system();
    state->changed_last = &state->changed;
    pthread_mutex_init(&state->mutex, NULL);
    state->flip_retry = gtm_timer_new(opts->loop, on_flip_retry, state);
    state->save_timer = gtm_timer_new(opts->loop, gtm_state__on_save, state);
    state->end_timer = gtm_timer_new(opts->loop, on_end, state);
    state->share_timer = gtm_timer_new(opts->loop, gtm_state__on_share, state);
    state->saved = gtm_map_new();
    state->not_last_good = gtm_map_new();
    state->saved_recovery = gtm_map_new();
    state->saved_balance = gtm_map_new();
    if (!state->flip_retry || !state->save_timer || !state->end_timer || !state->share_timer ||
        !state->saved || !state->not_last_good || !state->saved_recovery || !state->saved_balance ||
        gtm_overrides_init(&state->boot)) {
        gtm_state_free(state);
        return NULL;
    }
    return state;
}

void gtm_state_free(struct gtm_state *state)
{
    if (!state)
        return;
    while (state->changed) {
        struct gtm_change *next = state->changed->next;
        gtm_free(state->changed);
        state->changed = next;
    }
    gtm_timer_free(state->flip_retry);
    gtm_timer_free(state->save_timer);
    gtm_timer_free(state->end_timer);
    gtm_timer_free(state->share_timer);
    gtm_map_free(state->saved, gtm_free);
    gtm_map_free(state->not_last_good, NULL);
    gtm_map_free(state->saved_recovery, gtm_free);
    gtm_map_free(state->saved_balance, gtm_free);
    gtm_overrides_fini(&state->boot);
    gtm_state_next_free(state->now);
    pthread_mutex_destroy(&state->mutex);
    gtm_free(state);
}
