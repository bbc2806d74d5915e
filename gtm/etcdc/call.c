/* SPDX-License-Identifier: Apache-2.0
 *
 * A call on its way. See etcdc_int.h for the steps; what may be repeated is decided here:
 * - nothing sent, or surely refused: the next endpoint;
 * - a read: the next endpoint; it gets half of the time that is left, so that time is left for
 *   another when a member hangs;
 * - a write that may have happened: told as ambiguous, unless its caller allowed repeating.
 * When all endpoints have been tried it waits a little and begins again, as long as the deadline
 * allows.
 */
#include "gtm/etcdc/call_int.h"

#include "gtm/base/mem.h"

#include <stdio.h>
#include <string.h>

#define PAUSE_NS      100000000u
#define PAUSE_DOUBLES 3u
#define TRY_MIN_MS    250u

static const char *const paths[] = {
    [ETCDC__RANGE] = "/v3/kv/range",
    [ETCDC__PUT] = "/v3/kv/put",
    [ETCDC__DELETE] = "/v3/kv/deleterange",
    [ETCDC__TXN] = "/v3/kv/txn",
    [ETCDC__LEASE_GRANT] = "/v3/lease/grant",
    [ETCDC__LEASE_REVOKE] = "/v3/lease/revoke",
    [ETCDC__LEASE_KEEP_ALIVE] = "/v3/lease/keepalive",
    [ETCDC__COMPACT] = "/v3/kv/compaction",
    [ETCDC__STATUS] = "/v3/maintenance/status",
};

static void step(struct etcdc__call *call);

static bool repeatable(const struct etcdc__call *call)
{
    return !call->write || call->idempotent;
}

static bool has_tried(const struct etcdc__call *call, size_t endpoint)
{
    return endpoint < 32 && (call->tried >> endpoint & 1);
}

static unsigned left_ms(const struct etcdc__call *call)
{
    uint64_t now_ns = gtm_mono_ns(call->client->clock);
    return call->deadline_ns > now_ns ? (unsigned)((call->deadline_ns - now_ns) / 1000000u) : 0;
}

/* --- the end --- */

static void unlink_call(struct etcdc__call *call)
{
    if (!call->at)
        return;
    *call->at = call->next;
    if (call->next)
        call->next->at = call->at;
    call->at = NULL;
    call->client->calls_count--;
}

void etcdc__call_free(struct etcdc__call *call)
{
    unlink_call(call);
    gtm_http_cancel(call->request);
    gtm_timer_free(call->timer);
    gtm_free(call->body);
    gtm_free(call);
}

void etcdc__call_drop(struct etcdc__call *call)
{
    void (*drop)(void *arg) = call->drop;
    void *arg = call->arg;
    etcdc__call_free(call);
    if (drop)
        drop(arg);
}

void etcdc_cancel(struct etcdc *client, const void *arg)
{
    for (struct etcdc__call *call = client->calls, *next; call; call = next) {
        next = call->next;
        if (call->user != arg || call->kind == ETCDC__STREAM)
            continue;
        if (call->in_callback) /* it ends with that, and then its list */
            call->closed = true;
        else
            etcdc__call_drop(call);
    }
}

static void finish(struct etcdc__call *call, int code, const char *text,
                   struct etcdc__decoded *decoded)
{
    struct etcdc__decoded none;
    char words[ETCDC__TEXT_BYTES + 128];
    const char *url = etcdc__url(call->client, call->endpoint);
    words[0] = 0;
    if (code != ETCDC_OK)
        snprintf(words, sizeof(words), "%s%s%s%s%s", url, *url ? ": " : "", etcdc_text(code),
                 *text ? ": " : "", text);
    if (!decoded) {
        memset(&none, 0, sizeof(none));
        none.status.alarms = "";
        decoded = &none;
    }
    call->client->counters.calls++;
    if (code != ETCDC_OK)
        call->client->counters.failures[-code]++;
    gtm_timer_stop(call->timer);
    call->state = ETCDC__ENDED;
    call->in_callback = true;
    if (call->kind == ETCDC__STREAM) {
        call->stream.end(call->stream.arg, code, words);
    } else if (call->kind == ETCDC__STATUS) {
        decoded->status.code = code;
        decoded->status.text = words;
        call->status_done(call->arg, &decoded->status);
    } else {
        decoded->answer.code = code;
        decoded->answer.text = words;
        decoded->answer.endpoint = url;
        call->done(call->arg, &decoded->answer);
    }
    etcdc__call_free(call);
}

/* No time, or nobody left to ask. */
static void give_up(struct etcdc__call *call)
{
    int code = call->code != ETCDC_OK ? call->code : ETCDC_E_CONNECT;
    if (call->maybe)
        code = ETCDC_E_AMBIGUOUS;
    finish(call, code, call->text, NULL);
}

/* --- failures --- */

/* What a server said tells more than that another could not be reached. */
static void remember(struct etcdc__call *call, int code, const char *text)
{
    bool weak = code == ETCDC_E_CONNECT || code == ETCDC_E_TIMEOUT;
    if (weak && call->code != ETCDC_OK && call->code != ETCDC_E_CONNECT)
        return;
    call->code = code;
    snprintf(call->text, sizeof(call->text), "%s", text);
}

static void failed(struct etcdc__call *call, int code, const char *text, bool maybe, bool tls)
{
    struct etcdc *client = call->client;
    bool others = etcdc__endpoint_failed(code) || tls;
    if (others)
        etcdc__eject(client, call->endpoint, code, text);
    remember(call, code, text);
    if (call->write && maybe && !call->idempotent) {
        finish(call, ETCDC_E_AMBIGUOUS, text, NULL);
        return;
    }
    call->maybe = call->maybe || (call->write && maybe);
    if (!others || (call->kind == ETCDC__STREAM && call->heard)) {
        finish(call, call->maybe && others ? ETCDC_E_AMBIGUOUS : code, text, NULL);
        return;
    }
    call->tried |= call->endpoint < 32 ? 1u << call->endpoint : 0;
    step(call);
}

/* The token is not known any more: nothing was done. Once for each call. */
static bool renews_token(struct etcdc__call *call, int code)
{
    struct etcdc *client = call->client;
    if (code != ETCDC_E_AUTH || !client->user || call->renewed)
        return false;
    call->renewed = true;
    if (client->token_made == call->token_made)
        etcdc__token_drop(client);
    step(call);
    return true;
}

/* --- answers --- */

static void answered(struct etcdc__call *call, const struct gtm_http_result *result)
{
    char text[ETCDC__TEXT_BYTES] = "";
    struct etcdc__decoded got;
    struct etcdc *client = call->client;
    struct gtm_json *json = gtm_json_parse(result->body, result->body_len, NULL);
    memset(&got, 0, sizeof(got));
    int code = gtm_json_type(json) == GTM_JSON_OBJECT
                   ? etcdc__error_of(json, result->status, text)
                   : etcdc__error_of_body(result->body, result->body_len, result->status, text);
    bool said = code != ETCDC_OK; /* by the server, as an error */
    if (!said)
        code = etcdc__decode(call->kind, json, result->body_len, &got);
    gtm_json_free(json);
    bool whole = !said && (code == ETCDC_OK || code == ETCDC_E_LEASE_NOT_FOUND);
    if (whole) {
        int judged = etcdc__check_header(client, call->endpoint, &got.answer.header, text);
        /* A write that was agreed on is a fact, whoever told it. */
        if (judged == ETCDC_OK)
            etcdc__endpoint_good(client, call->endpoint, result->latency_us);
        else if (judged == ETCDC_E_CLUSTER_CHANGED || !call->write)
            code = judged;
    }
    if (whole && (code == ETCDC_OK || code == ETCDC_E_LEASE_NOT_FOUND || call->write)) {
        finish(call, code, text, &got);
    } else if (!renews_token(call, code)) {
        failed(call, code, text, said ? !etcdc__surely_refused(code, text) : true, false);
    }
    etcdc__decoded_fini(&got);
}

static void stream_ended(struct etcdc__call *call, const struct gtm_http_result *result)
{
    char text[ETCDC__TEXT_BYTES] = "";
    int code;
    if (result->status == 200 && call->heard) {
        code = result->code == GTM_OK ? ETCDC_OK : etcdc__code_of_http(result, text);
        if (call->code == ETCDC_E_PROTOCOL) /* its reader said so */
            code = call->code;
        else if (result->code != GTM_OK)
            etcdc__eject(call->client, call->endpoint, code, text);
        finish(call, code, text, NULL);
        return;
    }
    code = result->status == 200
               ? ETCDC_E_UNAVAILABLE
               : etcdc__error_of_body(result->body, result->body_len, result->status, text);
    if (!renews_token(call, code))
        failed(call, code, text, false, false);
}

static void on_done(void *arg, const struct gtm_http_result *result)
{
    struct etcdc__call *call = arg;
    char text[ETCDC__TEXT_BYTES];
    call->request = NULL;
    if (call->closed) { /* a stream, by its reader: that is nobody's failure */
        etcdc__call_free(call);
        return;
    }
    call->client->counters.bytes_in += result->body_len;
    if (result->code != GTM_OK && !(call->kind == ETCDC__STREAM && result->status == 200)) {
        int code = etcdc__code_of_http(result, text);
        failed(call, code, text, result->sent == GTM_HTTP_SENT, code == ETCDC_E_DENIED);
    } else if (call->kind == ETCDC__STREAM) {
        stream_ended(call, result);
    } else {
        answered(call, result);
    }
}

static bool on_data(void *arg, const char *data, size_t len)
{
    struct etcdc__call *call = arg;
    gtm_timer_stop(call->timer);
    call->heard = true;
    call->client->counters.bytes_in += len;
    call->in_callback = true;
    bool more = call->stream.data(call->stream.arg, data, len);
    call->in_callback = false;
    if (!more && !call->closed)
        call->code = ETCDC_E_PROTOCOL;
    return more && !call->closed;
}

/* --- sending --- */

static unsigned try_ms(const struct etcdc__call *call)
{
    unsigned left = left_ms(call), others = 0;
    for (size_t i = 0; i < call->client->endpoints_count; i++)
        others += i != call->endpoint && !has_tried(call, i);
    if (!repeatable(call) || !others || call->only != ETCDC__NOWHERE || left / 2 < TRY_MIN_MS)
        return left ? left : 1;
    return left / 2;
}

static int start_request(struct etcdc__call *call, const char *url, const char *const *headers,
                         unsigned ms)
{
    struct etcdc *client = call->client;
    bool stream = call->kind == ETCDC__STREAM;
    struct gtm_http_ask ask = {
        .method = "POST",
        .url = url,
        .headers = headers,
        .body = call->body,
        .body_len = call->body_len,
        .timeout_ms = stream ? 0 : ms,
        .idle_ms = stream ? call->stream.idle_ms : 0,
        .body_max = stream ? 0 : GTM_HTTP_BODY_MAX,
        .once = call->write && !call->idempotent,
        .fresh = stream,
        .on_data = stream ? on_data : NULL,
        .done = on_done,
        .arg = call,
    };
    int rc = gtm_http_start(stream ? client->streams : client->http, &ask, &call->request);
    if (rc == GTM_OK && stream)
        gtm_timer_start(call->timer, ms);
    else
        gtm_timer_stop(call->timer);
    return rc;
}

static void send_call(struct etcdc__call *call)
{
    struct etcdc *client = call->client;
    struct gtm_buf url = {0}, token = {0};
    char timeout[48];
    const char *headers[5];
    size_t n = 0;
    unsigned ms = try_ms(call), less = ms / 10 > 20 ? ms / 10 : 20;
    const char *path = call->kind == ETCDC__STREAM ? call->stream.path : paths[call->kind];

    call->state = ETCDC__SENT;
    call->token_made = client->token_made;
    gtm_buf_addf(&url, "%s%s", client->endpoints[call->endpoint].url, path);
    headers[n++] = "Content-Type: application/json";
    if (call->leader_check)
        headers[n++] = "Grpc-Metadata-hasleader: true";
    if (call->kind != ETCDC__STREAM) { /* the server gives up first, and says so */
        snprintf(timeout, sizeof(timeout), "Grpc-Timeout: %um", ms > 2 * less ? ms - less : ms);
        headers[n++] = timeout;
    }
    if (client->token && *client->token) {
        gtm_buf_addf(&token, "Authorization: %s", client->token);
        headers[n++] = token.data;
    }
    headers[n] = NULL;
    int rc = url.failed || token.failed ? GTM_ENOMEM : start_request(call, url.data, headers, ms);
    if (token.data)
        explicit_bzero(token.data, token.len);
    gtm_buf_fini(&token);
    gtm_buf_fini(&url);
    if (rc != GTM_OK)
        finish(call, rc == GTM_ELIMIT ? ETCDC_E_TOO_MANY : ETCDC_E_NOMEM, "", NULL);
}

/* All have been tried: waits a while, longer each time, and at most until one comes back. Elections
 * take less than an endpoint is left out for. */
static void pause_call(struct etcdc__call *call)
{
    uint64_t now_ns = gtm_mono_ns(call->client->clock);
    uint64_t back_ns = etcdc__soonest_ns(call->client);
    uint64_t wait_ns = (uint64_t)PAUSE_NS
                       << (call->rounds < PAUSE_DOUBLES ? call->rounds : PAUSE_DOUBLES);
    wait_ns += (uint64_t)gtm_rand_below(&call->client->rand, PAUSE_NS / 4);
    if (back_ns > now_ns + PAUSE_NS / 2 && back_ns < now_ns + wait_ns)
        wait_ns = back_ns - now_ns;
    if (now_ns + wait_ns >= call->deadline_ns || call->only != ETCDC__NOWHERE) {
        give_up(call);
        return;
    }
    call->rounds++;
    call->tried = 0;
    call->state = ETCDC__PAUSED;
    gtm_timer_start(call->timer, wait_ns / 1000000u + 1);
}

static void await(struct etcdc__call *call, int code, int state)
{
    call->state = state;
    if (code != ETCDC_OK)
        failed(call, code, code == ETCDC_E_AUTH ? call->client->refused_text : "", false, false);
    else
        gtm_timer_start(call->timer, left_ms(call) + 1);
}

static void step(struct etcdc__call *call)
{
    struct etcdc *client = call->client;
    if (left_ms(call) == 0) {
        give_up(call);
        return;
    }
    size_t endpoint = call->only;
    if (endpoint == ETCDC__NOWHERE)
        endpoint = etcdc__choose(client, call->tried);
    if (endpoint == ETCDC__NOWHERE || has_tried(call, endpoint)) {
        pause_call(call);
        return;
    }
    call->endpoint = endpoint;
    if (client->endpoints[endpoint].greeted != ETCDC__KNOWN && call->kind != ETCDC__STATUS)
        await(call, etcdc__greet(client, endpoint), ETCDC__AWAITS_GREETING);
    else if (client->user && !client->token && call->kind != ETCDC__STATUS)
        await(call, etcdc__authenticate(client, endpoint), ETCDC__AWAITS_TOKEN);
    else
        send_call(call);
}

/* --- what a call waits for --- */

static void on_timer(void *arg)
{
    struct etcdc__call *call = arg;
    if (call->state == ETCDC__PAUSED) {
        step(call);
    } else if (call->state == ETCDC__SENT) { /* a stream that does not begin */
        gtm_http_cancel(call->request);
        call->request = NULL;
        failed(call, ETCDC_E_TIMEOUT, "the stream does not begin", false, false);
    } else {
        give_up(call);
    }
}

/* Calls in `state` (at endpoint, unless it is ETCDC__NOWHERE) go on, or fail with code. Callbacks
 * may end calls and start others: so from the start again after each. */
static void resume(struct etcdc *client, int state, size_t endpoint, int code, const char *text)
{
    for (struct etcdc__call *call = client->calls; call;) {
        if ((int)call->state != state ||
            (endpoint != ETCDC__NOWHERE && call->endpoint != endpoint)) {
            call = call->next;
            continue;
        }
        call->state = ETCDC__PAUSED;
        if (code == ETCDC_OK) { /* on the loop's next round, in no callback of another */
            gtm_timer_start(call->timer, 0);
            call = call->next;
        } else {
            failed(call, code, text, false, code == ETCDC_E_DENIED);
            call = client->calls;
        }
    }
}

void etcdc__greeted(struct etcdc *client, size_t endpoint, int code, const char *text)
{
    resume(client, ETCDC__AWAITS_GREETING, endpoint, code, text);
}

void etcdc__authenticated(struct etcdc *client, size_t endpoint, int code, const char *text)
{
    if (code != ETCDC_OK)
        resume(client, ETCDC__AWAITS_TOKEN, endpoint, code, text);
    resume(client, ETCDC__AWAITS_TOKEN, ETCDC__NOWHERE, ETCDC_OK, "");
}

/* --- the start --- */

static bool writes(enum etcdc__kind kind)
{
    return kind == ETCDC__PUT || kind == ETCDC__DELETE || kind == ETCDC__TXN ||
           kind == ETCDC__LEASE_GRANT || kind == ETCDC__LEASE_REVOKE || kind == ETCDC__COMPACT;
}

int etcdc__call_start(struct etcdc *client, enum etcdc__kind kind, unsigned flags,
                      struct gtm_buf *body, etcdc_done_fn *done, void *arg,
                      struct etcdc__call **ret_call)
{
    if (client->calls_count >= ETCDC__CALLS_MAX) {
        gtm_buf_fini(body);
        return ETCDC_E_TOO_MANY;
    }
    struct etcdc__call *call = gtm_calloc(1, sizeof(*call));
    size_t len = body->len;
    char *text = gtm_buf_take(body);
    struct gtm_timer *timer = call && text ? gtm_timer_new(client->loop, on_timer, call) : NULL;
    if (!timer) {
        gtm_free(call);
        gtm_free(text);
        return ETCDC_E_NOMEM;
    }
    call->client = client;
    call->kind = kind;
    call->body = text;
    call->body_len = len;
    call->write = writes(kind);
    call->idempotent = flags & ETCDC_IDEMPOTENT;
    call->leader_check =
        !(flags & (ETCDC_NO_LEADER_CHECK | ETCDC_SERIALIZABLE)) && kind != ETCDC__STATUS;
    call->only = call->endpoint = ETCDC__NOWHERE;
    call->done = done;
    call->user = call->arg = arg;
    call->timer = timer;
    call->deadline_ns = gtm_mono_ns(client->clock) + (uint64_t)client->call_ms * 1000000u;
    call->next = client->calls;
    call->at = &client->calls;
    if (call->next)
        call->next->at = &call->next;
    client->calls = call;
    client->calls_count++;
    gtm_timer_start(timer, 0); /* so that no callback comes from inside */
    if (ret_call)
        *ret_call = call;
    return ETCDC_OK;
}

/* --- streams --- */

struct etcdc__call *etcdc__stream_open(struct etcdc *client, const struct etcdc__stream_ask *ask)
{
    struct etcdc__call *call;
    struct gtm_buf body = {0};
    gtm_buf_add(&body, ask->body, ask->body_len);
    if (etcdc__call_start(client, ETCDC__STREAM, 0, &body, NULL, NULL, &call) != ETCDC_OK)
        return NULL;
    call->stream = *ask;
    return call;
}

void etcdc__stream_close(struct etcdc__call *stream)
{
    if (!stream)
        return;
    stream->closed = true;
    if (!stream->in_callback) {
        etcdc__call_free(stream);
        return;
    }
    unlink_call(stream);
}

size_t etcdc__stream_endpoint(const struct etcdc__call *stream)
{
    return stream->endpoint;
}
