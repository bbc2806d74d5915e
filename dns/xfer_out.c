/* SPDX-License-Identifier: Apache-2.0
 *
 * Transfers out: the iterator over a zone that fills messages. Who may have one is judged in
 * dns/xfer_request.c. Happy path: SOA → everything else, set by set → SOA → end. Failure: a record
 * that fits into no message ends it with an error.
 */
#include "dns/xfer_int.h"

#include "gtm/base/mem.h"

#include <string.h>

/* ---- names that a message has already ---- */

/* Is the name (canonical) written at that place of the message? */
static bool stands_at(const uint8_t *msg, unsigned at, const uint8_t *name)
{
    for (unsigned hops = 0; hops < DNS_LABELS_MAX;) {
        if ((msg[at] & 0xc0) == 0xc0) {
            at = dns_get16(msg + at) & 0x3fffu;
            hops++;
            continue;
        }
        if (msg[at] != name[0] || memcmp(msg + at + 1, name + 1, name[0]) != 0)
            return false;
        if (name[0] == 0)
            return true;
        at += msg[at] + 1u;
        name += name[0] + 1u;
    }
    return false;
}

/* Where the suffix stands, 0 = nowhere. *ret_free: where it can be remembered. */
static unsigned find_suffix(struct dns_xfer_out *x, const uint8_t *msg, const uint8_t *suffix,
                            uint64_t hash, unsigned *ret_free)
{
    unsigned i = (unsigned)(hash >> 40) % DNS__XFER_NAMES;

    for (; x->names[i].at != 0; i = (i + 1) % DNS__XFER_NAMES)
        if (x->names[i].tag == (uint16_t)hash && stands_at(msg, x->names[i].at, suffix))
            return x->names[i].at;
    *ret_free = i;
    return 0;
}

/* Writes a record at len; returns its end, 0 when it does not fit below `limit`. */
static size_t put_record(struct dns_xfer_out *x, uint8_t *msg, size_t len, size_t limit,
                         const struct dns_zone_rr *rr)
{
    uint8_t name[DNS_NAME_MAX + DNS_HASH_PAD] = {0};
    uint8_t offsets[DNS_LABELS_MAX];
    uint64_t hashes[DNS_LABELS_MAX];
    unsigned whole = 0, at = 0, free_at;

    memcpy(name, rr->owner, rr->owner_len);
    unsigned labels = dns__hash_name(name, offsets, hashes);
    while (whole < labels &&
           (at = find_suffix(x, msg, name + offsets[whole], hashes[whole], &free_at)) == 0)
        whole++;
    unsigned octets = whole < labels ? offsets[whole] : (unsigned)rr->owner_len - 1;
    size_t end = len + octets + (at != 0 ? 2 : 1) + 10 + rr->rdlen;
    if (end > limit)
        return 0;
    memcpy(msg + len, name, octets);
    uint8_t *p = msg + len + octets;
    if (at != 0) {
        dns_put16(p, (uint16_t)(0xc000u | at));
        p += 2;
    } else {
        *p++ = 0;
    }
    dns_put16(p, rr->type);
    dns_put16(p + 2, DNS_CLASS_IN);
    dns_put32(p + 4, rr->ttl_s);
    dns_put16(p + 8, (uint16_t)rr->rdlen);
    memcpy(p + 10, rr->rdata, rr->rdlen);
    for (unsigned i = 0; i < whole && x->names_count < DNS__XFER_NAMES * 3 / 4; i++) {
        size_t place = len + offsets[i];
        if (place > 0x3fff || find_suffix(x, msg, name + offsets[i], hashes[i], &free_at) != 0)
            break;
        x->names[free_at] = (struct dns__xfer_name){(uint16_t)hashes[i], (uint16_t)place};
        x->names_count++;
    }
    return end;
}

/* ---- records ---- */

static bool soa(struct dns_xfer_out *x, struct dns_zone_rr *ret)
{
    const struct dns_zone *zone = x->zone->zone;

    *ret = (struct dns_zone_rr){.owner = zone->apex_name,
                                .owner_len = zone->apex_len,
                                .type = DNS_TYPE_SOA,
                                .dynamic = -1,
                                .rdata = x->rdata};
    ret->rdlen = dns_zone_soa(zone, x->rdata, &ret->ttl_s);
    return true;
}

/* What a client of unknown place gets for a dynamic set: its choice, or NULL. */
static const struct dns_choice *choice_of(const struct dns_steer *steer, uint16_t type)
{
    static const uint8_t nowhere[16];
    struct dns_steer_lookup found;
    int kind = dns_kind_of(type);

    if (kind < 0 || steer->kind[kind].slots == NULL)
        return NULL;
    dns_steer_find(steer, type, 4, nowhere, &found);
    const struct dns__steer_kind *k = &steer->kind[kind];
    const struct dns_choice *choice = found.slot < k->choices_count ? k->choices[found.slot] : NULL;
    if (choice == NULL || choice->form == DNS__FORM_NODATA || choice->form == DNS__FORM_SERVFAIL)
        return NULL;
    return choice;
}

static uint32_t records_of(const struct dns_choice *choice)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < choice->options_count; i++)
        if (choice->options[i].first + choice->options[i].count > n)
            n = choice->options[i].first + choice->options[i].count;
    return choice->type == DNS_TYPE_CNAME && n > 1 ? 1 : n;
}

static const uint8_t *record_at(const struct dns_choice *choice, uint32_t i)
{
    return choice->records +
           (choice->record_at != NULL ? choice->record_at[i] : i * choice->record_bytes);
}

static bool said_before(const struct dns_choice *choice, uint32_t i)
{
    const uint8_t *rr = record_at(choice, i);
    size_t octets = 2u + dns_get16(rr + 10); /* rdlength and rdata */

    for (uint32_t k = 0; k < i; k++)
        if (memcmp(record_at(choice, k) + 10, rr + 10, octets) == 0)
            return true;
    return false;
}

/* The next record of the dynamic set that is being given. */
static bool next_dynamic(struct dns_xfer_out *x, struct dns_zone_rr *ret)
{
    while (x->choice != NULL && x->choice_record < x->choice_records &&
           x->choice_given < DNS_XFER_OUT_DYNAMIC) {
        uint32_t i = x->choice_record++;
        if (said_before(x->choice, i))
            continue;
        const uint8_t *rr = record_at(x->choice, i);
        x->choice_given++;
        *ret = x->dynamic;
        ret->ttl_s = dns_get32(rr + 6);
        ret->rdlen = dns_get16(rr + 10);
        ret->rdata = rr + DNS_RR_FIXED;
        return true;
    }
    x->choice = NULL;
    return false;
}

static bool next_body(struct dns_xfer_out *x, struct dns_zone_rr *ret)
{
    const struct dns_zone *zone = x->zone->zone;

    while (!next_dynamic(x, ret)) {
        if (!dns_zone_cursor_next(zone, &x->cursor, x->rdata, ret))
            return false;
        if (ret->dynamic >= 0) {
            x->dynamic = *ret;
            x->choice = choice_of(x->zone->slots[ret->dynamic], ret->type);
            x->choice_record = x->choice_given = 0;
            x->choice_records = x->choice != NULL ? records_of(x->choice) : 0;
        } else if (ret->type != DNS_TYPE_SOA) { /* only the top has one, and it frames the rest */
            return true;
        }
    }
    return true;
}

/* The next record of the transfer. */
static bool next_record(struct dns_xfer_out *x, struct dns_zone_rr *ret)
{
    switch (x->phase) {
    case DNS__XFER_FIRST:
        x->phase = DNS__XFER_BODY;
        return soa(x, ret);
    case DNS__XFER_BODY:
        if (next_body(x, ret))
            return true;
        x->phase = DNS__XFER_DONE;
        return soa(x, ret);
    default:
        return false;
    }
}

/* ---- messages ---- */

struct dns_xfer_out *dns__xfer_new(const struct dns_query *q, const struct dns_view *view,
                                   const struct dns_view_zone *zone, const struct dns_tsig *tsig)
{
    struct dns_xfer_out *x = gtm_calloc(1, sizeof(*x));

    if (x == NULL)
        return NULL;
    x->view = dns_view_ref((struct dns_view *)(uintptr_t)view);
    x->zone = zone;
    x->tsig = *tsig;
    x->edns = q->edns;
    memcpy(x->head, q->packet, sizeof(x->head));
    x->question_len = q->qname_len + 4u;
    memcpy(x->question, q->packet + 12, x->question_len);
    return x;
}

size_t dns_xfer_out_next(struct dns_xfer_out *x, uint8_t *out, size_t room, uint64_t now_s,
                         int *ret_error)
{
    bool first = x->phase == DNS__XFER_FIRST;
    size_t reserve = dns_tsig_room(&x->tsig) + (first && x->edns ? DNS__XFER_OPT : 0);
    size_t limit = DNS_XFER_OUT_MESSAGE - reserve, len = 12;
    unsigned records = 0;

    *ret_error = 0;
    if (x->phase == DNS__XFER_DONE && !x->waiting)
        return 0;
    memset(x->names, 0, sizeof(x->names));
    x->names_count = 0;
    dns__xfer_head(out, x->head, 0, true);
    if (first)
        len = dns__xfer_question(out, x->question, x->question_len);
    while (records < UINT16_MAX && (x->waiting || next_record(x, &x->record))) {
        /* a record alone may be as large as the message can be */
        size_t end = put_record(x, out, len, records == 0 ? room - reserve : limit, &x->record);
        x->waiting = end == 0;
        if (end == 0)
            break;
        len = end;
        records++;
    }
    if (records == 0) {
        *ret_error = GTM_ELIMIT;
        return 0;
    }
    dns_put16(out + 6, (uint16_t)records);
    if (first && x->edns)
        len = dns__xfer_opt(out, len, -1, 0);
    len = dns_tsig_sign_answer(&x->tsig, out, len, room, now_s);
    if (len == 0)
        *ret_error = GTM_ELIMIT;
    return len;
}

void dns_xfer_out_free(struct dns_xfer_out *x)
{
    if (x == NULL)
        return;
    dns_tsig_fini(&x->tsig);
    dns_view_unref(x->view);
    gtm_free(x);
}
