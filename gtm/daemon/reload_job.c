/* SPDX-License-Identifier: Apache-2.0
 *
 * A job of reloading: what a helper thread does with it, and how its result is installed. See
 * reload.h.
 */
#include "gtm/daemon/reload_int.h"

#include "dns/server.h"
#include "gtm/base/fs.h"
#include "gtm/base/log.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/daemon.h"
#include "gtm/daemon/intent_source.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

/* --- the job --- */

static void free_paths(char **paths, size_t count)
{
    for (size_t i = 0; paths && i < count; i++)
        gtm_free(paths[i]);
    gtm_free(paths);
}

void gtm__job_free(struct gtm__job *job)
{
    if (!job)
        return;
    gtm_free(job->node_path);
    gtm_free(job->data_dir);
    gtm_node_free(job->node);
    gtm_intent_unref(job->intent);
    free_paths(job->paths, job->paths_count);
    gtm_geo_unref(job->geo);
    gtm_compiled_unref(job->previous);
    gtm_compiled_unref(job->compiled);
    gtm_settings_unref(job->settings);
    gtm_api_tls_free(job->api_tls);
    gtm_free(job->zones);
    gtm_free(job->zones_loaded);
    gtm_diags_fini(&job->diags);
    gtm_free(job);
}

struct gtm__job *gtm__job_new(struct gtm_reload *reload, enum gtm__job_kind kind)
{
    struct gtmd *d = reload->d;
    struct gtm__job *job = gtm_calloc(1, sizeof(*job));
    if (!job)
        return NULL;
    job->reload = reload;
    job->config = kind == GTM__JOB_CONFIG;
    job->first = kind == GTM__JOB_FIRST;
    job->again = kind == GTM__JOB_AGAIN;
    job->node_path = gtm_strdup(d->node_path);
    job->data_dir = gtm_strdup(d->node->data_dir);
    job->paths = gtm_calloc(d->node->geo_databases_count + 1, sizeof(*job->paths));
    bool ok = job->node_path && job->data_dir && job->paths;
    for (size_t i = 0; ok && i < d->node->geo_databases_count; i++) {
        job->paths[i] = gtm_strdup(d->node->geo_databases[i]);
        job->paths_count++;
        ok = job->paths[i] != NULL;
    }
    if (!ok) {
        gtm__job_free(job);
        return NULL;
    }
    job->intent = job->config ? NULL : gtm_intent_ref(d->intent);
    job->geo = gtm_geo_ref(d->geo);
    job->previous = d->compiled ? gtm_compiled_ref(d->compiled) : NULL;
    return job;
}

static void load_geo(struct gtm__job *job)
{
    char *const *paths = job->node ? job->node->geo_databases : job->paths;
    size_t count = job->node ? job->node->geo_databases_count : job->paths_count;
    job->print = gtm_geo_fingerprint(paths, count);
    if (count == 0) {
        gtm_geo_unref(job->geo);
        job->geo = NULL;
        return;
    }
    if (job->geo && job->geo->print.hash == job->print.hash)
        return;
    struct gtm_geo *geo = gtm_geo_load(paths, count, job->data_dir, &job->geo_error);
    if (!geo) {
        job->geo_failed = true;
        return;
    }
    gtm_geo_unref(job->geo);
    job->geo = geo;
    job->geo_new = true;
}

/* The compile with the folder of copies beside the state. */
static void compile(struct gtm__job *job)
{
    char *copies = gtm_fs_join(job->data_dir, "zones");
    if (copies)
        job->compiled = gtm_compile_in(job->intent, job->geo ? job->geo->db : NULL, job->previous,
                                       copies, &job->diags);
    gtm_free(copies);
}

static void load_api_tls(struct gtm__job *job)
{
    struct gtm_error err = {0};
    job->api_tls = gtm_api_tls_new(job->node, gtm_wall_ms(gtm_clock_system()), &err);
    if (!job->api_tls)
        gtm_diags_add(&job->diags, GTM_SEV_ERROR, job->node_path, 0, 0, "%s", err.text);
}

void gtm__job_work(void *arg)
{
    struct gtm__job *job = arg;
    if (job->zones_count) {
        gtm__zones_work(job);
        return;
    }
    if (job->config) {
        job->node = gtm_node_load(job->node_path, &job->diags);
        if (job->node)
            job->intent = gtm_intent_source_load(job->node, job->intent_path, &job->diags);
    }
    if (!job->intent)
        return;
    /* The start has read the node file already; nobody changes it before the start is done. */
    const struct gtm_node *node = job->node ? job->node : job->first ? job->reload->d->node : NULL;
    if (node)
        job->settings = gtm_settings_load(node, job->intent, &job->diags);
    if (job->node && job->node->api.has_listen)
        load_api_tls(job);
    load_geo(job);
    /* A database that fails changes nothing by itself. */
    if (!job->config && !job->first && !job->again && !job->geo_new)
        return;
    compile(job);
    gtm_geo_release_pages(job->geo);
    /* Seconds of compiling leave holes; what is at rest should be small. */
    malloc_trim(0);
}

/* --- what a reload of the node file may change --- */

static void check_same(struct gtm__job *job, const char *key, const char *old, const char *new)
{
    if (strcmp(old ? old : "", new ? new : "") != 0)
        gtm_diags_add(&job->diags, GTM_SEV_ERROR, job->node_path, 0, 0,
                      "%s cannot change from '%s' to '%s' without a restart", key, old ? old : "",
                      new ? new : "");
}

/* The session and the client go on with what they began with; files are read again by themselves.
 */
static void check_etcd(struct gtm__job *job, const struct gtm_node_etcd *now,
                       const struct gtm_node_etcd *next)
{
    bool same =
        now->endpoints_count == next->endpoints_count && now->session_ttl_s == next->session_ttl_s;
    for (size_t i = 0; same && i < now->endpoints_count; i++)
        same = strcmp(now->endpoints[i], next->endpoints[i]) == 0;
    if (!same)
        gtm_diags_add(&job->diags, GTM_SEV_ERROR, job->node_path, 0, 0,
                      "etcd.endpoints and etcd.session_ttl cannot change without a restart "
                      "(gtmd --replace loses no query)");
    check_same(job, "etcd.tls.ca", now->ca, next->ca);
    check_same(job, "etcd.tls.cert", now->cert, next->cert);
    check_same(job, "etcd.tls.key", now->key, next->key);
    check_same(job, "etcd.user", now->user, next->user);
    check_same(job, "etcd.password", now->password_file, next->password_file);
}

void gtm__job_check_node(struct gtm__job *job, const struct gtm_node *now)
{
    const struct gtm_node *next = job->node;
    check_same(job, "node.name", now->name, next->name);
    check_same(job, "node.region", now->region, next->region);
    check_same(job, "data_dir", now->data_dir, next->data_dir);
    check_same(job, "api.socket", now->api_socket, next->api_socket);
    check_same(job, "api.listen", now->api.has_listen ? now->api.listen.text : "",
               next->api.has_listen ? next->api.listen.text : "");
    check_same(job, "metrics.listen", now->has_metrics ? now->metrics_listen.text : "",
               next->has_metrics ? next->metrics_listen.text : "");
    check_same(job, "push.listen", now->push.has_listen ? now->push.listen.text : "",
               next->push.has_listen ? next->push.listen.text : "");
    bool same =
        now->dns_listen_count == next->dns_listen_count && now->dns_threads == next->dns_threads;
    for (size_t i = 0; same && i < now->dns_listen_count; i++)
        same = !strcmp(now->dns_listen[i].text, next->dns_listen[i].text);
    same = same && now->dns.tls_listen_count == next->dns.tls_listen_count;
    for (size_t i = 0; same && i < now->dns.tls_listen_count; i++)
        same = !strcmp(now->dns.tls_listen[i].text, next->dns.tls_listen[i].text);
    if (!same)
        gtm_diags_add(&job->diags, GTM_SEV_ERROR, job->node_path, 0, 0,
                      "dns.listen, dns.tls.listen and dns.threads cannot change without a restart "
                      "(gtmd --replace loses no query)");
    if (now->roles != next->roles)
        gtm_diags_add(&job->diags, GTM_SEV_ERROR, job->node_path, 0, 0,
                      "roles cannot change without a restart");
    if (next->has_etcd != now->has_etcd)
        gtm_diags_add(&job->diags, GTM_SEV_ERROR, job->node_path, 0, 0,
                      "etcd: a node cannot join or leave a cluster without a restart");
    else
        check_etcd(job, &now->etcd, &next->etcd);
}

/* --- installing --- */

void gtm__job_note_geo(struct gtm__job *job)
{
    struct gtm_reload *reload = job->reload;
    struct gtmd *d = reload->d;
    struct gtm_reload_status *status = &reload->status;
    reload->seen = job->print;
    if (!job->geo_failed) {
        if (job->geo_new) {
            char cause[128];
            snprintf(cause, sizeof(cause), "%zu IPv4 and %zu IPv6 networks", job->geo->db->v4_count,
                     job->geo->db->v6_count);
            gtm_events_add(d->events, &(struct gtm_event){.type = GTM_EVENT_GEO_LOADED,
                                                          .level = GTM_LOG_INFO,
                                                          .subject = "geo",
                                                          .cause = cause});
        }
        status->geo_ok = true;
        status->geo_fail_ms = 0;
        status->geo_error[0] = 0;
        return;
    }
    if (status->geo_ok || !status->geo_fail_ms)
        status->geo_fail_ms = gtm_wall_ms(d->clock);
    status->geo_ok = false;
    gtm_error_format(&job->geo_error, status->geo_error, sizeof(status->geo_error));
    gtm_events_add(d->events, &(struct gtm_event){.type = GTM_EVENT_GEO_FAILED,
                                                  .level = GTM_LOG_ERROR,
                                                  .subject = "geo",
                                                  .cause = status->geo_error});
}

void gtm__job_note_config(struct gtm__job *job, int code)
{
    struct gtmd *d = job->reload->d;
    struct gtm_reload_status *status = &job->reload->status;
    int64_t now = gtm_wall_ms(d->clock);
    if (!code) {
        status->config_ok = true;
        status->config_ok_ms = now;
        status->config_error[0] = 0;
        return;
    }
    if (status->config_ok || !status->config_fail_ms)
        status->config_fail_ms = now;
    status->config_ok = false;
    struct gtm_error first = {0};
    gtm_diags_first(&job->diags, &first);
    if (job->diags.errors)
        gtm_error_format(&first, status->config_error, sizeof(status->config_error));
    else
        snprintf(status->config_error, sizeof(status->config_error), "%s", gtm_err_text(code));
    for (size_t i = 0; i < job->diags.count; i++) {
        const struct gtm_diag *diag = &job->diags.items[i];
        if (diag->severity == GTM_SEV_ERROR)
            gtm_log(GTM_LOG_ERROR, "config", diag->text, gtm_kv_str("file", diag->file),
                    gtm_kv_int("line", diag->line), gtm_kv_int("column", diag->col));
    }
    gtm_events_add(d->events, &(struct gtm_event){.type = GTM_EVENT_CONFIG_RELOAD_FAILED,
                                                  .level = GTM_LOG_ERROR,
                                                  .subject = "config",
                                                  .cause = status->config_error});
}

/* DNS over TLS: certificate and key are read again. */
static int install_tls(struct gtm__job *job)
{
    struct gtmd *d = job->reload->d;
    struct gtm_error err = {0};
    if (!d->dns || !job->node || job->node->dns.tls_listen_count == 0)
        return 0;
    const struct gtm_node_dns *dns = &job->node->dns;
    int rc = dns_server_set_tls(d->dns, dns->tls_cert, dns->tls_key, &err);
    if (rc)
        gtm_diags_add(&job->diags, GTM_SEV_ERROR, job->node_path, 0, 0, "dns.tls: %s", err.text);
    return rc;
}

/* Puts what the job made in force: all of it or nothing. */
int gtm__job_install(struct gtm__job *job)
{
    struct gtmd *d = job->reload->d;
    struct gtm_error err = {0};
    int tls_rc = install_tls(job);
    if (tls_rc)
        return tls_rc;
    struct gtm_state_next *next = gtm_state_prepare(d->state, job->intent);
    gtm_publisher_settings(d->publisher, job->settings);
    int rc =
        next ? gtm_publisher_install(d->publisher, job->compiled, gtm_state_next_states(next), &err)
             : gtm_error_set(&err, GTM_ENOMEM, "out of memory");
    if (rc) {
        gtm_publisher_settings(d->publisher, NULL);
        gtm_state_next_free(next);
        gtm_diags_add(&job->diags, GTM_SEV_ERROR, job->intent->path, 0, 0, "%s", err.text);
        return rc;
    }
    bool other = !d->intent || strcmp(d->intent->sha256, job->intent->sha256) != 0;
    gtm_state_commit(d->state, next);
    gtm_intent_unref(d->intent);
    d->intent = gtm_intent_ref(job->intent);
    struct gtm_compiled *before = d->compiled;
    d->compiled = gtm_compiled_ref(job->compiled);
    if (job->settings) {
        gtm_settings_unref(d->settings);
        d->settings = gtm_settings_ref(job->settings);
    }
    gtm_geo_unref(d->geo);
    d->geo = gtm_geo_ref(job->geo);
    if (job->config || job->first)
        d->intent_loaded_ms = gtm_wall_ms(d->clock);
    if (job->node) {
        gtm_log_set_level((enum gtm_log_level)job->node->log_level);
        gtm_node_free(d->node);
        d->node = job->node;
        job->node = NULL;
    }
    if (job->api_tls && d->api) {
        gtm_api_set_tls(d->api, job->api_tls);
        job->api_tls = NULL;
        gtm_peers_renew(d->peers, d->node->api.ca, d->node->api.cert, d->node->api.key);
    }
    gtm__zones_follow(job->reload, before);
    gtm_compiled_unref(before);
    gtmd_probe(d);
    if (d->cluster)
        gtm_cluster_intent_changed(d->cluster);
    gtmd_zones(d);
    if (job->config)
        gtm_events_add(d->events, &(struct gtm_event){.type = GTM_EVENT_CONFIG_RELOADED,
                                                      .level = GTM_LOG_INFO,
                                                      .subject = "config",
                                                      .to = NULL,
                                                      .cause = other ? "the intent changed"
                                                                     : "the intent is the same"});
    return 0;
}
