/* SPDX-License-Identifier: Apache-2.0
 *
 * /zones: what is served, with the records as text (rdata by ldns). See deploy/openapi.yaml.
 */
#include "dns/name.h"
#include "dns/rr.h"
#include "dns/zone.h"
#include "gtm/base/map.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/api_handlers.h"
#include "gtm/daemon/api_objects.h"
#include "gtm/daemon/daemon.h"
#include "gtm/model/intent_later.h"

#include <ldns/ldns.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INLINE_NAMES   300
#define LIMIT_FALLBACK 100
#define LIMIT_MAX      10000

static void type_word(uint16_t type, char out[24])
{
    const ldns_rr_descriptor *known = ldns_rr_descript(type);
    if (known && known->_name && ldns_get_rr_type_by_name(known->_name) == (ldns_rr_type)type)
        snprintf(out, 24, "%s", known->_name);
    else
        snprintf(out, 24, "TYPE%u", type);
}

/* --- zones --- */

static const char *group_name(const struct gtm_intent *intent, unsigned index)
{
    const struct gtm_json *group = gtm_json_first(gtm_intent_section(intent, "groups"));
    for (; group && index > 0; index--)
        group = gtm_json_next(group);
    return gtm_json_str(group, "name", NULL);
}

static void add_name(struct gtm_json *list, const struct gtm_intent *intent,
                     const struct gtm_dynamic_name *name)
{
    struct gtm_json *one = gtm_json_append_object(list);
    gtm_json_add_str(one, "name", name->name);
    struct gtm_json *types = gtm_json_add_array(one, "types");
    for (size_t t = 0; t < name->types_count; t++) {
        char word[24];
        type_word(name->types[t], word);
        gtm_json_append_str(types, word);
    }
    gtm_json_add_str(one, "policy", name->has_policy ? intent->policies[name->policy].name : NULL);
    gtm_json_add_str(one, "group", name->has_group ? group_name(intent, name->group) : NULL);
    if (name->has_ttl)
        gtm_json_add_i64(one, "ttl_seconds", name->ttl_s);
    else
        gtm_json_add_null(one, "ttl_seconds");
}

/* What is known of a zone's copy when it was asked for; error is the job's. */
struct copy {
    bool secondary;
    struct gtm_secondary_status status;
    char *error;
};

static void add_copy(struct gtm_json *one, const struct copy *copy)
{
    const struct gtm_secondary_status *s = &copy->status;
    gtm_json_add_str(one, "role", copy->secondary ? "secondary" : "primary");
    gtm_json_add_str(one, "state",
                     !copy->secondary ? "serving"
                     : !s->loaded     ? "waiting"
                     : s->expired     ? "expired"
                                      : "serving");
    if (!copy->secondary)
        return;
    gtm_json_add_bool(one, "transferring", s->transferring);
    gtm_api_add_time(one, "refreshed", s->refreshed_ms);
    gtm_api_add_time(one, "next_refresh", s->next_ms);
    gtm_api_add_time(one, "expires", s->expires_ms);
    gtm_json_add_i64(one, "transfers", (int64_t)s->transfers);
    gtm_json_add_i64(one, "failures", (int64_t)s->failures);
    gtm_json_add_str(one, "last_error", copy->error);
}

static struct gtm_json *zone_json(const struct gtm_intent *intent,
                                  const struct gtm_compiled *compiled, size_t index,
                                  const struct copy *copy, bool with_names)
{
    const struct gtm_zone_conf *conf = &intent->zones[index];
    struct dns_zone *zone = compiled ? gtm_compiled_zone(compiled, index) : NULL;
    struct dns_zone_info info = {0};
    if (zone)
        dns_zone_info(zone, &info);
    struct gtm_json *one = gtm_json_object();
    gtm_json_add_str(one, "name", conf->name);
    gtm_json_add_str(one, "file", conf->file);
    gtm_json_add_i64(one, "serial", info.serial);
    gtm_json_add_i64(one, "names", (int64_t)info.names);
    gtm_json_add_i64(one, "records", (int64_t)info.records);
    gtm_json_add_i64(one, "dynamics", (int64_t)info.dynamics);
    gtm_json_add_i64(one, "bytes", (int64_t)info.bytes);
    add_copy(one, copy);
    if (with_names) {
        struct gtm_json *names = gtm_json_add_array(one, "dynamic_names");
        for (size_t n = 0; n < conf->names_count; n++)
            add_name(names, intent, &conf->names[n]);
    }
    return one;
}

struct zones_job {
    struct gtm_intent *intent;
    struct gtm_compiled *compiled;
    uint64_t revision;
    int zone;            /* -1 = all */
    struct copy *copies; /* by zone */
    /* records */
    bool by_name;
    uint8_t name[DNS_NAME_MAX];
    uint64_t after, limit;
};

static void zones_fini(void *arg)
{
    struct zones_job *job = arg;
    for (size_t z = 0; job->copies && z < job->intent->zones_count; z++)
        gtm_free(job->copies[z].error);
    gtm_free(job->copies);
    gtm_intent_unref(job->intent);
    gtm_compiled_unref(job->compiled);
    gtm_free(job);
}

static struct zones_job *zones_job(struct gtm_api_req *req, int zone)
{
    struct gtmd *d = gtm_api_daemon(req);
    struct zones_job *job = gtm_calloc(1, sizeof(*job));
    if (!job) {
        gtm_api_problem(req, 500, "internal", "out of memory");
        return NULL;
    }
    job->intent = gtm_intent_ref(d->intent);
    job->compiled = d->compiled ? gtm_compiled_ref(d->compiled) : NULL;
    job->revision = gtmd_revision(d);
    job->zone = zone;
    job->copies = gtm_calloc(job->intent->zones_count + 1, sizeof(*job->copies));
    for (size_t z = 0; job->copies && z < job->intent->zones_count; z++) {
        struct copy *copy = &job->copies[z];
        copy->secondary = gtm_secondary_status(d->secondary, z, &copy->status);
        copy->error = copy->secondary && copy->status.error ? gtm_strdup(copy->status.error) : NULL;
    }
    if (!job->copies) {
        zones_fini(job);
        gtm_api_problem(req, 500, "internal", "out of memory");
        return NULL;
    }
    return job;
}

static struct gtm_json *zones_build(void *arg)
{
    struct zones_job *job = arg;
    if (job->zone >= 0)
        return gtm_api_item_root("Zone", job->revision,
                                 zone_json(job->intent, job->compiled, (size_t)job->zone,
                                           &job->copies[job->zone], true));
    struct gtm_json *items = gtm_json_array();
    for (size_t z = 0; z < job->intent->zones_count; z++)
        gtm_json_append(items, zone_json(job->intent, job->compiled, z, &job->copies[z], false));
    return gtm_api_list_root("ZoneList", job->revision, items);
}

/* The zone of the path, with or without a final dot; -1: 404 was answered. */
static int find_zone(struct gtm_api_req *req)
{
    const char *name = gtm_api_path(req, "zone");
    char lower[DNS_NAME_TEXT_MAX];
    size_t n = strlen(name);
    int zone = -1;
    if (n < sizeof(lower)) {
        for (size_t i = 0; i <= n; i++)
            lower[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + 32) : name[i];
        if (n > 1 && lower[n - 1] == '.')
            lower[n - 1] = 0;
        zone = gtm_intent_zone(gtm_api_daemon(req)->intent, lower);
    }
    if (zone < 0)
        gtm_api_problem(req, 404, "notfound", "there is no zone '%.100s'", name);
    return zone;
}

void gtm_api_get_zones(struct gtm_api_req *req)
{
    struct zones_job *job = zones_job(req, -1);
    if (job)
        gtm_api_build(req, job->intent->zones_count > INLINE_NAMES, zones_build, zones_fini, job);
}

void gtm_api_get_zone(struct gtm_api_req *req)
{
    int zone = find_zone(req);
    struct zones_job *job = zone >= 0 ? zones_job(req, zone) : NULL;
    if (job)
        gtm_api_build(req, job->intent->zones[zone].names_count > INLINE_NAMES, zones_build,
                      zones_fini, job);
}

/* --- transfers now --- */

static void answer_asked(struct gtm_api_req *req, size_t zone, const char *kind, int64_t asked)
{
    struct gtm_json *item = gtm_json_object();
    gtm_json_add_str(item, "zone", gtm_api_daemon(req)->intent->zones[zone].name);
    gtm_json_add_i64(item, "asked", asked);
    gtm_api_item(req, 202, kind, item);
}

void gtm_api_post_zone_refresh(struct gtm_api_req *req)
{
    struct gtmd *d = gtm_api_daemon(req);
    bool dry_run = false;
    int zone = find_zone(req);
    if (zone < 0 || !gtm_api_query_dry_run(req, &dry_run) || !gtm_api_if_match(req))
        return;
    const struct gtm_zone_conf *conf = &d->intent->zones[zone];
    if (conf->primaries_count == 0 ||
        (!dry_run && !gtm_secondary_refresh(d->secondary, (size_t)zone)))
        gtm_api_problem(req, 409, "conflict",
                        "zone '%s' has no primaries: it comes from its file (gtmctl reload)",
                        conf->name);
    else
        answer_asked(req, (size_t)zone, "ZoneRefresh", (int64_t)conf->primaries_count);
}

void gtm_api_post_zone_notify(struct gtm_api_req *req)
{
    struct gtmd *d = gtm_api_daemon(req);
    bool dry_run = false;
    int zone = find_zone(req);
    if (zone < 0 || !gtm_api_query_dry_run(req, &dry_run) || !gtm_api_if_match(req))
        return;
    const struct gtm_zone_conf *conf = &d->intent->zones[zone];
    if (conf->secondaries_count == 0)
        gtm_api_problem(req, 409, "conflict", "zone '%s' has no secondaries to tell", conf->name);
    else if (!d->compiled || gtm_compiled_placeholder(d->compiled, (size_t)zone))
        gtm_api_problem(req, 409, "conflict", "the copy of zone '%s' has not come yet", conf->name);
    else if (!dry_run && !gtm_notifier_tell(d->notifier, (size_t)zone))
        gtm_api_problem(req, 503, "busy", "its secondaries cannot be told just now");
    else
        answer_asked(req, (size_t)zone, "ZoneNotify", (int64_t)conf->secondaries_count);
}

/* --- records --- */

struct walk {
    const struct zones_job *job;
    struct gtm_json *items;
    struct gtm_map *names; /* dynamic ones by lower-case text; made when first needed */
    uint64_t at, taken;    /* entries seen, put into items */
    bool more;
    uint8_t apex[DNS_NAME_MAX];
};

/* The rdata as text, new; NULL: out of memory or ldns cannot read it. */
static char *rdata_text(uint16_t type, const uint8_t *rdata, uint16_t rdlen)
{
    size_t len = 11u + rdlen, pos = 0;
    uint8_t *wire = gtm_malloc(len);
    if (!wire)
        return NULL;
    wire[0] = 0; /* the root as owner */
    dns_put16(wire + 1, type);
    dns_put16(wire + 3, DNS_CLASS_IN);
    dns_put32(wire + 5, 0);
    dns_put16(wire + 9, rdlen);
    if (rdlen)
        memcpy(wire + 11, rdata, rdlen);
    ldns_rr *rr = NULL;
    char *line = NULL, *text = NULL;
    if (ldns_wire2rr(&rr, wire, len, &pos, LDNS_SECTION_ANSWER) == LDNS_STATUS_OK)
        line = ldns_rr2str(rr);
    char *p = line;
    for (int tabs = 0; p && tabs < 4; tabs++) { /* owner, TTL, class, type */
        p = strchr(p, '\t');
        p = p ? p + 1 : NULL;
    }
    if (p)
        text = gtm_strndup(p, strcspn(p, "\n"));
    else if (line)
        text = gtm_strdup("");
    ldns_rr_free(rr);
    free(line); /* lint: libc free - ldns allocated it */
    gtm_free(wire);
    return text;
}

static void index_names(struct walk *w)
{
    const struct gtm_zone_conf *conf = &w->job->intent->zones[w->job->zone];
    w->names = gtm_map_new();
    for (size_t n = 0; w->names && n < conf->names_count; n++) {
        uint8_t wire[DNS_NAME_MAX];
        char text[DNS_NAME_TEXT_MAX];
        size_t len = 0;
        const struct gtm_dynamic_name *name = &conf->names[n];
        if (dns_name_parse(name->name, strlen(name->name), w->apex, wire, &len, NULL))
            continue;
        dns_name_lower(wire, wire);
        if (gtm_map_put(w->names, dns_name_text(wire, text), (void *)name, NULL))
            return; /* out of memory: shown without its policy */
    }
}

static int on_record(void *ctx, const uint8_t *owner, uint16_t type, uint32_t ttl,
                     const uint8_t *rdata, uint16_t rdlen, int64_t slot)
{
    struct walk *w = ctx;
    uint64_t at = w->at++;
    if (at < w->job->after || (w->job->by_name && !dns_name_equal(owner, w->job->name)))
        return 0;
    if (w->taken == w->job->limit) {
        w->at = at; /* the next page begins with this one */
        w->more = true;
        return 1;
    }
    w->taken++;
    char name[DNS_NAME_TEXT_MAX], word[24];
    struct gtm_json *one = gtm_json_append_object(w->items);
    gtm_json_add_str(one, "name", dns_name_text(owner, name));
    type_word(type, word);
    gtm_json_add_str(one, "type", word);
    if (slot < 0) {
        char *text = rdata_text(type, rdata, rdlen);
        gtm_json_add_i64(one, "ttl_seconds", ttl);
        gtm_json_add_str(one, "data", text);
        gtm_json_add_null(one, "policy");
        gtm_free(text);
        return 0;
    }
    if (!w->names)
        index_names(w);
    const struct gtm_dynamic_name *dynamic = w->names ? gtm_map_get(w->names, name) : NULL;
    const struct gtm_policy *policy =
        dynamic && dynamic->has_policy ? &w->job->intent->policies[dynamic->policy] : NULL;
    unsigned ttl_s = policy ? policy->ttl_s : 0;
    gtm_json_add_i64(one, "ttl_seconds", dynamic && dynamic->has_ttl ? dynamic->ttl_s : ttl_s);
    gtm_json_add_null(one, "data");
    gtm_json_add_str(one, "policy", policy ? policy->name : NULL);
    return 0;
}

static struct gtm_json *records_build(void *arg)
{
    struct zones_job *job = arg;
    struct dns_zone *zone = gtm_compiled_zone(job->compiled, (size_t)job->zone);
    struct dns_zone_info info;
    dns_zone_info(zone, &info);
    struct walk w = {.job = job, .items = gtm_json_array()};
    dns_name_lower(info.apex, w.apex);
    (void)dns_zone_walk(zone, on_record, &w);
    gtm_map_free(w.names, NULL);
    struct gtm_json *root = gtm_api_list_root("RecordList", job->revision, w.items);
    if (w.more)
        gtm_json_add_i64(root, "next", (int64_t)w.at);
    else
        gtm_json_add_null(root, "next");
    return root;
}

/* The name filter: false: it is none, and 400 was answered. */
static bool read_name(struct gtm_api_req *req, struct zones_job *job)
{
    const char *text = gtm_api_query(req, "name");
    if (!text)
        return true;
    struct dns_zone_info info;
    dns_zone_info(gtm_compiled_zone(job->compiled, (size_t)job->zone), &info);
    struct gtm_error err = {0};
    size_t len = 0;
    job->by_name = true;
    if (!dns_name_parse(text, strlen(text), info.apex, job->name, &len, &err))
        return true;
    gtm_api_problem(req, 400, "badrequest", "name: %s", err.text);
    return false;
}

void gtm_api_get_records(struct gtm_api_req *req)
{
    uint64_t limit = 0, after = 0;
    if (!gtm_api_query_u64(req, "limit", LIMIT_FALLBACK, 1, LIMIT_MAX, &limit) ||
        !gtm_api_query_u64(req, "after", 0, 0, INT64_MAX, &after))
        return;
    int zone = find_zone(req);
    struct zones_job *job = zone >= 0 ? zones_job(req, zone) : NULL;
    if (!job)
        return;
    job->limit = limit;
    job->after = after;
    if (!job->compiled) {
        gtm_api_problem(req, 503, "starting", "the zones are being loaded");
        zones_fini(job);
        return;
    }
    if (!read_name(req, job)) {
        zones_fini(job);
        return;
    }
    struct dns_zone_info info;
    dns_zone_info(gtm_compiled_zone(job->compiled, (size_t)zone), &info);
    gtm_api_build(req, info.records + info.dynamics > INLINE_NAMES, records_build, zones_fini, job);
}
