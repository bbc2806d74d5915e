/* SPDX-License-Identifier: Apache-2.0
 *
 * Aliases: names whose addresses are those of another name served here, also at a zone's top, where
 * no CNAME may stand (elsewhere called ALIAS or ANAME). Worked out at each compile, when all zones
 * are loaded, so that an alias follows its target whichever zone changed. Worker thread.
 *
 * Happy path: from the target on through CNAMEs and other aliases, across our zones, until a
 * dynamic name (its table is taken, with another TTL when the alias has one) or records of a zone
 * file (a table of their own, the same for everybody). Failure modes, each an error at the alias:
 * the target is in no zone of ours, is missing, delegated, below a DNAME, a dynamic CNAME, without
 * addresses, or leads back to itself. A target that is missing in a zone which is transferred from
 * elsewhere is a warning: the alias answers SERVFAIL until a transfer brings it.
 */
#include "dns/name.h"
#include "dns/rr.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/publish_int.h"

#include <stdio.h>
#include <string.h>

#define HOPS_MAX  16
#define WHY_BYTES (DNS_NAME_TEXT_MAX + 160)

/* One slot of an alias on its way to a table. */
struct walk {
    struct gtm__work *work;
    const struct gtm__alias *alias;
    uint8_t name[DNS_NAME_MAX]; /* where it has come to; wire */
    uint32_t ttl_s;             /* the least on the way */
    uint8_t seen[HOPS_MAX][DNS_NAME_MAX];
    unsigned hops;
    int zone; /* of the name */
    struct dns_zone_found found;
    char why[WHY_BYTES]; /* of a failure */
    bool later;          /* which a transfer may mend */
};

/* Says why the walk ends; false. */
#define FAIL(w, ...) (snprintf((w)->why, sizeof((w)->why), __VA_ARGS__), false)

static const char *text_of(const uint8_t *name, char out[DNS_NAME_TEXT_MAX])
{
    size_t len = strlen(dns_name_text(name, out));
    if (len > 1)
        out[len - 1] = '\0';
    return out;
}

/* The deepest zone of ours that holds the name, or -1. */
static int zone_of(const struct gtm_compiled *c, const uint8_t *name)
{
    char text[DNS_NAME_TEXT_MAX];
    for (const uint8_t *at = name; *at != 0; at += *at + 1u) {
        int zone = gtm_intent_zone(c->intent, text_of(at, text));
        if (zone >= 0)
            return zone;
    }
    return -1;
}

/* The name that an alias of zone z points to. */
static bool target_of(struct walk *w, int z, const struct gtm_dynamic_name *name)
{
    struct dns_zone_info info;
    struct gtm_error err = {0};
    uint8_t target[DNS_NAME_MAX];
    size_t len = 0;
    dns_zone_info(w->work->out->zones[z].zone, &info);
    if (dns_name_parse(name->alias, strlen(name->alias), info.apex, target, &len, &err) != GTM_OK)
        return FAIL(w, "%s", err.text);
    dns_name_lower(target, w->name);
    return true;
}

static bool no_loop(struct walk *w)
{
    char text[DNS_NAME_TEXT_MAX];
    for (unsigned i = 0; i < w->hops; i++)
        if (dns_name_equal(w->seen[i], w->name))
            return FAIL(w, "%s leads back to itself", text_of(w->name, text));
    if (w->hops == HOPS_MAX)
        return FAIL(w, "more than %d names lead from one to the next", HOPS_MAX);
    memcpy(w->seen[w->hops++], w->name, sizeof(w->name));
    return true;
}

/* A name without a final dot belongs to the alias' zone: said when that was most likely not meant.
 */
static const char *hint(const struct walk *w, char out[WHY_BYTES])
{
    static const uint8_t root[1] = {0};
    const char *alias = w->alias->name->alias;
    struct gtm_error err = {0};
    struct dns_zone_found found;
    uint8_t name[DNS_NAME_MAX];
    size_t len = strlen(alias), n = 0;
    out[0] = '\0';
    if (w->hops > 1 || len == 0 || alias[len - 1] == '.' ||
        dns_name_parse(alias, len, root, name, &n, &err) != GTM_OK)
        return out;
    int zone = zone_of(w->work->out, name);
    if (zone < 0)
        return out;
    dns_zone_look(w->work->out->zones[zone].zone, name, w->alias->type, &found);
    if (found.what != DNS_ZONE_MISSING)
        snprintf(out, WHY_BYTES, "; with a final dot, '%s.', it would be the one in zone %s", alias,
                 w->work->out->intent->zones[zone].name);
    return out;
}

static bool missing(struct walk *w)
{
    char text[DNS_NAME_TEXT_MAX], more[WHY_BYTES];
    const struct gtm_zone_conf *conf = &w->work->out->intent->zones[w->zone];
    w->later = conf->primaries_count > 0;
    return FAIL(w, "there is no %s in zone %s%s", text_of(w->name, text), conf->name,
                hint(w, more));
}

/* The name has none of the type. Fine as long as it has the other one. */
static bool has_other_family(struct walk *w)
{
    uint16_t other = w->alias->type == DNS_TYPE_A ? DNS_TYPE_AAAA : DNS_TYPE_A;
    struct dns_zone_found found;
    char text[DNS_NAME_TEXT_MAX];
    dns_zone_look(w->work->out->zones[w->zone].zone, w->name, other, &found);
    if (found.what == DNS_ZONE_RECORDS || found.what == DNS_ZONE_DYNAMIC)
        return true;
    w->later = w->work->out->intent->zones[w->zone].primaries_count > 0;
    return FAIL(w, "%s has neither A nor AAAA", text_of(w->name, text));
}

static void least_ttl(struct walk *w, uint32_t ttl_s)
{
    w->ttl_s = ttl_s < w->ttl_s ? ttl_s : w->ttl_s;
}

/* One name. True: *ret_done when the walk has come to its end, in w->found. */
static bool step(struct walk *w, bool *ret_done)
{
    const struct gtm_compiled *c = w->work->out;
    char text[DNS_NAME_TEXT_MAX];
    *ret_done = false;
    if (!no_loop(w))
        return false;
    w->zone = zone_of(c, w->name);
    if (w->zone < 0)
        return FAIL(w, "%s is in no zone served here", text_of(w->name, text));
    const struct gtm__zone *zone = &c->zones[w->zone];
    dns_zone_look(zone->zone, w->name, w->alias->type, &w->found);
    switch (w->found.what) {
    case DNS_ZONE_CNAME:
        least_ttl(w, w->found.ttl_s);
        dns_name_lower(w->found.target, w->name);
        return true;
    case DNS_ZONE_DYNAMIC:
        if (zone->aliases[w->found.slot].name) {
            const struct gtm_dynamic_name *next = zone->aliases[w->found.slot].name;
            if (next->has_ttl)
                least_ttl(w, next->ttl_s);
            return target_of(w, w->zone, next);
        }
        *ret_done = true;
        return true;
    case DNS_ZONE_RECORDS:
        least_ttl(w, w->found.ttl_s);
        *ret_done = true;
        return true;
    case DNS_ZONE_NODATA:
        *ret_done = true;
        return has_other_family(w);
    case DNS_ZONE_DYNAMIC_CNAME:
        return FAIL(w, "%s is a dynamic CNAME, which an alias cannot follow",
                    text_of(w->name, text));
    case DNS_ZONE_DNAME:
        return FAIL(w, "%s lies below a DNAME, which an alias cannot follow",
                    text_of(w->name, text));
    case DNS_ZONE_DELEGATED:
        return FAIL(w, "%s is delegated to other name servers", text_of(w->name, text));
    default:
        return missing(w);
    }
}

/* ---- tables ---- */

static int fixed_table(struct walk *w, const char *why, uint32_t *ret_table)
{
    uint16_t type = w->alias->type;
    bool records = !why && w->found.what == DNS_ZONE_RECORDS;
    size_t count = records ? dns_zone_addresses(&w->found, NULL, 0) : 0;
    size_t bytes = gtm__fixed_bytes(type, count);
    struct gtm__table table = {.of = GTM__TABLE_FIXED,
                               .kinds = 1u << dns_kind_of(type),
                               .ttl_s = w->ttl_s == UINT32_MAX ? 0 : w->ttl_s};
    if (count > DNS_STEER_RECORDS_MAX) {
        (void)FAIL(w, "%zu addresses, an alias can have %d", count, DNS_STEER_RECORDS_MAX);
        return GTM_ELIMIT;
    }
    table.fixed = gtm_calloc(1, sizeof(*table.fixed) + bytes);
    if (!table.fixed)
        return GTM_ENOMEM;
    table.fixed->type = type;
    table.fixed->count = (uint16_t)count;
    if (why)
        snprintf(table.fixed->why, sizeof(table.fixed->why), "%s", why);
    if (count > 0)
        dns_zone_addresses(&w->found, table.fixed->rdata, bytes);
    return gtm__table_add(w->work, &table, ret_table);
}

/* That of the dynamic name, or one that differs in the TTL only. */
static int dynamic_table(struct walk *w, uint32_t *ret_table)
{
    const struct gtm_compiled *c = w->work->out;
    uint32_t number = c->zones[w->zone].tables[w->found.slot];
    struct gtm__table table = c->tables[number];
    const struct gtm_dynamic_name *name = w->alias->name;
    if (name->has_ttl)
        table.ttl_s = name->ttl_s;
    else
        table.ttl_s = w->ttl_s < table.ttl_s ? w->ttl_s : table.ttl_s;
    *ret_table = number;
    if (table.ttl_s == c->tables[number].ttl_s)
        return GTM_OK;
    table.kinds = GTM__KINDS_ADDRESS;
    table.service = NULL;
    return gtm__table_add(w->work, &table, ret_table);
}

/* GTM_EINVAL: w->why says what is wrong. */
static int resolve(struct walk *w, int zone, uint32_t *ret_table)
{
    bool done = false;
    w->ttl_s = UINT32_MAX;
    if (!target_of(w, zone, w->alias->name))
        return GTM_EINVAL;
    while (!done)
        if (!step(w, &done))
            return w->later
                       ? fixed_table(w, "the alias' target has not been transferred yet", ret_table)
                       : GTM_EINVAL;
    if (w->found.what == DNS_ZONE_DYNAMIC)
        return dynamic_table(w, ret_table);
    if (w->alias->name->has_ttl)
        w->ttl_s = w->alias->name->ttl_s;
    return fixed_table(w, NULL, ret_table);
}

static bool resolve_zone(struct gtm__work *work, size_t z, struct walk *w)
{
    struct gtm__zone *zone = &work->out->zones[z];
    const struct gtm_dynamic_name *told = NULL;
    bool fine = true;
    for (size_t slot = 0; slot < zone->slot_count; slot++) {
        const struct gtm_dynamic_name *name = zone->aliases[slot].name;
        if (!name)
            continue;
        w->alias = &zone->aliases[slot];
        w->hops = 0;
        w->later = false;
        int rc = resolve(w, (int)z, &zone->tables[slot]);
        if (rc == GTM_ENOMEM) {
            gtm_diags_add(work->diags, GTM_SEV_ERROR, work->out->intent->path, 0, 0,
                          "no memory for aliases");
            return false;
        }
        fine &= rc == GTM_OK;
        if ((rc != GTM_OK || w->later) && told != name) { /* not for the other family again */
            told = name;
            gtm_diags_add(work->diags, rc != GTM_OK ? GTM_SEV_ERROR : GTM_SEV_WARNING,
                          work->out->intent->path, name->pos.line, name->pos.col,
                          "alias '%s' to '%s': %s", name->name, name->alias, w->why);
        }
    }
    return fine;
}

bool gtm__aliases_resolve(struct gtm__work *work)
{
    struct walk *w = gtm_calloc(1, sizeof(*w));
    bool fine = w != NULL;
    if (!w)
        gtm_diags_add(work->diags, GTM_SEV_ERROR, work->out->intent->path, 0, 0,
                      "no memory for aliases");
    else
        w->work = work;
    for (size_t z = 0; w && z < work->out->zones_count; z++)
        fine &= resolve_zone(work, z, w);
    gtm_free(w);
    return fine;
}
