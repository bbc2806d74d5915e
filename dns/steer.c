/* SPDX-License-Identifier: Apache-2.0
 *
 * Builds steering tables: ready records, alias tables, class → slot. Control plane only; the answer
 * path reads the result.
 */
#include "dns/steer.h"

#include "dns/rr.h"
#include "dns/steer_int.h"
#include "gtm/base/mem.h"

#include <string.h>

/* ---- choices ---- */

/* Vose's construction in integers; n ≥ 1. scratch has room for n of each. A total of zero means
 * equal weights. */
static void alias_build(struct dns__alias *out, const uint32_t *weights, uint32_t n, double *scaled,
                        uint32_t *work)
{
    double total = 0;
    uint32_t small = 0, large = n;

    for (uint32_t i = 0; i < n; i++)
        total += weights != NULL ? weights[i] : 1.0;
    for (uint32_t i = 0; i < n; i++) {
        double w = weights != NULL && total > 0 ? weights[i] / total : 1.0 / n;
        scaled[i] = w * n;
        if (scaled[i] < 1.0)
            work[small++] = i;
        else
            work[--large] = i;
        out[i] = (struct dns__alias){UINT32_MAX, i};
    }
    while (small > 0 && large < n) {
        uint32_t s = work[--small], l = work[large];
        out[s].threshold = (uint32_t)(scaled[s] * 4294967295.0);
        out[s].other = l;
        scaled[l] -= 1.0 - scaled[s];
        if (scaled[l] < 1.0) {
            large++;
            work[small++] = l;
        }
    }
    /* What is left over is 1 up to rounding and keeps itself; only a weight of zero must never be
     * drawn. */
    uint32_t heaviest = 0;
    for (uint32_t i = 1; weights != NULL && i < n; i++)
        if (weights[i] > weights[heaviest])
            heaviest = i;
    for (uint32_t i = 0; weights != NULL && total > 0 && i < n; i++)
        if (weights[i] == 0)
            out[i] = (struct dns__alias){0, out[i].other == i ? heaviest : out[i].other};
}

static int choice_check(const struct dns_choice_spec *spec, size_t *ret_records,
                        struct gtm_error *err)
{
    size_t total = 0;

    if (spec->type != DNS_TYPE_A && spec->type != DNS_TYPE_AAAA)
        return gtm_error_set(err, GTM_EINVAL, "type %u cannot be steered", spec->type);
    if (spec->outcome != DNS_OUTCOME_ANSWER) {
        *ret_records = 0;
        return 0;
    }
    if (spec->options_count == 0 || spec->options_count > DNS_STEER_OPTIONS_MAX)
        return gtm_error_set(err, GTM_ELIMIT, "%zu options, allowed are 1 to %d",
                             spec->options_count, DNS_STEER_OPTIONS_MAX);
    for (size_t i = 0; i < spec->options_count; i++) {
        const struct dns_option_spec *o = &spec->options[i];
        if (o->count == 0 || o->count > DNS_STEER_RECORDS_MAX)
            return gtm_error_set(err, GTM_ELIMIT, "%zu records in an option, allowed are 1 to %d",
                                 o->count, DNS_STEER_RECORDS_MAX);
        if (o->answers == 0 || o->weight == 0)
            return gtm_error_set(err, GTM_EINVAL, "an option needs a weight and an answer");
        total += o->count;
    }
    *ret_records = total;
    return 0;
}

struct fill {
    struct dns__option *options;
    struct dns__alias *option_alias, *record_alias;
    uint8_t *records;
    double *scaled;
    uint32_t *work, *weights;
};

static void fill_option(struct fill *f, const struct dns_choice_spec *spec, size_t i,
                        uint32_t first)
{
    const struct dns_option_spec *o = &spec->options[i];
    unsigned size = spec->type == DNS_TYPE_A ? 4 : 16;
    uint8_t *rr = f->records + (size_t)first * (DNS_RR_FIXED + size);
    bool sampled = o->answers < o->count;

    for (size_t r = 0; r < o->count; r++, rr += DNS_RR_FIXED + size) {
        dns_put16(rr, DNS_POINTER_QNAME);
        dns_put16(rr + 2, spec->type);
        dns_put16(rr + 4, DNS_CLASS_IN);
        dns_put32(rr + 6, spec->ttl_s);
        dns_put16(rr + 10, (uint16_t)size);
        memcpy(rr + DNS_RR_FIXED, o->rdata + r * size, size);
    }
    f->options[i] = (struct dns__option){.first = first,
                                         .count = (uint32_t)o->count,
                                         .answers = sampled ? o->answers : (uint32_t)o->count,
                                         .weighted = sampled && o->weights != NULL};
    f->weights[i] = o->weight;
    if (sampled && o->weights != NULL)
        alias_build(f->record_alias + first, o->weights, (uint32_t)o->count, f->scaled, f->work);
}

static struct dns_choice *choice_fill(const struct dns_choice_spec *spec, size_t records)
{
    size_t n = spec->outcome == DNS_OUTCOME_ANSWER ? spec->options_count : 0;
    size_t size = DNS_RR_FIXED + (spec->type == DNS_TYPE_A ? 4u : 16u);
    size_t most = n > DNS_STEER_RECORDS_MAX ? n : DNS_STEER_RECORDS_MAX;
    size_t bytes = sizeof(struct dns_choice) + n * sizeof(struct dns__option) +
                   (n + records) * sizeof(struct dns__alias) + records * size;
    struct dns_choice *c = gtm_calloc(1, bytes);
    struct fill f = {.scaled = gtm_malloc(most * sizeof(double)),
                     .work = gtm_malloc(most * sizeof(uint32_t)),
                     .weights = gtm_malloc(most * sizeof(uint32_t))};
    if (c != NULL && f.scaled != NULL && f.work != NULL && f.weights != NULL) {
        f.options = (struct dns__option *)(void *)(c + 1);
        f.option_alias = (struct dns__alias *)(void *)(f.options + n);
        f.record_alias = f.option_alias + n;
        f.records = (uint8_t *)(f.record_alias + records);
        uint32_t first = 0;
        for (size_t i = 0; i < n; i++) {
            fill_option(&f, spec, i, first);
            first += (uint32_t)spec->options[i].count;
        }
        if (n > 0)
            alias_build(f.option_alias, f.weights, (uint32_t)n, f.scaled, f.work);
        c->records = f.records;
        c->options = f.options;
        c->option_alias = f.option_alias;
        c->record_alias = f.record_alias;
        c->options_count = (uint32_t)n;
        c->record_bytes = (uint16_t)size;
        c->outcome = (uint8_t)spec->outcome;
        c->ede_code = spec->ede_code;
        c->type = spec->type;
        atomic_init(&c->refs, 1);
    } else {
        gtm_free(c);
        c = NULL;
    }
    gtm_free(f.scaled);
    gtm_free(f.work);
    gtm_free(f.weights);
    return c;
}

struct dns_choice *dns_choice_new(const struct dns_choice_spec *spec, struct gtm_error *err)
{
    size_t records = 0;

    if (choice_check(spec, &records, err) != 0)
        return NULL;
    struct dns_choice *c = choice_fill(spec, records);
    if (c == NULL) {
        gtm_error_set(err, GTM_ENOMEM, "no memory for %zu records", records);
        return NULL;
    }
    if (spec->outcome == DNS_OUTCOME_SERVFAIL && spec->ede_text != NULL) {
        size_t n = strlen(spec->ede_text);
        c->ede_len = (uint8_t)(n > DNS_EDE_TEXT_MAX ? DNS_EDE_TEXT_MAX : n);
        memcpy(c->ede_text, spec->ede_text, c->ede_len);
    }
    return c;
}

struct dns_choice *dns_choice_ref(struct dns_choice *choice)
{
    atomic_fetch_add_explicit(&choice->refs, 1, memory_order_relaxed);
    return choice;
}

void dns_choice_unref(struct dns_choice *choice)
{
    if (choice != NULL && atomic_fetch_sub_explicit(&choice->refs, 1, memory_order_acq_rel) == 1)
        gtm_free(choice);
}

/* ---- picks ---- */

/* The distinct slots go behind the classes' slots. */
static void picks_used(struct dns_picks *p)
{
    uint64_t seen[(UINT16_MAX + 1) / 64] = {0};
    uint16_t *used = p->slots + p->classes;

    for (size_t i = 0; i < p->classes; i++) {
        uint16_t slot = p->slots[i];
        if ((seen[slot / 64] >> (slot % 64) & 1) != 0)
            continue;
        seen[slot / 64] |= (uint64_t)1 << (slot % 64);
        used[p->used_count++] = slot;
    }
    p->used = used;
}

struct dns_picks *dns_picks_new(const uint16_t *slot_of_class, size_t classes,
                                struct gtm_error *err)
{
    struct dns_picks *p = NULL;

    if (classes == 0 || classes > DNS_CLASSES_MAX) {
        gtm_error_set(err, GTM_EINVAL, "%zu classes, allowed are 1 to %d", classes,
                      DNS_CLASSES_MAX);
        return NULL;
    }
    p = gtm_calloc(1, sizeof(*p) + 2 * classes * sizeof(uint16_t));
    if (p == NULL) {
        gtm_error_set(err, GTM_ENOMEM, "no memory for %zu classes", classes);
        return NULL;
    }
    p->classes = classes;
    atomic_init(&p->refs, 1);
    memcpy(p->slots, slot_of_class, classes * sizeof(uint16_t));
    picks_used(p);
    return p;
}

struct dns_picks *dns_picks_ref(struct dns_picks *picks)
{
    atomic_fetch_add_explicit(&picks->refs, 1, memory_order_relaxed);
    return picks;
}

void dns_picks_unref(struct dns_picks *picks)
{
    if (picks != NULL && atomic_fetch_sub_explicit(&picks->refs, 1, memory_order_acq_rel) == 1)
        gtm_free(picks);
}

/* ---- tables ---- */

static int family_check(const struct dns_classmap *map, const struct dns_steer_family *f,
                        uint16_t type, struct gtm_error *err)
{
    if (f->picks->classes < dns_classmap_classes(map))
        return gtm_error_set(err, GTM_EINVAL, "picks for %zu classes, the map has %u",
                             f->picks->classes, dns_classmap_classes(map));
    for (size_t i = 0; i < f->picks->used_count; i++) {
        uint16_t slot = f->picks->used[i];
        if (slot >= f->choices_count || f->choices[slot] == NULL)
            return gtm_error_set(err, GTM_EINVAL, "a class leads to slot %u, which has no choice",
                                 slot);
        if (f->choices[slot]->type != type)
            return gtm_error_set(err, GTM_EINVAL, "slot %u holds records of another type", slot);
    }
    return 0;
}

struct dns_steer *dns_steer_new(struct dns_classmap *map, const struct dns_steer_family families[2],
                                struct gtm_error *err)
{
    static const uint16_t types[2] = {DNS_TYPE_A, DNS_TYPE_AAAA};
    size_t total = 0;

    for (int f = 0; f < 2; f++) {
        if (family_check(map, &families[f], types[f], err) != 0)
            return NULL;
        total += families[f].choices_count;
    }
    struct dns_steer *s = gtm_calloc(1, sizeof(*s) + total * sizeof(struct dns_choice *));
    if (s == NULL) {
        gtm_error_set(err, GTM_ENOMEM, "no memory for a steering table");
        return NULL;
    }
    struct dns_choice **at = (struct dns_choice **)(void *)(s + 1);
    for (int f = 0; f < 2; f++) {
        s->family[f] = (struct dns__steer_family){.slots = families[f].picks->slots,
                                                  .choices = at,
                                                  .choices_count = families[f].choices_count,
                                                  .picks = dns_picks_ref(families[f].picks)};
        for (size_t i = 0; i < families[f].choices_count; i++, at++)
            *at = families[f].choices[i] != NULL ? dns_choice_ref(families[f].choices[i]) : NULL;
    }
    s->map = dns_classmap_ref(map);
    atomic_init(&s->refs, 1);
    return s;
}

struct dns_steer *dns_steer_ref(struct dns_steer *steer)
{
    atomic_fetch_add_explicit(&steer->refs, 1, memory_order_relaxed);
    return steer;
}

void dns_steer_unref(struct dns_steer *steer)
{
    if (steer == NULL || atomic_fetch_sub_explicit(&steer->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (int f = 0; f < 2; f++) {
        for (size_t i = 0; i < steer->family[f].choices_count; i++)
            dns_choice_unref(steer->family[f].choices[i]);
        dns_picks_unref(steer->family[f].picks);
    }
    dns_classmap_unref(steer->map);
    gtm_free(steer);
}

void dns_steer_find(const struct dns_steer *steer, uint16_t type, int family, const uint8_t *addr,
                    struct dns_steer_lookup *ret)
{
    uint32_t leaf = dns_classmap_find(steer->map, family, addr);

    ret->class_id = DNS_LEAF_CLASS(leaf);
    ret->scope = DNS_LEAF_SCOPE(leaf);
    ret->slot = steer->family[type == DNS_TYPE_AAAA].slots[ret->class_id];
}
