/* SPDX-License-Identifier: Apache-2.0
 *
 * See resign.h. Who asks looks every LOOK_MS at what the store's copy says; the leader watches.
 */
#include "gtm/daemon/resign.h"

#include "gtm/base/json.h"
#include "gtm/base/log.h"
#include "gtm/base/loop.h"
#include "gtm/base/mem.h"
#include "gtm/coord/audit.h"
#include "gtm/model/intent.h"

#include <stdio.h>
#include <string.h>

#define LOOK_MS 50u

/* Somebody who waits. */
struct ask {
    struct ask *next;
    struct gtm_resign *resign;
    gtm_resign_fn *done;
    void *arg;
    struct gtm_resign_outcome outcome;
    char who[128];
    const char *role;
    int64_t written; /* revision of the request; 0 = not yet */
    uint64_t since_ms;
    bool committing; /* the answer of a commit comes */
    bool withdrawn;  /* tried, once */
};

struct gtm_resign {
    struct gtm_resign_opts opts;
    char node[GTM_NAME_MAX + 1];
    struct gtm_store_watch *watch;
    struct gtm_timer *timer;
    struct ask *asks;
    unsigned commits; /* whose answers come, also after gtm_resign_free */
    bool gone;
};

/* --- life --- */

static void let_go(struct gtm_resign *r)
{
    if (r->gone && r->commits == 0)
        gtm_free(r);
}

/* Tells; what waits for a commit is freed when that has answered. */
static void finish(struct ask *ask, int code)
{
    struct gtm_resign *r = ask->resign;
    for (struct ask **at = &r->asks; *at; at = &(*at)->next)
        if (*at == ask) {
            *at = ask->next;
            break;
        }
    ask->outcome.code = code;
    gtm_resign_fn *done = ask->done;
    ask->done = NULL;
    gtm_leader_info(r->opts.store, &ask->outcome.now);
    done(ask->arg, &ask->outcome);
    if (!ask->committing)
        gtm_free(ask);
}

static bool answered(struct ask *ask)
{
    ask->committing = false;
    ask->resign->commits--;
    if (ask->done)
        return true;
    struct gtm_resign *r = ask->resign;
    gtm_free(ask); /* nobody waits any more */
    let_go(r);
    return false;
}

/* --- who asks --- */

static void on_withdrawn(void *arg, const struct gtm_store_result *result)
{
    struct ask *ask = arg;
    if (!answered(ask) || result->code) /* taken after all: the next leader is waited for */
        return;
    finish(ask, gtm_error_set(&ask->outcome.err, GTM_ETIMEOUT,
                              "%s did not take the request in %u s: it was withdrawn, and nothing "
                              "was changed",
                              ask->outcome.before.node, GTM_RESIGN_TAKE_MS / 1000));
}

static void withdraw(struct ask *ask)
{
    struct gtm_store_entry entry;
    ask->withdrawn = true;
    if (gtm_store_get(ask->resign->opts.store, GTM_RESIGN_KEY, &entry) != GTM_OK)
        return; /* taken */
    struct gtm_store_change change = {
        .kind = GTM_STORE_DELETE, .key = GTM_RESIGN_KEY, .expect = ask->written};
    if (gtm_store_commit(ask->resign->opts.store, &change, 1, on_withdrawn, ask))
        return; /* it goes with this node, and nothing is worse by then */
    ask->committing = true;
    ask->resign->commits++;
}

static void look(struct ask *ask, uint64_t now_ms)
{
    struct gtm_leader_info now;
    gtm_leader_info(ask->resign->opts.store, &now);
    if (now.node[0] && now.fence != ask->outcome.before.fence)
        finish(ask, GTM_OK);
    else if (now_ms - ask->since_ms >= GTM_RESIGN_LEAD_MS && !ask->committing)
        finish(ask, gtm_error_set(&ask->outcome.err, GTM_ETIMEOUT,
                                  now.node[0] ? "%s was asked to resign, but leads after %u s"
                                              : "%s leads no more, but nobody else does after %u s",
                                  ask->outcome.before.node, GTM_RESIGN_LEAD_MS / 1000));
    else if (now_ms - ask->since_ms >= GTM_RESIGN_TAKE_MS && !ask->withdrawn)
        withdraw(ask);
}

static void on_look(void *arg)
{
    struct gtm_resign *r = arg;
    uint64_t now_ms = gtm_mono_ms(r->opts.clock);
    for (struct ask *ask = r->asks, *next; ask; ask = next) {
        next = ask->next;
        if (ask->written)
            look(ask, now_ms);
    }
    if (r->asks)
        gtm_timer_start(r->timer, LOOK_MS);
}

static void on_asked(void *arg, const struct gtm_store_result *result)
{
    struct ask *ask = arg;
    if (!answered(ask))
        return;
    if (result->code == GTM_ECONFLICT) {
        finish(ask, gtm_error_set(&ask->outcome.err, GTM_ECONFLICT,
                                  "%s leads no more: look again (gtmctl leader show)",
                                  ask->outcome.before.node));
        return;
    }
    if (result->code) {
        ask->outcome.err = *result->err;
        finish(ask, result->code);
        return;
    }
    ask->written = result->revision;
    ask->since_ms = gtm_mono_ms(ask->resign->opts.clock);
    gtm_timer_start(ask->resign->timer, LOOK_MS);
}

static int write_request(struct ask *ask)
{
    const struct gtm_resign_opts *opts = &ask->resign->opts;
    const struct gtm_leader_info *leader = &ask->outcome.before;
    int64_t at_ms = gtm_wall_ms(opts->clock);
    struct gtm_json *root = gtm_json_object();
    gtm_json_add_i64(root, "v", 1);
    gtm_json_add_i64(root, "fence", leader->fence);
    gtm_json_add_str(root, "owner", ask->who);
    gtm_json_add_i64(root, "at", at_ms);
    char *text = gtm_json_print(root, false);
    gtm_json_free(root);
    struct gtm_store_change changes[] = {
        {.kind = GTM_STORE_CHECK, .key = leader->key, .expect = leader->fence},
        {.kind = GTM_STORE_PUT,
         .key = GTM_RESIGN_KEY,
         .value = text,
         .value_len = text ? strlen(text) : 0,
         .expect = GTM_STORE_ANY,
         .leased = true}};
    struct gtm_audit_entry entry = {.time_ms = at_ms,
                                    .who = ask->who,
                                    .role = ask->role,
                                    .node = opts->node,
                                    .verb = "leader resign",
                                    .subject = leader->node};
    int rc = text ? gtm_audit_commit(opts->store, &entry, changes, 2, on_asked, ask) : GTM_ENOMEM;
    gtm_free(text);
    return rc;
}

int gtm_resign_ask(struct gtm_resign *resign, const char *who, const char *role,
                   gtm_resign_fn *done, void *arg)
{
    unsigned waiting = 0;
    for (const struct ask *one = resign->asks; one; one = one->next)
        waiting++;
    if (waiting >= GTM_RESIGN_ASKS_MAX)
        return GTM_ELIMIT;
    struct gtm_leader_info leader;
    gtm_leader_info(resign->opts.store, &leader);
    if (!leader.node[0])
        return GTM_ENOTFOUND;
    struct ask *ask = gtm_calloc(1, sizeof(*ask));
    if (!ask)
        return GTM_ENOMEM;
    *ask = (struct ask){
        .resign = resign, .done = done, .arg = arg, .role = role, .outcome.before = leader};
    snprintf(ask->who, sizeof(ask->who), "%s", who);
    int rc = write_request(ask);
    if (rc) {
        gtm_free(ask);
        return rc;
    }
    ask->committing = true;
    resign->commits++;
    ask->next = resign->asks;
    resign->asks = ask;
    return GTM_OK;
}

/* --- the leader --- */

static void on_taken(void *arg, const struct gtm_store_result *result)
{
    struct gtm_resign *r = arg;
    r->commits--;
    if (!r->gone && result->code == GTM_OK) {
        gtm_log0(GTM_LOG_INFO, "leader", "this node was asked to give leadership up");
        r->opts.resign(r->opts.ctx, GTM_RESIGN_PAUSE_MS);
    }
    let_go(r); /* what failed was withdrawn, or is not this leader's to take */
}

static void on_request(void *arg, const struct gtm_store_entry *entry)
{
    struct gtm_resign *r = arg;
    int64_t fence = r->opts.fence(r->opts.ctx);
    struct gtm_store_change changes[2];
    char guard_key[GTM_STORE_KEY_MAX + 1];
    if (!entry->value || fence == 0)
        return;
    struct gtm_json *root = gtm_json_parse(entry->value, entry->value_len, NULL);
    bool ours = gtm_json_i64(root, "fence", 0) == fence;
    gtm_json_free(root);
    if (!ours || r->opts.guard(r->opts.ctx, &changes[0]))
        return;
    snprintf(guard_key, sizeof(guard_key), "%s", changes[0].key);
    changes[0].key = guard_key;
    changes[1] = (struct gtm_store_change){
        .kind = GTM_STORE_DELETE, .key = GTM_RESIGN_KEY, .expect = entry->revision};
    int rc = gtm_store_commit(r->opts.store, changes, 2, on_taken, r);
    if (rc)
        gtm_log(GTM_LOG_WARN, "leader", "a request to resign is not taken",
                gtm_kv_str("error", gtm_err_text(rc)));
    else
        r->commits++;
}

/* --- life --- */

struct gtm_resign *gtm_resign_new(const struct gtm_resign_opts *opts)
{
    struct gtm_resign *r = gtm_calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    r->opts = *opts;
    snprintf(r->node, sizeof(r->node), "%s", opts->node);
    r->opts.node = r->node;
    r->timer = gtm_timer_new(opts->loop, on_look, r);
    r->watch = gtm_store_watch(opts->store, GTM_RESIGN_KEY, on_request, r);
    if (r->timer && r->watch)
        return r;
    gtm_resign_free(r);
    return NULL;
}

void gtm_resign_free(struct gtm_resign *resign)
{
    if (!resign)
        return;
    while (resign->asks)
        finish(resign->asks, gtm_error_set(&resign->asks->outcome.err, GTM_ESTATE,
                                           "this node stops; look who leads (gtmctl leader show)"));
    gtm_store_unwatch(resign->opts.store, resign->watch);
    gtm_timer_free(resign->timer);
    resign->gone = true;
    let_go(resign);
}
