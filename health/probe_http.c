/* SPDX-License-Identifier: Apache-2.0
 *
 * The http, https and grpc probes: one request by libcurl, kept alive between probes. The answer is
 * judged as it comes: the status at the end of the headers, the body piece by piece; of it only
 * what load reports are read from is kept.
 *
 * Happy path: start → transfer → headers → body → end → complete.
 * Failure modes: an unwanted status ends the probe at the end of the headers. Headers (1xx ones and
 * trailers included) beyond HEADERS_MAX end it. Of a body with a known length only BODY_MAX bytes
 * are read; one of unknown length must end within ENDLESS_MAX. A connection that was reused and
 * breaks before any answer says nothing about the server: the same probe goes on over a fresh one.
 * On cancel: the transfer is removed, which closes its connection.
 * The engine's thread. See probe.h, and probe_http_int.h for the other files of it.
 */
#include "health/probe.h"

#include "gtm/base/mem.h"
#include "health/probe_http.h"
#include "health/probe_http_int.h"
#include "health/shard.h"
#include "health/trust.h"

#include <curl/curl.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define HEADERS_MAX 65536           /* bytes, all header lines of a probe */
#define BODY_MAX    HEALTH_BODY_MAX /* bytes that are searched, and kept for load reports */
#define ENDLESS_MAX 1048576         /* bytes of a body of unknown length */

/* Ends the transfer from inside a callback: any short count makes curl give up. */
static size_t end_by_us(struct http_transfer *t, enum health_result result, enum health_flaw flaw)
{
    t->ours = true;
    t->outcome.result = result;
    t->outcome.flaw = flaw;
    return 0;
}

/* The end of a block of headers; 1xx ones (but 101) are followed by another. */
static size_t headers_end(struct http_transfer *t, size_t len)
{
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 && status != 101)
        return len;
    t->headers_done = true;
    t->outcome.status = (unsigned)status;
    if (health__http_judge_headers(t))
        return len;
    t->ours = true;
    return 0;
}

static size_t on_header(char *line, size_t size, size_t count, void *ctx)
{
    struct http_transfer *t = ctx;
    size_t len = size * count;
    t->header_bytes += len;
    if (t->header_bytes > HEADERS_MAX)
        return end_by_us(t, HEALTH_RESULT_GARBAGE, HEALTH_FLAW_HEADERS);
    if (t->prober->request)
        health_grpc_header(&t->extra->grpc, line, len);
    bool empty = len == 0 || line[0] == '\n' || (len == 2 && line[0] == '\r');
    return empty && !t->headers_done ? headers_end(t, len) : len;
}

/* Keeps the beginning of the body; without memory there is no load report this time. */
static void keep_body(struct http_transfer *t, const char *data, size_t len)
{
    if (!t->body)
        t->body = gtm_malloc(BODY_MAX);
    if (!t->body)
        return;
    size_t room = BODY_MAX - t->body_len;
    memcpy(t->body + t->body_len, data, len < room ? len : room);
    t->body_len += (uint32_t)(len < room ? len : room);
}

static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
    struct http_transfer *t = ctx;
    const struct health_spec *spec = t->prober->spec;
    size_t len = size * count;
    size_t room = t->body_bytes < BODY_MAX ? BODY_MAX - t->body_bytes : 0;

    t->body_bytes += len;
    if (t->prober->request) {
        health_grpc_body(&t->extra->grpc, data, len);
        return t->extra->grpc.too_long ? end_by_us(t, HEALTH_RESULT_GARBAGE, HEALTH_FLAW_ENDLESS)
                                       : len;
    }
    if (spec->wants_load)
        keep_body(t, data, len);
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
static void close_kept(const struct http_prober *p)
{
    if (p->kept_cookie != 0 && cookie_of(p->kept_fd) == p->kept_cookie)
        shutdown(p->kept_fd, SHUT_RDWR);
}

/* Ours, to know why there is none: a lack of descriptors here is no failure of the server. */
static curl_socket_t on_open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *addr)
{
    (void)purpose;
    struct http_transfer *t = ctx;
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

/* False when out of memory. The transfer must stay where it is. */
static bool open_transfer(struct http_transfer *t, struct http_prober *p)
{
    CURL *easy = curl_easy_init();
    t->prober = p;
    t->easy = easy;
    if (p->spec->tls || p->request) {
        t->extra = gtm_calloc(1, sizeof(*t->extra));
        if (!t->extra)
            return false;
        t->extra->peer = (struct health_peer){.spec = p->spec, .clock = p->io->clock};
    }
    if (!easy || !health__http_setup(t))
        return false;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, t);
    return true;
}

/* What the transfer owns besides its place. */
static void close_transfer(struct http_transfer *t)
{
    if (t->easy)
        curl_easy_cleanup(t->easy);
    if (t->extra)
        health_peer_reset(&t->extra->peer);
    gtm_free(t->extra);
}

static void http_close(void *ctx)
{
    struct http_prober *p = ctx;
    if (!p)
        return;
    close_kept(p);
    close_transfer(&p->main);
    if (p->shard)
        health__shard_give(p->shard);
    health__http_unprepare(p);
    gtm_free(p);
}

static void *http_open(struct health_io *io, const struct health_spec *spec)
{
    struct http_prober *p = gtm_calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->io = io;
    p->spec = spec;
    p->shard = health__shard_take(io->shards);
    if (!p->shard || !health__http_prepare(p) || !open_transfer(&p->main, p)) {
        http_close(p);
        return NULL;
    }
    return p;
}

/* Lets go of the probe; a transfer of a confirming probe goes with it. */
static void release(struct http_transfer *t)
{
    if (t->probe)
        t->probe->run = NULL;
    t->probe = NULL;
    gtm_free(t->body);
    t->body = NULL;
    if (t == &t->prober->main)
        return;
    close_transfer(t);
    gtm_free(t);
}

static void finish(struct http_transfer *t)
{
    struct health_probe *probe = t->probe;
    struct health_outcome outcome = t->outcome;
    if (t->body && outcome.result == HEALTH_RESULT_OK) {
        outcome.body = t->body;
        outcome.body_len = t->body_len;
        t->body = NULL;
    }
    if (t->extra)
        outcome.cert_expires_wall_ms = t->extra->peer.expires_wall_ms;
    release(t);
    health__probe_complete(probe, &outcome);
}

static bool launch(struct http_transfer *t)
{
    bool only_once = t->fresh || t->retried;
    t->headers_done = false;
    t->ours = false;
    t->header_bytes = 0;
    t->body_bytes = 0;
    t->body_len = 0;
    t->socket_error = 0;
    t->match = (struct health_match){0};
    t->outcome = (struct health_outcome){0};
    if (t->extra) {
        t->extra->error[0] = '\0';
        t->extra->grpc = (struct health_grpc){0};
        t->extra->peer.refused = false;
        t->extra->shaking = false;
    }
    curl_easy_setopt(t->easy, CURLOPT_FRESH_CONNECT, only_once ? 1L : 0L);
    curl_easy_setopt(t->easy, CURLOPT_FORBID_REUSE, t->fresh ? 1L : 0L);
    return health__shard_add(t->prober->shard, t->easy) == GTM_OK;
}

static void http_start(void *ctx, struct health_probe *probe, bool fresh)
{
    struct http_prober *p = ctx;
    struct http_transfer *t = &p->main;
    static const struct health_outcome no_memory = {.result = HEALTH_RESULT_LOCAL,
                                                    .os_error = ENOMEM};
    if (p->spec->trust && p->spec->trust->error) {
        struct health_outcome no_trust = {.result = HEALTH_RESULT_LOCAL};
        no_trust.text = gtm_asprintf("not checked: %s", p->spec->trust->error);
        health__probe_complete(probe, &no_trust);
        return;
    }
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

static enum health_phase http_cancel(void *ctx, struct health_probe *probe)
{
    struct http_prober *p = ctx;
    struct http_transfer *t = probe->run;
    enum health_phase phase = health__http_phase(t);
    health__shard_remove(p->shard, t->easy);
    health_outcome_clear(&t->outcome);
    release(t);
    return phase;
}

void health__http_on_end(CURL *easy, CURLcode code)
{
    char *private = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
    struct http_transfer *t = (struct http_transfer *)private;
    if (!t || !t->probe)
        return;
    if (health__http_stale(t, code)) {
        t->retried = true;
        if (launch(t))
            return;
        t->outcome = (struct health_outcome){.result = HEALTH_RESULT_LOCAL, .os_error = ENOMEM};
        finish(t);
        return;
    }
    t->outcome.phase = health__http_phase(t);
    if (!t->ours)
        health__http_judge(t, code);
    finish(t);
}

const struct health_probe_ops health_probe_http = {
    .open = http_open, .close = http_close, .start = http_start, .cancel = http_cancel};
