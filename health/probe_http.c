/* SPDX-License-Identifier: Apache-2.0
 *
 * The http probe: one request by libcurl, kept alive between probes. The answer is judged as it
 * comes: the status at the end of the headers, the body piece by piece; nothing of it is kept.
 *
 * Happy path: start → transfer → headers → body → end → complete.
 * Failure modes: an unwanted status ends the probe at the end of the headers. Headers (1xx ones and
 * trailers included) beyond HEADERS_MAX end it. Of a body with a known length only BODY_MAX bytes
 * are read; one of unknown length must end within ENDLESS_MAX. A connection that was reused and
 * breaks before any answer says nothing about the server: the same probe goes on over a fresh one.
 * On cancel: the transfer is removed, which closes its connection.
 * The engine's thread. See probe.h.
 */
#include "health/probe.h"

#include "gtm/base/mem.h"
#include "health/probe_http.h"
#include "health/shard.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define HEADERS_MAX   65536   /* bytes, all header lines of a probe */
#define BODY_MAX      65536   /* bytes that are searched */
#define ENDLESS_MAX   1048576 /* bytes of a body of unknown length */
#define RECEIVE_BYTES 4096L   /* curl's buffer */
#define CONN_LIFE_S   60L     /* a balancer behind the address may have changed since */
#define CONN_IDLE_S   3600L   /* the interval decides, not curl's default of 118 s */
#define USER_AGENT    "gtm-health/" GTM_VERSION

struct prober;

/* One transfer. The prober's own one is reused; confirming probes that overlap it bring theirs. */
struct transfer {
    struct prober *prober;
    CURL *easy;
    struct health_probe *probe; /* NULL while idle */
    bool fresh, retried;
    bool headers_done, ours; /* ours: we ended it, `outcome` is decided */
    size_t header_bytes, body_bytes;
    int socket_error; /* errno of a socket that could not be made */
    struct health_match match;
    struct health_outcome outcome;
};

struct prober {
    struct health_io *io;
    const struct health_spec *spec;
    struct health_shard *shard;
    char *url;
    struct curl_slist *headers;
    int kept_fd; /* the last connection that may have been kept; see close_kept */
    uint64_t kept_cookie;
    struct transfer main;
};

/* Ends the transfer from inside a callback: any short count makes curl give up. */
static size_t end_by_us(struct transfer *t, enum health_result result, enum health_flaw flaw)
{
    t->ours = true;
    t->outcome.result = result;
    t->outcome.flaw = flaw;
    return 0;
}

static long status_of(const struct transfer *t)
{
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* The end of a block of headers; 1xx ones (but 101) are followed by another. */
static size_t headers_end(struct transfer *t, size_t len)
{
    long status = status_of(t);
    if (status < 200 && status != 101)
        return len;
    t->headers_done = true;
    t->outcome.status = (unsigned)status;
    if (health_spec_expects(t->prober->spec, status))
        return len;
    return end_by_us(t,
                     status >= 300 && status <= 399 ? HEALTH_RESULT_REDIRECT : HEALTH_RESULT_STATUS,
                     HEALTH_FLAW_NONE);
}

static size_t on_header(char *line, size_t size, size_t count, void *ctx)
{
    struct transfer *t = ctx;
    size_t len = size * count;
    t->header_bytes += len;
    if (t->header_bytes > HEADERS_MAX)
        return end_by_us(t, HEALTH_RESULT_GARBAGE, HEALTH_FLAW_HEADERS);
    bool empty = len == 0 || line[0] == '\n' || (len == 2 && line[0] == '\r');
    return empty && !t->headers_done ? headers_end(t, len) : len;
}

static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
    struct transfer *t = ctx;
    const struct health_spec *spec = t->prober->spec;
    size_t len = size * count;
    size_t room = t->body_bytes < BODY_MAX ? BODY_MAX - t->body_bytes : 0;

    t->body_bytes += len;
    if (spec->expect_body)
        health_match_feed(&t->match, &spec->needle, data, len < room ? len : room);
    if (t->body_bytes < BODY_MAX)
        return len;
    if (spec->expect_body && !t->match.found)
        return end_by_us(t, HEALTH_RESULT_BODY, HEALTH_FLAW_NONE);
    curl_off_t known = -1;
    curl_easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &known);
    if (known >= 0 && (curl_off_t)t->body_bytes < known)
        return end_by_us(t, HEALTH_RESULT_OK, HEALTH_FLAW_NONE);
    if (t->body_bytes > ENDLESS_MAX)
        return end_by_us(t, HEALTH_RESULT_GARBAGE, HEALTH_FLAW_ENDLESS);
    return len;
}

/* The kernel's name of a socket, which is never given twice. 0 = unknown. */
static uint64_t cookie_of(int fd)
{
    uint64_t cookie = 0;
    socklen_t len = sizeof(cookie);
    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) == 0 ? cookie : 0;
}

/* A target that is gone is let go of: its idle connection is shut down (curl, which owns it and has
 * no call for this, then finds it dead), unless the descriptor is another socket's by now. */
static void close_kept(const struct prober *p)
{
    if (p->kept_cookie != 0 && cookie_of(p->kept_fd) == p->kept_cookie)
        shutdown(p->kept_fd, SHUT_RDWR);
}

/* Ours, to know why there is none: a lack of descriptors here is no failure of the server. */
static curl_socket_t on_open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *addr)
{
    (void)purpose;
    struct transfer *t = ctx;
    int fd = socket(addr->family, addr->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, addr->protocol);
    if (fd < 0) {
        t->socket_error = errno;
        return CURL_SOCKET_BAD;
    }
    if (!t->fresh) {
        t->prober->kept_fd = fd;
        t->prober->kept_cookie = cookie_of(fd);
    }
    return fd;
}

static bool set_method(CURL *easy, const char *method)
{
    if (strcmp(method, "GET") == 0)
        return curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L) == CURLE_OK;
    if (strcmp(method, "HEAD") == 0)
        return curl_easy_setopt(easy, CURLOPT_NOBODY, 1L) == CURLE_OK;
    if (strcmp(method, "POST") == 0)
        return curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, 0L) == CURLE_OK &&
               curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "") == CURLE_OK;
    return curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method) == CURLE_OK;
}

static bool set_texts(CURL *easy, const struct prober *p)
{
    return curl_easy_setopt(easy, CURLOPT_URL, p->url) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_USERAGENT, USER_AGENT) == CURLE_OK &&
           set_method(easy, p->spec->method);
}

/* False when out of memory. The transfer must stay where it is. */
static bool open_transfer(struct transfer *t, struct prober *p)
{
    CURL *easy = curl_easy_init();
    t->prober = p;
    t->easy = easy;
    if (!easy || !set_texts(easy, p))
        return false;
    if (p->headers)
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, p->headers);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BYTES);
    curl_easy_setopt(easy, CURLOPT_MAXLIFETIME_CONN, CONN_LIFE_S);
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, CONN_IDLE_S);
    /* Addresses are numeric: a cache of them would only have to be pruned. */
    curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, t);
    return true;
}

static void http_close(void *ctx)
{
    struct prober *p = ctx;
    if (!p)
        return;
    close_kept(p);
    if (p->main.easy)
        curl_easy_cleanup(p->main.easy);
    if (p->shard)
        health__shard_give(p->shard);
    curl_slist_free_all(p->headers);
    gtm_free(p->url);
    gtm_free(p);
}

static void *http_open(struct health_io *io, const struct health_spec *spec)
{
    struct prober *p = gtm_calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->io = io;
    p->spec = spec;
    p->shard = health__shard_take(io->shards);
    p->url = gtm_asprintf("http://%s%s", spec->authority, spec->path);
    if (spec->host) {
        char *line = gtm_asprintf("Host: %s", spec->host);
        p->headers = line ? curl_slist_append(NULL, line) : NULL;
        gtm_free(line);
    }
    if (!p->shard || !p->url || (spec->host && !p->headers) || !open_transfer(&p->main, p)) {
        http_close(p);
        return NULL;
    }
    return p;
}

/* Lets go of the probe; a transfer of a confirming probe goes with it. */
static void release(struct transfer *t)
{
    if (t->probe)
        t->probe->run = NULL;
    t->probe = NULL;
    if (t == &t->prober->main)
        return;
    if (t->easy)
        curl_easy_cleanup(t->easy);
    gtm_free(t);
}

static void finish(struct transfer *t)
{
    struct health_probe *probe = t->probe;
    struct health_outcome outcome = t->outcome;
    release(t);
    health__probe_complete(probe, &outcome);
}

static bool launch(struct transfer *t)
{
    bool only_once = t->fresh || t->retried;
    t->headers_done = false;
    t->ours = false;
    t->header_bytes = 0;
    t->body_bytes = 0;
    t->socket_error = 0;
    t->match = (struct health_match){0};
    t->outcome = (struct health_outcome){0};
    curl_easy_setopt(t->easy, CURLOPT_FRESH_CONNECT, only_once ? 1L : 0L);
    curl_easy_setopt(t->easy, CURLOPT_FORBID_REUSE, t->fresh ? 1L : 0L);
    return health__shard_add(t->prober->shard, t->easy) == GTM_OK;
}

static void http_start(void *ctx, struct health_probe *probe, bool fresh)
{
    struct prober *p = ctx;
    struct transfer *t = &p->main;
    static const struct health_outcome no_memory = {.result = HEALTH_RESULT_LOCAL,
                                                    .os_error = ENOMEM};
    if (t->probe || fresh) {
        t = gtm_calloc(1, sizeof(*t));
        if (t && !open_transfer(t, p)) {
            release(t);
            t = NULL;
        }
        if (!t) {
            health__probe_complete(probe, &no_memory);
            return;
        }
        fresh = true; /* an overlapping probe's connection is not kept */
    }
    t->probe = probe;
    t->fresh = fresh;
    t->retried = false;
    probe->run = t;
    if (!launch(t)) {
        t->outcome = no_memory;
        finish(t);
    }
}

static enum health_phase phase_of(const struct transfer *t)
{
    curl_off_t sent_us = 0;
    if (t->headers_done)
        return HEALTH_PHASE_BODY;
    if (t->header_bytes > 0)
        return HEALTH_PHASE_HEADERS;
    curl_easy_getinfo(t->easy, CURLINFO_PRETRANSFER_TIME_T, &sent_us);
    return sent_us > 0 ? HEALTH_PHASE_ANSWER : HEALTH_PHASE_CONNECT;
}

static enum health_phase http_cancel(void *ctx, struct health_probe *probe)
{
    struct prober *p = ctx;
    struct transfer *t = probe->run;
    if (!t) { /* ended, not told yet */
        health__probe_forget(probe);
        return probe->outcome.phase;
    }
    enum health_phase phase = phase_of(t);
    health__shard_remove(p->shard, t->easy);
    release(t);
    return phase;
}

/* A whole answer came. */
static void judge_complete(struct transfer *t)
{
    struct health_outcome *o = &t->outcome;
    o->result = HEALTH_RESULT_OK;
    if (!t->headers_done)
        o->result = HEALTH_RESULT_RESET;
    else if (t->prober->spec->expect_body && !t->match.found)
        o->result = HEALTH_RESULT_BODY;
}

static void judge_failure(struct transfer *t, CURLcode code)
{
    struct health_outcome *o = &t->outcome;
    long os_error = 0;
    curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &os_error);

    switch (code) {
    case CURLE_COULDNT_CONNECT:
        health_outcome_from_errno(o, t->socket_error ? t->socket_error : (int)os_error);
        break;
    case CURLE_UNSUPPORTED_PROTOCOL: /* "HTTP/0.9" */
    case CURLE_WEIRD_SERVER_REPLY:
        o->result = HEALTH_RESULT_GARBAGE;
        o->flaw = HEALTH_FLAW_NOT_HTTP;
        break;
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_SEND_ERROR:
        o->result = HEALTH_RESULT_RESET;
        o->os_error = (int)os_error;
        break;
    case CURLE_RECV_ERROR: /* also what curl says of malformed chunks: those leave no errno */
        o->result = t->headers_done && os_error == 0 ? HEALTH_RESULT_GARBAGE : HEALTH_RESULT_RESET;
        o->flaw = HEALTH_FLAW_ENCODING;
        o->os_error = (int)os_error;
        break;
    case CURLE_OUT_OF_MEMORY: /* also what curl says of a header line over its limit */
        o->result = o->phase == HEALTH_PHASE_CONNECT ? HEALTH_RESULT_LOCAL : HEALTH_RESULT_GARBAGE;
        o->flaw = HEALTH_FLAW_HEADERS;
        o->os_error = o->result == HEALTH_RESULT_LOCAL ? ENOMEM : 0;
        break;
    default:
        o->result = HEALTH_RESULT_GARBAGE;
        o->flaw = t->headers_done ? HEALTH_FLAW_ENCODING : HEALTH_FLAW_NONE;
    }
}

/* True when the connection had been used before and nothing came over it this time. */
static bool stale_connection(const struct transfer *t, CURLcode code)
{
    long made = 0;
    if (t->retried || t->fresh || t->header_bytes > 0 || t->body_bytes > 0 ||
        (code != CURLE_RECV_ERROR && code != CURLE_SEND_ERROR && code != CURLE_GOT_NOTHING))
        return false;
    return curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &made) == CURLE_OK && made == 0;
}

void health__http_on_end(CURL *easy, CURLcode code)
{
    char *private = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
    struct transfer *t = (struct transfer *)private;
    if (!t || !t->probe)
        return;
    if (stale_connection(t, code)) {
        t->retried = true;
        if (launch(t))
            return;
        t->outcome = (struct health_outcome){.result = HEALTH_RESULT_LOCAL, .os_error = ENOMEM};
        finish(t);
        return;
    }
    t->outcome.phase = phase_of(t);
    if (!t->ours && code == CURLE_OK)
        judge_complete(t);
    else if (!t->ours)
        judge_failure(t, code);
    finish(t);
}

const struct health_probe_ops health_probe_http = {
    .open = http_open, .close = http_close, .start = http_start, .cancel = http_cancel};
