/* SPDX-License-Identifier: Apache-2.0
 *
 * Checks of the kinds whose engine comes later, made on the YAML tree because nothing of them is
 * stored in C. See intent_tables.h.
 */
#include "gtm/base/mem.h"
#include "gtm/model/intent_tables.h"

#include <stdlib.h>
#include <string.h>

static const char *text_of(const struct gtm_yaml_node *node, const char *key)
{
    return gtm_parse_text(node, key, "");
}

static bool is(const struct gtm_yaml_node *node, const char *key, const char *word)
{
    return strcmp(text_of(node, key), word) == 0;
}

/* --- groups --- */

void gtm_check_member(struct gtm_parse *p, const struct gtm_yaml_node *member, void *obj)
{
    (void)obj;
    const struct gtm_yaml_node *dsn = gtm_yaml_get(member, "dsn");
    if (dsn && dsn->kind == GTM_YAML_SCALAR && strcasestr(dsn->text, "password"))
        gtm_parse_error_at(p, (struct gtm_srcpos){dsn->line, dsn->col},
                           "member '%s': 'dsn' must not hold a password: use password: {file: "
                           "PATH}",
                           text_of(member, "name"));
}

void gtm_check_group(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj)
{
    (void)obj;
    const struct gtm_yaml_node *members = gtm_yaml_get(node, "members");
    const struct gtm_yaml_node *sync = gtm_yaml_get(node, "sync");
    const struct gtm_yaml_node *acks = gtm_yaml_get(sync, "acks");
    const char *name = text_of(node, "name");
    unsigned long voters = 0, wanted = acks ? strtoul(acks->text, NULL, 10) : 1;
    for (const struct gtm_yaml_node *m = members->first; m; m = m->next)
        voters += !is(m, "async", "true");
    bool synchronous = is(node, "mode", "synchronous");
    if (!synchronous && sync)
        gtm_parse_key_error(p, sync, "group '%s': 'sync' is only used with mode: synchronous",
                            name);
    if (synchronous && wanted + 1 > voters)
        gtm_parse_error(p, acks ? acks : members,
                        "group '%s': %lu acks need %lu members that are not async; there are %lu",
                        name, wanted, wanted + 1, voters);
    if (!synchronous && is(gtm_yaml_get(node, "failover"), "mode", "auto") &&
        !gtm_yaml_get(node, "on_store_loss"))
        gtm_parse_error_at(p, (struct gtm_srcpos){node->line, node->col},
                           "group '%s': an asynchronous group with failover mode auto must choose "
                           "'on_store_loss' itself",
                           name);
    const struct gtm_yaml_node *pairs = gtm_yaml_get(gtm_yaml_get(node, "failover"), "pairs");
    for (const struct gtm_yaml_node *n = pairs ? pairs->first : NULL; n; n = n->next) {
        if (strcmp(n->first->text, n->first->next->text) == 0)
            gtm_parse_error(p, n, "group '%s': a pair needs two different regions", name);
    }
}

/* --- plans --- */

static const struct gtm_yaml_node *find_named(const struct gtm_yaml_node *list, const char *name)
{
    const struct gtm_yaml_node *n = list ? list->first : NULL;
    while (n && !is(n, "name", name))
        n = n->next;
    return n;
}

static bool has_text(const struct gtm_yaml_node *list, const char *text)
{
    const struct gtm_yaml_node *n = list && list->kind == GTM_YAML_LIST ? list->first : NULL;
    while (n && (n->kind != GTM_YAML_SCALAR || strcmp(n->text, text) != 0))
        n = n->next;
    return n != NULL;
}

/* Every "$name" below node must be a parameter; the depth is bounded by the reader. */
static void check_parameters(struct gtm_parse *p, const struct gtm_yaml_node *node,
                             const struct gtm_yaml_node *parameters, const char *plan)
{
    if (node->kind == GTM_YAML_SCALAR && node->text[0] == '$' &&
        !has_text(parameters, node->text + 1))
        gtm_parse_error(p, node, "plan '%s' has no parameter '%s'", plan, node->text + 1);
    for (const struct gtm_yaml_node *n = node->first; n; n = n->next)
        check_parameters(p, n, parameters, plan);
}

/* The i-th step that `step` waits for, or NULL. */
static const struct gtm_yaml_node *after(const struct gtm_yaml_node *step, unsigned i)
{
    const struct gtm_yaml_node *list = gtm_yaml_get(step, "after");
    if (list && list->kind == GTM_YAML_SCALAR)
        return i == 0 ? list : NULL;
    const struct gtm_yaml_node *n = list ? list->first : NULL;
    for (; n && i > 0; i--)
        n = n->next;
    return n;
}

/* The steps of a plan (at most 200) and what each waits for. */
struct order {
    size_t count;
    bool *waits; /* [step * count + before] */
    unsigned *left;
    unsigned *ready; /* queue */
};

static void order_fill(struct order *o, const struct gtm_yaml_node *steps)
{
    const struct gtm_yaml_node *a;
    for (const struct gtm_yaml_node *s = steps->first; s; s = s->next) {
        for (unsigned i = 0; (a = after(s, i)); i++) {
            const struct gtm_yaml_node *before = find_named(steps, a->text);
            bool *edge = before ? &o->waits[s->index * o->count + before->index] : NULL;
            o->left[s->index] += edge && !*edge;
            if (edge)
                *edge = true;
        }
    }
}

/* Takes away every step that waits for nothing more; returns how many stay. */
static size_t order_drain(struct order *o)
{
    size_t taken = 0, ready = 0;
    for (unsigned s = 0; s < o->count; s++) {
        if (o->left[s] == 0)
            o->ready[ready++] = s;
    }
    for (; taken < ready; taken++) {
        for (unsigned s = 0; s < o->count; s++) {
            if (o->waits[s * o->count + o->ready[taken]] && --o->left[s] == 0)
                o->ready[ready++] = s;
        }
    }
    return o->count - taken;
}

/* A step of a loop: from any step that stays, as many steps back as there are. */
static unsigned order_loop(const struct order *o)
{
    unsigned at = 0;
    while (o->left[at] == 0)
        at++;
    for (size_t n = 0; n < o->count; n++) {
        unsigned before = 0;
        while (!o->waits[at * o->count + before] || o->left[before] == 0)
            before++;
        at = before;
    }
    return at;
}

static void check_order(struct gtm_parse *p, const struct gtm_yaml_node *steps, const char *plan)
{
    struct order o = {.count = steps->count};
    o.waits = gtm_calloc(o.count * o.count, sizeof(*o.waits));
    o.left = gtm_calloc(o.count, sizeof(*o.left));
    o.ready = gtm_calloc(o.count, sizeof(*o.ready));
    p->nomem |= !o.waits || !o.left || !o.ready;
    if (!p->nomem)
        order_fill(&o, steps);
    if (!p->nomem && order_drain(&o) > 0) {
        const struct gtm_yaml_node *s = steps->first;
        for (unsigned i = order_loop(&o); s && i > 0; i--)
            s = s->next;
        if (s)
            gtm_parse_error(p, s, "plan '%s': the step '%s' waits for itself through 'after'", plan,
                            text_of(s, "name"));
    }
    gtm_free(o.waits);
    gtm_free(o.left);
    gtm_free(o.ready);
}

void gtm_check_plan(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj)
{
    (void)obj;
    const struct gtm_yaml_node *steps = gtm_yaml_get(node, "steps"), *a;
    const char *plan = text_of(node, "name");
    check_parameters(p, steps, gtm_yaml_get(node, "parameters"), plan);
    for (const struct gtm_yaml_node *s = steps->first; s; s = s->next) {
        for (unsigned i = 0; (a = after(s, i)); i++) {
            if (!find_named(steps, a->text))
                gtm_parse_error(p, a, "plan '%s' has no step '%s'", plan, a->text);
        }
    }
    check_order(p, steps, plan);
}

/* --- drills: when all plans are known --- */

static void check_drill(struct gtm_parse *p, const struct gtm_yaml_node *drill,
                        const struct gtm_yaml_node *plan)
{
    const struct gtm_yaml_node *parameters = gtm_yaml_get(plan, "parameters");
    const struct gtm_yaml_node *with = gtm_yaml_get(drill, "with");
    const char *name = text_of(drill, "name"), *plan_name = text_of(plan, "name");
    bool is_map = with && with->kind == GTM_YAML_MAP;
    for (const struct gtm_yaml_node *m = is_map ? with->first : NULL; m; m = m->next) {
        if (!has_text(parameters, m->key))
            gtm_parse_key_error(p, m, "drill '%s': the plan '%s' has no parameter '%s'", name,
                                plan_name, m->key);
    }
    bool is_list = parameters && parameters->kind == GTM_YAML_LIST;
    for (const struct gtm_yaml_node *n = is_list ? parameters->first : NULL; n; n = n->next) {
        if (n->kind == GTM_YAML_SCALAR && !gtm_yaml_get(with, n->text))
            gtm_parse_error_at(p, (struct gtm_srcpos){drill->line, drill->col},
                               "drill '%s': the plan's parameter '%s' has no value in 'with'", name,
                               n->text);
    }
}

void gtm_check_drills(struct gtm_parse *p, const struct gtm_yaml_node *root)
{
    const struct gtm_yaml_node *drills = gtm_yaml_get(root, "drills");
    const struct gtm_yaml_node *plans = gtm_yaml_get(root, "plans");
    if (!drills || drills->kind != GTM_YAML_LIST || drills->count > GTM_LATER_MAX || !plans ||
        plans->kind != GTM_YAML_LIST || plans->count > GTM_LATER_MAX)
        return;
    for (const struct gtm_yaml_node *d = drills->first; d; d = d->next) {
        const struct gtm_yaml_node *plan = find_named(plans, gtm_parse_text(d, "plan", "\n"));
        if (plan)
            check_drill(p, d, plan);
    }
}

/* --- calendars, fleets --- */

void gtm_check_span(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj)
{
    (void)obj;
    const struct gtm_yaml_node *to = gtm_yaml_get(node, "to");
    bool from = gtm_yaml_get(node, "from") != NULL;
    if (from && !to)
        gtm_parse_error(p, node, "a span with 'from' needs 'to'");
    else if (!from && to)
        gtm_parse_key_error(p, to, "a weekly span has no 'to'");
    else if (from && strcmp(text_of(node, "from"), to->text) > 0)
        gtm_parse_error(p, to, "the span ends on %s, before it begins", to->text);
}

void gtm_check_scaling(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj)
{
    (void)obj;
    const struct gtm_yaml_node *min = gtm_yaml_get(node, "min"), *max = gtm_yaml_get(node, "max");
    if (strtoul(min->text, NULL, 10) > strtoul(max->text, NULL, 10))
        gtm_parse_error(p, max, "'max' is %s, which is less than 'min' (%s)", max->text, min->text);
}

void gtm_check_provider(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj)
{
    (void)obj;
    static const struct {
        const char *kind, *keys[4];
    } needs[] = {
        {"exec", {"program"}},
        {"webhook", {"url"}},
        {"kubernetes", {"url", "namespace", "object", "token"}},
        {"aws", {"object"}},
    };
    for (size_t k = 0; k < sizeof(needs) / sizeof(needs[0]); k++) {
        for (size_t i = 0; is(node, "kind", needs[k].kind) && i < 4 && needs[k].keys[i]; i++) {
            if (!gtm_yaml_get(node, needs[k].keys[i]))
                gtm_parse_error(p, node, "provider: the kind %s needs '%s'", needs[k].kind,
                                needs[k].keys[i]);
        }
    }
}
