/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests and answers of the API: dispatch to the handler, reading of parameters and bodies, the
 * envelope, RFC 9457 errors, and answers that are built on a helper thread. See api.h.
 */
#include "gtm/base/log.h"
#include "gtm/base/loop.h"
#include "gtm/base/mem.h"
#include "gtm/base/utf8.h"
#include "gtm/daemon/api_server.h"
#include "gtm/daemon/daemon.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const double gtm_api__bounds_s[GTM_API_BUCKETS_COUNT] = {0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10};

/* --- the end of a request --- */

static void unlink_req(struct gtm_api_req *req)
{
    if (req->prev)
        req->prev->next = req->next;
    else if (req->api && req->api->requests == req)
        req->api->requests = req->next;
    if (req->next)
        req->next->prev = req->prev;
    req->prev = req->next = NULL;
}

static void count(struct gtm_api_req *req, int status)
{
    struct gtm_api_listener *listener = req->listener;
    size_t row = req->route ? (size_t)(req->route - listener->routes) : listener->routes_count;
    struct gtm_api_stats *stats = &listener->stats[row];
    uint64_t us = (gtm_mono_ns(gtm_clock_system()) - req->started_ns) / 1000;
    stats->count++;
    stats->sum_us += us;
    for (size_t i = 0; i < GTM_API_BUCKETS_COUNT; i++)
        stats->buckets[i] += (double)us / 1e6 <= gtm_api__bounds_s[i];
    for (size_t i = 0; i < GTM_API_CODES_MAX; i++) {
        if (stats->codes[i].code == status || stats->codes[i].code == 0) {
            stats->codes[i].code = status;
            stats->codes[i].count++;
            break;
        }
    }
}

static const char *status_title(int status)
{
    static const struct {
        int status;
        const char *title;
    } titles[] = {{200, "OK"},
                  {202, "Accepted"},
                  {400, "Bad Request"},
                  {403, "Forbidden"},
                  {404, "Not Found"},
                  {405, "Method Not Allowed"},
                  {409, "Conflict"},
                  {412, "Precondition Failed"},
                  {413, "Content Too Large"},
                  {415, "Unsupported Media Type"},
                  {422, "Unprocessable Content"},
                  {429, "Too Many Requests"},
                  {500, "Internal Server Error"},
                  {503, "Service Unavailable"},
                  {507, "Insufficient Storage"}};
    for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++)
        if (titles[i].status == status)
            return titles[i].title;
    return "Status";
}

static void free_text(const void *data, size_t len, void *text)
{
    (void)data;
    (void)len;
    gtm_free(text);
}

static void set_header(struct gtm_api_req *req, const char *name, const char *value)
{
    evhttp_add_header(evhttp_request_get_output_headers(req->http), name, value);
}

/* The only way out of a request. Takes text. */
static void finish(struct gtm_api_req *req, int status, const char *type, char *text)
{
    if (!req->http) { /* 503 was sent when the daemon stopped */
        gtm_free(text);
        gtm_free(req);
        return;
    }
    unlink_req(req);
    count(req, status);
    char etag[32];
    snprintf(etag, sizeof(etag), "\"%llu\"", (unsigned long long)gtmd_revision(req->api->d));
    set_header(req, "Content-Type", type);
    set_header(req, "ETag", etag);
    set_header(req, "Cache-Control", "no-store");
    set_header(req, "X-Content-Type-Options", "nosniff");
    struct evbuffer *out = evbuffer_new();
    size_t len = strlen(text);
    if (!out || evbuffer_add_reference(out, text, len, free_text, text)) {
        gtm_free(text);
        evhttp_send_error(req->http, 500, NULL);
    } else {
        evhttp_send_reply(req->http, status, status_title(status), out);
    }
    if (out)
        evbuffer_free(out);
    gtm_free(req);
}

void gtm_api_text(struct gtm_api_req *req, int status, const char *type, char *text)
{
    if (text)
        finish(req, status, type, text);
    else
        gtm_api_problem(req, 500, "internal", "out of memory");
}

void gtm_api_json(struct gtm_api_req *req, int status, struct gtm_json *root)
{
    char *text = root ? gtm_json_print(root, false) : NULL;
    gtm_json_free(root);
    gtm_api_text(req, status, "application/json", text);
}

void gtm_api_item(struct gtm_api_req *req, int status, const char *kind, struct gtm_json *item)
{
    gtm_api_json(req, status, gtm_api_item_root(kind, gtmd_revision(req->api->d), item));
}

void gtm_api_list(struct gtm_api_req *req, const char *kind, struct gtm_json *items)
{
    gtm_api_json(req, 200, gtm_api_list_root(kind, gtmd_revision(req->api->d), items));
}

/* blocked_by, rules: taken; NULL = the problem has none. */
static void problem(struct gtm_api_req *req, int status, const char *code, const char *detail,
                    struct gtm_json *errors, struct gtm_json *blocked_by, struct gtm_json *rules)
{
    struct gtm_json *root = gtm_json_object();
    char *type = gtm_asprintf("urn:gtm:problem:%s", code);
    gtm_json_add_str(root, "type", type ? type : "about:blank");
    gtm_free(type);
    gtm_json_add_str(root, "title", status_title(status));
    gtm_json_add_i64(root, "status", status);
    gtm_json_add_str(root, "detail", detail);
    gtm_json_add_str(root, "code", code);
    gtm_json_add(root, "errors", errors ? errors : gtm_json_array());
    if (blocked_by) {
        gtm_json_add(root, "blockedBy", blocked_by);
        gtm_json_add(root, "rules", rules);
        gtm_json_add_str(root, "hint",
                         "do what the rules ask for, or, in an emergency, override them by name "
                         "with a reason (role breakglass; it is audited)");
    }
    char *text = gtm_json_print(root, false);
    gtm_json_free(root);
    if (!text)
        text = gtm_strdup("{\"type\":\"about:blank\",\"title\":\"Internal Server Error\","
                          "\"status\":500,\"detail\":\"out of memory\",\"code\":\"internal\","
                          "\"errors\":[]}");
    if (text) {
        finish(req, status, "application/problem+json", text);
        return;
    }
    if (req->http) { /* not even that much memory: a bare status line */
        unlink_req(req);
        count(req, 500);
        evhttp_send_reply(req->http, 500, NULL, NULL);
    }
    gtm_free(req);
}

void gtm_api_problem(struct gtm_api_req *req, int status, const char *code, const char *fmt, ...)
{
    char detail[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(detail, sizeof(detail), fmt, ap);
    va_end(ap);
    problem(req, status, code, detail, NULL, NULL, NULL);
}

void gtm_api_problem_blocked(struct gtm_api_req *req, struct gtm_json *blocked_by,
                             struct gtm_json *rules, const char *fmt, ...)
{
    char detail[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(detail, sizeof(detail), fmt, ap);
    va_end(ap);
    problem(req, 409, "blocked", detail, NULL, blocked_by, rules);
}

void gtm_api_problem_diags(struct gtm_api_req *req, int status, const char *code,
                           const char *detail, const struct gtm_diags *diags)
{
    problem(req, status, code, detail, gtm_api_diags(diags), NULL, NULL);
}

void gtm_api__abandon(struct gtm_api_req *req)
{
    unlink_req(req);
    evhttp_send_reply(req->http, 503, status_title(503), NULL);
    req->http = NULL;
    req->api = NULL;
}

/* --- dispatch --- */

static int method_of(struct evhttp_request *http)
{
    switch (evhttp_request_get_command(http)) {
    case EVHTTP_REQ_GET:
    case EVHTTP_REQ_HEAD:
        return GTM_API_GET;
    case EVHTTP_REQ_PUT:
        return GTM_API_PUT;
    case EVHTTP_REQ_POST:
        return GTM_API_POST;
    case EVHTTP_REQ_DELETE:
        return GTM_API_DELETE;
    default:
        return GTM_API_METHOD_COUNT; /* fits no row */
    }
}

static void answer_no_route(struct gtm_api_req *req, unsigned allowed, const char *uri)
{
    if (!allowed) {
        gtm_api_problem(req, 404, "notfound", "there is nothing at %.*s",
                        (int)strcspn(uri, "?#") < 200 ? (int)strcspn(uri, "?#") : 200, uri);
        return;
    }
    char allow[64] = "";
    size_t n = 0;
    for (unsigned m = 0; m < GTM_API_METHOD_COUNT; m++)
        if (allowed & (1u << m))
            n += (size_t)snprintf(allow + n, sizeof(allow) - n, "%s%s%s", n ? ", " : "",
                                  gtm_api_method_word(m), m == GTM_API_GET ? ", HEAD" : "");
    set_header(req, "Allow", allow);
    gtm_api_problem(req, 405, "method", "this path takes only %s", allow);
}

void gtm_api__dispatch(struct gtm_api_listener *listener, struct evhttp_request *http)
{
    struct gtm_api_req *req = gtm_calloc(1, sizeof(*req));
    if (!req) {
        evhttp_send_error(http, 500, NULL);
        return;
    }
    req->api = listener->api;
    req->listener = listener;
    req->http = http;
    req->started_ns = gtm_mono_ns(gtm_clock_system());
    req->next = req->api->requests;
    if (req->next)
        req->next->prev = req;
    req->api->requests = req;

    const char *uri = evhttp_request_get_uri(http);
    struct gtm_api_match match;
    struct gtm_error err = {0};
    int rc = gtm_api_match(listener->routes, listener->routes_count,
                           (enum gtm_api_method)method_of(http), uri ? uri : "", &req->target,
                           &match, &err);
    req->route = match.route;
    const char *unknown =
        !rc && match.route ? gtm_api_query_unknown(match.route, &req->target.query) : NULL;
    if (rc)
        gtm_api_problem(req, 400, "badrequest", "%s", err.text);
    else if (!match.route)
        answer_no_route(req, match.allowed, uri ? uri : "");
    else if (unknown)
        gtm_api_problem(req, 400, "badrequest",
                        "unknown query parameter '%.100s'; this path takes %s", unknown,
                        match.route->query ? match.route->query : "none");
    else if (evbuffer_get_length(evhttp_request_get_input_buffer(http)) >
             gtm_api__body_max(match.route))
        gtm_api_problem(req, 413, "toolarge", "the body may have %zu bytes",
                        gtm_api__body_max(match.route));
    else if (gtm_api__admit(req))
        match.route->handler(req);
}

/* --- reading --- */

struct gtmd *gtm_api_daemon(const struct gtm_api_req *req)
{
    return req->api->d;
}

const char *gtm_api_path(const struct gtm_api_req *req, const char *name)
{
    return gtm_api_params_get(&req->target.path, name);
}

const char *gtm_api_query(const struct gtm_api_req *req, const char *name)
{
    return gtm_api_params_get(&req->target.query, name);
}

bool gtm_api_query_u64(struct gtm_api_req *req, const char *name, uint64_t fallback, uint64_t min,
                       uint64_t max, uint64_t *ret)
{
    const char *text = gtm_api_query(req, name);
    *ret = fallback;
    if (!text)
        return true;
    char *end = NULL;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (text[0] >= '0' && text[0] <= '9' && !*end && !errno && v >= min && v <= max) {
        *ret = v;
        return true;
    }
    gtm_api_problem(req, 400, "badrequest", "%s must be a whole number from %llu to %llu", name,
                    (unsigned long long)min, (unsigned long long)max);
    return false;
}

bool gtm_api_query_dry_run(struct gtm_api_req *req, bool *ret_dry_run)
{
    const char *text = gtm_api_query(req, "dryRun");
    *ret_dry_run = text && !strcmp(text, "true");
    if (!text || *ret_dry_run || !strcmp(text, "false"))
        return true;
    gtm_api_problem(req, 400, "badrequest", "dryRun must be true or false");
    return false;
}

static const char *in_header(const struct gtm_api_req *req, const char *name)
{
    return evhttp_find_header(evhttp_request_get_input_headers(req->http), name);
}

bool gtm_api_if_match(struct gtm_api_req *req)
{
    const char *want = in_header(req, "If-Match");
    char have[32], bare[32];
    unsigned long long revision = gtmd_revision(req->api->d);
    snprintf(have, sizeof(have), "\"%llu\"", revision);
    snprintf(bare, sizeof(bare), "%llu", revision);
    if (!want || !strcmp(want, "*") || !strcmp(want, have) || !strcmp(want, bare))
        return true;
    gtm_api_problem(req, 412, "conflict", "the revision is %llu, not %.40s", revision, want);
    return false;
}

const char *gtm_api_body(struct gtm_api_req *req, size_t *ret_len)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(req->http);
    *ret_len = evbuffer_get_length(in);
    return *ret_len ? (const char *)evbuffer_pullup(in, -1) : NULL;
}

const char *gtm_api_content_type(const struct gtm_api_req *req)
{
    return in_header(req, "Content-Type");
}

static bool is_json_type(const char *type)
{
    static const char json[] = "application/json";
    size_t n = sizeof(json) - 1;
    return !type || (!strncasecmp(type, json, n) && (!type[n] || type[n] == ';' || type[n] == ' '));
}

struct gtm_json *gtm_api_body_object(struct gtm_api_req *req, const char *allowed)
{
    if (!is_json_type(gtm_api_content_type(req))) {
        gtm_api_problem(req, 415, "mediatype", "the body must be application/json");
        return NULL;
    }
    size_t len = 0;
    const char *body = gtm_api_body(req, &len);
    struct gtm_error err = {0};
    struct gtm_json *root = body ? gtm_json_parse(body, len, &err) : NULL;
    if (!root) {
        gtm_api_problem(req, 400, "badrequest", "the body is no JSON: line %u column %u: %s",
                        err.line, err.col, body ? err.text : "it is empty");
        return NULL;
    }
    if (gtm_json_type(root) != GTM_JSON_OBJECT) {
        gtm_json_free(root);
        gtm_api_problem(req, 400, "badrequest", "the body must be a JSON object");
        return NULL;
    }
    for (struct gtm_json *m = gtm_json_first(root); m; m = gtm_json_next(m)) {
        if (gtm_api_list_has(allowed, gtm_json_key(m)))
            continue;
        gtm_api_problem(req, 400, "badrequest", "unknown member '%.100s'; the body takes %s",
                        gtm_json_key(m), allowed);
        gtm_json_free(root);
        return NULL;
    }
    return root;
}

/* --- large answers --- */

struct build_job {
    struct gtm_api_req *req;
    struct gtm_json *(*build)(void *arg);
    void (*fini)(void *arg);
    void *arg;
    char *text;
    bool big;
};

static void build_work(void *arg)
{
    struct build_job *job = arg;
    struct gtm_json *root = job->build(job->arg);
    job->text = root ? gtm_json_print(root, false) : NULL;
    gtm_json_free(root);
    if (job->big)
        malloc_trim(0); /* a tree of megabytes was here; at rest the process should be small */
}

static void build_done(void *arg)
{
    struct build_job *job = arg;
    job->fini(job->arg);
    gtm_api_text(job->req, 200, "application/json", job->text);
    gtm_free(job);
}

void gtm_api_build(struct gtm_api_req *req, bool big, struct gtm_json *(*build)(void *arg),
                   void (*fini)(void *arg), void *arg)
{
    struct build_job *job = gtm_calloc(1, sizeof(*job));
    if (!job) {
        fini(arg);
        gtm_api_problem(req, 500, "internal", "out of memory");
        return;
    }
    *job = (struct build_job){.req = req, .build = build, .fini = fini, .arg = arg, .big = big};
    if (big && !gtm_loop_work(req->api->d->loop, build_work, build_done, job))
        return;
    if (big) {
        gtm_free(job);
        fini(arg);
        gtm_api_problem(req, 503, "busy", "too much work is waiting");
        return;
    }
    build_work(job);
    build_done(job);
}

/* --- parts of answers --- */

struct gtm_json *gtm_api_item_root(const char *kind, uint64_t revision, struct gtm_json *item)
{
    struct gtm_json *root = gtm_json_object();
    gtm_json_add_str(root, "apiVersion", "gtm/v1");
    gtm_json_add_str(root, "kind", kind);
    gtm_json_add_i64(root, "revision", (int64_t)revision);
    gtm_json_add(root, "item", item);
    return root;
}

struct gtm_json *gtm_api_list_root(const char *kind, uint64_t revision, struct gtm_json *items)
{
    struct gtm_json *root = gtm_json_object();
    gtm_json_add_str(root, "apiVersion", "gtm/v1");
    gtm_json_add_str(root, "kind", kind);
    gtm_json_add_i64(root, "revision", (int64_t)revision);
    gtm_json_add(root, "items", items);
    return root;
}

struct gtm_json *gtm_api_diags(const struct gtm_diags *diags)
{
    static const char *const words[] = {"error", "warning", "note"};
    struct gtm_json *list = gtm_json_array();
    for (size_t i = 0; i < diags->count; i++) {
        const struct gtm_diag *diag = &diags->items[i];
        struct gtm_json *one = gtm_json_append_object(list);
        gtm_json_add_str(one, "severity", words[diag->severity]);
        gtm_json_add_str(one, "file", diag->file ? diag->file : "");
        gtm_json_add_i64(one, "line", diag->line);
        gtm_json_add_i64(one, "column", diag->col);
        gtm_json_add_i64(one, "width", diag->width);
        gtm_json_add_str(one, "message", diag->text ? diag->text : "");
    }
    return list;
}

void gtm_api_add_time(struct gtm_json *object, const char *key, int64_t wall_ms)
{
    char text[GTM_TIME_TEXT_BYTES];
    gtm_json_add_str(object, key, wall_ms ? gtm_time_format(wall_ms, text) : NULL);
}
