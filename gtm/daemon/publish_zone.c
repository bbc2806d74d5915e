/* SPDX-License-Identifier: Apache-2.0
 *
 * Zones of a compile: reads the file once, recognises what has not changed since the previous
 * compile by its text and its dynamic names, and loads the rest. Worker thread.
 */
#include "dns/zonefile.h"
#include "gtm/base/fs.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/publish_int.h"

#include <string.h>
#include <strings.h>

/* What one load needs and gives back. */
struct load {
    const struct gtm_zone_conf *conf;
    struct gtm__zone *zone;
    char *path; /* of the text */
    struct dns_zone_dynamic *dynamics;
    size_t dynamics_count;
    char *text;
    size_t text_len;
};

void gtm__zone_fini(struct gtm__zone *zone)
{
    dns_zone_unref(zone->zone);
    gtm_free(zone->tables);
    gtm_free(zone->aliases);
    gtm_free(zone->table_of);
    *zone = (struct gtm__zone){0};
}

static void load_fini(struct load *l)
{
    gtm_free(l->dynamics);
    gtm_free(l->text);
    gtm_free(l->path);
}

static void add_dynamic(struct load *l, const struct gtm_compiled *out,
                        const struct gtm_dynamic_name *name, const uint16_t *types, size_t count,
                        uint32_t slot)
{
    l->dynamics[l->dynamics_count++] = (struct dns_zone_dynamic){
        .name = name->name,
        .types = types,
        .types_count = count,
        .slot = slot,
        .file = out->intent->path,
        .line = name->pos.line,
        .col = name->pos.col,
    };
}

/* An alias has a slot for each type, since its target may have one from a policy and the other from
 * its zone file; which table that is turns out once all zones are loaded. */
static int add_alias(struct load *l, const struct gtm_compiled *out,
                     const struct gtm_dynamic_name *name, struct gtm__intern *seen)
{
    static const uint16_t both[] = {GTM_TYPE_A, GTM_TYPE_AAAA};
    const uint16_t *types = name->types_count > 0 ? name->types : both;
    size_t count = name->types_count > 0 ? name->types_count : 2;
    struct gtm_buf key = {0};
    int rc = GTM_OK;
    for (size_t i = 0; rc == GTM_OK && i < count; i++) {
        uint32_t slot = 0, head[] = {GTM__TABLE_LATER, types[i], name->has_ttl, name->ttl_s};
        if (types[i] != GTM_TYPE_A && types[i] != GTM_TYPE_AAAA)
            continue; /* the model refuses it */
        gtm_buf_clear(&key);
        gtm_buf_add(&key, head, sizeof(head));
        gtm_buf_adds(&key, name->alias);
        rc = key.failed ? GTM_ENOMEM : gtm__intern_add(seen, key.data, key.len, &slot, NULL);
        if (rc != GTM_OK)
            break;
        l->zone->tables[slot] = GTM__TABLE_LATER;
        l->zone->aliases[slot] = (struct gtm__alias){.name = name, .type = types[i]};
        add_dynamic(l, out, name, &types[i], 1, slot);
    }
    gtm_buf_fini(&key);
    return rc;
}

/* Gives each distinct table of the zone's names a slot, in the order of first use. */
static int assign_slots(struct load *l, const struct gtm_compiled *out, const uint32_t *table_of)
{
    struct gtm__intern seen = {0};
    size_t most = l->conf->names_count;
    uint32_t slot = 0;
    int rc = GTM_OK;
    for (size_t n = 0; n < l->conf->names_count; n++)
        most += l->conf->names[n].alias ? 1 : 0;
    l->dynamics = gtm_calloc(most, sizeof(*l->dynamics));
    l->zone->tables = gtm_calloc(most, sizeof(*l->zone->tables));
    l->zone->aliases = gtm_calloc(most, sizeof(*l->zone->aliases));
    if (!l->dynamics || !l->zone->tables || !l->zone->aliases)
        rc = GTM_ENOMEM;
    for (size_t n = 0; rc == GTM_OK && n < l->conf->names_count; n++) {
        const struct gtm_dynamic_name *name = &l->conf->names[n];
        if (name->alias) {
            rc = add_alias(l, out, name, &seen);
            continue;
        }
        rc = gtm__intern_add(&seen, &table_of[n], sizeof(table_of[n]), &slot, NULL);
        if (rc != GTM_OK)
            break;
        l->zone->tables[slot] = table_of[n];
        add_dynamic(l, out, name, name->types, name->types_count, slot);
    }
    l->zone->slot_count = seen.count;
    gtm__intern_fini(&seen);
    return rc;
}

static void hash_names(struct load *l)
{
    for (unsigned lane = 0; lane < 2; lane++) {
        uint64_t h = gtm__hash_bytes(lane + 1, l->conf->name, strlen(l->conf->name));
        h = gtm__hash_bytes(h, l->path, strlen(l->path));
        for (size_t n = 0; n < l->dynamics_count; n++) {
            const struct dns_zone_dynamic *d = &l->dynamics[n];
            h = gtm__hash_bytes(h, d->name, strlen(d->name));
            h = gtm__hash_bytes(h, d->types, d->types_count * sizeof(*d->types));
            h = gtm__hash_word(h, d->slot);
        }
        l->zone->names_hash[lane] = h;
    }
}

static void hash_text(struct load *l)
{
    for (unsigned lane = 0; lane < 2; lane++)
        l->zone->text_hash[lane] = gtm__hash_bytes(lane + 1, l->text, l->text_len);
    const char *at = l->text, *end = l->text + l->text_len;
    while ((at = memchr(at, '$', (size_t)(end - at))) != NULL) {
        if ((size_t)(end - at) >= 8 && strncasecmp(at, "$INCLUDE", 8) == 0)
            l->zone->includes = true;
        at++;
    }
}

/* The previous compile's zone of that name, if it is what loading would give. */
static struct dns_zone *reuse(const struct load *l, const struct gtm_compiled *previous, size_t i)
{
    const struct gtm__zone *now = l->zone;
    if (!previous || now->includes)
        return NULL;
    int at = (int)i; /* most often nothing moved */
    if (i >= previous->zones_count || strcmp(previous->intent->zones[i].name, l->conf->name) != 0)
        at = gtm_intent_zone(previous->intent, l->conf->name);
    if (at < 0 || (size_t)at >= previous->zones_count)
        return NULL;
    const struct gtm__zone *was = &previous->zones[at];
    if (was->includes || memcmp(was->text_hash, now->text_hash, sizeof(now->text_hash)) != 0 ||
        memcmp(was->names_hash, now->names_hash, sizeof(now->names_hash)) != 0)
        return NULL;
    return dns_zone_ref(was->zone);
}

/* A zone that is to be transferred and was not yet gets a text that loads; it answers SERVFAIL. */
static int read_text(struct load *l, struct gtm_error *err)
{
    static const char nothing[] = "@ 0 SOA . . 0 3600 600 86400 0\n@ 0 NS .\n";
    int rc = gtm_fs_read(l->path, DNS_ZONEFILE_MAX_BYTES, &l->text, &l->text_len, err);
    if (rc != GTM_ENOTFOUND || l->conf->file)
        return rc;
    l->zone->placeholder = true;
    l->text = gtm_strdup(nothing);
    l->text_len = sizeof(nothing) - 1;
    return l->text ? GTM_OK : gtm_error_set(err, GTM_ENOMEM, "out of memory");
}

bool gtm__zone_compile(struct gtm_compiled *out, const struct gtm_compiled *previous, size_t i,
                       const uint32_t *table_of, struct gtm_diags *diags)
{
    const struct gtm_zone_conf *conf = &out->intent->zones[i];
    struct load l = {.conf = conf, .zone = &out->zones[i], .path = gtm__zone_path(out, conf)};
    struct gtm_error err = {0};
    if (!l.path || assign_slots(&l, out, table_of) != GTM_OK) {
        gtm_diags_add(diags, GTM_SEV_ERROR, out->intent->path, 0, 0,
                      "no memory for the dynamic names of zone %s", conf->name);
        load_fini(&l);
        return false;
    }
    if (read_text(&l, &err) != GTM_OK) {
        gtm_diags_add(diags, GTM_SEV_ERROR, out->intent->path, conf->pos.line, conf->pos.col,
                      "zone %s: %s: %s", conf->name, l.path, err.text);
        load_fini(&l);
        return false;
    }
    hash_names(&l);
    hash_text(&l);
    l.zone->zone = reuse(&l, previous, i);
    if (l.zone->zone) {
        out->info.zones_reused++;
    } else {
        struct dns_zone_spec spec = {.origin = conf->name,
                                     .path = l.path,
                                     .dynamics = l.dynamics,
                                     .dynamics_count = l.dynamics_count,
                                     .slot_count = (uint32_t)l.zone->slot_count};
        l.zone->zone = dns_zone_load_text(&spec, l.text, l.text_len, diags);
    }
    if (l.zone->zone) {
        struct dns_zone_info info;
        dns_zone_info(l.zone->zone, &info);
        out->info.records += info.records;
        out->info.names += info.dynamics;
    }
    load_fini(&l);
    return l.zone->zone != NULL;
}
