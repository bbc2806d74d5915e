/* SPDX-License-Identifier: Apache-2.0
 *
 * The client: its options, its connections, its end. See etcdc.h.
 */
#include "gtm/etcdc/call_int.h"

#include "gtm/base/mem.h"

#include <string.h>

#define CONNECT_MS    1000u
#define CALL_MS       2000u
#define CALL_MS_MAX   600000u
#define CONNECTIONS   8u
#define STREAMS       256u
#define URL_BYTES_MAX 1024u

static bool copy(const char *s, char **ret)
{
    *ret = s ? gtm_strdup(s) : NULL;
    return !s || *ret;
}

/* Without a slash at the end: paths are put behind it. */
static int copy_urls(struct etcdc *client, const struct etcdc_opts *opts, struct gtm_error *err)
{
    client->endpoints = gtm_calloc(opts->endpoints_count, sizeof(*client->endpoints));
    if (!client->endpoints)
        return gtm_error_set(err, GTM_ENOMEM, "out of memory");
    for (size_t i = 0; i < opts->endpoints_count; i++) {
        const char *url = opts->endpoints[i];
        const char *host = !url                               ? NULL
                           : strncmp(url, "http://", 7) == 0  ? url + 7
                           : strncmp(url, "https://", 8) == 0 ? url + 8
                                                              : NULL;
        size_t len = host ? strlen(url) : 0;
        while (len > 0 && url[len - 1] == '/')
            len--;
        if (!host || host >= url + len || len > URL_BYTES_MAX ||
            strcspn(host, "/?#@ \t\r\n") < (size_t)(url + len - host))
            return gtm_error_set(err, GTM_EINVAL,
                                 "endpoint %s: write it as http://HOST:PORT or https://HOST:PORT",
                                 url ? url : "(none)");
        client->endpoints[i].url = gtm_strndup(url, len);
        if (!client->endpoints[i].url)
            return gtm_error_set(err, GTM_ENOMEM, "out of memory");
        client->endpoints_count++;
    }
    return GTM_OK;
}

static int copy_options(struct etcdc *client, const struct etcdc_opts *opts, struct gtm_error *err)
{
    client->loop = opts->loop;
    client->clock = opts->clock ? opts->clock : gtm_clock_system();
    client->chosen = ETCDC__NOWHERE;
    client->connect_ms = opts->connect_ms ? opts->connect_ms : CONNECT_MS;
    client->call_ms = opts->call_ms ? opts->call_ms : CALL_MS;
    client->call_ms = client->call_ms < CALL_MS_MAX ? client->call_ms : CALL_MS_MAX;
    client->cluster_id = opts->cluster_id;
    if (opts->seed)
        gtm_rand_seed(&client->rand, opts->seed);
    else
        gtm_rand_seed_os(&client->rand);
    if (!copy(opts->ca, &client->ca) || !copy(opts->cert, &client->cert) ||
        !copy(opts->key, &client->key) || !copy(opts->user, &client->user) ||
        !copy(opts->password_file, &client->password_file))
        return gtm_error_set(err, GTM_ENOMEM, "out of memory");
    return copy_urls(client, opts, err);
}

static int open_http(struct etcdc *client, struct gtm_error *err)
{
    struct gtm_http_opts opts = {
        .loop = client->loop,
        .tls = {.ca = client->ca, .cert = client->cert, .key = client->key},
        .connections = CONNECTIONS,
        .connect_ms = client->connect_ms};
    client->http = gtm_http_new(&opts, err);
    if (!client->http)
        return GTM_EINVAL;
    opts.connections = STREAMS;
    client->streams = gtm_http_new(&opts, err);
    return client->streams ? GTM_OK : GTM_EINVAL;
}

struct etcdc *etcdc_new(const struct etcdc_opts *opts, struct gtm_error *err)
{
    if (!opts->loop || !opts->endpoints || opts->endpoints_count < 1 ||
        opts->endpoints_count > ETCDC_ENDPOINTS_MAX) {
        gtm_error_set(err, GTM_EINVAL, "etcd needs a loop and 1 to %d endpoints",
                      ETCDC_ENDPOINTS_MAX);
        return NULL;
    }
    struct etcdc *client = gtm_calloc(1, sizeof(*client));
    if (!client) {
        gtm_error_set(err, GTM_ENOMEM, "out of memory");
        return NULL;
    }
    if (copy_options(client, opts, err) != GTM_OK || open_http(client, err) != GTM_OK) {
        etcdc_free(client);
        return NULL;
    }
    return client;
}

struct etcdc *etcdc__clone(const struct etcdc *client, struct gtm_loop *loop, unsigned call_ms,
                           struct gtm_error *err)
{
    const char *urls[ETCDC_ENDPOINTS_MAX];
    for (size_t i = 0; i < client->endpoints_count; i++)
        urls[i] = client->endpoints[i].url;
    struct etcdc_opts opts = {.loop = loop,
                              .clock = client->clock,
                              .endpoints = urls,
                              .endpoints_count = client->endpoints_count,
                              .ca = client->ca,
                              .cert = client->cert,
                              .key = client->key,
                              .user = client->user,
                              .password_file = client->password_file,
                              .connect_ms = client->connect_ms,
                              .call_ms = call_ms ? call_ms : client->call_ms,
                              .cluster_id = client->cluster_id};
    return etcdc_new(&opts, err);
}

void etcdc_free(struct etcdc *client)
{
    if (!client)
        return;
    while (client->calls)
        etcdc__call_drop(client->calls);
    etcdc__leftovers_drop(client);
    gtm_http_free(client->streams);
    gtm_http_free(client->http);
    etcdc__token_drop(client);
    for (size_t i = 0; i < client->endpoints_count; i++)
        gtm_free(client->endpoints[i].url);
    gtm_free(client->endpoints);
    gtm_free(client->ca);
    gtm_free(client->cert);
    gtm_free(client->key);
    gtm_free(client->user);
    gtm_free(client->password_file);
    gtm_free(client);
}

void etcdc_counters(const struct etcdc *client, struct etcdc_counters *ret)
{
    *ret = client->counters;
}
