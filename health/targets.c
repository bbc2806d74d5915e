/* SPDX-License-Identifier: Apache-2.0
 *
 * The change from one set of targets to the next: whole or not at all. Targets that are probed
 * alike (health_spec_equal) share one probe; what a reload does not touch keeps its probe, also
 * when others that shared it come or go.
 *
 * Happy path: specs → plan (members and the probes that are missing) → commit under the lock → what
 * is no longer named is freed → new probes begin, and who joined a probe hears what it knows.
 * Failure modes: out of memory while planning: the plan is dropped, nothing has changed.
 * The engine's thread. See health.h and engine.h.
 */
#include "gtm/base/mem.h"
#include "health/engine.h"

#include <stdio.h>
#include <string.h>

#define SPREAD_US   100 /* first probes of many targets: this far apart */
#define PROBE_BYTES 512

/* A set of targets in the making. */
struct plan {
    struct health_member **members;
    size_t count, added;
    struct gtm_map *by_key, *by_probe;
    struct health_item *made; /* new probes */
    size_t made_count;
};

static void member_free(struct health_member *member)
{
    if (!member)
        return;
    gtm_free(member->key);
    gtm_free(member);
}

static void plan_drop(struct health_engine *engine, struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        if (!plan->members[i]->kept)
            member_free(plan->members[i]);
    for (size_t i = 0; i < engine->count; i++)
        engine->members[i]->kept = false;
    for (struct health_item *item = engine->items; item; item = item->next)
        item->joined = false;
    while (plan->made) {
        struct health_item *item = plan->made;
        plan->made = item->next;
        health__item_free(item);
    }
    gtm_map_free(plan->by_key, NULL);
    gtm_map_free(plan->by_probe, NULL);
    gtm_free(plan->members);
}

/* Under what a probe is found. Specs with the same text may still differ (health_spec_equal). */
static const char *probe_text(const struct health_spec *spec, char out[PROBE_BYTES])
{
    const char *key = spec->kind == GTM_MONITOR_PUSH ? spec->key : "";
    snprintf(out, PROBE_BYTES, "%s\n%s\n%s\n%s\n%s", spec->monitor, spec->authority, key,
             spec->pool ? spec->pool : "", spec->endpoint ? spec->endpoint : "");
    return out;
}

/* Puts the probe into the plan, so that later targets find it. One that has the text already stays:
 * the two are then not shared, though each works. */
static int plan_note(struct plan *plan, struct health_item *item)
{
    char text[PROBE_BYTES];
    probe_text(item->spec, text);
    if (gtm_map_get(plan->by_probe, text))
        return GTM_OK;
    return gtm_map_put(plan->by_probe, text, item, NULL);
}

/* The probe for a spec: the plan's, the one that ran so far, or a new one, which takes the spec.
 * NULL when out of memory. */
static struct health_item *plan_item(struct health_engine *engine, struct plan *plan,
                                     struct health_spec **spec)
{
    char text[PROBE_BYTES];
    probe_text(*spec, text);
    struct health_item *item = gtm_map_get(plan->by_probe, text);
    if (item && health_spec_equal(item->spec, *spec))
        return item;
    item = gtm_map_get(engine->by_probe, text);
    if (!item || !health_spec_equal(item->spec, *spec)) {
        item = health__item_new(engine, *spec);
        if (!item)
            return NULL;
        *spec = NULL;
        item->next = plan->made;
        plan->made = item;
        plan->made_count++;
    }
    return plan_note(plan, item) == GTM_OK ? item : NULL;
}

static enum gtm_health clean_health(enum gtm_health known)
{
    struct health_damping damping;
    health_damping_init(&damping, known);
    return damping.health;
}

/* A target that is new, or is probed in another way than before. */
static struct health_member *plan_join(struct health_engine *engine, struct plan *plan,
                                       struct health_spec **spec, const struct health_member *old)
{
    struct health_member *member = gtm_calloc(1, sizeof(*member));
    if (!member)
        return NULL;
    member->key = gtm_strdup((*spec)->key);
    member->health = old ? old->health : clean_health((*spec)->initial);
    member->since_wall_ms = old ? old->since_wall_ms : gtm_wall_ms(engine->clock);
    member->item = member->key ? plan_item(engine, plan, spec) : NULL;
    if (!member->item) {
        member_free(member);
        return NULL;
    }
    if (old && *spec == NULL) /* made for it */
        health__item_inherit(member->item, old->item);
    member->item->joined = true;
    return member;
}

static int plan_add(struct health_engine *engine, struct plan *plan, struct health_spec **spec)
{
    struct health_member *member = gtm_map_get(engine->by_key, (*spec)->key);
    if (member && health_spec_equal(member->item->spec, *spec)) {
        member->kept = true;
        plan->members[plan->count++] = member;
        int rc = plan_note(plan, member->item);
        if (rc != GTM_OK)
            return rc;
    } else {
        member = plan_join(engine, plan, spec, member);
        if (!member)
            return GTM_ENOMEM;
        plan->members[plan->count++] = member;
        plan->added++;
    }
    return gtm_map_put(plan->by_key, member->key, member, NULL);
}

static int plan_make(struct health_engine *engine, struct plan *plan,
                     const struct health_command *command)
{
    *plan = (struct plan){.by_key = gtm_map_new(), .by_probe = gtm_map_new()};
    plan->members = gtm_calloc(command->count, sizeof(struct health_member *));
    int rc = plan->by_key && plan->by_probe && plan->members ? GTM_OK : GTM_ENOMEM;
    if (rc == GTM_OK)
        rc = health_queue_reserve(&engine->queue, command->count);
    for (size_t i = 0; rc == GTM_OK && i < command->count; i++)
        rc = plan_add(engine, plan, &command->specs[i]);
    return rc;
}

/* Under the lock: every probe gets its members anew, in their order. */
static void link_members(struct health_engine *engine, const struct plan *plan)
{
    for (struct health_item *item = engine->items; item; item = item->next) {
        item->members = NULL;
        item->members_count = 0;
    }
    for (size_t i = plan->count; i-- > 0;) {
        struct health_member *member = plan->members[i];
        member->next = member->item->members;
        member->item->members = member;
        member->item->members_count++;
    }
}

/* Under the lock: probes without members leave the engine's list (they are returned), new ones come
 * in. */
static struct health_item *link_items(struct health_engine *engine, const struct plan *plan)
{
    struct health_item *gone = NULL, **at = &engine->items;
    while (*at) {
        struct health_item *item = *at;
        if (item->members) {
            at = &item->next;
            continue;
        }
        *at = item->next;
        item->next = gone;
        gone = item;
        engine->items_count--;
    }
    *at = plan->made;
    engine->items_count += plan->made_count;
    return gone;
}

static void commit(struct health_engine *engine, const struct plan *plan)
{
    struct health_member **old = engine->members;
    size_t old_count = engine->count;
    struct gtm_map *old_by_key = engine->by_key, *old_by_probe = engine->by_probe;
    pthread_mutex_lock(&engine->lock);
    engine->members = plan->members;
    engine->count = plan->count;
    engine->by_key = plan->by_key;
    engine->by_probe = plan->by_probe;
    link_members(engine, plan);
    struct health_item *gone = link_items(engine, plan);
    pthread_mutex_unlock(&engine->lock);

    for (size_t i = 0; i < old_count; i++) {
        if (!old[i]->kept)
            member_free(old[i]);
        else
            old[i]->kept = false;
    }
    while (gone) {
        struct health_item *item = gone;
        gone = item->next;
        health__item_free(item);
    }
    gtm_map_free(old_by_key, NULL);
    gtm_map_free(old_by_probe, NULL);
    gtm_free(old);
}

/* The first probes of many targets are spread, or they would be late by their own number. */
static unsigned first_window_ms(size_t count)
{
    size_t spread_ms = count * SPREAD_US / 1000u;
    return spread_ms > HEALTH_FIRST_MS ? (unsigned)spread_ms : HEALTH_FIRST_MS;
}

/* What the members of a new probe knew, if they agree. */
static enum gtm_health known_of(const struct health_item *item)
{
    enum gtm_health known = item->members ? item->members->health : GTM_HEALTH_UNKNOWN;
    for (const struct health_member *m = item->members; m; m = m->next)
        if (m->health != known)
            return GTM_HEALTH_UNKNOWN;
    return known;
}

void health__targets_apply(struct health_engine *engine, struct health_command *command)
{
    struct plan plan;
    if (plan_make(engine, &plan, command) != GTM_OK) {
        plan_drop(engine, &plan);
        gtm_log(GTM_LOG_ERROR, "health", "the targets stay as they were: out of memory",
                gtm_kv_int("wanted", (int64_t)command->count));
        return;
    }
    commit(engine, &plan);
    unsigned first_ms = first_window_ms(plan.made_count);
    uint64_t now_ns = health__now_ns(engine);
    for (struct health_item *item = plan.made; item; item = item->next) {
        health__item_begin(item, known_of(item), first_ms);
        health__item_run(item, now_ns);
    }
    for (struct health_item *item = engine->items; item; item = item->next) {
        if (item->joined)
            health__item_align(item);
        item->joined = false;
    }
    gtm_log(GTM_LOG_INFO, "health", "targets changed", gtm_kv_int("targets", (int64_t)plan.count),
            gtm_kv_int("new", (int64_t)plan.added),
            gtm_kv_int("probes", (int64_t)engine->items_count));
}

void health__targets_free(struct health_engine *engine)
{
    while (engine->items) {
        struct health_item *item = engine->items;
        engine->items = item->next;
        health__item_free(item);
    }
    for (size_t i = 0; i < engine->count; i++)
        member_free(engine->members[i]);
    gtm_free(engine->members);
    gtm_map_free(engine->by_key, NULL);
    gtm_map_free(engine->by_probe, NULL);
}
