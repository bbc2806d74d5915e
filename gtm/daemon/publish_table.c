/* SPDX-License-Identifier: Apache-2.0
 *
 * One steering table: asks policies/ for the choice of each slot and turns it into ready records. A
 * choice that comes out as before is the same object as before, a table too. Control thread.
 */
#include "gtm/base/mem.h"
#include "gtm/daemon/publish_int.h"
#include "gtm/model/intent_later.h"

#include <stdio.h>
#include <string.h>

/* A kind while it is being rebuilt. */
struct build {
    struct gtm__state *state;
    const struct gtm__table *table;
    struct policy_env env;
    const struct policy_parts *parts;
    const struct gtm__table_kind *was;
    struct gtm__table_kind now;
    struct gtm__spec spec;
};

static void choice_put(struct gtm__choice *c)
{
    if (!c || --c->uses > 0)
        return;
    dns_choice_unref(c->choice);
    gtm_free(c);
}

static void kind_fini(struct gtm__state *state, struct gtm__table_kind *k)
{
    for (size_t i = 0; i < k->count; i++)
        choice_put(k->choices[i]);
    gtm_free(k->choices);
    gtm__picks_put(state, k->picks);
    *k = (struct gtm__table_kind){.mode = POLICY_NORMAL};
}

void gtm__table_fini(struct gtm__state *state, struct gtm__table_now *now)
{
    for (unsigned k = 0; k < DNS_KINDS; k++)
        kind_fini(state, &now->kind[k]);
    dns_steer_unref(now->steer);
    now->steer = NULL;
}

/* The choice in the scratch: the old table's when it has it, else a new one. */
static struct gtm__choice *choice_get(struct build *b, struct gtm_error *err)
{
    const struct gtm__state *s = b->state;
    for (size_t i = 0; i < b->was->count; i++) {
        struct gtm__choice *c = b->was->choices[i];
        if (c->spec_words == s->spec_words &&
            memcmp(c->spec, s->spec, s->spec_words * sizeof(*s->spec)) == 0) {
            c->uses++;
            return c;
        }
    }
    struct gtm__choice *c = gtm_malloc(sizeof(*c) + s->spec_words * sizeof(*s->spec));
    if (c) {
        c->uses = 1;
        c->spec_words = s->spec_words;
        memcpy(c->spec, s->spec, s->spec_words * sizeof(*s->spec));
        c->choice = gtm__spec_choice(&b->spec, err);
    }
    if (c && !c->choice) {
        choice_put(c);
        c = NULL;
    }
    if (!c && !err->code)
        gtm_error_set(err, GTM_ENOMEM, "no memory for a choice");
    return c;
}

const char *gtm__group_name(const struct gtm_intent *intent, unsigned group)
{
    const struct gtm_json *g = gtm_json_first(gtm_intent_section(intent, "groups"));
    for (unsigned i = 0; g && i < group; i++)
        g = gtm_json_next(g);
    return gtm_json_str(g, "name", "?");
}

static void set_reason(struct build *b)
{
    const struct gtm_intent *intent = b->env.intent;
    char *reason = b->spec.reason;
    size_t room = sizeof(b->spec.reason);
    if (b->table->of == GTM__TABLE_GROUP)
        snprintf(reason, room, "group %s is not active yet",
                 gtm__group_name(intent, b->table->index));
    else if (b->table->of == GTM__TABLE_POLICY && b->state->choice.mode == POLICY_FAIL_CLOSED)
        snprintf(reason, room, "all endpoints of %s are down (fail_closed)",
                 intent->policies[b->table->index].name);
    else if (b->table->of == GTM__TABLE_POLICY)
        snprintf(reason, room, "policy %s is not active yet",
                 intent->policies[b->table->index].name);
}

static const char *table_name(const struct build *b)
{
    return b->table->of == GTM__TABLE_POLICY  ? b->env.intent->policies[b->table->index].name
           : b->table->of == GTM__TABLE_GROUP ? "of a group"
                                              : "of an alias";
}

static int choose(struct build *b, size_t slot, struct gtm_error *err)
{
    struct gtm__state *s = b->state;
    const struct gtm__map *map = s->compiled->maps[b->table->map];
    struct policy_class class_ = {.parts = b->parts,
                                  .lists = gtm__map_class(map, b->now.picks->class_of_slot[slot])};
    int rc = GTM_OK;
    if (b->table->of == GTM__TABLE_POLICY) {
        rc = policy_choose(&b->env, b->table->index, &class_, &s->choice);
    } else {
        s->choice.mode = POLICY_INACTIVE;
        s->choice.options_count = s->choice.members_count = 0;
    }
    if (s->choice.mode == POLICY_FAIL_CLOSED || s->choice.mode == POLICY_INACTIVE)
        set_reason(b); /* of SERVFAIL */
    if (rc == GTM_OK)
        rc = gtm__spec_write(&b->spec);
    if (rc != GTM_OK)
        return gtm_error_set(err, rc, "policy %s: %s", table_name(b), gtm_err_text(rc));
    b->now.choices[slot] = choice_get(b, err);
    if (!b->now.choices[slot])
        return err->code;
    b->now.count = slot + 1;
    return GTM_OK;
}

static int build_kind(struct build *b, struct gtm_error *err)
{
    struct policy_look look;
    look.mode = b->table->of == GTM__TABLE_FIXED ? POLICY_NORMAL : POLICY_INACTIVE;
    if (b->table->of == GTM__TABLE_POLICY)
        policy_look(&b->env, b->table->index, b->parts, &look);
    b->now.mode = look.mode;
    b->now.picks = gtm__picks_get(b->state, b->table, b->parts, &look, err);
    if (!b->now.picks)
        return err->code;
    b->now.choices = gtm_calloc(b->now.picks->slots, sizeof(*b->now.choices));
    if (!b->now.choices)
        return gtm_error_set(err, GTM_ENOMEM, "no memory for choices");
    for (size_t slot = 0; slot < b->now.picks->slots; slot++) {
        int rc = choose(b, slot, err);
        if (rc != GTM_OK)
            return rc;
    }
    return GTM_OK;
}

static bool same(const struct gtm__table_kind *a, const struct gtm__table_kind *b)
{
    if (a->picks != b->picks || a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->choices[i] != b->choices[i])
            return false;
    return true;
}

static struct dns_steer *steer_new(struct gtm__state *state, const struct gtm__table *table,
                                   const struct gtm__table_kind now[DNS_KINDS],
                                   struct gtm_error *err)
{
    struct dns_steer_kind kinds[DNS_KINDS] = {{0}};
    size_t total = 0, at = 0;
    void *ptrs = state->choice_ptrs;
    for (unsigned k = 0; k < DNS_KINDS; k++)
        total += now[k].count;
    int rc = gtm_grow(&ptrs, &state->choice_ptrs_cap, total, sizeof(*state->choice_ptrs));
    state->choice_ptrs = ptrs;
    if (rc != GTM_OK) {
        gtm_error_set(err, rc, "no memory for a steering table");
        return NULL;
    }
    for (unsigned k = 0; k < DNS_KINDS; k++) {
        if (!now[k].picks)
            continue;
        kinds[k] = (struct dns_steer_kind){.picks = now[k].picks->picks,
                                           .choices = &state->choice_ptrs[at],
                                           .choices_count = now[k].count};
        for (size_t i = 0; i < now[k].count; i++)
            state->choice_ptrs[at++] = now[k].choices[i]->choice;
    }
    return dns_steer_new(state->compiled->maps[table->map]->map, kinds, err);
}

/* Keeps the publisher's counts of desperate tables right. */
static void count_modes(struct gtm_publisher_info *info, const struct gtm__table_now *now, bool add)
{
    bool closed = false, open = false;
    for (unsigned k = 0; k < DNS_KINDS; k++) {
        enum policy_mode mode = now->kind[k].mode;
        closed |= mode == POLICY_FAIL_CLOSED;
        open |= mode == POLICY_FAIL_OPEN || mode == POLICY_LAST_GOOD;
    }
    info->fail_closed += add ? (size_t)closed : (size_t)0 - (size_t)closed;
    info->fail_open += add ? (size_t)open : (size_t)0 - (size_t)open;
}

/* All kinds that the table wants, into now; on failure what was built is in there, too. */
static int build_kinds(struct gtm__state *state, const struct gtm_states *states, size_t t,
                       struct gtm__table_kind now[DNS_KINDS], struct gtm_error *err)
{
    const struct gtm__table *table = &state->compiled->tables[t];
    struct policy_parts parts = {.count = 0};
    int rc = GTM_OK;
    if (table->of == GTM__TABLE_POLICY)
        policy_parts(state->compiled->intent, table->index, &parts);
    for (unsigned k = 0; rc == GTM_OK && k < DNS_KINDS; k++) {
        struct build b = {.state = state,
                          .table = table,
                          .env = {.intent = state->compiled->intent,
                                  .states = states,
                                  .family = gtm__family_of((int)k),
                                  .orders = state->compiled->orders->orders},
                          .parts = &parts,
                          .was = &state->tables[t].kind[k]};
        if ((table->kinds >> k & 1) == 0)
            continue;
        b.spec.state = state;
        b.spec.table = table;
        b.spec.env = &b.env;
        b.spec.kind = (enum dns_kind)k;
        rc = build_kind(&b, err);
        now[k] = b.now;
    }
    return rc;
}

int gtm__table_build(struct gtm__state *state, const struct gtm_states *states, size_t t,
                     bool *ret_changed, struct gtm_error *err)
{
    struct gtm__table_now *now = &state->tables[t];
    struct gtm__table_kind fresh[DNS_KINDS];
    struct dns_steer *steer = NULL;
    memset(fresh, 0, sizeof(fresh));
    int rc = build_kinds(state, states, t, fresh, err);
    bool changed = now->steer == NULL;
    for (unsigned k = 0; k < DNS_KINDS; k++)
        changed |= !same(&fresh[k], &now->kind[k]);
    state->info->tables_built++;
    *ret_changed = rc == GTM_OK && changed;
    if (*ret_changed &&
        (steer = steer_new(state, &state->compiled->tables[t], fresh, err)) == NULL) {
        *ret_changed = false;
        rc = err->code;
    }
    if (rc != GTM_OK) {
        for (unsigned k = 0; k < DNS_KINDS; k++)
            kind_fini(state, &fresh[k]);
        return rc;
    }
    count_modes(state->info, now, false);
    for (unsigned k = 0; k < DNS_KINDS; k++) {
        kind_fini(state, &now->kind[k]);
        now->kind[k] = fresh[k];
    }
    count_modes(state->info, now, true);
    if (steer) {
        dns_steer_unref(now->steer);
        now->steer = steer;
    }
    return GTM_OK;
}
