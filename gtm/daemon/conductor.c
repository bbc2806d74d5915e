/* SPDX-License-Identifier: Apache-2.0
 *
 * See conductor.h. The pipeline: when there is one, what it is fed, where its verdicts go.
 */
#include "gtm/daemon/conductor.h"

#include "gtm/base/log.h"
#include "gtm/base/loop.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/conductor_int.h"

#include <stdio.h>
#include <string.h>

/* --- out of the pipeline --- */

/* Only health counts: a leader that is there and agrees on it is in charge of ramps and holds. */
static void note_differs(struct gtm_conductor *c, size_t pool, const struct conductor__print *print)
{
    bool differs = print->health != c->pools[pool].stored.health;
    if (differs == c->pools[pool].differs)
        return;
    c->pools[pool].differs = differs;
    c->differing += differs ? 1 : (size_t)-1;
    if (c->differing == 0 && c->opts.poke)
        c->opts.poke(c->opts.ctx);
}

/* Puts the pipeline's verdict on a pool in force here, unpublished. */
static void put_in_force(struct gtm_conductor *c, size_t pool)
{
    struct gtm_verdict_doc doc = {0};
    if (gtm_state_verdict(c->pipe, pool, &doc)) {
        gtm_log(GTM_LOG_ERROR, "conductor", "out of memory: a merge waits for the next change",
                gtm_kv_str("pool", c->intent->pools[pool].name));
        return;
    }
    gtm_state_follow_verdict(c->opts.state, pool, &doc);
    struct conductor__print print = conductor__print_of(&doc);
    note_differs(c, pool, &print);
    gtm_state_verdict_free(&doc);
    c->info.merged++;
}

static int on_flip(void *ctx, const struct gtm_states *states, const struct gtm_touched *touched)
{
    struct gtm_conductor *c = ctx;
    (void)states;
    for (size_t i = 0; i < touched->count; i++) {
        conductor__mark(c, touched->pools[i]);
        if (c->merging && !c->starting)
            put_in_force(c, touched->pools[i]);
    }
    if (c->merging && !c->starting)
        gtm_state_followed(c->opts.state);
    if (c->mode == POLICY_ROLE_LEAD && !c->starting)
        conductor__write(c);
    return 0;
}

/* What differs from the verdicts in the store, which were in force so far. */
static void put_differing(struct gtm_conductor *c)
{
    for (size_t p = 0; p < c->intent->pools_count; p++) {
        struct gtm_verdict_doc doc = {0};
        if (gtm_state_verdict(c->pipe, p, &doc))
            continue; /* out of memory: with its next change */
        struct conductor__print print = conductor__print_of(&doc);
        if (print.full != c->pools[p].stored.full) {
            gtm_state_follow_verdict(c->opts.state, p, &doc);
            c->info.merged++;
        }
        note_differs(c, p, &print);
        gtm_state_verdict_free(&doc);
    }
    gtm_state_followed(c->opts.state);
}

/* --- into the pipeline --- */

static void feed(void *ctx, const struct gtm_quorum_target *target,
                 const struct gtm_quorum_view *view)
{
    const struct gtm_conductor *c = ctx;
    char text[POLICY_QUORUM_TEXT] = "";
    if (!view->known || view->result.health == GTM_HEALTH_UNKNOWN)
        return;
    if (view->result.health == GTM_HEALTH_DOWN)
        gtm_quorum_table_text(c->opts.table, target, text);
    gtm_state_feed(c->pipe, &(struct gtm_state_fed){.pool = target->pool,
                                                    .endpoint = target->endpoint,
                                                    .monitor = target->monitor,
                                                    .family = target->family,
                                                    .health = view->result.health,
                                                    .content = view->result.content,
                                                    .quorum = (uint8_t)view->result.state,
                                                    .since_ms = view->since_ms,
                                                    .text = text});
}

static void feed_good(void *ctx, const struct gtm_quorum_target *target,
                      const struct gtm_quorum_view *view)
{
    if (view->result.health != GTM_HEALTH_DOWN)
        feed(ctx, target, view);
}

/* What is good first: a verdict does not say which monitor of a degraded address fails, and none
 * may seem down only because the others are not fed yet. */
static void feed_all(struct gtm_conductor *c)
{
    for (size_t p = 0; p < c->intent->pools_count; p++) {
        gtm_quorum_table_each(c->opts.table, p, feed_good, c);
        gtm_quorum_table_each(c->opts.table, p, feed, c);
    }
    gtm_state_fed(c->pipe);
}

static void drop_pipe(struct gtm_conductor *c)
{
    gtm_state_free(c->pipe);
    c->pipe = NULL;
    c->kept = false;
}

static int prepare(struct gtm_conductor *c)
{
    struct gtm_state_next *next = gtm_state_prepare(c->pipe, c->intent);
    if (!next)
        return GTM_ENOMEM;
    gtm_state_commit(c->pipe, next);
    return 0;
}

static void mark_all(struct gtm_conductor *c)
{
    for (size_t p = 0; p < c->intent->pools_count; p++)
        conductor__mark(c, p); /* those that are as in the store cost a look */
}

/* A pipeline that goes on where the verdicts in the store are. */
static int start_pipe(struct gtm_conductor *c)
{
    c->pipe = gtm_state_new(&(struct gtm_state_opts){.loop = c->opts.loop,
                                                     .clock = c->clock,
                                                     .store = c->opts.store,
                                                     .events = c->opts.events,
                                                     .mode = GTM_STATE_PIPELINE,
                                                     .flip = on_flip,
                                                     .ctx = c});
    int rc = c->pipe ? gtm_state_restore(c->pipe) : GTM_ENOMEM;
    c->starting = true;
    if (!rc)
        rc = conductor__load(c, true);
    if (!rc)
        rc = prepare(c);
    if (!rc)
        feed_all(c);
    c->starting = false;
    if (rc) {
        gtm_log(GTM_LOG_ERROR, "conductor", "this node cannot decide now; it tries again",
                gtm_kv_str("error", gtm_err_text(rc)));
        drop_pipe(c);
        return rc;
    }
    mark_all(c);
    return 0;
}

static void note_change(void *ctx, const struct gtm_quorum_target *target,
                        const struct gtm_quorum_view *view)
{
    struct gtm_conductor *c = ctx;
    (void)view;
    c->pools[target->pool].look = true;
}

void gtm_conductor_changed(struct gtm_conductor *c)
{
    if (!c->intent)
        return;
    if (!c->pipe) {
        gtm_quorum_table_each_changed(c->opts.table, note_change, c);
        conductor__disputes(c);
        return;
    }
    gtm_quorum_table_each_changed(c->opts.table, feed, c);
    gtm_state_fed(c->pipe);
}

void gtm_conductor_order(struct gtm_conductor *c, const char *key, const char *text, size_t len)
{
    int rc = c->pipe ? gtm_state_order(c->pipe, key, text, len) : 0;
    if (rc)
        gtm_log(GTM_LOG_ERROR, "conductor", "an order is not obeyed by who decides",
                gtm_kv_str("key", key), gtm_kv_str("error", gtm_err_text(rc)));
}

/* --- modes --- */

static void lead(struct gtm_conductor *c, bool goes_on)
{
    int64_t revision = 0;
    /* A leader that fell may have left half of its news there. */
    bool moved = c->pipe && !goes_on && conductor__stored_view(c, &revision) != c->merging_rev;
    int rc = !c->pipe ? start_pipe(c) : moved ? conductor__load(c, false) : 0;
    if (!c->pipe)
        return;
    if (rc) /* what was not read is written */
        gtm_log(GTM_LOG_ERROR, "conductor", "not all verdicts in the store can be read",
                gtm_kv_str("error", gtm_err_text(rc)));
    mark_all(c);
    c->takeover = true;
    c->second_ms = gtm_mono_ms(c->clock);
    conductor__resumes(c);
    conductor__write(c);
}

static uint64_t disputed_since_ms(const struct gtm_conductor *c)
{
    if (c->unanswered_ms == 0)
        return 0;
    return c->unanswered_ms > c->view_ms ? c->unanswered_ms : c->view_ms;
}

static void merge(struct gtm_conductor *c)
{
    int64_t revision = 0;
    if (!c->pipe && start_pipe(c))
        return;
    if (!c->merging) {
        c->merging_rev = conductor__stored_view(c, &revision);
        uint64_t disputed_ms = disputed_since_ms(c);
        c->merging_ms = disputed_ms ? disputed_ms : gtm_mono_ms(c->clock) + 1;
    }
    c->merging = true;
    put_differing(c);
}

/* The store is in sight again. A pipeline costs much to build, and the loop stands still meanwhile:
 * true when the leader goes on with the one it has, since nobody else has written. */
static bool take_up(struct gtm_conductor *c, enum policy_role_mode mode)
{
    int64_t revision = 0;
    if (mode == POLICY_ROLE_LEAD && conductor__stored_view(c, &revision) == c->info.rev) {
        c->kept = false;
        return true;
    }
    drop_pipe(c);
    gtm_conductor_look(c); /* what it heard meanwhile may be for others to answer */
    return false;
}

void gtm_conductor_mode(struct gtm_conductor *c, enum policy_role_mode mode)
{
    enum policy_role_mode before = c->mode;
    c->mode = mode;
    if (!c->intent)
        return;
    bool goes_on = c->kept && mode != POLICY_ROLE_ISOLATED && take_up(c, mode);
    bool decides = mode == POLICY_ROLE_LEAD || mode == POLICY_ROLE_MERGE;
    if (before == mode && (c->pipe || !decides))
        return;
    if (mode == POLICY_ROLE_LEAD)
        lead(c, goes_on);
    else if (mode == POLICY_ROLE_MERGE)
        merge(c);
    else if (c->pipe && before == POLICY_ROLE_LEAD && mode == POLICY_ROLE_ISOLATED && !c->merging)
        c->kept = true;
    else if (c->pipe && !c->kept &&
             (!c->merging || mode == POLICY_ROLE_ISOLATED || mode == POLICY_ROLE_HELD))
        drop_pipe(c); /* else: until the new leader has written … */
    else if (c->merging && mode == POLICY_ROLE_FOLLOW && c->differing == 0) {
        drop_pipe(c); /* … or has nothing to write, since its verdicts say the same */
        c->merging = false;
    }
}

void gtm_conductor_view(struct gtm_conductor *c, int64_t rev, bool more)
{
    if (rev != c->view_rev)
        c->view_ms = gtm_mono_ms(c->clock);
    c->view_rev = rev;
    if (c->merging && rev > c->merging_rev && !more) {
        c->merging = false;
        if (c->mode != POLICY_ROLE_LEAD) {
            drop_pipe(c);
            c->mode = POLICY_ROLE_FOLLOW; /* who wrote it is alive */
        }
        if (c->opts.poke)
            c->opts.poke(c->opts.ctx);
    }
    if (c->intent)
        conductor__disputes_again(c);
}

void gtm_conductor_look(struct gtm_conductor *c)
{
    for (size_t p = 0; c->intent && p < c->intent->pools_count; p++)
        c->pools[p].look = true;
    if (c->intent && !c->pipe)
        conductor__disputes(c);
}

void gtm_conductor_restored(struct gtm_conductor *c)
{
    c->merging_rev = 0;
    if (c->kept)
        drop_pipe(c);
}

bool gtm_conductor_merging(const struct gtm_conductor *c)
{
    return c->merging;
}

const struct gtm_state *gtm_conductor_pipeline(const struct gtm_conductor *c)
{
    return c->pipe;
}

void gtm_conductor_intent(struct gtm_conductor *c, const struct gtm_intent *intent,
                          int64_t revision)
{
    struct conductor__pool *pools = gtm_calloc(intent->pools_count + 1, sizeof(*pools));
    if (!pools) {
        gtm_log0(GTM_LOG_ERROR, "conductor", "out of memory: the intent before is decided by");
        return;
    }
    for (size_t p = 0; p < intent->pools_count; p++) {
        int old = c->intent ? gtm_intent_pool(c->intent, intent->pools[p].name) : -1;
        pools[p].look = true;
        pools[p].disputed_ms = old >= 0 ? c->pools[old].disputed_ms : 0;
    }
    gtm_free(c->pools);
    gtm_intent_unref((struct gtm_intent *)c->intent);
    c->intent = gtm_intent_ref(intent);
    c->intent_rev = revision;
    c->pools = pools;
    c->dirty = c->differing = 0;
    c->generation++;
    enum policy_role_mode mode = c->mode;
    if (!c->pipe) {
        conductor__disputes(c);
        c->mode = POLICY_ROLE_START; /* whoever must decide begins now */
        gtm_conductor_mode(c, mode);
        return;
    }
    c->starting = true;
    int rc = conductor__load(c, false);
    if (!rc)
        rc = prepare(c);
    if (!rc)
        feed_all(c);
    c->starting = false;
    if (rc) { /* from the verdicts in the store, then */
        drop_pipe(c);
        c->mode = POLICY_ROLE_START;
        gtm_conductor_mode(c, mode);
        return;
    }
    mark_all(c);
    if (c->merging)
        put_differing(c);
    conductor__write(c);
}

void gtm_conductor_second(struct gtm_conductor *c, struct health_engine *engine)
{
    if ((c->mode == POLICY_ROLE_LEAD || c->mode == POLICY_ROLE_MERGE) && !c->pipe && c->intent)
        gtm_conductor_mode(c, c->mode); /* there was no memory for it */
    if (c->unanswered_ms && !c->pipe)
        conductor__disputes_again(c); /* own checks may have put back what they took out */
    if (c->mode != POLICY_ROLE_LEAD || !c->pipe)
        return;
    /* Who stood still for so long is merged around: a view says that this is over. */
    uint64_t now_ms = gtm_mono_ms(c->clock);
    c->takeover = c->takeover || now_ms - c->second_ms >= POLICY_LEADERLESS_MS;
    c->second_ms = now_ms;
    gtm_state_take_loads(c->pipe, c->opts.state);
    gtm_state_balance(c->pipe, engine);
    conductor__prune(c);
    conductor__write(c);
}

uint64_t gtm_conductor_unanswered_ms(const struct gtm_conductor *c)
{
    if (c->merging)
        return c->differing ? c->merging_ms : 0; /* what it made is in no view yet */
    return c->pipe ? 0 : disputed_since_ms(c);
}

void gtm_conductor_info(const struct gtm_conductor *c, struct gtm_conductor_info *ret)
{
    *ret = c->info;
    ret->waiting = c->mode == POLICY_ROLE_LEAD ? c->dirty : 0;
}

/* --- life --- */

struct gtm_conductor *gtm_conductor_new(const struct gtm_conductor_opts *opts)
{
    struct gtm_conductor *c = gtm_calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->opts = *opts;
    c->clock = opts->clock ? opts->clock : gtm_clock_system();
    snprintf(c->node, sizeof(c->node), "%s", opts->node);
    c->timer = gtm_timer_new(opts->loop, conductor__write, c);
    c->resumes = gtm_store_watch(opts->store, "resume/", conductor__on_resume, c);
    if (!c->timer || !c->resumes) {
        gtm_conductor_free(c);
        return NULL;
    }
    return c;
}

void gtm_conductor_free(struct gtm_conductor *c)
{
    if (!c)
        return;
    conductor__let_go(c);
    gtm_store_unwatch(c->opts.store, c->resumes);
    gtm_timer_free(c->timer);
    gtm_state_free(c->pipe);
    for (size_t i = 0; i < c->gone_count; i++)
        gtm_free(c->gone[i]);
    gtm_free(c->gone);
    gtm_free(c->pools);
    gtm_intent_unref((struct gtm_intent *)c->intent);
    gtm_free(c);
}
