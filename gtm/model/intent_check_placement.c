/* SPDX-License-Identifier: Apache-2.0
 *
 * Where things stand, and what the loss of one failure domain leaves: vantages that cannot decide
 * any more, groups that must not fail over by themselves. See intent_tables.h.
 */
#include "gtm/base/buf.h"
#include "gtm/model/intent_tables.h"

#include <string.h>

#define DOMAINS_NEEDED 3 /* with two, neither side of a cut can tell itself from the lost one */
#define SAID_MAX       8 /* names in a message */

void gtm_check_canary(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj)
{
    const struct gtm_canary *canary = obj;
    const struct gtm_yaml_node *address = gtm_yaml_get(node, "address");
    const char *why = canary ? gtm_address_unusable(&canary->address) : NULL;
    if (why)
        gtm_parse_error(p, address, "canary: the address %s %s", address->text, why);
}

/* --- failure domains --- */

/* Regions, each once, and how many stand in the domain of each. */
struct places {
    const struct gtm_intent *intent;
    bool in[GTM_REGIONS_MAX];
};

static void place(struct places *places, long region)
{
    if (region >= 0 && region < GTM_REGIONS_MAX && (size_t)region < places->intent->regions_count)
        places->in[region] = true;
}

static const char *domain_of(const struct gtm_intent *intent, size_t region)
{
    const struct gtm_region *r = &intent->regions[region];
    return r->failure_domain ? r->failure_domain : r->name ? r->name : "";
}

/* A word of one region's own is another domain than the name of a region elsewhere. */
static bool together(const struct gtm_intent *intent, size_t a, size_t b)
{
    bool named = intent->regions[a].failure_domain && intent->regions[b].failure_domain;
    return a == b || (named && strcmp(domain_of(intent, a), domain_of(intent, b)) == 0);
}

/* How many of the places stand in the domain of this region. */
static unsigned crowd(const struct places *places, size_t region)
{
    unsigned count = 0;
    for (size_t r = 0; r < places->intent->regions_count; r++)
        count += places->in[r] && together(places->intent, r, region);
    return count;
}

static unsigned domains(const struct places *places)
{
    unsigned count = 0;
    for (size_t r = 0; r < places->intent->regions_count; r++) {
        size_t first = 0;
        while (first < r && !(places->in[first] && together(places->intent, first, r)))
            first++;
        count += places->in[r] && first == r;
    }
    return count;
}

/* "us-east, eu-west" */
static void say_places(const struct places *places, struct gtm_buf *out)
{
    unsigned said = 0;
    for (size_t r = 0; r < places->intent->regions_count; r++) {
        if (!places->in[r] || !places->intent->regions[r].name || said++ > SAID_MAX)
            continue;
        gtm_buf_addf(out, "%s%s", said > 1 ? ", " : "",
                     said > SAID_MAX ? "…" : places->intent->regions[r].name);
    }
}

/* --- vantages --- */

/* How many regions have endpoints. */
static unsigned serving(const struct gtm_intent *intent)
{
    struct places places = {.intent = intent};
    unsigned count = 0;
    for (size_t i = 0; i < intent->pools_count; i++) {
        const struct gtm_pool *pool = &intent->pools[i];
        for (size_t e = 0; e < pool->endpoints_count; e++)
            place(&places, pool->endpoints[e].region);
    }
    for (size_t r = 0; r < intent->regions_count; r++)
        count += places.in[r];
    return count;
}

/* The region whose failure domain holds so many vantages that the others are no majority, or -1. */
static long decisive(const struct places *vantages, unsigned count)
{
    for (size_t r = 0; r < vantages->intent->regions_count; r++) {
        if (vantages->in[r] && count - crowd(vantages, r) < count / 2 + 1)
            return (long)r;
    }
    return -1;
}

static void check_vantages(struct gtm_parse *p, const struct gtm_intent *intent,
                           const struct gtm_yaml_node *health)
{
    const struct gtm_yaml_node *list = gtm_yaml_get(health, "vantages");
    unsigned count = (unsigned)intent->vantages_count;
    struct places vantages = {.intent = intent};
    /* one region has nobody to fail over to; who wrote no list may well be alone */
    if (!list || serving(intent) < 2)
        return;
    struct gtm_srcpos pos = {list->key_line, list->key_col};
    for (size_t i = 0; i < count; i++)
        place(&vantages, (long)intent->vantages[i]);
    long region = decisive(&vantages, count);
    if (region >= 0)
        gtm_parse_warn_at(
            p, pos,
            "when the failure domain '%s' is lost, the vantages left are %u of %u, no "
            "majority, so nobody decides what is down: add vantages in other failure "
            "domains (a witness region needs no endpoints)",
            domain_of(intent, (size_t)region), count - crowd(&vantages, (size_t)region), count);
    else if (count % 2 == 0)
        gtm_parse_warn_at(p, pos,
                          "%u vantages: an even number bears the loss of no more of them than one "
                          "less would, and a cut in the middle leaves no majority: add one",
                          count);
    if (intent->quorum == GTM_QUORUM_ALL && count > 1)
        gtm_parse_warn_at(
            p, pos,
            "with 'quorum: all' a lost vantage region stops every verdict 'down', its "
            "own included");
}

/* --- groups --- */

static void check_group(struct gtm_parse *p, const struct gtm_intent *intent,
                        const struct gtm_yaml_node *group)
{
    const struct gtm_yaml_node *mode = gtm_yaml_get(gtm_yaml_get(group, "failover"), "mode");
    const struct gtm_yaml_node *members = gtm_yaml_get(group, "members");
    struct places places = {.intent = intent};
    struct gtm_buf names = {0};
    if (!mode || mode->kind != GTM_YAML_SCALAR || strcmp(mode->text, "auto") != 0)
        return;
    for (size_t i = 0; i < intent->vantages_count; i++)
        place(&places, (long)intent->vantages[i]);
    bool list = members && members->kind == GTM_YAML_LIST;
    for (const struct gtm_yaml_node *m = list ? members->first : NULL; m; m = m->next)
        place(&places,
              gtm_registry_find(&p->registries[GTM_REF_REGION], gtm_parse_text(m, "region", "")));
    unsigned count = domains(&places);
    if (count >= DOMAINS_NEEDED)
        return;
    say_places(&places, &names);
    p->nomem |= names.failed;
    gtm_parse_error(p, mode,
                    "group '%s': failover mode auto needs members and vantages in %d failure "
                    "domains; %s make %u: add a witness region (named in health.vantages, without "
                    "endpoints) in another place, or use mode: approve",
                    gtm_parse_text(group, "name", ""), DOMAINS_NEEDED,
                    names.data ? names.data : "they", count);
    gtm_buf_fini(&names);
}

void gtm_check_placement(struct gtm_parse *p, const struct gtm_intent *intent,
                         const struct gtm_yaml_node *root)
{
    const struct gtm_yaml_node *groups = gtm_yaml_get(root, "groups");
    check_vantages(p, intent, gtm_yaml_get(root, "health"));
    if (!groups || groups->kind != GTM_YAML_LIST)
        return;
    for (const struct gtm_yaml_node *g = groups->first; g && g->index < GTM_LATER_MAX; g = g->next)
        check_group(p, intent, g);
}
