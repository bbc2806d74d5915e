/* SPDX-License-Identifier: Apache-2.0
 *
 * See follower.h.
 */
#include "gtm/daemon/follower.h"

#include "gtm/base/json.h"
#include "gtm/base/log.h"
#include "gtm/base/loop.h"
#include "gtm/base/map.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/conductor.h"

#include <stdio.h>
#include <string.h>

/* Why an object could not be taken, and since when. */
struct bad {
    int64_t since_ms;
    char why[160];
};

/* A number of the rising revisions, kept behind a pointer of a map. */
struct applied {
    int64_t rev;
};

struct gtm_follower {
    struct gtm_follower_opts opts;
    struct gtm_conductor *conductor;
    struct gtm_store_watch *verdicts, *views, *orders, *identity;
    struct gtm_timer *timer; /* once per turn of the loop */
    struct gtm_map *due;     /* pools whose verdicts changed → 1 */
    struct gtm_map *applied; /* pool → struct applied */
    struct gtm_map *bad;     /* key → struct bad */
    int64_t view, epoch;
    bool view_due, all_due;
    const char *why; /* own checks may remove nothing */
};

/* --- what could not be read --- */

static void note_bad(struct gtm_follower *f, const char *key, const char *why)
{
    struct bad *bad = gtm_map_get(f->bad, key);
    if (!bad) {
        bad = gtm_calloc(1, sizeof(*bad));
        if (bad)
            bad->since_ms = gtm_wall_ms(gtm_clock_system());
        if (bad && gtm_map_put(f->bad, key, bad, NULL)) {
            gtm_free(bad);
            bad = NULL;
        }
        gtm_log(GTM_LOG_ERROR, "follower", "an object cannot be read: the last one stays in force",
                gtm_kv_str("key", key), gtm_kv_str("why", why));
    }
    if (bad)
        snprintf(bad->why, sizeof(bad->why), "%s", why);
}

static void note_good(struct gtm_follower *f, const char *key)
{
    gtm_free(gtm_map_remove(f->bad, key));
}

size_t gtm_follower_bad(const struct gtm_follower *f, char ret_key[160], char ret_why[160],
                        int64_t *ret_since_ms)
{
    size_t it = 0;
    const char *key;
    void *value;
    if (!gtm_map_next(f->bad, &it, &key, &value))
        return 0;
    const struct bad *bad = value;
    snprintf(ret_key, 160, "%s", key);
    snprintf(ret_why, 160, "%s", bad->why);
    *ret_since_ms = bad->since_ms;
    return gtm_map_count(f->bad);
}

/* --- verdicts --- */

static const struct gtm_intent *intent_of(const struct gtm_follower *f)
{
    const struct gtm_facts *facts = gtm_state_facts(f->opts.state);
    return facts ? facts->intent : NULL;
}

/* Remembers the revision; false: it is older than what is in force. */
static bool rises(struct gtm_follower *f, const char *pool, int64_t rev)
{
    struct applied *applied = gtm_map_get(f->applied, pool);
    if (applied && rev < applied->rev)
        return false;
    if (!applied) {
        applied = gtm_calloc(1, sizeof(*applied));
        if (applied && gtm_map_put(f->applied, pool, applied, NULL)) {
            gtm_free(applied);
            applied = NULL;
        }
    }
    if (applied)
        applied->rev = rev;
    return true;
}

static void take(struct gtm_follower *f, const struct gtm_store_entry *entry)
{
    const struct gtm_intent *intent = intent_of(f);
    const char *name = entry->key + strlen("verdict/");
    int pool = intent ? gtm_intent_pool(intent, name) : -1;
    struct gtm_verdict_doc doc = {0};
    struct gtm_error err = {0};
    if (pool < 0)
        return;
    int rc = gtm_verdict_doc_parse(entry->value, entry->value_len, &doc, &err);
    if (rc) {
        note_bad(f, entry->key, err.text[0] ? err.text : gtm_err_text(rc));
        return;
    }
    if (rises(f, name, doc.rev)) {
        gtm_state_follow_verdict(f->opts.state, (size_t)pool, &doc);
        note_good(f, entry->key);
    } else {
        note_bad(f, entry->key, "its revision is below the one in force");
    }
    gtm_verdict_doc_fini(&doc);
}

static int visit_verdict(void *arg, const struct gtm_store_entry *entry)
{
    take(arg, entry);
    return 0;
}

static void take_all(struct gtm_follower *f)
{
    if (gtm_store_list(f->opts.store, "verdict/", visit_verdict, f)) {
        gtm_log0(GTM_LOG_ERROR, "follower", "out of memory: verdicts are taken again soon");
        f->all_due = true;
        gtm_timer_start(f->timer, 1000);
    }
}

static void take_due(struct gtm_follower *f)
{
    size_t it = 0;
    const char *name;
    void *value;
    while (gtm_map_next(f->due, &it, &name, &value)) {
        char key[GTM_NAME_MAX + 16];
        struct gtm_store_entry entry;
        snprintf(key, sizeof(key), "verdict/%s", name);
        if (!gtm_store_get(f->opts.store, key, &entry))
            take(f, &entry);
        gtm_map_remove(f->due, name);
    }
}

/* The view in the copy; false: none that can be read. */
static bool read_view(struct gtm_follower *f, int64_t *ret_rev, bool *ret_more)
{
    struct gtm_store_entry entry;
    struct gtm_error err = {0};
    if (gtm_store_get(f->opts.store, "view/rev", &entry))
        return false;
    struct gtm_json *root = gtm_json_parse(entry.value, entry.value_len, &err);
    *ret_rev = gtm_json_i64(root, "rev", 0);
    *ret_more = gtm_json_bool(root, "more", false);
    gtm_json_free(root);
    if (*ret_rev <= 0) {
        note_bad(f, "view/rev", err.text[0] ? err.text : "it has no revision");
        return false;
    }
    note_good(f, "view/rev");
    return true;
}

/* All that this turn of the loop brought. */
static void on_timer(void *arg)
{
    struct gtm_follower *f = arg;
    int64_t rev = 0;
    bool more = false, view = read_view(f, &rev, &more) && (f->view_due || f->all_due);
    bool merging = f->conductor && gtm_conductor_merging(f->conductor);
    f->view_due = false;
    if (merging && view && rev > f->view) {
        gtm_conductor_view(f->conductor, rev, more);
        merging = gtm_conductor_merging(f->conductor);
        f->all_due = f->all_due || !merging; /* what the merge made is over, too */
    }
    if (merging)
        return; /* the merge stands until the next whole view */
    if (f->all_due)
        take_all(f);
    f->all_due = false;
    take_due(f);
    gtm_state_followed(f->opts.state);
    if (view && rev > f->view) {
        f->view = rev;
        if (f->opts.on_view)
            f->opts.on_view(f->opts.ctx, rev);
    }
    if (view && f->conductor)
        gtm_conductor_view(f->conductor, rev, more);
}

static void on_verdict(void *arg, const struct gtm_store_entry *entry)
{
    struct gtm_follower *f = arg;
    const char *name = entry->key + strlen("verdict/");
    if (!entry->value) {
        gtm_free(gtm_map_remove(f->applied, name));
        gtm_map_remove(f->due, name);
        note_good(f, entry->key);
        return; /* the last word stays until the intent has no such pool */
    }
    if (gtm_map_put(f->due, name, f, NULL))
        f->all_due = true;
    gtm_timer_start(f->timer, 0);
}

static void on_view(void *arg, const struct gtm_store_entry *entry)
{
    struct gtm_follower *f = arg;
    (void)entry;
    f->view_due = true;
    gtm_timer_start(f->timer, 0);
}

/* Another epoch: what is in the store is the truth, though its revisions may be lower. */
static void on_identity(void *arg, const struct gtm_store_entry *entry)
{
    struct gtm_follower *f = arg;
    struct gtm_json *root =
        entry->value ? gtm_json_parse(entry->value, entry->value_len, NULL) : NULL;
    int64_t epoch = gtm_json_i64(root, "epoch", 0);
    gtm_json_free(root);
    if (epoch <= f->epoch)
        return;
    f->epoch = epoch;
    size_t it = 0;
    const char *name;
    void *value;
    while (gtm_map_next(f->applied, &it, &name, &value))
        gtm_free(gtm_map_remove(f->applied, name));
    if (f->conductor)
        gtm_conductor_restored(f->conductor);
    f->view = 0;
    f->all_due = f->view_due = true;
    gtm_timer_start(f->timer, 0);
}

void gtm_follower_intent(struct gtm_follower *f)
{
    f->all_due = f->view_due = true;
    on_timer(f);
}

void gtm_follower_mode(struct gtm_follower *f, enum policy_role_mode mode)
{
    bool merging = gtm_conductor_merging(f->conductor);
    gtm_conductor_mode(f->conductor, mode);
    if (merging && !gtm_conductor_merging(f->conductor))
        gtm_follower_intent(f);
}

/* --- orders --- */

static void on_order(void *arg, const struct gtm_store_entry *entry)
{
    struct gtm_follower *f = arg;
    const char *key = entry->key + strlen("override/");
    if (strlen(key) >= GTM_OVERRIDE_KEY_BYTES) {
        if (entry->value)
            note_bad(f, entry->key, "its key is too long");
        else
            note_good(f, entry->key);
        return;
    }
    int rc = gtm_state_order(f->opts.state, key, entry->value, entry->value_len);
    if (f->conductor)
        gtm_conductor_order(f->conductor, key, entry->value, entry->value_len);
    if (rc)
        note_bad(f, entry->key, gtm_err_text(rc));
    else
        note_good(f, entry->key);
}

/* --- isolated --- */

static bool any_up(const struct gtm_follower *f)
{
    const struct gtm_intent *intent = intent_of(f);
    bool up = false;
    for (size_t p = 0; intent && p < intent->pools_count && !up; p++) {
        size_t count = 0, known = 0;
        struct gtm_obs_slot *slots = gtm_state_observations(f->opts.state, p, &count, &known);
        for (size_t i = 0; i < count && !up; i++)
            up = slots[i].health == GTM_HEALTH_UP;
        gtm_free(slots);
    }
    return up;
}

void gtm_follower_isolated(struct gtm_follower *f, bool isolated, bool allowed, bool have_canaries,
                           bool canaries_fit)
{
    f->why = "";
    if (isolated && !allowed)
        f->why = "dns.when_isolated is freeze";
    else if (isolated && have_canaries && !canaries_fit)
        f->why = "the canaries do not answer";
    else if (isolated && !have_canaries && !any_up(f))
        f->why = "none of this node's own targets is up, and no canary says that its network works";
    gtm_state_isolated(f->opts.state, isolated && !f->why[0]);
}

const char *gtm_follower_isolated_why(const struct gtm_follower *f)
{
    return f->why;
}

int64_t gtm_follower_view(const struct gtm_follower *f)
{
    return f->view;
}

/* --- life --- */

void gtm_follower_conductor(struct gtm_follower *f, struct gtm_conductor *conductor)
{
    f->conductor = conductor;
}

struct gtm_follower *gtm_follower_new(const struct gtm_follower_opts *opts)
{
    struct gtm_follower *f = gtm_calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->opts = *opts;
    f->why = "";
    f->due = gtm_map_new();
    f->applied = gtm_map_new();
    f->bad = gtm_map_new();
    f->timer = gtm_timer_new(opts->loop, on_timer, f);
    f->verdicts = gtm_store_watch(opts->store, "verdict/", on_verdict, f);
    f->views = gtm_store_watch(opts->store, "view/rev", on_view, f);
    f->orders = gtm_store_watch(opts->store, "override/", on_order, f);
    f->identity = gtm_store_watch(opts->store, "store/id", on_identity, f);
    if (!f->due || !f->applied || !f->bad || !f->timer || !f->verdicts || !f->views || !f->orders ||
        !f->identity) {
        gtm_follower_free(f);
        return NULL;
    }
    struct gtm_store_entry entry;
    if (!gtm_store_get(opts->store, "store/id", &entry))
        on_identity(f, &entry);
    return f;
}

void gtm_follower_free(struct gtm_follower *f)
{
    if (!f)
        return;
    gtm_store_unwatch(f->opts.store, f->verdicts);
    gtm_store_unwatch(f->opts.store, f->views);
    gtm_store_unwatch(f->opts.store, f->orders);
    gtm_store_unwatch(f->opts.store, f->identity);
    gtm_timer_free(f->timer);
    gtm_map_free(f->due, NULL);
    gtm_map_free(f->applied, gtm_free);
    gtm_map_free(f->bad, gtm_free);
    gtm_free(f);
}
