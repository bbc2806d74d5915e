/* SPDX-License-Identifier: Apache-2.0
 *
 * The leader's transactions: verdicts and the view's number, guarded. See conductor.h.
 */
#include "gtm/base/json.h"
#include "gtm/base/log.h"
#include "gtm/base/loop.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/conductor_int.h"

#include <stdio.h>
#include <string.h>

#define VIEW_KEY    "view/rev"
#define POOLS_MAX   100u
#define BYTES_MAX   (1u << 20) /* of one transaction; etcd takes 1.5 MiB */
#define NEED_MS     500u       /* what one takes at the worst */
#define RETRY_MS    100u
#define SHARES_MS   1000u /* between two verdicts on a pool that differ in shares only */
#define KEY_BYTES   (GTM_NAME_MAX + 16)
#define CHANGES_MAX (POOLS_MAX + 2)

/* --- are two the same? --- */

static void mix(uint64_t *hash, const void *data, size_t len)
{
    const unsigned char *at = data;
    for (size_t i = 0; i < len; i++)
        *hash = (*hash ^ at[i]) * UINT64_C(0x100000001b3);
}

static void mix_text(uint64_t *hash, const char *text)
{
    mix(hash, text, strlen(text) + 1);
}

static void mix_int(uint64_t *hash, uint64_t value)
{
    mix(hash, &value, sizeof(value));
}

#define HASH_START UINT64_C(0xcbf29ce484222325)

/* Times and causes follow from these, but for what a clock adds. Documents are sorted, states are
 * not: the sum of the parts is the same. */
static void mix_address(struct conductor__print *print, const struct gtm_verdict_address *a)
{
    bool goes_on = a->recovery_count >= 6;
    uint64_t hash = HASH_START, health = HASH_START;
    mix_text(&health, a->endpoint);
    mix_int(&health, a->family | (unsigned)a->health << 8 | (unsigned)a->held << 16);
    print->health += health;
    mix_text(&hash, a->endpoint);
    mix_int(&hash, a->family | (unsigned)a->health << 8 | (unsigned)a->quorum << 16 |
                       (unsigned)a->held << 24);
    mix_int(&hash, goes_on ? (uint64_t)a->recovery[0] : 0);
    mix_int(&hash, goes_on ? (uint64_t)a->recovery[4] : 0);
    mix_int(&hash, goes_on ? a->recovery[5] != 0 : 1);
    print->core += hash;
    mix_int(&hash, a->share);
    print->full += hash;
}

struct conductor__print conductor__print_of(const struct gtm_verdict_doc *doc)
{
    struct conductor__print print = {HASH_START, HASH_START, HASH_START};
    for (size_t i = 0; i < doc->count; i++)
        mix_address(&print, &doc->addresses[i]);
    mix_int(&print.health, doc->panic[0] | (unsigned)doc->panic[1] << 1);
    mix_int(&print.core, doc->panic[0] | (unsigned)doc->panic[1] << 1 | (unsigned)doc->stale << 2);
    for (size_t i = 0; i < doc->weights_count; i++) {
        const struct gtm_verdict_weight *w = &doc->weights[i];
        uint64_t hash = HASH_START;
        mix_text(&hash, w->policy ? w->policy : "");
        mix_text(&hash, w->name);
        mix_int(&hash, w->value);
        print.full += hash;
    }
    mix_int(&print.full, print.core);
    return print;
}

/* --- what the store has --- */

int64_t conductor__stored_view(const struct gtm_conductor *c, int64_t *ret_revision)
{
    struct gtm_store_entry entry;
    *ret_revision = GTM_STORE_ABSENT;
    if (gtm_store_get(c->opts.store, VIEW_KEY, &entry))
        return 0;
    *ret_revision = entry.revision;
    struct gtm_json *root = gtm_json_parse(entry.value, entry.value_len, NULL);
    int64_t rev = gtm_json_i64(root, "rev", 0);
    gtm_json_free(root);
    return rev;
}

/* What cannot be agreed on by the table stays as the verdict has it. */
static void seed_table(struct gtm_conductor *c, size_t pool, const struct gtm_verdict_doc *doc)
{
    const struct gtm_pool *p = &c->intent->pools[pool];
    for (size_t i = 0; i < doc->count; i++) {
        const struct gtm_verdict_address *a = &doc->addresses[i];
        enum gtm_health health = a->held ? GTM_HEALTH_DOWN : (enum gtm_health)a->health;
        int e = gtm_pool_endpoint(p, a->endpoint);
        if (e < 0 || health == GTM_HEALTH_DEGRADED)
            continue; /* degraded: which of the monitors it was is not known */
        for (size_t m = 0; m < p->monitors_count; m++)
            gtm_quorum_table_before(c->opts.table,
                                    &(struct gtm_quorum_target){pool, (size_t)e, p->monitors[m],
                                                                (enum gtm_family)a->family},
                                    health);
    }
}

/* The verdict in the store; when it cannot be read, the one in force here. */
static int load_pool(struct gtm_conductor *c, size_t pool, const struct gtm_store_entry *entry,
                     bool seed)
{
    struct gtm_verdict_doc doc = {0};
    struct gtm_error err = {0};
    int rc = gtm_verdict_doc_parse(entry->value, entry->value_len, &doc, &err);
    if (rc) {
        gtm_log_error(GTM_LOG_ERROR, "conductor", "a verdict in the store is written anew", &err);
        struct gtm_verdict_doc own = {0};
        rc = seed ? gtm_state_verdict(c->opts.state, pool, &own) : 0;
        if (!rc && seed)
            rc = gtm_state_seed(c->pipe, c->intent, pool, &own);
        gtm_state_verdict_free(&own);
        return rc;
    }
    c->pools[pool].stored = conductor__print_of(&doc);
    if (seed) {
        rc = gtm_state_seed(c->pipe, c->intent, pool, &doc);
        seed_table(c, pool, &doc);
    }
    gtm_verdict_doc_fini(&doc);
    return rc;
}

struct loading {
    struct gtm_conductor *c;
    bool seed;
};

static int visit_verdict(void *arg, const struct gtm_store_entry *entry)
{
    struct loading *l = arg;
    const char *name = entry->key + strlen("verdict/");
    int pool = gtm_intent_pool(l->c->intent, name);
    if (pool >= 0)
        return load_pool(l->c, (size_t)pool, entry, l->seed);
    void *list = l->c->gone;
    int rc = gtm_grow(&list, &l->c->gone_cap, l->c->gone_count + 1, sizeof(char *));
    l->c->gone = list;
    char *copy = rc ? NULL : gtm_strdup(name);
    if (copy)
        l->c->gone[l->c->gone_count++] = copy;
    return copy ? 0 : GTM_ENOMEM;
}

int conductor__load(struct gtm_conductor *c, bool seed)
{
    c->generation++; /* what a transaction under way says of these lists is over */
    for (size_t i = 0; i < c->gone_count; i++)
        gtm_free(c->gone[i]);
    c->gone_count = 0;
    for (size_t p = 0; p < c->intent->pools_count; p++)
        c->pools[p].stored = (struct conductor__print){0};
    return gtm_store_list(c->opts.store, "verdict/", visit_verdict, &(struct loading){c, seed});
}

/* --- writing --- */

void conductor__mark(struct gtm_conductor *c, size_t pool)
{
    c->dirty += !c->pools[pool].dirty;
    c->pools[pool].dirty = true;
}

/* A transaction under way: outlives a conductor that is freed meanwhile. */
struct conductor__flight {
    struct gtm_conductor *c; /* NULL: gone */
    uint64_t generation;
    int64_t rev, fence;
    size_t count, bytes, gone;
    uint32_t pools[POOLS_MAX];
    struct conductor__print prints[POOLS_MAX];
};

struct batch {
    struct gtm_store_change changes[CHANGES_MAX];
    char keys[CHANGES_MAX][KEY_BYTES];
    struct gtm_buf texts[CHANGES_MAX];
    size_t count;
    bool more;        /* than there was room for */
    uint64_t wait_ms; /* until shares may be written; 0 = none wait */
};

static void batch_add(struct batch *batch, const char *key, struct gtm_buf *text, int64_t expect)
{
    size_t i = batch->count++;
    snprintf(batch->keys[i], KEY_BYTES, "%s", key);
    batch->texts[i] = *text;
    batch->changes[i] =
        (struct gtm_store_change){.kind = text->data ? GTM_STORE_PUT : GTM_STORE_DELETE,
                                  .key = batch->keys[i],
                                  .value = text->data,
                                  .value_len = text->len,
                                  .expect = expect};
}

/* Moves of shares wait for the next second; what else differs does not. True: not now. */
static bool shares_wait(const struct gtm_conductor *c, size_t pool,
                        const struct conductor__print *print, struct batch *batch)
{
    const struct conductor__pool *p = &c->pools[pool];
    uint64_t now = gtm_mono_ms(c->clock), at = p->written_ms + SHARES_MS;
    if (print->core != p->stored.core || !p->written_ms || now >= at)
        return false;
    if (!batch->wait_ms || at - now < batch->wait_ms)
        batch->wait_ms = at - now;
    return true;
}

static int add_pool(struct gtm_conductor *c, struct conductor__flight *flight, struct batch *batch,
                    size_t pool)
{
    struct gtm_verdict_doc doc = {.rev = flight->rev,
                                  .intent = c->intent_rev,
                                  .at_ms = gtm_wall_ms(c->clock),
                                  .fence = flight->fence};
    snprintf(doc.by, sizeof(doc.by), "%s", c->node);
    int rc = gtm_state_verdict(c->pipe, pool, &doc);
    if (rc)
        return rc;
    struct conductor__print print = conductor__print_of(&doc);
    bool same = print.full == c->pools[pool].stored.full;
    if (!same && shares_wait(c, pool, &print, batch)) {
        gtm_state_verdict_free(&doc);
        return 0;
    }
    struct gtm_buf text = {0};
    if (!same)
        rc = gtm_verdict_doc_print(&doc, &text);
    gtm_state_verdict_free(&doc);
    if (rc) {
        gtm_buf_fini(&text);
        return rc;
    }
    c->pools[pool].dirty = false;
    c->dirty--;
    if (same)
        return 0;
    char key[KEY_BYTES];
    snprintf(key, sizeof(key), "verdict/%s", c->intent->pools[pool].name);
    flight->pools[flight->count] = (uint32_t)pool;
    flight->prints[flight->count++] = print;
    flight->bytes += text.len;
    batch_add(batch, key, &text, GTM_STORE_ANY);
    return 0;
}

static void collect(struct gtm_conductor *c, struct conductor__flight *flight, struct batch *batch)
{
    for (size_t p = 0; c->dirty > 0 && p < c->intent->pools_count; p++) {
        if (!c->pools[p].dirty)
            continue;
        if (flight->count == POOLS_MAX || flight->bytes >= BYTES_MAX) {
            batch->more = true;
            break;
        }
        int rc = add_pool(c, flight, batch, p);
        if (rc)
            gtm_log(GTM_LOG_ERROR, "conductor", "a verdict cannot be written",
                    gtm_kv_str("pool", c->intent->pools[p].name),
                    gtm_kv_str("error", gtm_err_text(rc)));
    }
    while (flight->count + flight->gone < POOLS_MAX && flight->gone < c->gone_count) {
        char key[KEY_BYTES];
        snprintf(key, sizeof(key), "verdict/%s", c->gone[flight->gone++]);
        batch_add(batch, key, &(struct gtm_buf){0}, GTM_STORE_ANY);
    }
}

static void add_view(struct gtm_conductor *c, const struct conductor__flight *flight,
                     struct batch *batch, int64_t view_revision)
{
    struct gtm_buf text = {0};
    gtm_buf_addf(&text, "{\"v\":1,\"rev\":%lld,\"by\":", (long long)flight->rev);
    gtm_json_quote(&text, c->node, strlen(c->node));
    gtm_buf_addf(&text, ",\"fence\":%lld,\"at\":%lld%s}", (long long)flight->fence,
                 (long long)gtm_wall_ms(c->clock), batch->more ? ",\"more\":true" : "");
    batch_add(batch, VIEW_KEY, &text, view_revision);
}

static void again(struct gtm_conductor *c, uint64_t wait_ms)
{
    gtm_timer_start(c->timer, wait_ms);
}

static void put_back(struct gtm_conductor *c, const struct conductor__flight *flight)
{
    if (flight->generation != c->generation)
        return; /* another intent: all are due anyway */
    for (size_t i = 0; i < flight->count; i++)
        conductor__mark(c, flight->pools[i]);
}

static void settle(struct gtm_conductor *c, const struct conductor__flight *flight)
{
    c->info.writes++;
    c->info.objects += flight->count;
    c->info.bytes += flight->bytes;
    c->info.rev = flight->rev;
    c->takeover = c->takeover && flight->fence != c->opts.lead.fence(c->opts.ctx);
    if (flight->generation != c->generation)
        return;
    for (size_t i = 0; i < flight->count; i++) {
        struct conductor__pool *pool = &c->pools[flight->pools[i]];
        pool->stored = flight->prints[i];
        pool->written_ms = gtm_mono_ms(c->clock) + 1;
    }
    for (size_t i = 0; i < flight->gone; i++)
        gtm_free(c->gone[i]);
    c->gone_count -= flight->gone;
    if (flight->gone > 0)
        memmove(c->gone, c->gone + flight->gone, c->gone_count * sizeof(*c->gone));
}

static void on_written(void *arg, const struct gtm_store_result *result)
{
    struct conductor__flight *flight = arg;
    struct gtm_conductor *c = flight->c;
    if (!c) {
        gtm_free(flight);
        return;
    }
    c->flight = NULL;
    if (result->code) {
        c->info.conflicts += result->code == GTM_ECONFLICT;
        c->info.failures += result->code != GTM_ECONFLICT;
        put_back(c, flight);
        /* Whether this is still the leader's is asked before the next one; the copy has until then
         * to catch up. */
        again(c, RETRY_MS);
    } else {
        settle(c, flight);
        conductor__write(c);
    }
    gtm_free(flight);
}

/* Commits what was collected; takes flight. */
static void commit(struct gtm_conductor *c, struct conductor__flight *flight, struct batch *batch,
                   int64_t view_revision)
{
    struct gtm_store_change guard;
    char key[GTM_STORE_KEY_MAX + 1];
    int rc = c->opts.lead.guard(c->opts.ctx, &guard);
    add_view(c, flight, batch, view_revision);
    if (!rc) {
        snprintf(key, sizeof(key), "%s", guard.key);
        guard.key = key;
        batch->changes[batch->count] = guard;
        rc = gtm_store_commit(c->opts.store, batch->changes, batch->count + 1, on_written, flight);
    }
    if (!rc) {
        c->flight = flight;
        return;
    }
    c->info.failures++;
    put_back(c, flight);
    gtm_free(flight);
    again(c, RETRY_MS);
}

void conductor__write(void *arg)
{
    struct gtm_conductor *c = arg;
    if (c->flight || c->mode != POLICY_ROLE_LEAD || !c->pipe ||
        (c->dirty == 0 && !c->takeover && c->gone_count == 0))
        return;
    if (!c->opts.lead.valid(c->opts.ctx, NEED_MS)) {
        again(c, RETRY_MS);
        return;
    }
    struct conductor__flight *flight = gtm_calloc(1, sizeof(*flight));
    struct batch *batch = gtm_calloc(1, sizeof(*batch));
    int64_t view_revision = 0;
    if (flight && batch) {
        *flight = (struct conductor__flight){
            .c = c, .generation = c->generation, .fence = c->opts.lead.fence(c->opts.ctx)};
        flight->rev = conductor__stored_view(c, &view_revision) + 1;
        collect(c, flight, batch);
    }
    if (!flight || !batch)
        again(c, RETRY_MS);
    else if (batch->count > 0 || c->takeover) {
        commit(c, flight, batch, view_revision);
        flight = NULL;
    } else if (batch->wait_ms) {
        again(c, batch->wait_ms);
    }
    gtm_free(flight);
    for (size_t i = 0; batch && i < batch->count; i++)
        gtm_buf_fini(&batch->texts[i]);
    gtm_free(batch);
}

void conductor__let_go(struct gtm_conductor *c)
{
    if (c->flight)
        c->flight->c = NULL;
    c->flight = NULL;
}
