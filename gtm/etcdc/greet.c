/* SPDX-License-Identifier: Apache-2.0
 *
 * The greeting: before anything is sent to an endpoint for the first time, or after it has failed,
 * it is asked for its version and for the cluster and member it is. So nothing is written into
 * another cluster that came up at a known address, and a learner is left alone.
 */
#include "gtm/etcdc/call_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GREETING_MS    1000u
#define GREETING_BYTES (64u << 10)
#define MAJOR_AT_LEAST 3
#define MINOR_AT_LEAST 4

int etcdc__ask(struct etcdc *client, size_t endpoint, const char *method, const char *path,
               struct gtm_buf *body, gtm_http_done_fn *done, void *arg,
               struct gtm_http_request **ret_request)
{
    const char *headers[] = {"Content-Type: application/json", NULL};
    struct gtm_buf url = {0};
    unsigned ms = client->call_ms / 2 < GREETING_MS ? client->call_ms / 2 : GREETING_MS;
    gtm_buf_addf(&url, "%s%s", client->endpoints[endpoint].url, path);
    struct gtm_http_ask ask = {.method = method,
                               .url = url.data,
                               .headers = headers,
                               .body = body ? body->data : NULL,
                               .body_len = body ? body->len : 0,
                               .timeout_ms = ms ? ms : 1,
                               .body_max = GREETING_BYTES,
                               .done = done,
                               .arg = arg};
    int rc = url.failed || (body && body->failed) ? GTM_ENOMEM
                                                  : gtm_http_start(client->http, &ask, ret_request);
    gtm_buf_fini(&url);
    return rc == GTM_OK ? ETCDC_OK : rc == GTM_EINVAL ? ETCDC_E_ARG : ETCDC_E_NOMEM;
}

int etcdc__code_of_http(const struct gtm_http_result *result, char *text)
{
    snprintf(text, ETCDC__TEXT_BYTES, "%.*s", ETCDC__TEXT_BYTES - 1, result->err->text);
    switch (result->code) {
    case GTM_ENOMEM:
        return ETCDC_E_NOMEM;
    case GTM_EDENIED:
        return ETCDC_E_DENIED;
    case GTM_ELIMIT:
        return ETCDC_E_TOO_LARGE;
    default:
        break;
    }
    if (result->sent == GTM_HTTP_NOT_SENT)
        return ETCDC_E_CONNECT;
    return result->code == GTM_ETIMEOUT ? ETCDC_E_TIMEOUT : ETCDC_E_UNAVAILABLE;
}

/* No etcd answers a greeting with more than a few words. */
static int code_of(const struct gtm_http_result *result, char *text)
{
    int code = etcdc__code_of_http(result, text);
    return code == ETCDC_E_TOO_LARGE ? ETCDC_E_PROTOCOL : code;
}

/* The endpoint whose greeting this is: arg points at it. */
static struct etcdc__endpoint *of(struct etcdc__greeting *g)
{
    return &g->client->endpoints[g->endpoint];
}

static void end(struct etcdc__greeting *g, int code, const char *text)
{
    struct etcdc__endpoint *e = of(g);
    e->greeted = code == ETCDC_OK ? ETCDC__KNOWN : ETCDC__UNKNOWN;
    e->request = NULL;
    etcdc__greeted(g->client, g->endpoint, code, text);
}

static bool version_good(const char *version)
{
    char *rest;
    long major = strtol(version, &rest, 10);
    long minor = *rest == '.' ? strtol(rest + 1, NULL, 10) : 0;
    return major > MAJOR_AT_LEAST || (major == MAJOR_AT_LEAST && minor >= MINOR_AT_LEAST);
}

static void on_status(void *arg, const struct gtm_http_result *result)
{
    struct etcdc__greeting *g = arg;
    char text[ETCDC__TEXT_BYTES] = "";
    struct etcdc__decoded got;
    if (result->code != GTM_OK) {
        end(g, code_of(result, text), text);
        return;
    }
    struct gtm_json *json = gtm_json_parse(result->body, result->body_len, NULL);
    int code = etcdc__error_of_body(result->body, result->body_len, result->status, text);
    if (code == ETCDC_OK) {
        code = etcdc__decode(ETCDC__STATUS, json, result->body_len, &got);
        if (code == ETCDC_OK)
            code = etcdc__check_header(g->client, g->endpoint, &got.answer.header, text);
        if (code == ETCDC_OK && got.status.learner) {
            code = ETCDC_E_UNAVAILABLE;
            snprintf(text, sizeof(text), "a learner: it takes no part yet");
        }
        etcdc__decoded_fini(&got);
    } else if (code == ETCDC_E_AUTH || code == ETCDC_E_DENIED) {
        code = ETCDC_OK; /* servers that show it to some only; the answer to a call tells as well */
    }
    gtm_json_free(json);
    end(g, code, text);
}

static void on_version(void *arg, const struct gtm_http_result *result)
{
    struct etcdc__greeting *g = arg;
    struct etcdc__endpoint *e = of(g);
    char text[ETCDC__TEXT_BYTES] = "";
    e->request = NULL;
    if (result->code != GTM_OK) {
        end(g, code_of(result, text), text);
        return;
    }
    struct gtm_json *json = gtm_json_parse(result->body, result->body_len, NULL);
    const char *version = gtm_json_str(json, "etcdserver", NULL);
    snprintf(e->version, sizeof(e->version), "%s", version ? version : "");
    int code = ETCDC_OK;
    if (!version) {
        code = etcdc__error_of_body(result->body, result->body_len, result->status, text);
        code = code == ETCDC_OK ? ETCDC_E_PROTOCOL : code;
    } else if (!version_good(version)) {
        code = ETCDC_E_VERSION;
        snprintf(text, sizeof(text), "its version is %.20s, 3.4 or later is needed", version);
    }
    gtm_json_free(json);
    struct gtm_buf body = {0};
    gtm_buf_adds(&body, "{}");
    if (code == ETCDC_OK)
        code = etcdc__ask(g->client, g->endpoint, "POST", "/v3/maintenance/status", &body,
                          on_status, g, &e->request);
    gtm_buf_fini(&body);
    if (code != ETCDC_OK)
        end(g, code, text);
}

int etcdc__greet(struct etcdc *client, size_t endpoint)
{
    struct etcdc__endpoint *e = &client->endpoints[endpoint];
    if (e->greeted == ETCDC__GREETING)
        return ETCDC_OK;
    e->greeting = (struct etcdc__greeting){.client = client, .endpoint = endpoint};
    int code = etcdc__ask(client, endpoint, "GET", "/version", NULL, on_version, &e->greeting,
                          &e->request);
    if (code == ETCDC_OK)
        e->greeted = ETCDC__GREETING;
    return code;
}
