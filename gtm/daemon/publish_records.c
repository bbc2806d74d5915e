/* SPDX-License-Identifier: Apache-2.0
 *
 * From what policies/ chose to records: addresses, and for other types rdata made of an endpoint's
 * host, addresses and the name's service parameters. First as bytes by which equal choices are
 * recognised, then as what dns/ takes. Control thread.
 *
 * An endpoint that cannot be named (CNAME and SRV need a host) is refused by the model; should one
 * come all the same, the choice answers SERVFAIL and says whose fault it is.
 */
#include "dns/name.h"
#include "dns/rr.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/publish_int.h"

#include <stdio.h>
#include <string.h>

/* The bytes of a choice: its head, then for each option its head and lists; in words, so that all
 * is aligned for dns_option_spec to point into. */
struct spec_head {
    uint32_t outcome, ttl_s, options, sticky;
};
struct spec_option {
    uint32_t weight, answers, count, weighted, buckets, rdata_bytes;
};
#define WORDS(type)      (sizeof(type) / sizeof(uint32_t))
#define WORDS_OF(octets) (((octets) + sizeof(uint32_t) - 1) / sizeof(uint32_t))
#define SRV_WEIGHT_MAX   UINT16_MAX
#define ALPN_MAX         255 /* octets of one protocol name (RFC 7301 3.1) */
#define HINT4_OCTETS     4
#define HINT6_OCTETS     16

/* RFC 9460 14.3.2 */
enum { KEY_ALPN = 1, KEY_PORT = 3, KEY_IPV4HINT = 4, KEY_IPV6HINT = 6 };

/* ---- rdata ---- */

static void add16(struct gtm_buf *out, unsigned v)
{
    uint8_t octets[2];
    dns_put16(octets, (uint16_t)v);
    gtm_buf_add(out, octets, sizeof(octets));
}

/* A host's name; NULL = the root. */
static bool add_host(struct gtm_buf *out, const char *host)
{
    static const uint8_t root[1] = {0};
    uint8_t name[DNS_NAME_MAX];
    struct gtm_error err = {0};
    size_t len = 0;
    if (!host)
        gtm_buf_add(out, root, 1);
    else if (dns_name_parse(host, strlen(host), root, name, &len, &err) == GTM_OK)
        gtm_buf_add(out, name, len);
    else
        return false;
    return true;
}

static void add_alpn(struct gtm_buf *out, const struct gtm_dynamic_name *service)
{
    size_t octets = 0;
    for (size_t i = 0; i < service->alpn_count; i++)
        octets += 1 + strnlen(service->alpn[i], ALPN_MAX);
    if (octets == 0 || octets > DNS_STEER_RDATA_MAX)
        return;
    add16(out, KEY_ALPN);
    add16(out, (unsigned)octets);
    for (size_t i = 0; i < service->alpn_count; i++) {
        size_t len = strnlen(service->alpn[i], ALPN_MAX);
        gtm_buf_addc(out, (char)len);
        gtm_buf_add(out, service->alpn[i], len);
    }
}

/* Hints of the families that serve; when none does (all down, and somebody has to answer), of all.
 */
static void add_hints(struct gtm_buf *out, const struct policy_env *env,
                      const struct policy_member *m, const struct gtm_endpoint *ep)
{
    bool v4 = gtm_states_serves(env->states, m->pool, m->endpoint, GTM_FAMILY_V4);
    bool v6 = gtm_states_serves(env->states, m->pool, m->endpoint, GTM_FAMILY_V6);
    bool all = !v4 && !v6;
    if (ep->has_v4 && (v4 || all)) {
        add16(out, KEY_IPV4HINT);
        add16(out, HINT4_OCTETS);
        gtm_buf_add(out, &ep->v4, HINT4_OCTETS);
    }
    if (ep->has_v6 && (v6 || all)) {
        add16(out, KEY_IPV6HINT);
        add16(out, HINT6_OCTETS);
        gtm_buf_add(out, &ep->v6, HINT6_OCTETS);
    }
}

bool gtm__record_rdata(const struct policy_env *env, const struct gtm_dynamic_name *service,
                       enum dns_kind kind, const struct policy_member *member, uint16_t weight,
                       struct gtm_buf *out)
{
    const struct gtm_endpoint *ep = &env->intent->pools[member->pool].endpoints[member->endpoint];
    if (kind == DNS_KIND_CNAME)
        return ep->host && add_host(out, ep->host);
    add16(out, service->service_priority);
    if (kind == DNS_KIND_SRV) {
        add16(out, weight);
        add16(out, service->service_port);
        return ep->host && add_host(out, ep->host);
    }
    if (!add_host(out, ep->host))
        return false;
    if (service->service_priority == 0)
        return true; /* AliasMode: parameters would be ignored (RFC 9460 2.4.2) */
    add_alpn(out, service);
    if (service->service_port != 0) {
        add16(out, KEY_PORT);
        add16(out, 2);
        add16(out, service->service_port);
    }
    add_hints(out, env, member, ep);
    return true;
}

/* A weight for SRV's 16 bits: as configured where it can be (policies count in thousandths), else
 * in proportion, and never 0 by rounding: that would mean hardly ever (RFC 2782). */
static uint16_t srv_weight(const struct policy_member *members, size_t count, size_t i)
{
    uint32_t most = 1, unit = GTM_SHARE_FULL;
    for (size_t m = 0; m < count; m++) {
        most = members[m].weight > most ? members[m].weight : most;
        if (members[m].weight % GTM_SHARE_FULL != 0)
            unit = 1;
    }
    uint64_t weight = members[i].weight / unit;
    most /= unit;
    if (most > SRV_WEIGHT_MAX)
        weight = weight * SRV_WEIGHT_MAX / most;
    return (uint16_t)(weight == 0 && members[i].weight > 0 ? 1 : weight);
}

/* ---- a choice as bytes ---- */

/* Room for `words` more in the scratch, to be filled; NULL without memory. They count at once. */
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

static bool spec_add(struct gtm__state *state, const void *data, size_t octets)
{
    size_t words = WORDS_OF(octets);
    uint32_t *at = spec_more(state, words);
    if (!at || octets == 0)
        return at != NULL;
    at[words - 1] = 0; /* what is behind the octets counts when choices are compared */
    memcpy(at, data, octets);
    return true;
}

/* The addresses of an option's members. */
static bool add_addresses(struct gtm__spec *x, const struct policy_option *o)
{
    const struct policy_member *members = &x->state->choice.members[o->first];
    const struct gtm_pool *pools = x->env->intent->pools;
    size_t octets = x->kind == DNS_KIND_A ? HINT4_OCTETS : HINT6_OCTETS;
    uint8_t *to = spec_more(x->state, WORDS_OF(o->count * octets));
    if (!to)
        return false;
    for (size_t i = 0; i < o->count; i++, to += octets) {
        const struct gtm_endpoint *ep = &pools[members[i].pool].endpoints[members[i].endpoint];
        if (x->kind == DNS_KIND_A)
            memcpy(to, &ep->v4, HINT4_OCTETS);
        else
            memcpy(to, &ep->v6, HINT6_OCTETS);
    }
    return true;
}

/* The rdata of an option's members into state->rdata, their lengths into state->rdlens. Not of
 * addresses. */
static int write_rdata(struct gtm__spec *x, const struct policy_option *o)
{
    struct gtm__state *s = x->state;
    const struct policy_member *members = &s->choice.members[o->first];
    gtm_buf_clear(&s->rdata);
    gtm_buf_clear(&s->rdlens);
    for (size_t i = 0; i < o->count; i++) {
        const struct gtm_endpoint *ep =
            &x->env->intent->pools[members[i].pool].endpoints[members[i].endpoint];
        size_t before = s->rdata.len;
        uint16_t weight = x->kind == DNS_KIND_SRV ? srv_weight(members, o->count, i) : 0;
        if (!gtm__record_rdata(x->env, x->table->service, x->kind, &members[i], weight,
                               &s->rdata)) {
            snprintf(x->reason, sizeof(x->reason), "endpoint %s has no host name", ep->name);
            return GTM_ESTATE;
        }
        uint16_t len = (uint16_t)(s->rdata.len - before);
        gtm_buf_add(&s->rdlens, &len, sizeof(len));
    }
    return s->rdata.failed || s->rdlens.failed ? GTM_ENOMEM : GTM_OK;
}

static bool is_address(enum dns_kind kind)
{
    return kind == DNS_KIND_A || kind == DNS_KIND_AAAA;
}

static int spec_option(struct gtm__spec *x, const struct policy_option *o)
{
    struct gtm__state *s = x->state;
    const struct policy_member *members = &s->choice.members[o->first];
    bool weighted = false;
    for (size_t i = 1; i < o->count; i++)
        weighted |= members[i].weight != members[0].weight;
    unsigned answers = x->kind == DNS_KIND_CNAME ? 1 : o->answers;
    bool address = is_address(x->kind);
    size_t octets = x->kind == DNS_KIND_A ? HINT4_OCTETS : HINT6_OCTETS;
    int rc = address ? GTM_OK : write_rdata(x, o);
    if (rc != GTM_OK)
        return rc;
    struct spec_option head = {.weight = o->weight,
                               .answers = answers,
                               .count = (uint32_t)o->count,
                               .weighted = weighted && answers < o->count && !o->buckets_count,
                               .buckets = (uint32_t)o->buckets_count,
                               .rdata_bytes =
                                   (uint32_t)(address ? o->count * octets : s->rdata.len)};
    if (!spec_add(s, &head, sizeof(head)))
        return GTM_ENOMEM;
    if (head.weighted) {
        uint32_t *weights = spec_more(s, o->count);
        for (size_t i = 0; weights && i < o->count; i++)
            weights[i] = members[i].weight;
        if (!weights)
            return GTM_ENOMEM;
    }
    if (head.buckets > 0 && !spec_add(s, o->buckets, o->buckets_count * sizeof(*o->buckets)))
        return GTM_ENOMEM;
    if (address)
        return add_addresses(x, o) ? GTM_OK : GTM_ENOMEM;
    return spec_add(s, s->rdlens.data, s->rdlens.len) && spec_add(s, s->rdata.data, s->rdata.len)
               ? GTM_OK
               : GTM_ENOMEM;
}

static enum dns_outcome outcome_of(enum policy_mode mode)
{
    if (mode == POLICY_NODATA)
        return DNS_OUTCOME_NODATA;
    return mode == POLICY_FAIL_CLOSED || mode == POLICY_INACTIVE ? DNS_OUTCOME_SERVFAIL
                                                                 : DNS_OUTCOME_ANSWER;
}

static int spec_silent(struct gtm__spec *x, enum dns_outcome outcome, bool sticky)
{
    struct spec_head head = {outcome, x->table->ttl_s, 0, sticky};
    x->state->spec_words = 0;
    if (!spec_add(x->state, &head, sizeof(head)))
        return GTM_ENOMEM;
    if (outcome == DNS_OUTCOME_SERVFAIL && !spec_add(x->state, x->reason, strlen(x->reason)))
        return GTM_ENOMEM;
    return GTM_OK;
}

static int spec_fixed(struct gtm__spec *x)
{
    const struct gtm__fixed *f = x->table->fixed;
    bool mine = f->count > 0 && dns_kind_of(f->type) == (int)x->kind;
    if (!mine) {
        snprintf(x->reason, sizeof(x->reason), "%s", f->why);
        return spec_silent(x, f->why[0] ? DNS_OUTCOME_SERVFAIL : DNS_OUTCOME_NODATA, false);
    }
    struct spec_head head = {DNS_OUTCOME_ANSWER, x->table->ttl_s, 1, false};
    struct spec_option o = {.weight = 1,
                            .answers = f->count,
                            .count = f->count,
                            .rdata_bytes = f->count * (f->type == DNS_TYPE_A ? 4u : 16u)};
    x->state->spec_words = 0;
    return spec_add(x->state, &head, sizeof(head)) && spec_add(x->state, &o, sizeof(o)) &&
                   spec_add(x->state, f->rdata, o.rdata_bytes)
               ? GTM_OK
               : GTM_ENOMEM;
}

int gtm__spec_write(struct gtm__spec *x)
{
    const struct policy_choice *c = &x->state->choice;
    if (x->table->of == GTM__TABLE_FIXED)
        return spec_fixed(x);
    bool sticky = x->table->of == GTM__TABLE_POLICY &&
                  x->env->intent->policies[x->table->index].steer == GTM_STEER_STICKY;
    enum dns_outcome outcome = outcome_of(c->mode);
    if (outcome != DNS_OUTCOME_ANSWER)
        return spec_silent(x, outcome, sticky);
    struct spec_head head = {outcome, x->table->ttl_s, (uint32_t)c->options_count, sticky};
    x->state->spec_words = 0;
    if (!spec_add(x->state, &head, sizeof(head)))
        return GTM_ENOMEM;
    for (size_t i = 0; i < c->options_count; i++) {
        int rc = spec_option(x, &c->options[i]);
        if (rc == GTM_ESTATE)
            return spec_silent(x, DNS_OUTCOME_SERVFAIL, sticky);
        if (rc != GTM_OK)
            return rc;
    }
    return GTM_OK;
}

/* ---- and back ---- */

static const uint32_t *read_option(const uint32_t *at, bool address, struct dns_option_spec *ret)
{
    struct spec_option o;
    memcpy(&o, at, sizeof(o));
    at += WORDS(struct spec_option);
    *ret = (struct dns_option_spec){.weight = o.weight, .answers = o.answers, .count = o.count};
    if (o.weighted) {
        ret->weights = at;
        at += o.count;
    }
    if (o.buckets > 0) {
        ret->buckets = (const uint16_t *)at;
        ret->buckets_count = o.buckets;
        at += WORDS_OF(o.buckets * sizeof(uint16_t));
    }
    if (!address) {
        ret->rdlens = (const uint16_t *)at;
        at += WORDS_OF(o.count * sizeof(uint16_t));
    }
    ret->rdata = (const uint8_t *)at;
    return at + WORDS_OF(o.rdata_bytes);
}

struct dns_choice *gtm__spec_choice(struct gtm__spec *x, struct gtm_error *err)
{
    struct gtm__state *s = x->state;
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
    for (size_t i = 0; i < head.options; i++)
        at = read_option(at, is_address(x->kind), &s->options[i]);
    struct dns_choice_spec spec = {
        .type = dns_kind_type(x->kind),
        .ttl_s = head.ttl_s,
        .outcome = (enum dns_outcome)head.outcome,
        .options = s->options,
        .options_count = head.options,
        .sticky = head.sticky != 0,
        .ede_text = head.outcome == DNS_OUTCOME_SERVFAIL ? x->reason : NULL,
    };
    s->info->choices_built++;
    return dns_choice_new(&spec, err);
}
