/* SPDX-License-Identifier: Apache-2.0
 *
 * Observations and vantages from the store's copy. See quorum_table.h; merging is in
 * quorum_merge.c.
 */
#include "gtm/daemon/quorum_table.h"

#include "gtm/base/json.h"
#include "gtm/base/log.h"
#include "gtm/base/loop.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/quorum_table_int.h"
#include "gtm/daemon/state.h"
#include "gtm/model/obs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VANTAGES_MAX 1000
#define AGAIN_MS     1000

/* --- what could not be read --- */

static void note_bad(struct gtm_quorum_table *table, const char *key, const char *why)
{
    if (!gtm_map_get(table->bad, key))
        gtm_log(GTM_LOG_ERROR, "quorum", "an object is skipped: what it said before counts",
                gtm_kv_str("key", key), gtm_kv_str("why", why));
    char *copy = gtm_strdup(why), *old = NULL;
    if (copy && gtm_map_put(table->bad, key, copy, (void **)&old))
        old = copy;
    gtm_free(old);
}

static void note_good(struct gtm_quorum_table *table, const char *key)
{
    gtm_free(gtm_map_remove(table->bad, key));
}

/* --- vantages --- */

static void seen_fini(struct quorum__seen *seen)
{
    gtm_free(seen->votes);
    gtm_free(seen->downs);
    gtm_free(seen->texts);
    *seen = (struct quorum__seen){0};
}

static void forget_all(struct quorum__vantage *vantage, size_t pools)
{
    for (size_t p = 0; vantage->pools && p < pools; p++)
        seen_fini(&vantage->pools[p]);
    gtm_free(vantage->pools);
    vantage->pools = NULL;
    vantage->spoken = 0;
}

static void vantage_free(struct quorum__vantage *vantage, size_t pools)
{
    forget_all(vantage, pools);
    gtm_free(vantage);
}

/* One that has neither a node key nor observations leaves its room to others. */
static void forget_if_gone(struct gtm_quorum_table *table, struct quorum__vantage *vantage)
{
    size_t i = 0;
    if (vantage->here || vantage->spoken > 0)
        return;
    while (table->vantages[i] != vantage)
        i++;
    table->vantages[i] = table->vantages[--table->vantages_count];
    gtm_map_remove(table->by_name, vantage->name);
    vantage_free(vantage, table->intent->pools_count);
}

/* GTM_ENOMEM, GTM_ELIMIT: too many. */
static int vantage_of(struct gtm_quorum_table *table, const char *name,
                      struct quorum__vantage **ret)
{
    *ret = gtm_map_get(table->by_name, name);
    if (*ret)
        return 0;
    if (table->vantages_count >= VANTAGES_MAX || strlen(name) >= sizeof(table->node))
        return GTM_ELIMIT;
    void *list = table->vantages, *votes = table->votes;
    size_t need = table->vantages_count + 1;
    int rc = gtm_grow(&list, &table->vantages_cap, need, sizeof(struct quorum__vantage *));
    table->vantages = list;
    int rc2 = gtm_grow(&votes, &table->votes_cap, need, sizeof(*table->votes));
    table->votes = votes;
    struct quorum__vantage *vantage = rc || rc2 ? NULL : gtm_calloc(1, sizeof(*vantage));
    if (!vantage)
        return GTM_ENOMEM;
    snprintf(vantage->name, sizeof(vantage->name), "%s", name);
    vantage->region = -1;
    vantage->pools = gtm_calloc(table->intent->pools_count + 1, sizeof(*vantage->pools));
    if (!vantage->pools || gtm_map_put(table->by_name, name, vantage, NULL)) {
        vantage_free(vantage, 0);
        return GTM_ENOMEM;
    }
    *ret = table->vantages[table->vantages_count++] = vantage;
    return 0;
}

/* The entry's vantage, which a deletion does not make; NULL: none, or no room for it, which is
 * noted. */
static struct quorum__vantage *whose(struct gtm_quorum_table *table, const char *name,
                                     const struct gtm_store_entry *entry)
{
    struct quorum__vantage *vantage = gtm_map_get(table->by_name, name);
    int rc = entry->value && !vantage ? vantage_of(table, name, &vantage) : 0;
    table->again = table->again || rc == GTM_ENOMEM;
    if (rc)
        note_bad(table, entry->key,
                 rc == GTM_ELIMIT ? "there are too many vantages, or its name is too long"
                                  : gtm_err_text(rc));
    return vantage;
}

static int region_of(const struct gtm_intent *intent, const char *name)
{
    for (size_t i = 0; i < intent->vantages_count && i < POLICY_VANTAGE_REGIONS_MAX; i++)
        if (!strcmp(intent->regions[intent->vantages[i]].name, name))
            return (int)i;
    return -1;
}

/* "node/NAME" is this now; NULL: gone. */
static void read_node(struct gtm_quorum_table *table, const struct gtm_store_entry *entry)
{
    const char *name = entry->key + strlen("node/");
    struct gtm_error err = {0};
    struct gtm_json *root =
        entry->value ? gtm_json_parse(entry->value, entry->value_len, &err) : NULL;
    if (entry->value && gtm_json_type(root) != GTM_JSON_OBJECT) {
        note_bad(table, entry->key, root ? "it is no object" : err.text);
        gtm_json_free(root);
        return;
    }
    note_good(table, entry->key);
    struct quorum__vantage *vantage = whose(table, name, entry);
    if (!vantage) {
        gtm_json_free(root);
        return;
    }
    const struct gtm_json *said = gtm_json_get(root, "vantage");
    const char *region = gtm_json_str(root, "region", "");
    bool here = root != NULL, fit = gtm_json_bool(said, "fit", false);
    bool same =
        vantage->here == here && vantage->fit == fit && !strcmp(vantage->region_name, region);
    vantage->here = here;
    vantage->fit = fit;
    snprintf(vantage->region_name, sizeof(vantage->region_name), "%s", region);
    snprintf(vantage->why, sizeof(vantage->why), "%s",
             gtm_json_str(said, "why", said ? "" : "it is no vantage"));
    vantage->region = region_of(table->intent, vantage->region_name);
    if (!same)
        quorum__mark_vantage(table, vantage);
    gtm_json_free(root);
    forget_if_gone(table, vantage);
}

/* --- observations --- */

/* From names to the target's number; SIZE_MAX: not of the intent. */
static size_t locate(const struct gtm_quorum_table *table, size_t pool,
                     const struct gtm_obs_slot *slot)
{
    const struct gtm_pool *p = &table->intent->pools[pool];
    size_t m = 0;
    while (m < p->monitors_count &&
           strcmp(table->intent->monitors[p->monitors[m]].name, slot->monitor) != 0)
        m++;
    if (m == p->monitors_count || slot->family >= GTM_FAMILY_COUNT)
        return SIZE_MAX;
    int e = gtm_pool_endpoint(p, slot->endpoint);
    return e < 0 ? SIZE_MAX : ((size_t)e * 2 + slot->family) * p->monitors_count + m;
}

static int by_target(const void *a, const void *b)
{
    const struct quorum__down *x = a, *y = b;
    return x->target < y->target ? -1 : x->target > y->target;
}

static size_t text_bytes(const struct gtm_obs_slot *slot)
{
    return strlen(slot->result) + strlen(slot->evidence) + sizeof(": ");
}

/* Room for the votes on a pool, and for the texts of those that are down. */
static int seen_init(struct quorum__seen *seen, size_t targets, const struct gtm_obs *obs)
{
    size_t downs = 0, bytes = 0;
    for (size_t i = 0; i < obs->count; i++) {
        if (obs->slots[i].health != GTM_HEALTH_DOWN)
            continue;
        downs++;
        bytes += text_bytes(&obs->slots[i]);
    }
    *seen = (struct quorum__seen){.at_ms = obs->at_ms};
    seen->bytes = targets + downs * sizeof(*seen->downs) + bytes;
    seen->votes = gtm_calloc(targets + 1, 1);
    seen->downs = downs ? gtm_calloc(downs, sizeof(*seen->downs)) : NULL;
    seen->texts = downs ? gtm_calloc(bytes, 1) : NULL;
    if (seen->votes && (!downs || (seen->downs && seen->texts)))
        return 0;
    seen_fini(seen);
    return GTM_ENOMEM;
}

static int seen_fill(const struct gtm_quorum_table *table, size_t pool, const struct gtm_obs *obs,
                     struct quorum__seen *seen)
{
    int rc = seen_init(seen, table->pools[pool].count, obs);
    char *text = seen->texts;
    for (size_t i = 0; i < obs->count && !rc; i++) {
        const struct gtm_obs_slot *slot = &obs->slots[i];
        size_t t = locate(table, pool, slot);
        bool down = slot->health == GTM_HEALTH_DOWN;
        if (t == SIZE_MAX)
            continue;
        seen->votes[t] = (uint8_t)((slot->health & QUORUM__HEALTH) |
                                   (slot->health != GTM_HEALTH_UNKNOWN ? QUORUM__KNOWN : 0) |
                                   (down && slot->content ? QUORUM__CONTENT : 0));
        if (!down)
            continue;
        seen->downs[seen->downs_count++] = (struct quorum__down){(uint32_t)t, slot->since_ms, text};
        text += 1 + snprintf(text, text_bytes(slot), "%s%s%s", slot->result,
                             slot->evidence[0] ? ": " : "", slot->evidence);
    }
    if (!rc && seen->downs_count > 1)
        qsort(seen->downs, seen->downs_count, sizeof(*seen->downs), by_target);
    return rc;
}

static void tell_seen(const struct gtm_quorum_table *table, size_t pool, size_t target,
                      uint8_t vote)
{
    char key[HEALTH_KEY_BYTES];
    struct gtm_quorum_target at = quorum__target(table, pool, target);
    if (gtm_target_key(table->intent, pool, at.endpoint, at.monitor, at.family, key))
        table->opts.seen(table->opts.ctx, key, (enum gtm_health)(vote & QUORUM__HEALTH));
}

/* What a vantage sees of a pool is this now (empty: nothing). Takes `now`. */
static void replace(struct gtm_quorum_table *table, struct quorum__vantage *vantage, size_t pool,
                    struct quorum__seen now)
{
    struct quorum__seen *old = &vantage->pools[pool], was = *old;
    bool tell = table->opts.seen && !table->quiet && vantage->here && vantage->fit &&
                strcmp(vantage->name, table->node) != 0;
    vantage->spoken += (size_t)(now.votes != NULL) - (size_t)(was.votes != NULL);
    *old = now;
    for (size_t t = 0; t < table->pools[pool].count; t++) {
        uint8_t before = was.votes ? was.votes[t] : 0, vote = now.votes ? now.votes[t] : 0;
        if (before == vote)
            continue;
        quorum__mark(table, pool, t);
        if (tell && vote & QUORUM__KNOWN && (before & QUORUM__HEALTH) != (vote & QUORUM__HEALTH))
            tell_seen(table, pool, t, vote);
    }
    seen_fini(&was);
}

/* "obs/NODE/POOL" → both; -1: none of the intent's. */
static int split_key(const struct gtm_quorum_table *table, const char *key, char ret_node[64])
{
    const char *node = key + strlen("obs/"), *slash = strchr(node, '/');
    if (!slash || slash - node >= 64)
        return -1;
    memcpy(ret_node, node, (size_t)(slash - node));
    ret_node[slash - node] = '\0';
    return gtm_intent_pool(table->intent, slash + 1);
}

static void read_obs(struct gtm_quorum_table *table, const struct gtm_store_entry *entry)
{
    char node[64];
    int pool = split_key(table, entry->key, node);
    struct gtm_obs obs = {0};
    struct gtm_error err = {0};
    struct quorum__seen now = {0};
    int rc =
        entry->value && pool >= 0 ? gtm_obs_parse(entry->value, entry->value_len, &obs, &err) : 0;
    table->objects++;
    if (!rc)
        note_good(table, entry->key);
    struct quorum__vantage *vantage = pool >= 0 && !rc ? whose(table, node, entry) : NULL;
    if (vantage && entry->value)
        rc = seen_fill(table, (size_t)pool, &obs, &now);
    table->again = table->again || rc == GTM_ENOMEM;
    if (rc)
        note_bad(table, entry->key, err.text[0] ? err.text : gtm_err_text(rc));
    if (vantage && !rc)
        replace(table, vantage, (size_t)pool, now);
    if (vantage)
        forget_if_gone(table, vantage);
    if (entry->value && pool >= 0)
        gtm_obs_fini(&obs);
}

/* --- the store --- */

static int visit_obs(void *arg, const struct gtm_store_entry *entry)
{
    read_obs(arg, entry);
    return 0;
}

static int visit_node(void *arg, const struct gtm_store_entry *entry)
{
    read_node(arg, entry);
    return 0;
}

static void on_obs(void *arg, const struct gtm_store_entry *entry)
{
    struct gtm_quorum_table *table = arg;
    if (table->intent)
        read_obs(table, entry);
}

static void on_node(void *arg, const struct gtm_store_entry *entry)
{
    struct gtm_quorum_table *table = arg;
    if (table->intent)
        read_node(table, entry);
}

/* What there is no memory for is read again in a second. */
static void reread(struct gtm_quorum_table *table)
{
    table->quiet = true;
    table->again = false;
    if (gtm_store_list(table->opts.store, "node/", visit_node, table) ||
        gtm_store_list(table->opts.store, "obs/", visit_obs, table))
        table->again = true;
    table->quiet = false;
    for (size_t v = table->vantages_count; v > 0; v--)
        forget_if_gone(table, table->vantages[v - 1]);
    if (table->again)
        gtm_timer_start(table->timer, AGAIN_MS);
}

static void on_timer(void *arg)
{
    struct gtm_quorum_table *table = arg;
    if (table->again)
        reread(table);
    quorum__merge_due(table);
    if (table->changed_count > 0 && table->opts.on_change)
        table->opts.on_change(table->opts.ctx);
}

/* --- intents --- */

int gtm_quorum_table_intent(struct gtm_quorum_table *table, const struct gtm_intent *intent)
{
    struct quorum__pool *pools = NULL;
    uint32_t *due = gtm_calloc(intent->pools_count + 1, sizeof(*due));
    uint32_t *changed = gtm_calloc(intent->pools_count + 1, sizeof(*changed));
    struct quorum__seen **seen = gtm_calloc(table->vantages_count + 1, sizeof(*seen));
    int rc = due && changed && seen ? quorum__pools_new(intent, &pools) : GTM_ENOMEM;
    for (size_t v = 0; v < table->vantages_count && !rc; v++)
        rc = (seen[v] = gtm_calloc(intent->pools_count + 1, sizeof(**seen))) ? 0 : GTM_ENOMEM;
    if (rc) {
        for (size_t v = 0; seen && v < table->vantages_count; v++)
            gtm_free(seen[v]);
        quorum__pools_free(pools, intent->pools_count);
        gtm_free(due);
        gtm_free(changed);
        gtm_free(seen);
        return rc;
    }
    quorum__carry(table, intent, pools);
    size_t old = table->intent ? table->intent->pools_count : 0;
    for (size_t v = 0; v < table->vantages_count; v++) {
        forget_all(table->vantages[v], old);
        table->vantages[v]->pools = seen[v];
    }
    quorum__pools_free(table->pools, old);
    gtm_free(table->due);
    gtm_free(table->changed);
    gtm_free(seen);
    table->pools = pools;
    table->due = due;
    table->changed = changed;
    table->due_count = table->changed_count = 0;
    gtm_intent_unref((struct gtm_intent *)table->intent);
    table->intent = gtm_intent_ref(intent);
    for (size_t v = 0; v < table->vantages_count; v++)
        table->vantages[v]->region = region_of(intent, table->vantages[v]->region_name);
    reread(table);
    quorum__mark_all(table);
    return 0;
}

/* --- life --- */

struct gtm_quorum_table *gtm_quorum_table_new(const struct gtm_quorum_table_opts *opts)
{
    struct gtm_quorum_table *table = gtm_calloc(1, sizeof(*table));
    if (!table)
        return NULL;
    table->opts = *opts;
    table->clock = opts->clock ? opts->clock : gtm_clock_system();
    snprintf(table->node, sizeof(table->node), "%s", opts->node);
    table->by_name = gtm_map_new();
    table->bad = gtm_map_new();
    table->timer = gtm_timer_new(opts->loop, on_timer, table);
    table->watch_obs = gtm_store_watch(opts->store, "obs/", on_obs, table);
    table->watch_node = gtm_store_watch(opts->store, "node/", on_node, table);
    if (!table->by_name || !table->bad || !table->timer || !table->watch_obs ||
        !table->watch_node) {
        gtm_quorum_table_free(table);
        return NULL;
    }
    return table;
}

void gtm_quorum_table_free(struct gtm_quorum_table *table)
{
    if (!table)
        return;
    size_t pools = table->intent ? table->intent->pools_count : 0;
    gtm_store_unwatch(table->opts.store, table->watch_obs);
    gtm_store_unwatch(table->opts.store, table->watch_node);
    gtm_timer_free(table->timer);
    for (size_t v = 0; v < table->vantages_count; v++)
        vantage_free(table->vantages[v], pools);
    gtm_free(table->vantages);
    gtm_free(table->votes);
    quorum__pools_free(table->pools, pools);
    gtm_free(table->due);
    gtm_free(table->changed);
    gtm_map_free(table->by_name, NULL);
    gtm_map_free(table->bad, gtm_free);
    gtm_intent_unref((struct gtm_intent *)table->intent);
    gtm_free(table);
}

void gtm_quorum_table_info(const struct gtm_quorum_table *table, struct gtm_quorum_table_info *ret)
{
    const char *key = NULL;
    void *why = NULL;
    size_t it = 0;
    bool voting[POLICY_VANTAGE_REGIONS_MAX] = {false};
    *ret = (struct gtm_quorum_table_info){.bad = gtm_map_count(table->bad),
                                          .objects = table->objects,
                                          .merged = table->merged,
                                          .bytes = sizeof(*table)};
    if (gtm_map_next(table->bad, &it, &key, &why)) {
        snprintf(ret->bad_key, sizeof(ret->bad_key), "%s", key);
        snprintf(ret->bad_why, sizeof(ret->bad_why), "%s", (const char *)why);
    }
    size_t pools = table->intent ? table->intent->pools_count : 0;
    ret->regions = table->intent ? table->intent->vantages_count : 0;
    for (size_t v = 0; v < table->vantages_count; v++) {
        const struct quorum__vantage *vantage = table->vantages[v];
        bool counts = vantage->here && vantage->region >= 0;
        ret->vantages += counts;
        ret->fit += counts && vantage->fit;
        if (counts && vantage->fit && !voting[vantage->region]) {
            voting[vantage->region] = true;
            ret->voting++;
        }
        ret->bytes += sizeof(*vantage) + pools * sizeof(*vantage->pools);
        for (size_t p = 0; p < pools; p++)
            ret->bytes += vantage->pools[p].bytes;
    }
    for (size_t p = 0; p < pools; p++) {
        const struct quorum__pool *pool = &table->pools[p];
        ret->bytes += sizeof(*pool) + pool->count * (sizeof(*pool->results) + 8) + pool->count / 4;
        for (size_t t = 0; t < pool->count; t++)
            ret->targets += (pool->results[t] & QUORUM__KNOWN) != 0;
    }
}
