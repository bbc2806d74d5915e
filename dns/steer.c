/* SPDX-License-Identifier: Apache-2.0
 *
 * Builds steering tables: ready records, alias tables, class → slot. Control plane only; the answer
 * path reads the result.
 */
#include "dns/steer.h"

#include "dns/name.h"
#include "dns/rr.h"
#include "dns/steer_int.h"
#include "gtm/base/mem.h"

#include <string.h>

static const uint16_t kind_types[DNS_KINDS] = {DNS_TYPE_A,   DNS_TYPE_AAAA,  DNS_TYPE_CNAME,
                                               DNS_TYPE_SRV, DNS_TYPE_HTTPS, DNS_TYPE_SVCB};

uint16_t dns_kind_type(enum dns_kind kind)
{
    return kind_types[kind];
}

int dns_kind_of(uint16_t type)
{
    for (int k = 0; k < DNS_KINDS; k++)
        if (kind_types[k] == type)
            return k;
    return -1;
}

uint64_t dns_network_hash(int family, const uint8_t *addr)
{
    return dns__network_hash(family, addr);
}

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

/* Octets of an address record's rdata; 0 = the records say it themselves. */
static unsigned fixed_rdlen(uint16_t type)
{
    return type == DNS_TYPE_A ? 4u : type == DNS_TYPE_AAAA ? 16u : 0u;
}

/* Octets of all records of an option. */
static int option_bytes(const struct dns_choice_spec *spec, const struct dns_option_spec *o,
                        size_t *ret_bytes, struct gtm_error *err)
{
    unsigned fixed = fixed_rdlen(spec->type);
    size_t rdata = 0;

    if (fixed == 0 && o->rdlens == NULL)
        return gtm_error_set(err, GTM_EINVAL, "records of type %u need their lengths", spec->type);
    for (size_t i = 0; i < o->count && fixed == 0; i++) {
        if (o->rdlens[i] == 0 || o->rdlens[i] > DNS_STEER_RDATA_MAX)
            return gtm_error_set(err, GTM_ELIMIT, "a record of %u octets, allowed are 1 to %d",
                                 o->rdlens[i], DNS_STEER_RDATA_MAX);
        if (spec->type == DNS_TYPE_CNAME &&
            dns_name_check(o->rdata + rdata, o->rdlens[i]) != o->rdlens[i])
            return gtm_error_set(err, GTM_EINVAL, "the target of a CNAME is no name");
        rdata += o->rdlens[i];
    }
    *ret_bytes = o->count * (DNS_RR_FIXED + fixed) + rdata;
    return 0;
}

static int buckets_check(const struct dns_option_spec *o, struct gtm_error *err)
{
    size_t n = o->buckets_count;

    if (o->buckets == NULL)
        return 0;
    if (n == 0 || n > DNS_STEER_BUCKETS_MAX || (n & (n - 1)) != 0)
        return gtm_error_set(err, GTM_EINVAL, "%zu buckets: not a power of two up to %d", n,
                             DNS_STEER_BUCKETS_MAX);
    for (size_t i = 0; i < n; i++)
        if (o->buckets[i] >= o->count)
            return gtm_error_set(err, GTM_EINVAL, "a bucket leads to record %u of %zu",
                                 o->buckets[i], o->count);
    return 0;
}

/* What a choice needs room for. */
struct sizes {
    size_t records, bytes, buckets;
    size_t most; /* records of one option */
};

static int choice_check(const struct dns_choice_spec *spec, struct sizes *ret,
                        struct gtm_error *err)
{
    *ret = (struct sizes){.records = 0};
    if (dns_kind_of(spec->type) < 0)
        return gtm_error_set(err, GTM_EINVAL, "type %u cannot be steered", spec->type);
    if (spec->outcome != DNS_OUTCOME_ANSWER)
        return 0;
    if (spec->options_count == 0 || spec->options_count > DNS_STEER_OPTIONS_MAX)
        return gtm_error_set(err, GTM_ELIMIT, "%zu options, allowed are 1 to %d",
                             spec->options_count, DNS_STEER_OPTIONS_MAX);
    for (size_t i = 0; i < spec->options_count; i++) {
        const struct dns_option_spec *o = &spec->options[i];
        size_t bytes = 0;
        if (o->count == 0 || o->count > DNS_STEER_RECORDS_MAX)
            return gtm_error_set(err, GTM_ELIMIT, "%zu records in an option, allowed are 1 to %d",
                                 o->count, DNS_STEER_RECORDS_MAX);
        if (o->answers == 0 || o->weight == 0)
            return gtm_error_set(err, GTM_EINVAL, "an option needs a weight and an answer");
        if (option_bytes(spec, o, &bytes, err) != 0 || buckets_check(o, err) != 0)
            return err->code;
        ret->records += o->count;
        ret->most = o->count > ret->most ? o->count : ret->most;
        ret->bytes += bytes;
        ret->buckets += o->buckets != NULL ? o->buckets_count : 0;
    }
    if (ret->bytes > UINT32_MAX)
        return gtm_error_set(err, GTM_ELIMIT, "the records of a choice take %zu octets",
                             ret->bytes);
    return 0;
}

/* Room for building alias tables; most choices are so small that the stack has enough of it. */
#define SCRATCH_SMALL 32
struct scratch {
    double *scaled;
    uint32_t *work, *weights;
    void *memory; /* NULL: it lies below */
    double small_scaled[SCRATCH_SMALL];
    uint32_t small_work[SCRATCH_SMALL], small_weights[SCRATCH_SMALL];
};

static bool scratch_init(struct scratch *s, size_t n)
{
    s->memory = NULL;
    s->scaled = s->small_scaled;
    s->work = s->small_work;
    s->weights = s->small_weights;
    if (n <= SCRATCH_SMALL)
        return true;
    s->memory = gtm_malloc(n * (sizeof(double) + 2 * sizeof(uint32_t)));
    s->scaled = s->memory;
    s->work = (uint32_t *)(void *)(s->scaled + n);
    s->weights = s->work + n;
    return s->memory != NULL;
}

struct fill {
    struct dns__option *options;
    struct dns__alias *option_alias, *record_alias;
    unsigned fixed; /* octets of each rdata; 0: record_at says where records are */
    uint32_t *record_at;
    uint16_t *buckets;
    uint8_t *records;
    size_t records_len;
    struct scratch scratch;
};

static void fill_records(struct fill *f, const struct dns_choice_spec *spec,
                         const struct dns_option_spec *o, uint32_t first)
{
    const uint8_t *rdata = o->rdata;

    for (size_t r = 0; r < o->count; r++) {
        uint16_t len = f->fixed == 0 ? o->rdlens[r] : (uint16_t)f->fixed;
        uint8_t *rr = f->records + f->records_len;
        if (f->fixed == 0)
            f->record_at[first + r] = (uint32_t)f->records_len;
        dns_put16(rr, DNS_POINTER_QNAME);
        dns_put16(rr + 2, spec->type);
        dns_put16(rr + 4, DNS_CLASS_IN);
        dns_put32(rr + 6, spec->ttl_s);
        dns_put16(rr + 10, len);
        memcpy(rr + DNS_RR_FIXED, rdata, len);
        rdata += len;
        f->records_len += DNS_RR_FIXED + len;
        if (f->fixed == 0)
            f->record_at[first + r + 1] = (uint32_t)f->records_len;
    }
}

static void fill_option(struct fill *f, const struct dns_choice_spec *spec, size_t i,
                        uint32_t first)
{
    const struct dns_option_spec *o = &spec->options[i];
    uint32_t answers = spec->type == DNS_TYPE_CNAME ? 1 : o->answers;
    bool sampled = answers < o->count;

    fill_records(f, spec, o, first);
    f->options[i] = (struct dns__option){.first = first,
                                         .count = (uint32_t)o->count,
                                         .answers = sampled ? answers : (uint32_t)o->count,
                                         .weighted = sampled && o->weights != NULL};
    f->scratch.weights[i] = o->weight;
    if (sampled && o->weights != NULL)
        alias_build(f->record_alias + first, o->weights, (uint32_t)o->count, f->scratch.scaled,
                    f->scratch.work);
    if (o->buckets == NULL)
        return;
    memcpy(f->buckets, o->buckets, o->buckets_count * sizeof(*o->buckets));
    f->options[i].buckets = f->buckets;
    f->options[i].bucket_mask = (uint32_t)o->buckets_count - 1;
    f->buckets += o->buckets_count;
}

/* The parts lie behind the choice, in the order of their alignment. */
static struct dns_choice *choice_place(const struct dns_choice_spec *spec, const struct sizes *z,
                                       size_t n, struct fill *f)
{
    f->fixed = fixed_rdlen(spec->type);
    size_t offsets = f->fixed != 0 || n == 0 ? 0 : z->records + 1;
    struct dns_choice *c =
        gtm_calloc(1, sizeof(*c) + n * sizeof(struct dns__option) +
                          (n + z->records) * sizeof(struct dns__alias) +
                          offsets * sizeof(uint32_t) + z->buckets * sizeof(uint16_t) + z->bytes);

    if (c == NULL)
        return NULL;
    f->options = (struct dns__option *)(void *)(c + 1);
    f->option_alias = (struct dns__alias *)(void *)(f->options + n);
    f->record_alias = f->option_alias + n;
    f->record_at = (uint32_t *)(void *)(f->record_alias + z->records);
    f->buckets = (uint16_t *)(void *)(f->record_at + offsets);
    f->records = (uint8_t *)(f->buckets + z->buckets);
    *c = (struct dns_choice){
        .records = f->records,
        .record_at = offsets != 0 ? f->record_at : NULL,
        .options = f->options,
        .option_alias = f->option_alias,
        .record_alias = f->record_alias,
        .options_count = (uint32_t)n,
        .record_bytes = (uint16_t)(DNS_RR_FIXED + f->fixed),
        .form = (uint8_t)(spec->outcome == DNS_OUTCOME_NODATA                 ? DNS__FORM_NODATA
                          : spec->outcome == DNS_OUTCOME_SERVFAIL             ? DNS__FORM_SERVFAIL
                          : f->fixed != 0 && z->buckets == 0 && !spec->sticky ? DNS__FORM_PLAIN
                                                                              : DNS__FORM_OTHER),
        .sticky = spec->sticky || z->buckets > 0,
        .ede_code = spec->ede_code,
        .type = spec->type,
    };
    atomic_init(&c->refs, 1);
    return c;
}

static struct dns_choice *choice_fill(const struct dns_choice_spec *spec, const struct sizes *z)
{
    size_t n = spec->outcome == DNS_OUTCOME_ANSWER ? spec->options_count : 0;
    struct fill f;
    struct dns_choice *c = NULL;
    uint32_t first = 0;

    f.records_len = 0;
    if (scratch_init(&f.scratch, n > z->most ? n : z->most))
        c = choice_place(spec, z, n, &f);
    for (size_t i = 0; c != NULL && i < n; i++) {
        fill_option(&f, spec, i, first);
        first += (uint32_t)spec->options[i].count;
    }
    if (c != NULL && n > 1) /* one is not drawn */
        alias_build((struct dns__alias *)(uintptr_t)c->option_alias, f.scratch.weights, (uint32_t)n,
                    f.scratch.scaled, f.scratch.work);
    gtm_free(f.scratch.memory);
    return c;
}

struct dns_choice *dns_choice_new(const struct dns_choice_spec *spec, struct gtm_error *err)
{
    struct gtm_error why = {0};
    struct sizes sizes;

    if (choice_check(spec, &sizes, &why) != 0) {
        gtm_error_set(err, why.code, "%s", why.text);
        return NULL;
    }
    struct dns_choice *c = choice_fill(spec, &sizes);
    if (c == NULL) {
        gtm_error_set(err, GTM_ENOMEM, "no memory for %zu records", sizes.records);
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

static int kind_check(const struct dns_classmap *map, const struct dns_steer_kind *k, uint16_t type,
                      struct gtm_error *err)
{
    if (k->picks == NULL)
        return 0;
    if (k->picks->classes < dns_classmap_classes(map))
        return gtm_error_set(err, GTM_EINVAL, "picks for %zu classes, the map has %u",
                             k->picks->classes, dns_classmap_classes(map));
    for (size_t i = 0; i < k->picks->used_count; i++) {
        uint16_t slot = k->picks->used[i];
        if (slot >= k->choices_count || k->choices[slot] == NULL)
            return gtm_error_set(err, GTM_EINVAL, "a class leads to slot %u, which has no choice",
                                 slot);
        if (k->choices[slot]->type != type)
            return gtm_error_set(err, GTM_EINVAL, "slot %u holds records of another type", slot);
    }
    return 0;
}

struct dns_steer *dns_steer_new(struct dns_classmap *map,
                                const struct dns_steer_kind kinds[DNS_KINDS], struct gtm_error *err)
{
    size_t total = 0;

    for (int k = 0; k < DNS_KINDS; k++) {
        if (kind_check(map, &kinds[k], kind_types[k], err) != 0)
            return NULL;
        total += kinds[k].picks != NULL ? kinds[k].choices_count : 0;
    }
    struct dns_steer *s = gtm_calloc(1, sizeof(*s) + total * sizeof(struct dns_choice *));
    if (s == NULL) {
        gtm_error_set(err, GTM_ENOMEM, "no memory for a steering table");
        return NULL;
    }
    struct dns_choice **at = (struct dns_choice **)(void *)(s + 1);
    for (int k = 0; k < DNS_KINDS; k++) {
        if (kinds[k].picks == NULL)
            continue;
        s->kind[k] = (struct dns__steer_kind){.slots = kinds[k].picks->slots,
                                              .choices = at,
                                              .choices_count = kinds[k].choices_count,
                                              .picks = dns_picks_ref(kinds[k].picks)};
        for (size_t i = 0; i < kinds[k].choices_count; i++, at++)
            *at = kinds[k].choices[i] != NULL ? dns_choice_ref(kinds[k].choices[i]) : NULL;
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
    for (int k = 0; k < DNS_KINDS; k++) {
        for (size_t i = 0; i < steer->kind[k].choices_count; i++)
            dns_choice_unref(steer->kind[k].choices[i]);
        dns_picks_unref(steer->kind[k].picks);
    }
    dns_classmap_unref(steer->map);
    gtm_free(steer);
}

void dns_steer_find(const struct dns_steer *steer, uint16_t type, int family, const uint8_t *addr,
                    struct dns_steer_lookup *ret)
{
    uint32_t leaf = dns_classmap_find(steer->map, family, addr);
    int kind = dns_kind_of(type);
    const uint16_t *slots = kind < 0 ? NULL : steer->kind[kind].slots;

    ret->class_id = DNS_LEAF_CLASS(leaf);
    ret->scope = DNS_LEAF_SCOPE(leaf);
    ret->slot = slots != NULL ? slots[ret->class_id] : 0;
}
