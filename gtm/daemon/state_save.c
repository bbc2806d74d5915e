/* SPDX-License-Identifier: Apache-2.0
 *
 * Keeping of the live state in the store: orders at once, healths at most once a second, in shards
 * so that a change costs what it touches.
 *
 *     override/KEY    one order
 *     verdict/NNNN    {"pool/endpoint/monitor/4": ["down", since_ms, "content", "held"], …} of
 *                     known healths; "content" only when a failure of content took it down, "held"
 *                     only when that is not believed
 *     lastgood/NNNN   ["pool/endpoint/4", …] of those that are not last good
 *     recovery/NNNN   [["pool/endpoint/4", "hold", since_ms, penalty, penalty_ms, falls], …]
 *     balance/NNNN    see state_kept.c
 */
#include "gtm/base/log.h"
#include "gtm/base/loop.h"
#include "gtm/base/mem.h"
#include "gtm/coord/audit.h"
#include "gtm/daemon/state_int.h"

#include <stdio.h>
#include <string.h>

#define SAVE_EVERY_MS    1000
#define SAVE_RETRY_MS    5000
#define LASTGOOD_ENTRIES 1000
#define RECOVERY_ENTRIES 500
#define KEY_BYTES        (GTM_OVERRIDE_KEY_BYTES + 16)

/* --- writing --- */

void gtm_state__save_soon(struct gtm_state *state)
{
    if (state->saving)
        state->save_again = true; /* when the one under way is done */
    if (state->opts.mode != GTM_STATE_DECIDES)
        return; /* the cluster's store is the memory */
    if (state->save_scheduled || state->saving)
        return;
    state->save_scheduled = true;
    gtm_timer_start(state->save_timer, SAVE_EVERY_MS);
}

void gtm_state__mark(struct gtm_state *state, size_t slot)
{
    size_t shard = slot / GTM_STATE_SHARD_SLOTS;
    if (shard < GTM_STATE_SHARDS_MAX)
        state->dirty[shard] = true;
}

void gtm_state__saved(struct gtm_state *state, int code, const struct gtm_error *err)
{
    if (!code) {
        if (state->save_code)
            gtm_log0(GTM_LOG_INFO, "state", "the state can be saved again");
        state->save_code = 0;
        state->unsaved_since_ms = 0;
        return;
    }
    if (!state->save_code) { /* once per trouble, not every five seconds */
        state->unsaved_since_ms = gtm_wall_ms(state->clock);
        gtm_log(GTM_LOG_ERROR, "state", "the state cannot be saved; it stays in force",
                gtm_kv_str("error", err ? err->text : gtm_err_text(code)));
    }
    state->save_code = code;
    snprintf(state->save_error, sizeof(state->save_error), "%s",
             err && err->text[0] ? err->text : gtm_err_text(code));
    if (!state->save_scheduled) {
        state->save_scheduled = true;
        gtm_timer_start(state->save_timer, SAVE_RETRY_MS);
    }
}

const char *gtm_state_unsaved(const struct gtm_state *state, int64_t *ret_since_ms)
{
    *ret_since_ms = state->unsaved_since_ms;
    return state->save_code ? state->save_error : NULL;
}

static char *print_shard(const struct gtm_state_next *now, size_t shard)
{
    struct gtm_buf buf = {0};
    size_t end = (shard + 1) * GTM_STATE_SHARD_SLOTS;
    gtm_buf_addc(&buf, '{');
    for (size_t i = shard * GTM_STATE_SHARD_SLOTS; i < now->slots_count && i < end; i++) {
        const struct gtm_slot *slot = &now->slots[i];
        if (slot->health == GTM_HEALTH_UNKNOWN)
            continue;
        size_t at = (now->facts->base[slot->pool] + slot->endpoint) * 2 + slot->family;
        if (buf.len > 1)
            gtm_buf_addc(&buf, ',');
        gtm_json_quote(&buf, slot->key, strlen(slot->key));
        gtm_buf_addf(&buf, ":[\"%s\",%lld%s%s]", gtm_health_word(slot->health),
                     (long long)slot->since_ms, slot->content ? ",\"content\"" : "",
                     slot->content && now->addresses[at].held ? ",\"held\"" : "");
    }
    gtm_buf_addc(&buf, '}');
    return gtm_buf_take(&buf);
}

void gtm_state__marks_close(struct gtm_marks *marks)
{
    if (!marks->in_buf || marks->count == GTM_STATE_SHARDS_MAX)
        return;
    gtm_buf_addc(&marks->buf, ']');
    marks->texts[marks->count] = gtm_buf_take(&marks->buf);
    marks->count += marks->texts[marks->count] != NULL;
    gtm_buf_clear(&marks->buf);
    marks->in_buf = 0;
}

static void add_address(struct gtm_buf *buf, const char *pool, const char *endpoint,
                        unsigned family)
{
    char key[GTM_OVERRIDE_KEY_BYTES];
    snprintf(key, sizeof(key), "%s/%s/%d", pool, endpoint, family == GTM_FAMILY_V4 ? 4 : 6);
    gtm_json_quote(buf, key, strlen(key));
}

static void marks_add(struct gtm_marks *marks, const char *pool, const char *endpoint,
                      unsigned family)
{
    gtm_buf_addc(&marks->buf, marks->in_buf ? ',' : '[');
    add_address(&marks->buf, pool, endpoint, family);
    if (++marks->in_buf == LASTGOOD_ENTRIES)
        gtm_state__marks_close(marks);
}

static void collect_marks(const struct gtm_state *state, struct gtm_marks *marks)
{
    const struct gtm_facts *facts = state->now->facts;
    for (size_t p = 0; p < facts->intent->pools_count; p++) {
        const struct gtm_pool *pool = &facts->intent->pools[p];
        for (size_t e = 0; e < pool->endpoints_count; e++)
            for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++)
                if (gtm_endpoint_has(&pool->endpoints[e], f) &&
                    !gtm_states_last_good(facts->states, p, e, f))
                    marks_add(marks, pool->name, pool->endpoints[e].name, f);
    }
    gtm_state__marks_close(marks);
}

/* Times are kept as Unix time: the monotonic clock begins anew with the machine. */
static void recovery_add(struct gtm_marks *marks, const struct gtm_pool *pool, size_t endpoint,
                         unsigned family, const struct policy_recovery *r, int64_t offset_ms)
{
    gtm_buf_addc(&marks->buf, marks->in_buf ? ',' : '[');
    gtm_buf_addc(&marks->buf, '[');
    add_address(&marks->buf, pool->name, pool->endpoints[endpoint].name, family);
    gtm_buf_addf(&marks->buf, ",\"%s\",%lld,%.3f,%lld,%u]", policy_recovery_word(r->state),
                 (long long)r->since_ms + offset_ms, r->penalty,
                 (long long)r->penalty_ms + offset_ms, r->falls);
    if (++marks->in_buf == RECOVERY_ENTRIES)
        gtm_state__marks_close(marks);
}

static void collect_recovery(const struct gtm_state *state, struct gtm_marks *marks)
{
    const struct gtm_facts *facts = state->now->facts;
    int64_t offset_ms = gtm_wall_ms(state->clock) - (int64_t)gtm_mono_ms(state->clock);
    for (size_t p = 0; p < facts->intent->pools_count; p++) {
        const struct gtm_pool *pool = &facts->intent->pools[p];
        for (size_t i = 0; i < pool->endpoints_count * 2; i++) {
            const struct policy_recovery *r = &facts->recovery[facts->base[p] * 2 + i];
            bool back = r->state != POLICY_RECOVERY_SERVING && r->state != POLICY_RECOVERY_DOWN;
            if (gtm_endpoint_has(&pool->endpoints[i / 2], (enum gtm_family)(i % 2)) &&
                (back || r->penalty > 1))
                recovery_add(marks, pool, i / 2, i % 2, r, offset_ms);
        }
    }
    gtm_state__marks_close(marks);
}

struct commit {
    struct gtm_store_change changes[GTM_STORE_CHANGES_MAX];
    char keys[GTM_STORE_CHANGES_MAX][KEY_BYTES];
    char *texts[GTM_STORE_CHANGES_MAX];
    size_t count;
    bool full; /* and something had no room */
};

/* Takes text; NULL = delete. */
static void commit_add(struct commit *commit, const char *dir, size_t number, char *text)
{
    if (commit->count == GTM_STORE_CHANGES_MAX) {
        commit->full = true; /* the next one has what this one has not */
        gtm_free(text);
        return;
    }
    size_t i = commit->count++;
    snprintf(commit->keys[i], KEY_BYTES, "%s/%04zu", dir, number);
    commit->texts[i] = text;
    commit->changes[i] = (struct gtm_store_change){.kind = text ? GTM_STORE_PUT : GTM_STORE_DELETE,
                                                   .key = commit->keys[i],
                                                   .value = text,
                                                   .value_len = text ? strlen(text) : 0,
                                                   .expect = GTM_STORE_ANY};
}

static void commit_free(struct commit *commit)
{
    for (size_t i = 0; commit && i < commit->count; i++)
        gtm_free(commit->texts[i]);
    gtm_free(commit);
}

static void on_saved(void *arg, const struct gtm_store_result *result)
{
    struct gtm_state *state = arg;
    state->saving = false;
    gtm_state__saved(state, result->code, result->err);
    if (result->code) {
        state->all_dirty = state->balance_due = true;
        return;
    }
    bool again = state->all_dirty || state->save_again; /* changed while the disk worked */
    state->save_again = false;
    for (size_t i = 0; i < GTM_STATE_SHARDS_MAX; i++)
        again = again || state->dirty[i];
    if (again)
        gtm_state__save_soon(state);
}

static bool same_as_stored(const struct gtm_state *state, const char *key, const char *text)
{
    struct gtm_store_entry entry;
    int rc = gtm_store_get(state->opts.store, key, &entry);
    if (!text)
        return rc == GTM_ENOTFOUND;
    size_t len = strlen(text);
    return !rc && entry.value_len == len && !memcmp(entry.value, text, len);
}

/* Adds the change unless the store has it already. Takes text. */
static void commit_differing(const struct gtm_state *state, struct commit *commit, const char *dir,
                             size_t number, char *text)
{
    char key[KEY_BYTES];
    snprintf(key, sizeof(key), "%s/%04zu", dir, number);
    if (same_as_stored(state, key, text))
        gtm_free(text);
    else
        commit_add(commit, dir, number, text);
}

static void save_list(struct gtm_state *state, struct commit *commit, const char *dir,
                      void (*collect)(const struct gtm_state *state, struct gtm_marks *marks))
{
    struct gtm_marks *marks = gtm_calloc(1, sizeof(*marks));
    if (!marks)
        return;
    collect(state, marks);
    for (size_t i = 0; i < marks->count; i++)
        commit_differing(state, commit, dir, i, marks->texts[i]);
    for (size_t i = marks->count; i < GTM_STATE_SHARDS_MAX; i++) {
        char key[KEY_BYTES];
        snprintf(key, sizeof(key), "%s/%04zu", dir, i);
        if (same_as_stored(state, key, NULL))
            break; /* they are numbered without gaps */
        commit_add(commit, dir, i, NULL);
    }
    gtm_buf_fini(&marks->buf);
    gtm_free(marks);
}

static void save_shards(struct gtm_state *state, struct commit *commit)
{
    size_t shards = (state->now->slots_count + GTM_STATE_SHARD_SLOTS - 1) / GTM_STATE_SHARD_SLOTS;
    size_t last = shards > state->shards_stored ? shards : state->shards_stored;
    for (size_t i = 0; i < last && i < GTM_STATE_SHARDS_MAX; i++) {
        if (!state->dirty[i] && !state->all_dirty)
            continue;
        /* At most 100 a turn: marks have room in the same commit as a rule, else the next one. */
        char *text = i < shards ? print_shard(state->now, i) : NULL;
        if (i < shards && !text)
            continue; /* out of memory: stays dirty */
        commit_differing(state, commit, "verdict", i, text);
        state->dirty[i] = false;
    }
    state->shards_stored = shards;
    state->all_dirty = false;
}

/* An order that the store has but that was withdrawn. */
static int visit_withdrawn(void *arg, const struct gtm_store_entry *entry)
{
    struct gtm_state *state = arg;
    const char *key = entry->key + strlen("override/");
    if (strlen(key) < GTM_OVERRIDE_KEY_BYTES &&
        !gtm_overrides_get(&state->now->facts->overrides, key))
        return gtm_state__persist(state, &(struct gtm_state_order_commit){.key = key}, NULL, NULL);
    return 0;
}

/* After trouble: orders that the store does not have yet, and those it should not have any more. */
static void save_orders(struct gtm_state *state)
{
    size_t it = 0;
    const char *key;
    void *value;
    int rc = 0;
    while (!rc && gtm_map_next(state->now->facts->overrides.map, &it, &key, &value)) {
        const struct gtm_override *override = value;
        if (!override->saved)
            rc = gtm_state__persist(
                state, &(struct gtm_state_order_commit){.key = key, .override = override}, NULL,
                NULL);
    }
    if (!rc)
        rc = gtm_store_list(state->opts.store, "override/", visit_withdrawn, state);
    if (rc)
        gtm_state__saved(state, rc, NULL);
}

static void save(struct gtm_state *state)
{
    if (state->save_code)
        save_orders(state);
    struct commit *commit = gtm_calloc(1, sizeof(*commit));
    if (!commit)
        return;
    save_shards(state, commit);
    save_list(state, commit, "lastgood", collect_marks);
    save_list(state, commit, "recovery", collect_recovery);
    if (state->balance_due) {
        save_list(state, commit, "balance", gtm_state__collect_balances);
        state->balance_due = false;
        state->balance_saved_ms = gtm_mono_ms(state->clock);
    }
    if (commit->full)
        state->all_dirty = state->balance_due = true;
    if (commit->count > 0) {
        int rc =
            gtm_store_commit(state->opts.store, commit->changes, commit->count, on_saved, state);
        state->saving = rc == 0;
        if (rc) {
            state->all_dirty = state->balance_due = true;
            gtm_state__saved(state, rc, NULL);
        }
    } else if (state->save_code) {
        gtm_state__saved(state, 0, NULL); /* withdrawn meanwhile: nothing is left to save */
    }
    commit_free(commit);
}

void gtm_state__on_save(void *arg)
{
    struct gtm_state *state = arg;
    state->save_scheduled = false;
    if (state->now && !state->saving)
        save(state);
}

void gtm_state_flush(struct gtm_state *state)
{
    state->balance_due = true;
    if (state->now &&
        state->opts.mode ==
            GTM_STATE_DECIDES) /* also behind one that is under way: the store keeps the order */
        save(state);
}

int gtm_state__store_override(struct gtm_state *state, const struct gtm_state_order_commit *order,
                              gtm_store_done_fn *done, void *arg)
{
    char *text = order->override ? gtm_override_print(order->override) : NULL;
    if (order->override && !text)
        return GTM_ENOMEM;
    char store_key[KEY_BYTES];
    snprintf(store_key, sizeof(store_key), "override/%s", order->key);
    struct gtm_store_change changes[1 + GTM_STATE_ORDER_MORE] = {
        {.kind = text ? GTM_STORE_PUT : GTM_STORE_DELETE,
         .key = store_key,
         .value = text,
         .value_len = text ? strlen(text) : 0,
         .expect = GTM_STORE_ANY}};
    struct gtm_store_entry old = {.value = NULL};
    struct gtm_audit_entry entry = {.time_ms = gtm_wall_ms(state->clock),
                                    .who = order->override ? order->override->owner : "gtmd",
                                    .verb = order->override ? "order" : "order ended",
                                    .subject = order->key,
                                    .why = order->override ? order->override->reason : NULL};
    if (order->entry)
        entry = *order->entry;
    if (gtm_store_get(state->opts.store, store_key, &old) == 0)
        entry.before = old.value;
    entry.after = text;
    for (size_t i = 0; i < order->more_count; i++)
        changes[1 + i] = order->more[i];
    int rc = gtm_audit_commit(state->opts.store, &entry, changes, 1 + order->more_count, done, arg);
    gtm_free(text);
    return rc;
}

/* --- reading --- */

void gtm_state__skip_damaged(const struct gtm_store_entry *entry)
{
    gtm_log(GTM_LOG_ERROR, "state", "a saved entry is damaged and skipped",
            gtm_kv_str("key", entry->key));
}

static int read_override(void *arg, const struct gtm_store_entry *entry)
{
    struct gtm_state *state = arg;
    struct gtm_override override;
    const char *key = entry->key + strlen("override/");
    if (strlen(key) >= GTM_OVERRIDE_KEY_BYTES ||
        gtm_override_parse(entry->value, entry->value_len, &override)) {
        gtm_state__skip_damaged(entry);
        return 0;
    }
    return gtm_overrides_put(&state->boot, key, &override);
}

static int read_verdicts(void *arg, const struct gtm_store_entry *entry)
{
    struct gtm_state *state = arg;
    struct gtm_json *root = gtm_json_parse(entry->value, entry->value_len, NULL);
    if (gtm_json_type(root) != GTM_JSON_OBJECT)
        gtm_state__skip_damaged(entry);
    int rc = 0;
    for (struct gtm_json *m = gtm_json_first(root); m && !rc; m = gtm_json_next(m)) {
        const char *word = gtm_json_as_str(gtm_json_first(m));
        int health = gtm_health_parse(word ? word : "");
        struct gtm_json *since = gtm_json_first(m) ? gtm_json_next(gtm_json_first(m)) : NULL;
        if (health <= GTM_HEALTH_UNKNOWN)
            continue;
        struct gtm_saved_health *saved = gtm_calloc(1, sizeof(*saved));
        if (!saved) {
            rc = GTM_ENOMEM;
            break;
        }
        saved->health = (enum gtm_health)health;
        const struct gtm_json *content = since ? gtm_json_next(since) : NULL;
        saved->since_ms = gtm_json_as_i64(since, 0);
        saved->content = content != NULL;
        saved->held = content && gtm_json_next(content) != NULL;
        void *old = NULL;
        rc = gtm_map_put(state->saved, gtm_json_key(m), saved, &old);
        gtm_free(rc ? saved : old);
    }
    gtm_json_free(root);
    state->shards_stored++;
    return rc;
}

static int read_marks(void *arg, const struct gtm_store_entry *entry)
{
    struct gtm_state *state = arg;
    struct gtm_json *root = gtm_json_parse(entry->value, entry->value_len, NULL);
    if (gtm_json_type(root) != GTM_JSON_ARRAY)
        gtm_state__skip_damaged(entry);
    int rc = 0;
    for (struct gtm_json *m = gtm_json_first(root); m && !rc; m = gtm_json_next(m))
        if (gtm_json_as_str(m))
            rc = gtm_map_put(state->not_last_good, gtm_json_as_str(m), state, NULL);
    gtm_json_free(root);
    return rc;
}

static int read_recovery(void *arg, const struct gtm_store_entry *entry)
{
    struct gtm_state *state = arg;
    struct gtm_json *root = gtm_json_parse(entry->value, entry->value_len, NULL);
    if (gtm_json_type(root) != GTM_JSON_ARRAY)
        gtm_state__skip_damaged(entry);
    int rc = 0;
    for (struct gtm_json *m = gtm_json_first(root); m && !rc; m = gtm_json_next(m)) {
        struct gtm_json *key = gtm_json_first(m), *word = key ? gtm_json_next(key) : NULL;
        struct gtm_json *since = word ? gtm_json_next(word) : NULL;
        struct gtm_json *penalty = since ? gtm_json_next(since) : NULL;
        struct gtm_json *at = penalty ? gtm_json_next(penalty) : NULL;
        struct gtm_json *falls = at ? gtm_json_next(at) : NULL;
        const char *text = gtm_json_as_str(word), *address = gtm_json_as_str(key);
        int known = text ? policy_recovery_parse(text) : -1;
        if (!falls || !address || known < 0)
            continue;
        struct policy_recovery *r = gtm_calloc(1, sizeof(*r));
        if (!r) {
            rc = GTM_ENOMEM;
            break;
        }
        *r = (struct policy_recovery){.state = (enum policy_recovery_state)known,
                                      .since_ms = (uint64_t)gtm_json_as_i64(since, 0),
                                      .penalty = gtm_json_as_num(penalty, 0),
                                      .penalty_ms = (uint64_t)gtm_json_as_i64(at, 0),
                                      .falls = (unsigned)gtm_json_as_i64(falls, 0)};
        void *old = NULL;
        rc = gtm_map_put(state->saved_recovery, address, r, &old);
        gtm_free(rc ? (void *)r : old);
    }
    gtm_json_free(root);
    return rc;
}

int gtm_state_restore(struct gtm_state *state)
{
    int rc = gtm_store_list(state->opts.store, "override/", read_override, state);
    if (state->opts.mode != GTM_STATE_DECIDES)
        return rc;
    if (!rc)
        rc = gtm_store_list(state->opts.store, "verdict/", read_verdicts, state);
    if (!rc)
        rc = gtm_store_list(state->opts.store, "lastgood/", read_marks, state);
    if (!rc)
        rc = gtm_store_list(state->opts.store, "recovery/", read_recovery, state);
    if (!rc)
        rc = gtm_store_list(state->opts.store, "balance/", gtm_state__read_balances, state);
    return rc;
}
