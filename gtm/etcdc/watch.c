/* SPDX-License-Identifier: Apache-2.0
 *
 * A watch: lists, then follows a stream, for ever. See etcdc.h; what it makes of listings and
 * messages is watch_core.h, whether it is behind is watch_life.h.
 *
 * Happy path: etcdc_watch → on_retry → list → on_listed → on_retry → open_stream → on_data →
 * on_object → take → core → the user's callback. A listing beside a stream holds the stream's
 * messages back until it has been given, so that the two cannot overtake each other.
 *
 * The memory lives until no callback is on the stack (`busy`).
 */
#include "gtm/base/mem.h"
#include "gtm/etcdc/call_int.h"
#include "gtm/etcdc/splitter.h"
#include "gtm/etcdc/watch_core.h"
#include "gtm/etcdc/watch_life.h"

#include <stdio.h>
#include <string.h>

#define STALE_MS     3000u
#define RELIST_MS    300000u
#define QUEUE_BYTES  ((size_t)64 << 20)
#define FAILED_MS    5000u /* until a permanent failure is tried again */
#define BACKOFF_MS   100u
#define BACKOFF_MAX  2000u
#define LIVED_MS     1000u        /* a stream that lasted so long was no failure */
#define INLINE_BYTES (256u << 10) /* more is parsed by a helper thread */

struct queued {
    struct queued *next;
    size_t len;
    char text[];
};

/* A message parsed by a helper thread. */
struct job {
    struct etcdc_watch *watch; /* NULL: nobody waits any more */
    struct queued *object;
    struct etcdc__watch_message *message;
    int code;
};

struct etcdc_watch {
    struct etcdc *client;
    etcdc_watch_fn *cb;
    void *arg;
    struct etcdc_watch_opts opts; /* key, end and tick point to `octets` */
    uint8_t *octets;
    struct etcdc__core core;
    struct etcdc__life life;
    struct etcdc__splitter splitter;
    struct gtm_timer *retry, *beat;

    struct etcdc__call *stream;
    bool must_list; /* before the next stream */
    bool listing, catching_up, checking;
    uint64_t list_asked_ns, check_asked_ns, relist_at_ns, opened_ns;
    struct queued *queue, **queue_end;
    size_t queue_bytes;
    struct job *job;
    unsigned failures;
    int failed_code; /* told by ETCDC_FAILED; 0 = none */
    char text[ETCDC__TEXT_BYTES];

    bool renewed; /* the token, for want of which a stream ended */
    bool closed;
    unsigned busy;
};

static uint64_t now_ns(const struct etcdc_watch *w)
{
    return gtm_mono_ns(w->client->clock);
}

/* --- the end --- */

static void clear_queue(struct etcdc_watch *w)
{
    while (w->queue) {
        struct queued *next = w->queue->next;
        gtm_free(w->queue);
        w->queue = next;
    }
    w->queue_end = &w->queue;
    w->queue_bytes = 0;
    if (w->job)
        w->job->watch = NULL;
    w->job = NULL;
}

static void watch_free(struct etcdc_watch *w)
{
    clear_queue(w);
    gtm_timer_free(w->retry);
    gtm_timer_free(w->beat);
    etcdc__splitter_fini(&w->splitter);
    etcdc__core_fini(&w->core);
    gtm_free(w->octets);
    gtm_free(w);
}

static void leave(struct etcdc_watch *w)
{
    w->busy--;
    if (w->closed && w->busy == 0)
        watch_free(w);
}

/* The stream and what of it was not given. */
static void end_stream(struct etcdc_watch *w)
{
    etcdc__stream_close(w->stream);
    w->stream = NULL;
    etcdc__splitter_fini(&w->splitter);
    etcdc__core_stream_ended(&w->core);
    clear_queue(w);
}

void etcdc_watch_close(struct etcdc_watch *watch)
{
    if (!watch || watch->closed)
        return;
    watch->busy++;
    watch->closed = true;
    end_stream(watch);
    etcdc_cancel(watch->client, watch);
    gtm_timer_stop(watch->retry);
    gtm_timer_stop(watch->beat);
    leave(watch);
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

/* Tries again later; what is permanent is told, once. */
static void failed(struct etcdc_watch *w, int code, const char *text)
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

static void count_end(struct etcdc_watch *w)
{
    w->client->counters.watches_restarted++;
    if (now_ns(w) - w->opened_ns >= LIVED_MS * UINT64_C(1000000))
        w->failures = 0;
}

/* The stream is of no use any more: another begins where it was. */
static void break_stream(struct etcdc_watch *w, int code, const char *text)
{
    size_t endpoint = etcdc__stream_endpoint(w->stream);
    if (endpoint != ETCDC__NOWHERE && etcdc__endpoint_failed(code))
        etcdc__eject(w->client, endpoint, code, text);
    count_end(w);
    end_stream(w);
    if (code == ETCDC_E_AUTH && w->client->user && !w->renewed) {
        w->renewed = true; /* a token ends with the member that gave it */
        etcdc__token_drop(w->client);
        code = ETCDC_E_UNAVAILABLE;
    }
    if (code == ETCDC_E_COMPACTED || code == ETCDC_E_OVERFLOW || code == ETCDC_E_FUTURE_REV)
        w->must_list = true;
    failed(w, code, text);
}

/* The member is behind or hangs, though others answer. */
static void switch_endpoint(struct etcdc_watch *w, const char *why)
{
    if (!w->stream)
        return;
    w->failures = 0;
    break_stream(w, ETCDC_E_TIMEOUT, why);
}

/* Tells a change of state. */
static void settle(struct etcdc_watch *w)
{
    if (w->closed || !etcdc__life_turn(&w->life, now_ns(w)))
        return;
    if (w->life.state == ETCDC__LIFE_FRESH) {
        tell_state(w, ETCDC_FRESH, ETCDC_OK, "");
        return;
    }
    tell_state(w, ETCDC_STALE, ETCDC_E_TIMEOUT, w->text);
    if (!w->closed)
        switch_endpoint(w, "nothing was heard on a watch");
}

static void succeeded(struct etcdc_watch *w)
{
    w->failures = 0;
    w->failed_code = 0;
    w->text[0] = '\0';
}

/* --- the stream --- */

/* Takes the message; it may end the stream. */
static void take(struct etcdc_watch *w, struct etcdc__watch_message *m, int code)
{
    char text[ETCDC__TEXT_BYTES] = "";
    if (!m) {
        break_stream(w, code, code == ETCDC_E_PROTOCOL ? "not a watch's answer" : "");
        return;
    }
    code = etcdc__check_header(w->client, etcdc__stream_endpoint(w->stream), &m->header, text);
    if (code) {
        etcdc__watch_message_free(m);
        break_stream(w, code, text);
        return;
    }
    if (m->created && !m->code) {
        w->failed_code = 0;
        w->renewed = false;
    }
    snprintf(text, sizeof(text), "%s", m->text);
    code = etcdc__core_message(&w->core, m);
    if (w->closed)
        return;
    if (code) {
        break_stream(w, code, text);
        return;
    }
    etcdc__life_moved(&w->life, w->core.next);
    if (w->core.tick_seen)
        etcdc__life_ticked(&w->life, now_ns(w));
    w->core.tick_seen = false;
    settle(w);
}

static void parse_work(void *arg)
{
    struct job *job = arg;
    job->message = etcdc__watch_parse(job->object->text, job->object->len, &job->code);
}

static void pump(struct etcdc_watch *w);

static void parse_done(void *arg)
{
    struct job *job = arg;
    struct etcdc_watch *w = job->watch;
    struct etcdc__watch_message *m = job->message;
    int code = job->code;
    gtm_free(job->object);
    gtm_free(job);
    if (!w) { /* the stream has ended meanwhile */
        etcdc__watch_message_free(m);
        return;
    }
    w->busy++;
    w->job = NULL;
    take(w, m, code);
    pump(w);
    leave(w);
}

/* Has the first of the queue parsed by a helper; false: it cannot be. */
static bool start_job(struct etcdc_watch *w, struct queued *object)
{
    struct job *job = gtm_calloc(1, sizeof(*job));
    if (!job)
        return false;
    *job = (struct job){.watch = w, .object = object};
    if (gtm_loop_work(w->client->loop, parse_work, parse_done, job)) {
        gtm_free(job);
        return false;
    }
    w->job = job;
    return true;
}

/* Works the queue off, as far as may be now. */
static void pump(struct etcdc_watch *w)
{
    while (!w->closed && w->queue && !w->listing && !w->job) {
        struct queued *object = w->queue;
        w->queue = object->next;
        if (!w->queue)
            w->queue_end = &w->queue;
        w->queue_bytes -= object->len;
        if (object->len > INLINE_BYTES && start_job(w, object))
            return;
        int code;
        struct etcdc__watch_message *m = etcdc__watch_parse(object->text, object->len, &code);
        gtm_free(object);
        take(w, m, code);
    }
}

static bool on_object(void *arg, const char *text, size_t len)
{
    struct etcdc_watch *w = arg;
    const struct etcdc__call *stream = w->stream;
    struct queued *object = NULL;
    if (w->queue_bytes + len <= w->opts.queue_bytes)
        object = gtm_malloc(sizeof(*object) + len);
    if (!object) {
        bool full = w->queue_bytes + len > w->opts.queue_bytes;
        break_stream(w, full ? ETCDC_E_OVERFLOW : ETCDC_E_NOMEM, "");
        return false;
    }
    object->next = NULL;
    object->len = len;
    memcpy(object->text, text, len);
    *w->queue_end = object;
    w->queue_end = &object->next;
    w->queue_bytes += len;
    pump(w);
    return !w->closed && w->stream == stream;
}

static bool on_data(void *arg, const char *data, size_t len)
{
    struct etcdc_watch *w = arg;
    const struct etcdc__call *stream = w->stream;
    w->busy++;
    int code = etcdc__splitter_feed(&w->splitter, data, len, on_object, w);
    if (code && !w->closed && w->stream)
        break_stream(w, code, "");
    bool go_on = !w->closed && w->stream == stream;
    leave(w);
    return go_on;
}

static void on_end(void *arg, int code, const char *text)
{
    struct etcdc_watch *w = arg;
    w->busy++;
    w->stream = NULL; /* freed by who calls */
    count_end(w);
    end_stream(w);
    failed(w, code ? code : ETCDC_E_UNAVAILABLE, code ? text : "the server ended the stream");
    leave(w);
}

static void open_stream(struct etcdc_watch *w)
{
    struct gtm_buf body = {0};
    end_stream(w);
    w->opened_ns = now_ns(w);
    gtm_buf_addc(&body, '{');
    etcdc__put_name(&body, "create_request");
    gtm_buf_addc(&body, '{');
    etcdc__put_bytes(&body, "key", w->opts.key);
    etcdc__put_bytes(&body, "range_end", w->opts.end);
    etcdc__put_i64(&body, "start_revision", w->core.next);
    etcdc__put_bool(&body, "progress_notify", true);
    etcdc__put_bool(&body, "fragment", true);
    gtm_buf_adds(&body, "}}");
    if (!body.failed) {
        struct etcdc__stream_ask ask = {.path = "/v3/watch",
                                        .body = body.data,
                                        .body_len = body.len,
                                        .data = on_data,
                                        .end = on_end,
                                        .arg = w};
        w->stream = etcdc__stream_open(w->client, &ask);
    }
    gtm_buf_fini(&body);
    if (!w->stream)
        failed(w, ETCDC_E_NOMEM, "");
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
    w->relist_at_ns = now_ns(w) + (in_ms - fifth + jitter) * 1000000u;
}

static void listed(struct etcdc_watch *w, const struct etcdc_answer *answer)
{
    bool changed = false;
    int code = answer->code;
    const char *text = answer->text;
    if (!code) {
        code = etcdc__core_list_end(&w->core, &answer->header, &changed);
        text = code == ETCDC_E_CLUSTER_CHANGED
                   ? "its revision is lower than one seen before: restored from a backup?"
                   : "";
    }
    if (w->closed)
        return;
    if (code) {
        w->must_list |= code == ETCDC_E_OVERFLOW || code == ETCDC_E_CLUSTER_CHANGED;
        plan_relist(w, FAILED_MS);
        if (w->stream && w->must_list)
            end_stream(w);
        if (!w->stream)
            failed(w, code, text);
        return;
    }
    w->must_list = false;
    plan_relist(w, w->opts.relist_ms);
    etcdc__life_listed(&w->life, w->list_asked_ns);
    settle(w);
    if (w->closed)
        return;
    if (w->stream && w->catching_up && changed && !w->queue) {
        switch_endpoint(w, "a watch was behind what others have");
    } else if (!w->stream) {
        succeeded(w);
        gtm_timer_start(w->retry, 0);
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
        pump(w);
    leave(w);
}

static void start_listing(struct etcdc_watch *w, bool catching_up)
{
    if (w->listing)
        return;
    w->list_asked_ns = now_ns(w);
    etcdc__core_list_begin(&w->core);
    int code = etcdc_list(w->client, w->opts.key, w->opts.end, 0, on_page, on_listed, w);
    if (code) {
        plan_relist(w, FAILED_MS);
        if (!w->stream)
            failed(w, code, "");
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
        open_stream(w);
    leave(w);
}

/* --- liveness --- */

static void on_checked(void *arg, const struct etcdc_answer *answer)
{
    struct etcdc_watch *w = arg;
    w->busy++;
    w->checking = false;
    if (answer->code == ETCDC_OK) {
        etcdc__life_checked(&w->life, w->check_asked_ns, answer->header.revision, w->core.next);
        settle(w);
    } else {
        snprintf(w->text, sizeof(w->text), "%s", answer->text);
    }
    leave(w);
}

static void start_check(struct etcdc_watch *w)
{
    if (w->checking || w->core.next == 0)
        return;
    w->check_asked_ns = now_ns(w);
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
    uint64_t now = now_ns(w);
    w->busy++;
    if (w->stream && stream_is_ejected(w, now)) { /* by other calls: it hangs or lost its quorum */
        count_end(w);
        end_stream(w);
        gtm_timer_start(w->retry, 0);
    }
    settle(w);
    if (!w->closed) {
        enum etcdc__life_act act = etcdc__life_act(&w->life, now);
        if (act == ETCDC__LIFE_CHECK)
            start_check(w);
        else if (act == ETCDC__LIFE_LIST)
            start_listing(w, true);
        else if (w->stream && now >= w->relist_at_ns)
            start_listing(w, false);
        gtm_timer_start(w->beat, etcdc__life_beat_ms(&w->life));
    }
    leave(w);
}

uint64_t etcdc_watch_age_ms(const struct etcdc_watch *watch)
{
    uint64_t now = now_ns(watch);
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
    etcdc__life_init(&w->life, w->opts.stale_ms, now_ns(w));
    plan_relist(w, w->opts.relist_ms);
    gtm_timer_start(w->retry, 0);
    gtm_timer_start(w->beat, etcdc__life_beat_ms(&w->life));
    return w;
}
