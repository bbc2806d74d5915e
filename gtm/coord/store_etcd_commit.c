/* SPDX-License-Identifier: Apache-2.0
 *
 * Commits of the store over etcd. See store_etcd_txn.h and store_etcd_int.h.
 *
 * Commits go in order, several at a time; one that reads or writes a key that another one under way
 * writes waits for that one, and all after it wait with it. Where nothing can have happened they
 * are sent again until COMMIT_MS have passed. A commit is done when this node's copy shows it, or
 * after SEE_MS.
 */
#include "gtm/coord/store_etcd_txn.h"

#include "gtm/base/log.h"
#include "gtm/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define COMMIT_MS        3000  /* from gtm_store_commit on */
#define GIVE_UP_MS       10000 /* until nobody knows */
#define AGAIN_MS         100
#define SEE_MS           1000
#define TICK_MS          50
#define SLOT_TRIES       3
#define QUEUED_BYTES_MAX (64u << 20)
#define WRITER           0x10000u /* in store->busy: writers above, readers below */

static bool writes(const struct gtm_store_change *ch)
{
    return ch->kind != GTM_STORE_CHECK;
}

/* --- which keys are being read and written --- */

static bool blocked(const struct etcd__store *store, const struct coord__commit *c)
{
    for (size_t i = 0; i < c->count; i++) {
        uintptr_t users = (uintptr_t)gtm_map_get(store->busy, c->changes[i].key);
        if (users && (writes(&c->changes[i]) || users >= WRITER))
            return true;
    }
    return false;
}

static void add_user(struct etcd__store *store, const struct gtm_store_change *ch, bool add)
{
    uintptr_t users = (uintptr_t)gtm_map_get(store->busy, ch->key);
    uintptr_t one = writes(ch) ? WRITER : 1;
    users = add ? users + one : users >= one ? users - one : 0;
    if (users == 0)
        gtm_map_remove(store->busy, ch->key);
    else /* without memory two commits may overtake each other; each is still whole */
        (void)!gtm_map_put(store->busy, ch->key, (void *)users, NULL);
}

static void mark(struct etcd__txn *txn, bool add)
{
    for (size_t i = 0; txn->marked != add && i < txn->commit->count; i++)
        add_user(txn->store, &txn->commit->changes[i], add);
    txn->marked = add;
}

void etcd__settled(struct etcd__txn *txn, enum etcd__stage stage)
{
    mark(txn, false);
    txn->store->slots[txn->slot].taken = false;
    txn->stage = stage;
    txn->wait_until_ms = gtm_mono_ms(txn->store->clock) + SEE_MS;
    gtm_timer_start(txn->store->commit_timer, 0);
}

static void fail(struct etcd__txn *txn, int code, const char *text)
{
    gtm_error_set(&txn->commit->err, code, "%s", text);
    etcd__settled(txn, ETCD__DONE);
}

/* --- sending --- */

static struct etcdc_txn *build(const struct etcd__txn *txn)
{
    const struct etcd__store *store = txn->store;
    const struct coord__commit *c = txn->commit;
    char key[COORD__KEY_BYTES], value[64];
    struct etcdc_buf none = etcdc_bytes("", 0);
    struct etcdc_txn *out = etcdc_txn_new();
    if (!out)
        return NULL;
    for (size_t i = 0; i < c->count; i++) {
        const struct gtm_store_change *ch = &c->changes[i];
        struct etcdc_buf k = etcd__key(ch->key, key);
        if (ch->expect != GTM_STORE_ANY)
            etcdc_txn_if(out, k, ETCDC_MOD_REVISION, ETCDC_EQUAL, ch->expect);
        if (ch->kind == GTM_STORE_PUT)
            etcdc_txn_put(out, false, k, etcdc_bytes(c->values[i], ch->value_len),
                          ch->leased ? store->lease : 0, 0);
        else if (ch->kind == GTM_STORE_DELETE)
            etcdc_txn_delete(out, false, k, none);
        if (ch->expect != GTM_STORE_ANY)
            etcdc_txn_range(out, true, k, none, 1);
    }
    struct etcdc_buf slot = etcd__slot_key(store, txn->slot, key);
    etcd__slot_value(txn, "op", value);
    etcdc_txn_if(out, slot, ETCDC_MOD_REVISION, ETCDC_EQUAL, store->slots[txn->slot].revision);
    etcdc_txn_put(out, false, slot, etcdc_str(value), 0, 0);
    etcdc_txn_range(out, true, slot, none, 1); /* the last of that branch */
    return out;
}

static bool mirrored(const char *key)
{
    return strcmp(key, GTM_STORE_MIRROR_FROM) >= 0;
}

/* What the copy must show before the commit is done: any one of what it writes will do, for they
 * come together. */
static void wait_for_commit(struct etcd__txn *txn)
{
    for (size_t i = 0; i < txn->commit->count; i++) {
        const struct gtm_store_change *ch = &txn->commit->changes[i];
        struct gtm_store_entry entry;
        bool there =
            mirrored(ch->key) && coord__mirror_get(&txn->store->mirror, ch->key, &entry) == GTM_OK;
        if (!mirrored(ch->key) || !writes(ch) || (ch->kind == GTM_STORE_DELETE && !there))
            continue;
        txn->see_key = ch->key;
        txn->see_revision = ch->kind == GTM_STORE_PUT ? txn->commit->revision : 0;
        return;
    }
}

static bool seen(const struct etcd__txn *txn)
{
    struct gtm_store_entry entry;
    int64_t copy = txn->store->mirror.revision, own = txn->commit->revision;
    if (!txn->see_key || (own && copy >= own))
        return true;
    bool there = coord__mirror_get(&txn->store->mirror, txn->see_key, &entry) == GTM_OK;
    return txn->see_revision ? there && entry.revision >= txn->see_revision : !there;
}

/* Which guard did not hold, from the other branch's answers (one for each guard, then the slot).
 * False: none of the caller's. Of several the first is named, and one that the copy can show is
 * waited for, so that who tries again tries with what is there now. */
static bool find_conflict(struct etcd__txn *txn, const struct etcdc_answer *answer)
{
    size_t part = 0;
    bool found = false;
    for (size_t i = 0; i < txn->commit->count; i++) {
        const struct gtm_store_change *ch = &txn->commit->changes[i];
        if (ch->expect == GTM_STORE_ANY)
            continue;
        const struct etcdc_part *p = part < answer->parts_count ? &answer->parts[part] : NULL;
        int64_t now = p && p->kvs_count ? p->kvs[0].mod_revision : 0;
        part++;
        if (now == ch->expect)
            continue;
        if (!found)
            gtm_error_set(&txn->commit->err, GTM_ECONFLICT,
                          "%.200s is at revision %" PRId64 ", expected %" PRId64, ch->key, now,
                          ch->expect);
        found = true;
        if (mirrored(ch->key)) {
            txn->see_key = ch->key;
            txn->see_revision = now;
        }
    }
    return found;
}

static void on_refused(struct etcd__txn *txn, const struct etcdc_answer *answer)
{
    if (find_conflict(txn, answer)) {
        etcd__settled(txn, ETCD__WAIT);
        return;
    }
    /* The slot's key is not where it was thought to be (a run before this one moved it). */
    const struct etcdc_part *last =
        answer->parts_count ? &answer->parts[answer->parts_count - 1] : NULL;
    txn->store->slots[txn->slot].revision = last && last->kvs_count ? last->kvs[0].mod_revision : 0;
    txn->stage = ETCD__SEND;
    txn->next_ms = 0;
    if (++txn->slot_tries > SLOT_TRIES)
        fail(txn, GTM_ECONFLICT, "another node commits under this node's name");
}

/* Reads go well, and yet nothing can be changed: for people. */
static void note_refusal(struct etcd__store *store, const struct etcdc_answer *answer)
{
    bool refused = answer->code == ETCDC_E_NO_SPACE || answer->code == ETCDC_E_DENIED;
    struct gtm_error err = {0};
    if (answer->code == ETCDC_OK && store->unwritable[0]) {
        gtm_log0(GTM_LOG_INFO, "store", "etcd takes changes again");
        store->unwritable[0] = '\0';
    }
    if (!refused)
        return;
    etcd__error(answer->code, answer->text, &err);
    if (!store->unwritable[0]) {
        store->unwritable_since_ms = gtm_wall_ms(store->clock);
        gtm_log(GTM_LOG_ERROR, "store", "etcd takes no changes", gtm_kv_str("why", err.text));
    }
    snprintf(store->unwritable, sizeof(store->unwritable), "%.250s", err.text);
}

static void on_commit(void *arg, const struct etcdc_answer *answer)
{
    struct etcd__txn *txn = arg;
    struct etcd__store *store = txn->store;
    uint64_t now = gtm_mono_ms(store->clock);
    note_refusal(store, answer);
    if (answer->code == ETCDC_OK && answer->succeeded) {
        store->slots[txn->slot].revision = answer->header.revision;
        txn->commit->revision = answer->header.revision;
        wait_for_commit(txn);
        etcd__settled(txn, ETCD__WAIT);
    } else if (answer->code == ETCDC_OK) {
        on_refused(txn, answer);
    } else if (etcdc_class(answer->code) == ETCDC_AMBIGUOUS) {
        txn->stage = ETCD__LOOK;
        txn->next_ms = 0;
    } else if (etcdc_class(answer->code) == ETCDC_RETRY_SAFE && now + AGAIN_MS < txn->late_ms) {
        txn->stage = ETCD__SEND;
        txn->next_ms = now + AGAIN_MS;
    } else {
        etcd__error(answer->code, answer->text, &txn->commit->err);
        etcd__settled(txn, ETCD__DONE);
    }
    etcd__commits_go_on(store);
}

static bool needs_lease(const struct coord__commit *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->changes[i].leased && c->changes[i].kind == GTM_STORE_PUT)
            return true;
    return false;
}

static void send(struct etcd__txn *txn)
{
    struct etcd__store *store = txn->store;
    if (needs_lease(txn->commit) && !store->lease) {
        fail(txn, GTM_ESTATE, "this node has no session with etcd");
        return;
    }
    struct etcdc_txn *out = build(txn);
    txn->stage = ETCD__SENT;
    int rc = out ? etcdc_commit(store->client, out, 0, on_commit, txn) : ETCDC_E_NOMEM;
    if (rc == ETCDC_OK)
        return;
    etcd__error(rc, rc == ETCDC_E_ARG ? "too large for one transaction" : "", &txn->commit->err);
    etcd__settled(txn, ETCD__DONE);
}

/* --- the queue --- */

static bool take_slot(struct etcd__txn *txn)
{
    for (unsigned i = 0; i < COORD__SLOTS; i++) {
        if (txn->store->slots[i].taken)
            continue;
        txn->store->slots[i].taken = true;
        txn->slot = i;
        return true;
    }
    return false;
}

static void start_some(struct etcd__store *store)
{
    while (store->queue && store->open && !store->paused) {
        struct etcd__txn *txn = store->queue;
        if (blocked(store, txn->commit) || !take_slot(txn))
            return;
        store->queue = txn->next;
        if (!store->queue)
            store->queue_last = &store->queue;
        store->queued--;
        store->queued_bytes -= txn->commit->bytes;
        txn->next = store->flight;
        store->flight = txn;
        mark(txn, true);
        send(txn);
    }
}

static void too_late(struct etcd__txn *txn)
{
    const struct etcd__store *store = txn->store;
    if (store->link == GTM_STORE_REFUSED)
        gtm_error_set(&txn->commit->err, GTM_ESTATE, "the store is refused: %.240s", store->why);
    else
        gtm_error_set(&txn->commit->err, GTM_EUNREACHABLE,
                      "etcd cannot be reached; nothing was changed%s%.240s",
                      store->why[0] ? ": " : "", store->why);
    if (txn->marked)
        etcd__settled(txn, ETCD__DONE);
}

/* Commits that could not even begin in time. */
static struct etcd__txn *take_late(struct etcd__store *store, uint64_t now)
{
    if (store->paused)
        return NULL;
    struct etcd__txn *txn = store->queue;
    bool refused = store->link == GTM_STORE_REFUSED;
    if (!txn || (!refused && now < txn->late_ms))
        return NULL;
    store->queue = txn->next;
    if (!store->queue)
        store->queue_last = &store->queue;
    store->queued--;
    store->queued_bytes -= txn->commit->bytes;
    too_late(txn);
    return txn;
}

/* Finished ones, one at a time: a done callback may add others. */
static struct etcd__txn *take_done(struct etcd__store *store, uint64_t now)
{
    for (struct etcd__txn **at = &store->flight; *at; at = &(*at)->next) {
        struct etcd__txn *txn = *at;
        bool over = txn->stage == ETCD__DONE ||
                    (txn->stage == ETCD__WAIT && (now >= txn->wait_until_ms || seen(txn)));
        if (!over)
            continue;
        *at = txn->next;
        return txn;
    }
    return NULL;
}

static void finish(struct etcd__txn *txn)
{
    struct coord__commit *c = txn->commit;
    txn->commit = NULL;
    gtm_free(txn);
    coord__commit_finish(c);
}

/* A commit under way that waits for its next step. */
static void go_on(struct etcd__txn *txn, uint64_t now)
{
    struct etcd__store *store = txn->store;
    bool may = store->open && !store->paused && now >= txn->next_ms;
    if (txn->stage == ETCD__SEND && may)
        send(txn);
    else if (txn->stage == ETCD__LOOK && may)
        etcd__look(txn);
    else if (txn->stage == ETCD__SEND && !store->paused && !store->open && now >= txn->late_ms)
        too_late(txn);
    else if (txn->stage == ETCD__LOOK && now >= txn->give_up_ms)
        etcd__nobody_knows(txn, store->why);
}

static void on_tick(void *arg)
{
    struct etcd__store *store = arg;
    uint64_t now = gtm_mono_ms(store->clock);
    for (struct etcd__txn *txn = store->flight; txn; txn = txn->next)
        go_on(txn, now);
    struct etcd__txn *txn;
    while ((txn = take_done(store, now)) != NULL)
        finish(txn);
    while ((txn = take_late(store, now)) != NULL)
        finish(txn);
    start_some(store);
    if (store->flight || store->queue)
        gtm_timer_start(store->commit_timer, TICK_MS);
}

void etcd__commits_go_on(struct etcd__store *store)
{
    if (store->commit_timer && !store->closing && (store->flight || store->queue))
        gtm_timer_start(store->commit_timer, 0);
}

int etcd__commit(struct gtm_store *base, const struct gtm_store_change *changes, size_t count,
                 gtm_store_done_fn *done, void *arg)
{
    struct etcd__store *store = etcd__of(base);
    if (store->closing)
        return GTM_ESTATE;
    if (store->queued >= GTM_STORE_PENDING_MAX)
        return GTM_ELIMIT;
    struct etcd__txn *txn = gtm_calloc(1, sizeof(*txn));
    if (!store->commit_timer)
        store->commit_timer = gtm_timer_new(store->loop, on_tick, store);
    struct coord__commit *c = coord__commit_copy(changes, count, done, arg);
    bool full = c && store->queued_bytes + c->bytes > QUEUED_BYTES_MAX;
    if (!txn || !store->commit_timer || !c || full) {
        coord__commit_free(c);
        gtm_free(txn);
        return full ? GTM_ELIMIT : GTM_ENOMEM;
    }
    txn->store = store;
    txn->commit = c;
    txn->id = ++store->last_id;
    txn->late_ms = gtm_mono_ms(store->clock) + COMMIT_MS;
    txn->give_up_ms = gtm_mono_ms(store->clock) + GIVE_UP_MS;
    *store->queue_last = txn;
    store->queue_last = &txn->next;
    store->queued++;
    store->queued_bytes += c->bytes;
    gtm_timer_start(store->commit_timer, 0);
    return GTM_OK;
}

void etcd__commits_stop(struct etcd__store *store)
{
    for (struct etcd__txn *txn; (txn = store->flight) != NULL;) {
        store->flight = txn->next;
        etcdc_cancel(store->client, txn);
        bool known = txn->stage == ETCD__WAIT || txn->stage == ETCD__DONE;
        if (!known)
            gtm_error_set(&txn->commit->err, txn->stage == ETCD__SEND ? GTM_ESTATE : GTM_EIO,
                          txn->stage == ETCD__SEND
                              ? "the store is closed; nothing was changed"
                              : "the store is closed: the change may have happened");
        finish(txn);
    }
    for (struct etcd__txn *txn; (txn = store->queue) != NULL;) {
        store->queue = txn->next;
        gtm_error_set(&txn->commit->err, GTM_ESTATE, "the store is closed; nothing was changed");
        finish(txn);
    }
    store->queue_last = &store->queue;
}
