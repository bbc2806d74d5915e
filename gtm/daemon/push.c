/* SPDX-License-Identifier: Apache-2.0
 *
 * One heartbeat: who sends it, for what, and what it says. See push.h.
 */
#include "gtm/daemon/push.h"

#include "gtm/base/json.h"
#include "gtm/base/mem.h"
#include "gtm/base/rand.h"
#include "gtm/daemon/daemon.h"
#include "gtm/daemon/push_int.h"
#include "health/load.h"

#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>

#define PREFIX          "/v1/heartbeat/"
#define LOGS_PER_MINUTE 6

/* A request in the works. */
struct beat {
    struct gtm_push *push;
    struct evhttp_request *http;
    char pool[GTM_NAME_MAX + 1], endpoint[GTM_NAME_MAX + 1], monitor[GTM_NAME_MAX + 1];
    unsigned families; /* bits 1 << enum gtm_family */
    uint8_t digest[GTM_PUSH_DIGEST];
    struct gtm_json *body; /* or NULL */
    bool well;
};

/* --- answers --- */

static const char *title_of(int status)
{
    switch (status) {
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 413:
        return "Content Too Large";
    case 429:
        return "Too Many Requests";
    case 503:
        return "Service Unavailable";
    default:
        return "Internal Server Error";
    }
}

static void header(const struct beat *beat, const char *name, const char *value)
{
    evhttp_add_header(evhttp_request_get_output_headers(beat->http), name, value);
}

/* RFC 9457. Always false, so that a step may return it. */
static bool refuse(struct beat *beat, enum gtm_push_refusal reason, int status, const char *detail)
{
    struct gtm_json *root = gtm_json_object();
    beat->push->refused[reason]++;
    gtm_json_add_str(root, "type", "about:blank");
    gtm_json_add_str(root, "title", title_of(status));
    gtm_json_add_i64(root, "status", status);
    gtm_json_add_str(root, "detail", detail);
    char *text = gtm_json_print(root, false);
    struct evbuffer *out = evbuffer_new();
    gtm_json_free(root);
    if (text && out) {
        evbuffer_add(out, text, strlen(text));
        header(beat, "Content-Type", "application/problem+json");
    }
    evhttp_send_reply(beat->http, status, title_of(status), out);
    if (out)
        evbuffer_free(out);
    gtm_free(text);
    return false;
}

static const struct sockaddr *address_of(const struct beat *beat)
{
    return evhttp_connection_get_addr(evhttp_request_get_connection(beat->http));
}

static void log_wrong_token(struct beat *beat)
{
    struct gtm_push *push = beat->push;
    uint64_t held_back = 0;
    char *address = NULL;
    uint16_t port = 0;
    evhttp_connection_get_peer(evhttp_request_get_connection(beat->http), &address, &port);
    if (gtm_log_allow(&push->log_limit, gtm_mono_ms(push->d->clock), LOGS_PER_MINUTE, &held_back))
        gtm_log(GTM_LOG_WARN, "push", "a heartbeat with a wrong token",
                gtm_kv_str("from", address ? address : "?"), gtm_kv_str("pool", beat->pool),
                gtm_kv_str("endpoint", beat->endpoint),
                gtm_kv_int("held_back", (int64_t)held_back));
}

static bool refuse_token(struct beat *beat, const char *detail)
{
    struct gtm_push *push = beat->push;
    gtm_push__guard_failed(&push->guard, address_of(beat), gtm_mono_ms(push->d->clock));
    log_wrong_token(beat);
    header(beat, "WWW-Authenticate", "Bearer");
    return refuse(beat, GTM_PUSH_TOKEN, 401, detail);
}

/* --- what is asked --- */

/* Takes one word of a path that is made of names; false when it is none. */
static bool take_name(const char **at, char name[GTM_NAME_MAX + 1])
{
    size_t n = strspn(*at, "abcdefghijklmnopqrstuvwxyz0123456789-_.");
    if (n == 0 || n > GTM_NAME_MAX || ((*at)[n] != '/' && (*at)[n] != '\0'))
        return false;
    memcpy(name, *at, n);
    name[n] = '\0';
    *at += n + ((*at)[n] == '/');
    return true;
}

static bool read_path(struct beat *beat, const struct evhttp_uri *uri)
{
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
    if (!path || strncmp(path, PREFIX, strlen(PREFIX)) != 0)
        return false;
    path += strlen(PREFIX);
    return take_name(&path, beat->pool) && take_name(&path, beat->endpoint) &&
           (*path == '\0' || take_name(&path, beat->monitor)) && *path == '\0';
}

static bool read_query(struct beat *beat, const struct evhttp_uri *uri)
{
    struct evkeyvalq query;
    const char *text = evhttp_uri_get_query(uri);
    beat->families = 1u << GTM_FAMILY_V4 | 1u << GTM_FAMILY_V6;
    if (!text)
        return true;
    if (evhttp_parse_query_str(text, &query) != 0)
        return false;
    bool ok = true;
    for (const struct evkeyval *kv = query.tqh_first; kv; kv = kv->next.tqe_next) {
        bool v4 = strcmp(kv->value, "4") == 0;
        ok = ok && strcmp(kv->key, "family") == 0 && (v4 || strcmp(kv->value, "6") == 0);
        beat->families = 1u << (v4 ? GTM_FAMILY_V4 : GTM_FAMILY_V6);
    }
    evhttp_clear_headers(&query);
    return ok;
}

static bool read_target(struct beat *beat)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(beat->http);
    if (!read_path(beat, uri))
        return refuse(beat, GTM_PUSH_UNKNOWN, 404,
                      "heartbeats go to " PREFIX "POOL/ENDPOINT[/MONITOR]");
    if (evhttp_request_get_command(beat->http) != EVHTTP_REQ_POST) {
        header(beat, "Allow", "POST");
        return refuse(beat, GTM_PUSH_BAD, 405, "a heartbeat is a POST");
    }
    if (!read_query(beat, uri))
        return refuse(beat, GTM_PUSH_BAD, 400, "the query may be family=4 or family=6");
    return true;
}

static bool read_token(struct beat *beat)
{
    struct gtm_push *push = beat->push;
    const char *auth =
        evhttp_find_header(evhttp_request_get_input_headers(beat->http), "Authorization");
    if (!gtm_push__guard_allows(&push->guard, address_of(beat), gtm_mono_ms(push->d->clock))) {
        header(beat, "Retry-After", "6");
        return refuse(beat, GTM_PUSH_RATE, 429, "too many wrong tokens from this address");
    }
    if (!push->secrets) {
        header(beat, "Retry-After", "1");
        return refuse(beat, GTM_PUSH_NOT_READY, 503, "the tokens are not read yet");
    }
    if (!auth || strncasecmp(auth, "Bearer ", 7) != 0)
        return refuse_token(beat, "the token is missing: Authorization: Bearer TOKEN");
    auth += 7 + strspn(auth + 7, " ");
    SHA256((const unsigned char *)auth, strlen(auth), beat->digest);
    return true;
}

static bool read_status(struct beat *beat)
{
    const struct gtm_json *status = gtm_json_get(beat->body, "status");
    const char *word = gtm_json_as_str(status);
    beat->well = !status || (word && strcmp(word, "up") == 0);
    return beat->well || (word && strcmp(word, "down") == 0);
}

static bool read_body(struct beat *beat)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(beat->http);
    size_t len = evbuffer_get_length(in);
    struct gtm_error err = {0};
    beat->well = true;
    if (len == 0)
        return true;
    if (len > GTM_PUSH_BODY_MAX)
        return refuse(beat, GTM_PUSH_BAD, 413, "the body may have 16384 bytes");
    const char *text = (const char *)evbuffer_pullup(in, -1);
    beat->body = text ? gtm_json_parse(text, len, &err) : NULL;
    if (!beat->body)
        return refuse(beat, GTM_PUSH_BAD, 400, text ? err.text : "out of memory");
    if (gtm_json_type(beat->body) != GTM_JSON_OBJECT)
        return refuse(beat, GTM_PUSH_BAD, 400, "the body is no JSON object");
    if (!read_status(beat))
        return refuse(beat, GTM_PUSH_BAD, 400, "status is \"up\" or \"down\"");
    return true;
}

/* --- whom it is for --- */

static bool token_fits(const struct beat *beat, const char *monitor)
{
    const struct gtm_push_secret *secret = gtm_map_get(beat->push->secrets, monitor);
    return secret && CRYPTO_memcmp(secret->digest, beat->digest, sizeof(beat->digest)) == 0;
}

/* Whether there is such a target is nobody's business who has no token at all. */
static bool refuse_unknown(struct beat *beat)
{
    size_t it = 0;
    const char *name;
    void *value;
    bool fits = false;
    while (gtm_map_next(beat->push->secrets, &it, &name, &value))
        fits |= token_fits(beat, name);
    if (!fits)
        return refuse_token(beat, "the token is wrong");
    return refuse(beat, GTM_PUSH_UNKNOWN, 404,
                  "there is no such endpoint with a monitor of kind push");
}

static void tell(struct beat *beat, const char *key, const struct gtm_monitor *monitor, int *ret_rc)
{
    struct health_load load = {0};
    struct gtm_error err = {0};
    const char *text = gtm_json_str(beat->body, "text", NULL);
    if (beat->body && health_load_read(beat->body, (const char *const *)monitor->load_pointer,
                                       false, &load, &err) != GTM_OK)
        beat->push->load_errors++;
    int rc =
        health_engine_push(beat->push->d->health, key, beat->well, text, load.has ? &load : NULL);
    if (rc != GTM_OK)
        *ret_rc = rc;
}

/* Tells the engine of each target that the heartbeat is for and has the token of: how many. Those
 * that it is for are counted in *ret_known. */
static unsigned tell_all(struct beat *beat, size_t p, size_t e, unsigned *ret_known, int *ret_rc)
{
    const struct gtm_intent *intent = beat->push->d->intent;
    const struct gtm_pool *pool = &intent->pools[p];
    unsigned told = 0;
    for (size_t m = 0; m < pool->monitors_count; m++) {
        const struct gtm_monitor *monitor = &intent->monitors[pool->monitors[m]];
        if (monitor->kind != GTM_MONITOR_PUSH ||
            (beat->monitor[0] && strcmp(beat->monitor, monitor->name) != 0))
            continue;
        bool fits = token_fits(beat, monitor->name);
        for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++) {
            char key[HEALTH_KEY_BYTES];
            if (!(beat->families & 1u << f) || !gtm_endpoint_has(&pool->endpoints[e], f) ||
                !gtm_target_key(intent, p, e, pool->monitors[m], f, key))
                continue;
            (*ret_known)++;
            if (!fits)
                continue;
            tell(beat, key, monitor, ret_rc);
            told++;
        }
    }
    return told;
}

static bool deliver(struct beat *beat)
{
    const struct gtm_intent *intent = beat->push->d->intent;
    int p = gtm_intent_pool(intent, beat->pool), rc = GTM_OK;
    int e = p >= 0 ? gtm_pool_endpoint(&intent->pools[p], beat->endpoint) : -1;
    unsigned known = 0;
    unsigned told = e >= 0 ? tell_all(beat, (size_t)p, (size_t)e, &known, &rc) : 0;
    if (known == 0)
        return refuse_unknown(beat);
    if (told == 0)
        return refuse_token(beat, "the token is wrong");
    if (rc != GTM_OK) {
        header(beat, "Retry-After", "1");
        return refuse(beat, GTM_PUSH_NOT_READY, 503, "this target is not checked yet");
    }
    return true;
}

static void on_request(struct evhttp_request *http, void *arg)
{
    struct gtm_push *push = arg;
    struct beat beat = {.push = push, .http = http};
    if (read_target(&beat) && read_token(&beat) && read_body(&beat) && deliver(&beat)) {
        *(beat.well ? &push->up : &push->down) += 1;
        evhttp_send_reply(http, 204, "No Content", NULL);
    }
    gtm_json_free(beat.body);
}

/* --- life --- */

static void on_refused(void *arg)
{
    struct gtm_push *push = arg;
    push->refused[GTM_PUSH_CONNECTIONS]++;
}

/* Up to four times what a body may have, the answer is ours. */
static bool listen_as(struct gtm_push *push, const struct gtm_node_push *conf,
                      struct gtm_error *err)
{
    const struct gtm_listener_opts opts = {.loop = push->d->loop,
                                           .clock = push->d->clock,
                                           .connections_max = GTM_PUSH_CONNECTIONS_MAX,
                                           .per_address_max = GTM_PUSH_PER_ADDRESS_MAX,
                                           .handshake_ms = GTM_PUSH_HANDSHAKE_MS,
                                           .idle_ms = GTM_PUSH_IDLE_MS,
                                           .io_timeout_s = GTM_PUSH_IO_S,
                                           .header_max = GTM_PUSH_HEADER_MAX,
                                           .body_max = 4 * GTM_PUSH_BODY_MAX,
                                           .request = on_request,
                                           .refused = on_refused,
                                           .arg = push};
    SSL_CTX *tls = NULL;
    if (conf->tls_cert && !(tls = gtm_push__tls_new(conf->tls_cert, conf->tls_key, err)))
        return false;
    int fd = gtm_listener_socket(&conf->listen, "push.listen", err);
    push->listener = fd >= 0 ? gtm_listener_new(&opts, fd, tls, err) : NULL;
    SSL_CTX_free(tls); /* the listener has its own reference */
    return push->listener != NULL;
}

struct gtm_push *gtm_push_new(struct gtmd *d, struct gtm_error *err)
{
    const struct gtm_node_push *conf = &d->node->push;
    struct gtm_push *push = gtm_calloc(1, sizeof(*push));
    bool *alive = gtm_calloc(1, sizeof(*alive));
    struct gtm_rand rand;
    if (!push || !alive) {
        gtm_free(push);
        gtm_free(alive);
        gtm_error_set(err, GTM_ENOMEM, "out of memory");
        return NULL;
    }
    *alive = true;
    push->alive = alive;
    push->d = d;
    gtm_rand_seed_os(&rand);
    push->guard.seed = gtm_rand_next(&rand);
    if (!listen_as(push, conf, err)) {
        gtm_push_free(push);
        return NULL;
    }
    gtm_push__secrets_load(push);
    return push;
}

void gtm_push_free(struct gtm_push *push)
{
    if (!push)
        return;
    gtm_listener_free(push->listener);
    gtm_map_free(push->secrets, gtm_free);
    *push->alive = false;
    if (!push->reading)
        gtm_free(push->alive);
    gtm_free(push);
}

void gtm_push_reload(struct gtm_push *push)
{
    if (push)
        gtm_push__secrets_load(push);
}

bool gtm_push_has_token(const struct gtm_push *push, const char *monitor)
{
    return !push->secrets || gtm_map_get(push->secrets, monitor) != NULL;
}

void gtm_push_metrics(const struct gtm_push *push, struct gtm_metrics *m)
{
    static const char *const reasons[GTM_PUSH_REFUSAL_COUNT] = {
        "malformed", "token", "rate", "unknown", "not_ready", "connections"};
    if (!push)
        return;
    gtm_metrics_family(m, "gtm_push_heartbeats_total", "counter", "Heartbeats taken, by status.");
    gtm_metrics_sample(m, (double)push->up, "status", "up", NULL);
    gtm_metrics_sample(m, (double)push->down, "status", "down", NULL);
    gtm_metrics_family(m, "gtm_push_refused_total", "counter",
                       "Heartbeats and connections refused, by reason.");
    for (int i = 0; i < GTM_PUSH_REFUSAL_COUNT; i++)
        gtm_metrics_sample(m, (double)push->refused[i], "reason", reasons[i], NULL);
    gtm_metrics_family(m, "gtm_push_load_errors_total", "counter",
                       "Heartbeats whose load could not be read; the rest of them counts.");
    gtm_metrics_sample(m, (double)push->load_errors, NULL);
    gtm_metrics_family(m, "gtm_push_connections", "gauge", "Open connections of heartbeats.");
    gtm_metrics_sample(m, gtm_listener_count(push->listener), NULL);
}
