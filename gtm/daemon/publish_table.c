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

/* The bytes of a choice: its head, then for each option its head, weights and addresses; in words,
 * so that all is aligned for dns_option_spec to point into. */
struct spec_head {
    uint32_t outcome, ttl_s, options;
};
struct spec_option {
    uint32_t weight, answers, count, weighted;
};
#define WORDS(type) (sizeof(type) / sizeof(uint32_t))

/* A family while it is being rebuilt. */
struct build {
    struct gtm__state *state;
    const struct gtm__table *table;
    struct policy_env env;
    struct policy_parts parts;
    const struct gtm__table_family *was;
    struct gtm__table_family now;
    char reason[DNS_EDE_TEXT_MAX + GTM_NAME_MAX + 1]; /* of SERVFAIL */
};

static void choice_put(struct gtm__choice *c)
{
    if (!c || --c->uses > 0)
        return;
    dns_choice_unref(c->choice);
    gtm_free(c->spec);
    gtm_free(c);
}

static void family_fini(struct gtm__state *state, struct gtm__table_family *f)
{
    for (size_t i = 0; i < f->count; i++)
        choice_put(f->choices[i]);
    gtm_free(f->choices);
    gtm__picks_put(state, f->picks);
    *f = (struct gtm__table_family){.mode = POLICY_NORMAL};
}

void gtm__table_fini(struct gtm__state *state, struct gtm__table_now *now)
{
    for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++)
        family_fini(state, &now->family[f]);
    dns_steer_unref(now->steer);
    now->steer = NULL;
}

/* Room for `words` more in the scratch; NULL without memory. They count at once. */
static void *spec_more(struct gtm__state *state, size_t words)
{
    void *spec = state->spec;
    int rc = gtm_grow(&spec, &state->spec_cap, state->spec_words + words, sizeof(*state->spec));
    state->spec = spec;
    if (rc != GTM_OK)
        return NULL;
    state->spec_words += words;
    return &state->spec[state->spec_words - words];
}

static bool spec_option(struct build *b, const struct policy_option *o)
{
    const struct policy_member *members = &b->state->choice.members[o->first];
    bool weighted = false;
    for (size_t i = 1; i < o->count; i++)
        weighted |= members[i].weight != members[0].weight;
    weighted = weighted && o->answers < o->count;
    size_t address = b->env.family == GTM_FAMILY_V4 ? 1 : 4;
    size_t words = WORDS(struct spec_option) + o->count * ((weighted ? 1 : 0) + address);
    uint32_t *at = spec_more(b->state, words);
    if (!at)
        return false;
    struct spec_option head = {o->weight, o->answers, (uint32_t)o->count, weighted};
    memcpy(at, &head, sizeof(head));
    at += WORDS(struct spec_option);
    for (size_t i = 0; weighted && i < o->count; i++)
        *at++ = members[i].weight;
    for (size_t i = 0; i < o->count; i++, at += address) {
        const struct gtm_endpoint *ep =
            &b->env.intent->pools[members[i].pool].endpoints[members[i].endpoint];
        if (b->env.family == GTM_FAMILY_V4)
            memcpy(at, &ep->v4, sizeof(ep->v4));
        else
            memcpy(at, &ep->v6, sizeof(ep->v6));
    }
    return true;
}

static enum dns_outcome outcome_of(enum policy_mode mode)
{
    if (mode == POLICY_NODATA)
        return DNS_OUTCOME_NODATA;
    return mode == POLICY_FAIL_CLOSED || mode == POLICY_INACTIVE ? DNS_OUTCOME_SERVFAIL
                                                                 : DNS_OUTCOME_ANSWER;
}

/* Writes the choice in state->choice into the scratch. */
static int spec_write(struct build *b)
{
    const struct policy_choice *c = &b->state->choice;
    b->state->spec_words = 0;
    struct spec_head *head = spec_more(b->state, WORDS(struct spec_head));
    if (!head)
        return GTM_ENOMEM;
    enum dns_outcome outcome = outcome_of(c->mode);
    *head = (struct spec_head){outcome, b->table->ttl_s, (uint32_t)c->options_count};
    for (size_t i = 0; i < c->options_count; i++)
        if (!spec_option(b, &c->options[i]))
            return GTM_ENOMEM;
    if (outcome != DNS_OUTCOME_SERVFAIL)
        return GTM_OK;
    size_t words = (strlen(b->reason) + sizeof(uint32_t)) / sizeof(uint32_t);
    uint32_t *text = spec_more(b->state, words);
    if (!text)
        return GTM_ENOMEM;
    memset(text, 0, words * sizeof(uint32_t));
    memcpy(text, b->reason, strlen(b->reason));
    return GTM_OK;
}

/* Reads the scratch back as what dns/ takes. */
static struct dns_choice *spec_to_choice(struct build *b, struct gtm_error *err)
{
    struct gtm__state *s = b->state;
    struct spec_head head;
    memcpy(&head, s->spec, sizeof(head));
    void *options = s->options;
    int rc = gtm_grow(&options, &s->options_cap, head.options, sizeof(*s->options));
    s->options = options;
    if (rc != GTM_OK) {
        gtm_error_set(err, rc, "no memory for a choice");
        return NULL;
    }
    const uint32_t *at = s->spec + WORDS(struct spec_head);
    for (size_t i = 0; i < head.options; i++) {
        struct spec_option o;
        memcpy(&o, at, sizeof(o));
        at += WORDS(struct spec_option);
        s->options[i] =
            (struct dns_option_spec){.weight = o.weight, .answers = o.answers, .count = o.count};
        if (o.weighted) {
            s->options[i].weights = at;
            at += o.count;
        }
        s->options[i].rdata = (const uint8_t *)at;
        at += o.count * (b->env.family == GTM_FAMILY_V4 ? 1 : 4);
    }
    struct dns_choice_spec spec = {
        .type = b->env.family == GTM_FAMILY_V4 ? GTM_TYPE_A : GTM_TYPE_AAAA,
        .ttl_s = head.ttl_s,
        .outcome = (enum dns_outcome)head.outcome,
        .options = s->options,
        .options_count = head.options,
        .ede_text = head.outcome == DNS_OUTCOME_SERVFAIL ? b->reason : NULL,
    };
    s->info->choices_built++;
    return dns_choice_new(&spec, err);
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
    struct gtm__choice *c = gtm_calloc(1, sizeof(*c));
    if (c) {
        c->uses = 1;
        c->spec_words = s->spec_words;
        c->spec = gtm_memdup(s->spec, s->spec_words * sizeof(*s->spec));
        c->choice = c->spec ? spec_to_choice(b, err) : NULL;
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
    const struct gtm_policy *p = b->table->is_group ? NULL : &intent->policies[b->table->index];
    if (!p)
        snprintf(b->reason, sizeof(b->reason), "group %s is not active yet",
                 gtm__group_name(intent, b->table->index));
    else if (b->state->choice.mode == POLICY_FAIL_CLOSED)
        snprintf(b->reason, sizeof(b->reason), "all endpoints of %s are down (fail_closed)",
                 p->name);
    else
        snprintf(b->reason, sizeof(b->reason), "policy %s is not active yet", p->name);
}

static int choose(struct build *b, size_t slot, struct gtm_error *err)
{
    struct gtm__state *s = b->state;
    const struct gtm__map *map = s->compiled->maps[b->table->map];
    struct policy_class class_ = {.parts = &b->parts,
                                  .lists = gtm__map_class(map, b->now.picks->class_of_slot[slot])};
    int rc = GTM_OK;
    if (b->table->is_group) {
        s->choice.mode = POLICY_INACTIVE;
        s->choice.options_count = s->choice.members_count = 0;
    } else {
        rc = policy_choose(&b->env, b->table->index, &class_, &s->choice);
    }
    set_reason(b);
    if (rc == GTM_OK)
        rc = spec_write(b);
    if (rc != GTM_OK)
        return gtm_error_set(err, rc, "policy %s: %s",
                             b->table->is_group ? "of a group"
                                                : b->env.intent->policies[b->table->index].name,
                             gtm_err_text(rc));
    b->now.choices[slot] = choice_get(b, err);
    if (!b->now.choices[slot])
        return err->code;
    b->now.count = slot + 1;
    return GTM_OK;
}

static int build_family(struct build *b, struct gtm_error *err)
{
    struct policy_look look;
    look.mode = POLICY_INACTIVE;
    if (!b->table->is_group)
        policy_look(&b->env, b->table->index, &b->parts, &look);
    b->now.mode = look.mode;
    b->now.picks = gtm__picks_get(b->state, b->table, &b->parts, &look, err);
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

static bool same(const struct gtm__table_family *a, const struct gtm__table_family *b)
{
    if (a->picks != b->picks || a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->choices[i] != b->choices[i])
            return false;
    return true;
}

static struct dns_steer *steer_new(struct gtm__state *state, struct build b[GTM_FAMILY_COUNT],
                                   struct gtm_error *err)
{
    struct dns_steer_kind kinds[DNS_KINDS] = {{0}};
    size_t at = 0;
    void *ptrs = state->choice_ptrs;
    int rc = gtm_grow(&ptrs, &state->choice_ptrs_cap, b[0].now.count + b[1].now.count,
                      sizeof(*state->choice_ptrs));
    state->choice_ptrs = ptrs;
    if (rc != GTM_OK) {
        gtm_error_set(err, rc, "no memory for a steering table");
        return NULL;
    }
    for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++) {
        kinds[f] = (struct dns_steer_kind){.picks = b[f].now.picks->picks,
                                           .choices = &state->choice_ptrs[at],
                                           .choices_count = b[f].now.count};
        for (size_t i = 0; i < b[f].now.count; i++)
            state->choice_ptrs[at++] = b[f].now.choices[i]->choice;
    }
    return dns_steer_new(state->compiled->maps[b[0].table->map]->map, kinds, err);
}

/* Keeps the publisher's counts of desperate tables right. */
static void count_modes(struct gtm_publisher_info *info, const struct gtm__table_now *now, bool add)
{
    bool closed = false, open = false;
    for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++) {
        enum policy_mode mode = now->family[f].mode;
        closed |= mode == POLICY_FAIL_CLOSED;
        open |= mode == POLICY_FAIL_OPEN || mode == POLICY_LAST_GOOD;
    }
    info->fail_closed += add ? (size_t)closed : (size_t)0 - (size_t)closed;
    info->fail_open += add ? (size_t)open : (size_t)0 - (size_t)open;
}

int gtm__table_build(struct gtm__state *state, const struct gtm_states *states, size_t t,
                     bool *ret_changed, struct gtm_error *err)
{
    struct gtm__table_now *now = &state->tables[t];
    struct build b[GTM_FAMILY_COUNT];
    struct dns_steer *steer = NULL;
    int rc = GTM_OK;
    for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++) {
        b[f] = (struct build){.state = state,
                              .table = &state->compiled->tables[t],
                              .env = {.intent = state->compiled->intent,
                                      .states = states,
                                      .family = (enum gtm_family)f},
                              .was = &now->family[f]};
        if (!b[f].table->is_group)
            policy_parts(b[f].env.intent, b[f].table->index, &b[f].parts);
    }
    for (unsigned f = 0; rc == GTM_OK && f < GTM_FAMILY_COUNT; f++)
        rc = build_family(&b[f], err);
    state->info->tables_built++;
    *ret_changed = rc == GTM_OK && !(now->steer && same(&b[0].now, &now->family[0]) &&
                                     same(&b[1].now, &now->family[1]));
    if (*ret_changed && (steer = steer_new(state, b, err)) == NULL) {
        *ret_changed = false;
        rc = err->code;
    }
    if (rc != GTM_OK) {
        for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++)
            family_fini(state, &b[f].now);
        return rc;
    }
    count_modes(state->info, now, false);
    for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++) {
        family_fini(state, &now->family[f]);
        now->family[f] = b[f].now;
    }
    count_modes(state->info, now, true);
    if (steer) {
        dns_steer_unref(now->steer);
        now->steer = steer;
    }
    return GTM_OK;
}
