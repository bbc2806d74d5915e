/* SPDX-License-Identifier: Apache-2.0
 *
 * A watch's stream: bytes → objects → messages → watch_core.h. Objects wait while a listing is
 * under way, or while a helper thread parses a large one before them. See watch_int.h.
 */
#include "gtm/base/mem.h"
#include "gtm/etcdc/call_int.h"
#include "gtm/etcdc/watch_int.h"

#include <stdio.h>
#include <string.h>

#define LIVED_MS     1000u        /* a stream that lasted so long was no failure */
#define INLINE_BYTES (256u << 10) /* more is parsed by a helper thread */

/* A message parsed by a helper thread. */
struct etcdc__watch_job {
    struct etcdc_watch *watch; /* NULL: nobody waits any more */
    struct etcdc__queued *object;
    struct etcdc__watch_message *message;
    int code;
};

static void clear_queue(struct etcdc_watch *w)
{
    while (w->queue) {
        struct etcdc__queued *next = w->queue->next;
        gtm_free(w->queue);
        w->queue = next;
    }
    w->queue_end = &w->queue;
    w->queue_bytes = 0;
    if (w->job)
        w->job->watch = NULL;
    w->job = NULL;
}

void etcdc__watch_end_stream(struct etcdc_watch *w)
{
    etcdc__stream_close(w->stream);
    w->stream = NULL;
    etcdc__splitter_fini(&w->splitter);
    etcdc__core_stream_ended(&w->core);
    clear_queue(w);
}

void etcdc__watch_count_end(struct etcdc_watch *w)
{
    w->client->counters.watches_restarted++;
    if (etcdc__watch_now_ns(w) - w->opened_ns >= LIVED_MS * UINT64_C(1000000))
        w->failures = 0;
}

void etcdc__watch_break(struct etcdc_watch *w, int code, const char *text)
{
    size_t endpoint = etcdc__stream_endpoint(w->stream);
    if (endpoint != ETCDC__NOWHERE && etcdc__endpoint_failed(code))
        etcdc__eject(w->client, endpoint, code, text);
    etcdc__watch_count_end(w);
    etcdc__watch_end_stream(w);
    if (code == ETCDC_E_AUTH && w->client->user && !w->renewed) {
        w->renewed = true; /* a token ends with the member that gave it */
        etcdc__token_drop(w->client);
        code = ETCDC_E_UNAVAILABLE;
    }
    if (code == ETCDC_E_COMPACTED || code == ETCDC_E_OVERFLOW || code == ETCDC_E_FUTURE_REV)
        w->must_list = true;
    etcdc__watch_failed(w, code, text);
}

/* Takes the message; it may end the stream. */
static void take(struct etcdc_watch *w, struct etcdc__watch_message *m, int code)
{
    char text[ETCDC__TEXT_BYTES] = "";
    if (!m) {
        etcdc__watch_break(w, code, code == ETCDC_E_PROTOCOL ? "not a watch's answer" : "");
        return;
    }
    code = etcdc__check_header(w->client, etcdc__stream_endpoint(w->stream), &m->header, text);
    if (code) {
        etcdc__watch_message_free(m);
        etcdc__watch_break(w, code, text);
        return;
    }
    if (m->created && !m->code) {
        w->renewed = false;
        etcdc__watch_recovered(w);
    }
    snprintf(text, sizeof(text), "%s", m->text);
    code = etcdc__core_message(&w->core, m);
    if (w->closed)
        return;
    if (code) {
        etcdc__watch_break(w, code, text);
        return;
    }
    etcdc__life_moved(&w->life, w->core.next);
    if (w->core.tick_seen)
        etcdc__life_ticked(&w->life, etcdc__watch_now_ns(w));
    w->core.tick_seen = false;
    etcdc__watch_settle(w);
}

static void parse_work(void *arg)
{
    struct etcdc__watch_job *job = arg;
    job->message = etcdc__watch_parse(job->object->text, job->object->len, &job->code);
}

static void parse_done(void *arg)
{
    struct etcdc__watch_job *job = arg;
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
    etcdc__watch_pump(w);
    etcdc__watch_leave(w);
}

/* Has the first of the queue parsed by a helper; false: it cannot be. */
static bool start_job(struct etcdc_watch *w, struct etcdc__queued *object)
{
    struct etcdc__watch_job *job = gtm_calloc(1, sizeof(*job));
    if (!job)
        return false;
    *job = (struct etcdc__watch_job){.watch = w, .object = object};
    if (gtm_loop_work_sure(w->client->loop, parse_work, parse_done, job)) {
        gtm_free(job);
        return false;
    }
    w->job = job;
    return true;
}

bool etcdc__watch_backlog(const struct etcdc_watch *w)
{
    return w->queue || w->job;
}

void etcdc__watch_pump(struct etcdc_watch *w)
{
    while (!w->closed && w->queue && !w->listing && !w->job) {
        struct etcdc__queued *object = w->queue;
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
    struct etcdc__queued *object = NULL;
    if (w->queue_bytes + len <= w->opts.queue_bytes)
        object = gtm_malloc(sizeof(*object) + len);
    if (!object) {
        bool full = w->queue_bytes + len > w->opts.queue_bytes;
        etcdc__watch_break(w, full ? ETCDC_E_OVERFLOW : ETCDC_E_NOMEM, "");
        return false;
    }
    object->next = NULL;
    object->len = len;
    memcpy(object->text, text, len);
    *w->queue_end = object;
    w->queue_end = &object->next;
    w->queue_bytes += len;
    etcdc__watch_pump(w);
    return !w->closed && w->stream == stream;
}

static bool on_data(void *arg, const char *data, size_t len)
{
    struct etcdc_watch *w = arg;
    const struct etcdc__call *stream = w->stream;
    w->busy++;
    w->heard = true;
    int code = etcdc__splitter_feed(&w->splitter, data, len, on_object, w);
    if (code && !w->closed && w->stream)
        etcdc__watch_break(w, code, "");
    bool go_on = !w->closed && w->stream == stream;
    etcdc__watch_leave(w);
    return go_on;
}

static void on_end(void *arg, int code, const char *text)
{
    struct etcdc_watch *w = arg;
    w->busy++;
    w->stream = NULL; /* freed by who calls */
    etcdc__watch_count_end(w);
    etcdc__watch_end_stream(w);
    etcdc__watch_failed(w, code ? code : ETCDC_E_UNAVAILABLE,
                        code ? text : "the server ended the stream");
    etcdc__watch_leave(w);
}

void etcdc__watch_open_stream(struct etcdc_watch *w)
{
    struct gtm_buf body = {0};
    etcdc__watch_end_stream(w);
    w->opened_ns = etcdc__watch_now_ns(w);
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
        etcdc__watch_failed(w, ETCDC_E_NOMEM, "");
}
