/* SPDX-License-Identifier: Apache-2.0
 *
 * /routes, /status, /problems, /events, /version, /node. See deploy/openapi.yaml.
 */
#include "dns/server.h"
#include "gtm/base/log.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/api_handlers.h"
#include "gtm/daemon/daemon.h"
#include "gtm/daemon/problems.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void gtm_api_get_routes(struct gtm_api_req *req)
{
    struct gtm_json *items = gtm_json_array();
    for (size_t i = 0; i < gtm_api_routes_count; i++) {
        const struct gtm_api_route *route = &gtm_api_routes[i];
        struct gtm_json *one = gtm_json_append_object(items);
        gtm_json_add_str(one, "method", gtm_api_method_word(route->method));
        gtm_json_add_str(one, "path", route->path);
        gtm_json_add_str(one, "role", gtm_api_role_word(route->role));
        gtm_json_add_str(one, "summary", route->summary);
        struct gtm_json *query = gtm_json_add_array(one, "query");
        for (const char *p = route->query; p && *p;) {
            size_t n = strcspn(p, " ");
            char word[64];
            snprintf(word, sizeof(word), "%.*s", (int)n, p);
            gtm_json_append_str(query, word);
            p += n + (p[n] == ' ');
        }
        if (route->method != GTM_API_GET)
            gtm_json_append_str(query, "dryRun");
    }
    gtm_api_list(req, "RouteList", items);
}

/* --- status --- */

/* A healthy endpoint that is held out of answers, or takes less than its weight: in any family. */
static void count_share(const struct gtm_facts *facts, size_t p, size_t e, size_t *held,
                        size_t *partial)
{
    unsigned least = GTM_SHARE_FULL;
    for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++) {
        unsigned share = gtm_states_share(facts->states, p, e, f);
        if (gtm_endpoint_has(&facts->intent->pools[p].endpoints[e], f) && share < least)
            least = share;
    }
    *held += least == 0;
    *partial += least > 0 && least < GTM_SHARE_FULL;
}

static void add_endpoint_counts(struct gtm_json *item, const struct gtm_facts *facts)
{
    size_t n[GTM_HEALTH_COUNT] = {0}, serving = 0, overridden = 0, held = 0, partial = 0;
    for (size_t p = 0; p < facts->intent->pools_count; p++) {
        for (size_t e = 0; e < facts->intent->pools[p].endpoints_count; e++) {
            n[gtm_facts_endpoint_health(facts, p, e)]++;
            serving += gtm_facts_endpoint_serves(facts, p, e);
            count_share(facts, p, e, &held, &partial);
            overridden +=
                gtm_states_effective(facts->states, p, e, GTM_FAMILY_V4).admin != GTM_ADMIN_AUTO;
        }
    }
    struct gtm_json *one = gtm_json_add_object(item, "endpoints");
    gtm_json_add_i64(one, "total", (int64_t)facts->endpoints);
    gtm_json_add_i64(one, "serving", (int64_t)serving);
    for (unsigned h = 0; h < GTM_HEALTH_COUNT; h++)
        gtm_json_add_i64(one, gtm_health_word(h), (int64_t)n[h]);
    gtm_json_add_i64(one, "overridden", (int64_t)overridden);
    gtm_json_add_i64(one, "held", (int64_t)held);
    gtm_json_add_i64(one, "partial", (int64_t)partial);
}

static void add_group_counts(struct gtm_json *item, const char *key,
                             const struct gtm_group_health *groups, size_t count)
{
    size_t n[GTM_HEALTH_COUNT] = {0};
    for (size_t i = 0; i < count; i++)
        n[groups[i].health]++;
    struct gtm_json *one = gtm_json_add_object(item, key);
    gtm_json_add_i64(one, "total", (int64_t)count);
    for (unsigned h = 0; h < GTM_HEALTH_COUNT; h++)
        gtm_json_add_i64(one, gtm_health_word(h), (int64_t)n[h]);
}

/* An address as configured, with the port as bound. */
static void bound_text(const struct gtm_listen *at, uint16_t port, char *out, size_t out_bytes)
{
    char addr[INET6_ADDRSTRLEN] = "";
    if (at->addr.ss_family == AF_INET6) {
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)&at->addr)->sin6_addr, addr,
                  sizeof(addr));
        snprintf(out, out_bytes, "[%s]:%u", addr, port);
        return;
    }
    inet_ntop(AF_INET, &((const struct sockaddr_in *)&at->addr)->sin_addr, addr, sizeof(addr));
    snprintf(out, out_bytes, "%s:%u", addr, port);
}

/* UDP and TCP, or TLS. */
static void add_listen(struct gtm_json *item, const char *key, const struct gtmd *d, bool tls)
{
    const struct gtm_node *node = d->node;
    struct gtm_json *list = gtm_json_add_array(item, key);
    size_t count = tls ? node->dns.tls_listen_count : node->dns_listen_count;
    char text[INET6_ADDRSTRLEN + 16];
    for (size_t i = 0; d->dns && i < count; i++) {
        if (tls)
            bound_text(&node->dns.tls_listen[i], dns_server_tls_port(d->dns, i), text,
                       sizeof(text));
        else
            bound_text(&node->dns_listen[i], dns_server_port(d->dns, i), text, sizeof(text));
        gtm_json_append_str(list, text);
    }
}

/* Copies that no primary confirms just now. */
static void add_secondaries(struct gtm_json *item, const struct gtmd *d)
{
    size_t total = 0, stale = 0;
    for (size_t z = 0; z < d->intent->zones_count; z++) {
        struct gtm_secondary_status copy;
        if (!gtm_secondary_status(d->secondary, z, &copy))
            continue;
        total++;
        stale += !copy.loaded || copy.expired || copy.failed_ms != 0;
    }
    struct gtm_json *one = gtm_json_add_object(item, "secondaries");
    gtm_json_add_i64(one, "total", (int64_t)total);
    gtm_json_add_i64(one, "not_fresh", (int64_t)stale);
}

static void add_dns(struct gtm_json *item, const struct gtmd *d)
{
    struct dns_counters counters = {0};
    if (d->dns)
        dns_server_counters(d->dns, &counters);
    struct gtm_json *one = gtm_json_add_object(item, "dns");
    gtm_json_add_i64(
        one, "queries_total",
        (int64_t)(counters.n[DNS_CNT_UDP] + counters.n[DNS_CNT_TCP] + counters.n[DNS_CNT_TLS]));
    gtm_json_add_num(one, "queries_per_second", gtmd_qps(d));
    gtm_json_add_i64(one, "dropped_total", (int64_t)counters.n[DNS_CNT_DROPPED]);
    gtm_json_add_i64(one, "truncated_total", (int64_t)counters.n[DNS_CNT_TRUNCATED]);
    gtm_json_add_i64(one, "servfail_total", (int64_t)counters.n[DNS_CNT_SERVFAIL]);
    gtm_json_add_i64(one, "tcp_clients", d->dns ? dns_server_tcp_clients(d->dns) : 0);
    gtm_json_add_num(one, "rate_limited_per_second", gtmd_limited_per_s(d));
    add_listen(one, "listen", d, false);
    add_listen(one, "tls_listen", d, true);
}

static void add_geo(struct gtm_json *item, const struct gtmd *d)
{
    const struct gtm_reload_status *status = gtm_reload_status(d->reload);
    int64_t built_s = d->geo ? gtm_geo_built_s(d->geo) : 0;
    struct gtm_json *one = gtm_json_add_object(item, "geo");
    gtm_json_add_bool(one, "loaded", d->geo != NULL);
    gtm_json_add_i64(one, "databases", (int64_t)d->node->geo_databases_count);
    gtm_api_add_time(one, "built_at", built_s * 1000);
    if (built_s)
        gtm_json_add_i64(one, "age_seconds", gtm_wall_ms(d->clock) / 1000 - built_s);
    else
        gtm_json_add_null(one, "age_seconds");
    gtm_json_add_str(one, "error", status->geo_ok ? NULL : status->geo_error);
}

int64_t gtm_api_rss_bytes(void)
{
    char text[128] = "";
    FILE *f = fopen("/proc/self/statm", "re");
    size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
    if (f)
        fclose(f);
    text[n] = 0;
    const char *resident = strchr(text, ' '); /* the second number, in pages */
    return resident ? (int64_t)strtoul(resident, NULL, 10) * sysconf(_SC_PAGESIZE) : 0;
}

void gtm_api_get_status(struct gtm_api_req *req)
{
    static const char *const phases[] = {"starting", "serving", "stopping", "handing over"};
    const struct gtmd *d = gtm_api_daemon(req);
    const struct gtm_facts *facts = gtm_state_facts(d->state);
    struct gtm_json *item = gtm_json_object();
    gtm_json_add_str(item, "node", d->node->name);
    gtm_json_add_str(item, "region", d->node->region);
    gtm_json_add_str(item, "version", GTM_VERSION);
    gtm_json_add_str(item, "state", phases[d->phase]);
    gtm_api_add_time(item, "started_at", d->started_ms);
    gtm_json_add_num(item, "uptime_seconds",
                     (double)(gtm_mono_ms(d->clock) - d->started_mono_ms) / 1000.0);
    gtm_json_add_i64(item, "revision", (int64_t)gtmd_revision(d));
    if (d->cluster)
        gtm_cluster_status(d->cluster, item);
    struct gtm_json *intent = gtm_json_add_object(item, "intent");
    gtm_json_add_str(intent, "path", d->intent->path);
    gtm_json_add_str(intent, "sha256", d->intent->sha256);
    gtm_api_add_time(intent, "loaded_at", d->intent_loaded_ms);
    add_endpoint_counts(item, facts);
    add_group_counts(item, "pools", facts->pools, facts->intent->pools_count);
    add_group_counts(item, "regions", facts->regions, facts->intent->regions_count);
    gtm_json_add_i64(item, "zones", (int64_t)d->intent->zones_count);
    add_secondaries(item, d);
    struct gtm_problem_counts counts;
    gtm_json_free(gtm_problems(d, &counts));
    struct gtm_json *problems = gtm_json_add_object(item, "problems");
    gtm_json_add_i64(problems, "critical", (int64_t)counts.critical);
    gtm_json_add_i64(problems, "warning", (int64_t)counts.warning);
    gtm_json_add_i64(problems, "note", (int64_t)counts.note);
    gtm_json_add_i64(problems, "total", (int64_t)(counts.critical + counts.warning + counts.note));
    add_dns(item, d);
    add_geo(item, d);
    gtm_json_add_i64(gtm_json_add_object(item, "memory"), "rss_bytes", gtm_api_rss_bytes());
    gtm_api_item(req, 200, "Status", item);
}

void gtm_api_get_problems(struct gtm_api_req *req)
{
    gtm_api_list(req, "ProblemList", gtm_problems(gtm_api_daemon(req), NULL));
}

void gtm_api_get_events(struct gtm_api_req *req)
{
    uint64_t after = 0, limit = 0;
    if (gtm_api_query_u64(req, "after", 0, 0, INT64_MAX, &after) &&
        gtm_api_query_u64(req, "limit", GTM_EVENTS_MAX, 1, GTM_EVENTS_MAX, &limit))
        gtm_api_list(req, "EventList", gtm_events_list(gtm_api_daemon(req)->events, after, limit));
}

void gtm_api_get_version(struct gtm_api_req *req)
{
    struct gtm_json *item = gtm_json_object();
    gtm_json_add_str(item, "version", GTM_VERSION);
    gtm_json_add_str(item, "api", "v1");
    gtm_json_add_str(item, "compiler", __VERSION__);
    gtm_json_add_str(item, "libevent", event_get_version());
    gtm_api_item(req, 200, "Version", item);
}

/* --- the node --- */

static void add_networks(struct gtm_json *item, const char *key, const struct gtm_network *networks,
                         size_t count)
{
    struct gtm_json *list = gtm_json_add_array(item, key);
    for (size_t i = 0; i < count; i++) {
        char addr[INET6_ADDRSTRLEN], text[INET6_ADDRSTRLEN + 8];
        if (!inet_ntop(networks[i].family == 4 ? AF_INET : AF_INET6, networks[i].addr, addr,
                       sizeof(addr)))
            addr[0] = 0;
        snprintf(text, sizeof(text), "%s/%u", addr, networks[i].prefix_len);
        gtm_json_append_str(list, text);
    }
}

/* How DNS is answered, as it is in force. */
static void add_dns_settings(struct gtm_json *item, const struct gtmd *d)
{
    const struct gtm_node_dns *dns = &d->node->dns;
    struct gtm_json *one = gtm_json_add_object(item, "dns");
    add_listen(one, "tls_listen", d, true);
    gtm_json_add_str(one, "tls_certificate", dns->tls_cert);
    gtm_api_add_time(one, "tls_certificate_expires", d->settings ? d->settings->tls_expires_ms : 0);
    gtm_json_add_bool(one, "cookies", dns->cookies);
    gtm_json_add_str(one, "cookie_secret",
                     !dns->cookies        ? NULL
                     : dns->cookie_secret ? dns->cookie_secret
                     : d->cookie && !gtm_shared_cookie_problem(d->cookie)
                         ? "shared by the nodes, new each week"
                         : "random, new at each start");
    gtm_json_add_str(one, "nsid", dns->nsid);
    gtm_json_add_str(one, "chaos_version", dns->chaos_version);
    gtm_json_add_str(one, "chaos_hostname", dns->chaos_hostname);
    gtm_json_add_i64(one, "rate_limit_responses_per_s", dns->rate_limit);
    gtm_json_add_i64(one, "rate_limit_slip", dns->rate_limit_slip);
    add_networks(one, "rate_limit_exempt", dns->rate_limit_exempt, dns->rate_limit_exempt_count);
    add_networks(one, "proxy", dns->proxy, dns->proxy_count);
    gtm_json_add_i64(one, "tcp_clients", dns->tcp_clients);
    gtm_json_add_i64(one, "tcp_per_client", dns->tcp_per_client);
    gtm_json_add_num(one, "tcp_idle_seconds", dns->tcp_idle_ms / 1000.0);
}

static void add_roles(struct gtm_json *item, unsigned roles)
{
    static const struct {
        unsigned bit;
        const char *word;
    } all[] = {{GTM_ROLE_DNS, "dns"},
               {GTM_ROLE_HEALTH, "health"},
               {GTM_ROLE_CONTROLLER, "controller"},
               {GTM_ROLE_AGENT, "agent"},
               {GTM_ROLE_WITNESS, "witness"}};
    struct gtm_json *list = gtm_json_add_array(item, "roles");
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (roles & all[i].bit)
            gtm_json_append_str(list, all[i].word);
}

void gtm_api_get_node(struct gtm_api_req *req)
{
    static const char *const levels[GTM_LOG_LEVEL_COUNT] = {"error", "warn", "info", "debug"};
    const struct gtmd *d = gtm_api_daemon(req);
    const struct gtm_node *node = d->node;
    char text[INET6_ADDRSTRLEN + 16];
    struct gtm_json *item = gtm_json_object();
    gtm_json_add_str(item, "name", node->name);
    gtm_json_add_str(item, "region", node->region);
    add_roles(item, node->roles);
    gtm_json_add_str(item, "path", d->node_path);
    gtm_json_add_str(item, "data_dir", node->data_dir);
    gtm_json_add_str(item, "cluster_file", node->cluster_file);
    add_listen(item, "dns_listen", d, false);
    gtm_json_add_i64(item, "dns_threads", node->dns_threads);
    add_dns_settings(item, d);
    gtm_json_add_str(item, "push_listen", node->push.has_listen ? node->push.listen.text : NULL);
    gtm_json_add_str(item, "exec_dir", node->exec_dir);
    struct gtm_json *databases = gtm_json_add_array(item, "geo_databases");
    for (size_t i = 0; i < node->geo_databases_count; i++)
        gtm_json_append_str(databases, node->geo_databases[i]);
    gtm_json_add_str(item, "api_socket", node->api_socket);
    const struct gtm_api_tls *tls = gtm_api_tls(d->api);
    gtm_json_add_str(item, "api_listen", tls ? node->api.listen.text : NULL);
    gtm_json_add_str(item, "api_certificate", tls ? node->api.cert : NULL);
    gtm_api_add_time(item, "api_certificate_expires", tls ? tls->expires_ms : 0);
    if (node->has_metrics)
        bound_text(&node->metrics_listen, gtm_api_metrics_port(d->api), text, sizeof(text));
    gtm_json_add_str(item, "metrics_listen", node->has_metrics ? text : NULL);
    unsigned level = (unsigned)node->log_level;
    gtm_json_add_str(item, "log_level", level < GTM_LOG_LEVEL_COUNT ? levels[level] : "info");
    gtm_json_add_i64(item, "pid", getpid());
    gtm_api_item(req, 200, "Node", item);
}
