/* SPDX-License-Identifier: Apache-2.0
 *
 * What curl's result means for the target. See probe_http_int.h.
 */
#include "health/probe_http_int.h"

#include "gtm/base/mem.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

enum health_phase health__http_phase(const struct http_transfer *t)
{
    curl_off_t sent_us = 0;
    if (t->headers_done)
        return HEALTH_PHASE_BODY;
    if (t->header_bytes > 0)
        return HEALTH_PHASE_HEADERS;
    curl_easy_getinfo(t->easy, CURLINFO_PRETRANSFER_TIME_T, &sent_us);
    if (sent_us > 0)
        return HEALTH_PHASE_ANSWER;
    return t->extra && t->extra->shaking ? HEALTH_PHASE_TLS : HEALTH_PHASE_CONNECT;
}

/* --- headers --- */

static bool wants_http2(const struct health_spec *spec)
{
    return spec->http_version == GTM_HTTP_2 || spec->kind == GTM_MONITOR_GRPC;
}

bool health__http_judge_headers(struct http_transfer *t)
{
    const struct health_spec *spec = t->prober->spec;
    struct health_outcome *o = &t->outcome;
    long version = 0;
    bool grpc = spec->kind == GTM_MONITOR_GRPC;
    curl_easy_getinfo(t->easy, CURLINFO_HTTP_VERSION, &version);
    if (wants_http2(spec) && version != CURL_HTTP_VERSION_2_0) {
        o->result = HEALTH_RESULT_ANSWER;
        o->text = gtm_strdup("the server speaks HTTP/1.1, wanted HTTP/2");
        return false;
    }
    if (grpc ? o->status == 200 : health_spec_expects(spec, (long)o->status))
        return true;
    o->result =
        o->status >= 300 && o->status <= 399 ? HEALTH_RESULT_REDIRECT : HEALTH_RESULT_STATUS;
    return false;
}

/* --- the end --- */

static void judge_complete(struct http_transfer *t)
{
    struct health_outcome *o = &t->outcome;
    const struct health_spec *spec = t->prober->spec;
    o->result = HEALTH_RESULT_OK;
    if (!t->headers_done)
        o->result = HEALTH_RESULT_RESET;
    else if (spec->kind == GTM_MONITOR_GRPC)
        health_grpc_judge(&t->extra->grpc, spec->grpc_service, o);
    else if (spec->expect_body && !t->match.found)
        o->result = HEALTH_RESULT_BODY;
}

/* OpenSSL's code in curl's words ("error:0A00010B:SSL routines::…"), or 0. */
static unsigned long ssl_code(const struct http_transfer *t)
{
    const char *at = t->extra ? strstr(t->extra->error, "error:") : NULL;
    return at ? strtoul(at + 6, NULL, 16) : 0;
}

static void judge_tls(struct http_transfer *t, long os_error)
{
    struct health_peer *peer = &t->extra->peer;
    if (!peer->refused) {
        health_verify_failed(&t->outcome, ssl_code(t), (int)os_error);
        return;
    }
    t->outcome.result = HEALTH_RESULT_CERTIFICATE;
    t->outcome.text = peer->text;
    peer->text = NULL;
}

/* A connection that broke: also a TLS alert that came when the server had thought it over. */
static void judge_broken(struct http_transfer *t, CURLcode code, long os_error)
{
    struct health_outcome *o = &t->outcome;
    unsigned long alert = ssl_code(t);
    if (alert != 0 && ERR_GET_LIB(alert) == ERR_LIB_SSL &&
        ERR_GET_REASON(alert) >= SSL_AD_REASON_OFFSET) {
        judge_tls(t, os_error);
        return;
    }
    o->result = HEALTH_RESULT_RESET;
    o->os_error = (int)os_error;
    if (wants_http2(t->prober->spec) && t->header_bytes == 0)
        o->text = gtm_asprintf("connection %s without an HTTP/2 answer",
                               os_error == ECONNRESET ? "reset" : "closed");
    if (code != CURLE_RECV_ERROR)
        return;
    /* Also what curl says of malformed chunks: those leave no errno. */
    if (t->headers_done && os_error == 0 && !t->prober->spec->tls)
        o->result = HEALTH_RESULT_GARBAGE;
    o->flaw = HEALTH_FLAW_ENCODING;
}

static void judge_failure(struct http_transfer *t, CURLcode code)
{
    struct health_outcome *o = &t->outcome;
    long os_error = 0;
    curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &os_error);

    switch (code) {
    case CURLE_COULDNT_CONNECT:
        health_outcome_from_errno(o, t->socket_error ? t->socket_error : (int)os_error);
        break;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
        judge_tls(t, os_error);
        break;
    case CURLE_UNSUPPORTED_PROTOCOL: /* "HTTP/0.9" */
    case CURLE_WEIRD_SERVER_REPLY:
        o->result = HEALTH_RESULT_GARBAGE;
        o->flaw = HEALTH_FLAW_NOT_HTTP;
        break;
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
        judge_broken(t, code, os_error);
        break;
    case CURLE_OUT_OF_MEMORY: /* also what curl says of a header line over its limit */
        o->result = o->phase == HEALTH_PHASE_CONNECT ? HEALTH_RESULT_LOCAL : HEALTH_RESULT_GARBAGE;
        o->flaw = HEALTH_FLAW_HEADERS;
        o->os_error = o->result == HEALTH_RESULT_LOCAL ? ENOMEM : 0;
        break;
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        o->result = HEALTH_RESULT_GARBAGE;
        o->text = gtm_strdup(t->header_bytes ? "malformed HTTP/2" : "the answer is not HTTP/2");
        break;
    default:
        o->result = HEALTH_RESULT_GARBAGE;
        o->flaw = t->headers_done ? HEALTH_FLAW_ENCODING : HEALTH_FLAW_NONE;
    }
}

void health__http_judge(struct http_transfer *t, CURLcode code)
{
    if (code == CURLE_OK)
        judge_complete(t);
    else
        judge_failure(t, code);
}

bool health__http_stale(const struct http_transfer *t, CURLcode code)
{
    long made = 0;
    if (t->retried || t->fresh || t->header_bytes > 0 || t->body_bytes > 0 ||
        (code != CURLE_RECV_ERROR && code != CURLE_SEND_ERROR && code != CURLE_GOT_NOTHING &&
         code != CURLE_HTTP2 && code != CURLE_HTTP2_STREAM))
        return false;
    return curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &made) == CURLE_OK && made == 0;
}
