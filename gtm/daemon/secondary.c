/* SPDX-License-Identifier: Apache-2.0
 *
 * See secondary.h. The control thread keeps times and decides; transfers work on what they were
 * given (secondary_transfer.c) and come back through the loop.
 */
#include "gtm/daemon/secondary.h"

#include "dns/rr.h"
#include "dns/zone.h"
#include "gtm/base/log.h"
#include "gtm/base/mem.h"
#include "gtm/base/rand.h"
#include "gtm/daemon/daemon.h"
#include "gtm/daemon/secondary_int.h"

#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define TICK_MS         200
#define REFRESH_MIN_S   2
#define RETRY_MIN_S     1
#define FIRST_LOAD_MS   60000
#define TIMES_MAX_S     (28u * 86400u) /* of refresh and retry */
#define FIRST_RETRY_MS  2000
#define FIRST_RETRY_MAX 300000
#define JITTER_PERCENT  10 /* earlier, so that zones of one primary do not march in step */

/* What happens goes by mono: a clock that is set neither ages a copy nor stops its refreshing. wall
 * is what people are told. */
struct when {
    int64_t mono_ms, wall_ms;
};

struct copy {
    char *name;
    size_t zone; /* of the intent in force */
    bool named;  /* this round */
    bool loaded, expired, due;
    const struct dns_zone *seen;  /* only compared */
    struct dns_zone_peers *peers; /* in force when it was last looked at */
    uint32_t serial, refresh_s, retry_s, expire_s;
    struct when refreshed, next, failed; /* wall 0: never */
    int64_t backoff_ms;
    uint64_t transfers, failures;
    char *error;
    struct gtm__transfer *transfer; /* under way, or NULL */
};

struct gtm_secondary {
    struct gtmd *d;
    struct gtm_timer *timer;
    struct gtm_rand rand;
    int cancel_fd;
    bool started, paused;
    struct copy **copies;
    size_t count, cap;
    size_t next; /* who is looked at first: else zones at the end would wait for ever */
    struct slot {
        const struct gtm__transfer *transfer; /* NULL = free */
        struct gtm_network from;              /* the first primary */
    } slots[GTM_SECONDARY_TRANSFERS];
};

static struct when after(const struct gtm_secondary *s, int64_t ms)
{
    return (struct when){(int64_t)gtm_mono_ms(s->d->clock) + ms, gtm_wall_ms(s->d->clock) + ms};
}

static bool is_over(const struct gtm_secondary *s, int64_t mono_ms)
{
    return (int64_t)gtm_mono_ms(s->d->clock) >= mono_ms;
}

/* --- times --- */

static int64_t sooner(struct gtm_secondary *s, int64_t ms)
{
    uint32_t part = (uint32_t)(ms * JITTER_PERCENT / 100);
    return ms - (int64_t)gtm_rand_below(&s->rand, part + 1);
}

static uint32_t within(uint32_t value, uint32_t min, uint32_t max)
{
    return value < min ? min : value > max ? max : value;
}

static void read_soa(struct copy *c, const struct dns_zone *zone)
{
    uint8_t soa[DNS_SOA_RDATA_MAX];
    uint32_t ttl = 0;
    size_t n = dns_zone_soa(zone, soa, &ttl);
    const uint8_t *fixed = soa + n - 20;
    c->serial = dns_get32(fixed);
    c->refresh_s = within(dns_get32(fixed + 4), REFRESH_MIN_S, TIMES_MAX_S);
    c->retry_s = within(dns_get32(fixed + 8), RETRY_MIN_S, TIMES_MAX_S);
    c->expire_s = within(dns_get32(fixed + 12), c->refresh_s + c->retry_s, UINT32_MAX);
}

/* Publishes whether the copy is too old to be given out. */
static void check_expiry(struct gtm_secondary *s, struct copy *c)
{
    struct gtm_error err = {0};
    bool expired = c->loaded && (c->refreshed.wall_ms == 0 ||
                                 is_over(s, c->refreshed.mono_ms + (int64_t)c->expire_s * 1000));
    if (expired == c->expired)
        return;
    if (gtm_publisher_expire(s->d->publisher, c->zone, expired, &err) != GTM_OK)
        return; /* the next tick tries it again */
    c->expired = expired;
    if (expired)
        gtm_log(GTM_LOG_ERROR, "zone", "no primary has confirmed the copy for too long: SERVFAIL",
                gtm_kv_str("zone", c->name));
}

static void succeeded(struct gtm_secondary *s, struct copy *c)
{
    c->refreshed = after(s, 0);
    /* What came first is still being loaded: only then its SOA is known. */
    c->next = after(s, sooner(s, c->loaded ? (int64_t)c->refresh_s * 1000 : FIRST_LOAD_MS));
    c->failed.wall_ms = c->backoff_ms = 0;
    gtm_free(c->error);
    c->error = NULL;
}

static void failed(struct gtm_secondary *s, struct copy *c, const char *why)
{
    c->failures++;
    if (c->failed.wall_ms == 0)
        c->failed = after(s, 0);
    if (c->loaded) {
        c->next = after(s, sooner(s, (int64_t)c->retry_s * 1000));
    } else { /* its SOA is not known */
        c->backoff_ms = c->backoff_ms ? c->backoff_ms * 2 : FIRST_RETRY_MS;
        if (c->backoff_ms > FIRST_RETRY_MAX)
            c->backoff_ms = FIRST_RETRY_MAX;
        c->next = after(s, sooner(s, c->backoff_ms));
    }
    gtm_free(c->error);
    c->error = gtm_strdup(why);
    gtm_log(GTM_LOG_WARN, "zone", "cannot be refreshed", gtm_kv_str("zone", c->name),
            gtm_kv_str("error", why));
}

/* --- transfers --- */

static struct gtm__transfer *transfer_new(struct gtm_secondary *s, const struct copy *c)
{
    const struct gtm_zone_conf *conf = &s->d->intent->zones[c->zone];
    struct gtm__transfer *t = gtm_calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    size_t len = 0;
    t->primaries = gtm_calloc(conf->primaries_count + 1, sizeof(*t->primaries));
    t->path = gtm_compiled_zone_path(s->d->compiled, c->zone);
    t->name = gtm_strdup(c->name);
    t->cancel_fd = s->cancel_fd;
    if (!t->primaries || !t->path || !t->name ||
        dns_name_parse(conf->name, strlen(conf->name), (const uint8_t *)"", t->zone, &len, NULL)) {
        gtm__transfer_free(t);
        return NULL;
    }
    if (c->loaded)
        t->have = dns_zone_ref(gtm_compiled_zone(s->d->compiled, c->zone));
    for (size_t i = 0; i < conf->primaries_count; i++) {
        const struct gtm_zone_peer *peer = &conf->primaries[i];
        const struct dns_tsig_key *key =
            peer->has_key ? gtm_settings_key(s->d->settings, peer->key) : NULL;
        gtm__transfer_primary(t, peer, key);
    }
    return t;
}

static void on_done(void *arg);

static bool same_address(const struct gtm_network *a, const struct gtm_network *b)
{
    return a->family == b->family && memcmp(a->addr, b->addr, a->family == 4 ? 4 : 16) == 0;
}

/* Where a transfer of this zone may run, or NULL. A primary that stalls holds some of the places
 * only: zones of others go on. */
static struct slot *slot_for(struct gtm_secondary *s, const struct copy *c)
{
    const struct gtm_zone_conf *conf = &s->d->intent->zones[c->zone];
    struct slot *found = NULL;
    unsigned same = 0;
    for (size_t i = 0; i < GTM_SECONDARY_TRANSFERS; i++) {
        struct slot *slot = &s->slots[i];
        if (!slot->transfer)
            found = slot;
        else
            same +=
                conf->primaries_count > 0 && same_address(&slot->from, &conf->primaries[0].address);
    }
    return same < GTM_SECONDARY_PER_PRIMARY ? found : NULL;
}

static void begin(struct gtm_secondary *s, struct copy *c, struct slot *slot)
{
    const struct gtm_zone_conf *conf = &s->d->intent->zones[c->zone];
    struct gtm__transfer *t = transfer_new(s, c);
    c->due = false;
    if (t) {
        t->secondary = s;
        t->loop = s->d->loop;
        t->done = on_done;
    }
    if (!t || !gtm__transfer_start(t)) {
        gtm__transfer_free(t);
        failed(s, c, "cannot start a thread");
        return;
    }
    c->transfer = t;
    slot->transfer = t;
    slot->from = conf->primaries_count > 0 ? conf->primaries[0].address : (struct gtm_network){0};
}

static struct copy *copy_of(const struct gtm_secondary *s, const struct gtm__transfer *t)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->copies[i]->transfer == t)
            return s->copies[i];
    return NULL;
}

/* The transfer's thread has ended, or is about to. Frees it. */
static void on_done(void *arg)
{
    struct gtm__transfer *t = arg;
    struct gtm_secondary *s = t->secondary;
    struct copy *c = copy_of(s, t);
    gtm__transfer_join(t);
    for (size_t i = 0; i < GTM_SECONDARY_TRANSFERS; i++)
        if (s->slots[i].transfer == t)
            s->slots[i].transfer = NULL;
    if (c) {
        c->transfer = NULL;
    }
    if (c && c->named) {
        if (t->rc != GTM_OK && t->rc != GTM_ESTATE)
            failed(s, c, t->error.text);
        if (t->rc == GTM_OK) {
            c->transfers += t->result.changed;
            succeeded(s, c);
        }
        if (t->rc == GTM_OK && t->result.changed) {
            gtm_log(GTM_LOG_INFO, "zone", "transferred", gtm_kv_str("zone", c->name),
                    gtm_kv_int("serial", (int64_t)t->result.serial),
                    gtm_kv_int("records", (int64_t)t->result.records),
                    gtm_kv_bool("incremental", t->result.incremental));
            gtm_reload_zone(s->d->reload, c->zone);
        }
        if (t->rc == GTM_OK)
            check_expiry(s, c);
    }
    gtm__transfer_free(t);
}

static bool was_told(struct dns_zone_peers *peers)
{
    return peers && atomic_exchange_explicit(&peers->notified, false, memory_order_relaxed);
}

/* Has a primary sent a NOTIFY? It is answered, so it does not come again: what came just before
 * other settings were in force is heard, too. */
static void hear(const struct gtm_secondary *s, struct copy *c)
{
    const struct gtm_settings *settings = s->d->settings;
    struct dns_zone_peers *now =
        settings && c->zone < settings->zones_count ? settings->peers[c->zone] : NULL;
    c->due |= was_told(c->peers);
    if (now != c->peers) {
        dns_zone_peers_unref(c->peers);
        c->peers = now ? dns_zone_peers_ref(now) : NULL;
        c->due |= was_told(now);
    }
}

static void on_tick(void *arg)
{
    struct gtm_secondary *s = arg;
    size_t first = s->next;
    for (size_t i = 0; i < s->count && !s->paused; i++) {
        size_t at = (first + i) % s->count;
        struct copy *c = s->copies[at];
        struct slot *slot;
        if (!c->named)
            continue;
        hear(s, c);
        check_expiry(s, c);
        if ((c->due || is_over(s, c->next.mono_ms)) && !c->transfer &&
            (slot = slot_for(s, c)) != NULL) {
            begin(s, c, slot);
            s->next = at + 1;
        }
    }
    gtm_timer_start(s->timer, TICK_MS);
}

/* --- which zones --- */

static struct copy *find(const struct gtm_secondary *s, const char *name)
{
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->copies[i]->name, name) == 0)
            return s->copies[i];
    return NULL;
}

static struct copy *add(struct gtm_secondary *s, const char *name)
{
    void *copies = s->copies;
    int rc = gtm_grow(&copies, &s->cap, s->count + 1, sizeof(struct copy *));
    s->copies = copies;
    struct copy *c = rc == GTM_OK ? gtm_calloc(1, sizeof(*c)) : NULL;
    if (!c)
        return NULL;
    c->name = gtm_strdup(name);
    if (!c->name) {
        gtm_free(c);
        return NULL;
    }
    s->copies[s->count++] = c;
    return c;
}

/* What is served now; at first sight of a copy the file's time says when it was confirmed. */
static void look(struct gtm_secondary *s, struct copy *c)
{
    struct dns_zone *zone = gtm_compiled_zone(s->d->compiled, c->zone);
    struct stat st;
    c->expired = c->expired && zone == c->seen;
    if (gtm_compiled_placeholder(s->d->compiled, c->zone) || zone == c->seen)
        return;
    bool first = !c->loaded;
    c->seen = zone;
    c->loaded = true;
    read_soa(c, zone);
    char *path =
        first && c->refreshed.wall_ms == 0 ? gtm_compiled_zone_path(s->d->compiled, c->zone) : NULL;
    if (path && stat(path, &st) == 0) {
        int64_t age = gtm_wall_ms(s->d->clock) - (int64_t)st.st_mtim.tv_sec * 1000;
        c->refreshed = after(s, age > 0 ? -age : 0); /* a clock that was wrong then */
    }
    gtm_free(path);
    int64_t ahead = sooner(s, (int64_t)c->refresh_s * 1000);
    c->next = (struct when){c->refreshed.mono_ms + ahead, c->refreshed.wall_ms + ahead};
    check_expiry(s, c);
}

static void copy_free(struct copy *c)
{
    dns_zone_peers_unref(c->peers);
    gtm_free(c->name);
    gtm_free(c->error);
    gtm_free(c);
}

void gtm_secondary_follow(struct gtm_secondary *s)
{
    const struct gtm_intent *intent = s->d->intent;
    size_t kept = 0;
    for (size_t i = 0; i < s->count; i++)
        s->copies[i]->named = false;
    for (size_t z = 0; z < intent->zones_count; z++) {
        if (intent->zones[z].primaries_count == 0)
            continue;
        struct copy *c = find(s, intent->zones[z].name);
        if (!c)
            c = add(s, intent->zones[z].name);
        if (!c)
            continue; /* out of memory: the next change finds it again */
        c->named = true;
        c->zone = z;
        look(s, c);
    }
    for (size_t i = 0; i < s->count; i++) {
        struct copy *c = s->copies[i];
        if (c->named || c->transfer) /* a transfer comes back first */
            s->copies[kept++] = c;
        else
            copy_free(c);
    }
    s->count = kept;
    if (s->started && s->count)
        gtm_timer_start(s->timer, 0);
}

/* --- life --- */

struct gtm_secondary *gtm_secondary_new(struct gtmd *d)
{
    struct gtm_secondary *s = gtm_calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->d = d;
    gtm_rand_seed_os(&s->rand);
    s->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->timer = gtm_timer_new(d->loop, on_tick, s);
    if (s->cancel_fd >= 0 && s->timer)
        return s;
    gtm_secondary_free(s);
    return NULL;
}

/* All threads end and are waited for; what they found is dropped. */
static void cancel_all(struct gtm_secondary *s)
{
    uint64_t one = 1;
    (void)!write(s->cancel_fd, &one, sizeof(one));
    for (size_t i = 0; i < s->count; i++)
        if (s->copies[i]->transfer)
            gtm__transfer_join(s->copies[i]->transfer);
    (void)!read(s->cancel_fd, &one, sizeof(one));
}

void gtm_secondary_pause(struct gtm_secondary *s, bool paused)
{
    s->paused = paused;
    if (paused)
        cancel_all(s);
}

void gtm_secondary_start(struct gtm_secondary *s)
{
    s->started = true;
    gtm_timer_start(s->timer, 0);
}

void gtm_secondary_free(struct gtm_secondary *s)
{
    if (!s)
        return;
    if (s->cancel_fd >= 0)
        cancel_all(s);
    for (size_t i = 0; i < s->count; i++) {
        gtm__transfer_free(
            s->copies[i]->transfer); /* the loop has stopped: nobody brings it back */
        copy_free(s->copies[i]);
    }
    gtm_free(s->copies);
    gtm_timer_free(s->timer);
    if (s->cancel_fd >= 0)
        close(s->cancel_fd);
    gtm_free(s);
}

/* --- what others ask --- */

static struct copy *of_zone(const struct gtm_secondary *s, size_t zone)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->copies[i]->named && s->copies[i]->zone == zone)
            return s->copies[i];
    return NULL;
}

bool gtm_secondary_status(const struct gtm_secondary *s, size_t zone,
                          struct gtm_secondary_status *ret)
{
    const struct copy *c = s ? of_zone(s, zone) : NULL;
    if (!c)
        return false;
    int64_t refreshed = c->refreshed.wall_ms;
    *ret = (struct gtm_secondary_status){
        .transferring = c->transfer != NULL,
        .expired = c->expired,
        .loaded = c->loaded,
        .serial = c->serial,
        .refreshed_ms = refreshed,
        .next_ms = c->next.wall_ms,
        .expires_ms = c->loaded && refreshed ? refreshed + (int64_t)c->expire_s * 1000 : 0,
        .failed_ms = c->failed.wall_ms,
        .transfers = c->transfers,
        .failures = c->failures,
        .error = c->error};
    return true;
}

bool gtm_secondary_refresh(struct gtm_secondary *s, size_t zone)
{
    struct copy *c = of_zone(s, zone);
    if (c)
        c->due = true;
    return c != NULL;
}
