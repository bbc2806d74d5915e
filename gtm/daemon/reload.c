/* SPDX-License-Identifier: Apache-2.0
 *
 * See reload.h. A job is filled on the control thread, worked on a helper thread that touches
 * nothing but the job, and installed on the control thread.
 */
#include "gtm/daemon/reload.h"

#include "gtm/base/log.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/daemon.h"
#include "gtm/daemon/sdnotify.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

#define GEO_WATCH_MS  5000
#define GEO_SETTLE_MS 1000
#define WAITERS_MAX   256

struct waiter {
    struct waiter *next;
    bool dry;
    gtm_reload_done_fn done;
    void *arg;
};

/* All fields are the job's own while it is worked on. */
struct job {
    struct gtm_reload *reload;
    bool first, config, dry;
    char *node_path, *data_dir;
    struct gtm_node *node;     /* read again, or NULL */
    struct gtm_intent *intent; /* read again, or a reference on the present one */
    char **paths;              /* databases when the node file is not read again */
    size_t paths_count;
    struct gtm_geo *geo; /* a reference on the present one, then what the compile used */
    bool geo_new, geo_failed;
    struct gtm_error geo_error;
    struct gtm_geo_print print; /* of the files that this job saw */
    struct gtm_compiled *previous, *compiled;
    struct gtm_diags diags;
    struct waiter *waiters;
};

struct gtm_reload {
    struct gtmd *d;
    struct gtm_timer *watch;
    struct gtm_reload_status status;
    bool geo_due;              /* a changed database was seen */
    struct gtm_geo_print seen; /* of the last load, also a failed one */
    struct gtm_geo_print pending;
    struct waiter *waiting;
    unsigned waiting_count;
};

static void start_next(struct gtm_reload *reload);

/* --- the job --- */

static void free_paths(char **paths, size_t count)
{
    for (size_t i = 0; paths && i < count; i++)
        gtm_free(paths[i]);
    gtm_free(paths);
}

static void job_free(struct job *job)
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
    gtm_diags_fini(&job->diags);
    gtm_free(job);
}

static struct job *job_new(struct gtm_reload *reload, bool config)
{
    struct gtmd *d = reload->d;
    struct job *job = gtm_calloc(1, sizeof(*job));
    if (!job)
        return NULL;
    job->reload = reload;
    job->config = config;
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
        job_free(job);
        return NULL;
    }
    job->intent = config ? NULL : gtm_intent_ref(d->intent);
    job->geo = gtm_geo_ref(d->geo);
    job->previous = d->compiled ? gtm_compiled_ref(d->compiled) : NULL;
    return job;
}

static void load_geo(struct job *job)
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

static void work(void *arg)
{
    struct job *job = arg;
    if (job->config) {
        job->node = gtm_node_load(job->node_path, &job->diags);
        if (job->node)
            job->intent = gtm_intent_load(job->node->cluster_file, &job->diags);
    }
    if (!job->intent)
        return;
    load_geo(job);
    /* A database that fails changes nothing by itself. */
    if (!job->config && !job->first && !job->geo_new)
        return;
    job->compiled =
        gtm_compile(job->intent, job->geo ? job->geo->db : NULL, job->previous, &job->diags);
    gtm_geo_release_pages(job->geo);
    /* Seconds of compiling leave holes; what is at rest should be small. */
    malloc_trim(0);
}

/* --- what a reload of the node file may change --- */

static void check_same(struct job *job, const char *key, const char *old, const char *new)
{
    if (strcmp(old ? old : "", new ? new : "") != 0)
        gtm_diags_add(&job->diags, GTM_SEV_ERROR, job->node_path, 0, 0,
                      "%s cannot change from '%s' to '%s' without a restart", key, old ? old : "",
                      new ? new : "");
}

static void check_node(struct job *job, const struct gtm_node *now)
{
    const struct gtm_node *next = job->node;
    check_same(job, "node.name", now->name, next->name);
    check_same(job, "node.region", now->region, next->region);
    check_same(job, "data_dir", now->data_dir, next->data_dir);
    check_same(job, "api.socket", now->api_socket, next->api_socket);
    check_same(job, "metrics.listen", now->has_metrics ? now->metrics_listen.text : "",
               next->has_metrics ? next->metrics_listen.text : "");
    bool same =
        now->dns_listen_count == next->dns_listen_count && now->dns_threads == next->dns_threads;
    for (size_t i = 0; same && i < now->dns_listen_count; i++)
        same = !strcmp(now->dns_listen[i].text, next->dns_listen[i].text);
    if (!same)
        gtm_diags_add(&job->diags, GTM_SEV_ERROR, job->node_path, 0, 0,
                      "dns.listen and dns.threads cannot change without a restart");
    if (now->roles != next->roles)
        gtm_diags_add(&job->diags, GTM_SEV_ERROR, job->node_path, 0, 0,
                      "roles cannot change without a restart");
    if (next->has_etcd)
        gtm_diags_add(&job->diags, GTM_SEV_ERROR, job->node_path, 0, 0,
                      "etcd: a standalone node cannot join a cluster without a restart");
}

/* --- installing --- */

static void note_geo(struct job *job)
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

static void note_config(struct job *job, int code)
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

/* Puts what the job made in force: all of it or nothing. */
static int install(struct job *job)
{
    struct gtmd *d = job->reload->d;
    struct gtm_error err = {0};
    struct gtm_state_next *next = gtm_state_prepare(d->state, job->intent);
    int rc =
        next ? gtm_publisher_install(d->publisher, job->compiled, gtm_state_next_states(next), &err)
             : gtm_error_set(&err, GTM_ENOMEM, "out of memory");
    if (rc) {
        gtm_state_next_free(next);
        gtm_diags_add(&job->diags, GTM_SEV_ERROR, job->intent->path, 0, 0, "%s", err.text);
        return rc;
    }
    bool other = !d->intent || strcmp(d->intent->sha256, job->intent->sha256) != 0;
    gtm_state_commit(d->state, next);
    gtm_intent_unref(d->intent);
    d->intent = gtm_intent_ref(job->intent);
    gtm_compiled_unref(d->compiled);
    d->compiled = gtm_compiled_ref(job->compiled);
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
    gtmd_probe(d);
    if (job->config)
        gtm_events_add(d->events, &(struct gtm_event){.type = GTM_EVENT_CONFIG_RELOADED,
                                                      .level = GTM_LOG_INFO,
                                                      .subject = "config",
                                                      .to = NULL,
                                                      .cause = other ? "the intent changed"
                                                                     : "the intent is the same"});
    return 0;
}

static void finish_first(struct job *job, int code)
{
    struct gtmd *d = job->reload->d;
    if (!code) {
        gtmd_serve(d);
        return;
    }
    gtm_diags_print(&job->diags, stderr);
    gtmd_stop(d, code == GTM_ENOMEM ? GTMD_FAILED : GTMD_USAGE);
}

static void answer_waiters(struct job *job, int code, bool changed)
{
    struct gtm_reload_result result = {.code = code,
                                       .changed = changed,
                                       .diags = &job->diags,
                                       .sha256 = job->intent ? job->intent->sha256 : ""};
    while (job->waiters) {
        struct waiter *waiter = job->waiters;
        job->waiters = waiter->next;
        if (waiter->done)
            waiter->done(waiter->arg, &result);
        gtm_free(waiter);
    }
}

static void done(void *arg)
{
    struct job *job = arg;
    struct gtm_reload *reload = job->reload;
    struct gtmd *d = reload->d;
    reload->status.running = false;
    if (job->node)
        check_node(job, d->node);
    bool geo_only = !job->config && !job->first;
    bool changed = job->intent && d->intent && strcmp(d->intent->sha256, job->intent->sha256) != 0;
    int code = job->diags.errors ? GTM_EPARSE : 0;
    if (!code && !job->compiled && !(geo_only && job->geo_failed))
        code = geo_only ? 0 : GTM_ENOMEM; /* every other failure leaves a finding */
    if (!code && job->compiled && job->intent && !job->dry)
        code = install(job);
    if (geo_only && code) { /* say a zone file that is wrong by now: as good as a wrong database */
        job->geo_failed = true;
        gtm_diags_first(&job->diags, &job->geo_error);
    }
    /* A database that came with a wrong intent is not in force: the watch will load it. */
    if (job->intent && !job->dry && !(code && job->geo_new && !job->geo_failed))
        note_geo(job);
    if (!geo_only && !job->dry)
        note_config(job, code);
    if (job->config && !job->dry)
        gtm_sdnotify("READY=1");
    if (job->first)
        finish_first(job, code);
    answer_waiters(job, code, changed);
    job_free(job);
    malloc_trim(0);
    start_next(reload);
}

/* --- requests --- */

static void start(struct gtm_reload *reload, struct job *job)
{
    reload->status.running = true;
    if (!gtm_loop_work(reload->d->loop, work, done, job))
        return;
    /* Cannot be: one job at a time. Said and undone all the same. */
    reload->status.running = false;
    gtm_log0(GTM_LOG_ERROR, "config", "too much work is waiting; nothing was reloaded");
    gtm_diags_add(&job->diags, GTM_SEV_ERROR, job->node_path, 0, 0, "too much work is waiting");
    answer_waiters(job, GTM_ELIMIT, false);
    job_free(job);
}

static void fail_waiters(struct gtm_reload *reload, int code)
{
    struct gtm_diags none = {0};
    struct gtm_reload_result result = {.code = code, .diags = &none, .sha256 = ""};
    while (reload->waiting) {
        struct waiter *waiter = reload->waiting;
        reload->waiting = waiter->next;
        reload->waiting_count--;
        if (waiter->done)
            waiter->done(waiter->arg, &result);
        gtm_free(waiter);
    }
}

/* Moves the waiters of the kind of the first one into the job. */
static void take_waiters(struct gtm_reload *reload, struct job *job)
{
    job->dry = reload->waiting->dry;
    struct waiter **at = &reload->waiting, **last = &job->waiters;
    while (*at) {
        struct waiter *waiter = *at;
        if (waiter->dry != job->dry) {
            at = &waiter->next;
            continue;
        }
        *at = waiter->next;
        waiter->next = NULL;
        *last = waiter;
        last = &waiter->next;
        reload->waiting_count--;
    }
}

static void start_next(struct gtm_reload *reload)
{
    if (reload->status.running || reload->d->phase != GTMD_SERVING ||
        (!reload->waiting && !reload->geo_due))
        return;
    struct job *job = job_new(reload, reload->waiting != NULL);
    if (!job) {
        gtm_log0(GTM_LOG_ERROR, "config", "out of memory; nothing was reloaded");
        fail_waiters(reload, GTM_ENOMEM);
        return;
    }
    if (reload->waiting) {
        take_waiters(reload, job);
        if (!job->dry)
            gtm_sdnotify_reloading();
    }
    if (!job->dry)
        reload->geo_due = false;
    start(reload, job);
}

int gtm_reload_request(struct gtm_reload *reload, bool dry, gtm_reload_done_fn fn, void *arg)
{
    if (reload->waiting_count >= WAITERS_MAX)
        return GTM_ELIMIT;
    struct waiter *waiter = gtm_calloc(1, sizeof(*waiter));
    if (!waiter)
        return GTM_ENOMEM;
    *waiter = (struct waiter){.dry = dry, .done = fn, .arg = arg};
    struct waiter **last = &reload->waiting;
    while (*last)
        last = &(*last)->next;
    *last = waiter;
    reload->waiting_count++;
    start_next(reload);
    return 0;
}

void gtm_reload_first(struct gtm_reload *reload)
{
    struct job *job = job_new(reload, false);
    if (!job) {
        gtm_log0(GTM_LOG_ERROR, "config", "out of memory");
        gtmd_stop(reload->d, GTMD_FAILED);
        return;
    }
    job->first = true;
    start(reload, job);
}

/* --- the watch over databases --- */

/* A file is loaded when it looked the same twice, so that one being written is left alone. */
static void on_watch(void *arg)
{
    struct gtm_reload *reload = arg;
    struct gtm_node *node = reload->d->node;
    struct gtm_geo_print now = gtm_geo_fingerprint(node->geo_databases, node->geo_databases_count);
    if (!reload->status.running && now.hash != reload->seen.hash &&
        now.hash == reload->pending.hash) {
        reload->geo_due = true;
        start_next(reload);
    }
    bool again = now.hash != reload->seen.hash && now.hash != reload->pending.hash;
    reload->pending = now;
    gtm_timer_start(reload->watch, again ? GEO_SETTLE_MS : GEO_WATCH_MS);
}

struct gtm_reload *gtm_reload_new(struct gtmd *d)
{
    struct gtm_reload *reload = gtm_calloc(1, sizeof(*reload));
    if (!reload)
        return NULL;
    reload->d = d;
    reload->status.config_ok = reload->status.geo_ok = true;
    reload->watch = gtm_timer_new(d->loop, on_watch, reload);
    if (!reload->watch) {
        gtm_free(reload);
        return NULL;
    }
    gtm_timer_start(reload->watch, GEO_WATCH_MS);
    return reload;
}

void gtm_reload_free(struct gtm_reload *reload)
{
    if (!reload)
        return;
    fail_waiters(reload, GTM_ESTATE);
    gtm_timer_free(reload->watch);
    gtm_free(reload);
}

bool gtm_reload_running(const struct gtm_reload *reload)
{
    return reload->status.running;
}

const struct gtm_reload_status *gtm_reload_status(const struct gtm_reload *reload)
{
    return &reload->status;
}
