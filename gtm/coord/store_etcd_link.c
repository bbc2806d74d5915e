/* SPDX-License-Identifier: Apache-2.0
 *
 * Whose store it is, and what is heard from it. See store_etcd_int.h.
 *
 * Before anything is believed (and every few seconds afterwards) store/id is read with a quorum,
 * and judged with the answer's cluster and revision (identity.h). Only then the watch runs. What it
 * brings is staged until a whole transaction is there; a store/id among it that says "restoring",
 * whose epoch fell or whose id is another, ends the watch before it takes effect. A store without
 * store/id is given one, so that it can be told from one made anew.
 */
#include "gtm/coord/store_etcd_int.h"

#include "gtm/base/json.h"
#include "gtm/base/log.h"
#include "gtm/base/mem.h"

#include <stdio.h>
#include <string.h>

#define ASK_MS         500  /* while it is not ours or not heard */
#define ASK_AGAIN_MS   5000 /* while it is */
#define WHY_KIND_BYTES 20
#define RELIST_MS      1000 /* after memory ran out */

static void ask(void *arg);

void etcd__set_link(struct etcd__store *store, enum gtm_store_link link, const char *why)
{
    bool same = store->link == link;
    /* Another reason; not another number in it. */
    bool news = link == GTM_STORE_REFUSED && strncmp(store->why, why, WHY_KIND_BYTES) != 0;
    snprintf(store->why, sizeof(store->why), "%s", why);
    if (same && news)
        gtm_log(GTM_LOG_WARN, "store", "etcd is refused for another reason",
                gtm_kv_str("why", store->why));
    if (same)
        return;
    static const char *const words[] = {"connecting", "fresh", "away", "refused"};
    gtm_log(link == GTM_STORE_FRESH ? GTM_LOG_INFO : GTM_LOG_WARN, "store", "the link to etcd",
            gtm_kv_str("was", words[store->link]), gtm_kv_str("is", words[link]),
            gtm_kv_str("why", store->why), gtm_kv_int("revision", store->mirror.revision));
    store->link = link;
    store->since_ms = gtm_wall_ms(store->clock);
    if (store->on_link)
        store->on_link(store->arg, link);
}

void etcd__ask_soon(struct etcd__store *store, uint64_t delay_ms)
{
    if (!store->closing)
        gtm_timer_start(store->ask_timer, delay_ms);
}

/* --- what comes from the watch --- */

bool etcd__value_ok(const char *text, size_t len, const char **ret_why)
{
    *ret_why = "is no JSON";
    if (len > GTM_STORE_VALUE_MAX) {
        *ret_why = "is larger than 256 KiB";
        return false;
    }
    struct gtm_json *json = gtm_json_parse(text, len, NULL);
    if (!json)
        return false;
    const struct gtm_json *v = gtm_json_get(json, "v");
    bool good = !v || gtm_json_as_num(v, GTM_STORE_FORMAT + 1.0) <= GTM_STORE_FORMAT;
    gtm_json_free(json);
    *ret_why = good ? "" : "is of a newer format";
    return good;
}

static void set_alien(struct etcd__store *store, const char *key, const char *why)
{
    if (!why) {
        gtm_map_remove(store->aliens, key);
        return;
    }
    if (!gtm_map_get(store->aliens, key)) {
        if (gtm_map_count(store->aliens) >= COORD__ALIENS_MAX)
            return;
        gtm_log(GTM_LOG_WARN, "store", "an object in etcd is left out", gtm_kv_str("key", key),
                gtm_kv_str("why", why));
    }
    /* Without memory it is only counted too low. */
    (void)!gtm_map_put(store->aliens, key, (void *)(uintptr_t)why, NULL);
}

static void stage_id(struct etcd__store *store, const char *text, size_t len)
{
    struct coord__identity id = {0};
    struct gtm_error err = {0};
    /* What cannot be read is judged by the next question, which says why. */
    int rc = coord__identity_parse(text, len, &id, &err);
    store->staged_lost = store->staged_lost || rc == GTM_ENOMEM;
    store->staged_restoring = (rc != GTM_OK && rc != GTM_ENOMEM) || id.restoring;
    store->staged_epoch = id.epoch;
    memcpy(store->staged_id, id.id, sizeof(id.id));
}

static void stage(struct etcd__store *store, const struct etcdc_event *event)
{
    const struct etcdc_kv *kv = event->kv;
    char key[GTM_STORE_KEY_MAX + 1];
    const char *why = NULL, *text = kv->value.p;
    bool gone = event->type == ETCDC_DELETE;
    if (!etcd__rel_key(kv->key, key)) {
        char shown[64];
        size_t n = kv->key.n < sizeof(shown) - 1 ? kv->key.n : sizeof(shown) - 1;
        for (size_t i = 0; i < n; i++) {
            char c = ((const char *)kv->key.p)[i];
            shown[i] = c > 0x20 && c < 0x7f ? c : '?';
        }
        shown[n] = '\0';
        set_alien(store, shown, gone ? NULL : "has a key that gtm does not use");
        return;
    }
    if (strcmp(key, GTM_STORE_ID_KEY) == 0)
        stage_id(store, gone ? NULL : text, kv->value.n);
    bool good = gone || etcd__value_ok(text ? text : "", kv->value.n, &why);
    int rc = coord__mirror_stage(&store->mirror,
                                 gone   ? COORD__ITEM_GONE
                                 : good ? COORD__ITEM_PUT
                                        : COORD__ITEM_KEEP,
                                 key, text ? text : "", gone || !good ? 0 : kv->value.n,
                                 kv->mod_revision);
    if (rc == GTM_ELIMIT)
        why = "finds no room: the node's copy is full";
    else if (rc != GTM_OK)
        store->staged_lost = true;
    set_alien(store, key, good && rc != GTM_ELIMIT ? NULL : why);
}

static void forget_aliens(struct etcd__store *store)
{
    const char *key;
    for (size_t it = 0; gtm_map_next(store->aliens, &it, &key, NULL);)
        gtm_map_remove(store->aliens, key);
}

static void notify(struct etcd__store *store, const struct coord__changed *changed)
{
    store->watches.walking = true;
    for (size_t i = 0; i < changed->count; i++) {
        struct gtm_store_entry entry = coord__item_entry(changed->items[i]);
        coord__watches_notify(&store->watches, &entry);
    }
    store->watches.walking = false;
    coord__watches_sweep(&store->watches);
}

/* The watch ends, the copy stays, and the question whose store it is comes anew. */
static void hold(struct etcd__store *store, enum gtm_store_link link, const char *why)
{
    etcdc_watch_close(store->watch);
    store->watch = NULL;
    store->open = false;
    coord__mirror_drop(&store->mirror);
    etcd__set_link(store, link, why);
    etcd__ask_soon(store, ASK_MS);
}

/* NULL: what is staged is of our store. */
static const char *staged_refusal(const struct etcd__store *store)
{
    if (store->staged_restoring)
        return "a snapshot is being restored, or store/id is damaged";
    if (store->staged_lost)
        return NULL; /* it is listed again */
    if (store->staged_epoch >= 0 && store->staged_epoch < store->known.epoch)
        return "the store's epoch went back";
    if (store->staged_epoch == store->known.epoch &&
        !coord__identity_same_id(store->staged_id, store->known.id))
        return "the store's id changed, its epoch did not";
    return NULL;
}

static void on_made_id(void *arg, const struct gtm_store_result *result)
{
    struct etcd__store *store = arg;
    store->making_id = false;
    /* Another node was faster, or it is asked and tried again. */
    if (result->code != GTM_OK && result->code != GTM_ECONFLICT && !store->closing)
        gtm_log_error(GTM_LOG_WARN, "store", "cannot give the store its identity (store/id)",
                      result->err);
}

/* The store is ours and has no store/id: it gets one. Guarded, so one node's is the first. */
static void make_id(struct etcd__store *store)
{
    if (store->known.epoch > 0 || store->making_id || store->link != GTM_STORE_FRESH)
        return;
    char *text = coord__identity_print(1, false, gtm_wall_ms(store->clock), store->node, NULL,
                                       "the store had none");
    if (!text)
        return; /* it is tried again with the next question */
    struct gtm_store_change change = {GTM_STORE_PUT, GTM_STORE_ID_KEY, text,
                                      strlen(text),  GTM_STORE_ABSENT, false};
    store->making_id = gtm_store_commit(&store->base, &change, 1, on_made_id, store) == GTM_OK;
    gtm_free(text);
}

static void apply(struct etcd__store *store, int64_t revision)
{
    struct coord__changed changed = {0};
    int64_t epoch = store->staged_epoch;
    bool listing = store->mirror.listing;
    const char *refusal = staged_refusal(store);
    if (refusal) {
        hold(store, GTM_STORE_REFUSED, refusal);
        return;
    }
    if (store->staged_lost || coord__mirror_apply(&store->mirror, revision, &changed) != GTM_OK) {
        gtm_log0(GTM_LOG_ERROR, "store", "out of memory: the copy is made anew");
        hold(store, GTM_STORE_AWAY, "out of memory");
        etcd__ask_soon(store, RELIST_MS);
        return;
    }
    store->dirty = store->dirty || changed.count > 0 || listing;
    if (epoch >= 0)
        coord__identity_take(&store->known, epoch, store->staged_id);
    store->staged_epoch = -1;
    store->known.revision = revision;
    store->seen = true;
    notify(store, &changed);
    coord__changed_fini(&changed);
    if (!store->stale) /* the watch says so once: it would stay forgotten */
        etcd__set_link(store, GTM_STORE_FRESH, "");
    if (listing)
        make_id(store);
    etcd__commits_go_on(store);
}

static void failed(struct etcd__store *store, const struct etcdc_event *event)
{
    struct gtm_error err = {0};
    etcd__error(event->code, event->text, &err);
    if (event->code == ETCDC_E_CLUSTER_CHANGED)
        hold(store, GTM_STORE_REFUSED, err.text);
    else
        etcd__set_link(store, GTM_STORE_AWAY, err.text);
}

static void on_watch(void *arg, const struct etcdc_event *event)
{
    struct etcd__store *store = arg;
    switch (event->type) {
    case ETCDC_SNAPSHOT:
        coord__mirror_begin_listing(&store->mirror);
        forget_aliens(store);
        store->staged_epoch = 0; /* unless it comes */
        store->staged_id[0] = '\0';
        store->staged_restoring = store->staged_lost = false;
        break;
    case ETCDC_PUT:
    case ETCDC_DELETE:
        stage(store, event);
        break;
    case ETCDC_REVISION:
        apply(store, event->revision);
        break;
    case ETCDC_STALE:
        store->stale = true;
        etcd__set_link(store, GTM_STORE_AWAY, "nothing was heard from a quorum of etcd");
        break;
    case ETCDC_FRESH:
        store->stale = false;
        if (store->seen && store->open)
            etcd__set_link(store, GTM_STORE_FRESH, "");
        break;
    case ETCDC_FAILED:
        failed(store, event);
        break;
    }
}

static void open_watch(struct etcd__store *store)
{
    static const char from[] = GTM_STORE_PREFIX GTM_STORE_MIRROR_FROM;
    uint8_t end[sizeof(GTM_STORE_PREFIX)];
    struct etcdc_watch_opts opts = {
        .key = etcdc_str(from),
        .end = etcdc_prefix_end(etcdc_str(GTM_STORE_PREFIX), end),
        .stale_ms = (unsigned)store->stale_ms,
    };
    store->staged_epoch = -1;
    store->staged_restoring = store->staged_lost = store->stale = false;
    store->watch = etcdc_watch(store->client, &opts, on_watch, store);
    store->open = store->watch != NULL;
}

/* --- whose store is it? --- */

static void unheard(struct etcd__store *store, int code, const char *text)
{
    struct gtm_error err = {0};
    etcd__error(code, text, &err);
    uint64_t for_ms = gtm_mono_ms(store->clock) - store->started_ms;
    if (store->link == GTM_STORE_REFUSED || (store->open && store->link != GTM_STORE_AWAY))
        return; /* a refusal stands until it is known to be wrong; the watch tells of silence */
    if (store->link != GTM_STORE_CONNECTING || for_ms >= store->stale_ms)
        etcd__set_link(store, GTM_STORE_AWAY, err.text);
    else
        snprintf(store->why, sizeof(store->why), "%.250s", err.text);
}

/* The question was not answered. */
static void not_told(struct etcd__store *store, int code, const char *text)
{
    struct gtm_error err = {0};
    if (code != ETCDC_E_CLUSTER_CHANGED) {
        unheard(store, code, text);
    } else if (store->open) {
        etcd__error(code, text, &err);
        hold(store, GTM_STORE_REFUSED, err.text);
    } else if (store->stranger) { /* ours was not found; an operator may speak to this one */
        etcdc_expect_cluster(store->client, store->stranger);
    }
}

static void accept(struct etcd__store *store, const struct coord__identity *found)
{
    if (store->open) { /* what is new comes by the watch */
        make_id(store);
        return;
    }
    /* Nothing is saved until the first listing is here: the copy is still the other one's. */
    store->dirty = false;
    if (found->revision < store->known.revision)
        store->known.revision = found->revision;
    store->known.cluster_id = found->cluster_id;
    coord__identity_take(&store->known, found->epoch, found->id);
    store->stranger = 0;
    etcdc_expect_cluster(store->client, found->cluster_id);
    open_watch(store);
}

static void on_id(void *arg, const struct etcdc_answer *answer)
{
    struct etcd__store *store = arg;
    store->asking = false;
    etcd__ask_soon(store, store->open && answer->code == ETCDC_OK ? ASK_AGAIN_MS : ASK_MS);
    if (answer->code != ETCDC_OK) {
        not_told(store, answer->code, answer->text);
        return;
    }
    const struct etcdc_part *part = answer->parts_count ? &answer->parts[0] : NULL;
    const struct etcdc_kv *kv = part && part->kvs_count ? &part->kvs[0] : NULL;
    struct coord__identity found = {.cluster_id = answer->header.cluster_id,
                                    .revision = answer->header.revision};
    struct coord__identity known = store->known;
    known.revision = store->asked_revision;
    char why[COORD__WHY_BYTES] = "";
    struct gtm_error err = {0};
    store->id_mod_revision = kv ? kv->mod_revision : 0;
    enum coord__judgement word = COORD__REFUSED;
    int rc = coord__identity_parse(kv ? kv->value.p : NULL, kv ? kv->value.n : 0, &found, &err);
    if (rc == GTM_ENOMEM)
        return; /* no judgement: it is asked again */
    if (rc == GTM_OK)
        word = coord__identity_judge(&known, &found, why);
    else
        snprintf(why, sizeof(why), "%.250s", err.text);
    store->id_epoch = found.epoch;
    if (word == COORD__REFUSED) {
        store->stranger = found.cluster_id != known.cluster_id ? found.cluster_id : 0;
        hold(store, GTM_STORE_REFUSED, why);
    } else
        accept(store, &found);
}

static void ask(void *arg)
{
    struct etcd__store *store = arg;
    char key[COORD__KEY_BYTES];
    if (store->asking || store->closing)
        return;
    /* Whoever answers is judged, also another cluster; but not only that one, when another endpoint
     * may still be ours. */
    store->look_for_ours = store->stranger && !store->snapshots && !store->look_for_ours;
    if (!store->open)
        etcdc_expect_cluster(store->client, store->look_for_ours ? store->known.cluster_id : 0);
    store->asked_revision = store->known.revision;
    int rc = etcdc_range(store->client, etcd__key(GTM_STORE_ID_KEY, key), etcdc_bytes("", 0), 1, 0,
                         0, on_id, store);
    store->asking = rc == ETCDC_OK;
    if (rc == ETCDC_OK)
        return;
    unheard(store, rc, "");
    etcd__ask_soon(store, ASK_MS);
}

int etcd__link_start(struct etcd__store *store)
{
    store->ask_timer = gtm_timer_new(store->loop, ask, store);
    if (!store->ask_timer)
        return GTM_ENOMEM;
    gtm_timer_start(store->ask_timer, 0);
    return GTM_OK;
}

void etcd__link_stop(struct etcd__store *store)
{
    gtm_timer_stop(store->ask_timer);
    etcdc_watch_close(store->watch);
    store->watch = NULL;
    store->open = false;
    etcdc_cancel(store->client, store);
}
