/* SPDX-License-Identifier: Apache-2.0
 *
 * What curl is told of a target. See probe_http_int.h.
 *
 * - No name is ever resolved: the URL holds the address, or a name for TLS (SNI) with the address
 *   beside it (CONNECT_TO).
 * - curl's own verification is switched off, and ours (verify.h) put in its place when it has made
 *   its context: one set of authorities serves all targets, and the evidence says what is wrong.
 * - curl would share a connection between targets of the same URL whatever ours had found wrong
 *   with it for another. So every prober has a CA file of its own name, which curl compares but,
 *   not verifying, never opens.
 */
#include "health/probe_http_int.h"

#include "gtm/base/mem.h"
#include "health/trust.h"

#include <stdatomic.h>
#include <string.h>

#define RECEIVE_BYTES 4096L /* curl's buffer */
#define CONN_LIFE_S   60L   /* a balancer behind the address may have changed since */
#define CONN_IDLE_S   3600L /* the interval decides, not curl's default of 118 s */
#define USER_AGENT    "gtm-health/" GTM_VERSION

static atomic_ullong next_apart; /* never given twice, unlike an address */

static bool add_header(struct http_prober *p, const char *name, const char *value)
{
    char *line = gtm_asprintf("%s: %s", name, value);
    struct curl_slist *more = line ? curl_slist_append(p->headers, line) : NULL;
    gtm_free(line);
    if (more)
        p->headers = more;
    return more != NULL;
}

static bool prepare_grpc(struct http_prober *p)
{
    p->request = health_grpc_request(p->spec->grpc_service, &p->request_len);
    char *timeout = gtm_asprintf("%um", p->spec->rules.timeout_ms);
    bool ok = p->request && timeout && add_header(p, "Content-Type", "application/grpc") &&
              add_header(p, "TE", "trailers") && add_header(p, "grpc-timeout", timeout);
    gtm_free(timeout);
    return ok;
}

/* Taken apart once: of a text curl would do it for every probe, and then put it together again. */
static bool parse_url(struct http_prober *p, const char *url)
{
    p->url = curl_url();
    return url && p->url && curl_url_set(p->url, CURLUPART_URL, url, CURLU_PATH_AS_IS) == CURLUE_OK;
}

static bool prepare_url(struct http_prober *p)
{
    const struct health_spec *spec = p->spec;
    const char *port = strrchr(spec->authority, ':');
    const char *path = spec->kind == GTM_MONITOR_GRPC ? HEALTH_GRPC_PATH : spec->path;
    char *url;
    if (spec->tls && spec->tls_sni) {
        url = gtm_asprintf("https://%s%s%s", spec->tls_name, port, path);
        p->connect_to_text = gtm_asprintf("::%s", spec->authority);
        p->connect_to = p->connect_to_text ? curl_slist_append(NULL, p->connect_to_text) : NULL;
    } else {
        url = gtm_asprintf("%s://%s%s", spec->tls ? "https" : "http", spec->authority, path);
    }
    bool ok = parse_url(p, url) && (p->connect_to || !spec->tls || !spec->tls_sni);
    gtm_free(url);
    return ok;
}

bool health__http_prepare(struct http_prober *p)
{
    const struct health_spec *spec = p->spec;
    if (spec->tls)
        p->apart = gtm_asprintf("target-%llu", atomic_fetch_add(&next_apart, 1));
    if (!prepare_url(p) || (spec->tls && !p->apart))
        return false;
    if (spec->host && !add_header(p, "Host", spec->host))
        return false;
    return spec->kind != GTM_MONITOR_GRPC || prepare_grpc(p);
}

void health__http_unprepare(struct http_prober *p)
{
    curl_slist_free_all(p->headers);
    curl_slist_free_all(p->connect_to);
    curl_url_cleanup(p->url);
    gtm_free(p->connect_to_text);
    gtm_free(p->apart);
    gtm_free(p->request);
}

static bool set_method(const struct http_prober *p, CURL *easy)
{
    const char *method = p->spec->method;
    if (p->request)
        return curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)p->request_len) == CURLE_OK &&
               curl_easy_setopt(easy, CURLOPT_POSTFIELDS, (const char *)p->request) == CURLE_OK;
    if (strcmp(method, "GET") == 0)
        return curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L) == CURLE_OK;
    if (strcmp(method, "HEAD") == 0)
        return curl_easy_setopt(easy, CURLOPT_NOBODY, 1L) == CURLE_OK;
    if (strcmp(method, "POST") == 0)
        return curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, 0L) == CURLE_OK &&
               curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "") == CURLE_OK;
    return curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method) == CURLE_OK;
}

static long version_of(const struct health_spec *spec)
{
    bool two = spec->http_version == GTM_HTTP_2 || spec->kind == GTM_MONITOR_GRPC;
    if (!spec->tls)
        return two ? (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE : (long)CURL_HTTP_VERSION_1_1;
    return two || spec->http_version == GTM_HTTP_AUTO ? (long)CURL_HTTP_VERSION_2TLS
                                                      : (long)CURL_HTTP_VERSION_1_1;
}

/* curl's context is ready, the connection's SSL is made of it next. */
static CURLcode on_ssl_ctx(CURL *easy, void *ssl_ctx, void *ctx)
{
    (void)easy;
    struct http_transfer *t = ctx;
    t->extra->shaking = true;
    return health_trust_apply(t->prober->spec->trust, ssl_ctx, &t->extra->peer)
               ? CURLE_OK
               : CURLE_OUT_OF_MEMORY;
}

static bool set_tls(struct http_transfer *t)
{
    CURL *easy = t->easy;
    struct http_prober *p = t->prober;
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, t);
    if (p->connect_to)
        curl_easy_setopt(easy, CURLOPT_CONNECT_TO, p->connect_to);
    return curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_ssl_ctx) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CAINFO, p->apart) == CURLE_OK;
}

bool health__http_setup(struct http_transfer *t)
{
    CURL *easy = t->easy;
    const struct http_prober *p = t->prober;
    if (curl_easy_setopt(easy, CURLOPT_CURLU, p->url) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, p->spec->tls ? "https" : "http") !=
            CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_PROXY, "") != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_USERAGENT, USER_AGENT) != CURLE_OK || !set_method(p, easy))
        return false;
    if (p->headers)
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, p->headers);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, version_of(p->spec));
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BYTES);
    curl_easy_setopt(easy, CURLOPT_MAXLIFETIME_CONN, CONN_LIFE_S);
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, CONN_IDLE_S);
    /* Addresses are numeric: a cache of them would only have to be pruned. */
    curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
    if (t->extra)
        curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->extra->error);
    return !p->spec->tls || set_tls(t);
}
