/* SPDX-License-Identifier: Apache-2.0
 *
 * Explains an answer: asks for it (publish_explain_reply.c), then follows the same client through
 * zones, aliases and policies/ and writes down each step. Control thread.
 */
#include "gtm/base/mem.h"
#include "gtm/daemon/publish_explain_int.h"
#include "policies/latency.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

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

static void add_client(const struct gtm__explain *x)
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
static int find_zone(const struct gtm__explain *x)
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

static void add_lists(const struct gtm__explain *x, const struct policy_parts *parts,
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

/* Where users of an endpoint are sent: its address, or the host that answers of other types name.
 */
static const char *address_of(const struct gtm_endpoint *ep, enum gtm_family family,
                              char text[INET6_ADDRSTRLEN])
{
    if (family == GTM_FAMILY_ANY && ep->host)
        return ep->host;
    if (family == GTM_FAMILY_V4 || (family == GTM_FAMILY_ANY && ep->has_v4))
        return inet_ntop(AF_INET, &ep->v4, text, INET6_ADDRSTRLEN);
    return inet_ntop(AF_INET6, &ep->v6, text, INET6_ADDRSTRLEN);
}

/* Which bucket the client's network falls into, and whose it is. */
static void add_bucket(const struct gtm__explain *x, const struct policy_choice *choice,
                       const struct policy_option *o, struct gtm_json *option,
                       struct gtm_json *steps)
{
    const struct gtm_intent *intent = x->pub->state->compiled->intent;
    char text[INET6_ADDRSTRLEN], sentence[GTM_NAME_MAX + 200];
    uint8_t net[16] = {0};
    bool v4 = x->query->family == 4;
    unsigned bits = v4 ? DNS_STICKY_BITS4 : DNS_STICKY_BITS6;
    uint64_t hash = dns_network_hash(x->query->family, x->addr);
    size_t bucket = (size_t)(hash & (o->buckets_count - 1));
    const struct policy_member *m = &choice->members[o->first + o->buckets[bucket]];
    memcpy(net, x->addr, bits / 8);
    inet_ntop(v4 ? AF_INET : AF_INET6, net, text, sizeof(text));
    snprintf(sentence, sizeof(sentence),
             "the client's network %s/%u falls into bucket %zu of %zu, which endpoint %s has", text,
             bits, bucket, o->buckets_count, intent->pools[m->pool].endpoints[m->endpoint].name);
    gtm_json_append_str(steps, sentence);
    gtm_json_add_i64(option, "bucket", (int64_t)bucket);
    gtm_json_add_i64(option, "buckets", (int64_t)o->buckets_count);
}

static void add_members(const struct gtm__explain *x, const struct policy_choice *choice,
                        const struct policy_option *o, enum gtm_family family,
                        struct gtm_json *members)
{
    const struct gtm_intent *intent = x->pub->state->compiled->intent;
    for (size_t m = 0; m < o->count; m++) {
        const struct policy_member *member = &choice->members[o->first + m];
        const struct gtm_endpoint *ep = &intent->pools[member->pool].endpoints[member->endpoint];
        char text[INET6_ADDRSTRLEN];
        struct gtm_json *e = gtm_json_append_object(members);
        gtm_json_add_str(e, "pool", intent->pools[member->pool].name);
        gtm_json_add_str(e, "endpoint", ep->name);
        gtm_json_add_str(e, "region", intent->regions[ep->region].name);
        gtm_json_add_str(e, "address", address_of(ep, family, text));
        gtm_json_add_i64(e, "weight", member->weight);
    }
}

static void add_choice(const struct gtm__explain *x, const struct policy_choice *choice,
                       enum gtm_family family, struct gtm_json *steps)
{
    struct gtm_json *options = gtm_json_add_array(x->root, "options");
    for (size_t i = 0; i < choice->options_count; i++) {
        const struct policy_option *o = &choice->options[i];
        struct gtm_json *one = gtm_json_append_object(options);
        gtm_json_add_num(one, "share", o->share);
        gtm_json_add_i64(one, "answers", o->answers < o->count ? o->answers : (int64_t)o->count);
        add_members(x, choice, o, family, gtm_json_add_array(one, "endpoints"));
        if (o->buckets_count > 0)
            add_bucket(x, choice, o, one, steps);
    }
}

/* By the address, as the class map looks it up. */
static bool network_holds(const struct gtm_network *n, const struct gtm__explain *x)
{
    unsigned whole = n->prefix_len / 8, rest = n->prefix_len % 8;
    return n->family == x->query->family && memcmp(n->addr, x->addr, whole) == 0 &&
           (rest == 0 || ((n->addr[whole] ^ x->addr[whole]) & (0xff00u >> rest) & 0xff) == 0);
}

/* Says where each part's order comes from. Without memory it says nothing. */
static void add_ranking(const struct gtm__explain *x, const struct policy_env *env,
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

static unsigned scope_of(const struct gtm__explain *x, const struct gtm_policy *p,
                         const struct policy_choice *choice, unsigned leaf)
{
    bool sticky = p->steer == GTM_STEER_STICKY;
    unsigned bits = x->query->family == 4 ? DNS_STICKY_BITS4 : DNS_STICKY_BITS6;
    for (size_t i = 0; i < choice->options_count; i++)
        sticky |= choice->options[i].buckets_count > 0;
    return sticky && leaf < bits ? bits : leaf;
}

static int add_policy(struct gtm__explain *x, uint32_t table, uint16_t type, struct gtm_json *steps)
{
    const struct gtm__state *s = x->pub->state;
    const struct gtm__table *t = &s->compiled->tables[table];
    const struct gtm_policy *p = &s->compiled->intent->policies[t->index];
    const struct gtm__map *map = s->compiled->maps[t->map];
    struct policy_env env = {.intent = s->compiled->intent,
                             .states = x->states,
                             .family = gtm__family_of(dns_kind_of(type)),
                             .orders = s->compiled->orders->orders,
                             .say = add_step,
                             .say_ctx = steps};
    struct dns_steer_lookup at;
    struct policy_parts parts;
    struct policy_choice choice = {.mode = POLICY_NORMAL};
    bool first = !x->policy_told;
    dns_steer_find(s->tables[table].steer, type, x->query->family, x->addr, &at);
    policy_parts(env.intent, t->index, &parts);
    const struct policy_regions *lists = gtm__map_class(map, at.class_id);
    struct policy_class class_ = {.parts = &parts, .lists = lists};
    x->policy_told = true;
    if (first) {
        gtm_json_add_str(x->root, "policy", p->name);
        gtm_json_add_str(x->root, "steer", gtm_steer_words[p->steer]);
        gtm_json_add_i64(x->root, "class", at.class_id);
        add_lists(x, &parts, lists);
    }
    add_ranking(x, &env, &parts);
    int rc = policy_choose(&env, t->index, &class_, &choice);
    if (first) { /* what lies behind a dynamic CNAME is told in the steps only */
        gtm_json_add_i64(x->root, "scope", scope_of(x, p, &choice, at.scope));
        gtm_json_add_str(x->root, "mode", policy_mode_word(choice.mode));
        gtm_json_add_bool(x->root, "fail_open", choice.mode == POLICY_FAIL_OPEN);
        add_choice(x, &choice, env.family, steps);
    }
    policy_choice_fini(&choice);
    return rc;
}

#define SENTENCE_BYTES (2 * DNS_NAME_TEXT_MAX + 80)

static int add_table(struct gtm__explain *x, uint32_t table, uint16_t type, struct gtm_json *steps)
{
    const struct gtm_compiled *c = x->pub->state->compiled;
    const struct gtm__table *t = &c->tables[table];
    char sentence[SENTENCE_BYTES];
    if (t->of == GTM__TABLE_POLICY)
        return add_policy(x, table, type, steps);
    if (t->of == GTM__TABLE_FIXED) {
        if (t->fixed->count > 0)
            snprintf(sentence, sizeof(sentence), "%u records, from a zone file, TTL %u s",
                     t->fixed->count, t->ttl_s);
        else
            snprintf(sentence, sizeof(sentence), "%s%s",
                     t->fixed->why[0] ? t->fixed->why : "it has none of this type: NODATA",
                     t->fixed->why[0] ? ": SERVFAIL" : "");
        gtm_json_append_str(steps, sentence);
        return GTM_OK;
    }
    const char *group = gtm__group_name(c->intent, t->index);
    gtm_json_add_str(x->root, "group", group);
    snprintf(sentence, sizeof(sentence), "group %s is not active yet: SERVFAIL", group);
    gtm_json_append_str(steps, sentence);
    return GTM_OK;
}

/* A dynamic name, of the type asked or a CNAME. */
static int add_dynamic(struct gtm__explain *x, int zone, const char *name, uint32_t slot,
                       uint16_t type, struct gtm_json *steps)
{
    const struct gtm__zone *z = &x->pub->state->compiled->zones[zone];
    const struct gtm_dynamic_name *alias = z->aliases[slot].name;
    char sentence[SENTENCE_BYTES], word[16];
    if (alias) {
        snprintf(sentence, sizeof(sentence), "%s is an alias: its %s records are those of %s", name,
                 gtm__explain_type(type, word), alias->alias);
        gtm_json_append_str(steps, sentence);
        gtm_json_add_str(x->root, "alias", alias->alias);
    } else if (type != x->query->type) {
        snprintf(sentence, sizeof(sentence), "%s is a dynamic %s, which answers every type", name,
                 gtm__explain_type(type, word));
        gtm_json_append_str(steps, sentence);
    }
    return add_table(x, z->tables[slot], type, steps);
}

/* One name on the way. *ret_on: a CNAME leads on, and x->qname is its target. */
static int add_name(struct gtm__explain *x, struct gtm_json *steps, bool *ret_on)
{
    const struct gtm_compiled *c = x->pub->state->compiled;
    char sentence[SENTENCE_BYTES], name[DNS_NAME_TEXT_MAX], target[DNS_NAME_TEXT_MAX];
    struct dns_zone_found found;
    int zone = find_zone(x);
    *ret_on = false;
    dns_name_text(x->qname, name);
    if (zone < 0) {
        snprintf(sentence, sizeof(sentence), "%s is in no zone of this node", name);
        gtm_json_append_str(steps, sentence);
        return GTM_OK;
    }
    if (x->pub->state->view_zones[zone].expired) {
        snprintf(sentence, sizeof(sentence),
                 "the copy of zone %s has expired or has not come yet: SERVFAIL",
                 c->intent->zones[zone].name);
        gtm_json_append_str(steps, sentence);
        return GTM_OK;
    }
    dns_zone_look(c->zones[zone].zone, x->qname, x->query->type, &found);
    if (found.what == DNS_ZONE_DYNAMIC)
        return add_dynamic(x, zone, name, found.slot, x->query->type, steps);
    if (found.what == DNS_ZONE_DYNAMIC_CNAME) {
        int rc = add_dynamic(x, zone, name, found.slot, DNS_TYPE_CNAME, steps);
        *ret_on = rc == GTM_OK && gtm__explain_cname(x, x->qname);
        return rc;
    }
    if (found.what == DNS_ZONE_CNAME) {
        snprintf(sentence, sizeof(sentence), "%s is a CNAME of the zone file: %s", name,
                 dns_name_text(found.target, target));
        memcpy(x->qname, found.target, sizeof(x->qname));
        *ret_on = true;
    } else {
        snprintf(sentence, sizeof(sentence), "%s is answered from the zone file", name);
    }
    gtm_json_append_str(steps, sentence);
    return GTM_OK;
}

static int add_why(struct gtm__explain *x)
{
    const struct gtm_compiled *c = x->pub->state->compiled;
    struct gtm_json *steps = gtm_json_add_array(x->root, "steps");
    int zone = find_zone(x), rc = GTM_OK;
    bool on = true;
    gtm_json_add_str(x->root, "zone", zone < 0 ? NULL : c->intent->zones[zone].name);
    memcpy(x->qname, x->asked, sizeof(x->qname));
    for (unsigned hop = 0; rc == GTM_OK && on && hop <= GTM__EXPLAIN_CHAIN_MAX; hop++)
        rc = add_name(x, steps, &on);
    return rc;
}

struct gtm_json *gtm_explain(const struct gtm_publisher *pub, const struct gtm_states *states,
                             const struct gtm_explain_query *query, struct gtm_error *err)
{
    static const uint8_t root_name[1] = {0};
    struct gtm__explain x = {.pub = pub, .states = states, .query = query};
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
        memcpy(x.asked, x.qname, sizeof(x.asked));
        gtm__explain_ask(&x, len);
        gtm_json_add_str(x.root, "name", dns_name_text(x.qname, text));
        gtm_json_add_str(x.root, "type", gtm__explain_type(query->type, type));
        gtm_json_add_i64(x.root, "revision", (int64_t)pub->info.revision);
        add_client(&x);
        rc = gtm__explain_reply(&x) ? add_why(&x) : GTM_ECORRUPT;
    }
    if (!x.reply || !x.root || rc != GTM_OK) {
        gtm_error_set(err, rc == GTM_OK ? GTM_ENOMEM : rc, "cannot explain %s", query->name);
        gtm_json_free(x.root);
        x.root = NULL;
    }
    gtm_free(x.reply);
    return x.root;
}
