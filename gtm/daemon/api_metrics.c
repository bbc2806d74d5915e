/* SPDX-License-Identifier: Apache-2.0
 *
 * /metrics, /livez, /readyz. What belongs to the control thread is written there; what grows with
 * the number of endpoints is written from a clone, on a helper thread when it is large. No client
 * address and no name of a question is ever a label.
 */
#include "dns/server.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/api_handlers.h"
#include "gtm/daemon/api_objects.h"
#include "gtm/daemon/daemon.h"
#include "gtm/daemon/intent_sync.h"
#include "gtm/daemon/problems.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define CERTIFICATES_MAX 10000 /* samples */

static void one(struct gtm_metrics *m, const char *name, const char *type, const char *help,
                double value)
{
    gtm_metrics_family(m, name, type, help);
    gtm_metrics_sample(m, value, NULL);
}

/* --- process and node --- */

static double open_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    double n = 0;
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n > 3 ? n - 3 : 0; /* ".", ".." and the folder itself */
}

static void add_process(struct gtm_metrics *m, const struct gtmd *d)
{
    struct rusage usage;
    if (!getrusage(RUSAGE_SELF, &usage))
        one(m, "process_cpu_seconds_total", "counter", "User and system CPU time.",
            (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    one(m, "process_resident_memory_bytes", "gauge", "Resident memory.",
        (double)gtm_api_rss_bytes());
    one(m, "process_start_time_seconds", "gauge", "Unix time of the start.",
        (double)d->started_ms / 1000.0);
    one(m, "process_open_fds", "gauge", "Open file descriptors.", open_files());
    struct rlimit limit;
    if (!getrlimit(RLIMIT_NOFILE, &limit))
        one(m, "process_max_fds", "gauge", "Most file descriptors.", (double)limit.rlim_cur);
}

static void add_node(struct gtm_metrics *m, const struct gtmd *d)
{
    const struct gtm_reload_status *status = gtm_reload_status(d->reload);
    gtm_metrics_family(m, "gtm_build_info", "gauge", "Always 1; the version is a label.");
    gtm_metrics_sample(m, 1, "version", GTM_VERSION, NULL);
    one(m, "gtm_ready", "gauge", "1 when answers are served.", d->phase == GTMD_SERVING);
    one(m, "gtm_config_last_reload_successful", "gauge",
        "1 when the last reload of the configuration went well.", status->config_ok);
    one(m, "gtm_config_last_reload_success_timestamp_seconds", "gauge",
        "Unix time of the last reload that did.",
        (double)(status->config_ok_ms ? status->config_ok_ms : d->intent_loaded_ms) / 1000.0);
    one(m, "gtm_state_revision", "gauge", "Revision of the answers.", (double)gtmd_revision(d));
    int64_t since = 0;
    one(m, "gtm_state_saved", "gauge", "1 when orders and last healths are on disk.",
        !gtm_state_unsaved(d->state, &since) && (!d->cluster || gtm_cluster_saved(d->cluster)));
    struct gtm_problem_counts counts;
    gtm_json_free(gtm_problems(d, &counts));
    gtm_metrics_family(m, "gtm_problems", "gauge", "Problems now.");
    gtm_metrics_sample(m, (double)counts.critical, "severity", "critical", NULL);
    gtm_metrics_sample(m, (double)counts.warning, "severity", "warning", NULL);
    gtm_metrics_sample(m, (double)counts.note, "severity", "note", NULL);
}

static void add_geo(struct gtm_metrics *m, const struct gtmd *d)
{
    const struct gtm_reload_status *status = gtm_reload_status(d->reload);
    one(m, "gtm_geo_databases_ok", "gauge",
        "1 when the geography databases as they are now are in force.", status->geo_ok);
    one(m, "gtm_geo_loaded", "gauge", "1 when any geography is in force.", d->geo != NULL);
    gtm_metrics_family(m, "gtm_geo_database_build_timestamp_seconds", "gauge",
                       "Unix time of a database's build.");
    for (size_t i = 0; d->geo && i < d->geo->count; i++)
        gtm_metrics_sample(m, (double)d->geo->infos[i].built_s, "db", d->geo->paths[i], NULL);
    struct gtm_compiled_info info = {0};
    if (d->compiled)
        gtm_compiled_info(d->compiled, &info);
    one(m, "gtm_geo_class_maps", "gauge", "Class maps.", (double)info.maps);
    one(m, "gtm_geo_class_map_bytes", "gauge", "Memory of the class maps.", (double)info.map_bytes);
}

/* --- DNS --- */

static void add_dns_counters(struct gtm_metrics *m, const struct dns_counters *c)
{
    static const struct {
        enum dns_counter counter;
        const char *word;
    } rcodes[] = {{DNS_CNT_NOERROR, "noerror"},    {DNS_CNT_FORMERR, "formerr"},
                  {DNS_CNT_SERVFAIL, "servfail"},  {DNS_CNT_NXDOMAIN, "nxdomain"},
                  {DNS_CNT_NOTIMP, "notimp"},      {DNS_CNT_REFUSED, "refused"},
                  {DNS_CNT_NOTAUTH, "notauth"},    {DNS_CNT_BADVERS, "badvers"},
                  {DNS_CNT_BADCOOKIE, "badcookie"}};
    gtm_metrics_family(m, "gtm_dns_requests_total", "counter", "DNS requests received.");
    gtm_metrics_sample(m, (double)c->n[DNS_CNT_UDP], "proto", "udp", NULL);
    gtm_metrics_sample(m, (double)c->n[DNS_CNT_TCP], "proto", "tcp", NULL);
    gtm_metrics_sample(m, (double)c->n[DNS_CNT_TLS], "proto", "tls", NULL);
    gtm_metrics_family(m, "gtm_dns_questions_total", "counter", "Questions by type.");
    gtm_metrics_sample(m, (double)c->n[DNS_CNT_TYPE_A], "qtype", "A", NULL);
    gtm_metrics_sample(m, (double)c->n[DNS_CNT_TYPE_AAAA], "qtype", "AAAA", NULL);
    gtm_metrics_sample(m, (double)c->n[DNS_CNT_TYPE_OTHER], "qtype", "other", NULL);
    gtm_metrics_family(m, "gtm_dns_responses_total", "counter", "Answers by RCODE.");
    for (size_t i = 0; i < sizeof(rcodes) / sizeof(rcodes[0]); i++)
        gtm_metrics_sample(m, (double)c->n[rcodes[i].counter], "rcode", rcodes[i].word, NULL);
    one(m, "gtm_dns_nodata_total", "counter", "Answers without data for an existing name.",
        (double)c->n[DNS_CNT_NODATA]);
    one(m, "gtm_dns_referrals_total", "counter", "Referrals to a delegated zone.",
        (double)c->n[DNS_CNT_REFERRAL]);
    one(m, "gtm_dns_dynamic_answers_total", "counter", "Answers chosen by a policy.",
        (double)c->n[DNS_CNT_DYNAMIC]);
    one(m, "gtm_dns_dropped_total", "counter", "Packets without an answer.",
        (double)c->n[DNS_CNT_DROPPED]);
    one(m, "gtm_dns_truncated_total", "counter", "Answers with TC.",
        (double)c->n[DNS_CNT_TRUNCATED]);
    one(m, "gtm_dns_edns_requests_total", "counter", "Requests with EDNS.",
        (double)c->n[DNS_CNT_EDNS]);
    one(m, "gtm_dns_ecs_requests_total", "counter", "Requests with a client subnet.",
        (double)c->n[DNS_CNT_ECS]);
    one(m, "gtm_dns_response_bytes_total", "counter", "Octets of answers.",
        (double)c->n[DNS_CNT_BYTES_OUT]);
    one(m, "gtm_dns_chaos_answers_total", "counter", "Answers of class CH.",
        (double)c->n[DNS_CNT_CHAOS]);
    one(m, "gtm_dns_proxy_refused_total", "counter",
        "Datagrams of a proxy without a header that can be read.",
        (double)c->n[DNS_CNT_PROXY_REFUSED]);
}

/* Counters that tell two outcomes of one thing apart. */
static void add_dns_outcomes(struct gtm_metrics *m, const struct dns_counters *c)
{
    static const struct {
        const char *name, *help, *label;
        enum dns_counter counters[2];
        const char *words[2];
    } pairs[] = {
        {"gtm_dns_cookie_requests_total",
         "Requests with a DNS cookie.",
         "cookie",
         {DNS_CNT_COOKIE_GOOD, DNS_CNT_COOKIE_NEW},
         {"good", "new"}},
        {"gtm_dns_tsig_requests_total",
         "Requests with a transaction signature.",
         "result",
         {DNS_CNT_TSIG_GOOD, DNS_CNT_TSIG_BAD},
         {"good", "bad"}},
        {"gtm_dns_notify_requests_total",
         "NOTIFY requests.",
         "result",
         {DNS_CNT_NOTIFY_HEEDED, DNS_CNT_NOTIFY_REFUSED},
         {"heeded", "refused"}},
        {"gtm_dns_rate_limited_total",
         "Answers over the rate limit.",
         "action",
         {DNS_CNT_RRL_DROPPED, DNS_CNT_RRL_SLIPPED},
         {"dropped", "slipped"}},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        gtm_metrics_family(m, pairs[i].name, "counter", pairs[i].help);
        for (unsigned k = 0; k < 2; k++)
            gtm_metrics_sample(m, (double)c->n[pairs[i].counters[k]], pairs[i].label,
                               pairs[i].words[k], NULL);
    }
}

static void add_connections(struct gtm_metrics *m, const struct dns_server *dns)
{
    struct dns_stream_events e;
    dns_server_stream_events(dns, &e);
    one(m, "gtm_dns_tcp_connections", "gauge", "Open TCP and TLS connections.",
        dns_server_tcp_clients(dns));
    gtm_metrics_family(m, "gtm_dns_tcp_closed_total", "counter",
                       "Connections closed by the server: for a new one, after silence, or for a "
                       "wrong PROXY header.");
    gtm_metrics_sample(m, (double)e.evicted, "reason", "evicted", NULL);
    gtm_metrics_sample(m, (double)e.timed_out, "reason", "idle", NULL);
    gtm_metrics_sample(m, (double)e.proxy_refused, "reason", "proxy", NULL);
    gtm_metrics_family(m, "gtm_dns_tls_handshakes_total", "counter", "TLS handshakes.");
    gtm_metrics_sample(m, (double)(e.tls_handshakes - e.tls_resumed), "result", "full", NULL);
    gtm_metrics_sample(m, (double)e.tls_resumed, "result", "resumed", NULL);
    gtm_metrics_sample(m, (double)e.tls_failed, "result", "failed", NULL);
    gtm_metrics_family(m, "gtm_dns_transfers_out_total", "counter",
                       "Transfers of zones asked for over TCP; answered: by one message, an error "
                       "or that the copy is current.");
    gtm_metrics_sample(m, (double)e.transfers, "result", "sent", NULL);
    gtm_metrics_sample(m, (double)e.transfers_refused, "result", "answered", NULL);
}

/* Zones that have primaries. */
static void add_copies(struct gtm_metrics *m, const struct gtmd *d)
{
    static const struct {
        const char *name, *type, *help;
    } families[] = {
        {"gtm_zone_expires_timestamp_seconds", "gauge",
         "Unix time when a copy ends unless a primary confirms it; 0 = no copy yet."},
        {"gtm_zone_expired", "gauge", "1 when a copy is too old to be given out."},
        {"gtm_zone_transfers_in_total", "counter", "Transfers that brought a new copy."},
        {"gtm_zone_transfer_failures_total", "counter", "Tries in which no primary answered."},
    };
    for (unsigned k = 0; k < sizeof(families) / sizeof(families[0]); k++) {
        gtm_metrics_family(m, families[k].name, families[k].type, families[k].help);
        for (size_t z = 0; z < d->intent->zones_count; z++) {
            struct gtm_secondary_status copy;
            if (!gtm_secondary_status(d->secondary, z, &copy))
                continue;
            const double values[] = {(double)copy.expires_ms / 1000, copy.expired,
                                     (double)copy.transfers, (double)copy.failures};
            gtm_metrics_sample(m, values[k], "zone", d->intent->zones[z].name, NULL);
        }
    }
}

static void add_dns(struct gtm_metrics *m, const struct gtmd *d)
{
    if (d->dns) {
        struct dns_counters counters;
        dns_server_counters(d->dns, &counters);
        add_dns_counters(m, &counters);
        add_dns_outcomes(m, &counters);
        add_connections(m, d->dns);
    }
    struct gtm_publisher_info info;
    gtm_publisher_info(d->publisher, &info);
    one(m, "gtm_dns_views_total", "counter", "Views published.", (double)info.views);
    one(m, "gtm_dns_fail_open_tables", "gauge",
        "Policies (by TTL) that answer although nothing of theirs serves.", (double)info.fail_open);
    one(m, "gtm_dns_fail_closed_tables", "gauge",
        "Policies (by TTL) that answer SERVFAIL because nothing serves.", (double)info.fail_closed);
    one(m, "gtm_dns_tls_certificate_expires_timestamp_seconds", "gauge",
        "Unix time when the certificate of DNS over TLS ends; 0 = there is none.",
        d->settings ? (double)d->settings->tls_expires_ms / 1000 : 0);
    add_copies(m, d);
    gtm_metrics_family(m, "gtm_zone_serial", "gauge", "Serial of a zone's SOA.");
    for (size_t z = 0; d->compiled && z < d->intent->zones_count; z++) {
        struct dns_zone_info zone;
        dns_zone_info(gtm_compiled_zone(d->compiled, z), &zone);
        gtm_metrics_sample(m, zone.serial, "zone", d->intent->zones[z].name, NULL);
    }
}

/* --- endpoints, pools, regions: from facts only --- */

static const char *state_word(const struct gtm_facts *facts, size_t p, size_t e)
{
    enum gtm_admin admin = gtm_states_effective(facts->states, p, e, GTM_FAMILY_V4).admin;
    if (admin == GTM_ADMIN_DRAIN)
        return "draining";
    if (admin == GTM_ADMIN_DOWN)
        return "disabled";
    return gtm_health_word(gtm_facts_endpoint_health(facts, p, e));
}

static void add_states(struct gtm_metrics *m, const struct gtm_facts *facts)
{
    static const char *const words[] = {"up",      "degraded", "down",
                                        "unknown", "draining", "disabled"};
    gtm_metrics_family(m, "gtm_endpoint_state", "gauge", "1 for the state that an endpoint is in.");
    for (size_t p = 0; p < facts->intent->pools_count; p++) {
        const struct gtm_pool *pool = &facts->intent->pools[p];
        for (size_t e = 0; e < pool->endpoints_count; e++) {
            const char *now = state_word(facts, p, e);
            for (size_t w = 0; w < sizeof(words) / sizeof(words[0]); w++)
                gtm_metrics_sample(m, !strcmp(now, words[w]), "pool", pool->name, "endpoint",
                                   pool->endpoints[e].name, "state", words[w], NULL);
        }
    }
}

static void add_shares(struct gtm_metrics *m, const struct gtm_facts *facts)
{
    gtm_metrics_family(m, "gtm_endpoint_share", "gauge",
                       "Share of its weight that an address takes: less than 1 while it is held, "
                       "ramps up or drains.");
    for (size_t p = 0; p < facts->intent->pools_count; p++) {
        const struct gtm_pool *pool = &facts->intent->pools[p];
        for (size_t e = 0; e < pool->endpoints_count; e++)
            for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++)
                if (gtm_endpoint_has(&pool->endpoints[e], f))
                    gtm_metrics_sample(
                        m, gtm_states_share(facts->states, p, e, f) / (double)GTM_SHARE_FULL,
                        "pool", pool->name, "endpoint", pool->endpoints[e].name, "family",
                        gtm_family_word(f), NULL);
    }
    gtm_metrics_family(m, "gtm_endpoint_load", "gauge",
                       "What an endpoint said of its load, while that counts.");
    uint64_t now = gtm_mono_ms(gtm_clock_system());
    for (size_t p = 0; p < facts->intent->pools_count; p++) {
        const struct gtm_pool *pool = &facts->intent->pools[p];
        uint64_t stale_ms = gtm_state_stale_ms(facts->intent, p);
        for (size_t e = 0; e < pool->endpoints_count; e++) {
            const struct gtm_endpoint_load *load = &facts->loads[facts->base[p] + e];
            for (unsigned i = 0; i < GTM_LOAD_COUNT; i++)
                if (load->mono_ms[i] && load->mono_ms[i] + stale_ms >= now)
                    gtm_metrics_sample(m, load->value[i], "pool", pool->name, "endpoint",
                                       pool->endpoints[e].name, "what", gtm_load_words[i], NULL);
        }
    }
}

static void add_sheds(struct gtm_metrics *m, const struct gtm_facts *facts)
{
    gtm_metrics_family(m, "gtm_pool_shed", "gauge",
                       "Share of a region's users that a full pool sends on; only where it does.");
    for (size_t p = 0; p < facts->intent->pools_count; p++)
        for (size_t r = 0;
             gtm_states_sheds(facts->states, p) > 0 && r < facts->intent->regions_count; r++)
            if (gtm_states_shed(facts->states, p, r) > 0)
                gtm_metrics_sample(m, gtm_states_shed(facts->states, p, r) / (double)GTM_SHARE_FULL,
                                   "pool", facts->intent->pools[p].name, "region",
                                   facts->intent->regions[r].name, NULL);
}

static void add_groups(struct gtm_metrics *m, const struct gtm_facts *facts)
{
    const struct gtm_intent *intent = facts->intent;
    gtm_metrics_family(m, "gtm_pool_endpoints", "gauge", "Endpoints of a pool.");
    for (size_t p = 0; p < intent->pools_count; p++) {
        gtm_metrics_sample(m, (double)intent->pools[p].endpoints_count, "pool",
                           intent->pools[p].name, "state", "all", NULL);
        gtm_metrics_sample(m, (double)gtm_facts_serving(facts, p), "pool", intent->pools[p].name,
                           "state", "serving", NULL);
    }
    gtm_metrics_family(m, "gtm_pool_state", "gauge", "1 for the health that a pool has.");
    for (size_t p = 0; p < intent->pools_count; p++)
        for (unsigned h = 0; h < GTM_HEALTH_COUNT; h++)
            gtm_metrics_sample(m, facts->pools[p].health == h, "pool", intent->pools[p].name,
                               "state", gtm_health_word(h), NULL);
    gtm_metrics_family(m, "gtm_region_state", "gauge", "1 for the health that a region has.");
    for (size_t r = 0; r < intent->regions_count; r++)
        for (unsigned h = 0; h < GTM_HEALTH_COUNT; h++)
            gtm_metrics_sample(m, facts->regions[r].health == h, "region", intent->regions[r].name,
                               "state", gtm_health_word(h), NULL);
    size_t it = 0, endpoints = 0, pools = 0;
    const char *key;
    while (gtm_map_next(facts->overrides.map, &it, &key, NULL)) {
        if (!strncmp(key, "pool/", 5))
            pools++;
        else
            endpoints++;
    }
    gtm_metrics_family(m, "gtm_overrides_active", "gauge", "Operators' orders in force.");
    gtm_metrics_sample(m, (double)endpoints, "kind", "endpoint", NULL);
    gtm_metrics_sample(m, (double)pools, "kind", "pool", NULL);
}

/* Of what checks saw. Keys are POOL/ENDPOINT/MONITOR/FAMILY, and names have no slash. */
static void add_certificates(struct gtm_metrics *m, struct health_engine *engine)
{
    struct health_report *reports = NULL;
    size_t count = 0;
    if (health_engine_notable(engine, INT64_MAX, CERTIFICATES_MAX, &reports, &count))
        return;
    gtm_metrics_family(m, "gtm_health_certificate_expires_timestamp_seconds", "gauge",
                       "Unix time when the certificate that a check saw last ends.");
    for (size_t i = 0; i < count; i++) {
        char *rest = reports[i].key, *pool = strsep(&rest, "/"), *endpoint = strsep(&rest, "/");
        char *monitor = strsep(&rest, "/");
        if (rest && reports[i].cert_expires_wall_ms)
            gtm_metrics_sample(m, (double)reports[i].cert_expires_wall_ms / 1000, "pool", pool,
                               "endpoint", endpoint, "monitor", monitor, "family",
                               *rest == '4' ? "ipv4" : "ipv6", NULL);
    }
    gtm_free(reports);
}

/* --- the answer --- */

struct metrics_job {
    struct gtm_api_req *req;
    struct gtm_metrics m;
    struct gtm_facts *facts;
};

static void metrics_work(void *arg)
{
    struct metrics_job *job = arg;
    add_states(&job->m, job->facts);
    add_shares(&job->m, job->facts);
    add_sheds(&job->m, job->facts);
    add_groups(&job->m, job->facts);
}

static void metrics_done(void *arg)
{
    struct metrics_job *job = arg;
    gtm_api_text(job->req, 200, "text/plain; version=0.0.4; charset=utf-8",
                 gtm_buf_take(&job->m.out));
    gtm_buf_fini(&job->m.out);
    gtm_facts_free(job->facts);
    gtm_free(job);
}

void gtm_api_get_metrics(struct gtm_api_req *req)
{
    struct gtmd *d = gtm_api_daemon(req);
    struct metrics_job *job = gtm_calloc(1, sizeof(*job));
    struct gtm_facts *facts = job ? gtm_facts_clone(gtm_state_facts(d->state)) : NULL;
    if (!facts) {
        gtm_free(job);
        gtm_api_problem(req, 500, "internal", "out of memory");
        return;
    }
    job->req = req;
    job->facts = facts;
    add_process(&job->m, d);
    add_node(&job->m, d);
    if (d->cluster)
        gtm_cluster_metrics(d->cluster, &job->m);
    gtm_intent_sync_metrics(d->intent_sync, &job->m);
    add_geo(&job->m, d);
    add_dns(&job->m, d);
    one(&job->m, "gtm_endpoint_transitions_total", "counter",
        "Changes of an address's health merged since the start.",
        (double)gtm_state_changes(d->state));
    if (d->health) {
        health_engine_metrics(d->health, &job->m);
        add_certificates(&job->m, d->health);
    }
    gtm_push_metrics(d->push, &job->m);
    gtm_peers_metrics(d->peers, &job->m);
    gtm_api_metrics(d->api, &job->m);
    if (facts->endpoints > GTM_API_INLINE_ENDPOINTS &&
        !gtm_loop_work(d->loop, metrics_work, metrics_done, job))
        return;
    metrics_work(job);
    metrics_done(job);
}

void gtm_api_get_livez(struct gtm_api_req *req)
{
    gtm_api_text(req, 200, "text/plain", gtm_strdup("ok\n"));
}

void gtm_api_get_readyz(struct gtm_api_req *req)
{
    const struct gtmd *d = gtm_api_daemon(req);
    const struct gtm_facts *facts = gtm_state_facts(d->state);
    char key[GTM_OVERRIDE_KEY_BYTES];
    /* It answers on: whoever sends users here is told to go elsewhere. */
    bool drained = facts && gtm_override_key_of("node", d->node->name, key) &&
                   gtm_overrides_get(&facts->overrides, key);
    bool ready = d->phase == GTMD_SERVING && !drained;
    gtm_api_text(req, ready ? 200 : 503, "text/plain",
                 gtm_strdup(ready     ? "ok\n"
                            : drained ? "drained\n"
                                      : "starting\n"));
}
