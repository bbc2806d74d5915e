/* SPDX-License-Identifier: Apache-2.0
 *
 * An election. See etcdc.h; who is first is election_table.h.
 *
 * Happy path: etcdc_elect → on_tick → create → on_created → a watch over the prefix → on_event →
 * first → look → on_looked → ELECTED. One watch tells of who is before and of the own key; only
 * who becomes first acts on it. The own key is also read every now and then, in every phase: events
 * can be lost, and servers up to 3.4.37 report beats of revoked leases as good.
 *
 * The end: etcdc_resign → on_tick → delete (guarded) → again until it is gone → free. The memory
 * lives until the last call has ended; etcdc_free finds what is left.
 */
#include "gtm/base/clock.h"
#include "gtm/base/mem.h"
#include "gtm/etcdc/election_table.h"
#include "gtm/etcdc/session_int.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#define RETRY_MS 500u
#define SOON_MS  50u
#define GIVE_UP_MS                                                                 \
    20000u /* besides two terms: a lease may start anew when etcd's leader changes \
            */
#define LOOK_MIN_MS 1000u

enum phase {
    CREATING = 0, /* the key is to be put */
    STANDING,     /* the key is there; somebody else is first, or not known */
    LOOKING,      /* first: to be confirmed by a quorum */
    LEADING,
    OVER
};

struct etcdc_election {
    struct etcdc__leftover leftover; /* first */
    struct etcdc__standing standing;
    struct etcdc *client;
    struct etcdc_session *session; /* NULL: lost or closed */
    etcdc_election_fn *cb;
    void *arg;
    char *prefix, *key;
    uint8_t *value;
    size_t value_len;
    int64_t lease;
    uint64_t look_ms;
    enum phase phase;
    int64_t create_revision; /* 0 = not known */
    bool unknown;            /* a create may have happened */
    struct etcdc__table table;
    struct etcdc_watch *watch;
    struct gtm_timer *tick, *tell;
    enum etcdc_election_state told;
    bool calling, resigned;
    enum phase asked_in; /* the phase that the look under way began in */
    uint64_t give_up_ns;
};

static struct etcdc_buf own_key(const struct etcdc_election *e)
{
    return etcdc_str(e->key);
}

/* --- the end --- */

static void election_free(struct etcdc_election *e)
{
    etcdc__leftover_remove(&e->leftover);
    etcdc__session_leave(&e->standing);
    etcdc__table_fini(&e->table);
    gtm_timer_free(e->tick);
    gtm_timer_free(e->tell);
    gtm_free(e->prefix);
    gtm_free(e->key);
    gtm_free(e->value);
    gtm_free(e);
}

static void drop(struct etcdc__leftover *leftover)
{
    struct etcdc_election *e = (struct etcdc_election *)leftover;
    election_free(e); /* its watch is a leftover of its own */
}

static void stop_watch(struct etcdc_election *e)
{
    etcdc_watch_close(e->watch);
    e->watch = NULL;
}

/* The session or the key is gone. */
static void end(struct etcdc_election *e)
{
    if (e->phase == OVER)
        return;
    e->phase = OVER;
    stop_watch(e);
    if (!e->resigned) {
        gtm_timer_stop(e->tick);
        gtm_timer_start(e->tell, 0);
    }
}

static void on_lost(struct etcdc__standing *standing)
{
    char *at = (char *)standing - offsetof(struct etcdc_election, standing);
    struct etcdc_election *e = (struct etcdc_election *)(void *)at;
    e->session = NULL;
    end(e);
}

static void on_tell(void *arg)
{
    struct etcdc_election *e = arg;
    enum etcdc_election_state state = etcdc_election_state(e);
    if (e->resigned || state == e->told)
        return;
    e->told = state;
    if (e->cb)
        e->cb(e->arg, state);
}

static void again(struct etcdc_election *e, uint64_t in_ms)
{
    gtm_timer_start(e->tick, in_ms);
}

/* --- standing --- */

static void on_event(void *arg, const struct etcdc_event *event);

static void open_watch(struct etcdc_election *e)
{
    uint8_t end[ETCDC_KEY_MAX];
    struct etcdc_buf prefix = etcdc_str(e->prefix);
    struct etcdc_watch_opts opts = {.key = prefix, .end = etcdc_prefix_end(prefix, end)};
    e->table.revision = 0;
    if (!e->watch)
        e->watch = etcdc_watch(e->client, &opts, on_event, e); /* NULL: the next tick tries again */
}

/* What the own key is now, by a quorum or as the create found it. */
static void judge(struct etcdc_election *e, const struct etcdc_kv *own)
{
    if (!own || own->lease != e->lease ||
        (e->create_revision && own->create_revision != e->create_revision)) {
        end(e);
        return;
    }
    e->create_revision = own->create_revision;
}

static void on_looked(void *arg, const struct etcdc_answer *answer);

static void look(struct etcdc_election *e)
{
    e->asked_in = e->phase;
    e->calling = etcdc_range(e->client, own_key(e), etcdc_bytes(NULL, 0), 1, 0, ETCDC_KEYS_ONLY,
                             on_looked, e) == ETCDC_OK;
}

/* Acts on the place in the table. */
static void evaluate(struct etcdc_election *e)
{
    if (e->phase != STANDING && e->phase != LEADING)
        return;
    enum etcdc__place place = etcdc__table_place(&e->table, own_key(e), e->create_revision);
    if (place == ETCDC__PLACE_GONE) {
        end(e);
    } else if (place == ETCDC__PLACE_FIRST && e->phase == STANDING) {
        e->phase = LOOKING;
        again(e, 0);
    }
}

static void on_event(void *arg, const struct etcdc_event *event)
{
    struct etcdc_election *e = arg;
    if (etcdc__table_event(&e->table, event)) {
        stop_watch(e); /* a new one fills the table anew */
        again(e, RETRY_MS);
    } else if (event->type == ETCDC_REVISION) {
        evaluate(e);
    }
}

/* True when nobody wants the answer: the key is to go. */
static bool call_ended(struct etcdc_election *e)
{
    e->calling = false;
    if (e->resigned)
        again(e, 0);
    return e->resigned;
}

static void on_looked(void *arg, const struct etcdc_answer *answer)
{
    struct etcdc_election *e = arg;
    if (call_ended(e) || e->phase == OVER)
        return;
    if (answer->code != ETCDC_OK) {
        again(e, RETRY_MS);
        return;
    }
    const struct etcdc_part *part = answer->parts_count == 1 ? &answer->parts[0] : NULL;
    judge(e, part && part->kvs_count == 1 ? &part->kvs[0] : NULL);
    if (e->phase == LOOKING && e->asked_in != LOOKING) {
        again(e, 0); /* asked before it was first: that proves too little */
        return;
    }
    if (e->phase == LOOKING) {
        if (!etcdc_session_valid(e->session, 0)) {
            end(e);
            return;
        }
        e->phase = LEADING;
        gtm_timer_start(e->tell, 0);
    }
    if (e->phase != OVER)
        again(e, e->look_ms);
}

/* What a create answered, into create_revision, `unknown` and the phase. */
static void read_created(struct etcdc_election *e, const struct etcdc_answer *answer)
{
    if (answer->code == ETCDC_E_LEASE_NOT_FOUND) {
        e->unknown = false;
        end(e);
        return;
    }
    if (answer->code != ETCDC_OK) {
        e->unknown = true;
        return;
    }
    e->unknown = false;
    struct etcdc_kv made = {.create_revision = answer->header.revision, .lease = e->lease};
    const struct etcdc_part *part = answer->parts_count == 1 ? &answer->parts[0] : NULL;
    if (answer->succeeded)
        judge(e, &made);
    else
        judge(e, part && part->kvs_count == 1 ? &part->kvs[0] : NULL);
    if (e->phase == CREATING)
        e->phase = STANDING;
}

static void on_created(void *arg, const struct etcdc_answer *answer)
{
    struct etcdc_election *e = arg;
    read_created(e, answer);
    if (call_ended(e))
        return;
    if (e->phase == CREATING)
        again(e, RETRY_MS);
    else if (e->phase == STANDING)
        again(e, e->look_ms);
    if (e->phase == STANDING)
        open_watch(e);
}

/* An earlier standing of the same session has the same key, until it is deleted. */
static bool key_is_leaving(const struct etcdc_election *e)
{
    for (const struct etcdc__standing *s = etcdc__session_standings(e->session); s; s = s->next) {
        const char *at = (const char *)s - offsetof(struct etcdc_election, standing);
        const struct etcdc_election *other = (const struct etcdc_election *)(const void *)at;
        if (other->resigned && strcmp(other->key, e->key) == 0)
            return true;
    }
    return false;
}

static void create(struct etcdc_election *e)
{
    if (key_is_leaving(e)) {
        again(e, SOON_MS);
        return;
    }
    struct etcdc_txn *txn = etcdc_txn_new();
    if (txn) {
        etcdc_txn_if(txn, own_key(e), ETCDC_CREATE_REVISION, ETCDC_EQUAL, 0);
        etcdc_txn_put(txn, false, own_key(e), etcdc_bytes(e->value, e->value_len), e->lease, 0);
        etcdc_txn_range(txn, true, own_key(e), etcdc_bytes(NULL, 0), 1);
        e->calling = etcdc_commit(e->client, txn, ETCDC_IDEMPOTENT, on_created, e) == ETCDC_OK;
    }
    if (!e->calling)
        again(e, RETRY_MS);
}

/* --- resigning --- */

static void on_deleted(void *arg, const struct etcdc_answer *answer)
{
    struct etcdc_election *e = arg;
    e->calling = false;
    if (answer->code == ETCDC_OK)
        election_free(e); /* deleted, or it was not there */
    else
        again(e, RETRY_MS);
}

/* A create may have happened: what is there is to be deleted. */
static void on_found(void *arg, const struct etcdc_answer *answer)
{
    struct etcdc_election *e = arg;
    e->calling = false;
    const struct etcdc_part *part = answer->parts_count == 1 ? &answer->parts[0] : NULL;
    if (answer->code != ETCDC_OK) {
        again(e, RETRY_MS);
    } else if (!part || part->kvs_count != 1) {
        election_free(e);
    } else {
        e->unknown = false;
        e->create_revision = part->kvs[0].create_revision;
        again(e, 0);
    }
}

static void remove_key(struct etcdc_election *e)
{
    if (!e->create_revision && !e->unknown) {
        election_free(e);
        return;
    }
    if (gtm_mono_ns(e->client->clock) >= e->give_up_ns) {
        election_free(e); /* the lease has ended */
        return;
    }
    if (!e->create_revision) {
        e->calling = etcdc_range(e->client, own_key(e), etcdc_bytes(NULL, 0), 1, 0, ETCDC_KEYS_ONLY,
                                 on_found, e) == ETCDC_OK;
    } else {
        struct etcdc_txn *txn = etcdc_txn_new();
        if (txn) {
            etcdc_txn_if(txn, own_key(e), ETCDC_CREATE_REVISION, ETCDC_EQUAL, e->create_revision);
            etcdc_txn_delete(txn, false, own_key(e), etcdc_bytes(NULL, 0));
            e->calling = etcdc_commit(e->client, txn, ETCDC_IDEMPOTENT, on_deleted, e) == ETCDC_OK;
        }
    }
    if (!e->calling)
        again(e, RETRY_MS);
}

void etcdc_resign(struct etcdc_election *election)
{
    if (!election || election->resigned)
        return;
    uint64_t term_ms = 2000u * (uint64_t)(election->look_ms / 1000u);
    election->resigned = true;
    election->give_up_ns = gtm_mono_ns(election->client->clock) + (GIVE_UP_MS + term_ms) * 1000000u;
    stop_watch(election);
    gtm_timer_stop(election->tell);
    if (!election->calling)
        again(election, 0);
}

/* --- the beginning, and every now and then --- */

static void on_tick(void *arg)
{
    struct etcdc_election *e = arg;
    if (e->calling)
        return;
    if (e->resigned) {
        remove_key(e);
        return;
    }
    if (e->phase == OVER)
        return;
    if (!etcdc_session_valid(e->session, 0)) {
        end(e);
        return;
    }
    if (e->phase == CREATING) {
        create(e);
        return;
    }
    if (!e->watch)
        open_watch(e);
    look(e);
    if (!e->calling)
        again(e, RETRY_MS);
}

static bool set_up(struct etcdc_election *e, const char *prefix, struct etcdc_buf value)
{
    e->tick = gtm_timer_new(e->client->loop, on_tick, e);
    e->tell = gtm_timer_new(e->client->loop, on_tell, e);
    e->prefix = gtm_strdup(prefix);
    e->key = gtm_asprintf("%s%" PRIx64, prefix, (uint64_t)e->lease);
    e->value = gtm_malloc(value.n ? value.n : 1);
    e->value_len = value.n;
    if (!e->tick || !e->tell || !e->prefix || !e->key || !e->value)
        return false;
    if (value.n > 0)
        memcpy(e->value, value.p, value.n);
    return true;
}

struct etcdc_election *etcdc_elect(struct etcdc *client, struct etcdc_session *session,
                                   const char *prefix, struct etcdc_buf value,
                                   etcdc_election_fn *cb, void *arg)
{
    int64_t lease = etcdc_session_lease(session), ttl_s = etcdc_session_ttl_s(session);
    size_t prefix_len = strlen(prefix);
    if (!lease || prefix_len == 0 || prefix_len > ETCDC_KEY_MAX - 16)
        return NULL;
    struct etcdc_election *e = gtm_calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    e->client = client;
    e->session = session;
    e->cb = cb;
    e->arg = arg;
    e->lease = lease;
    e->look_ms = (uint64_t)ttl_s * 1000u < LOOK_MIN_MS ? LOOK_MIN_MS : (uint64_t)ttl_s * 1000u;
    if (!set_up(e, prefix, value)) {
        election_free(e);
        return NULL;
    }
    etcdc__leftover_add(client, &e->leftover, drop);
    etcdc__session_join(session, &e->standing, on_lost);
    again(e, 0);
    return e;
}

/* --- what is asked --- */

enum etcdc_election_state etcdc_election_state(const struct etcdc_election *election)
{
    if (election->phase == OVER)
        return ETCDC_ENDED;
    return election->phase == LEADING ? ETCDC_ELECTED : ETCDC_WAITING;
}

bool etcdc_leads(const struct etcdc_election *election, uint32_t need_ms)
{
    return election->phase == LEADING && !election->resigned &&
           etcdc_session_valid(election->session, need_ms);
}

const char *etcdc_election_key(const struct etcdc_election *election)
{
    return election->key;
}

int64_t etcdc_election_fence(const struct etcdc_election *election)
{
    return election->phase == LEADING ? election->create_revision : 0;
}

int etcdc_guard(const struct etcdc_election *election, struct etcdc_txn *txn)
{
    int64_t fence = etcdc_election_fence(election);
    if (fence == 0)
        return ETCDC_E_SESSION_LOST;
    etcdc_txn_if(txn, own_key(election), ETCDC_CREATE_REVISION, ETCDC_EQUAL, fence);
    return ETCDC_OK;
}
