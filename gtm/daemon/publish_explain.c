/* SPDX-License-Identifier: Apache-2.0
 *
 * Explains an answer: asks dns_answer on the published view exactly as a resolver would with a
 * client subnet, then follows the same class through policies/ and writes down each step. Control
 * thread.
 */
#include "dns/answer.h"
#include "dns/rr.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/publish_int.h"
#include "policies/latency.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define QUERY_BYTES   600
#define OPTION_ECS    8  /* RFC 7871 */
#define OPTION_EDE    15 /* RFC 8914 */
#define CHAIN_MAX     16 /* CNAMEs followed */
#define RR_HEAD_BYTES 10 /* type, class, TTL, rdlength */

/* One explanation under way. */
struct explain {
    const struct gtm_publisher *pub;
    const struct gtm_states *states;
    const struct gtm_explain_query *query;
    uint8_t addr[16]; /* the query's, cut to its prefix */
    uint8_t *reply;   /* DNS_MESSAGE_MAX octets */
    size_t reply_len;
    uint8_t qname[DNS_NAME_MAX]; /* follows CNAMEs */
    struct gtm_json *root;
};

static void mask_address(const struct gtm_explain_query *q, uint8_t out[16])
{
    size_t octets = q->family == 4 ? 4 : 16;
    memset(out, 0, 16);
    memcpy(out, q->addr, octets);
    for (size_t i = 0; i < octets; i++) {
        unsigned used = q->prefix_len > i * 8 ? q->prefix_len - (unsigned)i * 8 : 0;
        if (used < 8)
            out[i] &= (uint8_t)(0xff00u >> used);
    }
}

static size_t write_query(const struct explain *x, size_t qname_len, uint8_t out[QUERY_BYTES])
{
    unsigned octets = (x->query->prefix_len + 7) / 8;
    memset(out, 0, QUERY_BYTES);
    dns_put16(out + 4, 1);  /* one question */
    dns_put16(out + 10, 1); /* OPT */
    memcpy(out + 12, x->qname, qname_len);
    uint8_t *p = out + 12 + qname_len;
    dns_put16(p, x->query->type);
    dns_put16(p + 2, DNS_CLASS_IN);
    p += 4;
    *p++ = 0; /* root: OPT's owner */
    dns_put16(p, DNS_TYPE_OPT);
    dns_put16(p + 2, DNS_UDP_PAYLOAD_MAX);
    dns_put16(p + 8, (uint16_t)(8 + octets));
    p += 10;
    dns_put16(p, OPTION_ECS);
    dns_put16(p + 2, (uint16_t)(4 + octets));
    dns_put16(p + 4, x->query->family == 4 ? 1 : 2);
    p[6] = (uint8_t)x->query->prefix_len;
    memcpy(p + 8, x->addr, octets);
    return (size_t)(p + 8 + octets - out);
}

static void ask(struct explain *x, size_t qname_len)
{
    uint8_t packet[QUERY_BYTES];
    size_t len = write_query(x, qname_len, packet);
    struct dns_client client = {.family = x->query->family, .proto = DNS_PROTO_TCP};
    struct dns_answerer answerer = {.rand = {{0}}};
    memcpy(client.addr, x->addr, sizeof(client.addr));
    /* A seed of its own for each view: a weighted answer is one of those that clients get. */
    dns_answerer_init(&answerer, x->pub->info.revision);
    x->reply_len =
        dns_answer(&answerer, x->pub->view, &client, packet, len, x->reply, DNS_MESSAGE_MAX);
}

/* ---- reading the reply: it is our own, but bounds are checked all the same ---- */

/* Uncompresses the name at *at; moves *at behind it. False when it is malformed. */
static bool read_name(const struct explain *x, size_t *at, uint8_t out[DNS_NAME_MAX])
{
    size_t pos = *at, len = 0, end = 0;
    for (unsigned jumps = 0; pos < x->reply_len && jumps < 64;) {
        uint8_t octet = x->reply[pos];
        if (octet >= 0xc0) {
            if (pos + 2 > x->reply_len)
                return false;
            if (!end)
                end = pos + 2;
            pos = dns_get16(x->reply + pos) & 0x3fffu;
            jumps++;
            continue;
        }
        if (octet > DNS_LABEL_MAX || len + octet + 1u > DNS_NAME_MAX ||
            pos + octet + 1u > x->reply_len)
            return false;
        memcpy(out + len, x->reply + pos, octet + 1u);
        len += octet + 1u;
        pos += octet + 1u;
        if (octet == 0) {
            *at = end ? end : pos;
            return true;
        }
    }
    return false;
}

struct record {
    uint8_t owner[DNS_NAME_MAX];
    uint16_t type, class_, rdlen;
    uint32_t ttl;
    size_t rdata; /* place in the reply */
};

static bool read_record(const struct explain *x, size_t *at, struct record *ret)
{
    if (!read_name(x, at, ret->owner) || *at + RR_HEAD_BYTES > x->reply_len)
        return false;
    const uint8_t *p = x->reply + *at;
    ret->type = dns_get16(p);
    ret->class_ = dns_get16(p + 2);
    ret->ttl = dns_get32(p + 4);
    ret->rdlen = dns_get16(p + 8);
    ret->rdata = *at + RR_HEAD_BYTES;
    *at = ret->rdata + ret->rdlen;
    return *at <= x->reply_len;
}

static const char *type_text(uint16_t type, char out[16])
{
    static const struct {
        uint16_t type;
        const char *text;
    } known[] = {{DNS_TYPE_A, "A"},         {DNS_TYPE_AAAA, "AAAA"}, {DNS_TYPE_CNAME, "CNAME"},
                 {DNS_TYPE_NS, "NS"},       {DNS_TYPE_SOA, "SOA"},   {DNS_TYPE_PTR, "PTR"},
                 {DNS_TYPE_MX, "MX"},       {DNS_TYPE_TXT, "TXT"},   {DNS_TYPE_SRV, "SRV"},
                 {DNS_TYPE_DNAME, "DNAME"}, {DNS_TYPE_SVCB, "SVCB"}, {DNS_TYPE_HTTPS, "HTTPS"},
                 {DNS_TYPE_ANY, "ANY"}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (known[i].type == type)
            return known[i].text;
    snprintf(out, 16, "TYPE%u", type); /* RFC 3597 5 */
    return out;
}

static const char *rcode_text(unsigned rcode, char out[16])
{
    static const char *const words[] = {"NOERROR",  "FORMERR", "SERVFAIL",
                                        "NXDOMAIN", "NOTIMP",  "REFUSED"};
    if (rcode < sizeof(words) / sizeof(words[0]))
        return words[rcode];
    snprintf(out, 16, "RCODE%u", rcode);
    return out;
}

/* Addresses and names in their own form, the rest as RFC 3597 5 does: \# length hex. */
static void add_rdata(const struct explain *x, const struct record *r, struct gtm_json *out)
{
    char text[DNS_NAME_TEXT_MAX];
    uint8_t name[DNS_NAME_MAX];
    size_t at = r->rdata;
    if (r->type == DNS_TYPE_A && r->rdlen == 4) {
        inet_ntop(AF_INET, x->reply + at, text, sizeof(text));
    } else if (r->type == DNS_TYPE_AAAA && r->rdlen == 16) {
        inet_ntop(AF_INET6, x->reply + at, text, sizeof(text));
    } else if ((r->type == DNS_TYPE_CNAME || r->type == DNS_TYPE_NS || r->type == DNS_TYPE_PTR ||
                r->type == DNS_TYPE_DNAME) &&
               read_name(x, &at, name)) {
        dns_name_text(name, text);
    } else {
        struct gtm_buf hex = {0};
        gtm_buf_addf(&hex, "\\# %u ", r->rdlen);
        for (size_t i = 0; i < r->rdlen; i++)
            gtm_buf_addf(&hex, "%02x", x->reply[r->rdata + i]);
        gtm_json_add_str(out, "data", hex.data);
        gtm_buf_fini(&hex);
        return;
    }
    gtm_json_add_str(out, "data", text);
}

/* The answer section; follows CNAMEs from the question's name in x->qname. */
static bool add_answers(struct explain *x, size_t *at, unsigned count, struct gtm_json *out)
{
    struct gtm_json *records = gtm_json_add_array(out, "records");
    for (unsigned i = 0, followed = 0; i < count; i++) {
        struct record r;
        char name[DNS_NAME_TEXT_MAX], type[16];
        if (!read_record(x, at, &r))
            return false;
        struct gtm_json *one = gtm_json_append_object(records);
        gtm_json_add_str(one, "name", dns_name_text(r.owner, name));
        gtm_json_add_str(one, "type", type_text(r.type, type));
        gtm_json_add_i64(one, "ttl_seconds", r.ttl);
        add_rdata(x, &r, one);
        size_t target = r.rdata;
        if (r.type == DNS_TYPE_CNAME && x->query->type != DNS_TYPE_CNAME &&
            dns_name_equal(r.owner, x->qname) && followed++ < CHAIN_MAX &&
            !read_name(x, &target, x->qname))
            return false;
    }
    return true;
}

static void add_options(const struct explain *x, const struct record *opt, struct gtm_json *out)
{
    const uint8_t *p = x->reply + opt->rdata, *end = p + opt->rdlen;
    while (end - p >= 4) {
        uint16_t code = dns_get16(p), len = dns_get16(p + 2);
        p += 4;
        if (len > end - p)
            return;
        if (code == OPTION_ECS && len >= 4)
            gtm_json_add_i64(out, "scope", p[3]);
        if (code == OPTION_EDE && len >= 2) {
            char text[DNS_EDE_TEXT_MAX + 1];
            struct gtm_json *ede = gtm_json_add_object(out, "extended_error");
            snprintf(text, sizeof(text), "%.*s", len - 2, (const char *)p + 2);
            gtm_json_add_i64(ede, "code", dns_get16(p));
            gtm_json_add_str(ede, "text", text);
        }
        p += len;
    }
}

static bool add_reply(struct explain *x)
{
    uint8_t name[DNS_NAME_MAX];
    char word[16];
    size_t at = 12;
    struct gtm_json *out = gtm_json_add_object(x->root, "answer");
    if (x->reply_len < 12 || !read_name(x, &at, name) || at + 4 > x->reply_len)
        return false;
    at += 4;
    gtm_json_add_str(out, "rcode", rcode_text(x->reply[3] & 15u, word));
    if (!add_answers(x, &at, dns_get16(x->reply + 6), out))
        return false;
    unsigned rest = dns_get16(x->reply + 8) + (unsigned)dns_get16(x->reply + 10);
    for (unsigned i = 0; i < rest; i++) {
        struct record r;
        if (!read_record(x, &at, &r))
            return false;
        if (r.type == DNS_TYPE_OPT)
            add_options(x, &r, out);
    }
    return true;
}

/* ---- why ---- */

static void add_client(const struct explain *x)
{
    const struct gtm_location *l = x->query->loc;
    char text[INET6_ADDRSTRLEN], with_prefix[INET6_ADDRSTRLEN + 8];
    inet_ntop(x->query->family == 4 ? AF_INET : AF_INET6, x->addr, text, sizeof(text));
    snprintf(with_prefix, sizeof(with_prefix), "%s/%u", text, x->query->prefix_len);
    struct gtm_json *client = gtm_json_add_object(x->root, "client");
    gtm_json_add_str(client, "subnet", with_prefix);
    if (!l)
        return;
    gtm_json_add_str(client, "country", l->country[0] ? l->country : NULL);
    gtm_json_add_str(client, "continent", l->continent[0] ? l->continent : NULL);
    gtm_json_add_str(client, "subdivision", l->subdivision[0] ? l->subdivision : NULL);
    if (l->asn)
        gtm_json_add_i64(client, "asn", l->asn);
    if (l->has_point) {
        gtm_json_add_num(client, "latitude", l->lat);
        gtm_json_add_num(client, "longitude", l->lon);
    }
}

/* The deepest zone at or above x->qname, or -1. */
static int find_zone(const struct explain *x)
{
    const struct gtm_compiled *c = x->pub->state->compiled;
    int best = -1;
    unsigned best_labels = 0;
    for (size_t z = 0; z < c->zones_count; z++) {
        struct dns_zone_info info;
        dns_zone_info(c->zones[z].zone, &info);
        unsigned labels = dns_name_labels(info.apex);
        if ((best < 0 || labels > best_labels) && dns_name_under(x->qname, info.apex)) {
            best = (int)z;
            best_labels = labels;
        }
    }
    return best;
}

static void add_step(void *ctx, const char *sentence)
{
    gtm_json_append_str(ctx, sentence);
}

static void add_lists(const struct explain *x, const struct policy_parts *parts,
                      const struct policy_regions *lists)
{
    const struct gtm_intent *intent = x->pub->state->compiled->intent;
    struct gtm_json *out = gtm_json_add_array(x->root, "preferences");
    for (size_t i = 0; i < parts->count; i++) {
        struct gtm_json *one = gtm_json_append_object(out);
        gtm_json_add_str(one, "policy", intent->policies[parts->policy[i]].name);
        struct gtm_json *regions = gtm_json_add_array(one, "regions");
        for (unsigned r = 0; r < lists[i].count; r++) {
            unsigned at = lists[i].region[r] & ~POLICY_TARGET_BIT;
            int target = lists[i].region[r] & POLICY_TARGET_BIT
                             ? policy_route_target(intent, parts->policy[i], at)
                             : -1;
            if (target >= 0)
                gtm_json_add_str(one, "route_policy", intent->policies[target].name);
            else
                gtm_json_append_str(regions, intent->regions[at].name);
        }
    }
}

static void add_choice(const struct explain *x, const struct policy_choice *choice,
                       enum gtm_family family)
{
    const struct gtm_intent *intent = x->pub->state->compiled->intent;
    struct gtm_json *options = gtm_json_add_array(x->root, "options");
    for (size_t i = 0; i < choice->options_count; i++) {
        const struct policy_option *o = &choice->options[i];
        struct gtm_json *one = gtm_json_append_object(options);
        gtm_json_add_num(one, "share", o->share);
        gtm_json_add_i64(one, "answers", o->answers < o->count ? o->answers : (int64_t)o->count);
        struct gtm_json *members = gtm_json_add_array(one, "endpoints");
        for (size_t m = 0; m < o->count; m++) {
            const struct policy_member *member = &choice->members[o->first + m];
            const struct gtm_endpoint *ep =
                &intent->pools[member->pool].endpoints[member->endpoint];
            char text[INET6_ADDRSTRLEN];
            struct gtm_json *e = gtm_json_append_object(members);
            if (family == GTM_FAMILY_V4)
                inet_ntop(AF_INET, &ep->v4, text, sizeof(text));
            else
                inet_ntop(AF_INET6, &ep->v6, text, sizeof(text));
            gtm_json_add_str(e, "pool", intent->pools[member->pool].name);
            gtm_json_add_str(e, "endpoint", ep->name);
            gtm_json_add_str(e, "region", intent->regions[ep->region].name);
            gtm_json_add_str(e, "address", text);
            gtm_json_add_i64(e, "weight", member->weight);
        }
    }
}

/* By the address, as the class map looks it up. */
static bool network_holds(const struct gtm_network *n, const struct explain *x)
{
    unsigned whole = n->prefix_len / 8, rest = n->prefix_len % 8;
    return n->family == x->query->family && memcmp(n->addr, x->addr, whole) == 0 &&
           (rest == 0 || ((n->addr[whole] ^ x->addr[whole]) & (0xff00u >> rest) & 0xff) == 0);
}

/* Says where each part's order comes from. Without memory it says nothing. */
static void add_ranking(const struct explain *x, const struct policy_env *env,
                        const struct policy_parts *parts)
{
    struct gtm_location loc = {.asn = 0};
    if (x->query->loc)
        loc = *x->query->loc;
    for (size_t i = 0; i < parts->count; i++) {
        const struct gtm_policy *p = &env->intent->policies[parts->policy[i]];
        uint32_t *routes = gtm_calloc(p->routes_count, sizeof(*routes));
        const struct policy_latency *table =
            x->pub->state->compiled->latency->tables[parts->policy[i]];
        struct policy_place place = {.loc = &loc, .routes = routes, .latency = table};
        int64_t row =
            table ? policy_latency_find(table, x->query->family, x->addr, x->query->prefix_len)
                  : -1;
        struct gtm_network network;
        uint32_t label;
        if (row >= 0) {
            policy_latency_network(table, (size_t)row, &network, &label);
            place.routes = &label;
            place.routes_count = 1;
        }
        for (size_t r = 0; routes && r < p->routes_count; r++) {
            const struct gtm_route *route = &p->routes[r];
            size_t n = 0;
            while (n < route->networks_count && !network_holds(&route->networks[n], x))
                n++;
            if (n < route->networks_count)
                routes[place.routes_count++] = (uint32_t)r;
        }
        if (routes)
            policy_say_rank(env, parts->policy[i], &place);
        policy_say_times(env, parts->policy[i], table, x->query->family, x->addr,
                         x->query->prefix_len);
        gtm_free(routes);
    }
}

static int add_policy(const struct explain *x, uint32_t table, struct gtm_json *steps)
{
    const struct gtm__state *s = x->pub->state;
    const struct gtm__table *t = &s->compiled->tables[table];
    const struct gtm_policy *p = &s->compiled->intent->policies[t->index];
    const struct gtm__map *map = s->compiled->maps[t->map];
    struct policy_env env = {.intent = s->compiled->intent,
                             .states = x->states,
                             .orders = s->compiled->orders->orders,
                             .family =
                                 x->query->type == DNS_TYPE_AAAA ? GTM_FAMILY_V6 : GTM_FAMILY_V4,
                             .say = add_step,
                             .say_ctx = steps};
    struct dns_steer_lookup at;
    struct policy_parts parts;
    struct policy_choice choice = {.mode = POLICY_NORMAL};
    dns_steer_find(s->tables[table].steer, x->query->type, x->query->family, x->addr, &at);
    policy_parts(env.intent, t->index, &parts);
    const struct policy_regions *lists = gtm__map_class(map, at.class_id);
    struct policy_class class_ = {.parts = &parts, .lists = lists};
    gtm_json_add_str(x->root, "policy", p->name);
    gtm_json_add_str(x->root, "steer", gtm_steer_words[p->steer]);
    gtm_json_add_i64(x->root, "class", at.class_id);
    gtm_json_add_i64(x->root, "scope", at.scope);
    add_lists(x, &parts, lists);
    add_ranking(x, &env, &parts);
    int rc = policy_choose(&env, t->index, &class_, &choice);
    gtm_json_add_str(x->root, "mode", policy_mode_word(choice.mode));
    gtm_json_add_bool(x->root, "fail_open", choice.mode == POLICY_FAIL_OPEN);
    add_choice(x, &choice, env.family);
    policy_choice_fini(&choice);
    return rc;
}

static int add_why(const struct explain *x)
{
    const struct gtm_compiled *c = x->pub->state->compiled;
    struct gtm_json *steps = gtm_json_add_array(x->root, "steps");
    char sentence[DNS_NAME_TEXT_MAX + 64], name[DNS_NAME_TEXT_MAX];
    int zone = find_zone(x);
    dns_name_text(x->qname, name);
    gtm_json_add_str(x->root, "zone", zone < 0 ? NULL : c->intent->zones[zone].name);
    if (zone < 0) {
        snprintf(sentence, sizeof(sentence), "%s is in no zone of this node", name);
        gtm_json_append_str(steps, sentence);
        return GTM_OK;
    }
    int64_t slot = dns_zone_slot(c->zones[zone].zone, x->qname, x->query->type);
    if (slot < 0) {
        snprintf(sentence, sizeof(sentence), "%s is answered from the zone file", name);
        gtm_json_append_str(steps, sentence);
        return GTM_OK;
    }
    uint32_t table = c->zones[zone].tables[slot];
    if (c->tables[table].of == GTM__TABLE_POLICY)
        return add_policy(x, table, steps);
    const char *group = gtm__group_name(c->intent, c->tables[table].index);
    gtm_json_add_str(x->root, "group", group);
    snprintf(sentence, sizeof(sentence), "group %s is not active yet: SERVFAIL", group);
    gtm_json_append_str(steps, sentence);
    return GTM_OK;
}

struct gtm_json *gtm_explain(const struct gtm_publisher *pub, const struct gtm_states *states,
                             const struct gtm_explain_query *query, struct gtm_error *err)
{
    static const uint8_t root_name[1] = {0};
    struct explain x = {.pub = pub, .states = states, .query = query};
    char text[DNS_NAME_TEXT_MAX], type[16];
    size_t len = 0;
    int rc = GTM_OK;
    if (!pub->view || gtm_states_intent(states) != pub->state->compiled->intent) {
        gtm_error_set(err, GTM_ESTATE, "nothing is published for these states yet");
        return NULL;
    }
    if ((query->family != 4 && query->family != 6) ||
        query->prefix_len > (query->family == 4 ? 32u : 128u)) {
        gtm_error_set(err, GTM_EINVAL, "no such client subnet");
        return NULL;
    }
    if (dns_name_parse(query->name, strlen(query->name), root_name, x.qname, &len, err) != GTM_OK)
        return NULL;
    mask_address(query, x.addr);
    x.reply = gtm_malloc(DNS_MESSAGE_MAX);
    x.root = gtm_json_object();
    if (x.reply) {
        ask(&x, len);
        gtm_json_add_str(x.root, "name", dns_name_text(x.qname, text));
        gtm_json_add_str(x.root, "type", type_text(query->type, type));
        gtm_json_add_i64(x.root, "revision", (int64_t)pub->info.revision);
        add_client(&x);
        rc = add_reply(&x) ? add_why(&x) : GTM_ECORRUPT;
    }
    if (!x.reply || !x.root || rc != GTM_OK) {
        gtm_error_set(err, rc == GTM_OK ? GTM_ENOMEM : rc, "cannot explain %s", query->name);
        gtm_json_free(x.root);
        x.root = NULL;
    }
    gtm_free(x.reply);
    return x.root;
}
