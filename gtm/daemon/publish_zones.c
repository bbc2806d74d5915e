/* SPDX-License-Identifier: Apache-2.0
 *
 * Zones that change alone: a compile that loads only them and takes everything else from the one
 * before, and a publisher that switches to it with all its steering tables; so the change of one
 * zone of a thousand costs about that zone. See publish.h.
 *
 * Happy path: worker: gtm_compile_zones; control thread: gtm_publisher_zones. Failure modes: a zone
 * that is wrong stays as it was, the others are switched; without memory nothing changes.
 */
#include "gtm/base/fs.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/publish_int.h"

#include <stdio.h>
#include <string.h>

/* --- where copies are --- */

char *gtm__zone_path(const struct gtm_compiled *compiled, const struct gtm_zone_conf *conf)
{
    if (conf->file)
        return gtm_strdup(conf->file);
    char file[3 * DNS_NAME_TEXT_MAX + 8];
    size_t n = 0;
    for (const char *c = conf->name; *c && n + 8 < sizeof(file); c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '-' ||
                     *c == '_' || (*c == '.' && n > 0);
        n += (size_t)snprintf(file + n, sizeof(file) - n, plain ? "%c" : "%%%02x",
                              (unsigned char)*c);
    }
    snprintf(file + n, sizeof(file) - n, ".zone");
    return gtm_fs_join(compiled->copies_dir ? compiled->copies_dir : ".", file);
}

char *gtm_compiled_zone_path(const struct gtm_compiled *compiled, size_t zone)
{
    return zone < compiled->zones_count ? gtm__zone_path(compiled, &compiled->intent->zones[zone])
                                        : NULL;
}

bool gtm_compiled_placeholder(const struct gtm_compiled *compiled, size_t zone)
{
    return zone < compiled->zones_count && compiled->zones[zone].placeholder;
}

bool gtm_compiled_includes(const struct gtm_compiled *compiled, size_t zone)
{
    return zone < compiled->zones_count && compiled->zones[zone].includes;
}

bool gtm_compiled_linked(const struct gtm_compiled *compiled)
{
    for (size_t z = 0; z < compiled->zones_count; z++)
        for (size_t n = 0; n < compiled->intent->zones[z].names_count; n++)
            if (compiled->intent->zones[z].names[n].alias)
                return true;
    return false;
}

/* --- compiling --- */

static bool copy_array(void *to, const void *from, size_t bytes)
{
    void *copy = gtm_calloc(1, bytes ? bytes : 1);
    if (copy && bytes)
        memcpy(copy, from, bytes);
    memcpy(to, &copy, sizeof(copy));
    return copy != NULL;
}

static bool copy_zone(struct gtm__zone *to, const struct gtm__zone *from, size_t names)
{
    *to = *from;
    to->zone = dns_zone_ref(from->zone);
    to->tables = to->table_of = NULL;
    to->aliases = NULL;
    return copy_array(&to->aliases, from->aliases, from->slot_count * sizeof(*from->aliases)) &&
           copy_array(&to->tables, from->tables, from->slot_count * sizeof(*from->tables)) &&
           copy_array(&to->table_of, from->table_of, names * sizeof(*from->table_of));
}

/* All but the zones. */
static struct gtm_compiled *copy_rest(const struct gtm_compiled *from)
{
    struct gtm_compiled *c = gtm_calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    size_t pools = from->intent->pools_count;
    atomic_init(&c->refs, 1);
    c->intent = gtm_intent_ref(from->intent);
    c->geography = from->geography;
    c->info = from->info;
    c->info.zones_reused = 0;
    c->info.maps_reused = from->maps_count;
    c->copies_dir = from->copies_dir ? gtm_strdup(from->copies_dir) : NULL;
    bool ok = (c->copies_dir || !from->copies_dir) &&
              copy_array(&c->tables, from->tables, from->tables_count * sizeof(*c->tables)) &&
              copy_array(&c->pool_first, from->pool_first, (pools + 1) * sizeof(*c->pool_first)) &&
              copy_array(&c->pool_tables, from->pool_tables,
                         from->pool_first[pools] * sizeof(*c->pool_tables)) &&
              copy_array(&c->maps, from->maps, from->maps_count * sizeof(*c->maps));
    for (size_t i = 0; c->tables && i < from->tables_count; i++)
        c->tables[i].fixed = NULL; /* only linked ones have any */
    c->zones = ok ? gtm_calloc(from->zones_count + 1, sizeof(*c->zones)) : NULL;
    for (size_t i = 0; c->maps && i < from->maps_count; i++, c->maps_count++)
        atomic_fetch_add_explicit(&c->maps[i]->refs, 1, memory_order_relaxed);
    c->orders = from->orders;
    atomic_fetch_add_explicit(&c->orders->refs, 1, memory_order_relaxed);
    c->latency = gtm__latency_ref(from->latency);
    c->tables_count = c->tables_cap = from->tables_count;
    c->maps_cap = from->maps_count;
    if (ok && c->zones)
        return c;
    gtm_compiled_unref(c);
    return NULL;
}

static void count_zone(struct gtm_compiled *c, const struct gtm__zone *zone, bool plus)
{
    struct dns_zone_info info;
    dns_zone_info(zone->zone, &info);
    c->info.records += plus ? info.records : -info.records;
    c->info.names += plus ? info.dynamics : -info.dynamics;
}

/* Zone z of out is a copy of the old one: loads it anew, or leaves it. */
static bool load_zone(struct gtm_compiled *out, const struct gtm_compiled *previous, size_t z,
                      struct gtm_diags *diags)
{
    struct gtm__zone old = out->zones[z];
    struct gtm_compiled_info info = out->info;
    out->zones[z] = (struct gtm__zone){0};
    bool ok = gtm__zone_compile(out, previous, z, old.table_of, diags);
    info.zones_reused = out->info.zones_reused;
    out->info = info;
    if (!ok) {
        gtm__zone_fini(&out->zones[z]);
        out->zones[z] = old;
        return false;
    }
    out->zones[z].table_of = old.table_of;
    old.table_of = NULL;
    count_zone(out, &old, false);
    count_zone(out, &out->zones[z], true);
    gtm__zone_fini(&old);
    return true;
}

struct gtm_compiled *gtm_compile_zones(const struct gtm_compiled *previous, const size_t *zones,
                                       size_t count, bool *ret_loaded, struct gtm_diags *diags)
{
    struct gtm_compiled *out = copy_rest(previous);
    bool ok = out != NULL;
    for (; ok && out->zones_count < previous->zones_count; out->zones_count++) {
        size_t z = out->zones_count;
        ok = copy_zone(&out->zones[z], &previous->zones[z], out->intent->zones[z].names_count);
        if (!ok)
            gtm__zone_fini(&out->zones[z]);
    }
    if (!ok) {
        gtm_compiled_unref(out);
        gtm_diags_add(diags, GTM_SEV_ERROR, previous->intent->path, 0, 0, "no memory for zones");
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        ret_loaded[i] = zones[i] < out->zones_count && load_zone(out, previous, zones[i], diags);
    return out;
}

/* --- publishing --- */

int gtm_publisher_zones(struct gtm_publisher *pub, struct gtm_compiled *compiled,
                        struct gtm_error *err)
{
    struct gtm__state *s = pub->state;
    if (!s || s->compiled->intent != compiled->intent ||
        s->compiled->tables_count != compiled->tables_count ||
        s->compiled->zones_count != compiled->zones_count ||
        memcmp(s->compiled->tables, compiled->tables,
               compiled->tables_count * sizeof(*compiled->tables)) != 0)
        return gtm_error_set(err, GTM_ESTATE, "the zones belong to another configuration");
    struct gtm__state was = *s;
    s->slots_count = 0;
    for (size_t z = 0; z < compiled->zones_count; z++)
        s->slots_count += compiled->zones[z].slot_count;
    s->slots = gtm_calloc(s->slots_count + 1, sizeof(struct dns_steer *));
    s->slot_tables = gtm_calloc(s->slots_count + 1, sizeof(*s->slot_tables));
    s->view_zones = gtm_calloc(compiled->zones_count + 1, sizeof(*s->view_zones));
    s->compiled = compiled;
    int rc = GTM_ENOMEM;
    if (s->slots && s->slot_tables && s->view_zones) {
        gtm__publisher_lay_out(s, pub->settings, was.view_zones);
        rc = gtm__publisher_view(pub, err);
    } else {
        gtm_error_set(err, GTM_ENOMEM, "no memory for the zones");
    }
    struct gtm__state *gone = rc == GTM_OK ? &was : s;
    gtm_free(gone->slots);
    gtm_free(gone->slot_tables);
    gtm_free(gone->view_zones);
    if (rc == GTM_OK) {
        gtm_compiled_ref(compiled);
        gtm_compiled_unref(was.compiled);
        return rc;
    }
    s->compiled = was.compiled;
    s->slots = was.slots;
    s->slot_tables = was.slot_tables;
    s->view_zones = was.view_zones;
    s->slots_count = was.slots_count;
    return rc;
}

int gtm_publisher_expire(struct gtm_publisher *pub, size_t zone, bool expired,
                         struct gtm_error *err)
{
    struct gtm__state *s = pub->state;
    if (!s || zone >= s->compiled->zones_count)
        return gtm_error_set(err, GTM_ESTATE, "there is no such zone");
    bool was = s->view_zones[zone].expired;
    expired = expired || s->compiled->zones[zone].placeholder;
    if (was == expired)
        return GTM_OK;
    s->view_zones[zone].expired = expired;
    int rc = gtm__publisher_view(pub, err);
    if (rc != GTM_OK)
        s->view_zones[zone].expired = was;
    return rc;
}
