/* SPDX-License-Identifier: Apache-2.0
 *
 * The answer of a dynamic name: the client's class, its choice, and the records of one of the
 * choice's options. An option that does not fit is truncated; a choice without an answer says so as
 * NODATA, or as SERVFAIL with its extended error.
 */
#include "dns/answer_int.h"

#include "dns/leaf.h"

static bool put_records(struct dns__compose *c, const struct dns_choice *choice, uint32_t first,
                        uint32_t count, unsigned owner)
{
    unsigned size = choice->record_bytes, bytes = size * count;

    if (c->len + bytes > c->limit)
        return false;
    uint8_t *at = c->out + c->len;
    memcpy(at, choice->records + (size_t)first * size, bytes);
    if (owner != DNS_POINTER_QNAME)
        for (uint32_t i = 0; i < count; i++)
            dns_put16(at + (size_t)i * size, (uint16_t)owner);
    c->len += bytes;
    c->counts[SEC_ANSWER] += count;
    return true;
}

/* `answers` distinct records of n, by weight when there is one (drawing again on a repeat, with a
 * bound), else uniformly (Floyd's algorithm: Bentley & Floyd, CACM 1987). */
static bool put_sample(struct dns__compose *c, const struct dns_choice *choice,
                       const struct dns__option *o, unsigned owner)
{
    uint32_t chosen[64], n = 0, want = o->answers < 64 ? o->answers : 64, tries = 0;

    while (n < want) {
        uint32_t pick, i;
        if (o->weighted && tries++ < 8 * want) {
            pick = dns__alias_draw(choice->record_alias + o->first, o->count, &c->a->rand);
        } else if (o->weighted) {
            pick = tries++ % o->count; /* the rest is nearly weightless: take it in order */
        } else {
            uint32_t top = o->count - want + n;
            pick = gtm_rand_below(&c->a->rand, top + 1);
            for (i = 0; i < n && chosen[i] != pick; i++)
                ;
            if (i < n)
                pick = top;
        }
        for (i = 0; i < n && chosen[i] != pick; i++)
            ;
        if (i < n)
            continue;
        chosen[n++] = pick;
        if (!put_records(c, choice, o->first + pick, 1, owner))
            return false;
    }
    return true;
}

static bool put_option(struct dns__compose *c, const struct dns_choice *choice,
                       const struct dns__option *o, unsigned owner)
{
    if (o->answers < o->count)
        return put_sample(c, choice, o, owner);
    if (o->count == 1)
        return put_records(c, choice, o->first, 1, owner);
    uint32_t turn = gtm_rand_below(&c->a->rand, o->count);
    return put_records(c, choice, o->first + turn, o->count - turn, owner) &&
           (turn == 0 || put_records(c, choice, o->first, turn, owner));
}

static uint32_t find_leaf(const struct dns__compose *c, const struct dns_steer *steer)
{
    /* a guessed node may be another's, and a chain may lead on: the map decides */
    return c->q->aimed == steer->map ? c->q->leaf : dns__leaf_of(steer->map, c->q, c->client);
}

void dns__put_dynamic(struct dns__compose *c, const struct dns_set *set, unsigned owner)
{
    const struct dns_steer *steer = c->q->zone->slots[set->value];
    const struct dns__steer_family *f = &steer->family[set->type == DNS_TYPE_AAAA];
    uint32_t leaf = find_leaf(c, steer);
    const struct dns_choice *choice = f->choices[f->slots[DNS_LEAF_CLASS(leaf)]];

    DNS__COUNT(c->a, DNS_CNT_DYNAMIC, 1);
    if (choice->outcome == DNS_OUTCOME_NODATA) {
        dns__put_negative(c);
        return;
    }
    if (c->q->ecs && c->q->ecs_source > 0)
        c->scope = (uint8_t)DNS_LEAF_SCOPE(leaf);
    if (choice->outcome == DNS_OUTCOME_SERVFAIL) {
        dns__truncate(c);
        c->flags &= (uint16_t) ~(FLAG_TC | FLAG_AA);
        c->rcode = DNS_RCODE_SERVFAIL;
        c->ede = choice->ede_code;
        c->ede_from = choice;
        return;
    }
    const struct dns__option *o = choice->options;
    if (choice->options_count > 1)
        o += dns__alias_draw(choice->option_alias, choice->options_count, &c->a->rand);
    if (!put_option(c, choice, o, owner))
        dns__truncate(c);
}
