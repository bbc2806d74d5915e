/* SPDX-License-Identifier: Apache-2.0
 *
 * A watch: lists, then follows a stream, for ever. See etcdc.h; what it makes of listings and
 * messages is watch_core.h, whether it is behind is watch_life.h.
 *
 * Happy path: etcdc_watch → on_retry → list → on_listed → on_retry → open_stream →
 * watch_stream.c → core → the user's callback. A listing beside a stream holds the stream's
 * messages back until it has been given, so that the two cannot overtake each other.
 *
 * The memory lives until no callback is on the stack (`busy`).
 */
#include "gtm/base/mem.h"
#include "gtm/etcdc/watch_int.h"

#include <stdio.h>
#include <string.h>

#define STALE_MS    3000u
#define RELIST_MS   300000u
#define QUEUE_BYTES ((size_t)64 << 20)
#define FAILED_MS   5000u /* until a permanent failure is tried again */
#define BACKOFF_MS  100u
#define BACKOFF_MAX 2000u
#define WENT_BACK   "its revision is lower than one seen before: restored from a backup?"

uint64_t etcdc__watch_now_ns(const struct etcdc_watch *w)
{
    return gtm_mono_ns(w->client->clock);
}

/* --- the end --- */

static void watch_free(struct etcdc_watch *w)
{
    gtm_timer_free(w->retry);
    gtm_timer_free(w->beat);
    etcdc__splitter_fini(&w->splitter);
    etcdc__core_fini(&w->core);
    gtm_free(w->octets);
    gtm_free(w);
}

void etcdc__watch_leave(struct etcdc_watch *w)
{
    w->busy--;
    if (w->closed && w->busy == 0)
        watch_free(w);
}

void etcdc_watch_close(struct etcdc_watch *watch)
{
    if (!watch || watch->closed)
        return;
    watch->busy++;
    watch->closed = true;
    etcdc__watch_end_stream(watch);
    etcdc_cancel(watch->client, watch);
    gtm_timer_stop(watch->retry);
    gtm_timer_stop(watch->beat);
    etcdc__watch_leave(watch);
}

/* --- events --- */

static bool tell(struct etcdc_watch *w, const struct etcdc_event *event)
{
    if (!w->closed)
        w->cb(w->arg, event);
    return !w->closed;
}

static bool on_event(void *arg, const struct etcdc_event *event)
{
    struct etcdc_watch *w = arg;
    if (event->type == ETCDC_PUT || event->type == ETCDC_DELETE)
        w->client->counters.events++;
    return tell(w, event);
}

static void tell_state(struct etcdc_watch *w, enum etcdc_event_type type, int code,
                       const char *text)
{
    struct etcdc_event event = {.type = type,
                                .revision = w->core.next > 0 ? w->core.next - 1 : 0,
                                .code = code,
                                .text = text};
    tell(w, &event);
}

void etcdc__watch_failed(struct etcdc_watch *w, int code, const char *text)
{
    if (w->closed)
        return;
    snprintf(w->text, sizeof(w->text), "%s", text && text[0] ? text : etcdc_text(code));
    unsigned shift = w->failures < 8 ? w->failures : 8;
    uint64_t delay = w->failures == 0 ? 0 : (uint64_t)BACKOFF_MS << (shift - 1);
    if (delay > BACKOFF_MAX)
        delay = BACKOFF_MAX;
    w->failures++;
    bool permanent = etcdc_class(code) == ETCDC_PERMANENT && code != ETCDC_E_COMPACTED &&
                     code != ETCDC_E_LEASE_NOT_FOUND;
    if (permanent)
        delay = FAILED_MS;
    delay += gtm_rand_below(&w->client->rand, (uint32_t)delay / 5 + 1);
    gtm_timer_start(w->retry, delay);
    if (permanent && code != w->failed_code) {
        w->failed_code = code;
        tell_state(w, ETCDC_FAILED, code, w->text);
    }
}

/* The member is behind or hangs, though others answer. */
static void switch_endpoint(struct etcdc_watch *w, const char *why)
{
    if (!w->stream)
        return;
    w->failures = 0;
    etcdc__watch_break(w, ETCDC_E_TIMEOUT, why);
}

void etcdc__watch_settle(struct etcdc_watch *w)
{
    uint64_t now = etcdc__watch_now_ns(w);
    uint64_t beat_ns = etcdc__life_beat_ms(&w->life) * 1000000u;
    if (w->looked_ns && now > w->looked_ns && now - w->looked_ns > beat_ns + beat_ns / 4)
        etcdc__life_stood_still(&w->life, now);
    w->looked_ns = now;
    if (w->closed || !etcdc__life_turn(&w->life, now))
        return;
    if (w->life.state == ETCDC__LIFE_FRESH) {
        w->failed_code = 0;
        tell_state(w, ETCDC_FRESH, ETCDC_OK, "");
        return;
    }
    tell_state(w, ETCDC_STALE, ETCDC_E_TIMEOUT, w->text);
    if (!w->closed && !etcdc__watch_backlog(w)) /* else it is we who are behind: no other helps */
        switch_endpoint(w, "nothing was heard on a watch");
}

void etcdc__watch_recovered(struct etcdc_watch *w)
{
    bool told = w->failed_code != 0 && w->life.state == ETCDC__LIFE_FRESH;
    w->failed_code = 0;
    if (told)
        tell_state(w, ETCDC_FRESH, ETCDC_OK, "");
}

static void succeeded(struct etcdc_watch *w)
{
    if (w->failures > 1) /* a listing is no stream: these may go on failing, one after each */
        w->failures = 1;
    w->text[0] = '\0';
    etcdc__watch_recovered(w);
}

/* --- listings --- */

static void on_page(void *arg, const struct etcdc_kv *kvs, size_t count, bool restart)
{
    struct etcdc_watch *w = arg;
    etcdc__core_list_page(&w->core, kvs, count, restart);
}

static void plan_relist(struct etcdc_watch *w, uint64_t in_ms)
{
    uint64_t fifth = in_ms / 5;
    uint64_t jitter = gtm_rand_below(&w->client->rand, (uint32_t)(2 * fifth + 1));
    w->relist_at_ns = etcdc__watch_now_ns(w) + (in_ms - fifth + jitter) * 1000000u;
}

static void listed(struct etcdc_watch *w, const struct etcdc_answer *answer)
{
    bool changed = false;
    int code = answer->code;
    const char *text = answer->text;
    if (!code) {
        code = etcdc__core_list_end(&w->core, &answer->header, &changed);
        text = code == ETCDC_E_CLUSTER_CHANGED ? WENT_BACK : "";
    }
    if (w->closed)
        return;
    if (code) {
        w->must_list |= code == ETCDC_E_OVERFLOW || code == ETCDC_E_CLUSTER_CHANGED;
        plan_relist(w, FAILED_MS);
        if (w->stream && w->must_list)
            etcdc__watch_end_stream(w);
        if (!w->stream)
            etcdc__watch_failed(w, code, text);
        return;
    }
    w->must_list = false;
    plan_relist(w, w->opts.relist_ms);
    etcdc__life_listed(&w->life, w->list_asked_ns);
    etcdc__watch_settle(w);
    if (w->closed)
        return;
    if (w->stream && w->catching_up && changed && !w->queue) {
        switch_endpoint(w, "a watch was behind what others have");
    } else if (!w->stream) {
        gtm_timer_start(w->retry, 0);
        succeeded(w);
    }
}

static void on_listed(void *arg, const struct etcdc_answer *answer)
{
    struct etcdc_watch *w = arg;
    w->busy++;
    w->listing = false;
    listed(w, answer);
    w->catching_up = false;
    if (!w->closed)
        etcdc__watch_pump(w);
    etcdc__watch_leave(w);
}

static void start_listing(struct etcdc_watch *w, bool catching_up)
{
    if (w->listing)
        return;
    w->list_asked_ns = etcdc__watch_now_ns(w);
    etcdc__core_list_begin(&w->core);
    int code = etcdc_list(w->client, w->opts.key, w->opts.end, 0, on_page, on_listed, w);
    if (code) {
        plan_relist(w, FAILED_MS);
        if (!w->stream)
            etcdc__watch_failed(w, code, "");
        return;
    }
    w->listing = true;
    w->catching_up = catching_up;
}

static void on_retry(void *arg)
{
    struct etcdc_watch *w = arg;
    w->busy++;
    if (w->must_list)
        start_listing(w, false);
    else if (!w->stream)
        etcdc__watch_open_stream(w);
    etcdc__watch_leave(w);
}

/* --- liveness --- */

static void on_checked(void *arg, const struct etcdc_answer *answer)
{
    struct etcdc_watch *w = arg;
    w->busy++;
    w->checking = false;
    if (answer->code == ETCDC_OK && answer->header.revision + 1 < w->check_next) {
        /* A stream that begins in the future waits in silence: only a listing proves anything. */
        if (!w->must_list) {
            w->must_list = true;
            etcdc__watch_end_stream(w);
            etcdc__watch_failed(w, ETCDC_E_CLUSTER_CHANGED, WENT_BACK);
        }
    } else if (answer->code == ETCDC_OK) {
        etcdc__life_checked(&w->life, w->check_asked_ns, answer->header.revision, w->core.next);
        etcdc__watch_settle(w);
    } else {
        snprintf(w->text, sizeof(w->text), "%s", answer->text);
    }
    etcdc__watch_leave(w);
}

static void start_check(struct etcdc_watch *w)
{
    if (w->checking || w->core.next == 0)
        return;
    w->check_asked_ns = etcdc__watch_now_ns(w);
    w->check_next = w->core.next;
    if (etcdc_range(w->client, w->opts.key, etcdc_bytes(NULL, 0), 1, 0, ETCDC_KEYS_ONLY, on_checked,
                    w))
        return; /* the next beat tries again */
    w->checking = true;
}

static bool stream_is_ejected(const struct etcdc_watch *w, uint64_t now)
{
    size_t at = etcdc__stream_endpoint(w->stream);
    return at != ETCDC__NOWHERE && w->client->endpoints[at].ejected_until_ns > now;
}

static void on_beat(void *arg)
{
    struct etcdc_watch *w = arg;
    uint64_t now = etcdc__watch_now_ns(w);
    w->busy++;
    if (w->stream && !etcdc__watch_backlog(w) && stream_is_ejected(w, now)) {
        /* By other calls: it hangs or lost its quorum. */
        etcdc__watch_count_end(w);
        etcdc__watch_end_stream(w);
        gtm_timer_start(w->retry, 0);
    }
    etcdc__watch_settle(w);
    if (!w->closed) {
        enum etcdc__life_act act = etcdc__life_act(&w->life, now);
        /* What is missing comes already: all of it once more would only add to it. */
        bool comes = etcdc__watch_backlog(w) || (w->heard && w->life.state == ETCDC__LIFE_FRESH);
        w->heard = false;
        if (act == ETCDC__LIFE_LIST && !comes)
            start_listing(w, true);
        else if (w->stream && now >= w->relist_at_ns)
            start_listing(w, false);
        else if (act == ETCDC__LIFE_CHECK)
            start_check(w);
        gtm_timer_start(w->beat, etcdc__life_beat_ms(&w->life));
    }
    etcdc__watch_leave(w);
}

uint64_t etcdc_watch_age_ms(const struct etcdc_watch *watch)
{
    uint64_t now = etcdc__watch_now_ns(watch);
    if (watch->life.heard_ns == 0)
        return UINT64_MAX;
    return now > watch->life.heard_ns ? (now - watch->life.heard_ns) / 1000000u : 0;
}

/* --- the beginning --- */

static struct etcdc_buf keep(uint8_t **at, struct etcdc_buf octets)
{
    struct etcdc_buf kept = etcdc_bytes(*at, octets.n);
    if (octets.n > 0)
        memcpy(*at, octets.p, octets.n);
    *at += octets.n;
    return kept;
}

static bool set_up(struct etcdc_watch *w, const struct etcdc_watch_opts *opts)
{
    w->octets = gtm_malloc(opts->key.n + opts->end.n + opts->tick.n);
    w->retry = gtm_timer_new(w->client->loop, on_retry, w);
    w->beat = gtm_timer_new(w->client->loop, on_beat, w);
    if (!w->octets || !w->retry || !w->beat)
        return false;
    uint8_t *at = w->octets;
    w->opts = *opts;
    w->opts.key = keep(&at, opts->key);
    w->opts.end = keep(&at, opts->end);
    w->opts.tick = keep(&at, opts->tick);
    w->opts.stale_ms = opts->stale_ms ? opts->stale_ms : STALE_MS;
    w->opts.relist_ms = opts->relist_ms ? opts->relist_ms : RELIST_MS;
    w->opts.queue_bytes = opts->queue_bytes ? opts->queue_bytes : QUEUE_BYTES;
    return true;
}

struct etcdc_watch *etcdc_watch(struct etcdc *client, const struct etcdc_watch_opts *opts,
                                etcdc_watch_fn *cb, void *arg)
{
    if (opts->key.n == 0 || opts->key.n > ETCDC_KEY_MAX || opts->end.n > ETCDC_KEY_MAX ||
        opts->tick.n > ETCDC_KEY_MAX || opts->after < 0 || opts->after == INT64_MAX)
        return NULL;
    struct etcdc_watch *w = gtm_calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    w->client = client;
    w->cb = cb;
    w->arg = arg;
    w->queue_end = &w->queue;
    w->core.emit = on_event;
    w->core.arg = w;
    bool good = set_up(w, opts);
    w->core.queue_bytes = w->splitter.max_bytes = w->opts.queue_bytes;
    w->core.tick = w->opts.tick;
    etcdc__core_init(&w->core, opts->after);
    if (!good) {
        watch_free(w);
        return NULL;
    }
    w->must_list = opts->after == 0;
    etcdc__life_init(&w->life, w->opts.stale_ms, etcdc__watch_now_ns(w));
    plan_relist(w, w->opts.relist_ms);
    gtm_timer_start(w->retry, 0);
    gtm_timer_start(w->beat, etcdc__life_beat_ms(&w->life));
    return w;
}
