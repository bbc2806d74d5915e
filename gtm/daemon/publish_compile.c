/* SPDX-License-Identifier: Apache-2.0
 *
 * Compiling: what of an intent does not depend on health. Steering tables to be kept, class maps,
 * zones, and which table hangs on which pool. Worker thread; the result is immutable.
 */
#include "gtm/base/mem.h"
#include "gtm/daemon/publish_int.h"

#include <string.h>

#define GROUP_TTL_S 5 /* of a group's name that says nothing else */

static bool policy_fine(struct gtm__work *w, unsigned policy)
{
    const struct gtm_intent *intent = w->out->intent;
    struct gtm_error err = {0};
    if (w->checked[policy] == 0) {
        w->checked[policy] = policy_check(intent, policy, &err) == GTM_OK ? 1 : 2;
        if (w->checked[policy] == 2)
            gtm_diags_add(w->diags, GTM_SEV_ERROR, intent->path, intent->policies[policy].pos.line,
                          intent->policies[policy].pos.col, "%s", err.text);
    }
    return w->checked[policy] == 1;
}

static void key_text(struct gtm_buf *key, const char *text)
{
    gtm_buf_add(key, text, strlen(text) + 1);
}

/* All that makes two names share a table, as bytes. */
static void table_key(const struct gtm__table *t, struct gtm_buf *key)
{
    uint32_t head[] = {t->of, t->index, t->ttl_s, t->kinds, t->service != NULL};
    gtm_buf_clear(key);
    gtm_buf_add(key, head, sizeof(head));
    if (t->service) {
        uint32_t service[] = {t->service->service_port, t->service->service_priority};
        gtm_buf_add(key, service, sizeof(service));
        for (size_t i = 0; i < t->service->alpn_count; i++)
            key_text(key, t->service->alpn[i]);
    }
    if (t->fixed) {
        uint32_t fixed[] = {t->fixed->type, t->fixed->count};
        gtm_buf_add(key, fixed, sizeof(fixed));
        key_text(key, t->fixed->why);
        gtm_buf_add(key, t->fixed->rdata, gtm__fixed_bytes(t->fixed->type, t->fixed->count));
    }
}

int gtm__table_add(struct gtm__work *w, struct gtm__table *table, uint32_t *ret_number)
{
    bool fresh = false;
    void *tables = w->out->tables;
    int rc =
        gtm_grow(&tables, &w->out->tables_cap, w->out->tables_count + 1, sizeof(*w->out->tables));
    w->out->tables = tables;
    table_key(table, &w->key);
    if (rc == GTM_OK && w->key.failed)
        rc = GTM_ENOMEM;
    if (rc == GTM_OK)
        rc = gtm__intern_add(&w->tables, w->key.data, w->key.len, ret_number, &fresh);
    if (rc == GTM_OK && fresh)
        w->out->tables[w->out->tables_count++] = *table;
    else
        gtm_free(table->fixed);
    table->fixed = NULL;
    return rc;
}

static uint32_t kinds_of(const struct gtm_dynamic_name *name)
{
    uint32_t kinds = 0;
    for (size_t i = 0; i < name->types_count; i++) {
        int kind = dns_kind_of(name->types[i]);
        if (kind >= 0)
            kinds |= 1u << kind;
    }
    return (kinds & GTM__KINDS_ADDRESS) != 0 ? kinds | GTM__KINDS_ADDRESS : kinds;
}

static int add_table(struct gtm__work *w, const struct gtm_dynamic_name *name, uint32_t *ret_table)
{
    struct gtm__table table = {.of = name->has_policy ? GTM__TABLE_POLICY : GTM__TABLE_GROUP,
                               .index = name->has_policy ? name->policy : name->group,
                               .kinds = kinds_of(name)};
    *ret_table = GTM__TABLE_LATER;
    if (name->alias)
        return GTM_OK;
    if (name->has_policy && !policy_fine(w, name->policy))
        return GTM_EINVAL;
    table.ttl_s = name->has_ttl      ? name->ttl_s
                  : name->has_policy ? w->out->intent->policies[name->policy].ttl_s
                                     : GROUP_TTL_S;
    if ((table.kinds & ~(GTM__KINDS_ADDRESS | 1u << DNS_KIND_CNAME)) != 0)
        table.service = name;
    return gtm__table_add(w, &table, ret_table);
}

/* False when anything is wrong; all policies are still checked. */
static bool collect_tables(struct gtm__work *w)
{
    const struct gtm_intent *intent = w->out->intent;
    bool fine = true;
    w->table_of = gtm_calloc(intent->zones_count, sizeof(*w->table_of));
    w->checked = gtm_calloc(intent->policies_count, 1);
    if (!w->table_of || !w->checked)
        goto nomem;
    for (size_t z = 0; z < intent->zones_count; z++) {
        const struct gtm_zone_conf *zone = &intent->zones[z];
        w->table_of[z] = gtm_calloc(zone->names_count, sizeof(**w->table_of));
        if (!w->table_of[z])
            goto nomem;
        for (size_t n = 0; n < zone->names_count; n++) {
            int rc = add_table(w, &zone->names[n], &w->table_of[z][n]);
            if (rc == GTM_ENOMEM)
                goto nomem;
            fine &= rc == GTM_OK;
        }
    }
    return fine;
nomem:
    w->nomem = true;
    gtm_diags_add(w->diags, GTM_SEV_ERROR, intent->path, 0, 0, "no memory for steering tables");
    return false;
}

static bool collect_maps(struct gtm__work *w, const struct dns_geodb *geodb,
                         const struct gtm_compiled *previous)
{
    struct gtm_compiled *out = w->out;
    struct gtm__map_builder b = {.geodb = geodb, .previous = previous, .out = out};
    bool fine = true;
    for (size_t t = 0; fine && t < out->tables_count; t++) {
        struct gtm__table *table = &out->tables[t];
        struct gtm_error err = {0};
        bool policy = table->of == GTM__TABLE_POLICY;
        const struct gtm_policy *p = policy ? &out->intent->policies[table->index] : NULL;
        int rc = policy ? gtm__map_for(&b, table->index, &table->map, &err)
                        : gtm__map_trivial(&b, &table->map, &err);
        if (rc == GTM_OK)
            continue;
        fine = false;
        gtm_diags_add(w->diags, GTM_SEV_ERROR, out->intent->path, p ? p->pos.line : 0,
                      p ? p->pos.col : 0, "policy %s: %s", p ? p->name : "of a group or alias",
                      err.text);
    }
    gtm__intern_fini(&b.keys);
    return fine;
}

static bool make_orders(struct gtm__work *w)
{
    struct gtm__orders *o = gtm_calloc(1, sizeof(*o));
    if (o) {
        atomic_init(&o->refs, 1);
        o->orders = policy_orders_new(w->out->intent);
    }
    w->out->orders = o;
    if (o && o->orders)
        return true;
    gtm_diags_add(w->diags, GTM_SEV_ERROR, w->out->intent->path, 0, 0,
                  "no memory for sticky policies");
    return false;
}

static void orders_unref(struct gtm__orders *o)
{
    if (!o || atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) != 1)
        return;
    policy_orders_free(o->orders);
    gtm_free(o);
}

/* ---- which tables hang on a pool ---- */

struct pool_index {
    struct gtm_compiled *out;
    uint32_t *stamp; /* by pool: the table that was counted last, + 1 */
    uint32_t *fill;  /* by pool: where the next goes; NULL while counting */
    uint32_t table;
};

static void index_one(void *ctx, unsigned pool)
{
    struct pool_index *ix = ctx;
    if (ix->stamp[pool] == ix->table + 1)
        return;
    ix->stamp[pool] = ix->table + 1;
    if (ix->fill)
        ix->out->pool_tables[ix->fill[pool]++] = ix->table;
    else
        ix->out->pool_first[pool + 1]++;
}

static void index_all(struct pool_index *ix)
{
    memset(ix->stamp, 0, ix->out->intent->pools_count * sizeof(*ix->stamp));
    for (ix->table = 0; ix->table < ix->out->tables_count; ix->table++)
        if (ix->out->tables[ix->table].of == GTM__TABLE_POLICY)
            policy_pools(ix->out->intent, ix->out->tables[ix->table].index, index_one, ix);
}

static bool collect_pools(struct gtm__work *w)
{
    struct gtm_compiled *out = w->out;
    size_t pools = out->intent->pools_count;
    struct pool_index ix = {.out = out};
    uint32_t *fill = gtm_calloc(pools, sizeof(*fill));
    ix.stamp = gtm_calloc(pools, sizeof(*ix.stamp));
    out->pool_first = gtm_calloc(pools + 1, sizeof(*out->pool_first));
    if (fill && ix.stamp && out->pool_first) {
        index_all(&ix);
        for (size_t p = 0; p < pools; p++) {
            out->pool_first[p + 1] += out->pool_first[p];
            fill[p] = out->pool_first[p];
        }
        out->pool_tables = gtm_calloc(out->pool_first[pools], sizeof(*out->pool_tables));
    }
    bool fine = fill && ix.stamp && out->pool_tables;
    if (fine) {
        ix.fill = fill;
        index_all(&ix);
    } else {
        gtm_diags_add(w->diags, GTM_SEV_ERROR, out->intent->path, 0, 0, "no memory for pools");
    }
    gtm_free(fill);
    gtm_free(ix.stamp);
    return fine;
}

/* All zones are tried, so that the errors of all are reported. */
static bool collect_zones(struct gtm__work *w, const struct gtm_compiled *previous)
{
    struct gtm_compiled *out = w->out;
    bool fine = true;
    out->zones = gtm_calloc(out->intent->zones_count, sizeof(*out->zones));
    if (!out->zones) {
        gtm_diags_add(w->diags, GTM_SEV_ERROR, out->intent->path, 0, 0, "no memory for zones");
        return false;
    }
    out->zones_count = out->intent->zones_count;
    for (size_t z = 0; z < out->zones_count; z++)
        fine &= gtm__zone_compile(out, previous, z, w->table_of[z], w->diags);
    return fine;
}

static struct gtm_compiled *compiled_new(const struct gtm_intent *intent,
                                         const struct dns_geodb *geodb)
{
    struct gtm_compiled *c = gtm_calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    atomic_init(&c->refs, 1);
    c->intent = gtm_intent_ref(intent);
    c->geography = gtm__geography(geodb);
    c->info.has_geography = geodb != NULL;
    return c;
}

/* Each zone keeps the tables of its names, to be loaded alone when its file changes. */
static void keep_table_of(struct gtm__work *w)
{
    for (size_t z = 0; w->table_of && z < w->out->intent->zones_count; z++) {
        if (z < w->out->zones_count)
            w->out->zones[z].table_of = w->table_of[z];
        else
            gtm_free(w->table_of[z]);
    }
    gtm_free(w->table_of);
    w->table_of = NULL;
}

struct gtm_compiled *gtm_compile(const struct gtm_intent *intent, const struct dns_geodb *geodb,
                                 const struct gtm_compiled *previous, struct gtm_diags *diags)
{
    return gtm_compile_in(intent, geodb, previous, NULL, diags);
}

struct gtm_compiled *gtm_compile_in(const struct gtm_intent *intent, const struct dns_geodb *geodb,
                                    const struct gtm_compiled *previous, const char *copies_dir,
                                    struct gtm_diags *diags)
{
    struct gtm__work w = {.out = compiled_new(intent, geodb), .diags = diags};
    if (w.out && copies_dir && !(w.out->copies_dir = gtm_strdup(copies_dir))) {
        gtm_compiled_unref(w.out);
        w.out = NULL;
    }
    if (!w.out) {
        gtm_diags_add(diags, GTM_SEV_ERROR, intent->path, 0, 0, "no memory for compiling");
        return NULL;
    }
    bool fine = collect_tables(&w);
    bool zones_fine = !w.nomem && collect_zones(&w, previous);
    fine = fine && zones_fine && gtm__aliases_resolve(&w) && make_orders(&w) &&
           gtm__latency_load(w.out, diags) && collect_maps(&w, geodb, previous) &&
           collect_pools(&w);
    keep_table_of(&w);
    gtm_free(w.checked);
    gtm__intern_fini(&w.tables);
    gtm_buf_fini(&w.key);
    if (!fine) {
        gtm_compiled_unref(w.out);
        return NULL;
    }
    w.out->info.zones = w.out->zones_count;
    w.out->info.tables = w.out->tables_count;
    w.out->info.maps = w.out->maps_count;
    return w.out;
}

struct gtm_compiled *gtm_compiled_ref(struct gtm_compiled *compiled)
{
    atomic_fetch_add_explicit(&compiled->refs, 1, memory_order_relaxed);
    return compiled;
}

void gtm_compiled_unref(struct gtm_compiled *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < c->zones_count; i++)
        gtm__zone_fini(&c->zones[i]);
    for (size_t i = 0; i < c->maps_count; i++)
        gtm__map_unref(c->maps[i]);
    gtm_free(c->zones);
    gtm_free(c->maps);
    orders_unref(c->orders);
    gtm__latency_unref(c->latency);
    for (size_t i = 0; i < c->tables_count; i++)
        gtm_free(c->tables[i].fixed);
    gtm_free(c->tables);
    gtm_free(c->pool_first);
    gtm_free(c->pool_tables);
    gtm_free(c->copies_dir);
    gtm_intent_unref(c->intent);
    gtm_free(c);
}

const struct gtm_intent *gtm_compiled_intent(const struct gtm_compiled *compiled)
{
    return compiled->intent;
}

void gtm_compiled_info(const struct gtm_compiled *compiled, struct gtm_compiled_info *ret)
{
    *ret = compiled->info;
}

struct dns_zone *gtm_compiled_zone(const struct gtm_compiled *compiled, size_t i)
{
    return i < compiled->zones_count ? compiled->zones[i].zone : NULL;
}
