/* SPDX-License-Identifier: Apache-2.0
 *
 * The answer of a dynamic name: the client's class, its choice, and the records of one of the
 * choice's options. What every address answer needs is inline and short; records of other types and
 * sticky ones go a way of their own. An option that does not fit is truncated; a choice without an
 * answer says so as NODATA, or as SERVFAIL with its extended error.
 */
#include "dns/answer_int.h"

#include "dns/leaf.h"

#define ANSWERS_MAX 64 /* records of an option of which only some are wanted */

/* What was chosen of an option, by number. */
struct sample {
    uint32_t want, n;
    uint32_t chosen[ANSWERS_MAX];
};

/* Adds a record's number unless it is in there. */
static bool take(struct sample *s, uint32_t record)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (s->chosen[i] == record)
            return false;
    s->chosen[s->n++] = record;
    return true;
}

/* Points the owners of copied records to where the name stands when that is not the question. */
static __attribute__((noinline)) void set_owners(uint8_t *at, unsigned bytes, unsigned owner)
{
    for (unsigned p = 0; p < bytes; p += DNS_RR_FIXED + dns_get16(at + p + 10))
        dns_put16(at + p, (uint16_t)owner);
}

static inline bool put_bytes(struct dns__compose *c, const uint8_t *from, unsigned bytes,
                             uint32_t count, unsigned owner)
{
    if (c->len + bytes > c->limit)
        return false;
    uint8_t *at = c->out + c->len;
    memcpy(at, from, bytes);
    if (owner != DNS_POINTER_QNAME)
        set_owners(at, bytes, owner);
    c->len += bytes;
    c->counts[SEC_ANSWER] += count;
    return true;
}

/* ---- addresses by chance ---- */

static bool put_plain(struct dns__compose *c, const struct dns_choice *choice, uint32_t first,
                      uint32_t count, unsigned owner)
{
    unsigned size = choice->record_bytes;

    return put_bytes(c, choice->records + (size_t)first * size, size * count, count, owner);
}

/* `answers` distinct records of n, by weight when there is one (drawing again on a repeat, with a
 * bound), else uniformly (Floyd's algorithm: Bentley & Floyd, CACM 1987). */
static void draw_sample(struct dns__compose *c, const struct dns_choice *choice,
                        const struct dns__option *o, struct sample *s)
{
    uint32_t tries = 8 * s->want, next = 0;

    while (s->n < s->want) {
        if (o->weighted && tries > 0) {
            tries--;
            take(s, dns__alias_draw(choice->record_alias + o->first, o->count, &c->a->rand));
        } else if (o->weighted) {
            take(s, next++); /* the rest is nearly weightless: take it in order */
        } else {
            uint32_t top = o->count - s->want + s->n;
            if (!take(s, gtm_rand_below(&c->a->rand, top + 1)))
                take(s, top);
        }
    }
}

static struct sample sample_of(const struct dns__option *o)
{
    struct sample s;

    s.want = o->answers < ANSWERS_MAX ? o->answers : ANSWERS_MAX;
    s.n = 0; /* the rest is not worth clearing */
    return s;
}

static __attribute__((noinline)) bool put_sample(struct dns__compose *c,
                                                 const struct dns_choice *choice,
                                                 const struct dns__option *o, unsigned owner)
{
    struct sample s = sample_of(o);

    draw_sample(c, choice, o, &s);
    for (uint32_t i = 0; i < s.n; i++)
        if (!put_plain(c, choice, o->first + s.chosen[i], 1, owner))
            return false;
    return true;
}

static inline bool put_option(struct dns__compose *c, const struct dns_choice *choice,
                              const struct dns__option *o, unsigned owner)
{
    if (o->answers < o->count)
        return put_sample(c, choice, o, owner);
    uint32_t turn = gtm_rand_below(&c->a->rand, o->count);
    return put_plain(c, choice, o->first + turn, o->count - turn, owner) &&
           (turn == 0 || put_plain(c, choice, o->first, turn, owner));
}

/* ---- all else ---- */

static bool put_any(struct dns__compose *c, const struct dns_choice *choice, uint32_t first,
                    uint32_t count, unsigned owner)
{
    if (choice->record_at == NULL)
        return put_plain(c, choice, first, count, owner);
    uint32_t from = choice->record_at[first], end = choice->record_at[first + count];
    return put_bytes(c, choice->records + from, end - from, count, owner);
}

/* The records of the network's bucket and of those behind it; as above, repeats are bounded. */
static void follow_buckets(const struct dns__option *o, uint64_t hash, struct sample *s)
{
    for (uint32_t tries = 0; s->n < s->want; tries++)
        take(s,
             tries < 8 * s->want ? o->buckets[(hash + tries) & o->bucket_mask] : tries % o->count);
}

static bool put_option_other(struct dns__compose *c, const struct dns_choice *choice,
                             const struct dns__option *o, uint64_t hash, unsigned owner)
{
    if (o->answers < o->count) {
        struct sample s = sample_of(o);
        if (o->buckets != NULL)
            follow_buckets(o, hash, &s);
        else
            draw_sample(c, choice, o, &s);
        for (uint32_t i = 0; i < s.n; i++)
            if (!put_any(c, choice, o->first + s.chosen[i], 1, owner))
                return false;
        return true;
    }
    uint32_t turn = o->buckets != NULL ? o->buckets[hash & o->bucket_mask]
                                       : gtm_rand_below(&c->a->rand, o->count);
    return put_any(c, choice, o->first + turn, o->count - turn, owner) &&
           (turn == 0 || put_any(c, choice, o->first, turn, owner));
}

static void raise_scope(struct dns__compose *c, unsigned scope)
{
    if (scope > c->scope)
        c->scope = (uint8_t)scope;
}

static void raise_sticky_scope(struct dns__compose *c)
{
    if (c->q->ecs && c->q->ecs_source > 0)
        raise_scope(c, c->q->ecs_family == 4 ? DNS_STICKY_BITS4 : DNS_STICKY_BITS6);
}

static bool put_other(struct dns__compose *c, const struct dns_choice *choice, unsigned owner)
{
    const struct dns__option *o = choice->options;
    uint64_t hash = 0, r;

    if (choice->sticky) {
        const bool sent = c->q->ecs && c->q->ecs_source > 0;
        hash = dns__network_hash(sent ? c->q->ecs_family : c->client->family,
                                 sent ? c->q->ecs_addr : c->client->addr);
        raise_sticky_scope(c);
    }
    if (choice->options_count > 1) {
        /* bits that the buckets do not look at: both would go hand in hand */
        r = choice->sticky ? (hash >> 16) * UINT64_C(0x9e3779b97f4a7c15)
                           : gtm_rand_next(&c->a->rand);
        o += dns__alias_at(choice->option_alias, choice->options_count, r);
    }
    if (put_option_other(c, choice, o, hash, owner))
        return true;
    dns__truncate(c);
    return false;
}

/* Anything but addresses chosen by chance. A function of its own, so that those need no room for
 * it. */
static __attribute__((noinline)) bool
put_unusual(struct dns__compose *c, const struct dns_choice *choice, uint32_t leaf, unsigned owner)
{
    if (choice == NULL || choice->form == DNS__FORM_NODATA) {
        dns__put_negative(c);
        return false;
    }
    if (c->q->ecs && c->q->ecs_source > 0)
        raise_scope(c, DNS_LEAF_SCOPE(leaf));
    if (choice->form == DNS__FORM_OTHER)
        return put_other(c, choice, owner);
    if (choice->sticky)
        raise_sticky_scope(c);
    dns__truncate(c);
    c->flags &= (uint16_t) ~(FLAG_TC | FLAG_AA);
    c->rcode = DNS_RCODE_SERVFAIL;
    c->ede = choice->ede_code;
    c->ede_from = choice;
    return false;
}

static uint32_t find_leaf(const struct dns__compose *c, const struct dns_steer *steer)
{
    /* a guessed node may be another's, and a chain may lead on: the map decides */
    return c->q->aimed == steer->map ? c->q->leaf : dns__leaf_of(steer->map, c->q, c->client);
}

bool dns__put_dynamic(struct dns__compose *c, const struct dns_set *set, unsigned owner)
{
    const struct dns_steer *steer = c->q->zone->slots[set->value];
    const struct dns__steer_kind *k = &steer->kind[set->dynamic - 1];

    DNS__COUNT(c->a, DNS_CNT_DYNAMIC, 1);
    if (k->slots == NULL) /* not what the publisher makes, but nothing to fall over */
        return put_unusual(c, NULL, 0, owner);
    uint32_t leaf = find_leaf(c, steer);
    const struct dns_choice *choice = k->choices[k->slots[DNS_LEAF_CLASS(leaf)]];
    if (choice->form != DNS__FORM_PLAIN)
        return put_unusual(c, choice, leaf, owner);
    if (c->q->ecs && c->q->ecs_source > 0)
        raise_scope(c, DNS_LEAF_SCOPE(leaf));
    const struct dns__option *o = choice->options;
    if (choice->options_count > 1)
        o += dns__alias_draw(choice->option_alias, choice->options_count, &c->a->rand);
    if (o->count == 1) { /* most often */
        unsigned size = choice->record_bytes;
        if (put_bytes(c, choice->records + (size_t)o->first * size, size, 1, owner))
            return true;
    } else if (put_option(c, choice, o, owner)) {
        return true;
    }
    dns__truncate(c);
    return false;
}
