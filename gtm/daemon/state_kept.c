/* SPDX-License-Identifier: Apache-2.0
 *
 * Balanced weights and sheds over a restart and a hand-over: what moved in small steps for minutes
 * must not start anew because the process does. Kept at most every half minute, and once more
 * before the store is closed:
 *
 *     balance/NNNN    [at_ms, ["policy/steer/pool/endpoint", weight, users, connections, ms], …,
 *                      ["pool/region", shed, kept, rest, 0], …]
 *
 * Users have gone elsewhere by the time a text is ten minutes old: it is forgotten. Damaged entries
 * are skipped; what is not found starts as without memory. Control thread.
 */
#include "gtm/base/mem.h"
#include "gtm/daemon/state_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEP_EVERY_MS  30000
#define KEEP_AGAIN_MS  120000 /* unchanged: only its age is renewed */
#define KEPT_FOR_MS    600000
#define AGE_STEP_MS    60000 /* what is stored changes no more often for its age alone */
#define KEPT_ENTRIES   500
#define KEPT_KEY_BYTES (4 * (GTM_NAME_MAX + 1) + 1)
#define WEIGHT_MAX     65535

static bool policy_key(const struct gtm_intent *intent, const struct gtm_policy *policy,
                       size_t endpoint, char out[KEPT_KEY_BYTES])
{
    const struct gtm_pool *pool = &intent->pools[policy->pool];
    int n = snprintf(out, KEPT_KEY_BYTES, "%s/%s/%s/%s", policy->name,
                     gtm_steer_words[policy->steer], pool->name, pool->endpoints[endpoint].name);
    return n > 0 && n < KEPT_KEY_BYTES;
}

static void region_key(const struct gtm_intent *intent, size_t pool, size_t region,
                       char out[KEPT_KEY_BYTES])
{
    snprintf(out, KEPT_KEY_BYTES, "%s/%s", intent->pools[pool].name, intent->regions[region].name);
}

/* ---- writing ---- */

static void add(struct gtm_marks *marks, int64_t at_ms, const char *key, const double value[4])
{
    struct gtm_buf *buf = &marks->buf;
    if (!marks->in_buf)
        gtm_buf_addf(buf, "[%lld", (long long)at_ms);
    gtm_buf_addf(buf, ",[");
    gtm_json_quote(buf, key, strlen(key));
    for (unsigned i = 0; i < 4; i++)
        gtm_buf_addf(buf, ",%.6g", isfinite(value[i]) ? value[i] : 0);
    gtm_buf_addc(buf, ']');
    if (++marks->in_buf == KEPT_ENTRIES)
        gtm_state__marks_close(marks);
}

void gtm_state__collect_balances(const struct gtm_state *state, struct gtm_marks *marks)
{
    const struct gtm_state_next *now = state->now;
    const struct gtm_intent *intent = now->facts->intent;
    int64_t at_ms = gtm_wall_ms(state->clock) / AGE_STEP_MS * AGE_STEP_MS;
    char key[KEPT_KEY_BYTES];
    for (size_t i = 0; i < now->balances_count; i++) {
        const struct gtm_policy *policy = &intent->policies[now->balances[i].policy];
        for (size_t e = 0; e < intent->pools[policy->pool].endpoints_count; e++) {
            const struct policy_balance_endpoint *b = &now->balances[i].endpoints[e];
            if (b->weight && policy_key(intent, policy, e, key))
                add(marks, at_ms, key,
                    (const double[4]){b->weight, b->users, b->mean_connections, b->mean_ms});
        }
    }
    for (size_t i = 0; i < now->spills_count; i++) {
        const struct gtm_spill *s = &now->spills[i];
        for (size_t r = 0; r < s->count; r++) {
            const struct policy_spill_region *region = &s->regions[r];
            if (region->shed == 0 && (!region->known || region->kept >= 1) && region->rest <= 0)
                continue;
            region_key(intent, s->pool, s->region_of[r], key);
            add(marks, at_ms, key,
                (const double[4]){region->shed, region->known ? region->kept : -1, region->rest});
        }
    }
    gtm_state__marks_close(marks);
}

void gtm_state__keep_balances(struct gtm_state *state, bool changed)
{
    uint64_t age = gtm_mono_ms(state->clock) - state->balance_saved_ms;
    state->balance_due = state->balance_due || changed || age >= KEEP_AGAIN_MS;
    if (state->balance_due && age >= KEEP_EVERY_MS)
        gtm_state__save_soon(state);
}

/* ---- reading ---- */

static int read_one(struct gtm_state *state, struct gtm_json *entry)
{
    struct gtm_json *at = gtm_json_first(entry);
    const char *key = gtm_json_as_str(at);
    struct gtm_kept *kept = key ? gtm_calloc(1, sizeof(*kept)) : NULL;
    if (!kept)
        return key ? GTM_ENOMEM : 0;
    for (unsigned i = 0; i < 4; i++) {
        at = at ? gtm_json_next(at) : NULL;
        kept->value[i] = at ? gtm_json_as_num(at, NAN) : NAN;
    }
    void *old = NULL;
    int rc = gtm_map_put(state->saved_balance, key, kept, &old);
    gtm_free(rc ? (void *)kept : old);
    return rc;
}

int gtm_state__read_balances(void *arg, const struct gtm_store_entry *entry)
{
    struct gtm_state *state = arg;
    struct gtm_json *root = gtm_json_parse(entry->value, entry->value_len, NULL);
    struct gtm_json *at = gtm_json_first(root);
    int64_t at_ms = at ? gtm_json_as_i64(at, 0) : 0, now = gtm_wall_ms(state->clock);
    int rc = 0;
    if (gtm_json_type(root) != GTM_JSON_ARRAY)
        gtm_state__skip_damaged(entry);
    else if (at_ms > 0 && at_ms >= now - KEPT_FOR_MS && at_ms <= now + KEPT_FOR_MS)
        for (struct gtm_json *m = gtm_json_next(at); m && !rc; m = gtm_json_next(m))
            rc = read_one(state, m);
    gtm_json_free(root);
    return rc;
}

/* NULL: nothing usable is kept under the key. */
static const struct gtm_kept *find(const struct gtm_state *state, const char *key, double max)
{
    const struct gtm_kept *kept = gtm_map_get(state->saved_balance, key);
    bool fine = kept && kept->value[0] >= 0 && kept->value[0] <= max;
    for (unsigned i = 0; fine && i < 4; i++)
        fine = isfinite(kept->value[i]);
    return fine ? kept : NULL;
}

static double between(double value, double low, double high)
{
    return fmin(fmax(value, low), high);
}

/* An endpoint that is new gets its configured weight in the scale of the others. */
static int put_weights(struct gtm_state_next *next, const struct gtm_balance *b)
{
    const struct gtm_policy *policy = &next->facts->intent->policies[b->policy];
    const struct gtm_pool *pool = &next->facts->intent->pools[policy->pool];
    double sum = 0, configured = 0;
    uint32_t *weights = gtm_calloc(pool->endpoints_count, sizeof(*weights));
    if (!weights)
        return GTM_ENOMEM;
    for (size_t e = 0; e < pool->endpoints_count; e++) {
        sum += b->endpoints[e].weight;
        configured += b->endpoints[e].weight ? pool->endpoints[e].weight : 0;
    }
    double scale = configured > 0 ? sum / configured : 1;
    for (size_t e = 0; e < pool->endpoints_count; e++)
        weights[e] = b->endpoints[e].weight
                         ? b->endpoints[e].weight
                         : (uint32_t)between(pool->endpoints[e].weight * scale, 1, WEIGHT_MAX);
    int rc = gtm_states_set_balance(next->facts->states, b->policy, weights, pool->endpoints_count,
                                    NULL);
    gtm_free(weights);
    return rc;
}

int gtm_state__recall_balance(const struct gtm_state *state, struct gtm_state_next *next,
                              struct gtm_balance *balance)
{
    const struct gtm_intent *intent = next->facts->intent;
    const struct gtm_policy *policy = &intent->policies[balance->policy];
    char key[KEPT_KEY_BYTES];
    bool any = false;
    for (size_t e = 0; e < intent->pools[policy->pool].endpoints_count; e++) {
        struct policy_balance_endpoint *to = &balance->endpoints[e];
        const struct gtm_kept *kept =
            policy_key(intent, policy, e, key) ? find(state, key, WEIGHT_MAX) : NULL;
        if (!kept || kept->value[0] < 1)
            continue;
        any = true;
        to->weight = (uint32_t)kept->value[0];
        to->users = between(kept->value[1], 0, 1);
        to->mean_connections = fmax(kept->value[2], 0);
        to->mean_ms = fmax(kept->value[3], 0);
    }
    return any ? put_weights(next, balance) : 0;
}

void gtm_state__recall_spill(const struct gtm_state *state, struct gtm_state_next *next,
                             struct gtm_spill *spill)
{
    char key[KEPT_KEY_BYTES];
    for (size_t r = 0; r < spill->count; r++) {
        struct policy_spill_region *to = &spill->regions[r];
        region_key(next->facts->intent, spill->pool, spill->region_of[r], key);
        const struct gtm_kept *kept = find(state, key, GTM_SHARE_FULL);
        if (!kept)
            continue;
        to->shed = (unsigned)kept->value[0];
        to->known = kept->value[1] >= 0;
        to->kept = to->known ? between(kept->value[1], 0, 1) : 0;
        to->rest = between(kept->value[2], 0, 1);
        gtm_states_set_shed(next->facts->states, spill->pool, spill->region_of[r], to->shed, NULL);
    }
}
