/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers what only few queries carry; see extra.h. Happy path: the signature is good, the cookie
 * is made anew. Failures are RCODEs: NOTAUTH for signatures (RFC 8945 5), REFUSED and NOTAUTH for
 * NOTIFY, BADCOOKIE or silence above the rate. Nothing here allocates, locks or logs.
 */
#include "dns/extra.h"

#include "dns/cookie.h"
#include "dns/rrl.h"

enum { OPTION_NSID = 3, OPTION_COOKIE = 10, OPTION_KEEPALIVE = 11 };

/* ---- time ---- */

static void read_time(struct dns_answerer *a)
{
    a->wall_s = (uint64_t)gtm_wall_ms(a->clock) / 1000u;
    a->mono_us = gtm_mono_ns(a->clock) / 1000u;
    a->time_known = true;
}

uint64_t dns__wall_s(struct dns_answerer *a)
{
    if (!a->time_known)
        read_time(a);
    return a->wall_s;
}

uint64_t dns__mono_us(struct dns_answerer *a)
{
    if (!a->time_known)
        read_time(a);
    return a->mono_us;
}

/* ---- cookies and other options ---- */

static bool cookies_on(const struct dns__compose *c)
{
    return c->settings->cookies && c->settings->cookie_keys_count > 0;
}

static bool keepalive_due(const struct dns__compose *c)
{
    return (c->q->extra & DNS__EXTRA_KEEPALIVE) != 0 && c->client->proto != DNS_PROTO_UDP &&
           c->a->keepalive != 0;
}

static void check_cookie(struct dns__compose *c)
{
    const struct dns_query *q = c->q;
    const struct dns_settings *s = c->settings;

    if ((q->extra & DNS__EXTRA_COOKIE) == 0 || !cookies_on(c))
        return;
    bool good = dns_cookie_good(s->cookie_keys, s->cookie_keys_count, q->packet + q->cookie_at,
                                q->cookie_len, c->client->family, c->client->addr,
                                (uint32_t)dns__wall_s(c->a));
    c->cookie = good ? DNS__COOKIE_GOOD : DNS__COOKIE_NEW;
    DNS__COUNT(c->a, good ? DNS_CNT_COOKIE_GOOD : DNS_CNT_COOKIE_NEW, 1);
}

/* Octets that dns__extra_options will write. */
static unsigned options_bytes(const struct dns__compose *c)
{
    unsigned n = 0;

    if (!c->q->edns || c->no_options)
        return 0;
    if (c->cookie != DNS__COOKIE_NONE)
        n += 4 + DNS_COOKIE_BYTES;
    if ((c->q->extra & DNS__EXTRA_NSID) != 0 && c->settings->nsid != NULL)
        n += 4 + (unsigned)strnlen(c->settings->nsid, DNS_NSID_MAX);
    return n + (keepalive_due(c) ? 6 : 0);
}

unsigned dns__extra_options(const struct dns__compose *c, uint8_t *out)
{
    const struct dns_settings *s = c->settings;
    uint8_t *p = out;

    if (c->no_options)
        return 0;
    if (c->cookie != DNS__COOKIE_NONE) {
        dns_put16(p, OPTION_COOKIE);
        dns_put16(p + 2, DNS_COOKIE_BYTES);
        dns_cookie_make(s->cookie_keys[0], c->q->packet + c->q->cookie_at, c->client->family,
                        c->client->addr, (uint32_t)dns__wall_s(c->a), p + 4);
        p += 4 + DNS_COOKIE_BYTES;
    }
    if ((c->q->extra & DNS__EXTRA_NSID) != 0 && s->nsid != NULL) {
        size_t len = strnlen(s->nsid, DNS_NSID_MAX);
        dns_put16(p, OPTION_NSID);
        dns_put16(p + 2, (uint16_t)len);
        memcpy(p + 4, s->nsid, len);
        p += 4 + len;
    }
    if (keepalive_due(c)) {
        dns_put16(p, OPTION_KEEPALIVE);
        dns_put16(p + 2, 2);
        dns_put16(p + 4, c->a->keepalive);
        p += 6;
    }
    return (unsigned)(p - out);
}

int dns__extra_ede(const struct dns__compose *c)
{
    const struct dns_query *q = c->q;
    bool transfer = q->qtype == DNS_TYPE_AXFR || q->qtype == DNS_TYPE_IXFR;

    switch (c->rcode) {
    case DNS_RCODE_NOTIMP:
        return EDE_NOT_SUPPORTED;
    case DNS_RCODE_REFUSED:
        if (transfer || (q->extra & DNS__EXTRA_ODD) != 0)
            return EDE_PROHIBITED;
        return EDE_NOT_AUTHORITATIVE;
    case DNS_RCODE_NOTAUTH:
        return c->tsig == NULL ? EDE_NOT_AUTHORITATIVE
                               : -1; /* a signature's error says it itself */
    default:
        return -1;
    }
}

/* ---- signatures ---- */

static void check_signature(struct dns__compose *c)
{
    const struct dns_query *q = c->q;
    struct dns_tsig *tsig = &c->a->tsig;
    size_t without;

    enum dns_tsig_verdict v =
        dns_tsig_check_request(tsig, c->settings->keys, c->settings->keys_count, q->packet,
                               q->packet_len, dns__wall_s(c->a), &without);
    DNS__COUNT(c->a, v == DNS_TSIG_GOOD ? DNS_CNT_TSIG_GOOD : DNS_CNT_TSIG_BAD, 1);
    if (v == DNS_TSIG_NONE || v == DNS_TSIG_FORMERR) {
        c->rcode = DNS_RCODE_FORMERR;
        return;
    }
    c->tsig = tsig;
    if (v != DNS_TSIG_GOOD && c->rcode != DNS_RCODE_FORMERR)
        c->rcode = DNS_RCODE_NOTAUTH;
}

void dns__extra_begin(struct dns__compose *c, size_t *room, size_t out_bytes)
{
    if ((c->q->extra & DNS__EXTRA_TSIG) != 0)
        check_signature(c);
    check_cookie(c);

    /* Long key names may take more than a client without EDNS takes; its query had them too, so
     * the answer is no amplification. */
    unsigned fixed = 12u + (c->q->qname_len > 0 ? c->q->qname_len + 4u : 0);
    size_t tsig = c->tsig != NULL ? dns_tsig_room(c->tsig) : 0;
    size_t need = fixed + dns__opt_bytes(c->q) + options_bytes(c) + tsig;
    if (need > *room)
        *room = need;
    if (need > out_bytes) { /* only for callers with less room than a UDP answer may take */
        c->rcode = DNS_RCODE_SERVFAIL;
        c->tsig = NULL;
        c->no_options = true;
        *room = out_bytes;
        tsig = 0;
    }
    *room -= tsig;
    c->limit = (unsigned)(*room - dns__opt_bytes(c->q) - options_bytes(c));
}

/* ---- CHAOS ---- */

/* One TXT record of class CH at the question's name. */
static void put_chaos(struct dns__compose *c, const char *text)
{
    size_t len = strnlen(text, DNS_CHAOS_MAX);
    uint8_t *rr = c->out + c->len;

    if (c->len + DNS_RR_FIXED + 1 + len > c->limit) {
        dns__truncate(c);
        return;
    }
    dns_put16(rr, 0xc00c);
    dns_put16(rr + 2, DNS_TYPE_TXT);
    dns_put16(rr + 4, DNS_CLASS_CH);
    dns_put32(rr + 6, 0);
    dns_put16(rr + 10, (uint16_t)(len + 1));
    rr[DNS_RR_FIXED] = (uint8_t)len;
    memcpy(rr + DNS_RR_FIXED + 1, text, len);
    c->len += DNS_RR_FIXED + 1 + (unsigned)len;
    c->counts[SEC_ANSWER]++;
}

/* version.bind and friends (RFC 4892): only what the operator set. */
static void answer_chaos(struct dns__compose *c)
{
    static const struct {
        const char *name;
        bool host;
    } names[] = {{"\7version\4bind", false},
                 {"\7version\6server", false},
                 {"\10hostname\4bind", true},
                 {"\2id\6server", true}};
    const struct dns_query *q = c->q;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *text = names[i].host ? c->settings->chaos_hostname : c->settings->chaos_version;
        if (text == NULL || !dns_name_equal(q->qname, (const uint8_t *)names[i].name))
            continue;
        c->flags |= FLAG_AA;
        DNS__COUNT(c->a, DNS_CNT_CHAOS, 1);
        if (q->qtype == DNS_TYPE_TXT || q->qtype == DNS_TYPE_ANY)
            put_chaos(c, text);
        else
            c->nodata = true;
        return;
    }
    c->rcode = DNS_RCODE_REFUSED;
}

/* ---- NOTIFY ---- */

static bool from_primary(const struct dns__compose *c, const struct dns_zone_peers *peers)
{
    const struct dns_tsig_key *key = c->tsig != NULL ? c->tsig->key : NULL;

    for (size_t i = 0; i < peers->primaries_count; i++) {
        const struct dns_peer *p = &peers->primaries[i];
        if (!dns_networks_have(&p->network, 1, c->client->family, c->client->addr))
            continue;
        if (p->key == NULL || (key != NULL && dns_name_equal(p->key->name, key->name)))
            return true;
    }
    return false;
}

/* RFC 1996 3.11: only a primary's is heeded. The answer repeats the question, with AA. */
static void answer_notify(struct dns__compose *c)
{
    const struct dns_view_zone *zone = c->q->zone;

    if (zone == NULL || zone->zone->apex_labels != c->q->labels || zone->peers == NULL ||
        zone->peers->primaries_count == 0)
        c->rcode = DNS_RCODE_NOTAUTH; /* not a zone that is copied from anybody */
    else if (!from_primary(c, zone->peers))
        c->rcode = DNS_RCODE_REFUSED;
    if (c->rcode != DNS_RCODE_NOERROR) {
        DNS__COUNT(c->a, DNS_CNT_NOTIFY_REFUSED, 1);
        return;
    }
    c->flags |= FLAG_AA;
    atomic_store_explicit(&zone->peers->notified, true, memory_order_release);
    DNS__COUNT(c->a, DNS_CNT_NOTIFY_HEEDED, 1);
}

void dns__extra_answer(struct dns__compose *c)
{
    if ((c->q->extra & DNS__EXTRA_NOTIFY) != 0)
        answer_notify(c);
    else if ((c->q->extra & DNS__EXTRA_CHAOS) != 0)
        answer_chaos(c);
    /* without a question there is nothing to say: the options are the answer */
    else if (c->cookie == DNS__COOKIE_NONE)
        c->rcode = DNS_RCODE_FORMERR; /* and cookies are off */
}

/* ---- rates ---- */

static enum dns_rrl_kind kind_of(const struct dns__compose *c)
{
    if (c->rcode == DNS_RCODE_NXDOMAIN)
        return DNS_RRL_NXDOMAIN;
    if (c->rcode != DNS_RCODE_NOERROR)
        return DNS_RRL_ERROR;
    return c->referral ? DNS_RRL_REFERRAL : c->nodata ? DNS_RRL_NODATA : DNS_RRL_POSITIVE;
}

/* What equal answers have in common: the name when it is the zone's own; the zone when anybody can
 * make up another name for the same answer; nothing for errors. Hashes of names, so it stays over
 * reloads. */
static uint64_t what_of(const struct dns__compose *c, enum dns_rrl_kind kind)
{
    const struct dns_query *q = c->q;

    if (q->zone == NULL || kind == DNS_RRL_ERROR)
        return 0;
    if (c->synthesized || kind == DNS_RRL_REFERRAL)
        return q->hashes[q->labels - q->zone->zone->apex_labels];
    return q->hashes[0];
}

bool dns__limit_answer(struct dns__compose *c)
{
    const struct dns_settings *s = c->settings;
    const struct dns_client *client = c->client;
    enum dns_rrl_kind kind = kind_of(c);

    if (c->a->rrl == NULL || client->proto != DNS_PROTO_UDP ||
        (c->q->extra != 0 && (c->cookie == DNS__COOKIE_GOOD ||
                              (c->tsig != NULL && c->tsig->key != NULL && c->tsig->error == 0))) ||
        dns_networks_have(s->rate_limit_exempt, s->rate_limit_exempt_count, client->family,
                          client->addr) ||
        dns_rrl_allows(c->a->rrl, client, kind, what_of(c, kind), s->rate_limit,
                       dns__mono_us(c->a)))
        return true;
    if (s->rate_limit_slip == 0 || gtm_rand_below(&c->a->rand, s->rate_limit_slip) != 0) {
        DNS__COUNT(c->a, DNS_CNT_RRL_DROPPED, 1);
        return false;
    }
    DNS__COUNT(c->a, DNS_CNT_RRL_SLIPPED, 1);
    c->ede = -1;
    dns__truncate(c);
    if (c->q->extra != 0 && c->cookie == DNS__COOKIE_NEW) {
        c->flags &= (uint16_t) ~(FLAG_TC |
                                 FLAG_AA); /* come back with the cookie instead (RFC 7873 5.2.3) */
        c->rcode = RCODE_BADCOOKIE;
    }
    return true;
}
