/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests. See http.h; connections are http_pool.c's.
 *
 * Happy path: start → pool → curl gives pieces, which are only put aside → after curl has run, the
 * pieces and then the ends are handed on, so that no callback of ours runs inside curl.
 * How far a request got: curl tells when a connection stands and the request is written next
 * (on_prerequest). Before that nothing was sent. When it tells so again for one request, the first
 * connection broke and curl is about to repeat it: refused for `once`.
 */
#include "gtm/base/http.h"

#include "gtm/base/buf.h"
#include "gtm/base/clock.h"
#include "gtm/base/http_int.h"
#include "gtm/base/loop.h"
#include "gtm/base/mem.h"
#include "gtm/base/tls.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define WAITING_MAX         4096u
#define CONNECTIONS_DEFAULT 16u
#define CONNECT_MS_DEFAULT  2000u
#define BODY_MAX_DEFAULT    (1u << 20)
#define CONN_LIFE_S         300L /* a balancer, a name or a certificate may have changed since */
#define ADDRESS_BYTES       80
#define USER_AGENT          "gtm/" GTM_VERSION

struct pool { /* one that new requests use, older ones until their requests end */
    struct http__pool *curl;
    struct pool *next;
};

struct gtm_http_request {
    struct gtm_http *http;
    struct pool *pool;
    CURL *easy;
    struct curl_slist *headers;
    char *sent_body;
    struct gtm_timer *idle; /* NULL = none */
    unsigned idle_ms;
    size_t body_max;
    gtm_http_data_fn *on_data;
    gtm_http_done_fn *done;
    void *arg;
    uint64_t start_ns;
    struct gtm_buf body;  /* collected */
    struct gtm_buf piece; /* streamed, not handed on yet */
    unsigned reached;     /* times a connection stood */
    bool once, over, refused, in_callback, cancelled, ready;
    char error[CURL_ERROR_SIZE];
    struct gtm_http_request *next, **at, *next_ready;
};

struct gtm_http {
    struct gtm_loop *loop;
    char *ca, *cert, *key, *uri;
    struct gtm_tls_expect expect; /* of uri */
    unsigned connections, connect_ms;
    bool http1_only;
    struct pool *pools; /* the first is the current */
    struct gtm_http_request *requests, *ready;
    unsigned count, depth; /* depth: callbacks under way */
};

/* --- the end of a request --- */

static void request_free(struct gtm_http_request *r)
{
    if (r->at) {
        *r->at = r->next;
        if (r->next)
            r->next->at = r->at;
        r->http->count--;
    }
    if (r->easy)
        curl_easy_cleanup(r->easy);
    curl_slist_free_all(r->headers);
    gtm_free(r->sent_body);
    gtm_timer_free(r->idle);
    gtm_buf_fini(&r->body);
    gtm_buf_fini(&r->piece);
    gtm_free(r);
}

/* Out of curl and out of what waits to be handed on. */
static void take_out(struct gtm_http_request *r)
{
    if (r->pool)
        http__pool_remove(r->pool->curl, r->easy);
    r->pool = NULL;
    for (struct gtm_http_request **at = &r->http->ready; r->ready && *at; at = &(*at)->next_ready)
        if (*at == r) {
            *at = r->next_ready;
            break;
        }
    r->ready = false;
}

/* Old pools that nothing uses any more. */
static void sweep(struct gtm_http *http)
{
    if (http->depth > 0 || !http->pools)
        return;
    for (struct pool **at = &http->pools->next; *at;) {
        struct pool *pool = *at;
        if (http__pool_count(pool->curl) > 0) {
            at = &pool->next;
            continue;
        }
        *at = pool->next;
        http__pool_free(pool->curl);
        gtm_free(pool);
    }
}

static int code_of(const struct gtm_http_request *r, CURLcode code)
{
    if (r->over)
        return GTM_ELIMIT;
    if (r->body.failed || r->piece.failed)
        return GTM_ENOMEM;
    switch (code) {
    case CURLE_OK:
        return GTM_OK;
    case CURLE_OPERATION_TIMEDOUT:
        return GTM_ETIMEOUT;
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
        return GTM_EUNREACHABLE;
    case CURLE_OUT_OF_MEMORY:
        return GTM_ENOMEM;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
        return GTM_EDENIED;
    case CURLE_RECV_ERROR: /* TLS 1.3: our certificate is judged after the handshake */
        return strstr(r->error, "alert") ? GTM_EDENIED : GTM_EIO;
    default:
        return GTM_EIO;
    }
}

static void address_of(const struct gtm_http_request *r, char out[ADDRESS_BYTES])
{
    char *ip = NULL;
    long port = 0;
    out[0] = 0;
    curl_easy_getinfo(r->easy, CURLINFO_PRIMARY_IP, &ip);
    curl_easy_getinfo(r->easy, CURLINFO_PRIMARY_PORT, &port);
    if (ip && *ip)
        snprintf(out, ADDRESS_BYTES, strchr(ip, ':') ? "[%s]:%ld" : "%s:%ld", ip, port);
}

static void finish(struct gtm_http_request *r, int code, const char *text)
{
    char address[ADDRESS_BYTES];
    struct gtm_error err = {0};
    long status = 0;
    address_of(r, address);
    curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
    take_out(r);
    if (code != GTM_OK)
        gtm_error_set(&err, code, "%s", text && *text ? text : gtm_err_text(code));
    struct gtm_http_result result = {
        .code = code,
        .sent = r->reached > 0 ? GTM_HTTP_SENT : GTM_HTTP_NOT_SENT,
        .status = (int)status,
        .body = r->body.data ? r->body.data : "",
        .body_len = r->body.len,
        .address = address,
        .latency_us = (gtm_mono_ns(gtm_clock_system()) - r->start_ns) / 1000u,
        .err = &err,
    };
    r->in_callback = true;
    r->http->depth++;
    r->done(r->arg, &result);
    r->http->depth--;
    request_free(r);
}

/*
 * With TLS 1.3 the server judges our certificate after our side of the handshake is done: its alert
 * may come, or be lost in the reset that follows, and then curl knows of a broken connection only.
 */
static bool perhaps_our_certificate(const struct gtm_http_request *r, CURLcode code)
{
    long status = 0, fresh = 0;
    curl_off_t handshake_us = 0;
    curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(r->easy, CURLINFO_NUM_CONNECTS, &fresh);
    curl_easy_getinfo(r->easy, CURLINFO_APPCONNECT_TIME_T, &handshake_us);
    return r->http->cert && status == 0 && fresh > 0 && handshake_us > 0 &&
           (code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR || code == CURLE_GOT_NOTHING);
}

static void finish_curl(struct gtm_http_request *r, CURLcode code)
{
    char text[CURL_ERROR_SIZE + 128];
    int mine = code_of(r, code);
    struct gtm_error refusal = r->http->expect.err; /* of this handshake, if of any */
    memset(&r->http->expect.err, 0, sizeof(refusal));
    if (r->over)
        finish(r, mine, "the answer is over its bound");
    else if (mine == GTM_EDENIED && refusal.code)
        finish(r, mine, refusal.text);
    else if (r->refused)
        finish(r, GTM_EIO, "the connection was closed before an answer; not sent again");
    else if (perhaps_our_certificate(r, code)) {
        snprintf(text, sizeof(text),
                 "our certificate may be refused: closed right after the TLS handshake (%s)",
                 *r->error ? r->error : curl_easy_strerror(code));
        finish(r, mine, text);
    } else
        finish(r, mine, *r->error ? r->error : curl_easy_strerror(code));
}

static void on_idle(void *arg)
{
    struct gtm_http_request *r = arg;
    struct gtm_http *http = r->http;
    finish(r, GTM_ETIMEOUT, "nothing came for too long");
    sweep(http);
}

/* --- what curl gives --- */

static void deliver(struct gtm_http_request *r)
{
    struct gtm_buf piece = r->piece;
    memset(&r->piece, 0, sizeof(r->piece));
    if (piece.failed) {
        gtm_buf_fini(&piece);
        finish(r, GTM_ENOMEM, "out of memory");
        return;
    }
    if (r->idle)
        gtm_timer_start(r->idle, r->idle_ms);
    r->in_callback = true;
    r->http->depth++;
    bool more = r->on_data(r->arg, piece.data, piece.len);
    r->http->depth--;
    r->in_callback = false;
    gtm_buf_fini(&piece);
    if (r->cancelled)
        request_free(r);
    else if (!more)
        finish(r, GTM_EIO, "ended by its reader");
}

static void after_curl(void *arg)
{
    struct gtm_http *http = arg;
    struct gtm_http_request *r;
    http->depth++; /* no pool goes while this walks them */
    while ((r = http->ready) != NULL) {
        http->ready = r->next_ready;
        r->ready = false;
        deliver(r);
    }
    for (struct pool *pool = http->pools; pool; pool = pool->next) {
        CURL *easy;
        CURLcode code;
        while ((easy = http__pool_ended(pool->curl, &code)) != NULL)
            if (curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&r) == CURLE_OK)
                finish_curl(r, code);
    }
    http->depth--;
    sweep(http);
}

static size_t on_bytes(char *data, size_t size, size_t count, void *ctx)
{
    struct gtm_http_request *r = ctx;
    long status = 0;
    size_t len = size * count;
    curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
    if (r->on_data && status == 200) {
        gtm_buf_add(&r->piece, data, len);
        if (!r->ready) {
            r->next_ready = r->http->ready;
            r->http->ready = r;
            r->ready = true;
        }
        return len;
    }
    r->over = r->over || len > r->body_max - r->body.len;
    if (!r->over)
        gtm_buf_add(&r->body, data, len);
    return r->over || r->body.failed ? 0 : len;
}

static int on_prerequest(void *ctx, char *server, char *local, int server_port, int local_port)
{
    (void)server;
    (void)local;
    (void)server_port;
    (void)local_port;
    struct gtm_http_request *r = ctx;
    if (r->reached++ == 0 || !r->once)
        return CURL_PREREQFUNC_OK;
    r->refused = true;
    return CURL_PREREQFUNC_ABORT;
}

/* --- the start --- */

static bool add_header(struct gtm_http_request *r, const char *line)
{
    struct curl_slist *more = curl_slist_append(r->headers, line);
    if (more)
        r->headers = more;
    return more != NULL;
}

static bool set_headers(struct gtm_http_request *r, const struct gtm_http_ask *ask)
{
    bool ok = add_header(r, "Expect:");
    for (size_t i = 0; ok && ask->headers && ask->headers[i]; i++)
        ok = add_header(r, ask->headers[i]);
    return ok && curl_easy_setopt(r->easy, CURLOPT_HTTPHEADER, r->headers) == CURLE_OK;
}

static bool set_method(struct gtm_http_request *r, const struct gtm_http_ask *ask)
{
    CURL *easy = r->easy;
    if (strcmp(ask->method, "GET") == 0 && !ask->body_len)
        return true;
    if (strcmp(ask->method, "HEAD") == 0)
        return curl_easy_setopt(easy, CURLOPT_NOBODY, 1L) == CURLE_OK;
    bool body = ask->body_len > 0 || strcmp(ask->method, "POST") == 0;
    if (body) {
        r->sent_body = gtm_memdup(ask->body_len ? ask->body : "", ask->body_len + !ask->body_len);
        if (!r->sent_body)
            return false;
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)ask->body_len);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, r->sent_body);
    }
    return curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, ask->method) == CURLE_OK;
}

static int on_identity(void *arg, const char *uri, struct gtm_error *err)
{
    const struct gtm_http *http = arg;
    if (strcmp(uri, http->uri) == 0)
        return GTM_OK;
    return gtm_error_set(err, GTM_EDENIED, "the server is %s, %s was expected", uri, http->uri);
}

static CURLcode on_ssl_ctx(CURL *easy, void *ssl_ctx, void *ctx)
{
    (void)easy;
    struct gtm_http *http = ctx;
    return gtm_tls_expect(ssl_ctx, &http->expect) == GTM_OK ? CURLE_OK : CURLE_OUT_OF_MEMORY;
}

static bool set_tls(struct gtm_http *http, CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (http->ca) { /* read anew for each connection: it may have been replaced */
        curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
        if (curl_easy_setopt(easy, CURLOPT_CAINFO, http->ca) != CURLE_OK)
            return false;
    }
    if (http->uri) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L); /* resumed, nobody would look */
        curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, http);
        if (curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_ssl_ctx) != CURLE_OK)
            return false;
    }
    return (!http->cert || curl_easy_setopt(easy, CURLOPT_SSLCERT, http->cert) == CURLE_OK) &&
           (!http->key || curl_easy_setopt(easy, CURLOPT_SSLKEY, http->key) == CURLE_OK);
}

static bool set_up(struct gtm_http_request *r, const struct gtm_http_ask *ask)
{
    CURL *easy = r->easy;
    struct gtm_http *http = r->http;
    if (curl_easy_setopt(easy, CURLOPT_URL, ask->url) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_PROXY, "") != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_USERAGENT, USER_AGENT) != CURLE_OK || !set_tls(http, easy) ||
        !set_method(r, ask) || !set_headers(r, ask))
        return false;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, r);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* no waiting for a resolver's thread */
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                     (long)(http->http1_only ? CURL_HTTP_VERSION_1_1 : CURL_HTTP_VERSION_2TLS));
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)http->connect_ms);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)ask->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_MAXLIFETIME_CONN, CONN_LIFE_S);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 5L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 2L);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, ask->fresh ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, ask->fresh ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, r->error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, r);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_prerequest);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, r);
    return true;
}

static bool url_good(const char *url)
{
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return false;
    CURLU *parts = curl_url();
    bool good = parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK;
    curl_url_cleanup(parts);
    return good;
}

int gtm_http_start(struct gtm_http *http, const struct gtm_http_ask *ask,
                   struct gtm_http_request **ret_request)
{
    if (ret_request)
        *ret_request = NULL;
    if (!ask->method || !ask->url || !ask->done || ask->body_max > GTM_HTTP_BODY_MAX ||
        !url_good(ask->url) || (http->uri && strncmp(ask->url, "https:", 6) != 0))
        return GTM_EINVAL;
    if (http->count >= WAITING_MAX)
        return GTM_ELIMIT;
    struct gtm_http_request *r = gtm_calloc(1, sizeof(*r));
    if (!r)
        return GTM_ENOMEM;
    r->http = http;
    r->once = ask->once;
    r->idle_ms = ask->idle_ms;
    r->body_max = ask->body_max ? ask->body_max : BODY_MAX_DEFAULT;
    r->on_data = ask->on_data;
    r->done = ask->done;
    r->arg = ask->arg;
    r->start_ns = gtm_mono_ns(gtm_clock_system());
    r->easy = curl_easy_init();
    r->idle = ask->idle_ms ? gtm_timer_new(http->loop, on_idle, r) : NULL;
    if (!r->easy || (ask->idle_ms && !r->idle) || !set_up(r, ask) ||
        http__pool_add(http->pools->curl, r->easy) != GTM_OK) {
        request_free(r);
        return GTM_ENOMEM;
    }
    r->pool = http->pools;
    r->next = http->requests;
    r->at = &http->requests;
    if (r->next)
        r->next->at = &r->next;
    http->requests = r;
    http->count++;
    if (r->idle)
        gtm_timer_start(r->idle, r->idle_ms);
    if (ret_request)
        *ret_request = r;
    return GTM_OK;
}

void gtm_http_cancel(struct gtm_http_request *request)
{
    if (!request || request->cancelled)
        return;
    struct gtm_http *http = request->http;
    take_out(request);
    request->cancelled = true;
    if (!request->in_callback) /* else by who called it */
        request_free(request);
    sweep(http);
}

/* --- the client --- */

static bool add_pool(struct gtm_http *http)
{
    struct pool *pool = gtm_calloc(1, sizeof(*pool));
    if (!pool)
        return false;
    pool->curl = http__pool_new(http->loop, http->connections, after_curl, http);
    if (!pool->curl) {
        gtm_free(pool);
        return false;
    }
    pool->next = http->pools;
    http->pools = pool;
    return true;
}

void gtm_http_reset(struct gtm_http *http)
{
    /* curl has no call that closes what is idle: a new pool, and the old one goes with its last
     * request. Without memory for it the connections last their CONN_LIFE_S. */
    if (add_pool(http))
        sweep(http);
}

static bool copy_path(const char *path, char **ret, struct gtm_error *err)
{
    if (!path)
        return true;
    if (access(path, R_OK) != 0) {
        gtm_error_set(err, gtm_err_from_errno(errno), "%s: %s", path, strerror(errno));
        return false;
    }
    *ret = gtm_strdup(path);
    if (!*ret)
        gtm_error_set(err, GTM_ENOMEM, "out of memory");
    return *ret != NULL;
}

struct gtm_http *gtm_http_new(const struct gtm_http_opts *opts, struct gtm_error *err)
{
    struct gtm_http *http = gtm_calloc(1, sizeof(*http));
    if (!http || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        gtm_free(http);
        gtm_error_set(err, GTM_ENOMEM, "out of memory");
        return NULL;
    }
    http->loop = opts->loop;
    http->connections = opts->connections ? opts->connections : CONNECTIONS_DEFAULT;
    http->connect_ms = opts->connect_ms ? opts->connect_ms : CONNECT_MS_DEFAULT;
    http->http1_only = opts->http1_only;
    http->expect = (struct gtm_tls_expect){.check = on_identity, .arg = http};
    if (opts->tls.uri && !(http->uri = gtm_strdup(opts->tls.uri))) {
        gtm_error_set(err, GTM_ENOMEM, "out of memory");
        gtm_http_free(http);
        return NULL;
    }
    if (!copy_path(opts->tls.ca, &http->ca, err) || !copy_path(opts->tls.cert, &http->cert, err) ||
        !copy_path(opts->tls.key, &http->key, err)) {
        gtm_http_free(http);
        return NULL;
    }
    if (!add_pool(http)) {
        gtm_error_set(err, GTM_ENOMEM, "out of memory");
        gtm_http_free(http);
        return NULL;
    }
    return http;
}

void gtm_http_free(struct gtm_http *http)
{
    if (!http)
        return;
    for (struct gtm_http_request *r = http->requests, *next; r; r = next) {
        next = r->next;
        take_out(r);
        request_free(r);
    }
    for (struct pool *pool = http->pools, *next; pool; pool = next) {
        next = pool->next;
        http__pool_free(pool->curl);
        gtm_free(pool);
    }
    gtm_free(http->ca);
    gtm_free(http->cert);
    gtm_free(http->key);
    gtm_free(http->uri);
    gtm_free(http);
    curl_global_cleanup();
}
