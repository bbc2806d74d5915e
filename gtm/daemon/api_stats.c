/* SPDX-License-Identifier: Apache-2.0
 *
 * What the API says of itself to Prometheus. See api.h.
 */
#include "gtm/daemon/api_server.h"

#include <stdio.h>

static void metrics_of(const struct gtm_api_listener *listener, size_t row, struct gtm_metrics *m)
{
    const struct gtm_api_stats *stats = &listener->stats[row];
    const struct gtm_api_route *route =
        row < listener->routes_count ? &listener->routes[row] : NULL;
    for (size_t i = 0; i < GTM_API_CODES_MAX && stats->codes[i].code; i++) {
        char code[16];
        snprintf(code, sizeof(code), "%d", stats->codes[i].code);
        gtm_metrics_sample(m, (double)stats->codes[i].count, "route",
                           route                                  ? route->path
                           : listener == listener->api->listeners ? "none"
                                                                  : "none (metrics)",
                           "method", route ? gtm_api_method_word(route->method) : "other", "code",
                           code, NULL);
    }
}

static void durations_of(const struct gtm_api_listener *listener, size_t row, struct gtm_metrics *m)
{
    const struct gtm_api_stats *stats = &listener->stats[row];
    if (!stats->count)
        return;
    const struct gtm_api_route *route = &listener->routes[row];
    const char *method = gtm_api_method_word(route->method);
    for (size_t i = 0; i < GTM_API_BUCKETS_COUNT; i++) {
        char le[16];
        snprintf(le, sizeof(le), "%g", gtm_api__bounds_s[i]);
        gtm_metrics_sample_suffix(m, "_bucket", (double)stats->buckets[i], "route", route->path,
                                  "method", method, "le", le, NULL);
    }
    gtm_metrics_sample_suffix(m, "_bucket", (double)stats->count, "route", route->path, "method",
                              method, "le", "+Inf", NULL);
    gtm_metrics_sample_suffix(m, "_sum", (double)stats->sum_us / 1e6, "route", route->path,
                              "method", method, NULL);
    gtm_metrics_sample_suffix(m, "_count", (double)stats->count, "route", route->path, "method",
                              method, NULL);
}

void gtm_api_metrics(const struct gtm_api *api, struct gtm_metrics *m)
{
    gtm_metrics_family(m, "gtm_api_requests_total", "counter", "API requests answered.");
    for (size_t l = 0; l < GTM_API_TLS; l++) /* which counts with the unix socket */
        for (size_t i = 0; api->listeners[l].stats && i <= api->listeners[l].routes_count; i++)
            metrics_of(&api->listeners[l], i, m);
    gtm_metrics_family(m, "gtm_api_request_duration_seconds", "histogram",
                       "Time from a request's arrival to its answer.");
    for (size_t l = 0; l < GTM_API_TLS; l++) /* which counts with the unix socket */
        for (size_t i = 0; api->listeners[l].stats && i < api->listeners[l].routes_count; i++)
            durations_of(&api->listeners[l], i, m);
    gtm_metrics_family(m, "gtm_api_connections", "gauge", "Open API connections.");
    gtm_metrics_sample(m, gtm_api__connections(api), NULL);
}
